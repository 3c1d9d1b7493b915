/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "train/peft-schedule.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#include "base/peft-error.h"

#define POLYNOMIAL_END 1e-7
#define INVERSE_SQRT_TIMESCALE 10000.0 /* without a warm-up */

/* From 0 to 1 between the end of the warm-up and the last step. */
static double
get_progress (double step, double warmup, double total)
{
  return (step - warmup) / MAX (total - warmup, 1);
}

static double
constant_factor (const PeftScheduleOptions *options, double step, double warmup, double total)
{
  return 1;
}

static double
linear_factor (const PeftScheduleOptions *options, double step, double warmup, double total)
{
  return MAX (0, 1 - get_progress (step, warmup, total));
}

static double
cosine_factor (const PeftScheduleOptions *options, double step, double warmup, double total)
{
  return MAX (0, 0.5 * (1 + cos (G_PI * get_progress (step, warmup, total))));
}

static double
restarts_factor (const PeftScheduleOptions *options, double step, double warmup, double total)
{
  double progress = get_progress (step, warmup, total);

  if (progress >= 1)
    return 0;
  return MAX (0, 0.5 * (1 + cos (G_PI * fmod (options->cycles * progress, 1))));
}

static gboolean
polynomial_check (const PeftScheduleOptions *options, GError **error)
{
  if (options->learning_rate > POLYNOMIAL_END)
    return TRUE;
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
               _ ("learning rate: the schedule polynomial ends at %g, so that it has to start above that, found %g"),
               POLYNOMIAL_END, options->learning_rate);
  return FALSE;
}

static double
polynomial_factor (const PeftScheduleOptions *options, double step, double warmup, double total)
{
  const double rate = options->learning_rate;
  double left = 1 - get_progress (step, warmup, total);

  if (step > total)
    return POLYNOMIAL_END / rate;
  return ((rate - POLYNOMIAL_END) * pow (left, options->power) + POLYNOMIAL_END) / rate;
}

static double
inverse_sqrt_factor (const PeftScheduleOptions *options, double step, double warmup, double total)
{
  double timescale = options->timescale;

  if (timescale == 0)
    timescale = warmup > 0 ? warmup : INVERSE_SQRT_TIMESCALE;
  return 1 / sqrt ((step + timescale - warmup) / timescale);
}

static const PeftSchedule constant = { "constant", N_ ("Constant"), NULL, constant_factor };
static const PeftSchedule linear = { "linear", N_ ("Linear"), NULL, linear_factor };
static const PeftSchedule cosine = { "cosine", N_ ("Cosine"), NULL, cosine_factor };
static const PeftSchedule restarts
    = { "cosine_with_restarts", N_ ("Cosine with restarts"), NULL, restarts_factor };
static const PeftSchedule polynomial
    = { "polynomial", N_ ("Polynomial"), polynomial_check, polynomial_factor };
static const PeftSchedule inverse_sqrt
    = { "inverse_sqrt", N_ ("Inverse square root"), NULL, inverse_sqrt_factor };

static const PeftSchedule *const schedules[] = {
  &constant, &linear, &cosine, &restarts, &polynomial, &inverse_sqrt, NULL,
};

const PeftSchedule *const *
peft_schedule_list (void)
{
  return schedules;
}

const PeftSchedule *
peft_schedule_require (const char *name, GError **error)
{
  g_autoptr (GString) known = g_string_new (NULL);

  for (const PeftSchedule *const *s = schedules; *s != NULL; s++)
    {
      if (g_str_equal ((*s)->name, name))
        return *s;
      g_string_append_printf (known, "%s%s", known->len > 0 ? ", " : "", (*s)->name);
    }
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
               _ ("schedule: expected one of %s, found “%s”"), known->str, name);
  return NULL;
}

gboolean
peft_schedule_check (const PeftSchedule *self, const PeftScheduleOptions *options, GError **error)
{
  return self->check == NULL || self->check (options, error);
}

double
peft_schedule_get_factor (const PeftSchedule *self, const PeftScheduleOptions *options,
                          guint64 step, guint64 warmup, guint64 total)
{
  if (step < warmup)
    return (double) step / (double) MAX (warmup, 1);
  return self->factor (options, (double) step, (double) warmup, (double) total);
}

guint64
peft_schedule_warmup_steps (double ratio, guint64 total)
{
  return (guint64) ceil (total * ratio);
}
