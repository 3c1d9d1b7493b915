/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-dataset.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"
#include "data/peft-data-encode-task.h"
#include "data/peft-data-reader.h"
#include "data/peft-data-stats.h"
#include "peft-dataset-private.h"
#include "peft-json-private.h"
#include "peft-tokenizer-private.h"
#include "text/peft-stream-decoder.h"

G_STATIC_ASSERT ((int) PEFT_LOSS_ON_AUTO == PEFT_DATA_LOSS_AUTO);
G_STATIC_ASSERT ((int) PEFT_LOSS_ON_ALL == PEFT_DATA_LOSS_ALL);
G_STATIC_ASSERT ((int) PEFT_LOSS_ON_COMPLETION == PEFT_DATA_LOSS_COMPLETION);
G_STATIC_ASSERT ((int) PEFT_LOSS_ON_ASSISTANT == PEFT_DATA_LOSS_ASSISTANT);

/**
 * PeftDataset:
 *
 * Rows of text to learn from.
 *
 * They come from JSON lines, JSON, CSV or plain text. A row has `messages`, `prompt` and `completion`,
 * `instruction` (with `input`) and `output`, ShareGPT's `conversations`, `text`, or `input_ids` with optional
 * `labels` and `attention_mask`. All rows of a file have the form of its first one; every row is checked
 * while reading, and an error names the file, the row and its line.
 *
 * Instances never change, so that any thread may use them.
 *
 * Since: 1.0
 */
struct _PeftDataset
{
  GObject parent_instance;

  PeftDataSet *set;
  GStrv paths;
};

G_DEFINE_FINAL_TYPE (PeftDataset, peft_dataset, G_TYPE_OBJECT)

enum
{
  PROP_0,
  PROP_N_ROWS,
  PROP_PATHS,
  N_PROPS
};
static GParamSpec *props[N_PROPS];

static void
peft_dataset_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  PeftDataset *self = PEFT_DATASET (object);

  switch (id)
    {
    case PROP_N_ROWS:
      g_value_set_uint (value, peft_dataset_get_n_rows (self));
      break;
    case PROP_PATHS:
      g_value_set_boxed (value, self->paths);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
peft_dataset_finalize (GObject *object)
{
  PeftDataset *self = PEFT_DATASET (object);

  g_clear_pointer (&self->set, peft_data_set_unref);
  g_strfreev (self->paths);
  G_OBJECT_CLASS (peft_dataset_parent_class)->finalize (object);
}

static void
peft_dataset_class_init (PeftDatasetClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;

  object_class->get_property = peft_dataset_get_property;
  object_class->finalize = peft_dataset_finalize;

  /**
   * PeftDataset:n-rows:
   *
   * Number of rows.
   *
   * Since: 1.0
   */
  props[PROP_N_ROWS] = g_param_spec_uint ("n-rows", NULL, NULL, 0, G_MAXUINT, 0, flags);
  /**
   * PeftDataset:paths:
   *
   * The files the rows come from.
   *
   * Since: 1.0
   */
  props[PROP_PATHS] = g_param_spec_boxed ("paths", NULL, NULL, G_TYPE_STRV, flags);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
peft_dataset_init (PeftDataset *self)
{
}

/* Takes set. */
static PeftDataset *
dataset_new (PeftDataSet *set)
{
  PeftDataset *self = g_object_new (PEFT_TYPE_DATASET, NULL);
  g_autoptr (GStrvBuilder) paths = g_strv_builder_new ();

  self->set = set;
  for (guint i = 0; i < peft_data_set_get_n_files (set); i++)
    g_strv_builder_add (paths, peft_data_set_get_path (set, i));
  self->paths = g_strv_builder_end (paths);
  return self;
}

PeftDataSet *
peft_dataset_get_set (PeftDataset *self)
{
  return self->set;
}

static PeftEncodedSet *
encode (PeftDataSet *set, PeftTokenizer *tokenizer, PeftDataEncodeOptions *options,
        GCancellable *cancellable, GError **error)
{
  if (tokenizer != NULL)
    {
      options->tokenizer = peft_tokenizer_get_core (tokenizer);
      if (!peft_tokenizer_get_template (tokenizer, &options->chat_template, error))
        return NULL;
    }
  return peft_data_encode (set, options, cancellable, error);
}

PeftEncodedSet *
peft_dataset_encode (PeftDataset *self, PeftTokenizer *tokenizer, PeftLossOn loss_on,
                     guint max_length, PeftCore *core, GCancellable *cancellable, GError **error)
{
  const PeftTask task = peft_data_set_get_task (self->set);
  PeftDataEncodeOptions options = {
    .loss_on = (PeftDataLossOn) loss_on,
    .max_length = max_length,
    .vocab_size = (guint32) core->dims.vocab,
    .labels = (const char *const *) core->labels,
    .pad_id = core->pad_id,
  };

  if (task != core->task)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("%s: the data was read for the task %s, the model is for %s"), self->paths[0],
                   peft_task_get_name (task), peft_task_get_name (core->task));
      return NULL;
    }
  return encode (self->set, tokenizer, &options, cancellable, error);
}

