/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "methods/peft-config-private.h"
#include "methods/peft-pattern-map.h"
#include "methods/peft-pattern.h"
#include "methods/peft-target.h"

/* Expected results below were computed by the Python library peft 0.21.2. */
static const char *const paths[] = {
  "model.embed_tokens",
  "model.layers.0.self_attn.q_proj",
  "model.layers.0.self_attn.k_proj",
  "model.layers.1.self_attn.q_proj",
  "model.layers.1.mlp.down_proj",
  "model.layers.11.mlp.down_proj",
  "model.norm",
  "lm_head",
  "q_proj",
};

/* One letter a path: 1 matches, 0 does not, x is excluded. */
static const struct
{
  const char *config;
  const char *expected;
} cases[] = {
  /* clang-format off */
  { "{\"target_modules\": [\"q_proj\"]}", "010100001" },
  { "{\"target_modules\": [\"proj\"]}", "000000000" },
  { "{\"target_modules\": [\"self_attn.q_proj\", \"down_proj\"]}", "010111000" },
  { "{\"target_modules\": [\"model.layers.1.self_attn.q_proj\"]}", "000100000" },
  { "{\"target_modules\": [\"layers.1.mlp.down_proj\"]}", "000010000" },
  { "{\"target_modules\": [\".*q_proj\"]}", "000000000" },
  { "{\"target_modules\": \".*q_proj\"}", "010100001" },
  { "{\"target_modules\": \"q_proj\"}", "000000001" },
  { "{\"target_modules\": \".*(q|k)_proj\"}", "011100001" },
  { "{\"target_modules\": \"model\\\\.layers\\\\.(0|1)\\\\..*\"}", "011110000" },
  { "{\"target_modules\": \"model\\\\.layers\\\\.\\\\d+\\\\.mlp\\\\.down_proj\"}", "000011000" },
  { "{\"target_modules\": \".*\\\\.layers\\\\.1\"}", "000000000" },
  { "{\"target_modules\": \"(?!.*layers\\\\.0).*_proj\"}", "000111001" },
  { "{\"target_modules\": \"(?P<x>model)\\\\.norm|lm_head\"}", "000000110" },
  { "{\"target_modules\": [\"q_proj\", \"down_proj\"], \"layers_to_transform\": [1]}", "000110001" },
  { "{\"target_modules\": [\"q_proj\", \"down_proj\"], \"layers_to_transform\": 1}", "000110001" },
  { "{\"target_modules\": [\"q_proj\", \"down_proj\"], \"layers_to_transform\": []}", "010111001" },
  { "{\"target_modules\": [\"q_proj\", \"down_proj\"], \"layers_to_transform\": [1, 11], \"layers_pattern\": \"layers\"}", "000111001" },
  { "{\"target_modules\": [\"q_proj\", \"down_proj\"], \"layers_to_transform\": [0], \"layers_pattern\": [\"h\", \"layers\"]}", "010000001" },
  { "{\"target_modules\": [\"q_proj\", \"down_proj\"], \"layers_to_transform\": [0], \"layers_pattern\": \"blocks\"}", "000000001" },
  { "{\"target_modules\": [\"model.layers.0.self_attn.q_proj\"], \"layers_to_transform\": [1]}", "010000000" },
  { "{\"target_modules\": [\"q_proj\", \"k_proj\"], \"exclude_modules\": [\"layers.0.self_attn.q_proj\"]}", "0x1100001" },
  { "{\"target_modules\": [\"q_proj\", \"k_proj\"], \"exclude_modules\": \".*\\\\.0\\\\..*\"}", "0xx100001" },
  { "{\"target_modules\": [\"q_proj\", \"lm_head\"], \"modules_to_save\": [\"lm_head\"]}", "0101000x1" },
  { "{\"target_modules\": [\"q_proj\", \"down_proj\"], \"modules_to_save\": [\"mlp\"]}", "0101xx001" },
  { "{\"target_modules\": [\"q_proj\", \"norm\", \"embed_tokens\"]}", "110100101" },
  { "{\"target_modules\": []}", "000000000" },
  /* clang-format on */
};

static const struct
{
  const char *map;
  double expected[G_N_ELEMENTS (paths)]; /* 0: no key matches */
} maps[] = {
  /* clang-format off */
  { "{\"q_proj\": 1, \"self_attn.q_proj\": 2}", { 0, 1, 0, 1, 0, 0, 0, 0, 1 } },
  { "{\"self_attn.q_proj\": 2, \"q_proj\": 1}", { 0, 2, 0, 2, 0, 0, 0, 0, 1 } },
  { "{\"^model.layers.0.*q_proj\": 3}", { 0, 3, 0, 0, 0, 0, 0, 0, 0 } },
  { "{\"layers.1.*\": 4, \"q_proj\": 5}", { 0, 5, 0, 4, 4, 4, 0, 0, 5 } },
  { "{\"proj\": 6}", { 0, 0, 0, 0, 0, 0, 0, 0, 0 } },
  { "{\".*_proj\": 7}", { 0, 7, 7, 7, 7, 7, 0, 0, 7 } },
  { "{\"layers\\\\.(0|1)\\\\.mlp\\\\..*\": 8}", { 0, 0, 0, 0, 8, 0, 0, 0, 0 } },
  { "{\"model.layers.11.mlp.down_proj\": 9, \"down_proj\": 10}", { 0, 0, 0, 0, 10, 9, 0, 0, 0 } },
  { "{\"^q_proj\": 11}", { 0, 0, 0, 0, 0, 0, 0, 0, 11 } },
  { "{\"k|q_proj\": 12}", { 0, 12, 0, 12, 0, 0, 0, 0, 12 } },
  /* clang-format on */
};

