/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "base/peft-json-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/peft-error.h"

/* Bytes of a key that a message shows. */
#define MAX_QUOTED 200

typedef struct
{
  const char *text; /* start, for the line in messages */
  const char *p;
  const char *end;
  PeftJsonParseFlags flags;
  GString *scratch; /* of strings with escapes and of long numbers */
  guint depth;
  GError *error;
} Parser;

G_GNUC_PRINTF (4, 5)
static PeftJson *
fail_code (Parser *self, const char *at, PeftError code, const char *format, ...)
{
  g_autofree char *what = NULL;
  guint line = 1;
  guint column = 1;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  for (const char *p = self->text; p < at; p++)
    {
      if (*p == '\n')
        {
          line++;
          column = 1;
        }
      else if (((guchar) *p & 0xc0) != 0x80)
        column++;
    }
  g_set_error (&self->error, PEFT_ERROR, (int) code,
               _ ("line %u, column %u: %s"), line, column, what);
  return NULL;
}

#define fail(self, at, ...) fail_code (self, at, PEFT_ERROR_INVALID_FILE, __VA_ARGS__)

static PeftJson *
fail_unexpected (Parser *self, const char *expected)
{
  guchar c;

  if (self->p == self->end)
    return fail (self, self->p, _ ("expected %s, found the end of the text"), expected);
  c = (guchar) *self->p;
  if (c > 0x20 && c < 0x7f)
    return fail (self, self->p, _ ("expected %s, found '%c'"), expected, c);
  return fail (self, self->p, _ ("expected %s, found byte 0x%02x"), expected, c);
}

static void
skip_space (Parser *self)
{
  while (self->p < self->end
         && (*self->p == ' ' || *self->p == '\n' || *self->p == '\r' || *self->p == '\t'))
    self->p++;
}

/* Length of the valid UTF-8 sequence at p, 0 where there is none (RFC 3629: no overlong forms, no
 * surrogates, nothing above U+10FFFF). */
static guint
utf8_length (const char *p, const char *end)
{
  const guchar *s = (const guchar *) p;
  gsize left = (gsize) (end - p);
  guint n;

  if (s[0] < 0x80)
    return 1;
  n = s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
  if (n == 0 || left < n)
    return 0;
  for (guint i = 1; i < n; i++)
    if ((s[i] & 0xc0) != 0x80)
      return 0;
  if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f)
      || (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
    return 0;
  return n;
}

static gboolean
parse_hex4 (Parser *self, guint *out)
{
  guint unit = 0;

  if (self->end - self->p < 4)
    return FALSE;
  for (guint i = 0; i < 4; i++)
    {
      int digit = g_ascii_xdigit_value (self->p[i]);
      if (digit < 0)
        return FALSE;
      unit = unit << 4 | (guint) digit;
    }
  self->p += 4;
  *out = unit;
  return TRUE;
}

/* After "\u". */
static gboolean
parse_unicode_escape (Parser *self, const char *at)
{
  guint unit, low;
  char utf8[6];

  if (!parse_hex4 (self, &unit))
    {
      fail (self, at, _ ("'\\u' needs four hexadecimal digits"));
      return FALSE;
    }
  if (unit >= 0xd800 && unit < 0xe000)
    {
      if (unit >= 0xdc00 || self->end - self->p < 2 || self->p[0] != '\\' || self->p[1] != 'u')
        {
          fail (self, at, _ ("surrogate \\u%04x without its pair"), unit);
          return FALSE;
        }
      self->p += 2;
      if (!parse_hex4 (self, &low) || low < 0xdc00 || low >= 0xe000)
        {
          fail (self, at, _ ("surrogate \\u%04x without its pair"), unit);
          return FALSE;
        }
      unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    }
  g_string_append_len (self->scratch, utf8, g_unichar_to_utf8 (unit, utf8));
  return TRUE;
}

