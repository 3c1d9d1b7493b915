/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "data/peft-data-labelled.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"
#include "data/peft-data-encoded.h"
#include "data/peft-data-ids.h"
#include "data/peft-data-mapping.h"

typedef struct
{
  const PeftJson *record;
  GHashTable *used;
} Columns;

/* Names of two texts that are looked at together; the second may be missing. */
static const struct
{
  const char *first, *second;
} text_columns[] = {
  { "text", "text_pair" },          { "sentence1", "sentence2" }, { "premise", "hypothesis" },
  { "question1", "question2" },     { "sentence", NULL },
};

static const char *const label_columns[] = { "label", "labels", NULL };
static const char *const tag_columns[] = { "tags", "ner_tags", "labels", NULL };

static PeftJson *
get (const Columns *self, const char *name)
{
  PeftJson *value = peft_json_get_member (self->record, name);

  if (value == NULL)
    return NULL;
  g_hash_table_add (self->used, (char *)name);
  return peft_json_get_kind (value) == PEFT_JSON_NULL ? NULL : value;
}

static gboolean
fail_kind (const char *name, const char *expected, const PeftJson *found, GError **error)
{
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA, _ ("%s: expected %s, found: %s"), name,
               expected, found != NULL ? peft_json_get_kind_name (found) : _ ("nothing"));
  return FALSE;
}

static gboolean
fail_columns (const Columns *self, const char *expected, GError **error)
{
  g_autofree char *found = peft_data_list_columns (self->record);

  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA, _ ("expected the columns %s, found: %s"),
               expected, found);
  return FALSE;
}

static gboolean
is_text (const PeftJson *value)
{
  return value != NULL && peft_json_get_kind (value) == PEFT_JSON_STRING
         && strlen (peft_json_get_string (value)) == peft_json_get_string_length (value);
}

static gboolean
copy_text (const Columns *self, const char *name, const char *as, PeftJson *out, GError **error)
{
  PeftJson *value = get (self, name);

  if (!is_text (value))
    return fail_kind (name, _ ("a string"), value, error);
  peft_json_set (out, as, peft_json_ref (value));
  return TRUE;
}

/* The first of the columns that there is; *name keeps its name. */
static PeftJson *
get_first (const Columns *self, const char *const *names, const char **name)
{
  for (; *names != NULL; names++)
    {
      PeftJson *value = get (self, *names);

      *name = *names;
      if (value != NULL)
        return value;
    }
  return NULL;
}

/* A list may be written as JSON in a string, always so in CSV. (transfer full), NULL on error. */
static PeftJson *
get_list (const Columns *self, const char *const *names, const char **name, GError **error)
{
  PeftJson *value = get_first (self, names, name);
  PeftJson *list;

  if (value == NULL || peft_json_get_kind (value) == PEFT_JSON_ARRAY)
    {
      if (value == NULL)
        fail_kind (*name, _ ("a list"), NULL, error);
      return value != NULL ? peft_json_ref (value) : NULL;
    }
  if (!is_text (value))
    {
      fail_kind (*name, _ ("a list"), value, error);
      return NULL;
    }
  list = peft_json_parse (peft_json_get_string (value), -1, PEFT_JSON_PARSE_DEFAULT, error);
  if (list == NULL)
    g_prefix_error (error, _ ("%s: expected JSON: "), *name);
  else if (peft_json_get_kind (list) != PEFT_JSON_ARRAY)
    {
      fail_kind (*name, _ ("a list"), list, error);
      g_clear_pointer (&list, peft_json_unref);
    }
  return list;
}

/* A number or a name; numbers in strings are numbers, since CSV knows nothing else. NULL: neither. */
static PeftJson *
normalise_label (const PeftJson *value)
{
  gint64 id;

  if (value == NULL)
    return NULL;
  if (peft_json_get_kind (value) == PEFT_JSON_BOOLEAN)
    return peft_json_new_int (peft_json_get_boolean (value) ? 1 : 0);
  if (is_text (value) && peft_json_get_string_length (value) > 0)
    return g_ascii_string_to_signed (peft_json_get_string (value), 10, 0, G_MAXINT32, &id, NULL)
               ? peft_json_new_int (id)
               : peft_json_ref ((PeftJson *)value);
  if (peft_json_is_number (value) && peft_json_get_int (value, &id) && id >= 0 && id <= G_MAXINT32)
    return peft_json_new_int (id);
  return NULL;
}

