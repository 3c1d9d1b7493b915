/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-task.h"
#include "models/peft-architecture.h"
#include "models/peft-load-dtype.h"

/* A loaded base model: dimensions, slots with frozen weights, its backend and the memory of its passes. */

struct _PeftCore
{
  gint ref_count;
  char *path;
  const PeftArchitecture *architecture;
  char *model_type;        /* of config.json; "llama" … also for GGUF files */
  PeftJson *config;        /* config.json; for GGUF files one made from the metadata */
  PeftDimensions dims;
  PeftBackend *backend;
  PeftComputeType compute; /* of matrix products */
  PeftTensorSource *source;
  PeftGguf *gguf;          /* NULL: Hugging Face folder */
  GPtrArray *slots;        /* PeftSlot, in module order */
  GHashTable *by_path;
  PeftSlot *embedding;
  PeftSlot *head;          /* NULL: feature extraction */
  PeftTask task;
  const char *body;        /* what the paths of the transformer's modules begin with: "model." */
  GStrv labels;            /* names of the classes; NULL: the task has none */
  gboolean labels_given;   /* not by config.json: its head may be that of other classes */
  gint64 n_outputs;        /* of the head for each position; feature extraction: the hidden width */
  gint64 pad_id;           /* that classification does not look at; -1: none */
  double head_dropout, initializer_range;
  PeftCoreHook *hook;      /* of the active adapter; not owned, NULL: none */
  gboolean changed;        /* slots have other weights than the files */
  gpointer family;         /* the architecture's own */
  GDestroyNotify family_free;
  PeftTensor *cos_sin;     /* rope table for the positions asked for so far */
  gint64 cos_sin_positions;
  float *rope_factors;     /* [half] divisors of the frequencies, of GGUF files that have them */
  gint64 n_rope_factors;
};

PeftCore *peft_core_load (const char *path, PeftBackend *backend, PeftLoadDType dtype,
                          GCancellable *cancellable, GError **error);
/* The same with a head other than config.json's. */
struct _PeftHeadRequest;
PeftCore *peft_core_load_with_head (const char *path, PeftBackend *backend, PeftLoadDType dtype,
                                    const struct _PeftHeadRequest *request,
                                    GCancellable *cancellable, GError **error);
PeftCore *peft_core_ref (PeftCore *self);
void peft_core_unref (PeftCore *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftCore, peft_core_unref)

PeftSlot *peft_core_find_slot (PeftCore *self, const char *path);
/* Positions that the active adapter puts in front of every line. */
gint64 peft_core_get_n_virtual (PeftCore *self);
gint64 peft_core_get_n_prefix (PeftCore *self);
/* For architectures: puts the prefix in front of a layer's keys and values, [batch, length, kv_heads, head_dim], unless the cache has
 * it already. Replaces both. */
void peft_core_add_prefix (PeftCore *self, PeftTape *tape, const PeftForward *forward, int layer,
                           PeftVar **keys, PeftVar **values);
/* At the end of a pass with a cache. */
void peft_core_advance_cache (PeftCore *self, const PeftForward *forward);
guint64 peft_core_get_n_parameters (PeftCore *self); /* tied weights counted once */
guint64 peft_core_get_weight_bytes (PeftCore *self);

/* For architectures: one slot with the tensors "PATH.weight" and "PATH.bias". Shapes are checked, the tensor's name and
 * both shapes are in the message. gguf_name is the tensor's name in GGUF files without ".weight". */
PeftSlot *peft_core_load_linear (PeftCore *self, const char *path, const char *gguf_name, int layer,
                                 gint64 out_features, gint64 in_features, gboolean bias,
                                 guint unpermute_heads, GError **error);
/* The same without weights in the file: what stands in its place is zero, and `fresh` says so. */
PeftSlot *peft_core_make_linear (PeftCore *self, const char *path, gint64 out_features,
                                 gint64 in_features, gboolean bias, GError **error);
/* Is there a tensor PATH.weight? */
const PeftTensorEntry *peft_core_find_weight (PeftCore *self, const char *path);
PeftSlot *peft_core_load_embedding (PeftCore *self, const char *path, const char *gguf_name,
                                    gint64 rows, gint64 width, GError **error);
PeftSlot *peft_core_load_norm (PeftCore *self, const char *path, const char *gguf_name, int layer,
                               gint64 width, GError **error);
/* A head that shares the embedding's weight. */
PeftSlot *peft_core_tie_head (PeftCore *self, const char *path);
PeftSlot *peft_core_add_attention (PeftCore *self, const char *path, int layer);

/* Makes sure that the rope table reaches `positions`; rebuilt for dynamic scaling. */
gboolean peft_core_prepare_rope (PeftCore *self, gint64 positions, GError **error);

/* For architectures: the embeddings of a pass, [batch · length, hidden], those of a prompt included. */
PeftVar *peft_core_embed (PeftCore *self, PeftTape *tape, const PeftForward *forward);
/* hidden [rows, width] → logits [rows, n_outputs]; a PeftTapeFunc with the core as data. */
PeftVar *peft_core_head (PeftTape *tape, PeftVar *const *inputs, gpointer core);
/* The architecture's forward pass; prepares what it needs. */
PeftVar *peft_core_forward (PeftCore *self, PeftTape *tape, const PeftForward *forward);
