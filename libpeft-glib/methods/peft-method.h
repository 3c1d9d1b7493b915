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
/* The same, any case; PEFT_ERROR_UNSUPPORTED for a method of peft that is not there yet,
 * PEFT_ERROR_NOT_FOUND for another name. */
const PeftMethod *peft_method_require (const char *peft_type, GError **error);
const PeftMethod *const *peft_method_list (void); /* NULL-terminated */
/* Is it a method of the Python library, whether or not it is here? */
gboolean peft_method_is_known_to_peft (const char *peft_type);

/* What an adapter trains in place of a slot's own weights: modules_to_save, biases, everything in full
 * training. A tied head may share the embedding's parameter. */
typedef struct
{
  PeftSlot *slot;
  PeftParam *weight, *bias; /* NULL: not this one */
} PeftAdapterOverride;

/* One adapter on one model. */
struct _PeftAdapter
{
  gint ref_count;
  char *name;
  const PeftMethod *method; /* NULL: full training */
  PeftConfig *config;       /* a copy, with target_modules resolved; NULL: full training */
  PeftCore *core;
  PeftParamSet *params;
  GPtrArray *hooks;      /* PeftSlotHook, owned */
  GPtrArray *hook_slots; /* PeftSlot of each hook */
  GPtrArray *overrides;  /* PeftAdapterOverride: modules_to_save, biases, all weights of full training */
  gpointer method_data; /* the method's own, shared by its slots */
  GDestroyNotify method_data_free;
  GPtrArray *notes; /* translated remarks for the user: fields and tensors that were ignored … */
  guint64 seed;
  gboolean loading;       /* initial values do not matter: a file brings them */
  gboolean out_of_memory; /* an initialiser failed */
  gboolean active;
};

/* A new adapter with initialised parameters, inactive. Errors name what would be right: a target that
 * matches nothing comes with the closest module names. */
PeftAdapter *peft_adapter_new (PeftCore *core, PeftConfig *config, const char *name, guint64 seed,
                               GError **error);
/* Can these be active together? Two that train the same weight cannot. */
gboolean peft_adapter_check_together (GPtrArray *adapters, GError **error);
/* Full training: every weight of the model becomes a parameter. */
PeftAdapter *peft_adapter_new_full (PeftCore *core, GError **error);
/* From a folder with adapter_config.json and adapter_model.safetensors, or from its subfolder `name`.
 * Weights may be F32, F16, BF16. */
PeftAdapter *peft_adapter_load (PeftCore *core, const char *folder, const char *name,
                                GError **error);
/* Writes the two files, weights first; a full adapter a whole model with the dtypes of the original. */
gboolean peft_adapter_save (PeftAdapter *self, const char *folder, GError **error);
/* Of a full adapter, with dtype as in peft_core_save_merged. */
gboolean peft_adapter_save_full (PeftAdapter *self, const char *folder, PeftDType dtype,
                                 GError **error);
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
/* NULL while loading. Out of memory fails peft_adapter_new. */
float *peft_init_kaiming (PeftAdapter *self, const char *key, gint64 rows, gint64 columns);
float *peft_init_uniform (PeftAdapter *self, const char *key, gsize n, double bound);
float *peft_init_normal (PeftAdapter *self, const char *key, gsize n, double std);
float *peft_init_zeros (PeftAdapter *self, gsize n);

/* All weights of a slot as float32, in the order of the slot; `trained` NULL: the frozen ones. */
float *peft_slot_read (PeftSlot *self, PeftTensor *frozen, PeftParam *trained, GError **error);

/* Writes the model with the given adapters folded in as a Hugging Face folder, tensor by tensor, in
 * shards above PEFT_SHARD_BYTES. dtype: of the written weights, PEFT_N_DTYPES: as stored; block types
 * become F16. A head tied to an embedding that the adapters tell apart is untied. Files of the original
 * folder that say how to use the model (tokenizer, template, generation) are copied. */
#define PEFT_SHARD_BYTES G_GUINT64_CONSTANT (5000000000)
gboolean peft_core_save_merged (PeftCore *core, GPtrArray *adapters, const char *folder,
                                PeftDType dtype, GCancellable *cancellable, GError **error);
