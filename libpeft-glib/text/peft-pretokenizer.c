/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-pretokenizer.h"

#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "text/peft-byte-level.h"
#include "text/peft-text-json.h"
#include "text/peft-text-util.h"

typedef enum
{
  PREPEND_NEVER,
  PREPEND_FIRST, /* only at the start of the source */
  PREPEND_ALWAYS
} PrependScheme;

typedef struct
{
  const char *type;
  gboolean (*parse) (PeftPretokenizer *self, const PeftJson *json, guint depth, GError **error);
  gboolean (*apply) (const PeftPretokenizer *self, PeftRegexScratch *scratch, PeftPieces *pieces,
                     GError **error);
} PretokenizerClass;

struct _PeftPretokenizer
{
  const PretokenizerClass *klass;
  GPtrArray *parts; /* Sequence */
  PeftRegex *regex; /* Split, ByteLevel */
  PeftSplitBehavior behavior;
  gboolean invert;
  gboolean add_prefix_space; /* ByteLevel */
  gboolean individual;       /* Digits */
  gboolean split;            /* Metaspace */
  gunichar character;        /* Metaspace, CharDelimiterSplit */
  PrependScheme prepend;
};

static PeftPretokenizer *pretokenizer_new (const PeftJson *json, guint depth, GError **error);

static gboolean
parse_nothing (PeftPretokenizer *self, const PeftJson *json, guint depth, GError **error)
{
  return TRUE;
}

static gboolean
parse_sequence (PeftPretokenizer *self, const PeftJson *json, guint depth, GError **error)
{
  PeftJson *parts = peft_text_json_parts (json, "pretokenizers", depth, error);

  if (parts == NULL)
    return FALSE;
  self->parts = g_ptr_array_new_with_free_func ((GDestroyNotify) peft_pretokenizer_free);
  for (gsize i = 0; i < peft_json_get_length (parts); i++)
    {
      PeftPretokenizer *part =
          pretokenizer_new (peft_json_get_element (parts, i), depth + 1, error);

      if (part == NULL)
        {
          g_prefix_error (error, "pretokenizers[%zu]: ", i);
          return FALSE;
        }
      g_ptr_array_add (self->parts, part);
    }
  return TRUE;
}

static gboolean
apply_sequence (const PeftPretokenizer *self, PeftRegexScratch *scratch, PeftPieces *pieces,
                GError **error)
{
  for (guint i = 0; i < self->parts->len; i++)
    if (!peft_pretokenizer_apply (self->parts->pdata[i], scratch, pieces, error))
      return FALSE;
  return TRUE;
}

static gboolean
parse_byte_level (PeftPretokenizer *self, const PeftJson *json, guint depth, GError **error)
{
  gboolean use_regex;

  if (!peft_text_json_boolean (json, "add_prefix_space", TRUE, &self->add_prefix_space, error) ||
      !peft_text_json_boolean (json, "use_regex", TRUE, &use_regex, error))
    return FALSE;
  if (use_regex)
    self->regex =
        peft_regex_new (PEFT_BYTE_LEVEL_PATTERN, strlen (PEFT_BYTE_LEVEL_PATTERN), error);
  return !use_regex || self->regex != NULL;
}

static void
prefix_space (const PeftAlignedText *in, PeftPiece piece, PeftAlignedText *out, gpointer data)
{
  const char *text = in->text->str + piece.start;

  if (*text != ' ')
    peft_aligned_text_append_new (
        out, " ", 1,
        peft_aligned_text_get_span (in, piece.start, piece.start + peft_text_char_length (text)));
  peft_aligned_text_append (out, in, piece.start, piece.end - piece.start);
}

static void
spell_bytes (const PeftAlignedText *in, PeftPiece piece, PeftAlignedText *out, gpointer data)
{
  for (gsize i = piece.start; i < piece.end; i++)
    {
      char spelled[2];
      int n = peft_byte_level_encode ((guint8) in->text->str[i], spelled);

      if (out->spans == NULL)
        {
          g_string_append_c (out->text, spelled[0]);
          if (n > 1)
            g_string_append_c (out->text, spelled[1]);
        }
      else
        peft_aligned_text_append_new (out, spelled, n, peft_aligned_text_get_span (in, i, i + 1));
    }
}

static gboolean
apply_byte_level (const PeftPretokenizer *self, PeftRegexScratch *scratch, PeftPieces *pieces,
                  GError **error)
{
  if (self->add_prefix_space)
    peft_pieces_rewrite (pieces, prefix_space, NULL);
  if (self->regex != NULL && !peft_pieces_split_regex (pieces, self->regex, scratch,
                                                       PEFT_SPLIT_ISOLATED, FALSE, error))
    return FALSE;
  peft_pieces_rewrite (pieces, spell_bytes, NULL);
  return TRUE;
}

