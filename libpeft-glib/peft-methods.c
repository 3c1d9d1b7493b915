/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-methods.h"

#include <glib/gi18n-lib.h>

#include "methods/peft-config-private.h"
#include "methods/peft-method.h"
#include "peft-presets.h"

/**
 * peft_methods_list:
 *
 * Lists the fine-tuning methods there are.
 *
 * Returns: (transfer full) (array zero-terminated=1): their names as in configurations, such as `LORA`
 *
 * Since: 1.0
 */
GStrv
peft_methods_list (void)
{
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();

  for (const PeftMethod *const *method = peft_method_list (); *method != NULL; method++)
    g_strv_builder_add (names, (*method)->name);
  return g_strv_builder_end (names);
}

static PeftJson *
describe_preset (const PeftPresetField *fields)
{
  PeftJson *out = peft_json_new_object ();

  for (guint i = 0; i < PEFT_PRESET_MAX_FIELDS && fields[i].field != NULL; i++)
    peft_json_set (out, fields[i].field,
                   peft_json_parse (fields[i].value, -1, PEFT_JSON_PARSE_DEFAULT, NULL));
  return out;
}

static PeftJson *
describe_presets (const PeftMethod *method)
{
  PeftJson *out = peft_json_new_object ();
  gsize n;
  const PeftPreset *list = peft_preset_list (&n);

  for (gsize i = 0; i < n; i++)
    peft_json_set (out, list[i].name, describe_preset (method->presets[i]));
  return out;
}

/* The presets stand before the fields, which are many. */
static PeftJson *
describe (const char *name, GError **error)
{
  g_autoptr (PeftJson) method = peft_method_describe (name, error);
  PeftJson *out;

  if (method == NULL)
    return NULL;
  out = peft_json_new_object ();
  for (gsize i = 0; i < peft_json_get_length (method); i++)
    {
      const char *member = peft_json_get_name (method, i);

      if (g_str_equal (member, "fields"))
        peft_json_set (out, "presets", describe_presets (peft_method_find (name)));
      peft_json_set (out, member, peft_json_ref (peft_json_get_value (method, i)));
    }
  return out;
}

/**
 * peft_methods_to_json:
 * @name: (nullable): a method's name, in any case; `NULL`: all of them
 * @error: return location for an error
 *
 * Describes methods as JSON.
 *
 * A method is an object with `name`, `display_name`, `summary`, `good_for` (when to choose it), `cost`, `learning_rate`,
 * `presets` (fields by the preset's name) and `fields`; a field has `name`,
 * `type`, `default`, `minimum`, `maximum`, `choices`, `group`, `description` and `supported`. Without @name it is an
 * object whose `methods` are all of them.
 *
 * Returns: (transfer full): JSON text
 *
 * Since: 1.0
 */
char *
peft_methods_to_json (const char *name, GError **error)
{
  g_autoptr (PeftJson) json = NULL;
  PeftJson *list;

  if (name != NULL)
    {
      json = describe (name, error);
      return json != NULL ? peft_json_to_string (json, PEFT_JSON_WRITE_INDENT) : NULL;
    }
  json = peft_json_new_object ();
  list = peft_json_new_array ();
  for (const PeftMethod *const *method = peft_method_list (); *method != NULL; method++)
    peft_json_append (list, describe ((*method)->name, NULL));
  peft_json_set (json, "methods", list);
  return peft_json_to_string (json, PEFT_JSON_WRITE_INDENT);
}

/**
 * peft_presets_to_json:
 *
 * Describes the presets as a JSON list of objects with `name`, `display_name`, `summary`, `epochs` and `fields`, an
 * object with the configuration's fields for each method.
 *
 * Returns: (transfer full): JSON text
 *
 * Since: 1.0
 */
char *
peft_presets_to_json (void)
{
  g_autoptr (PeftJson) list = peft_json_new_array ();
  gsize n;
  const PeftPreset *presets = peft_preset_list (&n);

  for (gsize i = 0; i < n; i++)
    {
      PeftJson *preset = peft_json_new_object ();
      PeftJson *fields = peft_json_new_object ();

      for (const PeftMethod *const *method = peft_method_list (); *method != NULL; method++)
        peft_json_set (fields, (*method)->name, describe_preset ((*method)->presets[i]));
      peft_json_set (preset, "name", peft_json_new_string (presets[i].name));
      peft_json_set (preset, "display_name", peft_json_new_string (_ (presets[i].display_name)));
      peft_json_set (preset, "summary", peft_json_new_string (_ (presets[i].summary)));
      peft_json_set (preset, "epochs", peft_json_new_int (presets[i].epochs));
      peft_json_set (preset, "fields", fields);
      peft_json_append (list, preset);
    }
  return peft_json_to_string (list, PEFT_JSON_WRITE_INDENT);
}

/**
 * peft_preset_apply_to_config:
 * @preset: `quick`, `balanced` or `thorough`
 * @config: a configuration
 * @error: return location for an error
 *
 * Sets what we recommend for the configuration's method.
 *
 * See [method@Trainer.apply_preset] for the other half.
 *
 * Returns: whether there is such a preset
 *
 * Since: 1.0
 */
gboolean
peft_preset_apply_to_config (const char *preset, PeftConfig *config, GError **error)
{
  const PeftPresetField *fields;
  const PeftMethod *method;
  const PeftPreset *found;
  gsize n;

  g_return_val_if_fail (preset != NULL, FALSE);
  g_return_val_if_fail (PEFT_IS_CONFIG (config), FALSE);

  found = peft_preset_require (preset, error);
  if (found == NULL)
    return FALSE;
  method = peft_method_find (peft_config_get_peft_type (config));
  fields = method->presets[found - peft_preset_list (&n)];
  for (guint i = 0; i < PEFT_PRESET_MAX_FIELDS && fields[i].field != NULL; i++)
    if (!peft_config_set_field (config, fields[i].field, fields[i].value, error))
      return FALSE;
  return TRUE;
}
