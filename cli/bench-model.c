/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bench-model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <peft-glib.h>

/* Layers as wide as those of a model with 135 million parameters, but few of them. */
enum
{
  HIDDEN = 576,
  FFN = 1536,
  HEADS = 9,
  KV_HEADS = 3,
  HEAD_DIM = HIDDEN / HEADS,
  LAYERS = 6,
  VOCAB = 8192
};

#define STD 0.02

typedef struct
{
  char *name;
  guint64 rows, columns; /* columns 0: a vector of ones */
} Tensor;

static void
tensor_clear (gpointer data)
{
  g_free (((Tensor *) data)->name);
}

static void
add_tensor (GArray *tensors, char *name, guint64 rows, guint64 columns)
{
  const Tensor tensor = { name, rows, columns };

  g_array_append_val (tensors, tensor);
}

static GArray *
list_tensors (void)
{
  static const struct
  {
    const char *name;
    guint rows, columns;
  } parts[] = {
    { "input_layernorm", HIDDEN, 0 },
    { "self_attn.q_proj", HIDDEN, HIDDEN },
    { "self_attn.k_proj", KV_HEADS * HEAD_DIM, HIDDEN },
    { "self_attn.v_proj", KV_HEADS * HEAD_DIM, HIDDEN },
    { "self_attn.o_proj", HIDDEN, HIDDEN },
    { "post_attention_layernorm", HIDDEN, 0 },
    { "mlp.gate_proj", FFN, HIDDEN },
    { "mlp.up_proj", FFN, HIDDEN },
    { "mlp.down_proj", HIDDEN, FFN },
  };
  GArray *tensors = g_array_new (FALSE, FALSE, sizeof (Tensor));

  g_array_set_clear_func (tensors, tensor_clear);
  add_tensor (tensors, g_strdup ("model.embed_tokens.weight"), VOCAB, HIDDEN);
  for (guint layer = 0; layer < LAYERS; layer++)
    for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
      add_tensor (tensors, g_strdup_printf ("model.layers.%u.%s.weight", layer, parts[i].name), parts[i].rows,
                  parts[i].columns);
  add_tensor (tensors, g_strdup ("model.norm.weight"), HIDDEN, 0);
  return tensors;
}

static guint64
tensor_get_n (const Tensor *self)
{
  return self->rows * MAX (self->columns, 1);
}

/* The upper half of a float32. */
static guint16
to_bfloat16 (float value)
{
  guint32 bits;

  memcpy (&bits, &value, sizeof bits);
  return bits >> 16;
}

/* A sum of uniform numbers is near enough to a normal one for weights nobody trains. */
static void
fill_random (guint16 *values, gsize n, GRand *random)
{
  for (gsize i = 0; i < n; i++)
    {
      guint32 word = g_rand_int (random);
      float sum = (word & 0xff) + (word >> 8 & 0xff) + (word >> 16 & 0xff) + (word >> 24) - 510;

      values[i] = GUINT16_TO_LE (to_bfloat16 (sum * (float) (STD / 148)));
    }
}

static gboolean
write_tensors (FILE *file, GArray *tensors)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  gboolean ok = TRUE;

  for (guint i = 0; i < tensors->len && ok; i++)
    {
      const Tensor *tensor = &g_array_index (tensors, Tensor, i);
      gsize n = tensor_get_n (tensor);
      g_autofree guint16 *values = g_new (guint16, n);

      if (tensor->columns > 0)
        fill_random (values, n, random);
      for (gsize j = 0; tensor->columns == 0 && j < n; j++)
        values[j] = GUINT16_TO_LE (to_bfloat16 (1));
      ok = fwrite (values, sizeof *values, n, file) == n;
    }
  return ok;
}

static gboolean
write_weights (const char *path, GError **error)
{
  g_autoptr (GArray) tensors = list_tensors ();
  g_autoptr (GString) header = g_string_new ("{");
  FILE *file = g_fopen (path, "wb");
  guint64 offset = 0, length;
  gboolean ok;

  for (guint i = 0; i < tensors->len; i++)
    {
      const Tensor *tensor = &g_array_index (tensors, Tensor, i);
      guint64 end = offset + tensor_get_n (tensor) * sizeof (guint16);
      g_autofree char *columns = tensor->columns > 0 ? g_strdup_printf (",%" PRIu64, tensor->columns) : g_strdup ("");

      g_string_append_printf (header, "%s\"%s\":{\"dtype\":\"BF16\",\"shape\":[%" PRIu64 "%s],\"data_offsets\":[%" PRIu64
                              ",%" PRIu64 "]}", i > 0 ? "," : "", tensor->name, tensor->rows, columns, offset, end);
      offset = end;
    }
  g_string_append_c (header, '}');
  while (header->len % 8 != 0)
    g_string_append_c (header, ' ');
  length = GUINT64_TO_LE (header->len);
  ok = file != NULL && fwrite (&length, sizeof length, 1, file) == 1
       && fwrite (header->str, 1, header->len, file) == header->len && write_tensors (file, tensors);
  if (file != NULL)
    ok = fclose (file) == 0 && ok;
  if (!ok)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_IO, _ ("%s: the file could not be written"), path);
  return ok;
}

gboolean
bench_model_write (const char *folder, guint max_positions, GError **error)
{
  g_autofree char *config_path = g_build_filename (folder, "config.json", NULL);
  g_autofree char *weights_path = g_build_filename (folder, "model.safetensors", NULL);
  g_autofree char *config
      = g_strdup_printf ("{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_act\":\"silu\",\"hidden_size\":%d,"
                         "\"intermediate_size\":%d,\"num_attention_heads\":%d,\"num_key_value_heads\":%d,\"num_hidden_layers\":%d,"
                         "\"vocab_size\":%d,\"max_position_embeddings\":%u,\"rms_norm_eps\":1e-05,\"rope_theta\":10000.0,"
                         "\"tie_word_embeddings\":true,\"torch_dtype\":\"bfloat16\"}\n",
                         HIDDEN, FFN, HEADS, KV_HEADS, LAYERS, VOCAB, max_positions);

  return g_file_set_contents (config_path, config, -1, error) && write_weights (weights_path, error);
}

void
bench_model_delete (const char *folder)
{
  GDir *dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);
      g_unlink (path);
    }
  if (dir != NULL)
    g_dir_close (dir);
  g_rmdir (folder);
}