static PeftJson *
read_label (const char *name, const PeftJson *value, GError **error)
{
  PeftJson *label = normalise_label (value);

  if (label != NULL)
    return label;
  if (value != NULL && peft_json_get_kind (value) == PEFT_JSON_DOUBLE)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                 _ ("%s: regression (labels that are no whole numbers) is not supported by this version"),
                 name);
  else if (value != NULL && peft_json_get_kind (value) == PEFT_JSON_ARRAY)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                 _ ("%s: several labels for one text are not supported by this version"), name);
  else
    fail_kind (name, _ ("the number or the name of a class"), value, error);
  return NULL;
}

static void
keep (PeftDataSet *set, PeftDataRow *row, const PeftJson *json, PeftDataForm form)
{
  g_autofree char *text = peft_json_to_string (json, PEFT_JSON_WRITE_COMPACT);

  row->form = form;
  row->kind = PEFT_DATA_KIND_LABELLED;
  row->text[0] = peft_data_set_keep_text (set, text, strlen (text));
}

/* ---- Texts --------------------------------------------------------------------------------- */

static PeftJson *
read_classified (const Columns *self, GError **error)
{
  g_autoptr (PeftJson) out = peft_json_new_object ();
  const char *name;
  PeftJson *label;

  for (guint i = 0; i < G_N_ELEMENTS (text_columns); i++)
    {
      const char *second = text_columns[i].second;

      if (peft_json_get_member (self->record, text_columns[i].first) == NULL)
        continue;
      if (!copy_text (self, text_columns[i].first, "text", out, error)
          || (second != NULL && get (self, second) != NULL
              && !copy_text (self, second, "text_pair", out, error)))
        return NULL;
      label = get_first (self, label_columns, &name);
      label = read_label (label != NULL ? name : "label", label, error);
      if (label == NULL)
        return NULL;
      peft_json_set (out, "label", label);
      return g_steal_pointer (&out);
    }
  fail_columns (self, _ ("text (and text_pair) and label, sentence1, sentence2 and label, or input_ids and label"), error);
  return NULL;
}

/* ---- Tokens -------------------------------------------------------------------------------- */

static PeftJson *
read_tagged (const Columns *self, GError **error)
{
  static const char *const token_columns[] = { "tokens", "words", NULL };
  const char *token_name, *tag_name;
  g_autoptr (PeftJson) tokens = NULL;
  g_autoptr (PeftJson) tags = NULL;
  g_autoptr (PeftJson) out = peft_json_new_object ();
  PeftJson *labels;

  if (get_first (self, token_columns, &token_name) == NULL)
    {
      fail_columns (self, _ ("tokens and tags, or input_ids and labels"), error);
      return NULL;
    }
  tokens = get_list (self, token_columns, &token_name, error);
  tags = tokens != NULL ? get_list (self, tag_columns, &tag_name, error) : NULL;
  if (tags == NULL)
    return NULL;
  if (peft_json_get_length (tags) != peft_json_get_length (tokens))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   _ ("%s: expected as many as there are %s, %zu, found %zu"), tag_name, token_name,
                   peft_json_get_length (tokens), peft_json_get_length (tags));
      return NULL;
    }
  labels = peft_json_new_array ();
  peft_json_set (out, "tokens", peft_json_ref (tokens));
  peft_json_set (out, "labels", labels);
  for (gsize i = 0; i < peft_json_get_length (tags); i++)
    {
      g_autofree char *place = g_strdup_printf ("%s[%zu]", tag_name, i);
      PeftJson *label = read_label (place, peft_json_get_element (tags, i), error);

      if (label == NULL)
        return NULL;
      peft_json_append (labels, label);
      if (!is_text (peft_json_get_element (tokens, i)))
        {
          fail_kind (token_name, _ ("a list of strings"), peft_json_get_element (tokens, i), error);
          return NULL;
        }
    }
  return g_steal_pointer (&out);
}

/* ---- Questions ----------------------------------------------------------------------------- */

