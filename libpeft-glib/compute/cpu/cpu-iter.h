/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "compute/cpu/cpu-private.h"

/* Walks up to four views together, broadcasting dims of size 1 and missing leading dims. Dims that
 * lie behind one another in every view are merged, so that contiguous tensors become one long row;
 * rows are cut into pieces. */

#define CPU_ITER_VIEWS 4

typedef struct
{
  guint n_dims; /* ≥ 1; the last is the row */
  gint64 shape[PEFT_MAX_DIMS];
  gint64 n_rows;
  guint n_views;
  struct
  {
    PeftView row; /* one dim: dtype and stride of the row */
    guint8 *data;
    gint64 stride[PEFT_MAX_DIMS];
  } views[CPU_ITER_VIEWS];
} CpuIter;

/* The last view is the output and gives the shape. */
void cpu_iter_init (CpuIter *self, const PeftView *const *views, guint n_views);

static inline guint8 *
cpu_iter_row (const CpuIter *self, guint view, gint64 row)
{
  gint64 offset = 0;
  for (guint i = self->n_dims - 1; i-- > 0;)
    {
      offset += row % self->shape[i] * self->views[view].stride[i];
      row /= self->shape[i];
    }
  return self->views[view].data
         + offset * (gint64) cpu_plain_size (self->views[view].row.dtype);
}
