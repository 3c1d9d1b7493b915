/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-tokenizer.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"
#include "base/peft-json.h"
#include "hub/peft-hub-cache.h"
#include "peft-tokenizer-private.h"
#include "text/peft-chat-variables.h"

/**
 * PeftTokenizer:
 *
 * Turns text into the token ids of a model, and back.
 *
 * Ids are those of the Python libraries tokenizers and transformers. Instances never change, so that any
 * thread may use them.
 *
 * Since: 1.0
 */
struct _PeftTokenizer
{
  GObject parent_instance;

  PeftTokenizerCore *core;
  GMutex mutex;
  PeftTemplate *template; /* parsed when it is first wanted; under mutex */
};

G_DEFINE_FINAL_TYPE (PeftTokenizer, peft_tokenizer, G_TYPE_OBJECT)

enum
{
  PROP_0,
  PROP_VOCAB_SIZE,
  PROP_BOS_ID,
  PROP_EOS_ID,
  PROP_PAD_ID,
  PROP_UNK_ID,
  PROP_CHAT_TEMPLATE,
  N_PROPS
};
static GParamSpec *props[N_PROPS];

static void
peft_tokenizer_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  PeftTokenizer *self = PEFT_TOKENIZER (object);

  switch (id)
    {
    case PROP_VOCAB_SIZE:
      g_value_set_uint (value, peft_tokenizer_get_vocab_size (self));
      break;
    case PROP_BOS_ID:
      g_value_set_int (value, peft_tokenizer_get_bos_id (self));
      break;
    case PROP_EOS_ID:
      g_value_set_int (value, peft_tokenizer_get_eos_id (self));
      break;
    case PROP_PAD_ID:
      g_value_set_int (value, peft_tokenizer_get_pad_id (self));
      break;
    case PROP_UNK_ID:
      g_value_set_int (value, peft_tokenizer_get_unk_id (self));
      break;
    case PROP_CHAT_TEMPLATE:
      g_value_set_string (value, peft_tokenizer_get_chat_template (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
peft_tokenizer_finalize (GObject *object)
{
  PeftTokenizer *self = PEFT_TOKENIZER (object);

  g_clear_pointer (&self->template, peft_template_unref);
  g_clear_pointer (&self->core, peft_tokenizer_core_unref);
  g_mutex_clear (&self->mutex);
  G_OBJECT_CLASS (peft_tokenizer_parent_class)->finalize (object);
}

static void
peft_tokenizer_class_init (PeftTokenizerClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;

  object_class->get_property = peft_tokenizer_get_property;
  object_class->finalize = peft_tokenizer_finalize;

  /**
   * PeftTokenizer:vocab-size:
   *
   * Number of different tokens, added ones included.
   *
   * Since: 1.0
   */
  props[PROP_VOCAB_SIZE]
      = g_param_spec_uint ("vocab-size", NULL, NULL, 0, G_MAXUINT, 0, flags);
  /**
   * PeftTokenizer:bos-id:
   *
   * The id that begins a text; -1: none.
   *
   * Since: 1.0
   */
  props[PROP_BOS_ID] = g_param_spec_int ("bos-id", NULL, NULL, -1, G_MAXINT, -1, flags);
  /**
   * PeftTokenizer:eos-id:
   *
   * The id that ends a text; -1: none.
   *
   * Since: 1.0
   */
  props[PROP_EOS_ID] = g_param_spec_int ("eos-id", NULL, NULL, -1, G_MAXINT, -1, flags);
  /**
   * PeftTokenizer:pad-id:
   *
   * The id that fills rows up; -1: none.
   *
   * Since: 1.0
   */
  props[PROP_PAD_ID] = g_param_spec_int ("pad-id", NULL, NULL, -1, G_MAXINT, -1, flags);
  /**
   * PeftTokenizer:unk-id:
   *
   * The id of what has no other id; -1: none.
   *
   * Since: 1.0
   */
  props[PROP_UNK_ID] = g_param_spec_int ("unk-id", NULL, NULL, -1, G_MAXINT, -1, flags);
  /**
   * PeftTokenizer:chat-template:
   *
   * The Jinja template of conversations.
   *
   * Since: 1.0
   */
  props[PROP_CHAT_TEMPLATE] = g_param_spec_string ("chat-template", NULL, NULL, NULL, flags);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
peft_tokenizer_init (PeftTokenizer *self)
{
  g_mutex_init (&self->mutex);
}

PeftTokenizerCore *
peft_tokenizer_get_core (PeftTokenizer *self)
{
  return self->core;
}

gboolean
peft_tokenizer_get_template (PeftTokenizer *self, PeftTemplate **out, GError **error)
{
  const char *source = peft_tokenizer_core_get_chat_template (self->core, NULL);
  gboolean ok;

  *out = NULL;
  if (source == NULL)
    return TRUE;
  g_mutex_lock (&self->mutex);
  if (self->template == NULL)
    self->template = peft_template_parse (source, "chat_template", error);
  *out = self->template;
  ok = self->template != NULL;
  g_mutex_unlock (&self->mutex);
  return ok;
}

PeftTokenizer *
peft_tokenizer_load_path (const char *path, const PeftGguf *gguf, GError **error)
{
  g_autoptr (PeftTokenizerCore) core = NULL;
  PeftTokenizer *self;

  if (gguf != NULL)
    core = peft_tokenizer_core_new_from_gguf (gguf, error);
  else if (g_file_test (path, G_FILE_TEST_IS_DIR))
    core = peft_tokenizer_core_load (path, error);
  else
    {
      g_autoptr (PeftGguf) file = peft_gguf_open (path, error);

      if (file != NULL)
        core = peft_tokenizer_core_new_from_gguf (file, error);
    }
  if (core == NULL)
    return NULL;
  self = g_object_new (PEFT_TYPE_TOKENIZER, NULL);
  self->core = g_steal_pointer (&core);
  return self;
}

/**
 * peft_tokenizer_load:
 * @model: a folder with `tokenizer.json`, a GGUF file, or a Hub id `org/name[@revision]` that is in the
 *   Hugging Face cache
 * @error: return location for an error
 *
 * Loads the tokenizer of a model.
 *
 * Returns: (transfer full): the tokenizer
 *
 * Since: 1.0
 */
PeftTokenizer *
peft_tokenizer_load (const char *model, GError **error)
{
  g_autofree char *path = NULL;

  g_return_val_if_fail (model != NULL, NULL);

  path = peft_hub_resolve (model, error);
  return path != NULL ? peft_tokenizer_load_path (path, NULL, error) : NULL;
}

static gint32 *
encode (PeftTokenizer *self, const char *text, gssize length, gboolean add_special, gsize *n_ids,
        GError **error)
{
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));

  *n_ids = 0;
  if (!peft_tokenizer_core_encode (self->core, text, length, add_special, ids, NULL, error))
    return NULL;
  *n_ids = ids->len;
  /* The result of an empty text is no error, so it is no NULL either. */
  g_array_set_size (ids, MAX (ids->len, 1));
  return (gint32 *) (gpointer) g_array_free (g_steal_pointer (&ids), FALSE);
}

/**
 * peft_tokenizer_encode:
 * @self: a tokenizer
 * @text: UTF-8 text
 * @add_special: whether the tokens that the model expects around a text are added
 * @n_ids: (out): the number of ids
 * @error: return location for an error
 *
 * Turns text into ids.
 *
 * Returns: (array length=n_ids) (transfer full): the ids; free with g_free()
 *
 * Since: 1.0
 */
gint32 *
peft_tokenizer_encode (PeftTokenizer *self, const char *text, gboolean add_special, gsize *n_ids,
                       GError **error)
{
  g_return_val_if_fail (PEFT_IS_TOKENIZER (self), NULL);
  g_return_val_if_fail (text != NULL && n_ids != NULL, NULL);

  return encode (self, text, -1, add_special, n_ids, error);
}

/**
 * peft_tokenizer_encode_bytes:
 * @self: a tokenizer
 * @text: UTF-8 text, which may hold NUL characters
 * @add_special: whether the tokens that the model expects around a text are added
 * @n_ids: (out): the number of ids
 * @error: return location for an error
 *
 * Turns text of known length into ids.
 *
 * Returns: (array length=n_ids) (transfer full): the ids; free with g_free()
 *
 * Since: 1.0
 */
gint32 *
peft_tokenizer_encode_bytes (PeftTokenizer *self, GBytes *text, gboolean add_special, gsize *n_ids,
                             GError **error)
{
  gsize length;
  const char *data;

  g_return_val_if_fail (PEFT_IS_TOKENIZER (self), NULL);
  g_return_val_if_fail (text != NULL && n_ids != NULL, NULL);

  data = g_bytes_get_data (text, &length);
  return encode (self, data != NULL ? data : "", (gssize) length, add_special, n_ids, error);
}

/**
 * peft_tokenizer_decode:
 * @self: a tokenizer
 * @ids: (array length=n_ids): token ids
 * @n_ids: the number of ids
 * @skip_special: whether special tokens are left out
 * @error: return location for an error
 *
 * Turns ids into text.
 *
 * Ids that are not in the vocabulary are left out; bytes that are no UTF-8 become U+FFFD. The text ends
 * at the first NUL character; see [method@Tokenizer.decode_bytes].
 *
 * Returns: (transfer full): the text
 *
 * Since: 1.0
 */
char *
peft_tokenizer_decode (PeftTokenizer *self, const gint32 *ids, gsize n_ids, gboolean skip_special,
                       GError **error)
{
  g_return_val_if_fail (PEFT_IS_TOKENIZER (self), NULL);
  g_return_val_if_fail (ids != NULL || n_ids == 0, NULL);

  return peft_tokenizer_core_decode (self->core, ids, n_ids, skip_special, NULL, error);
}

/**
 * peft_tokenizer_decode_bytes:
 * @self: a tokenizer
 * @ids: (array length=n_ids): token ids
 * @n_ids: the number of ids
 * @skip_special: whether special tokens are left out
 * @error: return location for an error
 *
 * Turns ids into text that may hold NUL characters.
 *
 * Returns: (transfer full): the text in UTF-8
 *
 * Since: 1.0
 */
GBytes *
peft_tokenizer_decode_bytes (PeftTokenizer *self, const gint32 *ids, gsize n_ids,
                             gboolean skip_special, GError **error)
{
  gsize length = 0;
  char *text;

  g_return_val_if_fail (PEFT_IS_TOKENIZER (self), NULL);
  g_return_val_if_fail (ids != NULL || n_ids == 0, NULL);

  text = peft_tokenizer_core_decode (self->core, ids, n_ids, skip_special, &length, error);
  return text != NULL ? g_bytes_new_take (text, length) : NULL;
}

/**
 * peft_tokenizer_encode_json:
 * @self: a tokenizer
 * @json: a JSON string
 * @add_special: whether the tokens that the model expects around a text are added
 * @error: return location for an error
 *
 * Turns a text given as a JSON string into a JSON list of ids.
 *
 * Returns: (transfer full): the list
 *
 * Since: 1.0
 */
char *
peft_tokenizer_encode_json (PeftTokenizer *self, const char *json, gboolean add_special,
                            GError **error)
{
  g_autoptr (PeftJson) text = NULL;
  g_autoptr (PeftJson) list = NULL;
  g_autofree gint32 *ids = NULL;
  gsize n_ids;

  g_return_val_if_fail (PEFT_IS_TOKENIZER (self), NULL);
  g_return_val_if_fail (json != NULL, NULL);

  text = peft_json_parse (json, -1, PEFT_JSON_PARSE_DEFAULT, error);
  if (text == NULL)
    return NULL;
  if (peft_json_get_kind (text) != PEFT_JSON_STRING)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA, _ ("expected a string, found %s"),
                   peft_json_get_kind_name (text));
      return NULL;
    }
  ids = encode (self, peft_json_get_string (text), (gssize) peft_json_get_string_length (text),
                add_special, &n_ids, error);
  if (ids == NULL)
    return NULL;
  list = peft_json_new_array ();
  for (gsize i = 0; i < n_ids; i++)
    peft_json_append (list, peft_json_new_int (ids[i]));
  return peft_json_to_string (list, PEFT_JSON_WRITE_COMPACT);
}

