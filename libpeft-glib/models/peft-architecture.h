/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-json.h"
#include "formats/peft-gguf.h"
#include "formats/peft-tensor-source.h"
#include "models/peft-slot.h"

/* A family of models: how its config gives the dimensions, how its tensors are called, and how its
 * forward pass is put together from nodes. One file each in models/, listed in models/meson.build. */

typedef struct _PeftCore PeftCore;
typedef struct _PeftArchitecture PeftArchitecture;

typedef enum
{
  PEFT_NORM_RMS,
  PEFT_NORM_LAYER
} PeftNormKind;

typedef enum
{
  PEFT_ROPE_DEFAULT,
  PEFT_ROPE_LINEAR,
  PEFT_ROPE_DYNAMIC,
  PEFT_ROPE_LLAMA3,
  PEFT_ROPE_YARN
} PeftRopeKind;

typedef struct
{
  PeftRopeKind kind;
  gboolean interleaved;
  double theta, factor;
  double low_freq_factor, high_freq_factor; /* llama3 */
  double beta_fast, beta_slow;              /* yarn */
  double attention_factor;                  /* yarn; < 0: from factor */
  double mscale, mscale_all_dim;            /* yarn; 0: unset */
  gboolean truncate;                        /* yarn */
  gint64 original_max_positions;            /* 0: max_positions */
  double partial;                           /* share of head_dim that is rotated */
} PeftRope;

/* The dimensions and switches of one model: the union of what families need. */
typedef struct
{
  gint64 hidden, n_layers, n_heads, n_kv_heads, head_dim, ffn, vocab, max_positions;
  PeftNormKind norm;
  double norm_eps, norm_weight_offset;
  PeftActivation activation;
  PeftRope rope;
  gboolean qkv_bias, output_bias, mlp_bias, head_bias;
  gboolean qk_norm;
  gboolean fused_qkv, fused_gate_up, conv1d;
  gboolean tied;
  double embedding_scale, attention_scale /* 0: 1/√head_dim */, soft_cap, logit_scale, residual_scale;
  gint64 window;              /* 0: none */
  gboolean *layer_has_window; /* [n_layers]; NULL: all layers when window > 0 */
} PeftDimensions;

/* The keys and values of past tokens, [batch, capacity, kv_heads, head_dim] a layer. */
typedef struct _PeftKvCache PeftKvCache;
PeftKvCache *peft_kv_cache_new (PeftCore *core, gint64 batch, gint64 capacity, GError **error);
void peft_kv_cache_free (PeftKvCache *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftKvCache, peft_kv_cache_free)
gint64 peft_kv_cache_get_length (PeftKvCache *self);
void peft_kv_cache_set_length (PeftKvCache *self, gint64 length);

/* One pass over a batch. Tensors are I32 on the core's backend. */
typedef struct
{
  gint64 batch, length;   /* positions of a line, those of a prompt included */
  gint64 n_virtual;       /* of these, the first ones have no ids: the core's hook makes their embeddings */
  PeftTensor *ids;        /* [batch · (length − n_virtual)] */
  PeftTensor *task_ids;   /* [batch], NULL: none were given */
  PeftTensor *positions;  /* [batch, length] */
  PeftTensor *segments;   /* [batch, length], NULL: all one; -1 marks padding */
  PeftTensor *k_segments; /* [batch, keys], those of a prefix not counted, when there is a cache and padding */
  PeftKvCache *cache;     /* NULL: none; its length grows by `length` */
  gboolean checkpointing; /* drop each layer's nodes and run its forward again */
  gint64 max_position;    /* largest position + 1 of the batch (dynamic rope) */
} PeftForward;

/* What an adapter does to a model outside its slots: a prompt or a prefix. */
typedef struct _PeftCoreHook PeftCoreHook;
typedef struct
{
  /* Embeddings in front of every line: [n_virtual, hidden], or one set a line: [batch, n_virtual, hidden]. */
  PeftVar *(*prompt) (PeftCoreHook *self, PeftTape *tape, const PeftForward *forward);
  /* Keys and values in front of those of a layer, each [n_prefix, kv_heads, head_dim]; no rope is applied. */
  void (*prefix) (PeftCoreHook *self, PeftTape *tape, int layer, PeftVar **keys, PeftVar **values);
  void (*free) (PeftCoreHook *self);
} PeftCoreHookClass;

struct _PeftCoreHook
{
  const PeftCoreHookClass *klass;
  gint64 n_virtual; /* 0: no prompt */
  gint64 n_tasks;   /* 0: the prompt is the same for all lines; else task_ids must be there, from 0 to n_tasks − 1 */
  gint64 n_prefix;  /* 0: no prefix */
};

struct _PeftArchitecture
{
  const char *name;                /* "llama" */
  const char *const *model_types;  /* model_type values of config.json, NULL-terminated */
  const char *const *gguf_names;   /* general.architecture values, NULL-terminated */
  /* Of model_types, those whose class for question answering calls the model in it "transformer"; NULL: none. */
  const char *const *qa_transformer_types;
  gboolean (*read_config) (const PeftJson *config, PeftDimensions *out, GError **error);
  /* Fills an object with the config.json keys that the metadata stands for. */
  gboolean (*gguf_config) (PeftGguf *gguf, PeftJson *config, GError **error);
  /* Creates the slots and loads their weights through peft_core_load_*. */
  gboolean (*load) (PeftCore *core, GError **error);
  /* → the hidden states after the last norm, [batch · length, hidden]. */
  PeftVar *(*forward) (PeftCore *core, PeftTape *tape, const PeftForward *forward);
};

const PeftArchitecture *peft_architecture_find (const char *model_type);
const PeftArchitecture *peft_architecture_find_gguf (const char *name);
const PeftArchitecture *const *peft_architecture_list (void); /* NULL-terminated */
