/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "methods/peft-method.h"
#include "models/peft-core-task.h"

/* What an adapter says about the head of its model: the task, its classes, the head in modules_to_save. */

/* Beside the two files of peft: {"id2label": {…}, "label2id": {…}}, as in a model's config.json. */
#define PEFT_LABELS_FILE "labels.json"

/* Is the model loaded for the task of the configuration? */
gboolean peft_adapter_task_check (PeftCore *core, PeftConfig *config, GError **error);
/* Adds the head's names to modules_to_save, as peft does it for the task. */
void peft_adapter_task_save_head (PeftCore *core, PeftConfig *config);
gboolean peft_adapter_task_save_labels (PeftCore *core, const char *folder, GError **error);

/* The head that the model below the adapter of a folder needs: its task, and the classes of labels.json, else their
 * number by the head in the file. */
typedef struct
{
  PeftHeadRequest request;
  GStrv labels; /* what request.labels points to */
} PeftAdapterHead;

void peft_adapter_head_clear (PeftAdapterHead *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PeftAdapterHead, peft_adapter_head_clear)
/* *given is FALSE where the configuration has no task. */
gboolean peft_adapter_read_head (const char *folder, const char *name, PeftAdapterHead *out,
                                 gboolean *given, GError **error);
