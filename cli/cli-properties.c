/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli-properties.h"

#include <glib/gi18n.h>
#include <math.h>
#include <string.h>

typedef struct
{
  GParamSpec *pspec;
  gboolean automatic; /* the default stands for a choice of the library's */
  char *option;       /* "no-shuffle" */
  char *description;
  char *text;
  char **list;
  gboolean flag;
} Item;

struct _CliProperties
{
  GObjectClass *klass;
  GPtrArray *items;
  GArray *entries;
};

static void
item_free (gpointer data)
{
  Item *item = data;

  g_free (item->option);
  g_free (item->description);
  g_free (item->text);
  g_strfreev (item->list);
  g_free (item);
}

static char *
number_text (double value)
{
  char buffer[G_ASCII_DTOSTR_BUF_SIZE];
  return g_strdup (g_ascii_formatd (buffer, sizeof buffer, "%.10g", value));
}

static char *
default_text (GParamSpec *pspec)
{
  const GValue *value = g_param_spec_get_default_value (pspec);

  if (G_IS_PARAM_SPEC_ENUM (pspec))
    return g_strdup (g_enum_get_value (G_PARAM_SPEC_ENUM (pspec)->enum_class, g_value_get_enum (value))->value_nick);
  if (G_IS_PARAM_SPEC_STRING (pspec))
    return g_value_dup_string (value);
  if (G_IS_PARAM_SPEC_DOUBLE (pspec))
    return number_text (g_value_get_double (value));
  if (!G_IS_PARAM_SPEC_BOOLEAN (pspec) && !G_IS_PARAM_SPEC_BOXED (pspec))
    return g_strdup_value_contents (value);
  return NULL;
}

static gboolean
is_option (GParamSpec *pspec, const char *const *skip)
{
  return (pspec->flags & G_PARAM_WRITABLE) != 0 && (pspec->flags & G_PARAM_CONSTRUCT_ONLY) == 0
         && !g_strv_contains (skip, pspec->name) && !G_IS_PARAM_SPEC_OBJECT (pspec)
         && (!G_IS_PARAM_SPEC_BOXED (pspec) || pspec->value_type == G_TYPE_STRV);
}

CliProperties *
cli_properties_new (GType type, const char *const *skip, const char *const *automatic)
{
  CliProperties *self = g_new0 (CliProperties, 1);
  guint n;
  g_autofree GParamSpec **pspecs = NULL;

  self->klass = g_type_class_ref (type);
  self->items = g_ptr_array_new_with_free_func (item_free);
  self->entries = g_array_new (TRUE, TRUE, sizeof (GOptionEntry));
  pspecs = g_object_class_list_properties (self->klass, &n);
  for (guint i = 0; i < n; i++)
    {
      Item *item;
      const char *name = pspecs[i]->name;
      const char *blurb;
      g_autofree char *fallback = NULL;

      if (!is_option (pspecs[i], skip))
        continue;
      item = g_new0 (Item, 1);
      item->pspec = pspecs[i];
      item->automatic = automatic != NULL && g_strv_contains (automatic, name);
      fallback = item->automatic ? g_strdup ("auto") : default_text (pspecs[i]);
      blurb = _ (g_param_spec_get_blurb (pspecs[i]));
      if (G_IS_PARAM_SPEC_BOOLEAN (pspecs[i]) && G_PARAM_SPEC_BOOLEAN (pspecs[i])->default_value)
        item->option = g_strdup_printf ("no-%s", name);
      else if (pspecs[i]->value_type == G_TYPE_STRV && g_str_has_suffix (name, "s"))
        item->option = g_strndup (name, strlen (name) - 1);
      else
        item->option = g_strdup (name);
      if (g_str_has_prefix (item->option, "no-") && !g_str_equal (item->option, name))
        item->description = g_strdup_printf (_ ("do not %s"), blurb);
      else
        item->description = fallback != NULL && *fallback != '\0'
                              ? g_strdup_printf (_ ("%s (default: %s)"), blurb, fallback)
                                : g_strdup (blurb);
      g_ptr_array_add (self->items, item);
    }
  return self;
}

