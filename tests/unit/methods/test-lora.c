/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include <string.h>

#include "base/peft-atomic-file.h"
#include "formats/peft-safetensors.h"
#include "methods/peft-config-private.h"
#include "tiny-model.h"

/* LoRA on a tiny model, on the float64 reference backend. */

typedef struct
{
  const char *name;
  TinyOptions model;
  const char *config;
  guint n_tensors;
  const char *keys[3]; /* some of the keys that the file must have, with their shapes */
} Variant;

#define ALL "[\"q_proj\",\"k_proj\",\"v_proj\",\"o_proj\",\"gate_proj\",\"up_proj\",\"down_proj\"]"
#define PREFIX "base_model.model.model.layers."

static const Variant variants[] = {
  { "defaults",
    { 0 },
    "\"r\":4",
    8,
    { PREFIX "0.self_attn.q_proj.lora_A.weight [4, 16]",
      PREFIX "1.self_attn.v_proj.lora_B.weight [8, 4]" } },
  { "all-linear",
    { 0 },
    "\"r\":2,\"lora_alpha\":6,\"target_modules\":\"all-linear\"",
    28,
    { PREFIX "0.mlp.down_proj.lora_A.weight [2, 24]" } },
  { "regex",
    { 0 },
    "\"target_modules\":\".*layers.1.*(q|up)_proj\"",
    4,
    { PREFIX "1.mlp.up_proj.lora_B.weight [24, 8]" } },
  { "rslora",
    { 0 },
    "\"r\":4,\"use_rslora\":true,\"lora_alpha\":3.5,\"target_modules\":" ALL,
    28,
    { NULL } },
  { "patterns",
    { 0 },
    "\"r\":4,\"rank_pattern\":{\"layers.1.*q_proj\":2,\"q_proj\":3},\"alpha_pattern\":{\"v_proj\":"
    "20}",
    8,
    { PREFIX "0.self_attn.q_proj.lora_A.weight [3, 16]",
      PREFIX "1.self_attn.q_proj.lora_A.weight [2, 16]",
      PREFIX "1.self_attn.v_proj.lora_A.weight [4, 16]" } },
  { "embedding",
    { 0 },
    "\"r\":4,\"target_modules\":[\"embed_tokens\",\"q_proj\"]",
    7,
    { "base_model.model.model.embed_tokens.lora_embedding_A [4, 32]",
      "base_model.model.model.embed_tokens.lora_embedding_B [16, 4]",
      "base_model.model.model.embed_tokens.base_layer.weight [32, 16]" } },
  { "head",
    { 0 },
    "\"r\":4,\"target_modules\":[\"lm_head\",\"embed_tokens\"]",
    6,
    { "base_model.model.lm_head.lora_A.weight [4, 16]",
      "base_model.model.lm_head.lora_B.weight [32, 4]",
      "base_model.model.lm_head.base_layer.weight [32, 16]" } },
  { "tied-head",
    { .tied = TRUE },
    "\"r\":4,\"target_modules\":[\"lm_head\",\"embed_tokens\"]",
    6,
    { "base_model.model.lm_head.base_layer.weight [32, 16]" } },
  /* peft looks for the bare name in the list only. */
  { "embedding-by-path",
    { 0 },
    "\"r\":4,\"target_modules\":[\"model.embed_tokens\"]",
    2,
    { NULL } },
  { "embedding-by-regex", { 0 }, "\"r\":4,\"target_modules\":\".*embed_tokens\"", 3, { NULL } },
  { "saved-modules",
    { 0 },
    "\"r\":4,\"modules_to_save\":[\"lm_head\",\"1.mlp\",\"model.norm\"]",
    13,
    { "base_model.model.lm_head.weight [32, 16]", PREFIX "1.mlp.gate_proj.weight [24, 16]",
      "base_model.model.model.norm.weight [16]" } },
  { "saved-embedding-tied",
    { .tied = TRUE },
    "\"r\":4,\"modules_to_save\":[\"embed_tokens\"]",
    9,
    { "base_model.model.model.embed_tokens.weight [32, 16]" } },
  { "bias-all",
    { .biases = TRUE },
    "\"r\":4,\"bias\":\"all\"",
    14,
    { PREFIX "0.self_attn.q_proj.base_layer.bias [16]", PREFIX "0.self_attn.k_proj.bias [8]" } },
  { "bias-lora-only",
    { .biases = TRUE },
    "\"r\":4,\"bias\":\"lora_only\"",
    12,
    { PREFIX "0.self_attn.v_proj.base_layer.bias [8]" } },
  { "lora-bias",
    { .biases = TRUE },
    "\"r\":4,\"lora_bias\":true",
    12,
    { PREFIX "0.self_attn.v_proj.lora_B.bias [8]" } },
  { "layers",
    { 0 },
    "\"layers_to_transform\":[1],\"layers_pattern\":\"layers\",\"target_modules\":[\"q_proj\"]",
    2,
    { PREFIX "1.self_attn.q_proj.lora_A.weight [8, 16]" } },
  { "excluded", { 0 }, "\"exclude_modules\":[\"0.self_attn.q_proj\"]", 6, { NULL } },
  { "dora",
    { .biases = TRUE },
    "\"r\":4,\"use_dora\":true,\"target_modules\":[\"q_proj\",\"embed_tokens\"]",
    10,
    { PREFIX "0.self_attn.q_proj.lora_magnitude_vector [16]",
      "base_model.model.model.embed_tokens.lora_magnitude_vector [16]" } },
  { "orthogonal", { 0 }, "\"r\":4,\"init_lora_weights\":\"orthogonal\"", 8, { NULL } },
  { "tokens",
    { 0 },
    "\"trainable_token_indices\":[3,31,7]",
    9,
    { "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta [3, 16]" } },
  { "tokens-tied",
    { .tied = TRUE },
    "\"trainable_token_indices\":{\"embed_tokens\":[3,31],\"lm_head\":[3,31]}",
    9,
    { "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta [2, 16]" } },
  { "tied-saved",
    { .tied = TRUE },
    "\"ensure_weight_tying\":true,\"modules_to_save\":[\"lm_head\"]",
    10,
    { "base_model.model.model.embed_tokens.weight [32, 16]", "base_model.model.lm_head.weight [32, 16]" } },
};

