/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-template-value.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* What filters and methods of strings share. Case mapping never follows the locale. */

/* The characters of str.isspace (). */
gboolean
peft_tpl_is_space (gunichar ch)
{
  return (ch >= 0x09 && ch <= 0x0d) || (ch >= 0x1c && ch <= 0x20) || ch == 0x85 || ch == 0xa0
         || ch == 0x1680 || (ch >= 0x2000 && ch <= 0x200a) || ch == 0x2028 || ch == 0x2029
         || ch == 0x202f || ch == 0x205f || ch == 0x3000;
}

gsize
peft_tpl_count_chars (const char *text, gsize length)
{
  gsize n = 0;

  for (gsize i = 0; i < length; i++)
    n += ((guchar) text[i] & 0xc0) != 0x80;
  return n;
}

static gboolean
is_stripped (gunichar ch, const PeftTplValue *chars)
{
  char text[6];
  int n;

  if (chars == NULL)
    return peft_tpl_is_space (ch);
  n = g_unichar_to_utf8 (ch, text);
  return chars->string.length > 0
         && memmem (chars->string.text, chars->string.length, text, n) != NULL;
}

PeftTplValue *
peft_tpl_strip (PeftTplContext *c, PeftTplValue *text, PeftTplValue *chars, gboolean left, gboolean right)
{
  const char *start = text->string.text, *end = start + text->string.length;

  if (chars != NULL && chars->kind == PEFT_TPL_NONE)
    chars = NULL;
  if (chars != NULL && !peft_tpl_get_string (c, chars))
    return NULL;
  /* Each character may look through all of chars. */
  if (!peft_tpl_charge (c, text->string.length / 64 * (chars != NULL ? 1 + chars->string.length / 64 : 1)))
    return NULL;
  while (left && start < end && is_stripped (g_utf8_get_char (start), chars))
    start = g_utf8_next_char (start);
  while (right && end > start)
    {
      const char *before = g_utf8_prev_char (end);
      if (!is_stripped (g_utf8_get_char (before), chars))
        break;
      end = before;
    }
  return peft_tpl_string_like (c, text, peft_tpl_string (c, start, end - start));
}

PeftTplValue *
peft_tpl_replace (PeftTplContext *c, PeftTplValue *text, PeftTplValue *old, PeftTplValue *new_text,
                  gint64 count)
{
  g_autoptr (GString) out = g_string_new (NULL);
  const char *at = text->string.text, *end = at + text->string.length;

  for (gint64 done = 0; count < 0 || done < count; done++)
    {
      const char *found;

      if (old->string.length == 0)
        { /* before every character, and at the end */
          if (done > 0)
            {
              const char *next;
              if (at == end)
                break;
              next = g_utf8_next_char (at);
              g_string_append_len (out, at, next - at);
              at = next;
            }
        }
      else
        {
          found = at < end ? memmem (at, end - at, old->string.text, old->string.length) : NULL;
          if (found == NULL)
            break;
          g_string_append_len (out, at, found - at);
          at = found + old->string.length;
        }
      if (!peft_tpl_charge (c, 1) || !peft_tpl_check_string (c, out->len + new_text->string.length))
        return NULL;
      g_string_append_len (out, new_text->string.text, new_text->string.length);
    }
  g_string_append_len (out, at, end - at);
  return peft_tpl_string_like (c, text, peft_tpl_take (c, out));
}

static void
append_upper (GString *out, gunichar ch)
{
  char text[7] = { 0 };
  g_autofree char *upper = NULL;

  if (ch < 0x80)
    {
      g_string_append_c (out, g_ascii_toupper (ch));
      return;
    }
  g_unichar_to_utf8 (ch, text);
  upper = g_utf8_strup (text, -1); /* knows mappings to several characters */
  g_string_append (out, upper);
}

/* Sigma is written differently where a word ends. */
static gboolean
is_final (const char *start, const char *at, const char *end)
{
  const char *next = g_utf8_next_char (at);
  gboolean after_letter = at > start && g_unichar_isalpha (g_utf8_get_char (g_utf8_prev_char (at)));

  return after_letter && (next >= end || !g_unichar_isalpha (g_utf8_get_char (next)));
}

static void
append_lower (GString *out, const char *start, const char *at, const char *end)
{
  gunichar ch = g_utf8_get_char (at);

  if (ch == 0x130)
    g_string_append (out, "i\xcc\x87");
  else if (ch == 0x3a3)
    g_string_append_unichar (out, is_final (start, at, end) ? 0x3c2 : 0x3c3);
  else
    g_string_append_unichar (out, g_unichar_tolower (ch));
}

