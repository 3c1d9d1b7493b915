/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-json.h"
#include "methods/peft-method.h"

/* OUTPUT/checkpoints/step-N: the adapter's files, training_state.safetensors (values, m, v of everything trained),
 * trainer_state.json, and last manifest.json with size and SHA-256 of every file. A folder whose manifest is
 * missing or does not agree is never taken for a checkpoint. */

#define PEFT_CHECKPOINT_FOLDER "checkpoints"
#define PEFT_CHECKPOINT_STATE "training_state.safetensors"
#define PEFT_CHECKPOINT_TRAINER "trainer_state.json"
#define PEFT_CHECKPOINT_MANIFEST "manifest.json"
#define PEFT_CHECKPOINT_MAX 1000000u /* entries looked at in the folder */

/* trainer: what trainer_state.json holds, "step" included. Returns the folder. */
char *peft_checkpoint_write (PeftAdapter *adapter, const PeftJson *trainer, const char *output,
                             guint64 step, GError **error);
/* Removes all but the newest `keep` ones and `best` (0: none). keep 0: all stay. */
gboolean peft_checkpoint_prune (const char *output, guint keep, guint64 best, GError **error);

typedef struct
{
  char *folder;
  guint64 step;
  PeftJson *trainer;
} PeftCheckpoint;

void peft_checkpoint_free (PeftCheckpoint *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftCheckpoint, peft_checkpoint_free)

/* Checks one folder against its manifest. */
PeftCheckpoint *peft_checkpoint_open (const char *folder, GError **error);
/* The newest whole one; *out is NULL when there is none. skipped (nullable): messages about folders that are
 * not whole, appended. FALSE only when the folder cannot be read. */
gboolean peft_checkpoint_find (const char *output, PeftCheckpoint **out, GPtrArray *skipped,
                               GError **error);
/* Puts values, m and v back; the adapter must be the one that was saved. with_moments FALSE: values only. */
gboolean peft_checkpoint_restore (PeftCheckpoint *self, PeftAdapter *adapter,
                                  gboolean with_moments, GError **error);

/* Values under peft's parameter names from a training_state.safetensors (`forward --state`). */
gboolean peft_checkpoint_load_values (PeftAdapter *adapter, const char *path, GError **error);
