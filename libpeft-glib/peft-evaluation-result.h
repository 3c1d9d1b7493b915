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
 * @loss: mean cross-entropy of a labelled token, in nats
 * @perplexity: the exponential of @loss
 * @accuracy: share of the labelled tokens that were the most likely one
 * @rows: rows evaluated
 * @tokens: labelled tokens
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

  /*< private >*/
  gpointer padding[4];
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
