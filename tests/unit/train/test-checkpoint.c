/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "train-testing.h"

#include <signal.h>
#include <sys/wait.h>

#include "train/peft-checkpoint.h"

/* Three steps, each with its checkpoint, of which all are kept. */
static PeftAdapter *
train_three (Fixture *fixture, PeftCore *core, PeftEncodedSet *set, PeftTrainOptions *options)
{
  g_auto (Record) record = { 0 };
  PeftTrainResult result;

  record_init (&record);
  options_for (options, set);
  options->output = fixture->folder;
  options->max_steps = 3;
  options->save_every = 1;
  return train (core, ALL_LINEAR, options, &record, &result);
}

static char *
file_of (Fixture *fixture, guint step, const char *name)
{
  g_autofree char *folder = g_strdup_printf ("step-%u", step);
  return g_build_filename (fixture->folder, PEFT_CHECKPOINT_FOLDER, folder, name, NULL);
}

static guint64
newest (Fixture *fixture, GPtrArray *skipped)
{
  g_autoptr (PeftCheckpoint) found = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (peft_checkpoint_find (fixture->folder, &found, skipped, &error));
  g_assert_no_error (error);
  return found != NULL ? found->step : 0;
}

static void
spoil (const char *path, gssize keep, gssize flip)
{
  g_autofree char *data = NULL;
  gsize length;

  g_assert_true (g_file_get_contents (path, &data, &length, NULL));
  if (flip >= 0)
    data[flip] ^= 1;
  g_assert_true (g_file_set_contents (path, data, keep >= 0 ? keep : (gssize) length, NULL));
}

static void
test_broken (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
  g_autoptr (PeftEncodedSet) set = make_set (9, 31);
  PeftTrainOptions options;
  g_autoptr (PeftAdapter) adapter = train_three (fixture, core, set, &options);
  g_autoptr (GPtrArray) skipped = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *state3 = file_of (fixture, 3, PEFT_CHECKPOINT_STATE);
  g_autofree char *trainer3 = file_of (fixture, 3, PEFT_CHECKPOINT_TRAINER);
  g_autofree char *manifest2 = file_of (fixture, 2, PEFT_CHECKPOINT_MANIFEST);
  g_autofree char *weights1 = file_of (fixture, 1, "adapter_model.safetensors");
  g_autofree char *leftover
      = g_build_filename (fixture->folder, PEFT_CHECKPOINT_FOLDER, "step-9.incomplete-1", NULL);

  g_assert_cmpuint (newest (fixture, skipped), ==, 3);
  g_assert_cmpuint (skipped->len, ==, 0);
  g_assert_cmpint (g_mkdir (leftover, 0777), ==, 0);
  g_assert_cmpuint (newest (fixture, skipped), ==, 3);

  /* One bit is enough. */
  spoil (state3, -1, 2000);
  g_assert_cmpuint (newest (fixture, skipped), ==, 2);
  g_assert_cmpuint (skipped->len, ==, 1);
  g_assert_nonnull (strstr (skipped->pdata[0], "step-3: not a whole checkpoint: training_state"));
  g_assert_nonnull (strstr (skipped->pdata[0], "checksum"));
  spoil (state3, -1, 2000);
  g_assert_cmpuint (newest (fixture, NULL), ==, 3);
  spoil (trainer3, 10, -1);
  g_assert_cmpuint (newest (fixture, NULL), ==, 2);
  g_assert_cmpint (g_unlink (manifest2), ==, 0);
  g_assert_cmpuint (newest (fixture, NULL), ==, 1);
  g_assert_true (g_file_set_contents (manifest2, "{\"files\":{}}", -1, NULL));
  g_assert_cmpuint (newest (fixture, NULL), ==, 1);
  g_assert_cmpint (g_unlink (weights1), ==, 0);
  g_assert_cmpuint (newest (fixture, NULL), ==, 0);

  /* Resuming says what it skipped and starts again. */
  {
    g_auto (Record) record = { 0 };
    g_autoptr (PeftAdapter) again = NULL;
    PeftTrainResult result;

    record_init (&record);
    peft_adapter_set_active (adapter, FALSE, 1);
    options.resume = TRUE;
    again = train (core, ALL_LINEAR, &options, &record, &result);
    g_assert_cmpuint (result.resumed_from, ==, 0);
    g_assert_cmpuint (record.losses->len, ==, 3);
    g_assert_cmpuint (record.notes->len, ==, 5);
    g_assert_nonnull (strstr (record.notes->pdata[0], "skipped: "));
    g_assert_false (g_file_test (leftover, G_FILE_TEST_EXISTS));
  }
}

