/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "parity-memory.h"

#include <math.h>
#include <string.h>
#include "base/peft-random.h"

#define GUARD 256
#define SEED 77

/* Many arguments are made: all take their normals from one table, each at a place of its own. */
#define N_NORMALS 65536

double *
parity_normal (guint stream, double scale, gint64 n)
{
  static float *normals;
  double *values = g_new (double, MAX (n, 1));
  guint start = stream * 10007;

  if (normals == NULL)
    {
      normals = g_new (float, N_NORMALS);
      peft_random_fill_normal (SEED, 1, 0, 1, normals, N_NORMALS);
    }
  for (gint64 i = 0; i < n; i++)
    values[i] = normals[(start + i) % N_NORMALS] * scale;
  return values;
}

static gint64
random_below (guint stream, gint64 index, gint64 limit)
{
  return peft_random_u32 (SEED, stream, index) % limit;
}

static double *
make_values (const ParityArg *arg, guint stream, gint64 n)
{
  double *x = parity_normal (stream, arg->scale == 0 ? 1 : arg->scale, n);
  gint64 last = arg->n_dims > 0 ? MAX (arg->shape[arg->n_dims - 1], 1) : 1;

  for (gint64 i = 0; i < n; i++)
    switch (arg->fill)
      {
      case PARITY_NORMAL:
        break;
      case PARITY_POSITIVE:
        x[i] = 0.5 + 1.5 * peft_random_uniform (SEED, stream, i);
        break;
      case PARITY_INDEX:
        x[i] = random_below (stream, i, arg->limit);
        break;
      case PARITY_LABEL:
        x[i] = i % 3 == 1 ? -1 : random_below (stream, i, arg->limit);
        break;
      case PARITY_SEGMENT:
        x[i] = i % last * (arg->limit + 1) / last - (i / last % 2);
        break;
      case PARITY_DOMINANT:
        x[i] = x[i] / sqrt (last) + (i / last % last == i % last ? 4 : 0);
        break;
      case PARITY_PIVOT:
        x[i] = i % last + random_below (stream, i, last - i % last);
        break;
      case PARITY_VALUES:
        x[i] = arg->values[i];
        break;
      }
  return x;
}

/* Turns noise into a block: scales that make values of about 1. */
static void
make_block (PeftDType dtype, guint8 *block, guint stream, gint64 index)
{
  guint16 scale, minimum;
  float size = 0.5f + peft_random_uniform (SEED, stream, index);

  switch ((int) dtype)
    {
    case PEFT_DTYPE_Q4_0:
      scale = peft_f32_to_f16 (size / 8);
      memcpy (block, &scale, 2);
      break;
    case PEFT_DTYPE_Q4_1:
      scale = peft_f32_to_f16 (size / 8);
      minimum = peft_f32_to_f16 (-size);
      memcpy (block, &scale, 2);
      memcpy (block + 2, &minimum, 2);
      break;
    case PEFT_DTYPE_Q8_0:
      scale = peft_f32_to_f16 (size / 128);
      memcpy (block, &scale, 2);
      break;
    case PEFT_DTYPE_Q6_K:
      scale = peft_f32_to_f16 (size / 2048);
      memcpy (block + 208, &scale, 2);
      break;
    default:
      g_assert_not_reached ();
    }
}

/* Strides in values. */
static void
lay_out (PeftView *view, ParityLayout layout)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (view->dtype);
  gint64 gap = info->block_size == 1 ? 3 : info->block_size;
  gint64 stride = 1;

  switch (layout)
    {
    case PARITY_PLAIN:
    case PARITY_OFFSET:
      break;
    case PARITY_PADDED:
      for (guint i = view->n_dims; i-- > 0;)
        {
          view->stride[i] = stride;
          stride = stride * view->shape[i] + (i + 1 == view->n_dims ? gap : view->stride[i]);
        }
      break;
    case PARITY_TRANSPOSED:
      g_assert (info->block_size == 1);
      for (guint i = 0; i < view->n_dims; i++)
        {
          view->stride[i] = stride;
          stride = stride * view->shape[i] + (i == 0);
        }
      break;
    case PARITY_SHARED:
      view->stride[0] = 0;
      break;
    }
}

