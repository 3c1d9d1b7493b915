/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/cpu/cpu-attention.h"

/* Attention of a few queries, as in generation: keys and values are streamed once from where they
 * lie, in pieces that run in parallel and are put together in their order. */

#define PIECE 256

typedef struct
{
  const Attention *a;
  gint64 n_pieces;
  float *partial; /* [batch, kv_heads, pieces, group, q_len][2 + padded dim]: largest, sum, out */
} Decode;

static gint64
partial_size (const Attention *a)
{
  return 2 + a->padded_dim;
}

static float
dot (const float *x, const float *y, gint64 n)
{
  float sum = 0;

  CPU_SIMD_SUM (sum)
  for (gint64 i = 0; i < n; i++)
    sum += x[i] * y[i];
  return sum;
}

static void
add_scaled (float *restrict y, float factor, const float *restrict x, gint64 n)
{
  CPU_SIMD
  for (gint64 i = 0; i < n; i++)
    y[i] += factor * x[i];
}

static const float *
line_of (const GemmMatrix *x, gint64 line, gint64 n, float *buffer)
{
  const guint8 *src = x->data + line * x->stride * (gint64) cpu_plain_size (x->dtype);

  if (x->dtype == PEFT_DTYPE_F32)
    return (const float *) src;
  cpu_to_f32 (x->dtype, src, 1, buffer, n);
  return buffer;
}

/* Scores of keys [j0, j0 + n) that the query does not see become -∞. */
static void
mask_scores (const Attention *a, gint64 batch, gint64 i, gint64 j0, gint64 n, float *s)
{
  gint64 first, end;

  attention_keys_of (a, i, &first, &end);
  for (gint64 j = 0; j < MIN (first - j0, n); j++)
    s[j] = -INFINITY;
  for (gint64 j = MAX (end - j0, 0); j < n; j++)
    s[j] = -INFINITY;
  if (a->q_segments == NULL)
    return;
  gint32 segment = attention_q_segment (a, batch, i);
  for (gint64 j = 0; j < n; j++)
    if (!attention_shares_segment (a, batch, segment, j0 + j))
      s[j] = -INFINITY;
}

/* s becomes e^(s - max), 0 where it was -∞; returns the largest and the sum. PIECE values can be
 * written. */
static void
softmax_scores (float *s, gint64 n, float *largest, float *sum)
{
  vf maxes = v_set (-INFINITY), sums = { 0 };

  for (gint64 j = n; j % CPU_VL != 0; j++)
    s[j] = -INFINITY;
  for (gint64 j = 0; j < n; j += CPU_VL)
    maxes = v_max (maxes, v_load (s + j));
  *largest = v_max_lane (maxes);
  for (gint64 j = 0; j < n; j += CPU_VL)
    {
      vf v = v_load (s + j);
      vf e = v_select (v > -INFINITY, v_exp (v - *largest), (vf){ 0 });
      v_store (s + j, e);
      sums += e;
    }
  *sum = v_sum (sums);
}

