/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "methods/peft-config-field.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

#include "base/peft-error.h"

#define NUMERIC_FORMS                                                                              \
  (PEFT_FIELD_INT | PEFT_FIELD_DOUBLE | PEFT_FIELD_INTS | PEFT_FIELD_INT_MAP                       \
   | PEFT_FIELD_NUMBER_MAP)

/* GType of the field's property: one scalar form has its own type, a string may also be null. */
static GType
field_type (const PeftField *self)
{
  switch ((int) self->forms)
    {
    case PEFT_FIELD_BOOLEAN:
      return G_TYPE_BOOLEAN;
    case PEFT_FIELD_INT:
      return G_TYPE_INT;
    case PEFT_FIELD_DOUBLE:
    case PEFT_FIELD_INT | PEFT_FIELD_DOUBLE:
      return G_TYPE_DOUBLE;
    case PEFT_FIELD_STRING:
    case PEFT_FIELD_STRING | PEFT_FIELD_NULL:
      return G_TYPE_STRING;
    default:
      return G_TYPE_VARIANT;
    }
}

static gboolean
has_range (const PeftField *self)
{
  return self->minimum != 0.0 || self->maximum != 0.0;
}

static gboolean
all_members (const PeftJson *json, gboolean (*accepts) (const PeftJson *))
{
  for (gsize i = 0; i < peft_json_get_length (json); i++)
    {
      const PeftJson *member = peft_json_get_kind (json) == PEFT_JSON_ARRAY
                                   ? peft_json_get_element (json, i)
                                   : peft_json_get_value (json, i);
      if (!accepts (member))
        return FALSE;
    }
  return TRUE;
}

/* A string without NUL: with one it would be cut short later. */
static gboolean
is_string (const PeftJson *json)
{
  return peft_json_get_kind (json) == PEFT_JSON_STRING
         && strlen (peft_json_get_string (json)) == peft_json_get_string_length (json);
}

static gboolean
has_plain_names (const PeftJson *object)
{
  for (gsize i = 0; i < peft_json_get_length (object); i++)
    if (strlen (peft_json_get_name (object, i)) != peft_json_get_name_length (object, i))
      return FALSE;
  return TRUE;
}

static gboolean
is_int (const PeftJson *json)
{
  return peft_json_get_kind (json) == PEFT_JSON_INT;
}

static gboolean
suits_form (const PeftField *self, const PeftJson *value)
{
  PeftFieldForms forms = self->forms;

  switch (peft_json_get_kind (value))
    {
    case PEFT_JSON_NULL:
      return (forms & PEFT_FIELD_NULL) != 0;
    case PEFT_JSON_BOOLEAN:
      return (forms & PEFT_FIELD_BOOLEAN) != 0;
    case PEFT_JSON_INT:
      return (forms & (PEFT_FIELD_INT | PEFT_FIELD_DOUBLE)) != 0;
    case PEFT_JSON_DOUBLE:
      return (forms & PEFT_FIELD_DOUBLE) != 0;
    case PEFT_JSON_STRING:
      return (forms & PEFT_FIELD_STRING) != 0 && is_string (value);
    case PEFT_JSON_ARRAY:
      return (forms & PEFT_FIELD_LIST) != 0
             || ((forms & PEFT_FIELD_STRINGS) != 0 && all_members (value, is_string))
             || ((forms & PEFT_FIELD_INTS) != 0 && all_members (value, is_int));
    case PEFT_JSON_OBJECT:
      return (forms & PEFT_FIELD_MAP) != 0
             || (has_plain_names (value)
                 && (((forms & PEFT_FIELD_INT_MAP) != 0 && all_members (value, is_int))
                     || ((forms & PEFT_FIELD_NUMBER_MAP) != 0
                         && all_members (value, peft_json_is_number))));
    default:
      return FALSE;
    }
}

static gboolean
in_range (const PeftField *self, const PeftJson *value)
{
  double number;

  switch (peft_json_get_kind (value))
    {
    case PEFT_JSON_ARRAY:
      for (gsize i = 0; i < peft_json_get_length (value); i++)
        if (!in_range (self, peft_json_get_element (value, i)))
          return FALSE;
      return TRUE;
    case PEFT_JSON_OBJECT:
      for (gsize i = 0; i < peft_json_get_length (value); i++)
        if (!in_range (self, peft_json_get_value (value, i)))
          return FALSE;
      return TRUE;
    default:
      if (!peft_json_is_number (value) || !peft_json_get_double (value, &number))
        return TRUE;
      return isfinite (number) && number >= self->minimum && number <= self->maximum;
    }
}

