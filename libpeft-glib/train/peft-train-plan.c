/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#include "base/peft-error.h"
#include "train/peft-engine-private.h"
#include "train/peft-evaluate.h"
#include "train/peft-train-private.h"

/* ---- Data ---------------------------------------------------------------------------------- */

static PeftDataSamples *
make_samples (PeftTrainRun *self, const guint32 *rows, guint32 n)
{
  const PeftEncodedSet *set = self->options->train;
  guint32 room = self->options->max_length;

  if (!self->options->packing)
    return peft_data_samples_new (set, rows, n);
  for (guint32 i = 0; i < peft_encoded_set_get_n_rows (set); i++)
    room = MAX (room, peft_encoded_set_get_row (set, i)->length);
  return peft_data_samples_new_packed (set, rows, n, room);
}

static void
hash_set (GChecksum *sum, const PeftEncodedSet *set, const PeftDataSamples *samples)
{
  g_checksum_update (sum, (const guchar *) samples->starts,
                     ((gssize) samples->n + 1) * sizeof (guint32));
  for (guint32 i = 0; i < samples->starts[samples->n]; i++)
    {
      const PeftEncodedRow *row = peft_encoded_set_get_row (set, samples->rows[i]);
      gssize bytes = (gssize) row->length * sizeof (gint32);

      g_checksum_update (sum, (const guchar *) &row->length, sizeof row->length);
      g_checksum_update (sum,
                         (const guchar *) peft_encoded_set_get_ids (set, samples->rows[i]), bytes);
      g_checksum_update (
          sum, (const guchar *) peft_encoded_set_get_labels (set, samples->rows[i]), bytes);
      if (row->task != PEFT_DATA_NO_TASK)
        g_checksum_update (sum, (const guchar *) &row->task, sizeof row->task);
      if (row->mask != NULL)
        g_checksum_update (sum, row->mask, row->length);
    }
}

gboolean
peft_train_prepare_data (PeftTrainRun *self, GError **error)
{
  const PeftTrainOptions *o = self->options;
  const guint32 n = peft_encoded_set_get_n_rows (o->train);
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree guint32 *rows = NULL;
  g_autofree guint32 *eval_rows = NULL;
  guint32 n_rows = n, n_eval = 0;

  if (n == 0)
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                           _ ("the data has no row with a token to learn"));
      return FALSE;
    }
  if (!peft_engine_check_ids (self->core, o->train, error)
      || (o->eval != NULL && !peft_engine_check_ids (self->core, o->eval, error)))
    return FALSE;
  if (o->eval != NULL)
    {
      self->eval_set = o->eval;
      self->eval_samples = peft_data_samples_new (o->eval, NULL, 0);
    }
  else if (o->eval_fraction > 0)
    {
      if (!peft_data_split (n, o->eval_fraction, o->seed, &rows, &n_rows, &eval_rows, &n_eval, error))
        return FALSE;
      self->eval_set = o->train;
      self->eval_samples = peft_data_samples_new (o->train, eval_rows, n_eval);
    }
  if (self->eval_samples != NULL && self->eval_samples->n == 0)
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                           _ ("the evaluation data has no row with a labelled token"));
      return FALSE;
    }
  self->samples = make_samples (self, rows, n_rows);
  self->order = peft_data_order_new (self->samples->n, o->seed, o->shuffle);

  hash_set (sum, o->train, self->samples);
  if (self->eval_samples != NULL)
    hash_set (sum, self->eval_set, self->eval_samples);
  self->data_hash = g_strdup (g_checksum_get_string (sum));
  return TRUE;
}

/* ---- Sizes --------------------------------------------------------------------------------- */

static guint32
longest_sample (const PeftEncodedSet *set, const PeftDataSamples *samples)
{
  guint32 longest = 1;

  for (guint32 i = 0; i < samples->n; i++)
    longest = MAX (longest, peft_data_samples_get_length (samples, set, i));
  return longest;
}

