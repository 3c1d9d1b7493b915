/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "models/peft-slot.h"

void
peft_slot_free (PeftSlot *self)
{
  g_free (self->path);
  g_clear_pointer (&self->weight, peft_tensor_unref);
  g_clear_pointer (&self->bias, peft_tensor_unref);
  g_ptr_array_unref (self->hooks);
  g_free (self);
}

PeftVar *
peft_slot_weight (PeftSlot *self, PeftTape *tape)
{
  if (self->merged_weight != NULL)
    return peft_tape_constant (tape, self->merged_weight);
  if (self->weight_param != NULL)
    return peft_tape_param (tape, self->weight_param);
  return peft_tape_constant (tape, self->weight);
}

PeftVar *
peft_slot_bias (PeftSlot *self, PeftTape *tape)
{
  if (self->merged_bias != NULL)
    return peft_tape_constant (tape, self->merged_bias);
  if (self->bias_param != NULL)
    return peft_tape_param (tape, self->bias_param);
  return self->bias != NULL ? peft_tape_constant (tape, self->bias) : NULL;
}

/* ---- Hooks --------------------------------------------------------------------------------- */

typedef PeftVar *(*PartFunc) (PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot, gpointer input,
                              PeftVar *y);

/* Rows of the batch that belong to a hook. */
static void
find_rows (PeftSlotHook *hook, gint64 n_rows, gint64 *start, gint64 *length)
{
  gint64 line_rows = hook->of_lines > 0 ? n_rows / hook->of_lines : 0;

  *start = hook->line * line_rows;
  *length = hook->of_lines > 0 ? hook->n_lines * line_rows : n_rows;
}

/* Puts `part` in the place of `y`'s rows from `start` on. Both are consumed. */
static PeftVar *
replace_rows (PeftTape *tape, PeftVar *y, PeftVar *part, gint64 start)
{
  gint64 n = peft_var_shape (y)[0], length = peft_var_shape (part)[0];
  PeftVar *parts[3];
  guint n_parts = 0;
  PeftVar *out;

  if (start > 0)
    parts[n_parts++] = peft_nn_slice (tape, y, 0, 0, start);
  parts[n_parts++] = part;
  if (start + length < n)
    parts[n_parts++] = peft_nn_slice (tape, y, 0, start + length, n - start - length);
  out = peft_nn_concat (tape, parts, n_parts, 0);
  for (guint i = 0; i < n_parts; i++)
    peft_var_unref (parts[i]);
  peft_var_unref (y);
  return out;
}

static PeftVar *
run_before (PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot, PeftVar *x)
{
  gint64 start, length;
  PeftVar *changed;

  find_rows (hook, peft_var_shape (x)[0], &start, &length);
  if (length == peft_var_shape (x)[0])
    {
      changed = hook->klass->before (hook, tape, slot, x);
      peft_var_unref (x);
      return changed;
    }
  if (length == 0)
    return x;
  g_autoptr (PeftVar) rows = peft_nn_slice (tape, x, 0, start, length);
  changed = hook->klass->before (hook, tape, slot, rows);
  return replace_rows (tape, x, changed, start);
}

static PeftVar *
run_after (PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot, PeftVar *x, PeftVar *y)
{
  gint64 start, length;
  PeftVar *rows;

  find_rows (hook, peft_var_shape (y)[0], &start, &length);
  if (length == peft_var_shape (y)[0])
    return hook->klass->after (hook, tape, slot, x, y);
  if (length == 0)
    return y;
  g_autoptr (PeftVar) input = peft_nn_slice (tape, x, 0, start, length);
  g_autoptr (PeftVar) view = peft_nn_slice (tape, y, 0, start, length);
  rows = peft_nn_contiguous (tape, view);
  rows = hook->klass->after (hook, tape, slot, input, rows);
  return replace_rows (tape, y, rows, start);
}

/* The sum of what hooks add to the weight; those of a mixed batch are left to add_delta. */
static PeftVar *
collect_delta (PeftSlot *self, PeftTape *tape)
{
  PeftVar *sum = NULL;

  for (guint i = 0; i < self->hooks->len; i++)
    {
      PeftSlotHook *hook = g_ptr_array_index (self->hooks, i);
      PeftVar *delta;

      if (hook->klass->delta == NULL || hook->of_lines > 0
          || (delta = hook->klass->delta (hook, tape, self)) == NULL)
        continue;
      if (sum != NULL)
        {
          g_autoptr (PeftVar) left = sum;
          g_autoptr (PeftVar) right = delta;

          sum = peft_nn_add (tape, left, right);
        }
      else
        sum = delta;
    }
  return sum;
}

