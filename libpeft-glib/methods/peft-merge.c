/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

#include "base/peft-atomic-file.h"
#include "formats/peft-safetensors-writer.h"
#include "formats/peft-safetensors.h"
#include "methods/peft-adapter-private.h"
#include "methods/peft-model-folder.h"

/* A model with adapters folded in, written tensor by tensor. */

#define CHUNK_VALUES 65536
#define MAX_F16 65504.0f

typedef struct
{
  char *name;
  PeftSlot *slot; /* NULL: a tensor that is no slot's, copied as it is */
  gboolean is_bias;
  const PeftTensorEntry *entry; /* as the file has it; NULL: GGUF, or a head that was tied */
  PeftDType stored, written;
  guint n_dims;
  guint64 shape[PEFT_TENSOR_MAX_DIMS];
  guint64 n_values, n_bytes;
  guint shard;
} OutTensor;

typedef struct
{
  PeftCore *core;
  GPtrArray *adapters;
  const char *folder;
  PeftDType dtype; /* PEFT_N_DTYPES: as stored */
  gboolean untied;
  GPtrArray *tensors; /* OutTensor */
  GHashTable *by_name;
  guint n_shards;
  guint64 total_bytes;
  /* The merged slot that was computed last: its bias and its weight are neighbours in the file. */
  PeftSlot *merged;
  float *weight, *bias;
} Merge;

static void
out_tensor_free (gpointer data)
{
  OutTensor *tensor = data;

  g_free (tensor->name);
  g_free (tensor);
}

static void
merge_clear (Merge *self)
{
  g_clear_pointer (&self->tensors, g_ptr_array_unref);
  g_clear_pointer (&self->by_name, g_hash_table_unref);
  g_clear_pointer (&self->weight, g_free);
  g_clear_pointer (&self->bias, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Merge, merge_clear)

/* ---- What changes -------------------------------------------------------------------------- */

static PeftParam *
find_trained (Merge *self, PeftSlot *slot, gboolean bias)
{
  for (guint i = 0; i < self->adapters->len; i++)
    {
      PeftAdapterOverride *override = peft_adapter_find_override (self->adapters->pdata[i], slot);
      PeftParam *param = override == NULL ? NULL : bias ? override->bias : override->weight;

      if (param != NULL)
        return param;
    }
  return NULL;
}

static gboolean
has_hooks (Merge *self, PeftSlot *slot)
{
  for (guint i = 0; i < self->adapters->len; i++)
    if (peft_adapter_has_hook (self->adapters->pdata[i], slot))
      return TRUE;
  return FALSE;
}

static gboolean
is_changed (Merge *self, PeftSlot *slot)
{
  return has_hooks (self, slot) || find_trained (self, slot, FALSE) != NULL
         || find_trained (self, slot, TRUE) != NULL;
}

/* Is there an adapter on the slot that does not do the same to the embedding and a tied head? */
static gboolean
changes_apart (Merge *self, PeftSlot *slot)
{
  for (guint i = 0; i < self->adapters->len; i++)
    {
      PeftAdapter *adapter = self->adapters->pdata[i];

      if (!adapter->keeps_tied && peft_adapter_has_hook (adapter, slot))
        return TRUE;
    }
  return FALSE;
}

/* Do the adapters tell a tied head and the embedding apart? */
static gboolean
unties (Merge *self)
{
  PeftSlot *head = self->core->head, *embedding = self->core->embedding;

  if (head == NULL || !head->tied)
    return FALSE;
  return changes_apart (self, head) || changes_apart (self, embedding)
         || find_trained (self, head, FALSE) != find_trained (self, embedding, FALSE);
}

static gboolean
check_finite (
    const float *values, guint64 n, const char *path, PeftAdapter *adapter, GError **error)
{
  for (guint64 i = 0; i < n; i++)
    if (!isfinite (values[i]))
      {
        g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FINITE,
                     adapter != NULL ? _ ("%s: the merged weights are not finite; the adapter '%s' "
                                          "seems to be broken")
                                     : _ ("%s: the weights are not finite"),
                     path, adapter != NULL ? adapter->name : NULL);
        return FALSE;
      }
  return TRUE;
}

