/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"
#include "base/peft-linalg.h"
#include "methods/peft-adapter-private.h"
#include "methods/peft-combine.h"
#include "methods/peft-config-private.h"
#include "methods/peft-lora-private.h"

/* What an adapter adds to the weights, as the product of two thin matrices: the first singular triples of the
 * difference (Eckart & Young 1936). The scale is 1. What it adds to the biases becomes the bias of B. */

typedef struct
{
  PeftSlot *slot;
  gsize rank;
  float *a, *b; /* [rank, in], [out, rank] */
  float *bias;  /* [out] what is added to the layer's bias; NULL: nothing */
} Converted;

static void
converted_free (gpointer data)
{
  Converted *self = data;

  g_free (self->a);
  g_free (self->b);
  g_free (self->bias);
  g_free (self);
}

static gboolean
check (PeftAdapter *adapter, double rank, GError **error)
{
  const char *message = NULL;

  if (!(rank > 0) || (rank > 1 && rank != (double) (gint64) rank))
    message = _ ("rank: expected a whole number from 1, or a share of the squared singular values below 1");
  else if (adapter->method == NULL || adapter->hooks->len == 0)
    message = _ ("only an adapter that changes weights can be converted to LoRA");
  else if (adapter->overrides->len > 0)
    message = _ ("an adapter that trains whole modules or biases cannot be converted to LoRA");
  if (message != NULL)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT, "%s: %s", adapter->name, message);
  return message == NULL;
}

/* What has been added to a bias, `before` NULL: to none; NULL: nothing. */
static float *
get_bias_difference (PeftSlot *slot, const float *before, const float *after)
{
  gsize n = (gsize) slot->out_features;
  g_autofree float *difference = NULL;
  gboolean any = FALSE;

  if (after == NULL)
    return NULL;
  difference = g_new (float, n);
  for (gsize i = 0; i < n; i++)
    {
      difference[i] = after[i] - (before != NULL ? before[i] : 0);
      any |= difference[i] != 0;
    }
  return any ? g_steal_pointer (&difference) : NULL;
}

/* The difference that a hook makes to the weight, [out, in], and to the bias (NULL: none). */
static float *
get_difference (PeftAdapter *adapter, PeftSlot *slot, PeftSlotHook *hook, float **bias_difference,
                GError **error)
{
  gsize n = (gsize) (slot->in_features * slot->out_features);
  g_autofree float *before = NULL;
  g_autofree float *after = NULL;
  g_autofree float *bias = NULL;
  g_autofree float *old_bias = NULL;

  if (hook->klass->merge == NULL || slot->kind != PEFT_SLOT_LINEAR)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("%s: what the method %s does to '%s' cannot be written as a LoRA"), adapter->name,
                   adapter->method->name, slot->path);
      return NULL;
    }
  before = peft_slot_read (slot, slot->weight, NULL, error);
  if (before == NULL)
    return NULL;
  after = g_memdup2 (before, n * sizeof *before);
  if (slot->bias != NULL)
    {
      old_bias = peft_slot_read (slot, slot->bias, NULL, error);
      if (old_bias == NULL)
        return NULL;
      bias = g_memdup2 (old_bias, (gsize) slot->out_features * sizeof *bias);
    }
  if (!hook->klass->merge (hook, slot, after, &bias, 1, error))
    return NULL;
  for (gsize i = 0; i < n; i++)
    after[i] -= before[i];
  *bias_difference = get_bias_difference (slot, old_bias, bias);
  return slot->conv1d
             ? peft_lora_transpose (after, (gsize) slot->in_features, (gsize) slot->out_features, error)
             : g_steal_pointer (&after);
}

/* The smallest number of values whose squares make up that share of all. */
static gsize
find_cutoff (const float *s, gsize n, double share)
{
  double total = 0, sum = 0;

  for (gsize i = 0; i < n; i++)
    total += (double) s[i] * s[i];
  for (gsize i = 0; i < n; i++)
    {
      sum += (double) s[i] * s[i];
      if (sum >= share * total)
        return i + 1;
    }
  return MAX (n, 1);
}

