/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-template-value.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

/* Making values, and asking them what Python would answer: truth, length, iteration. */

static PeftTplValue *
value_new (PeftTplContext *c, PeftTplKind kind)
{
  PeftTplValue *self = peft_tpl_new (c, PeftTplValue, 1);

  self->kind = kind;
  return self;
}

PeftTplValue *
peft_tpl_none (void)
{
  static PeftTplValue none = { .kind = PEFT_TPL_NONE };
  return &none;
}

PeftTplValue *
peft_tpl_boolean (gboolean value)
{
  static PeftTplValue values[2] = { { .kind = PEFT_TPL_BOOLEAN, .boolean = FALSE },
                                    { .kind = PEFT_TPL_BOOLEAN, .boolean = TRUE } };
  return &values[value ? 1 : 0];
}

PeftTplValue *
peft_tpl_integer (PeftTplContext *c, gint64 value)
{
  PeftTplValue *self = value_new (c, PEFT_TPL_INTEGER);
  self->integer = value;
  return self;
}

PeftTplValue *
peft_tpl_float (PeftTplContext *c, double value)
{
  PeftTplValue *self = value_new (c, PEFT_TPL_FLOAT);
  self->number = value;
  return self;
}

PeftTplValue *
peft_tpl_string (PeftTplContext *c, const char *text, gsize length)
{
  PeftTplValue *self = value_new (c, PEFT_TPL_STRING);
  self->string.text = text;
  self->string.length = length;
  return self;
}

PeftTplValue *
peft_tpl_string_copy (PeftTplContext *c, const char *text, gsize length)
{
  char *copy;

  if (!peft_tpl_check_string (c, length) || !peft_tpl_charge (c, length / 64))
    return NULL;
  copy = peft_tpl_new (c, char, length + 1);
  if (length > 0)
    memcpy (copy, text, length);
  return peft_tpl_string (c, copy, length);
}

PeftTplValue *
peft_tpl_string_static (PeftTplContext *c, const char *text)
{
  return peft_tpl_string (c, text, strlen (text));
}

/* Methods of Markup give Markup. */
PeftTplValue *
peft_tpl_string_like (PeftTplContext *c, const PeftTplValue *model, PeftTplValue *string)
{
  if (string != NULL && model->markup)
    string->markup = TRUE;
  return string;
}

PeftTplValue *
peft_tpl_take (PeftTplContext *c, GString *text)
{
  return peft_tpl_failed (c) ? NULL : peft_tpl_string_copy (c, text->str, text->len);
}

PeftTplValue *
peft_tpl_list (PeftTplContext *c, PeftTplKind kind, PeftTplValue **items, gsize n)
{
  PeftTplValue *self = value_new (c, kind);
  self->list.items = items;
  self->list.n = n;
  return self;
}

PeftTplValue *
peft_tpl_list_copy (PeftTplContext *c, PeftTplKind kind, GPtrArray *items)
{
  PeftTplValue **copy;

  if (peft_tpl_failed (c) || !peft_tpl_check_items (c, items->len))
    return NULL;
  copy = peft_tpl_new (c, PeftTplValue *, items->len);
  if (items->len > 0)
    memcpy (copy, items->pdata, sizeof (PeftTplValue *) * items->len);
  return peft_tpl_list (c, kind, copy, items->len);
}

PeftTplValue *
peft_tpl_pair (PeftTplContext *c, PeftTplValue *a, PeftTplValue *b)
{
  PeftTplValue **items = peft_tpl_new (c, PeftTplValue *, 2);
  items[0] = a;
  items[1] = b;
  return peft_tpl_list (c, PEFT_TPL_TUPLE, items, 2);
}

PeftTplValue *
peft_tpl_dict (PeftTplContext *c, PeftTplKind kind)
{
  return value_new (c, kind);
}

static void
dict_append (PeftTplContext *c, PeftTplValue *dict, PeftTplValue *key, PeftTplValue *value)
{
  if (dict->dict.n == dict->dict.allocated)
    {
      gsize allocated = MAX (4, dict->dict.allocated * 2);
      PeftTplEntry *entries = peft_tpl_new (c, PeftTplEntry, allocated);

      if (dict->dict.n > 0)
        memcpy (entries, dict->dict.entries, sizeof (PeftTplEntry) * dict->dict.n);
      dict->dict.entries = entries;
      dict->dict.allocated = allocated;
    }
  dict->dict.entries[dict->dict.n++] = (PeftTplEntry){ key, value };
}

