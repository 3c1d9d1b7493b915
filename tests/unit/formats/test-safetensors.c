/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/peft-safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/peft-error.h"
#include "test-bytes.h"

static GBytes *
make_file (const char *header, guint data_bytes)
{
  GByteArray *out = g_byte_array_new ();

  put_u64 (out, strlen (header));
  put_text (out, header);
  put_fill (out, data_bytes);
  return take_bytes (out);
}

static const char good_header[]
    = "{\"__metadata__\":{\"format\":\"pt\",\"empty\":\"\"},"
      "\"b.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
      "\"a\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[24,26]},"
      "\"none\":{\"dtype\":\"I64\",\"shape\":[0,7],\"data_offsets\":[26,26]},"
      "\"flags\":{\"dtype\":\"BOOL\",\"shape\":[5],\"data_offsets\":[26,31]}}  ";

static void
test_read (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = make_file (good_header, 31);
  g_autoptr (PeftSafetensors) file = peft_safetensors_open_bytes (bytes, "good", &error);
  g_autoptr (PeftTensorSource) source = NULL;
  const PeftTensorEntry *entry;

  g_assert_no_error (error);
  g_assert_cmpuint (peft_safetensors_get_n_tensors (file), ==, 4);
  g_assert_cmpstr (peft_safetensors_get_metadata (file, "format"), ==, "pt");
  g_assert_cmpstr (peft_safetensors_get_metadata (file, "empty"), ==, "");
  g_assert_null (peft_safetensors_get_metadata (file, "other"));

  g_assert_cmpstr (peft_safetensors_get_entry (file, 0)->name, ==, "b.weight");
  g_assert_cmpstr (peft_safetensors_get_entry (file, 3)->name, ==, "flags");

  entry = peft_safetensors_lookup (file, "b.weight");
  g_assert_nonnull (entry);
  g_assert_cmpint (entry->dtype, ==, PEFT_DTYPE_F32);
  g_assert_cmpstr (entry->type_name, ==, "F32");
  g_assert_cmpuint (entry->n_dims, ==, 2);
  g_assert_cmpuint (entry->shape[0], ==, 2);
  g_assert_cmpuint (entry->shape[1], ==, 3);
  g_assert_cmpuint (entry->n_bytes, ==, 24);
  g_assert_cmpuint (entry->data[0], ==, 1);
  g_assert_cmpuint (peft_tensor_entry_get_n_values (entry), ==, 6);

  entry = peft_safetensors_lookup (file, "a");
  g_assert_cmpint (entry->dtype, ==, PEFT_DTYPE_BF16);
  g_assert_cmpuint (entry->n_dims, ==, 0);
  g_assert_cmpuint (entry->data[1], ==, 26);
  g_assert_cmpuint (peft_safetensors_lookup (file, "none")->n_bytes, ==, 0);
  g_assert_null (peft_safetensors_lookup (file, "c"));

  /* The tensors outlive the reader. */
  source = peft_tensor_source_ref (peft_safetensors_get_source (file));
  g_clear_pointer (&file, peft_safetensors_unref);
  g_clear_pointer (&bytes, g_bytes_unref);
  g_assert_cmpuint (peft_tensor_source_get_n (source), ==, 4);
  g_assert_cmpuint (peft_tensor_source_lookup (source, "flags")->data[4], ==, 31);
  g_assert_null (peft_tensor_source_require (source, "missing", &error));
  assert_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND, "good: there is no tensor 'missing'");
}

