/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include <string.h>

#include "compute/cpu/cpu-private.h"

/* Small dense solvers and the discrete Fourier transform: double inside, one task a matrix. */

static float *
value_at (const PeftView *view, gint64 batch, gint64 i, gint64 j)
{
  return (float *) cpu_view_data (view) + batch * view->stride[0] + i * view->stride[1]
         + j * view->stride[2];
}

static void
load_matrix (const PeftView *view, gint64 batch, double *out)
{
  for (gint64 i = 0; i < view->shape[1]; i++)
    for (gint64 j = 0; j < view->shape[2]; j++)
      *out++ = (double) *value_at (view, batch, i, j);
}

static void
store_matrix (const PeftView *view, gint64 batch, const double *in)
{
  for (gint64 i = 0; i < view->shape[1]; i++)
    for (gint64 j = 0; j < view->shape[2]; j++)
      *value_at (view, batch, i, j) = (float) *in++;
}

static gint32 *
pivot_at (const PeftView *view, gint64 batch, gint64 i)
{
  return (gint32 *) cpu_view_data (view) + batch * view->stride[0] + i * view->stride[1];
}

static void
swap_rows (double *a, gint64 width, gint64 i, gint64 j)
{
  for (gint64 k = 0; i != j && k < width; k++)
    {
      double t = a[i * width + k];
      a[i * width + k] = a[j * width + k];
      a[j * width + k] = t;
    }
}

static void
factor_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const PeftLuFactorParams *p = data;
  gint64 n = p->a.shape[1];
  double *a = cpu_scratch_get (self, thread, (gsize) (n * n) * sizeof (double));

  for (gint64 batch = begin; batch < end; batch++)
    {
      load_matrix (&p->a, batch, a);
      for (gint64 k = 0; k < n; k++)
        {
          gint64 pivot = k;
          for (gint64 i = k + 1; i < n; i++)
            if (fabs (a[i * n + k]) > fabs (a[pivot * n + k]))
              pivot = i;
          *pivot_at (&p->pivots, batch, k) = (gint32) pivot;
          swap_rows (a, n, k, pivot);
          for (gint64 i = k + 1; i < n; i++)
            {
              double factor = a[i * n + k] /= a[k * n + k];
              for (gint64 j = k + 1; j < n; j++)
                a[i * n + j] -= factor * a[k * n + j];
            }
        }
      store_matrix (&p->a, batch, a);
    }
}

void
cpu_lu_factor (PeftCpuBackend *self, gconstpointer params)
{
  const PeftLuFactorParams *p = params;
  cpu_run_range (self, p->a.shape[0], 1, factor_range, p);
}

/* T X = B in place, T the lower or upper triangle of a [n, n] or of its transpose. */
static void
solve_triangle (const double *a, double *x, gint64 n, gint64 m, gboolean lower, gboolean unit,
                gboolean transpose)
{
  gboolean forward = lower != transpose;

  for (gint64 step = 0; step < n; step++)
    {
      gint64 i = forward ? step : n - 1 - step;
      for (gint64 k = forward ? 0 : i + 1; k < (forward ? i : n); k++)
        {
          double factor = transpose ? a[k * n + i] : a[i * n + k];
          for (gint64 j = 0; j < m; j++)
            x[i * m + j] -= factor * x[k * m + j];
        }
      if (!unit)
        for (gint64 j = 0; j < m; j++)
          x[i * m + j] /= a[i * n + i];
    }
}

