/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>
#include <math.h>

#include "base/peft-error.h"
#include "models/peft-core-task.h"
#include "models/peft-kv-cache.h"
#include "models/peft-model-config.h"

/* The Llama family: Llama 1 to 3, SmolLM2, TinyLlama, Mistral (window), Qwen2 (biases on q, k, v) and Qwen3
 * (norms on the heads of q and k). Pre-norm blocks of attention with rotary positions and a gated MLP. */

typedef struct
{
  PeftSlot *attention, *q, *k, *v, *o, *q_norm, *k_norm;
  PeftSlot *gate, *up, *down;
  PeftSlot *input_norm, *post_norm;
} LlamaLayer;

typedef struct
{
  LlamaLayer *layers;
  PeftSlot *norm;
} LlamaModel;

/* ---- Configuration ------------------------------------------------------------------------- */

/* Which layers slide: layer_types of transformers 4.53 and later, max_window_layers before. */
static gboolean
read_window (const PeftJson *config, gboolean is_qwen, PeftDimensions *out, GError **error)
{
  const PeftJson *types = peft_json_get_member (config, "layer_types");
  gboolean use = !is_qwen;
  gint64 first = 28;

  if (!peft_json_read_int (config, "sliding_window", &out->window, error))
    return FALSE;
  if (peft_json_get_member (config, "sliding_window") != NULL
      && peft_json_get_kind (peft_json_get_member (config, "sliding_window")) == PEFT_JSON_NULL)
    out->window = 0;
  if (out->window < 0)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("sliding_window: expected a positive integer, found %" PRIi64), out->window);
      return FALSE;
    }
  if (is_qwen
      && (!peft_json_read_boolean (config, "use_sliding_window", &use, error)
          || !peft_json_read_int (config, "max_window_layers", &first, error)))
    return FALSE;
  if (!use)
    out->window = 0;
  if (out->window == 0 || !is_qwen)
    return TRUE;

  out->layer_has_window = g_new0 (gboolean, out->n_layers);
  for (gint64 i = 0; i < out->n_layers; i++)
    out->layer_has_window[i] = i >= first;
  if (types == NULL || peft_json_get_kind (types) != PEFT_JSON_ARRAY)
    return TRUE;
  if ((gint64) peft_json_get_length (types) != out->n_layers)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("layer_types: expected %" PRIi64 " entries, found %zu"),
                   out->n_layers, peft_json_get_length (types));
      return FALSE;
    }
  for (gint64 i = 0; i < out->n_layers; i++)
    {
      const PeftJson *type = peft_json_get_element (types, i);

      out->layer_has_window[i] = peft_json_get_kind (type) == PEFT_JSON_STRING
                                 && g_str_equal (peft_json_get_string (type), "sliding_attention");
    }
  return TRUE;
}

static gboolean
llama_read_config (const PeftJson *config, PeftDimensions *out, GError **error)
{
  const char *type = NULL;
  gboolean qwen2, qwen3;

  if (!peft_json_read_string (config, "model_type", &type, error))
    return FALSE;
  qwen2 = g_str_equal (type, "qwen2");
  qwen3 = g_str_equal (type, "qwen3");

  /* What transformers assumes where the file is silent. */
  *out = (PeftDimensions){
    .n_kv_heads = g_str_equal (type, "mistral") ? 8 : qwen2 || qwen3 ? 32 : 0,
    .head_dim = qwen3 ? 128 : 0,
    .max_positions = g_str_equal (type, "mistral") ? 131072 : qwen2 || qwen3 ? 32768 : 2048,
    .norm = PEFT_NORM_RMS,
    .norm_eps = 1e-6,
    .activation = PEFT_ACTIVATION_SILU,
    .rope.theta = 10000,
    .qkv_bias = qwen2,
    .qk_norm = qwen3,
    .embedding_scale = 1,
    .logit_scale = 1,
    .residual_scale = 1,
    .window = g_str_equal (type, "mistral") ? 4096 : qwen2 || qwen3 ? 4096 : 0,
  };
  if (peft_json_get_member (config, "num_key_value_heads") != NULL
      && peft_json_get_kind (peft_json_get_member (config, "num_key_value_heads")) == PEFT_JSON_NULL)
    out->n_kv_heads = 0;
  if (!peft_model_config_read_dimensions (config, out, error)
      || !peft_model_config_read_rope (config, out, error)
      || !peft_json_read_double (config, "rms_norm_eps", &out->norm_eps, error))
    return FALSE;
  if (!qwen2)
    {
      gboolean bias = FALSE;

      if (!peft_json_read_boolean (config, "attention_bias", &bias, error)
          || !peft_json_read_boolean (config, "mlp_bias", &out->mlp_bias, error))
        return FALSE;
      out->qkv_bias = out->output_bias = bias;
    }
  if (g_str_equal (type, "llama"))
    {
      out->window = 0;
      return TRUE;
    }
  return read_window (config, qwen2 || qwen3, out, error);
}

