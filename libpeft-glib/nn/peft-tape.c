/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "nn/peft-param.h"
#include "nn/peft-tape.h"

static PeftCell *
cell_ref (PeftCell *self)
{
  self->ref_count++;
  return self;
}

static void
cell_unref (PeftCell *self)
{
  if (--self->ref_count > 0)
    return;
  g_clear_pointer (&self->value, peft_tensor_unref);
  g_free (self);
}

static PeftGrad *
grad_ref (PeftGrad *self)
{
  self->ref_count++;
  return self;
}

static void
grad_unref (PeftGrad *self)
{
  if (--self->ref_count > 0)
    return;
  g_clear_pointer (&self->value, peft_tensor_unref);
  g_free (self);
}

static PeftGrad *
grad_new (const PeftView *like, PeftDType real)
{
  PeftGrad *self = g_new0 (PeftGrad, 1);
  self->ref_count = 1;
  self->dtype = real;
  self->n_dims = like->n_dims;
  for (guint i = 0; i < like->n_dims; i++)
    self->shape[i] = like->shape[i];
  return self;
}

static void
node_free (PeftNode *self)
{
  for (guint i = 0; i < self->n_inputs; i++)
    g_clear_pointer (&self->inputs[i], grad_unref);
  for (guint i = 0; i < self->n_outputs; i++)
    g_clear_pointer (&self->outputs[i], grad_unref);
  for (guint i = 0; i < self->n_saved; i++)
    g_clear_pointer (&self->saved[i], cell_unref);
  if (self->state != NULL && self->klass->clear_state != NULL)
    self->klass->clear_state (self->state);
  g_free (self->state);
  g_free (self);
}

PeftVar *
peft_var_ref (PeftVar *self)
{
  self->ref_count++;
  return self;
}

void
peft_var_unref (PeftVar *self)
{
  if (--self->ref_count > 0)
    return;
  /* A value that can be computed again goes now; whoever saved it keeps the promise. */
  if (self->cell->producer != NULL)
    g_clear_pointer (&self->cell->value, peft_tensor_unref);
  cell_unref (self->cell);
  peft_tensor_unref (self->value);
  g_clear_pointer (&self->grad, grad_unref);
  g_free (self);
}

static PeftVar *
var_new (PeftTensor *value, PeftGrad *grad)
{
  PeftVar *self = g_new0 (PeftVar, 1);
  self->ref_count = 1;
  self->value = value;
  self->grad = grad;
  self->cell = g_new0 (PeftCell, 1);
  self->cell->ref_count = 1;
  return self;
}

static gboolean
tensor_is_exclusive (PeftTensor *tensor)
{
  return g_atomic_int_get (&tensor->ref_count) == 1
         && (tensor->base == NULL || tensor_is_exclusive (tensor->base));
}

gboolean
peft_var_is_exclusive (PeftVar *self)
{
  return self->ref_count == 1 && tensor_is_exclusive (self->value);
}

PeftTape *
peft_tape_new (const PeftTapeOptions *options)
{
  PeftTape *self = g_new0 (PeftTape, 1);
  self->options = *options;
  peft_arena_ref (options->arena);
  self->backend = peft_arena_get_backend (options->arena);
  self->nodes = g_ptr_array_new_with_free_func ((GDestroyNotify) node_free);
  self->param_vars
      = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) peft_var_unref);
  return self;
}

void
peft_tape_free (PeftTape *self)
{
  g_hash_table_unref (self->param_vars);
  g_ptr_array_unref (self->nodes);
  g_clear_error (&self->error);
  peft_arena_unref (self->options.arena);
  g_free (self);
}

PeftVar *
peft_tape_constant (PeftTape *self, PeftTensor *value)
{
  return var_new (peft_tensor_ref (value), NULL);
}

PeftVar *
peft_tape_leaf (PeftTape *self, PeftTensor *value)
{
  PeftGrad *grad = NULL;

  if (self->options.recording)
    {
      grad = grad_new (&value->view, self->backend->real);
      grad->keep = TRUE;
    }
  return var_new (peft_tensor_ref (value), grad);
}

