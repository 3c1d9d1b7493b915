/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "methods/peft-token-rows.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

#include "base/peft-error.h"
#include "methods/peft-adapter-private.h"
#include "methods/peft-config-private.h"

#define FIELD "trainable_token_indices"

typedef struct
{
  PeftSlotHook parent;
  PeftAdapter *adapter; /* not owned */
  PeftSlot *slot;
  PeftParam *rows;     /* [n, width]; a tied head has the embedding's */
  gboolean is_tied;
  PeftTensor *frozen;  /* [n, width] */
  PeftTensor *units;   /* [table rows, n] */
  GArray *indices;     /* gint64 */
  double scale;        /* of the embedding's output */
} TokenRowsHook;

/* D - W */
static PeftVar *
get_change (TokenRowsHook *self, PeftTape *tape)
{
  g_autoptr (PeftVar) rows = peft_tape_param (tape, self->rows);
  g_autoptr (PeftVar) frozen = peft_tape_constant (tape, self->frozen);

  return peft_nn_sub (tape, rows, frozen);
}

static PeftVar *
token_rows_after (PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot, PeftVar *x, PeftVar *y)
{
  TokenRowsHook *self = (TokenRowsHook *) hook;
  g_autoptr (PeftVar) change = get_change (self, tape);
  g_autoptr (PeftVar) units = peft_tape_constant (tape, self->units);
  PeftVar *out = peft_nn_low_rank (tape, y, x, change, units, NULL, hook->weight);

  peft_var_unref (y);
  return out;
}

static PeftVar *
token_rows_after_embedding (
    PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot, PeftTensor *ids, PeftVar *y)
{
  TokenRowsHook *self = (TokenRowsHook *) hook;
  g_autoptr (PeftVar) old = y;
  g_autoptr (PeftVar) change = get_change (self, tape);
  g_autoptr (PeftVar) units = peft_tape_constant (tape, self->units);
  g_autoptr (PeftVar) picked = peft_nn_gather_rows (tape, units, ids);
  g_autoptr (PeftVar) delta = peft_nn_matmul (tape, picked, change, FALSE, FALSE);
  g_autoptr (PeftVar) scaled = peft_nn_scale (tape, delta, self->scale * hook->weight);

  return peft_nn_add (tape, old, scaled);
}

static gsize
get_width (PeftSlot *slot)
{
  return (gsize) (slot->kind == PEFT_SLOT_EMBEDDING ? slot->out_features : slot->in_features);
}

static gboolean
token_rows_merge (
    PeftSlotHook *hook, PeftSlot *slot, float *weight, float **bias, double factor, GError **error)
{
  TokenRowsHook *self = (TokenRowsHook *) hook;
  gsize width = get_width (slot);
  double strength = hook->weight * factor;
  g_autofree float *rows = peft_param_dup_values (self->rows);
  g_autofree float *frozen = g_new (float, self->indices->len *width);

  peft_tensor_download_f32 (self->frozen, frozen);
  for (guint i = 0; i < self->indices->len; i++)
    {
      float *target = weight + (gsize) g_array_index (self->indices, gint64, i) * width;

      for (gsize j = 0; j < width; j++)
        {
          gsize at = i * width + j;

          /* Nothing but the trained row where it replaces the frozen one, without rounding. */
          if (strength == 1.0 && target[j] == frozen[at])
            target[j] = rows[at];
          else
            target[j] += (float) (strength * ((double) rows[at] - frozen[at]));
        }
    }
  return TRUE;
}

static void
token_rows_free (PeftSlotHook *hook)
{
  TokenRowsHook *self = (TokenRowsHook *) hook;

  g_clear_pointer (&self->frozen, peft_tensor_unref);
  g_clear_pointer (&self->units, peft_tensor_unref);
  g_clear_pointer (&self->indices, g_array_unref);
  g_free (self);
}

static const PeftSlotHookClass token_rows_class = {
  .after = token_rows_after,
  .after_embedding = token_rows_after_embedding,
  .merge = token_rows_merge,
  .free = token_rows_free,
};

/* ---- Declaring ----------------------------------------------------------------------------- */

