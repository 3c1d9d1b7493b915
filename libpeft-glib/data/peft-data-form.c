/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "data/peft-data-form.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

#include "base/peft-error.h"
#include "data/peft-data-ids.h"
#include "data/peft-data-mapping.h"
#include "data/peft-data-messages.h"
#include "data/peft-data-records.h"

typedef struct
{
  PeftDataSet *set;
  const PeftJson *record;
  GHashTable *used;
  PeftDataRow *row;
} Form;

/* Columns that hold a conversation, and the form they stand for. */
static const struct
{
  const char *column;
  PeftDataForm form;
} conversation_columns[] = {
  { "messages", PEFT_DATA_FORM_MESSAGES },
  { "conversations", PEFT_DATA_FORM_CONVERSATIONS },
  { "conversation", PEFT_DATA_FORM_CONVERSATIONS },
};

/* What is asked, and under which names its answer is found; the first that is not empty counts. */
static const struct
{
  const char *question;
  const char *answers[5];
} question_columns[] = {
  { "instruction", { "output", "response", "answer", "completion" } },
  { "question", { "answer", "response", "output" } },
  { "query", { "response", "answer", "output" } },
  { "problem", { "solution", "answer" } },
  { "prompt", { "response", "output", "answer" } },
  { "input", { "output", "response", "answer" } },
};

/* Columns of data for methods that compare answers. */
static const char *const preference_columns[]
    = { "rejected", "chosen_messages", "rejected_messages", "rejected_response", "kto_tag", NULL };

static const char *const media_columns[] = { "images", "image", "videos", "audios", NULL };

/* NULL for what is absent, null, or the NaN that Python writes for a missing value. */
static PeftJson *
get (const Form *self, const char *name)
{
  PeftJson *value = peft_json_get_member (self->record, name);
  double number;

  if (value == NULL)
    return NULL;
  g_hash_table_add (self->used, (char *)name);
  if (peft_json_get_kind (value) == PEFT_JSON_NULL)
    return NULL;
  if (peft_json_get_kind (value) == PEFT_JSON_DOUBLE && peft_json_get_double (value, &number)
      && isnan (number))
    return NULL;
  return value;
}

static gboolean
has (const Form *self, const char *name)
{
  return peft_json_get_member (self->record, name) != NULL;
}

static gboolean
is_list (const PeftJson *json)
{
  return json != NULL && peft_json_get_kind (json) == PEFT_JSON_ARRAY;
}

static gboolean
fail_kind (const char *name, const char *expected, const PeftJson *found, GError **error)
{
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA, _ ("%s: expected %s, found: %s"), name,
               expected, found != NULL ? peft_json_get_kind_name (found) : _ ("nothing"));
  return FALSE;
}

/* *out stays NULL for an absent value where that is allowed. */
static gboolean
get_text (const Form *self, const char *name, gboolean optional, const char **out, GError **error)
{
  PeftJson *value = get (self, name);

  *out = NULL;
  if (value == NULL && optional)
    return TRUE;
  if (value == NULL || peft_json_get_kind (value) != PEFT_JSON_STRING)
    return fail_kind (name, _ ("a string"), value, error);
  *out = peft_json_get_string (value);
  if (strlen (*out) == peft_json_get_string_length (value))
    return TRUE;
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA, _ ("%s: the text holds a NUL character"),
               name);
  return FALSE;
}

/* A value that may be written as JSON in a string (always so in CSV). *out is a new reference, NULL
 * for an absent value or an empty string. */
static gboolean
get_structure (const Form *self, const char *name, PeftJson **out, GError **error)
{
  PeftJson *value = get (self, name);
  g_autofree char *text = NULL;

  *out = NULL;
  if (value == NULL)
    return TRUE;
  if (peft_json_get_kind (value) != PEFT_JSON_STRING)
    {
      *out = peft_json_ref (value);
      return TRUE;
    }
  text = g_strstrip (g_strdup (peft_json_get_string (value)));
  if (text[0] == '\0')
    return TRUE;
  *out = peft_json_parse (text, -1, PEFT_JSON_PARSE_DEFAULT, error);
  if (*out == NULL)
    g_prefix_error (error, _ ("%s: expected JSON: "), name);
  return *out != NULL;
}

