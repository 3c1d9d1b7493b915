/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include "base/peft-error.h"
#include "compute-testing.h"

/* Answers computed by hand or by a closed form. */

#define EXACT 1e-15

typedef struct
{
  PeftBackend *backend;
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  self->backend = peft_backend_open ("reference", 1, NULL);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  peft_backend_unref (self->backend);
}

static PeftTensor *
real (Fixture *self, guint n_dims, const gint64 *shape, const double *values)
{
  return test_tensor (self->backend, PEFT_DTYPE_F64, n_dims, shape, values);
}

static PeftTensor *
index_tensor (Fixture *self, guint n_dims, const gint64 *shape, const double *values)
{
  return test_tensor (self->backend, PEFT_DTYPE_I32, n_dims, shape, values);
}

static void
test_matmul (Fixture *self, gconstpointer data)
{
  g_autoptr (PeftTensor) a = real (self, DIMS (2, 3), VALUES (1, 2, 3, 4, 5, 6));
  g_autoptr (PeftTensor) a_t = real (self, DIMS (3, 2), VALUES (1, 4, 2, 5, 3, 6));
  g_autoptr (PeftTensor) b = real (self, DIMS (3, 2), VALUES (7, 8, 9, 10, 11, 12));
  g_autoptr (PeftTensor) b_t = real (self, DIMS (2, 3), VALUES (7, 9, 11, 8, 10, 12));
  g_autoptr (PeftTensor) bias = real (self, DIMS (2), VALUES (1000, 2000));
  const double product[] = { 58, 64, 139, 154 };

  for (guint i = 0; i < 8; i++)
    {
      gboolean trans_a = i & 1, trans_b = (i & 2) != 0, full = (i & 4) != 0;
      g_autoptr (PeftTensor) c = real (self, DIMS (2, 2), VALUES (100, 200, 300, 400));
      PeftMatmulParams params = {
        .a = trans_a ? a_t->view : a->view,
        .b = trans_b ? b_t->view : b->view,
        .c = c->view,
        .trans_a = trans_a,
        .trans_b = trans_b,
        .alpha = 1,
      };

      if (full)
        {
          params.bias = bias->view;
          params.accumulate = TRUE;
          params.alpha = 2;
        }
      peft_backend_run (self->backend, PEFT_KERNEL_MATMUL, &params);
      if (full)
        test_assert_values (c, EXACT, VALUES (100 + 116 + 1000, 200 + 128 + 2000, 300 + 278 + 1000,
                                              400 + 308 + 2000));
      else
        test_assert_values (c, EXACT, product);
    }
}

static void
test_matmul_batch (Fixture *self, gconstpointer data)
{
  g_autoptr (PeftTensor) a = real (self, DIMS (2, 1, 2), VALUES (1, 2, 3, 4));
  g_autoptr (PeftTensor) b = real (self, DIMS (1, 2, 2), VALUES (1, 10, 100, 1000));
  g_autoptr (PeftTensor) c = real (self, DIMS (2, 1, 2), NULL);
  PeftMatmulParams params = { .a = a->view, .b = b->view, .c = c->view, .alpha = 1 };

  params.b.shape[0] = 2;
  params.b.stride[0] = 0;
  peft_backend_run (self->backend, PEFT_KERNEL_MATMUL, &params);
  test_assert_values (c, EXACT, VALUES (201, 2010, 403, 4030));
}

/* Two rows of one Q8_0 block each: value i is 0.5 · (i - 16), then 2 · (16 - i). */
static PeftTensor *
block_rows (Fixture *self)
{
  g_autoptr (GError) error = NULL;
  gint8 bytes[2][34];
  guint16 scales[] = { peft_f32_to_f16 (0.5f), peft_f32_to_f16 (2) };
  PeftTensor *tensor = peft_tensor_new_on (self->backend, PEFT_DTYPE_Q8_0, DIMS (2, 32), &error);

  g_assert_no_error (error);
  for (gint row = 0; row < 2; row++)
    {
      memcpy (bytes[row], &scales[row], 2);
      for (gint i = 0; i < 32; i++)
        bytes[row][2 + i] = row == 0 ? i - 16 : 16 - i;
    }
  peft_buffer_upload (tensor->view.buffer, 0, bytes, sizeof bytes);
  return tensor;
}

