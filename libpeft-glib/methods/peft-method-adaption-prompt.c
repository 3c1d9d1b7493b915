/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "methods/peft-common-fields.h"
#include "methods/peft-config-private.h"
#include "methods/peft-config-types.h"
#include "methods/peft-method.h"

/* Adaption prompt (Zhang et al., "LLaMA-Adapter: Efficient fine-tuning of language models with zero-init attention",
 * arXiv:2303.16199): the attention of the last layers also looks at trained vectors P, apart from the text and behind a gate g
 * that starts at zero: y = attention (x) + Wo (g · softmax (q Kᵀ / √d) V), K = Wk P, V = Wv P, q with rope, K without. */

#define MAX_LENGTH 65536

/**
 * PeftAdaptionPromptConfig:
 *
 * The settings of LLaMA-Adapter's adaption prompt.
 *
 * The attention of the last `adapter-layers` layers also looks at `adapter-len` trained vectors, with a softmax of its own and behind
 * a gate that starts at zero. The file has the tensors `base_model.model.ATTENTION.adaption_prompt` of shape [1, adapter_len, hidden] and
 * `base_model.model.ATTENTION.adaption_gate` of shape [1], in the type of the model's weights where that has 16 bits.
 *
 * See [Zhang et al., LLaMA-Adapter](https://arxiv.org/abs/2303.16199).
 *
 * Since: 1.0
 */
struct _PeftAdaptionPromptConfig
{
  PeftConfig parent_instance;
};

G_DEFINE_FINAL_TYPE (PeftAdaptionPromptConfig, peft_adaption_prompt_config, PEFT_TYPE_CONFIG)

/* clang-format off */
static const PeftField fields[] = {
  { "adapter_len", PEFT_FIELD_INT | PEFT_FIELD_NULL, "null", .minimum = 1, .maximum = MAX_LENGTH,
    .group = "basic", .nick = N_ ("Vectors"), .blurb = N_ ("Number of trained vectors of a layer") },
  { "adapter_layers", PEFT_FIELD_INT | PEFT_FIELD_NULL, "null", .minimum = 1, .maximum = MAX_LENGTH,
    .group = "basic", .nick = N_ ("Layers"), .blurb = N_ ("Number of layers that get them, counted from the last") },
  { "target_modules", PEFT_FIELD_STRING | PEFT_FIELD_NULL, "null", .group = "targets",
    .nick = N_ ("Attention modules"), .blurb = N_ ("Name of the attention blocks; null for the model's") },
};

/* clang-format on */

static void
peft_adaption_prompt_config_class_init (PeftAdaptionPromptConfigClass *klass)
{
  peft_config_class_set_fields (PEFT_CONFIG_CLASS (klass), "ADAPTION_PROMPT", fields,
                                G_N_ELEMENTS (fields));
}

static void
peft_adaption_prompt_config_init (PeftAdaptionPromptConfig *self)
{
}

static gboolean
adaption_validate (PeftConfig *config, GError **error)
{
  static const char *const needed[] = { "adapter_len", "adapter_layers" };

  for (guint i = 0; i < G_N_ELEMENTS (needed); i++)
    if (peft_json_get_kind (peft_config_get_json (config, needed[i])) == PEFT_JSON_NULL)
      {
        g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                     _ ("%s: expected a number, such as 10"), needed[i]);
        return FALSE;
      }
  return TRUE;
}

/* ---- One layer ----------------------------------------------------------------------------- */

typedef struct
{
  PeftSlotHook parent;
  PeftParam *prompt, *gate;
  double scale;
} AdaptionHook;

/* slot's frozen projection of the prompt, for every line: [batch, n, kv_heads, head_dim] */
static PeftVar *
project (PeftTape *tape, PeftSlot *slot, PeftVar *prompt, gint64 batch, gint64 head_dim)
{
  const gint64 n = peft_var_shape (prompt)[0];
  const gint64 heads[3] = { n, slot->out_features / head_dim, head_dim };
  const gint64 all[4] = { batch, heads[0], heads[1], heads[2] };
  g_autoptr (PeftVar) weight = peft_slot_weight (slot, tape);
  g_autoptr (PeftVar) bias = peft_slot_bias (slot, tape);
  g_autoptr (PeftVar) rows = peft_nn_linear (tape, prompt, weight, bias, slot->conv1d);
  g_autoptr (PeftVar) split = peft_nn_reshape (tape, rows, 3, heads);

  return peft_nn_expand (tape, split, 4, all);
}

static PeftVar *
adaption_after_attention (PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot, PeftVar *q, PeftVar *y)
{
  AdaptionHook *self = (AdaptionHook *) hook;
  const gint64 *shape = peft_var_shape (q);
  const gint64 flat[2] = { shape[0] * shape[1], shape[2] * shape[3] };
  const gint64 rows[2] = { self->prompt->shape[1], self->prompt->shape[2] };
  const gint64 single[2] = { 1, 1 };
  const PeftAttentionOptions options = { .scale = self->scale };
  g_autoptr (PeftVar) prompt = peft_tape_param (tape, self->prompt);
  g_autoptr (PeftVar) gate = peft_tape_param (tape, self->gate);
  g_autoptr (PeftVar) vectors = peft_nn_reshape (tape, prompt, 2, rows);
  g_autoptr (PeftVar) keys = project (tape, slot->k, vectors, shape[0], shape[3]);
  g_autoptr (PeftVar) values = project (tape, slot->v, vectors, shape[0], shape[3]);
  g_autoptr (PeftVar) heads = peft_nn_attention (tape, q, keys, values, &options);
  g_autoptr (PeftVar) joined = peft_nn_reshape (tape, heads, 2, flat);
  g_autoptr (PeftVar) factor = peft_nn_reshape (tape, gate, 2, single);
  g_autoptr (PeftVar) weighted = peft_nn_scale (tape, factor, hook->weight);
  g_autoptr (PeftVar) gated = peft_nn_mul (tape, joined, weighted);
  g_autoptr (PeftVar) weight = peft_slot_weight (slot->o, tape);
  g_autoptr (PeftVar) bias = peft_slot_bias (slot->o, tape);
  g_autoptr (PeftVar) extra = peft_nn_linear (tape, gated, weight, bias, slot->o->conv1d);
  PeftVar *out = peft_nn_residual (tape, y, extra);

  peft_var_unref (y);
  return out;
}

