/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "text/peft-chat-variables.h"

void
peft_chat_variables_add_specials (PeftJson *variables, PeftTokenizerCore *tokenizer)
{
  static const struct
  {
    const char *name;
    PeftSpecialToken token;
  } specials[] = {
    { "bos_token", PEFT_SPECIAL_BOS },
    { "eos_token", PEFT_SPECIAL_EOS },
    { "pad_token", PEFT_SPECIAL_PAD },
    { "unk_token", PEFT_SPECIAL_UNK },
  };

  for (guint i = 0; i < G_N_ELEMENTS (specials); i++)
    {
      const char *text = peft_tokenizer_core_get_special_token (tokenizer, specials[i].token);

      if (text != NULL)
        peft_json_set (variables, specials[i].name, peft_json_new_string (text));
    }
}
