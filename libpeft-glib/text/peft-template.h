/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-json.h"

/* Chat templates: the subset of Jinja2 that they use, with the meaning it has in transformers'
 * sandbox (trim_blocks, lstrip_blocks, break/continue, {% generation %}, raise_exception,
 * strftime_now, tojson). A parsed template never changes: threads may render it at the same time. */

typedef struct _PeftTemplate PeftTemplate;

/* Crossing one of these is PEFT_ERROR_LIMIT. */
#define PEFT_TEMPLATE_MAX_SOURCE_BYTES (4u * 1024u * 1024u)
#define PEFT_TEMPLATE_MAX_NESTING 200u     /* of brackets and blocks in the source */
#define PEFT_TEMPLATE_MAX_STEPS 10000000u  /* nodes evaluated, and items or 64 bytes handled */
#define PEFT_TEMPLATE_MAX_DEPTH 2000u      /* of evaluation, so also of recursive macros */
#define PEFT_TEMPLATE_MAX_VALUE_DEPTH 600u /* of lists in lists when printed or compared */
#define PEFT_TEMPLATE_MAX_RANGE 100000u    /* numbers in a range () */
#define PEFT_TEMPLATE_MAX_ITEMS 1000000u   /* of one list */
#define PEFT_TEMPLATE_MAX_STRING_BYTES (16u * 1024u * 1024u)
#define PEFT_TEMPLATE_MAX_OUTPUT_BYTES (64u * 1024u * 1024u)
#define PEFT_TEMPLATE_MAX_MEMORY_BYTES (256u * 1024u * 1024u)

/* A whole number of seconds since 1970 under this name in the variables is the time that
 * strftime_now () gives, in local time, instead of the current one. */
#define PEFT_TEMPLATE_NOW_VARIABLE "__strftime_now__"

/* Bytes [start, end) of a rendered text. */
typedef struct
{
  gsize start;
  gsize end;
} PeftTextSpan;

/* name stands in messages: "NAME: line L: what". Errors: PEFT_ERROR_INVALID_FILE,
 * PEFT_ERROR_UNSUPPORTED (valid Jinja2 that this is not), PEFT_ERROR_LIMIT. */
PeftTemplate *peft_template_parse (const char *source, const char *name, GError **error);
PeftTemplate *peft_template_ref (PeftTemplate *self);
void peft_template_unref (PeftTemplate *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftTemplate, peft_template_unref)

const char *peft_template_get_name (const PeftTemplate *self);
/* Are there {% generation %} blocks? */
gboolean peft_template_has_generation (const PeftTemplate *self);

/* variables: an object, or NULL for none. generation_spans (nullable) takes a new array of
 * PeftTextSpan, the text that {% generation %} blocks wrote; asked for, such a block inside a macro
 * or a captured block is refused, since its place in the text is not known. Errors as for parsing,
 * and PEFT_ERROR_INVALID_DATA when the template calls raise_exception (). */
char *peft_template_render (PeftTemplate *self, const PeftJson *variables,
                            GArray **generation_spans, GError **error);
