/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli-common.h"
#include "cli-properties.h"

/* What train and inspect share: the options that say what is trained and how. */

typedef struct
{
  char *model, *method, *preset, *config, *adapter, *quantize, *task, *prefix_text;
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
/* The method's configuration; TRUE with *out NULL where there is none: --adapter, --method full. */
gboolean cli_train_make_config (const CliTrainArguments *self, PeftConfig **out, GError **error);
/* Says why there is none, and gives the status: a file that is wrong has failed, an option is wrong usage. */
CliStatus cli_train_fail_config (const char *command, const CliTrainArguments *self, GError *error);
/* --task, else the task of the adapter or the configuration, else the model's. config as made before. */
gboolean cli_train_find_task (const CliTrainArguments *self, PeftConfig *config, PeftTask *task,
                              GError **error);
/* The model with what is to be trained as its adapter "default"; dataset gives the classes of a new head. */
PeftModel *cli_train_make_model (const CliTrainArguments *self, PeftConfig *config, PeftTask task,
                                 PeftDataset *dataset, const CliCommon *common, GCancellable *cancellable,
                                 GError **error);
/* Sets the trainer's properties. What is wrong then is wrong usage. */
gboolean cli_train_apply (const CliTrainArguments *self, const CliCommon *common,
                          PeftTrainer *trainer, GError **error);
