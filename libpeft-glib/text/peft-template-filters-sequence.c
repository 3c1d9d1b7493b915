/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-template-value.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* Filters over sequences and mappings. Those that are generators in Jinja2 give iterators: they work
 * at once here, and can be gone through once. */

#define FILTER(name)                                                                                      \
  static PeftTplValue *name (PeftTplContext *c, PeftTplValue *self, PeftTplValue **slots,                  \
                             const PeftTplArgs *args)

static gboolean
is_true (const PeftTplValue *value)
{
  return value != NULL && peft_tpl_truth (value);
}

static const PeftTplValue *
unless_none (const PeftTplValue *value)
{
  return value != NULL && value->kind != PEFT_TPL_NONE ? value : NULL;
}

/* --- attributes by name: "a.b.0" --- */

static PeftTplValue *
get_path (PeftTplContext *c, PeftTplValue *item, const PeftTplValue *path, PeftTplValue *fallback)
{
  const char *at, *end;

  if (path == NULL)
    return item;
  if (path->kind != PEFT_TPL_STRING)
    {
      item = peft_tpl_get_item (c, item, (PeftTplValue *) path);
      return item != NULL && item->kind == PEFT_TPL_UNDEFINED && fallback != NULL ? fallback : item;
    }
  at = path->string.text;
  end = at + path->string.length;
  while (item != NULL)
    {
      const char *dot = at < end ? memchr (at, '.', end - at) : NULL;
      gsize length = (dot != NULL ? dot : end) - at;
      PeftTplValue *key = peft_tpl_string (c, at, length);
      gboolean is_index = length > 0 && length < 10;
      gint64 index = 0;

      for (gsize i = 0; i < length && is_index; i++)
        {
          is_index = g_ascii_isdigit (at[i]);
          index = index * 10 + (at[i] - '0');
        }
      item = peft_tpl_get_item (c, item, is_index ? peft_tpl_integer (c, index) : key);
      if (item != NULL && item->kind == PEFT_TPL_UNDEFINED && fallback != NULL)
        item = fallback;
      if (dot == NULL)
        break;
      at = dot + 1;
    }
  return item;
}

static PeftTplValue *
fold_case (PeftTplContext *c, PeftTplValue *value)
{
  return value != NULL && value->kind == PEFT_TPL_STRING ? peft_tpl_change_case (c, value, 'l') : value;
}

/* The key to sort by: one attribute, or several with commas as a list. */
static PeftTplValue *
sort_key (PeftTplContext *c, PeftTplValue *item, const PeftTplValue *attribute, gboolean case_sensitive,
          gboolean several)
{
  g_autoptr (GPtrArray) parts = NULL;
  const char *at, *end;

  if (!several || attribute == NULL || attribute->kind != PEFT_TPL_STRING
      || memchr (attribute->string.text, ',', attribute->string.length) == NULL)
    {
      PeftTplValue *value = get_path (c, item, attribute, NULL);
      return case_sensitive ? value : fold_case (c, value);
    }
  parts = g_ptr_array_new ();
  at = attribute->string.text;
  end = at + attribute->string.length;
  while (TRUE)
    {
      const char *comma = at < end ? memchr (at, ',', end - at) : NULL;
      PeftTplValue *value
          = get_path (c, item, peft_tpl_string (c, at, (comma != NULL ? comma : end) - at), NULL);

      if (!case_sensitive)
        value = fold_case (c, value);
      if (value == NULL)
        return NULL;
      g_ptr_array_add (parts, value);
      if (comma == NULL)
        return peft_tpl_list_copy (c, PEFT_TPL_LIST, parts);
      at = comma + 1;
    }
}

typedef struct
{
  PeftTplValue *key;
  PeftTplValue *item;
} Keyed;

typedef struct
{
  PeftTplContext *c;
  gboolean reverse;
} Order;

static int
compare_keyed_cb (gconstpointer a, gconstpointer b, gpointer data)
{
  const Order *order = data;
  int result = 0;

  if (peft_tpl_failed (order->c)
      || !peft_tpl_compare (order->c, ((const Keyed *) a)->key, ((const Keyed *) b)->key, "<", &result)
      || result == 2)
    return 0;
  return order->reverse ? -result : result;
}

