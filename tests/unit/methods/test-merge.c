/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#include "base/peft-atomic-file.h"
#include "formats/peft-safetensors.h"
#include "methods/peft-model-folder.h"
#include "tiny-model.h"

/* Whole models with adapters folded in, and full training. */

typedef struct
{
  char *model, *output;
  PeftCore *core;
  GPtrArray *adapters;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  const TinyOptions *options = data;
  g_autoptr (GError) error = NULL;

  fixture->model = tiny_write (options);
  fixture->core = tiny_load (fixture->model);
  fixture->output = g_dir_make_tmp ("peft-merged-XXXXXX", &error);
  fixture->adapters = g_ptr_array_new_with_free_func ((GDestroyNotify) peft_adapter_unref);
  g_assert_no_error (error);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_ptr_array_unref (fixture->adapters);
  peft_core_unref (fixture->core);
  peft_remove_tree (fixture->output, NULL);
  peft_remove_tree (fixture->model, NULL);
  g_free (fixture->output);
  g_free (fixture->model);
}

static PeftAdapter *
add_adapter (Fixture *fixture, const char *config)
{
  PeftAdapter *adapter = tiny_adapter (fixture->core, config);

  tiny_randomise (adapter, 0.3);
  g_ptr_array_add (fixture->adapters, adapter);
  return adapter;
}

static void
merge (Fixture *fixture, PeftDType dtype)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (peft_core_save_merged (fixture->core, fixture->adapters, fixture->output, dtype,
                                        NULL, &error));
  g_assert_no_error (error);
}

static void
assert_refused (Fixture *fixture, const char *folder, PeftDType dtype, int code, const char *word)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (
      peft_core_save_merged (fixture->core, fixture->adapters, folder, dtype, NULL, &error));
  g_test_message ("%s", error->message);
  g_assert_error (error, PEFT_ERROR, code);
  g_assert_nonnull (strstr (error->message, word));
}

static PeftJson *
read_config (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_build_filename (fixture->output, "config.json", NULL);
  PeftJson *config = peft_json_load (path, 0, &error);

  g_assert_no_error (error);
  return config;
}

static gboolean
has_file (Fixture *fixture, const char *name)
{
  g_autofree char *path = g_build_filename (fixture->output, name, NULL);

  return g_file_test (path, G_FILE_TEST_EXISTS);
}

static double *
active_logits (Fixture *fixture)
{
  double *logits;

  for (guint i = 0; i < fixture->adapters->len; i++)
    peft_adapter_set_active (fixture->adapters->pdata[i], TRUE, 1.0);
  logits = tiny_logits (fixture->core, FALSE);
  for (guint i = 0; i < fixture->adapters->len; i++)
    peft_adapter_set_active (fixture->adapters->pdata[i], FALSE, 1.0);
  return logits;
}

static void
assert_same_as_merged (Fixture *fixture, double tolerance)
{
  g_autofree double *adapted = active_logits (fixture);
  g_autoptr (PeftCore) merged = tiny_load (fixture->output);
  g_autofree double *logits = tiny_logits (merged, FALSE);

  g_assert_cmpfloat (tiny_largest_difference (adapted, logits, TINY_LOGITS), <,
                     tolerance * tiny_largest (adapted, TINY_LOGITS));
}

static void
test_two_adapters (Fixture *fixture, gconstpointer data)
{
  add_adapter (fixture, "\"target_modules\":[\"q_proj\",\"up_proj\"]");
  add_adapter (
      fixture,
      "\"target_modules\":[\"q_proj\",\"embed_tokens\"],\"modules_to_save\":[\"lm_head\"]");
  merge (fixture, PEFT_N_DTYPES);
  assert_same_as_merged (fixture, 1e-5);
}

static void
test_dtype (Fixture *fixture, gconstpointer data)
{
  static const struct
  {
    PeftDType dtype;
    const char *name;
    double tolerance; /* 2⁻¹¹ and 2⁻⁹ relative a weight, in a few products in a row */
  } types[] = {
    { PEFT_DTYPE_F32, "float32", 1e-5 },
    { PEFT_DTYPE_F16, "float16", 0.01 },
    { PEFT_DTYPE_BF16, "bfloat16", 0.05 },
  };

  add_adapter (fixture, "\"target_modules\":\"all-linear\"");
  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    {
      g_autoptr (PeftJson) config = NULL;

      merge (fixture, types[i].dtype);
      assert_same_as_merged (fixture, types[i].tolerance);
      config = read_config (fixture);
      g_assert_cmpstr (peft_json_get_string (peft_json_get_member (config, "torch_dtype")), ==,
                       types[i].name);
    }
  assert_refused (fixture, fixture->output, PEFT_DTYPE_Q8_0, PEFT_ERROR_UNSUPPORTED, "Q8_0");
}

