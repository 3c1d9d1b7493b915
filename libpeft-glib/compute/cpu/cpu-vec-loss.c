/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/cpu/cpu-math.h"
#include "compute/cpu/cpu-vec.h"

/* Softmax over rows, and cross-entropy with its gradient in place. */

static float
row_max (const float *x, gint64 n)
{
  float max = -INFINITY;

  CPU_SIMD_MAX (max)
  for (gint64 i = 0; i < n; i++)
    max = x[i] > max ? x[i] : max;
  return max;
}

/* y = e^(x - max), which may be in place; returns the sum. Pieces are added in double, so that a
 * vocabulary of 100 000 costs no precision. */
static double
row_exp (const float *x, float max, float *y, gint64 n)
{
  double total = 0;

  for (gint64 j = 0; j < n; j += CPU_CHUNK)
    {
      gint64 end = MIN (j + CPU_CHUNK, n);
      float sum = 0;
      CPU_SIMD_SUM (sum)
      for (gint64 i = j; i < end; i++)
        {
          float e = cpu_expf (x[i] - max);
          y[i] = e;
          sum += e;
        }
      total += sum;
    }
  return total;
}

static double
row_exp_sum (const float *x, float max, gint64 n)
{
  double total = 0;

  for (gint64 j = 0; j < n; j += CPU_CHUNK)
    {
      gint64 end = MIN (j + CPU_CHUNK, n);
      float sum = 0;
      CPU_SIMD_SUM (sum)
      for (gint64 i = j; i < end; i++)
        sum += cpu_expf (x[i] - max);
      total += sum;
    }
  return total;
}

static void
row_scale (float *x, float factor, gint64 n)
{
  CPU_SIMD
  for (gint64 i = 0; i < n; i++)
    x[i] *= factor;
}

static void
cross_entropy_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end,
                     guint thread)
{
  const PeftCrossEntropyParams *p = data;
  gint64 vocab = p->logits.shape[1];
  const gint32 *labels = cpu_view_data (&p->labels);
  float *losses = cpu_view_data (&p->loss);
  gint32 *corrects = cpu_view_data (&p->correct);

  for (gint64 row = begin; row < end; row++)
    {
      float *x = cpu_view_row (&p->logits, row);
      gint64 label = labels[row * p->labels.stride[0]];
      float loss = 0;
      gint32 correct = 0;

      g_assert (label < vocab);
      if (label >= 0)
        {
          float max = row_max (x, vocab), at_label = x[label];
          double sum = p->gradient ? row_exp (x, max, x, vocab) : row_exp_sum (x, max, vocab);
          loss = (float) (log (sum) + (double) max - (double) at_label);
          correct = at_label >= max;
          if (p->gradient)
            {
              row_scale (x, (float) (p->scale / sum), vocab);
              x[label] -= (float) p->scale;
            }
        }
      else if (p->gradient)
        memset (x, 0, (gsize) vocab * sizeof (float));
      losses[row * p->loss.stride[0]] = loss;
      if (corrects != NULL)
        corrects[row * p->correct.stride[0]] = correct;
    }
}

void
CPU_FN (cpu_cross_entropy) (PeftCpuBackend *self, gconstpointer params)
{
  const PeftCrossEntropyParams *p = params;
  cpu_run_range (self, p->logits.shape[0], cpu_rows_step (p->logits.shape[1]),
                 cross_entropy_range, p);
}

static void
softmax_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const PeftSoftmaxParams *p = data;
  gint64 width = cpu_view_width (&p->x);
  float *buffer = cpu_scratch_get (self, thread, (gsize) width * sizeof (float));

  for (gint64 row = begin; row < end; row++)
    {
      const float *x = cpu_row_in (&p->x, cpu_view_row (&p->x, row), 0, width, buffer);
      void *y_row = cpu_view_row (&p->y, row);
      float *y = cpu_row_out (&p->y, y_row, 0, buffer);
      double sum = row_exp (x, row_max (x, width), y, width);
      row_scale (y, (float) (1.0 / sum), width);
      cpu_row_done (&p->y, y_row, 0, width, y);
    }
}

void
CPU_FN (cpu_softmax) (PeftCpuBackend *self, gconstpointer params)
{
  const PeftSoftmaxParams *p = params;
  cpu_run_range (self, cpu_view_n_rows (&p->x), cpu_rows_step (cpu_view_width (&p->x)),
                 softmax_range, p);
}

/* dx (+)= y ⊙ (dy - Σ dy ⊙ y). */
static void
softmax_backward_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end,
                        guint thread)
{
  const PeftSoftmaxBackwardParams *p = data;
  gint64 width = cpu_view_width (&p->y);
  float *scratch = cpu_scratch_get (self, thread, (gsize) width * 3 * sizeof (float));

  for (gint64 row = begin; row < end; row++)
    {
      const float *y = cpu_row_in (&p->y, cpu_view_row (&p->y, row), 0, width, scratch);
      const float *dy = cpu_row_in (&p->dy, cpu_view_row (&p->dy, row), 0, width, scratch + width);
      void *dx_row = cpu_view_row (&p->dx, row);
      float *dx = cpu_row_out (&p->dx, dx_row, 0, scratch + 2 * width);
      float dot = 0;

      CPU_SIMD_SUM (dot)
      for (gint64 i = 0; i < width; i++)
        dot += y[i] * dy[i];
      if (p->accumulate)
        {
          const float *old = cpu_row_in (&p->dx, dx_row, 0, width, scratch + 2 * width);
          for (gint64 i = 0; i < width; i++)
            dx[i] = old[i] + y[i] * (dy[i] - dot);
        }
      else
        for (gint64 i = 0; i < width; i++)
          dx[i] = y[i] * (dy[i] - dot);
      cpu_row_done (&p->dx, dx_row, 0, width, dx);
    }
}

void
CPU_FN (cpu_softmax_backward) (PeftCpuBackend *self, gconstpointer params)
{
  const PeftSoftmaxBackwardParams *p = params;
  cpu_run_range (self, cpu_view_n_rows (&p->y), cpu_rows_step (cpu_view_width (&p->y)),
                 softmax_backward_range, p);
}