static void
decode_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const Decode *decode = data;
  const Attention *a = decode->a;
  gint64 n_rows = a->group * a->q_len;
  float *scores = cpu_scratch_get (
      self, thread, (gsize) (n_rows * PIECE + n_rows * a->dim + a->dim) * sizeof (float));
  float *queries = scores + n_rows * PIECE, *buffer = queries + n_rows * a->dim;

  for (gint64 task = begin; task < end; task++)
    {
      gint64 batch = task / decode->n_pieces / a->kv_heads;
      gint64 kv_head = task / decode->n_pieces % a->kv_heads;
      gint64 j0 = task % decode->n_pieces * PIECE, n = MIN (PIECE, a->k_len - j0);
      GemmMatrix k = attention_matrix (&a->p->k, batch, kv_head, TRUE);
      GemmMatrix v = attention_matrix (&a->p->v, batch, kv_head, TRUE);
      float *partial = decode->partial + task * n_rows * partial_size (a);

      for (gint64 row = 0; row < n_rows; row++)
        {
          GemmMatrix q = attention_matrix (&a->p->q, batch, kv_head * a->group + row / a->q_len,
                                           TRUE);
          cpu_to_f32 (q.dtype,
                      q.data + row % a->q_len * q.stride * (gint64) cpu_plain_size (q.dtype), 1,
                      queries + row * a->dim, a->dim);
        }
      for (gint64 j = 0; j < n; j++)
        {
          const float *key = line_of (&k, j0 + j, a->dim, buffer);
          for (gint64 row = 0; row < n_rows; row++)
            scores[row * PIECE + j]
                = (float) a->p->scale * dot (queries + row * a->dim, key, a->dim);
        }
      for (gint64 row = 0; row < n_rows; row++)
        {
          float *out = partial + row * partial_size (a);
          mask_scores (a, batch, row % a->q_len, j0, n, scores + row * PIECE);
          softmax_scores (scores + row * PIECE, n, &out[0], &out[1]);
          memset (out + 2, 0, (gsize) a->dim * sizeof (float));
        }
      for (gint64 j = 0; j < n; j++)
        {
          const float *value = line_of (&v, j0 + j, a->dim, buffer);
          for (gint64 row = 0; row < n_rows; row++)
            if (scores[row * PIECE + j] != 0)
              add_scaled (partial + row * partial_size (a) + 2, scores[row * PIECE + j], value,
                          a->dim);
        }
    }
}

/* One query: its pieces in order. */
static void
combine (const Decode *decode, gint64 batch, gint64 head, gint64 i, float *total)
{
  const Attention *a = decode->a;
  const PeftView *out = &a->p->out, *lse = &a->p->lse;
  gint64 n_rows = a->group * a->q_len, row = head % a->group * a->q_len + i;
  const float *first = decode->partial
                       + ((batch * a->kv_heads + head / a->group) * decode->n_pieces * n_rows + row)
                             * partial_size (a);
  float largest = -INFINITY, sum = 0;

  for (gint64 piece = 0; piece < decode->n_pieces; piece++)
    largest = MAX (largest, first[piece * n_rows * partial_size (a)]);
  memset (total, 0, (gsize) a->dim * sizeof (float));
  for (gint64 piece = 0; piece < decode->n_pieces && largest > -INFINITY; piece++)
    {
      const float *part = first + piece * n_rows * partial_size (a);
      float factor = part[0] == -INFINITY ? 0.0f : expf (part[0] - largest);
      sum += part[1] * factor;
      add_scaled (total, factor, part + 2, a->dim);
    }
  for (gint64 d = 0; d < a->dim; d++)
    total[d] = sum > 0 ? total[d] / sum : 0.0f;
  cpu_from_f32 (out->dtype, total,
                (guint8 *) cpu_view_data (out)
                    + (batch * out->stride[0] + i * out->stride[1] + head * out->stride[2])
                          * (gint64) cpu_plain_size (out->dtype),
                1, a->dim);
  if (lse->buffer != NULL)
    ((float *) cpu_view_data (lse))[batch * lse->stride[0] + head * lse->stride[1]
                                    + i * lse->stride[2]]
        = sum > 0 ? largest + logf (sum) : -INFINITY;
}

void
attention_decode (PeftCpuBackend *self, const Attention *a)
{
  Decode decode = { .a = a, .n_pieces = (a->k_len + PIECE - 1) / PIECE };
  gint64 n_tasks = a->batch * a->kv_heads * decode.n_pieces;
  gint64 n_partial = n_tasks * a->group * a->q_len * partial_size (a);
  gint64 per_task = PIECE * a->dim * (a->group * a->q_len + 1);

  decode.partial = cpu_shared_scratch_get (self, (gsize) (n_partial + a->dim) * sizeof (float));
  cpu_run_range (self, n_tasks, MAX (1, 2 * CPU_TASK_VALUES / MAX (1, per_task)), decode_range,
                 &decode);
  for (gint64 batch = 0; batch < a->batch; batch++)
    for (gint64 head = 0; head < a->heads; head++)
      for (gint64 i = 0; i < a->q_len; i++)
        combine (&decode, batch, head, i, decode.partial + n_partial);
}
