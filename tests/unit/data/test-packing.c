/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/peft-error.h"
#include "data/peft-data-batch.h"
#include "data/peft-data-order.h"
#include "data/peft-data-reader.h"
#include "data/peft-data-stats.h"

/* Row r has ids 100·r, 100·r + 1, …, all labelled. */
static PeftEncodedSet *
make_set (const guint32 *lengths, guint32 n)
{
  PeftEncodedSet *set = peft_encoded_set_new ();

  for (guint32 r = 0; r < n; r++)
    {
      g_autofree gint32 *ids = g_new (gint32, lengths[r]);

      for (guint32 t = 0; t < lengths[r]; t++)
        ids[t] = (gint32)(100 * r + t);
      g_assert_true (peft_encoded_set_add (set, r, ids, ids, NULL, lengths[r], G_MAXUINT32, NULL));
    }
  g_assert_cmpuint (peft_encoded_set_get_n_rows (set), ==, n);
  return set;
}

static void
assert_sample (const PeftDataSamples *samples, guint32 sample, const guint32 *rows, guint32 n)
{
  guint32 start = samples->starts[sample];

  g_assert_cmpmem (samples->rows + start, (samples->starts[sample + 1] - start) * sizeof (guint32),
                   rows, n * sizeof (guint32));
}

static void
test_first_fit (void)
{
  static const guint32 lengths[] = { 6, 5, 4, 3, 2, 10, 2 };
  g_autoptr (PeftEncodedSet) set = make_set (lengths, G_N_ELEMENTS (lengths));
  g_autoptr (PeftDataSamples) samples = peft_data_samples_new_packed (set, NULL, 0, 10);

  /* 6+4, 5+3+2, 10, 2 */
  g_assert_cmpuint (samples->n, ==, 4);
  assert_sample (samples, 0, (guint32[]){ 0, 2 }, 2);
  assert_sample (samples, 1, (guint32[]){ 1, 3, 4 }, 3);
  assert_sample (samples, 2, (guint32[]){ 5 }, 1);
  assert_sample (samples, 3, (guint32[]){ 6 }, 1);
  g_assert_cmpuint (peft_data_samples_get_length (samples, set, 1), ==, 10);
}

/* Against the plain search through all bins, on many rows. */
static void
test_first_fit_many (void)
{
  enum
  {
    N = 1000,
    ROOM = 64
  };
  guint32 lengths[N];
  guint32 rows[N];
  guint32 room[N];
  guint32 bin_of[N];
  guint32 n_bins = 0;
  g_autoptr (PeftEncodedSet) set = NULL;
  g_autoptr (PeftDataSamples) samples = NULL;

  for (guint32 i = 0; i < N; i++)
    lengths[i] = 2 + (i * 2654435761u >> 7) % (ROOM - 1);
  set = make_set (lengths, N);
  for (guint32 i = 0; i < N; i++)
    {
      guint32 b = 0;

      rows[i] = N - 1 - i;
      while (b < n_bins && room[b] < lengths[rows[i]])
        b++;
      if (b == n_bins)
        room[n_bins++] = ROOM;
      room[b] -= lengths[rows[i]];
      bin_of[i] = b;
    }
  samples = peft_data_samples_new_packed (set, rows, N, ROOM);
  g_assert_cmpuint (samples->n, ==, n_bins);
  for (guint32 b = 0; b < n_bins; b++)
    {
      guint32 at = samples->starts[b];

      for (guint32 i = 0; i < N; i++)
        if (bin_of[i] == b)
          g_assert_cmpuint (samples->rows[at++], ==, rows[i]);
      g_assert_cmpuint (at, ==, samples->starts[b + 1]);
    }
}

static void
assert_ints (const gint32 *found, const gint32 *expected, guint32 n)
{
  g_assert_cmpmem (found, n * sizeof (gint32), expected, n * sizeof (gint32));
}

static void
test_batch (void)
{
  static const guint32 lengths[] = { 3, 2, 4 };
  g_autoptr (PeftEncodedSet) set = make_set (lengths, 3);
  g_autoptr (PeftDataSamples) samples = peft_data_samples_new_packed (set, NULL, 0, 5);
  g_autoptr (PeftDataBatch) batch = peft_data_batch_new ();
  const guint32 indices[] = { 1, 0 };

  g_assert_cmpuint (samples->n, ==, 2);
  g_assert_cmpuint (peft_data_batch_find_length (set, samples, indices, 2), ==, 5);
  peft_data_batch_fill (batch, set, samples, indices, 2, 6);
  g_assert_cmpuint (batch->batch, ==, 2);
  g_assert_cmpuint (batch->length, ==, 6);
  assert_ints (batch->ids, (gint32[]){ 200, 201, 202, 203, 0, 0, 0, 1, 2, 100, 101, 0 }, 12);
  assert_ints (batch->labels, (gint32[]){ 200, 201, 202, 203, -100, -100, 0, 1, 2, 100, 101, -100 },
               12);
  assert_ints (batch->positions, (gint32[]){ 0, 1, 2, 3, 0, 1, 0, 1, 2, 0, 1, 0 }, 12);
  assert_ints (batch->segments, (gint32[]){ 0, 0, 0, 0, -1, -1, 0, 0, 0, 1, 1, -1 }, 12);
  g_assert_cmpuint (batch->n_tokens, ==, 9);
  /* The first token of each row is predicted by nothing. */
  g_assert_cmpuint (batch->n_targets, ==, 3 + 2 + 1);

  /* A smaller one in the same memory. */
  peft_data_batch_fill (batch, set, samples, indices, 1, 4);
  assert_ints (batch->ids, (gint32[]){ 200, 201, 202, 203 }, 4);
  g_assert_cmpuint (batch->n_tokens, ==, 4);
  g_assert_cmpuint (batch->n_targets, ==, 3);
}

