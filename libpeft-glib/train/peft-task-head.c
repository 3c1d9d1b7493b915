/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "train/peft-task-head.h"

#include "base/peft-random.h"
#include "data/peft-data-labelled.h"

/* Classes: every labelled position goes through the head by itself. Of a text the data set labels the one position that
 * transformers pools. */

static const PeftTaskHead *const heads[] = {
  [PEFT_TASK_CAUSAL_LM] = NULL,
  [PEFT_TASK_SEQ_CLS] = &peft_task_head_classes,
  [PEFT_TASK_TOKEN_CLS] = &peft_task_head_classes,
  [PEFT_TASK_QUESTION_ANS] = &peft_task_head_question,
  [PEFT_TASK_FEATURE_EXTRACTION] = &peft_task_head_features,
};

const PeftTaskHead *
peft_task_head_find (PeftTask task)
{
  return heads[task];
}

gint64
peft_task_label_limit (PeftCore *core)
{
  if (core->task == PEFT_TASK_QUESTION_ANS)
    return (PEFT_DATA_ANSWER_START | PEFT_DATA_ANSWER_END) + 1;
  return core->task == PEFT_TASK_FEATURE_EXTRACTION ? 0 : core->n_outputs;
}

PeftTensor *
peft_staging_first (PeftTensor *tensor, gint64 n)
{
  PeftView view = peft_view_slice (&tensor->view, 0, 0, n);

  return peft_tensor_derive (tensor, &view);
}

static guint32
count_classes (const PeftDataBatch *batch)
{
  guint32 n = 0;

  for (gsize i = 0; i < (gsize) batch->batch * batch->length; i++)
    n += batch->labels[i] >= 0;
  return n;
}

static void
stage_classes (const PeftDataBatch *batch, guint32 n_virtual, guint32 length, PeftPassCall *call,
               gint32 *label_rows, gint32 *labels)
{
  guint32 n = 0;

  for (guint32 b = 0; b < batch->batch; b++)
    for (guint32 t = 0; t < batch->length; t++)
      {
        const gint32 label = batch->labels[(gsize) b * batch->length + t];

        if (label < 0)
          continue;
        label_rows[n] = (gint32) ((gsize) b * (n_virtual + length) + n_virtual + t);
        labels[n++] = label;
      }
}

static PeftVar *
classes_loss (PeftCore *core, PeftTape *tape, PeftVar *hidden, const PeftStaging *staging,
              const PeftPass *pass, const PeftPassCall *call, gint64 chunk_rows,
              PeftTensor **row_losses, PeftTensor **correct)
{
  g_autoptr (PeftTensor) rows = peft_staging_first (staging->label_rows, pass->n_labels);
  g_autoptr (PeftTensor) labels = peft_staging_first (staging->labels, pass->n_labels);
  g_autoptr (PeftVar) labelled = peft_nn_gather_rows (tape, hidden, rows);
  g_autoptr (PeftVar) dropped
      = peft_nn_dropout (tape, labelled, core->head_dropout, peft_random_stream ("head"));

  return peft_nn_head_loss (tape, dropped, labels, peft_core_head, core, chunk_rows,
                            call->options->denominator, row_losses, correct);
}

const PeftTaskHead peft_task_head_classes = {
  .count = count_classes,
  .stage = stage_classes,
  .loss = classes_loss,
};

/* ---- Features ------------------------------------------------------------------------------ */

static guint32
count_none (const PeftDataBatch *batch)
{
  return 0;
}

/* Whoever uses the features has a loss for them. */
const PeftTaskHead peft_task_head_features = {
  .count = count_none,
};
