/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "train/peft-train-loop.h"

#include <inttypes.h>
#include <errno.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <math.h>

#include "base/peft-atomic-file.h"
#include "base/peft-error.h"
#include "train/peft-evaluate.h"
#include "train/peft-model-card.h"
#include "train/peft-train-private.h"

#define SAMPLE_TOKENS 64

/* Learning rate of full training; methods recommend their own. */
#define FULL_RATE 5e-5

void
peft_train_options_init (PeftTrainOptions *self)
{
  *self = (PeftTrainOptions){
    .max_length = 2048,
    .shuffle = TRUE,
    .epochs = 3,
    .accumulation = 1,
    .seed = 42,
    .optimizer = "adamw",
    .momentum = 0.9,
    .loraplus_ratio = 16,
    .loraplus_embedding_rate = 1e-6,
    .schedule_cycles = 1,
    .schedule_power = 1,
    .schedule = "cosine",
    .learning_rate = -1,
    .max_grad_norm = 1,
    .beta1 = 0.9,
    .beta2 = 0.999,
    .epsilon = 1e-8,
    .warmup_ratio = 0.03,
    .warmup_steps = -1,
    .keep = 3,
    .sample_tokens = SAMPLE_TOKENS,
  };
}

/* ---- Reports ------------------------------------------------------------------------------- */

void
peft_train_emit (PeftTrainRun *self, PeftTrainEvent event)
{
  PeftTrainProgress *p = &self->progress;

  p->event = event;
  p->step = self->state.step;
  p->total_steps = self->total_steps;
  p->epoch = self->steps_per_epoch > 0
                 ? (double) self->state.step / (double) self->steps_per_epoch : 0;
  p->eval_loss = self->state.eval_loss;
  p->batch_size = self->batch_size;
  p->micro_batch = self->micro_batch;
  p->checkpointing = self->checkpointing == PEFT_CHECKPOINTING_ON;
  p->plan = &self->plan;
  if (self->func != NULL)
    self->func (p, self->data);
  p->prompt = p->text = NULL;
}

void
peft_train_note (PeftTrainRun *self, const char *text)
{
  self->progress.text = text;
  peft_train_emit (self, PEFT_TRAIN_NOTE);
}

/* ---- What happens between steps ------------------------------------------------------------ */

static gboolean
save_checkpoint (PeftTrainRun *self, GError **error)
{
  const PeftTrainOptions *o = self->options;
  g_autoptr (PeftJson) trainer = NULL;
  g_autofree char *folder = NULL;

  if (o->output == NULL || self->state.step == 0 || self->saved_step == self->state.step)
    return TRUE;
  trainer = peft_train_state_to_json (self);
  folder = peft_checkpoint_write (self->adapter, trainer, o->output, self->state.step, error);
  if (folder == NULL)
    return FALSE;
  self->saved_step = self->state.step;
  if (!peft_checkpoint_prune (o->output, o->keep, o->keep_best ? self->state.best_step : 0, error))
    return FALSE;
  self->progress.text = folder;
  peft_train_emit (self, PEFT_TRAIN_CHECKPOINT);
  return TRUE;
}

/* A new best one is kept at once: in its checkpoint, or in memory when nothing is written. */
static gboolean
note_best (PeftTrainRun *self, double loss, GError **error)
{
  PeftTrainState *s = &self->state;

  if (!isnan (s->best_loss) && !(loss < s->best_loss))
    {
      s->worse++;
      return TRUE;
    }
  s->best_loss = loss;
  s->best_step = s->step;
  s->worse = 0;
  if (!self->options->keep_best)
    return TRUE;
  if (self->options->output != NULL)
    return save_checkpoint (self, error);
  g_clear_pointer (&self->best_values, g_bytes_unref);
  self->best_values = peft_param_set_download_flat (self->adapter->params, 0);
  return TRUE;
}

