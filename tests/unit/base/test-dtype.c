/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/peft-blocks.h"
#include "base/peft-dtype.h"

#include <math.h>
#include <string.h>

static guint32
bits_of (float v)
{
  guint32 bits;
  memcpy (&bits, &v, sizeof bits);
  return bits;
}

static float
float_of (guint32 bits)
{
  float v;
  memcpy (&v, &bits, sizeof v);
  return v;
}

static guint8
encode_byte (PeftDType dtype, float v)
{
  guint8 out;
  peft_dtype_get_info (dtype)->from_f32 (&v, &out, 1);
  return out;
}

static float
decode_byte (PeftDType dtype, guint8 code)
{
  float out;
  peft_dtype_get_info (dtype)->to_f32 (&code, &out, 1);
  return out;
}

/* A value of a small float by its definition, computed without the code under test. */
static double
defined_value (guint code, guint exponent_bits, guint mantissa_bits)
{
  guint bias = (1u << (exponent_bits - 1)) - 1;
  guint exponent = code >> mantissa_bits & ((1u << exponent_bits) - 1);
  double mantissa = (double) (code & ((1u << mantissa_bits) - 1)) / (1 << mantissa_bits);
  double v = exponent == 0 ? ldexp (mantissa, 1 - (int) bias)
                           : ldexp (1 + mantissa, (int) exponent - (int) bias);

  return code >> (exponent_bits + mantissa_bits) & 1 ? -v : v;
}

static void
test_f16_all (void)
{
  for (guint code = 0; code < 0x10000; code++)
    {
      float v = peft_f16_to_f32 ((guint16) code);

      if ((code & 0x7fff) > 0x7c00)
        {
          g_assert_true (isnan (v));
          g_assert_cmphex (peft_f32_to_f16 (v), ==, code | 0x200);
          continue;
        }
      if ((code & 0x7fff) == 0x7c00)
        g_assert_true (isinf (v) && (v < 0) == (code >> 15));
      else
        g_assert_true ((double) v == defined_value (code, 5, 10));
      g_assert_cmphex (peft_f32_to_f16 (v), ==, code);
    }
}

static void
test_bf16_all (void)
{
  for (guint code = 0; code < 0x10000; code++)
    {
      float v = peft_bf16_to_f32 ((guint16) code);

      g_assert_cmphex (bits_of (v), ==, code << 16);
      if ((code & 0x7fff) > 0x7f80)
        g_assert_cmphex (peft_f32_to_bf16 (v), ==, code | 0x40);
      else
        g_assert_cmphex (peft_f32_to_bf16 (v), ==, code);
    }
}

/* Between each two neighbours: just below the middle, the middle (ties to even), just above. */
static void
test_ties (void)
{
  for (guint code = 0; code < 0x7bff; code++)
    {
      float middle = 0.5f * (peft_f16_to_f32 ((guint16) code) + peft_f16_to_f32 ((guint16) (code + 1)));
      guint even = code + (code & 1);

      g_assert_cmphex (peft_f32_to_f16 (middle), ==, even);
      g_assert_cmphex (peft_f32_to_f16 (-middle), ==, even | 0x8000);
      g_assert_cmphex (peft_f32_to_f16 (nextafterf (middle, 0)), ==, code);
      g_assert_cmphex (peft_f32_to_f16 (nextafterf (middle, 1e9f)), ==, code + 1);
    }
  for (guint code = 0; code < 0x7f7f; code++)
    {
      guint32 middle = code << 16 | 0x8000;

      g_assert_cmphex (peft_f32_to_bf16 (float_of (middle)), ==, code + (code & 1));
      g_assert_cmphex (peft_f32_to_bf16 (float_of (middle - 1)), ==, code);
      g_assert_cmphex (peft_f32_to_bf16 (float_of (middle + 1)), ==, code + 1);
    }
  /* Overflow to infinity begins half a step past the largest number. */
  g_assert_cmphex (peft_f32_to_f16 (65519.996f), ==, 0x7bff);
  g_assert_cmphex (peft_f32_to_f16 (65520.0f), ==, 0x7c00);
  g_assert_cmphex (peft_f32_to_f16 (-1e30f), ==, 0xfc00);
  g_assert_cmphex (peft_f32_to_bf16 (float_of (0x7f7fffff)), ==, 0x7f80);
  g_assert_cmphex (peft_f32_to_f16 (float_of (1)), ==, 0);
}

static void
test_nan (void)
{
  /* A payload in the low bits only must not turn into infinity. */
  g_assert_cmphex (peft_f32_to_bf16 (float_of (0x7f800001)), ==, 0x7fc0);
  g_assert_cmphex (peft_f32_to_bf16 (float_of (0xff800001)), ==, 0xffc0);
  g_assert_cmphex (peft_f32_to_f16 (float_of (0x7f800001)), ==, 0x7e00);
  g_assert_cmphex (peft_f32_to_bf16 (float_of (0x7fffffff)), ==, 0x7fff);
  g_assert_cmphex (encode_byte (PEFT_DTYPE_F8_E4M3, NAN) & 0x7f, ==, 0x7f);
  g_assert_true (isnan (decode_byte (PEFT_DTYPE_F8_E5M2, encode_byte (PEFT_DTYPE_F8_E5M2, NAN))));
}

