/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "text/peft-bpe-private.h"

#include "text/peft-text-util.h"

/* Up to this many symbols, looking through all pairs beats a heap. */
#define MAX_SCANNED 24u

#define N_CACHED 32768u /* a power of two */
#define MAX_CACHED_BYTES 30u
#define MAX_CACHED_TOKENS 8u

typedef struct
{
  gint32 id;
  guint32 length; /* bytes; 0: merged into the one before */
  gint32 previous;
  gint32 next; /* -1 at the end */
} Symbol;

typedef struct
{
  guint32 rank;
  gint32 position;
  gint32 id; /* what the pair was to become */
} Candidate;

/* Words already split; each hash has one place, the newest word has it. */
typedef struct
{
  guint64 hash;
  guint8 n_bytes; /* 0: empty */
  guint8 n_tokens;
  char bytes[MAX_CACHED_BYTES];
  gint32 ids[MAX_CACHED_TOKENS];
  guint8 lengths[MAX_CACHED_TOKENS];
} Cached;

typedef struct
{
  GArray *symbols; /* Symbol */
  GArray *heap;    /* Candidate */
  GString *affixed;
  Cached *cache;
} Scratch;

gpointer
peft_bpe_scratch_new (const PeftTokenModel *model)
{
  Scratch *self = g_new0 (Scratch, 1);

  self->symbols = g_array_new (FALSE, FALSE, sizeof (Symbol));
  self->heap = g_array_new (FALSE, FALSE, sizeof (Candidate));
  self->affixed = g_string_new (NULL);
  self->cache = g_new0 (Cached, N_CACHED);
  return self;
}

void
peft_bpe_scratch_free (gpointer scratch)
{
  Scratch *self = scratch;

  g_array_unref (self->symbols);
  g_array_unref (self->heap);
  g_string_free (self->affixed, TRUE);
  g_free (self->cache);
  g_free (self);
}

static inline void
add_symbol (GArray *symbols, gint32 id, guint32 length)
{
  Symbol symbol = { id, length, (gint32) symbols->len - 1, (gint32) symbols->len + 1 };

  g_array_append_val (symbols, symbol);
}

/* A token for each character, or its bytes, or the unknown token; what none fits is dropped. */
static void
start_symbols (const PeftBpe *self, Scratch *scratch, const char *text, gsize length)
{
  GArray *symbols = scratch->symbols;
  gint32 unk_id = self->parent.unk_id;
  guint32 unk_length = 0; /* > 0: an unknown token that may still grow */

  g_array_set_size (symbols, 0);
  for (gsize i = 0; i < length;)
    {
      gsize n = peft_text_char_length (text + i);
      const char *c = text + i;
      gsize c_length = n;
      gint32 id;
      gboolean bytes;

      if ((self->prefix != NULL && i > 0) || (self->suffix != NULL && i + n == length))
        {
          g_string_assign (scratch->affixed, self->prefix != NULL && i > 0 ? self->prefix : "");
          g_string_append_len (scratch->affixed, c, n);
          if (self->suffix != NULL && i + n == length)
            g_string_append (scratch->affixed, self->suffix);
          c = scratch->affixed->str;
          c_length = scratch->affixed->len;
          id = peft_vocab_lookup (self->parent.vocab, c, c_length);
        }
      else
        {
          gunichar code = g_utf8_get_char (c);

          id = code < PEFT_BPE_N_DIRECT ? self->char_ids[code]
                                        : peft_vocab_lookup (self->parent.vocab, c, n);
        }
      i += n;
      if (id >= 0)
        {
          if (unk_length > 0)
            add_symbol (symbols, unk_id, unk_length);
          unk_length = 0;
          add_symbol (symbols, id, n);
          continue;
        }
      bytes = self->byte_fallback;
      for (gsize j = 0; bytes && j < c_length; j++)
        bytes = self->byte_ids[(guint8) c[j]] >= 0;
      if (bytes)
        {
          /* A pending unknown token stays behind them, as it does in Hugging Face's tokenizers. */
          for (gsize j = 0; j < c_length; j++)
            add_symbol (symbols, self->byte_ids[(guint8) c[j]], 1);
          continue;
        }
      if (unk_id < 0)
        continue;
      if (unk_length > 0 && !self->fuse_unk)
        {
          add_symbol (symbols, unk_id, unk_length);
          unk_length = 0;
        }
      unk_length += n;
    }
  if (unk_length > 0)
    add_symbol (symbols, unk_id, unk_length);
  if (symbols->len > 0)
    g_array_index (symbols, Symbol, symbols->len - 1).next = -1;
}

