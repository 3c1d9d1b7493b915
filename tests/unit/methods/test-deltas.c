/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include <string.h>

#include "methods/peft-config-private.h"
#include "tiny-model.h"

/* LoHa, LoKr and OFT: dropouts, and what is refused. */

static PeftConfig *
new_config (const char *json)
{
  g_autoptr (GError) error = NULL;
  PeftConfig *config = peft_config_new_from_json (json, -1, &error);

  g_assert_no_error (error);
  return config;
}

static PeftAdapter *
new_adapter (PeftCore *core, const char *json)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftConfig) config = new_config (json);
  PeftAdapter *adapter = peft_adapter_new (core, config, "default", 42, &error);

  g_assert_no_error (error);
  peft_adapter_set_active (adapter, TRUE, 1.0);
  return adapter;
}

static const char *const with_dropout[] = {
  "{\"peft_type\":\"LOHA\",\"r\":2,\"init_weights\":false,\"target_modules\":\"all-linear\",\"rank_dropout\":0.4}",
  "{\"peft_type\":\"LOHA\",\"r\":2,\"init_weights\":false,\"target_modules\":\"all-linear\",\"module_dropout\":0.5}",
  "{\"peft_type\":\"LOKR\",\"r\":2,\"init_weights\":false,\"target_modules\":\"all-linear\",\"rank_dropout\":0.4}",
  "{\"peft_type\":\"LOKR\",\"r\":2,\"init_weights\":false,\"target_modules\":\"all-linear\",\"rank_dropout\":0.4,"
  "\"rank_dropout_scale\":true}",
  "{\"peft_type\":\"LOKR\",\"r\":2,\"init_weights\":false,\"target_modules\":\"all-linear\",\"module_dropout\":0.5}",
};

static void
test_dropouts (void)
{
  g_autofree char *folder = tiny_write (&(TinyOptions){ 0 });
  g_autoptr (PeftCore) core = tiny_load (folder);

  for (guint i = 0; i < G_N_ELEMENTS (with_dropout); i++)
    {
      g_autoptr (PeftAdapter) adapter = new_adapter (core, with_dropout[i]);

      tiny_randomise (adapter, 0.5);
      {
        g_autofree double *still = tiny_logits (core, FALSE);
        g_autofree double *still_again = tiny_logits (core, FALSE);
        g_autofree double *first = tiny_logits (core, TRUE);
        g_autofree double *again = tiny_logits (core, TRUE);

        g_test_message ("%s", with_dropout[i]);
        g_assert_cmpfloat (tiny_largest_difference (still, still_again, TINY_LOGITS), ==, 0);
        g_assert_cmpfloat (tiny_largest_difference (first, again, TINY_LOGITS), ==, 0);
        g_assert_cmpfloat (tiny_largest_difference (first, still, TINY_LOGITS), >, 1e-3);
      }
      peft_adapter_set_active (adapter, FALSE, 1.0);
    }
}

/* With nearly everything left out some layers keep no row: their update is zero, not 0 / 0. */
static void
test_nothing_kept (void)
{
  g_autofree char *folder = tiny_write (&(TinyOptions){ 0 });
  g_autoptr (PeftCore) core = tiny_load (folder);
  g_autoptr (PeftAdapter) adapter
      = new_adapter (core, "{\"peft_type\":\"LOHA\",\"r\":2,\"init_weights\":false,\"target_modules\":\"all-linear\","
                           "\"rank_dropout\":0.99}");
  g_autofree double *logits = tiny_logits (core, TRUE);

  for (guint i = 0; i < TINY_LOGITS; i++)
    g_assert_true (isfinite (logits[i]));
}

static void
test_conv1d (void)
{
  static const char *const names[] = { "LOHA", "LOKR", "OFT" };
  g_autofree char *folder = tiny_write (&(TinyOptions){ 0 });
  g_autoptr (PeftCore) core = tiny_load (folder);

  peft_core_find_slot (core, "model.layers.1.self_attn.q_proj")->conv1d = TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *json = g_strdup_printf ("{\"peft_type\":\"%s\",\"oft_block_size\":8,\"target_modules\":[\"q_proj\"]}", names[i]);
      g_autoptr (PeftConfig) config = new_config (json);
      g_autoptr (GError) error = NULL;

      g_assert_null (peft_adapter_new (core, config, "default", 42, &error));
      g_assert_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED);
      g_assert_nonnull (strstr (error->message, names[i]));
      g_assert_nonnull (strstr (error->message, "model.layers.1.self_attn.q_proj"));
    }
}

