/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "nn/peft-node-matmul.h"
#include "nn/peft-nodes.h"

/* y + s · (x (W₁ ⊗ W₂)ᵀ) ⊙ mask with W₁ [l, m], W₂ [k, p]. A row of x as a matrix X [m, p] gives W₁ X W₂ᵀ [l, k]: two products
 * that are much smaller than one with the whole. What lies between them is as large as x and y; it is computed
 * again in the backward pass, by the first product alone. */

typedef struct
{
  double scale;
  gint64 n, m, l, k, p;
} KroneckerState;

enum
{
  KRONECKER_Y,
  KRONECKER_X,
  KRONECKER_W1,
  KRONECKER_W2
};

static PeftView
as_matrix (const PeftView *view, gint64 rows, gint64 columns)
{
  const gint64 shape[2] = { rows, columns };
  return peft_view_reshape (view, 2, shape);
}

/* [n, a, b] as [n, b, a]. */
static PeftView
turn (const PeftView *view, gint64 n, gint64 a, gint64 b)
{
  const gint64 shape[3] = { n, a, b };
  const PeftView split = peft_view_reshape (view, 3, shape);
  return peft_view_transpose (&split);
}

static PeftView
split (const PeftView *view, gint64 n, gint64 a, gint64 b)
{
  const gint64 shape[3] = { n, a, b };
  return peft_view_reshape (view, 3, shape);
}

/* out (+)= in ⊙ mask, [n, l, k] both; mask [l k] or NULL. */
static void
copy_masked (PeftTape *tape, const KroneckerState *s, const PeftView *in, const PeftView *mask,
             const PeftView *out, gboolean accumulate)
{
  if (mask == NULL)
    {
      const PeftCopyParams copy = { .x = *in, .y = *out, .alpha = 1, .accumulate = accumulate };
      peft_tape_run (tape, PEFT_KERNEL_COPY, &copy);
    }
  else
    {
      const PeftBinaryParams product = {
        .a = *in, .b = split (mask, 1, s->l, s->k), .c = *out, .op = PEFT_BINARY_MUL,
        .accumulate = accumulate,
      };
      peft_tape_run (tape, PEFT_KERNEL_BINARY, &product);
    }
}

/* X W₂ᵀ, turned: [n k, m]. */
static PeftTensor *
form_inner (PeftTape *tape, const KroneckerState *s, const PeftView *x, const PeftView *w2)
{
  const gint64 right_shape[2] = { s->n * s->m, s->k }, shape[2] = { s->n * s->k, s->m };
  PeftTensor *inner = peft_tape_alloc (tape, tape->backend->real, 2, shape);
  g_autoptr (PeftTensor) right = peft_tape_alloc (tape, tape->backend->real, 2, right_shape);
  const PeftView rows = as_matrix (x, s->n * s->m, s->p);
  const PeftCopyParams copy = {
    .x = turn (&right->view, s->n, s->m, s->k), .y = split (&inner->view, s->n, s->k, s->m),
    .alpha = 1,
  };

  peft_node_matmul (tape, &rows, FALSE, w2, TRUE, &right->view, NULL, 1, FALSE);
  peft_tape_run (tape, PEFT_KERNEL_COPY, &copy);
  return inner;
}

