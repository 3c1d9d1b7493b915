/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib/gstdio.h>
#include <string.h>

#include "base/peft-atomic-file.h"
#include "methods/peft-closest-name.h"
#include "methods/peft-config-private.h"
#include "methods/peft-config-types.h"
#include "methods/peft-method.h"

static PeftConfig *
parse (const char *json)
{
  g_autoptr (GError) error = NULL;
  PeftConfig *config = peft_config_new_from_json (json, -1, &error);

  g_assert_no_error (error);
  return config;
}

static void
assert_field (PeftConfig *config, const char *name, const char *expected)
{
  g_autofree char *json = peft_config_get_field (config, name);

  g_assert_cmpstr (json, ==, expected);
}

/* LoraConfig () of the Python library peft 0.21.2 without the fields that came after its 0.14. */
static const char defaults_as_peft[] = "{\n"
                                       "  \"alpha_pattern\": {},\n"
                                       "  \"auto_mapping\": null,\n"
                                       "  \"base_model_name_or_path\": null,\n"
                                       "  \"bias\": \"none\",\n"
                                       "  \"eva_config\": null,\n"
                                       "  \"exclude_modules\": null,\n"
                                       "  \"fan_in_fan_out\": false,\n"
                                       "  \"inference_mode\": true,\n"
                                       "  \"init_lora_weights\": true,\n"
                                       "  \"layer_replication\": null,\n"
                                       "  \"layers_pattern\": null,\n"
                                       "  \"layers_to_transform\": null,\n"
                                       "  \"loftq_config\": {},\n"
                                       "  \"lora_alpha\": 8,\n"
                                       "  \"lora_bias\": false,\n"
                                       "  \"lora_dropout\": 0.0,\n"
                                       "  \"megatron_config\": null,\n"
                                       "  \"megatron_core\": \"megatron.core\",\n"
                                       "  \"modules_to_save\": null,\n"
                                       "  \"peft_type\": \"LORA\",\n"
                                       "  \"peft_version\": \"0.19.1\",\n"
                                       "  \"r\": 8,\n"
                                       "  \"rank_pattern\": {},\n"
                                       "  \"revision\": null,\n"
                                       "  \"target_modules\": null,\n"
                                       "  \"task_type\": null,\n"
                                       "  \"use_dora\": false,\n"
                                       "  \"use_rslora\": false\n"
                                       "}";

static void
test_defaults (void)
{
  g_autoptr (PeftConfig) config = g_object_new (PEFT_TYPE_LORA_CONFIG, NULL);
  g_autofree char *json = peft_config_to_json (config);

  g_assert_cmpstr (json, ==, defaults_as_peft);
  g_assert_cmpstr (peft_config_get_peft_type (config), ==, "LORA");
}

static void
test_properties (void)
{
  g_autoptr (PeftConfig) config = g_object_new (
      PEFT_TYPE_LORA_CONFIG, "r", 4, "lora-alpha", 16.0, "lora-dropout", 0.1, "bias", "all",
      "target-modules", g_variant_new_strv ((const char *[]){ "v_proj", "q_proj" }, 2), NULL);
  g_autoptr (GVariant) targets = NULL;
  g_autoptr (GVariant) pattern = NULL;
  double alpha;
  gint64 rank;
  int r;

  g_object_get (config, "r", &r, "lora-alpha", &alpha, "target-modules", &targets, NULL);
  g_assert_cmpint (r, ==, 4);
  g_assert_cmpfloat (alpha, ==, 16.0);
  g_assert_cmpstr (g_variant_get_type_string (targets), ==, "as");
  assert_field (config, "lora_alpha", "16");
  assert_field (config, "target_modules", "[\"v_proj\", \"q_proj\"]");
  g_object_set (config, "target-modules", g_variant_new_string ("all-linear"), "lora-alpha", 0.5,
                "rank-pattern", g_variant_new_parsed ("{'q_proj': 2, 'k_proj': 3}"), NULL);
  assert_field (config, "target_modules", "\"all-linear\"");
  assert_field (config, "lora_alpha", "0.5");
  assert_field (config, "rank_pattern", "{\"q_proj\": 2, \"k_proj\": 3}");
  g_object_get (config, "rank-pattern", &pattern, NULL);
  g_assert_cmpstr (g_variant_get_type_string (pattern), ==, "a{sx}");
  g_assert_true (g_variant_lookup (pattern, "k_proj", "x", &rank));
  g_assert_cmpint (rank, ==, 3);
}

