/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "models/peft-core-task.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>

#include "base/peft-error.h"

#define MAX_LABELS (1 << 20)

/* One row a task: the ending of the class's name in transformers, and its head. */
typedef struct
{
  const char *class_suffix;
  const char *head; /* NULL: the output embedding, or none */
  gboolean bias, classes;
} HeadInfo;

static const HeadInfo heads[] = {
  [PEFT_TASK_CAUSAL_LM] = { "ForCausalLM" },
  [PEFT_TASK_SEQ_CLS] = { "ForSequenceClassification", "score", FALSE, TRUE },
  [PEFT_TASK_TOKEN_CLS] = { "ForTokenClassification", "score", TRUE, TRUE },
  [PEFT_TASK_QUESTION_ANS] = { "ForQuestionAnswering", "qa_outputs", TRUE, FALSE },
  [PEFT_TASK_FEATURE_EXTRACTION] = { "Model" },
};

/* ---- Labels -------------------------------------------------------------------------------- */

GStrv
peft_labels_new_numbered (guint n)
{
  GStrv labels = g_new0 (char *, n + 1);

  for (guint i = 0; i < n; i++)
    labels[i] = g_strdup_printf ("LABEL_%u", i);
  return labels;
}

PeftJson *
peft_labels_to_id2label (const char *const *labels)
{
  PeftJson *json = peft_json_new_object ();

  for (guint i = 0; labels[i] != NULL; i++)
    {
      g_autofree char *key = g_strdup_printf ("%u", i);
      peft_json_set (json, key, peft_json_new_string (labels[i]));
    }
  return json;
}

PeftJson *
peft_labels_to_label2id (const char *const *labels)
{
  PeftJson *json = peft_json_new_object ();

  for (guint i = 0; labels[i] != NULL; i++)
    peft_json_set (json, labels[i], peft_json_new_int (i));
  return json;
}

GStrv
peft_labels_from_json (const PeftJson *object, GError **error)
{
  const PeftJson *map = peft_json_get_member (object, "id2label");
  g_auto (GStrv) labels = NULL;
  gsize n;

  if (map == NULL || peft_json_get_kind (map) == PEFT_JSON_NULL)
    return NULL;
  n = peft_json_get_kind (map) == PEFT_JSON_OBJECT ? peft_json_get_length (map) : 0;
  if (n == 0 || n > MAX_LABELS)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("id2label: expected an object with a name for each class, found: %s"),
                   peft_json_get_kind_name (map));
      return NULL;
    }
  labels = g_new0 (char *, n + 1);
  for (gsize i = 0; i < n; i++)
    {
      const PeftJson *name = peft_json_get_value (map, i);
      guint64 id;

      if (!g_ascii_string_to_unsigned (peft_json_get_name (map, i), 10, 0, n - 1, &id, NULL)
          || labels[id] != NULL || peft_json_get_kind (name) != PEFT_JSON_STRING)
        {
          for (gsize j = 0; j < n; j++)
            g_clear_pointer (&labels[j], g_free);
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                       _ ("id2label: expected the numbers 0 to %zu, each with a name, found \"%s\": %s"),
                       n - 1, peft_json_get_name (map, i), peft_json_get_kind_name (name));
          return NULL;
        }
      labels[id] = g_strdup (peft_json_get_string (name));
    }
  return g_steal_pointer (&labels);
}

/* ---- Which head ---------------------------------------------------------------------------- */

static const char *
get_class (const PeftJson *config)
{
  const PeftJson *list = peft_json_get_member (config, "architectures");
  const PeftJson *first;

  if (list == NULL || peft_json_get_kind (list) != PEFT_JSON_ARRAY || peft_json_get_length (list) == 0)
    return "";
  first = peft_json_get_element (list, 0);
  return peft_json_get_kind (first) == PEFT_JSON_STRING ? peft_json_get_string (first) : "";
}