static GArray *
parse_ids (const char *json, GError **error)
{
  g_autoptr (PeftJson) list = peft_json_parse (json, -1, PEFT_JSON_PARSE_DEFAULT, error);
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));

  if (list == NULL)
    return NULL;
  if (peft_json_get_kind (list) != PEFT_JSON_ARRAY)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA, _ ("expected an array, found %s"),
                   peft_json_get_kind_name (list));
      return NULL;
    }
  for (gsize i = 0; i < peft_json_get_length (list); i++)
    {
      const PeftJson *item = peft_json_get_element (list, i);
      gint64 id = -1;
      gint32 value;

      if (!peft_json_is_number (item) || !peft_json_get_int (item, &id) || id < 0
          || id > G_MAXINT32)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                       _ ("item %zu: expected a token id, found %s"), i,
                       peft_json_get_kind_name (item));
          return NULL;
        }
      value = (gint32) id;
      g_array_append_val (ids, value);
    }
  return g_steal_pointer (&ids);
}

/**
 * peft_tokenizer_decode_json:
 * @self: a tokenizer
 * @json: a JSON list of ids
 * @skip_special: whether special tokens are left out
 * @error: return location for an error
 *
 * Turns a JSON list of ids into text as a JSON string.
 *
 * Returns: (transfer full): the string
 *
 * Since: 1.0
 */
