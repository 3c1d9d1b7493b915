/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-generation-result.h"

#include "peft-generation-result-private.h"
#include "peft-json-private.h"

/**
 * PeftGenerationResult:
 *
 * What a model wrote after one prompt.
 *
 * Instances never change.
 *
 * Since: 1.0
 */
struct _PeftGenerationResult
{
  gatomicrefcount ref_count;
  gint32 *prompt_ids;
  gsize n_prompt_ids;
  gint32 *ids;
  gsize n_ids;
  char *text;
  PeftFinish finish;
};

G_DEFINE_BOXED_TYPE (PeftGenerationResult, peft_generation_result, peft_generation_result_ref,
                     peft_generation_result_unref)

PeftGenerationResult *
peft_generation_result_new (const PeftPrompt *prompt, PeftGenerated *generated)
{
  PeftGenerationResult *self = g_new0 (PeftGenerationResult, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->prompt_ids = g_memdup2 (prompt->ids, prompt->n_ids * sizeof (gint32));
  self->n_prompt_ids = prompt->n_ids;
  self->ids = g_steal_pointer (&generated->ids);
  self->n_ids = generated->n_ids;
  self->text = g_steal_pointer (&generated->text);
  self->finish = generated->finish;
  return self;
}

/**
 * peft_generation_result_ref:
 * @self: a result
 *
 * Takes a reference.
 *
 * Returns: (transfer full): @self
 *
 * Since: 1.0
 */
PeftGenerationResult *
peft_generation_result_ref (PeftGenerationResult *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

/**
 * peft_generation_result_unref:
 * @self: (transfer full): a result
 *
 * Gives a reference back.
 *
 * Since: 1.0
 */
void
peft_generation_result_unref (PeftGenerationResult *self)
{
  if (self == NULL || !g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_free (self->prompt_ids);
  g_free (self->ids);
  g_free (self->text);
  g_free (self);
}

/**
 * peft_generation_result_get_prompt_ids:
 * @self: a result
 * @n_ids: (out): the number of ids
 *
 * Gets the ids that the model was given.
 *
 * Returns: (array length=n_ids) (transfer none): the ids
 *
 * Since: 1.0
 */
const gint32 *
peft_generation_result_get_prompt_ids (PeftGenerationResult *self, gsize *n_ids)
{
  g_return_val_if_fail (self != NULL && n_ids != NULL, NULL);

  *n_ids = self->n_prompt_ids;
  return self->prompt_ids;
}

/**
 * peft_generation_result_get_ids:
 * @self: a result
 * @n_ids: (out): the number of ids
 *
 * Gets the new ids; an end-of-text id that ended it is the last.
 *
 * Returns: (array length=n_ids) (transfer none): the ids
 *
 * Since: 1.0
 */
const gint32 *
peft_generation_result_get_ids (PeftGenerationResult *self, gsize *n_ids)
{
  g_return_val_if_fail (self != NULL && n_ids != NULL, NULL);

  *n_ids = self->n_ids;
  return self->ids;
}

/**
 * peft_generation_result_get_text:
 * @self: a result
 *
 * Gets the new text, without special tokens and cut before a stop text.
 *
 * Returns: (nullable): the text; `NULL` when the model has no tokenizer
 *
 * Since: 1.0
 */
const char *
peft_generation_result_get_text (PeftGenerationResult *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->text;
}

/**
 * peft_generation_result_get_finish:
 * @self: a result
 *
 * Gets why it ended: `eos` by an end-of-text token, `stop` by a stop text, `length` by the limit.
 *
 * Returns: the reason
 *
 * Since: 1.0
 */
const char *
peft_generation_result_get_finish (PeftGenerationResult *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return peft_finish_get_name (self->finish);
}

/**
 * peft_generation_result_to_json:
 * @self: a result
 *
 * Describes it as a JSON object with `prompt_ids`, `ids`, `text` and `finish`.
 *
 * Returns: (transfer full): the text
 *
 * Since: 1.0
 */
char *
peft_generation_result_to_json (PeftGenerationResult *self)
{
  g_autoptr (PeftJson) json = peft_json_new_object ();

  g_return_val_if_fail (self != NULL, NULL);

  peft_json_set (json, "prompt_ids", peft_json_new_ids (self->prompt_ids, self->n_prompt_ids));
  peft_json_set (json, "ids", peft_json_new_ids (self->ids, self->n_ids));
  peft_json_set (json, "text",
                 self->text != NULL ? peft_json_new_string (self->text) : peft_json_new_null ());
  peft_json_set (json, "finish", peft_json_new_string (peft_finish_get_name (self->finish)));
  return peft_json_to_string (json, PEFT_JSON_WRITE_COMPACT);
}
