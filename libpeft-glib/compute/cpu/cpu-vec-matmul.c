/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/cpu/cpu-gemm.h"

/* Matrix products: cut into tiles of C by shape only, each tile one task that sums all of k. */

/* Below this a product is one task: waking a thread costs more. */
#define SPLIT_FLOPS 10e6

/* Largest tile. */
#define TILE_M 512
#define TILE_N 192

/* With so few rows of a, b is used too rarely to be worth a copy. */
#define IN_PLACE_ROWS 64
/* Then k goes in short chunks, so that b is read nearly as it lies in memory. */
#define IN_PLACE_UNITS 128

typedef struct
{
  GemmProblem problem;
  const PeftMatmulParams *p;
  gint64 tile_m, tile_n, n_tiles_m, n_tiles_n;
  gboolean swapped;    /* Cᵀ = Bᵀ Aᵀ is computed: b is the problem's a */
  gboolean b_in_place; /* the micro-kernel reads b from where it is */
} Matmul;

static gint64
round_up (gint64 n, gint64 to)
{
  return (n + to - 1) / to * to;
}

/* The product of batch number `batch`. */
static GemmProblem
problem_of_batch (const Matmul *matmul, gint64 batch)
{
  const PeftMatmulParams *p = matmul->p;
  GemmProblem problem = matmul->problem;
  const PeftDTypeInfo *b_info = peft_dtype_get_info (p->b.dtype);

  GemmMatrix *a = matmul->swapped ? &problem.b : &problem.a;
  GemmMatrix *b = matmul->swapped ? &problem.a : &problem.b;

  if (p->a.n_dims == 3)
    a->data += batch * p->a.stride[0] * (gint64) cpu_plain_size (p->a.dtype);
  if (p->b.n_dims == 3 && p->b.shape[0] > 1)
    b->data += batch * p->b.stride[0] / b_info->block_size * b_info->block_bytes;
  if (p->c.n_dims == 3)
    problem.c.data += batch * p->c.stride[0] * (gint64) cpu_plain_size (p->c.dtype);
  return problem;
}

/* Rows of a micro-kernel call, about equal for all: a rest of 2 would be slow. */
static gint64
kernel_rows (gint64 rows)
{
  gint64 n = (rows + GEMM_MR - 1) / GEMM_MR;
  return round_up ((rows + n - 1) / n, 2);
}

/* Sums that were kept apart go to c. */
static void
store_row (const GemmOutput *c, gint64 row, gint64 column, gint64 n, float *sums, float *buffer)
{
  guint8 *dst = c->data + (row * c->stride + column) * (gint64) cpu_plain_size (c->dtype);

  for (gint64 j = 0; j < n; j++)
    sums[j] *= c->alpha;
  if (c->accumulate)
    {
      cpu_to_f32 (c->dtype, dst, 1, buffer, n);
      for (gint64 j = 0; j < n; j++)
        sums[j] += buffer[j];
    }
  if (c->bias != NULL)
    {
      cpu_to_f32 (c->bias_dtype,
                  c->bias + column * c->bias_stride * (gint64) cpu_plain_size (c->bias_dtype),
                  c->bias_stride, buffer, n);
      for (gint64 j = 0; j < n; j++)
        sums[j] += buffer[j];
    }
  cpu_from_f32 (c->dtype, sums, dst, 1, n);
}

