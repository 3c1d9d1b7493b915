/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-template-value.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

/* Arithmetic, attributes and subscripts. Integers beyond 64 bits are refused, which Python would go on
 * with. */

static gpointer
fail_operands (PeftTplContext *c, const char *op, const PeftTplValue *a, const PeftTplValue *b)
{
  if (a->kind == PEFT_TPL_UNDEFINED || b->kind == PEFT_TPL_UNDEFINED)
    return peft_tpl_fail_undefined (c, a->kind == PEFT_TPL_UNDEFINED ? a : b);
  return peft_tpl_fail (c, _ ("“%s” cannot take operands of types “%s” and “%s”"), op,
                        peft_tpl_type_name (a), peft_tpl_type_name (b));
}

static gpointer
fail_overflow (PeftTplContext *c)
{
  return peft_tpl_fail_code (c, PEFT_ERROR_LIMIT, _ ("an integer is beyond 64 bits"));
}

static PeftTplValue *
concatenate_strings (PeftTplContext *c, const PeftTplValue *a, const PeftTplValue *b)
{
  gsize length = a->string.length + b->string.length;
  char *text;

  if (!peft_tpl_check_string (c, length) || !peft_tpl_charge (c, length / 64))
    return NULL;
  text = peft_tpl_new (c, char, length + 1);
  if (a->string.length > 0)
    memcpy (text, a->string.text, a->string.length);
  if (b->string.length > 0)
    memcpy (text + a->string.length, b->string.text, b->string.length);
  return peft_tpl_string (c, text, length);
}

PeftTplValue *
peft_tpl_add (PeftTplContext *c, PeftTplValue *a, PeftTplValue *b)
{
  if (a->kind == PEFT_TPL_STRING && b->kind == PEFT_TPL_STRING)
    {
      PeftTplValue *sum;

      if (!a->markup && !b->markup)
        return concatenate_strings (c, a, b);
      a = peft_tpl_escape (c, a);
      b = peft_tpl_escape (c, b);
      if (a == NULL || b == NULL || (sum = concatenate_strings (c, a, b)) == NULL)
        return NULL;
      sum->markup = TRUE;
      return sum;
    }
  if (a->kind == b->kind && (a->kind == PEFT_TPL_LIST || a->kind == PEFT_TPL_TUPLE))
    {
      gsize n = a->list.n + b->list.n;
      PeftTplValue **items;

      if (!peft_tpl_check_items (c, n) || !peft_tpl_charge (c, n))
        return NULL;
      items = peft_tpl_new (c, PeftTplValue *, n);
      if (a->list.n > 0)
        memcpy (items, a->list.items, sizeof *items * a->list.n);
      if (b->list.n > 0)
        memcpy (items + a->list.n, b->list.items, sizeof *items * b->list.n);
      return peft_tpl_list (c, a->kind, items, n);
    }
  return peft_tpl_binary (c, '+', a, b);
}

static PeftTplValue *
repeat (PeftTplContext *c, const PeftTplValue *value, gint64 times)
{
  gsize n = times > 0 ? times : 0;
  gsize unit = value->kind == PEFT_TPL_STRING ? value->string.length : value->list.n;
  gsize total;

  if (__builtin_mul_overflow (n, unit, &total))
    total = G_MAXSIZE;
  if (unit == 0)
    n = 0;
  if (value->kind == PEFT_TPL_STRING)
    {
      char *text;
      if (!peft_tpl_check_string (c, total) || !peft_tpl_charge (c, (total + n) / 64))
        return NULL;
      text = peft_tpl_new (c, char, total + 1);
      for (gsize i = 0; i < n; i++)
        memcpy (text + i * unit, value->string.text, unit);
      return peft_tpl_string_like (c, value, peft_tpl_string (c, text, total));
    }
  PeftTplValue **items;
  if (!peft_tpl_check_items (c, total) || !peft_tpl_charge (c, total))
    return NULL;
  items = peft_tpl_new (c, PeftTplValue *, total);
  for (gsize i = 0; i < n; i++)
    memcpy (items + i * unit, value->list.items, sizeof *items * unit);
  return peft_tpl_list (c, value->kind, items, total);
}

static PeftTplValue *
integer_power (PeftTplContext *c, gint64 base, gint64 exponent)
{
  gint64 result = 1;

  if (exponent < 0)
    {
      if (base == 0)
        return peft_tpl_fail (c, _ ("division by zero"));
      return peft_tpl_float (c, pow ((double) base, (double) exponent));
    }
  if (base == 0 || base == 1)
    return peft_tpl_integer (c, exponent == 0 ? 1 : base);
  if (base == -1)
    return peft_tpl_integer (c, exponent % 2 != 0 ? -1 : 1);
  for (gint64 i = 0; i < exponent; i++) /* overflows after 63 rounds at most */
    if (__builtin_mul_overflow (result, base, &result))
      return fail_overflow (c);
  return peft_tpl_integer (c, result);
}

