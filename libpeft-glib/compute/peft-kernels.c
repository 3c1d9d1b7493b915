/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/peft-kernels-private.h"

#include <stddef.h>

/* FLOPs count the arithmetic of the textbook formula: multiply and add as two, a transcendental
 * function as one. */

static double
matmul_flops (const void *params)
{
  const PeftMatmulParams *p = params;
  guint a = p->a.n_dims - 2;
  double k = p->trans_a ? p->a.shape[a] : p->a.shape[a + 1];

  return 2 * k * peft_view_n_values (&p->c);
}

static double
per_value (const PeftView *view, double n)
{
  return n * peft_view_n_values (view);
}

static double
gather_rows_flops (const void *params)
{
  const PeftGatherRowsParams *p = params;
  return p->scale == 1 ? 0 : per_value (&p->out, 1);
}

static double
scatter_add_rows_flops (const void *params)
{
  return per_value (&((const PeftScatterAddRowsParams *) params)->x, 2);
}

static double
rms_norm_flops (const void *params)
{
  const PeftRmsNormParams *p = params;
  return per_value (&p->x, p->residual.buffer ? 5 : 4);
}

static double
rms_norm_backward_flops (const void *params)
{
  const PeftRmsNormBackwardParams *p = params;
  return per_value (&p->x, p->dweight.buffer ? 11 : 8);
}

static double
rope_flops (const void *params)
{
  const PeftRopeParams *p = params;
  gint64 dim = p->x.shape[3];
  return dim == 0 ? 0 : per_value (&p->x, 3) / dim * 2 * p->cos_sin.shape[2];
}

/* Visible pairs of a query and a key in one head, segments aside. */
static double
visible_pairs (const PeftAttentionParams *p)
{
  gint64 q_len = p->q.shape[1], k_len = p->k.shape[1];
  double pairs = 0;

  for (gint64 i = 0; i < q_len; i++)
    {
      gint64 index = i + k_len - q_len;
      gint64 end = p->causal ? index + 1 : k_len;
      gint64 start = p->window > 0 ? index - p->window + 1 : 0;
      pairs += MAX (CLAMP (end, 0, k_len) - CLAMP (start, 0, k_len), 0);
    }
  return pairs;
}

static double
attention_flops (const void *params)
{
  const PeftAttentionParams *p = params;
  double heads = (double) p->q.shape[0] * p->q.shape[2];
  return heads * visible_pairs (p) * (4.0 * p->q.shape[3] + 5);
}

static double
attention_backward_flops (const void *params)
{
  const PeftAttentionBackwardParams *p = params;
  const PeftView *q = &p->forward.q;
  double heads = (double) q->shape[0] * q->shape[2];
  return heads * (visible_pairs (&p->forward) * (10.0 * q->shape[3] + 6)
                  + 2.0 * q->shape[1] * q->shape[3]);
}

static double
gated_flops (const void *params)
{
  return per_value (&((const PeftGatedParams *) params)->h, 5);
}

static double
gated_backward_flops (const void *params)
{
  return per_value (&((const PeftGatedBackwardParams *) params)->dh, 11);
}

static double
dropout_flops (const void *params)
{
  return per_value (&((const PeftDropoutParams *) params)->x, 1);
}

static double
cross_entropy_flops (const void *params)
{
  const PeftCrossEntropyParams *p = params;
  return per_value (&p->logits, p->gradient ? 6 : 4);
}

static double
sum_squares_flops (const void *params)
{
  return per_value (&((const PeftSumSquaresParams *) params)->x, 2);
}

static double
adamw_flops (const void *params)
{
  return per_value (&((const PeftAdamWParams *) params)->w, 16);
}

static double
fill_flops (const void *params)
{
  return 0;
}

static double
copy_flops (const void *params)
{
  const PeftCopyParams *p = params;
  return per_value (&p->y, (p->alpha != 1) + (p->accumulate != FALSE));
}

static double
unary_flops (const void *params)
{
  return per_value (&((const PeftUnaryParams *) params)->y, 1);
}

static double
unary_backward_flops (const void *params)
{
  return per_value (&((const PeftUnaryBackwardParams *) params)->dx, 3);
}

static double
binary_flops (const void *params)
{
  return per_value (&((const PeftBinaryParams *) params)->c, 1);
}

static double
reduce_flops (const void *params)
{
  const PeftReduceParams *p = params;
  return per_value (&p->x, p->op == PEFT_REDUCE_NORM ? 2 : 1);
}

static double
softmax_flops (const void *params)
{
  return per_value (&((const PeftSoftmaxParams *) params)->x, 5);
}

