/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nn/peft-tape.h"

/* Node functions. Inputs are borrowed, results (transfer full). Matrices are [rows, width]; a batch of
 * sequences is its rows one after the other. Everything is in the backend's real type unless said
 * otherwise. */

/* y = x · Wᵀ (+ bias). weight [out, in] of any float or block dtype; with `transposed_weight` it is [in, out] (Conv1D).
 * weight and bias may be constants or parameters; only what needs a gradient gets one. */
PeftVar *peft_nn_linear (PeftTape *tape, PeftVar *x, PeftVar *weight, PeftVar *bias,
                         gboolean transposed_weight);
/* y = x · (W + ΔW)ᵀ (+ bias) with a ΔW [out, in] that has a gradient. W + ΔW is not kept for the backward pass. */
PeftVar *peft_nn_linear_delta (PeftTape *tape, PeftVar *x, PeftVar *weight, PeftVar *delta,
                               PeftVar *bias, gboolean transposed_weight);
/* scale · (A₁ B₁) ⊙ (A₂ B₂), computed again in the backward pass: Hyeon-Woo et al., arXiv:2108.06098. A [n, r], B [r, m]. */
PeftVar *peft_nn_hadamard_low_rank (PeftTape *tape, PeftVar *a1, PeftVar *b1, PeftVar *a2,
                                    PeftVar *b2, double scale);
/* y + scale · (x (W₁ ⊗ W₂)ᵀ) ⊙ mask, never forming the product of the matrices. x contiguous; mask [out] without a gradient, or
 * NULL. y is consumed as in peft_nn_low_rank. */
PeftVar *peft_nn_kronecker (PeftTape *tape, PeftVar *y, PeftVar *x, PeftVar *w1, PeftVar *w2,
                            PeftVar *mask, double scale);
/* Does a module take part in this pass, where it is left out with probability p while training? */
gboolean peft_nn_takes_part (PeftTape *tape, double p, guint64 stream);
/* y + scale · (x Aᵀ) Bᵀ (+ scale · b): the fused path of LoRA-shaped methods. A [r, in], B [out, r]. y is consumed:
 * it must not be used afterwards (its memory becomes the result where nobody else needs it). */
PeftVar *peft_nn_low_rank (PeftTape *tape, PeftVar *y, PeftVar *x, PeftVar *a, PeftVar *b,
                           PeftVar *bias, double scale);
/* Rows of a table: [n, width]. ids I32 [n]. */
PeftVar *peft_nn_embedding (PeftTape *tape, PeftTensor *ids, PeftVar *table, double scale);
/* With residual: *sum = x + residual (new reference) and the norm of it. */
PeftVar *peft_nn_rms_norm (PeftTape *tape, PeftVar *x, PeftVar *residual, PeftVar *weight,
                           double eps, double weight_offset, PeftVar **sum);
/* x + delta, where delta is consumed as y above. */
PeftVar *peft_nn_residual (PeftTape *tape, PeftVar *x, PeftVar *delta);
/* x [batch, length, heads, dim] (any view) is consumed as y above; cos_sin [positions, 2, half]; positions I32 [batch, length]. */
PeftVar *peft_nn_rope (PeftTape *tape, PeftVar *x, PeftTensor *cos_sin, PeftTensor *positions,
                       gboolean interleaved);

typedef struct
{
  double scale;
  gboolean causal;
  gint64 window;
  PeftTensor *q_segments, *k_segments; /* borrowed; the node keeps them */
  gint64 n_prefix;
  double soft_cap;
  PeftTensor *bias, *slopes;
  gboolean cross;
} PeftAttentionOptions;
/* q [batch, q_len, heads, dim], k and v [batch, k_len, kv_heads, dim] → [batch, q_len, heads, dim]. */
PeftVar *peft_nn_attention (PeftTape *tape, PeftVar *q, PeftVar *k, PeftVar *v,
                            const PeftAttentionOptions *options);
