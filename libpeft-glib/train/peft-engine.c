/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "train/peft-engine.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

#include "base/peft-error.h"
#include "nn/peft-nodes.h"
#include "train/peft-engine-private.h"
#include "train/peft-task-head.h"

/* ---- Shapes -------------------------------------------------------------------------------- */

guint32
peft_engine_round (guint32 n)
{
  guint32 step = 16;

  if (n > 128)
    step = 64;
  for (guint32 limit = 512; n > limit && step < (1u << 26); limit *= 2)
    step = limit / 8;
  return (n + step - 1) / step * step;
}

void
peft_engine_round_pass (const PeftEngine *self, PeftPass *pass)
{
  const guint32 n_virtual = (guint32) peft_core_get_n_virtual (self->core);

  pass->length = peft_engine_round (n_virtual + pass->length) - n_virtual;
  if (pass->n_labels > 0)
    pass->n_labels = peft_engine_round (pass->n_labels);
  pass->checkpointing = pass->checkpointing && pass->gradients;
  pass->extra_loss = pass->extra_loss && self->adapter != NULL && self->adapter->method != NULL
                     && self->adapter->method->extra_loss != NULL;
}

gsize
peft_engine_count_positions (const PeftEngine *self, const PeftPass *pass)
{
  return (gsize) pass->batch * ((gsize) peft_core_get_n_virtual (self->core) + pass->length);
}

/* What a virtual position stands before is predicted, too. */
static gboolean
predicts_first (const PeftEncodedSet *set, guint32 index)
{
  const PeftEncodedRow *row = peft_encoded_set_get_row (set, index);

  return peft_encoded_set_get_labels (set, index)[0] != PEFT_DATA_IGNORED
         && (row->mask == NULL || row->mask[0] != 0);
}

void
peft_engine_get_shape (PeftCore *core, const PeftEncodedSet *set, const PeftDataSamples *samples,
                       const guint32 *indices, guint32 n, PeftPass *pass)
{
  gboolean has_virtual = peft_core_get_n_virtual (core) > 0 && core->task == PEFT_TASK_CAUSAL_LM;
  guint32 n_labels = 0;

  for (guint32 i = 0; i < n; i++)
    for (guint32 j = samples->starts[indices[i]]; j < samples->starts[indices[i] + 1]; j++)
      {
        n_labels += peft_encoded_set_get_row (set, samples->rows[j])->n_targets;
        n_labels += has_virtual && predicts_first (set, samples->rows[j]);
      }
  pass->batch = n;
  pass->length = peft_data_batch_find_length (set, samples, indices, n);
  pass->n_labels = n_labels;
}

/* ---- The batch on the device --------------------------------------------------------------- */

guint64
peft_staging_bytes (guint64 n_tokens, guint64 n_labels, guint64 n_lines)
{
  return (3 * n_tokens + 2 * n_labels + n_lines) * sizeof (gint32);
}

void
peft_staging_clear (PeftStaging *self)
{
  g_clear_pointer (&self->ids, peft_tensor_unref);
  g_clear_pointer (&self->positions, peft_tensor_unref);
  g_clear_pointer (&self->segments, peft_tensor_unref);
  g_clear_pointer (&self->label_rows, peft_tensor_unref);
  g_clear_pointer (&self->labels, peft_tensor_unref);
  g_clear_pointer (&self->task_ids, peft_tensor_unref);
  self->n_tokens = self->n_labels = self->n_lines = 0;
}

gboolean
peft_staging_allocate (PeftStaging *self, PeftBackend *backend, guint64 n_tokens, guint64 n_labels,
                       guint64 n_lines, GError **error)
{
  const struct
  {
    PeftTensor **tensor;
    guint64 *length;
  } parts[] = {
    { &self->ids, &n_tokens },      { &self->positions, &n_tokens }, { &self->segments, &n_tokens },
    { &self->label_rows, &n_labels }, { &self->labels, &n_labels },  { &self->task_ids, &n_lines },
  };

  if (self->ids != NULL && n_tokens <= self->n_tokens && n_labels <= self->n_labels
      && n_lines <= self->n_lines)
    return TRUE;
  n_tokens = MAX (n_tokens, self->n_tokens);
  n_labels = MAX (n_labels, self->n_labels);
  n_lines = MAX (n_lines, self->n_lines);
  peft_staging_clear (self);
  for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
    {
      const gint64 length = (gint64) MAX (*parts[i].length, 1);

      *parts[i].tensor = peft_tensor_new_on (backend, PEFT_DTYPE_I32, 1, &length, error);
      if (*parts[i].tensor == NULL)
        return FALSE;
    }
  self->n_tokens = n_tokens;
  self->n_labels = n_labels;
  self->n_lines = n_lines;
  return TRUE;
}