static void
test_tied (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PeftJson) config = NULL;
  g_autoptr (PeftJson) untied = NULL;
  g_autoptr (PeftAdapter) plain = NULL;

  add_adapter (fixture, "\"target_modules\":[\"q_proj\"]");
  merge (fixture, PEFT_N_DTYPES);
  assert_same_as_merged (fixture, 1e-5);
  config = read_config (fixture);
  g_assert_true (peft_json_get_boolean (peft_json_get_member (config, "tie_word_embeddings")));

  add_adapter (fixture, "\"target_modules\":[\"embed_tokens\"]");
  merge (fixture, PEFT_N_DTYPES);
  assert_same_as_merged (fixture, 1e-5);
  untied = read_config (fixture);
  g_assert_false (peft_json_get_boolean (peft_json_get_member (untied, "tie_word_embeddings")));
}

static void
test_shards (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *index = g_build_filename (fixture->output, "model.safetensors.index.json", NULL);
  g_autofree char *stale
      = g_build_filename (fixture->output, "model-00001-of-00099.safetensors", NULL);
  g_autoptr (PeftJson) tree = NULL;
  guint64 total = 0;
  gint64 written;

  add_adapter (fixture, "\"target_modules\":[\"q_proj\"]");
  merge (fixture, PEFT_N_DTYPES);
  g_assert_true (has_file (fixture, "model.safetensors"));
  g_assert_true (g_file_set_contents (stale, "x", 1, NULL));
  g_assert_true (peft_core_save_merged_in_shards (fixture->core, fixture->adapters, fixture->output,
                                                  PEFT_N_DTYPES, 6000, NULL, &error));
  g_assert_no_error (error);
  g_assert_false (has_file (fixture, "model.safetensors"));
  g_assert_false (has_file (fixture, "model-00001-of-00099.safetensors"));
  g_assert_true (has_file (fixture, "model-00002-of-00004.safetensors"));
  tree = peft_json_load (index, 0, &error);
  g_assert_no_error (error);
  for (gsize i = 0; i < peft_tensor_source_get_n (fixture->core->source); i++)
    total += peft_tensor_source_get (fixture->core->source, i)->n_bytes;
  g_assert_true (peft_json_get_int (
      peft_json_get_member (peft_json_get_member (tree, "metadata"), "total_size"), &written));
  g_assert_cmpint (written, ==, total);
  assert_same_as_merged (fixture, 1e-5);
  merge (fixture, PEFT_N_DTYPES);
  g_assert_false (has_file (fixture, "model.safetensors.index.json"));
  g_assert_false (has_file (fixture, "model-00002-of-00004.safetensors"));
  assert_same_as_merged (fixture, 1e-5);
}

