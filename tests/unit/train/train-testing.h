/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#include "base/peft-atomic-file.h"
#include "base/peft-error.h"
#include "base/peft-random.h"
#include "methods/peft-method.h"
#include "tiny-model.h"
#include "train/peft-train-loop.h"

/* What the tests of this layer share: the tiny model on any backend, data made of random ids, and one run of
 * training with all its losses. */

#define ALL_LINEAR "\"r\":4,\"target_modules\":\"all-linear\",\"lora_alpha\":8"

typedef struct
{
  char *model; /* folder */
  char *folder; /* for output */
} Fixture;

static inline void
fixture_set_up (Fixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  self->model = tiny_write (&(TinyOptions){ 0 });
  self->folder = g_dir_make_tmp ("peft-train-XXXXXX", &error);
  g_assert_no_error (error);
}

static inline void
fixture_tear_down (Fixture *self, gconstpointer data)
{
  peft_remove_tree (self->model, NULL);
  peft_remove_tree (self->folder, NULL);
  g_free (self->model);
  g_free (self->folder);
}

static inline PeftCore *
load_core (const char *folder, const char *device, guint n_threads)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftBackend) backend = peft_backend_open (device, n_threads, &error);
  PeftCore *core;

  g_assert_no_error (error);
  core = peft_core_load (folder, backend, PEFT_LOAD_FLOAT32, NULL, &error);
  g_assert_no_error (error);
  return core;
}

static inline gboolean
has_device (const char *device)
{
  g_autoptr (PeftBackend) backend = peft_backend_open (device, 1, NULL);
  return backend != NULL;
}

/* Rows of 4 to 19 tokens that follow a rule (so that there is something to learn), some with a prompt that is
 * not labelled. */
static inline PeftEncodedSet *
make_set (guint n_rows, guint64 seed)
{
  PeftEncodedSet *set = peft_encoded_set_new ();

  for (guint i = 0; i < n_rows; i++)
    {
      guint32 length = 4 + peft_random_u32 (seed, 1, i) % 16;
      gint32 ids[20], labels[20];
      g_autoptr (GError) error = NULL;

      ids[0] = peft_random_u32 (seed, 2, i) % TINY_VOCAB;
      for (guint32 t = 0; t < length; t++)
        {
          if (t > 0)
            ids[t] = (ids[t - 1] * 5 + 3) % TINY_VOCAB;
          labels[t] = i % 3 == 0 && t < 3 ? PEFT_DATA_IGNORED : ids[t];
        }
      peft_encoded_set_add (set, i, ids, labels, NULL, length, 64, &error);
      g_assert_no_error (error);
    }
  return set;
}

typedef struct
{
  GArray *losses;     /* double, a step */
  GPtrArray *notes;
  GPtrArray *samples; /* texts, "" for NULL */
  guint n_checkpoints, n_evaluations;
  guint64 cancel_at;
  GCancellable *cancellable;
  PeftMemoryPlan plan;
  double last_eval;
} Record;

static inline void
record_init (Record *self)
{
  *self = (Record){
    .losses = g_array_new (FALSE, FALSE, sizeof (double)),
    .notes = g_ptr_array_new_with_free_func (g_free),
    .samples = g_ptr_array_new_with_free_func (g_free),
    .cancellable = g_cancellable_new (),
  };
}

static inline void
record_clear (Record *self)
{
  g_array_unref (self->losses);
  g_ptr_array_unref (self->notes);
  g_ptr_array_unref (self->samples);
  g_object_unref (self->cancellable);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Record, record_clear)

static inline double
record_loss (const Record *self, guint step)
{
  g_assert_cmpuint (step, <, self->losses->len);
  return g_array_index (self->losses, double, step);
}

static inline void
record_progress (const PeftTrainProgress *progress, gpointer data)
{
  Record *self = data;

  switch (progress->event)
    {
    case PEFT_TRAIN_PLANNED:
      self->plan = *progress->plan;
      break;
    case PEFT_TRAIN_STEP:
      g_array_append_val (self->losses, progress->loss);
      g_assert_cmpuint (progress->step, >, 0);
      g_assert_true (progress->grad_norm > 0);
      if (progress->step == self->cancel_at)
        g_cancellable_cancel (self->cancellable);
      break;
    case PEFT_TRAIN_EVALUATED:
      self->n_evaluations++;
      self->last_eval = progress->eval_loss;
      break;
    case PEFT_TRAIN_CHECKPOINT:
      g_assert_true (g_file_test (progress->text, G_FILE_TEST_IS_DIR));
      self->n_checkpoints++;
      break;
    case PEFT_TRAIN_SAMPLE:
      g_ptr_array_add (self->samples, g_strdup (progress->text != NULL ? progress->text : ""));
      break;
    case PEFT_TRAIN_NOTE:
      g_ptr_array_add (self->notes, g_strdup (progress->text));
      break;
    }
}

static inline void
options_for (PeftTrainOptions *options, PeftEncodedSet *set)
{
  peft_train_options_init (options);
  options->train = set;
  options->batch_size = 4;
  options->max_steps = 8;
  options->learning_rate = 0.01;
  options->warmup_ratio = 0;
  options->memory = 1u << 30;
}

static inline PeftAdapter *
active_adapter (PeftCore *core, const char *members)
{
  PeftAdapter *adapter
      = members != NULL ? tiny_adapter (core, members) : peft_adapter_new_full (core, NULL);

  g_assert_nonnull (adapter);
  peft_adapter_set_active (adapter, TRUE, 1);
  return adapter;
}

/* The adapter after training that must succeed. */
static inline PeftAdapter *
train (PeftCore *core, const char *members, const PeftTrainOptions *options, Record *record,
       PeftTrainResult *result)
{
  g_autoptr (GError) error = NULL;
  PeftAdapter *adapter = active_adapter (core, members);
  gboolean done = peft_train (adapter, options, record_progress, record, record->cancellable,
                              result, &error);

  g_assert_no_error (error);
  g_assert_true (done);
  return adapter;
}

static inline GBytes *
values_of (PeftAdapter *adapter)
{
  return peft_param_set_download_flat (adapter->params, 0);
}

static inline void
assert_near (double a, double b, double relative)
{
  if (!(fabs (a - b) <= relative * MAX (1, fabs (b))))
    g_error ("%.17g and %.17g differ by more than %g", a, b, relative);
}
