/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/peft-error.h"
#include "compute/cpu/cpu-isa.h"

#define ALIGNMENT 64
/* Buffers from this size on get huge pages: a step walks hundreds of megabytes. */
#define HUGE_PAGE (2u * 1024 * 1024)

gpointer
cpu_scratch_get (PeftCpuBackend *self, guint thread, gsize size)
{
  CpuScratch *scratch = &self->scratch[thread];

  if (scratch->size < size)
    {
      g_clear_pointer (&scratch->data, g_aligned_free);
      scratch->size = (size + HUGE_PAGE / 8 - 1) / (HUGE_PAGE / 8) * (HUGE_PAGE / 8);
      scratch->data = g_aligned_alloc (1, scratch->size, 4096);
    }
  return scratch->data;
}

gpointer
cpu_shared_scratch_get (PeftCpuBackend *self, gsize size)
{
  if (self->shared.size < size)
    {
      g_clear_pointer (&self->shared.data, g_aligned_free);
      self->shared.size = (size + HUGE_PAGE / 8 - 1) / (HUGE_PAGE / 8) * (HUGE_PAGE / 8);
      self->shared.data = g_aligned_alloc (1, self->shared.size, 4096);
    }
  return self->shared.data;
}

typedef struct
{
  PeftCpuBackend *self;
  gconstpointer data;
  CpuRangeFunc func;
  gint64 n, step;
} Range;

static void
run_range_task (gpointer data, gsize task, guint thread)
{
  const Range *range = data;
  gint64 begin = (gint64) task * range->step;

  range->func (range->self, range->data, begin, MIN (begin + range->step, range->n), thread);
}

void
cpu_run_range (PeftCpuBackend *self, gint64 n, gint64 step, CpuRangeFunc func, gconstpointer data)
{
  Range range = { self, data, func, n, step };

  if (n > 0)
    peft_thread_pool_run (self->pool, (gsize) ((n + step - 1) / step), run_range_task, &range);
}

static gboolean
buffer_alloc (PeftBackend *backend, PeftBuffer *buffer, GError **error)
{
  gsize alignment = buffer->size >= HUGE_PAGE ? HUGE_PAGE : ALIGNMENT;
  void *data = NULL;

  if (posix_memalign (&data, alignment, MAX (buffer->size, 1)) != 0)
    {
      g_autofree char *size = g_format_size (buffer->size);
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY,
                   _ ("The machine has no %s of memory left"), size);
      return FALSE;
    }
  if (alignment == HUGE_PAGE)
    madvise (data, buffer->size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
  buffer->data = data;
  return TRUE;
}

static gboolean
buffer_import (PeftBackend *backend, PeftBuffer *buffer, gconstpointer data, GError **error)
{
  buffer->data = (gpointer) data;
  return TRUE;
}

static void
buffer_free (PeftBackend *backend, PeftBuffer *buffer)
{
  if (!buffer->imported)
    free (buffer->data);
  buffer->data = NULL;
}

static void
upload (PeftBackend *backend, PeftBuffer *buffer, gsize offset, gconstpointer src, gsize length)
{
  if (length > 0)
    memcpy ((guint8 *) buffer->data + offset, src, length);
}

static void
download (PeftBackend *backend, PeftBuffer *buffer, gsize offset, gpointer dst, gsize length)
{
  if (length > 0)
    memcpy (dst, (const guint8 *) buffer->data + offset, length);
}

static void
run (PeftBackend *backend, PeftKernel kernel, gconstpointer params)
{
  PeftCpuBackend *self = (PeftCpuBackend *) backend;
  self->isa->run[kernel](self, params);
}

static gboolean
backend_sync (PeftBackend *backend, GError **error)
{
  return TRUE;
}

static void
finalize (PeftBackend *backend)
{
  PeftCpuBackend *self = (PeftCpuBackend *) backend;

  for (guint i = 0; i < self->n_threads; i++)
    g_aligned_free (self->scratch[i].data);
  g_free (self->scratch);
  g_aligned_free (self->shared.data);
  g_clear_pointer (&self->onednn, cpu_onednn_free);
  g_clear_pointer (&self->pool, peft_thread_pool_free);
  g_free (self);
}

