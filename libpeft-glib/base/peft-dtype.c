/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/peft-dtype.h"

#include <string.h>

#include "base/peft-blocks.h"
#include "base/peft-checked.h"

static inline guint32
float_bits (float v)
{
  guint32 bits;
  memcpy (&bits, &v, sizeof bits);
  return bits;
}

static inline float
bits_float (guint32 bits)
{
  float v;
  memcpy (&v, &bits, sizeof v);
  return v;
}

/* A small float: sign, exponent and mantissa bits. E4M3 has no infinity and one NaN per sign, all
 * ones (Micikevicius et al., "FP8 formats for deep learning"). */
typedef struct
{
  guint exponent_bits;
  guint mantissa_bits;
  gboolean has_infinity;
} SmallFloat;

static const SmallFloat f16_format = { 5, 10, TRUE };
static const SmallFloat e4m3_format = { 4, 3, FALSE };
static const SmallFloat e5m2_format = { 5, 2, TRUE };

static inline float
small_decode (const SmallFloat format, guint32 v)
{
  guint mb = format.mantissa_bits;
  guint max_exponent = (1u << format.exponent_bits) - 1;
  guint bias = max_exponent >> 1;
  guint32 sign = v >> (mb + format.exponent_bits) << 31;
  guint32 exponent = v >> mb & max_exponent;
  guint32 mantissa = v & ((1u << mb) - 1);

  if (exponent == 0)
    {
      /* Subnormal: mantissa · 2^(1 - bias - mb), exact in float32. */
      float unit = bits_float ((127 + 1 - bias - mb) << 23);
      return bits_float (sign | float_bits ((float) mantissa * unit));
    }
  if (format.has_infinity ? exponent == max_exponent
                          : (exponent == max_exponent && mantissa == (1u << mb) - 1))
    return bits_float (sign | 0x7f800000u | (format.has_infinity ? mantissa << (23 - mb) : 0x400000u));
  return bits_float (sign | (exponent + 127 - bias) << 23 | mantissa << (23 - mb));
}

static inline guint32
small_encode (const SmallFloat format, float value)
{
  guint mb = format.mantissa_bits;
  guint max_exponent = (1u << format.exponent_bits) - 1;
  guint bias = max_exponent >> 1;
  guint shift = 23 - mb;
  guint32 bits = float_bits (value);
  guint32 sign = bits >> 31 << (mb + format.exponent_bits);
  guint32 x = bits & 0x7fffffffu;
  /* The first code past the largest finite number. */
  guint32 overflow = format.has_infinity ? max_exponent << mb : (1u << (mb + format.exponent_bits)) - 1;
  guint32 r;

  if (x > 0x7f800000u)
    return format.has_infinity ? sign | overflow | 1u << (mb - 1) | (x & 0x7fffffu) >> shift
                               : sign | overflow;
  if (x < (127 + 1 - bias) << 23)
    {
      guint32 mantissa = (x & 0x7fffffu) | 0x800000u;
      guint extra = (127 + 1 - bias) - (x >> 23);

      shift += extra;
      if (shift > 24)
        return sign;
      r = mantissa + (1u << (shift - 1)) - 1 + (mantissa >> shift & 1);
      return sign | r >> shift;
    }
  r = x - ((127 - bias) << 23);
  r = (r + (1u << (shift - 1)) - 1 + (r >> shift & 1)) >> shift;
  return sign | MIN (r, overflow);
}

float
peft_bf16_to_f32 (guint16 v)
{
  return bits_float ((guint32) v << 16);
}

guint16
peft_f32_to_bf16 (float v)
{
  guint32 x = float_bits (v);

  if ((x & 0x7fffffffu) > 0x7f800000u)
    return (guint16) (x >> 16 | 0x40);
  return (guint16) ((x + 0x7fff + (x >> 16 & 1)) >> 16);
}

float
peft_f16_to_f32 (guint16 v)
{
  return small_decode (f16_format, v);
}

guint16
peft_f32_to_f16 (float v)
{
  return (guint16) small_encode (f16_format, v);
}

static float
e4m3_to_f32 (guint8 v)
{
  return small_decode (e4m3_format, v);
}

static guint8
f32_to_e4m3 (float v)
{
  return (guint8) small_encode (e4m3_format, v);
}

static float
e5m2_to_f32 (guint8 v)
{
  return small_decode (e5m2_format, v);
}

static guint8
f32_to_e5m2 (float v)
{
  return (guint8) small_encode (e5m2_format, v);
}

static float
f64_to_f32 (double v)
{
  return (float) v;
}

static double
f32_to_f64 (float v)
{
  return (double) v;
}

static void
f32_copy_in (const void *src, float *dst, gsize n)
{
  if (n > 0)
    memcpy (dst, src, n * sizeof (float));
}

static void
f32_copy_out (const float *src, void *dst, gsize n)
{
  if (n > 0)
    memcpy (dst, src, n * sizeof (float));
}

/* The stored side may be unaligned in a mapped file. */
#define DEFINE_VECTOR(name, type, decode, encode) \
  static void name##_to_f32_n (const void *src, float *dst, gsize n) \
  { \
    const guint8 *p = src; \
    for (gsize i = 0; i < n; i++) \
      { \
        type v; \
        memcpy (&v, p + i * sizeof v, sizeof v); \
        dst[i] = decode (v); \
      } \
  } \
  static void name##_from_f32_n (const float *src, void *dst, gsize n) \
  { \
    guint8 *p = dst; \
    for (gsize i = 0; i < n; i++) \
      { \
        type v = encode (src[i]); \
        memcpy (p + i * sizeof v, &v, sizeof v); \
      } \
  }

