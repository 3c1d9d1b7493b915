/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-training-progress.h"

G_DEFINE_BOXED_TYPE (PeftTrainingProgress, peft_training_progress, peft_training_progress_copy, peft_training_progress_free)

/**
 * peft_training_progress_copy:
 * @self: a snapshot
 *
 * Copies it.
 *
 * Returns: (transfer full): a copy
 *
 * Since: 1.0
 */
PeftTrainingProgress *
peft_training_progress_copy (const PeftTrainingProgress *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return g_memdup2 (self, sizeof *self);
}

/**
 * peft_training_progress_free:
 * @self: a snapshot
 *
 * Frees it.
 *
 * Since: 1.0
 */
void
peft_training_progress_free (PeftTrainingProgress *self)
{
  g_free (self);
}