static void
test_extras (Fixture *fixture, gconstpointer data)
{
  g_autofree char *from = g_build_filename (fixture->model, "tokenizer.json", NULL);
  g_autofree char *to = g_build_filename (fixture->output, "tokenizer.json", NULL);
  g_autofree char *text = NULL;

  g_assert_true (g_file_set_contents (from, "{\"a\":1}", -1, NULL));
  merge (fixture, PEFT_N_DTYPES);
  g_assert_true (g_file_get_contents (to, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "{\"a\":1}");
  g_assert_false (has_file (fixture, "generation_config.json"));
  assert_same_as_merged (fixture, 1e-12);
}

static void
test_refused (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  PeftAdapter *adapter;
  float *values;
  PeftParam *param;

  assert_refused (fixture, fixture->model, PEFT_N_DTYPES, PEFT_ERROR_INVALID_ARGUMENT,
                  "own folder");
  adapter = add_adapter (fixture, "\"r\":2,\"target_modules\":[\"q_proj\"],\"lora_bias\":true");
  assert_refused (fixture, fixture->output, PEFT_N_DTYPES, PEFT_ERROR_UNSUPPORTED, "q_proj");
  g_ptr_array_set_size (fixture->adapters, 0);

  adapter = add_adapter (fixture, "\"r\":2,\"target_modules\":[\"q_proj\"]");
  param = peft_param_set_get (adapter->params, 0);
  values = g_new0 (float, 2 * TINY_HIDDEN);
  values[3] = NAN;
  peft_param_upload (param, values);
  assert_refused (fixture, fixture->output, PEFT_N_DTYPES, PEFT_ERROR_NOT_FINITE, "default");
  values[3] = 1e6f;
  peft_param_upload (param, values);
  assert_refused (fixture, fixture->output, PEFT_DTYPE_F16, PEFT_ERROR_NOT_FINITE, "F16");
  g_free (values);

  g_cancellable_cancel (cancellable);
  g_assert_false (peft_core_save_merged (fixture->core, fixture->adapters, fixture->output,
                                         PEFT_N_DTYPES, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  /* Nothing of the failed attempts is left. */
  g_assert_cmpint (g_rmdir (fixture->output), ==, 0);
}

/* Every weight trains; what is written has the names and types of the original. */
static void
test_full (Fixture *fixture, gconstpointer data)
{
  const TinyOptions *options = data;
  g_autoptr (GError) error = NULL;
  g_autofree double *before = tiny_logits (fixture->core, FALSE);
  PeftAdapter *adapter = peft_adapter_new_full (fixture->core, &error);
  g_autofree double *same = NULL;
  g_autofree double *moved = NULL;
  g_autoptr (PeftSafetensors) file = NULL;
  g_autoptr (PeftJson) config = NULL;

  g_assert_no_error (error);
  g_ptr_array_add (fixture->adapters, adapter);
  g_assert_cmpuint (peft_param_set_get_n_trainable (adapter->params), ==,
                    peft_core_get_n_parameters (fixture->core));
  g_assert_false (
      peft_param_set_find (adapter->params, "model.layers.0.input_layernorm.weight")->decay);
  g_assert_false (
      peft_param_set_find (adapter->params, "model.layers.0.self_attn.q_proj.bias")->decay);
  g_assert_true (peft_param_set_find (adapter->params, "model.embed_tokens.weight")->decay);
  same = active_logits (fixture);
  g_assert_cmpfloat (tiny_largest_difference (before, same, TINY_LOGITS), <, 1e-12);
  tiny_randomise (adapter, 0.3);
  moved = active_logits (fixture);
  g_assert_cmpfloat (tiny_largest_difference (before, moved, TINY_LOGITS), >, 0.1);

  g_assert_true (peft_adapter_save (adapter, fixture->output, &error));
  g_assert_no_error (error);
  file = peft_safetensors_open (fixture->output, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (peft_safetensors_get_n_tensors (file), ==,
                    peft_tensor_source_get_n (fixture->core->source));
  for (gsize i = 0; i < peft_safetensors_get_n_tensors (file); i++)
    {
      const PeftTensorEntry *entry = peft_safetensors_get_entry (file, i);
      const PeftTensorEntry *original
          = peft_tensor_source_lookup (fixture->core->source, entry->name);

      g_assert_nonnull (original);
      g_assert_cmpint (entry->dtype, ==, original->dtype);
    }
  config = read_config (fixture);
  g_assert_true (peft_json_get_boolean (peft_json_get_member (config, "tie_word_embeddings"))
                 == options->tied);
  /* Weights of 8 bits where the original has bfloat16. */
  assert_same_as_merged (fixture, options->dtype == PEFT_DTYPE_BF16 ? 0.05 : 1e-5);
}

/* A tied head and the embedding are one tensor to the optimiser. */
static void
test_full_tied_gradient (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  PeftAdapter *adapter = peft_adapter_new_full (fixture->core, &error);

  g_ptr_array_add (fixture->adapters, adapter);
  g_assert_no_error (error);
  g_assert_null (peft_param_set_find (adapter->params, "lm_head.weight"));
  peft_adapter_set_active (adapter, TRUE, 1.0);
  g_assert_true (fixture->core->head->weight_param == fixture->core->embedding->weight_param);
  peft_adapter_set_active (adapter, FALSE, 1.0);
  g_assert_null (fixture->core->head->weight_param);
}

static const TinyOptions plain = { 0 };
static const TinyOptions tied = { .tied = TRUE };
static const TinyOptions qwen = { .biases = TRUE };
static const TinyOptions tied_qwen_bf16
    = { .biases = TRUE, .tied = TRUE, .dtype = PEFT_DTYPE_BF16 };

#define ADD(path, options, func) g_test_add (path, Fixture, &options, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("/Peft/Merge/two-adapters", plain, test_two_adapters);
  ADD ("/Peft/Merge/two-adapters-tied", tied, test_two_adapters);
  ADD ("/Peft/Merge/dtype", plain, test_dtype);
  ADD ("/Peft/Merge/tied", tied, test_tied);
  ADD ("/Peft/Merge/shards", plain, test_shards);
  ADD ("/Peft/Merge/extras", plain, test_extras);
  ADD ("/Peft/Merge/refused", plain, test_refused);
  ADD ("/Peft/Full/qwen2", qwen, test_full);
  ADD ("/Peft/Full/tied-bf16", tied_qwen_bf16, test_full);
  ADD ("/Peft/Full/tied-gradient", tied, test_full_tied_gradient);
  return g_test_run ();
}