static void
test_dtypes (void)
{
  static const struct
  {
    const char *name;
    PeftDType dtype;
    guint bytes;
  } rows[] = {
    { "F64", PEFT_DTYPE_F64, 8 },         { "F32", PEFT_DTYPE_F32, 4 },
    { "F16", PEFT_DTYPE_F16, 2 },         { "BF16", PEFT_DTYPE_BF16, 2 },
    { "F8_E4M3", PEFT_DTYPE_F8_E4M3, 1 }, { "F8_E5M2", PEFT_DTYPE_F8_E5M2, 1 },
    { "I64", PEFT_DTYPE_I64, 8 },         { "I32", PEFT_DTYPE_I32, 4 },
    { "I16", PEFT_DTYPE_I16, 2 },         { "I8", PEFT_DTYPE_I8, 1 },
    { "U64", PEFT_DTYPE_U64, 8 },         { "U32", PEFT_DTYPE_U32, 4 },
    { "U16", PEFT_DTYPE_U16, 2 },         { "U8", PEFT_DTYPE_U8, 1 },
    { "BOOL", PEFT_DTYPE_BOOL, 1 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *header
          = g_strdup_printf ("{\"t\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%u]}}",
                             rows[i].name, 3 * rows[i].bytes);
      g_autoptr (GBytes) bytes = make_file (header, 3 * rows[i].bytes);
      g_autoptr (PeftSafetensors) file = peft_safetensors_open_bytes (bytes, "t", &error);

      g_assert_no_error (error);
      g_assert_cmpint (peft_safetensors_lookup (file, "t")->dtype, ==, rows[i].dtype);
    }
}

#define T(dtype, shape, offsets) \
  "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static const struct
{
  const char *name;
  const char *header;
  guint data_bytes;
  PeftError code;
  const char *words;
} bad_headers[] = {
  { "no-header", "", 0, PEFT_ERROR_INVALID_FILE, "does not start with '{'" },
  { "space-first", " {}", 0, PEFT_ERROR_INVALID_FILE, "does not start with '{'" },
  { "array", "[]", 0, PEFT_ERROR_INVALID_FILE, "does not start with '{'" },
  { "bom", "\xef\xbb\xbf{}", 0, PEFT_ERROR_INVALID_FILE, "does not start with '{'" },
  { "unclosed", "{\"a\":", 0, PEFT_ERROR_INVALID_FILE, "bad: header: line 1" },
  { "garbage-after", "{}x", 0, PEFT_ERROR_INVALID_FILE, "bad: header: line 1, column 3" },
  { "not-utf8", "{\"\xff\":1}", 0, PEFT_ERROR_INVALID_FILE, "UTF-8" },
  { "tensor-no-object", "{\"a\":[]}", 0, PEFT_ERROR_INVALID_FILE,
    "tensor 'a': expected an object in the header, found array" },
  { "no-dtype", "{\"a\":{\"shape\":[],\"data_offsets\":[0,4]}}", 4, PEFT_ERROR_INVALID_FILE,
    "expected a string 'dtype', found nothing" },
  { "dtype-number", "{\"a\":{\"dtype\":4,\"shape\":[],\"data_offsets\":[0,4]}}", 4,
    PEFT_ERROR_INVALID_FILE, "expected a string 'dtype', found integer" },
  { "dtype-unknown", "{\"a\":" T ("F4", "[2]", "[0,1]") "}", 1, PEFT_ERROR_UNSUPPORTED,
    "tensor 'a': unknown dtype 'F4'" },
  { "dtype-block", "{\"a\":" T ("Q4_0", "[32]", "[0,18]") "}", 18, PEFT_ERROR_UNSUPPORTED,
    "unknown dtype 'Q4_0'" },
  { "no-shape", "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, PEFT_ERROR_INVALID_FILE,
    "expected an array 'shape', found nothing" },
  { "shape-string", "{\"a\":" T ("F32", "\"1\"", "[0,4]") "}", 4, PEFT_ERROR_INVALID_FILE,
    "expected an array 'shape', found string" },
  { "shape-negative", "{\"a\":" T ("F32", "[1,-1]", "[0,4]") "}", 4, PEFT_ERROR_INVALID_FILE,
    "dimension 1 of 'shape'" },
  { "shape-fraction", "{\"a\":" T ("F32", "[1.0]", "[0,4]") "}", 4, PEFT_ERROR_INVALID_FILE,
    "dimension 0 of 'shape'" },
  { "shape-2^64", "{\"a\":" T ("F32", "[18446744073709551616]", "[0,4]") "}", 4,
    PEFT_ERROR_INVALID_FILE, "dimension 0 of 'shape'" },
  { "shape-2^63", "{\"a\":" T ("F32", "[9223372036854775808]", "[0,4]") "}", 4,
    PEFT_ERROR_INVALID_FILE, "dimension 0 of 'shape'" },
  { "shape-9-dims", "{\"a\":" T ("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, PEFT_ERROR_LIMIT,
    "expected at most 8 dimensions, found 9" },
  { "shape-product-overflow", "{\"a\":" T ("F32", "[4294967296,4294967296]", "[0,0]") "}", 0,
    PEFT_ERROR_INVALID_FILE, "the size of shape [4294967296, 4294967296] overflows" },
  { "shape-bytes-overflow", "{\"a\":" T ("F64", "[4611686018427387904]", "[0,0]") "}", 0,
    PEFT_ERROR_INVALID_FILE, "overflows" },
  { "no-offsets", "{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 4, PEFT_ERROR_INVALID_FILE,
    "expected 'data_offsets' to be two integers" },
  { "offsets-one", "{\"a\":" T ("F32", "[]", "[0]") "}", 4, PEFT_ERROR_INVALID_FILE,
    "two integers" },
  { "offsets-three", "{\"a\":" T ("F32", "[]", "[0,4,8]") "}", 4, PEFT_ERROR_INVALID_FILE,
    "two integers" },
  { "offsets-negative", "{\"a\":" T ("F32", "[]", "[-4,0]") "}", 4, PEFT_ERROR_INVALID_FILE,
    "two integers" },
  { "offsets-backwards", "{\"a\":" T ("F32", "[]", "[4,0]") "}", 4, PEFT_ERROR_INVALID_FILE,
    "data_offsets end at 0 before they begin at 4" },
  { "size-mismatch", "{\"a\":" T ("F32", "[2]", "[0,4]") "}", 4, PEFT_ERROR_INVALID_FILE,
    "F32 of shape [2] takes 8 bytes, but data_offsets give it 4" },
  { "beyond-end", "{\"a\":" T ("F32", "[2]", "[0,8]") "}", 7, PEFT_ERROR_INVALID_FILE,
    "data ends at 8, but the file has only 7 bytes" },
  { "offset-overflow",
    "{\"a\":" T ("U8", "[9223372036854775807]", "[0,9223372036854775807]") "}", 8,
    PEFT_ERROR_INVALID_FILE, "truncated" },
  { "overlap", "{\"a\":" T ("F32", "[2]", "[0,8]") ",\"b\":" T ("F32", "[1]", "[4,8]") "}", 8,
    PEFT_ERROR_INVALID_FILE, "tensor 'b': data begins at 4 and overlaps tensor 'a'" },
  { "same-place", "{\"a\":" T ("F32", "[1]", "[0,4]") ",\"b\":" T ("F32", "[1]", "[0,4]") "}", 4,
    PEFT_ERROR_INVALID_FILE, "overlaps" },
  { "hole", "{\"a\":" T ("F32", "[1]", "[0,4]") ",\"b\":" T ("F32", "[1]", "[8,12]") "}", 12,
    PEFT_ERROR_INVALID_FILE, "tensor 'b': data begins at 8, which leaves a hole after 4" },
  { "hole-at-start", "{\"a\":" T ("F32", "[1]", "[4,8]") "}", 8, PEFT_ERROR_INVALID_FILE,
    "leaves a hole after 0" },
  { "bytes-left-over", "{\"a\":" T ("F32", "[1]", "[0,4]") "}", 5, PEFT_ERROR_INVALID_FILE,
    "take 4 bytes of data, but the file has 5" },
  { "data-without-tensors", "{}", 1, PEFT_ERROR_INVALID_FILE, "but the file has 1" },
  { "repeated-name", "{\"a\":" T ("F32", "[]", "[0,4]") ",\"a\":" T ("F32", "[]", "[4,8]") "}", 8,
    PEFT_ERROR_INVALID_FILE, "key \"a\" is repeated" },
  { "name-with-nul", "{\"a\\u0000b\":" T ("F32", "[]", "[0,4]") "}", 4, PEFT_ERROR_INVALID_FILE,
    "tensor 'a': the name goes on after a NUL" },
  { "metadata-array", "{\"__metadata__\":[]}", 0, PEFT_ERROR_INVALID_FILE,
    "__metadata__: expected an object, found array" },
  { "metadata-number", "{\"__metadata__\":{\"n\":1}}", 0, PEFT_ERROR_INVALID_FILE,
    "__metadata__: 'n': expected a string, found integer" },
};

static void
test_bad_header (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = make_file (bad_headers[i].header, bad_headers[i].data_bytes);

  g_assert_null (peft_safetensors_open_bytes (bytes, "bad", &error));
  assert_error (error, PEFT_ERROR, (int) bad_headers[i].code, bad_headers[i].words);
  g_assert_true (g_str_has_prefix (error->message, "bad: "));
}

static void
assert_bad_length (guint64 length, PeftError code, const char *words)
{
  g_autoptr (GByteArray) out = g_byte_array_new ();
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;

  put_u64 (out, length);
  put_text (out, "{}");
  bytes = exact_bytes (out->data, out->len);
  g_assert_null (peft_safetensors_open_bytes (bytes, "bad", &error));
  assert_error (error, PEFT_ERROR, (int) code, words);
}

static void
test_header_length (void)
{
  assert_bad_length (3, PEFT_ERROR_INVALID_FILE, "the header has 3 bytes, but the file only 10");
  assert_bad_length (PEFT_SAFETENSORS_MAX_HEADER_BYTES, PEFT_ERROR_INVALID_FILE, "truncated");
  assert_bad_length (PEFT_SAFETENSORS_MAX_HEADER_BYTES + 1, PEFT_ERROR_LIMIT,
                     "the header has 100000001 bytes, more than the limit of 100000000");
  assert_bad_length (G_MAXUINT64, PEFT_ERROR_LIMIT, "more than the limit");
  assert_bad_length (G_MAXUINT64 - 7, PEFT_ERROR_LIMIT, "more than the limit");
}

static void
test_truncated (void)
{
  g_autoptr (GBytes) whole = make_file (good_header, 31);
  gsize size;
  const guint8 *data = g_bytes_get_data (whole, &size);

  for (gsize n = 0; n < size; n++)
    {
      g_autoptr (GBytes) bytes = exact_bytes (data, n);
      g_autoptr (GError) error = NULL;

      g_assert_null (peft_safetensors_open_bytes (bytes, "cut", &error));
      g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE);
    }
}

/* Whatever opens must lie within the file. */
static void
test_mutated (void)
{
  static const guint8 values[] = { 0, 1, 0x7f, 0x80, 0xff, '{', '}', '"', ',', '9', '-', '\\' };
  g_autoptr (GBytes) whole = make_file (good_header, 31);
  gsize size;
  const guint8 *data = g_bytes_get_data (whole, &size);
  volatile guint sum = 0;

  for (gsize at = 0; at < size; at++)
    for (guint v = 0; v < G_N_ELEMENTS (values); v++)
      {
        g_autofree guint8 *copy = g_memdup2 (data, size);
        g_autoptr (GBytes) bytes = NULL;
        g_autoptr (GError) error = NULL;
        g_autoptr (PeftSafetensors) file = NULL;

        copy[at] = values[v];
        bytes = exact_bytes (copy, size);
        file = peft_safetensors_open_bytes (bytes, "mutated", &error);
        g_assert_true ((file == NULL) == (error != NULL));
        for (gsize i = 0; file != NULL && i < peft_safetensors_get_n_tensors (file); i++)
          {
            const PeftTensorEntry *entry = peft_safetensors_get_entry (file, i);

            for (guint64 j = 0; j < entry->n_bytes; j++)
              sum += entry->data[j];
          }
      }
}

static void
write_shard (const char *folder, const char *name, const char *header, guint data_bytes)
{
  g_autoptr (GBytes) bytes = make_file (header, data_bytes);

  write_file (folder, name, g_bytes_get_data (bytes, NULL), (gssize) g_bytes_get_size (bytes));
}

static void
assert_open_fails (const char *path, PeftError code, const char *words)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (peft_safetensors_open (path, &error));
  assert_error (error, PEFT_ERROR, (int) code, words);
}

