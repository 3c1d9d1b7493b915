/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "peft-model-private.h"
#include "peft-trainer.h"
#include "train/peft-train-loop.h"

/* The values of the properties that are settings of a run; each property finds its own by its offset. */
typedef struct
{
  char *output;
  char *log_json;
  guint epochs;
  guint64 max_steps;
  guint batch_size;
  guint micro_batch;
  guint accumulation;
  guint max_length;
  gboolean packing;
  gboolean shuffle;
  guint64 seed;
  double learning_rate;
  char *schedule;
  double warmup_ratio;
  gint64 warmup_steps;
  char *optimizer;
  double weight_decay;
  double max_grad_norm;
  double beta1;
  double beta2;
  double epsilon;
  double momentum;
  gboolean nesterov;
  double loraplus_ratio;
  double loraplus_embedding_rate;
  gboolean adafactor_scale_parameter;
  gboolean adafactor_relative_step;
  double schedule_cycles;
  double schedule_power;
  double schedule_timescale;
  double eval_fraction;
  guint64 eval_every;
  guint64 save_every;
  guint keep;
  gboolean keep_best;
  guint early_stopping;
  gboolean resume;
  int checkpointing;
  int loss_on;
  char *quantize;
  GStrv sample_prompts;
  guint64 sample_tokens;
} PeftTrainerSettings;

/* Properties with the ids first_id, first_id + 1 …; index is what comes on top of first_id. FALSE: there is no such
 * setting. */
void peft_trainer_settings_install (GObjectClass *object_class, guint first_id);
gboolean peft_trainer_settings_get (const PeftTrainerSettings *self, guint index, GValue *value);
gboolean peft_trainer_settings_set (PeftTrainerSettings *self, guint index, const GValue *value);
void peft_trainer_settings_copy (PeftTrainerSettings *self, const PeftTrainerSettings *other);
void peft_trainer_settings_clear (PeftTrainerSettings *self);

/* A run: what it is made of is copied when it starts, so that the trainer may be changed meanwhile. */
typedef struct
{
  PeftTrainerSettings settings;
  PeftDataset *dataset;
  PeftDataset *eval_dataset; /* (nullable) */
} PeftTrainerRun;

void peft_trainer_run_free (PeftTrainerRun *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftTrainerRun, peft_trainer_run_free)

/* What a run reports to the trainer's signals. */
typedef struct
{
  PeftTrainEvent event;
  PeftTrainingProgress progress;
  char *prompt, *text;
} PeftTrainerEvent;

void peft_trainer_event_free (PeftTrainerEvent *self);

/* Both are work for the model's worker; source is the trainer, data the run. */
gpointer peft_trainer_train_work (gpointer source, gpointer data, PeftRelay *relay,
                                  GCancellable *cancellable, GError **error);
gpointer peft_trainer_plan_work (gpointer source, gpointer data, PeftRelay *relay,
                                 GCancellable *cancellable, GError **error);
/* Any thread. */
void peft_trainer_take_result (PeftTrainer *self, PeftTrainingResult *result);
