/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradcheck.h"

#include <math.h>

#define SHAPE(...)                                                                                 \
  {                                                                                                \
    .n_dims = G_N_ELEMENTS (((gint64[]){ __VA_ARGS__ })), .shape = { __VA_ARGS__ }                 \
  }
#define IN 3
#define HIDDEN 2

static PeftVar *
lstm (PeftTape *tape, PeftVar *const *leaves, gconstpointer data)
{
  const gboolean *reverse = data;
  g_autoptr (PeftVar) y = peft_nn_lstm (tape, leaves[0], leaves[1], leaves[2], leaves[3], leaves[4],
                                        *reverse);

  return gradcheck_weigh (tape, y);
}

static void
test_lstm (void)
{
  /* More rows than a node takes are joined in several turns. */
  const gint64 lengths[] = { 3, 14 };

  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++)
    for (gboolean reverse = FALSE; reverse <= TRUE; reverse++)
      gradcheck_run ("lstm", lstm, &reverse,
                     (GradcheckLeaf[]){ SHAPE (lengths[i], IN), SHAPE (4 * HIDDEN, IN),
                                        SHAPE (4 * HIDDEN, HIDDEN), SHAPE (4 * HIDDEN),
                                        SHAPE (4 * HIDDEN) },
                     5);
}

static PeftVar *
expand (PeftTape *tape, PeftVar *const *leaves, gconstpointer data)
{
  const gint64 shape[3] = { 4, 2, 3 };
  g_autoptr (PeftVar) y = peft_nn_expand (tape, leaves[0], 3, shape);

  return gradcheck_weigh (tape, y);
}

static void
test_expand (void)
{
  gradcheck_run ("expand rows", expand, NULL, (GradcheckLeaf[]){ SHAPE (2, 3) }, 1);
  gradcheck_run ("expand ones", expand, NULL, (GradcheckLeaf[]){ SHAPE (4, 1, 3) }, 1);
  gradcheck_run ("expand nothing", expand, NULL, (GradcheckLeaf[]){ SHAPE (4, 2, 3) }, 1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Lstm/gradient", test_lstm);
  g_test_add_func ("/Peft/Lstm/expand", test_expand);
  return g_test_run ();
}