static gboolean
llama_gguf_config (PeftGguf *gguf, PeftJson *config, GError **error)
{
  g_autofree char *arch = peft_gguf_dup_string (gguf, "general.architecture", error);
  static const struct
  {
    const char *arch, *model_type, *class_name;
  } names[] = {
    { "llama", "llama", "LlamaForCausalLM" },
    { "mistral", "mistral", "MistralForCausalLM" },
    { "qwen2", "qwen2", "Qwen2ForCausalLM" },
    { "qwen3", "qwen3", "Qwen3ForCausalLM" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_str_equal (arch, names[i].arch))
      {
        PeftJson *classes = peft_json_new_array ();

        peft_json_append (classes, peft_json_new_string (names[i].class_name));
        peft_json_set (config, "architectures", classes);
        peft_json_set (config, "model_type", peft_json_new_string (names[i].model_type));
      }
  peft_json_set (config, "hidden_act", peft_json_new_string ("silu"));
  if (!peft_model_config_from_gguf (gguf, arch, config, error))
    return FALSE;
  /* Where the metadata has no window there is none, whatever config.json's default would be. */
  if (peft_json_get_member (config, "sliding_window") == NULL)
    peft_json_set (config, "sliding_window", peft_json_new_null ());
  return TRUE;
}

/* ---- Loading ------------------------------------------------------------------------------- */

static PeftSlot *
load_part (PeftCore *core, int layer, const char *module, const char *gguf, gint64 out, gint64 in,
           gboolean bias, guint unpermute_heads, GError **error)
{
  g_autofree char *path = g_strdup_printf ("%slayers.%d.%s", core->body, layer, module);
  g_autofree char *gguf_name = g_strdup_printf ("blk.%d.%s", layer, gguf);

  if (in == 0)
    return peft_core_load_norm (core, path, gguf_name, layer, out, error);
  return peft_core_load_linear (core, path, gguf_name, layer, out, in, bias, unpermute_heads, error);
}

static gboolean
load_layer (PeftCore *core, LlamaLayer *l, int i, GError **error)
{
  const PeftDimensions *d = &core->dims;
  gint64 q = d->n_heads * d->head_dim, kv = d->n_kv_heads * d->head_dim;
  g_autofree char *attention = g_strdup_printf ("%slayers.%d.self_attn", core->body, i);
  /* Converters permute q and k of "llama" files only. */
  gboolean permuted = core->gguf != NULL && g_str_equal (core->model_type, "llama");
  guint q_heads = permuted ? d->n_heads : 0, k_heads = permuted ? d->n_kv_heads : 0;

  l->attention = peft_core_add_attention (core, attention, i);
  if ((l->q = load_part (core, i, "self_attn.q_proj", "attn_q", q, d->hidden, d->qkv_bias, q_heads, error)) == NULL
      || (l->k = load_part (core, i, "self_attn.k_proj", "attn_k", kv, d->hidden, d->qkv_bias, k_heads, error)) == NULL
      || (l->v = load_part (core, i, "self_attn.v_proj", "attn_v", kv, d->hidden, d->qkv_bias, 0, error)) == NULL
      || (l->o = load_part (core, i, "self_attn.o_proj", "attn_output", d->hidden, q, d->output_bias, 0, error)) == NULL)
    return FALSE;
  l->attention->q = l->q;
  l->attention->k = l->k;
  l->attention->v = l->v;
  l->attention->o = l->o;
  if (d->qk_norm
      && ((l->q_norm = load_part (core, i, "self_attn.q_norm", "attn_q_norm", d->head_dim, 0, FALSE, 0, error)) == NULL
          || (l->k_norm = load_part (core, i, "self_attn.k_norm", "attn_k_norm", d->head_dim, 0, FALSE, 0, error)) == NULL))
    return FALSE;
  return (l->gate = load_part (core, i, "mlp.gate_proj", "ffn_gate", d->ffn, d->hidden, d->mlp_bias, 0, error)) != NULL
         && (l->up = load_part (core, i, "mlp.up_proj", "ffn_up", d->ffn, d->hidden, d->mlp_bias, 0, error)) != NULL
         && (l->down = load_part (core, i, "mlp.down_proj", "ffn_down", d->hidden, d->ffn, d->mlp_bias, 0, error)) != NULL
         && (l->input_norm = load_part (core, i, "input_layernorm", "attn_norm", d->hidden, 0, FALSE, 0, error)) != NULL
         && (l->post_norm = load_part (core, i, "post_attention_layernorm", "ffn_norm", d->hidden, 0, FALSE, 0, error)) != NULL;
}

/* Llama 3.1 and later: the converter has already turned the scaling into divisors. */
static gboolean
load_rope_factors (PeftCore *core, GError **error)
{
  const PeftTensorEntry *entry = peft_tensor_source_lookup (core->source, "rope_freqs.weight");
  const guint64 half = core->dims.head_dim / 2;

  if (core->gguf == NULL || entry == NULL)
    return TRUE;
  if (entry->dtype != PEFT_DTYPE_F32 || entry->n_dims != 1 || entry->shape[0] != half)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_SHAPE_MISMATCH,
                   _ ("%s: tensor rope_freqs.weight: expected F32 [%" PRIu64 "]"),
                   entry->file, half);
      return FALSE;
    }
  core->n_rope_factors = half;
  core->rope_factors = g_memdup2 (entry->data, entry->n_bytes);
  return TRUE;
}

