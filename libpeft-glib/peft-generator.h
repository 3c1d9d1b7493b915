/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#if !defined (PEFT_GLIB_INSIDE) && !defined (PEFT_GLIB_COMPILATION)
#error "Only <peft-glib.h> can be included directly."
#endif

#include "peft-generation-result.h"
#include "peft-model.h"

G_BEGIN_DECLS

#define PEFT_TYPE_GENERATOR (peft_generator_get_type ())

PEFT_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (PeftGenerator, peft_generator, PEFT, GENERATOR, GObject)

PEFT_AVAILABLE_IN_1_0
PeftGenerator *peft_generator_new (PeftModel *model);
PEFT_AVAILABLE_IN_1_0
PeftModel *peft_generator_get_model (PeftGenerator *self);
PEFT_AVAILABLE_IN_1_0
gboolean peft_generator_apply_generation_config (PeftGenerator *self, GError **error);
PEFT_AVAILABLE_IN_1_0
void peft_generator_set_eos_ids (PeftGenerator *self, const gint32 *ids, gsize n_ids);
PEFT_AVAILABLE_IN_1_0
GPtrArray *peft_generator_generate (PeftGenerator *self, const char *const *prompts,
                                    GCancellable *cancellable, GError **error);
PEFT_AVAILABLE_IN_1_0
void peft_generator_generate_async (PeftGenerator *self, const char *const *prompts,
                                    GCancellable *cancellable, GAsyncReadyCallback callback,
                                    gpointer user_data);
PEFT_AVAILABLE_IN_1_0
GPtrArray *peft_generator_generate_finish (PeftGenerator *self, GAsyncResult *result,
                                           GError **error);
PEFT_AVAILABLE_IN_1_0
GPtrArray *peft_generator_generate_mixed (PeftGenerator *self, const char *const *prompts,
                                          const char *const *adapters, GCancellable *cancellable,
                                          GError **error);
PEFT_AVAILABLE_IN_1_0
void peft_generator_generate_mixed_async (PeftGenerator *self, const char *const *prompts,
                                          const char *const *adapters, GCancellable *cancellable,
                                          GAsyncReadyCallback callback, gpointer user_data);
PEFT_AVAILABLE_IN_1_0
GPtrArray *peft_generator_generate_mixed_finish (PeftGenerator *self, GAsyncResult *result,
                                                 GError **error);
PEFT_AVAILABLE_IN_1_0
PeftGenerationResult *peft_generator_generate_ids (PeftGenerator *self, const gint32 *ids,
                                                   gsize n_ids, GCancellable *cancellable,
                                                   GError **error);
PEFT_AVAILABLE_IN_1_0
void peft_generator_generate_ids_async (PeftGenerator *self, const gint32 *ids, gsize n_ids,
                                        GCancellable *cancellable, GAsyncReadyCallback callback,
                                        gpointer user_data);
PEFT_AVAILABLE_IN_1_0
PeftGenerationResult *peft_generator_generate_ids_finish (PeftGenerator *self,
                                                          GAsyncResult *result, GError **error);
PEFT_AVAILABLE_IN_1_0
PeftGenerationResult *peft_generator_generate_chat (PeftGenerator *self, const char *messages,
                                                    GCancellable *cancellable, GError **error);
PEFT_AVAILABLE_IN_1_0
void peft_generator_generate_chat_async (PeftGenerator *self, const char *messages,
                                         GCancellable *cancellable, GAsyncReadyCallback callback,
                                         gpointer user_data);
PEFT_AVAILABLE_IN_1_0
PeftGenerationResult *peft_generator_generate_chat_finish (PeftGenerator *self,
                                                           GAsyncResult *result, GError **error);
PEFT_AVAILABLE_IN_1_0
void peft_generator_get_speed (PeftGenerator *self, guint64 *prompt_tokens,
                               double *prefill_seconds, guint64 *new_tokens,
                               double *decode_seconds);

G_END_DECLS
