/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli-common.h"

CliStatus cmd_bench (int argc, char **argv, GCancellable *cancellable);
CliStatus cmd_chat (int argc, char **argv, GCancellable *cancellable);
CliStatus cmd_devices (int argc, char **argv, GCancellable *cancellable);
CliStatus cmd_evaluate (int argc, char **argv, GCancellable *cancellable);
CliStatus cmd_forward (int argc, char **argv, GCancellable *cancellable);
CliStatus cmd_generate (int argc, char **argv, GCancellable *cancellable);
CliStatus cmd_inspect (int argc, char **argv, GCancellable *cancellable);
CliStatus cmd_convert (int argc, char **argv, GCancellable *cancellable);
CliStatus cmd_merge (int argc, char **argv, GCancellable *cancellable);
CliStatus cmd_methods (int argc, char **argv, GCancellable *cancellable);
CliStatus cmd_template (int argc, char **argv, GCancellable *cancellable);
CliStatus cmd_tokenize (int argc, char **argv, GCancellable *cancellable);
CliStatus cmd_train (int argc, char **argv, GCancellable *cancellable);
