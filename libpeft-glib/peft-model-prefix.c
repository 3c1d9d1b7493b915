/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>

#include "peft-model-private.h"
#include "train/peft-prefix-fill.h"

/* A prefix that starts as a text. */

typedef struct
{
  char *name, *text;
  gboolean as_system;
} PrefixData;

static void
prefix_data_free (gpointer data)
{
  PrefixData *self = data;

  g_free (self->name);
  g_free (self->text);
  g_free (self);
}

/* What a conversation begins with whose system says the text. */
static char *
render_system (PeftTokenizer *tokenizer, const char *text, GError **error)
{
  g_autoptr (PeftJson) messages = peft_json_new_array ();
  g_autofree char *json = NULL;
  PeftJson *message = peft_json_new_object ();

  peft_json_set (message, "role", peft_json_new_string ("system"));
  peft_json_set (message, "content", peft_json_new_string (text));
  peft_json_append (messages, message);
  json = peft_json_to_string (messages, PEFT_JSON_WRITE_COMPACT);
  return peft_tokenizer_apply_chat_template (tokenizer, json, FALSE, error);
}

static gint32 *
encode (PeftBaseModel *base, const PrefixData *data, gsize *n_ids, GError **error)
{
  PeftTokenizer *tokenizer = peft_base_model_get_tokenizer (base, error);
  g_autofree char *rendered = NULL;

  if (tokenizer == NULL)
    return NULL;
  if (!data->as_system || !peft_tokenizer_has_chat_template (tokenizer))
    return peft_tokenizer_encode (tokenizer, data->text, TRUE, n_ids, error);
  rendered = render_system (tokenizer, data->text, error);
  /* The template writes the special tokens itself. */
  return rendered != NULL ? peft_tokenizer_encode (tokenizer, rendered, FALSE, n_ids, error) : NULL;
}

static gpointer
prefix_work (gpointer source, gpointer data, PeftRelay *relay, GCancellable *cancellable,
             GError **error)
{
  PeftModel *self = source;
  const PrefixData *prefix = data;
  g_autoptr (PeftAdapter) adapter = NULL;
  g_autofree gint32 *ids = NULL;
  gsize n_ids = 0;
  PeftModelEntry *entry;

  g_mutex_lock (&self->mutex);
  entry = peft_model_find_entry (self, prefix->name);
  if (entry != NULL)
    adapter = peft_adapter_ref (entry->adapter);
  g_mutex_unlock (&self->mutex);
  if (adapter == NULL)
    peft_model_set_no_adapter (prefix->name, error);
  if (adapter == NULL || (ids = encode (self->base, prefix, &n_ids, error)) == NULL
      || !peft_prefix_fill (adapter, ids, n_ids, cancellable, error))
    return NULL;
  peft_model_bump_serial (self);
  return self;
}

/**
 * peft_model_init_prefix_from_text:
 * @self: a model
 * @name: the name of an adapter of the method PREFIX_TUNING without projection
 * @text: the text, of at least as many tokens as the prefix has
 * @as_system: whether the text stands as the system's message of a conversation, where the tokenizer has a chat template
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Lets a prefix start as the beginning of a text.
 *
 * The prefix gets the keys and values that the base model computes for the first tokens of the text, so that before any training the model
 * behaves as if it had read them. That learns much faster than random numbers. The Python library peft calls it
 * `initialize_kv_prefix_from_text`.
 *
 * Returns: whether it was done
 *
 * Since: 1.0
 */
gboolean
peft_model_init_prefix_from_text (PeftModel *self, const char *name, const char *text,
                                  gboolean as_system, GCancellable *cancellable, GError **error)
{
  PrefixData data = { (char *) name, (char *) text, as_system };

  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);
  g_return_val_if_fail (name != NULL && text != NULL, FALSE);

  return peft_worker_run (peft_model_get_worker (self), _ ("filling a prefix"), self, &data, NULL,
                          prefix_work, cancellable, error)
         != NULL;
}

/**
 * peft_model_init_prefix_from_text_async:
 * @self: a model
 * @name: the name of an adapter of the method PREFIX_TUNING without projection
 * @text: the text
 * @as_system: whether the text stands as the system's message of a conversation
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when it is done
 * @user_data: data for @callback
 *
 * Lets a prefix start as the beginning of a text, on the model's thread.
 *
 * Since: 1.0
 */
void
peft_model_init_prefix_from_text_async (PeftModel *self, const char *name, const char *text,
                                        gboolean as_system, GCancellable *cancellable,
                                        GAsyncReadyCallback callback, gpointer user_data)
{
  PrefixData *data;
  GTask *task;

  g_return_if_fail (PEFT_IS_MODEL (self));
  g_return_if_fail (name != NULL && text != NULL);

  data = g_new0 (PrefixData, 1);
  data->name = g_strdup (name);
  data->text = g_strdup (text);
  data->as_system = as_system;
  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, peft_model_init_prefix_from_text_async);
  g_task_set_task_data (task, data, prefix_data_free);
  peft_worker_run_async (peft_model_get_worker (self), _ ("filling a prefix"), task, NULL,
                         prefix_work, NULL);
}

/**
 * peft_model_init_prefix_from_text_finish:
 * @self: a model
 * @result: what the callback got
 * @error: return location for an error
 *
 * Finishes [method@Model.init_prefix_from_text_async].
 *
 * Returns: whether it was done
 *
 * Since: 1.0
 */
gboolean
peft_model_init_prefix_from_text_finish (PeftModel *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (PEFT_IS_MODEL (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_pointer (G_TASK (result), error) != NULL;
}