static double
softmax_backward_flops (const void *params)
{
  return per_value (&((const PeftSoftmaxBackwardParams *) params)->y, 4);
}

static double
lu_factor_flops (const void *params)
{
  const PeftLuFactorParams *p = params;
  return per_value (&p->a, 2.0 / 3 * p->a.shape[1]);
}

static double
lu_solve_flops (const void *params)
{
  const PeftLuSolveParams *p = params;
  return per_value (&p->x, 2.0 * p->x.shape[1]);
}

static double
triangular_solve_flops (const void *params)
{
  const PeftTriangularSolveParams *p = params;
  return per_value (&p->x, p->x.shape[1]);
}

static double
fft_flops (const void *params)
{
  const PeftFftParams *p = params;
  gint64 n = p->x.shape[1];
  return n < 2 ? 0 : per_value (&p->x, 2.5) * g_bit_storage (n - 1);
}

/* A row of each: which rows of the table are read depends on data that is not there yet. */
static double
gather_rows_bytes (const void *params)
{
  const PeftGatherRowsParams *p = params;
  const PeftDTypeInfo *table = peft_dtype_get_info (p->table.dtype);
  const PeftDTypeInfo *out = peft_dtype_get_info (p->out.dtype);
  double row = (double) table->block_bytes / table->block_size + out->block_bytes;
  return per_value (&p->out, row) + per_value (&p->ids, 4);
}

static double
scatter_add_rows_bytes (const void *params)
{
  const PeftScatterAddRowsParams *p = params;
  double value = 2.0 * peft_dtype_get_info (p->table.dtype)->block_bytes
                 + peft_dtype_get_info (p->x.dtype)->block_bytes;
  return per_value (&p->x, value) + per_value (&p->ids, 4);
}

#define ARG(Struct, field, use_) { #field, offsetof (Struct, field), PEFT_ARG_##use_ }
#define END { NULL, 0, PEFT_ARG_END }

