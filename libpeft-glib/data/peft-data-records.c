/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "data/peft-data-records.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"

static const char *const format_names[] = {
  [PEFT_DATA_FORMAT_JSON_LINES] = "jsonl",
  [PEFT_DATA_FORMAT_JSON] = "json",
  [PEFT_DATA_FORMAT_CSV] = "csv",
  [PEFT_DATA_FORMAT_TEXT] = "text",
};

static const struct
{
  const char *ending;
  PeftDataFormat format;
} endings[] = {
  { ".jsonl", PEFT_DATA_FORMAT_JSON_LINES }, { ".ndjson", PEFT_DATA_FORMAT_JSON_LINES },
  { ".json", PEFT_DATA_FORMAT_JSON },        { ".csv", PEFT_DATA_FORMAT_CSV },
  { ".tsv", PEFT_DATA_FORMAT_CSV },          { ".txt", PEFT_DATA_FORMAT_TEXT },
  { ".text", PEFT_DATA_FORMAT_TEXT },        { ".md", PEFT_DATA_FORMAT_TEXT },
  { ".markdown", PEFT_DATA_FORMAT_TEXT },
};

/* What a file starts with that this library knows but does not read. */
static const struct
{
  const char *start;
  gsize length;
  const char *name;
} unread[] = {
  { "PAR1", 4, N_ ("a Parquet file") },
  { "ARROW1", 6, N_ ("an Arrow file") },
  { "\xff\xff\xff\xff", 4, N_ ("an Arrow stream") },
  { "\x1f\x8b", 2, N_ ("a gzip file") },
  { "\x28\xb5\x2f\xfd", 4, N_ ("a zstd file") },
  { "\xfd"
    "7zXZ",
    5, N_ ("an xz file") },
  { "BZh", 3, N_ ("a bzip2 file") },
  { "PK\x03\x04", 4, N_ ("a ZIP file (or spreadsheet)") },
  { "\xff\xfe", 2, N_ ("a UTF-16 text") },
  { "\xfe\xff", 2, N_ ("a UTF-16 text") },
  { "%PDF", 4, N_ ("a PDF file") },
};

const char *
peft_data_format_get_name (PeftDataFormat format)
{
  g_assert ((guint)format < G_N_ELEMENTS (format_names));
  return format_names[format];
}

static gboolean
has_ending (const char *path, const char *ending)
{
  gsize a = strlen (path);
  gsize b = strlen (ending);

  return a > b && g_ascii_strcasecmp (path + a - b, ending) == 0;
}

static gsize
skip_blank (const char *text, gsize length, gsize at)
{
  while (at < length && g_ascii_isspace (text[at]))
    at++;
  return at;
}

/* JSON lines: a value that ends on its line, and another one on a later line. A single value is
 * lines only when the name says so and it is no list of rows. */
static PeftDataFormat
sniff_json (const char *text, gsize length, PeftDataFormat by_name)
{
  gsize start = skip_blank (text, length, 0);
  const char *newline;
  gsize line_end;
  gsize end;
  gsize next;

  if (start == length)
    return by_name;
  newline = memchr (text + start, '\n', length - start);
  line_end = newline != NULL ? (gsize)(newline - text) : length;
  if (!peft_data_json_find_end (text, line_end, start, &end))
    {
      /* Broken or of several lines. A line that is more than an opening bracket is taken for a
       * broken row where the name says lines. */
      if (by_name == PEFT_DATA_FORMAT_JSON_LINES && text[start] != '['
          && skip_blank (text, line_end, start + 1) < line_end)
        return PEFT_DATA_FORMAT_JSON_LINES;
      return PEFT_DATA_FORMAT_JSON;
    }
  next = skip_blank (text, length, end);
  if (next < length && memchr ("{[\"", text[next], 3) != NULL)
    return next < line_end ? by_name : PEFT_DATA_FORMAT_JSON_LINES;
  return text[start] == '[' ? PEFT_DATA_FORMAT_JSON : by_name;
}

