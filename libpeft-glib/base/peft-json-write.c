/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/peft-json-private.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Significant digits, without point and trailing zeros, and the power of ten of the first. */
typedef struct
{
  char digits[20];
  int n;
  int exponent;
} Decimal;

static void
decimal_strip (Decimal *d)
{
  while (d->n > 1 && d->digits[d->n - 1] == '0')
    d->n--;
  d->digits[d->n] = '\0';
}

/* value > 0, correctly rounded to n digits. */
static void
decimal_from_double (Decimal *d, double value, int n)
{
  char text[40];
  char format[16];
  const char *p = text;

  g_snprintf (format, sizeof format, "%%.%de", n - 1);
  g_ascii_formatd (text, sizeof text, format, value);
  d->n = 0;
  for (; *p != 'e'; p++)
    if (*p != '.')
      d->digits[d->n++] = *p;
  d->exponent = atoi (p + 1);
}

static void
decimal_increment (Decimal *d)
{
  int i = d->n - 1;

  while (i >= 0 && d->digits[i] == '9')
    d->digits[i--] = '0';
  if (i >= 0)
    d->digits[i]++;
  else
    {
      d->digits[0] = '1';
      d->exponent++;
    }
}

static gboolean
decimal_is (const Decimal *d, double value)
{
  char text[40];

  g_snprintf (text, sizeof text, "%c.%.*se%d", d->digits[0], d->n - 1, d->digits + 1, d->exponent);
  return g_ascii_strtod (text, NULL) == value;
}

/* Shortest digits that read back as value > 0, the nearest of them. Below a power of two doubles lie
 * twice as close as above, so there a number rounded up can read back where the nearest does not. */
static void
decimal_shortest (Decimal *d, double value)
{
  int exponent;
  gboolean boundary = frexp (value, &exponent) == 0.5;

  /* A normal double that has a form of at most 15 digits has it as its 15-digit rounding. */
  for (int n = isnormal (value) ? 15 : 1; n < 17; n++)
    {
      decimal_from_double (d, value, n);
      if (decimal_is (d, value))
        return decimal_strip (d);
      if (boundary)
        {
          decimal_increment (d);
          if (decimal_is (d, value))
            return decimal_strip (d);
        }
    }
  decimal_from_double (d, value, 17);
  decimal_strip (d);
}

void
peft_json_append_double (GString *out, double value)
{
  Decimal d;

  if (isnan (value))
    {
      g_string_append (out, "NaN");
      return;
    }
  if (signbit (value))
    g_string_append_c (out, '-');
  value = fabs (value);
  if (isinf (value))
    {
      g_string_append (out, "Infinity");
      return;
    }
  if (value == 0.0)
    {
      g_string_append (out, "0.0");
      return;
    }

  decimal_shortest (&d, value);
  if (d.exponent < -4 || d.exponent >= 16)
    {
      g_string_append_c (out, d.digits[0]);
      if (d.n > 1)
        {
          g_string_append_c (out, '.');
          g_string_append (out, d.digits + 1);
        }
      g_string_append_printf (out, "e%c%02d", d.exponent < 0 ? '-' : '+', ABS (d.exponent));
    }
  else if (d.exponent < 0)
    {
      g_string_append (out, "0.");
      for (int i = -1; i > d.exponent; i--)
        g_string_append_c (out, '0');
      g_string_append (out, d.digits);
    }
  else
    {
      for (int i = 0; i <= d.exponent || i < d.n; i++)
        {
          if (i == d.exponent + 1)
            g_string_append_c (out, '.');
          g_string_append_c (out, i < d.n ? d.digits[i] : '0');
        }
      if (d.n <= d.exponent + 1)
        g_string_append (out, ".0");
    }
}

static void
append_unit (GString *out, guint unit)
{
  g_string_append_printf (out, "\\u%04x", unit);
}

static void
append_string (GString *out, const char *text, gsize length, gboolean ascii)
{
  const char *end = text + length;
  const char *start = text;

  g_string_append_c (out, '"');
  while (text < end)
    {
      guchar c = (guchar) *text;
      const char *run = text;
      const char *escape = NULL;

      if (c >= 0x20 && c != '"' && c != '\\' && (!ascii || c < 0x7f))
        {
          text++;
          continue;
        }
      g_string_append_len (out, start, run - start);
      switch (c)
        {
        case '"':
          escape = "\\\"";
          break;
        case '\\':
          escape = "\\\\";
          break;
        case '\b':
          escape = "\\b";
          break;
        case '\f':
          escape = "\\f";
          break;
        case '\n':
          escape = "\\n";
          break;
        case '\r':
          escape = "\\r";
          break;
        case '\t':
          escape = "\\t";
          break;
        default:
          break;
        }
      if (escape != NULL)
        g_string_append (out, escape);
      else if (c < 0x80)
        append_unit (out, c);
      else
        {
          gunichar u = g_utf8_get_char (text);

          if (u >= 0x10000)
            {
              append_unit (out, 0xd800 + ((u - 0x10000) >> 10));
              append_unit (out, 0xdc00 + ((u - 0x10000) & 0x3ff));
            }
          else
            append_unit (out, u);
        }
      text = c < 0x80 ? text + 1 : g_utf8_next_char (text);
      start = text;
    }
  g_string_append_len (out, start, end - start);
  g_string_append_c (out, '"');
}

