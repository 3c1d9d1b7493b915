/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-template-value.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

/* Filters that give numbers, and default. */

#define FILTER(name)                                                                                      \
  static PeftTplValue *name (PeftTplContext *c, PeftTplValue *self, PeftTplValue **slots,                  \
                             const PeftTplArgs *args)

FILTER (default_filter)
{
  if (self->kind == PEFT_TPL_UNDEFINED
      || (slots[1] != NULL && peft_tpl_truth (slots[1]) && !peft_tpl_truth (self)))
    return slots[0] != NULL ? slots[0] : peft_tpl_string_static (c, "");
  return self;
}

FILTER (absolute)
{
  if (self->kind == PEFT_TPL_FLOAT)
    return peft_tpl_float (c, fabs (self->number));
  return peft_tpl_negate (c, self, peft_tpl_is_number (self) && peft_tpl_get_number (self) < 0);
}

/* int (text, base): NULL without an error when it is none. */
static PeftTplValue *
parse_integer (PeftTplContext *c, const PeftTplValue *text, gint64 base)
{
  PeftTplValue *stripped = peft_tpl_strip (c, (PeftTplValue *) text, NULL, TRUE, TRUE);
  g_autoptr (GString) digits = g_string_new (NULL);
  const char *at, *end;
  gboolean negative;
  char *stop;
  guint64 value;

  if (stripped == NULL)
    return NULL;
  at = stripped->string.text;
  end = at + stripped->string.length;
  negative = at < end && *at == '-';
  at += at < end && (*at == '-' || *at == '+');
  if (end - at > 2 && *at == '0' && base != 10)
    {
      char letter = g_ascii_tolower (at[1]);
      gint64 marked = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
      if (marked != 0 && (base == 0 || base == marked))
        {
          at += 2;
          base = marked;
        }
    }
  if (base == 0)
    base = 10;
  if (base < 2 || base > 36)
    return peft_tpl_fail (c, _ ("int: the base must be 0 or from 2 to 36"));
  for (const char *ch = at; ch < end; ch++)
    if (g_ascii_isalnum (*ch))
      g_string_append_c (digits, *ch);
    else if (*ch != '_' || ch == at || ch + 1 == end || ch[-1] == '_')
      return NULL;
  if (digits->len == 0)
    return NULL;
  errno = 0;
  value = g_ascii_strtoull (digits->str, &stop, (guint) base);
  if (*stop != '\0')
    return NULL;
  if (errno != 0 || value > (guint64) G_MAXINT64)
    return peft_tpl_fail_code (c, PEFT_ERROR_LIMIT, _ ("an integer is beyond 64 bits"));
  return peft_tpl_integer (c, negative ? -(gint64) value : (gint64) value);
}

FILTER (int_filter)
{
  PeftTplValue *fallback = slots[0] != NULL ? slots[0] : peft_tpl_integer (c, 0);
  const PeftTplValue *number = self;
  gint64 base = 10;

  if (self->kind == PEFT_TPL_UNDEFINED)
    return peft_tpl_fail_undefined (c, self);
  if (self->kind == PEFT_TPL_INTEGER || self->kind == PEFT_TPL_BIG)
    return self;
  if (self->kind == PEFT_TPL_BOOLEAN)
    return peft_tpl_integer (c, self->boolean ? 1 : 0);
  if (self->kind == PEFT_TPL_STRING)
    {
      PeftTplValue *value;
      if (slots[1] != NULL && !peft_tpl_get_integer (c, slots[1], &base))
        return NULL;
      value = parse_integer (c, self, base);
      if (value != NULL || peft_tpl_failed (c))
        return value;
      number = peft_tpl_parse_float (c, self);
    }
  if (number == NULL || number->kind != PEFT_TPL_FLOAT || !isfinite (number->number))
    return peft_tpl_failed (c) ? NULL : fallback;
  if (!(fabs (number->number) < 9223372036854775808.0))
    return peft_tpl_fail_code (c, PEFT_ERROR_LIMIT, _ ("an integer is beyond 64 bits"));
  return peft_tpl_integer (c, (gint64) number->number);
}

FILTER (float_filter)
{
  PeftTplValue *fallback = slots[0] != NULL ? slots[0] : peft_tpl_float (c, 0);
  PeftTplValue *value;

  if (self->kind == PEFT_TPL_UNDEFINED)
    return peft_tpl_fail_undefined (c, self);
  if (peft_tpl_is_number (self))
    return peft_tpl_float (c, peft_tpl_get_number (self));
  if (self->kind == PEFT_TPL_BIG)
    return peft_tpl_parse_float (c, self);
  if (self->kind != PEFT_TPL_STRING)
    return fallback;
  value = peft_tpl_parse_float (c, self);
  return value != NULL ? value : peft_tpl_failed (c) ? NULL : fallback;
}

/* To the nearest decimal, halves to even, as the exact value of the double has it. */
static double
round_decimal (double value, gint64 precision)
{
  char text[512];

  if (!isfinite (value) || precision > 100)
    return value;
  if (precision < 0)
    {
      double unit = pow (10, (double) MIN (-precision, 400));
      return isinf (unit) ? copysign (0, value) : nearbyint (value / unit) * unit;
    }
  char format[16];
  g_snprintf (format, sizeof format, "%%.%df", (int) precision);
  g_ascii_formatd (text, sizeof text, format, value);
  return g_ascii_strtod (text, NULL);
}

FILTER (round_filter)
{
  gint64 precision = 0;
  double unit, value;

  if (slots[0] != NULL && !peft_tpl_get_integer (c, slots[0], &precision))
    return NULL;
  if (!peft_tpl_is_number (self))
    return peft_tpl_fail_kind (c, self, _ ("a number"));
  if (slots[1] == NULL || peft_tpl_is_text (slots[1], "common"))
    {
      if (self->kind == PEFT_TPL_FLOAT)
        return peft_tpl_float (c, round_decimal (self->number, precision));
      if (precision < 0)
        return peft_tpl_fail_code (c, PEFT_ERROR_UNSUPPORTED,
                                   _ ("round: a negative precision of an integer is not supported"));
      return peft_tpl_negate (c, self, FALSE);
    }
  unit = pow (10, (double) precision);
  value = peft_tpl_get_number (self) * unit;
  if (!isfinite (value) || unit == 0)
    return peft_tpl_fail (c, _ ("round: the number is too large"));
  if (peft_tpl_is_text (slots[1], "ceil"))
    return peft_tpl_float (c, ceil (value) / unit);
  if (peft_tpl_is_text (slots[1], "floor"))
    return peft_tpl_float (c, floor (value) / unit);
  return peft_tpl_fail (c, _ ("round: the method must be “common”, “ceil” or “floor”"));
}

const PeftTplBuiltin peft_tpl_number_filters[] = {
  { "abs", absolute, "", 0 },
  { "d", default_filter, "default_value boolean", 0 },
  { "default", default_filter, "default_value boolean", 0 },
  { "float", float_filter, "default", 0 },
  { "int", int_filter, "default base", 0 },
  { "round", round_filter, "precision method", 0 },
  { NULL },
};
