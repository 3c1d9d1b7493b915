/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "compute/peft-backend.h"

/* The fast backend of the processor: float32 (activations may be bfloat16), threaded, vectorised
 * for the instruction set that cpuid reports. The environment variable PEFT_CPU_ISA names a lesser
 * one for tests. */

/* index is 0; n_threads 0: all processors. */
PeftBackend *peft_cpu_backend_open (guint index, guint n_threads, GError **error);
guint peft_cpu_backend_count (void);
char *peft_cpu_backend_describe (guint index);
guint64 peft_cpu_backend_memory (guint index);

/* The instruction sets usable on this machine, least first: "scalar", "avx2", "avx512",
 * "avx512bf16". NULL-terminated. */
const char *const *peft_cpu_backend_list_isas (void);

/* Floating-point operations a second of register-only multiply-add loops on all threads: what a
 * matrix product could reach at most. 0 where the instruction set has no bfloat16 products. */
double peft_cpu_backend_measure_peak (PeftBackend *self, gboolean bf16);
guint peft_cpu_backend_get_n_threads (PeftBackend *self);
