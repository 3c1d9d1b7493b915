/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <math.h>
#include <string.h>
#include "compute/cpu/cpu-private.h"

/* Shared by the files that are compiled once for every instruction set. Loops are plain C that the
 * compiler vectorises; only products and attention use vector types (cpu-simd.h). */

#define CPU_PASTE2(a, b) a##_##b
#define CPU_PASTE(a, b) CPU_PASTE2 (a, b)
#define CPU_FN(name) CPU_PASTE (name, CPU_ISA)

#define CPU_SIMD _Pragma ("omp simd")
#define CPU_SIMD_SUM(var) CPU_SIMD_SUM_ (omp simd reduction (+ : var))
#define CPU_SIMD_MAX(var) CPU_SIMD_SUM_ (omp simd reduction (max : var))
#define CPU_SIMD_SUM_(text) _Pragma (#text)

/* Values handled between two conversions: input and output rows stay in the first-level cache. */
#define CPU_CHUNK 1024

/* cpu-vec-convert.c: n values of any floating or block type, stride in values (1 for blocks). */
void CPU_FN (cpu_to_f32) (PeftDType dtype, const void *src, gint64 stride, float *dst, gint64 n);
void CPU_FN (cpu_from_f32) (PeftDType dtype, const float *src, void *dst, gint64 stride, gint64 n);
#define cpu_to_f32 CPU_FN (cpu_to_f32)
#define cpu_from_f32 CPU_FN (cpu_from_f32)

/* Values [first, first + n) of a row as float32: in place where they are, else in scratch. */
static inline const float *
cpu_row_in (const PeftView *view, const void *row, gint64 first, gint64 n, float *scratch)
{
  gint64 stride = view->stride[view->n_dims - 1];
  const guint8 *src = (const guint8 *) row + first * stride * (gint64) cpu_plain_size (view->dtype);

  if (view->dtype == PEFT_DTYPE_F32 && (stride == 1 || n == 1))
    return (const float *) src;
  cpu_to_f32 (view->dtype, src, stride, scratch, n);
  return scratch;
}

/* Where to write values of a row: the row itself or scratch, which cpu_row_done () then stores. */
static inline float *
cpu_row_out (const PeftView *view, void *row, gint64 first, float *scratch)
{
  if (view->dtype == PEFT_DTYPE_F32 && view->stride[view->n_dims - 1] == 1)
    return (float *) row + first;
  return scratch;
}

static inline void
cpu_row_done (const PeftView *view, void *row, gint64 first, gint64 n, const float *values)
{
  gint64 stride = view->stride[view->n_dims - 1];
  guint8 *dst = (guint8 *) row + first * stride * (gint64) cpu_plain_size (view->dtype);

  if (dst != (const guint8 *) values)
    cpu_from_f32 (view->dtype, values, dst, stride, n);
}

/* Kernels. */
void CPU_FN (cpu_matmul) (PeftCpuBackend *self, gconstpointer params);
void CPU_FN (cpu_gather_rows) (PeftCpuBackend *self, gconstpointer params);
void CPU_FN (cpu_scatter_add_rows) (PeftCpuBackend *self, gconstpointer params);
void CPU_FN (cpu_rms_norm) (PeftCpuBackend *self, gconstpointer params);
void CPU_FN (cpu_rms_norm_backward) (PeftCpuBackend *self, gconstpointer params);
void CPU_FN (cpu_rope) (PeftCpuBackend *self, gconstpointer params);
void CPU_FN (cpu_attention) (PeftCpuBackend *self, gconstpointer params);
void CPU_FN (cpu_attention_backward) (PeftCpuBackend *self, gconstpointer params);
void CPU_FN (cpu_gated) (PeftCpuBackend *self, gconstpointer params);
void CPU_FN (cpu_gated_backward) (PeftCpuBackend *self, gconstpointer params);
void CPU_FN (cpu_dropout) (PeftCpuBackend *self, gconstpointer params);
void CPU_FN (cpu_cross_entropy) (PeftCpuBackend *self, gconstpointer params);
void CPU_FN (cpu_sum_squares) (PeftCpuBackend *self, gconstpointer params);
void CPU_FN (cpu_adamw) (PeftCpuBackend *self, gconstpointer params);
void CPU_FN (cpu_fill) (PeftCpuBackend *self, gconstpointer params);
void CPU_FN (cpu_copy) (PeftCpuBackend *self, gconstpointer params);
void CPU_FN (cpu_unary) (PeftCpuBackend *self, gconstpointer params);
void CPU_FN (cpu_unary_backward) (PeftCpuBackend *self, gconstpointer params);
void CPU_FN (cpu_binary) (PeftCpuBackend *self, gconstpointer params);
void CPU_FN (cpu_reduce) (PeftCpuBackend *self, gconstpointer params);
void CPU_FN (cpu_softmax) (PeftCpuBackend *self, gconstpointer params);
void CPU_FN (cpu_softmax_backward) (PeftCpuBackend *self, gconstpointer params);
double CPU_FN (cpu_peak_f32) (guint64 n);
double CPU_FN (cpu_peak_bf16) (guint64 n);
