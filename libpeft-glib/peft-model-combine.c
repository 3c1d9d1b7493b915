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
                                 guint rank, double density, gboolean by_frequency, GError **error)
{
  const PeftCombineOptions options = {
    .type = combination, .rank = rank, .density = density, .frequency = by_frequency,
  };
  g_autoptr (GPtrArray) sources
      = g_ptr_array_new_with_free_func ((GDestroyNotify) peft_adapter_unref);
  PeftAdapter *made;

  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);
  g_return_val_if_fail (adapters != NULL && name != NULL, FALSE);
  g_return_val_if_fail (weights != NULL || n_weights == 0, FALSE);

  for (gsize i = 0; adapters[i] != NULL; i++)
    {
      PeftAdapter *adapter = dup_adapter (self, adapters[i], error);

      if (adapter == NULL)
        return FALSE;
      g_ptr_array_add (sources, adapter);
    }
  if (sources->len != n_weights)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("expected a weight for each of %u adapters, found %zu"), sources->len, n_weights);
      return FALSE;
    }
  if (!peft_model_check_name (self, name, error)
      || !peft_worker_begin (peft_model_get_worker (self), _ ("combining adapters"), error))
    return FALSE;
  made = peft_adapter_combine (sources, weights, name, &options, error);
  peft_worker_end (peft_model_get_worker (self));
  if (made != NULL)
    peft_model_take_adapter (self, made);
  return made != NULL;
}

/**
 * peft_model_convert_to_lora:
 * @self: a model
 * @adapter: the name of an adapter that changes weights
 * @name: the new adapter's name
 * @rank: the new adapter's rank, from 1; or, below 1, the share of the squared singular values that each layer keeps
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
                            GError **error)
{
  g_autoptr (PeftAdapter) source = NULL;
  PeftAdapter *made;

  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);
  g_return_val_if_fail (adapter != NULL && name != NULL, FALSE);

  source = dup_adapter (self, adapter, error);
  if (source == NULL || !peft_model_check_name (self, name, error)
      || !peft_worker_begin (peft_model_get_worker (self), _ ("converting an adapter"), error))
    return FALSE;
  made = peft_adapter_convert_to_lora (source, name, rank, error);
  peft_worker_end (peft_model_get_worker (self));
  if (made != NULL)
    peft_model_take_adapter (self, made);
  return made != NULL;
}
