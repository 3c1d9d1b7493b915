/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-template-value.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* "%s" % values and "{}".format (values), and numbers out of text. */

#define MAX_PRECISION 100

typedef struct
{
  gboolean left, zero, plus, space, alternate;
  gint64 width;
  gint64 precision; /* -1: none */
} Field;

static gboolean
read_size (PeftTplContext *c, const char **at, const char *end, gint64 *out)
{
  for (; *at < end && g_ascii_isdigit (**at); (*at)++)
    {
      *out = MAX (*out, 0) * 10 + (**at - '0');
      if (!peft_tpl_check_string (c, *out))
        return FALSE;
    }
  return TRUE;
}

/* text, which starts with n_sign characters of sign, padded to the field's width. */
static gboolean
append_field (PeftTplContext *c, GString *out, const char *text, gsize length, const Field *field,
              gsize n_sign)
{
  gsize n = peft_tpl_count_chars (text, length);
  gsize missing = field->width > (gint64) n ? field->width - n : 0;

  if (!peft_tpl_check_string (c, out->len + length + missing)
      || !peft_tpl_charge (c, 1 + (length + missing) / 64))
    return FALSE;
  if (field->zero && !field->left)
    {
      g_string_append_len (out, text, n_sign);
      text += n_sign;
      length -= n_sign;
    }
  for (gsize i = 0; i < missing && !field->left; i++)
    g_string_append_c (out, field->zero ? '0' : ' ');
  g_string_append_len (out, text, length);
  for (gsize i = 0; i < missing && field->left; i++)
    g_string_append_c (out, ' ');
  return TRUE;
}

static gboolean
format_text (PeftTplContext *c, GString *out, char kind, PeftTplValue *value, Field *field)
{
  g_autoptr (GString) text = g_string_new (NULL);
  gsize length;

  if (kind == 's' ? !peft_tpl_append_text (c, text, value) : !peft_tpl_append_repr (c, text, value, 0))
    return FALSE;
  length = text->len;
  if (field->precision >= 0 && field->precision < (gint64) peft_tpl_count_chars (text->str, text->len))
    length = g_utf8_offset_to_pointer (text->str, field->precision) - text->str;
  field->zero = FALSE;
  return append_field (c, out, text->str, length, field, 0);
}

static gboolean
format_integer (PeftTplContext *c, GString *out, char kind, const PeftTplValue *value, const Field *field)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GString) digits = g_string_new (NULL);
  gint64 number;
  guint64 magnitude;

  if (value->kind == PEFT_TPL_FLOAT && strchr ("xXo", kind) == NULL)
    {
      if (!(fabs (value->number) < 9223372036854775808.0))
        return peft_tpl_fail_kind (c, value, _ ("an integer of 64 bits")) != NULL;
      number = (gint64) value->number;
    }
  else if (!peft_tpl_get_integer (c, value, &number))
    return FALSE;
  magnitude = number < 0 ? -(guint64) number : (guint64) number;
  g_string_append (text, number < 0 ? "-" : field->plus ? "+" : field->space ? " " : "");
  if (field->alternate && strchr ("xXo", kind) != NULL)
    g_string_append_printf (text, "0%c", kind);
  g_string_append_printf (digits,
                          kind == 'x'   ? "%" G_GINT64_MODIFIER "x"
                          : kind == 'X' ? "%" G_GINT64_MODIFIER "X"
                          : kind == 'o' ? "%" G_GINT64_MODIFIER "o"
                                        : "%" PRIu64,
                          magnitude);
  gsize n_sign = text->len;
  for (gint64 i = digits->len; i < field->precision; i++)
    g_string_append_c (text, '0');
  g_string_append_len (text, digits->str, digits->len);
  return append_field (c, out, text->str, text->len, field, n_sign);
}

static gboolean
format_float (PeftTplContext *c, GString *out, char kind, const PeftTplValue *value, const Field *field)
{
  char format[16], text[512];
  double number;

  if (!peft_tpl_is_number (value))
    return peft_tpl_fail_kind (c, value, _ ("a number")) != NULL;
  number = peft_tpl_get_number (value);
  g_snprintf (format, sizeof format, "%%%s%s%s.%d%c", field->plus ? "+" : "", field->space ? " " : "",
              field->alternate ? "#" : "", field->precision < 0 ? 6 : (int) field->precision, kind);
  g_ascii_formatd (text, sizeof text, format, number);
  return append_field (c, out, text, strlen (text), field,
                       strchr ("+- ", text[0]) != NULL && text[0] != '\0');
}

typedef struct
{
  PeftTplValue *values; /* what stands right of % */
  gsize next;
  gboolean used_name;
} Operands;

