/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "train/peft-optimizer.h"

extern const PeftOptimizer peft_optimizer_adamw;
