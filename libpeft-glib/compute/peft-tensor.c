/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "compute/peft-tensor.h"

#include <glib/gi18n-lib.h>
#include <string.h>
#include "base/peft-checked.h"
#include "base/peft-error.h"

/* Values converted at a time on the way to and from a device. */
#define CHUNK 4096

G_DEFINE_BOXED_TYPE (PeftTensor, peft_tensor, peft_tensor_ref, peft_tensor_unref)

static PeftTensor *
tensor_new (const PeftView *view)
{
  PeftTensor *self = g_new0 (PeftTensor, 1);

  self->ref_count = 1;
  self->view = *view;
  return self;
}

/* A contiguous view without a buffer; FALSE when its size overflows or cuts a block. */
static gboolean
shape_to_view (PeftView *view, PeftDType dtype, guint n_dims, const gint64 *shape, gsize *bytes)
{
  guint64 n = 1, size;

  for (guint i = 0; i < n_dims; i++)
    if (shape[i] < 0 || !peft_checked_mul (n, shape[i], &n))
      return FALSE;
  if (n_dims > 0 && shape[n_dims - 1] % peft_dtype_get_info (dtype)->block_size != 0)
    return FALSE;
  if (!peft_dtype_bytes (dtype, n, &size) || size > G_MAXSSIZE)
    return FALSE;
  peft_view_init (view, NULL, 0, dtype, n_dims, shape);
  *bytes = size;
  return TRUE;
}

/**
 * peft_tensor_new_from_bytes:
 * @dtype: the type of the numbers
 * @shape: (array length=n_dims): the size of every dimension, outermost first
 * @n_dims: the number of dimensions, at most 4
 * @bytes: the numbers in row-major order, little-endian
 * @error: return location for an error
 *
 * Makes a tensor of data in memory, which it keeps without copying.
 *
 * It is an error when the size of @bytes is not the one that @dtype and @shape ask for.
 *
 * Returns: (transfer full): a new tensor
 *
 * Since: 1.0
 */
PeftTensor *
peft_tensor_new_from_bytes (PeftDType dtype, const gint64 *shape, guint n_dims, GBytes *bytes,
                            GError **error)
{
  PeftView view;
  gsize expected, size;
  gconstpointer data;

  g_return_val_if_fail (dtype < PEFT_N_DTYPES, NULL);
  g_return_val_if_fail (shape != NULL || n_dims == 0, NULL);
  g_return_val_if_fail (bytes != NULL, NULL);

  if (n_dims > PEFT_MAX_DIMS)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_SHAPE_MISMATCH,
                   _ ("a tensor has at most %d dimensions, found %u"), PEFT_MAX_DIMS, n_dims);
      return NULL;
    }
  if (!shape_to_view (&view, dtype, n_dims, shape, &expected))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_SHAPE_MISMATCH,
                   _ ("the shape is negative, too large or cuts a block of type %s"),
                   peft_dtype_get_info (dtype)->name);
      return NULL;
    }
  data = g_bytes_get_data (bytes, &size);
  if (size != expected)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_SHAPE_MISMATCH,
                   _ ("the shape needs %zu bytes, found %zu"),
                   expected, size);
      return NULL;
    }
  view.buffer = peft_buffer_new_from_host (peft_host_backend_get (), data, size,
                                           (GDestroyNotify) g_bytes_unref, g_bytes_ref (bytes),
                                           error);
  return view.buffer ? tensor_new (&view) : NULL;
}

PeftTensor *
peft_tensor_new_in (PeftArena *arena, PeftDType dtype, guint n_dims, const gint64 *shape,
                    GError **error)
{
  PeftTensor *self;
  PeftView view;
  PeftBuffer *buffer;
  gsize bytes, offset;

  if (!shape_to_view (&view, dtype, n_dims, shape, &bytes)
      || !peft_arena_alloc (arena, bytes, &buffer, &offset))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY,
                   _ ("the run's memory is too small: %zu bytes are in use"),
                   peft_arena_get_in_use (arena));
      return NULL;
    }
  view.buffer = buffer;
  view.offset = offset;
  self = tensor_new (&view);
  self->arena = peft_arena_ref (arena);
  self->region = offset;
  return self;
}

