/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli-train.h"

#include <string.h>

void
cli_train_arguments_clear (CliTrainArguments *self)
{
  g_free (self->model);
  g_free (self->method);
  g_free (self->preset);
  g_free (self->config);
  g_free (self->adapter);
  g_free (self->quantize);
  g_free (self->task);
  g_free (self->prefix_text);
  g_strfreev (self->data);
  g_strfreev (self->eval_data);
  g_strfreev (self->set);
  g_clear_pointer (&self->properties, cli_properties_free);
}

void
cli_train_arguments_init (CliTrainArguments *self)
{
  static const char *const skipped[] = { "seed", "model", "dataset", "eval-dataset", "quantize", NULL };
  static const char *const automatic[]
      = { "batch-size", "micro-batch-size", "learning-rate", "warmup-steps", NULL };

  *self = (CliTrainArguments){ .properties = cli_properties_new (PEFT_TYPE_TRAINER, skipped, automatic) };
}

const GOptionEntry *
cli_train_get_entries (CliTrainArguments *self)
{
  const GOptionEntry entries[] = {
    { "model", 0, 0, G_OPTION_ARG_STRING, &self->model, N_ ("base model"), N_ ("MODEL") },
    { "data", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &self->data, N_ ("training data; several are read one after the other"), N_ ("FILE") },
    { "eval-data", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &self->eval_data, N_ ("data to evaluate on"), N_ ("FILE") },
    { "method", 0, 0, G_OPTION_ARG_STRING, &self->method, N_ ("method (default: LORA), or full for all weights"), N_ ("NAME") },
    { "preset", 0, 0, G_OPTION_ARG_STRING, &self->preset, N_ ("quick, balanced or thorough"), N_ ("PRESET") },
    { "set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &self->set, N_ ("set a field of the method; the value is JSON"), N_ ("FIELD=VALUE") },
    { "config", 0, 0, G_OPTION_ARG_FILENAME, &self->config, N_ ("method and fields from an adapter_config.json"), N_ ("FILE") },
    { "adapter", 0, 0, G_OPTION_ARG_FILENAME, &self->adapter, N_ ("continue this adapter"), N_ ("DIR") },
    { "prefix-text", 0, 0, G_OPTION_ARG_STRING, &self->prefix_text, N_ ("let a prefix (PREFIX_TUNING) start as the beginning of this text, which stands as the system's message where the model has a chat template"), N_ ("TEXT") },
    { "task", 0, 0, G_OPTION_ARG_STRING, &self->task, N_ ("CAUSAL_LM, SEQ_CLS, TOKEN_CLS or QUESTION_ANS (default: the adapter's, the configuration's or the model's)"), N_ ("TASK") },
    { "quantize", 0, 0, G_OPTION_ARG_STRING, &self->quantize, N_ ("not available in this version"), N_ ("TYPE") },
    G_OPTION_ENTRY_NULL,
  };

  return cli_properties_get_entries (self->properties, entries);
}

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
    return peft_config_set_field (config, name, equals + 1, error);
  value = g_variant_ref_sink (g_variant_new_string (equals + 1));
  quoted = peft_variant_to_json (value, FALSE, error);
  return quoted != NULL && peft_config_set_field (config, name, quoted, error);
}

static gboolean
is_full (const CliTrainArguments *arguments)
{
  return arguments->method != NULL && g_str_equal (arguments->method, "full");
}

gboolean
cli_train_make_config (const CliTrainArguments *arguments, PeftConfig **out, GError **error)
{
  g_autoptr (PeftConfig) config = NULL;

  *out = NULL;
  if (arguments->adapter != NULL || is_full (arguments))
    return TRUE;
  if (arguments->config != NULL)
    config = peft_config_load (arguments->config, error);
  else
    config = peft_config_new_for_method (arguments->method != NULL ? arguments->method : "LORA", error);
  if (config == NULL)
    return FALSE;
  if (arguments->preset != NULL && !peft_preset_apply_to_config (arguments->preset, config, error))
    return FALSE;
  for (guint i = 0; arguments->set != NULL && arguments->set[i] != NULL; i++)
    if (!set_field (config, arguments->set[i], error))
      return FALSE;
  if (!peft_config_validate (config, error))
    return FALSE;
  *out = g_steal_pointer (&config);
  return TRUE;
}

CliStatus
cli_train_fail_config (const char *command, const CliTrainArguments *arguments, GError *error)
{
  if (arguments->config != NULL || g_error_matches (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED))
    return cli_fail (error);
  return cli_usage (command, "%s", error->message);
}

/* *task is as it was where the configuration has none. */
static gboolean
read_task (PeftConfig *config, PeftTask *task, gboolean *found, GError **error)
{
  g_autofree char *json = peft_config_get_field (config, "task_type");
  g_autoptr (GVariant) value = json != NULL ? peft_variant_new_from_json (json, NULL) : NULL;

  *found = value != NULL && g_variant_is_of_type (value, G_VARIANT_TYPE_STRING);
  return !*found || peft_task_from_name (g_variant_get_string (value, NULL), task, error);
}