/* For a model that is not known: the classes are those of the set itself. */
static PeftEncodedSet *
encode_alone (PeftDataSet *set, PeftDataSet *all, PeftTokenizer *tokenizer, PeftLossOn loss_on,
              guint max_length, guint vocab_size, GCancellable *cancellable, GError **error)
{
  const PeftTask task = peft_data_set_get_task (all);
  g_auto (GStrv) labels = NULL;
  PeftDataEncodeOptions options = {
    .loss_on = (PeftDataLossOn) loss_on,
    .max_length = max_length,
    .vocab_size = vocab_size,
    .pad_id = -1,
  };

  if (task == PEFT_TASK_SEQ_CLS || task == PEFT_TASK_TOKEN_CLS)
    {
      labels = peft_data_list_labels (all, error);
      if (labels == NULL)
        return NULL;
      options.labels = (const char *const *) labels;
    }
  return encode (set, tokenizer, &options, cancellable, error);
}

/* mapping NULL: none. */
static gboolean
parse_mapping (const char *mapping, PeftDataMapping **out, GError **error)
{
  *out = NULL;
  if (mapping == NULL)
    return TRUE;
  *out = peft_data_mapping_parse (mapping, error);
  return *out != NULL;
}

/**
 * peft_dataset_load:
 * @paths: (array zero-terminated=1): files, all of whose rows are taken in order
 * @mapping: (nullable): a JSON object from roles to columns, such as
 *   `{"prompt":"question","completion":"answer"}`, for files whose columns have other names
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Reads data files.
 *
 * Returns: (transfer full): the rows
 *
 * Since: 1.0
 */
PeftDataset *
peft_dataset_load (const char *const *paths, const char *mapping, GCancellable *cancellable,
                   GError **error)
{
  return peft_dataset_load_for_task (paths, mapping, PEFT_TASK_CAUSAL_LM, cancellable, error);
}

/**
 * peft_dataset_load_for_task:
 * @paths: (array zero-terminated=1): files, all of whose rows are taken in order
 * @mapping: (nullable): a JSON object from roles to columns, for files whose columns have other names
 * @task: what the rows are for
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Reads data files with the labels of a task.
 *
 * For `SEQ_CLS` a row has `text` (and `text_pair`), or `sentence1` and `sentence2`, and `label`; for `TOKEN_CLS` `tokens` and
 * `tags` (`ner_tags`, `labels`); for `QUESTION_ANS` `question`, `context` and `answers` with `text` and `answer_start`, as
 * SQuAD has it. Labels are numbers or names. Rows of `input_ids` have `label`, `labels`, or `start_positions` and
 * `end_positions`.
 *
 * Returns: (transfer full): the rows
 *
 * Since: 1.0
 */
