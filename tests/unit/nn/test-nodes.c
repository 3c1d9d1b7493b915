/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradcheck.h"

#include <math.h>

/* Every node's backward pass against central differences. */

#define SHAPE(...) { .n_dims = G_N_ELEMENTS (((gint64[]){ __VA_ARGS__ })), .shape = { __VA_ARGS__ } }
#define POSITIVE(...)                                                                              \
  { .n_dims = G_N_ELEMENTS (((gint64[]){ __VA_ARGS__ })), .shape = { __VA_ARGS__ }, .low = 0.5, .high = 2 }

static PeftVar *
weigh_and_free (PeftTape *tape, PeftVar *y)
{
  PeftVar *out = gradcheck_weigh (tape, y);
  peft_var_unref (y);
  return out;
}

static PeftVar *
linear (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  return weigh_and_free (tape, peft_nn_linear (tape, v[0], v[1], v[2], GPOINTER_TO_INT (data)));
}

static void
test_linear (void)
{
  gradcheck_run ("linear", linear, GINT_TO_POINTER (FALSE),
                 (GradcheckLeaf[]){ SHAPE (3, 5), SHAPE (4, 5), SHAPE (4) }, 3);
  gradcheck_run ("conv1d", linear, GINT_TO_POINTER (TRUE),
                 (GradcheckLeaf[]){ SHAPE (3, 5), SHAPE (5, 4), SHAPE (4) }, 3);
}

static PeftVar *
low_rank (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  g_autoptr (PeftVar) y = peft_nn_linear (tape, v[0], v[1], NULL, FALSE);
  return weigh_and_free (tape, peft_nn_low_rank (tape, y, v[0], v[2], v[3], v[4], 1.75));
}

/* y is a leaf that the caller goes on using: it must not be computed in place. */
static PeftVar *
low_rank_shared (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  g_autoptr (PeftVar) y = peft_var_ref (v[0]);
  g_autoptr (PeftVar) sum = peft_nn_low_rank (tape, y, v[1], v[2], v[3], NULL, -0.5);
  g_autoptr (PeftVar) product = peft_nn_mul (tape, sum, y);
  return gradcheck_weigh (tape, product);
}

static void
test_low_rank (void)
{
  gradcheck_run ("low-rank", low_rank, NULL,
                 (GradcheckLeaf[]){ SHAPE (3, 5), SHAPE (4, 5), SHAPE (2, 5), SHAPE (4, 2), SHAPE (4) }, 5);
  gradcheck_run ("low-rank shared", low_rank_shared, NULL,
                 (GradcheckLeaf[]){ SHAPE (3, 4), SHAPE (3, 5), SHAPE (2, 5), SHAPE (4, 2) }, 4);
}

static PeftVar *
linear_delta (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  return weigh_and_free (tape, peft_nn_linear_delta (tape, v[0], v[1], v[2], v[3], data != NULL));
}

static PeftVar *
hadamard (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  g_autoptr (PeftVar) delta = peft_nn_hadamard_low_rank (tape, v[1], v[2], v[3], v[4], 1.25);
  return weigh_and_free (tape, peft_nn_linear_delta (tape, v[0], v[5], delta, NULL, FALSE));
}

static void
test_delta (void)
{
  gradcheck_run ("linear-delta", linear_delta, NULL,
                 (GradcheckLeaf[]){ SHAPE (3, 5), SHAPE (4, 5), SHAPE (4, 5), SHAPE (4) }, 4);
  gradcheck_run ("linear-delta transposed", linear_delta, GINT_TO_POINTER (1),
                 (GradcheckLeaf[]){ SHAPE (3, 5), SHAPE (5, 4), SHAPE (4, 5), SHAPE (4) }, 4);
  gradcheck_run ("hadamard", hadamard, NULL,
                 (GradcheckLeaf[]){ SHAPE (3, 5), SHAPE (4, 2), SHAPE (2, 5), SHAPE (4, 2),
                                    SHAPE (2, 5), SHAPE (4, 5) }, 6);
}

static PeftVar *
embedding (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  const gint64 n = 6;
  g_autoptr (PeftTensor) ids = gradcheck_ints (tape, 1, &n, (gint32[]){ 2, 0, 2, 4, 1, 2 });
  return weigh_and_free (tape, peft_nn_embedding (tape, ids, v[0], 1.5));
}

static void
test_embedding (void)
{
  gradcheck_run ("embedding", embedding, NULL, (GradcheckLeaf[]){ SHAPE (5, 3) }, 1);
}

