/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/peft-error.h"
#include "base/peft-linalg.h"
#include "base/peft-random.h"
#include "methods/peft-config-private.h"
#include "methods/peft-lora-private.h"

/* How LoRA's factors start. PiSSA (Meng et al., arXiv:2404.02948) and OLoRA (Büyükakyüz, arXiv:2406.01775) take the start
 * s · B₀ A₀ out of the weight. The base of a model is shared and stays as it is, so the start is kept beside the
 * factors and subtracted; in a file it becomes part of them. */

#define PISSA_NITER "pissa_niter_"
#define MAX_NITER 1000
/* Of the randomised decomposition; fixed, so that it depends on the weight alone. */
#define NITER_SEED 0

typedef enum
{
  INIT_DEFAULT,  /* A kaiming, B zero */
  INIT_GAUSSIAN, /* A N(0, 1/r²), B zero */
  INIT_RANDOM,   /* both as a fresh layer has them */
  INIT_ORTHOGONAL,
  INIT_PISSA,
  INIT_PISSA_NITER,
  INIT_OLORA
} LoraInit;

static LoraInit
get_init (PeftConfig *config)
{
  const char *name = peft_config_get_string (config, "init_lora_weights");

  if (name == NULL)
    return peft_config_get_boolean (config, "init_lora_weights") ? INIT_DEFAULT : INIT_RANDOM;
  if (g_str_equal (name, "gaussian"))
    return INIT_GAUSSIAN;
  if (g_str_equal (name, "orthogonal"))
    return INIT_ORTHOGONAL;
  if (g_str_equal (name, "olora"))
    return INIT_OLORA;
  return g_str_equal (name, "pissa") ? INIT_PISSA : INIT_PISSA_NITER;
}

static gboolean
init_changes_base (LoraInit init)
{
  return init == INIT_PISSA || init == INIT_PISSA_NITER || init == INIT_OLORA;
}

gboolean
peft_lora_changes_base (PeftConfig *config)
{
  return init_changes_base (get_init (config));
}

static gboolean
get_niter (PeftConfig *config, guint *out)
{
  const char *name = peft_config_get_string (config, "init_lora_weights");
  guint64 number;

  if (!g_str_has_prefix (name, PISSA_NITER)
      || !g_ascii_string_to_unsigned (name + strlen (PISSA_NITER), 10, 0, MAX_NITER, &number, NULL))
    return FALSE;
  *out = (guint) number;
  return TRUE;
}

gboolean
peft_lora_check_init (PeftConfig *config, GError **error)
{
  guint n;

  if (get_init (config) == INIT_PISSA_NITER && !get_niter (config, &n))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("init_lora_weights: '%s': expected pissa_niter_N with a number of iterations "
                      "from 0 to %u"),
                   peft_config_get_string (config, "init_lora_weights"), MAX_NITER);
      return FALSE;
    }
  return TRUE;
}

/* ---- Declaring ----------------------------------------------------------------------------- */

/* Fills a [r, in] and b [out, r] so that B A = 0 while neither is: the halves of an orthogonal matrix. */
static gboolean
fill_orthogonal (PeftLoraHook *self, float *a, float *b, GError **error)
{
  gsize r = (gsize) self->rank, half = r / 2;
  gsize n_in = (gsize) self->slot->in_features, n_out = (gsize) self->slot->out_features;
  PeftAdapter *adapter = self->adapter;
  g_autofree char *stream = g_strconcat (self->slot->path, ".orthogonal", NULL);
  g_autofree char *stream_a = g_strconcat (self->slot->path, ".lora_A", NULL);
  g_autofree char *stream_b = g_strconcat (self->slot->path, ".lora_B", NULL);
  g_autofree float *x = g_new (float, r *r);
  g_autofree float *left = g_new (float, n_in *half);
  g_autofree float *right = g_new (float, n_out *half);
  g_autofree float *q = NULL;

  peft_random_fill_normal (adapter->seed, peft_random_stream (stream), 0.0f, 1.0f, x, r * r);
  peft_random_fill_normal (adapter->seed, peft_random_stream (stream_a), 0.0f, 0.1f, left,
                           n_in * half);
  peft_random_fill_normal (adapter->seed, peft_random_stream (stream_b), 0.0f, 0.1f, right,
                           n_out * half);
  if (!peft_linalg_qr (x, r, r, &q, NULL, stream, error))
    return FALSE;
  for (gsize k = 0; k < r; k++)
    {
      for (gsize i = 0; i < n_in; i++)
        {
          float sum = 0;

          for (gsize l = 0; l < half; l++)
            sum += left[i * half + l] * q[2 * l * r + k];
          a[k * n_in + i] = sum;
        }
      for (gsize o = 0; o < n_out; o++)
        {
          float sum = 0;

          for (gsize l = 0; l < half; l++)
            sum += right[o * half + l] * q[(2 * l + 1) * r + k];
          b[o * r + k] = sum;
        }
    }
  return TRUE;
}

