/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "train/peft-evaluate-task.h"

#include "data/peft-data-labelled.h"
#include "train/peft-metrics.h"

struct _PeftTaskMetrics
{
  PeftCore *core;
  const PeftEncodedSet *set;
  PeftClassMetrics *classes; /* NULL: answers */
  gboolean has_unanswerable; /* rows whose context has no answer */
  guint64 n_answers, n_exact;
  double f1_sum;
};

PeftTaskMetrics *
peft_task_metrics_new (PeftCore *core, const PeftEncodedSet *set)
{
  PeftTaskMetrics *self;

  if (core->task == PEFT_TASK_CAUSAL_LM || core->task == PEFT_TASK_FEATURE_EXTRACTION)
    return NULL;
  self = g_new0 (PeftTaskMetrics, 1);
  self->core = peft_core_ref (core);
  self->set = set;
  if (core->task != PEFT_TASK_QUESTION_ANS)
    self->classes = peft_class_metrics_new ((guint32) core->n_outputs);
  for (guint32 i = 0; self->classes == NULL && i < peft_encoded_set_get_n_rows (set); i++)
    {
      const PeftEncodedAnswer *answer = peft_encoded_set_get_answer (set, i);

      self->has_unanswerable |= answer != NULL && answer->texts[0] == NULL;
    }
  return self;
}

void
peft_task_metrics_free (PeftTaskMetrics *self)
{
  if (self == NULL)
    return;
  g_clear_pointer (&self->classes, peft_class_metrics_free);
  peft_core_unref (self->core);
  g_free (self);
}

/* ---- Classes ------------------------------------------------------------------------------- */

static guint32
find_largest (const float *logits, gint64 n)
{
  gint64 best = 0;

  for (gint64 i = 1; i < n; i++)
    if (logits[i] > logits[best])
      best = i;
  return (guint32) best;
}

static void
add_classes (PeftTaskMetrics *self, const gint32 *labels, guint32 length, const float *logits)
{
  const gint64 n = self->core->n_outputs;

  for (guint32 t = 0; t < length; t++)
    if (labels[t] >= 0)
      peft_class_metrics_add (self->classes, (guint32) labels[t], find_largest (logits + t * n, n));
}

/* ---- Answers ------------------------------------------------------------------------------- */

/* The text of the most probable span; empty where no answer is more probable. */
static char *
predict_text (PeftTaskMetrics *self, const PeftEncodedAnswer *answer, const float *logits, guint32 length)
{
  guint32 start, end;
  double score;

  if (!peft_answer_find (logits, length, answer->spans, &start, &end, &score)
      || (self->has_unanswerable && (double) logits[0] + logits[1] > score))
    return g_strdup ("");
  return g_strndup (answer->context + answer->spans[start].start,
                    answer->spans[end].end - answer->spans[start].start);
}

/* Rows of ids have no text: the positions are the words. */
static void
add_positions (PeftTaskMetrics *self, const gint32 *labels, const float *logits, guint32 length)
{
  guint32 start = 0, end = 0, from = 0, to = 0;
  gint64 common;
  double score;

  for (guint32 t = 0; t < length; t++)
    {
      if (labels[t] > 0 && (labels[t] & PEFT_DATA_ANSWER_START) != 0)
        from = t;
      if (labels[t] > 0 && (labels[t] & PEFT_DATA_ANSWER_END) != 0)
        to = t;
    }
  peft_answer_find (logits, length, NULL, &start, &end, &score);
  common = (gint64) MIN (end, to) - (gint64) MAX (start, from) + 1;
  self->n_exact += start == from && end == to;
  if (common > 0)
    self->f1_sum += 2.0 * (double) common / ((double) (end - start + 1) + (double) (to - from + 1));
}

static void
add_answer (PeftTaskMetrics *self, guint32 row, const gint32 *labels, guint32 length, const float *logits)
{
  const PeftEncodedAnswer *answer = peft_encoded_set_get_answer (self->set, row);
  g_autofree char *text = NULL;

  self->n_answers++;
  if (answer == NULL)
    {
      add_positions (self, labels, logits, length);
      return;
    }
  text = predict_text (self, answer, logits, length);
  self->n_exact += peft_answer_is_exact (text, (const char *const *) answer->texts);
  self->f1_sum += peft_answer_get_f1 (text, (const char *const *) answer->texts);
}

void
peft_task_metrics_add (PeftTaskMetrics *self, const PeftDataBatch *batch, const PeftDataSamples *samples,
                       const guint32 *indices, const float *logits)
{
  const gsize n_virtual = (gsize) peft_core_get_n_virtual (self->core);

  for (guint32 b = 0; b < batch->batch; b++)
    {
      const float *line
          = logits + (b * (n_virtual + batch->length) + n_virtual) * (gsize) self->core->n_outputs;
      const gint32 *labels = batch->labels + (gsize) b * batch->length;
      const guint32 row = samples->rows[samples->starts[indices[b]]];

      if (self->classes != NULL)
        add_classes (self, labels, batch->length, line);
      else
        add_answer (self, row, labels, peft_encoded_set_get_row (self->set, row)->length, line);
    }
}

PeftJson *
peft_task_metrics_to_json (PeftTaskMetrics *self, double *accuracy)
{
  const double n = (double) MAX (self->n_answers, 1);
  PeftJson *json;

  if (self->classes != NULL)
    {
      *accuracy = (double) self->classes->correct / (double) MAX (self->classes->total, 1);
      return peft_class_metrics_to_json (self->classes, (const char *const *) self->core->labels,
                                         self->core->task == PEFT_TASK_TOKEN_CLS ? "O" : NULL);
    }
  *accuracy = (double) self->n_exact / n;
  json = peft_json_new_object ();
  peft_json_set (json, "exact_match", peft_json_new_double (*accuracy));
  peft_json_set (json, "f1", peft_json_new_double (self->f1_sum / n));
  return json;
}
