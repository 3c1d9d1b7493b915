/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tiny-model.h"

#include <math.h>

#include "base/peft-random.h"
#include "formats/peft-safetensors-writer.h"

#define FFN 24
#define KV 8 /* two heads of four */
#define SEED 7

static const gint32 ids[TINY_IDS] = { 1, 5, 9, 30, 2, 2, 17, 8, 31, 0, 11, 4 };

static void
add_tensor (GArray *entries,
            PeftDType dtype,
            const char *name,
            gint64 rows,
            gint64 columns,
            double std,
            double mean)
{
  gsize n = (gsize) (rows * MAX (columns, 1));
  g_autofree float *values = g_new (float, n);
  PeftTensorEntry entry
      = { .name = g_strdup (name), .dtype = dtype, .n_dims = columns > 0 ? 2 : 1 };
  guint64 n_bytes;
  guint8 *data;

  peft_random_fill_normal (SEED, peft_random_stream (name), (float) mean, (float) std, values, n);
  peft_dtype_bytes (dtype, n, &n_bytes);
  data = g_malloc (n_bytes);
  peft_dtype_get_info (dtype)->from_f32 (values, data, n);
  entry.shape[0] = (guint64) rows;
  entry.shape[1] = (guint64) columns;
  entry.data = data;
  entry.n_bytes = n_bytes;
  g_array_append_val (entries, entry);
}

static void
add_layer (GArray *entries, const TinyOptions *options, PeftDType dtype, guint layer)
{
  static const struct
  {
    const char *name;
    gint64 rows, columns;
  } linears[] = {
    { "self_attn.q_proj", TINY_HIDDEN, TINY_HIDDEN },
    { "self_attn.k_proj", KV, TINY_HIDDEN },
    { "self_attn.v_proj", KV, TINY_HIDDEN },
    { "self_attn.o_proj", TINY_HIDDEN, TINY_HIDDEN },
    { "mlp.gate_proj", FFN, TINY_HIDDEN },
    { "mlp.up_proj", FFN, TINY_HIDDEN },
    { "mlp.down_proj", TINY_HIDDEN, FFN },
  };
  static const char *const norms[] = { "input_layernorm", "post_attention_layernorm" };

  for (guint i = 0; i < G_N_ELEMENTS (linears); i++)
    {
      g_autofree char *weight
          = g_strdup_printf ("model.layers.%u.%s.weight", layer, linears[i].name);
      g_autofree char *bias = g_strdup_printf ("model.layers.%u.%s.bias", layer, linears[i].name);

      add_tensor (entries, dtype, weight, linears[i].rows, linears[i].columns, 0.3, 0.0);
      if (options->biases && i < 3)
        add_tensor (entries, dtype, bias, linears[i].rows, 0, 0.3, 0.0);
    }
  for (guint i = 0; i < G_N_ELEMENTS (norms); i++)
    {
      g_autofree char *weight = g_strdup_printf ("model.layers.%u.%s.weight", layer, norms[i]);
      add_tensor (entries, dtype, weight, TINY_HIDDEN, 0, 0.1, 1.0);
    }
}

static void
write_config (const char *folder, const TinyOptions *options)
{
  g_autofree char *path = g_build_filename (folder, "config.json", NULL);
  g_autofree char *text = g_strdup_printf (
      "{\"architectures\":[\"%s\"],\"model_type\":\"%s\",\"hidden_size\":%d,\"intermediate_size\":%"
      "d,"
      "\"num_hidden_layers\":%d,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"vocab_size\":"
      "%d,"
      "\"max_position_embeddings\":64,\"rms_norm_eps\":1e-05,\"rope_theta\":10000.0,"
      "\"hidden_act\":\"silu\",\"tie_word_embeddings\":%s,\"torch_dtype\":\"%s\"}",
      options->biases ? "Qwen2ForCausalLM" : "LlamaForCausalLM",
      options->biases ? "qwen2" : "llama", TINY_HIDDEN, FFN, TINY_LAYERS, TINY_VOCAB,
      options->tied ? "true" : "false", options->dtype == PEFT_DTYPE_BF16 ? "bfloat16" : "float32");

  g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

char *
tiny_write (const TinyOptions *options)
{
  g_autoptr (GError) error = NULL;
  char *folder = g_dir_make_tmp ("peft-tiny-XXXXXX", &error);
  g_autofree char *path = g_build_filename (folder, "model.safetensors", NULL);
  g_autoptr (GArray) entries = g_array_new (FALSE, FALSE, sizeof (PeftTensorEntry));
  PeftDType dtype = options->dtype == PEFT_DTYPE_F64 ? PEFT_DTYPE_F32 : options->dtype;

  g_assert_no_error (error);
  write_config (folder, options);
  add_tensor (entries, dtype, "model.embed_tokens.weight", TINY_VOCAB, TINY_HIDDEN, 1.0, 0.0);
  for (guint i = 0; i < TINY_LAYERS; i++)
    add_layer (entries, options, dtype, i);
  add_tensor (entries, dtype, "model.norm.weight", TINY_HIDDEN, 0, 0.1, 1.0);
  if (!options->tied)
    add_tensor (entries, dtype, "lm_head.weight", TINY_VOCAB, TINY_HIDDEN, 1.0, 0.0);
  peft_safetensors_save (path, (PeftTensorEntry *) entries->data, entries->len, NULL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < entries->len; i++)
    {
      PeftTensorEntry *entry = &g_array_index (entries, PeftTensorEntry, i);

      g_free ((gpointer) entry->name);
      g_free ((gpointer) entry->data);
    }
  return folder;
}

PeftCore *
tiny_load (const char *folder)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, &error);
  PeftCore *core;

  g_assert_no_error (error);
  core = peft_core_load (folder, backend, PEFT_LOAD_FLOAT32, NULL, &error);
  g_assert_no_error (error);
  return core;
}

