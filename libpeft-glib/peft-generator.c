/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-generator.h"

#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "base/peft-json.h"
#include "peft-generator-private.h"

/**
 * PeftGenerator:
 *
 * Writes text with a model and its active adapters.
 *
 * Everything that can be set is a property; without [property@Generator:do-sample] the most likely token is taken each
 * time. The meaning of the sampling settings, and the order they work in, is that of `generate` in the Python library
 * transformers: repetition penalty, temperature, top-k, top-p, min-p. Settings are copied when a call starts.
 *
 * A generator keeps what it computed for the last prompt, so that the next turn of a conversation costs only what is
 * new; a change of adapters or weights is noticed.
 *
 * Signals are emitted in the calling thread by synchronous calls; by asynchronous ones in the thread-default main
 * context of the caller.
 *
 * Since: 1.0
 */
G_DEFINE_FINAL_TYPE (PeftGenerator, peft_generator, G_TYPE_OBJECT)

enum
{
  PROP_0,
  PROP_MODEL,
  PROP_MAX_NEW_TOKENS,
  PROP_MAX_LENGTH,
  PROP_DO_SAMPLE,
  PROP_TEMPERATURE,
  PROP_TOP_K,
  PROP_TOP_P,
  PROP_MIN_P,
  PROP_REPETITION_PENALTY,
  PROP_STOP,
  PROP_ADD_SPECIAL,
  PROP_SYSTEM,
  PROP_SEED,
  PROP_TASK_ID,
  N_PROPS
};
static GParamSpec *props[N_PROPS];

enum
{
  SIGNAL_TOKEN,
  N_SIGNALS
};
static guint signals[N_SIGNALS];

