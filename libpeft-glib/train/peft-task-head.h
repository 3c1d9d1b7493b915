/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "train/peft-engine-private.h"

/* How labels reach the loss where the model is not for writing text: one row a task. Labels stand at the positions that
 * they belong to (see peft-data-labelled.h). */

typedef struct
{
  /* Rows of labels that a pass over the batch has. */
  guint32 (*count) (const PeftDataBatch *batch);
  /* Fills label_rows and labels, as long as count says; a line has n_virtual + length positions. */
  void (*stage) (const PeftDataBatch *batch, guint32 n_virtual, guint32 length, PeftPassCall *call,
                 gint32 *label_rows, gint32 *labels);
  /* The loss of the hidden states. */
  PeftVar *(*loss) (PeftCore *core, PeftTape *tape, PeftVar *hidden, const PeftStaging *staging,
                    const PeftPass *pass, const PeftPassCall *call, gint64 chunk_rows,
                    PeftTensor **row_losses, PeftTensor **correct);
} PeftTaskHead;

/* NULL: a language model's. */
const PeftTaskHead *peft_task_head_find (PeftTask task);
/* Labels are below it. */
gint64 peft_task_label_limit (PeftCore *core);

extern const PeftTaskHead peft_task_head_classes, peft_task_head_question, peft_task_head_features;
/* The first n values of a staging tensor. */
PeftTensor *peft_staging_first (PeftTensor *tensor, gint64 n);
