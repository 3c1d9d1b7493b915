/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "train/peft-generate-text.h"

#include <string.h>

struct _PeftGenerateText
{
  PeftStreamDecoder *decoder;
  const char *const *stop;
  GString *text;
  GString *fresh;
  gsize given; /* bytes of text handed out */
  gboolean stopped;
};

PeftGenerateText *
peft_generate_text_new (PeftTokenizerCore *tokenizer, const char *const *stop)
{
  PeftGenerateText *self = g_new0 (PeftGenerateText, 1);

  self->decoder = peft_stream_decoder_new (tokenizer, TRUE);
  self->stop = stop;
  self->text = g_string_new (NULL);
  self->fresh = g_string_new (NULL);
  return self;
}

void
peft_generate_text_free (PeftGenerateText *self)
{
  peft_stream_decoder_free (self->decoder);
  if (self->text != NULL)
    g_string_free (self->text, TRUE);
  g_string_free (self->fresh, TRUE);
  g_free (self);
}

/* Where the first stop string starts; its absence is the text's length. */
static gsize
find_stop (PeftGenerateText *self)
{
  gsize first = self->text->len;

  for (const char *const *stop = self->stop; stop != NULL && *stop != NULL; stop++)
    {
      const char *at = **stop != '\0' ? strstr (self->text->str + self->given, *stop) : NULL;
      if (at != NULL)
        first = MIN (first, (gsize) (at - self->text->str));
    }
  return first;
}

/* The text up to where its end could be the beginning of a stop string. */
static gsize
find_safe_end (PeftGenerateText *self)
{
  for (gsize at = self->given; at < self->text->len; at++)
    for (const char *const *stop = self->stop; stop != NULL && *stop != NULL; stop++)
      if (self->text->len - at < strlen (*stop)
          && memcmp (*stop, self->text->str + at, self->text->len - at) == 0)
        return at;
  return self->text->len;
}

static void
give (PeftGenerateText *self, gboolean at_end, const char **fresh, gboolean *stopped)
{
  gsize end = find_stop (self);

  if (end < self->text->len)
    {
      self->stopped = TRUE;
      g_string_truncate (self->text, end);
    }
  else if (!at_end)
    end = find_safe_end (self);
  g_string_truncate (self->fresh, 0);
  g_string_append_len (self->fresh, self->text->str + self->given, end - self->given);
  self->given = end;
  *fresh = self->fresh->str;
  *stopped = self->stopped;
}

gboolean
peft_generate_text_push (PeftGenerateText *self, gint32 id, const char **fresh, gboolean *stopped,
                         GError **error)
{
  if (!peft_stream_decoder_push (self->decoder, id, self->text, error))
    return FALSE;
  give (self, FALSE, fresh, stopped);
  return TRUE;
}

gboolean
peft_generate_text_finish (PeftGenerateText *self, const char **fresh, gboolean *stopped,
                           GError **error)
{
  if (!self->stopped && !peft_stream_decoder_finish (self->decoder, self->text, error))
    return FALSE;
  give (self, TRUE, fresh, stopped);
  return TRUE;
}

char *
peft_generate_text_steal (PeftGenerateText *self)
{
  return g_string_free (g_steal_pointer (&self->text), FALSE);
}
