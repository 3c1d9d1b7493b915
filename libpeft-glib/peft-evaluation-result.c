/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-evaluation-result.h"

#include "base/peft-json.h"
#include "peft-json-private.h"

G_DEFINE_BOXED_TYPE (PeftEvaluationResult, peft_evaluation_result, peft_evaluation_result_copy, peft_evaluation_result_free)

/**
 * peft_evaluation_result_copy:
 * @self: a result
 *
 * Copies it.
 *
 * Returns: (transfer full): a copy
 *
 * Since: 1.0
 */
PeftEvaluationResult *
peft_evaluation_result_copy (const PeftEvaluationResult *self)
{
  PeftEvaluationResult *copy;

  g_return_val_if_fail (self != NULL, NULL);

  copy = g_memdup2 (self, sizeof *self);
  copy->metrics = g_strdup (self->metrics);
  return copy;
}

/**
 * peft_evaluation_result_free:
 * @self: a result
 *
 * Frees it.
 *
 * Since: 1.0
 */
void
peft_evaluation_result_free (PeftEvaluationResult *self)
{
  if (self == NULL)
    return;
  g_free (self->metrics);
  g_free (self);
}

/**
 * peft_evaluation_result_to_json:
 * @self: a result
 *
 * Describes it as a JSON object.
 *
 * What was not measured is null; the members of @metrics follow.
 *
 * Returns: (transfer full): the text
 *
 * Since: 1.0
 */
char *
peft_evaluation_result_to_json (const PeftEvaluationResult *self)
{
  g_autoptr (PeftJson) json = peft_json_new_object ();
  g_autoptr (PeftJson) metrics = NULL;

  g_return_val_if_fail (self != NULL, NULL);

  peft_json_set (json, "loss", peft_json_new_finite (self->loss));
  peft_json_set (json, "perplexity", peft_json_new_finite (self->perplexity));
  peft_json_set (json, "accuracy", peft_json_new_finite (self->accuracy));
  peft_json_set (json, "rows", peft_json_new_uint (self->rows));
  peft_json_set (json, "tokens", peft_json_new_uint (self->tokens));
  metrics = self->metrics != NULL ? peft_json_parse (self->metrics, -1, PEFT_JSON_PARSE_DEFAULT, NULL) : NULL;
  for (gsize i = 0; metrics != NULL && i < peft_json_get_length (metrics); i++)
    peft_json_set (json, peft_json_get_name (metrics, i), peft_json_ref (peft_json_get_value (metrics, i)));
  return peft_json_to_string (json, PEFT_JSON_WRITE_COMPACT);
}
