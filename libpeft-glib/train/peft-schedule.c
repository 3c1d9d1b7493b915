/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "train/peft-schedule.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#include "base/peft-error.h"

static double
constant_factor (double progress)
{
  return 1;
}

static double
linear_factor (double progress)
{
  return MAX (0, 1 - progress);
}

static double
cosine_factor (double progress)
{
  return MAX (0, 0.5 * (1 + cos (G_PI * progress)));
}

static const PeftSchedule constant = { "constant", N_ ("Constant"), constant_factor };
static const PeftSchedule linear = { "linear", N_ ("Linear"), linear_factor };
static const PeftSchedule cosine = { "cosine", N_ ("Cosine"), cosine_factor };

static const PeftSchedule *const schedules[] = { &constant, &linear, &cosine, NULL };

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

double
peft_schedule_get_factor (const PeftSchedule *self, guint64 step, guint64 warmup, guint64 total)
{
  guint64 rest = total > warmup ? total - warmup : 0;

  if (step < warmup)
    return (double) step / (double) MAX (warmup, 1);
  return self->factor ((double) (step - warmup) / (double) MAX (rest, 1));
}

guint64
peft_schedule_warmup_steps (double ratio, guint64 total)
{
  return (guint64) ceil (total * ratio);
}