static gboolean
evaluate (PeftTrainRun *self, GError **error)
{
  PeftEvaluation evaluation;

  if (self->eval_samples == NULL || self->evaluated_step == self->state.step)
    return TRUE;
  if (!peft_evaluate_samples (self->engine, self->eval_set, self->eval_samples, self->micro_batch,
                              self->batch, NULL, NULL, self->cancellable, &evaluation, error))
    return FALSE;
  g_clear_pointer (&evaluation.metrics, peft_json_unref);
  if (!isfinite (evaluation.loss))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FINITE,
                   _ ("step %" PRIu64 ": the evaluation loss is not finite (%g)"),
                   self->state.step, evaluation.loss);
      return FALSE;
    }
  self->evaluated_step = self->state.step;
  self->state.eval_loss = evaluation.loss;
  if (!peft_train_log_eval (self->log, self->state.step, evaluation.loss, error)
      || !note_best (self, evaluation.loss, error))
    return FALSE;
  peft_train_emit (self, PEFT_TRAIN_EVALUATED);
  return TRUE;
}

static gboolean
sample (PeftTrainRun *self, GError **error)
{
  const PeftTrainOptions *o = self->options;

  if (o->n_sample_prompts == 0)
    return TRUE;
  if (self->generate == NULL)
    self->generate = peft_generate_new (self->core, o->tokenizer);
  for (guint i = 0; i < o->n_sample_prompts; i++)
    {
      const PeftSamplePrompt *prompt = &o->sample_prompts[i];
      const PeftPrompt ids = { prompt->ids, prompt->n_ids };
      gint32 eos = o->tokenizer != NULL
                       ? peft_tokenizer_core_get_special_id (o->tokenizer, PEFT_SPECIAL_EOS) : -1;
      PeftGenerateOptions options;
      g_autoptr (GPtrArray) results = NULL;

      peft_generate_options_init (&options);
      options.max_new_tokens = o->sample_tokens;
      /* Prompts name no task; the first one serves. */
      if (self->core->hook != NULL && self->core->hook->n_tasks > 0)
        options.task = 0;
      if (eos >= 0)
        {
          options.eos_ids = &eos;
          options.n_eos_ids = 1;
        }
      /* The weights have changed since the last time. */
      peft_generate_reset (self->generate);
      results = peft_generate_run (self->generate, &ids, 1, &options, NULL, NULL,
                                   self->cancellable, error);
      if (results == NULL)
        return FALSE;
      self->progress.prompt = prompt->text;
      self->progress.text = ((PeftGenerated *) results->pdata[0])->text;
      peft_train_emit (self, PEFT_TRAIN_SAMPLE);
    }
  return TRUE;
}

static gboolean
is_due (guint64 step, guint64 every)
{
  return every > 0 && step % every == 0;
}

static gboolean
after_step (PeftTrainRun *self, GError **error)
{
  const PeftTrainOptions *o = self->options;
  gboolean eval = self->eval_samples != NULL && is_due (self->state.step, o->eval_every);
  gboolean save = is_due (self->state.step, o->save_every);

  self->progress.step = self->state.step;
  if (!peft_train_log_step (self->log, &self->progress, error))
    return FALSE;
  peft_train_emit (self, PEFT_TRAIN_STEP);
  if (eval && !evaluate (self, error))
    return FALSE;
  if (save && !save_checkpoint (self, error))
    return FALSE;
  return !(eval || (save && self->eval_samples == NULL)) || sample (self, error);
}

static gboolean
run_steps (PeftTrainRun *self, PeftTrainResult *result, GError **error)
{
  const guint patience = self->options->early_stopping;

  while (self->state.step < self->total_steps && !result->stopped_early)
    {
      if (patience > 0 && self->state.worse >= patience)
        result->stopped_early = TRUE;
      else if (g_cancellable_set_error_if_cancelled (self->cancellable, error)
               || !peft_train_step (self, error) || !after_step (self, error))
        return FALSE;
    }
  return TRUE;
}

/* ---- Start --------------------------------------------------------------------------------- */

