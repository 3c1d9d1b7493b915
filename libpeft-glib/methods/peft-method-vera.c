/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <math.h>
#include <string.h>

#include "base/peft-random.h"
#include "methods/peft-common-fields.h"
#include "methods/peft-config-private.h"
#include "methods/peft-config-types.h"
#include "methods/peft-method.h"

/* VeRA (Kopiczko et al., "VeRA: vector-based random matrix adaptation", arXiv:2310.11454): y = W x + λb ⊙ B (λd ⊙ A x) with random
 * matrices A and B that are not trained and that all layers share. */

#define MAX_R 65536
#define KEY_A "base_model.vera_A"
#define KEY_B "base_model.vera_B"

/**
 * PeftVeraConfig:
 *
 * The settings of VeRA.
 *
 * To the output of an adapted layer the product λb ⊙ B (λd ⊙ A x) is added, in which only the two vectors are trained. The
 * matrices are random, drawn from `projection-prng-key`, and shared by all layers: each uses as many columns of A and rows of B as
 * it has inputs and outputs. The file has the tensors `base_model.model.MODULE.vera_lambda_b` of shape [out] and
 * `base_model.model.MODULE.vera_lambda_d` of shape [r], and once `base_model.vera_A` of shape [r, largest in] and
 * `base_model.vera_B` of shape [largest out, r].
 *
 * See [Kopiczko et al., VeRA](https://arxiv.org/abs/2310.11454).
 *
 * Since: 1.0
 */
struct _PeftVeraConfig
{
  PeftConfig parent_instance;
};

G_DEFINE_FINAL_TYPE (PeftVeraConfig, peft_vera_config, PEFT_TYPE_CONFIG)

static const char *const biases[] = { "none", "all", "vera_only", NULL };

/* clang-format off */
/* peft has no exclude_modules for it. */
static const PeftField fields[] = {
  { "r", PEFT_FIELD_INT, "256", .minimum = 1, .maximum = MAX_R, .group = "basic",
    .nick = N_ ("Rank"),
    .blurb = N_ ("Rows of the random matrix: many more than LoRA's rank, since each costs only one trained value a layer") },
  { "d_initial", PEFT_FIELD_DOUBLE, "0.1", .group = "basic", .nick = N_ ("Start value"),
    .blurb = N_ ("What the scale of every row starts with; 0.1 or less is usual") },
  { "target_modules", PEFT_FIELD_NAMES, "null", .unordered = TRUE, .group = "targets",
    .nick = N_ ("Target modules"),
    .blurb = N_ ("The layers to adapt: a list of names, a regular expression over the whole path, "
                 "'all-linear', or null for the model's usual ones") },
  { "layers_to_transform", PEFT_FIELD_INT | PEFT_FIELD_INTS | PEFT_FIELD_NULL, "null",
    .group = "targets", .nick = N_ ("Layer numbers"),
    .blurb = N_ ("Numbers of the layers to adapt, from 0; null for all") },
  { "layers_pattern", PEFT_FIELD_NAMES, "null", .group = "targets", .nick = N_ ("Layer list"),
    .blurb = N_ ("Name of the module that holds the numbered layers") },
  { "modules_to_save", PEFT_FIELD_STRINGS | PEFT_FIELD_NULL, "null", .group = "targets",
    .nick = N_ ("Fully trained modules"),
    .blurb = N_ ("Modules that are trained and saved whole, beside the adapter") },
  { "vera_dropout", PEFT_FIELD_DOUBLE, "0.0", .minimum = 0, .maximum = 1, .group = "advanced",
    .nick = N_ ("Dropout"),
    .blurb = N_ ("Share of a layer's inputs to leave out of the adapter while training") },
  { "projection_prng_key", PEFT_FIELD_INT, "0", .group = "advanced", .nick = N_ ("Seed of the matrices"),
    .blurb = N_ ("What the random matrices are drawn from") },
  { "save_projection", PEFT_FIELD_BOOLEAN, "true", .group = "file", .nick = N_ ("Matrices in the file"),
    .blurb = N_ ("Whether the file has the random matrices; it must") },
  { "fan_in_fan_out", PEFT_FIELD_BOOLEAN, "false", .group = "file",
    .nick = N_ ("Transposed weights"),
    .blurb = N_ ("Whether the layers store their weights as [in, out]; found out from the model") },
  { "bias", PEFT_FIELD_STRING, "\"none\"", .choices = biases, .group = "advanced",
    .nick = N_ ("Biases"),
    .blurb = N_ ("Which biases of the model to train: none, all, or those of the adapted layers") },
  { "init_weights", PEFT_FIELD_BOOLEAN, "true", .group = "advanced", .nick = N_ ("Start values"),
    .blurb = N_ ("Whether the adapter starts without effect; otherwise with random scales") },
};

