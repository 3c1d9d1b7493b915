/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

#include "methods/peft-config-private.h"
#include "methods/peft-common-fields.h"
#include "methods/peft-config-types.h"
#include "methods/peft-lora-private.h"
#include "methods/peft-token-rows.h"

/* LoRA (Hu et al., "LoRA: Low-rank adaptation of large language models", arXiv:2106.09685):
 *   y = W x + s · B A dropout (x),  s = alpha / r, or alpha / √r (Kalajdzievski, arXiv:2312.03732)
 * A [r, in], B [out, r]; of an embedding A [r, rows], B [width, r] and no dropout. */

#define MAX_RANK 65536

/**
 * PeftLoraConfig:
 *
 * The settings of LoRA.
 *
 * The weight W of an adapted layer becomes W + s·B·A with A of shape [r, in] and B of shape [out,
 * r], where s is `lora-alpha` / `r`, or `lora-alpha` / √`r` with `use-rslora`. The file has the
 * tensors `base_model.model.MODULE.lora_A.weight` and `base_model.model.MODULE.lora_B.weight`, for
 * embeddings `base_model.model.MODULE.lora_embedding_A` and
 * `base_model.model.MODULE.lora_embedding_B`.
 *
 * With `use-dora` the file also has `base_model.model.MODULE.lora_magnitude_vector`, with
 * `trainable-token-indices` `base_model.model.MODULE.token_adapter.trainable_tokens_delta`. Start
 * values that take a part out of the base weights (`pissa`, `pissa_niter_N`, `olora`) are saved as a
 * plain LoRA of twice the rank for the unchanged model.
 *
 * See [Hu et al., LoRA](https://arxiv.org/abs/2106.09685).
 *
 * Since: 1.0
 */
struct _PeftLoraConfig
{
  PeftConfig parent_instance;
};

G_DEFINE_FINAL_TYPE (PeftLoraConfig, peft_lora_config, PEFT_TYPE_CONFIG)

static const char *const biases[] = { "none", "all", "lora_only", NULL };
static const char *const inits[]
    = { "gaussian",   "eva",  "olora",   "pissa", "pissa_niter_*", "corda", "loftq",
        "orthogonal", "mica", "lora_ga", NULL };
static const char *const supported_inits[]
    = { "gaussian", "olora", "pissa", "pissa_niter_*", "orthogonal", NULL };

#define OPTIONAL_MAP (PEFT_FIELD_MAP | PEFT_FIELD_NULL)