static gboolean
apply_adapter (Merge *self, PeftAdapter *adapter, PeftSlot *slot, GError **error)
{
  guint64 n = (guint64) peft_view_n_values (&slot->weight->view);
  gboolean had_bias = self->bias != NULL;

  for (guint i = 0; i < adapter->hooks->len; i++)
    {
      PeftSlotHook *hook = adapter->hooks->pdata[i];

      if (adapter->hook_slots->pdata[i] != slot)
        continue;
      if (!hook->klass->merge (hook, slot, self->weight, &self->bias, 1.0, error))
        return FALSE;
    }
  if (!had_bias && self->bias != NULL)
    {
      g_set_error (
          error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
          _ ("%s: the adapter '%s' gives the layer a bias, which this model has no place for"),
          slot->path, adapter->name);
      return FALSE;
    }
  return check_finite (self->weight, n, slot->path, adapter, error)
         && (self->bias == NULL
             || check_finite (self->bias, (guint64) slot->out_features, slot->path, adapter,
                              error));
}

static gboolean
compute_slot (Merge *self, PeftSlot *slot, GError **error)
{
  PeftParam *bias = find_trained (self, slot, TRUE);

  if (self->merged == slot)
    return TRUE;
  self->merged = NULL;
  g_clear_pointer (&self->weight, g_free);
  g_clear_pointer (&self->bias, g_free);
  self->weight = peft_slot_read (slot, slot->weight, find_trained (self, slot, FALSE), error);
  if (self->weight == NULL)
    return FALSE;
  if (bias != NULL || slot->bias != NULL)
    {
      self->bias = peft_slot_read (slot, slot->bias, bias, error);
      if (self->bias == NULL)
        return FALSE;
    }
  for (guint i = 0; i < self->adapters->len; i++)
    if (!apply_adapter (self, self->adapters->pdata[i], slot, error))
      return FALSE;
  self->merged = slot;
  return TRUE;
}

/* ---- What is written ----------------------------------------------------------------------- */

static PeftDType
written_dtype (Merge *self, PeftDType stored)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (stored);

  if (info->to_f32 == NULL)
    return stored;
  if (self->dtype != PEFT_N_DTYPES)
    return self->dtype;
  return peft_dtype_is_block (stored) ? PEFT_DTYPE_F16 : stored;
}

static gboolean
add_tensor (Merge *self,
            const char *name,
            PeftSlot *slot,
            gboolean is_bias,
            const PeftTensorEntry *entry,
            GError **error)
{
  OutTensor *tensor = g_new0 (OutTensor, 1);
  PeftTensor *value = slot == NULL ? NULL : is_bias ? slot->bias : slot->weight;

  g_ptr_array_add (self->tensors, tensor);
  tensor->name = g_strdup (name);
  tensor->slot = slot;
  tensor->is_bias = is_bias;
  tensor->entry = entry;
  tensor->stored = entry != NULL ? entry->dtype : value->view.dtype;
  if (tensor->stored == PEFT_N_DTYPES)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("%s: %s: the type %s cannot be copied"), entry->file, name, entry->type_name);
      return FALSE;
    }
  tensor->written = written_dtype (self, tensor->stored);
  tensor->n_dims = entry != NULL ? entry->n_dims : value->view.n_dims;
  tensor->n_values = 1;
  for (guint i = 0; i < tensor->n_dims; i++)
    {
      tensor->shape[i] = entry != NULL ? entry->shape[i] : (guint64) value->view.shape[i];
      tensor->n_values *= tensor->shape[i];
    }
  peft_dtype_bytes (tensor->written, tensor->n_values, &tensor->n_bytes);
  self->total_bytes += tensor->n_bytes;
  if (!g_hash_table_insert (self->by_name, tensor->name, tensor))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE, _ ("the tensor %s occurs twice"),
                   name);
      return FALSE;
    }
  return TRUE;
}

/* The slot that a tensor of a Hugging Face file belongs to. */
static PeftSlot *
slot_of_tensor (PeftCore *core, const char *name, gboolean *is_bias)
{
  const char *dot = strrchr (name, '.');
  g_autofree char *path = NULL;
  g_autofree char *inner = NULL;
  PeftSlot *slot;

  *is_bias = dot != NULL && g_str_equal (dot, ".bias");
  if (!*is_bias && (dot == NULL || !g_str_equal (dot, ".weight")))
    return NULL;
  path = g_strndup (name, dot - name);
  slot = peft_core_find_slot (core, path);
  if (slot == NULL)
    {
      inner = g_strconcat ("model.", path, NULL);
      slot = peft_core_find_slot (core, inner);
    }
  return slot != NULL && (*is_bias ? slot->bias : slot->weight) != NULL ? slot : NULL;
}

