/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/cpu/cpu-iter.h"
#include "compute/cpu/cpu-math.h"
#include "compute/cpu/cpu-vec.h"

/* Unary and binary operations, any strides and floating types, in pieces of CPU_CHUNK values. */

typedef struct
{
  CpuIter iter;
  gint64 n_pieces; /* of a row */
  int op;
  gboolean accumulate;
} Walk;

static void
walk_run (PeftCpuBackend *self, Walk *walk, CpuRangeFunc func)
{
  gint64 width = walk->iter.shape[walk->iter.n_dims - 1];

  walk->n_pieces = (width + CPU_CHUNK - 1) / CPU_CHUNK;
  cpu_run_range (self, walk->iter.n_rows * walk->n_pieces, cpu_rows_step (MIN (width, CPU_CHUNK)),
                 func, walk);
}

/* Piece number `piece` of all rows. */
static inline gint64
walk_piece (const Walk *walk, gint64 piece, gint64 *row, gint64 *first)
{
  *row = piece / walk->n_pieces;
  *first = piece % walk->n_pieces * CPU_CHUNK;
  return MIN (CPU_CHUNK, walk->iter.shape[walk->iter.n_dims - 1] - *first);
}

static void
store (const Walk *walk, guint view, gint64 row, gint64 first, gint64 n, float *values)
{
  const PeftView *line = &walk->iter.views[view].row;
  guint8 *dst = cpu_iter_row (&walk->iter, view, row);
  float buffer[CPU_CHUNK];

  if (walk->accumulate)
    {
      const float *old = cpu_row_in (line, dst, first, n, buffer);
      for (gint64 i = 0; i < n; i++)
        values[i] += old[i];
    }
  cpu_row_done (line, dst, first, n, values);
}

#define MAP(expression)                                                                            \
  for (gint64 i = 0; i < n; i++)                                                                   \
    {                                                                                              \
      float v = x[i];                                                                              \
      y[i] = expression;                                                                           \
    }                                                                                              \
  break;

static void
unary_values (PeftUnary op, const float *restrict x, float *restrict y, gint64 n)
{
  switch (op)
    {
    case PEFT_UNARY_NEG:
      MAP (-v)
    case PEFT_UNARY_ABS:
      MAP (__builtin_fabsf (v))
    case PEFT_UNARY_SQUARE:
      MAP (v * v)
    case PEFT_UNARY_SQRT:
      MAP (__builtin_sqrtf (v))
    case PEFT_UNARY_RSQRT:
      MAP (1.0f / __builtin_sqrtf (v))
    case PEFT_UNARY_RECIPROCAL:
      MAP (1.0f / v)
    case PEFT_UNARY_EXP:
      MAP (cpu_expf (v))
    case PEFT_UNARY_LOG:
      MAP (logf (v))
    case PEFT_UNARY_SIN:
      MAP (sinf (v))
    case PEFT_UNARY_COS:
      MAP (cosf (v))
    case PEFT_UNARY_TANH:
      MAP (cpu_tanhf (v))
    case PEFT_UNARY_SIGMOID:
      MAP (cpu_sigmoidf (v))
    case PEFT_UNARY_SILU:
      MAP (cpu_silu (v))
    case PEFT_UNARY_GELU:
      MAP (cpu_gelu (v))
    case PEFT_UNARY_GELU_TANH:
      MAP (cpu_gelu_tanh (v))
    case PEFT_UNARY_RELU:
      MAP (cpu_relu (v))
    case PEFT_UNARY_SIGN:
      MAP (v > 0 ? 1.0f : v < 0 ? -1.0f : 0.0f)
    case PEFT_N_UNARY:
      g_assert_not_reached ();
    }
}

static void
unary_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const Walk *walk = data;
  float x_buffer[CPU_CHUNK], y[CPU_CHUNK];

  for (gint64 piece = begin; piece < end; piece++)
    {
      gint64 row, first, n = walk_piece (walk, piece, &row, &first);
      unary_values ((PeftUnary) walk->op,
                    cpu_row_in (&walk->iter.views[0].row, cpu_iter_row (&walk->iter, 0, row),
                                first, n, x_buffer),
                    y, n);
      store (walk, 1, row, first, n, y);
    }
}

void
CPU_FN (cpu_unary) (PeftCpuBackend *self, gconstpointer params)
{
  const PeftUnaryParams *p = params;
  Walk walk = { .op = (int) p->op };

  cpu_iter_init (&walk.iter, (const PeftView *const[]){ &p->x, &p->y }, 2);
  walk_run (self, &walk, unary_range);
}

#define MAP_BACKWARD(expression)                                                                   \
  for (gint64 i = 0; i < n; i++)                                                                   \
    {                                                                                              \
      float v = x[i], d = dy[i];                                                                   \
      dx[i] = expression;                                                                          \
    }                                                                                              \
  break;

#define MAP_BACKWARD_WITH(name, value, expression)                                           \
  for (gint64 i = 0; i < n; i++)                                                                   \
    {                                                                                              \
      float v = x[i], d = dy[i];                                                                   \
      float name = value;                                                                           \
      dx[i] = expression;                                                                          \
    }                                                                                              \
  break;

