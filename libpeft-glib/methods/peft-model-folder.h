/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "models/peft-core.h"

/* What lies beside the weights in a Hugging Face model folder. */

/* "float32" …; NULL for a type that such a folder cannot be written in. */
const char *peft_model_folder_dtype_name (PeftDType dtype);
/* Makes the folder where it is missing; refuses the model's own. */
gboolean peft_model_folder_prepare (PeftCore *core, const char *folder, GError **error);
/* config.json. dtype_name NULL: as the original says. */
gboolean peft_model_folder_write_config (PeftCore *core, const char *folder,
                                         const char *dtype_name, gboolean untied, GError **error);
/* Tokenizer, chat template, generation settings: those that the original folder has. */
gboolean peft_model_folder_copy_extras (PeftCore *core, const char *folder, GError **error);
/* Weight files of an earlier model in the folder, but for those in `kept` (a set of names). */
gboolean peft_model_folder_remove_stale (const char *folder, GHashTable *kept, GError **error);

/* peft_core_save_merged with another size of shards. */
gboolean peft_core_save_merged_in_shards (PeftCore *core, GPtrArray *adapters, const char *folder,
                                          PeftDType dtype, guint64 shard_bytes,
                                          GCancellable *cancellable, GError **error);