PeftDataset *
peft_dataset_load_for_task (const char *const *paths, const char *mapping, PeftTask task,
                            GCancellable *cancellable, GError **error)
{
  g_autoptr (PeftDataMapping) map = NULL;
  PeftDataReadOptions options = { NULL };
  PeftDataSet *set;

  g_return_val_if_fail (paths != NULL && paths[0] != NULL, NULL);

  if (!parse_mapping (mapping, &map, error))
    return NULL;
  options.mapping = map;
  options.task = task;
  set = peft_data_read (paths, g_strv_length ((GStrv) paths), &options, cancellable, error);
  return set != NULL ? dataset_new (set) : NULL;
}

/**
 * peft_dataset_new_from_text:
 * @name: a name that stands for a path in messages
 * @text: what would be in the file
 * @mapping: (nullable): a JSON object from roles to columns
 * @error: return location for an error
 *
 * Reads rows out of memory.
 *
 * Returns: (transfer full): the rows
 *
 * Since: 1.0
 */
PeftDataset *
peft_dataset_new_from_text (const char *name, const char *text, const char *mapping,
                            GError **error)
{
  g_autoptr (PeftDataMapping) map = NULL;
  PeftDataReadOptions options = { NULL };
  PeftDataSet *set;

  g_return_val_if_fail (name != NULL && text != NULL, NULL);

  if (!parse_mapping (mapping, &map, error))
    return NULL;
  options.mapping = map;
  set = peft_data_read_text (name, text, strlen (text), &options, error);
  return set != NULL ? dataset_new (set) : NULL;
}

typedef struct
{
  GStrv paths;
  char *mapping;
} LoadData;

static void
load_data_free (gpointer data)
{
  LoadData *self = data;

  g_strfreev (self->paths);
  g_free (self->mapping);
  g_free (self);
}

static void
load_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  LoadData *load = data;
  GError *error = NULL;
  PeftDataset *self = peft_dataset_load ((const char *const *) load->paths, load->mapping,
                                         cancellable, &error);

  if (self != NULL)
    g_task_return_pointer (task, self, g_object_unref);
  else
    g_task_return_error (task, error);
}

/**
 * peft_dataset_load_async:
 * @paths: (array zero-terminated=1): files
 * @mapping: (nullable): a JSON object from roles to columns
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when it is done
 * @user_data: data for @callback
 *
 * Reads data files in a thread.
 *
 * Since: 1.0
 */
void
peft_dataset_load_async (const char *const *paths, const char *mapping, GCancellable *cancellable,
                         GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = NULL;
  LoadData *data;

  g_return_if_fail (paths != NULL && paths[0] != NULL);

  task = g_task_new (NULL, cancellable, callback, user_data);
  g_task_set_source_tag (task, peft_dataset_load_async);
  data = g_new0 (LoadData, 1);
  data->paths = g_strdupv ((GStrv) paths);
  data->mapping = g_strdup (mapping);
  g_task_set_task_data (task, data, load_data_free);
  g_task_run_in_thread (task, load_thread);
}

/**
 * peft_dataset_load_finish:
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends [func@Dataset.load_async].
 *
 * Returns: (transfer full): the rows
 *
 * Since: 1.0
 */
PeftDataset *
peft_dataset_load_finish (GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, NULL), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * peft_dataset_list_labels:
 * @self: a data set
 * @error: return location for an error
 *
 * Lists the classes that the labels of the rows name, in the order of their numbers.
 *
 * Where labels are numbers the classes are called `LABEL_0`, `LABEL_1` and so on. It fails for a set without labels of classes.
 *
 * Returns: (transfer full) (array zero-terminated=1): the names
 *
 * Since: 1.0
 */
GStrv
peft_dataset_list_labels (PeftDataset *self, GError **error)
{
  const PeftTask task = PEFT_IS_DATASET (self) ? peft_data_set_get_task (self->set) : 0;

  g_return_val_if_fail (PEFT_IS_DATASET (self), NULL);

  if (task == PEFT_TASK_SEQ_CLS || task == PEFT_TASK_TOKEN_CLS)
    return peft_data_list_labels (self->set, error);
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
               _ ("%s: rows for the task %s have no classes"), self->paths[0], peft_task_get_name (task));
  return NULL;
}

/**
 * peft_dataset_get_n_rows:
 * @self: a data set
 *
 * Gets the number of rows.
 *
 * Returns: the number
 *
 * Since: 1.0
 */
