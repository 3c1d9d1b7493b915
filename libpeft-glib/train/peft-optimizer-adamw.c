/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#include "train/peft-optimizer-private.h"

void
peft_optimizer_run_adamw (PeftBackend *backend, const PeftParamGroup *group,
                          const PeftOptimizerStep *step, double learning_rate, double weight_decay,
                          double epsilon)
{
  const PeftAdamWParams run = {
    .w = group->w,
    .g = group->g,
    .m = group->m,
    .v = group->v,
    .learning_rate = learning_rate,
    .beta1 = step->beta1,
    .beta2 = step->beta2,
    .epsilon = epsilon,
    .weight_decay = weight_decay,
    .correction1 = 1 - pow (step->beta1, (double) step->step),
    .correction2 = 1 - pow (step->beta2, (double) step->step),
    .grad_scale = step->grad_scale,
  };

  peft_backend_run (backend, PEFT_KERNEL_ADAMW, &run);
}

/* Loshchilov & Hutter, arXiv:1711.05101, as torch.optim.AdamW. */
static void
adamw_step (PeftParamSet *params, PeftBackend *backend, const PeftOptimizerStep *step)
{
  PeftParamGroup group;

  for (guint decay = 0; decay < 2; decay++)
    if (peft_param_set_get_group (params, decay, &group))
      peft_optimizer_run_adamw (backend, &group, step, step->learning_rate,
                                decay ? step->weight_decay : 0, step->epsilon);
}

const PeftOptimizer peft_optimizer_adamw = {
  .name = "adamw",
  .display_name = N_ ("AdamW"),
  .step = adamw_step,
};
