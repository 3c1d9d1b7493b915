/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "models/peft-model-config.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>

#include "base/peft-error.h"

/* No model comes near; products of these stay far from overflow. */
#define MAX_DIMENSION (G_GINT64_CONSTANT (1) << 24)
#define MAX_LAYERS 4096

static gboolean
field_error (GError **error, const char *field, const char *expected, gint64 found)
{
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
               _ ("%s: expected %s, found %" PRIi64), field, expected, found);
  return FALSE;
}

static gboolean
check_range (const char *field, gint64 value, gint64 max, GError **error)
{
  if (value < 1 || value > max)
    {
      g_autofree char *expected
          = g_strdup_printf (_ ("an integer from 1 to %" PRIi64), max);
      return field_error (error, field, expected, value);
    }
  return TRUE;
}

gboolean
peft_model_config_read_dimensions (const PeftJson *config, PeftDimensions *out, GError **error)
{
  struct
  {
    const char *name;
    gint64 *value;
    gint64 max;
  } fields[] = {
    { "hidden_size", &out->hidden, MAX_DIMENSION },
    { "num_hidden_layers", &out->n_layers, MAX_LAYERS },
    { "num_attention_heads", &out->n_heads, MAX_DIMENSION },
    { "num_key_value_heads", &out->n_kv_heads, MAX_DIMENSION },
    { "head_dim", &out->head_dim, MAX_DIMENSION },
    { "intermediate_size", &out->ffn, MAX_DIMENSION },
    { "vocab_size", &out->vocab, MAX_DIMENSION },
    { "max_position_embeddings", &out->max_positions, G_MAXINT32 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (fields); i++)
    if (!peft_json_read_int (config, fields[i].name, fields[i].value, error))
      return FALSE;
  for (guint i = 0; i < 3; i++)
    if (!check_range (fields[i].name, *fields[i].value, fields[i].max, error))
      return FALSE;
  if (out->n_kv_heads == 0)
    out->n_kv_heads = out->n_heads;
  if (out->head_dim == 0)
    out->head_dim = out->hidden / out->n_heads;
  for (guint i = 3; i < G_N_ELEMENTS (fields); i++)
    if (!check_range (fields[i].name, *fields[i].value, fields[i].max, error))
      return FALSE;
  if (out->n_heads % out->n_kv_heads != 0)
    return field_error (error, "num_key_value_heads", _ ("a divisor of num_attention_heads"),
                        out->n_kv_heads);
  if (out->n_heads > MAX_DIMENSION / out->head_dim)
    return field_error (error, "head_dim", _ ("a smaller number"), out->head_dim);
  if (out->head_dim % 2 != 0)
    return field_error (error, "head_dim", _ ("an even number"), out->head_dim);
  return peft_json_read_boolean (config, "tie_word_embeddings", &out->tied, error)
         && peft_model_config_read_activation (config, out, error);
}

gboolean
peft_model_config_read_activation (const PeftJson *config, PeftDimensions *out, GError **error)
{
  static const struct
  {
    const char *name;
    PeftActivation activation;
  } names[] = {
    { "silu", PEFT_ACTIVATION_SILU },
    { "swish", PEFT_ACTIVATION_SILU },
    { "gelu", PEFT_ACTIVATION_GELU },
    { "gelu_new", PEFT_ACTIVATION_GELU_TANH },
    { "gelu_pytorch_tanh", PEFT_ACTIVATION_GELU_TANH },
    { "relu", PEFT_ACTIVATION_RELU },
  };
  const char *name = NULL;

  if (!peft_json_read_string (config, "hidden_act", &name, error))
    return FALSE;
  if (name == NULL)
    return TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_str_equal (name, names[i].name))
      {
        out->activation = names[i].activation;
        return TRUE;
      }
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
               _ ("hidden_act: expected silu, gelu, gelu_new, gelu_pytorch_tanh or relu, found %s"),
               name);
  return FALSE;
}

