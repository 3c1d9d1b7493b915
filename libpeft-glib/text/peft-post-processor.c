/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The "post_processor" of a tokenizer.json, as far as it concerns one text: ids before and behind. */
#include "config.h"

#include "text/peft-tokenizer-private.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "text/peft-text-json.h"

static gboolean
set_invalid (GError **error, const char *what)
{
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE, "%s", what);
  return FALSE;
}

static gboolean
append_id (PeftTokenizerCore *self, GArray *ids, const PeftJson *json, GError **error)
{
  gint64 value;
  gint32 id;

  if (!peft_json_is_number (json) || !peft_json_get_int (json, &value))
    return set_invalid (error, _("ids: expected integers"));
  if (value < 0 || value > peft_tokenizer_core_get_max_id (self))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("the id %" PRIi64 " is not in the vocabulary"), value);
      return FALSE;
    }
  if (ids->len >= PEFT_TOKENIZER_MAX_TEMPLATE_TOKENS)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                   _("at most %u tokens are allowed on each side of a text"),
                   PEFT_TOKENIZER_MAX_TEMPLATE_TOKENS);
      return FALSE;
    }
  id = (gint32) value;
  g_array_append_val (ids, id);
  return TRUE;
}

static gboolean
append_special (PeftTokenizerCore *self, GArray *ids, const PeftJson *specials, const char *name,
                GError **error)
{
  const PeftJson *special = specials != NULL ? peft_json_get_member (specials, name) : NULL;
  const PeftJson *list = special != NULL ? peft_json_get_member (special, "ids") : NULL;

  if (list == NULL || peft_json_get_kind (list) != PEFT_JSON_ARRAY)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("special_tokens: expected ids for “%s”"), name);
      return FALSE;
    }
  for (gsize i = 0; i < peft_json_get_length (list); i++)
    if (!append_id (self, ids, peft_json_get_element (list, i), error))
      {
        g_prefix_error (error, "special_tokens: ");
        return FALSE;
      }
  return TRUE;
}

static gboolean
read_template (PeftTokenizerCore *self, const PeftJson *json, GError **error)
{
  const PeftJson *single = peft_json_get_member (json, "single");
  const PeftJson *specials = peft_json_get_member (json, "special_tokens");
  gboolean seen = FALSE;

  if (single == NULL || peft_json_get_kind (single) != PEFT_JSON_ARRAY)
    return set_invalid (error, _("single: expected an array"));
  for (gsize i = 0; i < peft_json_get_length (single); i++)
    {
      const PeftJson *piece = peft_json_get_element (single, i);
      const PeftJson *special = peft_json_get_member (piece, "SpecialToken");
      const PeftJson *sequence = peft_json_get_member (piece, "Sequence");
      const char *id = peft_text_json_string (special != NULL ? special : sequence, "id", NULL,
                                              error);

      if (id == NULL)
        {
          g_prefix_error (error, "single[%zu]: ", i);
          return FALSE;
        }
      if (special != NULL)
        {
          if (!append_special (self, seen ? self->suffix : self->prefix, specials, id, error))
            return FALSE;
        }
      else if (seen || strcmp (id, "A") != 0)
        return set_invalid (error, _("single: expected the sequence A once"));
      else
        seen = TRUE;
    }
  return seen || set_invalid (error, _("single: expected the sequence A once"));
}

/* Bert and Roberta: [cls] text [sep]. Each is a pair of token and id. */
static gboolean
read_pair (PeftTokenizerCore *self, const PeftJson *json, GError **error)
{
  const char *const names[] = { "cls", "sep" };
  GArray *const sides[] = { self->prefix, self->suffix };

  for (int i = 0; i < 2; i++)
    {
      const PeftJson *pair = peft_json_get_member (json, names[i]);

      if (pair == NULL || peft_json_get_kind (pair) != PEFT_JSON_ARRAY ||
          peft_json_get_length (pair) != 2)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                       _("%s: expected a token and an id"), names[i]);
          return FALSE;
        }
      if (!append_id (self, sides[i], peft_json_get_element (pair, 1), error))
        {
          g_prefix_error (error, "%s: ", names[i]);
          return FALSE;
        }
    }
  return TRUE;
}

/* ByteLevel only moves offsets. */
static gboolean
read_byte_level (PeftTokenizerCore *self, const PeftJson *json, GError **error)
{
  return TRUE;
}

static const struct
{
  const char *type;
  gboolean (*read) (PeftTokenizerCore *self, const PeftJson *json, GError **error);
  gboolean adds_tokens;
} classes[] = {
  { "BertProcessing", read_pair, TRUE },
  { "ByteLevel", read_byte_level, FALSE },
  { "RobertaProcessing", read_pair, TRUE },
  { "TemplateProcessing", read_template, TRUE },
};

static gboolean
read_processor (PeftTokenizerCore *self, const PeftJson *json, guint depth, gboolean *has_template,
                GError **error)
{
  const char *type = peft_text_json_type (json, error);
  PeftJson *parts;

  if (type == NULL)
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (classes); i++)
    if (strcmp (type, classes[i].type) == 0)
      {
        if (classes[i].adds_tokens && *has_template)
          {
            g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                         _("more than one part that adds tokens is not supported"));
            return FALSE;
          }
        *has_template |= classes[i].adds_tokens;
        return classes[i].read (self, json, error);
      }
  if (strcmp (type, "Sequence") != 0)
    {
      peft_text_json_unknown (type, _("post-processor"), error);
      return FALSE;
    }
  parts = peft_text_json_parts (json, "processors", depth, error);
  if (parts == NULL)
    return FALSE;
  for (gsize i = 0; i < peft_json_get_length (parts); i++)
    if (!read_processor (self, peft_json_get_element (parts, i), depth + 1, has_template, error))
      {
        g_prefix_error (error, "processors[%zu]: ", i);
        return FALSE;
      }
  return TRUE;
}

gboolean
peft_tokenizer_core_read_post_processor (PeftTokenizerCore *self, const PeftJson *json,
                                         GError **error)
{
  gboolean has_template = FALSE;

  return read_processor (self, json, 0, &has_template, error);
}
