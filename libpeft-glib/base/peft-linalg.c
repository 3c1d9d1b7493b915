/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "base/peft-linalg.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

#include "base/peft-checked.h"
#include "base/peft-error.h"
#include "base/peft-random.h"

/* Fortran's LAPACK and BLAS: matrices lie column by column, and the lengths of strings come last. A row-major matrix is the
 * transposed one there, so that most calls are made on transposes and need no copies. */
void sgesdd_ (const char *job, const int *m, const int *n, float *a, const int *lda, float *s,
              float *u, const int *ldu, float *vt, const int *ldvt, float *work, const int *lwork,
              int *iwork, int *info, size_t job_length);
void sgeqrf_ (const int *m, const int *n, float *a, const int *lda, float *tau, float *work,
              const int *lwork, int *info);
void sorgqr_ (const int *m, const int *n, const int *k, float *a, const int *lda, const float *tau,
              float *work, const int *lwork, int *info);
void sgemm_ (const char *trans_a, const char *trans_b, const int *m, const int *n, const int *k,
             const float *alpha, const float *a, const int *lda, const float *b, const int *ldb,
             const float *beta, float *c, const int *ldc, size_t a_length, size_t b_length);
#ifdef HAVE_OPENBLAS_SET_NUM_THREADS
int openblas_get_num_threads (void);
void openblas_set_num_threads (int n);
#endif

/* Columns that the randomised method computes beyond those asked for. */
#define OVERSAMPLING 8

static GMutex blas_lock;

/* One thread: OpenBLAS splits sums by its own number of threads, and results must not depend on the machine's. */
static int
blas_begin (void)
{
  int before = 1;

  g_mutex_lock (&blas_lock);
#ifdef HAVE_OPENBLAS_SET_NUM_THREADS
  before = openblas_get_num_threads ();
  if (before != 1)
    openblas_set_num_threads (1);
#endif
  return before;
}

static void
blas_end (int before)
{
#ifdef HAVE_OPENBLAS_SET_NUM_THREADS
  if (before != 1)
    openblas_set_num_threads (before);
#endif
  g_mutex_unlock (&blas_lock);
}

static float *
new_matrix (gsize rows, gsize columns, const char *what, GError **error)
{
  guint64 n, size;
  float *out = NULL;

  if (peft_checked_mul (rows, columns, &n) && peft_checked_mul (n, sizeof (float), &size)
      && size <= G_MAXSIZE)
    out = g_try_malloc (MAX ((gsize) size, sizeof (float)));
  if (out == NULL)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY,
                 _ ("No memory to decompose the %zu × %zu matrix '%s'"), rows, columns, what);
  return out;
}

static gboolean
check_input (const float *a, gsize rows, gsize columns, const char *what, GError **error)
{
  if (rows == 0 || columns == 0 || rows > G_MAXINT || columns > G_MAXINT)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("'%s' cannot be decomposed: its size is %zu × %zu"), what, rows, columns);
      return FALSE;
    }
  for (gsize i = 0; i < rows * columns; i++)
    if (!isfinite (a[i]))
      {
        g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FINITE,
                     _ ("'%s' cannot be decomposed: the value at row %zu, column %zu is not finite"),
                     what, i / columns, i % columns);
        return FALSE;
      }
  return TRUE;
}

/* A workspace of the size that a query returned as a float, which may have been rounded down. */
static float *
new_work (float queried, int *size, const char *what, GError **error)
{
  *size = (int) CLAMP (ceil (queried * (1.0 + 0x1p-22)), 1.0, G_MAXINT);
  return new_matrix (1, (gsize) *size, what, error);
}