static void
kronecker_backward (PeftTape *tape, PeftNode *node)
{
  const KroneckerState *s = node->state;
  const PeftView *dy = peft_node_grad_output (node, 0);
  const PeftView *x = peft_node_saved (tape, node, 0);
  const PeftView *w1 = peft_node_saved (tape, node, 1), *w2 = peft_node_saved (tape, node, 2);
  const PeftView *mask = node->n_saved > 3 ? peft_node_saved (tape, node, 3) : NULL;
  const gint64 outer_shape[2] = { s->n * s->k, s->l };
  g_autoptr (PeftTensor) outer = peft_tape_alloc (tape, tape->backend->real, 2, outer_shape);
  const PeftView dy_split = split (dy, s->n, s->l, s->k);
  const PeftView outer_turned = turn (&outer->view, s->n, s->k, s->l);
  PeftView grad;
  gboolean accumulate;

  copy_masked (tape, s, &dy_split, mask, &outer_turned, FALSE);
  if (peft_node_grad_input (tape, node, KRONECKER_W1, &grad, &accumulate))
    {
      g_autoptr (PeftTensor) inner = form_inner (tape, s, x, w2);

      peft_node_matmul (tape, &outer->view, TRUE, &inner->view, FALSE, &grad, NULL, s->scale,
                        accumulate);
    }
  if (node->inputs[KRONECKER_X] != NULL || node->inputs[KRONECKER_W2] != NULL)
    {
      const gint64 inner_shape[2] = { s->n * s->k, s->m }, right_shape[2] = { s->n * s->m, s->k };
      g_autoptr (PeftTensor) inner = peft_tape_alloc (tape, tape->backend->real, 2, inner_shape);
      g_autoptr (PeftTensor) right = peft_tape_alloc (tape, tape->backend->real, 2, right_shape);
      const PeftCopyParams copy = {
        .x = turn (&inner->view, s->n, s->k, s->m), .y = split (&right->view, s->n, s->m, s->k),
        .alpha = 1,
      };

      peft_node_matmul (tape, &outer->view, FALSE, w1, FALSE, &inner->view, NULL, s->scale, FALSE);
      peft_tape_run (tape, PEFT_KERNEL_COPY, &copy);
      if (peft_node_grad_input (tape, node, KRONECKER_W2, &grad, &accumulate))
        {
          const PeftView rows = as_matrix (x, s->n * s->m, s->p);
          peft_node_matmul (tape, &right->view, TRUE, &rows, FALSE, &grad, NULL, 1, accumulate);
        }
      if (peft_node_grad_input (tape, node, KRONECKER_X, &grad, &accumulate))
        {
          const PeftView rows = as_matrix (&grad, s->n * s->m, s->p);
          peft_node_matmul (tape, &right->view, FALSE, w2, FALSE, &rows, NULL, 1, accumulate);
        }
    }
  peft_node_pass_grad (tape, node, KRONECKER_Y);
}

static const PeftNodeClass kronecker_class = {
  .name = "kronecker",
  .backward = kronecker_backward,
};

PeftVar *
peft_nn_kronecker (PeftTape *tape, PeftVar *y, PeftVar *x, PeftVar *w1, PeftVar *w2, PeftVar *mask,
                   double scale)
{
  const KroneckerState s = {
    .scale = scale,
    .n = peft_var_shape (x)[0],
    .l = peft_var_shape (w1)[0], .m = peft_var_shape (w1)[1],
    .k = peft_var_shape (w2)[0], .p = peft_var_shape (w2)[1],
  };
  const gint64 outer_shape[2] = { s.n * s.k, s.l };
  PeftVar *inputs[] = { y, x, w1, w2 };
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
  {
    g_autoptr (PeftTensor) inner = form_inner (tape, &s, &x->value->view, &w2->value->view);
    g_autoptr (PeftTensor) outer = peft_tape_alloc (tape, tape->backend->real, 2, outer_shape);
    const PeftView outer_turned = turn (&outer->view, s.n, s.k, s.l);
    const PeftView sum = split (&result->view, s.n, s.l, s.k);

    peft_node_matmul (tape, &inner->view, FALSE, &w1->value->view, TRUE, &outer->view, NULL, scale,
                      FALSE);
    copy_masked (tape, &s, &outer_turned, mask != NULL ? &mask->value->view : NULL, &sum, TRUE);
  }
  out = peft_tape_emit (tape, &kronecker_class, result, inputs, 4, &s, sizeof s, &node);
  peft_node_save (node, x);
  peft_node_save (node, w1);
  peft_node_save (node, w2);
  if (mask != NULL)
    peft_node_save (node, mask);
  return out;
}