void
cli_properties_free (CliProperties *self)
{
  g_ptr_array_unref (self->items);
  g_array_unref (self->entries);
  g_type_class_unref (self->klass);
  g_free (self);
}

void
cli_properties_add_entries (CliProperties *self, const GOptionEntry *extra)
{
  for (; extra->long_name != NULL; extra++)
    g_array_append_val (self->entries, *extra);
}

const GOptionEntry *
cli_properties_get_entries (CliProperties *self, const GOptionEntry *extra)
{
  cli_properties_add_entries (self, extra);
  for (guint i = 0; i < self->items->len; i++)
    {
      Item *item = g_ptr_array_index (self->items, i);
      GOptionEntry entry = { .long_name = item->option, .description = item->description };

      if (G_IS_PARAM_SPEC_BOOLEAN (item->pspec))
        {
          entry.arg = G_OPTION_ARG_NONE;
          entry.arg_data = &item->flag;
        }
      else if (item->pspec->value_type == G_TYPE_STRV)
        {
          entry.arg = G_OPTION_ARG_STRING_ARRAY;
          entry.arg_data = &item->list;
          entry.arg_description = N_ ("TEXT");
        }
      else
        {
          entry.arg = G_OPTION_ARG_STRING;
          entry.arg_data = &item->text;
          entry.arg_description = G_IS_PARAM_SPEC_STRING (item->pspec) ? N_ ("TEXT")
                                  : G_IS_PARAM_SPEC_DOUBLE (item->pspec) ? "X"
                                  : G_IS_PARAM_SPEC_ENUM (item->pspec) ? N_ ("CHOICE")
                                                                       : "N";
        }
      g_array_append_val (self->entries, entry);
    }
  return (const GOptionEntry *) self->entries->data;
}

gboolean
cli_properties_is_given (CliProperties *self, const char *property)
{
  for (guint i = 0; i < self->items->len; i++)
    {
      Item *item = g_ptr_array_index (self->items, i);

      if (g_str_equal (item->pspec->name, property))
        return item->text != NULL || item->list != NULL || item->flag;
    }
  return FALSE;
}

gboolean
cli_properties_is_any_given (CliProperties *self)
{
  for (guint i = 0; i < self->items->len; i++)
    {
      Item *item = g_ptr_array_index (self->items, i);

      if (item->text != NULL || item->list != NULL || item->flag)
        return TRUE;
    }
  return FALSE;
}

static gboolean
wrong_value (Item *item, const char *expected, GError **error)
{
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT, _ ("--%s: expected %s, found “%s”"),
               item->option, expected, item->text);
  return FALSE;
}

static gboolean
parse_enum (Item *item, GValue *value, GError **error)
{
  GEnumClass *klass = G_PARAM_SPEC_ENUM (item->pspec)->enum_class;
  GEnumValue *found = g_enum_get_value_by_nick (klass, item->text);
  g_autoptr (GString) names = g_string_new (NULL);

  if (found != NULL)
    {
      g_value_set_enum (value, found->value);
      return TRUE;
    }
  for (guint i = 0; i < klass->n_values; i++)
    g_string_append_printf (names, "%s%s", i > 0 ? ", " : "", klass->values[i].value_nick);
  return wrong_value (item, names->str, error);
}

/* The range of a number; both infinite: any. A number below those that mean something is a choice of the library's,
 * which is written "auto". */
