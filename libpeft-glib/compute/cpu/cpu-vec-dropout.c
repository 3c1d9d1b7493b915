/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/peft-random.h"
#include "compute/cpu/cpu-vec.h"

/* Dropout: value i is kept when word i of the counter-based sequence reaches the threshold. */

static void
dropout_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const PeftDropoutParams *p = data;
  gint64 width = cpu_view_width (&p->x);
  guint64 threshold = (guint64) llrint (p->p * 4294967296.0);
  float factor = p->p < 1 ? (float) (1.0 / (1.0 - p->p)) : 0.0f;
  float x_buffer[CPU_CHUNK], y_buffer[CPU_CHUNK], mask[CPU_CHUNK];

  for (gint64 row = begin; row < end; row++)
    {
      const void *x_row = cpu_view_row (&p->x, row);
      void *y_row = cpu_view_row (&p->y, row);
      for (gint64 j = 0; j < width; j += CPU_CHUNK)
        {
          gint64 n = MIN (CPU_CHUNK, width - j);
          guint64 first = (guint64) (row * width + j);
          guint32 words[4];
          for (gint64 i = 0; i < n; i++)
            {
              if (i == 0 || (first + (guint64) i) % 4 == 0)
                peft_random_block (p->seed, p->stream, (first + (guint64) i) / 4, words);
              mask[i] = words[(first + (guint64) i) % 4] >= threshold ? factor : 0.0f;
            }
          const float *x = cpu_row_in (&p->x, x_row, j, n, x_buffer);
          float *y = cpu_row_out (&p->y, y_row, j, y_buffer);
          const float *old = p->accumulate ? cpu_row_in (&p->y, y_row, j, n, y_buffer) : NULL;
          if (old != NULL)
            for (gint64 i = 0; i < n; i++)
              y[i] = old[i] + x[i] * mask[i];
          else
            for (gint64 i = 0; i < n; i++)
              y[i] = x[i] * mask[i];
          cpu_row_done (&p->y, y_row, j, n, y);
        }
    }
}

void
CPU_FN (cpu_dropout) (PeftCpuBackend *self, gconstpointer params)
{
  const PeftDropoutParams *p = params;
  cpu_run_range (self, cpu_view_n_rows (&p->x), cpu_rows_step (cpu_view_width (&p->x)),
                 dropout_range, p);
}
