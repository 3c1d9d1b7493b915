/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/peft-thread-pool.h"

#include <omp.h>
#include <pthread.h>
#include <pthreadpool.h>
#include <stdatomic.h>

typedef struct
{
  PeftTaskFunc func;
  gpointer data;
  gsize n_tasks;
  atomic_size_t next;
  atomic_uint finished;
} Run;

struct _PeftThreadPool
{
  guint n_threads;
  pthreadpool_t threads; /* NULL for one thread */
  /* One run at a time, since scratch memory is named by thread number. Not a GMutex, and the run is
   * handed over by an atomic of ours: race detectors cannot look into GLib and pthreadpool. */
  pthread_mutex_t running;
  _Atomic (Run *) run;
};

/* What this thread is doing: a run from within a task of the same pool stays on its thread. */
static __thread PeftThreadPool *current_pool;
static __thread guint current_thread;
static __thread gboolean omp_limited;

PeftThreadPool *
peft_thread_pool_new (guint n_threads)
{
  PeftThreadPool *self = g_new0 (PeftThreadPool, 1);

  self->n_threads = n_threads > 0 ? n_threads : g_get_num_processors ();
  pthread_mutex_init (&self->running, NULL);
  if (self->n_threads > 1)
    {
      self->threads = pthreadpool_create (self->n_threads);
      if (self->threads == NULL)
        g_error ("cannot create a pool of %u threads", self->n_threads);
    }
  return self;
}

void
peft_thread_pool_free (PeftThreadPool *self)
{
  if (self == NULL)
    return;
  if (self->threads != NULL)
    pthreadpool_destroy (self->threads);
  pthread_mutex_destroy (&self->running);
  g_free (self);
}

guint
peft_thread_pool_get_n_threads (PeftThreadPool *self)
{
  return self->n_threads;
}

static void
run_tasks (PeftThreadPool *self, Run *run, guint thread)
{
  PeftThreadPool *outer_pool = current_pool;
  guint outer_thread = current_thread;
  gsize task;

  current_pool = self;
  current_thread = thread;
  while ((task = atomic_fetch_add (&run->next, 1)) < run->n_tasks)
    run->func (run->data, task, thread);
  current_pool = outer_pool;
  current_thread = outer_thread;
}

/* One lane for each thread: its number names the scratch memory, whichever thread takes it. */
static void
run_lane (void *data, size_t lane)
{
  PeftThreadPool *self = data;
  Run *run = atomic_load (&self->run);

  if (!omp_limited)
    {
      /* oneDNN is called inside tasks and must not start threads of its own. */
      omp_set_num_threads (1);
      omp_limited = TRUE;
    }
  run_tasks (self, run, (guint) lane);
  atomic_fetch_add (&run->finished, 1);
}

void
peft_thread_pool_run (PeftThreadPool *self, gsize n_tasks, PeftTaskFunc func, gpointer data)
{
  Run run = { .func = func, .data = data, .n_tasks = n_tasks };
  gboolean outer_limited = omp_limited;
  int outer_omp;

  if (n_tasks == 0)
    return;
  if (current_pool == self)
    {
      run_tasks (self, &run, current_thread);
      return;
    }

  /* The caller's thread is not ours: its OpenMP setting comes back. */
  outer_omp = omp_get_max_threads ();
  omp_set_num_threads (1);
  omp_limited = TRUE;
  pthread_mutex_lock (&self->running);
  if (n_tasks == 1 || self->n_threads == 1)
    run_tasks (self, &run, 0);
  else
    {
      guint lanes = (guint) MIN (n_tasks, self->n_threads);

      atomic_store (&self->run, &run);
      pthreadpool_parallelize_1d (self->threads, run_lane, self, lanes, 0);
      g_assert (atomic_load (&run.finished) == lanes);
    }
  pthread_mutex_unlock (&self->running);
  omp_limited = outer_limited;
  omp_set_num_threads (outer_omp);
}
