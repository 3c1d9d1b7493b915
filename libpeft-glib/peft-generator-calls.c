/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "base/peft-json.h"
#include "peft-generation-result-private.h"
#include "peft-generator-private.h"
#include "peft-model-mixed.h"
#include "peft-relay.h"
#include "peft-tokenizer-private.h"

/* What a generator is asked to write. */

/* One of prompts, messages, ids is there; the rest is what the properties were when the call started. */
typedef struct
{
  GStrv prompts;
  GStrv adapters; /* a name for each prompt; NULL: those that are active, for all */
  char *messages;
  gint32 *ids;
  gsize n_ids;

  PeftGenerateOptions options;
  gboolean add_special;
  GStrv stop;
  char *system;
  GArray *eos_ids; /* NULL: the model's */
} Call;

static void
call_free (gpointer data)
{
  Call *self = data;

  g_strfreev (self->prompts);
  g_strfreev (self->adapters);
  g_free (self->messages);
  g_free (self->ids);
  g_strfreev (self->stop);
  g_free (self->system);
  g_clear_pointer (&self->eos_ids, g_array_unref);
  g_free (self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Call, call_free)

static Call *
call_new (PeftGenerator *self)
{
  Call *call = g_new0 (Call, 1);

  call->options = self->options;
  call->add_special = self->add_special;
  call->stop = g_strdupv (self->stop);
  call->system = g_strdup (self->system);
  call->eos_ids = self->eos_ids != NULL ? g_array_copy (self->eos_ids) : NULL;
  return call;
}

typedef struct
{
  guint prompt;
  gint32 id;
  char *text;
} TokenEvent;

static void
token_event_free (gpointer data)
{
  TokenEvent *event = data;

  g_free (event->text);
  g_free (event);
}

static void
emit_token (gpointer object, gpointer data)
{
  const TokenEvent *event = data;

  peft_generator_emit_token (object, event->prompt, event->id, event->text);
}

static gboolean
token_cb (guint prompt, gint32 id, const char *text, gpointer data)
{
  TokenEvent *event = g_new (TokenEvent, 1);

  *event = (TokenEvent){ prompt, id, g_strdup (text != NULL ? text : "") };
  peft_relay_push (data, event, FALSE);
  return TRUE;
}

/* The messages as text, with the system message where they begin with none. */
static char *
render_chat (PeftTokenizer *tokenizer, const Call *call, GError **error)
{
  g_autoptr (PeftJson) messages = NULL;
  g_autoptr (PeftJson) all = NULL;
  g_autofree char *text = NULL;
  const char *role = NULL;
  PeftJson *system;

  if (call->system == NULL)
    return peft_tokenizer_apply_chat_template (tokenizer, call->messages, TRUE, error);
  messages = peft_json_parse (call->messages, -1, PEFT_JSON_PARSE_DEFAULT, error);
  if (messages == NULL)
    return NULL;
  if (peft_json_get_kind (messages) != PEFT_JSON_ARRAY)
    return peft_tokenizer_apply_chat_template (tokenizer, call->messages, TRUE, error);
  if (peft_json_get_length (messages) > 0
      && !peft_json_read_string (peft_json_get_element (messages, 0), "role", &role, error))
    return NULL;
  if (role != NULL && g_str_equal (role, "system"))
    return peft_tokenizer_apply_chat_template (tokenizer, call->messages, TRUE, error);
  all = peft_json_new_array ();
  system = peft_json_new_object ();
  peft_json_set (system, "role", peft_json_new_string ("system"));
  peft_json_set (system, "content", peft_json_new_string (call->system));
  peft_json_append (all, system);
  for (gsize i = 0; i < peft_json_get_length (messages); i++)
    peft_json_append (all, peft_json_ref (peft_json_get_element (messages, i)));
  text = peft_json_to_string (all, PEFT_JSON_WRITE_COMPACT);
  return peft_tokenizer_apply_chat_template (tokenizer, text, TRUE, error);
}

static void
prompt_clear (gpointer data)
{
  g_free ((gpointer) ((PeftPrompt *) data)->ids);
}

/* (element-type PeftPrompt), each with ids of its own */
static GArray *
make_prompts (PeftTokenizer *tokenizer, const Call *call, GError **error)
{
  g_autoptr (GArray) prompts = g_array_new (FALSE, FALSE, sizeof (PeftPrompt));
  PeftPrompt prompt;

  g_array_set_clear_func (prompts, prompt_clear);
  if (call->ids != NULL)
    {
      prompt = (PeftPrompt){ g_memdup2 (call->ids, call->n_ids * sizeof (gint32)), call->n_ids };
      g_array_append_val (prompts, prompt);
      return g_steal_pointer (&prompts);
    }
  if (call->messages != NULL)
    {
      g_autofree char *text = render_chat (tokenizer, call, error);

      prompt.ids = text != NULL
                       ? peft_tokenizer_encode (tokenizer, text, FALSE, &prompt.n_ids, error)
                       : NULL;
      if (prompt.ids == NULL)
        return NULL;
      g_array_append_val (prompts, prompt);
    }
  for (char **text = call->prompts; text != NULL && *text != NULL; text++)
    {
      prompt.ids = peft_tokenizer_encode (tokenizer, *text, call->add_special, &prompt.n_ids,
                                          error);
      if (prompt.ids == NULL)
        return NULL;
      g_array_append_val (prompts, prompt);
    }
  return g_steal_pointer (&prompts);
}

static gboolean
set_eos_ids (PeftGenerator *self, Call *call, GError **error)
{
  gsize n_ids;
  gint32 *ids;

  if (call->eos_ids == NULL)
    {
      ids = peft_base_model_get_eos_ids (peft_model_get_base_model (self->model), &n_ids, error);
      if (ids == NULL)
        return FALSE;
      call->eos_ids = g_array_new (FALSE, FALSE, sizeof (gint32));
      g_array_append_vals (call->eos_ids, ids, (guint) n_ids);
      g_free (ids);
    }
  call->options.eos_ids = (const gint32 *) (gpointer) call->eos_ids->data;
  call->options.n_eos_ids = call->eos_ids->len;
  call->options.stop = (const char *const *) call->stop;
  return TRUE;
}

/* What was kept of the last call is of no use with other adapters. */
static void
prepare (PeftGenerator *self, gboolean mixed, PeftTokenizer *tokenizer)
{
  guint serial = peft_model_get_serial (self->model);

  if (self->generate == NULL)
    self->generate
        = peft_generate_new (peft_model_get_core (self->model),
                             tokenizer != NULL ? peft_tokenizer_get_core (tokenizer) : NULL);
  else if (mixed || self->mixed || serial != self->serial)
    peft_generate_reset (self->generate);
  self->serial = serial;
  self->mixed = mixed;
}

/* → GPtrArray of PeftGenerated */
static GPtrArray *
run_prompts (PeftGenerator *self, Call *call, GArray *prompts, PeftRelay *relay,
             GCancellable *cancellable, GError **error)
{
  GPtrArray *generated;

  peft_model_attach (self->model);
  generated = peft_generate_run (self->generate, (const PeftPrompt *) (gpointer) prompts->data,
                                 prompts->len, &call->options, token_cb, relay, cancellable, error);
  peft_model_detach (self->model);
  return generated;
}

typedef struct
{
  const PeftMixedLines *lines;
  PeftRelay *relay;
} MixedRun;

static gboolean
mixed_token_cb (guint line, gint32 id, const char *text, gpointer data)
{
  const MixedRun *run = data;

  return token_cb ((guint) peft_mixed_lines_get (run->lines, line), id, text, run->relay);
}

static GPtrArray *
put_in_order (GPtrArray *generated, const PeftMixedLines *lines)
{
  GPtrArray *out = g_ptr_array_new_with_free_func ((GDestroyNotify) peft_generated_free);

  g_ptr_array_set_size (out, (int) generated->len);
  for (guint i = 0; i < generated->len; i++)
    out->pdata[peft_mixed_lines_get (lines, i)] = g_steal_pointer (&generated->pdata[i]);
  g_ptr_array_set_free_func (generated, NULL);
  g_ptr_array_unref (generated);
  return out;
}

/* The same, every prompt with its own adapter. */
static GPtrArray *
run_mixed (PeftGenerator *self, Call *call, GArray *prompts, PeftRelay *relay,
           GCancellable *cancellable, GError **error)
{
  g_auto (PeftMixedLines) lines = { 0 };
  g_autofree PeftPrompt *ordered = g_new (PeftPrompt, prompts->len);
  MixedRun run = { &lines, relay };
  GPtrArray *generated;

  if (!peft_mixed_lines_init (&lines, self->model, (const char *const *) call->adapters,
                              prompts->len, error))
    return NULL;
  for (guint i = 0; i < prompts->len; i++)
    ordered[i] = g_array_index (prompts, PeftPrompt, peft_mixed_lines_get (&lines, i));
  peft_mixed_lines_set_active (&lines, TRUE);
  generated = peft_generate_run (self->generate, ordered, prompts->len, &call->options,
                                 mixed_token_cb, &run, cancellable, error);
  peft_mixed_lines_set_active (&lines, FALSE);
  return generated != NULL ? put_in_order (generated, &lines) : NULL;
}

static gpointer
generate_work (gpointer source, gpointer data, PeftRelay *relay, GCancellable *cancellable,
               GError **error)
{
  PeftGenerator *self = source;
  Call *call = data;
  g_autoptr (GArray) prompts = NULL;
  g_autoptr (GPtrArray) generated = NULL;
  GPtrArray *results;
  PeftTokenizer *tokenizer;
  PeftBaseModel *base = peft_model_get_base_model (self->model);

  if (!peft_base_model_find_tokenizer (base, &tokenizer, error))
    return NULL;
  if (call->ids == NULL && tokenizer == NULL)
    {
      peft_base_model_get_tokenizer (base, error);
      return NULL;
    }
  prompts = make_prompts (tokenizer, call, error);
  if (prompts == NULL || !set_eos_ids (self, call, error))
    return NULL;
  prepare (self, call->adapters != NULL, tokenizer);
  generated = call->adapters != NULL
                  ? run_mixed (self, call, prompts, relay, cancellable, error)
                  : run_prompts (self, call, prompts, relay, cancellable, error);
  if (generated == NULL)
    return NULL;
  peft_generate_get_stats (self->generate, &self->stats);
  results = g_ptr_array_new_with_free_func ((GDestroyNotify) peft_generation_result_unref);
  for (guint i = 0; i < generated->len; i++)
    g_ptr_array_add (results, peft_generation_result_new (&g_array_index (prompts, PeftPrompt, i),
                                                          generated->pdata[i]));
  return results;
}

/* Takes call. */
static GPtrArray *
run_sync (PeftGenerator *self, Call *call, GCancellable *cancellable, GError **error)
{
  g_autoptr (Call) owned = call;
  g_autoptr (PeftRelay) relay = peft_relay_new_direct (self, emit_token, token_event_free);

  return peft_worker_run (peft_model_get_worker (self->model), _ ("generating"), self, call, relay,
                          generate_work, cancellable, error);
}

/* Takes call. */
static void
run_async (PeftGenerator *self, Call *call, gpointer tag, GCancellable *cancellable,
           GAsyncReadyCallback callback, gpointer user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, tag);
  g_task_set_task_data (task, call, call_free);
  peft_worker_run_async (peft_model_get_worker (self->model), _ ("generating"), task,
                         peft_relay_new (self, emit_token, token_event_free), generate_work,
                         (GDestroyNotify) g_ptr_array_unref);
}

