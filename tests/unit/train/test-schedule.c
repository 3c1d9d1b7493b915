/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>

#include "base/peft-error.h"
#include "train/peft-schedule.h"

/* Values of transformers' get_NAME_schedule_with_warmup (optimizer, 3, 11) at a rate of 0.01. */

#define WARMUP 3
#define TOTAL 11

static const struct
{
  const char *name;
  double values[12];
} expected[] = {
  { "constant", { 0, 1 / 3.0, 2 / 3.0, 1, 1, 1, 1, 1, 1, 1, 1, 1 } },
  { "linear",
    { 0, 1 / 3.0, 2 / 3.0, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0 } },
  { "cosine",
    { 0, 1 / 3.0, 2 / 3.0, 1, 0.9619397662556434, 0.8535533905932737, 0.6913417161825449, 0.5,
      0.30865828381745514, 0.14644660940672627, 0.03806023374435663, 0 } },
  { "cosine_with_restarts", /* num_cycles 2 */
    { 0, 1 / 3.0, 2 / 3.0, 1, 0.8535533905932738, 0.5, 0.14644660940672627, 1,
      0.8535533905932738, 0.5, 0.14644660940672627, 0 } },
  { "polynomial", /* power 2 */
    { 0, 1 / 3.0, 2 / 3.0, 1, 0.7656273437500001, 0.5625043750000001, 0.39063109375, 0.2500075,
      0.14063359375000004, 0.06250937499999999, 0.015634843750000002, 1e-5 } },
  { "inverse_sqrt",
    { 0, 1 / 3.0, 2 / 3.0, 1, 0.8660254037844386, 0.7745966692414834, 0.7071067811865475,
      0.6546536707079771, 0.6123724356957945, 0.5773502691896258, 0.5477225575051661,
      0.5222329678670935 } },
};

static const PeftScheduleOptions options = { .learning_rate = 0.01, .cycles = 2, .power = 2 };

static void
test_values (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (expected); i++)
    {
      g_autoptr (GError) error = NULL;
      const PeftSchedule *schedule = peft_schedule_require (expected[i].name, &error);

      g_assert_no_error (error);
      for (guint64 step = 0; step < G_N_ELEMENTS (expected[i].values); step++)
        g_assert_cmpfloat_with_epsilon (peft_schedule_get_factor (schedule, &options, step, WARMUP, TOTAL),
                                        expected[i].values[step], 1e-15);
    }
}

static void
test_timescale (void)
{
  const PeftScheduleOptions wide = { .learning_rate = 0.01, .timescale = 8 };
  const PeftSchedule *schedule = peft_schedule_require ("inverse_sqrt", NULL);

  g_assert_cmpfloat (peft_schedule_get_factor (schedule, &wide, WARMUP, WARMUP, TOTAL), ==, 1);
  g_assert_cmpfloat_with_epsilon (peft_schedule_get_factor (schedule, &wide, WARMUP + 8, WARMUP, TOTAL),
                                  sqrt (0.5), 1e-15);
  /* Without warm-up. */
  g_assert_cmpfloat_with_epsilon (peft_schedule_get_factor (schedule, &options, 10000, 0, TOTAL), sqrt (0.5), 1e-15);
}

static void
test_check (void)
{
  const PeftScheduleOptions low = { .learning_rate = 1e-7, .power = 1 };
  g_autoptr (GError) error = NULL;

  g_assert_true (peft_schedule_check (peft_schedule_require ("linear", NULL), &low, NULL));
  g_assert_true (peft_schedule_check (peft_schedule_require ("polynomial", NULL), &options, NULL));
  g_assert_false (peft_schedule_check (peft_schedule_require ("polynomial", NULL), &low, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT);
}

static void
test_edges (void)
{
  const PeftSchedule *cosine = peft_schedule_require ("cosine", NULL);
  const PeftSchedule *linear = peft_schedule_require ("linear", NULL);

  /* Without warm-up the first step has the full rate. */
  g_assert_cmpfloat (peft_schedule_get_factor (cosine, &options, 0, 0, 10), ==, 1);
  /* More warm-up than steps, and steps beyond the end. */
  g_assert_cmpfloat (peft_schedule_get_factor (linear, &options, 5, 20, 10), ==, 0.25);
  g_assert_cmpfloat (peft_schedule_get_factor (linear, &options, 50, 2, 10), ==, 0);
  g_assert_cmpuint (peft_schedule_warmup_steps (0.03, 100), ==, 3);
  g_assert_cmpuint (peft_schedule_warmup_steps (0.03, 101), ==, 4);
  g_assert_cmpuint (peft_schedule_warmup_steps (0, 100), ==, 0);
}

static void
test_unknown (void)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (peft_schedule_require ("triangle", &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT);
  g_assert_cmpstr (error->message, ==,
                   "schedule: expected one of constant, linear, cosine, "
                   "cosine_with_restarts, polynomial, inverse_sqrt, found “triangle”");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Schedule/values", test_values);
  g_test_add_func ("/Peft/Schedule/timescale", test_timescale);
  g_test_add_func ("/Peft/Schedule/check", test_check);
  g_test_add_func ("/Peft/Schedule/edges", test_edges);
  g_test_add_func ("/Peft/Schedule/unknown", test_unknown);
  return g_test_run ();
}
