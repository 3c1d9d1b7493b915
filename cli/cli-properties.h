/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <peft-glib.h>

/* Command-line options made of an object's properties: names, ranges, choices and help texts are written once, in
 * the library. A flag that is on by default becomes --no-NAME, a list NAMES a repeatable --NAME. */

typedef struct _CliProperties CliProperties;

/* skip: properties that are no options; automatic (nullable): numbers whose default stands for a choice of the
 * library's and is written "auto". Both NULL-terminated. */
CliProperties *cli_properties_new (GType type, const char *const *skip, const char *const *automatic);
void cli_properties_free (CliProperties *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CliProperties, cli_properties_free)

/* Both lists end with G_OPTION_ENTRY_NULL. What was added, `extra` and the properties' entries, owned by self; once. */
void cli_properties_add_entries (CliProperties *self, const GOptionEntry *extra);
const GOptionEntry *cli_properties_get_entries (CliProperties *self, const GOptionEntry *extra);
/* Sets what was given. Errors name the option, what was expected and what was found. */
gboolean cli_properties_apply (CliProperties *self, GObject *object, GError **error);
gboolean cli_properties_is_given (CliProperties *self, const char *property);
gboolean cli_properties_is_any_given (CliProperties *self);
