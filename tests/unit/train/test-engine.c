/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "train-testing.h"

#include "train/peft-engine.h"
#include "train/peft-evaluate.h"
#include "train/peft-memory.h"

static PeftDataBatch *
fill_all (PeftEncodedSet *set, PeftDataSamples *samples, guint32 length)
{
  PeftDataBatch *batch = peft_data_batch_new ();
  g_autofree guint32 *indices = g_new (guint32, samples->n);

  for (guint32 i = 0; i < samples->n; i++)
    indices[i] = i;
  if (length == 0)
    length = peft_data_batch_find_length (set, samples, indices, samples->n);
  peft_data_batch_fill (batch, set, samples, indices, samples->n, length);
  return batch;
}

static PeftPassResult
run (PeftEngine *engine, const PeftDataBatch *batch, const PeftPassOptions *options)
{
  g_autoptr (GError) error = NULL;
  const PeftPass pass = {
    .batch = batch->batch, .length = batch->length, .n_labels = batch->n_targets,
    .gradients = options->gradients, .checkpointing = options->checkpointing,
    .training = options->training, .logits = options->logits != NULL,
  };
  PeftPassResult result;

  peft_engine_reserve (engine, &pass, 1, &error);
  g_assert_no_error (error);
  peft_engine_run (engine, batch, options, &result, &error);
  g_assert_no_error (error);
  return result;
}

