/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "data/peft-data-encode.h"

/* Rows with labels to token ids: what the recipes of transformers do for each task.
 *
 * A text, or two one after the other, each with the tokenizer's special tokens; its class stands at the token that the model
 * classifies by. Words are encoded one by one, and the class of a word stands at its first token. A question comes before
 * its context; an answer that is not in what is kept is marked at position 0, as a missing one is. */

#define PEFT_DATA_MAX_CLASSES (1 << 20)

/* Adds the row to `out`. */
gboolean
peft_data_encode_labelled (const PeftDataSet *set,
                           guint32 index,
                           const PeftDataEncodeOptions *options,
                           PeftEncodedSet *out,
                           GError **error);
/* Names of all classes in the set: the names that occur, in the order of the alphabet; LABEL_0 … where they are numbers. */
GStrv
peft_data_list_labels (const PeftDataSet *set, GError **error);
/* Which token of a text transformers classifies by: the last that is not pad_id; -1: the last that is not masked. mask may
 * be NULL. */
guint32
peft_data_find_pooled (const gint32 *ids, const guint8 *mask, guint32 n, gint64 pad_id);
