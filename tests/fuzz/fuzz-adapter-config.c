/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "methods/peft-config-private.h"
#include "methods/peft-pattern-map.h"
#include "methods/peft-target.h"

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

static void
match_targets (PeftConfig *config)
{
  static const char *const paths[] = { "model.layers.10.self_attn.q_proj", "lm_head" };
  g_autoptr (PeftTargets) targets = peft_targets_new (config, "llama", NULL);
  g_autoptr (PeftPatternMap) map = peft_pattern_map_new (config, "rank_pattern", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (paths); i++)
    {
      PeftTargetMatch match;
      double value;

      if (targets != NULL)
        {
          peft_targets_match (targets, paths[i], &match, NULL);
          peft_targets_is_saved (targets, paths[i]);
        }
      if (map != NULL)
        peft_pattern_map_lookup (map, paths[i], &value, NULL);
    }
}

/* What loads can be written and loaded again to the same text; every property can be read; and
 * whatever the patterns are, matching ends. */
int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftConfig) config
      = peft_config_new_from_json ((const char *) data, (gssize) size, &error);
  g_autoptr (PeftConfig) back = NULL;
  g_autofree char *text = NULL;
  g_autofree char *again = NULL;
  g_autofree GParamSpec **specs = NULL;
  guint n_specs;

  g_assert_true ((config == NULL) == (error != NULL));
  if (config == NULL)
    return 0;
  text = peft_config_to_json (config);
  back = peft_config_new_from_json (text, -1, &error);
  g_assert_no_error (error);
  again = peft_config_to_json (back);
  g_assert_cmpstr (text, ==, again);
  specs = g_object_class_list_properties (G_OBJECT_GET_CLASS (config), &n_specs);
  for (guint i = 0; i < n_specs; i++)
    {
      g_auto (GValue) value = G_VALUE_INIT;

      g_object_get_property (G_OBJECT (config), specs[i]->name, &value);
      g_object_set_property (G_OBJECT (back), specs[i]->name, &value);
    }
  if (peft_config_validate (config, NULL))
    match_targets (config);
  return 0;
}
