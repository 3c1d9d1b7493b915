/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Data files from the wild: each is read with the form and number of rows below, or refused with
 * the words below. */
#include <glib/gstdio.h>
#include <string.h>

#include "base/peft-error.h"
#include "data/peft-data-reader.h"

typedef struct
{
  const char *file;
  const char *form; /* NULL: refused */
  guint n_rows;
  const char *contains; /* in the first row's JSON, or in the message */
} Expectation;

static const Expectation expectations[] = {
  { "001-alpaca-en.json", "instruction", 30, "Describe a process of making crepes." },
  { "002-alpaca-identity-placeholders.json", "instruction", 30, "{{name}}" },
  { "003-sharegpt-toolcall-en.json", "conversations", 19, "\"name\":\"search_recipes\"" },
  { "004-dpo-sharegpt-en.json", NULL, 1, "rejected: preference data" },
  { "005-kto-messages-en.json", NULL, 1, "label: preference data" },
  { "006-mllm-images.json", NULL, 1, "images: rows with images" },
  { "007-v1-sft-parts.jsonl", "messages", 30, "\"content\":\"Hello! I am {{name}}" },
  { "008-v1-dpo.jsonl", NULL, 1, "chosen_messages: preference data" },
  { "009-messages-tool-reasoning.jsonl", "messages", 11, "\"reasoning_content\":\"Okay, the user" },
  { "010-text-only-c4.jsonl", "text", 21, "McKinley Heating" },
  { "011-chat-parallel-lists-zh.jsonl", "instruction", 3, "\"role\":\"assistant\"" },
  { "012-messages-without-role.json", NULL, 1, "messages[0].role: expected a string" },
  { "013-messages-openai-sft.jsonl", "messages", 30, "Give three tips for staying healthy." },
  { "014-pretrain-role-image-parts.jsonl", NULL, 1, "found: pretrain" },
  { "015-input-output-int-label.jsonl", "instruction", 30, "\"output\":\"no complaint\"" },
  { "016-key-with-space.json", NULL, 1, "Tweet text" },
  { "017-messages-documents-controls.jsonl", "messages", 8, "IBM Research" },
  { "018-nested-tools.jsonl", "instruction", 11, "\"tools\":[{\"name\":\"subtract\"" },
  { "019-alpaca-zh-crlf.json", "instruction", 30, "你是什么？" },
  { "020-jsonl-named-json.json", "instruction", 5, "心悸" },
  { "021-sharegpt-single.json", "conversations", 1, "minesweeper" },
  { "022-sharegpt-empty-turns.json", "conversations", 1,
    "\"role\":\"assistant\",\"content\":\"\"" },
  { "023-alpaca-two.json", "instruction", 2, "Words: ['Hello', 'world']." },
  { "024-sharegpt-dummy.json", "conversations", 30, "Vicuna" },
  { "025-text-wikisql.jsonl", "text", 30, "table: 1-1000181-1" },
  { "026-grpo-question-answer-zh.jsonl", "instruction", 30, "食管克罗恩病" },
  { "027-sharegpt-zh.jsonl", "conversations", 9, "свинья" },
  { "028-messages-extra-keys.jsonl", "messages", 30, "beta_858" },
  { "029-csv-japanese-multiline.csv", "instruction", 30, "おはよう。" },
  { "030-instruction-input-response.json", "instruction", 30, "width: 5, height: 8" },
  { "031-output-or-response-mixed.json", "instruction", 30, "Area of rectangle" },
  { "032-alpaca-ko.json", "instruction", 30, "알고리즘" },
  { "033-prompt-chosen-zh.jsonl", "prompt-completion", 30, "Human: " },
  { "034-history-list-of-lists-zh.json", "instruction", 2, "\"role\":\"assistant\"" },
  { "035-history-examples-zh.json", "instruction", 2, "你好，你能帮我解答一个问题吗？" },
  { "036-prompt-completion-as-message-lists.jsonl", "prompt-completion", 24, "rainbow unicorn." },
  { "037-instruction-analysis-action-final.json", NULL, 1,
    "expected a column with the answer to instruction" },
  { "038-csv-mcq-zh.csv", "instruction", 30, "\"output\":\"BD\"" },
  { "039-csv-greek-crlf.csv", NULL, 1, "expected a column with the answer to question" },
  { "040-prompt-response-teacher.jsonl", "instruction", 24, "How do you think the price" },
  { "041-question-two-answers.json", NULL, 1, "answer_matching_behavior" },
};

static char *
corpus_folder (void)
{
  const char *shared = g_getenv ("PEFT_SHARED");
  const char *root = g_getenv ("PEFT_TEST_ROOT");

  return shared != NULL ? g_build_filename (shared, "corpus", "datasets", NULL)
                        : g_build_filename (root != NULL ? root : ".", "..", "shared", "corpus",
                                            "datasets", NULL);
}