static PeftVar *
rms_norm (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  return weigh_and_free (tape, peft_nn_rms_norm (tape, v[0], NULL, v[1], 1e-5, GPOINTER_TO_INT (data), NULL));
}

static PeftVar *
rms_norm_residual (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  g_autoptr (PeftVar) sum = NULL;
  g_autoptr (PeftVar) y = peft_nn_rms_norm (tape, v[0], v[1], v[2], 1e-5, 0, &sum);
  g_autoptr (PeftVar) both = peft_nn_mul (tape, sum, y);
  g_autoptr (PeftVar) again = peft_nn_add (tape, both, v[1]);
  return gradcheck_weigh (tape, again);
}

static PeftVar *
rms_norm_heads (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  g_autoptr (PeftVar) heads = peft_nn_reshape (tape, v[0], 4, (const gint64[]){ 1, 2, 3, 4 });
  return weigh_and_free (tape, peft_nn_rms_norm (tape, heads, NULL, v[1], 1e-6, 0, NULL));
}

static void
test_rms_norm (void)
{
  gradcheck_run ("rms-norm", rms_norm, GINT_TO_POINTER (0), (GradcheckLeaf[]){ SHAPE (3, 5), SHAPE (5) }, 2);
  gradcheck_run ("rms-norm +1", rms_norm, GINT_TO_POINTER (1), (GradcheckLeaf[]){ SHAPE (3, 5), SHAPE (5) }, 2);
  gradcheck_run ("rms-norm residual", rms_norm_residual, NULL,
                 (GradcheckLeaf[]){ SHAPE (3, 5), SHAPE (3, 5), SHAPE (5) }, 3);
  gradcheck_run ("rms-norm heads", rms_norm_heads, NULL, (GradcheckLeaf[]){ SHAPE (2, 12), SHAPE (4) }, 2);
}

static PeftVar *
residual (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  g_autoptr (PeftVar) delta = peft_nn_linear (tape, v[0], v[1], NULL, FALSE);
  g_autoptr (PeftVar) sum = peft_nn_residual (tape, v[0], delta);
  g_autoptr (PeftVar) kept = peft_nn_residual (tape, v[0], sum);
  g_autoptr (PeftVar) squared = peft_nn_unary (tape, PEFT_UNARY_SQUARE, kept);
  return gradcheck_weigh (tape, squared);
}

static void
test_residual (void)
{
  gradcheck_run ("residual", residual, NULL, (GradcheckLeaf[]){ SHAPE (3, 4), SHAPE (4, 4) }, 2);
}

static PeftVar *
rope (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  const gint64 table_shape[3] = { 4, 2, 2 }, positions_shape[2] = { 2, 3 };
  g_autoptr (PeftTensor) table = peft_tape_alloc (tape, PEFT_DTYPE_F64, 3, table_shape);
  g_autoptr (PeftTensor) positions
      = gradcheck_ints (tape, 2, positions_shape, (gint32[]){ 0, 1, 2, 1, 2, 3 });
  float numbers[16];

  for (guint t = 0; t < 4; t++)
    for (guint i = 0; i < 2; i++)
      {
        numbers[t * 4 + i] = cosf (t * (i + 0.5f));
        numbers[t * 4 + 2 + i] = sinf (t * (i + 0.5f));
      }
  peft_tensor_upload_f32 (table, numbers);
  {
    /* A further value after the turned ones, and a variable that lives on. */
    g_autoptr (PeftVar) x = peft_var_ref (v[0]);
    g_autoptr (PeftVar) y = peft_nn_rope (tape, x, table, positions, GPOINTER_TO_INT (data));
    g_autoptr (PeftVar) product = peft_nn_mul (tape, y, x);
    return gradcheck_weigh (tape, product);
  }
}

static void
test_rope (void)
{
  gradcheck_run ("rope", rope, GINT_TO_POINTER (FALSE), (GradcheckLeaf[]){ SHAPE (2, 3, 2, 5) }, 1);
  gradcheck_run ("rope interleaved", rope, GINT_TO_POINTER (TRUE), (GradcheckLeaf[]){ SHAPE (2, 3, 2, 5) }, 1);
}

typedef struct
{
  gboolean causal, segments;
  gint64 window, n_prefix;
} AttentionCase;

static PeftVar *
attention (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  const AttentionCase *c = data;
  const gint64 q_shape[2] = { 2, 4 };
  g_autoptr (PeftTensor) segments
      = gradcheck_ints (tape, 2, q_shape, (gint32[]){ 0, 0, 1, 1, 0, 0, 0, -1 });
  PeftAttentionOptions options = {
    .scale = 0.7, .causal = c->causal, .window = c->window, .n_prefix = c->n_prefix,
    .q_segments = c->segments ? segments : NULL, .k_segments = c->segments ? segments : NULL,
  };
  return weigh_and_free (tape, peft_nn_attention (tape, v[0], v[1], v[2], &options));
}