char *
peft_tokenizer_decode_json (PeftTokenizer *self, const char *json, gboolean skip_special,
                            GError **error)
{
  g_autoptr (GArray) ids = NULL;
  g_autoptr (PeftJson) string = NULL;
  g_autofree char *text = NULL;
  gsize length = 0;

  g_return_val_if_fail (PEFT_IS_TOKENIZER (self), NULL);
  g_return_val_if_fail (json != NULL, NULL);

  ids = parse_ids (json, error);
  if (ids == NULL)
    return NULL;
  text = peft_tokenizer_core_decode (self->core, (const gint32 *) (gpointer) ids->data, ids->len,
                                     skip_special, &length, error);
  if (text == NULL)
    return NULL;
  string = peft_json_new_string_len (text, length);
  return peft_json_to_string (string, PEFT_JSON_WRITE_COMPACT);
}

/**
 * peft_tokenizer_token_to_id:
 * @self: a tokenizer
 * @token: a token as the vocabulary has it
 *
 * Looks a token up.
 *
 * Returns: its id; -1 when there is no such token
 *
 * Since: 1.0
 */
gint32
peft_tokenizer_token_to_id (PeftTokenizer *self, const char *token)
{
  g_return_val_if_fail (PEFT_IS_TOKENIZER (self), -1);
  g_return_val_if_fail (token != NULL, -1);

  return peft_tokenizer_core_token_to_id (self->core, token, -1);
}

