/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#include "base/peft-error.h"
#include "methods/peft-config-private.h"
#include "train/peft-engine-private.h"
#include "train/peft-train-private.h"

/* Bytes of each weight that tell two models of the same shape apart. */
#define SAMPLE_BYTES 256

/* What the shapes that passes are rounded to follow; another rule is another sum. */
#define BUCKETS "16,64,eighths"

static char *
hash_model (PeftCore *core)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);

  g_checksum_update (sum, (const guchar *) core->model_type, -1);
  for (guint i = 0; i < core->slots->len; i++)
    {
      PeftSlot *slot = core->slots->pdata[i];
      guint8 sample[SAMPLE_BYTES];
      gsize n;

      g_checksum_update (sum, (const guchar *) slot->path, -1);
      if (slot->weight == NULL)
        continue;
      n = MIN (peft_view_span (&slot->weight->view), SAMPLE_BYTES);
      g_checksum_update (sum, (const guchar *) slot->weight->view.shape,
                         slot->weight->view.n_dims * sizeof (gint64));
      peft_buffer_download (slot->weight->view.buffer, slot->weight->view.offset, sample, n);
      g_checksum_update (sum, sample, n);
    }
  return g_strdup (g_checksum_get_string (sum));
}

/* The adapter's configuration without what a moved folder changes. */
static PeftJson *
adapter_to_json (PeftAdapter *adapter)
{
  PeftJson *tree;

  if (adapter->config == NULL)
    return peft_json_new_string ("full");
  tree = peft_config_to_tree (adapter->config);
  peft_json_set (tree, "base_model_name_or_path", peft_json_new_null ());
  return tree;
}

/* Everything that changes the numbers and that the user, or the memory, decided. */
static PeftJson *
choices_to_json (PeftTrainRun *self)
{
  const PeftTrainOptions *o = self->options;
  PeftJson *json = peft_json_new_object ();

  peft_json_set (json, "batch_size", peft_json_new_uint (self->batch_size));
  peft_json_set (json, "micro_batch", peft_json_new_uint (self->micro_batch));
  peft_json_set (json, "gradient_accumulation", peft_json_new_uint (self->accumulation));
  peft_json_set (json, "checkpointing",
                 peft_json_new_boolean (self->checkpointing == PEFT_CHECKPOINTING_ON));
  peft_json_set (json, "total_steps", peft_json_new_uint (self->total_steps));
  peft_json_set (json, "warmup_steps", peft_json_new_uint (self->warmup));
  peft_json_set (json, "schedule", peft_json_new_string (self->schedule->name));
  peft_json_set (json, "optimizer", peft_json_new_string (self->optimizer->name));
  peft_json_set (json, "learning_rate", peft_json_new_double (self->learning_rate));
  peft_json_set (json, "weight_decay", peft_json_new_double (o->weight_decay));
  peft_json_set (json, "momentum", peft_json_new_double (o->momentum));
  peft_json_set (json, "nesterov", peft_json_new_boolean (o->nesterov));
  peft_json_set (json, "loraplus_ratio", peft_json_new_double (o->loraplus_ratio));
  peft_json_set (json, "loraplus_embedding_rate", peft_json_new_double (o->loraplus_embedding_rate));
  peft_json_set (json, "adafactor_scale_parameter", peft_json_new_boolean (o->adafactor_scale_parameter));
  peft_json_set (json, "adafactor_relative_step", peft_json_new_boolean (o->adafactor_relative_step));
  peft_json_set (json, "schedule_timescale", peft_json_new_double (o->schedule_timescale));
  peft_json_set (json, "schedule_cycles", peft_json_new_double (o->schedule_cycles));
  peft_json_set (json, "schedule_power", peft_json_new_double (o->schedule_power));
  peft_json_set (json, "max_grad_norm", peft_json_new_double (o->max_grad_norm));
  peft_json_set (json, "adam_beta1", peft_json_new_double (o->beta1));
  peft_json_set (json, "adam_beta2", peft_json_new_double (o->beta2));
  peft_json_set (json, "adam_epsilon", peft_json_new_double (o->epsilon));
  peft_json_set (json, "seed", peft_json_new_uint (o->seed));
  peft_json_set (json, "shuffle", peft_json_new_boolean (o->shuffle));
  peft_json_set (json, "packing", peft_json_new_boolean (o->packing));
  peft_json_set (json, "quantize",
                 o->quantize != NULL ? peft_json_new_string (o->quantize) : peft_json_new_null ());
  return json;
}

