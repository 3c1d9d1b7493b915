/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

#include "methods/peft-config-private.h"
#include "methods/peft-common-fields.h"
#include "methods/peft-config-types.h"
#include "methods/peft-method.h"

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
static const char *const supported_inits[] = { "gaussian", NULL };

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
                 "with normally distributed A, false makes both random") },
  { "rank_pattern", PEFT_FIELD_INT_MAP | PEFT_FIELD_NULL, "{}", .minimum = 1, .maximum = MAX_RANK,
    .group = "advanced", .nick = N_ ("Ranks by module"),
    .blurb = N_ ("Ranks of modules whose name ends in, or matches, the key") },
  { "alpha_pattern", PEFT_FIELD_NUMBER_MAP | PEFT_FIELD_NULL, "{}", .minimum = -1e6,
    .maximum = 1e6, .group = "advanced", .nick = N_ ("Alphas by module"),
    .blurb = N_ ("Alphas of modules whose name ends in, or matches, the key") },
  { "lora_bias", PEFT_FIELD_BOOLEAN, "false", .group = "advanced", .nick = N_ ("Bias of B"),
    .blurb = N_ ("Give B a bias of its own") },

  { "use_dora", PEFT_FIELD_BOOLEAN, "false", .unsupported = TRUE, .group = "advanced",
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
    .unsupported = TRUE, .since = "0.15", .group = "advanced", .nick = N_ ("Trained tokens"),
    .blurb = N_ ("Rows of the embedding that are trained") },
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
  { "ensure_weight_tying", PEFT_FIELD_BOOLEAN, "false", .unsupported = TRUE, .since = "0.18",
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
  else if (peft_config_get_double (config, "lora_dropout") >= 1.0)
    message = _ ("lora_dropout: 1 leaves nothing to train");
  if (message != NULL)
    g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT, message);
  return message == NULL;
}

typedef struct
{
  PeftSlotHook parent;
  PeftParam *a, *b, *bias;
  double scale;
  double embedding_scale;
  double dropout;
  guint64 stream;
} LoraHook;

static PeftVar *
lora_after (PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot, PeftVar *x, PeftVar *y)
{
  LoraHook *self = (LoraHook *) hook;
  g_autoptr (PeftVar) a = peft_tape_param (tape, self->a);
  g_autoptr (PeftVar) b = peft_tape_param (tape, self->b);
  g_autoptr (PeftVar) bias = self->bias != NULL ? peft_tape_param (tape, self->bias) : NULL;
  g_autoptr (PeftVar) dropped = peft_nn_dropout (tape, x, self->dropout, self->stream);
  PeftVar *out = peft_nn_low_rank (tape, y, dropped, a, b, bias, self->scale * hook->weight);

  peft_var_unref (y);
  return out;
}

static PeftVar *
lora_after_embedding (
    PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot, PeftTensor *ids, PeftVar *y)
{
  static const guint swapped[2] = { 1, 0 };
  LoraHook *self = (LoraHook *) hook;
  g_autoptr (PeftVar) a = peft_tape_param (tape, self->a);
  g_autoptr (PeftVar) b = peft_tape_param (tape, self->b);
  g_autoptr (PeftVar) columns = peft_nn_permute (tape, a, swapped);
  g_autoptr (PeftVar) table = peft_nn_contiguous (tape, columns); /* [rows, r] */
  g_autoptr (PeftVar) picked = peft_nn_gather_rows (tape, table, ids);
  g_autoptr (PeftVar) delta = peft_nn_matmul (tape, picked, b, FALSE, TRUE);
  g_autoptr (PeftVar) scaled
      = peft_nn_scale (tape, delta, self->scale * self->embedding_scale * hook->weight);
  PeftVar *out = peft_nn_add (tape, y, scaled);

  peft_var_unref (y);
  return out;
}

