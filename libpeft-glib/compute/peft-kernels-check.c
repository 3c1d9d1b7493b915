/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/peft-kernels-private.h"

#include "compute/peft-backend.h"

/* What every backend may rely on. A call that breaks it is a programmer error. */

#define CHECK(condition) \
  G_STMT_START \
  { \
    if (G_UNLIKELY (!(condition))) \
      fail (__LINE__, name, #condition " does not hold"); \
  } \
  G_STMT_END

static void
fail (int line, const char *name, const char *what)
{
  g_autofree char *message = g_strdup_printf ("kernel %s: %s", name, what);

  g_assertion_message (G_LOG_DOMAIN, __FILE__, line, name, message);
}

static gboolean
has (const PeftView *view)
{
  return view->buffer != NULL;
}

static gboolean
is_float (const PeftView *view)
{
  return has (view) && peft_dtype_get_info (view->dtype)->is_float;
}

static gboolean
is_weight (const PeftView *view)
{
  return has (view) && (is_float (view) || peft_dtype_is_block (view->dtype));
}

static gboolean
is_index (const PeftView *view)
{
  return has (view) && view->dtype == PEFT_DTYPE_I32;
}

static gboolean
same_shape (const PeftView *a, const PeftView *b)
{
  if (a->n_dims != b->n_dims)
    return FALSE;
  for (guint i = 0; i < a->n_dims; i++)
    if (a->shape[i] != b->shape[i])
      return FALSE;
  return TRUE;
}

/* Floats of equal shape. */
static gboolean
is_like (const PeftView *view, const PeftView *model)
{
  return is_float (view) && same_shape (view, model);
}

static gboolean
is_shape (const PeftView *view, guint n_dims, gint64 s0, gint64 s1, gint64 s2, gint64 s3)
{
  const gint64 shape[PEFT_MAX_DIMS] = { s0, s1, s2, s3 };

  if (view->n_dims != n_dims)
    return FALSE;
  for (guint i = 0; i < n_dims; i++)
    if (view->shape[i] != shape[i])
      return FALSE;
  return TRUE;
}

static gint64
last (const PeftView *view)
{
  return view->shape[view->n_dims - 1];
}

static gint64
n_rows (const PeftView *view)
{
  gint64 n = 1;

  for (guint i = 0; i + 1 < view->n_dims; i++)
    n *= view->shape[i];
  return n;
}

static void
fail_argument (const char *name, const PeftKernelArg *arg, const char *what)
{
  g_autofree char *message = g_strconcat (arg->name, " ", what, NULL);

  fail (__LINE__, name, message);
}

static void
check_memory (const char *name, const PeftKernelArg *arg, const PeftView *view)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (view->dtype);
  gsize span = peft_view_span (view);

  if (view->offset > view->buffer->size || span > view->buffer->size - view->offset)
    fail_argument (name, arg, "leaves its buffer");
  if (info->block_size == 1)
    {
      if (view->offset % info->block_bytes != 0)
        fail_argument (name, arg, "is not aligned");
      return;
    }
  for (guint i = 0; i < view->n_dims; i++)
    if (i + 1 == view->n_dims ? view->stride[i] != 1 || view->shape[i] % info->block_size != 0
                              : view->stride[i] % info->block_size != 0)
      fail_argument (name, arg, "cuts blocks");
}

void
peft_kernel_check_matmul (const char *name, const void *params)
{
  const PeftMatmulParams *p = params;
  guint r = p->c.n_dims - 2, s = r + 1;
  gint64 m, n, k;

  CHECK (is_float (&p->a) && is_weight (&p->b) && is_float (&p->c));
  CHECK (p->c.n_dims == 2 || p->c.n_dims == 3);
  CHECK (p->a.n_dims == p->c.n_dims && p->b.n_dims == p->c.n_dims);
  m = p->c.shape[r];
  n = p->c.shape[s];
  k = p->a.shape[p->trans_a ? r : s];
  CHECK (p->a.shape[p->trans_a ? s : r] == m);
  CHECK (p->b.shape[p->trans_b ? r : s] == n);
  CHECK (p->b.shape[p->trans_b ? s : r] == k);
  if (r == 1)
    CHECK (p->a.shape[0] == p->c.shape[0] && p->b.shape[0] == p->c.shape[0]);
  CHECK (p->a.stride[s] == 1 || p->a.shape[s] <= 1);
  CHECK (p->c.stride[s] == 1 || p->c.shape[s] <= 1);
  if (has (&p->bias))
    CHECK (is_float (&p->bias) && is_shape (&p->bias, 1, n, 0, 0, 0));
}

