/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib-object.h>
#include "base/peft-version-macros.h"

G_BEGIN_DECLS

/**
 * PeftCombination:
 * @PEFT_COMBINATION_SVD: the weighted sum of the updates, decomposed; weights count together with the adapters' own scale, which the
 *   updates contain already
 * @PEFT_COMBINATION_LINEAR: the weighted sums of first and of second factors: rough, since factors get mixed
 * @PEFT_COMBINATION_CAT: factors side by side: exact, the ranks add up
 * @PEFT_COMBINATION_TIES: factors pruned by size, signs elected (Yadav et al., arXiv:2306.01708)
 * @PEFT_COMBINATION_TIES_SVD: the same with whole updates, decomposed
 * @PEFT_COMBINATION_DARE_TIES: factors pruned by chance (Yu et al., arXiv:2311.03099), signs elected
 * @PEFT_COMBINATION_DARE_LINEAR: factors pruned by chance, weighted sums
 * @PEFT_COMBINATION_DARE_TIES_SVD: whole updates pruned by chance, signs elected, decomposed
 * @PEFT_COMBINATION_DARE_LINEAR_SVD: whole updates pruned by chance, summed, decomposed
 * @PEFT_COMBINATION_MAGNITUDE_PRUNE: factors pruned by size, weighted sums
 * @PEFT_COMBINATION_MAGNITUDE_PRUNE_SVD: whole updates pruned by size, summed, decomposed
 *
 * How several LoRA adapters become one.
 *
 * Since: 1.0
 */
typedef enum
{
  PEFT_COMBINATION_SVD,
  PEFT_COMBINATION_LINEAR,
  PEFT_COMBINATION_CAT,
  PEFT_COMBINATION_TIES,
  PEFT_COMBINATION_TIES_SVD,
  PEFT_COMBINATION_DARE_TIES,
  PEFT_COMBINATION_DARE_LINEAR,
  PEFT_COMBINATION_DARE_TIES_SVD,
  PEFT_COMBINATION_DARE_LINEAR_SVD,
  PEFT_COMBINATION_MAGNITUDE_PRUNE,
  PEFT_COMBINATION_MAGNITUDE_PRUNE_SVD
} PeftCombination;

G_END_DECLS
