/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

#include "base/peft-error.h"
#include "methods/peft-lora-private.h"

/* DoRA (Liu et al., "DoRA: Weight-decomposed low-rank adaptation", arXiv:2402.09353):
 *   y = g ⊙ (W + s · B A) x + bias,  g = m / n,  n = ‖W + s · B A‖ of each output's row
 * m is trained; n follows the weights but counts as a constant in the gradient (section 4.3 there). B A is never built:
 *   n² = ‖W‖² + 2 s · Σ (W Aᵀ ⊙ B) + s² · Σ (B (A Aᵀ) ⊙ B)
 * which also serves for quantised W. An embedding's rows are those of its transposed table. */

/* g, [1, out] */
static PeftVar *
get_gain (PeftLoraHook *self, PeftTape *tape, PeftVar *factor_a, PeftVar *factor_b)
{
  static const guint swapped[2] = { 1, 0 };
  const gint64 row[2] = { 1, self->slot->out_features };
  gboolean turned = self->slot->conv1d || self->slot->kind == PEFT_SLOT_EMBEDDING;
  g_autoptr (PeftVar) a = peft_nn_detach (tape, factor_a);
  g_autoptr (PeftVar) b = peft_nn_detach (tape, factor_b);
  g_autoptr (PeftVar) weight = peft_slot_weight (self->slot, tape);
  g_autoptr (PeftVar) frozen = peft_nn_detach (tape, weight);
  g_autoptr (PeftVar) projected = peft_nn_linear (tape, a, frozen, NULL, turned); /* [r, out] */
  g_autoptr (PeftVar) columns = peft_nn_permute (tape, b, swapped);
  g_autoptr (PeftVar) products = peft_nn_mul (tape, projected, columns);
  g_autoptr (PeftVar) cross = peft_nn_reduce (tape, PEFT_REDUCE_SUM, products, 1u << 0);
  g_autoptr (PeftVar) gram = peft_nn_matmul (tape, a, a, FALSE, TRUE);
  g_autoptr (PeftVar) mixed = peft_nn_matmul (tape, b, gram, FALSE, FALSE);
  g_autoptr (PeftVar) squares = peft_nn_mul (tape, mixed, b);
  g_autoptr (PeftVar) sums = peft_nn_reduce (tape, PEFT_REDUCE_SUM, squares, 1u << 1);
  g_autoptr (PeftVar) own = peft_nn_reshape (tape, sums, 2, row);
  g_autoptr (PeftVar) base = peft_tape_constant (tape, self->row_squares);
  g_autoptr (PeftVar) scaled_cross = peft_nn_scale (tape, cross, 2 * self->scale);
  g_autoptr (PeftVar) scaled_own = peft_nn_scale (tape, own, self->scale * self->scale);
  g_autoptr (PeftVar) part = peft_nn_add (tape, base, scaled_cross);
  g_autoptr (PeftVar) total = peft_nn_add (tape, part, scaled_own);
  g_autoptr (PeftVar) norm = peft_nn_unary (tape, PEFT_UNARY_SQRT, total);
  g_autoptr (PeftVar) magnitude = peft_tape_param (tape, self->magnitude);
  g_autoptr (PeftVar) wide = peft_nn_reshape (tape, magnitude, 2, row);

  return peft_nn_div (tape, wide, norm);
}

/* y + weight · (changed - base); y is consumed. */
static PeftVar *
add_change (PeftTape *tape, PeftVar *y, PeftVar *changed, PeftVar *base, double weight)
{
  g_autoptr (PeftVar) old = y;
  g_autoptr (PeftVar) change = peft_nn_sub (tape, changed, base);
  g_autoptr (PeftVar) scaled = peft_nn_scale (tape, change, weight);

  return peft_nn_add (tape, old, scaled);
}