static char *
temporary_folder (void)
{
  g_autoptr (GError) error = NULL;
  char *folder = g_dir_make_tmp ("peft-lora-XXXXXX", &error);

  g_assert_no_error (error);
  return folder;
}

static void
check_manifest (const char *folder, const Variant *variant)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_build_filename (folder, "adapter_model.safetensors", NULL);
  g_autoptr (PeftSafetensors) file = peft_safetensors_open (path, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (peft_safetensors_get_n_tensors (file), ==, variant->n_tensors);
  g_assert_cmpstr (peft_safetensors_get_metadata (file, "format"), ==, "pt");
  for (guint i = 0; i < G_N_ELEMENTS (variant->keys) && variant->keys[i] != NULL; i++)
    {
      g_auto (GStrv) parts = g_strsplit (variant->keys[i], " ", 2);
      const PeftTensorEntry *entry = peft_safetensors_lookup (file, parts[0]);
      g_autofree char *shape = NULL;

      g_test_message ("%s", variant->keys[i]);
      g_assert_nonnull (entry);
      shape = peft_tensor_shape_to_string (entry->shape, entry->n_dims);
      g_assert_cmpstr (shape, ==, parts[1]);
      g_assert_cmpint (entry->dtype, ==, PEFT_DTYPE_F32);
    }
}

static double *
merged_logits (PeftCore *core, PeftAdapter *adapter)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *folder = temporary_folder ();
  g_autoptr (GPtrArray) adapters = g_ptr_array_new ();
  g_autoptr (PeftCore) merged = NULL;
  double *logits;

  g_ptr_array_add (adapters, adapter);
  g_assert_true (peft_core_save_merged (core, adapters, folder, PEFT_N_DTYPES, NULL, &error));
  g_assert_no_error (error);
  merged = tiny_load (folder);
  logits = tiny_logits (merged, FALSE);
  peft_remove_tree (folder, NULL);
  return logits;
}

/* Attach, save, load, merge: all give the same logits, and taking the adapter out the model's own.
 */
