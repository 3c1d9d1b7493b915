/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "compute/cpu/peft-cpu-backend.h"

/* Times the kernels of the cpu backend on the shapes of a LoRA training step of SmolLM2-135M (hidden
 * 576, FFN 1536, 9 heads of 64, 3 key/value heads, vocabulary 49152), and of generation. Prints the
 * best of several runs against what a register-only loop reaches on the same threads.
 *
 *   bench-kernels [FILTER] [THREADS]
 */

/* On one thread its processor time is taken, so that a busy machine disturbs less. */
#define MIN_SECONDS 0.25
#define MIN_RUNS 5

typedef struct
{
  PeftBackend *backend;
  const char *filter;
  double peak, peak_bf16;
  GPtrArray *buffers;
  gboolean one_thread;
} Bench;

static PeftView
new_view (Bench *self, PeftDType dtype, guint n_dims, gint64 a, gint64 b, gint64 c, gint64 d)
{
  const gint64 shape[PEFT_MAX_DIMS] = { a, b, c, d };
  g_autoptr (GError) error = NULL;
  guint64 bytes, n = 1;
  PeftView view;

  for (guint i = 0; i < n_dims; i++)
    n *= (guint64) shape[i];
  g_assert (peft_dtype_bytes (dtype, n, &bytes));
  PeftBuffer *buffer = peft_buffer_new (self->backend, bytes, &error);
  g_assert_no_error (error);
  g_ptr_array_add (self->buffers, buffer);

  g_autofree guint8 *data = g_malloc (bytes);
  for (guint64 i = 0; i < bytes; i += 2)
    {
      /* Half the values near 1, in whatever type the bytes are read as. */
      guint16 v = dtype == PEFT_DTYPE_F32 && i % 4 == 0 ? (guint16) (i * 2654435761u >> 7)
                                                        : (guint16) (0x3c00 + i * 2654435761u % 512);
      memcpy (data + i, &v, 2);
    }
  if (dtype == PEFT_DTYPE_I32)
    for (guint64 i = 0; i < n; i++)
      ((gint32 *) data)[i] = (gint32) (i % 512);
  peft_buffer_upload (buffer, 0, data, bytes);
  peft_view_init (&view, buffer, 0, dtype, n_dims, shape);
  return view;
}