void
peft_kernel_check_gather_rows (const char *name, const void *params)
{
  const PeftGatherRowsParams *p = params;
  CHECK (is_weight (&p->table) && is_index (&p->ids) && is_float (&p->out));
  CHECK (p->table.n_dims == 2 && p->ids.n_dims == 1);
  CHECK (is_shape (&p->out, 2, p->ids.shape[0], p->table.shape[1], 0, 0));
}

void
peft_kernel_check_scatter_add_rows (const char *name, const void *params)
{
  const PeftScatterAddRowsParams *p = params;
  CHECK (is_float (&p->table) && is_index (&p->ids) && is_float (&p->x));
  CHECK (p->table.n_dims == 2 && p->ids.n_dims == 1);
  CHECK (is_shape (&p->x, 2, p->ids.shape[0], p->table.shape[1], 0, 0));
}

void
peft_kernel_check_rms_norm (const char *name, const void *params)
{
  const PeftRmsNormParams *p = params;
  CHECK (is_float (&p->x) && p->x.n_dims >= 1);
  CHECK (is_like (&p->y, &p->x));
  CHECK (is_float (&p->weight) && is_shape (&p->weight, 1, last (&p->x), 0, 0, 0));
  CHECK (has (&p->residual) == has (&p->sum));
  if (has (&p->residual))
    CHECK (is_like (&p->residual, &p->x) && is_like (&p->sum, &p->x));
  if (has (&p->rstd))
    CHECK (is_float (&p->rstd) && is_shape (&p->rstd, 1, n_rows (&p->x), 0, 0, 0));
}

void
peft_kernel_check_rms_norm_backward (const char *name, const void *params)
{
  const PeftRmsNormBackwardParams *p = params;
  CHECK (is_float (&p->x) && p->x.n_dims >= 1);
  CHECK (is_like (&p->dy, &p->x) && is_like (&p->dx, &p->x));
  CHECK (is_float (&p->weight) && is_shape (&p->weight, 1, last (&p->x), 0, 0, 0));
  CHECK (is_float (&p->rstd) && is_shape (&p->rstd, 1, n_rows (&p->x), 0, 0, 0));
  if (has (&p->dweight))
    CHECK (is_like (&p->dweight, &p->weight));
}

void
peft_kernel_check_rope (const char *name, const void *params)
{
  const PeftRopeParams *p = params;
  CHECK (is_float (&p->x) && p->x.n_dims == 4 && is_like (&p->y, &p->x));
  CHECK (is_float (&p->cos_sin) && p->cos_sin.n_dims == 3 && p->cos_sin.shape[1] == 2);
  CHECK (2 * p->cos_sin.shape[2] <= p->x.shape[3]);
  CHECK (is_index (&p->positions));
  CHECK (is_shape (&p->positions, 2, p->x.shape[0], p->x.shape[1], 0, 0));
}

void
peft_kernel_check_attention (const char *name, const void *params)
{
  const PeftAttentionParams *p = params;
  gint64 batch, q_len, heads, dim, k_len;

  CHECK (is_float (&p->q) && p->q.n_dims == 4 && is_like (&p->out, &p->q));
  CHECK (is_float (&p->k) && p->k.n_dims == 4 && is_like (&p->v, &p->k));
  batch = p->q.shape[0];
  q_len = p->q.shape[1];
  heads = p->q.shape[2];
  dim = p->q.shape[3];
  k_len = p->k.shape[1];
  CHECK (p->k.shape[0] == batch && p->k.shape[3] == dim);
  CHECK (p->k.shape[2] > 0 && heads % p->k.shape[2] == 0);
  CHECK (dim <= 1 || p->q.stride[3] == 1);
  CHECK (dim <= 1 || p->k.stride[3] == 1);
  CHECK (dim <= 1 || p->v.stride[3] == 1);
  CHECK (dim <= 1 || p->out.stride[3] == 1);
  if (has (&p->lse))
    CHECK (is_float (&p->lse) && is_shape (&p->lse, 3, batch, heads, q_len, 0));
  CHECK (p->n_prefix >= 0 && p->n_prefix <= k_len);
  CHECK (has (&p->q_segments) == has (&p->k_segments));
  if (has (&p->q_segments))
    {
      CHECK (is_index (&p->q_segments) && is_shape (&p->q_segments, 2, batch, q_len, 0, 0));
      CHECK (is_index (&p->k_segments)
             && is_shape (&p->k_segments, 2, batch, k_len - p->n_prefix, 0, 0));
    }
  CHECK (p->window >= 0);
  CHECK (p->soft_cap >= 0);
  if (has (&p->bias))
    CHECK (is_float (&p->bias) && p->bias.n_dims == 4
           && (p->bias.shape[0] == 1 || p->bias.shape[0] == batch)
           && (p->bias.shape[1] == 1 || p->bias.shape[1] == heads)
           && p->bias.shape[2] == q_len && p->bias.shape[3] == k_len);
  if (has (&p->slopes))
    CHECK (is_float (&p->slopes) && is_shape (&p->slopes, 1, heads, 0, 0, 0));
  CHECK (!p->cross || !p->causal);
}