/* z ⊙ g + (1 - g) ⊙ bias: the bias in z keeps its size. */
static PeftVar *
scale_outputs (PeftTape *tape, PeftVar *z, PeftVar *gain, PeftVar *bias)
{
  PeftVar *out = peft_nn_mul (tape, z, gain);

  if (bias == NULL)
    return out;
  g_autoptr (PeftVar) scaled = out;
  g_autoptr (PeftVar) lost = peft_nn_mul (tape, bias, gain);
  g_autoptr (PeftVar) rest = peft_nn_sub (tape, bias, lost);
  return peft_nn_add (tape, scaled, rest);
}

PeftVar *
peft_lora_dora_after (PeftLoraHook *self, PeftTape *tape, PeftVar *x, PeftVar *y)
{
  PeftSlot *slot = self->slot;
  g_autoptr (PeftVar) a = NULL;
  g_autoptr (PeftVar) b = NULL;
  g_autoptr (PeftVar) gain = NULL;
  g_autoptr (PeftVar) base = NULL;
  g_autoptr (PeftVar) z = NULL;
  g_autoptr (PeftVar) bias = NULL;
  g_autoptr (PeftVar) changed = NULL;

  peft_lora_get_factors (self, tape, &a, &b);
  gain = get_gain (self, tape, a, b);
  if (peft_lora_drops (self, tape))
    {
      /* peft drops what the whole scaled part sees, the base's share too. */
      g_autoptr (PeftVar) dropped = peft_nn_dropout (tape, x, self->dropout, self->stream);
      g_autoptr (PeftVar) weight = peft_slot_weight (slot, tape);

      base = peft_nn_linear (tape, dropped, weight, NULL, slot->conv1d);
      if (self->start_a != NULL)
        {
          g_autoptr (PeftVar) start_a = peft_tape_param (tape, self->start_a);
          g_autoptr (PeftVar) start_b = peft_tape_param (tape, self->start_b);

          /* y holds W x, from which the changed base follows. */
          y = peft_lora_add (tape, y, x, start_a, start_b, NULL, self->scale);
          base = peft_lora_add (tape, g_steal_pointer (&base), dropped, start_a, start_b, NULL,
                                self->scale);
          g_clear_pointer (&a, peft_var_unref);
          g_clear_pointer (&b, peft_var_unref);
          a = peft_tape_param (tape, self->a);
          b = peft_tape_param (tape, self->b);
        }
      z = peft_lora_add (tape, peft_var_ref (base), dropped, a, b, NULL, self->scale);
      changed = peft_nn_mul (tape, z, gain);
      return add_change (tape, y, changed, base, self->parent.weight);
    }
  bias = peft_slot_bias (slot, tape);
  if (self->parent.weight == 1.0)
    {
      z = peft_lora_add (tape, y, x, a, b, NULL, self->scale);
      return scale_outputs (tape, z, gain, bias);
    }
  z = peft_lora_add (tape, peft_var_ref (y), x, a, b, NULL, self->scale);
  changed = scale_outputs (tape, z, gain, bias);
  base = peft_var_ref (y);
  return add_change (tape, y, changed, base, self->parent.weight);
}

PeftVar *
peft_lora_dora_after_embedding (PeftLoraHook *self, PeftTape *tape, PeftTensor *ids, PeftVar *y)
{
  g_autoptr (PeftVar) a = peft_tape_param (tape, self->a);
  g_autoptr (PeftVar) b = peft_tape_param (tape, self->b);
  g_autoptr (PeftVar) gain = get_gain (self, tape, a, b);
  g_autoptr (PeftVar) delta = peft_lora_embed (self, tape, ids, a, b, self->scale);
  g_autoptr (PeftVar) sum = peft_nn_add (tape, y, delta);
  g_autoptr (PeftVar) changed = peft_nn_mul (tape, sum, gain);
  g_autoptr (PeftVar) base = NULL;

  if (self->parent.weight == 1.0)
    {
      peft_var_unref (y);
      return g_steal_pointer (&changed);
    }
  base = peft_var_ref (y);
  return add_change (tape, y, changed, base, self->parent.weight);
}

/* ---- On the host --------------------------------------------------------------------------- */

