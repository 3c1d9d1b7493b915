/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-bpe-private.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#include "base/peft-error.h"
#include "text/peft-text-util.h"

void
peft_bpe_free (PeftTokenModel *model)
{
  PeftBpe *self = (PeftBpe *) model;

  peft_vocab_free (model->vocab);
  g_free (self->prefix);
  g_free (self->suffix);
  g_free (self->merges);
  g_free (self);
}

static PeftBpeMerge *
new_slots (gsize n)
{
  PeftBpeMerge *slots = g_new (PeftBpeMerge, n);

  for (gsize i = 0; i < n; i++)
    slots[i].pair = G_MAXUINT64;
  return slots;
}

static void
fill_tables (PeftBpe *self)
{
  for (guint c = 0; c < PEFT_BPE_N_DIRECT; c++)
    {
      char text[6];
      int n = g_unichar_to_utf8 (c, text);
      self->char_ids[c] = peft_vocab_lookup (self->parent.vocab, text, n);
    }
  for (guint b = 0; b < 256; b++)
    {
      char text[8];
      int n = g_snprintf (text, sizeof text, "<0x%02X>", b);
      self->byte_ids[b] = peft_vocab_lookup (self->parent.vocab, text, n);
    }
}

static gboolean
set_affix (char **out, const char *affix, const char *name, GError **error)
{
  if (affix == NULL || *affix == 0)
    return TRUE;
  if (strlen (affix) > PEFT_BPE_MAX_AFFIX_BYTES)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT, _("%s: at most %u bytes are allowed"),
                   name, PEFT_BPE_MAX_AFFIX_BYTES);
      return FALSE;
    }
  *out = g_strdup (affix);
  return TRUE;
}

PeftBpe *
peft_bpe_new (PeftVocab *vocab, const PeftBpeOptions *options, GError **error)
{
  PeftBpe *self = g_new0 (PeftBpe, 1);
  g_autoptr (PeftTokenModel) model = &self->parent;

  model->klass = &peft_bpe_class;
  model->vocab = vocab;
  model->unk_id = -1;
  self->fuse_unk = options->fuse_unk;
  self->byte_fallback = options->byte_fallback;
  self->ignore_merges = options->ignore_merges;
  self->n_slots = 1024;
  self->merges = new_slots (self->n_slots);
  if (!set_affix (&self->prefix, options->prefix, "continuing_subword_prefix", error) ||
      !set_affix (&self->suffix, options->suffix, "end_of_word_suffix", error))
    return NULL;
  self->prefix_length = self->prefix != NULL ? strlen (self->prefix) : 0;
  if (self->byte_fallback && (self->prefix != NULL || self->suffix != NULL))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _("byte_fallback together with continuing_subword_prefix or "
                     "end_of_word_suffix is not supported"));
      return NULL;
    }
  if (options->unk_token != NULL)
    {
      model->unk_id = peft_vocab_lookup (vocab, options->unk_token, strlen (options->unk_token));
      if (model->unk_id < 0)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                       _("unk_token: “%s” is not in the vocabulary"), options->unk_token);
          return NULL;
        }
    }
  fill_tables (self);
  g_steal_pointer (&model);
  return self;
}

static void
insert_merge (PeftBpe *self, PeftBpeMerge merge)
{
  PeftBpeMerge *slot;

  if ((self->n_merges + 1) * 2 > self->n_slots)
    {
      g_autofree PeftBpeMerge *old = self->merges;
      gsize n_old = self->n_slots;

      self->n_slots *= 4;
      self->n_merges = 0;
      self->merges = new_slots (self->n_slots);
      for (gsize i = 0; i < n_old; i++)
        if (old[i].pair != G_MAXUINT64)
          insert_merge (self, old[i]);
    }
  slot = (PeftBpeMerge *) peft_bpe_find_merge (self, (gint32) (merge.pair >> 32),
                                               (gint32) merge.pair);
  if (slot == NULL)
    {
      gsize i = (gsize) ((merge.pair * 0x9e3779b97f4a7c15u) >> 32) & (self->n_slots - 1);

      while (self->merges[i].pair != G_MAXUINT64)
        i = (i + 1) & (self->n_slots - 1);
      slot = &self->merges[i];
      self->n_merges++;
    }
  *slot = merge;
}

static gint32
find_part (PeftBpe *self, const char *text, gsize length, GError **error)
{
  gint32 id = peft_vocab_lookup (self->parent.vocab, text, length);

  if (id < 0)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE, _("“%.*s” is not in the vocabulary"),
                 (int) MIN (length, 200), text);
  return id;
}

