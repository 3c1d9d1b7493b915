/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "nn/peft-nodes.h"

/* Tier-2 nodes: elementwise, reductions, softmax, linear systems. */

/* grad (+)= src summed over the dims that were broadcast. */
static void
reduce_into (PeftTape *tape, const PeftView *src, const PeftView *grad, double alpha,
             gboolean accumulate)
{
  PeftView target = *grad;
  gboolean same = TRUE;

  if (target.n_dims < src->n_dims)
    {
      gint64 shape[PEFT_MAX_DIMS];
      guint extra = src->n_dims - target.n_dims;

      for (guint i = 0; i < src->n_dims; i++)
        shape[i] = i < extra ? 1 : target.shape[i - extra];
      target = peft_view_reshape (grad, src->n_dims, shape);
    }
  for (guint i = 0; i < src->n_dims; i++)
    same &= src->shape[i] == target.shape[i];
  if (same)
    {
      PeftCopyParams copy
          = { .x = *src, .y = target, .alpha = alpha, .accumulate = accumulate };
      peft_tape_run (tape, PEFT_KERNEL_COPY, &copy);
    }
  else
    {
      g_autoptr (PeftTensor) scratch = peft_tape_alloc (tape, target.dtype, target.n_dims, target.shape);
      PeftReduceParams reduce = { .x = *src, .y = scratch->view, .op = PEFT_REDUCE_SUM };
      PeftCopyParams copy
          = { .x = scratch->view, .y = target, .alpha = alpha, .accumulate = accumulate };

      peft_tape_run (tape, PEFT_KERNEL_REDUCE, &reduce);
      peft_tape_run (tape, PEFT_KERNEL_COPY, &copy);
    }
}

static void
run_binary (PeftTape *tape, PeftBinary op, const PeftView *a, const PeftView *b,
            const PeftView *c, gboolean accumulate)
{
  PeftBinaryParams params
      = { .a = *a, .b = *b, .c = *c, .op = op, .accumulate = accumulate };
  peft_tape_run (tape, PEFT_KERNEL_BINARY, &params);
}

/* ---- Binary -------------------------------------------------------------------------------- */

typedef struct
{
  PeftBinary op;
} BinaryState;

static void
binary_backward (PeftTape *tape, PeftNode *node)
{
  BinaryState *state = node->state;
  const PeftView *dy = peft_node_grad_output (node, 0);
  gboolean product = state->op == PEFT_BINARY_MUL || state->op == PEFT_BINARY_DIV;
  g_autoptr (PeftTensor) scratch = product ? peft_tape_alloc_like (tape, dy) : NULL;
  PeftView grad;
  gboolean accumulate;

  for (guint i = 0; i < 2; i++)
    {
      const PeftView *source = dy;
      double sign = 1;

      if (!peft_node_grad_input (tape, node, i, &grad, &accumulate))
        continue;
      if (product)
        {
          const PeftView *a = peft_node_saved (tape, node, 0);
          const PeftView *b = peft_node_saved (tape, node, 1);

          /* d(ab) = b da + a db; d(a/b) = da / b - (a/b) db / b. */
          run_binary (tape, state->op, dy, i == 0 ? b : state->op == PEFT_BINARY_MUL ? a : b,
                      &scratch->view, FALSE);
          if (i == 1 && state->op == PEFT_BINARY_DIV)
            {
              run_binary (tape, PEFT_BINARY_MUL, &scratch->view, a, &scratch->view, FALSE);
              run_binary (tape, PEFT_BINARY_DIV, &scratch->view, b, &scratch->view, FALSE);
              sign = -1;
            }
          source = &scratch->view;
        }
      else if (i == 1 && state->op == PEFT_BINARY_SUB)
        {
          sign = -1;
        }
      reduce_into (tape, source, &grad, sign, accumulate);
    }
}

static const PeftNodeClass binary_class = { .name = "binary", .backward = binary_backward };

