/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "train/peft-prefix-fill.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

#include "base/peft-error.h"
#include "methods/peft-prompt-common.h"
#include "models/peft-kv-cache.h"
#include "train/peft-generate-pass.h"

/* Starting from a text as in Eyuboglu et al., "Cartridges: Lightweight and general-purpose long context representations via
 * self-study", arXiv:2506.06266. */

static gboolean
check (PeftAdapter *adapter, const gint32 *ids, gsize n_ids, GError **error)
{
  const gint64 vocab = adapter->core->dims.vocab;
  gint64 n;

  if (adapter->core_hook == NULL || adapter->core_hook->n_prefix == 0)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("only a prefix can start from a text: expected an adapter of the method PREFIX_TUNING, found %s"),
                   adapter->method != NULL ? adapter->method->name : "full");
      return FALSE;
    }
  if (peft_param_set_find (adapter->params, PEFT_PROMPT_KEY) == NULL || adapter->incomplete)
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                           _ ("prefix_projection: what the network makes cannot start from a text; expected false"));
      return FALSE;
    }
  n = adapter->core_hook->n_prefix;
  if (n_ids < (gsize) n)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("the text for the prefix has %zu tokens, and num_virtual_tokens is %" PRIi64
                      ": expected at least as many tokens"),
                   n_ids, n);
      return FALSE;
    }
  for (gint64 i = 0; i < n; i++)
    if (ids[i] < 0 || ids[i] >= vocab)
      {
        g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                     _ ("the text for the prefix: token %d is not in the model's vocabulary"), ids[i]);
        return FALSE;
      }
  return TRUE;
}

/* ids through the model, in pieces, into the cache. */
static gboolean
fill_cache (PeftGeneratePass *pass, const gint32 *ids, gint64 n, GCancellable *cancellable,
            GError **error)
{
  g_autofree gint32 *positions = g_new (gint32, n);
  g_autofree gint32 *segments = g_new0 (gint32, n);
  gboolean kept;

  for (gint64 i = 0; i < n; i++)
    positions[i] = (gint32) i;
  if (!peft_generate_pass_reserve (pass, 1, n, &kept, error))
    return FALSE;
  for (gint64 start = 0; start < n; start += PEFT_GENERATE_CHUNK)
    {
      const PeftGenerateShape shape = { TRUE, MIN (PEFT_GENERATE_CHUNK, n - start), 0 };

      if (g_cancellable_set_error_if_cancelled (cancellable, error)
          || !peft_generate_pass_plan (pass, &shape, error)
          || !peft_generate_pass_run (pass, &shape, ids + start, positions + start, segments, FALSE,
                                      0, NULL, error))
        return FALSE;
    }
  return TRUE;
}

/* A row of the tensor is a position: keys and values of the first layer, of the second … */
static float *
pack (PeftCore *core, PeftKvCache *cache, gint64 n)
{
  const gsize width = (gsize) (core->dims.n_kv_heads * core->dims.head_dim);
  const gsize n_layers = (gsize) core->dims.n_layers, row = n_layers * 2 * width;
  g_autofree float *keys = g_new (float, (gsize) n *width);
  g_autofree float *values = g_new (float, (gsize) n *width);
  float *packed = g_new (float, (gsize) n *row);

  for (gsize layer = 0; layer < n_layers; layer++)
    {
      peft_kv_cache_read (cache, (int) layer, n, keys, values);
      for (gsize i = 0; i < (gsize) n; i++)
        {
          float *to = packed + i * row + layer * 2 * width;

          memcpy (to, keys + i * width, width * sizeof (float));
          memcpy (to + width, values + i * width, width * sizeof (float));
        }
    }
  return packed;
}

gboolean
peft_prefix_fill (PeftAdapter *adapter, const gint32 *ids, gsize n_ids, GCancellable *cancellable,
                  GError **error)
{
  PeftCore *core = adapter->core;
  g_autoptr (PeftGeneratePass) pass = NULL;
  g_autofree float *packed = NULL;
  gint64 n;

  g_assert (core->hook == NULL);
  if (!check (adapter, ids, n_ids, error))
    return FALSE;
  n = adapter->core_hook->n_prefix;
  pass = peft_generate_pass_new (core);
  if (!fill_cache (pass, ids, n, cancellable, error))
    return FALSE;
  packed = pack (core, peft_generate_pass_get_cache (pass), n);
  peft_param_upload (peft_param_set_find (adapter->params, PEFT_PROMPT_KEY), packed);
  return TRUE;
}