static double
now (Bench *self)
{
  struct timespec t;

  clock_gettime (self->one_thread ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return (double) t.tv_sec + (double) t.tv_nsec * 1e-9;
}

static void
measure (Bench *self, const char *label, PeftKernel kernel, gconstpointer params, gboolean bf16)
{
  g_autoptr (GError) error = NULL;
  double best = G_MAXDOUBLE, total = 0;

  if (!peft_backend_supports (self->backend, kernel, params, &error))
    {
      g_print ("%-44s %s\n", label, error->message);
      return;
    }
  for (guint run = 0; run < MIN_RUNS || total < MIN_SECONDS; run++)
    {
      double start = now (self);
      guint repeat = run == 0 || best > 1e-3 ? 1 : 10;
      for (guint i = 0; i < repeat; i++)
        peft_backend_run (self->backend, kernel, params);
      double seconds = (now (self) - start) / repeat;
      total += seconds * repeat;
      best = MIN (best, seconds);
    }
  double flops = peft_kernel_get_flops (kernel, params) / best;
  g_print ("%-44s %9.3f ms %8.1f GFLOP/s %7.1f GB/s %6.1f %%\n", label, best * 1e3, flops * 1e-9,
           peft_kernel_get_bytes (kernel, params) / best * 1e-9,
           100 * flops / (bf16 ? self->peak_bf16 : self->peak));
}

static gboolean
is_wanted (Bench *self, const char *label)
{
  g_ptr_array_set_size (self->buffers, 0);
  return self->filter == NULL || strstr (label, self->filter) != NULL;
}

/* trans: which of "nt" (y = x Wᵀ), "nn" (dx = dy W), "tn" (dW = dyᵀ x). */
static void
bench_matmul (Bench *self, const char *what, gint64 m, gint64 n, gint64 k, const char *trans,
              PeftDType weight, gboolean accumulate, gboolean bf16, PeftDType activation)
{
  gboolean ta = trans[0] == 't', tb = trans[1] == 't';
  g_autofree char *label = g_strdup_printf (
      "matmul %s %s %" G_GINT64_FORMAT "x%" G_GINT64_FORMAT "x%" G_GINT64_FORMAT " %s%s %s%s", what,
      trans, m, n, k, peft_dtype_get_info (weight)->name, accumulate ? " acc" : "",
      bf16 ? "bf16" : "f32", activation == PEFT_DTYPE_BF16 ? " act" : "");

  if (!is_wanted (self, label))
    return;
  PeftMatmulParams p = {
    .a = new_view (self, activation, 2, ta ? k : m, ta ? m : k, 0, 0),
    .b = new_view (self, weight, 2, tb ? n : k, tb ? k : n, 0, 0),
    .c = new_view (self, accumulate ? PEFT_DTYPE_F32 : activation, 2, m, n, 0, 0),
    .trans_a = ta,
    .trans_b = tb,
    .accumulate = accumulate,
    .alpha = accumulate ? 1e-3 : 1,
    .compute = bf16 ? PEFT_COMPUTE_BF16 : PEFT_COMPUTE_F32,
  };
  measure (self, label, PEFT_KERNEL_MATMUL, &p, bf16);
}

static void
bench_matmuls (Bench *self, gboolean bf16)
{
  static const gint64 layers[][2] = { { 576, 576 }, { 192, 576 }, { 1536, 576 }, { 576, 1536 } };
  PeftDType type = bf16 ? PEFT_DTYPE_BF16 : PEFT_DTYPE_F32;

  for (gint64 m = 512; m <= 2048; m *= 4)
    {
      for (guint i = 0; i < G_N_ELEMENTS (layers); i++)
        {
          bench_matmul (self, "layer", m, layers[i][0], layers[i][1], "nt", type, FALSE, bf16,
                        PEFT_DTYPE_F32);
          bench_matmul (self, "layer", m, layers[i][1], layers[i][0], "nn", type, TRUE, bf16,
                        PEFT_DTYPE_F32);
        }
      bench_matmul (self, "layer", m, 1536, 576, "nt", PEFT_DTYPE_Q8_0, FALSE, bf16,
                    PEFT_DTYPE_F32);
      bench_matmul (self, "layer", m, 576, 1536, "nn", PEFT_DTYPE_Q8_0, TRUE, bf16,
                    PEFT_DTYPE_F32);
      if (bf16)
        bench_matmul (self, "layer", m, 1536, 576, "nt", type, FALSE, TRUE, PEFT_DTYPE_BF16);
      bench_matmul (self, "lora-u", m, 16, 576, "nt", PEFT_DTYPE_F32, FALSE, bf16, PEFT_DTYPE_F32);
      bench_matmul (self, "lora-u", m, 16, 1536, "nt", PEFT_DTYPE_F32, FALSE, bf16,
                    PEFT_DTYPE_F32);
      bench_matmul (self, "lora-y", m, 576, 16, "nt", PEFT_DTYPE_F32, TRUE, bf16, PEFT_DTYPE_F32);
      bench_matmul (self, "lora-y", m, 1536, 16, "nt", PEFT_DTYPE_F32, TRUE, bf16, PEFT_DTYPE_F32);
      bench_matmul (self, "lora-du", m, 16, 1536, "nn", PEFT_DTYPE_F32, FALSE, bf16,
                    PEFT_DTYPE_F32);
      bench_matmul (self, "lora-dB", 576, 16, m, "tn", PEFT_DTYPE_F32, TRUE, bf16, PEFT_DTYPE_F32);
      bench_matmul (self, "lora-dB", 1536, 16, m, "tn", PEFT_DTYPE_F32, TRUE, bf16,
                    PEFT_DTYPE_F32);
      bench_matmul (self, "lora-dA", 16, 576, m, "tn", PEFT_DTYPE_F32, TRUE, bf16, PEFT_DTYPE_F32);
      bench_matmul (self, "lora-dA", 16, 1536, m, "tn", PEFT_DTYPE_F32, TRUE, bf16,
                    PEFT_DTYPE_F32);
    }
  bench_matmul (self, "head", 256, 49152, 576, "nt", type, FALSE, bf16, PEFT_DTYPE_F32);
  bench_matmul (self, "head", 256, 576, 49152, "nn", type, FALSE, bf16, PEFT_DTYPE_F32);
}

static void
bench_decode (Bench *self)
{
  static const PeftDType types[] = { PEFT_DTYPE_F32,  PEFT_DTYPE_BF16, PEFT_DTYPE_F16,
                                     PEFT_DTYPE_Q8_0, PEFT_DTYPE_Q6_K, PEFT_DTYPE_Q4_0,
                                     PEFT_DTYPE_Q4_1 };
  for (gint64 m = 1; m <= 8; m *= 2)
    for (guint i = 0; i < G_N_ELEMENTS (types); i++)
      bench_matmul (self, "decode", m, 49152, 512, "nt", types[i], FALSE, FALSE, PEFT_DTYPE_F32);
}

static void
bench_attention (Bench *self, gint64 batch, gint64 q_len, gint64 k_len, PeftDType type)
{
  g_autofree char *label = g_strdup_printf ("attention b%d q%d k%d %s", (int) batch, (int) q_len,
                                            (int) k_len, peft_dtype_get_info (type)->name);
  g_autofree char *backward = g_strdup_printf ("attention-backward b%d q%d k%d %s", (int) batch,
                                               (int) q_len, (int) k_len,
                                               peft_dtype_get_info (type)->name);

  if (!is_wanted (self, label) && !is_wanted (self, backward))
    return;
  PeftAttentionBackwardParams p = {
    .forward = {
      .q = new_view (self, type, 4, batch, q_len, 9, 64),
      .k = new_view (self, type, 4, batch, k_len, 3, 64),
      .v = new_view (self, type, 4, batch, k_len, 3, 64),
      .out = new_view (self, type, 4, batch, q_len, 9, 64),
      .lse = new_view (self, PEFT_DTYPE_F32, 3, batch, 9, q_len, 0),
      .scale = 0.125,
      .causal = TRUE,
    },
    .dout = new_view (self, type, 4, batch, q_len, 9, 64),
    .dq = new_view (self, type, 4, batch, q_len, 9, 64),
    .dk = new_view (self, type, 4, batch, k_len, 3, 64),
    .dv = new_view (self, type, 4, batch, k_len, 3, 64),
    .delta = new_view (self, PEFT_DTYPE_F32, 3, batch, 9, q_len, 0),
  };
  measure (self, label, PEFT_KERNEL_ATTENTION, &p.forward, FALSE);
  if (q_len > 1)
    measure (self, backward, PEFT_KERNEL_ATTENTION_BACKWARD, &p, FALSE);
}

static void
bench_rows (Bench *self, gint64 rows)
{
  const PeftDType f32 = PEFT_DTYPE_F32;

  if (is_wanted (self, "rms_norm"))
    {
      PeftRmsNormParams norm = {
        .x = new_view (self, f32, 2, rows, 576, 0, 0),
        .residual = new_view (self, f32, 2, rows, 576, 0, 0),
        .weight = new_view (self, f32, 1, 576, 0, 0, 0),
        .y = new_view (self, f32, 2, rows, 576, 0, 0),
        .sum = new_view (self, f32, 2, rows, 576, 0, 0),
        .rstd = new_view (self, f32, 1, rows, 0, 0, 0),
        .eps = 1e-5,
      };
      measure (self, "rms_norm + residual", PEFT_KERNEL_RMS_NORM, &norm, FALSE);
      PeftRmsNormBackwardParams back = {
        .dy = norm.y, .x = norm.x, .weight = norm.weight, .rstd = norm.rstd,
        .dx = norm.sum, .accumulate = TRUE,
      };
      measure (self, "rms_norm_backward", PEFT_KERNEL_RMS_NORM_BACKWARD, &back, FALSE);
    }
  if (is_wanted (self, "rope"))
    {
      PeftRopeParams rope = {
        .x = new_view (self, f32, 4, rows / 512, 512, 9, 64),
        .cos_sin = new_view (self, f32, 3, 512, 2, 32, 0),
        .positions = new_view (self, PEFT_DTYPE_I32, 2, rows / 512, 512, 0, 0),
      };
      rope.y = rope.x;
      measure (self, "rope", PEFT_KERNEL_ROPE, &rope, FALSE);
    }
  if (is_wanted (self, "gated"))
    {
      PeftGatedBackwardParams back = {
        .dh = new_view (self, f32, 2, rows, 1536, 0, 0),
        .gate = new_view (self, f32, 2, rows, 1536, 0, 0),
        .up = new_view (self, f32, 2, rows, 1536, 0, 0),
        .dgate = new_view (self, f32, 2, rows, 1536, 0, 0),
        .dup = new_view (self, f32, 2, rows, 1536, 0, 0),
      };
      PeftGatedParams gated = { .gate = back.gate, .up = back.up, .h = back.dh };
      measure (self, "gated silu", PEFT_KERNEL_GATED, &gated, FALSE);
      measure (self, "gated_backward silu", PEFT_KERNEL_GATED_BACKWARD, &back, FALSE);
    }
  if (is_wanted (self, "dropout"))
    {
      PeftDropoutParams dropout = {
        .x = new_view (self, f32, 2, rows, 576, 0, 0),
        .y = new_view (self, f32, 2, rows, 576, 0, 0),
        .seed = 1, .stream = 2, .p = 0.05,
      };
      measure (self, "dropout", PEFT_KERNEL_DROPOUT, &dropout, FALSE);
    }
  if (is_wanted (self, "copy"))
    {
      PeftCopyParams copy = {
        .x = new_view (self, f32, 2, rows, 1536, 0, 0),
        .y = new_view (self, f32, 2, rows, 1536, 0, 0),
        .alpha = 1, .accumulate = TRUE,
      };
      measure (self, "copy accumulate", PEFT_KERNEL_COPY, &copy, FALSE);
      copy.accumulate = FALSE;
      copy.y = new_view (self, PEFT_DTYPE_BF16, 2, rows, 1536, 0, 0);
      measure (self, "copy to BF16", PEFT_KERNEL_COPY, &copy, FALSE);
    }
  if (is_wanted (self, "cross_entropy"))
    {
      PeftCrossEntropyParams loss = {
        .logits = new_view (self, f32, 2, 256, 49152, 0, 0),
        .labels = new_view (self, PEFT_DTYPE_I32, 1, 256, 0, 0, 0),
        .loss = new_view (self, f32, 1, 256, 0, 0, 0),
        .scale = 1.0 / 256,
        .gradient = TRUE,
      };
      measure (self, "cross_entropy 256x49152", PEFT_KERNEL_CROSS_ENTROPY, &loss, FALSE);
    }
}

static void
bench_optimiser (Bench *self)
{
  const gint64 n = 4884480; /* r = 16 on all linear layers */

  if (!is_wanted (self, "adamw"))
    return;
  PeftAdamWParams adamw = {
    .w = new_view (self, PEFT_DTYPE_F32, 1, n, 0, 0, 0),
    .g = new_view (self, PEFT_DTYPE_F32, 1, n, 0, 0, 0),
    .m = new_view (self, PEFT_DTYPE_F32, 1, n, 0, 0, 0),
    .v = new_view (self, PEFT_DTYPE_F32, 1, n, 0, 0, 0),
    .learning_rate = 1e-4, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8,
    .correction1 = 0.1, .correction2 = 0.001, .grad_scale = 1,
  };
  PeftSumSquaresParams squares = { .x = adamw.g, .out = new_view (self, PEFT_DTYPE_F64, 1, 1, 0, 0, 0) };
  measure (self, "sum_squares", PEFT_KERNEL_SUM_SQUARES, &squares, FALSE);
  measure (self, "adamw", PEFT_KERNEL_ADAMW, &adamw, FALSE);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  guint n_threads = argc > 2 ? (guint) atoi (argv[2]) : 0;
  g_autoptr (PeftBackend) backend = peft_cpu_backend_open (0, n_threads, &error);
  g_autofree char *name = peft_cpu_backend_describe (0);

  if (backend == NULL)
    {
      g_printerr ("%s\n", error->message);
      return 1;
    }
  g_autoptr (GPtrArray) buffers = g_ptr_array_new_with_free_func ((GDestroyNotify) peft_buffer_unref);
  Bench bench = {
    .backend = backend,
    .filter = argc > 1 && argv[1][0] != '\0' ? argv[1] : NULL,
    .peak = peft_cpu_backend_measure_peak (backend, FALSE),
    .peak_bf16 = peft_cpu_backend_measure_peak (backend, TRUE),
    .buffers = buffers,
    .one_thread = peft_cpu_backend_get_n_threads (backend) == 1,
  };

  g_print ("%s, %s, %u threads, peaks: F32 %.1f, BF16 %.1f GFLOP/s\n", name, backend->isa,
           peft_cpu_backend_get_n_threads (backend), bench.peak * 1e-9, bench.peak_bf16 * 1e-9);
  bench_matmuls (&bench, FALSE);
  if (backend->has_bf16)
    bench_matmuls (&bench, TRUE);
  bench_decode (&bench);
  bench_attention (&bench, 1, 512, 512, PEFT_DTYPE_F32);
  bench_attention (&bench, 4, 512, 512, PEFT_DTYPE_F32);
  bench_attention (&bench, 1, 2048, 2048, PEFT_DTYPE_F32);
  bench_attention (&bench, 1, 1, 2048, PEFT_DTYPE_F32);
  bench_rows (&bench, 512);
  bench_rows (&bench, 2048);
  bench_optimiser (&bench);
  return 0;
}
