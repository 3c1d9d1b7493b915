/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Arithmetic on sizes that come from files. Every function returns FALSE on overflow and then
 * leaves *out untouched. */

static inline gboolean
peft_checked_add (guint64 a, guint64 b, guint64 *out)
{
  guint64 r;
  if (__builtin_add_overflow (a, b, &r))
    return FALSE;
  *out = r;
  return TRUE;
}

static inline gboolean
peft_checked_mul (guint64 a, guint64 b, guint64 *out)
{
  guint64 r;
  if (__builtin_mul_overflow (a, b, &r))
    return FALSE;
  *out = r;
  return TRUE;
}

/* Product of dims; the empty product is 1. */
static inline gboolean
peft_checked_product (const guint64 *dims, gsize n, guint64 *out)
{
  guint64 r = 1;
  for (gsize i = 0; i < n; i++)
    if (!peft_checked_mul (r, dims[i], &r))
      return FALSE;
  *out = r;
  return TRUE;
}

/* Does [offset, offset + length) lie within [0, total)? */
static inline gboolean
peft_checked_range (guint64 offset, guint64 length, guint64 total)
{
  return offset <= total && length <= total - offset;
}
