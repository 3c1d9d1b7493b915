/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-template-value.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* Filters that give text. Most take anything and look at its text, as in Jinja2. */

#define FILTER(name)                                                                                      \
  static PeftTplValue *name (PeftTplContext *c, PeftTplValue *self, PeftTplValue **slots,                  \
                             const PeftTplArgs *args)

static PeftTplValue *
change_case (PeftTplContext *c, PeftTplValue *self, char mode)
{
  PeftTplValue *text = peft_tpl_to_text (c, self);
  return text != NULL ? peft_tpl_change_case (c, text, mode) : NULL;
}

FILTER (upper)
{
  return change_case (c, self, 'u');
}

FILTER (lower)
{
  return change_case (c, self, 'l');
}

FILTER (capitalize)
{
  return change_case (c, self, 'c');
}

/* Unlike the method, words end at blanks, hyphens and opening brackets only. */
FILTER (title)
{
  PeftTplValue *text = peft_tpl_to_text (c, self), *word;
  g_autoptr (GString) out = g_string_new (NULL);
  const char *at, *end;

  if (text == NULL)
    return NULL;
  at = text->string.text;
  end = at + text->string.length;
  while (at < end)
    {
      const char *start = at;
      gunichar ch = g_utf8_get_char (at);
      gboolean is_word = FALSE;

      while (at < end && !peft_tpl_is_space (ch = g_utf8_get_char (at))
             && !(ch < 0x80 && ch != 0 && strchr ("-({[<", (int) ch) != NULL))
        {
          at = g_utf8_next_char (at);
          is_word = TRUE;
        }
      if (!is_word)
        {
          at = g_utf8_next_char (at);
          g_string_append_len (out, start, at - start);
          continue;
        }
      /* The first letter is a capital, not a title letter. */
      const char *rest = g_utf8_next_char (start);
      word = peft_tpl_change_case (c, peft_tpl_string (c, start, rest - start), 'u');
      if (word == NULL || !peft_tpl_append_text (c, out, word))
        return NULL;
      word = peft_tpl_change_case (c, peft_tpl_string (c, rest, at - rest), 'l');
      if (word == NULL || !peft_tpl_append_text (c, out, word))
        return NULL;
    }
  return peft_tpl_take (c, out);
}

FILTER (trim)
{
  PeftTplValue *text = peft_tpl_to_text (c, self);
  return text != NULL ? peft_tpl_strip (c, text, slots[0], TRUE, TRUE) : NULL;
}

FILTER (string)
{
  return peft_tpl_to_text (c, self);
}

FILTER (replace)
{
  PeftTplValue *text = peft_tpl_to_text (c, self), *old = peft_tpl_to_text (c, slots[0]);
  PeftTplValue *new_text = peft_tpl_to_text (c, slots[1]), *result;
  gint64 count = -1;

  if (text == NULL || old == NULL || new_text == NULL
      || (slots[2] != NULL && slots[2]->kind != PEFT_TPL_NONE
          && !peft_tpl_get_integer (c, slots[2], &count)))
    return NULL;
  if ((result = peft_tpl_replace (c, text, old, new_text, count)) != NULL)
    result->markup = FALSE;
  return result;
}

FILTER (safe)
{
  PeftTplValue *text = peft_tpl_to_text (c, self);

  if (text == NULL)
    return NULL;
  text = peft_tpl_string (c, text->string.text, text->string.length);
  text->markup = TRUE;
  return text;
}

FILTER (escape)
{
  return peft_tpl_escape (c, self);
}

FILTER (force_escape)
{
  PeftTplValue *text = peft_tpl_to_text (c, self);
  return text != NULL ? peft_tpl_escape (c, peft_tpl_string (c, text->string.text, text->string.length))
                      : NULL;
}

static PeftTplValue *
indentation (PeftTplContext *c, PeftTplValue *width)
{
  gint64 n = 4;

  if (width != NULL && width->kind == PEFT_TPL_STRING)
    return width;
  if (width != NULL && !peft_tpl_get_integer (c, width, &n))
    return NULL;
  return peft_tpl_pad (c, peft_tpl_string_static (c, ""), n, NULL, 'l');
}

FILTER (indent)
{
  gboolean first = slots[1] != NULL && peft_tpl_truth (slots[1]);
  gboolean blank = slots[2] != NULL && peft_tpl_truth (slots[2]);
  PeftTplValue *width = indentation (c, slots[0]);
  g_autoptr (GString) out = NULL;
  g_autoptr (GPtrArray) lines = NULL;
  PeftTplValue *result;

  if (width == NULL || !peft_tpl_get_string (c, self))
    return NULL;
  if (self->markup && (width = peft_tpl_escape (c, peft_tpl_string (c, width->string.text,
                                                                   width->string.length))) == NULL)
    return NULL;
  /* A newline at the end counts as the start of one more, empty line. */
  lines = peft_tpl_split_lines (
      c, peft_tpl_add (c, peft_tpl_string (c, self->string.text, self->string.length),
                       peft_tpl_string_static (c, "\n")),
      FALSE);
  if (lines == NULL)
    return NULL;
  out = g_string_new (NULL);
  for (guint i = 0; i < lines->len; i++)
    {
      const PeftTplValue *line = lines->pdata[i];
      gboolean indented = i == 0 ? first : blank || line->string.length > 0;

      if (i > 0)
        g_string_append_c (out, '\n');
      if ((indented && !peft_tpl_append_text (c, out, width)) || !peft_tpl_append_text (c, out, line))
        return NULL;
    }
  result = peft_tpl_take (c, out);
  return peft_tpl_string_like (c, self, result);
}

