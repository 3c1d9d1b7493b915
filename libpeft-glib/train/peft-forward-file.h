/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "methods/peft-method.h"

/* One pass from file to file: the `forward` subcommand. */

typedef struct
{
  const char *input, *output; /* .safetensors */
  const char *state;          /* (nullable) full trainable state */
  gboolean gradients;
  gboolean train_mode;        /* dropout is active */
  guint64 seed;
} PeftForwardFileOptions;

/* adapter: NULL or active. */
gboolean peft_forward_file (PeftCore *core, PeftAdapter *adapter,
                            const PeftForwardFileOptions *options, GCancellable *cancellable,
                            GError **error);
