/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/peft-random.h"

#include <math.h>
#include <string.h>

void
peft_random_block (guint64 seed, guint64 stream, guint64 counter, guint32 out[4])
{
  guint32 c[4] = { (guint32) counter, (guint32) (counter >> 32), (guint32) stream,
                   (guint32) (stream >> 32) };
  guint32 k0 = (guint32) seed;
  guint32 k1 = (guint32) (seed >> 32);

  for (guint round = 0; round < 10; round++)
    {
      guint64 p0 = (guint64) c[0] * 0xd2511f53u;
      guint64 p1 = (guint64) c[2] * 0xcd9e8d57u;

      c[0] = (guint32) (p1 >> 32) ^ c[1] ^ k0;
      c[1] = (guint32) p1;
      c[2] = (guint32) (p0 >> 32) ^ c[3] ^ k1;
      c[3] = (guint32) p0;
      k0 += 0x9e3779b9u;
      k1 += 0xbb67ae85u;
    }
  memcpy (out, c, sizeof c);
}

guint32
peft_random_u32 (guint64 seed, guint64 stream, guint64 index)
{
  guint32 block[4];

  peft_random_block (seed, stream, index / 4, block);
  return block[index % 4];
}

static inline float
unit_float (guint32 word)
{
  return (float) (word >> 8) * 0x1p-24f;
}

float
peft_random_uniform (guint64 seed, guint64 stream, guint64 index)
{
  return unit_float (peft_random_u32 (seed, stream, index));
}

void
peft_random_fill_uniform (guint64 seed, guint64 stream, float low, float high, float *out, gsize n)
{
  guint32 block[4];

  for (gsize i = 0; i < n; i++)
    {
      if (i % 4 == 0)
        peft_random_block (seed, stream, i / 4, block);
      out[i] = low + (high - low) * unit_float (block[i % 4]);
    }
}

void
peft_random_fill_normal (guint64 seed, guint64 stream, float mean, float std, float *out, gsize n)
{
  guint32 block[4];

  for (gsize i = 0; i < n; i += 2)
    {
      double radius, angle;

      if (i % 4 == 0)
        peft_random_block (seed, stream, i / 4, block);
      /* (0, 1]: the logarithm stays finite. */
      radius = sqrt (-2.0 * log (((double) block[i % 4] + 1.0) * 0x1p-32));
      angle = 2.0 * G_PI * (double) block[i % 4 + 1] * 0x1p-32;
      out[i] = (float) (mean + std * radius * cos (angle));
      if (i + 1 < n)
        out[i + 1] = (float) (mean + std * radius * sin (angle));
    }
}

/* 64 random bits scaled by a multiplication leave a bias below 2^-32. */
void
peft_random_permutation (guint64 seed, guint64 stream, guint32 *out, guint32 n)
{
  for (guint32 i = 0; i < n; i++)
    out[i] = i;
  for (guint32 i = n; i > 1; i--)
    {
      guint32 block[4];
      guint64 word;
      guint32 j, swap;

      peft_random_block (seed, stream, n - i, block);
      word = (guint64) block[1] << 32 | block[0];
      j = (guint32) ((__uint128_t) word * i >> 64);
      swap = out[i - 1];
      out[i - 1] = out[j];
      out[j] = swap;
    }
}

/* FNV-1a, then the finaliser of splitmix64, so that similar names end far apart. */
guint64
peft_random_stream (const char *name)
{
  guint64 h = G_GUINT64_CONSTANT (0xcbf29ce484222325);

  for (const guchar *p = (const guchar *) name; *p != '\0'; p++)
    h = (h ^ *p) * G_GUINT64_CONSTANT (0x100000001b3);
  h = (h ^ h >> 30) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  h = (h ^ h >> 27) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return h ^ h >> 31;
}
