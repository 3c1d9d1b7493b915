/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/peft-gguf.h"

#include <math.h>

#include "base/peft-error.h"
#include "formats/peft-gguf-permute.h"
#include "test-bytes.h"

/* Builds a file from words: raw:BYTES, u8:N, u16:N, u32:N, u64:N, f32:X, f64:X, s:STRING (with its
 * length before it), pad (to the next multiple of 32) and fill:N (bytes 1, 2, 3, …). */
static GBytes *
build (const char *words)
{
  g_auto (GStrv) parts = g_strsplit (words, " ", -1);
  GByteArray *out = g_byte_array_new ();

  for (guint i = 0; parts[i] != NULL; i++)
    {
      const char *word = parts[i];
      const char *colon = strchr (word, ':');
      const char *arg = colon ? colon + 1 : "";

      if (word[0] == '\0')
        continue;
      if (g_str_has_prefix (word, "raw:"))
        put_text (out, arg);
      else if (g_str_has_prefix (word, "u8:"))
        g_byte_array_append (out, (guint8[]) { (guint8) atoi (arg) }, 1);
      else if (g_str_has_prefix (word, "u16:"))
        {
          guint16 v = GUINT16_TO_LE ((guint16) atoi (arg));
          g_byte_array_append (out, (const guint8 *) &v, sizeof v);
        }
      else if (g_str_has_prefix (word, "u32:"))
        put_u32 (out, (guint32) g_ascii_strtoll (arg, NULL, 0));
      else if (g_str_has_prefix (word, "u64:"))
        put_u64 (out, arg[0] == '-' ? (guint64) g_ascii_strtoll (arg, NULL, 0)
                                    : g_ascii_strtoull (arg, NULL, 0));
      else if (g_str_has_prefix (word, "f32:"))
        {
          float v = (float) g_ascii_strtod (arg, NULL);
          guint32 bits;
          memcpy (&bits, &v, sizeof bits);
          put_u32 (out, bits);
        }
      else if (g_str_has_prefix (word, "f64:"))
        {
          double v = g_ascii_strtod (arg, NULL);
          guint64 bits;
          memcpy (&bits, &v, sizeof bits);
          put_u64 (out, bits);
        }
      else if (g_str_has_prefix (word, "s:"))
        {
          put_u64 (out, strlen (arg));
          put_text (out, arg);
        }
      else if (strcmp (word, "pad") == 0)
        while (out->len % 32 != 0)
          put_text (out, "P");
      else if (g_str_has_prefix (word, "fill:"))
        put_fill (out, (guint) atoi (arg));
      else
        g_error ("unknown word %s", word);
    }
  return take_bytes (out);
}

#define HEAD(n_tensors, n_keys) "raw:GGUF u32:3 u64:" #n_tensors " u64:" #n_keys " "
/* Type numbers of metadata. */
#define U8 "u32:0 "
#define I8 "u32:1 "
#define U16 "u32:2 "
#define I16 "u32:3 "
#define U32 "u32:4 "
#define I32 "u32:5 "
#define F32 "u32:6 "
#define BOOL "u32:7 "
#define STR "u32:8 "
#define ARR "u32:9 "
#define U64 "u32:10 "
#define I64 "u32:11 "
#define F64 "u32:12 "
/* Type numbers of tensors. */
#define T_F32 "u32:0 "
#define T_F16 "u32:1 "
#define T_Q4_0 "u32:2 "
#define T_Q5_K "u32:13 "
#define DIMS1(a) "u32:1 u64:" #a " "
#define DIMS2(a, b) "u32:2 u64:" #a " u64:" #b " "
#define AT(offset) "u64:" #offset " "

