/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-variant.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"
#include "base/peft-json.h"
#include "methods/peft-config-field.h"

/* GVariant's own limit on nesting is 128, and a level of JSON takes up to three. */
#define MAX_DEPTH 32u

static GVariant *
to_variant (const PeftJson *json, guint depth, GError **error)
{
  PeftJsonKind kind = peft_json_get_kind (json);
  gint64 integer = 0;
  double number = 0;

  if (depth > MAX_DEPTH)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT, _ ("JSON is nested more than %u deep"),
                   MAX_DEPTH);
      return NULL;
    }
  switch (kind)
    {
    case PEFT_JSON_NULL:
      return g_variant_new_maybe (G_VARIANT_TYPE_VARIANT, NULL);
    case PEFT_JSON_BOOLEAN:
      return g_variant_new_boolean (peft_json_get_boolean (json));
    case PEFT_JSON_INT:
      peft_json_get_int (json, &integer);
      return g_variant_new_int64 (integer);
    case PEFT_JSON_UINT:
    case PEFT_JSON_DOUBLE:
    case PEFT_JSON_BIG:
      peft_json_get_double (json, &number);
      return g_variant_new_double (number);
    case PEFT_JSON_STRING:
      if (strlen (peft_json_get_string (json)) != peft_json_get_string_length (json))
        {
          g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                               _ ("a string holds a NUL character"));
          return NULL;
        }
      return g_variant_new_string (peft_json_get_string (json));
    case PEFT_JSON_ARRAY:
    case PEFT_JSON_OBJECT:
      break;
    }

  g_auto (GVariantBuilder) builder
      = G_VARIANT_BUILDER_INIT (kind == PEFT_JSON_ARRAY ? G_VARIANT_TYPE ("av")
                                                        : G_VARIANT_TYPE_VARDICT);
  for (gsize i = 0; i < peft_json_get_length (json); i++)
    {
      GVariant *value = to_variant (kind == PEFT_JSON_ARRAY ? peft_json_get_element (json, i)
                                                            : peft_json_get_value (json, i),
                                    depth + 1, error);

      if (value == NULL)
        return NULL;
      if (kind == PEFT_JSON_ARRAY)
        g_variant_builder_add (&builder, "v", value);
      else
        g_variant_builder_add (&builder, "{sv}", peft_json_get_name (json, i), value);
    }
  return g_variant_builder_end (&builder);
}

/**
 * peft_variant_new_from_json:
 * @json: JSON text
 * @error: return location for an error
 *
 * Reads JSON text, strictly.
 *
 * Objects become `a{sv}` in the order of the text, lists `av`, strings `s`, truth values `b`, integers
 * that fit `x`, other numbers `d`, null an empty `mv`. Strings with a NUL character are refused with
 * `PEFT_ERROR_UNSUPPORTED`, nesting beyond 32 levels with `PEFT_ERROR_LIMIT`.
 *
 * Returns: (transfer full): the value
 *
 * Since: 1.0
 */
GVariant *
peft_variant_new_from_json (const char *json, GError **error)
{
  g_autoptr (PeftJson) tree = NULL;
  GVariant *value;

  g_return_val_if_fail (json != NULL, NULL);

  tree = peft_json_parse (json, -1, PEFT_JSON_PARSE_DEFAULT, error);
  if (tree == NULL)
    return NULL;
  value = to_variant (tree, 0, error);
  return value != NULL ? g_variant_ref_sink (value) : NULL;
}

/**
 * peft_variant_to_json:
 * @variant: a value
 * @indent: whether the text has lines
 * @error: return location for an error
 *
 * Writes a value as JSON text.
 *
 * Dictionaries with string keys become objects, other arrays and tuples lists, an empty maybe null.
 *
 * Returns: (transfer full): the text
 *
 * Since: 1.0
 */
char *
peft_variant_to_json (GVariant *variant, gboolean indent, GError **error)
{
  g_autoptr (GVariant) owned = NULL;
  g_autoptr (PeftJson) json = NULL;

  g_return_val_if_fail (variant != NULL, NULL);

  owned = g_variant_ref_sink (variant);
  json = peft_json_from_variant (owned, error);
  if (json == NULL)
    return NULL;
  return peft_json_to_string (json, indent ? PEFT_JSON_WRITE_INDENT : PEFT_JSON_WRITE_COMPACT);
}
