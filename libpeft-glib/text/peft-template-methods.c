/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-template-value.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* Methods of strings, as Python has them. */

#define METHOD(name)                                                                                      \
  static PeftTplValue *name (PeftTplContext *c, PeftTplValue *self, PeftTplValue **slots,                  \
                             const PeftTplArgs *args)

static PeftTplValue *
part (PeftTplContext *c, const PeftTplValue *self, const char *start, const char *end)
{
  return peft_tpl_string_like (c, self, peft_tpl_string (c, start, end - start));
}

METHOD (upper)
{
  return peft_tpl_change_case (c, self, 'u');
}

METHOD (lower)
{
  return peft_tpl_change_case (c, self, 'l');
}

METHOD (capitalize)
{
  return peft_tpl_change_case (c, self, 'c');
}

METHOD (title)
{
  return peft_tpl_change_case (c, self, 't');
}

METHOD (swapcase)
{
  return peft_tpl_change_case (c, self, 's');
}

METHOD (casefold)
{
  g_autofree char *folded = g_utf8_casefold (self->string.text, self->string.length);
  return peft_tpl_string_like (c, self, peft_tpl_string_copy (c, folded, strlen (folded)));
}

METHOD (strip)
{
  return peft_tpl_strip (c, self, slots[0], TRUE, TRUE);
}

METHOD (lstrip)
{
  return peft_tpl_strip (c, self, slots[0], TRUE, FALSE);
}

METHOD (rstrip)
{
  return peft_tpl_strip (c, self, slots[0], FALSE, TRUE);
}

static gboolean
add_part (PeftTplContext *c, GPtrArray *parts, const PeftTplValue *self, const char *start, const char *end)
{
  g_ptr_array_add (parts, part (c, self, start, end));
  return peft_tpl_check_items (c, parts->len) && peft_tpl_charge (c, 1 + (end - start) / 64);
}

static gboolean
split_spaces (PeftTplContext *c, PeftTplValue *self, gint64 limit, GPtrArray *parts)
{
  const char *at = self->string.text, *end = at + self->string.length;

  while (TRUE)
    {
      const char *start;

      while (at < end && peft_tpl_is_space (g_utf8_get_char (at)))
        at = g_utf8_next_char (at);
      if (at == end)
        return TRUE;
      if (limit >= 0 && (gint64) parts->len == limit)
        return add_part (c, parts, self, at, end);
      start = at;
      while (at < end && !peft_tpl_is_space (g_utf8_get_char (at)))
        at = g_utf8_next_char (at);
      if (!add_part (c, parts, self, start, at))
        return FALSE;
    }
}

/* Parts come last first. */
static gboolean
split_spaces_right (PeftTplContext *c, PeftTplValue *self, gint64 limit, GPtrArray *parts)
{
  const char *start = self->string.text, *at = start + self->string.length;

  while (TRUE)
    {
      const char *end;

      while (at > start && peft_tpl_is_space (g_utf8_get_char (g_utf8_prev_char (at))))
        at = g_utf8_prev_char (at);
      if (at == start)
        return TRUE;
      if (limit >= 0 && (gint64) parts->len == limit)
        return add_part (c, parts, self, start, at);
      end = at;
      while (at > start && !peft_tpl_is_space (g_utf8_get_char (g_utf8_prev_char (at))))
        at = g_utf8_prev_char (at);
      if (!add_part (c, parts, self, at, end))
        return FALSE;
    }
}

/* The last place of needle in [start, end), or NULL; also when a limit was crossed. */
static const char *
find_last (PeftTplContext *c, const char *start, const char *end, const PeftTplValue *needle)
{
  gsize n = needle->string.length;

  if ((gsize) (end - start) < n)
    return NULL;
  for (const char *at = end - n; at >= start && peft_tpl_charge (c, n / 64); at--)
    if (n == 0 || memcmp (at, needle->string.text, n) == 0)
      return at;
  return NULL;
}

static const char *
find_first (const char *start, const char *end, const PeftTplValue *needle)
{
  return needle->string.length == 0 ? start
                                    : memmem (start, end - start, needle->string.text, needle->string.length);
}