static void
test_block_weights (Fixture *self, gconstpointer data)
{
  g_autoptr (PeftTensor) w = block_rows (self);
  double ones[32], expected[64];
  g_autoptr (PeftTensor) x = NULL;
  g_autoptr (PeftTensor) y = real (self, DIMS (1, 2), NULL);
  g_autoptr (PeftTensor) back = real (self, DIMS (1, 32), NULL);
  g_autoptr (PeftTensor) rows = real (self, DIMS (2, 32), NULL);
  g_autoptr (PeftTensor) ids = index_tensor (self, DIMS (2), VALUES (1, 0));
  PeftMatmulParams params = { .alpha = 1, .trans_b = TRUE };

  for (gint i = 0; i < 32; i++)
    ones[i] = 1;
  x = real (self, DIMS (1, 32), ones);
  params.a = x->view;
  params.b = w->view;
  params.c = y->view;
  peft_backend_run (self->backend, PEFT_KERNEL_MATMUL, &params);
  test_assert_values (y, EXACT, VALUES (-8, 32)); /* Σ (i - 16) = -16 */

  params = (PeftMatmulParams){ .a = y->view, .b = w->view, .c = back->view, .alpha = 1 };
  peft_backend_run (self->backend, PEFT_KERNEL_MATMUL, &params);
  for (gint i = 0; i < 32; i++)
    expected[i] = -8 * 0.5 * (i - 16) + 32 * 2 * (16 - i);
  test_assert_values (back, EXACT, expected);

  peft_backend_run (self->backend, PEFT_KERNEL_GATHER_ROWS,
                    &(PeftGatherRowsParams){ w->view, ids->view, rows->view, 3 });
  for (gint i = 0; i < 32; i++)
    {
      expected[i] = 3 * 2 * (16 - i);
      expected[32 + i] = 3 * 0.5 * (i - 16);
    }
  test_assert_values (rows, EXACT, expected);
}

static void
test_scatter_add_rows (Fixture *self, gconstpointer data)
{
  g_autoptr (PeftTensor) table = real (self, DIMS (3, 2), VALUES (1, 2, 3, 4, 5, 6));
  g_autoptr (PeftTensor) ids = index_tensor (self, DIMS (3), VALUES (2, 0, 2));
  g_autoptr (PeftTensor) x = real (self, DIMS (3, 2), VALUES (1, 1, 10, 20, 100, 200));

  peft_backend_run (self->backend, PEFT_KERNEL_SCATTER_ADD_ROWS,
                    &(PeftScatterAddRowsParams){ table->view, ids->view, x->view, 0.5 });
  test_assert_values (table, EXACT, VALUES (6, 12, 3, 4, 55.5, 106.5));
}

static void
test_rms_norm (Fixture *self, gconstpointer data)
{
  g_autoptr (PeftTensor) x = real (self, DIMS (2, 2), VALUES (1, 2, 0, 0));
  g_autoptr (PeftTensor) residual = real (self, DIMS (2, 2), VALUES (2, 2, 0, 1));
  g_autoptr (PeftTensor) weight = real (self, DIMS (2), VALUES (1, 9));
  g_autoptr (PeftTensor) y = real (self, DIMS (2, 2), NULL);
  g_autoptr (PeftTensor) sum = real (self, DIMS (2, 2), NULL);
  g_autoptr (PeftTensor) rstd = real (self, DIMS (2), NULL);
  PeftRmsNormParams params = {
    .x = x->view, .residual = residual->view, .weight = weight->view, .y = y->view,
    .sum = sum->view, .rstd = rstd->view, .weight_offset = 1,
  };

  peft_backend_run (self->backend, PEFT_KERNEL_RMS_NORM, &params);
  test_assert_values (sum, EXACT, VALUES (3, 4, 0, 1));
  test_assert_values (rstd, EXACT, VALUES (1 / sqrt (12.5), sqrt (2)));
  test_assert_values (y, 4 * EXACT,
                      VALUES (3 * 2 / sqrt (12.5), 4 * 10 / sqrt (12.5), 0, 10 * sqrt (2)));

  /* Without residual; eps lifts 12.5 / 5 = 2.5 to 4. */
  params = (PeftRmsNormParams){ .x = x->view, .weight = weight->view, .y = y->view, .eps = 1.5 };
  peft_backend_run (self->backend, PEFT_KERNEL_RMS_NORM, &params);
  test_assert_values (y, EXACT, VALUES (0.5, 9, 0, 0));
}

