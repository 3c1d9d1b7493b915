/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib/gstdio.h>
#include <string.h>

#include "base/peft-atomic-file.h"
#include "formats/peft-safetensors-writer.h"
#include "formats/peft-safetensors.h"
#include "methods/peft-config-private.h"
#include "tiny-model.h"

/* Adapter folders as others write them: usable, odd, and broken. */

#define PREFIX "base_model.model.model.layers."
#define CONFIG "\"r\":4,\"target_modules\":[\"q_proj\"]"

typedef struct
{
  char *model, *folder;
  PeftCore *core;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  const TinyOptions options = { .biases = TRUE };
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftAdapter) adapter = NULL;

  fixture->model = tiny_write (&options);
  fixture->core = tiny_load (fixture->model);
  fixture->folder = g_dir_make_tmp ("peft-adapter-XXXXXX", &error);
  g_assert_no_error (error);
  adapter = tiny_adapter (fixture->core, CONFIG);
  tiny_randomise (adapter, 0.3);
  g_assert_true (peft_adapter_save (adapter, fixture->folder, &error));
  g_assert_no_error (error);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  peft_core_unref (fixture->core);
  peft_remove_tree (fixture->folder, NULL);
  peft_remove_tree (fixture->model, NULL);
  g_free (fixture->folder);
  g_free (fixture->model);
}

static char *
weights_path (Fixture *fixture)
{
  return g_build_filename (fixture->folder, "adapter_model.safetensors", NULL);
}

/* What an edit makes of one tensor of the file. */
typedef struct
{
  const char *drop;   /* a name to leave out */
  const char *rename; /* a name to write as `as` */
  const char *as;
  const char *reshape; /* a matrix to write as one row */
  PeftDType dtype;     /* of all tensors; F64 (0): as they are */
  const char *extra;   /* a tensor to add, of 2 values, in the type of the first */
  float fill;          /* of all tensors, unless 0 */
} Edit;

static void
edit_weights (Fixture *fixture, const Edit *edit)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = weights_path (fixture);
  g_autoptr (PeftSafetensors) file = peft_safetensors_open (path, &error);
  g_autoptr (GArray) entries = g_array_new (FALSE, FALSE, sizeof (PeftTensorEntry));
  g_autoptr (GPtrArray) buffers = g_ptr_array_new_with_free_func (g_free);

  g_assert_no_error (error);
  for (gsize i = 0; i < peft_safetensors_get_n_tensors (file); i++)
    {
      PeftTensorEntry entry = *peft_safetensors_get_entry (file, i);
      guint64 n = peft_tensor_entry_get_n_values (&entry);
      float *values = g_new (float, n);

      g_ptr_array_add (buffers, values);
      peft_dtype_get_info (entry.dtype)->to_f32 (entry.data, values, n);
      if (g_strcmp0 (entry.name, edit->drop) == 0)
        continue;
      if (g_strcmp0 (entry.name, edit->rename) == 0)
        entry.name = edit->as;
      if (g_strcmp0 (entry.name, edit->reshape) == 0)
        {
          entry.shape[0] = 1;
          entry.shape[1] = n;
        }
      for (guint64 j = 0; edit->fill != 0.0f && j < n; j++)
        values[j] = edit->fill;
      entry.data = (const guint8 *) values;
      if (edit->dtype != PEFT_DTYPE_F64)
        {
          guint8 *converted;

          entry.dtype = edit->dtype;
          peft_dtype_bytes (entry.dtype, n, &entry.n_bytes);
          converted = g_malloc0 (entry.n_bytes);
          g_ptr_array_add (buffers, converted);
          if (peft_dtype_get_info (entry.dtype)->from_f32 != NULL)
            peft_dtype_get_info (entry.dtype)->from_f32 (values, converted, n);
          entry.data = converted;
        }
      g_array_append_val (entries, entry);
    }
  if (edit->extra != NULL)
    {
      PeftTensorEntry entry = { .name = edit->extra, .dtype = PEFT_DTYPE_F32, .n_dims = 1 };

      entry.shape[0] = 2;
      entry.n_bytes = 8;
      entry.data = (const guint8 *) "\0\0\0\0\0\0\0";
      g_array_append_val (entries, entry);
    }
  peft_safetensors_save (path, (PeftTensorEntry *) entries->data, entries->len, NULL, &error);
  g_assert_no_error (error);
}

