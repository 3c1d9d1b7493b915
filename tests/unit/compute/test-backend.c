/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/peft-error.h"
#include "compute-testing.h"

static void
test_open (void)
{
  static const struct
  {
    const char *device;
    int code;
    const char *message;
  } rows[] = {
    { "abacus", PEFT_ERROR_INVALID_ARGUMENT, "*abacus*auto*reference*" },
    { "", PEFT_ERROR_INVALID_ARGUMENT, "*reference*" },
    { "reference:1", PEFT_ERROR_DEVICE, "*reference:1*" },
    { "reference:", PEFT_ERROR_INVALID_ARGUMENT, "*number*" },
    { "reference:-1", PEFT_ERROR_INVALID_ARGUMENT, "*number*" },
    { "reference:99999999999999999999", PEFT_ERROR_INVALID_ARGUMENT, "*number*" },
  };
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference:0", 0, NULL);
  const PeftBackendInfo *list;
  guint n;

  g_assert_cmpstr (backend->klass->name, ==, "reference");
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (peft_backend_open (rows[i].device, 0, &error));
      g_assert_error (error, PEFT_ERROR, rows[i].code);
      g_assert_true (g_pattern_match_simple (rows[i].message, error->message));
    }

  list = peft_backend_list (&n);
  for (guint i = 0; i < n; i++)
    if (list[i].count () > 0)
      {
        g_autofree char *name = list[i].describe (0);
        g_assert_cmpuint (strlen (name), >, 0);
        g_assert_cmpuint (list[i].memory (0), >, 0);
      }
}

static void
test_kernel_table (void)
{
  for (guint i = 0; i < PEFT_N_KERNELS; i++)
    {
      const PeftKernelInfo *info = peft_kernel_get_info (i);
      gboolean writes = FALSE;

      g_assert_nonnull (info->name);
      g_assert_nonnull (info->flops);
      g_assert_nonnull (info->check);
      for (const PeftKernelArg *arg = info->args; arg->use != PEFT_ARG_END; arg++)
        {
          g_assert_cmpuint (arg->offset + sizeof (PeftView), <=, info->params_size);
          writes |= arg->use != PEFT_ARG_IN;
        }
      g_assert_true (writes);
    }
}

/* Every view of a parameter struct is in its row, or the page protection would strike. The structs
 * are views and then scalars, so that counting views by hand here keeps the table honest. */
static void
test_arg_counts (void)
{
  static const guint counts[PEFT_N_KERNELS] = {
    [PEFT_KERNEL_MATMUL] = 4, [PEFT_KERNEL_GATHER_ROWS] = 3, [PEFT_KERNEL_SCATTER_ADD_ROWS] = 3,
    [PEFT_KERNEL_RMS_NORM] = 6, [PEFT_KERNEL_RMS_NORM_BACKWARD] = 6, [PEFT_KERNEL_ROPE] = 4,
    [PEFT_KERNEL_ATTENTION] = 9, [PEFT_KERNEL_ATTENTION_BACKWARD] = 14, [PEFT_KERNEL_GATED] = 3,
    [PEFT_KERNEL_GATED_BACKWARD] = 5, [PEFT_KERNEL_DROPOUT] = 2, [PEFT_KERNEL_CROSS_ENTROPY] = 4,
    [PEFT_KERNEL_SUM_SQUARES] = 2, [PEFT_KERNEL_ADAMW] = 4, [PEFT_KERNEL_FILL] = 1,
    [PEFT_KERNEL_COPY] = 2, [PEFT_KERNEL_UNARY] = 2, [PEFT_KERNEL_UNARY_BACKWARD] = 3,
    [PEFT_KERNEL_BINARY] = 3, [PEFT_KERNEL_REDUCE] = 2, [PEFT_KERNEL_SOFTMAX] = 2,
    [PEFT_KERNEL_SOFTMAX_BACKWARD] = 3, [PEFT_KERNEL_LU_FACTOR] = 2, [PEFT_KERNEL_LU_SOLVE] = 3,
    [PEFT_KERNEL_TRIANGULAR_SOLVE] = 2, [PEFT_KERNEL_FFT] = 2,
  };

  for (guint i = 0; i < PEFT_N_KERNELS; i++)
    {
      const PeftKernelInfo *info = peft_kernel_get_info (i);
      guint n = 0;

      while (info->args[n].use != PEFT_ARG_END)
        n++;
      g_assert_cmpuint (n, ==, counts[i]);
    }
}

