/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

/* A file that appears whole or not at all: written under a temporary name in the same folder,
 * fsynced, renamed, and the folder fsynced. Freed before commit, the temporary file is removed.
 * Errors: PEFT_ERROR_IO "PATH: what: why", PEFT_ERROR_NOT_FOUND where the folder is missing. */

typedef struct _PeftAtomicFile PeftAtomicFile;

PeftAtomicFile *peft_atomic_file_open (const char *path, GError **error);
gboolean peft_atomic_file_write (PeftAtomicFile *self, gconstpointer data, gsize length,
                                 GError **error);
/* Overwrites bytes already written, for headers that are known last. */
gboolean peft_atomic_file_write_at (PeftAtomicFile *self, guint64 offset, gconstpointer data,
                                    gsize length, GError **error);
guint64 peft_atomic_file_get_length (PeftAtomicFile *self);
gboolean peft_atomic_file_commit (PeftAtomicFile *self, GError **error);
void peft_atomic_file_free (PeftAtomicFile *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftAtomicFile, peft_atomic_file_free)

gboolean peft_atomic_write (const char *path, gconstpointer data, gssize length, GError **error);

/* A folder that appears whole or not at all: fill the temporary folder, then commit renames it to
 * `path` (which must not exist, or is replaced). Leftovers of killed processes have names that end
 * in PEFT_ATOMIC_SUFFIX and a number; peft_atomic_dir_clean removes those in a folder, but for those
 * of other living processes. */
#define PEFT_ATOMIC_SUFFIX ".incomplete-"
char *peft_atomic_dir_begin (const char *path, GError **error); /* the temporary folder's path */
gboolean peft_atomic_dir_commit (const char *temporary, const char *path, GError **error);
void peft_atomic_dir_clean (const char *folder);
/* Follows no links; a path that is not there is no error. */
gboolean peft_remove_tree (const char *path, GError **error);

/* Where the tests let a kill or a full disk strike: calls raise(SIGKILL) when the environment
 * variable PEFT_TEST_KILL is "NAME:N" and this is the N-th call with that name. */
void peft_test_point (const char *name);