static const char all_words[]
    = HEAD (4, 19)
    "s:general.architecture " STR "s:llama "
    "s:u8 " U8 "u8:200 "
    "s:i8 " I8 "u8:-5 "
    "s:u16 " U16 "u16:65535 "
    "s:i16 " I16 "u16:-300 "
    "s:u32 " U32 "u32:4294967295 "
    "s:i32 " I32 "u32:-7 "
    "s:f32 " F32 "f32:0.5 "
    "s:yes " BOOL "u8:1 "
    "s:no " BOOL "u8:0 "
    "s:u64 " U64 "u64:18446744073709551615 "
    "s:i64 " I64 "u64:-9000000000 "
    "s:f64 " F64 "f64:1e-300 "
    "s:tokens " ARR STR "u64:3 s:<s> s: s:\xe2\x96\x81hi "
    "s:scores " ARR F32 "u64:2 f32:-1 f32:0.25 "
    "s:kinds " ARR I32 "u64:2 u32:1 u32:-6 "
    "s:flags " ARR BOOL "u64:2 u8:0 u8:1 "
    "s:nested " ARR ARR "u64:2 " U8 "u64:1 u8:9 " STR "u64:1 s:deep "
    "s:nothing " ARR U64 "u64:0 "
    /* Not in the order of their data. */
    "s:blk.0.w " DIMS2 (32, 3) T_Q4_0 AT (64)
    "s:a " DIMS2 (3, 2) T_F32 AT (0)
    "s:empty " DIMS2 (0, 4) T_F32 AT (64)
    "s:later " DIMS1 (256) T_Q5_K AT (128)
    "pad fill:304 ";

static void
test_read (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = build (all_words);
  g_autoptr (PeftGguf) file = peft_gguf_open_bytes (bytes, "all", &error);
  g_autoptr (PeftTensorSource) source = NULL;
  const PeftTensorEntry *entry;

  g_assert_no_error (error);
  g_assert_cmpuint (peft_gguf_get_version (file), ==, 3);
  source = peft_tensor_source_ref (peft_gguf_get_source (file));
  g_clear_pointer (&file, peft_gguf_unref);
  g_clear_pointer (&bytes, g_bytes_unref);

  g_assert_cmpuint (peft_tensor_source_get_n (source), ==, 4);
  g_assert_cmpstr (peft_tensor_source_get (source, 0)->name, ==, "a");
  g_assert_cmpstr (peft_tensor_source_get (source, 3)->name, ==, "later");

  entry = peft_tensor_source_require (source, "a", &error);
  g_assert_no_error (error);
  g_assert_cmpint (entry->dtype, ==, PEFT_DTYPE_F32);
  g_assert_cmpuint (entry->n_dims, ==, 2);
  g_assert_cmpuint (entry->shape[0], ==, 2);
  g_assert_cmpuint (entry->shape[1], ==, 3);
  g_assert_cmpuint (entry->n_bytes, ==, 24);
  g_assert_cmpuint (entry->data[0], ==, 1);

  entry = peft_tensor_source_require (source, "blk.0.w", &error);
  g_assert_no_error (error);
  g_assert_cmpint (entry->dtype, ==, PEFT_DTYPE_Q4_0);
  g_assert_cmpuint (entry->shape[0], ==, 3);
  g_assert_cmpuint (entry->shape[1], ==, 32);
  g_assert_cmpuint (entry->n_bytes, ==, 54);
  g_assert_cmpuint (entry->data[0], ==, 65);
  g_assert_cmpuint (peft_tensor_source_lookup (source, "empty")->n_bytes, ==, 0);

  /* Listed, but not to be used. */
  entry = peft_tensor_source_lookup (source, "later");
  g_assert_cmpint (entry->dtype, ==, PEFT_N_DTYPES);
  g_assert_cmpstr (entry->type_name, ==, "Q5_K");
  g_assert_cmpuint (entry->n_bytes, ==, 176);
  g_assert_null (peft_tensor_source_require (source, "later", &error));
  assert_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                "all: tensor 'later' has the type Q5_K, which this version cannot read");
}

static void
test_values (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = build (all_words);
  g_autoptr (PeftGguf) file = peft_gguf_open_bytes (bytes, "all", &error);
  static const struct
  {
    const char *key;
    gint64 value;
  } ints[] = { { "u8", 200 },           { "i8", -5 },  { "u16", 65535 },        { "i16", -300 },
               { "u32", 4294967295 }, { "i32", -7 }, { "i64", -9000000000 } };
  g_autofree char *architecture = NULL;
  guint64 u;
  gint64 i;
  double d;
  gboolean b;

  g_assert_no_error (error);
  g_assert_cmpuint (peft_gguf_get_n_keys (file), ==, 19);
  g_assert_cmpstr (peft_gguf_get_key (file, 1), ==, "u8");
  g_assert_cmpuint (peft_gguf_get_value (file, 1)->u64, ==, 200);
  for (guint k = 0; k < G_N_ELEMENTS (ints); k++)
    {
      g_assert_true (peft_gguf_get_int (file, ints[k].key, &i, &error));
      g_assert_cmpint (i, ==, ints[k].value);
      g_assert_true (peft_gguf_get_double (file, ints[k].key, &d, &error));
      g_assert_cmpfloat (d, ==, (double) ints[k].value);
      g_assert_true (peft_gguf_get_uint (file, ints[k].key, &u, NULL) == (ints[k].value >= 0));
    }
  g_assert_true (peft_gguf_get_uint (file, "u64", &u, &error));
  g_assert_cmpuint (u, ==, G_MAXUINT64);
  g_assert_true (peft_gguf_get_double (file, "f32", &d, &error));
  g_assert_cmpfloat (d, ==, 0.5);
  g_assert_true (peft_gguf_get_double (file, "f64", &d, &error));
  g_assert_cmpfloat (d, ==, 1e-300);
  g_assert_true (peft_gguf_get_boolean (file, "yes", &b, &error));
  g_assert_true (b);
  g_assert_true (peft_gguf_get_boolean (file, "no", &b, &error));
  g_assert_false (b);
  architecture = peft_gguf_dup_string (file, "general.architecture", &error);
  g_assert_cmpstr (architecture, ==, "llama");
  g_assert_no_error (error);
}

