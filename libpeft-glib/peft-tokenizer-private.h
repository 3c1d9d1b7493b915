/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "peft-tokenizer.h"
#include "text/peft-template.h"
#include "text/peft-tokenizer-core.h"

PeftTokenizerCore *peft_tokenizer_get_core (PeftTokenizer *self);
/* NULL without an error: it has none. (transfer none) */
gboolean peft_tokenizer_get_template (PeftTokenizer *self, PeftTemplate **out, GError **error);
/* path exists; gguf: the same file, already open, or NULL. */
PeftTokenizer *peft_tokenizer_load_path (const char *path, const PeftGguf *gguf, GError **error);