static void
reverse (GPtrArray *parts)
{
  for (guint i = 0; i < parts->len / 2; i++)
    {
      gpointer other = parts->pdata[parts->len - 1 - i];
      parts->pdata[parts->len - 1 - i] = parts->pdata[i];
      parts->pdata[i] = other;
    }
}

static PeftTplValue *
split_any (PeftTplContext *c, PeftTplValue *self, PeftTplValue **slots, gboolean right)
{
  g_autoptr (GPtrArray) parts = g_ptr_array_new ();
  const char *start = self->string.text, *end = start + self->string.length;
  gint64 limit = -1;
  const char *found;

  if (slots[1] != NULL && !peft_tpl_get_integer (c, slots[1], &limit))
    return NULL;
  if (slots[0] == NULL || slots[0]->kind == PEFT_TPL_NONE)
    {
      if (!(right ? split_spaces_right (c, self, limit, parts) : split_spaces (c, self, limit, parts)))
        return NULL;
      if (right)
        reverse (parts);
      return peft_tpl_list_copy (c, PEFT_TPL_LIST, parts);
    }
  if (!peft_tpl_get_string (c, slots[0]))
    return NULL;
  if (slots[0]->string.length == 0)
    return peft_tpl_fail (c, _ ("split: the separator is empty"));
  while ((limit < 0 || (gint64) parts->len < limit) && start < end
         && (found = right ? find_last (c, start, end, slots[0]) : find_first (start, end, slots[0])) != NULL)
    {
      const char *after = found + slots[0]->string.length;
      if (!(right ? add_part (c, parts, self, after, end) : add_part (c, parts, self, start, found)))
        return NULL;
      if (right)
        end = found;
      else
        start = after;
    }
  if (peft_tpl_failed (c) || !add_part (c, parts, self, start, end))
    return NULL;
  if (right)
    reverse (parts);
  return peft_tpl_list_copy (c, PEFT_TPL_LIST, parts);
}

METHOD (split)
{
  return split_any (c, self, slots, FALSE);
}

METHOD (rsplit)
{
  return split_any (c, self, slots, TRUE);
}

METHOD (splitlines)
{
  g_autoptr (GPtrArray) lines
      = peft_tpl_split_lines (c, self, slots[0] != NULL && peft_tpl_truth (slots[0]));
  return lines != NULL ? peft_tpl_list_copy (c, PEFT_TPL_LIST, lines) : NULL;
}

static PeftTplValue *
partition_any (PeftTplContext *c, PeftTplValue *self, PeftTplValue *separator, gboolean right)
{
  const char *start = self->string.text, *end = start + self->string.length;
  const char *found;
  PeftTplValue **items;

  if (!peft_tpl_get_string (c, separator))
    return NULL;
  if (separator->string.length == 0)
    return peft_tpl_fail (c, _ ("partition: the separator is empty"));
  if (!peft_tpl_charge (c, self->string.length / 64))
    return NULL;
  items = peft_tpl_new (c, PeftTplValue *, 3);
  found = right ? find_last (c, start, end, separator) : find_first (start, end, separator);
  if (found == NULL)
    {
      const char *at = right ? start : end;
      items[0] = part (c, self, start, at);
      items[1] = part (c, self, at, at);
      items[2] = part (c, self, at, end);
    }
  else
    {
      items[0] = part (c, self, start, found);
      items[1] = part (c, self, found, found + separator->string.length);
      items[2] = part (c, self, found + separator->string.length, end);
    }
  return peft_tpl_list (c, PEFT_TPL_TUPLE, items, 3);
}

METHOD (partition)
{
  return partition_any (c, self, slots[0], FALSE);
}

METHOD (rpartition)
{
  return partition_any (c, self, slots[0], TRUE);
}

/* [start, end) of a method's optional bounds, in characters, as Python clamps them. FALSE with *valid
 * FALSE: the start lies behind the string, where nothing is found. */
