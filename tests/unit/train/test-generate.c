/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "train-testing.h"

#include "base/peft-json.h"
#include "train/peft-engine.h"
#include "train/peft-generate.h"
#include "train/peft-logits.h"

/* ---- Logit processors: numbers of transformers' -------------------------------------------- */

#define VOCAB 10
#define OUT (-INFINITY)

static const float raw[VOCAB] = { 1.5f, -0.3f, 2.25f, 0.75f, -1.0f, 3.0f, 0.1f, 2.25f, -2.5f, 0.6f };
static const gint32 past[] = { 5, 4, 2, 5 };

static const struct
{
  const char *name;
  PeftLogitsOptions options;
  double values[VOCAB];
} processed[] = {
  { "repetition", { FALSE, 1, 1, 0, 1.3, 0 },
    { 1.5, -0.3, 1.7307693, 0.75, -1.3, 2.3076923, 0.1, 2.25, -2.5, 0.6 } },
  { "temperature", { TRUE, 0.7, 1, 0, 1, 0 },
    { 2.1428571, -0.4285715, 3.2142859, 1.0714285, -1.4285715, 4.2857141, 0.1428571, 3.2142859,
      -3.5714285, 0.8571429 } },
  { "not-sampling", { FALSE, 0.7, 0.5, 0.5, 1, 1 },
    { 1.5, -0.3, 2.25, 0.75, -1.0, 3.0, 0.1, 2.25, -2.5, 0.6 } },
  /* Two of equal size at the border both stay. */
  { "top-k-2", { TRUE, 1, 1, 0, 1, 2 }, { OUT, OUT, 2.25, OUT, OUT, 3.0, OUT, 2.25, OUT, OUT } },
  { "top-k-3", { TRUE, 1, 1, 0, 1, 3 }, { OUT, OUT, 2.25, OUT, OUT, 3.0, OUT, 2.25, OUT, OUT } },
  { "top-k-99", { TRUE, 1, 1, 0, 1, 99 },
    { 1.5, -0.3, 2.25, 0.75, -1.0, 3.0, 0.1, 2.25, -2.5, 0.6 } },
  { "top-p", { TRUE, 1, 0.8, 0, 1, 0 }, { 1.5, OUT, 2.25, OUT, OUT, 3.0, OUT, 2.25, OUT, OUT } },
  { "top-p-tiny", { TRUE, 1, 1e-6, 0, 1, 0 }, { OUT, OUT, OUT, OUT, OUT, 3.0, OUT, OUT, OUT, OUT } },
  { "min-p", { TRUE, 1, 1, 0.2, 1, 0 }, { 1.5, OUT, 2.25, OUT, OUT, 3.0, OUT, 2.25, OUT, OUT } },
  { "all", { TRUE, 0.7, 0.9, 0.15, 1.3, 6 },
    { 2.1428571, OUT, 2.4725275, OUT, OUT, 3.2967033, OUT, 3.2142859, OUT, OUT } },
};

static void
test_processors (void)
{
  g_autoptr (PeftLogits) state = peft_logits_new (VOCAB);

  for (guint i = 0; i < G_N_ELEMENTS (processed); i++)
    {
      float logits[VOCAB];

      memcpy (logits, raw, sizeof raw);
      peft_logits_process (state, &processed[i].options, logits, past, G_N_ELEMENTS (past));
      for (guint j = 0; j < VOCAB; j++)
        if (processed[i].values[j] == OUT ? logits[j] != OUT
                                          : !(fabs (logits[j] - processed[i].values[j]) < 1e-5))
          g_error ("%s: token %u: %g, expected %g", processed[i].name, j, logits[j],
                   processed[i].values[j]);
    }
}

