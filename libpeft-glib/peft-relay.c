/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-relay.h"

/* Between deliveries: a fast step loop must not flood the main loop. */
#define FRAME_MICROSECONDS 16000

typedef struct
{
  gpointer event;
  gboolean is_snapshot;
} Entry;

struct _PeftRelay
{
  gatomicrefcount ref_count;
  GObject *object;
  PeftRelayFunc func;
  GDestroyNotify event_free;
  GMainContext *context; /* NULL: direct */
  GMutex mutex;
  GQueue queue;          /* Entry; under mutex */
  GSource *source;       /* waiting to deliver; under mutex */
  gint64 last;           /* time of the last delivery; under mutex */
};

PeftRelay *
peft_relay_new_direct (gpointer object, PeftRelayFunc func, GDestroyNotify event_free)
{
  PeftRelay *self = g_new0 (PeftRelay, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->object = g_object_ref (object);
  self->func = func;
  self->event_free = event_free;
  g_mutex_init (&self->mutex);
  g_queue_init (&self->queue);
  return self;
}

PeftRelay *
peft_relay_new (gpointer object, PeftRelayFunc func, GDestroyNotify event_free)
{
  PeftRelay *self = peft_relay_new_direct (object, func, event_free);

  self->context = g_main_context_ref_thread_default ();
  return self;
}

PeftRelay *
peft_relay_ref (PeftRelay *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
peft_relay_unref (PeftRelay *self)
{
  Entry *entry;

  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  while ((entry = g_queue_pop_head (&self->queue)) != NULL)
    {
      self->event_free (entry->event);
      g_free (entry);
    }
  g_object_unref (self->object);
  g_clear_pointer (&self->context, g_main_context_unref);
  g_mutex_clear (&self->mutex);
  g_free (self);
}

void
peft_relay_flush (PeftRelay *self)
{
  Entry *entry;

  g_mutex_lock (&self->mutex);
  if (self->source != NULL)
    {
      g_source_destroy (self->source);
      g_clear_pointer (&self->source, g_source_unref);
    }
  self->last = g_get_monotonic_time ();
  while ((entry = g_queue_pop_head (&self->queue)) != NULL)
    {
      g_mutex_unlock (&self->mutex);
      self->func (self->object, entry->event);
      self->event_free (entry->event);
      g_free (entry);
      g_mutex_lock (&self->mutex);
    }
  g_mutex_unlock (&self->mutex);
}

static gboolean
deliver_cb (gpointer data)
{
  peft_relay_flush (data);
  return G_SOURCE_REMOVE;
}

void
peft_relay_push (PeftRelay *self, gpointer event, gboolean is_snapshot)
{
  Entry *tail, *entry;

  if (self->context == NULL)
    {
      self->func (self->object, event);
      self->event_free (event);
      return;
    }
  g_mutex_lock (&self->mutex);
  tail = g_queue_peek_tail (&self->queue);
  if (is_snapshot && tail != NULL && tail->is_snapshot)
    {
      self->event_free (tail->event);
      tail->event = event;
    }
  else
    {
      entry = g_new (Entry, 1);
      *entry = (Entry){ event, is_snapshot };
      g_queue_push_tail (&self->queue, entry);
    }
  if (self->source == NULL)
    {
      gint64 wait = self->last + FRAME_MICROSECONDS - g_get_monotonic_time ();

      self->source = g_timeout_source_new (wait > 0 ? (guint) (wait / 1000) : 0);
      g_source_set_callback (self->source, deliver_cb, peft_relay_ref (self),
                             (GDestroyNotify) peft_relay_unref);
      g_source_set_static_name (self->source, "[peft-glib] progress");
      g_source_attach (self->source, self->context);
    }
  g_mutex_unlock (&self->mutex);
}
