/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "compute/peft-tensor.h"

/* Automatic differentiation over coarse nodes. A node function computes its result at once and, when
 * the tape records and an input needs a gradient, appends a node that knows how to go back.
 *
 * A value lives as long as somebody needs it: the PeftVar that user code holds, or the cell of a
 * node that saved it for its backward pass. A cheap node (norm, gated product) may offer to compute its
 * output again: then the value is dropped when user code lets the variable go, and comes back when
 * the backward pass asks for it. */

typedef struct _PeftTape PeftTape;
typedef struct _PeftVar PeftVar;
typedef struct _PeftNode PeftNode;
typedef struct _PeftCell PeftCell;
typedef struct _PeftGrad PeftGrad;
typedef struct _PeftParam PeftParam;

struct _PeftVar
{
  gint ref_count;
  PeftTensor *value;
  PeftCell *cell;
  PeftGrad *grad; /* NULL: needs no gradient */
};

/* A value saved for the backward pass, or the promise to compute it again. */
struct _PeftCell
{
  gint ref_count;
  PeftTensor *value;
  PeftNode *producer; /* set when the value can be recomputed */
};

/* Where the gradient of one variable gathers. */
struct _PeftGrad
{
  gint ref_count;
  PeftTensor *value;  /* NULL until the first contribution */
  gboolean keep;      /* a leaf's gradient: stays after the backward pass */
  gboolean fixed;     /* `value` is memory given from outside: added to, never replaced */
  PeftDType dtype;
  guint n_dims;
  gint64 shape[PEFT_MAX_DIMS];
};

#define PEFT_NODE_MAX 12

typedef struct
{
  const char *name;
  void (*backward) (PeftTape *tape, PeftNode *node);
  /* Fills the (single) output again from the saved cells; NULL: the output is kept. */
  void (*recompute) (PeftTape *tape, PeftNode *node, PeftTensor *output);
  void (*clear_state) (gpointer state);
} PeftNodeClass;

struct _PeftNode
{
  const PeftNodeClass *klass;
  guint n_inputs, n_outputs, n_saved;
  PeftGrad *inputs[PEFT_NODE_MAX];  /* NULL where no gradient is needed */
  PeftGrad *outputs[PEFT_NODE_MAX];
  PeftCell *saved[PEFT_NODE_MAX];
  /* A recomputable node's output: to allocate it again. */
  PeftDType dtype;
  guint n_dims;
  gint64 shape[PEFT_MAX_DIMS];
  gpointer state; /* the node's own parameters */
};

/* What a tape runs with; copied. */
typedef struct
{
  PeftArena *arena;
  PeftComputeType compute;
  gboolean recording; /* gradients will be asked for */
  gboolean training;  /* dropout is active */
  guint64 seed;       /* of dropout */
  guint64 step;       /* enters the dropout streams: micro-batch counter */
} PeftTapeOptions;

struct _PeftTape
{
  PeftTapeOptions options;
  PeftBackend *backend;
  GPtrArray *nodes;
  GHashTable *param_vars; /* PeftParam → PeftVar, one leaf a parameter */
  gboolean met_param; /* a parameter that is being trained was used */
  GError *error;      /* the first failure; everything after it is skipped */
};

PeftTape *peft_tape_new (const PeftTapeOptions *options);
void peft_tape_free (PeftTape *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftTape, peft_tape_free)

PeftVar *peft_var_ref (PeftVar *self);
void peft_var_unref (PeftVar *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftVar, peft_var_unref)
static inline const gint64 *
peft_var_shape (PeftVar *self)
{
  return self->value->view.shape;
}

/* Leaves. A constant has no gradient; a leaf gathers one that stays readable through
 * peft_var_get_grad; a parameter's goes into its own gradient memory. All (transfer full). */
PeftVar *peft_tape_constant (PeftTape *self, PeftTensor *value);
PeftVar *peft_tape_leaf (PeftTape *self, PeftTensor *value);
PeftVar *peft_tape_param (PeftTape *self, PeftParam *param);
PeftTensor *peft_var_get_grad (PeftVar *self); /* (transfer none), NULL: none arrived */

