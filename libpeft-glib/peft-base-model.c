/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-base-model.h"

#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "hub/peft-hub-cache.h"
#include "methods/peft-adapter-task.h"
#include "peft-base-model-private.h"
#include "peft-device-private.h"
#include "peft-enum-types.h"
#include "peft-tokenizer-private.h"
#include "train/peft-generate.h"

/**
 * PeftBaseModel:
 *
 * A pretrained language model on a device.
 *
 * Its weights never change; [class@Model] puts adapters on it. Weights are mapped from the file, so that
 * a model takes little memory of its own on the processor.
 *
 * A base model computes one operation at a time, on one thread of its own for the asynchronous ones; a
 * second one fails with `PEFT_ERROR_BUSY`. What the getters give never changes, so that any thread may
 * ask.
 *
 * Since: 1.0
 */
struct _PeftBaseModel
{
  GObject parent_instance;

  char *name;
  PeftDevice *device;
  PeftLoadDType dtype;
  PeftCore *core;
  PeftWorker *worker;
  char *compute;
  GMutex mutex;
  PeftTokenizer *tokenizer; /* loaded when it is first wanted; under mutex */
  gint n_users;             /* atomic */
};

G_DEFINE_FINAL_TYPE (PeftBaseModel, peft_base_model, G_TYPE_OBJECT)

enum
{
  PROP_0,
  PROP_NAME,
  PROP_PATH,
  PROP_DEVICE,
  PROP_DTYPE,
  PROP_MODEL_TYPE,
  PROP_N_PARAMETERS,
  PROP_VOCAB_SIZE,
  PROP_HIDDEN_SIZE,
  PROP_N_LAYERS,
  PROP_MAX_POSITIONS,
  PROP_COMPUTE,
  N_PROPS
};
static GParamSpec *props[N_PROPS];

