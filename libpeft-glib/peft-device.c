/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-device.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"
#include "base/peft-json.h"
#include "compute/peft-tensor.h"
#include "peft-device-private.h"

/* Square matrices of the benchmark, and how long it multiplies them at least. */
#define BENCHMARK_SIZE 1024
#define BENCHMARK_SECONDS 0.5

/**
 * PeftDevice:
 *
 * Something that computes: the processor, or a graphics card.
 *
 * A device is a description; memory and threads are taken when a model is loaded on it. Instances never
 * change, so that any thread may use them.
 *
 * Since: 1.0
 */
struct _PeftDevice
{
  GObject parent_instance;

  char *name;
  char *description;
  guint64 memory;
  GStrv features;
  guint n_threads;
};

G_DEFINE_FINAL_TYPE (PeftDevice, peft_device, G_TYPE_OBJECT)

enum
{
  PROP_0,
  PROP_NAME,
  PROP_DESCRIPTION,
  PROP_MEMORY,
  PROP_FEATURES,
  PROP_N_THREADS,
  N_PROPS
};
static GParamSpec *props[N_PROPS];

/* Kinds of devices that have a name already, but no backend in this build. */
static const char *const planned[] = { "vulkan", "cuda" };

static void
peft_device_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  PeftDevice *self = PEFT_DEVICE (object);

  switch (id)
    {
    case PROP_NAME:
      g_value_set_string (value, self->name);
      break;
    case PROP_DESCRIPTION:
      g_value_set_string (value, self->description);
      break;
    case PROP_MEMORY:
      g_value_set_uint64 (value, self->memory);
      break;
    case PROP_FEATURES:
      g_value_set_boxed (value, self->features);
      break;
    case PROP_N_THREADS:
      g_value_set_uint (value, self->n_threads);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
peft_device_finalize (GObject *object)
{
  PeftDevice *self = PEFT_DEVICE (object);

  g_free (self->name);
  g_free (self->description);
  g_strfreev (self->features);
  G_OBJECT_CLASS (peft_device_parent_class)->finalize (object);
}

static void
peft_device_class_init (PeftDeviceClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;

  object_class->get_property = peft_device_get_property;
  object_class->finalize = peft_device_finalize;

  /**
   * PeftDevice:name:
   *
   * The name that opens the device: `cpu`, `vulkan:1`.
   *
   * Since: 1.0
   */
  props[PROP_NAME] = g_param_spec_string ("name", NULL, NULL, NULL, flags);
  /**
   * PeftDevice:description:
   *
   * What the device calls itself.
   *
   * Since: 1.0
   */
  props[PROP_DESCRIPTION] = g_param_spec_string ("description", NULL, NULL, NULL, flags);
  /**
   * PeftDevice:memory:
   *
   * The device's memory in bytes.
   *
   * Since: 1.0
   */
  props[PROP_MEMORY] = g_param_spec_uint64 ("memory", NULL, NULL, 0, G_MAXUINT64, 0, flags);
  /**
   * PeftDevice:features:
   *
   * Names of what the device can do: its instruction set, and `bf16` for bfloat16 products.
   *
   * Since: 1.0
   */
  props[PROP_FEATURES] = g_param_spec_boxed ("features", NULL, NULL, G_TYPE_STRV, flags);
  /**
   * PeftDevice:n-threads:
   *
   * Threads that compute; 0 stands for one for each processor.
   *
   * Since: 1.0
   */
  props[PROP_N_THREADS]
      = g_param_spec_uint ("n-threads", NULL, NULL, 0, G_MAXUINT, 0, flags);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
peft_device_init (PeftDevice *self)
{
}

static const PeftBackendInfo *
find_info (const char *name, guint *index)
{
  const char *colon = strchr (name, ':');
  gsize length = colon != NULL ? (gsize) (colon - name) : strlen (name);
  guint n;
  const PeftBackendInfo *infos = peft_backend_list (&n);

  *index = colon != NULL ? (guint) g_ascii_strtoull (colon + 1, NULL, 10) : 0;
  for (guint i = 0; i < n; i++)
    if (strlen (infos[i].name) == length && strncmp (infos[i].name, name, length) == 0)
      return &infos[i];
  return NULL;
}

static gboolean
refuse_planned (const char *name, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (planned); i++)
    {
      gsize length = strlen (planned[i]);

      if (strncmp (name, planned[i], length) == 0 && (name[length] == '\0' || name[length] == ':'))
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_DEVICE,
                       _ ("device “%s”: this build of the library has no %s backend"), name,
                       planned[i]);
          return FALSE;
        }
    }
  return TRUE;
}