static Converted *
convert_slot (PeftAdapter *adapter, guint index, double rank, GError **error)
{
  PeftSlot *slot = adapter->hook_slots->pdata[index];
  gsize rows = (gsize) slot->out_features, columns = (gsize) slot->in_features, k = MIN (rows, columns);
  g_autofree float *bias = NULL;
  g_autofree float *difference
      = get_difference (adapter, slot, adapter->hooks->pdata[index], &bias, error);
  g_autofree float *u = NULL;
  g_autofree float *s = NULL;
  g_autofree float *vt = NULL;
  Converted *self;
  gsize r;

  if (difference == NULL || !peft_linalg_svd (difference, rows, columns, &u, &s, &vt, slot->path, error))
    return NULL;
  r = rank < 1 ? find_cutoff (s, k, rank) : (gsize) rank;
  if (r > k)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("rank: '%s' allows at most %zu, found %zu"), slot->path, k, r);
      return NULL;
    }
  self = g_new0 (Converted, 1);
  self->slot = slot;
  self->rank = r;
  self->bias = g_steal_pointer (&bias);
  self->a = g_memdup2 (vt, r * columns * sizeof *vt);
  self->b = g_new (float, rows *r);
  for (gsize i = 0; i < rows; i++)
    for (gsize j = 0; j < r; j++)
      self->b[i * r + j] = u[i * k + j] * s[j];
  return self;
}

/* One row for each module, since their ranks differ. */
static PeftConfig *
make_config (PeftAdapter *adapter, GPtrArray *parts, double rank, GError **error)
{
  g_autoptr (PeftConfig) config = peft_config_new_for_method ("LORA", error);
  g_autoptr (PeftJson) targets = peft_json_new_array ();
  const PeftJson *base, *task;
  gint64 most = rank < 1 ? 1 : (gint64) rank;
  gboolean biased = FALSE;
  PeftJson *maps[2] = { NULL, NULL };

  if (config == NULL)
    return NULL;
  maps[0] = peft_json_new_object ();
  maps[1] = peft_json_new_object ();
  for (guint i = 0; i < parts->len; i++)
    {
      Converted *part = parts->pdata[i];

      peft_json_append (targets, peft_json_new_string (part->slot->path));
      biased |= part->bias != NULL;
      for (guint j = 0; rank < 1 && j < 2; j++)
        peft_json_set (maps[j], part->slot->path, peft_json_new_int ((gint64) part->rank));
    }
  base = peft_config_get_json (adapter->config, "base_model_name_or_path");
  task = peft_config_get_json (adapter->config, "task_type");
  if (!peft_config_set_json (config, "target_modules", g_steal_pointer (&targets), PEFT_ERROR_FAILED, error)
      || !peft_config_set_json (config, "rank_pattern", maps[0], PEFT_ERROR_FAILED, error)
      || !peft_config_set_json (config, "alpha_pattern", maps[1], PEFT_ERROR_FAILED, error)
      || !peft_config_set_json (config, "r", peft_json_new_int (most), PEFT_ERROR_FAILED, error)
      || !peft_config_set_json (config, "lora_alpha", peft_json_new_int (most), PEFT_ERROR_FAILED, error)
      || !peft_config_set_json (config, "lora_bias", peft_json_new_boolean (biased), PEFT_ERROR_FAILED, error)
      || !peft_config_set_json (config, "task_type", peft_json_ref ((PeftJson *) task), PEFT_ERROR_FAILED, error)
      || !peft_config_set_json (config, "base_model_name_or_path", peft_json_ref ((PeftJson *) base),
                                PEFT_ERROR_FAILED, error))
    return NULL;
  return g_steal_pointer (&config);
}

PeftAdapter *
peft_adapter_convert_to_lora (PeftAdapter *self, const char *name, double rank,
                              GCancellable *cancellable, GError **error)
{
  g_autoptr (GPtrArray) parts = g_ptr_array_new_with_free_func (converted_free);
  g_autoptr (PeftConfig) config = NULL;
  g_autoptr (PeftAdapter) lora = NULL;

  if (!check (self, rank, error))
    return NULL;
  for (guint i = 0; i < self->hooks->len; i++)
    {
      Converted *part = g_cancellable_set_error_if_cancelled (cancellable, error)
                            ? NULL
                            : convert_slot (self, i, rank, error);

      if (part == NULL)
        return NULL;
      g_ptr_array_add (parts, part);
    }
  config = make_config (self, parts, rank, error);
  lora = config != NULL ? peft_adapter_declare (self->core, config, name, 0, TRUE, TRUE, error) : NULL;
  if (lora == NULL || !peft_param_set_allocate (lora->params, error))
    return NULL;
  lora->loading = FALSE;
  for (guint i = 0; i < parts->len; i++)
    {
      Converted *part = parts->pdata[i];
      PeftLoraHook *hook = peft_lora_find_hook (lora, part->slot);

      peft_param_upload (hook->a, part->a);
      peft_param_upload (hook->b, part->b);
      if (hook->bias != NULL)
        {
          g_autofree float *zeros = part->bias == NULL ? g_new0 (float, part->slot->out_features) : NULL;

          peft_param_upload (hook->bias, part->bias != NULL ? part->bias : zeros);
        }
    }
  return g_steal_pointer (&lora);
}
