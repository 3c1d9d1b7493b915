/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "parity.h"

/* One argument in memory: the bytes of a whole buffer with guards, and the view in it. */
typedef struct
{
  PeftView view; /* offset and strides in `bytes`; buffer unset */
  guint8 *bytes;
  gsize size;
  gsize *offsets; /* in bytes, of every value in row-major order (of block types: of its block) */
} ParityMemory;

void parity_memory_init (ParityMemory *self, const ParityArg *arg, PeftDType dtype, guint stream);
void parity_memory_clear (ParityMemory *self);
/* Row-major values, decoded. g_free it. */
double *parity_memory_values (const ParityMemory *self);
/* 1 for every byte that belongs to a value. g_free it. */
guint8 *parity_memory_owned (const ParityMemory *self);
/* Fills in `offsets` of a view that was made elsewhere. */
void parity_memory_find_offsets (ParityMemory *self);