static void
set_text (const Form *self, guint i, const char *text)
{
  self->row->text[i] = peft_data_set_keep_text (self->set, text, strlen (text));
}

/* tools and documents go to the template beside the messages. */
static gboolean
read_variables (const Form *self, PeftJson **out, GError **error)
{
  static const char *const names[] = { "tools", "documents" };
  g_autoptr (PeftJson) variables = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      PeftJson *value = NULL;

      if (!get_structure (self, names[i], &value, error))
        return FALSE;
      if (value == NULL)
        continue;
      if (!is_list (value))
        {
          fail_kind (names[i], _ ("a list"), value, error);
          peft_json_unref (value);
          return FALSE;
        }
      if (peft_json_get_length (value) == 0)
        {
          peft_json_unref (value);
          continue;
        }
      if (variables == NULL)
        variables = peft_json_new_object ();
      peft_json_set (variables, names[i], value);
    }
  *out = g_steal_pointer (&variables);
  return TRUE;
}

static guint
get_depth (const PeftJson *json)
{
  PeftJsonKind kind = peft_json_get_kind (json);
  guint deepest = 0;

  if (kind != PEFT_JSON_ARRAY && kind != PEFT_JSON_OBJECT)
    return 0;
  for (gsize i = 0; i < peft_json_get_length (json); i++)
    {
      guint depth = get_depth (kind == PEFT_JSON_ARRAY ? peft_json_get_element (json, i)
                                                       : peft_json_get_value (json, i));

      deepest = MAX (deepest, depth);
    }
  return deepest + 1;
}

/* JSON out of a string may have made the whole deeper than can be read back. */
static gboolean
keep_json (const Form *self, guint i, const PeftJson *json, GError **error)
{
  g_autofree char *text = NULL;

  if (get_depth (json) > PEFT_JSON_MAX_DEPTH)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                   _ ("expected tools and calls that are nested at most %u deep"),
                   PEFT_JSON_MAX_DEPTH);
      return FALSE;
    }
  text = peft_json_to_string (json, PEFT_JSON_WRITE_COMPACT);
  set_text (self, i, text);
  return TRUE;
}

static gboolean
set_chat (const Form *self,
          const PeftJson *messages,
          const PeftJson *variables,
          guint32 n_prompt,
          GError **error)
{
  self->row->kind = PEFT_DATA_KIND_CHAT;
  self->row->n_prompt = n_prompt;
  return keep_json (self, 0, messages, error)
         && (variables == NULL || keep_json (self, 1, variables, error));
}

static gboolean
read_conversation (const Form *self, const char *column, PeftDataForm form, GError **error)
{
  g_autoptr (PeftJson) list = NULL;
  g_autoptr (PeftJson) messages = peft_json_new_array ();
  g_autoptr (PeftJson) variables = NULL;
  const char *system;

  if (!get_structure (self, column, &list, error))
    return FALSE;
  if (list == NULL)
    return fail_kind (column, _ ("a list of messages"), NULL, error);
  if (!get_text (self, "system", TRUE, &system, error))
    return FALSE;
  if (system != NULL && system[0] != '\0')
    peft_data_messages_append_text (messages, "system", system);
  if (!peft_data_messages_append (messages, list, column, error)
      || !read_variables (self, &variables, error))
    return FALSE;
  self->row->form = form;
  return set_chat (self, messages, variables, 0, error);
}

