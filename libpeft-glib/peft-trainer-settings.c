/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-trainer-private.h"

#include <glib/gi18n-lib.h>

#include "peft-enum-types.h"

/* The trainer's properties that are settings of a run. */

enum
{
  SETTING_OUTPUT,
  SETTING_LOG_JSON,
  SETTING_EPOCHS,
  SETTING_MAX_STEPS,
  SETTING_BATCH_SIZE,
  SETTING_MICRO_BATCH_SIZE,
  SETTING_GRADIENT_ACCUMULATION,
  SETTING_MAX_LENGTH,
  SETTING_PACKING,
  SETTING_SHUFFLE,
  SETTING_SEED,
  SETTING_LEARNING_RATE,
  SETTING_SCHEDULE,
  SETTING_WARMUP_RATIO,
  SETTING_WARMUP_STEPS,
  SETTING_OPTIMIZER,
  SETTING_WEIGHT_DECAY,
  SETTING_MAX_GRAD_NORM,
  SETTING_ADAM_BETA1,
  SETTING_ADAM_BETA2,
  SETTING_ADAM_EPSILON,
  SETTING_MOMENTUM,
  SETTING_NESTEROV,
  SETTING_LORAPLUS_RATIO,
  SETTING_LORAPLUS_EMBEDDING_RATE,
  SETTING_ADAFACTOR_SCALE_PARAMETER,
  SETTING_ADAFACTOR_RELATIVE_STEP,
  SETTING_SCHEDULE_CYCLES,
  SETTING_SCHEDULE_POWER,
  SETTING_SCHEDULE_TIMESCALE,
  SETTING_EVAL_FRACTION,
  SETTING_EVAL_EVERY,
  SETTING_SAVE_EVERY,
  SETTING_KEEP,
  SETTING_KEEP_BEST,
  SETTING_EARLY_STOPPING,
  SETTING_RESUME,
  SETTING_CHECKPOINTING,
  SETTING_LOSS_ON,
  SETTING_QUANTIZE,
  SETTING_SAMPLE_PROMPTS,
  SETTING_SAMPLE_TOKENS,
  N_SETTINGS
};

