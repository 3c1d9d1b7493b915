/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "base/peft-error.h"
#include "train/peft-engine-private.h"

/* Memory of passes: measured by running them on a plan backend. */

guint
peft_pass_hash (gconstpointer data)
{
  const PeftPass *p = data;
  guint flags = (p->gradients ? 1 : 0) | (p->checkpointing ? 2 : 0) | (p->training ? 4 : 0)
                | (p->extra_loss ? 8 : 0) | (p->logits ? 16 : 0);

  return ((p->batch * 31 + p->length) * 31 + p->n_labels) * 32 + flags;
}

gboolean
peft_pass_equal (gconstpointer a, gconstpointer b)
{
  const PeftPass *p = a, *q = b;

  return p->batch == q->batch && p->length == q->length && p->n_labels == q->n_labels
         && !p->gradients == !q->gradients && !p->checkpointing == !q->checkpointing
         && !p->training == !q->training && !p->extra_loss == !q->extra_loss
         && !p->logits == !q->logits;
}

PeftEngine *
peft_engine_new (PeftCore *core, PeftAdapter *adapter)
{
  PeftEngine *self = g_new0 (PeftEngine, 1);

  g_assert (adapter == NULL || (adapter->active && adapter->core == core));
  self->core = peft_core_ref (core);
  self->adapter = adapter != NULL ? peft_adapter_ref (adapter) : NULL;
  self->planned = g_hash_table_new_full (peft_pass_hash, peft_pass_equal, g_free, g_free);
  self->plan = peft_plan_backend_new (core->backend);
  return self;
}

void
peft_engine_free (PeftEngine *self)
{
  peft_staging_clear (&self->staging);
  g_clear_pointer (&self->arena, peft_arena_unref);
  g_hash_table_unref (self->planned);
  peft_backend_unref (self->plan);
  g_free (self->host);
  g_free (self->losses);
  g_free (self->correct);
  g_clear_pointer (&self->adapter, peft_adapter_unref);
  peft_core_unref (self->core);
  g_free (self);
}

/* pass is rounded. */
static const PeftPassMemory *
plan_pass (PeftEngine *self, const PeftPass *pass, GError **error)
{
  const PeftPassOptions options = { .denominator = 1 };
  const PeftPassCall call
      = { .options = &options,
          .max_position = peft_core_get_n_virtual (self->core) + pass->length,
          .segmented = TRUE,
          .answer_weights = { 1, 1 } };
  PeftPassMemory *memory = g_hash_table_lookup (self->planned, pass);
  g_auto (PeftStaging) staging = { 0 };
  g_autoptr (PeftArena) arena = NULL;
  g_autoptr (PeftTensor) row_losses = NULL;
  g_autoptr (PeftTensor) correct = NULL;
  PeftPassMemory measured = { 0 };
  double extra_loss;

  if (memory != NULL)
    return memory;
  arena = peft_arena_new (self->plan, 0, error);
  if (arena == NULL
      || !peft_staging_allocate (&staging, self->plan, peft_engine_count_positions (self, pass),
                                 pass->n_labels, pass->batch, error)
      || !peft_engine_pass (self, arena, &staging, pass, &call, &row_losses, &correct, &extra_loss,
                            &measured, error))
    return NULL;
  measured.peak = peft_arena_get_peak (arena);
  memory = g_memdup2 (&measured, sizeof measured);
  g_hash_table_insert (self->planned, g_memdup2 (pass, sizeof *pass), memory);
  return memory;
}

static gboolean
is_being_trained (PeftParamSet *params)
{
  for (guint i = 0; i < peft_param_set_get_n (params); i++)
    if (peft_param_set_get (params, i)->grad != NULL)
      return TRUE;
  return FALSE;
}

static void
account_weights (PeftEngine *self, PeftMemoryPlan *plan)
{
  for (guint i = 0; i < self->core->slots->len; i++)
    {
      PeftSlot *slot = g_ptr_array_index (self->core->slots, i);
      PeftTensor *tensors[] = { slot->tied ? NULL : slot->weight, slot->bias };

      for (guint j = 0; j < G_N_ELEMENTS (tensors); j++)
        if (tensors[j] != NULL)
          {
            guint64 bytes = peft_view_span (&tensors[j]->view);

            plan->weights += bytes;
            plan->mapped += tensors[j]->view.buffer->imported ? bytes : 0;
          }
    }
}

