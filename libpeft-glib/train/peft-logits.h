/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* What happens to one row of logits before a token is drawn, in the order of transformers' generate: repetition
 * penalty, temperature, top-k, top-p, min-p. */

typedef struct
{
  gboolean do_sample;
  double temperature, top_p, min_p, repetition_penalty;
  guint32 top_k;
} PeftLogitsOptions;

typedef struct _PeftLogits PeftLogits;
PeftLogits *peft_logits_new (gsize vocab);
void peft_logits_free (PeftLogits *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftLogits, peft_logits_free)

/* In place; tokens that are out become -infinity. ids: those so far, prompt included. */
void peft_logits_process (PeftLogits *self, const PeftLogitsOptions *options, float *logits,
                          const gint32 *ids, gsize n_ids);
/* The largest, the first of equals; or by chance with `uniform` in [0, 1). -1: not a number is among them. */
gint32 peft_logits_pick_greedy (const float *logits, gsize vocab);
gint32 peft_logits_pick (PeftLogits *self, const float *logits, float uniform);
