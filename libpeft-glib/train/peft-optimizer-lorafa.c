/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#include "train/peft-optimizer-private.h"

#include "base/peft-error.h"

#define RIDGE 1e-8

/* LoRA-FA (Zhang et al., arXiv:2308.03303) as peft's LoraFAOptimizer: first factors stay as they are; the gradient of a second one
 * becomes g (A Aᵀ + 1e-8 I)⁻¹ / s², which moves s B A as a full gradient of the weight would, as near as A allows. Adam with weight
 * decay after the step, and with epsilon beside the uncorrected root. */

/* out = (a aᵀ + RIDGE I)⁻¹ by elimination; a [r, n]. */
static double *
invert_square (const float *a, gsize r, gsize n)
{
  g_autofree double *left = g_new (double, r *r);
  double *out = g_new0 (double, r * r);

  for (gsize i = 0; i < r; i++)
    for (gsize j = 0; j < r; j++)
      {
        double sum = i == j ? RIDGE : 0;

        for (gsize k = 0; k < n; k++)
          sum += (double) a[i * n + k] * a[j * n + k];
        left[i * r + j] = sum;
        out[i * r + j] = i == j;
      }
  for (gsize p = 0; p < r; p++)
    {
      double pivot = left[p * r + p];

      for (gsize j = 0; j < r; j++)
        {
          left[p * r + j] /= pivot;
          out[p * r + j] /= pivot;
        }
      for (gsize i = 0; i < r; i++)
        {
          double factor = left[i * r + p];

          for (gsize j = 0; i != p && j < r; j++)
            {
              left[i * r + j] -= factor * left[p * r + j];
              out[i * r + j] -= factor * out[p * r + j];
            }
        }
    }
  return out;
}

static void
project_gradient (PeftParam *param)
{
  gsize rows = (gsize) param->shape[0], r = (gsize) param->shape[1];
  gsize n = (gsize) param->first_factor->shape[1];
  g_autofree float *a = g_new (float, r *n);
  g_autofree float *g = g_new (float, rows *r);
  g_autofree float *row = g_new (float, r);
  g_autofree double *inverse = NULL;
  double scale = 1 / (param->pair_scale * param->pair_scale);

  peft_param_download (param->first_factor, a);
  peft_tensor_download_f32 (param->grad, g);
  inverse = invert_square (a, r, n);
  for (gsize i = 0; i < rows; i++)
    {
      for (gsize j = 0; j < r; j++)
        {
          double sum = 0;

          for (gsize k = 0; k < r; k++)
            sum += g[i * r + k] * inverse[k * r + j];
          row[j] = (float) (scale * sum);
        }
      for (gsize j = 0; j < r; j++)
        g[i * r + j] = row[j];
    }
  peft_tensor_upload_f32 (param->grad, g);
}

static void
lorafa_step (PeftParamSet *params, PeftBackend *backend, const PeftOptimizerStep *step)
{
  const double root = sqrt (1 - pow (step->beta2, (double) step->step));

  for (guint i = 0; i < peft_param_set_get_n (params); i++)
    {
      PeftParam *param = peft_param_set_get (params, i);
      PeftParamGroup group;

      if (param->grad == NULL)
        continue;
      if (param->first_factor != NULL)
        project_gradient (param);
      peft_param_set_get_single (params, param, &group);
      peft_optimizer_run_adamw (backend, &group, step, step->learning_rate, 0, step->epsilon / root);
      if (param->decay && step->weight_decay > 0)
        peft_optimizer_add (backend, &group.w, &group.w, 1 - step->learning_rate * step->weight_decay,
                            FALSE);
    }
}

/* Without memory for its gradient a parameter counts as frozen. */
static gboolean
lorafa_begin (PeftParamSet *params, GError **error)
{
  gboolean found = FALSE;

  for (guint i = 0; i < peft_param_set_get_n (params); i++)
    {
      PeftParam *first = peft_param_set_get (params, i)->first_factor;

      if (first == NULL)
        continue;
      g_clear_pointer (&first->grad, peft_tensor_unref);
      found = TRUE;
    }
  if (!found)
    g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                         _ ("optimizer: lorafa is for adapters of the method LORA"));
  return found;
}

const PeftOptimizer peft_optimizer_lorafa = {
  .name = "lorafa",
  .display_name = N_ ("LoRA-FA"),
  .begin = lorafa_begin,
  .step = lorafa_step,
};
