/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From Oniguruma's Ruby syntax (its RE document and doc/SYNTAX.md) to PCRE2's (pcre2pattern). Only
 * what means something else there is rewritten; the rest is copied and PCRE2 judges it. */
#include "config.h"

#include "text/peft-regex.h"

#include <glib/gi18n-lib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/peft-error.h"
#include "text/peft-text-util.h"

/* White_Space. PCRE2's own \s also has U+180E. */
#define SPACE_SET "\\t-\\r\\x{85}\\p{Z}"
/* PCRE2's own \w changed with its releases. */
#define POSIX_WORD_SET "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
/* \w there also has the superscripts and fractions of Latin-1, unlike [:word:]. */
#define WORD_SET POSIX_WORD_SET "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"
#define GRAPH_SET "\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}\\p{Cf}\\p{Co}"
#define HEX_SET "0-9A-Fa-f"

typedef struct
{
  const char *pattern;
  gsize length;
  const char *p;
  const char *end;
  GString *out;
  GArray *groups; /* gsize: where open groups start in out */
  gssize atom;    /* where the last thing that can be repeated starts in out, -1: none */
  guint depth;
} Translator;

static const struct
{
  const char *name;
  const char *pcre;
} property_names[] = {
  { "alnum", "\\p{Alphabetic}\\p{Nd}" },
  { "alpha", "\\p{Alphabetic}" },
  { "blank", "\\t\\p{Zs}" },
  { "closepunctuation", "\\p{Pe}" },
  { "cntrl", "\\p{Cc}" },
  { "connectorpunctuation", "\\p{Pc}" },
  { "control", "\\p{Cc}" },
  { "currencysymbol", "\\p{Sc}" },
  { "dashpunctuation", "\\p{Pd}" },
  { "decimalnumber", "\\p{Nd}" },
  { "digit", "\\p{Nd}" },
  { "enclosingmark", "\\p{Me}" },
  { "finalpunctuation", "\\p{Pf}" },
  { "format", "\\p{Cf}" },
  { "graph", GRAPH_SET },
  { "initialpunctuation", "\\p{Pi}" },
  { "letter", "\\p{L}" },
  { "letternumber", "\\p{Nl}" },
  { "lineseparator", "\\p{Zl}" },
  { "lower", "\\p{Lowercase}" },
  { "lowercaseletter", "\\p{Ll}" },
  { "mark", "\\p{M}" },
  { "mathsymbol", "\\p{Sm}" },
  { "modifierletter", "\\p{Lm}" },
  { "modifiersymbol", "\\p{Sk}" },
  { "nonspacingmark", "\\p{Mn}" },
  { "number", "\\p{N}" },
  { "openpunctuation", "\\p{Ps}" },
  { "other", "\\p{C}" },
  { "otherletter", "\\p{Lo}" },
  { "othernumber", "\\p{No}" },
  { "otherpunctuation", "\\p{Po}" },
  { "othersymbol", "\\p{So}" },
  { "paragraphseparator", "\\p{Zp}" },
  { "print", GRAPH_SET "\\p{Zs}" },
  { "privateuse", "\\p{Co}" },
  { "punct", "\\p{P}" },
  { "punctuation", "\\p{P}" },
  { "separator", "\\p{Z}" },
  { "space", SPACE_SET },
  { "spaceseparator", "\\p{Zs}" },
  { "spacingmark", "\\p{Mc}" },
  { "symbol", "\\p{S}" },
  { "titlecaseletter", "\\p{Lt}" },
  { "unassigned", "\\p{Cn}" },
  { "upper", "\\p{Uppercase}" },
  { "uppercaseletter", "\\p{Lu}" },
  { "word", WORD_SET },
  { "xdigit", HEX_SET },
};

static gboolean
refuse (Translator *t, const char *what, GError **error)
{
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
               _("the regular expression “%.*s” uses %s, which is not supported"),
               (int) MIN (t->length, 200), t->pattern, what);
  return FALSE;
}

static gboolean
truncated (Translator *t, GError **error)
{
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
               _("the regular expression “%.*s” is invalid: it ends too early"),
               (int) MIN (t->length, 200), t->pattern);
  return FALSE;
}

static void
copy_char (Translator *t)
{
  gsize n = MIN (peft_text_char_length (t->p), (gsize) (t->end - t->p));

  g_string_append_len (t->out, t->p, n);
  t->p += n;
}

static const char *
find_set (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (property_names); i++)
    if (g_ascii_strcasecmp (property_names[i].name, name) == 0)
      return property_names[i].pcre;
  return NULL;
}