/**
 * peft_tokenizer_id_to_token:
 * @self: a tokenizer
 * @id: a token id
 *
 * Gets a token as the vocabulary has it, which is not always its text.
 *
 * Returns: (transfer full) (nullable): the token; `NULL` when there is no such id
 *
 * Since: 1.0
 */
char *
peft_tokenizer_id_to_token (PeftTokenizer *self, gint32 id)
{
  g_return_val_if_fail (PEFT_IS_TOKENIZER (self), NULL);

  return peft_tokenizer_core_id_to_token (self->core, id);
}

/**
 * peft_tokenizer_is_special:
 * @self: a tokenizer
 * @id: a token id
 *
 * Tells whether an id is a special token: a mark, not text.
 *
 * Returns: `TRUE` if so
 *
 * Since: 1.0
 */
gboolean
peft_tokenizer_is_special (PeftTokenizer *self, gint32 id)
{
  g_return_val_if_fail (PEFT_IS_TOKENIZER (self), FALSE);

  return peft_tokenizer_core_is_special (self->core, id);
}

/**
 * peft_tokenizer_get_vocab_size:
 * @self: a tokenizer
 *
 * Gets the number of different tokens, added ones included.
 *
 * Returns: the number
 *
 * Since: 1.0
 */
guint
peft_tokenizer_get_vocab_size (PeftTokenizer *self)
{
  g_return_val_if_fail (PEFT_IS_TOKENIZER (self), 0);

  return (guint) peft_tokenizer_core_get_vocab_size (self->core);
}