/* Takes results (nullable). */
static PeftGenerationResult *
take_only (GPtrArray *results)
{
  PeftGenerationResult *result;

  if (results == NULL)
    return NULL;
  result = peft_generation_result_ref (results->pdata[0]);
  g_ptr_array_unref (results);
  return result;
}

static Call *
call_new_prompts (PeftGenerator *self, const char *const *prompts)
{
  Call *call = call_new (self);

  call->prompts = g_strdupv ((GStrv) prompts);
  return call;
}

static Call *
call_new_ids (PeftGenerator *self, const gint32 *ids, gsize n_ids)
{
  Call *call = call_new (self);

  call->ids = g_memdup2 (ids, n_ids * sizeof *ids);
  call->n_ids = n_ids;
  return call;
}

static Call *
call_new_chat (PeftGenerator *self, const char *messages)
{
  Call *call = call_new (self);

  call->messages = g_strdup (messages);
  return call;
}

/**
 * peft_generator_generate:
 * @self: a generator
 * @prompts: (array zero-terminated=1): texts, which are continued as they are
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Continues texts, several at once, in the calling thread.
 *
 * Returns: (transfer container) (element-type PeftGenerationResult): a result for each, in their order
 *
 * Since: 1.0
 */
GPtrArray *
peft_generator_generate (PeftGenerator *self, const char *const *prompts,
                         GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (PEFT_IS_GENERATOR (self), NULL);
  g_return_val_if_fail (prompts != NULL && prompts[0] != NULL, NULL);

  return run_sync (self, call_new_prompts (self, prompts), cancellable, error);
}