/* The first values of a staging tensor, in another shape. */
static PeftTensor *
first_of (PeftTensor *tensor, guint n_dims, gint64 d0, gint64 d1)
{
  const gint64 shape[2] = { d0, d1 };
  PeftView view;

  peft_view_init (&view, tensor->view.buffer, tensor->view.offset, PEFT_DTYPE_I32, n_dims, shape);
  return peft_tensor_derive (tensor, &view);
}

/* ---- One pass ------------------------------------------------------------------------------ */

static gint64
chunk_rows (PeftEngine *self)
{
  guint64 row = (guint64) self->core->n_outputs
                * peft_dtype_get_info (self->core->backend->real)->block_bytes;
  return MAX (PEFT_ENGINE_LOGITS_BYTES / row, 1);
}

static void
copy_logits (PeftEngine *self, PeftTensor *logits, gint64 start, const PeftPass *pass,
             const PeftPassCall *call)
{
  const gint64 width = self->core->n_outputs, n = logits->view.shape[0];
  const gint64 length = peft_core_get_n_virtual (self->core) + pass->length;
  g_autofree float *host = g_new (float, n * width);

  peft_tensor_download_f32 (logits, host);
  for (gint64 i = 0; i < n; i++)
    {
      gint64 line = (start + i) / length, t = (start + i) % length;

      if (t < call->real_length)
        memcpy (call->options->logits + (line * call->real_length + t) * width, host + i * width,
                width * sizeof (float));
    }
}

static void
run_logits (PeftEngine *self, PeftTape *tape, PeftVar *hidden, const PeftPass *pass,
            const PeftPassCall *call)
{
  const gint64 rows = (gint64) peft_engine_count_positions (self, pass), chunk = chunk_rows (self);
  PeftTapeOptions options = tape->options;

  options.recording = FALSE;
  for (gint64 start = 0; start < rows; start += chunk)
    {
      PeftView view = peft_view_slice (&hidden->value->view, 0, start, MIN (chunk, rows - start));
      g_autoptr (PeftTape) inner = peft_tape_new (&options);
      g_autoptr (PeftTensor) part = peft_tensor_derive (hidden->value, &view);
      g_autoptr (PeftVar) input = peft_tape_constant (inner, part);
      g_autoptr (PeftVar) logits = peft_core_head (inner, &input, self->core);

      if (inner->error != NULL)
        peft_tape_fail (tape, g_steal_pointer (&inner->error));
      else if (call->options->logits != NULL)
        copy_logits (self, logits->value, start, pass, call);
    }
}

/* The value of a scalar, for the report. */
static double
read_scalar (PeftTape *tape, PeftVar *x)
{
  double value = 0;

  if (tape->error == NULL)
    peft_tensor_download_f64 (x->value, &value);
  return value;
}

static PeftVar *
run_loss (PeftEngine *self, PeftTape *tape, PeftVar *hidden, PeftStaging *staging,
          const PeftPass *pass, const PeftPassCall *call, PeftTensor **row_losses,
          PeftTensor **correct)
{
  const PeftTaskHead *head = peft_task_head_find (self->core->task);

  if (head != NULL)
    return head->loss (self->core, tape, hidden, staging, pass, call, chunk_rows (self), row_losses,
                       correct);
  g_autoptr (PeftTensor) rows = first_of (staging->label_rows, 1, pass->n_labels, 0);
  g_autoptr (PeftTensor) labels = first_of (staging->labels, 1, pass->n_labels, 0);
  g_autoptr (PeftVar) labelled = peft_nn_gather_rows (tape, hidden, rows);

  return peft_nn_head_loss (tape, labelled, labels, peft_core_head, self->core, chunk_rows (self),
                            call->options->denominator, row_losses, correct);
}

