/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-vocab.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "text/peft-text-util.h"

typedef struct
{
  gsize offset; /* in the arena */
  guint32 length;
  gint32 id;
} Entry;

struct _PeftVocab
{
  GString *arena;
  GArray *entries; /* Entry */
  GArray *by_id;   /* gint32: the entry of an id, -1 for a hole */
  gint32 *buckets; /* entry or -1; open addressing, at most half full */
  gsize n_buckets; /* a power of two */
  gsize n_texts;
};

PeftVocab *
peft_vocab_new (void)
{
  PeftVocab *self = g_new0 (PeftVocab, 1);

  self->arena = g_string_new (NULL);
  self->entries = g_array_new (FALSE, FALSE, sizeof (Entry));
  self->by_id = g_array_new (FALSE, FALSE, sizeof (gint32));
  self->n_buckets = 1024;
  self->buckets = g_new (gint32, self->n_buckets);
  memset (self->buckets, 0xff, self->n_buckets * sizeof (gint32));
  return self;
}

void
peft_vocab_free (PeftVocab *self)
{
  if (self == NULL)
    return;
  g_string_free (self->arena, TRUE);
  g_array_unref (self->entries);
  g_array_unref (self->by_id);
  g_free (self->buckets);
  g_free (self);
}

/* The bucket that holds the text, or the empty one where it belongs. */
static gint32 *
find_bucket (const PeftVocab *self, const char *text, gsize length)
{
  gsize mask = self->n_buckets - 1;
  gsize i = peft_text_hash (text, length) & mask;

  for (;; i = (i + 1) & mask)
    {
      const Entry *entry;

      if (self->buckets[i] < 0)
        return &self->buckets[i];
      entry = &g_array_index (self->entries, Entry, self->buckets[i]);
      if (entry->length == length && memcmp (self->arena->str + entry->offset, text, length) == 0)
        return &self->buckets[i];
    }
}

static void
grow (PeftVocab *self)
{
  g_autofree gint32 *old = g_steal_pointer (&self->buckets);
  gsize n_old = self->n_buckets;

  self->n_buckets *= 4;
  self->buckets = g_new (gint32, self->n_buckets);
  memset (self->buckets, 0xff, self->n_buckets * sizeof (gint32));
  for (gsize i = 0; i < n_old; i++)
    if (old[i] >= 0)
      {
        const Entry *entry = &g_array_index (self->entries, Entry, old[i]);
        *find_bucket (self, self->arena->str + entry->offset, entry->length) = old[i];
      }
}

gboolean
peft_vocab_add (PeftVocab *self, const char *text, gsize length, gint64 id, GError **error)
{
  Entry entry = { self->arena->len, (guint32) length, (gint32) id };
  gint32 hole = -1;
  gint32 *bucket;
  gint32 index = (gint32) self->entries->len;

  if (length > PEFT_VOCAB_MAX_TOKEN_BYTES)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                   _("token %" PRIi64 " has %zu"
                     " bytes, at most %u are allowed"),
                   id, length, PEFT_VOCAB_MAX_TOKEN_BYTES);
      return FALSE;
    }
  if (!peft_text_is_utf8 (text, length))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("token %" PRIi64 " is not valid UTF-8"), id);
      return FALSE;
    }
  if (id < 0 || id > PEFT_VOCAB_MAX_ID || index > (gint32) PEFT_VOCAB_MAX_ID)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                   _("token “%.*s” has the id %" PRIi64 ", expected 0 to %u"),
                   (int) MIN (length, 80), text, id, PEFT_VOCAB_MAX_ID);
      return FALSE;
    }
  g_string_append_len (self->arena, text, length);
  g_array_append_val (self->entries, entry);
  while (self->by_id->len <= (guint) id)
    g_array_append_val (self->by_id, hole);
  g_array_index (self->by_id, gint32, id) = index;

  if ((self->n_texts + 1) * 2 > self->n_buckets)
    grow (self);
  bucket = find_bucket (self, text, length);
  if (*bucket < 0)
    self->n_texts++;
  *bucket = index;
  return TRUE;
}

gint32
peft_vocab_lookup (const PeftVocab *self, const char *text, gsize length)
{
  gint32 index = *find_bucket (self, text, length);

  return index < 0 ? -1 : g_array_index (self->entries, Entry, index).id;
}

const char *
peft_vocab_get_text (const PeftVocab *self, gint32 id, gsize *length)
{
  const Entry *entry;
  gint32 index;

  if (id < 0 || (guint) id >= self->by_id->len)
    return NULL;
  index = g_array_index (self->by_id, gint32, id);
  if (index < 0)
    return NULL;
  entry = &g_array_index (self->entries, Entry, index);
  *length = entry->length;
  return self->arena->str + entry->offset;
}

gsize
peft_vocab_get_count (const PeftVocab *self)
{
  return self->n_texts;
}

gint32
peft_vocab_get_max_id (const PeftVocab *self)
{
  return (gint32) self->by_id->len - 1;
}
