/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "nn/peft-node-matmul.h"
#include "nn/peft-nodes.h"

/* grad (+)= alpha · column sums of dy. */
static void
sum_rows (PeftTape *tape, const PeftView *dy, const PeftView *grad, double alpha,
          gboolean accumulate)
{
  const gint64 row[2] = { 1, dy->shape[1] };
  PeftView sums = peft_view_reshape (grad, 2, row);

  if (alpha == 1)
    {
      PeftReduceParams params
          = { .x = *dy, .y = sums, .op = PEFT_REDUCE_SUM, .accumulate = accumulate };
      peft_tape_run (tape, PEFT_KERNEL_REDUCE, &params);
    }
  else
    {
      g_autoptr (PeftTensor) scratch = peft_tape_alloc (tape, grad->dtype, 2, row);
      PeftReduceParams params = { .x = *dy, .y = scratch->view, .op = PEFT_REDUCE_SUM };
      PeftCopyParams copy
          = { .x = scratch->view, .y = sums, .alpha = alpha, .accumulate = accumulate };

      peft_tape_run (tape, PEFT_KERNEL_REDUCE, &params);
      peft_tape_run (tape, PEFT_KERNEL_COPY, &copy);
    }
}

/* ---- Linear -------------------------------------------------------------------------------- */

typedef struct
{
  gboolean transposed_weight;
} LinearState;

static void
linear_backward (PeftTape *tape, PeftNode *node)
{
  LinearState *state = node->state;
  const PeftView *dy = peft_node_grad_output (node, 0);
  PeftView grad;
  gboolean accumulate;

  if (peft_node_grad_input (tape, node, 0, &grad, &accumulate))
    peft_node_matmul (tape, dy, FALSE, peft_node_saved (tape, node, 0), state->transposed_weight, &grad, NULL,
            1, accumulate);
  if (peft_node_grad_input (tape, node, 1, &grad, &accumulate))
    {
      const PeftView *x = peft_node_saved (tape, node, 1);

      if (state->transposed_weight)
        peft_node_matmul (tape, x, TRUE, dy, FALSE, &grad, NULL, 1, accumulate);
      else
        peft_node_matmul (tape, dy, TRUE, x, FALSE, &grad, NULL, 1, accumulate);
    }
  if (peft_node_grad_input (tape, node, 2, &grad, &accumulate))
    sum_rows (tape, dy, &grad, 1, accumulate);
}

static const PeftNodeClass linear_class = { .name = "linear", .backward = linear_backward };

PeftVar *
peft_nn_linear (PeftTape *tape, PeftVar *x, PeftVar *weight, PeftVar *bias,
                gboolean transposed_weight)
{
  const gint64 shape[2]
      = { x->value->view.shape[0], weight->value->view.shape[transposed_weight ? 1 : 0] };
  PeftTensor *y = peft_tape_alloc (tape, tape->backend->real, 2, shape);
  PeftVar *inputs[] = { x, weight, bias };
  LinearState state = { transposed_weight };
  PeftNode *node;
  PeftVar *out;

  peft_node_matmul (tape, &x->value->view, FALSE, &weight->value->view, !transposed_weight, &y->view,
          bias != NULL ? &bias->value->view : NULL, 1, FALSE);
  out = peft_tape_emit (tape, &linear_class, y, inputs, 3, &state, sizeof state, &node);
  peft_node_save (node, weight);
  if (node != NULL && node->inputs[1] != NULL)
    peft_node_save (node, x);
  return out;
}

/* ---- Low-rank update ----------------------------------------------------------------------- */

typedef struct
{
  double scale;
} LowRankState;

enum
{
  LOW_RANK_Y,
  LOW_RANK_X,
  LOW_RANK_A,
  LOW_RANK_B,
  LOW_RANK_BIAS
};

static void
low_rank_backward (PeftTape *tape, PeftNode *node)
{
  LowRankState *state = node->state;
  const PeftView *dy = peft_node_grad_output (node, 0);
  const PeftView *a = peft_node_saved (tape, node, 0);
  const PeftView *b = peft_node_saved (tape, node, 1);
  const PeftView *u = peft_node_saved (tape, node, 2);
  PeftView grad;
  gboolean accumulate;

  if (peft_node_grad_input (tape, node, LOW_RANK_B, &grad, &accumulate))
    peft_node_matmul (tape, dy, TRUE, u, FALSE, &grad, NULL, state->scale, accumulate);
  if (node->inputs[LOW_RANK_A] != NULL || node->inputs[LOW_RANK_X] != NULL)
    {
      g_autoptr (PeftTensor) du = peft_tape_alloc (tape, tape->backend->real, 2, u->shape);

      peft_node_matmul (tape, dy, FALSE, b, FALSE, &du->view, NULL, state->scale, FALSE);
      if (peft_node_grad_input (tape, node, LOW_RANK_A, &grad, &accumulate))
        peft_node_matmul (tape, &du->view, TRUE, peft_node_saved (tape, node, 3), FALSE, &grad, NULL, 1,
                accumulate);
      if (peft_node_grad_input (tape, node, LOW_RANK_X, &grad, &accumulate))
        peft_node_matmul (tape, &du->view, FALSE, a, FALSE, &grad, NULL, 1, accumulate);
    }
  if (peft_node_grad_input (tape, node, LOW_RANK_BIAS, &grad, &accumulate))
    sum_rows (tape, dy, &grad, state->scale, accumulate);
  peft_node_pass_grad (tape, node, LOW_RANK_Y);
}

