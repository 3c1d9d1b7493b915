/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "compute/reference/peft-reference-backend.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/peft-error.h"
#include "compute/reference/reference-private.h"

typedef struct
{
  PeftBackend parent;
  gboolean protect;
  gsize page_size;
} ReferenceBackend;

static void (*const kernels[PEFT_N_KERNELS]) (const void *params) = {
  [PEFT_KERNEL_MATMUL] = peft_reference_matmul,
  [PEFT_KERNEL_GATHER_ROWS] = peft_reference_gather_rows,
  [PEFT_KERNEL_SCATTER_ADD_ROWS] = peft_reference_scatter_add_rows,
  [PEFT_KERNEL_RMS_NORM] = peft_reference_rms_norm,
  [PEFT_KERNEL_RMS_NORM_BACKWARD] = peft_reference_rms_norm_backward,
  [PEFT_KERNEL_ROPE] = peft_reference_rope,
  [PEFT_KERNEL_ATTENTION] = peft_reference_attention,
  [PEFT_KERNEL_ATTENTION_BACKWARD] = peft_reference_attention_backward,
  [PEFT_KERNEL_GATED] = peft_reference_gated,
  [PEFT_KERNEL_GATED_BACKWARD] = peft_reference_gated_backward,
  [PEFT_KERNEL_DROPOUT] = peft_reference_dropout,
  [PEFT_KERNEL_CROSS_ENTROPY] = peft_reference_cross_entropy,
  [PEFT_KERNEL_SUM_SQUARES] = peft_reference_sum_squares,
  [PEFT_KERNEL_ADAMW] = peft_reference_adamw,
  [PEFT_KERNEL_FILL] = peft_reference_fill,
  [PEFT_KERNEL_COPY] = peft_reference_copy,
  [PEFT_KERNEL_UNARY] = peft_reference_unary_kernel,
  [PEFT_KERNEL_UNARY_BACKWARD] = peft_reference_unary_backward,
  [PEFT_KERNEL_BINARY] = peft_reference_binary,
  [PEFT_KERNEL_REDUCE] = peft_reference_reduce,
  [PEFT_KERNEL_SOFTMAX] = peft_reference_softmax,
  [PEFT_KERNEL_SOFTMAX_BACKWARD] = peft_reference_softmax_backward,
  [PEFT_KERNEL_LU_FACTOR] = peft_reference_lu_factor,
  [PEFT_KERNEL_LU_SOLVE] = peft_reference_lu_solve,
  [PEFT_KERNEL_TRIANGULAR_SOLVE] = peft_reference_triangular_solve,
  [PEFT_KERNEL_FFT] = peft_reference_fft,
};

static gsize
mapped_size (ReferenceBackend *self, gsize size)
{
  return MAX ((size + self->page_size - 1) / self->page_size, 1) * self->page_size;
}

/* Of the pages that hold [offset, offset + length): a buffer may be large, and protecting costs
 * time for every page. */
static void
set_access (ReferenceBackend *self, PeftBuffer *buffer, gsize offset, gsize length, int access)
{
  gsize start = offset / self->page_size * self->page_size;

  if (!self->protect || length == 0)
    return;
  if (mprotect ((char *) buffer->data + start, mapped_size (self, offset + length - start), access)
      != 0)
    g_assert_not_reached ();
}

static gboolean
reference_buffer_alloc (PeftBackend *backend, PeftBuffer *buffer, GError **error)
{
  ReferenceBackend *self = (ReferenceBackend *) backend;
  void *data = MAP_FAILED;

  if (buffer->size <= G_MAXSSIZE)
    data = mmap (NULL, mapped_size (self, buffer->size),
                 self->protect ? PROT_NONE : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                 -1, 0);
  if (data == MAP_FAILED)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY,
                   _ ("cannot allocate %zu bytes"), buffer->size);
      return FALSE;
    }
  buffer->data = data;
  return TRUE;
}

static void
reference_buffer_free (PeftBackend *backend, PeftBuffer *buffer)
{
  munmap (buffer->data, mapped_size ((ReferenceBackend *) backend, buffer->size));
}

static void
reference_upload (PeftBackend *backend, PeftBuffer *buffer, gsize offset, gconstpointer src,
                  gsize length)
{
  ReferenceBackend *self = (ReferenceBackend *) backend;

  set_access (self, buffer, offset, length, PROT_READ | PROT_WRITE);
  memcpy ((char *) buffer->data + offset, src, length);
  set_access (self, buffer, offset, length, PROT_NONE);
}

