/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "base/peft-json-private.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

#include "base/peft-error.h"

/* Objects with more members are hashed. */
#define LINEAR_MEMBERS 8

static PeftJson *
node_new (PeftJsonKind kind, gsize extra)
{
  PeftJson *self = g_malloc (sizeof *self + extra);

  g_atomic_ref_count_init (&self->ref_count);
  self->kind = kind;
  return self;
}

PeftJson *
peft_json_ref (PeftJson *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
peft_json_unref (PeftJson *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  if (self->kind == PEFT_JSON_ARRAY)
    {
      for (guint i = 0; i < self->u.array.n; i++)
        peft_json_unref (self->u.array.items[i]);
      g_free (self->u.array.items);
    }
  else if (self->kind == PEFT_JSON_OBJECT)
    {
      for (guint i = 0; i < self->u.object.n; i++)
        {
          g_free (self->u.object.items[i].name);
          peft_json_unref (self->u.object.items[i].value);
        }
      g_free (self->u.object.items);
      g_free (self->u.object.slots);
    }
  g_free (self);
}

PeftJson *
peft_json_new_null (void)
{
  return node_new (PEFT_JSON_NULL, 0);
}

PeftJson *
peft_json_new_boolean (gboolean value)
{
  PeftJson *self = node_new (PEFT_JSON_BOOLEAN, 0);
  self->u.boolean = value != FALSE;
  return self;
}

PeftJson *
peft_json_new_int (gint64 value)
{
  PeftJson *self = node_new (PEFT_JSON_INT, 0);
  self->u.integer = value;
  return self;
}

PeftJson *
peft_json_new_uint (guint64 value)
{
  PeftJson *self;

  if (value <= G_MAXINT64)
    return peft_json_new_int ((gint64) value);
  self = node_new (PEFT_JSON_UINT, 0);
  self->u.uinteger = value;
  return self;
}

PeftJson *
peft_json_new_double (double value)
{
  PeftJson *self = node_new (PEFT_JSON_DOUBLE, 0);
  self->u.number = value;
  return self;
}

static PeftJson *
text_new (PeftJsonKind kind, const char *value, gsize length)
{
  PeftJson *self = node_new (kind, length + 1);
  char *bytes = (char *) (self + 1);

  if (length > 0)
    memcpy (bytes, value, length);
  bytes[length] = '\0';
  self->u.text.bytes = bytes;
  self->u.text.length = length;
  return self;
}

PeftJson *
peft_json_new_big (const char *text, gsize length)
{
  return text_new (PEFT_JSON_BIG, text, length);
}

PeftJson *
peft_json_new_string (const char *value)
{
  return text_new (PEFT_JSON_STRING, value, strlen (value));
}

PeftJson *
peft_json_new_string_len (const char *value, gsize length)
{
  return text_new (PEFT_JSON_STRING, value, length);
}

PeftJson *
peft_json_new_array (void)
{
  PeftJson *self = node_new (PEFT_JSON_ARRAY, 0);
  memset (&self->u.array, 0, sizeof self->u.array);
  return self;
}

PeftJson *
peft_json_new_object (void)
{
  PeftJson *self = node_new (PEFT_JSON_OBJECT, 0);
  memset (&self->u.object, 0, sizeof self->u.object);
  return self;
}

void
peft_json_append (PeftJson *self, PeftJson *value)
{
  g_return_if_fail (self->kind == PEFT_JSON_ARRAY);

  if (self->u.array.n == self->u.array.capacity)
    {
      g_assert (self->u.array.capacity <= G_MAXUINT / 2);
      self->u.array.capacity = MAX (4, self->u.array.capacity * 2);
      self->u.array.items = g_renew (PeftJson *, self->u.array.items, self->u.array.capacity);
    }
  self->u.array.items[self->u.array.n++] = value;
}

/* Salted for each process, so that a file cannot be made whose names all collide. */
static guint32
hash_name (const char *name, gsize length)
{
  static gsize salt;
  guint64 h;

  if (g_once_init_enter (&salt))
    g_once_init_leave (&salt, (gsize) g_random_int () | 1);
  h = salt ^ length * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
  while (length > 0)
    {
      guint64 word = 0;
      gsize step = MIN (length, sizeof word);
      __uint128_t product;

      memcpy (&word, name, step);
      product = (__uint128_t) (h ^ word) * G_GUINT64_CONSTANT (0xd6e8feb86659fd93);
      h = (guint64) product ^ (guint64) (product >> 64) ^ salt;
      name += step;
      length -= step;
    }
  return (guint32) (h ^ h >> 32);
}

static PeftJsonMember *
find_member (const PeftJson *self, const char *name, gsize length, guint32 hash)
{
  if (self->u.object.slots == NULL)
    {
      for (guint i = 0; i < self->u.object.n; i++)
        {
          PeftJsonMember *m = &self->u.object.items[i];
          if (m->hash == hash && m->length == length && memcmp (m->name, name, length) == 0)
            return m;
        }
      return NULL;
    }
  for (guint mask = 2 * self->u.object.capacity - 1, i = hash & mask; self->u.object.slots[i] != 0;
       i = (i + 1) & mask)
    {
      PeftJsonMember *m = &self->u.object.items[self->u.object.slots[i] - 1];
      if (m->hash == hash && m->length == length && memcmp (m->name, name, length) == 0)
        return m;
    }
  return NULL;
}

static void
insert_slot (PeftJson *self, guint member)
{
  guint mask = 2 * self->u.object.capacity - 1;
  guint i = self->u.object.items[member].hash & mask;

  while (self->u.object.slots[i] != 0)
    i = (i + 1) & mask;
  self->u.object.slots[i] = member + 1;
}

static void
grow_object (PeftJson *self)
{
  g_assert (self->u.object.capacity <= G_MAXUINT / 4);
  self->u.object.capacity = MAX (4, self->u.object.capacity * 2);
  self->u.object.items = g_renew (PeftJsonMember, self->u.object.items, self->u.object.capacity);
  if (self->u.object.capacity <= LINEAR_MEMBERS)
    return;
  g_free (self->u.object.slots);
  self->u.object.slots = g_new0 (guint32, 2 * (gsize) self->u.object.capacity);
  for (guint i = 0; i < self->u.object.n; i++)
    insert_slot (self, i);
}

gboolean
peft_json_put (PeftJson *self, const char *name, gsize length, PeftJson *value)
{
  guint32 hash = hash_name (name, length);
  PeftJsonMember *member = find_member (self, name, length, hash);
  char *copy;

  if (member != NULL)
    {
      peft_json_unref (member->value);
      member->value = value;
      return TRUE;
    }
  g_assert (length < G_MAXUINT32);
  if (self->u.object.n == self->u.object.capacity)
    grow_object (self);
  copy = g_malloc (length + 1);
  if (length > 0)
    memcpy (copy, name, length);
  copy[length] = '\0';
  self->u.object.items[self->u.object.n] = (PeftJsonMember) { copy, value, (guint32) length, hash };
  if (self->u.object.slots != NULL)
    insert_slot (self, self->u.object.n);
  self->u.object.n++;
  return FALSE;
}

void
peft_json_set (PeftJson *self, const char *name, PeftJson *value)
{
  g_return_if_fail (self->kind == PEFT_JSON_OBJECT);

  peft_json_put (self, name, strlen (name), value);
}

PeftJsonKind
peft_json_get_kind (const PeftJson *self)
{
  return self->kind;
}

const char *
peft_json_get_kind_name (const PeftJson *self)
{
  static const char *const names[]
      = { "null",    "boolean", "integer", "integer", "number",
          "integer", "string",  "array",   "object" };

  return names[self->kind];
}

gboolean
peft_json_get_boolean (const PeftJson *self)
{
  g_return_val_if_fail (self->kind == PEFT_JSON_BOOLEAN, FALSE);

  return self->u.boolean;
}

gboolean
peft_json_get_int (const PeftJson *self, gint64 *out)
{
  if (self->kind == PEFT_JSON_INT)
    {
      *out = self->u.integer;
      return TRUE;
    }
  if (self->kind == PEFT_JSON_DOUBLE && self->u.number >= -0x1p63 && self->u.number < 0x1p63
      && self->u.number == floor (self->u.number))
    {
      *out = (gint64) self->u.number;
      return TRUE;
    }
  return FALSE;
}

gboolean
peft_json_is_number (const PeftJson *self)
{
  return self->kind >= PEFT_JSON_INT && self->kind <= PEFT_JSON_BIG;
}

gboolean
peft_json_get_double (const PeftJson *self, double *out)
{
  double v;

  if (!peft_json_is_number (self))
    return FALSE;
  if (self->kind == PEFT_JSON_INT)
    v = (double) self->u.integer;
  else if (self->kind == PEFT_JSON_UINT)
    v = (double) self->u.uinteger;
  else if (self->kind == PEFT_JSON_DOUBLE)
    v = self->u.number;
  else
    {
      v = g_ascii_strtod (self->u.text.bytes, NULL);
      if (!isfinite (v))
        return FALSE;
    }
  *out = v;
  return TRUE;
}

const char *
peft_json_get_string (const PeftJson *self)
{
  g_return_val_if_fail (self->kind == PEFT_JSON_STRING, NULL);

  return self->u.text.bytes;
}

gsize
peft_json_get_string_length (const PeftJson *self)
{
  g_return_val_if_fail (self->kind == PEFT_JSON_STRING, 0);

  return self->u.text.length;
}

gsize
peft_json_get_length (const PeftJson *self)
{
  g_return_val_if_fail (self->kind == PEFT_JSON_ARRAY || self->kind == PEFT_JSON_OBJECT, 0);

  return self->kind == PEFT_JSON_ARRAY ? self->u.array.n : self->u.object.n;
}

PeftJson *
peft_json_get_element (const PeftJson *self, gsize index)
{
  g_return_val_if_fail (self->kind == PEFT_JSON_ARRAY && index < self->u.array.n, NULL);

  return self->u.array.items[index];
}

const char *
peft_json_get_name (const PeftJson *self, gsize index)
{
  g_return_val_if_fail (self->kind == PEFT_JSON_OBJECT && index < self->u.object.n, NULL);

  return self->u.object.items[index].name;
}

gsize
peft_json_get_name_length (const PeftJson *self, gsize index)
{
  g_return_val_if_fail (self->kind == PEFT_JSON_OBJECT && index < self->u.object.n, 0);

  return self->u.object.items[index].length;
}

PeftJson *
peft_json_get_value (const PeftJson *self, gsize index)
{
  g_return_val_if_fail (self->kind == PEFT_JSON_OBJECT && index < self->u.object.n, NULL);

  return self->u.object.items[index].value;
}

PeftJson *
peft_json_get_member (const PeftJson *self, const char *name)
{
  gsize length;
  PeftJsonMember *member;

  if (self->kind != PEFT_JSON_OBJECT)
    return NULL;
  length = strlen (name);
  member = find_member (self, name, length, hash_name (name, length));
  return member != NULL ? member->value : NULL;
}

static const char *
kind_phrase (const PeftJson *self)
{
  static const char *const phrases[]
      = { N_ ("null"),       N_ ("a boolean"), N_ ("an integer"), N_ ("an integer"),
          N_ ("a number"),   N_ ("an integer"), N_ ("a string"),  N_ ("an array"),
          N_ ("an object") };

  return _ (phrases[self->kind]);
}

static gboolean
wrong_kind (const PeftJson *value, const char *name, const char *expected, GError **error)
{
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE, _ ("%s: expected %s, found %s"), name,
               expected, kind_phrase (value));
  return FALSE;
}

