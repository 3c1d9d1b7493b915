/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/peft-random.h"

#include <math.h>
#include <string.h>

/* Known answers for philox4x32-10 from the kat_vectors file of Random123. */
static void
test_known_answers (void)
{
  static const struct
  {
    guint64 seed, stream, counter;
    guint32 out[4];
  } rows[] = {
    { 0, 0, 0, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
    { G_MAXUINT64, G_MAXUINT64, G_MAXUINT64, { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
    { G_GUINT64_CONSTANT (0x299f31d0a4093822),
      G_GUINT64_CONSTANT (0x0370734413198a2e),
      G_GUINT64_CONSTANT (0x85a308d3243f6a88),
      { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      guint32 out[4];

      peft_random_block (rows[i].seed, rows[i].stream, rows[i].counter, out);
      g_assert_cmpmem (out, sizeof out, rows[i].out, sizeof rows[i].out);
      if (rows[i].counter <= G_MAXUINT64 / 4)
        for (guint word = 0; word < 4; word++)
          g_assert_cmphex (peft_random_u32 (rows[i].seed, rows[i].stream, rows[i].counter * 4 + word),
                           ==, out[word]);
    }
}

#define N 100001

/* Mean, variance and the correlation of neighbours lie within 5 standard errors. */
static void
check_statistics (const float *x, double mean, double variance, double fourth)
{
  double sum = 0, squares = 0, products = 0;

  for (guint i = 0; i < N; i++)
    {
      double d = x[i] - mean;

      sum += d;
      squares += d * d;
      if (i > 0)
        products += d * (x[i - 1] - mean);
    }
  g_assert_cmpfloat (fabs (sum / N), <, 5 * sqrt (variance / N));
  g_assert_cmpfloat (fabs (squares / N - variance), <, 5 * sqrt ((fourth - variance * variance) / N));
  g_assert_cmpfloat (fabs (products / N), <, 5 * variance / sqrt (N));
}

static void
test_uniform (void)
{
  g_autofree float *x = g_new (float, N);
  guint bins[16] = { 0 };
  double chi2 = 0;

  peft_random_fill_uniform (7, 3, 0.0f, 1.0f, x, N);
  for (guint i = 0; i < N; i++)
    {
      g_assert_true (x[i] >= 0.0f && x[i] < 1.0f);
      g_assert_cmpfloat (x[i], ==, peft_random_uniform (7, 3, i));
      bins[(guint) (x[i] * 16)]++;
    }
  check_statistics (x, 0.5, 1.0 / 12.0, 1.0 / 80.0);
  for (guint i = 0; i < 16; i++)
    chi2 += (bins[i] - N / 16.0) * (bins[i] - N / 16.0) / (N / 16.0);
  /* 15 degrees of freedom: beyond 44.3 with probability 1e-4. */
  g_assert_cmpfloat (chi2, <, 44.3);

  peft_random_fill_uniform (7, 3, -2.0f, 6.0f, x, N);
  check_statistics (x, 2.0, 64.0 / 12.0, 4096.0 / 80.0);
}

static void
test_normal (void)
{
  g_autofree float *x = g_new (float, N);
  float prefix[7];
  guint beyond = 0;

  peft_random_fill_normal (11, 5, 1.0f, 2.0f, x, N);
  check_statistics (x, 1.0, 4.0, 48.0);
  for (guint i = 0; i < N; i++)
    {
      g_assert_true (isfinite (x[i]));
      beyond += fabsf (x[i] - 1.0f) > 4.0f;
    }
  /* Two standard deviations: 4.55 % of N. */
  g_assert_cmpfloat (fabs (beyond - 0.0455 * N), <, 5 * sqrt (0.0455 * N));

  /* A value depends on its index only. */
  peft_random_fill_normal (11, 5, 1.0f, 2.0f, prefix, G_N_ELEMENTS (prefix));
  g_assert_cmpmem (prefix, sizeof prefix, x, sizeof prefix);
}

static void
test_permutation (void)
{
  static const guint32 sizes[] = { 0, 1, 2, 3, 1000 };
  guint counts[3][3] = { { 0 } };

  for (gsize s = 0; s < G_N_ELEMENTS (sizes); s++)
    {
      guint32 n = sizes[s];
      g_autofree guint32 *p = g_new (guint32, n);
      g_autofree gboolean *seen = g_new0 (gboolean, n);
      guint fixed = 0;

      peft_random_permutation (1, 2, p, n);
      for (guint32 i = 0; i < n; i++)
        {
          g_assert_cmpuint (p[i], <, n);
          g_assert_false (seen[p[i]]);
          seen[p[i]] = TRUE;
          fixed += p[i] == i;
        }
      if (n == 1000)
        g_assert_cmpuint (fixed, <, 10);
    }

  for (guint seed = 0; seed < 30000; seed++)
    {
      guint32 p[3];

      peft_random_permutation (seed, 9, p, 3);
      for (guint i = 0; i < 3; i++)
        counts[i][p[i]]++;
    }
  for (guint i = 0; i < 3; i++)
    for (guint j = 0; j < 3; j++)
      g_assert_cmpfloat (fabs (counts[i][j] - 10000.0), <, 5 * sqrt (30000.0 * 2 / 9));
}

static void
test_streams (void)
{
  guint32 a[4], b[4], c[4];

  g_assert_cmphex (peft_random_stream ("a"), ==, peft_random_stream ("a"));
  g_assert_cmphex (peft_random_stream ("a"), !=, peft_random_stream ("b"));
  g_assert_cmphex (peft_random_stream (""), !=, peft_random_stream ("a"));
  peft_random_block (1, peft_random_stream ("x.lora_A"), 0, a);
  peft_random_block (1, peft_random_stream ("x.lora_B"), 0, b);
  peft_random_block (2, peft_random_stream ("x.lora_A"), 0, c);
  g_assert_cmpint (memcmp (a, b, sizeof a), !=, 0);
  g_assert_cmpint (memcmp (a, c, sizeof a), !=, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Random/known-answers", test_known_answers);
  g_test_add_func ("/Peft/Random/uniform", test_uniform);
  g_test_add_func ("/Peft/Random/normal", test_normal);
  g_test_add_func ("/Peft/Random/permutation", test_permutation);
  g_test_add_func ("/Peft/Random/streams", test_streams);
  return g_test_run ();
}
