/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Data files: the first byte says which kind, the rest is the file. */
#include "data/peft-data-reader.h"

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  static const char *const names[] = { "a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt", "a" };
  const PeftDataReadOptions options = { .max_rows = 10000 };
  g_autoptr (PeftDataSet) set = NULL;

  if (size == 0)
    return 0;
  set = peft_data_read_text (names[data[0] % G_N_ELEMENTS (names)], (const char *)data + 1,
                             size - 1, &options, NULL);
  for (guint i = 0; set != NULL && i < peft_data_set_get_n_rows (set); i++)
    peft_json_unref (peft_data_set_row_to_json (set, i));
  return 0;
}
