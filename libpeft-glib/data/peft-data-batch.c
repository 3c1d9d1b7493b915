/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "data/peft-data-batch.h"

#include <string.h>

PeftDataBatch *
peft_data_batch_new (void)
{
  return g_new0 (PeftDataBatch, 1);
}

void
peft_data_batch_free (PeftDataBatch *self)
{
  g_free (self->ids);
  g_free (self->labels);
  g_free (self->positions);
  g_free (self->segments);
  g_free (self->tasks);
  g_free (self);
}

void
peft_data_batch_reserve (PeftDataBatch *self, guint32 batch, guint32 length)
{
  gsize n = (gsize)batch * length;

  if (batch > self->line_capacity)
    {
      self->tasks = g_renew (gint32, self->tasks, batch);
      for (guint32 i = self->line_capacity; i < batch; i++)
        self->tasks[i] = PEFT_DATA_NO_TASK;
      self->line_capacity = batch;
    }
  if (n <= self->capacity)
    return;
  self->capacity = n;
  self->ids = g_renew (gint32, self->ids, n);
  self->labels = g_renew (gint32, self->labels, n);
  self->positions = g_renew (gint32, self->positions, n);
  self->segments = g_renew (gint32, self->segments, n);
}

guint32
peft_data_batch_find_length (const PeftEncodedSet *set,
                             const PeftDataSamples *samples,
                             const guint32 *indices,
                             guint32 n)
{
  guint32 length = 0;

  for (guint32 i = 0; i < n; i++)
    length = MAX (length, peft_data_samples_get_length (samples, set, indices[i]));
  return length;
}

static void
fill_row (PeftDataBatch *self, const PeftEncodedSet *set, guint32 index, gsize at, gint32 segment)
{
  const PeftEncodedRow *row = peft_encoded_set_get_row (set, index);

  memcpy (self->ids + at, peft_encoded_set_get_ids (set, index), row->length * sizeof (gint32));
  memcpy (self->labels + at, peft_encoded_set_get_labels (set, index),
          row->length * sizeof (gint32));
  for (guint32 t = 0; t < row->length; t++)
    {
      gboolean padding = row->mask != NULL && row->mask[t] == 0;

      self->positions[at + t] = (gint32)t;
      self->segments[at + t] = padding ? PEFT_DATA_PADDING : segment;
      if (!padding)
        self->n_tokens++;
    }
  self->n_targets += row->n_targets;
}

void
peft_data_batch_fill (PeftDataBatch *self,
                      const PeftEncodedSet *set,
                      const PeftDataSamples *samples,
                      const guint32 *indices,
                      guint32 n,
                      guint32 length)
{
  peft_data_batch_reserve (self, n, length);
  self->batch = n;
  self->length = length;
  self->n_tokens = 0;
  self->n_targets = 0;
  for (guint32 i = 0; i < n; i++)
    {
      gsize at = (gsize)i * length;
      gsize end = at + length;
      guint32 first;
      guint32 last;

      g_assert (indices[i] < samples->n);
      first = samples->starts[indices[i]];
      last = samples->starts[indices[i] + 1];
      self->tasks[i] = peft_encoded_set_get_row (set, samples->rows[first])->task;
      for (guint32 r = first; r < last; r++)
        {
          guint32 row_length = peft_encoded_set_get_row (set, samples->rows[r])->length;

          g_assert (row_length <= end - at);
          fill_row (self, set, samples->rows[r], at, (gint32)(r - first));
          at += row_length;
        }
      for (gint32 t = 0; at < end; at++, t++)
        {
          self->ids[at] = 0;
          self->labels[at] = PEFT_DATA_IGNORED;
          self->positions[at] = t;
          self->segments[at] = PEFT_DATA_PADDING;
        }
    }
}