static PeftTplValue *
next_operand (PeftTplContext *c, Operands *operands)
{
  PeftTplValue *values = operands->values;
  gsize n = values->kind == PEFT_TPL_TUPLE ? values->list.n : 1;

  if (operands->next >= n)
    return peft_tpl_fail (c, _ ("not enough values for the format"));
  operands->next++;
  return values->kind == PEFT_TPL_TUPLE ? values->list.items[operands->next - 1] : values;
}

static PeftTplValue *
named_operand (PeftTplContext *c, Operands *operands, const char *name, gsize length)
{
  PeftTplValue *value;

  if (operands->values->kind != PEFT_TPL_DICT)
    return peft_tpl_fail_kind (c, operands->values, _ ("a mapping"));
  operands->used_name = TRUE;
  value = peft_tpl_dict_get (c, operands->values, peft_tpl_string (c, name, length));
  return value != NULL ? value
                       : peft_tpl_fail (c, _ ("there is no value “%.*s” for the format"), (int) length, name);
}

static gboolean
read_star (PeftTplContext *c, Operands *operands, gint64 *out)
{
  const PeftTplValue *value = next_operand (c, operands);
  return value != NULL && peft_tpl_get_integer (c, value, out)
         && peft_tpl_check_string (c, MAX (ABS (MAX (*out, -G_MAXINT32)), 0));
}

/* One conversion, from after its '%'; *at goes behind it. */
static gboolean
format_one (PeftTplContext *c, GString *out, const char **at, const char *end, Operands *operands)
{
  Field field = { .precision = -1 };
  PeftTplValue *value = NULL;
  char kind;

  if (*at < end && **at == '(')
    {
      const char *close = memchr (*at, ')', end - *at);
      if (close == NULL)
        return peft_tpl_fail (c, _ ("a format has no closing parenthesis")) != NULL;
      if ((value = named_operand (c, operands, *at + 1, close - *at - 1)) == NULL)
        return FALSE;
      *at = close + 1;
    }
  for (; *at < end && **at != '\0' && strchr ("-0+ #", **at) != NULL; (*at)++)
    {
      field.left |= **at == '-';
      field.zero |= **at == '0';
      field.plus |= **at == '+';
      field.space |= **at == ' ';
      field.alternate |= **at == '#';
    }
  if (*at < end && **at == '*')
    {
      (*at)++;
      if (!read_star (c, operands, &field.width))
        return FALSE;
      field.left |= field.width < 0;
      field.width = ABS (field.width);
    }
  else if (!read_size (c, at, end, &field.width))
    return FALSE;
  if (*at < end && **at == '.')
    {
      (*at)++;
      field.precision = 0;
      if (*at < end && **at == '*')
        {
          (*at)++;
          if (!read_star (c, operands, &field.precision))
            return FALSE;
          field.precision = MAX (field.precision, 0);
        }
      else if (!read_size (c, at, end, &field.precision))
        return FALSE;
    }
  if (*at == end)
    return peft_tpl_fail (c, _ ("a format is incomplete")) != NULL;
  kind = *(*at)++;
  if (kind == '%')
    {
      g_string_append_c (out, '%');
      return TRUE;
    }
  if (value == NULL && (value = next_operand (c, operands)) == NULL)
    return FALSE;
  if (strchr ("diuxXoeEfFgG", kind) != NULL && field.precision > MAX_PRECISION)
    return peft_tpl_fail_code (c, PEFT_ERROR_LIMIT, _ ("a format asks for more than %d digits"),
                               MAX_PRECISION)
           != NULL;
  if (kind == 's' || kind == 'r')
    return format_text (c, out, kind, value, &field);
  if (strchr ("diuxXo", kind) != NULL)
    return format_integer (c, out, kind, value, &field);
  if (strchr ("eEfFgG", kind) != NULL)
    return format_float (c, out, kind, value, &field);
  return peft_tpl_fail_code (c, PEFT_ERROR_UNSUPPORTED, _ ("the format “%%%c” is not supported"),
                             g_ascii_isprint (kind) ? kind : '?')
         != NULL;
}

PeftTplValue *
peft_tpl_format_percent (PeftTplContext *c, PeftTplValue *format, PeftTplValue *values)
{
  g_autoptr (GString) out = g_string_new (NULL);
  const char *at = format->string.text, *end = at + format->string.length;
  Operands operands = { .values = values };

  if (format->markup)
    return peft_tpl_fail_code (c, PEFT_ERROR_UNSUPPORTED, _ ("formatting of a safe string is not supported"));
  while (at < end)
    {
      const char *percent = memchr (at, '%', end - at);

      if (percent == NULL)
        percent = end;
      g_string_append_len (out, at, percent - at);
      at = percent;
      if (!peft_tpl_check_string (c, out->len)
          || (at < end && (at++, !format_one (c, out, &at, end, &operands))))
        return NULL;
    }
  /* Python lets be left over what has items, but for tuples and strings. */
  if ((values->kind == PEFT_TPL_TUPLE ? operands.next < values->list.n : operands.next == 0)
      && values->kind != PEFT_TPL_DICT && values->kind != PEFT_TPL_LIST && values->kind != PEFT_TPL_RANGE
      && values->kind != PEFT_TPL_UNDEFINED && !operands.used_name)
    return peft_tpl_fail (c, _ ("not all values of the format are used"));
  return peft_tpl_take (c, out);
}

