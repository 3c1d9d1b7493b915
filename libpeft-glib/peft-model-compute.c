/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-model-private.h"

#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "compute/peft-tensor.h"
#include "data/peft-data-ids.h"
#include "peft-dataset-private.h"
#include "peft-relay.h"
#include "train/peft-evaluate.h"
#include "train/peft-forward-file.h"

/* What a model computes without changing. */

/* ---- From file to file --------------------------------------------------------------------- */

static gpointer
forward_file_work (gpointer source, gpointer data, PeftRelay *relay, GCancellable *cancellable,
                   GError **error)
{
  PeftModel *self = source;
  const PeftForwardFileOptions *options = data;
  g_autoptr (PeftAdapter) adapter = NULL;
  gboolean ok;

  if (options->gradients || options->state != NULL)
    {
      adapter = peft_model_get_trained (self, error);
      if (adapter == NULL)
        return NULL;
    }
  if (options->state != NULL && adapter->incomplete)
    {
      PeftAdapter *complete
          = peft_model_complete_adapter (self, adapter, options->state, error);

      if (complete == NULL)
        return NULL;
      peft_adapter_unref (adapter);
      adapter = complete;
    }
  peft_model_attach (self);
  ok = peft_forward_file (peft_model_get_core (self), adapter, options, cancellable, error);
  peft_model_detach (self);
  if (options->state != NULL)
    peft_model_bump_serial (self);
  return ok ? self : NULL;
}

/**
 * peft_model_forward_file:
 * @self: a model
 * @input: a safetensors file with `input_ids` (int64, [batch, length]) and optional `attention_mask`, `position_ids`
 *   (which prompt methods ignore), `labels` (-100: ignored) and `task_ids` ([batch])
 * @output: the safetensors file to write: `logits` (float32, [batch, length, vocabulary]; the length includes virtual
 *   tokens), `loss` when there are labels, and with @gradients `grad.KEY` for every tensor of the adapter's file, with
 *   @state `grad.PARAMETER` for every parameter
 * @state: (nullable): a file with the full trainable state of the active adapter, which then holds it
 * @gradients: whether gradients are wanted, which takes exactly one active adapter
 * @train_mode: whether dropout is active
 * @seed: seed of dropout
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Runs one pass from file to file, for comparison with other implementations.
 *
 * Returns: whether the output was written
 *
 * Since: 1.0
 */
gboolean
peft_model_forward_file (PeftModel *self, const char *input, const char *output, const char *state,
                         gboolean gradients, gboolean train_mode, guint64 seed,
                         GCancellable *cancellable, GError **error)
{
  PeftForwardFileOptions options = {
    .input = input,
    .output = output,
    .state = state,
    .gradients = gradients,
    .train_mode = train_mode,
    .seed = seed,
  };

  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);
  g_return_val_if_fail (input != NULL && output != NULL, FALSE);

  return peft_worker_run (peft_model_get_worker (self), _ ("computing"), self, &options, NULL,
                          forward_file_work, cancellable, error)
         != NULL;
}

/* ---- Logits of given ids ------------------------------------------------------------------- */

typedef struct
{
  const gint32 *ids;
  gsize n_ids;
} ForwardData;

static PeftTensor *
run_forward (PeftCore *core, PeftDataBatch *batch, GError **error)
{
  const gint64 length = peft_core_get_n_virtual (core) + batch->length;
  const gint64 shape[2] = { length, core->n_outputs };
  const gsize n_values = (gsize) length * (gsize) core->n_outputs;
  const PeftPass pass = { .batch = 1, .length = batch->length, .logits = TRUE };
  g_autoptr (PeftEngine) engine = peft_engine_new (core, NULL);
  g_autofree float *logits = g_try_malloc_n (n_values, sizeof (float));
  PeftPassOptions options = { .logits = logits };
  g_autoptr (GBytes) bytes = NULL;
  PeftPassResult result;

  if (logits == NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY,
                   _ ("no memory for the logits of %u tokens"), batch->length);
      return NULL;
    }
  if (!peft_engine_reserve (engine, &pass, 1, error)
      || !peft_engine_run (engine, batch, &options, &result, error))
    return NULL;
  bytes = g_bytes_new_take (g_steal_pointer (&logits), n_values * sizeof (float));
  return peft_tensor_new_from_bytes (PEFT_DTYPE_F32, shape, 2, bytes, error);
}