static void
write_config (Fixture *fixture, const char *members)
{
  g_autofree char *path = g_build_filename (fixture->folder, "adapter_config.json", NULL);
  g_autofree char *json = g_strdup_printf ("{\"peft_type\":\"LORA\",%s}", members);

  g_assert_true (g_file_set_contents (path, json, -1, NULL));
}

static void
assert_refused (Fixture *fixture, int code, const char *const *words)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (peft_adapter_load (fixture->core, fixture->folder, "default", &error));
  g_assert_nonnull (error);
  g_test_message ("%s", error->message);
  g_assert_error (error, PEFT_ERROR, code);
  for (; *words != NULL; words++)
    g_assert_nonnull (strstr (error->message, *words));
}

static const struct
{
  const char *name;
  Edit edit;
  int code;
  const char *words[4];
} broken[] = {
  { "missing",
    { .drop = PREFIX "1.self_attn.q_proj.lora_B.weight" },
    PEFT_ERROR_INVALID_FILE,
    { "adapter_model.safetensors", PREFIX "1.self_attn.q_proj.lora_B.weight", "missing" } },
  { "shape",
    { .reshape = PREFIX "0.self_attn.q_proj.lora_A.weight" },
    PEFT_ERROR_SHAPE_MISMATCH,
    { PREFIX "0.self_attn.q_proj.lora_A.weight", "[4, 16]", "[1, 64]" } },
  { "integers",
    { .dtype = PEFT_DTYPE_I32 },
    PEFT_ERROR_UNSUPPORTED,
    { "lora_A.weight", "I32", "BF16" } },
};

static void
test_broken_weights (Fixture *fixture, gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);

  edit_weights (fixture, &broken[i].edit);
  assert_refused (fixture, broken[i].code, broken[i].words);
}

static const struct
{
  const char *name, *config;
  int code;
  const char *words[4];
} configs[] = {
  /* As when the adapter is one of another model. */
  { "rank",
    "\"r\":8,\"target_modules\":[\"q_proj\"]",
    PEFT_ERROR_SHAPE_MISMATCH,
    { "lora_A.weight", "[8, 16]", "[4, 16]" } },
  { "huge-rank",
    "\"r\":65536,\"target_modules\":[\"q_proj\"]",
    PEFT_ERROR_SHAPE_MISMATCH,
    { "lora_A.weight", "[65536, 16]", "[4, 16]" } },
  { "targets",
    "\"r\":4,\"target_modules\":[\"c_attn\"]",
    PEFT_ERROR_NOT_FOUND,
    { "adapter_config.json", "c_attn", "closest names" } },
  { "more-targets",
    "\"r\":4,\"target_modules\":[\"q_proj\",\"v_proj\"]",
    PEFT_ERROR_INVALID_FILE,
    { "v_proj.lora_A.weight", "missing" } },
  { "saved-module",
    CONFIG ",\"modules_to_save\":[\"lm_head\"]",
    PEFT_ERROR_INVALID_FILE,
    { "base_model.model.lm_head.weight", "missing" } },
  { "dora",
    CONFIG ",\"use_dora\":true",
    PEFT_ERROR_INVALID_FILE,
    { "lora_magnitude_vector", "missing" } },
  { "corda", CONFIG ",\"init_lora_weights\":\"corda\"", PEFT_ERROR_UNSUPPORTED, { "corda" } },
  { "wrong-kind",
    "\"r\":\"4\"",
    PEFT_ERROR_INVALID_FILE,
    { "adapter_config.json", "r: expected" } },
  { "hostile-regex", "\"target_modules\":\"([a-z_.]*)*ze\"", PEFT_ERROR_LIMIT, { "steps" } },
};

