/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "base/peft-random.h"
#include "nn/peft-node-matmul.h"
#include "nn/peft-nodes.h"

/* Products with weights that are made for one pass: W + ΔW, and ΔW as a product of products. Both are formed
 * again in the backward pass: they are as large as the weight itself, what they are made of is small. */

/* ---- x (W + ΔW)ᵀ --------------------------------------------------------------------------- */

typedef struct
{
  gboolean transposed_weight;
} LinearDeltaState;

enum
{
  DELTA_X,
  DELTA_WEIGHT,
  DELTA_DELTA,
  DELTA_BIAS
};

/* W + ΔW, [out, in], in the type that products are made in. */
static PeftTensor *
form_weight (PeftTape *tape, const PeftView *weight, const PeftView *delta,
             gboolean transposed_weight)
{
  PeftTensor *sum = peft_tape_alloc (tape, peft_tape_matmul_dtype (tape), 2, delta->shape);
  const PeftCopyParams copy = {
    .x = transposed_weight ? peft_view_transpose (weight) : *weight, .y = sum->view, .alpha = 1,
  };
  const PeftCopyParams add = { .x = *delta, .y = sum->view, .alpha = 1, .accumulate = TRUE };

  peft_tape_run (tape, PEFT_KERNEL_COPY, &copy);
  peft_tape_run (tape, PEFT_KERNEL_COPY, &add);
  return sum;
}

/* dx (+)= dy (W + ΔW) */
static void
input_gradient (PeftTape *tape, const PeftView *dy, const PeftView *weight, const PeftView *delta,
                gboolean transposed_weight, const PeftView *grad, gboolean accumulate)
{
  if (peft_dtype_is_block (weight->dtype))
    {
      peft_node_matmul (tape, dy, FALSE, weight, transposed_weight, grad, NULL, 1, accumulate);
      peft_node_matmul (tape, dy, FALSE, delta, FALSE, grad, NULL, 1, TRUE);
    }
  else
    {
      g_autoptr (PeftTensor) sum = form_weight (tape, weight, delta, transposed_weight);

      peft_node_matmul (tape, dy, FALSE, &sum->view, FALSE, grad, NULL, 1, accumulate);
    }
}

static void
linear_delta_backward (PeftTape *tape, PeftNode *node)
{
  const LinearDeltaState *state = node->state;
  const PeftView *dy = peft_node_grad_output (node, 0);
  const PeftView *x = peft_node_saved (tape, node, 0);
  PeftView grad;
  gboolean accumulate;

  if (peft_node_grad_input (tape, node, DELTA_DELTA, &grad, &accumulate))
    peft_node_matmul (tape, dy, TRUE, x, FALSE, &grad, NULL, 1, accumulate);
  if (peft_node_grad_input (tape, node, DELTA_WEIGHT, &grad, &accumulate))
    {
      if (state->transposed_weight)
        peft_node_matmul (tape, x, TRUE, dy, FALSE, &grad, NULL, 1, accumulate);
      else
        peft_node_matmul (tape, dy, TRUE, x, FALSE, &grad, NULL, 1, accumulate);
    }
  if (peft_node_grad_input (tape, node, DELTA_X, &grad, &accumulate))
    input_gradient (tape, dy, peft_node_saved (tape, node, 1), peft_node_saved (tape, node, 2),
                    state->transposed_weight, &grad, accumulate);
  if (peft_node_grad_input (tape, node, DELTA_BIAS, &grad, &accumulate))
    {
      const gint64 row[2] = { 1, dy->shape[1] };
      const PeftReduceParams sum = {
        .x = *dy, .y = peft_view_reshape (&grad, 2, row), .op = PEFT_REDUCE_SUM,
        .accumulate = accumulate,
      };
      peft_tape_run (tape, PEFT_KERNEL_REDUCE, &sum);
    }
}

static const PeftNodeClass linear_delta_class = {
  .name = "linear-delta",
  .backward = linear_delta_backward,
};

PeftVar *
peft_nn_linear_delta (PeftTape *tape, PeftVar *x, PeftVar *weight, PeftVar *delta, PeftVar *bias,
                      gboolean transposed_weight)
{
  const PeftView *w = &weight->value->view, *d = &delta->value->view;
  const PeftView *b = bias != NULL ? &bias->value->view : NULL;
  const gint64 shape[2] = { peft_var_shape (x)[0], d->shape[0] };
  PeftTensor *y = peft_tape_alloc (tape, tape->backend->real, 2, shape);
  PeftVar *inputs[] = { x, weight, delta, bias };
  const LinearDeltaState state = { transposed_weight };
  PeftNode *node;
  PeftVar *out;

  if (peft_dtype_is_block (w->dtype))
    {
      peft_node_matmul (tape, &x->value->view, FALSE, w, !transposed_weight, &y->view, b, 1, FALSE);
      peft_node_matmul (tape, &x->value->view, FALSE, d, TRUE, &y->view, NULL, 1, TRUE);
    }
  else
    {
      g_autoptr (PeftTensor) sum = form_weight (tape, w, d, transposed_weight);

      peft_node_matmul (tape, &x->value->view, FALSE, &sum->view, TRUE, &y->view, b, 1, FALSE);
    }
  out = peft_tape_emit (tape, &linear_delta_class, y, inputs, 4, &state, sizeof state, &node);
  peft_node_save (node, x);
  peft_node_save (node, weight);
  peft_node_save (node, delta);
  return out;
}

