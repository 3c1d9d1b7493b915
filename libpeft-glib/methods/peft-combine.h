/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "methods/peft-combination.h"
#include "methods/peft-method.h"

/* New adapters out of others, as add_weighted_adapter and convert_to_lora of the Python library peft. */

typedef struct
{
  PeftCombination type;
  guint rank;         /* of those with a decomposition; 0: the largest of the sources */
  double clamp;       /* quantile that a decomposition's values are clamped to; 0: none */
  double density;     /* share of the values that pruning keeps */
  gboolean frequency; /* elect signs by how many there are, not by their sum */
  guint64 seed;       /* of random pruning */
} PeftCombineOptions;

/* Adapters of the method LORA, or of IA3, which has one way. weights: one each. */
PeftAdapter *peft_adapter_combine (GPtrArray *adapters, const double *weights, const char *name,
                                   const PeftCombineOptions *options, GCancellable *cancellable,
                                   GError **error);
/* The nearest LoRA to what an adapter adds to the weights. rank: at least 1, or as a number below 1 the share of the
 * squared singular values that is kept. */
PeftAdapter *peft_adapter_convert_to_lora (PeftAdapter *self, const char *name, double rank,
                                           GCancellable *cancellable, GError **error);
