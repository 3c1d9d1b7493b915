/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "data/peft-data-encode.h"
#include "models/peft-core.h"
#include "peft-dataset.h"

PeftDataSet *peft_dataset_get_set (PeftDataset *self);
/* Token ids and labels of all rows, for a model. tokenizer: NULL, when only input_ids rows are there. max_length 0: the
 * default. */
PeftEncodedSet *peft_dataset_encode (PeftDataset *self, PeftTokenizer *tokenizer,
                                     PeftLossOn loss_on, guint max_length, PeftCore *core,
                                     GCancellable *cancellable, GError **error);