/* The gradient of somebody else's loss, in the rounded shape; zero while planning. */
static PeftTensor *
upload_hidden_gradient (PeftTape *tape, PeftVar *hidden, const PeftPass *pass,
                        const PeftPassCall *call)
{
  PeftTensor *gradient = peft_tape_alloc_like (tape, &hidden->value->view);
  const gint64 width = peft_var_shape (hidden)[1], length = peft_var_shape (hidden)[0] / pass->batch;
  const gsize line = (gsize) call->real_length * width;
  g_autofree float *values = NULL;

  if (call->options->hidden_gradient == NULL || tape->error != NULL)
    return gradient;
  values = g_new0 (float, (gsize) pass->batch * length * width);
  for (gint64 b = 0; b < pass->batch; b++)
    memcpy (values + b * length * width, call->options->hidden_gradient + b * line,
            line * sizeof (float));
  peft_tensor_upload_f32 (gradient, values);
  return gradient;
}

gboolean
peft_engine_pass (PeftEngine *self, PeftArena *arena, PeftStaging *staging, const PeftPass *pass,
                  const PeftPassCall *call, PeftTensor **row_losses, PeftTensor **correct,
                  double *extra_loss, PeftPassMemory *memory, GError **error)
{
  PeftCore *core = self->core;
  const gint64 n_virtual = peft_core_get_n_virtual (core), length = n_virtual + pass->length;
  const PeftTapeOptions tape_options = {
    .arena = arena,
    .compute = core->compute,
    .recording = pass->gradients,
    .training = pass->training,
    .seed = call->options->seed,
    .step = call->options->step,
  };
  g_autoptr (PeftTensor) ids
      = first_of (staging->ids, 1, (gint64) pass->batch * pass->length, 0);
  g_autoptr (PeftTensor) positions = first_of (staging->positions, 2, pass->batch, length);
  g_autoptr (PeftTensor) segments = first_of (staging->segments, 2, pass->batch, length);
  g_autoptr (PeftTensor) task_ids = first_of (staging->task_ids, 1, pass->batch, 0);
  /* Layers that are run again look at it: it lives as long as the tape. */
  const PeftForward forward = {
    .batch = pass->batch,
    .length = length,
    .n_virtual = n_virtual,
    .ids = ids,
    .task_ids = core->hook != NULL && core->hook->n_tasks > 0 ? task_ids : NULL,
    .positions = positions,
    .segments = call->segmented ? segments : NULL,
    .checkpointing = pass->checkpointing,
    .max_position = call->max_position,
  };
  g_autoptr (PeftTape) tape = peft_tape_new (&tape_options);
  g_autoptr (PeftVar) hidden = peft_core_forward (core, tape, &forward);
  g_autoptr (PeftVar) total = NULL;
  gboolean features = core->task == PEFT_TASK_FEATURE_EXTRACTION && pass->gradients;

  if (pass->logits)
    run_logits (self, tape, hidden, pass, call);
  if (pass->n_labels > 0)
    total = run_loss (self, tape, hidden, staging, pass, call, row_losses, correct);
  if (!features)
    g_clear_pointer (&hidden, peft_var_unref);
  if (pass->extra_loss)
    {
      g_autoptr (PeftVar) extra = self->adapter->method->extra_loss (self->adapter, tape);

      *extra_loss = read_scalar (tape, extra);
      if (total != NULL)
        {
          PeftVar *sum = peft_nn_add (tape, total, extra);
          peft_var_unref (total);
          total = sum;
        }
      else
        total = g_steal_pointer (&extra);
    }
  memory->activations = peft_arena_get_in_use (arena);
  if (pass->gradients && total != NULL)
    peft_tape_backward (tape, total, NULL);
  g_clear_pointer (&total, peft_var_unref);
  if (features)
    {
      g_autoptr (PeftTensor) gradient = upload_hidden_gradient (tape, hidden, pass, call);

      peft_tape_backward (tape, hidden, gradient);
    }
  return peft_tape_check (tape, error) && peft_backend_sync (tape->backend, error);
}

/* ---- Running ------------------------------------------------------------------------------- */

/* Does position t of the line that starts at `line` predict a label? */
static gboolean
is_labelled (const PeftDataBatch *batch, gsize line, guint32 t)
{
  return t + 1 < batch->length && batch->segments[line + t] >= 0
         && batch->segments[line + t + 1] == batch->segments[line + t]
         && batch->labels[line + t + 1] >= 0;
}

