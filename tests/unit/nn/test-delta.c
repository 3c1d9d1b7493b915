/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradcheck.h"

#include <math.h>

#include "base/peft-blocks.h"

/* Products with W + ΔW where W is stored in blocks or the products are made in bfloat16, and modules left out. */

#define ROWS 5
#define OUT 4
#define IN 32

#define SHAPE(...) { .n_dims = G_N_ELEMENTS (((gint64[]){ __VA_ARGS__ })), .shape = { __VA_ARGS__ } }

static void
fill (float *values, gsize n, double step)
{
  for (gsize i = 0; i < n; i++)
    values[i] = (float) sin ((double) i * step + 0.3);
}

/* [OUT, IN] */
static PeftTensor *
block_weight (PeftTape *tape)
{
  const gint64 shape[2] = { OUT, IN };
  PeftTensor *tensor = peft_tape_alloc (tape, PEFT_DTYPE_Q8_0, 2, shape);
  guint8 bytes[OUT * IN / PEFT_Q8_0_BLOCK * PEFT_Q8_0_BYTES];
  float values[OUT * IN];

  fill (values, OUT * IN, 1.7);
  peft_q8_0_from_f32 (values, bytes, OUT * IN);
  peft_buffer_upload (tensor->view.buffer, tensor->view.offset, bytes, sizeof bytes);
  return tensor;
}

/* Also compares with two products. */
static PeftVar *
of_blocks (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  g_autoptr (PeftTensor) tensor = block_weight (tape);
  g_autoptr (PeftVar) weight = peft_tape_constant (tape, tensor);
  g_autoptr (PeftVar) y = peft_nn_linear_delta (tape, v[0], weight, v[1], v[2], FALSE);
  g_autoptr (PeftVar) frozen = peft_nn_linear (tape, v[0], weight, v[2], FALSE);
  g_autoptr (PeftVar) change = peft_nn_linear (tape, v[0], v[1], NULL, FALSE);
  g_autoptr (PeftVar) expected = peft_nn_add (tape, frozen, change);
  double found[ROWS * OUT], wanted[ROWS * OUT];

  peft_tensor_download_f64 (y->value, found);
  peft_tensor_download_f64 (expected->value, wanted);
  for (guint i = 0; i < ROWS * OUT; i++)
    g_assert_cmpfloat_with_epsilon (found[i], wanted[i], 1e-12);
  return gradcheck_weigh (tape, y);
}

static void
test_blocks (void)
{
  const GradcheckLeaf leaves[] = { SHAPE (ROWS, IN), SHAPE (OUT, IN), SHAPE (OUT) };

  gradcheck_run ("blocks", of_blocks, NULL, leaves, 3);
}

/* y lives on, so that it must not be computed in place, and the products are those with the whole matrix. */
static PeftVar *
kronecker (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  const gint64 n = 6;
  const float kept[6] = { 1, 0, 2, 1, 0.5f, 1 };
  g_autoptr (PeftTensor) tensor = peft_tape_alloc (tape, PEFT_DTYPE_F64, 1, &n);
  g_autoptr (PeftVar) mask = NULL;
  g_autoptr (PeftVar) y = peft_var_ref (v[0]);
  g_autoptr (PeftVar) sum = NULL;
  g_autoptr (PeftVar) product = NULL;
  double w1[4], w2[12], x[32], base[24], found[24];

  peft_tensor_upload_f32 (tensor, kept);
  mask = data != NULL ? peft_tape_constant (tape, tensor) : NULL;
  sum = peft_nn_kronecker (tape, y, v[1], v[2], v[3], mask, 1.5);
  peft_tensor_download_f64 (v[0]->value, base);
  peft_tensor_download_f64 (v[1]->value, x);
  peft_tensor_download_f64 (v[2]->value, w1);
  peft_tensor_download_f64 (v[3]->value, w2);
  peft_tensor_download_f64 (sum->value, found);
  for (guint row = 0; row < 4; row++)
    for (guint i = 0; i < 6; i++)
      {
        double expected = 0;

        for (guint j = 0; j < 8; j++)
          expected += w1[i / 3 * 2 + j / 4] * w2[i % 3 * 4 + j % 4] * x[row * 8 + j];
        expected = base[row * 6 + i] + 1.5 * expected * (data != NULL ? kept[i] : 1);
        g_assert_cmpfloat_with_epsilon (found[row * 6 + i], expected, 1e-12);
      }
  product = peft_nn_mul (tape, sum, y);
  return gradcheck_weigh (tape, product);
}

static void
test_kronecker (void)
{
  /* y, x, W₁ [2, 2], W₂ [3, 4] */
  const GradcheckLeaf leaves[] = { SHAPE (4, 6), SHAPE (4, 8), SHAPE (2, 2), SHAPE (3, 4) };

  gradcheck_run ("kronecker", kronecker, NULL, leaves, 4);
  gradcheck_run ("kronecker, masked", kronecker, GINT_TO_POINTER (1), leaves, 4);
}