static void
peft_base_model_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  PeftBaseModel *self = PEFT_BASE_MODEL (object);

  switch (id)
    {
    case PROP_NAME:
      g_value_set_string (value, self->name);
      break;
    case PROP_PATH:
      g_value_set_string (value, self->core->path);
      break;
    case PROP_DEVICE:
      g_value_set_object (value, self->device);
      break;
    case PROP_DTYPE:
      g_value_set_enum (value, self->dtype);
      break;
    case PROP_MODEL_TYPE:
      g_value_set_string (value, self->core->model_type);
      break;
    case PROP_N_PARAMETERS:
      g_value_set_uint64 (value, peft_core_get_n_parameters (self->core));
      break;
    case PROP_VOCAB_SIZE:
      g_value_set_uint (value, peft_base_model_get_vocab_size (self));
      break;
    case PROP_HIDDEN_SIZE:
      g_value_set_uint (value, peft_base_model_get_hidden_size (self));
      break;
    case PROP_N_LAYERS:
      g_value_set_uint (value, peft_base_model_get_n_layers (self));
      break;
    case PROP_MAX_POSITIONS:
      g_value_set_uint64 (value, peft_base_model_get_max_positions (self));
      break;
    case PROP_COMPUTE:
      g_value_set_string (value, self->compute);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
peft_base_model_finalize (GObject *object)
{
  PeftBaseModel *self = PEFT_BASE_MODEL (object);

  /* First: the thread may still be on its way out of the last operation. */
  g_clear_pointer (&self->worker, peft_worker_free);
  g_clear_object (&self->tokenizer);
  g_clear_pointer (&self->core, peft_core_unref);
  g_clear_object (&self->device);
  g_free (self->compute);
  g_free (self->name);
  g_mutex_clear (&self->mutex);
  G_OBJECT_CLASS (peft_base_model_parent_class)->finalize (object);
}

static void
peft_base_model_class_init (PeftBaseModelClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;

  object_class->get_property = peft_base_model_get_property;
  object_class->finalize = peft_base_model_finalize;

  /**
   * PeftBaseModel:name:
   *
   * What was asked for: a path, or a Hub id.
   *
   * Since: 1.0
   */
  props[PROP_NAME] = g_param_spec_string ("name", NULL, NULL, NULL, flags);
  /**
   * PeftBaseModel:path:
   *
   * The model's folder or file.
   *
   * Since: 1.0
   */
  props[PROP_PATH] = g_param_spec_string ("path", NULL, NULL, NULL, flags);
  /**
   * PeftBaseModel:device:
   *
   * What it computes on.
   *
   * Since: 1.0
   */
  props[PROP_DEVICE] = g_param_spec_object ("device", NULL, NULL, PEFT_TYPE_DEVICE, flags);
  /**
   * PeftBaseModel:dtype:
   *
   * The precision that was asked for.
   *
   * Since: 1.0
   */
  props[PROP_DTYPE] = g_param_spec_enum ("dtype", NULL, NULL, PEFT_TYPE_LOAD_DTYPE,
                                         PEFT_LOAD_AUTO, flags);
  /**
   * PeftBaseModel:model-type:
   *
   * The model family as `config.json` calls it, such as `llama`.
   *
   * Since: 1.0
   */
  props[PROP_MODEL_TYPE] = g_param_spec_string ("model-type", NULL, NULL, NULL, flags);
  /**
   * PeftBaseModel:n-parameters:
   *
   * Number of weights; shared ones count once.
   *
   * Since: 1.0
   */
  props[PROP_N_PARAMETERS]
      = g_param_spec_uint64 ("n-parameters", NULL, NULL, 0, G_MAXUINT64, 0, flags);
  /**
   * PeftBaseModel:vocab-size:
   *
   * Rows of the embedding: ids are below it.
   *
   * Since: 1.0
   */
  props[PROP_VOCAB_SIZE] = g_param_spec_uint ("vocab-size", NULL, NULL, 0, G_MAXUINT, 0, flags);
  /**
   * PeftBaseModel:hidden-size:
   *
   * Width of the hidden states.
   *
   * Since: 1.0
   */
  props[PROP_HIDDEN_SIZE]
      = g_param_spec_uint ("hidden-size", NULL, NULL, 0, G_MAXUINT, 0, flags);
  /**
   * PeftBaseModel:n-layers:
   *
   * Number of layers.
   *
   * Since: 1.0
   */
  props[PROP_N_LAYERS] = g_param_spec_uint ("n-layers", NULL, NULL, 0, G_MAXUINT, 0, flags);
  /**
   * PeftBaseModel:max-positions:
   *
   * The longest text, in tokens, that the model was made for.
   *
   * Since: 1.0
   */
  props[PROP_MAX_POSITIONS]
      = g_param_spec_uint64 ("max-positions", NULL, NULL, 0, G_MAXUINT64, 0, flags);
  /**
   * PeftBaseModel:compute:
   *
   * What is really used, in words: precision of the products, instruction set, types of the weights.
   *
   * Since: 1.0
   */
  props[PROP_COMPUTE] = g_param_spec_string ("compute", NULL, NULL, NULL, flags);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
peft_base_model_init (PeftBaseModel *self)
{
  g_mutex_init (&self->mutex);
  self->worker = peft_worker_new ();
}

PeftCore *
peft_base_model_get_core (PeftBaseModel *self)
{
  return self->core;
}

int
peft_base_model_count_users (PeftBaseModel *self, int change)
{
  return g_atomic_int_add (&self->n_users, change) + change;
}

PeftWorker *
peft_base_model_get_worker (PeftBaseModel *self)
{
  return self->worker;
}

/* "Q4_1, Q8_0": the types of the linear layers, in the order of their first appearance. */
static char *
list_weight_types (PeftCore *core)
{
  g_autoptr (GString) names = g_string_new (NULL);
  gboolean seen[PEFT_N_DTYPES] = { FALSE };

  for (guint i = 0; i < core->slots->len; i++)
    {
      PeftSlot *slot = core->slots->pdata[i];
      PeftDType dtype;

      if (slot->kind != PEFT_SLOT_LINEAR || slot->weight == NULL)
        continue;
      dtype = slot->weight->view.dtype;
      if (!seen[dtype])
        g_string_append_printf (names, "%s%s", names->len > 0 ? ", " : "",
                                peft_dtype_get_info (dtype)->name);
      seen[dtype] = TRUE;
    }
  return g_string_free (g_steal_pointer (&names), FALSE);
}

static char *
describe_compute (PeftCore *core)
{
  g_autofree char *types = list_weight_types (core);
  const char *products = core->compute == PEFT_COMPUTE_BF16 ? "bfloat16"
                         : core->backend->real == PEFT_DTYPE_F64 ? "float64" : "float32";

  return g_strdup_printf (_ ("products in %s on %s, weights as stored (%s)"), products,
                          core->backend->isa, types);
}

static PeftBaseModel *
load_with_head (const char *model, PeftDevice *device, PeftLoadDType dtype,
                const PeftHeadRequest *request, GCancellable *cancellable, GError **error)
{
  g_autofree char *path = NULL;
  g_autoptr (PeftDevice) used = NULL;
  g_autoptr (PeftBackend) backend = NULL;
  g_autoptr (PeftCore) core = NULL;
  PeftBaseModel *self;

  path = peft_hub_resolve (model, error);
  if (path == NULL)
    return NULL;
  used = device != NULL ? g_object_ref (device) : peft_device_new ("auto", 0, error);
  if (used == NULL)
    return NULL;
  backend = peft_device_open_backend (used, error);
  if (backend == NULL)
    return NULL;
  core = peft_core_load_with_head (path, backend, dtype, request, cancellable, error);
  if (core == NULL)
    return NULL;
  self = g_object_new (PEFT_TYPE_BASE_MODEL, NULL);
  self->name = g_strdup (model);
  self->device = g_steal_pointer (&used);
  self->dtype = dtype;
  self->compute = describe_compute (core);
  self->core = g_steal_pointer (&core);
  return self;
}

/**
 * peft_base_model_find:
 * @model: a path, or a Hub id `org/name[@revision]`
 * @error: return location for an error
 *
 * Finds where a model is.
 *
 * A path that exists is taken as it is. Anything else must be a Hub id in the Hugging Face cache, which
 * the environment variables `HF_HUB_CACHE` and `HF_HOME` may move.
 *
 * Returns: (transfer full): the path
 *
 * Since: 1.0
 */
char *
peft_base_model_find (const char *model, GError **error)
{
  g_return_val_if_fail (model != NULL, NULL);

  return peft_hub_resolve (model, error);
}

/**
 * peft_base_model_load:
 * @model: a folder in Hugging Face layout, a GGUF file, or a Hub id `org/name[@revision]` that is in the
 *   Hugging Face cache
 * @device: (nullable): what to compute on; `NULL`: the fastest device
 * @dtype: the precision to compute in
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Loads a model, with the head that it has: models for classification keep theirs, all others write text.
 *
 * Returns: (transfer full): the model
 *
 * Since: 1.0
 */
PeftBaseModel *
peft_base_model_load (const char *model, PeftDevice *device, PeftLoadDType dtype,
                      GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (model != NULL, NULL);
  g_return_val_if_fail (device == NULL || PEFT_IS_DEVICE (device), NULL);

  return load_with_head (model, device, dtype, NULL, cancellable, error);
}

/**
 * peft_base_model_find_task:
 * @model: a folder in Hugging Face layout, a GGUF file, or a Hub id that is in the Hugging Face cache
 * @task: (out): return location for the task
 * @error: return location for an error
 *
 * Finds what [func@BaseModel.load] would load a model for, without loading it.
 *
 * Returns: whether it could be found
 *
 * Since: 1.0
 */
gboolean
peft_base_model_find_task (const char *model, PeftTask *task, GError **error)
{
  g_autofree char *path = NULL;
  g_autofree char *file = NULL;
  g_autoptr (PeftJson) config = NULL;

  g_return_val_if_fail (model != NULL && task != NULL, FALSE);

  *task = PEFT_TASK_CAUSAL_LM;
  path = peft_hub_resolve (model, error);
  if (path == NULL)
    return FALSE;
  if (!g_file_test (path, G_FILE_TEST_IS_DIR))
    return TRUE;
  file = g_build_filename (path, "config.json", NULL);
  config = peft_json_load (file, PEFT_JSON_PARSE_NAN, error);
  if (config == NULL)
    return FALSE;
  if (peft_json_get_kind (config) == PEFT_JSON_OBJECT)
    *task = peft_core_task_detect (config);
  return TRUE;
}

/**
 * peft_base_model_load_for_task:
 * @model: a folder in Hugging Face layout, a GGUF file, or a Hub id that is in the Hugging Face cache
 * @device: (nullable): what to compute on; `NULL`: the fastest device
 * @dtype: the precision to compute in
 * @task: what the model is for
 * @labels: (nullable) (array zero-terminated=1): names of the classes of a new head; `NULL`: those of `config.json`, else
 *   two
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Loads a model with the head of a task.
 *
 * A model that was made for the task keeps its head and its classes. A head that the files do not have is new: an adapter or full training draws its start values and saves it.
 *
 * Returns: (transfer full): the model
 *
 * Since: 1.0
 */
PeftBaseModel *
peft_base_model_load_for_task (const char *model, PeftDevice *device, PeftLoadDType dtype,
                               PeftTask task, const char *const *labels, GCancellable *cancellable,
                               GError **error)
{
  const PeftHeadRequest request = { .task = task, .labels = labels, .only_new = TRUE };

  g_return_val_if_fail (model != NULL, NULL);
  g_return_val_if_fail (device == NULL || PEFT_IS_DEVICE (device), NULL);
  g_return_val_if_fail (labels == NULL || labels[0] != NULL, NULL);

  return load_with_head (model, device, dtype, &request, cancellable, error);
}

/**
 * peft_base_model_load_for_adapter:
 * @model: a folder in Hugging Face layout, a GGUF file, or a Hub id that is in the Hugging Face cache
 * @device: (nullable): what to compute on; `NULL`: the fastest device
 * @dtype: the precision to compute in
 * @adapter: (type filename): the folder of an adapter
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Loads a model with the head that an adapter was made for.
 *
 * The task is that of the adapter's configuration; the classes are those of `labels.json` beside it, else as many as its
 * head has.
 *
 * Returns: (transfer full): the model
 *
 * Since: 1.0
 */
PeftBaseModel *
peft_base_model_load_for_adapter (const char *model, PeftDevice *device, PeftLoadDType dtype,
                                  const char *adapter, GCancellable *cancellable, GError **error)
{
  g_auto (PeftAdapterHead) head = { 0 };
  gboolean given;

  g_return_val_if_fail (model != NULL && adapter != NULL, NULL);
  g_return_val_if_fail (device == NULL || PEFT_IS_DEVICE (device), NULL);

  if (!peft_adapter_read_head (adapter, "default", &head, &given, error))
    return NULL;
  return load_with_head (model, device, dtype, given ? &head.request : NULL, cancellable, error);
}

typedef struct
{
  char *model;
  PeftDevice *device;
  PeftLoadDType dtype;
} LoadData;

static void
load_data_free (gpointer data)
{
  LoadData *self = data;

  g_free (self->model);
  g_clear_object (&self->device);
  g_free (self);
}

static void
load_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  LoadData *load = data;
  GError *error = NULL;
  PeftBaseModel *self
      = peft_base_model_load (load->model, load->device, load->dtype, cancellable, &error);

  if (self != NULL)
    g_task_return_pointer (task, self, g_object_unref);
  else
    g_task_return_error (task, error);
}

/**
 * peft_base_model_load_async:
 * @model: a folder, a GGUF file or a Hub id
 * @device: (nullable): what to compute on; `NULL`: the fastest device
 * @dtype: the precision to compute in
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when it is done
 * @user_data: data for @callback
 *
 * Loads a model in a thread.
 *
 * Since: 1.0
 */
void
peft_base_model_load_async (const char *model, PeftDevice *device, PeftLoadDType dtype,
                            GCancellable *cancellable, GAsyncReadyCallback callback,
                            gpointer user_data)
{
  g_autoptr (GTask) task = NULL;
  LoadData *data;

  g_return_if_fail (model != NULL);
  g_return_if_fail (device == NULL || PEFT_IS_DEVICE (device));

  task = g_task_new (NULL, cancellable, callback, user_data);
  g_task_set_source_tag (task, peft_base_model_load_async);
  data = g_new0 (LoadData, 1);
  data->model = g_strdup (model);
  data->device = device != NULL ? g_object_ref (device) : NULL;
  data->dtype = dtype;
  g_task_set_task_data (task, data, load_data_free);
  g_task_run_in_thread (task, load_thread);
}

/**
 * peft_base_model_load_finish:
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends [func@BaseModel.load_async].
 *
 * Returns: (transfer full): the model
 *
 * Since: 1.0
 */
PeftBaseModel *
peft_base_model_load_finish (GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, NULL), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * peft_base_model_get_name:
 * @self: a model
 *
 * Gets what was asked for.
 *
 * Returns: a path, or a Hub id
 *
 * Since: 1.0
 */
const char *
peft_base_model_get_name (PeftBaseModel *self)
{
  g_return_val_if_fail (PEFT_IS_BASE_MODEL (self), NULL);

  return self->name;
}

/**
 * peft_base_model_get_path:
 * @self: a model
 *
 * Gets the model's folder or file.
 *
 * Returns: the path
 *
 * Since: 1.0
 */
const char *
peft_base_model_get_path (PeftBaseModel *self)
{
  g_return_val_if_fail (PEFT_IS_BASE_MODEL (self), NULL);

  return self->core->path;
}

/**
 * peft_base_model_get_device:
 * @self: a model
 *
 * Gets what it computes on.
 *
 * Returns: (transfer none): the device
 *
 * Since: 1.0
 */
PeftDevice *
peft_base_model_get_device (PeftBaseModel *self)
{
  g_return_val_if_fail (PEFT_IS_BASE_MODEL (self), NULL);

  return self->device;
}

/**
 * peft_base_model_get_dtype:
 * @self: a model
 *
 * Gets the precision that was asked for; [property@BaseModel:compute] says what is used.
 *
 * Returns: the precision
 *
 * Since: 1.0
 */
PeftLoadDType
peft_base_model_get_dtype (PeftBaseModel *self)
{
  g_return_val_if_fail (PEFT_IS_BASE_MODEL (self), PEFT_LOAD_AUTO);

  return self->dtype;
}

/**
 * peft_base_model_get_task:
 * @self: a model
 *
 * Gets what the model was loaded for.
 *
 * Returns: the task
 *
 * Since: 1.0
 */
PeftTask
peft_base_model_get_task (PeftBaseModel *self)
{
  g_return_val_if_fail (PEFT_IS_BASE_MODEL (self), PEFT_TASK_CAUSAL_LM);

  return self->core->task;
}

/**
 * peft_base_model_get_labels:
 * @self: a model
 *
 * Gets the names of the classes that the model tells apart.
 *
 * Returns: (transfer none) (nullable) (array zero-terminated=1): the names, `NULL` when its task has no classes
 *
 * Since: 1.0
 */
const char *const *
peft_base_model_get_labels (PeftBaseModel *self)
{
  g_return_val_if_fail (PEFT_IS_BASE_MODEL (self), NULL);

  return (const char *const *) self->core->labels;
}

/**
 * peft_base_model_get_model_type:
 * @self: a model
 *
 * Gets the model family as `config.json` calls it.
 *
 * Returns: the name, such as `llama`
 *
 * Since: 1.0
 */
const char *
peft_base_model_get_model_type (PeftBaseModel *self)
{
  g_return_val_if_fail (PEFT_IS_BASE_MODEL (self), NULL);

  return self->core->model_type;
}

/**
 * peft_base_model_get_n_parameters:
 * @self: a model
 *
 * Gets the number of weights; shared ones count once.
 *
 * Returns: the number
 *
 * Since: 1.0
 */
guint64
peft_base_model_get_n_parameters (PeftBaseModel *self)
{
  g_return_val_if_fail (PEFT_IS_BASE_MODEL (self), 0);

  return peft_core_get_n_parameters (self->core);
}

/**
 * peft_base_model_get_weight_bytes:
 * @self: a model
 *
 * Gets the size of the weights as they are stored.
 *
 * Returns: bytes
 *
 * Since: 1.0
 */
guint64
peft_base_model_get_weight_bytes (PeftBaseModel *self)
{
  g_return_val_if_fail (PEFT_IS_BASE_MODEL (self), 0);

  return peft_core_get_weight_bytes (self->core);
}

/**
 * peft_base_model_get_vocab_size:
 * @self: a model
 *
 * Gets the number of rows of the embedding; the tokenizer may know fewer tokens.
 *
 * Returns: the number
 *
 * Since: 1.0
 */
guint
peft_base_model_get_vocab_size (PeftBaseModel *self)
{
  g_return_val_if_fail (PEFT_IS_BASE_MODEL (self), 0);

  return (guint) self->core->dims.vocab;
}

/**
 * peft_base_model_get_hidden_size:
 * @self: a model
 *
 * Gets the width of the hidden states.
 *
 * Returns: the width
 *
 * Since: 1.0
 */
guint
peft_base_model_get_hidden_size (PeftBaseModel *self)
{
  g_return_val_if_fail (PEFT_IS_BASE_MODEL (self), 0);

  return (guint) self->core->dims.hidden;
}

/**
 * peft_base_model_get_n_layers:
 * @self: a model
 *
 * Gets the number of layers.
 *
 * Returns: the number
 *
 * Since: 1.0
 */
guint
peft_base_model_get_n_layers (PeftBaseModel *self)
{
  g_return_val_if_fail (PEFT_IS_BASE_MODEL (self), 0);

  return (guint) self->core->dims.n_layers;
}

/**
 * peft_base_model_get_max_positions:
 * @self: a model
 *
 * Gets the longest text that the model was made for.
 *
 * Returns: tokens
 *
 * Since: 1.0
 */
guint64
peft_base_model_get_max_positions (PeftBaseModel *self)
{
  g_return_val_if_fail (PEFT_IS_BASE_MODEL (self), 0);

  return (guint64) self->core->dims.max_positions;
}

/**
 * peft_base_model_get_compute:
 * @self: a model
 *
 * Says what is really used: precision of the products, instruction set, types of the weights.
 *
 * Returns: the text, in the user's language
 *
 * Since: 1.0
 */
const char *
peft_base_model_get_compute (PeftBaseModel *self)
{
  g_return_val_if_fail (PEFT_IS_BASE_MODEL (self), NULL);

  return self->compute;
}

/**
 * peft_base_model_get_config_json:
 * @self: a model
 *
 * Gets the model's `config.json`; for a GGUF file what it would be.
 *
 * Returns: (transfer full): JSON text
 *
 * Since: 1.0
 */
char *
peft_base_model_get_config_json (PeftBaseModel *self)
{
  g_return_val_if_fail (PEFT_IS_BASE_MODEL (self), NULL);

  return peft_json_to_string (self->core->config, PEFT_JSON_WRITE_INDENT);
}

/**
 * peft_base_model_get_module_names:
 * @self: a model
 *
 * Lists the modules that adapters can attach to, as Hugging Face names them.
 *
 * Returns: (transfer full) (array zero-terminated=1): paths such as `model.layers.0.self_attn.q_proj`
 *
 * Since: 1.0
 */
GStrv
peft_base_model_get_module_names (PeftBaseModel *self)
{
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();

  g_return_val_if_fail (PEFT_IS_BASE_MODEL (self), NULL);

  for (guint i = 0; i < self->core->slots->len; i++)
    g_strv_builder_add (names, ((PeftSlot *) self->core->slots->pdata[i])->path);
  return g_strv_builder_end (names);
}

static gboolean
has_tokenizer (PeftBaseModel *self)
{
  g_autofree char *path = NULL;

  if (self->core->gguf != NULL)
    return peft_gguf_has (self->core->gguf, "tokenizer.ggml.model");
  path = g_build_filename (self->core->path, "tokenizer.json", NULL);
  return g_file_test (path, G_FILE_TEST_EXISTS);
}

gboolean
peft_base_model_find_tokenizer (PeftBaseModel *self, PeftTokenizer **out, GError **error)
{
  gboolean ok = TRUE;

  g_mutex_lock (&self->mutex);
  if (self->tokenizer == NULL && has_tokenizer (self))
    {
      self->tokenizer = peft_tokenizer_load_path (self->core->path, self->core->gguf, error);
      ok = self->tokenizer != NULL;
    }
  *out = self->tokenizer;
  g_mutex_unlock (&self->mutex);
  return ok;
}

/**
 * peft_base_model_get_tokenizer:
 * @self: a model
 * @error: return location for an error
 *
 * Gets the model's tokenizer, which is loaded when it is first asked for.
 *
 * Fails with `PEFT_ERROR_NOT_FOUND` when the model comes without one.
 *
 * Returns: (transfer none): the tokenizer
 *
 * Since: 1.0
 */
PeftTokenizer *
peft_base_model_get_tokenizer (PeftBaseModel *self, GError **error)
{
  PeftTokenizer *tokenizer;

  g_return_val_if_fail (PEFT_IS_BASE_MODEL (self), NULL);

  if (!peft_base_model_find_tokenizer (self, &tokenizer, error))
    return NULL;
  if (tokenizer == NULL)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND,
                 self->core->gguf != NULL
                     ? _ ("%s: the file holds no tokenizer (tokenizer.ggml.model is missing)")
                     : _ ("%s: the model has no tokenizer.json"),
                 self->core->path);
  return tokenizer;
}

