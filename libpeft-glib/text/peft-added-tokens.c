/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-added-tokens.h"

#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "text/peft-text-util.h"

/* Tokens sorted by the bytes of their spelling: those that begin with the same bytes stand together, and one that is the
 * beginning of others stands before them. */
typedef struct
{
  GPtrArray *patterns; /* PeftAddedToken */
  guint first[257];    /* patterns that begin with byte b are first[b] … first[b + 1] - 1 */
} Matcher;

struct _PeftAddedTokens
{
  GPtrArray *tokens;      /* PeftAddedToken, owned */
  GHashTable *by_content; /* a set of tokens */
  GHashTable *by_id;      /* id → token */
  gint32 max_id;          /* of the tokens here, -1: none */
  Matcher matchers[2];    /* [0] in the text as it is, [1] in the normalized text */
};

static guint
token_hash (gconstpointer key)
{
  const PeftAddedToken *token = key;

  return (guint) peft_text_hash (token->content, token->length);
}

static gboolean
token_equal (gconstpointer a, gconstpointer b)
{
  const PeftAddedToken *x = a, *y = b;

  return x->length == y->length && memcmp (x->content, y->content, x->length) == 0;
}

static void
token_free (gpointer data)
{
  PeftAddedToken *token = data;

  g_free (token->content);
  g_free (token->spelled);
  g_free (token);
}

PeftAddedTokens *
peft_added_tokens_new (void)
{
  PeftAddedTokens *self = g_new0 (PeftAddedTokens, 1);

  self->tokens = g_ptr_array_new_with_free_func (token_free);
  self->by_content = g_hash_table_new (token_hash, token_equal);
  self->by_id = g_hash_table_new (NULL, NULL);
  self->max_id = -1;
  for (int i = 0; i < 2; i++)
    self->matchers[i].patterns = g_ptr_array_new ();
  return self;
}

void
peft_added_tokens_free (PeftAddedTokens *self)
{
  if (self == NULL)
    return;
  for (int i = 0; i < 2; i++)
    g_ptr_array_unref (self->matchers[i].patterns);
  g_hash_table_unref (self->by_content);
  g_hash_table_unref (self->by_id);
  g_ptr_array_unref (self->tokens);
  g_free (self);
}

gboolean
peft_added_tokens_add (PeftAddedTokens *self, const PeftTokenModel *model,
                       const PeftAddedToken *token, GError **error)
{
  PeftAddedToken *copy;

  if (token->length == 0 || g_hash_table_contains (self->by_content, token))
    return TRUE;
  if (token->length > PEFT_ADDED_TOKENS_MAX_BYTES || self->tokens->len >= PEFT_ADDED_TOKENS_MAX)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                   _("at most %u added tokens of at most %u bytes are allowed"),
                   PEFT_ADDED_TOKENS_MAX, PEFT_ADDED_TOKENS_MAX_BYTES);
      return FALSE;
    }
  copy = g_memdup2 (token, sizeof *token);
  copy->content = g_malloc (token->length + 1);
  memcpy (copy->content, token->content, token->length);
  copy->content[token->length] = 0;
  copy->spelled = NULL;
  copy->id = peft_vocab_lookup (model->vocab, token->content, token->length);
  if (copy->id < 0)
    copy->id = MAX ((gint32) peft_vocab_get_count (model->vocab), self->max_id + 1);
  self->max_id = MAX (self->max_id, copy->id);
  g_ptr_array_add (self->tokens, copy);
  g_hash_table_add (self->by_content, copy);
  g_hash_table_insert (self->by_id, GINT_TO_POINTER (copy->id), copy);
  return TRUE;
}

static int
compare_patterns (gconstpointer a, gconstpointer b)
{
  const PeftAddedToken *x = *(PeftAddedToken *const *) a, *y = *(PeftAddedToken *const *) b;
  int order = memcmp (x->spelled, y->spelled, MIN (x->spelled_length, y->spelled_length));

  if (order != 0)
    return order;
  return (x->spelled_length > y->spelled_length) - (x->spelled_length < y->spelled_length);
}