/**
 * peft_tokenizer_get_max_id:
 * @self: a tokenizer
 *
 * Gets the largest id; ids may have holes.
 *
 * Returns: the id
 *
 * Since: 1.0
 */
gint32
peft_tokenizer_get_max_id (PeftTokenizer *self)
{
  g_return_val_if_fail (PEFT_IS_TOKENIZER (self), -1);

  return peft_tokenizer_core_get_max_id (self->core);
}

/**
 * peft_tokenizer_get_bos_id:
 * @self: a tokenizer
 *
 * Gets the id that begins a text.
 *
 * Returns: the id; -1: none
 *
 * Since: 1.0
 */
gint32
peft_tokenizer_get_bos_id (PeftTokenizer *self)
{
  g_return_val_if_fail (PEFT_IS_TOKENIZER (self), -1);

  return peft_tokenizer_core_get_special_id (self->core, PEFT_SPECIAL_BOS);
}

/**
 * peft_tokenizer_get_eos_id:
 * @self: a tokenizer
 *
 * Gets the id that ends a text.
 *
 * Returns: the id; -1: none
 *
 * Since: 1.0
 */
gint32
peft_tokenizer_get_eos_id (PeftTokenizer *self)
{
  g_return_val_if_fail (PEFT_IS_TOKENIZER (self), -1);

  return peft_tokenizer_core_get_special_id (self->core, PEFT_SPECIAL_EOS);
}

/**
 * peft_tokenizer_get_pad_id:
 * @self: a tokenizer
 *
 * Gets the id that fills rows up.
 *
 * Returns: the id; -1: none
 *
 * Since: 1.0
 */
gint32
peft_tokenizer_get_pad_id (PeftTokenizer *self)
{
  g_return_val_if_fail (PEFT_IS_TOKENIZER (self), -1);

  return peft_tokenizer_core_get_special_id (self->core, PEFT_SPECIAL_PAD);
}

/**
 * peft_tokenizer_get_unk_id:
 * @self: a tokenizer
 *
 * Gets the id of what has no other id.
 *
 * Returns: the id; -1: none
 *
 * Since: 1.0
 */
gint32
peft_tokenizer_get_unk_id (PeftTokenizer *self)
{
  g_return_val_if_fail (PEFT_IS_TOKENIZER (self), -1);

  return peft_tokenizer_core_get_special_id (self->core, PEFT_SPECIAL_UNK);
}

/**
 * peft_tokenizer_get_max_length:
 * @self: a tokenizer
 *
 * Gets the longest text, in tokens, that the tokenizer's files claim the model takes.
 *
 * Returns: the length; 0: they do not say
 *
 * Since: 1.0
 */
guint64
peft_tokenizer_get_max_length (PeftTokenizer *self)
{
  g_return_val_if_fail (PEFT_IS_TOKENIZER (self), 0);

  return peft_tokenizer_core_get_model_max_length (self->core);
}

/**
 * peft_tokenizer_get_chat_template:
 * @self: a tokenizer
 *
 * Gets the Jinja template of conversations.
 *
 * Returns: (nullable): the template's source; `NULL`: none
 *
 * Since: 1.0
 */
const char *
peft_tokenizer_get_chat_template (PeftTokenizer *self)
{
  g_return_val_if_fail (PEFT_IS_TOKENIZER (self), NULL);

  return peft_tokenizer_core_get_chat_template (self->core, NULL);
}

