/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tokenizers out of the metadata of GGUF files that are written here. */
#include "text-testing.h"

#include <math.h>

/* A GGUF v3 file without tensors. */
typedef struct
{
  GByteArray *bytes;
  guint64 n_keys;
} Writer;

static void
put_number (GByteArray *out, guint64 value, guint size)
{
  value = GUINT64_TO_LE (value);
  g_byte_array_append (out, (const guint8 *) &value, size);
}

static void
put_string (GByteArray *out, const char *text)
{
  put_number (out, strlen (text), 8);
  g_byte_array_append (out, (const guint8 *) text, strlen (text));
}

static Writer
writer_new (void)
{
  Writer writer = { g_byte_array_new (), 0 };

  return writer;
}

static void
put_key (Writer *writer, const char *key, PeftGgufType type)
{
  put_string (writer->bytes, key);
  put_number (writer->bytes, type, 4);
  writer->n_keys++;
}

static void
put_text (Writer *writer, const char *key, const char *value)
{
  put_key (writer, key, PEFT_GGUF_STRING);
  put_string (writer->bytes, value);
}

static void
put_id (Writer *writer, const char *key, guint32 value)
{
  put_key (writer, key, PEFT_GGUF_UINT32);
  put_number (writer->bytes, value, 4);
}

static void
put_flag (Writer *writer, const char *key, gboolean value)
{
  put_key (writer, key, PEFT_GGUF_BOOL);
  put_number (writer->bytes, value, 1);
}

static void
put_array (Writer *writer, const char *key, PeftGgufType type, gsize n)
{
  put_key (writer, key, PEFT_GGUF_ARRAY);
  put_number (writer->bytes, type, 4);
  put_number (writer->bytes, n, 8);
}

/* Separated by newlines. */
static void
put_texts (Writer *writer, const char *key, const char *lines)
{
  g_auto (GStrv) items = g_strsplit (lines, "\n", -1);

  put_array (writer, key, PEFT_GGUF_STRING, g_strv_length (items));
  for (guint i = 0; items[i] != NULL; i++)
    put_string (writer->bytes, items[i]);
}

static void
put_types (Writer *writer, const gint32 *types, gsize n)
{
  put_array (writer, "tokenizer.ggml.token_type", PEFT_GGUF_INT32, n);
  for (gsize i = 0; i < n; i++)
    put_number (writer->bytes, (guint32) types[i], 4);
}

static void
put_scores (Writer *writer, const float *scores, gsize n)
{
  put_array (writer, "tokenizer.ggml.scores", PEFT_GGUF_FLOAT32, n);
  for (gsize i = 0; i < n; i++)
    {
      guint32 bits;
      memcpy (&bits, &scores[i], sizeof bits);
      put_number (writer->bytes, bits, 4);
    }
}

static PeftTokenizerCore *
writer_load (Writer *writer, GError **error)
{
  GByteArray *file = g_byte_array_new ();
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (PeftGguf) gguf = NULL;
  g_autoptr (GError) open_error = NULL;

  g_byte_array_append (file, (const guint8 *) "GGUF", 4);
  put_number (file, 3, 4);
  put_number (file, 0, 8);
  put_number (file, writer->n_keys, 8);
  g_byte_array_append (file, writer->bytes->data, writer->bytes->len);
  g_byte_array_unref (writer->bytes);
  bytes = g_byte_array_free_to_bytes (file);
  gguf = peft_gguf_open_bytes (bytes, "test.gguf", &open_error);
  g_assert_no_error (open_error);
  return peft_tokenizer_core_new_from_gguf (gguf, error);
}

#define TOKENS "<e>\n<u>\n!\nh\ni\nhi\nĠ\nĠhi\n1\n2"
#define N_TOKENS 10

static Writer
byte_level_new (const char *pre)
{
  static const gint32 types[N_TOKENS] = { 3, 4, 1, 1, 1, 1, 1, 1, 1, 1 };
  Writer writer = writer_new ();

  put_text (&writer, "tokenizer.ggml.model", "gpt2");
  if (pre != NULL)
    put_text (&writer, "tokenizer.ggml.pre", pre);
  put_texts (&writer, "tokenizer.ggml.tokens", TOKENS);
  put_texts (&writer, "tokenizer.ggml.merges", "h i\nĠ hi");
  put_types (&writer, types, N_TOKENS);
  put_id (&writer, "tokenizer.ggml.bos_token_id", 0);
  put_id (&writer, "tokenizer.ggml.eos_token_id", 0);
  return writer;
}

