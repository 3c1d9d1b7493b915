/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Typed access to the metadata of a GGUF file. */
#include "config.h"

#include "formats/peft-gguf-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"

gsize
peft_gguf_get_n_keys (const PeftGguf *self)
{
  return self->pairs->len;
}

const char *
peft_gguf_get_key (const PeftGguf *self, gsize index)
{
  g_return_val_if_fail (index < self->pairs->len, NULL);

  return g_array_index (self->pairs, PeftGgufPair, index).key;
}

const PeftGgufValue *
peft_gguf_get_value (const PeftGguf *self, gsize index)
{
  g_return_val_if_fail (index < self->pairs->len, NULL);

  return &g_array_index (self->pairs, PeftGgufPair, index).value;
}

const PeftGgufValue *
peft_gguf_lookup (const PeftGguf *self, const char *key)
{
  const PeftGgufPair *pairs = (const PeftGgufPair *) (gpointer) self->pairs->data;
  gsize low = 0, high = self->pairs->len;

  while (low < high)
    {
      gsize middle = low + (high - low) / 2;
      const PeftGgufPair *pair = &pairs[self->by_key[middle]];
      int order = strcmp (key, pair->key);

      if (order == 0)
        return &pair->value;
      if (order < 0)
        high = middle;
      else
        low = middle + 1;
    }
  return NULL;
}

gboolean
peft_gguf_has (const PeftGguf *self, const char *key)
{
  return peft_gguf_lookup (self, key) != NULL;
}

static const PeftGgufValue *
require (const PeftGguf *self, const char *key, GError **error)
{
  const PeftGgufValue *value = peft_gguf_lookup (self, key);

  if (value == NULL)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND, _ ("%s: there is no key '%s'"),
                 peft_gguf_get_name (self), key);
  return value;
}

/* "array of int32" */
static char *
describe (const PeftGgufValue *value)
{
  if (value->type == PEFT_GGUF_ARRAY)
    return g_strdup_printf (_ ("an array of %s"), peft_gguf_type_name (value->array.item_type));
  return g_strdup (peft_gguf_type_name (value->type));
}

static gboolean
type_error (const PeftGguf *self, const char *key, const PeftGgufValue *value,
            const char *expected, GError **error)
{
  g_autofree char *found = describe (value);

  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
               _ ("%s: key '%s': expected %s, found %s"), peft_gguf_get_name (self), key, expected,
               found);
  return FALSE;
}

static gboolean
value_to_int (const PeftGgufValue *value, gint64 *out)
{
  switch (value->type)
    {
    case PEFT_GGUF_UINT8:
    case PEFT_GGUF_UINT16:
    case PEFT_GGUF_UINT32:
    case PEFT_GGUF_UINT64:
      if (value->u64 > G_MAXINT64)
        return FALSE;
      *out = (gint64) value->u64;
      return TRUE;
    case PEFT_GGUF_INT8:
    case PEFT_GGUF_INT16:
    case PEFT_GGUF_INT32:
    case PEFT_GGUF_INT64:
      *out = value->i64;
      return TRUE;
    case PEFT_GGUF_FLOAT32:
    case PEFT_GGUF_FLOAT64:
    case PEFT_GGUF_BOOL:
    case PEFT_GGUF_STRING:
    case PEFT_GGUF_ARRAY:
    case PEFT_GGUF_N_TYPES:
    default:
      return FALSE;
    }
}

static gboolean
value_to_double (const PeftGgufValue *value, double *out)
{
  gint64 whole;

  if (value->type == PEFT_GGUF_FLOAT32 || value->type == PEFT_GGUF_FLOAT64)
    *out = value->f64;
  else if (value->type == PEFT_GGUF_UINT64)
    *out = (double) value->u64;
  else if (value_to_int (value, &whole))
    *out = (double) whole;
  else
    return FALSE;
  return TRUE;
}

gboolean
peft_gguf_get_int (const PeftGguf *self, const char *key, gint64 *out, GError **error)
{
  const PeftGgufValue *value = require (self, key, error);

  if (value == NULL)
    return FALSE;
  if (!value_to_int (value, out))
    return type_error (self, key, value, _ ("an integer below 2^63"), error);
  return TRUE;
}

