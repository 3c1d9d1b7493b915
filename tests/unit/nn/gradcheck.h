/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nn/peft-nodes.h"

/* Central differences in float64 on the reference backend. A case builds a scalar from its leaves;
 * the gradient of every leaf value is compared. */

typedef PeftVar *(*GradcheckFunc) (PeftTape *tape, PeftVar *const *leaves, gconstpointer data);

typedef struct
{
  guint n_dims;
  gint64 shape[PEFT_MAX_DIMS];
  double low, high; /* uniform initial values; both 0: -1 … 1 */
} GradcheckLeaf;

/* Fails the test when |analytic - numeric| > 1e-6 · (1 + |numeric|): differences of step 1e-4 in float64
 * leave about 1e-8 of truncation and 1e-11 of rounding for values of order one. Returns the largest gradient. */
double gradcheck_run (const char *name, GradcheckFunc func, gconstpointer data,
                      const GradcheckLeaf *leaves, guint n_leaves);

/* Σ y ⊙ w with fixed irregular weights, so that no gradient cancels. */
PeftVar *gradcheck_weigh (PeftTape *tape, PeftVar *y);
PeftTensor *gradcheck_ints (PeftTape *tape, guint n_dims, const gint64 *shape,
                            const gint32 *values);
