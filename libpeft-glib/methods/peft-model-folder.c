/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "methods/peft-model-folder.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/peft-atomic-file.h"
#include "base/peft-error.h"
#include "formats/peft-safetensors.h"
#include "models/peft-core-task.h"

#define CONFIG_FILE "config.json"

/* clang-format off */
static const char *const extra_files[] = {
  "tokenizer.json",          "tokenizer_config.json", "special_tokens_map.json",
  "added_tokens.json",       "tokenizer.model",       "vocab.json",
  "merges.txt",              "vocab.txt",             "chat_template.jinja",
  "chat_template.json",      "generation_config.json",
};
/* clang-format on */

const char *
peft_model_folder_dtype_name (PeftDType dtype)
{
  switch ((int) dtype)
    {
    case PEFT_DTYPE_F32:
      return "float32";
    case PEFT_DTYPE_F16:
      return "float16";
    case PEFT_DTYPE_BF16:
      return "bfloat16";
    default:
      return NULL;
    }
}

gboolean
peft_model_folder_prepare (PeftCore *core, const char *folder, GError **error)
{
  g_autofree char *original = realpath (core->path, NULL);
  g_autofree char *target = NULL;

  if (g_mkdir_with_parents (folder, 0777) != 0)
    {
      int number = errno;

      g_set_error (error, PEFT_ERROR, PEFT_ERROR_IO, _ ("%s: cannot make the folder: %s"), folder,
                   g_strerror (number));
      return FALSE;
    }
  target = realpath (folder, NULL);
  if (original != NULL && target != NULL && g_str_equal (original, target))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("%s: is the model's own folder; choose another one to write to"), folder);
      return FALSE;
    }
  return TRUE;
}

/* A parsed tree is not changed: an object with the same members. */
static PeftJson *
copy_object (const PeftJson *object)
{
  PeftJson *copy = peft_json_new_object ();

  for (gsize i = 0; i < peft_json_get_length (object); i++)
    peft_json_set (copy, peft_json_get_name (object, i),
                   peft_json_ref (peft_json_get_value (object, i)));
  return copy;
}

gboolean
peft_model_folder_write_config (
    PeftCore *core, const char *folder, const char *dtype_name, gboolean untied, GError **error)
{
  g_autoptr (PeftJson) config = copy_object (core->config);
  g_autofree char *path = g_build_filename (folder, CONFIG_FILE, NULL);
  g_autofree char *text = NULL;

  if (dtype_name != NULL)
    {
      gboolean has_new = peft_json_get_member (config, "dtype") != NULL;
      gboolean has_old = peft_json_get_member (config, "torch_dtype") != NULL;

      if (has_new)
        peft_json_set (config, "dtype", peft_json_new_string (dtype_name));
      if (has_old || !has_new)
        peft_json_set (config, "torch_dtype", peft_json_new_string (dtype_name));
    }
  peft_core_task_fill_config (core, config);
  if (untied)
    peft_json_set (config, "tie_word_embeddings", peft_json_new_boolean (FALSE));
  text = peft_json_to_string (config, PEFT_JSON_WRITE_INDENT | PEFT_JSON_WRITE_ASCII);
  return peft_atomic_write (path, text, -1, error);
}

gboolean
peft_model_folder_copy_extras (PeftCore *core, const char *folder, GError **error)
{
  if (core->gguf != NULL)
    {
      g_message (
          _ ("%s: the tokenizer inside the GGUF file is not written to %s; copy the original "
             "model's tokenizer.json there"),
          core->path, folder);
      return TRUE;
    }
  for (guint i = 0; i < G_N_ELEMENTS (extra_files); i++)
    {
      g_autofree char *from = g_build_filename (core->path, extra_files[i], NULL);
      g_autofree char *to = g_build_filename (folder, extra_files[i], NULL);
      g_autofree char *data = NULL;
      g_autoptr (GError) local = NULL;
      gsize length;

      if (!g_file_test (from, G_FILE_TEST_IS_REGULAR))
        continue;
      if (!g_file_get_contents (from, &data, &length, &local))
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_IO, "%s: %s", from, local->message);
          return FALSE;
        }
      if (!peft_atomic_write (to, data, (gssize) length, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
is_weight_file (const char *name)
{
  return g_str_equal (name, PEFT_SAFETENSORS_FILE) || g_str_equal (name, PEFT_SAFETENSORS_INDEX)
         || (g_str_has_prefix (name, "model-") && strstr (name, "-of-") != NULL
             && g_str_has_suffix (name, ".safetensors"));
}

gboolean
peft_model_folder_remove_stale (const char *folder, GHashTable *kept, GError **error)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);

      if (!is_weight_file (name) || g_hash_table_contains (kept, name))
        continue;
      if (g_unlink (path) != 0)
        {
          int number = errno;

          g_set_error (error, PEFT_ERROR, PEFT_ERROR_IO,
                       _ ("%s: cannot remove the weights of an earlier model: %s"), path,
                       g_strerror (number));
          return FALSE;
        }
    }
  return TRUE;
}
