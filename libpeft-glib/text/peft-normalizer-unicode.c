/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "text/peft-normalizer.h"

#include "text/peft-text-util.h"

/* Below this nothing decomposes canonically into a mark or joins what is before it. */
#define FIRST_MARK 0x300

/* May the text be cut in front of c, so that both sides normalise on their own? */
static gboolean
is_boundary (gunichar c)
{
  if (c < FIRST_MARK)
    return TRUE;
  /* Jamo that join the syllable before them, and what decomposes into such or into marks. */
  if ((c >= 0x1160 && c <= 0x11ff) || (c >= 0xd7b0 && c <= 0xd7ff) ||
      (c >= 0x3131 && c <= 0x318e) || (c >= 0xff9e && c <= 0xffdc))
    return FALSE;
  return !g_unichar_ismark (c) && g_unichar_combining_class (c) == 0;
}

/* Characters below this come out as they are, unless a mark follows. */
static gunichar
first_changing (GNormalizeMode mode)
{
  return mode == G_NORMALIZE_NFC ? FIRST_MARK : 0x80;
}

/* Characters from text on that no form changes; the last before something else is left out, which
 * may join it. NUL stays in here, where g_utf8_normalize would stop. */
static gsize
inert_length (GNormalizeMode mode, const char *text, gsize length)
{
  gunichar limit = first_changing (mode);
  gsize last = 0;

  for (gsize i = 0; i < length; i += peft_text_char_length (text + i))
    {
      if (g_utf8_get_char (text + i) >= limit)
        return text[last] == 0 ? i : last;
      last = i;
    }
  return length;
}

/* What follows up to the next such character. */
static gsize
run_length (GNormalizeMode mode, const char *text, gsize length)
{
  gunichar limit = first_changing (mode);
  gsize i = peft_text_char_length (text);

  while (i < length && g_utf8_get_char (text + i) >= limit)
    i += peft_text_char_length (text + i);
  return i;
}

/* One run without NUL: first as a whole, which is fast, and cluster by cluster where something
 * changed and the spans have to be known. */
static void
normalize_run (GNormalizeMode mode, const PeftAlignedText *in, gsize start, gsize length,
               PeftAlignedText *out)
{
  const char *text = in->text->str + start;
  g_autofree char *whole = g_utf8_normalize (text, length, mode);
  gsize n = strlen (whole);
  gsize i = 0;

  if (!in->tracked)
    {
      g_string_append_len (out->text, whole, n);
      return;
    }
  if (n == length && memcmp (whole, text, n) == 0)
    {
      peft_aligned_text_append (out, in, start, length);
      return;
    }
  while (i < length)
    {
      gsize end = i + peft_text_char_length (text + i);
      g_autofree char *cluster = NULL;

      while (end < length && !is_boundary (g_utf8_get_char (text + end)))
        end += peft_text_char_length (text + end);
      cluster = g_utf8_normalize (text + i, end - i, mode);
      n = strlen (cluster);
      if (n == end - i && memcmp (cluster, text + i, n) == 0)
        peft_aligned_text_append (out, in, start + i, n);
      else
        peft_aligned_text_append_new (out, cluster, n,
                                      peft_aligned_text_get_span (in, start + i, start + end));
      i = end;
    }
}

void
peft_normalize_unicode (GNormalizeMode mode, PeftAlignedText **text)
{
  PeftAlignedText *in = *text;
  PeftAlignedText *out;

  if (inert_length (mode, in->text->str, in->text->len) == in->text->len)
    return;
  out = peft_aligned_text_new_from (in);
  for (gsize i = 0; i < in->text->len;)
    {
      gsize n = inert_length (mode, in->text->str + i, in->text->len - i);

      peft_aligned_text_append (out, in, i, n);
      i += n;
      if (i == in->text->len)
        break;
      n = run_length (mode, in->text->str + i, in->text->len - i);
      normalize_run (mode, in, i, n, out);
      i += n;
    }
  peft_aligned_text_free (in);
  *text = out;
}
