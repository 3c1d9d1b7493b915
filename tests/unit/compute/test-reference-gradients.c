/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include "compute-testing.h"

/* Every backward kernel against central differences of its forward kernel, in float64. */

/* A forward call that is run again and again. */
typedef struct
{
  PeftBackend *backend;
  PeftKernel kernel;
  gconstpointer params;
} Call;

static void
run_call (gpointer data)
{
  const Call *call = data;

  peft_backend_run (call->backend, call->kernel, call->params);
}

static PeftTensor *
zeros (PeftBackend *backend, guint n_dims, const gint64 *shape)
{
  return test_tensor (backend, PEFT_DTYPE_F64, n_dims, shape, NULL);
}

/* With `accumulate` the gradient must have been added to `before`, which is then taken off. */
static void
subtract (PeftBackend *backend, PeftTensor *gradient, PeftTensor *before)
{
  peft_backend_run (backend, PEFT_KERNEL_COPY,
                    &(PeftCopyParams){ before->view, gradient->view, -1, TRUE });
}

static void
test_matmul (void)
{
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);
  g_autoptr (PeftTensor) x = test_random (backend, 1, -1, 1, DIMS (3, 4));
  g_autoptr (PeftTensor) w = test_random (backend, 2, -1, 1, DIMS (5, 4));
  g_autoptr (PeftTensor) y = zeros (backend, DIMS (3, 5));
  g_autoptr (PeftTensor) dy = test_random (backend, 3, -1, 1, DIMS (3, 5));
  g_autoptr (PeftTensor) dx = zeros (backend, DIMS (3, 4));
  g_autoptr (PeftTensor) dw = zeros (backend, DIMS (5, 4));
  PeftMatmulParams params
      = { .a = x->view, .b = w->view, .c = y->view, .trans_b = TRUE, .alpha = 0.7 };
  Call call = { backend, PEFT_KERNEL_MATMUL, &params };

  peft_backend_run (backend, PEFT_KERNEL_MATMUL,
                    &(PeftMatmulParams){ .a = dy->view, .b = w->view, .c = dx->view, .alpha = 0.7 });
  peft_backend_run (backend, PEFT_KERNEL_MATMUL,
                    &(PeftMatmulParams){ .a = dy->view, .b = x->view, .c = dw->view,
                                         .trans_a = TRUE, .alpha = 0.7 });
  test_assert_gradient (run_call, &call, x, y, dy, dx);
  test_assert_gradient (run_call, &call, w, y, dy, dw);
}

static void
test_embedding (void)
{
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);
  g_autoptr (PeftTensor) table = test_random (backend, 1, -1, 1, DIMS (3, 2));
  g_autoptr (PeftTensor) ids
      = test_tensor (backend, PEFT_DTYPE_I32, DIMS (4), VALUES (2, 0, 2, 2));
  g_autoptr (PeftTensor) y = zeros (backend, DIMS (4, 2));
  g_autoptr (PeftTensor) dy = test_random (backend, 3, -1, 1, DIMS (4, 2));
  g_autoptr (PeftTensor) dtable = zeros (backend, DIMS (3, 2));
  PeftGatherRowsParams params = { table->view, ids->view, y->view, 1.5 };
  Call call = { backend, PEFT_KERNEL_GATHER_ROWS, &params };

  peft_backend_run (backend, PEFT_KERNEL_SCATTER_ADD_ROWS,
                    &(PeftScatterAddRowsParams){ dtable->view, ids->view, dy->view, 1.5 });
  test_assert_gradient (run_call, &call, table, y, dy, dtable);
}

