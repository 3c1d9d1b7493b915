/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#if !defined (PEFT_GLIB_INSIDE) && !defined (PEFT_GLIB_COMPILATION)
#error "Only <peft-glib.h> can be included directly."
#endif

#include <glib-object.h>
#include "base/peft-version-macros.h"

G_BEGIN_DECLS

#define PEFT_TYPE_TRAINING_RESULT (peft_training_result_get_type ())

typedef struct _PeftTrainingResult PeftTrainingResult;

/**
 * PeftTrainingResult:
 * @steps: optimiser steps done, those before a resumed run included
 * @total_steps: optimiser steps that the run was to have
 * @resumed_from: the step that the run went on from; 0: it began at the start
 * @first_loss: loss of the first step
 * @loss: loss of the last step
 * @eval_loss: loss of the last evaluation; not a number without one
 * @best_loss: the smallest loss of an evaluation; not a number without one
 * @best_step: the step of @best_loss
 * @tokens: tokens seen
 * @seconds: time the run took
 * @trainable_parameters: numbers that were trained
 * @all_parameters: numbers of base model and adapter together
 * @peak_memory: largest resident memory of the process, in bytes
 * @batch_size: rows of a micro-step, as chosen when it was left open
 * @micro_batch: rows computed at a time
 * @checkpointing: whether layers were computed again in the backward pass
 * @stopped_early: whether evaluations stopped getting better
 *
 * What came out of a training run.
 *
 * Since: 1.0
 */
struct _PeftTrainingResult
{
  guint64 steps;
  guint64 total_steps;
  guint64 resumed_from;
  double first_loss;
  double loss;
  double eval_loss;
  double best_loss;
  guint64 best_step;
  guint64 tokens;
  double seconds;
  guint64 trainable_parameters;
  guint64 all_parameters;
  guint64 peak_memory;
  guint batch_size;
  guint micro_batch;
  gboolean checkpointing;
  gboolean stopped_early;

  /*< private >*/
  gpointer padding[8];
};

PEFT_AVAILABLE_IN_1_0
GType peft_training_result_get_type (void) G_GNUC_CONST;
PEFT_AVAILABLE_IN_1_0
PeftTrainingResult *peft_training_result_copy (const PeftTrainingResult *self);
PEFT_AVAILABLE_IN_1_0
void peft_training_result_free (PeftTrainingResult *self);
PEFT_AVAILABLE_IN_1_0
char *peft_training_result_to_json (const PeftTrainingResult *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftTrainingResult, peft_training_result_free)

G_END_DECLS
