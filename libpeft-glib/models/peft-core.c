/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "models/peft-core-task.h"

#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "formats/peft-safetensors.h"
#include "models/peft-kv-cache.h"

PeftCore *
peft_core_ref (PeftCore *self)
{
  g_atomic_int_inc (&self->ref_count);
  return self;
}

void
peft_core_unref (PeftCore *self)
{
  if (!g_atomic_int_dec_and_test (&self->ref_count))
    return;
  if (self->family_free != NULL)
    self->family_free (self->family);
  g_clear_pointer (&self->by_path, g_hash_table_unref);
  g_clear_pointer (&self->slots, g_ptr_array_unref);
  g_clear_pointer (&self->cos_sin, peft_tensor_unref);
  g_clear_pointer (&self->source, peft_tensor_source_unref);
  g_clear_pointer (&self->gguf, peft_gguf_unref);
  g_clear_pointer (&self->config, peft_json_unref);
  g_clear_pointer (&self->backend, peft_backend_unref);
  g_strfreev (self->labels);
  g_free (self->rope_factors);
  g_free (self->dims.layer_has_window);
  g_free (self->model_type);
  g_free (self->path);
  g_free (self);
}

/* A list of what is there, for the message about what is not. */
static char *
list_names (gboolean gguf)
{
  const PeftArchitecture *const *all = peft_architecture_list ();
  GString *names = g_string_new (NULL);

  for (; *all != NULL; all++)
    for (const char *const *name = gguf ? (*all)->gguf_names : (*all)->model_types; *name != NULL;
         name++)
      g_string_append_printf (names, "%s%s", names->len > 0 ? ", " : "", *name);
  return g_string_free (names, FALSE);
}

static gboolean
open_gguf (PeftCore *self, GError **error)
{
  g_autofree char *name = NULL;

  self->gguf = peft_gguf_open (self->path, error);
  if (self->gguf == NULL)
    return FALSE;
  self->source = peft_tensor_source_ref (peft_gguf_get_source (self->gguf));
  name = peft_gguf_dup_string (self->gguf, "general.architecture", error);
  if (name == NULL)
    return FALSE;
  self->architecture = peft_architecture_find_gguf (name);
  if (self->architecture == NULL)
    {
      g_autofree char *known = list_names (TRUE);

      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("%s: general.architecture: expected one of %s, found %s"), self->path, known,
                   name);
      return FALSE;
    }
  self->config = peft_json_new_object ();
  return self->architecture->gguf_config (self->gguf, self->config, error);
}

static gboolean
open_folder (PeftCore *self, GError **error)
{
  g_autofree char *config_path = g_build_filename (self->path, "config.json", NULL);
  g_autoptr (PeftSafetensors) tensors = NULL;
  const char *model_type = NULL;

  self->config = peft_json_load (config_path, PEFT_JSON_PARSE_NAN, error);
  if (self->config == NULL)
    return FALSE;
  if (peft_json_get_kind (self->config) != PEFT_JSON_OBJECT)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("%s: expected an object, found %s"), config_path,
                   peft_json_get_kind_name (self->config));
      return FALSE;
    }
  if (!peft_json_read_string (self->config, "model_type", &model_type, error))
    {
      g_prefix_error (error, "%s: ", config_path);
      return FALSE;
    }
  if (model_type == NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE, _ ("%s: model_type is missing"),
                   config_path);
      return FALSE;
    }
  self->architecture = peft_architecture_find (model_type);
  if (self->architecture == NULL)
    {
      g_autofree char *known = list_names (FALSE);

      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("%s: model_type: expected one of %s, found %s"), config_path, known,
                   model_type);
      return FALSE;
    }
  if (peft_json_get_member (self->config, "quantization_config") != NULL
      && peft_json_get_kind (peft_json_get_member (self->config, "quantization_config"))
             != PEFT_JSON_NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("%s: quantization_config: models quantised by bitsandbytes, GPTQ or AWQ cannot be "
                      "read; use the original model or a GGUF file"),
                   config_path);
      return FALSE;
    }
  tensors = peft_safetensors_open (self->path, error);
  if (tensors == NULL)
    return FALSE;
  self->source = peft_tensor_source_ref (peft_safetensors_get_source (tensors));
  return TRUE;
}

