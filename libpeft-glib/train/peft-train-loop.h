/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "text/peft-tokenizer-core.h"
#include "train/peft-memory.h"

/* Trains an adapter (or a whole model, as a full adapter): synchronous, with progress by callback. */

typedef struct
{
  const char *text; /* as the user gave it */
  const gint32 *ids;
  gsize n_ids;
} PeftSamplePrompt;

typedef struct
{
  /* Data. */
  PeftEncodedSet *train;
  PeftEncodedSet *eval;      /* (nullable) */
  double eval_fraction;      /* of train, when there is no eval; 0: none */
  guint32 max_length;        /* of packed lines */
  gboolean packing, shuffle;

  /* Steps. */
  guint64 epochs;            /* 3 */
  guint64 max_steps;         /* 0: by epochs */
  guint32 batch_size;        /* 0: auto */
  guint32 micro_batch;       /* 0: auto */
  guint32 accumulation;      /* 1 */
  PeftCheckpointing checkpointing;
  guint64 seed;

  /* Optimiser. */
  const char *optimizer, *schedule;
  double learning_rate, weight_decay, max_grad_norm, beta1, beta2, epsilon;
  double warmup_ratio;       /* when warmup_steps < 0 */
  gint64 warmup_steps;
  double momentum;           /* of sgd; 0.9 */
  gboolean nesterov;
  double loraplus_ratio;     /* 16 */
  double loraplus_embedding_rate; /* 1e-6 */
  gboolean adafactor_scale_parameter;
  gboolean adafactor_relative_step; /* neither learning_rate nor schedule count */
  double schedule_cycles, schedule_power; /* 1, 1 */
  double schedule_timescale; /* of inverse_sqrt; 0: by the warm-up */

  /* Output. */
  const char *output;        /* folder; NULL: nothing is written */
  const char *log_json;      /* (nullable) file */
  guint64 eval_every, save_every; /* 0: at the end only, never */
  guint keep;                /* 3; 0: all */
  gboolean keep_best;        /* write the best evaluated state, not the last */
  guint early_stopping;      /* evaluations without a better loss; 0: off */
  gboolean resume;
  const char *base_name;     /* of the base model, for the model card; NULL: the core's path */
  const char *const *data_names; /* (nullable), for the model card */
  const char *quantize;      /* (nullable) */

  /* Samples: generated at each evaluation, else at each checkpoint, and at the end. */
  const PeftSamplePrompt *sample_prompts;
  guint n_sample_prompts;
  guint64 sample_tokens;     /* new tokens of a sample; 64 */
  PeftTokenizerCore *tokenizer; /* (nullable) for their text */

  guint64 memory;            /* bytes the run may plan with; 0: what the machine has */
} PeftTrainOptions;

/* The defaults of the command line; learning_rate is left at -1 and means the method's. */
void peft_train_options_init (PeftTrainOptions *self);

typedef enum
{
  PEFT_TRAIN_PLANNED,    /* before the first step: plan, total_steps … are known */
  PEFT_TRAIN_STEP,
  PEFT_TRAIN_EVALUATED,
  PEFT_TRAIN_CHECKPOINT, /* text: its folder */
  PEFT_TRAIN_SAMPLE,     /* prompt, text */
  PEFT_TRAIN_NOTE        /* text: something to tell the user once */
} PeftTrainEvent;

typedef struct
{
  PeftTrainEvent event;
  guint64 step, total_steps; /* optimiser steps done */
  double epoch;
  double loss, extra_loss, learning_rate, grad_norm;
  guint64 tokens;            /* of the step */
  double tokens_per_second;
  double eval_loss;
  guint32 batch_size, micro_batch;
  gboolean checkpointing;
  guint64 trainable_parameters, all_parameters;
  const PeftMemoryPlan *plan;
  const char *prompt, *text;
} PeftTrainProgress;

/* In the calling thread, between steps. */
typedef void (*PeftTrainFunc) (const PeftTrainProgress *progress, gpointer data);

typedef struct
{
  guint64 steps, total_steps;
  double loss;       /* of the last step */
  double first_loss;
  double eval_loss, best_loss; /* NAN: never evaluated */
  guint64 best_step;
  guint64 tokens;
  double seconds;
  guint64 trainable_parameters, all_parameters, peak_memory;
  gboolean stopped_early;
  guint64 resumed_from; /* step; 0: from the start */
  double learning_rate;
  guint32 batch_size, micro_batch;
  gboolean checkpointing;
} PeftTrainResult;

/* The adapter must be active and, afterwards, holds the state after the last completed step, also when this fails
 * or is cancelled (G_IO_ERROR_CANCELLED; a checkpoint has then been written when there is an output folder).
 * result is filled in either case. */
gboolean peft_train (PeftAdapter *adapter, const PeftTrainOptions *options, PeftTrainFunc func,
                     gpointer data, GCancellable *cancellable, PeftTrainResult *result,
                     GError **error);

/* What a run would need and do, without starting it: of result the sizes and counts. */
gboolean peft_train_plan (PeftAdapter *adapter, const PeftTrainOptions *options,
                          PeftTrainResult *result, PeftMemoryPlan *plan, GError **error);
