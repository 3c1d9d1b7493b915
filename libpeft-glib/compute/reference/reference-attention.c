/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/reference/reference-private.h"

#include <math.h>

void
peft_reference_rope (const void *params)
{
  const PeftRopeParams *p = params;
  gint64 tokens = p->x.shape[0] * p->x.shape[1], heads = p->x.shape[2], dim = p->x.shape[3];
  gint64 half = p->cos_sin.shape[2];
  g_autofree double *x = peft_reference_load (&p->x);
  g_autofree double *cos_sin = peft_reference_load (&p->cos_sin);
  g_autofree gint32 *positions = peft_reference_load_i32 (&p->positions);

  for (gint64 t = 0; t < tokens; t++)
    {
      const double *angles = cos_sin + positions[t] * 2 * half;

      g_assert (positions[t] >= 0 && positions[t] < p->cos_sin.shape[0]);
      for (gint64 h = 0; h < heads; h++)
        for (gint64 i = 0; i < half; i++)
          {
            double *head = x + (t * heads + h) * dim;
            double *first = head + (p->interleaved ? 2 * i : i);
            double *second = head + (p->interleaved ? 2 * i + 1 : i + half);
            double c = angles[i], s = p->inverse ? -angles[half + i] : angles[half + i];
            double u = *first, v = *second;

            *first = u * c - v * s;
            *second = v * c + u * s;
          }
    }
  peft_reference_store (&p->y, x);
}

/* The sizes and dense operands of a call. */
typedef struct
{
  const PeftAttentionParams *p;
  gint64 batch, q_len, k_len, heads, kv_heads, dim;
  double *q, *k, *v;
  gint32 *q_segments, *k_segments;
} Attention;

static void
attention_clear (Attention *self)
{
  g_free (self->q);
  g_free (self->k);
  g_free (self->v);
  g_free (self->q_segments);
  g_free (self->k_segments);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Attention, attention_clear)

static void
attention_init (Attention *self, const PeftAttentionParams *p)
{
  *self = (Attention){
    .p = p,
    .batch = p->q.shape[0],
    .q_len = p->q.shape[1],
    .k_len = p->k.shape[1],
    .heads = p->q.shape[2],
    .kv_heads = p->k.shape[2],
    .dim = p->q.shape[3],
    .q = peft_reference_load (&p->q),
    .k = peft_reference_load (&p->k),
    .v = peft_reference_load (&p->v),
  };
  if (p->q_segments.buffer)
    {
      self->q_segments = peft_reference_load_i32 (&p->q_segments);
      self->k_segments = peft_reference_load_i32 (&p->k_segments);
    }
}

static gint64
q_at (const Attention *self, gint64 b, gint64 i, gint64 h)
{
  return ((b * self->q_len + i) * self->heads + h) * self->dim;
}

/* The key/value head that query head h shares with its group. */
static gint64
k_at (const Attention *self, gint64 b, gint64 j, gint64 h)
{
  gint64 group = self->heads / self->kv_heads;
  return ((b * self->k_len + j) * self->kv_heads + h / group) * self->dim;
}

static gboolean
is_visible (const Attention *self, gint64 b, gint64 i, gint64 j)
{
  gint64 index = i + self->k_len - self->q_len;

  if (self->p->causal && j > index)
    return FALSE;
  if (self->p->window > 0 && index - j >= self->p->window)
    return FALSE;
  if (self->q_segments)
    {
      gint32 q = self->q_segments[b * self->q_len + i];
      gint64 n_prefix = self->p->n_prefix, own = self->k_len - n_prefix;

      return q >= 0 && (j < n_prefix || q == self->k_segments[b * own + j - n_prefix]);
    }
  return TRUE;
}

static double
dot (const double *a, const double *b, gint64 n)
{
  double sum = 0;

  for (gint64 i = 0; i < n; i++)
    sum += a[i] * b[i];
  return sum;
}

static void
add_scaled (double *y, double alpha, const double *x, gint64 n)
{
  for (gint64 i = 0; i < n; i++)
    y[i] += alpha * x[i];
}