guint
peft_dataset_get_n_rows (PeftDataset *self)
{
  g_return_val_if_fail (PEFT_IS_DATASET (self), 0);

  return peft_data_set_get_n_rows (self->set);
}

/**
 * peft_dataset_get_paths:
 * @self: a data set
 *
 * Gets the files the rows come from.
 *
 * Returns: (array zero-terminated=1) (transfer none): the paths
 *
 * Since: 1.0
 */
const char *const *
peft_dataset_get_paths (PeftDataset *self)
{
  g_return_val_if_fail (PEFT_IS_DATASET (self), NULL);

  return (const char *const *) self->paths;
}

/**
 * peft_dataset_row_to_json:
 * @self: a data set
 * @index: a row, from 0
 *
 * Gets a row as a JSON object with the usual names, for previews.
 *
 * Returns: (transfer full): JSON text
 *
 * Since: 1.0
 */
char *
peft_dataset_row_to_json (PeftDataset *self, guint index)
{
  g_autoptr (PeftJson) json = NULL;

  g_return_val_if_fail (PEFT_IS_DATASET (self), NULL);
  g_return_val_if_fail (index < peft_data_set_get_n_rows (self->set), NULL);

  json = peft_data_set_row_to_json (self->set, index);
  return peft_json_to_string (json, PEFT_JSON_WRITE_COMPACT);
}

/**
 * peft_dataset_describe_row:
 * @self: a data set
 * @index: a row, from 0
 *
 * Says where a row comes from: file, number and line.
 *
 * Returns: (transfer full): the text
 *
 * Since: 1.0
 */
char *
peft_dataset_describe_row (PeftDataset *self, guint index)
{
  g_return_val_if_fail (PEFT_IS_DATASET (self), NULL);
  g_return_val_if_fail (index < peft_data_set_get_n_rows (self->set), NULL);

  return peft_data_set_describe_row (self->set, index);
}

static PeftJson *
files_to_tree (PeftDataSet *set)
{
  PeftJson *files = peft_json_new_array ();

  for (guint i = 0; i < peft_data_set_get_n_files (set); i++)
    {
      PeftJson *file = peft_json_new_object ();

      peft_json_set (file, "path", peft_json_new_string (peft_data_set_get_path (set, i)));
      peft_json_set (file, "format", peft_json_new_string (peft_data_set_get_format (set, i)));
      peft_json_set (
          file, "form",
          peft_json_new_string (peft_data_form_get_name (peft_data_set_get_form (set, i))));
      peft_json_set (file, "rows", peft_json_new_int (peft_data_set_get_n_file_rows (set, i)));
      peft_json_set (file, "unused_columns",
                     peft_json_new_strings (peft_data_set_get_unused_columns (set, i)));
      peft_json_append (files, file);
    }
  return files;
}

/**
 * peft_dataset_to_json:
 * @self: a data set
 *
 * Describes the files as a JSON object: `rows`, and `files` with `path`, `format`, `form`, `rows` and
 * `unused_columns` each.
 *
 * Returns: (transfer full): JSON text
 *
 * Since: 1.0
 */
char *
peft_dataset_to_json (PeftDataset *self)
{
  g_autoptr (PeftJson) json = peft_json_new_object ();

  g_return_val_if_fail (PEFT_IS_DATASET (self), NULL);

  peft_json_set (json, "rows", peft_json_new_int (peft_data_set_get_n_rows (self->set)));
  peft_json_set (json, "files", files_to_tree (self->set));
  return peft_json_to_string (json, PEFT_JSON_WRITE_INDENT);
}

static void
add_unused_columns (PeftJson *warnings, PeftDataSet *set)
{
  for (guint i = 0; i < peft_data_set_get_n_files (set); i++)
    {
      const char *const *unused = peft_data_set_get_unused_columns (set, i);
      g_autofree char *names = NULL;
      g_autofree char *text = NULL;

      if (unused[0] == NULL)
        continue;
      names = g_strjoinv (", ", (GStrv) unused);
      text = g_strdup_printf (_ ("%s: columns that are not used: %s"),
                              peft_data_set_get_path (set, i), names);
      peft_json_append (warnings, peft_json_new_string (text));
    }
}

