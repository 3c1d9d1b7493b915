/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-worker.h"

#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "peft-relay.h"

struct _PeftWorker
{
  GMutex mutex;
  const char *what;  /* under mutex; NULL: idle */
  GThreadPool *pool; /* one thread, made for the first asynchronous operation; under mutex */
};

typedef struct
{
  PeftWorker *worker;
  GTask *task;
  PeftRelay *relay;
  PeftWorkFunc func;
  GDestroyNotify result_free;
  gpointer result;
  GError *error;
} Job;

PeftWorker *
peft_worker_new (void)
{
  PeftWorker *self = g_new0 (PeftWorker, 1);

  g_mutex_init (&self->mutex);
  return self;
}

void
peft_worker_free (PeftWorker *self)
{
  if (self->pool != NULL)
    g_thread_pool_free (self->pool, FALSE, TRUE);
  g_mutex_clear (&self->mutex);
  g_free (self);
}

gboolean
peft_worker_begin (PeftWorker *self, const char *what, GError **error)
{
  const char *running;

  g_mutex_lock (&self->mutex);
  running = self->what;
  if (running == NULL)
    self->what = what;
  g_mutex_unlock (&self->mutex);
  if (running == NULL)
    return TRUE;
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_BUSY, _ ("the model is busy: %s"), running);
  return FALSE;
}

void
peft_worker_end (PeftWorker *self)
{
  g_mutex_lock (&self->mutex);
  self->what = NULL;
  g_mutex_unlock (&self->mutex);
}

gboolean
peft_worker_is_busy (PeftWorker *self)
{
  gboolean busy;

  g_mutex_lock (&self->mutex);
  busy = self->what != NULL;
  g_mutex_unlock (&self->mutex);
  return busy;
}

gpointer
peft_worker_run (PeftWorker *self, const char *what, gpointer source, gpointer data,
                 PeftRelay *relay, PeftWorkFunc func, GCancellable *cancellable, GError **error)
{
  gpointer result;

  if (!peft_worker_begin (self, what, error))
    return NULL;
  result = func (source, data, relay, cancellable, error);
  peft_worker_end (self);
  return result;
}

/* In the task's context: the last references to caller's objects go here, not on the worker. */
static gboolean
job_done_cb (gpointer data)
{
  Job *job = data;

  if (job->relay != NULL)
    {
      peft_relay_flush (job->relay);
      peft_relay_unref (job->relay);
    }
  if (job->error != NULL)
    g_task_return_error (job->task, job->error);
  else
    g_task_return_pointer (job->task, job->result, job->result_free);
  g_object_unref (job->task);
  g_free (job);
  return G_SOURCE_REMOVE;
}

static void
job_run (gpointer data, gpointer user_data)
{
  Job *job = data;
  g_autoptr (GSource) source = g_idle_source_new ();
  g_autoptr (GMainContext) context = g_main_context_ref (g_task_get_context (job->task));

  job->result = job->func (g_task_get_source_object (job->task), g_task_get_task_data (job->task),
                           job->relay, g_task_get_cancellable (job->task), &job->error);
  peft_worker_end (job->worker);
  g_source_set_priority (source, g_task_get_priority (job->task));
  g_source_set_callback (source, job_done_cb, job, NULL);
  g_source_set_static_name (source, "[peft-glib] operation done");
  g_source_attach (source, context);
}

void
peft_worker_run_async (PeftWorker *self, const char *what, GTask *task, PeftRelay *relay,
                       PeftWorkFunc func, GDestroyNotify result_free)
{
  GError *error = NULL;
  Job *job;

  g_task_set_check_cancellable (task, FALSE);
  if (!peft_worker_begin (self, what, &error))
    {
      g_task_return_error (task, error);
      g_object_unref (task);
      g_clear_pointer (&relay, peft_relay_unref);
      return;
    }
  job = g_new0 (Job, 1);
  job->worker = self;
  job->task = task;
  job->relay = relay;
  job->func = func;
  job->result_free = result_free;
  g_mutex_lock (&self->mutex);
  if (self->pool == NULL)
    self->pool = g_thread_pool_new (job_run, NULL, 1, FALSE, NULL);
  g_mutex_unlock (&self->mutex);
  g_thread_pool_push (self->pool, job, NULL);
}
