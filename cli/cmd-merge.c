/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "commands.h"

#include <math.h>
#include <string.h>

#define COMBINED "combined"

typedef struct
{
  char *model, *output, *format, *combine, *sign, *output_adapter;
  char **adapters;
  double density; /* NaN: not given */
  int rank;
} MergeArguments;

static void
merge_arguments_clear (MergeArguments *self)
{
  g_free (self->model);
  g_free (self->output);
  g_free (self->format);
  g_free (self->combine);
  g_free (self->sign);
  g_free (self->output_adapter);
  g_strfreev (self->adapters);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (MergeArguments, merge_arguments_clear)

/* peft's names: "ties_svd". */
static gboolean
parse_combination (const char *text, PeftCombination *out)
{
  g_autoptr (GEnumClass) choices = g_type_class_ref (PEFT_TYPE_COMBINATION);
  g_autofree char *nick = g_strdelimit (g_strdup (text), "_", '-');
  GEnumValue *found = g_enum_get_value_by_nick (choices, nick);

  if (found != NULL)
    *out = found->value;
  return found != NULL;
}

static char *
list_combinations (void)
{
  g_autoptr (GEnumClass) choices = g_type_class_ref (PEFT_TYPE_COMBINATION);
  g_autoptr (GString) list = g_string_new (NULL);

  for (guint i = 0; i < choices->n_values; i++)
    g_string_append_printf (list, "%s%s", i > 0 ? ", " : "", choices->values[i].value_nick);
  return g_strdelimit (g_string_free (g_steal_pointer (&list), FALSE), "-", '_');
}

static gboolean
prunes (const char *combination)
{
  return strstr (combination, "ties") != NULL || strstr (combination, "dare") != NULL
         || strstr (combination, "prune") != NULL;
}

/* NULL: nothing speaks against it. */
static char *
find_contradiction (const MergeArguments *arguments)
{
  PeftCombination combination;

  if (arguments->model == NULL || (arguments->output == NULL && arguments->output_adapter == NULL))
    return g_strdup (_ ("--model and --output are needed"));
  if (arguments->format != NULL && !g_str_equal (arguments->format, "safetensors")
      && !g_str_equal (arguments->format, "gguf"))
    return g_strdup_printf (_ ("--format: expected safetensors or gguf, found “%s”"), arguments->format);
  if (arguments->combine == NULL)
    return !isnan (arguments->density) || arguments->rank != 0 || arguments->sign != NULL
                   || arguments->output_adapter != NULL
               ? g_strdup (_ ("--density, --rank, --majority-sign and --output-adapter go with --combine"))
               : NULL;
  if (!parse_combination (arguments->combine, &combination))
    {
      g_autofree char *list = list_combinations ();

      return g_strdup_printf (_ ("--combine: expected one of %s, found “%s”"), list, arguments->combine);
    }
  if (arguments->adapters == NULL)
    return g_strdup (_ ("--combine needs adapters"));
  if (prunes (arguments->combine) && isnan (arguments->density))
    return g_strdup_printf (_ ("--combine %s needs --density"), arguments->combine);
  if (arguments->rank < 0)
    return g_strdup_printf (_ ("--rank: expected 1 or more, found %d"), arguments->rank);
  if (arguments->sign != NULL && !g_str_equal (arguments->sign, "total") && !g_str_equal (arguments->sign, "frequency"))
    return g_strdup_printf (_ ("--majority-sign: expected total or frequency, found “%s”"), arguments->sign);
  return NULL;
}

/* Adapters that become one; that one is active. */
static PeftModel *
open_combined (const MergeArguments *arguments, const CliCommon *common, GCancellable *cancellable,
               GError **error)
{
  const char *const combined[] = { COMBINED, NULL };
  g_autoptr (GArray) weights = NULL;
  g_autoptr (PeftModel) model
      = cli_load_model (common, arguments->model, arguments->adapters, &weights, cancellable, error);
  g_auto (GStrv) names = NULL;
  PeftCombination combination = PEFT_COMBINATION_LINEAR;

  if (model == NULL)
    return NULL;
  names = peft_model_get_adapter_names (model);
  parse_combination (arguments->combine, &combination);
  if (!peft_model_add_weighted_adapter (model, (const char *const *) names, (const double *) weights->data, weights->len,
                                        COMBINED, combination, (guint) arguments->rank,
                                        isnan (arguments->density) ? 1 : arguments->density,
                                        g_strcmp0 (arguments->sign, "frequency") == 0, cancellable, error)
      || !peft_model_set_active (model, combined, NULL, 0, error))
    return NULL;
  return g_steal_pointer (&model);
}

static gboolean
write_results (PeftModel *model, const MergeArguments *arguments, const CliCommon *common, PeftLoadDType dtype,
               GCancellable *cancellable, GError **error)
{
  if (arguments->output_adapter != NULL)
    {
      if (!peft_model_save_adapter (model, COMBINED, arguments->output_adapter, error))
        return FALSE;
      if (!common->quiet)
        g_printerr (_ ("Adapter written to %s\n"), arguments->output_adapter);
    }
  if (arguments->output != NULL)
    {
      if (!peft_model_merge_and_save (model, arguments->output, dtype, cancellable, error))
        return FALSE;
      if (!common->quiet)
        g_printerr (_ ("Merged model written to %s\n"), arguments->output);
    }
  return TRUE;
}

CliStatus
cmd_merge (int argc, char **argv, GCancellable *cancellable)
{
  g_auto (CliCommon) common = { 0 };
  g_auto (MergeArguments) arguments = { .density = NAN };
  const GOptionEntry entries[] = {
    { "model", 0, 0, G_OPTION_ARG_STRING, &arguments.model, N_ ("base model"), N_ ("MODEL") },
    { "adapter", 0, 0, G_OPTION_ARG_STRING_ARRAY, &arguments.adapters, N_ ("adapter folder"), N_ ("DIR[=WEIGHT]") },
    { "output", 0, 0, G_OPTION_ARG_FILENAME, &arguments.output, N_ ("folder to write"), N_ ("DIR") },
    { "format", 0, 0, G_OPTION_ARG_STRING, &arguments.format, N_ ("safetensors"), N_ ("FORMAT") },
    { "combine", 0, 0, G_OPTION_ARG_STRING, &arguments.combine,
      N_ ("make one adapter of several first: svd, linear, cat, ties, ties_svd, dare_ties, dare_linear, dare_ties_svd, dare_linear_svd, magnitude_prune or magnitude_prune_svd"), N_ ("HOW") },
    { "density", 0, 0, G_OPTION_ARG_DOUBLE, &arguments.density, N_ ("share of the values that pruning keeps"), "X" },
    { "rank", 0, 0, G_OPTION_ARG_INT, &arguments.rank, N_ ("rank of what svd makes (default: the largest of the adapters')"), "R" },
    { "majority-sign", 0, 0, G_OPTION_ARG_STRING, &arguments.sign, N_ ("total or frequency (default: total)"), N_ ("METHOD") },
    { "output-adapter", 0, 0, G_OPTION_ARG_FILENAME, &arguments.output_adapter, N_ ("folder for the combined adapter"), N_ ("DIR") },
    G_OPTION_ENTRY_NULL,
  };
  g_autofree char *contradiction = NULL;
  g_autoptr (PeftModel) model = NULL;
  g_autoptr (GError) error = NULL;
  PeftLoadDType dtype;

  cli_common_init (&common);
  if (!cli_parse ("merge", entries, &common, 0, &argc, &argv))
    return CLI_USAGE;
  contradiction = find_contradiction (&arguments);
  if (contradiction != NULL)
    return cli_usage ("merge", "%s", contradiction);
  if (g_strcmp0 (arguments.format, "gguf") == 0)
    {
      cli_error (_ ("--format gguf: writing GGUF files is not available in this version"));
      return CLI_FAILED;
    }
  if (!cli_parse_dtype (common.dtype, &dtype, &error))
    return cli_fail (error);
  /* --dtype is that of the written weights; merging itself is exact. */
  g_clear_pointer (&common.dtype, g_free);
  common.dtype = g_strdup ("float32");
  model = arguments.combine != NULL
              ? open_combined (&arguments, &common, cancellable, &error)
              : cli_open_model (&common, arguments.model, arguments.adapters, cancellable, &error);
  if (model == NULL || !write_results (model, &arguments, &common, dtype, cancellable, &error))
    return cli_fail (error);
  return CLI_DONE;
}
