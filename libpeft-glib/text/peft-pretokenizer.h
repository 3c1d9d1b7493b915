/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-json.h"
#include "text/peft-pieces.h"

/* The "pre_tokenizer" of a tokenizer.json: cuts text into the pieces that tokens do not cross. */

typedef struct _PeftPretokenizer PeftPretokenizer;

PeftPretokenizer *peft_pretokenizer_new_from_json (const PeftJson *json, GError **error);
void peft_pretokenizer_free (PeftPretokenizer *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftPretokenizer, peft_pretokenizer_free)

/* Does it look at where in the source a piece starts? Then its input must be tracked. */
gboolean peft_pretokenizer_needs_spans (const PeftPretokenizer *self);
/* self NULL changes nothing. */
gboolean peft_pretokenizer_apply (const PeftPretokenizer *self, PeftRegexScratch *scratch,
                                  PeftPieces *pieces, GError **error);
