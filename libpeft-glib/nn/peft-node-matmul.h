/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nn/peft-tape.h"

/* c (+)= alpha · op (a) op (b) (+ bias), for nodes. */
static inline void
peft_node_matmul (PeftTape *tape, const PeftView *a, gboolean trans_a, const PeftView *b,
                  gboolean trans_b, const PeftView *c, const PeftView *bias, double alpha,
                  gboolean accumulate)
{
  PeftMatmulParams params = {
    .a = *a, .b = *b, .c = *c,
    .trans_a = trans_a, .trans_b = trans_b,
    .alpha = alpha, .accumulate = accumulate,
    .compute = tape->options.compute,
  };
  if (bias != NULL)
    params.bias = *bias;
  peft_tape_run (tape, PEFT_KERNEL_MATMUL, &params);
}
