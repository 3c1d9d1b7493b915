/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/peft-error.h"
#include "byte-tokenizer.h"
#include "data/peft-data-encode-task.h"
#include "data/peft-data-labelled.h"
#include "data/peft-data-reader.h"

static PeftDataSet *
read_rows (PeftTask task, const char *rows, GError **error)
{
  const PeftDataReadOptions options = { .task = task };

  return peft_data_read_text ("rows.jsonl", rows, strlen (rows), &options, error);
}

static PeftEncodedSet *
encode (PeftTask task, const char *rows, guint32 max_length, gint64 pad_id, const char *const *labels)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftDataSet) set = read_rows (task, rows, &error);
  g_autoptr (PeftTokenizerCore) tokenizer = make_tokenizer (TRUE, FALSE, TRUE);
  const PeftDataEncodeOptions options
      = { .tokenizer = tokenizer, .max_length = max_length, .labels = labels, .pad_id = pad_id };
  PeftEncodedSet *encoded;

  g_assert_no_error (error);
  encoded = peft_data_encode (set, &options, NULL, &error);
  g_assert_no_error (error);
  return encoded;
}

static void
assert_labels (PeftEncodedSet *set, guint32 row, const gint32 *expected, guint32 n)
{
  const gint32 *labels = peft_encoded_set_get_labels (set, row);

  g_assert_cmpuint (peft_encoded_set_get_row (set, row)->length, ==, n);
  for (guint32 i = 0; i < n; i++)
    g_assert_cmpint (labels[i], ==, expected[i]);
}

static void
assert_fails (PeftTask task, const char *rows, int code, const char *words)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (read_rows (task, rows, &error));
  g_assert_error (error, PEFT_ERROR, code);
  if (strstr (error->message, words) == NULL)
    g_error ("'%s' is not in: %s", words, error->message);
}

static const char *const mood[] = { "bad", "good", NULL };

static void
test_text (void)
{
  const char *rows = "{\"text\":\"xyz\",\"label\":\"good\"}\n{\"text\":\"xy\",\"label\":0}\n";
  const gint32 first[] = { -100, -100, -100, 1 }, second[] = { -100, -100, 0 };
  const gint32 cut[] = { -100, 1 };
  g_autoptr (PeftEncodedSet) set = encode (PEFT_TASK_SEQ_CLS, rows, 100, -1, mood);
  g_autoptr (PeftEncodedSet) short_set = encode (PEFT_TASK_SEQ_CLS, rows, 2, -1, mood);

  g_assert_cmpuint (peft_encoded_set_get_row (set, 0)->n_targets, ==, 1);
  assert_labels (set, 0, first, 4);
  assert_labels (set, 1, second, 3);
  /* What is cut keeps its class, at the last token that is left. */
  assert_labels (short_set, 0, cut, 2);
  g_assert_cmpuint (peft_encoded_set_get_n_cut (short_set), ==, 2);
}

static void
test_text_pair (void)
{
  const gint32 expected[] = { ID_BOS, 'a', ID_BOS, 'c' };
  g_autoptr (PeftEncodedSet) set = encode (
      PEFT_TASK_SEQ_CLS, "{\"sentence1\":\"a\",\"sentence2\":\"c\",\"label\":\"1\"}\n", 100, -1, mood);
  const gint32 *ids = peft_encoded_set_get_ids (set, 0);

  g_assert_cmpuint (peft_encoded_set_get_row (set, 0)->length, ==, 4);
  for (guint i = 0; i < 4; i++)
    g_assert_cmpint (ids[i], ==, expected[i]);
  g_assert_cmpint (peft_encoded_set_get_labels (set, 0)[3], ==, 1);
}

/* transformers looks at the last token that is not the padding's. */
static void
test_pooled (void)
{
  const char *rows = "{\"input_ids\":[5,6,7,9,9],\"label\":1}\n";
  const gint32 at_pad[] = { -100, -100, 1, -100, -100 }, at_end[] = { -100, -100, -100, -100, 1 };
  g_autoptr (PeftEncodedSet) set = encode (PEFT_TASK_SEQ_CLS, rows, 100, 9, mood);
  g_autoptr (PeftEncodedSet) without = encode (PEFT_TASK_SEQ_CLS, rows, 100, -1, mood);

  assert_labels (set, 0, at_pad, 5);
  assert_labels (without, 0, at_end, 5);
}

static void
test_tokens (void)
{
  const char *rows = "{\"tokens\":[\"xy\",\"z\"],\"ner_tags\":[\"B\",\"O\"]}\n";
  const char *const labels[] = { "B", "O", NULL };
  const gint32 expected[] = { -100, 0, -100, 1 };
  g_autoptr (PeftEncodedSet) set = encode (PEFT_TASK_TOKEN_CLS, rows, 100, -1, labels);

  assert_labels (set, 0, expected, 4);
  g_assert_cmpuint (peft_encoded_set_get_row (set, 0)->n_targets, ==, 2);
}