static gboolean
read_rope_kind (const PeftJson *rope, PeftRope *out, GError **error)
{
  static const struct
  {
    const char *name;
    PeftRopeKind kind;
  } names[] = {
    { "default", PEFT_ROPE_DEFAULT }, { "linear", PEFT_ROPE_LINEAR },
    { "dynamic", PEFT_ROPE_DYNAMIC }, { "llama3", PEFT_ROPE_LLAMA3 },
    { "yarn", PEFT_ROPE_YARN },
  };
  const char *name = NULL;

  /* "type" is what it was called before transformers 4.43. */
  if (!peft_json_read_string (rope, "type", &name, error)
      || !peft_json_read_string (rope, "rope_type", &name, error))
    return FALSE;
  if (name == NULL)
    return TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_str_equal (name, names[i].name))
      {
        out->kind = names[i].kind;
        return TRUE;
      }
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
               _ ("rope_scaling: expected default, linear, dynamic, llama3 or yarn, found %s"), name);
  return FALSE;
}

gboolean
peft_model_config_read_rope (const PeftJson *config, PeftDimensions *out, GError **error)
{
  PeftRope *rope = &out->rope;
  const PeftJson *scaling = peft_json_get_member (config, "rope_parameters");

  rope->factor = 1;
  rope->partial = 1;
  rope->low_freq_factor = 1;
  rope->high_freq_factor = 4;
  rope->beta_fast = 32;
  rope->beta_slow = 1;
  rope->attention_factor = -1;
  rope->truncate = TRUE;
  if (!peft_json_read_double (config, "rope_theta", &rope->theta, error)
      || !peft_json_read_double (config, "partial_rotary_factor", &rope->partial, error))
    return FALSE;
  if (scaling == NULL || peft_json_get_kind (scaling) == PEFT_JSON_NULL)
    scaling = peft_json_get_member (config, "rope_scaling");
  if (scaling != NULL && peft_json_get_kind (scaling) != PEFT_JSON_NULL)
    {
      if (peft_json_get_kind (scaling) != PEFT_JSON_OBJECT)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                       _ ("rope_scaling: expected an object, found %s"),
                       peft_json_get_kind_name (scaling));
          return FALSE;
        }
      if (!read_rope_kind (scaling, rope, error)
          || !peft_json_read_double (scaling, "rope_theta", &rope->theta, error)
          || !peft_json_read_double (scaling, "partial_rotary_factor", &rope->partial, error)
          || !peft_json_read_double (scaling, "factor", &rope->factor, error)
          || !peft_json_read_double (scaling, "low_freq_factor", &rope->low_freq_factor, error)
          || !peft_json_read_double (scaling, "high_freq_factor", &rope->high_freq_factor, error)
          || !peft_json_read_double (scaling, "beta_fast", &rope->beta_fast, error)
          || !peft_json_read_double (scaling, "beta_slow", &rope->beta_slow, error)
          || !peft_json_read_double (scaling, "attention_factor", &rope->attention_factor, error)
          || !peft_json_read_double (scaling, "mscale", &rope->mscale, error)
          || !peft_json_read_double (scaling, "mscale_all_dim", &rope->mscale_all_dim, error)
          || !peft_json_read_boolean (scaling, "truncate", &rope->truncate, error)
          || !peft_json_read_int (scaling, "original_max_position_embeddings",
                                  &rope->original_max_positions, error))
        return FALSE;
    }
  if (!(rope->theta > 1 && rope->theta < 1e15) || !(rope->factor > 0 && rope->factor < 1e9)
      || !(rope->partial > 0 && rope->partial <= 1) || rope->original_max_positions < 0
      || !(rope->high_freq_factor > rope->low_freq_factor && rope->low_freq_factor > 0)
      || !(rope->beta_fast > 0 && rope->beta_slow > 0))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("rope_scaling: expected theta > 1, factor > 0, 0 < partial ≤ 1 and "
                      "high > low frequency factor, found theta %g, factor %g, partial %g, low %g, high %g"),
                   rope->theta, rope->factor, rope->partial, rope->low_freq_factor,
                   rope->high_freq_factor);
      return FALSE;
    }
  return TRUE;
}

/* ---- GGUF ---------------------------------------------------------------------------------- */

