/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

#include "base/peft-checked.h"
#include "base/peft-random.h"
#include "methods/peft-adapter-private.h"
#include "methods/peft-adapter-task.h"
#include "methods/peft-config-private.h"
#include "methods/peft-pattern-map.h"
#include "methods/peft-pattern.h"
#include "methods/peft-target.h"
#include "methods/peft-weight-tying.h"

/* ---- Initial values ------------------------------------------------------------------------ */

static float *
new_values (PeftAdapter *self, gsize n)
{
  float *values;

  if (self->loading)
    return NULL;
  values = g_try_new0 (float, MAX (n, 1));
  self->out_of_memory = self->out_of_memory || values == NULL;
  return values;
}

float *
peft_init_uniform (PeftAdapter *self, const char *key, gsize n, double bound)
{
  float *values = new_values (self, n);

  if (values != NULL)
    peft_random_fill_uniform (self->seed, peft_random_stream (key), (float) -bound, (float) bound,
                              values, n);
  return values;
}

float *
peft_init_kaiming (PeftAdapter *self, const char *key, gint64 rows, gint64 columns)
{
  return peft_init_uniform (self, key, (gsize) (rows * columns), 1.0 / sqrt ((double) columns));
}

float *
peft_init_normal (PeftAdapter *self, const char *key, gsize n, double std)
{
  float *values = new_values (self, n);

  if (values != NULL)
    peft_random_fill_normal (self->seed, peft_random_stream (key), 0.0f, (float) std, values, n);
  return values;
}

float *
peft_init_zeros (PeftAdapter *self, gsize n)
{
  return new_values (self, n);
}

PeftParam *
peft_adapter_add_param (PeftAdapter *self,
                        PeftSlot *slot,
                        const char *suffix,
                        guint n_dims,
                        const gint64 *shape,
                        gboolean decay,
                        float *initial)
{
  g_autofree char *key = g_strconcat (PEFT_ADAPTER_PREFIX, slot->path, ".", suffix, NULL);

  return peft_param_set_add (self->params, key, n_dims, shape, decay, initial);
}

PeftParam *
peft_adapter_add_core_param (PeftAdapter *self,
                             const char *key,
                             guint n_dims,
                             const gint64 *shape,
                             gboolean decay,
                             float *initial)
{
  return peft_param_set_add (self->params, key, n_dims, shape, decay, initial);
}

gboolean
peft_adapter_lookup_number (PeftAdapter *self,
                            const char *field,
                            const char *pattern_field,
                            PeftSlot *slot,
                            double *out,
                            GError **error)
{
  PeftPatternMap *map = g_hash_table_lookup (self->patterns, pattern_field);

  *out = peft_config_get_double (self->config, field);
  if (map == NULL)
    {
      map = peft_pattern_map_new (self->config, pattern_field, error);
      if (map == NULL)
        return FALSE;
      g_hash_table_insert (self->patterns, g_strdup (pattern_field), map);
    }
  return peft_pattern_map_lookup (map, slot->path, out, error);
}

guint64
peft_adapter_stream (PeftAdapter *self, PeftSlot *slot)
{
  g_autofree char *stream = g_strconcat (slot->path, ".", self->name, NULL);

  return peft_random_stream (stream);
}

float *
peft_param_dup_values (PeftParam *param)
{
  gsize n = 1;
  float *values;

  for (guint i = 0; i < param->n_dims; i++)
    n *= (gsize) param->shape[i];
  values = g_new (float, MAX (n, 1));
  peft_param_download (param, values);
  return values;
}

void
peft_adapter_tensor_free (PeftAdapterTensor *self)
{
  g_free (self->key);
  g_free (self->values);
  g_free (self);
}

float *
peft_slot_read (PeftSlot *self, PeftTensor *frozen, PeftParam *trained, GError **error)
{
  guint n_dims = trained != NULL ? trained->n_dims : frozen->view.n_dims;
  const gint64 *shape = trained != NULL ? trained->shape : frozen->view.shape;
  guint64 n = 1;
  float *values;

  for (guint i = 0; i < n_dims; i++)
    n *= (guint64) shape[i];
  values = g_try_new (float, MAX (n, 1));
  if (values == NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY,
                   _ ("%s: no memory for %" PRIu64 " values"), self->path, n);
      return NULL;
    }
  if (trained != NULL)
    peft_param_download (trained, values);
  else
    {
      g_autoptr (GBytes) bytes = peft_tensor_get_bytes (frozen);
      const PeftDTypeInfo *info = peft_dtype_get_info (frozen->view.dtype);

      info->to_f32 (g_bytes_get_data (bytes, NULL), values, n);
    }
  return values;
}

/* ---- Life ---------------------------------------------------------------------------------- */

static void
hook_free (gpointer hook)
{
  ((PeftSlotHook *) hook)->klass->free (hook);
}

