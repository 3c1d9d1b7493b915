/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Models in several safetensors files, held together by model.safetensors.index.json. */
#include "config.h"

#include "formats/peft-safetensors-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"
#include "base/peft-json.h"
#include "formats/peft-mapped-file.h"

/* A shard is a plain name in the index's folder, so that an index cannot reach other files. */
static gboolean
shard_name_is_plain (const char *name)
{
  return name[0] != '\0' && strchr (name, '/') == NULL && strcmp (name, ".") != 0
         && strcmp (name, "..") != 0;
}

static int
compare_strings (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* The distinct files of the weight map, sorted. */
static GPtrArray *
list_shards (const PeftJson *map, const char *index, GError **error)
{
  g_autoptr (GPtrArray) shards = g_ptr_array_new ();
  guint n = 0;

  for (gsize i = 0; i < peft_json_get_length (map); i++)
    {
      const PeftJson *value = peft_json_get_value (map, i);

      if (peft_json_get_kind (value) != PEFT_JSON_STRING
          || !shard_name_is_plain (peft_json_get_string (value)))
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                       _ ("%s: weight_map: '%s': expected the name of a file in the same folder, found "
                          "'%s'"),
                       index, peft_json_get_name (map, i),
                       peft_json_get_kind (value) == PEFT_JSON_STRING
                           ? peft_json_get_string (value)
                           : peft_json_get_kind_name (value));
          return NULL;
        }
      g_ptr_array_add (shards, (gpointer) peft_json_get_string (value));
    }
  g_ptr_array_sort (shards, compare_strings);
  for (guint i = 0; i < shards->len; i++)
    if (n == 0 || strcmp (shards->pdata[i], shards->pdata[n - 1]) != 0)
      shards->pdata[n++] = shards->pdata[i];
  g_ptr_array_set_size (shards, (gint) n);
  if (n > PEFT_SAFETENSORS_MAX_SHARDS)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                   _ ("%s: weight_map names %u files, more than the limit of %u"), index, n,
                   PEFT_SAFETENSORS_MAX_SHARDS);
      return NULL;
    }
  return g_steal_pointer (&shards);
}

/* Every tensor of the weight map must be in the shard it names. Tensors that the map leaves out
 * are kept, as transformers does. */
static gboolean
check_weight_map (PeftSafetensors *self, const PeftJson *map, const char *folder,
                  const char *index, GError **error)
{
  for (gsize i = 0; i < peft_json_get_length (map); i++)
    {
      const char *name = peft_json_get_name (map, i);
      const char *shard = peft_json_get_string (peft_json_get_value (map, i));
      g_autofree char *path = g_build_filename (folder, shard, NULL);
      const PeftTensorEntry *entry = peft_tensor_source_lookup (self->source, name);

      if (entry == NULL || strcmp (entry->file, path) != 0)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                       _ ("%s: tensor '%s' should be in the shard %s, but is not there"), index,
                       name, shard);
          return FALSE;
        }
    }
  return TRUE;
}

PeftSafetensors *
peft_safetensors_open_index (const char *path, GError **error)
{
  g_autoptr (PeftSafetensors) self = peft_safetensors_new (path);
  g_autoptr (PeftJson) json = peft_json_load (path, PEFT_JSON_PARSE_UNIQUE_KEYS, error);
  g_autoptr (GPtrArray) shards = NULL;
  g_autofree char *folder = g_path_get_dirname (path);
  const PeftJson *map;

  if (json == NULL)
    return NULL;
  map = peft_json_get_member (json, "weight_map");
  if (map == NULL || peft_json_get_kind (map) != PEFT_JSON_OBJECT)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("%s: expected an object 'weight_map', found %s"), path,
                   map == NULL ? _ ("nothing") : peft_json_get_kind_name (map));
      return NULL;
    }
  shards = list_shards (map, path, error);
  if (shards == NULL)
    return NULL;
  for (guint i = 0; i < shards->len; i++)
    {
      g_autofree char *shard = g_build_filename (folder, shards->pdata[i], NULL);
      g_autoptr (GBytes) bytes = peft_mapped_file_open (shard, error);

      if (bytes == NULL)
        {
          g_prefix_error (error, _ ("%s: shard of the model: "), path);
          return NULL;
        }
      if (!peft_safetensors_add_file (self, bytes, shard, error))
        return NULL;
    }
  if (!peft_tensor_source_seal (self->source, error)
      || !check_weight_map (self, map, folder, path, error))
    return NULL;
  return g_steal_pointer (&self);
}
