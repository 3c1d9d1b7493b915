/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>

/* Little-endian files by hand, for tests. */

static inline void
put_u32 (GByteArray *out, guint32 v)
{
  v = GUINT32_TO_LE (v);
  g_byte_array_append (out, (const guint8 *) &v, sizeof v);
}

static inline void
put_u64 (GByteArray *out, guint64 v)
{
  v = GUINT64_TO_LE (v);
  g_byte_array_append (out, (const guint8 *) &v, sizeof v);
}

static inline void
put_text (GByteArray *out, const char *text)
{
  g_byte_array_append (out, (const guint8 *) text, (guint) strlen (text));
}

static inline void
put_fill (GByteArray *out, guint n)
{
  guint at = out->len;

  g_byte_array_set_size (out, at + n);
  for (guint i = 0; i < n; i++)
    out->data[at + i] = (guint8) (i + 1);
}

/* The first n bytes in memory of exactly that size, so that a sanitizer sees reads past the end. */
static inline GBytes *
exact_bytes (gconstpointer data, gsize n)
{
  guint8 *copy = g_malloc (MAX (n, 1));

  if (n > 0)
    memcpy (copy, data, n);
  return g_bytes_new_take (copy, n);
}

static inline GBytes *
take_bytes (GByteArray *bytes)
{
  GBytes *exact = exact_bytes (bytes->data, bytes->len);

  g_byte_array_unref (bytes);
  return exact;
}

static inline void
assert_error (const GError *error, GQuark domain, int code, const char *words)
{
  g_assert_error (error, domain, code);
  if (strstr (error->message, words) == NULL)
    {
      g_test_message ("expected “%s” in “%s”", words, error->message);
      g_test_fail ();
    }
}

static inline char *
make_folder (void)
{
  GError *error = NULL;
  char *path = g_dir_make_tmp ("peft-test-XXXXXX", &error);

  g_assert_no_error (error);
  return path;
}

/* Removes a folder that holds files only. */
static inline void
remove_folder (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *file = g_build_filename (path, name, NULL);
      g_remove (file);
    }
  g_rmdir (path);
}

static inline void
write_file (const char *folder, const char *name, gconstpointer data, gssize length)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autoptr (GError) error = NULL;

  g_file_set_contents (path, data, length, &error);
  g_assert_no_error (error);
}

/* A file of the shared folder, or NULL after marking the test as skipped. */
static inline char *
shared_file (const char *relative)
{
  const char *shared = g_getenv ("PEFT_SHARED");
  const char *root = g_getenv ("PEFT_TEST_ROOT");
  g_autofree char *beside = g_build_filename (root ? root : ".", "..", "shared", NULL);
  g_autofree char *path = g_build_filename (shared ? shared : beside, relative, NULL);

  if (g_file_test (path, G_FILE_TEST_EXISTS))
    return g_steal_pointer (&path);
  g_test_skip_printf ("there is no %s", path);
  return NULL;
}
