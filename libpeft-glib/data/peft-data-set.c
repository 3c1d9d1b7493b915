/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "data/peft-data-set-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* Rows share blocks of this size, so that a row costs little more than its text. */
#define TEXT_BLOCK_BYTES (256u * 1024u)

typedef struct
{
  char *path;
  const char *format;
  PeftDataForm form;
  guint n_rows;
  GPtrArray *unused_columns; /* NULL-terminated */
} DataFile;

struct _PeftDataSet
{
  gatomicrefcount ref_count;
  GArray *rows; /* PeftDataRow */
  GPtrArray *files;
  GStringChunk *texts;
  PeftTask task;
};

static const char *const form_names[PEFT_DATA_N_FORMS] = {
  [PEFT_DATA_FORM_MESSAGES] = "messages",
  [PEFT_DATA_FORM_CONVERSATIONS] = "conversations",
  [PEFT_DATA_FORM_PROMPT_COMPLETION] = "prompt-completion",
  [PEFT_DATA_FORM_INSTRUCTION] = "instruction",
  [PEFT_DATA_FORM_TEXT] = "text",
  [PEFT_DATA_FORM_INPUT_IDS] = "input_ids",
  [PEFT_DATA_FORM_CLASSIFIED] = "text-label",
  [PEFT_DATA_FORM_TAGGED] = "tokens-tags",
  [PEFT_DATA_FORM_QUESTION] = "question-context-answers",
};

static void
data_file_free (gpointer data)
{
  DataFile *file = data;

  g_free (file->path);
  g_ptr_array_unref (file->unused_columns);
  g_free (file);
}

