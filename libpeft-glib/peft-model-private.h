/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "methods/peft-method.h"
#include "peft-base-model-private.h"
#include "peft-model.h"

typedef struct
{
  PeftAdapter *adapter;
  gboolean active;
  gboolean merged; /* part of the model's merged weights */
  double weight;   /* of the present choice of active adapters */
  double scale;    /* stays whichever are active */
} PeftModelEntry;

/* A slot's weights with adapters folded in, which stand before its own while the model computes. */
typedef struct
{
  PeftSlot *slot;
  PeftTensor *weight, *bias; /* bias NULL: none, or the slot's own */
} PeftMergedSlot;

struct _PeftModel
{
  GObject parent_instance;

  PeftBaseModel *base;
  GMutex mutex;
  GPtrArray *entries; /* PeftModelEntry, in the order they came; under mutex */
  GPtrArray *merged;  /* PeftMergedSlot; under mutex */
  gboolean enabled;   /* under mutex */
  guint serial;       /* under mutex */
};

void peft_merged_slot_free (gpointer slot);
/* Under mutex: the model has its own weights again. */
void peft_model_forget_merged (PeftModel *self);

/* Under mutex; NULL: no such adapter. */
PeftModelEntry *peft_model_find_entry (PeftModel *self, const char *name);
void peft_model_set_no_adapter (const char *name, GError **error);
/* The adapters that count, with references. */
GPtrArray *peft_model_list_active (PeftModel *self);
void peft_model_emit_changed (PeftModel *self);
void peft_model_emit_progress (PeftModel *self, guint64 done, guint64 total);

/* May an adapter be called that? */
gboolean peft_model_check_name (PeftModel *self, const char *name, GError **error);
/* Takes adapter; the caller emits that adapters have changed, where signals are emitted. */
void peft_model_take_adapter (PeftModel *self, PeftAdapter *adapter);

PeftCore *peft_model_get_core (PeftModel *self);
PeftWorker *peft_model_get_worker (PeftModel *self);

/* Around the computing of an operation that holds the worker: puts the active adapters into the base model,
 * which other models may share, and takes them out. */
void peft_model_attach (PeftModel *self);
void peft_model_detach (PeftModel *self);

/* Puts an adapter with everything that is trained in the place of one that is `incomplete`; state: the path of a
 * training_state.safetensors. NULL with an error; (transfer full). */
PeftAdapter *peft_model_complete_adapter (PeftModel *self, PeftAdapter *adapter, const char *state,
                                          GError **error);

/* The one that training means: PEFT_ERROR_INVALID_ARGUMENT unless exactly one is active. (transfer full) */
PeftAdapter *peft_model_get_trained (PeftModel *self, GError **error);

/* Changes whenever what the model computes does: for caches. */
guint peft_model_get_serial (PeftModel *self);
void peft_model_bump_serial (PeftModel *self);