/**
 * peft_dataset_check:
 * @self: a data set
 * @tokenizer: (nullable): the model's tokenizer; `NULL` when all rows are token ids
 * @loss_on: which tokens are learnt
 * @max_length: tokens of a row that are kept; 0: 2048
 * @vocab_size: ids that the model knows; 0: those of the tokenizer
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Turns all rows into tokens and counts.
 *
 * The result is a JSON object: `rows`, `forms`, `kept`, `cut` (longer than @max_length), `skipped` (without a
 * labelled token), `tokens`, `labelled_tokens`, `length` with `min`, `median`, `max` and `histogram`, and the lists
 * of messages `warnings` and `errors`. Rows that cannot be used are in `errors`, not an error of the call.
 *
 * Returns: (transfer full): JSON text
 *
 * Since: 1.0
 */
char *
peft_dataset_check (PeftDataset *self, PeftTokenizer *tokenizer, PeftLossOn loss_on,
                    guint max_length, guint vocab_size, GCancellable *cancellable, GError **error)
{
  g_autoptr (PeftEncodedSet) encoded = NULL;
  g_autoptr (PeftJson) json = NULL;
  g_autoptr (GError) local = NULL;
  PeftJson *warnings, *errors;
  PeftDataStats stats;

  g_return_val_if_fail (PEFT_IS_DATASET (self), NULL);
  g_return_val_if_fail (tokenizer == NULL || PEFT_IS_TOKENIZER (tokenizer), NULL);

  encoded = encode_alone (self->set, self->set, tokenizer, loss_on, max_length, vocab_size, cancellable,
                         &local);
  if (g_error_matches (local, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return NULL;
    }
  peft_data_stats_compute (&stats, self->set, encoded);
  json = peft_data_stats_to_json (&stats);
  warnings = peft_json_new_array ();
  errors = peft_json_new_array ();
  add_unused_columns (warnings, self->set);
  for (const char *const *text = encoded != NULL ? peft_encoded_set_get_warnings (encoded) : NULL;
       text != NULL && *text != NULL; text++)
    peft_json_append (warnings, peft_json_new_string (*text));
  if (local != NULL)
    peft_json_append (errors, peft_json_new_string (local->message));
  peft_json_set (json, "warnings", warnings);
  peft_json_set (json, "errors", errors);
  return peft_json_to_string (json, PEFT_JSON_WRITE_INDENT);
}

typedef struct
{
  PeftTokenizer *tokenizer;
  PeftLossOn loss_on;
  guint max_length, vocab_size;
} CheckData;

static void
check_data_free (gpointer data)
{
  CheckData *self = data;

  g_clear_object (&self->tokenizer);
  g_free (self);
}

static void
check_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  CheckData *check = data;
  GError *error = NULL;
  char *json = peft_dataset_check (source, check->tokenizer, check->loss_on, check->max_length,
                                   check->vocab_size, cancellable, &error);

  if (json != NULL)
    g_task_return_pointer (task, json, g_free);
  else
    g_task_return_error (task, error);
}

/**
 * peft_dataset_check_async:
 * @self: a data set
 * @tokenizer: (nullable): the model's tokenizer
 * @loss_on: which tokens are learnt
 * @max_length: tokens of a row that are kept; 0: 2048
 * @vocab_size: ids that the model knows; 0: those of the tokenizer
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when it is done
 * @user_data: data for @callback
 *
 * Turns all rows into tokens and counts, in a thread.
 *
 * Since: 1.0
 */
void
peft_dataset_check_async (PeftDataset *self, PeftTokenizer *tokenizer, PeftLossOn loss_on,
                          guint max_length, guint vocab_size, GCancellable *cancellable,
                          GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = NULL;
  CheckData *data;

  g_return_if_fail (PEFT_IS_DATASET (self));
  g_return_if_fail (tokenizer == NULL || PEFT_IS_TOKENIZER (tokenizer));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, peft_dataset_check_async);
  data = g_new0 (CheckData, 1);
  data->tokenizer = tokenizer != NULL ? g_object_ref (tokenizer) : NULL;
  data->loss_on = loss_on;
  data->max_length = max_length;
  data->vocab_size = vocab_size;
  g_task_set_task_data (task, data, check_data_free);
  g_task_run_in_thread (task, check_thread);
}

