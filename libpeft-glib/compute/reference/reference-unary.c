/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/reference/reference-private.h"

#include <math.h>

/* gelu_tanh (x) = x/2 · (1 + tanh (√(2/π) (x + 0.044715 x³))): Hendrycks & Gimpel, arXiv:1606.08415. */
#define GELU_CUBIC 0.044715

static double
sigmoid (double x)
{
  return 1 / (1 + exp (-x));
}

static double
normal_cdf (double x)
{
  return 0.5 * erfc (-x * M_SQRT1_2);
}

double
peft_reference_unary (PeftUnary op, double x)
{
  switch (op)
    {
    case PEFT_UNARY_NEG:
      return -x;
    case PEFT_UNARY_ABS:
      return fabs (x);
    case PEFT_UNARY_SQUARE:
      return x * x;
    case PEFT_UNARY_SQRT:
      return sqrt (x);
    case PEFT_UNARY_RSQRT:
      return 1 / sqrt (x);
    case PEFT_UNARY_RECIPROCAL:
      return 1 / x;
    case PEFT_UNARY_EXP:
      return exp (x);
    case PEFT_UNARY_LOG:
      return log (x);
    case PEFT_UNARY_SIN:
      return sin (x);
    case PEFT_UNARY_COS:
      return cos (x);
    case PEFT_UNARY_TANH:
      return tanh (x);
    case PEFT_UNARY_SIGMOID:
      return sigmoid (x);
    case PEFT_UNARY_SILU:
      return x * sigmoid (x);
    case PEFT_UNARY_GELU:
      return x * normal_cdf (x);
    case PEFT_UNARY_GELU_TANH:
      return 0.5 * x * (1 + tanh (sqrt (2 / M_PI) * (x + GELU_CUBIC * x * x * x)));
    case PEFT_UNARY_RELU:
      return x < 0 ? 0 : x; /* keeps NaN */
    case PEFT_UNARY_SIGN:
      return (x > 0) - (x < 0);
    case PEFT_N_UNARY:
      break;
    }
  g_assert_not_reached ();
}

double
peft_reference_unary_slope (PeftUnary op, double x)
{
  double y;

  switch (op)
    {
    case PEFT_UNARY_NEG:
      return -1;
    case PEFT_UNARY_ABS:
      return (x > 0) - (x < 0);
    case PEFT_UNARY_SQUARE:
      return 2 * x;
    case PEFT_UNARY_SQRT:
      return 0.5 / sqrt (x);
    case PEFT_UNARY_RSQRT:
      return -0.5 / (x * sqrt (x));
    case PEFT_UNARY_RECIPROCAL:
      return -1 / (x * x);
    case PEFT_UNARY_EXP:
      return exp (x);
    case PEFT_UNARY_LOG:
      return 1 / x;
    case PEFT_UNARY_SIN:
      return cos (x);
    case PEFT_UNARY_COS:
      return -sin (x);
    case PEFT_UNARY_TANH:
      y = tanh (x);
      return 1 - y * y;
    case PEFT_UNARY_SIGMOID:
      y = sigmoid (x);
      return y * (1 - y);
    case PEFT_UNARY_SILU:
      y = sigmoid (x);
      return y * (1 + x * (1 - y));
    case PEFT_UNARY_GELU:
      return normal_cdf (x) + x * exp (-0.5 * x * x) / sqrt (2 * M_PI);
    case PEFT_UNARY_GELU_TANH:
      y = tanh (sqrt (2 / M_PI) * (x + GELU_CUBIC * x * x * x));
      return 0.5 * (1 + y)
             + 0.5 * x * (1 - y * y) * sqrt (2 / M_PI) * (1 + 3 * GELU_CUBIC * x * x);
    case PEFT_UNARY_RELU:
      return x > 0;
    case PEFT_UNARY_SIGN:
      return 0;
    case PEFT_N_UNARY:
      break;
    }
  g_assert_not_reached ();
}

PeftUnary
peft_reference_activation (PeftActivation activation)
{
  switch (activation)
    {
    case PEFT_ACTIVATION_SILU:
      return PEFT_UNARY_SILU;
    case PEFT_ACTIVATION_GELU:
      return PEFT_UNARY_GELU;
    case PEFT_ACTIVATION_GELU_TANH:
      return PEFT_UNARY_GELU_TANH;
    case PEFT_ACTIVATION_RELU:
      return PEFT_UNARY_RELU;
    }
  g_assert_not_reached ();
}

void
peft_reference_unary_kernel (const void *params)
{
  const PeftUnaryParams *p = params;
  gint64 n = peft_view_n_values (&p->x);
  g_autofree double *x = peft_reference_load (&p->x);

  for (gint64 i = 0; i < n; i++)
    x[i] = peft_reference_unary (p->op, x[i]);
  peft_reference_store (&p->y, x);
}

void
peft_reference_unary_backward (const void *params)
{
  const PeftUnaryBackwardParams *p = params;
  gint64 n = peft_view_n_values (&p->x);
  g_autofree double *x = peft_reference_load (&p->x);
  g_autofree double *dy = peft_reference_load (&p->dy);

  for (gint64 i = 0; i < n; i++)
    dy[i] *= peft_reference_unary_slope (p->op, x[i]);
  peft_reference_put (&p->dx, dy, p->accumulate);
}
