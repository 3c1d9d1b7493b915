/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "formats/peft-gguf-private.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

#include "base/peft-checked.h"
#include "base/peft-error.h"
#include "formats/peft-mapped-file.h"

#define DEFAULT_ALIGNMENT 32u
#define MIN_ALIGNMENT 8u
/* The least that a tensor takes in the table: name length, a byte of name, dims, type, offset. */
#define MIN_INFO_BYTES 25u

typedef struct
{
  PeftTensorEntry entry;
  guint64 offset; /* within the data section */
} Placed;

static PeftGguf *
gguf_new (const char *name)
{
  PeftGguf *self = g_new0 (PeftGguf, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->source = peft_tensor_source_new (name);
  self->pairs = g_array_new (FALSE, FALSE, sizeof (PeftGgufPair));
  return self;
}

PeftGguf *
peft_gguf_ref (PeftGguf *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
peft_gguf_unref (PeftGguf *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  for (guint i = 0; i < self->pairs->len; i++)
    {
      PeftGgufPair *pair = &g_array_index (self->pairs, PeftGgufPair, i);

      g_free (pair->key);
      peft_gguf_value_clear (&pair->value);
    }
  g_array_unref (self->pairs);
  g_free (self->by_key);
  peft_tensor_source_unref (self->source);
  g_free (self);
}

static gboolean
read_version (PeftGguf *self, PeftGgufReader *reader, GError **error)
{
  const guint8 *magic;
  guint32 version;

  peft_gguf_reader_set_where (reader, g_strdup (_ ("GGUF header")));
  magic = peft_gguf_reader_take (reader, 4, error);
  if (magic == NULL)
    return FALSE;
  if (memcmp (magic, "GGUF", 4) != 0)
    return peft_gguf_reader_error (reader, PEFT_ERROR_INVALID_FILE, error,
                                   _ ("expected 'GGUF' at the start: this is no GGUF file"));
  if (!peft_gguf_reader_u32 (reader, &version, error))
    return FALSE;
  if (version != 0 && (version & 0xffff) == 0)
    return peft_gguf_reader_error (reader, PEFT_ERROR_UNSUPPORTED, error,
                                   _ ("big-endian GGUF files are not supported"));
  if (version != 2 && version != 3)
    return peft_gguf_reader_error (reader, PEFT_ERROR_UNSUPPORTED, error,
                                   _ ("expected GGUF version 2 or 3, found version %u"), version);
  self->version = version;
  return TRUE;
}

/* One file of several: the tensors it lacks would be missed one by one much later. */
static gboolean
check_not_split (const PeftGguf *self, GError **error)
{
  guint64 n = 1;

  if (!peft_gguf_has (self, "split.count"))
    return TRUE;
  if (!peft_gguf_get_uint (self, "split.count", &n, error))
    return FALSE;
  if (n <= 1)
    return TRUE;
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
               _ ("%s: this is one of %" PRIu64
                  " parts of a split GGUF file, which are not supported; merge them first"),
               peft_gguf_get_name (self), n);
  return FALSE;
}

static gboolean
get_alignment (const PeftGguf *self, guint64 *out, GError **error)
{
  guint64 alignment = DEFAULT_ALIGNMENT;

  if (peft_gguf_has (self, "general.alignment")
      && !peft_gguf_get_uint (self, "general.alignment", &alignment, error))
    return FALSE;
  if (alignment < MIN_ALIGNMENT || alignment > PEFT_GGUF_MAX_ALIGNMENT
      || (alignment & (alignment - 1)) != 0)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("%s: key '%s': expected a power of two from %u to %u, found %"
                      PRIu64),
                   peft_gguf_get_name (self), "general.alignment", MIN_ALIGNMENT,
                   PEFT_GGUF_MAX_ALIGNMENT, alignment);
      return FALSE;
    }
  *out = alignment;
  return TRUE;
}

/* The file has the innermost dimension first. */
static gboolean
read_shape (PeftGgufReader *reader, PeftTensorEntry *entry, GError **error)
{
  guint32 n_dims;

  if (!peft_gguf_reader_u32 (reader, &n_dims, error))
    return FALSE;
  if (n_dims > PEFT_GGUF_MAX_DIMS)
    return peft_gguf_reader_error (reader, PEFT_ERROR_LIMIT, error,
                                   _ ("expected at most %u dimensions, found %u"),
                                   PEFT_GGUF_MAX_DIMS, n_dims);
  entry->n_dims = n_dims;
  for (guint i = 0; i < n_dims; i++)
    if (!peft_gguf_reader_u64 (reader, &entry->shape[n_dims - 1 - i], error))
      return FALSE;
  return TRUE;
}

