/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "text/peft-stream-decoder.h"

/* The text of one generated sequence: decoded as it comes, held back where it may become a stop string. */

typedef struct _PeftGenerateText PeftGenerateText;

/* stop: NULL or NULL-terminated; must outlive it. */
PeftGenerateText *peft_generate_text_new (PeftTokenizerCore *tokenizer, const char *const *stop);
void peft_generate_text_free (PeftGenerateText *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftGenerateText, peft_generate_text_free)

/* *fresh: what is final now, valid until the next call. *stopped: a stop string has come; the text ends before it. */
gboolean peft_generate_text_push (PeftGenerateText *self, gint32 id, const char **fresh,
                                  gboolean *stopped, GError **error);
gboolean peft_generate_text_finish (PeftGenerateText *self, const char **fresh, gboolean *stopped,
                                    GError **error);
/* All of it, (transfer full); after finish or a stop. */
char *peft_generate_text_steal (PeftGenerateText *self);