PeftVar *peft_nn_gated (PeftTape *tape, PeftVar *gate, PeftVar *up, PeftActivation activation);
/* Identity unless the tape trains and p > 0. `stream` names the place (peft_random_stream). */
PeftVar *peft_nn_dropout (PeftTape *tape, PeftVar *x, double p, guint64 stream);

/* Sum of cross-entropies of the rows, divided by `denominator`. The head turns [chunk, width] rows into [chunk, vocab] logits; it is
 * run chunk by chunk, forward and backward at once when the tape records, so that the logits of all
 * rows never exist together. labels I32 [rows], none negative. row_loss (nullable, transfer full): the
 * undivided loss of each row; correct (nullable): I32, 1 where the label has the largest logit. */
PeftVar *peft_nn_head_loss (PeftTape *tape, PeftVar *x, PeftTensor *labels, PeftTapeFunc head,
                            gpointer head_data, gint64 chunk_rows, double denominator,
                            PeftTensor **row_loss, PeftTensor **correct);

/* Tier 2: what a method needs to be written with; each with its gradient. */
PeftVar *peft_nn_add (PeftTape *tape, PeftVar *a, PeftVar *b); /* broadcasting, as sub, mul, div */
PeftVar *peft_nn_sub (PeftTape *tape, PeftVar *a, PeftVar *b);
PeftVar *peft_nn_mul (PeftTape *tape, PeftVar *a, PeftVar *b);
PeftVar *peft_nn_div (PeftTape *tape, PeftVar *a, PeftVar *b);
PeftVar *peft_nn_scale (PeftTape *tape, PeftVar *x, double factor);
PeftVar *peft_nn_unary (PeftTape *tape, PeftUnary op, PeftVar *x);
/* Over the dims whose bit is set in `dims`; they stay with size 1. Sum, mean or L2 norm. */
PeftVar *peft_nn_reduce (PeftTape *tape, PeftReduce op, PeftVar *x, guint dims);
PeftVar *peft_nn_softmax (PeftTape *tape, PeftVar *x);
/* op(a) op(b) with 2 dims or a leading batch. */
PeftVar *peft_nn_matmul (PeftTape *tape, PeftVar *a, PeftVar *b, gboolean trans_a,
                         gboolean trans_b);
/* Views: no memory moves; the gradient is the same view of the input's gradient. */
PeftVar *peft_nn_reshape (PeftTape *tape, PeftVar *x, guint n_dims, const gint64 *shape);
PeftVar *peft_nn_permute (PeftTape *tape, PeftVar *x, const guint *order);
PeftVar *peft_nn_slice (PeftTape *tape, PeftVar *x, guint dim, gint64 start, gint64 length);
PeftVar *peft_nn_contiguous (PeftTape *tape, PeftVar *x);
/* x broadcast to a shape: a copy. */
PeftVar *peft_nn_expand (PeftTape *tape, PeftVar *x, guint n_dims, const gint64 *shape);
PeftVar *peft_nn_concat (PeftTape *tape, PeftVar *const *parts, guint n_parts, guint dim);
/* Rows by index, as embedding but over any matrix with a gradient. */
PeftVar *peft_nn_gather_rows (PeftTape *tape, PeftVar *x, PeftTensor *ids);
/* One direction of an LSTM layer with zero start: x [length, in], w_in [4 · hidden, in], w_hidden [4 · hidden, hidden],
 * b_in and b_hidden [4 · hidden] → [length, hidden]. reverse: from the last row to the first. */
PeftVar *peft_nn_lstm (PeftTape *tape, PeftVar *x, PeftVar *w_in, PeftVar *w_hidden, PeftVar *b_in,
                       PeftVar *b_hidden, gboolean reverse);
/* Solves A X = B for [batch, n, n] A and [batch, n, m] B. */
PeftVar *peft_nn_solve (PeftTape *tape, PeftVar *a, PeftVar *b);
/* Cuts the gradient. */
PeftVar *peft_nn_detach (PeftTape *tape, PeftVar *x);
