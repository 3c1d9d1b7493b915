/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib/gi18n-lib.h>

#include "methods/peft-config-field.h"

/* Fields that many methods share; each macro stands for rows of a PeftField table. */

#define PEFT_FIELD_NAMES (PEFT_FIELD_STRING | PEFT_FIELD_STRINGS | PEFT_FIELD_NULL)

/* clang-format off */
/* target_modules, exclude_modules, layers_to_transform, layers_pattern, modules_to_save */
#define PEFT_FIELDS_TARGETS \
  { "target_modules", PEFT_FIELD_NAMES, "null", .unordered = TRUE, .group = "targets", \
    .nick = N_ ("Target modules"), \
    .blurb = N_ ("The layers to adapt: a list of names, a regular expression over the whole path, " \
                 "'all-linear', or null for the model's usual ones") }, \
  { "exclude_modules", PEFT_FIELD_NAMES, "null", .unordered = TRUE, .group = "targets", \
    .nick = N_ ("Excluded modules"), .blurb = N_ ("Layers to leave alone, named in the same way") }, \
  { "layers_to_transform", PEFT_FIELD_INT | PEFT_FIELD_INTS | PEFT_FIELD_NULL, "null", \
    .group = "targets", .nick = N_ ("Layer numbers"), \
    .blurb = N_ ("Numbers of the layers to adapt, from 0; null for all") }, \
  { "layers_pattern", PEFT_FIELD_NAMES, "null", .group = "targets", .nick = N_ ("Layer list"), \
    .blurb = N_ ("Name of the module that holds the numbered layers") }, \
  { "modules_to_save", PEFT_FIELD_STRINGS | PEFT_FIELD_NULL, "null", .group = "targets", \
    .nick = N_ ("Fully trained modules"), \
    .blurb = N_ ("Modules that are trained and saved whole, beside the adapter") }
/* clang-format on */
