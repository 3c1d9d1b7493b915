/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "methods/peft-oft-rotation.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

#include "methods/peft-config-private.h"

static void
constants_free (PeftOftConstants *self)
{
  g_clear_pointer (&self->index, peft_tensor_unref);
  g_clear_pointer (&self->sign, peft_tensor_unref);
  g_clear_pointer (&self->identity, peft_tensor_unref);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftOftConstants, constants_free)

static PeftOftConstants *
constants_new (PeftBackend *backend, gint64 b, GError **error)
{
  g_autoptr (PeftOftConstants) self = g_new0 (PeftOftConstants, 1);
  const gint64 n = b * b;
  const gint64 square[3] = { 1, b, b };
  g_autofree gint32 *index = g_try_new (gint32, n);
  g_autofree float *sign = g_try_new (float, n);
  g_autofree float *identity = g_try_new0 (float, n);

  if (index == NULL || sign == NULL || identity == NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY,
                   _ ("no memory for rotations of size %" PRIi64), b);
      return NULL;
    }
  for (gint64 i = 0; i < b; i++)
    for (gint64 j = 0; j < b; j++)
      {
        gint64 row = MIN (i, j), column = MAX (i, j);

        /* Elements before row `row` of the triangle, then along the row. */
        index[i * b + j] = i == j ? 0 : (gint32) (row * (2 * b - row - 1) / 2 + column - row - 1);
        sign[i * b + j] = i == j ? 0 : i < j ? 1 : -1;
        identity[i * b + j] = i == j;
      }
  if ((self->index = peft_tensor_new_on (backend, PEFT_DTYPE_I32, 1, &n, error)) == NULL
      || (self->sign = peft_tensor_new_on (backend, backend->real, 3, square, error)) == NULL
      || (self->identity = peft_tensor_new_on (backend, backend->real, 3, square, error)) == NULL)
    return NULL;
  peft_tensor_upload_i32 (self->index, index);
  peft_tensor_upload_f32 (self->sign, sign);
  peft_tensor_upload_f32 (self->identity, identity);
  return g_steal_pointer (&self);
}

/* Layers with blocks of one size share them. */
static const PeftOftConstants *
get_constants (PeftAdapter *adapter, gint64 block, GError **error)
{
  PeftOftConstants *constants;

  if (adapter->method_data == NULL)
    {
      adapter->method_data
          = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) constants_free);
      adapter->method_data_free = (GDestroyNotify) g_hash_table_unref;
    }
  constants = g_hash_table_lookup (adapter->method_data, GINT_TO_POINTER (block));
  if (constants == NULL)
    {
      constants = constants_new (adapter->core->backend, block, error);
      if (constants != NULL)
        g_hash_table_insert (adapter->method_data, GINT_TO_POINTER (block), constants);
    }
  return constants;
}

gboolean
peft_oft_rotation_init (PeftOftRotation *self, PeftAdapter *adapter, PeftParam *param, gint64 block,
                        gint64 n_blocks, GError **error)
{
  PeftConfig *config = adapter->config;

  self->param = param;
  self->block = block;
  self->n_blocks = n_blocks;
  self->shared = peft_config_get_boolean (config, "block_share");
  self->neumann = peft_config_get_boolean (config, "use_cayley_neumann");
  self->n_terms = (guint) peft_config_get_int (config, "num_cayley_neumann_terms");
  self->constrained = peft_config_get_boolean (config, "coft");
  /* Above zero, so that nothing is divided by it. */
  self->radius = MAX (peft_config_get_double (config, "eps") / sqrt ((double) param->shape[0]), 1e-30);
  self->constants = get_constants (adapter, block, error);
  return self->constants != NULL;
}

/* ---- On the tape --------------------------------------------------------------------------- */

/* w, or w scaled down to the radius; the gradient is that of the result, as if the parameter itself had been
 * changed. */
