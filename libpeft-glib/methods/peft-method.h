/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "methods/peft-config.h"
#include "models/peft-core.h"

/* A fine-tuning method: its PeftConfig subclass and what it puts into the slots of a model. One file
 * each in methods/, listed in methods/meson.build. */

typedef struct _PeftAdapter PeftAdapter;

/* What target_modules = null stands for: one row a model_type, ended by a NULL. */
typedef struct _PeftTargetDefault
{
  const char *model_type;
  const char *targets; /* separated by spaces; a string that starts with ~ is an expression */
} PeftTargetDefault;

/* A recommended value. */
typedef struct
{
  const char *field; /* of the configuration */
  const char *value; /* JSON */
} PeftPresetField;

#define PEFT_PRESET_MAX_FIELDS 6
#define PEFT_N_PRESETS 3 /* quick, balanced, thorough */

/* A tensor of an adapter's file. */
typedef struct
{
  char *key;
  guint n_dims;
  gint64 shape[PEFT_MAX_DIMS];
  float *values; /* owned */
} PeftAdapterTensor;

/* An optimiser step that has just been made. */
typedef struct
{
  guint64 step; /* from 1 */
  guint64 total_steps;
  double grad_scale; /* of clipping: the gradients in memory times this are those that were used */
} PeftMethodStep;

