/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "peft-model-private.h"

/* In a list of adapters' names, a line without one. */
#define PEFT_MIXED_NO_ADAPTER "__base__"

/* Lines in the order in which they are computed: those of an adapter side by side. */
typedef struct
{
  gsize n_lines;
  GPtrArray *adapters; /* PeftAdapter, NULL: none; one a group */
  GArray *scales;      /* double: of each group's adapter */
  GArray *order;       /* gsize: a line of the caller's */
  GArray *first;       /* guint: where each group begins */
} PeftMixedLines;

/* names: an adapter's for each line. Errors name the adapter that cannot be in a mixed batch. */
gboolean peft_mixed_lines_init (PeftMixedLines *self, PeftModel *model, const char *const *names,
                                gsize n_lines, GError **error);
void peft_mixed_lines_clear (PeftMixedLines *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PeftMixedLines, peft_mixed_lines_clear)

/* The caller's line that is computed as the index-th. */
gsize peft_mixed_lines_get (const PeftMixedLines *self, gsize index);
/* Puts the adapters' hooks in with their lines, or takes them out. The caller holds the worker. */
void peft_mixed_lines_set_active (const PeftMixedLines *self, gboolean active);
