/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "compute/peft-backend.h"

#include <glib/gi18n-lib.h>
#include <string.h>
#include "base/peft-error.h"

static gboolean
host_buffer_alloc (PeftBackend *self, PeftBuffer *buffer, GError **error)
{
  buffer->data = g_try_malloc0 (MAX (buffer->size, 1));
  if (buffer->data == NULL)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY,
                 _ ("cannot allocate %zu bytes"), buffer->size);
  return buffer->data != NULL;
}

static gboolean
host_buffer_import (PeftBackend *self, PeftBuffer *buffer, gconstpointer data, GError **error)
{
  buffer->data = (gpointer) data;
  return TRUE;
}

static void
host_buffer_free (PeftBackend *self, PeftBuffer *buffer)
{
  if (!buffer->imported)
    g_free (buffer->data);
}

static void
host_upload (PeftBackend *self, PeftBuffer *buffer, gsize offset, gconstpointer src, gsize length)
{
  g_assert (!buffer->imported);
  memcpy ((char *) buffer->data + offset, src, length);
}

static void
host_download (PeftBackend *self, PeftBuffer *buffer, gsize offset, gpointer dst, gsize length)
{
  memcpy (dst, (const char *) buffer->data + offset, length);
}

static gboolean
host_supports (PeftBackend *self, PeftKernel kernel, gconstpointer params, GError **error)
{
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED, _ ("%s: host memory has no kernels"),
               peft_kernel_get_info (kernel)->name);
  return FALSE;
}

static void
host_run (PeftBackend *self, PeftKernel kernel, gconstpointer params)
{
  g_assert_not_reached ();
}

static gboolean
host_sync (PeftBackend *self, GError **error)
{
  return TRUE;
}

static void
host_finalize (PeftBackend *self)
{
  g_assert_not_reached ();
}

static const PeftBackendClass host_class = {
  .name = "host",
  .buffer_alloc = host_buffer_alloc,
  .buffer_import = host_buffer_import,
  .buffer_free = host_buffer_free,
  .upload = host_upload,
  .download = host_download,
  .supports = host_supports,
  .run = host_run,
  .sync = host_sync,
  .finalize = host_finalize,
};

PeftBackend *
peft_host_backend_get (void)
{
  static PeftBackend backend;
  static gsize initialized;

  if (g_once_init_enter (&initialized))
    {
      peft_backend_init (&backend, &host_class);
      g_once_init_leave (&initialized, 1);
    }
  return &backend;
}
