/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "data/peft-data-mapping.h"
#include "data/peft-data-set.h"

/* Reading data files: JSON lines, JSON, CSV and plain text. */

/* The limits that a 0 in the options stands for. Crossing one is PEFT_ERROR_LIMIT. */
#define PEFT_DATA_MAX_FILE_BYTES   (4ull * 1024 * 1024 * 1024)
#define PEFT_DATA_MAX_ROWS         (1ull << 26)          /* of all files together */
#define PEFT_DATA_MAX_RECORD_BYTES (64ull * 1024 * 1024) /* of a row, as it is in the file */
#define PEFT_DATA_MAX_COLUMNS      1024ull               /* of a CSV file */
#define PEFT_DATA_MAX_FILES        4096u

typedef struct
{
  const PeftDataMapping *mapping; /* (nullable) for all files */
  PeftTask task;                  /* that the rows are for */
  guint64 max_file_bytes;
  guint64 max_rows;
  guint64 max_record_bytes;
  guint64 max_columns;
} PeftDataReadOptions;

/* All rows of all files, in order. Every row is checked: an error names the file, the row and its
 * line, the field, what was expected and what was found. All rows of a file have the form of its
 * first one. Errors: PEFT_ERROR_NOT_FOUND, _IO, _INVALID_FILE (broken syntax), _INVALID_DATA (a row
 * that cannot be used, or no row at all), _UNSUPPORTED, _LIMIT; G_IO_ERROR_CANCELLED. options may
 * be NULL. */
PeftDataSet *
peft_data_read (const char *const *paths,
                gsize n_paths,
                const PeftDataReadOptions *options,
                GCancellable *cancellable,
                GError **error);
/* The same from memory, as if it were a file called name. */
PeftDataSet *
peft_data_read_text (const char *name,
                     const char *text,
                     gsize length,
                     const PeftDataReadOptions *options,
                     GError **error);
