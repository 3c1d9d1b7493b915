/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "data/peft-data-encode.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"
#include "data/peft-data-chat.h"
#include "data/peft-data-encode-task.h"

/* Rows between two reports of progress. */
#define PROGRESS_INTERVAL 64u

typedef struct
{
  const PeftDataSet *set;
  PeftDataEncodeOptions options;
  PeftEncodedSet *out;
  /* Of the row at hand. */
  GArray *ids;    /* gint32 */
  GArray *spans;  /* PeftSpan */
  GArray *labels; /* gint32 */
} Encoder;

static gint32
get_id (const Encoder *self, guint i)
{
  return g_array_index (self->ids, gint32, i);
}

/* The last id was put in by the tokenizer and is no part of the text. */
static gboolean
ends_with_added (const Encoder *self, gint32 id)
{
  guint n = self->ids->len;
  PeftSpan span;

  if (n == 0 || get_id (self, n - 1) != id)
    return FALSE;
  span = g_array_index (self->spans, PeftSpan, n - 1);
  return span.start == 0 && span.end == 0;
}

/* Ids with the tokenizer's special tokens in front, one BOS at most, and none behind: what ends a
 * text is decided here. */
static gboolean
encode_raw (Encoder *self, const char *text, gsize length, GError **error)
{
  PeftTokenizerCore *tokenizer = self->options.tokenizer;
  gint32 bos = peft_tokenizer_core_get_special_id (tokenizer, PEFT_SPECIAL_BOS);
  gint32 eos = peft_tokenizer_core_get_special_id (tokenizer, PEFT_SPECIAL_EOS);

  if (!peft_tokenizer_core_encode (tokenizer, text, (gssize)length, TRUE, self->ids, self->spans,
                                   error))
    return FALSE;
  if (bos >= 0 && peft_tokenizer_core_adds_bos (tokenizer) && self->ids->len > 1
      && get_id (self, 0) == bos && get_id (self, 1) == bos)
    {
      g_array_remove_index (self->ids, 0);
      g_array_remove_index (self->spans, 0);
    }
  if (eos >= 0 && peft_tokenizer_core_adds_eos (tokenizer) && ends_with_added (self, eos))
    {
      g_array_set_size (self->ids, self->ids->len - 1);
      g_array_set_size (self->spans, self->spans->len - 1);
    }
  return TRUE;
}

/* Labels for the tokens whose first byte is at start or behind. Tokens that the tokenizer put in
 * count where the whole text does. */
static void
label_from (Encoder *self, gsize start)
{
  for (guint i = 0; i < self->ids->len; i++)
    {
      const PeftSpan *span = &g_array_index (self->spans, PeftSpan, i);
      gint32 label = span->start >= start ? get_id (self, i) : PEFT_DATA_IGNORED;

      g_array_append_val (self->labels, label);
    }
}

static void
append_eos (Encoder *self)
{
  gint32 eos = peft_tokenizer_core_get_special_id (self->options.tokenizer, PEFT_SPECIAL_EOS);

  if (eos < 0)
    {
      peft_encoded_set_warn (self->out,
                             _ ("the tokenizer has no end-of-text token: the model will not "
                                "learn where an answer ends"));
      return;
    }
  if (self->ids->len > 0 && get_id (self, self->ids->len - 1) == eos)
    return;
  g_array_append_val (self->ids, eos);
  g_array_append_val (self->labels, eos);
}

static gboolean
encode_text (Encoder *self, const PeftDataRow *row, GError **error)
{
  if (self->options.loss_on == PEFT_DATA_LOSS_COMPLETION
      || self->options.loss_on == PEFT_DATA_LOSS_ASSISTANT)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("the row is plain text, which has no completion or assistant part to learn "
                      "alone"));
      return FALSE;
    }
  if (row->text[0][0] == '\0')
    return TRUE;
  if (!encode_raw (self, row->text[0], strlen (row->text[0]), error))
    return FALSE;
  label_from (self, 0);
  append_eos (self);
  return TRUE;
}