static void
test_pick (void)
{
  g_autoptr (PeftLogits) state = peft_logits_new (VOCAB);
  PeftLogitsOptions options = { TRUE, 1, 0.8, 0, 1, 0 };
  float logits[VOCAB];
  guint counts[VOCAB] = { 0 };
  double sum = 0;

  g_assert_cmpint (peft_logits_pick_greedy (raw, VOCAB), ==, 5);
  memcpy (logits, raw, sizeof raw);
  peft_logits_process (state, &options, logits, past, 0);
  for (guint i = 0; i < 40000; i++)
    counts[peft_logits_pick (state, logits, peft_random_uniform (1, 2, i))]++;
  for (guint i = 0; i < VOCAB; i++)
    sum += exp (logits[i]);
  for (guint i = 0; i < VOCAB; i++)
    g_assert_cmpfloat_with_epsilon (counts[i] / 40000.0, exp (logits[i]) / sum, 0.01);
  g_assert_cmpint (peft_logits_pick (state, logits, 0), ==, 0);
  g_assert_cmpint (peft_logits_pick (state, logits, 0.99999994f), ==, 7);

  logits[3] = NAN;
  g_assert_cmpint (peft_logits_pick_greedy (logits, VOCAB), ==, -1);
  g_assert_cmpint (peft_logits_pick (state, logits, 0.5f), ==, -1);
}

/* ---- Generating with the tiny model -------------------------------------------------------- */

static const gint32 long_prompt[] = { 1, 7, 30, 12, 5, 5, 9, 22, 3, 14, 0 };

