/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-dtype.h"

/* What kernels see of a tensor: a plain description of memory on one backend. Nothing above compute/
 * may look into a buffer; transfers go through the backend. */

#define PEFT_MAX_DIMS 4

typedef struct _PeftBuffer PeftBuffer;

typedef struct
{
  PeftBuffer *buffer; /* NULL: the argument is absent */
  gsize offset;       /* bytes */
  PeftDType dtype;
  guint n_dims;
  gint64 shape[PEFT_MAX_DIMS];  /* outermost first */
  gint64 stride[PEFT_MAX_DIMS]; /* in values; of a block type the last is 1 and the others count
                                   values, too (a multiple of the block size) */
} PeftView;

static inline gint64
peft_view_n_values (const PeftView *self)
{
  gint64 n = 1;
  for (guint i = 0; i < self->n_dims; i++)
    n *= self->shape[i];
  return n;
}

gboolean peft_view_is_contiguous (const PeftView *self);
/* Bytes from the offset to the end of the last value. */
gsize peft_view_span (const PeftView *self);
/* A contiguous view; shape has n_dims entries. */
void peft_view_init (PeftView *self, PeftBuffer *buffer, gsize offset, PeftDType dtype, guint n_dims,
                     const gint64 *shape);
/* Derived views; programmer errors (out of range, not expressible) abort by g_assert. */
PeftView peft_view_reshape (const PeftView *self, guint n_dims, const gint64 *shape);
PeftView peft_view_slice (const PeftView *self, guint dim, gint64 start, gint64 length);
PeftView peft_view_permute (const PeftView *self, const guint *order);
PeftView peft_view_transpose (const PeftView *self); /* swaps the last two */