PeftTensor *
peft_tensor_new_on (PeftBackend *backend, PeftDType dtype, guint n_dims, const gint64 *shape,
                    GError **error)
{
  PeftView view;
  gsize bytes;

  if (!shape_to_view (&view, dtype, n_dims, shape, &bytes))
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY,
                           _ ("a tensor is larger than the address space"));
      return NULL;
    }
  view.buffer = peft_buffer_new (backend, bytes, error);
  return view.buffer ? tensor_new (&view) : NULL;
}

PeftTensor *
peft_tensor_new_view (PeftBuffer *buffer, const PeftView *view)
{
  PeftTensor *self = tensor_new (view);

  self->view.buffer = buffer != NULL ? peft_buffer_ref (buffer) : NULL;
  return self;
}

PeftTensor *
peft_tensor_derive (PeftTensor *base, const PeftView *view)
{
  PeftTensor *self = tensor_new (view);

  g_assert (view->buffer == base->view.buffer);
  self->base = peft_tensor_ref (base);
  return self;
}

/**
 * peft_tensor_ref:
 * @self: a tensor
 *
 * Takes another reference.
 *
 * Returns: (transfer full): @self
 *
 * Since: 1.0
 */
PeftTensor *
peft_tensor_ref (PeftTensor *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  g_atomic_int_inc (&self->ref_count);
  return self;
}

/**
 * peft_tensor_unref:
 * @self: (transfer full): a tensor
 *
 * Gives a reference back.
 *
 * Since: 1.0
 */
void
peft_tensor_unref (PeftTensor *self)
{
  g_return_if_fail (self != NULL);

  if (!g_atomic_int_dec_and_test (&self->ref_count))
    return;
  if (self->base)
    peft_tensor_unref (self->base);
  else if (self->arena)
    {
      peft_arena_release (self->arena, self->region);
      peft_arena_unref (self->arena);
    }
  else if (self->view.buffer != NULL)
    peft_buffer_unref (self->view.buffer);
  g_free (self);
}

/**
 * peft_tensor_get_dtype:
 * @self: a tensor
 *
 * Gets the type of the numbers.
 *
 * Returns: the type
 *
 * Since: 1.0
 */
PeftDType
peft_tensor_get_dtype (PeftTensor *self)
{
  g_return_val_if_fail (self != NULL, PEFT_DTYPE_F32);

  return self->view.dtype;
}

/**
 * peft_tensor_get_shape:
 * @self: a tensor
 * @n_dims: (out): return location for the number of dimensions
 *
 * Gets the size of every dimension, outermost first.
 *
 * Returns: (array length=n_dims) (transfer none): the sizes
 *
 * Since: 1.0
 */
const gint64 *
peft_tensor_get_shape (PeftTensor *self, guint *n_dims)
{
  g_return_val_if_fail (self != NULL, NULL);
  g_return_val_if_fail (n_dims != NULL, NULL);

  *n_dims = self->view.n_dims;
  return self->view.shape;
}

/* Copies a strided block of bytes densely, dims from `dim` on. */
static char *
pack (const PeftView *view, guint dim, const char *src, char *dst)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (view->dtype);
  gboolean is_value = dim >= MIN (view->n_dims, PEFT_MAX_DIMS);
  gsize step;

  if (is_value || (peft_dtype_is_block (view->dtype) && dim == view->n_dims - 1))
    {
      gsize n = is_value ? info->block_bytes
                         : view->shape[dim] / info->block_size * info->block_bytes;
      memcpy (dst, src, n);
      return dst + n;
    }
  step = (gsize) (view->stride[dim] / info->block_size) * info->block_bytes;
  for (gint64 i = 0; i < view->shape[dim]; i++)
    dst = pack (view, dim + 1, src + i * step, dst);
  return dst;
}

/**
 * peft_tensor_get_bytes:
 * @self: a tensor
 *
 * Gets the numbers in row-major order, little-endian.
 *
 * Returns: (transfer full): the data
 *
 * Since: 1.0
 */
