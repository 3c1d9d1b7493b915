/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "data/peft-data-batch.h"
#include "methods/peft-method.h"

/* Runs passes over batches: forward, loss, gradient. Shapes are rounded up to buckets; every bucket is first
 * run on a plan backend, and one arena of the largest peak is allocated, so that passes allocate
 * nothing. */

typedef struct _PeftEngine PeftEngine;

/* Lengths, and numbers of labelled rows, go up to the next bucket: multiples of 16 up to 128, of 64 up to 512, above
 * that of an eighth of the power of two below. Padding never changes a result. */
guint32 peft_engine_round (guint32 n);

/* Bytes of logits that the loss holds at a time. */
#define PEFT_ENGINE_LOGITS_BYTES (64u << 20)

/* The shape of a pass and what it is for. Lengths are those of the lines in the batch: what the active adapter puts in
 * front of them comes on top. */
typedef struct
{
  guint32 batch, length;
  guint32 n_labels; /* labelled rows; 0: no loss */
  gboolean gradients, checkpointing;
  gboolean training;   /* dropout is active */
  gboolean extra_loss; /* the method's own term, where it has one */
  gboolean logits;     /* of all rows, on the host */
} PeftPass;

typedef struct
{
  guint64 weights;     /* of the base model */
  guint64 mapped;      /* of these: pages of the model's files, which the system can take back */
  guint64 adapter;     /* trained values */
  guint64 training;    /* their gradients and the optimiser's state */
  guint64 activations; /* alive at the end of the forward pass */
  guint64 scratch;     /* what the largest pass needs beyond that */
  guint64 buffers;     /* batches on the device, key-value cache */
  guint64 total;       /* without mapped */
} PeftMemoryPlan;

/* adapter: the one that is trained, NULL: none. It must be active. */
PeftEngine *peft_engine_new (PeftCore *core, PeftAdapter *adapter);
void peft_engine_free (PeftEngine *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftEngine, peft_engine_free)

/* What a pass needs, without allocating it. The core may live on a plan backend (peft_plan_backend_new), so that
 * nothing at all is allocated. Gradients are accounted whether or not they are there. PEFT_ERROR_UNSUPPORTED
 * names a kernel that the backend lacks. */
gboolean peft_engine_measure (PeftEngine *self, const PeftPass *pass, gsize n_state,
                              PeftMemoryPlan *plan, GError **error);
/* Allocates for these passes (rounded up); more than once: for those of all calls. */
gboolean peft_engine_reserve (PeftEngine *self, const PeftPass *passes, gsize n, GError **error);
/* Measured peak and what passes really used. */
gsize peft_engine_get_reserved (PeftEngine *self);
gsize peft_engine_get_peak (PeftEngine *self);

typedef struct
{
  gboolean gradients;     /* added to those of the adapter's parameters */
  gboolean checkpointing;
  gboolean training;      /* dropout is active */
  gboolean extra_loss;    /* the method's own term, once an optimiser step */
  guint64 seed, step;     /* of dropout */
  double denominator;     /* labelled tokens of the optimiser step; 0: those of the batch */
  float *logits;          /* (nullable) [batch, n_virtual + length, outputs of the head] */
  const float *hidden_gradient; /* (nullable) of feature extraction: [batch, length, width], virtual positions included */
  float *row_losses;      /* (nullable) [n_targets] of the batch, in order of lines and positions */
} PeftPassOptions;

typedef struct
{
  double loss_sum;   /* undivided cross-entropy */
  double extra_loss;
  guint64 n_labels, n_correct;
} PeftPassResult;

/* The batch's length need not be a bucket; reserve must have seen its shape. */
gboolean peft_engine_run (PeftEngine *self, const PeftDataBatch *batch,
                          const PeftPassOptions *options, PeftPassResult *result, GError **error);
/* The shape that running these samples has: length and labels rounded. */
void peft_engine_get_shape (PeftCore *core, const PeftEncodedSet *set,
                            const PeftDataSamples *samples, const guint32 *indices, guint32 n,
                            PeftPass *pass);

/* Are all ids and labels of the set within the vocabulary? PEFT_ERROR_INVALID_DATA names the row. */
gboolean peft_engine_check_ids (PeftCore *core, const PeftEncodedSet *set, GError **error);

/* The first tensor of the trained adapter whose values are not finite; NULL: none. */
const char *peft_engine_find_not_finite (PeftEngine *self);
