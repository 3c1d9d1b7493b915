/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-trainer.h"

#include <glib/gi18n-lib.h>

#include "peft-enum-types.h"
#include "peft-presets.h"
#include "peft-relay.h"
#include "peft-trainer-private.h"
#include "train/peft-optimizer.h"
#include "train/peft-schedule.h"

/**
 * PeftTrainer:
 *
 * Trains the active adapter of a model.
 *
 * Everything that can be set is a property, with the defaults of the command `peft-glib train`. Set what differs, then
 * call [method@Trainer.train] or [method@Trainer.train_async]; the settings are copied when a run starts.
 *
 * When a run ends, is cancelled or fails, the adapter holds the state after the last completed optimiser step, and
 * [method@Trainer.get_result] says how far it came. With an [property@Trainer:output] folder a cancelled run leaves a
 * checkpoint, from which [property@Trainer:resume] goes on with the same numbers, bit by bit.
 *
 * Signals are emitted in the calling thread by synchronous calls; by asynchronous ones in the thread-default main
 * context of the caller, progress not more often than screens are drawn.
 *
 * Since: 1.0
 */
struct _PeftTrainer
{
  GObject parent_instance;

  PeftModel *model;
  PeftDataset *dataset;
  PeftDataset *eval_dataset;
  PeftTrainerSettings settings;
  GMutex mutex;
  PeftTrainingResult *result; /* under mutex */
};

G_DEFINE_FINAL_TYPE (PeftTrainer, peft_trainer, G_TYPE_OBJECT)

enum
{
  PROP_0,
  PROP_MODEL,
  PROP_DATASET,
  PROP_EVAL_DATASET,
  PROP_RESULT,
  N_PROPS /* the first setting */
};
static GParamSpec *props[N_PROPS];

enum
{
  SIGNAL_STARTED,
  SIGNAL_PROGRESS,
  SIGNAL_EVALUATED,
  SIGNAL_CHECKPOINT,
  SIGNAL_SAMPLE,
  SIGNAL_NOTE,
  N_SIGNALS
};
static guint signals[N_SIGNALS];

