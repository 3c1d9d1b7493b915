/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <string.h>

#include "methods/peft-common-fields.h"
#include "methods/peft-config-private.h"
#include "methods/peft-config-types.h"
#include "methods/peft-method.h"
#include "methods/peft-pattern.h"
#include "methods/peft-target.h"

/* (IA)³ (Liu et al., "Few-shot parameter-efficient fine-tuning is better and cheaper than in-context learning",
 * arXiv:2205.05638): y = l ⊙ (W x + b), or W (l ⊙ x) + b for the modules of the feed-forward part. */

/**
 * PeftIa3Config:
 *
 * The settings of (IA)³.
 *
 * The outputs of an adapted layer, bias included, are multiplied by a trained vector; for the layers that
 * `feedforward-modules` names it is the inputs. The file has the tensor `base_model.model.MODULE.ia3_l` of shape [out, 1], or
 * [1, in] for a feed-forward module. An adapter of weight w in a combination counts as 1 + w·(l − 1).
 *
 * See [Liu et al., (IA)³](https://arxiv.org/abs/2205.05638).
 *
 * Since: 1.0
 */
struct _PeftIa3Config
{
  PeftConfig parent_instance;
};

G_DEFINE_FINAL_TYPE (PeftIa3Config, peft_ia3_config, PEFT_TYPE_CONFIG)

/* clang-format off */
static const PeftField fields[] = {
  { "target_modules", PEFT_FIELD_NAMES, "null", .unordered = TRUE, .group = "targets",
    .nick = N_ ("Target modules"),
    .blurb = N_ ("The layers to adapt: a list of names, a regular expression over the whole path, "
                 "'all-linear', or null for the model's usual ones") },
  { "exclude_modules", PEFT_FIELD_NAMES, "null", .unordered = TRUE, .group = "targets",
    .nick = N_ ("Excluded modules"), .blurb = N_ ("Layers to leave alone, named in the same way") },
  { "feedforward_modules", PEFT_FIELD_NAMES, "null", .unordered = TRUE, .group = "targets",
    .nick = N_ ("Feed-forward modules"),
    .blurb = N_ ("Those of the layers whose inputs are scaled instead of their outputs") },
  { "fan_in_fan_out", PEFT_FIELD_BOOLEAN, "false", .group = "file",
    .nick = N_ ("Transposed weights"),
    .blurb = N_ ("Whether the layers store their weights as [in, out]; found out from the model") },
  { "modules_to_save", PEFT_FIELD_STRINGS | PEFT_FIELD_NULL, "null", .group = "targets",
    .nick = N_ ("Fully trained modules"),
    .blurb = N_ ("Modules that are trained and saved whole, beside the adapter") },
  { "init_ia3_weights", PEFT_FIELD_BOOLEAN, "true", .group = "advanced",
    .nick = N_ ("Start values"),
    .blurb = N_ ("Whether the vectors start as ones, without effect; otherwise they are random") },
};

/* As in the Python library peft: targets, and which of them are of the feed-forward part. */
static const PeftTargetDefault targets[] = {
  { "t5", "k v wo" },
  { "mt5", "k v wi_1" },
  { "gpt2", "c_attn mlp.c_proj" },
  { "bloom", "query_key_value mlp.dense_4h_to_h" },
  { "roberta", "key value output.dense" },
  { "opt", "q_proj k_proj fc2" },
  { "gptj", "q_proj v_proj fc_out" },
  { "gpt_neox", "query_key_value dense_4h_to_h" },
  { "gpt_neo", "q_proj v_proj c_proj" },
  { "bart", "q_proj v_proj fc2" },
  { "gpt_bigcode", "c_attn mlp.c_proj" },
  { "llama", "k_proj v_proj down_proj" },
  { "llama4", "q_proj v_proj down_proj" },
  { "mistral", "k_proj v_proj down_proj" },
  { "mixtral", "k_proj v_proj w2" },
  { "bert", "key value output.dense" },
  { "deberta-v2", "key_proj value_proj output.dense" },
  { "deberta", "in_proj output.dense" },
  { "RefinedWebModel", "query_key_value dense_4h_to_h" },
  { "RefinedWeb", "query_key_value dense_4h_to_h" },
  { "falcon", "query_key_value dense_4h_to_h" },
  { "phi", "q_proj v_proj fc2" },
  { "gemma", "q_proj v_proj down_proj" },
  { "gemma2", "q_proj v_proj down_proj" },
  { "gemma3_text", "q_proj v_proj down_proj" },
  { "qwen2", "q_proj v_proj down_proj" },
  { "qwen3", "q_proj v_proj down_proj" },
  { NULL, NULL },
};