static void
test_bad_config (Fixture *fixture, gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);

  write_config (fixture, configs[i].config);
  assert_refused (fixture, configs[i].code, configs[i].words);
}

static void
test_missing_files (Fixture *fixture, gconstpointer data)
{
  g_autofree char *weights = weights_path (fixture);
  g_autofree char *pickle = g_build_filename (fixture->folder, "adapter_model.bin", NULL);
  g_autofree char *config = g_build_filename (fixture->folder, "adapter_config.json", NULL);

  g_assert_cmpint (g_rename (weights, pickle), ==, 0);
  assert_refused (fixture, PEFT_ERROR_UNSUPPORTED,
                  (const char *const[]){ "adapter_model.bin", "pickle", NULL });
  g_assert_cmpint (g_unlink (pickle), ==, 0);
  assert_refused (fixture, PEFT_ERROR_NOT_FOUND,
                  (const char *const[]){ "adapter_model.safetensors", NULL });
  g_assert_cmpint (g_unlink (config), ==, 0);
  assert_refused (fixture, PEFT_ERROR_NOT_FOUND,
                  (const char *const[]){ "adapter_config.json", NULL });
}

static void
test_truncated (Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = weights_path (fixture);
  g_autofree char *bytes = NULL;
  gsize length;

  g_assert_true (g_file_get_contents (path, &bytes, &length, NULL));
  for (gsize cut = 0; cut < length; cut += 97)
    {
      g_autoptr (GError) error = NULL;

      g_assert_true (g_file_set_contents (path, bytes, (gssize) cut, NULL));
      g_assert_null (peft_adapter_load (fixture->core, fixture->folder, "default", &error));
      g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE);
    }
}

static double *
logits_with (Fixture *fixture, PeftAdapter **loaded)
{
  g_autoptr (GError) error = NULL;
  PeftAdapter *adapter = peft_adapter_load (fixture->core, fixture->folder, "default", &error);
  double *logits;

  g_assert_no_error (error);
  peft_adapter_set_active (adapter, TRUE, 1.0);
  logits = tiny_logits (fixture->core, FALSE);
  peft_adapter_set_active (adapter, FALSE, 1.0);
  if (loaded != NULL)
    *loaded = adapter;
  else
    peft_adapter_unref (adapter);
  return logits;
}

static void
test_half_precision (Fixture *fixture, gconstpointer data)
{
  const Edit edit = { .dtype = (PeftDType) GPOINTER_TO_INT (data) };
  g_autofree double *exact = logits_with (fixture, NULL);
  g_autofree double *rounded = NULL;

  edit_weights (fixture, &edit);
  rounded = logits_with (fixture, NULL);
  /* bfloat16 has 8 bits: a relative 2⁻⁹ a weight, in a handful of products. */
  g_assert_cmpfloat (tiny_largest_difference (exact, rounded, TINY_LOGITS), <,
                     0.03 * tiny_largest (exact, TINY_LOGITS));
  g_assert_cmpfloat (tiny_largest_difference (exact, rounded, TINY_LOGITS), >, 0.0);
}

static void
test_unexpected (Fixture *fixture, gconstpointer data)
{
  const Edit edit = { .extra = PREFIX "7.self_attn.q_proj.lora_A.weight" };
  g_autofree double *before = logits_with (fixture, NULL);
  g_autofree double *after = NULL;
  g_autoptr (PeftAdapter) adapter = NULL;

  edit_weights (fixture, &edit);
  after = logits_with (fixture, &adapter);
  g_assert_cmpmem (before, sizeof *before * TINY_LOGITS, after, sizeof *after * TINY_LOGITS);
  g_assert_cmpuint (adapter->notes->len, ==, 1);
  g_assert_nonnull (strstr (adapter->notes->pdata[0], PREFIX "7.self_attn.q_proj.lora_A.weight"));
}

