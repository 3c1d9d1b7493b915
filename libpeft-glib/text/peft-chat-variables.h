/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-json.h"
#include "text/peft-tokenizer-core.h"

/* bos_token, eos_token, pad_token and unk_token, which transformers gives to chat templates. */
void peft_chat_variables_add_specials (PeftJson *variables, PeftTokenizerCore *tokenizer);
