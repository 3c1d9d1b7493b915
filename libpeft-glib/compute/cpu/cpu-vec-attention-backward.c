/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/cpu/cpu-attention.h"

/* The backward pass of attention. A task owns a stretch of keys of one key/value head and goes
 * through every query that sees them, so dk and dv have one writer; dq is summed from one part for
 * each stretch, in their order. Scores are computed transposed, [keys][queries]:
 *   P = e^(scale · K Qᵀ - lse), dV = P dO, dS = P ⊙ (V dOᵀ - δ), dK = scale · dS Q,
 *   dQ = scale · dSᵀ K, with δ = rowsum (dO ⊙ O). */

/* Stretches of keys, so that a single sequence with few heads still makes enough tasks. */
#define MAX_STRETCHES 4

typedef struct
{
  Attention a;
  const PeftAttentionBackwardParams *p;
  gint64 n_stretches, stretch;
  float *dq; /* [stretches][batch, heads, q_len, dim] */
} Backward;

typedef struct
{
  const Backward *backward;
  gint64 batch, kv_head, head;
  gint64 j, n_keys, i, n_queries;
  guint32 *k_rows, *v_rows;             /* A panels [keys][GEMM_A_STRIDE] of dim units */
  guint32 *k_across;                    /* B panel [keys] × dim */
  guint32 *q_along, *do_along;          /* B panels [dim] × queries */
  guint32 *q_across, *do_across;        /* B panels [queries] × dim */
  float *scores, *dscores, *transposed; /* A panels [keys or queries][GEMM_A_STRIDE] */
  float *dk, *dv;                       /* [keys][padded dim] */
  guint32 *temp;
} Block;

/* The first `units` of a panel of b that was made for panel_units. */
static void
product (const guint32 *a, gint64 rows, const guint32 *b, gint64 panel_units, gint64 columns,
         gint64 units, float *out, gint64 stride, float alpha, gboolean accumulate)
{
  GemmOutput c = { .data = (guint8 *) out,
                   .dtype = PEFT_DTYPE_F32,
                   .stride = stride,
                   .alpha = alpha,
                   .accumulate = accumulate };

  for (gint64 i = 0; i < rows; i += GEMM_MR)
    for (gint64 j = 0; j < columns; j += GEMM_NR)
      gemm_kernel (FALSE, MIN (GEMM_MR, rows - i), MIN (GEMM_NR, columns - j), units,
                   a + i * GEMM_A_STRIDE, b + j * panel_units, GEMM_NR, &c, i, j);
}

/* scores → P and dscores → dS for key number `row` of the block. */
static void
score_row (const Block *block, gint64 row, const float *lse, const float *delta)
{
  const Attention *a = &block->backward->a;
  float *s = block->scores + row * GEMM_A_STRIDE, *ds = block->dscores + row * GEMM_A_STRIDE;
  gint64 first, end, n = block->n_queries;

  attention_queries_of (a, block->j + row, &first, &end);
  first = CLAMP (first - block->i, 0, n);
  end = CLAMP (end - block->i, first, n);
  for (gint64 i = 0; i < n; i += CPU_VL)
    {
      vf p = v_exp (v_load (s + i) - v_load (lse + i));
      v_store (s + i, p);
      v_store (ds + i, p * (v_load (ds + i) - v_load (delta + i)));
    }
  memset (s, 0, (gsize) first * sizeof (float));
  memset (ds, 0, (gsize) first * sizeof (float));
  memset (s + end, 0, (gsize) (n - end) * sizeof (float));
  memset (ds + end, 0, (gsize) (n - end) * sizeof (float));
  if (a->q_segments == NULL)
    return;
  for (gint64 i = first; i < end; i++)
    if (!attention_shares_segment (a, block->batch,
                                   attention_q_segment (a, block->batch, block->i + i),
                                   block->j + row))
      s[i] = ds[i] = 0;
}

