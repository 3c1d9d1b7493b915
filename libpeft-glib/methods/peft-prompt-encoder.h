/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "methods/peft-method.h"

/* The networks that make virtual tokens out of trained vectors, with the parameters that peft's have. They are trained
 * and part of checkpoints, but of no adapter file. */

typedef struct _PeftPromptEncoder PeftPromptEncoder;

/* Of the widths in the adapter's configuration: encoder_hidden_size, encoder_num_layers, encoder_dropout. */
PeftPromptEncoder *peft_prompt_encoder_new_mlp (PeftAdapter *adapter);
PeftPromptEncoder *peft_prompt_encoder_new_lstm (PeftAdapter *adapter);
void peft_prompt_encoder_free (PeftPromptEncoder *self);
/* x [tokens, width] → the same shape. */
PeftVar *peft_prompt_encoder_run (PeftPromptEncoder *self, PeftTape *tape, PeftVar *x);