/* Where value (output o, input i) of a weight lies as the slot stores it. */
static gsize
value_index (PeftSlot *slot, gsize o, gsize i)
{
  return slot->conv1d || slot->kind == PEFT_SLOT_EMBEDDING ? i * (gsize) slot->out_features + o
                                                           : o * (gsize) slot->in_features + i;
}

gboolean
peft_lora_dora_merge (PeftLoraHook *self, float *weight, double factor, GError **error)
{
  PeftSlot *slot = self->slot;
  gsize n_in = (gsize) slot->in_features, n_out = (gsize) slot->out_features;
  g_autofree float *magnitude = peft_param_dup_values (self->magnitude);
  g_autofree float *changed = g_try_new (float, n_in *n_out);
  g_autofree float *turned = NULL;
  g_autofree float *base = peft_lora_read_weight (self, error); /* [out, in] */

  if (base == NULL)
    return FALSE;
  if (changed == NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY, _ ("no memory for %zu values"),
                   n_in * n_out);
      return FALSE;
    }
  /* The norm is that of the base and this adapter alone, as in the forward pass. */
  if (value_index (slot, 0, 1) != 1)
    {
      turned = peft_lora_transpose (base, n_out, n_in, error);
      if (turned == NULL)
        return FALSE;
    }
  else
    turned = g_steal_pointer (&base);
  memcpy (changed, weight, n_in * n_out * sizeof *changed);
  if (!peft_lora_add_product (self, changed, self->scale, error)
      || !peft_lora_add_product (self, turned, self->scale, error))
    return FALSE;
  for (gsize o = 0; o < n_out; o++)
    {
      double squares = 0, gain;

      for (gsize i = 0; i < n_in; i++)
        {
          double value = turned[value_index (slot, o, i)];
          squares += value * value;
        }
      gain = magnitude[o] / sqrt (squares);
      for (gsize i = 0; i < n_in; i++)
        {
          gsize at = value_index (slot, o, i);
          weight[at] += (float) (factor * (gain * changed[at] - weight[at]));
        }
    }
  return TRUE;
}

void
peft_lora_dora_declare (PeftLoraHook *self)
{
  self->magnitude = peft_adapter_add_param (
      self->adapter, self->slot, "lora_magnitude_vector", 1, &self->slot->out_features, TRUE, NULL);
  self->magnitude->name = g_strconcat (self->magnitude->key, ".weight", NULL);
}

gboolean
peft_lora_dora_prepare (PeftLoraHook *self, const float *weight, GError **error)
{
  gsize n_in = (gsize) self->slot->in_features, n_out = (gsize) self->slot->out_features;
  gsize r = (gsize) self->rank;
  const gint64 shape[2] = { 1, self->slot->out_features };
  g_autofree float *squares = g_new (float, n_out);
  g_autofree float *norms = g_new (float, n_out);
  g_autofree float *a = peft_param_dup_values (self->a);
  g_autofree float *b = peft_param_dup_values (self->b);
  g_autofree double *row = g_new (double, n_in);

  for (gsize o = 0; o < n_out; o++)
    {
      double sum = 0, changed = 0;

      for (gsize i = 0; i < n_in; i++)
        {
          row[i] = weight[o * n_in + i];
          sum += row[i] * row[i];
        }
      squares[o] = (float) sum;
      if (self->adapter->loading)
        continue;
      /* With a start that takes a part out, B A - B₀ A₀ is zero now. */
      for (gsize k = 0; k < r && self->start_a == NULL; k++)
        if (b[o * r + k] != 0.0f)
          for (gsize i = 0; i < n_in; i++)
            row[i] += self->scale * b[o * r + k] * a[k * n_in + i];
      for (gsize i = 0; i < n_in; i++)
        changed += row[i] * row[i];
      norms[o] = (float) sqrt (changed);
    }
  self->row_squares = peft_tensor_new_on (self->adapter->core->backend,
                                          self->adapter->core->backend->real, 2, shape, error);
  if (self->row_squares == NULL)
    return FALSE;
  peft_tensor_upload_f32 (self->row_squares, squares);
  if (!self->adapter->loading)
    peft_param_upload (self->magnitude, norms);
  return TRUE;
}
