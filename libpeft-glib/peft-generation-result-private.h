/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "peft-generation-result.h"
#include "train/peft-generate.h"

/* Takes ids and text out of generated; copies the prompt. */
PeftGenerationResult *peft_generation_result_new (const PeftPrompt *prompt,
                                                  PeftGenerated *generated);
