/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-regex.h"

#include <glib/gi18n-lib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/peft-error.h"
#include "text/peft-text-util.h"

#define JIT_STACK_BYTES (8u * 1024u * 1024u)

struct _PeftRegex
{
  pcre2_code *code;
  char *pattern;
};

struct _PeftRegexScratch
{
  pcre2_match_data *data;
  pcre2_match_context *context;
  pcre2_jit_stack *stack;
};

PeftRegex *
peft_regex_new (const char *pattern, gsize length, GError **error)
{
  g_autofree char *translated = peft_regex_translate (pattern, length, error);
  pcre2_compile_context *context;
  PeftRegex *self;
  pcre2_code *code;
  int code_number;
  PCRE2_SIZE offset;

  if (translated == NULL)
    return NULL;
  context = pcre2_compile_context_create (NULL);
  pcre2_set_newline (context, PCRE2_NEWLINE_LF);
  code = pcre2_compile ((PCRE2_SPTR) translated, PCRE2_ZERO_TERMINATED,
                        PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                        &code_number, &offset, context);
  pcre2_compile_context_free (context);
  if (code == NULL)
    {
      char message[256];

      pcre2_get_error_message (code_number, (PCRE2_UCHAR *) message, sizeof message);
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("the regular expression “%.*s” is invalid: %s"),
                   (int) MIN (length, 200), pattern, message);
      return NULL;
    }
  /* Where the system forbids it, the interpreter matches the same. */
  pcre2_jit_compile (code, PCRE2_JIT_COMPLETE);
  self = g_new0 (PeftRegex, 1);
  self->code = code;
  self->pattern = g_strndup (pattern, MIN (length, 200));
  return self;
}

PeftRegex *
peft_regex_new_literal (const char *text, gsize length, GError **error)
{
  g_autoptr (GString) pattern = g_string_new (NULL);

  for (gsize i = 0; i < length; i++)
    {
      if (g_ascii_ispunct (text[i]))
        g_string_append_c (pattern, '\\');
      if (g_ascii_iscntrl (text[i]) || text[i] == ' ')
        g_string_append_printf (pattern, "\\x{%x}", (guint) (guint8) text[i]);
      else
        g_string_append_c (pattern, text[i]);
    }
  return peft_regex_new (pattern->str, pattern->len, error);
}

void
peft_regex_free (PeftRegex *self)
{
  if (self == NULL)
    return;
  pcre2_code_free (self->code);
  g_free (self->pattern);
  g_free (self);
}

PeftRegexScratch *
peft_regex_scratch_new (void)
{
  PeftRegexScratch *self = g_new0 (PeftRegexScratch, 1);

  self->data = pcre2_match_data_create (1, NULL);
  self->context = pcre2_match_context_create (NULL);
  pcre2_set_match_limit (self->context, PEFT_REGEX_MATCH_LIMIT);
  pcre2_set_depth_limit (self->context, PEFT_REGEX_DEPTH_LIMIT);
  pcre2_set_heap_limit (self->context, PEFT_REGEX_HEAP_LIMIT_KIB);
  self->stack = pcre2_jit_stack_create (32 * 1024, JIT_STACK_BYTES, NULL);
  if (self->stack != NULL)
    pcre2_jit_stack_assign (self->context, NULL, self->stack);
  return self;
}

void
peft_regex_scratch_free (PeftRegexScratch *self)
{
  if (self == NULL)
    return;
  pcre2_match_data_free (self->data);
  pcre2_match_context_free (self->context);
  pcre2_jit_stack_free (self->stack);
  g_free (self);
}

static int
match_at (const PeftRegex *self, PeftRegexScratch *scratch, const char *text, gsize length,
          gsize at, GError **error)
{
  char message[256];
  int rc = pcre2_match (self->code, (PCRE2_SPTR) text, length, at, PCRE2_NO_UTF_CHECK,
                        scratch->data, scratch->context);

  if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
    rc = pcre2_match (self->code, (PCRE2_SPTR) text, length, at,
                      PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, scratch->data, scratch->context);
  if (rc >= 0)
    return 1;
  if (rc == PCRE2_ERROR_NOMATCH)
    return 0;
  pcre2_get_error_message (rc, (PCRE2_UCHAR *) message, sizeof message);
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
               _("matching the regular expression “%s” was given up: %s"), self->pattern, message);
  return -1;
}

int
peft_regex_next (const PeftRegex *self, PeftRegexScratch *scratch, const char *text, gsize length,
                 PeftRegexCursor *cursor, gsize *start, gsize *end, GError **error)
{
  const PCRE2_SIZE *found = pcre2_get_ovector_pointer (scratch->data);

  while (cursor->at <= length)
    {
      int rc = match_at (self, scratch, text, length, cursor->at, error);

      if (rc <= 0)
        {
          cursor->at = length + 1;
          return rc;
        }
      /* \K inside a lookahead can put the start behind the end or before the cursor. */
      *start = CLAMP (found[0], cursor->at, length);
      *end = CLAMP (found[1], *start, length);
      if (*start == *end && cursor->last_end == (gssize) *end)
        {
          cursor->at += cursor->at < length ? peft_text_char_length (text + cursor->at) : 1;
          continue;
        }
      cursor->at = *end;
      cursor->last_end = (gssize) *end;
      return 1;
    }
  return 0;
}
