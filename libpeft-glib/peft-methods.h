/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#if !defined (PEFT_GLIB_INSIDE) && !defined (PEFT_GLIB_COMPILATION)
#error "Only <peft-glib.h> can be included directly."
#endif

#include "methods/peft-config.h"

G_BEGIN_DECLS

PEFT_AVAILABLE_IN_1_0
GStrv peft_methods_list (void);
PEFT_AVAILABLE_IN_1_0
char *peft_methods_to_json (const char *name, GError **error);
PEFT_AVAILABLE_IN_1_0
char *peft_presets_to_json (void);
PEFT_AVAILABLE_IN_1_0
gboolean peft_preset_apply_to_config (const char *preset, PeftConfig *config, GError **error);

G_END_DECLS
