/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "data/peft-data-messages.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"

/* The turn is an assistant's whose content is the JSON of a call. */
#define CALL_ROLE "function_call"

static const struct
{
  const char *name;
  const char *role;
} roles[] = {
  { "system", "system" },
  { "developer", "developer" },
  { "user", "user" },
  { "human", "user" },
  { "assistant", "assistant" },
  { "gpt", "assistant" },
  { "chatgpt", "assistant" },
  { "bot", "assistant" },
  { "model", "assistant" },
  { "tool", "tool" },
  { "observation", "tool" },
  { "function_response", "tool" },
  { "function", "tool" },
  { "ipython", "tool" },
  { "function_call", CALL_ROLE },
  { "function-call", CALL_ROLE },
  { "tool_call", CALL_ROLE },
};

/* Kinds of parts that are no text. */
static const char *const media[]
    = { "image",       "image_url", "input_image", "audio", "audio_url",
        "input_audio", "video",     "video_url",   "file",  NULL };

static const char *
find_role (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (roles); i++)
    if (strcmp (roles[i].name, name) == 0)
      return roles[i].role;
  return NULL;
}

static char *
list_roles (void)
{
  GString *names = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (roles); i++)
    g_string_append_printf (names, "%s%s", i > 0 ? ", " : "", roles[i].name);
  return g_string_free (names, FALSE);
}

static gboolean
fail_kind (const char *field,
           gsize index,
           const char *member,
           const char *expected,
           const PeftJson *found,
           GError **error)
{
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA, _ ("%s[%u]%s: expected %s, found: %s"),
               field, (guint)index, member, expected,
               found != NULL ? peft_json_get_kind_name (found) : _ ("nothing"));
  return FALSE;
}

static PeftJson *
get_either (const PeftJson *object, const char *a, const char *b)
{
  PeftJson *value = peft_json_get_member (object, a);

  return value != NULL ? value : peft_json_get_member (object, b);
}

static gboolean
is_string (const PeftJson *json)
{
  return json != NULL && peft_json_get_kind (json) == PEFT_JSON_STRING;
}

/* The rest of the way, texts end at the first NUL. */
static gboolean
check_no_nul (const PeftJson *text, const char *field, gsize index, GError **error)
{
  if (strlen (peft_json_get_string (text)) == peft_json_get_string_length (text))
    return TRUE;
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
               _ ("%s[%u].content: the text holds a NUL character"), field, (guint)index);
  return FALSE;
}

static gboolean
append_call (PeftJson *calls, const PeftJson *call, const char *field, gsize index, GError **error)
{
  PeftJson *name = peft_json_get_member (call, "name");
  PeftJson *arguments = get_either (call, "arguments", "parameters");
  PeftJson *function;
  PeftJson *wrapped;

  if (!is_string (name) || arguments == NULL)
    return fail_kind (field, index, "", _ ("a call with name and arguments"), call, error);
  function = peft_json_new_object ();
  peft_json_set (function, "name", peft_json_ref (name));
  peft_json_set (function, "arguments", peft_json_ref (arguments));
  wrapped = peft_json_new_object ();
  peft_json_set (wrapped, "type", peft_json_new_string ("function"));
  peft_json_set (wrapped, "function", function);
  peft_json_append (calls, wrapped);
  return TRUE;
}

/* A call, or a list of them, as JSON or as JSON in a string. */
static gboolean
append_calls (
    PeftJson *calls, const PeftJson *value, const char *field, gsize index, GError **error)
{
  g_autoptr (PeftJson) parsed = NULL;

  if (is_string (value))
    {
      parsed = peft_json_parse (peft_json_get_string (value),
                                (gssize)peft_json_get_string_length (value),
                                PEFT_JSON_PARSE_DEFAULT, NULL);
      if (parsed == NULL)
        return fail_kind (field, index, "", _ ("a call as JSON"), value, error);
      value = parsed;
    }
  if (peft_json_get_kind (value) != PEFT_JSON_ARRAY)
    return append_call (calls, value, field, index, error);
  for (gsize i = 0; i < peft_json_get_length (value); i++)
    if (!append_call (calls, peft_json_get_element (value, i), field, index, error))
      return FALSE;
  return TRUE;
}

/* What a list of parts comes to. */
typedef struct
{
  GString *text;
  GString *reasoning;
  PeftJson *calls;
} Parts;

