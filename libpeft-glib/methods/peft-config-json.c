/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-atomic-file.h"
#include "methods/peft-config-private.h"
#include "methods/peft-method.h"

/* PeftConfig from and to JSON. */

#define CONFIG_FILE "adapter_config.json"

/* The release of the Python library whose files ours look like. Fields that came after its 0.14
 * (PeftField.since) are written only when they say something: a release that does not know a field
 * warns, and before 0.14 it fails. */
#define FORMAT_VERSION "0.19.1"

static PeftConfig *
refuse_file (const PeftJson *tree, GError **error)
{
  gboolean mlx = peft_json_get_member (tree, "lora_parameters") != NULL;

  g_set_error (error, PEFT_ERROR, mlx ? PEFT_ERROR_UNSUPPORTED : PEFT_ERROR_INVALID_FILE,
               mlx ? _ ("no field 'peft_type': the configuration of an MLX adapter, which is not "
                        "supported by this version")
                   : _ ("no field 'peft_type': not the configuration of a PEFT adapter"));
  return NULL;
}

PeftConfig *
peft_config_new_from_tree (const PeftJson *tree, GError **error)
{
  g_autoptr (PeftConfig) self = NULL;
  g_autoptr (PeftJson) unknown = NULL;
  const PeftJson *type;
  PeftConfigClass *klass;

  if (peft_json_get_kind (tree) != PEFT_JSON_OBJECT)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE, _ ("expected an object, found %s"),
                   peft_json_get_kind_name (tree));
      return NULL;
    }
  type = peft_json_get_member (tree, "peft_type");
  if (type == NULL || peft_json_get_kind (type) == PEFT_JSON_NULL)
    return refuse_file (tree, error);
  if (peft_json_get_kind (type) != PEFT_JSON_STRING)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("peft_type: expected a string, found %s"), peft_json_get_kind_name (type));
      return NULL;
    }
  self = peft_config_new_for_method (peft_json_get_string (type), error);
  if (self == NULL)
    {
      g_prefix_error_literal (error, "peft_type: ");
      return NULL;
    }
  klass = PEFT_CONFIG_GET_CLASS (self);
  for (gsize i = 0; i < peft_json_get_length (tree); i++)
    {
      const char *name = peft_json_get_name (tree, i);
      PeftJson *value = peft_json_get_value (tree, i);

      if (strlen (name) != peft_json_get_name_length (tree, i))
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                       _ ("a field's name that starts with '%s' contains a NUL"), name);
          return NULL;
        }
      /* runtime_config only has a meaning in a running process; peft ignores it, too. */
      if (g_str_equal (name, "peft_type") || g_str_equal (name, "runtime_config"))
        continue;
      if (peft_config_class_find_field (klass, name) == NULL)
        {
          if (unknown == NULL)
            unknown = peft_json_new_object ();
          peft_json_set (unknown, name, peft_json_ref (value));
        }
      else if (!peft_config_set_json (self, name, peft_json_ref (value), PEFT_ERROR_INVALID_FILE,
                                      error))
        return NULL;
    }
  peft_config_set_unknown (self, g_steal_pointer (&unknown));
  return g_steal_pointer (&self);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

static PeftJson *
sorted_strings (const PeftJson *list)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  PeftJson *sorted = peft_json_new_array ();

  for (gsize i = 0; i < peft_json_get_length (list); i++)
    g_ptr_array_add (names, (gpointer) peft_json_get_string (peft_json_get_element (list, i)));
  g_ptr_array_sort (names, compare_names);
  for (guint i = 0; i < names->len; i++)
    if (i == 0 || strcmp (names->pdata[i], names->pdata[i - 1]) != 0)
      peft_json_append (sorted, peft_json_new_string (names->pdata[i]));
  return sorted;
}

/* NULL: the field is left out. */
static PeftJson *
written_value (PeftConfig *self, const PeftField *field)
{
  const PeftJson *value = peft_config_get_json (self, field->name);

  if (g_str_equal (field->name, "inference_mode"))
    return peft_json_new_boolean (TRUE);
  if (g_str_equal (field->name, "peft_version"))
    return peft_json_new_string (FORMAT_VERSION);
  if (field->since != NULL)
    {
      g_autoptr (PeftJson) initial = peft_field_dup_initial (field);

      if (peft_json_equal (value, initial))
        return NULL;
    }
  if (field->unordered && peft_json_get_kind (value) == PEFT_JSON_ARRAY)
    return sorted_strings (value);
  return peft_json_ref ((PeftJson *) value);
}

/* Top-level names are sorted as peft writes them. Objects inside keep their order: the first key of
 * rank_pattern that matches wins. */
PeftJson *
peft_config_to_tree (PeftConfig *self)
{
  PeftConfigClass *klass = PEFT_CONFIG_GET_CLASS (self);
  const PeftJson *unknown = peft_config_get_unknown (self);
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  PeftJson *tree = peft_json_new_object ();

  g_ptr_array_add (names, (gpointer) "peft_type");
  for (gsize i = 0; i < peft_config_class_get_n_fields (klass); i++)
    g_ptr_array_add (names, (gpointer) peft_config_class_get_field (klass, i)->name);
  for (gsize i = 0; unknown != NULL && i < peft_json_get_length (unknown); i++)
    g_ptr_array_add (names, (gpointer) peft_json_get_name (unknown, i));
  g_ptr_array_sort (names, compare_names);
  for (guint i = 0; i < names->len; i++)
    {
      const char *name = names->pdata[i];
      const PeftField *field = peft_config_class_find_field (klass, name);
      PeftJson *value;

      if (g_str_equal (name, "peft_type"))
        value = peft_json_new_string (klass->peft_type);
      else if (field != NULL)
        value = written_value (self, field);
      else
        value = peft_json_ref (peft_json_get_member (unknown, name));
      if (value != NULL)
        peft_json_set (tree, name, value);
    }
  return tree;
}