gboolean
peft_bpe_add_merge (PeftBpe *self, const char *left, gsize left_length, const char *right,
                    gsize right_length, GError **error)
{
  g_autoptr (GString) joined = NULL;
  gint32 left_id = find_part (self, left, left_length, error);
  gint32 right_id = left_id < 0 ? -1 : find_part (self, right, right_length, error);
  PeftBpeMerge merge;

  if (right_id < 0)
    return FALSE;
  if (self->next_rank >= PEFT_BPE_MAX_MERGES)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT, _("at most %u merges are allowed"),
                   PEFT_BPE_MAX_MERGES);
      return FALSE;
    }
  if (right_length < self->prefix_length)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("“%.*s” is shorter than continuing_subword_prefix"),
                   (int) MIN (right_length, 200), right);
      return FALSE;
    }
  joined = g_string_new_len (left, left_length);
  g_string_append_len (joined, right + self->prefix_length, right_length - self->prefix_length);
  merge.id = find_part (self, joined->str, joined->len, error);
  if (merge.id < 0)
    return FALSE;
  merge.pair = (guint64) (guint32) left_id << 32 | (guint32) right_id;
  merge.rank = self->next_rank++;
  insert_merge (self, merge);
  return TRUE;
}

gboolean
peft_bpe_add_merge_line (PeftBpe *self, const char *line, gsize length, GError **error)
{
  const char *space = memchr (line, ' ', length);
  gsize left;

  if (space == NULL || memchr (space + 1, ' ', length - (space + 1 - line)) != NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("expected two tokens and one space, found “%.*s”"), (int) MIN (length, 200),
                   line);
      return FALSE;
    }
  left = space - line;
  return peft_bpe_add_merge (self, line, left, space + 1, length - left - 1, error);
}

typedef struct
{
  float score;
  guint32 left_chars, right_chars;
  gint32 id, left_id, right_id;
  guint32 left_bytes;
} Cut;

static int
compare_cuts (gconstpointer a, gconstpointer b)
{
  const Cut *x = a, *y = b;

  if (x->score != y->score)
    return x->score > y->score ? -1 : 1;
  if (x->left_chars != y->left_chars)
    return x->left_chars > y->left_chars ? -1 : 1;
  if (x->right_chars != y->right_chars)
    return x->right_chars > y->right_chars ? -1 : 1;
  if (x->id != y->id)
    return x->id < y->id ? -1 : 1;
  return x->left_id != y->left_id ? (x->left_id < y->left_id ? -1 : 1)
                                  : (x->right_id > y->right_id) - (x->right_id < y->right_id);
}

gboolean
peft_bpe_add_merges_from_scores (PeftBpe *self, const float *scores, gsize n, GError **error)
{
  g_autoptr (GArray) cuts = g_array_new (FALSE, FALSE, sizeof (Cut));
  const PeftVocab *vocab = self->parent.vocab;

  for (gsize id = 0; id < n; id++)
    {
      gsize length = 0;
      const char *text = peft_vocab_get_text (vocab, (gint32) id, &length);
      guint32 chars = text != NULL ? (guint32) g_utf8_strlen (text, length) : 0;
      guint32 k = 1;

      if (isnan (scores[id]))
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                       _("the score of token %zu is not a number"), id);
          return FALSE;
        }
      /* Of a text given twice, the id that it is looked up by counts. */
      if (text == NULL || peft_vocab_lookup (vocab, text, length) != (gint32) id)
        continue;
      for (gsize i = length > 0 ? peft_text_char_length (text) : 1; i < length;
           i += peft_text_char_length (text + i), k++)
        {
          Cut cut = { scores[id], k, chars - k, (gint32) id, -1, -1, (guint32) i };

          cut.left_id = peft_vocab_lookup (vocab, text, i);
          if (cut.left_id < 0)
            continue;
          cut.right_id = peft_vocab_lookup (vocab, text + i, length - i);
          if (cut.right_id >= 0)
            g_array_append_val (cuts, cut);
        }
      if (cuts->len > PEFT_BPE_MAX_MERGES)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT, _("at most %u merges are allowed"),
                       PEFT_BPE_MAX_MERGES);
          return FALSE;
        }
    }
  g_array_sort (cuts, compare_cuts);
  for (guint i = 0; i < cuts->len; i++)
    {
      const Cut *cut = &g_array_index (cuts, Cut, i);
      PeftBpeMerge merge = { (guint64) (guint32) cut->left_id << 32 | (guint32) cut->right_id,
                             self->next_rank++, cut->id };

      insert_merge (self, merge);
    }
  return TRUE;
}
