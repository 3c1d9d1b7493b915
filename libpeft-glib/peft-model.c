/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-model.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"
#include "methods/peft-config-private.h"
#include "train/peft-checkpoint.h"
#include "peft-model-private.h"

/**
 * PeftModel:
 *
 * A base model with named adapters.
 *
 * Adapters are added, loaded and deleted; those that are active change what the model computes. The first
 * adapter becomes active by itself.
 *
 * One operation runs at a time on a base model. While one does, everything that would compute or change
 * something fails with `PEFT_ERROR_BUSY`; asking for names is always possible. An operation that fails or is
 * cancelled leaves the model as it was; training is the exception, see [class@Trainer].
 *
 * Synchronous calls compute in the calling thread. Instances belong to the thread that made them.
 *
 * Since: 1.0
 */
G_DEFINE_FINAL_TYPE (PeftModel, peft_model, G_TYPE_OBJECT)

enum
{
  PROP_0,
  PROP_BASE_MODEL,
  PROP_ENABLED,
  N_PROPS
};
static GParamSpec *props[N_PROPS];

enum
{
  SIGNAL_CHANGED,
  SIGNAL_PROGRESS,
  N_SIGNALS
};
static guint signals[N_SIGNALS];

static void
entry_free (gpointer data)
{
  PeftModelEntry *entry = data;

  peft_adapter_unref (entry->adapter);
  g_free (entry);
}