/* At a backslash. */
static gboolean
parse_escape (Parser *self)
{
  static const char from[] = "\"\\/bfnrt";
  static const char to[] = "\"\\/\b\f\n\r\t";
  const char *at = self->p;
  const char *found;
  char c;

  if (self->end - self->p < 2)
    {
      self->p = self->end;
      fail_unexpected (self, _ ("the end of the string"));
      return FALSE;
    }
  c = self->p[1];
  self->p += 2;
  if (c == 'u')
    return parse_unicode_escape (self, at);
  found = c != '\0' ? strchr (from, c) : NULL;
  if (found == NULL)
    {
      fail (self, at, _ ("unknown escape in a string"));
      return FALSE;
    }
  g_string_append_c (self->scratch, to[found - from]);
  return TRUE;
}

/* At the opening quote. *out lies in the text or in the scratch and is valid until the next string. */
static gboolean
parse_string (Parser *self, const char **out, gsize *length)
{
  const char *start = ++self->p;
  gboolean escaped = FALSE;

  while (self->p < self->end)
    {
      guchar c = (guchar) *self->p;

      if (c == '"')
        {
          if (escaped)
            {
              g_string_append_len (self->scratch, start, self->p - start);
              *out = self->scratch->str;
              *length = self->scratch->len;
            }
          else
            {
              *out = start;
              *length = (gsize) (self->p - start);
            }
          self->p++;
          return TRUE;
        }
      if (c == '\\')
        {
          if (!escaped)
            g_string_truncate (self->scratch, 0);
          escaped = TRUE;
          g_string_append_len (self->scratch, start, self->p - start);
          if (!parse_escape (self))
            return FALSE;
          start = self->p;
        }
      else if (c < 0x20)
        {
          fail (self, self->p, _ ("control character 0x%02x in a string"), c);
          return FALSE;
        }
      else
        {
          guint n = utf8_length (self->p, self->end);
          if (n == 0)
            {
              fail (self, self->p, _ ("byte 0x%02x is not valid UTF-8"), c);
              return FALSE;
            }
          self->p += n;
        }
    }
  fail_unexpected (self, _ ("the end of the string"));
  return FALSE;
}

static gboolean
at_digit (const Parser *self)
{
  return self->p < self->end && g_ascii_isdigit (*self->p);
}

static gboolean
skip_digits (Parser *self)
{
  if (!at_digit (self))
    {
      fail_unexpected (self, _ ("a digit"));
      return FALSE;
    }
  while (at_digit (self))
    self->p++;
  return TRUE;
}

static PeftJson *
integer_node (const char *start, gsize length)
{
  gboolean negative = *start == '-';
  guint64 value = 0;

  for (gsize i = negative; i < length; i++)
    if (__builtin_mul_overflow (value, 10, &value)
        || __builtin_add_overflow (value, (guint64) (start[i] - '0'), &value))
      return peft_json_new_big (start, length);
  if (!negative)
    return peft_json_new_uint (value);
  if (value > (guint64) G_MAXINT64 + 1)
    return peft_json_new_big (start, length);
  return peft_json_new_int ((gint64) (0 - value));
}

static PeftJson *
parse_number (Parser *self)
{
  const char *start = self->p;
  gboolean whole = TRUE;
  double value;

  if (*self->p == '-')
    self->p++;
  if (self->p < self->end && *self->p == '0')
    {
      self->p++;
      if (at_digit (self))
        return fail (self, start, _ ("a number has leading zeros"));
    }
  else if (!skip_digits (self))
    return NULL;
  if (self->p < self->end && *self->p == '.')
    {
      whole = FALSE;
      self->p++;
      if (!skip_digits (self))
        return NULL;
    }
  if (self->p < self->end && (*self->p == 'e' || *self->p == 'E'))
    {
      whole = FALSE;
      self->p++;
      if (self->p < self->end && (*self->p == '+' || *self->p == '-'))
        self->p++;
      if (!skip_digits (self))
        return NULL;
    }
  if (whole)
    return integer_node (start, (gsize) (self->p - start));

  /* strtod needs an end, which the text may lack. */
  g_string_truncate (self->scratch, 0);
  g_string_append_len (self->scratch, start, self->p - start);
  value = g_ascii_strtod (self->scratch->str, NULL);
  if (!isfinite (value))
    return fail (self, start, _ ("the number %.40s is out of range"), self->scratch->str);
  return peft_json_new_double (value);
}