static gboolean
in_choices (const char *const *choices, const char *value)
{
  for (; *choices != NULL; choices++)
    {
      gsize length = strlen (*choices);

      if ((*choices)[length - 1] == '*' ? strncmp (*choices, value, length - 1) == 0
                                        : strcmp (*choices, value) == 0)
        return TRUE;
    }
  return FALSE;
}

/* The value as it would stand in the file, cut where it is long. */
static char *
show_value (const PeftJson *value)
{
  g_autofree char *text = peft_json_to_string (value, PEFT_JSON_WRITE_SPACED);
  const char *end;

  if (g_utf8_strlen (text, -1) <= 60)
    return g_steal_pointer (&text);
  end = g_utf8_offset_to_pointer (text, 57);
  return g_strdup_printf ("%.*s...", (int) (end - text), text);
}

static gboolean
nests_at_most (const PeftJson *json, guint depth)
{
  PeftJsonKind kind = peft_json_get_kind (json);

  if (kind != PEFT_JSON_ARRAY && kind != PEFT_JSON_OBJECT)
    return TRUE;
  if (depth == 0)
    return FALSE;
  for (gsize i = 0; i < peft_json_get_length (json); i++)
    if (!nests_at_most (kind == PEFT_JSON_ARRAY ? peft_json_get_element (json, i)
                                                : peft_json_get_value (json, i),
                        depth - 1))
      return FALSE;
  return TRUE;
}

gboolean
peft_field_check (const PeftField *self, const PeftJson *value, int code, GError **error)
{
  PeftJsonKind kind = peft_json_get_kind (value);

  if ((kind == PEFT_JSON_ARRAY || kind == PEFT_JSON_OBJECT)
      && peft_json_get_length (value) > PEFT_FIELD_MAX_ITEMS)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                   _ ("%s: %zu entries, at most %u are allowed"), self->name,
                   peft_json_get_length (value), PEFT_FIELD_MAX_ITEMS);
      return FALSE;
    }
  if (!nests_at_most (value, PEFT_FIELD_MAX_DEPTH))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT, _ ("%s: nested more than %u deep"),
                   self->name, PEFT_FIELD_MAX_DEPTH);
      return FALSE;
    }
  if (!suits_form (self, value) || (has_range (self) && !in_range (self, value))
      || (kind == PEFT_JSON_STRING && self->choices != NULL
          && !in_choices (self->choices, peft_json_get_string (value))))
    {
      g_autofree char *expected = peft_field_describe_type (self);
      g_autofree char *found = show_value (value);

      g_set_error (error, PEFT_ERROR, code, _ ("%s: expected %s, found %s"), self->name, expected,
                   found);
      return FALSE;
    }
  return TRUE;
}

gboolean
peft_field_check_supported (const PeftField *self, const PeftJson *value, GError **error)
{
  g_autoptr (PeftJson) initial = peft_field_dup_initial (self);
  PeftJsonKind kind = peft_json_get_kind (value);
  PeftField narrowed = *self;
  g_autofree char *found = NULL;
  g_autofree char *expected = NULL;

  if (kind == PEFT_JSON_NULL)
    return TRUE;
  if (self->unsupported ? peft_json_equal (initial, value)
                              || ((kind == PEFT_JSON_ARRAY || kind == PEFT_JSON_OBJECT)
                                  && peft_json_get_length (value) == 0)
                        : self->supported == NULL || kind != PEFT_JSON_STRING
                              || in_choices (self->supported, peft_json_get_string (value)))
    return TRUE;
  found = show_value (value);
  narrowed.choices = self->supported;
  expected = self->unsupported ? show_value (initial) : peft_field_describe_type (&narrowed);
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
               _ ("%s: %s is not supported by this version, only %s"), self->name, found, expected);
  return FALSE;
}

static void
append_form (GString *out, const char *text)
{
  if (out->len > 0)
    g_string_append (out, _ (" or "));
  g_string_append (out, text);
}

