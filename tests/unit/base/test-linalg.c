/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/peft-linalg.h"

#include <math.h>

#include "base/peft-error.h"
#include "base/peft-random.h"

static const gsize shapes[][2] = { { 1, 1 }, { 7, 3 }, { 3, 7 }, { 40, 40 }, { 130, 17 } };

static float *
random_matrix (gsize rows, gsize columns)
{
  float *a = g_new (float, rows *columns);

  peft_random_fill_normal (5, rows * 1000 + columns, 0.0f, 1.0f, a, rows * columns);
  return a;
}

/* |left · diag (scale) · right - a| ≤ tolerance everywhere; scale NULL: ones. */
static void
check_product (const float *left,
               const float *scale,
               const float *right,
               const float *a,
               gsize rows,
               gsize k,
               gsize columns,
               double tolerance)
{
  for (gsize i = 0; i < rows; i++)
    for (gsize j = 0; j < columns; j++)
      {
        double sum = 0;

        for (gsize l = 0; l < k; l++)
          sum += (double) left[i * k + l] * (scale != NULL ? scale[l] : 1.0f) * right[l * columns + j];
        g_assert_cmpfloat (fabs (sum - a[i * columns + j]), <=, tolerance);
      }
}

/* Columns (by_rows: rows) of a [n, k] (by_rows: [k, n]) matrix are orthonormal. */
static void
check_orthonormal (const float *q, gsize n, gsize k, gboolean by_rows)
{
  for (gsize i = 0; i < k; i++)
    for (gsize j = 0; j <= i; j++)
      {
        double sum = 0;

        for (gsize l = 0; l < n; l++)
          sum += by_rows ? (double) q[i * n + l] * q[j * n + l] : (double) q[l * k + i] * q[l * k + j];
        g_assert_cmpfloat (fabs (sum - (i == j ? 1.0 : 0.0)), <=, 1e-5);
      }
}

static void
test_svd (void)
{
  for (gsize t = 0; t < G_N_ELEMENTS (shapes); t++)
    {
      gsize rows = shapes[t][0], columns = shapes[t][1], k = MIN (rows, columns);
      g_autofree float *a = random_matrix (rows, columns);
      g_autofree float *u = NULL, *s = NULL, *vt = NULL, *only = NULL;
      g_autoptr (GError) error = NULL;

      g_assert_true (peft_linalg_svd (a, rows, columns, &u, &s, &vt, "a", &error));
      g_assert_no_error (error);
      check_product (u, s, vt, a, rows, k, columns, 2e-5);
      check_orthonormal (u, rows, k, FALSE);
      check_orthonormal (vt, columns, k, TRUE);
      for (gsize i = 0; i < k; i++)
        g_assert_true (s[i] >= 0 && (i == 0 || s[i] <= s[i - 1]));
      g_assert_true (peft_linalg_svd (a, rows, columns, NULL, &only, NULL, "a", &error));
      for (gsize i = 0; i < k; i++)
        g_assert_cmpfloat (fabs (only[i] - s[i]), <=, 1e-4);
    }
}

static void
test_qr (void)
{
  /* torch.linalg.qr of [[3, 1], [4, 2]] has q = [[-0.6, -0.8], [-0.8, 0.6]], r = [[-5, -2.2], [0, 0.4]]. */
  static const float small[4] = { 3, 1, 4, 2 }, expected_r[4] = { -5, -2.2f, 0, 0.4f };
  g_autofree float *small_r = NULL;

  g_assert_true (peft_linalg_qr (small, 2, 2, NULL, &small_r, "a", NULL));
  for (gsize i = 0; i < 4; i++)
    g_assert_cmpfloat (fabs (small_r[i] - expected_r[i]), <=, 1e-5);
  for (gsize t = 0; t < G_N_ELEMENTS (shapes); t++)
    {
      gsize rows = shapes[t][0], columns = shapes[t][1], k = MIN (rows, columns);
      g_autofree float *a = random_matrix (rows, columns);
      g_autofree float *q = NULL, *r = NULL;
      g_autoptr (GError) error = NULL;

      g_assert_true (peft_linalg_qr (a, rows, columns, &q, &r, "a", &error));
      g_assert_no_error (error);
      check_product (q, NULL, r, a, rows, k, columns, 2e-5);
      check_orthonormal (q, rows, k, FALSE);
      for (gsize i = 0; i < k; i++)
        for (gsize j = 0; j < i; j++)
          g_assert_cmpfloat (r[i * columns + j], ==, 0.0f);
    }
}

