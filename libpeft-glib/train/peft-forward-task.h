/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "data/peft-data-batch.h"
#include "formats/peft-safetensors.h"
#include "methods/peft-method.h"

/* What a pass from file to file reads and writes where the model is not for writing text, under transformers' names:
 *   SEQ_CLS             labels [batch]                      logits [batch, classes]
 *   TOKEN_CLS           labels [batch, length]              logits [batch, positions, classes]
 *   QUESTION_ANS        start_positions, end_positions [batch]   start_logits, end_logits [batch, positions]
 *   FEATURE_EXTRACTION  output_gradient (F32, of its shape)  last_hidden_state [batch, positions, width]
 * Features have no loss; gradients are those of the loss whose gradient is given. */

/* The labels go into batch, whose ids and segments are there. *given: whether there are any. *output_gradient
 * (transfer full, nullable). */
gboolean peft_forward_task_read (PeftCore *core, const PeftSafetensors *file, PeftDataBatch *batch,
                                 gboolean *given, float **output_gradient, GError **error);
/* PeftAdapterTensor of each output; takes logits, the head's outputs at all positions. */
GPtrArray *peft_forward_task_outputs (PeftCore *core, const PeftDataBatch *batch, float *logits);

/* Of peft-forward-file.c. */
gint64 peft_forward_read_integer (const PeftTensorEntry *entry, gsize index);
gboolean peft_forward_check_integers (const PeftTensorEntry *entry, GError **error);
