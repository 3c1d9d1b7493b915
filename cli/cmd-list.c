/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli-print.h"
#include "commands.h"

/* devices, methods: what the library says, as JSON or for people. */

static gboolean
parse (const char *name, gboolean *json, int n_arguments, int *argc, char ***argv)
{
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, json, N_ ("print JSON"), NULL },
    G_OPTION_ENTRY_NULL,
  };
  return cli_parse (name, entries, NULL, n_arguments, argc, argv);
}

CliStatus
cmd_devices (int argc, char **argv, GCancellable *cancellable)
{
  gboolean json = FALSE;
  g_autofree char *text = NULL;

  if (!parse ("devices", &json, 0, &argc, &argv))
    return CLI_USAGE;
  text = peft_devices_to_json ();
  cli_print_json (text, json);
  return CLI_DONE;
}

CliStatus
cmd_methods (int argc, char **argv, GCancellable *cancellable)
{
  gboolean json = FALSE;
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;

  if (!parse ("methods", &json, -1, &argc, &argv))
    return CLI_USAGE;
  if (argc > 2)
    return cli_usage ("methods", _ ("unexpected argument “%s”"), argv[2]);
  text = peft_methods_to_json (argc > 1 ? argv[1] : NULL, &error);
  if (text == NULL)
    return cli_fail (error);
  cli_print_json (text, json);
  return CLI_DONE;
}
