/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#if !defined (PEFT_GLIB_INSIDE) && !defined (PEFT_GLIB_COMPILATION)
#error "Only <peft-glib.h> can be included directly."
#endif

#include "peft-model.h"
#include "peft-training-progress.h"
#include "peft-training-result.h"
#include "train/peft-checkpointing.h"

G_BEGIN_DECLS

#define PEFT_TYPE_TRAINER (peft_trainer_get_type ())

PEFT_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (PeftTrainer, peft_trainer, PEFT, TRAINER, GObject)

PEFT_AVAILABLE_IN_1_0
PeftTrainer *peft_trainer_new (PeftModel *model, PeftDataset *dataset);
PEFT_AVAILABLE_IN_1_0
PeftModel *peft_trainer_get_model (PeftTrainer *self);
PEFT_AVAILABLE_IN_1_0
PeftDataset *peft_trainer_get_dataset (PeftTrainer *self);
PEFT_AVAILABLE_IN_1_0
void peft_trainer_set_dataset (PeftTrainer *self, PeftDataset *dataset);
PEFT_AVAILABLE_IN_1_0
PeftDataset *peft_trainer_get_eval_dataset (PeftTrainer *self);
PEFT_AVAILABLE_IN_1_0
void peft_trainer_set_eval_dataset (PeftTrainer *self, PeftDataset *dataset);
PEFT_AVAILABLE_IN_1_0
gboolean peft_trainer_apply_preset (PeftTrainer *self, const char *preset, GError **error);
PEFT_AVAILABLE_IN_1_0
gboolean peft_trainer_validate (PeftTrainer *self, GError **error);
PEFT_AVAILABLE_IN_1_0
PeftTrainingResult *peft_trainer_train (PeftTrainer *self, GCancellable *cancellable,
                                        GError **error);
PEFT_AVAILABLE_IN_1_0
void peft_trainer_train_async (PeftTrainer *self, GCancellable *cancellable,
                               GAsyncReadyCallback callback, gpointer user_data);
PEFT_AVAILABLE_IN_1_0
PeftTrainingResult *peft_trainer_train_finish (PeftTrainer *self, GAsyncResult *result,
                                               GError **error);
PEFT_AVAILABLE_IN_1_0
PeftTrainingResult *peft_trainer_get_result (PeftTrainer *self);
PEFT_AVAILABLE_IN_1_0
char *peft_trainer_plan (PeftTrainer *self, GCancellable *cancellable, GError **error);
PEFT_AVAILABLE_IN_1_0
void peft_trainer_plan_async (PeftTrainer *self, GCancellable *cancellable,
                              GAsyncReadyCallback callback, gpointer user_data);
PEFT_AVAILABLE_IN_1_0
char *peft_trainer_plan_finish (PeftTrainer *self, GAsyncResult *result, GError **error);

G_END_DECLS
