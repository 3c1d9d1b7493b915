/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "train-testing.h"

#include "formats/peft-safetensors-writer.h"
#include "formats/peft-safetensors.h"
#include "train/peft-checkpoint.h"
#include "train/peft-forward-file.h"

#define BATCH 2
#define LENGTH 5

static const gint64 input_ids[BATCH * LENGTH] = { 1, 2, 3, 4, 5, 9, 8, 7, 0, 0 };
static const gint64 mask[BATCH * LENGTH] = { 1, 1, 1, 1, 1, 1, 1, 1, 0, 0 };
static const gint64 labels[BATCH * LENGTH] = { 1, 2, 3, 4, 5, -100, 8, 7, -100, -100 };

static void
add (GArray *entries, const char *name, const gint64 *values, guint64 rows, guint64 columns)
{
  PeftTensorEntry entry = {
    .name = name, .dtype = PEFT_DTYPE_I64, .n_dims = 2, .shape = { rows, columns },
    .data = (const guint8 *) values, .n_bytes = rows * columns * sizeof (gint64),
  };
  g_array_append_val (entries, entry);
}

static void
write_input (const char *path, gboolean with_labels)
{
  g_autoptr (GArray) entries = g_array_new (FALSE, FALSE, sizeof (PeftTensorEntry));
  g_autoptr (GError) error = NULL;

  add (entries, "input_ids", input_ids, BATCH, LENGTH);
  add (entries, "attention_mask", mask, BATCH, LENGTH);
  if (with_labels)
    add (entries, "labels", labels, BATCH, LENGTH);
  peft_safetensors_save (path, (PeftTensorEntry *) entries->data, entries->len, NULL, &error);
  g_assert_no_error (error);
}

static const float *
floats (PeftSafetensors *file, const char *name, gsize n)
{
  const PeftTensorEntry *entry = peft_safetensors_lookup (file, name);

  g_assert_nonnull (entry);
  g_assert_cmpint (entry->dtype, ==, PEFT_DTYPE_F32);
  g_assert_cmpuint (peft_tensor_entry_get_n_values (entry), ==, n);
  return (const float *) entry->data;
}

static double
cross_entropy (const float *logits, gint64 label)
{
  double sum = 0;

  for (guint i = 0; i < TINY_VOCAB; i++)
    sum += exp (logits[i]);
  return log (sum) - logits[label];
}

static void
test_outputs (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
  g_autoptr (PeftAdapter) adapter = active_adapter (core, ALL_LINEAR);
  g_autofree char *input = g_build_filename (fixture->folder, "in.safetensors", NULL);
  g_autofree char *output = g_build_filename (fixture->folder, "out.safetensors", NULL);
  const PeftForwardFileOptions options = { .input = input, .output = output, .gradients = TRUE };
  g_autoptr (PeftSafetensors) file = NULL;
  g_autoptr (GError) error = NULL;
  const float *logits, *loss;
  double sum = 0;
  guint n = 0;

  tiny_randomise (adapter, 0.2);
  write_input (input, TRUE);
  g_assert_true (peft_forward_file (core, adapter, &options, NULL, &error));
  g_assert_no_error (error);
  file = peft_safetensors_open (output, &error);
  g_assert_no_error (error);
  logits = floats (file, "logits", BATCH * LENGTH * TINY_VOCAB);
  loss = floats (file, "loss", 1);
  for (guint b = 0; b < BATCH; b++)
    for (guint t = 0; t + 1 < LENGTH; t++)
      if (labels[b * LENGTH + t + 1] >= 0)
        {
          sum += cross_entropy (logits + (b * LENGTH + t) * TINY_VOCAB, labels[b * LENGTH + t + 1]);
          n++;
        }
  g_assert_cmpuint (n, ==, 6);
  g_assert_cmpfloat_with_epsilon (*loss, sum / n, 1e-5);
  g_assert_cmpuint (peft_safetensors_get_n_tensors (file), ==,
                    2 + peft_param_set_get_n (adapter->params));
  for (guint i = 0; i < peft_param_set_get_n (adapter->params); i++)
    {
      PeftParam *param = peft_param_set_get (adapter->params, i);
      g_autofree char *name = g_strconcat ("grad.", param->key, NULL);
      gsize n_values = peft_view_n_values (&param->value->view);
      const float *grad = floats (file, name, n_values);
      float largest = 0;

      for (gsize j = 0; j < n_values; j++)
        largest = MAX (largest, fabsf (grad[j]));
      g_assert_cmpfloat (largest, >, 1e-4);
    }
}

