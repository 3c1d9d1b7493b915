/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "train/peft-logits.h"

#include <math.h>
#include <stdlib.h>

struct _PeftLogits
{
  gsize vocab;
  guint8 *seen; /* by token */
  guint32 *order;
  double *probabilities;
};

PeftLogits *
peft_logits_new (gsize vocab)
{
  PeftLogits *self = g_new0 (PeftLogits, 1);

  self->vocab = vocab;
  self->seen = g_new0 (guint8, vocab);
  self->order = g_new (guint32, vocab);
  self->probabilities = g_new (double, vocab);
  return self;
}

void
peft_logits_free (PeftLogits *self)
{
  g_free (self->seen);
  g_free (self->order);
  g_free (self->probabilities);
  g_free (self);
}

static void
penalise (PeftLogits *self, float *logits, double penalty, const gint32 *ids, gsize n_ids)
{
  for (gsize i = 0; i < n_ids; i++)
    {
      float *logit = &logits[ids[i]];

      if (self->seen[ids[i]])
        continue;
      self->seen[ids[i]] = TRUE;
      *logit = *logit < 0 ? *logit * (float) penalty : *logit / (float) penalty;
    }
  for (gsize i = 0; i < n_ids; i++)
    self->seen[ids[i]] = FALSE;
}

static void
softmax (PeftLogits *self, const float *logits)
{
  float largest = -INFINITY;
  double sum = 0;

  for (gsize i = 0; i < self->vocab; i++)
    largest = MAX (largest, logits[i]);
  for (gsize i = 0; i < self->vocab; i++)
    sum += self->probabilities[i] = exp ((double) logits[i] - largest);
  for (gsize i = 0; i < self->vocab; i++)
    self->probabilities[i] /= sum;
}

static int
compare_descending (gconstpointer a, gconstpointer b, gpointer data)
{
  const float *logits = data;
  guint32 x = *(const guint32 *) a, y = *(const guint32 *) b;

  if (logits[x] != logits[y])
    return logits[x] > logits[y] ? -1 : 1;
  return x < y ? -1 : 1;
}

/* The tokens that are still in, the largest first; their number. */
static gsize
sort_tokens (PeftLogits *self, float *logits)
{
  gsize n = 0;

  for (gsize i = 0; i < self->vocab; i++)
    if (logits[i] > -INFINITY)
      self->order[n++] = i;
  g_qsort_with_data (self->order, n, sizeof (guint32), compare_descending, logits);
  return n;
}

/* Of equal logits at the border all stay. */
static void
keep_top_k (PeftLogits *self, float *logits, gsize k)
{
  gsize n = sort_tokens (self, logits);
  float border;

  if (k >= n)
    return;
  border = logits[self->order[k - 1]];
  for (gsize i = k; i < n; i++)
    if (logits[self->order[i]] < border)
      logits[self->order[i]] = -INFINITY;
}

/* The smallest tokens go as long as they have no more than 1 - p together. */
static void
keep_top_p (PeftLogits *self, float *logits, double p)
{
  gsize n = sort_tokens (self, logits);
  double sum = 0;

  softmax (self, logits);
  for (gsize i = n; i-- > 1;)
    {
      sum += self->probabilities[self->order[i]];
      if (sum > 1 - p)
        break;
      logits[self->order[i]] = -INFINITY;
    }
}

static void
keep_min_p (PeftLogits *self, float *logits, double p)
{
  double largest = 0;

  softmax (self, logits);
  for (gsize i = 0; i < self->vocab; i++)
    largest = MAX (largest, self->probabilities[i]);
  for (gsize i = 0; i < self->vocab; i++)
    if (self->probabilities[i] < p * largest)
      logits[i] = -INFINITY;
}

void
peft_logits_process (PeftLogits *self, const PeftLogitsOptions *options, float *logits,
                     const gint32 *ids, gsize n_ids)
{
  if (options->repetition_penalty != 1)
    penalise (self, logits, options->repetition_penalty, ids, n_ids);
  if (!options->do_sample)
    return;
  if (options->temperature != 1)
    for (gsize i = 0; i < self->vocab; i++)
      logits[i] /= (float) options->temperature;
  if (options->top_k > 0)
    keep_top_k (self, logits, options->top_k);
  if (options->top_p < 1)
    keep_top_p (self, logits, options->top_p);
  if (options->min_p > 0)
    keep_min_p (self, logits, options->min_p);
}

gint32
peft_logits_pick_greedy (const float *logits, gsize vocab)
{
  gsize best = 0;
  gboolean nan = FALSE;

  for (gsize i = 0; i < vocab; i++)
    {
      nan |= isnan (logits[i]);
      if (logits[i] > logits[best])
        best = i;
    }
  return nan ? -1 : (gint32) best;
}

gint32
peft_logits_pick (PeftLogits *self, const float *logits, float uniform)
{
  gint32 last = peft_logits_pick_greedy (logits, self->vocab);
  double sum = 0;

  if (last < 0 || !isfinite (logits[last]))
    return -1;
  softmax (self, logits);
  for (gsize i = 0; i < self->vocab; i++)
    if (self->probabilities[i] > 0)
      {
        sum += self->probabilities[i];
        last = (gint32) i;
        if (uniform < sum)
          break;
      }
  return last;
}
