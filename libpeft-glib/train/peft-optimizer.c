/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "train/peft-optimizer-private.h"

static const PeftOptimizer *const optimizers[] = {
  &peft_optimizer_adamw, &peft_optimizer_adafactor, &peft_optimizer_sgd, &peft_optimizer_lion,
  &peft_optimizer_loraplus, &peft_optimizer_lorafa, NULL,
};

const PeftOptimizer *const *
peft_optimizer_list (void)
{
  return optimizers;
}

const PeftOptimizer *
peft_optimizer_require (const char *name, GError **error)
{
  g_autoptr (GString) known = g_string_new (NULL);

  for (const PeftOptimizer *const *o = optimizers; *o != NULL; o++)
    {
      if (g_str_equal ((*o)->name, name))
        return *o;
      g_string_append_printf (known, "%s%s", known->len > 0 ? ", " : "", (*o)->name);
    }
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
               _ ("optimizer: expected one of %s, found “%s”"), known->str, name);
  return NULL;
}

double
peft_optimizer_clip_scale (double norm, double max_norm)
{
  return max_norm > 0 ? MIN (max_norm / (norm + 1e-6), 1) : 1;
}

void
peft_optimizer_get_memory (const PeftOptimizer *self, PeftParamSet *params, gsize *n_m, gsize *n_v)
{
  *n_m = *n_v = peft_param_set_get_n_trained (params);
  if (self->get_memory != NULL)
    self->get_memory (params, n_m, n_v);
}

void
peft_optimizer_add (PeftBackend *backend, const PeftView *x, const PeftView *y, double alpha,
                    gboolean accumulate)
{
  const PeftCopyParams params = { .x = *x, .y = *y, .alpha = alpha, .accumulate = accumulate };

  peft_backend_run (backend, PEFT_KERNEL_COPY, &params);
}