static PeftVar *
binary (PeftTape *tape, PeftBinary op, PeftVar *a, PeftVar *b)
{
  const PeftView *va = &a->value->view, *vb = &b->value->view;
  guint n_dims = MAX (va->n_dims, vb->n_dims);
  gint64 shape[PEFT_MAX_DIMS];
  PeftVar *inputs[] = { a, b };
  BinaryState state = { op };
  PeftTensor *c;
  PeftNode *node;
  PeftVar *out;

  for (guint i = 0; i < n_dims; i++)
    {
      gint64 da = i + va->n_dims >= n_dims ? va->shape[i + va->n_dims - n_dims] : 1;
      gint64 db = i + vb->n_dims >= n_dims ? vb->shape[i + vb->n_dims - n_dims] : 1;

      g_assert (da == db || da == 1 || db == 1);
      shape[i] = da == 1 ? db : da;
    }
  c = peft_tape_alloc (tape, tape->backend->real, n_dims, shape);
  run_binary (tape, op, va, vb, &c->view, FALSE);
  out = peft_tape_emit (tape, &binary_class, c, inputs, 2, &state, sizeof state, &node);
  if (op == PEFT_BINARY_MUL || op == PEFT_BINARY_DIV)
    {
      peft_node_save (node, a);
      peft_node_save (node, b);
    }
  return out;
}

PeftVar *
peft_nn_add (PeftTape *tape, PeftVar *a, PeftVar *b)
{
  return binary (tape, PEFT_BINARY_ADD, a, b);
}

PeftVar *
peft_nn_sub (PeftTape *tape, PeftVar *a, PeftVar *b)
{
  return binary (tape, PEFT_BINARY_SUB, a, b);
}

PeftVar *
peft_nn_mul (PeftTape *tape, PeftVar *a, PeftVar *b)
{
  return binary (tape, PEFT_BINARY_MUL, a, b);
}

PeftVar *
peft_nn_div (PeftTape *tape, PeftVar *a, PeftVar *b)
{
  return binary (tape, PEFT_BINARY_DIV, a, b);
}

/* ---- Scale --------------------------------------------------------------------------------- */

typedef struct
{
  double factor;
} ScaleState;

static void
scale_backward (PeftTape *tape, PeftNode *node)
{
  ScaleState *state = node->state;
  PeftCopyParams copy = { .x = *peft_node_grad_output (node, 0), .alpha = state->factor };

  if (peft_node_grad_input (tape, node, 0, &copy.y, &copy.accumulate))
    peft_tape_run (tape, PEFT_KERNEL_COPY, &copy);
}

static const PeftNodeClass scale_class = { .name = "scale", .backward = scale_backward };

PeftVar *
peft_nn_scale (PeftTape *tape, PeftVar *x, double factor)
{
  const PeftView *vx = &x->value->view;
  PeftTensor *y = peft_tape_alloc (tape, tape->backend->real, vx->n_dims, vx->shape);
  PeftCopyParams copy = { .x = *vx, .y = y->view, .alpha = factor };
  ScaleState state = { factor };
  PeftNode *node;

  peft_tape_run (tape, PEFT_KERNEL_COPY, &copy);
  return peft_tape_emit (tape, &scale_class, y, &x, 1, &state, sizeof state, &node);
}

/* ---- Broadcast ----------------------------------------------------------------------------- */

static void
expand_backward (PeftTape *tape, PeftNode *node)
{
  PeftView grad;
  gboolean accumulate;

  if (peft_node_grad_input (tape, node, 0, &grad, &accumulate))
    reduce_into (tape, peft_node_grad_output (node, 0), &grad, 1, accumulate);
}

static const PeftNodeClass expand_class = { .name = "expand", .backward = expand_backward };

PeftVar *
peft_nn_expand (PeftTape *tape, PeftVar *x, guint n_dims, const gint64 *shape)
{
  const PeftView *vx = &x->value->view;
  const guint extra = n_dims - vx->n_dims;
  PeftTensor *y = peft_tape_alloc (tape, tape->backend->real, n_dims, shape);
  PeftCopyParams copy = { .x = *vx, .y = y->view, .alpha = 1 };
  PeftNode *node;

  copy.x.n_dims = n_dims;
  for (guint i = 0; i < n_dims; i++)
    {
      gboolean same = i >= extra && vx->shape[i - extra] == shape[i];

      g_assert (same || i < extra || vx->shape[i - extra] == 1);
      copy.x.shape[i] = shape[i];
      copy.x.stride[i] = same ? vx->stride[i - extra] : 0;
    }
  peft_tape_run (tape, PEFT_KERNEL_COPY, &copy);
  return peft_tape_emit (tape, &expand_class, y, &x, 1, NULL, 0, &node);
}

/* ---- Unary --------------------------------------------------------------------------------- */

typedef struct
{
  PeftUnary op;
} UnaryState;