static void
llama_free (gpointer data)
{
  LlamaModel *model = data;
  g_free (model->layers);
  g_free (model);
}

static gboolean
llama_load (PeftCore *core, GError **error)
{
  const PeftDimensions *d = &core->dims;
  LlamaModel *model = g_new0 (LlamaModel, 1);
  g_autofree char *embedding = peft_core_body_path (core, "embed_tokens");
  g_autofree char *last_norm = peft_core_body_path (core, "norm");

  model->layers = g_new0 (LlamaLayer, d->n_layers);
  core->family = model;
  core->family_free = llama_free;
  core->embedding = peft_core_load_embedding (core, embedding, "token_embd", d->vocab,
                                              d->hidden, error);
  if (core->embedding == NULL)
    return FALSE;
  for (gint64 i = 0; i < d->n_layers; i++)
    if (!load_layer (core, &model->layers[i], i, error))
      return FALSE;
  model->norm = peft_core_load_norm (core, last_norm, "output_norm", -1, d->hidden, error);
  if (model->norm == NULL)
    return FALSE;
  if (!peft_core_load_head (core, "lm_head", "output", error))
    return FALSE;
  return load_rope_factors (core, error);
}

/* ---- Forward ------------------------------------------------------------------------------- */

typedef struct
{
  PeftCore *core;
  const PeftForward *forward;
  int layer;
} LayerCall;

static PeftVar *
norm (PeftTape *tape, PeftCore *core, PeftSlot *slot, PeftVar *x)
{
  g_autoptr (PeftVar) weight = peft_slot_weight (slot, tape);
  return peft_nn_rms_norm (tape, x, NULL, weight, core->dims.norm_eps,
                           core->dims.norm_weight_offset, NULL);
}

/* A projection as [batch, length, heads, head_dim], normed and turned where the model does that. */
static PeftVar *
project_heads (PeftTape *tape, const LayerCall *call, PeftSlot *slot, PeftSlot *head_norm,
               PeftVar *x, gint64 heads, gboolean rope)
{
  PeftCore *core = call->core;
  const PeftForward *f = call->forward;
  const gint64 shape[4] = { f->batch, f->length, heads, core->dims.head_dim };
  PeftVar *flat = peft_slot_linear (slot, tape, x);
  PeftVar *y = peft_nn_reshape (tape, flat, 4, shape);

  peft_var_unref (flat);
  if (head_norm != NULL)
    {
      PeftVar *normed = norm (tape, core, head_norm, y);
      peft_var_unref (y);
      y = normed;
    }
  if (rope)
    {
      PeftVar *turned
          = peft_nn_rope (tape, y, core->cos_sin, f->positions, core->dims.rope.interleaved);
      peft_var_unref (y);
      y = turned;
    }
  return y;
}

