/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-dtype-public.h"

G_BEGIN_DECLS

/* Everything the library knows about a type, one row of the table in peft-dtype.c. A block type is
 * one more enum value, one more row here and its two functions. */
typedef struct
{
  const char *name;             /* "F32", also the name in safetensors files where it exists there */
  const char *safetensors_name; /* NULL: cannot be stored in a safetensors file */
  int ggml_type;                /* type number in GGUF files, -1: none */
  guint block_size;             /* values per block; 1 for plain types */
  guint block_bytes;            /* bytes per block */
  gboolean is_float;            /* plain floating-point type */
  /* Decodes n values (a multiple of block_size) to float32; NULL for integer types. */
  void (*to_f32) (const void *src, float *dst, gsize n);
  /* Encodes float32, rounding to nearest even; NULL where we do not write the type. */
  void (*from_f32) (const float *src, void *dst, gsize n);
} PeftDTypeInfo;

const PeftDTypeInfo *peft_dtype_get_info (PeftDType dtype);
gboolean peft_dtype_from_safetensors (const char *name, PeftDType *out);
gboolean peft_dtype_from_ggml (guint32 type, PeftDType *out);
/* Name of a type number of GGUF files even where we cannot read it, for messages; NULL: unknown. */
const char *peft_ggml_type_name (guint32 type);
/* Bytes of n values; FALSE on overflow or when n is no multiple of the block size. */
gboolean peft_dtype_bytes (PeftDType dtype, guint64 n, guint64 *out);

static inline gboolean
peft_dtype_is_block (PeftDType dtype)
{
  return dtype >= PEFT_DTYPE_Q4_0;
}

/* One value; the vector versions live with the cpu backend. */
float peft_bf16_to_f32 (guint16 v);
guint16 peft_f32_to_bf16 (float v); /* nearest even, NaN stays NaN */
float peft_f16_to_f32 (guint16 v);
guint16 peft_f32_to_f16 (float v);  /* nearest even, overflow to infinity */

G_END_DECLS
