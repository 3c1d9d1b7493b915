/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/peft-safetensors-writer.h"

#include <signal.h>
#include <sys/resource.h>

#include "base/peft-error.h"
#include "formats/peft-safetensors.h"
#include "test-bytes.h"

/* All dtypes, a scalar, an empty tensor and a name with characters that JSON treats specially, in
 * an order that is not the file's. */
static const struct
{
  const char *name;
  PeftDType dtype;
  guint n_dims;
  guint64 shape[2];
} all[] = {
  { "bool", PEFT_DTYPE_BOOL, 2, { 2, 1 } },  { "u8", PEFT_DTYPE_U8, 2, { 2, 1 } },
  { "i8", PEFT_DTYPE_I8, 2, { 2, 1 } },      { "e5", PEFT_DTYPE_F8_E5M2, 2, { 2, 1 } },
  { "e4", PEFT_DTYPE_F8_E4M3, 2, { 2, 1 } }, { "i16", PEFT_DTYPE_I16, 2, { 2, 1 } },
  { "u16", PEFT_DTYPE_U16, 2, { 2, 1 } },    { "f16", PEFT_DTYPE_F16, 2, { 2, 1 } },
  { "bf16", PEFT_DTYPE_BF16, 2, { 2, 1 } },  { "i32", PEFT_DTYPE_I32, 2, { 2, 1 } },
  { "u32", PEFT_DTYPE_U32, 2, { 2, 1 } },    { "f32", PEFT_DTYPE_F32, 2, { 2, 1 } },
  { "scalar", PEFT_DTYPE_F32, 0, { 0 } },
  { "\xc3\xa9\"\\\n\x7f/<\xe2\x80\xa8", PEFT_DTYPE_F32, 1, { 3 } },
  { "empty", PEFT_DTYPE_F32, 2, { 0, 4 } },  { "f64", PEFT_DTYPE_F64, 2, { 2, 1 } },
  { "i64", PEFT_DTYPE_I64, 2, { 2, 1 } },    { "u64", PEFT_DTYPE_U64, 2, { 2, 1 } },
};

/* The header that the Python package safetensors 0.8.0 writes for them. */
static const char all_header[]
    = "{\"__metadata__\":{\"format\":\"pt\"},"
      "\"u64\":{\"dtype\":\"U64\",\"shape\":[2,1],\"data_offsets\":[0,16]},"
      "\"i64\":{\"dtype\":\"I64\",\"shape\":[2,1],\"data_offsets\":[16,32]},"
      "\"f64\":{\"dtype\":\"F64\",\"shape\":[2,1],\"data_offsets\":[32,48]},"
      "\"empty\":{\"dtype\":\"F32\",\"shape\":[0,4],\"data_offsets\":[48,48]},"
      "\"f32\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[48,56]},"
      "\"scalar\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[56,60]},"
      "\"\xc3\xa9\\\"\\\\\\n\x7f/<\xe2\x80\xa8\":{\"dtype\":\"F32\",\"shape\":[3],"
      "\"data_offsets\":[60,72]},"
      "\"u32\":{\"dtype\":\"U32\",\"shape\":[2,1],\"data_offsets\":[72,80]},"
      "\"i32\":{\"dtype\":\"I32\",\"shape\":[2,1],\"data_offsets\":[80,88]},"
      "\"bf16\":{\"dtype\":\"BF16\",\"shape\":[2,1],\"data_offsets\":[88,92]},"
      "\"f16\":{\"dtype\":\"F16\",\"shape\":[2,1],\"data_offsets\":[92,96]},"
      "\"u16\":{\"dtype\":\"U16\",\"shape\":[2,1],\"data_offsets\":[96,100]},"
      "\"i16\":{\"dtype\":\"I16\",\"shape\":[2,1],\"data_offsets\":[100,104]},"
      "\"e4\":{\"dtype\":\"F8_E4M3\",\"shape\":[2,1],\"data_offsets\":[104,106]},"
      "\"e5\":{\"dtype\":\"F8_E5M2\",\"shape\":[2,1],\"data_offsets\":[106,108]},"
      "\"i8\":{\"dtype\":\"I8\",\"shape\":[2,1],\"data_offsets\":[108,110]},"
      "\"u8\":{\"dtype\":\"U8\",\"shape\":[2,1],\"data_offsets\":[110,112]},"
      "\"bool\":{\"dtype\":\"BOOL\",\"shape\":[2,1],\"data_offsets\":[112,114]}}     ";
enum
{
  ALL_HEADER_BYTES = 1128,
  ALL_DATA_BYTES = 114
};