static gboolean
refuse_option (GError **error, const char *what)
{
  g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT, what);
  return FALSE;
}

static gboolean
not_negative (double value)
{
  return value >= 0 && isfinite (value);
}

/* What only some optimisers and schedules take. */
static gboolean
check_optimizer (PeftTrainRun *self, GError **error)
{
  const PeftTrainOptions *o = self->options;
  const gboolean own = o->adafactor_relative_step || o->adafactor_scale_parameter;
  const PeftScheduleOptions schedule = peft_train_get_schedule_options (self);

  self->optimizer = peft_optimizer_require (o->optimizer, error);
  if (self->optimizer == NULL)
    return FALSE;
  self->schedule = peft_schedule_require (o->schedule, error);
  if (self->schedule == NULL)
    return FALSE;
  if (!not_negative (o->momentum) || !not_negative (o->loraplus_ratio)
      || !not_negative (o->loraplus_embedding_rate))
    return refuse_option (error, _ ("momentum, LoRA+ ratio and LoRA+ embedding rate: expected numbers that are not negative"));
  if (!not_negative (o->schedule_cycles) || !not_negative (o->schedule_power)
      || !not_negative (o->schedule_timescale))
    return refuse_option (error, _ ("cycles, power and time scale of a schedule: expected numbers that are not negative"));
  if (o->nesterov && !g_str_equal (self->optimizer->name, "sgd"))
    return refuse_option (error, _ ("nesterov: only the optimizer sgd has it"));
  if (o->nesterov && o->momentum == 0)
    return refuse_option (error, _ ("nesterov: expected a momentum above 0"));
  if (own && !g_str_equal (self->optimizer->name, "adafactor"))
    return refuse_option (error, _ ("relative step and scale parameter: only the optimizer adafactor has them"));
  if (o->adafactor_relative_step && o->learning_rate >= 0)
    return refuse_option (error, _ ("adafactor: relative step makes the learning rate by itself; give one or the other"));
  return o->adafactor_relative_step || peft_schedule_check (self->schedule, &schedule, error);
}

static gboolean
check_options (PeftTrainRun *self, GError **error)
{
  const PeftTrainOptions *o = self->options;

  if (self->adapter->incomplete)
    return refuse_option (error, _ ("the adapter's file holds what its encoder makes, not the encoder: training goes on "
                                    "from a checkpoint's folder (checkpoints/step-N, which has training_state.safetensors), or "
                                    "starts anew"));
  if (o->packing && peft_core_get_n_virtual (self->core) > 0)
    return refuse_option (error, _ ("packing: the adapter's virtual tokens would stand in front of the first row of a line "
                                    "alone; train without packing"));
  if (o->packing && peft_core_get_n_prefix (self->core) > 0 && self->core->dims.window > 0)
    return refuse_option (error, _ ("packing: the model's window would hide the adapter's prefix from all but the first row of a "
                                    "line; train without packing"));
  if (peft_param_set_get_n_trainable (self->adapter->params) == 0)
    return refuse_option (error, _ ("the adapter has nothing to train"));
  if (o->max_steps == 0 && o->epochs == 0)
    return refuse_option (error, _ ("epochs: expected at least 1"));
  if (o->accumulation == 0)
    return refuse_option (error, _ ("gradient accumulation: expected at least 1"));
  if (!(self->learning_rate >= 0) || !isfinite (self->learning_rate))
    return refuse_option (error, _ ("learning rate: expected a number that is not negative"));
  if (!(o->warmup_ratio >= 0 && o->warmup_ratio <= 1))
    return refuse_option (error, _ ("warm-up ratio: expected a number from 0 to 1"));
  if (!(o->beta1 >= 0 && o->beta1 < 1 && o->beta2 >= 0 && o->beta2 < 1))
    return refuse_option (error, _ ("Adam's betas: expected numbers from 0 to below 1"));
  if (!(o->epsilon >= 0) || !(o->weight_decay >= 0) || !(o->max_grad_norm >= 0))
    return refuse_option (error, _ ("epsilon, weight decay and gradient norm: expected numbers that "
                                    "are not negative"));
  if ((o->keep_best || o->early_stopping > 0) && o->eval == NULL && o->eval_fraction == 0)
    return refuse_option (error, _ ("keeping the best and stopping early need evaluation data"));
  if (o->packing && self->core->task == PEFT_TASK_QUESTION_ANS)
    return refuse_option (error, _ ("questions cannot be packed: each needs a line of its own"));
  if (o->n_sample_prompts > 0 && self->core->task != PEFT_TASK_CAUSAL_LM)
    return refuse_option (error, _ ("sample prompts: the model was loaded for a task without writing"));
  if (o->early_stopping > 0 && o->eval_every == 0)
    return refuse_option (error, _ ("stopping early needs an evaluation every so many steps"));
  return check_optimizer (self, error);
}

