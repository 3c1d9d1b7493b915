/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli-print.h"

#include <inttypes.h>
#include <errno.h>
#include <glib/gi18n.h>
#include <string.h>
#include <unistd.h>

#include "cli-common.h"

/* Longer lists of plain values are cut in the readable form; --json has them whole. */
#define MAX_ITEMS 24

static GVariant *
unbox (GVariant *value)
{
  while (g_variant_is_of_type (value, G_VARIANT_TYPE_VARIANT))
    {
      GVariant *inner = g_variant_get_variant (value);
      g_variant_unref (value);
      value = inner;
    }
  return value;
}

static gboolean
is_plain (GVariant *value)
{
  return !g_variant_is_container (value) || g_variant_is_of_type (value, G_VARIANT_TYPE ("mv"));
}

static char *
plain_text (const char *name, GVariant *value)
{
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
    return g_variant_dup_string (value, NULL);
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_BOOLEAN))
    return g_strdup (g_variant_get_boolean (value) ? _ ("yes") : _ ("no"));
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_INT64))
    {
      gint64 number = g_variant_get_int64 (value);

      if (number >= 0 && (g_str_has_suffix (name, "bytes") || g_str_equal (name, "memory")))
        return cli_format_bytes (number);
      if (number >= 0 && (g_str_has_suffix (name, "parameters")))
        return cli_format_count (number);
      return g_strdup_printf ("%" PRIi64, number);
    }
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_DOUBLE))
    return g_strdup_printf ("%.6g", g_variant_get_double (value));
  if (g_variant_is_of_type (value, G_VARIANT_TYPE ("mv")))
    return g_strdup ("–");
  return g_variant_print (value, FALSE);
}

static void print_value (const char *name, GVariant *value, guint indent);

/* All numbers below "memory" are bytes. */
static gboolean
print_memory (const char *name, GVariant *object, guint indent)
{
  GVariantIter iter;
  const char *part;
  GVariant *value;

  if (!g_str_equal (name, "memory"))
    return FALSE;
  g_print ("%*s%s\n", indent, "", name);
  g_variant_iter_init (&iter, object);
  while (g_variant_iter_loop (&iter, "{&sv}", &part, &value))
    {
      g_autofree char *text = NULL;

      if (g_variant_is_of_type (value, G_VARIANT_TYPE_INT64))
        text = cli_format_bytes (g_variant_get_int64 (value));
      else
        text = plain_text (part, value);
      g_print ("%*s%-24s %s\n", indent + 2, "", part, text);
    }
  return TRUE;
}

static void
print_members (GVariant *object, guint indent)
{
  GVariantIter iter;
  char *name;
  GVariant *value;

  g_variant_iter_init (&iter, object);
  while (g_variant_iter_next (&iter, "{sv}", &name, &value))
    {
      value = unbox (value);
      print_value (name, value, indent);
      g_variant_unref (value);
      g_free (name);
    }
}

static void
print_list (const char *name, GVariant *list, guint indent)
{
  gsize n = g_variant_n_children (list);
  GString *line = g_string_new (NULL);
  gboolean plain = TRUE;

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) item = unbox (g_variant_get_child_value (list, i));
      plain &= is_plain (item);
    }
  for (gsize i = 0; plain && i < MIN (n, MAX_ITEMS); i++)
    {
      g_autoptr (GVariant) item = unbox (g_variant_get_child_value (list, i));
      g_autofree char *text = plain_text ("", item);
      g_string_append_printf (line, "%s%s", i > 0 ? ", " : "", text);
    }
  if (plain)
    {
      if (n > MAX_ITEMS)
        g_string_append_printf (line, _ (", … (%zu in all)"), n);
      g_print ("%*s%-24s %s\n", indent, "", name, n > 0 ? line->str : "–");
    }
  else
    {
      g_print ("%*s%s\n", indent, "", name);
      for (gsize i = 0; i < n; i++)
        {
          g_autoptr (GVariant) item = unbox (g_variant_get_child_value (list, i));

          if (i > 0)
            g_print ("\n");
          if (g_variant_is_of_type (item, G_VARIANT_TYPE_VARDICT))
            print_members (item, indent + 2);
          else
            print_value ("", item, indent + 2);
        }
    }
  g_string_free (line, TRUE);
}

static void
print_value (const char *name, GVariant *value, guint indent)
{
  if (is_plain (value))
    {
      g_autofree char *text = plain_text (name, value);
      g_print ("%*s%-24s %s\n", indent, "", name, text);
    }
  else if (g_variant_is_of_type (value, G_VARIANT_TYPE_VARDICT))
    {
      if (print_memory (name, value, indent))
        return;
      g_print ("%*s%s\n", indent, "", name);
      print_members (value, indent + 2);
    }
  else
    {
      print_list (name, value, indent);
    }
}

void
cli_print_json (const char *json, gboolean as_json)
{
  g_autoptr (GVariant) value = NULL;

  if (!as_json)
    value = peft_variant_new_from_json (json, NULL);
  if (value == NULL)
    {
      g_print ("%s\n", json);
      return;
    }
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_VARDICT))
    print_members (value, 0);
  else
    print_value ("", value, 0);
}

static GBytes *
read_stdin (GError **error)
{
  GByteArray *bytes = g_byte_array_new ();
  guint8 chunk[65536];
  gssize n;

  while ((n = read (STDIN_FILENO, chunk, sizeof chunk)) != 0)
    {
      if (n < 0 && errno == EINTR && cli_get_signal () == 0)
        continue;
      if (n < 0 && errno == EINTR)
        {
          g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, _ ("interrupted"));
          g_byte_array_unref (bytes);
          return NULL;
        }
      if (n < 0)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_IO, _ ("standard input: %s"), g_strerror (errno));
          g_byte_array_unref (bytes);
          return NULL;
        }
      g_byte_array_append (bytes, chunk, n);
    }
  return g_byte_array_free_to_bytes (bytes);
}

GBytes *
cli_read_stdin_for (const char *model, PeftTokenizer **tokenizer, GError **error)
{
  *tokenizer = peft_tokenizer_load (model, error);
  return *tokenizer != NULL ? read_stdin (error) : NULL;
}
