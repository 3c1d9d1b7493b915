/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "base/peft-atomic-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/peft-error.h"

char *
peft_atomic_dir_begin (const char *path, GError **error)
{
  for (guint attempt = 0; attempt < PEFT_ATOMIC_MAX_ATTEMPTS; attempt++)
    {
      g_autofree char *temporary = peft_atomic_temporary_name (path, attempt);

      if (g_mkdir (temporary, 0777) == 0)
        return g_steal_pointer (&temporary);
      if (errno != EEXIST)
        break;
    }
  peft_atomic_fail (error, path, _ ("cannot create the folder"), errno);
  return NULL;
}

/* Files may have been written by others than PeftAtomicFile: all of the tree reaches the disk before
 * its name does. */
static gboolean
sync_tree (const char *path, GError **error)
{
  struct stat st;
  int fd;
  int code;

  if (lstat (path, &st) < 0)
    return peft_atomic_fail (error, path, _ ("cannot sync"), errno);
  if (!S_ISREG (st.st_mode) && !S_ISDIR (st.st_mode))
    return TRUE;
  if (S_ISDIR (st.st_mode))
    {
      g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
      const char *name;

      if (dir == NULL)
        return peft_atomic_fail (error, path, _ ("cannot read the folder"), errno);
      while ((name = g_dir_read_name (dir)) != NULL)
        {
          g_autofree char *child = g_build_filename (path, name, NULL);
          if (!sync_tree (child, error))
            return FALSE;
        }
    }
  fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0)
    return peft_atomic_fail (error, path, _ ("cannot sync"), errno);
  code = fsync (fd) < 0 && errno != EINVAL && errno != ENOTSUP ? errno : 0;
  close (fd);
  return code == 0 || peft_atomic_fail (error, path, _ ("cannot sync"), code);
}

/* `path` exists. Where the file system cannot exchange two names, `path` is absent for a moment. */
static gboolean
replace_dir (const char *temporary, const char *path, GError **error)
{
  g_autofree char *old = NULL;

  peft_test_point ("rename");
  if (renameat2 (AT_FDCWD, temporary, AT_FDCWD, path, RENAME_EXCHANGE) == 0)
    return peft_remove_tree (temporary, error);
  if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP)
    return peft_atomic_fail (error, path, _ ("cannot replace the folder"), errno);

  for (guint attempt = 0; attempt < PEFT_ATOMIC_MAX_ATTEMPTS; attempt++)
    {
      g_free (old);
      old = peft_atomic_temporary_name (path, attempt);
      if (!g_file_test (old, G_FILE_TEST_EXISTS))
        break;
    }
  peft_test_point ("rename");
  if (g_rename (path, old) < 0)
    return peft_atomic_fail (error, path, _ ("cannot replace the folder"), errno);
  peft_test_point ("rename");
  if (g_rename (temporary, path) < 0)
    {
      int code = errno;

      if (g_rename (old, path) < 0)
        g_warning ("%s: the former folder stays as %s", path, old);
      return peft_atomic_fail (error, path, _ ("cannot replace the folder"), code);
    }
  return peft_remove_tree (old, error);
}

gboolean
peft_atomic_dir_commit (const char *temporary, const char *path, GError **error)
{
  struct stat st;

  if (!sync_tree (temporary, error))
    return FALSE;
  if (lstat (path, &st) == 0)
    {
      if (!S_ISDIR (st.st_mode))
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_IO, _ ("%s: not a folder"), path);
          return FALSE;
        }
      return replace_dir (temporary, path, error) && peft_atomic_sync_folder_of (path, error);
    }
  peft_test_point ("rename");
  if (g_rename (temporary, path) < 0)
    return peft_atomic_fail (error, path, _ ("cannot create the folder"), errno);
  return peft_atomic_sync_folder_of (path, error);
}

/* Is it a temporary name whose process is gone, or is this one (which cleans before it writes, and
 * may have the id of a dead one in a container)? */
static gboolean
is_leftover (const char *name)
{
  const char *suffix = g_strrstr (name, PEFT_ATOMIC_SUFFIX);
  guint64 number;
  pid_t pid;

  if (suffix == NULL || suffix == name)
    return FALSE;
  if (!g_ascii_string_to_unsigned (suffix + strlen (PEFT_ATOMIC_SUFFIX), 10, 0, G_MAXUINT64, &number,
                                   NULL))
    return FALSE;
  pid = (pid_t) (number % PEFT_ATOMIC_PID_RANGE);
  return pid == 0 || pid == getpid () || (kill (pid, 0) < 0 && errno == ESRCH);
}

void
peft_atomic_dir_clean (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);
  const char *name;

  if (dir == NULL)
    return;
  while ((name = g_dir_read_name (dir)) != NULL)
    if (is_leftover (name))
      g_ptr_array_add (paths, g_build_filename (folder, name, NULL));
  for (guint i = 0; i < paths->len; i++)
    {
      g_autoptr (GError) error = NULL;
      if (!peft_remove_tree (g_ptr_array_index (paths, i), &error))
        g_info ("leftover stays: %s", error->message);
    }
}

gboolean
peft_remove_tree (const char *path, GError **error)
{
  struct stat st;

  if (lstat (path, &st) < 0)
    return errno == ENOENT || peft_atomic_fail (error, path, _ ("cannot remove"), errno);
  if (S_ISDIR (st.st_mode))
    {
      g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
      const char *name;

      if (dir == NULL)
        return peft_atomic_fail (error, path, _ ("cannot read the folder"), errno);
      while ((name = g_dir_read_name (dir)) != NULL)
        {
          g_autofree char *child = g_build_filename (path, name, NULL);
          if (!peft_remove_tree (child, error))
            return FALSE;
        }
    }
  if (g_remove (path) < 0 && errno != ENOENT)
    return peft_atomic_fail (error, path, _ ("cannot remove"), errno);
  return TRUE;
}
