/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files beside tokenizer.json, read as transformers reads them: which tokens are bos, eos, pad and
 * unk, tokens that tokenizer.json does not have yet, and chat templates. What add_bos_token and
 * add_eos_token say does not count beside a tokenizer.json, whose post-processor does. */
#include "config.h"

#include "text/peft-tokenizer-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"
#include "text/peft-text-json.h"

#define MAX_TEMPLATES 64u

/* In the order in which missing ones are added. `which` is PEFT_N_SPECIALS where nobody asks later. */
static const struct
{
  const char *name;
  PeftSpecialToken which;
} named_tokens[] = {
  { "bos_token", PEFT_SPECIAL_BOS }, { "eos_token", PEFT_SPECIAL_EOS },
  { "unk_token", PEFT_SPECIAL_UNK }, { "sep_token", PEFT_N_SPECIALS },
  { "pad_token", PEFT_SPECIAL_PAD }, { "cls_token", PEFT_N_SPECIALS },
  { "mask_token", PEFT_N_SPECIALS },
};

static gboolean
is_present (const PeftJson *json)
{
  return json != NULL && peft_json_get_kind (json) != PEFT_JSON_NULL;
}

/* *out stays NULL where the file is absent. */
static gboolean
load_json (const char *folder, const char *name, PeftJson **out, GError **error)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *text = NULL;
  gsize length;

  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    return TRUE;
  text = peft_tokenizer_read_file (path, PEFT_TOKENIZER_MAX_CONFIG_BYTES, &length, error);
  if (text == NULL)
    return FALSE;
  *out = peft_json_parse (text, (gssize) length, PEFT_JSON_PARSE_NAN, error);
  if (*out != NULL && peft_json_get_kind (*out) != PEFT_JSON_OBJECT)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE, _("expected an object, found %s"),
                   peft_json_get_kind_name (*out));
      g_clear_pointer (out, peft_json_unref);
    }
  if (*out == NULL)
    g_prefix_error (error, "%s: ", path);
  return *out != NULL;
}

/* A token is a string or an object with "content" and flags. The strings belong to json. */
static gboolean
read_token (const PeftJson *json, gboolean special, PeftAddedToken *out, GError **error)
{
  memset (out, 0, sizeof *out);
  out->special = special;
  if (peft_json_get_kind (json) == PEFT_JSON_STRING)
    {
      out->content = (char *) peft_json_get_string (json);
      out->length = peft_json_get_string_length (json);
      return TRUE;
    }
  if (peft_json_get_kind (json) != PEFT_JSON_OBJECT)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("expected a string or an object, found %s"), peft_json_get_kind_name (json));
      return FALSE;
    }
  out->content = (char *) peft_text_json_string (json, "content", &out->length, error);
  return out->content != NULL &&
         peft_text_json_boolean (json, "special", special, &out->special, error) &&
         peft_text_json_boolean (json, "single_word", FALSE, &out->single_word, error) &&
         peft_text_json_boolean (json, "lstrip", FALSE, &out->lstrip, error) &&
         peft_text_json_boolean (json, "rstrip", FALSE, &out->rstrip, error) &&
         peft_text_json_boolean (json, "normalized", !out->special, &out->normalized, error);
}

static gboolean
add_token (PeftTokenizerCore *self, const PeftJson *json, gboolean special, char **content,
           GError **error)
{
  PeftAddedToken token;

  if (!read_token (json, special, &token, error))
    return FALSE;
  /* A named token is special even where its object says otherwise. */
  token.special |= special;
  if (content != NULL)
    {
      g_free (*content);
      *content = g_strndup (token.content, token.length);
    }
  return peft_added_tokens_add (self->added, self->model, &token, error);
}

static int
compare_ids (gconstpointer a, gconstpointer b)
{
  gint64 x = g_ascii_strtoll (*(const char *const *) a, NULL, 10);
  gint64 y = g_ascii_strtoll (*(const char *const *) b, NULL, 10);

  return (x > y) - (x < y);
}

/* "added_tokens_decoder": an object from id, as a string, to token. */
static gboolean
read_added_decoder (PeftTokenizerCore *self, const PeftJson *json, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  if (peft_json_get_kind (json) != PEFT_JSON_OBJECT)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("added_tokens_decoder: expected an object, found %s"),
                   peft_json_get_kind_name (json));
      return FALSE;
    }
  for (gsize i = 0; i < peft_json_get_length (json); i++)
    g_ptr_array_add (names, (gpointer) peft_json_get_name (json, i));
  g_ptr_array_sort (names, compare_ids);
  for (guint i = 0; i < names->len; i++)
    if (!add_token (self, peft_json_get_member (json, names->pdata[i]), FALSE, NULL, error))
      {
        g_prefix_error (error, "added_tokens_decoder.%s: ", (char *) names->pdata[i]);
        return FALSE;
      }
  return TRUE;
}