static void
test_byte_level (void)
{
  static const gint32 ids[] = { 0, 5, 7, 2 };
  Writer writer = byte_level_new ("smollm");
  g_autoptr (PeftTokenizerCore) tokenizer = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;

  put_text (&writer, "tokenizer.chat_template", "{{ messages }}");
  put_flag (&writer, "tokenizer.ggml.add_eos_token", TRUE);
  tokenizer = writer_load (&writer, &error);
  g_assert_no_error (error);
  assert_encodes (tokenizer, "hi hi!", "5 7 2");
  assert_encodes (tokenizer, "<e>hi<u>", "0 5 1");
  text = encode_text (tokenizer, "hi", -1, TRUE);
  g_assert_cmpstr (text, ==, "5 0");
  g_free (text);
  text = peft_tokenizer_core_decode (tokenizer, ids, 4, TRUE, NULL, NULL);
  g_assert_cmpstr (text, ==, "hi hi!");
  g_assert_true (peft_tokenizer_core_is_special (tokenizer, 0));
  g_assert_false (peft_tokenizer_core_is_special (tokenizer, 1));
  g_assert_cmpint (peft_tokenizer_core_get_special_id (tokenizer, PEFT_SPECIAL_EOS), ==, 0);
  g_assert_cmpint (peft_tokenizer_core_get_special_id (tokenizer, PEFT_SPECIAL_PAD), ==, -1);
  g_assert_cmpstr (peft_tokenizer_core_get_chat_template (tokenizer, NULL), ==, "{{ messages }}");
  g_assert_cmpuint (peft_tokenizer_core_get_vocab_size (tokenizer), ==, N_TOKENS);
}

/* Each named preset: its regular expressions compile and its pieces join to the text. */
static void
test_presets (void)
{
  static const struct
  {
    const char *pre;
    gboolean adds_bos;
  } presets[] = {
    { NULL, FALSE },       { "default", FALSE }, { "gpt-2", FALSE },  { "smollm", FALSE },
    { "llama-bpe", TRUE }, { "dbrx", FALSE },    { "qwen2", FALSE },  { "tekken", TRUE },
    { "gpt-4o", FALSE },   { "llama4", FALSE },  { "llama3", TRUE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (presets); i++)
    {
      Writer writer = byte_level_new (presets[i].pre);
      g_autoptr (GError) error = NULL;
      g_autoptr (PeftTokenizerCore) tokenizer = writer_load (&writer, &error);

      g_assert_no_error (error);
      assert_encodes (tokenizer, "hi hi!", "5 7 2");
      assert_encodes (tokenizer, "12", "8 9");
      g_assert_cmpint (peft_tokenizer_core_adds_bos (tokenizer), ==, presets[i].adds_bos);
    }
}

#define SPM_TOKENS "<unk>\n<s>\n</s>\n<0x21>\n▁\na\nb\nab\n▁ab\nba"
static const float spm_scores[] = { 0, 0, 0, 0, -3, -4, -5, -1, -2, -0.5f };

static Writer
sentencepiece_new (void)
{
  static const gint32 types[] = { 2, 3, 3, 6, 1, 1, 1, 1, 1, 1 };
  Writer writer = writer_new ();

  put_text (&writer, "tokenizer.ggml.model", "llama");
  put_texts (&writer, "tokenizer.ggml.tokens", SPM_TOKENS);
  put_scores (&writer, spm_scores, G_N_ELEMENTS (spm_scores));
  put_types (&writer, types, G_N_ELEMENTS (types));
  put_id (&writer, "tokenizer.ggml.bos_token_id", 1);
  put_id (&writer, "tokenizer.ggml.eos_token_id", 2);
  put_id (&writer, "tokenizer.ggml.unknown_token_id", 0);
  return writer;
}

static void
test_sentencepiece (void)
{
  static const gint32 ids[] = { 1, 8, 4, 3 };
  Writer writer = sentencepiece_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftTokenizerCore) tokenizer = writer_load (&writer, &error);
  g_autofree char *with = NULL;
  g_autofree char *text = NULL;

  g_assert_no_error (error);
  /* The best score goes first: b a before a b. */
  assert_encodes (tokenizer, "ab", "8");
  assert_encodes (tokenizer, "aba", "4 5 9");
  /* The prefix comes before a space too, and behind special tokens. */
  assert_encodes (tokenizer, " ab", "4 8");
  assert_encodes (tokenizer, "<s>ab!", "1 8 3");
  with = encode_text (tokenizer, "ab", -1, TRUE);
  g_assert_cmpstr (with, ==, "1 8");
  text = peft_tokenizer_core_decode (tokenizer, ids, 4, TRUE, NULL, NULL);
  g_assert_cmpstr (text, ==, "ab !");
}

