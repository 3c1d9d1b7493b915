/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A tokenizer out of the metadata of a GGUF file (keys: docs/gguf.md of ggml). */
#include "config.h"

#include "text/peft-tokenizer-private.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"
#include "text/peft-bpe.h"
#include "text/peft-gguf-pre.h"

#define KEY(name) "tokenizer.ggml." name

/* SentencePiece's spaces, as the tokenizer.json of such models has them. The prefix also comes before
 * text that starts with a space, and behind a special token. */
#define SPACES                                                                                   \
  "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"▁\"}"
#define SPACES_WITH_PREFIX                                                                       \
  "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"▁\"}," SPACES "]}"
#define TEXT_PARTS                                                                               \
  "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"▁\"},"            \
  "\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}"
#define TEXT TEXT_PARTS "]}"
#define TEXT_WITH_PREFIX                                                                         \
  TEXT_PARTS ",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]}"

/* Values of tokenizer.ggml.token_type. */
enum
{
  TYPE_UNKNOWN = 2,
  TYPE_CONTROL = 3,
  TYPE_USER_DEFINED = 4
};

static const struct
{
  PeftSpecialToken which;
  const char *key;
} special_keys[] = {
  { PEFT_SPECIAL_BOS, KEY ("bos_token_id") },
  { PEFT_SPECIAL_EOS, KEY ("eos_token_id") },
  { PEFT_SPECIAL_PAD, KEY ("padding_token_id") },
  { PEFT_SPECIAL_UNK, KEY ("unknown_token_id") },
};

/* TRUE and *out untouched where the key is absent. */
static gboolean
read_boolean (const PeftGguf *gguf, const char *key, gboolean *out, GError **error)
{
  return !peft_gguf_has (gguf, key) || peft_gguf_get_boolean (gguf, key, out, error);
}

static PeftVocab *
read_vocab (const PeftGguf *gguf, gsize *n, GError **error)
{
  const PeftGgufString *tokens = peft_gguf_get_string_array (gguf, KEY ("tokens"), n, error);
  g_autoptr (PeftVocab) vocab = peft_vocab_new ();

  if (tokens == NULL)
    return NULL;
  for (gsize i = 0; i < *n; i++)
    if (!peft_vocab_add (vocab, tokens[i].data, tokens[i].length, (gint64) i, error))
      {
        g_prefix_error (error, "%s: " KEY ("tokens") ": ", peft_gguf_get_name (gguf));
        return NULL;
      }
  return g_steal_pointer (&vocab);
}

static gboolean
read_merges (const PeftGguf *gguf, PeftBpe *bpe, GError **error)
{
  gsize n;
  const PeftGgufString *merges = peft_gguf_get_string_array (gguf, KEY ("merges"), &n, error);

  if (merges == NULL)
    return FALSE;
  for (gsize i = 0; i < n; i++)
    if (!peft_bpe_add_merge_line (bpe, merges[i].data, merges[i].length, error))
      {
        g_prefix_error (error, "%s: " KEY ("merges") "[%zu]: ",
                        peft_gguf_get_name (gguf), i);
        return FALSE;
      }
  return TRUE;
}

/* Parts are given to the readers of tokenizer.json. */
static gboolean
read_parts (PeftTokenizerCore *self, const char *normalizer, const char *pretokenizer,
            const char *decoder, GError **error)
{
  g_autoptr (PeftJson) json = NULL;

  if (normalizer != NULL)
    {
      if ((json = peft_json_parse (normalizer, -1, PEFT_JSON_PARSE_DEFAULT, error)) == NULL ||
          (self->normalizer = peft_normalizer_new_from_json (json, error)) == NULL)
        return FALSE;
      g_clear_pointer (&json, peft_json_unref);
    }
  if (pretokenizer != NULL)
    {
      if ((json = peft_json_parse (pretokenizer, -1, PEFT_JSON_PARSE_DEFAULT, error)) == NULL ||
          (self->pretokenizer = peft_pretokenizer_new_from_json (json, error)) == NULL)
        return FALSE;
      g_clear_pointer (&json, peft_json_unref);
    }
  return (json = peft_json_parse (decoder, -1, PEFT_JSON_PARSE_DEFAULT, error)) != NULL &&
         (self->decoder = peft_token_decoder_new_from_json (json, error)) != NULL;
}