/* peft puts an adapter that is not called "default" into a subfolder. */
static void
test_subfolder (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *outer = g_dir_make_tmp ("peft-outer-XXXXXX", &error);
  g_autofree char *inner = g_build_filename (outer, "style", NULL);
  g_autoptr (PeftAdapter) adapter = NULL;
  g_autoptr (PeftAdapter) loaded = NULL;

  adapter = peft_adapter_load (fixture->core, fixture->folder, "style", &error);
  g_assert_no_error (error);
  g_assert_true (peft_adapter_save (adapter, inner, &error));
  loaded = peft_adapter_load (fixture->core, outer, "style", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (loaded->name, ==, "style");
  g_assert_null (peft_adapter_load (fixture->core, outer, "other", &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND);
  peft_remove_tree (outer, NULL);
}

/* A file brings the weights of the embedding that its LoRA was trained on. */
static void
test_own_embedding (Fixture *fixture, gconstpointer data)
{
  const char *key = "base_model.model.model.embed_tokens.base_layer.weight";
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftAdapter) adapter
      = tiny_adapter (fixture->core, "\"r\":2,\"target_modules\":[\"embed_tokens\"]");
  g_autoptr (PeftAdapter) loaded = NULL;
  g_autofree double *before = tiny_logits (fixture->core, FALSE);
  g_autofree double *same = NULL;
  g_autofree double *other = NULL;
  g_autofree char *again_path = g_build_filename (fixture->folder, "again", NULL);
  g_autoptr (PeftAdapter) again = NULL;

  g_assert_true (peft_adapter_save (adapter, fixture->folder, &error));
  same = logits_with (fixture, NULL);
  g_assert_cmpfloat (tiny_largest_difference (before, same, TINY_LOGITS), <, 1e-12);
  edit_weights (fixture, &(Edit){ .fill = 0.5f });
  other = logits_with (fixture, &loaded);
  g_assert_cmpfloat (tiny_largest_difference (before, other, TINY_LOGITS), >, 0.1);
  g_assert_cmpuint (loaded->notes->len, ==, 1);
  g_assert_nonnull (peft_param_set_find (loaded->params, key));
  g_assert_cmpuint (peft_param_set_get_n_trainable (loaded->params), ==, 2 * (32 + 16));
  /* It goes into the next file, too. */
  g_assert_true (peft_adapter_save (loaded, again_path, &error));
  again = peft_adapter_load (fixture->core, again_path, "default", &error);
  g_assert_no_error (error);
  g_assert_nonnull (peft_param_set_find (again->params, key));
  edit_weights (fixture, &(Edit){ .reshape = key });
  assert_refused (fixture, PEFT_ERROR_SHAPE_MISMATCH,
                  (const char *const[]){ key, "[32, 16]", "[1, 512]", NULL });
}

/* Releases before 0.6 wrote biases of adapted layers without the base layer. */
static void
test_old_bias_key (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftAdapter) adapter = tiny_adapter (fixture->core, CONFIG ",\"bias\":\"lora_only\"");
  g_autofree double *now = NULL;
  g_autofree double *old = NULL;

  tiny_randomise (adapter, 0.3);
  g_assert_true (peft_adapter_save (adapter, fixture->folder, &error));
  now = logits_with (fixture, NULL);
  edit_weights (fixture, &(Edit){ .rename = PREFIX "0.self_attn.q_proj.base_layer.bias",
                                  .as = PREFIX "0.self_attn.q_proj.bias" });
  old = logits_with (fixture, NULL);
  g_assert_cmpmem (now, sizeof *now * TINY_LOGITS, old, sizeof *old * TINY_LOGITS);
}