GBytes *
peft_tensor_get_bytes (PeftTensor *self)
{
  gsize span;
  guint64 size;
  g_autofree char *data = NULL;
  char *packed;

  g_return_val_if_fail (self != NULL, NULL);

  span = peft_view_span (&self->view);
  data = g_malloc (MAX (span, 1));
  peft_buffer_download (self->view.buffer, self->view.offset, data, span);
  if (peft_view_is_contiguous (&self->view))
    return g_bytes_new_take (g_steal_pointer (&data), span);

  peft_dtype_bytes (self->view.dtype, peft_view_n_values (&self->view), &size);
  packed = g_malloc (size);
  pack (&self->view, 0, data, packed);
  return g_bytes_new_take (packed, size);
}

/* Values start … start + n between a host array of `type` and the tensor. */
static void
upload_chunk (PeftTensor *self, gsize start, gsize n, const double *src)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (self->view.dtype);
  float single[CHUNK];
  double bytes[CHUNK]; /* of any plain float type */

  if (self->view.dtype == PEFT_DTYPE_F64)
    memcpy (bytes, src, n * sizeof (double));
  else
    {
      for (gsize i = 0; i < n; i++)
        single[i] = src[i];
      info->from_f32 (single, bytes, n);
    }
  peft_buffer_upload (self->view.buffer, self->view.offset + start * info->block_bytes, bytes,
                      n * info->block_bytes);
}

static void
download_chunk (PeftTensor *self, gsize start, gsize n, double *dst)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (self->view.dtype);
  float single[CHUNK];
  double bytes[CHUNK];

  peft_buffer_download (self->view.buffer, self->view.offset + start * info->block_bytes, bytes,
                        n * info->block_bytes);
  if (self->view.dtype == PEFT_DTYPE_F64)
    {
      memcpy (dst, bytes, n * sizeof (double));
      return;
    }
  info->to_f32 (bytes, single, n);
  for (gsize i = 0; i < n; i++)
    dst[i] = single[i];
}

static gsize
check_transfer (PeftTensor *self)
{
  g_assert (peft_view_is_contiguous (&self->view));
  g_assert (peft_dtype_get_info (self->view.dtype)->is_float);
  return peft_view_n_values (&self->view);
}

void
peft_tensor_upload_f32 (PeftTensor *self, const float *src)
{
  gsize count = check_transfer (self);
  double chunk[CHUNK];

  if (self->view.dtype == PEFT_DTYPE_F32)
    {
      peft_buffer_upload (self->view.buffer, self->view.offset, src, count * sizeof (float));
      return;
    }
  for (gsize start = 0; start < count; start += CHUNK)
    {
      gsize n = MIN (CHUNK, count - start);
      for (gsize i = 0; i < n; i++)
        chunk[i] = src[start + i];
      upload_chunk (self, start, n, chunk);
    }
}

void
peft_tensor_download_f32 (PeftTensor *self, float *dst)
{
  gsize count = check_transfer (self);
  double chunk[CHUNK];

  if (self->view.dtype == PEFT_DTYPE_F32)
    {
      peft_buffer_download (self->view.buffer, self->view.offset, dst, count * sizeof (float));
      return;
    }
  for (gsize start = 0; start < count; start += CHUNK)
    {
      gsize n = MIN (CHUNK, count - start);
      download_chunk (self, start, n, chunk);
      for (gsize i = 0; i < n; i++)
        dst[start + i] = chunk[i];
    }
}

void
peft_tensor_upload_f64 (PeftTensor *self, const double *src)
{
  gsize count = check_transfer (self);

  for (gsize start = 0; start < count; start += CHUNK)
    upload_chunk (self, start, MIN (CHUNK, count - start), src + start);
}

void
peft_tensor_download_f64 (PeftTensor *self, double *dst)
{
  gsize count = check_transfer (self);

  for (gsize start = 0; start < count; start += CHUNK)
    download_chunk (self, start, MIN (CHUNK, count - start), dst + start);
}

void
peft_tensor_upload_i32 (PeftTensor *self, const gint32 *src)
{
  g_assert (self->view.dtype == PEFT_DTYPE_I32 && peft_view_is_contiguous (&self->view));
  peft_buffer_upload (self->view.buffer, self->view.offset, src,
                      peft_view_n_values (&self->view) * sizeof (gint32));
}
