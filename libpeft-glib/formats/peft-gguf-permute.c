/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/peft-gguf-permute.h"

#include <string.h>

gboolean
peft_gguf_unpermute_rows (const guint8 *src, guint8 *dst, guint64 n_rows, gsize row_bytes,
                          guint n_heads)
{
  guint64 head_rows, half;

  if (n_heads == 0 || n_rows % (2 * (guint64) n_heads) != 0)
    return FALSE;
  head_rows = n_rows / n_heads;
  half = head_rows / 2;
  for (guint64 row = 0; row < n_rows; row += head_rows)
    for (guint64 i = 0; i < half; i++)
      {
        memcpy (dst + (row + i) * row_bytes, src + (row + 2 * i) * row_bytes, row_bytes);
        memcpy (dst + (row + half + i) * row_bytes, src + (row + 2 * i + 1) * row_bytes, row_bytes);
      }
  return TRUE;
}
