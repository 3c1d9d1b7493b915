/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "formats/peft-tensor-source.h"

/* Writes a safetensors file that appears whole or not at all, tensor by tensor, so that no more
 * than one of them need be in memory. Declare all tensors, begin, write their data in the order of
 * the file, commit. The layout is that of the Python package safetensors. */

typedef struct _PeftSafetensorsWriter PeftSafetensorsWriter;

PeftSafetensorsWriter *peft_safetensors_writer_new (void);
void peft_safetensors_writer_free (PeftSafetensorsWriter *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftSafetensorsWriter, peft_safetensors_writer_free)

/* PEFT_ERROR_INVALID_ARGUMENT for a name that is not UTF-8 or a size that overflows,
 * PEFT_ERROR_UNSUPPORTED for a dtype that the format lacks. */
gboolean peft_safetensors_writer_add (PeftSafetensorsWriter *self, const char *name,
                                      PeftDType dtype, const guint64 *shape, guint n_dims,
                                      GError **error);
/* Replaces an earlier value of the key. */
void peft_safetensors_writer_set_metadata (PeftSafetensorsWriter *self, const char *key,
                                           const char *value);

/* Fixes the order, opens the file and writes the header. A name declared twice is an error. */
gboolean peft_safetensors_writer_begin (PeftSafetensorsWriter *self, const char *path,
                                        GError **error);
/* After begin: the tensors in the order of the file; data is NULL. */
gsize peft_safetensors_writer_get_n_tensors (const PeftSafetensorsWriter *self);
const PeftTensorEntry *peft_safetensors_writer_get_entry (const PeftSafetensorsWriter *self,
                                                          gsize index);
/* The next bytes of a tensor, all of it or a piece. */
gboolean peft_safetensors_writer_write (PeftSafetensorsWriter *self, const char *name,
                                        gconstpointer data, gsize n_bytes, GError **error);
gboolean peft_safetensors_writer_commit (PeftSafetensorsWriter *self, GError **error);

/* All at once. Of each entry name, dtype, n_dims, shape, data and n_bytes count. metadata is NULL
 * or key, value, …, NULL. */
gboolean peft_safetensors_save (const char *path, const PeftTensorEntry *entries, gsize n_entries,
                                const char *const *metadata, GError **error);