static void
number_range (const Item *item, double *low, double *high)
{
  GParamSpec *pspec = item->pspec;

  *low = -INFINITY;
  *high = INFINITY;
#define RANGE(Type, TYPE, upper)                                                                   \
  if (G_IS_PARAM_SPEC_##TYPE (pspec))                                                              \
    {                                                                                              \
      *low = G_PARAM_SPEC_##TYPE (pspec)->minimum;                                                 \
      if (G_PARAM_SPEC_##TYPE (pspec)->maximum < upper)                                            \
        *high = G_PARAM_SPEC_##TYPE (pspec)->maximum;                                              \
    }
  RANGE (Int, INT, G_MAXINT)
  RANGE (UInt, UINT, G_MAXUINT)
  RANGE (Int64, INT64, G_MAXINT64)
  RANGE (UInt64, UINT64, G_MAXUINT64)
  RANGE (Double, DOUBLE, G_MAXDOUBLE)
#undef RANGE
  if (item->automatic)
    *low = *low < 0 ? 0 : *low + 1;
}

static char *
range_text (const Item *item, gboolean whole, gboolean open, const char *from, const char *to)
{
  if (item->automatic && open)
    return g_strdup_printf (whole ? _ ("auto or a whole number from %s on") : _ ("auto or a number from %s on"), from);
  if (item->automatic)
    return g_strdup_printf (whole ? _ ("auto or a whole number from %s to %s") : _ ("auto or a number from %s to %s"), from, to);
  if (open)
    return g_strdup_printf (whole ? _ ("a whole number from %s on") : _ ("a number from %s on"), from);
  return g_strdup_printf (whole ? _ ("a whole number from %s to %s") : _ ("a number from %s to %s"), from, to);
}

static gboolean
parse_number (Item *item, GValue *value, GError **error)
{
  gboolean whole = !G_IS_PARAM_SPEC_DOUBLE (item->pspec);
  g_auto (GValue) number = G_VALUE_INIT;
  g_autofree char *expected = NULL;
  g_autofree char *from = NULL;
  g_autofree char *to = NULL;
  double low, high, parsed;
  char *end;

  number_range (item, &low, &high);
  if (item->automatic && g_str_equal (item->text, "auto"))
    {
      g_param_value_set_default (item->pspec, value);
      return TRUE;
    }
  parsed = g_ascii_strtod (item->text, &end);
  if (whole && strspn (item->text, "+-0123456789") != strlen (item->text))
    end = item->text;
  if (end != item->text && *end == '\0' && isfinite (parsed) && parsed >= low && parsed <= high
      && (!whole || fabs (parsed) < 9007199254740992.0))
    {
      gboolean negative = G_IS_PARAM_SPEC_INT (item->pspec) || G_IS_PARAM_SPEC_INT64 (item->pspec);

      g_value_init (&number, !whole ? G_TYPE_DOUBLE : negative ? G_TYPE_INT64 : G_TYPE_UINT64);
      if (!whole)
        g_value_set_double (&number, parsed);
      else if (negative)
        g_value_set_int64 (&number, g_ascii_strtoll (item->text, NULL, 10));
      else
        g_value_set_uint64 (&number, g_ascii_strtoull (item->text, NULL, 10));
      return g_value_transform (&number, value);
    }
  /* The smallest number there is stands for "more than nothing". */
  if (!whole && low == G_MINDOUBLE && isinf (high))
    return wrong_value (item, _ ("a number above 0"), error);
  from = number_text (low);
  to = number_text (high);
  expected = range_text (item, whole, isinf (high), from, to);
  return wrong_value (item, expected, error);
}

gboolean
cli_properties_apply (CliProperties *self, GObject *object, GError **error)
{
  for (guint i = 0; i < self->items->len; i++)
    {
      Item *item = g_ptr_array_index (self->items, i);
      g_auto (GValue) value = G_VALUE_INIT;

      if (item->text == NULL && item->list == NULL && !item->flag)
        continue;
      g_value_init (&value, item->pspec->value_type);
      if (G_IS_PARAM_SPEC_BOOLEAN (item->pspec))
        g_value_set_boolean (&value, !G_PARAM_SPEC_BOOLEAN (item->pspec)->default_value);
      else if (item->pspec->value_type == G_TYPE_STRV)
        g_value_set_boxed (&value, item->list);
      else if (G_IS_PARAM_SPEC_STRING (item->pspec))
        g_value_set_string (&value, item->text);
      else if (G_IS_PARAM_SPEC_ENUM (item->pspec) ? !parse_enum (item, &value, error)
                                                  : !parse_number (item, &value, error))
        return FALSE;
      g_object_set_property (object, item->pspec->name, &value);
    }
  return TRUE;
}
