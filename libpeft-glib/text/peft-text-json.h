/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-json.h"

/* Reading the parts of tokenizer.json: errors name the field. */

#define PEFT_TEXT_MAX_PARTS 256u /* members of a Sequence */
#define PEFT_TEXT_MAX_DEPTH 16u  /* a Sequence within a Sequence */

/* The string member "type" of a part, NULL on error. */
const char *peft_text_json_type (const PeftJson *json, GError **error);
/* The array member of a Sequence: refused when absent, or with too many or too deep parts. */
PeftJson *peft_text_json_parts (const PeftJson *json, const char *name, guint depth,
                                GError **error);
/* A string that must be there, with its length. json may be NULL: nothing is there. */
const char *peft_text_json_string (const PeftJson *json, const char *name, gsize *length,
                                   GError **error);
/* A string of one character. */
gboolean peft_text_json_char (const PeftJson *json, const char *name, gunichar *out,
                              GError **error);
/* A boolean with a default. */
gboolean peft_text_json_boolean (const PeftJson *json, const char *name, gboolean standard,
                                 gboolean *out, GError **error);
/* The "pattern" of Split and Replace: {"String": …} gives literal TRUE, {"Regex": …} FALSE. */
const char *peft_text_json_pattern (const PeftJson *json, gboolean *literal, gsize *length,
                                    GError **error);
void peft_text_json_unknown (const char *type, const char *what, GError **error);
