/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/cpu/cpu-vec.h"

/* Sum, mean, maximum and norm over some dims. The kept dims number the outputs, the reduced dims
 * the terms of each. Sums are added up in double, term by term in a fixed order. */

typedef struct
{
  const PeftReduceParams *p;
  guint n_kept, n_reduced;
  gint64 kept_shape[PEFT_MAX_DIMS], kept_x[PEFT_MAX_DIMS], kept_y[PEFT_MAX_DIMS];
  gint64 reduced_shape[PEFT_MAX_DIMS], reduced_x[PEFT_MAX_DIMS];
  gint64 n_outputs, n_terms; /* without the innermost of each list that is walked as a row */
} Reduce;

static gint64
offset_of (guint n_dims, const gint64 *shape, const gint64 *stride, gint64 index)
{
  gint64 offset = 0;
  for (guint i = n_dims; i-- > 0;)
    {
      offset += index % shape[i] * stride[i];
      index /= shape[i];
    }
  return offset;
}

static const guint8 *
x_at (const Reduce *reduce, gint64 offset)
{
  return (const guint8 *) cpu_view_data (&reduce->p->x)
         + offset * (gint64) cpu_plain_size (reduce->p->x.dtype);
}

static void
store_output (const Reduce *reduce, gint64 offset, double value, gint64 n_terms)
{
  const PeftReduceParams *p = reduce->p;
  guint8 *dst
      = (guint8 *) cpu_view_data (&p->y) + offset * (gint64) cpu_plain_size (p->y.dtype);
  float old = 0, result;

  if (p->op == PEFT_REDUCE_MEAN)
    value /= (double) n_terms;
  else if (p->op == PEFT_REDUCE_NORM)
    value = sqrt (value);
  if (p->accumulate)
    cpu_to_f32 (p->y.dtype, dst, 1, &old, 1);
  result = (float) ((double) old + value);
  cpu_from_f32 (p->y.dtype, &result, dst, 1, 1);
}

static double
reduce_values (PeftReduce op, const float *x, gint64 n, double value)
{
  float sum = 0, max = (float) value;

  switch (op)
    {
    case PEFT_REDUCE_SUM:
    case PEFT_REDUCE_MEAN:
      CPU_SIMD_SUM (sum)
      for (gint64 i = 0; i < n; i++)
        sum += x[i];
      return value + (double) sum;
    case PEFT_REDUCE_NORM:
      CPU_SIMD_SUM (sum)
      for (gint64 i = 0; i < n; i++)
        sum += x[i] * x[i];
      return value + (double) sum;
    case PEFT_REDUCE_MAX:
      CPU_SIMD_MAX (max)
      for (gint64 i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
      return (double) max;
    }
  return value;
}

/* The innermost reduced dim is a row of x. */
static void
rows_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const Reduce *reduce = data;
  const PeftReduceParams *p = reduce->p;
  guint last = reduce->n_reduced - 1;
  gint64 width = reduce->reduced_shape[last];
  PeftView row = { .dtype = p->x.dtype, .n_dims = 1, .stride = { reduce->reduced_x[last] } };
  float buffer[CPU_CHUNK];

  for (gint64 output = begin; output < end; output++)
    {
      gint64 base = offset_of (reduce->n_kept, reduce->kept_shape, reduce->kept_x, output);
      double value = p->op == PEFT_REDUCE_MAX ? -INFINITY : 0;
      for (gint64 term = 0; term < reduce->n_terms; term++)
        {
          const guint8 *src = x_at (reduce, base
                                                + offset_of (last, reduce->reduced_shape,
                                                             reduce->reduced_x, term));
          for (gint64 j = 0; j < width; j += CPU_CHUNK)
            {
              gint64 n = MIN (CPU_CHUNK, width - j);
              value = reduce_values (p->op, cpu_row_in (&row, src, j, n, buffer), n, value);
            }
        }
      store_output (reduce, offset_of (reduce->n_kept, reduce->kept_shape, reduce->kept_y, output),
                    value, reduce->n_terms * width);
    }
}