static gboolean
get_range (PeftTplContext *c, const PeftTplValue *self, PeftTplValue **bounds, const char **start,
           const char **end, gint64 *offset, gboolean *valid)
{
  gint64 n, from = 0, to = G_MAXINT64;

  *start = self->string.text;
  *end = *start + self->string.length;
  *offset = 0;
  *valid = TRUE;
  if (!peft_tpl_charge (c, self->string.length / 64))
    return FALSE;
  if (bounds[0] == NULL && bounds[1] == NULL)
    return TRUE;
  n = peft_tpl_count_chars (self->string.text, self->string.length);
  if ((bounds[0] != NULL && bounds[0]->kind != PEFT_TPL_NONE && !peft_tpl_get_integer (c, bounds[0], &from))
      || (bounds[1] != NULL && bounds[1]->kind != PEFT_TPL_NONE && !peft_tpl_get_integer (c, bounds[1], &to)))
    return FALSE;
  from = from < 0 ? MAX (from + n, 0) : from;
  to = to < 0 ? MAX (to + n, 0) : MIN (to, n);
  if (from > n || from > to)
    {
      *valid = FALSE;
      return TRUE;
    }
  *offset = from;
  *end = g_utf8_offset_to_pointer (*start, to);
  *start = g_utf8_offset_to_pointer (*start, from);
  return TRUE;
}

/* The position of slots[0] in characters, -1 for none, -2 after an error. */
static gint64
find_any (PeftTplContext *c, PeftTplValue *self, PeftTplValue **slots, gboolean right)
{
  const char *start, *end, *found;
  gint64 offset;
  gboolean valid;

  if (!peft_tpl_get_string (c, slots[0]) || !get_range (c, self, slots + 1, &start, &end, &offset, &valid))
    return -2;
  if (!valid)
    return -1;
  found = right ? find_last (c, start, end, slots[0]) : find_first (start, end, slots[0]);
  return found != NULL ? offset + (gint64) peft_tpl_count_chars (start, found - start) : -1;
}

static PeftTplValue *
find_value (PeftTplContext *c, PeftTplValue *self, PeftTplValue **slots, gboolean right, gboolean required)
{
  gint64 position = find_any (c, self, slots, right);

  if (position == -2 || peft_tpl_failed (c))
    return NULL;
  if (position == -1 && required)
    return peft_tpl_fail (c, _ ("index: the substring is not found"));
  return peft_tpl_integer (c, position);
}

METHOD (find)
{
  return find_value (c, self, slots, FALSE, FALSE);
}

METHOD (rfind)
{
  return find_value (c, self, slots, TRUE, FALSE);
}

METHOD (string_index)
{
  return find_value (c, self, slots, FALSE, TRUE);
}

METHOD (rindex_method)
{
  return find_value (c, self, slots, TRUE, TRUE);
}

METHOD (string_count)
{
  const char *start, *end, *found;
  gint64 offset, n = 0;
  gboolean valid;

  if (!peft_tpl_get_string (c, slots[0]) || !get_range (c, self, slots + 1, &start, &end, &offset, &valid))
    return NULL;
  if (!valid)
    return peft_tpl_integer (c, 0);
  if (slots[0]->string.length == 0)
    return peft_tpl_integer (c, peft_tpl_count_chars (start, end - start) + 1);
  for (; (found = find_first (start, end, slots[0])) != NULL; n++)
    start = found + slots[0]->string.length;
  return peft_tpl_integer (c, n);
}

static gboolean
has_affix (const char *start, const char *end, const PeftTplValue *affix, gboolean at_end)
{
  gsize n = affix->string.length;

  return n <= (gsize) (end - start)
         && (n == 0 || memcmp (at_end ? end - n : start, affix->string.text, n) == 0);
}

static PeftTplValue *
test_affix (PeftTplContext *c, PeftTplValue *self, PeftTplValue **slots, gboolean at_end)
{
  const char *start, *end;
  gint64 offset;
  gboolean valid, result = FALSE;

  if (!get_range (c, self, slots + 1, &start, &end, &offset, &valid))
    return NULL;
  if (slots[0]->kind != PEFT_TPL_TUPLE)
    return peft_tpl_get_string (c, slots[0])
               ? peft_tpl_boolean (valid && has_affix (start, end, slots[0], at_end))
               : NULL;
  for (gsize i = 0; i < slots[0]->list.n; i++)
    {
      if (!peft_tpl_get_string (c, slots[0]->list.items[i]))
        return NULL;
      result = result || (valid && has_affix (start, end, slots[0]->list.items[i], at_end));
    }
  return peft_tpl_boolean (result);
}

