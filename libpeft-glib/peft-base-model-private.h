/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "models/peft-core.h"
#include "peft-base-model.h"
#include "peft-worker.h"

PeftCore *peft_base_model_get_core (PeftBaseModel *self);
PeftWorker *peft_base_model_get_worker (PeftBaseModel *self);
/* How many PeftModels are on it, after one has come (1) or gone (-1) or neither (0). */
int peft_base_model_count_users (PeftBaseModel *self, int change);
/* NULL and no error when the model simply has none; any thread. */
gboolean peft_base_model_find_tokenizer (PeftBaseModel *self, PeftTokenizer **out, GError **error);
