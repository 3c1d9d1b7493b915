/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "base/peft-random.h"
#include "nn/peft-nodes.h"

/* ---- Gated product ------------------------------------------------------------------------- */

typedef struct
{
  PeftActivation activation;
} GatedState;

static void
gated_backward (PeftTape *tape, PeftNode *node)
{
  GatedState *state = node->state;
  PeftGatedBackwardParams params = {
    .dh = *peft_node_grad_output (node, 0),
    .gate = *peft_node_saved (tape, node, 0),
    .up = *peft_node_saved (tape, node, 1),
    .activation = state->activation,
  };
  PeftTensor *scratch[2];

  for (guint i = 0; i < 2; i++)
    if (!peft_node_grad_input_begin (tape, node, i, &scratch[i]))
      scratch[i] = peft_tape_alloc (tape, tape->backend->real, 2, params.gate.shape);
  params.dgate = scratch[0]->view;
  params.dup = scratch[1]->view;
  peft_tape_run (tape, PEFT_KERNEL_GATED_BACKWARD, &params);
  for (guint i = 0; i < 2; i++)
    {
      if (node->inputs[i] != NULL)
        peft_node_grad_input_end (tape, node, i, scratch[i]);
      else
        peft_tensor_unref (scratch[i]);
    }
}

static void
gated_recompute (PeftTape *tape, PeftNode *node, PeftTensor *output)
{
  GatedState *state = node->state;
  PeftGatedParams params = {
    .gate = *peft_node_saved (tape, node, 0),
    .up = *peft_node_saved (tape, node, 1),
    .h = output->view,
    .activation = state->activation,
  };
  peft_tape_run (tape, PEFT_KERNEL_GATED, &params);
}

static const PeftNodeClass gated_class = {
  .name = "gated",
  .backward = gated_backward,
  .recompute = gated_recompute,
};

PeftVar *
peft_nn_gated (PeftTape *tape, PeftVar *gate, PeftVar *up, PeftActivation activation)
{
  PeftTensor *h = peft_tape_alloc (tape, peft_tape_matmul_dtype (tape), 2, peft_var_shape (gate));
  PeftGatedParams params = {
    .gate = gate->value->view, .up = up->value->view, .h = h->view, .activation = activation,
  };
  PeftVar *inputs[] = { gate, up };
  GatedState state = { activation };
  PeftNode *node;
  PeftVar *out;

  peft_tape_run (tape, PEFT_KERNEL_GATED, &params);
  out = peft_tape_emit (tape, &gated_class, h, inputs, 2, &state, sizeof state, &node);
  peft_node_save (node, gate);
  peft_node_save (node, up);
  return out;
}

/* ---- Dropout ------------------------------------------------------------------------------- */

typedef struct
{
  guint64 seed, stream;
  double p;
} DropoutState;

static void
run_dropout (PeftTape *tape, const DropoutState *state, const PeftView *x, const PeftView *y,
             gboolean accumulate)
{
  PeftDropoutParams params = {
    .x = *x, .y = *y, .seed = state->seed, .stream = state->stream, .p = state->p,
    .accumulate = accumulate,
  };
  peft_tape_run (tape, PEFT_KERNEL_DROPOUT, &params);
}

static void
dropout_backward (PeftTape *tape, PeftNode *node)
{
  PeftView grad;
  gboolean accumulate;

  if (peft_node_grad_input (tape, node, 0, &grad, &accumulate))
    run_dropout (tape, node->state, peft_node_grad_output (node, 0), &grad, accumulate);
}

static void
dropout_recompute (PeftTape *tape, PeftNode *node, PeftTensor *output)
{
  run_dropout (tape, node->state, peft_node_saved (tape, node, 0), &output->view, FALSE);
}

static const PeftNodeClass dropout_class = {
  .name = "dropout",
  .backward = dropout_backward,
  .recompute = dropout_recompute,
};

PeftVar *
peft_nn_dropout (PeftTape *tape, PeftVar *x, double p, guint64 stream)
{
  DropoutState state;
  PeftTensor *y;
  PeftNode *node;
  PeftVar *out;

  if (!tape->options.training || p <= 0)
    return peft_var_ref (x);
  /* Each micro-batch and each place has numbers of its own, however often they are asked for. */
  state = (DropoutState){ tape->options.seed, stream ^ (tape->options.step * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15)), p };
  y = peft_tape_alloc_like (tape, &x->value->view);
  run_dropout (tape, &state, &x->value->view, &y->view, FALSE);
  out = peft_tape_emit (tape, &dropout_class, y, &x, 1, &state, sizeof state, &node);
  peft_node_save (node, x);
  return out;
}
