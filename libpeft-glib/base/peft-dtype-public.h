/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * PeftDType:
 * @PEFT_DTYPE_F64: 64-bit floating point
 * @PEFT_DTYPE_F32: 32-bit floating point
 * @PEFT_DTYPE_F16: 16-bit floating point (IEEE half)
 * @PEFT_DTYPE_BF16: bfloat16: the upper half of a float32
 * @PEFT_DTYPE_F8_E4M3: 8-bit floating point with 4 exponent bits
 * @PEFT_DTYPE_F8_E5M2: 8-bit floating point with 5 exponent bits
 * @PEFT_DTYPE_I64: 64-bit integer
 * @PEFT_DTYPE_I32: 32-bit integer
 * @PEFT_DTYPE_I16: 16-bit integer
 * @PEFT_DTYPE_I8: 8-bit integer
 * @PEFT_DTYPE_U64: unsigned 64-bit integer
 * @PEFT_DTYPE_U32: unsigned 32-bit integer
 * @PEFT_DTYPE_U16: unsigned 16-bit integer
 * @PEFT_DTYPE_U8: unsigned 8-bit integer
 * @PEFT_DTYPE_BOOL: one byte, 0 or 1
 * @PEFT_DTYPE_Q4_0: blocks of 32 values of 4 bits with a scale
 * @PEFT_DTYPE_Q4_1: blocks of 32 values of 4 bits with a scale and a minimum
 * @PEFT_DTYPE_Q8_0: blocks of 32 values of 8 bits with a scale
 * @PEFT_DTYPE_Q6_K: blocks of 256 values of 6 bits with scales of 16 values each
 *
 * Element and block types of tensors.
 *
 * Types from `PEFT_DTYPE_Q4_0` on are block types of GGUF files: several values share a scale.
 * Such a tensor can only be the weight of a matrix product or the table of a row gather.
 *
 * Since: 1.0
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
#ifndef __GI_SCANNER__
  PEFT_N_DTYPES /*< skip >*/
#endif
} PeftDType;

G_END_DECLS
