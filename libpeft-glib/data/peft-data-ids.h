/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "data/peft-data-set-private.h"

#define PEFT_DATA_MAX_ROW_IDS (1u << 20) /* token ids of one input_ids row */

/* From the three lists of an input_ids row; labels (NULL: the ids) and mask (NULL: all 1) have as
 * many elements. What is masked has no label. Free with g_free (). */
PeftDataIds *
peft_data_ids_read (const PeftJson *list,
                    const PeftJson *labels,
                    const PeftJson *mask,
                    GError **error);