/* A member as both files together have it; either may be NULL. The map wins. */
static const PeftJson *
merged_member (const PeftJson *config, const PeftJson *map, const char *name)
{
  const PeftJson *value = map != NULL ? peft_json_get_member (map, name) : NULL;

  if (value == NULL && config != NULL)
    value = peft_json_get_member (config, name);
  return value;
}

static gboolean
is_named (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (named_tokens); i++)
    if (strcmp (named_tokens[i].name, name) == 0)
      return TRUE;
  return FALSE;
}

/* Tokens of a model's own, such as "image_token": "<image>". */
static gboolean
read_own_tokens (PeftTokenizerCore *self, const PeftJson *config, GError **error)
{
  for (gsize i = 0; i < peft_json_get_length (config); i++)
    {
      const char *name = peft_json_get_name (config, i);
      const PeftJson *value = peft_json_get_value (config, i);

      if (peft_json_get_kind (value) == PEFT_JSON_STRING && g_str_has_suffix (name, "_token") &&
          !is_named (name) && !add_token (self, value, TRUE, NULL, error))
        {
          g_prefix_error (error, "%s: ", name);
          return FALSE;
        }
    }
  return TRUE;
}

/* An array of tokens, or an object from names to tokens. */
static gboolean
read_token_list (PeftTokenizerCore *self, const PeftJson *list, const char *name, GError **error)
{
  PeftJsonKind kind = is_present (list) ? peft_json_get_kind (list) : PEFT_JSON_NULL;

  if (kind == PEFT_JSON_NULL)
    return TRUE;
  if (kind != PEFT_JSON_ARRAY && kind != PEFT_JSON_OBJECT)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("%s: expected an array or an object, found %s"), name,
                   peft_json_get_kind_name (list));
      return FALSE;
    }
  for (gsize i = 0; i < peft_json_get_length (list); i++)
    {
      const PeftJson *item = kind == PEFT_JSON_ARRAY ? peft_json_get_element (list, i)
                                                     : peft_json_get_value (list, i);

      if (!add_token (self, item, TRUE, NULL, error))
        {
          g_prefix_error (error, "%s[%zu]: ", name, i);
          return FALSE;
        }
    }
  return TRUE;
}

static gboolean
read_special_tokens (PeftTokenizerCore *self, const PeftJson *config, const PeftJson *map,
                     GError **error)
{
  static const char *const lists[] = { "extra_special_tokens", "additional_special_tokens" };

  for (gsize i = 0; i < G_N_ELEMENTS (named_tokens); i++)
    {
      PeftSpecialToken which = named_tokens[i].which;
      const PeftJson *value = merged_member (config, map, named_tokens[i].name);

      if (is_present (value) &&
          !add_token (self, value, TRUE,
                      which < PEFT_N_SPECIALS ? &self->specials[which] : NULL, error))
        {
          g_prefix_error (error, "%s: ", named_tokens[i].name);
          return FALSE;
        }
    }
  if (config != NULL && !read_own_tokens (self, config, error))
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (lists); i++)
    if (!read_token_list (self, merged_member (config, map, lists[i]), lists[i], error))
      return FALSE;
  return TRUE;
}

static gboolean
read_templates (PeftTokenizerCore *self, const PeftJson *json, GError **error)
{
  if (peft_json_get_kind (json) == PEFT_JSON_STRING)
    {
      peft_tokenizer_core_add_template (self, "default", peft_json_get_string (json));
      return TRUE;
    }
  if (peft_json_get_kind (json) != PEFT_JSON_ARRAY)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("chat_template: expected a string or an array, found %s"),
                   peft_json_get_kind_name (json));
      return FALSE;
    }
  if (peft_json_get_length (json) > MAX_TEMPLATES)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                   _("chat_template: at most %u templates are allowed"), MAX_TEMPLATES);
      return FALSE;
    }
  for (gsize i = 0; i < peft_json_get_length (json); i++)
    {
      const PeftJson *item = peft_json_get_element (json, i);
      const char *name = peft_text_json_string (item, "name", NULL, error);
      const char *source =
          name == NULL ? NULL : peft_text_json_string (item, "template", NULL, error);

      if (source == NULL)
        {
          g_prefix_error (error, "chat_template[%zu]: ", i);
          return FALSE;
        }
      peft_tokenizer_core_add_template (self, name, source);
    }
  return TRUE;
}

