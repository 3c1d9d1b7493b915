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

/* One prompt a line; a line that is a JSON string may hold line feeds. */
static char **
read_prompts (const char *path, GError **error)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  g_autoptr (GPtrArray) prompts = g_ptr_array_new_with_free_func (g_free);

  if (!g_file_get_contents (path, &text, NULL, error))
    return NULL;
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_autoptr (GVariant) value = NULL;

      g_strchomp (lines[i]);
      if (*lines[i] == '\0')
        continue;
      if (*lines[i] == '"')
        value = peft_variant_new_from_json (lines[i], NULL);
      g_ptr_array_add (prompts, value != NULL && g_variant_is_of_type (value, G_VARIANT_TYPE_STRING)
                                    ? g_variant_dup_string (value, NULL)
                                    : g_strdup (lines[i]));
    }
  if (prompts->len == 0)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA, _ ("%s: no prompt in the file"), path);
      return NULL;
    }
  g_ptr_array_add (prompts, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&prompts), FALSE);
}

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

/* One conversation a prompt, each rendered by the chat template. */
static gboolean
answer_chats (PeftGenerator *generator, const GenerateArguments *arguments, char **prompts,
              GCancellable *cancellable, GError **error)
{
  for (guint i = 0; prompts[i] != NULL; i++)
    {
      g_autofree char *messages = make_messages (prompts[i], error);
      g_autoptr (PeftGenerationResult) result = NULL;

      if (messages == NULL)
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
continue_texts (PeftGenerator *generator, const GenerateArguments *arguments, char **prompts,
                GCancellable *cancellable, GError **error)
{
  g_autoptr (GPtrArray) results
      = peft_generator_generate (generator, (const char *const *) prompts, cancellable, error);

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
generate (PeftGenerator *generator, const GenerateArguments *arguments, GCancellable *cancellable,
          GError **error)
{
  g_auto (GStrv) prompts = NULL;

  if (arguments->chat != NULL)
    return answer_file (generator, arguments, cancellable, error);
  if (arguments->prompts != NULL)
    prompts = read_prompts (arguments->prompts, error);
  else
    prompts = g_strdupv ((char *[]){ arguments->prompt, NULL });
  if (prompts == NULL)
    return FALSE;
  return arguments->as_chat || arguments->system != NULL
             ? answer_chats (generator, arguments, prompts, cancellable, error)
             : continue_texts (generator, arguments, prompts, cancellable, error);
}

CliStatus
cmd_generate (int argc, char **argv, GCancellable *cancellable)
{
  static const char *const skipped[] = { "seed", "model", "add-special", "system", NULL };
  g_auto (CliCommon) common = { 0 };
  g_auto (GenerateArguments) arguments = { 0 };
  g_autoptr (CliProperties) properties = cli_properties_new (PEFT_TYPE_GENERATOR, skipped, NULL);
  const GOptionEntry entries[] = {
    { "model", 0, 0, G_OPTION_ARG_STRING, &arguments.model, N_ ("base model"), N_ ("MODEL") },
    { "adapter", 0, 0, G_OPTION_ARG_STRING_ARRAY, &arguments.adapters, N_ ("adapter folder"), N_ ("DIR[=WEIGHT]") },
    { "prompt", 0, 0, G_OPTION_ARG_STRING, &arguments.prompt, N_ ("text to continue"), N_ ("TEXT") },
    { "chat", 0, 0, G_OPTION_ARG_FILENAME, &arguments.chat, N_ ("JSON file of messages to answer"), N_ ("FILE") },
    { "prompts", 0, 0, G_OPTION_ARG_FILENAME, &arguments.prompts, N_ ("file with a prompt a line"), N_ ("FILE") },
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
  model = cli_open_model (&common, arguments.model, arguments.adapters, cancellable, &error);
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
  if (!generate (generator, &arguments, cancellable, &error))
    return cli_fail (error);
  return CLI_DONE;
}
