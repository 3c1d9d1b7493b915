/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <errno.h>
#include <glib-unix.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli-common.h"
#include "commands.h"

const CliCommand cli_commands[] = {
  { "devices", "", N_ ("List the compute devices, their memory and features."), cmd_devices },
  { "methods", N_ ("[NAME]"), N_ ("List the fine-tuning methods, or the fields of one."), cmd_methods },
  { "inspect", N_ ("PATH"), N_ ("Say what a model, adapter or data file is, and what a run would need."), cmd_inspect },
  { "train", "", N_ ("Fine-tune a model."), cmd_train },
  { "generate", "", N_ ("Let a model continue a text or answer."), cmd_generate },
  { "chat", "", N_ ("Have a conversation with a model in the terminal."), cmd_chat },
  { "evaluate", "", N_ ("Measure loss, perplexity and accuracy on data."), cmd_evaluate },
  { "convert", "", N_ ("Turn an adapter into another form."), cmd_convert },
  { "merge", "", N_ ("Fold adapters into a model and write it."), cmd_merge },
  { "tokenize", "", N_ ("Turn text into token ids, or ids into text."), cmd_tokenize },
  { "template", "", N_ ("Render messages with a model's chat template."), cmd_template },
  { "forward", "", N_ ("Write logits, loss and gradients of one pass into a file."), cmd_forward },
  { "bench", "", N_ ("Measure training and generation on this machine."), cmd_bench },
  { NULL, NULL, NULL, NULL },
};

static volatile sig_atomic_t signal_number;
static int wake_up[2];
static GMutex cancellable_mutex;
static GCancellable *current_cancellable; /* under cancellable_mutex */

int
cli_get_signal (void)
{
  return signal_number;
}

void
cli_renew_cancellable (GCancellable *cancellable)
{
  g_mutex_lock (&cancellable_mutex);
  g_set_object (&current_cancellable, cancellable);
  signal_number = 0;
  g_mutex_unlock (&cancellable_mutex);
}

/* Cancelling takes locks, which a handler may not: a thread does it. A second signal ends at once. */
static void
on_signal (int number)
{
  char byte = 0;

  if (signal_number != 0)
    _exit (128 + number);
  signal_number = number;
  if (write (wake_up[1], &byte, 1) < 0)
    _exit (128 + number);
}

static gpointer
wait_for_signal (gpointer data)
{
  char byte;

  while (read (wake_up[0], &byte, 1) == 1)
    {
      g_autoptr (GCancellable) cancellable = NULL;

      g_mutex_lock (&cancellable_mutex);
      cancellable = g_object_ref (current_cancellable);
      g_mutex_unlock (&cancellable_mutex);
      g_cancellable_cancel (cancellable);
    }
  return NULL;
}

static void
catch_signals (GCancellable *cancellable)
{
  struct sigaction action = { .sa_handler = on_signal };
  g_autoptr (GError) error = NULL;

  if (!g_unix_open_pipe (wake_up, FD_CLOEXEC, &error))
    return;
  cli_renew_cancellable (cancellable);
  g_thread_unref (g_thread_new ("signals", wait_for_signal, NULL));
  sigaction (SIGINT, &action, NULL);
  sigaction (SIGTERM, &action, NULL);
  signal (SIGPIPE, SIG_DFL);
}

/* Results are UTF-8 in every locale: scripts read them. */
static void
print_utf8 (const char *text)
{
  fputs (text, stdout);
}

static CliStatus
finish (CliStatus status)
{
  if ((fflush (stdout) != 0 || ferror (stdout)) && status == CLI_DONE)
    {
      cli_error (_ ("standard output: %s"), g_strerror (errno));
      return CLI_FAILED;
    }
  return status;
}

static void
print_help (void)
{
  g_print ("%s\n\n%s\n", _ ("Usage: peft-glib SUBCOMMAND [OPTION…]"),
           _ ("Fine-tunes language models with parameter-efficient methods and runs them."));
  g_print ("\n%s\n", _ ("Subcommands:"));
  for (const CliCommand *command = cli_commands; command->name != NULL; command++)
    g_print ("  %-10s %s\n", command->name, _ (command->summary));
  g_print ("\n%s\n", _ ("“peft-glib SUBCOMMAND --help” tells more. A MODEL is a folder in Hugging Face layout, a\n"
                        ".gguf file, or the id of a model in the Hugging Face cache."));
}

int
main (int argc, char **argv)
{
  /* Part of the contract, but of later versions. */
  static const char *const later[] = { "pull", "push", "runs", "serve", NULL };
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();

  setlocale (LC_ALL, "");
  bindtextdomain (GETTEXT_PACKAGE, PEFT_LOCALEDIR);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
  textdomain (GETTEXT_PACKAGE);
  g_set_prgname ("peft-glib");
  g_set_print_handler (print_utf8);

  if (argc < 2)
    {
      cli_error (_ ("a subcommand is missing"));
      g_printerr (_ ("Try “peft-glib --help”.\n"));
      return CLI_USAGE;
    }
  if (g_str_equal (argv[1], "--help") || g_str_equal (argv[1], "-h") || g_str_equal (argv[1], "help"))
    {
      print_help ();
      return finish (CLI_DONE);
    }
  if (g_str_equal (argv[1], "--version"))
    {
      g_print ("peft-glib %s\n", peft_get_version ());
      return finish (CLI_DONE);
    }
  for (const CliCommand *command = cli_commands; command->name != NULL; command++)
    if (g_str_equal (argv[1], command->name))
      {
        catch_signals (cancellable);
        return finish (command->run (argc - 1, argv + 1, cancellable));
      }
  if (g_strv_contains (later, argv[1]))
    cli_error (_ ("“%s” is not available in this version"), argv[1]);
  else
    cli_error (_ ("unknown subcommand “%s”"), argv[1]);
  g_printerr (_ ("Try “peft-glib --help”.\n"));
  return CLI_USAGE;
}