static void
peft_trainer_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  PeftTrainer *self = PEFT_TRAINER (object);

  switch (id)
    {
    case PROP_MODEL:
      g_value_set_object (value, self->model);
      break;
    case PROP_DATASET:
      g_value_set_object (value, self->dataset);
      break;
    case PROP_EVAL_DATASET:
      g_value_set_object (value, self->eval_dataset);
      break;
    case PROP_RESULT:
      g_value_take_boxed (value, peft_trainer_get_result (self));
      break;
    default:
      if (!peft_trainer_settings_get (&self->settings, id - N_PROPS, value))
        G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
peft_trainer_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  PeftTrainer *self = PEFT_TRAINER (object);

  switch (id)
    {
    case PROP_MODEL:
      self->model = g_value_dup_object (value);
      break;
    case PROP_DATASET:
      g_set_object (&self->dataset, g_value_get_object (value));
      break;
    case PROP_EVAL_DATASET:
      g_set_object (&self->eval_dataset, g_value_get_object (value));
      break;
    default:
      if (!peft_trainer_settings_set (&self->settings, id - N_PROPS, value))
        G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
peft_trainer_finalize (GObject *object)
{
  PeftTrainer *self = PEFT_TRAINER (object);

  peft_trainer_settings_clear (&self->settings);
  g_clear_pointer (&self->result, peft_training_result_free);
  g_clear_object (&self->eval_dataset);
  g_clear_object (&self->dataset);
  g_clear_object (&self->model);
  g_mutex_clear (&self->mutex);
  G_OBJECT_CLASS (peft_trainer_parent_class)->finalize (object);
}

static void
install_signals (void)
{
  /**
   * PeftTrainer::started:
   * @self: the trainer
   * @plan: what [method@Trainer.plan] gives, as JSON text
   *
   * The data is read, the memory is there and the first step begins.
   *
   * Since: 1.0
   */
  signals[SIGNAL_STARTED]
      = g_signal_new ("started", PEFT_TYPE_TRAINER, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                      G_TYPE_NONE, 1, G_TYPE_STRING);
  /**
   * PeftTrainer::progress:
   * @self: the trainer
   * @progress: how far it is
   *
   * An optimiser step is done.
   *
   * A synchronous run emits it for every step. An asynchronous one emits the newest snapshot, not more often than
   * screens are drawn; the last step of a run is never left out.
   *
   * Since: 1.0
   */
  signals[SIGNAL_PROGRESS]
      = g_signal_new ("progress", PEFT_TYPE_TRAINER, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                      G_TYPE_NONE, 1,
                      PEFT_TYPE_TRAINING_PROGRESS | G_SIGNAL_TYPE_STATIC_SCOPE);
  /**
   * PeftTrainer::evaluated:
   * @self: the trainer
   * @step: optimiser steps done
   * @loss: mean loss of the evaluation data
   *
   * An evaluation is done.
   *
   * Since: 1.0
   */
  signals[SIGNAL_EVALUATED]
      = g_signal_new ("evaluated", PEFT_TYPE_TRAINER, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                      G_TYPE_NONE, 2, G_TYPE_UINT64, G_TYPE_DOUBLE);
  /**
   * PeftTrainer::checkpoint:
   * @self: the trainer
   * @folder: where it is
   *
   * A checkpoint is written.
   *
   * Since: 1.0
   */
  signals[SIGNAL_CHECKPOINT]
      = g_signal_new ("checkpoint", PEFT_TYPE_TRAINER, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                      G_TYPE_NONE, 1, G_TYPE_STRING);
  /**
   * PeftTrainer::sample:
   * @self: the trainer
   * @step: optimiser steps done
   * @prompt: one of [property@Trainer:sample-prompts]
   * @text: (nullable): the model's answer; `NULL` when it has no tokenizer
   *
   * The model has answered a prompt.
   *
   * Since: 1.0
   */
  signals[SIGNAL_SAMPLE]
      = g_signal_new ("sample", PEFT_TYPE_TRAINER, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                      G_TYPE_NONE, 3, G_TYPE_UINT64, G_TYPE_STRING, G_TYPE_STRING);
  /**
   * PeftTrainer::note:
   * @self: the trainer
   * @text: something the user should be told once, in their language
   *
   * Rows were cut, a checkpoint was skipped, and the like.
   *
   * Since: 1.0
   */
  signals[SIGNAL_NOTE]
      = g_signal_new ("note", PEFT_TYPE_TRAINER, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                      G_TYPE_NONE, 1, G_TYPE_STRING);
}

static void
peft_trainer_class_init (PeftTrainerClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = peft_trainer_get_property;
  object_class->set_property = peft_trainer_set_property;
  object_class->finalize = peft_trainer_finalize;

  /**
   * PeftTrainer:model:
   *
   * The model whose active adapter is trained.
   *
   * Since: 1.0
   */
  props[PROP_MODEL]
      = g_param_spec_object ("model", NULL, NULL, PEFT_TYPE_MODEL,
                             G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  /**
   * PeftTrainer:dataset:
   *
   * The rows to learn.
   *
   * Since: 1.0
   */
  props[PROP_DATASET] = g_param_spec_object ("dataset", NULL, NULL, PEFT_TYPE_DATASET,
                                             G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS);
  /**
   * PeftTrainer:eval-dataset:
   *
   * Rows to evaluate on.
   *
   * Since: 1.0
   */
  props[PROP_EVAL_DATASET]
      = g_param_spec_object ("eval-dataset", NULL, NULL, PEFT_TYPE_DATASET,
                             G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS);
  /**
   * PeftTrainer:result:
   *
   * What came out of the last run, also of one that was cancelled or failed.
   *
   * Since: 1.0
   */
  props[PROP_RESULT] = g_param_spec_boxed ("result", NULL, NULL, PEFT_TYPE_TRAINING_RESULT,
                                           G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, props);
  peft_trainer_settings_install (object_class, N_PROPS);
  install_signals ();
}

static void
peft_trainer_init (PeftTrainer *self)
{
  g_mutex_init (&self->mutex);
}

/**
 * peft_trainer_new:
 * @model: the model whose active adapter is trained
 * @dataset: the rows to learn
 *
 * Makes a trainer with default settings.
 *
 * Returns: (transfer full): the trainer
 *
 * Since: 1.0
 */
PeftTrainer *
peft_trainer_new (PeftModel *model, PeftDataset *dataset)
{
  g_return_val_if_fail (PEFT_IS_MODEL (model), NULL);
  g_return_val_if_fail (dataset == NULL || PEFT_IS_DATASET (dataset), NULL);

  return g_object_new (PEFT_TYPE_TRAINER, "model", model, "dataset", dataset, NULL);
}

/**
 * peft_trainer_get_model:
 * @self: a trainer
 *
 * Gets the model whose active adapter is trained.
 *
 * Returns: (transfer none): the model
 *
 * Since: 1.0
 */
PeftModel *
peft_trainer_get_model (PeftTrainer *self)
{
  g_return_val_if_fail (PEFT_IS_TRAINER (self), NULL);

  return self->model;
}

/**
 * peft_trainer_get_dataset:
 * @self: a trainer
 *
 * Gets the rows to learn.
 *
 * Returns: (transfer none) (nullable): the rows
 *
 * Since: 1.0
 */
PeftDataset *
peft_trainer_get_dataset (PeftTrainer *self)
{
  g_return_val_if_fail (PEFT_IS_TRAINER (self), NULL);

  return self->dataset;
}

/**
 * peft_trainer_set_dataset:
 * @self: a trainer
 * @dataset: (nullable): rows
 *
 * Sets the rows to learn.
 *
 * Since: 1.0
 */
void
peft_trainer_set_dataset (PeftTrainer *self, PeftDataset *dataset)
{
  g_return_if_fail (PEFT_IS_TRAINER (self));

  g_object_set (self, "dataset", dataset, NULL);
}

/**
 * peft_trainer_get_eval_dataset:
 * @self: a trainer
 *
 * Gets the rows to evaluate on.
 *
 * Returns: (transfer none) (nullable): the rows
 *
 * Since: 1.0
 */
PeftDataset *
peft_trainer_get_eval_dataset (PeftTrainer *self)
{
  g_return_val_if_fail (PEFT_IS_TRAINER (self), NULL);

  return self->eval_dataset;
}

/**
 * peft_trainer_set_eval_dataset:
 * @self: a trainer
 * @dataset: (nullable): rows
 *
 * Sets the rows to evaluate on.
 *
 * Since: 1.0
 */
void
peft_trainer_set_eval_dataset (PeftTrainer *self, PeftDataset *dataset)
{
  g_return_if_fail (PEFT_IS_TRAINER (self));

  g_object_set (self, "eval-dataset", dataset, NULL);
}

/**
 * peft_trainer_apply_preset:
 * @self: a trainer
 * @preset: `quick`, `balanced` or `thorough`
 * @error: return location for an error
 *
 * Sets the number of epochs that we recommend.
 *
 * See [func@preset_apply_to_config] for the other half.
 *
 * Returns: whether there is such a preset
 *
 * Since: 1.0
 */
gboolean
peft_trainer_apply_preset (PeftTrainer *self, const char *preset, GError **error)
{
  const PeftPreset *found;

  g_return_val_if_fail (PEFT_IS_TRAINER (self), FALSE);
  g_return_val_if_fail (preset != NULL, FALSE);

  found = peft_preset_require (preset, error);
  if (found != NULL)
    g_object_set (self, "epochs", found->epochs, NULL);
  return found != NULL;
}

/**
 * peft_trainer_validate:
 * @self: a trainer
 * @error: return location for an error
 *
 * Checks the settings that can be checked without model and data.
 *
 * A run checks them again; this is for telling the user early.
 *
 * Returns: whether they make sense
 *
 * Since: 1.0
 */
gboolean
peft_trainer_validate (PeftTrainer *self, GError **error)
{
  g_return_val_if_fail (PEFT_IS_TRAINER (self), FALSE);

  return peft_schedule_require (self->settings.schedule, error) != NULL
         && peft_optimizer_require (self->settings.optimizer, error) != NULL;
}

void
peft_trainer_take_result (PeftTrainer *self, PeftTrainingResult *result)
{
  g_mutex_lock (&self->mutex);
  g_clear_pointer (&self->result, peft_training_result_free);
  self->result = result;
  g_mutex_unlock (&self->mutex);
}

/**
 * peft_trainer_get_result:
 * @self: a trainer
 *
 * Gets what came out of the last run, also of one that was cancelled or failed.
 *
 * Returns: (transfer full) (nullable): the result; `NULL` before the first run
 *
 * Since: 1.0
 */
PeftTrainingResult *
peft_trainer_get_result (PeftTrainer *self)
{
  PeftTrainingResult *result;

  g_return_val_if_fail (PEFT_IS_TRAINER (self), NULL);

  g_mutex_lock (&self->mutex);
  result = self->result != NULL ? peft_training_result_copy (self->result) : NULL;
  g_mutex_unlock (&self->mutex);
  return result;
}

/* ---- Runs ---------------------------------------------------------------------------------- */

void
peft_trainer_run_free (PeftTrainerRun *self)
{
  peft_trainer_settings_clear (&self->settings);
  g_clear_object (&self->dataset);
  g_clear_object (&self->eval_dataset);
  g_free (self);
}

static PeftTrainerRun *
run_new (PeftTrainer *self)
{
  PeftTrainerRun *run = g_new0 (PeftTrainerRun, 1);

  peft_trainer_settings_copy (&run->settings, &self->settings);
  g_set_object (&run->dataset, self->dataset);
  g_set_object (&run->eval_dataset, self->eval_dataset);
  return run;
}

void
peft_trainer_event_free (PeftTrainerEvent *self)
{
  g_free (self->prompt);
  g_free (self->text);
  g_free (self);
}

static void
emit_event (gpointer object, gpointer data)
{
  const PeftTrainerEvent *event = data;

  switch (event->event)
    {
    case PEFT_TRAIN_PLANNED:
      g_signal_emit (object, signals[SIGNAL_STARTED], 0, event->text);
      break;
    case PEFT_TRAIN_STEP:
      g_signal_emit (object, signals[SIGNAL_PROGRESS], 0, &event->progress);
      break;
    case PEFT_TRAIN_EVALUATED:
      g_signal_emit (object, signals[SIGNAL_EVALUATED], 0, event->progress.step,
                     event->progress.eval_loss);
      break;
    case PEFT_TRAIN_CHECKPOINT:
      g_signal_emit (object, signals[SIGNAL_CHECKPOINT], 0, event->text);
      break;
    case PEFT_TRAIN_SAMPLE:
      g_signal_emit (object, signals[SIGNAL_SAMPLE], 0, event->progress.step, event->prompt,
                     event->text);
      break;
    case PEFT_TRAIN_NOTE:
      g_signal_emit (object, signals[SIGNAL_NOTE], 0, event->text);
      break;
    }
}

static GTask *
task_new (PeftTrainer *self, gpointer tag, GCancellable *cancellable, GAsyncReadyCallback callback,
          gpointer user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, tag);
  g_task_set_task_data (task, run_new (self), (GDestroyNotify) peft_trainer_run_free);
  return task;
}

/**
 * peft_trainer_train:
 * @self: a trainer
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Trains, in the calling thread.
 *
 * Exactly one adapter must be active. A loss or gradient that is not finite ends the run with
 * `PEFT_ERROR_NOT_FINITE` before it does harm. A run that does not fit into the memory fails before its first step
 * with `PEFT_ERROR_OUT_OF_MEMORY`.
 *
 * Returns: (transfer full): what came out
 *
 * Since: 1.0
 */
PeftTrainingResult *
peft_trainer_train (PeftTrainer *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (PeftTrainerRun) run = NULL;
  g_autoptr (PeftRelay) relay = NULL;

  g_return_val_if_fail (PEFT_IS_TRAINER (self), NULL);

  run = run_new (self);
  relay = peft_relay_new_direct (self, emit_event, (GDestroyNotify) peft_trainer_event_free);
  return peft_worker_run (peft_model_get_worker (self->model), _ ("training"), self, run, relay,
                          peft_trainer_train_work, cancellable, error);
}

/**
 * peft_trainer_train_async:
 * @self: a trainer
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when it is done
 * @user_data: data for @callback
 *
 * Trains, on the model's thread.
 *
 * Since: 1.0
 */
void
peft_trainer_train_async (PeftTrainer *self, GCancellable *cancellable,
                          GAsyncReadyCallback callback, gpointer user_data)
{
  g_return_if_fail (PEFT_IS_TRAINER (self));

  peft_worker_run_async (
      peft_model_get_worker (self->model), _ ("training"),
      task_new (self, peft_trainer_train_async, cancellable, callback, user_data),
      peft_relay_new (self, emit_event, (GDestroyNotify) peft_trainer_event_free),
      peft_trainer_train_work, (GDestroyNotify) peft_training_result_free);
}

/**
 * peft_trainer_train_finish:
 * @self: a trainer
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends [method@Trainer.train_async].
 *
 * Returns: (transfer full): what came out
 *
 * Since: 1.0
 */
PeftTrainingResult *
peft_trainer_train_finish (PeftTrainer *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * peft_trainer_plan:
 * @self: a trainer
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Finds out what a run would do and need, without running it.
 *
 * The result is a JSON object: `total_steps`, `batch_size`, `micro_batch`, `checkpointing`,
 * `trainable_parameters`, `all_parameters`, and `memory` with the bytes of `weights`, `mapped` (of these, pages that the
 * system can take back), `adapter`, `training`, `activations`, `scratch`, `buffers`, `total`, and `available`. They are
 * computed by the code that will run.
 *
 * Returns: (transfer full): JSON text
 *
 * Since: 1.0
 */
char *
peft_trainer_plan (PeftTrainer *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (PeftTrainerRun) run = NULL;
  g_autoptr (PeftRelay) relay = NULL;

  g_return_val_if_fail (PEFT_IS_TRAINER (self), NULL);

  run = run_new (self);
  relay = peft_relay_new_direct (self, emit_event, (GDestroyNotify) peft_trainer_event_free);
  return peft_worker_run (peft_model_get_worker (self->model), _ ("planning"), self, run, relay,
                          peft_trainer_plan_work, cancellable, error);
}

/**
 * peft_trainer_plan_async:
 * @self: a trainer
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when it is done
 * @user_data: data for @callback
 *
 * Finds out what a run would do and need, on the model's thread.
 *
 * Since: 1.0
 */
void
peft_trainer_plan_async (PeftTrainer *self, GCancellable *cancellable,
                         GAsyncReadyCallback callback, gpointer user_data)
{
  g_return_if_fail (PEFT_IS_TRAINER (self));

  peft_worker_run_async (
      peft_model_get_worker (self->model), _ ("planning"),
      task_new (self, peft_trainer_plan_async, cancellable, callback, user_data),
      peft_relay_new (self, emit_event, (GDestroyNotify) peft_trainer_event_free),
      peft_trainer_plan_work, g_free);
}

/**
 * peft_trainer_plan_finish:
 * @self: a trainer
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends [method@Trainer.plan_async].
 *
 * Returns: (transfer full): JSON text
 *
 * Since: 1.0
 */
char *
peft_trainer_plan_finish (PeftTrainer *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}
