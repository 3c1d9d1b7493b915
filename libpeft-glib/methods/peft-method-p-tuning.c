/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <inttypes.h>
#include <math.h>

#include "methods/peft-config-private.h"
#include "methods/peft-config-types.h"
#include "methods/peft-prompt-common.h"
#include "methods/peft-prompt-encoder.h"

/* P-tuning (Liu et al., "GPT understands, too", arXiv:2103.10385): the vectors in front of a text are made by a small
 * network out of trained ones. Only what it makes is stored. */

/**
 * PeftPTuningConfig:
 *
 * The settings of P-tuning.
 *
 * The vectors in front of a text are the output of a small network, an MLP of three layers or a bidirectional LSTM
 * with two more layers behind it. The file has only that output, `prompt_embeddings`, so that training goes on from
 * checkpoints alone.
 *
 * See [Liu et al., GPT understands, too](https://arxiv.org/abs/2103.10385).
 *
 * Since: 1.0
 */
struct _PeftPTuningConfig
{
  PeftConfig parent_instance;
};

G_DEFINE_FINAL_TYPE (PeftPTuningConfig, peft_p_tuning_config, PEFT_TYPE_CONFIG)

static const char *const encoders[] = { "MLP", "LSTM", NULL };

/* clang-format off */
static const PeftField fields[] = {
  PEFT_FIELDS_PROMPT,
  { "encoder_reparameterization_type", PEFT_FIELD_STRING, "\"MLP\"", .choices = encoders, .group = "basic",
    .nick = N_ ("Encoder"), .blurb = N_ ("The network that makes the virtual tokens: MLP or LSTM") },
  { "encoder_hidden_size", PEFT_FIELD_INT | PEFT_FIELD_NULL, "null", .minimum = 1, .maximum = PEFT_PROMPT_MAX_SIZE,
    .group = "basic", .nick = N_ ("Encoder width"), .blurb = N_ ("Width of the network; null for the model's") },
  { "encoder_num_layers", PEFT_FIELD_INT, "2", .minimum = 1, .maximum = 64, .group = "advanced",
    .nick = N_ ("Encoder layers"), .blurb = N_ ("Layers of the LSTM; the MLP always has three") },
  { "encoder_dropout", PEFT_FIELD_DOUBLE, "0.0", .minimum = 0, .maximum = 1, .group = "advanced",
    .nick = N_ ("Encoder dropout"),
    .blurb = N_ ("Share of values that is set to zero between layers of the LSTM while training") },
};
/* clang-format on */

static void
peft_p_tuning_config_class_init (PeftPTuningConfigClass *klass)
{
  peft_config_class_set_fields (PEFT_CONFIG_CLASS (klass), "P_TUNING", fields,
                                G_N_ELEMENTS (fields));
}

static void
peft_p_tuning_config_init (PeftPTuningConfig *self)
{
}

static gboolean
p_tuning_validate (PeftConfig *config, GError **error)
{
  if (!peft_prompt_validate (config, error))
    return FALSE;
  if (peft_config_get_double (config, "encoder_dropout") < 1)
    return TRUE;
  g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                       _ ("encoder_dropout: 1 leaves nothing to train"));
  return FALSE;
}

typedef struct
{
  PeftCoreHook parent;
  PeftParam *embeddings; /* of the stored form: the output; else what goes into the encoder */
  PeftPromptEncoder *encoder; /* NULL: the stored form */
} PTuningHook;

static PeftVar *
make_prompt (PTuningHook *self, PeftTape *tape)
{
  g_autoptr (PeftVar) embeddings = peft_tape_param (tape, self->embeddings);

  return self->encoder != NULL ? peft_prompt_encoder_run (self->encoder, tape, embeddings)
                               : g_steal_pointer (&embeddings);
}

static PeftVar *
p_tuning_prompt (PeftCoreHook *hook, PeftTape *tape, const PeftForward *forward)
{
  return make_prompt ((PTuningHook *) hook, tape);
}

static void
p_tuning_hook_free (PeftCoreHook *hook)
{
  PTuningHook *self = (PTuningHook *) hook;

  g_clear_pointer (&self->encoder, peft_prompt_encoder_free);
  g_free (self);
}

static const PeftCoreHookClass p_tuning_hook_class = {
  .prompt = p_tuning_prompt,
  .free = p_tuning_hook_free,
};

/* What goes into the encoder is in no file. */
static PeftParam *
add_inputs (PeftAdapter *adapter)
{
  static const char key[] = PEFT_PROMPT_KEY_PREFIX "embedding.weight";
  const gint64 shape[2] = { peft_prompt_get_n_virtual (adapter), adapter->core->dims.hidden };
  PeftParam *param = peft_adapter_add_core_param (
      adapter, key, 2, shape, TRUE,
      peft_init_normal (adapter, key, (gsize) (shape[0] * shape[1]), 1));

  param->name = g_strdup (PEFT_PROMPT_NAME_PREFIX "embedding.weight");
  param->saved = FALSE;
  return param;
}