gboolean
peft_engine_measure (PeftEngine *self, const PeftPass *pass, gsize n_state,
                     PeftMemoryPlan *plan, GError **error)
{
  PeftParamSet *params = self->adapter != NULL ? self->adapter->params : NULL;
  gboolean begin = pass->gradients && params != NULL && !is_being_trained (params);
  const PeftPassMemory *memory;
  PeftPass rounded = *pass;

  *plan = (PeftMemoryPlan){ 0 };
  /* Only parameters that have gradient memory count as trained. */
  if (begin && !peft_param_set_begin_training (params, 0, 0, error))
    return FALSE;
  peft_engine_round_pass (self, &rounded);
  memory = plan_pass (self, &rounded, error);
  if (begin)
    peft_param_set_end_training (params);
  if (memory == NULL)
    return FALSE;

  account_weights (self, plan);
  if (params != NULL)
    {
      plan->adapter = peft_param_set_get_n_values (params)
                      * peft_dtype_get_info (self->core->backend->real)->block_bytes;
      if (pass->gradients)
        plan->training = peft_param_set_training_bytes (params, n_state);
    }
  plan->activations = memory->activations;
  plan->scratch = memory->peak - MIN (memory->activations, memory->peak);
  plan->buffers = 2 * peft_staging_bytes (peft_engine_count_positions (self, &rounded),
                                          rounded.n_labels, rounded.batch);
  plan->total = plan->weights - plan->mapped + plan->adapter + plan->training + plan->activations
                + plan->scratch + plan->buffers;
  return TRUE;
}

gboolean
peft_engine_reserve (PeftEngine *self, const PeftPass *passes, gsize n, GError **error)
{
  guint64 n_tokens = self->staging.n_tokens, n_labels = self->staging.n_labels;
  guint64 n_lines = self->staging.n_lines;
  gsize peak = self->reserved;

  for (gsize i = 0; i < n; i++)
    {
      PeftPass pass = passes[i];
      const PeftPassMemory *memory;

      peft_engine_round_pass (self, &pass);
      memory = plan_pass (self, &pass, error);
      if (memory == NULL)
        return FALSE;
      peak = MAX (peak, memory->peak);
      n_tokens = MAX (n_tokens, peft_engine_count_positions (self, &pass));
      n_lines = MAX (n_lines, pass.batch);
      n_labels = MAX (n_labels, pass.n_labels);
    }
  if (peak > self->reserved)
    {
      g_clear_pointer (&self->arena, peft_arena_unref);
      self->reserved = 0;
      self->arena = peft_arena_new (self->core->backend, peak, error);
      if (self->arena == NULL)
        return FALSE;
      self->reserved = peak;
    }
  if (!peft_staging_allocate (&self->staging, self->core->backend, n_tokens, n_labels, n_lines,
                              error))
    return FALSE;
  self->host = g_renew (gint32, self->host, 3 * n_tokens + 2 * n_labels + n_lines + 1);
  self->losses = g_renew (float, self->losses, n_labels + 1);
  self->correct = g_renew (gint32, self->correct, n_labels + 1);
  return TRUE;
}

gboolean
peft_engine_reserve_set (PeftEngine *self, GHashTable *passes, GError **error)
{
  g_autoptr (GArray) list = g_array_new (FALSE, FALSE, sizeof (PeftPass));
  GHashTableIter iter;
  gpointer pass;

  g_hash_table_iter_init (&iter, passes);
  while (g_hash_table_iter_next (&iter, &pass, NULL))
    g_array_append_vals (list, pass, 1);
  return peft_engine_reserve (self, (const PeftPass *) list->data, list->len, error);
}

gsize
peft_engine_get_reserved (PeftEngine *self)
{
  return self->reserved;
}

gsize
peft_engine_get_peak (PeftEngine *self)
{
  return self->arena != NULL ? peft_arena_get_peak (self->arena) : 0;
}