/**
 * peft_base_model_get_eos_ids:
 * @self: a model
 * @n_ids: (out): the number of ids
 * @error: return location for an error
 *
 * Gets the ids that end a text: those of `generation_config.json`, else the tokenizer's.
 *
 * Returns: (array length=n_ids) (transfer full): the ids; free with g_free()
 *
 * Since: 1.0
 */
gint32 *
peft_base_model_get_eos_ids (PeftBaseModel *self, gsize *n_ids, GError **error)
{
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  PeftTokenizer *tokenizer;

  g_return_val_if_fail (PEFT_IS_BASE_MODEL (self), NULL);
  g_return_val_if_fail (n_ids != NULL, NULL);

  *n_ids = 0;
  if (self->core->gguf == NULL
      && !peft_generate_read_config (self->core->path, ids, NULL, error))
    return NULL;
  if (ids->len == 0)
    {
      gint32 id;

      if (!peft_base_model_find_tokenizer (self, &tokenizer, error))
        return NULL;
      id = tokenizer != NULL ? peft_tokenizer_get_eos_id (tokenizer) : -1;
      if (id >= 0)
        g_array_append_val (ids, id);
    }
  *n_ids = ids->len;
  /* None is no error, so it is no NULL either. */
  g_array_set_size (ids, MAX (ids->len, 1));
  return (gint32 *) (gpointer) g_array_free (g_steal_pointer (&ids), FALSE);
}

