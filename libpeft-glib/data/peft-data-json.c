/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "data/peft-data-records.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"

typedef struct
{
  const char *text;
  gsize length;
  gsize at;
  guint32 line; /* of text[at], from 1 */
  guint32 number;
  const PeftDataRecordLimits *limits;
  PeftDataRecordFunc func;
  gpointer user_data;
} Reader;

static gboolean
is_space (char c)
{
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

gboolean
peft_data_json_find_end (const char *text, gsize length, gsize start, gsize *end)
{
  gsize depth = 0;

  for (gsize i = start; i < length; i++)
    {
      char c = text[i];

      if (c == '"')
        {
          for (i++; i < length && text[i] != '"'; i++)
            if (text[i] == '\\')
              i++;
          if (i >= length)
            return FALSE;
        }
      else if (c == '{' || c == '[')
        depth++;
      else if (c == '}' || c == ']')
        {
          if (depth == 0)
            {
              *end = i;
              return i > start;
            }
          depth--;
        }
      else if (depth > 0)
        continue;
      else if (c == ',' || is_space (c))
        {
          *end = i;
          return i > start;
        }
      else
        continue;
      if (depth == 0)
        {
          *end = i + 1;
          return TRUE;
        }
    }
  if (depth > 0 || start >= length)
    return FALSE;
  *end = length;
  return TRUE;
}

gboolean
peft_data_json_is_conversation (const PeftJson *json)
{
  PeftJson *first;

  if (peft_json_get_kind (json) != PEFT_JSON_ARRAY || peft_json_get_length (json) == 0)
    return FALSE;
  first = peft_json_get_element (json, 0);
  return (peft_json_get_member (first, "role") != NULL
          && peft_json_get_member (first, "content") != NULL)
         || (peft_json_get_member (first, "from") != NULL
             && peft_json_get_member (first, "value") != NULL);
}

static void
move_to (Reader *self, gsize at)
{
  const char *p = self->text + self->at;
  const char *end = self->text + at;

  while ((p = memchr (p, '\n', (gsize)(end - p))) != NULL)
    {
      self->line++;
      p++;
    }
  self->at = at;
}

static void
skip_space (Reader *self)
{
  gsize at = self->at;

  while (at < self->length && is_space (self->text[at]))
    at++;
  move_to (self, at);
}

/* The parser counts lines from the start of what it is given: on an error the value is parsed again
 * behind as much white space as stands before it in the file. */
static PeftJson *
parse_value (Reader *self, gsize end, GError **error)
{
  g_autoptr (PeftJson) json = NULL;
  g_autoptr (GString) padded = NULL;
  gsize line_start = self->at;

  if (end - self->at > self->limits->max_record_bytes)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                   _ ("line %u: expected a row of at most %" PRIu64
                      " bytes, found %zu"),
                   self->line, self->limits->max_record_bytes, end - self->at);
      return NULL;
    }
  json = peft_json_parse (self->text + self->at, (gssize)(end - self->at), PEFT_JSON_PARSE_NAN,
                          NULL);
  if (json != NULL)
    return g_steal_pointer (&json);

  while (line_start > 0 && self->text[line_start - 1] != '\n')
    line_start--;
  padded = g_string_new (NULL);
  for (guint32 i = 1; i < self->line; i++)
    g_string_append_c (padded, '\n');
  for (gsize i = line_start; i < self->at; i++)
    if (((guchar)self->text[i] & 0xc0) != 0x80)
      g_string_append_c (padded, ' ');
  g_string_append_len (padded, self->text + self->at, (gssize)(end - self->at));
  return peft_json_parse (padded->str, (gssize)padded->len, PEFT_JSON_PARSE_NAN, error);
}

static gboolean
read_value (Reader *self, gsize end, GError **error)
{
  g_autoptr (PeftJson) json = parse_value (self, end, error);

  if (json == NULL)
    return FALSE;
  self->number++;
  if (!self->func (json, self->number, self->line, self->user_data, error))
    return FALSE;
  move_to (self, end);
  return TRUE;
}

gboolean
peft_data_records_read_json_lines (const char *text,
                                   gsize length,
                                   const PeftDataRecordLimits *limits,
                                   PeftDataRecordFunc func,
                                   gpointer user_data,
                                   GError **error)
{
  Reader self = { text, length, 0, 1, 0, limits, func, user_data };

  while (TRUE)
    {
      const char *newline;
      gsize end;

      skip_space (&self);
      if (self.at == length)
        return TRUE;
      newline = memchr (text + self.at, '\n', length - self.at);
      end = newline != NULL ? (gsize)(newline - text) : length;
      while (is_space (text[end - 1]))
        end--;
      if (!read_value (&self, end, error))
        return FALSE;
    }
}

static gboolean
fail_at (Reader *self, const char *expected, GError **error)
{
  if (self->at >= self->length)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                 _ ("line %u: expected %s, found the end of the file"), self->line, expected);
  else
    {
      gunichar c = g_utf8_get_char (self->text + self->at);
      char found[7] = { 0 };

      g_unichar_to_utf8 (c, found);
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("line %u: expected %s, found “%s”"), self->line, expected, found);
    }
  return FALSE;
}

