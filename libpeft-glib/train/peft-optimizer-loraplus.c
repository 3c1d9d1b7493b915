/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "train/peft-optimizer-private.h"

/* LoRA+ (Hayou et al., arXiv:2402.12354): AdamW with a higher learning rate for the second factors, as peft's
 * create_loraplus_optimizer groups parameters: factors of embeddings have a rate of their own; biases and other vectors go
 * with the second factors. */
static void
loraplus_step (PeftParamSet *params, PeftBackend *backend, const PeftOptimizerStep *step)
{
  for (guint i = 0; i < peft_param_set_get_n (params); i++)
    {
      PeftParam *param = peft_param_set_get (params, i);
      double rate = step->learning_rate;
      PeftParamGroup group;

      if (param->grad == NULL)
        continue;
      if (strstr (param->key, ".lora_embedding_") != NULL)
        rate = step->embedding_rate * step->schedule_factor;
      else if (strstr (param->key, ".lora_B") != NULL || param->n_dims == 1)
        rate *= step->factor_ratio;
      peft_param_set_get_single (params, param, &group);
      peft_optimizer_run_adamw (backend, &group, step, rate, param->decay ? step->weight_decay : 0,
                                step->epsilon);
    }
}

const PeftOptimizer peft_optimizer_loraplus = {
  .name = "loraplus",
  .display_name = N_ ("LoRA+"),
  .step = loraplus_step,
};
