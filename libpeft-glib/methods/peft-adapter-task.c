/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "methods/peft-adapter-task.h"

#include <glib/gi18n-lib.h>

#include "base/peft-atomic-file.h"
#include "base/peft-error.h"
#include "formats/peft-safetensors.h"
#include "methods/peft-adapter-private.h"
#include "methods/peft-config-private.h"

/* What peft adds to modules_to_save, a row a task. */
static const char *const head_names[][3] = {
  [PEFT_TASK_SEQ_CLS] = { "classifier", "score" },
  [PEFT_TASK_TOKEN_CLS] = { "classifier", "score" },
  [PEFT_TASK_QUESTION_ANS] = { "qa_outputs" },
  [PEFT_TASK_FEATURE_EXTRACTION] = { NULL },
};

gboolean
peft_adapter_task_check (PeftCore *core, PeftConfig *config, GError **error)
{
  const char *name = peft_config_get_string (config, "task_type");

  if (name == NULL || g_str_equal (name, peft_task_get_name (core->task)))
    return TRUE;
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
               _ ("task_type: the adapter is for %s, the model was loaded for %s"), name,
               peft_task_get_name (core->task));
  return FALSE;
}

static gboolean
has_name (const PeftJson *list, const char *name)
{
  for (gsize i = 0; list != NULL && i < peft_json_get_length (list); i++)
    if (g_str_equal (peft_json_get_string (peft_json_get_element (list, i)), name))
      return TRUE;
  return FALSE;
}

void
peft_adapter_task_save_head (PeftCore *core, PeftConfig *config)
{
  const PeftJson *old;
  PeftJson *list;

  /* peft makes a model with a head only for a configuration with a task. */
  if (core->head == NULL || core->task == PEFT_TASK_CAUSAL_LM
      || peft_config_class_find_field (PEFT_CONFIG_GET_CLASS (config), "modules_to_save") == NULL
      || (peft_config_is_set (config, "task_type")
          && peft_config_get_string (config, "task_type") == NULL))
    return;
  old = peft_config_get_json (config, "modules_to_save");
  if (peft_json_get_kind (old) != PEFT_JSON_ARRAY)
    old = NULL;
  list = peft_json_new_array ();
  for (gsize i = 0; old != NULL && i < peft_json_get_length (old); i++)
    peft_json_append (list, peft_json_ref (peft_json_get_element (old, i)));
  for (const char *const *name = head_names[core->task]; *name != NULL; name++)
    if (!has_name (old, *name))
      peft_json_append (list, peft_json_new_string (*name));
  peft_config_set_json (config, "modules_to_save", list, PEFT_ERROR_INVALID_ARGUMENT, NULL);
}

/* ---- Labels -------------------------------------------------------------------------------- */

gboolean
peft_adapter_task_save_labels (PeftCore *core, const char *folder, GError **error)
{
  g_autofree char *path = g_build_filename (folder, PEFT_LABELS_FILE, NULL);
  g_autoptr (PeftJson) json = NULL;
  g_autofree char *text = NULL;

  if (core->labels == NULL)
    return TRUE;
  json = peft_json_new_object ();
  peft_json_set (json, "id2label", peft_labels_to_id2label ((const char *const *) core->labels));
  peft_json_set (json, "label2id", peft_labels_to_label2id ((const char *const *) core->labels));
  text = peft_json_to_string (json, PEFT_JSON_WRITE_INDENT);
  return peft_atomic_write (path, text, -1, error);
}

static gboolean
read_labels (const char *folder, GStrv *out, GError **error)
{
  g_autofree char *path = g_build_filename (folder, PEFT_LABELS_FILE, NULL);
  g_autoptr (PeftJson) json = NULL;
  GError *local = NULL;

  *out = NULL;
  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    return TRUE;
  json = peft_json_load (path, PEFT_JSON_PARSE_UNIQUE_KEYS, error);
  if (json == NULL)
    return FALSE;
  *out = peft_labels_from_json (json, &local);
  if (*out != NULL)
    return TRUE;
  if (local == NULL)
    g_set_error_literal (&local, PEFT_ERROR, PEFT_ERROR_INVALID_FILE, _ ("id2label is missing"));
  g_propagate_prefixed_error (error, local, "%s: ", path);
  return FALSE;
}

/* Rows of the head in the adapter's file; 0: it is not there. */
static gboolean
read_n_labels (const char *folder, guint *out, GError **error)
{
  static const char *const prefixes[] = { PEFT_ADAPTER_PREFIX, PEFT_MODEL_PREFIX };
  static const char *const names[] = { "score", "classifier" };
  g_autofree char *path = g_build_filename (folder, "adapter_model.safetensors", NULL);
  g_autoptr (PeftSafetensors) file = NULL;

  *out = 0;
  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    return TRUE;
  file = peft_safetensors_open (path, error);
  if (file == NULL)
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (prefixes) * G_N_ELEMENTS (names); i++)
    {
      g_autofree char *key = g_strconcat (prefixes[i / 2], names[i % 2], ".weight", NULL);
      const PeftTensorEntry *entry = peft_safetensors_lookup (file, key);

      if (entry != NULL && entry->n_dims == 2 && entry->shape[0] <= G_MAXINT)
        {
          *out = entry->shape[0];
          return TRUE;
        }
    }
  return TRUE;
}

void
peft_adapter_head_clear (PeftAdapterHead *self)
{
  g_clear_pointer (&self->labels, g_strfreev);
}

gboolean
peft_adapter_read_head (const char *folder, const char *name, PeftAdapterHead *out,
                        gboolean *given, GError **error)
{
  g_autofree char *found = peft_adapter_find_folder (folder, name);
  g_autoptr (PeftConfig) config = peft_config_load (found, error);
  const char *task;

  *out = (PeftAdapterHead){ 0 };
  *given = FALSE;
  if (config == NULL)
    return FALSE;
  task = peft_config_get_string (config, "task_type");
  if (task == NULL)
    return TRUE;
  if (!peft_task_from_name (task, &out->request.task, error))
    {
      g_prefix_error (error, "%s: ", found);
      return FALSE;
    }
  *given = TRUE;
  if (out->request.task != PEFT_TASK_SEQ_CLS && out->request.task != PEFT_TASK_TOKEN_CLS)
    return TRUE;
  if (!read_labels (found, &out->labels, error)
      || !read_n_labels (found, &out->request.n_labels, error))
    return FALSE;
  /* Names for other classes than the head has are of no use. */
  if (out->labels != NULL && out->request.n_labels > 0
      && g_strv_length (out->labels) != out->request.n_labels)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("%s/%s: expected names for the %u classes of the adapter's head, found %u"), found,
                   PEFT_LABELS_FILE, out->request.n_labels, g_strv_length (out->labels));
      return FALSE;
    }
  out->request.labels = (const char *const *) out->labels;
  return TRUE;
}
