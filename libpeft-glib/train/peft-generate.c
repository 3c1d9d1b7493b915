/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "train/peft-generate.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"
#include "base/peft-random.h"
#include "train/peft-generate-pass.h"
#include "train/peft-generate-text.h"
#include "train/peft-logits.h"

/* Caches grow in steps, so that a conversation does not lose its own at every turn. */
#define CAPACITY_STEP 512

#define MAX_TOKENS (1 << 24) /* of one sequence */

struct _PeftGenerate
{
  PeftCore *core;
  PeftTokenizerCore *tokenizer;
  PeftGeneratePass *pass;
  PeftLogits *logits;
  GArray *cached; /* gint32: tokens in the cache of a single line */
  gint64 cached_task;
  PeftGenerateStats stats;
};

/* One prompt on its way. */
typedef struct
{
  GArray *ids; /* prompt and new tokens */
  gsize n_prompt;
  guint64 limit; /* of new tokens */
  gint64 padding; /* positions before the prompt */
  guint64 stream; /* of random numbers */
  gboolean done;
  PeftFinish finish;
  PeftGenerateText *text;
} Line;

typedef struct
{
  PeftGenerate *self;
  const PeftGenerateOptions *options;
  PeftGenerateFunc func;
  gpointer data;
  GCancellable *cancellable;
  Line *lines;
  guint n;
  gint64 longest; /* prompt */
  gint64 n_virtual; /* positions that the active adapter has in front */
  gint64 n_prefix;  /* keys that it has before those */
  gboolean padded;
  gboolean stop_all;
  gint32 *ids, *positions, *segments; /* [n, capacity] */
  float *logits;                      /* [n, vocab] */
} Run;

void
peft_generate_options_init (PeftGenerateOptions *self)
{
  *self = (PeftGenerateOptions){
    .max_new_tokens = 128, .temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = 42,
    .task = -1,
  };
}

const char *
peft_finish_get_name (PeftFinish finish)
{
  static const char *const names[] = { "length", "eos", "stop" };
  return names[finish];
}

void
peft_generated_free (PeftGenerated *self)
{
  g_free (self->ids);
  g_free (self->text);
  g_free (self);
}

PeftGenerate *
peft_generate_new (PeftCore *core, PeftTokenizerCore *tokenizer)
{
  PeftGenerate *self = g_new0 (PeftGenerate, 1);

  self->core = peft_core_ref (core);
  self->tokenizer = tokenizer != NULL ? peft_tokenizer_core_ref (tokenizer) : NULL;
  self->pass = peft_generate_pass_new (core);
  self->logits = peft_logits_new (core->dims.vocab);
  self->cached = g_array_new (FALSE, FALSE, sizeof (gint32));
  return self;
}

void
peft_generate_free (PeftGenerate *self)
{
  g_array_unref (self->cached);
  peft_logits_free (self->logits);
  peft_generate_pass_free (self->pass);
  g_clear_pointer (&self->tokenizer, peft_tokenizer_core_unref);
  peft_core_unref (self->core);
  g_free (self);
}

void
peft_generate_reset (PeftGenerate *self)
{
  g_array_set_size (self->cached, 0);
  peft_generate_pass_reset (self->pass);
}

void
peft_generate_get_stats (PeftGenerate *self, PeftGenerateStats *stats)
{
  *stats = self->stats;
}

/* ---- Checks -------------------------------------------------------------------------------- */

static gboolean
refuse (GError **error, const char *what)
{
  g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT, what);
  return FALSE;
}

static gboolean
check_task (PeftGenerate *self, gint64 task, GError **error)
{
  const gint64 n_tasks = self->core->hook != NULL ? self->core->hook->n_tasks : 0;

  if (task < 0 && n_tasks <= 1)
    return TRUE;
  if (n_tasks == 0)
    return refuse (error, _ ("task-id: the active adapter has no tasks"));
  if (task >= 0 && task < n_tasks)
    return TRUE;
  if (task < 0)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                 _ ("the adapter has %" PRIi64 " tasks: expected a task-id from 0 to %" PRIi64
                    ", found none"),
                 n_tasks, n_tasks - 1);
  else
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                 _ ("task-id: expected a number from 0 to %" PRIi64 ", found %" PRIi64),
                 n_tasks - 1, task);
  return FALSE;
}

