/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib-object.h>

/* Carries what an operation reports to the thread that started it. */

typedef struct _PeftRelay PeftRelay;

/* Emits a signal of object for the event. */
typedef void (*PeftRelayFunc) (gpointer object, gpointer event);

/* Delivers in the thread that pushes: for synchronous operations. */
PeftRelay *peft_relay_new_direct (gpointer object, PeftRelayFunc func, GDestroyNotify event_free);
/* Delivers in the thread-default main context of the thread that makes it. */
PeftRelay *peft_relay_new (gpointer object, PeftRelayFunc func, GDestroyNotify event_free);
PeftRelay *peft_relay_ref (PeftRelay *self);
void peft_relay_unref (PeftRelay *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftRelay, peft_relay_unref)

/* Takes event. A snapshot replaces the one before it when that is still waiting and nothing came between
 * them, and waits for the next frame; other events are all delivered, in order. */
void peft_relay_push (PeftRelay *self, gpointer event, gboolean is_snapshot);
/* Delivers what waits; in the receiving thread. */
void peft_relay_flush (PeftRelay *self);
