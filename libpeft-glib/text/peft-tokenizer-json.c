/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-tokenizer-private.h"

#include <inttypes.h>
#include <gio/gio.h>
#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "text/peft-text-json.h"

static gboolean
is_present (const PeftJson *json)
{
  return json != NULL && peft_json_get_kind (json) != PEFT_JSON_NULL;
}

static gboolean
read_added_token (PeftTokenizerCore *self, const PeftJson *json, GError **error)
{
  PeftAddedToken token = { NULL };
  const PeftAddedToken *added;
  gint64 id = -1;

  if (peft_json_get_kind (json) != PEFT_JSON_OBJECT)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE, _("expected an object, found %s"),
                   peft_json_get_kind_name (json));
      return FALSE;
    }
  token.content = (char *) peft_text_json_string (json, "content", &token.length, error);
  if (token.content == NULL || !peft_json_read_int (json, "id", &id, error) ||
      !peft_text_json_boolean (json, "special", FALSE, &token.special, error) ||
      !peft_text_json_boolean (json, "single_word", FALSE, &token.single_word, error) ||
      !peft_text_json_boolean (json, "lstrip", FALSE, &token.lstrip, error) ||
      !peft_text_json_boolean (json, "rstrip", FALSE, &token.rstrip, error) ||
      !peft_text_json_boolean (json, "normalized", !token.special, &token.normalized, error) ||
      !peft_added_tokens_add (self->added, self->model, &token, error))
    return FALSE;
  added = peft_added_tokens_by_content (self->added, token.content, token.length);
  if (added != NULL && added->id != id)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("id: “%s” has %" PRIi64 ", but by its place it is %d"),
                   token.content, id, added->id);
      return FALSE;
    }
  return TRUE;
}

static gboolean
read_added_tokens (PeftTokenizerCore *self, const PeftJson *json, GError **error)
{
  if (peft_json_get_kind (json) != PEFT_JSON_ARRAY)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("added_tokens: expected an array, found %s"), peft_json_get_kind_name (json));
      return FALSE;
    }
  for (gsize i = 0; i < peft_json_get_length (json); i++)
    if (!read_added_token (self, peft_json_get_element (json, i), error))
      {
        g_prefix_error (error, "added_tokens[%zu]: ", i);
        return FALSE;
      }
  return TRUE;
}

gboolean
peft_tokenizer_core_read_json (PeftTokenizerCore *self, const PeftJson *json, GError **error)
{
  const PeftJson *model = peft_json_get_member (json, "model");
  const PeftJson *part;

  if (model == NULL || peft_json_get_kind (model) != PEFT_JSON_OBJECT)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("model: expected an object, found %s"),
                   model == NULL ? _("nothing") : peft_json_get_kind_name (model));
      return FALSE;
    }
  self->model = peft_token_model_new_from_json (model, error);
  if (self->model == NULL)
    {
      g_prefix_error (error, "model: ");
      return FALSE;
    }
  part = peft_json_get_member (json, "added_tokens");
  if (is_present (part) && !read_added_tokens (self, part, error))
    return FALSE;
  part = peft_json_get_member (json, "normalizer");
  if (is_present (part) &&
      (self->normalizer = peft_normalizer_new_from_json (part, error)) == NULL)
    {
      g_prefix_error (error, "normalizer: ");
      return FALSE;
    }
  part = peft_json_get_member (json, "pre_tokenizer");
  if (is_present (part) &&
      (self->pretokenizer = peft_pretokenizer_new_from_json (part, error)) == NULL)
    {
      g_prefix_error (error, "pre_tokenizer: ");
      return FALSE;
    }
  part = peft_json_get_member (json, "post_processor");
  if (is_present (part) && !peft_tokenizer_core_read_post_processor (self, part, error))
    {
      g_prefix_error (error, "post_processor: ");
      return FALSE;
    }
  self->decoder =
      peft_token_decoder_new_from_json (peft_json_get_member (json, "decoder"), error);
  if (self->decoder == NULL)
    {
      g_prefix_error (error, "decoder: ");
      return FALSE;
    }
  return TRUE;
}

char *
peft_tokenizer_read_file (const char *path, guint64 limit, gsize *length, GError **error)
{
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GError) cause = NULL;
  g_autoptr (GFileInfo) info = g_file_query_info (file, G_FILE_ATTRIBUTE_STANDARD_SIZE,
                                                  G_FILE_QUERY_INFO_NONE, NULL, &cause);
  char *contents = NULL;

  if (info != NULL && (guint64) g_file_info_get_size (info) > limit)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                   _("%s: the file has %" PRIu64 " bytes, at most %" PRIu64
                     " are allowed"),
                   path, (guint64) g_file_info_get_size (info), limit);
      return NULL;
    }
  if (info == NULL || !g_file_get_contents (path, &contents, length, &cause))
    {
      gboolean missing = g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);

      g_set_error (error, PEFT_ERROR, missing ? PEFT_ERROR_NOT_FOUND : PEFT_ERROR_IO, "%s: %s",
                   path, cause->message);
      return NULL;
    }
  return contents;
}

static PeftTokenizerCore *
load_text (const char *text, gssize length, const char *name, const char *folder, GError **error)
{
  g_autoptr (PeftTokenizerCore) self = peft_tokenizer_core_new ();
  g_autoptr (PeftJson) json = peft_json_parse (text, length, PEFT_JSON_PARSE_DEFAULT, error);

  if (json == NULL || !peft_tokenizer_core_read_json (self, json, error))
    {
      g_prefix_error (error, "%s: ", name);
      return NULL;
    }
  if (folder != NULL && !peft_tokenizer_core_read_config (self, folder, error))
    return NULL;
  if (!peft_tokenizer_core_prepare (self, error))
    {
      g_prefix_error (error, "%s: ", name);
      return NULL;
    }
  return g_steal_pointer (&self);
}

PeftTokenizerCore *
peft_tokenizer_core_new_from_text (const char *text, gssize length, const char *name,
                                   GError **error)
{
  return load_text (text, length, name, NULL, error);
}

PeftTokenizerCore *
peft_tokenizer_core_load (const char *folder, GError **error)
{
  g_autofree char *path = g_build_filename (folder, "tokenizer.json", NULL);
  gsize length;
  g_autofree char *text =
      peft_tokenizer_read_file (path, PEFT_TOKENIZER_MAX_FILE_BYTES, &length, error);

  return text != NULL ? load_text (text, (gssize) length, path, folder, error) : NULL;
}
