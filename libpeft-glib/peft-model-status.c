/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-model-private.h"

#include <inttypes.h>
#include <string.h>

#include "methods/peft-adapter-private.h"
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

/* ---- As JSON ------------------------------------------------------------------------------- */

static gboolean
is_trainable (PeftModel *self, PeftModelEntry *entry)
{
  return self->enabled && entry->active && !entry->merged && !entry->adapter->incomplete
         && peft_param_set_get_n_trainable (entry->adapter->params) > 0;
}

static const char *
get_type_name (PeftModelEntry *entry)
{
  return entry->adapter->method != NULL ? entry->adapter->method->name : "full";
}

static PeftJson *
make_device_list (PeftModel *self)
{
  const char *names[]
      = { peft_device_get_name (peft_base_model_get_device (self->base)), NULL };

  return peft_json_new_strings (names);
}

/* Under mutex. */
static PeftJson *
entry_to_tree (PeftModel *self, PeftModelEntry *entry)
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
  peft_json_set (json, "scale", peft_json_new_double (entry->scale));
  peft_json_set (json, "requires_grad", peft_json_new_boolean (is_trainable (self, entry)));
  peft_json_set (json, "devices", make_device_list (self));
  peft_json_set (json, "parameters",
                 peft_json_new_uint (peft_param_set_get_n_own (adapter->params)));
  peft_json_set (json, "trainable_parameters",
                 peft_json_new_uint (peft_param_set_get_n_trainable (adapter->params)));
  peft_json_set (json, "modules", modules);
  return json;
}

static gboolean
is_on (PeftModelEntry *entry, PeftSlot *slot)
{
  return g_ptr_array_find (entry->adapter->hook_slots, slot, NULL)
         || peft_adapter_find_override (entry->adapter, slot) != NULL;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  const PeftModelEntry *x = *(PeftModelEntry *const *) a, *y = *(PeftModelEntry *const *) b;

  return strcmp (x->adapter->name, y->adapter->name);
}

/* Under mutex; the lists that peft has of a layer and of the whole model. slot NULL: the model. */
static void
add_lists (PeftModel *self, PeftJson *json, PeftSlot *slot)
{
  g_autoptr (GPtrArray) sorted = g_ptr_array_copy (self->entries, NULL, NULL);
  PeftJson *active = peft_json_new_array ();
  PeftJson *merged = peft_json_new_array ();
  PeftJson *available = peft_json_new_array ();
  PeftJson *trainable = peft_json_new_object ();
  PeftJson *devices = peft_json_new_object ();

  g_ptr_array_set_free_func (sorted, NULL);
  g_ptr_array_sort (sorted, compare_names);
  for (guint i = 0; i < sorted->len; i++)
    {
      PeftModelEntry *entry = sorted->pdata[i], *in_order = self->entries->pdata[i];
      const char *name = entry->adapter->name;

      if (in_order->active)
        peft_json_append (active, peft_json_new_string (in_order->adapter->name));
      if (slot != NULL && !is_on (entry, slot))
        continue;
      if (entry->merged)
        peft_json_append (merged, peft_json_new_string (name));
      peft_json_append (available, peft_json_new_string (name));
      peft_json_set (trainable, name, peft_json_new_boolean (is_trainable (self, entry)));
      peft_json_set (devices, name, make_device_list (self));
    }
  peft_json_set (json, "enabled", peft_json_new_boolean (self->enabled));
  peft_json_set (json, "active_adapters", active);
  peft_json_set (json, "merged_adapters", merged);
  peft_json_set (json, "requires_grad", trainable);
  peft_json_set (json, "available_adapters", available);
  peft_json_set (json, "devices", devices);
}

/* Under mutex; NULL: no adapter is on the slot. */
static PeftJson *
slot_to_tree (PeftModel *self, PeftSlot *slot)
{
  static const char *const kinds[] = {
    [PEFT_SLOT_LINEAR] = "linear", [PEFT_SLOT_EMBEDDING] = "embedding", [PEFT_SLOT_NORM] = "norm",
    [PEFT_SLOT_ATTENTION] = "attention",
  };
  gboolean any = FALSE;
  PeftJson *json;

  for (guint i = 0; !any && i < self->entries->len; i++)
    any = is_on (self->entries->pdata[i], slot);
  if (!any)
    return NULL;
  json = peft_json_new_object ();
  peft_json_set (json, "name", peft_json_new_string (slot->path));
  peft_json_set (json, "module_type", peft_json_new_string (kinds[slot->kind]));
  add_lists (self, json, slot);
  peft_json_set (json, "quantization_backend",
                 slot->weight != NULL && peft_dtype_is_block (slot->weight->view.dtype)
                     ? peft_json_new_string (peft_dtype_get_info (slot->weight->view.dtype)->name)
                     : peft_json_new_null ());
  return json;
}

/**
 * peft_model_get_status_json:
 * @self: a model
 *
 * Describes the model as a JSON object.
 *
 * It has `base_model_type`, `trainable_parameters`, `all_parameters`, and `adapters` with `name`, `peft_type`, `active`, `merged`,
 * `weight`, `scale`, `requires_grad`, `devices`, `parameters`, `trainable_parameters` and the `modules` that each is attached to.
 *
 * Then what `get_model_status` of the Python library peft gives: `peft_types`, `num_adapter_layers`, `enabled`, `active_adapters`,
 * `merged_adapters`, `requires_grad`, `available_adapters`, `devices`; and in `layers` for each module that adapters are on what its
 * `get_layer_status` does. Names of modules are those of the base model. `requires_grad` says which adapters training would change
 * now.
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
  PeftJson *types = peft_json_new_object ();
  PeftJson *layers = peft_json_new_array ();
  PeftCore *core;
  guint64 trainable, all;

  g_return_val_if_fail (PEFT_IS_MODEL (self), NULL);

  core = peft_model_get_core (self);
  peft_model_count_parameters (self, &trainable, &all);
  peft_json_set (json, "base_model_type",
                 peft_json_new_string (peft_base_model_get_model_type (self->base)));
  peft_json_set (json, "trainable_parameters", peft_json_new_uint (trainable));
  peft_json_set (json, "all_parameters", peft_json_new_uint (all));
  g_mutex_lock (&self->mutex);
  for (guint i = 0; i < self->entries->len; i++)
    {
      PeftModelEntry *entry = self->entries->pdata[i];

      peft_json_set (types, entry->adapter->name, peft_json_new_string (get_type_name (entry)));
      peft_json_append (adapters, entry_to_tree (self, entry));
    }
  for (guint i = 0; i < core->slots->len; i++)
    {
      PeftJson *layer = slot_to_tree (self, core->slots->pdata[i]);

      if (layer != NULL)
        peft_json_append (layers, layer);
    }
  peft_json_set (json, "peft_types", types);
  peft_json_set (json, "num_adapter_layers", peft_json_new_uint (peft_json_get_length (layers)));
  add_lists (self, json, NULL);
  g_mutex_unlock (&self->mutex);
  peft_json_set (json, "adapters", adapters);
  peft_json_set (json, "layers", layers);
  return peft_json_to_string (json, PEFT_JSON_WRITE_INDENT);
}
