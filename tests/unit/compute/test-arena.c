/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/peft-random.h"
#include "compute/peft-arena.h"

static gsize
alloc (PeftArena *arena, gsize size)
{
  PeftBuffer *buffer = NULL;
  gsize offset = 0;

  g_assert_true (peft_arena_alloc (arena, size, &buffer, &offset));
  g_assert_nonnull (buffer);
  g_assert_cmpuint (offset % 64, ==, 0);
  return offset;
}

static void
test_regions (void)
{
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);
  g_autoptr (PeftArena) arena = peft_arena_new (backend, 1024, NULL);
  PeftBuffer *buffer;
  gsize a, b, c, d, offset;

  a = alloc (arena, 100); /* 128 */
  b = alloc (arena, 64);
  c = alloc (arena, 256);
  d = alloc (arena, 1);
  g_assert_cmpuint (b, ==, 128);
  g_assert_cmpuint (c, ==, 192);
  g_assert_cmpuint (d, ==, 448);
  g_assert_cmpuint (peft_arena_get_in_use (arena), ==, 512);
  g_assert_cmpuint (peft_arena_get_peak (arena), ==, 512);
  g_assert_false (peft_arena_alloc (arena, 513, &buffer, &offset));

  /* The smallest hole that fits, the lowest of equals. */
  peft_arena_release (arena, a);
  peft_arena_release (arena, c);
  g_assert_cmpuint (alloc (arena, 128), ==, a);
  g_assert_cmpuint (alloc (arena, 200), ==, c);

  /* Neighbours become one hole again. */
  peft_arena_release (arena, a);
  peft_arena_release (arena, c);
  peft_arena_release (arena, b);
  g_assert_cmpuint (alloc (arena, 448), ==, 0);
  peft_arena_release (arena, 0);
  peft_arena_release (arena, d);
  g_assert_cmpuint (peft_arena_get_in_use (arena), ==, 0);
  g_assert_cmpuint (alloc (arena, 1024), ==, 0);
  g_assert_cmpuint (peft_arena_get_peak (arena), ==, 1024);
}

static void
test_empty_region (void)
{
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);
  g_autoptr (PeftArena) arena = peft_arena_new (backend, 256, NULL);
  PeftBuffer *buffer;
  gsize a = alloc (arena, 0), b = alloc (arena, 0), offset;

  g_assert_cmpuint (a, !=, b);
  g_assert_false (peft_arena_alloc (arena, G_MAXSIZE, &buffer, &offset));
  g_assert_false (peft_arena_alloc (arena, G_MAXSIZE - 32, &buffer, &offset));
}

/* Random allocations and releases; the same `seed` makes the same ones. Offsets go to `out`. */
static void
churn (PeftArena *arena, guint64 seed, gsize *out, guint n)
{
  g_autoptr (GArray) live = g_array_new (FALSE, FALSE, sizeof (gsize));

  for (guint i = 0; i < n; i++)
    {
      guint32 word = peft_random_u32 (seed, 1, i);

      if (live->len > 0 && word % 100 < 45)
        {
          guint at = word / 100 % live->len;
          peft_arena_release (arena, g_array_index (live, gsize, at));
          g_array_remove_index_fast (live, at);
          out[i] = G_MAXSIZE;
          continue;
        }
      out[i] = alloc (arena, word / 100 % 5000);
      g_array_append_val (live, out[i]);
    }
  for (guint i = 0; i < live->len; i++)
    peft_arena_release (arena, g_array_index (live, gsize, i));
  g_assert_cmpuint (peft_arena_get_in_use (arena), ==, 0);
}

/* What a run relies on: an arena of the measured peak holds the same regions at the same places. */
static void
test_measured_peak (void)
{
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);
  g_autoptr (PeftBackend) plan = peft_plan_backend_new (backend);

  for (guint64 seed = 0; seed < 20; seed++)
    {
      gsize planned[500], real[500];
      g_autoptr (PeftArena) measuring = peft_arena_new (plan, 0, NULL);
      g_autoptr (PeftArena) arena = NULL;

      churn (measuring, seed, planned, G_N_ELEMENTS (planned));
      g_assert_cmpuint (peft_arena_get_peak (measuring), >, 5000);
      arena = peft_arena_new (backend, peft_arena_get_peak (measuring), NULL);
      churn (arena, seed, real, G_N_ELEMENTS (real));
      g_assert_cmpmem (planned, sizeof planned, real, sizeof real);
      g_assert_cmpuint (peft_arena_get_peak (arena), ==, peft_arena_get_peak (measuring));
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Arena/regions", test_regions);
  g_test_add_func ("/Peft/Arena/empty-region", test_empty_region);
  g_test_add_func ("/Peft/Arena/measured-peak", test_measured_peak);
  return g_test_run ();
}
