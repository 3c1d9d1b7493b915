/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli-print.h"
#include "cli-train.h"
#include "commands.h"

/* Rows that stand for data nobody has named: as long as rows may get. */
#define ASSUMED_ROWS 64

static PeftDataset *
assume_data (PeftTrainer *trainer, PeftBaseModel *base, GError **error)
{
  g_autoptr (GString) rows = g_string_new (NULL);
  guint max_length;

  g_object_get (trainer, "max-length", &max_length, NULL);
  max_length = MIN (max_length, peft_base_model_get_max_positions (base));
  for (guint i = 0; i < ASSUMED_ROWS; i++)
    {
      g_string_append (rows, "{\"input_ids\":[0");
      for (guint j = 1; j < max_length; j++)
        g_string_append (rows, ",0");
      g_string_append (rows, "]}\n");
    }
  return peft_dataset_new_from_text ("rows.jsonl", rows->str, NULL, error);
}

/* What a run with these options would need, as JSON; *status (nullable): how an adapter would stand on the model. */
static char *
make_plan (const CliTrainArguments *arguments, PeftConfig *config, const CliCommon *common, char **status,
           GCancellable *cancellable, GError **error)
{
  g_autoptr (PeftModel) model = NULL;
  g_autoptr (PeftDataset) dataset = NULL;
  g_autoptr (PeftDataset) eval_dataset = NULL;
  g_autoptr (PeftTrainer) trainer = NULL;
  PeftTask task;

  if (!cli_train_find_task (arguments, config, &task, error))
    return NULL;
  if (arguments->data != NULL)
    dataset = peft_dataset_load_for_task ((const char *const *) arguments->data, NULL, task, cancellable, error);
  else if (task != PEFT_TASK_CAUSAL_LM)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                 _ ("--data is needed to say what a run for the task %s would need"), peft_task_get_name (task));
  if (dataset == NULL && (arguments->data != NULL || task != PEFT_TASK_CAUSAL_LM))
    return NULL;
  model = cli_train_make_model (arguments, config, task, dataset, common, cancellable, error);
  if (model == NULL)
    return NULL;
  if (arguments->adapter != NULL)
    *status = peft_model_get_status_json (model);
  trainer = peft_trainer_new (model, NULL);
  if (!cli_train_apply (arguments, common, trainer, error))
    return NULL;
  if (dataset == NULL)
    dataset = assume_data (trainer, peft_model_get_base_model (model), error);
  if (dataset == NULL)
    return NULL;
  peft_trainer_set_dataset (trainer, dataset);
  if (arguments->eval_data != NULL)
    {
      eval_dataset = peft_dataset_load_for_task ((const char *const *) arguments->eval_data, NULL, task, cancellable, error);
      if (eval_dataset == NULL)
        return NULL;
      peft_trainer_set_eval_dataset (trainer, eval_dataset);
    }
  return peft_trainer_plan (trainer, cancellable, error);
}

/* The object `json` without the member `dropped` (nullable) and with `part` (nullable) as the member `added`. */
static char *
change_parts (const char *json, const char *dropped, const char *added, const char *part, GError **error)
{
  g_autoptr (GVariant) object = peft_variant_new_from_json (json, error);
  g_autoptr (GVariant) value_of_part = NULL;
  g_autoptr (GVariant) all = NULL;
  g_auto (GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_VARDICT);
  GVariantIter iter;
  const char *name;
  GVariant *value;

  if (object == NULL || (part != NULL && (value_of_part = peft_variant_new_from_json (part, error)) == NULL))
    return NULL;
  g_variant_iter_init (&iter, object);
  while (g_variant_iter_loop (&iter, "{&sv}", &name, &value))
    if (g_strcmp0 (name, dropped) != 0)
      g_variant_builder_add (&builder, "{sv}", name, value);
  if (value_of_part != NULL)
    g_variant_builder_add (&builder, "{sv}", added, value_of_part);
  all = g_variant_ref_sink (g_variant_builder_end (&builder));
  return peft_variant_to_json (all, TRUE, error);
}

/* With what an adapter would be on the model and what a run would need. For people modules one by one are too much. */
static char *
add_plan (const char *text, const char *status, gboolean brief, const char *plan, GError **error)
{
  g_autofree char *own = NULL;
  g_autofree char *with_status = NULL;

  if (status == NULL)
    return change_parts (text, NULL, "run", plan, error);
  own = change_parts (status, brief ? "layers" : NULL, NULL, NULL, error);
  with_status = own != NULL ? change_parts (text, NULL, "status", own, error) : NULL;
  return with_status != NULL ? change_parts (with_status, NULL, "run", plan, error) : NULL;
}

static gboolean
is_kind (const char *json, const char *kind)
{
  g_autoptr (GVariant) object = peft_variant_new_from_json (json, NULL);
  const char *found = NULL;

  return object != NULL && g_variant_lookup (object, "kind", "&s", &found) && g_str_equal (found, kind);
}

CliStatus
cmd_inspect (int argc, char **argv, GCancellable *cancellable)
{
  g_auto (CliCommon) common = { 0 };
  g_auto (CliTrainArguments) arguments = { 0 };
  gboolean json = FALSE;
  const GOptionEntry own[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, N_ ("print JSON"), NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (PeftConfig) config = NULL;
  g_autofree char *text = NULL;
  g_autofree char *plan = NULL;
  g_autofree char *status = NULL;
  g_autofree char *whole = NULL;
  g_autoptr (GError) error = NULL;
  const char *contradiction;
  gboolean planned;

  cli_common_init (&common);
  cli_train_arguments_init (&arguments);
  cli_properties_add_entries (arguments.properties, own);
  if (!cli_parse ("inspect", cli_train_get_entries (&arguments), &common, 1, &argc, &argv))
    return CLI_USAGE;
  contradiction = cli_train_find_contradiction (&arguments);
  if (contradiction != NULL)
    return cli_usage ("inspect", "%s", contradiction);
  planned = arguments.model != NULL || cli_train_is_anything_given (&arguments);
  if (planned)
    {
      g_autoptr (PeftTrainer) trainer = g_object_new (PEFT_TYPE_TRAINER, NULL);

      if (!cli_train_apply (&arguments, &common, trainer, &error))
        return cli_usage ("inspect", "%s", error->message);
    }
  text = peft_inspect_to_json (argv[1], cancellable, &error);
  if (text == NULL)
    return cli_fail (error);
  if (planned)
    {
      if (is_kind (text, "model") && arguments.model == NULL)
        arguments.model = g_strdup (argv[1]);
      else if (is_kind (text, "data") && arguments.data == NULL)
        arguments.data = g_strdupv ((char *[]){ argv[1], NULL });
      else if (is_kind (text, "adapter") && arguments.adapter == NULL && arguments.method == NULL && arguments.config == NULL)
        arguments.adapter = g_strdup (argv[1]);
      if (arguments.model == NULL)
        return cli_usage ("inspect", _ ("--model is needed to say what a run would need"));
      if (!cli_train_make_config (&arguments, &config, &error))
        return cli_train_fail_config ("inspect", &arguments, error);
      plan = make_plan (&arguments, config, &common, &status, cancellable, &error);
      if (plan == NULL || (whole = add_plan (text, status, !json, plan, &error)) == NULL)
        return cli_fail (error);
    }
  cli_print_json (whole != NULL ? whole : text, json);
  return CLI_DONE;
}