static void
test_rms_norm (void)
{
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);

  for (guint v = 0; v < 4; v++)
    {
      gboolean residual = v & 1, accumulate = (v & 2) != 0;
      g_autoptr (PeftTensor) x = test_random (backend, 1, -1, 1, DIMS (2, 3, 5));
      g_autoptr (PeftTensor) r = test_random (backend, 2, -1, 1, DIMS (2, 3, 5));
      g_autoptr (PeftTensor) weight = test_random (backend, 3, 0.5, 1.5, DIMS (5));
      g_autoptr (PeftTensor) y = zeros (backend, DIMS (2, 3, 5));
      g_autoptr (PeftTensor) sum = zeros (backend, DIMS (2, 3, 5));
      g_autoptr (PeftTensor) rstd = zeros (backend, DIMS (6));
      g_autoptr (PeftTensor) dy = test_random (backend, 4, -1, 1, DIMS (2, 3, 5));
      g_autoptr (PeftTensor) dx = test_random (backend, 5, -1, 1, DIMS (2, 3, 5));
      g_autoptr (PeftTensor) dx_before = test_random (backend, 5, -1, 1, DIMS (2, 3, 5));
      g_autoptr (PeftTensor) dweight = test_random (backend, 6, -1, 1, DIMS (5));
      g_autoptr (PeftTensor) dweight_before = test_random (backend, 6, -1, 1, DIMS (5));
      PeftRmsNormParams params = {
        .x = x->view, .weight = weight->view, .y = y->view, .rstd = rstd->view,
        .eps = 0.01, .weight_offset = v == 3 ? 1 : 0,
      };
      PeftRmsNormBackwardParams backward = {
        .dy = dy->view, .x = residual ? sum->view : x->view, .weight = weight->view,
        .rstd = rstd->view, .dx = dx->view, .dweight = dweight->view,
        .weight_offset = params.weight_offset, .accumulate = accumulate,
      };
      Call call = { backend, PEFT_KERNEL_RMS_NORM, &params };

      if (residual)
        {
          params.residual = r->view;
          params.sum = sum->view;
        }
      run_call (&call);
      peft_backend_run (backend, PEFT_KERNEL_RMS_NORM_BACKWARD, &backward);
      if (accumulate)
        subtract (backend, dx, dx_before);
      subtract (backend, dweight, dweight_before);
      test_assert_gradient (run_call, &call, x, y, dy, dx);
      if (residual)
        test_assert_gradient (run_call, &call, r, y, dy, dx);
      test_assert_gradient (run_call, &call, weight, y, dy, dweight);
    }
}

static void
test_rope (void)
{
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);

  for (guint interleaved = 0; interleaved < 2; interleaved++)
    {
      g_autoptr (PeftTensor) x = test_random (backend, 1, -1, 1, DIMS (1, 2, 2, 6));
      g_autoptr (PeftTensor) y = zeros (backend, DIMS (1, 2, 2, 6));
      g_autoptr (PeftTensor) dy = test_random (backend, 2, -1, 1, DIMS (1, 2, 2, 6));
      g_autoptr (PeftTensor) dx = zeros (backend, DIMS (1, 2, 2, 6));
      g_autoptr (PeftTensor) positions
          = test_tensor (backend, PEFT_DTYPE_I32, DIMS (1, 2), VALUES (1, 0));
      g_autoptr (PeftTensor) cos_sin
          = test_tensor (backend, PEFT_DTYPE_F64, DIMS (2, 2, 2),
                         VALUES (cos (1), cos (2), sin (1), sin (2), cos (3), cos (4), sin (3),
                                 sin (4)));
      PeftRopeParams params = { .x = x->view, .y = y->view, .cos_sin = cos_sin->view,
                                .positions = positions->view, .interleaved = interleaved };
      PeftRopeParams backward = params;
      Call call = { backend, PEFT_KERNEL_ROPE, &params };

      backward.x = dy->view;
      backward.y = dx->view;
      backward.inverse = TRUE;
      peft_backend_run (backend, PEFT_KERNEL_ROPE, &backward);
      test_assert_gradient (run_call, &call, x, y, dy, dx);
    }
}

static const struct
{
  gint64 batch, q_len, k_len, heads, kv_heads, dim;
  gboolean causal;
  gint64 window;
  gboolean segments;
  gint64 n_prefix;
} attention_cases[] = {
  { 1, 3, 3, 1, 1, 2, FALSE },
  { 2, 4, 4, 4, 2, 3, TRUE },
  { 1, 5, 5, 2, 1, 3, TRUE, 2 },
  { 1, 2, 5, 3, 1, 2, TRUE },
  { 1, 5, 3, 2, 2, 2, TRUE }, /* two queries see nothing */
  { 1, 2, 5, 2, 1, 2, TRUE, 3 },
  { 2, 6, 6, 2, 1, 3, TRUE, 0, TRUE },
  { 1, 6, 6, 2, 2, 3, FALSE, 3, TRUE },
  { 1, 3, 6, 2, 2, 3, TRUE, 0, TRUE },
  { 2, 4, 6, 2, 1, 3, TRUE, 0, TRUE, 2 },
  { 1, 5, 6, 2, 2, 2, TRUE, 3, TRUE, 1 },
};

