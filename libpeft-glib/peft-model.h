/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#if !defined (PEFT_GLIB_INSIDE) && !defined (PEFT_GLIB_COMPILATION)
#error "Only <peft-glib.h> can be included directly."
#endif

#include "compute/peft-tensor-public.h"
#include "methods/peft-combination.h"
#include "methods/peft-config.h"
#include "peft-base-model.h"
#include "peft-dataset.h"
#include "peft-evaluation-result.h"

G_BEGIN_DECLS

#define PEFT_TYPE_MODEL (peft_model_get_type ())

PEFT_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (PeftModel, peft_model, PEFT, MODEL, GObject)

PEFT_AVAILABLE_IN_1_0
PeftModel *peft_model_new (PeftBaseModel *base);
PEFT_AVAILABLE_IN_1_0
PeftBaseModel *peft_model_get_base_model (PeftModel *self);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_is_busy (PeftModel *self);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_add_adapter (PeftModel *self, const char *name, PeftConfig *config,
                                 guint64 seed, GError **error);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_add_full_training (PeftModel *self, const char *name, GError **error);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_load_adapter (PeftModel *self, const char *folder, const char *name,
                                  GError **error);
PEFT_AVAILABLE_IN_1_0
void peft_model_load_adapter_async (PeftModel *self, const char *folder, const char *name,
                                    GCancellable *cancellable, GAsyncReadyCallback callback,
                                    gpointer user_data);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_load_adapter_finish (PeftModel *self, GAsyncResult *result, GError **error);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_delete_adapter (PeftModel *self, const char *name, GError **error);
PEFT_AVAILABLE_IN_1_0
GStrv peft_model_get_adapter_names (PeftModel *self);
PEFT_AVAILABLE_IN_1_0
PeftConfig *peft_model_get_adapter_config (PeftModel *self, const char *name);
PEFT_AVAILABLE_IN_1_0
GStrv peft_model_get_adapter_notes (PeftModel *self, const char *name);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_set_active (PeftModel *self, const char *const *names, const double *weights,
                                gsize n_weights, GError **error);
PEFT_AVAILABLE_IN_1_0
GStrv peft_model_get_active (PeftModel *self);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_set_adapter_scale (PeftModel *self, const char *name, double scale,
                                       GError **error);
PEFT_AVAILABLE_IN_1_0
double peft_model_get_adapter_scale (PeftModel *self, const char *name);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_get_enabled (PeftModel *self);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_set_enabled (PeftModel *self, gboolean enabled, GError **error);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_init_prefix_from_text (PeftModel *self, const char *name, const char *text,
                                           gboolean as_system, GCancellable *cancellable,
                                           GError **error);
PEFT_AVAILABLE_IN_1_0
void peft_model_init_prefix_from_text_async (PeftModel *self, const char *name, const char *text,
                                             gboolean as_system, GCancellable *cancellable,
                                             GAsyncReadyCallback callback, gpointer user_data);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_init_prefix_from_text_finish (PeftModel *self, GAsyncResult *result,
                                                  GError **error);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_save_adapter (PeftModel *self, const char *name, const char *folder,
                                  GError **error);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_merge_and_save (PeftModel *self, const char *folder, PeftLoadDType dtype,
                                    GCancellable *cancellable, GError **error);
PEFT_AVAILABLE_IN_1_0
void peft_model_merge_and_save_async (PeftModel *self, const char *folder, PeftLoadDType dtype,
                                      GCancellable *cancellable, GAsyncReadyCallback callback,
                                      gpointer user_data);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_merge_and_save_finish (PeftModel *self, GAsyncResult *result, GError **error);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_hotswap_adapter (PeftModel *self, const char *folder, const char *name,
                                     GCancellable *cancellable, GError **error);
PEFT_AVAILABLE_IN_1_0
void peft_model_hotswap_adapter_async (PeftModel *self, const char *folder, const char *name,
                                       GCancellable *cancellable, GAsyncReadyCallback callback,
                                       gpointer user_data);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_hotswap_adapter_finish (PeftModel *self, GAsyncResult *result,
                                            GError **error);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_merge (PeftModel *self, GCancellable *cancellable, GError **error);
