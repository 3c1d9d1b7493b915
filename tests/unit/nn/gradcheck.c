/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradcheck.h"

#include <math.h>
#include "base/peft-random.h"

#define MAX_LEAVES 6
#define STEP 1e-4

static PeftBackend *
reference (void)
{
  static PeftBackend *backend;

  if (backend == NULL)
    {
      g_autoptr (GError) error = NULL;
      backend = peft_backend_open ("reference", 1, &error);
      g_assert_no_error (error);
    }
  return backend;
}

PeftTensor *
gradcheck_ints (PeftTape *tape, guint n_dims, const gint64 *shape, const gint32 *values)
{
  PeftTensor *tensor = peft_tape_alloc (tape, PEFT_DTYPE_I32, n_dims, shape);
  peft_tensor_upload_i32 (tensor, values);
  return tensor;
}

PeftVar *
gradcheck_weigh (PeftTape *tape, PeftVar *y)
{
  const PeftView *view = &y->value->view;
  gsize n = peft_view_n_values (view);
  g_autofree float *numbers = g_new (float, n);
  g_autoptr (PeftTensor) tensor = peft_tape_alloc (tape, PEFT_DTYPE_F64, view->n_dims, view->shape);
  g_autoptr (PeftVar) weights = NULL;
  g_autoptr (PeftVar) product = NULL;

  peft_random_fill_uniform (7, 99, -1, 1, numbers, n);
  peft_tensor_upload_f32 (tensor, numbers);
  weights = peft_tape_constant (tape, tensor);
  product = peft_nn_mul (tape, y, weights);
  return peft_nn_reduce (tape, PEFT_REDUCE_SUM, product, (1u << view->n_dims) - 1);
}

static double
evaluate (GradcheckFunc func, gconstpointer data, const GradcheckLeaf *leaves, guint n_leaves,
          double **values, double **grads)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftArena) arena = peft_arena_new (reference (), 64 << 20, &error);
  double result = 0;

  g_assert_no_error (error);
  {
    PeftTapeOptions options = { .arena = arena, .recording = grads != NULL, .training = TRUE, .seed = 3, .step = 5 };
    g_autoptr (PeftTape) tape = peft_tape_new (&options);
    PeftVar *vars[MAX_LEAVES];
    PeftVar *out;

    for (guint i = 0; i < n_leaves; i++)
      {
        g_autoptr (PeftTensor) tensor
            = peft_tape_alloc (tape, PEFT_DTYPE_F64, leaves[i].n_dims, leaves[i].shape);
        peft_tensor_upload_f64 (tensor, values[i]);
        vars[i] = peft_tape_leaf (tape, tensor);
      }
    out = func (tape, vars, data);
    g_assert_cmpint (peft_view_n_values (&out->value->view), ==, 1);
    peft_tensor_download_f64 (out->value, &result);
    if (grads != NULL)
      peft_tape_backward (tape, out, NULL);
    peft_var_unref (out);
    g_assert_true (peft_tape_check (tape, &error));
    g_assert_no_error (error);
    for (guint i = 0; i < n_leaves; i++)
      {
        if (grads != NULL)
          {
            g_assert_nonnull (peft_var_get_grad (vars[i]));
            peft_tensor_download_f64 (peft_var_get_grad (vars[i]), grads[i]);
          }
        peft_var_unref (vars[i]);
      }
  }
  g_assert_cmpuint (peft_arena_get_in_use (arena), ==, 0);
  return result;
}

double
gradcheck_run (const char *name, GradcheckFunc func, gconstpointer data,
               const GradcheckLeaf *leaves, guint n_leaves)
{
  double *values[MAX_LEAVES], *grads[MAX_LEAVES], largest = 0;

  g_assert_cmpuint (n_leaves, <=, MAX_LEAVES);
  for (guint i = 0; i < n_leaves; i++)
    {
      gsize n = 1;
      double low = leaves[i].low, high = leaves[i].high;

      if (low == 0 && high == 0)
        {
          low = -1;
          high = 1;
        }
      for (guint j = 0; j < leaves[i].n_dims; j++)
        n *= leaves[i].shape[j];
      values[i] = g_new (double, n);
      grads[i] = g_new (double, n);
      for (gsize j = 0; j < n; j++)
        values[i][j] = low + (high - low) * peft_random_uniform (11, i, j);
    }
  evaluate (func, data, leaves, n_leaves, values, grads);
  for (guint i = 0; i < n_leaves; i++)
    {
      gsize n = 1;

      for (guint j = 0; j < leaves[i].n_dims; j++)
        n *= leaves[i].shape[j];
      for (gsize j = 0; j < n; j++)
        {
          double saved = values[i][j], up, down, numeric;

          values[i][j] = saved + STEP;
          up = evaluate (func, data, leaves, n_leaves, values, NULL);
          values[i][j] = saved - STEP;
          down = evaluate (func, data, leaves, n_leaves, values, NULL);
          values[i][j] = saved;
          numeric = (up - down) / (2 * STEP);
          largest = fmax (largest, fabs (numeric));
          if (!(fabs (grads[i][j] - numeric) <= 1e-6 * (1 + fabs (numeric))))
            {
              g_test_message ("%s: leaf %u value %" G_GSIZE_FORMAT ": gradient %.9g, differences %.9g",
                              name, i, j, grads[i][j], numeric);
              g_test_fail ();
            }
        }
    }
  for (guint i = 0; i < n_leaves; i++)
    {
      g_free (values[i]);
      g_free (grads[i]);
    }
  if (largest < 1e-3)
    {
      g_test_message ("%s: no gradient reaches 1e-3", name);
      g_test_fail ();
    }
  return largest;
}