void
parity_memory_find_offsets (ParityMemory *self)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (self->view.dtype);
  gint64 n = peft_view_n_values (&self->view), index[PEFT_MAX_DIMS] = { 0 };

  self->offsets = g_new (gsize, MAX (n, 1));
  for (gint64 i = 0; i < n; i++)
    {
      gint64 at = 0;

      for (guint d = 0; d < self->view.n_dims; d++)
        at += index[d] * self->view.stride[d];
      self->offsets[i] = self->view.offset + at / info->block_size * info->block_bytes;
      for (guint d = self->view.n_dims; d-- > 0 && ++index[d] == self->view.shape[d];)
        index[d] = 0;
    }
}

/* Bits without a pattern; xorshift64 (Marsaglia 2003). */
static void
fill_noise (guint8 *bytes, gsize n, guint stream)
{
  guint64 state = G_GUINT64_CONSTANT (0x9e3779b97f4a7c15) + stream;

  for (gsize i = 0; i < n; i++)
    {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      bytes[i] = state >> 32;
    }
}

void
parity_memory_init (ParityMemory *self, const ParityArg *arg, PeftDType dtype, guint stream)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (dtype);
  gsize shift = arg->layout == PARITY_OFFSET ? info->block_bytes : 0;
  gint64 n;

  peft_view_init (&self->view, NULL, GUARD + shift, dtype, arg->n_dims, arg->shape);
  lay_out (&self->view, arg->layout);
  self->size = self->view.offset + peft_view_span (&self->view) + GUARD;
  self->bytes = g_malloc (self->size);
  fill_noise (self->bytes, self->size, stream);
  parity_memory_find_offsets (self);

  n = peft_view_n_values (&self->view);
  if (info->block_size > 1)
    for (gint64 i = 0; i < n; i += info->block_size)
      make_block (dtype, self->bytes + self->offsets[i], stream, i);
  else
    {
      g_autofree double *values = make_values (arg, stream, n);

      for (gint64 i = 0; i < n; i++)
        {
          guint8 *at = self->bytes + self->offsets[i];
          float single = values[i];
          gint32 integer = lrint (values[i]);

          if (dtype == PEFT_DTYPE_F64)
            memcpy (at, &values[i], sizeof (double));
          else if (dtype == PEFT_DTYPE_I32)
            memcpy (at, &integer, sizeof integer);
          else
            info->from_f32 (&single, at, 1);
        }
    }
}

void
parity_memory_clear (ParityMemory *self)
{
  g_clear_pointer (&self->bytes, g_free);
  g_clear_pointer (&self->offsets, g_free);
}

double *
parity_memory_values (const ParityMemory *self)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (self->view.dtype);
  gint64 n = peft_view_n_values (&self->view);
  double *values = g_new (double, MAX (n, 1));
  float block[256];

  for (gint64 i = 0; i < n; i++)
    {
      const guint8 *at = self->bytes + self->offsets[i];
      gint32 integer;

      if (self->view.dtype == PEFT_DTYPE_F64)
        memcpy (&values[i], at, sizeof (double));
      else if (self->view.dtype == PEFT_DTYPE_I32)
        {
          memcpy (&integer, at, sizeof integer);
          values[i] = integer;
        }
      else
        {
          info->to_f32 (at, block, info->block_size);
          values[i] = block[i % info->block_size];
        }
    }
  return values;
}

guint8 *
parity_memory_owned (const ParityMemory *self)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (self->view.dtype);
  gint64 n = peft_view_n_values (&self->view);
  guint8 *owned = g_new0 (guint8, self->size);

  for (gint64 i = 0; i < n; i += info->block_size)
    {
      for (guint j = 0; j < info->block_bytes; j++)
        owned[self->offsets[i] + j] = 1;
    }
  return owned;
}
