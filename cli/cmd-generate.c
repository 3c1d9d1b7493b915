/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "cli-properties.h"
#include "commands.h"

typedef struct
{
  char *model, *prompt, *chat, *prompts, *system;
  char **adapters;
  gboolean as_chat, json, stream, no_special, generation_config;
} GenerateArguments;

static void
generate_arguments_clear (GenerateArguments *self)
{
  g_free (self->model);
  g_free (self->prompt);
  g_free (self->chat);
  g_free (self->prompts);
  g_free (self->system);
  g_strfreev (self->adapters);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (GenerateArguments, generate_arguments_clear)

/* What a line of a file of prompts holds. */
typedef struct
{
  GPtrArray *texts;   /* char *; ended by a NULL when all are there */
  GPtrArray *folders; /* char *, NULL: no adapter */
  gboolean mixed;     /* some line says which adapter it wants */
} Prompts;

static void
prompts_clear (Prompts *self)
{
  g_clear_pointer (&self->texts, g_ptr_array_unref);
  g_clear_pointer (&self->folders, g_ptr_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Prompts, prompts_clear)

static void
add_prompt (Prompts *self, const char *text, const char *folder)
{
  g_ptr_array_add (self->texts, g_strdup (text));
  g_ptr_array_add (self->folders, g_strdup (folder));
}

/* Text as it is, a JSON string, which may hold line feeds, or an object with "prompt" and perhaps "adapter". */
static gboolean
read_line (Prompts *self, const char *line, GError **error)
{
  g_autoptr (GVariant) value = strchr ("\"{", *line) != NULL ? peft_variant_new_from_json (line, NULL) : NULL;
  g_autoptr (GVariant) adapter = NULL;
  const char *text;

  if (value != NULL && g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
    {
      add_prompt (self, g_variant_get_string (value, NULL), NULL);
      return TRUE;
    }
  if (value == NULL || !g_variant_is_of_type (value, G_VARIANT_TYPE_VARDICT) || !g_variant_lookup (value, "prompt", "&s", &text))
    {
      add_prompt (self, line, NULL);
      return TRUE;
    }
  adapter = g_variant_lookup_value (value, "adapter", NULL);
  if (adapter != NULL)
    self->mixed = TRUE;
  if (adapter != NULL && g_variant_is_of_type (adapter, G_VARIANT_TYPE_STRING))
    {
      add_prompt (self, text, g_variant_get_string (adapter, NULL));
      return TRUE;
    }
  if (adapter != NULL && !g_variant_is_of_type (adapter, G_VARIANT_TYPE ("mv")))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA, _ ("adapter: expected a folder or null, found the type %s"),
                   g_variant_get_type_string (adapter));
      return FALSE;
    }
  add_prompt (self, text, NULL);
  return TRUE;
}

static gboolean
read_prompts (Prompts *self, const char *path, GError **error)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;

  if (!g_file_get_contents (path, &text, NULL, error))
    return FALSE;
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_strchomp (lines[i]);
      if (*lines[i] != '\0' && !read_line (self, lines[i], error))
        {
          g_prefix_error (error, _ ("%s: line %u: "), path, i + 1);
          return FALSE;
        }
    }
  if (self->texts->len > 0)
    return TRUE;
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA, _ ("%s: no prompt in the file"), path);
  return FALSE;
}

static gboolean
collect_prompts (const GenerateArguments *arguments, Prompts *out, GError **error)
{
  out->texts = g_ptr_array_new_with_free_func (g_free);
  out->folders = g_ptr_array_new_with_free_func (g_free);
  if (arguments->prompts != NULL && !read_prompts (out, arguments->prompts, error))
    return FALSE;
  if (arguments->prompt != NULL)
    add_prompt (out, arguments->prompt, NULL);
  g_ptr_array_add (out->texts, NULL);
  return TRUE;
}

/* ---- Adapters ------------------------------------------------------------------------------ */

/* The model with all adapters, none of which is chosen yet; each counts as --adapter says. */
static PeftModel *
open_mixed (const GenerateArguments *arguments, const CliCommon *common, GCancellable *cancellable, GError **error)
{
  g_autoptr (GArray) weights = NULL;
  g_autoptr (PeftModel) model
      = cli_load_model (common, arguments->model, arguments->adapters, &weights, cancellable, error);
  g_auto (GStrv) names = model != NULL ? peft_model_get_adapter_names (model) : NULL;

  for (guint i = 0; model != NULL && i < weights->len; i++)
    if (!peft_model_set_adapter_scale (model, names[i], g_array_index (weights, double, i), error))
      return NULL;
  return g_steal_pointer (&model);
}

