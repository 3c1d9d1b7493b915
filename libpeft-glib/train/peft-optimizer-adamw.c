/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#include "train/peft-optimizer-private.h"

/* Loshchilov & Hutter, arXiv:1711.05101, as torch.optim.AdamW. */
static void
adamw_step (PeftParamSet *params, PeftBackend *backend, const PeftOptimizerStep *step)
{
  for (guint decay = 0; decay < 2; decay++)
    {
      PeftParamGroup group;
      PeftAdamWParams run = {
        .learning_rate = step->learning_rate,
        .beta1 = step->beta1,
        .beta2 = step->beta2,
        .epsilon = step->epsilon,
        .weight_decay = decay ? step->weight_decay : 0,
        .correction1 = 1 - pow (step->beta1, (double) step->step),
        .correction2 = 1 - pow (step->beta2, (double) step->step),
        .grad_scale = step->grad_scale,
      };

      if (!peft_param_set_get_group (params, decay, &group))
        continue;
      run.w = group.w;
      run.g = group.g;
      run.m = group.m;
      run.v = group.v;
      peft_backend_run (backend, PEFT_KERNEL_ADAMW, &run);
    }
}

const PeftOptimizer peft_optimizer_adamw = {
  .name = "adamw",
  .display_name = N_ ("AdamW"),
  .with_moments = TRUE,
  .step = adamw_step,
};
