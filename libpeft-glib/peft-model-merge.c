/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#include "base/peft-error.h"
#include "peft-model-private.h"

#define MAX_F16 65504.0f

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
store (PeftCore *core, PeftSlot *slot, const PeftTensor *original, const float *values,
       GError **error)
{
  const PeftView *view = &original->view;
  PeftDType dtype = peft_dtype_is_block (view->dtype) ? PEFT_DTYPE_F16 : view->dtype;
  PeftTensor *tensor;

  for (gint64 i = 0; dtype == PEFT_DTYPE_F16 && i < peft_view_n_values (view); i++)
    if (fabsf (values[i]) > MAX_F16)
      {
        g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FINITE,
                     _ ("%s: the merged value %g is too large for F16; load the model as float32"), slot->path,
                     (double) values[i]);
        return NULL;
      }
  tensor = peft_tensor_new_on (core->backend, dtype, view->n_dims, view->shape, error);
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
  merged->weight = store (core, slot, slot->weight, weight, error);
  if (merged->weight == NULL)
    return FALSE;
  if (bias != NULL && slot->bias != NULL)
    merged->bias = store (core, slot, slot->bias, bias, error);
  return bias == NULL || slot->bias == NULL || merged->bias != NULL;
}

static GPtrArray *
merge_all (PeftModel *self, GPtrArray *adapters, GCancellable *cancellable, GError **error)
{
  PeftCore *core = peft_model_get_core (self);
  g_autoptr (GPtrArray) merged = g_ptr_array_new_with_free_func (peft_merged_slot_free);

  for (guint i = 0; i < core->slots->len; i++)
    if (g_cancellable_set_error_if_cancelled (cancellable, error)
        || !merge_slot (self, adapters, core->slots->pdata[i], merged, error))
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

/* NULL with an error. */
static GPtrArray *
merge_active (PeftModel *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (GPtrArray) active = peft_model_list_active (self);
  GPtrArray *merged;

  if (active->len == 0)
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT, _ ("no adapter is active"));
      return NULL;
    }
  /* The hooks learn the adapters' weights. */
  peft_model_attach (self);
  merged = merge_all (self, active, cancellable, error);
  peft_model_detach (self);
  return merged;
}

void
peft_model_forget_merged (PeftModel *self)
{
  if (self->merged->len == 0)
    return;
  g_ptr_array_set_size (self->merged, 0);
  for (guint i = 0; i < self->entries->len; i++)
    ((PeftModelEntry *) self->entries->pdata[i])->merged = FALSE;
  self->serial++;
}

/* Takes merged. */
static void
set_merged (PeftModel *self, GPtrArray *merged)
{
  g_mutex_lock (&self->mutex);
  g_ptr_array_unref (self->merged);
  self->merged = merged;
  for (guint i = 0; i < self->entries->len; i++)
    {
      PeftModelEntry *entry = self->entries->pdata[i];

      entry->merged = entry->active;
    }
  self->serial++;
  g_mutex_unlock (&self->mutex);
}

/* Under mutex. */
static GPtrArray *
list_merged (PeftModel *self)
{
  GPtrArray *adapters = g_ptr_array_new ();

  for (guint i = 0; i < self->entries->len; i++)
    {
      PeftModelEntry *entry = self->entries->pdata[i];

      if (entry->merged)
        g_ptr_array_add (adapters, entry->adapter);
    }
  return adapters;
}

static void
replace (PeftTensor **place, PeftTensor **by)
{
  if (*by == NULL)
    return;
  peft_tensor_unref (*place);
  *place = g_steal_pointer (by);
}

/* Under mutex: what is merged becomes the base model's own, and the adapters go. */
static void
adopt_merged (PeftModel *self)
{
  g_autoptr (GPtrArray) adapters = list_merged (self);
  PeftCore *core = peft_model_get_core (self);
  PeftSlot *head = core->head;
  gboolean unties = peft_core_merge_unties (core, adapters);

  for (guint i = 0; i < self->merged->len; i++)
    {
      PeftMergedSlot *merged = self->merged->pdata[i];

      replace (&merged->slot->weight, &merged->weight);
      replace (&merged->slot->bias, &merged->bias);
      merged->slot->fresh = FALSE;
    }
  if (head != NULL && head->tied && unties)
    {
      head->tied = FALSE;
    }
  else if (head != NULL && head->tied)
    {
      peft_tensor_unref (head->weight);
      head->weight = peft_tensor_ref (core->embedding->weight);
    }
  core->changed = TRUE;
  g_ptr_array_set_size (self->merged, 0);
  g_ptr_array_set_size (self->entries, 0);
  self->serial++;
}