static void
test_attention (void)
{
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (attention_cases); i++)
    {
      gint64 batch = attention_cases[i].batch, heads = attention_cases[i].heads;
      gint64 q_len = attention_cases[i].q_len, k_len = attention_cases[i].k_len;
      gint64 kv_heads = attention_cases[i].kv_heads, dim = attention_cases[i].dim;
      gint64 own = k_len - attention_cases[i].n_prefix;
      const double ids[] = { 0, 0, 0, -1, 1, 1, 2, 2, 2, 2, -1, -1 };
      double q_ids[12];
      g_autoptr (PeftTensor) q = test_random (backend, 1, -2, 2, DIMS (batch, q_len, heads, dim));
      g_autoptr (PeftTensor) k
          = test_random (backend, 2, -2, 2, DIMS (batch, k_len, kv_heads, dim));
      g_autoptr (PeftTensor) v
          = test_random (backend, 3, -2, 2, DIMS (batch, k_len, kv_heads, dim));
      g_autoptr (PeftTensor) out = zeros (backend, DIMS (batch, q_len, heads, dim));
      g_autoptr (PeftTensor) lse = zeros (backend, DIMS (batch, heads, q_len));
      g_autoptr (PeftTensor) delta = zeros (backend, DIMS (batch, heads, q_len));
      g_autoptr (PeftTensor) dout
          = test_random (backend, 4, -1, 1, DIMS (batch, q_len, heads, dim));
      g_autoptr (PeftTensor) dq = test_random (backend, 5, -1, 1, DIMS (batch, q_len, heads, dim));
      g_autoptr (PeftTensor) dk
          = test_random (backend, 6, -1, 1, DIMS (batch, k_len, kv_heads, dim));
      g_autoptr (PeftTensor) dv
          = test_random (backend, 7, -1, 1, DIMS (batch, k_len, kv_heads, dim));
      g_autoptr (PeftTensor) q_segments = NULL;
      g_autoptr (PeftTensor) k_segments = NULL;
      PeftAttentionParams params = {
        .q = q->view, .k = k->view, .v = v->view, .out = out->view, .lse = lse->view,
        .scale = 0.8, .causal = attention_cases[i].causal, .window = attention_cases[i].window,
        .n_prefix = attention_cases[i].n_prefix,
      };
      PeftAttentionBackwardParams backward;
      Call call = { backend, PEFT_KERNEL_ATTENTION, &params };

      if (attention_cases[i].segments)
        {
          for (gint64 j = 0; j < batch * q_len; j++)
            q_ids[j] = ids[j / q_len * own + j % q_len + own - q_len];
          q_segments = test_tensor (backend, PEFT_DTYPE_I32, DIMS (batch, q_len), q_ids);
          k_segments = test_tensor (backend, PEFT_DTYPE_I32, DIMS (batch, own), ids);
          params.q_segments = q_segments->view;
          params.k_segments = k_segments->view;
        }
      run_call (&call);
      backward = (PeftAttentionBackwardParams){
        .forward = params, .dout = dout->view, .dq = dq->view, .dk = dk->view, .dv = dv->view,
        .delta = delta->view,
      };
      peft_backend_run (backend, PEFT_KERNEL_ATTENTION_BACKWARD, &backward);
      test_assert_gradient (run_call, &call, q, out, dout, dq);
      test_assert_gradient (run_call, &call, k, out, dout, dk);
      test_assert_gradient (run_call, &call, v, out, dout, dv);
    }
}

