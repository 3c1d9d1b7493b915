/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/peft-blocks.h"

#include <math.h>

#include "base/peft-dtype.h"

static inline float
read_f16 (const guint8 *p)
{
  return peft_f16_to_f32 ((guint16) (p[0] | p[1] << 8));
}

/* Values 0 … 15 of a block are the low nibbles of its 16 bytes, values 16 … 31 the high ones. */

void
peft_q4_0_to_f32 (const void *src, float *dst, gsize n)
{
  const guint8 *block = src;

  for (gsize i = 0; i < n; i += PEFT_Q4_0_BLOCK, block += PEFT_Q4_0_BYTES)
    {
      float d = read_f16 (block);
      const guint8 *q = block + 2;

      for (guint j = 0; j < 16; j++)
        {
          dst[i + j] = d * (float) ((int) (q[j] & 15) - 8);
          dst[i + j + 16] = d * (float) ((int) (q[j] >> 4) - 8);
        }
    }
}

void
peft_q4_1_to_f32 (const void *src, float *dst, gsize n)
{
  const guint8 *block = src;

  for (gsize i = 0; i < n; i += PEFT_Q4_1_BLOCK, block += PEFT_Q4_1_BYTES)
    {
      float d = read_f16 (block);
      float m = read_f16 (block + 2);
      const guint8 *q = block + 4;

      for (guint j = 0; j < 16; j++)
        {
          dst[i + j] = d * (float) (q[j] & 15) + m;
          dst[i + j + 16] = d * (float) (q[j] >> 4) + m;
        }
    }
}

void
peft_q8_0_to_f32 (const void *src, float *dst, gsize n)
{
  const guint8 *block = src;

  for (gsize i = 0; i < n; i += PEFT_Q8_0_BLOCK, block += PEFT_Q8_0_BYTES)
    {
      float d = read_f16 (block);
      const gint8 *q = (const gint8 *) block + 2;

      for (guint j = 0; j < 32; j++)
        dst[i + j] = d * (float) q[j];
    }
}

void
peft_q6_k_to_f32 (const void *src, float *dst, gsize n)
{
  const guint8 *block = src;

  for (gsize i = 0; i < n; i += PEFT_Q6_K_BLOCK, block += PEFT_Q6_K_BYTES)
    {
      float d = read_f16 (block + 208);

      /* Each half of 128 values: four rows of 32; rows 0 and 1 are low nibbles of its 64 bytes,
       * rows 2 and 3 high ones, and row r's upper bits are bit pair r of its 32 bytes. */
      for (guint half = 0; half < 2; half++)
        {
          const guint8 *low = block + 64 * half;
          const guint8 *high = block + 128 + 32 * half;
          const gint8 *scale = (const gint8 *) block + 192 + 8 * half;
          float *out = dst + i + 128 * half;

          for (guint row = 0; row < 4; row++)
            for (guint j = 0; j < 32; j++)
              {
                guint nibble = low[32 * (row & 1) + j] >> (row >= 2 ? 4 : 0) & 15;
                guint bits = high[j] >> (2 * row) & 3;
                float s = d * (float) scale[2 * row + j / 16];

                out[32 * row + j] = s * (float) ((int) (nibble | bits << 4) - 32);
              }
        }
    }
}

void
peft_q8_0_from_f32 (const float *src, void *dst, gsize n)
{
  guint8 *block = dst;

  for (gsize i = 0; i < n; i += PEFT_Q8_0_BLOCK, block += PEFT_Q8_0_BYTES)
    {
      float max = 0.0f;
      gboolean finite = TRUE;
      float d, inverse;
      guint16 d16;

      for (guint j = 0; j < 32; j++)
        {
          finite = finite && isfinite (src[i + j]);
          max = fmaxf (max, fabsf (src[i + j]));
        }
      d = finite ? max / 127.0f : NAN;
      /* 1 / d overflows for subnormal d, which is zero in f16 anyway. */
      inverse = finite && d >= 1e-37f ? 1.0f / d : 0.0f;
      d16 = peft_f32_to_f16 (d);
      block[0] = (guint8) d16;
      block[1] = (guint8) (d16 >> 8);
      for (guint j = 0; j < 32; j++)
        block[2 + j] = finite ? (guint8) (gint8) roundf (src[i + j] * inverse) : 0;
    }
}