static void
test_rope (Fixture *self, gconstpointer data)
{
  /* Position 0: no rotation; position 1: a quarter turn of pair 0, a half turn of pair 1. */
  g_autoptr (PeftTensor) cos_sin
      = real (self, DIMS (2, 2, 2), VALUES (1, 1, 0, 0, 0, -1, 1, 0));
  g_autoptr (PeftTensor) positions = index_tensor (self, DIMS (1, 2), VALUES (1, 0));
  g_autoptr (PeftTensor) x
      = real (self, DIMS (1, 2, 1, 5), VALUES (1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
  g_autoptr (PeftTensor) y = real (self, DIMS (1, 2, 1, 5), NULL);
  PeftRopeParams params
      = { .x = x->view, .y = y->view, .cos_sin = cos_sin->view, .positions = positions->view };

  peft_backend_run (self->backend, PEFT_KERNEL_ROPE, &params);
  test_assert_values (y, EXACT, VALUES (-3, -2, 1, -4, 5, 6, 7, 8, 9, 10));
  params.interleaved = TRUE;
  peft_backend_run (self->backend, PEFT_KERNEL_ROPE, &params);
  test_assert_values (y, EXACT, VALUES (-2, 1, -3, -4, 5, 6, 7, 8, 9, 10));
}

static void
test_rope_inverse (Fixture *self, gconstpointer data)
{
  for (guint interleaved = 0; interleaved < 2; interleaved++)
    {
      g_autoptr (PeftTensor) x = test_random (self->backend, 1, -1, 1, DIMS (2, 3, 2, 10));
      g_autoptr (PeftTensor) y = real (self, DIMS (2, 3, 2, 10), NULL);
      g_autoptr (PeftTensor) positions
          = index_tensor (self, DIMS (2, 3), VALUES (0, 1, 2, 3, 4, 5));
      g_autoptr (PeftTensor) cos_sin = NULL;
      double angles[6 * 2 * 4];
      PeftRopeParams params = { .interleaved = interleaved };

      for (guint p = 0; p < 6; p++)
        for (guint i = 0; i < 4; i++)
          {
            angles[(p * 2) * 4 + i] = cos (p * pow (10, -(double) i));
            angles[(p * 2 + 1) * 4 + i] = sin (p * pow (10, -(double) i));
          }
      cos_sin = real (self, DIMS (6, 2, 4), angles);
      params.x = x->view;
      params.y = y->view;
      params.cos_sin = cos_sin->view;
      params.positions = positions->view;
      peft_backend_run (self->backend, PEFT_KERNEL_ROPE, &params);
      params.inverse = TRUE;
      params.x = y->view; /* in place */
      peft_backend_run (self->backend, PEFT_KERNEL_ROPE, &params);
      test_assert_equal (y, x, 1e-14);
    }
}

/* With q = 0 every visible key weighs the same: out is the mean of their v, lse the log of their
 * number. v[j] = 2^j says which keys were seen. */
static void
check_visible (Fixture *self, gint64 q_len, gint64 n_prefix, gint64 k_len, gboolean causal,
               gint64 window, const double *q_segments, const double *k_segments,
               const guint *expected)
{
  g_autoptr (PeftTensor) q = real (self, DIMS (1, q_len, 1, 1), NULL);
  g_autoptr (PeftTensor) k = test_random (self->backend, 1, -1, 1, DIMS (1, k_len, 1, 1));
  g_autoptr (PeftTensor) v = NULL;
  g_autoptr (PeftTensor) out = real (self, DIMS (1, q_len, 1, 1), NULL);
  g_autoptr (PeftTensor) lse = real (self, DIMS (1, 1, q_len), NULL);
  g_autoptr (PeftTensor) q_ids = index_tensor (self, DIMS (1, q_len), q_segments);
  g_autoptr (PeftTensor) k_ids = index_tensor (self, DIMS (1, k_len - n_prefix), k_segments);
  g_autofree double *powers = g_new (double, k_len);
  g_autofree double *means = g_new (double, q_len);
  g_autofree double *logs = g_new (double, q_len);
  PeftAttentionParams params
      = { .q = q->view, .k = k->view, .out = out->view, .lse = lse->view, .scale = 0.5,
          .causal = causal, .window = window, .n_prefix = n_prefix };

  for (gint64 j = 0; j < k_len; j++)
    powers[j] = 1 << j;
  v = real (self, DIMS (1, k_len, 1, 1), powers);
  params.v = v->view;
  if (q_segments)
    {
      params.q_segments = q_ids->view;
      params.k_segments = k_ids->view;
    }
  for (gint64 i = 0; i < q_len; i++)
    {
      guint n = __builtin_popcount (expected[i]);
      means[i] = n ? (double) expected[i] / n : 0;
      logs[i] = n ? log (n) : -INFINITY;
    }
  peft_backend_run (self->backend, PEFT_KERNEL_ATTENTION, &params);
  test_assert_values (out, EXACT, means);
  test_assert_values (lse, EXACT, logs);
}

static void
test_attention_masks (Fixture *self, gconstpointer data)
{
  const double segments[] = { 0, 0, -1, 1, 1 };

  check_visible (self, 3, 0, 3, FALSE, 0, NULL, NULL, (guint[]){ 7, 7, 7 });
  check_visible (self, 3, 0, 3, TRUE, 0, NULL, NULL, (guint[]){ 1, 3, 7 });
  check_visible (self, 2, 0, 4, TRUE, 0, NULL, NULL, (guint[]){ 7, 15 });
  check_visible (self, 4, 0, 2, TRUE, 0, NULL, NULL, (guint[]){ 0, 0, 1, 3 });
  check_visible (self, 5, 0, 5, TRUE, 2, NULL, NULL, (guint[]){ 1, 3, 6, 12, 24 });
  check_visible (self, 2, 0, 5, TRUE, 3, NULL, NULL, (guint[]){ 14, 28 });
  check_visible (self, 3, 0, 3, FALSE, 1, NULL, NULL, (guint[]){ 7, 6, 4 });
  check_visible (self, 5, 0, 5, TRUE, 0, segments, segments, (guint[]){ 1, 3, 0, 8, 24 });
  check_visible (self, 5, 0, 5, FALSE, 0, segments, segments, (guint[]){ 3, 3, 0, 24, 24 });
  check_visible (self, 2, 3, 5, TRUE, 0, NULL, NULL, (guint[]){ 15, 31 });
  check_visible (self, 5, 2, 7, TRUE, 0, segments, segments, (guint[]){ 7, 15, 0, 35, 99 });
  check_visible (self, 5, 2, 7, TRUE, 3, segments, segments, (guint[]){ 7, 14, 0, 32, 96 });
}

/* Grouped heads: queries 0, 1 use key head 0, queries 2, 3 key head 1; and the weights are those of
 * softmax (scale · q · k). */
static void
test_attention_heads (Fixture *self, gconstpointer data)
{
  g_autoptr (PeftTensor) q
      = real (self, DIMS (1, 1, 4, 2), VALUES (1, 0, 0, 1, 1, 0, 0, 1));
  g_autoptr (PeftTensor) k
      = real (self, DIMS (1, 2, 2, 2), VALUES (0, 0, 0, 0, log (3), log (9), log (81), 0));
  g_autoptr (PeftTensor) v
      = real (self, DIMS (1, 2, 2, 2), VALUES (0, 4, 0, 1, 1, 8, 100, 1));
  g_autoptr (PeftTensor) out = real (self, DIMS (1, 1, 4, 2), NULL);
  PeftAttentionParams params
      = { .q = q->view, .k = k->view, .v = v->view, .out = out->view, .scale = 0.5, .causal = TRUE };
  double s = sqrt (3);

  /* Key 1 has weight w / (1 + w) with w = √3, √9, √81, 1. */
  peft_backend_run (self->backend, PEFT_KERNEL_ATTENTION, &params);
  test_assert_values (out, 4 * EXACT,
                      VALUES (s / (1 + s), 4 + 4 * s / (1 + s), 0.75, 7, 90, 1, 50, 1));
}

static void
test_attention_refusals (Fixture *self, gconstpointer data)
{
  g_autoptr (PeftTensor) q = real (self, DIMS (1, 2, 1, 4), NULL);
  g_autoptr (PeftTensor) bias = real (self, DIMS (1, 1, 2, 2), NULL);
  g_autoptr (PeftTensor) slopes = real (self, DIMS (1), NULL);
  const PeftAttentionParams base
      = { .q = q->view, .k = q->view, .v = q->view, .out = q->view, .scale = 1 };
  const struct
  {
    const char *name;
    PeftAttentionParams params;
  } rows[] = {
    { "soft_cap", { .soft_cap = 30 } },
    { "bias", { .bias = bias->view } },
    { "slopes", { .slopes = slopes->view } },
    { "cross", { .cross = TRUE } },
  };
  g_autoptr (GError) error = NULL;

  g_assert_true (peft_backend_supports (self->backend, PEFT_KERNEL_ATTENTION, &base, &error));
  g_assert_no_error (error);
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      PeftAttentionParams params = base;
      PeftAttentionBackwardParams backward = { 0 };

      params.soft_cap = rows[i].params.soft_cap;
      params.bias = rows[i].params.bias;
      params.slopes = rows[i].params.slopes;
      params.cross = rows[i].params.cross;
      backward.forward = params;
      g_assert_false (peft_backend_supports (self->backend, PEFT_KERNEL_ATTENTION, &params, &error));
      g_assert_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED);
      g_assert_nonnull (strstr (error->message, rows[i].name));
      g_clear_error (&error);
      g_assert_false (
          peft_backend_supports (self->backend, PEFT_KERNEL_ATTENTION_BACKWARD, &backward, &error));
      g_assert_nonnull (strstr (error->message, rows[i].name));
      g_clear_error (&error);
    }
}