/* Few symbols: the ranks of all pairs beside each other. */
static guint
merge_scanned (const PeftBpe *self, Symbol *symbols, guint n)
{
  guint32 ranks[MAX_SCANNED];
  gint32 ids[MAX_SCANNED];

  for (guint i = 0; i + 1 < n; i++)
    {
      const PeftBpeMerge *merge = peft_bpe_find_merge (self, symbols[i].id, symbols[i + 1].id);
      ranks[i] = merge != NULL ? merge->rank : G_MAXUINT32;
      ids[i] = merge != NULL ? merge->id : -1;
    }
  while (n > 1)
    {
      guint best = 0;
      const PeftBpeMerge *merge;

      for (guint i = 1; i + 1 < n; i++)
        if (ranks[i] < ranks[best])
          best = i;
      if (ranks[best] == G_MAXUINT32)
        break;
      symbols[best].id = ids[best];
      symbols[best].length += symbols[best + 1].length;
      n--;
      for (guint i = best + 1; i < n; i++)
        symbols[i] = symbols[i + 1];
      for (guint i = best + 1; i + 1 < n; i++)
        {
          ranks[i] = ranks[i + 1];
          ids[i] = ids[i + 1];
        }
      for (guint i = best > 0 ? best - 1 : 0; i <= best && i + 1 < n; i++)
        {
          merge = peft_bpe_find_merge (self, symbols[i].id, symbols[i + 1].id);
          ranks[i] = merge != NULL ? merge->rank : G_MAXUINT32;
          ids[i] = merge != NULL ? merge->id : -1;
        }
    }
  return n;
}

static inline gboolean
is_before (const Candidate *a, const Candidate *b)
{
  return a->rank != b->rank ? a->rank < b->rank : a->position < b->position;
}

static void
heap_push (GArray *heap, const PeftBpeMerge *merge, gint32 position)
{
  Candidate candidate = { merge->rank, position, merge->id };
  guint i = heap->len;
  Candidate *h;

  g_array_append_val (heap, candidate);
  h = (Candidate *) heap->data;
  while (i > 0 && is_before (&candidate, &h[(i - 1) / 2]))
    {
      h[i] = h[(i - 1) / 2];
      i = (i - 1) / 2;
    }
  h[i] = candidate;
}

static Candidate
heap_pop (GArray *heap)
{
  Candidate *h = (Candidate *) heap->data;
  Candidate top = h[0], last = h[heap->len - 1];
  guint n = heap->len - 1;
  guint i = 0;

  for (;;)
    {
      guint child = 2 * i + 1;

      if (child >= n)
        break;
      if (child + 1 < n && is_before (&h[child + 1], &h[child]))
        child++;
      if (!is_before (&h[child], &last))
        break;
      h[i] = h[child];
      i = child;
    }
  h[i] = last;
  g_array_set_size (heap, n);
  return top;
}