/* Fills dtype, type_name and, for types that can be read, n_bytes. */
static gboolean
resolve_type (PeftGguf *self, PeftGgufReader *reader, guint32 type, PeftTensorEntry *entry,
              GError **error)
{
  g_autofree char *shape = peft_tensor_shape_to_string (entry->shape, entry->n_dims);
  const char *name = peft_ggml_type_name (type);
  const PeftDTypeInfo *info;
  guint64 n_values;

  if (!peft_checked_product (entry->shape, entry->n_dims, &n_values))
    return peft_gguf_reader_error (reader, PEFT_ERROR_INVALID_FILE, error,
                                   _ ("the size of shape %s overflows"), shape);
  if (!peft_dtype_from_ggml (type, &entry->dtype))
    {
      g_autofree char *number = g_strdup_printf (_ ("type %u"), type);

      entry->dtype = PEFT_N_DTYPES;
      entry->type_name = peft_tensor_source_intern (self->source, name ? name : number, -1);
      return TRUE;
    }
  info = peft_dtype_get_info (entry->dtype);
  entry->type_name = info->name;
  if (info->block_size > 1
      && (entry->n_dims == 0 || entry->shape[entry->n_dims - 1] % info->block_size != 0))
    return peft_gguf_reader_error (reader, PEFT_ERROR_INVALID_FILE, error,
                                   _ ("rows of %s must be a multiple of %u long, found shape %s"),
                                   info->name, info->block_size, shape);
  if (!peft_dtype_bytes (entry->dtype, n_values, &entry->n_bytes))
    return peft_gguf_reader_error (reader, PEFT_ERROR_INVALID_FILE, error,
                                   _ ("the size of shape %s overflows"), shape);
  return TRUE;
}

static gboolean
read_info (PeftGguf *self, PeftGgufReader *reader, guint64 alignment, Placed *out, GError **error)
{
  PeftTensorEntry *entry = &out->entry;
  PeftGgufString name;
  guint32 type;

  if (!peft_gguf_reader_name (reader, PEFT_GGUF_MAX_NAME_BYTES, &name, error))
    return FALSE;
  entry->name = peft_tensor_source_intern (self->source, name.data, (gssize) name.length);
  entry->file = reader->file;
  peft_gguf_reader_set_where (reader, g_strdup_printf (_ ("tensor '%s'"), entry->name));
  if (!read_shape (reader, entry, error) || !peft_gguf_reader_u32 (reader, &type, error)
      || !peft_gguf_reader_u64 (reader, &out->offset, error)
      || !resolve_type (self, reader, type, entry, error))
    return FALSE;
  if (out->offset % alignment != 0)
    return peft_gguf_reader_error (reader, PEFT_ERROR_INVALID_FILE, error,
                                   _ ("offset %" PRIu64
                                      " is not a multiple of the alignment %" PRIu64),
                                   out->offset, alignment);
  return TRUE;
}

static int
compare_placed (gconstpointer a, gconstpointer b)
{
  const Placed *x = a, *y = b;

  if (x->offset != y->offset)
    return x->offset < y->offset ? -1 : 1;
  /* Empty tensors may share an offset with the one that follows. */
  return (peft_tensor_entry_get_n_values (&x->entry) > 0)
         - (peft_tensor_entry_get_n_values (&y->entry) > 0);
}

static gboolean
layout_error (const Placed *tensor, GError **error, const char *format, ...) G_GNUC_PRINTF (3, 4);

static gboolean
layout_error (const Placed *tensor, GError **error, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE, _ ("%s: tensor '%s': %s"),
               tensor->entry.file, tensor->entry.name, what);
  return FALSE;
}