static void
check_read (const Expectation *e, PeftDataSet *set)
{
  g_autoptr (PeftJson) row = NULL;
  g_autofree char *text = NULL;

  g_assert_cmpuint (peft_data_set_get_n_files (set), ==, 1);
  g_assert_cmpstr (peft_data_form_get_name (peft_data_set_get_form (set, 0)), ==, e->form);
  g_assert_cmpuint (peft_data_set_get_n_rows (set), ==, e->n_rows);
  row = peft_data_set_row_to_json (set, 0);
  text = peft_json_to_string (row, PEFT_JSON_WRITE_COMPACT);
  if (strstr (text, e->contains) == NULL)
    g_error ("%s: “%s” is not in the first row: %s", e->file, e->contains, text);
}

static void
check_refused (const Expectation *e, const char *path, const GError *error)
{
  g_autofree char *start = g_strdup_printf ("%s: row %u (line ", path, e->n_rows);

  g_assert_cmpint (error->domain, ==, PEFT_ERROR);
  if (!g_str_has_prefix (error->message, start) || strstr (error->message, e->contains) == NULL)
    g_error ("expected “%s…%s”, found “%s”", start, e->contains, error->message);
  g_test_message ("%s", error->message);
}

static void
test_file (gconstpointer data)
{
  const Expectation *e = data;
  g_autofree char *folder = corpus_folder ();
  g_autofree char *path = g_build_filename (folder, e->file, NULL);
  const char *paths[] = { path };
  g_autoptr (PeftDataSet) set = NULL;
  g_autoptr (GError) error = NULL;

  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    {
      g_test_skip ("the shared corpus of data sets is not there");
      return;
    }
  set = peft_data_read (paths, 1, NULL, NULL, &error);
  if (e->form != NULL)
    {
      g_assert_no_error (error);
      check_read (e, set);
    }
  else
    {
      g_assert_null (set);
      check_refused (e, path, error);
    }
}

/* A file that is added to the corpus needs a line above. */
static void
test_complete (void)
{
  g_autofree char *folder = corpus_folder ();
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  if (dir == NULL)
    {
      g_test_skip ("the shared corpus of data sets is not there");
      return;
    }
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      gboolean found = g_str_equal (name, "SOURCES.md");

      for (guint i = 0; i < G_N_ELEMENTS (expectations); i++)
        found = found || g_str_equal (name, expectations[i].file);
      if (!found)
        g_error ("no expectation for %s", name);
    }
}

static PeftDataSet *
read_mapped (const char *file, const char *mapping_text)
{
  g_autofree char *folder = corpus_folder ();
  g_autofree char *path = g_build_filename (folder, file, NULL);
  const char *paths[] = { path };
  g_autoptr (PeftDataMapping) mapping = NULL;
  g_autoptr (GError) error = NULL;
  PeftDataReadOptions options = { 0 };
  PeftDataSet *set;

  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    {
      g_test_skip ("the shared corpus of data sets is not there");
      return NULL;
    }
  mapping = peft_data_mapping_parse (mapping_text, &error);
  g_assert_no_error (error);
  options.mapping = mapping;
  set = peft_data_read (paths, 1, &options, NULL, &error);
  g_assert_no_error (error);
  return set;
}

/* What is refused for its column names can be read with a mapping. */
static void
test_mapped (void)
{
  static const Expectation mapped[] = {
    { "016-key-with-space.json", "{\"prompt\":\"Tweet text\",\"completion\":\"text_label\"}", 10,
      "\"completion\":\"no complaint\"" },
    { "039-csv-greek-crlf.csv",
      "{\"instruction\":\"question\",\"input\":\"answers\",\"output\":\"best_answer\"}", 30,
      "Λευκού Πύργου" },
    { "041-question-two-answers.json",
      "{\"instruction\":\"question\",\"output\":\"answer_matching_behavior\"}", 30,
      "\"output\":\"(B)\"" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (mapped); i++)
    {
      g_autoptr (PeftDataSet) set = read_mapped (mapped[i].file, mapped[i].form);
      g_autoptr (PeftJson) row = NULL;
      g_autofree char *text = NULL;

      if (set == NULL)
        return;
      g_assert_cmpuint (peft_data_set_get_n_rows (set), ==, mapped[i].n_rows);
      row = peft_data_set_row_to_json (set, 0);
      text = peft_json_to_string (row, PEFT_JSON_WRITE_COMPACT);
      if (strstr (text, mapped[i].contains) == NULL)
        g_error ("%s: “%s” is not in %s", mapped[i].file, mapped[i].contains, text);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (expectations); i++)
    {
      g_autofree char *path = g_strdup_printf ("/Peft/Data/Corpus/%s", expectations[i].file);

      g_test_add_data_func (path, &expectations[i], test_file);
    }
  g_test_add_func ("/Peft/Data/Corpus/complete", test_complete);
  g_test_add_func ("/Peft/Data/Corpus/mapped", test_mapped);
  return g_test_run ();
}