static const PeftTargetDefault feedforward[] = {
  { "t5", "wo" },
  { "mt5", "" },
  { "gpt2", "mlp.c_proj" },
  { "bloom", "mlp.dense_4h_to_h" },
  { "roberta", "output.dense" },
  { "opt", "fc2" },
  { "gptj", "fc_out" },
  { "gpt_neox", "dense_4h_to_h" },
  { "gpt_neo", "c_proj" },
  { "bart", "fc2" },
  { "gpt_bigcode", "mlp.c_proj" },
  { "llama", "down_proj" },
  { "llama4", "down_proj" },
  { "mistral", "down_proj" },
  { "mixtral", "w2" },
  { "bert", "output.dense" },
  { "deberta-v2", "output.dense" },
  { "deberta", "output.dense" },
  { "RefinedWebModel", "dense_4h_to_h" },
  { "RefinedWeb", "dense_4h_to_h" },
  { "falcon", "dense_4h_to_h" },
  { "phi", "fc2" },
  { "gemma", "down_proj" },
  { "gemma2", "down_proj" },
  { "gemma3_text", "down_proj" },
  { "qwen2", "down_proj" },
  { "qwen3", "down_proj" },
  { NULL, NULL },
};
/* clang-format on */

static void
peft_ia3_config_class_init (PeftIa3ConfigClass *klass)
{
  peft_config_class_set_fields (PEFT_CONFIG_CLASS (klass), "IA3", fields, G_N_ELEMENTS (fields));
}

static void
peft_ia3_config_init (PeftIa3Config *self)
{
}

static gboolean
contains (const PeftJson *list, const char *name)
{
  for (gsize i = 0; i < peft_json_get_length (list); i++)
    if (g_str_equal (peft_json_get_string (peft_json_get_element (list, i)), name))
      return TRUE;
  return FALSE;
}

static gboolean
ia3_validate (PeftConfig *config, GError **error)
{
  const PeftJson *named = peft_config_get_json (config, "target_modules");
  const PeftJson *inner = peft_config_get_json (config, "feedforward_modules");

  if (peft_json_get_kind (named) != PEFT_JSON_ARRAY || peft_json_get_kind (inner) != PEFT_JSON_ARRAY)
    return TRUE;
  for (gsize i = 0; i < peft_json_get_length (inner); i++)
    {
      const char *name = peft_json_get_string (peft_json_get_element (inner, i));

      if (contains (named, name))
        continue;
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("feedforward_modules: expected names that are also in target_modules, found '%s'"),
                   name);
      return FALSE;
    }
  return TRUE;
}

/* The usual names in terms of those in target_modules, of which feedforward_modules must be a part (in peft, too, which
 * otherwise cannot read the file): a target is one of them when it ends with a usual name. */
static PeftJson *
narrow (const PeftJson *targets, const PeftJson *usual, GError **error)
{
  g_autoptr (PeftJson) names = peft_json_new_array ();

  for (gsize i = 0; i < peft_json_get_length (targets); i++)
    {
      const char *target = peft_json_get_string (peft_json_get_element (targets, i));
      g_autofree char *end = g_strconcat (".", target, NULL);
      gboolean inner = FALSE;

      for (gsize j = 0; j < peft_json_get_length (usual); j++)
        {
          const char *name = peft_json_get_string (peft_json_get_element (usual, j));

          inner = inner || g_str_has_suffix (target, name);
          if (!g_str_has_suffix (name, end))
            continue;
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                       _ ("target_modules: '%s' names feed-forward modules and others alike: expected '%s' for the "
                          "former and longer names for the others, or feedforward_modules"),
                       target, name);
          return NULL;
        }
      if (inner)
        peft_json_append (names, peft_json_new_string (target));
    }
  return g_steal_pointer (&names);
}

