/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/peft-gguf.h"

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

/* Touches everything that a value points to. */
static guint
visit (const PeftGgufValue *value)
{
  guint sum = 0;

  if (value->type == PEFT_GGUF_STRING)
    for (gsize i = 0; i < value->string.length; i++)
      sum += (guint8) value->string.data[i];
  else if (value->type == PEFT_GGUF_ARRAY)
    for (gsize i = 0; i < value->array.n; i++)
      {
        PeftGgufValue item;

        peft_gguf_value_get_item (value, i, &item);
        sum += visit (&item);
      }
  else
    sum += (guint) value->u64;
  return sum;
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static (data, size);
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftGguf) file = peft_gguf_open_bytes (bytes, "fuzz", &error);
  PeftTensorSource *source;
  volatile guint sum = 0;

  g_assert ((file == NULL) == (error != NULL));
  if (file == NULL)
    return 0;
  for (gsize i = 0; i < peft_gguf_get_n_keys (file); i++)
    {
      const char *key = peft_gguf_get_key (file, i);
      g_autofree char *string = peft_gguf_dup_string (file, key, NULL);
      g_autofree gint64 *ints = NULL;
      g_autofree float *floats = NULL;
      gsize n;

      g_assert (peft_gguf_lookup (file, key) == peft_gguf_get_value (file, i));
      ints = peft_gguf_dup_int_array (file, key, &n, NULL);
      floats = peft_gguf_dup_float_array (file, key, &n, NULL);
      sum += visit (peft_gguf_get_value (file, i));
    }
  source = peft_gguf_get_source (file);
  for (gsize i = 0; i < peft_tensor_source_get_n (source); i++)
    {
      const PeftTensorEntry *entry = peft_tensor_source_get (source, i);

      g_assert (peft_tensor_source_lookup (source, entry->name) == entry);
      for (guint64 j = 0; j < entry->n_bytes; j++)
        sum += entry->data[j];
    }
  return 0;
}
