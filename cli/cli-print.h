/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <peft-glib.h>

/* Prints JSON on standard output as it is, or for people: one "name  value" a line, lists of objects as blocks. */
void cli_print_json (const char *json, gboolean as_json);
/* Everything on standard input. */
/* Loads the model's tokenizer and reads all of standard input. */
GBytes *cli_read_stdin_for (const char *model, PeftTokenizer **tokenizer, GError **error);