static void
peft_model_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  PeftModel *self = PEFT_MODEL (object);

  switch (id)
    {
    case PROP_BASE_MODEL:
      g_value_set_object (value, self->base);
      break;
    case PROP_ENABLED:
      g_value_set_boolean (value, peft_model_get_enabled (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
peft_model_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  PeftModel *self = PEFT_MODEL (object);

  switch (id)
    {
    case PROP_BASE_MODEL:
      self->base = g_value_dup_object (value);
      if (self->base != NULL)
        peft_base_model_count_users (self->base, 1);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
peft_model_finalize (GObject *object)
{
  PeftModel *self = PEFT_MODEL (object);

  g_clear_pointer (&self->entries, g_ptr_array_unref);
  g_clear_pointer (&self->merged, g_ptr_array_unref);
  if (self->base != NULL)
    peft_base_model_count_users (self->base, -1);
  g_clear_object (&self->base);
  g_mutex_clear (&self->mutex);
  G_OBJECT_CLASS (peft_model_parent_class)->finalize (object);
}

static void
peft_model_class_init (PeftModelClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = peft_model_get_property;
  object_class->set_property = peft_model_set_property;
  object_class->finalize = peft_model_finalize;

  /**
   * PeftModel:base-model:
   *
   * The model that the adapters are on.
   *
   * Since: 1.0
   */
  props[PROP_BASE_MODEL]
      = g_param_spec_object ("base-model", NULL, NULL, PEFT_TYPE_BASE_MODEL,
                             G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  /**
   * PeftModel:enabled:
   *
   * Whether the active adapters count; see [method@Model.set_enabled].
   *
   * Since: 1.0
   */
  props[PROP_ENABLED] = g_param_spec_boolean ("enabled", NULL, NULL, TRUE,
                                              G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, props);

  /**
   * PeftModel::adapters-changed:
   * @self: the model
   *
   * Adapters came or went, or others are active now.
   *
   * It is emitted in the thread that made the change; for an asynchronous call that is the one in whose main
   * context its callback runs.
   *
   * Since: 1.0
   */
  signals[SIGNAL_CHANGED]
      = g_signal_new ("adapters-changed", PEFT_TYPE_MODEL, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                      G_TYPE_NONE, 0);
  /**
   * PeftModel::progress:
   * @self: the model
   * @done: parts done
   * @total: parts there are
   *
   * How far [method@Model.evaluate] is.
   *
   * During an asynchronous call it is emitted in the main context of the caller, not more often than screens are
   * drawn.
   *
   * Since: 1.0
   */
  signals[SIGNAL_PROGRESS]
      = g_signal_new ("progress", PEFT_TYPE_MODEL, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                      G_TYPE_NONE, 2, G_TYPE_UINT64, G_TYPE_UINT64);
}

static void
peft_model_init (PeftModel *self)
{
  g_mutex_init (&self->mutex);
  self->entries = g_ptr_array_new_with_free_func (entry_free);
  self->merged = g_ptr_array_new_with_free_func (peft_merged_slot_free);
  self->enabled = TRUE;
}

/* ---- For the rest of the library ----------------------------------------------------------- */

PeftCore *
peft_model_get_core (PeftModel *self)
{
  return peft_base_model_get_core (self->base);
}

PeftWorker *
peft_model_get_worker (PeftModel *self)
{
  return peft_base_model_get_worker (self->base);
}

guint
peft_model_get_serial (PeftModel *self)
{
  guint serial;

  g_mutex_lock (&self->mutex);
  serial = self->serial;
  g_mutex_unlock (&self->mutex);
  return serial;
}

void
peft_model_bump_serial (PeftModel *self)
{
  g_mutex_lock (&self->mutex);
  self->serial++;
  g_mutex_unlock (&self->mutex);
}

PeftModelEntry *
peft_model_find_entry (PeftModel *self, const char *name)
{
  for (guint i = 0; i < self->entries->len; i++)
    {
      PeftModelEntry *entry = self->entries->pdata[i];

      if (g_str_equal (entry->adapter->name, name))
        return entry;
    }
  return NULL;
}

static void
set_hook_weights (PeftAdapter *adapter, double weight)
{
  for (guint i = 0; i < adapter->hooks->len; i++)
    ((PeftSlotHook *) adapter->hooks->pdata[i])->weight = weight;
}

void
peft_model_attach (PeftModel *self)
{
  g_mutex_lock (&self->mutex);
  for (guint i = 0; self->enabled && i < self->entries->len; i++)
    {
      PeftModelEntry *entry = self->entries->pdata[i];

      /* A merged one is asked when a model is written. */
      if (entry->merged)
        set_hook_weights (entry->adapter, entry->weight * entry->scale);
      else if (entry->active)
        peft_adapter_set_active (entry->adapter, TRUE, entry->weight * entry->scale);
    }
  for (guint i = 0; self->enabled && i < self->merged->len; i++)
    {
      PeftMergedSlot *merged = self->merged->pdata[i];

      merged->slot->merged_weight = merged->weight;
      merged->slot->merged_bias = merged->bias;
    }
  g_mutex_unlock (&self->mutex);
}

void
peft_model_detach (PeftModel *self)
{
  g_mutex_lock (&self->mutex);
  for (guint i = 0; i < self->entries->len; i++)
    {
      PeftModelEntry *entry = self->entries->pdata[i];

      if (entry->adapter->active)
        peft_adapter_set_active (entry->adapter, FALSE, 1);
      set_hook_weights (entry->adapter, 1);
    }
  for (guint i = 0; i < self->merged->len; i++)
    {
      PeftMergedSlot *merged = self->merged->pdata[i];

      merged->slot->merged_weight = merged->slot->merged_bias = NULL;
    }
  g_mutex_unlock (&self->mutex);
}

GPtrArray *
peft_model_list_active (PeftModel *self)
{
  GPtrArray *adapters = g_ptr_array_new_with_free_func ((GDestroyNotify) peft_adapter_unref);

  g_mutex_lock (&self->mutex);
  for (guint i = 0; self->enabled && i < self->entries->len; i++)
    {
      PeftModelEntry *entry = self->entries->pdata[i];

      if (entry->active)
        g_ptr_array_add (adapters, peft_adapter_ref (entry->adapter));
    }
  g_mutex_unlock (&self->mutex);
  return adapters;
}

void
peft_model_emit_changed (PeftModel *self)
{
  g_signal_emit (self, signals[SIGNAL_CHANGED], 0);
}

void
peft_model_emit_progress (PeftModel *self, guint64 done, guint64 total)
{
  g_signal_emit (self, signals[SIGNAL_PROGRESS], 0, done, total);
}

PeftAdapter *
peft_model_get_trained (PeftModel *self, GError **error)
{
  g_autoptr (GPtrArray) active = peft_model_list_active (self);
  gboolean merged;

  g_mutex_lock (&self->mutex);
  merged = self->merged->len > 0;
  g_mutex_unlock (&self->mutex);
  if (merged)
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                           _ ("adapters are merged into the model; unmerge them before training"));
      return NULL;
    }
  if (active->len == 1)
    return peft_adapter_ref (active->pdata[0]);
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
               _ ("training takes one active adapter, found %u"), active->len);
  return NULL;
}

/* ---- Adapters ------------------------------------------------------------------------------ */

/**
 * peft_model_new:
 * @base: the model that adapters will be on
 *
 * Makes a model without adapters.
 *
 * Returns: (transfer full): the model
 *
 * Since: 1.0
 */
PeftModel *
peft_model_new (PeftBaseModel *base)
{
  g_return_val_if_fail (PEFT_IS_BASE_MODEL (base), NULL);

  return g_object_new (PEFT_TYPE_MODEL, "base-model", base, NULL);
}

/**
 * peft_model_get_base_model:
 * @self: a model
 *
 * Gets the model that the adapters are on.
 *
 * Returns: (transfer none): the base model
 *
 * Since: 1.0
 */
PeftBaseModel *
peft_model_get_base_model (PeftModel *self)
{
  g_return_val_if_fail (PEFT_IS_MODEL (self), NULL);

  return self->base;
}

/**
 * peft_model_is_busy:
 * @self: a model
 *
 * Tells whether an operation runs on the base model.
 *
 * Returns: `TRUE` if so
 *
 * Since: 1.0
 */
gboolean
peft_model_is_busy (PeftModel *self)
{
  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);

  return peft_worker_is_busy (peft_model_get_worker (self));
}

gboolean
peft_model_check_name (PeftModel *self, const char *name, GError **error)
{
  gboolean taken;

  /* It becomes a folder's name. */
  if (*name == '\0' || *name == '.' || strchr (name, '/') != NULL || !g_utf8_validate (name, -1, NULL))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("adapter name “%s”: expected a name without slashes that does not begin with a dot"),
                   name);
      return FALSE;
    }
  g_mutex_lock (&self->mutex);
  taken = peft_model_find_entry (self, name) != NULL;
  g_mutex_unlock (&self->mutex);
  if (taken)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                 _ ("there is an adapter “%s” already"), name);
  return !taken;
}

