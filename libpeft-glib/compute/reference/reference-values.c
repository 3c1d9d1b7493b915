/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/reference/reference-private.h"

#include <math.h>
#include <string.h>
#include "compute/peft-backend.h"

static char *
data_of (const PeftView *view)
{
  return (char *) view->buffer->data + view->offset;
}

/* The innermost dim as a run of values; outer dims are walked in row-major order. */
typedef struct
{
  char *data;
  gint64 n_runs, length, stride; /* stride in values */
  gint64 index[PEFT_MAX_DIMS];
  const PeftView *view;
} Walk;

static void
walk_begin (Walk *self, const PeftView *view)
{
  *self = (Walk){ .data = data_of (view), .n_runs = 1, .length = 1, .stride = 1, .view = view };
  if (view->n_dims == 0)
    return;
  self->length = view->shape[view->n_dims - 1];
  self->stride = view->stride[view->n_dims - 1];
  for (guint i = 0; i + 1 < view->n_dims; i++)
    self->n_runs *= view->shape[i];
}

static void
walk_next (Walk *self)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (self->view->dtype);
  gint64 at = 0;

  for (guint i = self->view->n_dims - 1; self->view->n_dims > 1 && i-- > 0;)
    {
      if (++self->index[i] < self->view->shape[i])
        break;
      self->index[i] = 0;
    }
  for (guint i = 0; i + 1 < self->view->n_dims; i++)
    at += self->index[i] * self->view->stride[i];
  self->data = data_of (self->view) + at / info->block_size * info->block_bytes;
}

static void
load_run (PeftDType dtype, const char *src, gint64 stride, gint64 n, double *dst)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (dtype);
  gint64 step = stride * info->block_bytes; /* of plain types */

  if (dtype == PEFT_DTYPE_F64 && stride == 1)
    memcpy (dst, src, n * sizeof (double));
  else if (dtype == PEFT_DTYPE_F64)
    for (gint64 i = 0; i < n; i++)
      dst[i] = *(const double *) (src + i * step);
  else if (stride == 1)
    {
      g_autofree float *single = g_new (float, n);
      info->to_f32 (src, single, n);
      for (gint64 i = 0; i < n; i++)
        dst[i] = single[i];
    }
  else
    for (gint64 i = 0; i < n; i++)
      {
        float single;
        info->to_f32 (src + i * step, &single, 1);
        dst[i] = single;
      }
}

static void
store_run (PeftDType dtype, char *dst, gint64 stride, gint64 n, const double *src)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (dtype);
  gint64 step = stride * info->block_bytes;

  for (gint64 i = 0; i < n; i++)
    if (dtype == PEFT_DTYPE_F64)
      *(double *) (dst + i * step) = src[i];
    else if (dtype == PEFT_DTYPE_I32)
      *(gint32 *) (dst + i * step) = lrint (src[i]);
    else
      {
        float single = src[i];
        info->from_f32 (&single, dst + i * step, 1);
      }
}

double *
peft_reference_load (const PeftView *view)
{
  gint64 n = peft_view_n_values (view);
  double *values = g_new (double, MAX (n, 1));
  Walk walk;

  if (n == 0)
    return values;
  walk_begin (&walk, view);
  for (gint64 r = 0; r < walk.n_runs; r++, walk_next (&walk))
    load_run (view->dtype, walk.data, walk.stride, walk.length, values + r * walk.length);
  return values;
}

gint32 *
peft_reference_load_i32 (const PeftView *view)
{
  gint64 n = peft_view_n_values (view);
  gint32 *values = g_new (gint32, MAX (n, 1));
  Walk walk;

  g_assert (view->dtype == PEFT_DTYPE_I32);
  if (n == 0)
    return values;
  walk_begin (&walk, view);
  for (gint64 r = 0; r < walk.n_runs; r++, walk_next (&walk))
    for (gint64 i = 0; i < walk.length; i++)
      values[r * walk.length + i] = ((const gint32 *) walk.data)[i * walk.stride];
  return values;
}

void
peft_reference_store (const PeftView *view, const double *values)
{
  Walk walk;

  if (peft_view_n_values (view) == 0)
    return;
  walk_begin (&walk, view);
  for (gint64 r = 0; r < walk.n_runs; r++, walk_next (&walk))
    store_run (view->dtype, walk.data, walk.stride, walk.length, values + r * walk.length);
}

void
peft_reference_store_i32 (const PeftView *view, const gint32 *values)
{
  gint64 n = peft_view_n_values (view);
  g_autofree double *wide = g_new (double, MAX (n, 1));

  for (gint64 i = 0; i < n; i++)
    wide[i] = values[i];
  peft_reference_store (view, wide);
}

void
peft_reference_put (const PeftView *view, double *values, gboolean accumulate)
{
  if (accumulate)
    {
      g_autofree double *before = peft_reference_load (view);
      gint64 n = peft_view_n_values (view);

      for (gint64 i = 0; i < n; i++)
        values[i] += before[i];
    }
  peft_reference_store (view, values);
}

static char *
row_of (const PeftView *view, gint64 row)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (view->dtype);

  g_assert (view->n_dims == 2 && row >= 0 && row < view->shape[0]);
  return data_of (view) + row * view->stride[0] / info->block_size * info->block_bytes;
}

void
peft_reference_load_row (const PeftView *view, gint64 row, double *values)
{
  load_run (view->dtype, row_of (view, row), view->stride[1], view->shape[1], values);
}

void
peft_reference_store_row (const PeftView *view, gint64 row, const double *values)
{
  store_run (view->dtype, row_of (view, row), view->stride[1], view->shape[1], values);
}