typedef struct
{
  const char *json, *message;
} Refusal;

static const Refusal refusals[] = {
  { "{\"peft_type\":\"LOHA\",\"rank_dropout\":1.0}", "rank_dropout: 1 leaves nothing" },
  { "{\"peft_type\":\"LOKR\",\"module_dropout\":1.0}", "module_dropout: 1 leaves nothing" },
  { "{\"peft_type\":\"LOKR\",\"decompose_factor\":0}", "decompose_factor" },
  { "{\"peft_type\":\"OFT\",\"r\":0,\"oft_block_size\":0}", "one of them to be 0" },
  { "{\"peft_type\":\"OFT\",\"r\":8}", "before 0.14" },
};

static void
test_refusals (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (refusals); i++)
    {
      g_autoptr (PeftConfig) config = new_config (refusals[i].json);
      g_autoptr (GError) error = NULL;

      g_assert_false (peft_config_validate (config, &error));
      g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT);
      g_test_message ("%s", error->message);
      g_assert_nonnull (strstr (error->message, refusals[i].message));
    }
}

/* Block sizes go to the nearest divisor, the smaller of two; the note says so. */
static void
test_block_size (void)
{
  static const struct
  {
    const char *fields;
    gint64 blocks, elements; /* of q_proj, 16 wide */
    const char *note;
  } cases[] = {
    { "\"oft_block_size\":8", 2, 28, NULL },
    { "\"oft_block_size\":6", 4, 6, "oft_block_size 6 does not divide 16 and became 4" },
    { "\"oft_block_size\":7", 2, 28, "oft_block_size 7 does not divide 16 and became 8" },
    { "\"oft_block_size\":32", 1, 120, "oft_block_size 32 does not divide 16 and became 16" },
    { "\"r\":3,\"oft_block_size\":0", 2, 28, "r 3 does not divide 16 and became 2" },
    { "\"r\":4,\"oft_block_size\":0,\"block_share\":true", 1, 6, NULL },
  };
  g_autofree char *folder = tiny_write (&(TinyOptions){ 0 });
  g_autoptr (PeftCore) core = tiny_load (folder);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *json = g_strdup_printf ("{\"peft_type\":\"OFT\",\"target_modules\":[\"q_proj\"],%s}", cases[i].fields);
      g_autoptr (PeftAdapter) adapter = new_adapter (core, json);
      PeftParam *param = peft_param_set_get (adapter->params, 0);

      g_assert_cmpint (param->shape[0], ==, cases[i].blocks);
      g_assert_cmpint (param->shape[1], ==, cases[i].elements);
      g_assert_cmpuint (adapter->notes->len > 0, ==, cases[i].note != NULL);
      if (cases[i].note != NULL)
        g_assert_nonnull (strstr (adapter->notes->pdata[0], cases[i].note));
      peft_adapter_set_active (adapter, FALSE, 1.0);
    }
}

/* A rotation has no half. */
static void
test_weighted_rotation (void)
{
  g_autofree char *folder = tiny_write (&(TinyOptions){ 0 });
  g_autoptr (PeftCore) core = tiny_load (folder);
  g_autoptr (PeftAdapter) adapter
      = new_adapter (core, "{\"peft_type\":\"OFT\",\"oft_block_size\":8,\"target_modules\":[\"q_proj\"]}");
  PeftSlot *slot = adapter->hook_slots->pdata[0];
  PeftSlotHook *hook = adapter->hooks->pdata[0];
  g_autofree float *weight = g_new0 (float, slot->in_features * slot->out_features);
  g_autoptr (GError) error = NULL;
  float *bias = NULL;

  g_assert_true (hook->klass->merge (hook, slot, weight, &bias, 1, &error));
  g_assert_no_error (error);
  hook->weight = 0.5;
  g_assert_false (hook->klass->merge (hook, slot, weight, &bias, 1, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Deltas/dropouts", test_dropouts);
  g_test_add_func ("/Peft/Deltas/nothing-kept", test_nothing_kept);
  g_test_add_func ("/Peft/Deltas/conv1d", test_conv1d);
  g_test_add_func ("/Peft/Deltas/refusals", test_refusals);
  g_test_add_func ("/Peft/Deltas/block-size", test_block_size);
  g_test_add_func ("/Peft/Deltas/weighted-rotation", test_weighted_rotation);
  return g_test_run ();
}
