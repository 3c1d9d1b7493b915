/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/peft-dtype.h"
#include "compute/cpu/cpu-math.h"
#include "compute/cpu/cpu-vec.h"

/* Conversions between stored types and float32. The block layouts are GGUF's (see the type table in
 * base/): a float16 scale in front of 32 values, or Q6_K's 256 values with their scales behind. */

static inline float
block_scale (const guint8 *block)
{
  guint16 v;
  memcpy (&v, block, sizeof v);
  return cpu_f16_load (v);
}

static void
from_q8_0 (const guint8 *src, float *dst, gint64 n)
{
  for (gint64 b = 0; b < n / 32; b++, src += 34, dst += 32)
    {
      float d = block_scale (src);
      const gint8 *q = (const gint8 *) src + 2;
      CPU_SIMD
      for (int j = 0; j < 32; j++)
        dst[j] = d * (float) q[j];
    }
}

static void
from_q4_0 (const guint8 *src, float *dst, gint64 n)
{
  for (gint64 b = 0; b < n / 32; b++, src += 18, dst += 32)
    {
      float d = block_scale (src);
      const guint8 *q = src + 2;
      CPU_SIMD
      for (int j = 0; j < 16; j++)
        {
          dst[j] = d * (float) ((gint32) (q[j] & 15) - 8);
          dst[j + 16] = d * (float) ((gint32) (q[j] >> 4) - 8);
        }
    }
}

static void
from_q4_1 (const guint8 *src, float *dst, gint64 n)
{
  for (gint64 b = 0; b < n / 32; b++, src += 20, dst += 32)
    {
      float d = block_scale (src), m = block_scale (src + 2);
      const guint8 *q = src + 4;
      CPU_SIMD
      for (int j = 0; j < 16; j++)
        {
          dst[j] = d * (float) (q[j] & 15) + m;
          dst[j + 16] = d * (float) (q[j] >> 4) + m;
        }
    }
}

/* 6-bit values: low 4 bits in 128 bytes, high 2 bits in 64 bytes, 16 int8 scales, one float16. */
static void
from_q6_k (const guint8 *src, float *dst, gint64 n)
{
  for (gint64 b = 0; b < n / 256; b++, src += 210, dst += 256)
    {
      const gint8 *scales = (const gint8 *) src + 192;
      float d = block_scale (src + 208);
      for (int half = 0; half < 2; half++)
        {
          const guint8 *ql = src + 64 * half, *qh = src + 128 + 32 * half;
          float *y = dst + 128 * half;
          for (int part = 0; part < 2; part++)
            {
              const gint8 *s = scales + 8 * half + part;
              float s0 = d * (float) s[0], s1 = d * (float) s[2];
              float s2 = d * (float) s[4], s3 = d * (float) s[6];
              CPU_SIMD
              for (int j = 16 * part; j < 16 * part + 16; j++)
                {
                  gint32 h = qh[j];
                  y[j] = s0 * (float) (((ql[j] & 15) | (h & 3) << 4) - 32);
                  y[j + 32] = s1 * (float) (((ql[j + 32] & 15) | (h >> 2 & 3) << 4) - 32);
                  y[j + 64] = s2 * (float) ((ql[j] >> 4 | (h >> 4 & 3) << 4) - 32);
                  y[j + 96] = s3 * (float) ((ql[j + 32] >> 4 | (h >> 6 & 3) << 4) - 32);
                }
            }
        }
    }
}

#define CONVERT_FROM(type, expression)                                                             \
  {                                                                                                \
    const type *p = src;                                                                           \
    if (stride == 1)                                                                               \
      {                                                                                            \
        CPU_SIMD                                                                                   \
        for (gint64 i = 0; i < n; i++)                                                             \
          {                                                                                        \
            type v = p[i];                                                                         \
            dst[i] = expression;                                                                   \
          }                                                                                        \
      }                                                                                            \
    else                                                                                           \
      for (gint64 i = 0; i < n; i++)                                                               \
        {                                                                                          \
          type v = p[i * stride];                                                                  \
          dst[i] = expression;                                                                     \
        }                                                                                          \
    break;                                                                                         \
  }

void
cpu_to_f32 (PeftDType dtype, const void *restrict src, gint64 stride, float *restrict dst,
            gint64 n)
{
  switch ((int) dtype)
    {
    case PEFT_DTYPE_F32:
      CONVERT_FROM (float, v)
    case PEFT_DTYPE_F64:
      CONVERT_FROM (double, (float) v)
    case PEFT_DTYPE_BF16:
      CONVERT_FROM (guint16, cpu_bf16_load (v))
    case PEFT_DTYPE_F16:
      CONVERT_FROM (guint16, cpu_f16_load (v))
    case PEFT_DTYPE_Q8_0:
      from_q8_0 (src, dst, n);
      break;
    case PEFT_DTYPE_Q4_0:
      from_q4_0 (src, dst, n);
      break;
    case PEFT_DTYPE_Q4_1:
      from_q4_1 (src, dst, n);
      break;
    case PEFT_DTYPE_Q6_K:
      from_q6_k (src, dst, n);
      break;
    default:
      /* Types that are rare in weights: one value at a time by the table. */
      if (stride == 1)
        peft_dtype_get_info (dtype)->to_f32 (src, dst, n);
      else
        for (gint64 i = 0; i < n; i++)
          peft_dtype_get_info (dtype)->to_f32 ((const guint8 *) src
                                                   + i * stride * (gint64) cpu_plain_size (dtype),
                                               dst + i, 1);
    }
}

#define CONVERT_TO(type, expression)                                                               \
  {                                                                                                \
    type *p = dst;                                                                                 \
    if (stride == 1)                                                                               \
      {                                                                                            \
        CPU_SIMD                                                                                   \
        for (gint64 i = 0; i < n; i++)                                                             \
          {                                                                                        \
            float v = src[i];                                                                      \
            p[i] = expression;                                                                     \
          }                                                                                        \
      }                                                                                            \
    else                                                                                           \
      for (gint64 i = 0; i < n; i++)                                                               \
        {                                                                                          \
          float v = src[i];                                                                        \
          p[i * stride] = expression;                                                              \
        }                                                                                          \
    break;                                                                                         \
  }

void
cpu_from_f32 (PeftDType dtype, const float *restrict src, void *restrict dst, gint64 stride,
              gint64 n)
{
  switch ((int) dtype)
    {
    case PEFT_DTYPE_F32:
      CONVERT_TO (float, v)
    case PEFT_DTYPE_F64:
      CONVERT_TO (double, v)
    case PEFT_DTYPE_BF16:
      CONVERT_TO (guint16, cpu_bf16_round (v))
    case PEFT_DTYPE_F16:
      CONVERT_TO (guint16, peft_f32_to_f16 (v))
    default:
      for (gint64 i = 0; i < n; i++)
        peft_dtype_get_info (dtype)->from_f32 (src + i,
                                               (guint8 *) dst
                                                   + i * stride * (gint64) cpu_plain_size (dtype),
                                               1);
    }
}