PeftBackend *
peft_device_open_backend (PeftDevice *self, GError **error)
{
  return peft_backend_open (self->name, self->n_threads, error);
}

/**
 * peft_device_new:
 * @name: `cpu`, `reference`, `auto`, or a kind with a number such as `vulkan:0`
 * @n_threads: threads that compute; 0: one for each processor
 * @error: return location for an error
 *
 * Finds a device by its name.
 *
 * `auto` becomes the fastest device that is there. The numbers that a device computes do not depend on
 * the number of threads.
 *
 * Fails with `PEFT_ERROR_DEVICE` when the device is not there, with `PEFT_ERROR_INVALID_ARGUMENT` when
 * there is no such kind of device.
 *
 * Returns: (transfer full): the device
 *
 * Since: 1.0
 */
PeftDevice *
peft_device_new (const char *name, guint n_threads, GError **error)
{
  g_autoptr (PeftBackend) backend = NULL;
  g_autoptr (GStrvBuilder) features = g_strv_builder_new ();
  const PeftBackendInfo *info;
  PeftDevice *self;
  guint index;

  g_return_val_if_fail (name != NULL, NULL);

  info = find_info (name, &index);
  if (info == NULL && !refuse_planned (name, error))
    return NULL;
  /* One thread is enough to ask what it can do. */
  backend = peft_backend_open (name, 1, error);
  if (backend == NULL)
    return NULL;
  if (info == NULL)
    info = find_info (backend->klass->name, &index);
  self = g_object_new (PEFT_TYPE_DEVICE, NULL);
  self->name = index > 0 ? g_strdup_printf ("%s:%u", info->name, index) : g_strdup (info->name);
  self->description = info->describe (index);
  self->memory = info->memory (index);
  self->n_threads = n_threads;
  g_strv_builder_add (features, backend->isa);
  if (backend->has_bf16)
    g_strv_builder_add (features, "bf16");
  self->features = g_strv_builder_end (features);
  return self;
}

/**
 * peft_device_list:
 *
 * Lists the devices that are there.
 *
 * Returns: (transfer container) (element-type PeftDevice): the devices, the fastest kinds first
 *
 * Since: 1.0
 */
GPtrArray *
peft_device_list (void)
{
  GPtrArray *devices = g_ptr_array_new_with_free_func (g_object_unref);
  guint n;
  const PeftBackendInfo *infos = peft_backend_list (&n);

  for (guint i = 0; i < n; i++)
    for (guint index = 0; index < infos[i].count (); index++)
      {
        g_autofree char *name = g_strdup_printf ("%s:%u", infos[i].name, index);
        g_autoptr (GError) error = NULL;
        PeftDevice *device = peft_device_new (name, 0, &error);

        if (device != NULL)
          g_ptr_array_add (devices, device);
        else
          g_debug ("device %s: %s", name, error->message);
      }
  return devices;
}

/**
 * peft_device_get_name:
 * @self: a device
 *
 * Gets the name that opens the device.
 *
 * Returns: the name
 *
 * Since: 1.0
 */
const char *
peft_device_get_name (PeftDevice *self)
{
  g_return_val_if_fail (PEFT_IS_DEVICE (self), NULL);

  return self->name;
}

/**
 * peft_device_get_description:
 * @self: a device
 *
 * Gets what the device calls itself.
 *
 * Returns: the text
 *
 * Since: 1.0
 */
const char *
peft_device_get_description (PeftDevice *self)
{
  g_return_val_if_fail (PEFT_IS_DEVICE (self), NULL);

  return self->description;
}

