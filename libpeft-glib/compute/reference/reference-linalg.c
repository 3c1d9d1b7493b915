/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/reference/reference-private.h"

#include <math.h>

static void
swap_rows (double *x, gint64 width, gint64 a, gint64 b)
{
  for (gint64 i = 0; i < width; i++)
    {
      double t = x[a * width + i];
      x[a * width + i] = x[b * width + i];
      x[b * width + i] = t;
    }
}

static void
factor (double *a, gint32 *pivots, gint64 n)
{
  for (gint64 i = 0; i < n; i++)
    {
      gint64 best = i;

      for (gint64 r = i + 1; r < n; r++)
        if (fabs (a[r * n + i]) > fabs (a[best * n + i]))
          best = r;
      pivots[i] = best;
      swap_rows (a, n, i, best);
      if (a[i * n + i] == 0)
        continue; /* nothing to eliminate: the column below is zero, too */
      for (gint64 r = i + 1; r < n; r++)
        {
          double f = a[r * n + i] /= a[i * n + i];
          for (gint64 c = i + 1; c < n; c++)
            a[r * n + c] -= f * a[i * n + c];
        }
    }
}

void
peft_reference_lu_factor (const void *params)
{
  const PeftLuFactorParams *p = params;
  gint64 batch = p->a.shape[0], n = p->a.shape[1];
  g_autofree double *a = peft_reference_load (&p->a);
  g_autofree gint32 *pivots = g_new (gint32, MAX (batch * n, 1));

  for (gint64 b = 0; b < batch; b++)
    factor (a + b * n * n, pivots + b * n, n);
  peft_reference_store (&p->a, a);
  peft_reference_store_i32 (&p->pivots, pivots);
}

/* x [n, m] := T⁻¹ x, T the lower or upper triangle of a [n, n], or its transpose. */
static void
solve_triangle (const double *a, double *x, gint64 n, gint64 m, gboolean lower,
                gboolean unit_diagonal, gboolean transpose)
{
  gboolean forward = lower != transpose;

  for (gint64 step = 0; step < n; step++)
    {
      gint64 i = forward ? step : n - 1 - step;

      for (gint64 done = 0; done < step; done++)
        {
          gint64 j = forward ? done : n - 1 - done;
          double f = transpose ? a[j * n + i] : a[i * n + j];
          for (gint64 c = 0; c < m; c++)
            x[i * m + c] -= f * x[j * m + c];
        }
      if (!unit_diagonal)
        for (gint64 c = 0; c < m; c++)
          x[i * m + c] /= a[i * n + i];
    }
}

/* P A = L U, P the swaps in order. */
void
peft_reference_lu_solve (const void *params)
{
  const PeftLuSolveParams *p = params;
  gint64 batch = p->x.shape[0], n = p->x.shape[1], m = p->x.shape[2];
  g_autofree double *lu = peft_reference_load (&p->lu);
  g_autofree double *all = peft_reference_load (&p->x);
  g_autofree gint32 *pivots = peft_reference_load_i32 (&p->pivots);

  for (gint64 b = 0; b < batch; b++)
    {
      const double *a = lu + b * n * n;
      double *x = all + b * n * m;

      if (!p->transpose)
        {
          for (gint64 i = 0; i < n; i++)
            swap_rows (x, m, i, pivots[b * n + i]);
          solve_triangle (a, x, n, m, TRUE, TRUE, FALSE);
          solve_triangle (a, x, n, m, FALSE, FALSE, FALSE);
        }
      else
        {
          solve_triangle (a, x, n, m, FALSE, FALSE, TRUE);
          solve_triangle (a, x, n, m, TRUE, TRUE, TRUE);
          for (gint64 i = n; i-- > 0;)
            swap_rows (x, m, i, pivots[b * n + i]);
        }
    }
  peft_reference_store (&p->x, all);
}

void
peft_reference_triangular_solve (const void *params)
{
  const PeftTriangularSolveParams *p = params;
  gint64 batch = p->x.shape[0], n = p->x.shape[1], m = p->x.shape[2];
  g_autofree double *a = peft_reference_load (&p->a);
  g_autofree double *x = peft_reference_load (&p->x);

  for (gint64 b = 0; b < batch; b++)
    solve_triangle (a + b * n * n, x + b * n * m, n, m, p->lower, p->unit_diagonal, p->transpose);
  peft_reference_store (&p->x, x);
}

/* y[k] = Σⱼ x[j] exp (∓2πi jk/n), straight from the definition. */
void
peft_reference_fft (const void *params)
{
  const PeftFftParams *p = params;
  gint64 batch = p->x.shape[0], n = p->x.shape[1];
  double sign = p->inverse ? 1 : -1;
  g_autofree double *x = peft_reference_load (&p->x);
  g_autofree double *y = g_new0 (double, MAX (batch * n * 2, 1));
  g_autofree double *cosines = g_new (double, MAX (n, 1));
  g_autofree double *sines = g_new (double, MAX (n, 1));

  for (gint64 i = 0; i < n; i++)
    {
      cosines[i] = cos (2 * M_PI * i / n);
      sines[i] = sign * sin (2 * M_PI * i / n);
    }
  for (gint64 b = 0; b < batch; b++)
    for (gint64 k = 0; k < n; k++)
      for (gint64 j = 0; j < n; j++)
        {
          const double *in = x + (b * n + j) * 2;
          double *out = y + (b * n + k) * 2;
          double c = cosines[j * k % n], s = sines[j * k % n];

          out[0] += in[0] * c - in[1] * s;
          out[1] += in[0] * s + in[1] * c;
        }
  peft_reference_store (&p->y, y);
}