static void
peft_generator_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  PeftGenerator *self = PEFT_GENERATOR (object);

  switch (id)
    {
    case PROP_MODEL:
      g_value_set_object (value, self->model);
      break;
    case PROP_MAX_NEW_TOKENS:
      g_value_set_uint64 (value, self->options.max_new_tokens);
      break;
    case PROP_MAX_LENGTH:
      g_value_set_uint64 (value, self->options.max_length);
      break;
    case PROP_DO_SAMPLE:
      g_value_set_boolean (value, self->options.do_sample);
      break;
    case PROP_TEMPERATURE:
      g_value_set_double (value, self->options.temperature);
      break;
    case PROP_TOP_K:
      g_value_set_uint (value, self->options.top_k);
      break;
    case PROP_TOP_P:
      g_value_set_double (value, self->options.top_p);
      break;
    case PROP_MIN_P:
      g_value_set_double (value, self->options.min_p);
      break;
    case PROP_REPETITION_PENALTY:
      g_value_set_double (value, self->options.repetition_penalty);
      break;
    case PROP_STOP:
      g_value_set_boxed (value, self->stop);
      break;
    case PROP_ADD_SPECIAL:
      g_value_set_boolean (value, self->add_special);
      break;
    case PROP_SYSTEM:
      g_value_set_string (value, self->system);
      break;
    case PROP_SEED:
      g_value_set_uint64 (value, self->options.seed);
      break;
    case PROP_TASK_ID:
      g_value_set_int (value, (int) self->options.task);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
peft_generator_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  PeftGenerator *self = PEFT_GENERATOR (object);

  switch (id)
    {
    case PROP_MODEL:
      self->model = g_value_dup_object (value);
      break;
    case PROP_MAX_NEW_TOKENS:
      self->options.max_new_tokens = g_value_get_uint64 (value);
      break;
    case PROP_MAX_LENGTH:
      self->options.max_length = g_value_get_uint64 (value);
      break;
    case PROP_DO_SAMPLE:
      self->options.do_sample = g_value_get_boolean (value);
      break;
    case PROP_TEMPERATURE:
      self->options.temperature = g_value_get_double (value);
      break;
    case PROP_TOP_K:
      self->options.top_k = g_value_get_uint (value);
      break;
    case PROP_TOP_P:
      self->options.top_p = g_value_get_double (value);
      break;
    case PROP_MIN_P:
      self->options.min_p = g_value_get_double (value);
      break;
    case PROP_REPETITION_PENALTY:
      self->options.repetition_penalty = g_value_get_double (value);
      break;
    case PROP_STOP:
      g_strfreev (self->stop);
      self->stop = g_value_dup_boxed (value);
      break;
    case PROP_ADD_SPECIAL:
      self->add_special = g_value_get_boolean (value);
      break;
    case PROP_SYSTEM:
      g_free (self->system);
      self->system = g_value_dup_string (value);
      break;
    case PROP_SEED:
      self->options.seed = g_value_get_uint64 (value);
      break;
    case PROP_TASK_ID:
      self->options.task = g_value_get_int (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
peft_generator_finalize (GObject *object)
{
  PeftGenerator *self = PEFT_GENERATOR (object);

  g_clear_pointer (&self->generate, peft_generate_free);
  g_clear_pointer (&self->eos_ids, g_array_unref);
  g_clear_pointer (&self->stop, g_strfreev);
  g_clear_pointer (&self->system, g_free);
  g_clear_object (&self->model);
  G_OBJECT_CLASS (peft_generator_parent_class)->finalize (object);
}

static void
peft_generator_class_init (PeftGeneratorClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS;

  object_class->get_property = peft_generator_get_property;
  object_class->set_property = peft_generator_set_property;
  object_class->finalize = peft_generator_finalize;

  /**
   * PeftGenerator:model:
   *
   * The model that writes.
   *
   * Since: 1.0
   */
  props[PROP_MODEL] = g_param_spec_object ("model", NULL, NULL, PEFT_TYPE_MODEL,
                                           flags | G_PARAM_CONSTRUCT_ONLY);
  /**
   * PeftGenerator:max-new-tokens:
   *
   * Tokens written at most.
   *
   * Since: 1.0
   */
  props[PROP_MAX_NEW_TOKENS]
      = g_param_spec_uint64 ("max-new-tokens", N_ ("New tokens"), N_ ("tokens written at most"), 0,
                             G_MAXUINT64, 128, flags);
  /**
   * PeftGenerator:max-length:
   *
   * Tokens of prompt and answer together at most; 0: no such limit.
   *
   * Since: 1.0
   */
  props[PROP_MAX_LENGTH]
      = g_param_spec_uint64 ("max-length", N_ ("Maximum length"),
                             N_ ("tokens of prompt and answer together at most; 0: no such limit"),
                             0, G_MAXUINT64, 0, flags);
  /**
   * PeftGenerator:do-sample:
   *
   * Whether tokens are drawn by chance.
   *
   * Since: 1.0
   */
  props[PROP_DO_SAMPLE] = g_param_spec_boolean ("do-sample", N_ ("Sample"),
                                                N_ ("draw tokens by chance"), FALSE, flags);
  /**
   * PeftGenerator:temperature:
   *
   * What logits are divided by: below 1 sharper, above 1 flatter.
   *
   * Since: 1.0
   */
  props[PROP_TEMPERATURE]
      = g_param_spec_double ("temperature", N_ ("Temperature"),
                             N_ ("what logits are divided by: below 1 sharper, above 1 flatter"),
                             G_MINDOUBLE, G_MAXDOUBLE, 1, flags);
  /**
   * PeftGenerator:top-k:
   *
   * Only so many of the most likely tokens are drawn from; 0: off.
   *
   * Since: 1.0
   */
  props[PROP_TOP_K] = g_param_spec_uint ("top-k", N_ ("Top k"),
                                         N_ ("draw from so many of the most likely tokens; 0: off"),
                                         0, G_MAXINT, 0, flags);
  /**
   * PeftGenerator:top-p:
   *
   * Only the most likely tokens that together have this probability are drawn from; 1: off.
   *
   * Since: 1.0
   */
  props[PROP_TOP_P] = g_param_spec_double (
      "top-p", N_ ("Top p"),
      N_ ("draw from the most likely tokens that together have this probability; 1: off"), 0, 1, 1,
      flags);
  /**
   * PeftGenerator:min-p:
   *
   * Only tokens that have this share of the most likely one's probability are drawn from; 0: off.
   *
   * Since: 1.0
   */
  props[PROP_MIN_P] = g_param_spec_double (
      "min-p", N_ ("Min p"),
      N_ ("draw from tokens with this share of the most likely one's probability; 0: off"), 0, 1, 0,
      flags);
  /**
   * PeftGenerator:repetition-penalty:
   *
   * Above 1, tokens that are there already become less likely; 1: off.
   *
   * Since: 1.0
   */
  props[PROP_REPETITION_PENALTY] = g_param_spec_double (
      "repetition-penalty", N_ ("Repetition penalty"),
      N_ ("above 1, tokens that are there already become less likely; 1: off"), G_MINDOUBLE,
      G_MAXDOUBLE, 1, flags);
  /**
   * PeftGenerator:stop:
   *
   * Texts that end the answer and are not part of it.
   *
   * Since: 1.0
   */
  props[PROP_STOP] = g_param_spec_boxed (
      "stop", N_ ("Stop"), N_ ("text that ends the answer and is not part of it; may be repeated"),
      G_TYPE_STRV, flags);
  /**
   * PeftGenerator:add-special:
   *
   * Whether prompts get the special tokens that the model expects around a text.
   *
   * Since: 1.0
   */
  props[PROP_ADD_SPECIAL] = g_param_spec_boolean (
      "add-special", N_ ("Special tokens"),
      N_ ("give prompts the special tokens that the model expects"), TRUE, flags);
  /**
   * PeftGenerator:system:
   *
   * A system message put before conversations that begin with none; `NULL`: none.
   *
   * Since: 1.0
   */
  props[PROP_SYSTEM] = g_param_spec_string (
      "system", N_ ("System message"), N_ ("message put before conversations that begin with none"),
      NULL, flags);
  /**
   * PeftGenerator:seed:
   *
   * Seed of the draws.
   *
   * Since: 1.0
   */
  props[PROP_SEED] = g_param_spec_uint64 ("seed", N_ ("Seed"), N_ ("seed of the draws"), 0,
                                          G_MAXUINT64, 42, flags);
  /**
   * PeftGenerator:task-id:
   *
   * Which task is wanted of an adapter that has several (multitask prompt tuning); -1: none.
   *
   * Since: 1.0
   */
  props[PROP_TASK_ID]
      = g_param_spec_int ("task-id", N_ ("Task"),
                          N_ ("task of an adapter that has several, from 0; -1: none"), -1, G_MAXINT,
                          -1, flags);
  g_object_class_install_properties (object_class, N_PROPS, props);

  /**
   * PeftGenerator::token:
   * @self: the generator
   * @prompt: the prompt's number, from 0
   * @id: the new token; -1: no token, but what was left of the text at the end
   * @text: the text that has become final with it, often empty; it never ends within a character
   *
   * The model has written a token.
   *
   * Since: 1.0
   */
  signals[SIGNAL_TOKEN]
      = g_signal_new ("token", PEFT_TYPE_GENERATOR, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                      G_TYPE_NONE, 3, G_TYPE_UINT, G_TYPE_INT, G_TYPE_STRING);
}

static void
peft_generator_init (PeftGenerator *self)
{
  peft_generate_options_init (&self->options);
  self->options.seed = 42;
  self->add_special = TRUE;
}

/**
 * peft_generator_new:
 * @model: the model that writes
 *
 * Makes a generator with default settings.
 *
 * Returns: (transfer full): the generator
 *
 * Since: 1.0
 */
PeftGenerator *
peft_generator_new (PeftModel *model)
{
  g_return_val_if_fail (PEFT_IS_MODEL (model), NULL);

  return g_object_new (PEFT_TYPE_GENERATOR, "model", model, NULL);
}

/**
 * peft_generator_get_model:
 * @self: a generator
 *
 * Gets the model that writes.
 *
 * Returns: (transfer none): the model
 *
 * Since: 1.0
 */
PeftModel *
peft_generator_get_model (PeftGenerator *self)
{
  g_return_val_if_fail (PEFT_IS_GENERATOR (self), NULL);

  return self->model;
}

/**
 * peft_generator_apply_generation_config:
 * @self: a generator
 * @error: return location for an error
 *
 * Sets the sampling properties to what the model's `generation_config.json` says.
 *
 * A model without that file changes nothing. Ids that end a text are taken from it in any case.
 *
 * Returns: whether the file could be read
 *
 * Since: 1.0
 */
gboolean
peft_generator_apply_generation_config (PeftGenerator *self, GError **error)
{
  g_autoptr (GArray) eos_ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  PeftGenerateOptions read;
  PeftCore *core;

  g_return_val_if_fail (PEFT_IS_GENERATOR (self), FALSE);

  core = peft_model_get_core (self->model);
  if (core->gguf != NULL)
    return TRUE;
  read = self->options;
  if (!peft_generate_read_config (core->path, eos_ids, &read, error))
    return FALSE;
  g_object_set (self, "do-sample", read.do_sample, "temperature", read.temperature, "top-k",
                read.top_k, "top-p", read.top_p, "min-p", read.min_p, "repetition-penalty",
                read.repetition_penalty, NULL);
  return TRUE;
}

/**
 * peft_generator_set_eos_ids:
 * @self: a generator
 * @ids: (array length=n_ids) (nullable): token ids
 * @n_ids: the number of ids; 0: none ends a text
 *
 * Replaces the ids that end a text, which are otherwise the model's.
 *
 * Since: 1.0
 */
void
peft_generator_set_eos_ids (PeftGenerator *self, const gint32 *ids, gsize n_ids)
{
  g_return_if_fail (PEFT_IS_GENERATOR (self));
  g_return_if_fail (ids != NULL || n_ids == 0);

  g_clear_pointer (&self->eos_ids, g_array_unref);
  self->eos_ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  if (n_ids > 0)
    g_array_append_vals (self->eos_ids, ids, (guint) n_ids);
}

/**
 * peft_generator_get_speed:
 * @self: a generator
 * @prompt_tokens: (out) (optional): tokens of the prompts that were computed
 * @prefill_seconds: (out) (optional): the time that took
 * @new_tokens: (out) (optional): tokens that were written
 * @decode_seconds: (out) (optional): the time that took
 *
 * Gets what the last call took; not while one runs.
 *
 * Since: 1.0
 */
void
peft_generator_get_speed (PeftGenerator *self, guint64 *prompt_tokens, double *prefill_seconds,
                          guint64 *new_tokens, double *decode_seconds)
{
  g_return_if_fail (PEFT_IS_GENERATOR (self));

  if (prompt_tokens != NULL)
    *prompt_tokens = self->stats.prompt_tokens;
  if (prefill_seconds != NULL)
    *prefill_seconds = self->stats.prefill_seconds;
  if (new_tokens != NULL)
    *new_tokens = self->stats.new_tokens;
  if (decode_seconds != NULL)
    *decode_seconds = self->stats.decode_seconds;
}

void
peft_generator_emit_token (PeftGenerator *self, guint prompt, gint32 id, const char *text)
{
  g_signal_emit (self, signals[SIGNAL_TOKEN], 0, prompt, id, text);
}
