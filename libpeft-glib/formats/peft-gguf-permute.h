/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Converters to GGUF interleave the two halves of every head's q and k rows (RoPE on neighbouring
 * values) for llama-type models:
 *   stored = w.reshape (n_heads, 2, d/2, columns).swapaxes (1, 2).reshape (n_heads·d, columns)
 * This moves whole rows, quantised or not, back into Hugging Face's order. src and dst must not
 * overlap. FALSE, and nothing written, when n_rows is no multiple of 2·n_heads. */
gboolean peft_gguf_unpermute_rows (const guint8 *src, guint8 *dst, guint64 n_rows, gsize row_bytes,
                                   guint n_heads);
