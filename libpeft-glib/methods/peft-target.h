/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "methods/peft-config.h"
#include "models/peft-core.h"

/* Which modules of a model a configuration means: target_modules, exclude_modules,
 * layers_to_transform, layers_pattern, modules_to_save. */

typedef struct _PeftTargets PeftTargets;

typedef enum
{
  PEFT_TARGET_NO,
  PEFT_TARGET_YES,
  PEFT_TARGET_EXCLUDED
} PeftTargetMatch;

/* model_type serves for target_modules = null, which stands for a table of defaults. */
PeftTargets *peft_targets_new (PeftConfig *config, const char *model_type, GError **error);
void peft_targets_free (PeftTargets *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftTargets, peft_targets_free)

/* By path alone. Not for all-linear, whose answer needs the slot. */
gboolean peft_targets_match (PeftTargets *self, const char *path, PeftTargetMatch *out,
                             GError **error);
gboolean peft_targets_match_slot (PeftTargets *self, PeftSlot *slot, PeftTargetMatch *out,
                                  GError **error);
/* The slots to attach to, in module order; slot_kinds as in PeftMethod. No match is an error that
 * lists the closest names, a match of another kind of module one that names it. */
GPtrArray *peft_targets_select (PeftTargets *self, PeftCore *core, guint slot_kinds,
                                GError **error);
/* After select: target_modules as peft writes it, names instead of null or all-linear. */
PeftJson *peft_targets_get_resolved (PeftTargets *self);
/* Entries of a list of targets that matched nothing, in select; (transfer container). */
GPtrArray *peft_targets_get_unmatched (PeftTargets *self);

/* Does modules_to_save ask for the module? It also does when it names one that contains it. */
gboolean peft_targets_is_saved (PeftTargets *self, const char *path);
/* peft's default for a model_type: a list of strings or an expression; NULL when it has none. table: of the method;
 * NULL: the one that most share. */
struct _PeftTargetDefault;
PeftJson *peft_target_defaults (const struct _PeftTargetDefault *table, const char *model_type);
/* Names that cannot be together: for every method with targets. */
gboolean peft_targets_validate (PeftConfig *config, GError **error);
