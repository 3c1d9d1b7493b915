/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "nn/peft-param.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#include "base/peft-error.h"

/* Every parameter starts on a 64-byte boundary of float32; the gaps hold zeros and stay zero. */
#define ALIGN_VALUES 16

enum
{
  FLAT_VALUES,
  FLAT_GRADIENTS,
  FLAT_M,
  FLAT_V,
  N_FLAT
};

struct _PeftParamSet
{
  gint ref_count;
  PeftBackend *backend;
  GPtrArray *params;
  GHashTable *by_key;
  GHashTable *initial; /* PeftParam → float *, until allocated */
  gsize n_flat;
  gsize group_start[2], group_end[2]; /* no decay, decay */
  PeftTensor *flat[N_FLAT];
  PeftTensor *norm; /* F64 [1] */
};

static void
param_free (PeftParam *self)
{
  g_free (self->key);
  g_free (self->name);
  g_clear_pointer (&self->value, peft_tensor_unref);
  g_clear_pointer (&self->grad, peft_tensor_unref);
  g_free (self);
}

static gsize
param_n_values (PeftParam *self)
{
  gsize n = 1;
  for (guint i = 0; i < self->n_dims; i++)
    n *= self->shape[i];
  return n;
}

PeftParamSet *
peft_param_set_new (PeftBackend *backend)
{
  PeftParamSet *self = g_new0 (PeftParamSet, 1);
  self->ref_count = 1;
  self->backend = peft_backend_ref (backend);
  self->params = g_ptr_array_new_with_free_func ((GDestroyNotify) param_free);
  self->by_key = g_hash_table_new (g_str_hash, g_str_equal);
  self->initial = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  return self;
}

PeftParamSet *
peft_param_set_ref (PeftParamSet *self)
{
  self->ref_count++;
  return self;
}

void
peft_param_set_unref (PeftParamSet *self)
{
  if (--self->ref_count > 0)
    return;
  g_hash_table_unref (self->initial);
  g_hash_table_unref (self->by_key);
  g_ptr_array_unref (self->params);
  for (guint i = 0; i < N_FLAT; i++)
    g_clear_pointer (&self->flat[i], peft_tensor_unref);
  g_clear_pointer (&self->norm, peft_tensor_unref);
  peft_backend_unref (self->backend);
  g_free (self);
}

PeftParam *
peft_param_set_add (PeftParamSet *self, const char *key, guint n_dims, const gint64 *shape,
                    gboolean decay, float *initial)
{
  PeftParam *param = g_new0 (PeftParam, 1);

  g_assert (self->flat[FLAT_VALUES] == NULL);
  g_assert (!g_hash_table_contains (self->by_key, key));
  param->key = g_strdup (key);
  param->n_dims = n_dims;
  for (guint i = 0; i < n_dims; i++)
    param->shape[i] = shape[i];
  param->decay = decay;
  param->trainable = TRUE;
  param->saved = TRUE;
  param->file_dtype = PEFT_DTYPE_F32;
  g_ptr_array_add (self->params, param);
  g_hash_table_insert (self->by_key, param->key, param);
  if (initial != NULL)
    g_hash_table_insert (self->initial, param, initial);
  return param;
}

/* Trained with decay, trained without, frozen. */
static guint
param_group (PeftParam *param)
{
  return !param->trainable ? 2 : param->decay ? 0 : 1;
}

static PeftTensor *
param_view (PeftParamSet *self, PeftParam *param, PeftTensor *flat)
{
  PeftView view;
  gsize bytes = peft_dtype_get_info (self->backend->real)->block_bytes;

  peft_view_init (&view, flat->view.buffer, flat->view.offset + param->offset * bytes,
                  self->backend->real, param->n_dims, param->shape);
  return peft_tensor_derive (flat, &view);
}

static PeftTensor *
flat_new (PeftParamSet *self, gsize n, GError **error)
{
  gint64 length = MAX (n, 1);
  PeftTensor *flat
      = peft_tensor_new_on (self->backend, self->backend->real, 1, &length, error);

  if (flat != NULL)
    {
      PeftFillParams fill = { .x = flat->view };
      peft_backend_run (self->backend, PEFT_KERNEL_FILL, &fill);
    }
  return flat;
}