/* clang-format off */
static const PeftField fields[] = {
  { "r", PEFT_FIELD_INT, "8", .minimum = 1, .maximum = MAX_RANK, .group = "basic",
    .nick = N_ ("Rank"),
    .blurb = N_ ("Rank of the update: higher learns more and needs more memory") },
  { "lora_alpha", PEFT_FIELD_INT | PEFT_FIELD_DOUBLE, "8", .minimum = -1e6, .maximum = 1e6,
    .group = "basic", .nick = N_ ("Alpha"),
    .blurb = N_ ("Strength of the update: it is scaled by alpha divided by the rank") },
  { "lora_dropout", PEFT_FIELD_DOUBLE, "0.0", .minimum = 0, .maximum = 1, .group = "basic",
    .nick = N_ ("Dropout"),
    .blurb = N_ ("Share of the update's inputs that is set to zero while training") },
  PEFT_FIELDS_TARGETS,
  { "fan_in_fan_out", PEFT_FIELD_BOOLEAN, "false", .group = "file",
    .nick = N_ ("Transposed weights"),
    .blurb = N_ ("Whether the layers store their weights as [in, out]; found out from the model") },
  { "bias", PEFT_FIELD_STRING, "\"none\"", .choices = biases, .group = "advanced",
    .nick = N_ ("Biases"),
    .blurb = N_ ("Which biases of the model to train: none, all, or those of the adapted layers") },
  { "use_rslora", PEFT_FIELD_BOOLEAN, "false", .group = "advanced",
    .nick = N_ ("Rank-stabilised"),
    .blurb = N_ ("Divide alpha by the square root of the rank, for high ranks") },
  { "init_lora_weights", PEFT_FIELD_BOOLEAN | PEFT_FIELD_STRING, "true", .choices = inits,
    .supported = supported_inits, .group = "advanced", .nick = N_ ("Start values"),
    .blurb = N_ ("How A and B start: true makes the adapter start without effect, 'gaussian' too "
                 "with normally distributed A, 'orthogonal' too with neither zero, false makes both random; "
                 "'pissa', 'pissa_niter_N' and 'olora' start from the weight's strongest directions") },
  { "rank_pattern", PEFT_FIELD_INT_MAP | PEFT_FIELD_NULL, "{}", .minimum = 1, .maximum = MAX_RANK,
    .group = "advanced", .nick = N_ ("Ranks by module"),
    .blurb = N_ ("Ranks of modules whose name ends in, or matches, the key") },
  { "alpha_pattern", PEFT_FIELD_NUMBER_MAP | PEFT_FIELD_NULL, "{}", .minimum = -1e6,
    .maximum = 1e6, .group = "advanced", .nick = N_ ("Alphas by module"),
    .blurb = N_ ("Alphas of modules whose name ends in, or matches, the key") },
  { "lora_bias", PEFT_FIELD_BOOLEAN, "false", .group = "advanced", .nick = N_ ("Bias of B"),
    .blurb = N_ ("Give B a bias of its own") },

  { "use_dora", PEFT_FIELD_BOOLEAN, "false", .group = "advanced",
    .nick = N_ ("DoRA"), .blurb = N_ ("Train the length of each weight row apart from its direction") },
  { "layer_replication", PEFT_FIELD_LIST | PEFT_FIELD_NULL, "null", .unsupported = TRUE,
    .group = "advanced", .nick = N_ ("Repeated layers"),
    .blurb = N_ ("Ranges of layers that build a deeper model") },
  { "loftq_config", OPTIONAL_MAP, "{}", .unsupported = TRUE, .group = "advanced",
    .nick = N_ ("LoftQ"), .blurb = N_ ("Settings of the start from a quantised model") },
  { "eva_config", OPTIONAL_MAP, "null", .unsupported = TRUE, .group = "advanced",
    .nick = N_ ("EVA"), .blurb = N_ ("Settings of the start from the layers' inputs") },
  { "megatron_config", OPTIONAL_MAP, "null", .unsupported = TRUE, .group = "advanced",
    .nick = N_ ("Megatron"), .blurb = N_ ("Settings of Megatron's parallel layers") },
  { "megatron_core", PEFT_FIELD_STRING | PEFT_FIELD_NULL, "\"megatron.core\"", .group = "file",
    .nick = N_ ("Megatron module"), .blurb = N_ ("Python module of Megatron; without meaning here") },
  { "trainable_token_indices", PEFT_FIELD_INTS | PEFT_FIELD_MAP | PEFT_FIELD_NULL, "null",
    .since = "0.15", .group = "advanced", .nick = N_ ("Trained tokens"),
    .blurb = N_ ("Rows of the embedding that are trained: a list of token numbers, or one for each of "
                 "the modules named") },
  { "corda_config", OPTIONAL_MAP, "null", .unsupported = TRUE, .since = "0.15",
    .group = "advanced", .nick = N_ ("CorDA"), .blurb = N_ ("Settings of the start from covariances") },
  { "use_qalora", PEFT_FIELD_BOOLEAN, "false", .unsupported = TRUE, .since = "0.17",
    .group = "advanced", .nick = N_ ("QALoRA"), .blurb = N_ ("Average the inputs in groups") },
  { "qalora_group_size", PEFT_FIELD_INT, "16", .minimum = 1, .maximum = 1 << 20, .since = "0.17",
    .group = "advanced", .nick = N_ ("QALoRA group"), .blurb = N_ ("Inputs in a group") },
  { "target_parameters", PEFT_FIELD_STRINGS | PEFT_FIELD_NULL, "null", .unsupported = TRUE,
    .since = "0.17", .group = "targets", .nick = N_ ("Target parameters"),
    .blurb = N_ ("Parameters to adapt that are no layer's weight, such as those of experts") },
  { "arrow_config", OPTIONAL_MAP, "null", .unsupported = TRUE, .since = "0.18",
    .group = "advanced", .nick = N_ ("Arrow"), .blurb = N_ ("Settings of routing among adapters") },
  { "alora_invocation_tokens", PEFT_FIELD_INTS | PEFT_FIELD_NULL, "null", .unsupported = TRUE,
    .since = "0.18", .group = "advanced", .nick = N_ ("Invocation tokens"),
    .blurb = N_ ("Tokens from which on the adapter acts") },
  { "ensure_weight_tying", PEFT_FIELD_BOOLEAN, "false", .since = "0.18",
    .group = "advanced", .nick = N_ ("Keep weights tied"),
    .blurb = N_ ("Give tied layers the same adapter") },
  { "lora_ga_config", OPTIONAL_MAP, "null", .unsupported = TRUE, .since = "0.19",
    .group = "advanced", .nick = N_ ("LoRA-GA"), .blurb = N_ ("Settings of the start from gradients") },
  { "use_bdlora", OPTIONAL_MAP, "null", .unsupported = TRUE, .since = "0.19", .group = "advanced",
    .nick = N_ ("BD-LoRA"), .blurb = N_ ("Settings of block-diagonal matrices") },
  { "velora_config", OPTIONAL_MAP, "null", .unsupported = TRUE, .since = "0.20",
    .group = "advanced", .nick = N_ ("VeLoRA"), .blurb = N_ ("Settings of compressed activations") },
  { "monteclora_config", OPTIONAL_MAP, "null", .unsupported = TRUE, .since = "0.20",
    .group = "advanced", .nick = N_ ("MonteCLoRA"), .blurb = N_ ("Settings of random perturbations") },
  { "kasa_config", OPTIONAL_MAP, "null", .unsupported = TRUE, .since = "0.20",
    .group = "advanced", .nick = N_ ("KaSA"), .blurb = N_ ("Settings of singular-value adaptation") },
};
/* clang-format on */

