/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* A read-only mapping of a regular file; its size is the one seen at opening. The pages are read
 * when they are touched. */
GBytes *peft_mapped_file_open (const char *path, GError **error);
