/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "peft-trainer-private.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#include "base/peft-error.h"
#include "peft-dataset-private.h"
#include "peft-json-private.h"
#include "peft-relay.h"
#include "peft-tokenizer-private.h"

/* A run of the trainer, on the thread that computes. */

typedef struct
{
  PeftTrainer *trainer;
  const PeftTrainerRun *run;
  PeftRelay *relay;
  PeftModel *model;
  PeftAdapter *adapter;
  PeftTokenizer *tokenizer; /* NULL: none; the base model's */
  PeftEncodedSet *train;
  PeftEncodedSet *eval;     /* NULL: none */
  GArray *prompts;          /* PeftSamplePrompt */
  PeftTrainOptions options;
  gint64 start;             /* of the first step */
  guint64 first_step;
  gboolean started;
} Run;

static void
run_clear (Run *self)
{
  g_clear_pointer (&self->adapter, peft_adapter_unref);
  g_clear_pointer (&self->train, peft_encoded_set_unref);
  g_clear_pointer (&self->eval, peft_encoded_set_unref);
  for (guint i = 0; self->prompts != NULL && i < self->prompts->len; i++)
    g_free ((gpointer) g_array_index (self->prompts, PeftSamplePrompt, i).ids);
  g_clear_pointer (&self->prompts, g_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Run, run_clear)

/* ---- Reports ------------------------------------------------------------------------------- */

/* Takes text. */
static void
push_note (Run *self, char *text)
{
  PeftTrainerEvent *event = g_new0 (PeftTrainerEvent, 1);

  event->event = PEFT_TRAIN_NOTE;
  event->text = text;
  peft_relay_push (self->relay, event, FALSE);
}

static PeftJson *
memory_to_tree (const PeftMemoryPlan *plan)
{
  PeftJson *json = peft_json_new_object ();

  peft_json_set (json, "weights", peft_json_new_uint (plan->weights));
  peft_json_set (json, "mapped", peft_json_new_uint (plan->mapped));
  peft_json_set (json, "adapter", peft_json_new_uint (plan->adapter));
  peft_json_set (json, "training", peft_json_new_uint (plan->training));
  peft_json_set (json, "activations", peft_json_new_uint (plan->activations));
  peft_json_set (json, "scratch", peft_json_new_uint (plan->scratch));
  peft_json_set (json, "buffers", peft_json_new_uint (plan->buffers));
  peft_json_set (json, "total", peft_json_new_uint (plan->total));
  peft_json_set (json, "available", peft_json_new_uint (peft_memory_get_available ()));
  return json;
}

static char *
plan_to_json (guint64 total_steps, guint batch_size, guint micro_batch, gboolean checkpointing,
              guint64 trainable, guint64 all, const PeftMemoryPlan *plan)
{
  g_autoptr (PeftJson) json = peft_json_new_object ();

  peft_json_set (json, "total_steps", peft_json_new_uint (total_steps));
  peft_json_set (json, "batch_size", peft_json_new_int (batch_size));
  peft_json_set (json, "micro_batch", peft_json_new_int (micro_batch));
  peft_json_set (json, "checkpointing", peft_json_new_boolean (checkpointing));
  peft_json_set (json, "trainable_parameters", peft_json_new_uint (trainable));
  peft_json_set (json, "all_parameters", peft_json_new_uint (all));
  peft_json_set (json, "memory", memory_to_tree (plan));
  return peft_json_to_string (json, PEFT_JSON_WRITE_INDENT);
}

static void
fill_progress (Run *self, const PeftTrainProgress *from, PeftTrainingProgress *to)
{
  guint64 done = from->step - self->first_step;

  to->step = from->step;
  to->total_steps = from->total_steps;
  to->epoch = from->epoch;
  to->loss = from->loss;
  to->extra_loss = from->extra_loss;
  to->learning_rate = from->learning_rate;
  to->grad_norm = from->grad_norm;
  to->tokens = from->tokens;
  to->tokens_per_second = from->tokens_per_second;
  to->eval_loss = from->eval_loss;
  to->elapsed = self->started ? (double) (g_get_monotonic_time () - self->start) * 1e-6 : 0;
  to->eta = done > 0 ? to->elapsed / (double) done * (double) (from->total_steps - from->step)
                     : -1;
}

static void
progress_cb (const PeftTrainProgress *progress, gpointer data)
{
  Run *self = data;
  PeftTrainerEvent *event = g_new0 (PeftTrainerEvent, 1);

  if (progress->event == PEFT_TRAIN_PLANNED)
    {
      self->started = TRUE;
      self->start = g_get_monotonic_time ();
      self->first_step = progress->step;
      event->text = plan_to_json (progress->total_steps, progress->batch_size,
                                  progress->micro_batch, progress->checkpointing,
                                  progress->trainable_parameters, progress->all_parameters,
                                  progress->plan);
    }
  else
    event->text = g_strdup (progress->text);
  event->event = progress->event;
  event->prompt = g_strdup (progress->prompt);
  fill_progress (self, progress, &event->progress);
  peft_relay_push (self->relay, event, progress->event == PEFT_TRAIN_STEP);
}

/* ---- What is trained on -------------------------------------------------------------------- */

static void
note_encoded (Run *self, PeftEncodedSet *set)
{
  guint n_cut = peft_encoded_set_get_n_cut (set);
  guint n_skipped = peft_encoded_set_get_n_skipped (set);

  for (const char *const *text = peft_encoded_set_get_warnings (set); *text != NULL; text++)
    push_note (self, g_strdup (*text));
  if (n_cut > 0)
    push_note (self, g_strdup_printf (ngettext ("%u row was cut to %u tokens",
                                                "%u rows were cut to %u tokens", n_cut),
                                      n_cut, self->run->settings.max_length));
  if (n_skipped > 0)
    push_note (self, g_strdup_printf (ngettext ("%u row without a labelled token was skipped",
                                                "%u rows without a labelled token were skipped",
                                                n_skipped),
                                      n_skipped));
}

static PeftEncodedSet *
encode (Run *self, PeftDataset *dataset, GCancellable *cancellable, GError **error)
{
  PeftEncodedSet *set
      = peft_dataset_encode (dataset, self->tokenizer, (PeftLossOn) self->run->settings.loss_on,
                             self->run->settings.max_length,
                             peft_model_get_core (self->model), cancellable, error);

  if (set != NULL)
    note_encoded (self, set);
  return set;
}

/* A prompt in the form of the rows that are trained on; NULL on error. */
static char *
format_prompt (Run *self, const char *prompt, gboolean *add_special, GError **error)
{
  const PeftDataRow *row = peft_data_set_get_row (peft_dataset_get_set (self->run->dataset), 0);
  g_autoptr (PeftJson) messages = NULL;
  g_autofree char *json = NULL;
  PeftJson *message;

  *add_special = TRUE;
  if (row->kind != PEFT_DATA_KIND_CHAT && row->kind != PEFT_DATA_KIND_INSTRUCTION)
    return g_strdup (prompt);
  if (!peft_tokenizer_has_chat_template (self->tokenizer))
    return g_strconcat (prompt, "\n", NULL);
  *add_special = FALSE;
  messages = peft_json_new_array ();
  message = peft_json_new_object ();
  peft_json_set (message, "role", peft_json_new_string ("user"));
  peft_json_set (message, "content", peft_json_new_string (prompt));
  peft_json_append (messages, message);
  json = peft_json_to_string (messages, PEFT_JSON_WRITE_COMPACT);
  return peft_tokenizer_apply_chat_template (self->tokenizer, json, TRUE, error);
}

static gboolean
encode_prompts (Run *self, GError **error)
{
  self->prompts = g_array_new (FALSE, FALSE, sizeof (PeftSamplePrompt));
  for (char **prompt = self->run->settings.sample_prompts; prompt != NULL && *prompt != NULL;
       prompt++)
    {
      PeftSamplePrompt sample = { .text = *prompt };
      g_autofree char *text = NULL;
      gboolean add_special;

      if (self->tokenizer == NULL)
        {
          g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                               _ ("sample prompts need a tokenizer, and the model has none"));
          return FALSE;
        }
      text = format_prompt (self, *prompt, &add_special, error);
      if (text == NULL)
        return FALSE;
      sample.ids = peft_tokenizer_encode (self->tokenizer, text, add_special, &sample.n_ids, error);
      if (sample.ids == NULL)
        return FALSE;
      g_array_append_val (self->prompts, sample);
    }
  return TRUE;
}

