/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "data/peft-data-reader.h"

#include <inttypes.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/peft-error.h"
#include "data/peft-data-form.h"
#include "data/peft-data-labelled.h"
#include "data/peft-data-records.h"

/* Rows between two looks at the cancellable. */
#define CANCEL_INTERVAL 256u
/* At once, so that cancelling is noticed. */
#define READ_BLOCK_BYTES (1024u * 1024u)

typedef struct
{
  PeftDataSet *set;
  guint file;
  PeftDataReadOptions options;
  GCancellable *cancellable;
  GHashTable *used;   /* column names that rows of this file used */
  GHashTable *unused; /* and those that were there beside them */
  guint32 seen;       /* of the mapping's columns */
} Reading;

static PeftDataReadOptions
complete_options (const PeftDataReadOptions *options)
{
  PeftDataReadOptions out = { 0 };

  if (options != NULL)
    out = *options;
  if (out.max_file_bytes == 0)
    out.max_file_bytes = PEFT_DATA_MAX_FILE_BYTES;
  if (out.max_rows == 0)
    out.max_rows = PEFT_DATA_MAX_ROWS;
  if (out.max_record_bytes == 0)
    out.max_record_bytes = PEFT_DATA_MAX_RECORD_BYTES;
  if (out.max_columns == 0)
    out.max_columns = PEFT_DATA_MAX_COLUMNS;
  return out;
}

static gboolean
fail_errno (const char *path, int number, GError **error)
{
  g_set_error (error, PEFT_ERROR, number == ENOENT ? PEFT_ERROR_NOT_FOUND : PEFT_ERROR_IO, "%s: %s",
               path, g_strerror (number));
  return FALSE;
}

static gboolean
fail_too_large (const char *path, guint64 limit, GError **error)
{
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
               _ ("%s: expected a file of at most %" PRIu64 " bytes"), path, limit);
  return FALSE;
}

/* Not mapped: a file that another program cuts meanwhile must not end this one. Pipes work too. */
static char *
read_bytes (int fd,
            const char *path,
            gsize capacity,
            guint64 limit,
            gsize *length,
            GCancellable *cancellable,
            GError **error)
{
  g_autofree char *data = g_malloc (capacity);

  *length = 0;
  while (TRUE)
    {
      gssize n;

      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return NULL;
      if (*length == capacity)
        data = g_realloc (data, capacity *= 2);
      n = read (fd, data + *length, MIN (capacity - *length, READ_BLOCK_BYTES));
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        {
          fail_errno (path, errno, error);
          return NULL;
        }
      if (n == 0)
        return g_steal_pointer (&data);
      *length += (gsize)n;
      if (*length > limit)
        {
          fail_too_large (path, limit, error);
          return NULL;
        }
    }
}

static char *
load (const char *path, guint64 limit, gsize *length, GCancellable *cancellable, GError **error)
{
  struct stat info;
  char *data = NULL;
  int fd = g_open (path, O_RDONLY | O_CLOEXEC, 0);

  if (fd < 0)
    {
      fail_errno (path, errno, error);
      return NULL;
    }
  if (fstat (fd, &info) != 0)
    fail_errno (path, errno, error);
  else if (S_ISDIR (info.st_mode))
    fail_errno (path, EISDIR, error);
  else if (info.st_size > 0 && (guint64)info.st_size > limit)
    fail_too_large (path, limit, error);
  else
    data = read_bytes (fd, path, info.st_size > 0 ? (gsize)info.st_size + 1 : READ_BLOCK_BYTES,
                       limit, length, cancellable, error);
  close (fd);
  return data;
}

static gboolean
check_form (Reading *self, const PeftDataRow *row, GError **error)
{
  PeftDataForm expected;

  if (peft_data_set_get_n_file_rows (self->set, self->file) == 0)
    return TRUE;
  expected = peft_data_set_get_form (self->set, self->file);
  if (row->form == expected)
    return TRUE;
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
               _ ("expected the form of the file's first row, %s, found: %s"),
               peft_data_form_get_name (expected), peft_data_form_get_name (row->form));
  return FALSE;
}

static void
note_unused (Reading *self, const PeftJson *record)
{
  if (peft_json_get_kind (record) != PEFT_JSON_OBJECT)
    return;
  for (gsize i = 0; i < peft_json_get_length (record); i++)
    {
      const char *name = peft_json_get_name (record, i);

      if (!g_hash_table_contains (self->used, name) && !g_hash_table_contains (self->unused, name)
          && g_hash_table_size (self->unused) < PEFT_DATA_MAX_UNUSED_COLUMNS)
        g_hash_table_add (self->unused, g_strdup (name));
    }
}

static gboolean
read_form (Reading *self, const PeftJson *record, PeftDataRow *row, GError **error)
{
  return self->options.task == PEFT_TASK_CAUSAL_LM
             ? peft_data_form_read (self->set, record, self->used, row, error)
             : peft_data_labelled_read (self->set, self->options.task, record, self->used, row, error);
}

static gboolean
read_record (Reading *self, const PeftJson *record, PeftDataRow *row, GError **error)
{
  g_autoptr (PeftJson) mapped = NULL;

  if (self->options.mapping == NULL)
    {
      if (!read_form (self, record, row, error))
        return FALSE;
      note_unused (self, record);
      return TRUE;
    }
  mapped = peft_data_mapping_apply (self->options.mapping, record, &self->seen, error);
  return mapped != NULL && read_form (self, mapped, row, error);
}

