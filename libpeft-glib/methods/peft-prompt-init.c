/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <string.h>

#include "base/peft-random.h"
#include "hub/peft-hub-cache.h"
#include "methods/peft-config-private.h"
#include "methods/peft-prompt-common.h"
#include "text/peft-tokenizer-core.h"

/* How virtual tokens start. */

/* Rows of the model's embedding, as the model sees them. */
static float *
read_rows (PeftAdapter *adapter, const gint32 *ids, gsize n)
{
  PeftCore *core = adapter->core;
  const PeftDType dtype = core->embedding->weight->view.dtype;
  const gsize width = (gsize) core->dims.hidden;
  g_autoptr (GBytes) bytes = peft_tensor_get_bytes (core->embedding->weight);
  const guint8 *table = g_bytes_get_data (bytes, NULL);
  float *values = g_new (float, n *width);
  guint64 row_bytes = 0;

  peft_dtype_bytes (dtype, width, &row_bytes);
  for (gsize i = 0; i < n; i++)
    peft_dtype_get_info (dtype)->to_f32 (table + (gsize) ids[i] * row_bytes, values + i * width,
                                         width);
  for (gsize i = 0; i < n * width; i++)
    values[i] *= (float) core->dims.embedding_scale;
  return values;
}

static PeftTokenizerCore *
load_tokenizer (PeftAdapter *adapter, GError **error)
{
  const char *name = peft_config_get_string (adapter->config, "tokenizer_name_or_path");
  const char *base = peft_config_get_string (adapter->config, "base_model_name_or_path");
  const PeftGguf *gguf = adapter->core->gguf;
  g_autofree char *path = NULL;

  if (name == NULL || g_strcmp0 (name, base) == 0 || g_str_equal (name, adapter->core->path))
    return gguf != NULL ? peft_tokenizer_core_new_from_gguf (gguf, error)
                        : peft_tokenizer_core_load (adapter->core->path, error);
  path = peft_hub_resolve (name, error);
  return path != NULL ? peft_tokenizer_core_load (path, error) : NULL;
}

/* The text's tokens, cut or repeated to the number of virtual tokens. */
static gboolean
pick_text (PeftAdapter *adapter, gint32 *ids, gsize n, GError **error)
{
  const char *text = peft_config_get_string (adapter->config, "prompt_tuning_init_text");
  const PeftJson *settings = peft_config_get_json (adapter->config, "tokenizer_kwargs");
  g_autoptr (GArray) found = g_array_new (FALSE, FALSE, sizeof (gint32));
  g_autoptr (PeftTokenizerCore) tokenizer = NULL;

  if (peft_json_get_kind (settings) == PEFT_JSON_OBJECT && peft_json_get_length (settings) > 0)
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                           _ ("tokenizer_kwargs: settings of the Python tokenizer are not supported"));
      return FALSE;
    }
  tokenizer = load_tokenizer (adapter, error);
  if (tokenizer == NULL
      || !peft_tokenizer_core_encode (tokenizer, text, -1, TRUE, found, NULL, error))
    {
      g_prefix_error (error, "prompt_tuning_init_text: ");
      return FALSE;
    }
  if (found->len == 0)
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                           _ ("prompt_tuning_init_text: expected a text with at least one token"));
      return FALSE;
    }
  for (gsize i = 0; i < n; i++)
    {
      ids[i] = g_array_index (found, gint32, i % found->len);
      if (ids[i] < 0 || ids[i] >= adapter->core->dims.vocab)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                       _ ("prompt_tuning_init_text: token %d is not in the model's vocabulary; is "
                          "the tokenizer another model's?"),
                       ids[i]);
          return FALSE;
        }
    }
  return TRUE;
}

static void
pick_random (PeftAdapter *adapter, gint32 *ids, gsize n)
{
  const guint64 stream = peft_random_stream (PEFT_PROMPT_KEY ".tokens");
  const guint64 vocab = (guint64) adapter->core->dims.vocab;

  for (gsize i = 0; i < n; i++)
    ids[i] = (gint32) ((peft_random_u32 (adapter->seed, stream, i) * vocab) >> 32);
}

gboolean
peft_prompt_init_embeddings (PeftAdapter *adapter, float **out, GError **error)
{
  const char *init = peft_config_get_string (adapter->config, "prompt_tuning_init");
  const gsize n = (gsize) peft_prompt_get_n_virtual (adapter);
  g_autofree gint32 *ids = NULL;

  *out = NULL;
  if (g_str_equal (init, "TEXT")
      && peft_config_get_string (adapter->config, "tokenizer_name_or_path") == NULL)
    {
      const char *base = peft_config_get_string (adapter->config, "base_model_name_or_path");

      /* peft does not read the file without it. */
      peft_config_set_json (adapter->config, "tokenizer_name_or_path",
                            peft_json_new_string (base != NULL ? base : adapter->core->path),
                            PEFT_ERROR_INVALID_ARGUMENT, NULL);
    }
  if (adapter->loading)
    return TRUE;
  if (!g_str_equal (init, "TEXT") && !g_str_equal (init, "SAMPLE_VOCAB"))
    {
      *out = peft_init_normal (adapter, PEFT_PROMPT_KEY, n * (gsize) adapter->core->dims.hidden, 1);
      return TRUE;
    }
  ids = g_new (gint32, n);
  if (g_str_equal (init, "SAMPLE_VOCAB"))
    pick_random (adapter, ids, n);
  else if (!pick_text (adapter, ids, n, error))
    return FALSE;
  *out = read_rows (adapter, ids, n);
  return TRUE;
}