static void
peft_lora_config_class_init (PeftLoraConfigClass *klass)
{
  peft_config_class_set_fields (PEFT_CONFIG_CLASS (klass), "LORA", fields, G_N_ELEMENTS (fields));
}

static void
peft_lora_config_init (PeftLoraConfig *self)
{
}

static gboolean
lora_validate (PeftConfig *config, GError **error)
{
  const char *message = NULL;

  if (peft_config_get_boolean (config, "lora_bias")
      && peft_config_get_string (config, "init_lora_weights") != NULL)
    message = _ ("lora_bias needs init_lora_weights to be true or false");
  else if (peft_config_get_boolean (config, "lora_bias")
           && peft_config_get_boolean (config, "use_dora"))
    message = _ ("lora_bias needs use_dora to be false");
  else if (peft_config_get_double (config, "lora_dropout") >= 1.0)
    message = _ ("lora_dropout: 1 leaves nothing to train");
  if (message != NULL)
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT, message);
      return FALSE;
    }
  return peft_lora_check_init (config, error);
}

/* peft refuses to convert these when it saves; here that is known from the start. */
static gboolean
check_convertible (PeftConfig *config, GError **error)
{
  if (!peft_lora_changes_base (config) || !peft_config_get_boolean (config, "use_rslora")
      || (peft_json_get_length (peft_config_get_json (config, "rank_pattern")) == 0
          && peft_json_get_length (peft_config_get_json (config, "alpha_pattern")) == 0))
    return TRUE;
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
               _ ("init_lora_weights '%s' with use_rslora cannot be saved when there is a rank_pattern or an "
                  "alpha_pattern; leave out one of them"),
               peft_config_get_string (config, "init_lora_weights"));
  return FALSE;
}

static PeftSlotHook *
lora_attach (PeftAdapter *adapter, PeftSlot *slot, GError **error)
{
  g_autofree PeftLoraHook *hook = NULL;
  double r, alpha;

  if (!peft_adapter_lookup_number (adapter, "r", "rank_pattern", slot, &r, error)
      || !peft_adapter_lookup_number (adapter, "lora_alpha", "alpha_pattern", slot, &alpha, error)
      || (!adapter->loading && !check_convertible (adapter->config, error)))
    return NULL;
  hook = g_new0 (PeftLoraHook, 1);
  hook->parent.klass = &peft_lora_hook_class;
  hook->parent.weight = 1.0;
  hook->adapter = adapter;
  hook->slot = slot;
  hook->rank = (gint64) r;
  hook->scale = alpha / (peft_config_get_boolean (adapter->config, "use_rslora") ? sqrt (r) : r);
  hook->embedding_scale = adapter->core->dims.embedding_scale;
  hook->dropout = peft_config_get_double (adapter->config, "lora_dropout");
  hook->stream = peft_adapter_stream (adapter, slot);
  if (!peft_lora_declare (hook, error))
    return NULL;
  if (peft_config_get_boolean (adapter->config, "use_dora"))
    peft_lora_dora_declare (hook);
  if (slot->kind != PEFT_SLOT_EMBEDDING)
    peft_config_set_json (adapter->config, "fan_in_fan_out", peft_json_new_boolean (slot->conv1d),
                          PEFT_ERROR_INVALID_ARGUMENT, NULL);
  return (PeftSlotHook *) g_steal_pointer (&hook);
}

