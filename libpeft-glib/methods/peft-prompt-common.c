/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "methods/peft-prompt-common.h"

#include <inttypes.h>

#include "methods/peft-config-private.h"

static gboolean
is_null (PeftConfig *config, const char *field)
{
  return peft_json_get_kind (peft_config_get_json (config, field)) == PEFT_JSON_NULL;
}

gboolean
peft_prompt_validate (PeftConfig *config, GError **error)
{
  const char *message = NULL;

  if (is_null (config, "num_virtual_tokens"))
    message = _ ("num_virtual_tokens: expected a number, such as 20");
  else if (!is_null (config, "num_transformer_submodules")
           && peft_config_get_int (config, "num_transformer_submodules") != 1)
    message = _ ("num_transformer_submodules: expected 1 for a model without an encoder");
  if (message != NULL)
    g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT, message);
  return message == NULL;
}

gboolean
peft_prompt_validate_init (PeftConfig *config, GError **error)
{
  gboolean as_text = g_str_equal (peft_config_get_string (config, "prompt_tuning_init"), "TEXT");
  const char *message = NULL;

  if (!peft_prompt_validate (config, error))
    return FALSE;
  if (as_text && peft_config_get_string (config, "prompt_tuning_init_text") == NULL)
    message = _ ("prompt_tuning_init TEXT needs prompt_tuning_init_text");
  else if (!as_text && !is_null (config, "tokenizer_kwargs")
           && peft_json_get_length (peft_config_get_json (config, "tokenizer_kwargs")) > 0)
    message = _ ("tokenizer_kwargs goes with prompt_tuning_init TEXT alone");
  if (message != NULL)
    g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT, message);
  return message == NULL;
}

static void
fill_int (PeftConfig *config, const char *field, gint64 value)
{
  if (is_null (config, field))
    peft_config_set_json (config, field, peft_json_new_int (value), PEFT_ERROR_INVALID_ARGUMENT,
                          NULL);
}

gboolean
peft_prompt_fill_config (PeftAdapter *adapter, GError **error)
{
  const PeftDimensions *dims = &adapter->core->dims;
  PeftConfig *config = adapter->config;

  fill_int (config, "num_layers", dims->n_layers);
  fill_int (config, "token_dim", dims->hidden);
  fill_int (config, "num_attention_heads", dims->n_heads);
  fill_int (config, "num_transformer_submodules", 1);
  if (peft_config_get_int (config, "token_dim") == dims->hidden)
    return TRUE;
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_SHAPE_MISMATCH,
               _ ("token_dim: the model's embeddings have a width of %" PRIi64 ", found %" PRIi64
                  "; is this an adapter of another model?"),
               dims->hidden, peft_config_get_int (config, "token_dim"));
  return FALSE;
}

gint64
peft_prompt_get_n_virtual (PeftAdapter *adapter)
{
  return peft_config_get_int (adapter->config, "num_virtual_tokens");
}

PeftParam *
peft_prompt_add_embeddings (PeftAdapter *adapter, float *initial)
{
  const gint64 shape[2] = { peft_prompt_get_n_virtual (adapter), adapter->core->dims.hidden };
  PeftParam *param
      = peft_adapter_add_core_param (adapter, PEFT_PROMPT_KEY, 2, shape, TRUE, initial);

  param->name = g_strdup (PEFT_PROMPT_NAME_PREFIX "embedding.weight");
  return param;
}
