/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * PeftCheckpointing:
 * @PEFT_CHECKPOINTING_AUTO: chosen from the memory that the run would need
 * @PEFT_CHECKPOINTING_ON: each layer's forward pass runs again in the backward pass: less memory, slower
 * @PEFT_CHECKPOINTING_OFF: everything the backward pass needs is kept
 *
 * Whether activations are kept or computed again.
 *
 * Since: 1.0
 */
typedef enum
{
  PEFT_CHECKPOINTING_AUTO,
  PEFT_CHECKPOINTING_ON,
  PEFT_CHECKPOINTING_OFF
} PeftCheckpointing;

G_END_DECLS
