/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "nn/peft-nodes.h"

/* ---- Rotary position embedding ------------------------------------------------------------- */

typedef struct
{
  gboolean interleaved;
} RopeState;

static void
rope_backward (PeftTape *tape, PeftNode *node)
{
  RopeState *state = node->state;
  const PeftView *dy = peft_node_own_grad (tape, node, 0);
  PeftRopeParams params = {
    .x = *dy, .y = *dy,
    .cos_sin = *peft_node_saved (tape, node, 0),
    .positions = *peft_node_saved (tape, node, 1),
    .inverse = TRUE,
    .interleaved = state->interleaved,
  };

  peft_tape_run (tape, PEFT_KERNEL_ROPE, &params);
  peft_node_pass_grad (tape, node, 0);
}

static const PeftNodeClass rope_class = { .name = "rope", .backward = rope_backward };

PeftVar *
peft_nn_rope (PeftTape *tape, PeftVar *x, PeftTensor *cos_sin, PeftTensor *positions,
              gboolean interleaved)
{
  PeftTensor *y = peft_var_is_exclusive (x) ? peft_tensor_ref (x->value)
                                            : peft_tape_alloc_like (tape, &x->value->view);
  PeftRopeParams params = {
    .x = x->value->view, .y = y->view,
    .cos_sin = cos_sin->view, .positions = positions->view,
    .interleaved = interleaved,
  };
  RopeState state = { interleaved };
  PeftNode *node;
  PeftVar *out;

  peft_tape_run (tape, PEFT_KERNEL_ROPE, &params);
  out = peft_tape_emit (tape, &rope_class, y, &x, 1, &state, sizeof state, &node);
  peft_node_save_tensor (node, cos_sin);
  peft_node_save_tensor (node, positions);
  return out;
}

/* ---- Attention ----------------------------------------------------------------------------- */

static void
attention_state_clear (gpointer data)
{
  PeftAttentionOptions *state = data;
  g_clear_pointer (&state->q_segments, peft_tensor_unref);
  g_clear_pointer (&state->k_segments, peft_tensor_unref);
  g_clear_pointer (&state->bias, peft_tensor_unref);
  g_clear_pointer (&state->slopes, peft_tensor_unref);
}

static void
set_options (PeftAttentionParams *params, const PeftAttentionOptions *options)
{
  params->scale = options->scale;
  params->causal = options->causal;
  params->window = options->window;
  params->n_prefix = options->n_prefix;
  params->soft_cap = options->soft_cap;
  params->cross = options->cross;
  if (options->q_segments != NULL)
    params->q_segments = options->q_segments->view;
  if (options->k_segments != NULL)
    params->k_segments = options->k_segments->view;
  if (options->bias != NULL)
    params->bias = options->bias->view;
  if (options->slopes != NULL)
    params->slopes = options->slopes->view;
}

static void
attention_backward (PeftTape *tape, PeftNode *node)
{
  PeftAttentionOptions *options = node->state;
  const PeftView *dout = peft_node_grad_output (node, 0);
  PeftAttentionBackwardParams params = {
    .forward = {
      .q = *peft_node_saved (tape, node, 0),
      .k = *peft_node_saved (tape, node, 1),
      .v = *peft_node_saved (tape, node, 2),
      .out = *peft_node_saved (tape, node, 3),
      .lse = *peft_node_saved (tape, node, 4),
    },
    .dout = *dout,
  };
  const PeftView *values[3] = { &params.forward.q, &params.forward.k, &params.forward.v };
  PeftView *grads[3] = { &params.dq, &params.dk, &params.dv };
  PeftTensor *scratch[3];
  g_autoptr (PeftTensor) delta = NULL;

  set_options (&params.forward, options);
  delta = peft_tape_alloc (tape, params.forward.lse.dtype, 3, params.forward.lse.shape);
  params.delta = delta->view;
  for (guint i = 0; i < 3; i++)
    {
      if (!peft_node_grad_input_begin (tape, node, i, &scratch[i]))
        scratch[i] = peft_tape_alloc (tape, tape->backend->real, 4, values[i]->shape);
      *grads[i] = scratch[i]->view;
    }
  peft_tape_run (tape, PEFT_KERNEL_ATTENTION_BACKWARD, &params);
  for (guint i = 0; i < 3; i++)
    {
      if (node->inputs[i] != NULL)
        peft_node_grad_input_end (tape, node, i, scratch[i]);
      else
        peft_tensor_unref (scratch[i]);
    }
}

static const PeftNodeClass attention_class = {
  .name = "attention",
  .backward = attention_backward,
  .clear_state = attention_state_clear,
};

PeftVar *
peft_nn_attention (PeftTape *tape, PeftVar *q, PeftVar *k, PeftVar *v,
                   const PeftAttentionOptions *options)
{
  const PeftView *vq = &q->value->view;
  const gint64 lse_shape[3] = { vq->shape[0], vq->shape[2], vq->shape[1] };
  PeftTensor *out = peft_tape_alloc (tape, tape->backend->real, 4, vq->shape);
  g_autoptr (PeftTensor) lse = NULL;
  PeftVar *inputs[] = { q, k, v };
  PeftAttentionOptions state = *options;
  PeftAttentionParams params
      = { .q = *vq, .k = k->value->view, .v = v->value->view, .out = out->view };
  PeftNode *node;
  PeftVar *var;

  set_options (&params, options);
  if (q->grad != NULL || k->grad != NULL || v->grad != NULL)
    {
      lse = peft_tape_alloc (tape, tape->backend->real, 3, lse_shape);
      params.lse = lse->view;
    }
  peft_tape_run (tape, PEFT_KERNEL_ATTENTION, &params);

  for (guint i = 0; i < 4; i++)
    {
      PeftTensor *kept[] = { state.q_segments, state.k_segments, state.bias, state.slopes };
      if (kept[i] != NULL)
        peft_tensor_ref (kept[i]);
    }
  var = peft_tape_emit (tape, &attention_class, out, inputs, 3, &state, sizeof state, &node);
  if (node != NULL)
    {
      peft_node_save (node, q);
      peft_node_save (node, k);
      peft_node_save (node, v);
      peft_node_save (node, var);
      peft_node_save_tensor (node, lse);
    }
  return var;
}
