/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "methods/peft-task-vectors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/peft-random.h"

static int
compare (gconstpointer a, gconstpointer b)
{
  float x = *(const float *) a, y = *(const float *) b;

  return (x > y) - (x < y);
}

void
peft_prune_by_size (float *values, gsize n, double density)
{
  gsize keep = (gsize) (density * (double) n), left = keep;
  g_autofree float *sizes = NULL;
  float limit;

  if (density >= 1 || n == 0)
    return;
  if (keep == 0)
    {
      memset (values, 0, n * sizeof *values);
      return;
    }
  sizes = g_new (float, n);
  for (gsize i = 0; i < n; i++)
    sizes[i] = fabsf (values[i]);
  qsort (sizes, n, sizeof *sizes, compare);
  limit = sizes[n - keep];
  /* Of equal ones the first are kept, as many as there is room for. */
  for (gsize i = 0; i < n; i++)
    left -= fabsf (values[i]) > limit;
  for (gsize i = 0; i < n; i++)
    {
      float size = fabsf (values[i]);

      if (size > limit)
        continue;
      if (size == limit && left > 0)
        left--;
      else
        values[i] = 0;
    }
}

void
peft_prune_by_chance (float *values, gsize n, double density, guint64 seed, guint64 stream)
{
  if (density >= 1)
    return;
  for (gsize i = 0; i < n; i++)
    values[i] = peft_random_uniform (seed, stream, i) < density ? (float) (values[i] / density) : 0;
}

void
peft_sum_weighted (float *const *values, const double *weights, guint n_arrays, gsize n, float *out)
{
  for (gsize i = 0; i < n; i++)
    {
      double sum = 0;

      for (guint k = 0; k < n_arrays; k++)
        sum += weights[k] * values[k][i];
      out[i] = (float) sum;
    }
}

static int
sign_of (double x)
{
  return (x > 0) - (x < 0);
}

void
peft_sum_elected (float *const *values, const double *weights, guint n_arrays, gsize n,
                  gboolean frequency, float *out)
{
  for (gsize i = 0; i < n; i++)
    {
      double vote = 0, sum = 0;
      guint n_agree = 0;
      int elected;

      for (guint k = 0; k < n_arrays; k++)
        vote += frequency ? sign_of (values[k][i]) : values[k][i];
      elected = vote >= 0 ? 1 : -1;
      for (guint k = 0; k < n_arrays; k++)
        if (sign_of (values[k][i]) == elected)
          {
            sum += weights[k] * values[k][i];
            n_agree++;
          }
      out[i] = (float) (sum / MAX (n_agree, 1));
    }
}

static void
clamp (float *values, gsize n, float limit)
{
  for (gsize i = 0; i < n; i++)
    values[i] = MIN (MAX (values[i], -limit), limit);
}

void
peft_clamp_to_quantile (float *a, gsize n_a, float *b, gsize n_b, double quantile)
{
  gsize n = n_a + n_b, below;
  g_autofree float *all = g_new (float, MAX (n, 1));
  double at;
  float limit;

  if (n == 0)
    return;
  memcpy (all, a, n_a * sizeof *all);
  memcpy (all + n_a, b, n_b * sizeof *all);
  qsort (all, n, sizeof *all, compare);
  at = quantile * (double) (n - 1);
  below = (gsize) at;
  limit = all[below];
  if (below + 1 < n)
    limit += (float) (at - (double) below) * (all[below + 1] - limit);
  clamp (a, n_a, limit);
  clamp (b, n_b, limit);
}