static gboolean
append_answer (PeftJson *out, const char *context, const PeftJson *text, const PeftJson *start, GError **error)
{
  gint64 at = -1;
  PeftJson *answer;

  if (!is_text (text) || peft_json_get_string_length (text) == 0)
    return fail_kind ("answers.text", _ ("a string that is not empty"), text, error);
  if (start == NULL || !peft_json_is_number (start) || !peft_json_get_int (start, &at))
    return fail_kind ("answers.answer_start", _ ("a whole number"), start, error);
  if (at < 0 || at >= g_utf8_strlen (context, -1)
      || !g_str_has_prefix (g_utf8_offset_to_pointer (context, at), peft_json_get_string (text)))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   _ ("answers: expected the text “%.60s” at character %" PRIi64 " of the context, where it is not"),
                   peft_json_get_string (text), at);
      return FALSE;
    }
  answer = peft_json_new_object ();
  peft_json_set (answer, "text", peft_json_ref ((PeftJson *)text));
  peft_json_set (answer, "start", peft_json_new_int (at));
  peft_json_append (out, answer);
  return TRUE;
}

/* {"text": […], "answer_start": […]}, or a list of {"text", "answer_start"}. */
static gboolean
read_answers (const PeftJson *answers, const char *context, PeftJson *out, GError **error)
{
  PeftJsonKind kind = answers != NULL ? peft_json_get_kind (answers) : PEFT_JSON_NULL;
  const PeftJson *texts, *starts;

  if (kind == PEFT_JSON_ARRAY)
    {
      for (gsize i = 0; i < peft_json_get_length (answers); i++)
        {
          const PeftJson *one = peft_json_get_element (answers, i);

          if (peft_json_get_kind (one) != PEFT_JSON_OBJECT)
            return fail_kind ("answers", _ ("objects with text and answer_start"), one, error);
          if (!append_answer (out, context, peft_json_get_member (one, "text"),
                              peft_json_get_member (one, "answer_start"), error))
            return FALSE;
        }
      return TRUE;
    }
  if (kind != PEFT_JSON_OBJECT)
    return fail_kind ("answers", _ ("an object with text and answer_start"), answers, error);
  texts = peft_json_get_member (answers, "text");
  starts = peft_json_get_member (answers, "answer_start");
  if (texts == NULL || peft_json_get_kind (texts) != PEFT_JSON_ARRAY)
    return fail_kind ("answers.text", _ ("a list of strings"), texts, error);
  if (starts == NULL || peft_json_get_kind (starts) != PEFT_JSON_ARRAY
      || peft_json_get_length (starts) != peft_json_get_length (texts))
    return fail_kind ("answers.answer_start", _ ("as many numbers as there are texts"), starts, error);
  for (gsize i = 0; i < peft_json_get_length (texts); i++)
    if (!append_answer (out, context, peft_json_get_element (texts, i), peft_json_get_element (starts, i), error))
      return FALSE;
  return TRUE;
}

static PeftJson *
read_question (const Columns *self, GError **error)
{
  g_autoptr (PeftJson) out = peft_json_new_object ();
  g_autoptr (PeftJson) parsed = NULL;
  PeftJson *answers, *list = peft_json_new_array ();

  peft_json_set (out, "answers", list);
  if (peft_json_get_member (self->record, "question") == NULL
      || peft_json_get_member (self->record, "context") == NULL)
    {
      fail_columns (self, _ ("question, context and answers, or input_ids, start_positions and end_positions"), error);
      return NULL;
    }
  if (!copy_text (self, "question", "question", out, error)
      || !copy_text (self, "context", "context", out, error))
    return NULL;
  answers = get (self, "answers");
  if (is_text (answers))
    {
      answers = parsed
          = peft_json_parse (peft_json_get_string (answers), -1, PEFT_JSON_PARSE_DEFAULT, error);
      if (parsed == NULL)
        {
          g_prefix_error (error, _ ("%s: expected JSON: "), "answers");
          return NULL;
        }
    }
  if (!read_answers (answers, peft_json_get_string (peft_json_get_member (out, "context")), list, error))
    return NULL;
  return g_steal_pointer (&out);
}

/* ---- Token ids ----------------------------------------------------------------------------- */