static void
unary_backward (PeftTape *tape, PeftNode *node)
{
  UnaryState *state = node->state;
  PeftUnaryBackwardParams params = {
    .x = *peft_node_saved (tape, node, 0),
    .dy = *peft_node_grad_output (node, 0),
    .op = state->op,
  };
  if (peft_node_grad_input (tape, node, 0, &params.dx, &params.accumulate))
    peft_tape_run (tape, PEFT_KERNEL_UNARY_BACKWARD, &params);
}

static const PeftNodeClass unary_class = { .name = "unary", .backward = unary_backward };

PeftVar *
peft_nn_unary (PeftTape *tape, PeftUnary op, PeftVar *x)
{
  const PeftView *vx = &x->value->view;
  PeftTensor *y = peft_tape_alloc (tape, tape->backend->real, vx->n_dims, vx->shape);
  PeftUnaryParams params = { .x = *vx, .y = y->view, .op = op };
  UnaryState state = { op };
  PeftNode *node;
  PeftVar *out;

  peft_tape_run (tape, PEFT_KERNEL_UNARY, &params);
  out = peft_tape_emit (tape, &unary_class, y, &x, 1, &state, sizeof state, &node);
  peft_node_save (node, x);
  return out;
}

/* ---- Reductions ---------------------------------------------------------------------------- */

/* Nothing beside any norm but 0, in float32 too. */
#define TINY_NORM 1e-30

typedef struct
{
  PeftReduce op;
  double factor; /* of the gradient: 1, or 1/n for means */
} ReduceState;

static void
reduce_backward (PeftTape *tape, PeftNode *node)
{
  ReduceState *state = node->state;
  const PeftView *dy = peft_node_grad_output (node, 0);
  PeftView grad;
  gboolean accumulate;

  if (!peft_node_grad_input (tape, node, 0, &grad, &accumulate))
    return;
  if (state->op == PEFT_REDUCE_NORM)
    {
      /* d‖x‖ = x / ‖x‖; 0 at 0, where the smallest of numbers keeps the quotient finite. */
      const PeftView *x = peft_node_saved (tape, node, 0);
      const PeftView *y = peft_node_saved (tape, node, 1);
      g_autoptr (PeftTensor) ratio = peft_tape_alloc_like (tape, dy);

      const PeftFillParams fill = { .x = ratio->view, .value = TINY_NORM };

      peft_tape_run (tape, PEFT_KERNEL_FILL, &fill);
      run_binary (tape, PEFT_BINARY_ADD, y, &ratio->view, &ratio->view, FALSE);
      run_binary (tape, PEFT_BINARY_DIV, dy, &ratio->view, &ratio->view, FALSE);
      run_binary (tape, PEFT_BINARY_MUL, x, &ratio->view, &grad, accumulate);
    }
  else
    {
      PeftCopyParams copy
          = { .x = *dy, .y = grad, .alpha = state->factor, .accumulate = accumulate };

      for (guint i = 0; i < grad.n_dims; i++)
        if (copy.x.shape[i] != grad.shape[i])
          {
            copy.x.shape[i] = grad.shape[i];
            copy.x.stride[i] = 0;
          }
      peft_tape_run (tape, PEFT_KERNEL_COPY, &copy);
    }
}

static const PeftNodeClass reduce_class = { .name = "reduce", .backward = reduce_backward };

PeftVar *
peft_nn_reduce (PeftTape *tape, PeftReduce op, PeftVar *x, guint dims)
{
  const PeftView *vx = &x->value->view;
  gint64 shape[PEFT_MAX_DIMS];
  ReduceState state = { op, 1 };
  PeftReduceParams params = { .x = *vx, .op = op };
  PeftTensor *y;
  PeftNode *node;
  PeftVar *out;

  g_assert (op != PEFT_REDUCE_MAX);
  for (guint i = 0; i < vx->n_dims; i++)
    {
      shape[i] = dims & (1u << i) ? 1 : vx->shape[i];
      if (op == PEFT_REDUCE_MEAN)
        state.factor *= (double) shape[i] / vx->shape[i];
    }
  y = peft_tape_alloc (tape, tape->backend->real, vx->n_dims, shape);
  params.y = y->view;
  peft_tape_run (tape, PEFT_KERNEL_REDUCE, &params);
  out = peft_tape_emit (tape, &reduce_class, y, &x, 1, &state, sizeof state, &node);
  if (op == PEFT_REDUCE_NORM)
    {
      peft_node_save (node, x);
      peft_node_save (node, out);
    }
  return out;
}

