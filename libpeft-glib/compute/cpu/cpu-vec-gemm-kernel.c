/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/cpu/cpu-gemm.h"
#include "compute/cpu/cpu-math.h"

/* The micro-kernels: sums in registers, one column vector of A broadcast against vectors of B. */

CPU_INLINE vf
multiply_add (gboolean bf16, vf sum, guint32 a, vf b)
{
#ifdef __AVX512BF16__
  if (bf16)
    return (vf) _mm512_dpbf16_ps ((__m512) sum, (__m512bh) _mm512_set1_epi32 ((int) a),
                                  (__m512bh) b);
#endif
  return sum + v_set (cpu_float (a)) * b;
}

static void
store_values (const GemmOutput *c, gint64 row, gint64 column, gint64 n, vf v)
{
  float values[CPU_VL], old[CPU_VL], bias[CPU_VL];
  guint8 *dst = c->data + (row * c->stride + column) * (gint64) cpu_plain_size (c->dtype);

  v_store (values, v);
  if (c->accumulate)
    cpu_to_f32 (c->dtype, dst, 1, old, n);
  if (c->bias != NULL)
    cpu_to_f32 (c->bias_dtype,
                c->bias + column * c->bias_stride * (gint64) cpu_plain_size (c->bias_dtype),
                c->bias_stride, bias, n);
  for (gint64 i = 0; i < n; i++)
    {
      float sum = values[i] * c->alpha;
      if (c->accumulate)
        sum += old[i];
      if (c->bias != NULL)
        sum += bias[i];
      values[i] = sum;
    }
  cpu_from_f32 (c->dtype, values, dst, 1, n);
}

CPU_INLINE void
store_vector (const GemmOutput *c, gint64 row, gint64 column, gint64 n, vf v)
{
  if (c->dtype == PEFT_DTYPE_F32 && c->bias == NULL)
    {
      float *dst = (float *) c->data + row * c->stride + column;
      v *= c->alpha;
      if (n >= CPU_VL)
        v_store (dst, c->accumulate ? v + v_load (dst) : v);
      else
        v_store_n (dst, c->accumulate ? v + v_load_n (dst, n) : v, n);
    }
  else
    store_values (c, row, column, MIN (n, CPU_VL), v);
}

CPU_INLINE void
kernel (const gboolean bf16, const int rows, const int vectors, gint64 units, const guint32 *a,
        gint64 a_stride, const guint32 *b, gint64 b_stride, const GemmOutput *c, gint64 row,
        gint64 n_rows, gint64 column, gint64 n_columns)
{
  vf sums[GEMM_MR][2];

#pragma GCC unroll 16
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
    for (int j = 0; j < vectors; j++)
      sums[i][j] = (vf){ 0 };
  for (gint64 k = 0; k < units; k++)
    {
      vf b0 = v_load ((const float *) b), b1;
      if (vectors > 1)
        b1 = v_load ((const float *) b + CPU_VL);
#pragma GCC unroll 16
      for (int i = 0; i < rows; i++)
        {
          sums[i][0] = multiply_add (bf16, sums[i][0], a[i * a_stride + k], b0);
          if (vectors > 1)
            sums[i][1] = multiply_add (bf16, sums[i][1], a[i * a_stride + k], b1);
        }
      b += b_stride;
    }
#pragma GCC unroll 16
  for (int i = 0; i < rows; i++)
    if (i < n_rows)
      {
        store_vector (c, row + i, column, n_columns, sums[i][0]);
        if (vectors > 1)
          store_vector (c, row + i, column + CPU_VL, n_columns - CPU_VL, sums[i][1]);
      }
}

#define CASE(bf16, r, v)                                                                           \
  kernel (bf16, r, v, units, a, GEMM_A_STRIDE, b, b_stride, c, row, rows, column, columns);                       \
  break;

#if GEMM_MR == 14
#define ALL_ROWS(bf16, v)                                                                          \
  switch ((rows + 1) / 2)                                                                          \
    {                                                                                              \
    case 7:                                                                                        \
      CASE (bf16, 14, v)                                                                           \
    case 6:                                                                                        \
      CASE (bf16, 12, v)                                                                           \
    case 5:                                                                                        \
      CASE (bf16, 10, v)                                                                           \
    case 4:                                                                                        \
      CASE (bf16, 8, v)                                                                            \
    case 3:                                                                                        \
      CASE (bf16, 6, v)                                                                            \
    case 2:                                                                                        \
      CASE (bf16, 4, v)                                                                            \
    default:                                                                                       \
      CASE (bf16, 2, v)                                                                            \
    }
#else
#define ALL_ROWS(bf16, v)                                                                          \
  switch ((rows + 1) / 2)                                                                          \
    {                                                                                              \
    case 3:                                                                                        \
      CASE (bf16, 6, v)                                                                            \
    case 2:                                                                                        \
      CASE (bf16, 4, v)                                                                            \
    default:                                                                                       \
      CASE (bf16, 2, v)                                                                            \
    }
#endif

static void
kernel_f32 (gint64 rows, gint64 columns, gint64 units, const guint32 *a, const guint32 *b,
            gint64 b_stride, const GemmOutput *c, gint64 row, gint64 column)
{
  if (columns > CPU_VL)
    ALL_ROWS (FALSE, 2)
  else
    ALL_ROWS (FALSE, 1)
}

#ifdef __AVX512BF16__
static void
kernel_bf16 (gint64 rows, gint64 columns, gint64 units, const guint32 *a, const guint32 *b,
             gint64 b_stride, const GemmOutput *c, gint64 row, gint64 column)
{
  if (columns > CPU_VL)
    ALL_ROWS (TRUE, 2)
  else
    ALL_ROWS (TRUE, 1)
}
#endif

void
gemm_kernel (gboolean bf16, gint64 rows, gint64 columns, gint64 units, const guint32 *a,
             const guint32 *b, gint64 b_stride, const GemmOutput *c, gint64 row, gint64 column)
{
#ifdef __AVX512BF16__
  if (bf16)
    {
      kernel_bf16 (rows, columns, units, a, b, b_stride, c, row, column);
      return;
    }
#endif
  kernel_f32 (rows, columns, units, a, b, b_stride, c, row, column);
}

/* Independent sums enough to hide the latency of a multiply-add on every known core. */
#define PEAK_SUMS 12

CPU_INLINE double
peak (const gboolean bf16, guint64 n)
{
  vf sums[PEAK_SUMS], b = v_set (0.0f), total = { 0 };
  guint32 a = 0x3f803f80; /* two times 1.0 in bfloat16 */

#pragma GCC unroll 12
  for (int i = 0; i < PEAK_SUMS; i++)
    sums[i] = v_set ((float) i);
  for (guint64 k = 0; k < n; k++)
    {
      /* Keeps the compiler from folding the loop. */
      __asm__ volatile ("" : "+m" (a));
#pragma GCC unroll 12
      for (int i = 0; i < PEAK_SUMS; i++)
        sums[i] = multiply_add (bf16, sums[i], a, b);
    }
#pragma GCC unroll 12
  for (int i = 0; i < PEAK_SUMS; i++)
    total += sums[i];
  float keep = v_sum (total);
  __asm__ volatile ("" : : "m" (keep));
  return (double) n * PEAK_SUMS * CPU_VL * (bf16 ? 4 : 2);
}

double
CPU_FN (cpu_peak_f32) (guint64 n)
{
  return peak (FALSE, n);
}

double
CPU_FN (cpu_peak_bf16) (guint64 n)
{
#ifdef __AVX512BF16__
  return peak (TRUE, n);
#else
  return 0;
#endif
}
