/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* A fixed pool of threads for kernels. Which thread runs a task never changes a result: tasks are
 * cut by the shape of the problem only and write disjoint output. */

typedef struct _PeftThreadPool PeftThreadPool;

typedef void (*PeftTaskFunc) (gpointer data, gsize task, guint thread);

/* n_threads 0: one for each processor this process may run on. */
PeftThreadPool *peft_thread_pool_new (guint n_threads);
void peft_thread_pool_free (PeftThreadPool *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftThreadPool, peft_thread_pool_free)

guint peft_thread_pool_get_n_threads (PeftThreadPool *self);
/* Runs func for tasks 0 … n_tasks-1 and waits. `thread` is below n_threads and names the running
 * thread, for scratch memory. With one task or one thread it runs on the calling thread. */
void peft_thread_pool_run (PeftThreadPool *self, gsize n_tasks, PeftTaskFunc func, gpointer data);