METHOD (startswith)
{
  return test_affix (c, self, slots, FALSE);
}

METHOD (endswith)
{
  return test_affix (c, self, slots, TRUE);
}

static PeftTplValue *
remove_affix (PeftTplContext *c, PeftTplValue *self, PeftTplValue *affix, gboolean at_end)
{
  const char *start = self->string.text, *end = start + self->string.length;

  if (!peft_tpl_get_string (c, affix))
    return NULL;
  if (!has_affix (start, end, affix, at_end))
    return self;
  return at_end ? part (c, self, start, end - affix->string.length)
                : part (c, self, start + affix->string.length, end);
}

METHOD (removeprefix)
{
  return remove_affix (c, self, slots[0], FALSE);
}

METHOD (removesuffix)
{
  return remove_affix (c, self, slots[0], TRUE);
}

METHOD (replace)
{
  gint64 count = -1;

  if (!peft_tpl_get_string (c, slots[0]) || !peft_tpl_get_string (c, slots[1])
      || (slots[2] != NULL && !peft_tpl_get_integer (c, slots[2], &count)))
    return NULL;
  for (guint i = 0; i < 2 && self->markup; i++)
    if ((slots[i] = peft_tpl_escape (c, slots[i])) == NULL)
      return NULL;
  return peft_tpl_replace (c, self, slots[0], slots[1], count);
}

METHOD (join)
{
  PeftTplValue **items, **parts;
  gsize n;

  if (!peft_tpl_iterate (c, slots[0], &items, &n))
    return NULL;
  parts = peft_tpl_new (c, PeftTplValue *, n);
  for (gsize i = 0; i < n; i++)
    {
      /* A safe string escapes what it joins, whatever that is. */
      parts[i] = self->markup ? peft_tpl_escape (c, items[i]) : items[i];
      if (parts[i] == NULL || !peft_tpl_get_string (c, parts[i]))
        return NULL;
    }
  return peft_tpl_string_like (c, self, peft_tpl_join (c, self, parts, n));
}

static PeftTplValue *
pad (PeftTplContext *c, PeftTplValue *self, PeftTplValue **slots, char where)
{
  gint64 width;
  return peft_tpl_get_integer (c, slots[0], &width) ? peft_tpl_pad (c, self, width, slots[1], where) : NULL;
}

METHOD (center)
{
  return pad (c, self, slots, 'c');
}

METHOD (ljust)
{
  return pad (c, self, slots, 'l');
}

METHOD (rjust)
{
  return pad (c, self, slots, 'r');
}

METHOD (zfill)
{
  gint64 width;
  const char *text = self->string.text;
  gboolean has_sign = self->string.length > 0 && (*text == '-' || *text == '+');
  PeftTplValue *digits, *padded;

  if (!peft_tpl_get_integer (c, slots[0], &width))
    return NULL;
  digits = peft_tpl_string (c, text + has_sign, self->string.length - has_sign);
  padded = peft_tpl_pad (c, digits, width > G_MININT64 ? width - has_sign : width,
                         peft_tpl_string_static (c, "0"), 'r');
  return has_sign && padded != NULL ? peft_tpl_add (c, peft_tpl_string (c, text, 1), padded) : padded;
}

METHOD (format)
{
  return peft_tpl_format_braces (c, self, args);
}

/* All characters are of the class, and there is one. */
static PeftTplValue *
test_chars (PeftTplContext *c, const PeftTplValue *self, gboolean (*is_class) (gunichar))
{
  const char *end = self->string.text + self->string.length;

  if (!peft_tpl_charge (c, self->string.length / 64))
    return NULL;
  for (const char *at = self->string.text; at < end; at = g_utf8_next_char (at))
    if (!is_class (g_utf8_get_char (at)))
      return peft_tpl_boolean (FALSE);
  return peft_tpl_boolean (self->string.length > 0);
}

