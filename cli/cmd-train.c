/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "cli-properties.h"
#include "commands.h"

typedef struct
{
  char *model, *method, *preset, *config, *adapter, *quantize;
  char **data, **eval_data, **set;
} TrainArguments;

static void
train_arguments_clear (TrainArguments *self)
{
  g_free (self->model);
  g_free (self->method);
  g_free (self->preset);
  g_free (self->config);
  g_free (self->adapter);
  g_free (self->quantize);
  g_strfreev (self->data);
  g_strfreev (self->eval_data);
  g_strfreev (self->set);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TrainArguments, train_arguments_clear)

/* ---- Progress ------------------------------------------------------------------------------ */

typedef struct
{
  gboolean quiet, verbose, bar;
  gboolean shown; /* a bar is on the line */
} Display;

static char *
format_time (double seconds)
{
  guint64 s = isfinite (seconds) && seconds > 0 ? (guint64) seconds : 0;

  if (s >= 3600)
    return g_strdup_printf ("%" G_GUINT64_FORMAT ":%02d:%02d", s / 3600, (int) (s / 60 % 60), (int) (s % 60));
  return g_strdup_printf ("%d:%02d", (int) (s / 60), (int) (s % 60));
}

static void
on_progress (PeftTrainer *trainer, const PeftTrainingProgress *progress, Display *display)
{
  g_autofree char *eta = format_time (progress->eta);

  if (display->bar)
    {
      enum { WIDTH = 24 };
      char bar[WIDTH + 1];
      guint filled = progress->total_steps > 0 ? WIDTH * progress->step / progress->total_steps : 0;

      for (guint i = 0; i < WIDTH; i++)
        bar[i] = i < filled ? '#' : '.';
      bar[WIDTH] = '\0';
      g_printerr (_ ("\r[%s] %" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT "  loss %.4f  %.0f tokens/s  %s left\033[K"),
                  bar, progress->step, progress->total_steps, progress->loss,
                  progress->tokens_per_second, eta);
      display->shown = TRUE;
    }
  else if (display->verbose)
    {
      g_printerr (_ ("step %" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT "  loss %.6f  learning rate %.3g  gradient norm %.4f  "
                     "%.0f tokens/s  %s left\n"),
                  progress->step, progress->total_steps, progress->loss, progress->learning_rate,
                  progress->grad_norm, progress->tokens_per_second, eta);
    }
}

static void
end_bar (Display *display)
{
  if (display->shown)
    g_printerr ("\n");
  display->shown = FALSE;
}

static void
on_note (PeftTrainer *trainer, const char *text, Display *display)
{
  end_bar (display);
  g_printerr (_ ("note: %s\n"), text);
}

static void
on_sample (PeftTrainer *trainer, guint64 step, const char *prompt, const char *text,
           Display *display)
{
  end_bar (display);
  g_printerr (_ ("sample at step %" G_GUINT64_FORMAT ": %s → %s\n"), step, prompt, text);
}

static void
print_summary (const PeftTrainingResult *result, const char *output)
{
  g_autofree char *seconds = format_time (result->seconds);
  g_autofree char *memory = cli_format_bytes (result->peak_memory);
  g_autofree char *trainable = cli_format_count (result->trainable_parameters);
  g_autofree char *all = cli_format_count (result->all_parameters);

  g_printerr (_ ("%" G_GUINT64_FORMAT " steps in %s: loss %.4f → %.4f, %.0f tokens/s, %s of memory at most\n"),
              result->steps, seconds, result->first_loss, result->loss,
              result->seconds > 0 ? result->tokens / result->seconds : 0, memory);
  g_printerr (_ ("trained %s of %s parameters; written to %s\n"), trainable, all, output);
}

/* ---- Setting up ---------------------------------------------------------------------------- */