gboolean
peft_param_set_allocate (PeftParamSet *self, GError **error)
{
  gsize n = 0;

  for (guint group = 0; group < 3; group++)
    {
      gsize start = n;

      for (guint i = 0; i < self->params->len; i++)
        {
          PeftParam *param = g_ptr_array_index (self->params, i);

          if (param_group (param) != group)
            continue;
          param->offset = n;
          n += (param_n_values (param) + ALIGN_VALUES - 1) / ALIGN_VALUES * ALIGN_VALUES;
        }
      if (group < 2)
        {
          self->group_start[group == 0] = start;
          self->group_end[group == 0] = n;
        }
    }
  self->n_flat = n;
  self->flat[FLAT_VALUES] = flat_new (self, n, error);
  if (self->flat[FLAT_VALUES] == NULL)
    return FALSE;
  for (guint i = 0; i < self->params->len; i++)
    {
      PeftParam *param = g_ptr_array_index (self->params, i);
      float *initial = g_hash_table_lookup (self->initial, param);

      param->value = param_view (self, param, self->flat[FLAT_VALUES]);
      if (initial != NULL)
        {
          peft_tensor_upload_f32 (param->value, initial);
          g_hash_table_remove (self->initial, param);
        }
    }
  return TRUE;
}

guint
peft_param_set_get_n (PeftParamSet *self)
{
  return self->params->len;
}

PeftParam *
peft_param_set_get (PeftParamSet *self, guint index)
{
  return g_ptr_array_index (self->params, index);
}

PeftParam *
peft_param_set_find (PeftParamSet *self, const char *key)
{
  return g_hash_table_lookup (self->by_key, key);
}

guint64
peft_param_set_get_n_values (PeftParamSet *self)
{
  guint64 n = 0;
  for (guint i = 0; i < self->params->len; i++)
    n += param_n_values (g_ptr_array_index (self->params, i));
  return n;
}

guint64
peft_param_set_get_n_own (PeftParamSet *self)
{
  guint64 n = 0;
  for (guint i = 0; i < self->params->len; i++)
    {
      PeftParam *param = g_ptr_array_index (self->params, i);
      if (param->trainable || param->saved)
        n += param_n_values (param);
    }
  return n;
}

guint64
peft_param_set_get_n_trainable (PeftParamSet *self)
{
  guint64 n = 0;
  for (guint i = 0; i < self->params->len; i++)
    {
      PeftParam *param = g_ptr_array_index (self->params, i);
      if (param->trainable)
        n += param_n_values (param);
    }
  return n;
}

/* Frozen parameters lie at the end and need neither gradients nor moments. */
static gsize
n_trained (PeftParamSet *self)
{
  return self->group_end[FALSE];
}

gsize
peft_param_set_get_n_trained (PeftParamSet *self)
{
  return n_trained (self);
}

gboolean
peft_param_set_begin_training (PeftParamSet *self, gsize n_m, gsize n_v, GError **error)
{
  const gint64 one = 1;
  const gsize sizes[N_FLAT] = { 0, MAX (n_trained (self), 1), n_m, n_v };

  for (guint i = FLAT_GRADIENTS; i < N_FLAT; i++)
    {
      g_clear_pointer (&self->flat[i], peft_tensor_unref);
      if (sizes[i] == 0)
        continue;
      self->flat[i] = flat_new (self, sizes[i], error);
      if (self->flat[i] == NULL)
        {
          peft_param_set_end_training (self);
          return FALSE;
        }
    }
  if (self->norm == NULL)
    self->norm = peft_tensor_new_on (self->backend, PEFT_DTYPE_F64, 1, &one, error);
  if (self->norm == NULL)
    return FALSE;
  for (guint i = 0; i < self->params->len; i++)
    {
      PeftParam *param = g_ptr_array_index (self->params, i);

      g_clear_pointer (&param->grad, peft_tensor_unref);
      if (param->trainable)
        param->grad = param_view (self, param, self->flat[FLAT_GRADIENTS]);
    }
  return TRUE;
}

