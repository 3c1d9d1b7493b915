/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#if !defined (PEFT_GLIB_INSIDE) && !defined (PEFT_GLIB_COMPILATION)
#error "Only <peft-glib.h> can be included directly."
#endif

#include <gio/gio.h>
#include "base/peft-version-macros.h"

G_BEGIN_DECLS

#define PEFT_TYPE_TOKENIZER (peft_tokenizer_get_type ())

PEFT_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (PeftTokenizer, peft_tokenizer, PEFT, TOKENIZER, GObject)

PEFT_AVAILABLE_IN_1_0
PeftTokenizer *peft_tokenizer_load (const char *model, GError **error);
PEFT_AVAILABLE_IN_1_0
gint32 *peft_tokenizer_encode (PeftTokenizer *self, const char *text, gboolean add_special,
                               gsize *n_ids, GError **error);
PEFT_AVAILABLE_IN_1_0
gint32 *peft_tokenizer_encode_bytes (PeftTokenizer *self, GBytes *text, gboolean add_special,
                                     gsize *n_ids, GError **error);
PEFT_AVAILABLE_IN_1_0
char *peft_tokenizer_decode (PeftTokenizer *self, const gint32 *ids, gsize n_ids,
                             gboolean skip_special, GError **error);
PEFT_AVAILABLE_IN_1_0
GBytes *peft_tokenizer_decode_bytes (PeftTokenizer *self, const gint32 *ids, gsize n_ids,
                                     gboolean skip_special, GError **error);
PEFT_AVAILABLE_IN_1_0
char *peft_tokenizer_encode_json (PeftTokenizer *self, const char *json, gboolean add_special,
                                  GError **error);
PEFT_AVAILABLE_IN_1_0
char *peft_tokenizer_decode_json (PeftTokenizer *self, const char *json, gboolean skip_special,
                                  GError **error);
PEFT_AVAILABLE_IN_1_0
gint32 peft_tokenizer_token_to_id (PeftTokenizer *self, const char *token);
PEFT_AVAILABLE_IN_1_0
char *peft_tokenizer_id_to_token (PeftTokenizer *self, gint32 id);
PEFT_AVAILABLE_IN_1_0
gboolean peft_tokenizer_is_special (PeftTokenizer *self, gint32 id);
PEFT_AVAILABLE_IN_1_0
guint peft_tokenizer_get_vocab_size (PeftTokenizer *self);
PEFT_AVAILABLE_IN_1_0
gint32 peft_tokenizer_get_max_id (PeftTokenizer *self);
PEFT_AVAILABLE_IN_1_0
gint32 peft_tokenizer_get_bos_id (PeftTokenizer *self);
PEFT_AVAILABLE_IN_1_0
gint32 peft_tokenizer_get_eos_id (PeftTokenizer *self);
PEFT_AVAILABLE_IN_1_0
gint32 peft_tokenizer_get_pad_id (PeftTokenizer *self);
PEFT_AVAILABLE_IN_1_0
gint32 peft_tokenizer_get_unk_id (PeftTokenizer *self);
PEFT_AVAILABLE_IN_1_0
guint64 peft_tokenizer_get_max_length (PeftTokenizer *self);
PEFT_AVAILABLE_IN_1_0
const char *peft_tokenizer_get_chat_template (PeftTokenizer *self);
PEFT_AVAILABLE_IN_1_0
gboolean peft_tokenizer_has_chat_template (PeftTokenizer *self);
PEFT_AVAILABLE_IN_1_0
char *peft_tokenizer_apply_chat_template (PeftTokenizer *self, const char *messages,
                                          gboolean add_generation_prompt, GError **error);
PEFT_AVAILABLE_IN_1_0
char *peft_tokenizer_apply_chat_template_with (PeftTokenizer *self, const char *variables,
                                               gboolean add_generation_prompt, GError **error);

G_END_DECLS
