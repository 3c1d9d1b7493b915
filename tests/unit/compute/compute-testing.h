/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "compute/peft-tensor.h"

/* Short words for tests of kernels. */

/* Number of dims and shape, as two arguments. */
#define DIMS(...) \
  sizeof ((gint64[]){ __VA_ARGS__ }) / sizeof (gint64), (const gint64[]){ __VA_ARGS__ }
#define VALUES(...) ((const double[]){ __VA_ARGS__ })

/* values NULL: zeros. I32 tensors take rounded values. */
PeftTensor *test_tensor (PeftBackend *backend, PeftDType dtype, guint n_dims, const gint64 *shape,
                         const double *values);
/* Uniform in [low, high), of the backend's real type. Another `stream`, other numbers. */
PeftTensor *test_random (PeftBackend *backend, guint stream, double low, double high, guint n_dims,
                         const gint64 *shape);
double *test_values (PeftTensor *tensor);
/* |found - expected| ≤ tolerance · max (1, |expected|) for every value. */
void test_assert_values (PeftTensor *tensor, double tolerance, const double *expected);
void test_assert_equal (PeftTensor *a, PeftTensor *b, double tolerance);

/* `gradient` must be d (Σ dout ⊙ output) / d input, where `forward` computes output from input.
 * Checked value by value by central differences in float64: steps of 1e-5 leave an error of about
 * 1e-10 (third derivative) + 1e-11 (rounding), so that 1e-7 relative is a safe bound. */
typedef void (*TestForward) (gpointer data);
void test_assert_gradient (TestForward forward, gpointer data, PeftTensor *input,
                           PeftTensor *output, PeftTensor *dout, PeftTensor *gradient);