/* Stable; also in reverse, equal items stay in order. */
static Keyed *
sort_items (PeftTplContext *c, PeftTplValue **items, gsize n, const PeftTplValue *attribute,
            gboolean case_sensitive, gboolean reverse, gboolean several)
{
  g_autofree Keyed *keyed = g_new (Keyed, n + 1);
  Order order = { c, reverse };

  for (gsize i = 0; i < n; i++)
    {
      keyed[i].item = items[i];
      if ((keyed[i].key = sort_key (c, items[i], attribute, case_sensitive, several)) == NULL)
        return NULL;
    }
  g_qsort_with_data (keyed, (int) n, sizeof *keyed, compare_keyed_cb, &order);
  return peft_tpl_failed (c) ? NULL : g_steal_pointer (&keyed);
}

FILTER (sort)
{
  PeftTplValue **items, **sorted;
  g_autofree Keyed *keyed = NULL;
  gsize n;

  if (!peft_tpl_iterate (c, self, &items, &n)
      || (keyed = sort_items (c, items, n, unless_none (slots[2]), is_true (slots[1]), is_true (slots[0]),
                              TRUE))
             == NULL)
    return NULL;
  sorted = peft_tpl_new (c, PeftTplValue *, n);
  for (gsize i = 0; i < n; i++)
    sorted[i] = keyed[i].item;
  return peft_tpl_list (c, PEFT_TPL_LIST, sorted, n);
}

static PeftTplValue *
dict_items (PeftTplContext *c, const PeftTplValue *dict, PeftTplKind kind)
{
  PeftTplValue **items = peft_tpl_new (c, PeftTplValue *, dict->dict.n);

  if (!peft_tpl_charge (c, dict->dict.n))
    return NULL;
  for (gsize i = 0; i < dict->dict.n; i++)
    items[i] = peft_tpl_pair (c, dict->dict.entries[i].key, dict->dict.entries[i].value);
  return peft_tpl_list (c, kind, items, dict->dict.n);
}

FILTER (dictsort)
{
  gboolean by_value = slots[1] != NULL && peft_tpl_is_text (slots[1], "value");
  PeftTplValue *items;
  g_autofree Keyed *keyed = NULL;

  if (self->kind != PEFT_TPL_DICT)
    return peft_tpl_fail_kind (c, self, _ ("a mapping"));
  if (slots[1] != NULL && !by_value && !peft_tpl_is_text (slots[1], "key"))
    return peft_tpl_fail (c, _ ("dictsort: “by” must be “key” or “value”"));
  if ((items = dict_items (c, self, PEFT_TPL_LIST)) == NULL)
    return NULL;
  keyed = sort_items (c, items->list.items, items->list.n, peft_tpl_integer (c, by_value),
                      is_true (slots[0]), is_true (slots[2]), FALSE);
  if (keyed == NULL)
    return NULL;
  for (gsize i = 0; i < items->list.n; i++)
    items->list.items[i] = keyed[i].item;
  return items;
}

FILTER (items)
{
  if (self->kind == PEFT_TPL_UNDEFINED)
    return peft_tpl_list (c, PEFT_TPL_ITERATOR, NULL, 0);
  if (self->kind != PEFT_TPL_DICT)
    return peft_tpl_fail_kind (c, self, _ ("a mapping"));
  return dict_items (c, self, PEFT_TPL_ITERATOR);
}

FILTER (groupby)
{
  PeftTplValue **items;
  g_autofree Keyed *keyed = NULL;
  g_autoptr (GPtrArray) groups = NULL;
  gsize n;

  if (!peft_tpl_iterate (c, self, &items, &n))
    return NULL;
  if (unless_none (slots[1]) != NULL)
    return peft_tpl_fail_code (c, PEFT_ERROR_UNSUPPORTED, _ ("groupby: a default is not supported"));
  if ((keyed = sort_items (c, items, n, slots[0], is_true (slots[2]), FALSE, FALSE)) == NULL)
    return NULL;
  groups = g_ptr_array_new ();
  for (gsize start = 0, end; start < n; start = end)
    {
      PeftTplValue **members;
      PeftTplValue *key;

      for (end = start + 1; end < n && peft_tpl_equal (c, keyed[start].key, keyed[end].key); end++)
        ;
      if (peft_tpl_failed (c) || (key = get_path (c, keyed[start].item, slots[0], NULL)) == NULL)
        return NULL;
      members = peft_tpl_new (c, PeftTplValue *, end - start);
      for (gsize i = start; i < end; i++)
        members[i - start] = keyed[i].item;
      g_ptr_array_add (groups,
                       peft_tpl_pair (c, key, peft_tpl_list (c, PEFT_TPL_LIST, members, end - start)));
    }
  return peft_tpl_list_copy (c, PEFT_TPL_LIST, groups);
}