/* Fast products where they are asked for or, left to us, where no precision of the weights is lost. */
static PeftComputeType
choose_compute (PeftCore *self, PeftLoadDType dtype)
{
  if (!self->backend->has_bf16 || dtype == PEFT_LOAD_FLOAT32)
    return PEFT_COMPUTE_F32;
  if (dtype == PEFT_LOAD_AUTO)
    for (guint i = 0; i < self->slots->len; i++)
      {
        PeftSlot *slot = g_ptr_array_index (self->slots, i);

        if (slot->kind == PEFT_SLOT_LINEAR && slot->weight->view.dtype <= PEFT_DTYPE_F32)
          return PEFT_COMPUTE_F32;
      }
  return PEFT_COMPUTE_BF16;
}

PeftCore *
peft_core_load (const char *path, PeftBackend *backend, PeftLoadDType dtype,
                GCancellable *cancellable, GError **error)
{
  return peft_core_load_with_head (path, backend, dtype, NULL, cancellable, error);
}

PeftCore *
peft_core_load_with_head (const char *path, PeftBackend *backend, PeftLoadDType dtype,
                          const PeftHeadRequest *request, GCancellable *cancellable,
                          GError **error)
{
  g_autoptr (PeftCore) self = g_new0 (PeftCore, 1);
  const char *model_type = NULL;

  self->ref_count = 1;
  self->path = g_strdup (path);
  self->backend = peft_backend_ref (backend);
  self->slots = g_ptr_array_new_with_free_func ((GDestroyNotify) peft_slot_free);
  self->by_path = g_hash_table_new (g_str_hash, g_str_equal);

  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND,
                   _ ("%s: no such model folder or .gguf file"), path);
      return NULL;
    }
  if (!(g_file_test (path, G_FILE_TEST_IS_DIR) ? open_folder (self, error)
                                               : open_gguf (self, error)))
    return NULL;
  peft_json_read_string (self->config, "model_type", &model_type, NULL);
  self->model_type = g_strdup (model_type);
  if (!self->architecture->read_config (self->config, &self->dims, error)
      || !peft_core_task_setup (self, request, error))
    {
      g_prefix_error (error, self->gguf != NULL ? "%s: " : "%s/config.json: ", path);
      return NULL;
    }
  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return NULL;
  if (!self->architecture->load (self, error))
    return NULL;
  self->compute = choose_compute (self, dtype);
  return g_steal_pointer (&self);
}

PeftSlot *
peft_core_find_slot (PeftCore *self, const char *path)
{
  return g_hash_table_lookup (self->by_path, path);
}

guint64
peft_core_get_n_parameters (PeftCore *self)
{
  guint64 n = 0;

  for (guint i = 0; i < self->slots->len; i++)
    {
      PeftSlot *slot = g_ptr_array_index (self->slots, i);

      if (slot->weight != NULL && !slot->tied)
        n += peft_view_n_values (&slot->weight->view);
      if (slot->bias != NULL)
        n += peft_view_n_values (&slot->bias->view);
    }
  return n;
}

guint64
peft_core_get_weight_bytes (PeftCore *self)
{
  guint64 n = 0;

  for (guint i = 0; i < self->slots->len; i++)
    {
      PeftSlot *slot = g_ptr_array_index (self->slots, i);

      if (slot->weight != NULL && !slot->tied)
        n += peft_view_span (&slot->weight->view);
      if (slot->bias != NULL)
        n += peft_view_span (&slot->bias->view);
    }
  return n;
}

gint64
peft_core_get_n_virtual (PeftCore *self)
{
  return self->hook != NULL ? self->hook->n_virtual : 0;
}

gint64
peft_core_get_n_prefix (PeftCore *self)
{
  return self->hook != NULL ? self->hook->n_prefix : 0;
}

