/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <math.h>
#include <string.h>

#include "base/peft-random.h"
#include "compute/cpu/peft-cpu-backend.h"

/* Products large enough to be cut into strips, tiles and chunks of k, which the parity tests' small
 * shapes are not, against sums in double. Every instruction set runs in its own process, since
 * oneDNN is limited to the first one that a process asks for. */

typedef struct
{
  gint64 m, n, k;
  gboolean trans_a, trans_b;
  PeftDType b_type, bias_type; /* bias F64: none */
  double alpha;
  gboolean accumulate;
  gboolean bf16_activations; /* a and c; only in bfloat16 products */
} Case;

#define NO_BIAS PEFT_DTYPE_F64

static const Case cases[] = {
  { 256, 96, 80, FALSE, TRUE, PEFT_DTYPE_F32, NO_BIAS, 1, FALSE },
  { 300, 96, 80, FALSE, TRUE, PEFT_DTYPE_F32, PEFT_DTYPE_F32, 1, TRUE },
  { 300, 70, 577, FALSE, FALSE, PEFT_DTYPE_F32, NO_BIAS, -0.5, TRUE },
  { 140, 16, 576, FALSE, TRUE, PEFT_DTYPE_F32, PEFT_DTYPE_BF16, 1, FALSE },
  { 140, 16, 576, FALSE, TRUE, PEFT_DTYPE_F32, PEFT_DTYPE_F32, 0.25, FALSE },
  { 260, 576, 16, FALSE, TRUE, PEFT_DTYPE_F32, NO_BIAS, 2, TRUE },
  { 256, 200, 130, FALSE, TRUE, PEFT_DTYPE_BF16, NO_BIAS, 1, TRUE },
  { 256, 200, 131, FALSE, FALSE, PEFT_DTYPE_BF16, PEFT_DTYPE_F32, 1, FALSE },
  { 257, 1030, 1100, FALSE, TRUE, PEFT_DTYPE_F16, NO_BIAS, 0.5, TRUE },
  { 150, 512, 1536, FALSE, TRUE, PEFT_DTYPE_Q6_K, NO_BIAS, 1, FALSE },
  { 150, 512, 1536, FALSE, FALSE, PEFT_DTYPE_Q8_0, NO_BIAS, 1, TRUE },
  { 600, 24, 700, TRUE, FALSE, PEFT_DTYPE_F32, NO_BIAS, 0.5, TRUE },
  { 24, 600, 700, TRUE, FALSE, PEFT_DTYPE_F32, NO_BIAS, 0.5, TRUE },
  { 200, 210, 1300, TRUE, FALSE, PEFT_DTYPE_F32, NO_BIAS, 1, FALSE },
  { 256, 200, 130, FALSE, TRUE, PEFT_DTYPE_BF16, NO_BIAS, 1, FALSE, TRUE },
  { 300, 200, 1312, FALSE, TRUE, PEFT_DTYPE_Q8_0, PEFT_DTYPE_F32, 1, TRUE, TRUE },
  { 4, 700, 1024, FALSE, TRUE, PEFT_DTYPE_Q4_1, PEFT_DTYPE_F32, 1, FALSE },
};

static PeftView
new_view (PeftBackend *backend, PeftDType dtype, guint n_dims, gint64 rows, gint64 columns,
          const void *data)
{
  const gint64 shape[] = { rows, columns };
  g_autoptr (GError) error = NULL;
  guint64 bytes;
  PeftView view;

  g_assert_true (peft_dtype_bytes (dtype, (guint64) (rows * (n_dims == 2 ? columns : 1)), &bytes));
  PeftBuffer *buffer = peft_buffer_new (backend, bytes, &error);
  g_assert_no_error (error);
  peft_buffer_upload (buffer, 0, data, bytes);
  peft_view_init (&view, buffer, 0, dtype, n_dims, shape);
  return view;
}

/* Random values of a type: encoded, and as the float32 that they stand for. */
static guint8 *
random_values (PeftDType dtype, guint64 stream, gint64 n, float *values)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (dtype);
  gsize bytes = (gsize) n / info->block_size * info->block_bytes;
  guint8 *data = g_malloc (bytes);

  if (info->from_f32 != NULL)
    {
      peft_random_fill_normal (1, stream, 0, 1, values, (gsize) n);
      info->from_f32 (values, data, (gsize) n);
    }
  else
    {
      /* Blocks of any bits whose 16-bit scales are about 2^-8. */
      for (gsize i = 0; i < bytes; i++)
        data[i] = (guint8) peft_random_u32 (1, stream, i);
      for (gsize block = 0; block < bytes; block += info->block_bytes)
        {
          guint16 scale = peft_f32_to_f16 (0.004f);
          gsize at = dtype == PEFT_DTYPE_Q6_K ? 208 : 0;
          memcpy (data + block + at, &scale, 2);
          if (dtype == PEFT_DTYPE_Q4_1)
            memcpy (data + block + 2, &scale, 2);
        }
    }
  info->to_f32 (data, values, (gsize) n);
  return data;
}