static void
test_together (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftAdapter) a
      = tiny_adapter (fixture->core, CONFIG ",\"modules_to_save\":[\"lm_head\"]");
  g_autoptr (PeftAdapter) b = tiny_adapter (fixture->core, CONFIG);
  g_autoptr (PeftAdapter) c
      = tiny_adapter (fixture->core, CONFIG ",\"modules_to_save\":[\"lm_head\"]");
  g_autoptr (GPtrArray) adapters = g_ptr_array_new ();

  g_ptr_array_add (adapters, a);
  g_ptr_array_add (adapters, b);
  g_assert_true (peft_adapter_check_together (adapters, &error));
  g_ptr_array_add (adapters, c);
  g_assert_false (peft_adapter_check_together (adapters, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "lm_head"));
}

/* A file that cannot be written leaves the earlier one alone. */
static void
test_save_fails (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftAdapter) adapter = tiny_adapter (fixture->core, CONFIG);
  g_autofree char *file = g_build_filename (fixture->folder, "adapter_config.json", NULL);
  g_autofree char *below = g_build_filename (file, "folder", NULL);

  g_assert_false (peft_adapter_save (adapter, below, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_IO);
  g_assert_nonnull (strstr (error->message, below));
}

/* Folders from the wild, all of other models: each is refused with a reason. */
static void
test_corpus (Fixture *fixture, gconstpointer data)
{
  const char *shared = g_getenv ("PEFT_SHARED");
  g_autofree char *corpus = shared != NULL
                                ? g_build_filename (shared, "corpus", "adapters", NULL)
                                : g_build_filename (g_getenv ("PEFT_TEST_ROOT"), "..", "shared",
                                                    "corpus", "adapters", NULL);
  g_autoptr (GDir) dir = g_dir_open (corpus, 0, NULL);
  const char *name;
  guint n = 0;

  if (dir == NULL)
    {
      g_test_skip ("shared/corpus/adapters is not there");
      return;
    }
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *folder = g_build_filename (corpus, name, NULL);
      g_autoptr (GError) error = NULL;

      if (!g_file_test (folder, G_FILE_TEST_IS_DIR))
        continue;
      g_assert_null (peft_adapter_load (fixture->core, folder, "default", &error));
      g_test_message ("%s", error->message);
      g_assert_true (error->domain == PEFT_ERROR);
      g_assert_true (g_str_has_prefix (error->message, folder));
      n++;
    }
  g_assert_cmpuint (n, >=, 4);
}

#define ADD(path, data, func) g_test_add (path, Fixture, data, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (broken); i++)
    {
      g_autofree char *path = g_strdup_printf ("/Peft/Adapter/broken/%s", broken[i].name);
      ADD (path, GUINT_TO_POINTER (i), test_broken_weights);
    }
  for (guint i = 0; i < G_N_ELEMENTS (configs); i++)
    {
      g_autofree char *path = g_strdup_printf ("/Peft/Adapter/config/%s", configs[i].name);
      ADD (path, GUINT_TO_POINTER (i), test_bad_config);
    }
  ADD ("/Peft/Adapter/missing-files", NULL, test_missing_files);
  ADD ("/Peft/Adapter/truncated", NULL, test_truncated);
  ADD ("/Peft/Adapter/half/f16", GINT_TO_POINTER (PEFT_DTYPE_F16), test_half_precision);
  ADD ("/Peft/Adapter/half/bf16", GINT_TO_POINTER (PEFT_DTYPE_BF16), test_half_precision);
  ADD ("/Peft/Adapter/unexpected", NULL, test_unexpected);
  ADD ("/Peft/Adapter/subfolder", NULL, test_subfolder);
  ADD ("/Peft/Adapter/own-embedding", NULL, test_own_embedding);
  ADD ("/Peft/Adapter/old-bias-key", NULL, test_old_bias_key);
  ADD ("/Peft/Adapter/together", NULL, test_together);
  ADD ("/Peft/Adapter/corpus", NULL, test_corpus);
  ADD ("/Peft/Adapter/save-fails", NULL, test_save_fails);
  return g_test_run ();
}