static PeftJson *
machine_to_json (PeftTrainRun *self)
{
  PeftJson *json = peft_json_new_object ();

  peft_json_set (json, "backend", peft_json_new_string (self->core->backend->klass->name));
  peft_json_set (json, "instruction_set", peft_json_new_string (self->core->backend->isa));
  peft_json_set (json, "products", peft_json_new_string (
                     self->core->compute == PEFT_COMPUTE_BF16 ? "bfloat16" : "float32"));
  peft_json_set (json, "buckets", peft_json_new_string (BUCKETS));
  peft_json_set (json, "logits_bytes", peft_json_new_uint (PEFT_ENGINE_LOGITS_BYTES));
  return json;
}

/* JSON has no NaN: null. */
static PeftJson *
number_or_null (double value)
{
  return isfinite (value) ? peft_json_new_double (value) : peft_json_new_null ();
}

PeftJson *
peft_train_state_to_json (PeftTrainRun *self)
{
  const PeftTrainState *s = &self->state;
  PeftJson *json = peft_json_new_object ();
  g_autofree char *model = hash_model (self->core);
  guint64 epoch;
  guint32 first, last;

  peft_train_get_batches (self, s->step, &epoch, &first, &last);
  peft_json_set (json, "step", peft_json_new_uint (s->step));
  peft_json_set (json, "epoch", peft_json_new_uint (epoch));
  peft_json_set (json, "batch", peft_json_new_uint (first));
  peft_json_set (json, "micro_step", peft_json_new_uint (s->micro_step));
  peft_json_set (json, "tokens", peft_json_new_uint (s->tokens));
  peft_json_set (json, "seconds", peft_json_new_double (s->seconds));
  peft_json_set (json, "loss", number_or_null (s->loss));
  peft_json_set (json, "first_loss", number_or_null (s->first_loss));
  peft_json_set (json, "eval_loss", number_or_null (s->eval_loss));
  peft_json_set (json, "best_loss", number_or_null (s->best_loss));
  peft_json_set (json, "best_step", peft_json_new_uint (s->best_step));
  peft_json_set (json, "evaluations_without_better", peft_json_new_uint (s->worse));
  peft_json_set (json, "choices", choices_to_json (self));
  peft_json_set (json, "machine", machine_to_json (self));
  peft_json_set (json, "model", peft_json_new_string (model));
  peft_json_set (json, "data", peft_json_new_string (self->data_hash));
  peft_json_set (json, "adapter", adapter_to_json (self->adapter));
  return json;
}

/* ---- Going on ------------------------------------------------------------------------------ */

void
peft_train_state_adopt (PeftTrainRun *self, PeftCheckpoint *checkpoint)
{
  const PeftJson *choices = peft_json_get_member (checkpoint->trainer, "choices");
  gint64 batch_size = 0, micro_batch = 0;
  gboolean checkpointing = FALSE;

  if (choices == NULL || peft_json_get_kind (choices) != PEFT_JSON_OBJECT)
    return;
  peft_json_read_int (choices, "batch_size", &batch_size, NULL);
  peft_json_read_int (choices, "micro_batch", &micro_batch, NULL);
  peft_json_read_boolean (choices, "checkpointing", &checkpointing, NULL);
  if (self->batch_size == 0 && batch_size > 0 && batch_size <= G_MAXINT32)
    self->batch_size = batch_size;
  if (self->micro_batch == 0 && micro_batch > 0 && micro_batch <= G_MAXINT32)
    self->micro_batch = micro_batch;
  if (self->checkpointing == PEFT_CHECKPOINTING_AUTO)
    self->checkpointing = checkpointing ? PEFT_CHECKPOINTING_ON : PEFT_CHECKPOINTING_OFF;
}

static gboolean
same (const PeftJson *a, const PeftJson *b)
{
  double x, y;

  if (a == NULL || b == NULL)
    return FALSE;
  if (peft_json_is_number (a) && peft_json_is_number (b))
    return peft_json_get_double (a, &x) && peft_json_get_double (b, &y) && x == y;
  return peft_json_equal (a, b);
}

static gboolean
refuse (GError **error, PeftCheckpoint *checkpoint, const char *what)
{
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
               _ ("%s: cannot be resumed: %s"), checkpoint->folder, what);
  return FALSE;
}

static char *
member_to_string (const PeftJson *object, const char *name)
{
  const PeftJson *value = object != NULL ? peft_json_get_member (object, name) : NULL;
  return value != NULL ? peft_json_to_string (value, PEFT_JSON_WRITE_COMPACT) : g_strdup ("—");
}

