/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "hub/peft-hub-cache.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"

#define MAX_REF_BYTES 256u

/* One part of an id or a revision: no separator, and nothing that means another folder. */
static gboolean
is_name (const char *text, gsize length)
{
  if (length == 0 || text[0] == '.' || text[0] == '-')
    return FALSE;
  for (gsize i = 0; i < length; i++)
    if (!g_ascii_isalnum (text[i]) && strchr ("-_.", text[i]) == NULL)
      return FALSE;
  return memmem (text, length, "..", 2) == NULL;
}

/* Revisions may have slashes: "refs/pr/1". */
static gboolean
is_revision (const char *text)
{
  g_auto (GStrv) parts = g_strsplit (text, "/", -1);

  for (char **part = parts; *part != NULL; part++)
    if (!is_name (*part, strlen (*part)))
      return FALSE;
  return parts[0] != NULL;
}

gboolean
peft_hub_is_id (const char *id)
{
  gsize length = strlen (id);
  const char *at = strchr (id, '@');
  const char *slash = strchr (id, '/');

  if (length > PEFT_HUB_MAX_ID_BYTES || slash == NULL || (at != NULL && slash > at))
    return FALSE;
  if (at != NULL && !is_revision (at + 1))
    return FALSE;
  return is_name (id, (gsize) (slash - id))
         && is_name (slash + 1, at != NULL ? (gsize) (at - slash - 1) : strlen (slash + 1));
}

char *
peft_hub_cache_get_folder (void)
{
  const char *folder = g_getenv ("HF_HUB_CACHE");
  const char *home = g_getenv ("HF_HOME");

  if (folder != NULL && *folder != '\0')
    return g_strdup (folder);
  if (home != NULL && *home != '\0')
    return g_build_filename (home, "hub", NULL);
  return g_build_filename (g_get_user_cache_dir (), "huggingface", "hub", NULL);
}

/* The commit that a revision stands for, NULL when the cache has no such reference. */
static char *
read_ref (const char *repository, const char *revision)
{
  g_autofree char *path = g_build_filename (repository, "refs", revision, NULL);
  g_autofree char *commit = NULL;
  gsize length;

  if (!g_file_get_contents (path, &commit, &length, NULL) || length > MAX_REF_BYTES)
    return NULL;
  g_strstrip (commit);
  return is_name (commit, strlen (commit)) ? g_steal_pointer (&commit) : NULL;
}

char *
peft_hub_cache_find (const char *id, GError **error)
{
  const char *at = strchr (id, '@');
  g_autofree char *name = at != NULL ? g_strndup (id, (gsize) (at - id)) : g_strdup (id);
  const char *revision = at != NULL ? at + 1 : PEFT_HUB_DEFAULT_REVISION;
  g_autofree char *cache = peft_hub_cache_get_folder ();
  g_auto (GStrv) parts = g_strsplit (name, "/", 2);
  g_autofree char *folder_name = g_strconcat ("models--", parts[0], "--", parts[1], NULL);
  g_autofree char *repository = g_build_filename (cache, folder_name, NULL);
  g_autofree char *commit = NULL;
  g_autofree char *snapshot = NULL;

  if (!g_file_test (repository, G_FILE_TEST_IS_DIR))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND,
                   _ ("%s: no such file or folder, and no such model in the Hugging Face cache %s"), id,
                   cache);
      return NULL;
    }
  commit = read_ref (repository, revision);
  snapshot = g_build_filename (repository, "snapshots", commit != NULL ? commit : revision, NULL);
  if (!g_file_test (snapshot, G_FILE_TEST_IS_DIR))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND,
                   _ ("%s: revision %s is not in the Hugging Face cache: there is no folder %s"), id,
                   revision, snapshot);
      return NULL;
    }
  return g_steal_pointer (&snapshot);
}

char *
peft_hub_resolve (const char *model, GError **error)
{
  if (g_file_test (model, G_FILE_TEST_EXISTS))
    return g_strdup (model);
  if (peft_hub_is_id (model))
    return peft_hub_cache_find (model, error);
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND, _ ("%s: no such file or folder"), model);
  return NULL;
}
