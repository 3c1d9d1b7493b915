/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-template-private.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>

/* Jinja2's lexer with trim_blocks and lstrip_blocks on: the newline after a block or comment goes,
 * and so do blanks before one that stands first on its line. A '-' inside a tag takes all white
 * space on its side, a '+' keeps it. */

#define MAX_BRACKETS 1024

typedef struct
{
  PeftTemplate *template;
  const char *text;
  gsize length;
  gsize position;
  int line;
  GArray *tokens;
  char brackets[MAX_BRACKETS]; /* the closing ones that are awaited */
  guint n_brackets;
  GError **error;
} Lexer;

static gboolean
fail (Lexer *l, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
fail (Lexer *l, const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (l->error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE, _ ("%s: line %d: %s"),
               l->template->name, l->line, message);
  return FALSE;
}

static char
peek (const Lexer *l, gsize offset)
{
  return offset < l->length - l->position ? l->text[l->position + offset] : '\0';
}

static gboolean
looking_at (const Lexer *l, gsize position, const char *what)
{
  gsize n = strlen (what);
  return n <= l->length - position && memcmp (l->text + position, what, n) == 0;
}

static void
count_lines (Lexer *l, gsize start, gsize end)
{
  for (gsize i = start; i < end; i++)
    l->line += l->text[i] == '\n';
}

static gsize
skip_space (const Lexer *l, gsize position)
{
  while (position < l->length)
    {
      const char *at = l->text + position;
      if (!peft_tpl_is_space (g_utf8_get_char (at)))
        break;
      position += g_utf8_next_char (at) - at;
    }
  return position;
}

static gsize
strip_space (const Lexer *l, gsize start, gsize end)
{
  while (end > start)
    {
      const char *before = g_utf8_find_prev_char (l->text + start, l->text + end);
      if (before == NULL || !peft_tpl_is_space (g_utf8_get_char (before)))
        break;
      end = before - l->text;
    }
  return end;
}

static PeftTplToken *
add_token (Lexer *l, PeftTplTokenType type, const char *text, gsize length)
{
  char *copy = peft_tpl_arena_alloc (l->template->arena, length + 1);
  PeftTplToken token = { .type = type, .line = l->line, .text = copy, .length = length };

  if (length > 0)
    memcpy (copy, text, length);
  g_array_append_val (l->tokens, token);
  return &g_array_index (l->tokens, PeftTplToken, l->tokens->len - 1);
}

/* The text before a tag: what its white-space rule leaves of [start, end). */
static void
add_data (Lexer *l, gsize start, gsize end, char sign, gboolean is_block)
{
  gsize kept = end;

  if (sign == '-')
    kept = strip_space (l, start, end);
  else if (sign != '+' && is_block)
    {
      gsize line_start = end;
      while (line_start > start && l->text[line_start - 1] != '\n')
        line_start--;
      if ((line_start > start || start == 0 || l->text[start - 1] == '\n')
          && strip_space (l, line_start, end) == line_start)
        kept = line_start;
    }
  if (kept > start)
    add_token (l, PEFT_TPL_TOKEN_DATA, l->text + start, kept - start);
  count_lines (l, start, end);
}

/* If a tag's end stands at position ("-%}" with the space after it, "%}" with a newline, "+%}"), where
 * it ends; otherwise 0. */
static gsize
match_end (const Lexer *l, gsize position, const char *end, gboolean is_block)
{
  if (looking_at (l, position, "-") && looking_at (l, position + 1, end))
    return skip_space (l, position + 3);
  if (is_block && looking_at (l, position, "+") && looking_at (l, position + 1, end))
    return position + 3;
  if (!looking_at (l, position, end))
    return 0;
  position += 2;
  return position + (is_block && looking_at (l, position, "\n"));
}

static char
sign_at (const Lexer *l, gsize position)
{
  char ch = position < l->length ? l->text[position] : '\0';
  return ch == '-' || ch == '+' ? ch : '\0';
}

/* "{% raw %}" at position: where it ends, otherwise 0. Its end takes no newline. */
static gsize
match_raw (const Lexer *l, gsize position)
{
  gsize at = position + 2;

  at = skip_space (l, at + (sign_at (l, at) != '\0'));
  if (!looking_at (l, at, "raw"))
    return 0;
  at = skip_space (l, at + 3);
  if (looking_at (l, at, "-%}"))
    return skip_space (l, at + 3);
  return looking_at (l, at, "%}") ? at + 2 : 0;
}

static gsize
match_endraw (const Lexer *l, gsize position)
{
  gsize at = position + 2;

  at = skip_space (l, at + (sign_at (l, at) != '\0'));
  if (!looking_at (l, at, "endraw"))
    return 0;
  return match_end (l, skip_space (l, at + 6), "%}", TRUE);
}

static gboolean
read_raw (Lexer *l, gsize start)
{
  count_lines (l, l->position, start);
  for (gsize at = start; at < l->length; at++)
    {
      gsize end;
      if (!looking_at (l, at, "{%") || (end = match_endraw (l, at)) == 0)
        continue;
      add_data (l, start, at, sign_at (l, at + 2), TRUE);
      count_lines (l, at, end);
      l->position = end;
      return TRUE;
    }
  l->position = l->length;
  if (start == l->length) /* Jinja2 lets this pass, for comments too */
    return TRUE;
  return fail (l, _ ("a raw block is not closed"));
}

static gboolean
read_comment (Lexer *l)
{
  gsize start = l->position + 2 + (sign_at (l, l->position + 2) != '\0');

  for (gsize at = start; at < l->length; at++)
    {
      gsize end = match_end (l, at, "#}", TRUE);
      if (end == 0)
        continue;
      count_lines (l, l->position, end);
      l->position = end;
      return TRUE;
    }
  l->position = l->length;
  if (start == l->length)
    return TRUE;
  return fail (l, _ ("a comment is not closed"));
}

/* --- inside tags --- */

static gboolean
is_word (gunichar ch)
{
  return ch == '_' || g_unichar_isalnum (ch) || g_unichar_ismark (ch);
}

static gsize
skip_digits (const Lexer *l, gsize at, int base)
{
  gboolean after_digit = FALSE;

  for (; at < l->length; at++)
    {
      int digit = g_ascii_xdigit_value (l->text[at]);
      if (digit >= 0 && digit < base)
        after_digit = TRUE;
      else if (l->text[at] == '_' && after_digit && at + 1 < l->length
               && (digit = g_ascii_xdigit_value (l->text[at + 1])) >= 0 && digit < base)
        after_digit = FALSE;
      else
        break;
    }
  return at;
}

/* Where a float that starts at position ends, 0 when there is none. */
static gsize
match_float (const Lexer *l)
{
  gsize at = skip_digits (l, l->position, 10);
  gsize exponent;
  gboolean fraction = FALSE;

  if (l->position > 0 && l->text[l->position - 1] == '.')
    return 0;
  if (at + 1 < l->length && l->text[at] == '.' && g_ascii_isdigit (l->text[at + 1]))
    {
      at = skip_digits (l, at + 1, 10);
      fraction = TRUE;
    }
  if (at < l->length && (l->text[at] == 'e' || l->text[at] == 'E'))
    {
      exponent = at + 1 + (sign_at (l, at + 1) != '\0');
      if (exponent < l->length && g_ascii_isdigit (l->text[exponent]))
        return skip_digits (l, exponent, 10);
    }
  return fraction ? at : 0;
}

static char *
without_underscores (const char *text, gsize length)
{
  GString *out = g_string_sized_new (length);
  for (gsize i = 0; i < length; i++)
    if (text[i] != '_')
      g_string_append_c (out, text[i]);
  return g_string_free (out, FALSE);
}

static gboolean
read_number (Lexer *l)
{
  const char *start = l->text + l->position;
  gsize end = match_float (l);
  g_autofree char *digits = NULL;
  PeftTplToken *token;
  guint64 value;
  int base = 10, skip = 0;

  if (end > 0)
    {
      digits = without_underscores (start, end - l->position);
      token = add_token (l, PEFT_TPL_TOKEN_FLOAT, start, end - l->position);
      token->number = g_ascii_strtod (digits, NULL);
      l->position = end;
      return TRUE;
    }
  if (*start == '0')
    {
      char kind = g_ascii_tolower (peek (l, 1));
      base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
      skip = base != 10 ? 2 : 0;
    }
  end = skip_digits (l, l->position + skip, base);
  if (end == l->position + skip)
    { /* "0x" alone is a zero and a name */
      base = 10;
      skip = 0;
      end = l->position + 1;
    }
  else if (base == 10 && *start == '0')
    for (end = l->position + 1; end < l->length && l->text[end] == '0'; end++)
      ;
  digits = without_underscores (start + skip, end - l->position - skip);
  errno = 0;
  value = g_ascii_strtoull (digits, NULL, base);
  if (errno != 0 || value > G_MAXINT64)
    return fail (l, _ ("the integer %.*s is too large"), (int) MIN (end - l->position, 40), start);
  token = add_token (l, PEFT_TPL_TOKEN_INTEGER, start, end - l->position);
  token->integer = value;
  l->position = end;
  return TRUE;
}

static gboolean
append_code_point (Lexer *l, GString *out, const char *text, const char *end, guint n_digits)
{
  gunichar ch = 0;

  for (guint i = 0; i < n_digits; i++)
    {
      if (text + i >= end || !g_ascii_isxdigit (text[i]))
        return fail (l, _ ("an escape in a string has too few digits"));
      ch = ch * 16 + g_ascii_xdigit_value (text[i]);
    }
  if (!g_unichar_validate (ch))
    return fail (l, _ ("an escape in a string is no character"));
  g_string_append_unichar (out, ch);
  return TRUE;
}

/* Python's escapes; one it does not know stays as it is. */
static gboolean
unescape (Lexer *l, GString *out, const char *text, const char *end)
{
  static const char letters[] = "abfnrtv\\'\"";
  static const char meanings[] = "\a\b\f\n\r\t\v\\'\"";

  while (text < end)
    {
      const char *letter;
      guint n_digits;

      if (*text != '\\' || text + 1 == end)
        {
          g_string_append_c (out, *text++);
          continue;
        }
      text++;
      letter = strchr (letters, *text);
      n_digits = *text == 'x' ? 2 : *text == 'u' ? 4 : *text == 'U' ? 8 : 0;
      if (letter != NULL && *letter != '\0')
        {
          g_string_append_c (out, meanings[letter - letters]);
          text++;
        }
      else if (n_digits > 0)
        {
          if (!append_code_point (l, out, text + 1, end, n_digits))
            return FALSE;
          text += 1 + n_digits;
        }
      else if (*text >= '0' && *text <= '7')
        {
          gunichar ch = 0;
          for (guint i = 0; i < 3 && text < end && *text >= '0' && *text <= '7'; i++)
            ch = ch * 8 + (*text++ - '0');
          g_string_append_unichar (out, ch);
        }
      else if (*text == '\n')
        text++;
      else if (*text == 'N')
        return fail (l, _ ("\\N{…} in a string is not supported"));
      else if ((guchar) *text >= 0x80)
        { /* Python escapes the character first, and the backslash then protects that escape */
          gunichar ch = g_utf8_get_char (text);
          g_string_append_printf (out, ch < 0x100 ? "\\x%02x" : ch < 0x10000 ? "\\u%04x" : "\\U%08x",
                                  ch);
          text = g_utf8_next_char (text);
        }
      else
        {
          g_string_append_c (out, '\\');
          g_string_append_c (out, *text++);
        }
    }
  return TRUE;
}

static gboolean
read_string (Lexer *l)
{
  char quote = l->text[l->position];
  gsize start = l->position + 1, at = start;
  g_autoptr (GString) out = g_string_new (NULL);

  while (at < l->length && l->text[at] != quote)
    at += l->text[at] == '\\' ? 2 : 1;
  if (at >= l->length)
    return fail (l, _ ("a string is not closed"));
  if (!unescape (l, out, l->text + start, l->text + at))
    return FALSE;
  add_token (l, PEFT_TPL_TOKEN_STRING, out->str, out->len);
  count_lines (l, start, at);
  l->position = at + 1;
  return TRUE;
}

static gboolean
read_name (Lexer *l)
{
  gsize at = l->position;

  while (at < l->length && is_word (g_utf8_get_char (l->text + at)))
    at += g_utf8_skip[(guchar) l->text[at]];
  add_token (l, PEFT_TPL_TOKEN_NAME, l->text + l->position, at - l->position);
  l->position = at;
  return TRUE;
}

static gboolean
read_operator (Lexer *l)
{
  static const char *const two[] = { "//", "**", "==", "!=", ">=", "<=" };
  char ch = l->text[l->position];
  gsize n = 0;

  for (guint i = 0; i < G_N_ELEMENTS (two) && n == 0; i++)
    if (looking_at (l, l->position, two[i]))
      n = 2;
  if (n == 0 && strchr ("+-/*%~[](){}<>=.:|,;", ch) != NULL)
    n = 1;
  if (n == 0)
    {
      char shown[7] = { 0 };
      g_unichar_to_utf8 (g_utf8_get_char (l->text + l->position), shown);
      return fail (l, _ ("unexpected character “%s”"), shown);
    }
  if (n == 1 && strchr ("([{", ch) != NULL)
    {
      if (l->n_brackets == MAX_BRACKETS)
        {
          g_set_error (l->error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                       _ ("%s: line %d: more than %u open brackets"), l->template->name, l->line,
                       MAX_BRACKETS);
          return FALSE;
        }
      l->brackets[l->n_brackets++] = ch == '(' ? ')' : ch == '[' ? ']' : '}';
    }
  else if (n == 1 && strchr (")]}", ch) != NULL)
    {
      if (l->n_brackets == 0)
        return fail (l, _ ("unexpected “%c”"), ch);
      if (l->brackets[--l->n_brackets] != ch)
        return fail (l, _ ("expected “%c”, found “%c”"), l->brackets[l->n_brackets], ch);
    }
  add_token (l, PEFT_TPL_TOKEN_OPERATOR, l->text + l->position, n);
  l->position += n;
  return TRUE;
}

/* From after "{%" or "{{" to its end. */
static gboolean
read_tag (Lexer *l, gboolean is_block)
{
  const char *end_text = is_block ? "%}" : "}}";

  l->n_brackets = 0;
  while (TRUE)
    {
      gsize next = skip_space (l, l->position);
      gsize end;
      gunichar ch;

      count_lines (l, l->position, next);
      l->position = next;
      if (next >= l->length)
        return fail (l, is_block ? _ ("a block tag is not closed") : _ ("a print tag is not closed"));
      if (l->n_brackets == 0 && (end = match_end (l, next, end_text, is_block)) > 0)
        {
          add_token (l, is_block ? PEFT_TPL_TOKEN_BLOCK_END : PEFT_TPL_TOKEN_VARIABLE_END, end_text, 2);
          count_lines (l, next, end);
          l->position = end;
          return TRUE;
        }
      ch = g_utf8_get_char (l->text + next);
      if (ch < 0x80 && g_ascii_isdigit (ch) ? !read_number (l)
          : ch == '\'' || ch == '"'         ? !read_string (l)
          : is_word (ch) && !g_unichar_isdigit (ch) ? !read_name (l)
                                                    : !read_operator (l))
        return FALSE;
    }
}

static gboolean
read_root (Lexer *l)
{
  while (l->position < l->length)
    {
      gsize start = l->position, at = start, raw_end;
      char kind, sign;

      while (at < l->length
             && !(l->text[at] == '{' && at + 1 < l->length && strchr ("{%#", l->text[at + 1]) != NULL))
        at++;
      if (at == l->length)
        {
          add_token (l, PEFT_TPL_TOKEN_DATA, l->text + start, at - start);
          return TRUE;
        }
      kind = l->text[at + 1];
      sign = sign_at (l, at + 2);
      add_data (l, start, at, sign, kind != '{');
      l->position = at;
      if (kind == '#')
        {
          if (!read_comment (l))
            return FALSE;
        }
      else if (kind == '%' && (raw_end = match_raw (l, at)) > 0)
        {
          if (!read_raw (l, raw_end))
            return FALSE;
        }
      else
        {
          add_token (l, kind == '%' ? PEFT_TPL_TOKEN_BLOCK_BEGIN : PEFT_TPL_TOKEN_VARIABLE_BEGIN,
                     l->text + at, 2);
          l->position = at + 2 + (sign != '\0');
          if (!read_tag (l, kind == '%'))
            return FALSE;
        }
    }
  return TRUE;
}

/* \r\n and \r become \n, and one at the end goes. */
static GString *
normalise_newlines (const char *source)
{
  GString *out = g_string_sized_new (strlen (source));

  for (const char *at = source; *at != '\0'; at++)
    if (*at == '\r')
      {
        g_string_append_c (out, '\n');
        at += at[1] == '\n';
      }
    else
      g_string_append_c (out, *at);
  if (out->len > 0 && out->str[out->len - 1] == '\n')
    g_string_truncate (out, out->len - 1);
  return out;
}

GArray *
peft_tpl_tokenize (PeftTemplate *self, const char *source, GError **error)
{
  g_autoptr (GString) text = normalise_newlines (source);
  g_autoptr (GArray) tokens = g_array_new (FALSE, TRUE, sizeof (PeftTplToken));
  g_autofree Lexer *l = g_new0 (Lexer, 1);

  l->template = self;
  l->text = text->str;
  l->length = text->len;
  l->line = 1;
  l->tokens = tokens;
  l->error = error;
  if (!read_root (l))
    return NULL;
  add_token (l, PEFT_TPL_TOKEN_END, "", 0);
  return g_steal_pointer (&tokens);
}
