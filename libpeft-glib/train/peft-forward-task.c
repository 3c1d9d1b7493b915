/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "train/peft-forward-task.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"
#include "data/peft-data-encode-task.h"
#include "data/peft-data-labelled.h"

/* ---- Input --------------------------------------------------------------------------------- */

/* Which position of a line transformers classifies a text by. Where a prompt comes in front it sees embeddings, not ids,
 * and takes the last position whatever it holds. */
static guint32
find_pooled (PeftCore *core, const PeftDataBatch *batch, guint32 line)
{
  const gsize at = (gsize) line * batch->length;
  g_autofree guint8 *mask = g_new (guint8, batch->length);

  if (peft_core_get_n_virtual (core) > 0)
    return batch->length - 1;
  for (guint32 t = 0; t < batch->length; t++)
    mask[t] = batch->segments[at + t] >= 0;
  return peft_data_find_pooled (batch->ids + at, mask, batch->length, core->pad_id);
}

static gboolean
find_lines (const PeftSafetensors *file, const char *name, const PeftDataBatch *batch,
            const PeftTensorEntry **out, GError **error)
{
  const PeftTensorEntry *entry = peft_safetensors_lookup (file, name);

  *out = entry;
  if (entry == NULL)
    return TRUE;
  if (!peft_forward_check_integers (entry, error))
    return FALSE;
  if (peft_tensor_entry_get_n_values (entry) == batch->batch && entry->n_dims >= 1)
    return TRUE;
  g_autofree char *shape = peft_tensor_shape_to_string (entry->shape, entry->n_dims);
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_SHAPE_MISMATCH,
               _ ("%s: tensor %s: expected one number for each of the %u lines, found the shape %s"),
               entry->file, name, batch->batch, shape);
  return FALSE;
}

static gboolean
fail_range (const PeftTensorEntry *entry, gint64 low, gint64 high, gint64 found, GError **error)
{
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
               _ ("%s: tensor %s: expected numbers from %" PRIi64 " to %" PRIi64 ", found %" PRIi64),
               entry->file, entry->name, low, high, found);
  return FALSE;
}

static gboolean
read_text_labels (PeftCore *core, const PeftSafetensors *file, PeftDataBatch *batch, gboolean *given,
                  GError **error)
{
  const PeftTensorEntry *labels;

  if (!find_lines (file, "labels", batch, &labels, error))
    return FALSE;
  *given = labels != NULL;
  for (guint32 b = 0; labels != NULL && b < batch->batch; b++)
    {
      const gint64 label = peft_forward_read_integer (labels, b);

      if (label == PEFT_DATA_IGNORED)
        continue;
      if (label < 0 || label >= core->n_outputs)
        return fail_range (labels, 0, core->n_outputs - 1, label, error);
      batch->labels[(gsize) b * batch->length + find_pooled (core, batch, b)] = (gint32) label;
    }
  return TRUE;
}

static gboolean
read_token_labels (PeftCore *core, const PeftSafetensors *file, PeftDataBatch *batch, gboolean *given,
                   GError **error)
{
  const PeftTensorEntry *labels = peft_safetensors_lookup (file, "labels");

  *given = labels != NULL;
  if (labels == NULL)
    return TRUE;
  if (!peft_forward_check_integers (labels, error))
    return FALSE;
  if (labels->n_dims != 2 || labels->shape[0] != batch->batch || labels->shape[1] != batch->length)
    {
      g_autofree char *shape = peft_tensor_shape_to_string (labels->shape, labels->n_dims);

      g_set_error (error, PEFT_ERROR, PEFT_ERROR_SHAPE_MISMATCH,
                   _ ("%s: tensor labels: expected the shape of input_ids, [%u, %u], found %s"),
                   labels->file, batch->batch, batch->length, shape);
      return FALSE;
    }
  for (gsize i = 0; i < (gsize) batch->batch * batch->length; i++)
    {
      const gint64 label = peft_forward_read_integer (labels, i);

      if (label != PEFT_DATA_IGNORED && (label < 0 || label >= core->n_outputs))
        return fail_range (labels, 0, core->n_outputs - 1, label, error);
      batch->labels[i] = (gint32) label;
    }
  return TRUE;
}

/* Positions count those of a prompt. As transformers has it, one behind the end is an answer that is not there. */
static gboolean
read_answers (PeftCore *core, const PeftSafetensors *file, PeftDataBatch *batch, gboolean *given,
              GError **error)
{
  static const char *const names[2] = { "start_positions", "end_positions" };
  static const gint32 bits[2] = { PEFT_DATA_ANSWER_START, PEFT_DATA_ANSWER_END };
  const gint64 n_virtual = peft_core_get_n_virtual (core);
  const PeftTensorEntry *positions[2];

  if (!find_lines (file, names[0], batch, &positions[0], error)
      || !find_lines (file, names[1], batch, &positions[1], error))
    return FALSE;
  *given = positions[0] != NULL && positions[1] != NULL;
  if (!*given)
    return TRUE;
  for (guint part = 0; part < 2; part++)
    for (guint32 b = 0; b < batch->batch; b++)
      {
        const gint64 at = peft_forward_read_integer (positions[part], b);
        gint32 *label;

        if (at >= n_virtual + batch->length)
          continue;
        if (at < n_virtual)
          return fail_range (positions[part], n_virtual, n_virtual + batch->length, at, error);
        label = &batch->labels[(gsize) b * batch->length + (at - n_virtual)];
        *label = MAX (*label, 0) | bits[part];
      }
  return TRUE;
}

