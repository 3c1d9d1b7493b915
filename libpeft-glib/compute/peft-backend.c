/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "compute/peft-backend.h"

#include <glib/gi18n-lib.h>
#include <string.h>
#include "base/peft-error.h"
#include "compute/cpu/peft-cpu-backend.h"
#include "compute/reference/peft-reference-backend.h"

static const PeftBackendInfo backends[] = {
  { "cpu", N_ ("The processor"), peft_cpu_backend_open, peft_cpu_backend_count,
    peft_cpu_backend_describe, peft_cpu_backend_memory },
  { "reference", N_ ("Slow and exact, for tests"), peft_reference_backend_open,
    peft_reference_backend_count, peft_reference_backend_describe, peft_reference_backend_memory },
};

/* What "auto" may choose, best first. */
static const char *const automatic[] = { "cpu" };

const PeftBackendInfo *
peft_backend_list (guint *n)
{
  *n = G_N_ELEMENTS (backends);
  return backends;
}

static PeftBackend *
open_automatic (guint n_threads, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (automatic); i++)
    for (guint j = 0; j < G_N_ELEMENTS (backends); j++)
      if (g_str_equal (automatic[i], backends[j].name) && backends[j].count () > 0)
        {
          g_debug ("device auto: %s", backends[j].name);
          return backends[j].open (0, n_threads, error);
        }
  g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_DEVICE, _ ("No compute device was found"));
  return NULL;
}

PeftBackend *
peft_backend_open (const char *device, guint n_threads, GError **error)
{
  const char *colon = strchr (device, ':');
  g_autofree char *name = colon ? g_strndup (device, colon - device) : g_strdup (device);
  g_autoptr (GString) known = NULL;
  guint64 index = 0;

  if (colon && !g_ascii_string_to_unsigned (colon + 1, 10, 0, G_MAXINT, &index, NULL))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("device “%s”: expected a number after the colon"), device);
      return NULL;
    }
  if (g_str_equal (device, "auto"))
    return open_automatic (n_threads, error);

  known = g_string_new ("auto");
  for (guint i = 0; i < G_N_ELEMENTS (backends); i++)
    {
      guint count;

      g_string_append_printf (known, ", %s", backends[i].name);
      if (!g_str_equal (name, backends[i].name))
        continue;
      count = backends[i].count ();
      if (index >= count)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_DEVICE,
                       ngettext ("device “%s”: only %u device of this kind is there",
                                 "device “%s”: only %u devices of this kind are there", count),
                       device, count);
          return NULL;
        }
      return backends[i].open (index, n_threads, error);
    }
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
               _ ("unknown device “%s”: expected one of %s"), device, known->str);
  return NULL;
}

void
peft_backend_init (PeftBackend *self, const PeftBackendClass *klass)
{
  *self = (PeftBackend){ .klass = klass, .ref_count = 1, .real = PEFT_DTYPE_F32, .isa = "none" };
}

PeftBackend *
peft_backend_ref (PeftBackend *self)
{
  g_atomic_int_inc (&self->ref_count);
  return self;
}

void
peft_backend_unref (PeftBackend *self)
{
  if (!g_atomic_int_dec_and_test (&self->ref_count))
    return;
  g_clear_pointer (&self->profile, g_free);
  g_clear_error (&self->deferred);
  self->klass->finalize (self);
}

PeftBuffer *
peft_buffer_new (PeftBackend *backend, gsize size, GError **error)
{
  g_autofree PeftBuffer *self = g_new0 (PeftBuffer, 1);

  *self = (PeftBuffer){ .backend = backend, .size = size, .ref_count = 1 };
  if (!backend->klass->buffer_alloc (backend, self, error))
    return NULL;
  peft_backend_ref (backend);
  return g_steal_pointer (&self);
}

