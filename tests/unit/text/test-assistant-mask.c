/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "text/peft-assistant-mask.h"

#include <string.h>

#include "base/peft-error.h"

#define CHATML                                                                                            \
  "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"              \
  "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"

#define TALK                                                                                              \
  "{\"messages\": [{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", \"content\": \"ü\"},"   \
  " {\"role\": \"assistant\", \"content\": \"eins\"}, {\"role\": \"user\", \"content\": \"b\"},"            \
  " {\"role\": \"assistant\", \"content\": \"zwei\"}], \"x\": \"kept\"}"

/* The spans' text, joined by '|'; NULL with an error. */
static char *
find_text (const char *source, const char *variables, gboolean completion, GError **error)
{
  g_autoptr (PeftJson) json = peft_json_parse (variables, -1, PEFT_JSON_PARSE_DEFAULT, NULL);
  g_autoptr (PeftTemplate) template = peft_template_parse (source, "T", NULL);
  g_autoptr (GArray) spans = NULL;
  g_autofree char *text = NULL;
  GString *out;

  g_assert_nonnull (json);
  g_assert_nonnull (template);
  if (completion)
    {
      PeftTextSpan span;
      text = peft_assistant_mask_render_completion (template, json, &span, error);
      if (text != NULL)
        {
          spans = g_array_new (FALSE, FALSE, sizeof span);
          g_array_append_val (spans, span);
        }
    }
  else
    text = peft_assistant_mask_render (template, json, &spans, error);
  if (text == NULL)
    return NULL;
  out = g_string_new (NULL);
  for (guint i = 0; i < spans->len; i++)
    {
      PeftTextSpan span = g_array_index (spans, PeftTextSpan, i);
      g_assert_cmpuint (span.start, <=, span.end);
      g_assert_cmpuint (span.end, <=, strlen (text));
      if (i > 0)
        g_string_append_c (out, '|');
      g_string_append_len (out, text + span.start, span.end - span.start);
    }
  return g_string_free (out, FALSE);
}

static void
assert_text (const char *source, const char *variables, gboolean completion, const char *expected)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = find_text (source, variables, completion, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (text, ==, expected);
}

static void
assert_refused (const char *source, const char *variables, gboolean completion, PeftError code,
                const char *expected)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = find_text (source, variables, completion, &error);

  g_assert_null (text);
  g_assert_error (error, PEFT_ERROR, (int) code);
  if (strstr (error->message, expected) == NULL)
    g_test_message ("found: %s", error->message);
  g_assert_nonnull (strstr (error->message, expected));
}

static void
test_prefixes (void)
{
  assert_text (CHATML, TALK, FALSE, "eins<|im_end|>\n|zwei<|im_end|>\n");
  assert_text (CHATML, "{\"messages\": []}", FALSE, "");
  assert_text (CHATML, "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}", FALSE, "");
  assert_text (CHATML "{{ x }}", "{\"messages\": [{\"role\": \"assistant\", \"content\": \"x\"}]}", FALSE,
               "x<|im_end|>\n");
  /* A caller's own add_generation_prompt does not matter. */
  assert_text (CHATML,
               "{\"add_generation_prompt\": true, \"messages\": [{\"role\": \"assistant\", \"content\": \"x\"}]}",
               FALSE, "x<|im_end|>\n");
}

static void
test_generation (void)
{
  assert_text ("{% for m in messages %}{{ m.role }}:{% if m.role == 'assistant' %}{% generation %}"
               "{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %};{% endfor %}",
               TALK, FALSE, "eins|zwei");
  /* The last answer alone is found by its prefix even so. */
  assert_text ("{% for m in messages %}{{ m.role }}:{% if m.role == 'assistant' %}{% generation %}"
               "{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %};{% endfor %}"
               "{{ 'assistant:' if add_generation_prompt }}",
               TALK, TRUE, "zwei;");
}

static void
test_completion (void)
{
  assert_text (CHATML, TALK, TRUE, "zwei<|im_end|>\n");
  assert_refused (CHATML, "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}", TRUE,
                  PEFT_ERROR_INVALID_DATA, "the last message is not the assistant's");
  assert_refused (CHATML, "{\"messages\": []}", TRUE, PEFT_ERROR_INVALID_DATA,
                  "the last message is not the assistant's");
}

static void
test_refused (void)
{
  /* The generation prompt is more than what stands before an answer. */
  assert_refused ("{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
                  "{{ '[assistant]<think>' if add_generation_prompt }}",
                  TALK, FALSE, PEFT_ERROR_INVALID_DATA, "messages[2]");
  assert_refused ("{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
                  "{{ '[assistant]<think>' if add_generation_prompt }}",
                  TALK, FALSE, PEFT_ERROR_INVALID_DATA, "differ at byte 28, “tem]S[user]ü[assistant]<think>” against “");
  /* Only the last message is written in full. */
  assert_refused ("{% for m in messages %}{{ m.role[0] }}{{ m.content if loop.last else '-' }}{% endfor %}"
                  "{{ 'a' if add_generation_prompt }}",
                  TALK, FALSE, PEFT_ERROR_INVALID_DATA, "differ at byte");
  assert_refused ("{% for m in messages %}{{ m.role[0] ~ m.content[0] }}"
                  "{{ m.content[1:] if loop.last and m.role == 'assistant' }}{% endfor %}"
                  "{{ 'a' if add_generation_prompt }}",
                  TALK, FALSE, PEFT_ERROR_INVALID_DATA, "do not begin the whole text");
  /* The template does not take part of a conversation. */
  assert_refused ("{% if messages|length < 3 %}{{ raise_exception('too short') }}{% endif %}x", TALK, FALSE,
                  PEFT_ERROR_INVALID_DATA, "messages[2]: the assistant's text cannot be found, the template "
                                           "fails on the first 2 messages alone: T: line 1: too short");
  assert_refused ("{{ messages[0].nope.x }}", TALK, FALSE, PEFT_ERROR_INVALID_FILE, "T: line 1: ");
  assert_refused (CHATML, "{}", FALSE, PEFT_ERROR_INVALID_DATA, "messages: expected an array, found nothing");
  assert_refused (CHATML, "{\"messages\": \"x\"}", FALSE, PEFT_ERROR_INVALID_DATA, "found string");
  assert_refused (CHATML, "{\"messages\": [5]}", FALSE, PEFT_ERROR_INVALID_DATA, "messages[0]");
  assert_refused (CHATML, "{\"messages\": [{\"role\": \"user\"}, {\"role\": 1}]}", FALSE,
                  PEFT_ERROR_INVALID_DATA, "messages[1]");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/AssistantMask/prefixes", test_prefixes);
  g_test_add_func ("/Peft/AssistantMask/generation", test_generation);
  g_test_add_func ("/Peft/AssistantMask/completion", test_completion);
  g_test_add_func ("/Peft/AssistantMask/refused", test_refused);
  return g_test_run ();
}
