/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include "compute/cpu/peft-cpu-backend.h"
#include "compute-testing.h"
#include "parity.h"

/* Every kernel on every backend and instruction set against the float64 reference. */

#define REAL PARITY_REAL
#define I32 PEFT_DTYPE_I32
#define ARGS(...) ((const ParityArg[]){ __VA_ARGS__, { NULL } })
#define LABEL(...) g_autofree char *label = g_strdup_printf (__VA_ARGS__)

static const PeftDType weight_types[] = {
  PEFT_DTYPE_F32,  PEFT_DTYPE_F16,  PEFT_DTYPE_BF16, PEFT_DTYPE_Q4_0,
  PEFT_DTYPE_Q4_1, PEFT_DTYPE_Q8_0, PEFT_DTYPE_Q6_K,
};

static const gint64 lengths[] = { 1, 3, 7, 31, 33, 65, 257 };

static gint64
round_up (gint64 n, gint64 multiple)
{
  return (n + multiple - 1) / multiple * multiple;
}

/* The n-th of a few layouts. */
static ParityLayout
layout_at (guint n)
{
  static const ParityLayout layouts[] = { PARITY_PLAIN, PARITY_PADDED, PARITY_OFFSET };
  return layouts[n % G_N_ELEMENTS (layouts)];
}

static ParityLayout
any_layout_at (guint n)
{
  static const ParityLayout layouts[]
      = { PARITY_PLAIN, PARITY_PADDED, PARITY_TRANSPOSED, PARITY_OFFSET };
  return layouts[n % G_N_ELEMENTS (layouts)];
}

static ParityArg
matrix (const char *name, PeftDType dtype, gint64 rows, gint64 columns, ParityLayout layout)
{
  return (ParityArg){ name, dtype, 2, { rows, columns }, layout };
}

static ParityArg
vector (const char *name, PeftDType dtype, gint64 n)
{
  return (ParityArg){ name, dtype, 1, { n } };
}

/* The large one is cut into tiles for several threads. */
static const gint64 matmul_shapes[][3] = {
  { 1, 1, 1 },    { 1, 257, 33 }, { 3, 7, 31 },  { 7, 65, 3 },  { 31, 33, 65 },    { 33, 31, 257 },
  { 65, 257, 7 }, { 257, 3, 65 }, { 0, 5, 3 },   { 5, 4, 0 },   { 260, 390, 130 }, { 2, 64, 64 },
};

static void
matmul_case (Parity *self, PeftDType type, const gint64 *shape, gboolean trans_a,
             gboolean trans_b, guint variant, PeftDType activation, PeftComputeType compute)
{
  gint64 block = peft_dtype_get_info (type)->block_size;
  gint64 m = shape[0], n = trans_b ? shape[1] : round_up (shape[1], block);
  gint64 k = trans_b ? round_up (shape[2], block) : shape[2];
  PeftMatmulParams params = {
    .trans_a = trans_a,
    .trans_b = trans_b,
    .accumulate = variant % 2,
    .alpha = variant % 3 == 1 ? -0.375 : 1,
    .compute = compute,
  };
  ParityLayout b_layout = block == 1 ? any_layout_at (variant) : layout_at (variant);
  PeftDType bias = variant % 4 == 1 ? REAL : PEFT_DTYPE_BF16;
  gboolean bf16 = compute == PEFT_COMPUTE_BF16 || activation == PEFT_DTYPE_BF16;
  LABEL ("%s m %d n %d k %d%s%s variant %u%s", peft_dtype_get_info (type)->name, (int) m, (int) n,
         (int) k, trans_a ? " Aᵀ" : "", trans_b ? " Bᵀ" : "", variant, bf16 ? " bf16" : "");

  parity_check (self, PEFT_KERNEL_MATMUL, &params,
                ARGS (trans_a ? matrix ("a", activation, k, m, layout_at (variant + 1))
                              : matrix ("a", activation, m, k, layout_at (variant + 1)),
                      trans_b ? matrix ("b", type, n, k, b_layout)
                              : matrix ("b", type, k, n, b_layout),
                      matrix ("c", activation, m, n, layout_at (variant + 2)),
                      { variant % 4 < 2 ? "bias" : NULL, bias, 1, { n } }),
                &(ParityOptions){ label, k, bf16, bf16 });
}

static void
test_matmul (Parity *self)
{
  guint variant = 0;

  for (guint t = 0; t < G_N_ELEMENTS (weight_types); t++)
    for (guint s = 0; s < G_N_ELEMENTS (matmul_shapes); s++)
      for (guint trans = 0; trans < 4; trans++, variant++)
        {
          gboolean trans_a = trans & 1, trans_b = trans & 2;

          matmul_case (self, weight_types[t], matmul_shapes[s], trans_a, trans_b, variant, REAL,
                       PEFT_COMPUTE_F32);
          matmul_case (self, weight_types[t], matmul_shapes[s], trans_a, trans_b, variant + 5,
                       REAL, PEFT_COMPUTE_BF16);
          matmul_case (self, weight_types[t], matmul_shapes[s], trans_a, trans_b, variant + 7,
                       PEFT_DTYPE_BF16, PEFT_COMPUTE_BF16);
        }
}

static void
test_matmul_batch (Parity *self)
{
  static const gint64 shapes[][4]
      = { { 3, 7, 33, 31 }, { 2, 65, 3, 17 }, { 5, 1, 1, 257 }, { 0, 3, 4, 5 }, { 1, 40, 50, 60 } };
  guint variant = 0;

  for (guint s = 0; s < G_N_ELEMENTS (shapes); s++)
    for (guint trans = 0; trans < 4; trans++)
      for (guint layout = 0; layout < 4; layout++, variant++)
        {
          gint64 batch = shapes[s][0], m = shapes[s][1], n = shapes[s][2], k = shapes[s][3];
          gboolean trans_a = trans & 1, trans_b = trans & 2;
          PeftMatmulParams params = {
            .trans_a = trans_a, .trans_b = trans_b, .alpha = 0.5, .accumulate = variant % 2
          };
          ParityLayout b_layout = layout == 3 ? PARITY_SHARED : layout_at (layout);
          LABEL ("batch %u trans %u layout %u", s, trans, layout);

          parity_check (self, PEFT_KERNEL_MATMUL, &params,
                        ARGS ({ "a", REAL, 3, { batch, trans_a ? k : m, trans_a ? m : k },
                                layout_at (layout) },
                              { "b", REAL, 3, { batch, trans_b ? n : k, trans_b ? k : n },
                                b_layout },
                              { "c", REAL, 3, { batch, m, n }, layout_at (layout + 1) }),
                        &(ParityOptions){ label, k });
        }
}

