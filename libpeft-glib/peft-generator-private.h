/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "peft-generator.h"
#include "peft-model-private.h"
#include "train/peft-generate.h"

struct _PeftGenerator
{
  GObject parent_instance;

  PeftModel *model;
  PeftGenerateOptions options; /* without the pointers */
  gboolean add_special;
  GStrv stop;
  char *system;
  GArray *eos_ids;        /* gint32; NULL: the model's */

  /* Used by whoever holds the model's worker. */
  PeftGenerate *generate; /* made for the first call */
  guint serial;           /* of the model when it was used last */
  gboolean mixed;         /* every prompt had its own adapter then */
  PeftGenerateStats stats;
};

void peft_generator_emit_token (PeftGenerator *self, guint prompt, gint32 id, const char *text);
