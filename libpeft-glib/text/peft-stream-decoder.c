/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "text/peft-stream-decoder.h"

#include "text/peft-tokenizer-private.h"

struct _PeftStreamDecoder
{
  PeftTokenizerCore *tokenizer;
  PeftDecoding *decoding;
  gboolean skip_special;
};

PeftStreamDecoder *
peft_stream_decoder_new (PeftTokenizerCore *tokenizer, gboolean skip_special)
{
  PeftStreamDecoder *self = g_new0 (PeftStreamDecoder, 1);

  self->tokenizer = peft_tokenizer_core_ref (tokenizer);
  self->decoding = peft_decoding_new (tokenizer->decoder);
  self->skip_special = skip_special;
  return self;
}

void
peft_stream_decoder_free (PeftStreamDecoder *self)
{
  if (self == NULL)
    return;
  peft_decoding_free (self->decoding);
  peft_tokenizer_core_unref (self->tokenizer);
  g_free (self);
}

gboolean
peft_stream_decoder_push (PeftStreamDecoder *self, gint32 id, GString *out, GError **error)
{
  const PeftAddedToken *added = peft_added_tokens_by_id (self->tokenizer->added, id);
  const char *text;
  gsize length;

  if (added != NULL && added->special && self->skip_special)
    return TRUE;
  if (added != NULL)
    return peft_decoding_push (self->decoding, added->spelled, added->spelled_length, out, error);
  text = peft_vocab_get_text (self->tokenizer->model->vocab, id, &length);
  return text == NULL || peft_decoding_push (self->decoding, text, length, out, error);
}

gboolean
peft_stream_decoder_finish (PeftStreamDecoder *self, GString *out, GError **error)
{
  return peft_decoding_finish (self->decoding, out, error);
}
