/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>
#include <math.h>

#include "base/peft-atomic-file.h"
#include "base/peft-error.h"
#include "train/peft-train-private.h"

/* One optimiser step: micro-batches, gradient norm, update. Until the update nothing but gradients has
 * changed. */

typedef struct
{
  double loss_sum, extra_loss;
  guint64 n_labels, n_tokens, n_passes;
} StepSums;

/* Tokens that the loss of the step is the mean of, known before its first pass. */
static guint64
count_labels (PeftTrainRun *self, guint64 epoch, guint32 first, guint32 last)
{
  guint64 n_labels = 0;

  for (guint32 b = first; b < last; b++)
    {
      guint32 n = peft_data_order_get_batch (self->order, epoch, b, self->batch_size, 0, 1,
                                             self->indices);
      PeftPass pass;

      peft_engine_get_shape (self->core, self->options->train, self->samples, self->indices, n, &pass);
      n_labels += pass.n_labels;
    }
  return n_labels;
}

static gboolean
run_micro_batch (PeftTrainRun *self, const guint32 *indices, guint32 n, double denominator,
                 StepSums *sums, GError **error)
{
  const PeftEncodedSet *set = self->options->train;
  const PeftPassOptions options = {
    .gradients = TRUE,
    .checkpointing = self->checkpointing == PEFT_CHECKPOINTING_ON,
    .training = TRUE,
    .extra_loss = sums->n_passes == 0,
    .seed = self->options->seed,
    .step = self->state.micro_step + sums->n_passes,
    .denominator = denominator,
  };
  PeftPassResult result;

  peft_data_batch_fill (self->batch, set, self->samples, indices, n,
                        peft_data_batch_find_length (set, self->samples, indices, n));
  if (!peft_engine_run (self->engine, self->batch, &options, &result, error))
    return FALSE;
  sums->loss_sum += result.loss_sum;
  sums->extra_loss += result.extra_loss;
  sums->n_labels += result.n_labels;
  sums->n_tokens += self->batch->n_tokens;
  sums->n_passes++;
  return TRUE;
}

/* The first frozen weight that is not finite, as a tensor's name; NULL: none. */
static char *
find_broken_weight (PeftTrainRun *self)
{
  const char *key = peft_engine_find_not_finite (self->engine);

  if (key != NULL)
    return g_strdup (key);
  for (guint i = 0; i < self->core->slots->len; i++)
    {
      PeftSlot *slot = self->core->slots->pdata[i];
      PeftTensor *tensors[] = { slot->weight, slot->bias };

      for (guint j = 0; j < G_N_ELEMENTS (tensors); j++)
        {
          g_autofree float *values = NULL;
          gint64 n = tensors[j] != NULL ? peft_view_n_values (&tensors[j]->view) : 0;

          if (n == 0 || (values = peft_slot_read (slot, tensors[j], NULL, NULL)) == NULL)
            continue;
          for (gint64 k = 0; k < n; k++)
            if (!isfinite (values[k]))
              return g_strconcat (slot->path, j == 0 ? ".weight" : ".bias", NULL);
        }
    }
  return NULL;
}

static gboolean
check_finite (PeftTrainRun *self, double loss, double norm, GError **error)
{
  g_autofree char *tensor = NULL;
  guint64 step = self->state.step + 1;

  if (isfinite (loss) && isfinite (norm))
    return TRUE;
  tensor = find_broken_weight (self);
  if (tensor != NULL)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FINITE,
                 _ ("step %" PRIu64
                    ": the tensor %s holds values that are not finite"),
                 step, tensor);
  else if (!isfinite (loss))
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FINITE,
                 _ ("step %" PRIu64
                    ": the loss is not finite (%g); a smaller learning rate may help"),
                 step, loss);
  else
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FINITE,
                 _ ("step %" PRIu64
                    ": the gradient is not finite (%g); a smaller learning rate may help"),
                 step, norm);
  return FALSE;
}

