/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

/* Writes a small random model of the Llama family, bfloat16, into a folder that is there. */
gboolean bench_model_write (const char *folder, guint max_positions, GError **error);
/* Deletes a folder of plain files. */
void bench_model_delete (const char *folder);