static PeftSafetensorsWriter *
declare_all (void)
{
  PeftSafetensorsWriter *writer = peft_safetensors_writer_new ();
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (all); i++)
    {
      peft_safetensors_writer_add (writer, all[i].name, all[i].dtype, all[i].shape, all[i].n_dims,
                                   &error);
      g_assert_no_error (error);
    }
  peft_safetensors_writer_set_metadata (writer, "format", "np");
  peft_safetensors_writer_set_metadata (writer, "format", "pt");
  return writer;
}

static void
assert_all_file (const char *path)
{
  g_autofree char *data = NULL;
  g_autoptr (GError) error = NULL;
  gsize length;

  g_file_get_contents (path, &data, &length, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (strlen (all_header), ==, ALL_HEADER_BYTES);
  g_assert_cmpuint (length, ==, 8 + ALL_HEADER_BYTES + ALL_DATA_BYTES);
  g_assert_cmpmem (data + 8, ALL_HEADER_BYTES, all_header, ALL_HEADER_BYTES);
  g_assert_cmpuint ((guint8) data[0] | (guint) (guint8) data[1] << 8, ==, ALL_HEADER_BYTES);
  for (guint i = 0; i < ALL_DATA_BYTES; i++)
    g_assert_cmpuint ((guint8) data[8 + ALL_HEADER_BYTES + i], ==, i);
}

static void
test_layout (void)
{
  g_autofree char *folder = make_folder ();
  g_autofree char *path = g_build_filename (folder, "all.safetensors", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftSafetensorsWriter) writer = declare_all ();
  g_autoptr (PeftSafetensors) file = NULL;
  guint8 bytes[ALL_DATA_BYTES];
  gsize at = 0;

  for (guint i = 0; i < ALL_DATA_BYTES; i++)
    bytes[i] = (guint8) i;
  peft_safetensors_writer_begin (writer, path, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (peft_safetensors_writer_get_n_tensors (writer), ==, G_N_ELEMENTS (all));
  for (gsize i = 0; i < peft_safetensors_writer_get_n_tensors (writer); i++)
    {
      const PeftTensorEntry *entry = peft_safetensors_writer_get_entry (writer, i);
      gsize half = entry->n_bytes / 2;

      peft_safetensors_writer_write (writer, entry->name, bytes + at, half, &error);
      g_assert_no_error (error);
      peft_safetensors_writer_write (writer, entry->name, bytes + at + half, entry->n_bytes - half,
                                     &error);
      g_assert_no_error (error);
      at += entry->n_bytes;
    }
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
  peft_safetensors_writer_commit (writer, &error);
  g_assert_no_error (error);
  assert_all_file (path);

  file = peft_safetensors_open (path, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < G_N_ELEMENTS (all); i++)
    {
      const PeftTensorEntry *entry = peft_safetensors_lookup (file, all[i].name);

      g_assert_nonnull (entry);
      g_assert_cmpint (entry->dtype, ==, all[i].dtype);
      g_assert_cmpuint (entry->n_dims, ==, all[i].n_dims);
    }
  remove_folder (folder);
}

static void
test_save (void)
{
  static const char *const metadata[] = { "format", "pt", NULL };
  g_autofree char *folder = make_folder ();
  g_autofree char *path = g_build_filename (folder, "all.safetensors", NULL);
  g_autoptr (PeftSafetensorsWriter) order = declare_all ();
  g_autofree char *other = g_build_filename (folder, "order.safetensors", NULL);
  g_autoptr (GError) error = NULL;
  PeftTensorEntry entries[G_N_ELEMENTS (all)] = { 0 };
  guint8 bytes[ALL_DATA_BYTES];

  for (guint i = 0; i < ALL_DATA_BYTES; i++)
    bytes[i] = (guint8) i;
  /* Hand over each tensor's part of the bytes, in the order in which they were declared. */
  peft_safetensors_writer_begin (order, other, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < G_N_ELEMENTS (all); i++)
    {
      gsize at = 0;
      gsize j = 0;

      while (strcmp (peft_safetensors_writer_get_entry (order, j)->name, all[i].name) != 0)
        at += peft_safetensors_writer_get_entry (order, j++)->n_bytes;
      entries[i].name = all[i].name;
      entries[i].dtype = all[i].dtype;
      entries[i].n_dims = all[i].n_dims;
      memcpy (entries[i].shape, all[i].shape, sizeof all[i].shape);
      entries[i].data = bytes + at;
      entries[i].n_bytes = peft_safetensors_writer_get_entry (order, j)->n_bytes;
    }
  peft_safetensors_save (path, entries, G_N_ELEMENTS (entries), metadata, &error);
  g_assert_no_error (error);
  assert_all_file (path);
  g_clear_pointer (&order, peft_safetensors_writer_free);
  g_assert_false (g_file_test (other, G_FILE_TEST_EXISTS));

  /* One byte too few, and the earlier file stays. */
  entries[0].n_bytes--;
  g_assert_false (peft_safetensors_save (path, entries, G_N_ELEMENTS (entries), metadata, &error));
  assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT, "tensor 'bool' lacks 1 bytes");
  assert_all_file (path);
  remove_folder (folder);
}

static void
test_empty (void)
{
  g_autofree char *folder = make_folder ();
  g_autofree char *path = g_build_filename (folder, "empty.safetensors", NULL);
  g_autofree char *data = NULL;
  g_autoptr (GError) error = NULL;
  gsize length;

  peft_safetensors_save (path, NULL, 0, NULL, &error);
  g_assert_no_error (error);
  g_file_get_contents (path, &data, &length, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (data, length, "\x08\0\0\0\0\0\0\0{}      ", 16);
  remove_folder (folder);
}

static void
test_refused (void)
{
  static const guint64 huge[] = { G_GUINT64_CONSTANT (1) << 40, G_GUINT64_CONSTANT (1) << 40 };
  static const guint64 half[] = { G_GUINT64_CONSTANT (1) << 62 };
  static const guint64 one[] = { 1 };
  static const guint64 block[] = { 32 };
  static const struct
  {
    const char *name;
    PeftDType dtype;
    const guint64 *shape;
    guint n_dims;
    PeftError code;
    const char *words;
  } rows[] = {
    { "a\xff", PEFT_DTYPE_F32, one, 1, PEFT_ERROR_INVALID_ARGUMENT, "'a\\377' cannot be the name" },
    { "__metadata__", PEFT_DTYPE_F32, one, 1, PEFT_ERROR_INVALID_ARGUMENT, "cannot be the name" },
    { "q", PEFT_DTYPE_Q4_0, block, 1, PEFT_ERROR_UNSUPPORTED,
      "tensor 'q': safetensors files cannot hold the type Q4_0" },
    { "h", PEFT_DTYPE_F32, huge, 2, PEFT_ERROR_INVALID_ARGUMENT, "tensor 'h': the size of shape" },
    { "h", PEFT_DTYPE_F64, half, 1, PEFT_ERROR_INVALID_ARGUMENT, "overflows" },
  };
  g_autofree char *folder = make_folder ();
  g_autofree char *path = g_build_filename (folder, "x.safetensors", NULL);
  g_autofree char *nowhere = g_build_filename (folder, "no", "x.safetensors", NULL);
  PeftSafetensorsWriter *writer = peft_safetensors_writer_new ();
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_assert_false (peft_safetensors_writer_add (writer, rows[i].name, rows[i].dtype,
                                                   rows[i].shape, rows[i].n_dims, &error));
      assert_error (error, PEFT_ERROR, (int) rows[i].code, rows[i].words);
      g_clear_error (&error);
    }
  g_assert_true (peft_safetensors_writer_add (writer, "a", PEFT_DTYPE_U8, one, 1, &error));
  g_assert_true (peft_safetensors_writer_add (writer, "a", PEFT_DTYPE_F32, one, 1, &error));
  g_assert_false (peft_safetensors_writer_begin (writer, path, &error));
  assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                "tensor 'a' is to be written twice");
  g_clear_error (&error);
  peft_safetensors_writer_free (writer);

  writer = peft_safetensors_writer_new ();
  g_assert_true (peft_safetensors_writer_add (writer, "a", PEFT_DTYPE_U8, half, 1, &error));
  g_assert_true (peft_safetensors_writer_add (writer, "b", PEFT_DTYPE_U8, half, 1, &error));
  g_assert_false (peft_safetensors_writer_begin (writer, path, &error));
  assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT, "the size of the file overflows");
  g_clear_error (&error);
  peft_safetensors_writer_free (writer);

  writer = peft_safetensors_writer_new ();
  g_assert_false (peft_safetensors_writer_begin (writer, nowhere, &error));
  g_assert_nonnull (error);
  g_assert_true (error->domain == PEFT_ERROR);
  peft_safetensors_writer_free (writer);
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
  remove_folder (folder);
}

