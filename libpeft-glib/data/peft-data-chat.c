/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "data/peft-data-chat.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"
#include "data/peft-data-messages.h"
#include "text/peft-assistant-mask.h"
#include "text/peft-chat-variables.h"

static PeftJson *
get_messages (const PeftDataRow *row, GError **error)
{
  PeftJson *messages;

  if (row->kind == PEFT_DATA_KIND_CHAT)
    return peft_json_parse (row->text[0], -1, PEFT_JSON_PARSE_NAN, error);
  messages = peft_json_new_array ();
  peft_data_messages_append_text (messages, "user", row->text[0]);
  peft_data_messages_append_text (messages, "assistant", row->text[1]);
  return messages;
}

/* The variables that transformers gives to a template. */
static PeftJson *
make_variables (const PeftDataRow *row,
                PeftTokenizerCore *tokenizer,
                PeftJson *messages,
                GError **error)
{
  g_autoptr (PeftJson) variables = NULL;

  if (row->kind == PEFT_DATA_KIND_CHAT && row->text[1] != NULL)
    variables = peft_json_parse (row->text[1], -1, PEFT_JSON_PARSE_NAN, error);
  else
    variables = peft_json_new_object ();
  if (variables == NULL)
    return NULL;
  peft_chat_variables_add_specials (variables, tokenizer);
  peft_json_set (variables, "messages", peft_json_ref (messages));
  peft_json_set (variables, "add_generation_prompt", peft_json_new_boolean (FALSE));
  return g_steal_pointer (&variables);
}

static gboolean
is_assistant (const PeftJson *message)
{
  return strcmp (peft_json_get_string (peft_json_get_member (message, "role")), "assistant") == 0;
}

static gboolean
check_calls (const PeftJson *messages, const char *text, GError **error)
{
  for (gsize i = 0; i < peft_json_get_length (messages); i++)
    {
      PeftJson *calls = peft_json_get_member (peft_json_get_element (messages, i), "tool_calls");
      gsize n = calls != NULL && peft_json_get_kind (calls) == PEFT_JSON_ARRAY
                    ? peft_json_get_length (calls)
                    : 0;

      for (gsize c = 0; c < n; c++)
        {
          PeftJson *call = peft_json_get_element (calls, c);
          PeftJson *function = peft_json_get_member (call, "function");
          PeftJson *name = peft_json_get_member (function != NULL ? function : call, "name");

          if (name == NULL || peft_json_get_kind (name) != PEFT_JSON_STRING
              || strstr (text, peft_json_get_string (name)) != NULL)
            continue;
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                       _ ("messages[%u].tool_calls: the chat template leaves the call of %.80s out "
                          "of the text"),
                       (guint)i, peft_json_get_string (name));
          return FALSE;
        }
    }
  return TRUE;
}

/* Which assistant messages are learnt, one byte each. */
static GByteArray *
choose_messages (const PeftDataRow *row, const PeftJson *messages, PeftDataLossOn loss_on)
{
  GByteArray *chosen = g_byte_array_new ();
  gboolean completion = loss_on == PEFT_DATA_LOSS_COMPLETION
                        || (loss_on == PEFT_DATA_LOSS_AUTO && row->n_prompt > 0);

  for (gsize i = 0; i < peft_json_get_length (messages); i++)
    {
      const PeftJson *message = peft_json_get_element (messages, i);
      guint8 learnt
          = peft_json_get_member (message, "weight") == NULL && (!completion || i >= row->n_prompt);

      if (is_assistant (message))
        g_byte_array_append (chosen, &learnt, 1);
    }
  /* Where the file does not say what the completion is, it is the last answer. */
  if (completion && row->n_prompt == 0 && chosen->len > 0)
    memset (chosen->data, 0, chosen->len - 1);
  return chosen;
}

/* Leaves the spans of the chosen messages. */
static gboolean
filter_spans (GArray *spans, const GByteArray *chosen, GError **error)
{
  guint n_chosen = 0;
  guint n = 0;

  for (guint i = 0; i < chosen->len; i++)
    n_chosen += chosen->data[i];
  if (n_chosen == chosen->len)
    return TRUE;
  if (n_chosen > 0 && spans->len != chosen->len)
    {
      g_set_error (
          error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
          _ ("the chat template marks %u pieces of text for %u assistant messages: which of "
             "them are to be learnt cannot be told"),
          spans->len, chosen->len);
      return FALSE;
    }
  for (guint i = 0; n_chosen > 0 && i < spans->len; i++)
    if (chosen->data[i])
      g_array_index (spans, PeftTextSpan, n++) = g_array_index (spans, PeftTextSpan, i);
  g_array_set_size (spans, n);
  return TRUE;
}

static char *
render (PeftTemplate *template,
        const PeftJson *variables,
        PeftDataLossOn loss_on,
        GArray **spans,
        GError **error)
{
  PeftTextSpan all = { 0, 0 };
  char *text;

  if (loss_on != PEFT_DATA_LOSS_ALL)
    return peft_assistant_mask_render (template, variables, spans, error);
  text = peft_template_render (template, variables, NULL, error);
  if (text == NULL)
    return NULL;
  all.end = strlen (text);
  *spans = g_array_new (FALSE, FALSE, sizeof (PeftTextSpan));
  g_array_append_val (*spans, all);
  return text;
}

char *
peft_data_chat_render (const PeftDataRow *row,
                       const PeftDataEncodeOptions *options,
                       GArray **spans,
                       GError **error)
{
  g_autoptr (PeftJson) messages = get_messages (row, error);
  g_autoptr (PeftJson) variables = NULL;
  g_autoptr (GArray) found = NULL;
  g_autofree char *text = NULL;

  if (messages == NULL)
    return NULL;
  variables = make_variables (row, options->tokenizer, messages, error);
  if (variables == NULL)
    return NULL;
  text = render (options->chat_template, variables, options->loss_on, &found, error);
  if (text == NULL || !check_calls (messages, text, error))
    return NULL;
  if (options->loss_on != PEFT_DATA_LOSS_ALL)
    {
      g_autoptr (GByteArray) chosen = choose_messages (row, messages, options->loss_on);

      if (!filter_spans (found, chosen, error))
        return NULL;
    }
  *spans = g_steal_pointer (&found);
  return g_steal_pointer (&text);
}
