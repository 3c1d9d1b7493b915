/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "compute/peft-view.h"

/* The kernels and their parameters: plain structs of views and scalars, the same for every backend.
 * `real` below means the backend's floating type (float32; float64 on the reference) or, where the
 * backend says so, bfloat16. Weights may have any floating or block type. Index views are I32.
 * `accumulate` adds to what the output holds instead of overwriting it. */

typedef enum
{
  /* Tier 1: the hot path. */
  PEFT_KERNEL_MATMUL,
  PEFT_KERNEL_GATHER_ROWS,
  PEFT_KERNEL_SCATTER_ADD_ROWS,
  PEFT_KERNEL_RMS_NORM,
  PEFT_KERNEL_RMS_NORM_BACKWARD,
  PEFT_KERNEL_ROPE,
  PEFT_KERNEL_ATTENTION,
  PEFT_KERNEL_ATTENTION_BACKWARD,
  PEFT_KERNEL_GATED,
  PEFT_KERNEL_GATED_BACKWARD,
  PEFT_KERNEL_DROPOUT,
  PEFT_KERNEL_CROSS_ENTROPY,
  PEFT_KERNEL_SUM_SQUARES,
  PEFT_KERNEL_ADAMW,
  /* Tier 2: general operations that any method can be written with. */
  PEFT_KERNEL_FILL,
  PEFT_KERNEL_COPY,
  PEFT_KERNEL_UNARY,
  PEFT_KERNEL_UNARY_BACKWARD,
  PEFT_KERNEL_BINARY,
  PEFT_KERNEL_REDUCE,
  PEFT_KERNEL_SOFTMAX,
  PEFT_KERNEL_SOFTMAX_BACKWARD,
  PEFT_KERNEL_LU_FACTOR,
  PEFT_KERNEL_LU_SOLVE,
  PEFT_KERNEL_TRIANGULAR_SOLVE,
  PEFT_KERNEL_FFT,
  PEFT_N_KERNELS
} PeftKernel;

typedef enum
{
  PEFT_COMPUTE_F32, /* products in float32 (float64 on the reference) */
  PEFT_COMPUTE_BF16 /* operands rounded to bfloat16, accumulated in float32 */
} PeftComputeType;

typedef enum
{
  PEFT_ACTIVATION_SILU,
  PEFT_ACTIVATION_GELU,
  PEFT_ACTIVATION_GELU_TANH,
  PEFT_ACTIVATION_RELU
} PeftActivation;

typedef enum
{
  PEFT_UNARY_NEG,
  PEFT_UNARY_ABS,
  PEFT_UNARY_SQUARE,
  PEFT_UNARY_SQRT,
  PEFT_UNARY_RSQRT,
  PEFT_UNARY_RECIPROCAL,
  PEFT_UNARY_EXP,
  PEFT_UNARY_LOG,
  PEFT_UNARY_SIN,
  PEFT_UNARY_COS,
  PEFT_UNARY_TANH,
  PEFT_UNARY_SIGMOID,
  PEFT_UNARY_SILU,
  PEFT_UNARY_GELU,
  PEFT_UNARY_GELU_TANH,
  PEFT_UNARY_RELU,
  PEFT_UNARY_SIGN,
  PEFT_N_UNARY
} PeftUnary;

typedef enum
{
  PEFT_BINARY_ADD,
  PEFT_BINARY_SUB,
  PEFT_BINARY_MUL,
  PEFT_BINARY_DIV,
  PEFT_BINARY_MAX,
  PEFT_BINARY_MIN,
  PEFT_N_BINARY
} PeftBinary;

typedef enum
{
  PEFT_REDUCE_SUM,
  PEFT_REDUCE_MEAN,
  PEFT_REDUCE_MAX,
  PEFT_REDUCE_NORM /* L2 */
} PeftReduce;

/* c (+)= alpha · op(a) · op(b) (+ bias). Views have 2 dims, or 3 with a leading batch (b may have
 * batch stride 0). op transposes the last two dims, so that c is [m, n]. Views of a and c need
 * last-dim stride 1. b may have a block type: then [n, k] rows with trans_b, or [k, n] rows without
 * (the backward pass of the same weight). bias is [n]. */
typedef struct
{
  PeftView a, b, c, bias;
  gboolean trans_a, trans_b;
  gboolean accumulate;
  double alpha;
  PeftComputeType compute;
} PeftMatmulParams;

/* out[i, :] = table[ids[i], :] · scale. table [rows, width] any dtype; ids [n]; out [n, width]. */
typedef struct
{
  PeftView table, ids, out;
  double scale;
} PeftGatherRowsParams;