static gboolean
is_ascii (gunichar ch)
{
  return ch < 0x80;
}

static gboolean
is_number (gunichar ch)
{
  GUnicodeType type = g_unichar_type (ch);
  return type == G_UNICODE_DECIMAL_NUMBER || type == G_UNICODE_LETTER_NUMBER
         || type == G_UNICODE_OTHER_NUMBER;
}

static gboolean
is_word_char (gunichar ch)
{
  return g_unichar_isalpha (ch) || is_number (ch);
}

METHOD (isspace_method)
{
  return test_chars (c, self, peft_tpl_is_space);
}

METHOD (isalpha_method)
{
  return test_chars (c, self, g_unichar_isalpha);
}

METHOD (isalnum_method)
{
  return test_chars (c, self, is_word_char);
}

METHOD (isdigit_method)
{
  return test_chars (c, self, g_unichar_isdigit);
}

METHOD (isnumeric)
{
  return test_chars (c, self, is_number);
}

METHOD (isascii_method)
{
  return self->string.length == 0 ? peft_tpl_boolean (TRUE) : test_chars (c, self, is_ascii);
}

static PeftTplValue *
test_case (PeftTplContext *c, const PeftTplValue *self, gboolean upper_case)
{
  const char *end = self->string.text + self->string.length;
  gboolean found = FALSE;

  if (!peft_tpl_charge (c, self->string.length / 64))
    return NULL;
  for (const char *at = self->string.text; at < end; at = g_utf8_next_char (at))
    {
      gunichar ch = g_utf8_get_char (at);
      if (g_unichar_istitle (ch) || (upper_case ? g_unichar_islower (ch) : g_unichar_isupper (ch)))
        return peft_tpl_boolean (FALSE);
      found = found || (upper_case ? g_unichar_isupper (ch) : g_unichar_islower (ch));
    }
  return peft_tpl_boolean (found);
}

METHOD (islower_method)
{
  return test_case (c, self, FALSE);
}

METHOD (isupper_method)
{
  return test_case (c, self, TRUE);
}

const PeftTplBuiltin peft_tpl_string_methods[] = {
  { "capitalize", capitalize, "", 0 },
  { "casefold", casefold, "", 0 },
  { "center", center, "width fillchar", 1 },
  { "count", string_count, "sub start end", 1 },
  { "endswith", endswith, "suffix start end", 1 },
  { "find", find, "sub start end", 1 },
  { "format", format, NULL, 0 },
  { "index", string_index, "sub start end", 1 },
  { "isalnum", isalnum_method, "", 0 },
  { "isalpha", isalpha_method, "", 0 },
  { "isascii", isascii_method, "", 0 },
  { "isdecimal", isdigit_method, "", 0 },
  { "isdigit", isdigit_method, "", 0 },
  { "islower", islower_method, "", 0 },
  { "isnumeric", isnumeric, "", 0 },
  { "isspace", isspace_method, "", 0 },
  { "isupper", isupper_method, "", 0 },
  { "join", join, "iterable", 1 },
  { "ljust", ljust, "width fillchar", 1 },
  { "lower", lower, "", 0 },
  { "lstrip", lstrip, "chars", 0 },
  { "partition", partition, "sep", 1 },
  { "removeprefix", removeprefix, "prefix", 1 },
  { "removesuffix", removesuffix, "suffix", 1 },
  { "replace", replace, "old new count", 2 },
  { "rfind", rfind, "sub start end", 1 },
  { "rindex", rindex_method, "sub start end", 1 },
  { "rjust", rjust, "width fillchar", 1 },
  { "rpartition", rpartition, "sep", 1 },
  { "rsplit", rsplit, "sep maxsplit", 0 },
  { "rstrip", rstrip, "chars", 0 },
  { "split", split, "sep maxsplit", 0 },
  { "splitlines", splitlines, "keepends", 0 },
  { "startswith", startswith, "prefix start end", 1 },
  { "strip", strip, "chars", 0 },
  { "swapcase", swapcase, "", 0 },
  { "title", title, "", 0 },
  { "upper", upper, "", 0 },
  { "zfill", zfill, "width", 1 },
  { NULL },
};