void
peft_model_take_adapter (PeftModel *self, PeftAdapter *adapter)
{
  PeftModelEntry *entry = g_new0 (PeftModelEntry, 1);

  entry->adapter = adapter;
  entry->weight = entry->scale = 1;
  g_mutex_lock (&self->mutex);
  entry->active = self->entries->len == 0;
  g_ptr_array_add (self->entries, entry);
  self->serial++;
  g_mutex_unlock (&self->mutex);
}

/**
 * peft_model_add_adapter:
 * @self: a model
 * @name: the adapter's name
 * @config: its settings, which are copied
 * @seed: seed of its start values
 * @error: return location for an error
 *
 * Adds a new, untrained adapter.
 *
 * It becomes active when it is the first one. `base_model_name_or_path` is filled in when it is unset.
 *
 * Errors name what would be right: targets that match no module come with the closest names.
 *
 * Returns: whether it was added
 *
 * Since: 1.0
 */
gboolean
peft_model_add_adapter (PeftModel *self, const char *name, PeftConfig *config, guint64 seed,
                        GError **error)
{
  g_autoptr (PeftConfig) copy = NULL;
  PeftAdapter *adapter;

  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);
  g_return_val_if_fail (name != NULL, FALSE);
  g_return_val_if_fail (PEFT_IS_CONFIG (config), FALSE);

  if (!peft_model_check_name (self, name, error)
      || !peft_worker_begin (peft_model_get_worker (self), _ ("adding an adapter"), error))
    return FALSE;
  copy = peft_config_dup (config);
  if (peft_config_get_string (copy, "base_model_name_or_path") == NULL)
    peft_config_set_json (copy, "base_model_name_or_path",
                          peft_json_new_string (peft_base_model_get_name (self->base)),
                          PEFT_ERROR_INVALID_ARGUMENT, NULL);
  adapter = peft_adapter_new (peft_model_get_core (self), copy, name, seed, error);
  if (adapter != NULL)
    peft_model_take_adapter (self, adapter);
  peft_worker_end (peft_model_get_worker (self));
  if (adapter != NULL)
    g_signal_emit (self, signals[SIGNAL_CHANGED], 0);
  return adapter != NULL;
}