static void
append_break (GString *out, PeftJsonWriteFlags flags, guint depth)
{
  if (flags & PEFT_JSON_WRITE_INDENT)
    {
      g_string_append_c (out, '\n');
      for (guint i = 0; i < depth; i++)
        g_string_append (out, "  ");
    }
}

static void
append_comma (GString *out, PeftJsonWriteFlags flags)
{
  g_string_append_c (out, ',');
  if ((flags & PEFT_JSON_WRITE_SPACED) && !(flags & PEFT_JSON_WRITE_INDENT))
    g_string_append_c (out, ' ');
}

/* Bytes of UTF-8 sort as their code points do. */
static int
compare_members (const void *a, const void *b)
{
  const PeftJsonMember *x = *(const PeftJsonMember *const *) a;
  const PeftJsonMember *y = *(const PeftJsonMember *const *) b;
  int order = memcmp (x->name, y->name, MIN (x->length, y->length));

  return order != 0 ? order : (x->length > y->length) - (x->length < y->length);
}

static void append_node (GString *out, const PeftJson *self, PeftJsonWriteFlags flags, guint depth);

static void
append_object (GString *out, const PeftJson *self, PeftJsonWriteFlags flags, guint depth)
{
  guint n = self->u.object.n;
  g_autofree const PeftJsonMember **members = g_new (const PeftJsonMember *, n);

  if (n == 0)
    {
      g_string_append (out, "{}");
      return;
    }
  for (guint i = 0; i < n; i++)
    members[i] = &self->u.object.items[i];
  if (flags & PEFT_JSON_WRITE_SORT_KEYS)
    qsort (members, n, sizeof *members, compare_members);
  g_string_append_c (out, '{');
  for (guint i = 0; i < n; i++)
    {
      if (i > 0)
        append_comma (out, flags);
      append_break (out, flags, depth + 1);
      append_string (out, members[i]->name, members[i]->length,
                     (flags & PEFT_JSON_WRITE_ASCII) != 0);
      g_string_append_c (out, ':');
      if (flags & (PEFT_JSON_WRITE_SPACED | PEFT_JSON_WRITE_INDENT))
        g_string_append_c (out, ' ');
      append_node (out, members[i]->value, flags, depth + 1);
    }
  append_break (out, flags, depth);
  g_string_append_c (out, '}');
}

static void
append_array (GString *out, const PeftJson *self, PeftJsonWriteFlags flags, guint depth)
{
  if (self->u.array.n == 0)
    {
      g_string_append (out, "[]");
      return;
    }
  g_string_append_c (out, '[');
  for (guint i = 0; i < self->u.array.n; i++)
    {
      if (i > 0)
        append_comma (out, flags);
      append_break (out, flags, depth + 1);
      append_node (out, self->u.array.items[i], flags, depth + 1);
    }
  append_break (out, flags, depth);
  g_string_append_c (out, ']');
}

static void
append_node (GString *out, const PeftJson *self, PeftJsonWriteFlags flags, guint depth)
{
  switch (self->kind)
    {
    case PEFT_JSON_NULL:
      g_string_append (out, "null");
      break;
    case PEFT_JSON_BOOLEAN:
      g_string_append (out, self->u.boolean ? "true" : "false");
      break;
    case PEFT_JSON_INT:
      g_string_append_printf (out, "%" PRIi64, self->u.integer);
      break;
    case PEFT_JSON_UINT:
      g_string_append_printf (out, "%" PRIu64, self->u.uinteger);
      break;
    case PEFT_JSON_DOUBLE:
      peft_json_append_double (out, self->u.number);
      break;
    case PEFT_JSON_BIG:
      g_string_append_len (out, self->u.text.bytes, self->u.text.length);
      break;
    case PEFT_JSON_STRING:
      append_string (out, self->u.text.bytes, self->u.text.length,
                     (flags & PEFT_JSON_WRITE_ASCII) != 0);
      break;
    case PEFT_JSON_ARRAY:
      append_array (out, self, flags, depth);
      break;
    case PEFT_JSON_OBJECT:
      append_object (out, self, flags, depth);
      break;
    default:
      g_assert_not_reached ();
    }
}

char *
peft_json_to_string (const PeftJson *self, PeftJsonWriteFlags flags)
{
  GString *out = g_string_new (NULL);

  append_node (out, self, flags, 0);
  return g_string_free (out, FALSE);
}
