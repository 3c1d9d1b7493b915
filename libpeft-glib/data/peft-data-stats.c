/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "data/peft-data-stats.h"

#include <string.h>

static int
compare_lengths (gconstpointer a, gconstpointer b)
{
  guint32 x = *(const guint32 *)a;
  guint32 y = *(const guint32 *)b;

  return (x > y) - (x < y);
}

static void
add_lengths (PeftDataStats *self, const PeftEncodedSet *encoded)
{
  guint32 n = peft_encoded_set_get_n_rows (encoded);
  g_autofree guint32 *lengths = g_new (guint32, MAX (n, 1));

  for (guint32 i = 0; i < n; i++)
    {
      const PeftEncodedRow *row = peft_encoded_set_get_row (encoded, i);
      guint bin = (guint)g_bit_nth_msf (row->full_length, -1);

      lengths[i] = row->full_length;
      self->histogram[MIN (bin, PEFT_DATA_STATS_BINS - 1)]++;
      self->n_tokens += row->length;
      self->n_targets += row->n_targets;
    }
  if (n == 0)
    return;
  qsort (lengths, n, sizeof (guint32), compare_lengths);
  self->shortest = lengths[0];
  self->median = lengths[(n - 1) / 2];
  self->longest = lengths[n - 1];
}

void
peft_data_stats_compute (PeftDataStats *self, const PeftDataSet *set, const PeftEncodedSet *encoded)
{
  memset (self, 0, sizeof *self);
  self->n_rows = peft_data_set_get_n_rows (set);
  for (guint file = 0; file < peft_data_set_get_n_files (set); file++)
    self->n_by_form[peft_data_set_get_form (set, file)]
        += peft_data_set_get_n_file_rows (set, file);
  if (encoded == NULL)
    return;
  self->n_kept = peft_encoded_set_get_n_rows (encoded);
  self->n_cut = peft_encoded_set_get_n_cut (encoded);
  self->n_skipped = peft_encoded_set_get_n_skipped (encoded);
  add_lengths (self, encoded);
}

static PeftJson *
length_to_json (const PeftDataStats *self)
{
  PeftJson *length = peft_json_new_object ();
  PeftJson *bins = peft_json_new_array ();

  peft_json_set (length, "min", peft_json_new_int (self->shortest));
  peft_json_set (length, "median", peft_json_new_int (self->median));
  peft_json_set (length, "max", peft_json_new_int (self->longest));
  for (guint b = 0; b < PEFT_DATA_STATS_BINS; b++)
    {
      PeftJson *bin;

      if (self->histogram[b] == 0)
        continue;
      bin = peft_json_new_object ();
      peft_json_set (bin, "from", peft_json_new_int ((gint64)1 << b));
      peft_json_set (bin, "to",
                     b + 1 < PEFT_DATA_STATS_BINS ? peft_json_new_int (((gint64)2 << b) - 1)
                                                  : peft_json_new_int (self->longest));
      peft_json_set (bin, "rows", peft_json_new_int (self->histogram[b]));
      peft_json_append (bins, bin);
    }
  peft_json_set (length, "histogram", bins);
  return length;
}

PeftJson *
peft_data_stats_to_json (const PeftDataStats *self)
{
  PeftJson *json = peft_json_new_object ();
  PeftJson *forms = peft_json_new_object ();

  for (guint form = 0; form < PEFT_DATA_N_FORMS; form++)
    if (self->n_by_form[form] > 0)
      peft_json_set (forms, peft_data_form_get_name (form),
                     peft_json_new_int (self->n_by_form[form]));
  peft_json_set (json, "rows", peft_json_new_int (self->n_rows));
  peft_json_set (json, "forms", forms);
  peft_json_set (json, "kept", peft_json_new_int (self->n_kept));
  peft_json_set (json, "cut", peft_json_new_int (self->n_cut));
  peft_json_set (json, "skipped", peft_json_new_int (self->n_skipped));
  peft_json_set (json, "tokens", peft_json_new_int ((gint64)self->n_tokens));
  peft_json_set (json, "labelled_tokens", peft_json_new_int ((gint64)self->n_targets));
  if (self->n_kept > 0)
    peft_json_set (json, "length", length_to_json (self));
  return json;
}
