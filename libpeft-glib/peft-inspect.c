/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-inspect.h"

#include <glib/gi18n-lib.h>
#include <stdlib.h>

#include "base/peft-error.h"
#include "formats/peft-safetensors.h"
#include "hub/peft-hub-cache.h"
#include "methods/peft-config-private.h"
#include "models/peft-architecture.h"
#include "peft-dataset.h"
#include "peft-json-private.h"

#define ADAPTER_CONFIG "adapter_config.json"
#define ADAPTER_WEIGHTS "adapter_model.safetensors"

/* ---- Tensors ------------------------------------------------------------------------------- */

typedef struct
{
  guint64 tensors, values, bytes;
} TypeCount;

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return g_strcmp0 (*(const char *const *) a, *(const char *const *) b);
}

/* Sets tensors, parameters, bytes and dtypes. */
static void
add_tensors (PeftJson *json, PeftTensorSource *source)
{
  g_autoptr (GHashTable) counts = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, g_free);
  g_autofree gpointer *names = NULL;
  PeftJson *dtypes = peft_json_new_object ();
  guint64 values = 0, bytes = 0;
  guint n_names;

  for (gsize i = 0; i < peft_tensor_source_get_n (source); i++)
    {
      const PeftTensorEntry *entry = peft_tensor_source_get (source, i);
      guint64 n = peft_tensor_entry_get_n_values (entry);
      TypeCount *count = g_hash_table_lookup (counts, entry->type_name);

      if (count == NULL)
        {
          count = g_new0 (TypeCount, 1);
          g_hash_table_insert (counts, (gpointer) entry->type_name, count);
        }
      count->tensors++;
      count->values += n;
      count->bytes += entry->n_bytes;
      values += n;
      bytes += entry->n_bytes;
    }
  names = g_hash_table_get_keys_as_array (counts, &n_names);
  qsort (names, n_names, sizeof *names, compare_names);
  for (guint i = 0; i < n_names; i++)
    {
      const TypeCount *count = g_hash_table_lookup (counts, names[i]);
      PeftJson *row = peft_json_new_object ();

      peft_json_set (row, "tensors", peft_json_new_uint (count->tensors));
      peft_json_set (row, "parameters", peft_json_new_uint (count->values));
      peft_json_set (row, "bytes", peft_json_new_uint (count->bytes));
      peft_json_set (dtypes, names[i], row);
    }
  peft_json_set (json, "tensors", peft_json_new_uint (peft_tensor_source_get_n (source)));
  peft_json_set (json, "parameters", peft_json_new_uint (values));
  peft_json_set (json, "bytes", peft_json_new_uint (bytes));
  peft_json_set (json, "dtypes", dtypes);
}

/* ---- Models -------------------------------------------------------------------------------- */

static void
add_dimensions (PeftJson *json, const PeftDimensions *dims)
{
  peft_json_set (json, "hidden_size", peft_json_new_int (dims->hidden));
  peft_json_set (json, "layers", peft_json_new_int (dims->n_layers));
  peft_json_set (json, "heads", peft_json_new_int (dims->n_heads));
  peft_json_set (json, "kv_heads", peft_json_new_int (dims->n_kv_heads));
  peft_json_set (json, "head_dim", peft_json_new_int (dims->head_dim));
  peft_json_set (json, "intermediate_size", peft_json_new_int (dims->ffn));
  peft_json_set (json, "vocab_size", peft_json_new_int (dims->vocab));
  peft_json_set (json, "max_positions", peft_json_new_int (dims->max_positions));
  peft_json_set (json, "tied_embeddings", peft_json_new_boolean (dims->tied));
}

/* A model of a family that this version does not know is described as far as it goes. */
static gboolean
add_architecture (PeftJson *json, const PeftArchitecture *architecture, const PeftJson *config,
                  GError **error)
{
  PeftDimensions dims = { 0 };

  peft_json_set (json, "supported", peft_json_new_boolean (architecture != NULL));
  if (architecture == NULL)
    return TRUE;
  if (!architecture->read_config (config, &dims, error))
    return FALSE;
  add_dimensions (json, &dims);
  g_free (dims.layer_has_window);
  return TRUE;
}

static gboolean
has_file (const char *folder, const char *name)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);

  return g_file_test (path, G_FILE_TEST_EXISTS);
}