static const gsize offsets[N_SETTINGS] = {
  [SETTING_OUTPUT] = G_STRUCT_OFFSET (PeftTrainerSettings, output),
  [SETTING_LOG_JSON] = G_STRUCT_OFFSET (PeftTrainerSettings, log_json),
  [SETTING_EPOCHS] = G_STRUCT_OFFSET (PeftTrainerSettings, epochs),
  [SETTING_MAX_STEPS] = G_STRUCT_OFFSET (PeftTrainerSettings, max_steps),
  [SETTING_BATCH_SIZE] = G_STRUCT_OFFSET (PeftTrainerSettings, batch_size),
  [SETTING_MICRO_BATCH_SIZE] = G_STRUCT_OFFSET (PeftTrainerSettings, micro_batch),
  [SETTING_GRADIENT_ACCUMULATION] = G_STRUCT_OFFSET (PeftTrainerSettings, accumulation),
  [SETTING_MAX_LENGTH] = G_STRUCT_OFFSET (PeftTrainerSettings, max_length),
  [SETTING_PACKING] = G_STRUCT_OFFSET (PeftTrainerSettings, packing),
  [SETTING_SHUFFLE] = G_STRUCT_OFFSET (PeftTrainerSettings, shuffle),
  [SETTING_SEED] = G_STRUCT_OFFSET (PeftTrainerSettings, seed),
  [SETTING_LEARNING_RATE] = G_STRUCT_OFFSET (PeftTrainerSettings, learning_rate),
  [SETTING_SCHEDULE] = G_STRUCT_OFFSET (PeftTrainerSettings, schedule),
  [SETTING_WARMUP_RATIO] = G_STRUCT_OFFSET (PeftTrainerSettings, warmup_ratio),
  [SETTING_WARMUP_STEPS] = G_STRUCT_OFFSET (PeftTrainerSettings, warmup_steps),
  [SETTING_OPTIMIZER] = G_STRUCT_OFFSET (PeftTrainerSettings, optimizer),
  [SETTING_WEIGHT_DECAY] = G_STRUCT_OFFSET (PeftTrainerSettings, weight_decay),
  [SETTING_MAX_GRAD_NORM] = G_STRUCT_OFFSET (PeftTrainerSettings, max_grad_norm),
  [SETTING_ADAM_BETA1] = G_STRUCT_OFFSET (PeftTrainerSettings, beta1),
  [SETTING_ADAM_BETA2] = G_STRUCT_OFFSET (PeftTrainerSettings, beta2),
  [SETTING_ADAM_EPSILON] = G_STRUCT_OFFSET (PeftTrainerSettings, epsilon),
  [SETTING_MOMENTUM] = G_STRUCT_OFFSET (PeftTrainerSettings, momentum),
  [SETTING_NESTEROV] = G_STRUCT_OFFSET (PeftTrainerSettings, nesterov),
  [SETTING_LORAPLUS_RATIO] = G_STRUCT_OFFSET (PeftTrainerSettings, loraplus_ratio),
  [SETTING_LORAPLUS_EMBEDDING_RATE] = G_STRUCT_OFFSET (PeftTrainerSettings, loraplus_embedding_rate),
  [SETTING_ADAFACTOR_SCALE_PARAMETER] = G_STRUCT_OFFSET (PeftTrainerSettings, adafactor_scale_parameter),
  [SETTING_ADAFACTOR_RELATIVE_STEP] = G_STRUCT_OFFSET (PeftTrainerSettings, adafactor_relative_step),
  [SETTING_SCHEDULE_TIMESCALE] = G_STRUCT_OFFSET (PeftTrainerSettings, schedule_timescale),
  [SETTING_SCHEDULE_CYCLES] = G_STRUCT_OFFSET (PeftTrainerSettings, schedule_cycles),
  [SETTING_SCHEDULE_POWER] = G_STRUCT_OFFSET (PeftTrainerSettings, schedule_power),
  [SETTING_EVAL_FRACTION] = G_STRUCT_OFFSET (PeftTrainerSettings, eval_fraction),
  [SETTING_EVAL_EVERY] = G_STRUCT_OFFSET (PeftTrainerSettings, eval_every),
  [SETTING_SAVE_EVERY] = G_STRUCT_OFFSET (PeftTrainerSettings, save_every),
  [SETTING_KEEP] = G_STRUCT_OFFSET (PeftTrainerSettings, keep),
  [SETTING_KEEP_BEST] = G_STRUCT_OFFSET (PeftTrainerSettings, keep_best),
  [SETTING_EARLY_STOPPING] = G_STRUCT_OFFSET (PeftTrainerSettings, early_stopping),
  [SETTING_RESUME] = G_STRUCT_OFFSET (PeftTrainerSettings, resume),
  [SETTING_CHECKPOINTING] = G_STRUCT_OFFSET (PeftTrainerSettings, checkpointing),
  [SETTING_LOSS_ON] = G_STRUCT_OFFSET (PeftTrainerSettings, loss_on),
  [SETTING_QUANTIZE] = G_STRUCT_OFFSET (PeftTrainerSettings, quantize),
  [SETTING_SAMPLE_PROMPTS] = G_STRUCT_OFFSET (PeftTrainerSettings, sample_prompts),
  [SETTING_SAMPLE_TOKENS] = G_STRUCT_OFFSET (PeftTrainerSettings, sample_tokens),
};

void
peft_trainer_settings_copy (PeftTrainerSettings *self, const PeftTrainerSettings *other)
{
  *self = *other;
  self->output = g_strdup (other->output);
  self->log_json = g_strdup (other->log_json);
  self->schedule = g_strdup (other->schedule);
  self->optimizer = g_strdup (other->optimizer);
  self->quantize = g_strdup (other->quantize);
  self->sample_prompts = g_strdupv (other->sample_prompts);
}

void
peft_trainer_settings_clear (PeftTrainerSettings *self)
{
  g_clear_pointer (&self->output, g_free);
  g_clear_pointer (&self->log_json, g_free);
  g_clear_pointer (&self->schedule, g_free);
  g_clear_pointer (&self->optimizer, g_free);
  g_clear_pointer (&self->quantize, g_free);
  g_clear_pointer (&self->sample_prompts, g_strfreev);
}

