/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "methods/peft-config.h"

/* rank_pattern and alpha_pattern: the first key, as a suffix or regular expression, wins. */
typedef struct _PeftPatternMap PeftPatternMap;
PeftPatternMap *peft_pattern_map_new (PeftConfig *config, const char *field, GError **error);
void peft_pattern_map_free (PeftPatternMap *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftPatternMap, peft_pattern_map_free)
/* *value is left alone when no key matches. */
gboolean peft_pattern_map_lookup (PeftPatternMap *self, const char *path, double *value,
                                  GError **error);
