/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "methods/peft-method.h"

/* Of the Hugging Face names of an adapter's tensors. */
#define PEFT_ADAPTER_PREFIX "base_model.model."
#define PEFT_MODEL_PREFIX "base_model."
#define PEFT_BASE_LAYER ".base_layer"

/* Everything but memory: parameters are declared, hooks made, nothing allocated. */
PeftAdapter *peft_adapter_declare (PeftCore *core, PeftConfig *config, const char *name,
                                   guint64 seed, gboolean loading, gboolean stored_form,
                                   GError **error);
PeftAdapterOverride *peft_adapter_find_override (PeftAdapter *self, PeftSlot *slot);
/* The override of a slot, made when there is none. */
PeftAdapterOverride *peft_adapter_get_override (PeftAdapter *self, PeftSlot *slot);
gboolean peft_adapter_has_hook (PeftAdapter *self, PeftSlot *slot);
/* Is the embedding or head to be saved with the adapter, as by peft's
 * save_embedding_layers="auto"? */
gboolean peft_adapter_saves_base (PeftAdapter *self, PeftSlot *slot);
/* The folder itself, or the subfolder that peft gives to an adapter with another name. */
char *peft_adapter_find_folder (const char *folder, const char *name);
