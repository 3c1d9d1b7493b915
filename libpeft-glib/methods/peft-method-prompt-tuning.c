/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "methods/peft-config-private.h"
#include "methods/peft-config-types.h"
#include "methods/peft-prompt-common.h"

/* Prompt tuning (Lester et al., "The power of scale for parameter-efficient prompt tuning", arXiv:2104.08691): vectors
 * in front of the embeddings of every text are trained, and nothing else. */

/**
 * PeftPromptTuningConfig:
 *
 * The settings of prompt tuning.
 *
 * `num-virtual-tokens` vectors stand in front of the embeddings of every text. The file has the tensor
 * `prompt_embeddings` of shape [virtual tokens, width].
 *
 * See [Lester et al., The power of scale for parameter-efficient prompt
 * tuning](https://arxiv.org/abs/2104.08691).
 *
 * Since: 1.0
 */
struct _PeftPromptTuningConfig
{
  PeftConfig parent_instance;
};

G_DEFINE_FINAL_TYPE (PeftPromptTuningConfig, peft_prompt_tuning_config, PEFT_TYPE_CONFIG)

static const char *const inits[] = { "RANDOM", "TEXT", "SAMPLE_VOCAB", NULL };

static const PeftField fields[] = {
  PEFT_FIELDS_PROMPT,
  PEFT_FIELDS_PROMPT_INIT (inits),
};

static void
peft_prompt_tuning_config_class_init (PeftPromptTuningConfigClass *klass)
{
  peft_config_class_set_fields (PEFT_CONFIG_CLASS (klass), "PROMPT_TUNING", fields,
                                G_N_ELEMENTS (fields));
}

static void
peft_prompt_tuning_config_init (PeftPromptTuningConfig *self)
{
}

typedef struct
{
  PeftCoreHook parent;
  PeftParam *embeddings;
} PromptHook;

static PeftVar *
prompt_tuning_prompt (PeftCoreHook *hook, PeftTape *tape, const PeftForward *forward)
{
  return peft_tape_param (tape, ((PromptHook *) hook)->embeddings);
}

static const PeftCoreHookClass prompt_hook_class = {
  .prompt = prompt_tuning_prompt,
  .free = (void (*) (PeftCoreHook *)) g_free,
};

static gboolean
prompt_tuning_declare (PeftAdapter *adapter, GError **error)
{
  PromptHook *hook;
  float *initial;

  if (!peft_prompt_fill_config (adapter, error)
      || !peft_prompt_init_embeddings (adapter, &initial, error))
    return FALSE;
  hook = g_new0 (PromptHook, 1);
  hook->parent.klass = &prompt_hook_class;
  hook->parent.n_virtual = peft_prompt_get_n_virtual (adapter);
  hook->embeddings = peft_prompt_add_embeddings (adapter, initial);
  adapter->core_hook = &hook->parent;
  return TRUE;
}

const PeftMethod peft_method_prompt_tuning = {
  .name = "PROMPT_TUNING",
  .display_name = N_ ("Prompt tuning"),
  .summary = N_ ("Trains vectors that stand in front of every text, as a prompt that nobody could write"),
  .good_for = N_ ("Many small tasks on one large model: a task is a file of some kilobytes. Weaker than LoRA on small "
                  "models."),
  .cost = N_ ("A few thousand parameters; every pass is longer by the virtual tokens, in use, too; cannot be merged."),
  .learning_rate = 1e-2,
  .presets = {
    { { "num_virtual_tokens", "8" }, { "prompt_tuning_init", "\"SAMPLE_VOCAB\"" } },
    { { "num_virtual_tokens", "20" }, { "prompt_tuning_init", "\"SAMPLE_VOCAB\"" } },
    { { "num_virtual_tokens", "100" }, { "prompt_tuning_init", "\"SAMPLE_VOCAB\"" } },
  },
  .get_config_type = peft_prompt_tuning_config_get_type,
  .validate = peft_prompt_validate_init,
  .declare = prompt_tuning_declare,
};