/* Does the last virtual position predict a label? */
static gboolean
is_first_labelled (PeftCore *core, const PeftDataBatch *batch, gsize line)
{
  return peft_core_get_n_virtual (core) > 0 && batch->segments[line] >= 0
         && batch->labels[line] >= 0;
}

guint32
peft_engine_count_labels (PeftCore *core, const PeftDataBatch *batch)
{
  const PeftTaskHead *head = peft_task_head_find (core->task);
  guint32 n = 0;

  if (head != NULL)
    return head->count (batch);
  for (guint32 b = 0; b < batch->batch; b++)
    {
      n += is_first_labelled (core, batch, (gsize) b * batch->length);
      for (guint32 t = 0; t < batch->length; t++)
        n += is_labelled (batch, (gsize) b * batch->length, t);
    }
  return n;
}

/* The host's copy of the batch, in the order of its parts. */
typedef struct
{
  gint32 *ids, *positions, *segments, *label_rows, *labels, *tasks;
} HostBatch;

static HostBatch
divide_host (PeftEngine *self, gsize n_positions)
{
  gint32 *rows = self->host + 3 * n_positions;

  return (HostBatch){
    .ids = self->host,
    .positions = self->host + n_positions,
    .segments = self->host + 2 * n_positions,
    .label_rows = rows,
    .labels = rows + self->staging.n_labels,
    .tasks = rows + 2 * self->staging.n_labels,
  };
}

static void
stage_virtual (const HostBatch *host, gsize line, gint32 n_virtual)
{
  for (gint32 t = 0; t < n_virtual; t++)
    {
      host->positions[line + t] = t;
      host->segments[line + t] = 0;
    }
}

static void
stage_label (PeftEngine *self, const HostBatch *host, guint32 *n_labels, gsize row, gint32 label)
{
  if (*n_labels < self->staging.n_labels)
    {
      host->label_rows[*n_labels] = row;
      host->labels[*n_labels] = label;
    }
  (*n_labels)++;
}

/* Fills the host's copy of the batch in its rounded shape; returns the number of labelled rows. */
static guint32
stage (PeftEngine *self, const PeftDataBatch *batch, const PeftPass *pass, const HostBatch *host,
       PeftPassCall *call)
{
  const guint32 length = pass->length, n_virtual = (guint32) peft_core_get_n_virtual (self->core);
  const gint32 n_prefix = (gint32) peft_core_get_n_prefix (self->core);
  const PeftTaskHead *head = peft_task_head_find (self->core->task);
  guint32 n_labels = 0;

  for (guint32 b = 0; b < batch->batch; b++)
    {
      const gsize from_line = (gsize) b * batch->length, line = (gsize) b * (n_virtual + length);

      host->tasks[b] = MAX (batch->tasks[b], 0);
      stage_virtual (host, line, (gint32) n_virtual);
      call->max_position = MAX (call->max_position, n_virtual);
      if (head == NULL && is_first_labelled (self->core, batch, from_line))
        stage_label (self, host, &n_labels, line + n_virtual - 1, batch->labels[from_line]);
      for (guint32 t = 0; t < length; t++)
        {
          gsize from = from_line + t, to = line + n_virtual + t;
          gboolean padding = t >= batch->length || batch->segments[from] < 0;

          /* Padding inside a line keeps its id and position: they are the caller's. */
          host->ids[(gsize) b * length + t] = t < batch->length ? batch->ids[from] : 0;
          host->positions[to]
              = n_prefix + (gint32) n_virtual + (t < batch->length ? batch->positions[from] : 0);
          host->segments[to] = padding ? PEFT_DATA_PADDING : batch->segments[from];
          call->max_position = MAX (call->max_position, host->positions[to] + 1);
          call->segmented |= host->segments[to] != 0;
          if (head == NULL && is_labelled (batch, from_line, t))
            stage_label (self, host, &n_labels, to, batch->labels[from + 1]);
        }
    }
  if (head == NULL || (n_labels = head->count (batch)) == 0)
    return n_labels;
  if (n_labels <= self->staging.n_labels)
    head->stage (batch, n_virtual, length, call, host->label_rows, host->labels);
  return n_labels;
}

