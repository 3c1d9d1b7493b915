/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib/gi18n.h>
#include <peft-glib.h>

/* What the subcommands share: exit statuses, the common options, opening models and adapters. */

typedef enum
{
  CLI_DONE = 0,
  CLI_FAILED = 1,
  CLI_USAGE = 2,
  CLI_INTERRUPTED = 130,
  CLI_TERMINATED = 143
} CliStatus;

typedef struct
{
  const char *name;
  const char *arguments; /* for the usage line */
  const char *summary;   /* translatable */
  CliStatus (*run) (int argc, char **argv, GCancellable *cancellable);
} CliCommand;

extern const CliCommand cli_commands[]; /* ends with a NULL name */

/* Values of --device, --dtype, --threads, --seed, -v, -q. */
typedef struct
{
  char *device, *dtype;
  int threads;
  gint64 seed;
  gboolean verbose, quiet;
} CliCommon;

void cli_common_init (CliCommon *self);
void cli_common_clear (CliCommon *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CliCommon, cli_common_clear)

/* Parses argv with the command's own entries and the common ones; `common` may be NULL. FALSE: the usage was
 * wrong, which has been said. Arguments that are no options stay in argv; n_arguments of them are demanded, -1: any number. */
gboolean cli_parse (const char *name, const GOptionEntry *entries, CliCommon *common,
                    int n_arguments, int *argc, char ***argv);
/* "peft-glib: MESSAGE" on standard error, in one line. */
void cli_error (const char *format, ...) G_GNUC_PRINTF (1, 2);
/* The same for wrong usage of a command; returns CLI_USAGE. */
CliStatus cli_usage (const char *name, const char *format, ...) G_GNUC_PRINTF (2, 3);
/* Says what failed and gives the status: interrupted and terminated when the signal did it. */
CliStatus cli_fail (GError *error);
/* The signal that cancelled, 0: none. */
int cli_get_signal (void);
/* What a signal cancels from now on, and that none has come yet: for commands that go on after one. */
void cli_renew_cancellable (GCancellable *cancellable);

PeftDevice *cli_open_device (const CliCommon *common, GError **error);
PeftBaseModel *cli_open_base (const CliCommon *common, const char *model,
                              GCancellable *cancellable, GError **error);
/* With adapters given as "DIR" or "DIR=WEIGHT", all of them active. adapters may be NULL. The model is loaded for the task of
 * the first one. */
PeftModel *cli_open_model (const CliCommon *common, const char *model, char **adapters,
                           GCancellable *cancellable, GError **error);
/* The same with none of several active: they are called as peft_model_get_adapter_names lists them, in the order of
 * `adapters`, and *weights (transfer full; double) is what was given for each. */
PeftModel *cli_load_model (const CliCommon *common, const char *model, char **adapters,
                           GArray **weights, GCancellable *cancellable, GError **error);
/* "DIR=WEIGHT" → "DIR" and WEIGHT (1: none is given); a folder whose name holds "=" is taken as it is when it exists. */
char *cli_split_weight (const char *text, double *weight, GError **error);
gboolean cli_parse_dtype (const char *text, PeftLoadDType *out, GError **error);

char *cli_format_bytes (guint64 bytes);
char *cli_format_count (guint64 count);
