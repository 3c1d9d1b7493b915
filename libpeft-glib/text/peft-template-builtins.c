/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-template-private.h"

#include <glib/gi18n-lib.h>
#include <locale.h>
#include <string.h>
#include <time.h>

/* Global functions, methods of everything but strings, and finding rows in the tables. */

#define BUILTIN(name)                                                                                     \
  static PeftTplValue *name (PeftTplContext *c, PeftTplValue *self, PeftTplValue **slots,                  \
                             const PeftTplArgs *args)

/* --- globals --- */

BUILTIN (range)
{
  gint64 bounds[3] = { 0, 0, 1 };
  gint64 distance;
  PeftTplValue *value;
  guint64 n = 0;

  if (args->n_positional < 1 || args->n_positional > 3 || args->n_named > 0)
    return peft_tpl_fail (c, _ ("range takes 1 to 3 arguments"));
  for (guint i = 0; i < args->n_positional; i++)
    if (!peft_tpl_get_integer (c, args->positional[i], &bounds[args->n_positional == 1 ? 1 : i]))
      return NULL;
  if (bounds[2] == 0)
    return peft_tpl_fail (c, _ ("range: the step is zero"));
  if (__builtin_sub_overflow (bounds[1], bounds[0], &distance) || bounds[2] == G_MININT64)
    n = G_MAXUINT64;
  else if (bounds[2] > 0 && distance > 0)
    n = (guint64) (distance - 1) / bounds[2] + 1;
  else if (bounds[2] < 0 && distance < 0)
    n = (guint64) (-(distance + 1)) / -bounds[2] + 1;
  if (n > PEFT_TEMPLATE_MAX_RANGE)
    return peft_tpl_fail_code (c, PEFT_ERROR_LIMIT, _ ("a range has more than %u numbers"),
                               PEFT_TEMPLATE_MAX_RANGE);
  value = peft_tpl_dict (c, PEFT_TPL_RANGE);
  value->range.start = bounds[0];
  value->range.step = bounds[2];
  value->range.n = n;
  return value;
}

/* dict (mapping or pairs, name=value, …) */
static PeftTplValue *
make_dict (PeftTplContext *c, const PeftTplArgs *args, PeftTplKind kind)
{
  PeftTplValue *dict = peft_tpl_dict (c, kind);

  if (args->n_positional > 1)
    return peft_tpl_fail (c, _ ("dict takes at most one positional argument"));
  if (args->n_positional == 1 && args->positional[0]->kind == PEFT_TPL_DICT)
    {
      const PeftTplValue *source = args->positional[0];
      for (gsize i = 0; i < source->dict.n; i++)
        if (!peft_tpl_dict_set (c, dict, source->dict.entries[i].key, source->dict.entries[i].value))
          return NULL;
    }
  else if (args->n_positional == 1)
    {
      PeftTplValue **pairs, **pair;
      gsize n, size;

      if (!peft_tpl_iterate (c, args->positional[0], &pairs, &n))
        return NULL;
      for (gsize i = 0; i < n; i++)
        {
          if (!peft_tpl_iterate (c, pairs[i], &pair, &size))
            return NULL;
          if (size != 2)
            return peft_tpl_fail (c, _ ("dict: expected pairs, found an item of %zu values"),
                                  size);
          if (!peft_tpl_dict_set (c, dict, pair[0], pair[1]))
            return NULL;
        }
    }
  for (guint i = 0; i < args->n_named; i++)
    if (!peft_tpl_dict_set (c, dict, peft_tpl_string_static (c, args->names[i]), args->named[i]))
      return NULL;
  return dict;
}

BUILTIN (dict)
{
  return make_dict (c, args, PEFT_TPL_DICT);
}

BUILTIN (namespace)
{
  PeftTplValue *value = make_dict (c, args, PEFT_TPL_NAMESPACE);

  for (gsize i = 0; value != NULL && i < value->dict.n; i++)
    {
      const PeftTplValue *key = value->dict.entries[i].key;
      if (key->kind == PEFT_TPL_STRING && key->string.length > 0 && key->string.text[0] == '_')
        return peft_tpl_fail (c, _ ("a namespace cannot hold “%.*s”: the name starts with an underscore"),
                              (int) MIN (key->string.length, 40), key->string.text);
    }
  return value;
}

BUILTIN (raise_exception)
{
  PeftTplValue *message = peft_tpl_to_text (c, slots[0]);

  return message != NULL ? peft_tpl_fail_code (c, PEFT_ERROR_INVALID_DATA, "%.*s",
                                               (int) message->string.length, message->string.text)
                         : NULL;
}

/* The format as strftime () is to see it: a datetime without a zone prints nothing for %z and %Z, and
 * we count whole seconds. */
