/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "train/peft-memory.h"

/* Mean loss per labelled token over a data set. */

typedef struct
{
  guint64 rows, tokens; /* labelled ones */
  double loss, perplexity, accuracy; /* perplexity: NAN where the model does not write text */
  PeftJson *metrics; /* of the task, (transfer full); NULL: none */
} PeftEvaluation;

typedef void (*PeftEvaluateFunc) (guint64 done, guint64 total, gpointer data);

gboolean peft_evaluate (PeftCore *core, const PeftEncodedSet *set, guint32 batch_size,
                        PeftEvaluateFunc func, gpointer data, GCancellable *cancellable,
                        PeftEvaluation *out, GError **error);
/* The same with an engine of the caller's: reserve first, then over the samples given. */
gboolean peft_evaluate_reserve (PeftEngine *engine, const PeftEncodedSet *set,
                                const PeftDataSamples *samples, guint32 batch_size,
                                GError **error);
gboolean peft_evaluate_samples (PeftEngine *engine, const PeftEncodedSet *set,
                                const PeftDataSamples *samples, guint32 batch_size,
                                PeftDataBatch *batch, PeftEvaluateFunc func, gpointer data,
                                GCancellable *cancellable, PeftEvaluation *out, GError **error);