gboolean
peft_linalg_svd (const float *a,
                 gsize rows,
                 gsize columns,
                 float **u,
                 float **s,
                 float **vt,
                 const char *what,
                 GError **error)
{
  gsize k = MIN (rows, columns);
  g_autofree float *copy = NULL, *left = NULL, *values = NULL, *right = NULL, *work = NULL;
  g_autofree int *iwork = NULL;
  const char *job = u != NULL || vt != NULL ? "S" : "N";
  int m = (int) columns, n = (int) rows, min = (int) k, lwork = -1, info = 0, threads;
  float queried = 0;

  if (!check_input (a, rows, columns, what, error))
    return FALSE;
  copy = new_matrix (rows, columns, what, error);
  left = copy != NULL ? new_matrix (rows, k, what, error) : NULL;
  values = left != NULL ? new_matrix (1, k, what, error) : NULL;
  right = values != NULL ? new_matrix (k, columns, what, error) : NULL;
  if (right == NULL)
    return FALSE;
  iwork = g_new (int, 8 * k);
  memcpy (copy, a, rows * columns * sizeof *copy);

  /* aᵀ = v · diag (s) · uᵀ: LAPACK's left vectors are v, stored by columns, which is vt by rows. */
  threads = blas_begin ();
  sgesdd_ (job, &m, &n, copy, &m, values, right, &m, left, &min, &queried, &lwork, iwork, &info, 1);
  work = info == 0 ? new_work (queried, &lwork, what, error) : NULL;
  if (work != NULL)
    sgesdd_ (job, &m, &n, copy, &m, values, right, &m, left, &min, work, &lwork, iwork, &info, 1);
  blas_end (threads);
  if (info != 0)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_FAILED,
                   _ ("The singular value decomposition of '%s' did not converge"), what);
      return FALSE;
    }
  if (work == NULL)
    return FALSE;
  if (u != NULL)
    *u = g_steal_pointer (&left);
  if (s != NULL)
    *s = g_steal_pointer (&values);
  if (vt != NULL)
    *vt = g_steal_pointer (&right);
  return TRUE;
}

/* values [columns][rows], one column after the other, becomes q; r [k, columns] by rows if not NULL. */
static gboolean
factor (float *values, gsize rows, gsize columns, float *r, const char *what, GError **error)
{
  gsize k = MIN (rows, columns);
  g_autofree float *tau = new_matrix (1, k, what, error);
  g_autofree float *work = NULL, *work_q = NULL;
  int m = (int) rows, n = (int) columns, min = (int) k, lwork = -1, info = 0, threads;
  float queried = 0;

  if (tau == NULL)
    return FALSE;
  threads = blas_begin ();
  sgeqrf_ (&m, &n, values, &m, tau, &queried, &lwork, &info);
  work = new_work (queried, &lwork, what, error);
  if (work != NULL)
    {
      sgeqrf_ (&m, &n, values, &m, tau, work, &lwork, &info);
      for (gsize i = 0; r != NULL && i < k; i++)
        for (gsize j = 0; j < columns; j++)
          r[i * columns + j] = j >= i ? values[j * rows + i] : 0.0f;
      lwork = -1;
      sorgqr_ (&m, &min, &min, values, &m, tau, &queried, &lwork, &info);
      work_q = new_work (queried, &lwork, what, error);
    }
  if (work_q != NULL)
    sorgqr_ (&m, &min, &min, values, &m, tau, work_q, &lwork, &info);
  blas_end (threads);
  return work_q != NULL;
}

static void
transpose (const float *values, gsize rows, gsize columns, float *out)
{
  for (gsize i = 0; i < rows; i++)
    for (gsize j = 0; j < columns; j++)
      out[j * rows + i] = values[i * columns + j];
}

gboolean
peft_linalg_qr (const float *a,
                gsize rows,
                gsize columns,
                float **q,
                float **r,
                const char *what,
                GError **error)
{
  gsize k = MIN (rows, columns);
  g_autofree float *turned = NULL, *out_q = NULL, *out_r = NULL;

  if (!check_input (a, rows, columns, what, error))
    return FALSE;
  turned = new_matrix (rows, columns, what, error);
  out_q = turned != NULL ? new_matrix (rows, k, what, error) : NULL;
  out_r = out_q != NULL ? new_matrix (k, columns, what, error) : NULL;
  if (out_r == NULL)
    return FALSE;
  transpose (a, rows, columns, turned);
  if (!factor (turned, rows, columns, out_r, what, error))
    return FALSE;
  transpose (turned, k, rows, out_q);
  if (q != NULL)
    *q = g_steal_pointer (&out_q);
  if (r != NULL)
    *r = g_steal_pointer (&out_r);
  return TRUE;
}

