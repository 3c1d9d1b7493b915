/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "compute/peft-kernels.h"

/* Kernels here take whole views into dense row-major arrays of double, compute, and put whole arrays
 * back. So outputs may share memory with inputs, and no kernel knows of strides or types. */

/* g_free the result. */
double *peft_reference_load (const PeftView *view);
gint32 *peft_reference_load_i32 (const PeftView *view);
void peft_reference_store (const PeftView *view, const double *values);
void peft_reference_store_i32 (const PeftView *view, const gint32 *values);
/* With `accumulate` adds to what is there. */
void peft_reference_put (const PeftView *view, double *values, gboolean accumulate);
/* Row `row` of a view with 2 dims. */
void peft_reference_load_row (const PeftView *view, gint64 row, double *values);
void peft_reference_store_row (const PeftView *view, gint64 row, const double *values);

double peft_reference_unary (PeftUnary op, double x);
double peft_reference_unary_slope (PeftUnary op, double x);
/* The unary operation of an activation. */
PeftUnary peft_reference_activation (PeftActivation activation);

void peft_reference_matmul (const void *params);
void peft_reference_gather_rows (const void *params);
void peft_reference_scatter_add_rows (const void *params);
void peft_reference_rms_norm (const void *params);
void peft_reference_rms_norm_backward (const void *params);
void peft_reference_rope (const void *params);
void peft_reference_attention (const void *params);
void peft_reference_attention_backward (const void *params);
void peft_reference_gated (const void *params);
void peft_reference_gated_backward (const void *params);
void peft_reference_dropout (const void *params);
void peft_reference_cross_entropy (const void *params);
void peft_reference_sum_squares (const void *params);
void peft_reference_adamw (const void *params);
void peft_reference_fill (const void *params);
void peft_reference_copy (const void *params);
void peft_reference_unary_kernel (const void *params);
void peft_reference_unary_backward (const void *params);
void peft_reference_binary (const void *params);
void peft_reference_reduce (const void *params);
void peft_reference_softmax (const void *params);
void peft_reference_softmax_backward (const void *params);
void peft_reference_lu_factor (const void *params);
void peft_reference_lu_solve (const void *params);
void peft_reference_triangular_solve (const void *params);
void peft_reference_fft (const void *params);
