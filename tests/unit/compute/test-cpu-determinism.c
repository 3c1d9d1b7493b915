/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <string.h>

#include "base/peft-random.h"
#include "compute/cpu/peft-cpu-backend.h"

/* The same bits with 1, 2 and 3 threads, from every kernel that cuts its work, on shapes large
 * enough to be cut. */

typedef struct
{
  PeftBackend *backend;
  GPtrArray *buffers;
  GChecksum *sum;
} Run;

static PeftView
new_view (Run *run, PeftDType dtype, guint n_dims, gint64 a, gint64 b, gint64 c, gint64 d)
{
  const gint64 shape[PEFT_MAX_DIMS] = { a, b, c, d };
  g_autoptr (GError) error = NULL;
  gint64 n = 1;
  guint64 bytes;
  PeftView view;

  for (guint i = 0; i < n_dims; i++)
    n *= shape[i];
  g_assert_true (peft_dtype_bytes (dtype, (guint64) n, &bytes));
  PeftBuffer *buffer = peft_buffer_new (run->backend, bytes, &error);
  g_assert_no_error (error);
  g_ptr_array_add (run->buffers, buffer);

  g_autofree guint8 *data = g_malloc0 (bytes);
  if (dtype == PEFT_DTYPE_I32)
    for (gint64 i = 0; i < n; i++)
      ((gint32 *) data)[i] = (gint32) (i % 37);
  else if (dtype != PEFT_DTYPE_F64)
    {
      g_autofree float *values = g_new (float, n);
      peft_random_fill_normal (7, run->buffers->len, 0, 1, values, (gsize) n);
      peft_dtype_get_info (dtype)->from_f32 (values, data, (gsize) n);
    }
  peft_buffer_upload (buffer, 0, data, bytes);
  peft_view_init (&view, buffer, 0, dtype, n_dims, shape);
  return view;
}

/* The bytes of a contiguous output join the run's checksum. */
static void
add_output (Run *run, const PeftView *view)
{
  gsize bytes = peft_view_span (view);
  g_autofree guint8 *data = g_malloc (bytes);

  peft_buffer_download (view->buffer, view->offset, data, bytes);
  g_checksum_update (run->sum, data, (gssize) bytes);
}

static void
run_kernel (Run *run, PeftKernel kernel, gconstpointer params)
{
  const PeftKernelInfo *info = peft_kernel_get_info (kernel);
  g_autoptr (GError) error = NULL;

  peft_backend_supports (run->backend, kernel, params, &error);
  g_assert_no_error (error);
  peft_backend_run (run->backend, kernel, params);
  peft_backend_sync (run->backend, &error);
  g_assert_no_error (error);
  for (const PeftKernelArg *arg = info->args; arg->use != PEFT_ARG_END; arg++)
    if (arg->use != PEFT_ARG_IN && peft_kernel_arg_get_view (arg, params)->buffer != NULL)
      add_output (run, peft_kernel_arg_get_view (arg, params));
}

static void
run_matmul (Run *run, gint64 m, gint64 n, gint64 k, gboolean trans_a, gboolean trans_b,
            PeftDType weight, PeftComputeType compute)
{
  PeftMatmulParams p = {
    .a = new_view (run, PEFT_DTYPE_F32, 2, trans_a ? k : m, trans_a ? m : k, 0, 0),
    .b = new_view (run, weight, 2, trans_b ? n : k, trans_b ? k : n, 0, 0),
    .c = new_view (run, PEFT_DTYPE_F32, 2, m, n, 0, 0),
    .trans_a = trans_a,
    .trans_b = trans_b,
    .accumulate = TRUE,
    .alpha = 0.5,
    .compute = compute,
  };
  run_kernel (run, PEFT_KERNEL_MATMUL, &p);
}

