/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "train/peft-checkpoint.h"

#include <inttypes.h>
#include <errno.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <string.h>

#include "base/peft-atomic-file.h"
#include "base/peft-error.h"
#include "formats/peft-mapped-file.h"
#include "train/peft-training-state.h"

#define STEP_PREFIX "step-"

/* ---- Manifest ------------------------------------------------------------------------------ */

static char *
hash_file (const char *path, guint64 *size, GError **error)
{
  g_autoptr (GBytes) bytes = peft_mapped_file_open (path, error);

  if (bytes == NULL)
    return NULL;
  *size = g_bytes_get_size (bytes);
  return g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, bytes);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

static GPtrArray *
list_folder (const char *folder, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) local_error = NULL;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, &local_error);
  const char *name;

  if (dir == NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_IO, _ ("%s: cannot read the folder: %s"), folder,
                   local_error->message);
      return NULL;
    }
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      if (names->len >= PEFT_CHECKPOINT_MAX)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT, _ ("%s: more than %u entries"), folder,
                       PEFT_CHECKPOINT_MAX);
          return NULL;
        }
      g_ptr_array_add (names, g_strdup (name));
    }
  g_ptr_array_sort (names, compare_names);
  return g_steal_pointer (&names);
}

static gboolean
write_manifest (const char *folder, guint64 step, GError **error)
{
  g_autoptr (PeftJson) manifest = peft_json_new_object ();
  g_autoptr (GPtrArray) names = list_folder (folder, error);
  g_autofree char *path = g_build_filename (folder, PEFT_CHECKPOINT_MANIFEST, NULL);
  g_autofree char *text = NULL;
  PeftJson *files = peft_json_new_object ();

  peft_json_set (manifest, "files", files);
  peft_json_set (manifest, "step", peft_json_new_uint (step));
  if (names == NULL)
    return FALSE;
  for (guint i = 0; i < names->len; i++)
    {
      g_autofree char *file = g_build_filename (folder, names->pdata[i], NULL);
      PeftJson *entry;
      g_autofree char *hash = NULL;
      guint64 size;

      hash = hash_file (file, &size, error);
      if (hash == NULL)
        return FALSE;
      entry = peft_json_new_object ();
      peft_json_set (entry, "bytes", peft_json_new_uint (size));
      peft_json_set (entry, "sha256", peft_json_new_string (hash));
      peft_json_set (files, names->pdata[i], entry);
    }
  text = peft_json_to_string (manifest, PEFT_JSON_WRITE_INDENT);
  return peft_atomic_write (path, text, -1, error);
}

static gboolean
broken (GError **error, const char *folder, const char *what)
{
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE, _ ("%s: not a whole checkpoint: %s"),
               folder, what);
  return FALSE;
}

/* An entry of the manifest against the file. */
static gboolean
check_entry (const char *folder, const char *name, const PeftJson *entry, GError **error)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *what = NULL;
  g_autofree char *found_hash = NULL;
  g_autoptr (GError) local_error = NULL;
  const char *hash = NULL;
  gint64 bytes = -1;
  guint64 found;

  if (strchr (name, '/') != NULL || peft_json_get_kind (entry) != PEFT_JSON_OBJECT
      || !peft_json_read_int (entry, "bytes", &bytes, NULL) || bytes < 0
      || !peft_json_read_string (entry, "sha256", &hash, NULL) || hash == NULL)
    return broken (error, folder, _ ("its manifest is malformed"));
  found_hash = hash_file (path, &found, &local_error);
  if (found_hash == NULL)
    return broken (error, folder, local_error->message);
  if (found != (guint64) bytes)
    what = g_strdup_printf (_ ("%s: expected %" PRIi64 " bytes, found %" PRIu64), name,
                            bytes, found);
  else if (!g_str_equal (hash, found_hash))
    what = g_strdup_printf (_ ("%s: its contents do not have the checksum written down"), name);
  return what == NULL || broken (error, folder, what);
}

static gboolean
check_manifest (const char *folder, gint64 *step, GError **error)
{
  g_autofree char *path = g_build_filename (folder, PEFT_CHECKPOINT_MANIFEST, NULL);
  g_autoptr (GError) local_error = NULL;
  g_autoptr (PeftJson) manifest = peft_json_load (path, PEFT_JSON_PARSE_UNIQUE_KEYS, &local_error);
  PeftJson *files;

  if (manifest == NULL)
    return broken (error, folder, local_error->message);
  files = peft_json_get_member (manifest, "files");
  if (peft_json_get_kind (manifest) != PEFT_JSON_OBJECT || files == NULL
      || peft_json_get_kind (files) != PEFT_JSON_OBJECT
      || !peft_json_read_int (manifest, "step", step, NULL) || *step <= 0
      || peft_json_get_member (files, PEFT_CHECKPOINT_STATE) == NULL
      || peft_json_get_member (files, PEFT_CHECKPOINT_TRAINER) == NULL)
    return broken (error, folder, _ ("its manifest is malformed"));
  for (gsize i = 0; i < peft_json_get_length (files); i++)
    if (!check_entry (folder, peft_json_get_name (files, i), peft_json_get_value (files, i), error))
      return FALSE;
  return TRUE;
}

/* ---- Writing ------------------------------------------------------------------------------- */

static char *
step_folder (const char *output, guint64 step)
{
  g_autofree char *name = g_strdup_printf (STEP_PREFIX "%" PRIu64, step);
  return g_build_filename (output, PEFT_CHECKPOINT_FOLDER, name, NULL);
}

