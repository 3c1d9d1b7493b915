/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "methods/peft-config-field.h"
#include "methods/peft-config.h"

/* For PeftConfig subclasses, in class_init: the method's name and its own fields, which become
 * properties. The fields must live for ever. */
void peft_config_class_set_fields (PeftConfigClass *klass, const char *peft_type,
                                   const PeftField *fields, gsize n_fields);

/* All fields, inherited ones first. */
gsize peft_config_class_get_n_fields (PeftConfigClass *klass);
const PeftField *peft_config_class_get_field (PeftConfigClass *klass, gsize index);
const PeftField *peft_config_class_find_field (PeftConfigClass *klass, const char *name);

/* Values by peft's name: what was set, else the default. (transfer none). Asking for a field that
 * the class lacks is a programmer error. */
const PeftJson *peft_config_get_json (PeftConfig *self, const char *name);
gint64 peft_config_get_int (PeftConfig *self, const char *name);
double peft_config_get_double (PeftConfig *self, const char *name);
gboolean peft_config_get_boolean (PeftConfig *self, const char *name);
const char *peft_config_get_string (PeftConfig *self, const char *name); /* NULL: null */

/* Takes value; NULL makes the field unset. code is that of a value that does not suit the field. */
gboolean peft_config_set_json (PeftConfig *self, const char *name, PeftJson *value, int code,
                               GError **error);
PeftConfig *peft_config_dup (PeftConfig *self);

/* Fields that the class does not know, as read from a file; NULL: none. */
const PeftJson *peft_config_get_unknown (PeftConfig *self);
void peft_config_set_unknown (PeftConfig *self, PeftJson *unknown);

PeftConfig *peft_config_new_from_tree (const PeftJson *tree, GError **error);
PeftJson *peft_config_to_tree (PeftConfig *self);

/* {"name":"LORA","display_name":…,"summary":…,"good_for":…,"cost":…,"learning_rate":…,"fields":[{"name","type","default",
 * "minimum","maximum","choices","group","description","supported"}…]}; NULL for an unknown name. */
PeftJson *peft_method_describe (const char *peft_type, GError **error);
