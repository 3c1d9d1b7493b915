/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Which ranks AdaLoRA keeps (Zhang et al., "Adaptive budget allocation for parameter-efficient fine-tuning", arXiv:2303.10512),
 * on the host and without knowing a model: a layer is the three arrays A [r, in], E [r], B [out, r].
 *
 * Importance of an element: I = |p g|; Ī ← β₁ Ī + (1 − β₁) I; Ū ← β₂ Ū + (1 − β₂) |I − Ī|; score Ī Ū. A rank's
 * score is that of its E plus the means over its row of A and its column of B. Of all layers together the ranks whose
 * score is at most the k-th smallest are dropped, k = ranks − budget; so that several ranks of exactly that score go
 * together, which leaves fewer than the budget, as in the Python library peft. */

typedef struct
{
  gint64 init_r, target_r, tinit, tfinal, delta_t, total_step;
  double beta1, beta2;
} PeftRankSchedule;

/* Ranks to keep at a step (from 1) out of `initial`, heading for `target`. *mask: whether to drop ranks now. */
gint64 peft_rank_schedule_get_budget (const PeftRankSchedule *self, gint64 step, gint64 initial,
                                      gint64 target, gboolean *mask);

/* Moves the averages of n values. scale: of the gradient. */
void peft_rank_update_importance (const PeftRankSchedule *self, const float *p, const float *g,
                                  double scale, float *average, float *uncertainty, gsize n);

typedef struct
{
  gsize r, n_in, n_out;
  const float *average[3], *uncertainty[3]; /* of A, E, B */
  float *score; /* [r], out */
} PeftRankLayer;

/* Scores of one layer's ranks. */
void peft_rank_score (PeftRankLayer *layer);
/* The score up to which ranks are dropped; -INFINITY: none. */
float peft_rank_find_threshold (const PeftRankLayer *layers, gsize n_layers, gint64 n_dropped);
