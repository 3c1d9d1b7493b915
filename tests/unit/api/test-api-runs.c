/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api-testing.h"

static char *folder;

/* What a trainer told. */
typedef struct
{
  guint n_progress, n_started, n_samples, n_evaluated, n_checkpoints;
  guint64 last_step, total;
  gboolean in_order;
  GThread *thread;
  GCancellable *cancellable;
  guint64 cancel_at; /* 0: never */
  double last_loss;
} Log;

static void
progress_cb (PeftTrainer *trainer, const PeftTrainingProgress *progress, gpointer data)
{
  Log *log = data;

  g_assert_true (g_thread_self () == log->thread);
  log->in_order = log->in_order && progress->step > log->last_step;
  log->last_step = progress->step;
  log->total = progress->total_steps;
  log->last_loss = progress->loss;
  log->n_progress++;
  if (log->cancel_at > 0 && progress->step >= log->cancel_at)
    g_cancellable_cancel (log->cancellable);
}

static void
started_cb (PeftTrainer *trainer, const char *plan, gpointer data)
{
  Log *log = data;

  g_assert_nonnull (strstr (plan, "\"total_steps\""));
  g_assert_cmpuint (log->n_progress, ==, 0);
  log->n_started++;
}

static void
sample_cb (PeftTrainer *trainer, guint64 step, const char *prompt, const char *text, gpointer data)
{
  g_assert_cmpstr (prompt, ==, "the cat");
  g_assert_nonnull (text);
  ((Log *) data)->n_samples++;
}

static void
evaluated_cb (PeftTrainer *trainer, guint64 step, double loss, gpointer data)
{
  g_assert_cmpfloat (loss, >, 0);
  ((Log *) data)->n_evaluated++;
}

static void
checkpoint_cb (PeftTrainer *trainer, const char *path, gpointer data)
{
  g_assert_true (g_file_test (path, G_FILE_TEST_IS_DIR));
  ((Log *) data)->n_checkpoints++;
}

static void
log_init (Log *log, PeftTrainer *trainer)
{
  *log = (Log){ .in_order = TRUE, .thread = g_thread_self () };
  g_signal_connect (trainer, "progress", G_CALLBACK (progress_cb), log);
  g_signal_connect (trainer, "started", G_CALLBACK (started_cb), log);
  g_signal_connect (trainer, "sample", G_CALLBACK (sample_cb), log);
  g_signal_connect (trainer, "evaluated", G_CALLBACK (evaluated_cb), log);
  g_signal_connect (trainer, "checkpoint", G_CALLBACK (checkpoint_cb), log);
}

static PeftTrainer *
tiny_trainer (guint64 max_steps)
{
  g_autoptr (PeftModel) model = tiny_model (folder);
  g_autoptr (PeftDataset) dataset = tiny_dataset ();
  PeftTrainer *trainer = peft_trainer_new (model, dataset);

  tiny_add_lora (model, "default", FALSE);
  g_object_set (trainer, "max-steps", max_steps, "batch-size", 4, "learning-rate", 0.01, NULL);
  return trainer;
}

/* The defaults are those of the command. */
static void
test_defaults (void)
{
  g_autoptr (PeftModel) model = tiny_model (folder);
  g_autoptr (PeftTrainer) trainer = peft_trainer_new (model, NULL);
  g_autofree char *schedule = NULL;
  g_autofree char *optimizer = NULL;
  guint epochs, keep, accumulation, max_length;
  double rate, ratio, norm, beta2;
  guint64 seed;
  gboolean shuffle;

  g_object_get (trainer, "epochs", &epochs, "keep", &keep, "gradient-accumulation", &accumulation,
                "max-length", &max_length, "learning-rate", &rate, "warmup-ratio", &ratio,
                "max-grad-norm", &norm, "adam-beta2", &beta2, "seed", &seed, "shuffle", &shuffle,
                "schedule", &schedule, "optimizer", &optimizer, NULL);
  g_assert_cmpuint (epochs, ==, 3);
  g_assert_cmpuint (keep, ==, 3);
  g_assert_cmpuint (accumulation, ==, 1);
  g_assert_cmpuint (max_length, ==, 2048);
  g_assert_cmpfloat (rate, <, 0);
  g_assert_cmpfloat (ratio, ==, 0.03);
  g_assert_cmpfloat (norm, ==, 1);
  g_assert_cmpfloat (beta2, ==, 0.999);
  g_assert_cmpuint (seed, ==, 42);
  g_assert_true (shuffle);
  g_assert_cmpstr (schedule, ==, "cosine");
  g_assert_cmpstr (optimizer, ==, "adamw");
}