static void
test_round (void)
{
  static const guint32 pairs[][2] = {
    { 1, 16 },    { 16, 16 },   { 17, 32 },   { 128, 128 },   { 129, 192 },   { 512, 512 },
    { 513, 576 }, { 1024, 1024 }, { 1025, 1152 }, { 2049, 2304 }, { 2048, 2048 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (pairs); i++)
    g_assert_cmpuint (peft_engine_round (pairs[i][0]), ==, pairs[i][1]);
  for (guint32 n = 1; n < 5000; n++)
    {
      g_assert_cmpuint (peft_engine_round (n), >=, n);
      g_assert_cmpuint (peft_engine_round (peft_engine_round (n)), ==, peft_engine_round (n));
    }
}

/* Several rows in a line, rows alone in lines, and lines padded further: every row's losses are the same. */
static void
test_packing (Fixture *fixture, gconstpointer data)
{
  const char *device = data;
  g_autoptr (PeftCore) core = NULL;
  g_autoptr (PeftEngine) engine = NULL;
  g_autoptr (PeftEncodedSet) set = make_set (8, 21);
  g_autoptr (PeftDataSamples) packed = peft_data_samples_new_packed (set, NULL, 0, 40);
  g_autoptr (PeftDataSamples) alone = peft_data_samples_new (set, packed->rows, 8);
  g_autoptr (PeftDataBatch) packed_batch = fill_all (set, packed, 0);
  g_autoptr (PeftDataBatch) alone_batch = fill_all (set, alone, 0);
  g_autoptr (PeftDataBatch) wide_batch = fill_all (set, alone, 50);
  g_autofree float *a = g_new (float, packed_batch->n_targets);
  g_autofree float *b = g_new (float, packed_batch->n_targets);
  g_autofree float *c = g_new (float, packed_batch->n_targets);
  PeftPassResult result;

  if (!has_device (device))
    {
      g_test_skip ("the backend was not built");
      return;
    }
  core = load_core (fixture->model, device, 1);
  engine = peft_engine_new (core, NULL);
  g_assert_cmpuint (packed->n, <, 8);
  g_assert_cmpuint (packed_batch->n_targets, ==, alone_batch->n_targets);
  result = run (engine, packed_batch, &(PeftPassOptions){ .row_losses = a });
  g_assert_cmpuint (result.n_labels, ==, packed_batch->n_targets);
  run (engine, alone_batch, &(PeftPassOptions){ .row_losses = b });
  run (engine, wide_batch, &(PeftPassOptions){ .row_losses = c });
  for (guint64 i = 0; i < packed_batch->n_targets; i++)
    {
      assert_near (a[i], b[i], 1e-5);
      assert_near (a[i], c[i], 1e-5);
      g_assert_cmpfloat (a[i], >, 0);
    }
}

static GBytes *
gradients (PeftEngine *engine, PeftAdapter *adapter, const PeftDataBatch *batch,
           gboolean checkpointing, gboolean training, double *loss)
{
  PeftPassOptions options = {
    .gradients = TRUE, .checkpointing = checkpointing, .training = training, .seed = 5, .step = 7,
  };
  PeftPassResult result;

  peft_param_set_zero_grad (adapter->params);
  result = run (engine, batch, &options);
  *loss = result.loss_sum / result.n_labels;
  return peft_param_set_download_flat (adapter->params, 1);
}

static void
test_checkpointing (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
  g_autoptr (PeftAdapter) adapter = active_adapter (core, ALL_LINEAR ",\"lora_dropout\":0.3");
  g_autoptr (PeftEncodedSet) set = make_set (4, 22);
  g_autoptr (PeftDataSamples) samples = peft_data_samples_new (set, NULL, 0);
  g_autoptr (PeftDataBatch) batch = fill_all (set, samples, 0);
  g_autoptr (PeftEngine) engine = peft_engine_new (core, adapter);
  g_autoptr (GBytes) without = NULL;
  g_autoptr (GBytes) with = NULL;
  g_autoptr (GBytes) calm = NULL;
  double a, b, c;

  tiny_randomise (adapter, 0.1);
  g_assert_true (peft_param_set_begin_training (adapter->params, 0, 0, NULL));
  without = gradients (engine, adapter, batch, FALSE, TRUE, &a);
  with = gradients (engine, adapter, batch, TRUE, TRUE, &b);
  calm = gradients (engine, adapter, batch, TRUE, FALSE, &c);
  g_assert_true (g_bytes_equal (without, with));
  g_assert_cmpfloat (a, ==, b);
  g_assert_cmpfloat (fabs (a - c), >, 1e-3); /* dropout does something */
}

/* Loss and gradient of the engine as a whole against central differences. */
static void
test_gradient (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
  g_autoptr (PeftAdapter) adapter = active_adapter (core, GPOINTER_TO_INT (data) ? NULL : ALL_LINEAR);
  g_autoptr (PeftEncodedSet) set = make_set (5, 23);
  g_autoptr (PeftDataSamples) samples = peft_data_samples_new_packed (set, NULL, 0, 32);
  g_autoptr (PeftDataBatch) batch = fill_all (set, samples, 0);
  g_autoptr (PeftEngine) engine = peft_engine_new (core, adapter);
  g_autoptr (GBytes) bytes = NULL;
  double loss;
  const double *grad;

  tiny_randomise (adapter, 0.3);
  g_assert_true (peft_param_set_begin_training (adapter->params, 0, 0, NULL));
  bytes = gradients (engine, adapter, batch, FALSE, FALSE, &loss);
  grad = g_bytes_get_data (bytes, NULL);
  for (guint i = 0; i < peft_param_set_get_n (adapter->params); i += 3)
    {
      PeftParam *param = peft_param_set_get (adapter->params, i);
      gsize n = peft_view_n_values (&param->value->view), at = n / 3;
      g_autofree double *values = g_new (double, n);
      double losses[2], old;

      peft_tensor_download_f64 (param->value, values);
      old = values[at];
      for (int sign = 0; sign < 2; sign++)
        {
          PeftPassResult result;

          values[at] = old + (sign ? 1e-4 : -1e-4);
          peft_tensor_upload_f64 (param->value, values);
          result = run (engine, batch, &(PeftPassOptions){ 0 });
          losses[sign] = result.loss_sum / result.n_labels;
        }
      values[at] = old;
      peft_tensor_upload_f64 (param->value, values);
      /* Row losses come back as float32. */
      g_assert_cmpfloat_with_epsilon ((losses[1] - losses[0]) / 2e-4, grad[param->offset + at], 2e-3);
    }
}

/* An arena of the planned size is enough, and no larger than needed. */
static void
test_plan (Fixture *fixture, gconstpointer data)
{
  for (guint checkpointing = 0; checkpointing < 2; checkpointing++)
    {
      g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
      g_autoptr (PeftAdapter) adapter = active_adapter (core, ALL_LINEAR ",\"lora_dropout\":0.1");
      g_autoptr (PeftEngine) engine = peft_engine_new (core, adapter);
      g_autoptr (PeftEncodedSet) set = make_set (6, 24);
      g_autoptr (PeftDataSamples) samples = peft_data_samples_new (set, NULL, 0);
      g_autoptr (PeftDataBatch) batch = fill_all (set, samples, 0);
      g_autoptr (GError) error = NULL;
      PeftPass pass = {
        .batch = 6, .length = batch->length, .n_labels = batch->n_targets, .gradients = TRUE,
        .training = TRUE, .checkpointing = checkpointing,
      };
      PeftMemoryPlan plan, larger;
      double loss;

      g_assert_true (peft_engine_measure (engine, &pass, TRUE, &plan, &error));
      g_assert_no_error (error);
      g_assert_true (peft_param_set_begin_training (
          adapter->params, peft_param_set_get_n_trained (adapter->params),
          peft_param_set_get_n_trained (adapter->params), NULL));
      g_bytes_unref (gradients (engine, adapter, batch, checkpointing, TRUE, &loss));
      g_assert_cmpuint (plan.activations + plan.scratch, ==, peft_engine_get_reserved (engine));
      g_assert_cmpuint (peft_engine_get_peak (engine), ==, peft_engine_get_reserved (engine));
      g_assert_cmpuint (plan.training, ==, peft_param_set_training_bytes (adapter->params, TRUE));
      g_assert_cmpuint (plan.weights, ==, peft_core_get_weight_bytes (core));
      pass.batch = 12;
      pass.n_labels *= 2;
      g_assert_true (peft_engine_measure (engine, &pass, TRUE, &larger, &error));
      g_assert_cmpuint (larger.total, >, plan.total);
    }
}

static void
test_plan_only (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PeftCore) real = load_core (fixture->model, "reference", 1);
  g_autoptr (PeftBackend) plan_backend = peft_plan_backend_new (real->backend);
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftCore) planned
      = peft_core_load (fixture->model, plan_backend, PEFT_LOAD_FLOAT32, NULL, &error);
  PeftMemoryPlan plans[2][2];
  PeftCore *cores[] = { real, planned };

  g_assert_no_error (error);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (PeftAdapter) adapter = active_adapter (cores[i], ALL_LINEAR);
      g_autoptr (PeftEngine) engine = peft_engine_new (cores[i], adapter);

      for (guint j = 0; j < 2; j++)
        {
          const PeftPass pass = {
            .batch = 4, .length = 100, .n_labels = 400, .gradients = TRUE, .training = TRUE,
            .checkpointing = j,
          };
          g_assert_true (peft_engine_measure (engine, &pass, TRUE, &plans[i][j], &error));
          g_assert_no_error (error);
        }
    }
  for (guint j = 0; j < 2; j++)
    {
      g_assert_cmpuint (plans[0][j].activations, ==, plans[1][j].activations);
      g_assert_cmpuint (plans[0][j].scratch, ==, plans[1][j].scratch);
      g_assert_cmpuint (plans[0][j].training, ==, plans[1][j].training);
    }
  g_assert_cmpuint (plans[0][1].activations, <, plans[0][0].activations);
}