static void
run_tile (PeftCpuBackend *self, const Matmul *matmul, const GemmProblem *problem, gint64 row,
          gint64 rows, gint64 column, gint64 columns, guint thread)
{
  gint64 all_units = problem->bf16 ? (problem->k + 1) / 2 : problem->k;
  gint64 most_units = matmul->b_in_place ? IN_PLACE_UNITS : GEMM_KC;
  gint64 n_chunks = MAX (1, (all_units + most_units - 1) / most_units);
  /* Chunks start at whole blocks of b. */
  gint64 chunk = round_up (MAX (1, (all_units + n_chunks - 1) / n_chunks),
                           MAX (16, peft_dtype_get_info (problem->b.dtype)->block_size));
  gint64 padded = round_up (columns, GEMM_NR), step = kernel_rows (rows);
  GemmOutput c = problem->c;
  /* Sums of several chunks are kept in float32 until all are there. */
  gboolean buffered
      = matmul->swapped || (c.dtype != PEFT_DTYPE_F32 && all_units > chunk);
  gint64 a_size = (GEMM_MR + 2) * GEMM_A_STRIDE, temp_size = 16 * GEMM_A_STRIDE;
  gint64 b_size = round_up (padded * MIN (chunk, all_units), 16);
  gint64 c_size = buffered ? rows * columns + MAX (rows, columns) : 0;
  guint32 *a_panel = cpu_scratch_get (
      self, thread, (gsize) (a_size + temp_size + b_size + 2 * c_size) * sizeof (guint32));
  guint32 *temp = a_panel + a_size, *b_panels = temp + temp_size;
  gint64 c_row = row, c_column = column;

  if (buffered)
    {
      c = (GemmOutput){ .data = (guint8 *) (b_panels + b_size),
                        .dtype = PEFT_DTYPE_F32,
                        .stride = columns,
                        .alpha = 1 };
      c_row = c_column = 0;
    }
  for (gint64 first = 0; first < all_units || first == 0; first += chunk)
    {
      gint64 units = MIN (chunk, all_units - first);
      gint64 in_place = matmul->b_in_place ? columns / GEMM_NR * GEMM_NR : 0;
      if (in_place < columns)
        gemm_pack_b (&problem->b, problem->bf16, column + in_place, columns - in_place, first,
                     units, b_panels + in_place * units, temp);
      for (gint64 i = 0; i < rows; i += step)
        {
          gint64 part = MIN (step, rows - i);
          gemm_pack_a (&problem->a, problem->bf16, row + i, part, first, units, a_panel, temp);
          for (gint64 j = 0; j < in_place; j += GEMM_NR)
            gemm_kernel (FALSE, part, GEMM_NR, units, a_panel,
                         (const guint32 *) problem->b.data + first * problem->b.stride + column + j,
                         problem->b.stride, &c, c_row + i, c_column + j);
          for (gint64 j = in_place; j < columns; j += GEMM_NR)
            gemm_kernel (problem->bf16, part, MIN (GEMM_NR, columns - j), units, a_panel,
                         b_panels + j * units, GEMM_NR, &c, c_row + i, c_column + j);
        }
      c.accumulate = TRUE;
      c.bias = NULL;
    }
  if (!buffered)
    return;

  float *sums = (float *) c.data, *buffer = sums + rows * columns;
  if (matmul->swapped)
    for (gint64 j = 0; j < columns; j++)
      {
        float *line = buffer + MAX (rows, columns);
        for (gint64 i = 0; i < rows; i++)
          line[i] = sums[i * columns + j];
        store_row (&problem->c, column + j, row, rows, line, buffer);
      }
  else
    for (gint64 i = 0; i < rows; i++)
      store_row (&problem->c, row + i, column, columns, sums + i * columns, buffer);
}

static void
tiles_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const Matmul *matmul = data;

  for (gint64 task = begin; task < end; task++)
    {
      gint64 tile = task % (matmul->n_tiles_m * matmul->n_tiles_n);
      gint64 batch = task / (matmul->n_tiles_m * matmul->n_tiles_n);
      gint64 row = tile % matmul->n_tiles_m * matmul->tile_m;
      gint64 column = tile / matmul->n_tiles_m * matmul->tile_n;
      GemmProblem problem = problem_of_batch (matmul, batch);
      run_tile (self, matmul, &problem, row, MIN (matmul->tile_m, problem.m - row), column,
                MIN (matmul->tile_n, problem.n - column), thread);
    }
}

