/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "data/peft-data-encode-task.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"
#include "data/peft-data-labelled.h"

typedef struct
{
  const PeftDataEncodeOptions *options;
  const PeftJson *json; /* NULL: a row of ids */
  GArray *ids;          /* gint32 */
  GArray *spans;        /* PeftSpan */
  gint32 *labels;
} Labelled;

guint32
peft_data_find_pooled (const gint32 *ids, const guint8 *mask, guint32 n, gint64 pad_id)
{
  for (guint32 i = n; i > 0; i--)
    if (pad_id >= 0 ? ids[i - 1] != pad_id : mask == NULL || mask[i - 1] != 0)
      return i - 1;
  return 0;
}

static const PeftJson *
member (const Labelled *self, const char *name)
{
  return peft_json_get_member (self->json, name);
}

/* The number of a class. */
static gboolean
find_class (const PeftDataEncodeOptions *options, const PeftJson *label, gint32 *out, GError **error)
{
  const guint n = g_strv_length ((GStrv)options->labels);
  g_autofree char *known = NULL;
  gint64 id;

  if (peft_json_get_kind (label) == PEFT_JSON_STRING)
    {
      for (guint i = 0; i < n; i++)
        if (g_str_equal (options->labels[i], peft_json_get_string (label)))
          {
            *out = (gint32)i;
            return TRUE;
          }
      known = g_strjoinv (", ", (GStrv)options->labels);
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   _ ("label: expected one of the model's classes %.200s, found: %s"), known,
                   peft_json_get_string (label));
      return FALSE;
    }
  peft_json_get_int (label, &id);
  /* Numbers as the names of classes: a file of strings may be read as one of numbers. */
  for (guint i = 0; i < n; i++)
    {
      gint64 name;

      if (g_ascii_string_to_signed (options->labels[i], 10, 0, G_MAXINT32, &name, NULL) && name == id)
        {
          *out = (gint32)i;
          return TRUE;
        }
    }
  if (id < n)
    {
      *out = (gint32)id;
      return TRUE;
    }
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
               _ ("label: expected the number of one of the model's %u classes, found: %" PRIi64), n, id);
  return FALSE;
}

static gboolean
encode (Labelled *self, const char *text, gboolean special, GError **error)
{
  return peft_tokenizer_core_encode (self->options->tokenizer, text, -1, special, self->ids,
                                     self->spans, error);
}

static guint32
count_kept (const Labelled *self)
{
  return MIN (self->ids->len, self->options->max_length);
}

static void
clear_labels (Labelled *self)
{
  self->labels = g_renew (gint32, self->labels, MAX (self->ids->len, 1));
  for (guint i = 0; i < self->ids->len; i++)
    self->labels[i] = PEFT_DATA_IGNORED;
}

/* ---- Texts --------------------------------------------------------------------------------- */

static gboolean
encode_classified (Labelled *self, GError **error)
{
  const PeftJson *pair = member (self, "text_pair");
  gint32 label;

  if (!find_class (self->options, member (self, "label"), &label, error)
      || !encode (self, peft_json_get_string (member (self, "text")), TRUE, error)
      || (pair != NULL && !encode (self, peft_json_get_string (pair), TRUE, error)))
    return FALSE;
  clear_labels (self);
  if (self->ids->len > 0)
    self->labels[peft_data_find_pooled ((const gint32 *)self->ids->data, NULL, count_kept (self),
                                        self->options->pad_id)]
        = label;
  return TRUE;
}

/* ---- Tokens -------------------------------------------------------------------------------- */

static void
append_special (Labelled *self, PeftSpecialToken which)
{
  const gint32 id = peft_tokenizer_core_get_special_id (self->options->tokenizer, which);
  const PeftSpan none = { 0, 0 };

  if (id < 0)
    return;
  g_array_append_val (self->ids, id);
  g_array_append_val (self->spans, none);
}

static gboolean
encode_tagged (Labelled *self, GError **error)
{
  const PeftJson *words = member (self, "tokens"), *labels = member (self, "labels");
  const gsize n = peft_json_get_length (words);
  g_autofree guint *firsts = g_new (guint, MAX (n, 1));

  if (peft_tokenizer_core_adds_bos (self->options->tokenizer))
    append_special (self, PEFT_SPECIAL_BOS);
  for (gsize i = 0; i < n; i++)
    {
      firsts[i] = self->ids->len;
      if (!encode (self, peft_json_get_string (peft_json_get_element (words, i)), FALSE, error))
        return FALSE;
      if (self->ids->len == firsts[i])
        firsts[i] = G_MAXUINT; /* nothing is left of it */
    }
  if (peft_tokenizer_core_adds_eos (self->options->tokenizer))
    append_special (self, PEFT_SPECIAL_EOS);
  clear_labels (self);
  for (gsize i = 0; i < n; i++)
    {
      gint32 label;

      if (!find_class (self->options, peft_json_get_element (labels, i), &label, error))
        return FALSE;
      if (firsts[i] != G_MAXUINT)
        self->labels[firsts[i]] = label;
    }
  return TRUE;
}

