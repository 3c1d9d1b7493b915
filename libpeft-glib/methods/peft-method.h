/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "methods/peft-config.h"
#include "models/peft-core.h"

/* A fine-tuning method: its PeftConfig subclass and what it puts into the slots of a model. One file
 * each in methods/, listed in methods/meson.build. */

typedef struct _PeftAdapter PeftAdapter;

typedef struct
{
  const char *name;         /* peft_type: "LORA" */
  const char *display_name; /* translatable */
  const char *summary;      /* translatable, one sentence */
  double learning_rate;     /* recommended */
  GType (*get_config_type) (void);
  /* Cross-field checks; NULL: none. */
  gboolean (*validate) (PeftConfig *config, GError **error);
  /* Slot kinds that it can attach to, a bit (1 << PeftSlotKind) each. */
  guint slot_kinds;
  /* Declares the slot's parameters through peft_adapter_add_param and returns the hook. */
  PeftSlotHook *(*attach) (PeftAdapter *adapter, PeftSlot *slot, GError **error);
  /* Prefix of the adapter's own tensors in its file ("lora_"), for messages about unknown keys. */
  const char *key_prefix;
  /* Term added to the loss; NULL: none. After each optimiser step; NULL: none. */
  PeftVar *(*extra_loss) (PeftAdapter *adapter, PeftTape *tape);
  gboolean (*after_step) (PeftAdapter *adapter, guint64 step, guint64 total_steps, GError **error);
} PeftMethod;

const PeftMethod *peft_method_find (const char *peft_type);
const PeftMethod *const *peft_method_list (void); /* NULL-terminated */
/* The names peft knows that we do not have yet, for messages; NULL-terminated. */
gboolean peft_method_is_known_to_peft (const char *peft_type);

/* One adapter on one model. */
struct _PeftAdapter
{
  gint ref_count;
  char *name;
  const PeftMethod *method;
  PeftConfig *config;
  PeftCore *core;
  PeftParamSet *params;
  GPtrArray *hooks;      /* PeftSlotHook, owned */
  GPtrArray *hook_slots; /* PeftSlot of each hook */
  GPtrArray *overrides;  /* PeftAdapterOverride: modules_to_save, biases, all weights of full training */
  guint64 seed;
  gboolean active;
};

/* A new adapter with initialised parameters, inactive. Errors name what would be right: a target that
 * matches nothing comes with the closest module names. */
PeftAdapter *peft_adapter_new (PeftCore *core, PeftConfig *config, const char *name, guint64 seed,
                               GError **error);
/* Full training: every weight of the model becomes a parameter. */
PeftAdapter *peft_adapter_new_full (PeftCore *core, GError **error);
/* From a folder with adapter_config.json and adapter_model.safetensors. */
PeftAdapter *peft_adapter_load (PeftCore *core, const char *folder, const char *name,
                                GError **error);
gboolean peft_adapter_save (PeftAdapter *self, const char *folder, GError **error);
PeftAdapter *peft_adapter_ref (PeftAdapter *self);
void peft_adapter_unref (PeftAdapter *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftAdapter, peft_adapter_unref)

/* Puts the hooks into the slots or takes them out. */
void peft_adapter_set_active (PeftAdapter *self, gboolean active, double weight);

/* For methods: key is "base_model.model." + slot path + "." + suffix. initial is taken. */
PeftParam *peft_adapter_add_param (PeftAdapter *self, PeftSlot *slot, const char *suffix,
                                   guint n_dims, const gint64 *shape, gboolean decay,
                                   float *initial);
/* kaiming_uniform (a = √5) of a [rows, columns] matrix: U (-1/√columns, 1/√columns). */
float *peft_init_kaiming (PeftAdapter *self, const char *key, gint64 rows, gint64 columns);
float *peft_init_normal (PeftAdapter *self, const char *key, gsize n, double std);
float *peft_init_zeros (gsize n);

/* Writes the model with the given adapters folded in, tensor by tensor. dtype: of the written weights, PEFT_N_DTYPES = as stored
 * (block types become F16… see the implementation). */
gboolean peft_core_save_merged (PeftCore *core, GPtrArray *adapters, const char *folder,
                                PeftDType dtype, GCancellable *cancellable, GError **error);