static void
check_case (PeftBackend *backend, guint number, PeftComputeType compute)
{
  const Case *t = &cases[number];
  gint64 m = t->m, n = t->n, k = t->k;
  gboolean has_bias = t->bias_type != NO_BIAS;
  PeftDType activation = t->bf16_activations ? PEFT_DTYPE_BF16 : PEFT_DTYPE_F32;
  g_autofree float *a = g_new (float, m * k), *b = g_new (float, n * k);
  g_autofree float *c = g_new (float, m * n), *bias = g_new (float, n), *out = g_new (float, m * n);
  g_autofree guint8 *a_data = random_values (activation, 1, m * k, a);
  g_autofree guint8 *b_data = random_values (t->b_type, 2, n * k, b);
  g_autofree guint8 *c_data = random_values (activation, 3, m * n, c);
  g_autofree guint8 *bias_data
      = random_values (has_bias ? t->bias_type : PEFT_DTYPE_F32, 4, n, bias);
  PeftMatmulParams p = {
    .a = new_view (backend, activation, 2, t->trans_a ? k : m, t->trans_a ? m : k, a_data),
    .b = new_view (backend, t->b_type, 2, t->trans_b ? n : k, t->trans_b ? k : n, b_data),
    .c = new_view (backend, activation, 2, m, n, c_data),
    .trans_a = t->trans_a,
    .trans_b = t->trans_b,
    .accumulate = t->accumulate,
    .alpha = t->alpha,
    .compute = compute,
  };
  double worst = 0;

  if (has_bias)
    p.bias = new_view (backend, t->bias_type, 1, n, 0, bias_data);
  peft_backend_run (backend, PEFT_KERNEL_MATMUL, &p);
  peft_buffer_download (p.c.buffer, 0, c_data, p.c.buffer->size);
  peft_dtype_get_info (activation)->to_f32 (c_data, out, (gsize) (m * n));
  for (gint64 i = 0; i < m; i += MAX (1, m / 41))
    for (gint64 j = 0; j < n; j++)
      {
        double sum = 0, size = 1;
        for (gint64 l = 0; l < k; l++)
          {
            double x = (double) a[t->trans_a ? l * m + i : i * k + l];
            double y = (double) b[t->trans_b ? j * k + l : l * n + j];
            sum += x * y;
            size += x * x * y * y;
          }
        sum = sum * t->alpha + (t->accumulate ? (double) c[i * n + j] : 0)
              + (has_bias ? (double) bias[j] : 0);
        /* In units of the sum's standard deviation. */
        worst = fmax (worst, fabs (sum - (double) out[i * n + j]) / sqrt (size));
      }
  g_test_message ("case %u: worst error %.3g", number, worst);
  g_assert_cmpfloat (worst, <, compute == PEFT_COMPUTE_BF16 ? 3e-2 : 1e-6 + 1.5e-7 * sqrt ((double) k));
  peft_buffer_unref (p.a.buffer);
  peft_buffer_unref (p.b.buffer);
  peft_buffer_unref (p.c.buffer);
  if (has_bias)
    peft_buffer_unref (p.bias.buffer);
}

static void
test_large (gconstpointer isa)
{
  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
      g_test_trap_assert_passed ();
      return;
    }
  g_autoptr (GError) error = NULL;
  g_setenv ("PEFT_CPU_ISA", isa, TRUE);
  g_autoptr (PeftBackend) backend = peft_cpu_backend_open (0, 2, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      if (!cases[i].bf16_activations)
        check_case (backend, i, PEFT_COMPUTE_F32);
      if (backend->has_bf16)
        check_case (backend, i, PEFT_COMPUTE_BF16);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (const char *const *isa = peft_cpu_backend_list_isas (); *isa != NULL; isa++)
    {
      g_autofree char *path = g_strconcat ("/Peft/Cpu/Matmul/", *isa, NULL);
      g_test_add_data_func (path, *isa, test_large);
    }
  return g_test_run ();
}
