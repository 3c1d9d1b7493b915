/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "nn/peft-nodes.h"

/* Nodes that rename memory instead of moving it, and the two that gather it. */

typedef enum
{
  VIEW_RESHAPE,
  VIEW_PERMUTE,
  VIEW_SLICE
} ViewKind;

typedef struct
{
  ViewKind kind;
  guint order[PEFT_MAX_DIMS];
  guint dim;
  gint64 start, length;
} ViewState;

static void
view_backward (PeftTape *tape, PeftNode *node)
{
  ViewState *state = node->state;
  PeftCopyParams copy = { .x = *peft_node_grad_output (node, 0), .alpha = 1 };
  PeftView grad;

  if (state->kind == VIEW_RESHAPE)
    {
      peft_node_pass_grad (tape, node, 0);
      return;
    }
  if (!peft_node_grad_input (tape, node, 0, &grad, &copy.accumulate))
    return;
  if (state->kind == VIEW_PERMUTE)
    {
      copy.y = peft_view_permute (&grad, state->order);
    }
  else
    {
      if (!copy.accumulate)
        {
          PeftFillParams fill = { .x = grad };
          peft_tape_run (tape, PEFT_KERNEL_FILL, &fill);
        }
      copy.y = peft_view_slice (&grad, state->dim, state->start, state->length);
      copy.accumulate = TRUE;
    }
  peft_tape_run (tape, PEFT_KERNEL_COPY, &copy);
}

static const PeftNodeClass view_class = { .name = "view", .backward = view_backward };

static PeftVar *
emit_view (PeftTape *tape, PeftVar *x, const PeftView *view, const ViewState *state)
{
  PeftNode *node;
  return peft_tape_emit (tape, &view_class, peft_tensor_derive (x->value, view), &x, 1, state,
                         sizeof *state, &node);
}

PeftVar *
peft_nn_reshape (PeftTape *tape, PeftVar *x, guint n_dims, const gint64 *shape)
{
  PeftView view = peft_view_reshape (&x->value->view, n_dims, shape);
  ViewState state = { .kind = VIEW_RESHAPE };
  return emit_view (tape, x, &view, &state);
}

PeftVar *
peft_nn_permute (PeftTape *tape, PeftVar *x, const guint *order)
{
  PeftView view = peft_view_permute (&x->value->view, order);
  ViewState state = { .kind = VIEW_PERMUTE };

  for (guint i = 0; i < view.n_dims; i++)
    state.order[i] = order[i];
  return emit_view (tape, x, &view, &state);
}

PeftVar *
peft_nn_slice (PeftTape *tape, PeftVar *x, guint dim, gint64 start, gint64 length)
{
  PeftView view = peft_view_slice (&x->value->view, dim, start, length);
  ViewState state = { .kind = VIEW_SLICE, .dim = dim, .start = start, .length = length };
  return emit_view (tape, x, &view, &state);
}

static void
identity_backward (PeftTape *tape, PeftNode *node)
{
  peft_node_pass_grad (tape, node, 0);
}

static const PeftNodeClass contiguous_class
    = { .name = "contiguous", .backward = identity_backward };

PeftVar *
peft_nn_contiguous (PeftTape *tape, PeftVar *x)
{
  PeftCopyParams copy = { .x = x->value->view, .alpha = 1 };
  PeftTensor *y;
  PeftNode *node;

  if (peft_view_is_contiguous (&x->value->view))
    return peft_var_ref (x);
  y = peft_tape_alloc_like (tape, &x->value->view);
  copy.y = y->view;
  peft_tape_run (tape, PEFT_KERNEL_COPY, &copy);
  return peft_tape_emit (tape, &contiguous_class, y, &x, 1, NULL, 0, &node);
}

typedef struct
{
  guint dim;
  gint64 lengths[PEFT_NODE_MAX];
} ConcatState;

static void
concat_backward (PeftTape *tape, PeftNode *node)
{
  ConcatState *state = node->state;
  const PeftView *dy = peft_node_grad_output (node, 0);
  gint64 start = 0;

  for (guint i = 0; i < node->n_inputs; i++)
    {
      PeftCopyParams copy = { .x = peft_view_slice (dy, state->dim, start, state->lengths[i]), .alpha = 1 };

      if (peft_node_grad_input (tape, node, i, &copy.y, &copy.accumulate))
        peft_tape_run (tape, PEFT_KERNEL_COPY, &copy);
      start += state->lengths[i];
    }
}

static const PeftNodeClass concat_class = { .name = "concat", .backward = concat_backward };

PeftVar *
peft_nn_concat (PeftTape *tape, PeftVar *const *parts, guint n_parts, guint dim)
{
  const PeftView *first = &parts[0]->value->view;
  ConcatState state = { .dim = dim };
  gint64 shape[PEFT_MAX_DIMS], start = 0;
  PeftTensor *y;
  PeftNode *node;

  g_assert (n_parts <= PEFT_NODE_MAX);
  for (guint i = 0; i < first->n_dims; i++)
    shape[i] = first->shape[i];
  shape[dim] = 0;
  for (guint i = 0; i < n_parts; i++)
    shape[dim] += state.lengths[i] = parts[i]->value->view.shape[dim];
  y = peft_tape_alloc (tape, tape->backend->real, first->n_dims, shape);
  for (guint i = 0; i < n_parts; i++)
    {
      PeftCopyParams copy = {
        .x = parts[i]->value->view,
        .y = peft_view_slice (&y->view, dim, start, state.lengths[i]),
        .alpha = 1,
      };
      peft_tape_run (tape, PEFT_KERNEL_COPY, &copy);
      start += state.lengths[i];
    }
  return peft_tape_emit (tape, &concat_class, y, parts, n_parts, &state, sizeof state, &node);
}

PeftVar *
peft_nn_detach (PeftTape *tape, PeftVar *x)
{
  return peft_tape_constant (tape, x->value);
}
