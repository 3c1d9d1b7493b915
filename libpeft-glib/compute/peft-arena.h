/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "compute/peft-backend.h"

/* Memory of a run: one buffer, handed out in regions (best fit, 64-byte aligned, deterministic).
 * On a plan backend it has no limit and only measures; a run then gets an arena of exactly the
 * measured peak, so that the step loop allocates nothing. */

typedef struct _PeftArena PeftArena;

/* capacity 0: grows (plan backends only). */
PeftArena *peft_arena_new (PeftBackend *backend, gsize capacity, GError **error);
PeftArena *peft_arena_ref (PeftArena *self);
void peft_arena_unref (PeftArena *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftArena, peft_arena_unref)

PeftBackend *peft_arena_get_backend (PeftArena *self);
/* FALSE when it does not fit. The buffer stays the arena's. */
gboolean peft_arena_alloc (PeftArena *self, gsize size, PeftBuffer **buffer, gsize *offset);
void peft_arena_release (PeftArena *self, gsize offset);
gsize peft_arena_get_peak (PeftArena *self);
gsize peft_arena_get_in_use (PeftArena *self);