/* What the slot's rank and alpha must be for the start. */
static gboolean
check_slot (PeftLoraHook *self, LoraInit init, GError **error)
{
  PeftSlot *slot = self->slot;
  PeftConfig *config = self->adapter->config;
  const char *name = peft_config_get_string (config, "init_lora_weights");
  gint64 limit = MIN (slot->in_features, slot->out_features);

  if (init == INIT_ORTHOGONAL && self->rank % 2 != 0)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("%s: init_lora_weights '%s' needs an even rank, found %" PRId64),
                   slot->path, name, self->rank);
      return FALSE;
    }
  if (!init_changes_base (init))
    return TRUE;
  if (self->rank > limit)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("%s: init_lora_weights '%s': the rank %" PRId64 " is above the layer's smaller side, %" PRId64),
                   slot->path, name, self->rank, limit);
      return FALSE;
    }
  if (!(self->scale > 0))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("%s: init_lora_weights '%s' needs a lora_alpha above 0"), slot->path, name);
      return FALSE;
    }
  return TRUE;
}

static PeftParam *
declare_start (PeftLoraHook *self, const char *suffix, const gint64 *shape)
{
  PeftParam *param
      = peft_adapter_add_param (self->adapter, self->slot, suffix, 2, shape, FALSE, NULL);

  param->trainable = FALSE;
  param->saved = FALSE;
  return param;
}

static gboolean
declare_linear (PeftLoraHook *self, GError **error)
{
  PeftAdapter *adapter = self->adapter;
  PeftSlot *slot = self->slot;
  LoraInit init = get_init (adapter->config);
  gint64 r = self->rank;
  const gint64 a_shape[2] = { r, slot->in_features };
  const gint64 b_shape[2] = { slot->out_features, r };
  g_autofree char *a_key = g_strconcat (slot->path, ".lora_A", NULL);
  g_autofree char *b_key = g_strconcat (slot->path, ".lora_B", NULL);
  g_autofree char *bias_key = g_strconcat (slot->path, ".lora_B.bias", NULL);
  gsize n_a = (gsize) (slot->in_features * r), n_b = (gsize) (slot->out_features * r);
  g_autofree float *a = NULL;
  g_autofree float *b = NULL;

  if (!check_slot (self, init, error))
    return FALSE;
  if (init == INIT_GAUSSIAN)
    a = peft_init_normal (adapter, a_key, n_a, 1.0 / (double) r);
  else if (init == INIT_DEFAULT || init == INIT_RANDOM)
    a = peft_init_kaiming (adapter, a_key, r, slot->in_features);
  else
    a = peft_init_zeros (adapter, n_a);
  b = init == INIT_RANDOM ? peft_init_kaiming (adapter, b_key, slot->out_features, r)
                          : peft_init_zeros (adapter, n_b);
  if (init == INIT_ORTHOGONAL && a != NULL && b != NULL && !fill_orthogonal (self, a, b, error))
    return FALSE;
  self->a = peft_adapter_add_param (adapter, slot, "lora_A.weight", 2, a_shape, TRUE,
                                    g_steal_pointer (&a));
  self->b = peft_adapter_add_param (adapter, slot, "lora_B.weight", 2, b_shape, TRUE,
                                    g_steal_pointer (&b));
  self->b->first_factor = self->a;
  self->b->pair_scale = self->scale;
  if (init_changes_base (init))
    {
      self->start_a = declare_start (self, "lora_start_A", a_shape);
      self->start_b = declare_start (self, "lora_start_B", b_shape);
    }
  if (peft_config_get_boolean (adapter->config, "lora_bias"))
    {
      /* A fresh linear layer's bias is U(-1/√in, 1/√in), and the layer's input is of size r. */
      float *values = init == INIT_RANDOM ? peft_init_uniform (
                          adapter, bias_key, (gsize) slot->out_features, 1.0 / sqrt ((double) r))
                                          : peft_init_zeros (adapter, (gsize) slot->out_features);

      self->bias = peft_adapter_add_param (adapter, slot, "lora_B.bias", 1, &slot->out_features,
                                           FALSE, values);
    }
  return TRUE;
}

