/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "methods/peft-rank-allocator.h"

/* AdaLoRA's choice of ranks where the Python tests do not reach: equal scores, layers without ranks. */

#define R 3

typedef struct
{
  float average[3][R], uncertainty[3][R], mask[R];
} Layer;

/* Of width 1, with uncertainty 1: the score of rank i is the sum of its three averages, here `scores`. */
static PeftRankLayer
make_layer (Layer *self, const float *scores, gsize r)
{
  PeftRankLayer layer = { .r = r, .n_in = 1, .n_out = 1, .mask = self->mask };

  for (guint part = 0; part < 3; part++)
    {
      for (gsize i = 0; i < r; i++)
        {
          self->average[part][i] = part == 1 ? scores[i] : 0;
          self->uncertainty[part][i] = 1;
        }
      layer.average[part] = self->average[part];
      layer.uncertainty[part] = self->uncertainty[part];
    }
  return layer;
}

static void
assert_left (const float *a, const float *b, gint64 n_dropped, const char *expected)
{
  Layer memory[3];
  PeftRankLayer layers[3] = {
    make_layer (&memory[0], a, R),
    make_layer (&memory[1], NULL, 0),
    make_layer (&memory[2], b, R),
  };
  g_autoptr (GString) left = g_string_new (NULL);

  peft_rank_drop (layers, 3, n_dropped);
  for (guint i = 0; i < 3; i++)
    for (gsize j = 0; j < layers[i].r; j++)
      g_string_append_c (left, layers[i].mask[j] != 0 ? '1' : '0');
  g_assert_cmpstr (left->str, ==, expected);
}

static void
test_drop (void)
{
  const float a[R] = { 1, 4, 2 }, b[R] = { 6, 3, 5 };

  assert_left (a, b, -1, "111111");
  assert_left (a, b, 0, "111111");
  assert_left (a, b, 1, "011111");
  assert_left (a, b, 4, "000101");
  assert_left (a, b, 6, "000000");
  assert_left (a, b, 9, "000000");
}

static void
test_ties (void)
{
  const float a[R] = { 1, 2, 2 }, b[R] = { 2, 3, 0 };

  assert_left (a, b, 2, "011110");
  assert_left (a, b, 3, "000010");
  assert_left (a, b, 5, "000010");
}

static void
test_steps (void)
{
  const PeftRankSchedule schedule = {
    .init_r = 4, .target_r = 1, .tinit = 2, .tfinal = 3, .delta_t = 4, .total_step = 12,
  };
  /* 8 ranks to 2: 6 (1 - (step - 2) / 7)³ + 2, cut off. */
  static const gint64 budgets[] = { 8, 8, 5, 4, 3, 2, 2, 2, 2, 2, 2, 2 };

  for (gint64 step = 1; step <= 12; step++)
    {
      PeftRankStep now = peft_rank_schedule_get_step (&schedule, step, 8, 2);

      g_assert_cmpint (now.budget, ==, budgets[step - 1]);
      g_assert_true (now.measure == (step < 9));
      g_assert_true (now.drop == (step == 4 || step == 8 || step == 9));
      g_assert_true (now.hold == (step > 9));
    }
}

static void
test_importance (void)
{
  const PeftRankSchedule schedule = { .beta1 = 0.75, .beta2 = 0.5 };
  const float p[2] = { 2, -1 }, g[2] = { -4, 0 };
  float average[2] = { 0, 4 }, uncertainty[2] = { 0, 1 };

  peft_rank_update_importance (&schedule, p, g, 0.5, average, uncertainty, 2);
  g_assert_cmpfloat (average[0], ==, 1);
  g_assert_cmpfloat (uncertainty[0], ==, 1.5f);
  g_assert_cmpfloat (average[1], ==, 3);
  g_assert_cmpfloat (uncertainty[1], ==, 2);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Ranks/drop", test_drop);
  g_test_add_func ("/Peft/Ranks/ties", test_ties);
  g_test_add_func ("/Peft/Ranks/steps", test_steps);
  g_test_add_func ("/Peft/Ranks/importance", test_importance);
  return g_test_run ();
}