static gboolean
copy_int (PeftGguf *gguf, const char *arch, const char *suffix, PeftJson *config,
          const char *name, gboolean required, GError **error)
{
  g_autofree char *key = g_strdup_printf ("%s.%s", arch, suffix);
  gint64 value;

  if (!required && !peft_gguf_has (gguf, key))
    return TRUE;
  if (!peft_gguf_get_int (gguf, key, &value, error))
    return FALSE;
  peft_json_set (config, name, peft_json_new_int (value));
  return TRUE;
}

static gboolean
copy_double (PeftGguf *gguf, const char *arch, const char *suffix, PeftJson *config,
             const char *name, GError **error)
{
  g_autofree char *key = g_strdup_printf ("%s.%s", arch, suffix);
  double value;

  if (!peft_gguf_has (gguf, key))
    return TRUE;
  if (!peft_gguf_get_double (gguf, key, &value, error))
    return FALSE;
  peft_json_set (config, name, peft_json_new_double (value));
  return TRUE;
}

static gboolean
copy_rope_scaling (PeftGguf *gguf, const char *arch, PeftJson *config, GError **error)
{
  g_autofree char *key = g_strdup_printf ("%s.rope.scaling.type", arch);
  g_autofree char *type = NULL;
  PeftJson *scaling;

  if (!peft_gguf_has (gguf, key))
    return TRUE;
  type = peft_gguf_dup_string (gguf, key, error);
  if (type == NULL)
    return FALSE;
  if (g_str_equal (type, "none"))
    return TRUE;
  scaling = peft_json_new_object ();
  peft_json_set (config, "rope_scaling", scaling);
  peft_json_set (scaling, "rope_type", peft_json_new_string (type));
  return copy_double (gguf, arch, "rope.scaling.factor", scaling, "factor", error)
         && copy_double (gguf, arch, "rope.scaling.attn_factor", scaling, "attention_factor", error)
         && copy_int (gguf, arch, "rope.scaling.original_context_length", scaling,
                      "original_max_position_embeddings", FALSE, error);
}

/* The token ids that the tokenizer's metadata gives. */
static gboolean
copy_token_ids (PeftGguf *gguf, PeftJson *config, GError **error)
{
  return copy_int (gguf, "tokenizer.ggml", "bos_token_id", config, "bos_token_id", FALSE, error)
         && copy_int (gguf, "tokenizer.ggml", "eos_token_id", config, "eos_token_id", FALSE, error)
         && copy_int (gguf, "tokenizer.ggml", "padding_token_id", config, "pad_token_id", FALSE,
                      error);
}

gboolean
peft_model_config_from_gguf (PeftGguf *gguf, const char *arch, PeftJson *config, GError **error)
{
  const PeftTensorEntry *embedding
      = peft_tensor_source_require (peft_gguf_get_source (gguf), "token_embd.weight", error);

  if (embedding == NULL)
    return FALSE;
  /* The file's own count may be padded; the table is what is there. */
  peft_json_set (config, "vocab_size", peft_json_new_int (embedding->shape[0]));
  peft_json_set (config, "tie_word_embeddings",
                 peft_json_new_boolean (peft_tensor_source_lookup (peft_gguf_get_source (gguf),
                                                                   "output.weight")
                                        == NULL));
  return copy_int (gguf, arch, "embedding_length", config, "hidden_size", TRUE, error)
         && copy_int (gguf, arch, "block_count", config, "num_hidden_layers", TRUE, error)
         && copy_int (gguf, arch, "feed_forward_length", config, "intermediate_size", TRUE, error)
         && copy_int (gguf, arch, "attention.head_count", config, "num_attention_heads", TRUE, error)
         && copy_int (gguf, arch, "attention.head_count_kv", config, "num_key_value_heads", FALSE,
                      error)
         && copy_int (gguf, arch, "attention.key_length", config, "head_dim", FALSE, error)
         && copy_int (gguf, arch, "context_length", config, "max_position_embeddings", FALSE, error)
         && copy_int (gguf, arch, "attention.sliding_window", config, "sliding_window", FALSE, error)
         && copy_double (gguf, arch, "attention.layer_norm_rms_epsilon", config, "rms_norm_eps",
                         error)
         && copy_double (gguf, arch, "rope.freq_base", config, "rope_theta", error)
         && copy_rope_scaling (gguf, arch, config, error) && copy_token_ids (gguf, config, error);
}