PeftDataSet *
peft_data_set_new (void)
{
  PeftDataSet *self = g_new0 (PeftDataSet, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->rows = g_array_new (FALSE, FALSE, sizeof (PeftDataRow));
  self->files = g_ptr_array_new_with_free_func (data_file_free);
  self->texts = g_string_chunk_new (TEXT_BLOCK_BYTES);
  return self;
}

PeftDataSet *
peft_data_set_ref (PeftDataSet *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
peft_data_set_unref (PeftDataSet *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  for (guint i = 0; i < self->rows->len; i++)
    {
      PeftDataRow *row = &g_array_index (self->rows, PeftDataRow, i);

      if (row->kind == PEFT_DATA_KIND_IDS)
        g_free (row->ids);
    }
  g_array_unref (self->rows);
  g_ptr_array_unref (self->files);
  g_string_chunk_free (self->texts);
  g_free (self);
}

void
peft_data_set_set_task (PeftDataSet *self, PeftTask task)
{
  self->task = task;
}

PeftTask
peft_data_set_get_task (const PeftDataSet *self)
{
  return self->task;
}

guint
peft_data_set_add_file (PeftDataSet *self, const char *path)
{
  DataFile *file = g_new0 (DataFile, 1);

  file->path = g_strdup (path);
  file->format = "";
  file->unused_columns = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (file->unused_columns, NULL);
  g_ptr_array_add (self->files, file);
  return self->files->len - 1;
}

static DataFile *
get_file (const PeftDataSet *self, guint file)
{
  g_assert (file < self->files->len);
  return g_ptr_array_index (self->files, file);
}

void
peft_data_set_set_format (PeftDataSet *self, guint file, const char *format)
{
  get_file (self, file)->format = format;
}

void
peft_data_set_add_unused_column (PeftDataSet *self, guint file, const char *name)
{
  GPtrArray *columns = get_file (self, file)->unused_columns;

  if (columns->len > PEFT_DATA_MAX_UNUSED_COLUMNS)
    return;
  for (guint i = 0; i + 1 < columns->len; i++)
    if (strcmp (g_ptr_array_index (columns, i), name) == 0)
      return;
  g_ptr_array_insert (columns, (int) columns->len - 1, g_strdup (name));
}

const char *
peft_data_set_keep_text (PeftDataSet *self, const char *text, gsize length)
{
  return g_string_chunk_insert_len (self->texts, text, (gssize) length);
}

void
peft_data_set_add_row (PeftDataSet *self, const PeftDataRow *row)
{
  DataFile *file = get_file (self, row->file);

  if (file->n_rows == 0)
    file->form = row->form;
  file->n_rows++;
  g_array_append_vals (self->rows, row, 1);
}

PeftDataIds *
peft_data_ids_new (guint32 length, gboolean with_mask)
{
  gsize bytes = sizeof (PeftDataIds) + (gsize) length * (2 * sizeof (gint32) + (with_mask ? 1 : 0));
  PeftDataIds *self = g_malloc (bytes);

  self->length = length;
  self->ids = (gint32 *) (self + 1);
  self->labels = self->ids + length;
  self->mask = with_mask ? (guint8 *) (self->labels + length) : NULL;
  return self;
}

guint
peft_data_set_get_n_rows (const PeftDataSet *self)
{
  return self->rows->len;
}

const PeftDataRow *
peft_data_set_get_row (const PeftDataSet *self, guint index)
{
  g_assert (index < self->rows->len);
  return &g_array_index (self->rows, PeftDataRow, index);
}

guint
peft_data_set_get_n_files (const PeftDataSet *self)
{
  return self->files->len;
}

const char *
peft_data_set_get_path (const PeftDataSet *self, guint file)
{
  return get_file (self, file)->path;
}

const char *
peft_data_set_get_format (const PeftDataSet *self, guint file)
{
  return get_file (self, file)->format;
}

PeftDataForm
peft_data_set_get_form (const PeftDataSet *self, guint file)
{
  return get_file (self, file)->form;
}

guint
peft_data_set_get_n_file_rows (const PeftDataSet *self, guint file)
{
  return get_file (self, file)->n_rows;
}

const char *const *
peft_data_set_get_unused_columns (const PeftDataSet *self, guint file)
{
  return (const char *const *) get_file (self, file)->unused_columns->pdata;
}

static PeftJson *
int_list (const gint32 *values, guint32 n)
{
  PeftJson *list = peft_json_new_array ();

  for (guint32 i = 0; i < n; i++)
    peft_json_append (list, peft_json_new_int (values[i]));
  return list;
}

/* Text that the reader wrote itself. */
static PeftJson *
parse_kept (const char *text)
{
  PeftJson *json = peft_json_parse (text, -1, PEFT_JSON_PARSE_NAN, NULL);

  g_assert (json != NULL);
  return json;
}

PeftJson *
peft_data_set_row_to_json (const PeftDataSet *self, guint index)
{
  const PeftDataRow *row = peft_data_set_get_row (self, index);
  PeftJson *json = peft_json_new_object ();

  switch ((PeftDataKind) row->kind)
    {
    case PEFT_DATA_KIND_TEXT:
      peft_json_set (json, "text", peft_json_new_string (row->text[0]));
      break;
    case PEFT_DATA_KIND_PAIR:
      peft_json_set (json, "prompt", peft_json_new_string (row->text[0]));
      peft_json_set (json, "completion", peft_json_new_string (row->text[1]));
      break;
    case PEFT_DATA_KIND_INSTRUCTION:
      peft_json_set (json, "instruction", peft_json_new_string (row->text[0]));
      peft_json_set (json, "output", peft_json_new_string (row->text[1]));
      break;
    case PEFT_DATA_KIND_CHAT:
      peft_json_set (json, "messages", parse_kept (row->text[0]));
      if (row->text[1] != NULL)
        {
          g_autoptr (PeftJson) variables = parse_kept (row->text[1]);

          for (gsize i = 0; i < peft_json_get_length (variables); i++)
            peft_json_set (json, peft_json_get_name (variables, i),
                           peft_json_ref (peft_json_get_value (variables, i)));
        }
      break;
    case PEFT_DATA_KIND_LABELLED:
      peft_json_unref (json);
      return parse_kept (row->text[0]);
    case PEFT_DATA_KIND_IDS:
      peft_json_set (json, "input_ids", int_list (row->ids->ids, row->ids->length));
      peft_json_set (json, "labels", int_list (row->ids->labels, row->ids->length));
      break;
    }
  if (row->task >= 0)
    peft_json_set (json, "task_id", peft_json_new_int (row->task));
  return json;
}

PeftDataSet *
peft_data_set_dup_row (const PeftDataSet *self, guint index)
{
  PeftDataSet *copy = peft_data_set_new ();
  PeftDataRow row = *peft_data_set_get_row (self, index);
  const DataFile *file = get_file (self, row.file);

  row.file = peft_data_set_add_file (copy, file->path);
  peft_data_set_set_format (copy, row.file, file->format);
  if (row.kind == PEFT_DATA_KIND_IDS)
    {
      const PeftDataIds *ids = row.ids;

      row.ids = peft_data_ids_new (ids->length, ids->mask != NULL);
      memcpy (row.ids->ids, ids->ids, ids->length * sizeof (gint32));
      memcpy (row.ids->labels, ids->labels, ids->length * sizeof (gint32));
      if (ids->mask != NULL)
        memcpy (row.ids->mask, ids->mask, ids->length);
    }
  else
    for (guint i = 0; i < (row.kind == PEFT_DATA_KIND_TEXT ? 1 : 2); i++)
      if (row.text[i] != NULL)
        row.text[i] = peft_data_set_keep_text (copy, row.text[i], strlen (row.text[i]));
  peft_data_set_add_row (copy, &row);
  return copy;
}

char *
peft_data_set_describe_row (const PeftDataSet *self, guint index)
{
  const PeftDataRow *row = peft_data_set_get_row (self, index);

  return g_strdup_printf (_ ("%s: row %u (line %u)"), get_file (self, row->file)->path, row->number,
                          row->line);
}

const char *
peft_data_form_get_name (PeftDataForm form)
{
  g_assert ((guint) form < PEFT_DATA_N_FORMS);
  return form_names[form];
}