static void
test_gated (Fixture *self, gconstpointer data)
{
  static const double at_one[] = {
    [PEFT_ACTIVATION_SILU] = 0.7310585786300049,
    [PEFT_ACTIVATION_GELU] = 0.8413447460685429,
    [PEFT_ACTIVATION_GELU_TANH] = 0.8411919906082768,
    [PEFT_ACTIVATION_RELU] = 1,
  };

  for (guint i = 0; i < G_N_ELEMENTS (at_one); i++)
    {
      g_autoptr (PeftTensor) gate = real (self, DIMS (1, 3), VALUES (1, -1, 0));
      g_autoptr (PeftTensor) up = real (self, DIMS (1, 3), VALUES (2, 3, 4));
      g_autoptr (PeftTensor) h = real (self, DIMS (1, 3), NULL);

      peft_backend_run (self->backend, PEFT_KERNEL_GATED,
                        &(PeftGatedParams){ gate->view, up->view, h->view, i });
      /* All of them have f(-x) = f(x) - x. */
      test_assert_values (h, EXACT, VALUES (2 * at_one[i], 3 * (at_one[i] - 1), 0));
    }
}

static void
test_dropout (Fixture *self, gconstpointer data)
{
  const gint64 n = 100000;
  const double p = 0.3;
  g_autofree double *ones = g_new (double, n);
  g_autofree double *first = NULL;
  g_autofree double *second = NULL;
  g_autofree double *other = NULL;
  g_autoptr (PeftTensor) x = NULL;
  g_autoptr (PeftTensor) y = real (self, DIMS (n), NULL);
  PeftDropoutParams params = { .seed = 5, .stream = 6, .p = p };
  gint64 kept = 0, differ = 0;

  for (gint64 i = 0; i < n; i++)
    ones[i] = 1;
  x = real (self, DIMS (n), ones);
  params.x = x->view;
  params.y = y->view;
  peft_backend_run (self->backend, PEFT_KERNEL_DROPOUT, &params);
  first = test_values (y);
  for (gint64 i = 0; i < n; i++)
    {
      g_assert_true (first[i] == 0 || fabs (first[i] - 1 / (1 - p)) < 1e-15);
      kept += first[i] != 0;
    }
  /* Five deviations of a binomial. */
  g_assert_cmpfloat (fabs (kept - n * (1 - p)), <, 5 * sqrt (n * p * (1 - p)));

  peft_backend_run (self->backend, PEFT_KERNEL_DROPOUT, &params);
  second = test_values (y);
  g_assert_cmpmem (first, n * sizeof (double), second, n * sizeof (double));
  params.accumulate = TRUE;
  peft_backend_run (self->backend, PEFT_KERNEL_DROPOUT, &params);
  for (gint64 i = 0; i < n; i++)
    second[i] *= 2;
  test_assert_values (y, EXACT, second);

  params.accumulate = FALSE;
  params.stream = 7;
  peft_backend_run (self->backend, PEFT_KERNEL_DROPOUT, &params);
  other = test_values (y);
  for (gint64 i = 0; i < n; i++)
    differ += first[i] != other[i];
  g_assert_cmpfloat (fabs (differ - n * 2 * p * (1 - p)), <, 5 * sqrt (n * 0.42 * 0.58));
}

