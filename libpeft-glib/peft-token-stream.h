/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#if !defined (PEFT_GLIB_INSIDE) && !defined (PEFT_GLIB_COMPILATION)
#error "Only <peft-glib.h> can be included directly."
#endif

#include "peft-tokenizer.h"

G_BEGIN_DECLS

#define PEFT_TYPE_TOKEN_STREAM (peft_token_stream_get_type ())

PEFT_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (PeftTokenStream, peft_token_stream, PEFT, TOKEN_STREAM, GObject)

PEFT_AVAILABLE_IN_1_0
PeftTokenStream *peft_token_stream_new (PeftTokenizer *tokenizer, gboolean skip_special);
PEFT_AVAILABLE_IN_1_0
char *peft_token_stream_push (PeftTokenStream *self, gint32 id, GError **error);
PEFT_AVAILABLE_IN_1_0
char *peft_token_stream_finish (PeftTokenStream *self, GError **error);

G_END_DECLS
