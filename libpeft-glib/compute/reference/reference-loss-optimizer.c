/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/reference/reference-private.h"

#include <math.h>

void
peft_reference_cross_entropy (const void *params)
{
  const PeftCrossEntropyParams *p = params;
  gint64 rows = p->logits.shape[0], vocab = p->logits.shape[1];
  g_autofree double *logits = peft_reference_load (&p->logits);
  g_autofree gint32 *labels = peft_reference_load_i32 (&p->labels);
  g_autofree double *loss = g_new0 (double, MAX (rows, 1));
  g_autofree gint32 *correct = g_new0 (gint32, MAX (rows, 1));

  for (gint64 r = 0; r < rows; r++)
    {
      double *row = logits + r * vocab;
      double largest = -INFINITY, sum = 0;

      g_assert (labels[r] < vocab);
      if (labels[r] < 0)
        {
          for (gint64 i = 0; i < vocab; i++)
            row[i] = 0;
          continue;
        }
      for (gint64 i = 0; i < vocab; i++)
        largest = MAX (largest, row[i]);
      for (gint64 i = 0; i < vocab; i++)
        sum += exp (row[i] - largest);
      loss[r] = largest + log (sum) - row[labels[r]];
      correct[r] = row[labels[r]] == largest;
      for (gint64 i = 0; i < vocab; i++)
        row[i] = p->scale * (exp (row[i] - largest) / sum - (i == labels[r]));
    }
  peft_reference_store (&p->loss, loss);
  if (p->correct.buffer)
    peft_reference_store_i32 (&p->correct, correct);
  if (p->gradient)
    peft_reference_store (&p->logits, logits);
}

void
peft_reference_sum_squares (const void *params)
{
  const PeftSumSquaresParams *p = params;
  gint64 n = peft_view_n_values (&p->x);
  g_autofree double *x = peft_reference_load (&p->x);
  double sum = 0;

  for (gint64 i = 0; i < n; i++)
    sum += x[i] * x[i];
  peft_reference_store (&p->out, &sum);
}

void
peft_reference_adamw (const void *params)
{
  const PeftAdamWParams *p = params;
  gint64 n = peft_view_n_values (&p->w);
  g_autofree double *w = peft_reference_load (&p->w);
  g_autofree double *g = peft_reference_load (&p->g);
  g_autofree double *m = peft_reference_load (&p->m);
  g_autofree double *v = peft_reference_load (&p->v);

  for (gint64 i = 0; i < n; i++)
    {
      double gradient = g[i] * p->grad_scale;

      w[i] -= p->learning_rate * p->weight_decay * w[i];
      m[i] = p->beta1 * m[i] + (1 - p->beta1) * gradient;
      v[i] = p->beta2 * v[i] + (1 - p->beta2) * gradient * gradient;
      w[i] -= p->learning_rate * (m[i] / p->correction1)
              / (sqrt (v[i] / p->correction2) + p->epsilon);
    }
  peft_reference_store (&p->w, w);
  peft_reference_store (&p->m, m);
  peft_reference_store (&p->v, v);
}