static PeftAdapter *
adapter_alloc (PeftCore *core, const char *name, guint64 seed)
{
  PeftAdapter *self = g_new0 (PeftAdapter, 1);

  self->ref_count = 1;
  self->name = g_strdup (name);
  self->core = peft_core_ref (core);
  self->seed = seed;
  self->params = peft_param_set_new (core->backend);
  self->hooks = g_ptr_array_new_with_free_func (hook_free);
  self->hook_slots = g_ptr_array_new ();
  self->overrides = g_ptr_array_new_with_free_func (g_free);
  self->notes = g_ptr_array_new_with_free_func (g_free);
  self->patterns = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                          (GDestroyNotify) peft_pattern_map_free);
  return self;
}

PeftAdapter *
peft_adapter_ref (PeftAdapter *self)
{
  g_atomic_int_inc (&self->ref_count);
  return self;
}

void
peft_adapter_unref (PeftAdapter *self)
{
  if (!g_atomic_int_dec_and_test (&self->ref_count))
    return;
  peft_adapter_set_active (self, FALSE, 1.0);
  if (self->method_data_free != NULL)
    self->method_data_free (self->method_data);
  if (self->core_hook != NULL)
    self->core_hook->klass->free (self->core_hook);
  g_hash_table_unref (self->patterns);
  g_ptr_array_unref (self->hooks);
  g_ptr_array_unref (self->hook_slots);
  g_ptr_array_unref (self->overrides);
  g_ptr_array_unref (self->notes);
  g_clear_object (&self->config);
  peft_param_set_unref (self->params);
  peft_core_unref (self->core);
  g_free (self->name);
  g_free (self->folder);
  g_free (self);
}

void
peft_adapter_note (PeftAdapter *self, char *note)
{
  g_debug ("adapter %s: %s", self->name, note);
  g_ptr_array_add (self->notes, note);
}

PeftAdapterOverride *
peft_adapter_find_override (PeftAdapter *self, PeftSlot *slot)
{
  for (guint i = 0; i < self->overrides->len; i++)
    {
      PeftAdapterOverride *override = self->overrides->pdata[i];

      if (override->slot == slot)
        return override;
    }
  return NULL;
}

PeftAdapterOverride *
peft_adapter_get_override (PeftAdapter *self, PeftSlot *slot)
{
  PeftAdapterOverride *override = peft_adapter_find_override (self, slot);

  if (override == NULL)
    {
      override = g_new0 (PeftAdapterOverride, 1);
      override->slot = slot;
      g_ptr_array_add (self->overrides, override);
    }
  return override;
}

gboolean
peft_adapter_has_hook (PeftAdapter *self, PeftSlot *slot)
{
  return g_ptr_array_find (self->hook_slots, slot, NULL);
}

/* ---- Declaring parameters ------------------------------------------------------------------ */

static PeftParam *
add_copy (PeftAdapter *self,
          PeftSlot *slot,
          const char *key,
          PeftTensor *frozen,
          gboolean decay,
          GError **error)
{
  float *initial = NULL;

  if (!self->loading)
    {
      /* As transformers starts a head: normal weights, zero biases. */
      initial = !slot->fresh             ? peft_slot_read (slot, frozen, NULL, error)
                : frozen == slot->weight ? peft_init_normal (self, key, peft_view_n_values (&frozen->view),
                                                             self->core->initializer_range)
                                         : peft_init_zeros (self, peft_view_n_values (&frozen->view));
      /* What peft_init_* cannot have is found out when all is declared. */
      if (initial == NULL && !slot->fresh)
        return NULL;
    }
  return peft_param_set_add (self->params, key, frozen->view.n_dims, frozen->view.shape, decay,
                             initial);
}

/* prefix: of the keys; weight and bias: which of the two. */
static gboolean
override_slot (PeftAdapter *self,
               PeftSlot *slot,
               const char *prefix,
               gboolean weight,
               gboolean bias,
               GError **error)
{
  PeftAdapterOverride *override = peft_adapter_get_override (self, slot);
  g_autofree char *weight_key = g_strconcat (prefix, slot->path, ".weight", NULL);
  gboolean adapted = peft_adapter_has_hook (self, slot);
  g_autofree char *bias_key
      = g_strconcat (prefix, slot->path, adapted ? PEFT_BASE_LAYER : "", ".bias", NULL);

  if (weight && slot->weight != NULL && override->weight == NULL)
    {
      override->weight
          = add_copy (self, slot, weight_key, slot->weight, slot->kind != PEFT_SLOT_NORM, error);
      if (override->weight == NULL)
        return FALSE;
    }
  if (bias && slot->bias != NULL && override->bias == NULL)
    {
      override->bias = add_copy (self, slot, bias_key, slot->bias, FALSE, error);
      if (override->bias == NULL)
        return FALSE;
    }
  return TRUE;
}