static void
test_folder (void)
{
  g_autofree char *folder = make_folder ();
  g_autofree char *path = g_build_filename (folder, "model.safetensors", NULL);
  g_autofree char *missing = g_build_filename (folder, "other.safetensors", NULL);
  g_autofree char *pipe = g_build_filename (folder, "pipe.safetensors", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftSafetensors) file = NULL;

  assert_open_fails (folder, PEFT_ERROR_NOT_FOUND,
                     "expected model.safetensors or model.safetensors.index.json");
  assert_open_fails (missing, PEFT_ERROR_NOT_FOUND, "other.safetensors: cannot be opened");
  g_assert_cmpint (mkfifo (pipe, 0600), ==, 0);
  assert_open_fails (pipe, PEFT_ERROR_IO, "expected a regular file");
  write_file (folder, "model.safetensors", "", 0);
  assert_open_fails (folder, PEFT_ERROR_INVALID_FILE, "found a file of 0 bytes");

  write_shard (folder, "model.safetensors", good_header, 31);
  file = peft_safetensors_open (folder, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (peft_safetensors_get_n_tensors (file), ==, 4);
  g_assert_cmpstr (peft_safetensors_get_entry (file, 0)->file, ==, path);
  remove_folder (folder);
}

#define INDEX(map) "{\"metadata\":{\"total_size\":12},\"weight_map\":" map "}"

static void
test_sharded (void)
{
  g_autofree char *folder = make_folder ();
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftSafetensors) file = NULL;
  const PeftTensorEntry *entry;

  write_shard (folder, "m-1.safetensors",
               "{\"__metadata__\":{\"format\":\"pt\"},\"z\":" T ("F32", "[1]", "[0,4]") "}", 4);
  write_shard (folder, "m-2.safetensors",
               "{\"a\":" T ("F32", "[1]", "[0,4]") ",\"extra\":" T ("F32", "[1]", "[4,8]") "}", 8);
  write_file (folder, PEFT_SAFETENSORS_INDEX,
              INDEX ("{\"a\":\"m-2.safetensors\",\"z\":\"m-1.safetensors\"}"), -1);
  file = peft_safetensors_open (folder, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (peft_safetensors_get_n_tensors (file), ==, 3);
  g_assert_cmpstr (peft_safetensors_get_entry (file, 0)->name, ==, "z");
  g_assert_cmpstr (peft_safetensors_get_metadata (file, "format"), ==, "pt");
  entry = peft_safetensors_lookup (file, "extra");
  g_assert_nonnull (entry);
  g_assert_true (g_str_has_suffix (entry->file, "/m-2.safetensors"));
  g_assert_cmpuint (entry->data[0], ==, 5);
  remove_folder (folder);
}

static void
test_bad_index (void)
{
  static const struct
  {
    const char *index;
    PeftError code;
    const char *words;
  } rows[] = {
    { "[]", PEFT_ERROR_INVALID_FILE, "expected an object 'weight_map', found nothing" },
    { "{\"weight_map\":3}", PEFT_ERROR_INVALID_FILE, "'weight_map', found integer" },
    { "{\"weight_map\":", PEFT_ERROR_INVALID_FILE, "index.json: line 1" },
    { INDEX ("{\"a\":1}"), PEFT_ERROR_INVALID_FILE,
      "weight_map: 'a': expected the name of a file" },
    { INDEX ("{\"a\":\"../m-1.safetensors\"}"), PEFT_ERROR_INVALID_FILE,
      "weight_map: 'a': expected the name of a file in the same folder" },
    { INDEX ("{\"a\":\"..\"}"), PEFT_ERROR_INVALID_FILE, "weight_map: 'a'" },
    { INDEX ("{\"a\":\"\"}"), PEFT_ERROR_INVALID_FILE, "weight_map: 'a'" },
    { INDEX ("{\"a\":\"m-1.safetensors\",\"b\":\"m-9.safetensors\"}"), PEFT_ERROR_NOT_FOUND,
      "m-9.safetensors: cannot be opened" },
    { INDEX ("{\"a\":\"m-1.safetensors\",\"b\":\"m-1.safetensors\"}"), PEFT_ERROR_INVALID_FILE,
      "tensor 'b' should be in the shard m-1.safetensors, but is not there" },
    { INDEX ("{\"a\":\"m-1.safetensors\",\"c\":\"m-1.safetensors\",\"d\":\"m-2.safetensors\"}"),
      PEFT_ERROR_INVALID_FILE, "tensor 'c' should be in the shard m-1.safetensors" },
    { INDEX ("{\"a\":\"m-1.safetensors\",\"e\":\"m-3.safetensors\"}"), PEFT_ERROR_INVALID_FILE,
      "tensor 'a' occurs twice, also in" },
    { INDEX ("{\"a\":\"cut.safetensors\"}"), PEFT_ERROR_INVALID_FILE, "cut.safetensors" },
    { INDEX ("{\"a\":\"m-1.safetensors\",\"a\":\"m-2.safetensors\"}"), PEFT_ERROR_INVALID_FILE,
      "key \"a\" is repeated" },
  };
  g_autofree char *folder = make_folder ();

  write_shard (folder, "m-1.safetensors", "{\"a\":" T ("F32", "[1]", "[0,4]") "}", 4);
  write_shard (folder, "m-2.safetensors",
               "{\"c\":" T ("F32", "[1]", "[0,4]") ",\"d\":" T ("F32", "[1]", "[4,8]") "}", 8);
  write_shard (folder, "m-3.safetensors",
               "{\"a\":" T ("F32", "[1]", "[0,4]") ",\"e\":" T ("F32", "[1]", "[4,8]") "}", 8);
  write_shard (folder, "cut.safetensors", "{\"a\":" T ("F32", "[1]", "[0,4]") "}", 3);
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      write_file (folder, PEFT_SAFETENSORS_INDEX, rows[i].index, -1);
      assert_open_fails (folder, rows[i].code, rows[i].words);
    }
  remove_folder (folder);
}