static const PeftKernelArg matmul_args[] = {
  ARG (PeftMatmulParams, a, IN), ARG (PeftMatmulParams, b, IN), ARG (PeftMatmulParams, bias, IN),
  ARG (PeftMatmulParams, c, OUT), END
};
static const PeftKernelArg gather_rows_args[] = {
  ARG (PeftGatherRowsParams, table, IN), ARG (PeftGatherRowsParams, ids, IN),
  ARG (PeftGatherRowsParams, out, OUT), END
};
static const PeftKernelArg scatter_add_rows_args[] = {
  ARG (PeftScatterAddRowsParams, table, INOUT), ARG (PeftScatterAddRowsParams, ids, IN),
  ARG (PeftScatterAddRowsParams, x, IN), END
};
static const PeftKernelArg rms_norm_args[] = {
  ARG (PeftRmsNormParams, x, IN), ARG (PeftRmsNormParams, residual, IN),
  ARG (PeftRmsNormParams, weight, IN), ARG (PeftRmsNormParams, y, OUT),
  ARG (PeftRmsNormParams, sum, OUT), ARG (PeftRmsNormParams, rstd, OUT), END
};
static const PeftKernelArg rms_norm_backward_args[] = {
  ARG (PeftRmsNormBackwardParams, dy, IN), ARG (PeftRmsNormBackwardParams, x, IN),
  ARG (PeftRmsNormBackwardParams, weight, IN), ARG (PeftRmsNormBackwardParams, rstd, IN),
  ARG (PeftRmsNormBackwardParams, dx, OUT), ARG (PeftRmsNormBackwardParams, dweight, INOUT), END
};
static const PeftKernelArg rope_args[] = {
  ARG (PeftRopeParams, x, IN), ARG (PeftRopeParams, cos_sin, IN),
  ARG (PeftRopeParams, positions, IN), ARG (PeftRopeParams, y, OUT), END
};
static const PeftKernelArg attention_args[] = {
  ARG (PeftAttentionParams, q, IN), ARG (PeftAttentionParams, k, IN),
  ARG (PeftAttentionParams, v, IN), ARG (PeftAttentionParams, q_segments, IN),
  ARG (PeftAttentionParams, k_segments, IN), ARG (PeftAttentionParams, bias, IN),
  ARG (PeftAttentionParams, slopes, IN), ARG (PeftAttentionParams, out, OUT),
  ARG (PeftAttentionParams, lse, OUT), END
};
static const PeftKernelArg attention_backward_args[] = {
  ARG (PeftAttentionBackwardParams, forward.q, IN), ARG (PeftAttentionBackwardParams, forward.k, IN),
  ARG (PeftAttentionBackwardParams, forward.v, IN),
  ARG (PeftAttentionBackwardParams, forward.q_segments, IN),
  ARG (PeftAttentionBackwardParams, forward.k_segments, IN),
  ARG (PeftAttentionBackwardParams, forward.bias, IN),
  ARG (PeftAttentionBackwardParams, forward.slopes, IN),
  ARG (PeftAttentionBackwardParams, forward.out, IN),
  ARG (PeftAttentionBackwardParams, forward.lse, IN), ARG (PeftAttentionBackwardParams, dout, IN),
  ARG (PeftAttentionBackwardParams, dq, OUT), ARG (PeftAttentionBackwardParams, dk, OUT),
  ARG (PeftAttentionBackwardParams, dv, OUT), ARG (PeftAttentionBackwardParams, delta, OUT), END
};
static const PeftKernelArg gated_args[] = {
  ARG (PeftGatedParams, gate, IN), ARG (PeftGatedParams, up, IN), ARG (PeftGatedParams, h, OUT), END
};
static const PeftKernelArg gated_backward_args[] = {
  ARG (PeftGatedBackwardParams, dh, IN), ARG (PeftGatedBackwardParams, gate, IN),
  ARG (PeftGatedBackwardParams, up, IN), ARG (PeftGatedBackwardParams, dgate, OUT),
  ARG (PeftGatedBackwardParams, dup, OUT), END
};
static const PeftKernelArg dropout_args[] = {
  ARG (PeftDropoutParams, x, IN), ARG (PeftDropoutParams, y, OUT), END
};
static const PeftKernelArg cross_entropy_args[] = {
  ARG (PeftCrossEntropyParams, logits, INOUT), ARG (PeftCrossEntropyParams, labels, IN),
  ARG (PeftCrossEntropyParams, loss, OUT), ARG (PeftCrossEntropyParams, correct, OUT), END
};
static const PeftKernelArg sum_squares_args[] = {
  ARG (PeftSumSquaresParams, x, IN), ARG (PeftSumSquaresParams, out, OUT), END
};
static const PeftKernelArg adamw_args[] = {
  ARG (PeftAdamWParams, w, INOUT), ARG (PeftAdamWParams, g, IN), ARG (PeftAdamWParams, m, INOUT),
  ARG (PeftAdamWParams, v, INOUT), END
};
static const PeftKernelArg fill_args[] = { ARG (PeftFillParams, x, OUT), END };
static const PeftKernelArg copy_args[] = {
  ARG (PeftCopyParams, x, IN), ARG (PeftCopyParams, y, OUT), END
};
static const PeftKernelArg unary_args[] = {
  ARG (PeftUnaryParams, x, IN), ARG (PeftUnaryParams, y, OUT), END
};
static const PeftKernelArg unary_backward_args[] = {
  ARG (PeftUnaryBackwardParams, x, IN), ARG (PeftUnaryBackwardParams, dy, IN),
  ARG (PeftUnaryBackwardParams, dx, OUT), END
};
static const PeftKernelArg binary_args[] = {
  ARG (PeftBinaryParams, a, IN), ARG (PeftBinaryParams, b, IN), ARG (PeftBinaryParams, c, OUT), END
};
static const PeftKernelArg reduce_args[] = {
  ARG (PeftReduceParams, x, IN), ARG (PeftReduceParams, y, OUT), END
};
static const PeftKernelArg softmax_args[] = {
  ARG (PeftSoftmaxParams, x, IN), ARG (PeftSoftmaxParams, y, OUT), END
};
static const PeftKernelArg softmax_backward_args[] = {
  ARG (PeftSoftmaxBackwardParams, y, IN), ARG (PeftSoftmaxBackwardParams, dy, IN),
  ARG (PeftSoftmaxBackwardParams, dx, OUT), END
};
static const PeftKernelArg lu_factor_args[] = {
  ARG (PeftLuFactorParams, a, INOUT), ARG (PeftLuFactorParams, pivots, OUT), END
};
static const PeftKernelArg lu_solve_args[] = {
  ARG (PeftLuSolveParams, lu, IN), ARG (PeftLuSolveParams, pivots, IN),
  ARG (PeftLuSolveParams, x, INOUT), END
};
static const PeftKernelArg triangular_solve_args[] = {
  ARG (PeftTriangularSolveParams, a, IN), ARG (PeftTriangularSolveParams, x, INOUT), END
};
static const PeftKernelArg fft_args[] = {
  ARG (PeftFftParams, x, IN), ARG (PeftFftParams, y, OUT), END
};

