/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "train/peft-forward-file.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"
#include "formats/peft-safetensors-writer.h"
#include "formats/peft-safetensors.h"
#include "train/peft-checkpoint.h"
#include "train/peft-engine-private.h"
#include "train/peft-forward-task.h"

#define MAX_TOKENS (1u << 26)   /* of one input file */
#define MAX_POSITION (1u << 22) /* the table of rotations is as long */

/* ---- Input --------------------------------------------------------------------------------- */

gint64
peft_forward_read_integer (const PeftTensorEntry *entry, gsize index)
{
  const guint8 *at = entry->data + index * peft_dtype_get_info (entry->dtype)->block_bytes;
  gint64 wide;
  gint32 narrow;

  switch (entry->dtype)
    {
    case PEFT_DTYPE_I64:
      memcpy (&wide, at, sizeof wide);
      return wide;
    case PEFT_DTYPE_I32:
      memcpy (&narrow, at, sizeof narrow);
      return narrow;
    default:
      return *at; /* BOOL, U8 */
    }
}

gboolean
peft_forward_check_integers (const PeftTensorEntry *entry, GError **error)
{
  if (entry->dtype == PEFT_DTYPE_I64 || entry->dtype == PEFT_DTYPE_I32
      || entry->dtype == PEFT_DTYPE_BOOL || entry->dtype == PEFT_DTYPE_U8)
    return TRUE;
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
               _ ("%s: tensor %s: expected I64, found %s"), entry->file, entry->name,
               entry->type_name);
  return FALSE;
}

/* A [batch, length] integer tensor; absent and optional: *out is NULL. */
static gboolean
find_input (const PeftSafetensors *file, const char *name, gboolean required,
            const PeftTensorEntry *like, const PeftTensorEntry **out, GError **error)
{
  const PeftTensorEntry *entry = peft_safetensors_lookup (file, name);
  g_autofree char *shape = NULL;

  *out = entry;
  if (entry == NULL)
    {
      if (!required)
        return TRUE;
      return peft_tensor_source_require (peft_safetensors_get_source (file), name, error) != NULL;
    }
  shape = peft_tensor_shape_to_string (entry->shape, entry->n_dims);
  if (!peft_forward_check_integers (entry, error))
    return FALSE;
  if (entry->n_dims != 2 || entry->shape[0] == 0 || entry->shape[1] == 0
      || peft_tensor_entry_get_n_values (entry) > MAX_TOKENS)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_SHAPE_MISMATCH,
                   _ ("%s: tensor %s: expected [batch, length] of at most %u tokens, found %s"),
                   entry->file, name, MAX_TOKENS, shape);
      return FALSE;
    }
  if (like != NULL && (entry->shape[0] != like->shape[0] || entry->shape[1] != like->shape[1]))
    {
      g_autofree char *wanted = peft_tensor_shape_to_string (like->shape, like->n_dims);

      g_set_error (error, PEFT_ERROR, PEFT_ERROR_SHAPE_MISMATCH,
                   _ ("%s: tensor %s: expected the shape of input_ids, %s, found %s"), entry->file, name,
                   wanted, shape);
      return FALSE;
    }
  return TRUE;
}

static gboolean
copy_input (const PeftTensorEntry *entry, gint64 low, gint64 high, gint32 *out, GError **error)
{
  for (gsize i = 0; i < peft_tensor_entry_get_n_values (entry); i++)
    {
      gint64 value = peft_forward_read_integer (entry, i);

      if ((value < low || value > high)
          && !(g_str_equal (entry->name, "labels") && value == PEFT_DATA_IGNORED))
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                       _ ("%s: tensor %s: expected numbers from %" PRIi64
                          " to %" PRIi64 ", found %" PRIi64),
                       entry->file, entry->name, low, high, value);
          return FALSE;
        }
      out[i] = value;
    }
  return TRUE;
}

/* [batch], for methods that have tasks. */
static gboolean
read_tasks (PeftCore *core, const PeftSafetensors *file, PeftDataBatch *batch, GError **error)
{
  const PeftTensorEntry *entry = peft_safetensors_lookup (file, "task_ids");

  if (entry == NULL)
    return TRUE;
  if (core->hook == NULL || core->hook->n_tasks == 0)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("%s: tensor task_ids: the method has no tasks"), entry->file);
      return FALSE;
    }
  if (!peft_forward_check_integers (entry, error))
    return FALSE;
  if (entry->n_dims != 1 || entry->shape[0] != batch->batch)
    {
      g_autofree char *shape = peft_tensor_shape_to_string (entry->shape, entry->n_dims);

      g_set_error (error, PEFT_ERROR, PEFT_ERROR_SHAPE_MISMATCH,
                   _ ("%s: tensor task_ids: expected one number for each of the %u lines, found the "
                      "shape %s"),
                   entry->file, batch->batch, shape);
      return FALSE;
    }
  return copy_input (entry, 0, core->hook->n_tasks - 1, batch->tasks, error);
}

