/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Learning rate over the optimiser steps, as transformers' get_NAME_schedule_with_warmup has it. */

typedef struct
{
  double learning_rate; /* that is multiplied; polynomial's end is an absolute one */
  double cycles;        /* of cosine_with_restarts */
  double power;         /* of polynomial */
  double timescale;     /* of inverse_sqrt; 0: the warm-up's steps, 10000 where there are none */
} PeftScheduleOptions;

typedef struct
{
  const char *name;         /* "cosine" */
  const char *display_name; /* translatable */
  /* NULL: all options will do. */
  gboolean (*check) (const PeftScheduleOptions *options, GError **error);
  /* Step `step` (from 0) of `total` after a warm-up of `warmup`, which is over. */
  double (*factor) (const PeftScheduleOptions *options, double step, double warmup, double total);
} PeftSchedule;

/* PEFT_ERROR_INVALID_ARGUMENT with the names there are. */
const PeftSchedule *peft_schedule_require (const char *name, GError **error);
const PeftSchedule *const *peft_schedule_list (void); /* NULL-terminated */
gboolean peft_schedule_check (const PeftSchedule *self, const PeftScheduleOptions *options,
                              GError **error);

/* What the learning rate of step `step` (from 0) of `total` is multiplied with. */
double peft_schedule_get_factor (const PeftSchedule *self, const PeftScheduleOptions *options,
                                 guint64 step, guint64 warmup, guint64 total);
/* Steps that a ratio stands for: rounded up. */
guint64 peft_schedule_warmup_steps (double ratio, guint64 total);
