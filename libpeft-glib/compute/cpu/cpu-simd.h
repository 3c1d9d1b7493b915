/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <string.h>
#include <glib.h>
#include "compute/cpu/cpu-math.h"

#if defined __AVX2__ || defined __AVX512F__
#include <immintrin.h>
#endif

/* Vectors of the instruction set that the file is compiled for, by the compiler's vector extension:
 * a vf holds CPU_VL floats. The scalar build uses vectors of 4, which every target has or emulates. */

#if defined __AVX512F__
#define CPU_VL 16
#elif defined __AVX2__
#define CPU_VL 8
#else
#define CPU_VL 4
#endif

typedef float vf __attribute__ ((vector_size (CPU_VL * 4)));
typedef gint32 vi __attribute__ ((vector_size (CPU_VL * 4)));
typedef guint32 vu __attribute__ ((vector_size (CPU_VL * 4)));
typedef guint64 vq __attribute__ ((vector_size (CPU_VL * 4)));
typedef guint8 vb __attribute__ ((vector_size (CPU_VL)));
typedef guint16 vh __attribute__ ((vector_size (CPU_VL * 2)));

#define CPU_INLINE static inline __attribute__ ((always_inline))

CPU_INLINE vf
v_set (float x)
{
  return x - (vf){ 0 };
}

CPU_INLINE vf
v_load (const float *p)
{
  vf v;
  memcpy (&v, p, sizeof v);
  return v;
}

CPU_INLINE void
v_store (float *p, vf v)
{
  memcpy (p, &v, sizeof v);
}

/* The first n < CPU_VL values, zeros behind. */
CPU_INLINE vf
v_load_n (const float *p, gint64 n)
{
#if defined __AVX512F__
  return (vf) _mm512_maskz_loadu_ps ((__mmask16) ((1u << n) - 1), p);
#else
  vf v = { 0 };
  memcpy (&v, p, (gsize) n * sizeof (float));
  return v;
#endif
}

CPU_INLINE void
v_store_n (float *p, vf v, gint64 n)
{
#if defined __AVX512F__
  _mm512_mask_storeu_ps (p, (__mmask16) ((1u << n) - 1), (__m512) v);
#else
  memcpy (p, &v, (gsize) n * sizeof (float));
#endif
}

CPU_INLINE vf
v_load_bf16 (const guint16 *p)
{
  vh h;
  memcpy (&h, p, sizeof h);
#if defined __AVX512F__
  return (vf) _mm512_slli_epi32 (_mm512_cvtepu16_epi32 ((__m256i) h), 16);
#elif defined __AVX2__
  return (vf) _mm256_slli_epi32 (_mm256_cvtepu16_epi32 ((__m128i) h), 16);
#else
  return (vf) (__builtin_convertvector (h, vi) << 16);
#endif
}

CPU_INLINE vf
v_load_bf16_n (const guint16 *p, gint64 n)
{
  guint16 values[CPU_VL] = { 0 };
  memcpy (values, p, (gsize) n * sizeof (guint16));
  return v_load_bf16 (values);
}

/* Lanes of a where the mask is set, else of b. */
CPU_INLINE vf
v_select (vi mask, vf a, vf b)
{
  return (vf) ((mask & (vi) a) | (~mask & (vi) b));
}

/* To the nearest bfloat16, still as float32. */
CPU_INLINE vf
v_round_bf16 (vf v)
{
#ifdef __AVX512BF16__
  return (vf) _mm512_slli_epi32 (
      _mm512_cvtepu16_epi32 ((__m256i) _mm512_cvtneps_pbh ((__m512) v)), 16);
#else
  vu u = (vu) v;
  vu rounded = (u + 0x7fff + ((u >> 16) & 1)) & 0xffff0000u;
  return v_select (v == v, (vf) rounded, (vf) ((u | 0x400000) & 0xffff0000u));
#endif
}

CPU_INLINE vf
v_max (vf a, vf b)
{
#if defined __AVX512F__
  return (vf) _mm512_max_ps ((__m512) a, (__m512) b);
#elif defined __AVX2__
  return (vf) _mm256_max_ps ((__m256) a, (__m256) b);
#else
  return v_select (a > b, a, b);
#endif
}

CPU_INLINE vq
v_set_u64 (guint64 x)
{
  return x - (vq){ 0 };
}

/* Products of the lanes' low halves; b's high halves are 0. */
CPU_INLINE vq
v_multiply_low (vq a, vq b)
{
#if defined __AVX512F__
  return (vq) _mm512_mul_epu32 ((__m512i) a, (__m512i) b);
#elif defined __AVX2__
  return (vq) _mm256_mul_epu32 ((__m256i) a, (__m256i) b);
#else
  return (a & 0xffffffffu) * b;
#endif
}

