/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/peft-safetensors.h"

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static (data, size);
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftSafetensors) file = peft_safetensors_open_bytes (bytes, "fuzz", &error);
  volatile guint sum = 0;

  g_assert ((file == NULL) == (error != NULL));
  if (file == NULL)
    return 0;
  peft_safetensors_get_metadata (file, "format");
  for (gsize i = 0; i < peft_safetensors_get_n_tensors (file); i++)
    {
      const PeftTensorEntry *entry = peft_safetensors_get_entry (file, i);

      g_assert (peft_safetensors_lookup (file, entry->name) == entry);
      for (guint64 j = 0; j < entry->n_bytes; j++)
        sum += entry->data[j];
    }
  return 0;
}
