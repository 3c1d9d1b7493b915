/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "formats/peft-safetensors-writer.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

#include "base/peft-atomic-file.h"
#include "base/peft-checked.h"
#include "base/peft-error.h"
#include "base/peft-json.h"
#include "formats/peft-safetensors.h"

#define HEADER_ALIGNMENT 8u

struct _PeftSafetensorsWriter
{
  GStringChunk *strings;
  GArray *entries;    /* of PeftTensorEntry */
  PeftJson *metadata; /* NULL: none */
  PeftAtomicFile *file;
  char *path;
  gsize current;   /* the entry that is being written … */
  guint64 written; /* … and how much of it is there */
};

/* The order that the Python package gives to dtypes, so that every tensor is aligned without
 * padding: widest first. */
static const PeftDType dtype_order[] = {
  PEFT_DTYPE_U64,     PEFT_DTYPE_I64,     PEFT_DTYPE_F64,  PEFT_DTYPE_F32, PEFT_DTYPE_U32,
  PEFT_DTYPE_I32,     PEFT_DTYPE_BF16,    PEFT_DTYPE_F16,  PEFT_DTYPE_U16, PEFT_DTYPE_I16,
  PEFT_DTYPE_F8_E4M3, PEFT_DTYPE_F8_E5M2, PEFT_DTYPE_I8,   PEFT_DTYPE_U8,  PEFT_DTYPE_BOOL,
};

static guint
dtype_rank (PeftDType dtype)
{
  guint i = 0;

  while (i < G_N_ELEMENTS (dtype_order) && dtype_order[i] != dtype)
    i++;
  return i;
}

PeftSafetensorsWriter *
peft_safetensors_writer_new (void)
{
  PeftSafetensorsWriter *self = g_new0 (PeftSafetensorsWriter, 1);

  self->strings = g_string_chunk_new (4096);
  self->entries = g_array_new (FALSE, FALSE, sizeof (PeftTensorEntry));
  return self;
}

void
peft_safetensors_writer_free (PeftSafetensorsWriter *self)
{
  g_string_chunk_free (self->strings);
  g_array_unref (self->entries);
  g_clear_pointer (&self->metadata, peft_json_unref);
  g_clear_pointer (&self->file, peft_atomic_file_free);
  g_free (self->path);
  g_free (self);
}

gboolean
peft_safetensors_writer_add (PeftSafetensorsWriter *self, const char *name, PeftDType dtype,
                             const guint64 *shape, guint n_dims, GError **error)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (dtype);
  PeftTensorEntry entry = { .dtype = dtype, .n_dims = n_dims };
  guint64 n_values;

  g_return_val_if_fail (self->file == NULL, FALSE);
  g_return_val_if_fail (n_dims <= PEFT_TENSOR_MAX_DIMS, FALSE);

  if (!g_utf8_validate (name, -1, NULL) || strcmp (name, "__metadata__") == 0)
    {
      g_autofree char *escaped = g_strescape (name, NULL);

      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("'%s' cannot be the name of a tensor in a safetensors file"), escaped);
      return FALSE;
    }
  if (info->safetensors_name == NULL || dtype_rank (dtype) == G_N_ELEMENTS (dtype_order))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("tensor '%s': safetensors files cannot hold the type %s"), name, info->name);
      return FALSE;
    }
  for (guint i = 0; i < n_dims; i++)
    entry.shape[i] = shape[i];
  if (!peft_checked_product (shape, n_dims, &n_values)
      || !peft_dtype_bytes (dtype, n_values, &entry.n_bytes))
    {
      g_autofree char *text = peft_tensor_shape_to_string (shape, n_dims);

      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("tensor '%s': the size of shape %s overflows"), name, text);
      return FALSE;
    }
  entry.name = g_string_chunk_insert (self->strings, name);
  entry.type_name = info->safetensors_name;
  g_array_append_val (self->entries, entry);
  return TRUE;
}