/**
 * peft_model_add_full_training:
 * @self: a model
 * @name: a name for the trained weights
 * @error: return location for an error
 *
 * Makes all weights of the base model trainable.
 *
 * The weights are copied in float32 and treated like an adapter, which is active when it is the first one; saving
 * it writes a whole model.
 *
 * Returns: whether it was added
 *
 * Since: 1.0
 */
gboolean
peft_model_add_full_training (PeftModel *self, const char *name, GError **error)
{
  PeftAdapter *adapter;

  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);
  g_return_val_if_fail (name != NULL, FALSE);

  if (!peft_model_check_name (self, name, error)
      || !peft_worker_begin (peft_model_get_worker (self), _ ("adding an adapter"), error))
    return FALSE;
  adapter = peft_adapter_new_full (peft_model_get_core (self), error);
  if (adapter != NULL)
    {
      g_free (adapter->name);
      adapter->name = g_strdup (name);
      peft_model_take_adapter (self, adapter);
    }
  peft_worker_end (peft_model_get_worker (self));
  if (adapter != NULL)
    g_signal_emit (self, signals[SIGNAL_CHANGED], 0);
  return adapter != NULL;
}

typedef struct
{
  char *folder, *name;
} LoadData;

static void
load_data_free (gpointer data)
{
  LoadData *self = data;

  g_free (self->folder);
  g_free (self->name);
  g_free (self);
}

static LoadData *
load_data_new (const char *folder, const char *name)
{
  LoadData *self = g_new0 (LoadData, 1);

  self->folder = g_strdup (folder);
  self->name = g_strdup (name);
  return self;
}

PeftAdapter *
peft_model_complete_adapter (PeftModel *self, PeftAdapter *adapter, const char *state,
                             GError **error)
{
  g_autoptr (PeftAdapter) complete
      = peft_adapter_load_trainable (adapter->core, adapter->folder, adapter->name, error);

  if (complete == NULL || !peft_checkpoint_load_values (complete, state, error))
    return NULL;
  g_mutex_lock (&self->mutex);
  for (guint i = 0; i < self->entries->len; i++)
    {
      PeftModelEntry *entry = self->entries->pdata[i];

      if (entry->adapter == adapter)
        {
          peft_adapter_unref (entry->adapter);
          entry->adapter = peft_adapter_ref (complete);
        }
    }
  g_mutex_unlock (&self->mutex);
  return g_steal_pointer (&complete);
}

/* A checkpoint's folder has more than the adapter's file holds. */
static gboolean
complete_from_checkpoint (PeftModel *self, PeftAdapter **adapter, GError **error)
{
  g_autofree char *state = NULL;
  PeftAdapter *complete;

  if (!(*adapter)->incomplete)
    return TRUE;
  state = g_build_filename ((*adapter)->folder, PEFT_CHECKPOINT_STATE, NULL);
  if (!g_file_test (state, G_FILE_TEST_EXISTS))
    return TRUE;
  complete = peft_model_complete_adapter (self, *adapter, state, error);
  if (complete == NULL)
    return FALSE;
  peft_adapter_unref (*adapter);
  *adapter = complete;
  return TRUE;
}

