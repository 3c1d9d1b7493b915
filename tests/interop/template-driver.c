/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Renders templates for the Python tests. A line of standard input is {"template": source, "name": …,
 * "variables": {…}, "mask": optional boolean}; each gives one line of output, {"text": …} with "spans"
 * for a mask, or {"error": …}. */
#include <stdio.h>
#include <stdlib.h>

#include "text/peft-assistant-mask.h"

static char *
render (const PeftJson *request, GArray **spans, GError **error)
{
  const PeftJson *variables = peft_json_get_member (request, "variables");
  const PeftJson *mask = peft_json_get_member (request, "mask");
  g_autoptr (PeftTemplate) template
      = peft_template_parse (peft_json_get_string (peft_json_get_member (request, "template")),
                             peft_json_get_string (peft_json_get_member (request, "name")), error);

  if (template == NULL)
    return NULL;
  if (mask != NULL && peft_json_get_boolean (mask))
    return peft_assistant_mask_render (template, variables, spans, error);
  return peft_template_render (template, variables, NULL, error);
}

int
main (void)
{
  g_autofree char *line = NULL;
  size_t allocated = 0;

  while (getline (&line, &allocated, stdin) > 0)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GArray) spans = NULL;
      g_autoptr (PeftJson) request = peft_json_parse (line, -1, PEFT_JSON_PARSE_NAN, &error);
      g_autoptr (PeftJson) answer = peft_json_new_object ();
      g_autofree char *text = request != NULL ? render (request, &spans, &error) : NULL;
      g_autofree char *json = NULL;

      if (text != NULL)
        peft_json_set (answer, "text", peft_json_new_string (text));
      else
        peft_json_set (answer, "error", peft_json_new_string (error->message));
      if (spans != NULL)
        {
          PeftJson *list = peft_json_new_array ();
          for (guint i = 0; i < spans->len; i++)
            {
              PeftJson *pair = peft_json_new_array ();
              peft_json_append (pair, peft_json_new_int (g_array_index (spans, PeftTextSpan, i).start));
              peft_json_append (pair, peft_json_new_int (g_array_index (spans, PeftTextSpan, i).end));
              peft_json_append (list, pair);
            }
          peft_json_set (answer, "spans", list);
        }
      json = peft_json_to_string (answer, PEFT_JSON_WRITE_COMPACT);
      puts (json);
      fflush (stdout);
    }
  return 0;
}