/* The adapters' names for the lines of a file. */
static GStrv
name_adapters (PeftModel *model, const GenerateArguments *arguments, const Prompts *prompts, GError **error)
{
  g_auto (GStrv) names = peft_model_get_adapter_names (model);
  g_autoptr (GStrvBuilder) found = g_strv_builder_new ();

  for (guint i = 0; i < prompts->folders->len; i++)
    {
      const char *folder = prompts->folders->pdata[i], *name = folder == NULL ? "__base__" : NULL;

      for (guint j = 0; name == NULL && arguments->adapters != NULL && arguments->adapters[j] != NULL; j++)
        {
          double weight;
          g_autofree char *given = cli_split_weight (arguments->adapters[j], &weight, error);

          if (given == NULL)
            return NULL;
          if (g_str_equal (given, folder))
            name = names[j];
        }
      if (name == NULL)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                       _ ("%s: prompt %u: the adapter “%s” was not given with --adapter"), arguments->prompts, i + 1, folder);
          return NULL;
        }
      g_strv_builder_add (found, name);
    }
  return g_strv_builder_end (found);
}

/* ---- Results ------------------------------------------------------------------------------- */

/* [{"role": "user", "content": …}] as JSON. */
static char *
make_messages (const char *user, GError **error)
{
  g_auto (GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("av"));
  GVariantDict dict;
  g_autoptr (GVariant) list = NULL;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "role", "s", "user");
  g_variant_dict_insert (&dict, "content", "s", user);
  g_variant_builder_add (&builder, "v", g_variant_dict_end (&dict));
  list = g_variant_ref_sink (g_variant_builder_end (&builder));
  return peft_variant_to_json (list, FALSE, error);
}

static void
on_token (PeftGenerator *generator, guint prompt, int id, const char *text, gpointer data)
{
  fputs (text, stdout);
  fflush (stdout);
}

static void
print_result (const GenerateArguments *arguments, const char *prompt, gboolean several,
              PeftGenerationResult *result)
{
  if (arguments->json)
    {
      g_autofree char *json = peft_generation_result_to_json (result);
      g_print ("%s\n", json);
    }
  else if (arguments->stream)
    {
      g_print ("\n");
    }
  else if (several)
    {
      g_autofree char *answer = g_strstrip (g_strdup (peft_generation_result_get_text (result)));
      g_print ("> %s\n%s\n", prompt, answer);
    }
  else
    {
      g_print ("%s\n", peft_generation_result_get_text (result));
    }
}

static gboolean
choose_adapter (PeftModel *model, const char *name, GError **error)
{
  const char *const names[] = { g_str_equal (name, "__base__") ? NULL : name, NULL };

  return peft_model_set_active (model, names, NULL, 0, error);
}

/* One conversation a prompt, each rendered by the chat template. names: an adapter for each, NULL: as they are. */
static gboolean
answer_chats (PeftGenerator *generator, const GenerateArguments *arguments, char **prompts, char **names,
              GCancellable *cancellable, GError **error)
{
  for (guint i = 0; prompts[i] != NULL; i++)
    {
      g_autofree char *messages = make_messages (prompts[i], error);
      g_autoptr (PeftGenerationResult) result = NULL;

      if (messages == NULL || (names != NULL && !choose_adapter (peft_generator_get_model (generator), names[i], error)))
        return FALSE;
      if (arguments->stream && prompts[1] != NULL && !arguments->json)
        g_print ("> %s\n", prompts[i]);
      result = peft_generator_generate_chat (generator, messages, cancellable, error);
      if (result == NULL)
        return FALSE;
      print_result (arguments, prompts[i], prompts[1] != NULL, result);
    }
  return TRUE;
}

static gboolean
continue_texts (PeftGenerator *generator, const GenerateArguments *arguments, char **prompts, char **names,
                GCancellable *cancellable, GError **error)
{
  g_autoptr (GPtrArray) results = NULL;

  if (names != NULL)
    results = peft_generator_generate_mixed (generator, (const char *const *) prompts, (const char *const *) names,
                                             cancellable, error);
  else
    results = peft_generator_generate (generator, (const char *const *) prompts, cancellable, error);
  if (results == NULL)
    return FALSE;
  for (guint i = 0; i < results->len; i++)
    print_result (arguments, prompts[i], results->len > 1, g_ptr_array_index (results, i));
  return TRUE;
}

static gboolean
answer_file (PeftGenerator *generator, const GenerateArguments *arguments,
             GCancellable *cancellable, GError **error)
{
  g_autofree char *messages = NULL;
  g_autoptr (PeftGenerationResult) result = NULL;

  if (!g_file_get_contents (arguments->chat, &messages, NULL, error))
    return FALSE;
  result = peft_generator_generate_chat (generator, messages, cancellable, error);
  if (result == NULL)
    {
      g_prefix_error (error, "%s: ", arguments->chat);
      return FALSE;
    }
  print_result (arguments, "", FALSE, result);
  return TRUE;
}

