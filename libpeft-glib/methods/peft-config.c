/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "methods/peft-config.h"

#include <glib/gi18n-lib.h>

#include "methods/peft-closest-name.h"
#include "methods/peft-config-private.h"
#include "methods/peft-method.h"
#include "methods/peft-target.h"

/**
 * PeftConfig:
 *
 * The settings of an adapter.
 *
 * Each method has a subclass, [class@LoraConfig] for instance, whose properties are the fields of
 * `adapter_config.json` as the Python library peft writes them: the field `lora_alpha` is the
 * property `lora-alpha`. Fields that can hold more than one kind of value are [struct@GLib.Variant]
 * properties: `target-modules` takes a string (`s`) or a list of strings (`as`); `NULL` is JSON's
 * null.
 *
 * A field is unset, null or has a value; reading an unset field gives peft's default. Defaults are
 * peft's.
 *
 * Fields of a file that the class does not know are kept as they are and written back; see
 * [method@Config.get_unknown_fields]. They may change what the adapter means, so that whoever loads
 * a file should show their names.
 *
 * Instances are confined to their thread.
 *
 * Since: 1.0
 */

typedef struct
{
  GHashTable *values; /* field name → PeftJson; absent: unset */
  PeftJson *unknown;
} PeftConfigPrivate;

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (PeftConfig, peft_config, G_TYPE_OBJECT)

static const char *const task_types[]
    = { "SEQ_CLS",      "SEQ_2_SEQ_LM",       "CAUSAL_LM", "TOKEN_CLS",
        "QUESTION_ANS", "FEATURE_EXTRACTION", NULL };
static const char *const supported_task_types[]
    = { "CAUSAL_LM", "SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION", NULL };

/* peft_type itself is the class. */
/* clang-format off */
static const PeftField common_fields[] = {
  { "task_type", PEFT_FIELD_STRING | PEFT_FIELD_NULL, "null", .choices = task_types,
    .supported = supported_task_types, .group = "file", .nick = N_ ("Task"), .blurb = N_ ("What the model with the adapter is for") },
  { "auto_mapping", PEFT_FIELD_MAP | PEFT_FIELD_NULL, "null", .group = "file",
    .nick = N_ ("Model class"),
    .blurb = N_ ("Python class of the base model, for adapters without a task") },
  { "base_model_name_or_path", PEFT_FIELD_STRING | PEFT_FIELD_NULL, "null", .group = "file",
    .nick = N_ ("Base model"), .blurb = N_ ("Name or path of the model the adapter belongs to") },
  { "revision", PEFT_FIELD_STRING | PEFT_FIELD_NULL, "null", .group = "file",
    .nick = N_ ("Revision"), .blurb = N_ ("Revision of the base model") },
  { "peft_version", PEFT_FIELD_STRING | PEFT_FIELD_NULL, "null", .group = "file",
    .nick = N_ ("Format version"),
    .blurb = N_ ("Release of the Python library whose format the file follows") },
  { "inference_mode", PEFT_FIELD_BOOLEAN, "false", .group = "file", .nick = N_ ("Inference only"),
    .blurb = N_ ("Written as true into every file; without meaning for loading") },
};
/* clang-format on */

/* One entry of PeftConfigClass.fields. */
typedef struct
{
  const PeftField *field;
  PeftJson *initial;
  GParamSpec *pspec;
} FieldEntry;

static FieldEntry *
find_entry (PeftConfigClass *klass, const char *name)
{
  GPtrArray *fields = klass->fields;

  for (guint i = 0; i < fields->len; i++)
    {
      FieldEntry *entry = fields->pdata[i];

      if (g_str_equal (entry->field->name, name))
        return entry;
    }
  return NULL;
}

static FieldEntry *
entry_of_pspec (PeftConfig *self, GParamSpec *pspec)
{
  GPtrArray *fields = PEFT_CONFIG_GET_CLASS (self)->fields;

  for (guint i = 0; i < fields->len; i++)
    {
      FieldEntry *entry = fields->pdata[i];

      if (entry->pspec == pspec)
        return entry;
    }
  return NULL;
}

static const PeftJson *
get_value (PeftConfig *self, FieldEntry *entry)
{
  PeftConfigPrivate *priv = peft_config_get_instance_private (self);
  const PeftJson *value = g_hash_table_lookup (priv->values, entry->field->name);

  return value != NULL ? value : entry->initial;
}