static gboolean
read_batch (PeftCore *core, const PeftSafetensors *file, PeftDataBatch *batch,
            gboolean *has_labels, float **output_gradient, GError **error)
{
  const gboolean writes_text = core->task == PEFT_TASK_CAUSAL_LM;
  const gint64 vocab = core->dims.vocab;
  const PeftTensorEntry *ids, *mask, *positions, *labels = NULL;
  gsize n;

  if (!find_input (file, "input_ids", TRUE, NULL, &ids, error)
      || !find_input (file, "attention_mask", FALSE, ids, &mask, error)
      || !find_input (file, "position_ids", FALSE, ids, &positions, error)
      || (writes_text && !find_input (file, "labels", FALSE, ids, &labels, error)))
    return FALSE;
  n = peft_tensor_entry_get_n_values (ids);
  peft_data_batch_reserve (batch, ids->shape[0], ids->shape[1]);
  batch->batch = ids->shape[0];
  batch->length = ids->shape[1];
  for (gsize i = 0; i < n; i++)
    {
      batch->labels[i] = PEFT_DATA_IGNORED;
      batch->positions[i] = i % batch->length;
      batch->segments[i] = 0;
    }
  *has_labels = labels != NULL;
  if (!copy_input (ids, 0, vocab - 1, batch->ids, error)
      || (labels != NULL && !copy_input (labels, 0, vocab - 1, batch->labels, error))
      || !read_tasks (core, file, batch, error)
      /* Virtual positions come first and those of the text follow them, whatever was asked for, as in peft. */
      || (positions != NULL && peft_core_get_n_virtual (core) == 0
          && !copy_input (positions, 0, MAX_POSITION - 1, batch->positions, error)))
    return FALSE;
  for (gsize i = 0; mask != NULL && i < n; i++)
    if (peft_forward_read_integer (mask, i) == 0)
      batch->segments[i] = PEFT_DATA_PADDING;
  return writes_text || peft_forward_task_read (core, file, batch, has_labels, output_gradient, error);
}

/* ---- Output -------------------------------------------------------------------------------- */

static gboolean
write_gradient (PeftSafetensorsWriter *writer, PeftParam *param, const char *name, GError **error)
{
  gsize n = peft_view_n_values (&param->grad->view);
  g_autofree float *values = g_new (float, n);

  peft_tensor_download_f32 (param->grad, values);
  return peft_safetensors_writer_write (writer, name, values, n * sizeof (float), error);
}

static char *
gradient_name (const PeftParam *param, gboolean state)
{
  return g_strconcat ("grad.", state && param->name != NULL ? param->name : param->key, NULL);
}

static gboolean
declare_output (PeftSafetensorsWriter *writer, GPtrArray *outputs, gboolean loss,
                PeftParamSet *params, gboolean state, GError **error)
{
  for (guint i = 0; i < outputs->len; i++)
    {
      const PeftAdapterTensor *output = outputs->pdata[i];
      guint64 shape[PEFT_MAX_DIMS];

      for (guint j = 0; j < output->n_dims; j++)
        shape[j] = output->shape[j];
      if (!peft_safetensors_writer_add (writer, output->key, PEFT_DTYPE_F32, shape, output->n_dims, error))
        return FALSE;
    }
  if (loss && !peft_safetensors_writer_add (writer, "loss", PEFT_DTYPE_F32, NULL, 0, error))
    return FALSE;
  for (guint i = 0; params != NULL && i < peft_param_set_get_n (params); i++)
    {
      PeftParam *param = peft_param_set_get (params, i);
      g_autofree char *name = gradient_name (param, state);
      guint64 dims[PEFT_MAX_DIMS];

      for (guint j = 0; j < param->n_dims; j++)
        dims[j] = param->shape[j];
      if (param->grad != NULL
          && !peft_safetensors_writer_add (writer, name, PEFT_DTYPE_F32, dims, param->n_dims, error))
        return FALSE;
    }
  return TRUE;
}

static const PeftAdapterTensor *
find_output (GPtrArray *outputs, const char *name)
{
  for (guint i = 0; i < outputs->len; i++)
    {
      const PeftAdapterTensor *output = outputs->pdata[i];

      if (g_str_equal (output->key, name))
        return output;
    }
  return NULL;
}

static gboolean
write_output (const char *path, GPtrArray *outputs, const float *loss, PeftParamSet *params, gboolean state, GError **error)
{
  g_autoptr (PeftSafetensorsWriter) writer = peft_safetensors_writer_new ();
  g_autoptr (GHashTable) by_name = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  if (!declare_output (writer, outputs, loss != NULL, params, state, error)
      || !peft_safetensors_writer_begin (writer, path, error))
    return FALSE;
  for (guint i = 0; params != NULL && i < peft_param_set_get_n (params); i++)
    {
      PeftParam *param = peft_param_set_get (params, i);
      g_hash_table_insert (by_name, gradient_name (param, state), param);
    }
  for (gsize i = 0; i < peft_safetensors_writer_get_n_tensors (writer); i++)
    {
      const PeftTensorEntry *entry = peft_safetensors_writer_get_entry (writer, i);
      const char *name = entry->name;
      const PeftAdapterTensor *output = find_output (outputs, name);
      gboolean ok;

      if (output != NULL)
        ok = peft_safetensors_writer_write (writer, name, output->values,
                                            peft_tensor_entry_get_n_values (entry) * sizeof (float), error);
      else if (g_str_equal (name, "loss"))
        ok = peft_safetensors_writer_write (writer, name, loss, sizeof (float), error);
      else
        ok = write_gradient (writer, g_hash_table_lookup (by_name, name), name, error);
      if (!ok)
        return FALSE;
    }
  return peft_safetensors_writer_commit (writer, error);
}

