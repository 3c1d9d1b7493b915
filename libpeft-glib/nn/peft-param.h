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
guint64 peft_param_set_get_n_trainable (PeftParamSet *self);

/* Flat gradient and optimiser memory (m, v), zeroed. A set on a plan backend measures only. */
gboolean peft_param_set_begin_training (PeftParamSet *self, gboolean with_moments, GError **error);
void peft_param_set_end_training (PeftParamSet *self);
void peft_param_set_zero_grad (PeftParamSet *self);
/* Square root of Σ g², in float64. */
double peft_param_set_grad_norm (PeftParamSet *self);
/* Bytes that begin_training allocates. */
guint64 peft_param_set_training_bytes (PeftParamSet *self, gboolean with_moments);

/* Flat 1-D views for optimisers: one call a group (decay, no decay). FALSE: the group is empty. */
typedef struct
{
  PeftView w, g, m, v;
} PeftParamGroup;
gboolean peft_param_set_get_group (PeftParamSet *self, gboolean decay, PeftParamGroup *group);

void peft_param_download (PeftParam *self, float *out);
void peft_param_upload (PeftParam *self, const float *values);
/* Whole flat arrays for checkpoints: 0 values, 1 gradients, 2 m, 3 v; in the backend's real type. */
GBytes *peft_param_set_download_flat (PeftParamSet *self, guint which);
gboolean peft_param_set_upload_flat (PeftParamSet *self, guint which, GBytes *bytes,
                                     GError **error);