static PeftVar *
get_projected (const PeftOftRotation *self, PeftTape *tape)
{
  PeftVar *w = peft_tape_param (tape, self->param);
  const gint64 one[2] = { 1, 1 };

  if (!self->constrained)
    return w;
  g_autoptr (PeftVar) own = w;
  g_autoptr (PeftVar) values = peft_nn_detach (tape, own);
  g_autoptr (PeftVar) half = peft_nn_reduce (tape, PEFT_REDUCE_NORM, values, 2);
  g_autoptr (PeftVar) norm = peft_nn_scale (tape, half, G_SQRT2);
  g_autoptr (PeftTensor) limit = peft_tape_alloc (tape, tape->backend->real, 2, one);
  const PeftFillParams fill = { .x = limit->view, .value = self->radius };

  peft_tape_run (tape, PEFT_KERNEL_FILL, &fill);
  /* max (norm, radius) = (norm + radius + |norm − radius|) / 2 */
  g_autoptr (PeftVar) radius = peft_tape_constant (tape, limit);
  g_autoptr (PeftVar) sum = peft_nn_add (tape, norm, radius);
  g_autoptr (PeftVar) difference = peft_nn_sub (tape, norm, radius);
  g_autoptr (PeftVar) distance = peft_nn_unary (tape, PEFT_UNARY_ABS, difference);
  g_autoptr (PeftVar) twice = peft_nn_add (tape, sum, distance);
  g_autoptr (PeftVar) largest = peft_nn_scale (tape, twice, 0.5);
  g_autoptr (PeftVar) factor = peft_nn_div (tape, radius, largest);
  g_autoptr (PeftVar) projected = peft_nn_mul (tape, values, factor);
  g_autoptr (PeftVar) change = peft_nn_sub (tape, projected, values);
  return peft_nn_add (tape, own, change);
}

/* Q [n, b, b] */
static PeftVar *
form_skew (const PeftOftRotation *self, PeftTape *tape)
{
  static const guint swapped[2] = { 1, 0 };
  const gint64 shape[3] = { self->param->shape[0], self->block, self->block };
  g_autoptr (PeftVar) w = get_projected (self, tape);
  g_autoptr (PeftVar) columns = peft_nn_permute (tape, w, swapped);
  g_autoptr (PeftVar) table = peft_nn_contiguous (tape, columns);
  g_autoptr (PeftVar) picked = peft_nn_gather_rows (tape, table, self->constants->index); /* [b b, n] */
  g_autoptr (PeftVar) turned = peft_nn_permute (tape, picked, swapped);
  g_autoptr (PeftVar) dense = peft_nn_contiguous (tape, turned);
  g_autoptr (PeftVar) full = peft_nn_reshape (tape, dense, 3, shape);
  g_autoptr (PeftVar) sign = peft_tape_constant (tape, self->constants->sign);

  return peft_nn_mul (tape, full, sign);
}

static PeftVar *
form_series (const PeftOftRotation *self, PeftTape *tape, PeftVar *q, PeftVar *identity)
{
  g_autoptr (PeftVar) power = peft_var_ref (q);
  PeftVar *r;

  if (self->n_terms < 2)
    {
      g_autoptr (PeftVar) none = peft_nn_scale (tape, q, 0);
      return peft_nn_add (tape, none, identity);
    }
  g_autoptr (PeftVar) twice = peft_nn_scale (tape, q, 2);
  r = peft_nn_add (tape, twice, identity);
  /* peft adds 2Q² and Q³ for three terms as for four. */
  for (guint i = 2; self->n_terms > 2 && i < MAX (self->n_terms, 4); i++)
    {
      g_autoptr (PeftVar) lower = g_steal_pointer (&power);
      g_autoptr (PeftVar) before = r;
      g_autoptr (PeftVar) term = NULL;

      power = peft_nn_matmul (tape, lower, q, FALSE, FALSE);
      term = peft_nn_scale (tape, power, i == MAX (self->n_terms, 4) - 1 ? 1 : 2);
      r = peft_nn_add (tape, before, term);
    }
  return r;
}

static PeftVar *
form_rotation (const PeftOftRotation *self, PeftTape *tape)
{
  g_autoptr (PeftVar) q = form_skew (self, tape);
  g_autoptr (PeftVar) identity = peft_tape_constant (tape, self->constants->identity);

  if (self->neumann)
    return form_series (self, tape, q, identity);
  /* The two factors commute. */
  g_autoptr (PeftVar) none = peft_nn_scale (tape, q, -1);
  g_autoptr (PeftVar) minus = peft_nn_add (tape, none, identity);
  g_autoptr (PeftVar) plus = peft_nn_add (tape, q, identity);
  return peft_nn_solve (tape, plus, minus);
}

PeftVar *
peft_oft_rotate (const PeftOftRotation *self, PeftTape *tape, PeftVar *x)
{
  static const guint order[3] = { 1, 0, 2 };
  const gint64 rows = peft_var_shape (x)[0], b = self->block;
  const gint64 split[3] = { rows, self->n_blocks, b };
  const gint64 flat[2] = { rows, self->n_blocks * b };
  g_autoptr (PeftVar) r = form_rotation (self, tape);
  g_autoptr (PeftVar) input = peft_nn_contiguous (tape, x);

  if (self->shared)
    {
      const gint64 all[2] = { rows * self->n_blocks, b };
      const gint64 square[2] = { b, b };
      g_autoptr (PeftVar) blocks = peft_nn_reshape (tape, input, 2, all);
      g_autoptr (PeftVar) matrix = peft_nn_reshape (tape, r, 2, square);
      g_autoptr (PeftVar) turned = peft_nn_matmul (tape, blocks, matrix, FALSE, FALSE);

      return peft_nn_reshape (tape, turned, 2, flat);
    }
  g_autoptr (PeftVar) parts = peft_nn_reshape (tape, input, 3, split);
  g_autoptr (PeftVar) blocks = peft_nn_permute (tape, parts, order); /* [blocks, rows, b] */
  g_autoptr (PeftVar) turned = peft_nn_matmul (tape, blocks, r, FALSE, FALSE);
  g_autoptr (PeftVar) back = peft_nn_permute (tape, turned, order);
  g_autoptr (PeftVar) dense = peft_nn_contiguous (tape, back);
  return peft_nn_reshape (tape, dense, 2, flat);
}

