/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-json.h"

/* Which column of a file plays which role, for files whose columns have other names. With a
 * mapping, the columns that it does not name are left alone. */

typedef struct _PeftDataMapping PeftDataMapping;

/* From {"prompt":"question","completion":"answer"}. Roles: messages, conversations, prompt,
 * completion, instruction, input, output, system, history, tools, documents, text, input_ids,
 * labels, attention_mask. PEFT_ERROR_INVALID_ARGUMENT. */
PeftDataMapping *
peft_data_mapping_new (const PeftJson *json, GError **error);
/* The same from text. */
PeftDataMapping *
peft_data_mapping_parse (const char *text, GError **error);
PeftDataMapping *
peft_data_mapping_ref (PeftDataMapping *self);
void
peft_data_mapping_unref (PeftDataMapping *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftDataMapping, peft_data_mapping_unref)

/* The column of a role, NULL when the mapping has none. */
const char *
peft_data_mapping_get_column (const PeftDataMapping *self, const char *role);
/* A new object: role → the row's value. The row may lack the columns of roles that rows can do
 * without (input, system, history, tools, documents, labels, attention_mask); any other absent
 * column is PEFT_ERROR_INVALID_DATA. *seen gets one bit for each mapped column that was there. */
PeftJson *
peft_data_mapping_apply (const PeftDataMapping *self,
                         const PeftJson *row,
                         guint32 *seen,
                         GError **error);
/* Once all rows are read: was every mapped column in at least one of them? */
gboolean
peft_data_mapping_check_seen (const PeftDataMapping *self, guint32 seen, GError **error);

/* "a, b, c": the row's member names, for messages. */
char *
peft_data_list_columns (const PeftJson *row);
