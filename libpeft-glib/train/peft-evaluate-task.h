/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "train/peft-engine.h"

/* Metrics of models that are not for writing text, batch by batch. */

typedef struct _PeftTaskMetrics PeftTaskMetrics;

/* NULL: the task has none. */
PeftTaskMetrics *peft_task_metrics_new (PeftCore *core, const PeftEncodedSet *set);
void peft_task_metrics_free (PeftTaskMetrics *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftTaskMetrics, peft_task_metrics_free)
/* logits: of the batch's lines, which are the samples `indices`, [batch, n_virtual + length, outputs]. */
void peft_task_metrics_add (PeftTaskMetrics *self, const PeftDataBatch *batch,
                            const PeftDataSamples *samples, const guint32 *indices, const float *logits);
/* *accuracy: share of the labels that were predicted, or of the answers that are exact. */
PeftJson *peft_task_metrics_to_json (PeftTaskMetrics *self, double *accuracy);