static gboolean
check_choices (PeftTrainRun *self, PeftCheckpoint *checkpoint, GError **error)
{
  const PeftJson *saved = peft_json_get_member (checkpoint->trainer, "choices");
  g_autoptr (PeftJson) ours = choices_to_json (self);

  if (saved == NULL || peft_json_get_kind (saved) != PEFT_JSON_OBJECT)
    return refuse (error, checkpoint, _ ("its settings are missing"));
  for (gsize i = 0; i < peft_json_get_length (ours); i++)
    {
      const char *name = peft_json_get_name (ours, i);

      if (!same (peft_json_get_value (ours, i), peft_json_get_member (saved, name)))
        {
          g_autofree char *then = member_to_string (saved, name);
          g_autofree char *now = member_to_string (ours, name);
          g_autofree char *what
              = g_strdup_printf (_ ("it was made with %s = %s, now it is %s"), name, then, now);

          return refuse (error, checkpoint, what);
        }
    }
  return TRUE;
}

static gboolean
check_identity (PeftTrainRun *self, PeftCheckpoint *checkpoint, GError **error)
{
  g_autofree char *model = hash_model (self->core);
  g_autoptr (PeftJson) adapter = adapter_to_json (self->adapter);
  g_autofree char *adapter_text = peft_json_to_string (adapter, PEFT_JSON_WRITE_COMPACT);
  g_autofree char *saved_text = member_to_string (checkpoint->trainer, "adapter");
  g_autoptr (PeftJson) model_json = peft_json_new_string (model);
  g_autoptr (PeftJson) data_json = peft_json_new_string (self->data_hash);

  if (!same (model_json, peft_json_get_member (checkpoint->trainer, "model")))
    return refuse (error, checkpoint, _ ("it was made with another base model"));
  if (!g_str_equal (adapter_text, saved_text))
    return refuse (error, checkpoint, _ ("it was made with another adapter configuration"));
  if (!same (data_json, peft_json_get_member (checkpoint->trainer, "data")))
    return refuse (error, checkpoint, _ ("it was made with other data"));
  return TRUE;
}

static void
note_machine (PeftTrainRun *self, PeftCheckpoint *checkpoint)
{
  g_autoptr (PeftJson) ours = machine_to_json (self);
  const PeftJson *saved = peft_json_get_member (checkpoint->trainer, "machine");

  for (gsize i = 0; i < peft_json_get_length (ours); i++)
    {
      const char *name = peft_json_get_name (ours, i);
      g_autofree char *then = NULL;
      g_autofree char *now = NULL;
      g_autofree char *note = NULL;

      if (saved != NULL && same (peft_json_get_value (ours, i), peft_json_get_member (saved, name)))
        continue;
      then = member_to_string (saved, name);
      now = member_to_string (ours, name);
      note = g_strdup_printf (_ ("the checkpoint was made with %s = %s, here it is %s: losses agree "
                                 "within rounding, not bit by bit"),
                              name, then, now);
      peft_train_note (self, note);
      return;
    }
}

static gboolean
read_state (PeftTrainState *state, const PeftJson *json, GError **error)
{
  gint64 step = 0, micro_step = 0, tokens = 0, best_step = 0, worse = 0;

  state->loss = state->first_loss = state->eval_loss = state->best_loss = NAN;
  if (!peft_json_read_int (json, "step", &step, error)
      || !peft_json_read_int (json, "micro_step", &micro_step, error)
      || !peft_json_read_int (json, "tokens", &tokens, error)
      || !peft_json_read_int (json, "best_step", &best_step, error)
      || !peft_json_read_int (json, "evaluations_without_better", &worse, error)
      || !peft_json_read_double (json, "seconds", &state->seconds, error)
      || !peft_json_read_double (json, "loss", &state->loss, error)
      || !peft_json_read_double (json, "first_loss", &state->first_loss, error)
      || !peft_json_read_double (json, "eval_loss", &state->eval_loss, error)
      || !peft_json_read_double (json, "best_loss", &state->best_loss, error))
    return FALSE;
  state->step = MAX (step, 0);
  state->micro_step = MAX (micro_step, 0);
  state->tokens = MAX (tokens, 0);
  state->best_step = MAX (best_step, 0);
  state->worse = CLAMP (worse, 0, G_MAXINT);
  return TRUE;
}

gboolean
peft_train_state_check (PeftTrainRun *self, PeftCheckpoint *checkpoint, GError **error)
{
  if (!check_identity (self, checkpoint, error) || !check_choices (self, checkpoint, error))
    return FALSE;
  if (!read_state (&self->state, checkpoint->trainer, error))
    {
      g_prefix_error (error, "%s/" PEFT_CHECKPOINT_TRAINER ": ", checkpoint->folder);
      return FALSE;
    }
  if (self->state.step != checkpoint->step)
    return refuse (error, checkpoint, _ ("its files are of different steps"));
  note_machine (self, checkpoint);
  return TRUE;
}
