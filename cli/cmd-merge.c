/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "commands.h"

CliStatus
cmd_merge (int argc, char **argv, GCancellable *cancellable)
{
  g_auto (CliCommon) common = { 0 };
  g_autofree char *model_name = NULL;
  g_autofree char *output = NULL;
  g_autofree char *format = NULL;
  g_auto (GStrv) adapters = NULL;
  const GOptionEntry entries[] = {
    { "model", 0, 0, G_OPTION_ARG_STRING, &model_name, N_ ("base model"), N_ ("MODEL") },
    { "adapter", 0, 0, G_OPTION_ARG_STRING_ARRAY, &adapters, N_ ("adapter folder"), N_ ("DIR[=WEIGHT]") },
    { "output", 0, 0, G_OPTION_ARG_FILENAME, &output, N_ ("folder to write"), N_ ("DIR") },
    { "format", 0, 0, G_OPTION_ARG_STRING, &format, N_ ("safetensors"), N_ ("FORMAT") },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (PeftModel) model = NULL;
  g_autoptr (GError) error = NULL;
  PeftLoadDType dtype;

  cli_common_init (&common);
  if (!cli_parse ("merge", entries, &common, 0, &argc, &argv))
    return CLI_USAGE;
  if (model_name == NULL || output == NULL)
    return cli_usage ("merge", _ ("--model and --output are needed"));
  if (format != NULL && g_str_equal (format, "gguf"))
    {
      cli_error (_ ("--format gguf: writing GGUF files is not available in this version"));
      return CLI_FAILED;
    }
  if (format != NULL && !g_str_equal (format, "safetensors"))
    return cli_usage ("merge", _ ("--format: expected safetensors or gguf, found “%s”"), format);
  if (!cli_parse_dtype (common.dtype, &dtype, &error))
    return cli_fail (error);
  /* --dtype is that of the written weights; merging itself is exact. */
  g_clear_pointer (&common.dtype, g_free);
  common.dtype = g_strdup ("float32");
  model = cli_open_model (&common, model_name, adapters, cancellable, &error);
  if (model == NULL || !peft_model_merge_and_save (model, output, dtype, cancellable, &error))
    return cli_fail (error);
  if (!common.quiet)
    g_printerr (_ ("Merged model written to %s\n"), output);
  return CLI_DONE;
}
