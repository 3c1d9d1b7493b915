/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "formats/peft-safetensors.h"

struct _PeftSafetensors
{
  gatomicrefcount ref_count;
  PeftTensorSource *source;
  GPtrArray *metadata; /* of PeftJson objects, one for each file that has one */
};

PeftSafetensors *peft_safetensors_new (const char *name);
/* Adds the tensors of one file to the source, which is sealed when all files are in. */
gboolean peft_safetensors_add_file (PeftSafetensors *self, GBytes *bytes, const char *path,
                                    GError **error);
PeftSafetensors *peft_safetensors_open_index (const char *path, GError **error);
