/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "train/peft-checkpointing.h"
#include "train/peft-engine.h"

/* What the machine has and what this process used. */

guint64 peft_memory_get_available (void); /* bytes that can be had without swapping; within the control group */
guint64 peft_memory_get_peak (void);      /* the process's peak resident set */

/* Share of the available memory that a run may plan for; the rest is headroom. */
#define PEFT_MEMORY_SHARE 0.6

/* Rows of an optimiser micro-step when nobody says: the same on every machine, so that results are; only the
 * micro-batch it is run in follows the memory. */
#define PEFT_MEMORY_AUTO_BATCH 8u
/* Tokens of a micro-batch beyond which the processor gains nothing. */
#define PEFT_MEMORY_MICRO_TOKENS 1024u

/* Chooses what is left open (0, AUTO) so that a pass over rows of `length` fits: no checkpointing where that fits,
 * then the largest micro-batch. PEFT_ERROR_OUT_OF_MEMORY with both sizes when one row with checkpointing does not fit
 * into what is available. */
gboolean peft_memory_choose (PeftEngine *engine, guint32 length, gsize n_state,
                             guint64 available, guint32 *batch_size, guint32 *micro_batch,
                             PeftCheckpointing *checkpointing, PeftMemoryPlan *plan,
                             GError **error);
