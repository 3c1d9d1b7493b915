/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli-properties.h"
#include "commands.h"

typedef struct
{
  PeftGenerator *generator;
  GPtrArray *messages; /* GVariant: a{sv} with role and content; without the system message */
  GString *answer;     /* what has come of the present one */
  gboolean interactive;
} Chat;

static void
chat_clear (Chat *self)
{
  g_clear_object (&self->generator);
  g_clear_pointer (&self->messages, g_ptr_array_unref);
  if (self->answer != NULL)
    g_string_free (self->answer, TRUE);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Chat, chat_clear)

static void
add_message (Chat *self, const char *role, const char *content)
{
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "role", "s", role);
  g_variant_dict_insert (&dict, "content", "s", content);
  g_ptr_array_add (self->messages, g_variant_ref_sink (g_variant_dict_end (&dict)));
}

static void
on_token (PeftGenerator *generator, guint prompt, int id, const char *text, Chat *self)
{
  g_string_append (self->answer, text);
  fputs (text, stdout);
  fflush (stdout);
}

/* Ctrl-C ends the answer, and what there is of it stays in the conversation. */
static CliStatus
answer (Chat *self, const char *text)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (PeftGenerationResult) result = NULL;
  g_autoptr (GVariant) list = NULL;
  g_autofree char *json = NULL;
  g_autoptr (GError) error = NULL;

  add_message (self, "user", text);
  list = g_variant_ref_sink (g_variant_new_array (G_VARIANT_TYPE_VARDICT, (GVariant **) self->messages->pdata,
                                                  self->messages->len));
  json = peft_variant_to_json (list, FALSE, &error);
  g_string_truncate (self->answer, 0);
  cli_renew_cancellable (cancellable);
  if (json != NULL)
    result = peft_generator_generate_chat (self->generator, json, cancellable, &error);
  if (self->answer->len > 0 || result != NULL)
    fputc ('\n', stdout);
  if (result != NULL)
    {
      add_message (self, "assistant", peft_generation_result_get_text (result));
      return CLI_DONE;
    }
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED) && cli_get_signal () == SIGINT && self->interactive)
    {
      if (self->answer->len > 0)
        add_message (self, "assistant", self->answer->str);
      else
        g_ptr_array_set_size (self->messages, self->messages->len - 1);
      cli_renew_cancellable (cancellable);
      return CLI_DONE;
    }
  g_ptr_array_set_size (self->messages, self->messages->len - 1);
  return cli_fail (error);
}

static void
print_help (void)
{
  g_printerr ("%s", _ ("/system TEXT  set the system message and start anew\n"
                       "/reset        forget the conversation\n"
                       "/help         show this\n"
                       "/quit         end\n"
                       "Ctrl-C stops an answer.\n"));
}

/* FALSE: the conversation is over. */
static gboolean
run_command (Chat *self, const char *line)
{
  if (g_str_equal (line, "/quit") || g_str_equal (line, "/exit"))
    return FALSE;
  if (g_str_equal (line, "/reset"))
    {
      g_ptr_array_set_size (self->messages, 0);
    }
  else if (g_str_equal (line, "/system") || g_str_has_prefix (line, "/system "))
    {
      g_autofree char *text = g_strstrip (g_strdup (line + strlen ("/system")));

      g_ptr_array_set_size (self->messages, 0);
      g_object_set (self->generator, "system", *text != '\0' ? text : NULL, NULL);
    }
  else if (g_str_equal (line, "/help"))
    {
      print_help ();
    }
  else
    {
      g_printerr (_ ("Unknown command “%s”; /help shows those there are.\n"), line);
    }
  return TRUE;
}

