/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib/gstdio.h>

#include "base/peft-json.h"
#include "text/peft-tokenizer-core.h"

/* A byte-level tokenizer whose id of a byte is the byte, with the merge "a b" (id 256) and these
 * special tokens. */
enum
{
  ID_AB = 256,
  ID_BOS,      /* <s> */
  ID_EOS,      /* </s> */
  ID_IM_START, /* <|im_start|> */
  ID_IM_END,   /* <|im_end|> */
  N_TOKENS
};

static const char *const special_texts[] = { "<s>", "</s>", "<|im_start|>", "<|im_end|>" };

/* What byte-level vocabularies write for a byte. */
static gunichar
byte_letter (guint byte)
{
  guint n = 0;

  if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174)
    return byte;
  for (guint b = 0; b < byte; b++)
    if (!((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174))
      n++;
  return 256 + n;
}

static PeftJson *
make_model (void)
{
  PeftJson *model = peft_json_new_object ();
  PeftJson *vocab = peft_json_new_object ();
  PeftJson *merges = peft_json_new_array ();

  for (guint byte = 0; byte < 256; byte++)
    {
      char letter[7] = { 0 };

      g_unichar_to_utf8 (byte_letter (byte), letter);
      peft_json_set (vocab, letter, peft_json_new_int (byte));
    }
  peft_json_set (vocab, "ab", peft_json_new_int (ID_AB));
  peft_json_append (merges, peft_json_new_string ("a b"));
  peft_json_set (model, "type", peft_json_new_string ("BPE"));
  peft_json_set (model, "vocab", vocab);
  peft_json_set (model, "merges", merges);
  return model;
}

static char *
make_tokenizer_json (gboolean add_bos, gboolean add_eos)
{
  g_autoptr (PeftJson) model = make_model ();
  g_autofree char *model_text = peft_json_to_string (model, PEFT_JSON_WRITE_COMPACT);
  g_autoptr (GString) added = g_string_new (NULL);
  g_autoptr (GString) single = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (special_texts); i++)
    g_string_append_printf (
        added,
        "%s{\"id\":%u,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,"
        "\"rstrip\":false,\"normalized\":false,\"special\":true}",
        i > 0 ? "," : "", ID_BOS + i, special_texts[i]);
  if (add_bos)
    g_string_append (single, "{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},");
  g_string_append (single, "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}");
  if (add_eos)
    g_string_append (single, ",{\"SpecialToken\":{\"id\":\"</s>\",\"type_id\":0}}");
  return g_strdup_printf (
      "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[%s],"
      "\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
      "\"trim_offsets\":true,\"use_regex\":false},\"post_processor\":{\"type\":"
      "\"TemplateProcessing\","
      "\"single\":[%s],\"pair\":[%s,{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}],\"special_"
      "tokens\":{"
      "\"<s>\":{\"id\":\"<s>\",\"ids\":[%u],\"tokens\":[\"<s>\"]},"
      "\"</s>\":{\"id\":\"</s>\",\"ids\":[%u],\"tokens\":[\"</s>\"]}}},"
      "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":%s}",
      added->str, single->str, single->str, ID_BOS, ID_EOS, model_text);
}

static PeftTokenizerCore *
make_tokenizer (gboolean add_bos, gboolean add_eos, gboolean has_eos)
{
  g_autofree char *folder = g_dir_make_tmp ("peft-tokenizer-XXXXXX", NULL);
  g_autofree char *tokenizer = g_build_filename (folder, "tokenizer.json", NULL);
  g_autofree char *config = g_build_filename (folder, "tokenizer_config.json", NULL);
  g_autofree char *text = make_tokenizer_json (add_bos, add_eos);
  g_autoptr (GError) error = NULL;
  PeftTokenizerCore *self;

  g_assert_true (g_file_set_contents (tokenizer, text, -1, NULL));
  g_assert_true (g_file_set_contents (config,
                                      has_eos ? "{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\"}"
                                              : "{\"bos_token\":\"<s>\"}",
                                      -1, NULL));
  self = peft_tokenizer_core_load (folder, &error);
  g_assert_no_error (error);
  g_remove (tokenizer);
  g_remove (config);
  g_rmdir (folder);
  return self;
}
