/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/peft-error.h"
#include "compute-testing.h"

static void
test_measures (void)
{
  g_autoptr (PeftBackend) real = peft_backend_open ("reference", 1, NULL);
  g_autoptr (PeftBackend) plan = peft_plan_backend_new (real);
  g_autoptr (PeftArena) arena = peft_arena_new (plan, 0, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftTensor) huge = NULL;
  g_autoptr (PeftTensor) out = NULL;
  double sum = 1;

  g_assert_true (peft_backend_is_plan (plan));
  g_assert_false (peft_backend_is_plan (real));
  g_assert_cmpint (plan->real, ==, PEFT_DTYPE_F64);

  /* A terabyte costs nothing. */
  huge = peft_tensor_new_in (arena, PEFT_DTYPE_F64, DIMS (G_GINT64_CONSTANT (1) << 37), &error);
  g_assert_no_error (error);
  out = peft_tensor_new_in (arena, PEFT_DTYPE_F64, DIMS (1), &error);
  g_assert_no_error (error);
  peft_backend_run (plan, PEFT_KERNEL_FILL, &(PeftFillParams){ .x = huge->view, .value = 1 });
  peft_backend_run (plan, PEFT_KERNEL_SUM_SQUARES,
                    &(PeftSumSquaresParams){ .x = huge->view, .out = out->view });
  peft_tensor_download_f64 (out, &sum);
  g_assert_cmpfloat (sum, ==, 0);
  g_assert_true (peft_backend_sync (plan, &error));
  g_assert_cmpuint (peft_arena_get_peak (arena), ==, (G_GUINT64_CONSTANT (1) << 40) + 64);
}

/* The kernels that the real backend lacks show up before the run. */
static void
test_refusal (void)
{
  g_autoptr (PeftBackend) real = peft_backend_open ("reference", 1, NULL);
  g_autoptr (PeftBackend) plan = peft_plan_backend_new (real);
  g_autoptr (PeftTensor) q = test_tensor (plan, PEFT_DTYPE_F64, DIMS (1, 2, 1, 4), NULL);
  PeftAttentionParams params
      = { .q = q->view, .k = q->view, .v = q->view, .out = q->view, .scale = 1, .soft_cap = 30 };
  g_autoptr (GError) error = NULL;

  peft_backend_run (plan, PEFT_KERNEL_ATTENTION, &params);
  params.soft_cap = 0;
  params.n_prefix = 1;
  peft_backend_run (plan, PEFT_KERNEL_ATTENTION, &params);
  g_assert_false (peft_backend_sync (plan, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED);
  g_assert_nonnull (strstr (error->message, "attention"));
  g_assert_nonnull (strstr (error->message, "soft_cap"));
  g_clear_error (&error);
  g_assert_true (peft_backend_sync (plan, &error));
}

static void
count_call (gpointer data)
{
  (*(guint *) data)++;
}

static void
test_import (void)
{
  g_autoptr (PeftBackend) real = peft_backend_open ("reference", 1, NULL);
  g_autoptr (PeftBackend) plan = peft_plan_backend_new (real);
  guint destroyed = 0;
  PeftBuffer *buffer
      = peft_buffer_new_from_host (plan, &destroyed, 4, count_call, &destroyed, NULL);

  g_assert_cmpuint (destroyed, ==, 0);
  peft_buffer_unref (buffer);
  g_assert_cmpuint (destroyed, ==, 1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/PlanBackend/measures", test_measures);
  g_test_add_func ("/Peft/PlanBackend/refusal", test_refusal);
  g_test_add_func ("/Peft/PlanBackend/import", test_import);
  return g_test_run ();
}
