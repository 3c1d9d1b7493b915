/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "formats/peft-tensor-source.h"

/* Reader of safetensors files: 8 bytes of header length, a JSON header, then the data of the
 * tensors without holes. One object is one file or all the shards of a model. Opening maps the
 * files and reads the headers only. */

#define PEFT_SAFETENSORS_MAX_HEADER_BYTES 100000000u /* the reference implementation's limit */
#define PEFT_SAFETENSORS_MAX_SHARDS 4096u

#define PEFT_SAFETENSORS_FILE "model.safetensors"
#define PEFT_SAFETENSORS_INDEX "model.safetensors.index.json"

typedef struct _PeftSafetensors PeftSafetensors;

/* A .safetensors file, an index (its name ends in ".index.json"), or a folder that holds
 * model.safetensors or model.safetensors.index.json. */
PeftSafetensors *peft_safetensors_open (const char *path, GError **error);
/* The name stands for the path in messages. */
PeftSafetensors *peft_safetensors_open_bytes (GBytes *bytes, const char *name, GError **error);

PeftSafetensors *peft_safetensors_ref (PeftSafetensors *self);
void peft_safetensors_unref (PeftSafetensors *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftSafetensors, peft_safetensors_unref)

/* (transfer none); a reference to it keeps the tensors alive without the reader. */
PeftTensorSource *peft_safetensors_get_source (const PeftSafetensors *self);

gsize peft_safetensors_get_n_tensors (const PeftSafetensors *self);
const PeftTensorEntry *peft_safetensors_get_entry (const PeftSafetensors *self, gsize index);
const PeftTensorEntry *peft_safetensors_lookup (const PeftSafetensors *self, const char *name);
/* Of a sharded model: the first shard's that has the key. NULL when absent. */
const char *peft_safetensors_get_metadata (const PeftSafetensors *self, const char *key);
