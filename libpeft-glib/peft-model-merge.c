/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "peft-model-private.h"

/* Merging in memory: weights with the adapters folded in stand before the model's own, which stay as they are. */

void
peft_merged_slot_free (gpointer data)
{
  PeftMergedSlot *self = data;

  g_clear_pointer (&self->weight, peft_tensor_unref);
  g_clear_pointer (&self->bias, peft_tensor_unref);
  g_free (self);
}

/* As the original is stored; blocks become F16. */
static PeftTensor *
store (PeftCore *core, const PeftTensor *original, const float *values, GError **error)
{
  const PeftView *view = &original->view;
  PeftDType dtype = peft_dtype_is_block (view->dtype) ? PEFT_DTYPE_F16 : view->dtype;
  PeftTensor *tensor
      = peft_tensor_new_on (core->backend, dtype, view->n_dims, view->shape, error);

  if (tensor != NULL)
    peft_tensor_upload_f32 (tensor, values);
  return tensor;
}

static gboolean
merge_slot (PeftModel *self, GPtrArray *adapters, PeftSlot *slot, GPtrArray *out, GError **error)
{
  PeftCore *core = peft_model_get_core (self);
  g_autofree float *weight = NULL;
  g_autofree float *bias = NULL;
  PeftMergedSlot *merged;

  if (!peft_core_merge_slot (core, adapters, slot, &weight, &bias, error))
    return FALSE;
  if (weight == NULL)
    return TRUE;
  merged = g_new0 (PeftMergedSlot, 1);
  g_ptr_array_add (out, merged);
  merged->slot = slot;
  merged->weight = store (core, slot->weight, weight, error);
  if (merged->weight == NULL)
    return FALSE;
  if (bias != NULL && slot->bias != NULL)
    merged->bias = store (core, slot->bias, bias, error);
  return bias == NULL || slot->bias == NULL || merged->bias != NULL;
}

static GPtrArray *
merge_all (PeftModel *self, GPtrArray *adapters, GError **error)
{
  PeftCore *core = peft_model_get_core (self);
  g_autoptr (GPtrArray) merged = g_ptr_array_new_with_free_func (peft_merged_slot_free);

  for (guint i = 0; i < core->slots->len; i++)
    if (!merge_slot (self, adapters, core->slots->pdata[i], merged, error))
      return NULL;
  return g_steal_pointer (&merged);
}

static gboolean
has_merged (PeftModel *self)
{
  gboolean found;

  g_mutex_lock (&self->mutex);
  found = self->merged->len > 0;
  g_mutex_unlock (&self->mutex);
  return found;
}

/* Takes merged; empty: nothing is. */
static void
set_merged (PeftModel *self, GPtrArray *merged)
{
  g_mutex_lock (&self->mutex);
  g_ptr_array_unref (self->merged);
  self->merged = merged;
  for (guint i = 0; i < self->entries->len; i++)
    {
      PeftModelEntry *entry = self->entries->pdata[i];

      entry->merged = merged->len > 0 && entry->active;
    }
  self->serial++;
  g_mutex_unlock (&self->mutex);
}

/**
 * peft_model_merge:
 * @self: a model
 * @error: return location for an error
 *
 * Folds the active adapters, with their weights, into the model's weights in memory.
 *
 * Computing is then as fast as without adapters. The original weights stay, so that [method@Model.unmerge] brings them back bit for
 * bit, and other models on the same base are not touched; merged weights have their type, those of quantised models
 * float16. Values that are not finite are refused with the names of the adapter and the module, and nothing changes.
 *
 * A merged adapter cannot be trained or deleted. When adapters are merged already they must be unmerged first. Writing a merged
 * model is [method@Model.merge_and_save].
 *
 * Returns: whether they were merged
 *
 * Since: 1.0
 */
gboolean
peft_model_merge (PeftModel *self, GError **error)
{
  g_autoptr (GPtrArray) active = NULL;
  GPtrArray *merged = NULL;

  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);

  if (has_merged (self))
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                           _ ("adapters are merged already; unmerge them first"));
      return FALSE;
    }
  if (!peft_worker_begin (peft_model_get_worker (self), _ ("merging"), error))
    return FALSE;
  active = peft_model_list_active (self);
  if (active->len == 0)
    g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT, _ ("no adapter is active"));
  else
    {
      /* The hooks learn the adapters' weights. */
      peft_model_attach (self);
      merged = merge_all (self, active, error);
      peft_model_detach (self);
    }
  peft_worker_end (peft_model_get_worker (self));
  if (merged == NULL)
    return FALSE;
  set_merged (self, merged);
  return TRUE;
}

/**
 * peft_model_unmerge:
 * @self: a model
 * @error: return location for an error
 *
 * Brings back the original weights; the adapters are active as before.
 *
 * Returns: whether the model has its own weights now
 *
 * Since: 1.0
 */
gboolean
peft_model_unmerge (PeftModel *self, GError **error)
{
  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);

  if (!peft_worker_begin (peft_model_get_worker (self), _ ("unmerging"), error))
    return FALSE;
  set_merged (self, g_ptr_array_new_with_free_func (peft_merged_slot_free));
  peft_worker_end (peft_model_get_worker (self));
  return TRUE;
}

/**
 * peft_model_get_merged:
 * @self: a model
 *
 * Lists the adapters that are merged.
 *
 * Returns: (transfer full) (array zero-terminated=1): their names
 *
 * Since: 1.0
 */
GStrv
peft_model_get_merged (PeftModel *self)
{
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();

  g_return_val_if_fail (PEFT_IS_MODEL (self), NULL);

  g_mutex_lock (&self->mutex);
  for (guint i = 0; i < self->entries->len; i++)
    {
      PeftModelEntry *entry = self->entries->pdata[i];

      if (entry->merged)
        g_strv_builder_add (names, entry->adapter->name);
    }
  g_mutex_unlock (&self->mutex);
  return g_strv_builder_end (names);
}