gboolean
peft_gguf_get_uint (const PeftGguf *self, const char *key, guint64 *out, GError **error)
{
  const PeftGgufValue *value = require (self, key, error);
  gint64 number;

  if (value == NULL)
    return FALSE;
  if (value->type == PEFT_GGUF_UINT64)
    *out = value->u64;
  else if (value_to_int (value, &number) && number >= 0)
    *out = (guint64) number;
  else
    return type_error (self, key, value, _ ("an integer that is not negative"), error);
  return TRUE;
}

gboolean
peft_gguf_get_double (const PeftGguf *self, const char *key, double *out, GError **error)
{
  const PeftGgufValue *value = require (self, key, error);

  if (value == NULL)
    return FALSE;
  if (!value_to_double (value, out))
    return type_error (self, key, value, _ ("a number"), error);
  return TRUE;
}

gboolean
peft_gguf_get_boolean (const PeftGguf *self, const char *key, gboolean *out, GError **error)
{
  const PeftGgufValue *value = require (self, key, error);

  if (value == NULL)
    return FALSE;
  if (value->type != PEFT_GGUF_BOOL)
    return type_error (self, key, value, _ ("a bool"), error);
  *out = value->u64 != 0;
  return TRUE;
}

char *
peft_gguf_dup_string (const PeftGguf *self, const char *key, GError **error)
{
  const PeftGgufValue *value = require (self, key, error);

  if (value == NULL)
    return NULL;
  if (value->type != PEFT_GGUF_STRING)
    {
      type_error (self, key, value, _ ("a string"), error);
      return NULL;
    }
  if (!g_utf8_validate_len (value->string.data, value->string.length, NULL))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("%s: key '%s': expected UTF-8 without NUL, found other bytes"),
                   peft_gguf_get_name (self), key);
      return NULL;
    }
  return g_strndup (value->string.data, value->string.length);
}

static const PeftGgufValue *
require_array (const PeftGguf *self, const char *key, const char *expected, GError **error)
{
  const PeftGgufValue *value = require (self, key, error);

  if (value != NULL && value->type != PEFT_GGUF_ARRAY)
    {
      type_error (self, key, value, expected, error);
      return NULL;
    }
  return value;
}

const PeftGgufString *
peft_gguf_get_string_array (const PeftGguf *self, const char *key, gsize *n, GError **error)
{
  const char *expected = _ ("an array of strings");
  const PeftGgufValue *value = require_array (self, key, expected, error);

  if (value == NULL)
    return NULL;
  if (value->array.item_type != PEFT_GGUF_STRING)
    {
      type_error (self, key, value, expected, error);
      return NULL;
    }
  *n = value->array.n;
  return value->array.strings;
}

gint64 *
peft_gguf_dup_int_array (const PeftGguf *self, const char *key, gsize *n, GError **error)
{
  const char *expected = _ ("an array of integers below 2^63");
  const PeftGgufValue *value = require_array (self, key, expected, error);
  g_autofree gint64 *out = NULL;

  if (value == NULL)
    return NULL;
  out = g_new (gint64, MAX (value->array.n, 1));
  for (gsize i = 0; i < value->array.n; i++)
    {
      PeftGgufValue item;

      peft_gguf_value_get_item (value, i, &item);
      if (!value_to_int (&item, &out[i]))
        {
          type_error (self, key, value, expected, error);
          return NULL;
        }
    }
  *n = value->array.n;
  return g_steal_pointer (&out);
}

float *
peft_gguf_dup_float_array (const PeftGguf *self, const char *key, gsize *n, GError **error)
{
  const char *expected = _ ("an array of numbers");
  const PeftGgufValue *value = require_array (self, key, expected, error);
  g_autofree float *out = NULL;

  if (value == NULL)
    return NULL;
  out = g_new (float, MAX (value->array.n, 1));
  for (gsize i = 0; i < value->array.n; i++)
    {
      PeftGgufValue item;
      double number;

      peft_gguf_value_get_item (value, i, &item);
      if (!value_to_double (&item, &number))
        {
          type_error (self, key, value, expected, error);
          return NULL;
        }
      out[i] = (float) number;
    }
  *n = value->array.n;
  return g_steal_pointer (&out);
}