static void
expect_refusal (Fixture *fixture, const char *model, const char *members,
                const PeftTrainOptions *options, const char *words)
{
  g_autoptr (PeftCore) core = load_core (model, "reference", 1);
  g_autoptr (PeftAdapter) adapter = active_adapter (core, members);
  g_autoptr (GError) error = NULL;
  g_auto (Record) record = { 0 };
  PeftTrainResult result;

  record_init (&record);
  g_assert_false (peft_train (adapter, options, record_progress, &record, NULL, &result, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT);
  if (strstr (error->message, words) == NULL)
    g_error ("“%s” lacks “%s”", error->message, words);
  g_assert_cmpuint (newest (fixture, NULL), ==, 3);
}

static void
test_resume_refused (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
  g_autoptr (PeftEncodedSet) set = make_set (9, 32);
  g_autoptr (PeftEncodedSet) other = make_set (9, 33);
  g_autofree char *biased = tiny_write (&(TinyOptions){ .biases = TRUE });
  PeftTrainOptions good, options;
  g_autoptr (PeftAdapter) adapter = train_three (fixture, core, set, &good);

  good.resume = TRUE;
  options = good;
  expect_refusal (fixture, biased, ALL_LINEAR, &options, "another base model");
  expect_refusal (fixture, fixture->model, "\"r\":8", &options, "another adapter configuration");
  options.train = other;
  expect_refusal (fixture, fixture->model, ALL_LINEAR, &options, "other data");
  options = good;
  options.learning_rate = 0.02;
  expect_refusal (fixture, fixture->model, ALL_LINEAR, &options,
                  "it was made with learning_rate = 0.01, now it is 0.02");
  options = good;
  options.max_steps = 9;
  expect_refusal (fixture, fixture->model, ALL_LINEAR, &options, "total_steps = 3, now it is 9");
  options = good;
  options.shuffle = FALSE;
  expect_refusal (fixture, fixture->model, ALL_LINEAR, &options, "shuffle = true, now it is false");
  peft_remove_tree (biased, NULL);
}

/* On another backend it goes on, says so once, and agrees within rounding. */
static void
test_other_machine (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PeftEncodedSet) set = make_set (9, 34);
  g_auto (Record) whole = { 0 };
  g_auto (Record) before = { 0 };
  g_auto (Record) after = { 0 };
  PeftTrainOptions options;
  PeftTrainResult result;

  if (!has_device ("cpu"))
    {
      g_test_skip ("the cpu backend was not built");
      return;
    }
  record_init (&whole);
  record_init (&before);
  record_init (&after);
  options_for (&options, set);
  {
    g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
    g_autoptr (PeftAdapter) adapter = train (core, ALL_LINEAR, &options, &whole, &result);
  }
  options.output = fixture->folder;
  before.cancel_at = 4;
  {
    g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
    g_autoptr (PeftAdapter) adapter = active_adapter (core, ALL_LINEAR);

    g_assert_false (peft_train (adapter, &options, record_progress, &before, before.cancellable,
                                &result, NULL));
  }
  options.resume = TRUE;
  {
    g_autoptr (PeftCore) core = load_core (fixture->model, "cpu", 1);
    g_autoptr (PeftAdapter) adapter = train (core, ALL_LINEAR, &options, &after, &result);
  }
  g_assert_cmpuint (after.notes->len, ==, 1);
  g_assert_nonnull (strstr (after.notes->pdata[0], "backend = \"reference\", here it is \"cpu\""));
  for (guint step = 4; step < 8; step++)
    assert_near (record_loss (&after, step - 4), record_loss (&whole, step), 1e-5);
}

