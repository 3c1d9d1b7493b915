/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/cpu/cpu-attention.h"

/* Attention in blocks with a running softmax (Dao et al., arXiv:2205.14135): a task has a block of
 * queries of one head and walks the blocks of keys that they see. */

typedef struct
{
  const Attention *a;
  gint64 batch, head, q0, n_queries;
  guint32 *q;     /* [queries][GEMM_A_STRIDE] */
  float *scores;  /* [queries][GEMM_A_STRIDE] */
  float *out;     /* [queries][padded_dim], not yet divided by the sum */
  float *largest; /* [queries] */
  float *sum;     /* [queries] */
} Block;

static void
scale_row (float *x, float factor, gint64 n)
{
  CPU_SIMD
  for (gint64 i = 0; i < n; i++)
    x[i] *= factor;
}

/* Hidden scores of a row that covers keys [j, j_end) become -∞. */
static void
mask_row (const Block *block, gint64 i, gint64 j, gint64 j_end, float *s)
{
  const Attention *a = block->a;
  gint64 first, end;

  attention_keys_of (a, i, &first, &end);
  for (gint64 k = j; k < MIN (first, j_end); k++)
    s[k - j] = -INFINITY;
  for (gint64 k = MAX (end, j); k < j_end; k++)
    s[k - j] = -INFINITY;
  if (a->q_segments == NULL)
    return;
  gint32 segment = attention_q_segment (a, block->batch, i);
  for (gint64 k = j; k < j_end; k++)
    if (!attention_shares_segment (a, block->batch, segment, k))
      s[k - j] = -INFINITY;
}

/* s becomes e^(s - max), where max is the largest score so far; earlier sums are rescaled. */
static void
softmax_row (Block *block, gint64 i, float *s, gint64 n)
{
  vf maxes = v_set (-INFINITY), sums = { 0 };
  float largest = block->largest[i];
  gint64 k;

  /* To whole vectors, with values that count for nothing. */
  for (k = n; k % CPU_VL != 0; k++)
    s[k] = -INFINITY;
  for (k = 0; k < n; k += CPU_VL)
    maxes = v_max (maxes, v_load (s + k));
  largest = MAX (largest, v_max_lane (maxes));
  if (largest == -INFINITY)
    {
      memset (s, 0, (gsize) n * sizeof (float));
      return;
    }
  for (k = 0; k < n; k += CPU_VL)
    {
      vf v = v_load (s + k);
      vf e = v_select (v > -INFINITY, v_exp (v - largest), (vf){ 0 });
      v_store (s + k, e);
      sums += e;
    }
  float rescale = block->largest[i] == -INFINITY ? 0.0f : expf (block->largest[i] - largest);
  block->sum[i] = block->sum[i] * rescale + v_sum (sums);
  block->largest[i] = largest;
  scale_row (block->out + i * block->a->padded_dim, rescale, block->a->padded_dim);
}

static void
walk_keys (Block *block, gint64 j, gint64 n, const guint32 *keys, const guint32 *values)
{
  const Attention *a = block->a;
  GemmOutput scores = { .data = (guint8 *) block->scores,
                        .dtype = PEFT_DTYPE_F32,
                        .stride = GEMM_A_STRIDE,
                        .alpha = (float) a->p->scale };
  GemmOutput out = { .data = (guint8 *) block->out,
                     .dtype = PEFT_DTYPE_F32,
                     .stride = a->padded_dim,
                     .alpha = 1,
                     .accumulate = TRUE };

  for (gint64 i = 0; i < block->n_queries; i += GEMM_MR)
    {
      gint64 rows = MIN (GEMM_MR, block->n_queries - i), first, end;
      /* Keys that the last of these queries sees are enough. */
      attention_keys_of (a, block->q0 + i + rows - 1, &first, &end);
      gint64 n_seen = CLAMP (end - j, 0, n);
      if (n_seen == 0)
        continue;
      for (gint64 k = 0; k < n_seen; k += GEMM_NR)
        gemm_kernel (FALSE, rows, MIN (GEMM_NR, n_seen - k), a->dim, block->q + i * GEMM_A_STRIDE,
                     keys + k * a->dim, GEMM_NR, &scores, i, k);
      for (gint64 row = i; row < i + rows; row++)
        {
          float *s = block->scores + row * GEMM_A_STRIDE;
          mask_row (block, block->q0 + row, j, j + n_seen, s);
          softmax_row (block, row, s, n_seen);
        }
      for (gint64 k = 0; k < a->dim; k += GEMM_NR)
        gemm_kernel (FALSE, rows, MIN (GEMM_NR, a->dim - k), n_seen,
                     (const guint32 *) block->scores + i * GEMM_A_STRIDE, values + k * n, GEMM_NR,
                     &out, i, k);
    }
}

