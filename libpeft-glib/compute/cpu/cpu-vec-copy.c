/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/cpu/cpu-iter.h"
#include "compute/cpu/cpu-vec.h"

/* Fill and copy: any strides, conversion between floating types, integers as they are. */

/* Side of the square pieces in which a transposing copy walks two dims, so that both sides use whole
 * cache lines. */
#define TRANSPOSE_TILE 32

typedef struct
{
  CpuIter iter;
  const PeftCopyParams *p;
  gint64 n_pieces;
} Copy;

static void
fill_values (PeftDType dtype, guint8 *dst, gint64 stride, double value, gint64 n)
{
  switch ((int) dtype)
    {
    case PEFT_DTYPE_F32:
      for (gint64 i = 0; i < n; i++)
        ((float *) dst)[i * stride] = (float) value;
      break;
    case PEFT_DTYPE_I32:
      for (gint64 i = 0; i < n; i++)
        ((gint32 *) dst)[i * stride] = (gint32) value;
      break;
    case PEFT_DTYPE_F64:
      for (gint64 i = 0; i < n; i++)
        ((double *) dst)[i * stride] = value;
      break;
    default:
      {
        guint16 v = 0;
        float f = (float) value;
        cpu_from_f32 (dtype, &f, &v, 1, 1);
        for (gint64 i = 0; i < n; i++)
          ((guint16 *) dst)[i * stride] = v;
      }
    }
}

typedef struct
{
  CpuIter iter;
  double value;
  gint64 n_pieces;
} Fill;

static void
fill_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const Fill *fill = data;
  const PeftView *line = &fill->iter.views[0].row;

  for (gint64 piece = begin; piece < end; piece++)
    {
      gint64 first = piece % fill->n_pieces * CPU_TASK_VALUES;
      guint8 *row = cpu_iter_row (&fill->iter, 0, piece / fill->n_pieces);
      fill_values (line->dtype,
                   row + first * line->stride[0] * (gint64) cpu_plain_size (line->dtype),
                   line->stride[0], fill->value, MIN (CPU_TASK_VALUES, line->shape[0] - first));
    }
}

void
CPU_FN (cpu_fill) (PeftCpuBackend *self, gconstpointer params)
{
  const PeftFillParams *p = params;
  Fill fill = { .value = p->value };

  cpu_iter_init (&fill.iter, (const PeftView *const[]){ &p->x }, 1);
  gint64 width = fill.iter.views[0].row.shape[0];
  fill.n_pieces = (width + CPU_TASK_VALUES - 1) / CPU_TASK_VALUES;
  cpu_run_range (self, fill.iter.n_rows * fill.n_pieces,
                 cpu_rows_step (MIN (width, CPU_TASK_VALUES)), fill_range, &fill);
}

/* Same type, nothing added: bytes. */
static void
copy_bytes (const guint8 *src, gint64 src_stride, guint8 *dst, gint64 dst_stride, gsize size,
            gint64 n)
{
  if (src_stride == 1 && dst_stride == 1)
    memcpy (dst, src, (gsize) n * size);
  else if (size == 4)
    for (gint64 i = 0; i < n; i++)
      ((guint32 *) dst)[i * dst_stride] = ((const guint32 *) src)[i * src_stride];
  else
    for (gint64 i = 0; i < n; i++)
      memcpy (dst + i * dst_stride * (gint64) size, src + i * src_stride * (gint64) size, size);
}

static void
copy_values (const Copy *copy, const guint8 *src, gint64 src_stride, guint8 *dst,
             gint64 dst_stride, gint64 n)
{
  const PeftCopyParams *p = copy->p;
  PeftView from = { .dtype = p->x.dtype, .n_dims = 1, .stride = { src_stride } };
  PeftView to = { .dtype = p->y.dtype, .n_dims = 1, .stride = { dst_stride } };
  gsize dst_size = cpu_plain_size (to.dtype);
  float alpha = (float) p->alpha, x_buffer[CPU_CHUNK], y_buffer[CPU_CHUNK];

  if (p->x.dtype == p->y.dtype && alpha == 1.0f && !p->accumulate)
    {
      copy_bytes (src, src_stride, dst, dst_stride, dst_size, n);
      return;
    }
  for (gint64 j = 0; j < n; j += CPU_CHUNK)
    {
      gint64 m = MIN (CPU_CHUNK, n - j);
      const float *x = cpu_row_in (&from, src, j, m, x_buffer);
      if (alpha == 1.0f && !p->accumulate)
        {
          cpu_from_f32 (to.dtype, x, dst + j * dst_stride * (gint64) dst_size, dst_stride, m);
          continue;
        }
      float *y = cpu_row_out (&to, dst, j, y_buffer);
      if (p->accumulate)
        {
          const float *old = cpu_row_in (&to, dst, j, m, y_buffer);
          for (gint64 i = 0; i < m; i++)
            y[i] = old[i] + alpha * x[i];
        }
      else
        for (gint64 i = 0; i < m; i++)
          y[i] = alpha * x[i];
      cpu_row_done (&to, dst, j, m, y);
    }
}

