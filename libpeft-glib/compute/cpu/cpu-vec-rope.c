/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/cpu/cpu-vec.h"

/* Rotary position embedding (Su et al., arXiv:2104.09864). */

static void
rotate_half (const float *x, float *y, const float *restrict cos, const float *restrict sin,
             float sign, gint64 half)
{
  CPU_SIMD
  for (gint64 i = 0; i < half; i++)
    {
      float a = x[i], b = x[i + half], s = sign * sin[i];
      y[i] = a * cos[i] - b * s;
      y[i + half] = b * cos[i] + a * s;
    }
}

static void
rotate_interleaved (const float *x, float *y, const float *restrict cos,
                    const float *restrict sin, float sign, gint64 half)
{
  for (gint64 i = 0; i < half; i++)
    {
      float a = x[2 * i], b = x[2 * i + 1], s = sign * sin[i];
      y[2 * i] = a * cos[i] - b * s;
      y[2 * i + 1] = b * cos[i] + a * s;
    }
}

/* One position of one sequence: all heads. */
static void
rope_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const PeftRopeParams *p = data;
  gint64 length = p->x.shape[1], heads = p->x.shape[2], dim = p->x.shape[3];
  gint64 half = p->cos_sin.shape[2];
  float sign = p->inverse ? -1.0f : 1.0f;
  float *x_buffer = cpu_scratch_get (self, thread, (gsize) dim * 2 * sizeof (float));
  float *y_buffer = x_buffer + dim;
  const gint32 *positions = cpu_view_data (&p->positions);
  const float *table = cpu_view_data (&p->cos_sin);

  for (gint64 row = begin; row < end; row++)
    {
      gint64 position = positions[row / length * p->positions.stride[0]
                                  + row % length * p->positions.stride[1]];
      g_assert (position >= 0 && position < p->cos_sin.shape[0]);
      const float *cos = table + position * p->cos_sin.stride[0];
      const float *sin = cos + p->cos_sin.stride[1];
      for (gint64 head = 0; head < heads; head++)
        {
          const void *x_row = cpu_view_row (&p->x, row * heads + head);
          void *y_row = cpu_view_row (&p->y, row * heads + head);
          const float *x = cpu_row_in (&p->x, x_row, 0, dim, x_buffer);
          float *y = cpu_row_out (&p->y, y_row, 0, y_buffer);
          (p->interleaved ? rotate_interleaved : rotate_half) (x, y, cos, sin, sign, half);
          if (y != x && 2 * half < dim)
            memcpy (y + 2 * half, x + 2 * half, (gsize) (dim - 2 * half) * sizeof (float));
          cpu_row_done (&p->y, y_row, 0, dim, y);
        }
    }
}

void
CPU_FN (cpu_rope) (PeftCpuBackend *self, gconstpointer params)
{
  const PeftRopeParams *p = params;
  cpu_run_range (self, p->x.shape[0] * p->x.shape[1],
                 cpu_rows_step (p->x.shape[2] * p->x.shape[3]), rope_range, p);
}