static void
test_mask (void)
{
  g_autoptr (PeftEncodedSet) set = peft_encoded_set_new ();
  g_autoptr (PeftDataSamples) samples = NULL;
  g_autoptr (PeftDataBatch) batch = peft_data_batch_new ();
  const gint32 ids[] = { 9, 5, 6, 7 };
  const gint32 labels[] = { -100, 5, 6, 7 };
  const guint8 mask[] = { 0, 1, 1, 1 };
  const guint32 index = 0;

  g_assert_true (peft_encoded_set_add (set, 0, ids, labels, mask, 4, 100, NULL));
  samples = peft_data_samples_new (set, NULL, 0);
  peft_data_batch_fill (batch, set, samples, &index, 1, 4);
  assert_ints (batch->segments, (gint32[]){ -1, 0, 0, 0 }, 4);
  assert_ints (batch->positions, (gint32[]){ 0, 1, 2, 3 }, 4);
  g_assert_cmpuint (batch->n_tokens, ==, 3);
  g_assert_cmpuint (batch->n_targets, ==, 2);
}

static void
test_cut_and_skipped (void)
{
  g_autoptr (PeftEncodedSet) set = peft_encoded_set_new ();
  const gint32 ids[] = { 1, 2, 3, 4 };
  const gint32 late[] = { -100, -100, -100, 4 };
  const gint32 first[] = { 1, -100, -100, -100 };

  g_assert_true (peft_encoded_set_add (set, 0, ids, ids, NULL, 4, 3, NULL));
  g_assert_true (peft_encoded_set_add (set, 1, ids, late, NULL, 4, 3, NULL));
  g_assert_true (peft_encoded_set_add (set, 2, ids, first, NULL, 4, 4, NULL));
  g_assert_true (peft_encoded_set_add (set, 3, ids, late, NULL, 4, 4, NULL));
  g_assert_cmpuint (peft_encoded_set_get_n_rows (set), ==, 2);
  g_assert_cmpuint (peft_encoded_set_get_n_cut (set), ==, 1);
  g_assert_cmpuint (peft_encoded_set_get_n_skipped (set), ==, 2);
  g_assert_cmpuint (peft_encoded_set_get_row (set, 0)->length, ==, 3);
  g_assert_cmpuint (peft_encoded_set_get_row (set, 0)->full_length, ==, 4);
  g_assert_cmpuint (peft_encoded_set_get_row (set, 1)->source, ==, 3);
  assert_ints (peft_encoded_set_get_labels (set, 1), late, 4);
}

static void
test_order (void)
{
  enum
  {
    N = 50
  };
  g_autoptr (PeftDataOrder) order = peft_data_order_new (N, 42, TRUE);
  g_autoptr (PeftDataOrder) same = peft_data_order_new (N, 42, TRUE);
  g_autoptr (PeftDataOrder) other = peft_data_order_new (N, 43, TRUE);
  g_autoptr (PeftDataOrder) plain = peft_data_order_new (N, 42, FALSE);
  guint32 first[N];
  gboolean seen[N] = { FALSE };

  memcpy (first, peft_data_order_get_epoch (order, 0), sizeof first);
  for (guint i = 0; i < N; i++)
    {
      g_assert_cmpuint (first[i], <, N);
      g_assert_false (seen[first[i]]);
      seen[first[i]] = TRUE;
      g_assert_cmpuint (peft_data_order_get_epoch (plain, i)[i], ==, i);
    }
  g_assert_true (memcmp (first, peft_data_order_get_epoch (order, 1), sizeof first) != 0);
  g_assert_true (memcmp (first, peft_data_order_get_epoch (other, 0), sizeof first) != 0);
  /* Whatever was asked for before. */
  peft_data_order_get_epoch (same, 7);
  g_assert_cmpmem (first, sizeof first, peft_data_order_get_epoch (same, 0), sizeof first);
  g_assert_cmpmem (first, sizeof first, peft_data_order_get_epoch (order, 0), sizeof first);
}

