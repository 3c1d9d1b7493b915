/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"
#include "methods/peft-adapter-private.h"
#include "methods/peft-lora-private.h"

/* What LoRA does in a slot, forward and merged. */

gboolean
peft_lora_drops (PeftLoraHook *self, PeftTape *tape)
{
  return self->dropout > 0 && tape->options.training;
}

void
peft_lora_get_factors (PeftLoraHook *self, PeftTape *tape, PeftVar **a, PeftVar **b)
{
  *a = peft_tape_param (tape, self->a);
  *b = peft_tape_param (tape, self->b);
  if (self->start_a == NULL)
    return;
  g_autoptr (PeftVar) own_a = *a;
  g_autoptr (PeftVar) own_b = *b;
  g_autoptr (PeftVar) start_a = peft_tape_param (tape, self->start_a);
  g_autoptr (PeftVar) start_b = peft_tape_param (tape, self->start_b);
  PeftVar *parts_a[2] = { own_a, start_a }, *parts_b[2] = { own_b, start_b };

  *a = peft_nn_concat (tape, parts_a, 2, 0);
  *b = peft_nn_concat (tape, parts_b, 2, 1);
}

PeftVar *
peft_lora_add (PeftTape *tape,
               PeftVar *y,
               PeftVar *x,
               PeftVar *a,
               PeftVar *b,
               PeftVar *bias,
               double scale)
{
  PeftVar *out = peft_nn_low_rank (tape, y, x, a, b, bias, scale);

  peft_var_unref (y);
  return out;
}

static PeftVar *
lora_after (PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot, PeftVar *x, PeftVar *y)
{
  PeftLoraHook *self = (PeftLoraHook *) hook;
  double scale = self->scale * hook->weight;
  g_autoptr (PeftVar) a = NULL;
  g_autoptr (PeftVar) b = NULL;
  g_autoptr (PeftVar) bias = NULL;
  g_autoptr (PeftVar) dropped = NULL;

  if (self->magnitude != NULL)
    return peft_lora_dora_after (self, tape, x, y);
  if (peft_lora_drops (self, tape) && self->start_a != NULL)
    {
      /* Dropout is of what is trained, not of the base. */
      g_autoptr (PeftVar) start_a = peft_tape_param (tape, self->start_a);
      g_autoptr (PeftVar) start_b = peft_tape_param (tape, self->start_b);

      y = peft_lora_add (tape, y, x, start_a, start_b, NULL, scale);
      a = peft_tape_param (tape, self->a);
      b = peft_tape_param (tape, self->b);
    }
  else
    peft_lora_get_factors (self, tape, &a, &b);
  bias = self->bias != NULL ? peft_tape_param (tape, self->bias) : NULL;
  dropped = peft_nn_dropout (tape, x, self->dropout, self->stream);
  return peft_lora_add (tape, y, dropped, a, b, bias, scale);
}

PeftVar *
peft_lora_embed (PeftLoraHook *self,
                 PeftTape *tape,
                 PeftTensor *ids,
                 PeftVar *a,
                 PeftVar *b,
                 double scale)
{
  static const guint swapped[2] = { 1, 0 };
  g_autoptr (PeftVar) columns = peft_nn_permute (tape, a, swapped);
  g_autoptr (PeftVar) table = peft_nn_contiguous (tape, columns); /* [rows, r] */
  g_autoptr (PeftVar) picked = peft_nn_gather_rows (tape, table, ids);
  g_autoptr (PeftVar) delta = peft_nn_matmul (tape, picked, b, FALSE, TRUE);

  return peft_nn_scale (tape, delta, scale * self->embedding_scale);
}

static PeftVar *
lora_after_embedding (
    PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot, PeftTensor *ids, PeftVar *y)
{
  PeftLoraHook *self = (PeftLoraHook *) hook;

  if (self->magnitude != NULL)
    return peft_lora_dora_after_embedding (self, tape, ids, y);
  g_autoptr (PeftVar) a = peft_tape_param (tape, self->a);
  g_autoptr (PeftVar) b = peft_tape_param (tape, self->b);
  g_autoptr (PeftVar) scaled
      = peft_lora_embed (self, tape, ids, a, b, self->scale * hook->weight);
  PeftVar *out = peft_nn_add (tape, y, scaled);

  peft_var_unref (y);
  return out;
}

/* ---- On the host --------------------------------------------------------------------------- */

float *
peft_lora_transpose (const float *values, gsize rows, gsize columns, GError **error)
{
  float *out = g_try_new (float, rows *columns);

  if (out == NULL)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY, _ ("no memory for %zu values"),
                 rows * columns);
  for (gsize i = 0; out != NULL && i < rows; i++)
    for (gsize j = 0; j < columns; j++)
      out[j * rows + i] = values[i * columns + j];
  return out;
}