static gboolean
record_cb (PeftJson *record, guint32 number, guint32 line, gpointer user_data, GError **error)
{
  Reading *self = user_data;
  PeftDataRow row = { .file = self->file, .number = number, .line = line };

  if (number % CANCEL_INTERVAL == 0
      && g_cancellable_set_error_if_cancelled (self->cancellable, error))
    return FALSE;
  if (peft_data_set_get_n_rows (self->set) >= self->options.max_rows)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                   _ ("row %u: expected at most %" PRIu64 " rows"), number,
                   self->options.max_rows);
      return FALSE;
    }
  if (!read_record (self, record, &row, error) || !check_form (self, &row, error))
    {
      if (row.kind == PEFT_DATA_KIND_IDS)
        g_free (row.ids);
      g_prefix_error (error, _ ("row %u (line %u): "), number, line);
      return FALSE;
    }
  peft_data_set_add_row (self->set, &row);
  return TRUE;
}

/* UTF-8 is checked once for the whole file, and NUL refused. */
static gboolean
check_utf8 (const char *text, gsize length, GError **error)
{
  const char *end;
  guint line = 1;

  if (g_utf8_validate_len (text, length, &end))
    return TRUE;
  for (const char *p = text; p < end; p++)
    if (*p == '\n')
      line++;
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
               _ ("line %u: expected UTF-8 text, found byte 0x%02x"), line, (guchar)*end);
  return FALSE;
}

static gboolean
read_text (Reading *self, const char *path, const char *text, gsize length, GError **error)
{
  PeftDataRecordLimits limits = { self->options.max_record_bytes, self->options.max_columns };
  PeftDataFormat format;

  if (length >= 3 && memcmp (text, "\xef\xbb\xbf", 3) == 0)
    {
      text += 3;
      length -= 3;
    }
  if (!peft_data_format_detect (path, text, length, &format, error)
      || !check_utf8 (text, length, error))
    return FALSE;
  peft_data_set_set_format (self->set, self->file, peft_data_format_get_name (format));
  if (!peft_data_records_read (format, path, text, length, &limits, record_cb, self, error))
    return FALSE;
  if (peft_data_set_get_n_file_rows (self->set, self->file) == 0)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   _ ("expected at least one row, found none"));
      return FALSE;
    }
  return self->options.mapping == NULL
         || peft_data_mapping_check_seen (self->options.mapping, self->seen, error);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

/* In the order of the alphabet: rows may have their columns in any. */
static void
keep_unused (Reading *self)
{
  g_autofree gpointer *names = NULL;
  guint n;

  names = g_hash_table_get_keys_as_array (self->unused, &n);
  qsort (names, n, sizeof (gpointer), compare_names);
  for (guint i = 0; i < n; i++)
    if (!g_hash_table_contains (self->used, names[i]))
      peft_data_set_add_unused_column (self->set, self->file, names[i]);
}

static gboolean
read_file (PeftDataSet *set,
           const char *path,
           const char *text,
           gsize length,
           const PeftDataReadOptions *options,
           GCancellable *cancellable,
           GError **error)
{
  g_autoptr (GHashTable) used = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GHashTable) unused = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  Reading self = { .set = set,
                   .file = peft_data_set_add_file (set, path),
                   .options = *options,
                   .cancellable = cancellable,
                   .used = used,
                   .unused = unused };

  if (!read_text (&self, path, text, length, error))
    {
      g_prefix_error (error, "%s: ", path);
      return FALSE;
    }
  keep_unused (&self);
  return TRUE;
}

PeftDataSet *
peft_data_read_text (const char *name,
                     const char *text,
                     gsize length,
                     const PeftDataReadOptions *options,
                     GError **error)
{
  g_autoptr (PeftDataSet) set = peft_data_set_new ();
  PeftDataReadOptions complete = complete_options (options);

  peft_data_set_set_task (set, complete.task);
  if (length > complete.max_file_bytes)
    {
      fail_too_large (name, complete.max_file_bytes, error);
      return NULL;
    }
  if (!read_file (set, name, text, length, &complete, NULL, error))
    return NULL;
  return g_steal_pointer (&set);
}

PeftDataSet *
peft_data_read (const char *const *paths,
                gsize n_paths,
                const PeftDataReadOptions *options,
                GCancellable *cancellable,
                GError **error)
{
  g_autoptr (PeftDataSet) set = peft_data_set_new ();
  PeftDataReadOptions complete = complete_options (options);

  peft_data_set_set_task (set, complete.task);
  if (n_paths == 0 || n_paths > PEFT_DATA_MAX_FILES)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("expected 1 to %u data files, found %zu"), PEFT_DATA_MAX_FILES,
                   n_paths);
      return NULL;
    }
  for (gsize i = 0; i < n_paths; i++)
    {
      gsize length = 0;
      g_autofree char *text = load (paths[i], complete.max_file_bytes, &length, cancellable, error);

      if (text == NULL || !read_file (set, paths[i], text, length, &complete, cancellable, error))
        return NULL;
    }
  return g_steal_pointer (&set);
}
