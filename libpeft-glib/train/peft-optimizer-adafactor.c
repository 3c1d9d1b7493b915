/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#include "train/peft-optimizer-private.h"

/* Adafactor (Shazeer & Stern, arXiv:1804.04235) as transformers' with scale_parameter and relative_step off, which is what its trainer
 * uses: a given learning rate, no first moment, the second moment of a matrix as the product of a row and a column.
 * m holds of a matrix [.., R, C] its rows' means and its columns', of a vector all values; v is scratch: an update and its factors. */

#define EPSILON 1e-30
#define CLIP_THRESHOLD 1.0
#define DECAY_RATE -0.8

typedef struct
{
  gsize slices, rows, columns; /* columns 0: not factored */
  gsize n, n_state;
} Layout;

static Layout
get_layout (const PeftParam *param)
{
  Layout self = { .slices = 1, .n = 1 };

  for (guint i = 0; i < param->n_dims; i++)
    self.n *= (gsize) param->shape[i];
  self.n_state = self.n;
  if (param->n_dims < 2)
    return self;
  for (guint i = 0; i + 2 < param->n_dims; i++)
    self.slices *= (gsize) param->shape[i];
  self.rows = (gsize) param->shape[param->n_dims - 2];
  self.columns = (gsize) param->shape[param->n_dims - 1];
  self.n_state = self.slices * (self.rows + self.columns);
  return self;
}

static void
adafactor_get_memory (PeftParamSet *params, gsize *n_m, gsize *n_v)
{
  *n_m = *n_v = 0;
  for (guint i = 0; i < peft_param_set_get_n (params); i++)
    {
      PeftParam *param = peft_param_set_get (params, i);
      const Layout layout = get_layout (param);

      if (!param->trainable)
        continue;
      *n_m += layout.n_state;
      *n_v = MAX (*n_v, layout.n + layout.rows + layout.columns);
    }
}

static void
download (const PeftView *view, float *out)
{
  g_autoptr (PeftTensor) tensor = peft_tensor_new_view (view->buffer, view);
  peft_tensor_download_f32 (tensor, out);
}

static void
upload (const PeftView *view, const float *values)
{
  g_autoptr (PeftTensor) tensor = peft_tensor_new_view (view->buffer, view);
  peft_tensor_upload_f32 (tensor, values);
}

/* average ← β average + (1 − β) (mean g² + ε) */
static void
move_average (float *average, const float *means, gsize n, double beta, double square)
{
  for (gsize i = 0; i < n; i++)
    average[i] = (float) (beta * average[i] + (1 - beta) * (means[i] * square + EPSILON));
}

/* Moves the means over one dim of g² and puts in `factors` what g is multiplied with because of them. squares is
 * scratch. */
static void
make_factors (PeftBackend *backend, const PeftView *squares, const PeftView *factors,
              const PeftView *state, gboolean rows, double beta, double square)
{
  const gsize n = (gsize) state->shape[0];
  const gint64 shape[2] = { rows ? (gint64) n : 1, rows ? 1 : (gint64) n };
  const PeftReduceParams mean
      = { .x = *squares, .y = peft_view_reshape (factors, 2, shape), .op = PEFT_REDUCE_MEAN };
  g_autofree float *means = g_new (float, n);
  g_autofree float *average = g_new (float, n);
  double whole = 1;

  peft_backend_run (backend, PEFT_KERNEL_REDUCE, &mean);
  download (factors, means);
  download (state, average);
  move_average (average, means, n, beta, square);
  upload (state, average);
  if (rows)
    {
      whole = 0;
      for (gsize i = 0; i < n; i++)
        whole += average[i];
      whole /= (double) n;
    }
  for (gsize i = 0; i < n; i++)
    means[i] = (float) sqrt (whole / average[i]);
  upload (factors, means);
}