static void
put_value (PeftConfig *self, FieldEntry *entry, PeftJson *value)
{
  PeftConfigPrivate *priv = peft_config_get_instance_private (self);

  if (value == NULL)
    g_hash_table_remove (priv->values, entry->field->name);
  else
    g_hash_table_replace (priv->values, (gpointer) entry->field->name, value);
  g_object_notify_by_pspec (G_OBJECT (self), entry->pspec);
}

static void
peft_config_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  PeftConfig *self = PEFT_CONFIG (object);
  FieldEntry *entry = entry_of_pspec (self, pspec);

  if (entry == NULL)
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  else
    peft_field_to_gvalue (entry->field, get_value (self, entry), value);
}

static void
peft_config_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  PeftConfig *self = PEFT_CONFIG (object);
  FieldEntry *entry = entry_of_pspec (self, pspec);
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftJson) json = NULL;

  if (entry == NULL)
    {
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
      return;
    }
  json = peft_field_from_gvalue (entry->field, value, &error);
  if (json == NULL || !peft_field_check (entry->field, json, PEFT_ERROR_INVALID_ARGUMENT, &error))
    g_critical ("%s: %s", G_OBJECT_TYPE_NAME (self), error->message);
  else
    put_value (self, entry, g_steal_pointer (&json));
}

static void
peft_config_finalize (GObject *object)
{
  PeftConfigPrivate *priv = peft_config_get_instance_private (PEFT_CONFIG (object));

  g_hash_table_unref (priv->values);
  g_clear_pointer (&priv->unknown, peft_json_unref);
  G_OBJECT_CLASS (peft_config_parent_class)->finalize (object);
}

void
peft_config_class_set_fields (PeftConfigClass *klass,
                              const char *peft_type,
                              const PeftField *fields,
                              gsize n_fields)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GPtrArray *inherited = klass->fields;
  GPtrArray *all = g_ptr_array_new ();

  for (guint i = 0; inherited != NULL && i < inherited->len; i++)
    g_ptr_array_add (all, inherited->pdata[i]);
  object_class->get_property = peft_config_get_property;
  object_class->set_property = peft_config_set_property;
  for (gsize i = 0; i < n_fields; i++)
    {
      FieldEntry *entry = g_new0 (FieldEntry, 1);

      entry->field = &fields[i];
      entry->initial = peft_field_dup_initial (&fields[i]);
      entry->pspec = peft_field_create_pspec (&fields[i]);
      g_object_class_install_property (object_class, (guint) i + 1, entry->pspec);
      g_ptr_array_add (all, entry);
    }
  klass->peft_type = peft_type;
  klass->fields = all;
}

static void
peft_config_class_init (PeftConfigClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = peft_config_finalize;
  klass->fields = NULL;
  peft_config_class_set_fields (klass, NULL, common_fields, G_N_ELEMENTS (common_fields));
}

static void
peft_config_init (PeftConfig *self)
{
  PeftConfigPrivate *priv = peft_config_get_instance_private (self);

  priv->values
      = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify) peft_json_unref);
}

gsize
peft_config_class_get_n_fields (PeftConfigClass *klass)
{
  return ((GPtrArray *) klass->fields)->len;
}

const PeftField *
peft_config_class_get_field (PeftConfigClass *klass, gsize index)
{
  return ((FieldEntry *) g_ptr_array_index ((GPtrArray *) klass->fields, index))->field;
}

const PeftField *
peft_config_class_find_field (PeftConfigClass *klass, const char *name)
{
  FieldEntry *entry = find_entry (klass, name);

  return entry != NULL ? entry->field : NULL;
}

const PeftJson *
peft_config_get_json (PeftConfig *self, const char *name)
{
  FieldEntry *entry = find_entry (PEFT_CONFIG_GET_CLASS (self), name);

  g_assert (entry != NULL);
  return get_value (self, entry);
}

gint64
peft_config_get_int (PeftConfig *self, const char *name)
{
  gint64 value = 0;

  peft_json_get_int (peft_config_get_json (self, name), &value);
  return value;
}

double
peft_config_get_double (PeftConfig *self, const char *name)
{
  double value = 0.0;

  peft_json_get_double (peft_config_get_json (self, name), &value);
  return value;
}

gboolean
peft_config_get_boolean (PeftConfig *self, const char *name)
{
  const PeftJson *value = peft_config_get_json (self, name);

  return peft_json_get_kind (value) == PEFT_JSON_BOOLEAN && peft_json_get_boolean (value);
}

