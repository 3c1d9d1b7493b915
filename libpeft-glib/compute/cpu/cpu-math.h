/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <math.h>
#include <string.h>
#include <glib.h>

/* Elementary functions without branches, so that loops over them vectorise. Errors are a few units
 * in the last place of float32. */

static inline guint32
cpu_bits (float x)
{
  guint32 u;
  memcpy (&u, &x, sizeof u);
  return u;
}

static inline float
cpu_float (guint32 u)
{
  float x;
  memcpy (&x, &u, sizeof x);
  return x;
}

static inline float
cpu_bf16_load (guint16 v)
{
  return cpu_float ((guint32) v << 16);
}

static inline guint16
cpu_bf16_round (float x)
{
  guint32 u = cpu_bits (x);
  guint32 rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
  return (u & 0x7fffffff) > 0x7f800000 ? (guint16) ((u >> 16) | 0x40) : (guint16) rounded;
}

static inline float
cpu_f16_load (guint16 v)
{
  guint32 mag = (guint32) (v & 0x7fff) << 13;
  /* 2^112 moves the exponent's bias from 15 to 127, for subnormals, too. */
  guint32 u = mag >= 0x0f800000 ? mag | 0x7f800000 : cpu_bits (cpu_float (mag) * 0x1p112f);
  return cpu_float (u | (guint32) (v & 0x8000) << 16);
}

/* e^x: x = n·ln 2 + r, |r| ≤ ln 2 / 2; Taylor's polynomial of degree 7 in r (error 5e-9 relative),
 * 2^n put together in two halves so that subnormal results come out right. */
static inline float
cpu_expf (float x)
{
  float clamped = x > 89.0f ? 89.0f : x < -104.0f ? -104.0f : x;
  /* Adding 1.5·2^23 rounds to an integer without an instruction that SSE2 lacks. */
  float n = (clamped * 1.44269504088896341f + 12582912.0f) - 12582912.0f;
  float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.98412698e-4f;
  p = p * r + 1.38888889e-3f;
  p = p * r + 8.33333333e-3f;
  p = p * r + 4.16666667e-2f;
  p = p * r + 1.66666667e-1f;
  p = p * r + 0.5f;
  p = p * (r * r) + r + 1.0f;
  gint32 k = (gint32) n;
  gint32 k1 = k >> 1;
  float s1 = cpu_float ((guint32) (k1 + 127) << 23);
  float s2 = cpu_float ((guint32) (k - k1 + 127) << 23);
  float y = p * s1 * s2;
  return x != x ? x : y;
}

static inline float
cpu_sigmoidf (float x)
{
  return 1.0f / (1.0f + cpu_expf (-x));
}

/* tanh x = (1 - e^-2|x|) / (1 + e^-2|x|); near 0, where that cancels, x's own series. */
static inline float
cpu_tanhf (float x)
{
  float a = __builtin_fabsf (x);
  float e = cpu_expf (-2.0f * a);
  float big = (1.0f - e) / (1.0f + e);
  float s = x * x;
  float p = -8.8632355e-3f; /* -1382/155925 */
  p = p * s + 2.1869488e-2f;
  p = p * s - 5.3968254e-2f;
  p = p * s + 1.33333333e-1f;
  p = p * s - 3.33333333e-1f;
  float small = a + a * s * p;
  float y = a < 0.35f ? small : big;
  return __builtin_copysignf (y, x);
}

/* Φ(x), the normal distribution, for GELU: erfc by Abramowitz & Stegun would be too coarse, so
 * libm's does it. */
static inline float
cpu_normal_cdf (float x)
{
  return 0.5f * erfcf (-x * 0.70710678118654752f);
}

/* Activations and their derivatives. */
static inline float
cpu_silu (float x)
{
  return x * cpu_sigmoidf (x);
}

/* σ(x), and 1 - σ(x) without cancellation. */
static inline float
cpu_sigmoid_pair (float x, float *rest)
{
  float e = cpu_expf (x < -80.0f ? 80.0f : -x);
  float s = 1.0f / (1.0f + e);
  *rest = e * s;
  return s;
}

static inline float
cpu_silu_derivative (float x)
{
  float rest, s = cpu_sigmoid_pair (x, &rest);
  return s * (1.0f + x * rest);
}

static inline float
cpu_gelu (float x)
{
  return x * cpu_normal_cdf (x);
}

static inline float
cpu_gelu_derivative (float x)
{
  return cpu_normal_cdf (x) + x * 0.398942280401432678f * cpu_expf (-0.5f * x * x);
}

/* The tanh form of Hendrycks & Gimpel (arXiv:1606.08415), x/2·(1 + tanh u), written as x·σ(2u), which
 * does not cancel for negative x. */
static inline float
cpu_gelu_tanh_argument (float x)
{
  return 1.59576912160573071f * (x + 0.044715f * x * x * x);
}

static inline float
cpu_gelu_tanh (float x)
{
  return x * cpu_sigmoidf (cpu_gelu_tanh_argument (x));
}

static inline float
cpu_gelu_tanh_derivative (float x)
{
  float rest, s = cpu_sigmoid_pair (cpu_gelu_tanh_argument (x), &rest);
  return s + x * s * rest * 1.59576912160573071f * (1.0f + 3.0f * 0.044715f * x * x);
}

static inline float
cpu_relu (float x)
{
  return x > 0 ? x : 0;
}

static inline float
cpu_relu_derivative (float x)
{
  return x > 0 ? 1.0f : 0.0f;
}