gboolean
peft_trainer_settings_get (const PeftTrainerSettings *self, guint index, GValue *value)
{
  gconstpointer field;

  if (index >= N_SETTINGS)
    return FALSE;
  field = G_STRUCT_MEMBER_P (self, offsets[index]);
  switch (G_TYPE_FUNDAMENTAL (G_VALUE_TYPE (value)))
    {
    case G_TYPE_STRING:
      g_value_set_string (value, *(char *const *) field);
      break;
    case G_TYPE_BOXED:
      g_value_set_boxed (value, *(GStrv const *) field);
      break;
    case G_TYPE_BOOLEAN:
      g_value_set_boolean (value, *(const gboolean *) field);
      break;
    case G_TYPE_ENUM:
      g_value_set_enum (value, *(const int *) field);
      break;
    case G_TYPE_UINT:
      g_value_set_uint (value, *(const guint *) field);
      break;
    case G_TYPE_UINT64:
      g_value_set_uint64 (value, *(const guint64 *) field);
      break;
    case G_TYPE_INT64:
      g_value_set_int64 (value, *(const gint64 *) field);
      break;
    case G_TYPE_DOUBLE:
      g_value_set_double (value, *(const double *) field);
      break;
    default:
      return FALSE;
    }
  return TRUE;
}

gboolean
peft_trainer_settings_set (PeftTrainerSettings *self, guint index, const GValue *value)
{
  gpointer field;

  if (index >= N_SETTINGS)
    return FALSE;
  field = G_STRUCT_MEMBER_P (self, offsets[index]);
  switch (G_TYPE_FUNDAMENTAL (G_VALUE_TYPE (value)))
    {
    case G_TYPE_STRING:
      g_free (*(char **) field);
      *(char **) field = g_value_dup_string (value);
      break;
    case G_TYPE_BOXED:
      g_strfreev (*(GStrv *) field);
      *(GStrv *) field = g_value_dup_boxed (value);
      break;
    case G_TYPE_BOOLEAN:
      *(gboolean *) field = g_value_get_boolean (value);
      break;
    case G_TYPE_ENUM:
      *(int *) field = g_value_get_enum (value);
      break;
    case G_TYPE_UINT:
      *(guint *) field = g_value_get_uint (value);
      break;
    case G_TYPE_UINT64:
      *(guint64 *) field = g_value_get_uint64 (value);
      break;
    case G_TYPE_INT64:
      *(gint64 *) field = g_value_get_int64 (value);
      break;
    case G_TYPE_DOUBLE:
      *(double *) field = g_value_get_double (value);
      break;
    default:
      return FALSE;
    }
  return TRUE;
}

