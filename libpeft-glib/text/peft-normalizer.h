/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-json.h"
#include "text/peft-aligned-text.h"
#include "text/peft-regex.h"

/* The "normalizer" of a tokenizer.json: rewrites text before it is cut. */

#define PEFT_NORMALIZER_MAX_BYTES (512u << 20) /* of text, where Replace makes it longer */

typedef struct _PeftNormalizer PeftNormalizer;

PeftNormalizer *peft_normalizer_new_from_json (const PeftJson *json, GError **error);
void peft_normalizer_free (PeftNormalizer *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftNormalizer, peft_normalizer_free)

/* Replaces *text by what it becomes. self NULL changes nothing. */
gboolean peft_normalizer_apply (const PeftNormalizer *self, PeftRegexScratch *scratch,
                                PeftAlignedText **text, GError **error);

/* One of g_utf8_normalize's forms, in peft-normalizer-unicode.c. */
void peft_normalize_unicode (GNormalizeMode mode, PeftAlignedText **text);
