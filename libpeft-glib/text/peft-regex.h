/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Regular expressions of tokenizer.json files. They are written for Oniguruma (Ruby syntax); they
 * are translated for PCRE2 where the two differ, and matching is bounded so that no pattern hangs. */

#define PEFT_REGEX_MAX_PATTERN_BYTES 65536u
#define PEFT_REGEX_MAX_DEPTH 64u /* brackets within brackets */
#define PEFT_REGEX_MATCH_LIMIT 50000000u
#define PEFT_REGEX_DEPTH_LIMIT 1000000u
#define PEFT_REGEX_HEAP_LIMIT_KIB (64u * 1024u)

typedef struct _PeftRegex PeftRegex;
/* What a match needs besides the pattern: one for each thread that matches. */
typedef struct _PeftRegexScratch PeftRegexScratch;

/* Where a search through a text stands; starts as { 0, -1 }. */
typedef struct
{
  gsize at;
  gssize last_end;
} PeftRegexCursor;

/* Errors: PEFT_ERROR_INVALID_FILE or PEFT_ERROR_UNSUPPORTED, naming the pattern. */
PeftRegex *peft_regex_new (const char *pattern, gsize length, GError **error);
/* Matches the text itself. */
PeftRegex *peft_regex_new_literal (const char *text, gsize length, GError **error);
void peft_regex_free (PeftRegex *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftRegex, peft_regex_free)

PeftRegexScratch *peft_regex_scratch_new (void);
void peft_regex_scratch_free (PeftRegexScratch *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftRegexScratch, peft_regex_scratch_free)

/* The next match in text, which is valid UTF-8: 1 and [start, end), 0 at the end, -1 on error (a
 * limit was crossed). An empty match is not given right behind the match before. */
int peft_regex_next (const PeftRegex *self, PeftRegexScratch *scratch, const char *text,
                     gsize length, PeftRegexCursor *cursor, gsize *start, gsize *end,
                     GError **error);

/* The pattern in PCRE2's syntax. */
char *peft_regex_translate (const char *pattern, gsize length, GError **error);