PeftVar *
peft_tape_param (PeftTape *self, PeftParam *param)
{
  PeftVar *var = g_hash_table_lookup (self->param_vars, param);

  self->met_param |= param->trainable && param->grad != NULL;
  if (var == NULL)
    {
      PeftGrad *grad = NULL;

      if (self->options.recording && param->trainable && param->grad != NULL)
        {
          grad = grad_new (&param->value->view, self->backend->real);
          grad->keep = TRUE;
          grad->fixed = TRUE;
          grad->value = peft_tensor_ref (param->grad);
        }
      var = var_new (peft_tensor_ref (param->value), grad);
      g_hash_table_insert (self->param_vars, param, var);
    }
  return peft_var_ref (var);
}

PeftTensor *
peft_var_get_grad (PeftVar *self)
{
  return self->grad != NULL ? self->grad->value : NULL;
}

void
peft_tape_fail (PeftTape *self, GError *error)
{
  if (self->error == NULL)
    self->error = error;
  else
    g_error_free (error);
}

gboolean
peft_tape_check (PeftTape *self, GError **error)
{
  if (self->error == NULL)
    return TRUE;
  g_propagate_error (error, g_error_copy (self->error));
  return FALSE;
}

PeftDType
peft_tape_matmul_dtype (PeftTape *self)
{
  return self->options.compute == PEFT_COMPUTE_BF16 && self->backend->real == PEFT_DTYPE_F32
             ? PEFT_DTYPE_BF16
             : self->backend->real;
}

PeftTensor *
peft_tape_alloc (PeftTape *self, PeftDType dtype, guint n_dims, const gint64 *shape)
{
  GError *error = NULL;
  PeftTensor *tensor = peft_tensor_new_in (self->options.arena, dtype, n_dims, shape, &error);

  if (tensor == NULL)
    {
      PeftView view;

      peft_tape_fail (self, error);
      peft_view_init (&view, NULL, 0, dtype, n_dims, shape);
      tensor = peft_tensor_new_view (NULL, &view);
    }
  return tensor;
}

PeftTensor *
peft_tape_alloc_like (PeftTape *self, const PeftView *view)
{
  return peft_tape_alloc (self, view->dtype, view->n_dims, view->shape);
}

void
peft_tape_run (PeftTape *self, PeftKernel kernel, gconstpointer params)
{
  if (self->error == NULL)
    peft_backend_run (self->backend, kernel, params);
}

PeftVar *
peft_tape_emit (PeftTape *self, const PeftNodeClass *klass, PeftTensor *value,
                PeftVar *const *inputs, guint n_inputs, gconstpointer state, gsize state_size,
                PeftNode **node_out)
{
  gboolean needed = FALSE;

  if (self->options.recording)
    for (guint i = 0; i < n_inputs; i++)
      needed |= inputs[i] != NULL && inputs[i]->grad != NULL;
  if (!needed)
    {
      /* The state's references go the way they would have gone with the node. */
      if (state != NULL && klass->clear_state != NULL)
        {
          g_autofree gpointer copy = g_memdup2 (state, state_size);
          klass->clear_state (copy);
        }
      *node_out = NULL;
      return var_new (value, NULL);
    }
  return peft_tape_emit_always (self, klass, value, inputs, n_inputs, state, state_size, node_out);
}

PeftVar *
peft_tape_emit_always (PeftTape *self, const PeftNodeClass *klass, PeftTensor *value,
                       PeftVar *const *inputs, guint n_inputs, gconstpointer state,
                       gsize state_size, PeftNode **node_out)
{
  PeftNode *node = g_new0 (PeftNode, 1);
  PeftVar *var;

  g_assert (n_inputs <= PEFT_NODE_MAX);
  node->klass = klass;
  node->n_inputs = n_inputs;
  for (guint i = 0; i < n_inputs; i++)
    node->inputs[i] = inputs[i] != NULL && inputs[i]->grad != NULL ? grad_ref (inputs[i]->grad) : NULL;
  node->state = state != NULL ? g_memdup2 (state, state_size) : NULL;
  node->dtype = value->view.dtype;
  node->n_dims = value->view.n_dims;
  for (guint i = 0; i < node->n_dims; i++)
    node->shape[i] = value->view.shape[i];
  g_ptr_array_add (self->nodes, node);

  var = var_new (value, grad_new (&value->view, self->backend->real));
  node->outputs[node->n_outputs++] = grad_ref (var->grad);
  if (klass->recompute != NULL)
    var->cell->producer = node;
  *node_out = node;
  return var;
}

void
peft_node_save (PeftNode *node, PeftVar *var)
{
  if (node == NULL)
    return;
  g_assert (node->n_saved < PEFT_NODE_MAX);
  if (var->cell->value == NULL)
    var->cell->value = peft_tensor_ref (var->value);
  node->saved[node->n_saved++] = cell_ref (var->cell);
}