static void
test_arrays (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = build (all_words);
  g_autoptr (PeftGguf) file = peft_gguf_open_bytes (bytes, "all", &error);
  g_autofree gint64 *kinds = NULL;
  g_autofree gint64 *nothing = NULL;
  g_autofree float *scores = NULL;
  const PeftGgufString *tokens;
  const PeftGgufValue *nested;
  PeftGgufValue inner, item;
  gsize n;

  g_assert_no_error (error);
  tokens = peft_gguf_get_string_array (file, "tokens", &n, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (n, ==, 3);
  g_assert_cmpmem (tokens[0].data, tokens[0].length, "<s>", 3);
  g_assert_cmpuint (tokens[1].length, ==, 0);
  g_assert_cmpmem (tokens[2].data, tokens[2].length, "\xe2\x96\x81hi", 5);

  scores = peft_gguf_dup_float_array (file, "scores", &n, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (n, ==, 2);
  g_assert_cmpfloat (scores[0], ==, -1);
  g_assert_cmpfloat (scores[1], ==, 0.25);

  kinds = peft_gguf_dup_int_array (file, "kinds", &n, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (n, ==, 2);
  g_assert_cmpint (kinds[1], ==, -6);

  nothing = peft_gguf_dup_int_array (file, "nothing", &n, &error);
  g_assert_no_error (error);
  g_assert_nonnull (nothing);
  g_assert_cmpuint (n, ==, 0);

  nested = peft_gguf_lookup (file, "nested");
  g_assert_cmpuint (nested->array.n, ==, 2);
  peft_gguf_value_get_item (nested, 0, &inner);
  peft_gguf_value_get_item (&inner, 0, &item);
  g_assert_cmpint (item.type, ==, PEFT_GGUF_UINT8);
  g_assert_cmpuint (item.u64, ==, 9);
  peft_gguf_value_get_item (nested, 1, &inner);
  peft_gguf_value_get_item (&inner, 0, &item);
  g_assert_cmpint (item.type, ==, PEFT_GGUF_STRING);
  g_assert_cmpmem (item.string.data, item.string.length, "deep", 4);
}

static void
test_wrong_types (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = build (all_words);
  g_autoptr (PeftGguf) file = peft_gguf_open_bytes (bytes, "all", &error);
  guint64 u;
  gint64 i;
  double d;
  gboolean b;
  gsize n;

#define FAILS(call, code, words) \
  G_STMT_START \
  { \
    g_assert_false ((call)); \
    assert_error (error, PEFT_ERROR, code, words); \
    g_clear_error (&error); \
  } \
  G_STMT_END

  g_assert_no_error (error);
  FAILS (peft_gguf_get_uint (file, "none", &u, &error), PEFT_ERROR_NOT_FOUND,
         "all: there is no key 'none'");
  FAILS (peft_gguf_get_uint (file, "i8", &u, &error), PEFT_ERROR_INVALID_FILE,
         "key 'i8': expected an integer that is not negative, found int8");
  FAILS (peft_gguf_get_int (file, "u64", &i, &error), PEFT_ERROR_INVALID_FILE,
         "key 'u64': expected an integer below 2^63, found uint64");
  FAILS (peft_gguf_get_int (file, "f32", &i, &error), PEFT_ERROR_INVALID_FILE, "found float32");
  FAILS (peft_gguf_get_double (file, "yes", &d, &error), PEFT_ERROR_INVALID_FILE,
         "key 'yes': expected a number, found bool");
  FAILS (peft_gguf_get_boolean (file, "u8", &b, &error), PEFT_ERROR_INVALID_FILE,
         "expected a bool, found uint8");
  FAILS (peft_gguf_dup_string (file, "tokens", &error), PEFT_ERROR_INVALID_FILE,
         "key 'tokens': expected a string, found an array of string");
  FAILS (peft_gguf_dup_string (file, "none", &error), PEFT_ERROR_NOT_FOUND, "'none'");
  FAILS (peft_gguf_get_string_array (file, "scores", &n, &error), PEFT_ERROR_INVALID_FILE,
         "expected an array of strings, found an array of float32");
  FAILS (peft_gguf_get_string_array (file, "u8", &n, &error), PEFT_ERROR_INVALID_FILE,
         "found uint8");
  FAILS (peft_gguf_dup_int_array (file, "scores", &n, &error), PEFT_ERROR_INVALID_FILE,
         "expected an array of integers below 2^63, found an array of float32");
  FAILS (peft_gguf_dup_float_array (file, "tokens", &n, &error), PEFT_ERROR_INVALID_FILE,
         "expected an array of numbers, found an array of string");
  FAILS (peft_gguf_dup_float_array (file, "nested", &n, &error), PEFT_ERROR_INVALID_FILE,
         "found an array of array");
}

#define KEY_BOOL "s:k " BOOL "u8:1 "

static const struct
{
  const char *name;
  const char *words;
  PeftError code;
  const char *message;
} bad[] = {
  { "empty", "", PEFT_ERROR_INVALID_FILE, "header: expected 4 bytes, but the file ends after 0" },
  { "magic", "raw:GGML u32:3 u64:0 u64:0", PEFT_ERROR_INVALID_FILE, "this is no GGUF file" },
  { "magic-reversed", "raw:FUGG u32:3 u64:0 u64:0", PEFT_ERROR_INVALID_FILE, "no GGUF file" },
  { "version-0", "raw:GGUF u32:0 u64:0 u64:0", PEFT_ERROR_UNSUPPORTED, "found version 0" },
  { "version-1", "raw:GGUF u32:1 u64:0 u64:0", PEFT_ERROR_UNSUPPORTED,
    "expected GGUF version 2 or 3, found version 1" },
  { "version-4", "raw:GGUF u32:4 u64:0 u64:0", PEFT_ERROR_UNSUPPORTED, "found version 4" },
  { "big-endian", "raw:GGUF u32:0x03000000 u64:0 u64:0", PEFT_ERROR_UNSUPPORTED, "big-endian" },
  { "n-keys-huge", HEAD (0, 18446744073709551615) "fill:64", PEFT_ERROR_INVALID_FILE,
    "metadata: 18446744073709551615 items do not fit into the 64 bytes" },
  { "n-keys-one-too-many", HEAD (0, 2) KEY_BOOL, PEFT_ERROR_INVALID_FILE, "do not fit" },
  { "n-tensors-huge", HEAD (18446744073709551615, 0) "fill:64", PEFT_ERROR_INVALID_FILE,
    "table of tensors: 18446744073709551615 tensors do not fit into the 64 bytes" },
  { "key-empty", HEAD (0, 1) "s: " BOOL "u8:1 fill:9", PEFT_ERROR_INVALID_FILE,
    "key 0: expected a name in UTF-8 without NUL, found nothing" },
  { "key-not-utf8", HEAD (0, 1) "s:a\xff " BOOL "u8:1 fill:9", PEFT_ERROR_INVALID_FILE,
    "found other bytes" },
  { "key-with-nul", HEAD (0, 1) "u64:3 raw:a u8:0 raw:b " BOOL "u8:1 fill:9",
    PEFT_ERROR_INVALID_FILE, "found other bytes" },
  { "key-too-long", HEAD (0, 1) "u64:65536 fill:70000", PEFT_ERROR_LIMIT,
    "a string of 65536 bytes, more than the limit of 65535" },
  { "key-length-overflow", HEAD (0, 1) "u64:-1 fill:64", PEFT_ERROR_LIMIT, "key 0: a string of" },
  { "key-cut", HEAD (0, 1) "u64:40 fill:20", PEFT_ERROR_INVALID_FILE,
    "key 0: expected 40 bytes, but the file ends after 20" },
  { "key-twice", HEAD (0, 2) KEY_BOOL KEY_BOOL, PEFT_ERROR_INVALID_FILE, "key 'k' occurs twice" },
  { "type-unknown", HEAD (0, 1) "s:k u32:13 fill:9", PEFT_ERROR_INVALID_FILE,
    "key 'k': unknown value type 13" },
  { "type-huge", HEAD (0, 1) "s:k u32:-1 fill:9", PEFT_ERROR_INVALID_FILE,
    "unknown value type 4294967295" },
  { "bool-2", HEAD (0, 1) "s:k " BOOL "u8:2", PEFT_ERROR_INVALID_FILE,
    "key 'k': expected a bool of 0 or 1, found 2" },
  { "bool-array-3", HEAD (0, 1) "s:k " ARR BOOL "u64:2 u8:1 u8:3", PEFT_ERROR_INVALID_FILE,
    "expected a bool of 0 or 1, found 3" },
  { "number-cut", HEAD (0, 1) "s:key " U64 "u32:1", PEFT_ERROR_INVALID_FILE,
    "key 'key': expected 8 bytes, but the file ends after 4" },
  { "string-cut", HEAD (0, 1) "s:k " STR "u64:9 raw:short", PEFT_ERROR_INVALID_FILE,
    "expected 9 bytes, but the file ends after 5" },
  { "string-limit", HEAD (0, 1) "s:k " STR "u64:67108865 fill:9", PEFT_ERROR_LIMIT,
    "a string of 67108865 bytes, more than the limit of 67108864" },
  { "array-type-unknown", HEAD (0, 1) "s:k " ARR "u32:99 u64:1 u8:0", PEFT_ERROR_INVALID_FILE,
    "unknown value type 99" },
  { "array-count-huge", HEAD (0, 1) "s:k " ARR U64 "u64:-1 fill:16", PEFT_ERROR_INVALID_FILE,
    "key 'k': 18446744073709551615 items do not fit into the 16 bytes" },
  { "array-bytes-overflow", HEAD (0, 1) "s:k " ARR U64 "u64:0x2000000000000001 fill:16",
    PEFT_ERROR_INVALID_FILE, "do not fit" },
  { "array-strings-huge", HEAD (0, 1) "s:k " ARR STR "u64:0x1000000000000000 fill:16",
    PEFT_ERROR_INVALID_FILE, "do not fit" },
  { "array-string-cut", HEAD (0, 1) "s:k " ARR STR "u64:2 s:a u64:2 raw:b",
    PEFT_ERROR_INVALID_FILE, "expected 2 bytes, but the file ends after 1" },
  { "array-arrays-huge", HEAD (0, 1) "s:k " ARR ARR "u64:0x1000000000000000 fill:16",
    PEFT_ERROR_INVALID_FILE, "do not fit" },
  { "array-second-bad", HEAD (0, 1) "s:k " ARR ARR "u64:2 " STR "u64:1 s:a u32:77 u64:0",
    PEFT_ERROR_INVALID_FILE, "unknown value type 77" },
  { "split", HEAD (0, 1) "s:split.count " U16 "u16:3", PEFT_ERROR_UNSUPPORTED,
    "this is one of 3 parts of a split GGUF file" },
  { "alignment-type", HEAD (0, 1) "s:general.alignment " F32 "f32:32", PEFT_ERROR_INVALID_FILE,
    "key 'general.alignment': expected an integer" },
  { "alignment-0", HEAD (0, 1) "s:general.alignment " U32 "u32:0", PEFT_ERROR_INVALID_FILE,
    "expected a power of two from 8 to 1048576, found 0" },
  { "alignment-24", HEAD (0, 1) "s:general.alignment " U32 "u32:24", PEFT_ERROR_INVALID_FILE,
    "expected a power of two" },
  { "alignment-huge", HEAD (0, 1) "s:general.alignment " U32 "u32:2097152",
    PEFT_ERROR_INVALID_FILE, "expected a power of two from 8 to 1048576, found 2097152" },
  { "name-too-long", HEAD (1, 0) "u64:128 fill:200", PEFT_ERROR_LIMIT,
    "tensor 0: a string of 128 bytes, more than the limit of 127" },
  { "name-not-utf8", HEAD (1, 0) "s:\xc0\x80 " DIMS1 (1) T_F32 AT (0) "pad fill:4",
    PEFT_ERROR_INVALID_FILE, "tensor 0: expected a name in UTF-8" },
  { "dims-5", HEAD (1, 0) "s:t u32:5 u64:1 u64:1 u64:1 u64:1 u64:1 " T_F32 AT (0) "pad fill:4",
    PEFT_ERROR_LIMIT, "tensor 't': expected at most 4 dimensions, found 5" },
  { "dims-huge", HEAD (1, 0) "s:t u32:-1 fill:40", PEFT_ERROR_LIMIT, "found 4294967295" },
  { "shape-product-overflow", HEAD (1, 0) "s:t " DIMS2 (4294967296, 4294967296) T_F32 AT (0)
    "pad fill:4", PEFT_ERROR_INVALID_FILE,
    "the size of shape [4294967296, 4294967296] overflows" },
  { "shape-bytes-overflow", HEAD (1, 0) "s:t " DIMS1 (0x4000000000000000) T_F32 AT (0)
    "pad fill:4", PEFT_ERROR_INVALID_FILE, "overflows" },
  { "rows-no-blocks", HEAD (1, 0) "s:t " DIMS2 (16, 2) T_Q4_0 AT (0) "pad fill:64",
    PEFT_ERROR_INVALID_FILE, "rows of Q4_0 must be a multiple of 32 long, found shape [2, 16]" },
  { "scalar-of-blocks", HEAD (1, 0) "s:t u32:0 " T_Q4_0 AT (0) "pad fill:64",
    PEFT_ERROR_INVALID_FILE, "rows of Q4_0" },
  { "offset-unaligned", HEAD (1, 0) "s:t " DIMS1 (1) T_F32 AT (16) "pad fill:64",
    PEFT_ERROR_INVALID_FILE, "offset 16 is not a multiple of the alignment 32" },
  { "offset-beyond", HEAD (1, 0) "s:t " DIMS1 (1) T_F32 AT (64) "pad fill:64",
    PEFT_ERROR_INVALID_FILE, "4 bytes at 64, but the file has only 64 bytes of data" },
  { "offset-overflow", HEAD (1, 0) "s:t " DIMS1 (16) T_F32 AT (0xffffffffffffffe0) "pad fill:64",
    PEFT_ERROR_INVALID_FILE, "truncated" },
  { "offset-overflow-unreadable", HEAD (1, 0) "s:t " DIMS1 (256) T_Q5_K AT (0xffffffffffffffe0)
    "pad fill:64", PEFT_ERROR_INVALID_FILE, "no room" },
  { "data-cut", HEAD (1, 0) "s:t " DIMS1 (16) T_F32 AT (0) "pad fill:63", PEFT_ERROR_INVALID_FILE,
    "64 bytes at 0, but the file has only 63 bytes of data" },
  { "no-data", HEAD (1, 0) "s:t " DIMS1 (16) T_F32 AT (0), PEFT_ERROR_INVALID_FILE,
    "only 0 bytes of data" },
  { "overlap", HEAD (2, 0) "s:a " DIMS1 (16) T_F32 AT (0) "s:b " DIMS1 (8) T_F32 AT (32)
    "pad fill:64", PEFT_ERROR_INVALID_FILE,
    "tensor 'b': data begins at 32 and overlaps tensor 'a', which ends at 64" },
  { "same-place", HEAD (2, 0) "s:a " DIMS1 (8) T_F32 AT (0) "s:b " DIMS1 (8) T_F32 AT (0)
    "pad fill:64", PEFT_ERROR_INVALID_FILE, "overlaps" },
  { "same-place-unreadable", HEAD (2, 0) "s:a " DIMS1 (256) T_Q5_K AT (0) "s:b " DIMS1 (256) T_Q5_K
    AT (0) "pad fill:352", PEFT_ERROR_INVALID_FILE, "there is no room for its data at 0" },
  { "name-twice", HEAD (2, 0) "s:a " DIMS1 (8) T_F32 AT (0) "s:a " DIMS1 (8) T_F32 AT (32)
    "pad fill:64", PEFT_ERROR_INVALID_FILE, "tensor 'a' occurs twice" },
};

static void
test_bad (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = build (bad[i].words);

  g_assert_null (peft_gguf_open_bytes (bytes, "bad", &error));
  assert_error (error, PEFT_ERROR, (int) bad[i].code, bad[i].message);
  g_assert_true (g_str_has_prefix (error->message, "bad: "));
}

/* Valid files at the edge of what is refused. */
static void
test_edges (void)
{
  static const char *const good[] = {
    HEAD (0, 0),
    "raw:GGUF u32:2 u64:0 u64:1 " KEY_BOOL,
    HEAD (0, 1) "s:general.alignment " U32 "u32:8",
    HEAD (0, 1) "s:split.count " U16 "u16:1",
    HEAD (1, 1) "s:general.alignment " U64 "u64:8 s:t " DIMS1 (1) T_F16 AT (8) "pad fill:10",
    HEAD (1, 0) "s:scalar u32:0 " T_F32 AT (0) "pad fill:4",
    HEAD (1, 0) "s:t u32:4 u64:1 u64:2 u64:1 u64:2 " T_F32 AT (0) "pad fill:16",
    HEAD (1, 0) "s:t " DIMS1 (1) "u32:12345 " AT (0) "pad fill:1",
    HEAD (1, 0) "s:t " DIMS1 (0) T_F32 AT (0),
  };

  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) bytes = build (good[i]);
      g_autoptr (PeftGguf) file = peft_gguf_open_bytes (bytes, "edge", &error);

      g_assert_no_error (error);
      g_assert_nonnull (file);
    }
}

/* Arrays nested to the given depth: 1 is an array of numbers. */
static GBytes *
build_nested (guint depth)
{
  g_autoptr (GString) words = g_string_new (HEAD (0, 1) "s:k " ARR);

  for (guint i = 1; i < depth; i++)
    g_string_append (words, ARR "u64:1 ");
  g_string_append (words, U8 "u64:1 u8:1");
  return build (words->str);
}

static void
test_limits (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) deep = build_nested (PEFT_GGUF_MAX_DEPTH);
  g_autoptr (GBytes) deeper = build_nested (PEFT_GGUF_MAX_DEPTH + 1);
  g_autoptr (PeftGguf) file = peft_gguf_open_bytes (deep, "deep", &error);
  g_autoptr (GByteArray) many = g_byte_array_new ();
  g_autoptr (GBytes) many_bytes = NULL;
  g_autofree char *name = g_strnfill (PEFT_GGUF_MAX_NAME_BYTES, 'n');
  g_autofree char *words
      = g_strdup_printf (HEAD (1, 0) "s:%s " DIMS1 (1) T_F32 AT (0) "pad fill:4", name);
  g_autoptr (GBytes) long_name = build (words);

  g_assert_no_error (error);
  g_assert_null (peft_gguf_open_bytes (deeper, "deeper", &error));
  assert_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                "key 'k': arrays are nested more than 8 deep");
  g_clear_error (&error);

  g_clear_pointer (&file, peft_gguf_unref);
  file = peft_gguf_open_bytes (long_name, "long", &error);
  g_assert_no_error (error);

  put_text (many, "GGUF");
  put_u32 (many, 3);
  put_u64 (many, 0);
  put_u64 (many, PEFT_GGUF_MAX_COUNT + 1);
  g_byte_array_set_size (many, 24 + 25 * (PEFT_GGUF_MAX_COUNT + 1));
  many_bytes = g_bytes_new_static (many->data, many->len);
  g_assert_null (peft_gguf_open_bytes (many_bytes, "many", &error));
  assert_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                "1048577 keys, more than the limit of 1048576");
  g_clear_error (&error);
  memmove (many->data + 8, (guint64[]) { GUINT64_TO_LE (PEFT_GGUF_MAX_COUNT + 1), 0 }, 16);
  g_assert_null (peft_gguf_open_bytes (many_bytes, "many", &error));
  assert_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                "1048577 tensors, more than the limit of 1048576");
}