static void
test_variant (gconstpointer data)
{
  const Variant *variant = data;
  g_autoptr (GError) error = NULL;
  g_autofree char *model = tiny_write (&variant->model);
  g_autofree char *folder = temporary_folder ();
  g_autoptr (PeftCore) core = tiny_load (model);
  g_autofree double *plain = tiny_logits (core, FALSE);
  g_autoptr (PeftAdapter) adapter = tiny_adapter (core, variant->config);
  g_autoptr (PeftAdapter) loaded = NULL;
  g_autofree double *adapted = NULL;
  g_autofree double *removed = NULL;
  g_autofree double *again = NULL;
  g_autofree double *merged = NULL;

  tiny_randomise (adapter, 0.3);
  peft_adapter_set_active (adapter, TRUE, 1.0);
  adapted = tiny_logits (core, FALSE);
  g_assert_cmpfloat (tiny_largest_difference (plain, adapted, TINY_LOGITS), >, 0.1);
  peft_adapter_set_active (adapter, FALSE, 1.0);
  removed = tiny_logits (core, FALSE);
  g_assert_cmpmem (plain, TINY_LOGITS * sizeof (double), removed, TINY_LOGITS * sizeof (double));

  g_assert_true (peft_adapter_save (adapter, folder, &error));
  g_assert_no_error (error);
  check_manifest (folder, variant);
  loaded = peft_adapter_load (core, folder, "other", &error);
  g_assert_no_error (error);
  g_assert_cmpuint (loaded->notes->len, ==, 0);
  peft_adapter_set_active (loaded, TRUE, 1.0);
  again = tiny_logits (core, FALSE);
  g_assert_cmpmem (again, TINY_LOGITS * sizeof (double), adapted, TINY_LOGITS * sizeof (double));
  peft_adapter_set_active (loaded, FALSE, 1.0);

  /* Merged weights are rounded to float32: 6e-8 relative a weight, over 5 products in a row. */
  merged = merged_logits (core, adapter);
  g_assert_cmpfloat (tiny_largest_difference (merged, adapted, TINY_LOGITS), <,
                     1e-5 * tiny_largest (adapted, TINY_LOGITS));
  peft_remove_tree (folder, NULL);
  peft_remove_tree (model, NULL);
}

/* A fresh adapter changes nothing, but for init_lora_weights = false. */
static void
test_init (void)
{
  static const struct
  {
    const char *config;
    gboolean identity;
    double tolerance; /* 1e-6: norms and orthogonal factors are float32 */
  } inits[] = {
    { "\"target_modules\":[\"q_proj\",\"embed_tokens\"]", TRUE, 1e-12 },
    { "\"target_modules\":[\"q_proj\",\"embed_tokens\"],\"init_lora_weights\":\"gaussian\"", TRUE, 1e-12 },
    { "\"target_modules\":[\"q_proj\"],\"lora_bias\":true", TRUE, 1e-12 },
    { "\"r\":4,\"init_lora_weights\":\"pissa\"", TRUE, 1e-12 },
    { "\"r\":4,\"init_lora_weights\":\"pissa_niter_2\",\"use_rslora\":true", TRUE, 1e-12 },
    { "\"r\":4,\"init_lora_weights\":\"olora\",\"use_dora\":true", TRUE, 1e-6 },
    { "\"r\":4,\"init_lora_weights\":\"orthogonal\"", TRUE, 1e-6 },
    { "\"target_modules\":[\"q_proj\",\"embed_tokens\"],\"use_dora\":true", TRUE, 1e-6 },
    { "\"trainable_token_indices\":[1,2]", TRUE, 1e-12 },
    { "\"target_modules\":[\"q_proj\"],\"modules_to_save\":[\"lm_head\"]", TRUE, 1e-12 },
    { "\"target_modules\":[\"q_proj\",\"embed_tokens\"],\"init_lora_weights\":false", FALSE, 0 },
  };
  const TinyOptions options = { .biases = TRUE };
  g_autofree char *model = tiny_write (&options);
  g_autoptr (PeftCore) core = tiny_load (model);
  g_autofree double *plain = tiny_logits (core, FALSE);

  for (guint i = 0; i < G_N_ELEMENTS (inits); i++)
    {
      g_autoptr (PeftAdapter) adapter = tiny_adapter (core, inits[i].config);
      g_autofree double *logits = NULL;

      peft_adapter_set_active (adapter, TRUE, 1.0);
      logits = tiny_logits (core, FALSE);
      g_test_message ("%s", inits[i].config);
      if (inits[i].identity)
        g_assert_cmpfloat (tiny_largest_difference (plain, logits, TINY_LOGITS), <, inits[i].tolerance);
      else
        g_assert_cmpfloat (tiny_largest_difference (plain, logits, TINY_LOGITS), >, 1e-3);
    }
  peft_remove_tree (model, NULL);
}

static double
standard_deviation (PeftParam *param, double *largest)
{
  gsize n = (gsize) (param->shape[0] * param->shape[1]);
  g_autofree float *values = g_new (float, n);
  double sum = 0.0;

  *largest = 0.0;
  peft_param_download (param, values);
  for (gsize i = 0; i < n; i++)
    {
      sum += (double) values[i] * values[i];
      *largest = fmax (*largest, fabs (values[i]));
    }
  return sqrt (sum / (double) n);
}

