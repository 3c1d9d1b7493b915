/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* The only door to oneDNN: single-threaded matrix products of one tile, c (+)= alpha · a · op (b)
 * (+ bias), c with rows of n values. */

typedef struct _CpuOnednn CpuOnednn;
typedef struct _CpuOnednnProduct CpuOnednnProduct;

/* What a product depends on. Compared byte by byte: clear it before filling it in. */
typedef struct
{
  gint64 m, n, k, a_stride, b_stride;
  float alpha;
  guint8 trans_b;
  guint8 bf16; /* a and b are bfloat16, else float32 */
  guint8 accumulate;
  guint8 c_bf16; /* else float32 */
  guint8 bias; /* 0: none, 1: float32, 2: bfloat16; only with alpha 1 */
} CpuOnednnKey;

/* NULL where oneDNN has nothing fast for this instruction set, or was already limited to another. */
CpuOnednn *cpu_onednn_new (const char *isa, guint n_threads);
void cpu_onednn_free (CpuOnednn *self);

/* NULL when oneDNN has no blocked implementation; the caller then uses its own. Valid until the
 * next call. */
CpuOnednnProduct *cpu_onednn_get (CpuOnednn *self, const CpuOnednnKey *key);
gsize cpu_onednn_product_scratch (const CpuOnednnProduct *product);
/* Threads may run the same product side by side. scratch is 64-byte aligned. */
void cpu_onednn_product_run (const CpuOnednnProduct *product, guint thread, gconstpointer a,
                             gconstpointer b, gpointer c, gconstpointer bias, gpointer scratch);