static void
unary_backward_values (PeftUnary op, const float *restrict x, const float *restrict dy,
                       float *restrict dx, gint64 n)
{
  switch (op)
    {
    case PEFT_UNARY_NEG:
      for (gint64 i = 0; i < n; i++)
        dx[i] = -dy[i];
      break;
    case PEFT_UNARY_ABS:
      MAP_BACKWARD (v > 0 ? d : v < 0 ? -d : 0.0f)
    case PEFT_UNARY_SQUARE:
      MAP_BACKWARD (2.0f * v * d)
    case PEFT_UNARY_SQRT:
      MAP_BACKWARD (0.5f * d / __builtin_sqrtf (v))
    case PEFT_UNARY_RSQRT:
      MAP_BACKWARD (-0.5f * d / (v * __builtin_sqrtf (v)))
    case PEFT_UNARY_RECIPROCAL:
      MAP_BACKWARD (-d / (v * v))
    case PEFT_UNARY_EXP:
      MAP_BACKWARD (d * cpu_expf (v))
    case PEFT_UNARY_LOG:
      MAP_BACKWARD (d / v)
    case PEFT_UNARY_SIN:
      MAP_BACKWARD (d * cosf (v))
    case PEFT_UNARY_COS:
      MAP_BACKWARD (-d * sinf (v))
    case PEFT_UNARY_TANH:
      MAP_BACKWARD_WITH (t, cpu_tanhf (v), d * (1.0f - t * t))
    case PEFT_UNARY_SIGMOID:
      MAP_BACKWARD_WITH (s, cpu_sigmoidf (v), d * s * (1.0f - s))
    case PEFT_UNARY_SILU:
      MAP_BACKWARD (d * cpu_silu_derivative (v))
    case PEFT_UNARY_GELU:
      MAP_BACKWARD (d * cpu_gelu_derivative (v))
    case PEFT_UNARY_GELU_TANH:
      MAP_BACKWARD (d * cpu_gelu_tanh_derivative (v))
    case PEFT_UNARY_RELU:
      MAP_BACKWARD (d * cpu_relu_derivative (v))
    case PEFT_UNARY_SIGN:
      memset (dx, 0, (gsize) n * sizeof (float));
      break;
    case PEFT_N_UNARY:
      g_assert_not_reached ();
    }
}

static void
unary_backward_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end,
                      guint thread)
{
  const Walk *walk = data;
  float x_buffer[CPU_CHUNK], dy_buffer[CPU_CHUNK], dx[CPU_CHUNK];

  for (gint64 piece = begin; piece < end; piece++)
    {
      gint64 row, first, n = walk_piece (walk, piece, &row, &first);
      unary_backward_values ((PeftUnary) walk->op,
                             cpu_row_in (&walk->iter.views[0].row,
                                         cpu_iter_row (&walk->iter, 0, row), first, n, x_buffer),
                             cpu_row_in (&walk->iter.views[1].row,
                                         cpu_iter_row (&walk->iter, 1, row), first, n, dy_buffer),
                             dx, n);
      store (walk, 2, row, first, n, dx);
    }
}

void
CPU_FN (cpu_unary_backward) (PeftCpuBackend *self, gconstpointer params)
{
  const PeftUnaryBackwardParams *p = params;
  Walk walk = { .op = (int) p->op, .accumulate = p->accumulate };

  cpu_iter_init (&walk.iter, (const PeftView *const[]){ &p->x, &p->dy, &p->dx }, 3);
  walk_run (self, &walk, unary_backward_range);
}

#define COMBINE(expression)                                                                        \
  for (gint64 i = 0; i < n; i++)                                                                   \
    {                                                                                              \
      float u = a[i], v = b[i];                                                                    \
      c[i] = expression;                                                                           \
    }                                                                                              \
  break;

static void
binary_values (PeftBinary op, const float *restrict a, const float *restrict b, float *restrict c,
               gint64 n)
{
  switch (op)
    {
    case PEFT_BINARY_ADD:
      COMBINE (u + v)
    case PEFT_BINARY_SUB:
      COMBINE (u - v)
    case PEFT_BINARY_MUL:
      COMBINE (u * v)
    case PEFT_BINARY_DIV:
      COMBINE (u / v)
    case PEFT_BINARY_MAX:
      COMBINE (u > v ? u : v)
    case PEFT_BINARY_MIN:
      COMBINE (u < v ? u : v)
    case PEFT_N_BINARY:
      g_assert_not_reached ();
    }
}

static void
binary_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const Walk *walk = data;
  float a_buffer[CPU_CHUNK], b_buffer[CPU_CHUNK], c[CPU_CHUNK];

  for (gint64 piece = begin; piece < end; piece++)
    {
      gint64 row, first, n = walk_piece (walk, piece, &row, &first);
      binary_values ((PeftBinary) walk->op,
                     cpu_row_in (&walk->iter.views[0].row, cpu_iter_row (&walk->iter, 0, row),
                                 first, n, a_buffer),
                     cpu_row_in (&walk->iter.views[1].row, cpu_iter_row (&walk->iter, 1, row),
                                 first, n, b_buffer),
                     c, n);
      store (walk, 2, row, first, n, c);
    }
}

void
CPU_FN (cpu_binary) (PeftCpuBackend *self, gconstpointer params)
{
  const PeftBinaryParams *p = params;
  Walk walk = { .op = (int) p->op, .accumulate = p->accumulate };

  cpu_iter_init (&walk.iter, (const PeftView *const[]){ &p->a, &p->b, &p->c }, 3);
  walk_run (self, &walk, binary_range);
}
