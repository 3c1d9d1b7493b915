/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nn/peft-nodes.h"
#include "nn/peft-param.h"

/* A place in a base model that an adapter can attach to. Its path is the module path that Hugging Face's
 * implementation of the model gives it; its weight has Hugging Face's row order whatever the file had. */

typedef struct _PeftSlot PeftSlot;
typedef struct _PeftSlotHook PeftSlotHook;

typedef enum
{
  PEFT_SLOT_LINEAR,
  PEFT_SLOT_EMBEDDING,
  PEFT_SLOT_NORM,
  PEFT_SLOT_ATTENTION /* the whole attention block: no weight of its own */
} PeftSlotKind;

struct _PeftSlot
{
  PeftSlotKind kind;
  char *path;          /* "model.layers.0.self_attn.q_proj" */
  int layer;           /* -1: outside the layers */
  gint64 in_features;  /* of an embedding: rows of the table */
  gint64 out_features; /* of an embedding: width */
  gboolean conv1d;     /* weight stored [in, out] */
  gboolean is_head;    /* the output embedding or a task's head: not part of all-linear */
  PeftTensor *weight;  /* frozen, stored dtype; a tied head shares the embedding's tensor */
  PeftTensor *bias;    /* NULL: none */
  gboolean tied;       /* the weight is another slot's */
  gboolean fresh;      /* not in the model's files: whoever trains it draws its start values */
  /* Trained in place of the frozen ones (full training, modules_to_save, bias); not owned. */
  PeftParam *weight_param;
  PeftParam *bias_param;
  /* Adapters folded in while a model computes merged, in place of weight and bias; not owned. */
  PeftTensor *merged_weight, *merged_bias;
  GPtrArray *hooks;    /* PeftSlotHook, active adapters in order; not owned */
  /* Of an attention block: its projections; a fused one stands in several places. */
  PeftSlot *q, *k, *v, *o;
};

/* One adapter's part in one slot. */
typedef struct
{
  /* Transforms the input (rotations, scaled inputs); NULL: unchanged. */
  PeftVar *(*before) (PeftSlotHook *self, PeftTape *tape, PeftSlot *slot, PeftVar *x);
  /* What to add to the weight, [out, in] whatever the weight's layout, for updates without a cheaper form; already
   * times the hook's weight. NULL: nothing, also as a result. */
  PeftVar *(*delta) (PeftSlotHook *self, PeftTape *tape, PeftSlot *slot);
  /* From the slot's input and its output so far to its new output; `y` is consumed (transfer full). NULL: unchanged. */
  PeftVar *(*after) (PeftSlotHook *self, PeftTape *tape, PeftSlot *slot, PeftVar *x, PeftVar *y);
  /* The same for embeddings: ids instead of x. */
  PeftVar *(*after_embedding) (PeftSlotHook *self, PeftTape *tape, PeftSlot *slot,
                               PeftTensor *ids, PeftVar *y);
  /* Of an attention block, after its output projection: q is the query with rope, [batch, length, heads, head_dim]. */
  PeftVar *(*after_attention) (PeftSlotHook *self, PeftTape *tape, PeftSlot *slot, PeftVar *q,
                               PeftVar *y);
  /* Adds what the hook does to a copy of the weight: weight float32 [rows, columns] as stored (Conv1D: [in, out]),
   * bias float32 [out] or NULL (when *bias is NULL and the hook needs one it allocates it with g_new0). */
  gboolean (*merge) (PeftSlotHook *self, PeftSlot *slot, float *weight, float **bias,
                     double factor, GError **error);
  void (*free) (PeftSlotHook *self);
} PeftSlotHookClass;

struct _PeftSlotHook
{
  const PeftSlotHookClass *klass;
  double weight; /* the adapter's weight in a combination; 1 */
  /* In a mixed batch: the lines [line, line + n_lines) of the batch's of_lines; of_lines 0: all. */
  guint32 line, n_lines, of_lines;
};

void peft_slot_free (PeftSlot *self);
PeftVar *peft_slot_linear (PeftSlot *self, PeftTape *tape, PeftVar *x);
/* Runs the attention block's hooks. y is consumed. */
PeftVar *peft_slot_attention (PeftSlot *self, PeftTape *tape, PeftVar *q, PeftVar *y);
PeftVar *peft_slot_embed (PeftSlot *self, PeftTape *tape, PeftTensor *ids, double scale);
/* The norm's weight as a variable: the trained one if there is one. */
PeftVar *peft_slot_weight (PeftSlot *self, PeftTape *tape);
PeftVar *peft_slot_bias (PeftSlot *self, PeftTape *tape); /* NULL: none */
