/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "train-testing.h"

#include "train/peft-engine.h"
#include "train/peft-evaluate.h"
#include "train/peft-generate.h"

/* Passes with virtual positions in front. */

#define MULTITASK "{\"peft_type\":\"MULTITASK_PROMPT_TUNING\",\"num_virtual_tokens\":5,\"num_tasks\":2}"
#define ENCODER                                                                                    \
  "{\"peft_type\":\"P_TUNING\",\"num_virtual_tokens\":5,\"encoder_reparameterization_type\":\"LSTM\"}"

static PeftAdapter *
activate (PeftCore *core, const char *json)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftConfig) config = peft_config_new_from_json (json, -1, &error);
  PeftAdapter *adapter = peft_adapter_new (core, config, "default", 42, &error);

  g_assert_no_error (error);
  peft_adapter_set_active (adapter, TRUE, 1);
  return adapter;
}

static const gint32 prompt_ids[] = { 1, 7, 30, 12, 5, 5, 9, 22, 3, 14, 0 };

static GPtrArray *
generate (PeftGenerate *self, const PeftPrompt *prompts, guint n, gint64 task, gboolean no_cache)
{
  g_autoptr (GError) error = NULL;
  PeftGenerateOptions options;
  GPtrArray *results;

  peft_generate_options_init (&options);
  options.max_new_tokens = 9;
  options.task = task;
  options.no_cache = no_cache;
  results = peft_generate_run (self, prompts, n, &options, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  return results;
}

static gboolean
is_same (GPtrArray *a, GPtrArray *b)
{
  gboolean same = a->len == b->len;

  for (guint i = 0; same && i < a->len; i++)
    {
      PeftGenerated *x = a->pdata[i], *y = b->pdata[i];

      same = x->n_ids == y->n_ids && memcmp (x->ids, y->ids, x->n_ids * sizeof (gint32)) == 0;
    }
  return same;
}

/* With and without a cache, and with what the cache has of an earlier call: the same tokens. */
static void
test_generate (Fixture *f, gconstpointer device)
{
  const PeftPrompt prompts[]
      = { { prompt_ids, 11 }, { prompt_ids, 2 }, { prompt_ids + 3, 6 } };
  g_autoptr (PeftCore) core = NULL;
  g_autoptr (PeftAdapter) adapter = NULL;
  g_autoptr (PeftGenerate) kept = NULL;
  g_autoptr (GPtrArray) first = NULL;
  PeftGenerateStats stats;

  if (!has_device (device))
    {
      g_test_skip ("no such device");
      return;
    }
  core = load_core (f->model, device, 2);
  adapter = activate (core, MULTITASK);
  tiny_randomise (adapter, 1);
  kept = peft_generate_new (core, NULL);
  for (gint64 task = 0; task < 2; task++)
    {
      g_autoptr (PeftGenerate) fresh = peft_generate_new (core, NULL);
      g_autoptr (GPtrArray) cached = generate (fresh, prompts, 3, task, FALSE);
      g_autoptr (GPtrArray) whole = generate (fresh, prompts, 3, task, TRUE);
      g_autoptr (GPtrArray) one = generate (fresh, prompts, 1, task, TRUE);
      g_autoptr (GPtrArray) part = generate (kept, &(PeftPrompt){ prompt_ids, 8 }, 1, task, FALSE);
      g_autoptr (GPtrArray) grown = generate (kept, prompts, 1, task, FALSE);

      g_assert_true (is_same (cached, whole));
      g_assert_true (is_same (one, grown));
      peft_generate_get_stats (kept, &stats);
      g_assert_cmpuint (stats.reused_tokens, ==, 8);
      if (task == 0)
        first = g_steal_pointer (&grown);
      else
        g_assert_false (is_same (first, grown));
    }
}

/* The mean over labels is the same whatever goes into a batch, with layers run again, and after evaluation. */
static void
test_losses (Fixture *f, gconstpointer unused)
{
  g_autoptr (PeftCore) core = load_core (f->model, "reference", 1);
  g_autoptr (PeftAdapter) adapter = activate (core, ENCODER);
  g_autoptr (PeftEncodedSet) set = make_set (7, 3);
  g_autoptr (PeftDataSamples) samples = peft_data_samples_new (set, NULL, 0);
  g_autoptr (PeftDataBatch) batch = peft_data_batch_new ();
  g_autoptr (PeftEngine) engine = peft_engine_new (core, adapter);
  const guint32 indices[] = { 0, 1, 2, 3, 4, 5, 6 };
  g_autoptr (GError) error = NULL;
  PeftEvaluation one, all;
  double norms[2];

  g_assert_true (peft_evaluate (core, set, 1, NULL, NULL, NULL, &one, &error));
  g_assert_true (peft_evaluate (core, set, 7, NULL, NULL, NULL, &all, &error));
  g_assert_cmpfloat_with_epsilon (one.loss, all.loss, 1e-9);
  g_assert_cmpuint (one.tokens, ==, all.tokens);
  g_assert_true (peft_param_set_begin_training (adapter->params, 0, 0, &error));
  for (guint on = 0; on < 2; on++)
    {
      const PeftPassOptions options = { .gradients = TRUE, .checkpointing = on, .training = TRUE };
      PeftPass pass = { 0 };
      PeftPassResult result;

      peft_engine_get_shape (core, set, samples, indices, 7, &pass);
      pass.gradients = pass.training = TRUE;
      pass.checkpointing = on;
      peft_data_batch_fill (batch, set, samples, indices, 7, pass.length);
      g_assert_true (peft_engine_reserve (engine, &pass, 1, &error));
      peft_param_set_zero_grad (adapter->params);
      g_assert_true (peft_engine_run (engine, batch, &options, &result, &error));
      /* The first token of a row counts, too, where it has a label. */
      g_assert_cmpuint (result.n_labels, ==, pass.n_labels);
      g_assert_cmpuint (result.n_labels, ==, batch->n_targets + 4);
      g_assert_cmpuint (result.n_labels, ==, all.tokens);
      g_assert_cmpfloat_with_epsilon (result.loss_sum / result.n_labels, all.loss, 1e-9);
      g_assert_cmpuint (peft_engine_get_peak (engine), <=, peft_engine_get_reserved (engine));
      norms[on] = peft_param_set_grad_norm (adapter->params);
    }
  g_assert_cmpfloat (norms[0], >, 1e-6);
  g_assert_cmpfloat_with_epsilon (norms[0], norms[1], 1e-9 * norms[0]);
  peft_param_set_end_training (adapter->params);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/Peft/VirtualTokens/generate-reference", Fixture, "reference", fixture_set_up, test_generate,
              fixture_tear_down);
  g_test_add ("/Peft/VirtualTokens/generate-cpu", Fixture, "cpu", fixture_set_up, test_generate,
              fixture_tear_down);
  g_test_add ("/Peft/VirtualTokens/losses", Fixture, NULL, fixture_set_up, test_losses, fixture_tear_down);
  return g_test_run ();
}
