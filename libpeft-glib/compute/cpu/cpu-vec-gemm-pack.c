/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/cpu/cpu-gemm.h"
#include "compute/cpu/cpu-math.h"

/* Panels of units out of matrices of any type. */

static const guint8 *
line_at (const GemmMatrix *x, gint64 line, gint64 position)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (x->dtype);
  gint64 value = line * x->stride + position;
  return x->data + value / info->block_size * info->block_bytes;
}

void
gemm_to_bf16 (const float *restrict src, guint16 *restrict dst, gint64 n)
{
  gint64 i = 0;
#ifdef __AVX512BF16__
  for (; i + 32 <= n; i += 32)
    {
      __m512bh v = _mm512_cvtne2ps_pbh (_mm512_loadu_ps (src + i + 16), _mm512_loadu_ps (src + i));
      memcpy (dst + i, &v, sizeof v);
    }
#endif
  for (; i < n; i++)
    dst[i] = cpu_bf16_round (src[i]);
}

/* n values of a line from `position` on in the computing type. */
static void
line_values (const GemmMatrix *x, gboolean bf16, gint64 line, gint64 position, gint64 n, void *out)
{
  const guint8 *src = line_at (x, line, position);
  float values[CPU_CHUNK];

  if (!bf16)
    {
      if (x->dtype == PEFT_DTYPE_F32)
        memcpy (out, src, (gsize) n * sizeof (float));
      else
        cpu_to_f32 (x->dtype, src, 1, out, n);
    }
  else if (x->dtype == PEFT_DTYPE_BF16)
    memcpy (out, src, (gsize) n * sizeof (guint16));
  else if (x->dtype == PEFT_DTYPE_F32)
    gemm_to_bf16 ((const float *) src, out, n);
  else
    for (gint64 i = 0; i < n; i += CPU_CHUNK)
      {
        gint64 part = MIN (CPU_CHUNK, n - i);
        cpu_to_f32 (x->dtype, line_at (x, line, position + i), 1, values, part);
        gemm_to_bf16 (values, (guint16 *) out + i, part);
      }
}

/* Units [first, first + units) of row `row` of a matrix whose lines run along k. */
static void
units_along_k (const GemmMatrix *x, gboolean bf16, gint64 row, gint64 first, gint64 units,
               guint32 *out)
{
  if (!bf16)
    {
      line_values (x, FALSE, row, first, units, out);
      return;
    }
  gint64 n = MIN (2 * units, x->k - 2 * first);
  line_values (x, TRUE, row, 2 * first, n, out);
  if (n < 2 * units)
    ((guint16 *) out)[n] = 0;
}

/* Unit `unit` of rows [row, row + rows) of a matrix whose lines run across k. */
static void
units_across_k (const GemmMatrix *x, gboolean bf16, gint64 row, gint64 rows, gint64 unit,
                guint32 *restrict out)
{
  guint16 low[GEMM_KC], high[GEMM_KC];

  if (!bf16)
    {
      line_values (x, FALSE, unit, row, rows, out);
      return;
    }
  line_values (x, TRUE, 2 * unit, row, rows, low);
  if (2 * unit + 1 < x->k)
    line_values (x, TRUE, 2 * unit + 1, row, rows, high);
  else
    memset (high, 0, (gsize) rows * sizeof (guint16));
  for (gint64 i = 0; i < rows; i++)
    out[i] = low[i] | (guint32) high[i] << 16;
}

/* n ≤ CPU_VL values of a line of float32 or bfloat16 as float32. */
CPU_INLINE vf
line_vector (const GemmMatrix *x, gint64 line, gint64 position, gint64 n)
{
  if (x->dtype == PEFT_DTYPE_F32)
    {
      const float *p = (const float *) x->data + line * x->stride + position;
      return n == CPU_VL ? v_load (p) : v_load_n (p, n);
    }
  const guint16 *p = (const guint16 *) x->data + line * x->stride + position;
  return n == CPU_VL ? v_load_bf16 (p) : v_load_bf16_n (p, n);
}

/* What units_across_k () makes, for at most CPU_VL rows and the two types that matter. */
CPU_INLINE vf
unit_vector (const GemmMatrix *x, gboolean bf16, gint64 row, gint64 rows, gint64 unit)
{
  if (!bf16)
    return line_vector (x, unit, row, rows);
  vf low = line_vector (x, 2 * unit, row, rows), high = { 0 };
  if (2 * unit + 1 < x->k)
    high = line_vector (x, 2 * unit + 1, row, rows);
  if (x->dtype != PEFT_DTYPE_BF16)
    {
      low = v_round_bf16 (low);
      high = v_round_bf16 (high);
    }
  return (vf) ((vi) ((vu) low >> 16) | (vi) high);
}

static inline gboolean
has_unit_vectors (const GemmMatrix *x)
{
  return x->dtype == PEFT_DTYPE_F32 || x->dtype == PEFT_DTYPE_BF16;
}