static gpointer
merge_work (gpointer source, gpointer data, PeftRelay *relay, GCancellable *cancellable,
            GError **error)
{
  PeftModel *self = source;
  GPtrArray *merged;

  if (has_merged (self))
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                           _ ("adapters are merged already; unmerge them first"));
      return NULL;
    }
  merged = merge_active (self, cancellable, error);
  if (merged == NULL)
    return NULL;
  set_merged (self, merged);
  return self;
}

static gpointer
unload_work (gpointer source, gpointer data, PeftRelay *relay, GCancellable *cancellable,
             GError **error)
{
  PeftModel *self = source;

  if (peft_base_model_count_users (self->base, 0) > 1)
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                           _ ("other models are on the same base model, which would change under them"));
      return NULL;
    }
  if (!has_merged (self) && merge_work (self, NULL, relay, cancellable, error) == NULL)
    return NULL;
  g_mutex_lock (&self->mutex);
  adopt_merged (self);
  g_mutex_unlock (&self->mutex);
  return self;
}

static gboolean
run_sync (PeftModel *self, PeftWorkFunc work, GCancellable *cancellable, GError **error)
{
  if (peft_worker_run (peft_model_get_worker (self), _ ("merging"), self, NULL, NULL, work,
                       cancellable, error)
      == NULL)
    return FALSE;
  peft_model_emit_changed (self);
  return TRUE;
}

static void
run_async (PeftModel *self, PeftWorkFunc work, gpointer tag, GCancellable *cancellable,
           GAsyncReadyCallback callback, gpointer user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, tag);
  peft_worker_run_async (peft_model_get_worker (self), _ ("merging"), task, NULL, work, NULL);
}

static gboolean
run_finish (PeftModel *self, GAsyncResult *result, GError **error)
{
  if (g_task_propagate_pointer (G_TASK (result), error) == NULL)
    return FALSE;
  peft_model_emit_changed (self);
  return TRUE;
}

/**
 * peft_model_merge:
 * @self: a model
 * @cancellable: (nullable): a cancellable
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
peft_model_merge (PeftModel *self, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);

  return run_sync (self, merge_work, cancellable, error);
}

/**
 * peft_model_merge_async:
 * @self: a model
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when it is done
 * @user_data: data for @callback
 *
 * Folds the active adapters into the model's weights in memory, on the model's thread.
 *
 * Since: 1.0
 */
void
peft_model_merge_async (PeftModel *self, GCancellable *cancellable,
                        GAsyncReadyCallback callback, gpointer user_data)
{
  g_return_if_fail (PEFT_IS_MODEL (self));

  run_async (self, merge_work, peft_model_merge_async, cancellable, callback, user_data);
}

/**
 * peft_model_merge_finish:
 * @self: a model
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends [method@Model.merge_async].
 *
 * Returns: whether they were merged
 *
 * Since: 1.0
 */
gboolean
peft_model_merge_finish (PeftModel *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return run_finish (self, result, error);
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
  g_mutex_lock (&self->mutex);
  peft_model_forget_merged (self);
  g_mutex_unlock (&self->mutex);
  peft_worker_end (peft_model_get_worker (self));
  peft_model_emit_changed (self);
  return TRUE;
}

/**
 * peft_model_merge_and_unload:
 * @self: a model
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Makes the effect of the active adapters part of the base model in memory, and forgets all adapters.
 *
 * The base model's files stay as they are; there is no way back but loading it anew. New adapters can be put on the changed model,
 * and [method@Model.merge_and_save] without adapters writes it. It must not have other [class@Model]s on it. As with
 * [method@Model.merge] nothing changes when values are not finite.
 *
 * Returns: whether it was done
 *
 * Since: 1.0
 */
gboolean
peft_model_merge_and_unload (PeftModel *self, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);

  return run_sync (self, unload_work, cancellable, error);
}

/**
 * peft_model_merge_and_unload_async:
 * @self: a model
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when it is done
 * @user_data: data for @callback
 *
 * Makes the effect of the active adapters part of the base model, on the model's thread.
 *
 * Since: 1.0
 */
void
peft_model_merge_and_unload_async (PeftModel *self, GCancellable *cancellable,
                                   GAsyncReadyCallback callback, gpointer user_data)
{
  g_return_if_fail (PEFT_IS_MODEL (self));

  run_async (self, unload_work, peft_model_merge_and_unload_async, cancellable, callback, user_data);
}

/**
 * peft_model_merge_and_unload_finish:
 * @self: a model
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends [method@Model.merge_and_unload_async].
 *
 * Returns: whether it was done
 *
 * Since: 1.0
 */
gboolean
peft_model_merge_and_unload_finish (PeftModel *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return run_finish (self, result, error);
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