static void
add_columns (PeftReduce op, const float *restrict x, double *restrict values, gint64 n)
{
  if (op == PEFT_REDUCE_MAX)
    for (gint64 i = 0; i < n; i++)
      values[i] = (double) x[i] > values[i] ? (double) x[i] : values[i];
  else if (op == PEFT_REDUCE_NORM)
    for (gint64 i = 0; i < n; i++)
      values[i] += (double) x[i] * (double) x[i];
  else
    for (gint64 i = 0; i < n; i++)
      values[i] += (double) x[i];
}

#define COLUMNS 64

/* The innermost kept dim is a row of x: columns side by side, COLUMNS of them a task. */
static void
columns_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const Reduce *reduce = data;
  const PeftReduceParams *p = reduce->p;
  guint last = reduce->n_kept - 1;
  gint64 width = reduce->kept_shape[last], n_pieces = (width + COLUMNS - 1) / COLUMNS;
  PeftView row = { .dtype = p->x.dtype, .n_dims = 1, .stride = { reduce->kept_x[last] } };
  float buffer[COLUMNS];
  double values[COLUMNS];

  for (gint64 piece = begin; piece < end; piece++)
    {
      gint64 output = piece / n_pieces, first = piece % n_pieces * COLUMNS;
      gint64 n = MIN (COLUMNS, width - first);
      gint64 base = offset_of (last, reduce->kept_shape, reduce->kept_x, output);
      for (gint64 i = 0; i < n; i++)
        values[i] = p->op == PEFT_REDUCE_MAX ? -INFINITY : 0;
      for (gint64 term = 0; term < reduce->n_terms; term++)
        add_columns (p->op,
                     cpu_row_in (&row,
                                 x_at (reduce, base
                                                   + offset_of (reduce->n_reduced,
                                                                reduce->reduced_shape,
                                                                reduce->reduced_x, term)),
                                 first, n, buffer),
                     values, n);
      for (gint64 i = 0; i < n; i++)
        store_output (reduce,
                      offset_of (last, reduce->kept_shape, reduce->kept_y, output)
                          + (first + i) * reduce->kept_y[last],
                      values[i], reduce->n_terms);
    }
}

void
CPU_FN (cpu_reduce) (PeftCpuBackend *self, gconstpointer params)
{
  const PeftReduceParams *p = params;
  Reduce reduce = { .p = p, .n_outputs = 1, .n_terms = 1 };
  gboolean by_rows = FALSE;
  gint64 best = G_MAXINT64;

  for (guint i = 0; i < p->x.n_dims; i++)
    {
      gboolean is_reduced = p->y.shape[i] == 1 && p->x.shape[i] != 1;
      if (is_reduced)
        {
          reduce.reduced_shape[reduce.n_reduced] = p->x.shape[i];
          reduce.reduced_x[reduce.n_reduced++] = p->x.stride[i];
        }
      else
        {
          reduce.kept_shape[reduce.n_kept] = p->x.shape[i];
          reduce.kept_x[reduce.n_kept] = p->x.stride[i];
          reduce.kept_y[reduce.n_kept++] = p->y.stride[i];
        }
      /* Walk along the dim whose values lie closest together. */
      if (p->x.shape[i] > 1 && p->x.stride[i] <= best)
        {
          best = p->x.stride[i];
          by_rows = is_reduced && i + 1 == p->x.n_dims;
        }
    }
  for (guint i = 0; i < reduce.n_kept; i++)
    reduce.n_outputs *= reduce.kept_shape[i];
  for (guint i = 0; i < reduce.n_reduced; i++)
    reduce.n_terms *= reduce.reduced_shape[i];

  if (reduce.n_reduced > 0 && (by_rows || reduce.n_kept == 0))
    {
      gint64 per_output = reduce.n_terms;
      reduce.n_terms /= reduce.reduced_shape[reduce.n_reduced - 1];
      cpu_run_range (self, reduce.n_outputs, cpu_rows_step (per_output), rows_range, &reduce);
      return;
    }
  gint64 width = reduce.kept_shape[reduce.n_kept - 1];
  gint64 n_pieces = reduce.n_outputs / MAX (width, 1) * ((width + COLUMNS - 1) / COLUMNS);
  cpu_run_range (self, n_pieces, cpu_rows_step (reduce.n_terms * MIN (width, COLUMNS)),
                 columns_range, &reduce);
}