/* ---- The pass ------------------------------------------------------------------------------ */

static gboolean
check_gradients (PeftCore *core, PeftAdapter *adapter, gboolean has_labels,
                 const PeftForwardFileOptions *options, GError **error)
{
  if (adapter == NULL || !has_labels)
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                           adapter == NULL ? _ ("gradients need an adapter")
                           : core->task == PEFT_TASK_QUESTION_ANS
                               ? _ ("gradients need the tensors start_positions and end_positions in the input")
                           : core->task == PEFT_TASK_FEATURE_EXTRACTION
                               ? _ ("gradients need the tensor output_gradient in the input")
                               : _ ("gradients need the tensor labels in the input"));
      return FALSE;
    }
  if (adapter->incomplete && options->state == NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("the file of the adapter '%s' holds what its encoder makes, not the encoder: gradients "
                      "need the full training state (--state training_state.safetensors)"),
                   adapter->name);
      return FALSE;
    }
  for (guint i = 0; options->state == NULL && i < peft_param_set_get_n (adapter->params); i++)
    {
      PeftParam *param = peft_param_set_get (adapter->params, i);

      if (param->trainable && !param->saved)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                       _ ("gradients need the full training state: %s is trained but not part of the "
                          "adapter's file"),
                       param->key);
          return FALSE;
        }
    }
  return TRUE;
}

static gboolean
run_and_write (PeftCore *core, PeftAdapter *adapter, const PeftDataBatch *batch,
               gboolean has_labels, const float *output_gradient,
               const PeftForwardFileOptions *options, GError **error)
{
  const guint64 n_tokens
      = (guint64) batch->batch * (peft_core_get_n_virtual (core) + batch->length);
  PeftPass pass = {
    .batch = batch->batch, .length = batch->length, .logits = TRUE,
    .gradients = options->gradients, .training = options->train_mode,
    .extra_loss = options->gradients,
  };
  g_autoptr (PeftEngine) engine = peft_engine_new (core, adapter);
  g_autofree float *logits = g_try_malloc_n (n_tokens * core->n_outputs, sizeof (float));
  PeftPassOptions pass_options = {
    .gradients = options->gradients, .training = options->train_mode,
    .extra_loss = options->gradients, .seed = options->seed, .logits = logits,
    .hidden_gradient = output_gradient,
  };
  g_autoptr (GPtrArray) outputs = NULL;
  PeftPassResult result;
  float loss;

  if (logits == NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY,
                   _ ("no memory for the logits of %" PRIu64 " tokens"), n_tokens);
      return FALSE;
    }
  pass.n_labels = peft_engine_count_labels (core, batch);
  if (!peft_engine_reserve (engine, &pass, 1, error)
      || !peft_engine_run (engine, batch, &pass_options, &result, error))
    return FALSE;
  loss = result.n_labels > 0 ? result.loss_sum / result.n_labels : 0;
  outputs = peft_forward_task_outputs (core, batch, g_steal_pointer (&logits));
  return write_output (options->output, outputs, has_labels ? &loss : NULL,
                       options->gradients ? adapter->params : NULL, options->state != NULL, error);
}

gboolean
peft_forward_file (PeftCore *core, PeftAdapter *adapter, const PeftForwardFileOptions *options,
                   GCancellable *cancellable, GError **error)
{
  g_autoptr (PeftSafetensors) file = peft_safetensors_open (options->input, error);
  g_autoptr (PeftDataBatch) batch = peft_data_batch_new ();
  g_autofree float *output_gradient = NULL;
  gboolean has_labels, ok;

  if (file == NULL || !read_batch (core, file, batch, &has_labels, &output_gradient, error)
      || (options->gradients
          && !check_gradients (core, adapter, has_labels || output_gradient != NULL, options, error)))
    return FALSE;
  if (options->state != NULL && adapter == NULL)
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                           _ ("a training state needs an adapter"));
      return FALSE;
    }
  if (options->state != NULL && !peft_checkpoint_load_values (adapter, options->state, error))
    return FALSE;
  if (g_cancellable_set_error_if_cancelled (cancellable, error)
      || (options->gradients && !peft_param_set_begin_training (adapter->params, 0, 0, error)))
    return FALSE;
  ok = run_and_write (core, adapter, batch, has_labels, output_gradient, options, error);
  if (options->gradients)
    peft_param_set_end_training (adapter->params);
  return ok;
}
