/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-normalizer.h"

#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "text/peft-text-json.h"
#include "text/peft-text-util.h"

typedef struct
{
  const char *type;
  gboolean (*parse) (PeftNormalizer *self, const PeftJson *json, guint depth, GError **error);
  gboolean (*apply) (const PeftNormalizer *self, PeftRegexScratch *scratch,
                     PeftAlignedText **text, GError **error);
  GNormalizeMode mode;
} NormalizerClass;

struct _PeftNormalizer
{
  const NormalizerClass *klass;
  GPtrArray *parts;   /* Sequence */
  PeftRegex *regex;   /* Replace */
  char *content;      /* Prepend, Replace */
  gsize content_length;
  gboolean left, right; /* Strip */
};

static PeftNormalizer *normalizer_new (const PeftJson *json, guint depth, GError **error);

static gboolean
parse_nothing (PeftNormalizer *self, const PeftJson *json, guint depth, GError **error)
{
  return TRUE;
}

static gboolean
parse_sequence (PeftNormalizer *self, const PeftJson *json, guint depth, GError **error)
{
  PeftJson *parts = peft_text_json_parts (json, "normalizers", depth, error);

  if (parts == NULL)
    return FALSE;
  self->parts = g_ptr_array_new_with_free_func ((GDestroyNotify) peft_normalizer_free);
  for (gsize i = 0; i < peft_json_get_length (parts); i++)
    {
      PeftNormalizer *part = normalizer_new (peft_json_get_element (parts, i), depth + 1, error);

      if (part == NULL)
        {
          g_prefix_error (error, "normalizers[%zu]: ", i);
          return FALSE;
        }
      g_ptr_array_add (self->parts, part);
    }
  return TRUE;
}

static gboolean
apply_sequence (const PeftNormalizer *self, PeftRegexScratch *scratch, PeftAlignedText **text,
                GError **error)
{
  for (guint i = 0; i < self->parts->len; i++)
    if (!peft_normalizer_apply (self->parts->pdata[i], scratch, text, error))
      return FALSE;
  return TRUE;
}

static gboolean
read_content (PeftNormalizer *self, const PeftJson *json, const char *name, GError **error)
{
  const char *content = peft_text_json_string (json, name, &self->content_length, error);

  if (content == NULL)
    return FALSE;
  self->content = g_memdup2 (content, self->content_length + 1);
  return TRUE;
}

static gboolean
parse_prepend (PeftNormalizer *self, const PeftJson *json, guint depth, GError **error)
{
  return read_content (self, json, "prepend", error);
}

static gboolean
apply_prepend (const PeftNormalizer *self, PeftRegexScratch *scratch, PeftAlignedText **text,
               GError **error)
{
  PeftAlignedText *in = *text;
  PeftAlignedText *out;

  if (in->text->len == 0)
    return TRUE;
  out = peft_aligned_text_new_from (in);
  peft_aligned_text_append_new (
      out, self->content, self->content_length,
      peft_aligned_text_get_span (in, 0, peft_text_char_length (in->text->str)));
  peft_aligned_text_append (out, in, 0, in->text->len);
  peft_aligned_text_free (in);
  *text = out;
  return TRUE;
}

static gboolean
parse_replace (PeftNormalizer *self, const PeftJson *json, guint depth, GError **error)
{
  gboolean literal;
  gsize length;
  const char *pattern = peft_text_json_pattern (json, &literal, &length, error);

  if (pattern == NULL || !read_content (self, json, "content", error))
    return FALSE;
  self->regex = literal ? peft_regex_new_literal (pattern, length, error)
                        : peft_regex_new (pattern, length, error);
  return self->regex != NULL;
}

static gboolean
apply_replace (const PeftNormalizer *self, PeftRegexScratch *scratch, PeftAlignedText **text,
               GError **error)
{
  PeftAlignedText *in = *text;
  g_autoptr (PeftAlignedText) out = peft_aligned_text_new_from (in);
  PeftRegexCursor cursor = { 0, -1 };
  gsize start, end, done = 0;
  int found;

  while ((found = peft_regex_next (self->regex, scratch, in->text->str, in->text->len, &cursor,
                                   &start, &end, error)) > 0)
    {
      if (out->text->len + (start - done) + self->content_length > PEFT_NORMALIZER_MAX_BYTES)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                       _("the normalized text would be longer than %u bytes"),
                       PEFT_NORMALIZER_MAX_BYTES);
          return FALSE;
        }
      peft_aligned_text_append (out, in, done, start - done);
      peft_aligned_text_append_new (out, self->content, self->content_length,
                                    peft_aligned_text_get_span (in, start, end));
      done = end;
    }
  if (found < 0)
    return FALSE;
  peft_aligned_text_append (out, in, done, in->text->len - done);
  peft_aligned_text_free (in);
  *text = g_steal_pointer (&out);
  return TRUE;
}