/* y + x · ΔWᵀ for the hook's rows of a mixed batch. y is consumed. */
static PeftVar *
add_delta (PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot, PeftVar *x, PeftVar *y)
{
  gint64 start, length;

  find_rows (hook, peft_var_shape (y)[0], &start, &length);
  if (length == 0)
    return y;
  g_autoptr (PeftVar) delta = hook->klass->delta (hook, tape, slot);
  if (delta == NULL)
    return y;
  g_autoptr (PeftVar) input = peft_nn_slice (tape, x, 0, start, length);
  g_autoptr (PeftVar) old = peft_nn_slice (tape, y, 0, start, length);
  g_autoptr (PeftVar) part = peft_nn_matmul (tape, input, delta, FALSE, TRUE);
  PeftVar *rows = peft_nn_add (tape, old, part);
  return replace_rows (tape, y, rows, start);
}

PeftVar *
peft_slot_linear (PeftSlot *self, PeftTape *tape, PeftVar *x)
{
  g_autoptr (PeftVar) input = peft_var_ref (x);
  g_autoptr (PeftVar) weight = peft_slot_weight (self, tape);
  g_autoptr (PeftVar) bias = peft_slot_bias (self, tape);
  g_autoptr (PeftVar) delta = NULL;
  PeftVar *y;

  for (guint i = 0; i < self->hooks->len; i++)
    {
      PeftSlotHook *hook = g_ptr_array_index (self->hooks, i);

      if (hook->klass->before != NULL)
        input = run_before (hook, tape, self, input);
    }
  delta = collect_delta (self, tape);
  y = delta != NULL ? peft_nn_linear_delta (tape, input, weight, delta, bias, self->conv1d)
                    : peft_nn_linear (tape, input, weight, bias, self->conv1d);
  for (guint i = 0; i < self->hooks->len; i++)
    {
      PeftSlotHook *hook = g_ptr_array_index (self->hooks, i);

      if (hook->klass->delta != NULL && hook->of_lines > 0)
        y = add_delta (hook, tape, self, input, y);
      if (hook->klass->after != NULL)
        y = run_after (hook, tape, self, input, y);
    }
  return y;
}

PeftVar *
peft_slot_attention (PeftSlot *self, PeftTape *tape, PeftVar *q, PeftVar *y)
{
  for (guint i = 0; i < self->hooks->len; i++)
    {
      PeftSlotHook *hook = g_ptr_array_index (self->hooks, i);

      if (hook->klass->after_attention != NULL)
        y = hook->klass->after_attention (hook, tape, self, q, y);
    }
  return y;
}

/* ---- Embeddings ---------------------------------------------------------------------------- */

static PeftVar *
run_after_embedding (PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot, PeftTensor *ids,
                     PeftVar *y)
{
  gint64 start, length;
  PeftVar *rows;

  find_rows (hook, peft_var_shape (y)[0], &start, &length);
  if (length == peft_var_shape (y)[0])
    return hook->klass->after_embedding (hook, tape, slot, ids, y);
  if (length == 0)
    return y;
  PeftView part = peft_view_slice (&ids->view, 0, start, length);
  g_autoptr (PeftTensor) own = peft_tensor_derive (ids, &part);
  g_autoptr (PeftVar) view = peft_nn_slice (tape, y, 0, start, length);
  rows = peft_nn_contiguous (tape, view);
  rows = hook->klass->after_embedding (hook, tape, slot, own, rows);
  return replace_rows (tape, y, rows, start);
}

PeftVar *
peft_slot_embed (PeftSlot *self, PeftTape *tape, PeftTensor *ids, double scale)
{
  g_autoptr (PeftVar) table = peft_slot_weight (self, tape);
  PeftVar *y = peft_nn_embedding (tape, ids, table, scale);

  for (guint i = 0; i < self->hooks->len; i++)
    {
      PeftSlotHook *hook = g_ptr_array_index (self->hooks, i);

      if (hook->klass->after_embedding != NULL)
        y = run_after_embedding (hook, tape, self, ids, y);
    }
  return y;
}
