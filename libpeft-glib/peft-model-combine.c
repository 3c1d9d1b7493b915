/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "methods/peft-combine.h"
#include "peft-model-private.h"

/* Adapters made out of a model's others. */

static PeftAdapter *
dup_adapter (PeftModel *self, const char *name, GError **error)
{
  PeftAdapter *adapter = NULL;
  PeftModelEntry *entry;

  g_mutex_lock (&self->mutex);
  entry = peft_model_find_entry (self, name);
  if (entry != NULL)
    adapter = peft_adapter_ref (entry->adapter);
  g_mutex_unlock (&self->mutex);
  if (adapter == NULL)
    peft_model_set_no_adapter (name, error);
  return adapter;
}

/* A copy of what was asked for. */
typedef struct
{
  GStrv adapters;
  double *weights; /* one each */
  gsize n_weights;
  char *name;
  PeftCombineOptions options;
  double rank; /* of a conversion */
} MakeData;

static void
make_data_free (gpointer data)
{
  MakeData *self = data;

  g_strfreev (self->adapters);
  g_free (self->weights);
  g_free (self->name);
  g_free (self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (MakeData, make_data_free)

static gpointer
combine_work (gpointer source, gpointer data, PeftRelay *relay, GCancellable *cancellable,
              GError **error)
{
  PeftModel *self = source;
  const MakeData *make = data;
  g_autoptr (GPtrArray) sources
      = g_ptr_array_new_with_free_func ((GDestroyNotify) peft_adapter_unref);
  PeftAdapter *made;

  for (gsize i = 0; make->adapters[i] != NULL; i++)
    {
      PeftAdapter *adapter = dup_adapter (self, make->adapters[i], error);

      if (adapter == NULL)
        return NULL;
      g_ptr_array_add (sources, adapter);
    }
  if (sources->len != make->n_weights)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("expected a weight for each of %u adapters, found %zu"), sources->len,
                   make->n_weights);
      return NULL;
    }
  if (!peft_model_check_name (self, make->name, error))
    return NULL;
  made = peft_adapter_combine (sources, make->weights, make->name, &make->options, cancellable,
                               error);
  if (made == NULL)
    return NULL;
  peft_model_take_adapter (self, made);
  return self;
}

static gpointer
convert_work (gpointer source, gpointer data, PeftRelay *relay, GCancellable *cancellable,
              GError **error)
{
  PeftModel *self = source;
  const MakeData *make = data;
  g_autoptr (PeftAdapter) from = dup_adapter (self, make->adapters[0], error);
  PeftAdapter *made;

  if (from == NULL || !peft_model_check_name (self, make->name, error))
    return NULL;
  made = peft_adapter_convert_to_lora (from, make->name, make->rank, cancellable, error);
  if (made == NULL)
    return NULL;
  peft_model_take_adapter (self, made);
  return self;
}

/* Takes data. */
static gboolean
make_sync (PeftModel *self, const char *what, MakeData *data, PeftWorkFunc work,
           GCancellable *cancellable, GError **error)
{
  g_autoptr (MakeData) owned = data;

  if (peft_worker_run (peft_model_get_worker (self), what, self, owned, NULL, work, cancellable,
                       error)
      == NULL)
    return FALSE;
  peft_model_emit_changed (self);
  return TRUE;
}

/* Takes data. */
static void
make_async (PeftModel *self, const char *what, MakeData *data, PeftWorkFunc work, gpointer tag,
            GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, tag);
  g_task_set_task_data (task, data, make_data_free);
  peft_worker_run_async (peft_model_get_worker (self), what, task, NULL, work, NULL);
}

static gboolean
make_finish (PeftModel *self, GAsyncResult *result, GError **error)
{
  if (g_task_propagate_pointer (G_TASK (result), error) == NULL)
    return FALSE;
  peft_model_emit_changed (self);
  return TRUE;
}

static MakeData *
combine_data_new (const char *const *adapters, const double *weights, gsize n_weights,
                  const char *name, const PeftCombineOptions *options)
{
  MakeData *self = g_new0 (MakeData, 1);

  self->adapters = g_strdupv ((GStrv) adapters);
  self->weights = g_memdup2 (weights, n_weights * sizeof *weights);
  self->n_weights = n_weights;
  self->name = g_strdup (name);
  self->options = *options;
  return self;
}

static MakeData *
convert_data_new (const char *adapter, const char *name, double rank)
{
  MakeData *self = g_new0 (MakeData, 1);

  self->adapters = g_strdupv ((char *[]){ (char *) adapter, NULL });
  self->name = g_strdup (name);
  self->rank = rank;
  return self;
}

/**
 * peft_model_add_weighted_adapter:
 * @self: a model
 * @adapters: (array zero-terminated=1): names of adapters, all of the method LORA or all of IA3
 * @weights: (array length=n_weights): what each counts
 * @n_weights: as many as there are names
 * @name: the new adapter's name
 * @combination: how they become one; IA3 has one way, the weighted sum of the vectors
 * @rank: the new adapter's rank with a decomposition; 0: the largest of the adapters'
 * @density: share of the values that pruning keeps, from 0 to 1
 * @by_frequency: whether signs are elected by their number instead of by the sum of the values
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Adds an adapter that is a combination of others, as the Python library peft's `add_weighted_adapter`.
 *
 * The new LoRA has an alpha equal to its rank, so that its scale is 1, or with `use_rslora` the root of its rank, as in peft. Random
 * pruning draws other numbers than PyTorch does. Adapters with DoRA, biases or whole modules are refused.
 *
 * Returns: whether it was added
 *
 * Since: 1.0
 */