gboolean
cli_train_find_task (const CliTrainArguments *arguments, PeftConfig *config, PeftTask *task,
                     GError **error)
{
  g_autoptr (PeftConfig) loaded = NULL;
  gboolean configured = FALSE;
  PeftTask asked;

  if (arguments->adapter != NULL)
    {
      loaded = peft_config_load (arguments->adapter, error);
      if (loaded == NULL)
        return FALSE;
      config = loaded;
    }
  if (config != NULL && !read_task (config, task, &configured, error))
    return FALSE;
  if (arguments->task == NULL)
    return configured || peft_base_model_find_task (arguments->model, task, error);
  if (!peft_task_from_name (arguments->task, &asked, error))
    return FALSE;
  if (configured && asked != *task)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("--task %s: task_type of the configuration is %s"), peft_task_get_name (asked),
                   peft_task_get_name (*task));
      return FALSE;
    }
  *task = asked;
  return TRUE;
}

static PeftBaseModel *
open_base (const CliTrainArguments *arguments, PeftTask task, PeftDataset *dataset,
           const CliCommon *common, GCancellable *cancellable, GError **error)
{
  g_autoptr (PeftDevice) device = NULL;
  g_auto (GStrv) labels = NULL;
  PeftLoadDType dtype;

  if (!cli_parse_dtype (common->dtype, &dtype, error)
      || (device = cli_open_device (common, error)) == NULL)
    return NULL;
  if (arguments->adapter != NULL)
    return peft_base_model_load_for_adapter (arguments->model, device, dtype, arguments->adapter,
                                             cancellable, error);
  if ((task == PEFT_TASK_SEQ_CLS || task == PEFT_TASK_TOKEN_CLS) && dataset != NULL)
    {
      labels = peft_dataset_list_labels (dataset, error);
      if (labels == NULL)
        return NULL;
    }
  return peft_base_model_load_for_task (arguments->model, device, dtype, task,
                                        (const char *const *) labels, cancellable, error);
}

PeftModel *
cli_train_make_model (const CliTrainArguments *arguments, PeftConfig *config, PeftTask task,
                      PeftDataset *dataset, const CliCommon *common, GCancellable *cancellable,
                      GError **error)
{
  g_autoptr (PeftBaseModel) base = NULL;
  static const char *const names[] = { "default", NULL };
  g_autoptr (PeftModel) model = NULL;
  gboolean done;

  base = open_base (arguments, task, dataset, common, cancellable, error);
  if (base == NULL)
    return NULL;
  model = peft_model_new (base);
  if (arguments->adapter != NULL)
    done = peft_model_load_adapter (model, arguments->adapter, "default", error);
  else if (config == NULL)
    done = peft_model_add_full_training (model, "default", error);
  else
    done = peft_model_add_adapter (model, "default", config, common->seed, error)
           && (arguments->prefix_text == NULL
               || peft_model_init_prefix_from_text (model, "default", arguments->prefix_text, TRUE,
                                                    cancellable, error));
  return done && peft_model_set_active (model, names, NULL, 0, error) ? g_steal_pointer (&model) : NULL;
}

const char *
cli_train_find_contradiction (const CliTrainArguments *arguments)
{
  if (arguments->config != NULL && arguments->method != NULL)
    return _ ("--config and --method exclude each other");
  if (arguments->adapter != NULL && (arguments->config != NULL || arguments->method != NULL || arguments->set != NULL))
    return _ ("--adapter continues an adapter as it is; --method, --config and --set exclude it");
  if (is_full (arguments) && arguments->set != NULL)
    return _ ("--method full has no fields to --set");
  if (arguments->prefix_text != NULL && (arguments->adapter != NULL || is_full (arguments)))
    return _ ("--prefix-text is for a new adapter of the method PREFIX_TUNING");
  return NULL;
}

gboolean
cli_train_is_anything_given (const CliTrainArguments *self)
{
  return self->data != NULL || self->eval_data != NULL || self->method != NULL || self->preset != NULL
         || self->set != NULL || self->task != NULL || self->prefix_text != NULL || self->config != NULL || self->adapter != NULL
         || cli_properties_is_any_given (self->properties);
}

gboolean
cli_train_apply (const CliTrainArguments *self, const CliCommon *common, PeftTrainer *trainer,
                 GError **error)
{
  g_object_set (trainer, "seed", (guint64) common->seed, NULL);
  return (self->preset == NULL || peft_trainer_apply_preset (trainer, self->preset, error))
         && cli_properties_apply (self->properties, G_OBJECT (trainer), error)
         && peft_trainer_validate (trainer, error);
}
