/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "models/peft-architecture.h"

/* The list of families is in meson.build. */
#define PEFT_FAMILY(name) extern const PeftArchitecture peft_architecture_##name;
#include "models/peft-architecture-table.inc"
#undef PEFT_FAMILY

static const PeftArchitecture *const architectures[] = {
#define PEFT_FAMILY(name) &peft_architecture_##name,
#include "models/peft-architecture-table.inc"
#undef PEFT_FAMILY
  NULL,
};

const PeftArchitecture *const *
peft_architecture_list (void)
{
  return architectures;
}

const PeftArchitecture *
peft_architecture_find (const char *model_type)
{
  for (guint i = 0; architectures[i] != NULL; i++)
    if (g_strv_contains (architectures[i]->model_types, model_type))
      return architectures[i];
  return NULL;
}

const PeftArchitecture *
peft_architecture_find_gguf (const char *name)
{
  for (guint i = 0; architectures[i] != NULL; i++)
    if (g_strv_contains (architectures[i]->gguf_names, name))
      return architectures[i];
  return NULL;
}
