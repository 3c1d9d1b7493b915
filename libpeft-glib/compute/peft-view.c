/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/peft-view.h"

gboolean
peft_view_is_contiguous (const PeftView *self)
{
  gint64 expected = 1;

  for (guint i = self->n_dims; i-- > 0;)
    {
      if (self->shape[i] == 0)
        return TRUE;
      if (self->shape[i] > 1 && self->stride[i] != expected)
        return FALSE;
      expected *= self->shape[i];
    }
  return TRUE;
}

/* Bytes before value `index` of a view; a whole number of blocks. */
static gsize
bytes_before (const PeftView *self, gint64 index)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (self->dtype);

  g_assert (index >= 0 && index % info->block_size == 0);
  return (gsize) (index / info->block_size) * info->block_bytes;
}

gsize
peft_view_span (const PeftView *self)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (self->dtype);
  gint64 end = 1;

  for (guint i = 0; i < self->n_dims; i++)
    {
      g_assert (self->shape[i] >= 0 && self->stride[i] >= 0);
      if (self->shape[i] == 0)
        return 0;
      end += (self->shape[i] - 1) * self->stride[i];
    }
  return (gsize) ((end + info->block_size - 1) / info->block_size) * info->block_bytes;
}

void
peft_view_init (PeftView *self, PeftBuffer *buffer, gsize offset, PeftDType dtype, guint n_dims,
                const gint64 *shape)
{
  gint64 stride = 1;

  g_assert (n_dims <= PEFT_MAX_DIMS);
  *self = (PeftView){ .buffer = buffer, .offset = offset, .dtype = dtype, .n_dims = n_dims };
  for (guint i = n_dims; i-- > 0;)
    {
      g_assert (shape[i] >= 0);
      self->shape[i] = shape[i];
      self->stride[i] = stride;
      stride *= shape[i];
    }
  if (n_dims > 0)
    bytes_before (self, self->shape[n_dims - 1]);
}

/* Old dims are matched with new ones in groups of equal products, as a group without gaps can be cut anew
 * in any way. */
PeftView
peft_view_reshape (const PeftView *self, guint n_dims, const gint64 *shape)
{
  PeftView out;
  gint64 old_shape[PEFT_MAX_DIMS], old_stride[PEFT_MAX_DIMS];
  guint n_old = 0, o = 0, n = 0;

  peft_view_init (&out, self->buffer, self->offset, self->dtype, n_dims, shape);
  g_assert (peft_view_n_values (&out) == peft_view_n_values (self));
  if (peft_view_is_contiguous (self))
    return out;

  for (guint i = 0; i < self->n_dims; i++)
    if (self->shape[i] != 1)
      {
        old_shape[n_old] = self->shape[i];
        old_stride[n_old++] = self->stride[i];
      }
  while (n < n_dims)
    {
      guint o_end = o, n_end = n;
      gint64 old_size = 1, new_size = 1, stride;

      if (shape[n] == 1)
        {
          n++;
          continue;
        }
      do
        if (old_size < new_size || o_end == o)
          {
            g_assert (o_end < n_old);
            old_size *= old_shape[o_end++];
          }
        else
          {
            g_assert (n_end < n_dims);
            new_size *= shape[n_end++];
          }
      while (old_size != new_size || n_end == n);

      for (guint i = o; i + 1 < o_end; i++)
        g_assert (old_stride[i] == old_shape[i + 1] * old_stride[i + 1]);
      stride = old_stride[o_end - 1];
      for (guint i = n_end; i-- > n;)
        {
          out.stride[i] = stride;
          stride *= shape[i];
        }
      o = o_end;
      n = n_end;
    }
  return out;
}

PeftView
peft_view_slice (const PeftView *self, guint dim, gint64 start, gint64 length)
{
  PeftView out = *self;

  g_assert (dim < self->n_dims);
  g_assert (start >= 0 && length >= 0 && start <= self->shape[dim] - length);
  out.shape[dim] = length;
  out.offset += bytes_before (self, start * self->stride[dim]);
  if (dim == self->n_dims - 1)
    bytes_before (self, length);
  return out;
}

PeftView
peft_view_permute (const PeftView *self, const guint *order)
{
  PeftView out = *self;
  guint seen = 0;

  for (guint i = 0; i < self->n_dims; i++)
    {
      g_assert (order[i] < self->n_dims);
      seen |= 1u << order[i];
      out.shape[i] = self->shape[order[i]];
      out.stride[i] = self->stride[order[i]];
    }
  g_assert (seen == (1u << self->n_dims) - 1);
  g_assert (!peft_dtype_is_block (self->dtype) || order[self->n_dims - 1] == self->n_dims - 1);
  return out;
}

PeftView
peft_view_transpose (const PeftView *self)
{
  guint order[PEFT_MAX_DIMS] = { 0, 1, 2, 3 };

  g_assert (self->n_dims >= 2);
  order[self->n_dims - 2] = self->n_dims - 1;
  order[self->n_dims - 1] = self->n_dims - 2;
  return peft_view_permute (self, order);
}