PEFT_AVAILABLE_IN_1_0
void peft_model_merge_async (PeftModel *self, GCancellable *cancellable,
                             GAsyncReadyCallback callback, gpointer user_data);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_merge_finish (PeftModel *self, GAsyncResult *result, GError **error);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_unmerge (PeftModel *self, GError **error);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_merge_and_unload (PeftModel *self, GCancellable *cancellable, GError **error);
PEFT_AVAILABLE_IN_1_0
void peft_model_merge_and_unload_async (PeftModel *self, GCancellable *cancellable,
                                        GAsyncReadyCallback callback, gpointer user_data);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_merge_and_unload_finish (PeftModel *self, GAsyncResult *result,
                                             GError **error);
PEFT_AVAILABLE_IN_1_0
GStrv peft_model_get_merged (PeftModel *self);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_add_weighted_adapter (PeftModel *self, const char *const *adapters,
                                          const double *weights, gsize n_weights, const char *name,
                                          PeftCombination combination, guint rank, double density,
                                          gboolean by_frequency, GCancellable *cancellable,
                                          GError **error);
PEFT_AVAILABLE_IN_1_0
void peft_model_add_weighted_adapter_async (PeftModel *self, const char *const *adapters,
                                            const double *weights, gsize n_weights,
                                            const char *name, PeftCombination combination,
                                            guint rank, double density, gboolean by_frequency,
                                            GCancellable *cancellable,
                                            GAsyncReadyCallback callback, gpointer user_data);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_add_weighted_adapter_finish (PeftModel *self, GAsyncResult *result,
                                                 GError **error);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_convert_to_lora (PeftModel *self, const char *adapter, const char *name,
                                     double rank, GCancellable *cancellable, GError **error);
PEFT_AVAILABLE_IN_1_0
void peft_model_convert_to_lora_async (PeftModel *self, const char *adapter, const char *name,
                                       double rank, GCancellable *cancellable,
                                       GAsyncReadyCallback callback, gpointer user_data);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_convert_to_lora_finish (PeftModel *self, GAsyncResult *result,
                                            GError **error);
PEFT_AVAILABLE_IN_1_0
void peft_model_count_parameters (PeftModel *self, guint64 *trainable, guint64 *all);
PEFT_AVAILABLE_IN_1_0
char *peft_model_describe_parameters (PeftModel *self);
PEFT_AVAILABLE_IN_1_0
char *peft_model_get_status_json (PeftModel *self);
PEFT_AVAILABLE_IN_1_0
gboolean peft_model_forward_file (PeftModel *self, const char *input, const char *output,
                                  const char *state, gboolean gradients, gboolean train_mode,
                                  guint64 seed, GCancellable *cancellable, GError **error);
PEFT_AVAILABLE_IN_1_0
PeftTensor *peft_model_forward (PeftModel *self, const gint32 *ids, gsize n_ids,
                                GCancellable *cancellable, GError **error);
PEFT_AVAILABLE_IN_1_0
PeftTensor *peft_model_forward_mixed (PeftModel *self, const gint32 *ids, gsize n_ids,
                                      const guint *lengths, gsize n_lines,
                                      const char *const *adapters, GCancellable *cancellable,
                                      GError **error);
PEFT_AVAILABLE_IN_1_0
PeftEvaluationResult *peft_model_evaluate (PeftModel *self, PeftDataset *dataset,
                                           PeftLossOn loss_on, guint max_length, guint batch_size,
                                           GCancellable *cancellable, GError **error);
PEFT_AVAILABLE_IN_1_0
void peft_model_evaluate_async (PeftModel *self, PeftDataset *dataset, PeftLossOn loss_on,
                                guint max_length, guint batch_size, GCancellable *cancellable,
                                GAsyncReadyCallback callback, gpointer user_data);
PEFT_AVAILABLE_IN_1_0
PeftEvaluationResult *peft_model_evaluate_finish (PeftModel *self, GAsyncResult *result,
                                                  GError **error);

G_END_DECLS
