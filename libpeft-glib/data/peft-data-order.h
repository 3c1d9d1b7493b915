/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* The one global order of samples: a new permutation each epoch, which depends on seed and epoch
 * alone. */

typedef struct _PeftDataOrder PeftDataOrder;

/* shuffle FALSE: 0 … n-1 in every epoch. */
PeftDataOrder *
peft_data_order_new (guint32 n, guint64 seed, gboolean shuffle);
void
peft_data_order_free (PeftDataOrder *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftDataOrder, peft_data_order_free)

/* n indices; valid until another epoch is asked for. */
const guint32 *
peft_data_order_get_epoch (PeftDataOrder *self, guint64 epoch);

/* Batches in an epoch when each of n_ranks processes takes batch_size samples; the last one may be
 * smaller. */
guint32
peft_data_order_get_n_batches (const PeftDataOrder *self, guint32 batch_size, guint32 n_ranks);
/* The samples of one batch of one process: rank r has r, r + n_ranks, … of the global order. out
 * has room for batch_size; the count is returned (0 is possible in the last batch of several
 * ranks). */
guint32
peft_data_order_get_batch (PeftDataOrder *self,
                           guint64 epoch,
                           guint32 batch,
                           guint32 batch_size,
                           guint32 rank,
                           guint32 n_ranks,
                           guint32 *out);

/* Sets round (n · fraction) of 0 … n-1 aside for evaluation, at least one, and leaves at least one;
 * both parts keep their order. PEFT_ERROR_INVALID_ARGUMENT for a fraction outside (0, 1),
 * PEFT_ERROR_INVALID_DATA for fewer than two. */
gboolean
peft_data_split (guint32 n,
                 double fraction,
                 guint64 seed,
                 guint32 **train,
                 guint32 *n_train,
                 guint32 **eval,
                 guint32 *n_eval,
                 GError **error);