/* The state of a checkpoint, put into another adapter, gives that adapter's logits. */
static void
test_state (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
  g_autoptr (PeftEncodedSet) set = make_set (9, 41);
  g_autofree char *input = g_build_filename (fixture->folder, "in.safetensors", NULL);
  g_autofree char *first = g_build_filename (fixture->folder, "a.safetensors", NULL);
  g_autofree char *second = g_build_filename (fixture->folder, "b.safetensors", NULL);
  g_autofree char *first_contents = NULL;
  g_autofree char *second_contents = NULL;
  g_autofree char *state
      = g_build_filename (fixture->folder, PEFT_CHECKPOINT_FOLDER, "step-4", PEFT_CHECKPOINT_STATE, NULL);
  gsize lengths[2];
  g_auto (Record) record = { 0 };
  g_autoptr (PeftAdapter) trained = NULL;
  g_autoptr (PeftAdapter) fresh = NULL;
  g_autoptr (GError) error = NULL;
  PeftForwardFileOptions forward = { .input = input, .output = first };
  PeftTrainOptions options;
  PeftTrainResult result;

  record_init (&record);
  options_for (&options, set);
  options.output = fixture->folder;
  options.max_steps = options.save_every = 4;
  trained = train (core, ALL_LINEAR, &options, &record, &result);
  write_input (input, FALSE);
  g_assert_true (peft_forward_file (core, trained, &forward, NULL, &error));
  peft_adapter_set_active (trained, FALSE, 1);
  fresh = active_adapter (core, ALL_LINEAR);
  forward.output = second;
  forward.state = state;
  g_assert_true (peft_forward_file (core, fresh, &forward, NULL, &error));
  g_assert_no_error (error);
  g_assert_true (g_file_get_contents (first, &first_contents, &lengths[0], NULL));
  g_assert_true (g_file_get_contents (second, &second_contents, &lengths[1], NULL));
  g_assert_cmpmem (first_contents, lengths[0], second_contents, lengths[1]);
}

static void
test_refusals (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
  g_autoptr (PeftAdapter) adapter = active_adapter (core, ALL_LINEAR);
  g_autofree char *input = g_build_filename (fixture->folder, "in.safetensors", NULL);
  g_autofree char *output = g_build_filename (fixture->folder, "out.safetensors", NULL);
  PeftForwardFileOptions options = { .input = input, .output = output, .gradients = TRUE };
  static const gint64 foreign[4] = { 1, 2, TINY_VOCAB, 3 };
  static const struct
  {
    const char *name;
    const gint64 *values;
    guint64 rows, columns;
    const char *words;
  } cases[] = {
    { "other", input_ids, 2, 2, "input_ids" },
    { "input_ids", foreign, 2, 2, "tensor input_ids: expected numbers from 0 to 31, found 32" },
    { "labels", input_ids, 1, 4, "tensor labels: expected the shape of input_ids" },
    { "task_ids", input_ids, 1, 2, "task_ids" },
  };

  write_input (input, FALSE);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (peft_forward_file (core, i == 0 ? NULL : adapter, &options, NULL, &error));
      g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT);
      g_assert_nonnull (strstr (error->message, i == 0 ? "an adapter" : "labels"));
    }
  options.gradients = FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GArray) entries = g_array_new (FALSE, FALSE, sizeof (PeftTensorEntry));
      g_autoptr (GError) error = NULL;

      if (i >= 2)
        add (entries, "input_ids", input_ids, BATCH, LENGTH);
      add (entries, cases[i].name, cases[i].values, cases[i].rows, cases[i].columns);
      g_assert_true (peft_safetensors_save (input, (PeftTensorEntry *) entries->data, entries->len, NULL,
                                            &error));
      g_assert_false (peft_forward_file (core, adapter, &options, NULL, &error));
      g_assert_nonnull (error);
      if (strstr (error->message, cases[i].words) == NULL)
        g_error ("“%s” lacks “%s”", error->message, cases[i].words);
      g_assert_false (g_file_test (output, G_FILE_TEST_EXISTS));
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func)                                                                            \
  g_test_add ("/Peft/ForwardFile/" name, Fixture, NULL, fixture_set_up, func, fixture_tear_down)
  ADD ("outputs", test_outputs);
  ADD ("state", test_state);
  ADD ("refusals", test_refusals);
#undef ADD
  return g_test_run ();
}