/* prompt and completion as lists of messages; one of them may be a string. */
static gboolean
read_message_lists (const Form *self, const char *answer, GError **error)
{
  const char *const columns[] = { "prompt", answer };
  static const char *const roles[] = { "user", "assistant" };
  g_autoptr (PeftJson) messages = peft_json_new_array ();
  g_autoptr (PeftJson) variables = NULL;
  gsize n_prompt = 0;

  for (guint i = 0; i < G_N_ELEMENTS (columns); i++)
    {
      PeftJson *value = get (self, columns[i]);

      if (i == 1)
        n_prompt = peft_json_get_length (messages);
      if (value == NULL)
        return fail_kind (columns[i], _ ("a list of messages"), value, error);
      if (peft_json_get_kind (value) == PEFT_JSON_STRING)
        peft_data_messages_append_text (messages, roles[i], peft_json_get_string (value));
      else if (!peft_data_messages_append (messages, value, columns[i], error))
        return FALSE;
    }
  if (!read_variables (self, &variables, error))
    return FALSE;
  self->row->form = PEFT_DATA_FORM_PROMPT_COMPLETION;
  return set_chat (self, messages, variables, (guint32)n_prompt, error);
}

static gboolean
read_pair (const Form *self, const char *answer, GError **error)
{
  const char *prompt;
  const char *completion;

  if (is_list (get (self, "prompt")) || is_list (get (self, answer)))
    return read_message_lists (self, answer, error);
  if (!get_text (self, "prompt", FALSE, &prompt, error)
      || !get_text (self, answer, FALSE, &completion, error))
    return FALSE;
  self->row->form = PEFT_DATA_FORM_PROMPT_COMPLETION;
  self->row->kind = PEFT_DATA_KIND_PAIR;
  set_text (self, 0, prompt);
  set_text (self, 1, completion);
  return TRUE;
}

/* input and output as lists of turns of equal length. */
static gboolean
read_parallel_lists (const Form *self, const char *question, const char *answer, GError **error)
{
  PeftJson *questions = get (self, question);
  PeftJson *answers = get (self, answer);
  g_autoptr (PeftJson) turns = peft_json_new_array ();
  g_autoptr (PeftJson) messages = peft_json_new_array ();

  if (!is_list (questions) || !is_list (answers)
      || peft_json_get_length (questions) != peft_json_get_length (answers)
      || peft_json_get_length (questions) == 0)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   _ ("%s, %s: expected two strings or two lists of as many strings"), question,
                   answer);
      return FALSE;
    }
  for (gsize i = 0; i < peft_json_get_length (questions); i++)
    {
      PeftJson *turn = peft_json_new_array ();

      peft_json_append (turn, peft_json_ref (peft_json_get_element (questions, i)));
      peft_json_append (turn, peft_json_ref (peft_json_get_element (answers, i)));
      peft_json_append (turns, turn);
    }
  if (!peft_data_messages_append_history (messages, turns, question, error))
    return FALSE;
  self->row->form = PEFT_DATA_FORM_INSTRUCTION;
  return set_chat (self, messages, NULL, 0, error);
}

/* The answer column of the row: the first with text in it, else the first there is. */
static const char *
find_answer (const Form *self, const char *const *answers)
{
  const char *found = NULL;

  for (guint i = 0; answers[i] != NULL; i++)
    {
      PeftJson *value = peft_json_get_member (self->record, answers[i]);

      if (value == NULL)
        continue;
      if (found == NULL)
        found = answers[i];
      if (peft_json_get_kind (value) != PEFT_JSON_NULL
          && (peft_json_get_kind (value) != PEFT_JSON_STRING
              || peft_json_get_string_length (value) > 0))
        return answers[i];
    }
  return found;
}

static gboolean
read_context (const Form *self,
              const char *question,
              const char **system,
              const char **input,
              PeftJson **history,
              GError **error)
{
  if (!get_text (self, has (self, "system") ? "system" : "system_prompt", TRUE, system, error)
      || !get_structure (self, "history", history, error))
    return FALSE;
  *input = NULL;
  if (strcmp (question, "instruction") != 0 && strcmp (question, "question") != 0)
    return TRUE;
  return get_text (self, has (self, "input") ? "input" : "context", TRUE, input, error);
}

