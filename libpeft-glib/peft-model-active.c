/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#include "base/peft-error.h"
#include "peft-model-private.h"

/* Which adapters count, and how much. */

/* Under mutex: the adapters with these names, without references; NULL when one is not there. */
static GPtrArray *
find_adapters (PeftModel *self, const char *const *names, GError **error)
{
  g_autoptr (GPtrArray) adapters = g_ptr_array_new ();

  for (; *names != NULL; names++)
    {
      PeftModelEntry *entry = peft_model_find_entry (self, *names);

      if (entry == NULL)
        {
          peft_model_set_no_adapter (*names, error);
          return NULL;
        }
      if (g_ptr_array_find (adapters, entry->adapter, NULL))
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                       _ ("adapter “%s” is named twice"), *names);
          return NULL;
        }
      g_ptr_array_add (adapters, entry->adapter);
    }
  return g_steal_pointer (&adapters);
}

/* Can what the adapter does be multiplied with that? */
static gboolean
check_factor (PeftAdapter *adapter, double factor, GError **error)
{
  if (!isfinite (factor))
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                 _ ("the adapter “%s”: expected a finite weight, found %g"), adapter->name, factor);
  else if (factor != 1 && (adapter->core_hook != NULL || adapter->method == NULL))
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                 _ ("the adapter “%s” has no effect that could be weighted: expected the weight 1, found %g"),
                 adapter->name, factor);
  else
    return TRUE;
  return FALSE;
}

static gboolean
activate (PeftModel *self, const char *const *names, const double *weights, GError **error)
{
  g_autoptr (GPtrArray) adapters = find_adapters (self, names, error);

  if (adapters == NULL || !peft_adapter_check_together (adapters, error))
    return FALSE;
  for (guint i = 0; weights != NULL && i < adapters->len; i++)
    if (!check_factor (adapters->pdata[i], weights[i], error))
      return FALSE;
  peft_model_forget_merged (self);
  for (guint i = 0; i < self->entries->len; i++)
    {
      PeftModelEntry *entry = self->entries->pdata[i];
      guint index;

      entry->active = g_ptr_array_find (adapters, entry->adapter, &index);
      if (entry->active)
        entry->weight = weights != NULL ? weights[index] : 1;
    }
  self->serial++;
  return TRUE;
}

/**
 * peft_model_set_active:
 * @self: a model
 * @names: (array zero-terminated=1): the adapters to be active; an empty list: none
 * @weights: (array length=n_weights) (nullable): what the effect of each is multiplied with; `NULL`: 1
 * @n_weights: number of weights: 0 or the number of names
 * @error: return location for an error
 *
 * Chooses the adapters that count.
 *
 * Several can be active together when they do not replace the same weights. Adapters that were merged into the model are
 * unmerged.
 *
 * Returns: whether they were chosen
 *
 * Since: 1.0
 */
gboolean
peft_model_set_active (PeftModel *self, const char *const *names, const double *weights,
                       gsize n_weights, GError **error)
{
  gboolean ok;

  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);
  g_return_val_if_fail (names != NULL, FALSE);

  if (n_weights > 0 && n_weights != g_strv_length ((GStrv) names))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("expected as many weights as adapters (%u), found %zu"),
                   g_strv_length ((GStrv) names), n_weights);
      return FALSE;
    }
  if (!peft_worker_begin (peft_model_get_worker (self), _ ("changing adapters"), error))
    return FALSE;
  g_mutex_lock (&self->mutex);
  ok = activate (self, names, n_weights > 0 ? weights : NULL, error);
  g_mutex_unlock (&self->mutex);
  peft_worker_end (peft_model_get_worker (self));
  if (ok)
    peft_model_emit_changed (self);
  return ok;
}

/**
 * peft_model_get_enabled:
 * @self: a model
 *
 * Tells whether the active adapters count.
 *
 * Returns: `TRUE` if so
 *
 * Since: 1.0
 */
gboolean
peft_model_get_enabled (PeftModel *self)
{
  gboolean enabled;

  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);

  g_mutex_lock (&self->mutex);
  enabled = self->enabled;
  g_mutex_unlock (&self->mutex);
  return enabled;
}

/**
 * peft_model_set_enabled:
 * @self: a model
 * @enabled: `FALSE` for the base model alone
 * @error: return location for an error
 *
 * Switches all adapters off, or those that are active on again.
 *
 * To ask the base model something in between, keep what [method@Model.get_enabled] says, switch the adapters off, and switch them
 * on again when that was `TRUE`; what is done so may be nested.
 *
 * Returns: whether it was done
 *
 * Since: 1.0
 */
gboolean
peft_model_set_enabled (PeftModel *self, gboolean enabled, GError **error)
{
  gboolean changed;

  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);

  if (!peft_worker_begin (peft_model_get_worker (self), _ ("changing adapters"), error))
    return FALSE;
  g_mutex_lock (&self->mutex);
  changed = self->enabled != !!enabled;
  self->enabled = !!enabled;
  if (changed)
    self->serial++;
  g_mutex_unlock (&self->mutex);
  peft_worker_end (peft_model_get_worker (self));
  if (changed)
    g_object_notify (G_OBJECT (self), "enabled");
  return TRUE;
}

/**
 * peft_model_set_adapter_scale:
 * @self: a model
 * @name: an adapter's name
 * @scale: what the effect of the adapter is multiplied with, 1 unless set
 * @error: return location for an error
 *
 * Makes an adapter count more or less, wherever it is active.
 *
 * The scale stays when other adapters become active, counts in mixed batches and when adapters are merged, and comes on top of the
 * weights of [method@Model.set_active]. It is not saved, and combinations and conversions do not look at it.
 *
 * Returns: whether it was set
 *
 * Since: 1.0
 */
gboolean
peft_model_set_adapter_scale (PeftModel *self, const char *name, double scale, GError **error)
{
  PeftModelEntry *entry;
  gboolean ok = FALSE;

  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);
  g_return_val_if_fail (name != NULL, FALSE);

  if (!peft_worker_begin (peft_model_get_worker (self), _ ("changing adapters"), error))
    return FALSE;
  g_mutex_lock (&self->mutex);
  entry = peft_model_find_entry (self, name);
  if (entry == NULL)
    {
      peft_model_set_no_adapter (name, error);
    }
  else if (entry->merged)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("the adapter “%s” is merged into the model; unmerge it first"), name);
    }
  else if (check_factor (entry->adapter, scale, error))
    {
      entry->scale = scale;
      self->serial++;
      ok = TRUE;
    }
  g_mutex_unlock (&self->mutex);
  peft_worker_end (peft_model_get_worker (self));
  if (ok)
    peft_model_emit_changed (self);
  return ok;
}

/**
 * peft_model_get_adapter_scale:
 * @self: a model
 * @name: an adapter's name
 *
 * Gets what [method@Model.set_adapter_scale] set.
 *
 * Returns: the scale; 0 when there is no such adapter
 *
 * Since: 1.0
 */
double
peft_model_get_adapter_scale (PeftModel *self, const char *name)
{
  PeftModelEntry *entry;
  double scale;

  g_return_val_if_fail (PEFT_IS_MODEL (self), 0);
  g_return_val_if_fail (name != NULL, 0);

  g_mutex_lock (&self->mutex);
  entry = peft_model_find_entry (self, name);
  scale = entry != NULL ? entry->scale : 0;
  g_mutex_unlock (&self->mutex);
  return scale;
}