static gpointer
forward_work (gpointer source, gpointer data, PeftRelay *relay, GCancellable *cancellable,
              GError **error)
{
  PeftModel *self = source;
  PeftCore *core = peft_model_get_core (self);
  const ForwardData *forward = data;
  g_autoptr (PeftDataBatch) batch = peft_data_batch_new ();
  PeftTensor *logits;

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return NULL;
  peft_data_batch_reserve (batch, 1, (guint32) forward->n_ids);
  batch->batch = 1;
  batch->length = (guint32) forward->n_ids;
  for (guint32 i = 0; i < batch->length; i++)
    {
      batch->ids[i] = forward->ids[i];
      batch->labels[i] = PEFT_DATA_IGNORED;
      batch->positions[i] = (gint32) i;
      batch->segments[i] = 0;
    }
  peft_model_attach (self);
  logits = run_forward (core, batch, error);
  peft_model_detach (self);
  return logits;
}

/**
 * peft_model_forward:
 * @self: a model
 * @ids: (array length=n_ids): token ids
 * @n_ids: the number of ids, at least 1
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Computes what the model expects after each of some ids.
 *
 * Prompt methods have logits of their virtual tokens, too, before those of the ids. An adapter with several tasks is
 * refused, because the ids do not say which.
 *
 * A model for another task than writing gives the outputs of its head at each position, or its hidden states.
 *
 * Returns: (transfer full): logits, float32 of shape [@n_ids, vocabulary]
 *
 * Since: 1.0
 */
PeftTensor *
peft_model_forward (PeftModel *self, const gint32 *ids, gsize n_ids, GCancellable *cancellable,
                    GError **error)
{
  const ForwardData data = { ids, n_ids };
  gint64 vocab;

  g_return_val_if_fail (PEFT_IS_MODEL (self), NULL);
  g_return_val_if_fail (ids != NULL && n_ids > 0, NULL);

  vocab = peft_model_get_core (self)->dims.vocab;
  if (n_ids > PEFT_DATA_MAX_ROW_IDS)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                   _ ("expected at most %u ids, found %zu"), PEFT_DATA_MAX_ROW_IDS,
                   n_ids);
      return NULL;
    }
  for (gsize i = 0; i < n_ids; i++)
    if (ids[i] < 0 || ids[i] >= vocab)
      {
        g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                     _ ("id %zu: expected 0 to %d, found %d"), i, (int) vocab - 1, ids[i]);
        return NULL;
      }
  return peft_worker_run (peft_model_get_worker (self), _ ("computing"), self, (gpointer) &data,
                          NULL, forward_work, cancellable, error);
}

/* ---- Evaluation ---------------------------------------------------------------------------- */

typedef struct
{
  PeftDataset *dataset;
  PeftLossOn loss_on;
  guint max_length, batch_size;
} EvaluateData;

typedef struct
{
  guint64 done, total;
} Progress;

static void
emit_progress (gpointer object, gpointer event)
{
  const Progress *progress = event;

  peft_model_emit_progress (object, progress->done, progress->total);
}

static void
push_progress (guint64 done, guint64 total, gpointer data)
{
  Progress *progress = g_new (Progress, 1);

  *progress = (Progress){ done, total };
  peft_relay_push (data, progress, TRUE);
}

