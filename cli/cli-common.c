/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli-common.h"

#include <inttypes.h>
#include <string.h>

#define MAX_THREADS 1024

void
cli_common_init (CliCommon *self)
{
  *self = (CliCommon){ .seed = 42 };
}

void
cli_common_clear (CliCommon *self)
{
  g_clear_pointer (&self->device, g_free);
  g_clear_pointer (&self->dtype, g_free);
}

static const CliCommand *
find_command (const char *name)
{
  for (const CliCommand *command = cli_commands; command->name != NULL; command++)
    if (g_str_equal (command->name, name))
      return command;
  return NULL;
}

/* One line, whatever the message holds. */
static void
print_line (char *message)
{
  for (char *p = message; *p != '\0'; p++)
    if (*p == '\n' || *p == '\r')
      *p = ' ';
  g_printerr ("peft-glib: %s\n", g_strchomp (message));
}

void
cli_error (const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  print_line (message);
}

CliStatus
cli_usage (const char *name, const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  print_line (message);
  g_printerr (_ ("Try “peft-glib %s --help”.\n"), name);
  return CLI_USAGE;
}

CliStatus
cli_fail (GError *error)
{
  int number = cli_get_signal ();

  if (number != 0 && g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    {
      cli_error ("%s", number == 2 ? _ ("interrupted") : _ ("terminated"));
      return number == 2 ? CLI_INTERRUPTED : CLI_TERMINATED;
    }
  cli_error ("%s", error->message);
  return CLI_FAILED;
}

/* Arguments are UTF-8 whatever the locale is: prompts in a script must not depend on LC_ALL. The array that is left
 * lives as long as the process. */
static gboolean
parse_utf8 (GOptionContext *context, int *argc, char ***argv, GError **error)
{
  static GStrv parsed;
  g_auto (GStrv) arguments = g_strdupv (*argv);

  for (int i = 1; i < *argc; i++)
    if (!g_utf8_validate (arguments[i], -1, NULL))
      {
        g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT, _ ("argument %d is not valid UTF-8"), i);
        return FALSE;
      }
  if (!g_option_context_parse_strv (context, &arguments, error))
    return FALSE;
  g_strfreev (parsed);
  parsed = g_steal_pointer (&arguments);
  *argc = g_strv_length (parsed);
  *argv = parsed;
  return TRUE;
}

static gboolean
check_common (const char *name, const CliCommon *common)
{
  g_autoptr (GError) error = NULL;
  PeftLoadDType dtype;

  if (common->threads < 0 || common->threads > MAX_THREADS)
    cli_usage (name, _ ("--threads: expected 1 to %d, found %d"), MAX_THREADS, common->threads);
  else if (common->seed < 0)
    cli_usage (name, _ ("--seed: expected 0 or more, found %" PRIi64), common->seed);
  else if (common->verbose && common->quiet)
    cli_usage (name, _ ("--verbose and --quiet exclude each other"));
  else if (!cli_parse_dtype (common->dtype, &dtype, &error))
    cli_usage (name, "%s", error->message);
  else
    return TRUE;
  return FALSE;
}

gboolean
cli_parse (const char *name, const GOptionEntry *entries, CliCommon *common, int n_arguments,
           int *argc, char ***argv)
{
  const CliCommand *command = find_command (name);
  g_autofree char *parameters = g_strdup (command->arguments);
  g_autoptr (GOptionContext) context = g_option_context_new (parameters);
  g_autoptr (GError) error = NULL;
  g_autofree char *program = g_strdup_printf ("peft-glib %s", name);

  g_option_context_set_summary (context, _ (command->summary));
  g_option_context_set_translation_domain (context, GETTEXT_PACKAGE);
  if (entries != NULL)
    g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  if (common != NULL)
    {
      const GOptionEntry shared[] = {
        { "device", 0, 0, G_OPTION_ARG_STRING, &common->device,
          N_ ("cpu, reference or auto (default: auto)"), N_ ("DEVICE") },
        { "dtype", 0, 0, G_OPTION_ARG_STRING, &common->dtype,
          N_ ("auto, float32 (exact), bfloat16 or float16 (fast)"), N_ ("DTYPE") },
        { "threads", 0, 0, G_OPTION_ARG_INT, &common->threads,
          N_ ("number of threads (default: one a processor)"), "N" },
        { "seed", 0, 0, G_OPTION_ARG_INT64, &common->seed, N_ ("seed of random numbers (default: 42)"),
          "N" },
        { "verbose", 'v', 0, G_OPTION_ARG_NONE, &common->verbose, N_ ("say more"), NULL },
        { "quiet", 'q', 0, G_OPTION_ARG_NONE, &common->quiet, N_ ("say nothing but results and errors"),
          NULL },
        G_OPTION_ENTRY_NULL,
      };
      g_option_context_add_main_entries (context, shared, GETTEXT_PACKAGE);
    }
  g_set_prgname (program);
  if (!parse_utf8 (context, argc, argv, &error))
    {
      cli_usage (name, "%s", error->message);
      return FALSE;
    }
  if (n_arguments >= 0 && *argc - 1 != n_arguments)
    {
      if (*argc - 1 > n_arguments)
        cli_usage (name, _ ("unexpected argument “%s”"), (*argv)[n_arguments + 1]);
      else
        cli_usage (name, _ ("an argument is missing"));
      return FALSE;
    }
  return common == NULL || check_common (name, common);
}