static void
test_cross_entropy (Fixture *self, gconstpointer data)
{
  g_autoptr (PeftTensor) logits
      = real (self, DIMS (3, 4), VALUES (7, 7, 7, 7, 0, log (2), log (5), 0, 1, 2, 3, 4));
  g_autoptr (PeftTensor) labels = index_tensor (self, DIMS (3), VALUES (2, 1, -1));
  g_autoptr (PeftTensor) loss = real (self, DIMS (3), VALUES (9, 9, 9));
  g_autoptr (PeftTensor) correct = index_tensor (self, DIMS (3), VALUES (9, 9, 9));
  PeftCrossEntropyParams params = {
    .logits = logits->view, .labels = labels->view, .loss = loss->view, .correct = correct->view,
    .scale = 10,
  };

  peft_backend_run (self->backend, PEFT_KERNEL_CROSS_ENTROPY, &params);
  test_assert_values (loss, EXACT, VALUES (log (4), log (9) - log (2), 0));
  test_assert_values (correct, 0, VALUES (1, 0, 0));
  test_assert_values (logits, 0, VALUES (7, 7, 7, 7, 0, log (2), log (5), 0, 1, 2, 3, 4));
  params.gradient = TRUE;
  peft_backend_run (self->backend, PEFT_KERNEL_CROSS_ENTROPY, &params);
  test_assert_values (logits, 2 * EXACT,
                      VALUES (2.5, 2.5, -7.5, 2.5, 10 / 9.0, -70 / 9.0, 50 / 9.0, 10 / 9.0, 0, 0,
                              0, 0));
}