typedef struct
{
  const char *name;         /* peft_type: "LORA" */
  const char *display_name; /* translatable */
  const char *summary;      /* translatable, one sentence: what it does */
  const char *good_for;     /* translatable, one or two sentences: when to choose it */
  const char *cost;         /* translatable, one sentence: parameters, speed, memory, file size */
  double learning_rate;     /* recommended */
  PeftPresetField presets[PEFT_N_PRESETS][PEFT_PRESET_MAX_FIELDS];
  GType (*get_config_type) (void);
  /* NULL: those that peft has for most methods. */
  const PeftTargetDefault *target_defaults;
  /* Cross-field checks; NULL: none. */
  gboolean (*validate) (PeftConfig *config, GError **error);
  /* Slot kinds that it can attach to, a bit (1 << PeftSlotKind) each. */
  guint slot_kinds; /* 0: the method attaches to no slot and has no targets */
  /* Declares parameters that belong to no slot, and sets adapter->core_hook; before attach. NULL: none. */
  gboolean (*declare) (PeftAdapter *adapter, GError **error);
  /* Declares the slot's parameters through peft_adapter_add_param and returns the hook. */
  PeftSlotHook *(*attach) (PeftAdapter *adapter, PeftSlot *slot, GError **error);
  /* Declares what the slots share, when all are known (VeRA); NULL: nothing. */
  gboolean (*complete) (PeftAdapter *adapter, GError **error);
  /* When all parameters have their values, start values or (adapter->loading) a file's: what is computed from the base
   * weights. NULL: nothing. */
  gboolean (*prepare) (PeftAdapter *adapter, GError **error);
  /* Term added to the loss; NULL: none. Before the first and after each optimiser step; NULL: nothing to do. What
   * they keep from step to step lies in parameters that are neither trainable nor saved: those are in checkpoints. */
  PeftVar *(*extra_loss) (PeftAdapter *adapter, PeftTape *tape);
  gboolean (*begin_training) (PeftAdapter *adapter, guint64 total_steps, GError **error);
  gboolean (*after_step) (PeftAdapter *adapter, const PeftMethodStep *step, GError **error);
  /* Tensors of the file that are not simply parameters marked as saved, appended to `out` (PeftAdapterTensor); one
   * with a parameter's key takes its place. NULL: none. */
  gboolean (*export) (PeftAdapter *adapter, GPtrArray *out, GError **error);
  /* What a finished adapter's files have in place of the form that is trained and that checkpoints keep: tensors as for
   * export, and another configuration in *config (transfer full). Neither: they are the same. NULL: always. */
  gboolean (*convert) (PeftAdapter *adapter, GPtrArray *out, PeftConfig **config, GError **error);
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
  char *folder; /* that it was loaded from; NULL: new */
  const PeftMethod *method; /* NULL: full training */
  PeftConfig *config;       /* a copy, with target_modules resolved; NULL: full training */
  PeftCore *core;
  PeftParamSet *params;
  PeftCoreHook *core_hook; /* owned; NULL: none */
  GPtrArray *hooks;      /* PeftSlotHook, owned */
  GPtrArray *hook_slots; /* PeftSlot of each hook */
  GPtrArray *overrides;  /* PeftAdapterOverride: modules_to_save, biases, all weights of full training */
  gpointer method_data; /* the method's own, shared by its slots */
  GDestroyNotify method_data_free;
  GPtrArray *notes; /* translated remarks for the user: fields and tensors that were ignored … */
  guint64 seed;
  gboolean loading;       /* initial values do not matter: a file brings them */
  /* Only what the file holds is declared: where that is less than what is trained (prompt encoders), the adapter can
   * be used but not trained on. */
  gboolean stored_form;
  gboolean incomplete;    /* of the stored form: it is indeed less than what is trained */
  GHashTable *patterns;   /* rank_pattern … → PeftPatternMap */
  gboolean out_of_memory; /* an initialiser failed */
  gboolean keeps_tied;    /* it does the same to a tied head as to the embedding */
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
/* The same with everything that is trained, also what the file lacks, which stays zero until
 * peft_checkpoint_load_values brings it. */
PeftAdapter *peft_adapter_load_trainable (PeftCore *core, const char *folder, const char *name,
                                          GError **error);
/* Writes the two files, weights first; a full adapter a whole model with the dtypes of the original. */
gboolean peft_adapter_save (PeftAdapter *self, const char *folder, GError **error);
/* The same in the form that is trained, for checkpoints. */
gboolean peft_adapter_save_unconverted (PeftAdapter *self, const char *folder, GError **error);
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
/* The same for a parameter outside the slots: the whole key. */
PeftParam *peft_adapter_add_core_param (PeftAdapter *self, const char *key, guint n_dims,
                                        const gint64 *shape, gboolean decay, float *initial);
/* The configuration's number for a slot: that of the first key of `pattern_field` that fits the slot, else `field`'s. */
gboolean peft_adapter_lookup_number (PeftAdapter *self, const char *field, const char *pattern_field,
                                     PeftSlot *slot, double *out, GError **error);
/* Name of a place with random draws: slot and adapter tell it apart. */
guint64 peft_adapter_stream (PeftAdapter *self, PeftSlot *slot);
/* Values of a parameter on the host. */
float *peft_param_dup_values (PeftParam *param);
/* The type in which the slot's weight, or what peft keeps in the same type, goes into an adapter's file. */
PeftDType peft_slot_get_file_dtype (PeftSlot *slot);
void peft_adapter_note (PeftAdapter *self, char *note); /* takes note */
void peft_adapter_tensor_free (PeftAdapterTensor *self);

/* kaiming_uniform (a = √5) of a [rows, columns] matrix: U (-1/√columns, 1/√columns). */
/* NULL while loading. Out of memory fails peft_adapter_new. */
float *peft_init_kaiming (PeftAdapter *self, const char *key, gint64 rows, gint64 columns);
float *peft_init_uniform (PeftAdapter *self, const char *key, gsize n, double bound);
float *peft_init_normal (PeftAdapter *self, const char *key, gsize n, double std);
float *peft_init_zeros (PeftAdapter *self, gsize n);

/* All weights of a slot as float32, in the order of the slot; `trained` NULL: the frozen ones. */
float *peft_slot_read (PeftSlot *self, PeftTensor *frozen, PeftParam *trained, GError **error);

/* A slot's weight, as it is stored, and its bias (NULL: none) with the adapters folded in; *weight NULL: they leave the slot alone.
 * Values that are not finite are PEFT_ERROR_NOT_FINITE, with the adapter's name. */
gboolean peft_core_merge_slot (PeftCore *core, GPtrArray *adapters, PeftSlot *slot, float **weight,
                               float **bias, GError **error);
/* Do the adapters tell a tied head and the embedding apart? */
gboolean peft_core_merge_unties (PeftCore *core, GPtrArray *adapters);
/* Writes the model with the given adapters folded in as a Hugging Face folder, tensor by tensor, in
 * shards above PEFT_SHARD_BYTES. dtype: of the written weights, PEFT_N_DTYPES: as stored; block types
 * become F16. A head tied to an embedding that the adapters tell apart is untied. Files of the original
 * folder that say how to use the model (tokenizer, template, generation) are copied. */
#define PEFT_SHARD_BYTES G_GUINT64_CONSTANT (5000000000)
gboolean peft_core_save_merged (PeftCore *core, GPtrArray *adapters, const char *folder,
                                PeftDType dtype, GCancellable *cancellable, GError **error);