static PeftTplValue *
integer_binary (PeftTplContext *c, char op, gint64 a, gint64 b)
{
  gint64 r;

  if (strchr ("/q%", op) != NULL && b == 0)
    return peft_tpl_fail (c, _ ("division by zero"));
  switch (op)
    {
    case '+':
      return __builtin_add_overflow (a, b, &r) ? fail_overflow (c) : peft_tpl_integer (c, r);
    case '-':
      return __builtin_sub_overflow (a, b, &r) ? fail_overflow (c) : peft_tpl_integer (c, r);
    case '*':
      return __builtin_mul_overflow (a, b, &r) ? fail_overflow (c) : peft_tpl_integer (c, r);
    case '/':
      return peft_tpl_float (c, (double) a / (double) b);
    case 'q':
      if (b == -1)
        return a == G_MININT64 ? fail_overflow (c) : peft_tpl_integer (c, -a);
      return peft_tpl_integer (c, a / b - (a % b != 0 && (a < 0) != (b < 0)));
    case '%':
      r = b == -1 ? 0 : a % b;
      return peft_tpl_integer (c, r != 0 && (r < 0) != (b < 0) ? r + b : r);
    default:
      return integer_power (c, a, b);
    }
}

/* Python's: the remainder takes the divisor's sign. */
static double
float_modulo (double a, double b)
{
  double r = fmod (a, b);

  if (r != 0)
    return (r < 0) != (b < 0) ? r + b : r;
  return copysign (0.0, b);
}

static double
float_floor_divide (double a, double b)
{
  double r = float_modulo (a, b);
  double quotient = (a - r) / b;
  double whole = floor (quotient);

  return quotient - whole > 0.5 ? whole + 1.0 : whole;
}

static PeftTplValue *
float_binary (PeftTplContext *c, char op, double a, double b)
{
  if (strchr ("/q%", op) != NULL && b == 0)
    return peft_tpl_fail (c, _ ("division by zero"));
  switch (op)
    {
    case '+':
      return peft_tpl_float (c, a + b);
    case '-':
      return peft_tpl_float (c, a - b);
    case '*':
      return peft_tpl_float (c, a * b);
    case '/':
      return peft_tpl_float (c, a / b);
    case 'q':
      return peft_tpl_float (c, float_floor_divide (a, b));
    case '%':
      return peft_tpl_float (c, float_modulo (a, b));
    default:
      if ((a == 0 && b < 0) || (a < 0 && isfinite (a) && isfinite (b) && b != floor (b)))
        return peft_tpl_fail (c, _ ("the power has no real value"));
      if (isinf (pow (a, b)) && isfinite (a) && isfinite (b))
        return peft_tpl_fail (c, _ ("the power is too large"));
      return peft_tpl_float (c, pow (a, b));
    }
}

PeftTplValue *
peft_tpl_binary (PeftTplContext *c, char op, PeftTplValue *a, PeftTplValue *b)
{
  const char *shown = op == 'q' ? "//" : op == '^' ? "**" : NULL;
  char single[2] = { op, '\0' };
  gint64 times;

  if (op == '%' && a->kind == PEFT_TPL_STRING)
    return peft_tpl_format_percent (c, a, b);
  if (peft_tpl_is_number (a) && peft_tpl_is_number (b))
    {
      if (a->kind == PEFT_TPL_FLOAT || b->kind == PEFT_TPL_FLOAT)
        return float_binary (c, op, peft_tpl_get_number (a), peft_tpl_get_number (b));
      return integer_binary (c, op, a->kind == PEFT_TPL_INTEGER ? a->integer : a->boolean != 0,
                             b->kind == PEFT_TPL_INTEGER ? b->integer : b->boolean != 0);
    }
  if (op == '*')
    for (guint i = 0; i < 2; i++)
      {
        PeftTplValue *x = i == 0 ? a : b, *y = i == 0 ? b : a;
        if ((x->kind == PEFT_TPL_STRING || x->kind == PEFT_TPL_LIST || x->kind == PEFT_TPL_TUPLE)
            && (y->kind == PEFT_TPL_INTEGER || y->kind == PEFT_TPL_BOOLEAN))
          return peft_tpl_get_integer (c, y, &times) ? repeat (c, x, times) : NULL;
      }
  return fail_operands (c, shown != NULL ? shown : single, a, b);
}

