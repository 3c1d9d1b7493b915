/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>
#include "compute/peft-kernels.h"

/* A compute backend: memory, transfers and the kernels. All calls on one backend come from one
 * thread at a time. Kernels may run asynchronously; a download or sync waits for them. */

typedef struct _PeftBackend PeftBackend;
typedef struct _PeftBackendClass PeftBackendClass;

struct _PeftBuffer
{
  PeftBackend *backend;
  gsize size;
  gpointer data; /* the backend's own; meaningless to everybody else */
  gint ref_count;
  gboolean imported;
  GDestroyNotify destroy; /* of imported memory */
  gpointer destroy_data;
};

struct _PeftBackendClass
{
  const char *name;
  gboolean (*buffer_alloc) (PeftBackend *self, PeftBuffer *buffer, GError **error);
  /* Makes host memory (a mapped file) usable in place; NULL: the memory is uploaded instead. */
  gboolean (*buffer_import) (PeftBackend *self, PeftBuffer *buffer, gconstpointer data,
                             GError **error);
  void (*buffer_free) (PeftBackend *self, PeftBuffer *buffer);
  void (*upload) (PeftBackend *self, PeftBuffer *buffer, gsize offset, gconstpointer src,
                  gsize length);
  void (*download) (PeftBackend *self, PeftBuffer *buffer, gsize offset, gpointer dst,
                    gsize length);
  /* FALSE with PEFT_ERROR_UNSUPPORTED naming the kernel and the parameter. */
  gboolean (*supports) (PeftBackend *self, PeftKernel kernel, gconstpointer params, GError **error);
  void (*run) (PeftBackend *self, PeftKernel kernel, gconstpointer params);
  /* Waits; reports what failed since the last sync (PEFT_ERROR_DEVICE, …). */
  gboolean (*sync) (PeftBackend *self, GError **error);
  void (*finalize) (PeftBackend *self);
};

typedef struct
{
  guint64 calls;
  double seconds, flops, bytes;
} PeftKernelProfile;

struct _PeftBackend
{
  const PeftBackendClass *klass;
  gint ref_count;
  PeftDType real;      /* type of activations, gradients, optimiser state: F32, F64 on the reference */
  gboolean has_bf16;   /* PEFT_COMPUTE_BF16 has hardware behind it */
  const char *isa;     /* instruction set or device architecture in use, for reports and checkpoints */
  PeftKernelProfile *profile; /* [PEFT_N_KERNELS] while profiling, else NULL */
  GError *deferred; /* what a sync of the profiler reported, for the caller's next one */
};

/* For backends: fills in the common part (real F32, no bfloat16). klass->finalize frees the struct. */
void peft_backend_init (PeftBackend *self, const PeftBackendClass *klass);

PeftBackend *peft_backend_ref (PeftBackend *self);
void peft_backend_unref (PeftBackend *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftBackend, peft_backend_unref)

PeftBuffer *peft_buffer_new (PeftBackend *backend, gsize size, GError **error);
/* Wraps (cpu) or copies (devices) host memory; destroy is called once, when the buffer no longer needs
 * it or when this fails. */
PeftBuffer *peft_buffer_new_from_host (PeftBackend *backend, gconstpointer data, gsize size,
                                       GDestroyNotify destroy, gpointer destroy_data,
                                       GError **error);
PeftBuffer *peft_buffer_ref (PeftBuffer *self);
void peft_buffer_unref (PeftBuffer *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftBuffer, peft_buffer_unref)
/* Both are complete on return. */
void peft_buffer_upload (PeftBuffer *self, gsize offset, gconstpointer src, gsize length);
void peft_buffer_download (PeftBuffer *self, gsize offset, gpointer dst, gsize length);

/* The one way to run a kernel. Asserts what every backend relies on (shapes agree), accounts the
 * profile, then calls the backend. */
void peft_backend_run (PeftBackend *self, PeftKernel kernel, gconstpointer params);
gboolean peft_backend_supports (PeftBackend *self, PeftKernel kernel, gconstpointer params,
                                GError **error);
gboolean peft_backend_sync (PeftBackend *self, GError **error);
void peft_backend_set_profiling (PeftBackend *self, gboolean enabled);

/* Every backend that was built: one row each in peft-backend.c. */
typedef struct
{
  const char *name;
  const char *description;
  /* Device number N of this kind; PEFT_ERROR_DEVICE when there is none. n_threads 0: all. */
  PeftBackend *(*open) (guint index, guint n_threads, GError **error);
  guint (*count) (void);
  char *(*describe) (guint index); /* the device's own name */
  guint64 (*memory) (guint index); /* bytes */
} PeftBackendInfo;

const PeftBackendInfo *peft_backend_list (guint *n);
/* "cpu", "reference", "vulkan:1", "auto" … */
PeftBackend *peft_backend_open (const char *device, guint n_threads, GError **error);

/* A backend without memory that computes nothing: the same code runs on it to find out what memory
 * it needs and whether `real_backend` has every kernel. The first refusal is returned by sync, and
 * downloads give zeros. */
PeftBackend *peft_plan_backend_new (PeftBackend *real_backend);
gboolean peft_backend_is_plan (PeftBackend *self);

/* The host's memory without kernels, where public tensors live. (transfer none) */
PeftBackend *peft_host_backend_get (void);
