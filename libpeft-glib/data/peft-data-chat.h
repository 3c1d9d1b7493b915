/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "data/peft-data-encode.h"

/* Renders a row of kind CHAT or INSTRUCTION. *spans takes a new array of PeftTextSpan in order, the
 * bytes that are learnt. A tool call that the template leaves out of the text is an error: the row
 * would teach something else than it says. Messages name no row. */
char *
peft_data_chat_render (const PeftDataRow *row,
                       const PeftDataEncodeOptions *options,
                       GArray **spans,
                       GError **error);