static char *
prepare_format (const PeftTplValue *format)
{
  GString *out = g_string_new (NULL);

  for (gsize i = 0; i < format->string.length; i++)
    {
      char ch = format->string.text[i];
      char next = i + 1 < format->string.length ? format->string.text[i + 1] : '\0';

      if (ch != '%')
        g_string_append_c (out, ch);
      else if (next == 'f')
        g_string_append (out, "000000");
      else if (next != 'z' && next != 'Z')
        {
          g_string_append_c (out, ch);
          g_string_append_c (out, next);
        }
      i += ch == '%';
    }
  return g_string_free (out, FALSE);
}

BUILTIN (strftime_now)
{
  static locale_t c_locale = 0; /* names of months and days are English, as Python has them */
  g_autofree char *format = NULL;
  g_autofree char *text = NULL;
  time_t now = (time_t) peft_tpl_get_now (c);
  struct tm tm;
  gsize size, n;

  if (!peft_tpl_get_string (c, slots[0]))
    return NULL;
  if (g_once_init_enter (&c_locale))
    g_once_init_leave (&c_locale, newlocale (LC_ALL_MASK, "C", 0));
  if (localtime_r (&now, &tm) == NULL)
    return peft_tpl_fail (c, _ ("strftime_now: the time is out of range"));
  format = prepare_format (slots[0]);
  size = strlen (format) * 64 + 64;
  if (!peft_tpl_check_string (c, size))
    return NULL;
  text = g_malloc (size);
  /* Nothing written also means that it did not fit, as with widths like %999d. */
  n = strftime_l (text, size, format, &tm, c_locale);
  return peft_tpl_string_copy (c, text, n);
}

BUILTIN (cycler)
{
  if (args->n_positional == 0 || args->n_named > 0)
    return peft_tpl_fail (c, _ ("cycler needs at least one item"));
  return peft_tpl_list (c, PEFT_TPL_CYCLER, args->positional, args->n_positional);
}

BUILTIN (joiner)
{
  PeftTplValue *value = peft_tpl_dict (c, PEFT_TPL_JOINER);

  value->joiner.separator = slots[0] != NULL ? slots[0] : peft_tpl_string_static (c, ", ");
  return value;
}

BUILTIN (lipsum)
{
  return peft_tpl_fail_code (c, PEFT_ERROR_UNSUPPORTED, _ ("lipsum is not supported"));
}

const PeftTplBuiltin peft_tpl_globals[] = {
  { "cycler", cycler, NULL, 0 },
  { "dict", dict, NULL, 0 },
  { "joiner", joiner, "sep", 0 },
  { "lipsum", lipsum, NULL, 0 },
  { "namespace", namespace, NULL, 0 },
  { "raise_exception", raise_exception, "message", 1 },
  { "range", range, NULL, 0 },
  { "strftime_now", strftime_now, "format", 1 },
  { NULL },
};

/* --- methods --- */

BUILTIN (dict_get)
{
  PeftTplValue *value;

  if (!peft_tpl_is_hashable (slots[0]))
    return peft_tpl_fail (c, _ ("a value of type “%s” cannot be a key"), peft_tpl_type_name (slots[0]));
  value = peft_tpl_dict_get (c, self, slots[0]);
  if (value != NULL)
    return value;
  return peft_tpl_failed (c) ? NULL : slots[1] != NULL ? slots[1] : peft_tpl_none ();
}

static PeftTplValue *
dict_view (PeftTplContext *c, const PeftTplValue *self, PeftTplKind kind)
{
  PeftTplValue **items;

  if (!peft_tpl_charge (c, self->dict.n))
    return NULL;
  items = peft_tpl_new (c, PeftTplValue *, self->dict.n);
  for (gsize i = 0; i < self->dict.n; i++)
    {
      const PeftTplEntry *entry = &self->dict.entries[i];
      items[i] = kind == PEFT_TPL_KEYS     ? entry->key
                 : kind == PEFT_TPL_VALUES ? entry->value
                                           : peft_tpl_pair (c, entry->key, entry->value);
    }
  return peft_tpl_list (c, kind, items, self->dict.n);
}

BUILTIN (dict_keys)
{
  return dict_view (c, self, PEFT_TPL_KEYS);
}

BUILTIN (dict_values)
{
  return dict_view (c, self, PEFT_TPL_VALUES);
}

BUILTIN (dict_items)
{
  return dict_view (c, self, PEFT_TPL_ITEMS);
}

/* Nothing can change it, so it is its own copy. */
BUILTIN (copy)
{
  return self;
}

BUILTIN (list_count)
{
  gint64 n = 0;

  for (gsize i = 0; i < self->list.n; i++)
    n += peft_tpl_equal (c, self->list.items[i], slots[0]);
  return peft_tpl_failed (c) ? NULL : peft_tpl_integer (c, n);
}

BUILTIN (list_index)
{
  for (gsize i = 0; i < self->list.n; i++)
    if (peft_tpl_equal (c, self->list.items[i], slots[0]))
      return peft_tpl_integer (c, i);
  return peft_tpl_fail (c, _ ("index: the item is not in the list"));
}

BUILTIN (loop_cycle)
{
  if (args->n_positional == 0 || args->n_named > 0)
    return peft_tpl_fail (c, _ ("cycle needs at least one item"));
  return args->positional[self->loop->index % args->n_positional];
}

