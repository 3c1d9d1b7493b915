/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <math.h>

#include "base/peft-json.h"

/* JSON has no NaN and no infinity: such a number is null. */
static inline PeftJson *
peft_json_new_finite (double value)
{
  return isfinite (value) ? peft_json_new_double (value) : peft_json_new_null ();
}

static inline PeftJson *
peft_json_new_strings (const char *const *strings)
{
  PeftJson *list = peft_json_new_array ();

  for (; *strings != NULL; strings++)
    peft_json_append (list, peft_json_new_string (*strings));
  return list;
}

static inline PeftJson *
peft_json_new_ids (const gint32 *ids, gsize n)
{
  PeftJson *list = peft_json_new_array ();

  for (gsize i = 0; i < n; i++)
    peft_json_append (list, peft_json_new_int (ids[i]));
  return list;
}
