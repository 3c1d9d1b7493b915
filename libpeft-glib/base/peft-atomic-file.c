/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "base/peft-atomic-private.h"

#include <inttypes.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/peft-checked.h"
#include "base/peft-error.h"

struct _PeftAtomicFile
{
  char *path;
  char *temporary; /* NULL once renamed */
  int fd;          /* -1 once closed */
  guint64 length;
  gboolean failed; /* a write failed: what is there must not take the file's place */
};

void
peft_test_point (const char *name)
{
  static gsize initialized;
  static const char *wanted;
  static gsize wanted_length;
  static gint64 wanted_call;
  static gint calls;

  if (g_once_init_enter (&initialized))
    {
      const char *setting = g_getenv ("PEFT_TEST_KILL");
      const char *colon = setting != NULL ? strrchr (setting, ':') : NULL;

      if (colon != NULL)
        {
          wanted_call = g_ascii_strtoll (colon + 1, NULL, 10);
          wanted_length = (gsize) (colon - setting);
          wanted = g_strdup (setting);
        }
      g_once_init_leave (&initialized, 1);
    }
  if (wanted == NULL || strlen (name) != wanted_length
      || strncmp (name, wanted, wanted_length) != 0)
    return;
  if (g_atomic_int_add (&calls, 1) + 1 == wanted_call)
    raise (SIGKILL);
}

gboolean
peft_atomic_fail (GError **error, const char *path, const char *what, int code)
{
  g_set_error (error, PEFT_ERROR, code == ENOENT ? PEFT_ERROR_NOT_FOUND : PEFT_ERROR_IO,
               "%s: %s: %s", path, what, g_strerror (code));
  return FALSE;
}

char *
peft_atomic_temporary_name (const char *path, guint attempt)
{
  gsize length = strlen (path);

  while (length > 1 && path[length - 1] == '/')
    length--;
  return g_strdup_printf ("%.*s" PEFT_ATOMIC_SUFFIX "%" PRIu64, (int) length, path,
                          (guint64) getpid () + (guint64) attempt * PEFT_ATOMIC_PID_RANGE);
}

gboolean
peft_atomic_sync_folder_of (const char *path, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path);
  int fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int code;

  if (fd < 0)
    return peft_atomic_fail (error, folder, _ ("cannot open the folder"), errno);
  /* Some file systems cannot sync a folder and say EINVAL. */
  code = fsync (fd) < 0 && errno != EINVAL && errno != ENOTSUP ? errno : 0;
  close (fd);
  return code == 0 || peft_atomic_fail (error, folder, _ ("cannot sync the folder"), code);
}

/* At the file size limit a write is to fail with EFBIG instead of ending the process. A handler
 * that the program has set stays. */
static void
ignore_file_size_signal (void)
{
  static gsize done;
  struct sigaction action;

  if (!g_once_init_enter (&done))
    return;
  if (sigaction (SIGXFSZ, NULL, &action) == 0 && !(action.sa_flags & SA_SIGINFO)
      && action.sa_handler == SIG_DFL)
    {
      action.sa_handler = SIG_IGN;
      sigaction (SIGXFSZ, &action, NULL);
    }
  g_once_init_leave (&done, 1);
}

/* A link stays and the file it points to is replaced. */
static char *
resolve_link (const char *path)
{
  g_autofree char *target = NULL;

  if (!g_file_test (path, G_FILE_TEST_IS_SYMLINK))
    return g_strdup (path);
  target = realpath (path, NULL);
  return g_strdup (target != NULL ? target : path);
}

