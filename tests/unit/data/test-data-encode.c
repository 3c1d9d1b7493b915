/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/peft-error.h"
#include "byte-tokenizer.h"
#include "data/peft-data-encode.h"
#include "data/peft-data-reader.h"

/* ChatML with and without marks of what the assistant writes. */
#define CHATML                                                                                     \
  "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"       \
  "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
#define CHATML_MARKED                                                                              \
  "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n"                               \
  "{% if m.role == 'assistant' %}"                                                                 \
  "{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% else %}{{ m.content }}"          \
  "<|im_end|>{% endif %}{{ '\\n' }}{% endfor %}{% if add_generation_prompt "                       \
  "%}<|im_start|>assistant\n{% endif %}"

typedef struct
{
  PeftTokenizerCore *tokenizer;
  PeftTemplate *template;
  PeftDataEncodeOptions options;
  GError *error;
} Fixture;

static void
set_up (Fixture *self, gboolean add_bos, gboolean add_eos, const char *template)
{
  memset (self, 0, sizeof *self);
  self->tokenizer = make_tokenizer (add_bos, add_eos, TRUE);
  self->options.tokenizer = self->tokenizer;
  if (template != NULL)
    {
      self->template = peft_template_parse (template, "test", &self->error);
      g_assert_no_error (self->error);
      self->options.chat_template = self->template;
    }
}

static void
tear_down (Fixture *self)
{
  peft_tokenizer_core_unref (self->tokenizer);
  g_clear_pointer (&self->template, peft_template_unref);
  g_clear_error (&self->error);
}

static PeftEncodedSet *
encode (Fixture *self, const char *rows)
{
  g_autoptr (PeftDataSet) set
      = peft_data_read_text ("rows.jsonl", rows, strlen (rows), NULL, &self->error);

  g_assert_no_error (self->error);
  return peft_data_encode (set, &self->options, NULL, &self->error);
}

/* Bytes as they are, special tokens by name, "ab" as A; what is labelled in brackets. */
static char *
show_row (const PeftEncodedSet *set, guint32 index)
{
  const PeftEncodedRow *row = peft_encoded_set_get_row (set, index);
  const gint32 *ids = peft_encoded_set_get_ids (set, index);
  const gint32 *labels = peft_encoded_set_get_labels (set, index);
  GString *text = g_string_new (NULL);
  gboolean open = FALSE;

  for (guint32 t = 0; t < row->length; t++)
    {
      gboolean labelled = labels[t] != PEFT_DATA_IGNORED;

      if (labelled)
        g_assert_cmpint (labels[t], ==, ids[t]);
      if (labelled != open)
        g_string_append_c (text, labelled ? '[' : ']');
      open = labelled;
      if (ids[t] < 256)
        g_string_append_c (text, (char)ids[t]);
      else if (ids[t] == ID_AB)
        g_string_append_c (text, 'A');
      else
        g_string_append (text, special_texts[ids[t] - ID_BOS]);
    }
  if (open)
    g_string_append_c (text, ']');
  return g_string_free (text, FALSE);
}

static void
assert_row (Fixture *self, const char *row, const char *expected)
{
  g_autoptr (PeftEncodedSet) set = encode (self, row);
  g_autofree char *shown = NULL;

  g_assert_no_error (self->error);
  g_assert_cmpuint (peft_encoded_set_get_n_rows (set), ==, 1);
  shown = show_row (set, 0);
  g_assert_cmpstr (shown, ==, expected);
}

static void
assert_fails (Fixture *self, const char *rows, int code, const char *words)
{
  g_autoptr (PeftEncodedSet) set = encode (self, rows);

  g_assert_null (set);
  g_assert_error (self->error, PEFT_ERROR, code);
  if (strstr (self->error->message, words) == NULL)
    g_error ("expected “%s”, found “%s”", words, self->error->message);
  g_clear_error (&self->error);
}