/* feedforward_modules = null stands for the model's usual ones. */
static gboolean
ia3_declare (PeftAdapter *adapter, GError **error)
{
  const PeftJson *targets = peft_config_get_json (adapter->config, "target_modules");
  PeftJson *names;

  if (peft_json_get_kind (peft_config_get_json (adapter->config, "feedforward_modules")) != PEFT_JSON_NULL)
    return TRUE;
  names = peft_target_defaults (feedforward, adapter->core->model_type);
  if (names == NULL)
    {
      g_set_error (
          error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
          _ ("feedforward_modules: there is no default for models of type '%s', so it must be set"),
          adapter->core->model_type);
      return FALSE;
    }
  if (peft_json_get_kind (targets) == PEFT_JSON_ARRAY)
    {
      g_autoptr (PeftJson) usual = names;

      names = narrow (targets, usual, error);
      if (names == NULL)
        return FALSE;
    }
  return peft_config_set_json (adapter->config, "feedforward_modules", names,
                               PEFT_ERROR_INVALID_ARGUMENT, error);
}

/* Names match the end of a path, wherever they begin. */
static gboolean
is_feedforward (PeftConfig *config, const char *path, gboolean *out, GError **error)
{
  const PeftJson *names = peft_config_get_json (config, "feedforward_modules");
  g_autoptr (PeftPattern) pattern = NULL;

  *out = FALSE;
  if (peft_json_get_kind (names) == PEFT_JSON_STRING)
    {
      pattern = peft_pattern_new (peft_json_get_string (names), PEFT_PATTERN_FULL, error);
      return pattern != NULL && peft_pattern_test (pattern, path, out, error);
    }
  for (gsize i = 0; !*out && i < peft_json_get_length (names); i++)
    *out = g_str_has_suffix (path, peft_json_get_string (peft_json_get_element (names, i)));
  return TRUE;
}

typedef struct
{
  PeftSlotHook parent;
  PeftParam *l;
} Ia3Hook;

/* x [rows, n] ⊙ l */
static PeftVar *
scale_columns (Ia3Hook *self, PeftTape *tape, PeftVar *x)
{
  const gint64 row[2] = { 1, peft_var_shape (x)[1] };
  g_autoptr (PeftVar) l = peft_tape_param (tape, self->l);
  g_autoptr (PeftVar) flat = peft_nn_reshape (tape, l, 2, row);
  const double weight = self->parent.weight;

  if (weight == 1)
    return peft_nn_mul (tape, x, flat);
  g_autoptr (PeftVar) part = peft_nn_scale (tape, flat, weight);
  g_autoptr (PeftTensor) rest = peft_tape_alloc (tape, tape->backend->real, 2, row);
  const PeftFillParams fill = { .x = rest->view, .value = 1 - weight };

  peft_tape_run (tape, PEFT_KERNEL_FILL, &fill);
  g_autoptr (PeftVar) constant = peft_tape_constant (tape, rest);
  g_autoptr (PeftVar) mixed = peft_nn_add (tape, part, constant);
  return peft_nn_mul (tape, x, mixed);
}

static PeftVar *
ia3_before (PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot, PeftVar *x)
{
  return scale_columns ((Ia3Hook *) hook, tape, x);
}

static PeftVar *
ia3_after (PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot, PeftVar *x, PeftVar *y)
{
  PeftVar *out = scale_columns ((Ia3Hook *) hook, tape, y);

  peft_var_unref (y);
  return out;
}