static gboolean
encode_pair (
    Encoder *self, const char *prompt, const char *between, const char *completion, GError **error)
{
  g_autofree char *text = g_strconcat (prompt, between, completion, NULL);
  gsize start = strlen (prompt) + strlen (between);

  if (!encode_raw (self, text, strlen (text), error))
    return FALSE;
  label_from (self, self->options.loss_on == PEFT_DATA_LOSS_ALL ? 0 : start);
  append_eos (self);
  return TRUE;
}

static gboolean
encode_plain_instruction (Encoder *self, const PeftDataRow *row, GError **error)
{
  g_autofree char *warning = g_strdup_printf (
      _ ("%s: the model has no chat template: instructions and answers are joined "
         "by a line feed"),
      peft_data_set_get_path (self->set, row->file));

  peft_encoded_set_warn (self->out, warning);
  return encode_pair (self, row->text[0], "\n", row->text[1], error);
}

static gboolean
encode_chat (Encoder *self, const PeftDataRow *row, GError **error)
{
  g_autoptr (GArray) learnt = NULL;
  g_autofree char *text = NULL;
  guint at = 0;

  if (self->options.chat_template == NULL)
    {
      g_set_error (
          error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
          _ ("a conversation needs a chat template, and the model has none; name one, or use "
             "rows with prompt and completion"));
      return FALSE;
    }
  text = peft_data_chat_render (row, &self->options, &learnt, error);
  if (text == NULL
      || !peft_tokenizer_core_encode (self->options.tokenizer, text, -1, FALSE, self->ids,
                                      self->spans, error))
    return FALSE;
  for (guint i = 0; i < self->ids->len; i++)
    {
      gsize start = g_array_index (self->spans, PeftSpan, i).start;
      gint32 label = PEFT_DATA_IGNORED;

      while (at < learnt->len && g_array_index (learnt, PeftTextSpan, at).end <= start)
        at++;
      if (at < learnt->len && g_array_index (learnt, PeftTextSpan, at).start <= start)
        label = get_id (self, i);
      g_array_append_val (self->labels, label);
    }
  return TRUE;
}

static gboolean
check_ids (const Encoder *self,
           const char *what,
           const gint32 *ids,
           guint32 n,
           guint32 vocab_size,
           GError **error)
{
  for (guint32 i = 0; vocab_size > 0 && i < n; i++)
    if (ids[i] >= 0 && (guint32)ids[i] >= vocab_size)
      {
        g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                     _ ("%s[%u]: expected an id below the vocabulary's size %u, found: %d"), what,
                     i, vocab_size, ids[i]);
        return FALSE;
      }
  return TRUE;
}

static gboolean
add_ids (Encoder *self, guint32 index, const PeftDataIds *ids, GError **error)
{
  guint32 vocab_size = self->options.vocab_size;

  if (vocab_size == 0 && self->options.tokenizer != NULL)
    vocab_size = (guint32)peft_tokenizer_core_get_max_id (self->options.tokenizer) + 1;
  return check_ids (self, "input_ids", ids->ids, ids->length, vocab_size, error)
         && check_ids (self, "labels", ids->labels, ids->length, vocab_size, error)
         && peft_encoded_set_add (self->out, index, ids->ids, ids->labels, ids->mask, ids->length,
                                  self->options.max_length, error);
}

static gboolean
encode_content (Encoder *self, const PeftDataRow *row, GError **error)
{
  if (self->options.tokenizer == NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   _ ("text needs a tokenizer, and the model has none; use rows with input_ids"));
      return FALSE;
    }
  switch ((PeftDataKind)row->kind)
    {
    case PEFT_DATA_KIND_TEXT:
      return encode_text (self, row, error);
    case PEFT_DATA_KIND_PAIR:
      return encode_pair (self, row->text[0], "", row->text[1], error);
    case PEFT_DATA_KIND_INSTRUCTION:
      if (self->options.chat_template == NULL)
        return encode_plain_instruction (self, row, error);
      return encode_chat (self, row, error);
    case PEFT_DATA_KIND_CHAT:
      return encode_chat (self, row, error);
    case PEFT_DATA_KIND_IDS:
    case PEFT_DATA_KIND_LABELLED:
    default:
      g_assert_not_reached ();
    }
}