/* Characters count, not bytes: the context begins with one of two bytes. */
static void
test_question (void)
{
  const char *rows = "{\"question\":\"q\",\"context\":\"\xc3\xa9 xyz.\",\"answers\":{\"text\":[\"yz\"],\"answer_start\":[3]}}\n"
                     "{\"question\":\"q\",\"context\":\"x\",\"answers\":{\"text\":[],\"answer_start\":[]}}\n";
  g_autoptr (PeftEncodedSet) set = encode (PEFT_TASK_QUESTION_ANS, rows, 100, -1, NULL);
  g_autoptr (PeftEncodedSet) cut = encode (PEFT_TASK_QUESTION_ANS, rows, 5, -1, NULL);
  const gint32 *ids = peft_encoded_set_get_ids (set, 0), *labels = peft_encoded_set_get_labels (set, 0);
  const guint32 n = peft_encoded_set_get_row (set, 0)->length;
  const PeftEncodedAnswer *answer = peft_encoded_set_get_answer (set, 0);
  guint n_marks = 0;

  g_assert_cmpuint (peft_encoded_set_get_row (set, 0)->n_targets, ==, 2);
  for (guint32 i = 0; i < n; i++)
    {
      g_assert_cmpint (labels[i], ==, ids[i] == 'y' ? PEFT_DATA_ANSWER_START : ids[i] == 'z' ? PEFT_DATA_ANSWER_END : -100);
      n_marks += labels[i] > 0;
      if (ids[i] == 'y')
        g_assert_cmpmem (answer->context + answer->spans[i].start, 1, "y", 1);
    }
  g_assert_cmpuint (n_marks, ==, 2);
  g_assert_cmpstr (answer->texts[0], ==, "yz");
  /* No answer, and one that was cut away, are at the start. */
  g_assert_cmpint (peft_encoded_set_get_labels (set, 1)[0], ==, 3);
  g_assert_cmpint (peft_encoded_set_get_labels (cut, 0)[0], ==, 3);
  g_assert_null (peft_encoded_set_get_answer (set, 1)->texts[0]);
}

static void
test_classes (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftDataSet) names = read_rows (
      PEFT_TASK_SEQ_CLS, "{\"text\":\"a\",\"label\":\"b\"}\n{\"text\":\"a\",\"label\":\"a\"}\n", &error);
  g_autoptr (PeftDataSet) numbers = read_rows (PEFT_TASK_TOKEN_CLS, "{\"tokens\":[\"x\",\"y\"],\"tags\":[2,0]}\n", &error);
  g_autoptr (PeftDataSet) mixed = read_rows (
      PEFT_TASK_SEQ_CLS, "{\"text\":\"a\",\"label\":\"b\"}\n{\"text\":\"a\",\"label\":1}\n", &error);
  g_auto (GStrv) first = peft_data_list_labels (names, &error);
  g_auto (GStrv) second = peft_data_list_labels (numbers, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (g_strv_length (first), ==, 2);
  g_assert_cmpstr (first[0], ==, "a");
  g_assert_cmpuint (g_strv_length (second), ==, 3);
  g_assert_cmpstr (second[2], ==, "LABEL_2");
  g_assert_null (peft_data_list_labels (mixed, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA);
}

static void
test_refused (void)
{
  assert_fails (PEFT_TASK_SEQ_CLS, "{\"text\":\"a\"}\n", PEFT_ERROR_INVALID_DATA, "label");
  assert_fails (PEFT_TASK_SEQ_CLS, "{\"text\":\"a\",\"label\":0.5}\n", PEFT_ERROR_UNSUPPORTED, "regression");
  assert_fails (PEFT_TASK_SEQ_CLS, "{\"text\":\"a\",\"label\":[1]}\n", PEFT_ERROR_UNSUPPORTED, "several labels");
  assert_fails (PEFT_TASK_SEQ_CLS, "{\"text\":\"a\",\"label\":-1}\n", PEFT_ERROR_INVALID_DATA, "class");
  assert_fails (PEFT_TASK_SEQ_CLS, "{\"words\":\"a\",\"label\":1}\n", PEFT_ERROR_INVALID_DATA, "sentence1");
  assert_fails (PEFT_TASK_TOKEN_CLS, "{\"tokens\":[\"a\"],\"tags\":[1,2]}\n", PEFT_ERROR_INVALID_DATA, "found 2");
  assert_fails (PEFT_TASK_TOKEN_CLS, "{\"tokens\":[3],\"tags\":[1]}\n", PEFT_ERROR_INVALID_DATA, "strings");
  assert_fails (PEFT_TASK_QUESTION_ANS, "{\"question\":\"q\",\"context\":\"abc\",\"answers\":{\"text\":[\"c\"],\"answer_start\":[1]}}\n",
                PEFT_ERROR_INVALID_DATA, "where it is not");
  assert_fails (PEFT_TASK_QUESTION_ANS, "{\"question\":\"q\",\"context\":\"abc\",\"answers\":{\"text\":[\"c\"],\"answer_start\":[99]}}\n",
                PEFT_ERROR_INVALID_DATA, "where it is not");
  assert_fails (PEFT_TASK_QUESTION_ANS, "{\"input_ids\":[1,2],\"start_positions\":0,\"end_positions\":2}\n",
                PEFT_ERROR_INVALID_DATA, "end_positions");
  assert_fails (PEFT_TASK_FEATURE_EXTRACTION, "{\"text\":\"a\"}\n", PEFT_ERROR_UNSUPPORTED, "no loss");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/data/labelled/text", test_text);
  g_test_add_func ("/data/labelled/text-pair", test_text_pair);
  g_test_add_func ("/data/labelled/pooled", test_pooled);
  g_test_add_func ("/data/labelled/tokens", test_tokens);
  g_test_add_func ("/data/labelled/question", test_question);
  g_test_add_func ("/data/labelled/classes", test_classes);
  g_test_add_func ("/data/labelled/refused", test_refused);
  return g_test_run ();
}
