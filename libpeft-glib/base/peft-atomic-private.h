/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-atomic-file.h"

/* The number in a temporary name is the process id plus a multiple of 2^22 (Linux' largest id), so
 * that peft_atomic_dir_clean can leave alone what a living process is filling. */
#define PEFT_ATOMIC_PID_RANGE (1u << 22)
#define PEFT_ATOMIC_MAX_ATTEMPTS 1000

/* `path` without trailing slashes, the suffix and the attempt's number. */
char *peft_atomic_temporary_name (const char *path, guint attempt);
/* Makes a name in the folder of `path` durable. */
gboolean peft_atomic_sync_folder_of (const char *path, GError **error);
/* Sets "PATH: what: strerror" as PEFT_ERROR_IO (NOT_FOUND for ENOENT) and returns FALSE. */
gboolean peft_atomic_fail (GError **error, const char *path, const char *what, int code);
