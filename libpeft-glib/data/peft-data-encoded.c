/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "data/peft-data-encoded.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"

struct _PeftEncodedSet
{
  gatomicrefcount ref_count;
  GArray *rows; /* PeftEncodedRow */
  gint32 *ids;
  gint32 *labels;
  guint64 n_tokens;
  guint64 capacity;
  GPtrArray *masks;
  guint32 n_cut;
  guint32 n_skipped;
  gint32 task;
  PeftTask purpose;
  GPtrArray *answers; /* PeftEncodedAnswer of each row; shorter where the last ones have none */
  GPtrArray *warnings; /* NULL-terminated */
};

PeftEncodedSet *
peft_encoded_set_new (void)
{
  PeftEncodedSet *self = g_new0 (PeftEncodedSet, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->rows = g_array_new (FALSE, FALSE, sizeof (PeftEncodedRow));
  self->task = PEFT_DATA_NO_TASK;
  self->answers = g_ptr_array_new_with_free_func ((GDestroyNotify)peft_encoded_answer_free);
  self->masks = g_ptr_array_new_with_free_func (g_free);
  self->warnings = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (self->warnings, NULL);
  return self;
}

PeftEncodedSet *
peft_encoded_set_ref (PeftEncodedSet *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
peft_encoded_set_unref (PeftEncodedSet *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_array_unref (self->rows);
  g_free (self->ids);
  g_free (self->labels);
  g_ptr_array_unref (self->masks);
  g_ptr_array_unref (self->answers);
  g_ptr_array_unref (self->warnings);
  g_free (self);
}

/* The first token of a row is predicted by nothing, and neither is one behind padding. */
static guint32
count_targets (const gint32 *labels, const guint8 *mask, guint32 length)
{
  guint32 n = 0;

  for (guint32 i = 1; i < length; i++)
    if (labels[i] != PEFT_DATA_IGNORED && (mask == NULL || (mask[i] != 0 && mask[i - 1] != 0)))
      n++;
  return n;
}

/* Labels that stand at their own tokens. An answer has two, perhaps at the same one. */
static guint32
count_marks (const gint32 *labels, guint32 length, PeftTask purpose)
{
  guint32 n = 0;

  for (guint32 i = 0; i < length; i++)
    if (labels[i] >= 0)
      n += purpose == PEFT_TASK_QUESTION_ANS ? (labels[i] & 1) + (labels[i] >> 1) : 1;
  return n;
}

static void
reserve (PeftEncodedSet *self, guint32 n)
{
  if (self->n_tokens + n <= self->capacity)
    return;
  /* By half: at 2^33 tokens doubling would be felt. */
  self->capacity = MAX (self->n_tokens + n, self->capacity + self->capacity / 2);
  self->ids = g_renew (gint32, self->ids, self->capacity);
  self->labels = g_renew (gint32, self->labels, self->capacity);
}

gboolean
peft_encoded_set_add (PeftEncodedSet *self,
                      guint32 source,
                      const gint32 *ids,
                      const gint32 *labels,
                      const guint8 *mask,
                      guint32 length,
                      guint32 max_length,
                      GError **error)
{
  guint32 kept = MIN (length, max_length);
  PeftEncodedRow row = { .offset = self->n_tokens,
                         .length = kept,
                         .full_length = length,
                         .n_targets = self->purpose == PEFT_TASK_CAUSAL_LM
                                          ? count_targets (labels, mask, kept)
                                          : count_marks (labels, kept, self->purpose),
                         .source = source,
                         .task = self->task };

  if (row.n_targets == 0)
    {
      self->n_skipped++;
      return TRUE;
    }
  if (self->n_tokens + kept > PEFT_DATA_MAX_TOKENS)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                   _ ("expected at most %" PRIu64 " tokens in all rows together"),
                   (guint64)PEFT_DATA_MAX_TOKENS);
      return FALSE;
    }
  if (kept < length)
    self->n_cut++;
  reserve (self, kept);
  memcpy (self->ids + row.offset, ids, kept * sizeof (gint32));
  memcpy (self->labels + row.offset, labels, kept * sizeof (gint32));
  self->n_tokens += kept;
  if (mask != NULL)
    {
      guint8 *copy = g_memdup2 (mask, kept);

      g_ptr_array_add (self->masks, copy);
      row.mask = copy;
    }
  g_array_append_val (self->rows, row);
  return TRUE;
}

void
peft_encoded_answer_free (PeftEncodedAnswer *self)
{
  if (self == NULL)
    return;
  g_free (self->context);
  g_free (self->spans);
  g_strfreev (self->texts);
  g_free (self);
}

void
peft_encoded_set_set_purpose (PeftEncodedSet *self, PeftTask task)
{
  self->purpose = task;
}

PeftTask
peft_encoded_set_get_purpose (const PeftEncodedSet *self)
{
  return self->purpose;
}

void
peft_encoded_set_set_answer (PeftEncodedSet *self, PeftEncodedAnswer *answer)
{
  g_assert (self->rows->len > 0);
  g_ptr_array_set_size (self->answers, (int)self->rows->len);
  self->answers->pdata[self->rows->len - 1] = answer;
}

const PeftEncodedAnswer *
peft_encoded_set_get_answer (const PeftEncodedSet *self, guint32 index)
{
  return index < self->answers->len ? self->answers->pdata[index] : NULL;
}

void
peft_encoded_set_set_task (PeftEncodedSet *self, gint32 task)
{
  self->task = task;
}

guint32
peft_encoded_set_get_n_rows (const PeftEncodedSet *self)
{
  return self->rows->len;
}

const PeftEncodedRow *
peft_encoded_set_get_row (const PeftEncodedSet *self, guint32 index)
{
  g_assert (index < self->rows->len);
  return &g_array_index (self->rows, PeftEncodedRow, index);
}

const gint32 *
peft_encoded_set_get_ids (const PeftEncodedSet *self, guint32 index)
{
  return self->ids + peft_encoded_set_get_row (self, index)->offset;
}

const gint32 *
peft_encoded_set_get_labels (const PeftEncodedSet *self, guint32 index)
{
  return self->labels + peft_encoded_set_get_row (self, index)->offset;
}

guint32
peft_encoded_set_get_n_cut (const PeftEncodedSet *self)
{
  return self->n_cut;
}

guint32
peft_encoded_set_get_n_skipped (const PeftEncodedSet *self)
{
  return self->n_skipped;
}

void
peft_encoded_set_warn (PeftEncodedSet *self, const char *text)
{
  for (guint i = 0; i + 1 < self->warnings->len; i++)
    if (strcmp (g_ptr_array_index (self->warnings, i), text) == 0)
      return;
  g_ptr_array_insert (self->warnings, (int)self->warnings->len - 1, g_strdup (text));
}

const char *const *
peft_encoded_set_get_warnings (const PeftEncodedSet *self)
{
  return (const char *const *)self->warnings->pdata;
}