/* k_last: the last dim is k. Lines run along the dim whose values lie side by side. */
static GemmMatrix
matrix_of (const PeftView *view, gboolean k_last)
{
  guint d = view->n_dims - 2;
  gboolean along_last = view->shape[d + 1] <= 1 || view->stride[d + 1] == 1;
  return (GemmMatrix){
    .data = cpu_view_data (view),
    .dtype = view->dtype,
    .stride = view->stride[along_last ? d : d + 1],
    .k_lines = !k_last == !along_last,
    .n_rows = view->shape[k_last ? d : d + 1],
    .k = view->shape[k_last ? d + 1 : d],
  };
}

void
CPU_FN (cpu_matmul) (PeftCpuBackend *self, gconstpointer params)
{
  const PeftMatmulParams *p = params;
  guint d = p->c.n_dims - 2;
  gint64 n_batches = p->c.n_dims == 3 ? p->c.shape[0] : 1;
  Matmul matmul = {
    .p = p,
    .problem = {
      .a = matrix_of (&p->a, !p->trans_a),
      .b = matrix_of (&p->b, p->trans_b),
      .c = {
        .data = cpu_view_data (&p->c),
        .dtype = p->c.dtype,
        .stride = p->c.stride[d],
        .bias = cpu_view_data (&p->bias),
        .bias_dtype = p->bias.dtype,
        .bias_stride = p->bias.stride[0],
        .alpha = (float) p->alpha,
        .accumulate = p->accumulate,
      },
      .m = p->c.shape[d],
      .n = p->c.shape[d + 1],
      .bf16 = p->compute == PEFT_COMPUTE_BF16,
    },
  };
  GemmProblem *problem = &matmul.problem;

  problem->k = problem->a.k;
  if (problem->m == 0 || problem->n == 0)
    return;
  if (problem->m <= GEMV_MAX_M && problem->b.k_lines && problem->a.k_lines && n_batches == 1)
    {
      gemv_run (self, problem);
      return;
    }
  /* Gradients of thin factors, sums over many rows: the long side becomes the vectors. */
  if (!problem->a.k_lines && problem->n < problem->m && problem->n <= IN_PLACE_ROWS
      && !peft_dtype_is_block (p->b.dtype) && p->bias.buffer == NULL)
    {
      GemmMatrix a = problem->a;
      problem->a = problem->b;
      problem->b = a;
      problem->m = p->c.shape[d + 1];
      problem->n = p->c.shape[d];
      matmul.swapped = TRUE;
    }
  if (problem->m <= IN_PLACE_ROWS && !problem->b.k_lines && problem->a.dtype == PEFT_DTYPE_F32
      && problem->b.dtype == PEFT_DTYPE_F32)
    {
      /* Rounding b to bfloat16 would cost more than its faster product saves. */
      problem->bf16 = FALSE;
      matmul.b_in_place = TRUE;
    }
  double flops = 2.0 * (double) problem->m * (double) problem->n * (double) problem->k;
  if (n_batches == 1 && !matmul.swapped && !matmul.b_in_place)
    {
      gint64 done = gemm_by_onednn (self, problem, flops >= SPLIT_FLOPS);
      problem->m -= done;
      problem->a.data += done * problem->a.stride * (gint64) cpu_plain_size (problem->a.dtype);
      problem->c.data += done * problem->c.stride * (gint64) cpu_plain_size (problem->c.dtype);
      if (problem->m == 0)
        return;
    }
  matmul.tile_m = MIN (problem->m, TILE_M);
  matmul.tile_n = MIN (problem->n, TILE_N);
  if (!problem->b.k_lines)
    matmul.tile_n = MIN (problem->n, round_up (TILE_N, peft_dtype_get_info (problem->b.dtype)->block_size));
  matmul.n_tiles_m = (problem->m + matmul.tile_m - 1) / matmul.tile_m;
  matmul.n_tiles_n = (problem->n + matmul.tile_n - 1) / matmul.tile_n;
  gint64 n_tasks = n_batches * matmul.n_tiles_m * matmul.n_tiles_n;
  cpu_run_range (self, n_tasks, flops * (double) n_batches < SPLIT_FLOPS ? n_tasks : 1,
                 tiles_range, &matmul);
}