/* As in the Python library peft: LoRA's, but for phi. */
static const PeftTargetDefault targets[] = {
  { "t5", "q v" },
  { "mt5", "q v" },
  { "bart", "q_proj v_proj" },
  { "gpt2", "c_attn" },
  { "bloom", "query_key_value" },
  { "blip-2", "q v q_proj v_proj" },
  { "opt", "q_proj v_proj" },
  { "gptj", "q_proj v_proj" },
  { "gpt_neox", "query_key_value" },
  { "gpt_neo", "q_proj v_proj" },
  { "bert", "query value" },
  { "roberta", "query value" },
  { "xlm-roberta", "query value" },
  { "electra", "query value" },
  { "deberta-v2", "query_proj value_proj" },
  { "deberta", "in_proj" },
  { "layoutlm", "query value" },
  { "llama", "q_proj v_proj" },
  { "llama4", "q_proj v_proj" },
  { "chatglm", "query_key_value" },
  { "gpt_bigcode", "c_attn" },
  { "mpt", "Wqkv" },
  { "RefinedWebModel", "query_key_value" },
  { "RefinedWeb", "query_key_value" },
  { "falcon", "query_key_value" },
  { "btlm", "c_proj c_attn" },
  { "codegen", "qkv_proj" },
  { "mistral", "q_proj v_proj" },
  { "mixtral", "q_proj v_proj" },
  { "stablelm", "q_proj v_proj" },
  { "phi", "q_proj v_proj" },
  { "gemma", "q_proj v_proj" },
  { "gemma2", "q_proj v_proj" },
  { "gemma3_text", "q_proj v_proj" },
  { "gemma4", "~.*language_model\\..*\\.(q_proj|v_proj)" },
  { "qwen2", "q_proj v_proj" },
  { "qwen3", "q_proj v_proj" },
  { "nemotron_h", "q_proj k_proj v_proj o_proj" },
  { "rwkv", "key value receptance output" },
  { "rwkv7", "r_proj k_proj v_proj o_proj key value" },
  { NULL, NULL },
};
/* clang-format on */

static void
peft_vera_config_class_init (PeftVeraConfigClass *klass)
{
  peft_config_class_set_fields (PEFT_CONFIG_CLASS (klass), "VERA", fields, G_N_ELEMENTS (fields));
}

static void
peft_vera_config_init (PeftVeraConfig *self)
{
}

static gboolean
vera_validate (PeftConfig *config, GError **error)
{
  if (!peft_config_get_boolean (config, "save_projection"))
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                           _ ("save_projection: expected true, found false: without its random matrices an adapter needs "
                              "PyTorch's random number generator, which draws others than this library; save it again "
                              "with save_projection set to true"));
      return FALSE;
    }
  if (peft_config_get_double (config, "vera_dropout") >= 1.0)
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                           _ ("vera_dropout: 1 leaves nothing to train"));
      return FALSE;
    }
  return TRUE;
}

typedef struct
{
  PeftSlotHook parent;
  PeftParam *lambda_b, *lambda_d; /* [out], [r] */
  PeftParam *a, *b;               /* of all slots, at least [r, in] and [out, r] */
  double dropout;
  guint64 stream;
} VeraHook;