/* Embeddings know two starts only, whatever the name of the others. */
static gboolean
declare_embedding (PeftLoraHook *self, GError **error)
{
  PeftAdapter *adapter = self->adapter;
  PeftSlot *slot = self->slot;
  gboolean random = get_init (adapter->config) == INIT_RANDOM;
  gint64 r = self->rank;
  const gint64 a_shape[2] = { r, slot->in_features };
  const gint64 b_shape[2] = { slot->out_features, r };
  g_autofree char *a_key = g_strconcat (slot->path, ".lora_embedding_A", NULL);
  g_autofree char *b_key = g_strconcat (slot->path, ".lora_embedding_B", NULL);
  gsize n_a = (gsize) (r * slot->in_features), n_b = (gsize) (r * slot->out_features);

  if (peft_config_get_boolean (adapter->config, "lora_bias"))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("lora_bias: the embedding '%s' cannot have a bias"), slot->path);
      return FALSE;
    }
  self->a = peft_adapter_add_param (adapter, slot, "lora_embedding_A", 2, a_shape, TRUE,
                                    random ? peft_init_normal (adapter, a_key, n_a, 1.0)
                                           : peft_init_zeros (adapter, n_a));
  self->b = peft_adapter_add_param (adapter, slot, "lora_embedding_B", 2, b_shape, TRUE,
                                    peft_init_normal (adapter, b_key, n_b, 1.0));
  self->b->first_factor = self->a;
  self->b->pair_scale = self->scale;
  return TRUE;
}

gboolean
peft_lora_declare (PeftLoraHook *self, GError **error)
{
  if (self->slot->kind == PEFT_SLOT_EMBEDDING)
    return declare_embedding (self, error);
  return declare_linear (self, error);
}

/* ---- Starts out of the weights ------------------------------------------------------------- */

/* a [r, in] and b [out, r] with s · b a the part of the weight that is taken out. */
static gboolean
decompose (PeftLoraHook *self, const float *weight, float *a, float *b, GError **error)
{
  gsize n_in = (gsize) self->slot->in_features, n_out = (gsize) self->slot->out_features;
  gsize r = (gsize) self->rank, k = MIN (n_in, n_out), kept;
  LoraInit init = get_init (self->adapter->config);
  g_autofree float *left = NULL;
  g_autofree float *values = NULL;
  g_autofree float *right = NULL;
  guint n_iterations = 0;

  if (init == INIT_OLORA)
    {
      if (!peft_linalg_qr (weight, n_out, n_in, &left, &right, self->slot->path, error))
        return FALSE;
      kept = k;
    }
  else if (init == INIT_PISSA)
    {
      if (!peft_linalg_svd (weight, n_out, n_in, &left, &values, &right, self->slot->path, error))
        return FALSE;
      kept = k;
    }
  else
    {
      get_niter (self->adapter->config, &n_iterations);
      if (!peft_linalg_svd_low_rank (weight, n_out, n_in, r, n_iterations, NITER_SEED, &left,
                                     &values, &right, self->slot->path, error))
        return FALSE;
      kept = r;
    }
  for (gsize l = 0; l < r; l++)
    {
      float root = values != NULL ? (float) sqrt (values[l] / self->scale) : 1.0f;

      for (gsize i = 0; i < n_in; i++)
        a[l * n_in + i] = root * right[l * n_in + i];
      for (gsize o = 0; o < n_out; o++)
        b[o * r + l] = root * left[o * kept + l];
    }
  return TRUE;
}

gboolean
peft_lora_prepare_start (PeftLoraHook *self, const float *weight, GError **error)
{
  gsize n_a = (gsize) (self->rank * self->slot->in_features);
  gsize n_b = (gsize) (self->rank * self->slot->out_features);
  g_autofree float *a = g_new (float, n_a);
  g_autofree float *b = g_new (float, n_b);

  if (!decompose (self, weight, a, b, error))
    return FALSE;
  if (!self->adapter->loading)
    {
      peft_param_upload (self->a, a);
      peft_param_upload (self->b, b);
    }
  peft_param_upload (self->start_a, a);
  for (gsize i = 0; i < n_b; i++)
    b[i] = -b[i];
  peft_param_upload (self->start_b, b);
  return TRUE;
}