static PeftConfig *
config_from (const char *members)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *json = g_strdup_printf ("{\"peft_type\":\"LORA\",%s", members + 1);
  PeftConfig *config = peft_config_new_from_json (json, -1, &error);

  g_assert_no_error (error);
  return config;
}

static void
test_match (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (PeftConfig) config = config_from (cases[i].config);
      g_autoptr (PeftTargets) targets = peft_targets_new (config, "llama", &error);
      char found[G_N_ELEMENTS (paths) + 1] = { 0 };

      g_assert_no_error (error);
      for (guint j = 0; j < G_N_ELEMENTS (paths); j++)
        {
          PeftTargetMatch match;

          g_assert_true (peft_targets_match (targets, paths[j], &match, &error));
          found[j] = match == PEFT_TARGET_YES ? '1' : match == PEFT_TARGET_EXCLUDED ? 'x' : '0';
        }
      g_test_message ("%s", cases[i].config);
      g_assert_cmpstr (found, ==, cases[i].expected);
    }
}

static void
test_pattern_map (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (maps); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *members = g_strdup_printf ("{\"alpha_pattern\":%s}", maps[i].map);
      g_autoptr (PeftConfig) config = config_from (members);
      g_autoptr (PeftPatternMap) map = peft_pattern_map_new (config, "alpha_pattern", &error);

      g_assert_no_error (error);
      for (guint j = 0; j < G_N_ELEMENTS (paths); j++)
        {
          double value = 0.0;

          g_assert_true (peft_pattern_map_lookup (map, paths[j], &value, &error));
          g_assert_cmpfloat (value, ==, maps[i].expected[j]);
        }
    }
}

static void
test_defaults (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftConfig) config = config_from ("{\"r\":4}");
  g_autoptr (PeftTargets) llama = peft_targets_new (config, "llama", &error);
  g_autofree char *resolved = NULL;

  g_assert_no_error (error);
  resolved = peft_json_to_string (peft_targets_get_resolved (llama), PEFT_JSON_WRITE_COMPACT);
  g_assert_cmpstr (resolved, ==, "[\"q_proj\",\"v_proj\"]");
  g_assert_null (peft_targets_new (config, "no-such-model", &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "target_modules"));
  g_assert_nonnull (strstr (error->message, "no-such-model"));
}

static void
test_saved_modules (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftConfig) config
      = config_from ("{\"modules_to_save\":[\"lm_head\",\"norm\",\"1.mlp\"]}");
  g_autoptr (PeftTargets) targets = peft_targets_new (config, "llama", &error);

  g_assert_no_error (error);
  g_assert_true (peft_targets_is_saved (targets, "lm_head"));
  g_assert_true (peft_targets_is_saved (targets, "model.norm"));
  g_assert_true (peft_targets_is_saved (targets, "model.layers.0.input_layernorm"));
  /* Inside a module that is saved; plain endings need no dot, so that layer 11 is saved, too. */
  g_assert_true (peft_targets_is_saved (targets, "model.layers.1.mlp.up_proj"));
  g_assert_true (peft_targets_is_saved (targets, "model.layers.11.mlp.up_proj"));
  g_assert_false (peft_targets_is_saved (targets, "model.layers.2.mlp.up_proj"));
  g_assert_false (peft_targets_is_saved (targets, "model.norm_other"));
}

static void
assert_refused (const char *members, const char *word, int code)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftConfig) config = config_from (members);
  g_autoptr (PeftTargets) targets = peft_targets_new (config, "llama", &error);
  PeftTargetMatch match;

  if (targets != NULL)
    g_assert_false (peft_targets_match (
        targets, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b", &match, &error));
  g_assert_error (error, PEFT_ERROR, code);
  g_assert_nonnull (strstr (error->message, word));
}

static void
test_hostile_patterns (void)
{
  g_autoptr (GString) large = g_string_new ("{\"target_modules\":\"");

  assert_refused ("{\"target_modules\":\"(a\"}", "target_modules", PEFT_ERROR_INVALID_ARGUMENT);
  assert_refused ("{\"target_modules\":\"(a*)*b\"}", "steps", PEFT_ERROR_LIMIT);
  assert_refused ("{\"exclude_modules\":\"[z\"}", "exclude_modules", PEFT_ERROR_INVALID_ARGUMENT);
  assert_refused ("{\"modules_to_save\":[\"x(\"]}", "modules_to_save", PEFT_ERROR_INVALID_ARGUMENT);
  assert_refused ("{\"layers_to_transform\":1,\"layers_pattern\":\"[\"}", "layers_pattern",
                  PEFT_ERROR_INVALID_ARGUMENT);
  for (guint i = 0; i <= PEFT_PATTERN_MAX_BYTES; i++)
    g_string_append_c (large, 'a');
  g_string_append (large, "\"}");
  assert_refused (large->str, "bytes", PEFT_ERROR_LIMIT);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Target/match", test_match);
  g_test_add_func ("/Peft/Target/pattern-map", test_pattern_map);
  g_test_add_func ("/Peft/Target/defaults", test_defaults);
  g_test_add_func ("/Peft/Target/saved-modules", test_saved_modules);
  g_test_add_func ("/Peft/Target/hostile-patterns", test_hostile_patterns);
  return g_test_run ();
}
