/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/peft-error.h"
#include "compute/peft-tensor.h"

#define SHAPE(...) ((const gint64[]){ __VA_ARGS__ })

static void
test_from_bytes (void)
{
  const float values[] = { 1, 2, 3, 4, 5, 6 };
  g_autoptr (GBytes) bytes = g_bytes_new_static (values, sizeof values);
  g_autoptr (GBytes) out = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftTensor) tensor
      = peft_tensor_new_from_bytes (PEFT_DTYPE_F32, SHAPE (2, 3), 2, bytes, &error);
  const gint64 *shape;
  guint n_dims;

  g_assert_no_error (error);
  g_assert_cmpint (peft_tensor_get_dtype (tensor), ==, PEFT_DTYPE_F32);
  shape = peft_tensor_get_shape (tensor, &n_dims);
  g_assert_cmpuint (n_dims, ==, 2);
  g_assert_cmpint (shape[0], ==, 2);
  g_assert_cmpint (shape[1], ==, 3);
  out = peft_tensor_get_bytes (tensor);
  g_assert_true (g_bytes_equal (out, bytes));
}

static void
test_from_bytes_bad (void)
{
  static const struct
  {
    PeftDType dtype;
    guint n_dims;
    gint64 shape[5];
    const char *message;
  } rows[] = {
    { PEFT_DTYPE_F32, 2, { 2, 4 }, "*32 bytes, found 24*" },
    { PEFT_DTYPE_F32, 1, { -6 }, "*negative*" },
    { PEFT_DTYPE_F32, 2, { G_MAXINT64, 2 }, "*too large*" },
    { PEFT_DTYPE_F32, 4, { G_MAXINT32, G_MAXINT32, G_MAXINT32, 2 }, "*too large*" },
    { PEFT_DTYPE_F32, 5, { 1, 1, 1, 1, 6 }, "*at most 4*found 5*" },
    { PEFT_DTYPE_Q8_0, 2, { 2, 16 }, "*cuts a block*" },
  };
  char data[24] = { 0 };
  g_autoptr (GBytes) bytes = g_bytes_new (data, sizeof data);

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (peft_tensor_new_from_bytes (rows[i].dtype, rows[i].shape, rows[i].n_dims,
                                                 bytes, &error));
      g_assert_error (error, PEFT_ERROR, PEFT_ERROR_SHAPE_MISMATCH);
      g_assert_true (g_pattern_match_simple (rows[i].message, error->message));
    }
}

static void
test_boxed (void)
{
  g_autoptr (GBytes) bytes = g_bytes_new ("\1\2", 2);
  g_autoptr (PeftTensor) tensor
      = peft_tensor_new_from_bytes (PEFT_DTYPE_U8, SHAPE (2), 1, bytes, NULL);
  g_auto (GValue) value = G_VALUE_INIT;

  g_value_init (&value, PEFT_TYPE_TENSOR);
  g_value_set_boxed (&value, tensor);
  g_assert_true (g_value_get_boxed (&value) == tensor);
}

/* A strided view comes out in row-major order. */
static void
test_strided_bytes (void)
{
  const guint8 values[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
  const guint8 expected[] = { 1, 5, 9, 2, 6, 10 };
  g_autoptr (GBytes) bytes = g_bytes_new_static (values, sizeof values);
  g_autoptr (GBytes) out = NULL;
  g_autoptr (PeftTensor) tensor
      = peft_tensor_new_from_bytes (PEFT_DTYPE_U8, SHAPE (3, 4), 2, bytes, NULL);
  PeftView view = peft_view_slice (&tensor->view, 1, 1, 2);
  g_autoptr (PeftTensor) derived = NULL;

  view = peft_view_transpose (&view);
  derived = peft_tensor_derive (tensor, &view);
  g_clear_pointer (&tensor, peft_tensor_unref);
  out = peft_tensor_get_bytes (derived);
  g_assert_cmpmem (g_bytes_get_data (out, NULL), g_bytes_get_size (out), expected,
                   sizeof expected);
}

static void
test_convert (gconstpointer data)
{
  PeftDType dtype = GPOINTER_TO_UINT (data);
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);
  g_autoptr (PeftTensor) tensor
      = peft_tensor_new_on (backend, dtype, 2, SHAPE (100, 101), NULL);
  g_autofree float *single = g_new (float, 10100);
  g_autofree double *wide = g_new (double, 10100);

  for (guint i = 0; i < 10100; i++)
    single[i] = (float) (i % 256) - 128; /* exact in 8 bits of precision */
  peft_tensor_upload_f32 (tensor, single);
  peft_tensor_download_f64 (tensor, wide);
  for (guint i = 0; i < 10100; i++)
    g_assert_cmpfloat (wide[i], ==, single[i]);
  for (guint i = 0; i < 10100; i++)
    wide[i] = 0.5 * wide[i];
  peft_tensor_upload_f64 (tensor, wide);
  peft_tensor_download_f32 (tensor, single);
  for (guint i = 0; i < 10100; i++)
    g_assert_cmpfloat (wide[i], ==, single[i]);
}

static void
test_arena (void)
{
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);
  g_autoptr (PeftArena) arena = peft_arena_new (backend, 4096, NULL);
  g_autoptr (GError) error = NULL;
  PeftTensor *a = peft_tensor_new_in (arena, PEFT_DTYPE_F64, 1, SHAPE (256), &error);
  PeftTensor *part;
  PeftView view;

  g_assert_no_error (error);
  g_assert_cmpuint (peft_arena_get_in_use (arena), ==, 2048);
  view = peft_view_slice (&a->view, 0, 0, 16);
  part = peft_tensor_derive (a, &view);
  peft_tensor_unref (a);
  g_assert_cmpuint (peft_arena_get_in_use (arena), ==, 2048);
  peft_tensor_unref (part);
  g_assert_cmpuint (peft_arena_get_in_use (arena), ==, 0);

  g_assert_null (peft_tensor_new_in (arena, PEFT_DTYPE_F64, 1, SHAPE (513), &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY);
}

int
main (int argc, char **argv)
{
  static const PeftDType floats[]
      = { PEFT_DTYPE_F64, PEFT_DTYPE_F32, PEFT_DTYPE_F16, PEFT_DTYPE_BF16 };

  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Tensor/from-bytes", test_from_bytes);
  g_test_add_func ("/Peft/Tensor/from-bytes-bad", test_from_bytes_bad);
  g_test_add_func ("/Peft/Tensor/boxed", test_boxed);
  g_test_add_func ("/Peft/Tensor/strided-bytes", test_strided_bytes);
  for (guint i = 0; i < G_N_ELEMENTS (floats); i++)
    {
      g_autofree char *path
          = g_strconcat ("/Peft/Tensor/convert/", peft_dtype_get_info (floats[i])->name, NULL);
      g_test_add_data_func (path, GUINT_TO_POINTER (floats[i]), test_convert);
    }
  g_test_add_func ("/Peft/Tensor/arena", test_arena);
  return g_test_run ();
}
