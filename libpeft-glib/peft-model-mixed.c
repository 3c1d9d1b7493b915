/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"
#include "data/peft-data-ids.h"
#include "peft-model-mixed.h"
#include "train/peft-engine.h"

/* Batches whose lines go through different adapters: the base model computes all of them at once, each adapter its own. */

typedef struct
{
  const gint32 *ids;
  const guint *lengths;
  const char *const *names;
  gsize n_lines;
  gsize n_ids;
} MixedData;

/* ---- Which lines are whose ----------------------------------------------------------------- */

void
peft_mixed_lines_clear (PeftMixedLines *self)
{
  g_clear_pointer (&self->adapters, g_ptr_array_unref);
  g_clear_pointer (&self->scales, g_array_unref);
  g_clear_pointer (&self->order, g_array_unref);
  g_clear_pointer (&self->first, g_array_unref);
}

static void
unref_adapter (gpointer adapter)
{
  if (adapter != NULL)
    peft_adapter_unref (adapter);
}

static gboolean
has_attention_hooks (PeftAdapter *adapter)
{
  for (guint i = 0; i < adapter->hook_slots->len; i++)
    if (((PeftSlot *) adapter->hook_slots->pdata[i])->kind == PEFT_SLOT_ATTENTION)
      return TRUE;
  return FALSE;
}

static gboolean
check_adapter (PeftModel *model, PeftAdapter *adapter, GError **error)
{
  const char *why = NULL;

  if (adapter->core_hook != NULL)
    why = _ ("it puts something in front of the text");
  else if (adapter->overrides->len > 0 || adapter->method == NULL)
    why = _ ("it replaces whole modules or biases");
  else if (has_attention_hooks (adapter))
    why = _ ("it adds to the attention of whole layers");
  else if (g_ptr_array_find (adapter->hook_slots, peft_model_get_core (model)->head, NULL))
    why = _ ("it adapts the head");
  if (why != NULL)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                 _ ("the adapter “%s” cannot be in a mixed batch: %s"), adapter->name, why);
  return why == NULL;
}

static gboolean
add_group (PeftMixedLines *self, PeftModel *model, const char *const *names, const char *name,
           GError **error)
{
  PeftAdapter *adapter = NULL;
  guint first = self->order->len;
  double scale = 1;

  if (!g_str_equal (name, PEFT_MIXED_NO_ADAPTER))
    {
      PeftModelEntry *entry;

      g_mutex_lock (&model->mutex);
      entry = peft_model_find_entry (model, name);
      if (entry != NULL)
        {
          adapter = peft_adapter_ref (entry->adapter);
          scale = entry->scale;
        }
      g_mutex_unlock (&model->mutex);
      if (adapter == NULL)
        {
          peft_model_set_no_adapter (name, error);
          return FALSE;
        }
    }
  g_ptr_array_add (self->adapters, adapter);
  g_array_append_val (self->scales, scale);
  g_array_append_val (self->first, first);
  for (gsize i = 0; i < self->n_lines; i++)
    if (g_str_equal (names[i], name))
      g_array_append_val (self->order, i);
  return adapter == NULL || check_adapter (model, adapter, error);
}

gboolean
peft_mixed_lines_init (PeftMixedLines *self, PeftModel *model, const char *const *names,
                       gsize n_lines, GError **error)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);

  self->n_lines = n_lines;
  self->adapters = g_ptr_array_new_with_free_func (unref_adapter);
  self->scales = g_array_new (FALSE, FALSE, sizeof (double));
  self->order = g_array_new (FALSE, FALSE, sizeof (gsize));
  self->first = g_array_new (FALSE, FALSE, sizeof (guint));
  for (gsize i = 0; i < n_lines; i++)
    if (g_hash_table_add (seen, (gpointer) names[i])
        && !add_group (self, model, names, names[i], error))
      return FALSE;
  return TRUE;
}

gsize
peft_mixed_lines_get (const PeftMixedLines *self, gsize index)
{
  return g_array_index (self->order, gsize, index);
}

void
peft_mixed_lines_set_active (const PeftMixedLines *self, gboolean active)
{
  for (guint i = 0; i < self->adapters->len; i++)
    {
      PeftAdapter *adapter = self->adapters->pdata[i];
      guint first = g_array_index (self->first, guint, i);
      guint end = i + 1 < self->first->len ? g_array_index (self->first, guint, i + 1)
                                           : (guint) self->n_lines;

      for (guint j = 0; adapter != NULL && j < adapter->hooks->len; j++)
        {
          PeftSlotHook *hook = adapter->hooks->pdata[j];

          hook->line = active ? first : 0;
          hook->n_lines = active ? end - first : 0;
          hook->of_lines = active ? (guint32) self->n_lines : 0;
        }
      if (adapter != NULL)
        peft_adapter_set_active (adapter, active, g_array_index (self->scales, double, i));
    }
}

/* ---- Logits -------------------------------------------------------------------------------- */

static PeftDataBatch *
make_batch (const MixedData *data, const PeftMixedLines *mixed)
{
  PeftDataBatch *batch = peft_data_batch_new ();
  g_autofree gsize *starts = g_new (gsize, data->n_lines);
  guint longest = 0;

  for (gsize i = 0, at = 0; i < data->n_lines; at += data->lengths[i++])
    {
      starts[i] = at;
      longest = MAX (longest, data->lengths[i]);
    }
  peft_data_batch_reserve (batch, (guint32) data->n_lines, longest);
  batch->batch = (guint32) data->n_lines;
  batch->length = longest;
  for (gsize i = 0; i < data->n_lines; i++)
    for (guint t = 0; t < longest; t++)
      {
        gsize line = peft_mixed_lines_get (mixed, i), to = i * longest + t;
        gboolean padding = t >= data->lengths[line];

        batch->ids[to] = padding ? 0 : data->ids[starts[line] + t];
        batch->labels[to] = PEFT_DATA_IGNORED;
        batch->positions[to] = (gint32) t;
        batch->segments[to] = padding ? PEFT_DATA_PADDING : 0;
      }
  return batch;
}