static gboolean
inspect_folder (PeftJson *json, const char *path, GError **error)
{
  g_autofree char *config_path = g_build_filename (path, "config.json", NULL);
  g_autoptr (PeftJson) config = peft_json_load (config_path, PEFT_JSON_PARSE_NAN, error);
  g_autoptr (PeftSafetensors) tensors = NULL;
  const char *model_type = NULL;

  if (config == NULL)
    return FALSE;
  if (!peft_json_read_string (config, "model_type", &model_type, error))
    {
      g_prefix_error (error, "%s: ", config_path);
      return FALSE;
    }
  peft_json_set (json, "kind", peft_json_new_string ("model"));
  peft_json_set (json, "format", peft_json_new_string ("safetensors"));
  peft_json_set (json, "model_type",
                 model_type != NULL ? peft_json_new_string (model_type) : peft_json_new_null ());
  if (!add_architecture (json, model_type != NULL ? peft_architecture_find (model_type) : NULL,
                         config, error))
    {
      g_prefix_error (error, "%s: ", config_path);
      return FALSE;
    }
  tensors = peft_safetensors_open (path, error);
  if (tensors == NULL)
    return FALSE;
  add_tensors (json, peft_safetensors_get_source (tensors));
  peft_json_set (json, "tokenizer", peft_json_new_boolean (has_file (path, "tokenizer.json")));
  return TRUE;
}

static gboolean
inspect_gguf (PeftJson *json, const char *path, GError **error)
{
  g_autoptr (PeftGguf) gguf = peft_gguf_open (path, error);
  g_autoptr (PeftJson) config = peft_json_new_object ();
  const PeftArchitecture *architecture;
  g_autofree char *name = NULL;

  if (gguf == NULL)
    return FALSE;
  name = peft_gguf_dup_string (gguf, "general.architecture", error);
  if (name == NULL)
    return FALSE;
  peft_json_set (json, "kind", peft_json_new_string ("model"));
  peft_json_set (json, "format", peft_json_new_string ("gguf"));
  peft_json_set (json, "gguf_version", peft_json_new_int (peft_gguf_get_version (gguf)));
  peft_json_set (json, "model_type", peft_json_new_string (name));
  architecture = peft_architecture_find_gguf (name);
  if ((architecture != NULL && !architecture->gguf_config (gguf, config, error))
      || !add_architecture (json, architecture, config, error))
    {
      g_prefix_error (error, "%s: ", path);
      return FALSE;
    }
  add_tensors (json, peft_gguf_get_source (gguf));
  peft_json_set (json, "tokenizer",
                 peft_json_new_boolean (peft_gguf_has (gguf, "tokenizer.ggml.model")));
  return TRUE;
}

/* ---- Others -------------------------------------------------------------------------------- */

static gboolean
inspect_adapter (PeftJson *json, const char *path, GError **error)
{
  g_autofree char *config_path = g_build_filename (path, ADAPTER_CONFIG, NULL);
  g_autofree char *weights_path = g_build_filename (path, ADAPTER_WEIGHTS, NULL);
  g_autoptr (PeftConfig) config = peft_config_load (config_path, error);
  g_autoptr (PeftSafetensors) tensors = NULL;
  g_auto (GStrv) unknown = NULL;
  g_autoptr (GError) refusal = NULL;

  if (config == NULL)
    return FALSE;
  peft_json_set (json, "kind", peft_json_new_string ("adapter"));
  peft_json_set (json, "peft_type", peft_json_new_string (peft_config_get_peft_type (config)));
  peft_json_set (json, "base_model",
                 peft_json_ref ((PeftJson *) peft_config_get_json (config,
                                                                   "base_model_name_or_path")));
  peft_json_set (json, "supported",
                 peft_json_new_boolean (peft_config_validate (config, &refusal)));
  if (refusal != NULL)
    peft_json_set (json, "reason", peft_json_new_string (refusal->message));
  unknown = peft_config_get_unknown_fields (config);
  peft_json_set (json, "unknown_fields", peft_json_new_strings ((const char *const *) unknown));
  peft_json_set (json, "config", peft_config_to_tree (config));
  tensors = peft_safetensors_open (weights_path, error);
  if (tensors == NULL)
    return FALSE;
  add_tensors (json, peft_safetensors_get_source (tensors));
  return TRUE;
}

static gboolean
inspect_tensors (PeftJson *json, const char *path, GError **error)
{
  g_autoptr (PeftSafetensors) tensors = peft_safetensors_open (path, error);

  if (tensors == NULL)
    return FALSE;
  peft_json_set (json, "kind", peft_json_new_string ("tensors"));
  peft_json_set (json, "format", peft_json_new_string ("safetensors"));
  add_tensors (json, peft_safetensors_get_source (tensors));
  return TRUE;
}

