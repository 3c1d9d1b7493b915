/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "data/peft-data-encoded.h"

/* Samples: what one line of a batch holds, namely one row, or with packing several. */
typedef struct
{
  guint32 n;
  guint32 *starts; /* [n + 1] into rows */
  guint32 *rows;   /* of the encoded set */
} PeftDataSamples;

/* One sample for each of the rows given (NULL: all of the set, in order). */
PeftDataSamples *
peft_data_samples_new (const PeftEncodedSet *set, const guint32 *rows, guint32 n);
/* First fit: each row in turn goes into the first sample that has room for it in max_length tokens.
 * No row may be longer than that. */
PeftDataSamples *
peft_data_samples_new_packed (const PeftEncodedSet *set,
                              const guint32 *rows,
                              guint32 n,
                              guint32 max_length);
void
peft_data_samples_free (PeftDataSamples *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftDataSamples, peft_data_samples_free)

/* Tokens of a sample. */
guint32
peft_data_samples_get_length (const PeftDataSamples *self,
                              const PeftEncodedSet *set,
                              guint32 sample);