/* weight [n_rows, n_columns] += scale · left · right, left [n_rows, r], right [r, n_columns] */
static void
add_product (float *weight,
             const float *left,
             const float *right,
             gsize n_rows,
             gsize n_columns,
             gsize r,
             double scale)
{
  g_autofree float *row = g_new (float, n_columns);

  for (gsize i = 0; i < n_rows; i++)
    {
      memset (row, 0, n_columns * sizeof *row);
      for (gsize k = 0; k < r; k++)
        {
          float factor = left[i * r + k];
          const float *values = right + k * n_columns;

          for (gsize j = 0; j < n_columns; j++)
            row[j] += factor * values[j];
        }
      for (gsize j = 0; j < n_columns; j++)
        weight[i * n_columns + j] += (float) scale * row[j];
    }
}

static float *
transpose (const float *values, gsize n_rows, gsize n_columns)
{
  float *out = g_new (float, n_rows *n_columns);

  for (gsize i = 0; i < n_rows; i++)
    for (gsize j = 0; j < n_columns; j++)
      out[j * n_rows + i] = values[i * n_columns + j];
  return out;
}

static gboolean
lora_merge (
    PeftSlotHook *hook, PeftSlot *slot, float *weight, float **bias, double factor, GError **error)
{
  LoraHook *self = (LoraHook *) hook;
  gsize n_in = (gsize) slot->in_features, n_out = (gsize) slot->out_features;
  gsize r = (gsize) self->a->shape[0];
  g_autofree float *a = peft_param_dup_values (self->a);
  g_autofree float *b = peft_param_dup_values (self->b);
  double scale = self->scale * hook->weight * factor;

  if (slot->kind == PEFT_SLOT_EMBEDDING || slot->conv1d)
    {
      /* The weight is stored [in, out]: (B A)ᵀ = Aᵀ Bᵀ. */
      g_autofree float *left = transpose (a, r, n_in);
      g_autofree float *right = transpose (b, n_out, r);

      add_product (weight, left, right, n_in, n_out, r, scale);
    }
  else
    add_product (weight, b, a, n_out, n_in, r, scale);
  if (self->bias != NULL)
    {
      g_autofree float *values = peft_param_dup_values (self->bias);

      if (*bias == NULL)
        *bias = g_new0 (float, n_out);
      for (gsize i = 0; i < n_out; i++)
        (*bias)[i] += (float) (scale * values[i]);
    }
  return TRUE;
}

static const PeftSlotHookClass lora_hook_class = {
  .after = lora_after,
  .after_embedding = lora_after_embedding,
  .merge = lora_merge,
  .free = (void (*) (PeftSlotHook *)) g_free,
};

/* How A and B start. */
typedef enum
{
  INIT_DEFAULT,  /* A kaiming, B zero */
  INIT_GAUSSIAN, /* A N(0, 1/r²), B zero */
  INIT_RANDOM    /* both as a fresh layer has them */
} LoraInit;

static LoraInit
lora_get_init (PeftConfig *config)
{
  if (peft_config_get_string (config, "init_lora_weights") != NULL)
    return INIT_GAUSSIAN;
  return peft_config_get_boolean (config, "init_lora_weights") ? INIT_DEFAULT : INIT_RANDOM;
}