static gboolean
inspect_data (PeftJson *json, const char *path, GCancellable *cancellable, GError **error)
{
  const char *const paths[] = { path, NULL };
  g_autoptr (PeftDataset) dataset = peft_dataset_load (paths, NULL, cancellable, error);
  g_autoptr (PeftJson) description = NULL;
  g_autofree char *text = NULL;

  if (dataset == NULL)
    return FALSE;
  text = peft_dataset_to_json (dataset);
  description = peft_json_parse (text, -1, PEFT_JSON_PARSE_DEFAULT, error);
  if (description == NULL)
    return FALSE;
  peft_json_set (json, "kind", peft_json_new_string ("data"));
  for (gsize i = 0; i < peft_json_get_length (description); i++)
    peft_json_set (json, peft_json_get_name (description, i),
                   peft_json_ref (peft_json_get_value (description, i)));
  return TRUE;
}

/* What a path is is told by what is there, and of files by their ending. */
static gboolean
inspect (PeftJson *json, const char *path, GCancellable *cancellable, GError **error)
{
  if (g_file_test (path, G_FILE_TEST_IS_DIR))
    {
      if (has_file (path, ADAPTER_CONFIG))
        return inspect_adapter (json, path, error);
      if (has_file (path, "config.json"))
        return inspect_folder (json, path, error);
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND,
                   _ ("%s: expected a model (config.json) or an adapter (adapter_config.json), found "
                      "neither"),
                   path);
      return FALSE;
    }
  if (g_str_has_suffix (path, ".gguf"))
    return inspect_gguf (json, path, error);
  if (g_str_has_suffix (path, ".safetensors"))
    return inspect_tensors (json, path, error);
  return inspect_data (json, path, cancellable, error);
}

/**
 * peft_inspect_to_json:
 * @path: a model's folder, GGUF file or Hub id, an adapter's folder, a safetensors file, or a data file
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Finds out what something is, without loading its weights.
 *
 * The result is a JSON object with `kind` (`model`, `adapter`, `tensors`, `data`) and `path`. Models and adapters have
 * `tensors`, `parameters`, `bytes` and `dtypes`; models also `format`, `model_type`, `supported`, their dimensions and
 * `tokenizer`; adapters `peft_type`, `base_model`, `config`, `unknown_fields`, and `supported` with a `reason`; data
 * what [method@Dataset.to_json] gives. What memory a run would need says [method@Trainer.plan].
 *
 * Returns: (transfer full): JSON text
 *
 * Since: 1.0
 */
char *
peft_inspect_to_json (const char *path, GCancellable *cancellable, GError **error)
{
  g_autoptr (PeftJson) json = peft_json_new_object ();
  g_autofree char *found = NULL;

  g_return_val_if_fail (path != NULL, NULL);

  found = peft_hub_resolve (path, error);
  if (found == NULL)
    return NULL;
  peft_json_set (json, "path", peft_json_new_string (found));
  if (!inspect (json, found, cancellable, error))
    return NULL;
  return peft_json_to_string (json, PEFT_JSON_WRITE_INDENT);
}

static void
inspect_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  GError *error = NULL;
  char *json = peft_inspect_to_json (data, cancellable, &error);

  if (json != NULL)
    g_task_return_pointer (task, json, g_free);
  else
    g_task_return_error (task, error);
}

/**
 * peft_inspect_to_json_async:
 * @path: a path or a Hub id
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when it is done
 * @user_data: data for @callback
 *
 * Finds out what something is, in a thread.
 *
 * Since: 1.0
 */
void
peft_inspect_to_json_async (const char *path, GCancellable *cancellable,
                            GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = NULL;

  g_return_if_fail (path != NULL);

  task = g_task_new (NULL, cancellable, callback, user_data);
  g_task_set_source_tag (task, peft_inspect_to_json_async);
  g_task_set_task_data (task, g_strdup (path), g_free);
  g_task_run_in_thread (task, inspect_thread);
}

/**
 * peft_inspect_to_json_finish:
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends [func@inspect_to_json_async].
 *
 * Returns: (transfer full): JSON text
 *
 * Since: 1.0
 */
char *
peft_inspect_to_json_finish (GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, NULL), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}