/**
 * peft_tokenizer_has_chat_template:
 * @self: a tokenizer
 *
 * Tells whether conversations can be rendered.
 *
 * Returns: `TRUE` if so
 *
 * Since: 1.0
 */
gboolean
peft_tokenizer_has_chat_template (PeftTokenizer *self)
{
  return peft_tokenizer_get_chat_template (self) != NULL;
}

/* Takes variables. */
static char *
render (PeftTokenizer *self, PeftJson *variables, gboolean add_generation_prompt, GError **error)
{
  g_autoptr (PeftJson) owned = variables;
  const PeftJson *messages = peft_json_get_member (variables, "messages");
  PeftTemplate *template;

  if (!peft_tokenizer_get_template (self, &template, error))
    return NULL;
  if (template == NULL)
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND,
                           _ ("the tokenizer has no chat template"));
      return NULL;
    }
  if (messages == NULL || peft_json_get_kind (messages) != PEFT_JSON_ARRAY)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   _ ("messages: expected an array, found %s"),
                   messages != NULL ? peft_json_get_kind_name (messages) : _ ("nothing"));
      return NULL;
    }
  peft_chat_variables_add_specials (variables, self->core);
  peft_json_set (variables, "add_generation_prompt",
                 peft_json_new_boolean (add_generation_prompt));
  return peft_template_render (template, variables, NULL, error);
}

/**
 * peft_tokenizer_apply_chat_template:
 * @self: a tokenizer
 * @messages: a JSON list of messages, each with `role` and `content`
 * @add_generation_prompt: whether the text ends where an answer begins
 * @error: return location for an error
 *
 * Renders a conversation as the text that the model was trained on.
 *
 * Encode it without special tokens: the template writes them. Fails with `PEFT_ERROR_NOT_FOUND` when the
 * tokenizer has no template, with `PEFT_ERROR_INVALID_DATA` when the template refuses the messages.
 *
 * Returns: (transfer full): the text
 *
 * Since: 1.0
 */
char *
peft_tokenizer_apply_chat_template (PeftTokenizer *self, const char *messages,
                                    gboolean add_generation_prompt, GError **error)
{
  g_autoptr (PeftJson) variables = NULL;
  PeftJson *list;

  g_return_val_if_fail (PEFT_IS_TOKENIZER (self), NULL);
  g_return_val_if_fail (messages != NULL, NULL);

  list = peft_json_parse (messages, -1, PEFT_JSON_PARSE_DEFAULT, error);
  if (list == NULL)
    {
      g_prefix_error (error, _ ("messages: "));
      return NULL;
    }
  variables = peft_json_new_object ();
  peft_json_set (variables, "messages", list);
  return render (self, g_steal_pointer (&variables), add_generation_prompt, error);
}

/**
 * peft_tokenizer_apply_chat_template_with:
 * @self: a tokenizer
 * @variables: a JSON object with `messages` and whatever else the template takes, such as `tools`
 * @add_generation_prompt: whether the text ends where an answer begins
 * @error: return location for an error
 *
 * Renders a conversation with further variables.
 *
 * Returns: (transfer full): the text
 *
 * Since: 1.0
 */
char *
peft_tokenizer_apply_chat_template_with (PeftTokenizer *self, const char *variables,
                                         gboolean add_generation_prompt, GError **error)
{
  g_autoptr (PeftJson) json = NULL;

  g_return_val_if_fail (PEFT_IS_TOKENIZER (self), NULL);
  g_return_val_if_fail (variables != NULL, NULL);

  json = peft_json_parse (variables, -1, PEFT_JSON_PARSE_DEFAULT, error);
  if (json == NULL)
    return NULL;
  if (peft_json_get_kind (json) != PEFT_JSON_OBJECT)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   _ ("template variables: expected an object, found %s"),
                   peft_json_get_kind_name (json));
      return NULL;
    }
  return render (self, g_steal_pointer (&json), add_generation_prompt, error);
}