/* inputs: whether l belongs to the columns of the [out, in] weight. */
static void
merge (Ia3Hook *self, PeftSlot *slot, float *weight, float *bias, double factor, gboolean inputs)
{
  gsize rows = (gsize) (slot->conv1d ? slot->in_features : slot->out_features);
  gsize columns = (gsize) (slot->conv1d ? slot->out_features : slot->in_features);
  g_autofree float *l = peft_param_dup_values (self->l);
  gsize n = (gsize) (inputs ? slot->in_features : slot->out_features);
  gboolean by_column = inputs != slot->conv1d;

  for (gsize i = 0; i < n; i++)
    l[i] = (float) (1 + self->parent.weight * factor * (l[i] - 1));
  for (gsize i = 0; i < rows; i++)
    for (gsize j = 0; j < columns; j++)
      weight[i * columns + j] *= l[by_column ? j : i];
  for (gsize i = 0; !inputs && bias != NULL && i < n; i++)
    bias[i] *= l[i];
}

static gboolean
ia3_merge_inputs (PeftSlotHook *hook, PeftSlot *slot, float *weight, float **bias, double factor,
                  GError **error)
{
  merge ((Ia3Hook *) hook, slot, weight, *bias, factor, TRUE);
  return TRUE;
}

static gboolean
ia3_merge_outputs (PeftSlotHook *hook, PeftSlot *slot, float *weight, float **bias, double factor,
                   GError **error)
{
  merge ((Ia3Hook *) hook, slot, weight, *bias, factor, FALSE);
  return TRUE;
}

static const PeftSlotHookClass ia3_input_class = {
  .before = ia3_before,
  .merge = ia3_merge_inputs,
  .free = (void (*) (PeftSlotHook *)) g_free,
};

static const PeftSlotHookClass ia3_output_class = {
  .after = ia3_after,
  .merge = ia3_merge_outputs,
  .free = (void (*) (PeftSlotHook *)) g_free,
};

static PeftSlotHook *
ia3_attach (PeftAdapter *adapter, PeftSlot *slot, GError **error)
{
  g_autofree char *key = g_strconcat (slot->path, ".ia3_l", NULL);
  gint64 shape[2] = { slot->out_features, 1 };
  gboolean inputs;
  float *initial;
  Ia3Hook *hook;

  if (!is_feedforward (adapter->config, slot->path, &inputs, error))
    return NULL;
  if (inputs)
    {
      shape[0] = 1;
      shape[1] = slot->in_features;
    }
  if (peft_config_get_boolean (adapter->config, "init_ia3_weights"))
    {
      initial = peft_init_zeros (adapter, (gsize) (shape[0] * shape[1]));
      for (gint64 i = 0; initial != NULL && i < shape[0] * shape[1]; i++)
        initial[i] = 1;
    }
  else
    initial = peft_init_normal (adapter, key, (gsize) (shape[0] * shape[1]), 1.0);
  hook = g_new0 (Ia3Hook, 1);
  hook->parent.klass = inputs ? &ia3_input_class : &ia3_output_class;
  hook->parent.weight = 1.0;
  hook->l = peft_adapter_add_param (adapter, slot, "ia3_l", 2, shape, TRUE, initial);
  peft_config_set_json (adapter->config, "fan_in_fan_out", peft_json_new_boolean (slot->conv1d),
                        PEFT_ERROR_INVALID_ARGUMENT, NULL);
  return &hook->parent;
}

const PeftMethod peft_method_ia3 = {
  .name = "IA3",
  .display_name = N_ ("(IA)³"),
  .summary = N_ ("Multiplies what flows through chosen layers by trained vectors"),
  .good_for = N_ ("A few examples, or many adapters on one model: almost nothing is stored. Needs a high learning rate."),
  .cost = N_ ("About a hundredth of LoRA's parameters and file size, training about as fast, no cost after merging."),
  .learning_rate = 5e-3,
  .presets = {
    { { "target_modules", "null" } },
    { { "target_modules", "\"all-linear\"" } },
    { { "target_modules", "\"all-linear\"" } },
  },
  .get_config_type = peft_ia3_config_get_type,
  .target_defaults = targets,
  .validate = ia3_validate,
  .slot_kinds = 1u << PEFT_SLOT_LINEAR,
  .declare = ia3_declare,
  .attach = ia3_attach,
};