const char *
peft_config_get_string (PeftConfig *self, const char *name)
{
  const PeftJson *value = peft_config_get_json (self, name);

  return peft_json_get_kind (value) == PEFT_JSON_STRING ? peft_json_get_string (value) : NULL;
}

static gboolean
refuse_name (PeftConfig *self, const char *name, GError **error)
{
  PeftConfigClass *klass = PEFT_CONFIG_GET_CLASS (self);
  GPtrArray *fields = klass->fields;
  g_autofree const char **names = g_new (const char *, fields->len);
  const char *closest;

  for (guint i = 0; i < fields->len; i++)
    names[i] = ((FieldEntry *) fields->pdata[i])->field->name;
  closest = peft_closest_name (name, names, fields->len);
  if (closest != NULL)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND,
                 _ ("%s has no field '%s'; did you mean '%s'?"), klass->peft_type, name, closest);
  else
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND, _ ("%s has no field '%s'"),
                 klass->peft_type, name);
  return FALSE;
}

gboolean
peft_config_set_json (PeftConfig *self, const char *name, PeftJson *value, int code, GError **error)
{
  g_autoptr (PeftJson) taken = value;
  FieldEntry *entry = find_entry (PEFT_CONFIG_GET_CLASS (self), name);

  if (entry == NULL)
    return refuse_name (self, name, error);
  if (value != NULL && !peft_field_check (entry->field, value, code, error))
    return FALSE;
  put_value (self, entry, g_steal_pointer (&taken));
  return TRUE;
}

PeftConfig *
peft_config_dup (PeftConfig *self)
{
  PeftConfigPrivate *priv = peft_config_get_instance_private (self);
  PeftConfig *copy = g_object_new (G_OBJECT_TYPE (self), NULL);
  PeftConfigPrivate *copy_priv = peft_config_get_instance_private (copy);
  GHashTableIter iter;
  gpointer name, value;

  g_hash_table_iter_init (&iter, priv->values);
  while (g_hash_table_iter_next (&iter, &name, &value))
    g_hash_table_insert (copy_priv->values, name, peft_json_ref (value));
  if (priv->unknown != NULL)
    copy_priv->unknown = peft_json_ref (priv->unknown);
  return copy;
}

const PeftJson *
peft_config_get_unknown (PeftConfig *self)
{
  PeftConfigPrivate *priv = peft_config_get_instance_private (self);

  return priv->unknown;
}

void
peft_config_set_unknown (PeftConfig *self, PeftJson *unknown)
{
  PeftConfigPrivate *priv = peft_config_get_instance_private (self);

  g_clear_pointer (&priv->unknown, peft_json_unref);
  priv->unknown = unknown;
}

/**
 * peft_config_new_for_method:
 * @peft_type: a method's name, such as `LORA`; case does not matter
 * @error: return location for an error
 *
 * Makes the configuration of a method, with every field unset.
 *
 * Fails with `PEFT_ERROR_UNSUPPORTED` for a method that the Python library has and this one does
 * not, with `PEFT_ERROR_NOT_FOUND` for any other name.
 *
 * Returns: (transfer full): the configuration
 *
 * Since: 1.0
 */
PeftConfig *
peft_config_new_for_method (const char *peft_type, GError **error)
{
  const PeftMethod *method;

  g_return_val_if_fail (peft_type != NULL, NULL);

  method = peft_method_require (peft_type, error);
  return method != NULL ? g_object_new (method->get_config_type (), NULL) : NULL;
}

/**
 * peft_config_get_peft_type:
 * @self: a configuration
 *
 * Gets the name of the method, such as `LORA`.
 *
 * Returns: the name
 *
 * Since: 1.0
 */
const char *
peft_config_get_peft_type (PeftConfig *self)
{
  g_return_val_if_fail (PEFT_IS_CONFIG (self), NULL);

  return PEFT_CONFIG_GET_CLASS (self)->peft_type;
}

/**
 * peft_config_set_field:
 * @self: a configuration
 * @name: the name of a field as in the file, such as `lora_alpha`
 * @json: (nullable): the value as JSON, or `NULL` to make the field unset
 * @error: return location for an error
 *
 * Sets a field from JSON text.
 *
 * Text that is no JSON is taken as a string where the field takes one.
 *
 * Returns: whether it was set
 *
 * Since: 1.0
 */