static void
test_train (void)
{
  const char *const prompts[] = { "the cat", NULL };
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftTrainingResult) result = NULL;
  g_autoptr (PeftTrainingResult) kept = NULL;
  g_autofree char *json = NULL;
  g_autofree char *plan = NULL;
  PeftTrainer *trainer = tiny_trainer (30);
  Log log;

  log_init (&log, trainer);
  g_object_set (trainer, "sample-prompts", prompts, "sample-tokens", (guint64) 4, "eval-fraction",
                0.25, "eval-every", (guint64) 10, NULL);
  plan = peft_trainer_plan (trainer, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (strstr (plan, "\"total_steps\": 30"));
  g_assert_cmpuint (log.n_progress, ==, 0);
  result = peft_trainer_train (trainer, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (log.n_progress, ==, 30);
  g_assert_cmpuint (log.n_started, ==, 1);
  g_assert_cmpuint (log.n_evaluated, ==, 3);
  g_assert_cmpuint (log.n_samples, >=, 3);
  g_assert_true (log.in_order);
  g_assert_cmpuint (result->steps, ==, 30);
  g_assert_cmpfloat (result->loss, <, result->first_loss);
  g_assert_cmpfloat (result->loss, ==, log.last_loss);
  kept = peft_trainer_get_result (trainer);
  g_assert_cmpfloat (kept->loss, ==, result->loss);
  json = peft_training_result_to_json (result);
  g_assert_nonnull (strstr (json, "\"steps\":30"));
  g_assert_finalize_object (trainer);
}

/* The same numbers, in another thread; progress may be thinned out but ends with the last step. */
static void
test_train_async (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftTrainer) sync = tiny_trainer (20);
  g_autoptr (PeftTrainingResult) expected = peft_trainer_train (sync, NULL, &error);
  g_autoptr (PeftTrainingResult) result = NULL;
  PeftTrainer *trainer = tiny_trainer (20);
  g_auto (Wait) wait;
  Log log;

  g_assert_no_error (error);
  log_init (&log, trainer);
  wait_init (&wait);
  peft_trainer_train_async (trainer, NULL, wait_cb, &wait);
  /* Settings are those of the start. */
  g_object_set (trainer, "max-steps", (guint64) 1, NULL);
  result = peft_trainer_train_finish (trainer, wait_run (&wait), &error);
  g_assert_no_error (error);
  g_assert_cmpuint (result->steps, ==, 20);
  g_assert_cmpfloat (result->loss, ==, expected->loss);
  g_assert_cmpuint (log.n_progress, >=, 1);
  g_assert_cmpuint (log.n_progress, <=, 20);
  g_assert_cmpuint (log.n_started, ==, 1);
  g_assert_true (log.in_order);
  g_assert_cmpuint (log.last_step, ==, 20);
  wait_clear (&wait);
  wait_init (&wait);
  g_assert_finalize_object (trainer);
}

