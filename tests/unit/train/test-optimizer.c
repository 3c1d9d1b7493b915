/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>

#include "base/peft-error.h"
#include "train/peft-optimizer.h"

/* Three clipped steps of torch.optim.AdamW (lr 0.05, betas 0.9 and 0.95, eps 1e-6, weight decay 0.1 on the first
 * tensor only) in float64. */

static const float start_decayed[] = { 0.5f, -1.25f, 2.0f, 0.125f };
static const float start_plain[] = { 1.0f, -0.5f, 0.25f };
static const double gradients[3][7] = {
  { 0.3, -2.0, 0.01, 1.5, 0.2, -0.1, 4.0 },
  { -0.4, 1.0, 0.02, 0.5, 0.1, -0.3, -2.0 },
  { 0.05, 0.25, -0.5, 0.75, 0.0, 0.6, 1.0 },
};
static const double norms[] = { 4.731817832503699, 2.3474241201793933, 1.4958275301651591 };
static const double end[] = {
  0.47778509515795087, -1.195443425062862, 1.9074811063498989, -0.022608210125649356,
  0.8608448659511929, -0.4282565168532261, 0.18913565368600604,
};

static void
run_steps (const char *device, double tolerance)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftBackend) backend = peft_backend_open (device, 1, &error);
  g_autoptr (PeftParamSet) set = NULL;
  const PeftOptimizer *adamw = peft_optimizer_require ("adamw", &error);
  const gint64 four = 4, three = 3;
  PeftParam *params[2];
  double values[7];

  g_assert_no_error (error);
  set = peft_param_set_new (backend);
  /* Declared in the other order than they lie in memory. */
  params[1] = peft_param_set_add (set, "plain", 1, &three, FALSE,
                                  g_memdup2 (start_plain, sizeof start_plain));
  params[0] = peft_param_set_add (set, "decayed", 1, &four, TRUE,
                                  g_memdup2 (start_decayed, sizeof start_decayed));
  peft_param_set_allocate (set, &error);
  g_assert_no_error (error);
  peft_param_set_begin_training (set, peft_param_set_get_n_trained (set), peft_param_set_get_n_trained (set), &error);
  g_assert_no_error (error);

  for (guint i = 0; i < 3; i++)
    {
      PeftOptimizerStep step = {
        .learning_rate = 0.05, .weight_decay = 0.1, .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-6,
        .step = i + 1,
      };
      double norm;

      peft_tensor_upload_f64 (params[0]->grad, gradients[i]);
      peft_tensor_upload_f64 (params[1]->grad, gradients[i] + 4);
      norm = peft_param_set_grad_norm (set);
      g_assert_cmpfloat_with_epsilon (norm, norms[i], tolerance * 5);
      step.grad_scale = peft_optimizer_clip_scale (norm, 1.0);
      adamw->step (set, backend, &step);
    }
  peft_tensor_download_f64 (params[0]->value, values);
  peft_tensor_download_f64 (params[1]->value, values + 4);
  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    g_assert_cmpfloat_with_epsilon (values[i], end[i], tolerance);
}

static void
test_reference (void)
{
  run_steps ("reference", 1e-12);
}

static void
test_cpu (void)
{
  g_autoptr (PeftBackend) backend = peft_backend_open ("cpu", 1, NULL);

  if (backend == NULL)
    g_test_skip ("the cpu backend was not built");
  else
    run_steps ("cpu", 1e-6);
}

static void
test_clip (void)
{
  g_assert_cmpfloat (peft_optimizer_clip_scale (0.5, 1), ==, 1);
  g_assert_cmpfloat (peft_optimizer_clip_scale (4, 1), ==, 1 / (4 + 1e-6));
  g_assert_cmpfloat (peft_optimizer_clip_scale (1e9, 0), ==, 1);
}

static void
test_unknown (void)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (peft_optimizer_require ("adam", &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Optimizer/adamw-reference", test_reference);
  g_test_add_func ("/Peft/Optimizer/adamw-cpu", test_cpu);
  g_test_add_func ("/Peft/Optimizer/clip", test_clip);
  g_test_add_func ("/Peft/Optimizer/unknown", test_unknown);
  return g_test_run ();
}