gboolean
peft_train_choose_sizes (PeftTrainRun *self, GError **error)
{
  const PeftTrainOptions *o = self->options;
  guint64 available = o->memory > 0 ? o->memory : peft_memory_get_available ();
  gsize n_m, n_v;

  peft_optimizer_get_memory (self->optimizer, self->adapter->params, &n_m, &n_v);
  if (!peft_memory_choose (self->engine, longest_sample (o->train, self->samples),
                           n_m + n_v, available, &self->batch_size,
                           &self->micro_batch, &self->checkpointing, &self->plan, error))
    return FALSE;
  self->n_batches = peft_data_order_get_n_batches (self->order, self->batch_size, 1);
  self->steps_per_epoch = (self->n_batches + self->accumulation - 1) / self->accumulation;
  self->total_steps = o->max_steps > 0 ? o->max_steps : o->epochs * self->steps_per_epoch;
  self->warmup = o->warmup_steps >= 0
                     ? (guint64) o->warmup_steps
                     : peft_schedule_warmup_steps (o->warmup_ratio, self->total_steps);
  self->indices = g_new (guint32, self->batch_size);
  return TRUE;
}

void
peft_train_get_batches (PeftTrainRun *self, guint64 step, guint64 *epoch, guint32 *first,
                        guint32 *last)
{
  guint64 in_epoch = step % self->steps_per_epoch;

  *epoch = step / self->steps_per_epoch;
  *first = (guint32) in_epoch * self->accumulation;
  *last = MIN (*first + self->accumulation, self->n_batches);
}

/* ---- Memory -------------------------------------------------------------------------------- */

static void
add_step (PeftTrainRun *self, guint64 step, GHashTable *shapes)
{
  guint64 epoch;
  guint32 first, last;

  peft_train_get_batches (self, step, &epoch, &first, &last);
  for (guint32 b = first; b < last; b++)
    {
      guint32 n = peft_data_order_get_batch (self->order, epoch, b, self->batch_size, 0, 1,
                                             self->indices);

      for (guint32 start = 0; start < n; start += self->micro_batch)
        {
          PeftPass pass = { 0 };

          peft_engine_get_shape (self->core, self->options->train, self->samples, self->indices + start,
                                 MIN (self->micro_batch, n - start), &pass);
          pass.gradients = pass.training = TRUE;
          pass.checkpointing = self->checkpointing == PEFT_CHECKPOINTING_ON;
          pass.extra_loss = b == first && start == 0;
          peft_engine_round_pass (self->engine, &pass);
          if (!g_hash_table_contains (shapes, &pass))
            g_hash_table_add (shapes, g_memdup2 (&pass, sizeof pass));
        }
    }
}

/* The order is known, so every shape that will come is. */
gboolean
peft_train_reserve (PeftTrainRun *self, GError **error)
{
  g_autoptr (GHashTable) shapes
      = g_hash_table_new_full (peft_pass_hash, peft_pass_equal, g_free, NULL);
  guint64 last = self->options->shuffle ? self->total_steps
                                        : MIN (self->total_steps, self->steps_per_epoch);
  guint32 length = longest_sample (self->options->train, self->samples);

  for (guint64 step = 0; step < last; step++)
    {
      if ((step & 1023) == 0 && g_cancellable_set_error_if_cancelled (self->cancellable, error))
        return FALSE;
      add_step (self, step, shapes);
    }
  if (!peft_engine_reserve_set (self->engine, shapes, error))
    return FALSE;
  peft_data_batch_reserve (self->batch, self->micro_batch, length);
  if (self->eval_samples == NULL)
    return TRUE;
  peft_data_batch_reserve (self->batch, self->micro_batch,
                           longest_sample (self->eval_set, self->eval_samples));
  return peft_evaluate_reserve (self->engine, self->eval_set, self->eval_samples,
                                self->micro_batch, error);
}
