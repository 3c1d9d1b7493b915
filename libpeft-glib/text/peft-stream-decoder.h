/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "text/peft-tokenizer-core.h"

/* Text of ids that come one by one. What is given out is final and never ends within a character;
 * all of it together is what decoding all ids at once gives. */

typedef struct _PeftStreamDecoder PeftStreamDecoder;

PeftStreamDecoder *peft_stream_decoder_new (PeftTokenizerCore *tokenizer, gboolean skip_special);
void peft_stream_decoder_free (PeftStreamDecoder *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftStreamDecoder, peft_stream_decoder_free)

/* Both append to out. */
gboolean peft_stream_decoder_push (PeftStreamDecoder *self, gint32 id, GString *out,
                                   GError **error);
gboolean peft_stream_decoder_finish (PeftStreamDecoder *self, GString *out, GError **error);
