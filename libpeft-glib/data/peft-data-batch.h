/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "data/peft-data-packing.h"

#define PEFT_DATA_PADDING (-1) /* segment of a position that holds no token */

/* A batch on the host: [batch, length], row-major. labels stand beside their ids; the loss shifts
 * them: position t predicts t + 1, when both are in the same segment and that is not padding. */
typedef struct
{
  guint32 batch;
  guint32 length;
  gint32 *ids;       /* 0 in padding */
  gint32 *labels;    /* PEFT_DATA_IGNORED in padding */
  gint32 *positions; /* from 0 in each segment */
  gint32 *segments;  /* from 0 in each line; PEFT_DATA_PADDING */
  gint32 *tasks;     /* [batch]; PEFT_DATA_NO_TASK */
  guint64 n_tokens;  /* without padding */
  guint64 n_targets; /* positions the loss is the mean of */
  gsize capacity;
  guint32 line_capacity;
} PeftDataBatch;

PeftDataBatch *
peft_data_batch_new (void);
void
peft_data_batch_free (PeftDataBatch *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftDataBatch, peft_data_batch_free)

/* Makes room once for what will be filled in, so that filling allocates nothing. */
void
peft_data_batch_reserve (PeftDataBatch *self, guint32 batch, guint32 length);

/* The longest of these samples. */
guint32
peft_data_batch_find_length (const PeftEncodedSet *set,
                             const PeftDataSamples *samples,
                             const guint32 *indices,
                             guint32 n);
/* Fills n samples, padded on the right to length, which is at least that of the longest. */
void
peft_data_batch_fill (PeftDataBatch *self,
                      const PeftEncodedSet *set,
                      const PeftDataSamples *samples,
                      const guint32 *indices,
                      guint32 n,
                      guint32 length);
