/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Token texts and ids, both directions. Ids may have holes. Where a text or an id is given twice the
 * later entry wins, as in the maps of Hugging Face's tokenizers. */

#define PEFT_VOCAB_MAX_ID ((1u << 22) - 1u)
#define PEFT_VOCAB_MAX_TOKEN_BYTES 65535u

typedef struct _PeftVocab PeftVocab;

PeftVocab *peft_vocab_new (void);
void peft_vocab_free (PeftVocab *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftVocab, peft_vocab_free)

/* Errors name the token: id out of range, text too long or not UTF-8. */
gboolean peft_vocab_add (PeftVocab *self, const char *text, gsize length, gint64 id,
                         GError **error);
/* -1 when absent. */
gint32 peft_vocab_lookup (const PeftVocab *self, const char *text, gsize length);
/* NULL when absent; not NUL-terminated. */
const char *peft_vocab_get_text (const PeftVocab *self, gint32 id, gsize *length);
gsize peft_vocab_get_count (const PeftVocab *self); /* different texts */
gint32 peft_vocab_get_max_id (const PeftVocab *self); /* -1 when empty */