gboolean
peft_data_format_detect (
    const char *path, const char *text, gsize length, PeftDataFormat *out, GError **error)
{
  gsize start;

  for (guint i = 0; i < G_N_ELEMENTS (unread); i++)
    if (length >= unread[i].length && memcmp (text, unread[i].start, unread[i].length) == 0)
      {
        g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                     _ ("expected JSON lines, JSON, CSV or plain text in UTF-8, found %s"),
                     _ (unread[i].name));
        return FALSE;
      }
  for (guint i = 0; i < G_N_ELEMENTS (endings); i++)
    if (has_ending (path, endings[i].ending))
      {
        *out = endings[i].format;
        if (*out == PEFT_DATA_FORMAT_JSON || *out == PEFT_DATA_FORMAT_JSON_LINES)
          *out = sniff_json (text, length, *out);
        return TRUE;
      }
  start = skip_blank (text, length, 0);
  if (start < length && (text[start] == '{' || text[start] == '['))
    {
      *out = sniff_json (text, length, PEFT_DATA_FORMAT_JSON);
      return TRUE;
    }
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
               _ ("expected a name that ends in .jsonl, .json, .csv, .tsv, .txt or .md, or JSON "
                  "content"));
  return FALSE;
}

gboolean
peft_data_records_read_paragraphs (const char *text,
                                   gsize length,
                                   const PeftDataRecordLimits *limits,
                                   PeftDataRecordFunc func,
                                   gpointer user_data,
                                   GError **error)
{
  g_autoptr (GString) paragraph = g_string_new (NULL);
  guint32 number = 0;
  guint32 start = 1;
  guint32 line = 1;

  for (gsize at = 0; at <= length; line++)
    {
      const char *newline = memchr (text + at, '\n', length - at);
      gsize end = newline != NULL ? (gsize)(newline - text) : length;
      gsize next = end + 1;

      if (end > at && text[end - 1] == '\r')
        end--;
      if (skip_blank (text, end, at) < end)
        {
          if (paragraph->len == 0)
            start = line;
          else
            g_string_append_c (paragraph, '\n');
          g_string_append_len (paragraph, text + at, (gssize)(end - at));
        }
      if (paragraph->len > limits->max_record_bytes)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                       _ ("line %u: expected a paragraph of at most %" PRIu64 " bytes"),
                       start, limits->max_record_bytes);
          return FALSE;
        }
      if (paragraph->len > 0 && (skip_blank (text, end, at) == end || next > length))
        {
          g_autoptr (PeftJson) record = peft_json_new_object ();

          peft_json_set (record, "text", peft_json_new_string_len (paragraph->str, paragraph->len));
          g_string_truncate (paragraph, 0);
          if (!func (record, ++number, start, user_data, error))
            return FALSE;
        }
      at = next;
    }
  return TRUE;
}

gboolean
peft_data_records_read (PeftDataFormat format,
                        const char *path,
                        const char *text,
                        gsize length,
                        const PeftDataRecordLimits *limits,
                        PeftDataRecordFunc func,
                        gpointer user_data,
                        GError **error)
{
  switch (format)
    {
    case PEFT_DATA_FORMAT_JSON_LINES:
      return peft_data_records_read_json_lines (text, length, limits, func, user_data, error);
    case PEFT_DATA_FORMAT_JSON:
      return peft_data_records_read_json (text, length, limits, func, user_data, error);
    case PEFT_DATA_FORMAT_CSV:
      return peft_data_records_read_csv (text, length, has_ending (path, ".tsv") ? '\t' : 0, limits,
                                         func, user_data, error);
    case PEFT_DATA_FORMAT_TEXT:
      return peft_data_records_read_paragraphs (text, length, limits, func, user_data, error);
    default:
      g_assert_not_reached ();
    }
}