static void
test_busy (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftTrainer) trainer = tiny_trainer (200);
  PeftModel *model = peft_trainer_get_model (trainer);
  g_autoptr (PeftGenerator) generator = peft_generator_new (model);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (PeftTrainingResult) result = NULL;
  const char *const prompts[] = { "a", NULL };
  const char *const none[] = { NULL };
  g_auto (Wait) wait;
  g_auto (Wait) second;

  wait_init (&wait);
  wait_init (&second);
  peft_trainer_train_async (trainer, cancellable, wait_cb, &wait);
  g_assert_true (peft_model_is_busy (model));
  g_assert_null (peft_generator_generate (generator, prompts, NULL, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_false (peft_model_set_active (model, none, NULL, 0, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_false (peft_model_delete_adapter (model, "default", &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_BUSY);
  g_clear_error (&error);
  peft_trainer_train_async (trainer, NULL, wait_cb, &second);
  g_assert_null (peft_trainer_train_finish (trainer, wait_run (&second), &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_BUSY);
  g_clear_error (&error);
  /* Asking is always possible. */
  {
    g_auto (GStrv) names = peft_model_get_adapter_names (model);
    g_assert_cmpuint (g_strv_length (names), ==, 1);
  }
  g_cancellable_cancel (cancellable);
  result = peft_trainer_train_finish (trainer, wait_run (&wait), &error);
  g_assert_null (result);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_false (peft_model_is_busy (model));
}

/* A run from a callback is the second one too. */
static void
nested_cb (PeftTrainer *trainer, const PeftTrainingProgress *progress, gpointer data)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (peft_trainer_train (trainer, NULL, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_BUSY);
  ++*(guint *) data;
}

static void
test_busy_nested (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftTrainer) trainer = tiny_trainer (2);
  g_autoptr (PeftTrainingResult) result = NULL;
  guint n = 0;

  g_signal_connect (trainer, "progress", G_CALLBACK (nested_cb), &n);
  result = peft_trainer_train (trainer, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (n, ==, 2);
}

/* Cancelled after step 5, resumed: the loss of an uninterrupted run, bit by bit. */
static void
test_cancel_and_resume (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *out = g_dir_make_tmp ("peft-run-XXXXXX", NULL);
  g_autoptr (PeftTrainer) whole = tiny_trainer (12);
  g_autoptr (PeftTrainingResult) expected = peft_trainer_train (whole, NULL, &error);
  g_autoptr (PeftTrainer) first = tiny_trainer (12);
  g_autoptr (PeftTrainer) second = tiny_trainer (12);
  g_autoptr (PeftTrainingResult) partial = NULL;
  g_autoptr (PeftTrainingResult) result = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Log log;

  g_assert_no_error (error);
  log_init (&log, first);
  log.cancellable = cancellable;
  log.cancel_at = 5;
  g_object_set (first, "output", out, NULL);
  g_assert_null (peft_trainer_train (first, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  partial = peft_trainer_get_result (first);
  g_assert_cmpuint (partial->steps, ==, 5);
  g_assert_cmpuint (log.n_checkpoints, ==, 1);

  g_object_set (second, "output", out, "resume", TRUE, NULL);
  result = peft_trainer_train (second, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (result->resumed_from, ==, 5);
  g_assert_cmpuint (result->steps, ==, 12);
  g_assert_cmpfloat (result->loss, ==, expected->loss);
  remove_folder (out);
}

static void
test_refusals (void)
{
  static const struct
  {
    const char *property, *value;
    int code;
  } bad[] = {
    { "quantize", "nf4", PEFT_ERROR_UNSUPPORTED },
    { "schedule", "zigzag", PEFT_ERROR_INVALID_ARGUMENT },
    { "optimizer", "luck", PEFT_ERROR_INVALID_ARGUMENT },
  };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (PeftTrainer) trainer = tiny_trainer (1);

      g_object_set (trainer, bad[i].property, bad[i].value, NULL);
      g_assert_null (peft_trainer_train (trainer, NULL, &error));
      g_assert_error (error, PEFT_ERROR, bad[i].code);
      g_assert_nonnull (strstr (error->message, bad[i].value));
      g_assert_false (peft_model_is_busy (peft_trainer_get_model (trainer)));
    }
  {
    g_autoptr (GError) error = NULL;
    g_autoptr (PeftModel) model = tiny_model (folder);
    g_autoptr (PeftDataset) dataset = tiny_dataset ();
    g_autoptr (PeftTrainer) trainer = peft_trainer_new (model, dataset);

    g_assert_null (peft_trainer_train (trainer, NULL, &error));
    g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT);
    g_clear_error (&error);
    peft_trainer_set_dataset (trainer, NULL);
    tiny_add_lora (model, "default", FALSE);
    g_assert_null (peft_trainer_train (trainer, NULL, &error));
    g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT);
  }
}

/* ---- Writing ------------------------------------------------------------------------------- */

typedef struct
{
  GArray *ids[2];
  GString *text[2];
} Tokens;

static void
token_cb (PeftGenerator *generator, guint prompt, int id, const char *text, gpointer data)
{
  Tokens *tokens = data;

  g_assert_cmpuint (prompt, <, 2);
  if (id >= 0)
    g_array_append_val (tokens->ids[prompt], id);
  g_string_append (tokens->text[prompt], text);
}

static void
tokens_init (Tokens *tokens, PeftGenerator *generator)
{
  for (guint i = 0; i < 2; i++)
    {
      tokens->ids[i] = g_array_new (FALSE, FALSE, sizeof (int));
      tokens->text[i] = g_string_new (NULL);
    }
  g_signal_connect (generator, "token", G_CALLBACK (token_cb), tokens);
}

static void
tokens_clear (Tokens *tokens)
{
  for (guint i = 0; i < 2; i++)
    {
      g_array_unref (tokens->ids[i]);
      g_string_free (tokens->text[i], TRUE);
    }
}

static void
assert_streamed (PeftGenerationResult *result, Tokens *tokens, guint prompt)
{
  gsize n;
  const gint32 *ids = peft_generation_result_get_ids (result, &n);

  g_assert_cmpmem (ids, n * sizeof *ids, tokens->ids[prompt]->data,
                   tokens->ids[prompt]->len * sizeof (int));
  g_assert_cmpstr (peft_generation_result_get_text (result), ==, tokens->text[prompt]->str);
}

static void
test_generate (void)
{
  const char *const prompts[] = { "the cat", "a big dog", NULL };
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftModel) model = tiny_model (folder);
  PeftGenerator *generator = peft_generator_new (model);
  g_autoptr (PeftGenerator) other = peft_generator_new (model);
  g_autoptr (GPtrArray) results = NULL;
  g_autoptr (GPtrArray) async_results = NULL;
  g_autofree char *a = NULL;
  g_autofree char *b = NULL;
  guint64 new_tokens = 0;
  g_auto (Wait) wait;
  Tokens tokens, async_tokens;

  g_object_set (generator, "max-new-tokens", (guint64) 12, NULL);
  g_object_set (other, "max-new-tokens", (guint64) 12, NULL);
  tokens_init (&tokens, generator);
  tokens_init (&async_tokens, other);
  results = peft_generator_generate (generator, prompts, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (results->len, ==, 2);
  assert_streamed (results->pdata[0], &tokens, 0);
  assert_streamed (results->pdata[1], &tokens, 1);
  peft_generator_get_speed (generator, NULL, NULL, &new_tokens, NULL);
  g_assert_cmpuint (new_tokens, >, 0);

  wait_init (&wait);
  peft_generator_generate_async (other, prompts, NULL, wait_cb, &wait);
  async_results = peft_generator_generate_finish (other, wait_run (&wait), &error);
  g_assert_no_error (error);
  assert_streamed (async_results->pdata[1], &async_tokens, 1);
  a = peft_generation_result_to_json (results->pdata[1]);
  b = peft_generation_result_to_json (async_results->pdata[1]);
  g_assert_cmpstr (a, ==, b);
  tokens_clear (&tokens);
  tokens_clear (&async_tokens);
  g_assert_finalize_object (generator);
}

static void
test_generate_ids_and_chat (void)
{
  const gint32 ids[] = { 24, 12, 9 };
  const char *messages = "[{\"role\":\"user\",\"content\":\"hi\"}]";
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftModel) model = tiny_model (folder);
  g_autoptr (PeftGenerator) generator = peft_generator_new (model);
  g_autoptr (PeftGenerationResult) base = NULL;
  g_autoptr (PeftGenerationResult) adapted = NULL;
  g_autoptr (PeftGenerationResult) chat = NULL;
  g_autoptr (PeftGenerationResult) with_system = NULL;
  gsize n, n_system;

  g_object_set (generator, "max-new-tokens", (guint64) 16, NULL);
  peft_generator_set_eos_ids (generator, NULL, 0);
  base = peft_generator_generate_ids (generator, ids, 3, NULL, &error);
  g_assert_no_error (error);
  peft_generation_result_get_ids (base, &n);
  g_assert_cmpuint (n, ==, 16);
  g_assert_cmpstr (peft_generation_result_get_finish (base), ==, "length");

  /* Another adapter: nothing of the memory of the last call may be used. */
  tiny_add_lora (model, "default", TRUE);
  adapted = peft_generator_generate_ids (generator, ids, 3, NULL, &error);
  g_assert_no_error (error);
  {
    g_autoptr (PeftGenerator) fresh = peft_generator_new (model);
    g_autoptr (PeftGenerationResult) expected = NULL;
    g_autofree char *a = NULL;
    g_autofree char *b = NULL;

    g_object_set (fresh, "max-new-tokens", (guint64) 16, NULL);
    peft_generator_set_eos_ids (fresh, NULL, 0);
    expected = peft_generator_generate_ids (fresh, ids, 3, NULL, &error);
    g_assert_no_error (error);
    a = peft_generation_result_to_json (adapted);
    b = peft_generation_result_to_json (expected);
    g_assert_cmpstr (a, ==, b);
  }

  chat = peft_generator_generate_chat (generator, messages, NULL, &error);
  g_assert_no_error (error);
  peft_generation_result_get_prompt_ids (chat, &n);
  g_assert_cmpuint (n, ==, strlen ("user. hi\nassistant. "));
  g_object_set (generator, "system", "be kind", NULL);
  with_system = peft_generator_generate_chat (generator, messages, NULL, &error);
  g_assert_no_error (error);
  peft_generation_result_get_prompt_ids (with_system, &n_system);
  g_assert_cmpuint (n_system, ==, n + strlen ("system. be kind\n"));
  g_assert_null (peft_generator_generate_chat (generator, "nonsense", NULL, &error));
  g_assert_nonnull (error);
}

static void
test_evaluate (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftModel) model = tiny_model (folder);
  g_autoptr (PeftDataset) dataset = tiny_dataset ();
  g_autoptr (PeftEvaluationResult) result
      = peft_model_evaluate (model, dataset, PEFT_LOSS_ON_AUTO, 0, 4, NULL, &error);
  g_autoptr (PeftEvaluationResult) async_result = NULL;
  g_autoptr (GCancellable) cancelled = g_cancellable_new ();
  g_auto (Wait) wait;

  g_assert_no_error (error);
  g_assert_cmpuint (result->rows, ==, 24);
  g_assert_cmpfloat (result->loss, >, 0.5);
  g_assert_cmpfloat_with_epsilon (result->perplexity, exp (result->loss), 1e-9);
  wait_init (&wait);
  peft_model_evaluate_async (model, dataset, PEFT_LOSS_ON_AUTO, 0, 4, NULL, wait_cb, &wait);
  async_result = peft_model_evaluate_finish (model, wait_run (&wait), &error);
  g_assert_no_error (error);
  g_assert_cmpfloat (async_result->loss, ==, result->loss);
  g_cancellable_cancel (cancelled);
  g_assert_null (
      peft_model_evaluate (model, dataset, PEFT_LOSS_ON_AUTO, 0, 4, cancelled, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

/* Two models on one base see their own adapters only. */
static void
test_shared_base (void)
{
  g_autoptr (PeftModel) one = tiny_model (folder);
  g_autoptr (PeftModel) two = peft_model_new (peft_model_get_base_model (one));
  g_autoptr (PeftTensor) before = tiny_logits (two);
  g_autoptr (PeftTensor) adapted = NULL;
  g_autoptr (PeftTensor) after = NULL;

  tiny_add_lora (one, "default", TRUE);
  adapted = tiny_logits (one);
  after = tiny_logits (two);
  g_assert_cmpfloat (compare_logits (before, adapted), >, 1e-3);
  g_assert_cmpfloat (compare_logits (before, after), ==, 0);
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  folder = tiny_write ();
  g_test_add_func ("/Peft/Trainer/defaults", test_defaults);
  g_test_add_func ("/Peft/Trainer/train", test_train);
  g_test_add_func ("/Peft/Trainer/async", test_train_async);
  g_test_add_func ("/Peft/Trainer/busy", test_busy);
  g_test_add_func ("/Peft/Trainer/busy-nested", test_busy_nested);
  g_test_add_func ("/Peft/Trainer/cancel-and-resume", test_cancel_and_resume);
  g_test_add_func ("/Peft/Trainer/refusals", test_refusals);
  g_test_add_func ("/Peft/Generator/prompts", test_generate);
  g_test_add_func ("/Peft/Generator/ids-and-chat", test_generate_ids_and_chat);
  g_test_add_func ("/Peft/Model/evaluate", test_evaluate);
  g_test_add_func ("/Peft/Model/shared-base", test_shared_base);
  status = g_test_run ();
  remove_folder (folder);
  g_free (folder);
  return status;
}