gboolean
peft_model_add_weighted_adapter (PeftModel *self, const char *const *adapters, const double *weights,
                                 gsize n_weights, const char *name, PeftCombination combination,
                                 guint rank, double density, gboolean by_frequency,
                                 GCancellable *cancellable, GError **error)
{
  const PeftCombineOptions options = {
    .type = combination, .rank = rank, .density = density, .frequency = by_frequency,
  };

  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);
  g_return_val_if_fail (adapters != NULL && name != NULL, FALSE);
  g_return_val_if_fail (weights != NULL || n_weights == 0, FALSE);

  return make_sync (self, _ ("combining adapters"),
                    combine_data_new (adapters, weights, n_weights, name, &options), combine_work,
                    cancellable, error);
}

/**
 * peft_model_add_weighted_adapter_async:
 * @self: a model
 * @adapters: (array zero-terminated=1): names of adapters
 * @weights: (array length=n_weights): what each counts
 * @n_weights: as many as there are names
 * @name: the new adapter's name
 * @combination: how they become one
 * @rank: the new adapter's rank with a decomposition; 0: the largest of the adapters'
 * @density: share of the values that pruning keeps, from 0 to 1
 * @by_frequency: whether signs are elected by their number
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when it is done
 * @user_data: data for @callback
 *
 * Adds a combination of adapters, on the model's thread.
 *
 * Since: 1.0
 */
void
peft_model_add_weighted_adapter_async (PeftModel *self, const char *const *adapters,
                                       const double *weights, gsize n_weights, const char *name,
                                       PeftCombination combination, guint rank, double density,
                                       gboolean by_frequency, GCancellable *cancellable,
                                       GAsyncReadyCallback callback, gpointer user_data)
{
  const PeftCombineOptions options = {
    .type = combination, .rank = rank, .density = density, .frequency = by_frequency,
  };

  g_return_if_fail (PEFT_IS_MODEL (self));
  g_return_if_fail (adapters != NULL && name != NULL);
  g_return_if_fail (weights != NULL || n_weights == 0);

  make_async (self, _ ("combining adapters"),
              combine_data_new (adapters, weights, n_weights, name, &options), combine_work,
              peft_model_add_weighted_adapter_async, cancellable, callback, user_data);
}

/**
 * peft_model_add_weighted_adapter_finish:
 * @self: a model
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends [method@Model.add_weighted_adapter_async].
 *
 * Returns: whether it was added
 *
 * Since: 1.0
 */
gboolean
peft_model_add_weighted_adapter_finish (PeftModel *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return make_finish (self, result, error);
}

/**
 * peft_model_convert_to_lora:
 * @self: a model
 * @adapter: the name of an adapter that changes weights
 * @name: the new adapter's name
 * @rank: the new adapter's rank, from 1; or, below 1, the share of the squared singular values that each layer keeps
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Adds the LoRA that comes nearest to what another adapter does to the weights.
 *
 * It is a truncated singular value decomposition of the difference that the adapter makes, layer by layer: exact when the rank is
 * as large as the difference has it. What a method adds to the biases of layers (IA3) becomes the bias of B (`lora_bias`).
 *
 * Returns: whether it was added
 *
 * Since: 1.0
 */
gboolean
peft_model_convert_to_lora (PeftModel *self, const char *adapter, const char *name, double rank,
                            GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);
  g_return_val_if_fail (adapter != NULL && name != NULL, FALSE);

  return make_sync (self, _ ("converting an adapter"), convert_data_new (adapter, name, rank),
                    convert_work, cancellable, error);
}

/**
 * peft_model_convert_to_lora_async:
 * @self: a model
 * @adapter: the name of an adapter that changes weights
 * @name: the new adapter's name
 * @rank: the new adapter's rank, or below 1 the share that each layer keeps
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when it is done
 * @user_data: data for @callback
 *
 * Adds the LoRA that comes nearest to another adapter, on the model's thread.
 *
 * Since: 1.0
 */
void
peft_model_convert_to_lora_async (PeftModel *self, const char *adapter, const char *name,
                                  double rank, GCancellable *cancellable,
                                  GAsyncReadyCallback callback, gpointer user_data)
{
  g_return_if_fail (PEFT_IS_MODEL (self));
  g_return_if_fail (adapter != NULL && name != NULL);

  make_async (self, _ ("converting an adapter"), convert_data_new (adapter, name, rank),
              convert_work, peft_model_convert_to_lora_async, cancellable, callback, user_data);
}

/**
 * peft_model_convert_to_lora_finish:
 * @self: a model
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends [method@Model.convert_to_lora_async].
 *
 * Returns: whether it was added
 *
 * Since: 1.0
 */
gboolean
peft_model_convert_to_lora_finish (PeftModel *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return make_finish (self, result, error);
}