static gboolean
load_byte_level (PeftTokenizerCore *self, const PeftGguf *gguf, gboolean *add_bos, GError **error)
{
  g_autofree char *name = NULL;
  const PeftGgufPre *pre;
  PeftBpeOptions options = { NULL };
  g_autoptr (PeftVocab) vocab = NULL;
  gsize n;

  name = peft_gguf_has (gguf, KEY ("pre")) ? peft_gguf_dup_string (gguf, KEY ("pre"), error)
                                           : g_strdup ("default");
  if (name == NULL)
    return FALSE;
  pre = peft_gguf_pre_find (name);
  if (pre == NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _("%s: " KEY ("pre") ": “%s” is not supported"), peft_gguf_get_name (gguf),
                   name);
      return FALSE;
    }
  *add_bos = pre->add_bos;
  options.ignore_merges = pre->ignore_merges;
  vocab = read_vocab (gguf, &n, error);
  if (vocab == NULL)
    return FALSE;
  self->model = (PeftTokenModel *) peft_bpe_new (g_steal_pointer (&vocab), &options, error);
  return self->model != NULL && read_merges (gguf, (PeftBpe *) self->model, error) &&
         read_parts (self, pre->normalizer, pre->pre_tokenizer, "{\"type\":\"ByteLevel\"}", error);
}

static gboolean
load_sentencepiece (PeftTokenizerCore *self, const PeftGguf *gguf, gboolean *add_bos,
                    GError **error)
{
  PeftBpeOptions options = { .fuse_unk = TRUE, .byte_fallback = TRUE };
  g_autoptr (PeftVocab) vocab = NULL;
  g_autofree float *scores = NULL;
  gboolean prefix = TRUE;
  gsize n, n_scores;

  *add_bos = TRUE;
  vocab = read_vocab (gguf, &n, error);
  if (vocab == NULL || !read_boolean (gguf, KEY ("add_space_prefix"), &prefix, error))
    return FALSE;
  self->model = (PeftTokenModel *) peft_bpe_new (g_steal_pointer (&vocab), &options, error);
  if (self->model == NULL)
    return FALSE;
  if (peft_gguf_has (gguf, KEY ("merges")))
    {
      if (!read_merges (gguf, (PeftBpe *) self->model, error))
        return FALSE;
    }
  else
    {
      scores = peft_gguf_dup_float_array (gguf, KEY ("scores"), &n_scores, error);
      if (scores == NULL)
        return FALSE;
      if (n_scores != n)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                       _("%s: " KEY ("scores") ": expected %zu"
                         " values, found %zu"),
                       peft_gguf_get_name (gguf), n, n_scores);
          return FALSE;
        }
      if (!peft_bpe_add_merges_from_scores ((PeftBpe *) self->model, scores, n, error))
        {
          g_prefix_error (error, "%s: " KEY ("scores") ": ", peft_gguf_get_name (gguf));
          return FALSE;
        }
    }
  return read_parts (self, prefix ? SPACES_WITH_PREFIX : SPACES, NULL,
                     prefix ? TEXT_WITH_PREFIX : TEXT, error);
}

static gboolean
add_token (PeftTokenizerCore *self, gint32 id, gboolean special, GError **error)
{
  PeftAddedToken token = { .special = special };

  token.content = (char *) peft_vocab_get_text (self->model->vocab, id, &token.length);
  return token.content == NULL ||
         peft_added_tokens_add (self->added, self->model, &token, error);
}