static void
test_text (void)
{
  Fixture f;

  set_up (&f, TRUE, FALSE, CHATML);
  assert_row (&f, "{\"text\":\"xaby\"}", "[<s>xAy</s>]");
  /* Neither two BOS nor two EOS. */
  assert_row (&f, "{\"text\":\"<s>x</s>\"}", "[<s>x</s>]");
  f.options.loss_on = PEFT_DATA_LOSS_COMPLETION;
  assert_fails (&f, "{\"text\":\"a\"}", PEFT_ERROR_INVALID_ARGUMENT,
                "rows.jsonl: row 1 (line 1): the row is plain text");
  tear_down (&f);

  set_up (&f, FALSE, TRUE, NULL);
  assert_row (&f, "{\"text\":\"x\"}", "[x</s>]");
  assert_row (&f, "{\"text\":\"x</s>\"}", "[x</s>]");
  tear_down (&f);
}

static void
test_pair (void)
{
  Fixture f;

  set_up (&f, TRUE, TRUE, CHATML);
  assert_row (&f, "{\"prompt\":\"q: \",\"completion\":\"ab\"}", "<s>q: [A</s>]");
  /* A token that begins in the prompt is not learnt. */
  assert_row (&f, "{\"prompt\":\"qa\",\"completion\":\"bc\"}", "<s>qA[c</s>]");
  /* Offsets are bytes: é is two. */
  assert_row (&f, "{\"prompt\":\"é\",\"completion\":\"é\"}", "<s>\xc3\xa9[\xc3\xa9</s>]");
  assert_row (&f, "{\"prompt\":\"q\",\"completion\":\"\"}", "<s>q[</s>]");
  f.options.loss_on = PEFT_DATA_LOSS_ALL;
  assert_row (&f, "{\"prompt\":\"q\",\"completion\":\"x\"}", "[<s>qx</s>]");
  tear_down (&f);
}

static void
test_instruction (void)
{
  static const char row[] = "{\"instruction\":\"i\",\"input\":\"x\",\"output\":\"o\"}";
  Fixture f;
  g_autoptr (PeftEncodedSet) set = NULL;
  const char *const *warnings;

  set_up (&f, TRUE, FALSE, NULL);
  assert_row (&f, row, "<s>i\nx\n[o</s>]");
  set = encode (&f, row);
  warnings = peft_encoded_set_get_warnings (set);
  g_assert_nonnull (strstr (warnings[0], "rows.jsonl: the model has no chat template"));
  g_assert_null (warnings[1]);
  tear_down (&f);

  set_up (&f, TRUE, FALSE, CHATML);
  assert_row (&f, row, "<|im_start|>user\ni\nx<|im_end|>\n<|im_start|>assistant\n[o<|im_end|>\n]");
  tear_down (&f);
}

#define TWO_TURNS                                                                                  \
  "{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"a\"},"              \
  "{\"role\":\"user\",\"content\":\"r\"},{\"role\":\"assistant\",\"content\":\"c\""

static void
test_messages (void)
{
  static const char rows[] = "{\"messages\":[" TWO_TURNS "}]}";
  static const char weighted[] = "{\"messages\":[" TWO_TURNS ",\"weight\":0}]}";
  Fixture f;

  set_up (&f, TRUE, FALSE, CHATML);
  assert_row (&f, rows,
              "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n[a<|im_end|>\n]"
              "<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n[c<|im_end|>\n]");
  assert_row (&f, weighted,
              "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n[a<|im_end|>\n]"
              "<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\nc<|im_end|>\n");
  f.options.loss_on = PEFT_DATA_LOSS_COMPLETION;
  assert_row (&f, rows,
              "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n"
              "<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n[c<|im_end|>\n]");
  f.options.loss_on = PEFT_DATA_LOSS_ALL;
  assert_row (&f, "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]}",
              "[<|im_start|>user\nq<|im_end|>\n]");
  tear_down (&f);

  /* The template's own marks, and its BOS alone. */
  set_up (&f, TRUE, FALSE, CHATML_MARKED);
  assert_row (&f, rows,
              "<s><|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n[a<|im_end|>]\n"
              "<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n[c<|im_end|>]\n");
  assert_row (&f, weighted,
              "<s><|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n[a<|im_end|>]\n"
              "<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\nc<|im_end|>\n");
  tear_down (&f);
}

