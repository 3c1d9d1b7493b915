/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "train/peft-metrics.h"

/* Labels and predictions, and what scikit-learn's definitions give for them, by hand:
 * actual    0 0 0 1 1 2
 * predicted 0 0 1 1 2 2, a fourth class never occurs
 * class 0: tp 2, fp 0, fn 1: F1 4/5; class 1: tp 1, fp 1, fn 1: F1 1/2; class 2: tp 1, fp 1, fn 0: F1 2/3. */
static PeftClassMetrics *
make_metrics (void)
{
  static const guint32 actual[] = { 0, 0, 0, 1, 1, 2 }, predicted[] = { 0, 0, 1, 1, 2, 2 };
  PeftClassMetrics *self = peft_class_metrics_new (4);

  for (guint i = 0; i < G_N_ELEMENTS (actual); i++)
    peft_class_metrics_add (self, actual[i], predicted[i]);
  return self;
}

static void
test_classes (void)
{
  g_autoptr (PeftClassMetrics) self = make_metrics ();

  g_assert_cmpfloat_with_epsilon (peft_class_metrics_get_f1 (self, 0), 0.8, 1e-12);
  g_assert_cmpfloat_with_epsilon (peft_class_metrics_get_f1 (self, 1), 0.5, 1e-12);
  g_assert_cmpfloat_with_epsilon (peft_class_metrics_get_f1 (self, 2), 2.0 / 3, 1e-12);
  g_assert_cmpfloat (peft_class_metrics_get_f1 (self, 3), ==, 0);
  g_assert_cmpfloat_with_epsilon (peft_class_metrics_get_macro_f1 (self), (0.8 + 0.5 + 2.0 / 3) / 3, 1e-12);
  /* All classes: 4 hits of 6. Without class 0: tp 2, predicted 4, actual 3. */
  g_assert_cmpfloat_with_epsilon (peft_class_metrics_get_micro_f1 (self, -1), 4.0 / 6, 1e-12);
  g_assert_cmpfloat_with_epsilon (peft_class_metrics_get_micro_f1 (self, 0), 4.0 / 7, 1e-12);
}

static void
test_json (void)
{
  const char *const labels[] = { "O", "a", "b", "c", NULL };
  g_autoptr (PeftClassMetrics) self = make_metrics ();
  g_autoptr (PeftJson) json = peft_class_metrics_to_json (self, labels, "O");
  const PeftJson *one = peft_json_get_member (peft_json_get_member (json, "classes"), "O");
  double value = 0;

  peft_json_get_double (peft_json_get_member (json, "f1_micro"), &value);
  g_assert_cmpfloat_with_epsilon (value, 4.0 / 7, 1e-12);
  peft_json_get_double (peft_json_get_member (one, "precision"), &value);
  g_assert_cmpfloat_with_epsilon (value, 1, 1e-12);
  peft_json_get_double (peft_json_get_member (one, "recall"), &value);
  g_assert_cmpfloat_with_epsilon (value, 2.0 / 3, 1e-12);
}

static void
test_answers (void)
{
  const char *const right[] = { "the Eiffel Tower", "Tower of Paris", NULL };
  const char *const none[] = { NULL };

  g_assert_true (peft_answer_is_exact ("Eiffel  tower.", right));
  g_assert_false (peft_answer_is_exact ("Eiffel", right));
  g_assert_false (peft_answer_is_exact ("", right));
  g_assert_true (peft_answer_is_exact ("", none));
  g_assert_false (peft_answer_is_exact ("Eiffel", none));
  /* One of one word, two right ones: 2 · 1 / (1 + 2). */
  g_assert_cmpfloat_with_epsilon (peft_answer_get_f1 ("Eiffel", right), 2.0 / 3, 1e-12);
  /* "old eiffel eiffel tower" and "eiffel tower": a word counts as often as both have it. */
  g_assert_cmpfloat_with_epsilon (peft_answer_get_f1 ("an old Eiffel Eiffel Tower", right), 2.0 * 2 / 6, 1e-12);
  g_assert_cmpfloat (peft_answer_get_f1 ("", right), ==, 0);
  g_assert_cmpfloat (peft_answer_get_f1 ("", none), ==, 1);
}

static void
test_span (void)
{
  /* The best end is before the best start; the context begins at token 1. */
  const float logits[] = { 9, 9, 0, 5, 4, 0, 1, 2 };
  const PeftSpan spans[] = { { 0, 0 }, { 0, 1 }, { 1, 2 }, { 2, 3 } };
  const PeftSpan empty[] = { { 0, 0 }, { 0, 0 }, { 0, 0 }, { 0, 0 } };
  guint32 start, end;
  double score;

  g_assert_true (peft_answer_find (logits, 4, spans, &start, &end, &score));
  g_assert_cmpuint (start, ==, 2);
  g_assert_cmpuint (end, ==, 3);
  g_assert_cmpfloat (score, ==, 6);
  g_assert_true (peft_answer_find (logits, 4, NULL, &start, &end, &score));
  g_assert_cmpuint (start, ==, 0);
  g_assert_cmpuint (end, ==, 0);
  g_assert_false (peft_answer_find (logits, 4, empty, &start, &end, &score));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/train/metrics/classes", test_classes);
  g_test_add_func ("/train/metrics/json", test_json);
  g_test_add_func ("/train/metrics/answers", test_answers);
  g_test_add_func ("/train/metrics/span", test_span);
  return g_test_run ();
}
