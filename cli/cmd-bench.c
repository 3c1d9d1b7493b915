/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bench-model.h"
#include "cli-print.h"
#include "commands.h"

/* Tokens in front of those that decoding writes, and written to warm up. */
#define DECODE_PROMPT 16
#define WARM_UP_TOKENS 4
/* Tokens of the pass that is only counted. */
#define COUNTED_TOKENS 16

typedef struct
{
  CliCommon common;
  char *model, *only;
  int batch_size, length, steps, decode_tokens;
  gboolean json, profile;

  char *folder; /* of the random model */
  PeftBaseModel *base;
  double rates[2]; /* float32, bfloat16: operations a second */
  GRand *random;
} Bench;

static void
bench_clear (Bench *self)
{
  if (self->folder != NULL)
    bench_model_delete (self->folder);
  cli_common_clear (&self->common);
  g_free (self->model);
  g_free (self->only);
  g_free (self->folder);
  g_clear_object (&self->base);
  g_clear_pointer (&self->random, g_rand_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Bench, bench_clear)

static int
compare_doubles (gconstpointer a, gconstpointer b)
{
  double x = *(const double *) a, y = *(const double *) b;
  return (x > y) - (x < y);
}

static double
median (GArray *values)
{
  double *x = (double *) (gpointer) values->data;
  guint n = values->len;

  qsort (x, n, sizeof *x, compare_doubles);
  return n == 0 ? 0 : n % 2 == 1 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

static gint32
random_id (Bench *self)
{
  return g_rand_int_range (self->random, 0, peft_base_model_get_vocab_size (self->base));
}

/* ---- Counting ------------------------------------------------------------------------------ */

static double
count_flops (const char *profile)
{
  g_autoptr (GVariant) list = peft_variant_new_from_json (profile, NULL);
  double total = 0;

  for (gsize i = 0; list != NULL && i < g_variant_n_children (list); i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (list, i);
      g_autoptr (GVariant) row = g_variant_get_variant (boxed);
      g_autoptr (GVariant) flops = g_variant_lookup_value (row, "flops", NULL);

      if (flops != NULL && g_variant_is_of_type (flops, G_VARIANT_TYPE_DOUBLE))
        total += g_variant_get_double (flops);
      else if (flops != NULL && g_variant_is_of_type (flops, G_VARIANT_TYPE_INT64))
        total += g_variant_get_int64 (flops);
    }
  return total;
}

/* The rate that products of this model can reach: that of the type they are computed in. */
static double
get_rate (Bench *self)
{
  gboolean bfloat16 = peft_base_model_get_dtype (self->base) != PEFT_LOAD_FLOAT32
                      && strstr (peft_base_model_get_compute (self->base), "bfloat16 on") != NULL;

  return bfloat16 && self->rates[1] > 0 ? self->rates[1] : self->rates[0];
}

/* tokens_per_second, gflops, fraction; with --profile also kernels. flops are those of `tokens` tokens; takes profile. */
static GVariant *
describe (Bench *self, double tokens_per_second, double flops, double tokens, char *profile)
{
  g_auto (GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_VARDICT);
  g_autofree char *owned = profile;
  double reached = tokens > 0 ? flops / tokens * tokens_per_second : 0;

  g_variant_builder_add (&builder, "{sv}", "tokens_per_second", g_variant_new_double (tokens_per_second));
  g_variant_builder_add (&builder, "{sv}", "gflops", g_variant_new_double (reached * 1e-9));
  g_variant_builder_add (&builder, "{sv}", "fraction", g_variant_new_double (reached / get_rate (self)));
  if (self->profile)
    {
      g_autoptr (GVariant) kernels = peft_variant_new_from_json (owned, NULL);

      if (kernels != NULL)
        g_variant_builder_add (&builder, "{sv}", "kernels", kernels);
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

/* ---- Training ------------------------------------------------------------------------------ */

static PeftDataset *
make_rows (Bench *self, GError **error)
{
  g_autoptr (GString) rows = g_string_new (NULL);

  for (int i = 0; i < self->batch_size; i++)
    {
      g_string_append (rows, "{\"input_ids\":[");
      for (int j = 0; j < self->length; j++)
        g_string_append_printf (rows, "%s%d", j > 0 ? "," : "", random_id (self));
      g_string_append (rows, "]}\n");
    }
  return peft_dataset_new_from_text ("rows.jsonl", rows->str, NULL, error);
}

static void
on_progress (PeftTrainer *trainer, const PeftTrainingProgress *progress, GArray *rates)
{
  g_array_append_val (rates, progress->tokens_per_second);
}

static PeftModel *
make_lora (Bench *self, GError **error)
{
  static const char *const names[] = { "bench", NULL };
  g_autoptr (PeftConfig) config = peft_config_new_for_method ("LORA", error);
  g_autoptr (PeftModel) model = peft_model_new (self->base);

  if (config == NULL || !peft_config_set_field (config, "r", "16", error)
      || !peft_config_set_field (config, "lora_alpha", "32", error)
      || !peft_config_set_field (config, "target_modules", "\"all-linear\"", error)
      || !peft_model_add_adapter (model, names[0], config, self->common.seed, error)
      || !peft_model_set_active (model, names, NULL, 0, error))
    return NULL;
  return g_steal_pointer (&model);
}

/* LoRA r=16 on all linear layers. The first step warms up; a last one of its own is counted. */
static GVariant *
bench_train (Bench *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (PeftModel) model = make_lora (self, error);
  g_autoptr (PeftDataset) dataset = NULL;
  g_autoptr (PeftTrainer) trainer = NULL;
  g_autoptr (GArray) rates = g_array_new (FALSE, FALSE, sizeof (double));
  g_autoptr (PeftTrainingResult) result = NULL;
  g_autoptr (PeftTrainingResult) counted = NULL;
  char *profile;

  if (model == NULL || (dataset = make_rows (self, error)) == NULL)
    return NULL;
  trainer = peft_trainer_new (model, dataset);
  g_object_set (trainer, "batch-size", (guint) self->batch_size, "max-length", (guint) self->length, "max-steps",
                (guint64) self->steps + 1, "learning-rate", 1e-4, "schedule", "constant", "warmup-steps",
                G_GINT64_CONSTANT (0), "seed", (guint64) self->common.seed, NULL);
  g_signal_connect (trainer, "progress", G_CALLBACK (on_progress), rates);
  result = peft_trainer_train (trainer, cancellable, error);
  if (result == NULL)
    return NULL;
  g_array_remove_index (rates, 0);
  g_signal_handlers_disconnect_by_data (trainer, rates);

  g_object_set (trainer, "max-steps", G_GUINT64_CONSTANT (1), NULL);
  if (!peft_base_model_set_profiling (self->base, TRUE, error)
      || (counted = peft_trainer_train (trainer, cancellable, error)) == NULL
      || (profile = peft_base_model_get_profile_json (self->base, error)) == NULL)
    return NULL;
  peft_base_model_set_profiling (self->base, FALSE, NULL);
  return describe (self, median (rates), count_flops (profile), counted->tokens, profile);
}

/* ---- Generating ---------------------------------------------------------------------------- */

static gboolean
run_generator (Bench *self, PeftGenerator *generator, gsize n_ids, guint64 n_new, GCancellable *cancellable, GError **error)
{
  g_autofree gint32 *ids = g_new (gint32, n_ids);
  g_autoptr (PeftGenerationResult) result = NULL;

  /* New ones each time: what was computed for an earlier prompt must be of no use. */
  for (gsize i = 0; i < n_ids; i++)
    ids[i] = random_id (self);
  g_object_set (generator, "max-new-tokens", n_new, NULL);
  result = peft_generator_generate_ids (generator, ids, n_ids, cancellable, error);
  return result != NULL;
}

/* Tokens and seconds of the last call: of the prompt, or of what was written. */
static double
get_tokens (PeftGenerator *generator, gboolean decode, double *seconds)
{
  guint64 prompt, written;
  double prefill_seconds, decode_seconds;

  peft_generator_get_speed (generator, &prompt, &prefill_seconds, &written, &decode_seconds);
  *seconds = MAX (decode ? decode_seconds : prefill_seconds, 1e-9);
  return decode ? written : prompt;
}

static GVariant *
bench_generate (Bench *self, gboolean decode, GCancellable *cancellable, GError **error)
{
  g_autoptr (PeftModel) model = peft_model_new (self->base);
  g_autoptr (PeftGenerator) generator = peft_generator_new (model);
  g_autoptr (GArray) rates = g_array_new (FALSE, FALSE, sizeof (double));
  gsize n_ids = decode ? DECODE_PROMPT : self->length;
  guint64 n_new = decode ? self->decode_tokens : 1;
  guint64 n_counted = decode ? MIN (n_new, COUNTED_TOKENS) : 1;
  char *profile, *prefill;
  double seconds, flops;

  peft_generator_set_eos_ids (generator, NULL, 0);
  if (!run_generator (self, generator, n_ids, MIN (n_new, WARM_UP_TOKENS), cancellable, error))
    return NULL;
  for (int i = 0; i < (decode ? 1 : self->steps); i++)
    {
      double rate;

      if (!run_generator (self, generator, n_ids, n_new, cancellable, error))
        return NULL;
      rate = get_tokens (generator, decode, &seconds) / seconds;
      g_array_append_val (rates, rate);
    }

  /* Decoding is what is left of a whole call when its prompt's part is taken off. */
  if (!peft_base_model_set_profiling (self->base, TRUE, error)
      || !run_generator (self, generator, n_ids, 1, cancellable, error)
      || (prefill = peft_base_model_get_profile_json (self->base, error)) == NULL)
    return NULL;
  flops = count_flops (prefill);
  if (!decode)
    {
      peft_base_model_set_profiling (self->base, FALSE, NULL);
      return describe (self, median (rates), flops, n_ids, prefill);
    }
  g_free (prefill);
  peft_base_model_set_profiling (self->base, FALSE, NULL);
  if (!peft_base_model_set_profiling (self->base, TRUE, error)
      || !run_generator (self, generator, n_ids, n_counted + 1, cancellable, error)
      || (profile = peft_base_model_get_profile_json (self->base, error)) == NULL)
    return NULL;
  peft_base_model_set_profiling (self->base, FALSE, NULL);
  return describe (self, median (rates), count_flops (profile) - flops, n_counted, profile);
}

/* ---- The command --------------------------------------------------------------------------- */

static gboolean
open_model (Bench *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (PeftDevice) device = cli_open_device (&self->common, error);

  if (device == NULL || !peft_device_benchmark (device, &self->rates[0], &self->rates[1], cancellable, error))
    return FALSE;
  if (self->model == NULL)
    {
      self->folder = g_dir_make_tmp ("peft-glib-bench-XXXXXX", error);
      if (self->folder == NULL
          || !bench_model_write (self->folder, MAX (self->length, self->decode_tokens + DECODE_PROMPT + 1), error))
        return FALSE;
    }
  self->base = cli_open_base (&self->common, self->model != NULL ? self->model : self->folder, cancellable, error);
  self->random = g_rand_new_with_seed (self->common.seed);
  return self->base != NULL;
}

static gboolean
wants (const Bench *self, const char *part)
{
  return self->only == NULL || g_str_equal (self->only, part);
}

static void
print_part (GVariant *part, const char *name)
{
  double speed = 0, gflops = 0, fraction = 0;
  g_autoptr (GVariant) kernels = g_variant_lookup_value (part, "kernels", NULL);

  g_variant_lookup (part, "tokens_per_second", "d", &speed);
  g_variant_lookup (part, "gflops", "d", &gflops);
  g_variant_lookup (part, "fraction", "d", &fraction);
  g_print (_ ("%-8s %10.1f tokens/s %9.1f GFLOP/s %5.1f %% of the product's rate\n"), name, speed, gflops, 100 * fraction);
  for (gsize i = 0; kernels != NULL && i < g_variant_n_children (kernels); i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (kernels, i);
      g_autoptr (GVariant) row = g_variant_get_variant (boxed);
      const char *kernel = "";
      gint64 calls = 0;
      double seconds = 0, flops = 0;

      g_variant_lookup (row, "kernel", "&s", &kernel);
      g_variant_lookup (row, "calls", "x", &calls);
      g_variant_lookup (row, "seconds", "d", &seconds);
      g_variant_lookup (row, "flops", "d", &flops);
      g_print (_ ("  %-28s %8" PRIi64 " calls %10.3f ms %9.1f GFLOP/s\n"), kernel, calls, seconds * 1e3,
               seconds > 0 ? flops / seconds * 1e-9 : 0);
    }
}

static CliStatus
run (Bench *self, GCancellable *cancellable, GError **error)
{
  static const char *const parts[] = { "train", "prefill", "decode" };
  g_auto (GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_VARDICT);
  g_auto (GVariantDict) matmul = G_VARIANT_DICT_INIT (NULL);
  PeftDevice *device;

  if (!open_model (self, cancellable, error))
    return CLI_FAILED;
  device = peft_base_model_get_device (self->base);
  g_variant_dict_insert (&matmul, "float32_gflops", "d", self->rates[0] * 1e-9);
  g_variant_dict_insert (&matmul, "bfloat16_gflops", "d", self->rates[1] * 1e-9);
  g_variant_builder_add (&builder, "{sv}", "device", g_variant_new_string (peft_device_get_description (device)));
  g_variant_builder_add (&builder, "{sv}", "compute", g_variant_new_string (peft_base_model_get_compute (self->base)));
  g_variant_builder_add (&builder, "{sv}", "matmul", g_variant_dict_end (&matmul));
  if (!self->json)
    g_print (_ ("%s, %s\nmatrix products: %.1f GFLOP/s in float32, %.1f in bfloat16\n"), peft_device_get_description (device),
             peft_base_model_get_compute (self->base), self->rates[0] * 1e-9, self->rates[1] * 1e-9);
  for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
    {
      g_autoptr (GVariant) part = NULL;

      if (!wants (self, parts[i]))
        continue;
      part = i == 0 ? bench_train (self, cancellable, error) : bench_generate (self, i == 2, cancellable, error);
      if (part == NULL)
        return CLI_FAILED;
      g_variant_builder_add (&builder, "{sv}", parts[i], part);
      if (!self->json)
        print_part (part, parts[i]);
    }
  if (self->json)
    {
      g_autoptr (GVariant) all = g_variant_ref_sink (g_variant_builder_end (&builder));
      g_autofree char *text = peft_variant_to_json (all, TRUE, error);

      if (text == NULL)
        return CLI_FAILED;
      g_print ("%s\n", text);
    }
  return CLI_DONE;
}

CliStatus
cmd_bench (int argc, char **argv, GCancellable *cancellable)
{
  g_auto (Bench) self = { .batch_size = 4, .length = 512, .steps = 3, .decode_tokens = 128 };
  const GOptionEntry entries[] = {
    { "model", 0, 0, G_OPTION_ARG_STRING, &self.model, N_ ("base model (default: a small random one)"), N_ ("MODEL") },
    { "batch-size", 0, 0, G_OPTION_ARG_INT, &self.batch_size, N_ ("rows of a training step (default: 4)"), "N" },
    { "length", 0, 0, G_OPTION_ARG_INT, &self.length, N_ ("tokens of rows and prompts (default: 512)"), "N" },
    { "steps", 0, 0, G_OPTION_ARG_INT, &self.steps, N_ ("timed steps; the median counts (default: 3)"), "N" },
    { "decode-tokens", 0, 0, G_OPTION_ARG_INT, &self.decode_tokens, N_ ("tokens to write (default: 128)"), "N" },
    { "only", 0, 0, G_OPTION_ARG_STRING, &self.only, N_ ("train, prefill or decode"), N_ ("PART") },
    { "profile", 0, 0, G_OPTION_ARG_NONE, &self.profile, N_ ("time by kernel"), NULL },
    { "json", 0, 0, G_OPTION_ARG_NONE, &self.json, N_ ("print JSON"), NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (GError) error = NULL;

  cli_common_init (&self.common);
  if (!cli_parse ("bench", entries, &self.common, 0, &argc, &argv))
    return CLI_USAGE;
  if (self.batch_size < 1 || self.steps < 1 || self.decode_tokens < 1 || self.length < 2)
    return cli_usage ("bench", _ ("--batch-size, --steps and --decode-tokens: expected 1 or more; --length: expected 2 or more"));
  if (self.only != NULL && !g_str_equal (self.only, "train") && !g_str_equal (self.only, "prefill") && !g_str_equal (self.only, "decode"))
    return cli_usage ("bench", _ ("--only: expected train, prefill or decode, found “%s”"), self.only);
  return run (&self, cancellable, &error) == CLI_DONE ? CLI_DONE : cli_fail (error);
}