/* y + λb ⊙ B (λd ⊙ A x), one factor after the other: the products with the matrices need no gradient of those. */
static PeftVar *
vera_after (PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot, PeftVar *x, PeftVar *y)
{
  VeraHook *self = (VeraHook *) hook;
  const gint64 inner[2] = { 1, self->a->shape[0] }, outer[2] = { 1, slot->out_features };
  g_autoptr (PeftVar) whole_a = peft_tape_param (tape, self->a);
  g_autoptr (PeftVar) whole_b = peft_tape_param (tape, self->b);
  g_autoptr (PeftVar) a = peft_nn_slice (tape, whole_a, 1, 0, slot->in_features);
  g_autoptr (PeftVar) b = peft_nn_slice (tape, whole_b, 0, 0, slot->out_features);
  g_autoptr (PeftVar) lambda_b = peft_tape_param (tape, self->lambda_b);
  g_autoptr (PeftVar) lambda_d = peft_tape_param (tape, self->lambda_d);
  g_autoptr (PeftVar) row_b = peft_nn_reshape (tape, lambda_b, 2, outer);
  g_autoptr (PeftVar) row_d = peft_nn_reshape (tape, lambda_d, 2, inner);
  g_autoptr (PeftVar) weighted = peft_nn_scale (tape, row_d, hook->weight);
  g_autoptr (PeftVar) dropped = peft_nn_dropout (tape, x, self->dropout, self->stream);
  g_autoptr (PeftVar) projected = peft_nn_linear (tape, dropped, a, NULL, FALSE);
  g_autoptr (PeftVar) scaled = peft_nn_mul (tape, projected, weighted);
  g_autoptr (PeftVar) back = peft_nn_linear (tape, scaled, b, NULL, FALSE);
  g_autoptr (PeftVar) delta = peft_nn_mul (tape, back, row_b);
  PeftVar *out = peft_nn_residual (tape, y, delta);

  peft_var_unref (y);
  return out;
}

/* W ← W + diag (λb) B diag (λd) A */
static gboolean
vera_merge (PeftSlotHook *hook, PeftSlot *slot, float *weight, float **bias, double factor,
            GError **error)
{
  VeraHook *self = (VeraHook *) hook;
  gsize n_in = (gsize) slot->in_features, n_out = (gsize) slot->out_features;
  gsize r = (gsize) self->a->shape[0], stride = (gsize) self->a->shape[1];
  g_autofree float *a = peft_param_dup_values (self->a);
  g_autofree float *b = peft_param_dup_values (self->b);
  g_autofree float *lambda_b = peft_param_dup_values (self->lambda_b);
  g_autofree float *lambda_d = peft_param_dup_values (self->lambda_d);
  g_autofree float *row = g_new (float, n_in);

  for (gsize o = 0; o < n_out; o++)
    {
      float scale = (float) (lambda_b[o] * factor * hook->weight);

      memset (row, 0, n_in * sizeof *row);
      for (gsize k = 0; k < r; k++)
        {
          float share = b[o * r + k] * lambda_d[k];

          for (gsize i = 0; i < n_in; i++)
            row[i] += share * a[k * stride + i];
        }
      for (gsize i = 0; i < n_in; i++)
        weight[slot->conv1d ? i * n_out + o : o * n_in + i] += scale * row[i];
    }
  return TRUE;
}

static const PeftSlotHookClass vera_class = {
  .after = vera_after,
  .merge = vera_merge,
  .free = (void (*) (PeftSlotHook *)) g_free,
};