static gboolean
read_behavior (PeftPretokenizer *self, const PeftJson *json, const char *standard,
               GError **error)
{
  const char *name = standard;

  if (!peft_json_read_string (json, "behavior", &name, error))
    return FALSE;
  if (name == NULL || !peft_split_behavior_from_name (name, &self->behavior))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("behavior: “%s” is none of Removed, Isolated, MergedWithPrevious, "
                     "MergedWithNext, Contiguous"),
                   name != NULL ? name : "null");
      return FALSE;
    }
  return TRUE;
}

static gboolean
parse_split (PeftPretokenizer *self, const PeftJson *json, guint depth, GError **error)
{
  gboolean literal;
  gsize length;
  const char *pattern = peft_text_json_pattern (json, &literal, &length, error);

  if (pattern == NULL || !read_behavior (self, json, NULL, error) ||
      !peft_text_json_boolean (json, "invert", FALSE, &self->invert, error))
    return FALSE;
  self->regex = literal ? peft_regex_new_literal (pattern, length, error)
                        : peft_regex_new (pattern, length, error);
  return self->regex != NULL;
}

static gboolean
apply_split (const PeftPretokenizer *self, PeftRegexScratch *scratch, PeftPieces *pieces,
             GError **error)
{
  return peft_pieces_split_regex (pieces, self->regex, scratch, self->behavior, self->invert,
                                  error);
}

static gboolean
is_numeric (gunichar c, gpointer data)
{
  return peft_text_is_numeric (c);
}

static gboolean
parse_digits (PeftPretokenizer *self, const PeftJson *json, guint depth, GError **error)
{
  return peft_text_json_boolean (json, "individual_digits", FALSE, &self->individual, error);
}

static gboolean
apply_digits (const PeftPretokenizer *self, PeftRegexScratch *scratch, PeftPieces *pieces,
              GError **error)
{
  peft_pieces_split_chars (pieces, is_numeric, NULL,
                           self->individual ? PEFT_SPLIT_ISOLATED : PEFT_SPLIT_CONTIGUOUS);
  return TRUE;
}

static gboolean
is_punctuation (gunichar c, gpointer data)
{
  return peft_text_is_punctuation (c);
}

static gboolean
parse_punctuation (PeftPretokenizer *self, const PeftJson *json, guint depth, GError **error)
{
  return read_behavior (self, json, "Isolated", error);
}

static gboolean
apply_punctuation (const PeftPretokenizer *self, PeftRegexScratch *scratch, PeftPieces *pieces,
                   GError **error)
{
  peft_pieces_split_chars (pieces, is_punctuation, NULL, self->behavior);
  return TRUE;
}

static gboolean
is_character (gunichar c, gpointer data)
{
  return c == *(const gunichar *) data;
}

static gboolean
parse_char_delimiter (PeftPretokenizer *self, const PeftJson *json, guint depth, GError **error)
{
  return peft_text_json_char (json, "delimiter", &self->character, error);
}

static gboolean
apply_char_delimiter (const PeftPretokenizer *self, PeftRegexScratch *scratch,
                      PeftPieces *pieces, GError **error)
{
  gunichar delimiter = self->character;

  peft_pieces_split_chars (pieces, is_character, &delimiter, PEFT_SPLIT_REMOVED);
  return TRUE;
}

static int
not_space_class (gunichar c)
{
  return !peft_text_is_space (c);
}

static gboolean
apply_whitespace_split (const PeftPretokenizer *self, PeftRegexScratch *scratch,
                        PeftPieces *pieces, GError **error)
{
  peft_pieces_split_classes (pieces, not_space_class);
  return TRUE;
}

static int
word_class (gunichar c)
{
  return peft_text_is_space (c) ? 0 : peft_text_is_word (c) ? 1 : 2;
}

static gboolean
apply_whitespace (const PeftPretokenizer *self, PeftRegexScratch *scratch, PeftPieces *pieces,
                  GError **error)
{
  peft_pieces_split_classes (pieces, word_class);
  return TRUE;
}

static gboolean
parse_metaspace (PeftPretokenizer *self, const PeftJson *json, guint depth, GError **error)
{
  const char *scheme = NULL;
  gboolean old_prefix = TRUE;
  gboolean has_old = peft_json_get_member (json, "add_prefix_space") != NULL;

  if (!peft_text_json_char (json, "replacement", &self->character, error) ||
      !peft_text_json_boolean (json, "split", TRUE, &self->split, error) ||
      !peft_text_json_boolean (json, "add_prefix_space", TRUE, &old_prefix, error) ||
      !peft_json_read_string (json, "prepend_scheme", &scheme, error))
    return FALSE;
  if (scheme == NULL)
    scheme = old_prefix ? "always" : "never";
  if (strcmp (scheme, "always") == 0)
    self->prepend = PREPEND_ALWAYS;
  else if (strcmp (scheme, "first") == 0)
    self->prepend = PREPEND_FIRST;
  else if (strcmp (scheme, "never") == 0)
    self->prepend = PREPEND_NEVER;
  else
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("prepend_scheme: “%s” is none of always, first, never"), scheme);
      return FALSE;
    }
  if (has_old && !old_prefix && self->prepend != PREPEND_NEVER)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("add_prefix_space: false contradicts prepend_scheme “%s”"), scheme);
      return FALSE;
    }
  return TRUE;
}

