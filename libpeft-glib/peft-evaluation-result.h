/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#if !defined (PEFT_GLIB_INSIDE) && !defined (PEFT_GLIB_COMPILATION)
#error "Only <peft-glib.h> can be included directly."
#endif

#include <glib-object.h>
#include "base/peft-version-macros.h"

G_BEGIN_DECLS

#define PEFT_TYPE_EVALUATION_RESULT (peft_evaluation_result_get_type ())

typedef struct _PeftEvaluationResult PeftEvaluationResult;

/**
 * PeftEvaluationResult:
 * @loss: mean cross-entropy of a label, in nats
 * @perplexity: the exponential of @loss; not a number where the model does not write text
 * @accuracy: share of the labels that were the most likely one; of answers those that are exact
 * @rows: rows evaluated
 * @tokens: labels
 * @metrics: (nullable): further figures of the model's task, as a JSON object: for classes `f1_macro`, `f1_micro` (of tokens
 *   without the class `O`) and `classes` with `precision`, `recall`, `f1` and `support` of each; for answers `exact_match`
 *   and `f1`
 *
 * How well a model predicts a data set.
 *
 * Since: 1.0
 */
struct _PeftEvaluationResult
{
  double loss;
  double perplexity;
  double accuracy;
  guint64 rows;
  guint64 tokens;
  char *metrics;

  /*< private >*/
  gpointer padding[3];
};

PEFT_AVAILABLE_IN_1_0
GType peft_evaluation_result_get_type (void) G_GNUC_CONST;
PEFT_AVAILABLE_IN_1_0
PeftEvaluationResult *peft_evaluation_result_copy (const PeftEvaluationResult *self);
PEFT_AVAILABLE_IN_1_0
void peft_evaluation_result_free (PeftEvaluationResult *self);
PEFT_AVAILABLE_IN_1_0
char *peft_evaluation_result_to_json (const PeftEvaluationResult *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftEvaluationResult, peft_evaluation_result_free)

G_END_DECLS
