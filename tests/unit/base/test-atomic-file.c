/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/peft-atomic-file.h"
#include "base/peft-error.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct
{
  char *dir;
  char *path; /* dir/file */
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  fixture->dir = g_dir_make_tmp ("peft-atomic-XXXXXX", NULL);
  fixture->path = g_build_filename (fixture->dir, "file", NULL);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (peft_remove_tree (fixture->dir, &error));
  g_assert_no_error (error);
  g_assert_false (g_file_test (fixture->dir, G_FILE_TEST_EXISTS));
  g_free (fixture->dir);
  g_free (fixture->path);
}

static guint
count_entries (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;

  g_assert_nonnull (dir);
  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
assert_contents (const char *path, const char *expected)
{
  g_autofree char *contents = NULL;
  g_autoptr (GError) error = NULL;

  g_file_get_contents (path, &contents, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (contents, ==, expected);
}

static void
test_commit (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftAtomicFile) file = peft_atomic_file_open (fixture->path, &error);

  g_assert_no_error (error);
  g_assert_true (peft_atomic_file_write (file, "....-", 5, &error));
  g_assert_true (peft_atomic_file_write (file, "body", 4, &error));
  g_assert_true (peft_atomic_file_write (file, "", 0, &error));
  g_assert_cmpuint (peft_atomic_file_get_length (file), ==, 9);
  g_assert_true (peft_atomic_file_write_at (file, 0, "head", 4, &error));
  g_assert_cmpuint (peft_atomic_file_get_length (file), ==, 9);
  g_assert_true (peft_atomic_file_write (file, "!", 1, &error));
  g_assert_false (g_file_test (fixture->path, G_FILE_TEST_EXISTS));
  g_assert_true (peft_atomic_file_commit (file, &error));
  g_assert_no_error (error);
  assert_contents (fixture->path, "head-body!");
  g_assert_cmpuint (count_entries (fixture->dir), ==, 1);

  g_assert_true (peft_atomic_write (fixture->path, "new", -1, &error));
  assert_contents (fixture->path, "new");
  g_assert_true (peft_atomic_write (fixture->path, "newest", 3, &error));
  assert_contents (fixture->path, "new");
  g_assert_cmpuint (count_entries (fixture->dir), ==, 1);
}

static void
test_abandon (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  PeftAtomicFile *a, *b;

  g_assert_true (peft_atomic_write (fixture->path, "old", -1, &error));
  a = peft_atomic_file_open (fixture->path, &error);
  b = peft_atomic_file_open (fixture->path, &error); /* a second one gets another name */
  g_assert_no_error (error);
  g_assert_true (peft_atomic_file_write (a, "half", 4, &error));
  g_assert_true (peft_atomic_file_write (b, "second", 6, &error));
  g_assert_cmpuint (count_entries (fixture->dir), ==, 3);
  peft_atomic_file_free (a);
  assert_contents (fixture->path, "old");
  g_assert_true (peft_atomic_file_commit (b, &error));
  peft_atomic_file_free (b);
  assert_contents (fixture->path, "second");
  g_assert_cmpuint (count_entries (fixture->dir), ==, 1);
}

static void
test_errors (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *missing = g_build_filename (fixture->dir, "no", "file", NULL);

  g_assert_null (peft_atomic_file_open (missing, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND);
  g_assert_true (g_str_has_prefix (error->message, missing));
  g_clear_error (&error);

  g_assert_null (peft_atomic_file_open (fixture->dir, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_IO);
  g_clear_error (&error);
  g_assert_null (peft_atomic_file_open ("/dev/null", &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_IO);
  g_assert_cmpstr (error->message, ==, "/dev/null: not a regular file");
  g_assert_cmpuint (count_entries (fixture->dir), ==, 0);
}

static void
test_mode_and_link (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *link_path = g_build_filename (fixture->dir, "link", NULL);
  struct stat st;

  g_assert_true (peft_atomic_write (fixture->path, "1", -1, &error));
  g_assert_cmpint (g_chmod (fixture->path, 0600), ==, 0);
  g_assert_cmpint (symlink ("file", link_path), ==, 0);
  g_assert_true (peft_atomic_write (link_path, "2", -1, &error));
  g_assert_no_error (error);
  g_assert_true (g_file_test (link_path, G_FILE_TEST_IS_SYMLINK));
  assert_contents (fixture->path, "2");
  g_assert_cmpint (stat (fixture->path, &st), ==, 0);
  g_assert_cmpint (st.st_mode & 0777, ==, 0600);
  g_assert_cmpuint (count_entries (fixture->dir), ==, 2);
}

/* A full disk, played by the limit on file size. */
static void
test_disk_full (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *large = g_strnfill (100000, 'x');
  PeftAtomicFile *file;
  struct rlimit old, limit;

  g_assert_true (peft_atomic_write (fixture->path, "old", -1, &error));
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &old), ==, 0);
  limit = old;
  limit.rlim_cur = 65536;
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  file = peft_atomic_file_open (fixture->path, &error);
  g_assert_no_error (error);
  g_assert_false (peft_atomic_file_write (file, large, 100000, &error));
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &old), ==, 0);
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_IO);
  g_assert_true (g_str_has_prefix (error->message, fixture->path));
  g_assert_nonnull (strstr (error->message, "File too large"));
  g_clear_error (&error);

  /* What was written before must not take the old file's place. */
  g_assert_false (peft_atomic_file_commit (file, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_IO);
  peft_atomic_file_free (file);
  assert_contents (fixture->path, "old");
  g_assert_cmpuint (count_entries (fixture->dir), ==, 1);
}

