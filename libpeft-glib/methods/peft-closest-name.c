/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "methods/peft-closest-name.h"

#include <string.h>

gsize
peft_edit_distance (const char *a, const char *b)
{
  gsize n_a = MIN (strlen (a), PEFT_CLOSEST_MAX_BYTES);
  gsize n_b = MIN (strlen (b), PEFT_CLOSEST_MAX_BYTES);
  guint16 row[PEFT_CLOSEST_MAX_BYTES + 1];

  for (gsize j = 0; j <= n_b; j++)
    row[j] = (guint16) j;
  for (gsize i = 1; i <= n_a; i++)
    {
      guint16 diagonal = row[0];

      row[0] = (guint16) i;
      for (gsize j = 1; j <= n_b; j++)
        {
          guint16 replaced = (guint16) (diagonal + (a[i - 1] != b[j - 1]));

          diagonal = row[j];
          row[j] = MIN (replaced, MIN (row[j], row[j - 1]) + 1);
        }
    }
  return row[n_b];
}

const char *
peft_closest_name (const char *name, const char *const *candidates, gsize n)
{
  const char *best = NULL;
  gsize best_distance = G_MAXSIZE;

  for (gsize i = 0; i < n; i++)
    {
      gsize distance = peft_edit_distance (name, candidates[i]);

      if (distance < best_distance)
        {
          best = candidates[i];
          best_distance = distance;
        }
    }
  return best_distance <= (strlen (name) + 1) / 2 ? best : NULL;
}
