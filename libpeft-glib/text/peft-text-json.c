/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-text-json.h"

#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "text/peft-text-util.h"

static void
set_wrong_kind (const PeftJson *json, const char *name, const char *expected, GError **error)
{
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE, _("%s: expected %s, found %s"), name,
               expected, json == NULL ? _("nothing") : peft_json_get_kind_name (json));
}

const char *
peft_text_json_string (const PeftJson *json, const char *name, gsize *length, GError **error)
{
  const PeftJson *value = json != NULL ? peft_json_get_member (json, name) : NULL;

  if (value == NULL || peft_json_get_kind (value) != PEFT_JSON_STRING)
    {
      set_wrong_kind (value, name, _("a string"), error);
      return NULL;
    }
  if (length != NULL)
    *length = peft_json_get_string_length (value);
  return peft_json_get_string (value);
}

const char *
peft_text_json_type (const PeftJson *json, GError **error)
{
  if (peft_json_get_kind (json) != PEFT_JSON_OBJECT)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE, _("expected an object, found %s"),
                   peft_json_get_kind_name (json));
      return NULL;
    }
  return peft_text_json_string (json, "type", NULL, error);
}

PeftJson *
peft_text_json_parts (const PeftJson *json, const char *name, guint depth, GError **error)
{
  PeftJson *value = peft_json_get_member (json, name);

  if (value == NULL || peft_json_get_kind (value) != PEFT_JSON_ARRAY)
    {
      set_wrong_kind (value, name, _("an array"), error);
      return NULL;
    }
  if (depth >= PEFT_TEXT_MAX_DEPTH || peft_json_get_length (value) > PEFT_TEXT_MAX_PARTS)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                   _("%s: at most %u parts, %u deep, are allowed"), name, PEFT_TEXT_MAX_PARTS,
                   PEFT_TEXT_MAX_DEPTH);
      return NULL;
    }
  return value;
}

gboolean
peft_text_json_char (const PeftJson *json, const char *name, gunichar *out, GError **error)
{
  gsize length;
  const char *text = peft_text_json_string (json, name, &length, error);

  if (text == NULL)
    return FALSE;
  if (length == 0 || peft_text_char_length (text) != length)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("%s: expected one character, found “%s”"), name, text);
      return FALSE;
    }
  *out = g_utf8_get_char (text);
  return TRUE;
}

gboolean
peft_text_json_boolean (const PeftJson *json, const char *name, gboolean standard, gboolean *out,
                        GError **error)
{
  *out = standard;
  return peft_json_read_boolean (json, name, out, error);
}

const char *
peft_text_json_pattern (const PeftJson *json, gboolean *literal, gsize *length, GError **error)
{
  const PeftJson *pattern = peft_json_get_member (json, "pattern");

  if (pattern == NULL || peft_json_get_kind (pattern) != PEFT_JSON_OBJECT)
    {
      set_wrong_kind (pattern, "pattern", _("an object"), error);
      return NULL;
    }
  *literal = peft_json_get_member (pattern, "String") != NULL;
  return peft_text_json_string (pattern, *literal ? "String" : "Regex", length, error);
}

void
peft_text_json_unknown (const char *type, const char *what, GError **error)
{
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED, _("the %s “%s” is not supported"), what,
               type);
}
