/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#include "train/peft-optimizer-private.h"

#define SCRATCH_VALUES (1u << 16)

/* Chen et al., "Symbolic discovery of optimization algorithms", arXiv:2302.06675:
 * w ← w − η (sign (β₁ m + (1 − β₁) g) + λ w); m ← β₂ m + (1 − β₂) g. */
static void
lion_part (PeftBackend *backend, const PeftParamGroup *part, const PeftView *scratch,
           const PeftOptimizerStep *step, double lambda)
{
  const PeftUnaryParams sign = { .x = *scratch, .y = *scratch, .op = PEFT_UNARY_SIGN };

  peft_optimizer_add (backend, &part->m, scratch, step->beta1, FALSE);
  peft_optimizer_add (backend, &part->g, scratch, (1 - step->beta1) * step->grad_scale, TRUE);
  peft_backend_run (backend, PEFT_KERNEL_UNARY, &sign);
  if (lambda > 0)
    peft_optimizer_add (backend, &part->w, &part->w, 1 - step->learning_rate * lambda, FALSE);
  peft_optimizer_add (backend, scratch, &part->w, -step->learning_rate, TRUE);
  peft_optimizer_add (backend, &part->m, &part->m, step->beta2, FALSE);
  peft_optimizer_add (backend, &part->g, &part->m, (1 - step->beta2) * step->grad_scale, TRUE);
}

static void
lion_step (PeftParamSet *params, PeftBackend *backend, const PeftOptimizerStep *step)
{
  PeftParamGroup group;

  for (guint decay = 0; decay < 2; decay++)
    if (peft_param_set_get_group (params, decay, &group))
      for (gint64 start = 0, n = group.w.shape[0]; start < n; start += SCRATCH_VALUES)
        {
          const gint64 length = MIN (SCRATCH_VALUES, n - start);
          const PeftView scratch = peft_param_set_get_state (params, TRUE, 0, (gsize) length);
          const PeftParamGroup part = {
            .w = peft_view_slice (&group.w, 0, start, length),
            .g = peft_view_slice (&group.g, 0, start, length),
            .m = peft_view_slice (&group.m, 0, start, length),
          };

          lion_part (backend, &part, &scratch, step, decay ? step->weight_decay : 0);
        }
}

static void
lion_get_memory (PeftParamSet *params, gsize *n_m, gsize *n_v)
{
  *n_v = MIN (*n_m, SCRATCH_VALUES);
}

const PeftOptimizer peft_optimizer_lion = {
  .name = "lion",
  .display_name = N_ ("Lion"),
  .get_memory = lion_get_memory,
  .step = lion_step,
};