static gboolean
encode_row (Encoder *self, guint32 index, GError **error)
{
  const PeftDataRow *row = peft_data_set_get_row (self->set, index);

  peft_encoded_set_set_task (self->out, row->task);
  if (peft_data_set_get_task (self->set) != PEFT_TASK_CAUSAL_LM)
    return peft_data_encode_labelled (self->set, index, &self->options, self->out, error);
  if (row->kind == PEFT_DATA_KIND_IDS)
    return add_ids (self, index, row->ids, error);
  g_array_set_size (self->ids, 0);
  g_array_set_size (self->spans, 0);
  g_array_set_size (self->labels, 0);
  if (!encode_content (self, row, error))
    return FALSE;
  /* Whatever the text became, the model has a row of its embedding for it. */
  return check_ids (self, _ ("tokens"), (const gint32 *)self->ids->data, self->ids->len,
                    self->options.vocab_size, error)
         && peft_encoded_set_add (self->out, index, (const gint32 *)self->ids->data,
                                  (const gint32 *)self->labels->data, NULL, self->ids->len,
                                  self->options.max_length, error);
}

static gboolean
check_any_left (const Encoder *self, GError **error)
{
  if (peft_encoded_set_get_n_rows (self->out) > 0)
    return TRUE;
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
               _ ("%s: none of the %u rows has a labelled token within the first %u tokens"),
               peft_data_set_get_path (self->set, 0), peft_data_set_get_n_rows (self->set),
               self->options.max_length);
  return FALSE;
}

PeftEncodedSet *
peft_data_encode (const PeftDataSet *set,
                  const PeftDataEncodeOptions *options,
                  GCancellable *cancellable,
                  GError **error)
{
  g_autoptr (PeftEncodedSet) out = peft_encoded_set_new ();
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  g_autoptr (GArray) spans = g_array_new (FALSE, FALSE, sizeof (PeftSpan));
  g_autoptr (GArray) labels = g_array_new (FALSE, FALSE, sizeof (gint32));
  Encoder self = { set, *options, out, ids, spans, labels };
  guint32 n = peft_data_set_get_n_rows (set);

  if (self.options.max_length == 0)
    self.options.max_length = PEFT_DATA_DEFAULT_MAX_LENGTH;
  peft_encoded_set_set_purpose (out, peft_data_set_get_task (set));
  for (guint32 i = 0; i < n; i++)
    {
      if (i % PROGRESS_INTERVAL == 0 && options->progress != NULL)
        options->progress (i, n, options->user_data);
      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return NULL;
      if (!encode_row (&self, i, error))
        {
          g_autofree char *where = peft_data_set_describe_row (set, i);

          g_prefix_error (error, "%s: ", where);
          return NULL;
        }
    }
  if (options->progress != NULL)
    options->progress (n, n, options->user_data);
  if (!check_any_left (&self, error))
    return NULL;
  return g_steal_pointer (&out);
}

gboolean
peft_data_loss_on_parse (const char *text, PeftDataLossOn *out, GError **error)
{
  static const char *const names[] = {
    [PEFT_DATA_LOSS_AUTO] = "auto",
    [PEFT_DATA_LOSS_ALL] = "all",
    [PEFT_DATA_LOSS_COMPLETION] = "completion",
    [PEFT_DATA_LOSS_ASSISTANT] = "assistant",
  };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (strcmp (names[i], text) == 0)
      {
        *out = (PeftDataLossOn)i;
        return TRUE;
      }
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
               _ ("loss on: expected all, completion, assistant or auto, found: %s"), text);
  return FALSE;
}
