/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/peft-view.h"

#define SHAPE(...) ((const gint64[]){ __VA_ARGS__ })

static PeftView
view_new (PeftDType dtype, guint n_dims, const gint64 *shape)
{
  PeftView view;

  peft_view_init (&view, NULL, 0, dtype, n_dims, shape);
  return view;
}

static void
assert_view (const PeftView *view, gsize offset, guint n_dims, const gint64 *shape,
             const gint64 *stride)
{
  g_assert_cmpuint (view->offset, ==, offset);
  g_assert_cmpuint (view->n_dims, ==, n_dims);
  for (guint i = 0; i < n_dims; i++)
    {
      g_assert_cmpint (view->shape[i], ==, shape[i]);
      g_assert_cmpint (view->stride[i], ==, stride[i]);
    }
}

static void
test_init (void)
{
  PeftView view = view_new (PEFT_DTYPE_F32, 3, SHAPE (2, 3, 4));
  PeftView scalar = view_new (PEFT_DTYPE_F64, 0, NULL);
  PeftView empty = view_new (PEFT_DTYPE_F64, 2, SHAPE (0, 5));

  assert_view (&view, 0, 3, SHAPE (2, 3, 4), SHAPE (12, 4, 1));
  g_assert_true (peft_view_is_contiguous (&view));
  g_assert_cmpint (peft_view_n_values (&view), ==, 24);
  g_assert_cmpuint (peft_view_span (&view), ==, 96);
  g_assert_cmpint (peft_view_n_values (&scalar), ==, 1);
  g_assert_cmpuint (peft_view_span (&scalar), ==, 8);
  g_assert_cmpuint (peft_view_span (&empty), ==, 0);
  g_assert_true (peft_view_is_contiguous (&empty));
}

static void
test_slice (void)
{
  PeftView view = view_new (PEFT_DTYPE_F16, 2, SHAPE (4, 6));
  PeftView columns = peft_view_slice (&view, 1, 2, 3);
  PeftView rows = peft_view_slice (&columns, 0, 1, 2);

  assert_view (&columns, 4, 2, SHAPE (4, 3), SHAPE (6, 1));
  g_assert_false (peft_view_is_contiguous (&columns));
  g_assert_cmpuint (peft_view_span (&columns), ==, (3 * 6 + 3) * 2);
  assert_view (&rows, 4 + 12, 2, SHAPE (2, 3), SHAPE (6, 1));
}

static void
test_permute (void)
{
  PeftView view = view_new (PEFT_DTYPE_F32, 3, SHAPE (2, 3, 4));
  const guint order[] = { 2, 0, 1 };
  PeftView permuted = peft_view_permute (&view, order);
  PeftView transposed = peft_view_transpose (&view);

  assert_view (&permuted, 0, 3, SHAPE (4, 2, 3), SHAPE (1, 12, 4));
  assert_view (&transposed, 0, 3, SHAPE (2, 4, 3), SHAPE (12, 1, 4));
  g_assert_false (peft_view_is_contiguous (&transposed));
  g_assert_cmpuint (peft_view_span (&permuted), ==, 96);
}

static void
test_reshape (void)
{
  PeftView view = view_new (PEFT_DTYPE_F32, 3, SHAPE (2, 3, 8));
  PeftView head = peft_view_slice (&view, 2, 4, 4); /* stride 24, 8, 1 */
  PeftView flat = peft_view_reshape (&view, 2, SHAPE (6, 8));
  PeftView rows = peft_view_reshape (&head, 2, SHAPE (6, 4));
  PeftView split = peft_view_reshape (&head, 4, SHAPE (6, 1, 2, 2));
  PeftView empty = view_new (PEFT_DTYPE_F32, 2, SHAPE (0, 4));

  assert_view (&flat, 0, 2, SHAPE (6, 8), SHAPE (8, 1));
  assert_view (&rows, 16, 2, SHAPE (6, 4), SHAPE (8, 1));
  g_assert_cmpint (split.stride[0], ==, 8);
  g_assert_cmpint (split.stride[2], ==, 2);
  g_assert_cmpint (split.stride[3], ==, 1);
  g_assert_cmpint (peft_view_reshape (&empty, 3, SHAPE (2, 0, 2)).shape[1], ==, 0);
}

static void
test_block (void)
{
  PeftView view = view_new (PEFT_DTYPE_Q8_0, 2, SHAPE (3, 64));
  PeftView row = peft_view_slice (&view, 0, 2, 1);
  PeftView column = peft_view_slice (&view, 1, 32, 32);

  g_assert_cmpuint (peft_view_span (&view), ==, 3 * 2 * 34);
  g_assert_cmpuint (row.offset, ==, 2 * 2 * 34);
  g_assert_cmpuint (column.offset, ==, 34);
  g_assert_cmpuint (peft_view_span (&column), ==, (2 * 2 + 1) * 34);
  g_assert_false (peft_view_is_contiguous (&column));
}

/* Each of these is a programmer error. */
static void
abort_slice (void)
{
  PeftView view = view_new (PEFT_DTYPE_F32, 1, SHAPE (4));
  peft_view_slice (&view, 0, 2, 3);
}

static void
abort_slice_block (void)
{
  PeftView view = view_new (PEFT_DTYPE_Q8_0, 1, SHAPE (64));
  peft_view_slice (&view, 0, 16, 32);
}

static void
abort_reshape (void)
{
  PeftView view = view_new (PEFT_DTYPE_F32, 2, SHAPE (3, 4));
  PeftView transposed = peft_view_transpose (&view);
  peft_view_reshape (&transposed, 1, SHAPE (12));
}

static void
abort_permute (void)
{
  PeftView view = view_new (PEFT_DTYPE_F32, 2, SHAPE (3, 4));
  peft_view_permute (&view, (const guint[]){ 1, 1 });
}

static void
test_aborts (gconstpointer data)
{
  void (*function) (void) = (void (*) (void)) data;

  if (g_test_subprocess ())
    {
      function ();
      return;
    }
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
  g_test_trap_assert_failed ();
  g_test_trap_assert_stderr ("*assertion failed*");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/View/init", test_init);
  g_test_add_func ("/Peft/View/slice", test_slice);
  g_test_add_func ("/Peft/View/permute", test_permute);
  g_test_add_func ("/Peft/View/reshape", test_reshape);
  g_test_add_func ("/Peft/View/block", test_block);
  g_test_add_data_func ("/Peft/View/aborts/slice", abort_slice, test_aborts);
  g_test_add_data_func ("/Peft/View/aborts/slice-block", abort_slice_block, test_aborts);
  g_test_add_data_func ("/Peft/View/aborts/reshape", abort_reshape, test_aborts);
  g_test_add_data_func ("/Peft/View/aborts/permute", abort_permute, test_aborts);
  return g_test_run ();
}
