/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "methods/peft-method.h"

/* Gives a prefix the keys and values that the model alone computes for the first of some ids, one for each virtual
 * token; needs no more ids than that, and refuses fewer. The adapter is inactive, and so are all others. */
gboolean peft_prefix_fill (PeftAdapter *adapter, const gint32 *ids, gsize n_ids,
                           GCancellable *cancellable, GError **error);
