/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "cli-print.h"
#include "commands.h"

/* Text is all of standard input, whatever bytes. */
static gboolean
encode_text (PeftTokenizer *tokenizer, GBytes *input, gboolean special, GError **error)
{
  gsize n = 0;
  g_autofree gint32 *ids = peft_tokenizer_encode_bytes (tokenizer, input, special, &n, error);

  if (ids == NULL)
    return FALSE;
  for (gsize i = 0; i < n; i++)
    g_print ("%s%d", i > 0 ? " " : "", ids[i]);
  g_print ("\n");
  return TRUE;
}

static gboolean
decode_text (PeftTokenizer *tokenizer, GBytes *input, gboolean skip_special, GError **error)
{
  g_autofree char *text = g_strndup (g_bytes_get_data (input, NULL), g_bytes_get_size (input));
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  g_autoptr (GBytes) decoded = NULL;
  char *p = text;

  while (*(p += strspn (p, " \t\r\n")) != '\0')
    {
      char *end;
      gint64 value = g_ascii_strtoll (p, &end, 10);
      gint32 id = value;

      if (end == p || (*end != '\0' && !g_ascii_isspace (*end)) || value < 0 || value > G_MAXINT32)
        {
          g_autofree char *word = g_strndup (p, strcspn (p, " \t\r\n"));

          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                       _ ("standard input: expected a token id, found “%s”"), word);
          return FALSE;
        }
      g_array_append_val (ids, id);
      p = end;
    }
  decoded = peft_tokenizer_decode_bytes (tokenizer, (const gint32 *) ids->data, ids->len,
                                         skip_special, error);
  if (decoded == NULL)
    return FALSE;
  fwrite (g_bytes_get_data (decoded, NULL), 1, g_bytes_get_size (decoded), stdout);
  return TRUE;
}

/* One JSON value a line in, one out. */
static gboolean
convert_lines (PeftTokenizer *tokenizer, GBytes *input, gboolean decode, gboolean no_special,
               GError **error)
{
  gsize size;
  const char *data = g_bytes_get_data (input, &size);
  const char *end = data + size;
  guint number = 0;

  while (data < end)
    {
      const char *newline = memchr (data, '\n', end - data);
      gsize length = (newline != NULL ? newline : end) - data;
      g_autofree char *line = g_strndup (data, length);
      g_autofree char *result = NULL;

      number++;
      data += length + 1;
      if (*g_strstrip (line) == '\0')
        continue;
      result = decode ? peft_tokenizer_decode_json (tokenizer, line, no_special, error)
                      : peft_tokenizer_encode_json (tokenizer, line, !no_special, error);
      if (result == NULL)
        {
          g_prefix_error (error, _ ("standard input: line %u: "), number);
          return FALSE;
        }
      puts (result);
    }
  return TRUE;
}

CliStatus
cmd_tokenize (int argc, char **argv, GCancellable *cancellable)
{
  g_autofree char *model = NULL;
  gboolean no_special = FALSE, decode = FALSE, json = FALSE;
  const GOptionEntry entries[] = {
    { "model", 0, 0, G_OPTION_ARG_STRING, &model, N_ ("model whose tokenizer is used"), N_ ("MODEL") },
    { "no-special", 0, 0, G_OPTION_ARG_NONE, &no_special,
      N_ ("add no special tokens; with --decode leave them out"), NULL },
    { "decode", 0, 0, G_OPTION_ARG_NONE, &decode, N_ ("from ids to text"), NULL },
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, N_ ("every line is a JSON value, in and out"), NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (PeftTokenizer) tokenizer = NULL;
  g_autoptr (GBytes) input = NULL;
  g_autoptr (GError) error = NULL;
  gboolean done;

  if (!cli_parse ("tokenize", entries, NULL, 0, &argc, &argv))
    return CLI_USAGE;
  if (model == NULL)
    return cli_usage ("tokenize", _ ("--model is needed"));
  input = cli_read_stdin_for (model, &tokenizer, &error);
  if (input == NULL)
    return cli_fail (error);
  if (json)
    done = convert_lines (tokenizer, input, decode, no_special, &error);
  else if (decode)
    done = decode_text (tokenizer, input, no_special, &error);
  else
    done = encode_text (tokenizer, input, !no_special, &error);
  return done ? CLI_DONE : cli_fail (error);
}