static void
transpose (const float *src, gint64 rows, gint64 columns, float *dst)
{
  for (gint64 i = 0; i < rows; i += CPU_VL)
    for (gint64 j = 0; j < columns; j += CPU_VL)
      {
        vf r[CPU_VL];
#pragma GCC unroll 16
        for (int k = 0; k < CPU_VL; k++)
          r[k] = v_load (src + (i + k) * GEMM_A_STRIDE + j);
        v_transpose (r);
#pragma GCC unroll 16
        for (int k = 0; k < CPU_VL; k++)
          v_store (dst + (j + k) * GEMM_A_STRIDE + i, r[k]);
      }
}

/* One block of queries of one head against the block of keys. */
static void
walk_queries (Block *block, float *dq)
{
  const Attention *a = &block->backward->a;
  const PeftAttentionBackwardParams *p = block->backward->p;
  const PeftView *lse_view = &a->p->lse, *delta_view = &p->delta;
  float lse[ATTENTION_QUERIES], delta[ATTENTION_QUERIES], scale = (float) a->p->scale;
  gint64 n = block->n_queries, n_keys, unused, end;
  GemmMatrix q = attention_matrix (&a->p->q, block->batch, block->head, TRUE);
  GemmMatrix dout = attention_matrix (&p->dout, block->batch, block->head, TRUE);
  GemmMatrix q_across = attention_matrix (&a->p->q, block->batch, block->head, FALSE);
  GemmMatrix do_across = attention_matrix (&p->dout, block->batch, block->head, FALSE);

  /* Keys that the last of these queries sees are enough. */
  attention_keys_of (a, block->i + n - 1, &unused, &end);
  n_keys = CLAMP (end - block->j, 0, block->n_keys);
  if (n_keys == 0)
    return;
  for (gint64 i = 0; i < ATTENTION_QUERIES; i++)
    {
      gint64 query = block->i + MIN (i, n - 1);
      lse[i] = ((const float *) cpu_view_data (lse_view))[block->batch * lse_view->stride[0]
                                                          + block->head * lse_view->stride[1]
                                                          + query * lse_view->stride[2]];
      /* Of a query that sees nothing; e^(s - lse) stays finite and is masked. */
      if (lse[i] == -INFINITY)
        lse[i] = INFINITY;
      delta[i] = ((const float *) cpu_view_data (delta_view))[block->batch * delta_view->stride[0]
                                                              + block->head * delta_view->stride[1]
                                                              + query * delta_view->stride[2]];
    }
  gemm_pack_b (&q, FALSE, block->i, n, 0, a->dim, block->q_along, block->temp);
  gemm_pack_b (&dout, FALSE, block->i, n, 0, a->dim, block->do_along, block->temp);
  gemm_pack_b (&q_across, FALSE, 0, a->dim, block->i, n, block->q_across, block->temp);
  gemm_pack_b (&do_across, FALSE, 0, a->dim, block->i, n, block->do_across, block->temp);

  product (block->k_rows, n_keys, block->q_along, a->dim, n, a->dim, block->scores,
           GEMM_A_STRIDE, scale, FALSE);
  product (block->v_rows, n_keys, block->do_along, a->dim, n, a->dim, block->dscores,
           GEMM_A_STRIDE, 1, FALSE);
  for (gint64 row = 0; row < n_keys; row++)
    score_row (block, row, lse, delta);
  product ((const guint32 *) block->scores, n_keys, block->do_across, n, a->dim, n,
           block->dv, a->padded_dim, 1, TRUE);
  product ((const guint32 *) block->dscores, n_keys, block->q_across, n, a->dim, n,
           block->dk, a->padded_dim, scale, TRUE);
  transpose (block->dscores, n_keys, n, block->transposed);
  product ((const guint32 *) block->transposed, n, block->k_across, block->n_keys, a->dim,
           n_keys, dq, a->dim, scale, TRUE);
}