static gboolean
read_output_gradient (PeftCore *core, const PeftSafetensors *file, const PeftDataBatch *batch,
                      float **out, GError **error)
{
  const PeftTensorEntry *entry = peft_safetensors_lookup (file, "output_gradient");
  const guint64 expected[3]
      = { batch->batch, peft_core_get_n_virtual (core) + batch->length, core->dims.hidden };

  if (entry == NULL)
    return TRUE;
  if (entry->dtype != PEFT_DTYPE_F32 || entry->n_dims != 3
      || memcmp (entry->shape, expected, sizeof expected) != 0)
    {
      g_autofree char *wanted = peft_tensor_shape_to_string (expected, 3);
      g_autofree char *found = peft_tensor_shape_to_string (entry->shape, entry->n_dims);

      g_set_error (error, PEFT_ERROR, PEFT_ERROR_SHAPE_MISMATCH,
                   _ ("%s: tensor output_gradient: expected F32 %s, found %s %s"), entry->file, wanted,
                   entry->type_name, found);
      return FALSE;
    }
  *out = g_new (float, peft_tensor_entry_get_n_values (entry));
  memcpy (*out, entry->data, peft_tensor_entry_get_n_values (entry) * sizeof (float));
  return TRUE;
}

gboolean
peft_forward_task_read (PeftCore *core, const PeftSafetensors *file, PeftDataBatch *batch,
                        gboolean *given, float **output_gradient, GError **error)
{
  *given = FALSE;
  switch (core->task)
    {
    case PEFT_TASK_SEQ_CLS:
      return read_text_labels (core, file, batch, given, error);
    case PEFT_TASK_TOKEN_CLS:
      return read_token_labels (core, file, batch, given, error);
    case PEFT_TASK_QUESTION_ANS:
      return read_answers (core, file, batch, given, error);
    default:
      return read_output_gradient (core, file, batch, output_gradient, error);
    }
}

/* ---- Output -------------------------------------------------------------------------------- */

/* Takes values. */
static void
append (GPtrArray *out, const char *key, float *values, guint n_dims, gint64 d0, gint64 d1, gint64 d2)
{
  PeftAdapterTensor *tensor = g_new0 (PeftAdapterTensor, 1);

  *tensor = (PeftAdapterTensor){ g_strdup (key), n_dims, { d0, d1, d2 }, values };
  g_ptr_array_add (out, tensor);
}

static void
append_pooled (GPtrArray *out, PeftCore *core, const PeftDataBatch *batch, const float *logits)
{
  const gint64 n = core->n_outputs, n_virtual = peft_core_get_n_virtual (core);
  const gint64 length = n_virtual + batch->length;
  float *values = g_new (float, batch->batch * n);

  for (guint32 b = 0; b < batch->batch; b++)
    memcpy (values + b * n, logits + (b * length + n_virtual + find_pooled (core, batch, b)) * n,
            n * sizeof (float));
  append (out, "logits", values, 2, batch->batch, n, 0);
}

static void
append_column (GPtrArray *out, const char *key, const float *logits, gint64 lines, gint64 length, guint column)
{
  float *values = g_new (float, lines * length);

  for (gint64 i = 0; i < lines * length; i++)
    values[i] = logits[2 * i + column];
  append (out, key, values, 2, lines, length, 0);
}

GPtrArray *
peft_forward_task_outputs (PeftCore *core, const PeftDataBatch *batch, float *logits)
{
  GPtrArray *out = g_ptr_array_new_with_free_func ((GDestroyNotify) peft_adapter_tensor_free);
  const gint64 length = peft_core_get_n_virtual (core) + batch->length;
  g_autofree float *owned = logits;

  switch (core->task)
    {
    case PEFT_TASK_SEQ_CLS:
      append_pooled (out, core, batch, logits);
      break;
    case PEFT_TASK_QUESTION_ANS:
      append_column (out, "start_logits", logits, batch->batch, length, 0);
      append_column (out, "end_logits", logits, batch->batch, length, 1);
      break;
    default:
      append (out, core->task == PEFT_TASK_FEATURE_EXTRACTION ? "last_hidden_state" : "logits",
              g_steal_pointer (&owned), 3, batch->batch, length, core->n_outputs);
    }
  return out;
}
