/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "methods/peft-method.h"

/* trainable_token_indices: rows of an embedding, or of the head, that are trained in place of the frozen ones. As low-rank
 * updates: with D the trained rows [n, width], W the frozen ones and E [rows, n] the unit vectors of their numbers, the
 * table is that of the model plus E (D - W). */

/* Declares what the configuration asks for, after the method's own hooks; nothing where it has no such field. */
gboolean peft_token_rows_attach (PeftAdapter *adapter, GError **error);
/* After the parameters have their memory: the frozen rows, from which new ones start. */
gboolean peft_token_rows_prepare (PeftAdapter *adapter, GError **error);