/**
 * peft_generator_generate_async:
 * @self: a generator
 * @prompts: (array zero-terminated=1): texts
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when it is done
 * @user_data: data for @callback
 *
 * Continues texts, on the model's thread.
 *
 * Since: 1.0
 */
void
peft_generator_generate_async (PeftGenerator *self, const char *const *prompts,
                               GCancellable *cancellable, GAsyncReadyCallback callback,
                               gpointer user_data)
{
  g_return_if_fail (PEFT_IS_GENERATOR (self));
  g_return_if_fail (prompts != NULL && prompts[0] != NULL);

  run_async (self, call_new_prompts (self, prompts), peft_generator_generate_async, cancellable,
             callback, user_data);
}

/**
 * peft_generator_generate_finish:
 * @self: a generator
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends [method@Generator.generate_async].
 *
 * Returns: (transfer container) (element-type PeftGenerationResult): a result for each prompt
 *
 * Since: 1.0
 */
GPtrArray *
peft_generator_generate_finish (PeftGenerator *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

static gboolean
check_mixed (const char *const *prompts, const char *const *adapters, GError **error)
{
  guint n_prompts = g_strv_length ((GStrv) prompts), n_adapters = g_strv_length ((GStrv) adapters);

  if (n_prompts == n_adapters)
    return TRUE;
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
               _ ("expected an adapter's name for each of %u prompts, found %u"), n_prompts,
               n_adapters);
  return FALSE;
}