static void
check_f8 (PeftDType dtype, guint exponent_bits, guint mantissa_bits, guint n_finite)
{
  for (guint code = 0; code < n_finite; code++)
    {
      float v = decode_byte (dtype, (guint8) code);

      g_assert_true ((double) v == defined_value (code, exponent_bits, mantissa_bits));
      g_assert_true (decode_byte (dtype, (guint8) (code | 0x80)) == -v);
      g_assert_cmphex (encode_byte (dtype, v), ==, code);
      g_assert_cmphex (encode_byte (dtype, -v), ==, code | 0x80);
      if (code + 1 < n_finite)
        {
          float middle = 0.5f * (v + decode_byte (dtype, (guint8) (code + 1)));
          g_assert_cmphex (encode_byte (dtype, middle), ==, code + (code & 1));
          g_assert_cmphex (encode_byte (dtype, nextafterf (middle, 0)), ==, code);
          g_assert_cmphex (encode_byte (dtype, nextafterf (middle, 1e9f)), ==, code + 1);
        }
    }
}

static void
test_f8 (void)
{
  check_f8 (PEFT_DTYPE_F8_E4M3, 4, 3, 0x7f);
  check_f8 (PEFT_DTYPE_F8_E5M2, 5, 2, 0x7c);
  g_assert_true (decode_byte (PEFT_DTYPE_F8_E4M3, 0x7e) == 448.0f);
  g_assert_true (isnan (decode_byte (PEFT_DTYPE_F8_E4M3, 0x7f)));
  g_assert_true (isinf (decode_byte (PEFT_DTYPE_F8_E5M2, 0x7c)));
  g_assert_true (isnan (decode_byte (PEFT_DTYPE_F8_E5M2, 0x7d)));
  /* E4M3 has no infinity: what does not fit is NaN. */
  g_assert_cmphex (encode_byte (PEFT_DTYPE_F8_E4M3, 464.0f), ==, 0x7e);
  g_assert_cmphex (encode_byte (PEFT_DTYPE_F8_E4M3, 465.0f), ==, 0x7f);
  g_assert_cmphex (encode_byte (PEFT_DTYPE_F8_E4M3, -INFINITY), ==, 0xff);
  g_assert_cmphex (encode_byte (PEFT_DTYPE_F8_E5M2, 1e6f), ==, 0x7c);
}

static void
test_vectors (void)
{
  static const PeftDType dtypes[]
      = { PEFT_DTYPE_F64, PEFT_DTYPE_F32, PEFT_DTYPE_F16, PEFT_DTYPE_BF16, PEFT_DTYPE_F8_E5M2 };
  const float values[] = { 0.0f, -0.0f, 1.0f, -1.5f, 0.25f, 1024.0f, INFINITY };

  for (gsize i = 0; i < G_N_ELEMENTS (dtypes); i++)
    {
      const PeftDTypeInfo *info = peft_dtype_get_info (dtypes[i]);
      guint8 stored[8 * G_N_ELEMENTS (values) + 1];
      float back[G_N_ELEMENTS (values)];

      /* One byte off, as data in a file may lie. */
      info->from_f32 (values, stored + 1, G_N_ELEMENTS (values));
      info->to_f32 (stored + 1, back, G_N_ELEMENTS (values));
      g_assert_cmpmem (back, sizeof back, values, sizeof values);
    }
}

static void
lcg_bytes (guint8 *out, gsize n)
{
  guint32 x = 1;

  for (gsize i = 0; i < n; i++)
    {
      x = x * 1664525u + 1013904223u;
      out[i] = (guint8) (x >> 24);
    }
}

static guint32
crc32 (const void *data, gsize n)
{
  const guint8 *p = data;
  guint32 crc = 0xffffffffu;

  for (gsize i = 0; i < n; i++)
    {
      crc ^= p[i];
      for (guint bit = 0; bit < 8; bit++)
        crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1)));
    }
  return ~crc;
}

