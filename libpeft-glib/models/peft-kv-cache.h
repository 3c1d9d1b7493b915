/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "models/peft-core.h"

/* For architectures: writes the new keys and values, [batch, length, kv_heads, head_dim], behind those
 * of the layer that are there and returns all of them. The cache's length changes only when the whole pass is
 * done. */
void peft_kv_cache_extend (PeftKvCache *self, PeftTape *tape, int layer, PeftVar **k, PeftVar **v);
/* The first n keys and values of a layer in the first line, [n, kv_heads, head_dim] each. */
void peft_kv_cache_read (PeftKvCache *self, int layer, gint64 n, float *keys, float *values);
