/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib-object.h>
#include "compute/peft-arena.h"

/* A reference-counted tensor: a view plus what keeps its memory alive. The public part (dtype, shape,
 * bytes in and out) is declared in peft-tensor-public.h. */

#include "compute/peft-tensor-public.h"

struct _PeftTensor
{
  gint ref_count;
  PeftView view;
  PeftArena *arena;  /* NULL: the buffer is the tensor's own */
  gsize region;
  PeftTensor *base;  /* a derived view keeps its base */
};

/* From an arena; never fails on a plan arena, otherwise NULL with PEFT_ERROR_OUT_OF_MEMORY. */
PeftTensor *peft_tensor_new_in (PeftArena *arena, PeftDType dtype, guint n_dims,
                                const gint64 *shape, GError **error);
PeftTensor *peft_tensor_new_on (PeftBackend *backend, PeftDType dtype, guint n_dims,
                                const gint64 *shape, GError **error);
/* A view of a buffer, which it keeps; NULL: memory that could not be had. */
PeftTensor *peft_tensor_new_view (PeftBuffer *buffer, const PeftView *view);
/* A view of another tensor, which it keeps. */
PeftTensor *peft_tensor_derive (PeftTensor *base, const PeftView *view);

/* Whole contents, contiguous tensors only. Converts between float types where `dtype` differs. */
void peft_tensor_upload_f32 (PeftTensor *self, const float *src);
void peft_tensor_download_f32 (PeftTensor *self, float *dst);
void peft_tensor_upload_f64 (PeftTensor *self, const double *src);
void peft_tensor_download_f64 (PeftTensor *self, double *dst);
void peft_tensor_upload_i32 (PeftTensor *self, const gint32 *src);