static gboolean
check (PeftGenerate *self, const PeftPrompt *prompts, guint n, const PeftGenerateOptions *o,
       GError **error)
{
  if (self->core->task != PEFT_TASK_CAUSAL_LM)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("the model was loaded for the task %s, which is not writing text"),
                   peft_task_get_name (self->core->task));
      return FALSE;
    }
  if (n == 0)
    return refuse (error, _ ("there is no prompt"));
  if (!(o->temperature > 0))
    return refuse (error, _ ("temperature: expected a number above 0 (without sampling, the likeliest "
                             "token is taken)"));
  if (!(o->top_p > 0 && o->top_p <= 1))
    return refuse (error, _ ("top_p: expected a number above 0 and up to 1"));
  if (!(o->min_p >= 0 && o->min_p <= 1))
    return refuse (error, _ ("min_p: expected a number from 0 to 1"));
  if (!(o->repetition_penalty > 0))
    return refuse (error, _ ("repetition_penalty: expected a number above 0"));
  if (o->stop != NULL && o->stop[0] != NULL && self->tokenizer == NULL)
    return refuse (error, _ ("stop strings need a tokenizer"));
  if (!check_task (self, o->task, error))
    return FALSE;
  for (guint i = 0; i < n; i++)
    {
      if (prompts[i].n_ids == 0)
        return refuse (error, _ ("a prompt has no token"));
      if (prompts[i].n_ids > MAX_TOKENS)
        return refuse (error, _ ("a prompt is too long"));
      for (gsize j = 0; j < prompts[i].n_ids; j++)
        if (prompts[i].ids[j] < 0 || prompts[i].ids[j] >= self->core->dims.vocab)
          {
            g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                         _ ("prompt %u: expected ids from 0 to %" PRIi64 ", found %d"), i + 1,
                         self->core->dims.vocab - 1, prompts[i].ids[j]);
            return FALSE;
          }
    }
  return TRUE;
}

static guint64
new_token_limit (const PeftGenerateOptions *o, gsize n_prompt)
{
  guint64 limit = MIN (o->max_new_tokens, MAX_TOKENS);

  if (o->max_length > 0)
    limit = MIN (limit, o->max_length > n_prompt ? o->max_length - n_prompt : 0);
  return limit;
}

/* ---- One token ----------------------------------------------------------------------------- */

static void
tell (Run *run, guint i, gint32 id, const char *text)
{
  if (run->func != NULL && !run->func (i, id, text, run->data))
    run->stop_all = TRUE;
}

static gint32
choose (Run *run, guint i)
{
  PeftGenerate *self = run->self;
  const PeftGenerateOptions *o = run->options;
  const PeftLogitsOptions options = {
    .do_sample = o->do_sample,
    .temperature = o->temperature,
    .top_p = o->top_p,
    .min_p = o->min_p,
    .repetition_penalty = o->repetition_penalty,
    .top_k = o->top_k,
  };
  Line *line = &run->lines[i];
  float *logits = run->logits + i * self->core->dims.vocab;

  /* Sorting would hide what is not a number. */
  if (peft_logits_pick_greedy (logits, self->core->dims.vocab) < 0)
    return -1;
  peft_logits_process (self->logits, &options, logits, (const gint32 *) line->ids->data,
                       line->ids->len);
  if (!o->do_sample)
    return peft_logits_pick_greedy (logits, self->core->dims.vocab);
  return peft_logits_pick (self->logits, logits,
                           peft_random_uniform (o->seed, line->stream,
                                                line->ids->len - line->n_prompt));
}