static gboolean
is_hashable (const PeftTplValue *key, guint depth)
{
  switch (key->kind)
    {
    case PEFT_TPL_LIST:
    case PEFT_TPL_DICT:
    case PEFT_TPL_SLICE:
    case PEFT_TPL_KEYS:
    case PEFT_TPL_ITEMS:
      return FALSE;
    case PEFT_TPL_TUPLE:
      for (gsize i = 0; i < key->list.n; i++)
        if (depth > PEFT_TEMPLATE_MAX_VALUE_DEPTH || !is_hashable (key->list.items[i], depth + 1))
          return FALSE;
      return TRUE;
    default:
      return TRUE;
    }
}

gboolean
peft_tpl_is_hashable (const PeftTplValue *key)
{
  return is_hashable (key, 0);
}

static PeftTplEntry *
dict_find (PeftTplContext *c, const PeftTplValue *dict, const PeftTplValue *key)
{
  if (!peft_tpl_charge (c, dict->dict.n / 8))
    return NULL;
  for (gsize i = 0; i < dict->dict.n; i++)
    if (peft_tpl_equal (c, dict->dict.entries[i].key, key))
      return &dict->dict.entries[i];
  return NULL;
}

gboolean
peft_tpl_dict_set (PeftTplContext *c, PeftTplValue *dict, PeftTplValue *key, PeftTplValue *value)
{
  PeftTplEntry *entry;

  if (!peft_tpl_is_hashable (key))
    {
      peft_tpl_fail (c, _ ("a value of type “%s” cannot be a key"), peft_tpl_type_name (key));
      return FALSE;
    }
  entry = dict_find (c, dict, key);
  if (peft_tpl_failed (c))
    return FALSE;
  if (entry != NULL)
    entry->value = value;
  else
    dict_append (c, dict, key, value);
  return TRUE;
}

PeftTplValue *
peft_tpl_dict_get (PeftTplContext *c, const PeftTplValue *dict, const PeftTplValue *key)
{
  PeftTplEntry *entry = dict_find (c, dict, key);
  return entry != NULL ? entry->value : NULL;
}

PeftTplValue *
peft_tpl_dict_get_text (PeftTplContext *c, const PeftTplValue *dict, const char *key)
{
  PeftTplValue name = { .kind = PEFT_TPL_STRING };

  name.string.text = key;
  name.string.length = strlen (key);
  return peft_tpl_dict_get (c, dict, &name);
}

PeftTplValue *
peft_tpl_undefined (PeftTplContext *c, const PeftTplValue *owner, const PeftTplValue *name)
{
  PeftTplValue *self = value_new (c, PEFT_TPL_UNDEFINED);
  self->undefined.owner = owner;
  self->undefined.name = name;
  return self;
}

PeftTplValue *
peft_tpl_undefined_hint (PeftTplContext *c, const char *hint)
{
  PeftTplValue *self = value_new (c, PEFT_TPL_UNDEFINED);
  self->undefined.hint = hint;
  return self;
}

static PeftTplValue *
big_from_json (PeftTplContext *c, const PeftJson *json)
{
  g_autofree char *digits = peft_json_to_string (json, PEFT_JSON_WRITE_COMPACT);
  PeftTplValue *self = peft_tpl_string_copy (c, digits, strlen (digits));

  if (self != NULL)
    self->kind = PEFT_TPL_BIG;
  return self;
}

PeftTplValue *
peft_tpl_from_json (PeftTplContext *c, const PeftJson *json)
{
  gsize n = peft_json_get_kind (json) >= PEFT_JSON_ARRAY ? peft_json_get_length (json) : 0;
  PeftTplValue *self;
  gint64 integer = 0;
  double number = 0;

  if (!peft_tpl_charge (c, 1))
    return NULL;
  switch (peft_json_get_kind (json))
    {
    case PEFT_JSON_NULL:
      return peft_tpl_none ();
    case PEFT_JSON_BOOLEAN:
      return peft_tpl_boolean (peft_json_get_boolean (json));
    case PEFT_JSON_INT:
      peft_json_get_int (json, &integer);
      return peft_tpl_integer (c, integer);
    case PEFT_JSON_DOUBLE:
      peft_json_get_double (json, &number);
      return peft_tpl_float (c, number);
    case PEFT_JSON_UINT:
    case PEFT_JSON_BIG:
      return big_from_json (c, json);
    case PEFT_JSON_STRING:
      return peft_tpl_string (c, peft_json_get_string (json), peft_json_get_string_length (json));
    case PEFT_JSON_ARRAY:
      if (!peft_tpl_check_items (c, n))
        return NULL;
      self = peft_tpl_list (c, PEFT_TPL_LIST, peft_tpl_new (c, PeftTplValue *, n), n);
      for (gsize i = 0; i < n; i++)
        if ((self->list.items[i] = peft_tpl_from_json (c, peft_json_get_element (json, i))) == NULL)
          return NULL;
      return self;
    case PEFT_JSON_OBJECT:
      self = peft_tpl_dict (c, PEFT_TPL_DICT);
      for (gsize i = 0; i < n; i++)
        {
          PeftTplValue *value = peft_tpl_from_json (c, peft_json_get_value (json, i));
          if (value == NULL)
            return NULL;
          dict_append (c, self, peft_tpl_string_static (c, peft_json_get_name (json, i)), value);
        }
      return self;
    default:
      g_assert_not_reached ();
    }
}

