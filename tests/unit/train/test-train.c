/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "train-testing.h"

#include "base/peft-json.h"
#include "formats/peft-safetensors.h"
#include "train/peft-checkpoint.h"

static const char *const devices[] = { "reference", "cpu" };

static void
test_loss_falls (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < G_N_ELEMENTS (devices); i++)
    for (guint full = 0; full < 2; full++)
      {
        g_autoptr (PeftCore) core = NULL;
        g_autoptr (PeftEncodedSet) set = make_set (12, 1);
        g_autoptr (PeftAdapter) adapter = NULL;
        g_auto (Record) record = { 0 };
        PeftTrainOptions options;
        PeftTrainResult result;

        if (!has_device (devices[i]))
          continue;
        core = load_core (fixture->model, devices[i], 1);
        record_init (&record);
        options_for (&options, set);
        options.max_steps = 30;
        adapter = train (core, full ? NULL : ALL_LINEAR, &options, &record, &result);
        g_assert_cmpuint (record.losses->len, ==, 30);
        g_assert_cmpfloat (record_loss (&record, 29), <, 0.7 * record_loss (&record, 0));
        g_assert_cmpuint (result.steps, ==, 30);
        g_assert_cmpfloat (result.loss, ==, record_loss (&record, 29));
        g_assert_cmpuint (result.trainable_parameters, ==,
                          peft_param_set_get_n_trainable (adapter->params));
        g_assert_cmpuint (result.all_parameters, ==,
                          peft_core_get_n_parameters (core)
                              + (full ? 0 : peft_param_set_get_n_values (adapter->params)));
      }
}

/* Steps are the same however they are cut. */
static void
test_cuts (Fixture *fixture, gconstpointer data)
{
  static const struct
  {
    guint32 batch, accumulation, micro;
    PeftCheckpointing checkpointing;
  } cuts[] = {
    { 4, 1, 4, PEFT_CHECKPOINTING_OFF }, { 2, 2, 2, PEFT_CHECKPOINTING_OFF },
    { 1, 4, 1, PEFT_CHECKPOINTING_ON },  { 4, 1, 1, PEFT_CHECKPOINTING_OFF },
    { 4, 1, 3, PEFT_CHECKPOINTING_ON },
  };
  g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
  g_autoptr (PeftEncodedSet) set = make_set (10, 2); /* the last step of an epoch is partial */
  g_auto (Record) first = { 0 };

  record_init (&first);
  for (guint i = 0; i < G_N_ELEMENTS (cuts); i++)
    {
      g_auto (Record) record = { 0 };
      g_autoptr (PeftAdapter) adapter = NULL;
      PeftTrainOptions options;
      PeftTrainResult result;

      record_init (&record);
      options_for (&options, set);
      options.max_steps = 0;
      options.epochs = 2;
      options.batch_size = cuts[i].batch;
      options.accumulation = cuts[i].accumulation;
      options.micro_batch = cuts[i].micro;
      options.checkpointing = cuts[i].checkpointing;
      adapter = train (core, ALL_LINEAR, &options, i == 0 ? &first : &record, &result);
      g_assert_cmpuint (result.steps, ==, 6);
      for (guint step = 0; i > 0 && step < 6; step++)
        assert_near (record_loss (&record, step), record_loss (&first, step), 1e-6);
      peft_adapter_set_active (adapter, FALSE, 1);
    }
}

static void
test_threads (Fixture *fixture, gconstpointer data)
{
  GBytes *values[2];
  Record records[2];

  if (!has_device ("cpu"))
    {
      g_test_skip ("the cpu backend was not built");
      return;
    }
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (PeftCore) core = load_core (fixture->model, "cpu", i + 1);
      g_autoptr (PeftEncodedSet) set = make_set (12, 3);
      g_autoptr (PeftAdapter) adapter = NULL;
      PeftTrainOptions options;
      PeftTrainResult result;

      record_init (&records[i]);
      options_for (&options, set);
      adapter = train (core, ALL_LINEAR ",\"lora_dropout\":0.1", &options, &records[i], &result);
      values[i] = values_of (adapter);
    }
  g_assert_cmpmem (records[0].losses->data, 8 * sizeof (double), records[1].losses->data,
                   8 * sizeof (double));
  g_assert_true (g_bytes_equal (values[0], values[1]));
  for (guint i = 0; i < 2; i++)
    {
      g_bytes_unref (values[i]);
      record_clear (&records[i]);
    }
}