/* c [m, n] = a · b by columns; a [m, k] or, with trans_a, [k, m]; the same for b. */
static void
multiply (const char *trans_a,
          const char *trans_b,
          gsize m,
          gsize n,
          gsize k,
          const float *a,
          const float *b,
          float *c)
{
  const float one = 1.0f, zero = 0.0f;
  int rows = (int) m, columns = (int) n, inner = (int) k;
  int lda = *trans_a == 'T' ? inner : rows, ldb = *trans_b == 'T' ? columns : inner;
  int threads = blas_begin ();

  sgemm_ (trans_a, trans_b, &rows, &columns, &inner, &one, a, &lda, b, &ldb, &zero, c, &rows, 1, 1);
  blas_end (threads);
}

/* The first `rank` columns of the row-major matrix `values`, in place. */
static void
keep_columns (float *values, gsize rows, gsize columns, gsize rank)
{
  for (gsize i = 0; i < rows; i++)
    memmove (values + i * rank, values + i * columns, rank * sizeof *values);
}

gboolean
peft_linalg_svd_low_rank (const float *a,
                          gsize rows,
                          gsize columns,
                          gsize rank,
                          guint n_iterations,
                          guint64 seed,
                          float **u,
                          float **s,
                          float **vt,
                          const char *what,
                          GError **error)
{
  gsize width = MIN (rank + OVERSAMPLING, MIN (rows, columns));
  g_autofree float *in = NULL, *out = NULL, *core = NULL, *left = NULL, *values = NULL,
                   *right = NULL, *full = NULL;

  if (!check_input (a, rows, columns, what, error))
    return FALSE;
  if (rank == 0 || rank > MIN (rows, columns))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("'%s': rank %zu is not between 1 and %zu"), what, rank, MIN (rows, columns));
      return FALSE;
    }
  in = new_matrix (columns, width, what, error);
  out = in != NULL ? new_matrix (rows, width, what, error) : NULL;
  core = out != NULL ? new_matrix (width, columns, what, error) : NULL;
  full = core != NULL ? new_matrix (rows, width, what, error) : NULL;
  if (full == NULL)
    return FALSE;

  /* To Fortran `a` is aᵀ [columns, rows]; in [columns, width] and out [rows, width] lie by columns there. */
  peft_random_fill_normal (seed, peft_random_stream (what), 0.0f, 1.0f, in, columns * width);
  multiply ("T", "N", rows, width, columns, a, in, out);
  if (!factor (out, rows, width, NULL, what, error))
    return FALSE;
  for (guint i = 0; i < n_iterations; i++)
    {
      multiply ("N", "N", columns, width, rows, a, out, in);
      if (!factor (in, columns, width, NULL, what, error))
        return FALSE;
      multiply ("T", "N", rows, width, columns, a, in, out);
      if (!factor (out, rows, width, NULL, what, error))
        return FALSE;
    }
  /* aᵀ · q by columns is qᵀ · a by rows. */
  multiply ("N", "N", columns, width, rows, a, out, core);
  if (!peft_linalg_svd (core, width, columns, u != NULL ? &left : NULL, &values,
                        vt != NULL ? &right : NULL, what, error))
    return FALSE;
  if (u != NULL)
    {
      /* By columns: (q · left)ᵀ [width, rows] = leftᵀ · qᵀ, and left by rows is leftᵀ by columns. */
      multiply ("N", "T", width, rows, width, left, out, full);
      keep_columns (full, rows, width, rank);
      *u = g_steal_pointer (&full);
    }
  if (s != NULL)
    *s = g_steal_pointer (&values);
  if (vt != NULL)
    *vt = g_steal_pointer (&right);
  return TRUE;
}