static void
test_three_states (void)
{
  g_autoptr (PeftConfig) config = g_object_new (PEFT_TYPE_LORA_CONFIG, NULL);
  g_autoptr (GError) error = NULL;

  g_assert_false (peft_config_is_set (config, "target_modules"));
  g_assert_true (peft_config_set_field (config, "target_modules", "null", &error));
  g_assert_true (peft_config_is_set (config, "target_modules"));
  assert_field (config, "target_modules", "null");
  g_object_set (config, "target-modules", NULL, "rank-pattern", NULL, NULL);
  assert_field (config, "rank_pattern", "null");
  g_assert_true (peft_config_is_set (config, "target_modules"));
  g_assert_true (peft_config_set_field (config, "target_modules", "[\"q\"]", &error));
  assert_field (config, "target_modules", "[\"q\"]");
  g_assert_true (peft_config_set_field (config, "target_modules", NULL, &error));
  g_assert_false (peft_config_is_set (config, "target_modules"));
  g_assert_no_error (error);
  g_assert_null (peft_config_get_field (config, "no_such_field"));
}

static const struct
{
  const char *name, *json;
  const char *words[3];
} bad_values[] = {
  { "r", "\"8\"", { "r:", "an integer from 1 to 65536", "\"8\"" } },
  { "r", "0", { "r:", "from 1", "0" } },
  { "r", "8.5", { "r:", "integer", "8.5" } },
  { "r", "1e30", { "r:", "integer", "1e+30" } },
  { "r", "null", { "r:", "integer", "null" } },
  { "r", "{", { "r:", "not JSON", "{" } },
  { "lora_dropout", "1.5", { "lora_dropout:", "from 0 to 1", "1.5" } },
  { "bias", "\"some\"", { "bias:", "lora_only", "some" } },
  { "use_rslora", "1", { "use_rslora:", "true or false", "1" } },
  { "init_lora_weights", "\"gausian\"", { "init_lora_weights:", "gaussian", "gausian" } },
  { "target_modules", "[1]", { "target_modules:", "a list of strings", "[1]" } },
  { "rank_pattern", "{\"q\":\"x\"}", { "rank_pattern:", "an object of integers", "x" } },
  { "rank_pattern", "{\"q\":0}", { "rank_pattern:", "from 1", "0" } },
  { "layers_to_transform", "[\"1\"]", { "layers_to_transform:", "a list of integers", "1" } },
  { "lora_alfa", "8", { "lora_alfa", "did you mean", "lora_alpha" } },
  { "zzzzzzzzzzzzzz", "8", { "LORA", "no field", "zzzz" } },
};

static void
test_bad_values (void)
{
  g_autoptr (PeftConfig) config = g_object_new (PEFT_TYPE_LORA_CONFIG, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (bad_values); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (
          peft_config_set_field (config, bad_values[i].name, bad_values[i].json, &error));
      g_assert_nonnull (error);
      g_test_message ("%s", error->message);
      for (guint j = 0; j < 3; j++)
        g_assert_nonnull (strstr (error->message, bad_values[i].words[j]));
      g_assert_false (peft_config_is_set (config, bad_values[i].name));
    }
}

static void
test_bare_string (void)
{
  g_autoptr (PeftConfig) config = g_object_new (PEFT_TYPE_LORA_CONFIG, NULL);
  g_autoptr (GError) error = NULL;

  g_assert_true (peft_config_set_field (config, "target_modules", "all-linear", &error));
  assert_field (config, "target_modules", "\"all-linear\"");
  g_assert_true (peft_config_set_field (config, "bias", "lora_only", &error));
  g_assert_no_error (error);
}

