/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Suggestions for names that look like typos. */

/* Levenshtein distance in bytes; both names are cut at PEFT_CLOSEST_MAX_BYTES. */
#define PEFT_CLOSEST_MAX_BYTES 256u
gsize peft_edit_distance (const char *a, const char *b);
/* The candidate at the smallest distance; NULL when even that changes more than half of the
 * name. */
const char *peft_closest_name (const char *name, const char *const *candidates, gsize n);
