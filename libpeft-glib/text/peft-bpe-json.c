/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-bpe-private.h"

#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "text/peft-text-json.h"

static PeftVocab *
read_vocab (const PeftJson *json, GError **error)
{
  const PeftJson *entries = peft_json_get_member (json, "vocab");
  g_autoptr (PeftVocab) vocab = peft_vocab_new ();

  if (entries == NULL || peft_json_get_kind (entries) != PEFT_JSON_OBJECT)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("vocab: expected an object, found %s"),
                   entries == NULL ? _("nothing") : peft_json_get_kind_name (entries));
      return NULL;
    }
  for (gsize i = 0; i < peft_json_get_length (entries); i++)
    {
      const char *name = peft_json_get_name (entries, i);
      const PeftJson *value = peft_json_get_value (entries, i);
      gint64 id;

      if (!peft_json_is_number (value) || !peft_json_get_int (value, &id))
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                       _("vocab: expected an integer for “%s”, found %s"), name,
                       peft_json_get_kind_name (value));
          return NULL;
        }
      if (!peft_vocab_add (vocab, name, strlen (name), id, error))
        {
          g_prefix_error (error, "vocab: ");
          return NULL;
        }
    }
  return g_steal_pointer (&vocab);
}

static gboolean
read_merge (PeftBpe *bpe, const PeftJson *merge, GError **error)
{
  const PeftJson *left, *right;

  if (peft_json_get_kind (merge) == PEFT_JSON_STRING)
    return peft_bpe_add_merge_line (bpe, peft_json_get_string (merge),
                                    peft_json_get_string_length (merge), error);
  left = right = NULL;
  if (peft_json_get_kind (merge) == PEFT_JSON_ARRAY && peft_json_get_length (merge) == 2)
    {
      left = peft_json_get_element (merge, 0);
      right = peft_json_get_element (merge, 1);
    }
  if (left == NULL || peft_json_get_kind (left) != PEFT_JSON_STRING ||
      peft_json_get_kind (right) != PEFT_JSON_STRING)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("expected a string or two strings, found %s"),
                   peft_json_get_kind_name (merge));
      return FALSE;
    }
  return peft_bpe_add_merge (bpe, peft_json_get_string (left), peft_json_get_string_length (left),
                             peft_json_get_string (right), peft_json_get_string_length (right),
                             error);
}

static PeftTokenModel *
bpe_new_from_json (const PeftJson *json, GError **error)
{
  const PeftJson *merges = peft_json_get_member (json, "merges");
  PeftBpeOptions options = { NULL };
  g_autoptr (PeftVocab) vocab = NULL;
  g_autoptr (PeftTokenModel) model = NULL;
  double dropout = 0;

  if (!peft_json_read_string (json, "unk_token", &options.unk_token, error) ||
      !peft_json_read_string (json, "continuing_subword_prefix", &options.prefix, error) ||
      !peft_json_read_string (json, "end_of_word_suffix", &options.suffix, error) ||
      !peft_json_read_boolean (json, "fuse_unk", &options.fuse_unk, error) ||
      !peft_json_read_boolean (json, "byte_fallback", &options.byte_fallback, error) ||
      !peft_json_read_boolean (json, "ignore_merges", &options.ignore_merges, error) ||
      !peft_json_read_double (json, "dropout", &dropout, error))
    return NULL;
  if (dropout != 0)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _("dropout: random merges are not supported"));
      return NULL;
    }
  if (merges == NULL || peft_json_get_kind (merges) != PEFT_JSON_ARRAY)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("merges: expected an array, found %s"),
                   merges == NULL ? _("nothing") : peft_json_get_kind_name (merges));
      return NULL;
    }
  vocab = read_vocab (json, error);
  if (vocab == NULL)
    return NULL;
  model = (PeftTokenModel *) peft_bpe_new (g_steal_pointer (&vocab), &options, error);
  if (model == NULL)
    return NULL;
  for (gsize i = 0; i < peft_json_get_length (merges); i++)
    if (!read_merge ((PeftBpe *) model, peft_json_get_element (merges, i), error))
      {
        g_prefix_error (error, "merges[%zu]: ", i);
        return NULL;
      }
  return g_steal_pointer (&model);
}

const PeftTokenModelClass peft_bpe_class = {
  .type = "BPE",
  .new_from_json = bpe_new_from_json,
  .free = peft_bpe_free,
  .scratch_new = peft_bpe_scratch_new,
  .scratch_free = peft_bpe_scratch_free,
  .split = peft_bpe_split,
};