/* A message a line. At a terminal an answer that fails is not the end. */
static CliStatus
converse (Chat *self)
{
  char *line = NULL;
  size_t size = 0;
  CliStatus status = CLI_DONE;

  for (;;)
    {
      if (self->interactive)
        g_printerr ("> ");
      errno = 0;
      if (getline (&line, &size, stdin) < 0)
        {
          if (errno == EINTR && cli_get_signal () != 0)
            status = 128 + cli_get_signal ();
          if (self->interactive)
            g_printerr ("\n");
          break;
        }
      if (!g_utf8_validate (g_strstrip (line), -1, NULL))
        {
          cli_error (_ ("standard input: expected UTF-8"));
          status = CLI_FAILED;
        }
      else if (*line == '/')
        {
          if (!run_command (self, line))
            break;
        }
      else if (*line != '\0')
        {
          status = answer (self, line);
        }
      if (status != CLI_DONE && (!self->interactive || status > CLI_USAGE))
        break;
    }
  free (line);
  return self->interactive && status == CLI_FAILED ? CLI_DONE : status;
}

CliStatus
cmd_chat (int argc, char **argv, GCancellable *cancellable)
{
  static const char *const skipped[] = { "seed", "model", "add-special", "system", NULL };
  g_auto (CliCommon) common = { 0 };
  g_auto (Chat) chat = { 0 };
  g_autoptr (CliProperties) properties = cli_properties_new (PEFT_TYPE_GENERATOR, skipped, NULL);
  g_autofree char *model_name = NULL;
  g_autofree char *system = NULL;
  g_auto (GStrv) adapters = NULL;
  gboolean generation_config = FALSE;
  const GOptionEntry entries[] = {
    { "model", 0, 0, G_OPTION_ARG_STRING, &model_name, N_ ("base model"), N_ ("MODEL") },
    { "adapter", 0, 0, G_OPTION_ARG_STRING_ARRAY, &adapters, N_ ("adapter folder"), N_ ("DIR[=WEIGHT]") },
    { "system", 0, 0, G_OPTION_ARG_STRING, &system, N_ ("system message"), N_ ("TEXT") },
    { "generation-config", 0, 0, G_OPTION_ARG_NONE, &generation_config, N_ ("sampling settings of the model's generation_config.json"), NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (PeftModel) model = NULL;
  PeftTokenizer *tokenizer;
  g_autoptr (GError) error = NULL;

  cli_common_init (&common);
  if (!cli_parse ("chat", cli_properties_get_entries (properties, entries), &common, 0, &argc, &argv))
    return CLI_USAGE;
  if (model_name == NULL)
    return cli_usage ("chat", _ ("--model is needed"));
  chat.generator = g_object_new (PEFT_TYPE_GENERATOR, NULL);
  if (!cli_properties_apply (properties, G_OBJECT (chat.generator), &error))
    return cli_usage ("chat", "%s", error->message);
  g_clear_object (&chat.generator);
  model = cli_open_model (&common, model_name, adapters, cancellable, &error);
  if (model == NULL)
    return cli_fail (error);
  tokenizer = peft_base_model_get_tokenizer (peft_model_get_base_model (model), &error);
  if (tokenizer == NULL)
    return cli_fail (error);
  if (!peft_tokenizer_has_chat_template (tokenizer))
    {
      cli_error (_ ("%s: the model has no chat template; “peft-glib generate” continues texts without one"), model_name);
      return CLI_FAILED;
    }
  chat.generator = peft_generator_new (model);
  chat.messages = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  chat.answer = g_string_new (NULL);
  chat.interactive = isatty (STDIN_FILENO);
  g_object_set (chat.generator, "seed", (guint64) common.seed, "system", system, NULL);
  if (generation_config && !peft_generator_apply_generation_config (chat.generator, &error))
    return cli_fail (error);
  if (!cli_properties_apply (properties, G_OBJECT (chat.generator), &error))
    return cli_usage ("chat", "%s", error->message);
  g_signal_connect (chat.generator, "token", G_CALLBACK (on_token), &chat);
  if (chat.interactive && !common.quiet)
    print_help ();
  return converse (&chat);
}
