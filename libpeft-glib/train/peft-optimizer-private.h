/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "train/peft-optimizer.h"

extern const PeftOptimizer peft_optimizer_adamw;
extern const PeftOptimizer peft_optimizer_adafactor;
extern const PeftOptimizer peft_optimizer_sgd;
extern const PeftOptimizer peft_optimizer_lion;
extern const PeftOptimizer peft_optimizer_loraplus;
extern const PeftOptimizer peft_optimizer_lorafa;

/* AdamW on one stretch of memory. */
void peft_optimizer_run_adamw (PeftBackend *backend, const PeftParamGroup *group,
                               const PeftOptimizerStep *step, double learning_rate,
                               double weight_decay, double epsilon);
/* y (+)= alpha · x on flat memory. */
void peft_optimizer_add (PeftBackend *backend, const PeftView *x, const PeftView *y, double alpha,
                         gboolean accumulate);
