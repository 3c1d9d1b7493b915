/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <stdio.h>

#include "cli-print.h"
#include "commands.h"

CliStatus
cmd_template (int argc, char **argv, GCancellable *cancellable)
{
  g_autofree char *model = NULL;
  gboolean generation_prompt = FALSE, json = FALSE;
  const GOptionEntry entries[] = {
    { "model", 0, 0, G_OPTION_ARG_STRING, &model, N_ ("model whose chat template is used"), N_ ("MODEL") },
    { "add-generation-prompt", 0, 0, G_OPTION_ARG_NONE, &generation_prompt,
      N_ ("end with what starts the assistant's answer"), NULL },
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, N_ ("print the text as a JSON string"), NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (PeftTokenizer) tokenizer = NULL;
  g_autoptr (GBytes) input = NULL;
  g_autofree char *text = NULL;
  g_autofree char *rendered = NULL;
  g_autoptr (GError) error = NULL;

  if (!cli_parse ("template", entries, NULL, 0, &argc, &argv))
    return CLI_USAGE;
  if (model == NULL)
    return cli_usage ("template", _ ("--model is needed"));
  input = cli_read_stdin_for (model, &tokenizer, &error);
  if (input == NULL)
    return cli_fail (error);
  text = g_strstrip (g_strndup (g_bytes_get_data (input, NULL), g_bytes_get_size (input)));
  /* A list is the messages; an object has them and other variables: tools, documents … */
  rendered = *text == '{' ? peft_tokenizer_apply_chat_template_with (tokenizer, text, generation_prompt, &error)
                          : peft_tokenizer_apply_chat_template (tokenizer, text, generation_prompt, &error);
  if (rendered == NULL)
    return cli_fail (error);
  if (json)
    {
      g_autoptr (GVariant) value = g_variant_ref_sink (g_variant_new_string (rendered));
      g_autofree char *quoted = peft_variant_to_json (value, FALSE, &error);

      if (quoted == NULL)
        return cli_fail (error);
      g_print ("%s\n", quoted);
    }
  else
    {
      fputs (rendered, stdout);
    }
  return CLI_DONE;
}
