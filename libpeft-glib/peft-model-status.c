/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-model-private.h"

#include <inttypes.h>
#include <string.h>

#include "peft-json-private.h"

/* What a model says about itself. */

/**
 * peft_model_count_parameters:
 * @self: a model
 * @trainable: (out) (optional): numbers that training the active adapters changes
 * @all: (out) (optional): numbers of the base model and of all adapters
 *
 * Counts as the Python library peft does: weights that are trained in place of others count twice.
 *
 * Since: 1.0
 */
void
peft_model_count_parameters (PeftModel *self, guint64 *trainable, guint64 *all)
{
  guint64 n_trainable = 0, n_all;

  g_return_if_fail (PEFT_IS_MODEL (self));

  n_all = peft_base_model_get_n_parameters (self->base);
  g_mutex_lock (&self->mutex);
  for (guint i = 0; i < self->entries->len; i++)
    {
      PeftModelEntry *entry = self->entries->pdata[i];

      if (entry->active && self->enabled)
        n_trainable += peft_param_set_get_n_trainable (entry->adapter->params);
      /* Full training trains the base model's own weights. */
      if (entry->adapter->method != NULL)
        n_all += peft_param_set_get_n_own (entry->adapter->params);
    }
  g_mutex_unlock (&self->mutex);
  if (trainable != NULL)
    *trainable = n_trainable;
  if (all != NULL)
    *all = n_all;
}

/* 1234567 → "1,234,567" in any locale: scripts read it. */
static char *
group_digits (guint64 number)
{
  g_autofree char *digits = g_strdup_printf ("%" PRIu64, number);
  gsize n = strlen (digits);
  GString *out = g_string_new (NULL);

  for (gsize i = 0; i < n; i++)
    {
      if (i > 0 && (n - i) % 3 == 0)
        g_string_append_c (out, ',');
      g_string_append_c (out, digits[i]);
    }
  return g_string_free (out, FALSE);
}

/**
 * peft_model_describe_parameters:
 * @self: a model
 *
 * Says what [method@Model.count_parameters] found in the words of the Python library peft:
 * `trainable params: 1,234 || all params: 5,678 || trainable%: 21.7330`.
 *
 * Returns: (transfer full): the text
 *
 * Since: 1.0
 */
char *
peft_model_describe_parameters (PeftModel *self)
{
  g_autofree char *trainable_text = NULL;
  g_autofree char *all_text = NULL;
  char percent[G_ASCII_DTOSTR_BUF_SIZE];
  guint64 trainable, all;

  g_return_val_if_fail (PEFT_IS_MODEL (self), NULL);

  peft_model_count_parameters (self, &trainable, &all);
  trainable_text = group_digits (trainable);
  all_text = group_digits (all);
  g_ascii_formatd (percent, sizeof percent, "%.4f",
                   all > 0 ? 100.0 * (double) trainable / (double) all : 0);
  return g_strdup_printf ("trainable params: %s || all params: %s || trainable%%: %s",
                          trainable_text, all_text, percent);
}

/* Under mutex. */
static PeftJson *
entry_to_tree (PeftModelEntry *entry)
{
  PeftAdapter *adapter = entry->adapter;
  PeftJson *json = peft_json_new_object ();
  PeftJson *modules = peft_json_new_array ();

  for (guint i = 0; i < adapter->hook_slots->len; i++)
    peft_json_append (modules,
                      peft_json_new_string (((PeftSlot *) adapter->hook_slots->pdata[i])->path));
  peft_json_set (json, "name", peft_json_new_string (adapter->name));
  peft_json_set (json, "peft_type",
                 adapter->method != NULL ? peft_json_new_string (adapter->method->name)
                                         : peft_json_new_null ());
  peft_json_set (json, "active", peft_json_new_boolean (entry->active));
  peft_json_set (json, "merged", peft_json_new_boolean (entry->merged));
  peft_json_set (json, "weight", peft_json_new_double (entry->weight));
  peft_json_set (json, "parameters",
                 peft_json_new_uint (peft_param_set_get_n_own (adapter->params)));
  peft_json_set (json, "trainable_parameters",
                 peft_json_new_uint (peft_param_set_get_n_trainable (adapter->params)));
  peft_json_set (json, "modules", modules);
  return json;
}

/**
 * peft_model_get_status_json:
 * @self: a model
 *
 * Describes the model as a JSON object: `base_model_type`, `enabled`, `trainable_parameters`, `all_parameters`, and
 * `adapters` with `name`, `peft_type`, `active`, `weight`, `parameters`, `trainable_parameters` and the `modules`
 * that each is attached to.
 *
 * Returns: (transfer full): JSON text
 *
 * Since: 1.0
 */
char *
peft_model_get_status_json (PeftModel *self)
{
  g_autoptr (PeftJson) json = peft_json_new_object ();
  PeftJson *adapters = peft_json_new_array ();
  guint64 trainable, all;

  g_return_val_if_fail (PEFT_IS_MODEL (self), NULL);

  peft_model_count_parameters (self, &trainable, &all);
  peft_json_set (json, "base_model_type",
                 peft_json_new_string (peft_base_model_get_model_type (self->base)));
  peft_json_set (json, "trainable_parameters", peft_json_new_uint (trainable));
  peft_json_set (json, "all_parameters", peft_json_new_uint (all));
  g_mutex_lock (&self->mutex);
  peft_json_set (json, "enabled", peft_json_new_boolean (self->enabled));
  for (guint i = 0; i < self->entries->len; i++)
    peft_json_append (adapters, entry_to_tree (self->entries->pdata[i]));
  g_mutex_unlock (&self->mutex);
  peft_json_set (json, "adapters", adapters);
  return peft_json_to_string (json, PEFT_JSON_WRITE_INDENT);
}