/**
 * peft_config_load:
 * @path: (type filename): an `adapter_config.json`, or the folder that holds one
 * @error: return location for an error
 *
 * Reads a configuration.
 *
 * Returns: (transfer full): the configuration
 *
 * Since: 1.0
 */
PeftConfig *
peft_config_load (const char *path, GError **error)
{
  g_autofree char *file = NULL;
  g_autoptr (PeftJson) tree = NULL;
  PeftConfig *self;

  g_return_val_if_fail (path != NULL, NULL);

  file = g_file_test (path, G_FILE_TEST_IS_DIR) ? g_build_filename (path, CONFIG_FILE, NULL)
                                                : g_strdup (path);
  tree = peft_json_load (file, PEFT_JSON_PARSE_DEFAULT, error);
  if (tree == NULL)
    return NULL;
  self = peft_config_new_from_tree (tree, error);
  if (self == NULL)
    g_prefix_error (error, "%s: ", file);
  return self;
}

/**
 * peft_config_new_from_json:
 * @json: JSON text as in `adapter_config.json`
 * @length: its length in bytes, or -1
 * @error: return location for an error
 *
 * Makes a configuration from JSON text.
 *
 * Returns: (transfer full): the configuration
 *
 * Since: 1.0
 */
PeftConfig *
peft_config_new_from_json (const char *json, gssize length, GError **error)
{
  g_autoptr (PeftJson) tree = NULL;

  g_return_val_if_fail (json != NULL, NULL);

  tree = peft_json_parse (json, length, PEFT_JSON_PARSE_DEFAULT, error);
  return tree != NULL ? peft_config_new_from_tree (tree, error) : NULL;
}

/**
 * peft_config_to_json:
 * @self: a configuration
 *
 * Gets the text of the configuration's `adapter_config.json`.
 *
 * Fields that older releases of the Python library do not know are left out while they have their
 * default.
 *
 * Returns: (transfer full): the text
 *
 * Since: 1.0
 */
char *
peft_config_to_json (PeftConfig *self)
{
  g_autoptr (PeftJson) tree = NULL;

  g_return_val_if_fail (PEFT_IS_CONFIG (self), NULL);

  tree = peft_config_to_tree (self);
  return peft_json_to_string (tree, PEFT_JSON_WRITE_INDENT | PEFT_JSON_WRITE_ASCII);
}

/**
 * peft_config_save:
 * @self: a configuration
 * @path: (type filename): the file to write, or a folder for its `adapter_config.json`
 * @error: return location for an error
 *
 * Writes the configuration; the file appears whole or not at all.
 *
 * Returns: whether it was written
 *
 * Since: 1.0
 */
gboolean
peft_config_save (PeftConfig *self, const char *path, GError **error)
{
  g_autofree char *file = NULL;
  g_autofree char *json = NULL;

  g_return_val_if_fail (PEFT_IS_CONFIG (self), FALSE);
  g_return_val_if_fail (path != NULL, FALSE);

  file = g_file_test (path, G_FILE_TEST_IS_DIR) ? g_build_filename (path, CONFIG_FILE, NULL)
                                                : g_strdup (path);
  json = peft_config_to_json (self);
  return peft_atomic_write (file, json, -1, error);
}

static PeftJson *
describe_field (const PeftField *field)
{
  PeftJson *out = peft_json_new_object ();
  g_autofree char *type = peft_field_describe_type (field);

  peft_json_set (out, "name", peft_json_new_string (field->name));
  peft_json_set (out, "title", peft_json_new_string (_ (field->nick)));
  peft_json_set (out, "description", peft_json_new_string (_ (field->blurb)));
  peft_json_set (out, "type", peft_json_new_string (type));
  peft_json_set (out, "default", peft_field_dup_initial (field));
  peft_json_set (out, "group", peft_json_new_string (field->group));
  peft_json_set (out, "supported", peft_json_new_boolean (!field->unsupported));
  if (field->minimum != 0.0 || field->maximum != 0.0)
    {
      peft_json_set (out, "minimum", peft_json_new_double (field->minimum));
      peft_json_set (out, "maximum", peft_json_new_double (field->maximum));
    }
  if (field->choices != NULL)
    {
      PeftJson *choices = peft_json_new_array ();

      for (const char *const *choice = field->supported != NULL ? field->supported : field->choices;
           *choice != NULL; choice++)
        peft_json_append (choices, peft_json_new_string (*choice));
      peft_json_set (out, "choices", choices);
    }
  return out;
}

PeftJson *
peft_method_describe (const char *peft_type, GError **error)
{
  const PeftMethod *method = peft_method_require (peft_type, error);
  PeftConfigClass *klass;
  PeftJson *out, *fields;

  if (method == NULL)
    return NULL;
  out = peft_json_new_object ();
  fields = peft_json_new_array ();
  klass = g_type_class_ref (method->get_config_type ());
  peft_json_set (out, "name", peft_json_new_string (method->name));
  peft_json_set (out, "display_name", peft_json_new_string (_ (method->display_name)));
  peft_json_set (out, "summary", peft_json_new_string (_ (method->summary)));
  peft_json_set (out, "good_for", peft_json_new_string (_ (method->good_for)));
  peft_json_set (out, "cost", peft_json_new_string (_ (method->cost)));
  peft_json_set (out, "learning_rate", peft_json_new_double (method->learning_rate));
  for (gsize i = 0; i < peft_config_class_get_n_fields (klass); i++)
    peft_json_append (fields, describe_field (peft_config_class_get_field (klass, i)));
  peft_json_set (out, "fields", fields);
  g_type_class_unref (klass);
  return out;
}