static PeftGenerated *
generate_one (PeftCore *core, const gint32 *ids, gsize n, const PeftGenerateOptions *options)
{
  g_autoptr (PeftGenerate) generate = peft_generate_new (core, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) results
      = peft_generate_run (generate, &(PeftPrompt){ ids, n }, 1, options, NULL, NULL, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (results->len, ==, 1);
  return g_ptr_array_steal_index (results, 0);
}

static void
assert_same (const PeftGenerated *a, const PeftGenerated *b)
{
  g_assert_cmpmem (a->ids, a->n_ids * sizeof (gint32), b->ids, b->n_ids * sizeof (gint32));
  g_assert_cmpint (a->finish, ==, b->finish);
}

/* Cache or none, alone or padded in a batch: the same tokens. */
static void
test_cache_and_batch (Fixture *fixture, gconstpointer data)
{
  const char *device = data;
  const PeftPrompt prompts[] = { { long_prompt, 4 }, { long_prompt, 11 }, { long_prompt + 3, 1 } };
  g_autoptr (PeftCore) core = NULL;
  g_autoptr (PeftGenerate) generate = NULL;
  g_autoptr (GPtrArray) batch = NULL;
  g_autoptr (GError) error = NULL;
  PeftGenerateOptions options;

  if (!has_device (device))
    {
      g_test_skip ("the backend was not built");
      return;
    }
  core = load_core (fixture->model, device, 1);
  generate = peft_generate_new (core, NULL);
  peft_generate_options_init (&options);
  options.max_new_tokens = 12;
  batch = peft_generate_run (generate, prompts, 3, &options, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (PeftGenerated) cached = NULL;
      g_autoptr (PeftGenerated) uncached = NULL;

      options.no_cache = FALSE;
      cached = generate_one (core, prompts[i].ids, prompts[i].n_ids, &options);
      options.no_cache = TRUE;
      uncached = generate_one (core, prompts[i].ids, prompts[i].n_ids, &options);
      g_assert_cmpuint (cached->n_ids, ==, 12);
      assert_same (cached, uncached);
      assert_same (cached, batch->pdata[i]);
      g_assert_null (cached->text);
    }
}

static void
test_limits (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
  g_autoptr (PeftGenerated) all = NULL;
  PeftGenerateOptions options;

  peft_generate_options_init (&options);
  options.max_new_tokens = 10;
  all = generate_one (core, long_prompt, 5, &options);
  g_assert_cmpint (all->finish, ==, PEFT_FINISH_LENGTH);
  {
    g_autoptr (PeftGenerated) cut = NULL;

    options.max_length = 8;
    cut = generate_one (core, long_prompt, 5, &options);
    g_assert_cmpuint (cut->n_ids, ==, 3);
    g_assert_cmpmem (cut->ids, 12, all->ids, 12);
  }
  {
    g_autoptr (PeftGenerated) none = NULL;

    options.max_length = 5;
    none = generate_one (core, long_prompt, 5, &options);
    g_assert_cmpuint (none->n_ids, ==, 0);
    g_assert_cmpint (none->finish, ==, PEFT_FINISH_LENGTH);
  }
  {
    /* Several eos ids; the one that came is kept. */
    const gint32 eos[] = { all->ids[4], -7, all->ids[2] };
    g_autoptr (PeftGenerated) ended = NULL;
    gsize first = 0;

    while (all->ids[first] != eos[0] && all->ids[first] != eos[2])
      first++;
    options.max_length = 0;
    options.eos_ids = eos;
    options.n_eos_ids = 3;
    ended = generate_one (core, long_prompt, 5, &options);
    g_assert_cmpuint (ended->n_ids, ==, first + 1);
    g_assert_cmpint (ended->finish, ==, PEFT_FINISH_EOS);
  }
}

static void
test_sampling (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
  g_autoptr (PeftGenerated) first = NULL;
  g_autoptr (PeftGenerated) again = NULL;
  g_autoptr (PeftGenerated) other = NULL;
  g_autoptr (PeftGenerated) greedy = NULL;
  g_autoptr (PeftGenerated) narrow = NULL;
  PeftGenerateOptions options;

  peft_generate_options_init (&options);
  options.max_new_tokens = 20;
  greedy = generate_one (core, long_prompt, 5, &options);
  options.do_sample = TRUE;
  options.temperature = 2;
  first = generate_one (core, long_prompt, 5, &options);
  again = generate_one (core, long_prompt, 5, &options);
  options.seed = 43;
  other = generate_one (core, long_prompt, 5, &options);
  options.top_k = 1;
  narrow = generate_one (core, long_prompt, 5, &options);
  assert_same (first, again);
  assert_same (greedy, narrow);
  g_assert_cmpint (memcmp (first->ids, other->ids, 80), !=, 0);
}

/* A conversation: what the cache has is not computed again, and changes nothing. */
static void
test_reuse (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
  g_autoptr (PeftGenerate) generate = peft_generate_new (core, NULL);
  g_autoptr (GPtrArray) first = NULL;
  g_autoptr (GPtrArray) second = NULL;
  g_autoptr (PeftGenerated) fresh = NULL;
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  g_autoptr (GError) error = NULL;
  const PeftGenerated *result;
  PeftGenerateOptions options;
  PeftGenerateStats stats;

  peft_generate_options_init (&options);
  options.max_new_tokens = 6;
  first = peft_generate_run (generate, &(PeftPrompt){ long_prompt, 5 }, 1, &options, NULL, NULL, NULL,
                             &error);
  g_assert_no_error (error);
  result = first->pdata[0];
  g_array_append_vals (ids, long_prompt, 5);
  g_array_append_vals (ids, result->ids, result->n_ids);
  g_array_append_vals (ids, long_prompt + 5, 3);
  second = peft_generate_run (generate, &(PeftPrompt){ (gint32 *) ids->data, ids->len }, 1, &options,
                              NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  peft_generate_get_stats (generate, &stats);
  g_assert_cmpuint (stats.reused_tokens, ==, 10); /* all but the last of the first run */
  g_assert_cmpuint (stats.prompt_tokens, ==, 14);
  g_assert_cmpuint (stats.new_tokens, ==, 6);
  fresh = generate_one (core, (gint32 *) ids->data, ids->len, &options);
  assert_same (fresh, second->pdata[0]);
  g_clear_pointer (&second, g_ptr_array_unref);
  peft_generate_reset (generate);
  second = peft_generate_run (generate, &(PeftPrompt){ (gint32 *) ids->data, ids->len }, 1, &options,
                              NULL, NULL, NULL, &error);
  peft_generate_get_stats (generate, &stats);
  g_assert_cmpuint (stats.reused_tokens, ==, 0);
  assert_same (fresh, second->pdata[0]);
}

static gboolean
stop_after_three (guint prompt, gint32 id, const char *text, gpointer data)
{
  guint *count = data;
  return ++*count < 3;
}

static void
test_stopping (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
  g_autoptr (PeftGenerate) generate = peft_generate_new (core, NULL);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GPtrArray) results = NULL;
  g_autoptr (GError) error = NULL;
  PeftGenerateOptions options;
  guint count = 0;

  peft_generate_options_init (&options);
  results = peft_generate_run (generate, &(PeftPrompt){ long_prompt, 5 }, 1, &options,
                               stop_after_three, &count, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (((PeftGenerated *) results->pdata[0])->n_ids, ==, 3);
  g_clear_pointer (&results, g_ptr_array_unref);

  g_cancellable_cancel (cancellable);
  results = peft_generate_run (generate, &(PeftPrompt){ long_prompt, 5 }, 1, &options, NULL, NULL,
                               cancellable, &error);
  g_assert_null (results);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void
test_refusals (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
  g_autoptr (PeftGenerate) generate = peft_generate_new (core, NULL);
  const char *const stop[] = { "x", NULL };
  const gint32 bad[] = { 1, TINY_VOCAB };
  PeftPrompt prompt = { long_prompt, 5 };
  PeftGenerateOptions good, options;

  peft_generate_options_init (&good);
#define REFUSED(change, words)                                                                     \
  G_STMT_START                                                                                     \
  {                                                                                                \
    g_autoptr (GError) error = NULL;                                                               \
    options = good;                                                                                \
    change;                                                                                        \
    g_assert_null (peft_generate_run (generate, &prompt, 1, &options, NULL, NULL, NULL, &error));  \
    g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT);                               \
    g_assert_nonnull (strstr (error->message, words));                                             \
  }                                                                                                \
  G_STMT_END
  REFUSED (options.temperature = 0, "temperature");
  REFUSED (options.temperature = NAN, "temperature");
  REFUSED (options.top_p = 0, "top_p");
  REFUSED (options.min_p = 1.5, "min_p");
  REFUSED (options.repetition_penalty = 0, "repetition_penalty");
  REFUSED (options.stop = stop, "tokenizer");
  REFUSED ((prompt = (PeftPrompt){ bad, 2 }), "expected ids from 0 to 31, found 32");
  REFUSED ((prompt = (PeftPrompt){ bad, 0 }), "no token");
#undef REFUSED
}

static void
test_nan (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PeftCore) core = load_core (fixture->model, "reference", 1);
  g_autoptr (PeftAdapter) adapter = active_adapter (core, ALL_LINEAR);
  g_autoptr (PeftGenerate) generate = peft_generate_new (core, NULL);
  g_autoptr (GError) error = NULL;
  PeftGenerateOptions options;

  tiny_randomise (adapter, NAN);
  peft_generate_options_init (&options);
  for (options.do_sample = FALSE; options.do_sample <= TRUE; options.do_sample++)
    {
      options.top_k = 3;
      g_assert_null (peft_generate_run (generate, &(PeftPrompt){ long_prompt, 5 }, 1, &options, NULL,
                                        NULL, NULL, &error));
      g_assert_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FINITE);
      g_clear_error (&error);
    }
}