const char *
peft_tpl_type_name (const PeftTplValue *value)
{
  static const char *const names[] = {
    [PEFT_TPL_UNDEFINED] = "Undefined", [PEFT_TPL_NONE] = "NoneType",
    [PEFT_TPL_BOOLEAN] = "bool",        [PEFT_TPL_INTEGER] = "int",
    [PEFT_TPL_BIG] = "int",             [PEFT_TPL_FLOAT] = "float",
    [PEFT_TPL_STRING] = "str",          [PEFT_TPL_LIST] = "list",
    [PEFT_TPL_TUPLE] = "tuple",         [PEFT_TPL_KEYS] = "dict_keys",
    [PEFT_TPL_VALUES] = "dict_values",  [PEFT_TPL_ITEMS] = "dict_items",
    [PEFT_TPL_ITERATOR] = "generator",  [PEFT_TPL_RANGE] = "range",
    [PEFT_TPL_DICT] = "dict",           [PEFT_TPL_NAMESPACE] = "namespace",
    [PEFT_TPL_MACRO] = "macro",         [PEFT_TPL_BUILTIN] = "function",
    [PEFT_TPL_METHOD] = "method",       [PEFT_TPL_LOOP] = "loop",
    [PEFT_TPL_CYCLER] = "cycler",       [PEFT_TPL_JOINER] = "joiner",
    [PEFT_TPL_SLICE] = "slice",
  };
  return names[value->kind];
}

gboolean
peft_tpl_is_text (const PeftTplValue *value, const char *text)
{
  return value->kind == PEFT_TPL_STRING && value->string.length == strlen (text)
         && memcmp (value->string.text, text, value->string.length) == 0;
}

gboolean
peft_tpl_truth (const PeftTplValue *value)
{
  switch (value->kind)
    {
    case PEFT_TPL_UNDEFINED:
    case PEFT_TPL_NONE:
      return FALSE;
    case PEFT_TPL_BOOLEAN:
      return value->boolean;
    case PEFT_TPL_INTEGER:
      return value->integer != 0;
    case PEFT_TPL_FLOAT:
      return value->number != 0;
    case PEFT_TPL_STRING:
      return value->string.length > 0;
    case PEFT_TPL_LIST:
    case PEFT_TPL_TUPLE:
    case PEFT_TPL_KEYS:
    case PEFT_TPL_VALUES:
    case PEFT_TPL_ITEMS:
      return value->list.n > 0;
    case PEFT_TPL_RANGE:
      return value->range.n > 0;
    case PEFT_TPL_DICT:
      return value->dict.n > 0;
    default:
      return TRUE;
    }
}

gboolean
peft_tpl_is_number (const PeftTplValue *value)
{
  return value->kind == PEFT_TPL_INTEGER || value->kind == PEFT_TPL_FLOAT
         || value->kind == PEFT_TPL_BOOLEAN;
}

double
peft_tpl_get_number (const PeftTplValue *value)
{
  return value->kind == PEFT_TPL_INTEGER ? (double) value->integer
         : value->kind == PEFT_TPL_FLOAT ? value->number
                                         : (value->boolean ? 1.0 : 0.0);
}

gboolean
peft_tpl_get_integer (PeftTplContext *c, const PeftTplValue *value, gint64 *out)
{
  if (value->kind == PEFT_TPL_INTEGER)
    *out = value->integer;
  else if (value->kind == PEFT_TPL_BOOLEAN)
    *out = value->boolean ? 1 : 0;
  else
    {
      peft_tpl_fail_kind (c, value, _ ("an integer"));
      return FALSE;
    }
  return TRUE;
}