/* The numbers of one list, checked against the table. */
static GArray *
read_indices (const PeftJson *list, PeftSlot *slot, GError **error)
{
  gint64 n_rows = slot->kind == PEFT_SLOT_EMBEDDING ? slot->in_features : slot->out_features;
  g_autoptr (GArray) out = g_array_new (FALSE, FALSE, sizeof (gint64));
  g_autoptr (GHashTable) seen = g_hash_table_new (g_int64_hash, g_int64_equal);

  if (peft_json_get_kind (list) != PEFT_JSON_ARRAY || peft_json_get_length (list) == 0)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("trainable_token_indices: expected a list of token numbers for '%s'"), slot->path);
      return NULL;
    }
  g_array_set_size (out, (guint) peft_json_get_length (list));
  for (guint i = 0; i < out->len; i++)
    {
      gint64 *index = &g_array_index (out, gint64, i);

      if (!peft_json_get_int (peft_json_get_element (list, i), index) || *index < 0
          || *index >= n_rows)
        {
          g_autofree char *found = peft_json_to_string (peft_json_get_element (list, i), 0);

          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                       _ ("trainable_token_indices: %s is no row of '%s', which has the rows 0 to %" PRId64),
                       found, slot->path, n_rows - 1);
          return NULL;
        }
      if (!g_hash_table_add (seen, index))
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                       _ ("trainable_token_indices: the row %" PRId64 " of '%s' is named twice"), *index,
                       slot->path);
          return NULL;
        }
    }
  return g_steal_pointer (&out);
}

static TokenRowsHook *
find_hook (PeftAdapter *adapter, PeftSlot *slot)
{
  for (guint i = 0; i < adapter->hooks->len; i++)
    {
      PeftSlotHook *hook = adapter->hooks->pdata[i];

      if (adapter->hook_slots->pdata[i] == slot && hook->klass == &token_rows_class)
        return (TokenRowsHook *) hook;
    }
  return NULL;
}

static gboolean
names_slot (const PeftJson *names, PeftSlot *slot)
{
  for (gsize i = 0; peft_json_get_kind (names) == PEFT_JSON_ARRAY && i < peft_json_get_length (names);
       i++)
    if (g_str_has_suffix (slot->path, peft_json_get_string (peft_json_get_element (names, i))))
      return TRUE;
  return FALSE;
}

/* source: the embedding's hook, for a head that shares its rows; else NULL. indices is taken. */
static gboolean
attach (PeftAdapter *adapter, PeftSlot *slot, GArray *indices, TokenRowsHook *source, GError **error)
{
  g_autoptr (GArray) own = indices;
  const gint64 shape[2] = { own->len, (gint64) get_width (slot) };
  TokenRowsHook *hook;

  if (peft_adapter_has_hook (adapter, slot))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("target_modules and trainable_token_indices both name '%s'; only one of them can"), slot->path);
      return FALSE;
    }
  if (names_slot (peft_config_get_json (adapter->config, "modules_to_save"), slot))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("modules_to_save and trainable_token_indices both name '%s'; only one of them can"),
                   slot->path);
      return FALSE;
    }
  hook = g_new0 (TokenRowsHook, 1);
  hook->parent.klass = &token_rows_class;
  hook->parent.weight = 1.0;
  hook->adapter = adapter;
  hook->slot = slot;
  hook->indices = g_steal_pointer (&own);
  hook->scale = slot->kind == PEFT_SLOT_EMBEDDING ? adapter->core->dims.embedding_scale : 1.0;
  hook->is_tied = source != NULL;
  hook->rows = source != NULL
                   ? source->rows
                   : peft_adapter_add_param (adapter, slot, "token_adapter.trainable_tokens_delta", 2,
                                             shape, TRUE, NULL);
  g_ptr_array_add (adapter->hooks, hook);
  g_ptr_array_add (adapter->hook_slots, slot);
  return TRUE;
}

/* The embedding or head whose path ends in `name`. */
static PeftSlot *
find_table (PeftCore *core, const char *name, GError **error)
{
  PeftSlot *tables[] = { core->embedding, core->head };

  for (guint i = 0; i < G_N_ELEMENTS (tables); i++)
    if (tables[i] != NULL && *name != '\0' && g_str_has_suffix (tables[i]->path, name))
      return tables[i];
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND,
               _ ("trainable_token_indices: '%s' is neither the embedding '%s' nor the head '%s'"), name,
               core->embedding->path, core->head != NULL ? core->head->path : "-");
  return NULL;
}

static gboolean
attach_list (PeftAdapter *adapter, PeftSlot *slot, const PeftJson *list, GError **error)
{
  GArray *indices = read_indices (list, slot, error);

  return indices != NULL && attach (adapter, slot, indices, NULL, error);
}

