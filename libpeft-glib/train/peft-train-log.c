/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "train/peft-train-log.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>

#include "base/peft-atomic-file.h"
#include "base/peft-error.h"
#include "base/peft-json.h"

struct _PeftTrainLog
{
  char *path;
  FILE *file;
};

static gboolean
fail (GError **error, const char *path, int code)
{
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_IO, _ ("%s: cannot be written: %s"), path,
               g_strerror (code));
  return FALSE;
}

/* Does the line belong to what the checkpoint has behind it? A killed process may leave half a line. */
static gboolean
is_kept (const char *line, guint64 resumed_from)
{
  g_autoptr (PeftJson) json = peft_json_parse (line, -1, PEFT_JSON_PARSE_NAN, NULL);
  gint64 step = 0;

  return json != NULL && peft_json_get_kind (json) == PEFT_JSON_OBJECT
         && peft_json_read_int (json, "step", &step, NULL) && step > 0
         && (guint64) step <= resumed_from;
}

static gboolean
cut (const char *path, guint64 resumed_from, GError **error)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  g_autoptr (GString) kept = g_string_new (NULL);

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return TRUE;
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    if (is_kept (lines[i], resumed_from))
      g_string_append_printf (kept, "%s\n", lines[i]);
  return peft_atomic_write (path, kept->str, kept->len, error);
}

PeftTrainLog *
peft_train_log_open (const char *path, guint64 resumed_from, GError **error)
{
  g_autoptr (PeftTrainLog) self = g_new0 (PeftTrainLog, 1);

  self->path = g_strdup (path);
  if (resumed_from > 0 && !cut (path, resumed_from, error))
    return NULL;
  self->file = g_fopen (path, resumed_from > 0 ? "ae" : "we");
  if (self->file == NULL)
    {
      fail (error, path, errno);
      return NULL;
    }
  return g_steal_pointer (&self);
}

void
peft_train_log_free (PeftTrainLog *self)
{
  if (self->file != NULL)
    fclose (self->file);
  g_free (self->path);
  g_free (self);
}

/* Takes json. */
static gboolean
write_line (PeftTrainLog *self, PeftJson *json, GError **error)
{
  g_autofree char *text = peft_json_to_string (json, PEFT_JSON_WRITE_COMPACT);

  peft_json_unref (json);
  if (fputs (text, self->file) == EOF || fputc ('\n', self->file) == EOF
      || fflush (self->file) != 0)
    return fail (error, self->path, errno);
  return TRUE;
}

gboolean
peft_train_log_step (PeftTrainLog *self, const PeftTrainProgress *progress, GError **error)
{
  PeftJson *json;

  if (self == NULL)
    return TRUE;
  json = peft_json_new_object ();
  peft_json_set (json, "step", peft_json_new_uint (progress->step));
  peft_json_set (json, "loss", peft_json_new_double (progress->loss));
  peft_json_set (json, "extra_loss", peft_json_new_double (progress->extra_loss));
  peft_json_set (json, "learning_rate", peft_json_new_double (progress->learning_rate));
  peft_json_set (json, "grad_norm", peft_json_new_double (progress->grad_norm));
  peft_json_set (json, "tokens", peft_json_new_uint (progress->tokens));
  peft_json_set (json, "tokens_per_second", peft_json_new_double (progress->tokens_per_second));
  return write_line (self, json, error);
}

gboolean
peft_train_log_eval (PeftTrainLog *self, guint64 step, double loss, GError **error)
{
  PeftJson *json;

  if (self == NULL)
    return TRUE;
  json = peft_json_new_object ();
  peft_json_set (json, "eval", peft_json_new_boolean (TRUE));
  peft_json_set (json, "step", peft_json_new_uint (step));
  peft_json_set (json, "loss", peft_json_new_double (loss));
  return write_line (self, json, error);
}

gboolean
peft_train_log_done (PeftTrainLog *self, const PeftTrainResult *result, GError **error)
{
  PeftJson *json;

  if (self == NULL)
    return TRUE;
  json = peft_json_new_object ();
  peft_json_set (json, "done", peft_json_new_boolean (TRUE));
  peft_json_set (json, "steps", peft_json_new_uint (result->steps));
  peft_json_set (json, "trainable_parameters", peft_json_new_uint (result->trainable_parameters));
  peft_json_set (json, "all_parameters", peft_json_new_uint (result->all_parameters));
  peft_json_set (json, "peak_memory_bytes", peft_json_new_uint (result->peak_memory));
  return write_line (self, json, error);
}
