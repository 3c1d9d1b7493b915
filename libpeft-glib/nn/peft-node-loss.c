/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "nn/peft-nodes.h"

/* The gradient is already there when the node is recorded: the chunks' logits were never kept. */
static void
head_loss_backward (PeftTape *tape, PeftNode *node)
{
  const PeftView *dx = peft_node_saved (tape, node, 0);
  PeftCopyParams copy = { .x = *dx, .alpha = 1 };

  if (peft_node_grad_input (tape, node, 0, &copy.y, &copy.accumulate))
    peft_tape_run (tape, PEFT_KERNEL_COPY, &copy);
}

static const PeftNodeClass head_loss_class = {
  .name = "head-loss",
  .backward = head_loss_backward,
};

/* A view of rows [start, start + n) of a tensor. */
static PeftTensor *
rows_of (PeftTensor *tensor, gint64 start, gint64 n)
{
  PeftView view = peft_view_slice (&tensor->view, 0, start, n);
  return peft_tensor_derive (tensor, &view);
}

PeftVar *
peft_nn_head_loss (PeftTape *tape, PeftVar *x, PeftTensor *labels, PeftTapeFunc head,
                   gpointer head_data, gint64 chunk_rows, double denominator,
                   PeftTensor **row_loss, PeftTensor **correct)
{
  const gint64 rows = peft_var_shape (x)[0], one = 1;
  PeftTensor *losses = peft_tape_alloc (tape, tape->backend->real, 1, &rows);
  PeftTensor *total = peft_tape_alloc (tape, tape->backend->real, 1, &one);
  g_autoptr (PeftTensor) hits = NULL;
  g_autoptr (PeftTensor) dx = NULL;
  PeftReduceParams sum = { .x = losses->view, .y = total->view, .op = PEFT_REDUCE_SUM };
  PeftCopyParams divide
      = { .x = total->view, .y = total->view, .alpha = 1 / denominator };
  gboolean met_param = FALSE;
  PeftNode *node;
  PeftVar *out;

  if (correct != NULL)
    hits = peft_tape_alloc (tape, PEFT_DTYPE_I32, 1, &rows);
  if (x->grad != NULL)
    {
      PeftFillParams fill = { 0 };

      dx = peft_tape_alloc (tape, tape->backend->real, 2, peft_var_shape (x));
      fill.x = dx->view;
      peft_tape_run (tape, PEFT_KERNEL_FILL, &fill);
    }

  for (gint64 start = 0; start < rows; start += chunk_rows)
    {
      gint64 n = MIN (chunk_rows, rows - start);
      g_autoptr (PeftTape) inner = peft_tape_new (&tape->options);
      g_autoptr (PeftTensor) x_rows = rows_of (x->value, start, n);
      g_autoptr (PeftTensor) label_rows = rows_of (labels, start, n);
      g_autoptr (PeftTensor) loss_rows = rows_of (losses, start, n);
      g_autoptr (PeftVar) input
          = dx != NULL ? peft_tape_leaf (inner, x_rows) : peft_tape_constant (inner, x_rows);
      PeftCrossEntropyParams params = { .scale = 1 / denominator };
      g_autoptr (PeftVar) logits = NULL;

      if (dx != NULL)
        {
          input->grad->value = rows_of (dx, start, n);
          input->grad->fixed = TRUE;
        }
      logits = head (inner, &input, head_data);
      params.logits = logits->value->view;
      params.labels = label_rows->view;
      params.loss = loss_rows->view;
      params.gradient = logits->grad != NULL;
      if (hits != NULL)
        params.correct = peft_view_slice (&hits->view, 0, start, n);
      peft_tape_run (inner, PEFT_KERNEL_CROSS_ENTROPY, &params);
      if (logits->grad != NULL)
        peft_tape_backward (inner, logits, logits->value);
      met_param |= inner->met_param;
      if (inner->error != NULL)
        peft_tape_fail (tape, g_steal_pointer (&inner->error));
    }
  tape->met_param |= met_param;
  peft_tape_run (tape, PEFT_KERNEL_REDUCE, &sum);
  peft_tape_run (tape, PEFT_KERNEL_COPY, &divide);

  out = peft_tape_emit (tape, &head_loss_class, total, &x, 1, NULL, 0, &node);
  if (dx != NULL)
    peft_node_save_tensor (node, dx);
  if (row_loss != NULL)
    *row_loss = losses;
  else
    peft_tensor_unref (losses);
  if (correct != NULL)
    *correct = g_steal_pointer (&hits);
  return out;
}