static gboolean
take_word (Parser *self, const char *word)
{
  gsize length = strlen (word);

  if ((gsize) (self->end - self->p) < length || memcmp (self->p, word, length) != 0)
    return FALSE;
  self->p += length;
  return TRUE;
}

static PeftJson *parse_value (Parser *self);

static gboolean
enter (Parser *self)
{
  if (self->depth == PEFT_JSON_MAX_DEPTH)
    {
      fail_code (self, self->p, PEFT_ERROR_LIMIT, _ ("nested deeper than %d levels"),
                 PEFT_JSON_MAX_DEPTH);
      return FALSE;
    }
  self->depth++;
  self->p++;
  skip_space (self);
  return TRUE;
}

/* After a member: TRUE when another follows; *failed where there is neither a comma nor the end. */
static gboolean
next_member (Parser *self, char close, const char *expected, gboolean *failed)
{
  skip_space (self);
  if (self->p < self->end && *self->p == ',')
    {
      self->p++;
      skip_space (self);
      return TRUE;
    }
  if (self->p < self->end && *self->p == close)
    {
      self->p++;
      self->depth--;
      return FALSE;
    }
  fail_unexpected (self, expected);
  *failed = TRUE;
  return FALSE;
}

static PeftJson *
parse_array (Parser *self)
{
  g_autoptr (PeftJson) array = peft_json_new_array ();
  gboolean failed = FALSE;

  if (!enter (self))
    return NULL;
  if (self->p < self->end && *self->p == ']')
    {
      self->p++;
      self->depth--;
      return g_steal_pointer (&array);
    }
  do
    {
      PeftJson *value = parse_value (self);
      if (value == NULL)
        return NULL;
      peft_json_append (array, value);
    }
  while (next_member (self, ']', _ ("',' or ']'"), &failed));
  return failed ? NULL : g_steal_pointer (&array);
}

static gboolean
parse_member (Parser *self, PeftJson *object)
{
  const char *at = self->p;
  g_autofree char *long_name = NULL;
  char short_name[128];
  const char *name;
  gsize length;
  PeftJson *value;

  if (self->p == self->end || *self->p != '"')
    {
      fail_unexpected (self, _ ("a member name in quotes"));
      return FALSE;
    }
  if (!parse_string (self, &name, &length))
    return FALSE;
  /* The value's strings reuse the scratch. */
  if (name == self->scratch->str)
    {
      char *copy = short_name;
      if (length > sizeof short_name)
        copy = long_name = g_malloc (length);
      if (length > 0)
        memcpy (copy, name, length);
      name = copy;
    }
  skip_space (self);
  if (self->p == self->end || *self->p != ':')
    {
      fail_unexpected (self, _ ("':'"));
      return FALSE;
    }
  self->p++;
  skip_space (self);
  value = parse_value (self);
  if (value == NULL)
    return FALSE;
  if (peft_json_put (object, name, length, value) && (self->flags & PEFT_JSON_PARSE_UNIQUE_KEYS))
    {
      g_autoptr (PeftJson) key = NULL;
      g_autofree char *quoted = NULL;

      if (length > MAX_QUOTED)
        for (length = MAX_QUOTED; ((guchar) name[length] & 0xc0) == 0x80;)
          length--;
      key = peft_json_new_string_len (name, length);
      quoted = peft_json_to_string (key, PEFT_JSON_WRITE_COMPACT);
      fail (self, at, _ ("the key %s is repeated"), quoted);
      return FALSE;
    }
  return TRUE;
}

static PeftJson *
parse_object (Parser *self)
{
  g_autoptr (PeftJson) object = peft_json_new_object ();
  gboolean failed = FALSE;

  if (!enter (self))
    return NULL;
  if (self->p < self->end && *self->p == '}')
    {
      self->p++;
      self->depth--;
      return g_steal_pointer (&object);
    }
  do
    {
      if (!parse_member (self, object))
        return NULL;
    }
  while (next_member (self, '}', _ ("',' or '}'"), &failed));
  return failed ? NULL : g_steal_pointer (&object);
}

