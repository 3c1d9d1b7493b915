/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/cpu/cpu-gemm.h"
#include "compute/cpu/cpu-math.h"

/* Products with few rows of a, as in generation: every row of b is read once from memory, decoded
 * in pieces that stay in the first-level cache, and multiplied with all rows of a. */

/* Rows of b a task takes at least; a piece of k. */
#define ROWS 4
#define PIECE 512

typedef struct
{
  const GemmProblem *problem;
  const float *a; /* [m, k], rounded to bfloat16 where the product asks for it */
} Gemv;

/* out[i] += a[i, :] · b over n values. */
CPU_INLINE void
dots (const int m, const float *a, gint64 a_stride, const float *b, gint64 n, vf *sums)
{
  gint64 k = 0;

  for (; k + 2 * CPU_VL <= n; k += 2 * CPU_VL)
    {
      vf b0 = v_load (b + k), b1 = v_load (b + k + CPU_VL);
#pragma GCC unroll 8
      for (int i = 0; i < m; i++)
        {
          sums[2 * i] += v_load (a + i * a_stride + k) * b0;
          sums[2 * i + 1] += v_load (a + i * a_stride + k + CPU_VL) * b1;
        }
    }
  for (; k < n; k += CPU_VL)
    {
      gint64 part = MIN (CPU_VL, n - k);
      vf b0 = part == CPU_VL ? v_load (b + k) : v_load_n (b + k, part);
      for (int i = 0; i < m; i++)
        {
          const float *p = a + i * a_stride + k;
          sums[2 * i] += (part == CPU_VL ? v_load (p) : v_load_n (p, part)) * b0;
        }
    }
}

/* The same straight from bfloat16. */
CPU_INLINE void
dots_bf16 (const int m, const float *a, gint64 a_stride, const guint16 *b, gint64 n, vf *sums)
{
  for (gint64 k = 0; k + 2 * CPU_VL <= n; k += 2 * CPU_VL)
    {
      vf b0 = v_load_bf16 (b + k), b1 = v_load_bf16 (b + k + CPU_VL);
#pragma GCC unroll 8
      for (int i = 0; i < m; i++)
        {
          sums[2 * i] += v_load (a + i * a_stride + k) * b0;
          sums[2 * i + 1] += v_load (a + i * a_stride + k + CPU_VL) * b1;
        }
    }
}

CPU_INLINE void
row_products (const Gemv *gemv, const int m, const guint8 *b, float *out)
{
  const GemmProblem *problem = gemv->problem;
  PeftDType dtype = problem->b.dtype;
  const PeftDTypeInfo *info = peft_dtype_get_info (dtype);
  gint64 k = problem->k, done = 0;
  vf sums[2 * GEMV_MAX_M];
  float values[PIECE];

#pragma GCC unroll 16
  for (int i = 0; i < 2 * m; i++)
    sums[i] = (vf){ 0 };
  if (dtype == PEFT_DTYPE_F32)
    {
      dots (m, gemv->a, k, (const float *) b, k, sums);
      done = k;
    }
  else if (dtype == PEFT_DTYPE_BF16)
    {
      done = k / (2 * CPU_VL) * (2 * CPU_VL);
      dots_bf16 (m, gemv->a, k, (const guint16 *) b, done, sums);
    }
  for (; done < k; done += PIECE)
    {
      gint64 n = MIN (PIECE, k - done);
      cpu_to_f32 (dtype, b + (gsize) done / info->block_size * info->block_bytes, 1, values, n);
      dots (m, gemv->a + done, k, values, n, sums);
    }
  for (int i = 0; i < m; i++)
    out[i] = v_sum (sums[2 * i] + sums[2 * i + 1]);
}

static void
products (const Gemv *gemv, gint64 m, const guint8 *b, float *out)
{
  switch (m)
    {
    case 1:
      row_products (gemv, 1, b, out);
      break;
    case 2:
      row_products (gemv, 2, b, out);
      break;
    case 3:
      row_products (gemv, 3, b, out);
      break;
    case 4:
      row_products (gemv, 4, b, out);
      break;
    default:
      g_assert_not_reached ();
    }
}

static void
rows_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const Gemv *gemv = data;
  const GemmProblem *problem = gemv->problem;
  const PeftDTypeInfo *info = peft_dtype_get_info (problem->b.dtype);
  const GemmOutput *c = &problem->c;
  gsize size = cpu_plain_size (c->dtype);
  float sums[GEMV_MAX_M];

  for (gint64 n = begin; n < end; n++)
    {
      products (gemv, problem->m,
                problem->b.data + n * problem->b.stride / info->block_size * info->block_bytes,
                sums);
      for (gint64 i = 0; i < problem->m; i++)
        {
          guint8 *dst = c->data + (i * c->stride + n) * (gint64) size;
          float value = sums[i] * c->alpha, other;
          if (c->accumulate)
            {
              cpu_to_f32 (c->dtype, dst, 1, &other, 1);
              value += other;
            }
          if (c->bias != NULL)
            {
              cpu_to_f32 (c->bias_dtype,
                          c->bias
                              + n * c->bias_stride * (gint64) cpu_plain_size (c->bias_dtype),
                          1, &other, 1);
              value += other;
            }
          cpu_from_f32 (c->dtype, &value, dst, 1, 1);
        }
    }
}

void
gemv_run (PeftCpuBackend *self, const GemmProblem *problem)
{
  gint64 m = problem->m, k = problem->k;
  float *a = cpu_shared_scratch_get (self, (gsize) (m * k + 1) * sizeof (float));
  Gemv gemv = { problem, a };

  for (gint64 i = 0; i < m; i++)
    {
      cpu_to_f32 (problem->a.dtype,
                  problem->a.data + i * problem->a.stride * (gint64) cpu_plain_size (problem->a.dtype),
                  1, a + i * k, k);
      for (gint64 j = 0; problem->bf16 && j < k; j++)
        a[i * k + j] = cpu_bf16_load (cpu_bf16_round (a[i * k + j]));
    }
  cpu_run_range (self, problem->n, MAX (ROWS, 2 * cpu_rows_step (k)), rows_range, &gemv);
}