PeftTplValue *
peft_tpl_negate (PeftTplContext *c, PeftTplValue *a, gboolean negative)
{
  if (a->kind == PEFT_TPL_FLOAT)
    return negative ? peft_tpl_float (c, -a->number) : a;
  if (!peft_tpl_is_number (a))
    return peft_tpl_fail_kind (c, a, _ ("a number"));
  gint64 value = a->kind == PEFT_TPL_INTEGER ? a->integer : a->boolean != 0;
  if (negative && value == G_MININT64)
    return fail_overflow (c);
  return peft_tpl_integer (c, negative ? -value : value);
}

/* --- attributes and subscripts --- */

static PeftTplValue *
method_of (PeftTplContext *c, PeftTplValue *object, PeftTplValue *name)
{
  gboolean refused = FALSE;
  const PeftTplBuiltin *row
      = peft_tpl_find_method (object->kind, name->string.text, name->string.length, &refused);
  PeftTplValue *method;

  if (refused)
    return peft_tpl_fail_code (c, PEFT_ERROR_UNSUPPORTED, _ ("“%s.%.*s” is not supported"),
                               peft_tpl_type_name (object), (int) name->string.length,
                               name->string.text);
  if (row == NULL)
    return NULL;
  if (row->call == NULL)
    return peft_tpl_undefined_hint (c, _ ("a method that would change its object cannot be used"));
  method = peft_tpl_dict (c, PEFT_TPL_METHOD);
  method->method.self = object;
  method->method.row = row;
  return method;
}

/* What Python's getattr () finds, or NULL. */
static PeftTplValue *
python_attribute (PeftTplContext *c, PeftTplValue *object, PeftTplValue *name)
{
  if (object->kind == PEFT_TPL_NAMESPACE)
    return peft_tpl_dict_get (c, object, name);
  if (object->kind == PEFT_TPL_LOOP)
    {
      g_autofree char *text = g_strndup (name->string.text, name->string.length);
      PeftTplValue *value = peft_tpl_loop_attribute (c, object, text);
      if (value != NULL)
        return value;
    }
  if (object->kind == PEFT_TPL_CYCLER && peft_tpl_is_text (name, "current"))
    return object->list.items[object->list.used];
  return method_of (c, object, name);
}

static PeftTplValue *
item_at (PeftTplContext *c, PeftTplValue *object, gint64 index, gsize n)
{
  if (index < 0)
    index += n;
  if (index < 0 || (guint64) index >= n)
    return NULL;
  if (object->kind == PEFT_TPL_RANGE)
    return peft_tpl_integer (c, object->range.start + index * object->range.step);
  if (object->kind != PEFT_TPL_STRING)
    return object->list.items[index];
  const char *at = object->string.text;
  gsize bytes = object->string.length;
  if (n != bytes) /* not ASCII */
    at = g_utf8_offset_to_pointer (at, index);
  else
    at += index;
  return peft_tpl_string_like (c, object, peft_tpl_string (c, at, g_utf8_next_char (at) - at));
}

static gint64
clamp_bound (gint64 value, gint64 n, gint64 low, gint64 high)
{
  if (value < 0)
    value = value < -n ? low : value + n;
  return CLAMP (value, low, high);
}

static gboolean
slice_bound (PeftTplContext *c, const PeftTplValue *value, gint64 *out)
{
  if (value == NULL || value->kind == PEFT_TPL_NONE)
    return TRUE;
  return peft_tpl_get_integer (c, value, out);
}

static PeftTplValue *
slice_string (PeftTplContext *c, PeftTplValue *object, gint64 start, gint64 step, gsize n)
{
  g_autoptr (GString) out = NULL;
  PeftTplValue **items;
  gsize total;

  if (step == 1)
    {
      const char *from = g_utf8_offset_to_pointer (object->string.text, start);
      const char *to = g_utf8_offset_to_pointer (from, n);
      return peft_tpl_string_like (c, object, peft_tpl_string (c, from, to - from));
    }
  if (!peft_tpl_iterate (c, object, &items, &total))
    return NULL;
  out = g_string_new (NULL);
  for (gsize i = 0; i < n; i++)
    {
      const PeftTplValue *item = items[start + (gint64) i * step];
      g_string_append_len (out, item->string.text, item->string.length);
    }
  return peft_tpl_string_like (c, object, peft_tpl_take (c, out));
}