static PeftTensor *
ints (PeftCore *core, guint n_dims, const gint64 *shape, const gint32 *values)
{
  g_autoptr (GError) error = NULL;
  PeftTensor *tensor = peft_tensor_new_on (core->backend, PEFT_DTYPE_I32, n_dims, shape, &error);

  g_assert_no_error (error);
  peft_tensor_upload_i32 (tensor, values);
  return tensor;
}

static PeftVar *
run (PeftCore *core, PeftTape *tape)
{
  g_autoptr (GError) error = NULL;
  gint32 position[TINY_IDS];
  const gint64 length = TINY_IDS, row[2] = { 1, TINY_IDS };
  g_autoptr (PeftTensor) id_tensor = ints (core, 1, &length, ids);
  g_autoptr (PeftTensor) positions = NULL;
  PeftForward forward
      = { .batch = 1, .length = TINY_IDS, .ids = id_tensor, .max_position = TINY_IDS };
  g_autoptr (PeftVar) hidden = NULL;
  PeftVar *logits;

  for (gint32 i = 0; i < TINY_IDS; i++)
    position[i] = i;
  positions = ints (core, 2, row, position);
  forward.positions = positions;
  hidden = peft_core_forward (core, tape, &forward);
  logits = peft_core_head (tape, &hidden, core);
  g_assert_true (peft_tape_check (tape, &error));
  g_assert_no_error (error);
  return logits;
}

static PeftTape *
new_tape (PeftCore *core, PeftArena **arena, gboolean recording, gboolean training)
{
  g_autoptr (GError) error = NULL;
  PeftTapeOptions options = { .recording = recording, .training = training, .seed = 3 };

  *arena = peft_arena_new (core->backend, 8 << 20, &error);
  g_assert_no_error (error);
  options.arena = *arena;
  return peft_tape_new (&options);
}

double *
tiny_logits (PeftCore *core, gboolean training)
{
  g_autoptr (PeftArena) arena = NULL;
  g_autoptr (PeftTape) tape = new_tape (core, &arena, FALSE, training);
  g_autoptr (PeftVar) logits = run (core, tape);
  double *out = g_new (double, TINY_LOGITS);

  peft_tensor_download_f64 (logits->value, out);
  return out;
}

double
tiny_loss (PeftCore *core, gboolean gradients)
{
  g_autoptr (PeftArena) arena = NULL;
  g_autoptr (PeftTape) tape = new_tape (core, &arena, gradients, FALSE);
  g_autoptr (PeftVar) logits = run (core, tape);
  g_autofree double *values = g_new (double, TINY_LOGITS);
  g_autofree double *weights = g_new (double, TINY_LOGITS);
  const gint64 shape[2] = { TINY_IDS, TINY_VOCAB };
  double sum = 0.0;

  peft_tensor_download_f64 (logits->value, values);
  for (gsize i = 0; i < TINY_LOGITS; i++)
    {
      weights[i] = sin ((double) i);
      sum += values[i] * weights[i];
    }
  if (gradients)
    {
      g_autoptr (PeftTensor) seed = peft_tape_alloc (tape, core->backend->real, 2, shape);
      g_autoptr (GError) error = NULL;

      peft_tensor_upload_f64 (seed, weights);
      peft_tape_backward (tape, logits, seed);
      g_assert_true (peft_tape_check (tape, &error));
    }
  return sum;
}

void
tiny_randomise (PeftAdapter *adapter, double std)
{
  for (guint i = 0; i < peft_param_set_get_n (adapter->params); i++)
    {
      PeftParam *param = peft_param_set_get (adapter->params, i);
      gsize n = 1;
      g_autofree float *values = NULL;

      for (guint j = 0; j < param->n_dims; j++)
        n *= (gsize) param->shape[j];
      values = g_new (float, n);
      peft_random_fill_normal (11, peft_random_stream (param->key), 0.0f, (float) std, values, n);
      peft_param_upload (param, values);
    }
}

double
tiny_largest_difference (const double *a, const double *b, gsize n)
{
  double largest = 0.0;

  for (gsize i = 0; i < n; i++)
    largest = fmax (largest, fabs (a[i] - b[i]));
  return largest;
}

double
tiny_largest (const double *a, gsize n)
{
  double largest = 0.0;

  for (gsize i = 0; i < n; i++)
    largest = fmax (largest, fabs (a[i]));
  return largest;
}

PeftConfig *
tiny_config (const char *members)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *json
      = g_strdup_printf ("{\"peft_type\":\"LORA\"%s%s}", members[0] != '\0' ? "," : "", members);
  PeftConfig *config = peft_config_new_from_json (json, -1, &error);

  g_assert_no_error (error);
  return config;
}

PeftAdapter *
tiny_adapter (PeftCore *core, const char *members)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftConfig) config = tiny_config (members);
  PeftAdapter *adapter = peft_adapter_new (core, config, "default", 42, &error);

  g_assert_no_error (error);
  return adapter;
}