static gboolean
is_eos (const PeftGenerateOptions *o, gint32 id)
{
  for (gsize i = 0; i < o->n_eos_ids; i++)
    if (o->eos_ids[i] == id)
      return TRUE;
  return FALSE;
}

static gboolean
take_token (Run *run, guint i, GError **error)
{
  Line *line = &run->lines[i];
  gint32 id = choose (run, i);
  const char *fresh = "";
  gboolean stopped = FALSE;

  if (id < 0)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FINITE,
                   _ ("the logits of prompt %u are not finite at token %zu"), i + 1,
                   line->ids->len - line->n_prompt + 1);
      return FALSE;
    }
  g_array_append_val (line->ids, id);
  if (line->text != NULL && !peft_generate_text_push (line->text, id, &fresh, &stopped, error))
    return FALSE;
  if (is_eos (run->options, id))
    {
      line->done = TRUE;
      line->finish = PEFT_FINISH_EOS;
    }
  else if (stopped)
    {
      line->done = TRUE;
      line->finish = PEFT_FINISH_STOP;
    }
  else
    line->done = line->ids->len - line->n_prompt >= line->limit;
  tell (run, i, id, fresh);
  run->self->stats.new_tokens++;
  return TRUE;
}

/* ---- Passes -------------------------------------------------------------------------------- */

/* Columns [start, start + length) of the padded lines, the first of which are virtual. Positions follow the attention
 * mask; behind a prompt they count columns, as peft leaves it to the model. */
static void
fill_columns (Run *run, gint64 start, gint64 length)
{
  const gint64 n_ids = length - MAX (run->n_virtual - start, 0);

  for (guint i = 0; i < run->n; i++)
    for (gint64 t = 0; t < length; t++)
      {
        Line *line = &run->lines[i];
        gint64 column = start + t, text = column - run->n_virtual, at = text - line->padding;
        gint64 to = i * length + t;

        /* A finished line goes on with something that nobody looks at. */
        if (text >= 0)
          run->ids[i * n_ids + t - (length - n_ids)]
              = at < 0 || at >= line->ids->len ? 0 : g_array_index (line->ids, gint32, at);
        run->positions[to] = run->n_virtual > 0 ? column : run->n_prefix + MAX (at, 0);
        run->segments[to] = text >= 0 && at < 0 ? -1 : 0;
      }
}

static gboolean
run_columns (Run *run, gboolean cached, gint64 start, gint64 length, gboolean want, GError **error)
{
  PeftGenerate *self = run->self;
  const PeftGenerateShape shape = { cached, length, MAX (run->n_virtual - start, 0) };

  if (g_cancellable_set_error_if_cancelled (run->cancellable, error))
    return FALSE;
  fill_columns (run, start, length);
  return peft_generate_pass_run (self->pass, &shape, run->ids, run->positions, run->segments,
                                 run->padded, (gint32) MAX (run->options->task, 0),
                                 want ? run->logits : NULL, error);
}

/* The tokens that a single line's cache already has; one is left to compute, for its logits. */
static gsize
find_common (Run *run)
{
  GArray *cached = run->self->cached;
  const Line *line = &run->lines[0];
  gsize n = 0, most = MIN (cached->len, line->n_prompt - 1);

  if (run->n > 1 || run->options->no_cache || run->self->cached_task != run->options->task)
    return 0;
  while (n < most
         && g_array_index (cached, gint32, n) == g_array_index (line->ids, gint32, n))
    n++;
  return n;
}

/* Columns of the pass that starts at `start`; virtual ones are never divided. */
static gint64
chunk_at (Run *run, gint64 start)
{
  gint64 end = MAX (run->n_virtual - start, 0) + PEFT_GENERATE_CHUNK;

  return MIN (end, run->n_virtual + run->longest - start);
}

/* The first column that the cache lacks. */
static gint64
first_column (Run *run, gsize common)
{
  return common > 0 ? run->n_virtual + (gint64) common : 0;
}