#define CHILD "--train-until-killed"
#define KILLED_ADAPTER ALL_LINEAR ",\"lora_dropout\":0.1"

static void
killed_options (PeftTrainOptions *options, PeftEncodedSet *set)
{
  options_for (options, set);
  options->max_steps = 4;
  options->save_every = 1;
  options->resume = TRUE;
}

static int
run_child (const char *model, const char *output)
{
  g_autoptr (PeftCore) core = load_core (model, "reference", 1);
  g_autoptr (PeftAdapter) adapter = active_adapter (core, KILLED_ADAPTER);
  g_autoptr (PeftEncodedSet) set = make_set (9, 35);
  PeftTrainOptions options;
  PeftTrainResult result;

  killed_options (&options, set);
  options.output = output;
  return peft_train (adapter, &options, NULL, NULL, NULL, &result, NULL) ? 0 : 1;
}

/* A process that is killed at every point there is leaves whole checkpoints or none, and what is resumed has the same
 * losses. */
static void
test_killed (Fixture *fixture, gconstpointer data)
{
  static const char *const points[] = {
    "load:1", "step:1", "step:3", "write:2", "write:7", "rename:1", "rename:3", "rename:6",
    "checkpoint-write:1", "checkpoint-write:4", "checkpoint-rename:1", "checkpoint-rename:2",
    "checkpoint-rename:3", "checkpoint-rename:5",
  };
  g_autoptr (PeftEncodedSet) set = make_set (9, 35);
  g_autofree char *self_path = g_file_read_link ("/proc/self/exe", NULL);
  g_auto (Record) whole = { 0 };
  PeftTrainOptions options;
  PeftTrainResult result;
  guint n_killed = 0;

  record_init (&whole);
  killed_options (&options, set);
  options.save_every = 0;
  options.resume = FALSE;
  {
    g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
    g_autoptr (PeftAdapter) adapter
        = train (core, KILLED_ADAPTER, &options, &whole, &result);
  }
  killed_options (&options, set);
  for (guint i = 0; i < G_N_ELEMENTS (points); i++)
    {
      g_autofree char *output = g_build_filename (fixture->folder, points[i], NULL);
      g_auto (Record) record = { 0 };
      g_autoptr (PeftCore) core = NULL;
      g_autoptr (PeftAdapter) adapter = NULL;
      g_auto (GStrv) environment = g_environ_setenv (g_get_environ (), "PEFT_TEST_KILL", points[i], TRUE);
      char *command[] = { self_path, (char *) CHILD, fixture->model, output, NULL };
      int status;

      options.output = output;
      g_assert_true (g_spawn_sync (NULL, command, environment, G_SPAWN_DEFAULT, NULL, NULL, NULL, NULL,
                                   &status, NULL));
      g_assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);
      n_killed++;

      record_init (&record);
      core = load_core (fixture->model, "reference", 1);
      adapter = train (core, KILLED_ADAPTER, &options, &record, &result);
      g_assert_cmpuint (result.resumed_from + record.losses->len, ==, 4);
      for (guint step = 0; step < record.losses->len; step++)
        g_assert_cmpfloat (record_loss (&record, step), ==,
                           record_loss (&whole, (guint) result.resumed_from + step));
    }
  g_assert_cmpuint (n_killed, ==, G_N_ELEMENTS (points));
}

int
main (int argc, char **argv)
{
  if (argc == 4 && g_str_equal (argv[1], CHILD))
    return run_child (argv[2], argv[3]);
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func)                                                                            \
  g_test_add ("/Peft/Checkpoint/" name, Fixture, NULL, fixture_set_up, func, fixture_tear_down)
  ADD ("broken", test_broken);
  ADD ("resume-refused", test_resume_refused);
  ADD ("other-machine", test_other_machine);
  ADD ("killed", test_killed);
#undef ADD
  return g_test_run ();
}