char *
peft_field_describe_type (const PeftField *self)
{
  static const struct
  {
    PeftFieldForms form;
    const char *name;
  } names[] = {
    { PEFT_FIELD_BOOLEAN, N_ ("true or false") },
    { PEFT_FIELD_DOUBLE, N_ ("a number") },
    { PEFT_FIELD_INT, N_ ("an integer") },
    { PEFT_FIELD_STRING, N_ ("a string") },
    { PEFT_FIELD_STRINGS, N_ ("a list of strings") },
    { PEFT_FIELD_INTS, N_ ("a list of integers") },
    { PEFT_FIELD_LIST, N_ ("a list") },
    { PEFT_FIELD_INT_MAP, N_ ("an object of integers") },
    { PEFT_FIELD_NUMBER_MAP, N_ ("an object of numbers") },
    { PEFT_FIELD_MAP, N_ ("an object") },
    { PEFT_FIELD_NULL, N_ ("null") },
  };
  GString *out = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      PeftFieldForms form = names[i].form;

      if ((self->forms & form) == 0
          || (form == PEFT_FIELD_INT && (self->forms & PEFT_FIELD_DOUBLE) != 0))
        continue;
      if (form == PEFT_FIELD_STRING && self->choices != NULL)
        {
          for (const char *const *choice = self->choices; *choice != NULL; choice++)
            {
              g_autofree char *quoted = g_strdup_printf ("\"%s\"", *choice);
              append_form (out, quoted);
            }
          continue;
        }
      append_form (out, _ (names[i].name));
      if (has_range (self) && (form & NUMERIC_FORMS) != 0)
        g_string_append_printf (out, _ (" from %g to %g"), self->minimum, self->maximum);
    }
  return g_string_free (out, FALSE);
}

PeftJson *
peft_field_dup_initial (const PeftField *self)
{
  PeftJson *initial = peft_json_parse (self->initial, -1, PEFT_JSON_PARSE_DEFAULT, NULL);

  g_assert (initial != NULL);
  return initial;
}

char *
peft_field_dup_property_name (const PeftField *self)
{
  return g_strdelimit (g_strdup (self->name), "_", '-');
}

GParamSpec *
peft_field_create_pspec (const PeftField *self)
{
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;
  g_autofree char *property = peft_field_dup_property_name (self);
  const char *name = g_intern_string (property);
  const char *nick = _ (self->nick), *blurb = _ (self->blurb);
  g_autoptr (PeftJson) initial = peft_field_dup_initial (self);
  GType type = field_type (self);
  double number = 0.0;

  peft_json_get_double (initial, &number);
  if (type == G_TYPE_BOOLEAN)
    return g_param_spec_boolean (name, nick, blurb, peft_json_get_boolean (initial), flags);
  if (type == G_TYPE_INT)
    return g_param_spec_int (name, nick, blurb, has_range (self) ? (int) self->minimum : G_MININT,
                             has_range (self) ? (int) self->maximum : G_MAXINT, (int) number,
                             flags);
  if (type == G_TYPE_DOUBLE)
    return g_param_spec_double (name, nick, blurb, has_range (self) ? self->minimum : -G_MAXDOUBLE,
                                has_range (self) ? self->maximum : G_MAXDOUBLE, number, flags);
  if (type == G_TYPE_STRING)
    return g_param_spec_string (
        name, nick, blurb,
        is_string (initial) ? g_intern_string (peft_json_get_string (initial)) : NULL, flags);
  /* With another default GObject would not let NULL, which is null here, be set. */
  return g_param_spec_variant (name, nick, blurb, G_VARIANT_TYPE_ANY,
                               (self->forms & PEFT_FIELD_NULL) != 0
                                   ? NULL
                                   : peft_json_to_variant (initial),
                               flags);
}

PeftJson *
peft_field_from_gvalue (const PeftField *self, const GValue *value, GError **error)
{
  GType type = field_type (self);

  if (type == G_TYPE_BOOLEAN)
    return peft_json_new_boolean (g_value_get_boolean (value));
  if (type == G_TYPE_INT)
    return peft_json_new_int (g_value_get_int (value));
  if (type == G_TYPE_DOUBLE)
    {
      double number = g_value_get_double (value);

      if ((self->forms & PEFT_FIELD_INT) != 0 && number == floor (number) && fabs (number) < 1e15)
        return peft_json_new_int ((gint64) number);
      return peft_json_new_double (number);
    }
  if (type == G_TYPE_STRING)
    return g_value_get_string (value) == NULL ? peft_json_new_null ()
                                              : peft_json_new_string (g_value_get_string (value));
  return peft_json_from_variant (g_value_get_variant (value), error);
}

void
peft_field_to_gvalue (const PeftField *self, const PeftJson *json, GValue *value)
{
  GType type = field_type (self);
  double number = 0.0;

  if (type == G_TYPE_BOOLEAN)
    g_value_set_boolean (value, peft_json_get_boolean (json));
  else if (type == G_TYPE_INT && peft_json_get_double (json, &number))
    g_value_set_int (value, (int) number);
  else if (type == G_TYPE_DOUBLE && peft_json_get_double (json, &number))
    g_value_set_double (value, number);
  else if (type == G_TYPE_STRING)
    g_value_set_string (value, is_string (json) ? peft_json_get_string (json) : NULL);
  else if (type == G_TYPE_VARIANT)
    g_value_set_variant (value, peft_json_to_variant (json));
}
