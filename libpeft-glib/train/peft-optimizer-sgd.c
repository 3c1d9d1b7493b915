/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#include "train/peft-optimizer-private.h"

/* As torch.optim.SGD: g' = g + λ w; b ← μ b + g'; w ← w − η b, or with Nesterov's momentum w − η (g' + μ b). */
static void
sgd_step (PeftParamSet *params, PeftBackend *backend, const PeftOptimizerStep *step)
{
  PeftParamGroup group;

  for (guint decay = 0; decay < 2; decay++)
    {
      const double lambda = decay ? step->weight_decay : 0, rate = step->learning_rate;

      if (!peft_param_set_get_group (params, decay, &group))
        continue;
      peft_optimizer_add (backend, &group.m, &group.m, step->momentum, FALSE);
      peft_optimizer_add (backend, &group.g, &group.m, step->grad_scale, TRUE);
      if (lambda > 0)
        peft_optimizer_add (backend, &group.w, &group.m, lambda, TRUE);
      if (step->nesterov)
        {
          /* Before w changes: it is part of g'. */
          peft_optimizer_add (backend, &group.w, &group.w, 1 - rate * lambda, FALSE);
          peft_optimizer_add (backend, &group.g, &group.w, -rate * step->grad_scale, TRUE);
          peft_optimizer_add (backend, &group.m, &group.w, -rate * step->momentum, TRUE);
        }
      else
        peft_optimizer_add (backend, &group.m, &group.w, -rate, TRUE);
    }
}

static void
sgd_get_memory (PeftParamSet *params, gsize *n_m, gsize *n_v)
{
  *n_v = 0;
}

const PeftOptimizer peft_optimizer_sgd = {
  .name = "sgd",
  .display_name = N_ ("SGD"),
  .get_memory = sgd_get_memory,
  .step = sgd_step,
};