static gpointer
evaluate_work (gpointer source, gpointer data, PeftRelay *relay, GCancellable *cancellable,
               GError **error)
{
  PeftModel *self = source;
  const EvaluateData *evaluate = data;
  PeftCore *core = peft_model_get_core (self);
  g_autoptr (PeftEncodedSet) encoded = NULL;
  PeftEvaluationResult result = { 0 };
  PeftTokenizer *tokenizer;
  PeftEvaluation evaluation;
  g_autofree char *metrics = NULL;
  gboolean ok;

  if (!peft_base_model_find_tokenizer (self->base, &tokenizer, error))
    return NULL;
  encoded = peft_dataset_encode (evaluate->dataset, tokenizer, evaluate->loss_on,
                                 evaluate->max_length, core, cancellable, error);
  if (encoded == NULL)
    return NULL;
  peft_model_attach (self);
  ok = peft_evaluate (core, encoded, evaluate->batch_size, push_progress, relay, cancellable,
                      &evaluation, error);
  peft_model_detach (self);
  if (!ok)
    return NULL;
  result.loss = evaluation.loss;
  result.perplexity = evaluation.perplexity;
  result.accuracy = evaluation.accuracy;
  result.rows = evaluation.rows;
  result.tokens = evaluation.tokens;
  if (evaluation.metrics != NULL)
    result.metrics = metrics = peft_json_to_string (evaluation.metrics, PEFT_JSON_WRITE_COMPACT);
  g_clear_pointer (&evaluation.metrics, peft_json_unref);
  return peft_evaluation_result_copy (&result);
}

/**
 * peft_model_evaluate:
 * @self: a model
 * @dataset: rows to predict
 * @loss_on: which of their tokens count
 * @max_length: tokens of a row that are kept; 0: 2048
 * @batch_size: rows computed at a time; 0: chosen
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Measures how well the model, with its active adapters, predicts a data set.
 *
 * Returns: (transfer full): the result
 *
 * Since: 1.0
 */
PeftEvaluationResult *
peft_model_evaluate (PeftModel *self, PeftDataset *dataset, PeftLossOn loss_on, guint max_length,
                     guint batch_size, GCancellable *cancellable, GError **error)
{
  EvaluateData data = { dataset, loss_on, max_length, batch_size };
  g_autoptr (PeftRelay) relay = NULL;

  g_return_val_if_fail (PEFT_IS_MODEL (self), NULL);
  g_return_val_if_fail (PEFT_IS_DATASET (dataset), NULL);

  relay = peft_relay_new_direct (self, emit_progress, g_free);
  return peft_worker_run (peft_model_get_worker (self), _ ("evaluating"), self, &data, relay,
                          evaluate_work, cancellable, error);
}

static void
evaluate_data_free (gpointer data)
{
  EvaluateData *self = data;

  g_clear_object (&self->dataset);
  g_free (self);
}

/**
 * peft_model_evaluate_async:
 * @self: a model
 * @dataset: rows to predict
 * @loss_on: which of their tokens count
 * @max_length: tokens of a row that are kept; 0: 2048
 * @batch_size: rows computed at a time; 0: chosen
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when it is done
 * @user_data: data for @callback
 *
 * Measures how well the model predicts a data set, on the model's thread.
 *
 * Since: 1.0
 */
void
peft_model_evaluate_async (PeftModel *self, PeftDataset *dataset, PeftLossOn loss_on,
                           guint max_length, guint batch_size, GCancellable *cancellable,
                           GAsyncReadyCallback callback, gpointer user_data)
{
  EvaluateData *data;
  GTask *task;

  g_return_if_fail (PEFT_IS_MODEL (self));
  g_return_if_fail (PEFT_IS_DATASET (dataset));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, peft_model_evaluate_async);
  data = g_new (EvaluateData, 1);
  *data = (EvaluateData){ g_object_ref (dataset), loss_on, max_length, batch_size };
  g_task_set_task_data (task, data, evaluate_data_free);
  peft_worker_run_async (peft_model_get_worker (self), _ ("evaluating"), task,
                         peft_relay_new (self, emit_progress, g_free), evaluate_work,
                         (GDestroyNotify) peft_evaluation_result_free);
}

/**
 * peft_model_evaluate_finish:
 * @self: a model
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends [method@Model.evaluate_async].
 *
 * Returns: (transfer full): the result
 *
 * Since: 1.0
 */
PeftEvaluationResult *
peft_model_evaluate_finish (PeftModel *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}