static void
test_attention (void)
{
  const AttentionCase cases[] = {
    { TRUE, FALSE, 0 }, { FALSE, FALSE, 0 }, { TRUE, TRUE, 0 }, { TRUE, FALSE, 2 }, { TRUE, TRUE, 2 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    gradcheck_run ("attention", attention, &cases[i],
                   (GradcheckLeaf[]){ SHAPE (2, 4, 4, 3), SHAPE (2, 4, 2, 3), SHAPE (2, 4, 2, 3) }, 3);
  gradcheck_run ("attention, prefix", attention, &(AttentionCase){ TRUE, TRUE, 0, 3 },
                 (GradcheckLeaf[]){ SHAPE (2, 4, 4, 3), SHAPE (2, 7, 2, 3), SHAPE (2, 7, 2, 3) }, 3);
  gradcheck_run ("attention, more keys", attention, &cases[0],
                 (GradcheckLeaf[]){ SHAPE (2, 3, 2, 3), SHAPE (2, 5, 1, 3), SHAPE (2, 5, 1, 3) }, 3);
}

static PeftVar *
gated (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  return weigh_and_free (tape, peft_nn_gated (tape, v[0], v[1], GPOINTER_TO_INT (data)));
}

static void
test_gated (void)
{
  for (int i = PEFT_ACTIVATION_SILU; i <= PEFT_ACTIVATION_RELU; i++)
    gradcheck_run ("gated", gated, GINT_TO_POINTER (i), (GradcheckLeaf[]){ SHAPE (3, 5), SHAPE (3, 5) }, 2);
}

static PeftVar *
dropout (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  return weigh_and_free (tape, peft_nn_dropout (tape, v[0], 0.4, 17));
}

static void
test_dropout (void)
{
  gradcheck_run ("dropout", dropout, NULL, (GradcheckLeaf[]){ SHAPE (6, 7) }, 1);
}

static PeftVar *
binary (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  PeftVar *(*func) (PeftTape *, PeftVar *, PeftVar *) = data;
  return weigh_and_free (tape, func (tape, v[0], v[1]));
}

static void
test_binary (void)
{
  gpointer funcs[] = { peft_nn_add, peft_nn_sub, peft_nn_mul, peft_nn_div };

  for (guint i = 0; i < G_N_ELEMENTS (funcs); i++)
    {
      gradcheck_run ("binary", binary, funcs[i], (GradcheckLeaf[]){ SHAPE (3, 4), POSITIVE (3, 4) }, 2);
      gradcheck_run ("binary row", binary, funcs[i], (GradcheckLeaf[]){ SHAPE (3, 4), POSITIVE (4) }, 2);
      gradcheck_run ("binary column", binary, funcs[i], (GradcheckLeaf[]){ SHAPE (3, 1), POSITIVE (2, 3, 4) }, 2);
    }
}

static PeftVar *
unary (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  return weigh_and_free (tape, peft_nn_unary (tape, GPOINTER_TO_INT (data), v[0]));
}

static void
test_unary (void)
{
  for (int op = 0; op < PEFT_N_UNARY; op++)
    if (op != PEFT_UNARY_SIGN)
      gradcheck_run ("unary", unary, GINT_TO_POINTER (op), (GradcheckLeaf[]){ POSITIVE (3, 4) }, 1);
}

static PeftVar *
reduce (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  int code = GPOINTER_TO_INT (data);
  return weigh_and_free (tape, peft_nn_reduce (tape, code / 8, v[0], code % 8));
}

static void
test_reduce (void)
{
  const PeftReduce ops[] = { PEFT_REDUCE_SUM, PEFT_REDUCE_MEAN, PEFT_REDUCE_NORM };

  for (guint i = 0; i < G_N_ELEMENTS (ops); i++)
    for (guint dims = 1; dims < 8; dims++)
      gradcheck_run ("reduce", reduce, GINT_TO_POINTER (ops[i] * 8 + dims), (GradcheckLeaf[]){ SHAPE (2, 3, 4) }, 1);
}

static PeftVar *
norm_of_nothing (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  g_autoptr (PeftVar) nothing = peft_nn_sub (tape, v[0], v[0]);
  g_autoptr (PeftVar) norm = peft_nn_reduce (tape, PEFT_REDUCE_NORM, nothing, 2);
  return weigh_and_free (tape, peft_nn_add (tape, v[0], norm));
}

/* The gradient of a norm at 0 is 0, not 0 / 0. */
static void
test_norm_of_nothing (void)
{
  gradcheck_run ("norm of nothing", norm_of_nothing, NULL, (GradcheckLeaf[]){ SHAPE (2, 3) }, 1);
}

static PeftVar *
softmax (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  return weigh_and_free (tape, peft_nn_softmax (tape, v[0]));
}

static void
test_softmax (void)
{
  gradcheck_run ("softmax", softmax, NULL, (GradcheckLeaf[]){ SHAPE (3, 5) }, 1);
}

static PeftVar *
matmul (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  int code = GPOINTER_TO_INT (data);
  return weigh_and_free (tape, peft_nn_matmul (tape, v[0], v[1], code & 1, code & 2));
}

static void
test_matmul (void)
{
  gradcheck_run ("matmul", matmul, GINT_TO_POINTER (0), (GradcheckLeaf[]){ SHAPE (3, 4), SHAPE (4, 2) }, 2);
  gradcheck_run ("matmul ta", matmul, GINT_TO_POINTER (1), (GradcheckLeaf[]){ SHAPE (4, 3), SHAPE (4, 2) }, 2);
  gradcheck_run ("matmul tb", matmul, GINT_TO_POINTER (2), (GradcheckLeaf[]){ SHAPE (3, 4), SHAPE (2, 4) }, 2);
  gradcheck_run ("matmul both", matmul, GINT_TO_POINTER (3), (GradcheckLeaf[]){ SHAPE (4, 3), SHAPE (2, 4) }, 2);
  gradcheck_run ("matmul batch", matmul, GINT_TO_POINTER (2), (GradcheckLeaf[]){ SHAPE (2, 3, 4), SHAPE (2, 5, 4) }, 2);
}

static PeftVar *
views (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  const guint order[3] = { 2, 0, 1 };
  g_autoptr (PeftVar) permuted = peft_nn_permute (tape, v[0], order);
  g_autoptr (PeftVar) flat = peft_nn_contiguous (tape, permuted);
  g_autoptr (PeftVar) part = peft_nn_slice (tape, flat, 1, 1, 2);
  g_autoptr (PeftVar) other = peft_nn_slice (tape, flat, 1, 0, 2);
  PeftVar *parts[2] = { part, other };
  g_autoptr (PeftVar) joined = peft_nn_concat (tape, parts, 2, 2);
  g_autoptr (PeftVar) squared = peft_nn_unary (tape, PEFT_UNARY_SQUARE, joined);
  return gradcheck_weigh (tape, squared);
}

static void
test_views (void)
{
  gradcheck_run ("views", views, NULL, (GradcheckLeaf[]){ SHAPE (3, 2, 4) }, 1);
}

static PeftVar *
solve (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  const gint64 shape[3] = { 1, 3, 3 };
  const float eye[9] = { 4, 0, 0, 0, 4, 0, 0, 0, 4 };
  g_autoptr (PeftTensor) tensor = peft_tape_alloc (tape, PEFT_DTYPE_F64, 3, shape);
  g_autoptr (PeftVar) diagonal = NULL;
  g_autoptr (PeftVar) matrix = NULL;

  peft_tensor_upload_f32 (tensor, eye);
  diagonal = peft_tape_constant (tape, tensor);
  matrix = peft_nn_add (tape, v[0], diagonal);
  return weigh_and_free (tape, peft_nn_solve (tape, matrix, v[1]));
}

static void
test_solve (void)
{
  gradcheck_run ("solve", solve, NULL, (GradcheckLeaf[]){ SHAPE (2, 3, 3), SHAPE (2, 3, 2) }, 2);
}

static PeftVar *
scale (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  g_autoptr (PeftVar) cut = peft_nn_detach (tape, v[0]);
  g_autoptr (PeftVar) scaled = peft_nn_scale (tape, v[0], -2.5);

  g_assert_null (cut->grad);
  return gradcheck_weigh (tape, scaled);
}

static void
test_scale (void)
{
  gradcheck_run ("scale", scale, NULL, (GradcheckLeaf[]){ SHAPE (3, 4) }, 1);
}

/* The head's weight is a leaf of the outer tape here, so only x has a gradient to compare. */
static PeftVar *
head (PeftTape *tape, PeftVar *const *inputs, gpointer data)
{
  g_autoptr (PeftVar) weight = peft_tape_constant (tape, data);
  return peft_nn_linear (tape, inputs[0], weight, NULL, FALSE);
}

static PeftVar *
head_loss (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  const gint64 rows = 7, shape[2] = { 9, 4 };
  g_autoptr (PeftTensor) labels
      = gradcheck_ints (tape, 1, &rows, (gint32[]){ 1, 0, 8, 3, 3, 7, 2 });
  g_autoptr (PeftTensor) weight = peft_tape_alloc (tape, PEFT_DTYPE_F64, 2, shape);
  float numbers[36];

  for (guint i = 0; i < 36; i++)
    numbers[i] = sinf (i * 1.7f) * 2;
  peft_tensor_upload_f32 (weight, numbers);
  return peft_nn_head_loss (tape, v[0], labels, head, weight, GPOINTER_TO_INT (data), 5, NULL, NULL);
}

static void
test_head_loss (void)
{
  gradcheck_run ("head-loss", head_loss, GINT_TO_POINTER (3), (GradcheckLeaf[]){ SHAPE (7, 4) }, 1);
  gradcheck_run ("head-loss, one chunk", head_loss, GINT_TO_POINTER (64), (GradcheckLeaf[]){ SHAPE (7, 4) }, 1);
}

static PeftVar *
block (PeftTape *tape, PeftVar *const *inputs, gpointer data)
{
  g_autoptr (PeftVar) normed = peft_nn_rms_norm (tape, inputs[0], NULL, inputs[1], 1e-5, 0, NULL);
  g_autoptr (PeftVar) gate = peft_nn_linear (tape, normed, inputs[2], NULL, FALSE);
  g_autoptr (PeftVar) dropped = peft_nn_dropout (tape, normed, 0.3, 5);
  g_autoptr (PeftVar) up = peft_nn_linear (tape, dropped, inputs[2], NULL, FALSE);
  g_autoptr (PeftVar) h = peft_nn_gated (tape, gate, up, PEFT_ACTIVATION_SILU);
  return peft_nn_residual (tape, inputs[0], h);
}

static PeftVar *
checkpointed (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  g_autoptr (PeftVar) once = GPOINTER_TO_INT (data) ? peft_tape_checkpoint (tape, block, v, 3, NULL, NULL)
                                                     : block (tape, v, NULL);
  PeftVar *inputs[3] = { once, v[1], v[2] };
  return weigh_and_free (tape, GPOINTER_TO_INT (data) ? peft_tape_checkpoint (tape, block, inputs, 3, NULL, NULL)
                                                       : block (tape, inputs, NULL));
}

static void
test_checkpoint (void)
{
  GradcheckLeaf leaves[] = { SHAPE (3, 4), SHAPE (4), SHAPE (4, 4) };
  double plain = gradcheck_run ("block", checkpointed, GINT_TO_POINTER (FALSE), leaves, 3);
  double again = gradcheck_run ("checkpointed block", checkpointed, GINT_TO_POINTER (TRUE), leaves, 3);

  g_assert_cmpfloat (plain, ==, again);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Nodes/linear", test_linear);
  g_test_add_func ("/Peft/Nodes/low-rank", test_low_rank);
  g_test_add_func ("/Peft/Nodes/delta", test_delta);
  g_test_add_func ("/Peft/Nodes/embedding", test_embedding);
  g_test_add_func ("/Peft/Nodes/rms-norm", test_rms_norm);
  g_test_add_func ("/Peft/Nodes/residual", test_residual);
  g_test_add_func ("/Peft/Nodes/rope", test_rope);
  g_test_add_func ("/Peft/Nodes/attention", test_attention);
  g_test_add_func ("/Peft/Nodes/gated", test_gated);
  g_test_add_func ("/Peft/Nodes/dropout", test_dropout);
  g_test_add_func ("/Peft/Nodes/binary", test_binary);
  g_test_add_func ("/Peft/Nodes/unary", test_unary);
  g_test_add_func ("/Peft/Nodes/reduce", test_reduce);
  g_test_add_func ("/Peft/Nodes/norm-of-nothing", test_norm_of_nothing);
  g_test_add_func ("/Peft/Nodes/softmax", test_softmax);
  g_test_add_func ("/Peft/Nodes/matmul", test_matmul);
  g_test_add_func ("/Peft/Nodes/views", test_views);
  g_test_add_func ("/Peft/Nodes/solve", test_solve);
  g_test_add_func ("/Peft/Nodes/scale", test_scale);
  g_test_add_func ("/Peft/Nodes/head-loss", test_head_loss);
  g_test_add_func ("/Peft/Nodes/checkpoint", test_checkpoint);
  return g_test_run ();
}
