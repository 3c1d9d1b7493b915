/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "models/peft-architecture.h"

/* What the config.json of many families have in common. Messages name the field. */

/* hidden_size, num_hidden_layers, … with the given defaults already in *out; checks that all are
 * positive, within limits and divide each other. */
gboolean peft_model_config_read_dimensions (const PeftJson *config, PeftDimensions *out,
                                            GError **error);
/* rope_theta with rope_scaling, or rope_parameters as transformers 5 writes them. */
gboolean peft_model_config_read_rope (const PeftJson *config, PeftDimensions *out, GError **error);
gboolean peft_model_config_read_activation (const PeftJson *config, PeftDimensions *out,
                                            GError **error);

/* The config.json keys that GGUF metadata of most families stand for: "ARCH.block_count" … */
gboolean peft_model_config_from_gguf (PeftGguf *gguf, const char *arch, PeftJson *config,
                                      GError **error);