static void
test_flops (void)
{
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);
  g_autoptr (PeftTensor) a = test_tensor (backend, PEFT_DTYPE_F64, DIMS (2, 3, 5), NULL);
  g_autoptr (PeftTensor) b = test_tensor (backend, PEFT_DTYPE_F64, DIMS (2, 5, 7), NULL);
  g_autoptr (PeftTensor) c = test_tensor (backend, PEFT_DTYPE_F64, DIMS (2, 3, 7), NULL);
  g_autoptr (PeftTensor) q = test_tensor (backend, PEFT_DTYPE_F64, DIMS (2, 3, 4, 8), NULL);
  g_autoptr (PeftTensor) k = test_tensor (backend, PEFT_DTYPE_F64, DIMS (2, 5, 2, 8), NULL);
  PeftMatmulParams matmul = { .a = a->view, .b = b->view, .c = c->view, .alpha = 1 };
  PeftAttentionParams attention
      = { .q = q->view, .k = k->view, .v = k->view, .out = q->view, .scale = 1, .causal = TRUE };

  g_assert_cmpfloat (peft_kernel_get_flops (PEFT_KERNEL_MATMUL, &matmul), ==, 2 * 2 * 3 * 5 * 7);
  g_assert_cmpfloat (peft_kernel_get_bytes (PEFT_KERNEL_MATMUL, &matmul), ==,
                     8 * (2 * 3 * 5 + 2 * 5 * 7 + 2 * 3 * 7));
  matmul.b.stride[0] = 0; /* one matrix for the whole batch */
  g_assert_cmpfloat (peft_kernel_get_bytes (PEFT_KERNEL_MATMUL, &matmul), ==,
                     8 * (2 * 3 * 5 + 5 * 7 + 2 * 3 * 7));
  /* Queries 0, 1, 2 stand at keys 2, 3, 4 and see 3, 4, 5 of them. */
  g_assert_cmpfloat (peft_kernel_get_flops (PEFT_KERNEL_ATTENTION, &attention), ==,
                     2 * 4 * (3 + 4 + 5) * (4 * 8 + 5));
  attention.window = 2;
  g_assert_cmpfloat (peft_kernel_get_flops (PEFT_KERNEL_ATTENTION, &attention), ==,
                     2 * 4 * (2 + 2 + 2) * (4 * 8 + 5));
}

static void
test_profile (void)
{
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);
  g_autoptr (PeftTensor) x = test_tensor (backend, PEFT_DTYPE_F64, DIMS (10), NULL);
  PeftUnaryParams params = { .x = x->view, .y = x->view, .op = PEFT_UNARY_EXP };

  g_assert_null (backend->profile);
  peft_backend_set_profiling (backend, TRUE);
  peft_backend_run (backend, PEFT_KERNEL_UNARY, &params);
  peft_backend_run (backend, PEFT_KERNEL_UNARY, &params);
  g_assert_cmpuint (backend->profile[PEFT_KERNEL_UNARY].calls, ==, 2);
  g_assert_cmpfloat (backend->profile[PEFT_KERNEL_UNARY].flops, ==, 20);
  g_assert_cmpfloat (backend->profile[PEFT_KERNEL_UNARY].bytes, ==, 2 * 160);
  g_assert_cmpfloat (backend->profile[PEFT_KERNEL_UNARY].seconds, >=, 0);
  g_assert_cmpuint (backend->profile[PEFT_KERNEL_COPY].calls, ==, 0);
  peft_backend_set_profiling (backend, FALSE);
  g_assert_null (backend->profile);
}

static void
abort_shape (PeftBackend *backend)
{
  g_autoptr (PeftTensor) x = test_tensor (backend, PEFT_DTYPE_F64, DIMS (4), NULL);
  g_autoptr (PeftTensor) y = test_tensor (backend, PEFT_DTYPE_F64, DIMS (5), NULL);

  peft_backend_run (backend, PEFT_KERNEL_COPY,
                    &(PeftCopyParams){ .x = x->view, .y = y->view, .alpha = 1 });
}

static void
abort_bounds (PeftBackend *backend)
{
  g_autoptr (PeftTensor) x = test_tensor (backend, PEFT_DTYPE_F64, DIMS (4), NULL);

  x->view.shape[0] = 5;
  peft_backend_run (backend, PEFT_KERNEL_FILL, &(PeftFillParams){ .x = x->view });
}

static void
abort_alignment (PeftBackend *backend)
{
  g_autoptr (PeftTensor) x = test_tensor (backend, PEFT_DTYPE_F64, DIMS (4), NULL);

  x->view.shape[0] = 3;
  x->view.offset = 4;
  peft_backend_run (backend, PEFT_KERNEL_FILL, &(PeftFillParams){ .x = x->view });
}

static void
abort_other_backend (PeftBackend *backend)
{
  g_autoptr (PeftBackend) other = peft_backend_open ("reference", 1, NULL);
  g_autoptr (PeftTensor) x = test_tensor (other, PEFT_DTYPE_F64, DIMS (4), NULL);

  peft_backend_run (backend, PEFT_KERNEL_FILL, &(PeftFillParams){ .x = x->view });
}

static void
test_aborts (gconstpointer data)
{
  void (*function) (PeftBackend *) = (void (*) (PeftBackend *)) data;

  if (g_test_subprocess ())
    {
      g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);
      function (backend);
      return;
    }
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
  g_test_trap_assert_failed ();
  g_test_trap_assert_stderr ("*ERROR*");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Backend/open", test_open);
  g_test_add_func ("/Peft/Backend/kernel-table", test_kernel_table);
  g_test_add_func ("/Peft/Backend/arg-counts", test_arg_counts);
  g_test_add_func ("/Peft/Backend/flops", test_flops);
  g_test_add_func ("/Peft/Backend/profile", test_profile);
  g_test_add_data_func ("/Peft/Backend/aborts/shape", abort_shape, test_aborts);
  g_test_add_data_func ("/Peft/Backend/aborts/bounds", abort_bounds, test_aborts);
  g_test_add_data_func ("/Peft/Backend/aborts/alignment", abort_alignment, test_aborts);
  g_test_add_data_func ("/Peft/Backend/aborts/other-backend", abort_other_backend, test_aborts);
  return g_test_run ();
}