static void
test_no_prefix (void)
{
  Writer writer = sentencepiece_new ();
  g_autoptr (PeftTokenizerCore) tokenizer = NULL;
  g_autoptr (GError) error = NULL;

  put_flag (&writer, "tokenizer.ggml.add_space_prefix", FALSE);
  put_flag (&writer, "tokenizer.ggml.add_bos_token", FALSE);
  tokenizer = writer_load (&writer, &error);
  g_assert_no_error (error);
  assert_encodes (tokenizer, "ab", "7");
  g_assert_false (peft_tokenizer_core_adds_bos (tokenizer));
}

static void
assert_refused (Writer *writer, const char *words)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (writer_load (writer, &error));
  g_assert_nonnull (error);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, "test.gguf"));
  g_assert_nonnull (strstr (error->message, words));
}

static void
test_refused (void)
{
  Writer writer = writer_new ();

  assert_refused (&writer, "tokenizer.ggml.model");

  writer = writer_new ();
  put_text (&writer, "tokenizer.ggml.model", "bert");
  assert_refused (&writer, "“bert” is not supported");

  writer = writer_new ();
  put_text (&writer, "tokenizer.ggml.model", "gpt2");
  put_text (&writer, "tokenizer.ggml.pre", "nonesuch");
  assert_refused (&writer, "tokenizer.ggml.pre: “nonesuch” is not supported");

  writer = writer_new ();
  put_text (&writer, "tokenizer.ggml.model", "gpt2");
  assert_refused (&writer, "tokenizer.ggml.tokens");

  writer = writer_new ();
  put_text (&writer, "tokenizer.ggml.model", "gpt2");
  put_texts (&writer, "tokenizer.ggml.tokens", "a\nb");
  assert_refused (&writer, "tokenizer.ggml.merges");

  writer = writer_new ();
  put_text (&writer, "tokenizer.ggml.model", "gpt2");
  put_texts (&writer, "tokenizer.ggml.tokens", "a\nb\xff");
  put_texts (&writer, "tokenizer.ggml.merges", "a b");
  assert_refused (&writer, "tokenizer.ggml.tokens: token 1 is not valid UTF-8");

  writer = writer_new ();
  put_text (&writer, "tokenizer.ggml.model", "gpt2");
  put_texts (&writer, "tokenizer.ggml.tokens", "a\nb");
  put_texts (&writer, "tokenizer.ggml.merges", "a b");
  assert_refused (&writer, "tokenizer.ggml.merges[0]: “ab” is not in the vocabulary");

  writer = byte_level_new ("smollm");
  put_id (&writer, "tokenizer.ggml.padding_token_id", N_TOKENS);
  assert_refused (&writer, "padding_token_id: 10 is not below the number of tokens, 10");

  writer = writer_new ();
  put_text (&writer, "tokenizer.ggml.model", "llama");
  put_texts (&writer, "tokenizer.ggml.tokens", "a\nb");
  put_scores (&writer, spm_scores, 3);
  assert_refused (&writer, "tokenizer.ggml.scores: expected 2 values, found 3");

  writer = writer_new ();
  put_text (&writer, "tokenizer.ggml.model", "llama");
  put_texts (&writer, "tokenizer.ggml.tokens", "a\nb");
  put_scores (&writer, spm_scores, 2);
  put_types (&writer, (const gint32[]){ 1 }, 1);
  assert_refused (&writer, "tokenizer.ggml.token_type: expected 2 values, found 1");

  writer = writer_new ();
  put_text (&writer, "tokenizer.ggml.model", "llama");
  put_texts (&writer, "tokenizer.ggml.tokens", "a\nb");
  put_scores (&writer, (const float[]){ 0, NAN }, 2);
  assert_refused (&writer, "tokenizer.ggml.scores: the score of token 1 is not a number");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/TokenizerGguf/byte-level", test_byte_level);
  g_test_add_func ("/Peft/TokenizerGguf/presets", test_presets);
  g_test_add_func ("/Peft/TokenizerGguf/sentencepiece", test_sentencepiece);
  g_test_add_func ("/Peft/TokenizerGguf/no-prefix", test_no_prefix);
  g_test_add_func ("/Peft/TokenizerGguf/refused", test_refused);
  return g_test_run ();
}