static void
test_sum_squares (Fixture *self, gconstpointer data)
{
  g_autoptr (PeftTensor) x = real (self, DIMS (3), VALUES (1, -2, 3));
  g_autoptr (PeftTensor) out = real (self, DIMS (1), VALUES (77));

  peft_backend_run (self->backend, PEFT_KERNEL_SUM_SQUARES,
                    &(PeftSumSquaresParams){ x->view, out->view });
  test_assert_values (out, EXACT, VALUES (14));
}

/* In the first step m / c₁ = g and v / c₂ = g², so that w moves by lr · g / (|g| + eps). The second is
 * worked out from the formula. */
static void
test_adamw (Fixture *self, gconstpointer data)
{
  g_autoptr (PeftTensor) w = real (self, DIMS (2), VALUES (1, -2));
  g_autoptr (PeftTensor) g = real (self, DIMS (2), VALUES (8, -0.5));
  g_autoptr (PeftTensor) m = real (self, DIMS (2), NULL);
  g_autoptr (PeftTensor) v = real (self, DIMS (2), NULL);
  PeftAdamWParams params = {
    .w = w->view, .g = g->view, .m = m->view, .v = v->view,
    .learning_rate = 0.1, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1, .weight_decay = 0.5,
    .correction1 = 1 - 0.9, .correction2 = 1 - 0.99, .grad_scale = 0.5,
  };

  peft_backend_run (self->backend, PEFT_KERNEL_ADAMW, &params);
  test_assert_values (m, EXACT, VALUES (0.4, -0.025));
  test_assert_values (v, EXACT, VALUES (0.16, 0.000625));
  test_assert_values (w, EXACT, VALUES (0.95 - 0.1 * 4 / 5, -1.9 + 0.1 * 0.25 / 1.25));

  params.correction1 = 1 - 0.81;
  params.correction2 = 1 - 0.99 * 0.99;
  peft_backend_run (self->backend, PEFT_KERNEL_ADAMW, &params);
  test_assert_values (m, EXACT, VALUES (0.76, -0.0475));
  /* The same gradient twice leaves m / c₁ and v / c₂ as they were. */
  test_assert_values (w, 4 * EXACT,
                      VALUES (0.95 * 0.87 - 0.08, -1.88 * 0.95 + 0.02));
}

static void
test_fill_copy (Fixture *self, gconstpointer data)
{
  g_autoptr (PeftTensor) x = real (self, DIMS (2, 3), VALUES (1, 2, 3, 4, 5, 6));
  g_autoptr (PeftTensor) y = real (self, DIMS (3, 2), NULL);
  g_autoptr (PeftTensor) small = test_tensor (self->backend, PEFT_DTYPE_BF16, DIMS (2), NULL);
  g_autoptr (PeftTensor) ids = index_tensor (self, DIMS (2), NULL);
  PeftView column = peft_view_slice (&x->view, 1, 1, 1);

  peft_backend_run (self->backend, PEFT_KERNEL_COPY,
                    &(PeftCopyParams){ peft_view_transpose (&x->view), y->view, 1 });
  test_assert_values (y, 0, VALUES (1, 4, 2, 5, 3, 6));
  peft_backend_run (self->backend, PEFT_KERNEL_COPY,
                    &(PeftCopyParams){ peft_view_transpose (&x->view), y->view, -2, TRUE });
  test_assert_values (y, 0, VALUES (-1, -4, -2, -5, -3, -6));
  peft_backend_run (self->backend, PEFT_KERNEL_FILL, &(PeftFillParams){ column, 9 });
  test_assert_values (x, 0, VALUES (1, 9, 3, 4, 9, 6));
  peft_backend_run (self->backend, PEFT_KERNEL_FILL, &(PeftFillParams){ ids->view, -7 });
  test_assert_values (ids, 0, VALUES (-7, -7));

  /* 257 has nine bits: it goes to the even of 256 and 258. */
  peft_backend_run (self->backend, PEFT_KERNEL_FILL, &(PeftFillParams){ small->view, 257 });
  test_assert_values (small, 0, VALUES (256, 256));
}