static void
test_round_trip (void)
{
  g_autoptr (PeftConfig) config = parse (
      "{\"peft_type\":\"LORA\",\"r\":4,\"target_modules\":[\"v\",\"q\",\"v\"],"
      "\"rank_pattern\":{\"z\":2,\"a\":1},\"lora_alpha\":16.5,\"future\":{\"b\":[1,null]},"
      "\"runtime_config\":{},\"use_bdlora\":null,\"base_model_name_or_path\":\"\xc3\xa9\"}");
  g_auto (GStrv) unknown = peft_config_get_unknown_fields (config);
  g_autofree char *json = peft_config_to_json (config);
  g_autoptr (PeftConfig) again = parse (json);
  g_autofree char *json_again = peft_config_to_json (again);

  g_assert_cmpuint (g_strv_length (unknown), ==, 1);
  g_assert_cmpstr (unknown[0], ==, "future");
  g_assert_cmpstr (json, ==, json_again);
  g_assert_nonnull (strstr (json, "\"lora_alpha\": 16.5"));
  g_assert_nonnull (strstr (json, "\\u00e9"));
  /* The first key that matches wins, so their order must stay. */
  g_assert_true (strstr (json, "\"z\": 2") < strstr (json, "\"a\": 1"));
  g_assert_nonnull (strstr (json, "\"target_modules\": [\n    \"q\",\n    \"v\"\n  ]"));
  g_assert_nonnull (strstr (json, "\"future\": {"));
  g_assert_null (strstr (json, "runtime_config"));
  g_assert_null (strstr (json, "use_bdlora"));
}

static void
test_newer_fields (void)
{
  g_autoptr (PeftConfig) config
      = parse ("{\"peft_type\":\"LORA\",\"qalora_group_size\":32,\"ensure_weight_tying\":false}");
  g_autofree char *json = peft_config_to_json (config);

  g_assert_nonnull (strstr (json, "\"qalora_group_size\": 32"));
  g_assert_null (strstr (json, "ensure_weight_tying"));
}

static const struct
{
  const char *members;
  int code;
  const char *words[2];
} invalid[] = {
  { "\"use_dora\":true,\"lora_bias\":true", PEFT_ERROR_INVALID_ARGUMENT, { "lora_bias", "use_dora" } },
  { "\"layer_replication\":[[0,2]]", PEFT_ERROR_UNSUPPORTED, { "layer_replication", "[0, 2]" } },
  { "\"target_parameters\":[\"e\"]", PEFT_ERROR_UNSUPPORTED, { "target_parameters", "e" } },
  { "\"alora_invocation_tokens\":[1]", PEFT_ERROR_UNSUPPORTED, { "alora_invocation_tokens", "1" } },
  { "\"eva_config\":{\"rho\":2.0}", PEFT_ERROR_UNSUPPORTED, { "eva_config", "rho" } },
  { "\"use_qalora\":true", PEFT_ERROR_UNSUPPORTED, { "use_qalora", "true" } },
  { "\"kasa_config\":{\"beta\":1}", PEFT_ERROR_UNSUPPORTED, { "kasa_config", "beta" } },
  { "\"init_lora_weights\":\"corda\"", PEFT_ERROR_UNSUPPORTED, { "corda", "gaussian" } },
  { "\"init_lora_weights\":\"pissa_niter_\"",
    PEFT_ERROR_INVALID_ARGUMENT,
    { "pissa_niter_", "number of iterations" } },
  { "\"init_lora_weights\":\"pissa_niter_-1\"", PEFT_ERROR_INVALID_ARGUMENT, { "pissa_niter_-1", "1000" } },
  { "\"task_type\":\"SEQ_2_SEQ_LM\"", PEFT_ERROR_UNSUPPORTED, { "task_type", "SEQ_2_SEQ_LM" } },
  { "\"target_modules\":\"x\",\"layers_to_transform\":1",
    PEFT_ERROR_INVALID_ARGUMENT,
    { "layers_to_transform", "list" } },
  { "\"target_modules\":[\"x\"],\"layers_pattern\":\"h\"",
    PEFT_ERROR_INVALID_ARGUMENT,
    { "layers_pattern", "layers_to_transform" } },
  { "\"lora_bias\":true,\"init_lora_weights\":\"gaussian\"",
    PEFT_ERROR_INVALID_ARGUMENT,
    { "lora_bias", "init_lora_weights" } },
  { "\"lora_dropout\":1.0", PEFT_ERROR_INVALID_ARGUMENT, { "lora_dropout", "1" } },
  { "\"modules_to_save\":[\"\"]", PEFT_ERROR_INVALID_ARGUMENT, { "modules_to_save", "empty" } },
};