static void
test_string_bytes (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes
      = build (HEAD (0, 2) "s:nul " STR "u64:3 raw:a u8:0 raw:b s:latin " STR "s:\xe9t\xe9");
  g_autoptr (PeftGguf) file = peft_gguf_open_bytes (bytes, "bytes", &error);

  g_assert_no_error (error);
  g_assert_null (peft_gguf_dup_string (file, "nul", &error));
  assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                "key 'nul': expected UTF-8 without NUL");
  g_clear_error (&error);
  g_assert_null (peft_gguf_dup_string (file, "latin", &error));
  assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE, "key 'latin'");
  g_assert_cmpuint (peft_gguf_lookup (file, "nul")->string.length, ==, 3);
}

static void
test_truncated (void)
{
  g_autoptr (GBytes) whole = build (all_words);
  gsize size;
  const guint8 *data = g_bytes_get_data (whole, &size);
  /* The last tensor has a type whose size nobody knows: all but its first byte may be missing. */
  gsize enough = size - 175;

  for (gsize n = 0; n < enough; n++)
    {
      g_autoptr (GBytes) bytes = exact_bytes (data, n);
      g_autoptr (GError) error = NULL;

      g_assert_null (peft_gguf_open_bytes (bytes, "cut", &error));
      g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE);
    }
}

