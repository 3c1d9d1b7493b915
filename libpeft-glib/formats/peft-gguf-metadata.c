/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "formats/peft-gguf-private.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

#include "base/peft-checked.h"
#include "base/peft-error.h"

/* The least that a pair takes in a file: key length, one byte of key, type, one byte of value. */
#define MIN_PAIR_BYTES 14u
/* The least that a string and an array within an array take: their lengths and the item type. */
#define MIN_STRING_BYTES 8u
#define MIN_ARRAY_BYTES 12u

typedef enum
{
  KIND_UNSIGNED,
  KIND_SIGNED,
  KIND_FLOAT,
  KIND_STRING,
  KIND_ARRAY
} Kind;

static const struct
{
  const char *name;
  guint bytes; /* of a number */
  Kind kind;
} types[PEFT_GGUF_N_TYPES] = {
  [PEFT_GGUF_UINT8] = { "uint8", 1, KIND_UNSIGNED },
  [PEFT_GGUF_INT8] = { "int8", 1, KIND_SIGNED },
  [PEFT_GGUF_UINT16] = { "uint16", 2, KIND_UNSIGNED },
  [PEFT_GGUF_INT16] = { "int16", 2, KIND_SIGNED },
  [PEFT_GGUF_UINT32] = { "uint32", 4, KIND_UNSIGNED },
  [PEFT_GGUF_INT32] = { "int32", 4, KIND_SIGNED },
  [PEFT_GGUF_FLOAT32] = { "float32", 4, KIND_FLOAT },
  [PEFT_GGUF_BOOL] = { "bool", 1, KIND_UNSIGNED },
  [PEFT_GGUF_STRING] = { "string", 0, KIND_STRING },
  [PEFT_GGUF_ARRAY] = { "array", 0, KIND_ARRAY },
  [PEFT_GGUF_UINT64] = { "uint64", 8, KIND_UNSIGNED },
  [PEFT_GGUF_INT64] = { "int64", 8, KIND_SIGNED },
  [PEFT_GGUF_FLOAT64] = { "float64", 8, KIND_FLOAT },
};

const char *
peft_gguf_type_name (PeftGgufType type)
{
  g_return_val_if_fail (type < PEFT_GGUF_N_TYPES, NULL);

  return types[type].name;
}

void
peft_gguf_reader_set_where (PeftGgufReader *self, char *where)
{
  g_free (self->where);
  self->where = where;
}

gboolean
peft_gguf_reader_error (const PeftGgufReader *self, gint code, GError **error, const char *format,
                        ...)
{
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, PEFT_ERROR, code, "%s: %s: %s", self->file, self->where, what);
  return FALSE;
}

const guint8 *
peft_gguf_reader_take (PeftGgufReader *self, guint64 n, GError **error)
{
  const guint8 *at = self->data + self->at;

  if (n > peft_gguf_reader_left (self))
    {
      peft_gguf_reader_error (self, PEFT_ERROR_INVALID_FILE, error,
                              _ ("expected %" PRIu64
                                 " bytes, but the file ends after %zu: it is truncated"),
                              n, peft_gguf_reader_left (self));
      return NULL;
    }
  self->at += (gsize) n;
  return at;
}

gboolean
peft_gguf_reader_u32 (PeftGgufReader *self, guint32 *out, GError **error)
{
  const guint8 *at = peft_gguf_reader_take (self, sizeof *out, error);

  if (at == NULL)
    return FALSE;
  memcpy (out, at, sizeof *out);
  *out = GUINT32_FROM_LE (*out);
  return TRUE;
}

gboolean
peft_gguf_reader_u64 (PeftGgufReader *self, guint64 *out, GError **error)
{
  const guint8 *at = peft_gguf_reader_take (self, sizeof *out, error);

  if (at == NULL)
    return FALSE;
  memcpy (out, at, sizeof *out);
  *out = GUINT64_FROM_LE (*out);
  return TRUE;
}

gboolean
peft_gguf_reader_string (PeftGgufReader *self, guint64 limit, PeftGgufString *out, GError **error)
{
  guint64 length;
  const guint8 *at;

  if (!peft_gguf_reader_u64 (self, &length, error))
    return FALSE;
  if (length > limit)
    return peft_gguf_reader_error (self, PEFT_ERROR_LIMIT, error,
                                   _ ("a string of %" PRIu64
                                      " bytes, more than the limit of %" PRIu64),
                                   length, limit);
  at = peft_gguf_reader_take (self, length, error);
  if (at == NULL)
    return FALSE;
  out->data = (const char *) at;
  out->length = (gsize) length;
  return TRUE;
}

