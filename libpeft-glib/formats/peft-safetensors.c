/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "formats/peft-safetensors-private.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

#include "base/peft-checked.h"
#include "base/peft-error.h"
#include "base/peft-json.h"
#include "formats/peft-mapped-file.h"

#define LENGTH_BYTES 8u
#define METADATA_KEY "__metadata__"

typedef struct
{
  PeftTensorEntry entry;
  guint64 begin, end; /* within the data section */
} Placed;

PeftSafetensors *
peft_safetensors_new (const char *name)
{
  PeftSafetensors *self = g_new0 (PeftSafetensors, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->source = peft_tensor_source_new (name);
  self->metadata = g_ptr_array_new_with_free_func ((GDestroyNotify) peft_json_unref);
  return self;
}

PeftSafetensors *
peft_safetensors_ref (PeftSafetensors *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
peft_safetensors_unref (PeftSafetensors *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  peft_tensor_source_unref (self->source);
  g_ptr_array_unref (self->metadata);
  g_free (self);
}

static gboolean
tensor_error (const char *file, const char *tensor, PeftError code, GError **error,
              const char *format, ...) G_GNUC_PRINTF (5, 6);

static gboolean
tensor_error (const char *file, const char *tensor, PeftError code, GError **error,
              const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, PEFT_ERROR, code, _ ("%s: tensor '%s': %s"), file, tensor, what);
  return FALSE;
}

/* Nothing above 2^63 can be the size or place of something in a file. */
static gboolean
json_to_size (const PeftJson *json, guint64 *out)
{
  gint64 value;

  if (json == NULL || peft_json_get_kind (json) != PEFT_JSON_INT
      || !peft_json_get_int (json, &value) || value < 0)
    return FALSE;
  *out = (guint64) value;
  return TRUE;
}

static gboolean
parse_shape (const PeftJson *json, const char *file, PeftTensorEntry *entry, GError **error)
{
  gsize n;

  if (json == NULL || peft_json_get_kind (json) != PEFT_JSON_ARRAY)
    return tensor_error (file, entry->name, PEFT_ERROR_INVALID_FILE, error,
                         _ ("expected an array 'shape', found %s"),
                         json == NULL ? _ ("nothing") : peft_json_get_kind_name (json));
  n = peft_json_get_length (json);
  if (n > PEFT_TENSOR_MAX_DIMS)
    return tensor_error (file, entry->name, PEFT_ERROR_LIMIT, error,
                         _ ("expected at most %u dimensions, found %zu"),
                         PEFT_TENSOR_MAX_DIMS, n);
  for (gsize i = 0; i < n; i++)
    if (!json_to_size (peft_json_get_element (json, i), &entry->shape[i]))
      return tensor_error (file, entry->name, PEFT_ERROR_INVALID_FILE, error,
                           _ ("dimension %zu of 'shape' is not an integer from 0 to 2^63-1"),
                           i);
  entry->n_dims = (guint) n;
  return TRUE;
}

static gboolean
parse_tensor (const PeftJson *json, const char *file, Placed *out, GError **error)
{
  PeftTensorEntry *entry = &out->entry;
  const PeftJson *dtype, *offsets;
  guint64 n_values, n_bytes;

  if (peft_json_get_kind (json) != PEFT_JSON_OBJECT)
    return tensor_error (file, entry->name, PEFT_ERROR_INVALID_FILE, error,
                         _ ("expected an object in the header, found %s"),
                         peft_json_get_kind_name (json));

  dtype = peft_json_get_member (json, "dtype");
  if (dtype == NULL || peft_json_get_kind (dtype) != PEFT_JSON_STRING)
    return tensor_error (file, entry->name, PEFT_ERROR_INVALID_FILE, error,
                         _ ("expected a string 'dtype', found %s"),
                         dtype == NULL ? _ ("nothing") : peft_json_get_kind_name (dtype));
  if (!peft_dtype_from_safetensors (peft_json_get_string (dtype), &entry->dtype))
    return tensor_error (file, entry->name, PEFT_ERROR_UNSUPPORTED, error,
                         _ ("unknown dtype '%s'"), peft_json_get_string (dtype));
  entry->type_name = peft_dtype_get_info (entry->dtype)->safetensors_name;

  if (!parse_shape (peft_json_get_member (json, "shape"), file, entry, error))
    return FALSE;
  if (!peft_checked_product (entry->shape, entry->n_dims, &n_values)
      || !peft_dtype_bytes (entry->dtype, n_values, &n_bytes))
    {
      g_autofree char *shape = peft_tensor_shape_to_string (entry->shape, entry->n_dims);

      return tensor_error (file, entry->name, PEFT_ERROR_INVALID_FILE, error,
                           _ ("the size of shape %s overflows"), shape);
    }

  offsets = peft_json_get_member (json, "data_offsets");
  if (offsets == NULL || peft_json_get_kind (offsets) != PEFT_JSON_ARRAY
      || peft_json_get_length (offsets) != 2
      || !json_to_size (peft_json_get_element (offsets, 0), &out->begin)
      || !json_to_size (peft_json_get_element (offsets, 1), &out->end))
    return tensor_error (file, entry->name, PEFT_ERROR_INVALID_FILE, error,
                         _ ("expected 'data_offsets' to be two integers from 0 to 2^63-1"));
  if (out->end < out->begin)
    return tensor_error (file, entry->name, PEFT_ERROR_INVALID_FILE, error,
                         _ ("data_offsets end at %" PRIu64
                            " before they begin at %" PRIu64),
                         out->end, out->begin);
  if (out->end - out->begin != n_bytes)
    {
      g_autofree char *shape = peft_tensor_shape_to_string (entry->shape, entry->n_dims);

      return tensor_error (file, entry->name, PEFT_ERROR_INVALID_FILE, error,
                           _ ("%s of shape %s takes %" PRIu64
                              " bytes, but data_offsets give it %" PRIu64),
                           entry->type_name, shape, n_bytes, out->end - out->begin);
    }
  entry->n_bytes = n_bytes;
  return TRUE;
}

static int
compare_placed (gconstpointer a, gconstpointer b)
{
  const Placed *x = a, *y = b;

  if (x->begin != y->begin)
    return x->begin < y->begin ? -1 : 1;
  return (x->end > y->end) - (x->end < y->end);
}

/* The data of the tensors must tile the data section: no overlap, no hole, nothing left over. */
static gboolean
check_layout (GArray *tensors, const char *file, guint64 data_bytes, GError **error)
{
  guint64 at = 0;

  for (guint i = 0; i < tensors->len; i++)
    {
      const Placed *tensor = &g_array_index (tensors, Placed, i);

      if (tensor->begin < at)
        return tensor_error (file, tensor->entry.name, PEFT_ERROR_INVALID_FILE, error,
                             _ ("data begins at %" PRIu64
                                " and overlaps tensor '%s', which ends at %" PRIu64),
                             tensor->begin,
                             g_array_index (tensors, Placed, i - 1).entry.name, at);
      if (tensor->begin > at)
        return tensor_error (file, tensor->entry.name, PEFT_ERROR_INVALID_FILE, error,
                             _ ("data begins at %" PRIu64
                                ", which leaves a hole after %" PRIu64),
                             tensor->begin, at);
      if (tensor->end > data_bytes)
        return tensor_error (file, tensor->entry.name, PEFT_ERROR_INVALID_FILE, error,
                             _ ("data ends at %" PRIu64
                                ", but the file has only %" PRIu64
                                " bytes of data: it is truncated"),
                             tensor->end, data_bytes);
      at = tensor->end;
    }
  if (at != data_bytes)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("%s: the tensors take %" PRIu64
                      " bytes of data, but the file has %" PRIu64),
                   file, at, data_bytes);
      return FALSE;
    }
  return TRUE;
}