/**
 * peft_dataset_check_finish:
 * @self: a data set
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends [method@Dataset.check_async].
 *
 * Returns: (transfer full): JSON text
 *
 * Since: 1.0
 */
char *
peft_dataset_check_finish (PeftDataset *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/* The tokens of the first row; their texts together are the text. */
static PeftJson *
list_tokens (PeftEncodedSet *set, PeftTokenizer *tokenizer, GError **error)
{
  g_autoptr (PeftJson) tokens = peft_json_new_array ();
  g_autoptr (PeftStreamDecoder) decoder
      = tokenizer != NULL ? peft_stream_decoder_new (peft_tokenizer_get_core (tokenizer), FALSE)
                          : NULL;
  const gint32 *ids = peft_encoded_set_get_ids (set, 0);
  const gint32 *labels = peft_encoded_set_get_labels (set, 0);
  guint32 n = peft_encoded_set_get_row (set, 0)->length;

  for (guint32 i = 0; i < n; i++)
    {
      PeftJson *token = peft_json_new_object ();
      g_autoptr (GString) text = g_string_new (NULL);

      peft_json_append (tokens, token);
      if (decoder != NULL
          && (!peft_stream_decoder_push (decoder, ids[i], text, error)
              || (i + 1 == n && !peft_stream_decoder_finish (decoder, text, error))))
        return NULL;
      peft_json_set (token, "id", peft_json_new_int (ids[i]));
      peft_json_set (token, "text",
                     decoder != NULL ? peft_json_new_string_len (text->str, text->len)
                                     : peft_json_new_null ());
      peft_json_set (token, "learnt", peft_json_new_boolean (labels[i] != PEFT_DATA_IGNORED));
    }
  return g_steal_pointer (&tokens);
}

/**
 * peft_dataset_preview_row:
 * @self: a data set
 * @index: a row, from 0
 * @tokenizer: (nullable): the model's tokenizer; `NULL` when the row is token ids
 * @loss_on: which tokens are learnt
 * @max_length: tokens of a row that are kept; 0: 2048
 * @error: return location for an error
 *
 * Shows what the model will see of a row.
 *
 * The result is a JSON object: `length` before it was cut, and `tokens`, each with `id`, `text` (null without
 * a tokenizer) and `learnt`. A character of several tokens is the text of the last of them.
 *
 * Returns: (transfer full): JSON text
 *
 * Since: 1.0
 */
char *
peft_dataset_preview_row (PeftDataset *self, guint index, PeftTokenizer *tokenizer,
                          PeftLossOn loss_on, guint max_length, GError **error)
{
  g_autoptr (PeftDataSet) row = NULL;
  g_autoptr (PeftEncodedSet) encoded = NULL;
  g_autoptr (PeftJson) tokens = NULL;
  g_autoptr (PeftJson) json = NULL;

  g_return_val_if_fail (PEFT_IS_DATASET (self), NULL);
  g_return_val_if_fail (index < peft_data_set_get_n_rows (self->set), NULL);
  g_return_val_if_fail (tokenizer == NULL || PEFT_IS_TOKENIZER (tokenizer), NULL);

  row = peft_data_set_dup_row (self->set, index);
  encoded = encode_alone (row, self->set, tokenizer, loss_on, max_length, 0, NULL, error);
  if (encoded == NULL)
    return NULL;
  tokens = list_tokens (encoded, tokenizer, error);
  if (tokens == NULL)
    return NULL;
  json = peft_json_new_object ();
  peft_json_set (json, "length", peft_json_new_int (peft_encoded_set_get_row (encoded, 0)->full_length));
  peft_json_set (json, "tokens", g_steal_pointer (&tokens));
  return peft_json_to_string (json, PEFT_JSON_WRITE_COMPACT);
}