static void
test_too_many_shards (void)
{
  g_autofree char *folder = make_folder ();
  g_autoptr (GString) index = g_string_new ("{\"weight_map\":{");

  for (guint i = 0; i <= PEFT_SAFETENSORS_MAX_SHARDS; i++)
    g_string_append_printf (index, "%s\"t%u\":\"s%u\"", i > 0 ? "," : "", i, i);
  g_string_append (index, "}}");
  write_file (folder, PEFT_SAFETENSORS_INDEX, index->str, -1);
  assert_open_fails (folder, PEFT_ERROR_LIMIT, "names 4097 files, more than the limit of 4096");
  remove_folder (folder);
}

/* The data of a sparse file must still be absent from memory after opening. */
static void
test_lazy (void)
{
  enum
  {
    DATA_BYTES = 64 << 20
  };
  g_autofree char *folder = make_folder ();
  g_autofree char *path = g_build_filename (folder, "model.safetensors", NULL);
  g_autofree char *header = g_strdup_printf (
      "{\"t\":{\"dtype\":\"U8\",\"shape\":[%d],\"data_offsets\":[0,%d]}}", DATA_BYTES, DATA_BYTES);
  g_autofree guchar *resident = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftSafetensors) file = NULL;
  gsize page = (gsize) sysconf (_SC_PAGESIZE);
  gsize n_pages, n_resident = 0;
  guint8 *middle;

  write_shard (folder, "model.safetensors", header, 0);
  g_assert_cmpint (truncate (path, (off_t) (8 + strlen (header) + DATA_BYTES)), ==, 0);
  file = peft_safetensors_open (path, &error);
  g_assert_no_error (error);

  /* Leave out what the kernel may read ahead behind the header. */
  middle = (guint8 *) peft_safetensors_lookup (file, "t")->data + DATA_BYTES / 2;
  middle -= (guintptr) middle % page;
  n_pages = (DATA_BYTES / 2) / page;
  resident = g_malloc0 (n_pages);
  g_assert_cmpint (mincore (middle, n_pages * page, resident), ==, 0);
  for (gsize i = 0; i < n_pages; i++)
    n_resident += resident[i] & 1;
  g_assert_cmpuint (n_resident, ==, 0);
  remove_folder (folder);
}