static void
upload_front (PeftTensor *tensor, const gint32 *values, gsize n)
{
  peft_buffer_upload (tensor->view.buffer, tensor->view.offset, values, n * sizeof (gint32));
}

static gboolean
check_batch (PeftEngine *self, const PeftDataBatch *batch, GError **error)
{
  const gint64 vocab = self->core->dims.vocab, limit = peft_task_label_limit (self->core);

  for (gsize i = 0; i < (gsize) batch->batch * batch->length; i++)
    {
      const gint32 label = batch->labels[i];
      gboolean bad_id = batch->ids[i] < 0 || batch->ids[i] >= vocab;

      if (!bad_id && label < limit && (label >= 0 || label == PEFT_DATA_IGNORED))
        continue;
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   bad_id ? _ ("line %zu, position %zu: expected an id from 0 to %" PRIi64
                               ", found %d")
                          : _ ("line %zu, position %zu: expected a label from 0 to %" PRIi64
                               ", found %d"),
                   i / batch->length, i % batch->length, (bad_id ? vocab : limit) - 1,
                   bad_id ? batch->ids[i] : label);
      return FALSE;
    }
  for (gsize i = 0; i < (gsize) batch->batch * batch->length; i++)
    if (batch->positions[i] < 0)
      {
        g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                     _ ("line %zu, position %zu"
                        ": expected a position that is not negative, found %d"),
                     i / batch->length, i % batch->length, batch->positions[i]);
        return FALSE;
      }
  return TRUE;
}

static gboolean
check_tasks (PeftEngine *self, const PeftDataBatch *batch, GError **error)
{
  const PeftCoreHook *hook = self->core->hook;

  for (guint32 b = 0; hook != NULL && hook->n_tasks > 0 && b < batch->batch; b++)
    {
      const gint32 task = batch->tasks[b];

      if (task == PEFT_DATA_NO_TASK && hook->n_tasks > 1)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                       _ ("line %u: the adapter has %" PRIi64
                          " tasks: expected a task_id from 0 to %" PRIi64 ", found none"),
                       b, hook->n_tasks, hook->n_tasks - 1);
          return FALSE;
        }
      if (task >= hook->n_tasks)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                       _ ("line %u: task_id: expected a number from 0 to %" PRIi64 ", found %d"), b,
                       hook->n_tasks - 1, task);
          return FALSE;
        }
    }
  return TRUE;
}

gboolean
peft_engine_check_ids (PeftCore *core, const PeftEncodedSet *set, GError **error)
{
  const gint64 vocab = core->dims.vocab, limit = peft_task_label_limit (core);
  const PeftTask purpose = peft_encoded_set_get_purpose (set);

  if (purpose != core->task)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   _ ("the data was read for the task %s, the model is for %s"),
                   peft_task_get_name (purpose), peft_task_get_name (core->task));
      return FALSE;
    }
  for (guint32 i = 0; i < peft_encoded_set_get_n_rows (set); i++)
    {
      const PeftEncodedRow *row = peft_encoded_set_get_row (set, i);
      const gint32 *ids = peft_encoded_set_get_ids (set, i);
      const gint32 *labels = peft_encoded_set_get_labels (set, i);

      for (guint32 t = 0; t < row->length; t++)
        {
          gboolean bad_id = ids[t] < 0 || ids[t] >= vocab;

          if (!bad_id
              && (labels[t] == PEFT_DATA_IGNORED || (labels[t] >= 0 && labels[t] < limit)))
            continue;
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                       bad_id || purpose == PEFT_TASK_CAUSAL_LM
                           ? _ ("row %u of the data: %s[%u]: expected an id from 0 to %" PRIi64
                                " (the model's vocabulary), found %d")
                           : _ ("row %u of the data: %s[%u]: expected a class from 0 to %" PRIi64
                                ", found %d"),
                       row->source + 1, bad_id ? "input_ids" : "labels", t,
                       (bad_id ? vocab : limit) - 1,
                       bad_id ? ids[t] : labels[t]);
          return FALSE;
        }
    }
  return TRUE;
}