static gboolean
lora_complete (PeftAdapter *adapter, GError **error)
{
  return peft_lora_tie_head (adapter, error) && peft_token_rows_attach (adapter, error);
}

/* What depends on the base weights. */
static gboolean
lora_prepare (PeftAdapter *adapter, GError **error)
{
  const char *init = peft_config_get_string (adapter->config, "init_lora_weights");

  if (!peft_lora_tie_prepare (adapter, error))
    return FALSE;
  for (guint i = 0; i < adapter->hooks->len; i++)
    {
      PeftLoraHook *hook = adapter->hooks->pdata[i];
      g_autofree float *weight = NULL;

      if (hook->parent.klass != &peft_lora_hook_class
          || (hook->start_a == NULL && hook->magnitude == NULL))
        continue;
      weight = peft_lora_read_weight (hook, error);
      if (weight == NULL
          || (hook->start_a != NULL && !peft_lora_prepare_start (hook, weight, error))
          || (hook->magnitude != NULL && !peft_lora_dora_prepare (hook, weight, error)))
        return FALSE;
    }
  if (adapter->loading && init != NULL && g_str_has_prefix (init, "pissa_niter_"))
    peft_adapter_note (adapter,
                       g_strdup_printf (_ ("the adapter was saved with its start values ('%s') left out of the "
                                           "base model. They are computed again, but come from a randomised "
                                           "decomposition: the model is only close to the one that was trained"),
                                        init));
  return peft_token_rows_prepare (adapter, error);
}

static gboolean
lora_begin_training (PeftAdapter *adapter, guint64 total_steps, GError **error)
{
  if (!check_convertible (adapter->config, error))
    return FALSE;
  peft_lora_tie_remember (adapter);
  return TRUE;
}

static gboolean
lora_after_step (PeftAdapter *adapter, const PeftMethodStep *step, GError **error)
{
  peft_lora_tie_follow (adapter);
  return TRUE;
}

static gboolean
lora_convert (PeftAdapter *adapter, GPtrArray *out, PeftConfig **config, GError **error)
{
  return check_convertible (adapter->config, error)
         && peft_lora_convert (adapter, out, config, error);
}

const PeftMethod peft_method_lora = {
  .name = "LORA",
  .display_name = N_ ("LoRA"),
  .summary = N_ ("Adds the product of two thin matrices to the weights of chosen layers"),
  .good_for = N_ ("The place to start: nearly as good as full training on most tasks, supported by every program that "
                  "runs adapters."),
  .cost = N_ ("About 1 % of the model's parameters at rank 16, training at the speed that the other methods are "
              "measured by, no cost after merging."),
  .learning_rate = 2e-4,
  .presets = {
    { { "r", "8" }, { "lora_alpha", "16" }, { "target_modules", "\"all-linear\"" } },
    { { "r", "16" }, { "lora_alpha", "32" }, { "target_modules", "\"all-linear\"" } },
    { { "r", "64" }, { "lora_alpha", "128" }, { "target_modules", "\"all-linear\"" },
      { "lora_dropout", "0.05" } },
  },
  .get_config_type = peft_lora_config_get_type,
  .validate = lora_validate,
  .slot_kinds = (1u << PEFT_SLOT_LINEAR) | (1u << PEFT_SLOT_EMBEDDING),
  .attach = lora_attach,
  .complete = lora_complete,
  .prepare = lora_prepare,
  .begin_training = lora_begin_training,
  .after_step = lora_after_step,
  .convert = lora_convert,
};