void
peft_reference_attention (const void *params)
{
  const PeftAttentionParams *p = params;
  g_auto (Attention) a = { NULL };
  g_autofree double *out = g_new0 (double, MAX (peft_view_n_values (&p->q), 1));
  g_autofree double *lse = NULL;
  g_autofree double *scores = NULL;

  attention_init (&a, p);
  lse = g_new (double, MAX (a.batch * a.heads * a.q_len, 1));
  scores = g_new (double, MAX (a.k_len, 1));
  for (gint64 b = 0; b < a.batch; b++)
    for (gint64 h = 0; h < a.heads; h++)
      for (gint64 i = 0; i < a.q_len; i++)
        {
          gint64 at = q_at (&a, b, i, h);
          double largest = -INFINITY, sum = 0;

          for (gint64 j = 0; j < a.k_len; j++)
            if (is_visible (&a, b, i, j))
              {
                scores[j] = p->scale * dot (a.q + at, a.k + k_at (&a, b, j, h), a.dim);
                largest = MAX (largest, scores[j]);
              }
          for (gint64 j = 0; j < a.k_len; j++)
            if (is_visible (&a, b, i, j))
              sum += exp (scores[j] - largest);
          lse[(b * a.heads + h) * a.q_len + i] = largest + log (sum);
          for (gint64 j = 0; j < a.k_len; j++)
            if (is_visible (&a, b, i, j))
              add_scaled (out + at, exp (scores[j] - largest) / sum, a.v + k_at (&a, b, j, h),
                          a.dim);
        }
  peft_reference_store (&p->out, out);
  if (p->lse.buffer)
    peft_reference_store (&p->lse, lse);
}

/* With P = exp (S - lse) and δᵢ = doutᵢ · outᵢ: dV = Pᵀ dout, dS = P ⊙ (dout Vᵀ - δ),
 * dQ = scale · dS K, dK = scale · dSᵀ Q. */
void
peft_reference_attention_backward (const void *params)
{
  const PeftAttentionBackwardParams *p = params;
  const PeftAttentionParams *f = &p->forward;
  g_auto (Attention) a = { NULL };
  g_autofree double *out = peft_reference_load (&f->out);
  g_autofree double *lse = peft_reference_load (&f->lse);
  g_autofree double *dout = peft_reference_load (&p->dout);
  g_autofree double *dq = g_new0 (double, MAX (peft_view_n_values (&f->q), 1));
  g_autofree double *dk = g_new0 (double, MAX (peft_view_n_values (&f->k), 1));
  g_autofree double *dv = g_new0 (double, MAX (peft_view_n_values (&f->k), 1));
  g_autofree double *delta = g_new0 (double, MAX (peft_view_n_values (&f->lse), 1));

  attention_init (&a, f);
  for (gint64 b = 0; b < a.batch; b++)
    for (gint64 h = 0; h < a.heads; h++)
      for (gint64 i = 0; i < a.q_len; i++)
        {
          gint64 at = q_at (&a, b, i, h), row = (b * a.heads + h) * a.q_len + i;

          delta[row] = dot (dout + at, out + at, a.dim);
          for (gint64 j = 0; j < a.k_len; j++)
            if (is_visible (&a, b, i, j))
              {
                gint64 key = k_at (&a, b, j, h);
                double score = f->scale * dot (a.q + at, a.k + key, a.dim);
                double weight = exp (score - lse[row]);
                double dscore = weight * (dot (dout + at, a.v + key, a.dim) - delta[row]);

                add_scaled (dv + key, weight, dout + at, a.dim);
                add_scaled (dq + at, f->scale * dscore, a.k + key, a.dim);
                add_scaled (dk + key, f->scale * dscore, a.q + at, a.dim);
              }
        }
  peft_reference_store (&p->dq, dq);
  peft_reference_store (&p->dk, dk);
  peft_reference_store (&p->dv, dv);
  peft_reference_store (&p->delta, delta);
}