FILTER (unique)
{
  PeftTplValue **items, *seen = peft_tpl_dict (c, PEFT_TPL_DICT);
  g_autoptr (GPtrArray) kept = g_ptr_array_new ();
  gsize n;

  if (!peft_tpl_iterate (c, self, &items, &n))
    return NULL;
  for (gsize i = 0; i < n; i++)
    {
      PeftTplValue *key = sort_key (c, items[i], unless_none (slots[1]), is_true (slots[0]), FALSE);
      gsize before = seen->dict.n;

      if (key == NULL || !peft_tpl_dict_set (c, seen, key, peft_tpl_none ()))
        return NULL;
      if (seen->dict.n > before)
        g_ptr_array_add (kept, items[i]);
    }
  return peft_tpl_list_copy (c, PEFT_TPL_ITERATOR, kept);
}

static PeftTplValue *
extreme (PeftTplContext *c, PeftTplValue *self, PeftTplValue **slots, int wanted)
{
  PeftTplValue **items, *best = NULL, *best_key = NULL;
  gsize n;
  int order;

  if (!peft_tpl_iterate (c, self, &items, &n))
    return NULL;
  for (gsize i = 0; i < n; i++)
    {
      PeftTplValue *key = sort_key (c, items[i], unless_none (slots[1]), is_true (slots[0]), FALSE);
      if (key == NULL || (best != NULL && !peft_tpl_compare (c, key, best_key, "<", &order)))
        return NULL;
      if (best == NULL || order == wanted)
        {
          best = items[i];
          best_key = key;
        }
    }
  return best != NULL ? best : peft_tpl_undefined_hint (c, _ ("the sequence is empty"));
}

FILTER (min)
{
  return extreme (c, self, slots, -1);
}

FILTER (max)
{
  return extreme (c, self, slots, 1);
}

FILTER (sum)
{
  PeftTplValue **items, *total = slots[1] != NULL ? slots[1] : peft_tpl_integer (c, 0);
  gsize n;

  if (!peft_tpl_iterate (c, self, &items, &n))
    return NULL;
  if (total->kind == PEFT_TPL_STRING)
    return peft_tpl_fail (c, _ ("sum: strings cannot be summed"));
  for (gsize i = 0; i < n && total != NULL; i++)
    {
      PeftTplValue *item = get_path (c, items[i], unless_none (slots[0]), NULL);
      total = item != NULL ? peft_tpl_add (c, total, item) : NULL;
    }
  return total;
}

FILTER (join)
{
  PeftTplValue *separator = slots[0] != NULL ? slots[0] : peft_tpl_string_static (c, "");
  PeftTplValue **items, **parts;
  gsize n;

  if ((separator = peft_tpl_to_text (c, separator)) == NULL || !peft_tpl_iterate (c, self, &items, &n))
    return NULL;
  parts = peft_tpl_new (c, PeftTplValue *, n);
  for (gsize i = 0; i < n; i++)
    if ((parts[i] = get_path (c, items[i], unless_none (slots[1]), NULL)) == NULL)
      return NULL;
  return peft_tpl_join (c, separator, parts, n);
}

FILTER (first)
{
  PeftTplValue **items;
  gsize n;

  if (self->kind == PEFT_TPL_ITERATOR && self->list.used < self->list.n)
    return self->list.items[self->list.used++];
  if (!peft_tpl_iterate (c, self, &items, &n))
    return NULL;
  return n > 0 ? items[0] : peft_tpl_undefined_hint (c, _ ("the sequence is empty, it has no first item"));
}

FILTER (last)
{
  PeftTplValue **items;
  gsize n;

  if (self->kind == PEFT_TPL_ITERATOR)
    return peft_tpl_fail (c, _ ("last: a value of type “%s” cannot be reversed"), peft_tpl_type_name (self));
  if (!peft_tpl_iterate (c, self, &items, &n))
    return NULL;
  return n > 0 ? items[n - 1] : peft_tpl_undefined_hint (c, _ ("the sequence is empty, it has no last item"));
}

FILTER (length)
{
  gsize n;
  return peft_tpl_length (c, self, &n) ? peft_tpl_integer (c, n) : NULL;
}

FILTER (list)
{
  PeftTplValue **items;
  gsize n;
  return peft_tpl_iterate (c, self, &items, &n) ? peft_tpl_list (c, PEFT_TPL_LIST, items, n) : NULL;
}

