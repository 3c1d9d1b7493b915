/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "compute/cpu/cpu-isa.h"

/* Least first. */
static const CpuIsa *const isas[] = {
  &cpu_isa_scalar,
#ifdef PEFT_CPU_X86
  &cpu_isa_avx2,
  &cpu_isa_avx512,
  &cpu_isa_avx512bf16,
#endif
};

const char *const *
peft_cpu_backend_list_isas (void)
{
  static const char *names[G_N_ELEMENTS (isas) + 1];
  static gsize once = 0;

  if (g_once_init_enter (&once))
    {
      guint n = 0;
      for (guint i = 0; i < G_N_ELEMENTS (isas); i++)
        if (isas[i]->is_usable ())
          names[n++] = isas[i]->name;
      g_once_init_leave (&once, 1);
    }
  return names;
}

const CpuIsa *
cpu_isa_choose (GError **error)
{
  const char *wanted = g_getenv ("PEFT_CPU_ISA");
  const CpuIsa *best = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (isas); i++)
    if (isas[i]->is_usable () && (wanted == NULL || g_str_equal (wanted, isas[i]->name)))
      best = isas[i];
  if (best == NULL)
    {
      g_autofree char *list = g_strjoinv (", ", (char **) peft_cpu_backend_list_isas ());
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("PEFT_CPU_ISA is “%s”, but this processor can use only: %s"), wanted, list);
    }
  return best;
}
