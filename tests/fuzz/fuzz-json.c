/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/peft-json.h"

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

/* What parses is written and parsed again to an equal tree, in each form. The first byte picks the
 * flags. */
int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autoptr (PeftJson) json = NULL;
  PeftJsonParseFlags parse_flags;
  PeftJsonWriteFlags write_flags;
  g_autofree char *text = NULL;
  g_autofree char *again = NULL;
  g_autoptr (PeftJson) back = NULL;
  g_autoptr (GError) error = NULL;

  if (size == 0)
    return 0;
  parse_flags = (PeftJsonParseFlags) (data[0] & 3);
  write_flags = (PeftJsonWriteFlags) (data[0] >> 2 & 15);
  json = peft_json_parse ((const char *) data + 1, (gssize) size - 1, parse_flags, &error);
  g_assert_true ((json == NULL) == (error != NULL));
  if (json == NULL)
    {
      g_assert_true (g_utf8_validate (error->message, -1, NULL));
      return 0;
    }
  text = peft_json_to_string (json, write_flags);
  back = peft_json_parse (text, -1, parse_flags, &error);
  g_assert_no_error (error);
  g_assert_true (peft_json_equal (json, back));
  again = peft_json_to_string (back, write_flags);
  g_assert_cmpstr (text, ==, again);
  return 0;
}
