/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-template-value.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

/* Equality, order and membership as Python has them. */

static int
compare_bytes (const PeftTplValue *a, const PeftTplValue *b)
{
  /* The byte order of UTF-8 is the order of code points. */
  gsize n = MIN (a->string.length, b->string.length);
  int order = n > 0 ? memcmp (a->string.text, b->string.text, n) : 0;

  if (order != 0)
    return order < 0 ? -1 : 1;
  return a->string.length < b->string.length ? -1 : a->string.length > b->string.length;
}

/* Of an integer and a double without rounding the integer; NaN gives 2. */
static int
compare_mixed (gint64 a, double b)
{
  if (isnan (b))
    return 2;
  if (b >= 9223372036854775808.0)
    return -1;
  if (b < -9223372036854775808.0)
    return 1;
  if (a != (gint64) b)
    return a < (gint64) b ? -1 : 1;
  return b > trunc (b) ? -1 : b < trunc (b);
}

static int
compare_numbers (const PeftTplValue *a, const PeftTplValue *b)
{
  if (a->kind == PEFT_TPL_FLOAT && b->kind == PEFT_TPL_FLOAT)
    return isnan (a->number) || isnan (b->number) ? 2 : a->number < b->number ? -1 : a->number > b->number;
  if (a->kind == PEFT_TPL_FLOAT)
    {
      int order = compare_numbers (b, a);
      return order == 2 ? 2 : -order;
    }
  gint64 x = a->kind == PEFT_TPL_INTEGER ? a->integer : a->boolean != 0;
  if (b->kind == PEFT_TPL_FLOAT)
    return compare_mixed (x, b->number);
  gint64 y = b->kind == PEFT_TPL_INTEGER ? b->integer : b->boolean != 0;
  return x < y ? -1 : x > y;
}

static gboolean
too_deep (PeftTplContext *c, guint depth)
{
  if (depth <= PEFT_TEMPLATE_MAX_VALUE_DEPTH)
    return FALSE;
  peft_tpl_fail_code (c, PEFT_ERROR_LIMIT, _ ("values nested deeper than %u levels"),
                      PEFT_TEMPLATE_MAX_VALUE_DEPTH);
  return TRUE;
}

static gboolean
equal (PeftTplContext *c, const PeftTplValue *a, const PeftTplValue *b, guint depth)
{
  if (a == b)
    return a->kind != PEFT_TPL_FLOAT || !isnan (a->number);
  if (too_deep (c, depth) || !peft_tpl_charge (c, 1))
    return FALSE;
  if (peft_tpl_is_number (a) && peft_tpl_is_number (b))
    return compare_numbers (a, b) == 0;
  if (a->kind != b->kind)
    return FALSE;
  switch (a->kind)
    {
    case PEFT_TPL_UNDEFINED:
    case PEFT_TPL_NONE:
      return TRUE;
    case PEFT_TPL_STRING:
    case PEFT_TPL_BIG:
      return peft_tpl_charge (c, MIN (a->string.length, b->string.length) / 64)
             && compare_bytes (a, b) == 0;
    case PEFT_TPL_LIST:
    case PEFT_TPL_TUPLE:
      if (a->list.n != b->list.n)
        return FALSE;
      for (gsize i = 0; i < a->list.n; i++)
        if (!equal (c, a->list.items[i], b->list.items[i], depth + 1))
          return FALSE;
      return TRUE;
    case PEFT_TPL_DICT:
      if (a->dict.n != b->dict.n)
        return FALSE;
      for (gsize i = 0; i < a->dict.n; i++)
        {
          const PeftTplValue *other = peft_tpl_dict_get (c, b, a->dict.entries[i].key);
          if (other == NULL || !equal (c, a->dict.entries[i].value, other, depth + 1))
            return FALSE;
        }
      return TRUE;
    case PEFT_TPL_RANGE:
      return a->range.n == b->range.n
             && (a->range.n == 0
                 || (a->range.start == b->range.start
                     && (a->range.n == 1 || a->range.step == b->range.step)));
    default:
      return FALSE;
    }
}

gboolean
peft_tpl_equal (PeftTplContext *c, const PeftTplValue *a, const PeftTplValue *b)
{
  return equal (c, a, b, 0);
}

static gboolean
compare (PeftTplContext *c, const PeftTplValue *a, const PeftTplValue *b, const char *operation,
         int *out, guint depth)
{
  if (too_deep (c, depth) || !peft_tpl_charge (c, 1))
    return FALSE;
  if (peft_tpl_is_number (a) && peft_tpl_is_number (b))
    {
      *out = compare_numbers (a, b);
      return TRUE;
    }
  if (a->kind == b->kind && a->kind == PEFT_TPL_STRING)
    {
      *out = compare_bytes (a, b);
      return peft_tpl_charge (c, MIN (a->string.length, b->string.length) / 64);
    }
  if (a->kind == b->kind && (a->kind == PEFT_TPL_LIST || a->kind == PEFT_TPL_TUPLE))
    {
      gsize n = MIN (a->list.n, b->list.n);
      for (gsize i = 0; i < n; i++)
        if (!equal (c, a->list.items[i], b->list.items[i], depth + 1))
          return !peft_tpl_failed (c)
                 && compare (c, a->list.items[i], b->list.items[i], operation, out, depth + 1);
      *out = a->list.n < b->list.n ? -1 : a->list.n > b->list.n;
      return !peft_tpl_failed (c);
    }
  if (a->kind == PEFT_TPL_UNDEFINED || b->kind == PEFT_TPL_UNDEFINED)
    peft_tpl_fail_undefined (c, a->kind == PEFT_TPL_UNDEFINED ? a : b);
  else
    peft_tpl_fail (c, _ ("“%s” is not defined between types “%s” and “%s”"), operation,
                   peft_tpl_type_name (a), peft_tpl_type_name (b));
  return FALSE;
}

gboolean
peft_tpl_compare (PeftTplContext *c, const PeftTplValue *a, const PeftTplValue *b,
                  const char *operation, int *out)
{
  return compare (c, a, b, operation, out, 0);
}

gboolean
peft_tpl_contains (PeftTplContext *c, const PeftTplValue *item, PeftTplValue *container, gboolean *out)
{
  PeftTplValue **items;
  gsize n;

  *out = FALSE;
  if (container->kind == PEFT_TPL_STRING)
    {
      if (!peft_tpl_get_string (c, item) || !peft_tpl_charge (c, container->string.length / 64))
        return FALSE;
      *out = item->string.length == 0
             || memmem (container->string.text, container->string.length, item->string.text,
                        item->string.length) != NULL;
      return TRUE;
    }
  if (container->kind == PEFT_TPL_DICT)
    {
      if (!peft_tpl_is_hashable (item))
        return peft_tpl_fail (c, _ ("a value of type “%s” cannot be a key"), peft_tpl_type_name (item))
               != NULL;
      *out = peft_tpl_dict_get (c, container, item) != NULL;
      return !peft_tpl_failed (c);
    }
  if (!peft_tpl_iterate (c, container, &items, &n))
    return FALSE;
  for (gsize i = 0; i < n && !*out; i++)
    *out = items[i] == item || peft_tpl_equal (c, items[i], item);
  return !peft_tpl_failed (c);
}