static void
test_message_lists (void)
{
  static const char row[] = "{\"prompt\":[{\"role\":\"user\",\"content\":\"q\"},"
                            "{\"role\":\"assistant\",\"content\":\"a\"},"
                            "{\"role\":\"user\",\"content\":\"r\"}],"
                            "\"completion\":[{\"role\":\"assistant\",\"content\":\"c\"}]}";
  Fixture f;

  set_up (&f, FALSE, FALSE, CHATML);
  assert_row (&f, row,
              "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n"
              "<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n[c<|im_end|>\n]");
  f.options.loss_on = PEFT_DATA_LOSS_ASSISTANT;
  assert_row (&f, row,
              "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n[a<|im_end|>\n]"
              "<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n[c<|im_end|>\n]");
  tear_down (&f);
}

static void
test_refused (void)
{
  static const char chat[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]}";
  static const char call[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":"
                             "\"assistant\",\"content\":null,"
                             "\"tool_calls\":[{\"type\":\"function\",\"function\":{\"name\":\"look_"
                             "up\",\"arguments\":{}}}]}]}";
  Fixture f;

  set_up (&f, FALSE, FALSE, NULL);
  assert_fails (&f, chat, PEFT_ERROR_INVALID_DATA,
                "rows.jsonl: row 1 (line 1): a conversation needs a chat template");
  f.options.tokenizer = NULL;
  assert_fails (&f, "{\"text\":\"a\"}", PEFT_ERROR_INVALID_DATA, "text needs a tokenizer");
  tear_down (&f);

  set_up (&f, FALSE, FALSE, CHATML);
  assert_fails (&f, call, PEFT_ERROR_UNSUPPORTED,
                "messages[1].tool_calls: the chat template leaves the call of look_up out");
  assert_fails (&f, chat, PEFT_ERROR_INVALID_DATA, "rows.jsonl: none of the 1 rows has a labelled");
  f.options.vocab_size = 100;
  assert_fails (&f, "{\"text\":\"\\u001f\\u007f\"}", PEFT_ERROR_INVALID_DATA,
                "tokens[1]: expected an id below the vocabulary's size 100, found: 127");
  tear_down (&f);

  set_up (&f, FALSE, FALSE, "{{ raise_exception('no ' ~ messages[0].role) }}");
  assert_fails (&f, chat, PEFT_ERROR_INVALID_DATA, "row 1 (line 1): ");
  tear_down (&f);
}

static void
test_ids (void)
{
  Fixture f;
  g_autoptr (PeftEncodedSet) set = NULL;
  const gint32 labels[] = { -100, 2, -100, -100 };

  set_up (&f, TRUE, TRUE, NULL);
  f.options.tokenizer = NULL;
  f.options.vocab_size = 10;
  set = encode (&f, "{\"input_ids\":[1,2,9]}\n"
                    "{\"input_ids\":[1,2,9,0],\"labels\":[-100,2,-100,0],"
                    "\"attention_mask\":[1,1,1,0]}");
  g_assert_no_error (f.error);
  g_assert_cmpuint (peft_encoded_set_get_n_rows (set), ==, 2);
  g_assert_cmpuint (peft_encoded_set_get_row (set, 0)->n_targets, ==, 2);
  g_assert_cmpint (peft_encoded_set_get_labels (set, 0)[2], ==, 9);
  g_assert_cmpmem (peft_encoded_set_get_labels (set, 1), sizeof labels, labels, sizeof labels);
  g_assert_cmpuint (peft_encoded_set_get_row (set, 1)->mask[3], ==, 0);
  assert_fails (
      &f, "{\"input_ids\":[1,10]}", PEFT_ERROR_INVALID_DATA,
      "row 1 (line 1): input_ids[1]: expected an id below the vocabulary's size 10, found: 10");
  assert_fails (&f, "{\"input_ids\":[1,2],\"labels\":[1,11]}", PEFT_ERROR_INVALID_DATA,
                "labels[1]");
  tear_down (&f);
}