BUILTIN (loop_changed)
{
  PeftTplValue *now = peft_tpl_list (c, PEFT_TPL_TUPLE, args->positional, args->n_positional);
  gboolean changed = self->loop->changed == NULL || !peft_tpl_equal (c, self->loop->changed, now);

  self->loop->changed = now;
  return peft_tpl_failed (c) ? NULL : peft_tpl_boolean (changed);
}

BUILTIN (cycler_next)
{
  PeftTplValue *item = self->list.items[self->list.used];

  self->list.used = (self->list.used + 1) % self->list.n;
  return item;
}

BUILTIN (cycler_reset)
{
  self->list.used = 0;
  return peft_tpl_none ();
}

const PeftTplBuiltin peft_tpl_dict_methods[] = {
  { "clear" },
  { "copy", copy, "", 0 },
  { "get", dict_get, "key default", 1 },
  { "items", dict_items, "", 0 },
  { "keys", dict_keys, "", 0 },
  { "pop" },
  { "popitem" },
  { "setdefault" },
  { "update" },
  { "values", dict_values, "", 0 },
  { NULL },
};

const PeftTplBuiltin peft_tpl_list_methods[] = {
  { "append" },
  { "clear" },
  { "copy", copy, "", 0 },
  { "count", list_count, "value", 1 },
  { "extend" },
  { "index", list_index, "value", 1 },
  { "insert" },
  { "pop" },
  { "remove" },
  { "reverse" },
  { "sort" },
  { NULL },
};

const PeftTplBuiltin peft_tpl_tuple_methods[] = {
  { "count", list_count, "value", 1 },
  { "index", list_index, "value", 1 },
  { NULL },
};

const PeftTplBuiltin peft_tpl_loop_methods[] = {
  { "changed", loop_changed, NULL, 0 },
  { "cycle", loop_cycle, NULL, 0 },
  { NULL },
};

const PeftTplBuiltin peft_tpl_cycler_methods[] = {
  { "next", cycler_next, "", 0 },
  { "reset", cycler_reset, "", 0 },
  { NULL },
};

/* Per kind: its methods, and those of Python's that are not among them. */
static const struct
{
  PeftTplKind kind;
  const PeftTplBuiltin *methods;
  const char *refused;
} kinds[] = {
  { PEFT_TPL_STRING, peft_tpl_string_methods,
    " encode expandtabs format_map isidentifier isprintable istitle maketrans translate " },
  { PEFT_TPL_DICT, peft_tpl_dict_methods, " fromkeys " },
  { PEFT_TPL_LIST, peft_tpl_list_methods, " " },
  /* grouper and list: groups of groupby () are plain pairs here. */
  { PEFT_TPL_TUPLE, peft_tpl_tuple_methods, " grouper list " },
  { PEFT_TPL_LOOP, peft_tpl_loop_methods, " " },
  { PEFT_TPL_CYCLER, peft_tpl_cycler_methods, " " },
  { PEFT_TPL_RANGE, NULL, " count index start step stop " },
  { PEFT_TPL_INTEGER, NULL,
    " as_integer_ratio bit_count bit_length conjugate denominator from_bytes imag numerator real to_bytes " },
  { PEFT_TPL_FLOAT, NULL, " as_integer_ratio conjugate fromhex hex imag is_integer real " },
  { PEFT_TPL_MACRO, NULL, " arguments caller catch_kwargs catch_varargs name " },
};

/* --- tables --- */

static const PeftTplBuiltin *
find_in (const PeftTplBuiltin *rows, const char *name)
{
  for (; rows != NULL && rows->name != NULL; rows++)
    if (strcmp (rows->name, name) == 0)
      return rows;
  return NULL;
}

const PeftTplBuiltin *
peft_tpl_find_filter (const char *name)
{
  const PeftTplBuiltin *const tables[]
      = { peft_tpl_text_filters, peft_tpl_sequence_filters, peft_tpl_number_filters };
  const PeftTplBuiltin *row = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (tables) && row == NULL; i++)
    row = find_in (tables[i], name);
  return row;
}

const PeftTplBuiltin *
peft_tpl_find_test (const char *name)
{
  return find_in (peft_tpl_tests, name);
}

const PeftTplBuiltin *
peft_tpl_find_global (const char *name)
{
  return find_in (peft_tpl_globals, name);
}

const PeftTplBuiltin *
peft_tpl_find_method (PeftTplKind kind, const char *name, gsize length, gboolean *refused)
{
  char text[32], padded[34];

  *refused = FALSE;
  if (length >= sizeof text || memchr (name, '\0', length) != NULL)
    return NULL;
  memcpy (text, name, length);
  text[length] = '\0';
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (kinds[i].kind == kind)
      {
        const PeftTplBuiltin *row = find_in (kinds[i].methods, text);
        g_snprintf (padded, sizeof padded, " %s ", text);
        *refused = row == NULL && strchr (text, ' ') == NULL && strstr (kinds[i].refused, padded) != NULL;
        return row;
      }
  return NULL;
}
