/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#include "train/peft-optimizer-private.h"

/* Adafactor (Shazeer & Stern, arXiv:1804.04235) as transformers has it, without a first moment: the second moment of a
 * matrix is the product of a row and a column. Without relative step and scale parameter, which is the default, it is what
 * transformers' trainer uses.
 * m holds of a matrix [.., R, C] its rows' means and its columns', of a vector all values; v is scratch: an update, its
 * factors, and two single values. */

#define EPSILON 1e-30
#define LOWEST_SCALE 1e-3
#define CLIP_THRESHOLD 1.0
#define DECAY_RATE -0.8
#define N_CELLS 2

typedef struct
{
  gsize slices, rows, columns; /* columns 0: not factored */
  gsize n, n_state;
} Layout;

/* A step. */
typedef struct
{
  PeftParamSet *params;
  PeftBackend *backend;
  double beta, grad_scale;
  PeftView epsilon, cell;
} Pass;

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
      *n_v = MAX (*n_v, N_CELLS + layout.n + layout.rows + layout.columns);
    }
}

double
peft_optimizer_get_relative_rate (guint64 step)
{
  return MIN (PEFT_ADAFACTOR_HIGHEST_RATE, 1 / sqrt ((double) step));
}

static void
run_unary (PeftBackend *backend, const PeftView *x, const PeftView *y, PeftUnary op)
{
  const PeftUnaryParams params = { .x = *x, .y = *y, .op = op };
  peft_backend_run (backend, PEFT_KERNEL_UNARY, &params);
}

static void
run_binary (PeftBackend *backend, const PeftView *a, const PeftView *b, const PeftView *c,
            PeftBinary op)
{
  const PeftBinaryParams params = { .a = *a, .b = *b, .c = *c, .op = op };
  peft_backend_run (backend, PEFT_KERNEL_BINARY, &params);
}

static void
run_mean (PeftBackend *backend, const PeftView *x, const PeftView *y)
{
  const PeftReduceParams params = { .x = *x, .y = *y, .op = PEFT_REDUCE_MEAN };
  peft_backend_run (backend, PEFT_KERNEL_REDUCE, &params);
}

/* x ← g'² with the clipped gradient g'. */
static void
square_gradient (const Pass *pass, const PeftView *g, const PeftView *x)
{
  peft_optimizer_add (pass->backend, g, x, pass->grad_scale, FALSE);
  run_unary (pass->backend, x, x, PEFT_UNARY_SQUARE);
}

/* average ← β average + (1 − β) (squares + ε) */
static void
move_average (const Pass *pass, const PeftView *average, const PeftView *squares)
{
  peft_optimizer_add (pass->backend, average, average, pass->beta, FALSE);
  peft_optimizer_add (pass->backend, squares, average, 1 - pass->beta, TRUE);
  run_binary (pass->backend, average, &pass->epsilon, average, PEFT_BINARY_ADD);
}

/* u = g over the root of its second moment, for one matrix. */
static void
factored_update (const Pass *pass, const PeftView *g, const PeftView *u, const Layout *layout,
                 gsize offset)
{
  const gint64 matrix[2] = { (gint64) layout->rows, (gint64) layout->columns };
  const gint64 column[2] = { matrix[0], 1 }, row[2] = { 1, matrix[1] };
  const gsize scratch = N_CELLS + layout->n;
  const PeftView g2 = peft_view_reshape (g, 2, matrix), u2 = peft_view_reshape (u, 2, matrix);
  const PeftView state[2] = {
    peft_param_set_get_state (pass->params, FALSE, offset, layout->rows),
    peft_param_set_get_state (pass->params, FALSE, offset + layout->rows, layout->columns),
  };
  const PeftView factors[2] = {
    peft_param_set_get_state (pass->params, TRUE, scratch, layout->rows),
    peft_param_set_get_state (pass->params, TRUE, scratch + layout->rows, layout->columns),
  };

  square_gradient (pass, &g2, &u2);
  for (guint i = 0; i < 2; i++)
    {
      const PeftView means = peft_view_reshape (&factors[i], 2, i == 0 ? column : row);

      run_mean (pass->backend, &u2, &means);
      move_average (pass, &state[i], &factors[i]);
    }
  run_mean (pass->backend, &state[0], &pass->cell);
  run_binary (pass->backend, &state[0], &pass->cell, &factors[0], PEFT_BINARY_DIV);
  run_unary (pass->backend, &factors[0], &factors[0], PEFT_UNARY_RSQRT);
  run_unary (pass->backend, &state[1], &factors[1], PEFT_UNARY_RSQRT);
  for (guint i = 0; i < 2; i++)
    {
      const PeftView factor = peft_view_reshape (&factors[i], 2, i == 0 ? column : row);
      run_binary (pass->backend, i == 0 ? &g2 : &u2, &factor, &u2, PEFT_BINARY_MUL);
    }
}