static const PeftBackendClass cpu_class = {
  .name = "cpu",
  .buffer_alloc = buffer_alloc,
  .buffer_import = buffer_import,
  .buffer_free = buffer_free,
  .upload = upload,
  .download = download,
  .supports = cpu_supports,
  .run = run,
  .sync = backend_sync,
  .finalize = finalize,
};

guint
peft_cpu_backend_count (void)
{
  return 1;
}

char *
peft_cpu_backend_describe (guint index)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;

  /* x86; other kernels write no such line. */
  if (g_file_get_contents ("/proc/cpuinfo", &text, NULL, NULL))
    lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines != NULL && lines[i] != NULL; i++)
    {
      const char *colon = strchr (lines[i], ':');
      if (colon != NULL && g_str_has_prefix (lines[i], "model name"))
        return g_strstrip (g_strdup (colon + 1));
    }
  return g_strdup (_ ("Processor"));
}

guint64
peft_cpu_backend_memory (guint index)
{
  long pages = sysconf (_SC_PHYS_PAGES), size = sysconf (_SC_PAGESIZE);
  return pages > 0 && size > 0 ? (guint64) pages * (guint64) size : 0;
}

guint
peft_cpu_backend_get_n_threads (PeftBackend *self)
{
  return ((PeftCpuBackend *) self)->n_threads;
}

typedef struct
{
  PeftCpuBackend *self;
  double (*loop) (guint64 n);
  guint64 n;
  double *operations; /* [n_threads] */
} Peak;

static void
peak_task (gpointer data, gsize task, guint thread)
{
  const Peak *peak = data;
  peak->operations[task] = peak->loop (peak->n);
}

double
peft_cpu_backend_measure_peak (PeftBackend *backend, gboolean bf16)
{
  PeftCpuBackend *self = (PeftCpuBackend *) backend;
  double (*loop) (guint64) = bf16 ? self->isa->peak_bf16 : self->isa->peak_f32;
  g_autofree double *operations = g_new0 (double, self->n_threads);
  double best = 0;

  if (loop == NULL)
    return 0;
  Peak peak = { self, loop, 400000, operations };
  for (guint round = 0; round < 10; round++)
    {
      gint64 start = g_get_monotonic_time ();
      peft_thread_pool_run (self->pool, self->n_threads, peak_task, &peak);
      double seconds = (double) (g_get_monotonic_time () - start) * 1e-6, sum = 0;
      for (guint i = 0; i < self->n_threads; i++)
        sum += operations[i];
      best = MAX (best, sum / seconds);
    }
  return best;
}

/* Some cores have the instruction but are no faster with it. */
static gboolean
bf16_is_faster (const CpuIsa *isa)
{
  static const guint64 n = 4000; /* about 50 µs together */
  gint64 best[2] = { G_MAXINT64, G_MAXINT64 };

  for (guint round = 0; round < 5; round++)
    {
      gint64 start = g_get_monotonic_time ();
      isa->peak_f32 (n);
      gint64 middle = g_get_monotonic_time ();
      isa->peak_bf16 (n);
      best[0] = MIN (best[0], middle - start);
      best[1] = MIN (best[1], g_get_monotonic_time () - middle);
    }
  /* The same count of instructions does twice the work in bfloat16. */
  return best[1] * 10 < best[0] * 17;
}

PeftBackend *
peft_cpu_backend_open (guint index, guint n_threads, GError **error)
{
  const CpuIsa *isa = cpu_isa_choose (error);
  PeftCpuBackend *self;

  if (isa == NULL)
    return NULL;
  if (index != 0)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_DEVICE,
                   _ ("There is no device cpu:%u, only cpu:0"), index);
      return NULL;
    }
  self = g_new0 (PeftCpuBackend, 1);
  peft_backend_init (&self->parent, &cpu_class);
  self->parent.isa = isa->name;
  self->isa = isa;
  self->pool = peft_thread_pool_new (n_threads);
  self->n_threads = peft_thread_pool_get_n_threads (self->pool);
  self->scratch = g_new0 (CpuScratch, self->n_threads);
  self->onednn = cpu_onednn_new (isa->name, self->n_threads);
  self->parent.has_bf16 = isa->has_bf16 && bf16_is_faster (isa);
  return &self->parent;
}