static PeftSlotHook *
vera_attach (PeftAdapter *adapter, PeftSlot *slot, GError **error)
{
  PeftConfig *config = adapter->config;
  const gint64 r = peft_config_get_int (config, "r");
  gboolean init = peft_config_get_boolean (config, "init_weights");
  float d = (float) peft_config_get_double (config, "d_initial");
  g_autofree char *key = g_strconcat (slot->path, ".vera_lambda_d", NULL);
  float *lambda_b = peft_init_zeros (adapter, (gsize) slot->out_features);
  float *lambda_d = init ? peft_init_zeros (adapter, (gsize) r)
                         : peft_init_normal (adapter, key, (gsize) r, 1.0);
  VeraHook *hook = g_new0 (VeraHook, 1);

  for (gint64 i = 0; !init && lambda_b != NULL && i < slot->out_features; i++)
    lambda_b[i] = 1;
  for (gint64 i = 0; init && lambda_d != NULL && i < r; i++)
    lambda_d[i] = d;
  hook->parent.klass = &vera_class;
  hook->parent.weight = 1.0;
  hook->lambda_b = peft_adapter_add_param (adapter, slot, "vera_lambda_b", 1, &slot->out_features,
                                           TRUE, lambda_b);
  hook->lambda_d = peft_adapter_add_param (adapter, slot, "vera_lambda_d", 1, &r, TRUE, lambda_d);
  hook->dropout = peft_config_get_double (config, "vera_dropout");
  hook->stream = peft_adapter_stream (adapter, slot);
  peft_config_set_json (config, "fan_in_fan_out", peft_json_new_boolean (slot->conv1d),
                        PEFT_ERROR_INVALID_ARGUMENT, NULL);
  return &hook->parent;
}

/* Kaiming's bound for a gain of √2, √6 / √columns. The key takes the place of the adapter's seed. */
static PeftParam *
add_projection (PeftAdapter *adapter, const char *key, gint64 rows, gint64 columns)
{
  const gint64 shape[2] = { rows, columns };
  const gsize n = (gsize) rows * (gsize) columns;
  const float bound = (float) sqrt (6.0 / (double) columns);
  float *initial = peft_init_zeros (adapter, n);
  PeftParam *param;

  if (initial != NULL)
    peft_random_fill_uniform ((guint64) peft_config_get_int (adapter->config, "projection_prng_key"),
                              peft_random_stream (key), -bound, bound, initial, n);
  param = peft_adapter_add_core_param (adapter, key, 2, shape, TRUE, initial);
  param->trainable = FALSE;
  return param;
}

static gboolean
vera_complete (PeftAdapter *adapter, GError **error)
{
  const gint64 r = peft_config_get_int (adapter->config, "r");
  gint64 n_in = 0, n_out = 0;
  PeftParam *a, *b;

  for (guint i = 0; i < adapter->hook_slots->len; i++)
    {
      const PeftSlot *slot = adapter->hook_slots->pdata[i];

      n_in = MAX (n_in, slot->in_features);
      n_out = MAX (n_out, slot->out_features);
    }
  a = add_projection (adapter, KEY_A, r, n_in);
  b = add_projection (adapter, KEY_B, n_out, r);
  for (guint i = 0; i < adapter->hooks->len; i++)
    {
      VeraHook *hook = adapter->hooks->pdata[i];

      hook->a = a;
      hook->b = b;
    }
  return TRUE;
}

const PeftMethod peft_method_vera = {
  .name = "VERA",
  .display_name = N_ ("VeRA"),
  .summary = N_ ("Scales the rows and columns of two random matrices that all layers share"),
  .good_for = N_ ("Many adapters with few trained numbers each, or little data. Needs a high learning rate and a high rank."),
  .cost = N_ ("Far fewer trained parameters than LoRA, but its rank makes it slower, and the file also has the two random "
              "matrices. No cost after merging."),
  .learning_rate = 1e-2,
  .presets = {
    { { "r", "64" }, { "target_modules", "\"all-linear\"" } },
    { { "r", "256" }, { "target_modules", "\"all-linear\"" } },
    { { "r", "512" }, { "target_modules", "\"all-linear\"" } },
  },
  .get_config_type = peft_vera_config_get_type,
  .target_defaults = targets,
  .validate = vera_validate,
  .slot_kinds = 1u << PEFT_SLOT_LINEAR,
  .attach = vera_attach,
  .complete = vera_complete,
};