static void
test_choose (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
  g_autoptr (PeftAdapter) adapter = active_adapter (core, ALL_LINEAR);
  g_autoptr (PeftEngine) engine = peft_engine_new (core, adapter);
  g_autoptr (GError) error = NULL;
  PeftCheckpointing checkpointing = PEFT_CHECKPOINTING_AUTO;
  PeftMemoryPlan plan, small;
  guint32 batch = 0, micro = 0;

  g_assert_true (peft_memory_choose (engine, 64, TRUE, 1u << 30, &batch, &micro, &checkpointing,
                                     &plan, &error));
  g_assert_cmpuint (batch, ==, PEFT_MEMORY_AUTO_BATCH);
  g_assert_cmpuint (micro, ==, PEFT_MEMORY_AUTO_BATCH);
  g_assert_cmpint (checkpointing, ==, PEFT_CHECKPOINTING_OFF);

  /* Half the memory halves the micro-batch and not the batch. */
  checkpointing = PEFT_CHECKPOINTING_AUTO;
  batch = micro = 0;
  g_assert_true (peft_memory_choose (engine, 64, TRUE, plan.total / PEFT_MEMORY_SHARE * 0.7, &batch,
                                     &micro, &checkpointing, &small, &error));
  g_assert_cmpuint (batch, ==, PEFT_MEMORY_AUTO_BATCH);
  g_assert_cmpuint (micro, ==, PEFT_MEMORY_AUTO_BATCH / 2);
  g_assert_cmpint (checkpointing, ==, PEFT_CHECKPOINTING_OFF);

  /* Nothing but one row with checkpointing. */
  {
    const PeftPass one = {
      .batch = 1, .length = 64, .n_labels = 64, .gradients = TRUE, .training = TRUE,
      .checkpointing = TRUE,
    };
    g_assert_true (peft_engine_measure (engine, &one, TRUE, &small, &error));
    checkpointing = PEFT_CHECKPOINTING_AUTO;
    batch = 4;
    micro = 0;
    g_assert_true (peft_memory_choose (engine, 64, TRUE, small.total / PEFT_MEMORY_SHARE * 1.001,
                                       &batch, &micro, &checkpointing, &plan, &error));
    g_assert_cmpuint (batch, ==, 4);
    g_assert_cmpuint (micro, ==, 1);
    g_assert_cmpint (checkpointing, ==, PEFT_CHECKPOINTING_ON);
    checkpointing = PEFT_CHECKPOINTING_AUTO;
    g_assert_false (peft_memory_choose (engine, 64, TRUE, small.total - 1, &batch, &micro,
                                        &checkpointing, &plan, &error));
    g_assert_error (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY);
  }
  g_assert_cmpuint (peft_memory_get_available (), >, 1u << 20);
  g_assert_cmpuint (peft_memory_get_peak (), >, 1u << 20);
}