static void
test_gated (void)
{
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);

  for (guint activation = 0; activation <= PEFT_ACTIVATION_RELU; activation++)
    {
      g_autoptr (PeftTensor) gate = test_random (backend, 1, -3, 3, DIMS (3, 7));
      g_autoptr (PeftTensor) up = test_random (backend, 2, -1, 1, DIMS (3, 7));
      g_autoptr (PeftTensor) h = zeros (backend, DIMS (3, 7));
      g_autoptr (PeftTensor) dh = test_random (backend, 3, -1, 1, DIMS (3, 7));
      /* In place: the gradients overwrite copies of the operands. */
      g_autoptr (PeftTensor) dgate = test_random (backend, 1, -3, 3, DIMS (3, 7));
      g_autoptr (PeftTensor) dup = test_random (backend, 2, -1, 1, DIMS (3, 7));
      PeftGatedParams params = { gate->view, up->view, h->view, activation };
      Call call = { backend, PEFT_KERNEL_GATED, &params };

      peft_backend_run (backend, PEFT_KERNEL_GATED_BACKWARD,
                        &(PeftGatedBackwardParams){ dh->view, dgate->view, dup->view, dgate->view,
                                                    dup->view, activation });
      test_assert_gradient (run_call, &call, gate, h, dh, dgate);
      test_assert_gradient (run_call, &call, up, h, dh, dup);
    }
}

static void
test_dropout (void)
{
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);
  g_autoptr (PeftTensor) x = test_random (backend, 1, -1, 1, DIMS (4, 9));
  g_autoptr (PeftTensor) y = zeros (backend, DIMS (4, 9));
  g_autoptr (PeftTensor) dy = test_random (backend, 2, -1, 1, DIMS (4, 9));
  g_autoptr (PeftTensor) dx = zeros (backend, DIMS (4, 9));
  PeftDropoutParams params = { .x = x->view, .y = y->view, .seed = 1, .stream = 2, .p = 0.4 };
  PeftDropoutParams backward = params;
  Call call = { backend, PEFT_KERNEL_DROPOUT, &params };

  backward.x = dy->view;
  backward.y = dx->view;
  peft_backend_run (backend, PEFT_KERNEL_DROPOUT, &backward);
  test_assert_gradient (run_call, &call, x, y, dy, dx);
}

static void
test_cross_entropy (void)
{
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);
  g_autoptr (PeftTensor) logits = test_random (backend, 1, -3, 3, DIMS (4, 6));
  g_autoptr (PeftTensor) gradient = test_random (backend, 1, -3, 3, DIMS (4, 6));
  g_autoptr (PeftTensor) labels
      = test_tensor (backend, PEFT_DTYPE_I32, DIMS (4), VALUES (5, 0, -1, 3));
  g_autoptr (PeftTensor) loss = zeros (backend, DIMS (4));
  g_autoptr (PeftTensor) dloss
      = test_tensor (backend, PEFT_DTYPE_F64, DIMS (4), VALUES (0.5, 0.5, 0.5, 0.5));
  PeftCrossEntropyParams params
      = { .logits = logits->view, .labels = labels->view, .loss = loss->view };
  PeftCrossEntropyParams backward = params;
  Call call = { backend, PEFT_KERNEL_CROSS_ENTROPY, &params };

  backward.logits = gradient->view;
  backward.gradient = TRUE;
  backward.scale = 0.5;
  peft_backend_run (backend, PEFT_KERNEL_CROSS_ENTROPY, &backward);
  test_assert_gradient (run_call, &call, logits, loss, dloss, gradient);
}

