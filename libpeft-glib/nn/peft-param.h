/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nn/peft-tape.h"

/* Trainable numbers. The parameters of one adapter (or of a whole model) lie in one flat arena of
 * the backend's real type, those with weight decay first, so that the optimiser, the gradient norm and
 * clipping are a few launches over flat memory. */

typedef struct _PeftParamSet PeftParamSet;

struct _PeftParam
{
  char *key;  /* as in the adapter's safetensors file */
  char *name; /* peft's parameter name in memory, when it differs from key; else NULL */
  guint n_dims;
  gint64 shape[PEFT_MAX_DIMS];
  gboolean decay;     /* FALSE: bias or norm weight, no weight decay */
  gboolean trainable;
  gboolean saved;     /* part of the adapter file */
  PeftDType file_dtype; /* of it there: F32, or a shorter one */
  /* Of the second factor of a low-rank pair, for optimisers that treat it apart: the first factor, and what the
   * product is multiplied with. */
  struct _PeftParam *first_factor;
  double pair_scale;
  gsize offset;       /* first value in the flat arena */
  PeftTensor *value;  /* view of the arena, set by peft_param_set_allocate */
  PeftTensor *grad;   /* view of the gradient arena while training, else NULL */
};

PeftParamSet *peft_param_set_new (PeftBackend *backend);
PeftParamSet *peft_param_set_ref (PeftParamSet *self);
void peft_param_set_unref (PeftParamSet *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftParamSet, peft_param_set_unref)

/* Declares a parameter, before allocate. `initial` (n values, taken with g_free) is kept until then.
 * The result is owned by the set. */
PeftParam *peft_param_set_add (PeftParamSet *self, const char *key, guint n_dims,
                               const gint64 *shape, gboolean decay, float *initial);
gboolean peft_param_set_allocate (PeftParamSet *self, GError **error);

guint peft_param_set_get_n (PeftParamSet *self);
PeftParam *peft_param_set_get (PeftParamSet *self, guint index); /* in order of declaration */
PeftParam *peft_param_set_find (PeftParamSet *self, const char *key);
guint64 peft_param_set_get_n_values (PeftParamSet *self);
/* Without what is there for computing alone, neither trained nor saved: what a reader counts as the adapter's. */
guint64 peft_param_set_get_n_own (PeftParamSet *self);
guint64 peft_param_set_get_n_trainable (PeftParamSet *self);

/* Values of everything trained in the flat arena, gaps included: what an array beside it has. */
gsize peft_param_set_get_n_trained (PeftParamSet *self);
/* Flat gradient memory and n_m and n_v values for the optimiser (0: none), zeroed. A set on a plan backend measures only. */
gboolean peft_param_set_begin_training (PeftParamSet *self, gsize n_m, gsize n_v, GError **error);
void peft_param_set_end_training (PeftParamSet *self);
void peft_param_set_zero_grad (PeftParamSet *self);
/* Σ x² of flat memory while training, in float64. */
double peft_param_set_sum_squares (PeftParamSet *self, const PeftView *x);
/* Square root of Σ g², in float64. */
double peft_param_set_grad_norm (PeftParamSet *self);
/* Bytes that begin_training allocates, with n_state values for the optimiser. */
guint64 peft_param_set_training_bytes (PeftParamSet *self, gsize n_state);

/* Flat 1-D views for optimisers: one call a group (decay, no decay). FALSE: the group is empty. */
typedef struct
{
  PeftView w, g, m, v;
} PeftParamGroup;
gboolean peft_param_set_get_group (PeftParamSet *self, gboolean decay, PeftParamGroup *group);
/* The same of one parameter; m and v where they are as long as the arena. */
void peft_param_set_get_single (PeftParamSet *self, PeftParam *param, PeftParamGroup *group);
/* n values of m (FALSE) or v (TRUE), for optimisers that lay them out by themselves. */
PeftView peft_param_set_get_state (PeftParamSet *self, gboolean v, gsize offset, gsize n);

void peft_param_download (PeftParam *self, float *out);
void peft_param_upload (PeftParam *self, const float *values);
/* Whole flat arrays for checkpoints, empty where there is none: 0 values, 1 gradients, 2 m, 3 v; in the backend's real type. */
GBytes *peft_param_set_download_flat (PeftParamSet *self, guint which);
gboolean peft_param_set_upload_flat (PeftParamSet *self, guint which, GBytes *bytes,
                                     GError **error);
