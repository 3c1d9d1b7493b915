/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/cpu/cpu-vec.h"

/* RMS normalisation and its backward pass (Zhang & Sennrich, arXiv:1910.07467). */

/* weight + offset as float32, in thread scratch. */
static void
load_weight (const PeftView *weight, double offset, float *out, gint64 width)
{
  cpu_to_f32 (weight->dtype, cpu_view_data (weight), weight->stride[weight->n_dims - 1], out,
              width);
  if (offset != 0)
    for (gint64 i = 0; i < width; i++)
      out[i] += (float) offset;
}

static void
norm_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const PeftRmsNormParams *p = data;
  gint64 width = cpu_view_width (&p->x);
  float *scratch = cpu_scratch_get (self, thread, (gsize) width * 4 * sizeof (float));
  float *weight = scratch, *x_buffer = scratch + width, *r_buffer = scratch + 2 * width;
  float *y_buffer = scratch + 3 * width;
  float *rstd_out = cpu_view_data (&p->rstd);

  load_weight (&p->weight, p->weight_offset, weight, width);
  for (gint64 row = begin; row < end; row++)
    {
      const float *restrict x = cpu_row_in (&p->x, cpu_view_row (&p->x, row), 0, width, x_buffer);
      float sum = 0;
      if (p->residual.buffer != NULL)
        {
          const float *residual = cpu_row_in (&p->residual, cpu_view_row (&p->residual, row), 0,
                                              width, r_buffer);
          float *total = r_buffer;
          void *dst = NULL;
          if (p->sum.buffer != NULL)
            {
              dst = cpu_view_row (&p->sum, row);
              total = cpu_row_out (&p->sum, dst, 0, r_buffer);
            }
          CPU_SIMD_SUM (sum)
          for (gint64 i = 0; i < width; i++)
            {
              float v = x[i] + residual[i];
              total[i] = v;
              sum += v * v;
            }
          if (dst != NULL)
            cpu_row_done (&p->sum, dst, 0, width, total);
          x = total;
        }
      else
        {
          CPU_SIMD_SUM (sum)
          for (gint64 i = 0; i < width; i++)
            sum += x[i] * x[i];
        }

      float rstd = 1.0f / sqrtf (sum / (float) width + (float) p->eps);
      void *y_row = cpu_view_row (&p->y, row);
      float *y = cpu_row_out (&p->y, y_row, 0, y_buffer);
      CPU_SIMD
      for (gint64 i = 0; i < width; i++)
        y[i] = x[i] * rstd * weight[i];
      cpu_row_done (&p->y, y_row, 0, width, y);
      if (rstd_out != NULL)
        rstd_out[row * p->rstd.stride[0]] = rstd;
    }
}

void
CPU_FN (cpu_rms_norm) (PeftCpuBackend *self, gconstpointer params)
{
  const PeftRmsNormParams *p = params;
  cpu_run_range (self, cpu_view_n_rows (&p->x), cpu_rows_step (cpu_view_width (&p->x)),
                 norm_range, p);
}

typedef struct
{
  const PeftRmsNormBackwardParams *p;
  gint64 step;
  float *partial; /* [tasks, width]: each task's part of dweight */
} Backward;

static void
backward_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const Backward *backward = data;
  const PeftRmsNormBackwardParams *p = backward->p;
  gint64 width = cpu_view_width (&p->x);
  float *scratch = cpu_scratch_get (self, thread, (gsize) width * 4 * sizeof (float));
  float *weight = scratch, *x_buffer = scratch + width, *dy_buffer = scratch + 2 * width;
  float *dx_buffer = scratch + 3 * width;
  const float *rstds = cpu_view_data (&p->rstd);
  float *restrict partial = NULL;

  load_weight (&p->weight, p->weight_offset, weight, width);
  if (backward->partial != NULL)
    {
      partial = backward->partial + begin / backward->step * width;
      memset (partial, 0, (gsize) width * sizeof (float));
    }
  for (gint64 row = begin; row < end; row++)
    {
      const float *x = cpu_row_in (&p->x, cpu_view_row (&p->x, row), 0, width, x_buffer);
      const float *dy = cpu_row_in (&p->dy, cpu_view_row (&p->dy, row), 0, width, dy_buffer);
      float rstd = rstds[row * p->rstd.stride[0]], dot = 0;

      CPU_SIMD_SUM (dot)
      for (gint64 i = 0; i < width; i++)
        dot += dy[i] * weight[i] * x[i];
      if (partial != NULL)
        {
          CPU_SIMD
          for (gint64 i = 0; i < width; i++)
            partial[i] += dy[i] * x[i] * rstd;
        }
      float factor = dot * rstd * rstd / (float) width;
      void *dx_row = cpu_view_row (&p->dx, row);
      float *dx = cpu_row_out (&p->dx, dx_row, 0, dx_buffer);
      if (p->accumulate)
        {
          const float *old = cpu_row_in (&p->dx, dx_row, 0, width, dx_buffer);
          CPU_SIMD
          for (gint64 i = 0; i < width; i++)
            dx[i] = old[i] + rstd * (dy[i] * weight[i] - x[i] * factor);
        }
      else
        {
          CPU_SIMD
          for (gint64 i = 0; i < width; i++)
            dx[i] = rstd * (dy[i] * weight[i] - x[i] * factor);
        }
      cpu_row_done (&p->dx, dx_row, 0, width, dx);
    }
}

void
CPU_FN (cpu_rms_norm_backward) (PeftCpuBackend *self, gconstpointer params)
{
  const PeftRmsNormBackwardParams *p = params;
  gint64 width = cpu_view_width (&p->x), n_rows = cpu_view_n_rows (&p->x);
  Backward backward = { p, cpu_rows_step (width), NULL };
  gint64 n_tasks = (n_rows + backward.step - 1) / backward.step;

  if (p->dweight.buffer != NULL)
    backward.partial = cpu_shared_scratch_get (self, (gsize) (n_tasks * width) * sizeof (float));
  cpu_run_range (self, n_rows, backward.step, backward_range, &backward);
  if (p->dweight.buffer == NULL)
    return;

  float *dweight = cpu_view_data (&p->dweight);
  gint64 stride = p->dweight.stride[p->dweight.n_dims - 1];
  for (gint64 task = 0; task < n_tasks; task++)
    for (gint64 i = 0; i < width; i++)
      dweight[i * stride] += backward.partial[task * width + i];
}