/* FIELD=VALUE, the value being JSON; a bare word stands for a string. */
static gboolean
set_field (PeftConfig *config, const char *text, GError **error)
{
  const char *equals = strchr (text, '=');
  g_autofree char *name = NULL;
  g_autoptr (GVariant) value = NULL;
  g_autofree char *quoted = NULL;

  if (equals == NULL || equals == text)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("--set: expected FIELD=VALUE, found “%s”"), text);
      return FALSE;
    }
  name = g_strndup (text, equals - text);
  value = peft_variant_new_from_json (equals + 1, NULL);
  if (value != NULL)
    {
      g_variant_ref_sink (value);
      return peft_config_set_field (config, name, equals + 1, error);
    }
  value = g_variant_ref_sink (g_variant_new_string (equals + 1));
  quoted = peft_variant_to_json (value, FALSE, error);
  return quoted != NULL && peft_config_set_field (config, name, quoted, error);
}

static PeftConfig *
make_config (const TrainArguments *arguments, GError **error)
{
  g_autoptr (PeftConfig) config = NULL;

  if (arguments->config != NULL)
    config = peft_config_load (arguments->config, error);
  else
    config = peft_config_new_for_method (arguments->method != NULL ? arguments->method : "LORA", error);
  if (config == NULL)
    return NULL;
  if (arguments->preset != NULL && !peft_preset_apply_to_config (arguments->preset, config, error))
    return NULL;
  for (guint i = 0; arguments->set != NULL && arguments->set[i] != NULL; i++)
    if (!set_field (config, arguments->set[i], error))
      return NULL;
  return peft_config_validate (config, error) ? g_steal_pointer (&config) : NULL;
}

static gboolean
is_full (const TrainArguments *arguments)
{
  return arguments->method != NULL && g_str_equal (arguments->method, "full");
}

/* The model with what is to be trained as its adapter "default". */
static PeftModel *
make_model (const TrainArguments *arguments, const CliCommon *common, GCancellable *cancellable,
            GError **error)
{
  static const char *const names[] = { "default", NULL };
  g_autoptr (PeftConfig) config = NULL;
  g_autoptr (PeftModel) model = NULL;
  gboolean done;

  if (arguments->adapter == NULL && !is_full (arguments)
      && (config = make_config (arguments, error)) == NULL)
    return NULL;
  model = cli_open_model (common, arguments->model, NULL, cancellable, error);
  if (model == NULL)
    return NULL;
  if (arguments->adapter != NULL)
    done = peft_model_load_adapter (model, arguments->adapter, "default", error);
  else if (is_full (arguments))
    done = peft_model_add_full_training (model, "default", error);
  else
    done = peft_model_add_adapter (model, "default", config, common->seed, error);
  return done && peft_model_set_active (model, names, NULL, 0, error) ? g_steal_pointer (&model) : NULL;
}

/* What makes no sense together. */
static const char *
find_contradiction (const TrainArguments *arguments)
{
  if (arguments->model == NULL || arguments->data == NULL)
    return _ ("--model, --data and --output are needed");
  if (arguments->config != NULL && arguments->method != NULL)
    return _ ("--config and --method exclude each other");
  if (arguments->adapter != NULL && (arguments->config != NULL || arguments->method != NULL || arguments->set != NULL))
    return _ ("--adapter continues an adapter as it is; --method, --config and --set exclude it");
  if (is_full (arguments) && arguments->set != NULL)
    return _ ("--method full has no fields to --set");
  return NULL;
}

