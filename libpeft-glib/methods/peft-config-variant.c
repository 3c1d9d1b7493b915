/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "methods/peft-config-field.h"

/* JSON ↔ GVariant, for the properties that take more than one kind of value. */

static PeftJson *
from_variant (GVariant *variant, guint depth, GError **error)
{
  const GVariantType *type = g_variant_get_type (variant);

  if (depth > 2 * PEFT_FIELD_MAX_DEPTH)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT, _ ("a value is nested more than %u deep"),
                   2 * PEFT_FIELD_MAX_DEPTH);
      return NULL;
    }
  switch (g_variant_classify (variant))
    {
    case G_VARIANT_CLASS_BOOLEAN:
      return peft_json_new_boolean (g_variant_get_boolean (variant));
    case G_VARIANT_CLASS_BYTE:
      return peft_json_new_int (g_variant_get_byte (variant));
    case G_VARIANT_CLASS_INT16:
      return peft_json_new_int (g_variant_get_int16 (variant));
    case G_VARIANT_CLASS_UINT16:
      return peft_json_new_int (g_variant_get_uint16 (variant));
    case G_VARIANT_CLASS_INT32:
      return peft_json_new_int (g_variant_get_int32 (variant));
    case G_VARIANT_CLASS_UINT32:
      return peft_json_new_int (g_variant_get_uint32 (variant));
    case G_VARIANT_CLASS_INT64:
      return peft_json_new_int (g_variant_get_int64 (variant));
    case G_VARIANT_CLASS_UINT64:
      return peft_json_new_uint (g_variant_get_uint64 (variant));
    case G_VARIANT_CLASS_DOUBLE:
      return peft_json_new_double (g_variant_get_double (variant));
    case G_VARIANT_CLASS_STRING:
    case G_VARIANT_CLASS_OBJECT_PATH:
    case G_VARIANT_CLASS_SIGNATURE:
      return peft_json_new_string (g_variant_get_string (variant, NULL));
    case G_VARIANT_CLASS_VARIANT:
      {
        g_autoptr (GVariant) child = g_variant_get_variant (variant);
        return from_variant (child, depth + 1, error);
      }
    case G_VARIANT_CLASS_MAYBE:
      {
        g_autoptr (GVariant) child = g_variant_get_maybe (variant);
        return child == NULL ? peft_json_new_null () : from_variant (child, depth + 1, error);
      }
    case G_VARIANT_CLASS_ARRAY:
    case G_VARIANT_CLASS_TUPLE:
      {
        gboolean is_map = g_variant_type_is_subtype_of (type, G_VARIANT_TYPE ("a{s*}"));
        g_autoptr (PeftJson) json = is_map ? peft_json_new_object () : peft_json_new_array ();

        for (gsize i = 0; i < g_variant_n_children (variant); i++)
          {
            g_autoptr (GVariant) child = g_variant_get_child_value (variant, i);
            g_autoptr (GVariant) value
                = is_map ? g_variant_get_child_value (child, 1) : g_variant_ref (child);
            PeftJson *item = from_variant (value, depth + 1, error);

            if (item == NULL)
              return NULL;
            if (is_map)
              {
                g_autoptr (GVariant) name = g_variant_get_child_value (child, 0);
                peft_json_set (json, g_variant_get_string (name, NULL), item);
              }
            else
              peft_json_append (json, item);
          }
        return g_steal_pointer (&json);
      }
    default:
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("a value of type %s cannot be written as JSON"),
                   g_variant_get_type_string (variant));
      return NULL;
    }
}

PeftJson *
peft_json_from_variant (GVariant *variant, GError **error)
{
  return variant == NULL ? peft_json_new_null () : from_variant (variant, 0, error);
}

/* The GVariant type that all members have, "v" where they differ. */
static const char *
member_type (const PeftJson *json)
{
  gboolean strings = TRUE, ints = TRUE, numbers = TRUE;
  gboolean is_array = peft_json_get_kind (json) == PEFT_JSON_ARRAY;

  for (gsize i = 0; i < peft_json_get_length (json); i++)
    {
      const PeftJson *member
          = is_array ? peft_json_get_element (json, i) : peft_json_get_value (json, i);

      strings = strings && peft_json_get_kind (member) == PEFT_JSON_STRING;
      ints = ints && peft_json_get_kind (member) == PEFT_JSON_INT;
      numbers = numbers && peft_json_is_number (member);
    }
  if (peft_json_get_length (json) == 0)
    return is_array ? "s" : "v";
  return strings ? "s" : ints ? "x" : numbers ? "d" : "v";
}

static GVariant *
to_variant (const PeftJson *json, const char *type)
{
  double number = 0.0;
  gint64 integer = 0;

  if (type[0] == 'v')
    {
      GVariant *inner = peft_json_to_variant (json);
      return g_variant_new_variant (
          inner != NULL ? inner : g_variant_new_maybe (G_VARIANT_TYPE_VARIANT, NULL));
    }
  switch (type[0])
    {
    case 'x':
      peft_json_get_int (json, &integer);
      return g_variant_new_int64 (integer);
    case 'd':
      peft_json_get_double (json, &number);
      return g_variant_new_double (number);
    default:
      return g_variant_new_string (peft_json_get_string (json));
    }
}

GVariant *
peft_json_to_variant (const PeftJson *json)
{
  double number = 0.0;

  switch (peft_json_get_kind (json))
    {
    case PEFT_JSON_NULL:
      return NULL;
    case PEFT_JSON_BOOLEAN:
      return g_variant_new_boolean (peft_json_get_boolean (json));
    case PEFT_JSON_INT:
      return to_variant (json, "x");
    case PEFT_JSON_STRING:
      return to_variant (json, "s");
    case PEFT_JSON_ARRAY:
    case PEFT_JSON_OBJECT:
      {
        gboolean is_array = peft_json_get_kind (json) == PEFT_JSON_ARRAY;
        const char *type = member_type (json);
        g_autofree char *signature
            = is_array ? g_strdup_printf ("a%s", type) : g_strdup_printf ("a{s%s}", type);
        GVariantBuilder builder;

        g_variant_builder_init (&builder, G_VARIANT_TYPE (signature));
        for (gsize i = 0; i < peft_json_get_length (json); i++)
          {
            if (is_array)
              g_variant_builder_add_value (&builder,
                                           to_variant (peft_json_get_element (json, i), type));
            else
              g_variant_builder_add_value (
                  &builder,
                  g_variant_new_dict_entry (g_variant_new_string (peft_json_get_name (json, i)),
                                            to_variant (peft_json_get_value (json, i), type)));
          }
        return g_variant_builder_end (&builder);
      }
    default:
      peft_json_get_double (json, &number);
      return g_variant_new_double (number);
    }
}