void
peft_kernel_check_attention_backward (const char *name, const void *params)
{
  const PeftAttentionBackwardParams *p = params;
  const PeftView *q = &p->forward.q;

  peft_kernel_check_attention (name, &p->forward);
  CHECK (has (&p->forward.lse));
  CHECK (is_like (&p->dout, q) && is_like (&p->dq, q));
  CHECK (is_like (&p->dk, &p->forward.k) && is_like (&p->dv, &p->forward.k));
  CHECK (is_float (&p->delta));
  CHECK (is_shape (&p->delta, 3, q->shape[0], q->shape[2], q->shape[1], 0));
  CHECK (q->shape[3] <= 1 || p->dout.stride[3] == 1);
  CHECK (q->shape[3] <= 1 || p->dq.stride[3] == 1);
  CHECK (q->shape[3] <= 1 || p->dk.stride[3] == 1);
  CHECK (q->shape[3] <= 1 || p->dv.stride[3] == 1);
}

void
peft_kernel_check_gated (const char *name, const void *params)
{
  const PeftGatedParams *p = params;
  CHECK (is_float (&p->h) && p->h.n_dims == 2);
  CHECK (p->h.shape[1] <= 1 || p->h.stride[1] == 1);
  CHECK (is_like (&p->gate, &p->h) && is_like (&p->up, &p->h));
  CHECK (p->h.shape[1] <= 1 || (p->gate.stride[1] == 1 && p->up.stride[1] == 1));
}

void
peft_kernel_check_gated_backward (const char *name, const void *params)
{
  const PeftGatedBackwardParams *p = params;
  CHECK (is_float (&p->dh) && p->dh.n_dims == 2);
  CHECK (is_like (&p->gate, &p->dh) && is_like (&p->up, &p->dh));
  CHECK (is_like (&p->dgate, &p->dh) && is_like (&p->dup, &p->dh));
  CHECK (p->dh.shape[1] <= 1
         || (p->dh.stride[1] == 1 && p->gate.stride[1] == 1 && p->up.stride[1] == 1
             && p->dgate.stride[1] == 1 && p->dup.stride[1] == 1));
}

void
peft_kernel_check_dropout (const char *name, const void *params)
{
  const PeftDropoutParams *p = params;

  CHECK (is_float (&p->x) && is_like (&p->y, &p->x));
  CHECK (p->p >= 0 && p->p < 1);
}

void
peft_kernel_check_cross_entropy (const char *name, const void *params)
{
  const PeftCrossEntropyParams *p = params;
  gint64 rows = p->logits.shape[0];

  CHECK (is_float (&p->logits) && p->logits.n_dims == 2);
  CHECK (p->logits.shape[1] <= 1 || p->logits.stride[1] == 1);
  CHECK (is_index (&p->labels) && is_shape (&p->labels, 1, rows, 0, 0, 0));
  CHECK (is_float (&p->loss) && is_shape (&p->loss, 1, rows, 0, 0, 0));
  if (has (&p->correct))
    CHECK (is_index (&p->correct) && is_shape (&p->correct, 1, rows, 0, 0, 0));
}

void
peft_kernel_check_sum_squares (const char *name, const void *params)
{
  const PeftSumSquaresParams *p = params;
  CHECK (is_float (&p->x) && p->x.n_dims == 1 && peft_view_is_contiguous (&p->x));
  CHECK (has (&p->out) && p->out.dtype == PEFT_DTYPE_F64 && is_shape (&p->out, 1, 1, 0, 0, 0));
}

void
peft_kernel_check_adamw (const char *name, const void *params)
{
  const PeftAdamWParams *p = params;
  CHECK (is_float (&p->w) && p->w.n_dims == 1 && peft_view_is_contiguous (&p->w));
  CHECK (is_like (&p->g, &p->w) && peft_view_is_contiguous (&p->g));
  CHECK (is_like (&p->m, &p->w) && peft_view_is_contiguous (&p->m));
  CHECK (is_like (&p->v, &p->w) && peft_view_is_contiguous (&p->v));
}