static gboolean
p_tuning_declare (PeftAdapter *adapter, GError **error)
{
  PeftConfig *config = adapter->config;
  PTuningHook *hook;

  if (!peft_prompt_fill_config (adapter, error))
    return FALSE;
  if (peft_json_get_kind (peft_config_get_json (config, "encoder_hidden_size")) == PEFT_JSON_NULL)
    peft_config_set_json (config, "encoder_hidden_size",
                          peft_json_new_int (adapter->core->dims.hidden),
                          PEFT_ERROR_INVALID_ARGUMENT, NULL);
  hook = g_new0 (PTuningHook, 1);
  hook->parent.klass = &p_tuning_hook_class;
  hook->parent.n_virtual = peft_prompt_get_n_virtual (adapter);
  adapter->core_hook = &hook->parent;
  if (adapter->stored_form)
    {
      hook->embeddings = peft_prompt_add_embeddings (adapter, NULL);
      hook->embeddings->trainable = FALSE;
      adapter->incomplete = TRUE;
      return TRUE;
    }
  hook->embeddings = add_inputs (adapter);
  hook->encoder = g_str_equal (peft_config_get_string (config, "encoder_reparameterization_type"),
                               "LSTM")
                      ? peft_prompt_encoder_new_lstm (adapter)
                      : peft_prompt_encoder_new_mlp (adapter);
  return TRUE;
}

/* Runs the encoder in an arena of its own; on a plan backend it measures what that takes. */
static gboolean
run_encoder (PTuningHook *self, PeftBackend *backend, gsize capacity, gsize *peak, float *out,
             GError **error)
{
  g_autoptr (PeftArena) arena = peft_arena_new (backend, capacity, error);
  const PeftTapeOptions options = { .arena = arena, .compute = PEFT_COMPUTE_F32 };
  g_autoptr (PeftTape) tape = NULL;
  g_autoptr (PeftVar) prompt = NULL;

  if (arena == NULL)
    return FALSE;
  tape = peft_tape_new (&options);
  prompt = make_prompt (self, tape);
  if (!peft_tape_check (tape, error) || !peft_backend_sync (backend, error))
    return FALSE;
  if (out != NULL)
    peft_tensor_download_f32 (prompt->value, out);
  *peak = peft_arena_get_peak (arena);
  return TRUE;
}

static gboolean
p_tuning_export (PeftAdapter *adapter, GPtrArray *out, GError **error)
{
  PTuningHook *hook = (PTuningHook *) adapter->core_hook;
  g_autoptr (PeftBackend) plan = NULL;
  PeftAdapterTensor *tensor;
  gsize peak;

  if (hook->encoder == NULL)
    return TRUE;
  plan = peft_plan_backend_new (adapter->core->backend);
  tensor = g_new0 (PeftAdapterTensor, 1);
  tensor->key = g_strdup (PEFT_PROMPT_KEY);
  tensor->n_dims = 2;
  tensor->shape[0] = hook->parent.n_virtual;
  tensor->shape[1] = adapter->core->dims.hidden;
  tensor->values = g_new (float, tensor->shape[0] * tensor->shape[1]);
  g_ptr_array_add (out, tensor);
  return run_encoder (hook, plan, 0, &peak, NULL, error)
         && run_encoder (hook, adapter->core->backend, peak, &peak, tensor->values, error);
}

const PeftMethod peft_method_p_tuning = {
  .name = "P_TUNING",
  .display_name = N_ ("P-tuning"),
  .summary = N_ ("Trains a small network that makes the vectors in front of every text"),
  .good_for = N_ ("Understanding and classifying with a frozen model; easier to train than plain prompt tuning, and as "
                  "small to keep."),
  .cost = N_ ("Some hundred thousand parameters while training, a few thousand in the file; every pass is longer by the "
              "virtual tokens; cannot be merged."),
  .learning_rate = 1e-3,
  .presets = {
    { { "num_virtual_tokens", "8" }, { "encoder_hidden_size", "128" } },
    { { "num_virtual_tokens", "20" }, { "encoder_hidden_size", "128" } },
    { { "num_virtual_tokens", "50" }, { "encoder_hidden_size", "256" } },
  },
  .get_config_type = peft_p_tuning_config_get_type,
  .validate = p_tuning_validate,
  .declare = p_tuning_declare,
  .export = p_tuning_export,
};
