/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Which ranks AdaLoRA keeps (Zhang et al., "Adaptive budget allocation for parameter-efficient fine-tuning", arXiv:2303.10512),
 * on the host and without knowing a model: a layer is the three arrays A [r, in], E [r], B [out, r].
 *
 * Importance of an element: I = |p g|; Ī ← β₁ Ī + (1 − β₁) I; Ū ← β₂ Ū + (1 − β₂) |I − Ī|; score Ī Ū. A rank's
 * score is that of its E plus the means over its row of A and its column of B. Of all layers together the ranks whose
 * score is at most the k-th smallest are dropped, k = ranks − budget.
 *
 * Ties: ranks whose score equals the k-th smallest go together, which leaves fewer than the budget, as in the Python
 * library peft. With scores that are apart by less than the rounding of a mean in float32 the two may choose differently;
 * the means here are taken in float64. */

typedef struct
{
  gint64 init_r, target_r, tinit, tfinal, delta_t, total_step;
  double beta1, beta2;
} PeftRankSchedule;

typedef struct
{
  gint64 budget;    /* ranks to keep, of all layers together */
  gboolean measure; /* importance moves */
  gboolean drop;    /* the least important ranks are chosen anew and dropped */
  gboolean hold;    /* those that were dropped last are dropped again: the optimiser has moved their E */
} PeftRankStep;

/* What happens at a step (from 1) out of `initial` ranks, heading for `target`. */
PeftRankStep peft_rank_schedule_get_step (const PeftRankSchedule *self, gint64 step, gint64 initial,
                                          gint64 target);

/* Moves the averages of n values. scale: of the gradient. */
void peft_rank_update_importance (const PeftRankSchedule *self, const float *p, const float *g,
                                  double scale, float *average, float *uncertainty, gsize n);

typedef struct
{
  gsize r, n_in, n_out;
  const float *average[3], *uncertainty[3]; /* of A, E, B */
  float *mask; /* [r], out: 1 for the ranks that are left, 0 for those that are dropped */
} PeftRankLayer;

/* Scores the ranks of all layers and drops n_dropped of them, more where scores are equal. */
void peft_rank_drop (PeftRankLayer *layers, gsize n_layers, gint64 n_dropped);