static void
test_init_distribution (void)
{
  const TinyOptions options = { 0 };
  const char *key = PREFIX "0.self_attn.q_proj.lora_A.weight";
  g_autofree char *model = tiny_write (&options);
  g_autoptr (PeftCore) core = tiny_load (model);
  g_autoptr (PeftAdapter) kaiming = tiny_adapter (core, "\"r\":64");
  g_autoptr (PeftAdapter) normal
      = tiny_adapter (core, "\"r\":64,\"init_lora_weights\":\"gaussian\"");
  g_autoptr (PeftAdapter) same = tiny_adapter (core, "\"r\":64");
  double largest, other;
  double std = standard_deviation (peft_param_set_find (kaiming->params, key), &largest);

  /* U (-1/4, 1/4); 1024 values: the standard error of the deviation is about 2 %. */
  g_assert_cmpfloat (largest, <=, 0.25);
  g_assert_cmpfloat_with_epsilon (std, 0.25 / sqrt (3.0), 0.1 * 0.25 / sqrt (3.0));
  std = standard_deviation (peft_param_set_find (normal->params, key), &largest);
  g_assert_cmpfloat_with_epsilon (std, 1.0 / 64.0, 0.1 / 64.0);
  std = standard_deviation (peft_param_set_find (kaiming->params, key), &largest);
  g_assert_cmpfloat (std, ==, standard_deviation (peft_param_set_find (same->params, key), &other));
  peft_remove_tree (model, NULL);
}

static void
test_weight_and_combination (void)
{
  const TinyOptions options = { 0 };
  g_autofree char *model = tiny_write (&options);
  g_autoptr (PeftCore) core = tiny_load (model);
  g_autofree double *plain = tiny_logits (core, FALSE);
  g_autoptr (PeftAdapter) a
      = tiny_adapter (core, "\"target_modules\":[\"lm_head\"],\"lora_alpha\":2");
  g_autoptr (PeftAdapter) b
      = tiny_adapter (core, "\"target_modules\":[\"lm_head\"],\"lora_alpha\":4");
  g_autofree double *one = NULL;
  g_autofree double *half = NULL;
  g_autofree double *both = NULL;

  tiny_randomise (a, 0.5);
  tiny_randomise (b, 0.5);
  peft_adapter_set_active (a, TRUE, 1.0);
  one = tiny_logits (core, FALSE);
  peft_adapter_set_active (a, TRUE, 0.5);
  half = tiny_logits (core, FALSE);
  peft_adapter_set_active (a, TRUE, 1.0);
  peft_adapter_set_active (b, TRUE, 0.5);
  both = tiny_logits (core, FALSE);
  /* The head is linear, and b at half weight is a. */
  for (gsize i = 0; i < TINY_LOGITS; i++)
    {
      g_assert_cmpfloat_with_epsilon (half[i] - plain[i], 0.5 * (one[i] - plain[i]), 1e-9);
      g_assert_cmpfloat_with_epsilon (both[i] - plain[i], 2.0 * (one[i] - plain[i]), 1e-9);
    }
  peft_remove_tree (model, NULL);
}

/* Half a DoRA adapter makes half the difference of a whole one in a layer after which all is linear, merged as well. */
static void
test_dora_weight (void)
{
  const TinyOptions options = { 0 };
  g_autofree char *model = tiny_write (&options);
  g_autoptr (PeftCore) core = tiny_load (model);
  g_autofree double *plain = tiny_logits (core, FALSE);
  g_autoptr (PeftAdapter) adapter
      = tiny_adapter (core, "\"target_modules\":[\"lm_head\"],\"use_dora\":true");
  g_autofree double *one = NULL;
  g_autofree double *half = NULL;
  g_autofree double *merged = NULL;

  tiny_randomise (adapter, 0.5);
  peft_adapter_set_active (adapter, TRUE, 1.0);
  one = tiny_logits (core, FALSE);
  peft_adapter_set_active (adapter, TRUE, 0.5);
  half = tiny_logits (core, FALSE);
  merged = merged_logits (core, adapter);
  g_assert_cmpfloat (tiny_largest_difference (plain, one, TINY_LOGITS), >, 0.1);
  for (gsize i = 0; i < TINY_LOGITS; i++)
    g_assert_cmpfloat_with_epsilon (half[i] - plain[i], 0.5 * (one[i] - plain[i]), 1e-9);
  g_assert_cmpfloat (tiny_largest_difference (merged, half, TINY_LOGITS), <,
                     1e-5 * tiny_largest (half, TINY_LOGITS));
  peft_remove_tree (model, NULL);
}