static void
test_evaluate (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
  g_autoptr (PeftEncodedSet) set = make_set (7, 25);
  g_autoptr (GError) error = NULL;
  PeftEvaluation one, all;

  g_assert_true (peft_evaluate (core, set, 1, NULL, NULL, NULL, &one, &error));
  g_assert_true (peft_evaluate (core, set, 0, NULL, NULL, NULL, &all, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (one.rows, ==, 7);
  g_assert_cmpuint (one.tokens, ==, all.tokens);
  assert_near (one.loss, all.loss, 1e-6);
  g_assert_cmpfloat_with_epsilon (one.perplexity, exp (one.loss), 1e-9);
  g_assert_cmpfloat (one.accuracy, ==, all.accuracy);
  g_assert_true (one.accuracy >= 0 && one.accuracy <= 1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, data, func)                                                                      \
  g_test_add ("/Peft/Engine/" name, Fixture, data, fixture_set_up, func, fixture_tear_down)
  g_test_add_func ("/Peft/Engine/round", test_round);
  ADD ("packing-reference", "reference", test_packing);
  ADD ("packing-cpu", "cpu", test_packing);
  ADD ("checkpointing", NULL, test_checkpointing);
  ADD ("gradient-lora", GINT_TO_POINTER (FALSE), test_gradient);
  ADD ("gradient-full", GINT_TO_POINTER (TRUE), test_gradient);
  ADD ("plan", NULL, test_plan);
  ADD ("plan-only", NULL, test_plan_only);
  ADD ("choose", NULL, test_choose);
  ADD ("evaluate", NULL, test_evaluate);
#undef ADD
  return g_test_run ();
}