/* Interrupted at step 5, once between two checkpoints that were asked for, and gone on with. */
static void
test_resume (Fixture *fixture, gconstpointer data)
{
  const char *device = data;
  const char *members = ALL_LINEAR ",\"lora_dropout\":0.2";
  g_autoptr (PeftEncodedSet) set = make_set (11, 4);
  g_autoptr (GBytes) whole_values = NULL;
  g_autoptr (GBytes) values = NULL;
  g_auto (Record) whole = { 0 };
  g_auto (Record) before = { 0 };
  g_auto (Record) after = { 0 };
  g_autofree char *log = g_build_filename (fixture->folder, "log.jsonl", NULL);
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  PeftTrainOptions options;
  PeftTrainResult result;

  if (!has_device (device))
    {
      g_test_skip ("the backend was not built");
      return;
    }
  record_init (&whole);
  record_init (&before);
  record_init (&after);
  options_for (&options, set);
  options.batch_size = 0; /* left to us, and taken over from the checkpoint */
  options.max_steps = 10;
  {
    g_autoptr (PeftCore) core = load_core (fixture->model, device, 1);
    g_autoptr (PeftAdapter) adapter = train (core, members, &options, &whole, &result);
    whole_values = values_of (adapter);
  }
  options.output = fixture->folder;
  options.log_json = log;
  options.save_every = 3;
  {
    g_autoptr (PeftCore) core = load_core (fixture->model, device, 1);
    g_autoptr (PeftAdapter) adapter = active_adapter (core, members);
    g_autoptr (GError) error = NULL;

    before.cancel_at = 5;
    g_assert_false (peft_train (adapter, &options, record_progress, &before, before.cancellable,
                                &result, &error));
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_assert_cmpuint (result.steps, ==, 5);
    g_assert_cmpuint (before.n_checkpoints, ==, 2); /* 3, and 5 when it was cancelled */
  }
  options.resume = TRUE;
  {
    g_autoptr (PeftCore) core = load_core (fixture->model, device, 2);
    g_autoptr (PeftAdapter) adapter = train (core, members, &options, &after, &result);
    values = values_of (adapter);
  }
  g_assert_cmpuint (result.resumed_from, ==, 5);
  g_assert_cmpmem (before.losses->data, 5 * sizeof (double), whole.losses->data,
                   5 * sizeof (double));
  g_assert_cmpmem (after.losses->data, after.losses->len * sizeof (double),
                   whole.losses->data + 5 * sizeof (double), 5 * sizeof (double));
  g_assert_true (g_bytes_equal (values, whole_values));

  /* The log holds every step once, as numbers that read back exactly. */
  g_assert_true (g_file_get_contents (log, &text, NULL, NULL));
  lines = g_strsplit (text, "\n", -1);
  g_assert_cmpuint (g_strv_length (lines), ==, 12);
  for (guint i = 0; i < 10; i++)
    {
      g_autoptr (PeftJson) json = peft_json_parse (lines[i], -1, 0, NULL);
      gint64 step = 0;
      double loss = 0, rate = -1;

      g_assert_true (peft_json_read_int (json, "step", &step, NULL));
      g_assert_true (peft_json_read_double (json, "loss", &loss, NULL));
      g_assert_true (peft_json_read_double (json, "learning_rate", &rate, NULL));
      g_assert_cmpint (step, ==, i + 1);
      g_assert_cmpfloat (loss, ==, record_loss (&whole, i));
      g_assert_cmpfloat_with_epsilon (rate, 0.01 * 0.5 * (1 + cos (G_PI * i / 10)), 1e-15);
    }
  g_assert_nonnull (strstr (lines[10], "\"done\":true,\"steps\":10,"));
}