static void
test_unary (Fixture *self, gconstpointer data)
{
  static const double at[][2] = {
    /* at 0.25, at -2 */
    [PEFT_UNARY_NEG] = { -0.25, 2 },
    [PEFT_UNARY_ABS] = { 0.25, 2 },
    [PEFT_UNARY_SQUARE] = { 0.0625, 4 },
    [PEFT_UNARY_SQRT] = { 0.5, NAN },
    [PEFT_UNARY_RSQRT] = { 2, NAN },
    [PEFT_UNARY_RECIPROCAL] = { 4, -0.5 },
    [PEFT_UNARY_EXP] = { 1.2840254166877414, 0.1353352832366127 },
    [PEFT_UNARY_LOG] = { -1.3862943611198906, NAN },
    [PEFT_UNARY_SIN] = { 0.24740395925452294, -0.9092974268256817 },
    [PEFT_UNARY_COS] = { 0.9689124217106447, -0.4161468365471424 },
    [PEFT_UNARY_TANH] = { 0.24491866240370913, -0.9640275800758169 },
    [PEFT_UNARY_SIGMOID] = { 0.5621765008857981, 0.1192029220221176 },
    [PEFT_UNARY_SILU] = { 0.14054412522144952, -0.2384058440442351 },
    [PEFT_UNARY_GELU] = { 0.14967658142073093, -0.04550026389635844 },
    [PEFT_UNARY_GELU_TANH] = { 0.149675350701685, -0.04540230591222494 },
    [PEFT_UNARY_RELU] = { 0.25, 0 },
    [PEFT_UNARY_SIGN] = { 1, -1 },
  };

  G_STATIC_ASSERT (G_N_ELEMENTS (at) == PEFT_N_UNARY);
  for (guint op = 0; op < PEFT_N_UNARY; op++)
    {
      g_autoptr (PeftTensor) x = real (self, DIMS (2), VALUES (0.25, -2));

      peft_backend_run (self->backend, PEFT_KERNEL_UNARY,
                        &(PeftUnaryParams){ x->view, x->view, op });
      test_assert_values (x, EXACT, at[op]);
    }
}

static void
test_binary (Fixture *self, gconstpointer data)
{
  static const double expected[][4] = {
    [PEFT_BINARY_ADD] = { 7, 1, 10, 4 },    [PEFT_BINARY_SUB] = { -1, 5, 2, 8 },
    [PEFT_BINARY_MUL] = { 12, -6, 24, -12 }, [PEFT_BINARY_DIV] = { 0.75, -1.5, 1.5, -3 },
    [PEFT_BINARY_MAX] = { 4, 3, 6, 6 },     [PEFT_BINARY_MIN] = { 3, -2, 4, -2 },
  };
  g_autoptr (PeftTensor) a = real (self, DIMS (2, 1), VALUES (3, 6));
  g_autoptr (PeftTensor) b = real (self, DIMS (2), VALUES (4, -2));

  G_STATIC_ASSERT (G_N_ELEMENTS (expected) == PEFT_N_BINARY);
  for (guint op = 0; op < PEFT_N_BINARY; op++)
    {
      g_autoptr (PeftTensor) c = real (self, DIMS (2, 2), VALUES (100, 100, 100, 100));
      double sum[4];

      peft_backend_run (self->backend, PEFT_KERNEL_BINARY,
                        &(PeftBinaryParams){ a->view, b->view, c->view, op });
      test_assert_values (c, 0, expected[op]);
      peft_backend_run (self->backend, PEFT_KERNEL_BINARY,
                        &(PeftBinaryParams){ a->view, b->view, c->view, op, TRUE });
      for (guint i = 0; i < 4; i++)
        sum[i] = 2 * expected[op][i];
      test_assert_values (c, 0, sum);
    }
}

static void
test_reduce (Fixture *self, gconstpointer data)
{
  static const double rows[][2] = {
    [PEFT_REDUCE_SUM] = { 12, -6 },
    [PEFT_REDUCE_MEAN] = { 4, -2 },
    [PEFT_REDUCE_MAX] = { 6, 5 },
    [PEFT_REDUCE_NORM] = { 7.483314773547883, 9.899494936611665 }, /* √56, √98 */
  };
  static const double columns[][3] = {
    [PEFT_REDUCE_SUM] = { 7, -4, 3 },
    [PEFT_REDUCE_MEAN] = { 3.5, -2, 1.5 },
    [PEFT_REDUCE_MAX] = { 5, 4, 6 },
    [PEFT_REDUCE_NORM] = { 5.385164807134504, 8.94427190999916, 6.708203932499369 },
  };
  g_autoptr (PeftTensor) x = real (self, DIMS (2, 3), VALUES (2, 4, 6, 5, -8, -3));

  for (guint op = 0; op <= PEFT_REDUCE_NORM; op++)
    {
      g_autoptr (PeftTensor) r = real (self, DIMS (2, 1), NULL);
      g_autoptr (PeftTensor) c = real (self, DIMS (1, 3), VALUES (1, 1, 1));
      double sums[3];

      peft_backend_run (self->backend, PEFT_KERNEL_REDUCE,
                        &(PeftReduceParams){ x->view, r->view, op });
      test_assert_values (r, EXACT, rows[op]);
      peft_backend_run (self->backend, PEFT_KERNEL_REDUCE,
                        &(PeftReduceParams){ x->view, c->view, op, TRUE });
      for (guint i = 0; i < 3; i++)
        sums[i] = 1 + columns[op][i];
      test_assert_values (c, EXACT, sums);
    }
}

