/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "compute/peft-kernels.h"

/* The check of every row of the kernel table. */

void peft_kernel_check_matmul (const char *name, const void *params);
void peft_kernel_check_gather_rows (const char *name, const void *params);
void peft_kernel_check_scatter_add_rows (const char *name, const void *params);
void peft_kernel_check_rms_norm (const char *name, const void *params);
void peft_kernel_check_rms_norm_backward (const char *name, const void *params);
void peft_kernel_check_rope (const char *name, const void *params);
void peft_kernel_check_attention (const char *name, const void *params);
void peft_kernel_check_attention_backward (const char *name, const void *params);
void peft_kernel_check_gated (const char *name, const void *params);
void peft_kernel_check_gated_backward (const char *name, const void *params);
void peft_kernel_check_dropout (const char *name, const void *params);
void peft_kernel_check_cross_entropy (const char *name, const void *params);
void peft_kernel_check_sum_squares (const char *name, const void *params);
void peft_kernel_check_adamw (const char *name, const void *params);
void peft_kernel_check_fill (const char *name, const void *params);
void peft_kernel_check_copy (const char *name, const void *params);
void peft_kernel_check_unary (const char *name, const void *params);
void peft_kernel_check_unary_backward (const char *name, const void *params);
void peft_kernel_check_binary (const char *name, const void *params);
void peft_kernel_check_reduce (const char *name, const void *params);
void peft_kernel_check_softmax (const char *name, const void *params);
void peft_kernel_check_softmax_backward (const char *name, const void *params);
void peft_kernel_check_lu_factor (const char *name, const void *params);
void peft_kernel_check_lu_solve (const char *name, const void *params);
void peft_kernel_check_triangular_solve (const char *name, const void *params);
void peft_kernel_check_fft (const char *name, const void *params);
