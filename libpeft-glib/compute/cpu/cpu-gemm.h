/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "compute/cpu/cpu-vec.h"
#include "compute/cpu/cpu-simd.h"

/* Our own matrix product. A tile of C is computed by a micro-kernel that keeps GEMM_MR rows × 2
 * vectors of sums in registers, from panels that are converted to the computing type first:
 *   A: rows of GEMM_A_STRIDE units, one after the other
 *   B: units side by side, [k][GEMM_NR]
 * A unit is 32 bits: one float32, or two bfloat16 values with neighbouring k, which the hardware
 * multiplies and adds to float32 in one instruction. */

#if CPU_VL == 16
#define GEMM_MR 14
#else
#define GEMM_MR 6
#endif
#define GEMM_NR (2 * CPU_VL)
/* Units of k that one pass over a tile takes. A multiple of every block type's size. */
#define GEMM_KC 512
/* Not a power of two, or rows would share cache sets. */
#define GEMM_A_STRIDE (GEMM_KC + 16)

/* A matrix of one product, [rows, k] with k along lines, or [k, rows]. */
typedef struct
{
  const guint8 *data;
  PeftDType dtype;
  gint64 stride;    /* values from line to line */
  gboolean k_lines; /* lines run along k */
  gint64 n_rows, k;
} GemmMatrix;

/* Where a tile goes: c (+)= alpha · sums (+ bias). */
typedef struct
{
  guint8 *data;
  PeftDType dtype;
  gint64 stride;
  const guint8 *bias;
  PeftDType bias_dtype;
  gint64 bias_stride;
  float alpha;
  gboolean accumulate;
} GemmOutput;

typedef struct
{
  GemmMatrix a, b;
  GemmOutput c;
  gint64 m, n, k;
  gboolean bf16;
} GemmProblem;

/* cpu-vec-gemm-pack.c. units: how many of k, from k unit `first`. Rows beyond the matrix are 0. */
void CPU_FN (gemm_pack_a) (const GemmMatrix *a, gboolean bf16, gint64 row, gint64 rows,
                           gint64 first, gint64 units, guint32 *restrict out, guint32 *temp);
void CPU_FN (gemm_pack_b) (const GemmMatrix *b, gboolean bf16, gint64 row, gint64 rows,
                           gint64 first, gint64 units, guint32 *restrict out, guint32 *temp);
#define gemm_pack_a CPU_FN (gemm_pack_a)
#define gemm_pack_b CPU_FN (gemm_pack_b)

/* cpu-vec-gemm-kernel.c: `rows` ≤ GEMM_MR rows × `columns` ≤ GEMM_NR columns at (row, column) of c. */
void CPU_FN (gemm_kernel) (gboolean bf16, gint64 rows, gint64 columns, gint64 units,
                           const guint32 *a, const guint32 *b, gint64 b_stride,
                           const GemmOutput *c, gint64 row, gint64 column);
#define gemm_kernel CPU_FN (gemm_kernel)

/* n values to bfloat16. */
void CPU_FN (gemm_to_bf16) (const float *restrict src, guint16 *restrict dst, gint64 n);
#define gemm_to_bf16 CPU_FN (gemm_to_bf16)

/* cpu-vec-matmul-onednn.c: computes the first rows of c, returns how many (0: none). */
gint64 CPU_FN (gemm_by_onednn) (PeftCpuBackend *self, const GemmProblem *problem, gboolean split);
#define gemm_by_onednn CPU_FN (gemm_by_onednn)

/* cpu-vec-gemv.c: m ≤ GEMV_MAX_M rows of a against all rows of b, streamed once. */
#define GEMV_MAX_M 4
void CPU_FN (gemv_run) (PeftCpuBackend *self, const GemmProblem *problem);
#define gemv_run CPU_FN (gemv_run)
