/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-json.h"

/* Conversations in the ways they are written, made into the messages that chat templates take:
 * {"role":…,"content":…} with reasoning_content, tool_calls and any other member kept. */

#define PEFT_DATA_MAX_MESSAGES 8192u /* of one row */

/* Appends the messages of a list to out. Understood: role/content and from/value; the ShareGPT role
 * names; content as a list of parts (text, reasoning, tool_call); function_call turns; weight and
 * loss_weight, of which only an assistant's "weight": 0 is kept. Errors start with FIELD[INDEX] and
 * are PEFT_ERROR_INVALID_DATA, _UNSUPPORTED (images, sound) or _LIMIT. */
gboolean
peft_data_messages_append (PeftJson *out, const PeftJson *list, const char *field, GError **error);
/* Appends [["question","answer"], …], or a list of messages. */
gboolean
peft_data_messages_append_history (PeftJson *out,
                                   const PeftJson *list,
                                   const char *field,
                                   GError **error);
void
peft_data_messages_append_text (PeftJson *out, const char *role, const char *text);
