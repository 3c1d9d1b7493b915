/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api-testing.h"

static char *folder;

static void
test_device (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) devices = peft_device_list ();
  PeftDevice *device = peft_device_new ("auto", 2, &error);
  g_autofree char *json = peft_device_to_json (device);
  g_autofree char *all = peft_devices_to_json ();
  static const struct
  {
    const char *name;
    int code;
  } bad[] = {
    { "vulkan:0", PEFT_ERROR_DEVICE },
    { "cuda", PEFT_ERROR_DEVICE },
    { "cpu:9", PEFT_ERROR_DEVICE },
    { "cpu:x", PEFT_ERROR_INVALID_ARGUMENT },
    { "abacus", PEFT_ERROR_INVALID_ARGUMENT },
  };

  g_assert_no_error (error);
  g_assert_cmpuint (devices->len, >=, 2);
  g_assert_cmpstr (peft_device_get_name (device), ==, "cpu");
  g_assert_cmpuint (peft_device_get_n_threads (device), ==, 2);
  g_assert_cmpuint (peft_device_get_memory (device), >, 0);
  g_assert_nonnull (peft_device_get_features (device)[0]);
  g_assert_nonnull (strstr (json, "\"name\":\"cpu\""));
  g_assert_nonnull (strstr (all, "\"name\": \"reference\""));
  g_assert_finalize_object (device);

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_assert_null (peft_device_new (bad[i].name, 0, &error));
      g_assert_error (error, PEFT_ERROR, bad[i].code);
      g_assert_nonnull (strstr (error->message, bad[i].name));
      g_clear_error (&error);
    }
}