static void
test_gather_rows (Parity *self)
{
  for (guint t = 0; t < G_N_ELEMENTS (weight_types); t++)
    for (guint w = 0; w < G_N_ELEMENTS (lengths); w++)
      for (guint out = 0; out < 2; out++)
        {
          PeftDType type = weight_types[t];
          gint64 width = round_up (lengths[w], peft_dtype_get_info (type)->block_size);
          gint64 n = w == 0 ? 0 : lengths[(w + 3) % G_N_ELEMENTS (lengths)];
          PeftGatherRowsParams params = { .scale = w % 2 ? 1 : 5.5 };
          LABEL ("%s width %d", peft_dtype_get_info (type)->name, (int) width);

          parity_check (self, PEFT_KERNEL_GATHER_ROWS, &params,
                        ARGS (matrix ("table", type, 37, width, layout_at (w)),
                              { "ids", I32, 1, { n }, PARITY_OFFSET, PARITY_INDEX, .limit = 37 },
                              matrix ("out", out ? PEFT_DTYPE_BF16 : REAL, n, width,
                                      layout_at (w + 1))),
                        &(ParityOptions){ label, 1, .optional = out });
        }
}

static void
test_scatter_add_rows (Parity *self)
{
  for (guint w = 0; w < G_N_ELEMENTS (lengths); w++)
    for (guint v = 0; v < 3; v++)
      {
        gint64 n = v == 2 ? 0 : 50;
        PeftScatterAddRowsParams params = { .scale = v ? 1 : 0.25 };
        LABEL ("width %d variant %u", (int) lengths[w], v);

        /* About 7 rows fall on each of the table's. */
        parity_check (self, PEFT_KERNEL_SCATTER_ADD_ROWS, &params,
                      ARGS (matrix ("table", REAL, 7, lengths[w], layout_at (v)),
                            { "ids", I32, 1, { n }, PARITY_PLAIN, PARITY_INDEX, .limit = 7 },
                            matrix ("x", REAL, n, lengths[w], layout_at (v + 1))),
                      &(ParityOptions){ label, 8 });
      }
}

static const gint64 row_shapes[][4] = {
  { 1, 1, 1, 1 }, { 1, 1, 3, 257 }, { 1, 7, 1, 33 }, { 2, 3, 5, 64 },
  { 1, 1, 65, 31 }, { 2, 31, 3, 7 }, { 0, 3, 2, 8 }, { 1, 1, 70, 1030 },
};

/* The last shape is there for the threads: a few variants do. */
static guint
n_variants (guint shape, guint n)
{
  return shape + 1 == G_N_ELEMENTS (row_shapes) ? 2 : n;
}

static ParityArg
rows_arg (const char *name, PeftDType dtype, const gint64 *shape, ParityLayout layout)
{
  return (ParityArg){ name, dtype, 4, { shape[0], shape[1], shape[2], shape[3] }, layout };
}

static void
test_rms_norm (Parity *self)
{
  static const PeftDType types[] = { REAL, PEFT_DTYPE_BF16, PEFT_DTYPE_F16 };

  for (guint s = 0; s < G_N_ELEMENTS (row_shapes); s++)
    for (guint v = 0; v < 12; v++)
      {
        const gint64 *shape = row_shapes[s];
        gboolean residual = v & 1;
        PeftDType act = v >= 6 ? PEFT_DTYPE_BF16 : REAL;
        PeftRmsNormParams params = { .eps = v % 4 ? 1e-5 : 1e-6, .weight_offset = v % 3 == 1 };
        LABEL ("shape %u variant %u", s, v);

        parity_check (self, PEFT_KERNEL_RMS_NORM, &params,
                      ARGS (rows_arg ("x", act, shape, layout_at (v)),
                            vector ("weight", types[v % 3], shape[3]),
                            rows_arg ("y", act, shape, layout_at (v + 1)),
                            vector (v % 3 ? "rstd" : NULL, REAL, shape[0] * shape[1] * shape[2])),
                      &(ParityOptions){ label, 1, .optional = act != REAL });
        if (residual)
          parity_check (self, PEFT_KERNEL_RMS_NORM, &params,
                        ARGS (rows_arg ("x", act, shape, layout_at (v)),
                              rows_arg ("residual", act, shape, layout_at (v + 2)),
                              vector ("weight", types[v % 3], shape[3]),
                              rows_arg ("y", act, shape, layout_at (v + 1)),
                              rows_arg ("sum", act, shape, layout_at (v)),
                              vector ("rstd", REAL, shape[0] * shape[1] * shape[2])),
                        /* bfloat16: the sum that is normalised is rounded first. */
                        &(ParityOptions){ label, 1, .optional = act != REAL, .bf16 = act != REAL });
      }
}

