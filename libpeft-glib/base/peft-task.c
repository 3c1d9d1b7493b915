/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "base/peft-task.h"

#include <glib/gi18n-lib.h>

#include "base/peft-error.h"

static const char *const names[] = {
  [PEFT_TASK_CAUSAL_LM] = "CAUSAL_LM",
  [PEFT_TASK_SEQ_CLS] = "SEQ_CLS",
  [PEFT_TASK_TOKEN_CLS] = "TOKEN_CLS",
  [PEFT_TASK_QUESTION_ANS] = "QUESTION_ANS",
  [PEFT_TASK_FEATURE_EXTRACTION] = "FEATURE_EXTRACTION",
};

/**
 * peft_task_get_name:
 * @task: a task
 *
 * Gets the name that `task_type` of an adapter's configuration has for a task.
 *
 * Returns: the name, such as `SEQ_CLS`
 *
 * Since: 1.0
 */
const char *
peft_task_get_name (PeftTask task)
{
  g_return_val_if_fail ((guint) task < G_N_ELEMENTS (names), NULL);

  return names[task];
}

/**
 * peft_task_from_name:
 * @name: a name such as `SEQ_CLS`; case does not matter
 * @task: (out): return location for the task
 * @error: return location for an error
 *
 * Finds a task by the name that `task_type` of an adapter's configuration has for it.
 *
 * Returns: whether there is such a task
 *
 * Since: 1.0
 */
gboolean
peft_task_from_name (const char *name, PeftTask *task, GError **error)
{
  g_autofree char *known = NULL;

  g_return_val_if_fail (name != NULL && task != NULL, FALSE);

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_ascii_strcasecmp (name, names[i]) == 0)
      {
        *task = (PeftTask) i;
        return TRUE;
      }
  if (g_ascii_strcasecmp (name, "SEQ_2_SEQ_LM") == 0)
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                           _ ("task SEQ_2_SEQ_LM comes with the encoder-decoder family, which this "
                              "version does not have"));
      return FALSE;
    }
  known = g_strdup_printf ("%s, %s, %s, %s, %s", names[0], names[1], names[2], names[3], names[4]);
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
               _ ("task: expected one of %s, found %s"), known, name);
  return FALSE;
}
