/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "base/peft-json.h"
#include "train/peft-generate.h"

static gboolean
append_eos (const PeftJson *value, GArray *eos_ids, GError **error)
{
  gint64 id;

  if (peft_json_get_kind (value) == PEFT_JSON_ARRAY)
    {
      for (gsize i = 0; i < peft_json_get_length (value); i++)
        if (!append_eos (peft_json_get_element (value, i), eos_ids, error))
          return FALSE;
      return TRUE;
    }
  if (!peft_json_is_number (value) || !peft_json_get_int (value, &id) || id < 0 || id > G_MAXINT32)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("eos_token_id: expected a token's id or a list of them, found %s"),
                   peft_json_get_kind_name (value));
      return FALSE;
    }
  g_array_append_val (eos_ids, (gint32){ id });
  return TRUE;
}

static gboolean
read_sampling (const PeftJson *json, PeftGenerateOptions *out, GError **error)
{
  gint64 top_k = 50; /* transformers' default */

  if (!peft_json_read_boolean (json, "do_sample", &out->do_sample, error)
      || !peft_json_read_double (json, "temperature", &out->temperature, error)
      || !peft_json_read_int (json, "top_k", &top_k, error)
      || !peft_json_read_double (json, "top_p", &out->top_p, error)
      || !peft_json_read_double (json, "min_p", &out->min_p, error)
      || !peft_json_read_double (json, "repetition_penalty", &out->repetition_penalty, error))
    return FALSE;
  if (top_k < 0 || top_k > G_MAXINT32)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("top_k: expected a number from 0 to %d, found %" PRIi64), G_MAXINT32,
                   top_k);
      return FALSE;
    }
  out->top_k = top_k;
  return TRUE;
}

gboolean
peft_generate_read_config (const char *folder, GArray *eos_ids, PeftGenerateOptions *sampling,
                           GError **error)
{
  g_autofree char *path = g_build_filename (folder, "generation_config.json", NULL);
  g_autoptr (GError) local_error = NULL;
  g_autoptr (PeftJson) json = NULL;
  const PeftJson *eos;

  json = peft_json_load (path, PEFT_JSON_PARSE_NAN, &local_error);
  if (json == NULL)
    {
      if (g_error_matches (local_error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND))
        return TRUE;
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  if (peft_json_get_kind (json) != PEFT_JSON_OBJECT)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE, _ ("%s: expected an object, found %s"),
                   path, peft_json_get_kind_name (json));
      return FALSE;
    }
  eos = peft_json_get_member (json, "eos_token_id");
  if ((eos != NULL && peft_json_get_kind (eos) != PEFT_JSON_NULL
       && !append_eos (eos, eos_ids, error))
      || (sampling != NULL && !read_sampling (json, sampling, error)))
    {
      g_prefix_error (error, "%s: ", path);
      return FALSE;
    }
  return TRUE;
}
