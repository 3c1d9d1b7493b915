/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib/gstdio.h>
#include <peft-glib.h>
#include <math.h>
#include <string.h>

/* A random Llama of some thousand weights with a tokenizer of letters and a chat template, written with nothing
 * but the public API. */

#define TINY_VOCAB 32
#define TINY_HIDDEN 16
#define TINY_FFN 24
#define TINY_LAYERS 2
#define TINY_PARAMETERS \
  (TINY_VOCAB * TINY_HIDDEN + TINY_HIDDEN \
   + TINY_LAYERS * (2 * TINY_HIDDEN + 3 * TINY_HIDDEN * TINY_FFN + 3 * TINY_HIDDEN * TINY_HIDDEN))

static void
write_text (const char *folder, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autoptr (GError) error = NULL;

  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
}

typedef struct
{
  GString *header;
  GByteArray *data;
  GRand *random;
} TensorWriter;

static void
add_tensor (TensorWriter *self, const char *name, guint rows, guint columns, gboolean ones)
{
  gsize start = self->data->len;

  for (guint i = 0; i < MAX (rows, 1) * columns; i++)
    {
      float value = ones ? 1 : (float) g_rand_double_range (self->random, -0.5, 0.5);
      g_byte_array_append (self->data, (const guint8 *) &value, sizeof value);
    }
  g_string_append_printf (self->header, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[", 
                          self->header->len > 1 ? "," : "", name);
  if (rows > 0)
    g_string_append_printf (self->header, "%u,", rows);
  g_string_append_printf (self->header, "%u],\"data_offsets\":[%" G_GSIZE_FORMAT ",%u]}", columns,
                          start, self->data->len);
}

static void
write_weights (const char *folder)
{
  g_autofree char *path = g_build_filename (folder, "model.safetensors", NULL);
  g_autoptr (GString) header = g_string_new ("{");
  g_autoptr (GByteArray) data = g_byte_array_new ();
  g_autoptr (GRand) random = g_rand_new_with_seed (7);
  g_autoptr (GByteArray) file = g_byte_array_new ();
  g_autoptr (GError) error = NULL;
  TensorWriter writer = { header, data, random };
  guint64 length;

  add_tensor (&writer, "model.embed_tokens.weight", TINY_VOCAB, TINY_HIDDEN, FALSE);
  add_tensor (&writer, "model.norm.weight", 0, TINY_HIDDEN, TRUE);
  for (guint layer = 0; layer < TINY_LAYERS; layer++)
    {
      const struct
      {
        const char *name;
        guint rows, columns;
      } tensors[] = {
        { "input_layernorm", 0, TINY_HIDDEN },
        { "post_attention_layernorm", 0, TINY_HIDDEN },
        { "self_attn.q_proj", TINY_HIDDEN, TINY_HIDDEN },
        { "self_attn.k_proj", TINY_HIDDEN / 2, TINY_HIDDEN },
        { "self_attn.v_proj", TINY_HIDDEN / 2, TINY_HIDDEN },
        { "self_attn.o_proj", TINY_HIDDEN, TINY_HIDDEN },
        { "mlp.gate_proj", TINY_FFN, TINY_HIDDEN },
        { "mlp.up_proj", TINY_FFN, TINY_HIDDEN },
        { "mlp.down_proj", TINY_HIDDEN, TINY_FFN },
      };

      for (guint i = 0; i < G_N_ELEMENTS (tensors); i++)
        {
          g_autofree char *name
              = g_strdup_printf ("model.layers.%u.%s.weight", layer, tensors[i].name);
          add_tensor (&writer, name, tensors[i].rows, tensors[i].columns, tensors[i].rows == 0);
        }
    }
  g_string_append (header, "}");
  while (header->len % 8 != 0)
    g_string_append_c (header, ' ');
  length = GUINT64_TO_LE (header->len);
  g_byte_array_append (file, (const guint8 *) &length, sizeof length);
  g_byte_array_append (file, (const guint8 *) header->str, (guint) header->len);
  g_byte_array_append (file, data->data, data->len);
  g_file_set_contents (path, (const char *) file->data, file->len, &error);
  g_assert_no_error (error);
}

/* Ids: 0 <s>, 1 </s>, 2 the space, 3 the full stop, 4 line feed, then a … z. */
static void
write_tokenizer (const char *folder)
{
  g_autoptr (GString) json = g_string_new (
      "{\"version\":\"1.0\",\"added_tokens\":["
      "{\"id\":0,\"content\":\"<s>\",\"special\":true,\"single_word\":false,\"lstrip\":false,"
      "\"rstrip\":false,\"normalized\":false},"
      "{\"id\":1,\"content\":\"</s>\",\"special\":true,\"single_word\":false,\"lstrip\":false,"
      "\"rstrip\":false,\"normalized\":false}],"
      "\"normalizer\":null,"
      "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true},"
      "\"decoder\":{\"type\":\"ByteLevel\"},\"post_processor\":null,"
      "\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{\"<s>\":0,\"</s>\":1,\"\u0120\":2,"
      "\".\":3,\"\u010a\":4");

  for (char c = 'a'; c <= 'z'; c++)
    g_string_append_printf (json, ",\"%c\":%d", c, 5 + c - 'a');
  g_string_append (json, "}}}");
  write_text (folder, "tokenizer.json", json->str);
  write_text (folder, "tokenizer_config.json",
              "{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\"chat_template\":"
              "\"{% for m in messages %}{{ m.role }}. {{ m.content }}\\n{% endfor %}"
              "{% if add_generation_prompt %}assistant. {% endif %}\"}");
}

static char *
tiny_write (void)
{
  g_autoptr (GError) error = NULL;
  char *folder = g_dir_make_tmp ("peft-api-XXXXXX", &error);

  g_assert_no_error (error);
  write_text (folder, "config.json",
              "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_size\":16,"
              "\"intermediate_size\":24,\"num_hidden_layers\":2,\"num_attention_heads\":4,"
              "\"num_key_value_heads\":2,\"vocab_size\":32,\"max_position_embeddings\":256,"
              "\"rms_norm_eps\":1e-05,\"tie_word_embeddings\":true}");
  write_weights (folder);
  write_tokenizer (folder);
  return folder;
}

/* Also folders in it. */
static void
remove_folder (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);

      if (g_file_test (path, G_FILE_TEST_IS_DIR))
        remove_folder (path);
      else
        g_unlink (path);
    }
  g_rmdir (folder);
}