static void
test_output (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
  g_autoptr (PeftEncodedSet) set = make_set (9, 5);
  g_autoptr (PeftAdapter) adapter = NULL;
  g_autoptr (PeftAdapter) loaded = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *card_path = g_build_filename (fixture->folder, "README.md", NULL);
  g_autofree char *card = NULL;
  g_auto (Record) record = { 0 };
  const gint32 prompt_ids[] = { 1, 2, 3 };
  const PeftSamplePrompt prompt = { "one two three", prompt_ids, 3 };
  PeftTrainOptions options;
  PeftTrainResult result;

  record_init (&record);
  options_for (&options, set);
  options.output = fixture->folder;
  options.max_steps = 6;
  options.save_every = 1;
  options.keep = 2;
  options.eval_fraction = 0.3;
  options.eval_every = 2;
  options.sample_prompts = &prompt;
  options.n_sample_prompts = 1;
  options.sample_tokens = 3;
  adapter = train (core, ALL_LINEAR, &options, &record, &result);
  g_assert_cmpuint (record.n_evaluations, ==, 3);
  g_assert_cmpuint (record.samples->len, ==, 4); /* at 2, 4, 6 and the end */
  g_assert_cmpuint (record.n_checkpoints, ==, 6);
  for (guint step = 1; step <= 6; step++)
    {
      g_autofree char *name = g_strdup_printf ("checkpoints/step-%u", step);
      g_autofree char *folder = g_build_filename (fixture->folder, name, NULL);

      g_assert_cmpint (g_file_test (folder, G_FILE_TEST_IS_DIR), ==, step > 4);
    }
  g_assert_true (g_file_get_contents (card_path, &card, NULL, NULL));
  g_assert_true (g_str_has_prefix (card, "---\nbase_model: \""));
  g_assert_nonnull (strstr (card, "| method | LORA |"));
  g_assert_nonnull (strstr (card, "PeftModel.from_pretrained"));

  loaded = peft_adapter_load (core, fixture->folder, "default", &error);
  g_assert_no_error (error);
  for (guint i = 0; i < peft_param_set_get_n (loaded->params); i++)
    {
      PeftParam *param = peft_param_set_get (loaded->params, i);
      PeftParam *trained = peft_param_set_find (adapter->params, param->key);
      gsize n = peft_view_n_values (&param->value->view);
      g_autofree float *a = g_new (float, n);
      g_autofree float *b = g_new (float, n);

      peft_param_download (param, a);
      peft_param_download (trained, b);
      g_assert_cmpmem (a, n * sizeof (float), b, n * sizeof (float));
    }

  /* Another run does not take these checkpoints for its own. */
  {
    g_auto (Record) again = { 0 };
    g_autoptr (PeftAdapter) second = NULL;
    g_autofree char *aside = g_build_filename (fixture->folder, "checkpoints.old", NULL);

    record_init (&again);
    options.save_every = 0;
    peft_adapter_set_active (adapter, FALSE, 1);
    second = train (core, ALL_LINEAR, &options, &again, &result);
    g_assert_true (g_file_test (aside, G_FILE_TEST_IS_DIR));
    g_assert_cmpuint (again.notes->len, ==, 1);
  }
}

/* The plan of a run is the one it then has. */
static void
test_plan (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
  g_autoptr (PeftEncodedSet) set = make_set (9, 9);
  g_autoptr (PeftAdapter) planned = active_adapter (core, ALL_LINEAR);
  g_autoptr (PeftAdapter) trained = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (Record) record = { 0 };
  PeftTrainOptions options;
  PeftTrainResult before, after;
  PeftMemoryPlan plan;

  record_init (&record);
  options_for (&options, set);
  options.batch_size = 0;
  options.max_steps = 0;
  options.learning_rate = -1;
  g_assert_true (peft_train_plan (planned, &options, &before, &plan, &error));
  g_assert_no_error (error);
  peft_adapter_set_active (planned, FALSE, 1);
  trained = train (core, ALL_LINEAR, &options, &record, &after);
  g_assert_cmpuint (before.total_steps, ==, 6); /* three epochs of 8 + 1 rows */
  g_assert_cmpuint (before.total_steps, ==, after.steps);
  g_assert_cmpuint (before.micro_batch, ==, after.micro_batch);
  g_assert_cmpfloat (before.learning_rate, ==, planned->method->learning_rate);
  g_assert_cmpuint (plan.total, ==, record.plan.total);
  g_assert_cmpuint (plan.total, >, 0);
}

static void
test_keep_best (Fixture *fixture, gconstpointer data)
{
  gboolean with_output = GPOINTER_TO_INT (data);
  g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
  g_autoptr (PeftEncodedSet) set = make_set (9, 6);
  g_autoptr (PeftEncodedSet) other = peft_encoded_set_new ();
  g_autoptr (PeftAdapter) adapter = NULL;
  g_autoptr (PeftAdapter) short_adapter = NULL;
  g_autoptr (GBytes) best = NULL;
  g_autoptr (GBytes) expected = NULL;
  g_auto (Record) record = { 0 };
  g_auto (Record) short_record = { 0 };
  PeftTrainOptions options;
  PeftTrainResult result;
  gint32 ids[12];

  /* Data of the opposite rule gets worse the more is learnt. */
  for (guint i = 0; i < 12; i++)
    ids[i] = (7 * i * i + 11) % TINY_VOCAB;
  g_assert_true (peft_encoded_set_add (other, 0, ids, ids, NULL, 12, 64, NULL));
  record_init (&record);
  record_init (&short_record);
  options_for (&options, set);
  options.eval = other;
  options.schedule = "constant";
  options.max_steps = 60;
  options.learning_rate = 0.05;
  options.eval_every = 1;
  options.early_stopping = 4;
  options.keep_best = TRUE;
  options.keep = 1;
  options.output = with_output ? fixture->folder : NULL;
  adapter = train (core, ALL_LINEAR, &options, &record, &result);
  g_assert_true (result.stopped_early);
  g_assert_cmpuint (result.steps, <, 60);
  g_assert_cmpuint (result.best_step, ==, result.steps - 4);
  g_assert_cmpfloat (result.best_loss, <, record.last_eval);
  best = values_of (adapter);
  peft_adapter_set_active (adapter, FALSE, 1);

  options.max_steps = result.best_step;
  options.early_stopping = 0;
  options.keep_best = FALSE;
  options.output = NULL;
  short_adapter = train (core, ALL_LINEAR, &options, &short_record, &result);
  expected = values_of (short_adapter);
  g_assert_true (g_bytes_equal (best, expected));
}