static gboolean
read_specials (PeftTokenizerCore *self, const PeftGguf *gguf, GError **error)
{
  gint32 n = peft_vocab_get_max_id (self->model->vocab) + 1;

  for (gsize i = 0; i < G_N_ELEMENTS (special_keys); i++)
    {
      guint64 id;
      gsize length;
      const char *text;

      if (!peft_gguf_has (gguf, special_keys[i].key))
        continue;
      if (!peft_gguf_get_uint (gguf, special_keys[i].key, &id, error))
        return FALSE;
      if (id >= (guint64) n)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                       _("%s: %s: %" PRIu64 " is not below the number of tokens, %d"),
                       peft_gguf_get_name (gguf), special_keys[i].key, id, n);
          return FALSE;
        }
      text = peft_vocab_get_text (self->model->vocab, (gint32) id, &length);
      self->specials[special_keys[i].which] = g_strndup (text, length);
      if (!add_token (self, (gint32) id, TRUE, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
read_token_types (PeftTokenizerCore *self, const PeftGguf *gguf, GError **error)
{
  g_autofree gint64 *types = NULL;
  gsize n, expected = (gsize) peft_vocab_get_max_id (self->model->vocab) + 1;

  if (!peft_gguf_has (gguf, KEY ("token_type")))
    return TRUE;
  types = peft_gguf_dup_int_array (gguf, KEY ("token_type"), &n, error);
  if (types == NULL)
    return FALSE;
  if (n != expected)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("%s: " KEY ("token_type") ": expected %zu"
                     " values, found %zu"),
                   peft_gguf_get_name (gguf), expected, n);
      return FALSE;
    }
  for (gsize i = 0; i < n; i++)
    if ((types[i] == TYPE_CONTROL || types[i] == TYPE_UNKNOWN || types[i] == TYPE_USER_DEFINED) &&
        !add_token (self, (gint32) i, types[i] != TYPE_USER_DEFINED, error))
      return FALSE;
  return TRUE;
}

/* Puts the special token into the template, if there is one. */
static void
append_special (PeftTokenizerCore *self, GArray *ids, PeftSpecialToken which)
{
  gint32 id = peft_tokenizer_core_get_special_id (self, which);

  if (id >= 0)
    g_array_append_val (ids, id);
}

PeftTokenizerCore *
peft_tokenizer_core_new_from_gguf (const PeftGguf *gguf, GError **error)
{
  g_autoptr (PeftTokenizerCore) self = peft_tokenizer_core_new ();
  g_autofree char *model = peft_gguf_dup_string (gguf, KEY ("model"), error);
  g_autofree char *template = NULL;
  gboolean add_bos = FALSE, add_eos = FALSE, ok;

  if (model == NULL)
    return NULL;
  if (strcmp (model, "gpt2") == 0)
    ok = load_byte_level (self, gguf, &add_bos, error);
  else if (strcmp (model, "llama") == 0)
    ok = load_sentencepiece (self, gguf, &add_bos, error);
  else
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _("%s: " KEY ("model") ": “%s” is not supported, only gpt2 and llama"),
                   peft_gguf_get_name (gguf), model);
      return NULL;
    }
  if (!ok || !read_specials (self, gguf, error) || !read_token_types (self, gguf, error) ||
      !read_boolean (gguf, KEY ("add_bos_token"), &add_bos, error) ||
      !read_boolean (gguf, KEY ("add_eos_token"), &add_eos, error))
    return NULL;
  if (add_bos)
    append_special (self, self->prefix, PEFT_SPECIAL_BOS);
  if (add_eos)
    append_special (self, self->suffix, PEFT_SPECIAL_EOS);
  if (peft_gguf_has (gguf, "tokenizer.chat_template"))
    {
      template = peft_gguf_dup_string (gguf, "tokenizer.chat_template", error);
      if (template == NULL)
        return NULL;
      peft_tokenizer_core_add_template (self, "default", template);
    }
  if (!peft_tokenizer_core_prepare (self, error))
    {
      g_prefix_error (error, "%s: ", peft_gguf_get_name (gguf));
      return NULL;
    }
  return g_steal_pointer (&self);
}