static gboolean
parse_strip (PeftNormalizer *self, const PeftJson *json, guint depth, GError **error)
{
  return peft_text_json_boolean (json, "strip_left", TRUE, &self->left, error) &&
         peft_text_json_boolean (json, "strip_right", TRUE, &self->right, error);
}

static gboolean
apply_strip (const PeftNormalizer *self, PeftRegexScratch *scratch, PeftAlignedText **text,
             GError **error)
{
  PeftAlignedText *in = *text;
  PeftAlignedText *out;
  const char *start = in->text->str;
  const char *end = start + in->text->len;

  while (self->left && start < end && peft_text_is_space (g_utf8_get_char (start)))
    start += peft_text_char_length (start);
  while (self->right && start < end &&
         peft_text_is_space (g_utf8_get_char (g_utf8_prev_char (end))))
    end = g_utf8_prev_char (end);
  out = peft_aligned_text_new_from (in);
  peft_aligned_text_append (out, in, start - in->text->str, end - start);
  peft_aligned_text_free (in);
  *text = out;
  return TRUE;
}

static gboolean
apply_lowercase (const PeftNormalizer *self, PeftRegexScratch *scratch, PeftAlignedText **text,
                 GError **error)
{
  PeftAlignedText *in = *text;
  PeftAlignedText *out = peft_aligned_text_new_from (in);

  for (gsize i = 0; i < in->text->len;)
    {
      gsize n = peft_text_char_length (in->text->str + i);
      gunichar c = g_utf8_get_char (in->text->str + i);
      gunichar lower = g_unichar_tolower (c);
      char buffer[8];
      int length;

      if (c == 0x130) /* the one character that becomes two, in any language */
        length = g_snprintf (buffer, sizeof buffer, "i\xcc\x87");
      else
        length = g_unichar_to_utf8 (lower, buffer);
      if (lower == c && c != 0x130)
        peft_aligned_text_append (out, in, i, n);
      else
        peft_aligned_text_append_new (out, buffer, length,
                                      peft_aligned_text_get_span (in, i, i + n));
      i += n;
    }
  peft_aligned_text_free (in);
  *text = out;
  return TRUE;
}

static gboolean
apply_unicode (const PeftNormalizer *self, PeftRegexScratch *scratch, PeftAlignedText **text,
               GError **error)
{
  peft_normalize_unicode (self->klass->mode, text);
  return TRUE;
}

static const NormalizerClass classes[] = {
  { "Lowercase", parse_nothing, apply_lowercase },
  { "NFC", parse_nothing, apply_unicode, G_NORMALIZE_NFC },
  { "NFD", parse_nothing, apply_unicode, G_NORMALIZE_NFD },
  { "NFKC", parse_nothing, apply_unicode, G_NORMALIZE_NFKC },
  { "NFKD", parse_nothing, apply_unicode, G_NORMALIZE_NFKD },
  { "Prepend", parse_prepend, apply_prepend },
  { "Replace", parse_replace, apply_replace },
  { "Sequence", parse_sequence, apply_sequence },
  { "Strip", parse_strip, apply_strip },
};

static PeftNormalizer *
normalizer_new (const PeftJson *json, guint depth, GError **error)
{
  const char *type = peft_text_json_type (json, error);

  if (type == NULL)
    return NULL;
  for (gsize i = 0; i < G_N_ELEMENTS (classes); i++)
    if (strcmp (type, classes[i].type) == 0)
      {
        g_autoptr (PeftNormalizer) self = g_new0 (PeftNormalizer, 1);

        self->klass = &classes[i];
        if (!self->klass->parse (self, json, depth, error))
          return NULL;
        return g_steal_pointer (&self);
      }
  peft_text_json_unknown (type, _("normalizer"), error);
  return NULL;
}

PeftNormalizer *
peft_normalizer_new_from_json (const PeftJson *json, GError **error)
{
  return normalizer_new (json, 0, error);
}

void
peft_normalizer_free (PeftNormalizer *self)
{
  if (self == NULL)
    return;
  g_clear_pointer (&self->parts, g_ptr_array_unref);
  peft_regex_free (self->regex);
  g_free (self->content);
  g_free (self);
}

gboolean
peft_normalizer_apply (const PeftNormalizer *self, PeftRegexScratch *scratch,
                       PeftAlignedText **text, GError **error)
{
  return self == NULL || self->klass->apply (self, scratch, text, error);
}