PeftTask
peft_core_task_detect (const PeftJson *config)
{
  const char *name = get_class (config);

  for (guint i = 0; i < G_N_ELEMENTS (heads); i++)
    if (heads[i].head != NULL && g_str_has_suffix (name, heads[i].class_suffix))
      return (PeftTask) i;
  return PEFT_TASK_CAUSAL_LM;
}

static gboolean
find_labels (PeftCore *self, const PeftHeadRequest *request, GError **error)
{
  GError *local = NULL;
  gint64 n = 2;

  if (request != NULL && request->labels != NULL)
    self->labels = g_strdupv ((GStrv) request->labels);
  else
    self->labels = peft_labels_from_json (self->config, &local);
  if (local != NULL)
    {
      g_propagate_error (error, local);
      return FALSE;
    }
  /* The head's own size decides; names are only names. */
  if (request != NULL && request->labels == NULL && request->n_labels > 0
      && (self->labels == NULL || g_strv_length (self->labels) != request->n_labels))
    {
      g_strfreev (self->labels);
      self->labels = peft_labels_new_numbered (request->n_labels);
    }
  if (self->labels != NULL)
    return TRUE;
  if (!peft_json_read_int (self->config, "num_labels", &n, error))
    return FALSE;
  if (n < 1 || n > MAX_LABELS)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("num_labels: expected 1 to %d, found %" PRIi64), MAX_LABELS, n);
      return FALSE;
    }
  self->labels = peft_labels_new_numbered (n);
  return TRUE;
}

/* Regression and classes that exclude each other not: transformers' other kinds of problems. */
static gboolean
check_problem (PeftCore *self, GError **error)
{
  const char *type = NULL;

  if (!peft_json_read_string (self->config, "problem_type", &type, error))
    return FALSE;
  if (self->task == PEFT_TASK_SEQ_CLS && type == NULL && g_strv_length (self->labels) == 1)
    type = "regression";
  if (type == NULL || g_str_equal (type, "single_label_classification")
      || self->task != PEFT_TASK_SEQ_CLS)
    return TRUE;
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
               _ ("problem_type: %s is not supported by this version, only single_label_classification"),
               type);
  return FALSE;
}

static gboolean
read_pad_id (PeftCore *self, GError **error)
{
  const PeftJson *pad = peft_json_get_member (self->config, "pad_token_id");

  self->pad_id = -1;
  if (pad == NULL || peft_json_get_kind (pad) == PEFT_JSON_NULL)
    return TRUE;
  return peft_json_read_int (self->config, "pad_token_id", &self->pad_id, error);
}

static gboolean
read_dropout (PeftCore *self, GError **error)
{
  static const char *const names[] = { "classifier_dropout", "hidden_dropout" };

  self->head_dropout = 0.1;
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      const PeftJson *value = peft_json_get_member (self->config, names[i]);

      if (value == NULL || peft_json_get_kind (value) == PEFT_JSON_NULL)
        continue;
      if (!peft_json_read_double (self->config, names[i], &self->head_dropout, error))
        return FALSE;
      if (self->head_dropout >= 0 && self->head_dropout < 1)
        return TRUE;
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("%s: expected a number from 0 to below 1, found %g"), names[i], self->head_dropout);
      return FALSE;
    }
  return TRUE;
}

gboolean
peft_core_task_setup (PeftCore *self, const PeftHeadRequest *request, GError **error)
{
  const HeadInfo *head;
  PeftHeadRequest own;

  if (request != NULL && request->only_new && peft_core_task_detect (self->config) == request->task
      && request->task != PEFT_TASK_CAUSAL_LM)
    {
      own = (PeftHeadRequest){ .task = request->task };
      request = &own;
    }
  self->labels_given = request != NULL && (request->labels != NULL || request->n_labels > 0);
  self->task = request != NULL ? request->task : peft_core_task_detect (self->config);
  head = &heads[self->task];
  self->body = "model.";
  if (self->task == PEFT_TASK_FEATURE_EXTRACTION)
    self->body = "";
  else if (self->task == PEFT_TASK_QUESTION_ANS && self->architecture->qa_transformer_types != NULL
           && g_strv_contains (self->architecture->qa_transformer_types, self->model_type))
    self->body = "transformer.";
  self->n_outputs = self->task == PEFT_TASK_CAUSAL_LM      ? self->dims.vocab
                    : self->task == PEFT_TASK_QUESTION_ANS ? 2
                                                           : self->dims.hidden;
  self->initializer_range = 0.02;
  if (!peft_json_read_double (self->config, "initializer_range", &self->initializer_range, error))
    return FALSE;
  if (!head->classes)
    return TRUE;
  if (!find_labels (self, request, error) || !check_problem (self, error)
      || !read_pad_id (self, error))
    return FALSE;
  self->n_outputs = g_strv_length (self->labels);
  return self->task != PEFT_TASK_TOKEN_CLS || read_dropout (self, error);
}