PeftAtomicFile *
peft_atomic_file_open (const char *path, GError **error)
{
  g_autofree char *resolved = resolve_link (path);
  g_autofree char *temporary = NULL;
  PeftAtomicFile *self;
  struct stat st;
  gboolean exists = stat (resolved, &st) == 0;
  int fd = -1;

  ignore_file_size_signal ();
  if (exists && !S_ISREG (st.st_mode))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_IO, _ ("%s: not a regular file"), path);
      return NULL;
    }
  for (guint attempt = 0; fd < 0 && attempt < PEFT_ATOMIC_MAX_ATTEMPTS; attempt++)
    {
      g_free (temporary);
      temporary = peft_atomic_temporary_name (resolved, attempt);
      fd = open (temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      if (fd < 0 && errno != EEXIST && errno != EINTR)
        break;
    }
  if (fd < 0)
    {
      peft_atomic_fail (error, path, _ ("cannot create the file"), errno);
      return NULL;
    }
  if (exists)
    /* Only the owner may do so; a failure leaves the mode that the umask gives. */
    (void) !fchmod (fd, st.st_mode & 0777);

  self = g_new0 (PeftAtomicFile, 1);
  self->path = g_steal_pointer (&resolved);
  self->temporary = g_steal_pointer (&temporary);
  self->fd = fd;
  return self;
}

static gboolean
write_all (PeftAtomicFile *self, guint64 offset, gconstpointer data, gsize length, GError **error)
{
  const guint8 *p = data;

  if (offset > G_MAXINT64 || length > G_MAXINT64 - offset)
    {
      self->failed = TRUE;
      return peft_atomic_fail (error, self->path, _ ("cannot write"), EFBIG);
    }
  while (length > 0)
    {
      gssize n = pwrite (self->fd, p, length, (off_t) offset);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        {
          self->failed = TRUE;
          return peft_atomic_fail (error, self->path, _ ("cannot write"), n < 0 ? errno : EIO);
        }
      p += n;
      offset += (guint64) n;
      length -= (gsize) n;
    }
  return TRUE;
}

gboolean
peft_atomic_file_write (PeftAtomicFile *self, gconstpointer data, gsize length, GError **error)
{
  g_return_val_if_fail (self->fd >= 0, FALSE);

  peft_test_point ("write");
  if (!write_all (self, self->length, data, length, error))
    return FALSE;
  self->length += length;
  return TRUE;
}

gboolean
peft_atomic_file_write_at (PeftAtomicFile *self, guint64 offset, gconstpointer data, gsize length,
                           GError **error)
{
  g_return_val_if_fail (self->fd >= 0, FALSE);
  g_return_val_if_fail (peft_checked_range (offset, length, self->length), FALSE);

  return write_all (self, offset, data, length, error);
}

guint64
peft_atomic_file_get_length (PeftAtomicFile *self)
{
  return self->length;
}

gboolean
peft_atomic_file_commit (PeftAtomicFile *self, GError **error)
{
  int fd = self->fd;
  int code = 0;

  g_return_val_if_fail (self->fd >= 0, FALSE);

  if (self->failed)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_IO, _ ("%s: an earlier write failed"), self->path);
      return FALSE;
    }
  while (fsync (fd) < 0)
    if (errno != EINTR)
      {
        code = errno;
        break;
      }
  self->fd = -1;
  /* Linux closes the descriptor even where close says EINTR. */
  if (close (fd) < 0 && errno != EINTR && code == 0)
    code = errno;
  if (code != 0)
    return peft_atomic_fail (error, self->path, _ ("cannot write"), code);

  peft_test_point ("rename");
  if (g_rename (self->temporary, self->path) < 0)
    return peft_atomic_fail (error, self->path, _ ("cannot replace the file"), errno);
  g_clear_pointer (&self->temporary, g_free);
  return peft_atomic_sync_folder_of (self->path, error);
}

void
peft_atomic_file_free (PeftAtomicFile *self)
{
  if (self == NULL)
    return;
  if (self->fd >= 0)
    close (self->fd);
  if (self->temporary != NULL)
    g_unlink (self->temporary);
  g_free (self->temporary);
  g_free (self->path);
  g_free (self);
}

gboolean
peft_atomic_write (const char *path, gconstpointer data, gssize length, GError **error)
{
  g_autoptr (PeftAtomicFile) file = peft_atomic_file_open (path, error);

  return file != NULL
         && peft_atomic_file_write (file, data, length >= 0 ? (gsize) length : strlen (data), error)
         && peft_atomic_file_commit (file, error);
}