/* [rows ≤ CPU_VL, n] → [n, CPU_VL] with lines of out_stride; missing rows are 0. */
static void
transpose_in (const guint32 *src, gint64 src_stride, gint64 rows, gint64 n, guint32 *out,
              gint64 out_stride)
{
  vf r[CPU_VL];

  for (gint64 k = 0; k < n; k += CPU_VL)
    {
      gint64 part = MIN (CPU_VL, n - k);
#pragma GCC unroll 16
      for (int i = 0; i < CPU_VL; i++)
        {
          const float *line = (const float *) src + i * src_stride + k;
          r[i] = i >= rows ? (vf){ 0 } : part == CPU_VL ? v_load (line) : v_load_n (line, part);
        }
      v_transpose (r);
      if (part == CPU_VL)
        {
#pragma GCC unroll 16
          for (int i = 0; i < CPU_VL; i++)
            v_store ((float *) out + (k + i) * out_stride, r[i]);
        }
      else
        for (gint64 i = 0; i < part; i++)
          v_store ((float *) out + (k + i) * out_stride, r[i]);
    }
}

/* [n, ≥ rows] → [rows, n]. */
static void
transpose_out (const guint32 *src, gint64 src_stride, gint64 rows, gint64 n, guint32 *out,
               gint64 out_stride)
{
  vf r[CPU_VL];

  for (gint64 k = 0; k < n; k += CPU_VL)
    {
      gint64 part = MIN (CPU_VL, n - k);
      for (gint64 j = 0; j < rows; j += CPU_VL)
        {
#pragma GCC unroll 16
          for (int i = 0; i < CPU_VL; i++)
            r[i] = i < part ? v_load ((const float *) src + (k + i) * src_stride + j) : (vf){ 0 };
          v_transpose (r);
          for (gint64 i = 0; i < MIN (CPU_VL, rows - j); i++)
            if (part == CPU_VL)
              v_store ((float *) out + (j + i) * out_stride + k, r[i]);
            else
              v_store_n ((float *) out + (j + i) * out_stride + k, r[i], part);
        }
    }
}

void
gemm_pack_a (const GemmMatrix *a, gboolean bf16, gint64 row, gint64 rows, gint64 first,
             gint64 units, guint32 *restrict out, guint32 *temp)
{
  if (a->k_lines)
    for (gint64 i = 0; i < rows; i++)
      units_along_k (a, bf16, row + i, first, units, out + i * GEMM_A_STRIDE);
  else
    {
      /* Lines of 16, so that whole vectors can be read. */
      for (gint64 k = 0; k < units; k++)
        if (has_unit_vectors (a))
          for (gint64 i = 0; i < rows; i += CPU_VL)
            v_store ((float *) temp + k * 16 + i,
                     unit_vector (a, bf16, row + i, MIN (CPU_VL, rows - i), first + k));
        else
          units_across_k (a, bf16, row, rows, first + k, temp + k * 16);
      transpose_out (temp, 16, rows, units, out, GEMM_A_STRIDE);
    }
  for (gint64 i = rows; i < (rows + 1) / 2 * 2; i++)
    memset (out + i * GEMM_A_STRIDE, 0, (gsize) units * sizeof (guint32));
}

/* Panels of GEMM_NR rows of b, [units][GEMM_NR] each. */
void
gemm_pack_b (const GemmMatrix *b, gboolean bf16, gint64 row, gint64 rows, gint64 first,
             gint64 units, guint32 *restrict out, guint32 *temp)
{
  if (b->k_lines)
    for (gint64 j = 0; j < rows; j += CPU_VL)
      {
        gint64 part = MIN (CPU_VL, rows - j), stride = GEMM_A_STRIDE;
        guint32 *dst = out + j / GEMM_NR * GEMM_NR * units + j % GEMM_NR;
        const guint32 *src = temp;
        if (!bf16 && b->dtype == PEFT_DTYPE_F32)
          {
            src = (const guint32 *) line_at (b, row + j, first);
            stride = b->stride;
          }
        else
          for (gint64 i = 0; i < part; i++)
            units_along_k (b, bf16, row + j + i, first, units, temp + i * GEMM_A_STRIDE);
        transpose_in (src, stride, part, units, dst, GEMM_NR);
      }
  else if (has_unit_vectors (b))
    for (gint64 j = 0; j < rows; j += CPU_VL)
      {
        float *dst = (float *) out + j / GEMM_NR * GEMM_NR * units + j % GEMM_NR;
        gint64 part = MIN (CPU_VL, rows - j);
        for (gint64 k = 0; k < units; k++)
          v_store (dst + k * GEMM_NR, unit_vector (b, bf16, row + j, part, first + k));
      }
  else
    for (gint64 k = 0; k < units; k++)
      {
        units_across_k (b, bf16, row, rows, first + k, temp);
        for (gint64 j = 0; j < rows; j += GEMM_NR)
          {
            guint32 *dst = out + j * units + k * GEMM_NR;
            gint64 part = MIN (GEMM_NR, rows - j);
            memcpy (dst, temp + j, (gsize) part * sizeof (guint32));
            memset (dst + part, 0, (gsize) (GEMM_NR - part) * sizeof (guint32));
          }
      }
}
