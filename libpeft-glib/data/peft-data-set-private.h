/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "data/peft-data-set.h"

/* Building, for the reader alone. */

#define PEFT_DATA_MAX_UNUSED_COLUMNS 64u /* of a file that are remembered */

PeftDataSet *
peft_data_set_new (void);
void
peft_data_set_set_task (PeftDataSet *self, PeftTask task);
/* The index of the new file. */
guint
peft_data_set_add_file (PeftDataSet *self, const char *path);
void
peft_data_set_set_format (PeftDataSet *self, guint file, const char *format);
void
peft_data_set_add_unused_column (PeftDataSet *self, guint file, const char *name);
/* A copy that lives as long as the set. */
const char *
peft_data_set_keep_text (PeftDataSet *self, const char *text, gsize length);
/* Takes row->ids of a row of kind IDS. The first row of a file gives the file its form. */
void
peft_data_set_add_row (PeftDataSet *self, const PeftDataRow *row);

/* Room for ids and labels, and a mask if with_mask; free with g_free (). */
PeftDataIds *
peft_data_ids_new (guint32 length, gboolean with_mask);
