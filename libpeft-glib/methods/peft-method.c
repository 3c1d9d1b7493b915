/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "methods/peft-method.h"

#include <glib/gi18n-lib.h>

/* The table of methods, generated from the list in meson.build. */
#define PEFT_METHOD(name) extern const PeftMethod peft_method_##name;
#include "methods/peft-method-table.inc"
#undef PEFT_METHOD

#define PEFT_METHOD(name) &peft_method_##name,
static const PeftMethod *const methods[] = {
#include "methods/peft-method-table.inc"
  NULL
};
#undef PEFT_METHOD

/* Every peft_type of the Python library. */
/* clang-format off */
static const char *const peft_names[] = {
  "ADALORA",       "ADAMSS",      "ADAPTION_PROMPT", "BEFT",
  "BOFT",          "C3A",         "CARTRIDGE",       "CPT",
  "DEFT",          "DELORA",      "FOURIERFT",       "FROD",
  "GLORA",         "GRALORA",     "HIRA",            "HRA",
  "IA3",           "LILY",        "LN_TUNING",       "LOHA",
  "LOKR",          "LORA",        "MISS",            "MULTITASK_PROMPT_TUNING",
  "OFT",           "OSF",         "PEANUT",          "POLY",
  "PREFIX_TUNING", "PROMPT_TUNING", "PSOFT",         "PVERA",
  "P_TUNING",      "RANDLORA",    "ROAD",            "SHADOW",
  "SHIRA",         "SUPERTUNING", "TINYLORA",        "TRAINABLE_TOKENS",
  "UNILORA",       "VBLORA",      "VERA",            "WAVEFT",
  "XLORA",
};
/* clang-format on */

const PeftMethod *
peft_method_find (const char *peft_type)
{
  for (guint i = 0; methods[i] != NULL; i++)
    if (g_ascii_strcasecmp (methods[i]->name, peft_type) == 0)
      return methods[i];
  return NULL;
}

const PeftMethod *
peft_method_require (const char *peft_type, GError **error)
{
  const PeftMethod *method = peft_method_find (peft_type);

  if (method != NULL)
    return method;
  if (g_ascii_strcasecmp (peft_type, "BONE") == 0)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                 _ ("the method '%s' is called MISS now and is not supported by this version"),
                 peft_type);
  else if (peft_method_is_known_to_peft (peft_type))
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                 _ ("the method '%s' is not supported by this version"), peft_type);
  else
    {
      g_autoptr (GString) known = g_string_new (NULL);

      for (guint i = 0; methods[i] != NULL; i++)
        g_string_append_printf (known, "%s%s", i > 0 ? ", " : "", methods[i]->name);
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND, _ ("there is no method '%s'; expected one of %s"),
                   peft_type, known->str);
    }
  return NULL;
}

const PeftMethod *const *
peft_method_list (void)
{
  return methods;
}

gboolean
peft_method_is_known_to_peft (const char *peft_type)
{
  for (guint i = 0; i < G_N_ELEMENTS (peft_names); i++)
    if (g_ascii_strcasecmp (peft_names[i], peft_type) == 0)
      return TRUE;
  return FALSE;
}
