/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "methods/peft-common-fields.h"
#include "methods/peft-method.h"

/* What the methods that put virtual tokens in front of a text have in common. */

#define PEFT_PROMPT_MAX_TOKENS 65536
#define PEFT_PROMPT_MAX_SIZE (1 << 19)
#define PEFT_PROMPT_KEY "prompt_embeddings"
/* Of the prompt encoder's parameters in peft, whose adapters are called "default" here. */
#define PEFT_PROMPT_KEY_PREFIX "prompt_encoder."
#define PEFT_PROMPT_NAME_PREFIX "prompt_encoder.default."

/* clang-format off */
#define PEFT_FIELDS_PROMPT \
  { "num_virtual_tokens", PEFT_FIELD_INT | PEFT_FIELD_NULL, "null", .minimum = 1, \
    .maximum = PEFT_PROMPT_MAX_TOKENS, .group = "basic", .nick = N_ ("Virtual tokens"), \
    .blurb = N_ ("Number of trained vectors in front of every text; each makes every pass longer by a token") }, \
  { "token_dim", PEFT_FIELD_INT | PEFT_FIELD_NULL, "null", .minimum = 1, .maximum = PEFT_PROMPT_MAX_SIZE, \
    .group = "file", .nick = N_ ("Width"), .blurb = N_ ("Width of the model; null to take it from the model") }, \
  { "num_transformer_submodules", PEFT_FIELD_INT | PEFT_FIELD_NULL, "null", .minimum = 1, .maximum = 2, \
    .group = "file", .nick = N_ ("Parts"), .blurb = N_ ("Parts of the model that get a prompt: 1, or 2 for encoder and decoder") }, \
  { "num_attention_heads", PEFT_FIELD_INT | PEFT_FIELD_NULL, "null", .minimum = 1, .maximum = PEFT_PROMPT_MAX_SIZE, \
    .group = "file", .nick = N_ ("Attention heads"), .blurb = N_ ("Heads of the model; null to take them from the model") }, \
  { "num_layers", PEFT_FIELD_INT | PEFT_FIELD_NULL, "null", .minimum = 1, .maximum = PEFT_PROMPT_MAX_SIZE, \
    .group = "file", .nick = N_ ("Layers"), .blurb = N_ ("Layers of the model; null to take them from the model") }, \
  { "modules_to_save", PEFT_FIELD_STRINGS | PEFT_FIELD_NULL, "null", .group = "advanced", \
    .nick = N_ ("Fully trained modules"), \
    .blurb = N_ ("Modules that are trained and saved whole, beside the adapter") }

/* Of the methods whose prompt can start as a text; choices: a NULL-terminated list. */
#define PEFT_FIELDS_PROMPT_INIT(choices_) \
  { "prompt_tuning_init", PEFT_FIELD_STRING, "\"RANDOM\"", .choices = choices_, .group = "basic", \
    .nick = N_ ("Start values"), \
    .blurb = N_ ("How the virtual tokens start: as random vectors, as tokens of the vocabulary (which learns faster), " \
                 "or as a text") }, \
  { "prompt_tuning_init_text", PEFT_FIELD_STRING | PEFT_FIELD_NULL, "null", .group = "basic", \
    .nick = N_ ("Start text"), .blurb = N_ ("The text that the virtual tokens start as, for TEXT") }, \
  { "tokenizer_name_or_path", PEFT_FIELD_STRING | PEFT_FIELD_NULL, "null", .group = "advanced", \
    .nick = N_ ("Tokenizer"), .blurb = N_ ("Whose tokenizer reads the start text; null for the model's") }, \
  { "tokenizer_kwargs", PEFT_FIELD_MAP | PEFT_FIELD_NULL, "null", .group = "file", \
    .nick = N_ ("Tokenizer settings"), .blurb = N_ ("Settings for loading the tokenizer in Python") }
/* clang-format on */

/* Cross-field checks of all of them, and of those with PEFT_FIELDS_PROMPT_INIT. */
gboolean peft_prompt_validate (PeftConfig *config, GError **error);
gboolean peft_prompt_validate_init (PeftConfig *config, GError **error);

/* Fills in the fields that peft derives from the model; refuses an adapter of another model. */
gboolean peft_prompt_fill_config (PeftAdapter *adapter, GError **error);
/* The number of virtual tokens, of the filled configuration. */
gint64 peft_prompt_get_n_virtual (PeftAdapter *adapter);

/* Start values [num_virtual_tokens, width] as prompt_tuning_init has it. *out is NULL while loading. */
gboolean peft_prompt_init_embeddings (PeftAdapter *adapter, float **out, GError **error);

/* The tensor of the file, named as peft names it in memory. */
PeftParam *peft_prompt_add_embeddings (PeftAdapter *adapter, float *initial);