/* ---- Questions ----------------------------------------------------------------------------- */

/* The tokens [*start, *end] of the context, from `first` to before `n`, that hold bytes [from, to). */
static gboolean
find_answer (const Labelled *self, guint first, guint n, gsize from, gsize to, guint *start, guint *end)
{
  gboolean found_start = FALSE, found_end = FALSE;

  for (guint i = first; i < n; i++)
    {
      const PeftSpan *span = &g_array_index (self->spans, PeftSpan, i);

      if (span->start == span->end)
        continue;
      if (span->start <= from)
        {
          *start = i;
          found_start = TRUE;
        }
      if (!found_end && span->end >= to)
        {
          *end = i;
          found_end = TRUE;
        }
    }
  return found_start && found_end && *start <= *end;
}

static PeftEncodedAnswer *
make_answer (const Labelled *self, guint first)
{
  PeftEncodedAnswer *answer = g_new0 (PeftEncodedAnswer, 1);
  const PeftJson *list = member (self, "answers");

  answer->context = g_strdup (peft_json_get_string (member (self, "context")));
  answer->spans = g_new (PeftSpan, self->ids->len);
  for (guint i = 0; i < self->ids->len; i++)
    answer->spans[i] = i < first ? (PeftSpan){ 0, 0 } : g_array_index (self->spans, PeftSpan, i);
  answer->texts = g_new0 (char *, peft_json_get_length (list) + 1);
  for (gsize i = 0; i < peft_json_get_length (list); i++)
    answer->texts[i] = g_strdup (
        peft_json_get_string (peft_json_get_member (peft_json_get_element (list, i), "text")));
  return answer;
}

static gboolean
encode_question (Labelled *self, PeftEncodedAnswer **answer, GError **error)
{
  const char *context = peft_json_get_string (member (self, "context"));
  const PeftJson *list = member (self, "answers");
  guint first, start = 0, end = 0, n;

  if (!encode (self, peft_json_get_string (member (self, "question")), TRUE, error))
    return FALSE;
  first = self->ids->len;
  if (!encode (self, context, TRUE, error))
    return FALSE;
  clear_labels (self);
  n = count_kept (self);
  if (n == 0)
    return TRUE;
  if (peft_json_get_length (list) > 0)
    {
      const PeftJson *one = peft_json_get_element (list, 0);
      gint64 at;
      gsize from;

      peft_json_get_int (peft_json_get_member (one, "start"), &at);
      from = g_utf8_offset_to_pointer (context, at) - context;
      if (!find_answer (self, first, n, from,
                        from + strlen (peft_json_get_string (peft_json_get_member (one, "text"))), &start,
                        &end))
        start = end = 0;
    }
  self->labels[start] = PEFT_DATA_ANSWER_START;
  self->labels[end] = start == end ? PEFT_DATA_ANSWER_START | PEFT_DATA_ANSWER_END : PEFT_DATA_ANSWER_END;
  *answer = make_answer (self, first);
  return TRUE;
}

/* ---- Rows ---------------------------------------------------------------------------------- */

static gboolean
check_below (const char *what, const gint32 *values, guint32 n, gint64 limit, GError **error)
{
  for (guint32 i = 0; limit > 0 && i < n; i++)
    if (values[i] >= limit)
      {
        g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                     _ ("%s[%u]: expected a number below %" PRIi64 ", found: %d"), what, i, limit, values[i]);
        return FALSE;
      }
  return TRUE;
}

/* The label of a text moves to where the model looks. */
static void
move_label (const PeftDataIds *ids, const PeftDataEncodeOptions *options, gint32 *labels)
{
  const guint32 kept = MIN (ids->length, options->max_length);
  const gint32 label = labels[ids->length - 1];

  labels[ids->length - 1] = PEFT_DATA_IGNORED;
  labels[peft_data_find_pooled (ids->ids, ids->mask, kept, options->pad_id)] = label;
}

static gboolean
add_ids (const PeftDataIds *ids, PeftTask task, guint32 index, const PeftDataEncodeOptions *options,
         PeftEncodedSet *out, GError **error)
{
  g_autofree gint32 *labels = g_memdup2 (ids->labels, ids->length * sizeof (gint32));
  const gint64 n_classes = options->labels != NULL ? g_strv_length ((GStrv)options->labels) : 0;

  if (task == PEFT_TASK_SEQ_CLS)
    move_label (ids, options, labels);
  return check_below ("input_ids", ids->ids, ids->length, options->vocab_size, error)
         && check_below ("labels", labels, ids->length, n_classes, error)
         && peft_encoded_set_add (out, index, ids->ids, labels, ids->mask, ids->length,
                                  options->max_length, error);
}

