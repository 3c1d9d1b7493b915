/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/cpu/cpu-simd.h"
#include "compute/cpu/cpu-vec.h"

/* Dropout: value i is kept when word i of the counter-based sequence reaches the threshold. */

#define ROUNDS 10
/* Blocks of four words side by side: two vectors of 64-bit lanes. */
#define LANES CPU_VL

/* The words of peft_random_block () for counters first … first + LANES - 1, in their order. A lane
 * holds one of a block's words in its low half; the products ignore what is above. */
static void
random_words (guint64 seed, guint64 stream, guint64 first, guint32 *out)
{
  const vq m0 = v_set_u64 (0xd2511f53u), m1 = v_set_u64 (0xcd9e8d57u);
  guint32 k0 = (guint32) seed, k1 = (guint32) (seed >> 32);
  guint64 counters[LANES];
  vq c0[2], c1[2], c2[2], c3[2];

  for (int i = 0; i < LANES; i++)
    counters[i] = first + (guint64) i;
  memcpy (c0, counters, sizeof c0);
  for (int v = 0; v < 2; v++)
    {
      c1[v] = c0[v] >> 32;
      c2[v] = v_set_u64 (stream);
      c3[v] = v_set_u64 (stream >> 32);
    }
  for (int round = 0; round < ROUNDS; round++)
    {
#pragma GCC unroll 2
      for (int v = 0; v < 2; v++)
        {
          vq p0 = v_multiply_low (c0[v], m0), p1 = v_multiply_low (c2[v], m1);
          c0[v] = (p1 >> 32) ^ c1[v] ^ v_set_u64 (k0);
          c1[v] = p1;
          c2[v] = (p0 >> 32) ^ c3[v] ^ v_set_u64 (k1);
          c3[v] = p0;
        }
      k0 += 0x9e3779b9u;
      k1 += 0xbb67ae85u;
    }
  for (int v = 0; v < 2; v++)
    {
      guint64 low[LANES / 2], high[LANES / 2];
      vq pair = (c0[v] & 0xffffffffu) | (c1[v] << 32);
      memcpy (low, &pair, sizeof pair);
      pair = (c2[v] & 0xffffffffu) | (c3[v] << 32);
      memcpy (high, &pair, sizeof pair);
      for (int i = 0; i < LANES / 2; i++)
        {
          gsize at = (gsize) (v * LANES / 2 + i) * 4;
          memcpy (out + at, &low[i], sizeof low[i]);
          memcpy (out + at + 2, &high[i], sizeof high[i]);
        }
    }
}

static void
dropout_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const PeftDropoutParams *p = data;
  gint64 width = cpu_view_width (&p->x);
  guint64 threshold = (guint64) llrint (p->p * 4294967296.0);
  /* The largest word that is dropped; without any the factor is 1. */
  guint32 last = threshold > 0 ? (guint32) (threshold - 1) : 0;
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
            mask[i] = word[i] > last || threshold == 0 ? factor : 0.0f;
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
