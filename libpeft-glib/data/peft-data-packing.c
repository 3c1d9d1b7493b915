/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "data/peft-data-packing.h"

/* Room left in each bin, as a binary tree of maxima: node i has the children 2i and 2i + 1, leaf j
 * is node n_leaves + j. Bins that nothing is in yet have all their room, so the leftmost leaf with
 * enough room is the first fit. */
typedef struct
{
  guint32 n_leaves;
  guint32 *room;
} Bins;

static guint32
bins_take (Bins *self, guint32 length)
{
  gsize node = 1;
  guint32 bin;

  g_assert (self->room[1] >= length);
  while (node < self->n_leaves)
    node = self->room[2 * node] >= length ? 2 * node : 2 * node + 1;
  bin = (guint32)(node - self->n_leaves);
  self->room[node] -= length;
  for (node /= 2; node > 0; node /= 2)
    self->room[node] = MAX (self->room[2 * node], self->room[2 * node + 1]);
  return bin;
}

static PeftDataSamples *
samples_new (guint32 n_samples, guint32 n_rows)
{
  PeftDataSamples *self = g_new0 (PeftDataSamples, 1);

  self->n = n_samples;
  self->starts = g_new0 (guint32, (gsize)n_samples + 1);
  self->rows = g_new (guint32, MAX (n_rows, 1));
  return self;
}

PeftDataSamples *
peft_data_samples_new (const PeftEncodedSet *set, const guint32 *rows, guint32 n)
{
  PeftDataSamples *self;

  if (rows == NULL)
    n = peft_encoded_set_get_n_rows (set);
  self = samples_new (n, n);
  for (guint32 i = 0; i < n; i++)
    {
      self->starts[i + 1] = i + 1;
      self->rows[i] = rows != NULL ? rows[i] : i;
    }
  return self;
}

PeftDataSamples *
peft_data_samples_new_packed (const PeftEncodedSet *set,
                              const guint32 *rows,
                              guint32 n,
                              guint32 max_length)
{
  g_autofree guint32 *room = NULL;
  g_autofree guint32 *bin_of = NULL;
  PeftDataSamples *self;
  Bins bins = { 1, NULL };
  guint32 n_bins = 0;

  if (rows == NULL)
    n = peft_encoded_set_get_n_rows (set);
  while (bins.n_leaves < n)
    bins.n_leaves *= 2;
  bins.room = room = g_new (guint32, 2 * (gsize)bins.n_leaves);
  for (gsize i = 0; i < 2 * (gsize)bins.n_leaves; i++)
    room[i] = max_length;
  bin_of = g_new (guint32, MAX (n, 1));
  for (guint32 i = 0; i < n; i++)
    {
      bin_of[i]
          = bins_take (&bins, peft_encoded_set_get_row (set, rows != NULL ? rows[i] : i)->length);
      n_bins = MAX (n_bins, bin_of[i] + 1);
    }

  self = samples_new (n_bins, n);
  for (guint32 i = 0; i < n; i++)
    self->starts[bin_of[i] + 1]++;
  for (guint32 b = 0; b < n_bins; b++)
    self->starts[b + 1] += self->starts[b];
  for (guint32 b = 0; b < n_bins; b++)
    room[b] = self->starts[b];
  for (guint32 i = 0; i < n; i++)
    self->rows[room[bin_of[i]]++] = rows != NULL ? rows[i] : i;
  return self;
}

void
peft_data_samples_free (PeftDataSamples *self)
{
  g_free (self->starts);
  g_free (self->rows);
  g_free (self);
}

guint32
peft_data_samples_get_length (const PeftDataSamples *self,
                              const PeftEncodedSet *set,
                              guint32 sample)
{
  guint32 length = 0;

  g_assert (sample < self->n);
  for (guint32 i = self->starts[sample]; i < self->starts[sample + 1]; i++)
    length += peft_encoded_set_get_row (set, self->rows[i])->length;
  return length;
}