void
peft_safetensors_writer_set_metadata (PeftSafetensorsWriter *self, const char *key,
                                      const char *value)
{
  g_return_if_fail (self->file == NULL);

  if (self->metadata == NULL)
    self->metadata = peft_json_new_object ();
  peft_json_set (self->metadata, key, peft_json_new_string (value));
}

static int
compare_entries (gconstpointer a, gconstpointer b)
{
  const PeftTensorEntry *x = a, *y = b;

  if (x->dtype != y->dtype)
    return dtype_rank (x->dtype) < dtype_rank (y->dtype) ? -1 : 1;
  return strcmp (x->name, y->name);
}

static PeftJson *
entry_to_json (const PeftTensorEntry *entry, guint64 begin, guint64 end)
{
  PeftJson *json = peft_json_new_object ();
  PeftJson *shape = peft_json_new_array ();
  PeftJson *offsets = peft_json_new_array ();

  for (guint i = 0; i < entry->n_dims; i++)
    peft_json_append (shape, peft_json_new_uint (entry->shape[i]));
  peft_json_append (offsets, peft_json_new_uint (begin));
  peft_json_append (offsets, peft_json_new_uint (end));
  peft_json_set (json, "dtype", peft_json_new_string (entry->type_name));
  peft_json_set (json, "shape", shape);
  peft_json_set (json, "data_offsets", offsets);
  return json;
}

/* The length and the padded header; NULL and an error where a reader would refuse it. */
static GString *
build_header (PeftSafetensorsWriter *self, const char *path, GError **error)
{
  g_autoptr (PeftJson) header = peft_json_new_object ();
  g_autofree char *text = NULL;
  GString *out;
  guint64 at = 0, length, little;

  if (self->metadata != NULL)
    peft_json_set (header, "__metadata__", peft_json_ref (self->metadata));
  for (guint i = 0; i < self->entries->len; i++)
    {
      const PeftTensorEntry *entry = &g_array_index (self->entries, PeftTensorEntry, i);
      guint64 end;

      if (peft_json_get_member (header, entry->name) != NULL)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                       _ ("%s: tensor '%s' is to be written twice"), path, entry->name);
          return NULL;
        }
      if (!peft_checked_add (at, entry->n_bytes, &end) || end > G_MAXINT64)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                       _ ("%s: tensor '%s': the size of the file overflows"), path, entry->name);
          return NULL;
        }
      peft_json_set (header, entry->name, entry_to_json (entry, at, end));
      at = end;
    }

  text = peft_json_to_string (header, PEFT_JSON_WRITE_COMPACT);
  length = strlen (text);
  length += (HEADER_ALIGNMENT - length % HEADER_ALIGNMENT) % HEADER_ALIGNMENT;
  if (length > PEFT_SAFETENSORS_MAX_HEADER_BYTES)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                   _ ("%s: the header would have %" PRIu64
                      " bytes, more than the limit of %u"),
                   path, length, PEFT_SAFETENSORS_MAX_HEADER_BYTES);
      return NULL;
    }
  little = GUINT64_TO_LE (length);
  out = g_string_sized_new (sizeof (little) + length);
  g_string_append_len (out, (const char *) &little, sizeof (little));
  g_string_append (out, text);
  while (out->len < sizeof (little) + length)
    g_string_append_c (out, ' ');
  return out;
}

gboolean
peft_safetensors_writer_begin (PeftSafetensorsWriter *self, const char *path, GError **error)
{
  g_autoptr (GString) header = NULL;
  g_autoptr (PeftAtomicFile) file = NULL;

  g_return_val_if_fail (self->file == NULL, FALSE);

  g_array_sort (self->entries, compare_entries);
  header = build_header (self, path, error);
  if (header == NULL)
    return FALSE;
  file = peft_atomic_file_open (path, error);
  if (file == NULL || !peft_atomic_file_write (file, header->str, header->len, error))
    return FALSE;
  self->file = g_steal_pointer (&file);
  self->path = g_strdup (path);
  return TRUE;
}