/* peft keeps its copies of modules beside the originals. */
static void
name_saved (PeftParam *param, const char *prefix, PeftSlot *slot, const char *part)
{
  if (param != NULL && param->name == NULL)
    param->name = g_strconcat (prefix, slot->path, ".modules_to_save.default.", part, NULL);
}

static gboolean
declare_saved_modules (PeftAdapter *self, PeftTargets *targets, GError **error)
{
  /* In peft a method without targets wraps the model itself. */
  const char *prefix = self->method->slot_kinds != 0 ? PEFT_ADAPTER_PREFIX : PEFT_MODEL_PREFIX;

  for (guint i = 0; i < self->core->slots->len; i++)
    {
      PeftSlot *slot = self->core->slots->pdata[i];

      if (!peft_targets_is_saved (targets, slot->path))
        continue;
      if (peft_adapter_has_hook (self, slot))
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                       _ ("modules_to_save and target_modules both name '%s'"), slot->path);
          return FALSE;
        }
      if (!override_slot (self, slot, prefix, TRUE, TRUE, error))
        return FALSE;
      name_saved (peft_adapter_get_override (self, slot)->weight, prefix, slot, "weight");
      name_saved (peft_adapter_get_override (self, slot)->bias, prefix, slot, "bias");
    }
  return TRUE;
}

static gboolean
declare_biases (PeftAdapter *self, GError **error)
{
  const char *bias = "none";

  if (peft_config_class_find_field (PEFT_CONFIG_GET_CLASS (self->config), "bias") != NULL)
    bias = peft_config_get_string (self->config, "bias");
  if (g_str_equal (bias, "none"))
    return TRUE;
  for (guint i = 0; i < self->core->slots->len; i++)
    {
      PeftSlot *slot = self->core->slots->pdata[i];

      if ((g_str_equal (bias, "all") || peft_adapter_has_hook (self, slot))
          && !override_slot (self, slot, PEFT_ADAPTER_PREFIX, FALSE, TRUE, error))
        return FALSE;
    }
  return TRUE;
}

static void
fill_config (PeftAdapter *self, PeftTargets *targets)
{
  g_autoptr (GPtrArray) unmatched = peft_targets_get_unmatched (targets);
  g_auto (GStrv) unknown = peft_config_get_unknown_fields (self->config);

  if (self->method->slot_kinds != 0)
    peft_config_set_json (self->config, "target_modules",
                          peft_json_ref (peft_targets_get_resolved (targets)),
                          PEFT_ERROR_INVALID_ARGUMENT, NULL);
  if (peft_config_get_string (self->config, "base_model_name_or_path") == NULL)
    peft_config_set_json (self->config, "base_model_name_or_path",
                          peft_json_new_string (self->core->path), PEFT_ERROR_INVALID_ARGUMENT,
                          NULL);
  if (!peft_config_is_set (self->config, "task_type"))
    peft_config_set_json (self->config, "task_type",
                          peft_json_new_string (peft_task_get_name (self->core->task)),
                          PEFT_ERROR_INVALID_ARGUMENT, NULL);
  for (guint i = 0; i < unmatched->len; i++)
    peft_adapter_note (self, g_strdup_printf (_ ("target_modules: '%s' matches no module"),
                                              (const char *) unmatched->pdata[i]));
  for (char **name = unknown; *name != NULL; name++)
    peft_adapter_note (self,
                       g_strdup_printf (_ ("the configuration's field '%s' is unknown to this "
                                           "version and was ignored"),
                                        *name));
}

static gboolean
declare_hooks (PeftAdapter *self, PeftTargets *targets, GError **error)
{
  g_autoptr (GPtrArray) slots = NULL;

  if (self->method->slot_kinds == 0)
    return TRUE;
  slots = peft_targets_select (targets, self->core, self->method->slot_kinds, error);
  if (slots == NULL)
    return FALSE;
  for (guint i = 0; i < slots->len; i++)
    {
      PeftSlotHook *hook = self->method->attach (self, slots->pdata[i], error);

      if (hook == NULL)
        return FALSE;
      g_ptr_array_add (self->hooks, hook);
      g_ptr_array_add (self->hook_slots, slots->pdata[i]);
    }
  return TRUE;
}

static gboolean
has_start_values (PeftAdapter *self, GError **error)
{
  if (self->out_of_memory)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY,
                 _ ("no memory for the start values of the adapter '%s'"), self->name);
  return !self->out_of_memory;
}

