/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#if !defined (PEFT_GLIB_INSIDE) && !defined (PEFT_GLIB_COMPILATION)
#error "Only <peft-glib.h> can be included directly."
#endif

#include <glib.h>
#include "base/peft-version-macros.h"

G_BEGIN_DECLS

PEFT_AVAILABLE_IN_1_0
GVariant *peft_variant_new_from_json (const char *json, GError **error);
PEFT_AVAILABLE_IN_1_0
char *peft_variant_to_json (GVariant *variant, gboolean indent, GError **error);

G_END_DECLS