FILTER (reverse)
{
  PeftTplValue **items, **reversed;
  gsize n;

  if (!peft_tpl_iterate (c, self, &items, &n))
    return NULL;
  reversed = peft_tpl_new (c, PeftTplValue *, n);
  for (gsize i = 0; i < n; i++)
    reversed[i] = items[n - 1 - i];
  if (self->kind == PEFT_TPL_STRING)
    return peft_tpl_string_like (c, self, peft_tpl_join (c, peft_tpl_string_static (c, ""), reversed, n));
  return peft_tpl_list (c, self->kind == PEFT_TPL_ITERATOR ? PEFT_TPL_LIST : PEFT_TPL_ITERATOR, reversed, n);
}

FILTER (batch)
{
  PeftTplValue **items;
  g_autoptr (GPtrArray) rows = g_ptr_array_new ();
  gboolean fills = unless_none (slots[1]) != NULL;
  gint64 size;
  gsize n;

  if (!peft_tpl_get_integer (c, slots[0], &size) || !peft_tpl_iterate (c, self, &items, &n))
    return NULL;
  if (size < 1)
    return peft_tpl_fail (c, _ ("batch: the size is below 1"));
  for (gsize start = 0; start < n; start += size)
    {
      gsize taken = MIN ((gsize) size, n - start), width = fills ? (gsize) size : taken;
      PeftTplValue **row;

      if (!peft_tpl_check_items (c, width) || !peft_tpl_charge (c, width))
        return NULL;
      row = peft_tpl_new (c, PeftTplValue *, width);
      for (gsize i = 0; i < width; i++)
        row[i] = i < taken ? items[start + i] : slots[1];
      g_ptr_array_add (rows, peft_tpl_list (c, PEFT_TPL_LIST, row, width));
    }
  return peft_tpl_list_copy (c, PEFT_TPL_ITERATOR, rows);
}

FILTER (slice)
{
  PeftTplValue **items;
  g_autoptr (GPtrArray) columns = g_ptr_array_new ();
  gboolean fills = unless_none (slots[1]) != NULL;
  gint64 count;
  gsize n, at = 0;

  if (!peft_tpl_get_integer (c, slots[0], &count) || !peft_tpl_iterate (c, self, &items, &n))
    return NULL;
  if (count < 1)
    return peft_tpl_fail (c, _ ("slice: the number of slices is below 1"));
  if (!peft_tpl_check_items (c, count) || !peft_tpl_charge (c, count))
    return NULL;
  for (gint64 i = 0; i < count; i++)
    {
      gboolean is_longer = (gsize) i < n % count;
      gsize taken = n / count + is_longer, width = taken + (fills && !is_longer);
      PeftTplValue **column = peft_tpl_new (c, PeftTplValue *, width);

      for (gsize k = 0; k < width; k++)
        column[k] = k < taken ? items[at + k] : slots[1];
      at += taken;
      g_ptr_array_add (columns, peft_tpl_list (c, PEFT_TPL_LIST, column, width));
    }
  return peft_tpl_list_copy (c, PEFT_TPL_ITERATOR, columns);
}

/* --- map, select and reject --- */

/* What is left of args after the first n. */
static PeftTplArgs
args_after (const PeftTplArgs *args, guint n)
{
  PeftTplArgs rest = *args;
  rest.positional += n;
  rest.n_positional -= n;
  return rest;
}

static const PeftTplBuiltin *
find_row (PeftTplContext *c, const PeftTplValue *name, const PeftTplBuiltin *(*find) (const char *),
          const char *what)
{
  const PeftTplBuiltin *row;
  g_autofree char *text = NULL;

  if (!peft_tpl_get_string (c, name))
    return NULL;
  text = g_strndup (name->string.text, name->string.length);
  row = find (text);
  return row != NULL ? row
                     : peft_tpl_fail_code (c, PEFT_ERROR_UNSUPPORTED, _ ("there is no %s “%s”"), what, text);
}

static gboolean
map_attribute (PeftTplContext *c, const PeftTplArgs *args, PeftTplValue **attribute, PeftTplValue **fallback)
{
  for (guint i = 0; i < args->n_named; i++)
    if (strcmp (args->names[i], "attribute") == 0)
      *attribute = args->named[i];
    else if (strcmp (args->names[i], "default") == 0)
      *fallback = args->named[i]->kind != PEFT_TPL_NONE ? args->named[i] : NULL;
    else
      return peft_tpl_fail (c, _ ("map has no argument “%s”"), args->names[i]) != NULL;
  if (*attribute == NULL)
    return peft_tpl_fail (c, _ ("map needs a filter or an attribute")) != NULL;
  return TRUE;
}

