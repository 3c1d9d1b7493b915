/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#if !defined (PEFT_GLIB_INSIDE) && !defined (PEFT_GLIB_COMPILATION)
#error "Only <peft-glib.h> can be included directly."
#endif

#include <glib-object.h>
#include "base/peft-version-macros.h"

G_BEGIN_DECLS

#define PEFT_TYPE_TRAINING_PROGRESS (peft_training_progress_get_type ())

typedef struct _PeftTrainingProgress PeftTrainingProgress;

/**
 * PeftTrainingProgress:
 * @step: optimiser steps done
 * @total_steps: optimiser steps of the run
 * @epoch: passes over the data done, with the fraction of the current one
 * @loss: mean cross-entropy of the step's labelled tokens, in nats
 * @extra_loss: the method's own term of the loss; 0 where it has none
 * @learning_rate: the learning rate of the step
 * @grad_norm: norm of all gradients before clipping
 * @tokens: tokens of the step
 * @tokens_per_second: speed, without loading and evaluation
 * @elapsed: seconds since the first step of this run
 * @eta: estimated seconds to the end; negative while unknown
 * @eval_loss: loss of the last evaluation; not a number before the first one
 *
 * A snapshot of a training run.
 *
 * Since: 1.0
 */
struct _PeftTrainingProgress
{
  guint64 step;
  guint64 total_steps;
  double epoch;
  double loss;
  double extra_loss;
  double learning_rate;
  double grad_norm;
  guint64 tokens;
  double tokens_per_second;
  double elapsed;
  double eta;
  double eval_loss;

  /*< private >*/
  gpointer padding[8];
};

PEFT_AVAILABLE_IN_1_0
GType peft_training_progress_get_type (void) G_GNUC_CONST;
PEFT_AVAILABLE_IN_1_0
PeftTrainingProgress *peft_training_progress_copy (const PeftTrainingProgress *self);
PEFT_AVAILABLE_IN_1_0
void peft_training_progress_free (PeftTrainingProgress *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftTrainingProgress, peft_training_progress_free)

G_END_DECLS
