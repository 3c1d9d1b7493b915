/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "data/peft-data-order.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>
#include <math.h>

#include "base/peft-error.h"
#include "base/peft-random.h"

struct _PeftDataOrder
{
  guint32 n;
  guint64 seed;
  gboolean shuffle;
  gboolean filled;
  guint64 epoch; /* of indices */
  guint32 *indices;
};

PeftDataOrder *
peft_data_order_new (guint32 n, guint64 seed, gboolean shuffle)
{
  PeftDataOrder *self = g_new0 (PeftDataOrder, 1);

  self->n = n;
  self->seed = seed;
  self->shuffle = shuffle;
  self->indices = g_new (guint32, MAX (n, 1));
  return self;
}

void
peft_data_order_free (PeftDataOrder *self)
{
  g_free (self->indices);
  g_free (self);
}

const guint32 *
peft_data_order_get_epoch (PeftDataOrder *self, guint64 epoch)
{
  if (self->filled && (self->epoch == epoch || !self->shuffle))
    return self->indices;
  if (self->shuffle)
    {
      g_autofree char *name = g_strdup_printf ("data-order/%" PRIu64, epoch);

      peft_random_permutation (self->seed, peft_random_stream (name), self->indices, self->n);
    }
  else
    for (guint32 i = 0; i < self->n; i++)
      self->indices[i] = i;
  self->filled = TRUE;
  self->epoch = epoch;
  return self->indices;
}

guint32
peft_data_order_get_n_batches (const PeftDataOrder *self, guint32 batch_size, guint32 n_ranks)
{
  guint64 rows = (guint64)batch_size * n_ranks;

  g_assert (rows > 0);
  return (guint32)((self->n + rows - 1) / rows);
}

guint32
peft_data_order_get_batch (PeftDataOrder *self,
                           guint64 epoch,
                           guint32 batch,
                           guint32 batch_size,
                           guint32 rank,
                           guint32 n_ranks,
                           guint32 *out)
{
  const guint32 *order = peft_data_order_get_epoch (self, epoch);
  guint64 at = (guint64)batch * batch_size * n_ranks + rank;
  guint32 n = 0;

  g_assert (rank < n_ranks);
  for (; n < batch_size && at < self->n; at += n_ranks)
    out[n++] = order[at];
  return n;
}

static int
compare_indices (gconstpointer a, gconstpointer b)
{
  guint32 x = *(const guint32 *)a;
  guint32 y = *(const guint32 *)b;

  return (x > y) - (x < y);
}

gboolean
peft_data_split (guint32 n,
                 double fraction,
                 guint64 seed,
                 guint32 **train,
                 guint32 *n_train,
                 guint32 **eval,
                 guint32 *n_eval,
                 GError **error)
{
  g_autofree guint32 *order = NULL;
  guint32 k;

  if (!(fraction > 0 && fraction < 1))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("evaluation fraction: expected a number between 0 and 1, found %g"),
                   fraction);
      return FALSE;
    }
  if (n < 2)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   _ ("evaluation fraction: expected at least two rows to divide, found %u"), n);
      return FALSE;
    }
  k = (guint32)CLAMP (round (n * fraction), 1, n - 1);
  order = g_new (guint32, n);
  peft_random_permutation (seed, peft_random_stream ("data-split"), order, n);
  qsort (order, k, sizeof (guint32), compare_indices);
  qsort (order + k, n - k, sizeof (guint32), compare_indices);
  *eval = g_memdup2 (order, k * sizeof (guint32));
  *n_eval = k;
  *train = g_memdup2 (order + k, (n - k) * sizeof (guint32));
  *n_train = n - k;
  return TRUE;
}
