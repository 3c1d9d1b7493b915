/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-thread-pool.h"
#include "compute/cpu/cpu-onednn.h"
#include "compute/cpu/peft-cpu-backend.h"

/* What the files of the cpu backend share. Kernel files whose names start with cpu-vec- are compiled
 * once for every instruction set; CPU_FN () gives their symbols a suffix. */

typedef struct _PeftCpuBackend PeftCpuBackend;

typedef void (*CpuKernelFunc) (PeftCpuBackend *self, gconstpointer params);

/* Kernels of one instruction set. */
typedef struct
{
  const char *name;
  gboolean (*is_usable) (void);
  gboolean has_bf16; /* products of bfloat16 pairs in one instruction */
  CpuKernelFunc run[PEFT_N_KERNELS];
  /* Register-only loop; returns operations done. */
  double (*peak_f32) (guint64 n);
  double (*peak_bf16) (guint64 n); /* NULL without has_bf16 */
} CpuIsa;

extern const CpuIsa cpu_isa_scalar;
#ifdef PEFT_CPU_X86
extern const CpuIsa cpu_isa_avx2;
extern const CpuIsa cpu_isa_avx512;
extern const CpuIsa cpu_isa_avx512bf16;
#endif

typedef struct
{
  gpointer data;
  gsize size;
} CpuScratch;

struct _PeftCpuBackend
{
  PeftBackend parent;
  PeftThreadPool *pool;
  guint n_threads;
  const CpuIsa *isa;
  CpuScratch *scratch; /* [n_threads] */
  CpuOnednn *onednn;   /* NULL: not for this instruction set */
  CpuScratch shared;   /* of all tasks of a kernel */
};

/* At least `size` bytes, 64-byte aligned, valid until the thread asks again. */
gpointer cpu_scratch_get (PeftCpuBackend *self, guint thread, gsize size);
/* The same for all tasks of a kernel together; call it before they start. */
gpointer cpu_shared_scratch_get (PeftCpuBackend *self, gsize size);

/* Calls func for [0, n) in pieces of `step`, which depends on the problem only, never on the number
 * of threads. */
typedef void (*CpuRangeFunc) (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end,
                              guint thread);
void cpu_run_range (PeftCpuBackend *self, gint64 n, gint64 step, CpuRangeFunc func,
                    gconstpointer data);

/* Values of a row-wise kernel that one task handles at least: below that, waking a thread costs more
 * than it saves. */
#define CPU_TASK_VALUES 32768

static inline gint64
cpu_rows_step (gint64 width)
{
  return MAX (1, CPU_TASK_VALUES / MAX (1, width));
}

static inline gpointer
cpu_view_data (const PeftView *view)
{
  return view->buffer != NULL ? (guint8 *) view->buffer->data + view->offset : NULL;
}

/* Rows are all dims but the last. */
static inline gint64
cpu_view_width (const PeftView *view)
{
  return view->shape[view->n_dims - 1];
}

static inline gint64
cpu_view_n_rows (const PeftView *view)
{
  gint64 n = 1;
  for (guint i = 0; i + 1 < view->n_dims; i++)
    n *= view->shape[i];
  return n;
}

/* Offset in values of row number `row`. */
static inline gint64
cpu_view_row_offset (const PeftView *view, gint64 row)
{
  gint64 offset = 0;

  if (view->n_dims < 2)
    return 0;
  for (guint i = view->n_dims - 2; i > 0; i--)
    {
      offset += row % view->shape[i] * view->stride[i];
      row /= view->shape[i];
    }
  return offset + row * view->stride[0];
}

static inline gsize
cpu_plain_size (PeftDType dtype)
{
  switch ((int) dtype)
    {
    case PEFT_DTYPE_F32:
    case PEFT_DTYPE_I32:
    case PEFT_DTYPE_U32:
      return 4;
    case PEFT_DTYPE_F16:
    case PEFT_DTYPE_BF16:
    case PEFT_DTYPE_I16:
    case PEFT_DTYPE_U16:
      return 2;
    case PEFT_DTYPE_F64:
    case PEFT_DTYPE_I64:
    case PEFT_DTYPE_U64:
      return 8;
    default:
      return 1;
    }
}

static inline gpointer
cpu_view_row (const PeftView *view, gint64 row)
{
  return (guint8 *) cpu_view_data (view)
         + cpu_view_row_offset (view, row) * (gint64) cpu_plain_size (view->dtype);
}

/* Kernels that exist once, for every instruction set. */
void cpu_lu_factor (PeftCpuBackend *self, gconstpointer params);
void cpu_lu_solve (PeftCpuBackend *self, gconstpointer params);
void cpu_triangular_solve (PeftCpuBackend *self, gconstpointer params);
void cpu_fft (PeftCpuBackend *self, gconstpointer params);

gboolean cpu_supports (PeftBackend *self, PeftKernel kernel, gconstpointer params, GError **error);