gboolean
peft_added_tokens_prepare (PeftAddedTokens *self, const PeftNormalizer *normalizer,
                           PeftRegexScratch *scratch, GError **error)
{
  for (guint i = 0; i < self->tokens->len; i++)
    {
      PeftAddedToken *token = self->tokens->pdata[i];
      PeftAlignedText *text = peft_aligned_text_new (token->content, token->length, 0, FALSE);

      if (token->normalized && !peft_normalizer_apply (normalizer, scratch, &text, error))
        {
          peft_aligned_text_free (text);
          return FALSE;
        }
      token->spelled_length = text->text->len;
      token->spelled = g_memdup2 (text->text->str, token->spelled_length + 1);
      peft_aligned_text_free (text);
      if (token->spelled_length > 0)
        g_ptr_array_add (self->matchers[token->normalized].patterns, token);
    }
  for (int m = 0; m < 2; m++)
    {
      Matcher *matcher = &self->matchers[m];
      guint k = 0;

      g_ptr_array_sort (matcher->patterns, compare_patterns);
      for (guint b = 0; b <= 256; b++)
        {
          while (k < matcher->patterns->len &&
                 (guint8) ((PeftAddedToken *) matcher->patterns->pdata[k])->spelled[0] < b)
            k++;
          matcher->first[b] = k;
        }
    }
  return TRUE;
}

guint
peft_added_tokens_get_count (const PeftAddedTokens *self)
{
  return self->tokens->len;
}

const PeftAddedToken *
peft_added_tokens_get (const PeftAddedTokens *self, guint index)
{
  return self->tokens->pdata[index];
}

const PeftAddedToken *
peft_added_tokens_by_id (const PeftAddedTokens *self, gint32 id)
{
  return g_hash_table_lookup (self->by_id, GINT_TO_POINTER (id));
}

const PeftAddedToken *
peft_added_tokens_by_content (const PeftAddedTokens *self, const char *content, gsize length)
{
  PeftAddedToken key = { (char *) content, length };

  return g_hash_table_lookup (self->by_content, &key);
}

gboolean
peft_added_tokens_has (const PeftAddedTokens *self, gboolean normalized)
{
  return self->matchers[normalized].patterns->len > 0;
}

/* Narrows [*low, *high) to the patterns that have byte b at `depth`. */
static void
narrow (const Matcher *matcher, guint *low, guint *high, gsize depth, guint8 b)
{
  for (int side = 0; side < 2; side++)
    {
      guint from = *low, to = *high;

      while (from < to)
        {
          guint middle = from + (to - from) / 2;
          const PeftAddedToken *token = matcher->patterns->pdata[middle];
          int c = token->spelled_length <= depth ? -1 : (guint8) token->spelled[depth];

          if (c < b + side)
            from = middle + 1;
          else
            to = middle;
        }
      if (side == 0)
        *low = from;
      else
        *high = from;
    }
}

/* The longest token at the start of text. */
static const PeftAddedToken *
match_longest (const Matcher *matcher, const char *text, gsize length)
{
  guint low = matcher->first[(guint8) *text];
  guint high = matcher->first[(guint8) *text + 1];
  const PeftAddedToken *best = NULL;

  for (gsize depth = 1; low < high; depth++)
    {
      const PeftAddedToken *token = matcher->patterns->pdata[low];

      if (token->spelled_length == depth)
        best = token;
      if (depth == length)
        break;
      narrow (matcher, &low, &high, depth, (guint8) text[depth]);
    }
  return best;
}

static gboolean
stands_alone (const char *text, gsize length, gsize start, gsize end)
{
  if (start > 0 && peft_text_is_word (g_utf8_get_char (g_utf8_prev_char (text + start))))
    return FALSE;
  return end == length || !peft_text_is_word (g_utf8_get_char (text + end));
}

void
peft_added_tokens_split (const PeftAddedTokens *self, gboolean normalized, const char *text,
                         gsize length, GArray *parts)
{
  const Matcher *matcher = &self->matchers[normalized];
  gsize done = 0;

  for (gsize i = 0; i < length;)
    {
      const PeftAddedToken *token = NULL;
      PeftAddedPart between = { -1, done, i };
      PeftAddedPart found;

      if (matcher->first[(guint8) text[i]] < matcher->first[(guint8) text[i] + 1])
        token = match_longest (matcher, text + i, length - i);
      if (token == NULL)
        {
          i++;
          continue;
        }
      found.id = token->id;
      found.start = i;
      found.end = i + token->spelled_length;
      i = found.end;
      if (token->single_word && !stands_alone (text, length, found.start, found.end))
        continue;
      if (token->lstrip)
        while (found.start > done)
          {
            const char *before = g_utf8_prev_char (text + found.start);

            if (!peft_text_is_space (g_utf8_get_char (before)))
              break;
            found.start = before - text;
          }
      if (token->rstrip)
        while (found.end < length && peft_text_is_space (g_utf8_get_char (text + found.end)))
          found.end += peft_text_char_length (text + found.end);
      between.end = found.start;
      if (between.start < between.end)
        g_array_append_val (parts, between);
      g_array_append_val (parts, found);
      done = found.end;
    }
  if (done < length)
    {
      PeftAddedPart rest = { -1, done, length };
      g_array_append_val (parts, rest);
    }
}
