/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The input is a template; what follows a NUL byte is JSON for its variables. */
#include <string.h>

#include "text/peft-assistant-mask.h"

static const char default_variables[]
    = "{\"messages\": [{\"role\": \"user\", \"content\": \" Hi <b> \\u00fc\"}, {\"role\": \"assistant\", "
      "\"content\": \"Yes\", \"n\": [1, 2.5, null, true]}], \"add_generation_prompt\": true, "
      "\"bos_token\": \"<s>\", \"__strftime_now__\": 0}";

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autofree char *source = g_strndup ((const char *) data, size);
  gsize length = strlen (source);
  g_autoptr (PeftTemplate) template = peft_template_parse (source, "fuzz", NULL);
  g_autoptr (PeftJson) variables = NULL;
  g_autoptr (GArray) spans = NULL;
  g_autofree char *text = NULL;
  g_autofree char *masked = NULL;

  if (template == NULL)
    return 0;
  if (length < size)
    variables = peft_json_parse ((const char *) data + length + 1, size - length - 1,
                                 PEFT_JSON_PARSE_DEFAULT, NULL);
  if (variables == NULL || peft_json_get_kind (variables) != PEFT_JSON_OBJECT)
    {
      g_clear_pointer (&variables, peft_json_unref);
      variables = peft_json_parse (default_variables, -1, PEFT_JSON_PARSE_DEFAULT, NULL);
    }
  text = peft_template_render (template, variables, NULL, NULL);
  if (text != NULL && peft_json_get_member (variables, "messages") != NULL)
    masked = peft_assistant_mask_render (template, variables, &spans, NULL);
  return 0;
}