/* ---- scale · (A₁ B₁) ⊙ (A₂ B₂) -------------------------------------------------------------- */

typedef struct
{
  double scale;
} HadamardState;

static void
run_binary (PeftTape *tape, PeftBinary op, const PeftView *a, const PeftView *b, const PeftView *c)
{
  const PeftBinaryParams params = { .a = *a, .b = *b, .c = *c, .op = op };
  peft_tape_run (tape, PEFT_KERNEL_BINARY, &params);
}

static void
form_hadamard (PeftTape *tape, const PeftView *const factors[4], double scale, const PeftView *out)
{
  g_autoptr (PeftTensor) second = peft_tape_alloc_like (tape, out);

  peft_node_matmul (tape, factors[0], FALSE, factors[1], FALSE, out, NULL, scale, FALSE);
  peft_node_matmul (tape, factors[2], FALSE, factors[3], FALSE, &second->view, NULL, 1, FALSE);
  run_binary (tape, PEFT_BINARY_MUL, out, &second->view, out);
}

/* With T = dΔ ⊙ (A₂ B₂): dA₁ = s T B₁ᵀ, dB₁ = s A₁ᵀ T, and the other way round. */
static void
hadamard_backward (PeftTape *tape, PeftNode *node)
{
  const HadamardState *state = node->state;
  const PeftView *dy = peft_node_grad_output (node, 0);
  g_autoptr (PeftTensor) scratch = peft_tape_alloc_like (tape, dy);
  PeftView grad;
  gboolean accumulate;

  for (guint i = 0; i < 2; i++)
    {
      const PeftView *a = peft_node_saved (tape, node, 2 * i);
      const PeftView *b = peft_node_saved (tape, node, 2 * i + 1);

      if (node->inputs[2 * i] == NULL && node->inputs[2 * i + 1] == NULL)
        continue;
      peft_node_matmul (tape, peft_node_saved (tape, node, 2 - 2 * i), FALSE,
              peft_node_saved (tape, node, 3 - 2 * i), FALSE, &scratch->view, NULL, state->scale,
              FALSE);
      run_binary (tape, PEFT_BINARY_MUL, dy, &scratch->view, &scratch->view);
      if (peft_node_grad_input (tape, node, 2 * i, &grad, &accumulate))
        peft_node_matmul (tape, &scratch->view, FALSE, b, TRUE, &grad, NULL, 1, accumulate);
      if (peft_node_grad_input (tape, node, 2 * i + 1, &grad, &accumulate))
        peft_node_matmul (tape, a, TRUE, &scratch->view, FALSE, &grad, NULL, 1, accumulate);
    }
}

static void
hadamard_recompute (PeftTape *tape, PeftNode *node, PeftTensor *output)
{
  const HadamardState *state = node->state;
  const PeftView *factors[4];

  for (guint i = 0; i < 4; i++)
    factors[i] = peft_node_saved (tape, node, i);
  form_hadamard (tape, factors, state->scale, &output->view);
}

static const PeftNodeClass hadamard_class = {
  .name = "hadamard-low-rank",
  .backward = hadamard_backward,
  .recompute = hadamard_recompute,
};

PeftVar *
peft_nn_hadamard_low_rank (PeftTape *tape, PeftVar *a1, PeftVar *b1, PeftVar *a2, PeftVar *b2,
                           double scale)
{
  const gint64 shape[2] = { peft_var_shape (a1)[0], peft_var_shape (b1)[1] };
  PeftTensor *out = peft_tape_alloc (tape, tape->backend->real, 2, shape);
  PeftVar *inputs[] = { a1, b1, a2, b2 };
  const PeftView *factors[] = {
    &a1->value->view, &b1->value->view, &a2->value->view, &b2->value->view,
  };
  const HadamardState state = { scale };
  PeftNode *node;
  PeftVar *var;

  form_hadamard (tape, factors, scale, &out->view);
  var = peft_tape_emit (tape, &hadamard_class, out, inputs, 4, &state, sizeof state, &node);
  for (guint i = 0; i < 4; i++)
    peft_node_save (node, inputs[i]);
  return var;
}

/* ---- Modules left out ---------------------------------------------------------------------- */

gboolean
peft_nn_takes_part (PeftTape *tape, double p, guint64 stream)
{
  if (!tape->options.training || p <= 0)
    return TRUE;
  return peft_random_uniform (tape->options.seed, stream, tape->options.step) >= p;
}
