/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "methods/peft-method.h"

/* ensure_weight_tying: a head that shares the embedding's weight is adapted as the embedding is. */

/* The configuration with the embedding named in place of a tied head, as peft writes it; else a plain copy. */
PeftConfig *peft_weight_tying_resolve (PeftConfig *config, PeftCore *core, GError **error);
/* After modules_to_save is declared: the head gets the embedding's trained weight. */
void peft_weight_tying_share (PeftAdapter *adapter);
/* The shared weight once more under the head's key, as peft writes it, appended to `out`. */
void peft_weight_tying_export (PeftAdapter *adapter, GPtrArray *out);