/* Checksums of what the Python package gguf 0.19 makes of the same bytes, four blocks each. */
static void
test_blocks (void)
{
  static const struct
  {
    PeftDType dtype;
    guint scales[2]; /* high bytes of the f16 scales, kept moderate */
    guint32 crc;
    float first;
    float last;
  } cases[] = {
    { PEFT_DTYPE_Q4_0, { 1, 1 }, 0x306b719d, -0.681884765625f, -0.21337890625f },
    { PEFT_DTYPE_Q4_1, { 1, 3 }, 0x6f799f2e, 1.09857177734375f, 0.76171875f },
    { PEFT_DTYPE_Q8_0, { 1, 1 }, 0x88a2658a, -12.371337890625f, -5.3125f },
    { PEFT_DTYPE_Q6_K, { 209, 209 }, 0x39d35c6e, -131.02783203125f, 372.83203125f },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const PeftDTypeInfo *info = peft_dtype_get_info (cases[i].dtype);
      guint8 bytes[4 * PEFT_Q6_K_BYTES];
      float values[4 * PEFT_Q6_K_BLOCK];
      gsize n = 4 * info->block_size;

      lcg_bytes (bytes, 4 * info->block_bytes);
      for (guint block = 0; block < 4; block++)
        for (guint j = 0; j < 2; j++)
          {
            guint8 *p = bytes + block * info->block_bytes + cases[i].scales[j];
            *p = (guint8) (0x2c + (*p & 0x83));
            if (cases[i].scales[0] == cases[i].scales[1])
              break;
          }
      info->to_f32 (bytes, values, n);
      g_assert_cmpfloat (values[0], ==, cases[i].first);
      g_assert_cmpfloat (values[n - 1], ==, cases[i].last);
      g_assert_cmphex (crc32 (values, n * sizeof (float)), ==, cases[i].crc);
    }
}

static void
test_q8_0_encode (void)
{
  guint8 bytes[384];
  float values[384];
  guint8 blocks[12 * PEFT_Q8_0_BYTES];

  lcg_bytes (bytes, sizeof bytes);
  for (gsize i = 0; i < G_N_ELEMENTS (values); i++)
    values[i] = ((float) bytes[i] - 128.0f) / 16.0f;
  peft_q8_0_from_f32 (values, blocks, G_N_ELEMENTS (values));
  g_assert_cmphex (crc32 (blocks, sizeof blocks), ==, 0x10b4ea8b);

  memset (values, 0, sizeof values);
  values[3] = 1e-42f;
  values[32 + 5] = NAN;
  values[64 + 5] = -INFINITY;
  peft_q8_0_from_f32 (values, blocks, 96);
  peft_q8_0_to_f32 (blocks, values, 96);
  for (guint i = 0; i < 32; i++)
    {
      g_assert_cmpfloat (values[i], ==, 0.0f);
      g_assert_true (isnan (values[32 + i]));
      g_assert_true (isnan (values[64 + i]));
    }
}

static void
test_table (void)
{
  guint64 bytes = 77;
  PeftDType dtype;

  for (guint i = 0; i < PEFT_N_DTYPES; i++)
    {
      const PeftDTypeInfo *info = peft_dtype_get_info ((PeftDType) i);

      g_assert_nonnull (info->name);
      g_assert_cmpuint (info->block_bytes, >, 0);
      g_assert_cmpint (peft_dtype_is_block ((PeftDType) i), ==, info->block_size > 1);
      if (info->is_float)
        g_assert_true (info->to_f32 != NULL && info->from_f32 != NULL);
      if (info->safetensors_name != NULL)
        {
          g_assert_true (peft_dtype_from_safetensors (info->safetensors_name, &dtype));
          g_assert_cmpint (dtype, ==, i);
        }
      if (info->ggml_type >= 0)
        {
          g_assert_true (peft_dtype_from_ggml ((guint32) info->ggml_type, &dtype));
          g_assert_cmpint (dtype, ==, i);
          g_assert_cmpstr (peft_ggml_type_name ((guint32) info->ggml_type), ==, info->name);
        }
    }
  g_assert_false (peft_dtype_from_safetensors ("Q4_0", &dtype));
  g_assert_false (peft_dtype_from_safetensors ("F4", &dtype));
  g_assert_false (peft_dtype_from_ggml (12, &dtype));
  g_assert_cmpstr (peft_ggml_type_name (12), ==, "Q4_K");
  g_assert_null (peft_ggml_type_name (4));
  g_assert_null (peft_ggml_type_name (G_MAXUINT32));

  g_assert_true (peft_dtype_bytes (PEFT_DTYPE_Q6_K, 512, &bytes));
  g_assert_cmpuint (bytes, ==, 420);
  g_assert_false (peft_dtype_bytes (PEFT_DTYPE_Q6_K, 257, &bytes));
  g_assert_false (peft_dtype_bytes (PEFT_DTYPE_F64, G_MAXUINT64 / 4, &bytes));
  g_assert_cmpuint (bytes, ==, 420);
  g_assert_true (peft_dtype_bytes (PEFT_DTYPE_BF16, 0, &bytes));
  g_assert_cmpuint (bytes, ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/DType/f16-all", test_f16_all);
  g_test_add_func ("/Peft/DType/bf16-all", test_bf16_all);
  g_test_add_func ("/Peft/DType/ties", test_ties);
  g_test_add_func ("/Peft/DType/nan", test_nan);
  g_test_add_func ("/Peft/DType/f8", test_f8);
  g_test_add_func ("/Peft/DType/vectors", test_vectors);
  g_test_add_func ("/Peft/DType/blocks", test_blocks);
  g_test_add_func ("/Peft/DType/q8-0-encode", test_q8_0_encode);
  g_test_add_func ("/Peft/DType/table", test_table);
  return g_test_run ();
}