char *
peft_core_body_path (PeftCore *self, const char *inner)
{
  return g_strconcat (self->body, inner, NULL);
}

/* ---- Loading ------------------------------------------------------------------------------- */

/* A head of another size in the file is that of another set of classes, which the request replaces. */
static gboolean
is_in_file (PeftCore *self, const HeadInfo *head)
{
  const PeftTensorEntry *entry = peft_core_find_weight (self, head->head);

  if (entry == NULL)
    return g_str_has_suffix (get_class (self->config), head->class_suffix) && self->gguf == NULL;
  return !self->labels_given || entry->n_dims != 2 || entry->shape[0] == (guint64) self->n_outputs;
}

gboolean
peft_core_load_head (PeftCore *self, const char *lm_path, const char *lm_gguf, GError **error)
{
  const HeadInfo *head = &heads[self->task];
  const gint64 hidden = self->dims.hidden;
  gboolean bias = head->bias;

  if (self->task == PEFT_TASK_FEATURE_EXTRACTION)
    return TRUE;
  if (self->task == PEFT_TASK_CAUSAL_LM)
    self->head = self->dims.tied ? peft_core_tie_head (self, lm_path)
                                 : peft_core_load_linear (self, lm_path, lm_gguf, -1, self->dims.vocab,
                                                          hidden, FALSE, 0, error);
  else
    {
      if (self->task == PEFT_TASK_TOKEN_CLS
          && !peft_json_read_boolean (self->config, "token_classification_bias", &bias, error))
        return FALSE;
      self->head = is_in_file (self, head)
                       ? peft_core_load_linear (self, head->head, head->head, -1, self->n_outputs, hidden,
                                                bias, 0, error)
                       : peft_core_make_linear (self, head->head, self->n_outputs, hidden, bias, error);
    }
  if (self->head == NULL)
    return FALSE;
  self->head->is_head = TRUE;
  return TRUE;
}

/* ---- Writing ------------------------------------------------------------------------------- */

/* "Llama" from "LlamaForCausalLM"; without a class, from the model's type. */
static char *
get_stem (PeftCore *self)
{
  const char *name = get_class (self->config);
  char *stem;

  for (guint i = 0; i < G_N_ELEMENTS (heads); i++)
    if (g_str_has_suffix (name, heads[i].class_suffix))
      return g_strndup (name, strlen (name) - strlen (heads[i].class_suffix));
  stem = g_strdup (self->model_type);
  stem[0] = g_ascii_toupper (stem[0]);
  return stem;
}

void
peft_core_task_fill_config (PeftCore *self, PeftJson *config)
{
  g_autofree char *stem = NULL;
  g_autofree char *name = NULL;
  PeftJson *list;

  if (self->task == PEFT_TASK_CAUSAL_LM)
    return;
  stem = get_stem (self);
  name = g_strconcat (stem, heads[self->task].class_suffix, NULL);
  list = peft_json_new_array ();
  peft_json_append (list, peft_json_new_string (name));
  peft_json_set (config, "architectures", list);
  if (self->labels == NULL)
    return;
  peft_json_set (config, "id2label", peft_labels_to_id2label ((const char *const *) self->labels));
  peft_json_set (config, "label2id", peft_labels_to_label2id ((const char *const *) self->labels));
}