gboolean
peft_tpl_get_string (PeftTplContext *c, const PeftTplValue *value)
{
  if (value->kind != PEFT_TPL_STRING)
    peft_tpl_fail_kind (c, value, _ ("a string"));
  return value->kind == PEFT_TPL_STRING;
}

gboolean
peft_tpl_length (PeftTplContext *c, const PeftTplValue *value, gsize *out)
{
  switch (value->kind)
    {
    case PEFT_TPL_UNDEFINED:
      *out = 0;
      return TRUE;
    case PEFT_TPL_STRING:
      *out = peft_tpl_count_chars (value->string.text, value->string.length);
      return peft_tpl_charge (c, value->string.length / 64);
    case PEFT_TPL_LIST:
    case PEFT_TPL_TUPLE:
    case PEFT_TPL_KEYS:
    case PEFT_TPL_VALUES:
    case PEFT_TPL_ITEMS:
      *out = value->list.n;
      return TRUE;
    case PEFT_TPL_RANGE:
      *out = value->range.n;
      return TRUE;
    case PEFT_TPL_DICT:
      *out = value->dict.n;
      return TRUE;
    case PEFT_TPL_LOOP:
      {
        PeftTplValue *n = peft_tpl_loop_attribute (c, (PeftTplValue *) value, "length");
        *out = n->integer;
        return TRUE;
      }
    default:
      peft_tpl_fail (c, _ ("a value of type “%s” has no length"), peft_tpl_type_name (value));
      return FALSE;
    }
}

gboolean
peft_tpl_is_iterable (const PeftTplValue *value)
{
  switch (value->kind)
    {
    case PEFT_TPL_UNDEFINED:
    case PEFT_TPL_STRING:
    case PEFT_TPL_LIST:
    case PEFT_TPL_TUPLE:
    case PEFT_TPL_KEYS:
    case PEFT_TPL_VALUES:
    case PEFT_TPL_ITEMS:
    case PEFT_TPL_ITERATOR:
    case PEFT_TPL_RANGE:
    case PEFT_TPL_DICT:
    case PEFT_TPL_LOOP:
      return TRUE;
    default:
      return FALSE;
    }
}

static gboolean
iterate_string (PeftTplContext *c, const PeftTplValue *value, PeftTplValue ***items, gsize *n)
{
  const char *at = value->string.text, *end = at + value->string.length;

  if (!peft_tpl_length (c, value, n) || !peft_tpl_check_items (c, *n) || !peft_tpl_charge (c, *n))
    return FALSE;
  *items = peft_tpl_new (c, PeftTplValue *, *n);
  for (gsize i = 0; at < end; i++)
    {
      const char *next = g_utf8_next_char (at);
      (*items)[i] = peft_tpl_string (c, at, next - at);
      at = next;
    }
  return TRUE;
}

gboolean
peft_tpl_iterate (PeftTplContext *c, PeftTplValue *value, PeftTplValue ***items, gsize *n)
{
  *items = NULL;
  *n = 0;
  switch (value->kind)
    {
    case PEFT_TPL_UNDEFINED:
      return TRUE;
    case PEFT_TPL_STRING:
      return iterate_string (c, value, items, n);
    case PEFT_TPL_LIST:
    case PEFT_TPL_TUPLE:
    case PEFT_TPL_KEYS:
    case PEFT_TPL_VALUES:
    case PEFT_TPL_ITEMS:
      *items = value->list.items;
      *n = value->list.n;
      return peft_tpl_charge (c, *n);
    case PEFT_TPL_ITERATOR:
      *n = value->list.n - value->list.used;
      if (*n > 0) /* an empty one has no items to count from */
        *items = value->list.items + value->list.used;
      value->list.used = value->list.n;
      return peft_tpl_charge (c, *n);
    case PEFT_TPL_RANGE:
      if (!peft_tpl_charge (c, value->range.n))
        return FALSE;
      *n = value->range.n;
      *items = peft_tpl_new (c, PeftTplValue *, *n);
      for (gsize i = 0; i < *n; i++)
        (*items)[i] = peft_tpl_integer (c, value->range.start + (gint64) i * value->range.step);
      return TRUE;
    case PEFT_TPL_DICT:
      if (!peft_tpl_charge (c, value->dict.n))
        return FALSE;
      *n = value->dict.n;
      *items = peft_tpl_new (c, PeftTplValue *, *n);
      for (gsize i = 0; i < *n; i++)
        (*items)[i] = value->dict.entries[i].key;
      return TRUE;
    default:
      peft_tpl_fail (c, _ ("a value of type “%s” cannot be looped over"), peft_tpl_type_name (value));
      return FALSE;
    }
}