CPU_INLINE vf
v_load_f16 (const guint16 *p)
{
#if defined __AVX512F__
  return (vf) _mm512_cvtph_ps (_mm256_loadu_si256 ((const __m256i *) p));
#elif defined __AVX2__
  return (vf) _mm256_cvtph_ps (_mm_loadu_si128 ((const __m128i *) p));
#else
  float values[CPU_VL];
  for (int i = 0; i < CPU_VL; i++)
    values[i] = cpu_f16_load (p[i]);
  return v_load (values);
#endif
}

CPU_INLINE vb
v_load_bytes (const guint8 *p)
{
  vb v;
  memcpy (&v, p, sizeof v);
  return v;
}

/* Signed bytes as float32. */
CPU_INLINE vf
v_from_bytes (vb v)
{
#if defined __AVX512F__
  return (vf) _mm512_cvtepi32_ps (_mm512_cvtepi8_epi32 ((__m128i) v));
#elif defined __AVX2__
  gint64 bits;
  memcpy (&bits, &v, sizeof bits);
  return (vf) _mm256_cvtepi32_ps (_mm256_cvtepi8_epi32 (_mm_cvtsi64_si128 (bits)));
#else
  float values[CPU_VL];
  for (int i = 0; i < CPU_VL; i++)
    values[i] = (float) (gint8) v[i];
  return v_load (values);
#endif
}

/* In a fixed order: halves are added until one lane is left. */
CPU_INLINE float
v_sum (vf v)
{
  float lanes[CPU_VL];
  v_store (lanes, v);
  for (int w = CPU_VL / 2; w > 0; w /= 2)
    for (int i = 0; i < w; i++)
      lanes[i] += lanes[i + w];
  return lanes[0];
}

CPU_INLINE float
v_max_lane (vf v)
{
  float lanes[CPU_VL], max;
  v_store (lanes, v);
  max = lanes[0];
  for (int i = 1; i < CPU_VL; i++)
    max = lanes[i] > max ? lanes[i] : max;
  return max;
}

/* e^x as in cpu-math.h for x ≤ 88; what it gives beyond is the caller's to discard. */
CPU_INLINE vf
v_exp (vf x)
{
  /* In this order what is not a number stays so. */
  x = v_max (v_set (-87.0f), x);
  vf n = (x * 1.44269504088896341f + 12582912.0f) - 12582912.0f;
  vf r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  vf p = r * 1.98412698e-4f + 1.38888889e-3f;
  p = p * r + 8.33333333e-3f;
  p = p * r + 4.16666667e-2f;
  p = p * r + 1.66666667e-1f;
  p = p * r + 0.5f;
  p = p * (r * r) + r + 1.0f;
  return p * (vf) ((__builtin_convertvector (n, vi) + 127) << 23);
}

/* One step of a transpose: swaps the off-diagonal lanes of blocks of S rows. A(l), B(l) name lane l
 * of the first and of the second vector. */
#define V_LO1(S, l) (((l) & (S)) ? CPU_VL + (l) - (S) : (l))
#define V_HI1(S, l) (((l) & (S)) ? CPU_VL + (l) : (l) + (S))
#define V_4(M, S, l) M (S, (l)), M (S, (l) + 1), M (S, (l) + 2), M (S, (l) + 3)
#if CPU_VL == 16
#define V_ALL(M, S) V_4 (M, S, 0), V_4 (M, S, 4), V_4 (M, S, 8), V_4 (M, S, 12)
#elif CPU_VL == 8
#define V_ALL(M, S) V_4 (M, S, 0), V_4 (M, S, 4)
#else
#define V_ALL(M, S) V_4 (M, S, 0)
#endif
#define V_TRANSPOSE_STEP(r, S)                                                                     \
  for (int i_ = 0; i_ < CPU_VL; i_++)                                                              \
    if (!(i_ & (S)))                                                                               \
      {                                                                                            \
        vf a_ = (r)[i_], b_ = (r)[i_ + (S)];                                                       \
        (r)[i_] = __builtin_shufflevector (a_, b_, V_ALL (V_LO1, S));                              \
        (r)[i_ + (S)] = __builtin_shufflevector (a_, b_, V_ALL (V_HI1, S));                        \
      }

/* CPU_VL × CPU_VL values, rows become columns. */
CPU_INLINE void
v_transpose (vf r[CPU_VL])
{
  V_TRANSPOSE_STEP (r, 1)
  V_TRANSPOSE_STEP (r, 2)
#if CPU_VL >= 8
  V_TRANSPOSE_STEP (r, 4)
#endif
#if CPU_VL >= 16
  V_TRANSPOSE_STEP (r, 8)
#endif
}