static gboolean
is_turned (PeftSlot *slot)
{
  return slot->kind == PEFT_SLOT_EMBEDDING || slot->conv1d;
}

float *
peft_lora_read_weight (PeftLoraHook *self, GError **error)
{
  PeftSlot *slot = self->slot;
  PeftAdapterOverride *override = peft_adapter_find_override (self->adapter, slot);
  g_autofree float *stored
      = peft_slot_read (slot, slot->weight, override != NULL ? override->weight : NULL, error);

  if (stored == NULL || !is_turned (slot))
    return g_steal_pointer (&stored);
  return peft_lora_transpose (stored, (gsize) slot->in_features, (gsize) slot->out_features,
                              error);
}

/* weight [n_rows, n_columns] += scale · left · right, left [n_rows, r], right [r, n_columns] */
static void
add_product (float *weight,
             const float *left,
             const float *right,
             gsize n_rows,
             gsize n_columns,
             gsize r,
             double scale)
{
  g_autofree float *row = g_new (float, n_columns);

  for (gsize i = 0; i < n_rows; i++)
    {
      memset (row, 0, n_columns * sizeof *row);
      for (gsize k = 0; k < r; k++)
        {
          float factor = left[i * r + k];
          const float *values = right + k * n_columns;

          for (gsize j = 0; j < n_columns; j++)
            row[j] += factor * values[j];
        }
      for (gsize j = 0; j < n_columns; j++)
        weight[i * n_columns + j] += (float) scale * row[j];
    }
}

static gboolean
add_factors (PeftLoraHook *self,
             PeftParam *param_a,
             PeftParam *param_b,
             float *weight,
             double scale,
             GError **error)
{
  gsize n_in = (gsize) self->slot->in_features, n_out = (gsize) self->slot->out_features;
  gsize r = (gsize) param_a->shape[0];
  g_autofree float *a = peft_param_dup_values (param_a);
  g_autofree float *b = peft_param_dup_values (param_b);

  if (is_turned (self->slot))
    {
      /* (B A)ᵀ = Aᵀ Bᵀ */
      g_autofree float *left = peft_lora_transpose (a, r, n_in, error);
      g_autofree float *right = left != NULL ? peft_lora_transpose (b, n_out, r, error) : NULL;

      if (right == NULL)
        return FALSE;
      add_product (weight, left, right, n_in, n_out, r, scale);
    }
  else
    add_product (weight, b, a, n_out, n_in, r, scale);
  return TRUE;
}

gboolean
peft_lora_add_product (PeftLoraHook *self, float *weight, double scale, GError **error)
{
  return add_factors (self, self->a, self->b, weight, scale, error)
         && (self->start_a == NULL
             || add_factors (self, self->start_a, self->start_b, weight, scale, error));
}

static gboolean
lora_merge (
    PeftSlotHook *hook, PeftSlot *slot, float *weight, float **bias, double factor, GError **error)
{
  PeftLoraHook *self = (PeftLoraHook *) hook;
  double scale = self->scale * hook->weight * factor;

  if (self->magnitude != NULL)
    return peft_lora_dora_merge (self, weight, hook->weight * factor, error);
  if (!peft_lora_add_product (self, weight, scale, error))
    return FALSE;
  if (self->bias != NULL)
    {
      g_autofree float *values = peft_param_dup_values (self->bias);

      if (*bias == NULL)
        *bias = g_new0 (float, (gsize) slot->out_features);
      for (gint64 i = 0; i < slot->out_features; i++)
        (*bias)[i] += (float) (scale * values[i]);
    }
  return TRUE;
}

static void
lora_free (PeftSlotHook *hook)
{
  PeftLoraHook *self = (PeftLoraHook *) hook;

  g_clear_pointer (&self->row_squares, peft_tensor_unref);
  g_free (self);
}

const PeftSlotHookClass peft_lora_hook_class = {
  .after = lora_after,
  .after_embedding = lora_after_embedding,
  .merge = lora_merge,
  .free = lora_free,
};

PeftLoraHook *
peft_lora_find_hook (PeftAdapter *adapter, PeftSlot *slot)
{
  for (guint i = 0; i < adapter->hooks->len; i++)
    {
      PeftSlotHook *hook = adapter->hooks->pdata[i];

      if (adapter->hook_slots->pdata[i] == slot && hook->klass == &peft_lora_hook_class)
        return (PeftLoraHook *) hook;
    }
  return NULL;
}
