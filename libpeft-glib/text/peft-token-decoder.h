/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-json.h"

/* The "decoder" of a tokenizer.json: makes text out of the texts of tokens. It works on a stream, so
 * that text comes out as soon as no later token can change it; decoding everything at once is the
 * same with one finish at the end. */

#define PEFT_TOKEN_DECODER_MAX_COUNT (1u << 20) /* characters that Strip takes away */

typedef struct _PeftTokenDecoder PeftTokenDecoder;

/* json NULL or null: tokens are joined with spaces. */
PeftTokenDecoder *peft_token_decoder_new_from_json (const PeftJson *json, GError **error);
void peft_token_decoder_free (PeftTokenDecoder *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftTokenDecoder, peft_token_decoder_free)

/* Adds transformers' clean_up_tokenization: no space before punctuation and English clitics. */
void peft_token_decoder_add_clean_up (PeftTokenDecoder *self);

/* One decoding. The decoder has to outlive it. */
typedef struct _PeftDecoding PeftDecoding;

PeftDecoding *peft_decoding_new (const PeftTokenDecoder *decoder);
void peft_decoding_free (PeftDecoding *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftDecoding, peft_decoding_free)

/* Appends to out the text that is final now: always whole characters. Only the regular expression of
 * a Replace can fail, by crossing a limit. */
gboolean peft_decoding_push (PeftDecoding *self, const char *token, gsize length, GString *out,
                             GError **error);
gboolean peft_decoding_finish (PeftDecoding *self, GString *out, GError **error);