static gpointer
load_work (gpointer source, gpointer data, PeftRelay *relay, GCancellable *cancellable,
           GError **error)
{
  PeftModel *self = source;
  LoadData *load = data;
  g_autoptr (PeftAdapter) adapter = NULL;

  if (!peft_model_check_name (self, load->name, error)
      || g_cancellable_set_error_if_cancelled (cancellable, error))
    return NULL;
  adapter = peft_adapter_load (peft_model_get_core (self), load->folder, load->name, error);
  if (adapter == NULL || !complete_from_checkpoint (self, &adapter, error))
    return NULL;
  peft_model_take_adapter (self, g_steal_pointer (&adapter));
  return self;
}

/**
 * peft_model_load_adapter:
 * @self: a model
 * @folder: a folder with `adapter_config.json` and `adapter_model.safetensors`, as the Python library peft writes it
 * @name: the adapter's name; when @folder has a folder of that name with an adapter in it, that is taken
 * @error: return location for an error
 *
 * Loads an adapter.
 *
 * It becomes active when it is the first one. Where an adapter's file holds less than what is trained (P-tuning), it
 * can be used but not trained on, unless @folder is a checkpoint's and has the full state, too.
 *
 * Returns: whether it was loaded
 *
 * Since: 1.0
 */
gboolean
peft_model_load_adapter (PeftModel *self, const char *folder, const char *name, GError **error)
{
  LoadData data = { (char *) folder, (char *) name };

  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);
  g_return_val_if_fail (folder != NULL && name != NULL, FALSE);

  if (peft_worker_run (peft_model_get_worker (self), _ ("loading an adapter"), self, &data, NULL,
                       load_work, NULL, error)
      == NULL)
    return FALSE;
  g_signal_emit (self, signals[SIGNAL_CHANGED], 0);
  return TRUE;
}

/**
 * peft_model_load_adapter_async:
 * @self: a model
 * @folder: a folder with an adapter
 * @name: the adapter's name
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when it is done
 * @user_data: data for @callback
 *
 * Loads an adapter on the model's thread.
 *
 * Since: 1.0
 */
void
peft_model_load_adapter_async (PeftModel *self, const char *folder, const char *name,
                               GCancellable *cancellable, GAsyncReadyCallback callback,
                               gpointer user_data)
{
  GTask *task;

  g_return_if_fail (PEFT_IS_MODEL (self));
  g_return_if_fail (folder != NULL && name != NULL);

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, peft_model_load_adapter_async);
  g_task_set_task_data (task, load_data_new (folder, name), load_data_free);
  peft_worker_run_async (peft_model_get_worker (self), _ ("loading an adapter"), task, NULL,
                         load_work, NULL);
}

/**
 * peft_model_load_adapter_finish:
 * @self: a model
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends [method@Model.load_adapter_async].
 *
 * Returns: whether it was loaded
 *
 * Since: 1.0
 */
gboolean
peft_model_load_adapter_finish (PeftModel *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  if (g_task_propagate_pointer (G_TASK (result), error) == NULL)
    return FALSE;
  g_signal_emit (self, signals[SIGNAL_CHANGED], 0);
  return TRUE;
}

void
peft_model_set_no_adapter (const char *name, GError **error)
{
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND, _ ("there is no adapter “%s”"), name);
}

/**
 * peft_model_delete_adapter:
 * @self: a model
 * @name: an adapter's name
 * @error: return location for an error
 *
 * Forgets an adapter; its files stay.
 *
 * Returns: whether it was there
 *
 * Since: 1.0
 */