static void
test_header_limit (void)
{
  g_autofree char *folder = make_folder ();
  g_autofree char *path = g_build_filename (folder, "x.safetensors", NULL);
  g_autofree char *value = g_malloc (PEFT_SAFETENSORS_MAX_HEADER_BYTES + 1);
  g_autoptr (PeftSafetensorsWriter) writer = peft_safetensors_writer_new ();
  g_autoptr (GError) error = NULL;

  memset (value, 'x', PEFT_SAFETENSORS_MAX_HEADER_BYTES);
  value[PEFT_SAFETENSORS_MAX_HEADER_BYTES] = '\0';
  peft_safetensors_writer_set_metadata (writer, "long", value);
  g_assert_false (peft_safetensors_writer_begin (writer, path, &error));
  assert_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT, "more than the limit of 100000000");
  remove_folder (folder);
}

static void
test_order (void)
{
  static const guint64 two[] = { 2 };
  g_autofree char *folder = make_folder ();
  g_autofree char *path = g_build_filename (folder, "x.safetensors", NULL);
  g_autoptr (PeftSafetensorsWriter) writer = peft_safetensors_writer_new ();
  g_autoptr (GError) error = NULL;

  g_assert_true (peft_safetensors_writer_add (writer, "b", PEFT_DTYPE_U8, two, 1, &error));
  g_assert_true (peft_safetensors_writer_add (writer, "a", PEFT_DTYPE_U8, two, 1, &error));
  g_assert_true (peft_safetensors_writer_begin (writer, path, &error));
  g_assert_false (peft_safetensors_writer_write (writer, "b", "xy", 2, &error));
  assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                "expected the data of tensor 'a', found that of 'b'");
  g_clear_error (&error);
  g_assert_false (peft_safetensors_writer_write (writer, "a", "xyz", 3, &error));
  assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                "tensor 'a' has 2 bytes to come, found 3");
  g_clear_error (&error);
  g_assert_true (peft_safetensors_writer_write (writer, "a", "xy", 2, &error));
  g_assert_false (peft_safetensors_writer_commit (writer, &error));
  assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT, "tensor 'b' lacks 2 bytes");
  g_clear_error (&error);
  g_assert_true (peft_safetensors_writer_write (writer, "b", "xy", 2, &error));
  g_assert_false (peft_safetensors_writer_write (writer, "b", "x", 1, &error));
  assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                "there is no tensor left to write, found data of 'b'");
  g_clear_error (&error);
  g_assert_true (peft_safetensors_writer_commit (writer, &error));
  g_assert_no_error (error);
  remove_folder (folder);
}