/**
 * peft_device_get_memory:
 * @self: a device
 *
 * Gets the size of the device's memory.
 *
 * Returns: bytes
 *
 * Since: 1.0
 */
guint64
peft_device_get_memory (PeftDevice *self)
{
  g_return_val_if_fail (PEFT_IS_DEVICE (self), 0);

  return self->memory;
}

/**
 * peft_device_get_features:
 * @self: a device
 *
 * Gets names of what the device can do, its instruction set first.
 *
 * Returns: (array zero-terminated=1) (transfer none): the names
 *
 * Since: 1.0
 */
const char *const *
peft_device_get_features (PeftDevice *self)
{
  g_return_val_if_fail (PEFT_IS_DEVICE (self), NULL);

  return (const char *const *) self->features;
}

/**
 * peft_device_get_n_threads:
 * @self: a device
 *
 * Gets the number of threads that compute.
 *
 * Returns: the number; 0: one for each processor
 *
 * Since: 1.0
 */
guint
peft_device_get_n_threads (PeftDevice *self)
{
  g_return_val_if_fail (PEFT_IS_DEVICE (self), 0);

  return self->n_threads;
}

static PeftTensor *
new_matrix (PeftBackend *backend, GError **error)
{
  const gint64 shape[2] = { BENCHMARK_SIZE, BENCHMARK_SIZE };
  PeftTensor *matrix = peft_tensor_new_on (backend, backend->real, 2, shape, error);

  if (matrix != NULL)
    peft_backend_run (backend, PEFT_KERNEL_FILL,
                      &(PeftFillParams){ .x = matrix->view, .value = 0.5 });
  return matrix;
}

/* Floating-point operations a second of products of square matrices. */
static gboolean
measure_products (PeftBackend *backend, PeftComputeType compute, GCancellable *cancellable,
                  double *rate, GError **error)
{
  g_autoptr (PeftTensor) a = NULL;
  g_autoptr (PeftTensor) b = NULL;
  g_autoptr (PeftTensor) c = NULL;
  PeftMatmulParams params = { .alpha = 1, .trans_b = TRUE, .compute = compute };
  double best = G_MAXDOUBLE, total = 0;

  if ((a = new_matrix (backend, error)) == NULL || (b = new_matrix (backend, error)) == NULL
      || (c = new_matrix (backend, error)) == NULL)
    return FALSE;
  params.a = a->view;
  params.b = b->view;
  params.c = c->view;
  if (!peft_backend_supports (backend, PEFT_KERNEL_MATMUL, &params, error))
    return FALSE;
  while (total < BENCHMARK_SECONDS)
    {
      gint64 start = g_get_monotonic_time ();
      double seconds;

      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return FALSE;
      peft_backend_run (backend, PEFT_KERNEL_MATMUL, &params);
      if (!peft_backend_sync (backend, error))
        return FALSE;
      seconds = (double) MAX (g_get_monotonic_time () - start, 1) * 1e-6;
      best = MIN (best, seconds);
      total += seconds;
    }
  *rate = peft_kernel_get_flops (PEFT_KERNEL_MATMUL, &params) / best;
  return TRUE;
}

/**
 * peft_device_benchmark:
 * @self: a device
 * @float32_rate: (out) (optional): floating-point operations a second in float32
 * @bfloat16_rate: (out) (optional): the same with bfloat16 operands; 0 where the device has no hardware
 *   for them
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Measures how fast the device multiplies matrices.
 *
 * The figures are the best of several products of 1024 × 1024 matrices; it takes about a second.
 *
 * Returns: whether it could be measured
 *
 * Since: 1.0
 */