static void
copy_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const Copy *copy = data;
  const PeftView *x = &copy->iter.views[0].row, *y = &copy->iter.views[1].row;

  for (gint64 piece = begin; piece < end; piece++)
    {
      gint64 row = piece / copy->n_pieces;
      gint64 first = piece % copy->n_pieces * CPU_TASK_VALUES;
      copy_values (copy,
                   cpu_iter_row (&copy->iter, 0, row)
                       + first * x->stride[0] * (gint64) cpu_plain_size (x->dtype),
                   x->stride[0],
                   cpu_iter_row (&copy->iter, 1, row)
                       + first * y->stride[0] * (gint64) cpu_plain_size (y->dtype),
                   y->stride[0], MIN (CPU_TASK_VALUES, x->shape[0] - first));
    }
}

/* The last two dims in square pieces; task = outer index and block of the second-last dim. */
static void
transpose_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const Copy *copy = data;
  const CpuIter *iter = &copy->iter;
  guint d = iter->n_dims - 2;
  gint64 rows = iter->shape[d], width = iter->shape[d + 1];
  gsize x_size = cpu_plain_size (iter->views[0].row.dtype);
  gsize y_size = cpu_plain_size (iter->views[1].row.dtype);

  for (gint64 task = begin; task < end; task++)
    {
      gint64 i0 = task % copy->n_pieces * TRANSPOSE_TILE;
      gint64 i1 = MIN (i0 + TRANSPOSE_TILE, rows);
      const guint8 *src = cpu_iter_row (iter, 0, task / copy->n_pieces * rows);
      guint8 *dst = cpu_iter_row (iter, 1, task / copy->n_pieces * rows);
      for (gint64 j = 0; j < width; j += TRANSPOSE_TILE)
        for (gint64 i = i0; i < i1; i++)
          copy_values (copy,
                       src + (i * iter->views[0].stride[d] + j * iter->views[0].stride[d + 1])
                                 * (gint64) x_size,
                       iter->views[0].stride[d + 1],
                       dst + (i * iter->views[1].stride[d] + j * iter->views[1].stride[d + 1])
                                 * (gint64) y_size,
                       iter->views[1].stride[d + 1], MIN (TRANSPOSE_TILE, width - j));
    }
}

void
CPU_FN (cpu_copy) (PeftCpuBackend *self, gconstpointer params)
{
  const PeftCopyParams *p = params;
  Copy copy = { .p = p };

  cpu_iter_init (&copy.iter, (const PeftView *const[]){ &p->x, &p->y }, 2);
  gint64 width = copy.iter.shape[copy.iter.n_dims - 1];
  if (copy.iter.n_dims >= 2
      && (copy.iter.views[0].row.stride[0] != 1 || copy.iter.views[1].row.stride[0] != 1))
    {
      gint64 rows = copy.iter.shape[copy.iter.n_dims - 2];
      copy.n_pieces = (rows + TRANSPOSE_TILE - 1) / TRANSPOSE_TILE;
      cpu_run_range (self, copy.iter.n_rows / MAX (rows, 1) * copy.n_pieces,
                     cpu_rows_step (width * MIN (rows, TRANSPOSE_TILE)), transpose_range, &copy);
      return;
    }
  copy.n_pieces = (width + CPU_TASK_VALUES - 1) / CPU_TASK_VALUES;
  cpu_run_range (self, copy.iter.n_rows * copy.n_pieces,
                 cpu_rows_step (MIN (width, CPU_TASK_VALUES)), copy_range, &copy);
}