gsize
peft_safetensors_writer_get_n_tensors (const PeftSafetensorsWriter *self)
{
  return self->entries->len;
}

const PeftTensorEntry *
peft_safetensors_writer_get_entry (const PeftSafetensorsWriter *self, gsize index)
{
  g_return_val_if_fail (index < self->entries->len, NULL);

  return &g_array_index (self->entries, PeftTensorEntry, index);
}

/* Steps over tensors that are complete, which those without a byte are from the start. */
static const PeftTensorEntry *
current_entry (PeftSafetensorsWriter *self)
{
  while (self->current < self->entries->len)
    {
      const PeftTensorEntry *entry
          = &g_array_index (self->entries, PeftTensorEntry, self->current);

      if (self->written < entry->n_bytes)
        return entry;
      self->current++;
      self->written = 0;
    }
  return NULL;
}

gboolean
peft_safetensors_writer_write (PeftSafetensorsWriter *self, const char *name, gconstpointer data,
                               gsize n_bytes, GError **error)
{
  const PeftTensorEntry *entry;

  g_return_val_if_fail (self->file != NULL, FALSE);

  if (n_bytes == 0)
    return TRUE;
  entry = current_entry (self);
  if (entry == NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("%s: there is no tensor left to write, found data of '%s'"), self->path,
                   name);
      return FALSE;
    }
  if (strcmp (entry->name, name) != 0)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("%s: expected the data of tensor '%s', found that of '%s'"), self->path,
                   entry->name, name);
      return FALSE;
    }
  if (n_bytes > entry->n_bytes - self->written)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("%s: tensor '%s' has %" PRIu64
                      " bytes to come, found %zu"),
                   self->path, name, entry->n_bytes - self->written, n_bytes);
      return FALSE;
    }
  if (!peft_atomic_file_write (self->file, data, n_bytes, error))
    return FALSE;
  self->written += n_bytes;
  return TRUE;
}

gboolean
peft_safetensors_writer_commit (PeftSafetensorsWriter *self, GError **error)
{
  const PeftTensorEntry *entry;

  g_return_val_if_fail (self->file != NULL, FALSE);

  entry = current_entry (self);
  if (entry != NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("%s: tensor '%s' lacks %" PRIu64 " bytes"), self->path,
                   entry->name, entry->n_bytes - self->written);
      return FALSE;
    }
  return peft_atomic_file_commit (self->file, error);
}

static int
compare_entry_pointers (gconstpointer a, gconstpointer b)
{
  return compare_entries (*(const PeftTensorEntry *const *) a, *(const PeftTensorEntry *const *) b);
}

gboolean
peft_safetensors_save (const char *path, const PeftTensorEntry *entries, gsize n_entries,
                       const char *const *metadata, GError **error)
{
  g_autoptr (PeftSafetensorsWriter) writer = peft_safetensors_writer_new ();
  g_autoptr (GPtrArray) sorted = g_ptr_array_new ();

  for (gsize i = 0; i < n_entries; i++)
    {
      const PeftTensorEntry *entry = &entries[i];

      if (!peft_safetensors_writer_add (writer, entry->name, entry->dtype, entry->shape,
                                        entry->n_dims, error))
        return FALSE;
      g_ptr_array_add (sorted, (gpointer) entry);
    }
  for (; metadata != NULL && metadata[0] != NULL; metadata += 2)
    peft_safetensors_writer_set_metadata (writer, metadata[0], metadata[1]);
  if (!peft_safetensors_writer_begin (writer, path, error))
    return FALSE;
  g_ptr_array_sort (sorted, compare_entry_pointers);
  for (guint i = 0; i < sorted->len; i++)
    {
      const PeftTensorEntry *entry = sorted->pdata[i];

      if (!peft_safetensors_writer_write (writer, entry->name, entry->data, entry->n_bytes, error))
        return FALSE;
    }
  return peft_safetensors_writer_commit (writer, error);
}
