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

/* Names and what they are; the fields come with a name. */
static void
print_methods (const char *json)
{
  g_autoptr (GVariant) root = g_variant_ref_sink (peft_variant_new_from_json (json, NULL));
  g_autoptr (GVariant) list = g_variant_lookup_value (root, "methods", G_VARIANT_TYPE ("av"));
  gsize n = list != NULL ? g_variant_n_children (list) : 0;

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (list, i);
      g_autoptr (GVariant) method = g_variant_get_variant (boxed);
      const char *name = "", *summary = "";

      g_variant_lookup (method, "name", "&s", &name);
      g_variant_lookup (method, "summary", "&s", &summary);
      g_print ("%-24s %s\n", name, summary);
    }
  g_print ("%-24s %s\n", "full", _ ("Trains all weights of the model"));
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
  if (argc == 1 && !json)
    print_methods (text);
  else
    cli_print_json (text, json);
  return CLI_DONE;
}