/* *checkpoint stays NULL where there is nothing to go on from. */
static gboolean
find_checkpoint (PeftTrainRun *self, PeftCheckpoint **checkpoint, GError **error)
{
  const PeftTrainOptions *o = self->options;
  g_autoptr (GPtrArray) skipped = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *folder = NULL;

  *checkpoint = NULL;
  if (o->output == NULL)
    return TRUE;
  folder = g_build_filename (o->output, PEFT_CHECKPOINT_FOLDER, NULL);
  peft_atomic_dir_clean (folder);
  if (!o->resume)
    return TRUE;
  if (!peft_checkpoint_find (o->output, checkpoint, skipped, error))
    return FALSE;
  for (guint i = 0; i < skipped->len; i++)
    {
      g_autofree char *note = g_strdup_printf (_ ("skipped: %s"), (char *) skipped->pdata[i]);
      peft_train_note (self, note);
    }
  if (*checkpoint == NULL)
    peft_train_note (self, _ ("there is no checkpoint to resume from; starting from the beginning"));
  return TRUE;
}

/* Steps of an earlier run would be taken for this one's; but they may be all that is left of it. */
static gboolean
put_old_checkpoints_aside (PeftTrainRun *self, GError **error)
{
  g_autofree char *folder = NULL;
  g_autofree char *aside = NULL;
  g_autofree char *note = NULL;

  if (self->options->output == NULL)
    return TRUE;
  folder = g_build_filename (self->options->output, PEFT_CHECKPOINT_FOLDER, NULL);
  aside = g_strconcat (folder, ".old", NULL);
  if (!g_file_test (folder, G_FILE_TEST_EXISTS))
    return TRUE;
  if (!peft_remove_tree (aside, error))
    return FALSE;
  if (g_rename (folder, aside) != 0)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_IO, _ ("%s: cannot be renamed: %s"), folder,
                   g_strerror (errno));
      return FALSE;
    }
  note = g_strdup_printf (_ ("checkpoints of an earlier run were moved to %s"), aside);
  peft_train_note (self, note);
  return TRUE;
}

static gboolean
make_output (PeftTrainRun *self, GError **error)
{
  const char *output = self->options->output;

  if (output == NULL || g_mkdir_with_parents (output, 0777) == 0)
    return TRUE;
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_IO, _ ("%s: cannot make the folder: %s"), output,
               g_strerror (errno));
  return FALSE;
}

/* Before a checkpoint is compared with the configuration, which may learn the number of steps here. */
static gboolean
begin_method (PeftTrainRun *self, GError **error)
{
  PeftAdapter *adapter = self->adapter;
  const guint n_notes = adapter->notes->len;

  if (adapter->method == NULL || adapter->method->begin_training == NULL)
    return TRUE;
  if (!adapter->method->begin_training (adapter, self->total_steps, error))
    return FALSE;
  for (guint i = n_notes; i < adapter->notes->len; i++)
    peft_train_note (self, adapter->notes->pdata[i]);
  return TRUE;
}