static gboolean
read_instruction (const Form *self, const char *question, const char *answer, GError **error)
{
  g_autoptr (PeftJson) history = NULL;
  g_autoptr (PeftJson) variables = NULL;
  g_autoptr (PeftJson) messages = NULL;
  g_autofree char *joined = NULL;
  const char *system;
  const char *input;
  const char *asked;
  const char *answered;

  if (is_list (get (self, question)) || is_list (get (self, answer)))
    return read_parallel_lists (self, question, answer, error);
  if (!get_text (self, question, FALSE, &asked, error)
      || !get_text (self, answer, FALSE, &answered, error)
      || !read_context (self, question, &system, &input, &history, error)
      || !read_variables (self, &variables, error))
    return FALSE;
  if (input != NULL && input[0] != '\0')
    asked = joined = g_strjoin (asked[0] != '\0' ? "\n" : "", asked, input, NULL);
  self->row->form = PEFT_DATA_FORM_INSTRUCTION;
  if ((system == NULL || system[0] == '\0') && variables == NULL
      && (history == NULL || (is_list (history) && peft_json_get_length (history) == 0)))
    {
      self->row->kind = PEFT_DATA_KIND_INSTRUCTION;
      set_text (self, 0, asked);
      set_text (self, 1, answered);
      return TRUE;
    }
  messages = peft_json_new_array ();
  if (system != NULL && system[0] != '\0')
    peft_data_messages_append_text (messages, "system", system);
  if (history != NULL && !peft_data_messages_append_history (messages, history, "history", error))
    return FALSE;
  peft_data_messages_append_text (messages, "user", asked);
  peft_data_messages_append_text (messages, "assistant", answered);
  return set_chat (self, messages, variables, 0, error);
}

static gboolean
read_ids (const Form *self, GError **error)
{
  g_autoptr (PeftJson) list = NULL;
  g_autoptr (PeftJson) labels = NULL;
  g_autoptr (PeftJson) mask = NULL;
  PeftDataIds *ids;

  if (!get_structure (self, "input_ids", &list, error)
      || !get_structure (self, "labels", &labels, error)
      || !get_structure (self, "attention_mask", &mask, error))
    return FALSE;
  if (!is_list (list))
    return fail_kind ("input_ids", _ ("a list of token ids"), list, error);
  ids = peft_data_ids_read (list, labels, mask, error);
  if (ids == NULL)
    return FALSE;
  self->row->form = PEFT_DATA_FORM_INPUT_IDS;
  self->row->kind = PEFT_DATA_KIND_IDS;
  self->row->ids = ids;
  return TRUE;
}

/* What this version cannot learn from, though the rest of the row looks usable. */
static gboolean
refuse_by_name (const Form *self, GError **error)
{
  PeftJson *label = peft_json_get_member (self->record, "label");

  for (guint i = 0; preference_columns[i] != NULL; i++)
    if (has (self, preference_columns[i]))
      {
        g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                     _ ("%s: preference data (chosen and rejected answers) is not supported"),
                     preference_columns[i]);
        return FALSE;
      }
  if (label != NULL && peft_json_get_kind (label) == PEFT_JSON_BOOLEAN
      && (has (self, "messages") || has (self, "conversations") || has (self, "completion")))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("label: preference data (answers marked good or bad) is not supported"));
      return FALSE;
    }
  for (guint i = 0; media_columns[i] != NULL; i++)
    {
      PeftJson *value = get (self, media_columns[i]);

      if (value != NULL && !(is_list (value) && peft_json_get_length (value) == 0)
          && !(peft_json_get_kind (value) == PEFT_JSON_STRING
               && peft_json_get_string_length (value) == 0))
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                       _ ("%s: rows with images, video or sound are not supported"),
                       media_columns[i]);
          return FALSE;
        }
    }
  return TRUE;
}