static void
finish (const Block *block)
{
  const Attention *a = block->a;
  const PeftView *out = &a->p->out, *lse = &a->p->lse;
  float *lse_data = cpu_view_data (lse);

  for (gint64 i = 0; i < block->n_queries; i++)
    {
      float *row = block->out + i * a->padded_dim, sum = block->sum[i];
      gint64 query = block->q0 + i;
      scale_row (row, sum > 0 ? 1.0f / sum : 0.0f, a->dim);
      cpu_from_f32 (out->dtype, row,
                    (guint8 *) cpu_view_data (out)
                        + (block->batch * out->stride[0] + query * out->stride[1]
                           + block->head * out->stride[2])
                              * (gint64) cpu_plain_size (out->dtype),
                    1, a->dim);
      if (lse_data != NULL)
        lse_data[block->batch * lse->stride[0] + block->head * lse->stride[1]
                 + query * lse->stride[2]]
            = sum > 0 ? block->largest[i] + logf (sum) : -INFINITY;
    }
}

/* Task: batch, head, block of queries. */
static void
attention_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const Attention *a = data;
  gint64 n_blocks = (a->q_len + ATTENTION_QUERIES - 1) / ATTENTION_QUERIES;
  gint64 rows = ATTENTION_QUERIES + 1;
  gint64 size = 2 * rows * GEMM_A_STRIDE + rows * a->padded_dim + 2 * rows
                + 2 * ATTENTION_KEYS * a->padded_dim + 16 * GEMM_A_STRIDE;
  float *scratch = cpu_scratch_get (self, thread, (gsize) size * sizeof (float));
  Block block = { .a = a };

  block.q = (guint32 *) scratch;
  block.scores = scratch + rows * GEMM_A_STRIDE;
  block.out = scratch + 2 * rows * GEMM_A_STRIDE;
  block.largest = block.out + rows * a->padded_dim;
  block.sum = block.largest + rows;
  guint32 *keys = (guint32 *) block.sum + rows, *values = keys + ATTENTION_KEYS * a->padded_dim;
  guint32 *temp = values + ATTENTION_KEYS * a->padded_dim;

  for (gint64 task = begin; task < end; task++)
    {
      gint64 first, last, unused;
      block.batch = task / n_blocks / a->heads;
      block.head = task / n_blocks % a->heads;
      block.q0 = task % n_blocks * ATTENTION_QUERIES;
      block.n_queries = MIN (ATTENTION_QUERIES, a->q_len - block.q0);

      GemmMatrix q = attention_matrix (&a->p->q, block.batch, block.head, TRUE);
      GemmMatrix k = attention_matrix (&a->p->k, block.batch, block.head / a->group, TRUE);
      GemmMatrix v = attention_matrix (&a->p->v, block.batch, block.head / a->group, FALSE);
      gemm_pack_a (&q, FALSE, block.q0, block.n_queries, 0, a->dim, block.q, temp);
      memset (block.out, 0, (gsize) (rows * a->padded_dim) * sizeof (float));
      for (gint64 i = 0; i < block.n_queries; i++)
        {
          block.largest[i] = -INFINITY;
          block.sum[i] = 0;
        }
      attention_keys_of (a, block.q0, &first, &unused);
      attention_keys_of (a, block.q0 + block.n_queries - 1, &unused, &last);
      for (gint64 j = first; j < last; j += ATTENTION_KEYS)
        {
          gint64 n = MIN (ATTENTION_KEYS, last - j);
          if (attention_segments_apart (a, block.batch, block.q0, block.q0 + block.n_queries, j,
                                        j + n))
            continue;
          gemm_pack_b (&k, FALSE, j, n, 0, a->dim, keys, temp);
          gemm_pack_b (&v, FALSE, 0, a->dim, j, n, values, temp);
          walk_keys (&block, j, n, keys, values);
        }
      finish (&block);
    }
}

void
CPU_FN (cpu_attention) (PeftCpuBackend *self, gconstpointer params)
{
  Attention a = attention_of (params);
  gint64 n_blocks = (a.q_len + ATTENTION_QUERIES - 1) / ATTENTION_QUERIES;

  if (a.q_len <= ATTENTION_DECODE_QUERIES && a.k_len > 0)
    attention_decode (self, &a);
  else
    cpu_run_range (self, a.batch * a.heads * n_blocks, 1, attention_range, &a);
}
