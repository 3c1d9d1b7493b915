/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#if !defined (PEFT_GLIB_INSIDE) && !defined (PEFT_GLIB_COMPILATION)
#error "Only <peft-glib.h> can be included directly."
#endif

#include "base/peft-version-macros.h"

G_BEGIN_DECLS

PEFT_AVAILABLE_IN_1_0
const char *peft_get_version (void);

G_END_DECLS