/* ---- On the host --------------------------------------------------------------------------- */

static gboolean
project (const PeftOftRotation *self, float *values)
{
  gsize n = (gsize) self->param->shape[1];
  gboolean changed = FALSE;

  for (gint64 i = 0; self->constrained && i < self->param->shape[0]; i++)
    {
      float *w = values + (gsize) i * n;
      double sum = 0, norm;

      for (gsize j = 0; j < n; j++)
        sum += (double) w[j] * w[j];
      norm = sqrt (2 * sum);
      if (norm <= self->radius)
        continue;
      changed = TRUE;
      for (gsize j = 0; j < n; j++)
        w[j] = (float) (w[j] * self->radius / norm);
    }
  return changed;
}

void
peft_oft_rotation_project (const PeftOftRotation *self)
{
  g_autofree float *values = NULL;

  if (!self->constrained)
    return;
  values = peft_param_dup_values (self->param);
  if (project (self, values))
    peft_param_upload (self->param, values);
}

static void
multiply (const double *a, const double *b, double *out, gsize n)
{
  for (gsize i = 0; i < n; i++)
    for (gsize j = 0; j < n; j++)
      {
        double sum = 0;

        for (gsize k = 0; k < n; k++)
          sum += a[i * n + k] * b[k * n + j];
        out[i * n + j] = sum;
      }
}

/* r = (I + q)⁻¹ (I − q) by elimination without pivoting: I + q has a positive definite symmetric part. */
static void
solve_cayley (const double *q, double *r, gsize n)
{
  g_autofree double *left = g_new (double, n *n);

  for (gsize i = 0; i < n * n; i++)
    {
      double unit = i % (n + 1) == 0;

      left[i] = unit + q[i];
      r[i] = unit - q[i];
    }
  for (gsize p = 0; p < n; p++)
    for (gsize i = 0; i < n; i++)
      {
        double factor = left[i * n + p] / left[p * n + p];

        if (i == p)
          continue;
        for (gsize j = 0; j < n; j++)
          {
            left[i * n + j] -= factor * left[p * n + j];
            r[i * n + j] -= factor * r[p * n + j];
          }
      }
  for (gsize i = 0; i < n; i++)
    for (gsize j = 0; j < n; j++)
      r[i * n + j] /= left[i * n + i];
}

static void
sum_series (const PeftOftRotation *self, const double *q, double *r, gsize n)
{
  g_autofree double *power = g_memdup2 (q, n * n * sizeof *q);
  g_autofree double *next = g_new (double, n *n);
  guint last = MAX (self->n_terms, 4) - 1;

  for (gsize i = 0; i < n * n; i++)
    r[i] = (i % (n + 1) == 0) + (self->n_terms > 1 ? 2 * q[i] : 0);
  for (guint t = 2; self->n_terms > 2 && t <= last; t++)
    {
      multiply (power, q, next, n);
      memcpy (power, next, n * n * sizeof *power);
      for (gsize i = 0; i < n * n; i++)
        r[i] += (t == last ? 1 : 2) * power[i];
    }
}

double *
peft_oft_rotation_read (const PeftOftRotation *self)
{
  gsize b = (gsize) self->block, n = (gsize) self->param->shape[0];
  gsize n_elements = (gsize) self->param->shape[1];
  g_autofree float *values = peft_param_dup_values (self->param);
  g_autofree double *q = g_new0 (double, b *b);
  double *out = g_new (double, n *b *b);

  project (self, values);
  for (gsize m = 0; m < n; m++)
    {
      const float *element = values + m * n_elements;

      for (gsize i = 0; i < b; i++)
        for (gsize j = i + 1; j < b; j++, element++)
          {
            q[i * b + j] = *element;
            q[j * b + i] = -*element;
          }
      if (self->neumann)
        sum_series (self, q, out + m * b * b, b);
      else
        solve_cayley (q, out + m * b * b, b);
    }
  return out;
}
