/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "train/peft-train-loop.h"

/* README.md of a trained adapter. */
gboolean peft_model_card_write (PeftAdapter *adapter, const PeftTrainOptions *options,
                                const PeftTrainResult *result, GError **error);
