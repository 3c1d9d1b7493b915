/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/peft-backend.h"

#include <string.h>

typedef struct
{
  PeftBackend parent;
  PeftBackend *real;
  GError *refusal;
} PlanBackend;

static gboolean
plan_buffer_alloc (PeftBackend *self, PeftBuffer *buffer, GError **error)
{
  return TRUE;
}

static gboolean
plan_buffer_import (PeftBackend *self, PeftBuffer *buffer, gconstpointer data, GError **error)
{
  return TRUE;
}

static void
plan_buffer_free (PeftBackend *self, PeftBuffer *buffer)
{
}

static void
plan_upload (PeftBackend *self, PeftBuffer *buffer, gsize offset, gconstpointer src, gsize length)
{
}

static void
plan_download (PeftBackend *self, PeftBuffer *buffer, gsize offset, gpointer dst, gsize length)
{
  memset (dst, 0, length);
}

static gboolean
plan_supports (PeftBackend *backend, PeftKernel kernel, gconstpointer params, GError **error)
{
  PlanBackend *self = (PlanBackend *) backend;

  return peft_backend_supports (self->real, kernel, params, error);
}

static void
plan_run (PeftBackend *backend, PeftKernel kernel, gconstpointer params)
{
  PlanBackend *self = (PlanBackend *) backend;

  if (self->refusal == NULL)
    peft_backend_supports (self->real, kernel, params, &self->refusal);
}

static gboolean
plan_sync (PeftBackend *backend, GError **error)
{
  PlanBackend *self = (PlanBackend *) backend;

  if (self->refusal == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&self->refusal));
  return FALSE;
}

static void
plan_finalize (PeftBackend *backend)
{
  PlanBackend *self = (PlanBackend *) backend;

  g_clear_error (&self->refusal);
  peft_backend_unref (self->real);
  g_free (self);
}

static const PeftBackendClass plan_class = {
  .name = "plan",
  .buffer_alloc = plan_buffer_alloc,
  .buffer_import = plan_buffer_import,
  .buffer_free = plan_buffer_free,
  .upload = plan_upload,
  .download = plan_download,
  .supports = plan_supports,
  .run = plan_run,
  .sync = plan_sync,
  .finalize = plan_finalize,
};

PeftBackend *
peft_plan_backend_new (PeftBackend *real_backend)
{
  PlanBackend *self = g_new0 (PlanBackend, 1);

  peft_backend_init (&self->parent, &plan_class);
  self->parent.real = real_backend->real;
  self->parent.has_bf16 = real_backend->has_bf16;
  self->parent.isa = real_backend->isa;
  self->real = peft_backend_ref (real_backend);
  return &self->parent;
}

gboolean
peft_backend_is_plan (PeftBackend *self)
{
  return self->klass == &plan_class;
}