static gboolean
out_of_range (const PeftJson *value, const char *name, GError **error)
{
  g_autofree char *text = peft_json_to_string (value, PEFT_JSON_WRITE_COMPACT);

  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE, _ ("%s: the number %.40s is out of range"),
               name, text);
  return FALSE;
}

/* NULL for absent and null. */
static const PeftJson *
present_member (const PeftJson *self, const char *name)
{
  const PeftJson *value = peft_json_get_member (self, name);

  return value != NULL && value->kind != PEFT_JSON_NULL ? value : NULL;
}

gboolean
peft_json_read_int (const PeftJson *self, const char *name, gint64 *out, GError **error)
{
  const PeftJson *value = present_member (self, name);

  if (value == NULL || peft_json_get_int (value, out))
    return TRUE;
  if (value->kind == PEFT_JSON_UINT || value->kind == PEFT_JSON_BIG)
    return out_of_range (value, name, error);
  return wrong_kind (value, name, _ ("an integer"), error);
}

gboolean
peft_json_read_double (const PeftJson *self, const char *name, double *out, GError **error)
{
  const PeftJson *value = present_member (self, name);

  if (value == NULL || peft_json_get_double (value, out))
    return TRUE;
  if (value->kind == PEFT_JSON_BIG)
    return out_of_range (value, name, error);
  return wrong_kind (value, name, _ ("a number"), error);
}