FILTER (center)
{
  PeftTplValue *text = peft_tpl_to_text (c, self);
  gint64 width = 80;

  if (text == NULL || (slots[0] != NULL && !peft_tpl_get_integer (c, slots[0], &width)))
    return NULL;
  return peft_tpl_pad (c, text, width, NULL, 'c');
}

FILTER (format)
{
  PeftTplValue *text = peft_tpl_to_text (c, self), *values;

  if (text == NULL)
    return NULL;
  if (args->n_named > 0 && args->n_positional > 0)
    return peft_tpl_fail (c, _ ("format: positional and named arguments at the same time"));
  if (args->n_named == 0)
    return peft_tpl_format_percent (
        c, text, peft_tpl_list (c, PEFT_TPL_TUPLE, args->positional, args->n_positional));
  values = peft_tpl_dict (c, PEFT_TPL_DICT);
  for (guint i = 0; i < args->n_named; i++)
    if (!peft_tpl_dict_set (c, values, peft_tpl_string_static (c, args->names[i]), args->named[i]))
      return NULL;
  return peft_tpl_format_percent (c, text, values);
}

FILTER (truncate_filter)
{
  gint64 length = 255, leeway = 5;
  gboolean kill_words = slots[1] != NULL && peft_tpl_truth (slots[1]);
  PeftTplValue *end = slots[2] != NULL ? slots[2] : peft_tpl_string_static (c, "...");
  gsize n, n_end;
  const char *cut;

  if (!peft_tpl_length (c, self, &n) || !peft_tpl_get_string (c, end)
      || (slots[0] != NULL && !peft_tpl_get_integer (c, slots[0], &length))
      || (slots[3] != NULL && slots[3]->kind != PEFT_TPL_NONE && !peft_tpl_get_integer (c, slots[3], &leeway)))
    return NULL;
  n_end = peft_tpl_count_chars (end->string.text, end->string.length);
  if (length < (gint64) n_end || leeway < 0)
    return peft_tpl_fail (c, _ ("truncate: the length or the leeway is too small"));
  if ((gint64) n <= length || (gint64) n - length <= leeway)
    return self;
  if (!peft_tpl_get_string (c, self))
    return NULL;
  cut = g_utf8_offset_to_pointer (self->string.text, length - (gint64) n_end);
  if (!kill_words)
    {
      const char *space = cut > self->string.text ? memrchr (self->string.text, ' ', cut - self->string.text)
                                                  : NULL;
      cut = space != NULL ? space : cut;
    }
  return peft_tpl_add (
      c, peft_tpl_string_like (c, self, peft_tpl_string (c, self->string.text, cut - self->string.text)),
      end);
}

FILTER (word_count)
{
  PeftTplValue *text = peft_tpl_to_text (c, self);
  gboolean in_word = FALSE;
  gint64 n = 0;

  if (text == NULL || !peft_tpl_charge (c, text->string.length / 64))
    return NULL;
  for (const char *at = text->string.text; at < text->string.text + text->string.length;
       at = g_utf8_next_char (at))
    {
      gunichar ch = g_utf8_get_char (at);
      gboolean is_word = ch == '_' || g_unichar_isalnum (ch);
      n += is_word && !in_word;
      in_word = is_word;
    }
  return peft_tpl_integer (c, n);
}

static gboolean
is_url_safe (guchar byte)
{
  return g_ascii_isalnum (byte) || (byte != 0 && strchr ("_.-~/", byte) != NULL);
}

FILTER (url_encode)
{
  PeftTplValue *text = peft_tpl_to_text (c, self);
  g_autoptr (GString) out = g_string_new (NULL);

  if (self->kind != PEFT_TPL_STRING && peft_tpl_is_iterable (self) && self->kind != PEFT_TPL_UNDEFINED)
    return peft_tpl_fail_code (c, PEFT_ERROR_UNSUPPORTED, _ ("urlencode takes a string only"));
  if (text == NULL || !peft_tpl_check_string (c, text->string.length * 3))
    return NULL;
  for (gsize i = 0; i < text->string.length; i++)
    {
      guchar byte = text->string.text[i];
      if (is_url_safe (byte))
        g_string_append_c (out, byte);
      else
        g_string_append_printf (out, "%%%02X", byte);
    }
  return peft_tpl_take (c, out);
}

const PeftTplBuiltin peft_tpl_text_filters[] = {
  { "capitalize", capitalize, "", 0 },
  { "center", center, "width", 0 },
  { "e", escape, "", 0 },
  { "escape", escape, "", 0 },
  { "forceescape", force_escape, "", 0 },
  { "format", format, NULL, 0 },
  { "indent", indent, "width first blank", 0 },
  { "lower", lower, "", 0 },
  { "replace", replace, "old new count", 2 },
  { "safe", safe, "", 0 },
  { "string", string, "", 0 },
  { "title", title, "", 0 },
  { "tojson", peft_tpl_tojson, "ensure_ascii indent separators sort_keys", 0 },
  { "trim", trim, "chars", 0 },
  { "truncate", truncate_filter, "length killwords end leeway", 0 },
  { "upper", upper, "", 0 },
  { "urlencode", url_encode, "", 0 },
  { "wordcount", word_count, "", 0 },
  { NULL },
};
