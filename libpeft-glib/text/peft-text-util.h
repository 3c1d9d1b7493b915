/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <string.h>

/* The White_Space property, which is \s of the regular expressions of tokenizer.json files. */
gboolean peft_text_is_space (gunichar c);
/* \w: Alphabetic, marks, decimal digits, connectors; Join_Control where the caller wants it. */
gboolean peft_text_is_word (gunichar c);
gboolean peft_text_is_numeric (gunichar c);     /* Nd, Nl, No */
gboolean peft_text_is_punctuation (gunichar c); /* P*, and ASCII punctuation of S* */

/* Like g_utf8_validate, but NUL is a character. */
gboolean peft_text_is_utf8 (const char *text, gsize length);

/* Appends what is UTF-8 of bytes; each maximal broken part becomes U+FFFD. A sequence that only lacks
 * its end is left over unless `final`. Returns the bytes consumed. */
gsize peft_text_append_lossy (GString *out, const guint8 *bytes, gsize length, gboolean final);

/* Bytes of the character at p, which is valid UTF-8. */
static inline gsize
peft_text_char_length (const char *p)
{
  guint8 c = (guint8) *p;
  return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

static inline guint64
peft_text_hash (const char *text, gsize length)
{
  guint64 h = length * 0x9e3779b97f4a7c15u;

  while (length >= 8)
    {
      guint64 v;
      memcpy (&v, text, 8);
      h = (h ^ v) * 0xff51afd7ed558ccdu;
      h ^= h >> 32;
      text += 8;
      length -= 8;
    }
  if (length > 0)
    {
      guint64 v = 0;
      memcpy (&v, text, length);
      h = (h ^ v) * 0xff51afd7ed558ccdu;
      h ^= h >> 32;
    }
  h *= 0xc4ceb9fe1a85ec53u;
  return h ^ (h >> 29);
}
