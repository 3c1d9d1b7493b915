/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/peft-thread-pool.h"

#include <linux/futex.h>
#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A desktop is a busy machine, and pools that wait for every thread to report (OpenMP, pthreadpool) then wait for
 * threads that the system has not scheduled: training a small model on two loaded cores ran at a quarter of one
 * thread's speed. Here a run waits for the tasks that were taken, never for a thread that took none. */

/* A run's number, size and next task in one word, so that a task is taken together with what it belongs to. */
#define INDEX_BITS 24
#define INDEX_MASK ((G_GUINT64_CONSTANT (1) << INDEX_BITS) - 1)
#define MAX_TASKS (INDEX_MASK / 2) /* room for takers that come too late */
#define RUN_SHIFT (2 * INDEX_BITS)

/* How long to look for work, or for the last task's end, before going to sleep: some 30 µs, the
 * time between two kernels. */
#define SPINS 2000

struct _PeftThreadPool
{
  guint n_threads;
  pthread_t *threads; /* n_threads - 1: the caller is thread 0 */
  /* One run at a time, since scratch memory is named by thread number. */
  pthread_mutex_t running;
  atomic_bool stopping;

  /* The run; stable as long as one of its tasks is. */
  PeftTaskFunc func;
  gpointer data;
  gsize first; /* task number of index 0 */

  _Alignas (64) atomic_ullong ticket; /* run number, tasks, next index */
  _Alignas (64) atomic_uint finished;
  atomic_bool caller_sleeps;
  _Alignas (64) atomic_uint epoch; /* changes with every run: what idle threads sleep on */
  atomic_uint n_sleepers;
};

typedef struct
{
  PeftThreadPool *pool;
  guint number;
} Worker;

/* What this thread is doing: a run from within a task of the same pool stays on its thread. */
static __thread PeftThreadPool *current_pool;
static __thread guint current_thread;

static void
futex_wait (atomic_uint *word, guint expected)
{
  syscall (SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void
futex_wake_all (atomic_uint *word)
{
  syscall (SYS_futex, word, FUTEX_WAKE_PRIVATE, G_MAXINT, NULL, NULL, 0);
}

static inline void
relax (void)
{
#if defined (__x86_64__) || defined (__i386__)
  __builtin_ia32_pause ();
#elif defined (__aarch64__)
  __asm__ volatile ("yield");
#endif
}

static inline gboolean
has_task (guint64 ticket)
{
  return (ticket & INDEX_MASK) < ((ticket >> INDEX_BITS) & INDEX_MASK);
}

/* Takes and runs tasks until none is left. */
static void
work (PeftThreadPool *self, guint thread)
{
  while (has_task (atomic_load (&self->ticket)))
    {
      guint64 ticket = atomic_fetch_add (&self->ticket, 1);

      if (!has_task (ticket))
        return;
      self->func (self->data, self->first + (ticket & INDEX_MASK), thread);
      if (atomic_fetch_add (&self->finished, 1) + 1 == ((ticket >> INDEX_BITS) & INDEX_MASK)
          && atomic_load (&self->caller_sleeps))
        futex_wake_all (&self->finished);
    }
}

static void *
worker_main (void *data)
{
  Worker worker = *(Worker *) data;
  PeftThreadPool *self = worker.pool;

  g_free (data);
  current_pool = self;
  current_thread = worker.number;
  /* oneDNN is called inside tasks and must not start threads of its own. */
  omp_set_num_threads (1);
  while (!atomic_load (&self->stopping))
    {
      guint epoch = atomic_load (&self->epoch);
      guint spins = 0;

      work (self, worker.number);
      while (spins++ < SPINS && atomic_load (&self->epoch) == epoch)
        relax ();
      if (atomic_load (&self->epoch) != epoch)
        continue;
      atomic_fetch_add (&self->n_sleepers, 1);
      if (!atomic_load (&self->stopping))
        futex_wait (&self->epoch, epoch);
      atomic_fetch_sub (&self->n_sleepers, 1);
    }
  return NULL;
}

PeftThreadPool *
peft_thread_pool_new (guint n_threads)
{
  PeftThreadPool *self = g_aligned_alloc0 (1, sizeof *self, 64);

  self->n_threads = n_threads > 0 ? n_threads : g_get_num_processors ();
  pthread_mutex_init (&self->running, NULL);
  self->threads = g_new0 (pthread_t, self->n_threads);
  for (guint i = 1; i < self->n_threads; i++)
    {
      Worker *worker = g_new (Worker, 1);

      *worker = (Worker){ self, i };
      if (pthread_create (&self->threads[i - 1], NULL, worker_main, worker) != 0)
        {
          /* Fewer threads compute the same. */
          g_free (worker);
          self->n_threads = i;
        }
    }
  return self;
}

static void
wake_workers (PeftThreadPool *self)
{
  atomic_fetch_add (&self->epoch, 1);
  if (atomic_load (&self->n_sleepers) > 0)
    futex_wake_all (&self->epoch);
}

void
peft_thread_pool_free (PeftThreadPool *self)
{
  if (self == NULL)
    return;
  atomic_store (&self->stopping, TRUE);
  wake_workers (self);
  for (guint i = 1; i < self->n_threads; i++)
    pthread_join (self->threads[i - 1], NULL);
  pthread_mutex_destroy (&self->running);
  g_free (self->threads);
  g_aligned_free (self);
}

guint
peft_thread_pool_get_n_threads (PeftThreadPool *self)
{
  return self->n_threads;
}

/* At most MAX_TASKS tasks, by all threads. */
static void
run_shared (PeftThreadPool *self, gsize first, gsize n_tasks, PeftTaskFunc func, gpointer data)
{
  guint64 run = (atomic_load (&self->ticket) >> RUN_SHIFT) + 1;
  guint finished, spins = 0;

  self->func = func;
  self->data = data;
  self->first = first;
  atomic_store (&self->finished, 0);
  atomic_store (&self->ticket, run << RUN_SHIFT | (guint64) n_tasks << INDEX_BITS);
  wake_workers (self);
  work (self, 0);
  while ((finished = atomic_load (&self->finished)) != n_tasks)
    {
      if (spins++ < SPINS)
        {
          relax ();
          continue;
        }
      atomic_store (&self->caller_sleeps, TRUE);
      finished = atomic_load (&self->finished);
      if (finished != n_tasks)
        futex_wait (&self->finished, finished);
      atomic_store (&self->caller_sleeps, FALSE);
    }
}

void
peft_thread_pool_run (PeftThreadPool *self, gsize n_tasks, PeftTaskFunc func, gpointer data)
{
  PeftThreadPool *outer_pool = current_pool;
  guint outer_thread = current_thread;
  int outer_omp;

  if (n_tasks == 0)
    return;
  if (current_pool == self)
    {
      for (gsize i = 0; i < n_tasks; i++)
        func (data, i, current_thread);
      return;
    }

  /* The caller's thread is not ours: its OpenMP setting comes back. */
  outer_omp = omp_get_max_threads ();
  omp_set_num_threads (1);
  pthread_mutex_lock (&self->running);
  current_pool = self;
  current_thread = 0;
  if (n_tasks == 1 || self->n_threads == 1)
    for (gsize i = 0; i < n_tasks; i++)
      func (data, i, 0);
  else
    for (gsize first = 0; first < n_tasks; first += MAX_TASKS)
      run_shared (self, first, MIN (n_tasks - first, MAX_TASKS), func, data);
  current_pool = outer_pool;
  current_thread = outer_thread;
  pthread_mutex_unlock (&self->running);
  omp_set_num_threads (outer_omp);
}
