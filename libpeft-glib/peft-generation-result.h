/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#if !defined (PEFT_GLIB_INSIDE) && !defined (PEFT_GLIB_COMPILATION)
#error "Only <peft-glib.h> can be included directly."
#endif

#include <glib-object.h>
#include "base/peft-version-macros.h"

G_BEGIN_DECLS

#define PEFT_TYPE_GENERATION_RESULT (peft_generation_result_get_type ())

typedef struct _PeftGenerationResult PeftGenerationResult;

PEFT_AVAILABLE_IN_1_0
GType peft_generation_result_get_type (void) G_GNUC_CONST;
PEFT_AVAILABLE_IN_1_0
PeftGenerationResult *peft_generation_result_ref (PeftGenerationResult *self);
PEFT_AVAILABLE_IN_1_0
void peft_generation_result_unref (PeftGenerationResult *self);
PEFT_AVAILABLE_IN_1_0
const gint32 *peft_generation_result_get_prompt_ids (PeftGenerationResult *self, gsize *n_ids);
PEFT_AVAILABLE_IN_1_0
const gint32 *peft_generation_result_get_ids (PeftGenerationResult *self, gsize *n_ids);
PEFT_AVAILABLE_IN_1_0
const char *peft_generation_result_get_text (PeftGenerationResult *self);
PEFT_AVAILABLE_IN_1_0
const char *peft_generation_result_get_finish (PeftGenerationResult *self);
PEFT_AVAILABLE_IN_1_0
char *peft_generation_result_to_json (PeftGenerationResult *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftGenerationResult, peft_generation_result_unref)

G_END_DECLS