static PeftModel *
tiny_model (const char *folder)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftDevice) device = peft_device_new ("cpu", 1, &error);
  g_autoptr (PeftBaseModel) base = NULL;

  g_assert_no_error (error);
  base = peft_base_model_load (folder, device, PEFT_LOAD_FLOAT32, NULL, &error);
  g_assert_no_error (error);
  return peft_model_new (base);
}

static void
tiny_add_lora (PeftModel *model, const char *name, gboolean random)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftConfig) config = peft_config_new_for_method ("LORA", &error);

  g_assert_no_error (error);
  g_object_set (config, "r", 4, NULL);
  if (random)
    peft_config_set_field (config, "init_lora_weights", "false", &error);
  g_assert_no_error (error);
  peft_model_add_adapter (model, name, config, 1, &error);
  g_assert_no_error (error);
}

static PeftDataset *
tiny_dataset (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GString) text = g_string_new (NULL);
  PeftDataset *dataset;

  for (guint i = 0; i < 24; i++)
    g_string_append_printf (text, "{\"text\":\"the %s sat on the %s.\"}\n",
                            i % 3 == 0 ? "cat" : "dog", i % 2 == 0 ? "mat" : "big red box");
  dataset = peft_dataset_new_from_text ("rows", text->str, NULL, &error);
  g_assert_no_error (error);
  return dataset;
}

/* The largest difference of the logits of a fixed row. */
static double
compare_logits (PeftTensor *a, PeftTensor *b)
{
  g_autoptr (GBytes) a_bytes = peft_tensor_get_bytes (a);
  g_autoptr (GBytes) b_bytes = peft_tensor_get_bytes (b);
  gsize n;
  const float *x = g_bytes_get_data (a_bytes, &n);
  const float *y = g_bytes_get_data (b_bytes, NULL);
  double largest = 0;

  g_assert_cmpuint (n, ==, g_bytes_get_size (b_bytes));
  for (gsize i = 0; i < n / sizeof (float); i++)
    largest = MAX (largest, ABS ((double) x[i] - (double) y[i]));
  return largest;
}

static PeftTensor *
tiny_logits (PeftModel *model)
{
  const gint32 ids[] = { 24, 12, 9, 2, 7, 5, 24 };
  g_autoptr (GError) error = NULL;
  PeftTensor *logits = peft_model_forward (model, ids, G_N_ELEMENTS (ids), NULL, &error);

  g_assert_no_error (error);
  return logits;
}

/* An asynchronous call, waited for. */
typedef struct
{
  GMainLoop *loop;
  GAsyncResult *result;
} Wait;

static void
wait_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Wait *self = data;

  self->result = g_object_ref (result);
  g_main_loop_quit (self->loop);
}

static void
wait_init (Wait *self)
{
  self->loop = g_main_loop_new (NULL, FALSE);
  self->result = NULL;
}

/* The result stays the Wait's. */
static GAsyncResult *
wait_run (Wait *self)
{
  if (self->result == NULL)
    g_main_loop_run (self->loop);
  return self->result;
}

static void
wait_clear (Wait *self)
{
  g_clear_object (&self->result);
  g_main_loop_unref (self->loop);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Wait, wait_clear)