static const struct
{
  const char *path;
  guint n_tensors;
  const char *name;
  PeftDType dtype;
  guint64 shape[2];
  float first, last; /* values, as the Python package reads them */
} real[] = {
  { "models/stories260k/model.safetensors", 47, "model.embed_tokens.weight", PEFT_DTYPE_F32,
    { 512, 64 }, -0x1.2dd2ap-2f, -0x1.b2359ap-2f },
  { "corpus/adapters/01-gpt-neo-125m-lora/adapter_model.safetensors", 48,
    "base_model.model.transformer.h.9.attn.attention.v_proj.lora_B.weight", PEFT_DTYPE_F32,
    { 768, 8 }, -0x1.61e006p-13f, -0x1.c98ce4p-7f },
  { "corpus/adapters/03-tinyllama-added-tokens-lora/adapter_model.safetensors", 4,
    "base_model.model.lm_head.weight", PEFT_DTYPE_BF16, { 5, 64 }, -0x1.02p-4f, 0x1.52p-4f },
  { "corpus/adapters/04-tinyllama-prompt-tuning-safetensors/adapter_model.safetensors", 1,
    "prompt_embeddings", PEFT_DTYPE_F32, { 8, 64 }, 0x1.98d446p-4f, 0x1.6d54f2p-5f },
};