void
peft_node_save_tensor (PeftNode *node, PeftTensor *tensor)
{
  PeftCell *cell;

  if (node == NULL)
    return;
  g_assert (node->n_saved < PEFT_NODE_MAX);
  cell = g_new0 (PeftCell, 1);
  cell->ref_count = 1;
  cell->value = peft_tensor_ref (tensor);
  node->saved[node->n_saved++] = cell;
}

const PeftView *
peft_node_saved (PeftTape *tape, PeftNode *node, guint index)
{
  PeftCell *cell = node->saved[index];

  g_assert (index < node->n_saved);
  if (cell->value == NULL)
    {
      PeftNode *producer = cell->producer;

      cell->value = peft_tape_alloc (tape, producer->dtype, producer->n_dims, producer->shape);
      producer->klass->recompute (tape, producer, cell->value);
    }
  return &cell->value->view;
}

const PeftView *
peft_node_grad_output (PeftNode *node, guint index)
{
  PeftTensor *value = node->outputs[index]->value;
  return value != NULL ? &value->view : NULL;
}

static void
copy_values (PeftTape *tape, const PeftView *src, const PeftView *dst, gboolean accumulate)
{
  PeftCopyParams params = { .x = *src, .y = *dst, .alpha = 1, .accumulate = accumulate };
  peft_tape_run (tape, PEFT_KERNEL_COPY, &params);
}

/* Two variables may have got the same gradient without a copy; before one of them changes it
 * gets its own. */
static void
grad_make_exclusive (PeftTape *tape, PeftGrad *grad)
{
  PeftTensor *own;

  if (grad->fixed || tensor_is_exclusive (grad->value))
    return;
  own = peft_tape_alloc (tape, grad->dtype, grad->n_dims, grad->shape);
  copy_values (tape, &grad->value->view, &own->view, FALSE);
  peft_tensor_unref (grad->value);
  grad->value = own;
}

const PeftView *
peft_node_own_grad (PeftTape *tape, PeftNode *node, guint index)
{
  grad_make_exclusive (tape, node->outputs[index]);
  return &node->outputs[index]->value->view;
}

gboolean
peft_node_grad_input (PeftTape *tape, PeftNode *node, guint index, PeftView *view,
                      gboolean *accumulate)
{
  PeftGrad *grad = node->inputs[index];

  if (grad == NULL)
    return FALSE;
  *accumulate = grad->value != NULL;
  if (grad->value == NULL)
    grad->value = peft_tape_alloc (tape, grad->dtype, grad->n_dims, grad->shape);
  else
    grad_make_exclusive (tape, grad);
  *view = grad->value->view;
  return TRUE;
}

gboolean
peft_node_grad_input_begin (PeftTape *tape, PeftNode *node, guint index, PeftTensor **scratch)
{
  PeftGrad *grad = node->inputs[index];

  *scratch = NULL;
  if (grad == NULL)
    return FALSE;
  *scratch = peft_tape_alloc (tape, grad->dtype, grad->n_dims, grad->shape);
  return TRUE;
}

void
peft_node_grad_input_end (PeftTape *tape, PeftNode *node, guint index, PeftTensor *scratch)
{
  PeftGrad *grad = node->inputs[index];

  if (scratch == NULL)
    return;
  if (grad->value == NULL)
    {
      grad->value = scratch;
    }
  else
    {
      PeftView view;
      gboolean accumulate;

      peft_node_grad_input (tape, node, index, &view, &accumulate);
      copy_values (tape, &scratch->view, &view, TRUE);
      peft_tensor_unref (scratch);
    }
}

static gboolean
has_shape (const PeftView *view, guint n_dims, const gint64 *shape)
{
  gboolean same = view->n_dims == n_dims;

  for (guint i = 0; same && i < n_dims; i++)
    same = view->shape[i] == shape[i];
  return same;
}

void
peft_node_pass_grad (PeftTape *tape, PeftNode *node, guint index)
{
  PeftTensor *dy = node->outputs[0]->value;
  PeftGrad *grad = node->inputs[index];

  if (grad == NULL || dy == NULL)
    return;
  if (grad->value == NULL && peft_view_is_contiguous (&dy->view))
    {
      PeftView view = peft_view_reshape (&dy->view, grad->n_dims, grad->shape);
      grad->value = peft_tensor_derive (dy, &view);
    }
  else
    {
      PeftView view, source;
      gboolean accumulate;

      peft_node_grad_input (tape, node, index, &view, &accumulate);
      source = dy->view;
      if (!has_shape (&source, view.n_dims, view.shape))
        {
          if (peft_view_is_contiguous (&source))
            source = peft_view_reshape (&source, view.n_dims, view.shape);
          else
            view = peft_view_reshape (&view, source.n_dims, source.shape);
        }
      copy_values (tape, &source, &view, accumulate);
    }
}