static void
test_validate (void)
{
  g_autoptr (PeftConfig) good = parse (
      "{\"peft_type\":\"LORA\",\"loftq_config\":{},\"trainable_token_indices\":null,"
      "\"layer_replication\":[],\"init_lora_weights\":\"gaussian\",\"task_type\":\"CAUSAL_LM\"}");
  g_autoptr (GError) none = NULL;

  g_assert_true (peft_config_validate (good, &none));
  g_assert_no_error (none);
  for (guint i = 0; i < G_N_ELEMENTS (invalid); i++)
    {
      g_autofree char *json = g_strdup_printf ("{\"peft_type\":\"LORA\",%s}", invalid[i].members);
      g_autoptr (PeftConfig) config = parse (json);
      g_autoptr (GError) error = NULL;

      g_assert_false (peft_config_validate (config, &error));
      g_test_message ("%s", error->message);
      g_assert_error (error, PEFT_ERROR, invalid[i].code);
      g_assert_nonnull (strstr (error->message, invalid[i].words[0]));
      g_assert_nonnull (strstr (error->message, invalid[i].words[1]));
    }
}

static const struct
{
  const char *json;
  int code;
  const char *word;
} bad_files[] = {
  { "[]", PEFT_ERROR_INVALID_FILE, "object" },
  { "{}", PEFT_ERROR_INVALID_FILE, "peft_type" },
  { "{\"peft_type\":7}", PEFT_ERROR_INVALID_FILE, "peft_type" },
  { "{\"peft_type\":\"BONE\"}", PEFT_ERROR_UNSUPPORTED, "MISS" },
  { "{\"peft_type\":\"LORO\"}", PEFT_ERROR_NOT_FOUND, "LORO" },
  { "{\"lora_parameters\":{}}", PEFT_ERROR_UNSUPPORTED, "MLX" },
  { "{\"peft_type\":\"LORA\",\"r\":[]}", PEFT_ERROR_INVALID_FILE, "r: expected an integer" },
  { "{\"peft_type\":\"LORA\",", PEFT_ERROR_INVALID_FILE, "line" },
  { "{\"peft_type\":\"LORA\",\"r\\u0000\":1}", PEFT_ERROR_INVALID_FILE, "NUL" },
  { "{\"peft_type\":\"LORA\",\"rank_pattern\":{\"q\\u0000\":1}}", PEFT_ERROR_INVALID_FILE,
    "rank_pattern" },
  { "{\"peft_type\":\"LORA\",\"target_modules\":[\"q\\u0000\"]}", PEFT_ERROR_INVALID_FILE,
    "target_modules" },
  { "{\"peft_type\":\"LORA\",\"bias\":\"no\\u0000ne\"}", PEFT_ERROR_INVALID_FILE, "bias" },
};

static void
test_bad_files (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (bad_files); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (peft_config_new_from_json (bad_files[i].json, -1, &error));
      g_test_message ("%s", error->message);
      g_assert_error (error, PEFT_ERROR, bad_files[i].code);
      g_assert_nonnull (strstr (error->message, bad_files[i].word));
    }
}

