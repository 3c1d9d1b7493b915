/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "methods/peft-method.h"

/* What we recommend, in three sizes. The values of fields are the methods' own. */

typedef struct
{
  const char *name;         /* "balanced" */
  const char *display_name; /* translatable */
  const char *summary;      /* translatable */
  guint epochs;
} PeftPreset;

/* PEFT_ERROR_INVALID_ARGUMENT with the names there are. */
const PeftPreset *peft_preset_require (const char *name, GError **error);
const PeftPreset *peft_preset_list (gsize *n);