gboolean
cli_parse_dtype (const char *text, PeftLoadDType *out, GError **error)
{
  static const char *const names[] = { "auto", "float32", "bfloat16", "float16" };
  static const PeftLoadDType values[]
      = { PEFT_LOAD_AUTO, PEFT_LOAD_FLOAT32, PEFT_LOAD_BFLOAT16, PEFT_LOAD_FLOAT16 };

  *out = PEFT_LOAD_AUTO;
  if (text == NULL)
    return TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_str_equal (text, names[i]))
      {
        *out = values[i];
        return TRUE;
      }
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
               _ ("--dtype: expected auto, float32, bfloat16 or float16, found “%s”"), text);
  return FALSE;
}

PeftDevice *
cli_open_device (const CliCommon *common, GError **error)
{
  return peft_device_new (common->device != NULL ? common->device : "auto", common->threads, error);
}

PeftBaseModel *
cli_open_base (const CliCommon *common, const char *model, GCancellable *cancellable,
               GError **error)
{
  g_autoptr (PeftDevice) device = NULL;
  PeftLoadDType dtype;

  if (!cli_parse_dtype (common->dtype, &dtype, error))
    return NULL;
  device = cli_open_device (common, error);
  if (device == NULL)
    return NULL;
  return peft_base_model_load (model, device, dtype, cancellable, error);
}

char *
cli_split_weight (const char *text, double *weight, GError **error)
{
  const char *equals = strrchr (text, '=');
  char *end = NULL;

  *weight = 1;
  if (equals == NULL || g_file_test (text, G_FILE_TEST_EXISTS))
    return g_strdup (text);
  *weight = g_ascii_strtod (equals + 1, &end);
  if (end == equals + 1 || *end != '\0')
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("--adapter: expected DIR or DIR=WEIGHT, found “%s”"), text);
      return NULL;
    }
  return g_strndup (text, equals - text);
}

static PeftBaseModel *
open_base_below (const CliCommon *common, const char *model, char **adapters,
                 GCancellable *cancellable, GError **error)
{
  g_autoptr (PeftDevice) device = NULL;
  g_autofree char *folder = NULL;
  PeftLoadDType dtype;
  double weight;

  if (adapters == NULL || adapters[0] == NULL)
    return cli_open_base (common, model, cancellable, error);
  if (!cli_parse_dtype (common->dtype, &dtype, error)
      || (folder = cli_split_weight (adapters[0], &weight, error)) == NULL)
    return NULL;
  device = cli_open_device (common, error);
  if (device == NULL)
    return NULL;
  return peft_base_model_load_for_adapter (model, device, dtype, folder, cancellable, error);
}

static gboolean
load_adapter (const CliCommon *common, PeftModel *model, const char *text, const char *name,
              GArray *weights, GError **error)
{
  double weight;
  g_autofree char *folder = cli_split_weight (text, &weight, error);
  g_auto (GStrv) notes = NULL;

  if (folder == NULL || !peft_model_load_adapter (model, folder, name, error))
    return FALSE;
  g_array_append_val (weights, weight);
  notes = peft_model_get_adapter_notes (model, name);
  for (guint i = 0; !common->quiet && notes != NULL && notes[i] != NULL; i++)
    g_printerr (_ ("note: %s: %s\n"), folder, notes[i]);
  return TRUE;
}

PeftModel *
cli_load_model (const CliCommon *common, const char *model, char **adapters, GArray **weights,
                GCancellable *cancellable, GError **error)
{
  g_autoptr (PeftBaseModel) base = open_base_below (common, model, adapters, cancellable, error);
  g_autoptr (GArray) given = g_array_new (FALSE, FALSE, sizeof (double));
  g_autoptr (PeftModel) self = NULL;

  if (base == NULL)
    return NULL;
  self = peft_model_new (base);
  for (guint i = 0; adapters != NULL && adapters[i] != NULL; i++)
    {
      g_autofree char *name = i == 0 ? g_strdup ("default") : g_strdup_printf ("adapter-%u", i);

      if (!load_adapter (common, self, adapters[i], name, given, error))
        return NULL;
    }
  *weights = g_steal_pointer (&given);
  return g_steal_pointer (&self);
}

PeftModel *
cli_open_model (const CliCommon *common, const char *model, char **adapters,
                GCancellable *cancellable, GError **error)
{
  g_autoptr (GArray) weights = NULL;
  g_autoptr (PeftModel) self = cli_load_model (common, model, adapters, &weights, cancellable, error);
  g_auto (GStrv) names = NULL;

  if (self == NULL || weights->len == 0)
    return g_steal_pointer (&self);
  names = peft_model_get_adapter_names (self);
  if (!peft_model_set_active (self, (const char *const *) names, (const double *) weights->data, weights->len, error))
    return NULL;
  return g_steal_pointer (&self);
}

char *
cli_format_bytes (guint64 bytes)
{
  return g_format_size_full (bytes, G_FORMAT_SIZE_IEC_UNITS);
}

/* Thousands in groups: 135 million parameters are hard to read otherwise. */
char *
cli_format_count (guint64 count)
{
  g_autofree char *digits = g_strdup_printf ("%" PRIu64, count);
  GString *out = g_string_new (NULL);
  gsize n = strlen (digits);

  for (gsize i = 0; i < n; i++)
    {
      if (i > 0 && (n - i) % 3 == 0)
        g_string_append_c (out, ',');
      g_string_append_c (out, digits[i]);
    }
  return g_string_free (out, FALSE);
}