static Call *
call_new_mixed (PeftGenerator *self, const char *const *prompts, const char *const *adapters)
{
  Call *call = call_new_prompts (self, prompts);

  call->adapters = g_strdupv ((GStrv) adapters);
  return call;
}

/**
 * peft_generator_generate_mixed:
 * @self: a generator
 * @prompts: (array zero-terminated=1): texts, which are continued as they are
 * @adapters: (array zero-terminated=1): a name for each text: of an adapter, or `__base__` for none
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Continues texts, several at once and every one with an adapter of its own, in the calling thread.
 *
 * What [method@Model.forward_mixed] says about adapters holds here, too.
 *
 * Returns: (transfer container) (element-type PeftGenerationResult): a result for each, in their order
 *
 * Since: 1.0
 */
GPtrArray *
peft_generator_generate_mixed (PeftGenerator *self, const char *const *prompts,
                               const char *const *adapters, GCancellable *cancellable,
                               GError **error)
{
  g_return_val_if_fail (PEFT_IS_GENERATOR (self), NULL);
  g_return_val_if_fail (prompts != NULL && prompts[0] != NULL && adapters != NULL, NULL);

  return check_mixed (prompts, adapters, error)
             ? run_sync (self, call_new_mixed (self, prompts, adapters), cancellable, error)
             : NULL;
}

/**
 * peft_generator_generate_mixed_async:
 * @self: a generator
 * @prompts: (array zero-terminated=1): texts
 * @adapters: (array zero-terminated=1): a name for each text: of an adapter, or `__base__` for none
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when it is done
 * @user_data: data for @callback
 *
 * Continues texts with an adapter each, on the model's thread.
 *
 * Since: 1.0
 */
void
peft_generator_generate_mixed_async (PeftGenerator *self, const char *const *prompts,
                                     const char *const *adapters, GCancellable *cancellable,
                                     GAsyncReadyCallback callback, gpointer user_data)
{
  GError *error = NULL;

  g_return_if_fail (PEFT_IS_GENERATOR (self));
  g_return_if_fail (prompts != NULL && prompts[0] != NULL && adapters != NULL);

  if (check_mixed (prompts, adapters, &error))
    run_async (self, call_new_mixed (self, prompts, adapters), peft_generator_generate_mixed_async,
               cancellable, callback, user_data);
  else
    g_task_report_error (self, callback, user_data, peft_generator_generate_mixed_async, error);
}

