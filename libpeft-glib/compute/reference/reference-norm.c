/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/reference/reference-private.h"

#include <math.h>

static gint64
row_length (const PeftView *view)
{
  return view->shape[view->n_dims - 1];
}

static gint64
count_rows (const PeftView *view)
{
  gint64 rows = 1;

  for (guint i = 0; i + 1 < view->n_dims; i++)
    rows *= view->shape[i];
  return rows;
}

void
peft_reference_rms_norm (const void *params)
{
  const PeftRmsNormParams *p = params;
  gint64 rows = count_rows (&p->x), width = row_length (&p->x);
  g_autofree double *x = peft_reference_load (&p->x);
  g_autofree double *weight = peft_reference_load (&p->weight);
  g_autofree double *y = g_new (double, MAX (rows * width, 1));
  g_autofree double *rstd = g_new (double, MAX (rows, 1));

  if (p->residual.buffer)
    {
      g_autofree double *residual = peft_reference_load (&p->residual);
      for (gint64 i = 0; i < rows * width; i++)
        x[i] += residual[i];
      peft_reference_store (&p->sum, x);
    }
  for (gint64 r = 0; r < rows; r++)
    {
      double squares = 0;

      for (gint64 i = 0; i < width; i++)
        squares += x[r * width + i] * x[r * width + i];
      rstd[r] = 1 / sqrt (squares / width + p->eps);
      for (gint64 i = 0; i < width; i++)
        y[r * width + i] = x[r * width + i] * rstd[r] * (weight[i] + p->weight_offset);
    }
  peft_reference_store (&p->y, y);
  if (p->rstd.buffer)
    peft_reference_store (&p->rstd, rstd);
}

/* With g = dy ⊙ (weight + offset): dx = rstd · (g - x · rstd² · mean (g ⊙ x)). */
void
peft_reference_rms_norm_backward (const void *params)
{
  const PeftRmsNormBackwardParams *p = params;
  gint64 rows = count_rows (&p->x), width = row_length (&p->x);
  g_autofree double *x = peft_reference_load (&p->x);
  g_autofree double *dy = peft_reference_load (&p->dy);
  g_autofree double *weight = peft_reference_load (&p->weight);
  g_autofree double *rstd = peft_reference_load (&p->rstd);
  g_autofree double *dx = g_new (double, MAX (rows * width, 1));
  g_autofree double *dweight = g_new0 (double, MAX (width, 1));

  for (gint64 r = 0; r < rows; r++)
    {
      const double *xr = x + r * width, *dyr = dy + r * width;
      double dot = 0;

      for (gint64 i = 0; i < width; i++)
        dot += dyr[i] * (weight[i] + p->weight_offset) * xr[i];
      for (gint64 i = 0; i < width; i++)
        {
          double g = dyr[i] * (weight[i] + p->weight_offset);
          dx[r * width + i] = rstd[r] * (g - xr[i] * rstd[r] * rstd[r] * dot / width);
          dweight[i] += dyr[i] * xr[i] * rstd[r];
        }
    }
  peft_reference_put (&p->dx, dx, p->accumulate);
  if (p->dweight.buffer)
    peft_reference_put (&p->dweight, dweight, TRUE);
}

void
peft_reference_softmax (const void *params)
{
  const PeftSoftmaxParams *p = params;
  gint64 rows = count_rows (&p->x), width = row_length (&p->x);
  g_autofree double *x = peft_reference_load (&p->x);

  for (gint64 r = 0; r < rows; r++)
    {
      double *row = x + r * width;
      double largest = -INFINITY, sum = 0;

      for (gint64 i = 0; i < width; i++)
        largest = MAX (largest, row[i]);
      for (gint64 i = 0; i < width; i++)
        sum += row[i] = exp (row[i] - largest);
      for (gint64 i = 0; i < width; i++)
        row[i] /= sum;
    }
  peft_reference_store (&p->y, x);
}

void
peft_reference_softmax_backward (const void *params)
{
  const PeftSoftmaxBackwardParams *p = params;
  gint64 rows = count_rows (&p->y), width = row_length (&p->y);
  g_autofree double *y = peft_reference_load (&p->y);
  g_autofree double *dy = peft_reference_load (&p->dy);

  for (gint64 r = 0; r < rows; r++)
    {
      double dot = 0;

      for (gint64 i = r * width; i < (r + 1) * width; i++)
        dot += y[i] * dy[i];
      for (gint64 i = r * width; i < (r + 1) * width; i++)
        dy[i] = y[i] * (dy[i] - dot);
    }
  peft_reference_put (&p->dx, dy, p->accumulate);
}