CliStatus
cmd_train (int argc, char **argv, GCancellable *cancellable)
{
  static const char *const skipped[] = { "seed", "model", "dataset", "eval-dataset", NULL };
  g_auto (CliCommon) common = { 0 };
  g_auto (TrainArguments) arguments = { 0 };
  g_autoptr (CliProperties) properties = cli_properties_new (PEFT_TYPE_TRAINER, skipped);
  const GOptionEntry entries[] = {
    { "model", 0, 0, G_OPTION_ARG_STRING, &arguments.model, N_ ("base model"), N_ ("MODEL") },
    { "data", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments.data, N_ ("training data; several are read one after the other"), N_ ("FILE") },
    { "eval-data", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments.eval_data, N_ ("data to evaluate on"), N_ ("FILE") },
    { "method", 0, 0, G_OPTION_ARG_STRING, &arguments.method, N_ ("method (default: LORA), or full for all weights"), N_ ("NAME") },
    { "preset", 0, 0, G_OPTION_ARG_STRING, &arguments.preset, N_ ("quick, balanced or thorough"), N_ ("PRESET") },
    { "set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &arguments.set, N_ ("set a field of the method; the value is JSON"), N_ ("FIELD=VALUE") },
    { "config", 0, 0, G_OPTION_ARG_FILENAME, &arguments.config, N_ ("method and fields from an adapter_config.json"), N_ ("FILE") },
    { "adapter", 0, 0, G_OPTION_ARG_FILENAME, &arguments.adapter, N_ ("continue this adapter"), N_ ("DIR") },
    { "quantize", 0, 0, G_OPTION_ARG_STRING, &arguments.quantize, N_ ("not available in this version"), N_ ("TYPE") },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (PeftDataset) dataset = NULL;
  g_autoptr (PeftDataset) eval_dataset = NULL;
  g_autoptr (PeftModel) model = NULL;
  g_autoptr (PeftTrainer) trainer = NULL;
  g_autoptr (PeftTrainingResult) result = NULL;
  g_autofree char *output = NULL;
  g_autoptr (GError) error = NULL;
  Display display = { 0 };
  const char *contradiction;

  cli_common_init (&common);
  if (!cli_parse ("train", cli_properties_get_entries (properties, entries), &common, 0, &argc, &argv))
    return CLI_USAGE;
  contradiction = find_contradiction (&arguments);
  if (contradiction == NULL && !cli_properties_is_given (properties, "output"))
    contradiction = _ ("--model, --data and --output are needed");
  if (contradiction != NULL)
    return cli_usage ("train", "%s", contradiction);
  if (arguments.quantize != NULL)
    {
      cli_error (_ ("--quantize %s: training on quantised weights by this option is not available in this version; a GGUF model can be "
                    "trained on as it is"), arguments.quantize);
      return CLI_FAILED;
    }
  /* Options are checked before anything large is read. */
  trainer = g_object_new (PEFT_TYPE_TRAINER, "seed", (guint64) common.seed, NULL);
  if ((arguments.preset != NULL && !peft_trainer_apply_preset (trainer, arguments.preset, &error))
      || !cli_properties_apply (properties, G_OBJECT (trainer), &error))
    return cli_usage ("train", "%s", error->message);

  dataset = peft_dataset_load ((const char *const *) arguments.data, NULL, cancellable, &error);
  if (dataset == NULL)
    return cli_fail (error);
  if (arguments.eval_data != NULL)
    {
      eval_dataset = peft_dataset_load ((const char *const *) arguments.eval_data, NULL, cancellable, &error);
      if (eval_dataset == NULL)
        return cli_fail (error);
    }
  model = make_model (&arguments, &common, cancellable, &error);
  if (model == NULL)
    return cli_fail (error);
  g_object_set (trainer, "model", model, "dataset", dataset, "eval-dataset", eval_dataset, NULL);

  display.quiet = common.quiet;
  display.verbose = common.verbose;
  display.bar = !common.quiet && isatty (STDERR_FILENO);
  g_signal_connect (trainer, "progress", G_CALLBACK (on_progress), &display);
  if (!common.quiet)
    {
      g_signal_connect (trainer, "note", G_CALLBACK (on_note), &display);
      g_signal_connect (trainer, "sample", G_CALLBACK (on_sample), &display);
      g_autofree char *parameters = peft_model_describe_parameters (model);
      g_printerr ("%s\n", parameters);
    }
  result = peft_trainer_train (trainer, cancellable, &error);
  end_bar (&display);
  if (result == NULL)
    return cli_fail (error);
  g_object_get (trainer, "output", &output, NULL);
  if (!common.quiet)
    print_summary (result, output);
  return CLI_DONE;
}