/* ---- Softmax ------------------------------------------------------------------------------- */

static void
softmax_backward (PeftTape *tape, PeftNode *node)
{
  PeftSoftmaxBackwardParams params
      = { .y = *peft_node_saved (tape, node, 0), .dy = *peft_node_grad_output (node, 0) };

  if (peft_node_grad_input (tape, node, 0, &params.dx, &params.accumulate))
    peft_tape_run (tape, PEFT_KERNEL_SOFTMAX_BACKWARD, &params);
}

static const PeftNodeClass softmax_class = { .name = "softmax", .backward = softmax_backward };

PeftVar *
peft_nn_softmax (PeftTape *tape, PeftVar *x)
{
  const PeftView *vx = &x->value->view;
  PeftTensor *y = peft_tape_alloc (tape, tape->backend->real, vx->n_dims, vx->shape);
  PeftSoftmaxParams params = { .x = *vx, .y = y->view };
  PeftNode *node;
  PeftVar *out;

  peft_tape_run (tape, PEFT_KERNEL_SOFTMAX, &params);
  out = peft_tape_emit (tape, &softmax_class, y, &x, 1, NULL, 0, &node);
  peft_node_save (node, out);
  return out;
}

/* ---- Linear systems ------------------------------------------------------------------------ */

static void
solve_backward (PeftTape *tape, PeftNode *node)
{
  const PeftView *dx = peft_node_grad_output (node, 0);
  const PeftView *x = peft_node_saved (tape, node, 2);
  g_autoptr (PeftTensor) db = peft_tape_alloc_like (tape, dx);
  PeftCopyParams copy = { .x = *dx, .y = db->view, .alpha = 1 };
  PeftLuSolveParams solve = {
    .lu = *peft_node_saved (tape, node, 0),
    .pivots = *peft_node_saved (tape, node, 1),
    .x = db->view,
    .transpose = TRUE,
  };
  PeftView grad;
  gboolean accumulate;

  /* dB = A⁻ᵀ dX; dA = -dB Xᵀ. */
  peft_tape_run (tape, PEFT_KERNEL_COPY, &copy);
  peft_tape_run (tape, PEFT_KERNEL_LU_SOLVE, &solve);
  if (peft_node_grad_input (tape, node, 0, &grad, &accumulate))
    {
      PeftMatmulParams product = {
        .a = db->view, .b = *x, .c = grad, .trans_b = TRUE, .alpha = -1,
        .accumulate = accumulate,
      };
      peft_tape_run (tape, PEFT_KERNEL_MATMUL, &product);
    }
  if (peft_node_grad_input (tape, node, 1, &grad, &accumulate))
    reduce_into (tape, &db->view, &grad, 1, accumulate);
}

static const PeftNodeClass solve_class = { .name = "solve", .backward = solve_backward };

PeftVar *
peft_nn_solve (PeftTape *tape, PeftVar *a, PeftVar *b)
{
  const PeftView *va = &a->value->view, *vb = &b->value->view;
  g_autoptr (PeftTensor) lu = peft_tape_alloc (tape, tape->backend->real, 3, va->shape);
  g_autoptr (PeftTensor) pivots = peft_tape_alloc (tape, PEFT_DTYPE_I32, 2, va->shape);
  PeftTensor *x = peft_tape_alloc (tape, tape->backend->real, 3, vb->shape);
  PeftCopyParams copy_a = { .x = *va, .y = lu->view, .alpha = 1 };
  PeftCopyParams copy_b = { .x = *vb, .y = x->view, .alpha = 1 };
  PeftLuFactorParams factor = { .a = lu->view, .pivots = pivots->view };
  PeftLuSolveParams solve = { .lu = lu->view, .pivots = pivots->view, .x = x->view };
  PeftVar *inputs[] = { a, b };
  PeftNode *node;
  PeftVar *out;

  peft_tape_run (tape, PEFT_KERNEL_COPY, &copy_a);
  peft_tape_run (tape, PEFT_KERNEL_COPY, &copy_b);
  peft_tape_run (tape, PEFT_KERNEL_LU_FACTOR, &factor);
  peft_tape_run (tape, PEFT_KERNEL_LU_SOLVE, &solve);
  out = peft_tape_emit (tape, &solve_class, x, inputs, 2, NULL, 0, &node);
  peft_node_save_tensor (node, lu);
  peft_node_save_tensor (node, pivots);
  peft_node_save (node, out);
  return out;
}
