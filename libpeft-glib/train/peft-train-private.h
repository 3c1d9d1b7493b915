/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "data/peft-data-order.h"
#include "train/peft-checkpoint.h"
#include "train/peft-generate.h"
#include "train/peft-optimizer.h"
#include "train/peft-schedule.h"
#include "train/peft-train-log.h"
#include "train/peft-train-loop.h"

/* What changes from step to step, and is in every checkpoint. */
typedef struct
{
  guint64 step;       /* optimiser steps done; with the fixed order it is the position in the data */
  guint64 micro_step; /* passes so far: the counter of dropout */
  guint64 tokens;
  double seconds;
  double loss, first_loss, eval_loss, best_loss; /* NAN: none yet */
  guint64 best_step;
  guint worse;        /* evaluations since the best one */
} PeftTrainState;

typedef struct
{
  PeftAdapter *adapter;
  PeftCore *core;
  const PeftTrainOptions *options;
  const PeftOptimizer *optimizer;
  const PeftSchedule *schedule;
  PeftTrainFunc func;
  gpointer data;
  GCancellable *cancellable;

  PeftDataSamples *samples;
  const PeftEncodedSet *eval_set; /* NULL: no evaluation */
  PeftDataSamples *eval_samples;
  PeftDataOrder *order;
  PeftEngine *engine;
  PeftDataBatch *batch;
  guint32 *indices; /* [batch_size] */

  double learning_rate;
  guint32 batch_size, micro_batch, accumulation;
  PeftCheckpointing checkpointing;
  guint32 n_batches; /* of an epoch */
  guint64 steps_per_epoch, total_steps, warmup;
  PeftMemoryPlan plan;
  char *data_hash;

  PeftTrainState state;
  guint64 resumed_from;
  guint64 saved_step;     /* of the newest checkpoint of this state */
  guint64 evaluated_step;
  GBytes *best_values;    /* of keep_best without an output folder */
  PeftTrainLog *log;
  PeftGenerate *generate;
  PeftTrainProgress progress;
} PeftTrainRun;

void peft_train_emit (PeftTrainRun *self, PeftTrainEvent event);
void peft_train_note (PeftTrainRun *self, const char *text);

/* peft-train-plan.c: samples, sizes, memory. In this order; resume comes between. */
gboolean peft_train_prepare_data (PeftTrainRun *self, GError **error);
gboolean peft_train_choose_sizes (PeftTrainRun *self, GError **error);
gboolean peft_train_reserve (PeftTrainRun *self, GError **error);
/* Batches [first, last) of the epoch that make up a step. */
void peft_train_get_batches (PeftTrainRun *self, guint64 step, guint64 *epoch, guint32 *first,
                             guint32 *last);

/* peft-train-state.c: trainer_state.json. */
PeftJson *peft_train_state_to_json (PeftTrainRun *self);
/* Takes over what was left to us when the checkpoint was made (sizes); before choose_sizes. */
void peft_train_state_adopt (PeftTrainRun *self, PeftCheckpoint *checkpoint);
/* After choose_sizes: refuses another model, data or setting, notes another machine, reads the state. */
gboolean peft_train_state_check (PeftTrainRun *self, PeftCheckpoint *checkpoint, GError **error);

/* peft-train-step.c */
PeftScheduleOptions peft_train_get_schedule_options (PeftTrainRun *self);
gboolean peft_train_step (PeftTrainRun *self, GError **error);