gboolean
peft_gguf_reader_name (PeftGgufReader *self, guint64 limit, PeftGgufString *out, GError **error)
{
  if (!peft_gguf_reader_string (self, limit, out, error))
    return FALSE;
  /* g_utf8_validate_len() takes a NUL for an error. */
  if (out->length == 0 || !g_utf8_validate_len (out->data, out->length, NULL))
    return peft_gguf_reader_error (self, PEFT_ERROR_INVALID_FILE, error,
                                   _ ("expected a name in UTF-8 without NUL, found %s"),
                                   out->length == 0 ? _ ("nothing") : _ ("other bytes"));
  return TRUE;
}

static void
decode_number (PeftGgufType type, const guint8 *at, PeftGgufValue *out)
{
  guint64 bits = 0;
  guint n_bits = types[type].bytes * 8;

  for (guint i = 0; i < types[type].bytes; i++)
    bits |= (guint64) at[i] << (8 * i);
  out->type = type;
  switch (types[type].kind)
    {
    case KIND_UNSIGNED:
      out->u64 = bits;
      break;
    case KIND_SIGNED:
      out->i64 = (gint64) (bits << (64 - n_bits)) >> (64 - n_bits);
      break;
    case KIND_FLOAT:
      if (type == PEFT_GGUF_FLOAT32)
        {
          guint32 low = (guint32) bits;
          float value;

          memcpy (&value, &low, sizeof value);
          out->f64 = value;
        }
      else
        memcpy (&out->f64, &bits, sizeof out->f64);
      break;
    case KIND_STRING:
    case KIND_ARRAY:
    default:
      g_assert_not_reached ();
    }
}

static gboolean
read_type (PeftGgufReader *reader, PeftGgufType *out, GError **error)
{
  guint32 number;

  if (!peft_gguf_reader_u32 (reader, &number, error))
    return FALSE;
  if (number >= PEFT_GGUF_N_TYPES)
    return peft_gguf_reader_error (reader, PEFT_ERROR_INVALID_FILE, error,
                                   _ ("unknown value type %u"), number);
  *out = (PeftGgufType) number;
  return TRUE;
}

static gboolean read_value (PeftGgufReader *reader, PeftGgufType type, guint depth,
                            PeftGgufValue *out, GError **error);

static gboolean
check_count (PeftGgufReader *reader, guint64 n, guint item_bytes, GError **error)
{
  if (n > peft_gguf_reader_left (reader) / item_bytes)
    return peft_gguf_reader_error (reader, PEFT_ERROR_INVALID_FILE, error,
                                   _ ("%" PRIu64
                                      " items do not fit into the %zu bytes that are left"),
                                   n, peft_gguf_reader_left (reader));
  return TRUE;
}

static gboolean
read_array_of_arrays (PeftGgufReader *reader, guint depth, guint64 n, PeftGgufValue *out,
                      GError **error)
{
  /* Grows with what has been read: a count alone must not allocate memory level by level. */
  g_autoptr (GArray) items = g_array_new (FALSE, TRUE, sizeof (PeftGgufValue));

  g_array_set_clear_func (items, (GDestroyNotify) peft_gguf_value_clear);
  for (guint64 i = 0; i < n; i++)
    {
      PeftGgufValue item = { 0 };

      if (!read_value (reader, PEFT_GGUF_ARRAY, depth + 1, &item, error))
        return FALSE;
      g_array_append_val (items, item);
    }
  out->array.n = (gsize) n;
  out->array.items = (PeftGgufValue *) (gpointer) g_array_steal (items, NULL);
  return TRUE;
}

static gboolean
read_array (PeftGgufReader *reader, guint depth, PeftGgufValue *out, GError **error)
{
  PeftGgufType item_type = PEFT_GGUF_N_TYPES;
  guint64 n;

  if (depth >= PEFT_GGUF_MAX_DEPTH)
    return peft_gguf_reader_error (reader, PEFT_ERROR_LIMIT, error,
                                   _ ("arrays are nested more than %u deep"), PEFT_GGUF_MAX_DEPTH);
  if (!read_type (reader, &item_type, error) || !peft_gguf_reader_u64 (reader, &n, error))
    return FALSE;
  out->type = PEFT_GGUF_ARRAY;
  out->array.item_type = item_type;
  if (item_type == PEFT_GGUF_ARRAY)
    return check_count (reader, n, MIN_ARRAY_BYTES, error)
           && read_array_of_arrays (reader, depth, n, out, error);
  if (item_type == PEFT_GGUF_STRING)
    {
      g_autofree PeftGgufString *strings = NULL;

      if (!check_count (reader, n, MIN_STRING_BYTES, error))
        return FALSE;
      strings = g_new (PeftGgufString, MAX (n, 1));
      for (guint64 i = 0; i < n; i++)
        if (!peft_gguf_reader_string (reader, PEFT_GGUF_MAX_STRING_BYTES, &strings[i], error))
          return FALSE;
      out->array.strings = g_steal_pointer (&strings);
    }
  else
    {
      if (!check_count (reader, n, types[item_type].bytes, error))
        return FALSE;
      out->array.data = peft_gguf_reader_take (reader, n * types[item_type].bytes, error);
      for (guint64 i = 0; item_type == PEFT_GGUF_BOOL && i < n; i++)
        if (out->array.data[i] > 1)
          return peft_gguf_reader_error (reader, PEFT_ERROR_INVALID_FILE, error,
                                         _ ("expected a bool of 0 or 1, found %u"),
                                         out->array.data[i]);
    }
  out->array.n = (gsize) n;
  return TRUE;
}