static void
fill_dir (const char *dir, const char *text)
{
  g_autofree char *inner = g_build_filename (dir, "inner", NULL);
  g_autofree char *file = g_build_filename (inner, "file", NULL);

  g_assert_cmpint (g_mkdir (inner, 0777), ==, 0);
  g_assert_true (g_file_set_contents (file, text, -1, NULL));
}

static void
test_dir (Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = g_build_filename (fixture->dir, "out", NULL);
  g_autofree char *with_slash = g_strconcat (path, "/", NULL);
  g_autofree char *file = g_build_filename (path, "inner", "file", NULL);
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 3; i++)
    {
      g_autofree char *text = g_strdup_printf ("version %u", i);
      g_autofree char *temporary = peft_atomic_dir_begin (i == 1 ? with_slash : path, &error);

      g_assert_no_error (error);
      g_assert_true (g_str_has_prefix (temporary, path));
      fill_dir (temporary, text);
      g_assert_true (peft_atomic_dir_commit (temporary, i == 1 ? with_slash : path, &error));
      g_assert_no_error (error);
      assert_contents (file, text);
      g_assert_cmpuint (count_entries (fixture->dir), ==, 1);
    }
}

static void
test_dir_errors (Fixture *fixture, gconstpointer data)
{
  g_autofree char *missing = g_build_filename (fixture->dir, "no", "dir", NULL);
  g_autofree char *temporary = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_null (peft_atomic_dir_begin (missing, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND);
  g_clear_error (&error);

  g_assert_true (g_file_set_contents (fixture->path, "old", -1, NULL));
  temporary = peft_atomic_dir_begin (fixture->path, &error);
  g_assert_no_error (error);
  g_assert_false (peft_atomic_dir_commit (temporary, fixture->path, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_IO);
  assert_contents (fixture->path, "old");
  g_clear_error (&error);

  g_assert_false (peft_atomic_dir_commit (missing, fixture->path, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND);
}

static void
make_entry (const char *dir, const char *name, gboolean folder)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);

  if (folder)
    {
      g_assert_cmpint (g_mkdir (path, 0777), ==, 0);
      fill_dir (path, "x");
    }
  else
    g_assert_true (g_file_set_contents (path, "x", -1, NULL));
}

static void
test_clean (Fixture *fixture, gconstpointer data)
{
  static const char *const kept[]
      = { "checkpoint-1", "a.incomplete-", "a.incomplete-12x", ".incomplete-0", "incomplete-5" };
  g_autofree char *dead = NULL;
  g_autofree char *ours = g_strdup_printf ("b.incomplete-%d", (int) getpid ());
  g_autofree char *later = g_strdup_printf ("b.incomplete-%ld", (long) getpid () + 3 * (1L << 22));
  g_autofree char *living = g_strdup_printf ("c.incomplete-%d", (int) getppid ());
  g_autofree char *missing = g_build_filename (fixture->dir, "missing", NULL);
  pid_t child = fork ();

  if (child == 0)
    _exit (0);
  g_assert_cmpint (waitpid (child, NULL, 0), ==, child);
  dead = g_strdup_printf ("checkpoint-2.incomplete-%d", (int) child);

  for (gsize i = 0; i < G_N_ELEMENTS (kept); i++)
    make_entry (fixture->dir, kept[i], i == 0);
  make_entry (fixture->dir, dead, TRUE);
  make_entry (fixture->dir, ours, FALSE);
  make_entry (fixture->dir, later, TRUE);
  if (getppid () > 0)
    make_entry (fixture->dir, living, FALSE);
  peft_atomic_dir_clean (fixture->dir);
  for (gsize i = 0; i < G_N_ELEMENTS (kept); i++)
    {
      g_autofree char *path = g_build_filename (fixture->dir, kept[i], NULL);
      g_assert_true (g_file_test (path, G_FILE_TEST_EXISTS));
    }
  g_assert_cmpuint (count_entries (fixture->dir), ==,
                    G_N_ELEMENTS (kept) + (getppid () > 0 ? 1 : 0));
  peft_atomic_dir_clean (missing);
}

static void
test_remove_tree (Fixture *fixture, gconstpointer data)
{
  g_autofree char *tree = g_build_filename (fixture->dir, "tree", NULL);
  g_autofree char *link_path = g_build_filename (tree, "link", NULL);
  g_autoptr (GError) error = NULL;

  make_entry (fixture->dir, "file", FALSE);
  make_entry (fixture->dir, "tree", TRUE);
  g_assert_cmpint (symlink (fixture->dir, link_path), ==, 0);
  g_assert_true (peft_remove_tree (tree, &error));
  g_assert_true (peft_remove_tree (tree, &error));
  g_assert_no_error (error);
  assert_contents (fixture->path, "x");
}

/* Run by test_kill in a process of its own, whose environment says where it dies. */
static void
kill_child (void)
{
  const char *dir = g_getenv ("PEFT_TEST_DIR");
  g_autofree char *path = NULL;

  if (dir == NULL)
    {
      g_test_skip ("only run by the kill test");
      return;
    }
  path = g_build_filename (dir, "file", NULL);
  for (guint i = 1; i <= 5; i++)
    {
      g_autofree char *text = g_strdup_printf ("%u", i);
      g_assert_true (peft_atomic_write (path, text, -1, NULL));
    }
}

static void
test_kill (Fixture *fixture, gconstpointer data)
{
  static const struct
  {
    const char *point;
    const char *contents; /* NULL: no file yet */
    gboolean dies;
  } rows[] = {
    { "write:1", NULL, TRUE }, { "write:3", "2", TRUE },  { "rename:5", "4", TRUE },
    { "write:6", "5", FALSE }, { "other:1", "5", FALSE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      const char *argv[] = { "/proc/self/exe", "-p", "/Peft/AtomicFile/kill-child", "-q", NULL };
      g_auto (GStrv) environment = g_get_environ ();
      g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
      g_autoptr (GError) error = NULL;
      int status = 0;

      g_unlink (fixture->path);
      argv[0] = self;
      environment = g_environ_setenv (environment, "PEFT_TEST_KILL", rows[i].point, TRUE);
      environment = g_environ_setenv (environment, "PEFT_TEST_DIR", fixture->dir, TRUE);
      g_spawn_sync (NULL, (char **) argv, environment, G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL,
                    NULL, &status, &error);
      g_assert_no_error (error);
      g_assert_cmpint (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL, ==, rows[i].dies);
      if (!rows[i].dies)
        g_assert_cmpint (status, ==, 0);
      if (rows[i].contents != NULL)
        assert_contents (fixture->path, rows[i].contents);
      else
        g_assert_false (g_file_test (fixture->path, G_FILE_TEST_EXISTS));
      peft_atomic_dir_clean (fixture->dir);
      g_assert_cmpuint (count_entries (fixture->dir), ==, rows[i].contents != NULL ? 1 : 0);
    }
}

#define ADD(name, function) \
  g_test_add ("/Peft/AtomicFile/" name, Fixture, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("commit", test_commit);
  ADD ("abandon", test_abandon);
  ADD ("errors", test_errors);
  ADD ("mode-and-link", test_mode_and_link);
  ADD ("disk-full", test_disk_full);
  ADD ("dir", test_dir);
  ADD ("dir-errors", test_dir_errors);
  ADD ("clean", test_clean);
  ADD ("remove-tree", test_remove_tree);
  ADD ("kill", test_kill);
  g_test_add_func ("/Peft/AtomicFile/kill-child", kill_child);
  return g_test_run ();
}