static gboolean
check_metadata (const PeftJson *json, const char *file, GError **error)
{
  if (peft_json_get_kind (json) != PEFT_JSON_OBJECT)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("%s: %s: expected an object, found %s"), file, METADATA_KEY,
                   peft_json_get_kind_name (json));
      return FALSE;
    }
  for (gsize i = 0; i < peft_json_get_length (json); i++)
    if (peft_json_get_kind (peft_json_get_value (json, i)) != PEFT_JSON_STRING)
      {
        g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                     _ ("%s: %s: '%s': expected a string, found %s"), file, METADATA_KEY,
                     peft_json_get_name (json, i),
                     peft_json_get_kind_name (peft_json_get_value (json, i)));
        return FALSE;
      }
  return TRUE;
}

/* Finds the header and parses it; *data_offset is where the data section begins. */
static PeftJson *
read_header (const guint8 *data, gsize size, const char *file, gsize *data_offset, GError **error)
{
  g_autoptr (PeftJson) header = NULL;
  guint64 length;

  if (size < LENGTH_BYTES)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("%s: expected 8 bytes of header length, found a file of %zu bytes:"
                      " it is truncated"),
                   file, size);
      return NULL;
    }
  memcpy (&length, data, LENGTH_BYTES);
  length = GUINT64_FROM_LE (length);
  if (length > PEFT_SAFETENSORS_MAX_HEADER_BYTES)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                   _ ("%s: the header has %" PRIu64
                      " bytes, more than the limit of %u; is this a safetensors file?"),
                   file, length, PEFT_SAFETENSORS_MAX_HEADER_BYTES);
      return NULL;
    }
  if (!peft_checked_range (LENGTH_BYTES, length, size))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("%s: the header has %" PRIu64
                      " bytes, but the file only %zu: it is truncated"),
                   file, length, size);
      return NULL;
    }
  if (length == 0 || data[LENGTH_BYTES] != '{')
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("%s: the header does not start with '{'"), file);
      return NULL;
    }
  header = peft_json_parse ((const char *) data + LENGTH_BYTES, (gssize) length,
                            PEFT_JSON_PARSE_UNIQUE_KEYS, error);
  if (header == NULL)
    {
      g_prefix_error (error, _ ("%s: header: "), file);
      return NULL;
    }
  *data_offset = LENGTH_BYTES + (gsize) length;
  return g_steal_pointer (&header);
}

