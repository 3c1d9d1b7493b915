/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <inttypes.h>
#include <math.h>

#include "methods/peft-config-private.h"
#include "methods/peft-config-types.h"
#include "methods/peft-prompt-common.h"

/* Prefix tuning (Li & Liang, "Prefix-tuning: Optimizing continuous prompts for generation", arXiv:2101.00190): every layer gets trained
 * keys and values in front of its own. With a projection they are made by an MLP out of trained vectors, and only what
 * it makes is stored. */

/**
 * PeftPrefixTuningConfig:
 *
 * The settings of prefix tuning.
 *
 * Every layer's attention sees trained keys and values in front of those of the text, whose positions begin behind
 * them. The file has the tensor `prompt_embeddings` of shape [virtual tokens, layers · 2 · width], width being that of a layer's keys.
 * With `prefix-projection` that is the output of a network that only checkpoints hold.
 *
 * See [Li and Liang, Prefix-tuning](https://arxiv.org/abs/2101.00190).
 *
 * Since: 1.0
 */
struct _PeftPrefixTuningConfig
{
  PeftConfig parent_instance;
};

G_DEFINE_FINAL_TYPE (PeftPrefixTuningConfig, peft_prefix_tuning_config, PEFT_TYPE_CONFIG)

static const char *const inits[] = { "zero", NULL };

/* clang-format off */
static const PeftField fields[] = {
  PEFT_FIELDS_PROMPT,
  { "encoder_hidden_size", PEFT_FIELD_INT | PEFT_FIELD_NULL, "null", .minimum = 1, .maximum = PEFT_PROMPT_MAX_SIZE,
    .group = "advanced", .nick = N_ ("Projection's width"),
    .blurb = N_ ("Width of the network of a projection; null for that of the keys") },
  { "prefix_projection", PEFT_FIELD_BOOLEAN, "false", .group = "advanced", .nick = N_ ("Projection"),
    .blurb = N_ ("Make the prefix by a network, which learns more steadily; training goes on from checkpoints alone") },
  { "init_weights", PEFT_FIELD_STRING | PEFT_FIELD_NULL, "null", .choices = inits, .since = "0.19",
    .group = "basic", .nick = N_ ("Start values"),
    .blurb = N_ ("null: random; 'zero' disturbs the model less at the beginning") },
};
/* clang-format on */

static void
peft_prefix_tuning_config_class_init (PeftPrefixTuningConfigClass *klass)
{
  peft_config_class_set_fields (PEFT_CONFIG_CLASS (klass), "PREFIX_TUNING", fields,
                                G_N_ELEMENTS (fields));
}

static void
peft_prefix_tuning_config_init (PeftPrefixTuningConfig *self)
{
}

/* The projection's parameters, NULL without. */
typedef struct
{
  PeftCoreHook parent;
  PeftParam *prefix; /* [n, layers · 2 · width], or what goes into the projection: [n, width] */
  PeftParam *w1, *b1, *w2, *b2;
  gint64 n, width, n_layers, kv_heads, head_dim;
} PrefixHook;

/* Columns of a layer: keys, then values; [n, 2 · width]. */
static PeftVar *
get_layer (PrefixHook *self, PeftTape *tape, int layer)
{
  const gint64 start = (gint64) layer * 2 * self->width, length = 2 * self->width;
  g_autoptr (PeftVar) prefix = peft_tape_param (tape, self->prefix);

  if (self->w1 == NULL)
    {
      g_autoptr (PeftVar) columns = peft_nn_slice (tape, prefix, 1, start, length);
      return peft_nn_contiguous (tape, columns);
    }
  g_autoptr (PeftVar) w1 = peft_tape_param (tape, self->w1);
  g_autoptr (PeftVar) b1 = peft_tape_param (tape, self->b1);
  g_autoptr (PeftVar) w2 = peft_tape_param (tape, self->w2);
  g_autoptr (PeftVar) b2 = peft_tape_param (tape, self->b2);
  g_autoptr (PeftVar) rows = peft_nn_slice (tape, w2, 0, start, length);
  g_autoptr (PeftVar) bias = peft_nn_slice (tape, b2, 0, start, length);
  g_autoptr (PeftVar) inner = peft_nn_linear (tape, prefix, w1, b1, FALSE);
  g_autoptr (PeftVar) turned = peft_nn_unary (tape, PEFT_UNARY_TANH, inner);
  return peft_nn_linear (tape, turned, rows, bias, FALSE);
}