/* ---- A real model -------------------------------------------------------------------------- */

static char *
find_stories (void)
{
  const char *shared = g_getenv ("PEFT_SHARED");
  const char *root = g_getenv ("PEFT_TEST_ROOT");
  char *folder = shared != NULL ? g_build_filename (shared, "models", "stories260k", NULL)
                                : g_build_filename (root != NULL ? root : ".", "..", "shared", "models",
                                                    "stories260k", NULL);

  if (!g_file_test (folder, G_FILE_TEST_IS_DIR))
    g_clear_pointer (&folder, g_free);
  return folder;
}

static GArray *
read_ids (const PeftJson *line, const char *name)
{
  const PeftJson *list = peft_json_get_member (line, name);
  GArray *ids = g_array_new (FALSE, FALSE, sizeof (gint32));

  for (gsize i = 0; i < peft_json_get_length (list); i++)
    {
      gint64 id;

      g_assert_true (peft_json_get_int (peft_json_get_element (list, i), &id));
      g_array_append_val (ids, (gint32){ id });
    }
  return ids;
}

typedef struct
{
  GString *text;
  guint n_tokens;
} Stream;

static gboolean
collect (guint prompt, gint32 id, const char *text, gpointer data)
{
  Stream *stream = data;

  g_assert_true (g_utf8_validate (text, -1, NULL));
  g_string_append (stream->text, text);
  stream->n_tokens += id >= 0;
  return TRUE;
}