static const PeftNodeClass low_rank_class = { .name = "low-rank", .backward = low_rank_backward };

PeftVar *
peft_nn_low_rank (PeftTape *tape, PeftVar *y, PeftVar *x, PeftVar *a, PeftVar *b, PeftVar *bias,
                  double scale)
{
  const gint64 inner[2] = { x->value->view.shape[0], a->value->view.shape[0] };
  g_autoptr (PeftTensor) u = peft_tape_alloc (tape, tape->backend->real, 2, inner);
  PeftVar *inputs[] = { y, x, a, b, bias };
  LowRankState state = { scale };
  PeftTensor *result;
  PeftNode *node;
  PeftVar *out;

  if (peft_var_is_exclusive (y))
    {
      result = peft_tensor_ref (y->value);
    }
  else
    {
      PeftCopyParams copy = { .x = y->value->view, .alpha = 1 };

      result = peft_tape_alloc_like (tape, &y->value->view);
      copy.y = result->view;
      peft_tape_run (tape, PEFT_KERNEL_COPY, &copy);
    }
  peft_node_matmul (tape, &x->value->view, FALSE, &a->value->view, TRUE, &u->view, NULL, 1, FALSE);
  peft_node_matmul (tape, &u->view, FALSE, &b->value->view, TRUE, &result->view, NULL, scale, TRUE);
  if (bias != NULL)
    {
      const gint64 row[2] = { 1, bias->value->view.shape[0] };
      PeftCopyParams add = {
        .x = peft_view_reshape (&bias->value->view, 2, row),
        .y = result->view, .alpha = scale, .accumulate = TRUE,
      };

      add.x.shape[0] = result->view.shape[0];
      add.x.stride[0] = 0;
      peft_tape_run (tape, PEFT_KERNEL_COPY, &add);
    }
  out = peft_tape_emit (tape, &low_rank_class, result, inputs, 5, &state, sizeof state, &node);
  peft_node_save (node, a);
  peft_node_save (node, b);
  peft_node_save_tensor (node, u);
  if (node != NULL && node->inputs[LOW_RANK_A] != NULL)
    peft_node_save (node, x);
  return out;
}

/* ---- General matrix product ---------------------------------------------------------------- */

typedef struct
{
  gboolean trans_a, trans_b;
} MatmulState;

static void
matmul_backward (PeftTape *tape, PeftNode *node)
{
  MatmulState *state = node->state;
  const PeftView *dy = peft_node_grad_output (node, 0);
  PeftView grad;
  gboolean accumulate;

  if (peft_node_grad_input (tape, node, 0, &grad, &accumulate))
    {
      const PeftView *b = peft_node_saved (tape, node, 1);

      if (state->trans_a)
        peft_node_matmul (tape, b, state->trans_b, dy, TRUE, &grad, NULL, 1, accumulate);
      else
        peft_node_matmul (tape, dy, FALSE, b, !state->trans_b, &grad, NULL, 1, accumulate);
    }
  if (peft_node_grad_input (tape, node, 1, &grad, &accumulate))
    {
      const PeftView *a = peft_node_saved (tape, node, 0);

      if (state->trans_b)
        peft_node_matmul (tape, dy, TRUE, a, state->trans_a, &grad, NULL, 1, accumulate);
      else
        peft_node_matmul (tape, a, !state->trans_a, dy, FALSE, &grad, NULL, 1, accumulate);
    }
}

static const PeftNodeClass matmul_class = { .name = "matmul", .backward = matmul_backward };

PeftVar *
peft_nn_matmul (PeftTape *tape, PeftVar *a, PeftVar *b, gboolean trans_a, gboolean trans_b)
{
  const PeftView *va = &a->value->view, *vb = &b->value->view;
  guint last = va->n_dims - 1;
  gint64 shape[3] = { va->shape[0], 0, 0 };
  PeftVar *inputs[] = { a, b };
  MatmulState state = { trans_a, trans_b };
  PeftTensor *c;
  PeftNode *node;
  PeftVar *out;

  g_assert (va->n_dims == vb->n_dims && (va->n_dims == 2 || va->n_dims == 3));
  shape[last - 1] = va->shape[trans_a ? last : last - 1];
  shape[last] = vb->shape[trans_b ? last - 1 : last];
  c = peft_tape_alloc (tape, tape->backend->real, va->n_dims, shape);
  peft_node_matmul (tape, va, trans_a, vb, trans_b, &c->view, NULL, 1, FALSE);
  out = peft_tape_emit (tape, &matmul_class, c, inputs, 2, &state, sizeof state, &node);
  peft_node_save (node, a);
  peft_node_save (node, b);
  return out;
}
