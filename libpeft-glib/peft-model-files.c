/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-model-private.h"

#include <glib/gi18n-lib.h>

#include "base/peft-error.h"

/* What a model writes. */

/**
 * peft_model_save_adapter:
 * @self: a model
 * @name: an adapter's name
 * @folder: the folder to write, which is made where it is missing
 * @error: return location for an error
 *
 * Writes an adapter as the Python library peft does: `adapter_config.json` and `adapter_model.safetensors`.
 *
 * Of full training it writes the whole model, in the types of the original.
 *
 * Returns: whether it was written
 *
 * Since: 1.0
 */
gboolean
peft_model_save_adapter (PeftModel *self, const char *name, const char *folder, GError **error)
{
  g_autoptr (PeftAdapter) adapter = NULL;
  gboolean ok;
  PeftModelEntry *entry;

  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);
  g_return_val_if_fail (name != NULL && folder != NULL, FALSE);

  g_mutex_lock (&self->mutex);
  entry = peft_model_find_entry (self, name);
  if (entry != NULL)
    adapter = peft_adapter_ref (entry->adapter);
  g_mutex_unlock (&self->mutex);
  if (adapter == NULL)
    {
      peft_model_set_no_adapter (name, error);
      return FALSE;
    }
  if (!peft_worker_begin (peft_model_get_worker (self), _ ("saving an adapter"), error))
    return FALSE;
  ok = peft_adapter_save (adapter, folder, error);
  peft_worker_end (peft_model_get_worker (self));
  return ok;
}

static PeftDType
to_dtype (PeftLoadDType dtype)
{
  switch (dtype)
    {
    case PEFT_LOAD_FLOAT32:
      return PEFT_DTYPE_F32;
    case PEFT_LOAD_BFLOAT16:
      return PEFT_DTYPE_BF16;
    case PEFT_LOAD_FLOAT16:
      return PEFT_DTYPE_F16;
    case PEFT_LOAD_AUTO:
      break;
    }
  return PEFT_N_DTYPES;
}

typedef struct
{
  char *folder;
  PeftLoadDType dtype;
} MergeData;

static void
merge_data_free (gpointer data)
{
  MergeData *self = data;

  g_free (self->folder);
  g_free (self);
}

static MergeData *
merge_data_new (const char *folder, PeftLoadDType dtype)
{
  MergeData *self = g_new0 (MergeData, 1);

  self->folder = g_strdup (folder);
  self->dtype = dtype;
  return self;
}

static gpointer
merge_work (gpointer source, gpointer data, PeftRelay *relay, GCancellable *cancellable,
            GError **error)
{
  PeftModel *self = source;
  MergeData *merge = data;
  g_autoptr (GPtrArray) active = peft_model_list_active (self);
  gboolean ok;

  peft_model_attach (self);
  ok = peft_core_save_merged (peft_model_get_core (self), active, merge->folder,
                              to_dtype (merge->dtype), cancellable, error);
  peft_model_detach (self);
  return ok ? self : NULL;
}

/**
 * peft_model_merge_and_save:
 * @self: a model
 * @folder: the folder to write
 * @dtype: the type of the written weights; auto: as they are stored, block types as float16
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Writes a plain model with the active adapters folded into its weights.
 *
 * The model itself stays as it is. The folder has Hugging Face's layout, with the tokenizer's files of the
 * original.
 *
 * Returns: whether it was written
 *
 * Since: 1.0
 */
gboolean
peft_model_merge_and_save (PeftModel *self, const char *folder, PeftLoadDType dtype,
                           GCancellable *cancellable, GError **error)
{
  MergeData data = { (char *) folder, dtype };

  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);
  g_return_val_if_fail (folder != NULL, FALSE);

  return peft_worker_run (peft_model_get_worker (self), _ ("merging"), self, &data, NULL,
                          merge_work, cancellable, error)
         != NULL;
}

/**
 * peft_model_merge_and_save_async:
 * @self: a model
 * @folder: the folder to write
 * @dtype: the type of the written weights
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when it is done
 * @user_data: data for @callback
 *
 * Writes a plain model with the active adapters folded in, on the model's thread.
 *
 * Since: 1.0
 */
void
peft_model_merge_and_save_async (PeftModel *self, const char *folder, PeftLoadDType dtype,
                                 GCancellable *cancellable, GAsyncReadyCallback callback,
                                 gpointer user_data)
{
  GTask *task;

  g_return_if_fail (PEFT_IS_MODEL (self));
  g_return_if_fail (folder != NULL);

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, peft_model_merge_and_save_async);
  g_task_set_task_data (task, merge_data_new (folder, dtype), merge_data_free);
  peft_worker_run_async (peft_model_get_worker (self), _ ("merging"), task, NULL, merge_work,
                         NULL);
}

/**
 * peft_model_merge_and_save_finish:
 * @self: a model
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends [method@Model.merge_and_save_async].
 *
 * Returns: whether it was written
 *
 * Since: 1.0
 */
gboolean
peft_model_merge_and_save_finish (PeftModel *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_pointer (G_TASK (result), error) != NULL;
}
