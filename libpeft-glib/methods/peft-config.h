/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>
#include "base/peft-error.h"

G_BEGIN_DECLS

#define PEFT_TYPE_CONFIG (peft_config_get_type ())

PEFT_AVAILABLE_IN_1_0
G_DECLARE_DERIVABLE_TYPE (PeftConfig, peft_config, PEFT, CONFIG, GObject)

/**
 * PeftConfigClass:
 *
 * The class of adapter configurations; methods derive from it.
 *
 * Since: 1.0
 */
struct _PeftConfigClass
{
  GObjectClass parent_class;

  /*< private >*/
  const char *peft_type;
  gpointer fields; /* GPtrArray of PeftField, inherited */
  gpointer padding[6];
};

PEFT_AVAILABLE_IN_1_0
PeftConfig *peft_config_new_for_method (const char *peft_type, GError **error);
PEFT_AVAILABLE_IN_1_0
PeftConfig *peft_config_load (const char *path, GError **error);
PEFT_AVAILABLE_IN_1_0
PeftConfig *peft_config_new_from_json (const char *json, gssize length, GError **error);
PEFT_AVAILABLE_IN_1_0
char *peft_config_to_json (PeftConfig *self);
PEFT_AVAILABLE_IN_1_0
gboolean peft_config_save (PeftConfig *self, const char *path, GError **error);
PEFT_AVAILABLE_IN_1_0
const char *peft_config_get_peft_type (PeftConfig *self);
PEFT_AVAILABLE_IN_1_0
gboolean peft_config_set_field (PeftConfig *self, const char *name, const char *json,
                                GError **error);
PEFT_AVAILABLE_IN_1_0
char *peft_config_get_field (PeftConfig *self, const char *name);
PEFT_AVAILABLE_IN_1_0
gboolean peft_config_is_set (PeftConfig *self, const char *name);
PEFT_AVAILABLE_IN_1_0
gboolean peft_config_validate (PeftConfig *self, GError **error);
PEFT_AVAILABLE_IN_1_0
GStrv peft_config_get_unknown_fields (PeftConfig *self);

G_END_DECLS
