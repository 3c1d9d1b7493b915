/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "nn/peft-nodes.h"

/* ---- Addition of a residual ---------------------------------------------------------------- */

static void
residual_backward (PeftTape *tape, PeftNode *node)
{
  peft_node_pass_grad (tape, node, 0);
  peft_node_pass_grad (tape, node, 1);
}

static const PeftNodeClass residual_class = { .name = "residual", .backward = residual_backward };

PeftVar *
peft_nn_residual (PeftTape *tape, PeftVar *x, PeftVar *delta)
{
  gboolean in_place = peft_var_is_exclusive (delta);
  PeftTensor *sum = in_place ? peft_tensor_ref (delta->value)
                             : peft_tape_alloc_like (tape, &x->value->view);
  PeftVar *terms[] = { x, delta };
  PeftNode *node;

  if (in_place)
    {
      PeftCopyParams add = { .x = x->value->view, .y = sum->view, .alpha = 1, .accumulate = TRUE };
      peft_tape_run (tape, PEFT_KERNEL_COPY, &add);
    }
  else
    {
      PeftBinaryParams add = {
        .a = x->value->view, .b = delta->value->view, .c = sum->view, .op = PEFT_BINARY_ADD,
      };
      peft_tape_run (tape, PEFT_KERNEL_BINARY, &add);
    }
  return peft_tape_emit (tape, &residual_class, sum, terms, 2, NULL, 0, &node);
}

/* ---- RMSNorm ------------------------------------------------------------------------------- */

typedef struct
{
  double eps, weight_offset;
} RmsNormState;

static void
rms_norm_backward (PeftTape *tape, PeftNode *node)
{
  RmsNormState *state = node->state;
  PeftRmsNormBackwardParams params = {
    .dy = *peft_node_grad_output (node, 0),
    .x = *peft_node_saved (tape, node, 0),
    .weight = *peft_node_saved (tape, node, 1),
    .rstd = *peft_node_saved (tape, node, 2),
    .weight_offset = state->weight_offset,
  };
  g_autoptr (PeftTensor) unused = NULL;
  gboolean add_weight;

  /* The kernel writes dx always and adds to dweight always. */
  if (!peft_node_grad_input (tape, node, 0, &params.dx, &params.accumulate))
    {
      unused = peft_tape_alloc (tape, tape->backend->real, params.x.n_dims, params.x.shape);
      params.dx = unused->view;
    }
  if (peft_node_grad_input (tape, node, 1, &params.dweight, &add_weight) && !add_weight)
    {
      PeftFillParams fill = { .x = params.dweight };
      peft_tape_run (tape, PEFT_KERNEL_FILL, &fill);
    }
  peft_tape_run (tape, PEFT_KERNEL_RMS_NORM_BACKWARD, &params);
}

static void
rms_norm_recompute (PeftTape *tape, PeftNode *node, PeftTensor *output)
{
  RmsNormState *state = node->state;
  PeftRmsNormParams params = {
    .x = *peft_node_saved (tape, node, 0),
    .weight = *peft_node_saved (tape, node, 1),
    .y = output->view,
    .eps = state->eps,
    .weight_offset = state->weight_offset,
  };
  peft_tape_run (tape, PEFT_KERNEL_RMS_NORM, &params);
}

static const PeftNodeClass rms_norm_class = {
  .name = "rms-norm",
  .backward = rms_norm_backward,
  .recompute = rms_norm_recompute,
};

PeftVar *
peft_nn_rms_norm (PeftTape *tape, PeftVar *x, PeftVar *residual, PeftVar *weight, double eps,
                  double weight_offset, PeftVar **sum)
{
  const PeftView *view = &x->value->view;
  gint64 rows = peft_view_n_values (view) / MAX (view->shape[view->n_dims - 1], 1);
  /* q/k norms feed rope, everything else feeds matrix products. */
  PeftDType dtype = view->n_dims == 2 ? peft_tape_matmul_dtype (tape) : tape->backend->real;
  PeftTensor *y = peft_tape_alloc (tape, dtype, view->n_dims, view->shape);
  g_autoptr (PeftTensor) rstd = peft_tape_alloc (tape, tape->backend->real, 1, &rows);
  RmsNormState state = { eps, weight_offset };
  g_autoptr (PeftVar) input = NULL;
  PeftRmsNormParams params = {
    .x = *view, .weight = weight->value->view, .y = y->view, .rstd = rstd->view,
    .eps = eps, .weight_offset = weight_offset,
  };
  PeftNode *node;
  PeftVar *out;

  if (residual != NULL)
    {
      PeftTensor *total = peft_tape_alloc (tape, tape->backend->real, view->n_dims, view->shape);
      PeftVar *terms[] = { residual, x };

      params.residual = residual->value->view;
      params.sum = total->view;
      peft_tape_run (tape, PEFT_KERNEL_RMS_NORM, &params);
      input = peft_tape_emit (tape, &residual_class, total, terms, 2, NULL, 0, &node);
      *sum = peft_var_ref (input);
    }
  else
    {
      peft_tape_run (tape, PEFT_KERNEL_RMS_NORM, &params);
      input = peft_var_ref (x);
    }

  out = peft_tape_emit (tape, &rms_norm_class, y, (PeftVar *[]){ input, weight }, 2, &state,
                        sizeof state, &node);
  peft_node_save (node, input);
  peft_node_save (node, weight);
  peft_node_save_tensor (node, rstd);
  return out;
}