/* Whichever of peft's methods are not here yet. */
static void
test_not_here (void)
{
  static const char *const names[] = { "BOFT", "C3A", "FOURIERFT", "POLY", "VBLORA", "XLORA" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *json = g_strdup_printf ("{\"peft_type\":\"%s\"}", names[i]);
      g_autoptr (GError) error = NULL;

      if (peft_method_find (names[i]) != NULL)
        continue;
      g_assert_null (peft_config_new_from_json (json, -1, &error));
      g_assert_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED);
      g_assert_nonnull (strstr (error->message, names[i]));
    }
}

static void
test_limits (void)
{
  g_autoptr (GString) list = g_string_new ("{\"peft_type\":\"LORA\",\"target_modules\":[\"a\"");
  g_autoptr (GString) deep = g_string_new ("{\"peft_type\":\"LORA\",\"auto_mapping\":");
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < PEFT_FIELD_MAX_ITEMS; i++)
    g_string_append (list, ",\"a\"");
  g_string_append (list, "]}");
  g_assert_null (peft_config_new_from_json (list->str, -1, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT);
  g_clear_error (&error);
  for (guint i = 0; i <= PEFT_FIELD_MAX_DEPTH; i++)
    g_string_append (deep, "{\"a\":");
  g_string_append (deep, "1");
  for (guint i = 0; i <= PEFT_FIELD_MAX_DEPTH; i++)
    g_string_append (deep, "}");
  g_string_append (deep, "}");
  g_assert_null (peft_config_new_from_json (deep->str, -1, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT);
}

static void
test_save (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *folder = g_dir_make_tmp ("peft-config-XXXXXX", &error);
  g_autofree char *file = g_build_filename (folder, "adapter_config.json", NULL);
  g_autoptr (PeftConfig) config = g_object_new (PEFT_TYPE_LORA_CONFIG, "r", 2, NULL);
  g_autoptr (PeftConfig) loaded = NULL;

  g_assert_true (peft_config_save (config, folder, &error));
  loaded = peft_config_load (folder, &error);
  g_assert_no_error (error);
  assert_field (loaded, "r", "2");
  g_assert_true (g_file_set_contents (file, "{\"peft_type\":\"LORA\",\"r\":\"x\"}", -1, NULL));
  g_assert_null (peft_config_load (file, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE);
  g_assert_true (g_str_has_prefix (error->message, file));
  g_clear_error (&error);
  peft_remove_tree (folder, NULL);
  g_assert_null (peft_config_load (folder, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND);
}

static void
test_new_for_method (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftConfig) config = peft_config_new_for_method ("lora", &error);

  g_assert_no_error (error);
  g_assert_true (PEFT_IS_LORA_CONFIG (config));
  g_assert_null (peft_config_new_for_method ("shadow", &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED);
}

static void
test_describe (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftJson) json = peft_method_describe ("LORA", &error);
  PeftJson *fields;
  gboolean seen = FALSE;

  g_assert_no_error (error);
  fields = peft_json_get_member (json, "fields");
  for (gsize i = 0; i < peft_json_get_length (fields); i++)
    {
      PeftJson *field = peft_json_get_element (fields, i);
      double maximum;

      if (!g_str_equal (peft_json_get_string (peft_json_get_member (field, "name")), "r"))
        continue;
      seen = TRUE;
      peft_json_get_double (peft_json_get_member (field, "maximum"), &maximum);
      g_assert_cmpfloat (maximum, ==, 65536.0);
      g_assert_cmpstr (peft_json_get_string (peft_json_get_member (field, "type")), ==,
                       "an integer from 1 to 65536");
    }
  g_assert_true (seen);
}

static void
test_closest (void)
{
  static const char *const names[] = { "q_proj", "k_proj", "down_proj" };

  g_assert_cmpuint (peft_edit_distance ("", "abc"), ==, 3);
  g_assert_cmpuint (peft_edit_distance ("kitten", "sitting"), ==, 3);
  g_assert_cmpstr (peft_closest_name ("q_prj", names, 3), ==, "q_proj");
  g_assert_cmpstr (peft_closest_name ("dwnproj", names, 3), ==, "down_proj");
  g_assert_null (peft_closest_name ("zzzz", names, 3));
}

static char *
find_corpus (void)
{
  const char *shared = g_getenv ("PEFT_SHARED");
  g_autofree char *path = shared != NULL
                              ? g_build_filename (shared, "corpus", "adapter_configs", NULL)
                              : g_build_filename (g_getenv ("PEFT_TEST_ROOT"), "..", "shared",
                                                  "corpus", "adapter_configs", NULL);

  return g_file_test (path, G_FILE_TEST_IS_DIR) ? g_steal_pointer (&path) : NULL;
}

/* Real files: each loads and can be written again, or is refused by the name of its method. */
static void
test_corpus (void)
{
  g_autofree char *folder = find_corpus ();
  g_autoptr (GDir) dir = NULL;
  const char *name;
  guint n_loaded = 0, n_refused = 0;

  if (folder == NULL)
    {
      g_test_skip ("shared/corpus/adapter_configs is not there");
      return;
    }
  dir = g_dir_open (folder, 0, NULL);
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);
      g_autoptr (GError) error = NULL;
      g_autoptr (PeftConfig) config = NULL;

      if (!g_str_has_suffix (name, ".json"))
        continue;
      config = peft_config_load (path, &error);
      g_test_message ("%s: %s", name, config != NULL ? "loaded" : error->message);
      if (config != NULL)
        {
          g_autofree char *json = peft_config_to_json (config);
          g_autoptr (PeftConfig) again = parse (json);
          g_autofree char *json_again = peft_config_to_json (again);
          g_autoptr (GError) refused = NULL;

          g_assert_cmpstr (json, ==, json_again);
          if (!peft_config_validate (config, &refused))
            g_assert_error (refused, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED);
          n_loaded++;
        }
      else
        {
          g_autoptr (PeftJson) tree = peft_json_load (path, PEFT_JSON_PARSE_DEFAULT, NULL);
          const char *type = NULL;

          g_assert_true (g_str_has_prefix (error->message, path));
          peft_json_read_string (tree, "peft_type", &type, NULL);
          /* A method that is here must load; one that is not is named. */
          if (type == NULL)
            g_assert_nonnull (strstr (error->message, "peft_type"));
          else
            {
              g_assert_null (peft_method_find (type));
              g_assert_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED);
              g_assert_nonnull (strstr (error->message, type));
            }
          n_refused++;
        }
    }
  g_assert_cmpuint (n_loaded, >=, 70);
  g_assert_cmpuint (n_refused, >, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Config/defaults", test_defaults);
  g_test_add_func ("/Peft/Config/properties", test_properties);
  g_test_add_func ("/Peft/Config/three-states", test_three_states);
  g_test_add_func ("/Peft/Config/bad-values", test_bad_values);
  g_test_add_func ("/Peft/Config/bare-string", test_bare_string);
  g_test_add_func ("/Peft/Config/round-trip", test_round_trip);
  g_test_add_func ("/Peft/Config/newer-fields", test_newer_fields);
  g_test_add_func ("/Peft/Config/validate", test_validate);
  g_test_add_func ("/Peft/Config/bad-files", test_bad_files);
  g_test_add_func ("/Peft/Config/not-here", test_not_here);
  g_test_add_func ("/Peft/Config/limits", test_limits);
  g_test_add_func ("/Peft/Config/save", test_save);
  g_test_add_func ("/Peft/Config/new-for-method", test_new_for_method);
  g_test_add_func ("/Peft/Config/describe", test_describe);
  g_test_add_func ("/Peft/Config/closest-name", test_closest);
  g_test_add_func ("/Peft/Config/corpus", test_corpus);
  return g_test_run ();
}