/**
 * peft_generator_generate_mixed_finish:
 * @self: a generator
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends [method@Generator.generate_mixed_async].
 *
 * Returns: (transfer container) (element-type PeftGenerationResult): a result for each prompt
 *
 * Since: 1.0
 */
GPtrArray *
peft_generator_generate_mixed_finish (PeftGenerator *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * peft_generator_generate_ids:
 * @self: a generator
 * @ids: (array length=n_ids): token ids
 * @n_ids: the number of ids, at least 1
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Continues token ids, in the calling thread; no tokenizer is needed.
 *
 * Returns: (transfer full): the result
 *
 * Since: 1.0
 */
PeftGenerationResult *
peft_generator_generate_ids (PeftGenerator *self, const gint32 *ids, gsize n_ids,
                             GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (PEFT_IS_GENERATOR (self), NULL);
  g_return_val_if_fail (ids != NULL && n_ids > 0, NULL);

  return take_only (run_sync (self, call_new_ids (self, ids, n_ids), cancellable, error));
}

/**
 * peft_generator_generate_ids_async:
 * @self: a generator
 * @ids: (array length=n_ids): token ids
 * @n_ids: the number of ids, at least 1
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when it is done
 * @user_data: data for @callback
 *
 * Continues token ids, on the model's thread.
 *
 * Since: 1.0
 */
void
peft_generator_generate_ids_async (PeftGenerator *self, const gint32 *ids, gsize n_ids,
                                   GCancellable *cancellable, GAsyncReadyCallback callback,
                                   gpointer user_data)
{
  g_return_if_fail (PEFT_IS_GENERATOR (self));
  g_return_if_fail (ids != NULL && n_ids > 0);

  run_async (self, call_new_ids (self, ids, n_ids), peft_generator_generate_ids_async,
             cancellable, callback, user_data);
}

/**
 * peft_generator_generate_ids_finish:
 * @self: a generator
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends [method@Generator.generate_ids_async].
 *
 * Returns: (transfer full): the result
 *
 * Since: 1.0
 */
PeftGenerationResult *
peft_generator_generate_ids_finish (PeftGenerator *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return take_only (g_task_propagate_pointer (G_TASK (result), error));
}

/**
 * peft_generator_generate_chat:
 * @self: a generator
 * @messages: a JSON list of messages, each with `role` and `content`
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Writes the next answer of a conversation, in the calling thread.
 *
 * The model's tokenizer must have a chat template.
 *
 * Returns: (transfer full): the result
 *
 * Since: 1.0
 */
PeftGenerationResult *
peft_generator_generate_chat (PeftGenerator *self, const char *messages,
                              GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (PEFT_IS_GENERATOR (self), NULL);
  g_return_val_if_fail (messages != NULL, NULL);

  return take_only (run_sync (self, call_new_chat (self, messages), cancellable, error));
}

/**
 * peft_generator_generate_chat_async:
 * @self: a generator
 * @messages: a JSON list of messages
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when it is done
 * @user_data: data for @callback
 *
 * Writes the next answer of a conversation, on the model's thread.
 *
 * Since: 1.0
 */
void
peft_generator_generate_chat_async (PeftGenerator *self, const char *messages,
                                    GCancellable *cancellable, GAsyncReadyCallback callback,
                                    gpointer user_data)
{
  g_return_if_fail (PEFT_IS_GENERATOR (self));
  g_return_if_fail (messages != NULL);

  run_async (self, call_new_chat (self, messages), peft_generator_generate_chat_async,
             cancellable, callback, user_data);
}

/**
 * peft_generator_generate_chat_finish:
 * @self: a generator
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends [method@Generator.generate_chat_async].
 *
 * Returns: (transfer full): the result
 *
 * Since: 1.0
 */
PeftGenerationResult *
peft_generator_generate_chat_finish (PeftGenerator *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return take_only (g_task_propagate_pointer (G_TASK (result), error));
}
