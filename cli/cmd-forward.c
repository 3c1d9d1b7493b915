/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "commands.h"

CliStatus
cmd_forward (int argc, char **argv, GCancellable *cancellable)
{
  g_auto (CliCommon) common = { 0 };
  g_autofree char *model_name = NULL;
  g_autofree char *input = NULL;
  g_autofree char *output = NULL;
  g_autofree char *state = NULL;
  g_auto (GStrv) adapters = NULL;
  gboolean gradients = FALSE, train_mode = FALSE;
  const GOptionEntry entries[] = {
    { "model", 0, 0, G_OPTION_ARG_STRING, &model_name, N_ ("base model"), N_ ("MODEL") },
    { "adapter", 0, 0, G_OPTION_ARG_STRING_ARRAY, &adapters, N_ ("adapter folder"), N_ ("DIR[=WEIGHT]") },
    { "state", 0, 0, G_OPTION_ARG_FILENAME, &state, N_ ("full trainable state"), N_ ("FILE") },
    { "input", 0, 0, G_OPTION_ARG_FILENAME, &input, N_ ("safetensors file with input_ids …"), N_ ("FILE") },
    { "output", 0, 0, G_OPTION_ARG_FILENAME, &output, N_ ("safetensors file to write"), N_ ("FILE") },
    { "gradients", 0, 0, G_OPTION_ARG_NONE, &gradients, N_ ("also write gradients of the adapter"), NULL },
    { "train-mode", 0, 0, G_OPTION_ARG_NONE, &train_mode, N_ ("with dropout"), NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (PeftModel) model = NULL;
  g_autoptr (GError) error = NULL;

  cli_common_init (&common);
  if (!cli_parse ("forward", entries, &common, 0, &argc, &argv))
    return CLI_USAGE;
  if (model_name == NULL || input == NULL || output == NULL)
    return cli_usage ("forward", _ ("--model, --input and --output are needed"));
  model = cli_open_model (&common, model_name, adapters, cancellable, &error);
  if (model == NULL
      || !peft_model_forward_file (model, input, output, state, gradients, train_mode, common.seed,
                                   cancellable, &error))
    return cli_fail (error);
  return CLI_DONE;
}