/* table[ids[i], :] += x[i, :] · scale, in order of i. */
typedef struct
{
  PeftView table, ids, x;
  double scale;
} PeftScatterAddRowsParams;

/* y = x · rsqrt (mean (x²) + eps) · (weight + weight_offset), rows over the last dim. With `residual`
 * x + residual is normalised and also written to `sum`. rstd [rows] is for the backward pass (may be absent). Rows may be
 * strided (q/k norms work on heads). Zhang & Sennrich, arXiv:1910.07467. */
typedef struct
{
  PeftView x, residual, weight;
  PeftView y, sum, rstd;
  double eps;
  double weight_offset; /* 1 for models that store weight - 1 */
} PeftRmsNormParams;

/* dx (+)= …; dweight (absent unless trained) accumulates. x is the normalised input (the sum). */
typedef struct
{
  PeftView dy, x, weight, rstd;
  PeftView dx, dweight;
  double weight_offset;
  gboolean accumulate;
} PeftRmsNormBackwardParams;

/* Rotates pairs of the last dim's first 2·half values by ±angle. x, y [batch, length, heads, dim], may be the
 * same memory; cos_sin [positions, 2, half] float; positions [batch, length]. The pair of i is i + half (Hugging
 * Face's half split), or 2i, 2i+1 when interleaved. Su et al., arXiv:2104.09864. */
typedef struct
{
  PeftView x, y, cos_sin, positions;
  gboolean inverse; /* the backward pass */
  gboolean interleaved;
} PeftRopeParams;

/* softmax (scale · q kᵀ + mask) v. q, out [batch, q_len, heads, dim]; k, v [batch, k_len, kv_heads, dim], any strides
 * with last 1. Query i stands at key index i + k_len - q_len. Key j is visible when
 *  - not causal or j ≤ that index,
 *  - window = 0 or index - j < window,
 *  - the segments are absent, or q_segments[b, i] ≥ 0 is that of the key: those of the first n_prefix keys are everybody's,
 *    k_segments begins with the next one's.
 * A query that sees nothing gives 0, and lse -infinity. lse [batch, heads, q_len] is for the backward pass.
 * The fields below the line belong to the interface; a backend that lacks one refuses it by name. */
typedef struct
{
  PeftView q, k, v, out, lse;
  PeftView q_segments, k_segments; /* I32 [batch, q_len], [batch, k_len - n_prefix] */
  gint64 n_prefix;
  double scale;
  gboolean causal;
  gint64 window;
  /* ---- */
  double soft_cap;  /* scores = cap · tanh (scores / cap) */
  PeftView bias;    /* [batch or 1, heads or 1, q_len, k_len] added to the scores */
  PeftView slopes;  /* ALiBi, [heads] */
  gboolean cross;   /* keys come from an encoder: no causality */
} PeftAttentionParams;

/* dq, dk, dv are overwritten; delta [batch, heads, q_len] is scratch for rowsum (dout ⊙ out). */
typedef struct
{
  PeftAttentionParams forward;
  PeftView dout, dq, dk, dv, delta;
} PeftAttentionBackwardParams;

/* h = act (gate) ⊙ up, all [rows, width] with free row strides. */
typedef struct
{
  PeftView gate, up, h;
  PeftActivation activation;
} PeftGatedParams;

/* dgate, dup overwritten (may be the memory of gate and up). */
typedef struct
{
  PeftView dh, gate, up, dgate, dup;
  PeftActivation activation;
} PeftGatedBackwardParams;

/* y (+)= x · keep / (1 - p); value i is kept when word i of (seed, stream) ≥ threshold = round (p · 2³²).
 * i counts values in row-major order. The backward pass is the same kernel on the gradient. */
typedef struct
{
  PeftView x, y;
  guint64 seed, stream;
  double p;
  gboolean accumulate;
} PeftDropoutParams;

/* loss[i] = logsumexp (logits[i]) - logits[i, labels[i]]; with `gradient` logits becomes
 * scale · (softmax - onehot) in place. correct[i] (I32, may be absent): 1 when no logit is larger than the label's.
 * Rows with a label < 0 give 0 everywhere. logits [rows, vocab]; loss [rows]. */
typedef struct
{
  PeftView logits, labels, loss, correct;
  double scale;
  gboolean gradient;
} PeftCrossEntropyParams;

/* out[0] = Σ x² in float64 accumulation (out F64 [1] on every backend). x 1-D contiguous. */
typedef struct
{
  PeftView x, out;
} PeftSumSquaresParams;

/* torch.optim.AdamW on 1-D contiguous views: g' = g · grad_scale; w -= lr · weight_decay · w;
 * m = β₁m + (1-β₁)g'; v = β₂v + (1-β₂)g'²; w -= lr · (m / c₁) / (sqrt (v / c₂) + eps), cᵢ = 1 - βᵢᵗ.
 * Loshchilov & Hutter, arXiv:1711.05101. */