/* A disk that is full: the earlier file stays, nothing else is left in the folder. */
static void
test_full_disk (void)
{
  static const guint64 shape[] = { 1 << 20 };
  g_autofree char *folder = make_folder ();
  g_autofree char *path = g_build_filename (folder, "x.safetensors", NULL);
  g_autofree guint8 *zeros = g_malloc0 (shape[0]);
  g_autofree char *kept = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) dir = NULL;
  PeftTensorEntry entry
      = { .name = "a", .dtype = PEFT_DTYPE_U8, .n_dims = 1, .data = zeros, .n_bytes = shape[0] };
  struct rlimit old, small;
  gboolean saved;

  entry.shape[0] = shape[0];
  write_file (folder, "x.safetensors", "earlier", -1);
  signal (SIGXFSZ, SIG_IGN);
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &old), ==, 0);
  small = old;
  small.rlim_cur = 65536;
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &small), ==, 0);
  saved = peft_safetensors_save (path, &entry, 1, NULL, &error);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &old), ==, 0);
  g_assert_false (saved);
  assert_error (error, PEFT_ERROR, PEFT_ERROR_IO, "x.safetensors");

  g_file_get_contents (path, &kept, NULL, NULL);
  g_assert_cmpstr (kept, ==, "earlier");
  dir = g_dir_open (folder, 0, NULL);
  g_assert_cmpstr (g_dir_read_name (dir), ==, "x.safetensors");
  g_assert_null (g_dir_read_name (dir));
  remove_folder (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/SafetensorsWriter/layout", test_layout);
  g_test_add_func ("/Peft/SafetensorsWriter/save", test_save);
  g_test_add_func ("/Peft/SafetensorsWriter/empty", test_empty);
  g_test_add_func ("/Peft/SafetensorsWriter/refused", test_refused);
  g_test_add_func ("/Peft/SafetensorsWriter/header-limit", test_header_limit);
  g_test_add_func ("/Peft/SafetensorsWriter/order", test_order);
  g_test_add_func ("/Peft/SafetensorsWriter/full-disk", test_full_disk);
  return g_test_run ();
}