static gboolean
read_template_file (PeftTokenizerCore *self, const char *path, const char *name, GError **error)
{
  gsize length;
  g_autofree char *text =
      peft_tokenizer_read_file (path, PEFT_TOKENIZER_MAX_CONFIG_BYTES, &length, error);

  if (text == NULL)
    return FALSE;
  if (!g_utf8_validate (text, (gssize) length, NULL))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("%s: expected UTF-8 text without NUL"), path);
      return FALSE;
    }
  peft_tokenizer_core_add_template (self, name, text);
  return TRUE;
}

/* Files of their own stand in the place of what tokenizer_config.json has. */
static gboolean
read_template_files (PeftTokenizerCore *self, const char *folder, GError **error)
{
  g_autofree char *main_path = g_build_filename (folder, "chat_template.jinja", NULL);
  g_autofree char *more = g_build_filename (folder, "additional_chat_templates", NULL);
  g_autoptr (GDir) dir = g_dir_open (more, 0, NULL);
  gboolean has_main = g_file_test (main_path, G_FILE_TEST_EXISTS);
  const char *name;

  if (has_main)
    {
      g_ptr_array_set_size (self->templates, 0);
      if (!read_template_file (self, main_path, "default", error))
        return FALSE;
    }
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (more, name, NULL);
      g_autofree char *stem = NULL;

      if (!g_str_has_suffix (name, ".jinja"))
        continue;
      if (!has_main)
        g_ptr_array_set_size (self->templates, 0);
      has_main = TRUE;
      stem = g_strndup (name, strlen (name) - strlen (".jinja"));
      if (self->templates->len >= MAX_TEMPLATES)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                       _("%s: at most %u templates are allowed"), more, MAX_TEMPLATES);
          return FALSE;
        }
      if (!read_template_file (self, path, stem, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
read_settings (PeftTokenizerCore *self, const PeftJson *json, GError **error)
{
  const PeftJson *length = peft_json_get_member (json, "model_max_length");
  const PeftJson *template = peft_json_get_member (json, "chat_template");
  gboolean clean_up, force;
  gint64 value;

  /* "No limit" is written as an integer that fits no machine type. */
  if (is_present (length) && !peft_json_is_number (length))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("model_max_length: expected an integer, found %s"),
                   peft_json_get_kind_name (length));
      return FALSE;
    }
  if (is_present (length) && peft_json_get_int (length, &value) && value > 0 &&
      value < G_MAXINT32)
    self->model_max_length = (guint64) value;
  if (!peft_text_json_boolean (json, "clean_up_tokenization_spaces", FALSE, &clean_up, error) ||
      !peft_text_json_boolean (
          json, "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", FALSE,
          &force, error))
    return FALSE;
  /* transformers leaves BPE alone unless forced. */
  if (clean_up && (force || strcmp (self->model->klass->type, "BPE") != 0))
    peft_token_decoder_add_clean_up (self->decoder);
  return !is_present (template) || read_templates (self, template, error);
}

gboolean
peft_tokenizer_core_read_config (PeftTokenizerCore *self, const char *folder, GError **error)
{
  g_autoptr (PeftJson) config = NULL;
  g_autoptr (PeftJson) map = NULL;
  const PeftJson *decoder;

  if (!load_json (folder, "tokenizer_config.json", &config, error) ||
      !load_json (folder, "special_tokens_map.json", &map, error))
    return FALSE;
  decoder = config != NULL ? peft_json_get_member (config, "added_tokens_decoder") : NULL;
  /* Only files from before added_tokens_decoder need the map. */
  if (is_present (decoder))
    g_clear_pointer (&map, peft_json_unref);
  if ((config != NULL && !read_settings (self, config, error)) ||
      (is_present (decoder) && !read_added_decoder (self, decoder, error)) ||
      !read_special_tokens (self, config, map, error))
    {
      g_prefix_error (error, "%s/%s: ", folder,
                      map == NULL      ? "tokenizer_config.json"
                      : config == NULL ? "special_tokens_map.json"
                                       : "{tokenizer_config,special_tokens_map}.json");
      return FALSE;
    }
  return read_template_files (self, folder, error);
}