void
peft_tape_backward (PeftTape *self, PeftVar *root, PeftTensor *seed)
{
  g_assert (self->options.recording);
  if (root->grad == NULL)
    return;
  g_clear_pointer (&root->grad->value, peft_tensor_unref);
  if (seed != NULL)
    {
      root->grad->value = peft_tensor_ref (seed);
    }
  else
    {
      PeftFillParams fill = { .value = 1 };

      root->grad->value
          = peft_tape_alloc (self, root->grad->dtype, root->grad->n_dims, root->grad->shape);
      fill.x = root->grad->value->view;
      peft_tape_run (self, PEFT_KERNEL_FILL, &fill);
    }

  while (self->nodes->len > 0)
    {
      PeftNode *node = g_ptr_array_index (self->nodes, self->nodes->len - 1);
      gboolean reached = FALSE;

      for (guint i = 0; i < node->n_outputs; i++)
        reached |= node->outputs[i]->value != NULL;
      if (reached)
        node->klass->backward (self, node);
      for (guint i = 0; i < node->n_outputs; i++)
        if (!node->outputs[i]->keep)
          g_clear_pointer (&node->outputs[i]->value, peft_tensor_unref);
      g_ptr_array_set_size (self->nodes, self->nodes->len - 1);
    }
  g_hash_table_remove_all (self->param_vars);
}

/* ---- Checkpointing ------------------------------------------------------------------------- */

typedef struct
{
  PeftTapeFunc func;
  gpointer data;
  GDestroyNotify destroy;
} CheckpointState;

static void
checkpoint_clear (gpointer data)
{
  CheckpointState *state = data;
  if (state->destroy != NULL)
    state->destroy (state->data);
}

static void
checkpoint_backward (PeftTape *tape, PeftNode *node)
{
  CheckpointState *state = node->state;
  PeftVar *inputs[PEFT_NODE_MAX];
  g_autoptr (PeftTape) inner = peft_tape_new (&tape->options);
  PeftVar *output;

  /* The inner variables gather into the outer gradients. */
  for (guint i = 0; i < node->n_inputs; i++)
    {
      peft_node_saved (tape, node, i);
      inputs[i] = var_new (peft_tensor_ref (node->saved[i]->value),
                           node->inputs[i] != NULL ? grad_ref (node->inputs[i]) : NULL);
    }
  output = state->func (inner, inputs, state->data);
  for (guint i = 0; i < node->n_inputs; i++)
    peft_var_unref (inputs[i]);
  peft_tape_backward (inner, output, node->outputs[0]->value);
  peft_var_unref (output);
  if (inner->error != NULL)
    peft_tape_fail (tape, g_steal_pointer (&inner->error));
}

static const PeftNodeClass checkpoint_class = {
  .name = "checkpoint",
  .backward = checkpoint_backward,
  .clear_state = checkpoint_clear,
};

PeftVar *
peft_tape_checkpoint (PeftTape *self, PeftTapeFunc func, PeftVar *const *inputs, guint n_inputs,
                      gpointer data, GDestroyNotify destroy)
{
  CheckpointState state = { func, data, destroy };
  gboolean recording = self->options.recording, met_param = self->met_param;
  g_autoptr (PeftVar) output = NULL;
  PeftNode *node;
  PeftVar *var;

  self->options.recording = FALSE;
  self->met_param = FALSE;
  output = func (self, inputs, data);
  self->options.recording = recording;
  g_hash_table_remove_all (self->param_vars);

  if (recording && self->met_param)
    var = peft_tape_emit_always (self, &checkpoint_class, peft_tensor_ref (output->value), inputs,
                                 n_inputs, &state, sizeof state, &node);
  else
    var = peft_tape_emit (self, &checkpoint_class, peft_tensor_ref (output->value), inputs,
                          n_inputs, &state, sizeof state, &node);
  self->met_param |= met_param;
  for (guint i = 0; i < n_inputs; i++)
    peft_node_save (node, inputs[i]);
  return var;
}
