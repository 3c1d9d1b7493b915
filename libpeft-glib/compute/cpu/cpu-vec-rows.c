/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/cpu/cpu-vec.h"

/* Gathering rows of a table of any type, and adding rows to a table. */

/* Tasks of a scatter: each adds the rows whose number is its own modulo this, in order. */
#define SCATTER_TASKS 16

static gint64
row_id (const PeftView *ids, gint64 i, gint64 n_rows)
{
  gint64 id = ((const gint32 *) cpu_view_data (ids))[i * ids->stride[0]];
  g_assert (id >= 0 && id < n_rows);
  return id;
}

static gsize
row_bytes (const PeftView *table, gint64 row)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (table->dtype);
  return (gsize) (row * table->stride[0] / info->block_size) * info->block_bytes;
}

static void
gather_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const PeftGatherRowsParams *p = data;
  gint64 width = p->out.shape[1];
  float scale = (float) p->scale;
  float buffer[CPU_CHUNK];
  const PeftDTypeInfo *info = peft_dtype_get_info (p->table.dtype);

  for (gint64 i = begin; i < end; i++)
    {
      const guint8 *src = (const guint8 *) cpu_view_data (&p->table)
                          + row_bytes (&p->table, row_id (&p->ids, i, p->table.shape[0]));
      guint8 *dst = cpu_view_row (&p->out, i);
      for (gint64 j = 0; j < width; j += CPU_CHUNK)
        {
          gint64 n = MIN (CPU_CHUNK, width - j);
          float *out = cpu_row_out (&p->out, dst, j, buffer);
          cpu_to_f32 (p->table.dtype, src + (gsize) j / info->block_size * info->block_bytes, 1,
                      out, n);
          if (scale != 1.0f)
            for (gint64 k = 0; k < n; k++)
              out[k] *= scale;
          cpu_row_done (&p->out, dst, j, n, out);
        }
    }
}

void
CPU_FN (cpu_gather_rows) (PeftCpuBackend *self, gconstpointer params)
{
  const PeftGatherRowsParams *p = params;
  cpu_run_range (self, p->out.shape[0], cpu_rows_step (p->out.shape[1]), gather_range, p);
}

static void
scatter_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const PeftScatterAddRowsParams *p = data;
  gint64 width = p->x.shape[1];
  float scale = (float) p->scale;
  float x_buffer[CPU_CHUNK], buffer[CPU_CHUNK];

  for (gint64 i = 0; i < p->x.shape[0]; i++)
    {
      gint64 id = row_id (&p->ids, i, p->table.shape[0]);
      if (id % SCATTER_TASKS != begin)
        continue;
      const void *src = cpu_view_row (&p->x, i);
      void *dst = cpu_view_row (&p->table, id);
      for (gint64 j = 0; j < width; j += CPU_CHUNK)
        {
          gint64 n = MIN (CPU_CHUNK, width - j);
          const float *x = cpu_row_in (&p->x, src, j, n, x_buffer);
          const float *old = cpu_row_in (&p->table, dst, j, n, buffer);
          float *out = cpu_row_out (&p->table, dst, j, buffer);
          for (gint64 k = 0; k < n; k++)
            out[k] = old[k] + x[k] * scale;
          cpu_row_done (&p->table, dst, j, n, out);
        }
    }
}

void
CPU_FN (cpu_scatter_add_rows) (PeftCpuBackend *self, gconstpointer params)
{
  cpu_run_range (self, SCATTER_TASKS, 1, scatter_range, params);
}
