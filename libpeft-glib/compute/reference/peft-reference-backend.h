/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "compute/peft-backend.h"

/* The oracle: every kernel in float64, scalar and straightforward. `real` is F64, and
 * PEFT_COMPUTE_BF16 is ignored. It plays a device: its buffers cannot be read or written outside its own
 * kernels and transfers (SIGSEGV), unless PEFT_REFERENCE_PROTECT=0 is in the environment. */

PeftBackend *peft_reference_backend_open (guint index, guint n_threads, GError **error);
guint peft_reference_backend_count (void);
char *peft_reference_backend_describe (guint index);
guint64 peft_reference_backend_memory (guint index);
