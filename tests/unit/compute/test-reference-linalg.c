/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include "compute-testing.h"

static PeftTensor *
real (PeftBackend *backend, guint n_dims, const gint64 *shape, const double *values)
{
  return test_tensor (backend, PEFT_DTYPE_F64, n_dims, shape, values);
}

/* By hand: pivot 4 in row 1, then 2 (row 2 holds -0.5 by then). */
static void
test_lu_factor (void)
{
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);
  g_autoptr (PeftTensor) a = real (backend, DIMS (1, 3, 3), VALUES (2, 1, 1, 4, 4, 0, 2, 4, 8));
  g_autoptr (PeftTensor) pivots = test_tensor (backend, PEFT_DTYPE_I32, DIMS (1, 3), NULL);

  peft_backend_run (backend, PEFT_KERNEL_LU_FACTOR, &(PeftLuFactorParams){ a->view, pivots->view });
  test_assert_values (pivots, 0, VALUES (1, 2, 2));
  test_assert_values (a, 1e-15, VALUES (4, 4, 0, 0.5, 2, 8, 0.5, -0.5, 5));
}

/* A X = B and Aᵀ X = B put back into the product. */
static void
test_lu_solve (void)
{
  static const gint64 sizes[][3] = { { 1, 1, 1 }, { 3, 5, 2 }, { 2, 17, 3 }, { 1, 40, 1 } };
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    for (guint transpose = 0; transpose < 2; transpose++)
      {
        gint64 batch = sizes[i][0], n = sizes[i][1], m = sizes[i][2];
        g_autoptr (PeftTensor) a = test_random (backend, 1, -1, 1, DIMS (batch, n, n));
        g_autoptr (PeftTensor) lu = test_random (backend, 1, -1, 1, DIMS (batch, n, n));
        g_autoptr (PeftTensor) b = test_random (backend, 2, -1, 1, DIMS (batch, n, m));
        g_autoptr (PeftTensor) x = test_random (backend, 2, -1, 1, DIMS (batch, n, m));
        g_autoptr (PeftTensor) product = real (backend, DIMS (batch, n, m), NULL);
        g_autoptr (PeftTensor) pivots = test_tensor (backend, PEFT_DTYPE_I32, DIMS (batch, n), NULL);

        peft_backend_run (backend, PEFT_KERNEL_LU_FACTOR,
                          &(PeftLuFactorParams){ lu->view, pivots->view });
        peft_backend_run (backend, PEFT_KERNEL_LU_SOLVE,
                          &(PeftLuSolveParams){ lu->view, pivots->view, x->view, transpose });
        peft_backend_run (backend, PEFT_KERNEL_MATMUL,
                          &(PeftMatmulParams){ .a = a->view, .b = x->view, .c = product->view,
                                               .trans_a = transpose, .alpha = 1 });
        test_assert_equal (product, b, 1e-11);
      }
}

static void
test_singular (void)
{
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);
  g_autoptr (PeftTensor) a = real (backend, DIMS (1, 2, 2), VALUES (1, 2, 2, 4));
  g_autoptr (PeftTensor) x = real (backend, DIMS (1, 2, 1), VALUES (1, 1));
  g_autoptr (PeftTensor) pivots = test_tensor (backend, PEFT_DTYPE_I32, DIMS (1, 2), NULL);
  g_autofree double *values = NULL;

  peft_backend_run (backend, PEFT_KERNEL_LU_FACTOR, &(PeftLuFactorParams){ a->view, pivots->view });
  peft_backend_run (backend, PEFT_KERNEL_LU_SOLVE,
                    &(PeftLuSolveParams){ a->view, pivots->view, x->view });
  values = test_values (x);
  g_assert_false (isfinite (values[0]) && isfinite (values[1]));
}

static void
test_triangular_solve (void)
{
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);
  const gint64 n = 6, m = 3;

  for (guint v = 0; v < 8; v++)
    {
      gboolean lower = v & 1, unit = (v & 2) != 0, transpose = (v & 4) != 0;
      g_autoptr (PeftTensor) a = test_random (backend, 3, 0.5, 1.5, DIMS (2, n, n));
      g_autoptr (PeftTensor) b = test_random (backend, 4, -1, 1, DIMS (2, n, m));
      g_autoptr (PeftTensor) x = test_random (backend, 4, -1, 1, DIMS (2, n, m));
      g_autoptr (PeftTensor) triangle = NULL;
      g_autoptr (PeftTensor) product = real (backend, DIMS (2, n, m), NULL);
      g_autofree double *values = test_values (a);

      for (gint64 i = 0; i < 2 * n * n; i++)
        {
          gint64 row = i / n % n, column = i % n;
          if (row == column && unit)
            values[i] = 1;
          else if (lower ? column > row : column < row)
            values[i] = 0;
        }
      triangle = real (backend, DIMS (2, n, n), values);
      peft_backend_run (backend, PEFT_KERNEL_TRIANGULAR_SOLVE,
                        &(PeftTriangularSolveParams){ a->view, x->view, lower, unit, transpose });
      peft_backend_run (backend, PEFT_KERNEL_MATMUL,
                        &(PeftMatmulParams){ .a = triangle->view, .b = x->view,
                                             .c = product->view, .trans_a = transpose,
                                             .alpha = 1 });
      test_assert_equal (product, b, 1e-11);
    }
}

static void
test_fft (void)
{
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);
  g_autoptr (PeftTensor) x = real (backend, DIMS (1, 4, 2), VALUES (1, 0, 2, 0, 3, 0, 4, 0));
  g_autoptr (PeftTensor) y = real (backend, DIMS (1, 4, 2), NULL);

  peft_backend_run (backend, PEFT_KERNEL_FFT, &(PeftFftParams){ x->view, y->view });
  test_assert_values (y, 1e-14, VALUES (10, 0, -2, 2, -2, 0, -2, -2));
}

/* The inverse of the transform is n times the input, also in place and for primes; and Parseval holds. */
static void
test_fft_inverse (void)
{
  static const gint64 sizes[] = { 1, 2, 5, 8, 13, 30 };
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      gint64 n = sizes[i];
      g_autoptr (PeftTensor) x = test_random (backend, i, -1, 1, DIMS (3, n, 2));
      g_autoptr (PeftTensor) y = real (backend, DIMS (3, n, 2), NULL);
      g_autofree double *before = test_values (x);
      g_autofree double *middle = NULL;
      double energy = 0, energy_after = 0;

      peft_backend_run (backend, PEFT_KERNEL_FFT, &(PeftFftParams){ x->view, y->view });
      middle = test_values (y);
      for (gint64 j = 0; j < 3 * n * 2; j++)
        {
          energy += before[j] * before[j] * n;
          energy_after += middle[j] * middle[j];
          before[j] *= n;
        }
      g_assert_cmpfloat_with_epsilon (energy, energy_after, 1e-11 * energy);
      peft_backend_run (backend, PEFT_KERNEL_FFT, &(PeftFftParams){ y->view, y->view, TRUE });
      test_assert_values (y, 1e-12, before);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Reference/Linalg/lu-factor", test_lu_factor);
  g_test_add_func ("/Peft/Reference/Linalg/lu-solve", test_lu_solve);
  g_test_add_func ("/Peft/Reference/Linalg/singular", test_singular);
  g_test_add_func ("/Peft/Reference/Linalg/triangular-solve", test_triangular_solve);
  g_test_add_func ("/Peft/Reference/Linalg/fft", test_fft);
  g_test_add_func ("/Peft/Reference/Linalg/fft-inverse", test_fft_inverse);
  return g_test_run ();
}