static PeftTplValue *
slice (PeftTplContext *c, PeftTplValue *object, const PeftTplValue *key)
{
  gint64 step = 1, start, stop;
  gsize length, n;
  PeftTplValue **items;

  if (object->kind != PEFT_TPL_STRING && object->kind != PEFT_TPL_LIST && object->kind != PEFT_TPL_TUPLE
      && object->kind != PEFT_TPL_RANGE)
    return peft_tpl_fail_kind (c, object, _ ("something that can be sliced"));
  if (!peft_tpl_length (c, object, &length) || !slice_bound (c, key->slice.step, &step))
    return NULL;
  if (step == 0)
    return peft_tpl_fail (c, _ ("the step of a slice is zero"));
  step = MAX (step, -(gint64) PEFT_TEMPLATE_MAX_STRING_BYTES);
  step = MIN (step, (gint64) PEFT_TEMPLATE_MAX_STRING_BYTES);
  start = step > 0 ? 0 : G_MAXINT64;
  stop = step > 0 ? G_MAXINT64 : G_MININT64;
  if (!slice_bound (c, key->slice.start, &start) || !slice_bound (c, key->slice.stop, &stop))
    return NULL;
  start = clamp_bound (start, length, step > 0 ? 0 : -1, step > 0 ? (gint64) length : (gint64) length - 1);
  stop = clamp_bound (stop, length, step > 0 ? 0 : -1, step > 0 ? (gint64) length : (gint64) length - 1);
  n = step > 0 ? (start < stop ? (stop - start - 1) / step + 1 : 0)
               : (start > stop ? (start - stop - 1) / -step + 1 : 0);
  if (object->kind == PEFT_TPL_STRING)
    return slice_string (c, object, n > 0 ? start : 0, n > 0 ? step : 1, n);
  if (object->kind == PEFT_TPL_RANGE)
    {
      PeftTplValue *part = peft_tpl_dict (c, PEFT_TPL_RANGE);
      part->range.start = object->range.start + start * object->range.step;
      part->range.step = object->range.step * step;
      part->range.n = n;
      return part;
    }
  if (!peft_tpl_charge (c, n))
    return NULL;
  items = peft_tpl_new (c, PeftTplValue *, n);
  for (gsize i = 0; i < n; i++)
    items[i] = object->list.items[start + (gint64) i * step];
  return peft_tpl_list (c, object->kind, items, n);
}

/* What Python's object[key] gives, NULL where it would raise. */
static PeftTplValue *
python_item (PeftTplContext *c, PeftTplValue *object, PeftTplValue *key)
{
  gsize n;

  switch (object->kind)
    {
    case PEFT_TPL_DICT:
      return peft_tpl_dict_get (c, object, key);
    case PEFT_TPL_STRING:
    case PEFT_TPL_LIST:
    case PEFT_TPL_TUPLE:
    case PEFT_TPL_RANGE:
      if (key->kind == PEFT_TPL_INTEGER || key->kind == PEFT_TPL_BOOLEAN)
        return peft_tpl_length (c, object, &n)
                   ? item_at (c, object, key->kind == PEFT_TPL_INTEGER ? key->integer : key->boolean != 0,
                              n)
                   : NULL;
      return NULL;
    default:
      return NULL;
    }
}

static PeftTplValue *
undefined_unless_failed (PeftTplContext *c, PeftTplValue *object, PeftTplValue *name)
{
  return peft_tpl_failed (c) ? NULL : peft_tpl_undefined (c, object, name);
}

PeftTplValue *
peft_tpl_get_attribute (PeftTplContext *c, PeftTplValue *object, PeftTplValue *name)
{
  PeftTplValue *value;

  if (object->kind == PEFT_TPL_UNDEFINED)
    return peft_tpl_fail_undefined (c, object);
  value = python_attribute (c, object, name);
  if (value == NULL && !peft_tpl_failed (c))
    value = python_item (c, object, name);
  return value != NULL ? value : undefined_unless_failed (c, object, name);
}

PeftTplValue *
peft_tpl_get_item (PeftTplContext *c, PeftTplValue *object, PeftTplValue *key)
{
  PeftTplValue *value;

  if (object->kind == PEFT_TPL_UNDEFINED)
    return peft_tpl_fail_undefined (c, object);
  if (key->kind == PEFT_TPL_SLICE)
    return slice (c, object, key);
  value = python_item (c, object, key);
  if (value == NULL && !peft_tpl_failed (c) && key->kind == PEFT_TPL_STRING)
    value = python_attribute (c, object, key);
  return value != NULL ? value : undefined_unless_failed (c, object, key);
}
