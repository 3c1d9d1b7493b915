/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-training-result.h"

#include "base/peft-json.h"
#include "peft-json-private.h"

G_DEFINE_BOXED_TYPE (PeftTrainingResult, peft_training_result, peft_training_result_copy, peft_training_result_free)

/**
 * peft_training_result_copy:
 * @self: a result
 *
 * Copies it.
 *
 * Returns: (transfer full): a copy
 *
 * Since: 1.0
 */
PeftTrainingResult *
peft_training_result_copy (const PeftTrainingResult *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return g_memdup2 (self, sizeof *self);
}

/**
 * peft_training_result_free:
 * @self: a result
 *
 * Frees it.
 *
 * Since: 1.0
 */
void
peft_training_result_free (PeftTrainingResult *self)
{
  g_free (self);
}

/**
 * peft_training_result_to_json:
 * @self: a result
 *
 * Describes it as a JSON object.
 *
 * Losses that were never measured are null.
 *
 * Returns: (transfer full): the text
 *
 * Since: 1.0
 */
char *
peft_training_result_to_json (const PeftTrainingResult *self)
{
  g_autoptr (PeftJson) json = peft_json_new_object ();

  g_return_val_if_fail (self != NULL, NULL);

  peft_json_set (json, "steps", peft_json_new_uint (self->steps));
  peft_json_set (json, "total_steps", peft_json_new_uint (self->total_steps));
  peft_json_set (json, "resumed_from", peft_json_new_uint (self->resumed_from));
  peft_json_set (json, "first_loss", peft_json_new_finite (self->first_loss));
  peft_json_set (json, "loss", peft_json_new_finite (self->loss));
  peft_json_set (json, "eval_loss", peft_json_new_finite (self->eval_loss));
  peft_json_set (json, "best_loss", peft_json_new_finite (self->best_loss));
  peft_json_set (json, "best_step", peft_json_new_uint (self->best_step));
  peft_json_set (json, "tokens", peft_json_new_uint (self->tokens));
  peft_json_set (json, "seconds", peft_json_new_finite (self->seconds));
  peft_json_set (json, "trainable_parameters", peft_json_new_uint (self->trainable_parameters));
  peft_json_set (json, "all_parameters", peft_json_new_uint (self->all_parameters));
  peft_json_set (json, "peak_memory_bytes", peft_json_new_uint (self->peak_memory));
  peft_json_set (json, "batch_size", peft_json_new_uint (self->batch_size));
  peft_json_set (json, "micro_batch", peft_json_new_uint (self->micro_batch));
  peft_json_set (json, "checkpointing", peft_json_new_boolean (self->checkpointing));
  peft_json_set (json, "stopped_early", peft_json_new_boolean (self->stopped_early));
  return peft_json_to_string (json, PEFT_JSON_WRITE_COMPACT);
}