static gboolean
read_position (const Columns *self, const char *name, guint32 length, gint64 *out, GError **error)
{
  PeftJson *value = get (self, name);

  if (value == NULL || !peft_json_is_number (value) || !peft_json_get_int (value, out))
    return fail_kind (name, _ ("a whole number"), value, error);
  if (*out >= 0 && *out < length)
    return TRUE;
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
               _ ("%s: expected a position from 0 to %u, found %" PRIi64), name, length - 1, *out);
  return FALSE;
}

static gboolean
label_ids (const Columns *self, PeftTask task, PeftDataIds *ids, GError **error)
{
  gint64 start, end, id;
  g_autoptr (PeftJson) label = NULL;
  const char *name;
  PeftJson *value;

  if (task == PEFT_TASK_TOKEN_CLS)
    return TRUE;
  for (guint32 i = 0; i < ids->length; i++)
    ids->labels[i] = PEFT_DATA_IGNORED;
  if (task == PEFT_TASK_QUESTION_ANS)
    {
      if (!read_position (self, "start_positions", ids->length, &start, error)
          || !read_position (self, "end_positions", ids->length, &end, error))
        return FALSE;
      ids->labels[start] = PEFT_DATA_ANSWER_START;
      ids->labels[end] = start == end ? PEFT_DATA_ANSWER_START | PEFT_DATA_ANSWER_END : PEFT_DATA_ANSWER_END;
      return TRUE;
    }
  value = get_first (self, label_columns, &name);
  label = read_label (value != NULL ? name : "label", value, error);
  if (label == NULL)
    return FALSE;
  if (!peft_json_get_int (label, &id))
    return fail_kind (name, _ ("the number of a class, as rows of input_ids have them"), label, error);
  ids->labels[ids->length - 1] = (gint32)id;
  return TRUE;
}

static gboolean
read_ids (const Columns *self, PeftTask task, PeftDataRow *row, GError **error)
{
  static const char *const id_columns[] = { "input_ids", NULL };
  static const char *const list_columns[] = { "labels", NULL };
  static const char *const mask_columns[] = { "attention_mask", NULL };
  const char *name;
  g_autoptr (PeftJson) list = get_list (self, id_columns, &name, error);
  g_autoptr (PeftJson) labels = NULL;
  g_autoptr (PeftJson) mask = NULL;
  PeftDataIds *ids;

  if (list == NULL
      || (task == PEFT_TASK_TOKEN_CLS && (labels = get_list (self, list_columns, &name, error)) == NULL)
      || (get (self, "attention_mask") != NULL
          && (mask = get_list (self, mask_columns, &name, error)) == NULL))
    return FALSE;
  ids = peft_data_ids_read (list, labels, mask, error);
  if (ids == NULL)
    return FALSE;
  if (!label_ids (self, task, ids, error))
    {
      g_free (ids);
      return FALSE;
    }
  row->form = PEFT_DATA_FORM_INPUT_IDS;
  row->kind = PEFT_DATA_KIND_IDS;
  row->ids = ids;
  return TRUE;
}

gboolean
peft_data_labelled_read (PeftDataSet *set, PeftTask task, const PeftJson *record, GHashTable *used,
                         PeftDataRow *row, GError **error)
{
  const Columns self = { record, used };
  g_autoptr (PeftJson) json = NULL;

  row->task = -1;
  if (peft_json_get_kind (record) != PEFT_JSON_OBJECT)
    return fail_kind (_ ("row"), _ ("an object"), record, error);
  if (task == PEFT_TASK_FEATURE_EXTRACTION)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("task %s has no labels and no loss of its own"), peft_task_get_name (task));
      return FALSE;
    }
  if (get (&self, "input_ids") != NULL)
    return read_ids (&self, task, row, error);
  json = task == PEFT_TASK_SEQ_CLS     ? read_classified (&self, error)
         : task == PEFT_TASK_TOKEN_CLS ? read_tagged (&self, error)
                                       : read_question (&self, error);
  if (json == NULL)
    return FALSE;
  keep (set, row, json,
        task == PEFT_TASK_SEQ_CLS     ? PEFT_DATA_FORM_CLASSIFIED
        : task == PEFT_TASK_TOKEN_CLS ? PEFT_DATA_FORM_TAGGED
                                      : PEFT_DATA_FORM_QUESTION);
  return TRUE;
}
