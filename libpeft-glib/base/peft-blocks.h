/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Codecs of the block types of GGUF files, for the table in peft-dtype.c. Sources need no
 * alignment; n is a multiple of the block size. All numbers are little-endian. */

#define PEFT_Q4_0_BLOCK 32
#define PEFT_Q4_0_BYTES 18 /* f16 d, 16 × 2 nibbles */
#define PEFT_Q4_1_BLOCK 32
#define PEFT_Q4_1_BYTES 20 /* f16 d, f16 m, 16 × 2 nibbles */
#define PEFT_Q8_0_BLOCK 32
#define PEFT_Q8_0_BYTES 34 /* f16 d, 32 × i8 */
#define PEFT_Q6_K_BLOCK 256
#define PEFT_Q6_K_BYTES 210 /* 128 low nibble pairs, 64 × 4 high bit pairs, 16 × i8 scale, f16 d */

void peft_q4_0_to_f32 (const void *src, float *dst, gsize n);
void peft_q4_1_to_f32 (const void *src, float *dst, gsize n);
void peft_q8_0_to_f32 (const void *src, float *dst, gsize n);
void peft_q6_k_to_f32 (const void *src, float *dst, gsize n);

/* d = max|x| / 127, values rounded half away from zero as other writers of the format do. A block
 * with a value that is not finite decodes to NaN. */
void peft_q8_0_from_f32 (const float *src, void *dst, gsize n);
