/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * PeftLoadDType:
 * @PEFT_LOAD_AUTO: weights as stored; products in bfloat16 where the device has hardware for it and
 *   the weights have 16 bits or fewer
 * @PEFT_LOAD_FLOAT32: exact mode: weights and products in float32
 * @PEFT_LOAD_BFLOAT16: products in bfloat16 where the device has hardware for it, else in float32
 * @PEFT_LOAD_FLOAT16: the same as bfloat16 for computing, as no device has float16 products yet
 *
 * The precision a model is computed in, or written with.
 *
 * Where a model is written, auto means the types that it is stored in.
 *
 * Since: 1.0
 */
typedef enum
{
  PEFT_LOAD_AUTO,
  PEFT_LOAD_FLOAT32,
  PEFT_LOAD_BFLOAT16,
  PEFT_LOAD_FLOAT16
} PeftLoadDType;

G_END_DECLS