static gboolean
same_numbers (const PeftJson *a, const PeftJson *b)
{
  return a != NULL && b != NULL && peft_json_equal (a, b);
}

static gboolean
attach_map (PeftAdapter *adapter, const PeftJson *map, gboolean ensure, GError **error)
{
  PeftCore *core = adapter->core;
  const PeftJson *of_embedding = NULL, *of_head = NULL;

  for (gsize i = 0; i < peft_json_get_length (map); i++)
    {
      PeftSlot *slot = find_table (core, peft_json_get_name (map, i), error);

      if (slot == NULL)
        return FALSE;
      *(slot == core->embedding ? &of_embedding : &of_head) = peft_json_get_value (map, i);
    }
  if (core->head != NULL && core->head->tied && of_embedding != NULL && of_head != NULL)
    {
      if (same_numbers (of_embedding, of_head))
        of_head = NULL; /* it follows the embedding */
      else if (ensure)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                       _ ("ensure_weight_tying: trainable_token_indices gives '%s' and '%s' different tokens; they must "
                          "be the same"),
                       core->embedding->path, core->head->path);
          return FALSE;
        }
    }
  return (of_embedding == NULL || attach_list (adapter, core->embedding, of_embedding, error))
         && (of_head == NULL || attach_list (adapter, core->head, of_head, error));
}

gboolean
peft_token_rows_attach (PeftAdapter *adapter, GError **error)
{
  PeftCore *core = adapter->core;
  const PeftJson *value = peft_config_get_json (adapter->config, FIELD);
  gboolean ensure = peft_config_get_boolean (adapter->config, "ensure_weight_tying");
  TokenRowsHook *source;

  if (peft_json_get_kind (value) == PEFT_JSON_NULL)
    return TRUE;
  if (peft_json_get_kind (value) == PEFT_JSON_OBJECT
          ? !attach_map (adapter, value, ensure, error)
          : !attach_list (adapter, core->embedding, value, error))
    return FALSE;
  source = find_hook (adapter, core->embedding);
  if (source == NULL || core->head == NULL || !core->head->tied
      || find_hook (adapter, core->head) != NULL)
    return TRUE;
  adapter->keeps_tied = TRUE;
  return attach (adapter, core->head, g_array_ref (source->indices), source, error);
}

static gboolean
prepare (TokenRowsHook *self, GError **error)
{
  PeftSlot *slot = self->slot;
  PeftBackend *backend = self->adapter->core->backend;
  PeftAdapterOverride *override = peft_adapter_find_override (self->adapter, slot);
  gsize width = get_width (slot), n = self->indices->len;
  gsize n_rows
      = (gsize) (slot->kind == PEFT_SLOT_EMBEDDING ? slot->in_features : slot->out_features);
  const gint64 shape[2] = { (gint64) n, (gint64) width };
  const gint64 units_shape[2] = { (gint64) n_rows, (gint64) n };
  g_autofree float *table
      = peft_slot_read (slot, slot->weight, override != NULL ? override->weight : NULL, error);
  g_autofree float *frozen = g_new (float, n *width);
  g_autofree float *units = g_try_new0 (float, n_rows *n);

  if (table == NULL)
    return FALSE;
  if (units == NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY, _ ("no memory for %zu values"),
                   n_rows * n);
      return FALSE;
    }
  for (gsize i = 0; i < n; i++)
    {
      gsize index = (gsize) g_array_index (self->indices, gint64, i);

      memcpy (frozen + i * width, table + index * width, width * sizeof *frozen);
      units[index * n + i] = 1.0f;
    }
  self->frozen = peft_tensor_new_on (backend, backend->real, 2, shape, error);
  self->units
      = self->frozen != NULL ? peft_tensor_new_on (backend, backend->real, 2, units_shape, error) : NULL;
  if (self->units == NULL)
    return FALSE;
  peft_tensor_upload_f32 (self->frozen, frozen);
  peft_tensor_upload_f32 (self->units, units);
  if (!self->adapter->loading && !self->is_tied)
    peft_param_upload (self->rows, frozen);
  return TRUE;
}

gboolean
peft_token_rows_prepare (PeftAdapter *adapter, GError **error)
{
  for (guint i = 0; i < adapter->hooks->len; i++)
    {
      PeftSlotHook *hook = adapter->hooks->pdata[i];

      if (hook->klass == &token_rows_class && !prepare ((TokenRowsHook *) hook, error))
        return FALSE;
    }
  return TRUE;
}