static void
test_real (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  g_autofree char *path = shared_file (real[i].path);
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftSafetensors) file = NULL;
  const PeftTensorEntry *entry;
  const PeftDTypeInfo *info;
  float first, last;

  if (path == NULL)
    return;
  file = peft_safetensors_open (path, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (peft_safetensors_get_n_tensors (file), ==, real[i].n_tensors);
  entry = peft_safetensors_lookup (file, real[i].name);
  g_assert_nonnull (entry);
  g_assert_cmpint (entry->dtype, ==, real[i].dtype);
  g_assert_cmpuint (entry->n_dims, ==, 2);
  g_assert_cmpuint (entry->shape[0], ==, real[i].shape[0]);
  g_assert_cmpuint (entry->shape[1], ==, real[i].shape[1]);
  info = peft_dtype_get_info (entry->dtype);
  info->to_f32 (entry->data, &first, 1);
  info->to_f32 (entry->data + entry->n_bytes - info->block_bytes, &last, 1);
  g_assert_cmpfloat (first, ==, real[i].first);
  g_assert_cmpfloat (last, ==, real[i].last);
}

static void
test_real_broken (void)
{
  g_autofree char *path
      = shared_file ("corpus/adapters/05-broken-fake-weights/adapter_model.safetensors");

  if (path != NULL)
    assert_open_fails (path, PEFT_ERROR_LIMIT, "is this a safetensors file?");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Safetensors/read", test_read);
  g_test_add_func ("/Peft/Safetensors/dtypes", test_dtypes);
  for (guint i = 0; i < G_N_ELEMENTS (bad_headers); i++)
    {
      g_autofree char *path = g_strdup_printf ("/Peft/Safetensors/bad/%s", bad_headers[i].name);
      g_test_add_data_func (path, GUINT_TO_POINTER (i), test_bad_header);
    }
  g_test_add_func ("/Peft/Safetensors/header-length", test_header_length);
  g_test_add_func ("/Peft/Safetensors/truncated", test_truncated);
  g_test_add_func ("/Peft/Safetensors/mutated", test_mutated);
  g_test_add_func ("/Peft/Safetensors/folder", test_folder);
  g_test_add_func ("/Peft/Safetensors/sharded", test_sharded);
  g_test_add_func ("/Peft/Safetensors/bad-index", test_bad_index);
  g_test_add_func ("/Peft/Safetensors/too-many-shards", test_too_many_shards);
  g_test_add_func ("/Peft/Safetensors/lazy", test_lazy);
  for (guint i = 0; i < G_N_ELEMENTS (real); i++)
    {
      g_autofree char *path = g_strdup_printf ("/Peft/Safetensors/real/%u", i);
      g_test_add_data_func (path, GUINT_TO_POINTER (i), test_real);
    }
  g_test_add_func ("/Peft/Safetensors/real/broken", test_real_broken);
  return g_test_run ();
}
