/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#include "data/peft-data-set.h"
#include "text/peft-tokenizer-core.h"

/* Rows as token ids and labels. Reference counted; not changed any more once it is filled. */

#define PEFT_DATA_IGNORED    (-100)       /* label of a token that is not learnt */
#define PEFT_DATA_NO_TASK    (-1)
#define PEFT_DATA_MAX_TOKENS (1ull << 33) /* of all rows together */

typedef struct
{
  guint64 offset;     /* of the first token */
  const guint8 *mask; /* NULL: all 1; 0 marks padding inside an input_ids row */
  guint32 length;
  guint32 full_length; /* before it was cut */
  guint32 n_targets;   /* labelled tokens that the one before them predicts */
  guint32 source;      /* index of the row in the data set */
  gint32 task;         /* task_id; PEFT_DATA_NO_TASK */
} PeftEncodedRow;

/* Of a question with its context: what a predicted span stands for, and the texts that would be right. */
typedef struct
{
  char *context;
  PeftSpan *spans; /* of each token, in bytes of the context; empty for what is not of it */
  GStrv texts;     /* none: the context has no answer */
} PeftEncodedAnswer;

void
peft_encoded_answer_free (PeftEncodedAnswer *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftEncodedAnswer, peft_encoded_answer_free)

typedef struct _PeftEncodedSet PeftEncodedSet;

PeftEncodedSet *
peft_encoded_set_new (void);
PeftEncodedSet *
peft_encoded_set_ref (PeftEncodedSet *self);
void
peft_encoded_set_unref (PeftEncodedSet *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftEncodedSet, peft_encoded_set_unref)

/* Adds the first max_length tokens of a row; mask may be NULL. A row that has no target left is
 * counted as skipped and not kept. FALSE: PEFT_ERROR_LIMIT. */
gboolean
peft_encoded_set_add (PeftEncodedSet *self,
                      guint32 source,
                      const gint32 *ids,
                      const gint32 *labels,
                      const guint8 *mask,
                      guint32 length,
                      guint32 max_length,
                      GError **error);

/* What the labels are: those of other tasks than CAUSAL_LM belong to the token that they stand at. Before rows are added. */
void
peft_encoded_set_set_purpose (PeftEncodedSet *self, PeftTask task);
PeftTask
peft_encoded_set_get_purpose (const PeftEncodedSet *self);
/* Of the row that was added last; takes answer. */
void
peft_encoded_set_set_answer (PeftEncodedSet *self, PeftEncodedAnswer *answer);
const PeftEncodedAnswer *
peft_encoded_set_get_answer (const PeftEncodedSet *self, guint32 index);
/* Of the rows that are added from now on. */
void
peft_encoded_set_set_task (PeftEncodedSet *self, gint32 task);

guint32
peft_encoded_set_get_n_rows (const PeftEncodedSet *self);
const PeftEncodedRow *
peft_encoded_set_get_row (const PeftEncodedSet *self, guint32 index);
const gint32 *
peft_encoded_set_get_ids (const PeftEncodedSet *self, guint32 index);
const gint32 *
peft_encoded_set_get_labels (const PeftEncodedSet *self, guint32 index);

guint32
peft_encoded_set_get_n_cut (const PeftEncodedSet *self);
guint32
peft_encoded_set_get_n_skipped (const PeftEncodedSet *self);

/* Things the user should be told once: "FILE: what", NULL-terminated. */
void
peft_encoded_set_warn (PeftEncodedSet *self, const char *text);
const char *const *
peft_encoded_set_get_warnings (const PeftEncodedSet *self);