static void
test_not_finite (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
  g_autoptr (PeftEncodedSet) set = make_set (9, 7);
  g_autoptr (PeftAdapter) adapter = active_adapter (core, ALL_LINEAR);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) before = NULL;
  g_autoptr (GBytes) after = NULL;
  g_auto (Record) record = { 0 };
  PeftParam *param = peft_param_set_get (adapter->params, 3);
  gsize n = peft_view_n_values (&param->value->view);
  g_autofree float *values = g_new (float, n);
  PeftTrainOptions options;
  PeftTrainResult result;

  record_init (&record);
  options_for (&options, set);
  peft_param_download (param, values);
  values[n - 1] = NAN;
  peft_param_upload (param, values);
  before = values_of (adapter);
  g_assert_false (peft_train (adapter, &options, record_progress, &record, NULL, &result, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FINITE);
  g_assert_nonnull (strstr (error->message, "step 1:"));
  g_assert_nonnull (strstr (error->message, param->key));
  after = values_of (adapter);
  g_assert_true (g_bytes_equal (before, after));
  g_assert_cmpuint (record.losses->len, ==, 0);
}

static void
expect_refusal (PeftAdapter *adapter, const PeftTrainOptions *options, const char *words)
{
  g_autoptr (GError) error = NULL;
  g_auto (Record) record = { 0 };
  PeftTrainResult result;

  record_init (&record);
  g_assert_false (peft_train (adapter, options, record_progress, &record, NULL, &result, &error));
  g_assert_nonnull (error);
  if (strstr (error->message, words) == NULL)
    g_error ("“%s” lacks “%s”", error->message, words);
  g_assert_cmpuint (record.losses->len, ==, 0);
}

static void
test_refusals (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
  g_autoptr (PeftEncodedSet) set = make_set (9, 8);
  g_autoptr (PeftEncodedSet) empty = peft_encoded_set_new ();
  g_autoptr (PeftEncodedSet) foreign = peft_encoded_set_new ();
  g_autoptr (PeftAdapter) adapter = active_adapter (core, ALL_LINEAR);
  const gint32 ids[] = { 1, TINY_VOCAB, 2 };
  PeftTrainOptions good, options;

  g_assert_true (peft_encoded_set_add (foreign, 6, ids, ids, NULL, 3, 64, NULL));
  options_for (&good, set);
#define REFUSED(change, words)                                                                     \
  G_STMT_START                                                                                     \
  {                                                                                                \
    options = good;                                                                                \
    change;                                                                                        \
    expect_refusal (adapter, &options, words);                                                     \
  }                                                                                                \
  G_STMT_END
  REFUSED (options.train = empty, "no row with a token to learn");
  REFUSED (options.train = foreign, "row 7 of the data: input_ids[1]: expected an id from 0 to 31");
  REFUSED (options.eval = empty, "evaluation data");
  REFUSED (options.eval_fraction = 1.5, "between 0 and 1");
  REFUSED (options.accumulation = 0, "gradient accumulation");
  REFUSED ((options.epochs = 0, options.max_steps = 0), "epochs");
  REFUSED (options.learning_rate = NAN, "learning rate");
  REFUSED (options.warmup_ratio = 2, "warm-up");
  REFUSED (options.beta2 = 1, "betas");
  REFUSED (options.optimizer = "adam", "optimizer: expected one of adamw");
  REFUSED (options.schedule = "", "schedule: expected one of constant");
  REFUSED (options.keep_best = TRUE, "evaluation data");
  REFUSED (options.memory = 1000, "of memory, of which");
  REFUSED (options.output = "/proc/none", "/proc/none");
#undef REFUSED
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, data, func)                                                                      \
  g_test_add ("/Peft/Train/" name, Fixture, data, fixture_set_up, func, fixture_tear_down)
  ADD ("loss-falls", NULL, test_loss_falls);
  ADD ("cuts", NULL, test_cuts);
  ADD ("threads", NULL, test_threads);
  ADD ("resume-reference", "reference", test_resume);
  ADD ("resume-cpu", "cpu", test_resume);
  ADD ("output", NULL, test_output);
  ADD ("plan", NULL, test_plan);
  ADD ("keep-best", GINT_TO_POINTER (FALSE), test_keep_best);
  ADD ("keep-best-output", GINT_TO_POINTER (TRUE), test_keep_best);
  ADD ("not-finite", NULL, test_not_finite);
  ADD ("refusals", NULL, test_refusals);
#undef ADD
  return g_test_run ();
}
