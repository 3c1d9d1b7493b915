/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "train/peft-training-state.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"
#include "formats/peft-safetensors-writer.h"
#include "formats/peft-safetensors.h"

/* Flat arrays of a parameter set, by its numbers. */
enum
{
  FLAT_VALUES = 0,
  FLAT_M = 2,
  FLAT_V = 3
};

#define NAME_M "optimizer.m"
#define NAME_V "optimizer.v"

static const char *
param_name (const PeftParam *param)
{
  return param->name != NULL ? param->name : param->key;
}

static guint64
param_n_values (const PeftParam *param)
{
  guint64 n = 1;
  for (guint i = 0; i < param->n_dims; i++)
    n *= param->shape[i];
  return n;
}

static void
add_entry (GArray *entries, const char *name, PeftDType dtype, guint n_dims, const gint64 *shape,
           const guint8 *data, guint64 n_bytes)
{
  PeftTensorEntry entry
      = { .name = name, .dtype = dtype, .n_dims = n_dims, .data = data, .n_bytes = n_bytes };

  for (guint i = 0; i < n_dims; i++)
    entry.shape[i] = shape[i];
  g_array_append_val (entries, entry);
}

gboolean
peft_training_state_save (PeftAdapter *adapter, const char *path, GError **error)
{
  PeftParamSet *params = adapter->params;
  const PeftDType real = adapter->core->backend->real;
  const guint64 size = peft_dtype_get_info (real)->block_bytes;
  g_autoptr (GArray) entries = g_array_new (FALSE, FALSE, sizeof (PeftTensorEntry));
  g_autoptr (GBytes) values = peft_param_set_download_flat (params, FLAT_VALUES);
  g_autoptr (GBytes) m = peft_param_set_download_flat (params, FLAT_M);
  g_autoptr (GBytes) v = peft_param_set_download_flat (params, FLAT_V);
  const guint8 *data = g_bytes_get_data (values, NULL);
  const gint64 n_m = g_bytes_get_size (m) / size, n_v = g_bytes_get_size (v) / size;

  for (guint i = 0; i < peft_param_set_get_n (params); i++)
    {
      PeftParam *param = peft_param_set_get (params, i);

      add_entry (entries, param_name (param), real, param->n_dims, param->shape,
                 data + param->offset * size, param_n_values (param) * size);
    }
  add_entry (entries, NAME_M, real, 1, &n_m, g_bytes_get_data (m, NULL), g_bytes_get_size (m));
  add_entry (entries, NAME_V, real, 1, &n_v, g_bytes_get_data (v, NULL), g_bytes_get_size (v));
  return peft_safetensors_save (path, (const PeftTensorEntry *) entries->data, entries->len, NULL,
                                error);
}

/* ---- Loading ------------------------------------------------------------------------------- */

/* Copies a tensor's values into memory of the backend's real type. */
static void
convert (const PeftTensorEntry *entry, PeftDType real, guint8 *out, guint64 n)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (entry->dtype);

  if (entry->dtype == real)
    {
      memcpy (out, entry->data, entry->n_bytes);
      return;
    }
  for (guint64 i = 0; i < n; i++)
    {
      float value;

      info->to_f32 (entry->data + i * info->block_bytes, &value, 1);
      if (real == PEFT_DTYPE_F64)
        ((double *) out)[i] = value;
      else
        ((float *) out)[i] = value;
    }
}

static const PeftTensorEntry *
find_entry (const PeftSafetensors *file, const char *name, guint n_dims, const gint64 *shape,
            GError **error)
{
  const PeftTensorEntry *entry
      = peft_tensor_source_require (peft_safetensors_get_source (file), name, error);
  gboolean same;

  if (entry == NULL)
    return NULL;
  same = entry->n_dims == n_dims;
  for (guint i = 0; same && i < n_dims; i++)
    same = entry->shape[i] == (guint64) shape[i];
  if (!same)
    {
      guint64 wanted_shape[PEFT_MAX_DIMS];
      g_autofree char *found = peft_tensor_shape_to_string (entry->shape, entry->n_dims);
      g_autofree char *wanted = NULL;

      for (guint i = 0; i < n_dims; i++)
        wanted_shape[i] = shape[i];
      wanted = peft_tensor_shape_to_string (wanted_shape, n_dims);
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_SHAPE_MISMATCH,
                   _ ("%s: tensor %s: expected the shape %s, found %s"), entry->file, name, wanted,
                   found);
      return NULL;
    }
  if (!peft_dtype_get_info (entry->dtype)->is_float)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("%s: tensor %s: expected floating-point numbers, found %s"), entry->file, name,
                   entry->type_name);
      return NULL;
    }
  return entry;
}

/* m or v, as long as this run's optimiser has it. */
static gboolean
load_moments (PeftAdapter *adapter, const PeftSafetensors *file, const char *name, guint which,
              GError **error)
{
  const PeftDType real = adapter->core->backend->real;
  const guint64 size = peft_dtype_get_info (real)->block_bytes;
  g_autoptr (GBytes) now = peft_param_set_download_flat (adapter->params, which);
  const gint64 n = g_bytes_get_size (now) / size;
  g_autoptr (GBytes) values = NULL;
  const PeftTensorEntry *entry;
  guint8 *data;

  if (n == 0)
    return TRUE;
  entry = find_entry (file, name, 1, &n, error);
  if (entry == NULL)
    return FALSE;
  data = g_malloc (n * size);
  convert (entry, real, data, n);
  values = g_bytes_new_take (data, n * size);
  return peft_param_set_upload_flat (adapter->params, which, values, error);
}

gboolean
peft_training_state_load (PeftAdapter *adapter, const char *path, gboolean with_moments,
                          GError **error)
{
  PeftParamSet *params = adapter->params;
  const PeftDType real = adapter->core->backend->real;
  const guint64 size = peft_dtype_get_info (real)->block_bytes;
  g_autoptr (PeftSafetensors) file = peft_safetensors_open (path, error);
  g_autoptr (GBytes) now = NULL;
  g_autoptr (GBytes) values = NULL;
  guint8 *data;
  gsize n_bytes;

  if (file == NULL)
    return FALSE;
  /* The gaps between parameters keep their zeros. */
  now = peft_param_set_download_flat (params, FLAT_VALUES);
  data = g_memdup2 (g_bytes_get_data (now, &n_bytes), g_bytes_get_size (now));
  values = g_bytes_new_take (data, n_bytes);
  for (guint i = 0; i < peft_param_set_get_n (params); i++)
    {
      PeftParam *param = peft_param_set_get (params, i);
      const PeftTensorEntry *entry
          = find_entry (file, param_name (param), param->n_dims, param->shape, error);

      if (entry == NULL)
        return FALSE;
      convert (entry, real, data + param->offset * size, param_n_values (param));
    }
  if (with_moments
      && (!load_moments (adapter, file, NAME_M, FLAT_M, error)
          || !load_moments (adapter, file, NAME_V, FLAT_V, error)))
    return FALSE;
  return peft_param_set_upload_flat (params, FLAT_VALUES, values, error);
}
