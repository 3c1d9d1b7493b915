/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib/gstdio.h>
#include <math.h>

#include "base/peft-atomic-file.h"
#include "base/peft-error.h"
#include "methods/peft-config-private.h"
#include "tiny-model.h"

/* What configurations of prompt methods are refused for, and what their files hold. */

typedef struct
{
  const char *json;
  int code;
  const char *words[3]; /* of the message */
} Refused;

#define PROMPT "{\"peft_type\":\"PROMPT_TUNING\""
#define MULTITASK "{\"peft_type\":\"MULTITASK_PROMPT_TUNING\",\"num_virtual_tokens\":3"
#define P_TUNING "{\"peft_type\":\"P_TUNING\",\"num_virtual_tokens\":3"

static const Refused refused[] = {
  { PROMPT "}", PEFT_ERROR_INVALID_ARGUMENT, { "num_virtual_tokens" } },
  { PROMPT ",\"num_virtual_tokens\":0}", PEFT_ERROR_INVALID_FILE, { "num_virtual_tokens", "from 1" } },
  { PROMPT ",\"num_virtual_tokens\":3,\"num_transformer_submodules\":2}", PEFT_ERROR_INVALID_ARGUMENT,
    { "num_transformer_submodules", "expected 1" } },
  { PROMPT ",\"num_virtual_tokens\":3,\"token_dim\":17}", PEFT_ERROR_SHAPE_MISMATCH,
    { "token_dim", "16", "17" } },
  { PROMPT ",\"num_virtual_tokens\":3,\"prompt_tuning_init\":\"TEXT\"}", PEFT_ERROR_INVALID_ARGUMENT,
    { "prompt_tuning_init_text" } },
  { PROMPT ",\"num_virtual_tokens\":3,\"prompt_tuning_init\":\"TEXT\",\"prompt_tuning_init_text\":\"a\"}",
    PEFT_ERROR_NOT_FOUND, { "prompt_tuning_init_text", "tokenizer.json" } },
  { PROMPT ",\"num_virtual_tokens\":3,\"prompt_tuning_init\":\"AVERAGE_SOURCE_TASKS\"}",
    PEFT_ERROR_INVALID_FILE, { "prompt_tuning_init", "SAMPLE_VOCAB" } },
  { PROMPT ",\"num_virtual_tokens\":3,\"tokenizer_kwargs\":{\"use_fast\":true}}",
    PEFT_ERROR_INVALID_ARGUMENT, { "tokenizer_kwargs", "TEXT" } },
  { MULTITASK ",\"num_tasks\":null}", PEFT_ERROR_INVALID_ARGUMENT, { "num_tasks" } },
  { MULTITASK ",\"prompt_tuning_init\":\"EXACT_SOURCE_TASK\"}", PEFT_ERROR_INVALID_ARGUMENT,
    { "prompt_tuning_init_state_dict_path" } },
  { MULTITASK ",\"prompt_tuning_init\":\"EXACT_SOURCE_TASK\",\"prompt_tuning_init_state_dict_path\":\"a.bin\"}",
    PEFT_ERROR_UNSUPPORTED, { "a.bin", "pickle" } },
  { P_TUNING ",\"encoder_reparameterization_type\":\"GRU\"}", PEFT_ERROR_INVALID_FILE,
    { "encoder_reparameterization_type", "LSTM", "GRU" } },
  { P_TUNING ",\"encoder_hidden_size\":0}", PEFT_ERROR_INVALID_FILE, { "encoder_hidden_size" } },
  { P_TUNING ",\"encoder_dropout\":1.0}", PEFT_ERROR_INVALID_ARGUMENT, { "encoder_dropout" } },
};

static PeftAdapter *
make (PeftCore *core, const char *json, guint64 seed, GError **error)
{
  g_autoptr (PeftConfig) config = peft_config_new_from_json (json, -1, error);

  return config != NULL ? peft_adapter_new (core, config, "default", seed, error) : NULL;
}

static void
test_refused (void)
{
  g_autofree char *folder = tiny_write (&(TinyOptions){ 0 });
  g_autoptr (PeftCore) core = tiny_load (folder);

  for (guint i = 0; i < G_N_ELEMENTS (refused); i++)
    {
      const Refused *r = &refused[i];
      g_autoptr (GError) error = NULL;
      g_autoptr (PeftAdapter) adapter = make (core, r->json, 1, &error);

      g_assert_null (adapter);
      g_test_message ("%s", error->message);
      for (guint j = 0; j < G_N_ELEMENTS (r->words) && r->words[j] != NULL; j++)
        if (strstr (error->message, r->words[j]) == NULL)
          g_error ("%s: no “%s” in: %s", r->json, r->words[j], error->message);
      if (!g_error_matches (error, PEFT_ERROR, r->code))
        g_error ("%s: code %d, expected %d: %s", r->json, error->code, r->code, error->message);
    }
  peft_remove_tree (folder, NULL);
}

