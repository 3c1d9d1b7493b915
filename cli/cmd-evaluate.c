/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "commands.h"

#include <inttypes.h>
#include <math.h>

/* The choices are the library's. */
static gboolean
parse_loss_on (const char *text, PeftLossOn *out)
{
  g_autoptr (GEnumClass) choices = g_type_class_ref (PEFT_TYPE_LOSS_ON);
  GEnumValue *found = g_enum_get_value_by_nick (choices, text != NULL ? text : "auto");

  if (found == NULL)
    return FALSE;
  *out = found->value;
  return TRUE;
}

/* Figures by their names; classes a line each. */
static void
print_metrics (const char *json)
{
  g_autoptr (GVariant) all = json != NULL ? peft_variant_new_from_json (json, NULL) : NULL;
  GVariantIter iter;
  const char *name;
  GVariant *value;

  if (all == NULL)
    return;
  g_variant_iter_init (&iter, all);
  while (g_variant_iter_loop (&iter, "{&sv}", &name, &value))
    {
      GVariantIter classes;
      GVariant *one;
      double f1;
      const char *class_name;

      if (g_variant_is_of_type (value, G_VARIANT_TYPE_DOUBLE))
        g_print ("%-11s %.4f\n", name, g_variant_get_double (value));
      if (!g_variant_is_of_type (value, G_VARIANT_TYPE_VARDICT))
        continue;
      g_variant_iter_init (&classes, value);
      while (g_variant_iter_loop (&classes, "{&sv}", &class_name, &one))
        if (g_variant_lookup (one, "f1", "d", &f1))
          g_print (_ ("  %s: F1 %.4f\n"), class_name, f1);
    }
}

CliStatus
cmd_evaluate (int argc, char **argv, GCancellable *cancellable)
{
  g_auto (CliCommon) common = { 0 };
  g_autofree char *model_name = NULL;
  g_autofree char *loss_on_name = NULL;
  g_auto (GStrv) adapters = NULL;
  g_auto (GStrv) data = NULL;
  gboolean json = FALSE;
  int max_length = 2048, batch_size = 8;
  const GOptionEntry entries[] = {
    { "model", 0, 0, G_OPTION_ARG_STRING, &model_name, N_ ("base model"), N_ ("MODEL") },
    { "adapter", 0, 0, G_OPTION_ARG_STRING_ARRAY, &adapters, N_ ("adapter folder"), N_ ("DIR[=WEIGHT]") },
    { "data", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &data, N_ ("data file"), N_ ("FILE") },
    { "loss-on", 0, 0, G_OPTION_ARG_STRING, &loss_on_name, N_ ("all, completion or assistant"), N_ ("PART") },
    { "max-length", 0, 0, G_OPTION_ARG_INT, &max_length, N_ ("longest row in tokens (default: 2048)"), "N" },
    { "batch-size", 0, 0, G_OPTION_ARG_INT, &batch_size, N_ ("rows at a time (default: 8)"), "N" },
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, N_ ("print JSON"), NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (PeftModel) model = NULL;
  g_autoptr (PeftDataset) dataset = NULL;
  g_autoptr (PeftEvaluationResult) result = NULL;
  g_autoptr (GError) error = NULL;
  PeftLossOn loss_on;

  cli_common_init (&common);
  if (!cli_parse ("evaluate", entries, &common, 0, &argc, &argv))
    return CLI_USAGE;
  if (model_name == NULL || data == NULL)
    return cli_usage ("evaluate", _ ("--model and --data are needed"));
  if (!parse_loss_on (loss_on_name, &loss_on))
    return cli_usage ("evaluate", _ ("--loss-on: expected all, completion or assistant, found “%s”"), loss_on_name);
  if (max_length < 2 || batch_size < 1)
    return cli_usage ("evaluate", _ ("--max-length: expected 2 or more; --batch-size: expected 1 or more"));
  model = cli_open_model (&common, model_name, adapters, cancellable, &error);
  if (model == NULL)
    return cli_fail (error);
  dataset = peft_dataset_load_for_task ((const char *const *) data, NULL,
                                        peft_base_model_get_task (peft_model_get_base_model (model)),
                                        cancellable, &error);
  if (dataset == NULL)
    return cli_fail (error);
  result = peft_model_evaluate (model, dataset, loss_on, max_length, batch_size, cancellable, &error);
  if (result == NULL)
    return cli_fail (error);
  if (json)
    {
      g_autofree char *text = peft_evaluation_result_to_json (result);
      g_print ("%s\n", text);
    }
  else
    {
      g_print (_ ("loss        %.6f\n"), result->loss);
      if (isfinite (result->perplexity))
        g_print (_ ("perplexity  %.4f\n"), result->perplexity);
      g_print (_ ("accuracy    %.4f\n"), result->accuracy);
      print_metrics (result->metrics);
      if (result->metrics != NULL)
        g_print (_ ("labels      %" PRIu64 " in %" PRIu64 " rows\n"), result->tokens, result->rows);
      else
        g_print (_ ("tokens      %" PRIu64 " in %" PRIu64 " rows\n"), result->tokens, result->rows);
    }
  return CLI_DONE;
}