static void
test_rms_norm_backward (Parity *self)
{
  for (guint s = 0; s < G_N_ELEMENTS (row_shapes); s++)
    for (guint v = 0; v < 6; v++)
      {
        const gint64 *shape = row_shapes[s];
        gint64 rows = shape[0] * shape[1] * shape[2];
        PeftRmsNormBackwardParams params
            = { .accumulate = v % 2, .weight_offset = v % 3 == 1 };
        LABEL ("shape %u variant %u", s, v);

        parity_check (self, PEFT_KERNEL_RMS_NORM_BACKWARD, &params,
                      ARGS (rows_arg ("dy", REAL, shape, layout_at (v)),
                            rows_arg ("x", REAL, shape, layout_at (v + 1)),
                            vector ("weight", v == 4 ? PEFT_DTYPE_BF16 : REAL, shape[3]),
                            { "rstd", REAL, 1, { rows }, PARITY_PLAIN, PARITY_POSITIVE },
                            rows_arg ("dx", REAL, shape, layout_at (v + 2)),
                            vector (v < 3 ? "dweight" : NULL, REAL, shape[3])),
                      /* rstd³ is up to 8. */
                      &(ParityOptions){ label, MAX (rows, 1), .slack = 4 });
      }
}

static void
test_rope (Parity *self)
{
  static const gint64 shapes[][5] = {
    /* batch, length, heads, dim, half */
    { 1, 1, 1, 2, 1 }, { 2, 7, 3, 64, 32 }, { 1, 33, 2, 10, 5 }, { 2, 3, 1, 33, 7 },
    { 1, 5, 4, 16, 4 }, { 0, 3, 2, 8, 4 },
  };

  for (guint s = 0; s < G_N_ELEMENTS (shapes); s++)
    for (guint v = 0; v < 16; v++)
      {
        const gint64 *n = shapes[s];
        PeftRopeParams params = { .interleaved = v & 1, .inverse = (v & 2) != 0 };
        gboolean in_place = v & 4, bf16 = v & 8;
        PeftDType act = bf16 ? PEFT_DTYPE_BF16 : REAL;
        LABEL ("shape %u variant %u", s, v);

        parity_check (self, PEFT_KERNEL_ROPE, &params,
                      ARGS (rows_arg ("x", act, n, layout_at (v)),
                            { "cos_sin", REAL, 3, { 11, 2, n[4] } },
                            { "positions", I32, 2, { n[0], n[1] }, PARITY_OFFSET, PARITY_INDEX,
                              .limit = 11 },
                            { "y", act, 4, { n[0], n[1], n[2], n[3] },
                              layout_at (in_place ? v : v + 1), .alias = in_place ? "x" : NULL }),
                      /* two products: the sum may cancel */
                      &(ParityOptions){ label, 2, .optional = bf16, .bf16 = bf16 });
      }
}

typedef struct
{
  gint64 batch, q_len, k_len, heads, kv_heads, dim;
  gboolean causal;
  gint64 window;
  gboolean segments;
  gint64 n_prefix;
} AttentionShape;

static const AttentionShape attention_shapes[] = {
  { 1, 1, 1, 1, 1, 1, TRUE },
  { 2, 7, 7, 3, 1, 16, TRUE },
  { 1, 33, 33, 4, 2, 64, TRUE },
  { 1, 65, 65, 2, 2, 31, TRUE, 5 },
  { 2, 3, 31, 2, 1, 8, TRUE },
  { 1, 1, 257, 3, 3, 64, TRUE },
  { 1, 31, 31, 2, 1, 33, TRUE, 0, TRUE },
  { 2, 130, 130, 2, 1, 16, TRUE, 40, TRUE },
  { 1, 9, 5, 2, 2, 4, TRUE }, /* the first queries see nothing */
  { 1, 7, 13, 2, 1, 8, FALSE },
  { 1, 7, 13, 2, 1, 8, FALSE, 3, TRUE },
  { 0, 3, 3, 1, 1, 4, TRUE },
  { 1, 257, 257, 1, 1, 128, TRUE },
  { 2, 13, 18, 4, 2, 16, TRUE, 0, FALSE, 5 },
  { 2, 13, 18, 4, 2, 16, TRUE, 0, TRUE, 5 },
  { 1, 70, 71, 2, 1, 33, TRUE, 0, TRUE, 1 },
  { 1, 150, 290, 3, 3, 8, TRUE, 0, TRUE, 140 }, /* a block of keys in the prefix, one that begins in it */
  { 1, 66, 75, 2, 2, 16, TRUE, 12, TRUE, 9 },
  { 2, 2, 300, 4, 2, 8, TRUE, 0, TRUE, 270 },
  { 1, 7, 13, 2, 1, 8, FALSE, 0, TRUE, 13 },
};

/* Segments 0, 1, 2 from the end of the keys backwards, and padding in front and in the middle. */
static double *
segment_values (gint64 batch, gint64 length, gint64 k_len)
{
  double *values = g_new (double, MAX (batch * length, 1));

  for (gint64 b = 0; b < batch; b++)
    for (gint64 i = 0; i < length; i++)
      {
        gint64 index = i + k_len - length, at = MAX (index, 0);
        values[b * length + i] = at < b + 1 || at % 11 == 5 ? -1 : at * 3 / k_len;
      }
  return values;
}

typedef struct
{
  PeftAttentionParams params;
  double *q, *k, *v, *q_segments, *k_segments;
} AttentionData;

static void
attention_data_init (AttentionData *self, const AttentionShape *s)
{
  *self = (AttentionData){
    .params = { .scale = 1 / sqrt (s->dim), .causal = s->causal, .window = s->window, .n_prefix = s->n_prefix },
    .q = parity_normal (1, 1, s->batch * s->q_len * s->heads * s->dim),
    .k = parity_normal (2, 1, s->batch * s->k_len * s->kv_heads * s->dim),
    .v = parity_normal (3, 1, s->batch * s->k_len * s->kv_heads * s->dim),
    .q_segments = segment_values (s->batch, s->q_len, MAX (s->k_len - s->n_prefix, s->q_len)),
    .k_segments = segment_values (s->batch, s->k_len - s->n_prefix, s->k_len - s->n_prefix),
  };
}

static void
attention_data_clear (AttentionData *self)
{
  g_free (self->q);
  g_free (self->k);
  g_free (self->v);
  g_free (self->q_segments);
  g_free (self->k_segments);
}

