/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "methods/peft-adapter-private.h"
#include "peft-model-private.h"

/* Does the new one leave alone what the old one leaves alone? Else what is computed around it would change. */
static gboolean
check_swap (PeftAdapter *old, PeftAdapter *fresh, GError **error)
{
  if (old->method != fresh->method)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("the adapter “%s” is of the method %s, the one to take its place of %s"), old->name,
                   old->method != NULL ? old->method->name : "full", fresh->method->name);
      return FALSE;
    }
  for (guint i = 0; i < fresh->hook_slots->len; i++)
    {
      PeftSlot *slot = fresh->hook_slots->pdata[i];

      if (g_ptr_array_find (old->hook_slots, slot, NULL))
        continue;
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("the adapter “%s” does not adapt '%s', which the one to take its place does"), old->name,
                   slot->path);
      return FALSE;
    }
  for (guint i = 0; i < fresh->overrides->len; i++)
    {
      const PeftAdapterOverride *override = fresh->overrides->pdata[i];
      const PeftAdapterOverride *other = peft_adapter_find_override (old, override->slot);

      if (other != NULL && (other->weight != NULL || override->weight == NULL)
          && (other->bias != NULL || override->bias == NULL))
        continue;
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("the adapter “%s” does not replace the weights of '%s', which the one to take its place does"),
                   old->name, override->slot->path);
      return FALSE;
    }
  return TRUE;
}

/* Takes fresh. */
static gboolean
put_in_place (PeftModel *self, const char *name, PeftAdapter *fresh, GError **error)
{
  g_autoptr (PeftAdapter) unused = fresh;
  PeftModelEntry *entry;
  gboolean done = FALSE;

  g_mutex_lock (&self->mutex);
  entry = peft_model_find_entry (self, name);
  if (entry == NULL)
    peft_model_set_no_adapter (name, error);
  else if (entry->merged)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                 _ ("the adapter “%s” is merged into the model; unmerge it first"), name);
  else if (check_swap (entry->adapter, fresh, error))
    {
      unused = entry->adapter;
      entry->adapter = fresh;
      self->serial++;
      done = TRUE;
    }
  g_mutex_unlock (&self->mutex);
  return done;
}

typedef struct
{
  char *folder, *name;
} SwapData;

static void
swap_data_free (gpointer data)
{
  SwapData *self = data;

  g_free (self->folder);
  g_free (self->name);
  g_free (self);
}

static gpointer
swap_work (gpointer source, gpointer data, PeftRelay *relay, GCancellable *cancellable,
           GError **error)
{
  PeftModel *self = source;
  const SwapData *swap = data;
  PeftAdapter *fresh;

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return NULL;
  fresh = peft_adapter_load (peft_model_get_core (self), swap->folder, swap->name, error);
  return fresh != NULL && put_in_place (self, swap->name, fresh, error) ? self : NULL;
}

/**
 * peft_model_hotswap_adapter:
 * @self: a model
 * @folder: a folder with another adapter of the same method
 * @name: the adapter whose place it takes
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Puts an adapter from a folder in the place of one that is there, which keeps its name, its weight and whether it is active.
 *
 * Ranks and scales may differ; layers that the old one has and the new one lacks are left alone afterwards. One that adapts other
 * layers is refused. When something fails the old one stays.
 *
 * Returns: whether it took the place
 *
 * Since: 1.0
 */
gboolean
peft_model_hotswap_adapter (PeftModel *self, const char *folder, const char *name,
                            GCancellable *cancellable, GError **error)
{
  SwapData data = { (char *) folder, (char *) name };

  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);
  g_return_val_if_fail (folder != NULL && name != NULL, FALSE);

  if (peft_worker_run (peft_model_get_worker (self), _ ("swapping an adapter"), self, &data, NULL,
                       swap_work, cancellable, error)
      == NULL)
    return FALSE;
  peft_model_emit_changed (self);
  return TRUE;
}

/**
 * peft_model_hotswap_adapter_async:
 * @self: a model
 * @folder: a folder with another adapter of the same method
 * @name: the adapter whose place it takes
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when it is done
 * @user_data: data for @callback
 *
 * Puts an adapter from a folder in the place of one that is there, on the model's thread.
 *
 * Since: 1.0
 */
void
peft_model_hotswap_adapter_async (PeftModel *self, const char *folder, const char *name,
                                  GCancellable *cancellable, GAsyncReadyCallback callback,
                                  gpointer user_data)
{
  SwapData *data;
  GTask *task;

  g_return_if_fail (PEFT_IS_MODEL (self));
  g_return_if_fail (folder != NULL && name != NULL);

  data = g_new0 (SwapData, 1);
  data->folder = g_strdup (folder);
  data->name = g_strdup (name);
  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, peft_model_hotswap_adapter_async);
  g_task_set_task_data (task, data, swap_data_free);
  peft_worker_run_async (peft_model_get_worker (self), _ ("swapping an adapter"), task, NULL,
                         swap_work, NULL);
}

/**
 * peft_model_hotswap_adapter_finish:
 * @self: a model
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends [method@Model.hotswap_adapter_async].
 *
 * Returns: whether it took the place
 *
 * Since: 1.0
 */
gboolean
peft_model_hotswap_adapter_finish (PeftModel *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  if (g_task_propagate_pointer (G_TASK (result), error) == NULL)
    return FALSE;
  peft_model_emit_changed (self);
  return TRUE;
}
