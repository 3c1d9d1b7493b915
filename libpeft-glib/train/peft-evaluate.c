/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "train/peft-evaluate.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#include "base/peft-error.h"
#include "train/peft-engine-private.h"
#include "train/peft-evaluate-task.h"

/* Consecutive samples, `size` of them at a time. */
static guint32
take (const PeftDataSamples *samples, guint32 start, guint32 size, guint32 *indices)
{
  guint32 n = MIN (size, samples->n - start);

  for (guint32 i = 0; i < n; i++)
    indices[i] = start + i;
  return n;
}

gboolean
peft_evaluate_reserve (PeftEngine *engine, const PeftEncodedSet *set,
                       const PeftDataSamples *samples, guint32 batch_size, GError **error)
{
  g_autoptr (GHashTable) shapes
      = g_hash_table_new_full (peft_pass_hash, peft_pass_equal, g_free, NULL);
  g_autofree guint32 *indices = g_new (guint32, batch_size);

  for (guint32 start = 0; start < samples->n; start += batch_size)
    {
      guint32 n = take (samples, start, batch_size, indices);
      PeftPass pass = { .logits = engine->core->task != PEFT_TASK_CAUSAL_LM };

      peft_engine_get_shape (engine->core, set, samples, indices, n, &pass);
      peft_engine_round_pass (engine, &pass);
      g_hash_table_add (shapes, g_memdup2 (&pass, sizeof pass));
    }
  return peft_engine_reserve_set (engine, shapes, error);
}

gboolean
peft_evaluate_samples (PeftEngine *engine, const PeftEncodedSet *set,
                       const PeftDataSamples *samples, guint32 batch_size, PeftDataBatch *batch,
                       PeftEvaluateFunc func, gpointer data, GCancellable *cancellable,
                       PeftEvaluation *out, GError **error)
{
  g_autoptr (PeftTaskMetrics) metrics = peft_task_metrics_new (engine->core, set);
  g_autofree guint32 *indices = g_new (guint32, batch_size);
  double sum = 0;
  guint64 correct = 0;

  *out = (PeftEvaluation){ 0 };
  for (guint32 start = 0; start < samples->n; start += batch_size)
    {
      guint32 n = take (samples, start, batch_size, indices);
      g_autofree float *logits = NULL;
      PeftPassOptions options = { 0 };
      PeftPassResult result;

      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return FALSE;
      peft_data_batch_fill (batch, set, samples, indices, n,
                            peft_data_batch_find_length (set, samples, indices, n));
      if (metrics != NULL)
        logits = g_new (float, (gsize) batch->batch
                                   * (peft_core_get_n_virtual (engine->core) + batch->length)
                                   * engine->core->n_outputs);
      options.logits = logits;
      if (!peft_engine_run (engine, batch, &options, &result, error))
        return FALSE;
      if (metrics != NULL)
        peft_task_metrics_add (metrics, batch, samples, indices, logits);
      sum += result.loss_sum;
      correct += result.n_correct;
      out->tokens += result.n_labels;
      for (guint32 i = 0; i < n; i++)
        out->rows += samples->starts[indices[i] + 1] - samples->starts[indices[i]];
      if (func != NULL)
        func (start + n, samples->n, data);
    }
  if (out->tokens == 0)
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                           _ ("the evaluation data has no labelled token"));
      return FALSE;
    }
  out->loss = sum / out->tokens;
  out->perplexity = exp (out->loss);
  out->accuracy = (double) correct / out->tokens;
  if (metrics != NULL)
    {
      out->perplexity = NAN;
      out->metrics = peft_task_metrics_to_json (metrics, &out->accuracy);
    }
  return TRUE;
}

gboolean
peft_evaluate (PeftCore *core, const PeftEncodedSet *set, guint32 batch_size,
               PeftEvaluateFunc func, gpointer data, GCancellable *cancellable,
               PeftEvaluation *out, GError **error)
{
  g_autoptr (PeftEngine) engine = peft_engine_new (core, NULL);
  g_autoptr (PeftDataSamples) samples = peft_data_samples_new (set, NULL, 0);
  g_autoptr (PeftDataBatch) batch = peft_data_batch_new ();

  if (!peft_engine_check_ids (core, set, error))
    return FALSE;
  if (batch_size == 0)
    {
      guint32 longest = 1;

      for (guint32 i = 0; i < samples->n; i++)
        longest = MAX (longest, peft_data_samples_get_length (samples, set, i));
      batch_size = CLAMP (PEFT_MEMORY_MICRO_TOKENS / longest, 1, PEFT_MEMORY_AUTO_BATCH);
    }
  return peft_evaluate_reserve (engine, set, samples, batch_size, error)
         && peft_evaluate_samples (engine, set, samples, batch_size, batch, func, data, cancellable,
                                   out, error);
}