/* One pass on the fast backend: y and the gradients of x and ΔW, one after the other. */
static void
run_fast (PeftBackend *backend, PeftComputeType compute, PeftDType weight_dtype, float *out)
{
  const gint64 x_shape[2] = { ROWS, IN }, w_shape[2] = { OUT, IN };
  float x_values[ROWS * IN], w_values[OUT * IN], d_values[OUT * IN];
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftArena) arena = peft_arena_new (backend, 1 << 20, &error);

  g_assert_no_error (error);
  fill (x_values, ROWS * IN, 0.9);
  fill (w_values, OUT * IN, 1.7);
  fill (d_values, OUT * IN, 2.3);
  {
    const PeftTapeOptions options = { .arena = arena, .compute = compute, .recording = TRUE };
    g_autoptr (PeftTape) tape = peft_tape_new (&options);
    g_autoptr (PeftTensor) x_tensor = peft_tape_alloc (tape, PEFT_DTYPE_F32, 2, x_shape);
    g_autoptr (PeftTensor) w_tensor = peft_tape_alloc (tape, weight_dtype, 2, w_shape);
    g_autoptr (PeftTensor) d_tensor = peft_tape_alloc (tape, PEFT_DTYPE_F32, 2, w_shape);

    peft_tensor_upload_f32 (x_tensor, x_values);
    peft_tensor_upload_f32 (w_tensor, w_values);
    peft_tensor_upload_f32 (d_tensor, d_values);
    {
      g_autoptr (PeftVar) x = peft_tape_leaf (tape, x_tensor);
      g_autoptr (PeftVar) weight = peft_tape_constant (tape, w_tensor);
      g_autoptr (PeftVar) delta = peft_tape_leaf (tape, d_tensor);
      g_autoptr (PeftVar) y = peft_nn_linear_delta (tape, x, weight, delta, NULL, FALSE);

      peft_tensor_download_f32 (y->value, out);
      peft_tape_backward (tape, y, NULL);
      g_assert_true (peft_tape_check (tape, &error));
      peft_tensor_download_f32 (peft_var_get_grad (x), out + ROWS * OUT);
      peft_tensor_download_f32 (peft_var_get_grad (delta), out + ROWS * OUT + ROWS * IN);
    }
  }
}

static void
test_fast (void)
{
  static const PeftDType dtypes[] = { PEFT_DTYPE_F32, PEFT_DTYPE_BF16, PEFT_DTYPE_F16 };
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftBackend) backend = peft_backend_open ("cpu", 1, &error);
  float exact[ROWS * OUT + (ROWS + OUT) * IN], fast[G_N_ELEMENTS (exact)];

  g_assert_no_error (error);
  if (!backend->has_bf16)
    {
      g_test_skip ("no bfloat16 here");
      return;
    }
  for (guint i = 0; i < G_N_ELEMENTS (dtypes); i++)
    {
      double worst = 0;

      run_fast (backend, PEFT_COMPUTE_F32, dtypes[i], exact);
      run_fast (backend, PEFT_COMPUTE_BF16, dtypes[i], fast);
      for (guint j = 0; j < G_N_ELEMENTS (exact); j++)
        worst = MAX (worst, fabs ((double) exact[j] - fast[j]));
      /* 32 products of rounded numbers around one, each 2⁻⁸ off at most and of either sign; not the same sums, either. */
      g_assert_cmpfloat (worst, <, 0.1);
      g_assert_cmpfloat (worst, >, 1e-5);
    }
}

static guint
count_parts (gboolean training, guint64 step, double p)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, &error);
  g_autoptr (PeftArena) arena = peft_arena_new (backend, 1 << 16, &error);
  const PeftTapeOptions options = { .arena = arena, .training = training, .seed = 3, .step = step };
  g_autoptr (PeftTape) tape = peft_tape_new (&options);
  guint n = 0;

  for (guint64 stream = 0; stream < 1000; stream++)
    n += peft_nn_takes_part (tape, p, stream);
  return n;
}

static void
test_takes_part (void)
{
  guint n = count_parts (TRUE, 1, 0.3);

  g_assert_cmpuint (n, ==, count_parts (TRUE, 1, 0.3));
  /* 1000 draws of 0.7: 14.5 is the standard deviation. */
  g_assert_cmpuint (n, >, 630);
  g_assert_cmpuint (n, <, 770);
  g_assert_cmpuint (count_parts (TRUE, 1, 0), ==, 1000);
  g_assert_cmpuint (count_parts (FALSE, 1, 0.3), ==, 1000);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Delta/blocks", test_blocks);
  g_test_add_func ("/Peft/Delta/kronecker", test_kronecker);
  g_test_add_func ("/Peft/Delta/fast", test_fast);
  g_test_add_func ("/Peft/Delta/takes-part", test_takes_part);
  return g_test_run ();
}