/* at is on the '[' of a list of rows; afterwards behind its ']'. */
static gboolean
read_list (Reader *self, GError **error)
{
  gsize end;

  self->at++;
  skip_space (self);
  if (self->at < self->length && self->text[self->at] == ']')
    {
      self->at++;
      return TRUE;
    }
  while (TRUE)
    {
      if (!peft_data_json_find_end (self->text, self->length, self->at, &end))
        {
          if (self->at < self->length && !strchr ("{[\"", self->text[self->at]))
            return fail_at (self, _ ("a row"), error);
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                       _ ("line %u: the row that starts here has no end"), self->line);
          return FALSE;
        }
      if (!read_value (self, end, error))
        return FALSE;
      skip_space (self);
      if (self->at >= self->length || (self->text[self->at] != ',' && self->text[self->at] != ']'))
        return fail_at (self, _ ("“,” or “]” after a row"), error);
      if (self->text[self->at++] == ']')
        return TRUE;
      skip_space (self);
    }
}

static gboolean
at_end (Reader *self, GError **error)
{
  skip_space (self);
  return self->at == self->length || fail_at (self, _ ("the end of the file"), error);
}

/* Where the members of the object at text[at] have a list whose first element is an object. */
static guint
find_lists (const Reader *self, gsize *list, gboolean *is_row)
{
  /* A list of messages belongs to a row. */
  static const char *const message_columns[]
      = { "messages", "conversations", "conversation", "prompt", "completion",
          "history",  "chosen",        "rejected",     "tools",  NULL };
  gsize at = self->at + 1;
  guint n = 0;

  *is_row = FALSE;
  while (TRUE)
    {
      g_autofree char *name = NULL;
      gsize end;

      while (at < self->length && (is_space (self->text[at]) || self->text[at] == ','))
        at++;
      if (at >= self->length || self->text[at] != '"'
          || !peft_data_json_find_end (self->text, self->length, at, &end))
        return n;
      name = g_strndup (self->text + at + 1, end - at - 2);
      at = end;
      while (at < self->length && (is_space (self->text[at]) || self->text[at] == ':'))
        at++;
      if (!peft_data_json_find_end (self->text, self->length, at, &end))
        return n;
      if (self->text[at] == '[')
        {
          gsize first = at + 1;

          while (is_space (self->text[first]))
            first++;
          if (self->text[first] == '{' || self->text[first] == '[')
            {
              *list = at;
              n++;
              if (g_strv_contains (message_columns, name))
                *is_row = TRUE;
            }
        }
      at = end;
    }
}

/* What stands around the list of rows must be JSON too: it is parsed with an empty list of as many
 * lines in its place. at is behind the list. */
static gboolean
check_wrapper (Reader *self, gsize start, guint32 line, gsize list, gsize end, GError **error)
{
  g_autoptr (GString) rest = g_string_new (NULL);
  g_autoptr (PeftJson) json = NULL;

  if (end - self->at + (list - start) > self->limits->max_record_bytes)
    {
      g_set_error (
          error, PEFT_ERROR, PEFT_ERROR_LIMIT,
          _ ("line %u: expected at most %" PRIu64 " bytes beside the list of rows"), line,
          self->limits->max_record_bytes);
      return FALSE;
    }
  for (guint32 i = 1; i < line; i++)
    g_string_append_c (rest, '\n');
  g_string_append_len (rest, self->text + start, (gssize)(list - start));
  g_string_append_c (rest, '[');
  for (gsize i = list; i < self->at; i++)
    if (self->text[i] == '\n')
      g_string_append_c (rest, '\n');
  g_string_append_c (rest, ']');
  g_string_append_len (rest, self->text + self->at, (gssize)(end - self->at));
  json = peft_json_parse (rest->str, (gssize)rest->len, PEFT_JSON_PARSE_NAN, error);
  return json != NULL;
}

static gboolean
read_object (Reader *self, GError **error)
{
  gsize list = 0;
  gsize start;
  gsize end;
  guint32 line;
  gboolean is_row;

  if (!peft_data_json_find_end (self->text, self->length, self->at, &end))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("line %u: the object that starts here has no end"), self->line);
      return FALSE;
    }
  if (find_lists (self, &list, &is_row) != 1 || is_row)
    return read_value (self, end, error);
  start = self->at;
  line = self->line;
  move_to (self, list);
  if (!read_list (self, error))
    return FALSE;
  if (!check_wrapper (self, start, line, list, end, error))
    return FALSE;
  move_to (self, end);
  return TRUE;
}

/* Is the list at text[at] one conversation rather than a list of rows? */
static gboolean
list_is_conversation (Reader *self)
{
  Reader probe = *self;
  g_autoptr (PeftJson) first = NULL;
  g_autoptr (PeftJson) list = NULL;
  gsize end;

  probe.at++;
  skip_space (&probe);
  if (!peft_data_json_find_end (probe.text, probe.length, probe.at, &end)
      || end - probe.at > probe.limits->max_record_bytes)
    return FALSE;
  first = peft_json_parse (probe.text + probe.at, (gssize)(end - probe.at), PEFT_JSON_PARSE_NAN,
                           NULL);
  if (first == NULL)
    return FALSE;
  list = peft_json_new_array ();
  peft_json_append (list, g_steal_pointer (&first));
  return peft_data_json_is_conversation (list);
}

gboolean
peft_data_records_read_json (const char *text,
                             gsize length,
                             const PeftDataRecordLimits *limits,
                             PeftDataRecordFunc func,
                             gpointer user_data,
                             GError **error)
{
  Reader self = { text, length, 0, 1, 0, limits, func, user_data };
  gsize end;

  skip_space (&self);
  if (self.at == length)
    return TRUE;
  if (text[self.at] == '{')
    return read_object (&self, error) && at_end (&self, error);
  if (text[self.at] != '[')
    return fail_at (&self, _ ("“[” or “{”"), error);
  if (list_is_conversation (&self) && peft_data_json_find_end (text, length, self.at, &end))
    return read_value (&self, end, error) && at_end (&self, error);
  return read_list (&self, error) && at_end (&self, error);
}