static gboolean
prefill (Run *run, gsize common, GError **error)
{
  const gint64 end = run->n_virtual + run->longest;
  gint64 length;

  for (gint64 start = first_column (run, common); start < end; start += length)
    {
      length = chunk_at (run, start);
      if (!run_columns (run, TRUE, start, length, start + length == end, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
plan_columns (Run *run, gboolean cached, gint64 start, gint64 length, GError **error)
{
  const PeftGenerateShape shape = { cached, length, MAX (run->n_virtual - start, 0) };

  return peft_generate_pass_plan (run->self->pass, &shape, error);
}

/* Room is made for all before the first token. */
static gboolean
plan_passes (Run *run, gsize common, guint64 most, GError **error)
{
  const gint64 end = run->n_virtual + run->longest;
  gint64 length;

  if (run->options->no_cache)
    {
      for (guint64 i = 0; i < most; i++)
        if (!plan_columns (run, FALSE, 0, end + (gint64) i, error))
          return FALSE;
      return TRUE;
    }
  for (gint64 start = first_column (run, common); start < end; start += length)
    {
      length = chunk_at (run, start);
      if (!plan_columns (run, TRUE, start, length, error))
        return FALSE;
    }
  return plan_columns (run, TRUE, end, 1, error);
}

static gboolean
is_done (Run *run)
{
  gboolean done = TRUE;

  for (guint i = 0; i < run->n; i++)
    done &= run->lines[i].done;
  return done || run->stop_all;
}

static gboolean
run_tokens (Run *run, guint64 most, GError **error)
{
  const gboolean cached = !run->options->no_cache;
  const gint64 end = run->n_virtual + run->longest;

  for (guint64 step = 0; step < most; step++)
    {
      if (step > 0
          && !run_columns (run, cached, cached ? end + (gint64) step - 1 : 0,
                           cached ? 1 : end + (gint64) step, TRUE, error))
        return FALSE;
      for (guint i = 0; i < run->n; i++)
        if (!run->lines[i].done && !take_token (run, i, error))
          return FALSE;
      if (is_done (run))
        return TRUE;
    }
  return TRUE;
}

/* ---- The whole ----------------------------------------------------------------------------- */

static void
open_lines (Run *run, const PeftPrompt *prompts)
{
  run->lines = g_new0 (Line, run->n);
  for (guint i = 0; i < run->n; i++)
    run->longest = MAX (run->longest, (gint64) prompts[i].n_ids);
  for (guint i = 0; i < run->n; i++)
    {
      Line *line = &run->lines[i];
      g_autofree char *name = g_strdup_printf ("generate/%u", i);

      line->n_prompt = prompts[i].n_ids;
      line->limit = new_token_limit (run->options, line->n_prompt);
      line->done = line->limit == 0;
      line->ids = g_array_sized_new (FALSE, FALSE, sizeof (gint32), line->n_prompt + line->limit);
      g_array_append_vals (line->ids, prompts[i].ids, line->n_prompt);
      line->padding = run->longest - (gint64) line->n_prompt;
      run->padded |= line->padding > 0;
      line->stream = peft_random_stream (name);
      if (run->self->tokenizer != NULL)
        line->text = peft_generate_text_new (run->self->tokenizer, run->options->stop);
    }
}

static void
close_lines (Run *run)
{
  for (guint i = 0; i < run->n; i++)
    {
      g_array_unref (run->lines[i].ids);
      g_clear_pointer (&run->lines[i].text, peft_generate_text_free);
    }
  g_free (run->lines);
  g_free (run->ids);
  g_free (run->positions);
  g_free (run->segments);
  g_free (run->logits);
}

static PeftGenerated *
finish_line (Run *run, guint i, GError **error)
{
  Line *line = &run->lines[i];
  g_autoptr (PeftGenerated) result = g_new0 (PeftGenerated, 1);
  const char *fresh = "";
  gboolean stopped = FALSE;

  if (line->text != NULL && !peft_generate_text_finish (line->text, &fresh, &stopped, error))
    return NULL;
  if (stopped && line->finish == PEFT_FINISH_LENGTH)
    line->finish = PEFT_FINISH_STOP;
  tell (run, i, -1, fresh);
  result->n_ids = line->ids->len - line->n_prompt;
  result->ids = g_memdup2 (line->ids->data + line->n_prompt * sizeof (gint32),
                           result->n_ids * sizeof (gint32));
  result->text = line->text != NULL ? peft_generate_text_steal (line->text) : NULL;
  result->finish = line->finish;
  return g_steal_pointer (&result);
}

/* What the cache of a single line holds now: all but the last token, which no pass has seen. */
static void
remember (Run *run)
{
  GArray *cached = run->self->cached;

  g_array_set_size (cached, 0);
  run->self->cached_task = run->options->task;
  if (run->n == 1 && !run->options->no_cache && run->lines[0].ids->len > run->lines[0].n_prompt)
    g_array_append_vals (cached, run->lines[0].ids->data, run->lines[0].ids->len - 1);
}

static gboolean
generate (Run *run, GError **error)
{
  PeftGenerate *self = run->self;
  guint64 most = 0;
  gint64 capacity, start = g_get_monotonic_time (), middle;
  gsize common;
  gboolean kept;

  for (guint i = 0; i < run->n; i++)
    {
      most = MAX (most, run->lines[i].limit);
      self->stats.prompt_tokens += run->lines[i].n_prompt;
    }
  if (most == 0)
    return TRUE;
  capacity = (run->n_prefix + run->n_virtual + run->longest + (gint64) most + CAPACITY_STEP - 1) / CAPACITY_STEP * CAPACITY_STEP;
  common = find_common (run);
  if (!peft_generate_pass_reserve (self->pass, run->n, capacity, &kept, error))
    return FALSE;
  common = kept ? common : 0;
  /* Until this run is through, nobody knows what the cache holds. */
  g_array_set_size (self->cached, 0);
  peft_generate_pass_cut (self->pass, common > 0 ? run->n_prefix + first_column (run, common) : 0);
  self->stats.reused_tokens = common;
  if (!plan_passes (run, common, most, error))
    return FALSE;
  run->ids = g_new (gint32, run->n * capacity);
  run->positions = g_new (gint32, run->n * capacity);
  run->segments = g_new (gint32, run->n * capacity);
  run->logits = g_new (float, run->n * self->core->dims.vocab);

  if (run->options->no_cache ? !run_columns (run, FALSE, 0, run->n_virtual + run->longest, TRUE, error)
                             : !prefill (run, common, error))
    return FALSE;
  middle = g_get_monotonic_time ();
  self->stats.prefill_seconds = (middle - start) * 1e-6;
  if (!run_tokens (run, most, error))
    return FALSE;
  self->stats.decode_seconds = (g_get_monotonic_time () - middle) * 1e-6;
  remember (run);
  return TRUE;
}

GPtrArray *
peft_generate_run (PeftGenerate *self, const PeftPrompt *prompts, guint n_prompts,
                   const PeftGenerateOptions *options, PeftGenerateFunc func, gpointer data,
                   GCancellable *cancellable, GError **error)
{
  g_autoptr (GPtrArray) results
      = g_ptr_array_new_with_free_func ((GDestroyNotify) peft_generated_free);
  Run run = {
    .self = self, .options = options, .func = func, .data = data, .cancellable = cancellable,
    .n = n_prompts, .n_virtual = peft_core_get_n_virtual (self->core),
    .n_prefix = peft_core_get_n_prefix (self->core),
  };
  gboolean done;

  self->stats = (PeftGenerateStats){ 0 };
  if (!check (self, prompts, n_prompts, options, error))
    return NULL;
  open_lines (&run, prompts);
  done = generate (&run, error);
  for (guint i = 0; done && i < run.n; i++)
    {
      PeftGenerated *result = finish_line (&run, i, error);

      done = result != NULL;
      if (done)
        g_ptr_array_add (results, result);
    }
  close_lines (&run);
  return done ? g_steal_pointer (&results) : NULL;
}
