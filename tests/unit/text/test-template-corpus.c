/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Templates from the wild: each renders a simple conversation, or is refused with a reason. */
#include <string.h>

#include "base/peft-error.h"
#include "text/peft-assistant-mask.h"

static const char variables_json[]
    = "{\"messages\": [{\"role\": \"user\", \"content\": \"Hello there\"},"
      " {\"role\": \"assistant\", \"content\": \"General reply\"}], \"add_generation_prompt\": false,"
      " \"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"tools\": null, \"documents\": null}";

static char *
find_folder (void)
{
  const char *shared = g_getenv ("PEFT_SHARED");
  const char *root = g_getenv ("PEFT_TEST_ROOT");

  if (shared != NULL)
    return g_build_filename (shared, "corpus", "chat_templates", NULL);
  return g_build_filename (root != NULL ? root : ".", "..", "shared", "corpus", "chat_templates", NULL);
}

static void
check_template (const char *folder, const char *name, const PeftJson *variables, guint *n_rendered,
                guint *n_masked)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *source = NULL;
  g_autofree char *text = NULL;
  g_autofree char *masked = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GArray) spans = NULL;
  g_autoptr (PeftTemplate) template = NULL;

  g_assert_true (g_file_get_contents (path, &source, NULL, NULL));
  template = peft_template_parse (source, name, &error);
  g_assert_no_error (error);
  text = peft_template_render (template, variables, NULL, &error);
  if (text == NULL)
    {
      g_test_message ("%s", error->message);
      g_assert_true (error->domain == PEFT_ERROR && g_str_has_prefix (error->message, name));
      return;
    }
  g_assert_nonnull (strstr (text, "Hello there"));
  (*n_rendered)++;

  masked = peft_assistant_mask_render (template, variables, &spans, &error);
  if (masked == NULL)
    {
      g_test_message ("%s", error->message);
      g_assert_true (error->domain == PEFT_ERROR);
      g_assert_cmpuint (strlen (error->message), >, 10);
      return;
    }
  g_assert_cmpuint (spans->len, ==, 1);
  g_autofree char *piece = g_strndup (masked + g_array_index (spans, PeftTextSpan, 0).start,
                                      g_array_index (spans, PeftTextSpan, 0).end
                                          - g_array_index (spans, PeftTextSpan, 0).start);
  g_assert_nonnull (strstr (piece, "General reply"));
  g_assert_null (strstr (piece, "Hello"));
  (*n_masked)++;
}

static void
test_corpus (void)
{
  g_autofree char *folder = find_folder ();
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  g_autoptr (PeftJson) variables = peft_json_parse (variables_json, -1, PEFT_JSON_PARSE_DEFAULT, NULL);
  guint n = 0, n_rendered = 0, n_masked = 0;
  const char *name;

  if (dir == NULL)
    {
      g_test_skip ("the shared corpus of chat templates is not there");
      return;
    }
  while ((name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_suffix (name, ".jinja"))
      {
        check_template (folder, name, variables, &n_rendered, &n_masked);
        n++;
      }
  g_test_message ("%u templates, %u rendered, %u with the assistant's text found", n, n_rendered, n_masked);
  g_assert_cmpuint (n, >, 0);
  /* Nearly all take such a conversation. */
  g_assert_cmpuint (n_rendered * 10, >=, n * 9);
  g_assert_cmpuint (n_masked * 10, >=, n * 6);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Template/corpus", test_corpus);
  return g_test_run ();
}
