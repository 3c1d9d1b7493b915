/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>
#include "base/peft-json.h"

/* The description of one field of an adapter configuration. Property, file, command line and forms
 * all come from it. */

/* What JSON may stand there; any combination. */
typedef enum
{
  PEFT_FIELD_NULL = 1 << 0,
  PEFT_FIELD_BOOLEAN = 1 << 1,
  PEFT_FIELD_INT = 1 << 2,
  PEFT_FIELD_DOUBLE = 1 << 3, /* any number; with INT whole ones are written without a point */
  PEFT_FIELD_STRING = 1 << 4,
  PEFT_FIELD_STRINGS = 1 << 5, /* list of strings */
  PEFT_FIELD_INTS = 1 << 6,    /* list of integers */
  PEFT_FIELD_LIST = 1 << 7,    /* any list */
  PEFT_FIELD_INT_MAP = 1 << 8, /* object of integers */
  PEFT_FIELD_NUMBER_MAP = 1 << 9,
  PEFT_FIELD_MAP = 1 << 10 /* any object */
} PeftFieldForms;

typedef struct
{
  const char *name; /* peft's: "lora_alpha"; the property is "lora-alpha" */
  PeftFieldForms forms;
  const char *initial;        /* peft's default as JSON */
  const char *const *choices; /* of strings, NULL-terminated; one that ends in * is a prefix */
  double minimum, maximum;    /* of numbers, also those in lists and maps; both 0: none */
  const char *group;          /* "basic", "targets", "advanced", "file" */
  const char *since;          /* peft release it came with, where later than the one we write for */
  gboolean unordered;         /* a list whose order means nothing: written sorted */
  /* Part of peft, not of this library: anything but the default is refused. */
  gboolean unsupported;
  /* Of the choices, those this library does; NULL: all. Others load and are refused in validate. */
  const char *const *supported;
  const char *nick, *blurb; /* N_() */
} PeftField;

/* Limits on lists and maps in fields. */
#define PEFT_FIELD_MAX_ITEMS 65536u
#define PEFT_FIELD_MAX_DEPTH 16u

/* Does value suit the field? Errors name the field, what it takes and what was found; code is
 * PEFT_ERROR_INVALID_FILE or _ARGUMENT as the caller says. */
gboolean peft_field_check (const PeftField *self, const PeftJson *value, int code, GError **error);
/* Is the value one that this library can carry out (see unsupported, supported)? */
gboolean peft_field_check_supported (const PeftField *self, const PeftJson *value, GError **error);
/* "an integer from 1 to 65536 or null", for messages and listings. */
char *peft_field_describe_type (const PeftField *self);
PeftJson *peft_field_dup_initial (const PeftField *self);
char *peft_field_dup_property_name (const PeftField *self);
GParamSpec *peft_field_create_pspec (const PeftField *self);
/* NULL with an error for a value of a type that JSON lacks. */
PeftJson *peft_field_from_gvalue (const PeftField *self, const GValue *value, GError **error);
void peft_field_to_gvalue (const PeftField *self, const PeftJson *json, GValue *value);

PeftJson *peft_json_from_variant (GVariant *variant, GError **error);
/* Floating; NULL for a JSON null. */
GVariant *peft_json_to_variant (const PeftJson *json);