static void
test_mutated (void)
{
  static const guint8 values[] = { 0, 1, 2, 8, 9, 0x1f, 0x20, 0x7f, 0x80, 0xff };
  g_autoptr (GBytes) whole = build (all_words);
  gsize size;
  const guint8 *data = g_bytes_get_data (whole, &size);
  volatile guint sum = 0;

  for (gsize at = 0; at < size - 304; at++)
    for (guint v = 0; v < G_N_ELEMENTS (values); v++)
      {
        g_autofree guint8 *copy = g_memdup2 (data, size);
        g_autoptr (GBytes) bytes = NULL;
        g_autoptr (GError) error = NULL;
        g_autoptr (PeftGguf) file = NULL;

        copy[at] = values[v];
        bytes = exact_bytes (copy, size);
        file = peft_gguf_open_bytes (bytes, "mutated", &error);
        g_assert_true ((file == NULL) == (error != NULL));
        if (file == NULL)
          continue;
        for (gsize i = 0; i < peft_tensor_source_get_n (peft_gguf_get_source (file)); i++)
          {
            const PeftTensorEntry *entry = peft_tensor_source_get (peft_gguf_get_source (file), i);

            for (guint64 j = 0; j < entry->n_bytes; j++)
              sum += entry->data[j];
          }
      }
}

