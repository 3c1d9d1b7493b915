/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "train/peft-task-head.h"

#include "data/peft-data-labelled.h"

/* Where an answer starts and ends: two distributions over the positions of a line. The head's two columns become rows of
 * logits [batch, positions], whose labels are positions. */

#define OUT_OF_QUESTION (-1e30f) /* its exponential is 0 */

static guint32
count_answers (const PeftDataBatch *batch)
{
  for (gsize i = 0; i < (gsize) batch->batch * batch->length; i++)
    if (batch->labels[i] >= 0)
      return 2 * batch->batch;
  return 0;
}

/* labels: where each line's answer starts, then where each ends; -1: not given. */
static void
stage_answers (const PeftDataBatch *batch, guint32 n_virtual, guint32 length, PeftPassCall *call,
               gint32 *label_rows, gint32 *labels)
{
  guint32 n[2] = { 0, 0 };

  for (guint32 i = 0; i < 2 * batch->batch; i++)
    {
      label_rows[i] = 0;
      labels[i] = -1;
    }
  for (guint32 b = 0; b < batch->batch; b++)
    for (guint32 t = 0; t < batch->length; t++)
      {
        const gint32 label = batch->labels[(gsize) b * batch->length + t];

        for (guint part = 0; label > 0 && part < 2; part++)
          if ((label & (part == 0 ? PEFT_DATA_ANSWER_START : PEFT_DATA_ANSWER_END)) != 0)
            {
              labels[part * batch->batch + b] = (gint32) (n_virtual + t);
              n[part]++;
            }
      }
  call->n_answers = n[0] + n[1];
  /* The mean of both means: they differ in weight where one side is not given in some lines. */
  for (guint part = 0; part < 2; part++)
    call->answer_weights[part]
        = call->own_denominator && n[part] > 0 ? call->n_answers / (2.0 * n[part]) : 1;
}

static PeftVar *
copy_rows (PeftTape *tape, PeftVar *const *inputs, gpointer data)
{
  /* The loss writes its gradient over the logits. */
  return peft_nn_scale (tape, inputs[0], 1);
}

/* 0 where an answer can be: not in padding, over which transformers takes its distribution as well, so that a loss there
 * depends on what else is in the batch. */
static PeftVar *
make_mask (PeftTape *tape, const PeftDataBatch *batch, const PeftPassCall *call, const gint64 *shape)
{
  g_autoptr (PeftTensor) mask = peft_tape_alloc (tape, tape->backend->real, 2, shape);

  if (batch != NULL && tape->error == NULL)
    {
      g_autofree float *values = g_new (float, shape[0] * shape[1]);

      for (gint64 b = 0; b < shape[0]; b++)
        for (gint64 t = 0; t < shape[1]; t++)
          {
            gint64 own = t - (shape[1] - call->rounded_length);
            gboolean padding = own >= batch->length
                               || (own >= 0 && batch->segments[b * batch->length + own] < 0);

            values[b * shape[1] + t] = padding ? OUT_OF_QUESTION : 0;
          }
      peft_tensor_upload_f32 (mask, values);
    }
  return peft_tape_constant (tape, mask);
}

static PeftVar *
answer_loss (PeftCore *core, PeftTape *tape, PeftVar *hidden, const PeftStaging *staging,
             const PeftPass *pass, const PeftPassCall *call, gint64 chunk_rows,
             PeftTensor **row_losses, PeftTensor **correct)
{
  const gint64 batch = pass->batch, length = peft_var_shape (hidden)[0] / batch;
  const gint64 split[3] = { batch, length, 2 }, rows[2] = { batch, length };
  g_autoptr (PeftVar) flat = peft_core_head (tape, &hidden, core);
  g_autoptr (PeftVar) logits = peft_nn_reshape (tape, flat, 3, split);
  g_autoptr (PeftVar) mask = make_mask (tape, call->batch, call, rows);
  PeftVar *totals[2], *losses[2], *both, *total;

  for (guint part = 0; part < 2; part++)
    {
      g_autoptr (PeftVar) column = peft_nn_slice (tape, logits, 2, part, 1);
      g_autoptr (PeftVar) dense = peft_nn_contiguous (tape, column);
      g_autoptr (PeftVar) matrix = peft_nn_reshape (tape, dense, 2, rows);
      g_autoptr (PeftVar) masked = peft_nn_add (tape, matrix, mask);
      PeftView view = peft_view_slice (&staging->labels->view, 0, part * batch, batch);
      g_autoptr (PeftTensor) labels = peft_tensor_derive (staging->labels, &view);
      g_autoptr (PeftTensor) part_losses = NULL;

      totals[part] = peft_nn_head_loss (tape, masked, labels, copy_rows, NULL, batch,
                                        call->options->denominator / call->answer_weights[part],
                                        &part_losses, NULL);
      losses[part] = peft_tape_constant (tape, part_losses);
    }
  both = peft_nn_concat (tape, losses, 2, 0);
  *row_losses = peft_tensor_ref (both->value);
  total = peft_nn_add (tape, totals[0], totals[1]);
  peft_var_unref (both);
  for (guint part = 0; part < 2; part++)
    {
      peft_var_unref (totals[part]);
      peft_var_unref (losses[part]);
    }
  return total;
}

const PeftTaskHead peft_task_head_question = {
  .count = count_answers,
  .stage = stage_answers,
  .loss = answer_loss,
};