#define ROW(ID, Struct, name_, tier_, tolerance_, ...) \
  [PEFT_KERNEL_##ID] = { #name_, tier_, sizeof (Struct), name_##_args, \
                         PEFT_TOLERANCE_##tolerance_, peft_kernel_check_##name_, \
                         name_##_flops, ##__VA_ARGS__ }

static const PeftKernelInfo kernels[PEFT_N_KERNELS] = {
  ROW (MATMUL, PeftMatmulParams, matmul, 1, REDUCTION),
  ROW (GATHER_ROWS, PeftGatherRowsParams, gather_rows, 1, ELEMENTWISE, gather_rows_bytes),
  ROW (SCATTER_ADD_ROWS, PeftScatterAddRowsParams, scatter_add_rows, 1, REDUCTION,
       scatter_add_rows_bytes),
  ROW (RMS_NORM, PeftRmsNormParams, rms_norm, 1, REDUCTION),
  ROW (RMS_NORM_BACKWARD, PeftRmsNormBackwardParams, rms_norm_backward, 1, REDUCTION),
  ROW (ROPE, PeftRopeParams, rope, 1, ELEMENTWISE),
  ROW (ATTENTION, PeftAttentionParams, attention, 1, REDUCTION),
  ROW (ATTENTION_BACKWARD, PeftAttentionBackwardParams, attention_backward, 1, REDUCTION),
  ROW (GATED, PeftGatedParams, gated, 1, ELEMENTWISE),
  ROW (GATED_BACKWARD, PeftGatedBackwardParams, gated_backward, 1, ELEMENTWISE),
  ROW (DROPOUT, PeftDropoutParams, dropout, 1, ELEMENTWISE),
  ROW (CROSS_ENTROPY, PeftCrossEntropyParams, cross_entropy, 1, REDUCTION),
  ROW (SUM_SQUARES, PeftSumSquaresParams, sum_squares, 1, ELEMENTWISE),
  ROW (ADAMW, PeftAdamWParams, adamw, 1, ELEMENTWISE),
  ROW (FILL, PeftFillParams, fill, 2, EXACT),
  ROW (COPY, PeftCopyParams, copy, 2, ELEMENTWISE),
  ROW (UNARY, PeftUnaryParams, unary, 2, ELEMENTWISE),
  ROW (UNARY_BACKWARD, PeftUnaryBackwardParams, unary_backward, 2, ELEMENTWISE),
  ROW (BINARY, PeftBinaryParams, binary, 2, ELEMENTWISE),
  ROW (REDUCE, PeftReduceParams, reduce, 2, REDUCTION),
  ROW (SOFTMAX, PeftSoftmaxParams, softmax, 2, REDUCTION),
  ROW (SOFTMAX_BACKWARD, PeftSoftmaxBackwardParams, softmax_backward, 2, REDUCTION),
  ROW (LU_FACTOR, PeftLuFactorParams, lu_factor, 2, REDUCTION),
  ROW (LU_SOLVE, PeftLuSolveParams, lu_solve, 2, REDUCTION),
  ROW (TRIANGULAR_SOLVE, PeftTriangularSolveParams, triangular_solve, 2, REDUCTION),
  ROW (FFT, PeftFftParams, fft, 2, REDUCTION),
};

const PeftKernelInfo *
peft_kernel_get_info (PeftKernel kernel)
{
  g_assert (kernel < PEFT_N_KERNELS);
  return &kernels[kernel];
}

double
peft_kernel_get_flops (PeftKernel kernel, const void *params)
{
  return peft_kernel_get_info (kernel)->flops (params);
}

/* Dims that are broadcast by stride 0 are in memory once. */
static double
view_bytes (const PeftView *view)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (view->dtype);
  double n = 1;

  for (guint i = 0; i < view->n_dims; i++)
    if (view->stride[i] != 0 || view->shape[i] == 0)
      n *= view->shape[i];
  return n / info->block_size * info->block_bytes;
}

double
peft_kernel_get_bytes (PeftKernel kernel, const void *params)
{
  const PeftKernelInfo *info = peft_kernel_get_info (kernel);
  double bytes = 0;

  if (info->bytes)
    return info->bytes (params);
  for (const PeftKernelArg *arg = info->args; arg->use != PEFT_ARG_END; arg++)
    {
      const PeftView *view = peft_kernel_arg_get_view (arg, params);
      if (view->buffer)
        bytes += view_bytes (view) * (arg->use == PEFT_ARG_INOUT ? 2 : 1);
    }
  return bytes;
}
