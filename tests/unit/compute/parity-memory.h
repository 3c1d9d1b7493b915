/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "parity.h"

/* One argument in memory: the bytes of a whole buffer with guards, and the view in it. */
typedef struct
{
  PeftView view; /* offset and strides in `bytes`; buffer unset */
  guint8 *bytes;
  gsize size;
} ParityMemory;

void parity_memory_init (ParityMemory *self, const ParityArg *arg, PeftDType dtype, guint stream);
void parity_memory_clear (ParityMemory *self);
/* Row-major values, decoded. g_free it. */
double *parity_memory_values (const ParityMemory *self);
/* TRUE for every byte that belongs to a value. g_free it. */
gboolean *parity_memory_owned (const ParityMemory *self);
/* The byte offset of value `index` in row-major order (of block types: of its block). */
gsize parity_memory_offset (const ParityMemory *self, gint64 index);
