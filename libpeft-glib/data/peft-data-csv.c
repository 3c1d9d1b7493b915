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
  char delimiter;
  GString *cell;
  const PeftDataRecordLimits *limits;
} Csv;

typedef enum
{
  CELL_DELIMITER, /* another cell follows */
  CELL_END,       /* last cell of its record */
  CELL_ERROR
} CellEnd;

static char
find_delimiter (const char *text, gsize length)
{
  static const char delimiters[] = { ',', ';', '\t' };
  guint counts[G_N_ELEMENTS (delimiters)] = { 0 };
  gboolean quoted = FALSE;
  guint best = 0;

  for (gsize i = 0; i < length && (quoted || text[i] != '\n'); i++)
    {
      if (text[i] == '"')
        quoted = !quoted;
      for (guint d = 0; !quoted && d < G_N_ELEMENTS (delimiters); d++)
        if (text[i] == delimiters[d])
          counts[d]++;
    }
  for (guint d = 1; d < G_N_ELEMENTS (delimiters); d++)
    if (counts[d] > counts[best])
      best = d;
  return delimiters[best];
}

/* Moves over the delimiter or the line end, or stays where neither is. */
static gboolean
read_separator (Csv *self, CellEnd *end)
{
  if (self->at == self->length)
    {
      *end = CELL_END;
      return TRUE;
    }
  if (self->text[self->at] == self->delimiter)
    {
      self->at++;
      *end = CELL_DELIMITER;
      return TRUE;
    }
  if (self->text[self->at] == '\r' && self->at + 1 < self->length
      && self->text[self->at + 1] == '\n')
    self->at++;
  if (self->text[self->at] == '\n' || self->text[self->at] == '\r')
    {
      self->at++;
      self->line++;
      *end = CELL_END;
      return TRUE;
    }
  return FALSE;
}

static gboolean
check_cell_length (Csv *self, guint32 line, GError **error)
{
  if (self->cell->len <= self->limits->max_record_bytes)
    return TRUE;
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
               _ ("line %u: expected a cell of at most %" PRIu64 " bytes"), line,
               self->limits->max_record_bytes);
  return FALSE;
}

static CellEnd
read_quoted_cell (Csv *self, GError **error)
{
  guint32 start = self->line;
  CellEnd end;

  self->at++;
  while (TRUE)
    {
      const char *p = self->text + self->at;
      const char *quote = memchr (p, '"', self->length - self->at);

      if (quote == NULL)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                       _ ("line %u: the quoted cell that starts here has no closing quote"), start);
          return CELL_ERROR;
        }
      for (const char *q = p; q < quote; q++)
        if (*q == '\n')
          self->line++;
      g_string_append_len (self->cell, p, quote - p);
      if (!check_cell_length (self, start, error))
        return CELL_ERROR;
      self->at = (gsize)(quote - self->text) + 1;
      if (self->at < self->length && self->text[self->at] == '"')
        {
          g_string_append_c (self->cell, '"');
          self->at++;
          continue;
        }
      if (read_separator (self, &end))
        return end;
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("line %u: expected a delimiter or the end of the line after a closing quote"),
                   self->line);
      return CELL_ERROR;
    }
}

static CellEnd
read_cell (Csv *self, GError **error)
{
  gsize start = self->at;
  CellEnd end;

  g_string_truncate (self->cell, 0);
  if (self->at < self->length && self->text[self->at] == '"')
    return read_quoted_cell (self, error);
  while (TRUE)
    {
      gsize at = self->at;
      guint32 line = self->line;

      if (read_separator (self, &end))
        {
          g_string_append_len (self->cell, self->text + start, (gssize)(at - start));
          return check_cell_length (self, line, error) ? end : CELL_ERROR;
        }
      self->at++;
    }
}

/* Lines with nothing in them are no records. */
static void
skip_blank_lines (Csv *self)
{
  while (self->at < self->length && (self->text[self->at] == '\n' || self->text[self->at] == '\r'))
    {
      if (self->text[self->at] == '\n')
        self->line++;
      self->at++;
    }
}

static GPtrArray *
read_header (Csv *self, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  guint32 line = self->line;
  CellEnd end = CELL_DELIMITER;

  while (end == CELL_DELIMITER)
    {
      char *name;

      end = read_cell (self, error);
      if (end == CELL_ERROR)
        return NULL;
      if (names->len == self->limits->max_columns)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                       _ ("line %u: expected at most %" PRIu64 " columns"), line,
                       self->limits->max_columns);
          return NULL;
        }
      name = g_strstrip (g_strdup (self->cell->str));
      g_ptr_array_add (names, name);
      /* pandas writes its index under an empty name. */
      if (name[0] != '\0' && !g_hash_table_add (seen, name))
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                       _ ("line %u: the column “%s” is there twice"), line, name);
          return NULL;
        }
    }
  return g_steal_pointer (&names);
}

static PeftJson *
read_record (Csv *self, GPtrArray *names, GError **error)
{
  g_autoptr (PeftJson) record = peft_json_new_object ();
  guint32 line = self->line;
  CellEnd end = CELL_DELIMITER;
  guint n = 0;

  for (; end == CELL_DELIMITER; n++)
    {
      const char *name = n < names->len ? g_ptr_array_index (names, n) : "";

      end = read_cell (self, error);
      if (end == CELL_ERROR)
        return NULL;
      if (name[0] != '\0')
        peft_json_set (record, name, peft_json_new_string_len (self->cell->str, self->cell->len));
    }
  if (n != names->len)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("line %u: expected %u cells as in the header, found %u"), line, names->len,
                   n);
      return NULL;
    }
  return g_steal_pointer (&record);
}

gboolean
peft_data_records_read_csv (const char *text,
                            gsize length,
                            char delimiter,
                            const PeftDataRecordLimits *limits,
                            PeftDataRecordFunc func,
                            gpointer user_data,
                            GError **error)
{
  g_autoptr (GString) cell = g_string_new (NULL);
  g_autoptr (GPtrArray) names = NULL;
  Csv self = { text, length, 0, 1, delimiter, cell, limits };
  guint32 number = 0;

  skip_blank_lines (&self);
  if (self.delimiter == 0)
    self.delimiter = find_delimiter (text + self.at, length - self.at);
  if (self.at == length)
    return TRUE;
  names = read_header (&self, error);
  if (names == NULL)
    return FALSE;
  while (TRUE)
    {
      g_autoptr (PeftJson) record = NULL;
      guint32 line;

      skip_blank_lines (&self);
      if (self.at == length)
        return TRUE;
      line = self.line;
      record = read_record (&self, names, error);
      if (record == NULL || !func (record, ++number, line, user_data, error))
        return FALSE;
    }
}
