/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "data/peft-data-set-private.h"

/* Rows with labels: one class a text, one a token, or the answer to a question. They are kept as JSON objects of one form a
 * task:
 *   SEQ_CLS       text, text_pair (if any), label
 *   TOKEN_CLS     tokens, labels
 *   QUESTION_ANS  question, context, answers: [{text, start}], start in characters
 * A label is a class's number or its name. Rows of input_ids have the numbers at the positions that they belong to: that
 * of a text at its last token, those of an answer as the bits PEFT_DATA_ANSWER_START and PEFT_DATA_ANSWER_END. */

#define PEFT_DATA_ANSWER_START 1
#define PEFT_DATA_ANSWER_END   2

/* As peft_data_form_read, for a task with labels. */
gboolean
peft_data_labelled_read (PeftDataSet *set,
                         PeftTask task,
                         const PeftJson *record,
                         GHashTable *used,
                         PeftDataRow *row,
                         GError **error);