static void
test_dropout (void)
{
  const TinyOptions options = { 0 };
  g_autofree char *model = tiny_write (&options);
  g_autoptr (PeftCore) core = tiny_load (model);
  g_autoptr (PeftAdapter) adapter = tiny_adapter (core, "\"lora_dropout\":0.5");
  g_autofree double *still = NULL;
  g_autofree double *once = NULL;
  g_autofree double *twice = NULL;

  tiny_randomise (adapter, 0.3);
  peft_adapter_set_active (adapter, TRUE, 1.0);
  still = tiny_logits (core, FALSE);
  once = tiny_logits (core, TRUE);
  twice = tiny_logits (core, TRUE);
  g_assert_cmpfloat (tiny_largest_difference (still, once, TINY_LOGITS), >, 1e-3);
  g_assert_cmpmem (once, TINY_LOGITS * sizeof (double), twice, TINY_LOGITS * sizeof (double));
  peft_remove_tree (model, NULL);
}

/* The gradient of every tensor along a random direction against central differences in float64. */
static void
check_gradient (PeftCore *core, PeftParam *param)
{
  gsize n = 1;
  g_autofree float *values = NULL;
  g_autofree float *moved = NULL;
  g_autofree double *gradient = NULL;
  double step = 1e-3, along = 0.0, plus, minus;

  for (guint i = 0; i < param->n_dims; i++)
    n *= (gsize) param->shape[i];
  values = g_new (float, n);
  moved = g_new (float, n);
  gradient = g_new (double, n);
  peft_param_download (param, values);
  peft_tensor_download_f64 (param->grad, gradient);
  /* Values are stored as float32 here: the step that was really made counts. */
  for (gsize i = 0; i < n; i++)
    {
      float direction = (float) (step * sin (1.7 * (double) i + 0.5));
      moved[i] = values[i] + direction;
      along += gradient[i] * ((double) moved[i] - (double) values[i]);
    }
  peft_param_upload (param, moved);
  plus = tiny_loss (core, FALSE);
  for (gsize i = 0; i < n; i++)
    moved[i] = (float) (2.0 * (double) values[i] - (double) moved[i]);
  peft_param_upload (param, moved);
  minus = tiny_loss (core, FALSE);
  peft_param_upload (param, values);
  g_test_message ("%s: %g, numeric %g", param->key, along, (plus - minus) / 2.0);
  /* Third-order terms of a step of 1e-3 and values rounded to float32 leave about 1e-5 relative. */
  g_assert_cmpfloat (fabs (along), >, 1e-6);
  g_assert_cmpfloat (fabs (along - (plus - minus) / 2.0), <, 1e-4 * fabs (along));
}

static void
test_gradients (void)
{
  const TinyOptions options = { .biases = TRUE };
  g_autofree char *model = tiny_write (&options);
  g_autoptr (PeftCore) core = tiny_load (model);
  g_autoptr (PeftAdapter) adapter
      = tiny_adapter (core, "\"r\":3,\"bias\":\"all\",\"modules_to_save\":[\"norm\",\"lm_head\"],"
                            "\"target_modules\":[\"embed_tokens\",\"q_proj\",\"down_proj\"]");
  g_autoptr (GError) error = NULL;

  tiny_randomise (adapter, 0.3);
  peft_adapter_set_active (adapter, TRUE, 1.0);
  g_assert_true (peft_param_set_begin_training (adapter->params, 0, 0, &error));
  peft_param_set_zero_grad (adapter->params);
  tiny_loss (core, TRUE);
  for (guint i = 0; i < peft_param_set_get_n (adapter->params); i++)
    check_gradient (core, peft_param_set_get (adapter->params, i));
  peft_remove_tree (model, NULL);
}