/* The converters' formula on rows that carry their number. */
static void
test_permute (void)
{
  static const struct
  {
    guint n_heads, rows;
    gsize row_bytes;
  } cases[] = { { 1, 2, 4 }, { 3, 24, 4 }, { 4, 8, 18 }, { 9, 576, 34 } };

  for (guint c = 0; c < G_N_ELEMENTS (cases); c++)
    {
      guint rows = cases[c].rows, per_head = rows / cases[c].n_heads, half = per_head / 2;
      gsize row_bytes = cases[c].row_bytes;
      g_autofree guint8 *original = g_malloc (rows * row_bytes);
      g_autofree guint8 *stored = g_malloc (rows * row_bytes);
      g_autofree guint8 *back = g_malloc0 (rows * row_bytes);

      for (gsize i = 0; i < rows * row_bytes; i++)
        original[i] = (guint8) (i / row_bytes * 7 + i % row_bytes * 31);
      /* reshape (heads, 2, half, row).swapaxes (1, 2) */
      for (guint head = 0; head < cases[c].n_heads; head++)
        for (guint j = 0; j < half; j++)
          for (guint side = 0; side < 2; side++)
            memcpy (stored + ((head * half + j) * 2 + side) * row_bytes,
                    original + ((head * 2 + side) * half + j) * row_bytes, row_bytes);
      g_assert_true (
          peft_gguf_unpermute_rows (stored, back, rows, row_bytes, cases[c].n_heads));
      g_assert_cmpmem (back, rows * row_bytes, original, rows * row_bytes);
    }
  g_assert_false (peft_gguf_unpermute_rows (NULL, NULL, 6, 4, 2));
  g_assert_false (peft_gguf_unpermute_rows (NULL, NULL, 6, 4, 0));
  g_assert_false (peft_gguf_unpermute_rows (NULL, NULL, 8, 4, G_MAXUINT));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Gguf/read", test_read);
  g_test_add_func ("/Peft/Gguf/values", test_values);
  g_test_add_func ("/Peft/Gguf/arrays", test_arrays);
  g_test_add_func ("/Peft/Gguf/wrong-types", test_wrong_types);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autofree char *path = g_strdup_printf ("/Peft/Gguf/bad/%s", bad[i].name);
      g_test_add_data_func (path, GUINT_TO_POINTER (i), test_bad);
    }
  g_test_add_func ("/Peft/Gguf/edges", test_edges);
  g_test_add_func ("/Peft/Gguf/limits", test_limits);
  g_test_add_func ("/Peft/Gguf/string-bytes", test_string_bytes);
  g_test_add_func ("/Peft/Gguf/truncated", test_truncated);
  g_test_add_func ("/Peft/Gguf/mutated", test_mutated);
  g_test_add_func ("/Peft/Gguf/permute", test_permute);
  return g_test_run ();
}