/* Sums in double precision on the host, in order, so that a loss does not depend on chunks. */
static void
collect (PeftEngine *self, PeftTensor *row_losses, PeftTensor *correct, guint32 n,
         const PeftPassCall *call, PeftPassResult *result)
{
  const PeftPassOptions *options = call->options;
  const double *weights = call->answer_weights;
  PeftView view = peft_view_slice (&row_losses->view, 0, 0, n);
  g_autoptr (PeftTensor) first = peft_tensor_derive (row_losses, &view);

  peft_tensor_download_f32 (first, self->losses);
  if (correct != NULL)
    peft_buffer_download (correct->view.buffer, correct->view.offset, self->correct,
                          n * sizeof (gint32));
  for (guint32 i = 0; i < n; i++)
    {
      result->loss_sum += self->losses[i] * (call->n_answers == 0 ? 1 : weights[i >= n / 2]);
      result->n_correct += correct != NULL && self->correct[i] != 0;
    }
  if (options->row_losses != NULL)
    memcpy (options->row_losses, self->losses, n * sizeof (float));
}

gboolean
peft_engine_run (PeftEngine *self, const PeftDataBatch *batch, const PeftPassOptions *options,
                 PeftPassResult *result, GError **error)
{
  PeftPassOptions own = *options;
  PeftPass pass = {
    .batch = batch->batch, .length = batch->length,
    .gradients = options->gradients, .checkpointing = options->checkpointing,
    .training = options->training, .extra_loss = options->extra_loss,
    .logits = options->logits != NULL,
  };
  PeftPassCall call = {
    .options = &own,
    .max_position = 1,
    .real_length = peft_core_get_n_virtual (self->core) + batch->length,
    .batch = batch,
    .own_denominator = options->denominator <= 0,
  };
  PeftPassMemory memory;
  g_autoptr (PeftTensor) row_losses = NULL;
  g_autoptr (PeftTensor) correct = NULL;
  HostBatch host;
  gsize n_tokens;
  guint32 n_labels;

  *result = (PeftPassResult){ 0 };
  if (!check_batch (self, batch, error) || !check_tasks (self, batch, error))
    return FALSE;
  peft_engine_round_pass (self, &pass);
  n_tokens = peft_engine_count_positions (self, &pass);
  g_assert (self->arena != NULL && n_tokens <= self->staging.n_tokens
            && batch->batch <= self->staging.n_lines);
  host = divide_host (self, n_tokens);
  call.rounded_length = pass.length;
  n_labels = stage (self, batch, &pass, &host, &call);
  g_assert (n_labels <= self->staging.n_labels);
  pass.n_labels = n_labels > 0 ? peft_engine_round (n_labels) : 0;
  if (own.denominator <= 0)
    own.denominator = MAX (call.n_answers > 0 ? call.n_answers : n_labels, 1);

  upload_front (self->staging.ids, host.ids, (gsize) pass.batch * pass.length);
  upload_front (self->staging.positions, host.positions, n_tokens);
  upload_front (self->staging.segments, host.segments, n_tokens);
  upload_front (self->staging.task_ids, host.tasks, pass.batch);
  if (n_labels > 0)
    {
      for (guint32 i = n_labels; i < pass.n_labels; i++)
        {
          host.label_rows[i] = 0;
          host.labels[i] = -1;
        }
      upload_front (self->staging.label_rows, host.label_rows, pass.n_labels);
      upload_front (self->staging.labels, host.labels, pass.n_labels);
    }
  if (!peft_engine_pass (self, self->arena, &self->staging, &pass, &call, &row_losses, &correct,
                         &result->extra_loss, &memory, error))
    return FALSE;
  result->n_labels = call.n_answers > 0 ? call.n_answers : n_labels;
  if (n_labels > 0)
    collect (self, row_losses, correct, n_labels, &call, result);
  return TRUE;
}

const char *
peft_engine_find_not_finite (PeftEngine *self)
{
  PeftParamSet *params = self->adapter != NULL ? self->adapter->params : NULL;

  for (guint i = 0; params != NULL && i < peft_param_set_get_n (params); i++)
    {
      PeftParam *param = peft_param_set_get (params, i);
      gsize n = peft_view_n_values (&param->value->view);
      g_autofree float *values = g_new (float, n);

      peft_param_download (param, values);
      for (gsize j = 0; j < n; j++)
        if (!isfinite (values[j]))
          return param->key;
    }
  return NULL;
}