/* A set, or what it leaves out: within brackets only a set of one property can be turned around. */
static gboolean
append_set (Translator *t, const char *set, gboolean negative, gboolean in_class, GError **error)
{
  gboolean single = g_str_has_prefix (set, "\\p{") && strchr (set + 1, '\\') == NULL;

  if (in_class && negative && !single)
    return refuse (t, _("a negated property of several parts within brackets"), error);
  if (in_class && negative)
    g_string_append_printf (t->out, "\\P%s", set + 2);
  else if (in_class)
    g_string_append (t->out, set);
  else
    g_string_append_printf (t->out, negative ? "[^%s]" : "[%s]", set);
  return TRUE;
}

/* \p{Han} is the script there and, since PCRE2 10.40, the script extensions here. */
static gboolean
is_script (const char *name)
{
  g_autofree char *pattern = g_strdup_printf ("\\p{sc:%s}", name);
  int code_number;
  PCRE2_SIZE offset;
  pcre2_code *code = pcre2_compile ((PCRE2_SPTR) pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF,
                                    &code_number, &offset, NULL);

  pcre2_code_free (code);
  return code != NULL;
}

/* At the letter of \p{NAME}, \P{NAME}, \p{^NAME}. */
static gboolean
translate_property (Translator *t, gboolean in_class, GError **error)
{
  gboolean negative = *t->p == 'P';
  g_autoptr (GString) name = g_string_new (NULL);
  const char *set;
  gboolean script;

  t->p++;
  if (t->p == t->end || *t->p != '{')
    {
      g_string_append (t->out, negative ? "\\P" : "\\p");
      return TRUE;
    }
  t->p++;
  if (t->p < t->end && *t->p == '^')
    {
      negative = !negative;
      t->p++;
    }
  for (; t->p < t->end && *t->p != '}'; t->p++)
    if (*t->p != ' ' && *t->p != '_' && *t->p != '-')
      g_string_append_c (name, *t->p);
  if (t->p == t->end)
    return truncated (t, error);
  t->p++;
  set = find_set (name->str);
  if (set != NULL)
    return append_set (t, set, negative, in_class, error);
  script = name->len > 2 && is_script (name->str);
  g_string_append_printf (t->out, "\\%c{%s%s}", negative ? 'P' : 'p', script ? "sc:" : "",
                          name->str);
  return TRUE;
}

/* At a backslash. */
static gboolean
translate_escape (Translator *t, gboolean in_class, GError **error)
{
  char c;

  t->p++;
  if (t->p == t->end)
    return truncated (t, error);
  c = *t->p;
  if (c == 'p' || c == 'P')
    return translate_property (t, in_class, error);
  if (in_class && (c == 'W' || c == 'H'))
    return refuse (t, c == 'W' ? "[\\W]" : "[\\H]", error);
  if (in_class && c == 'b')
    c = 0;
  switch (c)
    {
    case 's':
      g_string_append (t->out, in_class ? SPACE_SET : "[" SPACE_SET "]");
      break;
    case 'S':
      g_string_append (t->out, in_class ? "\\S\\x{180e}" : "[^" SPACE_SET "]");
      break;
    case 'w':
      g_string_append (t->out, in_class ? WORD_SET : "[" WORD_SET "]");
      break;
    case 'W':
      g_string_append (t->out, "[^" WORD_SET "]");
      break;
    case 'h':
      g_string_append (t->out, in_class ? HEX_SET : "[" HEX_SET "]");
      break;
    case 'H':
      g_string_append (t->out, "[^" HEX_SET "]");
      break;
    case 'b':
      g_string_append (t->out, "(?:(?<=[" WORD_SET "])(?![" WORD_SET "])|(?<![" WORD_SET
                               "])(?=[" WORD_SET "]))");
      break;
    case 'B':
      g_string_append (t->out, "(?:(?<=[" WORD_SET "])(?=[" WORD_SET "])|(?<![" WORD_SET
                               "])(?![" WORD_SET "]))");
      break;
    case 'v':
      g_string_append (t->out, "\\x0b");
      break;
    case 'u':
      for (int i = 1; i <= 4; i++)
        if (t->p + i >= t->end || !g_ascii_isxdigit (t->p[i]))
          return truncated (t, error);
      g_string_append_printf (t->out, "\\x{%.4s}", t->p + 1);
      t->p += 4;
      break;
    case 'Q':
    case 'E':
      /* Letters with no meaning there, quoting here. */
      g_string_append_c (t->out, c);
      break;
    case 0:
    default:
      g_string_append_c (t->out, '\\');
      copy_char (t);
      /* The braces of \x{1F600} are no interval. */
      if (c == 'x' && t->p < t->end && *t->p == '{')
        while (t->p < t->end && t->p[-1] != '}')
          copy_char (t);
      return TRUE;
    }
  t->p++;
  return TRUE;
}

