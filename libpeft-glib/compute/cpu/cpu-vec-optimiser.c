/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/cpu/cpu-vec.h"

/* Kernels on flat arenas: AdamW and the gradient norm. */

#define SUM_STEP 65536

typedef struct
{
  const float *x;
  double *partial;
} Squares;

static void
squares_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const Squares *squares = data;
  const float *x = squares->x;
  double sum = 0;

  CPU_SIMD_SUM (sum)
  for (gint64 i = begin; i < end; i++)
    sum += (double) x[i] * (double) x[i];
  squares->partial[begin / SUM_STEP] = sum;
}

void
CPU_FN (cpu_sum_squares) (PeftCpuBackend *self, gconstpointer params)
{
  const PeftSumSquaresParams *p = params;
  gint64 n = p->x.shape[0], n_tasks = (n + SUM_STEP - 1) / SUM_STEP;
  Squares squares = { cpu_view_data (&p->x),
                      cpu_shared_scratch_get (self, (gsize) n_tasks * sizeof (double)) };
  double sum = 0;

  cpu_run_range (self, n, SUM_STEP, squares_range, &squares);
  for (gint64 i = 0; i < n_tasks; i++)
    sum += squares.partial[i];
  *(double *) cpu_view_data (&p->out) = sum;
}

static void
adamw_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const PeftAdamWParams *p = data;
  float *restrict w = cpu_view_data (&p->w);
  const float *restrict g = cpu_view_data (&p->g);
  float *restrict m = cpu_view_data (&p->m);
  float *restrict v = cpu_view_data (&p->v);
  const float beta1 = (float) p->beta1, beta2 = (float) p->beta2;
  const float rest1 = (float) (1.0 - p->beta1), rest2 = (float) (1.0 - p->beta2);
  const float decay = (float) (1.0 - p->learning_rate * p->weight_decay);
  const float step = (float) (p->learning_rate / p->correction1);
  const float root2 = (float) (1.0 / sqrt (p->correction2));
  const float epsilon = (float) p->epsilon, scale = (float) p->grad_scale;

  CPU_SIMD
  for (gint64 i = begin; i < end; i++)
    {
      float gradient = g[i] * scale;
      float mi = beta1 * m[i] + rest1 * gradient;
      float vi = beta2 * v[i] + rest2 * gradient * gradient;
      m[i] = mi;
      v[i] = vi;
      w[i] = w[i] * decay - step * mi / (__builtin_sqrtf (vi) * root2 + epsilon);
    }
}

void
CPU_FN (cpu_adamw) (PeftCpuBackend *self, gconstpointer params)
{
  const PeftAdamWParams *p = params;
  cpu_run_range (self, p->w.shape[0], CPU_TASK_VALUES, adamw_range, p);
}