static void
test_batches (void)
{
  g_autoptr (PeftDataOrder) order = peft_data_order_new (11, 1, FALSE);
  guint32 out[4];

  g_assert_cmpuint (peft_data_order_get_n_batches (order, 4, 1), ==, 3);
  g_assert_cmpuint (peft_data_order_get_batch (order, 0, 2, 4, 0, 1, out), ==, 3);
  g_assert_cmpuint (out[0], ==, 8);
  g_assert_cmpuint (out[2], ==, 10);

  g_assert_cmpuint (peft_data_order_get_n_batches (order, 2, 2), ==, 3);
  g_assert_cmpuint (peft_data_order_get_batch (order, 0, 1, 2, 1, 2, out), ==, 2);
  g_assert_cmpuint (out[0], ==, 5);
  g_assert_cmpuint (out[1], ==, 7);
  g_assert_cmpuint (peft_data_order_get_batch (order, 0, 2, 2, 1, 2, out), ==, 1);
  g_assert_cmpuint (out[0], ==, 9);
  g_assert_cmpuint (peft_data_order_get_n_batches (order, 5, 2), ==, 2);
  g_assert_cmpuint (peft_data_order_get_batch (order, 0, 1, 5, 1, 2, out), ==, 0);
}

static void
test_split (void)
{
  g_autofree guint32 *train = NULL;
  g_autofree guint32 *eval = NULL;
  g_autofree guint32 *train2 = NULL;
  g_autofree guint32 *eval2 = NULL;
  g_autoptr (GError) error = NULL;
  guint32 n_train;
  guint32 n_eval;
  gboolean seen[40] = { FALSE };

  g_assert_true (peft_data_split (40, 0.1, 5, &train, &n_train, &eval, &n_eval, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (n_eval, ==, 4);
  g_assert_cmpuint (n_train, ==, 36);
  for (guint32 i = 0; i < n_eval; i++)
    seen[eval[i]] = TRUE;
  for (guint32 i = 0; i < n_train; i++)
    {
      g_assert_false (seen[train[i]]);
      seen[train[i]] = TRUE;
      g_assert_true (i == 0 || train[i] > train[i - 1]);
    }
  g_assert_true (peft_data_split (40, 0.1, 5, &train2, &n_train, &eval2, &n_eval, &error));
  g_assert_cmpmem (eval, 4 * sizeof (guint32), eval2, 4 * sizeof (guint32));

  g_clear_pointer (&train, g_free);
  g_clear_pointer (&eval, g_free);
  g_assert_true (peft_data_split (2, 0.001, 5, &train, &n_train, &eval, &n_eval, &error));
  g_assert_cmpuint (n_eval, ==, 1);
  g_clear_pointer (&train2, g_free);
  g_clear_pointer (&eval2, g_free);
  g_assert_true (peft_data_split (2, 0.999, 5, &train2, &n_train, &eval2, &n_eval, &error));
  g_assert_cmpuint (n_train, ==, 1);

  g_assert_false (peft_data_split (1, 0.5, 5, &train, &n_train, &eval, &n_eval, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA);
  g_clear_error (&error);
  g_assert_false (peft_data_split (9, 1.0, 5, &train, &n_train, &eval, &n_eval, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT);
}

static void
test_stats (void)
{
  static const char text[]
      = "{\"text\":\"a\"}\n{\"text\":\"b\"}\n{\"text\":\"c\"}\n{\"text\":\"d\"}\n";
  static const guint32 lengths[] = { 2, 3, 17, 5 };
  g_autoptr (PeftDataSet) set = NULL;
  g_autoptr (PeftEncodedSet) encoded = make_set (lengths, 4);
  g_autoptr (PeftJson) json = NULL;
  g_autofree char *printed = NULL;
  g_autoptr (GError) error = NULL;
  PeftDataStats stats;

  set = peft_data_read_text ("x.jsonl", text, strlen (text), NULL, &error);
  g_assert_no_error (error);
  peft_data_stats_compute (&stats, set, encoded);
  json = peft_data_stats_to_json (&stats);
  printed = peft_json_to_string (json, PEFT_JSON_WRITE_COMPACT);
  g_assert_cmpstr (printed, ==,
                   "{\"rows\":4,\"forms\":{\"text\":4},\"kept\":4,\"cut\":0,\"skipped\":0,"
                   "\"tokens\":27,\"labelled_tokens\":23,\"length\":{\"min\":2,\"median\":3,"
                   "\"max\":17,\"histogram\":[{\"from\":2,\"to\":3,\"rows\":2},"
                   "{\"from\":4,\"to\":7,\"rows\":1},{\"from\":16,\"to\":31,\"rows\":1}]}}");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Data/Packing/first-fit", test_first_fit);
  g_test_add_func ("/Peft/Data/Packing/first-fit-many", test_first_fit_many);
  g_test_add_func ("/Peft/Data/Batch/packed", test_batch);
  g_test_add_func ("/Peft/Data/Batch/mask", test_mask);
  g_test_add_func ("/Peft/Data/Encoded/cut-and-skipped", test_cut_and_skipped);
  g_test_add_func ("/Peft/Data/Order/epochs", test_order);
  g_test_add_func ("/Peft/Data/Order/batches", test_batches);
  g_test_add_func ("/Peft/Data/Order/split", test_split);
  g_test_add_func ("/Peft/Data/Stats/json", test_stats);
  return g_test_run ();
}