static void
store_keys (const Block *block, const PeftView *view, const float *values)
{
  const Attention *a = &block->backward->a;

  for (gint64 row = 0; row < block->n_keys; row++)
    cpu_from_f32 (view->dtype, values + row * a->padded_dim,
                  (guint8 *) cpu_view_data (view)
                      + (block->batch * view->stride[0] + (block->j + row) * view->stride[1]
                         + block->kv_head * view->stride[2])
                            * (gint64) cpu_plain_size (view->dtype),
                  1, a->dim);
}

/* All queries of the group's heads against one block of keys. */
static void
walk_keys (Block *block, float *dq)
{
  const Attention *a = &block->backward->a;
  GemmMatrix k = attention_matrix (&a->p->k, block->batch, block->kv_head, TRUE);
  GemmMatrix v = attention_matrix (&a->p->v, block->batch, block->kv_head, TRUE);
  GemmMatrix across = attention_matrix (&a->p->k, block->batch, block->kv_head, FALSE);
  gint64 first, end, unused;

  gemm_pack_a (&k, FALSE, block->j, block->n_keys, 0, a->dim, block->k_rows, block->temp);
  gemm_pack_a (&v, FALSE, block->j, block->n_keys, 0, a->dim, block->v_rows, block->temp);
  gemm_pack_b (&across, FALSE, 0, a->dim, block->j, block->n_keys, block->k_across, block->temp);
  memset (block->dk, 0, (gsize) (ATTENTION_KEYS * a->padded_dim) * sizeof (float));
  memset (block->dv, 0, (gsize) (ATTENTION_KEYS * a->padded_dim) * sizeof (float));
  attention_queries_of (a, block->j, &first, &unused);
  attention_queries_of (a, block->j + block->n_keys - 1, &unused, &end);
  for (gint64 g = 0; g < a->group; g++)
    {
      block->head = block->kv_head * a->group + g;
      /* Blocks start at multiples, whatever the keys: fewer partly masked ones. */
      for (block->i = first / ATTENTION_QUERIES * ATTENTION_QUERIES; block->i < end;
           block->i += ATTENTION_QUERIES)
        {
          block->n_queries = MIN (ATTENTION_QUERIES, a->q_len - block->i);
          if (!attention_segments_apart (a, block->batch, block->i, block->i + block->n_queries,
                                         block->j, block->j + block->n_keys))
            walk_queries (block, dq + ((block->batch * a->heads + block->head) * a->q_len
                                       + block->i) * a->dim);
        }
    }
  store_keys (block, &block->backward->p->dk, block->dk);
  store_keys (block, &block->backward->p->dv, block->dv);
}

static void
stretch_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const Backward *backward = data;
  const Attention *a = &backward->a;
  const gint64 keys = ATTENTION_KEYS + CPU_VL, queries = ATTENTION_QUERIES + CPU_VL;
  gint64 size = (4 * keys + queries + 16) * GEMM_A_STRIDE
                + (3 * keys + 4 * queries) * a->padded_dim;
  float *next = cpu_scratch_get (self, thread, (gsize) size * sizeof (float));
  Block block = { .backward = backward };

#define TAKE(field, n) (block.field = (gpointer) next, next += (n))
  TAKE (k_rows, keys * GEMM_A_STRIDE);
  TAKE (v_rows, keys * GEMM_A_STRIDE);
  TAKE (scores, keys * GEMM_A_STRIDE);
  TAKE (dscores, keys * GEMM_A_STRIDE);
  TAKE (transposed, queries * GEMM_A_STRIDE);
  TAKE (temp, 16 * GEMM_A_STRIDE);
  TAKE (k_across, keys * a->padded_dim);
  TAKE (dk, keys * a->padded_dim);
  TAKE (dv, keys * a->padded_dim);
  TAKE (q_along, queries * a->padded_dim);
  TAKE (do_along, queries * a->padded_dim);
  TAKE (q_across, queries * a->padded_dim);
  TAKE (do_across, queries * a->padded_dim);
