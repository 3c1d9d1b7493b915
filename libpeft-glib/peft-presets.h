/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "methods/peft-config.h"

/* What we recommend, in three sizes: one row each. */

typedef struct
{
  const char *field; /* of the configuration, where the method has it */
  const char *value; /* JSON */
} PeftPresetField;

#define PEFT_PRESET_MAX_FIELDS 6

typedef struct
{
  const char *name;         /* "balanced" */
  const char *display_name; /* translatable */
  const char *summary;      /* translatable */
  PeftPresetField fields[PEFT_PRESET_MAX_FIELDS];
  guint epochs;
} PeftPreset;

/* PEFT_ERROR_INVALID_ARGUMENT with the names there are. */
const PeftPreset *peft_preset_require (const char *name, GError **error);
const PeftPreset *peft_preset_list (gsize *n);
