/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-tokenizer-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"
#include "text/peft-stream-decoder.h"
#include "text/peft-text-util.h"

struct _PeftTokenizerScratch
{
  const PeftTokenModelClass *klass;
  gpointer model;
  PeftRegexScratch *regex;
  GArray *tokens; /* PeftToken */
};

static void
chat_template_free (gpointer data)
{
  PeftChatTemplate *template = data;

  g_free (template->name);
  g_free (template->source);
  g_free (template);
}

PeftTokenizerCore *
peft_tokenizer_core_new (void)
{
  PeftTokenizerCore *self = g_new0 (PeftTokenizerCore, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->added = peft_added_tokens_new ();
  self->prefix = g_array_new (FALSE, FALSE, sizeof (gint32));
  self->suffix = g_array_new (FALSE, FALSE, sizeof (gint32));
  self->templates = g_ptr_array_new_with_free_func (chat_template_free);
  return self;
}

PeftTokenizerCore *
peft_tokenizer_core_ref (PeftTokenizerCore *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

static PeftTokenizerScratch *
scratch_new (PeftTokenizerCore *self)
{
  PeftTokenizerScratch *scratch = g_new0 (PeftTokenizerScratch, 1);

  scratch->klass = self->model->klass;
  scratch->model = scratch->klass->scratch_new (self->model);
  scratch->regex = peft_regex_scratch_new ();
  scratch->tokens = g_array_new (FALSE, FALSE, sizeof (PeftToken));
  return scratch;
}

static void
scratch_free (PeftTokenizerScratch *scratch)
{
  if (scratch == NULL)
    return;
  scratch->klass->scratch_free (scratch->model);
  peft_regex_scratch_free (scratch->regex);
  g_array_unref (scratch->tokens);
  g_free (scratch);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftTokenizerScratch, scratch_free)

void
peft_tokenizer_core_unref (PeftTokenizerCore *self)
{
  if (self == NULL || !g_atomic_ref_count_dec (&self->ref_count))
    return;
  scratch_free (self->scratch);
  peft_added_tokens_free (self->added);
  peft_token_model_free (self->model);
  peft_normalizer_free (self->normalizer);
  peft_pretokenizer_free (self->pretokenizer);
  peft_token_decoder_free (self->decoder);
  g_array_unref (self->prefix);
  g_array_unref (self->suffix);
  for (int i = 0; i < PEFT_N_SPECIALS; i++)
    g_free (self->specials[i]);
  g_ptr_array_unref (self->templates);
  g_free (self);
}

gboolean
peft_tokenizer_core_prepare (PeftTokenizerCore *self, GError **error)
{
  g_autoptr (PeftRegexScratch) scratch = peft_regex_scratch_new ();

  if (self->decoder == NULL)
    self->decoder = peft_token_decoder_new_from_json (NULL, error);
  if (peft_added_tokens_prepare (self->added, self->normalizer, scratch, error))
    return TRUE;
  g_prefix_error (error, "added_tokens: ");
  return FALSE;
}

/* One encoding at work. */
typedef struct
{
  PeftTokenizerCore *self;
  PeftTokenizerScratch *scratch;
  GArray *ids;
  GArray *spans; /* NULL: not wanted */
  gboolean tracked;
} Encoding;

static void
append_id (Encoding *encoding, gint32 id, PeftSpan span)
{
  g_array_append_val (encoding->ids, id);
  if (encoding->spans != NULL)
    g_array_append_val (encoding->spans, span);
}

/* Takes text: it is cut and split into tokens. */
static gboolean
encode_normalized (Encoding *encoding, PeftAlignedText *text, GError **error)
{
  PeftTokenizerCore *self = encoding->self;
  GArray *tokens = encoding->scratch->tokens;
  g_auto (PeftPieces) pieces = { NULL, NULL };

  peft_pieces_init (&pieces, text);
  if (!peft_pretokenizer_apply (self->pretokenizer, encoding->scratch->regex, &pieces, error))
    return FALSE;
  for (guint i = 0; i < pieces.pieces->len; i++)
    {
      const PeftPiece *piece = &g_array_index (pieces.pieces, PeftPiece, i);
      gsize at = piece->start;

      g_array_set_size (tokens, 0);
      self->model->klass->split (self->model, encoding->scratch->model,
                                 pieces.text->text->str + piece->start, piece->end - piece->start,
                                 tokens);
      for (guint k = 0; k < tokens->len; k++)
        {
          const PeftToken *token = &g_array_index (tokens, PeftToken, k);

          g_array_append_val (encoding->ids, token->id);
          if (encoding->spans != NULL)
            {
              gsize end = MIN (at + token->length, piece->end);
              PeftSpan span = peft_aligned_text_get_span (pieces.text, at, end);
              g_array_append_val (encoding->spans, span);
              at = end;
            }
        }
    }
  return TRUE;
}

/* Text between added tokens: normalized, and searched for those that are looked for only then. */
static gboolean
encode_section (Encoding *encoding, const char *text, gsize start, gsize end, GError **error)
{
  PeftTokenizerCore *self = encoding->self;
  g_autoptr (PeftAlignedText) whole =
      peft_aligned_text_new (text + start, end - start, start, encoding->tracked);
  g_autoptr (GArray) parts = NULL;

  if (!peft_normalizer_apply (self->normalizer, encoding->scratch->regex, &whole, error))
    return FALSE;
  if (!peft_added_tokens_has (self->added, TRUE))
    return encode_normalized (encoding, g_steal_pointer (&whole), error);
  parts = g_array_new (FALSE, FALSE, sizeof (PeftAddedPart));
  peft_added_tokens_split (self->added, TRUE, whole->text->str, whole->text->len, parts);
  for (guint i = 0; i < parts->len; i++)
    {
      const PeftAddedPart *part = &g_array_index (parts, PeftAddedPart, i);
      PeftSpan span = { 0, 0 };
      PeftAlignedText *between;

      if (encoding->tracked)
        span = peft_aligned_text_get_span (whole, part->start, part->end);
      if (part->id >= 0)
        {
          append_id (encoding, part->id, span);
          continue;
        }
      between = peft_aligned_text_new_from (whole);
      between->base = span.start;
      peft_aligned_text_append (between, whole, part->start, part->end - part->start);
      if (!encode_normalized (encoding, between, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
encode_text (Encoding *encoding, const char *text, gsize length, GError **error)
{
  g_autoptr (GArray) parts = g_array_new (FALSE, FALSE, sizeof (PeftAddedPart));

  peft_added_tokens_split (encoding->self->added, FALSE, text, length, parts);
  for (guint i = 0; i < parts->len; i++)
    {
      const PeftAddedPart *part = &g_array_index (parts, PeftAddedPart, i);
      PeftSpan span = { (guint32) part->start, (guint32) part->end };

      if (part->id >= 0)
        append_id (encoding, part->id, span);
      else if (!encode_section (encoding, text, part->start, part->end, error))
        return FALSE;
    }
  return TRUE;
}

static void
append_template (Encoding *encoding, const GArray *ids)
{
  PeftSpan none = { 0, 0 };

  for (guint i = 0; i < ids->len; i++)
    append_id (encoding, g_array_index (ids, gint32, i), none);
}

gboolean
peft_tokenizer_core_encode (PeftTokenizerCore *self, const char *text, gssize length,
                            gboolean add_special, GArray *ids, GArray *spans, GError **error)
{
  g_autoptr (PeftTokenizerScratch) scratch = NULL;
  gsize n = length < 0 ? strlen (text) : (gsize) length;
  guint n_ids = ids->len;
  guint n_spans = spans != NULL ? spans->len : 0;
  Encoding encoding = { self, NULL, ids, spans, FALSE };

  if (n > PEFT_TOKENIZER_MAX_TEXT_BYTES)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                   _("the text has %zu bytes, at most %u are allowed"), n,
                   PEFT_TOKENIZER_MAX_TEXT_BYTES);
      return FALSE;
    }
  if (!peft_text_is_utf8 (text, n))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA, _("the text is not valid UTF-8"));
      return FALSE;
    }
  scratch = g_atomic_pointer_exchange (&self->scratch, NULL);
  if (scratch == NULL)
    scratch = scratch_new (self);
  encoding.scratch = scratch;
  encoding.tracked = spans != NULL || peft_pretokenizer_needs_spans (self->pretokenizer);
  if (add_special)
    append_template (&encoding, self->prefix);
  if (!encode_text (&encoding, text, n, error))
    {
      g_array_set_size (ids, n_ids);
      if (spans != NULL)
        g_array_set_size (spans, n_spans);
      return FALSE;
    }
  if (add_special)
    append_template (&encoding, self->suffix);
  /* Another thread may have put back its own meanwhile: the older one goes. */
  scratch = g_atomic_pointer_exchange (&self->scratch, g_steal_pointer (&scratch));
  return TRUE;
}

char *
peft_tokenizer_core_decode (PeftTokenizerCore *self, const gint32 *ids, gsize n,
                            gboolean skip_special, gsize *length, GError **error)
{
  g_autoptr (PeftStreamDecoder) stream = peft_stream_decoder_new (self, skip_special);
  g_autoptr (GString) out = g_string_new (NULL);

  for (gsize i = 0; i < n; i++)
    if (!peft_stream_decoder_push (stream, ids[i], out, error))
      return NULL;
  if (!peft_stream_decoder_finish (stream, out, error))
    return NULL;
  if (length != NULL)
    *length = out->len;
  return g_string_free (g_steal_pointer (&out), FALSE);
}

gint32
peft_tokenizer_core_token_to_id (PeftTokenizerCore *self, const char *token, gssize length)
{
  gsize n = length < 0 ? strlen (token) : (gsize) length;
  const PeftAddedToken *added = peft_added_tokens_by_content (self->added, token, n);

  return added != NULL ? added->id : peft_vocab_lookup (self->model->vocab, token, n);
}

char *
peft_tokenizer_core_id_to_token (PeftTokenizerCore *self, gint32 id)
{
  const PeftAddedToken *added = peft_added_tokens_by_id (self->added, id);
  const char *text;
  gsize length;

  if (added != NULL)
    return g_strndup (added->spelled, added->spelled_length);
  text = peft_vocab_get_text (self->model->vocab, id, &length);
  return text != NULL ? g_strndup (text, length) : NULL;
}

gsize
peft_tokenizer_core_get_vocab_size (PeftTokenizerCore *self)
{
  gsize n = peft_vocab_get_count (self->model->vocab);

  for (guint i = 0; i < peft_added_tokens_get_count (self->added); i++)
    {
      const PeftAddedToken *token = peft_added_tokens_get (self->added, i);

      if (peft_vocab_lookup (self->model->vocab, token->content, token->length) < 0)
        n++;
    }
  return n;
}

gint32
peft_tokenizer_core_get_max_id (PeftTokenizerCore *self)
{
  gint32 max_id = peft_vocab_get_max_id (self->model->vocab);

  for (guint i = 0; i < peft_added_tokens_get_count (self->added); i++)
    max_id = MAX (max_id, peft_added_tokens_get (self->added, i)->id);
  return max_id;
}

gboolean
peft_tokenizer_core_is_special (PeftTokenizerCore *self, gint32 id)
{
  const PeftAddedToken *added = peft_added_tokens_by_id (self->added, id);

  return added != NULL && added->special;
}

const char *
peft_tokenizer_core_get_special_token (PeftTokenizerCore *self, PeftSpecialToken which)
{
  return self->specials[which];
}

gint32
peft_tokenizer_core_get_special_id (PeftTokenizerCore *self, PeftSpecialToken which)
{
  return self->specials[which] != NULL
             ? peft_tokenizer_core_token_to_id (self, self->specials[which], -1)
             : -1;
}

gboolean
peft_tokenizer_core_adds_bos (PeftTokenizerCore *self)
{
  return self->prefix->len > 0 && g_array_index (self->prefix, gint32, 0) ==
                                      peft_tokenizer_core_get_special_id (self, PEFT_SPECIAL_BOS);
}

gboolean
peft_tokenizer_core_adds_eos (PeftTokenizerCore *self)
{
  return self->suffix->len > 0 && g_array_index (self->suffix, gint32, self->suffix->len - 1) ==
                                      peft_tokenizer_core_get_special_id (self, PEFT_SPECIAL_EOS);
}

guint64
peft_tokenizer_core_get_model_max_length (PeftTokenizerCore *self)
{
  return self->model_max_length;
}

void
peft_tokenizer_core_add_template (PeftTokenizerCore *self, const char *name, const char *source)
{
  PeftChatTemplate *template = NULL;

  for (guint i = 0; i < self->templates->len && template == NULL; i++)
    if (strcmp (((PeftChatTemplate *) self->templates->pdata[i])->name, name) == 0)
      template = self->templates->pdata[i];
  if (template == NULL)
    {
      template = g_new0 (PeftChatTemplate, 1);
      template->name = g_strdup (name);
      g_ptr_array_add (self->templates, template);
    }
  g_free (template->source);
  template->source = g_strdup (source);
}

const char *
peft_tokenizer_core_get_chat_template (PeftTokenizerCore *self, const char *name)
{
  if (name == NULL)
    name = "default";
  for (guint i = 0; i < self->templates->len; i++)
    {
      const PeftChatTemplate *template = self->templates->pdata[i];

      if (strcmp (template->name, name) == 0)
        return template->source;
    }
  return NULL;
}

const char **
peft_tokenizer_core_list_chat_templates (PeftTokenizerCore *self)
{
  const char **names = g_new0 (const char *, self->templates->len + 1);

  for (guint i = 0; i < self->templates->len; i++)
    names[i] = ((PeftChatTemplate *) self->templates->pdata[i])->name;
  return names;
}