static gboolean
list_folder_tensors (Merge *self, GError **error)
{
  for (gsize i = 0; i < peft_tensor_source_get_n (self->core->source); i++)
    {
      const PeftTensorEntry *entry = peft_tensor_source_get (self->core->source, i);
      gboolean is_bias;
      PeftSlot *slot = slot_of_tensor (self->core, entry->name, &is_bias);

      /* A copy of the embedding that the config says is not used. */
      if (slot != NULL && slot->tied)
        continue;
      if (!add_tensor (self, entry->name, slot, is_bias, entry, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
list_slot_tensors (Merge *self, GError **error)
{
  for (guint i = 0; i < self->core->slots->len; i++)
    {
      PeftSlot *slot = self->core->slots->pdata[i];
      g_autofree char *weight = g_strconcat (slot->path, ".weight", NULL);
      g_autofree char *bias = g_strconcat (slot->path, ".bias", NULL);

      if ((slot->weight != NULL && !slot->tied
           && !add_tensor (self, weight, slot, FALSE, NULL, error))
          || (slot->bias != NULL && !add_tensor (self, bias, slot, TRUE, NULL, error)))
        return FALSE;
    }
  return TRUE;
}

static gboolean
list_tensors (Merge *self, guint64 shard_bytes, GError **error)
{
  guint64 filled = 0;

  self->tensors = g_ptr_array_new_with_free_func (out_tensor_free);
  self->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  /* With another head the file's tensors are neither all there nor called as they would be. */
  if (!(self->core->gguf != NULL || self->core->changed || self->core->task != PEFT_TASK_CAUSAL_LM
            ? list_slot_tensors (self, error)
            : list_folder_tensors (self, error)))
    return FALSE;
  if (self->untied)
    {
      g_autofree char *name = g_strconcat (self->core->head->path, ".weight", NULL);

      if (!add_tensor (self, name, self->core->head, FALSE, NULL, error))
        return FALSE;
    }
  self->n_shards = 1;
  for (guint i = 0; i < self->tensors->len; i++)
    {
      OutTensor *tensor = self->tensors->pdata[i];

      if (filled > 0 && filled + tensor->n_bytes > shard_bytes)
        {
          self->n_shards++;
          filled = 0;
        }
      filled += tensor->n_bytes;
      tensor->shard = self->n_shards - 1;
    }
  return TRUE;
}

/* ---- Writing ------------------------------------------------------------------------------- */

static gboolean
check_fits (const OutTensor *tensor, const float *values, gsize n, GError **error)
{
  if (tensor->written != PEFT_DTYPE_F16)
    return TRUE;
  for (gsize i = 0; i < n; i++)
    if (fabsf (values[i]) > MAX_F16)
      {
        g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FINITE,
                     _ ("%s: the value %g is too large for F16; choose another type"), tensor->name,
                     (double) values[i]);
        return FALSE;
      }
  return TRUE;
}

static gboolean
write_values (PeftSafetensorsWriter *writer,
              const OutTensor *tensor,
              const float *values,
              GError **error)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (tensor->written);
  g_autofree guint8 *buffer = g_malloc (CHUNK_VALUES * sizeof (double));

  for (guint64 i = 0; i < tensor->n_values; i += CHUNK_VALUES)
    {
      gsize n = MIN (CHUNK_VALUES, tensor->n_values - i);

      if (!check_fits (tensor, values + i, n, error))
        return FALSE;
      info->from_f32 (values + i, buffer, n);
      if (!peft_safetensors_writer_write (writer, tensor->name, buffer, n * info->block_bytes,
                                          error))
        return FALSE;
    }
  return TRUE;
}

/* A tensor that no adapter changes, from its stored bytes. */
static gboolean
write_stored (PeftSafetensorsWriter *writer,
              const OutTensor *tensor,
              const guint8 *data,
              GError **error)
{
  const PeftDTypeInfo *stored = peft_dtype_get_info (tensor->stored);
  const PeftDTypeInfo *written = peft_dtype_get_info (tensor->written);
  g_autofree float *values = NULL;
  g_autofree guint8 *buffer = NULL;

  if (tensor->stored == tensor->written)
    return peft_safetensors_writer_write (writer, tensor->name, data, tensor->n_bytes, error);
  values = g_new (float, CHUNK_VALUES);
  buffer = g_malloc (CHUNK_VALUES * sizeof (double));
  for (guint64 i = 0; i < tensor->n_values; i += CHUNK_VALUES)
    {
      gsize n = MIN (CHUNK_VALUES, tensor->n_values - i);

      stored->to_f32 (data + i / stored->block_size * stored->block_bytes, values, n);
      if (!check_fits (tensor, values, n, error))
        return FALSE;
      written->from_f32 (values, buffer, n);
      if (!peft_safetensors_writer_write (writer, tensor->name, buffer, n * written->block_bytes,
                                          error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
write_tensor (Merge *self, PeftSafetensorsWriter *writer, const OutTensor *tensor, GError **error)
{
  g_autoptr (GBytes) bytes = NULL;

  if (tensor->slot != NULL && is_changed (self, tensor->slot))
    return compute_slot (self, tensor->slot, error)
           && write_values (writer, tensor, tensor->is_bias ? self->bias : self->weight, error);
  if (tensor->entry != NULL)
    return write_stored (writer, tensor, tensor->entry->data, error);
  bytes = peft_tensor_get_bytes (tensor->is_bias ? tensor->slot->bias : tensor->slot->weight);
  return write_stored (writer, tensor, g_bytes_get_data (bytes, NULL), error);
}

static char *
shard_name (Merge *self, guint shard)
{
  return self->n_shards == 1
             ? g_strdup (PEFT_SAFETENSORS_FILE)
             : g_strdup_printf ("model-%05u-of-%05u.safetensors", shard + 1, self->n_shards);
}

static gboolean
write_shard (Merge *self, guint shard, GCancellable *cancellable, GError **error)
{
  g_autoptr (PeftSafetensorsWriter) writer = peft_safetensors_writer_new ();
  g_autofree char *name = shard_name (self, shard);
  g_autofree char *path = g_build_filename (self->folder, name, NULL);

  for (guint i = 0; i < self->tensors->len; i++)
    {
      OutTensor *tensor = self->tensors->pdata[i];

      if (tensor->shard == shard
          && !peft_safetensors_writer_add (writer, tensor->name, tensor->written, tensor->shape,
                                           tensor->n_dims, error))
        return FALSE;
    }
  peft_safetensors_writer_set_metadata (writer, "format", "pt");
  if (!peft_safetensors_writer_begin (writer, path, error))
    return FALSE;
  for (gsize i = 0; i < peft_safetensors_writer_get_n_tensors (writer); i++)
    {
      const PeftTensorEntry *entry = peft_safetensors_writer_get_entry (writer, i);

      if (g_cancellable_set_error_if_cancelled (cancellable, error)
          || !write_tensor (self, writer, g_hash_table_lookup (self->by_name, entry->name), error))
        return FALSE;
    }
  return peft_safetensors_writer_commit (writer, error);
}

static gboolean
write_index (Merge *self, GError **error)
{
  g_autoptr (PeftJson) index = peft_json_new_object ();
  PeftJson *metadata = peft_json_new_object ();
  PeftJson *map = peft_json_new_object ();
  g_autofree char *path = g_build_filename (self->folder, PEFT_SAFETENSORS_INDEX, NULL);
  g_autofree char *text = NULL;

  peft_json_set (metadata, "total_size", peft_json_new_uint (self->total_bytes));
  for (guint i = 0; i < self->tensors->len; i++)
    {
      OutTensor *tensor = self->tensors->pdata[i];
      g_autofree char *file = shard_name (self, tensor->shard);

      peft_json_set (map, tensor->name, peft_json_new_string (file));
    }
  peft_json_set (index, "metadata", metadata);
  peft_json_set (index, "weight_map", map);
  text = peft_json_to_string (index, PEFT_JSON_WRITE_INDENT | PEFT_JSON_WRITE_SORT_KEYS
                                         | PEFT_JSON_WRITE_ASCII);
  return peft_atomic_write (path, text, -1, error);
}

/* The type that config.json names; NULL: it stays as it is. */
static const char *
config_dtype (Merge *self)
{
  PeftTensor *weight = self->core->embedding->weight;

  if (self->dtype == PEFT_N_DTYPES && self->core->gguf == NULL && !self->core->changed)
    return NULL;
  return peft_model_folder_dtype_name (written_dtype (self, weight->view.dtype));
}

/* Adapters that are gone told the head and the embedding apart. */
static gboolean
was_untied (PeftCore *core)
{
  return core->changed && core->dims.tied && core->head != NULL && !core->head->tied;
}

/* Can all that they do be written into weights? */
static gboolean
check_adapters (GPtrArray *adapters, GError **error)
{
  for (guint i = 0; i < adapters->len; i++)
    {
      PeftAdapter *adapter = adapters->pdata[i];

      if (adapter->core_hook != NULL)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                       _ ("adapters of the method %s cannot be merged: what they put in front of a text is "
                          "no part of the model's weights"),
                       adapter->method->name);
          return FALSE;
        }
      for (guint j = 0; j < adapter->hooks->len; j++)
        if (((PeftSlotHook *) adapter->hooks->pdata[j])->klass->merge == NULL)
          {
            g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                         _ ("adapters of the method %s cannot be merged"), adapter->method->name);
            return FALSE;
          }
    }
  return TRUE;
}

gboolean
peft_core_merge_unties (PeftCore *core, GPtrArray *adapters)
{
  Merge self = { .core = core, .adapters = adapters };

  return unties (&self);
}

gboolean
peft_core_merge_slot (PeftCore *core, GPtrArray *adapters, PeftSlot *slot, float **weight,
                      float **bias, GError **error)
{
  g_auto (Merge) self = { .core = core, .adapters = adapters };

  *weight = *bias = NULL;
  if (!check_adapters (adapters, error))
    return FALSE;
  if (slot->weight == NULL || !is_changed (&self, slot))
    return TRUE;
  if (!compute_slot (&self, slot, error))
    return FALSE;
  *weight = g_steal_pointer (&self.weight);
  *bias = g_steal_pointer (&self.bias);
  return TRUE;
}

gboolean
peft_core_save_merged_in_shards (PeftCore *core,
                                 GPtrArray *adapters,
                                 const char *folder,
                                 PeftDType dtype,
                                 guint64 shard_bytes,
                                 GCancellable *cancellable,
                                 GError **error)
{
  g_auto (Merge) self = { .core = core, .adapters = adapters, .folder = folder, .dtype = dtype };
  g_autoptr (GHashTable) kept = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  if (dtype != PEFT_N_DTYPES && peft_model_folder_dtype_name (dtype) == NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("a model cannot be written as %s, only as F32, F16 or BF16"),
                   peft_dtype_get_info (dtype)->name);
      return FALSE;
    }
  if (!check_adapters (adapters, error))
    return FALSE;
  self.untied = unties (&self);
  if (!peft_adapter_check_together (adapters, error)
      || !peft_model_folder_prepare (core, folder, error)
      || !list_tensors (&self, shard_bytes, error))
    return FALSE;
  for (guint i = 0; i < self.n_shards; i++)
    {
      if (!write_shard (&self, i, cancellable, error))
        return FALSE;
      g_hash_table_add (kept, shard_name (&self, i));
    }
  if (self.n_shards > 1)
    {
      if (!write_index (&self, error))
        return FALSE;
      g_hash_table_add (kept, g_strdup (PEFT_SAFETENSORS_INDEX));
    }
  return peft_model_folder_remove_stale (folder, kept, error)
         && peft_model_folder_write_config (core, folder, config_dtype (&self),
                                            self.untied || was_untied (core), error)
         && peft_model_folder_copy_extras (core, folder, error);
}

gboolean
peft_core_save_merged (PeftCore *core,
                       GPtrArray *adapters,
                       const char *folder,
                       PeftDType dtype,
                       GCancellable *cancellable,
                       GError **error)
{
  return peft_core_save_merged_in_shards (core, adapters, folder, dtype, PEFT_SHARD_BYTES,
                                          cancellable, error);
}
