/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "methods/peft-method.h"

/* The parts of LoRA: its hook (peft-lora-hook.c), DoRA (peft-lora-dora.c), how the factors start and what they become in
 * a file (peft-lora-init.c). */

typedef struct
{
  PeftSlotHook parent;
  PeftAdapter *adapter; /* not owned */
  PeftSlot *slot;
  PeftParam *a, *b, *bias;
  /* A₀ and -B₀ of starts that take a part out of the weight (PiSSA, OLoRA): the base is W - s · B₀ A₀; NULL: it is W. */
  PeftParam *start_a, *start_b;
  /* DoRA: the length of each output's weights, and ‖W‖² of each. NULL: plain LoRA. */
  PeftParam *magnitude;
  PeftTensor *row_squares; /* [1, out] */
  /* Of an embedding whose head is tied: A and B as they were before the step. */
  PeftParam *before_a, *before_b;
  gint64 rank;
  double scale;
  double embedding_scale;
  double dropout;
  guint64 stream;
} PeftLoraHook;

/* Does dropout act on the hook's input? */
gboolean peft_lora_drops (PeftLoraHook *self, PeftTape *tape);
/* A [r, in] and B [out, r]; with a start that takes a part out, [A; A₀] and [B, -B₀]. */
void peft_lora_get_factors (PeftLoraHook *self, PeftTape *tape, PeftVar **a, PeftVar **b);
/* y + scale · (x Aᵀ) Bᵀ; y is consumed (transfer full). */
PeftVar *peft_lora_add (PeftTape *tape, PeftVar *y, PeftVar *x, PeftVar *a, PeftVar *b,
                        PeftVar *bias, double scale);
/* (A of the ids) Bᵀ times scale and the embedding's scale. */
PeftVar *peft_lora_embed (PeftLoraHook *self, PeftTape *tape, PeftTensor *ids, PeftVar *a,
                          PeftVar *b, double scale);
/* values [rows, columns] → [columns, rows] (transfer full); NULL with PEFT_ERROR_OUT_OF_MEMORY. */
float *peft_lora_transpose (const float *values, gsize rows, gsize columns, GError **error);
/* The base weight as [out, in] float32 whatever the layout, with what the adapter's file brought. */
float *peft_lora_read_weight (PeftLoraHook *self, GError **error);
/* Adds scale · (B A - B₀ A₀) to a weight as the slot stores it. */
gboolean peft_lora_add_product (PeftLoraHook *self, float *weight, double scale, GError **error);

PeftVar *peft_lora_dora_after (PeftLoraHook *self, PeftTape *tape, PeftVar *x, PeftVar *y);
PeftVar *peft_lora_dora_after_embedding (PeftLoraHook *self, PeftTape *tape, PeftTensor *ids,
                                         PeftVar *y);
gboolean peft_lora_dora_merge (PeftLoraHook *self, float *weight, double factor, GError **error);
void peft_lora_dora_declare (PeftLoraHook *self);
/* weight: [out, in]. Sets the magnitude unless a file brought it. */
gboolean peft_lora_dora_prepare (PeftLoraHook *self, const float *weight, GError **error);

/* Declares A, B, their bias and what they start from. */
gboolean peft_lora_declare (PeftLoraHook *self, GError **error);
/* Refuses start values that the configuration as a whole cannot have. */
gboolean peft_lora_check_init (PeftConfig *config, GError **error);
/* Is there a start that takes a part out of the weights? */
gboolean peft_lora_changes_base (PeftConfig *config);
/* Start values that come from the base weights. weight: [out, in]. */
gboolean peft_lora_prepare_start (PeftLoraHook *self, const float *weight, GError **error);
/* The same adapter for the unchanged base: twice the rank, [A; A₀] and [B, -B₀]. */
gboolean peft_lora_convert (PeftAdapter *adapter, GPtrArray *out, PeftConfig **config,
                            GError **error);
/* The hook of an adapter on a slot; NULL: none of LoRA. */
PeftLoraHook *peft_lora_find_hook (PeftAdapter *adapter, PeftSlot *slot);

extern const PeftSlotHookClass peft_lora_hook_class;

/* ensure_weight_tying for targets: a head that shares the embedding's weight gets the embedding's factors, turned round. */
gboolean peft_lora_tie_head (PeftAdapter *adapter, GError **error);
gboolean peft_lora_tie_prepare (PeftAdapter *adapter, GError **error);
/* Before the first and after each step. */
void peft_lora_tie_remember (PeftAdapter *adapter);
void peft_lora_tie_follow (PeftAdapter *adapter);