/* Runs the nodes backwards from `root` whose gradient is `seed` (NULL: ones), frees what they
 * saved and forgets them. */
void peft_tape_backward (PeftTape *self, PeftVar *root, PeftTensor *seed);
/* FALSE with the first error that a node met. */
gboolean peft_tape_check (PeftTape *self, GError **error);

/* Runs func without recording; the backward pass runs it again, recording. func must depend on its
 * inputs and on parameters only. Returns the output of func. */
typedef PeftVar *(*PeftTapeFunc) (PeftTape *tape, PeftVar *const *inputs, gpointer data);
PeftVar *peft_tape_checkpoint (PeftTape *self, PeftTapeFunc func, PeftVar *const *inputs,
                               guint n_inputs, gpointer data, GDestroyNotify destroy);

/* ---- For node authors ---------------------------------------------------------------------- */

/* Memory for a result. Never NULL: after an error a tensor without a usable buffer. */
PeftTensor *peft_tape_alloc (PeftTape *self, PeftDType dtype, guint n_dims, const gint64 *shape);
PeftTensor *peft_tape_alloc_like (PeftTape *self, const PeftView *view);
/* Skipped once the tape has an error. */
void peft_tape_run (PeftTape *self, PeftKernel kernel, gconstpointer params);
void peft_tape_fail (PeftTape *self, GError *error); /* takes error */

/* Wraps `value` (taken). Unless the tape records and an input needs a gradient, *node is NULL and the
 * result is a constant. Otherwise *node is recorded with the inputs' gradients and a copy of state. */
PeftVar *peft_tape_emit (PeftTape *self, const PeftNodeClass *klass, PeftTensor *value,
                         PeftVar *const *inputs, guint n_inputs, gconstpointer state,
                         gsize state_size, PeftNode **node);
/* The same, recorded even when no input needs a gradient: the node reaches parameters by itself. */
PeftVar *peft_tape_emit_always (PeftTape *self, const PeftNodeClass *klass, PeftTensor *value,
                                PeftVar *const *inputs, guint n_inputs, gconstpointer state,
                                gsize state_size, PeftNode **node);
/* Keeps a variable's value for the backward pass; index in order of the calls. node may be NULL. */
void peft_node_save (PeftNode *node, PeftVar *var);
void peft_node_save_tensor (PeftNode *node, PeftTensor *tensor);
/* In backward and recompute: the saved value, recomputed if it was dropped. */
const PeftView *peft_node_saved (PeftTape *tape, PeftNode *node, guint index);
/* In backward: the gradient of output `index`, NULL when none arrived. */
const PeftView *peft_node_grad_output (PeftNode *node, guint index);
/* The same, in memory that nobody shares, for nodes that turn it in place. Not NULL. */
const PeftView *peft_node_own_grad (PeftTape *tape, PeftNode *node, guint index);
/* In backward: where to put the gradient of input `index`. FALSE: not needed. When it comes back with
 * *accumulate set the kernel must add. */
gboolean peft_node_grad_input (PeftTape *tape, PeftNode *node, guint index, PeftView *view,
                               gboolean *accumulate);
/* The same for kernels that can only overwrite: memory to write to, then added by end. */
gboolean peft_node_grad_input_begin (PeftTape *tape, PeftNode *node, guint index,
                                     PeftTensor **scratch);
void peft_node_grad_input_end (PeftTape *tape, PeftNode *node, guint index, PeftTensor *scratch);
/* Adds the gradient of the node's output to that of input `index`, whose memory it becomes where
 * possible; the shape may differ when the number of values does not. */
void peft_node_pass_grad (PeftTape *tape, PeftNode *node, guint index);
/* Is nobody else holding the memory of this value, so that a node may compute in place? */
gboolean peft_var_is_exclusive (PeftVar *self);
/* The type of activations that only matrix products read: bfloat16 in fast mode. */
PeftDType peft_tape_matmul_dtype (PeftTape *self);