static gboolean
generate (PeftGenerator *generator, const GenerateArguments *arguments, const Prompts *prompts,
          GCancellable *cancellable, GError **error)
{
  char **texts = (char **) prompts->texts->pdata;
  g_auto (GStrv) names = NULL;

  if (arguments->chat != NULL)
    return answer_file (generator, arguments, cancellable, error);
  if (prompts->mixed && (names = name_adapters (peft_generator_get_model (generator), arguments, prompts, error)) == NULL)
    return FALSE;
  return arguments->as_chat || arguments->system != NULL
             ? answer_chats (generator, arguments, texts, names, cancellable, error)
             : continue_texts (generator, arguments, texts, names, cancellable, error);
}

CliStatus
cmd_generate (int argc, char **argv, GCancellable *cancellable)
{
  static const char *const skipped[] = { "seed", "model", "add-special", "system", NULL };
  g_auto (CliCommon) common = { 0 };
  g_auto (GenerateArguments) arguments = { 0 };
  g_auto (Prompts) prompts = { 0 };
  g_autoptr (CliProperties) properties = cli_properties_new (PEFT_TYPE_GENERATOR, skipped, NULL);
  const GOptionEntry entries[] = {
    { "model", 0, 0, G_OPTION_ARG_STRING, &arguments.model, N_ ("base model"), N_ ("MODEL") },
    { "adapter", 0, 0, G_OPTION_ARG_STRING_ARRAY, &arguments.adapters, N_ ("adapter folder"), N_ ("DIR[=WEIGHT]") },
    { "prompt", 0, 0, G_OPTION_ARG_STRING, &arguments.prompt, N_ ("text to continue"), N_ ("TEXT") },
    { "chat", 0, 0, G_OPTION_ARG_FILENAME, &arguments.chat, N_ ("JSON file of messages to answer"), N_ ("FILE") },
    { "prompts", 0, 0, G_OPTION_ARG_FILENAME, &arguments.prompts, N_ ("file with a prompt a line, or {\"prompt\": TEXT, \"adapter\": DIR}"), N_ ("FILE") },
    { "system", 0, 0, G_OPTION_ARG_STRING, &arguments.system, N_ ("system message; prompts become user messages"), N_ ("TEXT") },
    { "as-chat", 0, 0, G_OPTION_ARG_NONE, &arguments.as_chat, N_ ("prompts are messages of a user, rendered by the chat template"), NULL },
    { "no-special", 0, 0, G_OPTION_ARG_NONE, &arguments.no_special, N_ ("add no special tokens to prompts"), NULL },
    { "generation-config", 0, 0, G_OPTION_ARG_NONE, &arguments.generation_config, N_ ("sampling settings of the model's generation_config.json"), NULL },
    { "json", 0, 0, G_OPTION_ARG_NONE, &arguments.json, N_ ("print a JSON object a prompt"), NULL },
    { "stream", 0, 0, G_OPTION_ARG_NONE, &arguments.stream, N_ ("print text as it comes"), NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (PeftModel) model = NULL;
  g_autoptr (PeftGenerator) generator = NULL;
  g_autoptr (GError) error = NULL;

  cli_common_init (&common);
  if (!cli_parse ("generate", cli_properties_get_entries (properties, entries), &common, 0, &argc, &argv))
    return CLI_USAGE;
  if (arguments.model == NULL
      || (arguments.prompt != NULL) + (arguments.chat != NULL) + (arguments.prompts != NULL) != 1)
    return cli_usage ("generate", _ ("--model and one of --prompt, --chat and --prompts are needed"));
  if (arguments.stream && arguments.prompts != NULL && !arguments.as_chat && arguments.system == NULL)
    return cli_usage ("generate", _ ("--stream goes with one prompt at a time"));
  /* Options are checked before anything large is read. */
  generator = g_object_new (PEFT_TYPE_GENERATOR, NULL);
  if (!cli_properties_apply (properties, G_OBJECT (generator), &error))
    return cli_usage ("generate", "%s", error->message);
  g_clear_object (&generator);
  if (!collect_prompts (&arguments, &prompts, &error))
    return cli_fail (error);
  model = prompts.mixed ? open_mixed (&arguments, &common, cancellable, &error)
                        : cli_open_model (&common, arguments.model, arguments.adapters, cancellable, &error);
  if (model == NULL)
    return cli_fail (error);
  generator = peft_generator_new (model);
  g_object_set (generator, "seed", (guint64) common.seed, "system", arguments.system, "add-special",
                !arguments.no_special, NULL);
  if (arguments.generation_config && !peft_generator_apply_generation_config (generator, &error))
    return cli_fail (error);
  if (!cli_properties_apply (properties, G_OBJECT (generator), &error))
    return cli_usage ("generate", "%s", error->message);
  if (arguments.stream && !arguments.json)
    g_signal_connect (generator, "token", G_CALLBACK (on_token), NULL);
  if (!generate (generator, &arguments, &prompts, cancellable, &error))
    return cli_fail (error);
  return CLI_DONE;
}