static void
solve_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const PeftLuSolveParams *p = data;
  gint64 n = p->lu.shape[1], m = p->x.shape[2];
  double *lu = cpu_scratch_get (self, thread, (gsize) (n * n + n * m) * sizeof (double));
  double *x = lu + n * n;

  for (gint64 batch = begin; batch < end; batch++)
    {
      load_matrix (&p->lu, batch, lu);
      load_matrix (&p->x, batch, x);
      if (p->transpose)
        {
          /* P A = L U, so Aᵀ = Uᵀ Lᵀ P. */
          solve_triangle (lu, x, n, m, FALSE, FALSE, TRUE);
          solve_triangle (lu, x, n, m, TRUE, TRUE, TRUE);
          for (gint64 i = n; i-- > 0;)
            swap_rows (x, m, i, *pivot_at (&p->pivots, batch, i));
        }
      else
        {
          for (gint64 i = 0; i < n; i++)
            swap_rows (x, m, i, *pivot_at (&p->pivots, batch, i));
          solve_triangle (lu, x, n, m, TRUE, TRUE, FALSE);
          solve_triangle (lu, x, n, m, FALSE, FALSE, FALSE);
        }
      store_matrix (&p->x, batch, x);
    }
}

void
cpu_lu_solve (PeftCpuBackend *self, gconstpointer params)
{
  const PeftLuSolveParams *p = params;
  cpu_run_range (self, p->x.shape[0], 1, solve_range, p);
}

static void
triangular_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const PeftTriangularSolveParams *p = data;
  gint64 n = p->a.shape[1], m = p->x.shape[2];
  double *a = cpu_scratch_get (self, thread, (gsize) (n * n + n * m) * sizeof (double));
  double *x = a + n * n;

  for (gint64 batch = begin; batch < end; batch++)
    {
      load_matrix (&p->a, batch, a);
      load_matrix (&p->x, batch, x);
      solve_triangle (a, x, n, m, p->lower, p->unit_diagonal, p->transpose);
      store_matrix (&p->x, batch, x);
    }
}

void
cpu_triangular_solve (PeftCpuBackend *self, gconstpointer params)
{
  const PeftTriangularSolveParams *p = params;
  cpu_run_range (self, p->x.shape[0], 1, triangular_range, p);
}

static gint64
smallest_factor (gint64 n)
{
  for (gint64 f = 2; f * f <= n; f++)
    if (n % f == 0)
      return f;
  return n;
}

/* Mixed-radix Cooley–Tukey: n = f·m, f transforms of every f-th value, then f-point sums. `roots`
 * holds e^(±2πi·k/total); the transform of length n uses every (total / n)-th. */
static void
fft_recurse (const double *x, gint64 x_stride, double *y, double *scratch, gint64 n,
             const double *roots, gint64 total)
{
  if (n == 1)
    {
      y[0] = x[0];
      y[1] = x[1];
      return;
    }
  gint64 f = smallest_factor (n), m = n / f, root_step = total / n;

  for (gint64 r = 0; r < f; r++)
    fft_recurse (x + 2 * r * x_stride, x_stride * f, scratch + 2 * r * m, y + 2 * r * m, m, roots,
                 total);
  for (gint64 k = 0; k < n; k++)
    {
      double re = 0, im = 0;
      for (gint64 r = 0; r < f; r++)
        {
          const double *w = roots + 2 * (r * k % n * root_step);
          const double *v = scratch + 2 * (r * m + k % m);
          re += v[0] * w[0] - v[1] * w[1];
          im += v[0] * w[1] + v[1] * w[0];
        }
      y[2 * k] = re;
      y[2 * k + 1] = im;
    }
}

static void
fft_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const PeftFftParams *p = data;
  gint64 n = p->x.shape[1];
  double *x = cpu_scratch_get (self, thread, (gsize) n * 8 * sizeof (double));
  double *y = x + 2 * n, *scratch = x + 4 * n, *roots = x + 6 * n;

  for (gint64 k = 0; k < n; k++)
    {
      double angle = (p->inverse ? 2.0 : -2.0) * G_PI * (double) k / (double) n;
      roots[2 * k] = cos (angle);
      roots[2 * k + 1] = sin (angle);
    }
  for (gint64 batch = begin; batch < end; batch++)
    {
      load_matrix (&p->x, batch, x);
      fft_recurse (x, 1, y, scratch, n, roots, n);
      store_matrix (&p->y, batch, y);
    }
}

void
cpu_fft (PeftCpuBackend *self, gconstpointer params)
{
  const PeftFftParams *p = params;
  cpu_run_range (self, p->x.shape[0], 1, fft_range, p);
}