/* Of a matrix of rank 5 plus little noise the first five triples are found, in every shape, twice the same. */
static void
test_low_rank (void)
{
  enum { RANK = 5 };
  static const gsize wide[][2] = { { 60, 45 }, { 45, 60 }, { 9, 200 } };

  for (gsize t = 0; t < G_N_ELEMENTS (wide); t++)
    {
      gsize rows = wide[t][0], columns = wide[t][1];
      g_autofree float *left = random_matrix (rows, RANK);
      g_autofree float *right = random_matrix (RANK, columns);
      g_autofree float *a = g_new0 (float, rows *columns);
      g_autofree float *u = NULL, *s = NULL, *vt = NULL, *again = NULL, *exact = NULL;
      g_autoptr (GError) error = NULL;

      for (gsize i = 0; i < rows; i++)
        for (gsize j = 0; j < columns; j++)
          for (gsize l = 0; l < RANK; l++)
            a[i * columns + j] += left[i * RANK + l] * right[l * columns + j];
      g_assert_true (
          peft_linalg_svd_low_rank (a, rows, columns, RANK, 2, 1, &u, &s, &vt, "a", &error));
      g_assert_no_error (error);
      check_product (u, s, vt, a, rows, RANK, columns, 1e-4);
      check_orthonormal (u, rows, RANK, FALSE);
      check_orthonormal (vt, columns, RANK, TRUE);
      g_assert_true (peft_linalg_svd (a, rows, columns, NULL, &exact, NULL, "a", &error));
      for (gsize i = 0; i < RANK; i++)
        g_assert_cmpfloat (fabs (s[i] - exact[i]), <=, 1e-4 * exact[0]);
      g_assert_true (
          peft_linalg_svd_low_rank (a, rows, columns, RANK, 2, 1, &again, NULL, NULL, "a", &error));
      g_assert_cmpmem (u, rows * RANK * sizeof *u, again, rows * RANK * sizeof *u);
    }
}

static void
test_refusals (void)
{
  static const float bad[4] = { 1, 2, NAN, 4 }, good[4] = { 1, 2, 3, 4 };
  g_autoptr (GError) error = NULL;

  g_assert_false (peft_linalg_svd (bad, 2, 2, NULL, NULL, NULL, "model.a", &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FINITE);
  g_assert_cmpstr (
      error->message, ==,
      "'model.a' cannot be decomposed: the value at row 1, column 0 is not finite");
  g_clear_error (&error);
  g_assert_false (peft_linalg_qr (bad, 2, 2, NULL, NULL, "model.a", &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FINITE);
  g_clear_error (&error);
  g_assert_false (
      peft_linalg_svd_low_rank (good, 2, 2, 3, 1, 0, NULL, NULL, NULL, "model.a", &error));
  g_assert_cmpstr (error->message, ==, "'model.a': rank 3 is not between 1 and 2");
  g_clear_error (&error);
  g_assert_false (peft_linalg_qr (good, 0, 2, NULL, NULL, "model.a", &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/linalg/svd", test_svd);
  g_test_add_func ("/linalg/qr", test_qr);
  g_test_add_func ("/linalg/low-rank", test_low_rank);
  g_test_add_func ("/linalg/refusals", test_refusals);
  return g_test_run ();
}
