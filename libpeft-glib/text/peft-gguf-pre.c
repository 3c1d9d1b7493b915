/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "text/peft-gguf-pre.h"

#include <string.h>

#define BYTES "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}"
#define GPT2 "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}"
#define SPLIT(pattern)                                                                           \
  "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" pattern    \
  "\"},\"behavior\":\"Isolated\",\"invert\":false}," BYTES "]}"
#define DIGITS_AND(rest)                                                                         \
  "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true},"        \
  rest "]}"
#define NFC "{\"type\":\"NFC\"}"

#define CLITICS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define WORD "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+"
#define SYMBOLS " ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*"
#define SYMBOLS_SLASH " ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n/]*"
#define SPACES "\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define LOWER "[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"
#define UPPER "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"

static const PeftGgufPre table[] = {
  { "default gpt-2 gpt2 phi-2 roberta-bpe jina-es jina-de olmo mpt", GPT2, NULL, FALSE, FALSE },
  { "smollm starcoder refact command-r codeshell exaone", DIGITS_AND (GPT2), NULL, FALSE, FALSE },
  { "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2",
    SPLIT (CLITICS "|" WORD "|\\\\p{N}{1,3}|" SYMBOLS "|" SPACES), NULL, TRUE, TRUE },
  { "dbrx smaug-bpe", SPLIT (CLITICS "|" WORD "|\\\\p{N}{1,3}|" SYMBOLS "|" SPACES), NULL, FALSE,
    FALSE },
  { "qwen2 deepseek-r1-qwen megrez kormo f2llmv2",
    SPLIT (CLITICS "|" WORD "|\\\\p{N}|" SYMBOLS "|" SPACES), NFC, FALSE, FALSE },
  { "tekken",
    SPLIT (UPPER "*" LOWER "+|" UPPER "+" LOWER "*|\\\\p{N}|" SYMBOLS_SLASH "|" SPACES), NULL,
    TRUE, TRUE },
  { "gpt-4o llama4 kanana2",
    SPLIT (UPPER "*" LOWER "+" CLITICS "?|" UPPER "+" LOWER "*" CLITICS
                 "?|\\\\p{N}{1,3}|" SYMBOLS_SLASH "|" SPACES),
    NULL, FALSE, FALSE },
};

const PeftGgufPre *
peft_gguf_pre_find (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (table); i++)
    {
      g_auto (GStrv) names = g_strsplit (table[i].names, " ", -1);

      if (g_strv_contains ((const char *const *) names, name))
        return &table[i];
    }
  return NULL;
}
