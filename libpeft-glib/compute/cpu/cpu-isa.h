/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "compute/cpu/cpu-private.h"

/* The best usable instruction set, or the one that PEFT_CPU_ISA names. */
const CpuIsa *cpu_isa_choose (GError **error);
