/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#if !defined (PEFT_GLIB_INSIDE) && !defined (PEFT_GLIB_COMPILATION)
#error "Only <peft-glib.h> can be included directly."
#endif

#include <gio/gio.h>
#include "base/peft-version-macros.h"

G_BEGIN_DECLS

PEFT_AVAILABLE_IN_1_0
char *peft_inspect_to_json (const char *path, GCancellable *cancellable, GError **error);
PEFT_AVAILABLE_IN_1_0
void peft_inspect_to_json_async (const char *path, GCancellable *cancellable,
                                 GAsyncReadyCallback callback, gpointer user_data);
PEFT_AVAILABLE_IN_1_0
char *peft_inspect_to_json_finish (GAsyncResult *result, GError **error);

G_END_DECLS