void
peft_param_set_end_training (PeftParamSet *self)
{
  for (guint i = 0; i < self->params->len; i++)
    {
      PeftParam *param = g_ptr_array_index (self->params, i);
      g_clear_pointer (&param->grad, peft_tensor_unref);
    }
  for (guint i = FLAT_GRADIENTS; i < N_FLAT; i++)
    g_clear_pointer (&self->flat[i], peft_tensor_unref);
}

void
peft_param_set_zero_grad (PeftParamSet *self)
{
  PeftFillParams fill = { .x = self->flat[FLAT_GRADIENTS]->view };
  peft_backend_run (self->backend, PEFT_KERNEL_FILL, &fill);
}

double
peft_param_set_sum_squares (PeftParamSet *self, const PeftView *x)
{
  const PeftSumSquaresParams params = { .x = *x, .out = self->norm->view };
  double sum = 0;

  peft_backend_run (self->backend, PEFT_KERNEL_SUM_SQUARES, &params);
  peft_tensor_download_f64 (self->norm, &sum);
  return sum;
}

double
peft_param_set_grad_norm (PeftParamSet *self)
{
  return sqrt (peft_param_set_sum_squares (self, &self->flat[FLAT_GRADIENTS]->view));
}

guint64
peft_param_set_training_bytes (PeftParamSet *self, gsize n_state)
{
  return (guint64) (n_trained (self) + n_state)
         * peft_dtype_get_info (self->backend->real)->block_bytes;
}

static PeftView
flat_view (PeftParamSet *self, guint which, gsize offset, gint64 length)
{
  PeftTensor *flat = self->flat[which];
  gsize bytes = peft_dtype_get_info (self->backend->real)->block_bytes;
  PeftView view = { 0 };

  if (flat != NULL)
    peft_view_init (&view, flat->view.buffer, flat->view.offset + offset * bytes,
                    self->backend->real, 1, &length);
  return view;
}

static void
fill_group (PeftParamSet *self, gsize offset, gint64 length, PeftParamGroup *group)
{
  *group = (PeftParamGroup){
    .w = flat_view (self, FLAT_VALUES, offset, length),
    .g = flat_view (self, FLAT_GRADIENTS, offset, length),
    .m = flat_view (self, FLAT_M, offset, length),
    .v = flat_view (self, FLAT_V, offset, length),
  };
}

gboolean
peft_param_set_get_group (PeftParamSet *self, gboolean decay, PeftParamGroup *group)
{
  gint64 length = self->group_end[!!decay] - self->group_start[!!decay];

  if (length == 0)
    return FALSE;
  fill_group (self, self->group_start[!!decay], length, group);
  return TRUE;
}

void
peft_param_set_get_single (PeftParamSet *self, PeftParam *param, PeftParamGroup *group)
{
  fill_group (self, param->offset, (gint64) param_n_values (param), group);
}

PeftView
peft_param_set_get_state (PeftParamSet *self, gboolean v, gsize offset, gsize n)
{
  return flat_view (self, v ? FLAT_V : FLAT_M, offset, (gint64) n);
}

void
peft_param_download (PeftParam *self, float *out)
{
  peft_tensor_download_f32 (self->value, out);
}

void
peft_param_upload (PeftParam *self, const float *values)
{
  peft_tensor_upload_f32 (self->value, values);
}

GBytes *
peft_param_set_download_flat (PeftParamSet *self, guint which)
{
  PeftTensor *flat = self->flat[which];
  gsize size = flat != NULL ? peft_view_span (&flat->view) : 0;
  gpointer data = g_malloc (MAX (size, 1));

  if (size == 0)
    return g_bytes_new_take (data, 0);
  peft_buffer_download (flat->view.buffer, flat->view.offset, data, size);
  return g_bytes_new_take (data, size);
}

gboolean
peft_param_set_upload_flat (PeftParamSet *self, guint which, GBytes *bytes, GError **error)
{
  PeftTensor *flat = self->flat[which];
  gsize size;
  gconstpointer data = g_bytes_get_data (bytes, &size);

  if (size != peft_view_span (&flat->view))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_SHAPE_MISMATCH,
                   _ ("expected %zu bytes of optimiser state, found %zu"),
                   peft_view_span (&flat->view), size);
      return FALSE;
    }
  peft_buffer_upload (flat->view.buffer, flat->view.offset, data, size);
  return TRUE;
}
