/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <unistd.h>

#include "cli-train.h"
#include "commands.h"

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
    return g_strdup_printf ("%" PRIu64 ":%02d:%02d", s / 3600, (int) (s / 60 % 60), (int) (s % 60));
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
      g_printerr (_ ("\r[%s] %" PRIu64 "/%" PRIu64 "  loss %.4f  %.0f tokens/s  %s left\033[K"),
                  bar, progress->step, progress->total_steps, progress->loss,
                  progress->tokens_per_second, eta);
      display->shown = TRUE;
    }
  else if (display->verbose)
    {
      g_printerr (_ ("step %" PRIu64 "/%" PRIu64 "  loss %.6f  learning rate %.3g  gradient norm %.4f  "
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
  g_printerr (_ ("sample at step %" PRIu64 ": %s → %s\n"), step, prompt, text);
}

static void
print_summary (const PeftTrainingResult *result, const char *output)
{
  g_autofree char *seconds = format_time (result->seconds);
  g_autofree char *memory = cli_format_bytes (result->peak_memory);
  g_autofree char *trainable = cli_format_count (result->trainable_parameters);
  g_autofree char *all = cli_format_count (result->all_parameters);

  g_printerr (_ ("%" PRIu64 " steps in %s: loss %.4f → %.4f, %.0f tokens/s, %s of memory at most\n"),
              result->steps, seconds, result->first_loss, result->loss,
              result->seconds > 0 ? result->tokens / result->seconds : 0, memory);
  g_printerr (_ ("trained %s of %s parameters; written to %s\n"), trainable, all, output);
}

CliStatus
cmd_train (int argc, char **argv, GCancellable *cancellable)
{
  g_auto (CliCommon) common = { 0 };
  g_auto (CliTrainArguments) arguments = { 0 };
  g_autoptr (PeftConfig) config = NULL;
  g_autoptr (PeftDataset) dataset = NULL;
  g_autoptr (PeftDataset) eval_dataset = NULL;
  g_autoptr (PeftModel) model = NULL;
  g_autoptr (PeftTrainer) trainer = NULL;
  g_autoptr (PeftTrainingResult) result = NULL;
  g_autofree char *output = NULL;
  g_autoptr (GError) error = NULL;
  Display display = { 0 };
  const char *contradiction;
  PeftTask task;

  cli_common_init (&common);
  cli_train_arguments_init (&arguments);
  if (!cli_parse ("train", cli_train_get_entries (&arguments), &common, 0, &argc, &argv))
    return CLI_USAGE;
  if (arguments.model == NULL || arguments.data == NULL || !cli_properties_is_given (arguments.properties, "output"))
    return cli_usage ("train", _ ("--model, --data and --output are needed"));
  contradiction = cli_train_find_contradiction (&arguments);
  if (contradiction != NULL)
    return cli_usage ("train", "%s", contradiction);
  if (arguments.quantize != NULL)
    {
      cli_error (_ ("--quantize %s: training on quantised weights by this option is not available in this version; a GGUF model can be "
                    "trained on as it is"), arguments.quantize);
      return CLI_FAILED;
    }
  /* Options are checked before anything large is read. */
  trainer = g_object_new (PEFT_TYPE_TRAINER, NULL);
  if (!cli_train_apply (&arguments, &common, trainer, &error))
    return cli_usage ("train", "%s", error->message);
  g_clear_object (&trainer);
  if (!cli_train_make_config (&arguments, &config, &error))
    return cli_train_fail_config ("train", &arguments, error);

  if (!cli_train_find_task (&arguments, config, &task, &error))
    return arguments.task != NULL && !g_error_matches (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED)
               ? cli_usage ("train", "%s", error->message)
               : cli_fail (error);
  dataset = peft_dataset_load_for_task ((const char *const *) arguments.data, NULL, task, cancellable, &error);
  if (dataset == NULL)
    return cli_fail (error);
  if (arguments.eval_data != NULL)
    {
      eval_dataset = peft_dataset_load_for_task ((const char *const *) arguments.eval_data, NULL, task, cancellable, &error);
      if (eval_dataset == NULL)
        return cli_fail (error);
    }
  model = cli_train_make_model (&arguments, config, task, dataset, &common, cancellable, &error);
  if (model == NULL)
    return cli_fail (error);
  trainer = peft_trainer_new (model, dataset);
  peft_trainer_set_eval_dataset (trainer, eval_dataset);
  if (!cli_train_apply (&arguments, &common, trainer, &error))
    return cli_usage ("train", "%s", error->message);

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
