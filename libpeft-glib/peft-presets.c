/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-presets.h"

#include <glib/gi18n-lib.h>

static const PeftPreset presets[] = {
  { "quick", N_ ("Quick"), N_ ("A small adapter and one pass over the data, to see whether it works"), 1 },
  { "balanced", N_ ("Balanced"), N_ ("What suits most models and data"), 3 },
  { "thorough", N_ ("Thorough"), N_ ("A large adapter and more passes, for much data or hard tasks"), 5 },
};

const PeftPreset *
peft_preset_list (gsize *n)
{
  *n = G_N_ELEMENTS (presets);
  return presets;
}

const PeftPreset *
peft_preset_require (const char *name, GError **error)
{
  g_autoptr (GString) known = g_string_new (NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (presets); i++)
    {
      if (g_str_equal (presets[i].name, name))
        return &presets[i];
      g_string_append_printf (known, "%s%s", i > 0 ? ", " : "", presets[i].name);
    }
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
               _ ("unknown preset “%s”: expected one of %s"), name, known->str);
  return NULL;
}
