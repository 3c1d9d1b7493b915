/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "train/peft-train-loop.h"

/* --log-json: one object a line, each written at once. */

typedef struct _PeftTrainLog PeftTrainLog;

/* resumed_from > 0: the lines of steps up to that one stay, later ones go. */
PeftTrainLog *peft_train_log_open (const char *path, guint64 resumed_from, GError **error);
void peft_train_log_free (PeftTrainLog *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftTrainLog, peft_train_log_free)

/* self may be NULL: no log. */
gboolean peft_train_log_step (PeftTrainLog *self, const PeftTrainProgress *progress,
                              GError **error);
gboolean peft_train_log_eval (PeftTrainLog *self, guint64 step, double loss, GError **error);
gboolean peft_train_log_done (PeftTrainLog *self, const PeftTrainResult *result, GError **error);