static PeftVar *
attention (PeftTape *tape, const LayerCall *call, PeftVar *x)
{
  PeftCore *core = call->core;
  const PeftForward *f = call->forward;
  const PeftDimensions *d = &core->dims;
  LlamaLayer *l = &((LlamaModel *) core->family)->layers[call->layer];
  gboolean slides = d->window > 0
                    && (d->layer_has_window == NULL || d->layer_has_window[call->layer]);
  const gint64 flat[2] = { f->batch * f->length, d->n_heads * d->head_dim };
  PeftAttentionOptions options = {
    .scale = d->attention_scale > 0 ? d->attention_scale : 1 / sqrt (d->head_dim),
    .causal = TRUE,
    .window = slides ? d->window : 0,
    .n_prefix = peft_core_get_n_prefix (core),
    .q_segments = f->segments,
    .k_segments = f->k_segments != NULL ? f->k_segments : f->segments,
  };
  g_autoptr (PeftVar) q = project_heads (tape, call, l->q, l->q_norm, x, d->n_heads, TRUE);
  g_autoptr (PeftVar) k = project_heads (tape, call, l->k, l->k_norm, x, d->n_kv_heads, TRUE);
  g_autoptr (PeftVar) v = project_heads (tape, call, l->v, NULL, x, d->n_kv_heads, FALSE);
  g_autoptr (PeftVar) heads = NULL;
  g_autoptr (PeftVar) rows = NULL;

  peft_core_add_prefix (core, tape, f, call->layer, &k, &v);
  if (f->cache != NULL)
    peft_kv_cache_extend (f->cache, tape, call->layer, &k, &v);
  heads = peft_nn_attention (tape, q, k, v, &options);
  rows = peft_nn_reshape (tape, heads, 2, flat);
  return peft_slot_attention (l->attention, tape, q, peft_slot_linear (l->o, tape, rows));
}

static PeftVar *
mlp (PeftTape *tape, const LayerCall *call, PeftVar *x)
{
  PeftCore *core = call->core;
  LlamaLayer *l = &((LlamaModel *) core->family)->layers[call->layer];
  g_autoptr (PeftVar) gate = peft_slot_linear (l->gate, tape, x);
  g_autoptr (PeftVar) up = peft_slot_linear (l->up, tape, x);
  g_autoptr (PeftVar) h = peft_nn_gated (tape, gate, up, core->dims.activation);

  g_clear_pointer (&gate, peft_var_unref);
  g_clear_pointer (&up, peft_var_unref);
  return peft_slot_linear (l->down, tape, h);
}

static PeftVar *
layer (PeftTape *tape, PeftVar *const *inputs, gpointer data)
{
  const LayerCall *call = data;
  LlamaLayer *l = &((LlamaModel *) call->core->family)->layers[call->layer];
  PeftVar *x, *delta, *middle, *out;

  x = norm (tape, call->core, l->input_norm, inputs[0]);
  delta = attention (tape, call, x);
  peft_var_unref (x);
  middle = peft_nn_residual (tape, inputs[0], delta);
  peft_var_unref (delta);
  x = norm (tape, call->core, l->post_norm, middle);
  delta = mlp (tape, call, x);
  peft_var_unref (x);
  out = peft_nn_residual (tape, middle, delta);
  peft_var_unref (delta);
  peft_var_unref (middle);
  return out;
}

static PeftVar *
llama_forward (PeftCore *core, PeftTape *tape, const PeftForward *forward)
{
  LlamaModel *model = core->family;
  PeftVar *h = peft_core_embed (core, tape, forward);
  PeftVar *out;

  for (gint64 i = 0; i < core->dims.n_layers; i++)
    {
      LayerCall call = { core, forward, i };
      PeftVar *next;

      if (forward->checkpointing && tape->options.recording)
        next = peft_tape_checkpoint (tape, layer, &h, 1, g_memdup2 (&call, sizeof call), g_free);
      else
        next = layer (tape, &h, &call);
      peft_var_unref (h);
      h = next;
    }
  peft_core_advance_cache (core, forward);
  out = norm (tape, core, model->norm, h);
  peft_var_unref (h);
  return out;
}

const PeftArchitecture peft_architecture_llama = {
  .name = "llama",
  .model_types = (const char *const[]){ "llama", "mistral", "qwen2", "qwen3", NULL },
  .gguf_names = (const char *const[]){ "llama", "mistral", "qwen2", "qwen3", NULL },
  .qa_transformer_types = (const char *const[]){ "llama", "qwen2", "qwen3", NULL },
  .read_config = llama_read_config,
  .gguf_config = llama_gguf_config,
  .load = llama_load,
  .forward = llama_forward,
};