gboolean
peft_config_set_field (PeftConfig *self, const char *name, const char *json, GError **error)
{
  FieldEntry *entry;
  g_autoptr (PeftJson) value = NULL;
  g_autoptr (GError) parse_error = NULL;

  g_return_val_if_fail (PEFT_IS_CONFIG (self), FALSE);
  g_return_val_if_fail (name != NULL, FALSE);

  entry = find_entry (PEFT_CONFIG_GET_CLASS (self), name);
  if (entry == NULL)
    return refuse_name (self, name, error);
  if (json == NULL)
    return peft_config_set_json (self, name, NULL, 0, error);
  value = peft_json_parse (json, -1, PEFT_JSON_PARSE_UNIQUE_KEYS, &parse_error);
  if (value == NULL && (entry->field->forms & PEFT_FIELD_STRING) != 0
      && g_utf8_validate (json, -1, NULL))
    value = peft_json_new_string (json);
  if (value == NULL)
    {
      g_autofree char *expected = peft_field_describe_type (entry->field);

      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("%s: expected %s, found '%s', which is not JSON (%s)"), name, expected, json,
                   parse_error->message);
      return FALSE;
    }
  return peft_config_set_json (self, name, g_steal_pointer (&value), PEFT_ERROR_INVALID_ARGUMENT,
                               error);
}

/**
 * peft_config_get_field:
 * @self: a configuration
 * @name: the name of a field as in the file
 *
 * Gets a field as JSON text; of an unset field its default.
 *
 * Returns: (transfer full) (nullable): the text, `NULL` when there is no such field
 *
 * Since: 1.0
 */
char *
peft_config_get_field (PeftConfig *self, const char *name)
{
  FieldEntry *entry;

  g_return_val_if_fail (PEFT_IS_CONFIG (self), NULL);
  g_return_val_if_fail (name != NULL, NULL);

  entry = find_entry (PEFT_CONFIG_GET_CLASS (self), name);
  return entry == NULL ? NULL
                       : peft_json_to_string (get_value (self, entry), PEFT_JSON_WRITE_SPACED);
}

/**
 * peft_config_is_set:
 * @self: a configuration
 * @name: the name of a field as in the file
 *
 * Tells whether a field has been given a value, be it null.
 *
 * Returns: `TRUE` if so
 *
 * Since: 1.0
 */
gboolean
peft_config_is_set (PeftConfig *self, const char *name)
{
  PeftConfigPrivate *priv = peft_config_get_instance_private (self);

  g_return_val_if_fail (PEFT_IS_CONFIG (self), FALSE);
  g_return_val_if_fail (name != NULL, FALSE);

  return g_hash_table_contains (priv->values, name);
}

/**
 * peft_config_validate:
 * @self: a configuration
 * @error: return location for an error
 *
 * Checks that the fields go together and that this version of the library can carry all of them
 * out.
 *
 * A configuration that loads may still ask for something that only the Python library does; that is
 * `PEFT_ERROR_UNSUPPORTED` here, with the field's name in the message.
 *
 * Returns: whether it is valid
 *
 * Since: 1.0
 */
gboolean
peft_config_validate (PeftConfig *self, GError **error)
{
  PeftConfigClass *klass;
  GPtrArray *fields;
  const PeftMethod *method;

  g_return_val_if_fail (PEFT_IS_CONFIG (self), FALSE);

  klass = PEFT_CONFIG_GET_CLASS (self);
  fields = klass->fields;
  for (guint i = 0; i < fields->len; i++)
    {
      FieldEntry *entry = fields->pdata[i];

      if (!peft_field_check_supported (entry->field, get_value (self, entry), error))
        return FALSE;
    }
  method = peft_method_find (klass->peft_type);
  return peft_targets_validate (self, error)
         && (method == NULL || method->validate == NULL || method->validate (self, error));
}

/**
 * peft_config_get_unknown_fields:
 * @self: a configuration
 *
 * Gets the names of fields that the file had and this version does not know.
 *
 * Returns: (transfer full) (array zero-terminated=1): the names
 *
 * Since: 1.0
 */
GStrv
peft_config_get_unknown_fields (PeftConfig *self)
{
  PeftConfigPrivate *priv = peft_config_get_instance_private (self);
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();

  g_return_val_if_fail (PEFT_IS_CONFIG (self), NULL);

  for (gsize i = 0; priv->unknown != NULL && i < peft_json_get_length (priv->unknown); i++)
    g_strv_builder_add (names, peft_json_get_name (priv->unknown, i));
  return g_strv_builder_end (names);
}
