/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-assistant-mask.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"

/* Bytes of text shown on each side of where two texts part. */
#define CONTEXT_BYTES 24

static PeftJson *
get_messages (PeftTemplate *template, const PeftJson *variables, GError **error)
{
  PeftJson *messages = peft_json_get_member (variables, "messages");

  if (messages == NULL || peft_json_get_kind (messages) != PEFT_JSON_ARRAY)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA, _ ("messages: expected an array, found %s"),
                   messages != NULL ? peft_json_get_kind_name (messages) : _ ("nothing"));
      return NULL;
    }
  for (gsize i = 0; i < peft_json_get_length (messages); i++)
    {
      const PeftJson *role = peft_json_get_member (peft_json_get_element (messages, i), "role");
      if (role == NULL || peft_json_get_kind (role) != PEFT_JSON_STRING)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                       _ ("messages[%zu]: expected an object with a “role”"), i);
          return NULL;
        }
    }
  return messages;
}

static gboolean
is_assistant (const PeftJson *messages, gsize i)
{
  return strcmp (peft_json_get_string (peft_json_get_member (peft_json_get_element (messages, i), "role")),
                 "assistant")
         == 0;
}

/* variables with the first n messages only. */
static PeftJson *
cut_variables (const PeftJson *variables, const PeftJson *messages, gsize n, gboolean add_prompt)
{
  PeftJson *copy = peft_json_new_object ();
  PeftJson *cut = peft_json_new_array ();

  for (gsize i = 0; i < peft_json_get_length (variables); i++)
    peft_json_set (copy, peft_json_get_name (variables, i),
                   peft_json_ref (peft_json_get_value (variables, i)));
  for (gsize i = 0; i < n; i++)
    peft_json_append (cut, peft_json_ref (peft_json_get_element (messages, i)));
  peft_json_set (copy, "messages", cut);
  peft_json_set (copy, "add_generation_prompt", peft_json_new_boolean (add_prompt));
  return copy;
}

static char *
render (PeftTemplate *template, const PeftJson *variables, const PeftJson *messages, gsize n,
        gboolean add_prompt, GError **error)
{
  g_autoptr (PeftJson) cut = cut_variables (variables, messages, n, add_prompt);
  return peft_template_render (template, cut, NULL, error);
}

/* The same for part of a conversation, where a failure needs to say which part. */
static char *
render_part (PeftTemplate *template, const PeftJson *variables, const PeftJson *messages, gsize n,
             gboolean add_prompt, gsize message, GError **error)
{
  char *text = render (template, variables, messages, n, add_prompt, error);

  if (text == NULL)
    g_prefix_error (error,
                    _ ("messages[%zu]: the assistant's text cannot be found, the template "
                       "fails on the first %zu messages alone: "),
                    message, n);
  return text;
}

/* What stands around position, on one line. */
static char *
quote_at (const char *text, gsize position)
{
  gsize length = strlen (text);
  gsize start = position > CONTEXT_BYTES ? position - CONTEXT_BYTES : 0;
  gsize end = MIN (length, position + CONTEXT_BYTES);
  GString *quoted = g_string_new (NULL);

  while (start > 0 && ((guchar) text[start] & 0xc0) == 0x80)
    start--;
  while (end < length && ((guchar) text[end] & 0xc0) == 0x80)
    end++;
  for (gsize i = start; i < end; i++)
    if (text[i] == '\n')
      g_string_append (quoted, "\\n");
    else if (!g_ascii_iscntrl (text[i]))
      g_string_append_c (quoted, text[i]);
  return g_string_free (quoted, FALSE);
}

static gboolean
check_prefix (PeftTemplate *template, const char *prefix, const char *text, gsize message,
              const char *what, GError **error)
{
  gsize at = 0;

  while (prefix[at] != '\0' && prefix[at] == text[at])
    at++;
  if (prefix[at] == '\0')
    return TRUE;
  g_autofree char *expected = quote_at (prefix, at);
  g_autofree char *found = quote_at (text, at);
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
               _ ("messages[%zu]: the assistant's text cannot be found, since %s in template "
                  "%s: they differ at byte %zu, “%s” against “%s”"),
               message, what, peft_template_get_name (template), at, expected, found);
  return FALSE;
}

static gboolean
find_span (PeftTemplate *template, const PeftJson *variables, const PeftJson *messages, gsize i,
           const char *whole, PeftTextSpan *span, GError **error)
{
  g_autofree char *prompt = render_part (template, variables, messages, i, TRUE, i, error);
  g_autofree char *upto = NULL;

  if (prompt == NULL)
    return FALSE;
  upto = i + 1 < peft_json_get_length (messages)
             ? render_part (template, variables, messages, i + 1, FALSE, i, error)
             : g_strdup (whole);
  if (upto == NULL
      || !check_prefix (template, prompt, upto, i,
                        _ ("the messages before it with the generation prompt do not begin the text with it"),
                        error)
      || !check_prefix (template, upto, whole, i,
                        _ ("the messages up to it do not begin the whole text"), error))
    return FALSE;
  span->start = strlen (prompt);
  span->end = strlen (upto);
  return TRUE;
}

char *
peft_assistant_mask_render (PeftTemplate *template, const PeftJson *variables, GArray **spans,
                            GError **error)
{
  PeftJson *messages = get_messages (template, variables, error);
  g_autoptr (PeftJson) full = NULL;
  g_autoptr (GArray) found = NULL;
  g_autofree char *whole = NULL;
  gsize n;

  if (messages == NULL)
    return NULL;
  n = peft_json_get_length (messages);
  full = cut_variables (variables, messages, n, FALSE);
  if (peft_template_has_generation (template))
    return peft_template_render (template, full, spans, error);
  if ((whole = peft_template_render (template, full, NULL, error)) == NULL)
    return NULL;
  found = g_array_new (FALSE, FALSE, sizeof (PeftTextSpan));
  for (gsize i = 0; i < n; i++)
    {
      PeftTextSpan span;

      if (!is_assistant (messages, i))
        continue;
      if (!find_span (template, variables, messages, i, whole, &span, error))
        return NULL;
      g_array_append_val (found, span);
    }
  *spans = g_steal_pointer (&found);
  return g_steal_pointer (&whole);
}

char *
peft_assistant_mask_render_completion (PeftTemplate *template, const PeftJson *variables,
                                       PeftTextSpan *span, GError **error)
{
  PeftJson *messages = get_messages (template, variables, error);
  g_autofree char *whole = NULL;
  gsize n;

  if (messages == NULL)
    return NULL;
  n = peft_json_get_length (messages);
  if (n == 0 || !is_assistant (messages, n - 1))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   _ ("messages: the last message is not the assistant's, there is no completion"));
      return NULL;
    }
  if ((whole = render (template, variables, messages, n, FALSE, error)) == NULL
      || !find_span (template, variables, messages, n - 1, whole, span, error))
    return NULL;
  return g_steal_pointer (&whole);
}