static PeftVar *
get_half (PrefixHook *self, PeftTape *tape, PeftVar *layer, gint64 half)
{
  const gint64 shape[3] = { self->n, self->kv_heads, self->head_dim };
  g_autoptr (PeftVar) columns = peft_nn_slice (tape, layer, 1, half * self->width, self->width);
  g_autoptr (PeftVar) dense = peft_nn_contiguous (tape, columns);

  return peft_nn_reshape (tape, dense, 3, shape);
}

static void
prefix_prefix (PeftCoreHook *hook, PeftTape *tape, int layer, PeftVar **keys, PeftVar **values)
{
  PrefixHook *self = (PrefixHook *) hook;
  g_autoptr (PeftVar) columns = get_layer (self, tape, layer);

  *keys = get_half (self, tape, columns, 0);
  *values = get_half (self, tape, columns, 1);
}

static const PeftCoreHookClass prefix_hook_class = {
  .prefix = prefix_prefix,
  .free = (void (*) (PeftCoreHook *)) g_free,
};

/* peft puts the sizes of the keys where other methods have those of the model. */
static gboolean
fill_config (PeftAdapter *adapter, GError **error)
{
  const PeftDimensions *dims = &adapter->core->dims;
  PeftConfig *config = adapter->config;
  const struct
  {
    const char *field;
    gint64 value;
    gboolean fixed;
  } rows[] = {
    { "num_layers", dims->n_layers, TRUE },
    { "token_dim", dims->n_kv_heads * dims->head_dim, TRUE },
    { "num_attention_heads", dims->n_kv_heads, TRUE },
    { "num_transformer_submodules", 1, TRUE },
    { "encoder_hidden_size", dims->n_kv_heads * dims->head_dim, FALSE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      if (peft_json_get_kind (peft_config_get_json (config, rows[i].field)) == PEFT_JSON_NULL)
        peft_config_set_json (config, rows[i].field, peft_json_new_int (rows[i].value),
                              PEFT_ERROR_INVALID_ARGUMENT, NULL);
      if (!rows[i].fixed || peft_config_get_int (config, rows[i].field) == rows[i].value)
        continue;
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_SHAPE_MISMATCH,
                   _ ("%s: this model's keys ask for %" PRIi64 ", found %" PRIi64
                      "; is this an adapter of another model?"),
                   rows[i].field, rows[i].value, peft_config_get_int (config, rows[i].field));
      return FALSE;
    }
  return TRUE;
}

/* One of the projection's parameters: in no file, named as peft names it in memory. */
static PeftParam *
add_inner (PeftAdapter *adapter, const char *name, guint n_dims, gint64 rows, gint64 columns,
           float *initial)
{
  const gint64 shape[2] = { rows, columns };
  g_autofree char *key = g_strconcat (PEFT_PROMPT_KEY_PREFIX, name, NULL);
  PeftParam *param
      = peft_adapter_add_core_param (adapter, key, n_dims, shape, n_dims > 1, initial);

  param->name = g_strconcat (PEFT_PROMPT_NAME_PREFIX, name, NULL);
  param->saved = FALSE;
  return param;
}

static float *
init_embedding (PeftAdapter *adapter, gsize n)
{
  gboolean zero = peft_config_get_string (adapter->config, "init_weights") != NULL;

  return zero ? peft_init_zeros (adapter, n)
              : peft_init_normal (adapter, PEFT_PROMPT_NAME_PREFIX "embedding.weight", n, 1);
}

static void
add_projection (PeftAdapter *adapter, PrefixHook *hook)
{
  const gint64 inner = peft_config_get_int (adapter->config, "encoder_hidden_size");
  const gint64 outer = hook->n_layers * 2 * hook->width;
  const double b1 = 1 / sqrt ((double) hook->width), b2 = 1 / sqrt ((double) inner);

  hook->prefix = add_inner (adapter, "embedding.weight", 2, hook->n, hook->width,
                            init_embedding (adapter, (gsize) (hook->n * hook->width)));
  hook->w1 = add_inner (adapter, "transform.0.weight", 2, inner, hook->width,
                        peft_init_kaiming (adapter, "transform.0.weight", inner, hook->width));
  hook->b1 = add_inner (adapter, "transform.0.bias", 1, inner, 0,
                        peft_init_uniform (adapter, "transform.0.bias", (gsize) inner, b1));
  hook->w2 = add_inner (adapter, "transform.2.weight", 2, outer, inner,
                        peft_init_kaiming (adapter, "transform.2.weight", outer, inner));
  hook->b2 = add_inner (adapter, "transform.2.bias", 1, outer, 0,
                        peft_init_uniform (adapter, "transform.2.bias", (gsize) outer, b2));
}