static gboolean
begin_optimizer (PeftTrainRun *self, GError **error)
{
  PeftParamSet *params = self->adapter->params;
  gsize n_m, n_v;

  peft_optimizer_get_memory (self->optimizer, params, &n_m, &n_v);
  return peft_param_set_begin_training (params, n_m, n_v, error)
         && (self->optimizer->begin == NULL || self->optimizer->begin (params, error));
}

static gboolean
start (PeftTrainRun *self, GError **error)
{
  const PeftTrainOptions *o = self->options;
  g_autoptr (PeftCheckpoint) checkpoint = NULL;

  if (!check_options (self, error) || !peft_train_prepare_data (self, error)
      || !find_checkpoint (self, &checkpoint, error))
    return FALSE;
  if (checkpoint != NULL)
    peft_train_state_adopt (self, checkpoint);
  self->engine = peft_engine_new (self->core, self->adapter);
  self->batch = peft_data_batch_new ();
  if (!peft_train_choose_sizes (self, error)
      || !begin_optimizer (self, error)
      || !peft_train_reserve (self, error) || !begin_method (self, error))
    return FALSE;
  peft_test_point ("load");
  if (checkpoint != NULL)
    {
      if (!peft_train_state_check (self, checkpoint, error)
          || !peft_checkpoint_restore (checkpoint, self->adapter, TRUE, error))
        return FALSE;
      self->resumed_from = self->saved_step = checkpoint->step;
      if (!isnan (self->state.eval_loss) && self->state.best_step == self->state.step)
        self->evaluated_step = self->state.step;
    }
  else if (!put_old_checkpoints_aside (self, error))
    return FALSE;

  if (!make_output (self, error))
    return FALSE;
  if (o->log_json != NULL
      && (self->log = peft_train_log_open (o->log_json, self->resumed_from, error)) == NULL)
    return FALSE;
  peft_train_emit (self, PEFT_TRAIN_PLANNED);
  return TRUE;
}

/* ---- End ----------------------------------------------------------------------------------- */

static gboolean
restore_best (PeftTrainRun *self, GError **error)
{
  const PeftTrainState *s = &self->state;
  g_autofree char *name = NULL;
  g_autofree char *folder = NULL;
  g_autoptr (PeftCheckpoint) best = NULL;

  if (!self->options->keep_best || s->best_step == 0 || s->best_step == s->step)
    return TRUE;
  if (self->best_values != NULL)
    return peft_param_set_upload_flat (self->adapter->params, 0, self->best_values, error);
  name = g_strdup_printf ("step-%" PRIu64, s->best_step);
  folder = g_build_filename (self->options->output, PEFT_CHECKPOINT_FOLDER, name, NULL);
  best = peft_checkpoint_open (folder, error);
  return best != NULL && peft_checkpoint_restore (best, self->adapter, FALSE, error);
}

static void
fill_result (PeftTrainRun *self, PeftTrainResult *result)
{
  const PeftTrainState *s = &self->state;

  result->steps = s->step;
  result->total_steps = self->total_steps;
  result->loss = s->loss;
  result->first_loss = s->first_loss;
  result->eval_loss = s->eval_loss;
  result->best_loss = s->best_loss;
  result->best_step = s->best_step;
  result->tokens = s->tokens;
  result->seconds = s->seconds;
  result->trainable_parameters = self->progress.trainable_parameters;
  result->all_parameters = self->progress.all_parameters;
  result->peak_memory = peft_memory_get_peak ();
  result->resumed_from = self->resumed_from;
  result->learning_rate = self->learning_rate;
  result->batch_size = self->batch_size;
  result->micro_batch = self->micro_batch;
  result->checkpointing = self->checkpointing == PEFT_CHECKPOINTING_ON;
}

static gboolean
finish (PeftTrainRun *self, PeftTrainResult *result, GError **error)
{
  const PeftTrainOptions *o = self->options;

  if (!evaluate (self, error) || !restore_best (self, error))
    return FALSE;
  if (o->output != NULL && !peft_adapter_save (self->adapter, o->output, error))
    return FALSE;
  if (!sample (self, error))
    return FALSE;
  fill_result (self, result);
  return (o->output == NULL || peft_model_card_write (self->adapter, o, result, error))
         && peft_train_log_done (self->log, result, error);
}

