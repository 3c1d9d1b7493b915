/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "data/peft-data-encoded.h"

/* Histogram bin b counts lengths in [2^b, 2^(b+1)), the last one all longer ones too. */
#define PEFT_DATA_STATS_BINS 21u

typedef struct
{
  guint32 n_rows; /* as read */
  guint32 n_by_form[PEFT_DATA_N_FORMS];
  guint32 n_kept; /* that can be learnt from */
  guint32 n_cut;
  guint32 n_skipped;
  guint64 n_tokens; /* of the kept rows, as cut */
  guint64 n_targets;
  /* Lengths of the kept rows before cutting. */
  guint32 shortest;
  guint32 median; /* the lower one of two */
  guint32 longest;
  guint32 histogram[PEFT_DATA_STATS_BINS];
} PeftDataStats;

/* encoded may be NULL: rows by form alone. */
void
peft_data_stats_compute (PeftDataStats *self,
                         const PeftDataSet *set,
                         const PeftEncodedSet *encoded);
/* {"rows":…,"forms":{"messages":…},"kept":…,"cut":…,"skipped":…,"tokens":…,"labelled_tokens":…,
 * "length":{"min":…,"median":…,"max":…,"histogram":[{"from":16,"to":31,"rows":3},…]}} */
PeftJson *
peft_data_stats_to_json (const PeftDataStats *self);