/* Many symbols: a linked list and a heap of pairs, n log n. */
static guint
merge_heap (const PeftBpe *self, Scratch *scratch)
{
  Symbol *symbols = (Symbol *) scratch->symbols->data;
  guint n = scratch->symbols->len;
  const PeftBpeMerge *merge;
  guint kept = 0;

  g_array_set_size (scratch->heap, 0);
  for (guint i = 0; i + 1 < n; i++)
    if ((merge = peft_bpe_find_merge (self, symbols[i].id, symbols[i + 1].id)) != NULL)
      heap_push (scratch->heap, merge, (gint32) i);
  while (scratch->heap->len > 0)
    {
      Candidate top = heap_pop (scratch->heap);
      Symbol *left = &symbols[top.position];
      Symbol *right;

      if (left->length == 0 || left->next < 0)
        continue;
      right = &symbols[left->next];
      merge = peft_bpe_find_merge (self, left->id, right->id);
      if (merge == NULL || merge->id != top.id)
        continue; /* one of the two has grown since */
      left->id = merge->id;
      left->length += right->length;
      left->next = right->next;
      right->length = 0;
      if (left->next >= 0)
        {
          symbols[left->next].previous = top.position;
          merge = peft_bpe_find_merge (self, left->id, symbols[left->next].id);
          if (merge != NULL)
            heap_push (scratch->heap, merge, top.position);
        }
      if (left->previous >= 0)
        {
          merge = peft_bpe_find_merge (self, symbols[left->previous].id, left->id);
          if (merge != NULL)
            heap_push (scratch->heap, merge, left->previous);
        }
    }
  for (guint i = 0; i < n; i++)
    if (symbols[i].length > 0)
      symbols[kept++] = symbols[i];
  return kept;
}

static void
cache_put (Cached *cached, guint64 hash, const char *text, gsize length, const Symbol *symbols,
           guint n)
{
  for (guint i = 0; i < n; i++)
    if (symbols[i].length > G_MAXUINT8)
      return;
  cached->hash = hash;
  cached->n_bytes = (guint8) length;
  cached->n_tokens = (guint8) n;
  memcpy (cached->bytes, text, length);
  for (guint i = 0; i < n; i++)
    {
      cached->ids[i] = symbols[i].id;
      cached->lengths[i] = (guint8) symbols[i].length;
    }
}

void
peft_bpe_split (const PeftTokenModel *model, gpointer data, const char *text, gsize length,
                GArray *tokens)
{
  const PeftBpe *self = (const PeftBpe *) model;
  Scratch *scratch = data;
  Cached *cached = NULL;
  guint64 hash = 0;
  Symbol *symbols;
  PeftToken *out;
  guint n;

  if (length <= MAX_CACHED_BYTES)
    {
      hash = peft_text_hash (text, length);
      cached = &scratch->cache[hash & (N_CACHED - 1)];
      if (cached->hash == hash && cached->n_bytes == length &&
          memcmp (cached->bytes, text, length) == 0)
        {
          n = cached->n_tokens;
          if (n == 0)
            return;
          g_array_set_size (tokens, tokens->len + n);
          out = &g_array_index (tokens, PeftToken, tokens->len - n);
          for (guint i = 0; i < n; i++)
            {
              out[i].id = cached->ids[i];
              out[i].length = cached->lengths[i];
            }
          return;
        }
    }
  if (self->ignore_merges)
    {
      PeftToken token = { peft_vocab_lookup (model->vocab, text, length), (guint32) length };

      if (token.id >= 0)
        {
          Symbol whole = { token.id, token.length, -1, -1 };

          g_array_append_val (tokens, token);
          if (cached != NULL)
            cache_put (cached, hash, text, length, &whole, 1);
          return;
        }
    }
  start_symbols (self, scratch, text, length);
  symbols = (Symbol *) scratch->symbols->data;
  n = scratch->symbols->len <= MAX_SCANNED
          ? merge_scanned (self, symbols, scratch->symbols->len)
          : merge_heap (self, scratch);
  for (guint i = 0; i < n; i++)
    {
      PeftToken token = { symbols[i].id, symbols[i].length };

      g_array_append_val (tokens, token);
    }
  if (cached != NULL && n <= MAX_CACHED_TOKENS)
    cache_put (cached, hash, text, length, symbols, n);
}
