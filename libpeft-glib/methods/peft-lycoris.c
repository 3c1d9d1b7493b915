/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "methods/peft-lycoris.h"

#include "methods/peft-config-private.h"

gboolean
peft_lycoris_validate (PeftConfig *config, GError **error)
{
  static const char *const fields[] = { "rank_dropout", "module_dropout" };

  for (guint i = 0; i < G_N_ELEMENTS (fields); i++)
    if (peft_config_get_double (config, fields[i]) >= 1.0)
      {
        g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                     _ ("%s: 1 leaves nothing to train; expected less"), fields[i]);
        return FALSE;
      }
  return TRUE;
}

gboolean
peft_lycoris_hook_init (PeftLycorisHook *self, const PeftSlotHookClass *klass, PeftAdapter *adapter,
                        PeftSlot *slot, gint64 *r, GError **error)
{
  double rank, alpha;

  if (slot->conv1d)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("%s is not for layers with transposed weights such as '%s'"),
                   adapter->method->name, slot->path);
      return FALSE;
    }
  if (!peft_adapter_lookup_number (adapter, "r", "rank_pattern", slot, &rank, error)
      || !peft_adapter_lookup_number (adapter, "alpha", "alpha_pattern", slot, &alpha, error))
    return FALSE;
  *r = (gint64) rank;
  self->parent.klass = klass;
  self->parent.weight = 1.0;
  self->scale = alpha / rank;
  self->rank_dropout = peft_config_get_double (adapter->config, "rank_dropout");
  self->module_dropout = peft_config_get_double (adapter->config, "module_dropout");
  self->stream = peft_adapter_stream (adapter, slot);
  return TRUE;
}

double
peft_lycoris_get_scale (PeftLycorisHook *self, PeftTape *tape)
{
  return peft_nn_takes_part (tape, self->module_dropout, self->stream)
             ? self->scale * self->parent.weight
             : 0;
}

PeftVar *
peft_lycoris_mask (PeftLycorisHook *self, PeftTape *tape, gint64 n, gboolean scaled)
{
  if (!tape->options.training || self->rank_dropout <= 0)
    return NULL;
  g_autoptr (PeftTensor) ones = peft_tape_alloc (tape, tape->backend->real, 1, &n);
  const PeftFillParams fill = { .x = ones->view, .value = 1 };

  peft_tape_run (tape, PEFT_KERNEL_FILL, &fill);
  g_autoptr (PeftVar) all = peft_tape_constant (tape, ones);
  /* Another stream than that of module dropout. */
  g_autoptr (PeftVar) kept = peft_nn_dropout (tape, all, self->rank_dropout, ~self->stream);
  if (!scaled)
    return peft_nn_scale (tape, kept, 1 - self->rank_dropout);
  g_autoptr (PeftVar) mean = peft_nn_reduce (tape, PEFT_REDUCE_MEAN, kept, 1);
  /* Changes no other mean than that of a mask that keeps nothing, where peft divides by zero. */
  const gint64 one = 1;
  g_autoptr (PeftTensor) least = peft_tape_alloc (tape, tape->backend->real, 1, &one);
  const PeftFillParams fill_least = { .x = least->view, .value = 1e-30 };

  peft_tape_run (tape, PEFT_KERNEL_FILL, &fill_least);
  g_autoptr (PeftVar) tiny = peft_tape_constant (tape, least);
  g_autoptr (PeftVar) divisor = peft_nn_add (tape, mean, tiny);
  return peft_nn_div (tape, kept, divisor);
}
