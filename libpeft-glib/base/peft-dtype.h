/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-version-macros.h"

G_BEGIN_DECLS

/**
 * PeftDType:
 *
 * Element and block types of tensors.
 *
 * Types from `PEFT_DTYPE_Q4_0` on are block types of GGUF files: several values share a scale.
 * Such a tensor can only be the weight of a matrix product or the table of a row gather.
 */
typedef enum
{
  PEFT_DTYPE_F64,
  PEFT_DTYPE_F32,
  PEFT_DTYPE_F16,
  PEFT_DTYPE_BF16,
  PEFT_DTYPE_F8_E4M3,
  PEFT_DTYPE_F8_E5M2,
  PEFT_DTYPE_I64,
  PEFT_DTYPE_I32,
  PEFT_DTYPE_I16,
  PEFT_DTYPE_I8,
  PEFT_DTYPE_U64,
  PEFT_DTYPE_U32,
  PEFT_DTYPE_U16,
  PEFT_DTYPE_U8,
  PEFT_DTYPE_BOOL,
  PEFT_DTYPE_Q4_0,
  PEFT_DTYPE_Q4_1,
  PEFT_DTYPE_Q8_0,
  PEFT_DTYPE_Q6_K,
  PEFT_N_DTYPES
} PeftDType;

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