static gboolean
fill (PeftAdapter *adapter, const PeftJson *trainer, const char *folder, guint64 step,
      GError **error)
{
  g_autofree char *state = g_build_filename (folder, PEFT_CHECKPOINT_STATE, NULL);
  g_autofree char *trainer_path = g_build_filename (folder, PEFT_CHECKPOINT_TRAINER, NULL);
  g_autofree char *text = peft_json_to_string (trainer, PEFT_JSON_WRITE_INDENT);

  if (!peft_adapter_save_unconverted (adapter, folder, error))
    return FALSE;
  peft_test_point ("checkpoint-write");
  if (!peft_training_state_save (adapter, state, error))
    return FALSE;
  peft_test_point ("checkpoint-write");
  return peft_atomic_write (trainer_path, text, -1, error) && write_manifest (folder, step, error);
}

char *
peft_checkpoint_write (PeftAdapter *adapter, const PeftJson *trainer, const char *output,
                       guint64 step, GError **error)
{
  g_autofree char *parent = g_build_filename (output, PEFT_CHECKPOINT_FOLDER, NULL);
  g_autofree char *folder = step_folder (output, step);
  g_autofree char *temporary = NULL;

  if (g_mkdir_with_parents (parent, 0777) != 0)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_IO, _ ("%s: cannot make the folder: %s"), parent,
                   g_strerror (errno));
      return NULL;
    }
  temporary = peft_atomic_dir_begin (folder, error);
  if (temporary == NULL)
    return NULL;
  if (!fill (adapter, trainer, temporary, step, error))
    {
      peft_remove_tree (temporary, NULL);
      return NULL;
    }
  peft_test_point ("checkpoint-rename");
  if (!peft_atomic_dir_commit (temporary, folder, error))
    {
      peft_remove_tree (temporary, NULL);
      return NULL;
    }
  peft_test_point ("checkpoint-rename");
  return g_steal_pointer (&folder);
}

/* ---- Finding ------------------------------------------------------------------------------- */

static int
compare_steps (gconstpointer a, gconstpointer b)
{
  guint64 x = *(const guint64 *) a, y = *(const guint64 *) b;
  return (x < y) - (x > y);
}

/* The steps that have a folder, newest first; whole or not. */
static GArray *
list_steps (const char *output, GError **error)
{
  g_autofree char *parent = g_build_filename (output, PEFT_CHECKPOINT_FOLDER, NULL);
  g_autoptr (GArray) steps = g_array_new (FALSE, FALSE, sizeof (guint64));
  g_autoptr (GPtrArray) names = NULL;

  if (!g_file_test (parent, G_FILE_TEST_EXISTS))
    return g_steal_pointer (&steps);
  names = list_folder (parent, error);
  if (names == NULL)
    return NULL;
  for (guint i = 0; i < names->len; i++)
    {
      const char *name = names->pdata[i];
      guint64 step;

      if (g_str_has_prefix (name, STEP_PREFIX)
          && g_ascii_string_to_unsigned (name + strlen (STEP_PREFIX), 10, 1, G_MAXINT64, &step, NULL))
        g_array_append_val (steps, step);
    }
  g_array_sort (steps, compare_steps);
  return g_steal_pointer (&steps);
}

gboolean
peft_checkpoint_prune (const char *output, guint keep, guint64 best, GError **error)
{
  g_autoptr (GArray) steps = list_steps (output, error);

  if (steps == NULL)
    return FALSE;
  for (guint i = keep; keep > 0 && i < steps->len; i++)
    {
      guint64 step = g_array_index (steps, guint64, i);
      g_autofree char *folder = step_folder (output, step);

      if (step != best && !peft_remove_tree (folder, error))
        return FALSE;
    }
  return TRUE;
}

void
peft_checkpoint_free (PeftCheckpoint *self)
{
  g_free (self->folder);
  g_clear_pointer (&self->trainer, peft_json_unref);
  g_free (self);
}

PeftCheckpoint *
peft_checkpoint_open (const char *folder, GError **error)
{
  g_autofree char *trainer_path = g_build_filename (folder, PEFT_CHECKPOINT_TRAINER, NULL);
  g_autoptr (PeftCheckpoint) self = g_new0 (PeftCheckpoint, 1);
  gint64 step = 0;

  self->folder = g_strdup (folder);
  if (!check_manifest (folder, &step, error))
    return NULL;
  self->step = step;
  self->trainer = peft_json_load (trainer_path, PEFT_JSON_PARSE_NAN, error);
  if (self->trainer == NULL)
    return NULL;
  if (peft_json_get_kind (self->trainer) != PEFT_JSON_OBJECT)
    {
      broken (error, folder, PEFT_CHECKPOINT_TRAINER);
      return NULL;
    }
  return g_steal_pointer (&self);
}

gboolean
peft_checkpoint_find (const char *output, PeftCheckpoint **out, GPtrArray *skipped, GError **error)
{
  g_autoptr (GArray) steps = list_steps (output, error);

  *out = NULL;
  if (steps == NULL)
    return FALSE;
  for (guint i = 0; i < steps->len && *out == NULL; i++)
    {
      g_autofree char *folder = step_folder (output, g_array_index (steps, guint64, i));
      g_autoptr (GError) local_error = NULL;

      *out = peft_checkpoint_open (folder, &local_error);
      if (*out == NULL && skipped != NULL)
        g_ptr_array_add (skipped, g_strdup (local_error->message));
    }
  return TRUE;
}

gboolean
peft_checkpoint_restore (PeftCheckpoint *self, PeftAdapter *adapter, gboolean with_moments,
                         GError **error)
{
  g_autofree char *path = g_build_filename (self->folder, PEFT_CHECKPOINT_STATE, NULL);

  return peft_training_state_load (adapter, path, with_moments, error);
}

gboolean
peft_checkpoint_load_values (PeftAdapter *adapter, const char *path, GError **error)
{
  return peft_training_state_load (adapter, path, FALSE, error);
}
