/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

#include "base/peft-error.h"
#include "methods/peft-adapter-private.h"
#include "methods/peft-config-private.h"
#include "methods/peft-lora-private.h"

/* ensure_weight_tying of LoRA's targets. The embedding [rows, width] has A [r, rows] and B [width, r]; the head over the
 * same weight has A' = Bᵀ and B' = Aᵀ. To peft these are four parameters in the memory of two: each gets its own gradient
 * and its own optimiser step, and both steps change the same numbers. Here the four have their own memory, and after
 * each step both pairs get the sum of the two changes. */

static gboolean
find_pair (PeftAdapter *adapter, PeftLoraHook **embedding, PeftLoraHook **head)
{
  PeftCore *core = adapter->core;

  if (!peft_config_get_boolean (adapter->config, "ensure_weight_tying") || core->head == NULL
      || !core->head->tied)
    return FALSE;
  *embedding = peft_lora_find_hook (adapter, core->embedding);
  *head = peft_lora_find_hook (adapter, core->head);
  return *embedding != NULL && *head != NULL;
}

/* The numbers before the step, in the checkpoints too. */
static PeftParam *
declare_before (PeftLoraHook *self, const char *suffix, PeftParam *factor)
{
  PeftParam *param
      = peft_adapter_add_param (self->adapter, self->slot, suffix, 2, factor->shape, FALSE, NULL);

  param->trainable = FALSE;
  param->saved = FALSE;
  return param;
}

gboolean
peft_lora_tie_head (PeftAdapter *adapter, GError **error)
{
  PeftCore *core = adapter->core;
  PeftLoraHook *embedding = NULL, *head = NULL;

  if (!peft_config_get_boolean (adapter->config, "ensure_weight_tying") || core->head == NULL
      || !core->head->tied || peft_lora_find_hook (adapter, core->embedding) == NULL)
    return TRUE;
  if (peft_lora_find_hook (adapter, core->head) == NULL)
    {
      PeftSlotHook *hook = adapter->method->attach (adapter, core->head, error);

      if (hook == NULL)
        return FALSE;
      g_ptr_array_add (adapter->hooks, hook);
      g_ptr_array_add (adapter->hook_slots, core->head);
    }
  find_pair (adapter, &embedding, &head);
  if (embedding->rank != head->rank)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("ensure_weight_tying: rank_pattern gives '%s' the rank %" PRId64 " and '%s' the rank %" PRId64 "; they must be the same"),
                   core->embedding->path, embedding->rank, core->head->path, head->rank);
      return FALSE;
    }
  if (peft_lora_changes_base (adapter->config) || head->bias != NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("ensure_weight_tying: with '%s' among the targets init_lora_weights must be true, false or "
                      "'gaussian'"),
                   core->embedding->path);
      return FALSE;
    }
  adapter->keeps_tied = embedding->scale == head->scale && embedding->magnitude == NULL;
  embedding->before_a = declare_before (embedding, "lora_before_A", embedding->a);
  embedding->before_b = declare_before (embedding, "lora_before_B", embedding->b);
  return TRUE;
}

/* to [columns, rows] = from [rows, columns], parameters of the same numbers */
static gboolean
copy_turned (PeftParam *from, PeftParam *to, GError **error)
{
  g_autofree float *values = peft_param_dup_values (from);
  g_autofree float *turned
      = peft_lora_transpose (values, (gsize) from->shape[0], (gsize) from->shape[1], error);

  if (turned != NULL)
    peft_param_upload (to, turned);
  return turned != NULL;
}

/* Start values: peft starts the head's factors, which are the embedding's, after them. */
gboolean
peft_lora_tie_prepare (PeftAdapter *adapter, GError **error)
{
  PeftLoraHook *embedding = NULL, *head = NULL;
  const PeftJson *init = peft_config_get_json (adapter->config, "init_lora_weights");
  gboolean random = peft_json_get_kind (init) == PEFT_JSON_BOOLEAN
                    && !peft_config_get_boolean (adapter->config, "init_lora_weights");

  if (adapter->loading || !find_pair (adapter, &embedding, &head))
    return TRUE;
  if (random)
    return copy_turned (embedding->a, head->b, error) && copy_turned (embedding->b, head->a, error);
  return copy_turned (head->a, embedding->b, error) && copy_turned (head->b, embedding->a, error);
}

void
peft_lora_tie_remember (PeftAdapter *adapter)
{
  PeftLoraHook *embedding = NULL, *head = NULL;

  if (!find_pair (adapter, &embedding, &head))
    return;
  g_autofree float *a = peft_param_dup_values (embedding->a);
  g_autofree float *b = peft_param_dup_values (embedding->b);
  peft_param_upload (embedding->before_a, a);
  peft_param_upload (embedding->before_b, b);
}

/* own [rows, columns] and turned [columns, rows] both become own + turnedᵀ - before. */
static void
add_changes (PeftParam *own, PeftParam *turned, PeftParam *before)
{
  gsize rows = (gsize) own->shape[0], columns = (gsize) own->shape[1];
  g_autofree float *a = peft_param_dup_values (own);
  g_autofree float *b = peft_param_dup_values (turned);
  g_autofree float *old = peft_param_dup_values (before);

  for (gsize i = 0; i < rows; i++)
    for (gsize j = 0; j < columns; j++)
      {
        gsize at = i * columns + j;

        a[at] += b[j * rows + i] - old[at];
        b[j * rows + i] = a[at];
      }
  peft_param_upload (own, a);
  peft_param_upload (turned, b);
  peft_param_upload (before, a);
}

void
peft_lora_tie_follow (PeftAdapter *adapter)
{
  PeftLoraHook *embedding = NULL, *head = NULL;

  if (!find_pair (adapter, &embedding, &head))
    return;
  add_changes (embedding->a, head->b, embedding->before_a);
  add_changes (embedding->b, head->a, embedding->before_b);
}
