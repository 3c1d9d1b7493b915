/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/cpu/cpu-gemm.h"
#include "compute/cpu/cpu-math.h"

/* Products with few rows of a, as in generation: every row of b is read once from memory, decoded
 * in registers (rare types: in pieces that stay in the first-level cache), and multiplied with all rows of a. */

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

/* The same straight from 16-bit floats, as many whole vectors as there are. */
CPU_INLINE gint64
dots_16 (const gboolean bf16, const int m, const float *a, gint64 a_stride, const guint16 *b,
         gint64 n, vf *sums)
{
  gint64 k;

  for (k = 0; k + 2 * CPU_VL <= n; k += 2 * CPU_VL)
    {
      vf b0 = bf16 ? v_load_bf16 (b + k) : v_load_f16 (b + k);
      vf b1 = bf16 ? v_load_bf16 (b + k + CPU_VL) : v_load_f16 (b + k + CPU_VL);
#pragma GCC unroll 8
      for (int i = 0; i < m; i++)
        {
          sums[2 * i] += v_load (a + i * a_stride + k) * b0;
          sums[2 * i + 1] += v_load (a + i * a_stride + k + CPU_VL) * b1;
        }
    }
  return k;
}

/* The same for values q of a block that share a scale d (and a minimum). */
#define GROUP_VECTORS (32 / CPU_VL)

CPU_INLINE void
dots_group (const int m, const int vectors, const float *a, gint64 a_stride, const vf *q, float d,
            const gboolean has_min, float min, vf *sums)
{
#pragma GCC unroll 8
  for (int i = 0; i < m; i++)
    {
      vf sum = v_load (a + i * a_stride) * q[0], values = v_load (a + i * a_stride);
#pragma GCC unroll 8
      for (int v = 1; v < vectors; v++)
        {
          sum += v_load (a + i * a_stride + v * CPU_VL) * q[v];
          if (has_min)
            values += v_load (a + i * a_stride + v * CPU_VL);
        }
      sums[2 * i] += sum * d;
      if (has_min)
        sums[2 * i + 1] += values * min;
    }
}

CPU_INLINE float
block_scale (const guint8 *p)
{
  guint16 v;
  memcpy (&v, p, sizeof v);
#ifdef __F16C__
  return _cvtsh_ss (v);
#else
  return cpu_f16_load (v);
#endif
}

/* The layouts are explained in cpu-vec-convert.c. */
CPU_INLINE void
dots_q8_0 (const int m, const float *a, gint64 a_stride, const guint8 *b, gint64 n, vf *sums)
{
  for (gint64 k = 0; k < n; k += 32, b += 34)
    {
      vf q[GROUP_VECTORS];
#pragma GCC unroll 8
      for (int v = 0; v < GROUP_VECTORS; v++)
        q[v] = v_from_bytes (v_load_bytes (b + 2 + v * CPU_VL));
      dots_group (m, GROUP_VECTORS, a + k, a_stride, q, block_scale (b), FALSE, 0, sums);
    }
}

CPU_INLINE void
dots_q4 (const gboolean has_min, const int m, const float *a, gint64 a_stride, const guint8 *b,
         gint64 n, vf *sums)
{
  const int header = has_min ? 4 : 2;

  for (gint64 k = 0; k < n; k += 32, b += header + 16)
    {
      vf q[GROUP_VECTORS];
#pragma GCC unroll 4
      for (int v = 0; v < GROUP_VECTORS / 2; v++)
        {
          vb bytes = v_load_bytes (b + header + v * CPU_VL);
          vb offset = (vb){ 0 } + (guint8) (has_min ? 0 : 8);
          q[v] = v_from_bytes ((bytes & 15) - offset);
          q[v + GROUP_VECTORS / 2] = v_from_bytes ((bytes >> 4) - offset);
        }
      dots_group (m, GROUP_VECTORS, a + k, a_stride, q, block_scale (b), has_min,
                  has_min ? block_scale (b + 2) : 0, sums);
    }
}

CPU_INLINE void
dots_q6_k (const int m, const float *a, gint64 a_stride, const guint8 *b, gint64 n, vf *sums)
{
  const int vectors = 16 / CPU_VL;

  for (gint64 k = 0; k < n; k += 256, b += 210)
    {
      float d = block_scale (b + 208);
      for (int half = 0; half < 2; half++)
        for (int part = 0; part < 2; part++)
          {
            const guint8 *ql = b + 64 * half + 16 * part, *qh = b + 128 + 32 * half + 16 * part;
            const gint8 *scale = (const gint8 *) b + 192 + 8 * half + part;
            vf q[4][16 / CPU_VL];
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
              {
                vb l0 = v_load_bytes (ql + v * CPU_VL), l1 = v_load_bytes (ql + 32 + v * CPU_VL);
                vb h = v_load_bytes (qh + v * CPU_VL);
                q[0][v] = v_from_bytes (((l0 & 15) | ((h & 3) << 4)) - 32);
                q[1][v] = v_from_bytes (((l1 & 15) | ((h >> 2 & 3) << 4)) - 32);
                q[2][v] = v_from_bytes ((l0 >> 4 | ((h >> 4 & 3) << 4)) - 32);
                q[3][v] = v_from_bytes ((l1 >> 4 | (h >> 6 << 4)) - 32);
              }
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
              dots_group (m, vectors, a + k + 128 * half + 32 * i + 16 * part, a_stride, q[i],
                          d * (float) scale[2 * i], FALSE, 0, sums);
          }
    }
}

CPU_INLINE void
row_products (const Gemv *gemv, const int m, const guint8 *b, float *out)
{
  const GemmProblem *problem = gemv->problem;
  PeftDType dtype = problem->b.dtype;
  gint64 k = problem->k, done = k;
  vf sums[2 * GEMV_MAX_M];
  float values[PIECE];

#pragma GCC unroll 16
  for (int i = 0; i < 2 * m; i++)
    sums[i] = (vf){ 0 };
  switch ((int) dtype)
    {
    case PEFT_DTYPE_F32:
      dots (m, gemv->a, k, (const float *) b, k, sums);
      break;
    case PEFT_DTYPE_BF16:
      done = dots_16 (TRUE, m, gemv->a, k, (const guint16 *) b, k, sums);
      break;
    case PEFT_DTYPE_F16:
      done = dots_16 (FALSE, m, gemv->a, k, (const guint16 *) b, k, sums);
      break;
    case PEFT_DTYPE_Q8_0:
      dots_q8_0 (m, gemv->a, k, b, k, sums);
      break;
    case PEFT_DTYPE_Q4_0:
      dots_q4 (FALSE, m, gemv->a, k, b, k, sums);
      break;
    case PEFT_DTYPE_Q4_1:
      dots_q4 (TRUE, m, gemv->a, k, b, k, sums);
      break;
    case PEFT_DTYPE_Q6_K:
      dots_q6_k (m, gemv->a, k, b, k, sums);
      break;
    default:
      done = 0;
    }
  for (; done < k; done += PIECE)
    {
      gint64 n = MIN (PIECE, k - done);
      const PeftDTypeInfo *info = peft_dtype_get_info (dtype);
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
