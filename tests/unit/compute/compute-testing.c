/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute-testing.h"

#include <math.h>
#include "base/peft-random.h"

PeftTensor *
test_tensor (PeftBackend *backend, PeftDType dtype, guint n_dims, const gint64 *shape,
             const double *values)
{
  g_autoptr (GError) error = NULL;
  PeftTensor *tensor = peft_tensor_new_on (backend, dtype, n_dims, shape, &error);
  gint64 n;

  g_assert_no_error (error);
  n = peft_view_n_values (&tensor->view);
  if (values == NULL)
    return tensor;
  if (dtype == PEFT_DTYPE_I32)
    {
      g_autofree gint32 *integers = g_new (gint32, MAX (n, 1));
      for (gint64 i = 0; i < n; i++)
        integers[i] = lrint (values[i]);
      peft_tensor_upload_i32 (tensor, integers);
    }
  else
    peft_tensor_upload_f64 (tensor, values);
  return tensor;
}

PeftTensor *
test_random (PeftBackend *backend, guint stream, double low, double high, guint n_dims,
             const gint64 *shape)
{
  g_autofree double *values = NULL;
  gint64 n = 1;

  for (guint i = 0; i < n_dims; i++)
    n *= shape[i];
  values = g_new (double, MAX (n, 1));
  for (gint64 i = 0; i < n; i++)
    values[i] = low + (high - low) * peft_random_uniform (20240607, stream, i);
  return test_tensor (backend, backend->real, n_dims, shape, values);
}

double *
test_values (PeftTensor *tensor)
{
  g_autoptr (GBytes) bytes = peft_tensor_get_bytes (tensor);
  gint64 n = peft_view_n_values (&tensor->view);
  double *values = g_new (double, MAX (n, 1));
  gconstpointer data = g_bytes_get_data (bytes, NULL);

  if (tensor->view.dtype == PEFT_DTYPE_F64)
    for (gint64 i = 0; i < n; i++)
      values[i] = ((const double *) data)[i];
  else if (tensor->view.dtype == PEFT_DTYPE_I32)
    for (gint64 i = 0; i < n; i++)
      values[i] = ((const gint32 *) data)[i];
  else
    {
      g_autofree float *single = g_new (float, MAX (n, 1));
      peft_dtype_get_info (tensor->view.dtype)->to_f32 (data, single, n);
      for (gint64 i = 0; i < n; i++)
        values[i] = single[i];
    }
  return values;
}

void
test_assert_values (PeftTensor *tensor, double tolerance, const double *expected)
{
  g_autofree double *found = test_values (tensor);
  gint64 n = peft_view_n_values (&tensor->view);

  for (gint64 i = 0; i < n; i++)
    if (!(found[i] == expected[i]
          || fabs (found[i] - expected[i]) <= tolerance * MAX (1, fabs (expected[i]))
          || (isnan (found[i]) && isnan (expected[i]))))
      {
        g_test_message ("value %" G_GINT64_FORMAT ": expected %.17g, found %.17g", i, expected[i],
                        found[i]);
        g_test_fail ();
        return;
      }
}

void
test_assert_equal (PeftTensor *a, PeftTensor *b, double tolerance)
{
  g_autofree double *expected = test_values (b);

  g_assert_cmpint (peft_view_n_values (&a->view), ==, peft_view_n_values (&b->view));
  test_assert_values (a, tolerance, expected);
}

static double
weighted_sum (TestForward forward, gpointer data, PeftTensor *output, const double *dout)
{
  g_autofree double *out = NULL;
  gint64 n = peft_view_n_values (&output->view);
  double sum = 0;

  forward (data);
  out = test_values (output);
  for (gint64 i = 0; i < n; i++)
    sum += out[i] * dout[i];
  return sum;
}

void
test_assert_gradient (TestForward forward, gpointer data, PeftTensor *input, PeftTensor *output,
                      PeftTensor *dout, PeftTensor *gradient)
{
  const double step = 1e-5;
  g_autofree double *x = test_values (input);
  g_autofree double *weights = test_values (dout);
  g_autofree double *found = test_values (gradient);
  gint64 n = peft_view_n_values (&input->view);
  double largest = 0;

  g_assert_cmpint (input->view.dtype, ==, PEFT_DTYPE_F64);
  for (gint64 i = 0; i < n; i++)
    {
      double before = x[i], up, down, expected;

      x[i] = before + step;
      peft_tensor_upload_f64 (input, x);
      up = weighted_sum (forward, data, output, weights);
      x[i] = before - step;
      peft_tensor_upload_f64 (input, x);
      down = weighted_sum (forward, data, output, weights);
      x[i] = before;
      expected = (up - down) / (2 * step);
      largest = MAX (largest, fabs (expected));
      if (!(fabs (found[i] - expected) <= 1e-7 * MAX (1, fabs (expected))))
        {
          g_test_message ("gradient %" G_GINT64_FORMAT ": differences give %.12g, found %.12g", i,
                          expected, found[i]);
          g_test_fail ();
          break;
        }
    }
  /* Restores the input; and a test of zeros would prove nothing. */
  peft_tensor_upload_f64 (input, x);
  forward (data);
  g_assert_cmpfloat (largest, >, 1e-3);
}