#undef TAKE

  for (gint64 task = begin; task < end; task++)
    {
      gint64 number = task % backward->n_stretches, size_dq = a->batch * a->heads * a->q_len * a->dim;
      gint64 from = number * backward->stretch;
      gint64 to = MIN (from + backward->stretch, a->k_len);
      gint64 pair = task / backward->n_stretches;
      float *dq = backward->dq + number * size_dq;

      block.batch = pair / a->kv_heads;
      block.kv_head = pair % a->kv_heads;
      memset (dq + pair * a->group * a->q_len * a->dim, 0,
              (gsize) (a->group * a->q_len * a->dim) * sizeof (float));
      for (block.j = from; block.j < to; block.j += ATTENTION_KEYS)
        {
          block.n_keys = MIN (ATTENTION_KEYS, to - block.j);
          walk_keys (&block, dq);
        }
    }
}

/* Rows are (batch, head, query). */
static void
delta_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const Backward *backward = data;
  const Attention *a = &backward->a;
  const PeftView *out = &a->p->out, *dout = &backward->p->dout, *delta = &backward->p->delta;
  float out_buffer[CPU_CHUNK], dout_buffer[CPU_CHUNK];

  for (gint64 row = begin; row < end; row++)
    {
      gint64 batch = row / a->q_len / a->heads, head = row / a->q_len % a->heads;
      gint64 i = row % a->q_len, flat = (batch * a->q_len + i) * a->heads + head;
      const float *x = cpu_row_in (out, cpu_view_row (out, flat), 0, a->dim, out_buffer);
      const float *y = cpu_row_in (dout, cpu_view_row (dout, flat), 0, a->dim, dout_buffer);
      float sum = 0;

      CPU_SIMD_SUM (sum)
      for (gint64 d = 0; d < a->dim; d++)
        sum += x[d] * y[d];
      ((float *) cpu_view_data (delta))[batch * delta->stride[0] + head * delta->stride[1]
                                        + i * delta->stride[2]]
          = sum;
    }
}

static void
dq_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const Backward *backward = data;
  const Attention *a = &backward->a;
  const PeftView *view = &backward->p->dq;
  gint64 size = a->batch * a->heads * a->q_len * a->dim;
  float sums[CPU_CHUNK];

  for (gint64 row = begin; row < end; row++)
    {
      gint64 batch = row / a->q_len / a->heads, head = row / a->q_len % a->heads;
      gint64 flat = (batch * a->q_len + row % a->q_len) * a->heads + head;
      const float *part = backward->dq + row * a->dim;
      memcpy (sums, part, (gsize) a->dim * sizeof (float));
      for (gint64 s = 1; s < backward->n_stretches; s++)
        for (gint64 d = 0; d < a->dim; d++)
          sums[d] += part[s * size + d];
      cpu_from_f32 (view->dtype, sums, cpu_view_row (view, flat), 1, a->dim);
    }
}

void
CPU_FN (cpu_attention_backward) (PeftCpuBackend *self, gconstpointer params)
{
  const PeftAttentionBackwardParams *p = params;
  Backward backward = { .a = attention_of (&p->forward), .p = p };
  const Attention *a = &backward.a;
  gint64 n_rows = a->batch * a->heads * a->q_len;
  gint64 n_blocks = (a->k_len + ATTENTION_KEYS - 1) / ATTENTION_KEYS;

  backward.n_stretches
      = CLAMP (n_blocks, 1, a->batch * a->kv_heads >= 16 ? 1 : MAX_STRETCHES);
  backward.stretch
      = (n_blocks + backward.n_stretches - 1) / backward.n_stretches * ATTENTION_KEYS;
  backward.dq = cpu_shared_scratch_get (
      self, (gsize) (backward.n_stretches * n_rows * a->dim) * sizeof (float));
  cpu_run_range (self, n_rows, cpu_rows_step (a->dim), delta_range, &backward);
  cpu_run_range (self, a->batch * a->kv_heads * backward.n_stretches, 1, stretch_range,
                 &backward);
  cpu_run_range (self, n_rows, cpu_rows_step (a->dim), dq_range, &backward);
}
