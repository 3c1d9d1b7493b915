/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/reference/reference-private.h"

#include <math.h>
#include "base/peft-random.h"

void
peft_reference_gated (const void *params)
{
  const PeftGatedParams *p = params;
  PeftUnary op = peft_reference_activation (p->activation);
  gint64 n = peft_view_n_values (&p->h);
  g_autofree double *gate = peft_reference_load (&p->gate);
  g_autofree double *up = peft_reference_load (&p->up);

  for (gint64 i = 0; i < n; i++)
    up[i] *= peft_reference_unary (op, gate[i]);
  peft_reference_store (&p->h, up);
}

void
peft_reference_gated_backward (const void *params)
{
  const PeftGatedBackwardParams *p = params;
  PeftUnary op = peft_reference_activation (p->activation);
  gint64 n = peft_view_n_values (&p->dh);
  g_autofree double *dh = peft_reference_load (&p->dh);
  g_autofree double *gate = peft_reference_load (&p->gate);
  g_autofree double *up = peft_reference_load (&p->up);

  for (gint64 i = 0; i < n; i++)
    {
      double dgate = dh[i] * up[i] * peft_reference_unary_slope (op, gate[i]);
      up[i] = dh[i] * peft_reference_unary (op, gate[i]);
      gate[i] = dgate;
    }
  peft_reference_store (&p->dgate, gate);
  peft_reference_store (&p->dup, up);
}

void
peft_reference_dropout (const void *params)
{
  const PeftDropoutParams *p = params;
  gint64 n = peft_view_n_values (&p->x);
  guint64 threshold = round (p->p * 4294967296.0);
  g_autofree double *x = peft_reference_load (&p->x);

  for (gint64 i = 0; i < n; i++)
    x[i] = peft_random_u32 (p->seed, p->stream, i) >= threshold ? x[i] / (1 - p->p) : 0;
  peft_reference_put (&p->y, x, p->accumulate);
}

void
peft_reference_fill (const void *params)
{
  const PeftFillParams *p = params;
  gint64 n = peft_view_n_values (&p->x);
  g_autofree double *x = g_new (double, MAX (n, 1));

  for (gint64 i = 0; i < n; i++)
    x[i] = p->value;
  peft_reference_store (&p->x, x);
}

void
peft_reference_copy (const void *params)
{
  const PeftCopyParams *p = params;
  gint64 n = peft_view_n_values (&p->x);
  g_autofree double *x = peft_reference_load (&p->x);

  for (gint64 i = 0; i < n; i++)
    x[i] *= p->alpha;
  peft_reference_put (&p->y, x, p->accumulate);
}

/* A view with the shape of `like`; dims that are missing or 1 get stride 0. */
static PeftView
stretch (const PeftView *view, const PeftView *like)
{
  PeftView out = *view;

  out.n_dims = like->n_dims;
  for (guint i = 0; i < like->n_dims; i++)
    {
      gint from = (gint) i - (gint) (like->n_dims - view->n_dims);
      out.shape[i] = like->shape[i];
      out.stride[i] = from < 0 || view->shape[from] == 1 ? 0 : view->stride[from];
    }
  return out;
}

static double
binary (PeftBinary op, double a, double b)
{
  switch (op)
    {
    case PEFT_BINARY_ADD:
      return a + b;
    case PEFT_BINARY_SUB:
      return a - b;
    case PEFT_BINARY_MUL:
      return a * b;
    case PEFT_BINARY_DIV:
      return a / b;
    case PEFT_BINARY_MAX:
      return isnan (a) || a > b ? a : b;
    case PEFT_BINARY_MIN:
      return isnan (a) || a < b ? a : b;
    case PEFT_N_BINARY:
      break;
    }
  g_assert_not_reached ();
}

void
peft_reference_binary (const void *params)
{
  const PeftBinaryParams *p = params;
  PeftView a_view = stretch (&p->a, &p->c), b_view = stretch (&p->b, &p->c);
  gint64 n = peft_view_n_values (&p->c);
  g_autofree double *a = peft_reference_load (&a_view);
  g_autofree double *b = peft_reference_load (&b_view);

  for (gint64 i = 0; i < n; i++)
    a[i] = binary (p->op, a[i], b[i]);
  peft_reference_put (&p->c, a, p->accumulate);
}

void
peft_reference_reduce (const void *params)
{
  const PeftReduceParams *p = params;
  gint64 n = peft_view_n_values (&p->x), n_out = peft_view_n_values (&p->y);
  g_autofree double *x = peft_reference_load (&p->x);
  g_autofree double *y = g_new (double, MAX (n_out, 1));
  gint64 index[PEFT_MAX_DIMS] = { 0 };
  double count = n_out > 0 ? (double) n / n_out : 0;

  for (gint64 i = 0; i < n_out; i++)
    y[i] = p->op == PEFT_REDUCE_MAX ? -INFINITY : 0;
  for (gint64 i = 0; i < n; i++)
    {
      gint64 at = 0;

      for (guint d = 0; d < p->x.n_dims; d++)
        at = at * p->y.shape[d] + (p->y.shape[d] == 1 ? 0 : index[d]);
      if (p->op == PEFT_REDUCE_MAX)
        y[at] = binary (PEFT_BINARY_MAX, y[at], x[i]);
      else
        y[at] += p->op == PEFT_REDUCE_NORM ? x[i] * x[i] : x[i];

      for (guint d = p->x.n_dims; d-- > 0 && ++index[d] == p->x.shape[d];)
        index[d] = 0;
    }
  for (gint64 i = 0; i < n_out; i++)
    if (p->op == PEFT_REDUCE_MEAN)
      y[i] /= count;
    else if (p->op == PEFT_REDUCE_NORM)
      y[i] = sqrt (y[i]);
  peft_reference_put (&p->y, y, p->accumulate);
}