static void
clear (PeftTrainRun *self)
{
  peft_param_set_end_training (self->adapter->params);
  g_clear_pointer (&self->generate, peft_generate_free);
  g_clear_pointer (&self->log, peft_train_log_free);
  g_clear_pointer (&self->engine, peft_engine_free);
  g_clear_pointer (&self->batch, peft_data_batch_free);
  g_clear_pointer (&self->order, peft_data_order_free);
  g_clear_pointer (&self->samples, peft_data_samples_free);
  g_clear_pointer (&self->eval_samples, peft_data_samples_free);
  g_clear_pointer (&self->best_values, g_bytes_unref);
  g_clear_pointer (&self->indices, g_free);
  g_clear_pointer (&self->data_hash, g_free);
}

/* Parameters of the model with the adapter in it, as peft counts them: weights that are trained in place of
 * frozen ones are there twice, those of full training once. */
static guint64
count_all (PeftAdapter *adapter)
{
  guint64 own = peft_param_set_get_n_own (adapter->params);

  return adapter->method == NULL ? own : own + peft_core_get_n_parameters (adapter->core);
}

static PeftTrainRun
make_run (PeftAdapter *adapter, const PeftTrainOptions *options)
{
  const double recommended = options->adafactor_relative_step ? PEFT_ADAFACTOR_HIGHEST_RATE
                             : adapter->method != NULL        ? adapter->method->learning_rate
                                                              : FULL_RATE;

  return (PeftTrainRun){
    .adapter = adapter,
    .core = adapter->core,
    .options = options,
    .learning_rate = options->learning_rate < 0 ? recommended : options->learning_rate,
    .batch_size = options->batch_size,
    .micro_batch = options->micro_batch,
    .accumulation = options->accumulation,
    .checkpointing = options->checkpointing,
    .state = { .loss = NAN, .first_loss = NAN, .eval_loss = NAN, .best_loss = NAN },
    .evaluated_step = G_MAXUINT64,
    .progress = {
      .trainable_parameters = peft_param_set_get_n_trainable (adapter->params),
      .all_parameters = count_all (adapter),
    },
  };
}

gboolean
peft_train_plan (PeftAdapter *adapter, const PeftTrainOptions *options, PeftTrainResult *result,
                 PeftMemoryPlan *plan, GError **error)
{
  PeftTrainRun run = make_run (adapter, options);
  gboolean done;

  run.engine = peft_engine_new (run.core, adapter);
  done = check_options (&run, error) && peft_train_prepare_data (&run, error)
         && peft_train_choose_sizes (&run, error);
  *result = (PeftTrainResult){ 0 };
  fill_result (&run, result);
  *plan = run.plan;
  clear (&run);
  return done;
}

gboolean
peft_train (PeftAdapter *adapter, const PeftTrainOptions *options, PeftTrainFunc func,
            gpointer data, GCancellable *cancellable, PeftTrainResult *result, GError **error)
{
  PeftTrainRun run = make_run (adapter, options);
  g_autoptr (GError) local_error = NULL;
  gboolean done;

  run.func = func;
  run.data = data;
  run.cancellable = cancellable;
  *result = (PeftTrainResult){ 0 };
  done = start (&run, &local_error);
  if (done)
    {
      done = run_steps (&run, result, &local_error);
      if (!done && g_error_matches (local_error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        {
          g_autoptr (GError) save_error = NULL;

          if (!save_checkpoint (&run, &save_error))
            {
              g_clear_error (&local_error);
              local_error = g_steal_pointer (&save_error);
            }
        }
      done = done && finish (&run, result, &local_error);
    }
  fill_result (&run, result);
  clear (&run);
  if (!done)
    g_propagate_error (error, g_steal_pointer (&local_error));
  return done;
}