static void
test_cut (void)
{
  Fixture f;
  g_autoptr (PeftEncodedSet) set = NULL;
  g_autofree char *shown = NULL;

  set_up (&f, FALSE, FALSE, NULL);
  f.options.max_length = 4;
  set = encode (&f, "{\"prompt\":\"12\",\"completion\":\"345\"}\n"
                    "{\"prompt\":\"12345\",\"completion\":\"6\"}\n"
                    "{\"prompt\":\"1\",\"completion\":\"2\"}");
  g_assert_no_error (f.error);
  g_assert_cmpuint (peft_encoded_set_get_n_rows (set), ==, 2);
  g_assert_cmpuint (peft_encoded_set_get_n_cut (set), ==, 1);
  g_assert_cmpuint (peft_encoded_set_get_n_skipped (set), ==, 1);
  g_assert_cmpuint (peft_encoded_set_get_row (set, 0)->full_length, ==, 6);
  g_assert_cmpuint (peft_encoded_set_get_row (set, 1)->source, ==, 2);
  shown = show_row (set, 0);
  g_assert_cmpstr (shown, ==, "12[34]");
  tear_down (&f);
}

static void
test_no_eos (void)
{
  Fixture f;
  g_autoptr (PeftEncodedSet) set = NULL;
  g_autofree char *shown = NULL;

  set_up (&f, FALSE, FALSE, NULL);
  peft_tokenizer_core_unref (f.tokenizer);
  f.options.tokenizer = f.tokenizer = make_tokenizer (FALSE, FALSE, FALSE);
  set = encode (&f, "{\"text\":\"xy\"}\n{\"text\":\"\"}");
  g_assert_no_error (f.error);
  shown = show_row (set, 0);
  g_assert_cmpstr (shown, ==, "[xy]");
  g_assert_cmpuint (peft_encoded_set_get_n_skipped (set), ==, 1);
  g_assert_nonnull (strstr (peft_encoded_set_get_warnings (set)[0], "no end-of-text token"));
  tear_down (&f);
}

static void
count_cb (guint32 done, guint32 total, gpointer user_data)
{
  guint32 *seen = user_data;

  g_assert_cmpuint (done, >=, seen[0]);
  seen[0] = done;
  seen[1] = total;
}

static void
test_progress_and_cancel (void)
{
  Fixture f;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (PeftDataSet) set = NULL;
  g_autoptr (PeftEncodedSet) encoded = NULL;
  guint32 seen[2] = { 0, 0 };

  set_up (&f, FALSE, FALSE, NULL);
  f.options.progress = count_cb;
  f.options.user_data = seen;
  encoded = encode (&f, "{\"text\":\"xy\"}\n{\"text\":\"z\"}");
  g_assert_no_error (f.error);
  g_assert_cmpuint (seen[0], ==, 2);
  g_assert_cmpuint (seen[1], ==, 2);

  f.options.progress = NULL;
  set = peft_data_read_text ("a.txt", "x", 1, NULL, &f.error);
  g_cancellable_cancel (cancellable);
  g_assert_null (peft_data_encode (set, &f.options, cancellable, &f.error));
  g_assert_error (f.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  tear_down (&f);
}

static void
test_loss_on_names (void)
{
  g_autoptr (GError) error = NULL;
  PeftDataLossOn loss_on = PEFT_DATA_LOSS_AUTO;

  g_assert_true (peft_data_loss_on_parse ("completion", &loss_on, &error));
  g_assert_cmpint (loss_on, ==, PEFT_DATA_LOSS_COMPLETION);
  g_assert_false (peft_data_loss_on_parse ("answers", &loss_on, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Data/Encode/text", test_text);
  g_test_add_func ("/Peft/Data/Encode/pair", test_pair);
  g_test_add_func ("/Peft/Data/Encode/instruction", test_instruction);
  g_test_add_func ("/Peft/Data/Encode/messages", test_messages);
  g_test_add_func ("/Peft/Data/Encode/message-lists", test_message_lists);
  g_test_add_func ("/Peft/Data/Encode/refused", test_refused);
  g_test_add_func ("/Peft/Data/Encode/ids", test_ids);
  g_test_add_func ("/Peft/Data/Encode/cut", test_cut);
  g_test_add_func ("/Peft/Data/Encode/no-eos", test_no_eos);
  g_test_add_func ("/Peft/Data/Encode/progress-and-cancel", test_progress_and_cancel);
  g_test_add_func ("/Peft/Data/Encode/loss-on-names", test_loss_on_names);
  return g_test_run ();
}