static gboolean
add_part (Parts *self, const PeftJson *part, const char *field, gsize index, GError **error)
{
  PeftJson *type = peft_json_get_member (part, "type");
  const char *name = is_string (type) ? peft_json_get_string (type) : "";
  PeftJson *value = get_either (part, "text", "value");

  if (is_string (part))
    {
      g_string_append (self->text, peft_json_get_string (part));
      return check_no_nul (part, field, index, error);
    }
  if (g_strv_contains (media, name))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("%s[%u].content: expected text, found a part of type %s, which is not "
                      "supported"),
                   field, (guint)index, name);
      return FALSE;
    }
  if (value == NULL)
    value = get_either (part, name, "content");
  if (strcmp (name, "tool_call") == 0 && value != NULL)
    return append_calls (self->calls, value, field, index, error);
  if (!is_string (value))
    return fail_kind (field, index, ".content", _ ("parts with type and text"), part, error);
  if (!check_no_nul (value, field, index, error))
    return FALSE;
  if (strcmp (name, "text") == 0)
    g_string_append (self->text, peft_json_get_string (value));
  else if (strcmp (name, "reasoning") == 0 || strcmp (name, "thinking") == 0)
    g_string_append (self->reasoning, peft_json_get_string (value));
  else
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   _ ("%s[%u].content: expected parts of type text, reasoning or tool_call, "
                      "found: %s"),
                   field, (guint)index, name);
      return FALSE;
    }
  return TRUE;
}

static gboolean
set_parts (PeftJson *message, const PeftJson *parts, const char *field, gsize index, GError **error)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GString) reasoning = g_string_new (NULL);
  g_autoptr (PeftJson) calls = peft_json_new_array ();
  Parts sum = { text, reasoning, calls };

  for (gsize i = 0; i < peft_json_get_length (parts); i++)
    if (!add_part (&sum, peft_json_get_element (parts, i), field, index, error))
      return FALSE;
  peft_json_set (message, "content", peft_json_new_string_len (text->str, text->len));
  if (reasoning->len > 0)
    peft_json_set (message, "reasoning_content",
                   peft_json_new_string_len (reasoning->str, reasoning->len));
  if (peft_json_get_length (calls) > 0)
    peft_json_set (message, "tool_calls", g_steal_pointer (&calls));
  return TRUE;
}

static gboolean
set_content (PeftJson *message,
             const PeftJson *source,
             const char *role,
             const char *field,
             gsize index,
             GError **error)
{
  PeftJson *content = get_either (source, "content", "value");
  PeftJson *calls = peft_json_get_member (source, "tool_calls");
  gboolean has_calls = calls != NULL && peft_json_get_kind (calls) == PEFT_JSON_ARRAY
                       && peft_json_get_length (calls) > 0;

  if (content == NULL || peft_json_get_kind (content) == PEFT_JSON_NULL)
    {
      if (!has_calls)
        return fail_kind (field, index, ".content", _ ("a string"), content, error);
      peft_json_set (message, "content", peft_json_new_null ());
      return TRUE;
    }
  if (strcmp (role, CALL_ROLE) == 0)
    {
      g_autoptr (PeftJson) list = peft_json_new_array ();

      if (!append_calls (list, content, field, index, error))
        return FALSE;
      peft_json_set (message, "content", peft_json_new_string (""));
      peft_json_set (message, "tool_calls", g_steal_pointer (&list));
      return TRUE;
    }
  if (peft_json_get_kind (content) == PEFT_JSON_ARRAY)
    return set_parts (message, content, field, index, error);
  if (!is_string (content))
    return fail_kind (field, index, ".content", _ ("a string"), content, error);
  peft_json_set (message, "content", peft_json_ref (content));
  return check_no_nul (content, field, index, error);
}

/* Only "this answer is not learnt" is kept. */
static gboolean
set_weight (PeftJson *message,
            const PeftJson *source,
            const char *role,
            const char *field,
            gsize index,
            GError **error)
{
  PeftJson *weight = get_either (source, "weight", "loss_weight");
  gboolean assistant = strcmp (role, "assistant") == 0;
  double value = 0;

  if (weight == NULL || peft_json_get_kind (weight) == PEFT_JSON_NULL)
    return TRUE;
  if (!peft_json_get_double (weight, &value) || (value != 0 && value != 1))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("%s[%u].weight: expected 0 or 1, found another value"), field, (guint)index);
      return FALSE;
    }
  if (value == 1 && !assistant)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("%s[%u].weight: expected 0 for the role %s, since only an assistant's turns "
                      "can be learnt; found 1"),
                   field, (guint)index, role);
      return FALSE;
    }
  if (value == 0 && assistant)
    peft_json_set (message, "weight", peft_json_new_int (0));
  return TRUE;
}

static gboolean
is_renamed (const char *name)
{
  static const char *const names[]
      = { "role", "from", "content", "value", "weight", "loss_weight", NULL };

  return g_strv_contains (names, name);
}

