/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "formats/peft-mapped-file.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <sys/stat.h>

#include "base/peft-error.h"

GBytes *
peft_mapped_file_open (const char *path, GError **error)
{
  g_autoptr (GMappedFile) mapped = NULL;
  g_autoptr (GError) local_error = NULL;
  struct stat status;
  int fd;

  /* Without O_NONBLOCK, opening a FIFO waits for a writer. */
  fd = g_open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
  if (fd < 0)
    {
      int code = errno;

      g_set_error (error, PEFT_ERROR, code == ENOENT ? PEFT_ERROR_NOT_FOUND : PEFT_ERROR_IO,
                   _ ("%s: cannot be opened: %s"), path, g_strerror (code));
      return NULL;
    }
  if (fstat (fd, &status) != 0 || !S_ISREG (status.st_mode))
    {
      g_close (fd, NULL);
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_IO, _ ("%s: expected a regular file"), path);
      return NULL;
    }
  mapped = g_mapped_file_new_from_fd (fd, FALSE, &local_error);
  g_close (fd, NULL);
  if (mapped == NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_IO, _ ("%s: cannot be mapped: %s"), path,
                   local_error->message);
      return NULL;
    }
  return g_mapped_file_get_bytes (mapped);
}