static gboolean
prefix_declare (PeftAdapter *adapter, GError **error)
{
  const PeftDimensions *dims = &adapter->core->dims;
  PrefixHook *hook;
  gint64 shape[2];

  if (!fill_config (adapter, error))
    return FALSE;
  hook = g_new0 (PrefixHook, 1);
  adapter->core_hook = &hook->parent;
  hook->parent.klass = &prefix_hook_class;
  hook->parent.n_prefix = hook->n = peft_prompt_get_n_virtual (adapter);
  hook->n_layers = dims->n_layers;
  hook->kv_heads = dims->n_kv_heads;
  hook->head_dim = dims->head_dim;
  hook->width = dims->n_kv_heads * dims->head_dim;
  if (peft_config_get_boolean (adapter->config, "prefix_projection") && !adapter->stored_form)
    {
      add_projection (adapter, hook);
      return TRUE;
    }
  shape[0] = hook->n;
  shape[1] = hook->n_layers * 2 * hook->width;
  hook->prefix = peft_adapter_add_core_param (adapter, PEFT_PROMPT_KEY, 2, shape, TRUE,
                                              init_embedding (adapter, (gsize) (shape[0] * shape[1])));
  hook->prefix->name = g_strdup (PEFT_PROMPT_NAME_PREFIX "embedding.weight");
  if (peft_config_get_boolean (adapter->config, "prefix_projection"))
    {
      hook->prefix->trainable = FALSE;
      adapter->incomplete = TRUE;
    }
  return TRUE;
}

static void
multiply_rows (const float *x, const float *w, const float *bias, gsize n, gsize in, gsize out,
               float *y)
{
  for (gsize i = 0; i < n; i++)
    for (gsize j = 0; j < out; j++)
      {
        double sum = bias[j];

        for (gsize k = 0; k < in; k++)
          sum += (double) x[i * in + k] * w[j * in + k];
        y[i * out + j] = (float) sum;
      }
}

static gboolean
prefix_export (PeftAdapter *adapter, GPtrArray *out, GError **error)
{
  PrefixHook *hook = (PrefixHook *) adapter->core_hook;
  PeftAdapterTensor *tensor;
  gsize n = (gsize) hook->n, width = (gsize) hook->width, inner, outer;

  if (hook->w1 == NULL)
    return TRUE;
  inner = (gsize) hook->w1->shape[0];
  outer = (gsize) hook->w2->shape[0];
  g_autofree float *x = peft_param_dup_values (hook->prefix);
  g_autofree float *w1 = peft_param_dup_values (hook->w1);
  g_autofree float *b1 = peft_param_dup_values (hook->b1);
  g_autofree float *w2 = peft_param_dup_values (hook->w2);
  g_autofree float *b2 = peft_param_dup_values (hook->b2);
  g_autofree float *middle = g_new (float, n *inner);

  tensor = g_new0 (PeftAdapterTensor, 1);
  tensor->key = g_strdup (PEFT_PROMPT_KEY);
  tensor->n_dims = 2;
  tensor->shape[0] = hook->n;
  tensor->shape[1] = hook->w2->shape[0];
  tensor->values = g_new (float, n *outer);
  g_ptr_array_add (out, tensor);
  multiply_rows (x, w1, b1, n, width, inner, middle);
  for (gsize i = 0; i < n * inner; i++)
    middle[i] = tanhf (middle[i]);
  multiply_rows (middle, w2, b2, n, inner, outer, tensor->values);
  return TRUE;
}

const PeftMethod peft_method_prefix_tuning = {
  .name = "PREFIX_TUNING",
  .display_name = N_ ("Prefix tuning"),
  .summary = N_ ("Trains keys and values that every layer sees in front of the text"),
  .good_for = N_ ("Generating in a style or a format with a frozen model; does more than virtual tokens in front of the "
                  "text, and starts best from the keys and values of a fitting text."),
  .cost = N_ ("A few hundred thousand parameters, a file of a megabyte or two; nearly as fast as the model alone; cannot be "
              "merged."),
  .learning_rate = 5e-3,
  .presets = {
    { { "num_virtual_tokens", "10" }, { "init_weights", "\"zero\"" } },
    { { "num_virtual_tokens", "30" }, { "init_weights", "\"zero\"" } },
    { { "num_virtual_tokens", "100" }, { "init_weights", "\"zero\"" } },
  },
  .get_config_type = peft_prefix_tuning_config_get_type,
  .validate = peft_prompt_validate,
  .declare = prefix_declare,
  .export = prefix_export,
};