static gboolean
fail_unknown (const Form *self, GError **error)
{
  g_autofree char *found = peft_data_list_columns (self->record);

  for (guint i = 0; i < G_N_ELEMENTS (question_columns); i++)
    if (has (self, question_columns[i].question))
      {
        const char *const *answers = question_columns[i].answers;
        g_autofree char *expected = g_strjoinv (", ", (char **)answers);

        g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                     _ ("expected a column with the answer to %s (one of %s), found: %s"),
                     question_columns[i].question, expected, found);
        return FALSE;
      }
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
               _ ("expected messages, prompt and completion, instruction and output, "
                  "conversations, text or input_ids, found: %s"),
               found);
  return FALSE;
}

/* A list of messages, or a string of plain text. */
static gboolean
read_bare_value (Form *self, GError **error)
{
  g_autoptr (PeftJson) wrapped = peft_json_new_object ();
  PeftJson *value = (PeftJson *)self->record;

  if (peft_data_json_is_conversation (value))
    peft_json_set (wrapped, "messages", peft_json_ref (value));
  else if (peft_json_get_kind (value) == PEFT_JSON_STRING)
    peft_json_set (wrapped, "text", peft_json_ref (value));
  else
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   _ ("expected an object or a list of messages, found: %s"),
                   peft_json_get_kind_name (value));
      return FALSE;
    }
  return peft_data_form_read (self->set, wrapped, self->used, self->row, error);
}

/* Columns of this name that hold something else, such as the name of an exercise, mean nothing here. */
static gint32
find_task (const Form *self)
{
  PeftJson *value = peft_json_get_member (self->record, "task_id");
  gint64 task = -1;
  gboolean is_task;

  if (value == NULL)
    return -1;
  if (peft_json_get_kind (value) == PEFT_JSON_STRING) /* CSV */
    is_task = g_ascii_string_to_signed (peft_json_get_string (value), 10, 0, G_MAXINT32, &task, NULL);
  else
    is_task = peft_json_is_number (value) && peft_json_get_int (value, &task) && task >= 0
              && task <= G_MAXINT32;
  if (!is_task)
    return -1;
  g_hash_table_add (self->used, (char *)"task_id");
  return (gint32)task;
}

gboolean
peft_data_form_read (
    PeftDataSet *set, const PeftJson *record, GHashTable *used, PeftDataRow *row, GError **error)
{
  Form self = { set, record, used, row };

  row->task = -1;
  if (peft_json_get_kind (record) != PEFT_JSON_OBJECT)
    return read_bare_value (&self, error);
  row->task = find_task (&self);
  if (!refuse_by_name (&self, error))
    return FALSE;
  if (get (&self, "input_ids") != NULL)
    return read_ids (&self, error);
  for (guint i = 0; i < G_N_ELEMENTS (conversation_columns); i++)
    if (get (&self, conversation_columns[i].column) != NULL)
      return read_conversation (&self, conversation_columns[i].column, conversation_columns[i].form,
                                error);
  if (has (&self, "prompt") && has (&self, "completion"))
    return read_pair (&self, "completion", error);
  for (guint i = 0; i < G_N_ELEMENTS (question_columns); i++)
    {
      const char *question = question_columns[i].question;
      const char *answer
          = has (&self, question) ? find_answer (&self, question_columns[i].answers) : NULL;

      if (answer != NULL)
        return read_instruction (&self, question, answer, error);
    }
  /* Where no row has a rejected answer, the chosen one is plain supervised data. */
  if (has (&self, "prompt") && has (&self, "chosen"))
    return read_pair (&self, "chosen", error);
  if (has (&self, "text"))
    {
      const char *text;

      if (!get_text (&self, "text", FALSE, &text, error))
        return FALSE;
      row->form = PEFT_DATA_FORM_TEXT;
      row->kind = PEFT_DATA_KIND_TEXT;
      set_text (&self, 0, text);
      return TRUE;
    }
  return fail_unknown (&self, error);
}