gboolean
peft_json_read_boolean (const PeftJson *self, const char *name, gboolean *out, GError **error)
{
  const PeftJson *value = present_member (self, name);

  if (value == NULL)
    return TRUE;
  if (value->kind != PEFT_JSON_BOOLEAN)
    return wrong_kind (value, name, _ ("a boolean"), error);
  *out = value->u.boolean;
  return TRUE;
}

gboolean
peft_json_read_string (const PeftJson *self, const char *name, const char **out, GError **error)
{
  const PeftJson *value = present_member (self, name);

  if (value == NULL)
    return TRUE;
  if (value->kind != PEFT_JSON_STRING)
    return wrong_kind (value, name, _ ("a string"), error);
  *out = value->u.text.bytes;
  return TRUE;
}

static gboolean
array_equal (const PeftJson *a, const PeftJson *b)
{
  if (a->u.array.n != b->u.array.n)
    return FALSE;
  for (guint i = 0; i < a->u.array.n; i++)
    if (!peft_json_equal (a->u.array.items[i], b->u.array.items[i]))
      return FALSE;
  return TRUE;
}

static gboolean
object_equal (const PeftJson *a, const PeftJson *b)
{
  if (a->u.object.n != b->u.object.n)
    return FALSE;
  for (guint i = 0; i < a->u.object.n; i++)
    {
      const PeftJsonMember *m = &a->u.object.items[i];
      const PeftJsonMember *other = find_member (b, m->name, m->length, m->hash);

      if (other == NULL || !peft_json_equal (m->value, other->value))
        return FALSE;
    }
  return TRUE;
}

gboolean
peft_json_equal (const PeftJson *a, const PeftJson *b)
{
  if (a == b)
    return TRUE;
  if (a->kind != b->kind)
    return FALSE;
  switch (a->kind)
    {
    case PEFT_JSON_NULL:
      return TRUE;
    case PEFT_JSON_BOOLEAN:
      return a->u.boolean == b->u.boolean;
    case PEFT_JSON_INT:
      return a->u.integer == b->u.integer;
    case PEFT_JSON_UINT:
      return a->u.uinteger == b->u.uinteger;
    case PEFT_JSON_DOUBLE:
      return a->u.number == b->u.number || (isnan (a->u.number) && isnan (b->u.number));
    case PEFT_JSON_BIG:
    case PEFT_JSON_STRING:
      return a->u.text.length == b->u.text.length
             && memcmp (a->u.text.bytes, b->u.text.bytes, a->u.text.length) == 0;
    case PEFT_JSON_ARRAY:
      return array_equal (a, b);
    case PEFT_JSON_OBJECT:
      return object_equal (a, b);
    default:
      g_assert_not_reached ();
    }
}