static gboolean
run_batches (PeftTrainRun *self, StepSums *sums, GError **error)
{
  guint64 epoch;
  guint32 first, last;
  double denominator;

  peft_train_get_batches (self, self->state.step, &epoch, &first, &last);
  denominator = MAX (count_labels (self, epoch, first, last), 1);
  for (guint32 b = first; b < last; b++)
    {
      guint32 n = peft_data_order_get_batch (self->order, epoch, b, self->batch_size, 0, 1,
                                             self->indices);

      for (guint32 start = 0; start < n; start += self->micro_batch)
        {
          if (g_cancellable_set_error_if_cancelled (self->cancellable, error)
              || !run_micro_batch (self, self->indices + start, MIN (self->micro_batch, n - start),
                                   denominator, sums, error))
            return FALSE;
        }
    }
  return TRUE;
}

PeftScheduleOptions
peft_train_get_schedule_options (PeftTrainRun *self)
{
  const PeftTrainOptions *o = self->options;

  return (PeftScheduleOptions){
    .learning_rate = self->learning_rate,
    .cycles = o->schedule_cycles,
    .power = o->schedule_power,
    .timescale = o->schedule_timescale,
  };
}

gboolean
peft_train_step (PeftTrainRun *self, GError **error)
{
  const PeftTrainOptions *o = self->options;
  const PeftMethod *method = self->adapter->method;
  PeftParamSet *params = self->adapter->params;
  gint64 start = g_get_monotonic_time ();
  StepSums sums = { 0 };
  const PeftScheduleOptions schedule = peft_train_get_schedule_options (self);
  const double factor = peft_schedule_get_factor (self->schedule, &schedule, self->state.step,
                                                  self->warmup, self->total_steps);
  PeftOptimizerStep step = {
    .learning_rate = o->adafactor_relative_step
                         ? peft_optimizer_get_relative_rate (self->state.step + 1)
                         : self->learning_rate * factor,
    .schedule_factor = factor,
    .momentum = o->momentum,
    .nesterov = o->nesterov,
    .factor_ratio = o->loraplus_ratio,
    .embedding_rate = o->loraplus_embedding_rate,
    .scale_parameter = o->adafactor_scale_parameter,
    .weight_decay = o->weight_decay,
    .beta1 = o->beta1,
    .beta2 = o->beta2,
    .epsilon = o->epsilon,
    .step = self->state.step + 1,
  };
  double loss, norm, seconds;

  peft_param_set_zero_grad (params);
  if (!run_batches (self, &sums, error))
    return FALSE;
  loss = sums.loss_sum / MAX (sums.n_labels, 1);
  norm = peft_param_set_grad_norm (params);
  if (!check_finite (self, loss + sums.extra_loss, norm, error))
    return FALSE;
  step.grad_scale = peft_optimizer_clip_scale (norm, o->max_grad_norm);
  peft_test_point ("step");
  self->optimizer->step (params, self->core->backend, &step);
  if (!peft_backend_sync (self->core->backend, error))
    return FALSE;
  self->state.step++;
  self->state.micro_step += sums.n_passes;
  if (method != NULL && method->after_step != NULL)
    {
      const PeftMethodStep done = { self->state.step, self->total_steps, step.grad_scale };

      if (!method->after_step (self->adapter, &done, error))
        return FALSE;
    }

  seconds = (g_get_monotonic_time () - start) * 1e-6;
  self->state.loss = loss;
  if (self->state.step == 1)
    self->state.first_loss = loss;
  self->state.tokens += sums.n_tokens;
  self->state.seconds += seconds;
  self->progress.loss = loss;
  self->progress.extra_loss = sums.extra_loss;
  self->progress.learning_rate = step.learning_rate;
  self->progress.grad_norm = norm;
  self->progress.tokens = sums.n_tokens;
  self->progress.tokens_per_second = sums.n_tokens / MAX (seconds, 1e-9);
  return TRUE;
}