gboolean
peft_device_benchmark (PeftDevice *self, double *float32_rate, double *bfloat16_rate,
                       GCancellable *cancellable, GError **error)
{
  g_autoptr (PeftBackend) backend = NULL;
  double f32 = 0, bf16 = 0;

  g_return_val_if_fail (PEFT_IS_DEVICE (self), FALSE);

  backend = peft_device_open_backend (self, error);
  if (backend == NULL || !measure_products (backend, PEFT_COMPUTE_F32, cancellable, &f32, error))
    return FALSE;
  if (backend->has_bf16
      && !measure_products (backend, PEFT_COMPUTE_BF16, cancellable, &bf16, error))
    return FALSE;
  if (float32_rate != NULL)
    *float32_rate = f32;
  if (bfloat16_rate != NULL)
    *bfloat16_rate = bf16;
  return TRUE;
}

static void
benchmark_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  g_autofree double *rates = g_new0 (double, 2);
  GError *error = NULL;

  if (peft_device_benchmark (source, &rates[0], &rates[1], cancellable, &error))
    g_task_return_pointer (task, g_steal_pointer (&rates), g_free);
  else
    g_task_return_error (task, error);
}

/**
 * peft_device_benchmark_async:
 * @self: a device
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when it is done
 * @user_data: data for @callback
 *
 * Measures how fast the device multiplies matrices, in a thread.
 *
 * Since: 1.0
 */
void
peft_device_benchmark_async (PeftDevice *self, GCancellable *cancellable,
                             GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = NULL;

  g_return_if_fail (PEFT_IS_DEVICE (self));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, peft_device_benchmark_async);
  g_task_run_in_thread (task, benchmark_thread);
}

/**
 * peft_device_benchmark_finish:
 * @self: a device
 * @result: what the callback got
 * @float32_rate: (out) (optional): floating-point operations a second in float32
 * @bfloat16_rate: (out) (optional): the same with bfloat16 operands, or 0
 * @error: return location for an error
 *
 * Ends [method@Device.benchmark_async].
 *
 * Returns: whether it could be measured
 *
 * Since: 1.0
 */
gboolean
peft_device_benchmark_finish (PeftDevice *self, GAsyncResult *result, double *float32_rate,
                              double *bfloat16_rate, GError **error)
{
  g_autofree double *rates = NULL;

  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  rates = g_task_propagate_pointer (G_TASK (result), error);
  if (rates == NULL)
    return FALSE;
  if (float32_rate != NULL)
    *float32_rate = rates[0];
  if (bfloat16_rate != NULL)
    *bfloat16_rate = rates[1];
  return TRUE;
}

static PeftJson *
to_tree (PeftDevice *self)
{
  PeftJson *json = peft_json_new_object ();
  PeftJson *features = peft_json_new_array ();

  for (char **feature = self->features; *feature != NULL; feature++)
    peft_json_append (features, peft_json_new_string (*feature));
  peft_json_set (json, "name", peft_json_new_string (self->name));
  peft_json_set (json, "description", peft_json_new_string (self->description));
  peft_json_set (json, "memory_bytes", peft_json_new_uint (self->memory));
  peft_json_set (json, "features", features);
  return json;
}

/**
 * peft_device_to_json:
 * @self: a device
 *
 * Describes the device as a JSON object: `name`, `description`, `memory_bytes`, `features`.
 *
 * Returns: (transfer full): the text
 *
 * Since: 1.0
 */
char *
peft_device_to_json (PeftDevice *self)
{
  g_autoptr (PeftJson) json = NULL;

  g_return_val_if_fail (PEFT_IS_DEVICE (self), NULL);

  json = to_tree (self);
  return peft_json_to_string (json, PEFT_JSON_WRITE_COMPACT);
}

/**
 * peft_devices_to_json:
 *
 * Describes all devices: an object whose `devices` are what [method@Device.to_json] gives.
 *
 * Returns: (transfer full): the text
 *
 * Since: 1.0
 */
char *
peft_devices_to_json (void)
{
  g_autoptr (GPtrArray) devices = peft_device_list ();
  g_autoptr (PeftJson) json = peft_json_new_object ();
  PeftJson *list = peft_json_new_array ();

  for (guint i = 0; i < devices->len; i++)
    peft_json_append (list, to_tree (devices->pdata[i]));
  peft_json_set (json, "devices", list);
  return peft_json_to_string (json, PEFT_JSON_WRITE_INDENT);
}