/* The logits behind the last token of the prompt, from a pass without a cache. */
static void
check_logits (PeftCore *core, const PeftJson *line, const GArray *ids)
{
  const PeftJson *expected = peft_json_get_member (line, "logits_last");
  const gsize vocab = core->dims.vocab;
  g_autoptr (PeftEngine) engine = peft_engine_new (core, NULL);
  g_autoptr (PeftDataBatch) batch = peft_data_batch_new ();
  g_autofree float *logits = g_new (float, ids->len * vocab);
  const PeftPass pass = { .batch = 1, .length = ids->len, .logits = TRUE };
  const PeftPassOptions options = { .logits = logits };
  PeftPassResult result;
  g_autoptr (GError) error = NULL;

  peft_data_batch_reserve (batch, 1, ids->len);
  batch->batch = 1;
  batch->length = ids->len;
  for (guint i = 0; i < ids->len; i++)
    {
      batch->ids[i] = g_array_index (ids, gint32, i);
      batch->labels[i] = PEFT_DATA_IGNORED;
      batch->positions[i] = i;
      batch->segments[i] = 0;
    }
  g_assert_true (peft_engine_reserve (engine, &pass, 1, &error));
  g_assert_true (peft_engine_run (engine, batch, &options, &result, &error));
  g_assert_cmpuint (peft_json_get_length (expected), ==, vocab);
  for (gsize i = 0; i < vocab; i++)
    {
      double value;

      g_assert_true (peft_json_get_double (peft_json_get_element (expected, i), &value));
      g_assert_cmpfloat_with_epsilon (logits[(ids->len - 1) * vocab + i], value, 1e-4);
    }
}

static void
check_line (PeftCore *core, PeftGenerate *generate, const PeftJson *line)
{
  g_autoptr (GArray) ids = read_ids (line, "input_ids");
  g_autoptr (GArray) greedy = read_ids (line, "greedy_ids");
  g_autoptr (GPtrArray) results = NULL;
  g_autoptr (GError) error = NULL;
  Stream stream = { g_string_new (NULL), 0 };
  const PeftGenerated *result;
  PeftGenerateOptions options;
  const char *text = NULL;

  check_logits (core, line, ids);
  peft_generate_options_init (&options);
  options.max_new_tokens = greedy->len;
  results = peft_generate_run (generate, &(PeftPrompt){ (gint32 *) ids->data, ids->len }, 1, &options,
                               collect, &stream, NULL, &error);
  g_assert_no_error (error);
  result = results->pdata[0];
  g_assert_cmpmem (result->ids, result->n_ids * sizeof (gint32), greedy->data,
                   greedy->len * sizeof (gint32));
  g_assert_cmpuint (stream.n_tokens, ==, greedy->len);
  g_assert_cmpstr (stream.text->str, ==, result->text);
  g_assert_true (peft_json_read_string (line, "greedy_text", &text, NULL));
  /* Decoded alone, the text has no space before its first word. */
  g_assert_cmpstr (g_str_has_prefix (text, " ") && !g_str_has_prefix (result->text, " ") ? text + 1 : text,
                   ==, result->text);
  g_string_free (stream.text, TRUE);
}

static void
test_stories (gconstpointer data)
{
  const char *device = data;
  g_autofree char *folder = find_stories ();
  g_autofree char *path = NULL;
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftCore) core = NULL;
  g_autoptr (PeftTokenizerCore) tokenizer = NULL;
  g_autoptr (PeftGenerate) generate = NULL;
  guint n = 0;

  if (folder == NULL || !has_device (device))
    {
      g_test_skip ("stories260k is not there: set PEFT_SHARED");
      return;
    }
  core = load_core (folder, device, 1);
  tokenizer = peft_tokenizer_core_load (folder, &error);
  g_assert_no_error (error);
  generate = peft_generate_new (core, tokenizer);
  path = g_build_filename (folder, "reference.jsonl", NULL);
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    if (lines[i][0] != '\0')
      {
        g_autoptr (PeftJson) line = peft_json_parse (lines[i], -1, 0, &error);

        g_assert_no_error (error);
        check_line (core, generate, line);
        n++;
      }
  g_assert_cmpuint (n, >, 0);
}

