/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "methods/peft-rank-allocator.h"

#include <math.h>
#include <stdlib.h>

PeftRankStep
peft_rank_schedule_get_step (const PeftRankSchedule *self, gint64 step, gint64 initial,
                             gint64 target)
{
  const gint64 last = self->total_step - self->tfinal;
  double rest;

  if (step > last)
    return (PeftRankStep){ .budget = target, .hold = TRUE };
  if (step <= self->tinit)
    return (PeftRankStep){ .budget = initial, .measure = TRUE };
  rest = 1 - (double) (step - self->tinit) / (double) (last - self->tinit);
  return (PeftRankStep){
    .budget = (gint64) ((double) (initial - target) * (rest * rest * rest) + (double) target),
    .measure = step < last,
    .drop = step == last || step % self->delta_t == 0,
  };
}

void
peft_rank_update_importance (const PeftRankSchedule *self, const float *p, const float *g,
                             double scale, float *average, float *uncertainty, gsize n)
{
  const float b1 = (float) self->beta1, c1 = (float) (1 - self->beta1);
  const float b2 = (float) self->beta2, c2 = (float) (1 - self->beta2);
  const float factor = (float) scale;

  for (gsize i = 0; i < n; i++)
    {
      float importance = fabsf (p[i] * (g[i] * factor));

      average[i] = b1 * average[i] + c1 * importance;
      uncertainty[i] = b2 * uncertainty[i] + c2 * fabsf (importance - average[i]);
    }
}

/* score: [r] */
static void
score_layer (const PeftRankLayer *layer, float *score)
{
  for (gsize i = 0; i < layer->r; i++)
    {
      double a = 0, b = 0;

      for (gsize j = 0; j < layer->n_in; j++)
        a += layer->average[0][i * layer->n_in + j] * layer->uncertainty[0][i * layer->n_in + j];
      for (gsize j = 0; j < layer->n_out; j++)
        b += layer->average[2][j * layer->r + i] * layer->uncertainty[2][j * layer->r + i];
      score[i] = layer->average[1][i] * layer->uncertainty[1][i]
                 + (float) (a / (double) layer->n_in + b / (double) layer->n_out);
    }
}

static int
compare (gconstpointer a, gconstpointer b)
{
  float x = *(const float *) a, y = *(const float *) b;

  return (x > y) - (x < y);
}

void
peft_rank_drop (PeftRankLayer *layers, gsize n_layers, gint64 n_dropped)
{
  g_autofree float *scores = NULL;
  g_autofree float *sorted = NULL;
  float threshold = -INFINITY;
  gsize n = 0;

  for (gsize i = 0; i < n_layers; i++)
    n += layers[i].r;
  scores = g_new (float, MAX (n, 1));
  for (gsize i = 0, at = 0; i < n_layers; at += layers[i++].r)
    score_layer (&layers[i], scores + at);
  if (n_dropped > 0 && n > 0)
    {
      sorted = g_memdup2 (scores, n * sizeof *scores);
      qsort (sorted, n, sizeof *sorted, compare);
      threshold = sorted[MIN ((gsize) n_dropped, n) - 1];
    }
  for (gsize i = 0, at = 0; i < n_layers; at += layers[i++].r)
    for (gsize j = 0; j < layers[i].r; j++)
      layers[i].mask[j] = scores[at + j] > threshold;
}