gboolean
peft_safetensors_add_file (PeftSafetensors *self, GBytes *bytes, const char *path, GError **error)
{
  g_autoptr (PeftJson) header = NULL;
  g_autoptr (GArray) tensors = g_array_new (FALSE, FALSE, sizeof (Placed));
  const char *file = peft_tensor_source_intern (self->source, path, -1);
  gsize size, data_offset = 0;
  const guint8 *data = g_bytes_get_data (bytes, &size);

  header = read_header (data, size, file, &data_offset, error);
  if (header == NULL)
    return FALSE;

  for (gsize i = 0; i < peft_json_get_length (header); i++)
    {
      const char *name = peft_json_get_name (header, i);
      PeftJson *value = peft_json_get_value (header, i);
      Placed tensor = { 0 };

      if (strcmp (name, METADATA_KEY) == 0)
        {
          if (!check_metadata (value, file, error))
            return FALSE;
          g_ptr_array_add (self->metadata, peft_json_ref (value));
          continue;
        }
      if (peft_json_get_name_length (header, i) != strlen (name))
        return tensor_error (file, name, PEFT_ERROR_INVALID_FILE, error,
                             _ ("the name goes on after a NUL"));
      tensor.entry.name = peft_tensor_source_intern (self->source, name, -1);
      tensor.entry.file = file;
      if (!parse_tensor (value, file, &tensor, error))
        return FALSE;
      g_array_append_val (tensors, tensor);
    }

  g_array_sort (tensors, compare_placed);
  if (!check_layout (tensors, file, size - data_offset, error))
    return FALSE;
  for (guint i = 0; i < tensors->len; i++)
    {
      Placed *tensor = &g_array_index (tensors, Placed, i);

      tensor->entry.data = data + data_offset + tensor->begin;
      peft_tensor_source_add (self->source, &tensor->entry);
    }
  peft_tensor_source_hold (self->source, bytes);
  return TRUE;
}

PeftSafetensors *
peft_safetensors_open_bytes (GBytes *bytes, const char *name, GError **error)
{
  g_autoptr (PeftSafetensors) self = peft_safetensors_new (name);

  if (!peft_safetensors_add_file (self, bytes, name, error)
      || !peft_tensor_source_seal (self->source, error))
    return NULL;
  return g_steal_pointer (&self);
}

static PeftSafetensors *
open_file (const char *path, GError **error)
{
  g_autoptr (GBytes) bytes = peft_mapped_file_open (path, error);

  return bytes == NULL ? NULL : peft_safetensors_open_bytes (bytes, path, error);
}

PeftSafetensors *
peft_safetensors_open (const char *path, GError **error)
{
  if (g_file_test (path, G_FILE_TEST_IS_DIR))
    {
      g_autofree char *file = g_build_filename (path, PEFT_SAFETENSORS_FILE, NULL);
      g_autofree char *index = g_build_filename (path, PEFT_SAFETENSORS_INDEX, NULL);

      if (g_file_test (file, G_FILE_TEST_EXISTS))
        return open_file (file, error);
      if (g_file_test (index, G_FILE_TEST_EXISTS))
        return peft_safetensors_open_index (index, error);
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND,
                   _ ("%s: expected %s or %s in this folder"), path, PEFT_SAFETENSORS_FILE,
                   PEFT_SAFETENSORS_INDEX);
      return NULL;
    }
  if (g_str_has_suffix (path, ".index.json"))
    return peft_safetensors_open_index (path, error);
  return open_file (path, error);
}

PeftTensorSource *
peft_safetensors_get_source (const PeftSafetensors *self)
{
  return self->source;
}

gsize
peft_safetensors_get_n_tensors (const PeftSafetensors *self)
{
  return peft_tensor_source_get_n (self->source);
}

const PeftTensorEntry *
peft_safetensors_get_entry (const PeftSafetensors *self, gsize index)
{
  return peft_tensor_source_get (self->source, index);
}

const PeftTensorEntry *
peft_safetensors_lookup (const PeftSafetensors *self, const char *name)
{
  return peft_tensor_source_lookup (self->source, name);
}

const char *
peft_safetensors_get_metadata (const PeftSafetensors *self, const char *key)
{
  for (guint i = 0; i < self->metadata->len; i++)
    {
      const PeftJson *value = peft_json_get_member (self->metadata->pdata[i], key);

      if (value != NULL)
        return peft_json_get_string (value);
    }
  return NULL;
}