static gboolean
read_value (PeftGgufReader *reader, PeftGgufType type, guint depth, PeftGgufValue *out,
            GError **error)
{
  const guint8 *at;

  if (type == PEFT_GGUF_ARRAY)
    return read_array (reader, depth, out, error);
  if (type == PEFT_GGUF_STRING)
    {
      out->type = type;
      return peft_gguf_reader_string (reader, PEFT_GGUF_MAX_STRING_BYTES, &out->string, error);
    }
  at = peft_gguf_reader_take (reader, types[type].bytes, error);
  if (at == NULL)
    return FALSE;
  decode_number (type, at, out);
  if (type == PEFT_GGUF_BOOL && out->u64 > 1)
    return peft_gguf_reader_error (reader, PEFT_ERROR_INVALID_FILE, error,
                                   _ ("expected a bool of 0 or 1, found %u"), (guint) out->u64);
  return TRUE;
}

void
peft_gguf_value_clear (PeftGgufValue *value)
{
  if (value->type != PEFT_GGUF_ARRAY)
    return;
  g_free (value->array.strings);
  if (value->array.items != NULL)
    for (gsize i = 0; i < value->array.n; i++)
      peft_gguf_value_clear (&value->array.items[i]);
  g_free (value->array.items);
}

void
peft_gguf_value_get_item (const PeftGgufValue *array, gsize index, PeftGgufValue *out)
{
  PeftGgufType type = array->array.item_type;

  g_return_if_fail (array->type == PEFT_GGUF_ARRAY);
  g_return_if_fail (index < array->array.n);

  memset (out, 0, sizeof *out);
  if (type == PEFT_GGUF_ARRAY)
    *out = array->array.items[index];
  else if (type == PEFT_GGUF_STRING)
    {
      out->type = type;
      out->string = array->array.strings[index];
    }
  else
    decode_number (type, array->array.data + index * types[type].bytes, out);
}

static int
compare_keys (gconstpointer a, gconstpointer b, gpointer data)
{
  const PeftGgufPair *pairs = data;

  return strcmp (pairs[*(const gsize *) a].key, pairs[*(const gsize *) b].key);
}

static gboolean
index_keys (PeftGguf *self, const char *file, GError **error)
{
  PeftGgufPair *pairs = (PeftGgufPair *) (gpointer) self->pairs->data;
  gsize n = self->pairs->len;

  self->by_key = g_new (gsize, n);
  for (gsize i = 0; i < n; i++)
    self->by_key[i] = i;
  if (n > 0)
    g_qsort_with_data (self->by_key, (gint) n, sizeof (gsize), compare_keys, pairs);
  for (gsize i = 1; i < n; i++)
    if (strcmp (pairs[self->by_key[i - 1]].key, pairs[self->by_key[i]].key) == 0)
      {
        g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE, _ ("%s: key '%s' occurs twice"),
                     file, pairs[self->by_key[i]].key);
        return FALSE;
      }
  return TRUE;
}

gboolean
peft_gguf_read_metadata (PeftGguf *self, PeftGgufReader *reader, guint64 n_keys, GError **error)
{
  peft_gguf_reader_set_where (reader, g_strdup (_ ("metadata")));
  if (!check_count (reader, n_keys, MIN_PAIR_BYTES, error))
    return FALSE;
  if (n_keys > PEFT_GGUF_MAX_COUNT)
    return peft_gguf_reader_error (reader, PEFT_ERROR_LIMIT, error,
                                   _ ("%" PRIu64 " keys, more than the limit of %u"),
                                   n_keys, PEFT_GGUF_MAX_COUNT);
  for (guint64 i = 0; i < n_keys; i++)
    {
      PeftGgufPair pair = { 0 };
      PeftGgufString key;
      PeftGgufType type = PEFT_GGUF_N_TYPES;

      peft_gguf_reader_set_where (reader, g_strdup_printf (_ ("key %" PRIu64), i));
      if (!peft_gguf_reader_name (reader, PEFT_GGUF_MAX_KEY_BYTES, &key, error))
        return FALSE;
      peft_gguf_reader_set_where (
          reader, g_strdup_printf (_ ("key '%.*s'"), (int) key.length, key.data));
      if (!read_type (reader, &type, error)
          || !read_value (reader, type, 0, &pair.value, error))
        return FALSE;
      pair.key = g_strndup (key.data, key.length);
      g_array_append_val (self->pairs, pair);
    }
  return index_keys (self, reader->file, error);
}