/* --- {} --- */

static PeftTplValue *
brace_value (PeftTplContext *c, const char *name, gsize length, const PeftTplArgs *args, gint64 *next)
{
  gint64 index = 0;

  if (length == 0 || g_ascii_isdigit (*name))
    {
      const char *at = name;
      if (length == 0)
        index = (*next)++;
      else if (!read_size (c, &at, name + length, &index))
        return NULL;
      if (index < (gint64) args->n_positional && (length == 0 || at == name + length))
        return args->positional[index];
    }
  for (guint i = 0; i < args->n_named; i++)
    if (strlen (args->names[i]) == length && memcmp (args->names[i], name, length) == 0)
      return args->named[i];
  return peft_tpl_fail (c, _ ("format: there is no value for “{%.*s}”"), (int) MIN (length, 40), name);
}

/* Plain fields only: {}, {0} and {name}, perhaps with !r or !s. */
PeftTplValue *
peft_tpl_format_braces (PeftTplContext *c, PeftTplValue *format, const PeftTplArgs *args)
{
  g_autoptr (GString) out = g_string_new (NULL);
  const char *at = format->string.text, *end = at + format->string.length;
  gint64 next = 0;

  if (format->markup)
    return peft_tpl_fail_code (c, PEFT_ERROR_UNSUPPORTED, _ ("formatting of a safe string is not supported"));
  while (at < end)
    {
      const char *close;
      PeftTplValue *value;
      gsize length;
      gboolean as_repr;

      if (!peft_tpl_check_string (c, out->len) || !peft_tpl_charge (c, 1))
        return NULL;
      if (*at != '{' && *at != '}')
        {
          const char *start = at;
          while (at < end && *at != '{' && *at != '}')
            at++;
          g_string_append_len (out, start, at - start);
          continue;
        }
      if (at + 1 < end && at[1] == *at)
        {
          g_string_append_c (out, *at);
          at += 2;
          continue;
        }
      close = *at == '{' ? memchr (at, '}', end - at) : NULL;
      if (close == NULL)
        return peft_tpl_fail (c, _ ("format: a single brace"));
      length = close - at - 1;
      as_repr = length >= 2 && memcmp (close - 2, "!r", 2) == 0;
      if (as_repr || (length >= 2 && memcmp (close - 2, "!s", 2) == 0))
        length -= 2;
      for (const char *ch = at + 1; ch < at + 1 + length; ch++)
        if (strchr (":.[!{", *ch) != NULL)
          return peft_tpl_fail_code (c, PEFT_ERROR_UNSUPPORTED,
                                     _ ("format: only {}, {0} and {name} are supported"));
      value = brace_value (c, at + 1, length, args, &next);
      if (value == NULL
          || !(as_repr ? peft_tpl_append_repr (c, out, value, 0) : peft_tpl_append_text (c, out, value)))
        return NULL;
      at = close + 1;
    }
  return peft_tpl_take (c, out);
}

/* float (text): blanks around it, underscores between digits, inf and nan. */
PeftTplValue *
peft_tpl_parse_float (PeftTplContext *c, const PeftTplValue *text)
{
  PeftTplValue *stripped = peft_tpl_strip (c, (PeftTplValue *) text, NULL, TRUE, TRUE);
  g_autoptr (GString) digits = NULL;
  const char *at;
  char *end;
  double value;

  if (stripped == NULL || stripped->string.length == 0)
    return NULL;
  digits = g_string_new (NULL);
  for (gsize i = 0; i < stripped->string.length; i++)
    {
      at = stripped->string.text + i;
      if (*at == '\0')
        return NULL;
      if (*at != '_')
        g_string_append_c (digits, *at);
      else if (i == 0 || i + 1 == stripped->string.length || !g_ascii_isdigit (at[-1])
               || !g_ascii_isdigit (at[1]))
        return NULL;
    }
  at = digits->str + (*digits->str == '-' || *digits->str == '+');
  /* strtod () also takes hexadecimal, and a payload with nan. */
  if (!g_ascii_isdigit (*at) && *at != '.' && g_ascii_strcasecmp (at, "inf") != 0
      && g_ascii_strcasecmp (at, "infinity") != 0 && g_ascii_strcasecmp (at, "nan") != 0)
    return NULL;
  if (strpbrk (at, "xX") != NULL)
    return NULL;
  value = g_ascii_strtod (digits->str, &end);
  return *end == '\0' && end != digits->str ? peft_tpl_float (c, value) : NULL;
}