static void
plain_update (const Pass *pass, const PeftView *g, const PeftView *u, gsize offset)
{
  const PeftView state
      = peft_param_set_get_state (pass->params, FALSE, offset, (gsize) g->shape[0]);

  square_gradient (pass, g, u);
  move_average (pass, &state, u);
  run_unary (pass->backend, &state, u, PEFT_UNARY_RSQRT);
  run_binary (pass->backend, u, g, u, PEFT_BINARY_MUL);
}

static double
root_mean_square (PeftParamSet *params, const PeftView *u)
{
  return sqrt (peft_param_set_sum_squares (params, u) / (double) u->shape[0]);
}

static void
update_param (const Pass *pass, PeftParam *param, const Layout *layout, gsize offset,
              const PeftOptimizerStep *step)
{
  const gsize n = layout->rows * layout->columns;
  const PeftView u = peft_param_set_get_state (pass->params, TRUE, N_CELLS, layout->n);
  double rate = step->learning_rate, rms;
  PeftParamGroup group;

  peft_param_set_get_single (pass->params, param, &group);
  if (n == 0)
    plain_update (pass, &group.g, &u, offset);
  for (gsize slice = 0; n > 0 && slice < layout->slices; slice++)
    {
      const PeftView g = peft_view_slice (&group.g, 0, (gint64) (slice * n), (gint64) n);
      const PeftView part = peft_view_slice (&u, 0, (gint64) (slice * n), (gint64) n);

      factored_update (pass, &g, &part, layout, offset + slice * (layout->rows + layout->columns));
    }
  if (step->scale_parameter)
    rate *= MAX (LOWEST_SCALE, root_mean_square (pass->params, &group.w));
  rms = pass->grad_scale * root_mean_square (pass->params, &u);
  if (param->decay && step->weight_decay > 0)
    peft_optimizer_add (pass->backend, &group.w, &group.w, 1 - rate * step->weight_decay, FALSE);
  peft_optimizer_add (pass->backend, &u, &group.w,
                      -rate * pass->grad_scale / MAX (1, rms / CLIP_THRESHOLD), TRUE);
}

static void
adafactor_step (PeftParamSet *params, PeftBackend *backend, const PeftOptimizerStep *step)
{
  Pass pass = {
    .params = params,
    .backend = backend,
    .beta = 1 - pow ((double) step->step, DECAY_RATE),
    .grad_scale = step->grad_scale,
    .epsilon = peft_param_set_get_state (params, TRUE, 0, 1),
    .cell = peft_param_set_get_state (params, TRUE, 1, 1),
  };
  const PeftFillParams fill = { .x = pass.epsilon, .value = (1 - pass.beta) * EPSILON };
  gsize offset = 0;

  peft_backend_run (backend, PEFT_KERNEL_FILL, &fill);
  for (guint i = 0; i < peft_param_set_get_n (params); i++)
    {
      PeftParam *param = peft_param_set_get (params, i);
      const Layout layout = get_layout (param);

      if (param->grad == NULL || layout.n == 0)
        continue;
      update_param (&pass, param, &layout, offset, step);
      offset += layout.n_state;
    }
}

const PeftOptimizer peft_optimizer_adafactor = {
  .name = "adafactor",
  .display_name = N_ ("Adafactor"),
  .get_memory = adafactor_get_memory,
  .step = adafactor_step,
};