static void
fill_options (Run *self)
{
  const PeftTrainerSettings *s = &self->run->settings;
  PeftTrainOptions *o = &self->options;

  peft_train_options_init (o);
  o->train = self->train;
  o->eval = self->eval;
  o->eval_fraction = s->eval_fraction;
  o->max_length = s->max_length;
  o->packing = s->packing;
  o->shuffle = s->shuffle;
  o->epochs = s->epochs;
  o->max_steps = s->max_steps;
  o->batch_size = s->batch_size;
  o->micro_batch = s->micro_batch;
  o->accumulation = s->accumulation;
  o->checkpointing = (PeftCheckpointing) s->checkpointing;
  o->seed = s->seed;
  o->optimizer = s->optimizer;
  o->schedule = s->schedule;
  o->learning_rate = s->learning_rate;
  o->weight_decay = s->weight_decay;
  o->max_grad_norm = s->max_grad_norm;
  o->beta1 = s->beta1;
  o->beta2 = s->beta2;
  o->epsilon = s->epsilon;
  o->momentum = s->momentum;
  o->nesterov = s->nesterov;
  o->loraplus_ratio = s->loraplus_ratio;
  o->loraplus_embedding_rate = s->loraplus_embedding_rate;
  o->adafactor_scale_parameter = s->adafactor_scale_parameter;
  o->adafactor_relative_step = s->adafactor_relative_step;
  o->schedule_cycles = s->schedule_cycles;
  o->schedule_power = s->schedule_power;
  o->schedule_timescale = s->schedule_timescale;
  o->warmup_ratio = s->warmup_ratio;
  o->warmup_steps = s->warmup_steps;
  o->output = s->output;
  o->log_json = s->log_json;
  o->eval_every = s->eval_every;
  o->save_every = s->save_every;
  o->keep = s->keep;
  o->keep_best = s->keep_best;
  o->early_stopping = s->early_stopping;
  o->resume = s->resume;
  o->base_name = peft_base_model_get_name (peft_model_get_base_model (self->model));
  o->data_names = peft_dataset_get_paths (self->run->dataset);
  o->sample_prompts = (const PeftSamplePrompt *) (gpointer) self->prompts->data;
  o->n_sample_prompts = self->prompts->len;
  o->sample_tokens = s->sample_tokens;
  o->tokenizer = self->tokenizer != NULL ? peft_tokenizer_get_core (self->tokenizer) : NULL;
}