DEFINE_VECTOR (f64, double, f64_to_f32, f32_to_f64)
DEFINE_VECTOR (f16, guint16, peft_f16_to_f32, peft_f32_to_f16)
DEFINE_VECTOR (bf16, guint16, peft_bf16_to_f32, peft_f32_to_bf16)
DEFINE_VECTOR (e4m3, guint8, e4m3_to_f32, f32_to_e4m3)
DEFINE_VECTOR (e5m2, guint8, e5m2_to_f32, f32_to_e5m2)

#define PLAIN_FLOAT(name, ggml, bytes, to, from) { name, name, ggml, 1, bytes, TRUE, to, from }
#define PLAIN_INT(name, ggml, bytes) { name, name, ggml, 1, bytes, FALSE, NULL, NULL }
#define BLOCK(NAME, ggml, to, from) \
  { #NAME, NULL, ggml, PEFT_##NAME##_BLOCK, PEFT_##NAME##_BYTES, FALSE, to, from }

static const PeftDTypeInfo infos[PEFT_N_DTYPES] = {
  [PEFT_DTYPE_F64] = PLAIN_FLOAT ("F64", 28, 8, f64_to_f32_n, f64_from_f32_n),
  [PEFT_DTYPE_F32] = PLAIN_FLOAT ("F32", 0, 4, f32_copy_in, f32_copy_out),
  [PEFT_DTYPE_F16] = PLAIN_FLOAT ("F16", 1, 2, f16_to_f32_n, f16_from_f32_n),
  [PEFT_DTYPE_BF16] = PLAIN_FLOAT ("BF16", 30, 2, bf16_to_f32_n, bf16_from_f32_n),
  [PEFT_DTYPE_F8_E4M3] = PLAIN_FLOAT ("F8_E4M3", -1, 1, e4m3_to_f32_n, e4m3_from_f32_n),
  [PEFT_DTYPE_F8_E5M2] = PLAIN_FLOAT ("F8_E5M2", -1, 1, e5m2_to_f32_n, e5m2_from_f32_n),
  [PEFT_DTYPE_I64] = PLAIN_INT ("I64", 27, 8),
  [PEFT_DTYPE_I32] = PLAIN_INT ("I32", 26, 4),
  [PEFT_DTYPE_I16] = PLAIN_INT ("I16", 25, 2),
  [PEFT_DTYPE_I8] = PLAIN_INT ("I8", 24, 1),
  [PEFT_DTYPE_U64] = PLAIN_INT ("U64", -1, 8),
  [PEFT_DTYPE_U32] = PLAIN_INT ("U32", -1, 4),
  [PEFT_DTYPE_U16] = PLAIN_INT ("U16", -1, 2),
  [PEFT_DTYPE_U8] = PLAIN_INT ("U8", -1, 1),
  [PEFT_DTYPE_BOOL] = PLAIN_INT ("BOOL", -1, 1),
  [PEFT_DTYPE_Q4_0] = BLOCK (Q4_0, 2, peft_q4_0_to_f32, NULL),
  [PEFT_DTYPE_Q4_1] = BLOCK (Q4_1, 3, peft_q4_1_to_f32, NULL),
  [PEFT_DTYPE_Q8_0] = BLOCK (Q8_0, 8, peft_q8_0_to_f32, peft_q8_0_from_f32),
  [PEFT_DTYPE_Q6_K] = BLOCK (Q6_K, 14, peft_q6_k_to_f32, NULL),
};

/* The type numbers of GGUF files; holes were used by types that no longer exist. */
static const char *const ggml_names[] = {
  [0] = "F32",      [1] = "F16",     [2] = "Q4_0",   [3] = "Q4_1",   [6] = "Q5_0",   [7] = "Q5_1",
  [8] = "Q8_0",     [9] = "Q8_1",    [10] = "Q2_K",  [11] = "Q3_K",  [12] = "Q4_K",  [13] = "Q5_K",
  [14] = "Q6_K",    [15] = "Q8_K",   [16] = "IQ2_XXS", [17] = "IQ2_XS", [18] = "IQ3_XXS",
  [19] = "IQ1_S",   [20] = "IQ4_NL", [21] = "IQ3_S", [22] = "IQ2_S", [23] = "IQ4_XS", [24] = "I8",
  [25] = "I16",     [26] = "I32",    [27] = "I64",   [28] = "F64",   [29] = "IQ1_M", [30] = "BF16",
  [34] = "TQ1_0",   [35] = "TQ2_0",  [39] = "MXFP4", [40] = "NVFP4", [41] = "Q1_0",
};

const PeftDTypeInfo *
peft_dtype_get_info (PeftDType dtype)
{
  g_return_val_if_fail ((guint) dtype < PEFT_N_DTYPES, NULL);

  return &infos[dtype];
}

gboolean
peft_dtype_from_safetensors (const char *name, PeftDType *out)
{
  for (guint i = 0; i < PEFT_N_DTYPES; i++)
    if (g_strcmp0 (infos[i].safetensors_name, name) == 0 && name != NULL)
      {
        *out = (PeftDType) i;
        return TRUE;
      }
  return FALSE;
}

gboolean
peft_dtype_from_ggml (guint32 type, PeftDType *out)
{
  for (guint i = 0; i < PEFT_N_DTYPES; i++)
    if (infos[i].ggml_type >= 0 && (guint32) infos[i].ggml_type == type)
      {
        *out = (PeftDType) i;
        return TRUE;
      }
  return FALSE;
}

const char *
peft_ggml_type_name (guint32 type)
{
  return type < G_N_ELEMENTS (ggml_names) ? ggml_names[type] : NULL;
}

gboolean
peft_dtype_bytes (PeftDType dtype, guint64 n, guint64 *out)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (dtype);

  if (n % info->block_size != 0)
    return FALSE;
  return peft_checked_mul (n / info->block_size, info->block_bytes, out);
}
