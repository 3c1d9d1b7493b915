/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nn/peft-param.h"

/* Optimisers over the flat memory of a parameter set: one file each, one row in peft-optimizer.c. */

typedef struct
{
  double learning_rate;      /* as the schedule has it */
  double schedule_factor;    /* that the schedule multiplied it with */
  double weight_decay; /* not applied to biases and norm weights */
  double beta1, beta2, epsilon;
  double momentum;     /* of sgd */
  gboolean nesterov;
  double factor_ratio;   /* of loraplus: learning rate of a second factor to that of a first */
  double embedding_rate; /* of loraplus: learning rate of an embedding's factors, before the schedule */
  gboolean scale_parameter; /* of adafactor: the rate counts in root mean squares of each parameter */
  double grad_scale;   /* of clipping */
  guint64 step;        /* from 1 */
} PeftOptimizerStep;

typedef struct
{
  const char *name;         /* "adamw" */
  const char *display_name; /* translatable */
  /* Values that it keeps from step to step, and scratch; NULL: two for each trained one. */
  void (*get_memory) (PeftParamSet *params, gsize *n_m, gsize *n_v);
  /* After the gradients' memory is there; NULL: nothing to do. PEFT_ERROR_UNSUPPORTED for parameters that it is not for. */
  gboolean (*begin) (PeftParamSet *params, GError **error);
  void (*step) (PeftParamSet *params, PeftBackend *backend, const PeftOptimizerStep *step);
} PeftOptimizer;

void peft_optimizer_get_memory (const PeftOptimizer *self, PeftParamSet *params, gsize *n_m,
                                gsize *n_v);
/* PEFT_ERROR_INVALID_ARGUMENT with the names there are. */
const PeftOptimizer *peft_optimizer_require (const char *name, GError **error);
const PeftOptimizer *const *peft_optimizer_list (void); /* NULL-terminated */

/* Adafactor's own learning rate, a function of the step (from 1) alone, and the highest it has. */
#define PEFT_ADAFACTOR_HIGHEST_RATE 1e-2
double peft_optimizer_get_relative_rate (guint64 step);

/* torch.nn.utils.clip_grad_norm_: what gradients of that norm are multiplied with. max_norm 0: 1. */
double peft_optimizer_clip_scale (double norm, double max_norm);
