/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/reference/reference-private.h"

/* [rows, columns] → [columns, rows] */
static double *
transpose (double *x, gint64 rows, gint64 columns)
{
  double *y = g_new (double, MAX (rows * columns, 1));

  for (gint64 i = 0; i < rows; i++)
    for (gint64 j = 0; j < columns; j++)
      y[j * rows + i] = x[i * columns + j];
  g_free (x);
  return y;
}

/* c [m, n] = a [m, k] · b [k, n] */
static void
multiply (const double *a, const double *b, double *restrict c, gint64 m, gint64 n, gint64 k)
{
  for (gint64 i = 0; i < m; i++)
    {
      double *row = c + i * n;

      for (gint64 j = 0; j < n; j++)
        row[j] = 0;
      for (gint64 l = 0; l < k; l++)
        {
          double x = a[i * k + l];
          for (gint64 j = 0; j < n; j++)
            row[j] += x * b[l * n + j];
        }
    }
}

static void
matmul_2d (const PeftMatmulParams *p, const PeftView *a_view, const PeftView *b_view,
           const PeftView *c_view)
{
  gint64 m = c_view->shape[0], n = c_view->shape[1];
  gint64 k = a_view->shape[p->trans_a ? 0 : 1];
  g_autofree double *a = peft_reference_load (a_view);
  g_autofree double *b = peft_reference_load (b_view);
  g_autofree double *c = g_new (double, MAX (m * n, 1));
  g_autofree double *bias = p->bias.buffer ? peft_reference_load (&p->bias) : NULL;

  if (p->trans_a)
    a = transpose (a, k, m);
  if (p->trans_b)
    b = transpose (b, n, k);
  multiply (a, b, c, m, n, k);
  for (gint64 i = 0; i < m; i++)
    for (gint64 j = 0; j < n; j++)
      c[i * n + j] = p->alpha * c[i * n + j] + (bias ? bias[j] : 0);
  peft_reference_put (c_view, c, p->accumulate);
}

/* One matrix of a batch. */
static PeftView
matrix_of (const PeftView *view, gint64 index)
{
  PeftView out = peft_view_slice (view, 0, index, 1);

  out.n_dims = 2;
  for (guint i = 0; i < 2; i++)
    {
      out.shape[i] = view->shape[i + 1];
      out.stride[i] = view->stride[i + 1];
    }
  return out;
}

void
peft_reference_matmul (const void *params)
{
  const PeftMatmulParams *p = params;

  if (p->c.n_dims == 2)
    {
      matmul_2d (p, &p->a, &p->b, &p->c);
      return;
    }
  for (gint64 i = 0; i < p->c.shape[0]; i++)
    {
      PeftView a = matrix_of (&p->a, i), b = matrix_of (&p->b, i), c = matrix_of (&p->c, i);
      matmul_2d (p, &a, &b, &c);
    }
}

void
peft_reference_gather_rows (const void *params)
{
  const PeftGatherRowsParams *p = params;
  gint64 width = p->table.shape[1];
  g_autofree gint32 *ids = peft_reference_load_i32 (&p->ids);
  g_autofree double *row = g_new (double, MAX (width, 1));

  for (gint64 i = 0; i < p->ids.shape[0]; i++)
    {
      peft_reference_load_row (&p->table, ids[i], row);
      for (gint64 j = 0; j < width; j++)
        row[j] *= p->scale;
      peft_reference_store_row (&p->out, i, row);
    }
}

void
peft_reference_scatter_add_rows (const void *params)
{
  const PeftScatterAddRowsParams *p = params;
  gint64 width = p->table.shape[1];
  g_autofree gint32 *ids = peft_reference_load_i32 (&p->ids);
  g_autofree double *row = g_new (double, MAX (width, 1));
  g_autofree double *x = g_new (double, MAX (width, 1));

  for (gint64 i = 0; i < p->ids.shape[0]; i++)
    {
      peft_reference_load_row (&p->table, ids[i], row);
      peft_reference_load_row (&p->x, i, x);
      for (gint64 j = 0; j < width; j++)
        row[j] += x[j] * p->scale;
      peft_reference_store_row (&p->table, ids[i], row);
    }
}
