/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#if !defined (PEFT_GLIB_INSIDE) && !defined (PEFT_GLIB_COMPILATION)
#error "Only <peft-glib.h> can be included directly."
#endif

#include <gio/gio.h>
#include "base/peft-version-macros.h"

G_BEGIN_DECLS

#define PEFT_TYPE_DEVICE (peft_device_get_type ())

PEFT_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (PeftDevice, peft_device, PEFT, DEVICE, GObject)

PEFT_AVAILABLE_IN_1_0
PeftDevice *peft_device_new (const char *name, guint n_threads, GError **error);
PEFT_AVAILABLE_IN_1_0
GPtrArray *peft_device_list (void);
PEFT_AVAILABLE_IN_1_0
const char *peft_device_get_name (PeftDevice *self);
PEFT_AVAILABLE_IN_1_0
const char *peft_device_get_description (PeftDevice *self);
PEFT_AVAILABLE_IN_1_0
guint64 peft_device_get_memory (PeftDevice *self);
PEFT_AVAILABLE_IN_1_0
const char *const *peft_device_get_features (PeftDevice *self);
PEFT_AVAILABLE_IN_1_0
guint peft_device_get_n_threads (PeftDevice *self);
PEFT_AVAILABLE_IN_1_0
gboolean peft_device_benchmark (PeftDevice *self, double *float32_rate, double *bfloat16_rate,
                                GCancellable *cancellable, GError **error);
PEFT_AVAILABLE_IN_1_0
void peft_device_benchmark_async (PeftDevice *self, GCancellable *cancellable,
                                  GAsyncReadyCallback callback, gpointer user_data);
PEFT_AVAILABLE_IN_1_0
gboolean peft_device_benchmark_finish (PeftDevice *self, GAsyncResult *result,
                                       double *float32_rate, double *bfloat16_rate,
                                       GError **error);
PEFT_AVAILABLE_IN_1_0
char *peft_device_to_json (PeftDevice *self);
PEFT_AVAILABLE_IN_1_0
char *peft_devices_to_json (void);

G_END_DECLS
