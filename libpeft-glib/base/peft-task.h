/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#include "base/peft-version-macros.h"

G_BEGIN_DECLS

/**
 * PeftTask:
 * @PEFT_TASK_CAUSAL_LM: writing text
 * @PEFT_TASK_SEQ_CLS: one class for a text
 * @PEFT_TASK_TOKEN_CLS: one class for each token
 * @PEFT_TASK_QUESTION_ANS: the span of a text that answers a question
 * @PEFT_TASK_FEATURE_EXTRACTION: hidden states, without a head
 *
 * What a model is for, which decides the head it has.
 *
 * Since: 1.0
 */
typedef enum
{
  PEFT_TASK_CAUSAL_LM,
  PEFT_TASK_SEQ_CLS,
  PEFT_TASK_TOKEN_CLS,
  PEFT_TASK_QUESTION_ANS,
  PEFT_TASK_FEATURE_EXTRACTION
} PeftTask;

PEFT_AVAILABLE_IN_1_0
const char *peft_task_get_name (PeftTask task);
PEFT_AVAILABLE_IN_1_0
gboolean peft_task_from_name (const char *name, PeftTask *task, GError **error);

G_END_DECLS