static void
test_softmax (Fixture *self, gconstpointer data)
{
  g_autoptr (PeftTensor) x
      = real (self, DIMS (2, 3), VALUES (log (1), log (2), log (5), 1000, 1000, -1000));

  peft_backend_run (self->backend, PEFT_KERNEL_SOFTMAX, &(PeftSoftmaxParams){ x->view, x->view });
  test_assert_values (x, EXACT, VALUES (0.125, 0.25, 0.625, 0.5, 0.5, 0));
}

static sigjmp_buf escape;

static void
segv_cb (int number)
{
  siglongjmp (escape, 1);
}

/* Is a plain access to the buffer's memory a SIGSEGV? */
static gboolean
strikes (PeftBuffer *buffer, gboolean write)
{
  struct sigaction action = { .sa_handler = segv_cb }, before;
  volatile gboolean struck = TRUE;
  volatile char *data = buffer->data;

  sigaction (SIGSEGV, &action, &before);
  if (sigsetjmp (escape, TRUE) == 0)
    {
      if (write)
        data[0] = 1;
      else
        (void) data[0];
      struck = FALSE;
    }
  sigaction (SIGSEGV, &before, NULL);
  return struck;
}

static void
test_protection (Fixture *self, gconstpointer data)
{
  const double host[] = { 1, 2 };
  g_autoptr (PeftTensor) x = real (self, DIMS (2), host);
  g_autoptr (PeftTensor) y = real (self, DIMS (2), NULL);
  g_autoptr (PeftBuffer) imported = peft_buffer_new_from_host (self->backend, host, sizeof host,
                                                               NULL, NULL, NULL);

  for (guint write = 0; write < 2; write++)
    {
      g_assert_true (strikes (x->view.buffer, write));
      g_assert_true (strikes (imported, write));
    }
  peft_backend_run (self->backend, PEFT_KERNEL_COPY, &(PeftCopyParams){ x->view, y->view, 1 });
  for (guint write = 0; write < 2; write++)
    {
      g_assert_true (strikes (x->view.buffer, write));
      g_assert_true (strikes (y->view.buffer, write));
    }
  test_assert_values (y, 0, host);
  g_assert_true (strikes (y->view.buffer, FALSE));
}

static void
test_protection_off (void)
{
  g_autoptr (PeftBackend) backend = NULL;
  g_autoptr (PeftBuffer) buffer = NULL;

  g_setenv ("PEFT_REFERENCE_PROTECT", "0", TRUE);
  backend = peft_backend_open ("reference", 1, NULL);
  g_unsetenv ("PEFT_REFERENCE_PROTECT");
  buffer = peft_buffer_new (backend, 8, NULL);
  g_assert_false (strikes (buffer, TRUE));
}

static void
test_allocation (Fixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (peft_buffer_new (self->backend, G_MAXSIZE / 4, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY);
}

#define ADD(name, function) \
  g_test_add ("/Peft/Reference/" name, Fixture, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("matmul", test_matmul);
  ADD ("matmul-batch", test_matmul_batch);
  ADD ("block-weights", test_block_weights);
  ADD ("scatter-add-rows", test_scatter_add_rows);
  ADD ("rms-norm", test_rms_norm);
  ADD ("rope", test_rope);
  ADD ("rope-inverse", test_rope_inverse);
  ADD ("attention-masks", test_attention_masks);
  ADD ("attention-heads", test_attention_heads);
  ADD ("attention-refusals", test_attention_refusals);
  ADD ("gated", test_gated);
  ADD ("dropout", test_dropout);
  ADD ("cross-entropy", test_cross_entropy);
  ADD ("sum-squares", test_sum_squares);
  ADD ("adamw", test_adamw);
  ADD ("fill-copy", test_fill_copy);
  ADD ("unary", test_unary);
  ADD ("binary", test_binary);
  ADD ("reduce", test_reduce);
  ADD ("softmax", test_softmax);
  ADD ("protection", test_protection);
  ADD ("allocation", test_allocation);
  g_test_add_func ("/Peft/Reference/protection-off", test_protection_off);
  return g_test_run ();
}