PeftAdapter *
peft_adapter_declare (PeftCore *core,
                      PeftConfig *config,
                      const char *name,
                      guint64 seed,
                      gboolean loading,
                      gboolean stored_form,
                      GError **error)
{
  g_autoptr (PeftTargets) targets = NULL;
  g_autoptr (PeftAdapter) self = NULL;

  if (!peft_config_validate (config, error) || !peft_adapter_task_check (core, config, error))
    return NULL;
  self = adapter_alloc (core, name, seed);
  self->method = peft_method_find (peft_config_get_peft_type (config));
  self->config = peft_weight_tying_resolve (config, core, error);
  if (self->config == NULL)
    return NULL;
  peft_adapter_task_save_head (core, self->config);
  targets = peft_targets_new (self->config, core->model_type, error);
  if (targets == NULL)
    return NULL;
  self->loading = loading;
  self->stored_form = stored_form;
  if ((self->method->declare != NULL && !self->method->declare (self, error))
      || !declare_hooks (self, targets, error)
      || (self->method->complete != NULL && !self->method->complete (self, error))
      || !declare_saved_modules (self, targets, error)
      || !declare_biases (self, error))
    return NULL;
  peft_weight_tying_share (self);
  if (!has_start_values (self, error))
    return NULL;
  fill_config (self, targets);
  return g_steal_pointer (&self);
}

PeftAdapter *
peft_adapter_new (
    PeftCore *core, PeftConfig *config, const char *name, guint64 seed, GError **error)
{
  g_autoptr (PeftAdapter) self = peft_adapter_declare (core, config, name, seed, FALSE, FALSE, error);

  if (self == NULL || !peft_param_set_allocate (self->params, error)
      || (self->method->prepare != NULL && !self->method->prepare (self, error)))
    return NULL;
  return g_steal_pointer (&self);
}

PeftAdapter *
peft_adapter_new_full (PeftCore *core, GError **error)
{
  g_autoptr (PeftAdapter) self = adapter_alloc (core, "full", 0);

  for (guint i = 0; i < core->slots->len; i++)
    {
      PeftSlot *slot = core->slots->pdata[i];

      if (!override_slot (self, slot, "", !slot->tied, TRUE, error))
        return NULL;
    }
  for (guint i = 0; i < core->slots->len; i++)
    {
      PeftSlot *slot = core->slots->pdata[i];

      if (slot->tied)
        peft_adapter_get_override (self, slot)->weight
            = peft_adapter_get_override (self, core->embedding)->weight;
    }
  if (!has_start_values (self, error) || !peft_param_set_allocate (self->params, error))
    return NULL;
  return g_steal_pointer (&self);
}

/* ---- Activity ------------------------------------------------------------------------------ */

void
peft_adapter_set_active (PeftAdapter *self, gboolean active, double weight)
{
  if (self->core_hook != NULL && (active || self->core->hook == self->core_hook))
    self->core->hook = active ? self->core_hook : NULL;
  for (guint i = 0; i < self->hooks->len; i++)
    {
      PeftSlotHook *hook = self->hooks->pdata[i];
      PeftSlot *slot = self->hook_slots->pdata[i];

      hook->weight = weight;
      if (active && !self->active)
        g_ptr_array_add (slot->hooks, hook);
      else if (!active && self->active)
        g_ptr_array_remove (slot->hooks, hook);
    }
  for (guint i = 0; i < self->overrides->len; i++)
    {
      PeftAdapterOverride *override = self->overrides->pdata[i];
      PeftSlot *slot = override->slot;

      if (override->weight != NULL && (active || slot->weight_param == override->weight))
        slot->weight_param = active ? override->weight : NULL;
      if (override->bias != NULL && (active || slot->bias_param == override->bias))
        slot->bias_param = active ? override->bias : NULL;
    }
  self->active = active;
}

static gboolean
refuse_pair (PeftAdapter *a, PeftAdapter *b, PeftSlot *slot, GError **error)
{
  g_set_error (
      error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
      _ ("the adapters '%s' and '%s' cannot be active together: both replace the weights of "
         "'%s'"),
      a->name, b->name, slot->path);
  return FALSE;
}

gboolean
peft_adapter_check_together (GPtrArray *adapters, GError **error)
{
  for (guint i = 0; i < adapters->len; i++)
    for (guint j = i + 1; j < adapters->len; j++)
      {
        PeftAdapter *a = adapters->pdata[i], *b = adapters->pdata[j];

        if (a->core_hook != NULL && b->core_hook != NULL)
          {
            g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                         _ ("the adapters '%s' and '%s' cannot be active together: each puts its own "
                            "prompt in front"),
                         a->name, b->name);
            return FALSE;
          }
        for (guint k = 0; k < a->overrides->len; k++)
          {
            PeftAdapterOverride *mine = a->overrides->pdata[k];
            PeftAdapterOverride *other = peft_adapter_find_override (b, mine->slot);

            if (other != NULL
                && ((mine->weight != NULL && other->weight != NULL)
                    || (mine->bias != NULL && other->bias != NULL)))
              return refuse_pair (a, b, mine->slot, error);
          }
      }
  return TRUE;
}