/**
 * peft_base_model_set_profiling:
 * @self: a model
 * @enabled: whether kernels are timed
 * @error: return location for an error
 *
 * Starts, or ends and forgets, the measurement of how long every kind of kernel takes.
 *
 * Returns: whether it was set; it cannot be while the model is busy
 *
 * Since: 1.0
 */
gboolean
peft_base_model_set_profiling (PeftBaseModel *self, gboolean enabled, GError **error)
{
  g_return_val_if_fail (PEFT_IS_BASE_MODEL (self), FALSE);

  if (!peft_worker_begin (self->worker, _ ("profiling"), error))
    return FALSE;
  peft_backend_set_profiling (self->core->backend, enabled);
  peft_worker_end (self->worker);
  return TRUE;
}

/**
 * peft_base_model_get_profile_json:
 * @self: a model
 * @error: return location for an error
 *
 * Gets what was measured since [method@BaseModel.set_profiling]: a list of objects with `kernel`, `calls`,
 * `seconds`, `flops` and `bytes`.
 *
 * Returns: (transfer full): JSON text
 *
 * Since: 1.0
 */
char *
peft_base_model_get_profile_json (PeftBaseModel *self, GError **error)
{
  g_autoptr (PeftJson) list = peft_json_new_array ();
  const PeftKernelProfile *profile;

  g_return_val_if_fail (PEFT_IS_BASE_MODEL (self), NULL);

  if (!peft_worker_begin (self->worker, _ ("profiling"), error))
    return NULL;
  profile = self->core->backend->profile;
  for (guint i = 0; profile != NULL && i < PEFT_N_KERNELS; i++)
    {
      PeftJson *row;

      if (profile[i].calls == 0)
        continue;
      row = peft_json_new_object ();
      peft_json_set (row, "kernel", peft_json_new_string (peft_kernel_get_info (i)->name));
      peft_json_set (row, "calls", peft_json_new_uint (profile[i].calls));
      peft_json_set (row, "seconds", peft_json_new_double (profile[i].seconds));
      peft_json_set (row, "flops", peft_json_new_double (profile[i].flops));
      peft_json_set (row, "bytes", peft_json_new_double (profile[i].bytes));
      peft_json_append (list, row);
    }
  peft_worker_end (self->worker);
  return peft_json_to_string (list, PEFT_JSON_WRITE_INDENT);
}
