/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
 * 1, 2, 3", SC11). A value depends only on (seed, stream, index): the same on every backend and at
 * any thread count. */

/* The four 32-bit words of block `counter`. */
void peft_random_block (guint64 seed, guint64 stream, guint64 counter, guint32 out[4]);
/* Word `index` of the sequence (block index / 4, word index % 4). */
guint32 peft_random_u32 (guint64 seed, guint64 stream, guint64 index);
/* Uniform in [0, 1) with 24 bits, exact in float32. */
float peft_random_uniform (guint64 seed, guint64 stream, guint64 index);

/* Fills n values; index 0 of the stream is the first. Normals by Box–Muller, on the host only. */
void peft_random_fill_uniform (guint64 seed, guint64 stream, float low, float high, float *out,
                               gsize n);
void peft_random_fill_normal (guint64 seed, guint64 stream, float mean, float std, float *out,
                              gsize n);
/* A permutation of 0 … n-1 (Fisher–Yates). */
void peft_random_permutation (guint64 seed, guint64 stream, guint32 *out, guint32 n);
/* A stream number from a name, so that every tensor has its own numbers. */
guint64 peft_random_stream (const char *name);