static ParityArg
heads_arg (const char *name, PeftDType dtype, gint64 batch, gint64 length, gint64 heads, gint64 dim,
           ParityLayout layout, const double *values)
{
  return (ParityArg){ name, dtype, 4, { batch, length, heads, dim }, layout,
                      values ? PARITY_VALUES : PARITY_NORMAL, .values = values };
}

static void
test_attention (Parity *self)
{
  for (guint i = 0; i < G_N_ELEMENTS (attention_shapes); i++)
    for (guint v = 0; v < 4; v++)
      {
        const AttentionShape *s = &attention_shapes[i];
        AttentionData data;
        gboolean bf16 = v == 3;
        PeftDType act = bf16 ? PEFT_DTYPE_BF16 : REAL;
        const char *q_name = s->segments ? "q_segments" : NULL;
        LABEL ("shape %u variant %u", i, v);

        attention_data_init (&data, s);
        parity_check (
            self, PEFT_KERNEL_ATTENTION, &data.params,
            ARGS (heads_arg ("q", act, s->batch, s->q_len, s->heads, s->dim, layout_at (v), data.q),
                  heads_arg ("k", act, s->batch, s->k_len, s->kv_heads, s->dim, layout_at (v + 1),
                             data.k),
                  heads_arg ("v", act, s->batch, s->k_len, s->kv_heads, s->dim, layout_at (v + 2),
                             data.v),
                  heads_arg ("out", act, s->batch, s->q_len, s->heads, s->dim, layout_at (v), NULL),
                  { "lse", REAL, 3, { s->batch, s->heads, s->q_len } },
                  { q_name, I32, 2, { s->batch, s->q_len }, PARITY_PLAIN, PARITY_VALUES,
                    .values = data.q_segments },
                  { "k_segments", I32, 2, { s->batch, s->k_len - s->n_prefix }, PARITY_OFFSET, PARITY_VALUES,
                    .values = data.k_segments }),
            &(ParityOptions){ label, s->dim, .optional = bf16, .bf16 = bf16 });
        attention_data_clear (&data);
      }
}

static void
test_attention_backward (Parity *self)
{
  for (guint i = 0; i < G_N_ELEMENTS (attention_shapes); i++)
    for (guint v = 0; v < 3; v++)
      {
        const AttentionShape *s = &attention_shapes[i];
        const char *q_name = s->segments ? "forward.q_segments" : NULL;
        PeftAttentionBackwardParams params = { 0 };
        AttentionData data;
        PeftBackend *reference = self->reference;
        LABEL ("shape %u variant %u", i, v);

        attention_data_init (&data, s);
        params.forward = data.params;

        g_autoptr (PeftTensor) q = test_tensor (reference, PEFT_DTYPE_F64,
                                                DIMS (s->batch, s->q_len, s->heads, s->dim), data.q);
        g_autoptr (PeftTensor) k = test_tensor (
            reference, PEFT_DTYPE_F64, DIMS (s->batch, s->k_len, s->kv_heads, s->dim), data.k);
        g_autoptr (PeftTensor) value = test_tensor (
            reference, PEFT_DTYPE_F64, DIMS (s->batch, s->k_len, s->kv_heads, s->dim), data.v);
        g_autoptr (PeftTensor) out = test_tensor (
            reference, PEFT_DTYPE_F64, DIMS (s->batch, s->q_len, s->heads, s->dim), NULL);
        g_autoptr (PeftTensor) lse
            = test_tensor (reference, PEFT_DTYPE_F64, DIMS (s->batch, s->heads, s->q_len), NULL);
        g_autoptr (PeftTensor) q_segments
            = test_tensor (reference, I32, DIMS (s->batch, s->q_len), data.q_segments);
        g_autoptr (PeftTensor) k_segments
            = test_tensor (reference, I32, DIMS (s->batch, s->k_len - s->n_prefix), data.k_segments);
        g_autofree double *out_values = NULL;
        g_autofree double *lse_values = NULL;
        PeftAttentionParams forward = data.params;

        forward.q = q->view;
        forward.k = k->view;
        forward.v = value->view;
        forward.out = out->view;
        forward.lse = lse->view;
        if (s->segments)
          {
            forward.q_segments = q_segments->view;
            forward.k_segments = k_segments->view;
          }
        peft_backend_run (reference, PEFT_KERNEL_ATTENTION, &forward);
        out_values = test_values (out);
        lse_values = test_values (lse);

        parity_check (
            self, PEFT_KERNEL_ATTENTION_BACKWARD, &params,
            ARGS (heads_arg ("forward.q", REAL, s->batch, s->q_len, s->heads, s->dim, layout_at (v),
                             data.q),
                  heads_arg ("forward.k", REAL, s->batch, s->k_len, s->kv_heads, s->dim,
                             layout_at (v + 1), data.k),
                  heads_arg ("forward.v", REAL, s->batch, s->k_len, s->kv_heads, s->dim,
                             layout_at (v + 2), data.v),
                  heads_arg ("forward.out", REAL, s->batch, s->q_len, s->heads, s->dim,
                             layout_at (v), out_values),
                  { "forward.lse", REAL, 3, { s->batch, s->heads, s->q_len }, PARITY_PLAIN,
                    PARITY_VALUES, .values = lse_values },
                  heads_arg ("dout", REAL, s->batch, s->q_len, s->heads, s->dim, layout_at (v + 1),
                             NULL),
                  heads_arg ("dq", REAL, s->batch, s->q_len, s->heads, s->dim, layout_at (v), NULL),
                  heads_arg ("dk", REAL, s->batch, s->k_len, s->kv_heads, s->dim, layout_at (v + 1),
                             NULL),
                  heads_arg ("dv", REAL, s->batch, s->k_len, s->kv_heads, s->dim, layout_at (v + 2),
                             NULL),
                  { "delta", REAL, 3, { s->batch, s->heads, s->q_len } },
                  { q_name, I32, 2, { s->batch, s->q_len }, PARITY_PLAIN, PARITY_VALUES,
                    .values = data.q_segments },
                  { "forward.k_segments", I32, 2, { s->batch, s->k_len - s->n_prefix }, PARITY_PLAIN,
                    PARITY_VALUES, .values = data.k_segments }),
            &(ParityOptions){ label, MAX (s->dim, s->q_len) });
        attention_data_clear (&data);
      }
}

