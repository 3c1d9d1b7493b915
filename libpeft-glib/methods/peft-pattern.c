/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "methods/peft-pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <glib/gi18n-lib.h>
#include <pcre2.h>
#include <string.h>

#include "base/peft-error.h"

struct _PeftPattern
{
  char *regex;
  pcre2_code *code;
  pcre2_match_context *context;
  pcre2_match_data *match;
};

static void
set_pcre_error (int number, const char *regex, gsize offset, GError **error)
{
  PCRE2_UCHAR8 text[256];

  pcre2_get_error_message (number, text, sizeof text);
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
               _ ("the regular expression '%s': %s at byte %zu"), regex,
               (const char *) text, offset);
}

PeftPattern *
peft_pattern_new (const char *regex, PeftPatternMode mode, GError **error)
{
  guint32 options = PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED | PCRE2_NEVER_BACKSLASH_C
                    | (mode == PEFT_PATTERN_FULL ? PCRE2_ENDANCHORED : 0);
  gsize length = strlen (regex);
  PeftPattern *self;
  pcre2_code *code;
  PCRE2_SIZE offset;
  int number;

  if (length > PEFT_PATTERN_MAX_BYTES)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                   _ ("a regular expression of %zu bytes, at most %u are allowed"),
                   length, PEFT_PATTERN_MAX_BYTES);
      return NULL;
    }
  code = pcre2_compile ((PCRE2_SPTR) regex, length, options, &number, &offset, NULL);
  if (code == NULL)
    {
      set_pcre_error (number, regex, offset, error);
      return NULL;
    }
  self = g_new0 (PeftPattern, 1);
  self->regex = g_strdup (regex);
  self->code = code;
  self->context = pcre2_match_context_create (NULL);
  self->match = pcre2_match_data_create_from_pattern (code, NULL);
  pcre2_set_match_limit (self->context, PEFT_PATTERN_MAX_STEPS);
  pcre2_set_depth_limit (self->context, PEFT_PATTERN_MAX_STEPS);
  pcre2_set_heap_limit (self->context, PEFT_PATTERN_MAX_HEAP_KIB);
  return self;
}

PeftPattern *
peft_pattern_new_around (const char *format, const char *text, GError **error)
{
  g_auto (GStrv) parts = g_strsplit (format, "%s", 2);
  g_autofree char *regex = g_strconcat (parts[0], text, parts[1], NULL);

  return peft_pattern_new (regex, PEFT_PATTERN_MATCH, error);
}

void
peft_pattern_free (PeftPattern *self)
{
  if (self == NULL)
    return;
  pcre2_match_data_free (self->match);
  pcre2_match_context_free (self->context);
  pcre2_code_free (self->code);
  g_free (self->regex);
  g_free (self);
}

gboolean
peft_pattern_test (PeftPattern *self, const char *subject, gboolean *matched, GError **error)
{
  int result = pcre2_match (self->code, (PCRE2_SPTR) subject, strlen (subject), 0, 0, self->match,
                            self->context);

  *matched = result >= 0;
  if (result >= 0 || result == PCRE2_ERROR_NOMATCH)
    return TRUE;
  if (result == PCRE2_ERROR_MATCHLIMIT || result == PCRE2_ERROR_DEPTHLIMIT
      || result == PCRE2_ERROR_HEAPLIMIT)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                 _ ("the regular expression '%s' takes too many steps on '%s'"), self->regex,
                 subject);
  else
    set_pcre_error (result, self->regex, 0, error);
  return FALSE;
}

gboolean
peft_pattern_capture (
    PeftPattern *self, const char *subject, const char *group, char **text, GError **error)
{
  gboolean matched;
  PCRE2_UCHAR8 *found;
  PCRE2_SIZE length;

  *text = NULL;
  if (!peft_pattern_test (self, subject, &matched, error))
    return FALSE;
  if (matched && pcre2_substring_get_byname (self->match, (PCRE2_SPTR) group, &found, &length) == 0)
    {
      *text = g_strndup ((const char *) found, length);
      pcre2_substring_free (found);
    }
  return TRUE;
}