typedef struct
{
  PeftView w, g, m, v;
  double learning_rate, beta1, beta2, epsilon, weight_decay, correction1, correction2, grad_scale;
} PeftAdamWParams;

/* Floats and I32. */
typedef struct
{
  PeftView x;
  double value;
} PeftFillParams;

/* y (+)= alpha · x with conversion between floating types, any strides, equal shapes: permute,
 * slice, concatenate, cast, residual sums, scaled adds. */
typedef struct
{
  PeftView x, y;
  double alpha;
  gboolean accumulate;
} PeftCopyParams;

typedef struct
{
  PeftView x, y;
  PeftUnary op;
} PeftUnaryParams;

/* dx (+)= dy · op'(x). */
typedef struct
{
  PeftView x, dy, dx;
  PeftUnary op;
  gboolean accumulate;
} PeftUnaryBackwardParams;

/* c (+)= op (a, b), broadcasting dims of size 1 and missing leading dims. */
typedef struct
{
  PeftView a, b, c;
  PeftBinary op;
  gboolean accumulate;
} PeftBinaryParams;

/* Over every dim where y has size 1 and x has not; equal n_dims. */
typedef struct
{
  PeftView x, y;
  PeftReduce op;
  gboolean accumulate;
} PeftReduceParams;

/* Over the last dim. */
typedef struct
{
  PeftView x, y;
} PeftSoftmaxParams;

typedef struct
{
  PeftView y, dy, dx;
  gboolean accumulate;
} PeftSoftmaxBackwardParams;

/* a [batch, n, n] → its LU factors in place with partial pivoting; pivots I32 [batch, n]: step i swapped
 * rows i and pivots[i] ≥ i, the first of the largest. A singular matrix is no error: solving with it gives values that
 * are not finite. */
typedef struct
{
  PeftView a, pivots;
} PeftLuFactorParams;

/* x [batch, n, m]: solves A X = B (or Aᵀ X = B) in place with those factors. */
typedef struct
{
  PeftView lu, pivots, x;
  gboolean transpose;
} PeftLuSolveParams;

/* x [batch, n, m] in place: L X = B (lower) or U X = B, or with the transpose. */
typedef struct
{
  PeftView a, x;
  gboolean lower, unit_diagonal, transpose;
} PeftTriangularSolveParams;

/* Discrete Fourier transform over dim 1 of [batch, n, 2] (real, imaginary); inverse is not scaled. */
typedef struct
{
  PeftView x, y;
  gboolean inverse;
} PeftFftParams;

/* One row a kernel: what the parity tests, the profiler, the reference's page protection and the
 * benchmarks know about it. */
typedef enum
{
  PEFT_ARG_END,
  PEFT_ARG_IN,
  PEFT_ARG_OUT,
  PEFT_ARG_INOUT
} PeftArgUse;

typedef struct
{
  const char *name;
  gsize offset; /* of the PeftView in the parameter struct */
  PeftArgUse use;
} PeftKernelArg;

/* How far a backend may be from the float64 reference: |x - r| ≤ absolute + relative · |r|, with
 * both scaled by sqrt (reduction length) where a sum is taken. */
typedef enum
{
  PEFT_TOLERANCE_EXACT,       /* copies, gathers, integers: the same after rounding to the type */
  PEFT_TOLERANCE_ELEMENTWISE, /* a few float32 roundings */
  PEFT_TOLERANCE_REDUCTION,   /* float32 sums */
  PEFT_TOLERANCE_BF16         /* operands rounded to bfloat16 */
} PeftToleranceClass;

typedef struct
{
  const char *name;
  guint tier;
  gsize params_size;
  const PeftKernelArg *args; /* ends with PEFT_ARG_END */
  PeftToleranceClass tolerance;
  /* Aborts when the views contradict each other. */
  void (*check) (const char *name, const void *params);
  double (*flops) (const void *params);
  /* NULL: the sum of all views' bytes. */
  double (*bytes) (const void *params);
} PeftKernelInfo;

const PeftKernelInfo *peft_kernel_get_info (PeftKernel kernel);
/* Aborts when the views of a call contradict each other or leave their buffers. */
void peft_kernel_check (PeftKernel kernel, const void *params);

static inline const PeftView *
peft_kernel_arg_get_view (const PeftKernelArg *arg, const void *params)
{
  return (const PeftView *) ((const char *) params + arg->offset);
}

double peft_kernel_get_flops (PeftKernel kernel, const void *params);
double peft_kernel_get_bytes (PeftKernel kernel, const void *params);
