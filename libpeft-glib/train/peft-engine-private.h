/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "train/peft-engine.h"

/* Device memory of the batch that is running: I32, each as long as the largest pass needs. */
typedef struct
{
  guint64 n_tokens, n_labels, n_lines;
  PeftTensor *ids, *positions, *segments;
  PeftTensor *label_rows; /* which rows of the hidden states carry a label */
  PeftTensor *labels;
  PeftTensor *task_ids;
} PeftStaging;

gboolean peft_staging_allocate (PeftStaging *self, PeftBackend *backend, guint64 n_tokens,
                                guint64 n_labels, guint64 n_lines, GError **error);
void peft_staging_clear (PeftStaging *self);
guint64 peft_staging_bytes (guint64 n_tokens, guint64 n_labels, guint64 n_lines);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PeftStaging, peft_staging_clear)

struct _PeftEngine
{
  PeftCore *core;
  PeftAdapter *adapter; /* NULL: nothing is trained */
  PeftArena *arena;     /* NULL: nothing reserved yet */
  gsize reserved;
  GHashTable *planned;  /* PeftPass, rounded → PeftPassMemory */
  PeftBackend *plan;
  PeftStaging staging;
  gint32 *host;         /* staging's contents on their way */
  float *losses;        /* [n_labels] */
  gint32 *correct;
};

/* What one pass did with its memory. */
typedef struct
{
  gsize peak;        /* of the arena */
  gsize activations; /* in use between forward and backward */
} PeftPassMemory;

typedef struct
{
  const PeftPassOptions *options;
  gint64 max_position;
  gboolean segmented;
  gint64 real_length; /* of the lines in options->logits, virtual positions included */
  /* Of answers to questions: */
  const PeftDataBatch *batch; /* NULL: while planning */
  gint64 rounded_length;
  gboolean own_denominator;   /* the loss is the mean over this batch */
  double answer_weights[2];   /* of starts and ends */
  guint32 n_answers;          /* of both */
} PeftPassCall;

/* The pass itself, the same for planning and for real. row_losses and correct (nullable, transfer full): of the
 * rounded number of labels. */
gboolean peft_engine_pass (PeftEngine *self, PeftArena *arena, PeftStaging *staging,
                           const PeftPass *pass, const PeftPassCall *call, PeftTensor **row_losses,
                           PeftTensor **correct, double *extra_loss, PeftPassMemory *memory,
                           GError **error);
void peft_engine_round_pass (const PeftEngine *self, PeftPass *pass);
guint peft_pass_hash (gconstpointer pass);
gboolean peft_pass_equal (gconstpointer a, gconstpointer b);
/* The keys of the table are the passes. */
gboolean peft_engine_reserve_set (PeftEngine *self, GHashTable *passes, GError **error);
/* Positions of all lines, those that the adapter puts in front included. */
gsize peft_engine_count_positions (const PeftEngine *self, const PeftPass *pass);
/* Labelled rows that a pass over the batch has. */
guint32 peft_engine_count_labels (PeftCore *core, const PeftDataBatch *batch);
