/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

/* Decompositions on the host, by LAPACK, for start values and conversions. Matrices are row-major float32; PEFT_ERROR_NOT_FINITE
 * for input that is not finite, PEFT_ERROR_OUT_OF_MEMORY, PEFT_ERROR_FAILED where the iteration does not converge; `what` names the
 * matrix in messages. */

/* a [rows, columns] = u · diag (s) · vt with k = min (rows, columns): u [rows, k], s [k] descending, vt [k, columns]. `a` is
 * left alone. Results are allocated with g_malloc; each may be NULL. */
gboolean peft_linalg_svd (const float *a, gsize rows, gsize columns, float **u, float **s,
                          float **vt, const char *what, GError **error);
/* The first `rank` triples only, by a randomised method (Halko, Martinsson, Tropp, arXiv:0909.4061) with `n_iterations` power
 * iterations: u [rows, rank], s [rank], vt [rank, columns]. Deterministic in seed. */
gboolean peft_linalg_svd_low_rank (const float *a, gsize rows, gsize columns, gsize rank,
                                   guint n_iterations, guint64 seed, float **u, float **s,
                                   float **vt, const char *what, GError **error);
/* a = q · r with k = min (rows, columns): q [rows, k], r [k, columns]; signs as LAPACK's geqrf has them, which is what torch does. */
gboolean peft_linalg_qr (const float *a, gsize rows, gsize columns, float **q, float **r,
                         const char *what, GError **error);