static void
test_device_benchmark (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftDevice) device = peft_device_new ("cpu", 1, &error);
  g_autoptr (GCancellable) cancelled = g_cancellable_new ();
  g_auto (Wait) wait;
  double rate = 0, fast = -1;

  wait_init (&wait);
  peft_device_benchmark_async (device, NULL, wait_cb, &wait);
  g_assert_true (
      peft_device_benchmark_finish (device, wait_run (&wait), &rate, &fast, &error));
  g_assert_no_error (error);
  g_assert_cmpfloat (rate, >, 1e6);
  g_assert_cmpfloat (fast, >=, 0);
  g_cancellable_cancel (cancelled);
  g_assert_false (peft_device_benchmark (device, NULL, NULL, cancelled, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void
test_tokenizer (void)
{
  g_autoptr (GError) error = NULL;
  PeftTokenizer *tokenizer = peft_tokenizer_load (folder, &error);
  g_autofree gint32 *ids = NULL;
  g_autofree gint32 *none = NULL;
  g_autofree char *text = NULL;
  g_autofree char *json = NULL;
  g_autofree char *back = NULL;
  g_autofree char *token = NULL;
  g_autofree char *chat = NULL;
  gsize n;

  g_assert_no_error (error);
  ids = peft_tokenizer_encode (tokenizer, "a cat.", TRUE, &n, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (n, ==, 6);
  g_assert_cmpint (ids[0], ==, 5);
  g_assert_cmpint (ids[1], ==, 2);
  text = peft_tokenizer_decode (tokenizer, ids, n, FALSE, &error);
  g_assert_cmpstr (text, ==, "a cat.");
  none = peft_tokenizer_encode (tokenizer, "", FALSE, &n, &error);
  g_assert_no_error (error);
  g_assert_nonnull (none);
  g_assert_cmpuint (n, ==, 0);
  json = peft_tokenizer_encode_json (tokenizer, "\"ab\"", FALSE, &error);
  g_assert_cmpstr (json, ==, "[5,6]");
  back = peft_tokenizer_decode_json (tokenizer, json, FALSE, &error);
  g_assert_cmpstr (back, ==, "\"ab\"");
  g_assert_null (peft_tokenizer_decode_json (tokenizer, "[1, -1]", FALSE, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA);
  g_clear_error (&error);
  g_assert_cmpint (peft_tokenizer_get_bos_id (tokenizer), ==, 0);
  g_assert_cmpint (peft_tokenizer_get_eos_id (tokenizer), ==, 1);
  g_assert_cmpint (peft_tokenizer_get_pad_id (tokenizer), ==, -1);
  g_assert_cmpuint (peft_tokenizer_get_vocab_size (tokenizer), ==, 31);
  g_assert_true (peft_tokenizer_is_special (tokenizer, 1));
  token = peft_tokenizer_id_to_token (tokenizer, 1);
  g_assert_cmpstr (token, ==, "</s>");
  g_assert_cmpint (peft_tokenizer_token_to_id (tokenizer, "z"), ==, 30);
  chat = peft_tokenizer_apply_chat_template (
      tokenizer, "[{\"role\":\"user\",\"content\":\"hi\"}]", TRUE, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (chat, ==, "user. hi\nassistant. ");
  g_assert_null (peft_tokenizer_apply_chat_template (tokenizer, "{}", TRUE, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA);
  g_assert_finalize_object (tokenizer);
}

static void
test_token_stream (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftTokenizer) tokenizer = peft_tokenizer_load (folder, &error);
  PeftTokenStream *stream = peft_token_stream_new (tokenizer, TRUE);
  g_autoptr (GString) text = g_string_new (NULL);
  const gint32 ids[] = { 7, 5, 24, 1 };

  for (guint i = 0; i < G_N_ELEMENTS (ids); i++)
    {
      g_autofree char *piece = peft_token_stream_push (stream, ids[i], &error);
      g_string_append (text, piece);
    }
  g_assert_no_error (error);
  {
    g_autofree char *rest = peft_token_stream_finish (stream, &error);
    g_string_append (text, rest);
  }
  g_assert_cmpstr (text->str, ==, "cat");
  g_assert_finalize_object (stream);
}

static void
test_base_model (void)
{
  g_autoptr (GError) error = NULL;
  g_auto (Wait) wait;
  g_auto (GStrv) modules = NULL;
  g_autofree gint32 *eos = NULL;
  PeftBaseModel *base;
  gsize n;

  wait_init (&wait);
  peft_base_model_load_async (folder, NULL, PEFT_LOAD_AUTO, NULL, wait_cb, &wait);
  base = peft_base_model_load_finish (wait_run (&wait), &error);
  g_assert_no_error (error);
  g_assert_cmpstr (peft_base_model_get_model_type (base), ==, "llama");
  g_assert_cmpuint (peft_base_model_get_n_parameters (base), ==, TINY_PARAMETERS);
  g_assert_cmpuint (peft_base_model_get_weight_bytes (base), ==, 4 * TINY_PARAMETERS);
  g_assert_cmpuint (peft_base_model_get_vocab_size (base), ==, TINY_VOCAB);
  g_assert_cmpuint (peft_base_model_get_hidden_size (base), ==, TINY_HIDDEN);
  g_assert_cmpuint (peft_base_model_get_n_layers (base), ==, TINY_LAYERS);
  g_assert_cmpuint (peft_base_model_get_max_positions (base), ==, 256);
  g_assert_nonnull (strstr (peft_base_model_get_compute (base), "F32"));
  modules = peft_base_model_get_module_names (base);
  g_assert_true (g_strv_contains ((const char *const *) modules, "model.layers.1.mlp.up_proj"));
  g_assert_nonnull (peft_base_model_get_tokenizer (base, &error));
  eos = peft_base_model_get_eos_ids (base, &n, &error);
  g_assert_cmpuint (n, ==, 1);
  g_assert_cmpint (eos[0], ==, 1);
  wait_clear (&wait);
  wait_init (&wait);
  g_assert_finalize_object (base);

  g_assert_null (peft_base_model_load ("/nowhere", NULL, PEFT_LOAD_AUTO, NULL, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, "/nowhere"));
}

/* A cache as huggingface_hub lays it out. */
static void
test_hub_cache (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *cache = g_dir_make_tmp ("peft-hub-XXXXXX", &error);
  g_autofree char *repository = g_build_filename (cache, "models--org--name", NULL);
  g_autofree char *refs = g_build_filename (repository, "refs", NULL);
  g_autofree char *snapshots = g_build_filename (repository, "snapshots", NULL);
  g_autofree char *snapshot = g_build_filename (snapshots, "0123abcd", NULL);
  g_autofree char *by_ref = NULL;
  g_autofree char *by_commit = NULL;
  static const char *const bad[] = { "org/name@v2", "org/other", "org/name@../../x", "org/..", "a/b/c" };

  g_assert_no_error (error);
  g_setenv ("HF_HUB_CACHE", cache, TRUE);
  g_mkdir_with_parents (refs, 0700);
  g_mkdir_with_parents (snapshot, 0700);
  write_text (refs, "main", "0123abcd\n");
  by_ref = peft_base_model_find ("org/name", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (by_ref, ==, snapshot);
  by_commit = peft_base_model_find ("org/name@0123abcd", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (by_commit, ==, snapshot);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_assert_null (peft_base_model_find (bad[i], &error));
      g_assert_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND);
      g_assert_nonnull (strstr (error->message, bad[i]));
      g_clear_error (&error);
    }
  /* A reference that points out of the repository is none. */
  write_text (refs, "main", "../refs");
  g_assert_null (peft_base_model_find ("org/name", &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND);
  g_unsetenv ("HF_HUB_CACHE");
  remove_folder (cache);
}

static void
test_dataset (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftTokenizer) tokenizer = peft_tokenizer_load (folder, &error);
  PeftDataset *dataset = tiny_dataset ();
  g_autoptr (PeftDataset) mapped = NULL;
  g_autoptr (PeftDataset) unknown = NULL;
  g_autofree char *row = peft_dataset_row_to_json (dataset, 1);
  g_autofree char *check = peft_dataset_check (dataset, tokenizer, PEFT_LOSS_ON_AUTO, 8, 0, NULL, &error);
  g_autofree char *preview = NULL;
  g_autofree char *bad = NULL;

  g_assert_no_error (error);
  g_assert_cmpuint (peft_dataset_get_n_rows (dataset), ==, 24);
  g_assert_cmpstr (row, ==, "{\"text\":\"the dog sat on the big red box.\"}");
  g_assert_nonnull (strstr (check, "\"cut\": 24"));
  g_assert_nonnull (strstr (check, "\"errors\": []"));

  mapped = peft_dataset_new_from_text ("m", "{\"q\":\"ab\",\"a\":\"c\"}\n",
                                       "{\"prompt\":\"q\",\"completion\":\"a\"}", &error);
  g_assert_no_error (error);
  preview = peft_dataset_preview_row (mapped, 0, tokenizer, PEFT_LOSS_ON_AUTO, 0, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (preview, ==,
                   "{\"length\":4,\"tokens\":[{\"id\":5,\"text\":\"a\",\"learnt\":false},"
                   "{\"id\":6,\"text\":\"b\",\"learnt\":false},{\"id\":7,\"text\":\"c\",\"learnt\":true},"
                   "{\"id\":1,\"text\":\"</s>\",\"learnt\":true}]}");

  /* Rows that cannot be encoded are in the report. */
  bad = peft_dataset_check (dataset, NULL, PEFT_LOSS_ON_AUTO, 0, 0, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (strstr (bad, "rows: row 1"));

  g_assert_null (peft_dataset_new_from_text ("x", "{\"text\":1}\n", NULL, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA);
  g_assert_finalize_object (dataset);
}

static void
test_adapters (void)
{
  g_autoptr (GError) error = NULL;
  PeftModel *model = tiny_model (folder);
  g_autoptr (PeftTensor) base_logits = tiny_logits (model);
  g_autoptr (PeftTensor) a_logits = NULL;
  g_autoptr (PeftTensor) both_logits = NULL;
  g_autoptr (PeftTensor) off_logits = NULL;
  g_autoptr (PeftTensor) zero_logits = NULL;
  g_autoptr (PeftConfig) config = NULL;
  g_autofree char *words = NULL;
  g_auto (GStrv) names = NULL;
  const char *const both[] = { "a", "b", NULL };
  const char *const missing[] = { "a", "c", NULL };
  const double weights[] = { 1, 0.5 };
  const double zero[] = { 0, 0 };
  guint64 trainable, all;

  tiny_add_lora (model, "a", TRUE);
  tiny_add_lora (model, "b", TRUE);
  a_logits = tiny_logits (model);
  g_assert_cmpfloat (compare_logits (base_logits, a_logits), >, 1e-3);
  g_assert_true (peft_model_set_active (model, both, weights, 2, &error));
  both_logits = tiny_logits (model);
  g_assert_cmpfloat (compare_logits (both_logits, a_logits), >, 1e-3);
  g_assert_true (peft_model_set_enabled (model, FALSE, &error));
  off_logits = tiny_logits (model);
  g_assert_cmpfloat (compare_logits (off_logits, base_logits), ==, 0);
  g_assert_true (peft_model_set_enabled (model, TRUE, &error));
  g_assert_true (peft_model_set_active (model, both, zero, 2, &error));
  zero_logits = tiny_logits (model);
  g_assert_cmpfloat (compare_logits (zero_logits, base_logits), <, 1e-6);

  g_assert_false (peft_model_set_active (model, missing, NULL, 0, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND);
  g_clear_error (&error);
  names = peft_model_get_active (model);
  g_assert_cmpuint (g_strv_length (names), ==, 2);

  /* q and v of both layers, r 4: 2 · 4 · (16 + 16 + 16 + 8) each */
  peft_model_count_parameters (model, &trainable, &all);
  g_assert_cmpuint (trainable, ==, 2 * 448);
  g_assert_cmpuint (all, ==, TINY_PARAMETERS + 2 * 448);
  words = peft_model_describe_parameters (model);
  g_assert_true (g_str_has_prefix (words, "trainable params: 896 || all params: "));
  config = peft_model_get_adapter_config (model, "a");
  g_assert_true (PEFT_IS_LORA_CONFIG (config));

  g_assert_true (peft_model_delete_adapter (model, "b", &error));
  g_assert_false (peft_model_delete_adapter (model, "b", &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_assert_false (peft_model_add_full_training (model, "a", &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  g_assert_false (peft_model_add_full_training (model, "a/b", &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT);
  g_assert_finalize_object (model);
}

static void
test_files (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *out = g_dir_make_tmp ("peft-out-XXXXXX", NULL);
  g_autofree char *adapter = g_build_filename (out, "adapter", NULL);
  g_autofree char *merged = g_build_filename (out, "merged", NULL);
  g_autoptr (PeftModel) model = tiny_model (folder);
  g_autoptr (PeftModel) again = tiny_model (folder);
  g_autoptr (PeftModel) plain = NULL;
  g_autoptr (PeftTensor) logits = NULL;
  g_autoptr (PeftTensor) loaded = NULL;
  g_autoptr (PeftTensor) merged_logits = NULL;
  g_autofree char *json = NULL;
  g_autofree char *model_json = NULL;
  g_auto (Wait) wait;
  g_auto (Wait) load_wait;

  tiny_add_lora (model, "default", TRUE);
  logits = tiny_logits (model);
  g_assert_true (peft_model_save_adapter (model, "default", adapter, &error));
  g_assert_no_error (error);
  wait_init (&load_wait);
  peft_model_load_adapter_async (again, adapter, "x", NULL, wait_cb, &load_wait);
  g_assert_true (peft_model_load_adapter_finish (again, wait_run (&load_wait), &error));
  g_assert_no_error (error);
  loaded = tiny_logits (again);
  g_assert_cmpfloat (compare_logits (logits, loaded), ==, 0);

  wait_init (&wait);
  peft_model_merge_and_save_async (model, merged, PEFT_LOAD_FLOAT32, NULL, wait_cb, &wait);
  g_assert_true (peft_model_merge_and_save_finish (model, wait_run (&wait), &error));
  g_assert_no_error (error);
  plain = tiny_model (merged);
  merged_logits = tiny_logits (plain);
  g_assert_cmpfloat (compare_logits (logits, merged_logits), <, 1e-4);

  json = peft_inspect_to_json (adapter, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (strstr (json, "\"peft_type\": \"LORA\""));
  model_json = peft_inspect_to_json (merged, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (strstr (model_json, "\"kind\": \"model\""));
  g_assert_null (peft_inspect_to_json (out, NULL, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND);
  g_clear_error (&error);

  /* What cannot be loaded changes nothing. */
  g_assert_false (peft_model_load_adapter (again, out, "y", &error));
  g_assert_nonnull (error);
  {
    g_auto (GStrv) names = peft_model_get_adapter_names (again);
    g_assert_cmpuint (g_strv_length (names), ==, 1);
  }
  remove_folder (out);
}

static void
test_methods (void)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) names = peft_methods_list ();
  g_autofree char *all = peft_methods_to_json (NULL, &error);
  g_autofree char *one = peft_methods_to_json ("lora", &error);
  g_autofree char *presets = peft_presets_to_json ();
  g_autoptr (PeftConfig) config = peft_config_new_for_method ("LORA", &error);
  int r = 0;

  g_assert_no_error (error);
  g_assert_true (g_strv_contains ((const char *const *) names, "LORA"));
  g_assert_nonnull (strstr (all, "\"methods\""));
  g_assert_nonnull (strstr (one, "\"lora_alpha\""));
  g_assert_nonnull (strstr (presets, "\"balanced\""));
  g_assert_null (peft_methods_to_json ("nonsense", &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_assert_true (peft_preset_apply_to_config ("balanced", config, &error));
  g_object_get (config, "r", &r, NULL);
  g_assert_cmpint (r, ==, 16);
  g_assert_false (peft_preset_apply_to_config ("huge", config, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT);
}

static void
test_variant (void)
{
  const char *text = "{\"a\":[1,2.5,null,\"x\"],\"b\":true}";
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = peft_variant_new_from_json (text, &error);
  g_autofree char *back = NULL;
  g_autofree char *deep = g_strnfill (64, '[');

  g_assert_no_error (error);
  back = peft_variant_to_json (value, FALSE, &error);
  g_assert_cmpstr (back, ==, text);
  g_assert_null (peft_variant_new_from_json ("\"a\\u0000b\"", &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED);
  g_clear_error (&error);
  {
    g_autofree char *close = g_strnfill (64, ']');
    g_autofree char *nested = g_strconcat (deep, close, NULL);

    g_assert_null (peft_variant_new_from_json (nested, &error));
    g_assert_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT);
  }
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  folder = tiny_write ();
  g_test_add_func ("/Peft/Device/names", test_device);
  g_test_add_func ("/Peft/Device/benchmark", test_device_benchmark);
  g_test_add_func ("/Peft/Tokenizer/all", test_tokenizer);
  g_test_add_func ("/Peft/TokenStream/all", test_token_stream);
  g_test_add_func ("/Peft/BaseModel/load", test_base_model);
  g_test_add_func ("/Peft/BaseModel/hub-cache", test_hub_cache);
  g_test_add_func ("/Peft/Dataset/all", test_dataset);
  g_test_add_func ("/Peft/Model/adapters", test_adapters);
  g_test_add_func ("/Peft/Model/files", test_files);
  g_test_add_func ("/Peft/Methods/json", test_methods);
  g_test_add_func ("/Peft/Variant/json", test_variant);
  status = g_test_run ();
  remove_folder (folder);
  g_free (folder);
  return status;
}