void
peft_trainer_settings_install (GObjectClass *object_class, guint first_id)
{
  GParamSpec *props[N_SETTINGS];
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS;

  /**
   * PeftTrainer:output:
   *
   * The folder that adapter, model card and checkpoints go to; `NULL`: nothing is written.
   *
   * Since: 1.0
   */
  props[SETTING_OUTPUT] = g_param_spec_string (
      "output", N_ ("Output"), N_ ("folder for adapter, model card and checkpoints"), NULL, flags);
  /**
   * PeftTrainer:log-json:
   *
   * A file that gets one JSON object a line: steps, evaluations, and the end.
   *
   * Since: 1.0
   */
  props[SETTING_LOG_JSON] = g_param_spec_string (
      "log-json", N_ ("JSON log"),
      N_ ("file that gets a JSON object a line for steps, evaluations and the end"), NULL, flags);
  /**
   * PeftTrainer:epochs:
   *
   * Passes over the data.
   *
   * Since: 1.0
   */
  props[SETTING_EPOCHS] = g_param_spec_uint ("epochs", N_ ("Epochs"), N_ ("passes over the data"),
                                             1, G_MAXUINT, 3, flags);
  /**
   * PeftTrainer:max-steps:
   *
   * Optimiser steps to train; 0: as [property@Trainer:epochs] says.
   *
   * Since: 1.0
   */
  props[SETTING_MAX_STEPS] = g_param_spec_uint64 (
      "max-steps", N_ ("Steps"), N_ ("optimiser steps, instead of epochs; 0: as epochs say"), 0,
      G_MAXUINT64, 0, flags);
  /**
   * PeftTrainer:batch-size:
   *
   * Rows of a micro-step; 0: chosen, the same on every machine.
   *
   * Since: 1.0
   */
  props[SETTING_BATCH_SIZE] = g_param_spec_uint (
      "batch-size", N_ ("Batch size"), N_ ("rows of a micro-step"), 0, G_MAXUINT32, 0, flags);
  /**
   * PeftTrainer:micro-batch-size:
   *
   * Rows computed at a time; 0: chosen from the memory. It does not change the meaning of the result.
   *
   * Since: 1.0
   */
  props[SETTING_MICRO_BATCH_SIZE]
      = g_param_spec_uint ("micro-batch-size", N_ ("Micro-batch size"),
                           N_ ("rows computed at a time; does not change the result's meaning"), 0,
                           G_MAXUINT32, 0, flags);
  /**
   * PeftTrainer:gradient-accumulation:
   *
   * Micro-steps of an optimiser step.
   *
   * Since: 1.0
   */
  props[SETTING_GRADIENT_ACCUMULATION]
      = g_param_spec_uint ("gradient-accumulation", N_ ("Gradient accumulation"),
                           N_ ("micro-steps of an optimiser step"), 1, G_MAXUINT32, 1, flags);
  /**
   * PeftTrainer:max-length:
   *
   * Tokens of a row that are kept; with packing also the length of a packed row.
   *
   * Since: 1.0
   */
  props[SETTING_MAX_LENGTH]
      = g_param_spec_uint ("max-length", N_ ("Maximum length"),
                           N_ ("tokens of a row that are kept"), 1, G_MAXUINT32, 2048, flags);
  /**
   * PeftTrainer:packing:
   *
   * Whether several short rows share one line of a batch. They do not see each other.
   *
   * Since: 1.0
   */
  props[SETTING_PACKING] = g_param_spec_boolean (
      "packing", N_ ("Packing"), N_ ("let short rows share one line of a batch"), FALSE, flags);
  /**
   * PeftTrainer:shuffle:
   *
   * Whether every epoch has an order of its own.
   *
   * Since: 1.0
   */
  props[SETTING_SHUFFLE] = g_param_spec_boolean (
      "shuffle", N_ ("Shuffle"), N_ ("give every epoch an order of its own"), TRUE, flags);
  /**
   * PeftTrainer:seed:
   *
   * Seed of order, dropout and samples.
   *
   * Since: 1.0
   */
  props[SETTING_SEED] = g_param_spec_uint64 (
      "seed", N_ ("Seed"), N_ ("seed of order, dropout and samples"), 0, G_MAXUINT64, 42, flags);
  /**
   * PeftTrainer:learning-rate:
   *
   * The highest learning rate; below 0: what suits the method.
   *
   * Since: 1.0
   */
  props[SETTING_LEARNING_RATE] = g_param_spec_double (
      "learning-rate", N_ ("Learning rate"),
      N_ ("highest learning rate; auto: what suits the method"), -1, G_MAXDOUBLE, -1, flags);
  /**
   * PeftTrainer:schedule:
   *
   * How the learning rate goes after warm-up: `constant`, `linear`, `cosine` and others.
   *
   * Since: 1.0
   */
  props[SETTING_SCHEDULE] = g_param_spec_string (
      "schedule", N_ ("Schedule"), 
      N_ ("how the learning rate goes: constant, linear, cosine, cosine_with_restarts, polynomial or inverse_sqrt"),
      "cosine", flags);
  /**
   * PeftTrainer:warmup-ratio:
   *
   * Share of the steps in which the learning rate rises from 0.
   *
   * Since: 1.0
   */
  props[SETTING_WARMUP_RATIO] = g_param_spec_double (
      "warmup-ratio", N_ ("Warm-up ratio"),
      N_ ("share of the steps in which the learning rate rises from 0"), 0, 1, 0.03, flags);
  /**
   * PeftTrainer:warmup-steps:
   *
   * Steps in which the learning rate rises from 0; below 0: as [property@Trainer:warmup-ratio] says.
   *
   * Since: 1.0
   */
  props[SETTING_WARMUP_STEPS] = g_param_spec_int64 (
      "warmup-steps", N_ ("Warm-up steps"),
      N_ ("steps in which the learning rate rises from 0; auto: as the ratio says"), -1, G_MAXINT64,
      -1, flags);
  /**
   * PeftTrainer:optimizer:
   *
   * The optimiser: `adamw`, `adafactor`, `sgd`, `lion`, `loraplus` or `lorafa`.
   *
   * `adafactor` takes its learning rate as it is, without scaling it by the parameters, as transformers' trainer does;
   * [property@Trainer:adafactor-scale-parameter] and [property@Trainer:adafactor-relative-step] change that. `loraplus` is
   * AdamW with another learning rate for LoRA's second factors; `lorafa` trains only those. The learning rates that methods
   * recommend are for AdamW and its kin: `lion` wants a third to a tenth of them, `sgd` far higher ones.
   *
   * Since: 1.0
   */
  props[SETTING_OPTIMIZER] = g_param_spec_string ("optimizer", N_ ("Optimiser"),
                                                  N_ ("optimiser: adamw, adafactor, sgd, lion, loraplus or lorafa"),
                                                  "adamw", flags);
  /**
   * PeftTrainer:momentum:
   *
   * Momentum of the optimiser `sgd`.
   *
   * Since: 1.0
   */
  props[SETTING_MOMENTUM] = g_param_spec_double ("momentum", N_ ("Momentum"), N_ ("momentum of sgd"), 0,
                                                 1, 0.9, flags);
  /**
   * PeftTrainer:nesterov:
   *
   * Whether the optimiser `sgd` looks ahead, as Nesterov's does.
   *
   * Since: 1.0
   */
  props[SETTING_NESTEROV] = g_param_spec_boolean (
      "nesterov", N_ ("Nesterov"), N_ ("Nesterov's momentum, for sgd"), FALSE, flags);
  /**
   * PeftTrainer:loraplus-ratio:
   *
   * How many times higher the optimiser `loraplus` sets the learning rate of LoRA's second factors.
   *
   * Since: 1.0
   */
  props[SETTING_LORAPLUS_RATIO] = g_param_spec_double (
      "loraplus-ratio", N_ ("LoRA+ ratio"),
      N_ ("learning rate of B to that of A, for loraplus"), 0, G_MAXDOUBLE, 16, flags);
  /**
   * PeftTrainer:loraplus-embedding-rate:
   *
   * The learning rate that the optimiser `loraplus` has for LoRA's factors of embeddings, before the schedule.
   *
   * Since: 1.0
   */
  props[SETTING_LORAPLUS_EMBEDDING_RATE] = g_param_spec_double (
      "loraplus-embedding-rate", N_ ("LoRA+ embedding rate"),
      N_ ("learning rate of factors of embeddings, for loraplus"), 0, G_MAXDOUBLE, 1e-6, flags);
  /**
   * PeftTrainer:adafactor-scale-parameter:
   *
   * Whether the optimiser `adafactor` multiplies the learning rate by the root mean square of each parameter, at least by
   * 0.001.
   *
   * Since: 1.0
   */
  props[SETTING_ADAFACTOR_SCALE_PARAMETER] = g_param_spec_boolean (
      "adafactor-scale-parameter", N_ ("Scale by parameters"),
      N_ ("let adafactor scale the learning rate by the size of each parameter"), FALSE, flags);
  /**
   * PeftTrainer:adafactor-relative-step:
   *
   * Whether the optimiser `adafactor` makes the learning rate by itself: 0.01 for 10000 steps, then falling with their square
   * root. Learning rate, warm-up and schedule then play no part.
   *
   * Since: 1.0
   */
  props[SETTING_ADAFACTOR_RELATIVE_STEP] = g_param_spec_boolean (
      "adafactor-relative-step", N_ ("Relative step"),
      N_ ("let adafactor make the learning rate by itself, without schedule"), FALSE, flags);
  /**
   * PeftTrainer:schedule-timescale:
   *
   * Steps after the warm-up in which the schedule `inverse_sqrt` falls to 1/√2 of the highest rate; 0: as many as the warm-up
   * has, or 10000 without one.
   *
   * Since: 1.0
   */
  props[SETTING_SCHEDULE_TIMESCALE] = g_param_spec_double (
      "schedule-timescale", N_ ("Time scale"),
      N_ ("time scale of inverse_sqrt in steps; 0: the warm-up's"), 0, G_MAXDOUBLE, 0, flags);
  /**
   * PeftTrainer:schedule-cycles:
   *
   * Number of falls of the schedule `cosine_with_restarts`.
   *
   * Since: 1.0
   */
  props[SETTING_SCHEDULE_CYCLES] = g_param_spec_double (
      "schedule-cycles", N_ ("Cycles"), N_ ("falls of cosine_with_restarts"), 0, G_MAXDOUBLE, 1, flags);
  /**
   * PeftTrainer:schedule-power:
   *
   * Power of the schedule `polynomial`.
   *
   * Since: 1.0
   */
  props[SETTING_SCHEDULE_POWER] = g_param_spec_double (
      "schedule-power", N_ ("Power"), N_ ("power of polynomial"), 0, G_MAXDOUBLE, 1, flags);
  /**
   * PeftTrainer:weight-decay:
   *
   * Weight decay; biases and norm weights have none.
   *
   * Since: 1.0
   */
  props[SETTING_WEIGHT_DECAY] = g_param_spec_double (
      "weight-decay", N_ ("Weight decay"), N_ ("weight decay; biases and norm weights have none"),
      0, G_MAXDOUBLE, 0, flags);
  /**
   * PeftTrainer:max-grad-norm:
   *
   * The norm that gradients are clipped to; 0: they are not.
   *
   * Since: 1.0
   */
  props[SETTING_MAX_GRAD_NORM] = g_param_spec_double (
      "max-grad-norm", N_ ("Maximum gradient norm"),
      N_ ("norm that gradients are clipped to; 0: off"), 0, G_MAXDOUBLE, 1, flags);
  /**
   * PeftTrainer:adam-beta1:
   *
   * Decay of the mean of gradients.
   *
   * Since: 1.0
   */
  props[SETTING_ADAM_BETA1] = g_param_spec_double (
      "adam-beta1", N_ ("Adam β₁"), N_ ("decay of the mean of gradients"), 0, 1, 0.9, flags);
  /**
   * PeftTrainer:adam-beta2:
   *
   * Decay of the mean of squared gradients.
   *
   * Since: 1.0
   */
  props[SETTING_ADAM_BETA2]
      = g_param_spec_double ("adam-beta2", N_ ("Adam β₂"),
                             N_ ("decay of the mean of squared gradients"), 0, 1, 0.999, flags);
  /**
   * PeftTrainer:adam-epsilon:
   *
   * What keeps the division from zero.
   *
   * Since: 1.0
   */
  props[SETTING_ADAM_EPSILON]
      = g_param_spec_double ("adam-epsilon", N_ ("Adam ε"),
                             N_ ("what keeps the division from zero"), 0, G_MAXDOUBLE, 1e-8, flags);
  /**
   * PeftTrainer:eval-fraction:
   *
   * Share of the rows that is set aside for evaluation when there is no [property@Trainer:eval-dataset];
   * 0: none.
   *
   * Since: 1.0
   */
  props[SETTING_EVAL_FRACTION]
      = g_param_spec_double ("eval-fraction", N_ ("Evaluation share"),
                             N_ ("share of the rows set aside for evaluation"), 0, 1, 0, flags);
  /**
   * PeftTrainer:eval-every:
   *
   * Optimiser steps from one evaluation to the next; 0: at the end only.
   *
   * Since: 1.0
   */
  props[SETTING_EVAL_EVERY] = g_param_spec_uint64 (
      "eval-every", N_ ("Evaluate every"),
      N_ ("steps from one evaluation to the next; 0: at the end only"), 0, G_MAXUINT64, 0, flags);
  /**
   * PeftTrainer:save-every:
   *
   * Optimiser steps from one checkpoint to the next; 0: none but when interrupted.
   *
   * Since: 1.0
   */
  props[SETTING_SAVE_EVERY]
      = g_param_spec_uint64 ("save-every", N_ ("Save every"),
                             N_ ("steps from one checkpoint to the next; 0: only when interrupted"),
                             0, G_MAXUINT64, 0, flags);
  /**
   * PeftTrainer:keep:
   *
   * Checkpoints that are kept; 0: all.
   *
   * Since: 1.0
   */
  props[SETTING_KEEP] = g_param_spec_uint (
      "keep", N_ ("Keep"), N_ ("checkpoints that are kept; 0: all"), 0, G_MAXUINT, 3, flags);
  /**
   * PeftTrainer:keep-best:
   *
   * Whether the state with the smallest evaluation loss is the result, not the last one.
   *
   * Since: 1.0
   */
  props[SETTING_KEEP_BEST] = g_param_spec_boolean (
      "keep-best", N_ ("Keep the best"),
      N_ ("give the state with the smallest evaluation loss, not the last one"), FALSE, flags);
  /**
   * PeftTrainer:early-stopping:
   *
   * Evaluations without a smaller loss after which training ends; 0: never.
   *
   * Since: 1.0
   */
  props[SETTING_EARLY_STOPPING] = g_param_spec_uint (
      "early-stopping", N_ ("Early stopping"),
      N_ ("evaluations without a smaller loss after which training ends; 0: never"), 0, G_MAXUINT,
      0, flags);
  /**
   * PeftTrainer:resume:
   *
   * Whether training goes on from the newest whole checkpoint in [property@Trainer:output].
   *
   * Since: 1.0
   */
  props[SETTING_RESUME] = g_param_spec_boolean (
      "resume", N_ ("Resume"), N_ ("go on from the newest whole checkpoint of the output folder"),
      FALSE, flags);
  /**
   * PeftTrainer:checkpointing:
   *
   * Whether activations are kept or computed again.
   *
   * Since: 1.0
   */
  props[SETTING_CHECKPOINTING]
      = g_param_spec_enum ("checkpointing", N_ ("Checkpointing"),
                           N_ ("compute activations again to save memory: auto, on or off"),
                           PEFT_TYPE_CHECKPOINTING, PEFT_CHECKPOINTING_AUTO, flags);
  /**
   * PeftTrainer:loss-on:
   *
   * Which tokens are learnt.
   *
   * Since: 1.0
   */
  props[SETTING_LOSS_ON] = g_param_spec_enum (
      "loss-on", N_ ("Learn"), N_ ("which tokens are learnt: auto, all, completion or assistant"),
      PEFT_TYPE_LOSS_ON, PEFT_LOSS_ON_AUTO, flags);
  /**
   * PeftTrainer:quantize:
   *
   * A type that the base model is quantised to while training: `int8` or `nf4`; `NULL`: none.
   *
   * Since: 1.0
   */
  props[SETTING_QUANTIZE] = g_param_spec_string (
      "quantize", N_ ("Quantise"), N_ ("type that the base model is quantised to while training"),
      NULL, flags);
  /**
   * PeftTrainer:sample-prompts:
   *
   * Prompts that the model answers at each evaluation, else at each checkpoint, and at the end; see
   * [signal@Trainer::sample].
   *
   * Since: 1.0
   */
  props[SETTING_SAMPLE_PROMPTS] = g_param_spec_boxed (
      "sample-prompts", N_ ("Sample prompts"),
      N_ ("prompt that the model answers at evaluations and at the end; may be repeated"),
      G_TYPE_STRV, flags);
  /**
   * PeftTrainer:sample-tokens:
   *
   * New tokens of a sample.
   *
   * Since: 1.0
   */
  props[SETTING_SAMPLE_TOKENS]
      = g_param_spec_uint64 ("sample-tokens", N_ ("Sample length"), N_ ("new tokens of a sample"),
                             1, G_MAXUINT64, 64, flags);

  for (guint i = 0; i < N_SETTINGS; i++)
    g_object_class_install_property (object_class, first_id + i, props[i]);
}
