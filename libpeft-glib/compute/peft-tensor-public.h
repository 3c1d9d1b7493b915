/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>
#include "base/peft-dtype-public.h"
#include "base/peft-version-macros.h"

G_BEGIN_DECLS

#define PEFT_TYPE_TENSOR (peft_tensor_get_type ())

/**
 * PeftTensor:
 *
 * A multi-dimensional array of numbers.
 *
 * Tensors carry data in and out of models and files. They are immutable from outside the library and
 * have no arithmetic.
 *
 * Since: 1.0
 */
typedef struct _PeftTensor PeftTensor;

PEFT_AVAILABLE_IN_1_0
GType peft_tensor_get_type (void) G_GNUC_CONST;

PEFT_AVAILABLE_IN_1_0
PeftTensor *peft_tensor_new_from_bytes (PeftDType dtype, const gint64 *shape, guint n_dims,
                                        GBytes *bytes, GError **error);
PEFT_AVAILABLE_IN_1_0
PeftTensor *peft_tensor_ref (PeftTensor *self);
PEFT_AVAILABLE_IN_1_0
void peft_tensor_unref (PeftTensor *self);
PEFT_AVAILABLE_IN_1_0
PeftDType peft_tensor_get_dtype (PeftTensor *self);
PEFT_AVAILABLE_IN_1_0
const gint64 *peft_tensor_get_shape (PeftTensor *self, guint *n_dims);
PEFT_AVAILABLE_IN_1_0
GBytes *peft_tensor_get_bytes (PeftTensor *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftTensor, peft_tensor_unref)

G_END_DECLS
