/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-dtype.h"

/* The tensors of a model file, whatever the format: a table of entries that point into memory
 * mappings. Immutable once its reader hands it out, so any thread may use it. */

#define PEFT_TENSOR_MAX_DIMS 8

typedef struct
{
  const char *name;      /* as the file has it, NUL-terminated UTF-8 */
  PeftDType dtype;       /* PEFT_N_DTYPES: a type this version cannot read */
  const char *type_name; /* the file's name for the type, for messages and listings */
  guint n_dims;
  guint64 shape[PEFT_TENSOR_MAX_DIMS]; /* Hugging Face order, outermost first */
  const guint8 *data; /* little-endian; some files do not align it to the element size */
  guint64 n_bytes;    /* of an unreadable type: up to the next tensor, padding included */
  const char *file; /* path, for messages */
} PeftTensorEntry;

typedef struct _PeftTensorSource PeftTensorSource;

PeftTensorSource *peft_tensor_source_ref (PeftTensorSource *self);
void peft_tensor_source_unref (PeftTensorSource *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftTensorSource, peft_tensor_source_unref)

/* The path that was opened. */
const char *peft_tensor_source_get_name (const PeftTensorSource *self);
gsize peft_tensor_source_get_n (const PeftTensorSource *self);
/* In the order of the data in the files. Entries live as long as the source. */
const PeftTensorEntry *peft_tensor_source_get (const PeftTensorSource *self, gsize index);
/* NULL when there is no such tensor. */
const PeftTensorEntry *peft_tensor_source_lookup (const PeftTensorSource *self, const char *name);
/* Look-up for whoever needs the data: PEFT_ERROR_NOT_FOUND when it is absent,
 * PEFT_ERROR_UNSUPPORTED when its type cannot be read. */
const PeftTensorEntry *peft_tensor_source_require (const PeftTensorSource *self, const char *name,
                                                   GError **error);

/* Number of values; entries of a source never overflow. */
guint64 peft_tensor_entry_get_n_values (const PeftTensorEntry *entry);
/* "[2, 3]", for messages. */
char *peft_tensor_shape_to_string (const guint64 *shape, guint n_dims);

/* For the readers, which fill a new source and seal it before anyone else sees it. */
PeftTensorSource *peft_tensor_source_new (const char *name);
/* Keeps a mapping alive as long as the source. */
void peft_tensor_source_hold (PeftTensorSource *self, GBytes *bytes);
/* Copies a string into memory that lives as long as the source. */
const char *peft_tensor_source_intern (PeftTensorSource *self, const char *string, gssize length);
/* The entry's strings must live as long as the source. */
void peft_tensor_source_add (PeftTensorSource *self, const PeftTensorEntry *entry);
/* Sorts the index; a name that occurs twice is PEFT_ERROR_INVALID_FILE. */
gboolean peft_tensor_source_seal (PeftTensorSource *self, GError **error);