static PeftJson *
parse_value (Parser *self)
{
  const char *text;
  gsize length;

  if (self->p == self->end)
    return fail_unexpected (self, _ ("a value"));
  switch (*self->p)
    {
    case '{':
      return parse_object (self);
    case '[':
      return parse_array (self);
    case '"':
      return parse_string (self, &text, &length) ? peft_json_new_string_len (text, length) : NULL;
    case 't':
      if (take_word (self, "true"))
        return peft_json_new_boolean (TRUE);
      break;
    case 'f':
      if (take_word (self, "false"))
        return peft_json_new_boolean (FALSE);
      break;
    case 'n':
      if (take_word (self, "null"))
        return peft_json_new_null ();
      break;
    case 'N':
      if ((self->flags & PEFT_JSON_PARSE_NAN) && take_word (self, "NaN"))
        return peft_json_new_double (NAN);
      break;
    case 'I':
      if ((self->flags & PEFT_JSON_PARSE_NAN) && take_word (self, "Infinity"))
        return peft_json_new_double (INFINITY);
      break;
    case '-':
      if ((self->flags & PEFT_JSON_PARSE_NAN) && take_word (self, "-Infinity"))
        return peft_json_new_double (-INFINITY);
      return parse_number (self);
    default:
      if (at_digit (self))
        return parse_number (self);
      break;
    }
  return fail_unexpected (self, _ ("a value"));
}

static gboolean
check_size (guint64 size, GError **error)
{
  if (size <= PEFT_JSON_MAX_FILE_BYTES)
    return TRUE;
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
               _ ("JSON text is larger than %u bytes"), PEFT_JSON_MAX_FILE_BYTES);
  return FALSE;
}

PeftJson *
peft_json_parse (const char *text, gssize length, PeftJsonParseFlags flags, GError **error)
{
  gsize size = length >= 0 ? (gsize) length : strlen (text);
  g_autoptr (GString) scratch = NULL;
  g_autoptr (PeftJson) root = NULL;
  Parser parser = { .text = text, .p = text, .flags = flags };

  if (!check_size (size, error))
    return NULL;
  if (size >= 3 && memcmp (text, "\xef\xbb\xbf", 3) == 0)
    parser.text = parser.p = text + 3;
  parser.end = text + size;
  scratch = g_string_new (NULL);
  parser.scratch = scratch;

  skip_space (&parser);
  root = parse_value (&parser);
  if (root != NULL)
    {
      skip_space (&parser);
      if (parser.p == parser.end)
        return g_steal_pointer (&root);
      fail_unexpected (&parser, _ ("the end of the text"));
    }
  g_propagate_error (error, parser.error);
  return NULL;
}

/* Reads to the end, so that pipes work too. */
static GByteArray *
read_file (const char *path, GError **error)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  struct stat st;
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  gssize n;

  if (fd < 0 || fstat (fd, &st) < 0)
    {
      int code = errno == ENOENT ? PEFT_ERROR_NOT_FOUND : PEFT_ERROR_IO;
      g_set_error_literal (error, PEFT_ERROR, code, g_strerror (errno));
      if (fd >= 0)
        close (fd);
      return NULL;
    }
  if (S_ISREG (st.st_mode) && !check_size ((guint64) st.st_size, error))
    {
      close (fd);
      return NULL;
    }
  do
    {
      gsize used = bytes->len;
      gsize step = S_ISREG (st.st_mode) && (guint64) st.st_size >= used
                       ? (gsize) st.st_size - used + 1
                       : 65536;

      if (!check_size (used, error))
        {
          close (fd);
          return NULL;
        }
      g_byte_array_set_size (bytes, (guint) (used + step));
      do
        n = read (fd, bytes->data + used, step);
      while (n < 0 && errno == EINTR);
      g_byte_array_set_size (bytes, (guint) (used + (gsize) MAX (n, 0)));
    }
  while (n > 0);
  if (n < 0)
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_IO, g_strerror (errno));
      close (fd);
      return NULL;
    }
  close (fd);
  return g_steal_pointer (&bytes);
}

PeftJson *
peft_json_load (const char *path, PeftJsonParseFlags flags, GError **error)
{
  g_autoptr (GByteArray) bytes = read_file (path, error);
  PeftJson *self = NULL;

  if (bytes != NULL)
    self = peft_json_parse ((const char *) bytes->data, bytes->len, flags, error);
  if (self == NULL)
    g_prefix_error (error, "%s: ", path);
  return self;
}