static void
test_gated (Parity *self)
{
  for (guint w = 0; w < G_N_ELEMENTS (lengths); w++)
    for (guint activation = 0; activation <= PEFT_ACTIVATION_RELU; activation++)
      for (guint v = 0; v < 4; v++)
        {
          gint64 rows = v == 0 && w == 3 ? 0 : lengths[(w + v) % 5] * 5, width = lengths[w];
          PeftDType act = v == 3 ? PEFT_DTYPE_BF16 : REAL;
          PeftGatedParams forward = { .activation = activation };
          PeftGatedBackwardParams backward = { .activation = activation };
          gboolean in_place = v % 2;
          ParityLayout layout = layout_at (v);
          ParityOptions options = { .optional = v == 3 };
          LABEL ("activation %u width %d variant %u", activation, (int) width, v);

          options.label = label;
          options.slack = 1;
          parity_check (self, PEFT_KERNEL_GATED, &forward,
                        ARGS ({ "gate", act, 2, { rows, width }, layout, .scale = 3 },
                              matrix ("up", act, rows, width, layout_at (v + 1)),
                              matrix ("h", act, rows, width, layout_at (v + 2))),
                        &options);
          /* dh · up is up to 10, and the slope is a difference of terms about 1. */
          options.slack = 6;
          parity_check (self, PEFT_KERNEL_GATED_BACKWARD, &backward,
                        ARGS (matrix ("dh", act, rows, width, layout_at (v + 1)),
                              { "gate", act, 2, { rows, width }, layout, .scale = 3 },
                              matrix ("up", act, rows, width, layout),
                              { "dgate", act, 2, { rows, width }, layout,
                                .alias = in_place ? "gate" : NULL },
                              { "dup", act, 2, { rows, width }, layout,
                                .alias = in_place ? "up" : NULL }),
                        &options);
        }
}

static void
test_dropout (Parity *self)
{
  static const double ps[] = { 0, 0.05, 0.1, 0.5, 0.9 };

  for (guint w = 0; w < G_N_ELEMENTS (lengths); w++)
    for (guint v = 0; v < 10; v++)
      {
        PeftDropoutParams params = {
          .seed = G_GUINT64_CONSTANT (0x123456789abcdef0) + v,
          .stream = G_GUINT64_CONSTANT (0xfedcba9876543210) + w,
          .p = ps[v % 5],
          .accumulate = v >= 5,
        };
        gint64 rows = w == 2 && v == 0 ? 0 : 1 + v * 17;
        LABEL ("width %d variant %u", (int) lengths[w], v);

        parity_check (self, PEFT_KERNEL_DROPOUT, &params,
                      ARGS (matrix ("x", REAL, rows, lengths[w], layout_at (v)),
                            { "y", REAL, 2, { rows, lengths[w] },
                              v == 3 ? layout_at (v) : layout_at (v + 1),
                              .alias = v == 3 ? "x" : NULL }),
                      &(ParityOptions){ label });
      }
}

static void
test_cross_entropy (Parity *self)
{
  static const gint64 vocabularies[] = { 1, 3, 33, 257, 1000, 5003 };

  for (guint w = 0; w < G_N_ELEMENTS (vocabularies); w++)
    for (guint v = 0; v < 6; v++)
      {
        gint64 rows = v == 5 ? 0 : 1 + v * 3, vocab = vocabularies[w];
        PeftCrossEntropyParams params = { .scale = v ? 0.125 : 1, .gradient = v % 2 };
        LABEL ("vocabulary %d variant %u", (int) vocab, v);

        parity_check (self, PEFT_KERNEL_CROSS_ENTROPY, &params,
                      ARGS ({ "logits", REAL, 2, { rows, vocab }, layout_at (v), .scale = 4 },
                            { "labels", I32, 1, { rows }, PARITY_OFFSET, PARITY_LABEL,
                              .limit = vocab },
                            vector ("loss", REAL, rows),
                            { v % 3 ? "correct" : NULL, I32, 1, { rows } }),
                      &(ParityOptions){ label });
      }
}