void
peft_kernel_check_fill (const char *name, const void *params)
{
  const PeftFillParams *p = params;

  CHECK (is_float (&p->x) || is_index (&p->x));
}

void
peft_kernel_check_copy (const char *name, const void *params)
{
  const PeftCopyParams *p = params;

  CHECK (is_float (&p->x) && is_like (&p->y, &p->x));
}

void
peft_kernel_check_unary (const char *name, const void *params)
{
  const PeftUnaryParams *p = params;

  CHECK (is_float (&p->x) && is_like (&p->y, &p->x) && p->op < PEFT_N_UNARY);
}

void
peft_kernel_check_unary_backward (const char *name, const void *params)
{
  const PeftUnaryBackwardParams *p = params;

  CHECK (is_float (&p->x) && is_like (&p->dy, &p->x) && is_like (&p->dx, &p->x));
  CHECK (p->op < PEFT_N_UNARY);
}

/* Does `view` fit `out` after adding leading dims and stretching those of size 1? */
static gboolean
broadcasts (const PeftView *view, const PeftView *out)
{
  if (view->n_dims > out->n_dims)
    return FALSE;
  for (guint i = 0; i < view->n_dims; i++)
    {
      gint64 size = view->shape[view->n_dims - 1 - i];
      if (size != 1 && size != out->shape[out->n_dims - 1 - i])
        return FALSE;
    }
  return TRUE;
}

void
peft_kernel_check_binary (const char *name, const void *params)
{
  const PeftBinaryParams *p = params;

  CHECK (is_float (&p->a) && is_float (&p->b) && is_float (&p->c) && p->op < PEFT_N_BINARY);
  CHECK (broadcasts (&p->a, &p->c) && broadcasts (&p->b, &p->c));
}

void
peft_kernel_check_reduce (const char *name, const void *params)
{
  const PeftReduceParams *p = params;
  CHECK (is_float (&p->x) && is_float (&p->y) && p->x.n_dims == p->y.n_dims);
  CHECK (broadcasts (&p->y, &p->x));
}

void
peft_kernel_check_softmax (const char *name, const void *params)
{
  const PeftSoftmaxParams *p = params;

  CHECK (is_float (&p->x) && p->x.n_dims >= 1 && is_like (&p->y, &p->x));
}

void
peft_kernel_check_softmax_backward (const char *name, const void *params)
{
  const PeftSoftmaxBackwardParams *p = params;

  CHECK (is_float (&p->y) && p->y.n_dims >= 1 && is_like (&p->dy, &p->y));
  CHECK (is_like (&p->dx, &p->y));
}

static void
check_square (const char *name, const PeftView *a)
{
  CHECK (is_float (a) && a->n_dims == 3 && a->shape[1] == a->shape[2]);
}

static void
check_right_side (const char *name, const PeftView *a, const PeftView *x)
{
  check_square (name, a);
  CHECK (is_float (x) && x->n_dims == 3 && x->shape[0] == a->shape[0] && x->shape[1] == a->shape[1]);
}

static void
check_pivots (const char *name, const PeftView *a, const PeftView *pivots)
{
  CHECK (is_index (pivots) && is_shape (pivots, 2, a->shape[0], a->shape[1], 0, 0));
}

void
peft_kernel_check_lu_factor (const char *name, const void *params)
{
  const PeftLuFactorParams *p = params;

  check_square (name, &p->a);
  check_pivots (name, &p->a, &p->pivots);
}

void
peft_kernel_check_lu_solve (const char *name, const void *params)
{
  const PeftLuSolveParams *p = params;

  check_right_side (name, &p->lu, &p->x);
  check_pivots (name, &p->lu, &p->pivots);
}

void
peft_kernel_check_triangular_solve (const char *name, const void *params)
{
  const PeftTriangularSolveParams *p = params;

  check_right_side (name, &p->a, &p->x);
}

void
peft_kernel_check_fft (const char *name, const void *params)
{
  const PeftFftParams *p = params;
  CHECK (is_float (&p->x) && p->x.n_dims == 3 && p->x.shape[2] == 2 && is_like (&p->y, &p->x));
}

void
peft_kernel_check (PeftKernel kernel, const void *params)
{
  const PeftKernelInfo *info = peft_kernel_get_info (kernel);

  for (const PeftKernelArg *arg = info->args; arg->use != PEFT_ARG_END; arg++)
    {
      const PeftView *view = peft_kernel_arg_get_view (arg, params);
      if (view->buffer)
        check_memory (info->name, arg, view);
    }
  info->check (info->name, params);
}