gboolean
peft_model_delete_adapter (PeftModel *self, const char *name, GError **error)
{
  PeftModelEntry *entry;
  gboolean merged;

  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);
  g_return_val_if_fail (name != NULL, FALSE);

  if (!peft_worker_begin (peft_model_get_worker (self), _ ("deleting an adapter"), error))
    return FALSE;
  g_mutex_lock (&self->mutex);
  entry = peft_model_find_entry (self, name);
  merged = entry != NULL && entry->merged;
  if (entry != NULL && !merged)
    {
      g_ptr_array_remove (self->entries, entry);
      self->serial++;
    }
  g_mutex_unlock (&self->mutex);
  peft_worker_end (peft_model_get_worker (self));
  if (merged)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("the adapter “%s” is merged into the model; unmerge it before deleting it"), name);
      return FALSE;
    }
  if (entry == NULL)
    {
      peft_model_set_no_adapter (name, error);
      return FALSE;
    }
  g_signal_emit (self, signals[SIGNAL_CHANGED], 0);
  return TRUE;
}

static GStrv
list_names (PeftModel *self, gboolean active_only)
{
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();

  g_mutex_lock (&self->mutex);
  for (guint i = 0; i < self->entries->len; i++)
    {
      PeftModelEntry *entry = self->entries->pdata[i];

      if (entry->active || !active_only)
        g_strv_builder_add (names, entry->adapter->name);
    }
  g_mutex_unlock (&self->mutex);
  return g_strv_builder_end (names);
}

/**
 * peft_model_get_adapter_names:
 * @self: a model
 *
 * Lists the adapters, in the order they came.
 *
 * Returns: (transfer full) (array zero-terminated=1): the names
 *
 * Since: 1.0
 */
GStrv
peft_model_get_adapter_names (PeftModel *self)
{
  g_return_val_if_fail (PEFT_IS_MODEL (self), NULL);

  return list_names (self, FALSE);
}

/**
 * peft_model_get_active:
 * @self: a model
 *
 * Lists the active adapters; they count while [property@Model:enabled] is set.
 *
 * Returns: (transfer full) (array zero-terminated=1): the names
 *
 * Since: 1.0
 */
GStrv
peft_model_get_active (PeftModel *self)
{
  g_return_val_if_fail (PEFT_IS_MODEL (self), NULL);

  return list_names (self, TRUE);
}

/**
 * peft_model_get_adapter_config:
 * @self: a model
 * @name: an adapter's name
 *
 * Gets the settings of an adapter, with the modules that they came to mean.
 *
 * Returns: (transfer full) (nullable): a copy; `NULL` for full training, or when there is no such adapter
 *
 * Since: 1.0
 */
PeftConfig *
peft_model_get_adapter_config (PeftModel *self, const char *name)
{
  PeftConfig *config = NULL;
  PeftModelEntry *entry;

  g_return_val_if_fail (PEFT_IS_MODEL (self), NULL);
  g_return_val_if_fail (name != NULL, NULL);

  g_mutex_lock (&self->mutex);
  entry = peft_model_find_entry (self, name);
  if (entry != NULL && entry->adapter->config != NULL)
    config = peft_config_dup (entry->adapter->config);
  g_mutex_unlock (&self->mutex);
  return config;
}

/**
 * peft_model_get_adapter_notes:
 * @self: a model
 * @name: an adapter's name
 *
 * Gets remarks that the user should see once: fields and tensors that were ignored and the like.
 *
 * Returns: (transfer full) (array zero-terminated=1): the remarks, in the user's language
 *
 * Since: 1.0
 */
GStrv
peft_model_get_adapter_notes (PeftModel *self, const char *name)
{
  g_autoptr (GStrvBuilder) notes = g_strv_builder_new ();
  PeftModelEntry *entry;

  g_return_val_if_fail (PEFT_IS_MODEL (self), NULL);
  g_return_val_if_fail (name != NULL, NULL);

  g_mutex_lock (&self->mutex);
  entry = peft_model_find_entry (self, name);
  for (guint i = 0; entry != NULL && i < entry->adapter->notes->len; i++)
    g_strv_builder_add (notes, entry->adapter->notes->pdata[i]);
  g_mutex_unlock (&self->mutex);
  return g_strv_builder_end (notes);
}