/* At [:NAME:] or [:^NAME:]; *found FALSE where it is none. */
static gboolean
translate_posix (Translator *t, gboolean *found, GError **error)
{
  const char *close = g_strstr_len (t->p, t->end - t->p, ":]");
  const char *start = t->p + 2;
  gboolean negative = start < t->end && *start == '^';
  g_autofree char *name = NULL;
  const char *set;

  *found = FALSE;
  start += negative;
  for (const char *q = start; close != NULL && q < close; q++)
    if (!g_ascii_isalpha (*q))
      close = NULL;
  if (close == NULL || close <= start)
    return TRUE;
  name = g_strndup (start, close - start);
  set = find_set (name);
  if (strcmp (name, "punct") == 0)
    set = "\\p{P}\\p{S}";
  else if (strcmp (name, "word") == 0)
    set = POSIX_WORD_SET;
  if (set == NULL)
    return refuse (t, name, error);
  *found = TRUE;
  t->p = close + 2;
  return append_set (t, set, negative, TRUE, error);
}

/* The inside of brackets up to the closing one or &&. Positive brackets within are their union. */
static gboolean
translate_members (Translator *t, gboolean nested, GError **error)
{
  gboolean first = TRUE;

  for (; t->p < t->end; first = FALSE)
    {
      if (*t->p == ']' && !first)
        return TRUE;
      if (*t->p == '&' && t->p + 1 < t->end && t->p[1] == '&')
        return nested ? refuse (t, _("&& within nested brackets"), error) : TRUE;
      if (*t->p == '\\')
        {
          if (!translate_escape (t, TRUE, error))
            return FALSE;
        }
      else if (*t->p == '[')
        {
          gboolean posix = FALSE;

          if (t->p + 1 < t->end && t->p[1] == ':' && !translate_posix (t, &posix, error))
            return FALSE;
          if (posix)
            continue;
          t->p++;
          if (t->p < t->end && *t->p == '^')
            return refuse (t, _("negated brackets within brackets"), error);
          if (++t->depth > PEFT_REGEX_MAX_DEPTH)
            return refuse (t, _("brackets nested too deeply"), error);
          if (!translate_members (t, TRUE, error))
            return FALSE;
          t->depth--;
          t->p++; /* ] */
        }
      else if (*t->p == ']')
        {
          g_string_append (t->out, "\\]");
          t->p++;
        }
      else
        copy_char (t);
    }
  return truncated (t, error);
}

/* At [. An intersection [A&&B] becomes (?:(?=[B])[A]). */
static gboolean
translate_class (Translator *t, GError **error)
{
  gsize start = t->out->len;
  gboolean negative;

  if (++t->depth > PEFT_REGEX_MAX_DEPTH)
    return refuse (t, _("brackets nested too deeply"), error);
  t->p++;
  negative = t->p < t->end && *t->p == '^';
  g_string_append (t->out, negative ? "[^" : "[");
  if (negative)
    t->p++;
  if (!translate_members (t, FALSE, error))
    return FALSE;
  g_string_append_c (t->out, ']');
  if (*t->p == '&' && negative)
    return refuse (t, _("&& within negated brackets"), error);
  while (*t->p == '&')
    {
      g_autofree char *left = g_strdup (t->out->str + start);

      t->p += 2;
      g_string_truncate (t->out, start);
      g_string_append (t->out, "(?:(?=");
      if (t->p < t->end && *t->p == '[')
        {
          if (!translate_class (t, error))
            return FALSE;
        }
      else
        {
          g_string_append_c (t->out, '[');
          if (!translate_members (t, FALSE, error))
            return FALSE;
          g_string_append_c (t->out, ']');
        }
      g_string_append_printf (t->out, ")%s)", left);
      if (t->p == t->end)
        return truncated (t, error);
      if (*t->p != ']' && *t->p != '&')
        return refuse (t, _("more than one operand beside &&"), error);
    }
  t->p++;
  t->depth--;
  return TRUE;
}