static void
run_matmuls (Run *run, PeftComputeType compute)
{
  run_matmul (run, 300, 576, 192, FALSE, TRUE, PEFT_DTYPE_F32, compute);
  run_matmul (run, 300, 576, 192, FALSE, TRUE, PEFT_DTYPE_BF16, compute);
  run_matmul (run, 300, 576, 192, FALSE, FALSE, PEFT_DTYPE_F16, compute);
  run_matmul (run, 520, 576, 32, TRUE, FALSE, PEFT_DTYPE_F32, compute);
  run_matmul (run, 576, 16, 1500, TRUE, FALSE, PEFT_DTYPE_F32, compute);
  run_matmul (run, 16, 576, 1500, TRUE, FALSE, PEFT_DTYPE_F32, compute);
  run_matmul (run, 3, 5000, 256, FALSE, TRUE, PEFT_DTYPE_BF16, compute);
}

static void
run_attention (Run *run, gint64 batch, gint64 q_len, gint64 k_len)
{
  PeftAttentionBackwardParams p = {
    .forward = {
      .q = new_view (run, PEFT_DTYPE_F32, 4, batch, q_len, 6, 40),
      .k = new_view (run, PEFT_DTYPE_F32, 4, batch, k_len, 2, 40),
      .v = new_view (run, PEFT_DTYPE_F32, 4, batch, k_len, 2, 40),
      .out = new_view (run, PEFT_DTYPE_F32, 4, batch, q_len, 6, 40),
      .lse = new_view (run, PEFT_DTYPE_F32, 3, batch, 6, q_len, 0),
      .scale = 0.2,
      .causal = TRUE,
    },
    .dout = new_view (run, PEFT_DTYPE_F32, 4, batch, q_len, 6, 40),
    .dq = new_view (run, PEFT_DTYPE_F32, 4, batch, q_len, 6, 40),
    .dk = new_view (run, PEFT_DTYPE_F32, 4, batch, k_len, 2, 40),
    .dv = new_view (run, PEFT_DTYPE_F32, 4, batch, k_len, 2, 40),
    .delta = new_view (run, PEFT_DTYPE_F32, 3, batch, 6, q_len, 0),
  };
  run_kernel (run, PEFT_KERNEL_ATTENTION, &p.forward);
  run_kernel (run, PEFT_KERNEL_ATTENTION_BACKWARD, &p);
}

static void
run_rows (Run *run)
{
  const PeftDType f32 = PEFT_DTYPE_F32;
  const gint64 rows = 400, width = 576;
  PeftRmsNormParams norm = {
    .x = new_view (run, f32, 2, rows, width, 0, 0),
    .weight = new_view (run, f32, 1, width, 0, 0, 0),
    .y = new_view (run, f32, 2, rows, width, 0, 0),
    .rstd = new_view (run, f32, 1, rows, 0, 0, 0),
    .eps = 1e-5,
  };
  PeftRmsNormBackwardParams norm_backward = {
    .dy = new_view (run, f32, 2, rows, width, 0, 0),
    .x = norm.x,
    .weight = norm.weight,
    .rstd = norm.rstd,
    .dx = norm.y,
    .dweight = new_view (run, f32, 1, width, 0, 0, 0),
  };
  PeftGatedBackwardParams gated = {
    .dh = norm_backward.dy, .gate = norm.x, .up = norm.y,
    .dgate = new_view (run, f32, 2, rows, width, 0, 0),
    .dup = new_view (run, f32, 2, rows, width, 0, 0),
  };
  PeftDropoutParams dropout = {
    .x = norm.x, .y = gated.dup, .seed = 3, .stream = 4, .p = 0.3, .accumulate = TRUE,
  };
  PeftCrossEntropyParams loss = {
    .logits = new_view (run, f32, 2, 50, 9000, 0, 0),
    .labels = new_view (run, PEFT_DTYPE_I32, 1, 50, 0, 0, 0),
    .loss = new_view (run, f32, 1, 50, 0, 0, 0),
    .scale = 0.02,
    .gradient = TRUE,
  };
  PeftScatterAddRowsParams scatter = {
    .table = new_view (run, f32, 2, 37, width, 0, 0),
    .ids = new_view (run, PEFT_DTYPE_I32, 1, rows, 0, 0, 0),
    .x = norm.x,
    .scale = 1,
  };
  PeftSumSquaresParams squares = {
    .x = new_view (run, f32, 1, 300001, 0, 0, 0),
    .out = new_view (run, PEFT_DTYPE_F64, 1, 1, 0, 0, 0),
  };
  PeftReduceParams columns = {
    .x = norm.x, .y = new_view (run, f32, 2, 1, width, 0, 0), .op = PEFT_REDUCE_SUM,
  };
  PeftReduceParams all = {
    .x = norm.x, .y = new_view (run, f32, 2, 1, 1, 0, 0), .op = PEFT_REDUCE_NORM,
  };

  run_kernel (run, PEFT_KERNEL_RMS_NORM, &norm);
  run_kernel (run, PEFT_KERNEL_RMS_NORM_BACKWARD, &norm_backward);
  run_kernel (run, PEFT_KERNEL_GATED_BACKWARD, &gated);
  run_kernel (run, PEFT_KERNEL_DROPOUT, &dropout);
  run_kernel (run, PEFT_KERNEL_CROSS_ENTROPY, &loss);
  run_kernel (run, PEFT_KERNEL_SCATTER_ADD_ROWS, &scatter);
  run_kernel (run, PEFT_KERNEL_SUM_SQUARES, &squares);
  run_kernel (run, PEFT_KERNEL_REDUCE, &columns);
  run_kernel (run, PEFT_KERNEL_REDUCE, &all);
}

