/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-version.h"

#include <glib/gi18n-lib.h>

/**
 * peft_get_version:
 *
 * Gets the version of the library that is running.
 *
 * Returns: three numbers, as in `1.0.0`
 *
 * Since: 1.0
 */
const char *
peft_get_version (void)
{
  return PEFT_VERSION;
}

/* The program binds its own domain; ours is bound when the library is loaded. */
__attribute__ ((constructor)) static void
bind_domain (void)
{
  bindtextdomain (GETTEXT_PACKAGE, PEFT_LOCALEDIR);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
}
