/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "models/peft-core.h"

/* The head of a model: which class of transformers it stands for, what its modules are called and how
 * many outputs a position has. */

/* What decides the head when it is not left to config.json. */
typedef struct _PeftHeadRequest
{
  PeftTask task;
  const char *const *labels; /* names of the classes; NULL: those of config.json, else the number below */
  guint n_labels;            /* used where there are no names; 0: two, as transformers assumes */
  gboolean only_new;         /* a head that the model has for the task keeps its classes */
} PeftHeadRequest;

/* From `architectures`: models with a classification head keep it, all others write text. */
PeftTask peft_core_task_detect (const PeftJson *config);
/* Fills task, body, labels, n_outputs and what the head needs from config.json. request NULL: by config.json. */
gboolean peft_core_task_setup (PeftCore *self, const PeftHeadRequest *request, GError **error);
/* For architectures: "model.layers.0" from "layers.0". */
char *peft_core_body_path (PeftCore *self, const char *inner);
/* For architectures, after the embedding: the slot of the head, self->head, which feature extraction does not have.
 * A head that the file lacks is `fresh`. */
gboolean peft_core_load_head (PeftCore *self, const char *lm_path, const char *lm_gguf, GError **error);
/* What config.json of a model with this head has in place of the original's: architectures, id2label, label2id. */
void peft_core_task_fill_config (PeftCore *self, PeftJson *config);
/* {"0": names[0], …}, {names[0]: 0, …} */
PeftJson *peft_labels_to_id2label (const char *const *labels);
PeftJson *peft_labels_to_label2id (const char *const *labels);
/* (transfer full); NULL with the error set, or without one when the object has no id2label. */
GStrv peft_labels_from_json (const PeftJson *object, GError **error);
/* LABEL_0, LABEL_1 …, as transformers calls them. */
GStrv peft_labels_new_numbered (guint n);