static void
test_no_match (void)
{
  static const struct
  {
    const char *config;
    const char *words[2];
  } cases[] = {
    { "\"target_modules\":[\"q_prj\"]", { "q_prj", "closest names: q_proj, k_proj" } },
    { "\"target_modules\":[\"mlp\"]", { "mlp", "made of others" } },
    { "\"target_modules\":[\"norm\"]", { "model.norm", "cannot adapt" } },
    { "\"target_modules\":[\"q_proj\"],\"exclude_modules\":\".*\"",
      { "q_proj", "exclude_modules" } },
    { "\"target_modules\":[\"q_proj\"],\"layers_to_transform\":9",
      { "q_proj", "layers_to_transform" } },
    { "\"target_modules\":[]", { "target_modules", "matches no module" } },
    { "\"target_modules\":[\"embed_tokens\"],\"lora_bias\":true", { "lora_bias", "embed_tokens" } },
    { "\"modules_to_save\":[\"proj\"]", { "modules_to_save and target_modules", "q_proj" } },
    { "\"init_lora_weights\":\"orthogonal\",\"r\":3", { "even rank", "found 3" } },
    { "\"init_lora_weights\":\"olora\",\"r\":17", { "smaller side", "olora" } },
    { "\"init_lora_weights\":\"pissa\",\"use_rslora\":true,\"alpha_pattern\":{\"q\":2}",
      { "cannot be saved", "alpha_pattern" } },
    { "\"trainable_token_indices\":[32]", { "32 is no row", "0 to 31" } },
    { "\"trainable_token_indices\":[4,4]", { "row 4", "twice" } },
    { "\"trainable_token_indices\":{\"q_proj\":[4]}", { "q_proj", "neither the embedding" } },
    { "\"trainable_token_indices\":[4],\"modules_to_save\":[\"embed_tokens\"]",
      { "trainable_token_indices", "modules_to_save" } },
  };
  const TinyOptions options = { 0 };
  g_autofree char *model = tiny_write (&options);
  g_autoptr (PeftCore) core = tiny_load (model);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (PeftConfig) config = tiny_config (cases[i].config);

      g_assert_null (peft_adapter_new (core, config, "default", 1, &error));
      g_test_message ("%s", error->message);
      g_assert_nonnull (strstr (error->message, cases[i].words[0]));
      g_assert_nonnull (strstr (error->message, cases[i].words[1]));
    }
  peft_remove_tree (model, NULL);
}

/* What the written configuration says after the defaults were resolved. */
static void
test_resolved_config (void)
{
  const TinyOptions options = { 0 };
  g_autofree char *model = tiny_write (&options);
  g_autoptr (PeftCore) core = tiny_load (model);
  g_autoptr (PeftAdapter) defaults = tiny_adapter (core, "");
  g_autoptr (PeftAdapter) linear = tiny_adapter (core, "\"target_modules\":\"All-Linear\"");
  g_autoptr (PeftAdapter) partly = tiny_adapter (
      core, "\"target_modules\":[\"q_proj\",\"typo\"],\"fan_in_fan_out\":true,\"strange\":1");
  g_autofree char *targets = peft_config_get_field (defaults->config, "target_modules");
  g_autofree char *linear_targets = peft_config_get_field (linear->config, "target_modules");
  g_autofree char *task = peft_config_get_field (defaults->config, "task_type");

  g_assert_cmpstr (targets, ==, "[\"q_proj\", \"v_proj\"]");
  g_assert_cmpstr (
      linear_targets, ==,
      "[\"down_proj\", \"gate_proj\", \"k_proj\", \"o_proj\", \"q_proj\", \"up_proj\", "
      "\"v_proj\"]");
  g_assert_cmpstr (task, ==, "\"CAUSAL_LM\"");
  g_assert_cmpstr (peft_config_get_string (defaults->config, "base_model_name_or_path"), ==, model);
  g_assert_false (peft_config_get_boolean (partly->config, "fan_in_fan_out"));
  g_assert_cmpuint (partly->notes->len, ==, 2);
  g_assert_nonnull (strstr (partly->notes->pdata[0], "typo"));
  g_assert_nonnull (strstr (partly->notes->pdata[1], "strange"));
  peft_remove_tree (model, NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (variants); i++)
    {
      g_autofree char *path = g_strdup_printf ("/Peft/Lora/variant/%s", variants[i].name);
      g_test_add_data_func (path, &variants[i], test_variant);
    }
  g_test_add_func ("/Peft/Lora/init", test_init);
  g_test_add_func ("/Peft/Lora/init-distribution", test_init_distribution);
  g_test_add_func ("/Peft/Lora/combination", test_weight_and_combination);
  g_test_add_func ("/Peft/Lora/dora-weight", test_dora_weight);
  g_test_add_func ("/Peft/Lora/dropout", test_dropout);
  g_test_add_func ("/Peft/Lora/gradients", test_gradients);
  g_test_add_func ("/Peft/Lora/no-match", test_no_match);
  g_test_add_func ("/Peft/Lora/resolved-config", test_resolved_config);
  return g_test_run ();
}
