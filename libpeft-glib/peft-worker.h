/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

/* The one thread that computes on a base model, and the claim to it: one operation at a time. */

typedef struct _PeftWorker PeftWorker;
typedef struct _PeftRelay PeftRelay;

PeftWorker *peft_worker_new (void);
void peft_worker_free (PeftWorker *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftWorker, peft_worker_free)

/* what: translated, "training", for the message of PEFT_ERROR_BUSY. Any thread. */
gboolean peft_worker_begin (PeftWorker *self, const char *what, GError **error);
void peft_worker_end (PeftWorker *self);
gboolean peft_worker_is_busy (PeftWorker *self);

/* The work itself. NULL means an error, so that an operation without a result returns any other pointer. */
typedef gpointer (*PeftWorkFunc) (gpointer source, gpointer data, PeftRelay *relay,
                                  GCancellable *cancellable, GError **error);

/* Claims, runs in the calling thread, gives the claim back. */
gpointer peft_worker_run (PeftWorker *self, const char *what, gpointer source, gpointer data,
                          PeftRelay *relay, PeftWorkFunc func, GCancellable *cancellable,
                          GError **error);
/* Claims now, runs on the worker thread with the task's source object and data, and returns the
 * task's pointer result (or error) in the task's context when all events of the relay are delivered
 * and the claim is given back. Takes task and relay (nullable). */
void peft_worker_run_async (PeftWorker *self, const char *what, GTask *task, PeftRelay *relay,
                            PeftWorkFunc func, GDestroyNotify result_free);
