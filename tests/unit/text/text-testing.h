/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib/gstdio.h>
#include <string.h>

#include "base/peft-error.h"
#include "base/peft-json.h"
#include "text/peft-tokenizer-core.h"

/* JSON with ' in place of ", which reads better in C. */
static inline char *
json_text (const char *quoted)
{
  return g_strdelimit (g_strdup (quoted), "'", '"');
}

static inline PeftJson *
json_tree (const char *quoted)
{
  g_autofree char *text = json_text (quoted);
  g_autoptr (GError) error = NULL;
  PeftJson *json = peft_json_parse (text, -1, PEFT_JSON_PARSE_DEFAULT, &error);

  g_assert_no_error (error);
  return json;
}

static inline PeftTokenizerCore *
tokenizer_new (const char *quoted)
{
  g_autofree char *text = json_text (quoted);
  g_autoptr (GError) error = NULL;
  PeftTokenizerCore *tokenizer =
      peft_tokenizer_core_new_from_text (text, -1, "tokenizer.json", &error);

  g_assert_no_error (error);
  return tokenizer;
}

/* Ids as "1 2 3". */
static inline char *
encode_text (PeftTokenizerCore *tokenizer, const char *text, gssize length, gboolean special)
{
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  g_autoptr (GString) out = g_string_new (NULL);
  g_autoptr (GError) error = NULL;

  peft_tokenizer_core_encode (tokenizer, text, length, special, ids, NULL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < ids->len; i++)
    g_string_append_printf (out, i == 0 ? "%d" : " %d", g_array_index (ids, gint32, i));
  return g_string_free (g_steal_pointer (&out), FALSE);
}

#define assert_encodes(tokenizer, text, expected)                                                \
  G_STMT_START                                                                                   \
  {                                                                                              \
    g_autofree char *found_ids = encode_text (tokenizer, text, -1, FALSE);                       \
    g_assert_cmpstr (found_ids, ==, expected);                                                   \
  }                                                                                              \
  G_STMT_END
