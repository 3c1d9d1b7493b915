/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/peft-thread-pool.h"

#include <float.h>
#include <omp.h>

#define N 10007

typedef struct
{
  PeftThreadPool *pool;
  guint n_threads;
  guint done[N];
  guint64 sums[8]; /* one for each thread: written without a lock */
  gboolean busy[8];
  gsize n_inner;
} Work;

static void
count_task (gpointer data, gsize task, guint thread)
{
  Work *work = data;

  g_assert_cmpuint (thread, <, work->n_threads);
  g_assert_cmpint (omp_get_max_threads (), ==, 1);
  /* A thread's number is in use once at a time. */
  g_assert_false (work->busy[thread]);
  work->busy[thread] = TRUE;
  work->done[task]++;
  work->sums[thread] += task;
  work->busy[thread] = FALSE;
}

static void
check_once (guint n_threads, gsize n_tasks)
{
  g_autoptr (PeftThreadPool) pool = peft_thread_pool_new (n_threads);
  g_autofree Work *work = g_new0 (Work, 1);
  guint64 sum = 0;

  work->n_threads = n_threads;
  g_assert_cmpuint (peft_thread_pool_get_n_threads (pool), ==, n_threads);
  for (guint repeat = 1; repeat <= 20; repeat++)
    {
      peft_thread_pool_run (pool, n_tasks, count_task, work);
      for (gsize i = 0; i < N; i++)
        g_assert_cmpuint (work->done[i], ==, i < n_tasks ? repeat : 0);
    }
  for (guint i = 0; i < G_N_ELEMENTS (work->sums); i++)
    sum += work->sums[i];
  g_assert_cmpuint (sum, ==, n_tasks == 0 ? 0 : 20 * ((guint64) n_tasks * (n_tasks - 1) / 2));
}

static void
test_once (void)
{
  static const guint threads[] = { 1, 2, 5 };
  static const gsize tasks[] = { 0, 1, 2, 3, 100, N };

  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    for (gsize j = 0; j < G_N_ELEMENTS (tasks); j++)
      check_once (threads[i], tasks[j]);
}

static void
test_default_size (void)
{
  g_autoptr (PeftThreadPool) pool = peft_thread_pool_new (0);

  g_assert_cmpuint (peft_thread_pool_get_n_threads (pool), ==, g_get_num_processors ());
}

typedef struct
{
  GThread *caller;
  guint n;
} Inline;

static void
inline_task (gpointer data, gsize task, guint thread)
{
  Inline *inline_ = data;

  g_assert_true (g_thread_self () == inline_->caller);
  g_assert_cmpuint (thread, ==, 0);
  g_assert_cmpuint (task, ==, inline_->n);
  inline_->n++;
}

static void
test_inline (void)
{
  g_autoptr (PeftThreadPool) one = peft_thread_pool_new (1);
  g_autoptr (PeftThreadPool) two = peft_thread_pool_new (2);
  Inline data = { g_thread_self (), 0 };

  peft_thread_pool_run (one, 10, inline_task, &data);
  g_assert_cmpuint (data.n, ==, 10);
  data.n = 0;
  peft_thread_pool_run (two, 1, inline_task, &data);
  g_assert_cmpuint (data.n, ==, 1);
}

typedef struct
{
  Work *work;
  guint thread;
  gsize n;
} Inner;

static void
inner_task (gpointer data, gsize task, guint thread)
{
  Inner *inner = data;

  g_assert_cmpuint (thread, ==, inner->thread);
  g_assert_cmpuint (task, ==, inner->n);
  inner->n++;
}

static void
outer_task (gpointer data, gsize task, guint thread)
{
  Work *work = data;
  Inner inner = { work, thread, 0 };

  peft_thread_pool_run (work->pool, 7, inner_task, &inner);
  work->done[task] = (guint) inner.n;
  /* The outer run goes on as this thread afterwards. */
  count_task (work, N - 1 - task, thread);
}

static void
test_nested (void)
{
  g_autoptr (PeftThreadPool) pool = peft_thread_pool_new (5);
  g_autofree Work *work = g_new0 (Work, 1);

  work->pool = pool;
  work->n_threads = 5;
  peft_thread_pool_run (pool, 100, outer_task, work);
  for (guint i = 0; i < 100; i++)
    {
      g_assert_cmpuint (work->done[i], ==, 7);
      g_assert_cmpuint (work->done[N - 1 - i], ==, 1);
    }
}

static gpointer
run_from_thread (gpointer data)
{
  Work *work = data;

  for (guint i = 0; i < 50; i++)
    peft_thread_pool_run (work->pool, i % 2 == 0 ? 1 : 64, count_task, work);
  return NULL;
}

/* Several callers: their runs follow each other, so that a thread number is never used twice. */
static void
test_callers (void)
{
  g_autoptr (PeftThreadPool) pool = peft_thread_pool_new (3);
  g_autofree Work *work = g_new0 (Work, 1);
  GThread *threads[4];

  work->pool = pool;
  work->n_threads = 3;
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("caller", run_from_thread, work);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  g_assert_cmpuint (work->done[0], ==, 4 * 50);
  g_assert_cmpuint (work->done[63], ==, 4 * 25);
}

static void
subnormal_task (gpointer data, gsize task, guint thread)
{
  gboolean *kept = data;
  volatile float tiny = FLT_MIN;

  tiny *= 0.5f;
  kept[task] = tiny > 0.0f && tiny * 2.0f == FLT_MIN;
}

/* Tasks compute with subnormals, and the caller's OpenMP setting is its own. */
static void
test_environment (void)
{
  g_autoptr (PeftThreadPool) pool = peft_thread_pool_new (2);
  gboolean kept[64] = { FALSE };

  omp_set_num_threads (3);
  peft_thread_pool_run (pool, G_N_ELEMENTS (kept), subnormal_task, kept);
  g_assert_cmpint (omp_get_max_threads (), ==, 3);
  peft_thread_pool_run (pool, 1, subnormal_task, kept);
  g_assert_cmpint (omp_get_max_threads (), ==, 3);
  for (guint i = 0; i < G_N_ELEMENTS (kept); i++)
    g_assert_true (kept[i]);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/ThreadPool/once", test_once);
  g_test_add_func ("/Peft/ThreadPool/default-size", test_default_size);
  g_test_add_func ("/Peft/ThreadPool/inline", test_inline);
  g_test_add_func ("/Peft/ThreadPool/nested", test_nested);
  g_test_add_func ("/Peft/ThreadPool/callers", test_callers);
  g_test_add_func ("/Peft/ThreadPool/environment", test_environment);
  return g_test_run ();
}
