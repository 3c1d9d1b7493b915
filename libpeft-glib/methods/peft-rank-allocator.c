/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "methods/peft-rank-allocator.h"

#include <math.h>
#include <stdlib.h>

gint64
peft_rank_schedule_get_budget (const PeftRankSchedule *self, gint64 step, gint64 initial,
                               gint64 target, gboolean *mask)
{
  gint64 last = self->total_step - self->tfinal;
  double rest;

  *mask = FALSE;
  if (step <= self->tinit)
    return initial;
  *mask = TRUE;
  if (step > last)
    return target;
  rest = 1 - (double) (step - self->tinit) / (double) (last - self->tinit);
  *mask = step % self->delta_t == 0;
  return (gint64) ((double) (initial - target) * (rest * rest * rest) + (double) target);
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

void
peft_rank_score (PeftRankLayer *layer)
{
  for (gsize i = 0; i < layer->r; i++)
    {
      double a = 0, b = 0;

      for (gsize j = 0; j < layer->n_in; j++)
        a += layer->average[0][i * layer->n_in + j] * layer->uncertainty[0][i * layer->n_in + j];
      for (gsize j = 0; j < layer->n_out; j++)
        b += layer->average[2][j * layer->r + i] * layer->uncertainty[2][j * layer->r + i];
      layer->score[i] = layer->average[1][i] * layer->uncertainty[1][i]
                        + (float) (a / (double) layer->n_in + b / (double) layer->n_out);
    }
}

static int
compare (gconstpointer a, gconstpointer b)
{
  float x = *(const float *) a, y = *(const float *) b;

  return (x > y) - (x < y);
}

float
peft_rank_find_threshold (const PeftRankLayer *layers, gsize n_layers, gint64 n_dropped)
{
  g_autoptr (GArray) scores = g_array_new (FALSE, FALSE, sizeof (float));

  for (gsize i = 0; i < n_layers; i++)
    g_array_append_vals (scores, layers[i].score, (guint) layers[i].r);
  if (n_dropped <= 0 || scores->len == 0)
    return -INFINITY;
  qsort (scores->data, scores->len, sizeof (float), compare);
  return g_array_index (scores, float, MIN ((guint) n_dropped, scores->len) - 1);
}