/* u = g times the factors, of one matrix. */
static void
factored_update (PeftParamSet *params, PeftBackend *backend, const PeftView *g, const PeftView *u,
                 const Layout *layout, gsize offset, double beta, double square)
{
  const gint64 matrix[2] = { (gint64) layout->rows, (gint64) layout->columns };
  const gint64 column[2] = { matrix[0], 1 }, row[2] = { 1, matrix[1] };
  const PeftView g2 = peft_view_reshape (g, 2, matrix), u2 = peft_view_reshape (u, 2, matrix);
  const PeftView state[2] = {
    peft_param_set_get_state (params, FALSE, offset, layout->rows),
    peft_param_set_get_state (params, FALSE, offset + layout->rows, layout->columns),
  };
  const PeftView factors[2] = {
    peft_param_set_get_state (params, TRUE, layout->n, layout->rows),
    peft_param_set_get_state (params, TRUE, layout->n + layout->rows, layout->columns),
  };
  const PeftUnaryParams squares = { .x = g2, .y = u2, .op = PEFT_UNARY_SQUARE };
  const PeftBinaryParams by_row = {
    .a = g2, .b = peft_view_reshape (&factors[0], 2, column), .c = u2, .op = PEFT_BINARY_MUL,
  };
  const PeftBinaryParams by_column = {
    .a = u2, .b = peft_view_reshape (&factors[1], 2, row), .c = u2, .op = PEFT_BINARY_MUL,
  };

  peft_backend_run (backend, PEFT_KERNEL_UNARY, &squares);
  for (guint i = 0; i < 2; i++)
    make_factors (backend, &u2, &factors[i], &state[i], i == 0, beta, square);
  peft_backend_run (backend, PEFT_KERNEL_BINARY, &by_row);
  peft_backend_run (backend, PEFT_KERNEL_BINARY, &by_column);
}

static void
plain_update (const PeftView *g, const PeftView *u, const PeftView *state, double beta,
              double square)
{
  const gsize n = (gsize) g->shape[0];
  g_autofree float *values = g_new (float, n);
  g_autofree float *average = g_new (float, n);

  download (g, values);
  download (state, average);
  for (gsize i = 0; i < n; i++)
    {
      average[i] = (float) (beta * average[i]
                            + (1 - beta) * ((double) values[i] * values[i] * square + EPSILON));
      values[i] = (float) (values[i] / sqrt (average[i]));
    }
  upload (state, average);
  upload (u, values);
}

static double
root_mean_square (PeftParamSet *params, const PeftView *u)
{
  return sqrt (peft_param_set_sum_squares (params, u) / (double) u->shape[0]);
}

static void
adafactor_step (PeftParamSet *params, PeftBackend *backend, const PeftOptimizerStep *step)
{
  const double beta = 1 - pow ((double) step->step, DECAY_RATE);
  const double scale = step->grad_scale;
  gsize offset = 0;

  for (guint i = 0; i < peft_param_set_get_n (params); i++)
    {
      PeftParam *param = peft_param_set_get (params, i);
      const Layout layout = get_layout (param);
      PeftParamGroup group;
      PeftView u;
      double rms;

      if (param->grad == NULL || layout.n == 0)
        continue;
      peft_param_set_get_single (params, param, &group);
      u = peft_param_set_get_state (params, TRUE, 0, layout.n);
      if (layout.columns == 0)
        {
          const PeftView state = peft_param_set_get_state (params, FALSE, offset, layout.n);
          plain_update (&group.g, &u, &state, beta, scale * scale);
        }
      for (gsize slice = 0, n = layout.rows * layout.columns; layout.columns > 0 && slice < layout.slices; slice++)
        {
          const PeftView g = peft_view_slice (&group.g, 0, (gint64) (slice * n), (gint64) n);
          const PeftView part = peft_view_slice (&u, 0, (gint64) (slice * n), (gint64) n);

          factored_update (params, backend, &g, &part, &layout,
                           offset + slice * (layout.rows + layout.columns), beta, scale * scale);
        }
      offset += layout.n_state;
      rms = scale * root_mean_square (params, &u);
      if (param->decay && step->weight_decay > 0)
        peft_optimizer_add (backend, &group.w, &group.w, 1 - step->learning_rate * step->weight_decay,
                            FALSE);
      peft_optimizer_add (backend, &u, &group.w,
                          -step->learning_rate * scale / MAX (1, rms / CLIP_THRESHOLD), TRUE);
    }
}

const PeftOptimizer peft_optimizer_adafactor = {
  .name = "adafactor",
  .display_name = N_ ("Adafactor"),
  .get_memory = adafactor_get_memory,
  .step = adafactor_step,
};
