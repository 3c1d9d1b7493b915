/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-json.h"

/* Cuts the text of a data file into records, one after the other, so that a large file is never a
 * tree in memory as a whole. */

typedef enum
{
  PEFT_DATA_FORMAT_JSON_LINES,
  PEFT_DATA_FORMAT_JSON,
  PEFT_DATA_FORMAT_CSV,
  PEFT_DATA_FORMAT_TEXT
} PeftDataFormat;

typedef struct
{
  guint64 max_record_bytes;
  guint64 max_columns; /* of a CSV file */
} PeftDataRecordLimits;

/* number counts records from 1, line is where the record starts, from 1. FALSE with error set stops
 * the reading. */
typedef gboolean (*PeftDataRecordFunc) (
    PeftJson *record, guint32 number, guint32 line, gpointer user_data, GError **error);

/* By the ending of the name, and where that says JSON or nothing, by the content: a .json file of
 * JSON lines is seen, and so is a .jsonl file that holds one JSON document. Formats that are known
 * but not read (Parquet, compressed files, UTF-16) are refused by name. Messages name no file. */
gboolean
peft_data_format_detect (
    const char *path, const char *text, gsize length, PeftDataFormat *out, GError **error);
const char *
peft_data_format_get_name (PeftDataFormat format);

/* text is valid UTF-8 without a byte order mark. Messages start with the line or the row. */
gboolean
peft_data_records_read (PeftDataFormat format,
                        const char *path,
                        const char *text,
                        gsize length,
                        const PeftDataRecordLimits *limits,
                        PeftDataRecordFunc func,
                        gpointer user_data,
                        GError **error);

/* The readers behind it. */

/* One value a line; blank lines are skipped. */
gboolean
peft_data_records_read_json_lines (const char *text,
                                   gsize length,
                                   const PeftDataRecordLimits *limits,
                                   PeftDataRecordFunc func,
                                   gpointer user_data,
                                   GError **error);
/* A list of rows; or an object, which is one row, or the wrapper of the only list of objects among
 * its members; or one conversation, as a list of messages. */
gboolean
peft_data_records_read_json (const char *text,
                             gsize length,
                             const PeftDataRecordLimits *limits,
                             PeftDataRecordFunc func,
                             gpointer user_data,
                             GError **error);
/* RFC 4180 with a header row, LF or CRLF. The delimiter is the one of ',', ';' and tab that the
 * header has most of; 0 = find out. Records are objects of strings. As many programs write it, a
 * quote inside an unquoted field is an ordinary character. */
gboolean
peft_data_records_read_csv (const char *text,
                            gsize length,
                            char delimiter,
                            const PeftDataRecordLimits *limits,
                            PeftDataRecordFunc func,
                            gpointer user_data,
                            GError **error);
/* One record {"text": …} for each paragraph: a run of lines that are not blank, line ends made \n
 * and none at the end. */
gboolean
peft_data_records_read_paragraphs (const char *text,
                                   gsize length,
                                   const PeftDataRecordLimits *limits,
                                   PeftDataRecordFunc func,
                                   gpointer user_data,
                                   GError **error);

/* Shared by the readers. Where the JSON value that starts at text[start] ends; FALSE when it does
 * not end within length. Brackets and strings are followed, nothing else is checked. */
gboolean
peft_data_json_find_end (const char *text, gsize length, gsize start, gsize *end);
/* Is it a list whose first element is an object with a role and a content? */
gboolean
peft_data_json_is_conversation (const PeftJson *json);