/* [ids, vocab], in the caller's order. */
static PeftTensor *
collect (const MixedData *data, const PeftMixedLines *mixed, const float *logits, guint longest,
         gsize vocab, GError **error)
{
  const gint64 shape[2] = { (gint64) data->n_ids, (gint64) vocab };
  g_autofree gsize *places = g_new (gsize, data->n_lines);
  g_autoptr (GBytes) bytes = NULL;
  float *out = g_try_malloc_n (data->n_ids * vocab, sizeof (float)), *next = out;

  if (out == NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY,
                   _ ("no memory for the logits of %zu tokens"), data->n_ids);
      return NULL;
    }
  for (gsize i = 0; i < data->n_lines; i++)
    places[peft_mixed_lines_get (mixed, i)] = i;
  for (gsize i = 0; i < data->n_lines; next += data->lengths[i++] * vocab)
    memcpy (next, logits + places[i] * longest * vocab, data->lengths[i] * vocab * sizeof (float));
  bytes = g_bytes_new_take (out, data->n_ids * vocab * sizeof (float));
  return peft_tensor_new_from_bytes (PEFT_DTYPE_F32, shape, 2, bytes, error);
}

static PeftTensor *
compute (PeftCore *core, const MixedData *data, const PeftMixedLines *mixed, GError **error)
{
  g_autoptr (PeftDataBatch) batch = make_batch (data, mixed);
  const PeftPass pass = { .batch = batch->batch, .length = batch->length, .logits = TRUE };
  const gsize vocab = (gsize) core->n_outputs;
  g_autoptr (PeftEngine) engine = peft_engine_new (core, NULL);
  g_autofree float *logits
      = g_try_malloc_n ((gsize) batch->batch * batch->length * vocab, sizeof (float));
  const PeftPassOptions options = { .logits = logits };
  PeftPassResult result;

  if (logits == NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY,
                   _ ("no memory for the logits of %zu tokens"), data->n_ids);
      return NULL;
    }
  if (!peft_engine_reserve (engine, &pass, 1, error)
      || !peft_engine_run (engine, batch, &options, &result, error))
    return NULL;
  return collect (data, mixed, logits, batch->length, vocab, error);
}

static gpointer
mixed_work (gpointer source, gpointer data, PeftRelay *relay, GCancellable *cancellable,
            GError **error)
{
  PeftModel *self = source;
  g_auto (PeftMixedLines) lines = { 0 };
  const MixedData *mixed = data;
  PeftTensor *logits;

  if (g_cancellable_set_error_if_cancelled (cancellable, error)
      || !peft_mixed_lines_init (&lines, self, mixed->names, mixed->n_lines, error))
    return NULL;
  peft_mixed_lines_set_active (&lines, TRUE);
  logits = compute (peft_model_get_core (self), mixed, &lines, error);
  peft_mixed_lines_set_active (&lines, FALSE);
  return logits;
}

/**
 * peft_model_forward_mixed:
 * @self: a model
 * @ids: (array length=n_ids): token ids of all lines, one after the other
 * @n_ids: the number of ids
 * @lengths: (array length=n_lines): ids of each line, at least 1
 * @n_lines: the number of lines
 * @adapters: (array zero-terminated=1): a name for each line: of an adapter, or `__base__` for none
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Computes what the model expects after each id, every line with an adapter of its own.
 *
 * The base model computes all lines together. Which adapters are active does not matter, nor that some are merged; their
 * scales ([method@Model.set_adapter_scale]) count. Adapters that put something in front of the text or into the attention, that
 * replace whole modules or biases, or adapt the head are refused.
 *
 * Returns: (transfer full): logits, float32 of shape [@n_ids, vocabulary]
 *
 * Since: 1.0
 */
PeftTensor *
peft_model_forward_mixed (PeftModel *self, const gint32 *ids, gsize n_ids, const guint *lengths,
                          gsize n_lines, const char *const *adapters, GCancellable *cancellable,
                          GError **error)
{
  const MixedData data = { ids, lengths, adapters, n_lines, n_ids };
  gsize sum = 0;

  g_return_val_if_fail (PEFT_IS_MODEL (self), NULL);
  g_return_val_if_fail (ids != NULL && lengths != NULL && adapters != NULL, NULL);

  for (gsize i = 0; i < n_lines; i++)
    {
      if (lengths[i] == 0 || lengths[i] > PEFT_DATA_MAX_ROW_IDS)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                       _ ("line %zu: expected 1 to %u ids, found %u"), i, PEFT_DATA_MAX_ROW_IDS, lengths[i]);
          return NULL;
        }
      sum += lengths[i];
    }
  if (n_lines == 0 || sum != n_ids || g_strv_length ((char **) adapters) != n_lines)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("expected lengths that add up to %zu ids and an adapter's name for each, found %zu ids in "
                      "%zu lines and %u names"),
                   n_ids, sum, n_lines, g_strv_length ((char **) adapters));
      return NULL;
    }
  return peft_worker_run (peft_model_get_worker (self), _ ("computing"), self, (gpointer) &data, NULL,
                          mixed_work, cancellable, error);
}
