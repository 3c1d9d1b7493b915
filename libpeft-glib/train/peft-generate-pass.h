/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "models/peft-core.h"

/* Forward passes of generation: prompts in chunks, then token by token, over a key-value cache; logits of
 * the last position of each line. */

/* Tokens of a prompt that are run at a time. */
#define PEFT_GENERATE_CHUNK 512

/* Of one pass. */
typedef struct
{
  gboolean cached;  /* goes on behind what the cache has; else over these positions alone */
  gint64 length;    /* positions of a line, the virtual ones included */
  gint64 n_virtual; /* of these, in front: those of the active adapter, or none */
} PeftGenerateShape;

typedef struct _PeftGeneratePass PeftGeneratePass;

PeftGeneratePass *peft_generate_pass_new (PeftCore *core);
void peft_generate_pass_free (PeftGeneratePass *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftGeneratePass, peft_generate_pass_free)

/* Makes room for `capacity` tokens in each of `batch` lines. What the cache holds is lost where it must grow or
 * the number of lines changes: *kept says so. */
gboolean peft_generate_pass_reserve (PeftGeneratePass *self, gint64 batch, gint64 capacity,
                                     gboolean *kept, GError **error);
/* Then for passes of each length that will come. */
gboolean peft_generate_pass_plan (PeftGeneratePass *self, const PeftGenerateShape *shape,
                                  GError **error);
/* Other adapters are active: passes need other memory. */
void peft_generate_pass_reset (PeftGeneratePass *self);
/* NULL: nothing was reserved. */
PeftKvCache *peft_generate_pass_get_cache (PeftGeneratePass *self);
/* Forgets all but the first `length` tokens. */
void peft_generate_pass_cut (PeftGeneratePass *self, gint64 length);

/* ids [batch, length - n_virtual]; positions, segments [batch, length] (segments -1: padding). padded: some segment is
 * -1, now or before. task: of adapters that have several. logits (nullable) [batch, vocab]. */
gboolean peft_generate_pass_run (PeftGeneratePass *self, const PeftGenerateShape *shape,
                                 const gint32 *ids, const gint32 *positions,
                                 const gint32 *segments, gboolean padded, gint32 task,
                                 float *logits, GError **error);
