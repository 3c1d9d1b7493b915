/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "compute/cpu/cpu-gemm.h"

/* What the attention files share. Scores of a block of queries and a block of keys are computed by
 * the micro-kernels of the matrix product. */

/* Queries of one head in a block, keys in a block. */
#define ATTENTION_QUERIES 64
#define ATTENTION_KEYS 128

typedef struct
{
  const PeftAttentionParams *p;
  gint64 batch, q_len, k_len, heads, kv_heads, group, dim, padded_dim;
  const gint32 *q_segments, *k_segments;
} Attention;

static inline Attention
attention_of (const PeftAttentionParams *p)
{
  return (Attention){
    .p = p,
    .batch = p->q.shape[0],
    .q_len = p->q.shape[1],
    .k_len = p->k.shape[1],
    .heads = p->q.shape[2],
    .kv_heads = p->k.shape[2],
    .group = p->q.shape[2] / MAX (1, p->k.shape[2]),
    .dim = p->q.shape[3],
    .padded_dim = (p->q.shape[3] + GEMM_NR - 1) / GEMM_NR * GEMM_NR,
    .q_segments = cpu_view_data (&p->q_segments),
    .k_segments = cpu_view_data (&p->k_segments),
  };
}

/* [length, dim] of one batch and head out of [batch, length, heads, dim]. */
static inline GemmMatrix
attention_matrix (const PeftView *view, gint64 batch, gint64 head, gboolean k_lines)
{
  return (GemmMatrix){
    .data = (const guint8 *) cpu_view_data (view)
            + (batch * view->stride[0] + head * view->stride[2])
                  * (gint64) cpu_plain_size (view->dtype),
    .dtype = view->dtype,
    .stride = view->stride[1],
    .k_lines = k_lines,
    .n_rows = view->shape[k_lines ? 1 : 3],
    .k = view->shape[k_lines ? 3 : 1],
  };
}

static inline gint32
attention_q_segment (const Attention *a, gint64 batch, gint64 i)
{
  const PeftView *view = &a->p->q_segments;
  return a->q_segments[batch * view->stride[0] + i * view->stride[1]];
}

/* Of a key behind the prefix. */
static inline gint32
attention_k_segment (const Attention *a, gint64 batch, gint64 j)
{
  const PeftView *view = &a->p->k_segments;
  return a->k_segments[batch * view->stride[0] + (j - a->p->n_prefix) * view->stride[1]];
}

/* Does a query of that segment see key j, as far as the segments go? */
static inline gboolean
attention_shares_segment (const Attention *a, gint64 batch, gint32 q_segment, gint64 j)
{
  return q_segment >= 0
         && (j < a->p->n_prefix || attention_k_segment (a, batch, j) == q_segment);
}

/* Keys [first, end) that query i sees but for the segments. */
static inline void
attention_keys_of (const Attention *a, gint64 i, gint64 *first, gint64 *end)
{
  gint64 index = i + a->k_len - a->q_len;

  *end = a->p->causal ? CLAMP (index + 1, 0, a->k_len) : a->k_len;
  *first = a->p->window > 0 ? CLAMP (index - a->p->window + 1, 0, *end) : 0;
}

/* Queries [first, end) that see key j but for the segments. */
static inline void
attention_queries_of (const Attention *a, gint64 j, gint64 *first, gint64 *end)
{
  gint64 i = j - (a->k_len - a->q_len);

  *first = a->p->causal ? CLAMP (i, 0, a->q_len) : 0;
  *end = a->p->window > 0 ? CLAMP (i + a->p->window, *first, a->q_len) : a->q_len;
}

/* Can no query of [i, i_end) share a segment with a key of [j, j_end)? */
static inline gboolean
attention_segments_apart (const Attention *a, gint64 batch, gint64 i, gint64 i_end, gint64 j,
                          gint64 j_end)
{
  gint32 q_min = G_MAXINT32, q_max = -1, k_min = G_MAXINT32, k_max = -1;

  if (a->q_segments == NULL)
    return FALSE;
  for (; i < i_end; i++)
    {
      gint32 s = attention_q_segment (a, batch, i);
      q_min = s >= 0 ? MIN (q_min, s) : q_min;
      q_max = MAX (q_max, s);
    }
  if (j < a->p->n_prefix)
    return q_max < 0;
  for (; j < j_end; j++)
    {
      gint32 s = attention_k_segment (a, batch, j);
      k_min = s >= 0 ? MIN (k_min, s) : k_min;
      k_max = MAX (k_max, s);
    }
  return q_max < k_min || k_max < q_min;
}

/* cpu-vec-attention-decode.c: few queries against a long cache. */
#define ATTENTION_DECODE_QUERIES 4
void CPU_FN (attention_decode) (PeftCpuBackend *self, const Attention *attention);
#define attention_decode CPU_FN (attention_decode)