static const PeftSlotHookClass adaption_hook_class = {
  .after_attention = adaption_after_attention,
  .free = (void (*) (PeftSlotHook *)) g_free,
};

/* ---- The adapter --------------------------------------------------------------------------- */

/* Attention blocks that the configuration names, as peft does: by the end of the path. */
static GPtrArray *
list_blocks (PeftCore *core, const char *name)
{
  GPtrArray *blocks = g_ptr_array_new ();
  g_autofree char *end = g_strconcat (".", name, NULL);

  for (guint i = 0; i < core->slots->len; i++)
    {
      PeftSlot *slot = core->slots->pdata[i];

      if (slot->kind == PEFT_SLOT_ATTENTION && g_str_has_suffix (slot->path, end))
        g_ptr_array_add (blocks, slot);
    }
  return blocks;
}

static gboolean
check_model (PeftAdapter *adapter, GError **error)
{
  const PeftDimensions *dims = &adapter->core->dims;

  if (!g_str_equal (adapter->core->model_type, "llama") && !g_str_equal (adapter->core->model_type, "mistral"))
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                 _ ("ADAPTION_PROMPT is for models of the types llama and mistral, found '%s'"),
                 adapter->core->model_type);
  else if (dims->n_heads * dims->head_dim != dims->hidden)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                 _ ("ADAPTION_PROMPT is for models whose heads are together as wide as the model: expected %" PRIi64
                    ", found %" PRIi64 " heads of %" PRIi64),
                 dims->hidden, dims->n_heads, dims->head_dim);
  else
    return TRUE;
  return FALSE;
}

static PeftSlotHook *
attach (PeftAdapter *adapter, PeftSlot *slot)
{
  const PeftDimensions *dims = &adapter->core->dims;
  const gint64 shape[3] = { 1, peft_config_get_int (adapter->config, "adapter_len"), dims->hidden };
  const gint64 one = 1;
  g_autofree char *key = g_strconcat (slot->path, ".adaption_prompt", NULL);
  AdaptionHook *hook = g_new0 (AdaptionHook, 1);

  hook->parent.klass = &adaption_hook_class;
  hook->parent.weight = 1.0;
  hook->scale = 1 / sqrt ((double) dims->head_dim);
  hook->prompt = peft_adapter_add_param (
      adapter, slot, "adaption_prompt", 3, shape, TRUE,
      peft_init_normal (adapter, key, (gsize) (shape[1] * shape[2]), 1));
  hook->gate = peft_adapter_add_param (adapter, slot, "adaption_gate", 1, &one, TRUE,
                                       peft_init_zeros (adapter, 1));
  hook->prompt->file_dtype = hook->gate->file_dtype = peft_slot_get_file_dtype (slot->q);
  return &hook->parent;
}

/* The last of the blocks get their hooks here: which they are depends on all of them. */
static gboolean
adaption_declare (PeftAdapter *adapter, GError **error)
{
  PeftConfig *config = adapter->config;
  gint64 n_layers = peft_config_get_int (config, "adapter_layers");
  g_autoptr (GPtrArray) blocks = NULL;

  if (!check_model (adapter, error))
    return FALSE;
  if (peft_config_get_string (config, "target_modules") == NULL)
    peft_config_set_json (config, "target_modules", peft_json_new_string ("self_attn"),
                          PEFT_ERROR_INVALID_ARGUMENT, NULL);
  blocks = list_blocks (adapter->core, peft_config_get_string (config, "target_modules"));
  if (blocks->len == 0)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("target_modules: '%s' matches no attention block of the model; expected self_attn"),
                   peft_config_get_string (config, "target_modules"));
      return FALSE;
    }
  if (n_layers > (gint64) blocks->len)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("adapter_layers: the model has %u layers, found %" PRIi64), blocks->len, n_layers);
      return FALSE;
    }
  for (guint i = blocks->len - (guint) n_layers; i < blocks->len; i++)
    {
      g_ptr_array_add (adapter->hooks, attach (adapter, blocks->pdata[i]));
      g_ptr_array_add (adapter->hook_slots, blocks->pdata[i]);
    }
  return TRUE;
}

const PeftMethod peft_method_adaption_prompt = {
  .name = "ADAPTION_PROMPT",
  .display_name = N_ ("Adaption prompt"),
  .summary = N_ ("Lets the last layers look at trained vectors, behind a gate that starts closed"),
  .good_for = N_ ("Following instructions with a frozen model of the Llama kind: what the model knows is left alone at the "
                  "beginning and mixed in as far as it helps."),
  .cost = N_ ("Some ten thousand parameters a layer; somewhat slower than the model alone; cannot be merged."),
  .learning_rate = 5e-3,
  .presets = {
    { { "adapter_len", "10" }, { "adapter_layers", "4" } },
    { { "adapter_len", "10" }, { "adapter_layers", "4" } },
    { { "adapter_len", "50" }, { "adapter_layers", "4" } },
  },
  .get_config_type = peft_adaption_prompt_config_get_type,

  .validate = adaption_validate,
  .declare = adaption_declare,
};