static void
test_unary (void)
{
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);

  for (guint op = 0; op < PEFT_N_UNARY; op++)
    for (guint accumulate = 0; accumulate < 2; accumulate++)
      {
        gboolean positive = op == PEFT_UNARY_SQRT || op == PEFT_UNARY_RSQRT || op == PEFT_UNARY_LOG
                            || op == PEFT_UNARY_RECIPROCAL;
        g_autoptr (PeftTensor) x = test_random (backend, op, positive ? 0.5 : -3, 3, DIMS (20));
        g_autoptr (PeftTensor) y = zeros (backend, DIMS (20));
        g_autoptr (PeftTensor) dy = test_random (backend, 50, -1, 1, DIMS (20));
        g_autoptr (PeftTensor) dx = test_random (backend, 51, -1, 1, DIMS (20));
        g_autoptr (PeftTensor) before = test_random (backend, 51, -1, 1, DIMS (20));
        PeftUnaryParams params = { x->view, y->view, op };
        Call call = { backend, PEFT_KERNEL_UNARY, &params };

        peft_backend_run (backend, PEFT_KERNEL_UNARY_BACKWARD,
                          &(PeftUnaryBackwardParams){ x->view, dy->view, dx->view, op, accumulate });
        if (accumulate)
          subtract (backend, dx, before);
        if (op == PEFT_UNARY_SIGN) /* flat: the check refuses gradients that are all zero */
          test_assert_values (dx, 1e-15, (const double[20]){ 0 });
        else
          test_assert_gradient (run_call, &call, x, y, dy, dx);
      }
}

static void
test_softmax (void)
{
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);

  for (guint accumulate = 0; accumulate < 2; accumulate++)
    {
      g_autoptr (PeftTensor) x = test_random (backend, 1, -2, 2, DIMS (3, 5));
      g_autoptr (PeftTensor) y = zeros (backend, DIMS (3, 5));
      g_autoptr (PeftTensor) dy = test_random (backend, 2, -1, 1, DIMS (3, 5));
      g_autoptr (PeftTensor) dx = test_random (backend, 3, -1, 1, DIMS (3, 5));
      g_autoptr (PeftTensor) before = test_random (backend, 3, -1, 1, DIMS (3, 5));
      PeftSoftmaxParams params = { x->view, y->view };
      Call call = { backend, PEFT_KERNEL_SOFTMAX, &params };

      run_call (&call);
      peft_backend_run (backend, PEFT_KERNEL_SOFTMAX_BACKWARD,
                        &(PeftSoftmaxBackwardParams){ y->view, dy->view, dx->view, accumulate });
      if (accumulate)
        subtract (backend, dx, before);
      test_assert_gradient (run_call, &call, x, y, dy, dx);
    }
}

/* The check itself must be able to fail. */
static void
test_wrong_gradient (void)
{
  if (g_test_subprocess ())
    {
      g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);
      g_autoptr (PeftTensor) x = test_random (backend, 1, -1, 1, DIMS (5));
      g_autoptr (PeftTensor) y = zeros (backend, DIMS (5));
      g_autoptr (PeftTensor) dy = test_random (backend, 2, -1, 1, DIMS (5));
      g_autoptr (PeftTensor) dx = zeros (backend, DIMS (5));
      PeftUnaryParams params = { x->view, y->view, PEFT_UNARY_GELU };
      Call call = { backend, PEFT_KERNEL_UNARY, &params };

      /* The tanh form differs by some 1e-4. */
      peft_backend_run (backend, PEFT_KERNEL_UNARY_BACKWARD,
                        &(PeftUnaryBackwardParams){ x->view, dy->view, dx->view,
                                                    PEFT_UNARY_GELU_TANH });
      test_assert_gradient (run_call, &call, x, y, dy, dx);
      return;
    }
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
  g_test_trap_assert_failed ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Reference/Gradients/matmul", test_matmul);
  g_test_add_func ("/Peft/Reference/Gradients/embedding", test_embedding);
  g_test_add_func ("/Peft/Reference/Gradients/rms-norm", test_rms_norm);
  g_test_add_func ("/Peft/Reference/Gradients/rope", test_rope);
  g_test_add_func ("/Peft/Reference/Gradients/attention", test_attention);
  g_test_add_func ("/Peft/Reference/Gradients/gated", test_gated);
  g_test_add_func ("/Peft/Reference/Gradients/dropout", test_dropout);
  g_test_add_func ("/Peft/Reference/Gradients/cross-entropy", test_cross_entropy);
  g_test_add_func ("/Peft/Reference/Gradients/unary", test_unary);
  g_test_add_func ("/Peft/Reference/Gradients/softmax", test_softmax);
  g_test_add_func ("/Peft/Reference/Gradients/wrong-gradient", test_wrong_gradient);
  return g_test_run ();
}