/* The text ends before the stop string, and no part of it was streamed. */
static void
test_stop_strings (void)
{
  g_autofree char *folder = find_stories ();
  g_autoptr (PeftCore) core = NULL;
  g_autoptr (PeftTokenizerCore) tokenizer = NULL;
  g_autoptr (PeftGenerate) generate = NULL;
  g_autoptr (GPtrArray) results = NULL;
  g_autoptr (GError) error = NULL;
  const gint32 prompt[] = { 1, 403, 407, 261, 378 }; /* Once upon a time */
  const char *const stop[] = { "zzz", "girl named Lily", "", NULL };
  Stream stream = { g_string_new (NULL), 0 };
  const PeftGenerated *result;
  PeftGenerateOptions options;

  if (folder == NULL || !has_device ("cpu"))
    {
      g_test_skip ("stories260k is not there: set PEFT_SHARED");
      g_string_free (stream.text, TRUE);
      return;
    }
  core = load_core (folder, "cpu", 1);
  tokenizer = peft_tokenizer_core_load (folder, &error);
  g_assert_no_error (error);
  generate = peft_generate_new (core, tokenizer);
  peft_generate_options_init (&options);
  options.stop = stop;
  results = peft_generate_run (generate, &(PeftPrompt){ prompt, 5 }, 1, &options, collect, &stream,
                               NULL, &error);
  g_assert_no_error (error);
  result = results->pdata[0];
  g_assert_cmpint (result->finish, ==, PEFT_FINISH_STOP);
  g_assert_true (g_str_has_suffix (result->text, "there was a little "));
  g_assert_cmpstr (stream.text->str, ==, result->text);
  g_assert_cmpuint (result->n_ids, <, 30);
  g_string_free (stream.text, TRUE);
}

static void
test_config (Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = g_build_filename (fixture->folder, "generation_config.json", NULL);
  g_autoptr (GArray) eos = g_array_new (FALSE, FALSE, sizeof (gint32));
  g_autoptr (GError) error = NULL;
  PeftGenerateOptions options;

  peft_generate_options_init (&options);
  g_assert_true (peft_generate_read_config (fixture->folder, eos, &options, &error));
  g_assert_cmpuint (eos->len, ==, 0);
  g_assert_true (g_file_set_contents (
      path, "{\"eos_token_id\":[2,7],\"do_sample\":true,\"temperature\":0.6,\"top_p\":0.9}", -1, NULL));
  g_assert_true (peft_generate_read_config (fixture->folder, eos, NULL, &error));
  g_assert_cmpuint (eos->len, ==, 2);
  g_assert_cmpint (g_array_index (eos, gint32, 1), ==, 7);
  g_assert_false (options.do_sample);
  g_assert_true (peft_generate_read_config (fixture->folder, eos, &options, &error));
  g_assert_true (options.do_sample);
  g_assert_cmpfloat (options.temperature, ==, 0.6);
  g_assert_cmpuint (options.top_k, ==, 50);
  g_assert_true (g_file_set_contents (path, "{\"eos_token_id\":\"</s>\"}", -1, NULL));
  g_assert_false (peft_generate_read_config (fixture->folder, eos, NULL, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE);
  g_assert_nonnull (strstr (error->message, "generation_config.json: eos_token_id"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, data, func)                                                                      \
  g_test_add ("/Peft/Generate/" name, Fixture, data, fixture_set_up, func, fixture_tear_down)
  g_test_add_func ("/Peft/Generate/processors", test_processors);
  g_test_add_func ("/Peft/Generate/pick", test_pick);
  ADD ("cache-and-batch-reference", "reference", test_cache_and_batch);
  ADD ("cache-and-batch-cpu", "cpu", test_cache_and_batch);
  ADD ("limits", NULL, test_limits);
  ADD ("sampling", NULL, test_sampling);
  ADD ("reuse", NULL, test_reuse);
  ADD ("stopping", NULL, test_stopping);
  ADD ("refusals", NULL, test_refusals);
  ADD ("nan", NULL, test_nan);
  ADD ("config", NULL, test_config);
  g_test_add_data_func ("/Peft/Generate/stories-cpu", "cpu", test_stories);
  g_test_add_data_func ("/Peft/Generate/stories-reference", "reference", test_stories);
  g_test_add_func ("/Peft/Generate/stop-strings", test_stop_strings);
#undef ADD
  return g_test_run ();
}