static void
append_title (GString *out, gunichar ch)
{
  gunichar title = g_unichar_totitle (ch);
  gsize length = out->len;

  if (title != ch || !g_unichar_islower (ch))
    {
      g_string_append_unichar (out, title);
      return;
    }
  append_upper (out, ch); /* a letter like ß: its capital is two, of which the second stays small */
  g_autofree char *upper = g_strdup (out->str + length);
  g_string_truncate (out, length);
  g_string_append_unichar (out, g_utf8_get_char (upper));
  for (const char *rest = g_utf8_next_char (upper); *rest != '\0'; rest = g_utf8_next_char (rest))
    g_string_append_unichar (out, g_unichar_tolower (g_utf8_get_char (rest)));
}

/* mode: 'u'pper, 'l'ower, 'c'apitalize, 't'itle, 's'wapcase. */
PeftTplValue *
peft_tpl_change_case (PeftTplContext *c, PeftTplValue *text, char mode)
{
  g_autoptr (GString) out = g_string_sized_new (text->string.length);
  const char *start = text->string.text, *end = start + text->string.length;
  gboolean in_word = FALSE;

  if (!peft_tpl_charge (c, text->string.length / 16))
    return NULL;
  for (const char *at = start; at < end; at = g_utf8_next_char (at))
    {
      gunichar ch = g_utf8_get_char (at);
      gboolean is_cased = g_unichar_isupper (ch) || g_unichar_islower (ch) || g_unichar_istitle (ch);

      if (mode == 'u' || (mode == 's' && g_unichar_islower (ch)))
        append_upper (out, ch);
      else if (mode == 'l' || (mode == 's' && g_unichar_isupper (ch)) || (mode == 'c' && at > start)
               || (mode == 't' && in_word))
        append_lower (out, start, at, end);
      else if (mode == 's')
        g_string_append_unichar (out, ch);
      else
        append_title (out, ch);
      in_word = is_cased;
    }
  return peft_tpl_string_like (c, text, peft_tpl_take (c, out));
}

PeftTplValue *
peft_tpl_join (PeftTplContext *c, PeftTplValue *separator, PeftTplValue **items, gsize n)
{
  g_autoptr (GString) out = g_string_new (NULL);

  for (gsize i = 0; i < n; i++)
    if ((i > 0 && !peft_tpl_append_text (c, out, separator)) || !peft_tpl_append_text (c, out, items[i])
        || !peft_tpl_charge (c, 1))
      return NULL;
  return peft_tpl_take (c, out);
}

/* where: 'l' puts the text left, 'r' right, 'c' in the middle. */
PeftTplValue *
peft_tpl_pad (PeftTplContext *c, PeftTplValue *text, gint64 width, PeftTplValue *fill, char where)
{
  g_autoptr (GString) out = NULL;
  gint64 n = peft_tpl_count_chars (text->string.text, text->string.length);
  gint64 missing, left;

  if (fill != NULL
      && (fill->kind != PEFT_TPL_STRING
          || peft_tpl_count_chars (fill->string.text, fill->string.length) != 1))
    return peft_tpl_fail_kind (c, fill, _ ("one character"));
  if (width <= n)
    return text;
  missing = width - n;
  if (!peft_tpl_check_string (c, (gsize) MIN (missing, G_MAXINT32) * (fill != NULL ? fill->string.length : 1))
      || !peft_tpl_charge (c, missing / 64))
    return NULL;
  left = where == 'l' ? 0 : where == 'r' ? missing : missing / 2 + (missing & width & 1);
  out = g_string_new (NULL);
  for (gint64 i = 0; i < missing + 1; i++)
    {
      if (i == left)
        g_string_append_len (out, text->string.text, text->string.length);
      if (i == missing)
        break;
      if (fill != NULL)
        g_string_append_len (out, fill->string.text, fill->string.length);
      else
        g_string_append_c (out, ' ');
    }
  return peft_tpl_string_like (c, text, peft_tpl_take (c, out));
}

static gboolean
is_line_end (gunichar ch)
{
  return (ch >= 0x0a && ch <= 0x0d) || (ch >= 0x1c && ch <= 0x1e) || ch == 0x85 || ch == 0x2028
         || ch == 0x2029;
}

GPtrArray *
peft_tpl_split_lines (PeftTplContext *c, PeftTplValue *text, gboolean keep_ends)
{
  g_autoptr (GPtrArray) lines = g_ptr_array_new ();
  const char *at = text->string.text, *end = at + text->string.length;

  while (at < end)
    {
      const char *stop = at, *next;

      while (stop < end && !is_line_end (g_utf8_get_char (stop)))
        stop = g_utf8_next_char (stop);
      next = stop < end ? g_utf8_next_char (stop) : stop;
      if (stop < end && *stop == '\r' && next < end && *next == '\n')
        next++;
      if (!peft_tpl_charge (c, 1 + (next - at) / 64) || !peft_tpl_check_items (c, lines->len))
        return NULL;
      g_ptr_array_add (lines, peft_tpl_string_like (
                                  c, text, peft_tpl_string (c, at, (keep_ends ? next : stop) - at)));
      at = next;
    }
  return g_steal_pointer (&lines);
}
