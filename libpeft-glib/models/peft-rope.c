/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "models/peft-core.h"

#include <math.h>

/* Tables of cosines and sines for rotary embeddings. Angles are products of float32 numbers as in
 * transformers (modeling_rope_utils), whose results models were trained with. */

#define MIN_POSITIONS 512

/* Adds context by stretching the base: Peng & Quesnelle's NTK-aware scaling, as of transformers. */
static double
dynamic_theta (const PeftRope *rope, gint64 positions, gint64 original, gint64 dim)
{
  double ratio = rope->factor * positions / original - (rope->factor - 1);

  if (positions <= original || dim <= 2)
    return rope->theta;
  return rope->theta * pow (ratio, (double) dim / (dim - 2));
}

/* Low frequencies are divided by the factor, high ones kept, those between blended. */
static double
llama3_frequency (const PeftRope *rope, double frequency, gint64 original)
{
  double wavelength = 2 * G_PI / frequency;
  double low = original / rope->low_freq_factor, high = original / rope->high_freq_factor;
  double smooth;

  if (wavelength > low)
    return frequency / rope->factor;
  if (wavelength < high)
    return frequency;
  smooth = (original / wavelength - rope->low_freq_factor)
           / (rope->high_freq_factor - rope->low_freq_factor);
  return (1 - smooth) * frequency / rope->factor + smooth * frequency;
}

/* YaRN, arXiv:2309.00071: the index at which a dimension turns `rotations` times. */
static double
yarn_dimension (const PeftRope *rope, double rotations, gint64 dim, gint64 original)
{
  return dim * log (original / (rotations * 2 * G_PI)) / (2 * log (rope->theta));
}

static void
yarn_frequencies (const PeftRope *rope, gint64 dim, gint64 original, double *frequencies)
{
  double low = yarn_dimension (rope, rope->beta_fast, dim, original);
  double high = yarn_dimension (rope, rope->beta_slow, dim, original);

  if (rope->truncate)
    {
      low = floor (low);
      high = ceil (high);
    }
  low = MAX (low, 0);
  high = MIN (high, dim - 1);
  if (low == high)
    high += 0.001;
  for (gint64 i = 0; i < dim / 2; i++)
    {
      double ramp = CLAMP ((i - low) / (high - low), 0, 1);

      frequencies[i] = frequencies[i] / rope->factor * ramp + frequencies[i] * (1 - ramp);
    }
}

static double
yarn_mscale (double factor, double mscale)
{
  return factor <= 1 ? 1 : 0.1 * mscale * log (factor) + 1;
}

static double
attention_factor (const PeftRope *rope)
{
  if (rope->kind != PEFT_ROPE_YARN)
    return 1;
  if (rope->attention_factor >= 0)
    return rope->attention_factor;
  if (rope->mscale != 0 && rope->mscale_all_dim != 0)
    return yarn_mscale (rope->factor, rope->mscale)
           / yarn_mscale (rope->factor, rope->mscale_all_dim);
  return yarn_mscale (rope->factor, 1);
}

static void
rope_frequencies (PeftCore *self, gint64 positions, gint64 dim, double *frequencies)
{
  const PeftRope *rope = &self->dims.rope;
  gint64 original
      = rope->original_max_positions > 0 ? rope->original_max_positions : self->dims.max_positions;
  double theta = rope->theta;

  if (rope->kind == PEFT_ROPE_DYNAMIC)
    theta = dynamic_theta (rope, positions, original, dim);
  for (gint64 i = 0; i < dim / 2; i++)
    {
      frequencies[i] = pow (theta, -2.0 * i / dim);
      if (rope->kind == PEFT_ROPE_LINEAR)
        frequencies[i] /= rope->factor;
      else if (rope->kind == PEFT_ROPE_LLAMA3)
        frequencies[i] = llama3_frequency (rope, frequencies[i], original);
      if (i < self->n_rope_factors)
        frequencies[i] /= self->rope_factors[i];
    }
  if (rope->kind == PEFT_ROPE_YARN)
    yarn_frequencies (rope, dim, original, frequencies);
}

gboolean
peft_core_prepare_rope (PeftCore *self, gint64 positions, GError **error)
{
  const PeftRope *rope = &self->dims.rope;
  gint64 dim = (gint64) (self->dims.head_dim * rope->partial) / 2 * 2, half = dim / 2;
  gboolean exact = rope->kind == PEFT_ROPE_DYNAMIC && positions > self->dims.max_positions;
  gint64 n = MIN_POSITIONS;
  g_autofree double *frequencies = NULL;
  g_autofree float *table = NULL;
  PeftTensor *tensor;
  double factor = attention_factor (rope);

  /* Dynamic scaling depends on the length in use, all others only grow. */
  if (exact ? positions == self->cos_sin_positions
            : positions <= self->cos_sin_positions
                  && !(rope->kind == PEFT_ROPE_DYNAMIC
                       && self->cos_sin_positions > self->dims.max_positions))
    return TRUE;
  if (exact)
    n = positions;
  else
    while (n < positions)
      n *= 2;
  if (rope->kind == PEFT_ROPE_DYNAMIC && !exact)
    n = MIN (n, MAX (self->dims.max_positions, positions));

  frequencies = g_new (double, half);
  table = g_new (float, n * dim);
  rope_frequencies (self, exact ? positions : MIN (n, self->dims.max_positions), dim, frequencies);
  for (gint64 t = 0; t < n; t++)
    for (gint64 i = 0; i < half; i++)
      {
        float angle = (float) t * (float) frequencies[i];

        table[t * dim + i] = (float) (cos (angle) * factor);
        table[t * dim + half + i] = (float) (sin (angle) * factor);
      }
  tensor = peft_tensor_new_on (self->backend, self->backend->real, 3,
                               (const gint64[]){ n, 2, half }, error);
  if (tensor == NULL)
    return FALSE;
  peft_tensor_upload_f32 (tensor, table);
  g_clear_pointer (&self->cos_sin, peft_tensor_unref);
  self->cos_sin = tensor;
  self->cos_sin_positions = n;
  return TRUE;
}