static void
reference_download (PeftBackend *backend, PeftBuffer *buffer, gsize offset, gpointer dst,
                    gsize length)
{
  ReferenceBackend *self = (ReferenceBackend *) backend;

  set_access (self, buffer, offset, length, PROT_READ);
  memcpy (dst, (const char *) buffer->data + offset, length);
  set_access (self, buffer, offset, length, PROT_NONE);
}

static gboolean
refuse (const char *kernel, const char *parameter, GError **error)
{
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
               _ ("the reference backend’s kernel %s does not support %s"), kernel, parameter);
  return FALSE;
}

static gboolean
supports_attention (const char *kernel, const PeftAttentionParams *p, GError **error)
{
  if (p->soft_cap != 0)
    return refuse (kernel, "soft_cap", error);
  if (p->bias.buffer)
    return refuse (kernel, "bias", error);
  if (p->slopes.buffer)
    return refuse (kernel, "slopes", error);
  if (p->cross)
    return refuse (kernel, "cross", error);
  return TRUE;
}

static gboolean
reference_supports (PeftBackend *self, PeftKernel kernel, gconstpointer params, GError **error)
{
  const PeftKernelInfo *info = peft_kernel_get_info (kernel);

  for (const PeftKernelArg *arg = info->args; arg->use != PEFT_ARG_END; arg++)
    {
      const PeftView *view = peft_kernel_arg_get_view (arg, params);
      const PeftDTypeInfo *dtype = peft_dtype_get_info (view->dtype);

      if (view->buffer && arg->use != PEFT_ARG_IN && dtype->is_float
          && view->dtype != PEFT_DTYPE_F64 && dtype->from_f32 == NULL)
        {
          g_autofree char *what = g_strdup_printf ("%s = %s", arg->name, dtype->name);
          return refuse (info->name, what, error);
        }
    }
  if (kernel == PEFT_KERNEL_ATTENTION)
    return supports_attention (info->name, params, error);
  if (kernel == PEFT_KERNEL_ATTENTION_BACKWARD)
    return supports_attention (info->name,
                               &((const PeftAttentionBackwardParams *) params)->forward, error);
  return TRUE;
}

/* Every page that an argument touches; `written` says whether of those that are only read or of the
 * others. */
static void
set_access_of_args (ReferenceBackend *self, const PeftKernelInfo *info, gconstpointer params,
                    gboolean written, int access)
{
  for (const PeftKernelArg *arg = info->args; arg->use != PEFT_ARG_END; arg++)
    {
      const PeftView *view = peft_kernel_arg_get_view (arg, params);

      if (view->buffer && (arg->use != PEFT_ARG_IN) == written)
        set_access (self, view->buffer, view->offset, peft_view_span (view), access);
    }
}

static void
reference_run (PeftBackend *backend, PeftKernel kernel, gconstpointer params)
{
  ReferenceBackend *self = (ReferenceBackend *) backend;
  const PeftKernelInfo *info = peft_kernel_get_info (kernel);

  /* Outputs last: a page may hold an input, too. */
  set_access_of_args (self, info, params, FALSE, PROT_READ);
  set_access_of_args (self, info, params, TRUE, PROT_READ | PROT_WRITE);
  kernels[kernel](params);
  set_access_of_args (self, info, params, FALSE, PROT_NONE);
  set_access_of_args (self, info, params, TRUE, PROT_NONE);
}

static gboolean
reference_sync (PeftBackend *self, GError **error)
{
  return TRUE;
}

static void
reference_finalize (PeftBackend *self)
{
  g_free (self);
}

static const PeftBackendClass reference_class = {
  .name = "reference",
  .buffer_alloc = reference_buffer_alloc,
  .buffer_free = reference_buffer_free,
  .upload = reference_upload,
  .download = reference_download,
  .supports = reference_supports,
  .run = reference_run,
  .sync = reference_sync,
  .finalize = reference_finalize,
};

PeftBackend *
peft_reference_backend_open (guint index, guint n_threads, GError **error)
{
  ReferenceBackend *self = g_new0 (ReferenceBackend, 1);

  peft_backend_init (&self->parent, &reference_class);
  self->parent.real = PEFT_DTYPE_F64;
  self->parent.isa = "float64";
  self->protect = g_strcmp0 (g_getenv ("PEFT_REFERENCE_PROTECT"), "0") != 0;
  self->page_size = sysconf (_SC_PAGESIZE);
  return &self->parent;
}

guint
peft_reference_backend_count (void)
{
  return 1;
}

char *
peft_reference_backend_describe (guint index)
{
  return g_strdup (_ ("Scalar float64 kernels"));
}

guint64
peft_reference_backend_memory (guint index)
{
  return (guint64) sysconf (_SC_PHYS_PAGES) * sysconf (_SC_PAGESIZE);
}
