/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "data/peft-data-set-private.h"

/* Finds out which form a record has and fills row's text or ids, form, kind and n_prompt; texts are
 * kept by set. Preference data (chosen and rejected answers, labelled answers) and rows with images
 * are refused by name. The names of the columns that were used are added to used, which keeps no
 * copies: they live as long as the program. Errors start with the field. */
gboolean
peft_data_form_read (
    PeftDataSet *set, const PeftJson *record, GHashTable *used, PeftDataRow *row, GError **error);
