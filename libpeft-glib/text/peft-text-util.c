/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "text/peft-text-util.h"

gboolean
peft_text_is_space (gunichar c)
{
  if (c < 0x80)
    return c == ' ' || (c >= 9 && c <= 13);
  if (c == 0x85)
    return TRUE;
  switch (g_unichar_type (c))
    {
    case G_UNICODE_SPACE_SEPARATOR:
    case G_UNICODE_LINE_SEPARATOR:
    case G_UNICODE_PARAGRAPH_SEPARATOR:
      return TRUE;
    default:
      return FALSE;
    }
}

gboolean
peft_text_is_word (gunichar c)
{
  if (c < 0x80)
    return g_ascii_isalnum (c) || c == '_';
  /* Symbols with the property Other_Alphabetic, and Join_Control. */
  if ((c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) ||
      (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189) || c == 0x200c ||
      c == 0x200d)
    return TRUE;
  switch (g_unichar_type (c))
    {
    case G_UNICODE_LOWERCASE_LETTER:
    case G_UNICODE_MODIFIER_LETTER:
    case G_UNICODE_OTHER_LETTER:
    case G_UNICODE_TITLECASE_LETTER:
    case G_UNICODE_UPPERCASE_LETTER:
    case G_UNICODE_SPACING_MARK:
    case G_UNICODE_ENCLOSING_MARK:
    case G_UNICODE_NON_SPACING_MARK:
    case G_UNICODE_DECIMAL_NUMBER:
    case G_UNICODE_LETTER_NUMBER:
    case G_UNICODE_CONNECT_PUNCTUATION:
      return TRUE;
    default:
      return FALSE;
    }
}

gboolean
peft_text_is_numeric (gunichar c)
{
  GUnicodeType type;

  if (c < 0x80)
    return g_ascii_isdigit (c);
  type = g_unichar_type (c);
  return type == G_UNICODE_DECIMAL_NUMBER || type == G_UNICODE_LETTER_NUMBER ||
         type == G_UNICODE_OTHER_NUMBER;
}

gboolean
peft_text_is_punctuation (gunichar c)
{
  if (c < 0x80)
    return g_ascii_ispunct (c);
  switch (g_unichar_type (c))
    {
    case G_UNICODE_CONNECT_PUNCTUATION:
    case G_UNICODE_DASH_PUNCTUATION:
    case G_UNICODE_CLOSE_PUNCTUATION:
    case G_UNICODE_FINAL_PUNCTUATION:
    case G_UNICODE_INITIAL_PUNCTUATION:
    case G_UNICODE_OTHER_PUNCTUATION:
    case G_UNICODE_OPEN_PUNCTUATION:
      return TRUE;
    default:
      return FALSE;
    }
}

/* Length of the sequence at p: > 0 whole and valid; < 0 broken after -n bytes; 0 valid so far but
 * the text ends. Ranges of second bytes: Unicode standard, table 3-7. */
static int
scan_sequence (const guint8 *p, gsize length)
{
  guint8 low = 0x80, high = 0xbf;
  int n;

  if (p[0] < 0x80)
    return 1;
  if (p[0] < 0xc2 || p[0] > 0xf4)
    return -1;
  n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
  if (p[0] == 0xe0)
    low = 0xa0;
  else if (p[0] == 0xed)
    high = 0x9f;
  else if (p[0] == 0xf0)
    low = 0x90;
  else if (p[0] == 0xf4)
    high = 0x8f;
  for (int i = 1; i < n; i++)
    {
      if ((gsize) i >= length)
        return 0;
      if (p[i] < low || p[i] > high)
        return -i;
      low = 0x80;
      high = 0xbf;
    }
  return n;
}

gboolean
peft_text_is_utf8 (const char *text, gsize length)
{
  const guint8 *p = (const guint8 *) text;
  gsize i = 0;

  while (i < length)
    {
      int n;

      if (p[i] < 0x80)
        {
          i++;
          continue;
        }
      n = scan_sequence (p + i, length - i);
      if (n <= 0)
        return FALSE;
      i += n;
    }
  return TRUE;
}

gsize
peft_text_append_lossy (GString *out, const guint8 *bytes, gsize length, gboolean final)
{
  gsize start = 0, i = 0;

  while (i < length)
    {
      int n = scan_sequence (bytes + i, length - i);

      if (n > 0)
        {
          i += n;
          continue;
        }
      g_string_append_len (out, (const char *) bytes + start, i - start);
      start = i;
      if (n == 0 && !final)
        return i;
      g_string_append (out, "\xef\xbf\xbd");
      i = n == 0 ? length : i + (gsize) -n;
      start = i;
    }
  g_string_append_len (out, (const char *) bytes + start, length - start);
  return length;
}
