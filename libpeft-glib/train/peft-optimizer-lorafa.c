/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <float.h>
#include <glib/gi18n-lib.h>
#include <math.h>

#include "train/peft-optimizer-private.h"

#include "base/peft-error.h"
#include "base/peft-linalg.h"

#define RIDGE 1e-8

/* LoRA-FA (Zhang et al., arXiv:2308.03303) as peft's LoraFAOptimizer: first factors stay as they are; the gradient of a second one
 * becomes g (A Aᵀ + 1e-8 I)⁺ / s², which moves s B A as a full gradient of the weight would, as near as A allows. Adam with weight
 * decay after the step, and with epsilon beside the uncorrected root.
 * m holds first moments, and of each pair its [r, r] inverse, which stays the same since A does; v second moments and, at its
 * end, scratch for one gradient. */

static gsize
get_n_values (const PeftParam *param)
{
  gsize n = 1;

  for (guint i = 0; i < param->n_dims; i++)
    n *= (gsize) param->shape[i];
  return n;
}

static gsize
get_n_inverse (const PeftParam *param)
{
  return param->first_factor != NULL ? (gsize) (param->shape[1] * param->shape[1]) : 0;
}

/* Those that are trained. */
static GPtrArray *
list_params (PeftParamSet *params)
{
  GPtrArray *list = g_ptr_array_new ();
  g_autoptr (GHashTable) frozen = g_hash_table_new (NULL, NULL);

  for (guint i = 0; i < peft_param_set_get_n (params); i++)
    if (peft_param_set_get (params, i)->first_factor != NULL)
      g_hash_table_add (frozen, peft_param_set_get (params, i)->first_factor);
  for (guint i = 0; i < peft_param_set_get_n (params); i++)
    {
      PeftParam *param = peft_param_set_get (params, i);

      if (param->trainable && !g_hash_table_contains (frozen, param))
        g_ptr_array_add (list, param);
    }
  return list;
}

static void
lorafa_get_memory (PeftParamSet *params, gsize *n_m, gsize *n_v)
{
  g_autoptr (GPtrArray) list = list_params (params);
  gsize scratch = 0;

  *n_m = *n_v = 0;
  for (guint i = 0; i < list->len; i++)
    {
      PeftParam *param = list->pdata[i];
      gsize n = get_n_values (param);

      *n_m += n + get_n_inverse (param);
      *n_v += n;
      if (param->first_factor != NULL)
        scratch = MAX (scratch, n);
    }
  *n_v += scratch;
}

/* out = (A Aᵀ + ridge)⁺; as for torch.linalg.pinv a singular value below r ε of the largest counts as zero. */
static gboolean
invert_square (PeftParam *first, float *out, GError **error)
{
  const gsize r = (gsize) first->shape[0], n = (gsize) first->shape[1];
  g_autofree float *a = g_new (float, r *n);
  g_autofree float *square = g_new (float, r *r);
  g_autofree float *u = NULL;
  g_autofree float *s = NULL;
  g_autofree float *vt = NULL;

  peft_param_download (first, a);
  for (gsize i = 0; i < r; i++)
    for (gsize j = 0; j < r; j++)
      {
        double sum = i == j ? RIDGE : 0;

        for (gsize k = 0; k < n; k++)
          sum += (double) a[i * n + k] * a[j * n + k];
        square[i * r + j] = (float) sum;
      }
  if (!peft_linalg_svd (square, r, r, &u, &s, &vt, first->key, error))
    return FALSE;
  for (gsize i = 0; i < r; i++)
    for (gsize j = 0; j < r; j++)
      {
        double sum = 0;

        for (gsize k = 0; k < r; k++)
          if (s[k] > (float) r * FLT_EPSILON * s[0])
            sum += (double) vt[k * r + i] * u[j * r + k] / s[k];
        out[i * r + j] = (float) sum;
      }
  return TRUE;
}

/* Without memory for its gradient a parameter counts as frozen. */
static gboolean
lorafa_begin (PeftParamSet *params, GError **error)
{
  g_autoptr (GPtrArray) list = list_params (params);
  gboolean found = FALSE;
  gsize offset = 0;

  for (guint i = 0; i < list->len; i++)
    {
      PeftParam *param = list->pdata[i];
      const gsize n_inverse = get_n_inverse (param);
      g_autofree float *inverse = NULL;
      g_autoptr (PeftTensor) state = NULL;
      PeftView view;

      offset += get_n_values (param);
      if (n_inverse == 0)
        continue;
      found = TRUE;
      if (param->pair_scale == 0)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                       _ ("optimizer: lorafa divides by the adapter's scale, which is 0 for %s"), param->key);
          return FALSE;
        }
      inverse = g_new (float, n_inverse);
      if (!invert_square (param->first_factor, inverse, error))
        return FALSE;
      view = peft_param_set_get_state (params, FALSE, offset, n_inverse);
      state = peft_tensor_new_view (view.buffer, &view);
      peft_tensor_upload_f32 (state, inverse);
      g_clear_pointer (&param->first_factor->grad, peft_tensor_unref);
      offset += n_inverse;
    }
  if (!found)
    g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                         _ ("optimizer: lorafa is for adapters of the method LORA"));
  return found;
}

static PeftView
project_gradient (PeftBackend *backend, const PeftParam *param, const PeftView *g,
                  const PeftView *inverse, const PeftView *scratch)
{
  const gint64 r = param->shape[1];
  const gint64 matrix[2] = { param->shape[0], r }, square[2] = { r, r };
  const PeftMatmulParams product = {
    .a = peft_view_reshape (g, 2, matrix),
    .b = peft_view_reshape (inverse, 2, square),
    .c = peft_view_reshape (scratch, 2, matrix),
    .alpha = 1 / (param->pair_scale * param->pair_scale),
  };

  peft_backend_run (backend, PEFT_KERNEL_MATMUL, &product);
  return *scratch;
}

static void
lorafa_step (PeftParamSet *params, PeftBackend *backend, const PeftOptimizerStep *step)
{
  g_autoptr (GPtrArray) list = list_params (params);
  const double root = sqrt (1 - pow (step->beta2, (double) step->step));
  gsize m = 0, v = 0, n_v = 0;

  for (guint i = 0; i < list->len; i++)
    n_v += get_n_values (list->pdata[i]);
  for (guint i = 0; i < list->len; i++)
    {
      PeftParam *param = list->pdata[i];
      const gsize n = get_n_values (param), n_inverse = get_n_inverse (param);
      PeftParamGroup group;

      peft_param_set_get_single (params, param, &group);
      group.m = peft_param_set_get_state (params, FALSE, m, n);
      group.v = peft_param_set_get_state (params, TRUE, v, n);
      if (n_inverse > 0)
        {
          const PeftView inverse = peft_param_set_get_state (params, FALSE, m + n, n_inverse);
          const PeftView scratch = peft_param_set_get_state (params, TRUE, n_v, n);

          group.g = project_gradient (backend, param, &group.g, &inverse, &scratch);
        }
      peft_optimizer_run_adamw (backend, &group, step, step->learning_rate, 0, step->epsilon / root);
      if (param->decay && step->weight_decay > 0)
        peft_optimizer_add (backend, &group.w, &group.w, 1 - step->learning_rate * step->weight_decay,
                            FALSE);
      m += n + n_inverse;
      v += n;
    }
}

const PeftOptimizer peft_optimizer_lorafa = {
  .name = "lorafa",
  .display_name = N_ ("LoRA-FA"),
  .get_memory = lorafa_get_memory,
  .begin = lorafa_begin,
  .step = lorafa_step,
};
