/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#if !defined (PEFT_GLIB_INSIDE) && !defined (PEFT_GLIB_COMPILATION)
#error "Only <peft-glib.h> can be included directly."
#endif

#include "base/peft-task.h"
#include "peft-tokenizer.h"

G_BEGIN_DECLS

/**
 * PeftLossOn:
 * @PEFT_LOSS_ON_AUTO: completions, all turns of assistants, whole texts
 * @PEFT_LOSS_ON_ALL: every token
 * @PEFT_LOSS_ON_COMPLETION: completions; of a conversation its last assistant turn
 * @PEFT_LOSS_ON_ASSISTANT: all turns of assistants
 *
 * Which tokens of a row the model learns.
 *
 * Since: 1.0
 */
typedef enum
{
  PEFT_LOSS_ON_AUTO,
  PEFT_LOSS_ON_ALL,
  PEFT_LOSS_ON_COMPLETION,
  PEFT_LOSS_ON_ASSISTANT
} PeftLossOn;

#define PEFT_TYPE_DATASET (peft_dataset_get_type ())

PEFT_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (PeftDataset, peft_dataset, PEFT, DATASET, GObject)

PEFT_AVAILABLE_IN_1_0
PeftDataset *peft_dataset_load (const char *const *paths, const char *mapping,
                                GCancellable *cancellable, GError **error);
PEFT_AVAILABLE_IN_1_0
PeftDataset *peft_dataset_load_for_task (const char *const *paths, const char *mapping, PeftTask task,
                                         GCancellable *cancellable, GError **error);
PEFT_AVAILABLE_IN_1_0
GStrv peft_dataset_list_labels (PeftDataset *self, GError **error);
PEFT_AVAILABLE_IN_1_0
void peft_dataset_load_async (const char *const *paths, const char *mapping,
                              GCancellable *cancellable, GAsyncReadyCallback callback,
                              gpointer user_data);
PEFT_AVAILABLE_IN_1_0
PeftDataset *peft_dataset_load_finish (GAsyncResult *result, GError **error);
PEFT_AVAILABLE_IN_1_0
PeftDataset *peft_dataset_new_from_text (const char *name, const char *text, const char *mapping,
                                         GError **error);
PEFT_AVAILABLE_IN_1_0
guint peft_dataset_get_n_rows (PeftDataset *self);
PEFT_AVAILABLE_IN_1_0
const char *const *peft_dataset_get_paths (PeftDataset *self);
PEFT_AVAILABLE_IN_1_0
char *peft_dataset_row_to_json (PeftDataset *self, guint index);
PEFT_AVAILABLE_IN_1_0
char *peft_dataset_describe_row (PeftDataset *self, guint index);
PEFT_AVAILABLE_IN_1_0
char *peft_dataset_to_json (PeftDataset *self);
PEFT_AVAILABLE_IN_1_0
char *peft_dataset_check (PeftDataset *self, PeftTokenizer *tokenizer, PeftLossOn loss_on,
                          guint max_length, guint vocab_size, GCancellable *cancellable,
                          GError **error);
PEFT_AVAILABLE_IN_1_0
void peft_dataset_check_async (PeftDataset *self, PeftTokenizer *tokenizer, PeftLossOn loss_on,
                               guint max_length, guint vocab_size, GCancellable *cancellable,
                               GAsyncReadyCallback callback, gpointer user_data);
PEFT_AVAILABLE_IN_1_0
char *peft_dataset_check_finish (PeftDataset *self, GAsyncResult *result, GError **error);
PEFT_AVAILABLE_IN_1_0
char *peft_dataset_preview_row (PeftDataset *self, guint index, PeftTokenizer *tokenizer,
                                PeftLossOn loss_on, guint max_length, GError **error);

G_END_DECLS
