/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#if !defined (PEFT_GLIB_INSIDE) && !defined (PEFT_GLIB_COMPILATION)
#error "Only <peft-glib.h> can be included directly."
#endif

#include "base/peft-task.h"
#include "models/peft-load-dtype.h"
#include "peft-device.h"
#include "peft-tokenizer.h"

G_BEGIN_DECLS

#define PEFT_TYPE_BASE_MODEL (peft_base_model_get_type ())

PEFT_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (PeftBaseModel, peft_base_model, PEFT, BASE_MODEL, GObject)

PEFT_AVAILABLE_IN_1_0
PeftBaseModel *peft_base_model_load (const char *model, PeftDevice *device, PeftLoadDType dtype,
                                     GCancellable *cancellable, GError **error);
PEFT_AVAILABLE_IN_1_0
gboolean peft_base_model_find_task (const char *model, PeftTask *task, GError **error);
PEFT_AVAILABLE_IN_1_0
PeftBaseModel *peft_base_model_load_for_task (const char *model, PeftDevice *device,
                                              PeftLoadDType dtype, PeftTask task,
                                              const char *const *labels, GCancellable *cancellable,
                                              GError **error);
PEFT_AVAILABLE_IN_1_0
PeftBaseModel *peft_base_model_load_for_adapter (const char *model, PeftDevice *device,
                                                 PeftLoadDType dtype, const char *adapter,
                                                 GCancellable *cancellable, GError **error);
PEFT_AVAILABLE_IN_1_0
PeftTask peft_base_model_get_task (PeftBaseModel *self);
PEFT_AVAILABLE_IN_1_0
const char *const *peft_base_model_get_labels (PeftBaseModel *self);
PEFT_AVAILABLE_IN_1_0
void peft_base_model_load_async (const char *model, PeftDevice *device, PeftLoadDType dtype,
                                 GCancellable *cancellable, GAsyncReadyCallback callback,
                                 gpointer user_data);
PEFT_AVAILABLE_IN_1_0
PeftBaseModel *peft_base_model_load_finish (GAsyncResult *result, GError **error);
PEFT_AVAILABLE_IN_1_0
char *peft_base_model_find (const char *model, GError **error);
PEFT_AVAILABLE_IN_1_0
const char *peft_base_model_get_name (PeftBaseModel *self);
PEFT_AVAILABLE_IN_1_0
const char *peft_base_model_get_path (PeftBaseModel *self);
PEFT_AVAILABLE_IN_1_0
PeftDevice *peft_base_model_get_device (PeftBaseModel *self);
PEFT_AVAILABLE_IN_1_0
PeftLoadDType peft_base_model_get_dtype (PeftBaseModel *self);
PEFT_AVAILABLE_IN_1_0
const char *peft_base_model_get_model_type (PeftBaseModel *self);
PEFT_AVAILABLE_IN_1_0
guint64 peft_base_model_get_n_parameters (PeftBaseModel *self);
PEFT_AVAILABLE_IN_1_0
guint64 peft_base_model_get_weight_bytes (PeftBaseModel *self);
PEFT_AVAILABLE_IN_1_0
guint peft_base_model_get_vocab_size (PeftBaseModel *self);
PEFT_AVAILABLE_IN_1_0
guint peft_base_model_get_hidden_size (PeftBaseModel *self);
PEFT_AVAILABLE_IN_1_0
guint peft_base_model_get_n_layers (PeftBaseModel *self);
PEFT_AVAILABLE_IN_1_0
guint64 peft_base_model_get_max_positions (PeftBaseModel *self);
PEFT_AVAILABLE_IN_1_0
const char *peft_base_model_get_compute (PeftBaseModel *self);
PEFT_AVAILABLE_IN_1_0
char *peft_base_model_get_config_json (PeftBaseModel *self);
PEFT_AVAILABLE_IN_1_0
GStrv peft_base_model_get_module_names (PeftBaseModel *self);
PEFT_AVAILABLE_IN_1_0
PeftTokenizer *peft_base_model_get_tokenizer (PeftBaseModel *self, GError **error);
PEFT_AVAILABLE_IN_1_0
gint32 *peft_base_model_get_eos_ids (PeftBaseModel *self, gsize *n_ids, GError **error);
PEFT_AVAILABLE_IN_1_0
gboolean peft_base_model_set_profiling (PeftBaseModel *self, gboolean enabled, GError **error);
PEFT_AVAILABLE_IN_1_0
char *peft_base_model_get_profile_json (PeftBaseModel *self, GError **error);

G_END_DECLS
