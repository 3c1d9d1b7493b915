/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/cpu/cpu-vec.h"

/* Dropout: value i is kept when word i of the counter-based sequence reaches the threshold. */

#define ROUNDS 10
/* Blocks of four words side by side. */
#define LANES 16

/* The words of peft_random_block () for counters first … first + LANES - 1, in their order. */
static void
random_words (guint64 seed, guint64 stream, guint64 first, guint32 *out)
{
  guint32 c0[LANES], c1[LANES], c2[LANES], c3[LANES];
  guint32 k0 = (guint32) seed, k1 = (guint32) (seed >> 32);

  for (int i = 0; i < LANES; i++)
    {
      guint64 counter = first + (guint64) i;
      c0[i] = (guint32) counter;
      c1[i] = (guint32) (counter >> 32);
      c2[i] = (guint32) stream;
      c3[i] = (guint32) (stream >> 32);
    }
  for (int round = 0; round < ROUNDS; round++)
    {
      CPU_SIMD
      for (int i = 0; i < LANES; i++)
        {
          guint64 p0 = (guint64) c0[i] * 0xd2511f53u, p1 = (guint64) c2[i] * 0xcd9e8d57u;
          c0[i] = (guint32) (p1 >> 32) ^ c1[i] ^ k0;
          c1[i] = (guint32) p1;
          c2[i] = (guint32) (p0 >> 32) ^ c3[i] ^ k1;
          c3[i] = (guint32) p0;
        }
      k0 += 0x9e3779b9u;
      k1 += 0xbb67ae85u;
    }
  for (int i = 0; i < LANES; i++)
    {
      out[4 * i] = c0[i];
      out[4 * i + 1] = c1[i];
      out[4 * i + 2] = c2[i];
      out[4 * i + 3] = c3[i];
    }
}

static void
dropout_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const PeftDropoutParams *p = data;
  gint64 width = cpu_view_width (&p->x);
  guint64 threshold = (guint64) llrint (p->p * 4294967296.0);
  float factor = (float) (1.0 / (1.0 - p->p));
  float x_buffer[CPU_CHUNK], y_buffer[CPU_CHUNK], mask[CPU_CHUNK];
  guint32 words[CPU_CHUNK + 4 * LANES];

  for (gint64 row = begin; row < end; row++)
    {
      const void *x_row = cpu_view_row (&p->x, row);
      void *y_row = cpu_view_row (&p->y, row);
      for (gint64 j = 0; j < width; j += CPU_CHUNK)
        {
          gint64 n = MIN (CPU_CHUNK, width - j);
          guint64 first = (guint64) (row * width + j);
          const guint32 *word = words + first % 4;
          for (gint64 i = 0; i < (gint64) (first % 4) + n; i += 4 * LANES)
            random_words (p->seed, p->stream, (first + (guint64) i) / 4, words + i);
          CPU_SIMD
          for (gint64 i = 0; i < n; i++)
            mask[i] = word[i] >= threshold ? factor : 0.0f;
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