/* At ( . */
static gboolean
translate_group (Translator *t, GError **error)
{
  gsize start = t->out->len;
  const char *q;

  g_string_append_c (t->out, '(');
  t->p++;
  if (t->p < t->end && *t->p == '*')
    return refuse (t, "(*…)", error);
  if (t->p + 1 < t->end && t->p[0] == '?' && t->p[1] == '~')
    return refuse (t, "(?~…)", error);
  if (t->p + 1 < t->end && t->p[0] == '?' && t->p[1] == '#')
    {
      while (t->p < t->end && *t->p != ')')
        t->p++;
      if (t->p == t->end)
        return truncated (t, error);
      t->p++;
      g_string_truncate (t->out, start);
      return TRUE;
    }
  t->atom = -1;
  if (t->p < t->end && *t->p == '?')
    {
      g_string_append_c (t->out, '?');
      t->p++;
      for (q = t->p; q < t->end && strchr ("imx-", *q) != NULL && *q != 0; q++)
        ;
      if (q > t->p && q < t->end && (*q == ':' || *q == ')'))
        {
          /* m there is what s is here: the dot matches newlines. */
          for (; t->p < q; t->p++)
            g_string_append_c (t->out, *t->p == 'm' ? 's' : *t->p);
          g_string_append_c (t->out, *q);
          t->p++;
          if (*q == ')')
            return TRUE;
        }
    }
  g_array_append_val (t->groups, start);
  return TRUE;
}

/* At { . An interval is not possessive with + there, and {n}? is optional, not lazy. */
static void
translate_interval (Translator *t)
{
  const char *q = t->p + 1, *low, *high;
  gsize n_low, n_high;
  gboolean comma;
  g_autofree char *interval = NULL;

  for (low = q; q < t->end && g_ascii_isdigit (*q); q++)
    ;
  n_low = q - low;
  comma = q < t->end && *q == ',';
  q += comma;
  for (high = q; q < t->end && g_ascii_isdigit (*q); q++)
    ;
  n_high = q - high;
  if (q == t->end || *q != '}' || n_low + n_high == 0 || t->atom < 0)
    {
      t->atom = t->out->len;
      g_string_append (t->out, "\\{");
      t->p++;
      return;
    }
  interval = g_strdup_printf ("{%.*s%s%.*s}", n_low > 0 ? (int) n_low : 1, n_low > 0 ? low : "0",
                              comma ? "," : "", (int) n_high, high);
  t->p = q + 1;
  if (t->p < t->end && (*t->p == '+' || (*t->p == '?' && !comma)))
    {
      g_string_insert (t->out, t->atom, "(?:");
      g_string_append_printf (t->out, "%s)%c", interval, *t->p);
      t->p++;
    }
  else
    g_string_append (t->out, interval);
}

char *
peft_regex_translate (const char *pattern, gsize length, GError **error)
{
  g_autoptr (GString) out = g_string_new (NULL);
  g_autoptr (GArray) groups = g_array_new (FALSE, FALSE, sizeof (gsize));
  Translator t = { pattern, length, pattern, pattern + length, out, groups, -1, 0 };
  gboolean ok = TRUE;

  if (length > PEFT_REGEX_MAX_PATTERN_BYTES)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                   _("a regular expression has %zu"
                     " bytes, at most %u are allowed"),
                   length, PEFT_REGEX_MAX_PATTERN_BYTES);
      return NULL;
    }
  if (!peft_text_is_utf8 (pattern, length) || memchr (pattern, 0, length) != NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("a regular expression is not valid UTF-8 or holds a NUL"));
      return NULL;
    }
  while (ok && t.p < t.end)
    {
      gsize start = out->len;

      switch (*t.p)
        {
        case '\\':
          ok = translate_escape (&t, FALSE, error);
          t.atom = start;
          break;
        case '[':
          ok = translate_class (&t, error);
          t.atom = start;
          break;
        case '(':
          ok = translate_group (&t, error);
          break;
        case ')':
          t.atom = -1;
          if (groups->len > 0)
            {
              t.atom = g_array_index (groups, gsize, groups->len - 1);
              g_array_set_size (groups, groups->len - 1);
            }
          copy_char (&t);
          break;
        case '{':
          translate_interval (&t);
          break;
        case '|':
          t.atom = -1;
          copy_char (&t);
          break;
        case '*':
        case '+':
        case '?':
          copy_char (&t);
          break;
        default:
          copy_char (&t);
          t.atom = start;
        }
    }
  return ok ? g_string_free (g_steal_pointer (&out), FALSE) : NULL;
}