FILTER (map)
{
  PeftTplValue **items, **mapped, *attribute = NULL, *fallback = NULL;
  const PeftTplBuiltin *row = NULL;
  PeftTplArgs rest = { 0 };
  gsize n;

  if (!peft_tpl_truth (self))
    return peft_tpl_list (c, PEFT_TPL_ITERATOR, NULL, 0);
  if (args->n_positional > 0)
    {
      rest = args_after (args, 1);
      if ((row = find_row (c, args->positional[0], peft_tpl_find_filter, _ ("filter"))) == NULL)
        return NULL;
    }
  else if (!map_attribute (c, args, &attribute, &fallback))
    return NULL;
  if (!peft_tpl_iterate (c, self, &items, &n))
    return NULL;
  mapped = peft_tpl_new (c, PeftTplValue *, n);
  for (gsize i = 0; i < n; i++)
    {
      mapped[i] = row != NULL ? peft_tpl_invoke (c, row, _ ("filter"), items[i], &rest)
                              : get_path (c, items[i], unless_none (attribute), fallback);
      if (mapped[i] == NULL || !peft_tpl_charge (c, 1))
        return NULL;
    }
  return peft_tpl_list (c, PEFT_TPL_ITERATOR, mapped, n);
}

static PeftTplValue *
select_items (PeftTplContext *c, PeftTplValue *self, const PeftTplArgs *args, gboolean wanted,
              gboolean by_attribute)
{
  PeftTplValue **items, **kept;
  const PeftTplBuiltin *row = NULL;
  PeftTplArgs rest = { 0 };
  guint offset = by_attribute ? 1 : 0;
  gsize n, n_kept = 0;

  if (!peft_tpl_truth (self))
    return peft_tpl_list (c, PEFT_TPL_ITERATOR, NULL, 0);
  if (args->n_positional < offset)
    return peft_tpl_fail (c, _ ("the name of the attribute is missing"));
  if (args->n_positional > offset)
    {
      rest = args_after (args, offset + 1);
      if ((row = find_row (c, args->positional[offset], peft_tpl_find_test, _ ("test"))) == NULL)
        return NULL;
    }
  if (!peft_tpl_iterate (c, self, &items, &n))
    return NULL;
  kept = peft_tpl_new (c, PeftTplValue *, n);
  for (gsize i = 0; i < n; i++)
    {
      PeftTplValue *value = by_attribute ? get_path (c, items[i], args->positional[0], NULL) : items[i];

      if (value != NULL && row != NULL)
        value = peft_tpl_invoke (c, row, _ ("test"), value, &rest);
      if (value == NULL || !peft_tpl_charge (c, 1))
        return NULL;
      if (peft_tpl_truth (value) == wanted)
        kept[n_kept++] = items[i];
    }
  return peft_tpl_list (c, PEFT_TPL_ITERATOR, kept, n_kept);
}

FILTER (select_filter)
{
  return select_items (c, self, args, TRUE, FALSE);
}

FILTER (reject)
{
  return select_items (c, self, args, FALSE, FALSE);
}

FILTER (selectattr)
{
  return select_items (c, self, args, TRUE, TRUE);
}

FILTER (rejectattr)
{
  return select_items (c, self, args, FALSE, TRUE);
}

const PeftTplBuiltin peft_tpl_sequence_filters[] = {
  { "batch", batch, "linecount fill_with", 1 },
  { "count", length, "", 0 },
  { "dictsort", dictsort, "case_sensitive by reverse", 0 },
  { "first", first, "", 0 },
  { "groupby", groupby, "attribute default case_sensitive", 1 },
  { "items", items, "", 0 },
  { "join", join, "d attribute", 0 },
  { "last", last, "", 0 },
  { "length", length, "", 0 },
  { "list", list, "", 0 },
  { "map", map, NULL, 0 },
  { "max", max, "case_sensitive attribute", 0 },
  { "min", min, "case_sensitive attribute", 0 },
  { "reject", reject, NULL, 0 },
  { "rejectattr", rejectattr, NULL, 0 },
  { "reverse", reverse, "", 0 },
  { "select", select_filter, NULL, 0 },
  { "selectattr", selectattr, NULL, 0 },
  { "slice", slice, "slices fill_with", 1 },
  { "sort", sort, "reverse case_sensitive attribute", 0 },
  { "sum", sum, "attribute start", 0 },
  { "unique", unique, "case_sensitive attribute", 0 },
  { NULL },
};