/* Checks the sorted tensors against the data section and against each other. */
static gboolean
place_tensors (GArray *tensors, const guint8 *data, guint64 data_bytes, GError **error)
{
  guint64 at = 0;

  for (guint i = 0; i < tensors->len; i++)
    {
      Placed *tensor = &g_array_index (tensors, Placed, i);
      PeftTensorEntry *entry = &tensor->entry;
      guint64 next = i + 1 < tensors->len ? g_array_index (tensors, Placed, i + 1).offset
                                          : MAX (data_bytes, tensor->offset);

      if (tensor->offset < at)
        return layout_error (tensor, error,
                             _ ("data begins at %" PRIu64
                                " and overlaps tensor '%s', which ends at %" PRIu64),
                             tensor->offset, g_array_index (tensors, Placed, i - 1).entry.name,
                             at);
      if (entry->dtype == PEFT_N_DTYPES)
        {
          entry->n_bytes = next - tensor->offset;
          if (entry->n_bytes == 0 && peft_tensor_entry_get_n_values (entry) > 0)
            return layout_error (tensor, error,
                                 _ ("there is no room for its data at %" PRIu64),
                                 tensor->offset);
        }
      if (!peft_checked_range (tensor->offset, entry->n_bytes, data_bytes))
        return layout_error (tensor, error,
                             _ ("%" PRIu64 " bytes at %" PRIu64
                                ", but the file has only %" PRIu64
                                " bytes of data: it is truncated"),
                             entry->n_bytes, tensor->offset, data_bytes);
      entry->data = data + tensor->offset;
      at = tensor->offset + entry->n_bytes;
    }
  return TRUE;
}

static gboolean
read_tensors (PeftGguf *self, PeftGgufReader *reader, guint64 n_tensors, guint64 alignment,
              GError **error)
{
  g_autoptr (GArray) tensors = g_array_new (FALSE, FALSE, sizeof (Placed));
  guint64 data_offset;

  peft_gguf_reader_set_where (reader, g_strdup (_ ("table of tensors")));
  if (n_tensors > peft_gguf_reader_left (reader) / MIN_INFO_BYTES)
    return peft_gguf_reader_error (reader, PEFT_ERROR_INVALID_FILE, error,
                                   _ ("%" PRIu64
                                      " tensors do not fit into the %zu bytes that are left"),
                                   n_tensors, peft_gguf_reader_left (reader));
  if (n_tensors > PEFT_GGUF_MAX_COUNT)
    return peft_gguf_reader_error (reader, PEFT_ERROR_LIMIT, error,
                                   _ ("%" PRIu64 " tensors, more than the limit of %u"),
                                   n_tensors, PEFT_GGUF_MAX_COUNT);
  for (guint64 i = 0; i < n_tensors; i++)
    {
      Placed tensor = { 0 };

      peft_gguf_reader_set_where (reader, g_strdup_printf (_ ("tensor %" PRIu64), i));
      if (!read_info (self, reader, alignment, &tensor, error))
        return FALSE;
      g_array_append_val (tensors, tensor);
    }

  g_array_sort (tensors, compare_placed);
  /* A file without tensors may end before the padding. */
  data_offset = MIN ((reader->at + alignment - 1) & ~(alignment - 1), reader->size);
  if (!place_tensors (tensors, reader->data + data_offset, reader->size - data_offset, error))
    return FALSE;
  for (guint i = 0; i < tensors->len; i++)
    peft_tensor_source_add (self->source, &g_array_index (tensors, Placed, i).entry);
  return peft_tensor_source_seal (self->source, error);
}

static gboolean
read_file (PeftGguf *self, PeftGgufReader *reader, GError **error)
{
  guint64 n_tensors, n_keys, alignment;

  return read_version (self, reader, error) && peft_gguf_reader_u64 (reader, &n_tensors, error)
         && peft_gguf_reader_u64 (reader, &n_keys, error)
         && peft_gguf_read_metadata (self, reader, n_keys, error) && check_not_split (self, error)
         && get_alignment (self, &alignment, error)
         && read_tensors (self, reader, n_tensors, alignment, error);
}

PeftGguf *
peft_gguf_open_bytes (GBytes *bytes, const char *name, GError **error)
{
  g_autoptr (PeftGguf) self = gguf_new (name);
  PeftGgufReader reader = { .file = peft_gguf_get_name (self) };
  gboolean done;

  peft_tensor_source_hold (self->source, bytes);
  reader.data = g_bytes_get_data (bytes, &reader.size);
  done = read_file (self, &reader, error);
  g_free (reader.where);
  return done ? g_steal_pointer (&self) : NULL;
}

PeftGguf *
peft_gguf_open (const char *path, GError **error)
{
  g_autoptr (GBytes) bytes = peft_mapped_file_open (path, error);

  return bytes == NULL ? NULL : peft_gguf_open_bytes (bytes, path, error);
}

guint
peft_gguf_get_version (const PeftGguf *self)
{
  return self->version;
}

const char *
peft_gguf_get_name (const PeftGguf *self)
{
  return peft_tensor_source_get_name (self->source);
}

PeftTensorSource *
peft_gguf_get_source (const PeftGguf *self)
{
  return self->source;
}