static gboolean
encode_json (Labelled *self, PeftTask task, guint32 index, PeftEncodedSet *out, GError **error)
{
  g_autoptr (PeftEncodedAnswer) answer = NULL;

  if (self->options->tokenizer == NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   _ ("text needs a tokenizer, and the model has none; use rows with input_ids"));
      return FALSE;
    }
  if (!(task == PEFT_TASK_SEQ_CLS     ? encode_classified (self, error)
        : task == PEFT_TASK_TOKEN_CLS ? encode_tagged (self, error)
                                      : encode_question (self, &answer, error)))
    return FALSE;
  if (!check_below (_ ("tokens"), (const gint32 *)self->ids->data, self->ids->len,
                    self->options->vocab_size, error)
      || !peft_encoded_set_add (out, index, (const gint32 *)self->ids->data, self->labels, NULL,
                                self->ids->len, self->options->max_length, error))
    return FALSE;
  if (answer != NULL)
    peft_encoded_set_set_answer (out, g_steal_pointer (&answer));
  return TRUE;
}

gboolean
peft_data_encode_labelled (const PeftDataSet *set, guint32 index, const PeftDataEncodeOptions *options,
                           PeftEncodedSet *out, GError **error)
{
  const PeftDataRow *row = peft_data_set_get_row (set, index);
  const PeftTask task = peft_data_set_get_task (set);
  g_autoptr (PeftJson) json = NULL;
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  g_autoptr (GArray) spans = g_array_new (FALSE, FALSE, sizeof (PeftSpan));
  Labelled self = { options, NULL, ids, spans, NULL };
  gboolean ok;

  if (row->kind == PEFT_DATA_KIND_IDS)
    return add_ids (row->ids, task, index, options, out, error);
  self.json = json = peft_json_parse (row->text[0], -1, PEFT_JSON_PARSE_DEFAULT, error);
  if (json == NULL)
    return FALSE;
  ok = encode_json (&self, task, index, out, error);
  g_free (self.labels);
  return ok;
}

/* ---- Classes ------------------------------------------------------------------------------- */

typedef struct
{
  GHashTable *names;
  gint64 largest; /* -1: no numbers */
} Classes;

static void
add_class (Classes *self, const PeftJson *label)
{
  gint64 id;

  if (peft_json_get_kind (label) == PEFT_JSON_STRING)
    g_hash_table_add (self->names, g_strdup (peft_json_get_string (label)));
  else if (peft_json_get_int (label, &id))
    self->largest = MAX (self->largest, id);
}

static void
add_row_classes (Classes *self, const PeftDataRow *row)
{
  g_autoptr (PeftJson) json = NULL;
  const PeftJson *labels;

  if (row->kind == PEFT_DATA_KIND_IDS)
    {
      for (guint32 i = 0; i < row->ids->length; i++)
        self->largest = MAX (self->largest, row->ids->labels[i]);
      return;
    }
  json = peft_json_parse (row->text[0], -1, PEFT_JSON_PARSE_DEFAULT, NULL);
  if (peft_json_get_member (json, "label") != NULL)
    add_class (self, peft_json_get_member (json, "label"));
  labels = peft_json_get_member (json, "labels");
  for (gsize i = 0; labels != NULL && i < peft_json_get_length (labels); i++)
    add_class (self, peft_json_get_element (labels, i));
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

GStrv
peft_data_list_labels (const PeftDataSet *set, GError **error)
{
  g_autoptr (GHashTable) names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  Classes classes = { names, -1 };
  GStrv out;
  guint n;

  for (guint i = 0; i < peft_data_set_get_n_rows (set); i++)
    add_row_classes (&classes, peft_data_set_get_row (set, i));
  n = g_hash_table_size (names);
  if ((n > 0 && classes.largest >= 0) || classes.largest > PEFT_DATA_MAX_CLASSES)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   n > 0 ? _ ("%s: labels: expected either names or numbers, found both")
                         : _ ("%s: labels: expected numbers of classes, which are smaller"),
                   peft_data_set_get_path (set, 0));
      return NULL;
    }
  if (n == 0)
    {
      n = MAX ((guint)(classes.largest + 1), 2);
      out = g_new0 (char *, n + 1);
      for (guint i = 0; i < n; i++)
        out[i] = g_strdup_printf ("LABEL_%u", i);
      return out;
    }
  if (n == 1)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   _ ("%s: labels: expected at least two classes, found one"),
                   peft_data_set_get_path (set, 0));
      return NULL;
    }
  out = (GStrv)g_hash_table_get_keys_as_array (names, &n);
  g_hash_table_steal_all (names);
  qsort (out, n, sizeof (char *), compare_names);
  return out;
}