static void
test_sum_squares (Parity *self)
{
  static const gint64 sizes[] = { 0, 1, 3, 7, 31, 33, 65, 257, 4097, 100003 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    parity_check (self, PEFT_KERNEL_SUM_SQUARES, &(PeftSumSquaresParams){ 0 },
                  ARGS ({ "x", REAL, 1, { sizes[i] }, PARITY_OFFSET },
                        vector ("out", PEFT_DTYPE_F64, 1)),
                  &(ParityOptions){ "size" });
}

static void
test_adamw (Parity *self)
{
  static const gint64 sizes[] = { 0, 1, 3, 7, 31, 33, 65, 257, 50001 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    for (guint v = 0; v < 3; v++)
      {
        PeftAdamWParams params = {
          .learning_rate = 1e-2,
          .beta1 = 0.9,
          .beta2 = 0.999,
          .epsilon = 1e-8,
          .weight_decay = v ? 0.1 : 0,
          .correction1 = v == 2 ? 1 : 1 - 0.9,
          .correction2 = v == 2 ? 1 : 1 - 0.999,
          .grad_scale = v ? 0.3 : 1,
        };
        ParityLayout layout = v == 1 ? PARITY_OFFSET : PARITY_PLAIN;
        LABEL ("size %d variant %u", (int) sizes[i], v);

        parity_check (self, PEFT_KERNEL_ADAMW, &params,
                      ARGS ({ "w", REAL, 1, { sizes[i] }, layout },
                            { "g", REAL, 1, { sizes[i] }, layout },
                            { "m", REAL, 1, { sizes[i] }, layout },
                            { "v", REAL, 1, { sizes[i] }, layout, PARITY_POSITIVE }),
                      &(ParityOptions){ label });
      }
}

static void
test_fill (Parity *self)
{
  static const PeftDType types[] = { REAL, PEFT_DTYPE_I32, PEFT_DTYPE_BF16, PEFT_DTYPE_F16 };

  for (guint t = 0; t < G_N_ELEMENTS (types); t++)
    for (guint s = 0; s < G_N_ELEMENTS (row_shapes); s++)
      {
        ParityArg x = rows_arg ("x", types[t], row_shapes[s], any_layout_at (s));
        LABEL ("type %u shape %u", t, s);

        if (types[t] == PEFT_DTYPE_I32)
          {
            x.fill = PARITY_INDEX;
            x.limit = 100;
          }
        parity_check (self, PEFT_KERNEL_FILL, &(PeftFillParams){ .value = s % 2 ? -3 : 0 },
                      ARGS (x), &(ParityOptions){ label, .optional = t >= 2 });
      }
}

static void
test_copy (Parity *self)
{
  static const PeftDType types[] = { REAL, PEFT_DTYPE_BF16, PEFT_DTYPE_F16 };

  for (guint from = 0; from < G_N_ELEMENTS (types); from++)
    for (guint to = 0; to < G_N_ELEMENTS (types); to++)
      for (guint s = 0; s < G_N_ELEMENTS (row_shapes); s++)
        for (guint v = 0; v < n_variants (s, 8); v++)
          {
            PeftCopyParams params = { .alpha = v % 2 ? 0.75 : 1, .accumulate = v % 4 >= 2 };
            LABEL ("type %u to %u shape %u variant %u", from, to, s, v);

            parity_check (self, PEFT_KERNEL_COPY, &params,
                          ARGS (rows_arg ("x", types[from], row_shapes[s], any_layout_at (v)),
                                rows_arg ("y", types[to], row_shapes[s], any_layout_at (v / 2 + 1))),
                          &(ParityOptions){ label });
          }
}

/* Where the function is defined and steep at most like 1/x³ at 0.5. */
static ParityFill
domain_of (PeftUnary op)
{
  switch (op)
    {
    case PEFT_UNARY_SQRT:
    case PEFT_UNARY_RSQRT:
    case PEFT_UNARY_RECIPROCAL:
    case PEFT_UNARY_LOG:
      return PARITY_POSITIVE;
    default:
      return PARITY_NORMAL;
    }
}

static void
test_unary (Parity *self)
{
  for (guint op = 0; op < PEFT_N_UNARY; op++)
    for (guint s = 0; s < G_N_ELEMENTS (row_shapes); s++)
      for (guint v = 0; v < n_variants (s, 3); v++)
        {
          ParityArg x = rows_arg ("x", REAL, row_shapes[s], any_layout_at (v + op));
          LABEL ("operation %u shape %u variant %u", op, s, v);

          x.fill = domain_of (op);
          x.scale = 2;
          parity_check (self, PEFT_KERNEL_UNARY, &(PeftUnaryParams){ .op = op },
                        ARGS (x, rows_arg ("y", REAL, row_shapes[s], any_layout_at (v + 1))),
                        &(ParityOptions){ label });
          parity_check (self, PEFT_KERNEL_UNARY_BACKWARD,
                        &(PeftUnaryBackwardParams){ .op = op, .accumulate = v == 1 },
                        ARGS (x, rows_arg ("dy", REAL, row_shapes[s], any_layout_at (v + 2)),
                              rows_arg ("dx", REAL, row_shapes[s], any_layout_at (v))),
                        &(ParityOptions){ label, .slack = 2 });
        }
}

static void
test_binary (Parity *self)
{
  static const struct
  {
    guint a_dims;
    gint64 a[4];
    guint b_dims;
    gint64 b[4];
    guint c_dims;
    gint64 c[4];
  } shapes[] = {
    { 1, { 257 }, 1, { 257 }, 1, { 257 } },
    { 2, { 33, 65 }, 1, { 65 }, 2, { 33, 65 } },
    { 2, { 33, 1 }, 2, { 33, 31 }, 2, { 33, 31 } },
    { 1, { 1 }, 3, { 2, 7, 3 }, 3, { 2, 7, 3 } },
    { 4, { 2, 1, 5, 7 }, 4, { 1, 3, 5, 1 }, 4, { 2, 3, 5, 7 } },
    { 3, { 3, 1, 1 }, 2, { 7, 1 }, 4, { 2, 3, 7, 31 } },
    { 2, { 0, 3 }, 1, { 3 }, 2, { 0, 3 } },
    { 0, { 0 }, 0, { 0 }, 0, { 0 } },
  };

  for (guint op = 0; op < PEFT_N_BINARY; op++)
    for (guint s = 0; s < G_N_ELEMENTS (shapes); s++)
      for (guint v = 0; v < 4; v++)
        {
          ParityArg a = { "a", REAL, shapes[s].a_dims, .layout = any_layout_at (v) };
          ParityArg b = { "b", REAL, shapes[s].b_dims, .layout = any_layout_at (v + 1),
                          .fill = op == PEFT_BINARY_DIV ? PARITY_POSITIVE : PARITY_NORMAL };
          ParityArg c = { "c", REAL, shapes[s].c_dims, .layout = any_layout_at (v + 2) };
          LABEL ("operation %u shape %u variant %u", op, s, v);

          for (guint i = 0; i < 4; i++)
            {
              a.shape[i] = shapes[s].a[i];
              b.shape[i] = shapes[s].b[i];
              c.shape[i] = shapes[s].c[i];
            }
          parity_check (self, PEFT_KERNEL_BINARY,
                        &(PeftBinaryParams){ .op = op, .accumulate = v % 2 }, ARGS (a, b, c),
                        &(ParityOptions){ label });
        }
}

static void
test_reduce (Parity *self)
{
  static const struct
  {
    guint n_dims;
    gint64 x[4], y[4];
  } shapes[] = {
    { 1, { 257 }, { 1 } },
    { 2, { 33, 65 }, { 33, 1 } },
    { 2, { 33, 65 }, { 1, 65 } },
    { 2, { 33, 65 }, { 33, 65 } },
    { 4, { 2, 3, 7, 31 }, { 1, 3, 1, 31 } },
    { 4, { 2, 3, 7, 31 }, { 2, 1, 7, 1 } },
    { 3, { 5, 1, 3 }, { 1, 1, 1 } },
    { 2, { 0, 3 }, { 0, 1 } },
  };

  for (guint op = 0; op <= PEFT_REDUCE_NORM; op++)
    for (guint s = 0; s < G_N_ELEMENTS (shapes); s++)
      for (guint v = 0; v < 4; v++)
        {
          ParityArg x = { "x", REAL, shapes[s].n_dims, .layout = any_layout_at (v) };
          ParityArg y = { "y", REAL, shapes[s].n_dims, .layout = any_layout_at (v + 1) };
          LABEL ("operation %u shape %u variant %u", op, s, v);

          for (guint i = 0; i < 4; i++)
            {
              x.shape[i] = shapes[s].x[i];
              y.shape[i] = shapes[s].y[i];
            }
          parity_check (self, PEFT_KERNEL_REDUCE,
                        &(PeftReduceParams){ .op = op, .accumulate = v % 2 }, ARGS (x, y),
                        &(ParityOptions){ label, 257 });
        }
}

static void
test_softmax (Parity *self)
{
  for (guint s = 0; s < G_N_ELEMENTS (row_shapes); s++)
    for (guint v = 0; v < 4; v++)
      {
        const gint64 *shape = row_shapes[s];
        ParityArg x = rows_arg ("x", REAL, shape, any_layout_at (v));
        LABEL ("shape %u variant %u", s, v);

        x.scale = 3;
        parity_check (self, PEFT_KERNEL_SOFTMAX, &(PeftSoftmaxParams){ 0 },
                      ARGS (x, rows_arg ("y", REAL, shape, any_layout_at (v + 1))),
                      &(ParityOptions){ label });
        parity_check (self, PEFT_KERNEL_SOFTMAX_BACKWARD,
                      &(PeftSoftmaxBackwardParams){ .accumulate = v % 2 },
                      ARGS (rows_arg ("y", REAL, shape, any_layout_at (v + 2)),
                            rows_arg ("dy", REAL, shape, any_layout_at (v)),
                            rows_arg ("dx", REAL, shape, any_layout_at (v + 1))),
                      &(ParityOptions){ label, shape[3] });
      }
}

static const gint64 square_shapes[][3] = {
  /* batch, n, m */
  { 1, 1, 1 }, { 3, 3, 7 }, { 2, 7, 1 }, { 1, 31, 33 }, { 1, 65, 3 }, { 0, 3, 3 }, { 2, 4, 0 },
};

static ParityArg
cube (const char *name, gint64 d0, gint64 d1, gint64 d2, ParityLayout layout, ParityFill fill)
{
  return (ParityArg){ name, REAL, 3, { d0, d1, d2 }, layout, fill };
}

static void
test_lu (Parity *self)
{
  for (guint s = 0; s < G_N_ELEMENTS (square_shapes); s++)
    for (guint v = 0; v < 4; v++)
      {
        gint64 batch = square_shapes[s][0], n = square_shapes[s][1], m = square_shapes[s][2];
        LABEL ("n %d m %d variant %u", (int) n, (int) m, v);

        /* Random matrices, so that rows are swapped; their condition is about n. */
        parity_check (self, PEFT_KERNEL_LU_FACTOR, &(PeftLuFactorParams){ 0 },
                      ARGS (cube ("a", batch, n, n, any_layout_at (v), PARITY_NORMAL),
                            { "pivots", I32, 2, { batch, n }, .fill = PARITY_INDEX, .limit = 9 }),
                      &(ParityOptions){ label, n, .slack = 100 });
        parity_check (self, PEFT_KERNEL_LU_SOLVE, &(PeftLuSolveParams){ .transpose = v % 2 },
                      ARGS (cube ("lu", batch, n, n, any_layout_at (v), PARITY_DOMINANT),
                            { "pivots", I32, 2, { batch, n }, .fill = PARITY_PIVOT },
                            cube ("x", batch, n, m, any_layout_at (v + 1), PARITY_NORMAL)),
                      &(ParityOptions){ label, n, .slack = 10 });
      }
}

static void
test_triangular_solve (Parity *self)
{
  for (guint s = 0; s < G_N_ELEMENTS (square_shapes); s++)
    for (guint v = 0; v < 8; v++)
      {
        gint64 batch = square_shapes[s][0], n = square_shapes[s][1], m = square_shapes[s][2];
        PeftTriangularSolveParams params
            = { .lower = v & 1, .unit_diagonal = (v & 2) != 0, .transpose = (v & 4) != 0 };
        LABEL ("n %d m %d variant %u", (int) n, (int) m, v);

        parity_check (self, PEFT_KERNEL_TRIANGULAR_SOLVE, &params,
                      ARGS (cube ("a", batch, n, n, any_layout_at (v), PARITY_DOMINANT),
                            cube ("x", batch, n, m, any_layout_at (v / 2), PARITY_NORMAL)),
                      &(ParityOptions){ label, n, .slack = 10 });
      }
}

static void
test_fft (Parity *self)
{
  static const gint64 sizes[] = { 1, 2, 3, 7, 8, 31, 33, 60, 64, 65, 257, 256 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    for (guint v = 0; v < 4; v++)
      {
        LABEL ("n %d variant %u", (int) sizes[i], v);

        parity_check (self, PEFT_KERNEL_FFT, &(PeftFftParams){ .inverse = v % 2 },
                      ARGS (cube ("x", v, sizes[i], 2, any_layout_at (v), PARITY_NORMAL),
                            cube ("y", v, sizes[i], 2, any_layout_at (v + 1), PARITY_NORMAL)),
                      &(ParityOptions){ label, sizes[i] });
      }
}

static const struct
{
  const char *name;
  void (*function) (Parity *self);
} tests[] = {
  { "matmul", test_matmul },
  { "matmul-batch", test_matmul_batch },
  { "gather-rows", test_gather_rows },
  { "scatter-add-rows", test_scatter_add_rows },
  { "rms-norm", test_rms_norm },
  { "rms-norm-backward", test_rms_norm_backward },
  { "rope", test_rope },
  { "attention", test_attention },
  { "attention-backward", test_attention_backward },
  { "gated", test_gated },
  { "dropout", test_dropout },
  { "cross-entropy", test_cross_entropy },
  { "sum-squares", test_sum_squares },
  { "adamw", test_adamw },
  { "fill", test_fill },
  { "copy", test_copy },
  { "unary", test_unary },
  { "binary", test_binary },
  { "reduce", test_reduce },
  { "softmax", test_softmax },
  { "lu", test_lu },
  { "triangular-solve", test_triangular_solve },
  { "fft", test_fft },
};

typedef struct
{
  const char *backend, *isa;
  void (*function) (Parity *self);
} Run;

static void
parity_open (Parity *self, const char *backend)
{
  g_autoptr (GError) error = NULL;

  *self = (Parity){ .reference = peft_backend_open ("reference", 1, NULL) };
  self->backend = peft_backend_open (backend, 2, &error);
  g_assert_no_error (error);
  if (!g_str_equal (backend, "reference"))
    self->other_threads = peft_backend_open (backend, 1, NULL);
  self->real = self->backend->real == PEFT_DTYPE_F64 ? PEFT_DTYPE_F32 : self->backend->real;
}

static void
parity_close (Parity *self)
{
  peft_backend_unref (self->backend);
  peft_backend_unref (self->reference);
  g_clear_pointer (&self->other_threads, peft_backend_unref);
}

static void
test_run (gconstpointer data)
{
  const Run *run = data;
  Parity parity;

  if (run->isa)
    g_setenv ("PEFT_CPU_ISA", run->isa, TRUE);
  parity_open (&parity, run->backend);
  if (run->isa)
    g_assert_cmpstr (parity.backend->isa, ==, run->isa);
  run->function (&parity);
  g_test_message ("%u calls, %u refused, worst error %.2f of what is allowed", parity.n_run,
                  parity.n_refused, parity.worst);
  g_assert_cmpuint (parity.n_run, >, 0);
  parity_close (&parity);
}

static void
add_tests (const char *backend, const char *isa)
{
  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      Run *run = g_new (Run, 1);
      g_autofree char *path = g_strconcat ("/Peft/Parity/", backend, isa ? "/" : "",
                                           isa ? isa : "", "/", tests[i].name, NULL);

      *run = (Run){ backend, isa, tests[i].function };
      g_test_add_data_func_full (path, run, test_run, g_free);
    }
}

/* The comparison itself must be able to fail. */
static void
test_tamper (void)
{
  static const struct
  {
    ParityTamper tamper;
    const char *message;
  } rows[] = {
    { PARITY_TAMPER_VALUE, "c: value 8:*" },
    { PARITY_TAMPER_FRONT, "c: byte 255 *" },
    { PARITY_TAMPER_BACK, "c: byte * was changed" },
    { PARITY_TAMPER_GAP, "c: byte 268 *" },
    { PARITY_TAMPER_INPUT, "a: byte 256 *" },
  };
  PeftMatmulParams params = { .alpha = 1 };
  const ParityArg *args
      = ARGS (matrix ("a", REAL, 3, 5, PARITY_PLAIN), matrix ("b", REAL, 5, 3, PARITY_PLAIN),
              matrix ("c", REAL, 3, 3, PARITY_PADDED));
  ParityOptions options = { "tampered", 5 };
  Parity parity;

  parity_open (&parity, "reference");
  g_assert_null (parity_compare (&parity, PEFT_KERNEL_MATMUL, &params, args, &options));
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *message = NULL;

      parity.tamper = rows[i].tamper;
      message = parity_compare (&parity, PEFT_KERNEL_MATMUL, &params, args, &options);
      g_assert_nonnull (message);
      g_assert_true (g_pattern_match_simple (rows[i].message, message));
    }
  parity_close (&parity);
}

/* A refusal fails unless the case allows it. */
static void
test_refusal (void)
{
  PeftAttentionParams params = { .scale = 1, .soft_cap = 10 };
  const ParityArg *args = ARGS (heads_arg ("q", REAL, 1, 2, 1, 4, PARITY_PLAIN, NULL),
                                heads_arg ("k", REAL, 1, 2, 1, 4, PARITY_PLAIN, NULL),
                                heads_arg ("v", REAL, 1, 2, 1, 4, PARITY_PLAIN, NULL),
                                heads_arg ("out", REAL, 1, 2, 1, 4, PARITY_PLAIN, NULL));
  g_autofree char *message = NULL;
  Parity parity;

  parity_open (&parity, "reference");
  message = parity_compare (&parity, PEFT_KERNEL_ATTENTION, &params, args, &(ParityOptions){ 0 });
  g_assert_nonnull (strstr (message, "soft_cap"));
  g_assert_null (parity_compare (&parity, PEFT_KERNEL_ATTENTION, &params, args,
                                 &(ParityOptions){ .optional = TRUE }));
  g_assert_cmpuint (parity.n_refused, ==, 2);
  g_assert_cmpuint (parity.n_run, ==, 0);
  parity_close (&parity);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Parity/tamper", test_tamper);
  g_test_add_func ("/Peft/Parity/refusal", test_refusal);
  add_tests ("reference", NULL);
  for (const char *const *isa = peft_cpu_backend_list_isas (); *isa; isa++)
    add_tests ("cpu", *isa);
  return g_test_run ();
}
