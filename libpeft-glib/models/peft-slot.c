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
  if (self->weight_param != NULL)
    return peft_tape_param (tape, self->weight_param);
  return peft_tape_constant (tape, self->weight);
}

PeftVar *
peft_slot_bias (PeftSlot *self, PeftTape *tape)
{
  if (self->bias_param != NULL)
    return peft_tape_param (tape, self->bias_param);
  return self->bias != NULL ? peft_tape_constant (tape, self->bias) : NULL;
}

PeftVar *
peft_slot_linear (PeftSlot *self, PeftTape *tape, PeftVar *x)
{
  g_autoptr (PeftVar) input = peft_var_ref (x);
  g_autoptr (PeftVar) weight = peft_slot_weight (self, tape);
  g_autoptr (PeftVar) bias = peft_slot_bias (self, tape);
  PeftVar *y;

  for (guint i = 0; i < self->hooks->len; i++)
    {
      PeftSlotHook *hook = g_ptr_array_index (self->hooks, i);

      if (hook->klass->before != NULL)
        {
          PeftVar *changed = hook->klass->before (hook, tape, self, input);
          peft_var_unref (input);
          input = changed;
        }
    }
  y = peft_nn_linear (tape, input, weight, bias, self->conv1d);
  for (guint i = 0; i < self->hooks->len; i++)
    {
      PeftSlotHook *hook = g_ptr_array_index (self->hooks, i);

      if (hook->klass->after != NULL)
        y = hook->klass->after (hook, tape, self, input, y);
    }
  return y;
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
        y = hook->klass->after_embedding (hook, tape, self, ids, y);
    }
  return y;
}