static gboolean
prepare (Run *self, GCancellable *cancellable, GError **error)
{
  const PeftTrainerRun *run = self->run;

  if (run->dataset == NULL)
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                           _ ("there is no data set to train on"));
      return FALSE;
    }
  if (run->settings.quantize != NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("quantising the base model to “%s” for training is not supported"),
                   run->settings.quantize);
      return FALSE;
    }
  self->adapter = peft_model_get_trained (self->model, error);
  if (self->adapter == NULL
      || !peft_base_model_find_tokenizer (peft_model_get_base_model (self->model),
                                          &self->tokenizer, error))
    return FALSE;
  self->train = encode (self, run->dataset, cancellable, error);
  if (self->train == NULL)
    return FALSE;
  if (run->eval_dataset != NULL)
    {
      self->eval = encode (self, run->eval_dataset, cancellable, error);
      if (self->eval == NULL)
        return FALSE;
    }
  if (!encode_prompts (self, error))
    return FALSE;
  fill_options (self);
  return TRUE;
}

static PeftTrainingResult *
make_result (const PeftTrainResult *from)
{
  const PeftTrainingResult result = {
    .steps = from->steps,
    .total_steps = from->total_steps,
    .resumed_from = from->resumed_from,
    .first_loss = from->first_loss,
    .loss = from->loss,
    .eval_loss = from->eval_loss,
    .best_loss = from->best_loss,
    .best_step = from->best_step,
    .tokens = from->tokens,
    .seconds = from->seconds,
    .trainable_parameters = from->trainable_parameters,
    .all_parameters = from->all_parameters,
    .peak_memory = from->peak_memory,
    .batch_size = from->batch_size,
    .micro_batch = from->micro_batch,
    .checkpointing = from->checkpointing,
    .stopped_early = from->stopped_early,
  };

  return peft_training_result_copy (&result);
}

gpointer
peft_trainer_train_work (gpointer source, gpointer data, PeftRelay *relay,
                         GCancellable *cancellable, GError **error)
{
  g_auto (Run) self = { .trainer = source, .run = data, .relay = relay };
  PeftTrainResult result;
  gboolean ok;

  self.model = peft_trainer_get_model (self.trainer);
  if (!prepare (&self, cancellable, error))
    return NULL;
  peft_model_attach (self.model);
  ok = peft_train (self.adapter, &self.options, progress_cb, &self, cancellable, &result, error);
  peft_model_detach (self.model);
  peft_model_bump_serial (self.model);
  peft_trainer_take_result (self.trainer, make_result (&result));
  return ok ? make_result (&result) : NULL;
}

gpointer
peft_trainer_plan_work (gpointer source, gpointer data, PeftRelay *relay,
                        GCancellable *cancellable, GError **error)
{
  g_auto (Run) self = { .trainer = source, .run = data, .relay = relay };
  PeftTrainResult result;
  PeftMemoryPlan plan;
  gboolean ok;

  self.model = peft_trainer_get_model (self.trainer);
  if (!prepare (&self, cancellable, error))
    return NULL;
  peft_model_attach (self.model);
  ok = peft_train_plan (self.adapter, &self.options, &result, &plan, error);
  peft_model_detach (self.model);
  return ok ? plan_to_json (result.total_steps, result.batch_size, result.micro_batch,
                            result.checkpointing, result.trainable_parameters,
                            result.all_parameters, &plan)
            : NULL;
}
