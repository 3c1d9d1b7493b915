/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-token-stream.h"

#include "peft-tokenizer-private.h"
#include "text/peft-stream-decoder.h"

/**
 * PeftTokenStream:
 *
 * Decodes ids that come one by one.
 *
 * What it gives out is final and never ends within a character; all of it together is what
 * [method@Tokenizer.decode] gives for all ids. Instances are confined to their thread.
 *
 * Since: 1.0
 */
struct _PeftTokenStream
{
  GObject parent_instance;

  PeftStreamDecoder *decoder;
};

G_DEFINE_FINAL_TYPE (PeftTokenStream, peft_token_stream, G_TYPE_OBJECT)

static void
peft_token_stream_finalize (GObject *object)
{
  PeftTokenStream *self = PEFT_TOKEN_STREAM (object);

  g_clear_pointer (&self->decoder, peft_stream_decoder_free);
  G_OBJECT_CLASS (peft_token_stream_parent_class)->finalize (object);
}

static void
peft_token_stream_class_init (PeftTokenStreamClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = peft_token_stream_finalize;
}

static void
peft_token_stream_init (PeftTokenStream *self)
{
}

/**
 * peft_token_stream_new:
 * @tokenizer: the tokenizer of the ids
 * @skip_special: whether special tokens are left out
 *
 * Begins a text.
 *
 * Returns: (transfer full): a stream
 *
 * Since: 1.0
 */
PeftTokenStream *
peft_token_stream_new (PeftTokenizer *tokenizer, gboolean skip_special)
{
  PeftTokenStream *self;

  g_return_val_if_fail (PEFT_IS_TOKENIZER (tokenizer), NULL);

  self = g_object_new (PEFT_TYPE_TOKEN_STREAM, NULL);
  self->decoder
      = peft_stream_decoder_new (peft_tokenizer_get_core (tokenizer), skip_special);
  return self;
}

/**
 * peft_token_stream_push:
 * @self: a stream
 * @id: the next id
 * @error: return location for an error
 *
 * Takes an id.
 *
 * Returns: (transfer full): the text that has become final, often empty
 *
 * Since: 1.0
 */
char *
peft_token_stream_push (PeftTokenStream *self, gint32 id, GError **error)
{
  g_autoptr (GString) out = g_string_new (NULL);

  g_return_val_if_fail (PEFT_IS_TOKEN_STREAM (self), NULL);

  if (!peft_stream_decoder_push (self->decoder, id, out, error))
    return NULL;
  return g_string_free (g_steal_pointer (&out), FALSE);
}

/**
 * peft_token_stream_finish:
 * @self: a stream
 * @error: return location for an error
 *
 * Ends the text.
 *
 * Returns: (transfer full): what was left, U+FFFD for bytes that became no character
 *
 * Since: 1.0
 */
char *
peft_token_stream_finish (PeftTokenStream *self, GError **error)
{
  g_autoptr (GString) out = g_string_new (NULL);

  g_return_val_if_fail (PEFT_IS_TOKEN_STREAM (self), NULL);

  if (!peft_stream_decoder_finish (self->decoder, out, error))
    return NULL;
  return g_string_free (g_steal_pointer (&out), FALSE);
}
