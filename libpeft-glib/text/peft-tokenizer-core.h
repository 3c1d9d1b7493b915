/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "formats/peft-gguf.h"
#include "text/peft-aligned-text.h"

/* A tokenizer as Hugging Face's tokenizers and transformers have it: text to ids and back. Reference
 * counted and immutable once loaded: any number of threads may use one at the same time. */

#define PEFT_TOKENIZER_MAX_FILE_BYTES (256u << 20) /* tokenizer.json */
#define PEFT_TOKENIZER_MAX_CONFIG_BYTES (64u << 20) /* the files beside it, each */
#define PEFT_TOKENIZER_MAX_TEXT_BYTES (256u << 20) /* given to encode */
#define PEFT_TOKENIZER_MAX_TEMPLATE_TOKENS 64u     /* put around a text */

typedef struct _PeftTokenizerCore PeftTokenizerCore;

/* tokenizer.json and, where they are, tokenizer_config.json, special_tokens_map.json,
 * chat_template.jinja of a folder. */
PeftTokenizerCore *peft_tokenizer_core_load (const char *folder, GError **error);
/* A tokenizer.json alone; name stands for its path in messages. */
PeftTokenizerCore *peft_tokenizer_core_new_from_text (const char *text, gssize length,
                                                      const char *name, GError **error);
PeftTokenizerCore *peft_tokenizer_core_new_from_gguf (const PeftGguf *gguf, GError **error);

PeftTokenizerCore *peft_tokenizer_core_ref (PeftTokenizerCore *self);
void peft_tokenizer_core_unref (PeftTokenizerCore *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftTokenizerCore, peft_tokenizer_core_unref)

/* Appends gint32 ids to `ids` and, unless spans is NULL, a PeftSpan for each to it: the bytes
 * [start, end) of text that the id came from. An id that the template put in has the span [0, 0); a
 * prefix that was put before a word has that of the word's first character. length -1:
 * NUL-terminated. On error both arrays are as they were. Thread-safe. */
gboolean peft_tokenizer_core_encode (PeftTokenizerCore *self, const char *text, gssize length,
                                     gboolean add_special, GArray *ids, GArray *spans,
                                     GError **error);
/* Ids that are not in the vocabulary are left out, as in Hugging Face's tokenizers. Invalid UTF-8
 * becomes U+FFFD. The result may hold NUL: *length, when wanted, is its length. */
char *peft_tokenizer_core_decode (PeftTokenizerCore *self, const gint32 *ids, gsize n,
                                  gboolean skip_special, gsize *length, GError **error);

/* -1 when absent. */
gint32 peft_tokenizer_core_token_to_id (PeftTokenizerCore *self, const char *token, gssize length);
/* (transfer full), NULL when absent. */
char *peft_tokenizer_core_id_to_token (PeftTokenizerCore *self, gint32 id);
/* Different tokens, added ones included: what len () gives in Python. */
gsize peft_tokenizer_core_get_vocab_size (PeftTokenizerCore *self);
/* The largest id, so that an embedding needs one row more. */
gint32 peft_tokenizer_core_get_max_id (PeftTokenizerCore *self);
gboolean peft_tokenizer_core_is_special (PeftTokenizerCore *self, gint32 id);

typedef enum
{
  PEFT_SPECIAL_BOS,
  PEFT_SPECIAL_EOS,
  PEFT_SPECIAL_PAD,
  PEFT_SPECIAL_UNK,
  PEFT_N_SPECIALS
} PeftSpecialToken;

/* -1 when the tokenizer has none. */
gint32 peft_tokenizer_core_get_special_id (PeftTokenizerCore *self, PeftSpecialToken which);
/* Its text, (transfer none), NULL when there is none. */
const char *peft_tokenizer_core_get_special_token (PeftTokenizerCore *self,
                                                   PeftSpecialToken which);
/* Does encoding with add_special put a BOS first, an EOS last? */
gboolean peft_tokenizer_core_adds_bos (PeftTokenizerCore *self);
gboolean peft_tokenizer_core_adds_eos (PeftTokenizerCore *self);
/* 0: no limit is known. */
guint64 peft_tokenizer_core_get_model_max_length (PeftTokenizerCore *self);

/* Chat template by name; NULL is the default one. (transfer none), NULL when there is none. */
const char *peft_tokenizer_core_get_chat_template (PeftTokenizerCore *self, const char *name);
/* Names of all templates, "default" for the default one; NULL-terminated, (transfer container). */
const char **peft_tokenizer_core_list_chat_templates (PeftTokenizerCore *self);