static gboolean
append_message (
    PeftJson *out, const PeftJson *source, const char *field, gsize index, GError **error)
{
  g_autoptr (PeftJson) message = NULL;
  PeftJson *name;
  const char *role;

  if (peft_json_get_kind (source) != PEFT_JSON_OBJECT)
    return fail_kind (field, index, "", _ ("an object with role and content"), source, error);
  name = get_either (source, "role", "from");
  if (!is_string (name))
    return fail_kind (field, index, ".role", _ ("a string"), name, error);
  role = find_role (peft_json_get_string (name));
  if (role == NULL)
    {
      g_autofree char *known = list_roles ();

      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   _ ("%s[%u].role: expected one of %s, found: %.40s"), field, (guint)index, known,
                   peft_json_get_string (name));
      return FALSE;
    }
  message = peft_json_new_object ();
  peft_json_set (message, "role",
                 peft_json_new_string (strcmp (role, CALL_ROLE) == 0 ? "assistant" : role));
  if (!set_content (message, source, role, field, index, error)
      || !set_weight (message, source,
                      peft_json_get_string (peft_json_get_member (message, "role")), field, index,
                      error))
    return FALSE;
  for (gsize i = 0; i < peft_json_get_length (source); i++)
    {
      const char *key = peft_json_get_name (source, i);
      PeftJson *value = peft_json_get_value (source, i);

      if (!is_renamed (key) && peft_json_get_kind (value) != PEFT_JSON_NULL
          && peft_json_get_member (message, key) == NULL)
        peft_json_set (message, key, peft_json_ref (value));
    }
  peft_json_append (out, g_steal_pointer (&message));
  return TRUE;
}

static gboolean
check_count (
    const PeftJson *out, const PeftJson *list, const char *field, gsize factor, GError **error)
{
  gsize n = peft_json_get_length (out) + factor * peft_json_get_length (list);

  if (n <= PEFT_DATA_MAX_MESSAGES)
    return TRUE;
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
               _ ("%s: expected at most %u messages, found %zu"), field,
               PEFT_DATA_MAX_MESSAGES, n);
  return FALSE;
}

gboolean
peft_data_messages_append (PeftJson *out, const PeftJson *list, const char *field, GError **error)
{
  if (peft_json_get_kind (list) != PEFT_JSON_ARRAY)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   _ ("%s: expected a list of messages, found: %s"), field,
                   peft_json_get_kind_name (list));
      return FALSE;
    }
  if (peft_json_get_length (list) == 0)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   _ ("%s: expected a list of messages, found an empty one"), field);
      return FALSE;
    }
  if (!check_count (out, list, field, 1, error))
    return FALSE;
  for (gsize i = 0; i < peft_json_get_length (list); i++)
    if (!append_message (out, peft_json_get_element (list, i), field, i, error))
      return FALSE;
  return TRUE;
}

gboolean
peft_data_messages_append_history (PeftJson *out,
                                   const PeftJson *list,
                                   const char *field,
                                   GError **error)
{
  if (peft_json_get_kind (list) != PEFT_JSON_ARRAY)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   _ ("%s: expected a list of turns, found: %s"), field,
                   peft_json_get_kind_name (list));
      return FALSE;
    }
  if (peft_json_get_length (list) > 0
      && peft_json_get_kind (peft_json_get_element (list, 0)) == PEFT_JSON_OBJECT)
    return peft_data_messages_append (out, list, field, error);
  if (!check_count (out, list, field, 2, error))
    return FALSE;
  for (gsize i = 0; i < peft_json_get_length (list); i++)
    {
      const PeftJson *turn = peft_json_get_element (list, i);
      PeftJson *question = NULL;
      PeftJson *answer = NULL;

      if (peft_json_get_kind (turn) == PEFT_JSON_ARRAY && peft_json_get_length (turn) == 2)
        {
          question = peft_json_get_element (turn, 0);
          answer = peft_json_get_element (turn, 1);
        }
      if (!is_string (question) || !is_string (answer))
        return fail_kind (field, i, "", _ ("a list of two strings"), turn, error);
      peft_data_messages_append_text (out, "user", peft_json_get_string (question));
      peft_data_messages_append_text (out, "assistant", peft_json_get_string (answer));
    }
  return TRUE;
}

void
peft_data_messages_append_text (PeftJson *out, const char *role, const char *text)
{
  PeftJson *message = peft_json_new_object ();

  peft_json_set (message, "role", peft_json_new_string (role));
  peft_json_set (message, "content", peft_json_new_string (text));
  peft_json_append (out, message);
}