static void
add_linear_params (PeftAdapter *adapter, PeftSlot *slot, LoraHook *hook, gint64 r)
{
  LoraInit init = lora_get_init (adapter->config);
  const gint64 a_shape[2] = { r, slot->in_features };
  const gint64 b_shape[2] = { slot->out_features, r };
  g_autofree char *a_key = g_strconcat (slot->path, ".lora_A", NULL);
  g_autofree char *b_key = g_strconcat (slot->path, ".lora_B", NULL);
  g_autofree char *bias_key = g_strconcat (slot->path, ".lora_B.bias", NULL);
  gsize n_b = (gsize) (slot->out_features * r);

  hook->a = peft_adapter_add_param (
      adapter, slot, "lora_A.weight", 2, a_shape, TRUE,
      init == INIT_GAUSSIAN
          ? peft_init_normal (adapter, a_key, (gsize) (r * slot->in_features), 1.0 / (double) r)
          : peft_init_kaiming (adapter, a_key, r, slot->in_features));
  hook->b = peft_adapter_add_param (adapter, slot, "lora_B.weight", 2, b_shape, TRUE,
                                    init == INIT_RANDOM
                                        ? peft_init_kaiming (adapter, b_key, slot->out_features, r)
                                        : peft_init_zeros (adapter, n_b));
  if (peft_config_get_boolean (adapter->config, "lora_bias"))
    {
      /* A fresh linear layer's bias is U(-1/√in, 1/√in), and the layer's input is of size r. */
      float *values = init == INIT_RANDOM ? peft_init_uniform (
                          adapter, bias_key, (gsize) slot->out_features, 1.0 / sqrt ((double) r))
                                          : peft_init_zeros (adapter, (gsize) slot->out_features);

      hook->bias = peft_adapter_add_param (adapter, slot, "lora_B.bias", 1, &slot->out_features,
                                           FALSE, values);
    }
}

static gboolean
add_embedding_params (
    PeftAdapter *adapter, PeftSlot *slot, LoraHook *hook, gint64 r, GError **error)
{
  gboolean random = lora_get_init (adapter->config) == INIT_RANDOM;
  const gint64 a_shape[2] = { r, slot->in_features };
  const gint64 b_shape[2] = { slot->out_features, r };
  g_autofree char *a_key = g_strconcat (slot->path, ".lora_embedding_A", NULL);
  g_autofree char *b_key = g_strconcat (slot->path, ".lora_embedding_B", NULL);
  gsize n_a = (gsize) (r * slot->in_features), n_b = (gsize) (r * slot->out_features);

  if (peft_config_get_boolean (adapter->config, "lora_bias"))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("lora_bias: the embedding '%s' cannot have a bias"), slot->path);
      return FALSE;
    }
  hook->a = peft_adapter_add_param (adapter, slot, "lora_embedding_A", 2, a_shape, TRUE,
                                    random ? peft_init_normal (adapter, a_key, n_a, 1.0)
                                           : peft_init_zeros (adapter, n_a));
  hook->b = peft_adapter_add_param (adapter, slot, "lora_embedding_B", 2, b_shape, TRUE,
                                    peft_init_normal (adapter, b_key, n_b, 1.0));
  return TRUE;
}

static PeftSlotHook *
lora_attach (PeftAdapter *adapter, PeftSlot *slot, GError **error)
{
  g_autofree LoraHook *hook = NULL;
  double r, alpha;

  if (!peft_adapter_lookup_number (adapter, "r", "rank_pattern", slot, &r, error)
      || !peft_adapter_lookup_number (adapter, "lora_alpha", "alpha_pattern", slot, &alpha, error))
    return NULL;
  hook = g_new0 (LoraHook, 1);
  hook->parent.klass = &lora_hook_class;
  hook->parent.weight = 1.0;
  hook->scale = alpha / (peft_config_get_boolean (adapter->config, "use_rslora") ? sqrt (r) : r);
  hook->embedding_scale = adapter->core->dims.embedding_scale;
  hook->dropout = peft_config_get_double (adapter->config, "lora_dropout");
  hook->stream = peft_adapter_stream (adapter, slot);
  if (slot->kind == PEFT_SLOT_EMBEDDING)
    {
      if (!add_embedding_params (adapter, slot, hook, (gint64) r, error))
        return NULL;
    }
  else
    {
      add_linear_params (adapter, slot, hook, (gint64) r);
      peft_config_set_json (adapter->config, "fan_in_fan_out", peft_json_new_boolean (slot->conv1d),
                            PEFT_ERROR_INVALID_ARGUMENT, NULL);
    }
  return (PeftSlotHook *) g_steal_pointer (&hook);
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
};