static char *
run_all (guint n_threads)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftBackend) backend = peft_cpu_backend_open (0, n_threads, &error);
  g_assert_no_error (error);
  g_autoptr (GPtrArray) buffers
      = g_ptr_array_new_with_free_func ((GDestroyNotify) peft_buffer_unref);
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  Run run = { backend, buffers, sum };

  g_assert_cmpuint (peft_cpu_backend_get_n_threads (backend), ==, n_threads);
  run_matmuls (&run, PEFT_COMPUTE_F32);
  if (backend->has_bf16)
    run_matmuls (&run, PEFT_COMPUTE_BF16);
  run_attention (&run, 2, 300, 300);
  run_attention (&run, 1, 2, 1500);
  run_rows (&run);
  return g_strdup (g_checksum_get_string (sum));
}

static void
test_determinism (gconstpointer isa)
{
  g_setenv ("PEFT_CPU_ISA", isa, TRUE);
  g_autofree char *one = run_all (1);
  g_autofree char *again = run_all (1);
  g_assert_cmpstr (one, ==, again);
  for (guint n_threads = 2; n_threads <= 3; n_threads++)
    {
      g_autofree char *more = run_all (n_threads);
      g_assert_cmpstr (one, ==, more);
    }
  g_unsetenv ("PEFT_CPU_ISA");
}

static void
test_unknown_isa (void)
{
  g_autoptr (GError) error = NULL;

  g_setenv ("PEFT_CPU_ISA", "none-such", TRUE);
  g_assert_null (peft_cpu_backend_open (0, 1, &error));
  g_assert_nonnull (error);
  g_assert_nonnull (strstr (error->message, "none-such"));
  g_assert_nonnull (strstr (error->message, "scalar"));
  g_unsetenv ("PEFT_CPU_ISA");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  /* The best instruction set first: oneDNN serves only the first of a process. */
  const char *const *isas = peft_cpu_backend_list_isas ();
  for (guint i = g_strv_length ((char **) isas); i-- > 0;)
    {
      g_autofree char *path = g_strdup_printf ("/Peft/Cpu/Determinism/%s", isas[i]);
      g_test_add_data_func (path, isas[i], test_determinism);
    }
  g_test_add_func ("/Peft/Cpu/UnknownIsa", test_unknown_isa);
  return g_test_run ();
}
