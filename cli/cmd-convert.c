/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "commands.h"

/* The base model that the adapter names, or the one that was given. */
static PeftModel *
open_adapter (const CliCommon *common, const char *folder, const char *base, GCancellable *cancellable,
              GError **error)
{
  char *adapters[] = { (char *) folder, NULL };
  g_autoptr (PeftConfig) config = NULL;
  g_autofree char *name = NULL;

  if (base != NULL)
    return cli_open_model (common, base, adapters, cancellable, error);
  config = peft_config_load (folder, error);
  if (config == NULL)
    return NULL;
  g_object_get (config, "base-model-name-or-path", &name, NULL);
  if (name != NULL)
    return cli_open_model (common, name, adapters, cancellable, error);
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
               _ ("%s: the adapter names no base model; --base is needed"), folder);
  return NULL;
}

CliStatus
cmd_convert (int argc, char **argv, GCancellable *cancellable)
{
  g_auto (CliCommon) common = { 0 };
  g_autofree char *to = NULL;
  g_autofree char *base = NULL;
  double rank = 0;
  const GOptionEntry entries[] = {
    { "to", 0, 0, G_OPTION_ARG_STRING, &to, N_ ("peft: the same again, or lora: the nearest LoRA"), N_ ("FORM") },
    { "rank", 0, 0, G_OPTION_ARG_DOUBLE, &rank,
      N_ ("rank of the LoRA; below 1 the share of the squared singular values that each layer keeps"), N_ ("R") },
    { "base", 0, 0, G_OPTION_ARG_STRING, &base, N_ ("base model, where the adapter's own is not to be used"), N_ ("MODEL") },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (PeftModel) model = NULL;
  g_autoptr (GError) error = NULL;
  const char *name = "default";

  cli_common_init (&common);
  if (!cli_parse ("convert", entries, &common, -1, &argc, &argv))
    return CLI_USAGE;
  if (argc != 3)
    return cli_usage ("convert", _ ("the adapter's folder and the one to write are needed"));
  if (to == NULL)
    to = g_strdup ("peft");
  if (g_str_equal (to, "gguf-lora"))
    {
      cli_error (_ ("--to gguf-lora: writing GGUF files is not available in this version"));
      return CLI_FAILED;
    }
  if (!g_str_equal (to, "peft") && !g_str_equal (to, "lora"))
    return cli_usage ("convert", _ ("--to: expected peft, lora or gguf-lora, found “%s”"), to);
  if (g_str_equal (to, "lora") && rank == 0)
    return cli_usage ("convert", _ ("--to lora needs --rank"));
  g_clear_pointer (&common.dtype, g_free);
  common.dtype = g_strdup ("float32");
  model = open_adapter (&common, argv[1], base, cancellable, &error);
  if (model == NULL)
    return cli_fail (error);
  if (g_str_equal (to, "lora"))
    {
      name = "lora";
      if (!peft_model_convert_to_lora (model, "default", name, rank, cancellable, &error))
        return cli_fail (error);
    }
  if (!peft_model_save_adapter (model, name, argv[2], &error))
    return cli_fail (error);
  if (!common.quiet)
    g_printerr (_ ("Adapter written to %s\n"), argv[2]);
  return CLI_DONE;
}
