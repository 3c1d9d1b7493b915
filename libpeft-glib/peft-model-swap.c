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

/**
 * peft_model_hotswap_adapter:
 * @self: a model
 * @folder: a folder with another adapter of the same method
 * @name: the adapter whose place it takes
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
peft_model_hotswap_adapter (PeftModel *self, const char *folder, const char *name, GError **error)
{
  PeftAdapter *fresh;
  gboolean done;

  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);
  g_return_val_if_fail (folder != NULL && name != NULL, FALSE);

  if (!peft_worker_begin (peft_model_get_worker (self), _ ("swapping an adapter"), error))
    return FALSE;
  fresh = peft_adapter_load (peft_model_get_core (self), folder, name, error);
  done = fresh != NULL && put_in_place (self, name, fresh, error);
  peft_worker_end (peft_model_get_worker (self));
  if (done)
    peft_model_emit_changed (self);
  return done;
}