/* ---- What a file gets ---------------------------------------------------------------------- */

static PeftAdapterTensor *
append_tensor (GPtrArray *out, PeftParam *param, gint64 rows, gint64 columns)
{
  PeftAdapterTensor *tensor = g_new0 (PeftAdapterTensor, 1);

  tensor->key = g_strdup (param->key);
  tensor->n_dims = 2;
  tensor->shape[0] = rows;
  tensor->shape[1] = columns;
  tensor->values = g_new0 (float, (gsize) (rows * columns));
  g_ptr_array_add (out, tensor);
  return tensor;
}

/* [A; A₀] and [B, -B₀]; an embedding has no start and gets zeros. */
static void
append_factors (PeftLoraHook *self, GPtrArray *out)
{
  gint64 r = self->rank, n_in = self->slot->in_features, n_out = self->slot->out_features;
  gsize n_a = (gsize) (r * n_in);
  g_autofree float *a = peft_param_dup_values (self->a);
  g_autofree float *b = peft_param_dup_values (self->b);
  g_autofree float *start_a = self->start_a != NULL ? peft_param_dup_values (self->start_a) : NULL;
  g_autofree float *start_b = self->start_b != NULL ? peft_param_dup_values (self->start_b) : NULL;
  PeftAdapterTensor *wide_a = append_tensor (out, self->a, 2 * r, n_in);
  PeftAdapterTensor *wide_b = append_tensor (out, self->b, n_out, 2 * r);

  memcpy (wide_a->values, a, n_a * sizeof *a);
  if (start_a != NULL)
    memcpy (wide_a->values + n_a, start_a, n_a * sizeof *a);
  for (gsize o = 0; o < (gsize) n_out; o++)
    {
      float *row = wide_b->values + o * (gsize) (2 * r);

      memcpy (row, b + o * (gsize) r, (gsize) r * sizeof *b);
      if (start_b != NULL)
        memcpy (row + r, start_b + o * (gsize) r, (gsize) r * sizeof *b);
    }
}

static PeftJson *
scale_number (const PeftJson *value, double factor)
{
  gint64 whole;
  double number = 0;

  if (factor == 2.0 && peft_json_get_kind (value) == PEFT_JSON_INT
      && peft_json_get_int (value, &whole))
    return peft_json_new_int (2 * whole);
  peft_json_get_double (value, &number);
  return peft_json_new_double (factor * number);
}

static gboolean
scale_field (PeftConfig *config, const char *name, double factor, GError **error)
{
  const PeftJson *value = peft_config_get_json (config, name);
  PeftJson *scaled;

  if (peft_json_get_kind (value) == PEFT_JSON_OBJECT)
    {
      scaled = peft_json_new_object ();
      for (gsize i = 0; i < peft_json_get_length (value); i++)
        peft_json_set (scaled, peft_json_get_name (value, i),
                       scale_number (peft_json_get_value (value, i), factor));
    }
  else if (peft_json_get_kind (value) == PEFT_JSON_NULL)
    return TRUE;
  else
    scaled = scale_number (value, factor);
  return peft_config_set_json (config, name, scaled, PEFT_ERROR_INVALID_ARGUMENT, error);
}

gboolean
peft_lora_convert (PeftAdapter *adapter, GPtrArray *out, PeftConfig **config, GError **error)
{
  double alpha = peft_config_get_boolean (adapter->config, "use_rslora") ? G_SQRT2 : 2.0;
  g_autoptr (PeftConfig) plain = NULL;

  if (!peft_lora_changes_base (adapter->config))
    return TRUE;
  plain = peft_config_dup (adapter->config);
  if (!scale_field (plain, "r", 2.0, error) || !scale_field (plain, "lora_alpha", alpha, error)
      || !scale_field (plain, "rank_pattern", 2.0, error)
      || !scale_field (plain, "alpha_pattern", alpha, error)
      || !peft_config_set_json (plain, "init_lora_weights", peft_json_new_boolean (TRUE),
                                PEFT_ERROR_INVALID_ARGUMENT, error))
    return FALSE;
  for (guint i = 0; i < adapter->hooks->len; i++)
    {
      PeftLoraHook *hook = adapter->hooks->pdata[i];

      if (hook->parent.klass == &peft_lora_hook_class)
        append_factors (hook, out);
    }
  *config = g_steal_pointer (&plain);
  return TRUE;
}