/* The file of P-tuning has the encoder's output alone: it can be used, and what it says is what the encoder made. */
static void
test_stored_form (void)
{
  g_autofree char *folder = tiny_write (&(TinyOptions){ 0 });
  g_autofree char *out = g_build_filename (folder, "adapter", NULL);
  g_autoptr (PeftCore) core = tiny_load (folder);

  for (guint i = 0; i < 2; i++)
    {
      g_autofree char *json = g_strdup_printf (
          P_TUNING ",\"encoder_reparameterization_type\":\"%s\"}", i == 0 ? "MLP" : "LSTM");
      g_autoptr (GError) error = NULL;
      g_autoptr (PeftAdapter) adapter = make (core, json, 1, &error);
      g_autoptr (PeftAdapter) stored = NULL;
      g_autoptr (PeftAdapter) complete = NULL;
      const char *type;

      g_assert_no_error (error);
      g_assert_false (adapter->incomplete);
      g_assert_true (peft_adapter_save (adapter, out, &error));
      stored = peft_adapter_load (core, out, "default", &error);
      g_assert_no_error (error);
      g_assert_true (stored->incomplete);
      g_assert_cmpuint (stored->notes->len, ==, 0);
      g_assert_cmpuint (peft_param_set_get_n (stored->params), ==, 1);
      g_assert_cmpuint (peft_param_set_get_n_trainable (stored->params), ==, 0);
      g_assert_cmpint (peft_config_get_int (stored->config, "encoder_hidden_size"), ==, TINY_HIDDEN);
      g_assert_cmpint (peft_config_get_int (stored->config, "num_layers"), ==, TINY_LAYERS);
      complete = peft_adapter_load_trainable (core, out, "default", &error);
      g_assert_no_error (error);
      g_assert_false (complete->incomplete);
      g_assert_cmpuint (complete->notes->len, ==, 0);
      g_assert_cmpuint (peft_param_set_get_n (complete->params), ==,
                        peft_param_set_get_n (adapter->params));
      type = peft_param_set_get (complete->params, 1)->name;
      g_assert_cmpstr (type, ==,
                       i == 0 ? "prompt_encoder.default.mlp_head.0.weight"
                              : "prompt_encoder.default.lstm_head.weight_ih_l0");
    }
  peft_remove_tree (folder, NULL);
}

static void
test_together (void)
{
  g_autofree char *folder = tiny_write (&(TinyOptions){ 0 });
  g_autoptr (PeftCore) core = tiny_load (folder);
  g_autoptr (GPtrArray) adapters = g_ptr_array_new_with_free_func ((GDestroyNotify) peft_adapter_unref);
  g_autoptr (GError) error = NULL;

  g_ptr_array_add (adapters, make (core, PROMPT ",\"num_virtual_tokens\":3}", 1, NULL));
  g_ptr_array_add (adapters, make (core, MULTITASK "}", 1, NULL));
  g_assert_false (peft_adapter_check_together (adapters, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT);
  peft_remove_tree (folder, NULL);
}

/* Seeds give the same start, and other seeds another; vocabulary rows are the embedding's, of block types too. */
static void
test_start (void)
{
  g_autofree char *folder = tiny_write (&(TinyOptions){ .dtype = PEFT_DTYPE_BF16 });
  g_autoptr (PeftCore) core = tiny_load (folder);
  g_autofree float *table = peft_slot_read (core->embedding, core->embedding->weight, NULL, NULL);
  float *values[3];

  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (PeftAdapter) adapter
          = make (core, PROMPT ",\"num_virtual_tokens\":9,\"prompt_tuning_init\":\"SAMPLE_VOCAB\"}",
                  1 + i / 2, NULL);

      values[i] = peft_param_dup_values (peft_param_set_get (adapter->params, 0));
    }
  g_assert_cmpmem (values[0], 9 * TINY_HIDDEN * sizeof (float), values[1],
                   9 * TINY_HIDDEN * sizeof (float));
  g_assert_cmpint (memcmp (values[0], values[2], 9 * TINY_HIDDEN * sizeof (float)), !=, 0);
  for (guint i = 0; i < 9; i++)
    {
      gboolean found = FALSE;

      for (guint id = 0; id < TINY_VOCAB; id++)
        found |= memcmp (values[0] + i * TINY_HIDDEN, table + id * TINY_HIDDEN,
                         TINY_HIDDEN * sizeof (float)) == 0;
      g_assert_true (found);
    }
  for (guint i = 0; i < 3; i++)
    g_free (values[i]);
  peft_remove_tree (folder, NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Prompt/refused", test_refused);
  g_test_add_func ("/Peft/Prompt/stored-form", test_stored_form);
  g_test_add_func ("/Peft/Prompt/together", test_together);
  g_test_add_func ("/Peft/Prompt/start", test_start);
  return g_test_run ();
}
