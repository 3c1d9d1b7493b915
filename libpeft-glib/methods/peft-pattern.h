/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Regular expressions out of adapter configurations, with the meaning that Python's re gives them.
 * They come from files: length, steps, depth and memory of a match are limited, and crossing a
 * limit is PEFT_ERROR_LIMIT. */

#define PEFT_PATTERN_MAX_BYTES 65536u
#define PEFT_PATTERN_MAX_STEPS 1000000u
#define PEFT_PATTERN_MAX_HEAP_KIB 16384u

typedef struct _PeftPattern PeftPattern;

typedef enum
{
  PEFT_PATTERN_MATCH, /* re.match: from the start of the subject */
  PEFT_PATTERN_FULL   /* re.fullmatch: all of the subject */
} PeftPatternMode;

/* Errors carry the expression and the position; code PEFT_ERROR_INVALID_ARGUMENT. */
PeftPattern *peft_pattern_new (const char *regex, PeftPatternMode mode, GError **error);
/* PEFT_PATTERN_MATCH with text in place of the %s in format. */
PeftPattern *peft_pattern_new_around (const char *format, const char *text, GError **error);
void peft_pattern_free (PeftPattern *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftPattern, peft_pattern_free)

gboolean peft_pattern_test (PeftPattern *self, const char *subject, gboolean *matched,
                            GError **error);
/* The text of a named group, NULL when the expression did not match. */
gboolean peft_pattern_capture (PeftPattern *self, const char *subject, const char *group,
                               char **text, GError **error);