static void
rewrite_metaspace (const PeftAlignedText *in, PeftPiece piece, PeftAlignedText *out,
                   gpointer data)
{
  const PeftPretokenizer *self = data;
  const char *text = in->text->str;
  char mark[6];
  int n = g_unichar_to_utf8 (self->character, mark);
  gsize first = peft_text_char_length (text + piece.start);
  PeftSpan span = peft_aligned_text_get_span (in, piece.start, piece.start + first);
  gunichar c = g_utf8_get_char (text + piece.start);
  gsize done = piece.start;
  /* Uncut text starts where its section does, whatever a normalizer took away there. */
  gboolean uncut = piece.start == 0 && piece.end == in->text->len;
  gsize source = uncut ? in->base : span.start;

  if (c != ' ' && c != self->character &&
      (self->prepend == PREPEND_ALWAYS || (self->prepend == PREPEND_FIRST && source == 0)))
    peft_aligned_text_append_new (out, mark, n, span);
  for (gsize i = piece.start; i < piece.end; i++)
    if (text[i] == ' ')
      {
        peft_aligned_text_append (out, in, done, i - done);
        peft_aligned_text_append_new (out, mark, n, peft_aligned_text_get_span (in, i, i + 1));
        done = i + 1;
      }
  peft_aligned_text_append (out, in, done, piece.end - done);
}

static gboolean
apply_metaspace (const PeftPretokenizer *self, PeftRegexScratch *scratch, PeftPieces *pieces,
                 GError **error)
{
  gunichar mark = self->character;

  peft_pieces_rewrite (pieces, rewrite_metaspace, (gpointer) self);
  if (self->split)
    peft_pieces_split_chars (pieces, is_character, &mark, PEFT_SPLIT_MERGED_WITH_NEXT);
  return TRUE;
}

static const PretokenizerClass classes[] = {
  { "ByteLevel", parse_byte_level, apply_byte_level },
  { "CharDelimiterSplit", parse_char_delimiter, apply_char_delimiter },
  { "Digits", parse_digits, apply_digits },
  { "Metaspace", parse_metaspace, apply_metaspace },
  { "Punctuation", parse_punctuation, apply_punctuation },
  { "Sequence", parse_sequence, apply_sequence },
  { "Split", parse_split, apply_split },
  { "Whitespace", parse_nothing, apply_whitespace },
  { "WhitespaceSplit", parse_nothing, apply_whitespace_split },
};

static PeftPretokenizer *
pretokenizer_new (const PeftJson *json, guint depth, GError **error)
{
  const char *type = peft_text_json_type (json, error);

  if (type == NULL)
    return NULL;
  for (gsize i = 0; i < G_N_ELEMENTS (classes); i++)
    if (strcmp (type, classes[i].type) == 0)
      {
        g_autoptr (PeftPretokenizer) self = g_new0 (PeftPretokenizer, 1);

        self->klass = &classes[i];
        if (!self->klass->parse (self, json, depth, error))
          return NULL;
        return g_steal_pointer (&self);
      }
  peft_text_json_unknown (type, _("pre-tokenizer"), error);
  return NULL;
}

PeftPretokenizer *
peft_pretokenizer_new_from_json (const PeftJson *json, GError **error)
{
  return pretokenizer_new (json, 0, error);
}

void
peft_pretokenizer_free (PeftPretokenizer *self)
{
  if (self == NULL)
    return;
  g_clear_pointer (&self->parts, g_ptr_array_unref);
  peft_regex_free (self->regex);
  g_free (self);
}

gboolean
peft_pretokenizer_needs_spans (const PeftPretokenizer *self)
{
  if (self == NULL)
    return FALSE;
  for (guint i = 0; self->parts != NULL && i < self->parts->len; i++)
    if (peft_pretokenizer_needs_spans (self->parts->pdata[i]))
      return TRUE;
  return self->prepend == PREPEND_FIRST;
}

gboolean
peft_pretokenizer_apply (const PeftPretokenizer *self, PeftRegexScratch *scratch,
                         PeftPieces *pieces, GError **error)
{
  return self == NULL || self->klass->apply (self, scratch, pieces, error);
}