static gboolean
needs_prefix (PeftCore *self, const PeftForward *forward)
{
  return peft_core_get_n_prefix (self) > 0
         && (forward->cache == NULL || peft_kv_cache_get_length (forward->cache) == 0);
}

/* prefix [n, kv_heads, head_dim] in front of every line of x, both of which are consumed. */
static PeftVar *
prepend_keys (PeftTape *tape, PeftVar *prefix, PeftVar *x)
{
  const gint64 *shape = peft_var_shape (prefix);
  const gint64 all[4] = { peft_var_shape (x)[0], shape[0], shape[1], shape[2] };
  g_autoptr (PeftVar) front = prefix;
  g_autoptr (PeftVar) rest = x;
  g_autoptr (PeftVar) each = peft_nn_expand (tape, front, 4, all);
  PeftVar *parts[] = { each, rest };

  return peft_nn_concat (tape, parts, G_N_ELEMENTS (parts), 1);
}

void
peft_core_add_prefix (PeftCore *self, PeftTape *tape, const PeftForward *forward, int layer,
                      PeftVar **keys, PeftVar **values)
{
  PeftVar *front_keys, *front_values;

  if (!needs_prefix (self, forward))
    return;
  self->hook->klass->prefix (self->hook, tape, layer, &front_keys, &front_values);
  *keys = prepend_keys (tape, front_keys, *keys);
  *values = prepend_keys (tape, front_values, *values);
}

void
peft_core_advance_cache (PeftCore *self, const PeftForward *forward)
{
  gint64 length;

  if (forward->cache == NULL)
    return;
  length = peft_kv_cache_get_length (forward->cache) + forward->length;
  if (needs_prefix (self, forward))
    length += peft_core_get_n_prefix (self);
  peft_kv_cache_set_length (forward->cache, length);
}

/* x [batch · (length − n_virtual), hidden] is consumed. */
static PeftVar *
prepend_prompt (PeftCore *self, PeftTape *tape, const PeftForward *forward, PeftVar *x)
{
  const gint64 hidden = self->dims.hidden, n_virtual = forward->n_virtual;
  const gint64 text[3] = { forward->batch, forward->length - n_virtual, hidden };
  const gint64 front[3] = { forward->batch, n_virtual, hidden };
  const gint64 flat[2] = { forward->batch * forward->length, hidden };
  g_autoptr (PeftVar) prompt = self->hook->klass->prompt (self->hook, tape, forward);
  g_autoptr (PeftVar) each = peft_nn_expand (tape, prompt, 3, front);
  g_autoptr (PeftVar) lines = peft_nn_reshape (tape, x, 3, text);
  PeftVar *parts[] = { each, lines };
  g_autoptr (PeftVar) joined = peft_nn_concat (tape, parts, G_N_ELEMENTS (parts), 1);

  peft_var_unref (x);
  return peft_nn_reshape (tape, joined, 2, flat);
}

PeftVar *
peft_core_embed (PeftCore *self, PeftTape *tape, const PeftForward *forward)
{
  PeftVar *x = peft_slot_embed (self->embedding, tape, forward->ids, self->dims.embedding_scale);

  return forward->n_virtual > 0 ? prepend_prompt (self, tape, forward, x) : x;
}

PeftVar *
peft_core_head (PeftTape *tape, PeftVar *const *inputs, gpointer data)
{
  PeftCore *self = data;
  PeftVar *logits;

  if (self->head == NULL)
    return peft_var_ref (inputs[0]);
  logits = peft_slot_linear (self->head, tape, inputs[0]);

  if (self->dims.logit_scale != 1 && self->task == PEFT_TASK_CAUSAL_LM)
    {
      PeftVar *scaled = peft_nn_scale (tape, logits, self->dims.logit_scale);
      peft_var_unref (logits);
      logits = scaled;
    }
  return logits;
}

PeftVar *
peft_core_forward (PeftCore *self, PeftTape *tape, const PeftForward *forward)
{
  GError *error = NULL;

  if (!peft_core_prepare_rope (self, forward->max_position, &error))
    peft_tape_fail (tape, error);
  return self->architecture->forward (self, tape, forward);
}
