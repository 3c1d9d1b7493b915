/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli-common.h"
#include "cli-properties.h"

/* What train and inspect share: the options that say what is trained and how. */

typedef struct
{
  char *model, *method, *preset, *config, *adapter, *quantize;
  char **data, **eval_data, **set;
  CliProperties *properties;
} CliTrainArguments;

void cli_train_arguments_init (CliTrainArguments *self);
void cli_train_arguments_clear (CliTrainArguments *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CliTrainArguments, cli_train_arguments_clear)

/* Owned by self. */
const GOptionEntry *cli_train_get_entries (CliTrainArguments *self);
gboolean cli_train_is_anything_given (const CliTrainArguments *self);
/* What makes no sense together; NULL: nothing. */
const char *cli_train_find_contradiction (const CliTrainArguments *self);
/* The model with what is to be trained as its adapter "default". */
PeftModel *cli_train_make_model (const CliTrainArguments *self, const CliCommon *common,
                                 GCancellable *cancellable, GError **error);
/* Sets the trainer's properties. What is wrong then is wrong usage. */
gboolean cli_train_apply (const CliTrainArguments *self, const CliCommon *common,
                          PeftTrainer *trainer, GError **error);
