/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "methods/peft-common-fields.h"
#include "methods/peft-method.h"

/* What LoHa and LoKr share: their fields and their dropouts. */

#define PEFT_LYCORIS_MAX_RANK 65536

/* clang-format off */
#define PEFT_FIELDS_LYCORIS \
  { "r", PEFT_FIELD_INT, "8", .minimum = 1, .maximum = PEFT_LYCORIS_MAX_RANK, .group = "basic", \
    .nick = N_ ("Rank"), \
    .blurb = N_ ("Rank of the update: higher learns more and needs more memory") }, \
  { "alpha", PEFT_FIELD_INT | PEFT_FIELD_DOUBLE, "8", .minimum = -1e6, .maximum = 1e6, \
    .group = "basic", .nick = N_ ("Alpha"), \
    .blurb = N_ ("Strength of the update: it is scaled by alpha divided by the rank") }, \
  { "rank_dropout", PEFT_FIELD_DOUBLE, "0.0", .minimum = 0, .maximum = 1, .group = "advanced", \
    .nick = N_ ("Row dropout"), \
    .blurb = N_ ("Share of the update's rows that is left out of a training step") }, \
  { "module_dropout", PEFT_FIELD_DOUBLE, "0.0", .minimum = 0, .maximum = 1, .group = "advanced", \
    .nick = N_ ("Module dropout"), \
    .blurb = N_ ("Share of the adapted layers that is left out of a training step") }, \
  PEFT_FIELDS_TARGETS, \
  { "rank_pattern", PEFT_FIELD_INT_MAP | PEFT_FIELD_NULL, "{}", .minimum = 1, \
    .maximum = PEFT_LYCORIS_MAX_RANK, .group = "advanced", .nick = N_ ("Ranks by module"), \
    .blurb = N_ ("Ranks of modules whose name ends in, or matches, the key") }, \
  { "alpha_pattern", PEFT_FIELD_NUMBER_MAP | PEFT_FIELD_NULL, "{}", .minimum = -1e6, \
    .maximum = 1e6, .group = "advanced", .nick = N_ ("Alphas by module"), \
    .blurb = N_ ("Alphas of modules whose name ends in, or matches, the key") }, \
  { "use_effective_conv2d", PEFT_FIELD_BOOLEAN, "false", .group = "file", \
    .nick = N_ ("Decomposed convolutions"), \
    .blurb = N_ ("Another form of the update of convolutions; without meaning for language models") }
/* clang-format on */

typedef struct
{
  PeftSlotHook parent;
  double scale; /* alpha / r */
  double rank_dropout, module_dropout;
  guint64 stream;
} PeftLycorisHook;

/* Fills the common part; *r is the slot's rank. Refuses layers that peft refuses. */
gboolean peft_lycoris_hook_init (PeftLycorisHook *self, const PeftSlotHookClass *klass,
                                 PeftAdapter *adapter, PeftSlot *slot, gint64 *r, GError **error);
gboolean peft_lycoris_validate (PeftConfig *config, GError **error);
/* scale, or 0 in a step that the module is left out of: it computes all the same, so that every step takes the same
 * memory. */
double peft_lycoris_get_scale (PeftLycorisHook *self, PeftTape *tape);
/* A mask [n] of ones and zeros, divided by its mean when `scaled`; NULL: nothing is left out. */
PeftVar *peft_lycoris_mask (PeftLycorisHook *self, PeftTape *tape, gint64 n, gboolean scaled);