PeftBuffer *
peft_buffer_new_from_host (PeftBackend *backend, gconstpointer data, gsize size,
                           GDestroyNotify destroy, gpointer destroy_data, GError **error)
{
  g_autofree PeftBuffer *self = NULL;

  if (backend->klass->buffer_import == NULL)
    {
      self = peft_buffer_new (backend, size, error);
      if (self != NULL)
        peft_buffer_upload (self, 0, data, size);
      if (destroy)
        destroy (destroy_data);
      return g_steal_pointer (&self);
    }

  self = g_new0 (PeftBuffer, 1);
  *self = (PeftBuffer){ .backend = backend, .size = size, .ref_count = 1, .imported = TRUE };
  if (!backend->klass->buffer_import (backend, self, data, error))
    {
      if (destroy)
        destroy (destroy_data);
      return NULL;
    }
  self->destroy = destroy;
  self->destroy_data = destroy_data;
  peft_backend_ref (backend);
  return g_steal_pointer (&self);
}

PeftBuffer *
peft_buffer_ref (PeftBuffer *self)
{
  g_atomic_int_inc (&self->ref_count);
  return self;
}

void
peft_buffer_unref (PeftBuffer *self)
{
  if (!g_atomic_int_dec_and_test (&self->ref_count))
    return;
  self->backend->klass->buffer_free (self->backend, self);
  if (self->destroy)
    self->destroy (self->destroy_data);
  peft_backend_unref (self->backend);
  g_free (self);
}

void
peft_buffer_upload (PeftBuffer *self, gsize offset, gconstpointer src, gsize length)
{
  g_assert (offset <= self->size && length <= self->size - offset);
  if (length > 0)
    self->backend->klass->upload (self->backend, self, offset, src, length);
}

void
peft_buffer_download (PeftBuffer *self, gsize offset, gpointer dst, gsize length)
{
  g_assert (offset <= self->size && length <= self->size - offset);
  if (length > 0)
    self->backend->klass->download (self->backend, self, offset, dst, length);
}

/* Waits so that the time that follows is one kernel's alone. */
static void
settle (PeftBackend *self)
{
  g_autoptr (GError) error = NULL;

  if (!self->klass->sync (self, &error) && self->deferred == NULL)
    self->deferred = g_steal_pointer (&error);
}

void
peft_backend_run (PeftBackend *self, PeftKernel kernel, gconstpointer params)
{
  const PeftKernelInfo *info = peft_kernel_get_info (kernel);
  gint64 start;

  for (const PeftKernelArg *arg = info->args; arg->use != PEFT_ARG_END; arg++)
    {
      const PeftView *view = peft_kernel_arg_get_view (arg, params);
      /* A plan backend reads nothing, so weights may stay where they are. */
      g_assert (view->buffer == NULL || view->buffer->backend == self
                || peft_backend_is_plan (self));
    }
  peft_kernel_check (kernel, params);
  if (self->profile == NULL)
    {
      self->klass->run (self, kernel, params);
      return;
    }

  settle (self);
  start = g_get_monotonic_time ();
  self->klass->run (self, kernel, params);
  settle (self);
  self->profile[kernel].calls++;
  self->profile[kernel].seconds += (g_get_monotonic_time () - start) * 1e-6;
  self->profile[kernel].flops += peft_kernel_get_flops (kernel, params);
  self->profile[kernel].bytes += peft_kernel_get_bytes (kernel, params);
}

gboolean
peft_backend_supports (PeftBackend *self, PeftKernel kernel, gconstpointer params, GError **error)
{
  return self->klass->supports (self, kernel, params, error);
}

gboolean
peft_backend_sync (PeftBackend *self, GError **error)
{
  if (self->deferred)
    {
      g_propagate_error (error, g_steal_pointer (&self->deferred));
      return FALSE;
    }
  return self->klass->sync (self, error);
}

void
peft_backend_set_profiling (PeftBackend *self, gboolean enabled)
{
  g_clear_pointer (&self->profile, g_free);
  if (enabled)
    self->profile = g_new0 (PeftKernelProfile, PEFT_N_KERNELS);
}
