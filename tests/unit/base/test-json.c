/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/peft-error.h"
#include "base/peft-json.h"

#include <glib/gstdio.h>
#include <locale.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

static PeftJson *
parse (const char *text)
{
  g_autoptr (GError) error = NULL;
  PeftJson *json = peft_json_parse (text, -1, PEFT_JSON_PARSE_DEFAULT, &error);

  g_assert_no_error (error);
  g_assert_nonnull (json);
  return json;
}

/* Given through an exact-size copy, so that a sanitizer sees a read past the end. */
static PeftJson *
parse_copy (const char *text, gsize length, PeftJsonParseFlags flags, GError **error)
{
  g_autofree char *copy = g_memdup2 (text, length);
  static const char nothing[1];

  return peft_json_parse (copy != NULL ? copy : nothing, (gssize) length, flags, error);
}

typedef struct
{
  const char *text;
  gsize length;
  const char *message; /* NULL: valid */
} Case;

#define OK(text) { text, sizeof (text) - 1, NULL }
#define BAD(text, message) { text, sizeof (text) - 1, message }

static const Case cases[] = {
  OK ("0"),
  OK (" \t\r\n[ ] \n"),
  OK ("-0"),
  OK ("\"\""),
  OK ("null"),
  OK ("[1,2.5e+3,-1E-2,0.0]"),
  OK ("{\"\":{}}"),
  OK ("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"]"),
  OK ("[\"\\uD83D\\uDE00\"]"),
  OK ("[\"\\u0000\"]"),
  OK ("[\"\x7f\"]"),
  OK ("[\"\xf4\x8f\xbf\xbf\"]"),
  OK ("[\"\xee\x80\x80\"]"),
  OK ("\xef\xbb\xbf[]"),
  OK ("[123456789012345678901234567890]"),
  OK ("[1e-400]"),
  BAD ("", "line 1, column 1: expected a value, found the end of the text"),
  BAD (" \n ", "line 2, column 2: expected a value"),
  BAD ("[", "line 1, column 2: expected a value, found the end"),
  BAD ("[1", "expected ',' or ']', found the end"),
  BAD ("[1,", "expected a value, found the end"),
  BAD ("[1,]", "line 1, column 4: expected a value, found ']'"),
  BAD ("[,1]", "found ','"),
  BAD ("[1 2]", "line 1, column 4: expected ',' or ']', found '2'"),
  BAD ("[1}", "found '}'"),
  BAD ("{", "expected a member name in quotes, found the end"),
  BAD ("{]", "expected a member name in quotes, found ']'"),
  BAD ("{\"a\"", "expected ':', found the end"),
  BAD ("{\"a\" 1}", "expected ':', found '1'"),
  BAD ("{\"a\":}", "expected a value, found '}'"),
  BAD ("{\"a\":1,}", "expected a member name in quotes, found '}'"),
  BAD ("{a:1}", "expected a member name in quotes, found 'a'"),
  BAD ("{'a':1}", "expected a member name in quotes"),
  BAD ("{1:1}", "expected a member name in quotes"),
  BAD ("{\"a\":1 \"b\":2}", "expected ',' or '}'"),
  BAD ("{\"a\":1]", "expected ',' or '}', found ']'"),
  BAD ("[1] x", "line 1, column 5: expected the end of the text, found 'x'"),
  BAD ("[]]", "expected the end of the text, found ']'"),
  BAD ("{}\n{}", "line 2, column 1: expected the end of the text"),
  BAD ("1 // one", "expected the end of the text, found '/'"),
  BAD ("[1]\0", "expected the end of the text, found byte 0x00"),
  BAD ("/* */ 1", "expected a value, found '/'"),
  BAD ("01", "a number has leading zeros"),
  BAD ("-01", "a number has leading zeros"),
  BAD ("-", "expected a digit"),
  BAD ("+1", "expected a value, found '+'"),
  BAD (".5", "expected a value, found '.'"),
  BAD ("1.", "expected a digit"),
  BAD ("1.e3", "expected a digit, found 'e'"),
  BAD ("1e", "expected a digit"),
  BAD ("1e+", "expected a digit"),
  BAD ("0x10", "expected the end of the text, found 'x'"),
  BAD ("1,5", "expected the end of the text"),
  BAD ("1e400", "the number 1e400 is out of range"),
  BAD ("-1.5e309", "out of range"),
  BAD ("tru", "expected a value, found 't'"),
  BAD ("True", "expected a value, found 'T'"),
  BAD ("nul", "expected a value"),
  BAD ("truex", "expected the end of the text, found 'x'"),
  BAD ("NaN", "expected a value, found 'N'"),
  BAD ("Infinity", "expected a value"),
  BAD ("-Infinity", "expected a digit"),
  BAD ("\"", "expected the end of the string, found the end"),
  BAD ("\"abc", "expected the end of the string"),
  BAD ("\"\\", "expected the end of the string"),
  BAD ("\"\\\"", "expected the end of the string"),
  BAD ("\"\\x41\"", "unknown escape"),
  BAD ("\"\\\0\"", "unknown escape"),
  BAD ("\"\\u12\"", "four hexadecimal digits"),
  BAD ("\"\\u12", "four hexadecimal digits"),
  BAD ("\"\\u12g4\"", "four hexadecimal digits"),
  BAD ("\"\\uD800\"", "surrogate \\ud800 without its pair"),
  BAD ("\"\\uD800x\"", "without its pair"),
  BAD ("\"\\uD800\\n\"", "without its pair"),
  BAD ("\"\\uD800\\uD800\"", "without its pair"),
  BAD ("\"\\uD800\\u00", "without its pair"),
  BAD ("\"\\uDC00\\uD800\"", "surrogate \\udc00 without its pair"),
  BAD ("\"a\nb\"", "line 1, column 3: control character 0x0a"),
  BAD ("\"\0\"", "control character 0x00"),
  BAD ("\"\x1f\"", "control character 0x1f"),
  BAD ("\"\x80\"", "byte 0x80 is not valid UTF-8"),
  BAD ("\"\xc0\x80\"", "not valid UTF-8"),
  BAD ("\"\xc3\"", "not valid UTF-8"),
  BAD ("\"\xc3", "not valid UTF-8"),
  BAD ("\"\xe0\x9f\xbf\"", "not valid UTF-8"),
  BAD ("\"\xed\xa0\x80\"", "not valid UTF-8"),
  BAD ("\"\xf0\x8f\xbf\xbf\"", "not valid UTF-8"),
  BAD ("\"\xf4\x90\x80\x80\"", "not valid UTF-8"),
  BAD ("\"\xf5\x80\x80\x80\"", "not valid UTF-8"),
  BAD ("\"\xe4\xb8", "not valid UTF-8"),
  BAD ("\xe9", "expected a value, found byte 0xe9"),
  BAD ("\xef\xbb\xbf", "expected a value, found the end"),
  BAD ("\xef\xbb\xbf\xef\xbb\xbf[]", "found byte 0xef"),
  BAD ("[\"\xc3\xa9\xc3\xa9\",x]", "line 1, column 7: expected a value, found 'x'"),
};

static void
test_table (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (PeftJson) json
          = parse_copy (cases[i].text, cases[i].length, PEFT_JSON_PARSE_DEFAULT, &error);

      g_test_message ("case %" G_GSIZE_FORMAT, i);
      if (cases[i].message == NULL)
        {
          g_assert_no_error (error);
          g_assert_nonnull (json);
          continue;
        }
      g_assert_null (json);
      g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE);
      if (strstr (error->message, cases[i].message) == NULL)
        g_error ("'%s' does not say '%s'", error->message, cases[i].message);
    }
}

/* No prefix of a document crashes; an object's are all invalid. */
static void
test_prefixes (void)
{
  static const char text[]
      = "{\"a\":[1,-2.5e3,\"\\ud83d\\ude00 \xe4\xb8\xad\\n\",true,false,null,{}],\"b\":{\"c\":[]}}";

  for (gsize n = 0; n < sizeof text - 1; n++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (parse_copy (text, n, PEFT_JSON_PARSE_DEFAULT, &error));
      g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE);
    }
}

static char *
nested (guint depth, const char *open, const char *middle, const char *close)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < depth; i++)
    g_string_append (text, open);
  g_string_append (text, middle);
  for (guint i = 0; i < depth; i++)
    g_string_append (text, close);
  return g_string_free (text, FALSE);
}

static void
test_depth (void)
{
  g_autofree char *deepest = nested (PEFT_JSON_MAX_DEPTH, "[", "", "]");
  g_autofree char *deepest_object = nested (PEFT_JSON_MAX_DEPTH, "{\"a\":", "1", "}");
  g_autofree char *too_deep = nested (PEFT_JSON_MAX_DEPTH + 1, "[", "", "]");
  g_autofree char *too_deep_object = nested (PEFT_JSON_MAX_DEPTH + 1, "{\"a\":", "1", "}");
  g_autofree char *hostile = nested (100000, "[", "", "]");
  g_autofree char *open = nested (100000, "[", "", "");
  const char *bad[] = { too_deep, too_deep_object, hostile, open };
  /* Siblings do not count as depth. */
  g_autofree char *wide = nested (1000, "[[]],", "", "");
  g_autofree char *wide_text = g_strdup_printf ("[%s0]", wide);
  g_autoptr (PeftJson) a = parse (deepest);
  g_autoptr (PeftJson) b = parse (deepest_object);
  g_autoptr (PeftJson) c = parse (wide_text);
  g_autofree char *written = peft_json_to_string (a, PEFT_JSON_WRITE_COMPACT);

  g_assert_cmpstr (written, ==, deepest);
  g_assert_nonnull (peft_json_get_member (b, "a"));
  g_assert_cmpuint (peft_json_get_length (c), ==, 1001);
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (peft_json_parse (bad[i], -1, PEFT_JSON_PARSE_DEFAULT, &error));
      g_assert_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT);
      g_assert_nonnull (strstr (error->message, "nested deeper than 512 levels"));
    }
}

static void
test_size_limit (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = NULL;
  int fd = g_file_open_tmp ("peft-json-XXXXXX", &path, NULL);

  g_assert_cmpint (ftruncate (fd, (off_t) PEFT_JSON_MAX_FILE_BYTES + 1), ==, 0);
  close (fd);
  g_assert_null (peft_json_load (path, PEFT_JSON_PARSE_DEFAULT, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT);
  g_assert_true (g_str_has_prefix (error->message, path));
  g_unlink (path);

  g_clear_error (&error);
  g_assert_null (peft_json_parse ("0", (gssize) PEFT_JSON_MAX_FILE_BYTES + 1,
                                  PEFT_JSON_PARSE_DEFAULT, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT);
}

static void
test_numbers (void)
{
  static const struct
  {
    const char *text;
    PeftJsonKind kind;
    gboolean is_int;
    gint64 integer;
    double number;
  } rows[] = {
    { "0", PEFT_JSON_INT, TRUE, 0, 0.0 },
    { "-0", PEFT_JSON_INT, TRUE, 0, 0.0 },
    { "-0.0", PEFT_JSON_DOUBLE, TRUE, 0, -0.0 },
    { "9223372036854775807", PEFT_JSON_INT, TRUE, G_MAXINT64, 0x1p63 },
    { "-9223372036854775808", PEFT_JSON_INT, TRUE, G_MININT64, -0x1p63 },
    { "9223372036854775808", PEFT_JSON_UINT, FALSE, 0, 0x1p63 },
    { "18446744073709551615", PEFT_JSON_UINT, FALSE, 0, 0x1p64 },
    { "18446744073709551616", PEFT_JSON_BIG, FALSE, 0, 0x1p64 },
    { "-9223372036854775809", PEFT_JSON_BIG, FALSE, 0, -0x1p63 },
    { "1000000000000000019884624838656", PEFT_JSON_BIG, FALSE, 0, 1e30 },
    { "8.0", PEFT_JSON_DOUBLE, TRUE, 8, 8.0 },
    { "1e3", PEFT_JSON_DOUBLE, TRUE, 1000, 1000.0 },
    { "1e19", PEFT_JSON_DOUBLE, FALSE, 0, 1e19 },
    { "-9223372036854775808.0", PEFT_JSON_DOUBLE, TRUE, G_MININT64, -0x1p63 },
    { "0.5", PEFT_JSON_DOUBLE, FALSE, 0, 0.5 },
    { "5e-324", PEFT_JSON_DOUBLE, FALSE, 0, 5e-324 },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (PeftJson) json = parse (rows[i].text);
      gint64 integer = 42;
      double number;

      g_assert_cmpint (peft_json_get_kind (json), ==, rows[i].kind);
      g_assert_true (peft_json_is_number (json));
      g_assert_cmpint (peft_json_get_int (json, &integer), ==, rows[i].is_int);
      g_assert_cmpint (integer, ==, rows[i].is_int ? rows[i].integer : 42);
      g_assert_true (peft_json_get_double (json, &number));
      g_assert_cmpfloat (number, ==, rows[i].number);
      g_assert_cmpint (signbit (number) != 0, ==, signbit (rows[i].number) != 0);
    }
}

static void
test_huge_integer (void)
{
  g_autofree char *digits = g_strnfill (1000000, '7');
  g_autoptr (PeftJson) json = parse (digits);
  g_autofree char *written = peft_json_to_string (json, PEFT_JSON_WRITE_COMPACT);
  double number = 1.0;

  g_assert_cmpint (peft_json_get_kind (json), ==, PEFT_JSON_BIG);
  g_assert_cmpstr (peft_json_get_kind_name (json), ==, "integer");
  g_assert_cmpstr (written, ==, digits);
  g_assert_false (peft_json_get_double (json, &number));
  g_assert_cmpfloat (number, ==, 1.0);
}

static void
test_nan (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftJson) json = peft_json_parse ("[NaN,Infinity,-Infinity,-1]", -1,
                                               PEFT_JSON_PARSE_NAN, &error);
  g_autofree char *written = NULL;

  g_assert_no_error (error);
  written = peft_json_to_string (json, PEFT_JSON_WRITE_COMPACT);
  g_assert_cmpstr (written, ==, "[NaN,Infinity,-Infinity,-1]");
  g_assert_null (peft_json_parse ("[-NaN]", -1, PEFT_JSON_PARSE_NAN, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE);
}

static void
test_duplicate_keys (void)
{
  static const char text[] = "{\"a\":1,\"b\":2,\n\"\\u0061\":3}";
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftJson) json = parse (text);
  g_autofree char *written = peft_json_to_string (json, PEFT_JSON_WRITE_COMPACT);

  g_assert_cmpstr (written, ==, "{\"a\":3,\"b\":2}");
  g_assert_null (peft_json_parse (text, -1, PEFT_JSON_PARSE_UNIQUE_KEYS, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE);
  g_assert_cmpstr (error->message, ==, "line 2, column 1: the key \"a\" is repeated");
  /* The same name in another object is no repetition. */
  g_clear_pointer (&json, peft_json_unref);
  g_clear_error (&error);
  json = peft_json_parse ("{\"a\":{\"a\":[{\"a\":1}]}}", -1, PEFT_JSON_PARSE_UNIQUE_KEYS, &error);
  g_assert_no_error (error);
}

static void
test_long_key_message (void)
{
  g_autofree char *key = nested (300, "\xc3\xa9", "x\\n", "");
  g_autofree char *text = g_strdup_printf ("{\"%s\":1,\"%s\":2}", key, key);
  g_autoptr (GError) error = NULL;

  g_assert_null (peft_json_parse (text, -1, PEFT_JSON_PARSE_UNIQUE_KEYS, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE);
  g_assert_true (g_utf8_validate (error->message, -1, NULL));
  g_assert_cmpuint (strlen (error->message), <, 300);
}

/* Many members: hashed look-up, order kept, names with NUL apart from their prefixes. */
static void
test_large_object (void)
{
  const guint n = 20000;
  g_autoptr (PeftJson) object = peft_json_new_object ();
  g_autofree char *text = NULL;
  g_autoptr (PeftJson) back = NULL;

  for (guint pass = 0; pass < 2; pass++)
    for (guint i = 0; i < n; i++)
      {
        g_autofree char *name = g_strdup_printf ("name %u", i);
        peft_json_set (object, name, peft_json_new_int (pass * 100000 + i));
      }
  g_assert_cmpuint (peft_json_get_length (object), ==, n);
  text = peft_json_to_string (object, PEFT_JSON_WRITE_COMPACT);
  back = parse (text);
  g_assert_true (peft_json_equal (object, back));
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *name = g_strdup_printf ("name %u", i);
      gint64 value;

      g_assert_cmpstr (peft_json_get_name (back, i), ==, name);
      g_assert_true (peft_json_get_int (peft_json_get_member (back, name), &value));
      g_assert_cmpint (value, ==, 100000 + i);
      g_assert_true (peft_json_get_value (back, i) == peft_json_get_member (back, name));
    }
  g_assert_null (peft_json_get_member (back, "name 20000"));
  g_assert_null (peft_json_get_member (back, "name"));
}

static void
test_nul (void)
{
  g_autoptr (PeftJson) json = parse ("{\"a\\u0000b\":\"x\\u0000y\",\"a\":2}");
  PeftJson *value = peft_json_get_value (json, 0);
  gint64 integer;

  g_assert_cmpuint (peft_json_get_length (json), ==, 2);
  g_assert_cmpuint (peft_json_get_name_length (json, 0), ==, 3);
  g_assert_cmpmem (peft_json_get_name (json, 0), 4, "a\0b", 4);
  g_assert_cmpmem (peft_json_get_string (value), peft_json_get_string_length (value) + 1, "x\0y", 4);
  g_assert_true (peft_json_get_int (peft_json_get_member (json, "a"), &integer));
  g_assert_cmpint (integer, ==, 2);
}

static void
test_read (void)
{
  g_autoptr (PeftJson) json
      = parse ("{\"i\":8,\"w\":8.0,\"f\":2.5,\"b\":true,\"s\":\"x\",\"n\":null,\"a\":[],"
               "\"u\":9223372036854775808,\"big\":1000000000000000019884624838656}");
  g_autoptr (GError) error = NULL;
  gint64 i = -1;
  double d = -1.0;
  gboolean b = FALSE;
  const char *s = "old";

  g_assert_true (peft_json_read_int (json, "absent", &i, &error));
  g_assert_true (peft_json_read_int (json, "n", &i, &error));
  g_assert_cmpint (i, ==, -1);
  g_assert_true (peft_json_read_int (json, "i", &i, &error));
  g_assert_cmpint (i, ==, 8);
  i = 0;
  g_assert_true (peft_json_read_int (json, "w", &i, &error));
  g_assert_cmpint (i, ==, 8);
  g_assert_true (peft_json_read_double (json, "i", &d, &error));
  g_assert_cmpfloat (d, ==, 8.0);
  g_assert_true (peft_json_read_double (json, "big", &d, &error));
  g_assert_cmpfloat (d, ==, 1e30);
  g_assert_true (peft_json_read_boolean (json, "b", &b, &error));
  g_assert_true (b);
  g_assert_true (peft_json_read_string (json, "n", &s, &error));
  g_assert_cmpstr (s, ==, "old");
  g_assert_true (peft_json_read_string (json, "s", &s, &error));
  g_assert_cmpstr (s, ==, "x");
  g_assert_no_error (error);

  g_assert_false (peft_json_read_int (json, "s", &i, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE);
  g_assert_cmpstr (error->message, ==, "s: expected an integer, found a string");
  g_clear_error (&error);
  g_assert_false (peft_json_read_int (json, "f", &i, &error));
  g_assert_cmpstr (error->message, ==, "f: expected an integer, found a number");
  g_clear_error (&error);
  g_assert_false (peft_json_read_int (json, "u", &i, &error));
  g_assert_cmpstr (error->message, ==, "u: the number 9223372036854775808 is out of range");
  g_clear_error (&error);
  g_assert_false (peft_json_read_double (json, "a", &d, &error));
  g_assert_cmpstr (error->message, ==, "a: expected a number, found an array");
  g_clear_error (&error);
  g_assert_false (peft_json_read_boolean (json, "i", &b, &error));
  g_assert_cmpstr (error->message, ==, "i: expected a boolean, found an integer");
  g_clear_error (&error);
  g_assert_false (peft_json_read_string (json, "b", &s, &error));
  g_assert_cmpstr (error->message, ==, "b: expected a string, found a boolean");
}

static void
test_load (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = g_dir_make_tmp ("peft-json-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (dir, "a.json", NULL);
  g_autoptr (PeftJson) json = NULL;

  g_assert_null (peft_json_load (path, PEFT_JSON_PARSE_DEFAULT, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND);
  g_assert_true (g_str_has_prefix (error->message, path));
  g_clear_error (&error);

  g_assert_null (peft_json_load (dir, PEFT_JSON_PARSE_DEFAULT, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_IO);
  g_assert_true (g_str_has_prefix (error->message, dir));
  g_clear_error (&error);

  g_assert_true (g_file_set_contents (path, "", 0, NULL));
  g_assert_null (peft_json_load (path, PEFT_JSON_PARSE_DEFAULT, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE);
  g_clear_error (&error);

  g_assert_true (g_file_set_contents (path, "\xef\xbb\xbf{\"a\": [1, 2]}\n", -1, NULL));
  json = peft_json_load (path, PEFT_JSON_PARSE_DEFAULT, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (peft_json_get_length (peft_json_get_member (json, "a")), ==, 2);
  g_unlink (path);
  g_rmdir (dir);
}

static void
test_equal (void)
{
  static const char *const texts[]
      = { "null", "true", "false", "1", "2", "1.0", "18446744073709551615", "1e300",
          "99999999999999999999", "99999999999999999998", "\"\"", "\"1\"", "[]", "[1]", "[1,2]", "{}",
          "{\"a\":1}", "{\"a\":2}", "{\"b\":1}", "{\"a\":1,\"b\":1}" };
  g_autoptr (PeftJson) x = parse ("{\"a\":1,\"b\":[2,{\"c\":3}]}");
  g_autoptr (PeftJson) y = parse ("{\"b\":[2,{\"c\":3}],\"a\":1}");

  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    for (gsize j = 0; j < G_N_ELEMENTS (texts); j++)
      {
        g_autoptr (PeftJson) a = parse (texts[i]);
        g_autoptr (PeftJson) b = parse (texts[j]);
        g_assert_cmpint (peft_json_equal (a, b), ==, i == j);
      }
  g_assert_true (peft_json_equal (x, y));
}

static const char document[] =
    "{\"b\": [1, -2, 1.5, 1e-05, 1e+16, 1000000000000000.0, true, false, null, [], {}, [[]]"
    "], \"a\": {\"\\u00e9\\u4e2d\\ud83d\\ude00\": \"q\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f"
    "\\u007f\", \"\": 0, \"Z\": 18446744073709551615, \"aa\": 10000000000000000198846248386"
    "56, \"a\\u0000b\": \"\\u0000\"}, \"\\uffff\": 1, \"\\ud800\\udc00\": 2}";

/* json.dumps of Python 3.11 with the arguments that the flags stand for. */
static const struct
{
  guint flags;
  const char *text;
} dumps[] = {
  { PEFT_JSON_WRITE_COMPACT,
    "{\"b\":[1,-2,1.5,1e-05,1e+16,1000000000000000.0,true,false,null,[],{},[[]]],\"a\":{\""
    "\303\251\344\270\255\360\237\230\200\":\"q\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\177\""
    ",\"\":0,\"Z\":18446744073709551615,\"aa\":1000000000000000019884624838656,\"a\\u0000b"
    "\":\"\\u0000\"},\"\357\277\277\":1,\"\360\220\200\200\":2}" },
  { PEFT_JSON_WRITE_INDENT | PEFT_JSON_WRITE_SORT_KEYS,
    "{\012  \"a\": {\012    \"\": 0,\012    \"Z\": 18446744073709551615,\012    \"a\\u0000b"
    "\": \"\\u0000\",\012    \"aa\": 1000000000000000019884624838656,\012    \"\303\251\344"
    "\270\255\360\237\230\200\": \"q\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\177\"\012  },"
    "\012  \"b\": [\012    1,\012    -2,\012    1.5,\012    1e-05,\012    1e+16,\012    100"
    "0000000000000.0,\012    true,\012    false,\012    null,\012    [],\012    {},\012    "
    "[\012      []\012    ]\012  ],\012  \"\357\277\277\": 1,\012  \"\360\220\200\200\": 2"
    "\012}" },
  { PEFT_JSON_WRITE_SPACED,
    "{\"b\": [1, -2, 1.5, 1e-05, 1e+16, 1000000000000000.0, true, false, null, [], {}, [[]]"
    "], \"a\": {\"\303\251\344\270\255\360\237\230\200\": \"q\\\"\\\\/\\b\\f\\n\\r\\t\\u000"
    "1\\u001f\177\", \"\": 0, \"Z\": 18446744073709551615, \"aa\": 100000000000000001988462"
    "4838656, \"a\\u0000b\": \"\\u0000\"}, \"\357\277\277\": 1, \"\360\220\200\200\": 2}" },
  { PEFT_JSON_WRITE_ASCII | PEFT_JSON_WRITE_SPACED,
    "{\"b\": [1, -2, 1.5, 1e-05, 1e+16, 1000000000000000.0, true, false, null, [], {}, [[]]"
    "], \"a\": {\"\\u00e9\\u4e2d\\ud83d\\ude00\": \"q\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f"
    "\\u007f\", \"\": 0, \"Z\": 18446744073709551615, \"aa\": 10000000000000000198846248386"
    "56, \"a\\u0000b\": \"\\u0000\"}, \"\\uffff\": 1, \"\\ud800\\udc00\": 2}" },
  { PEFT_JSON_WRITE_INDENT | PEFT_JSON_WRITE_ASCII,
    "{\012  \"b\": [\012    1,\012    -2,\012    1.5,\012    1e-05,\012    1e+16,\012    10"
    "00000000000000.0,\012    true,\012    false,\012    null,\012    [],\012    {},\012   "
    " [\012      []\012    ]\012  ],\012  \"a\": {\012    \"\\u00e9\\u4e2d\\ud83d\\ude00\":"
    " \"q\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\",\012    \"\": 0,\012    \"Z\": 184"
    "46744073709551615,\012    \"aa\": 1000000000000000019884624838656,\012    \"a\\u0000b"
    "\": \"\\u0000\"\012  },\012  \"\\uffff\": 1,\012  \"\\ud800\\udc00\": 2\012}" },
  { PEFT_JSON_WRITE_SORT_KEYS,
    "{\"a\":{\"\":0,\"Z\":18446744073709551615,\"a\\u0000b\":\"\\u0000\",\"aa\":10000000000"
    "00000019884624838656,\"\303\251\344\270\255\360\237\230\200\":\"q\\\"\\\\/\\b\\f\\n\\r"
    "\\t\\u0001\\u001f\177\"},\"b\":[1,-2,1.5,1e-05,1e+16,1000000000000000.0,true,false,nul"
    "l,[],{},[[]]],\"\357\277\277\":1,\"\360\220\200\200\":2}" },
};

static void
test_write (void)
{
  g_autoptr (PeftJson) json = parse (document);

  for (gsize i = 0; i < G_N_ELEMENTS (dumps); i++)
    {
      g_autofree char *text = peft_json_to_string (json, (PeftJsonWriteFlags) dumps[i].flags);
      g_autoptr (PeftJson) back = parse (text);

      g_assert_cmpstr (text, ==, dumps[i].text);
      g_assert_true (peft_json_equal (json, back));
    }
}

static void
test_build (void)
{
  g_autoptr (PeftJson) object = peft_json_new_object ();
  PeftJson *array = peft_json_new_array ();
  g_autofree char *text = NULL;

  peft_json_append (array, peft_json_new_null ());
  peft_json_append (array, peft_json_new_boolean (TRUE));
  peft_json_append (array, peft_json_new_uint (5));
  peft_json_append (array, peft_json_new_uint (G_MAXUINT64));
  peft_json_append (array, peft_json_new_double (0.1));
  peft_json_append (array, peft_json_new_string_len ("xyz", 2));
  peft_json_set (object, "k", peft_json_new_string ("old"));
  peft_json_set (object, "list", peft_json_ref (array));
  peft_json_set (object, "k", peft_json_new_string ("new"));
  peft_json_unref (array);
  text = peft_json_to_string (object, PEFT_JSON_WRITE_SPACED);
  g_assert_cmpstr (text, ==,
                   "{\"k\": \"new\", \"list\": [null, true, 5, 18446744073709551615, 0.1, \"xy\"]}");
  g_assert_cmpint (peft_json_get_kind (peft_json_get_element (array, 2)), ==, PEFT_JSON_INT);
}

/* repr () of Python 3.11. 2**-44 is a case whose shortest form is not its 16-digit rounding. */
static void
test_doubles (void)
{
  static const struct
  {
    double value;
    const char *text;
  } rows[] = {
    { 0.0, "0.0" },
    { -0.0, "-0.0" },
    { 5.0, "5.0" },
    { 0.1, "0.1" },
    { -1.5, "-1.5" },
    { 100.0, "100.0" },
    { 1e-5, "1e-05" },
    { 1.5e-5, "1.5e-05" },
    { 0.0001, "0.0001" },
    { 0.00012345, "0.00012345" },
    { 1e15, "1000000000000000.0" },
    { 9999999999999998.0, "9999999999999998.0" },
    { 1e16, "1e+16" },
    { 1.2345678901234567e17, "1.2345678901234566e+17" },
    { 1e22, "1e+22" },
    { 1e23, "1e+23" },
    { 1e100, "1e+100" },
    { 1.0 / 3.0, "0.3333333333333333" },
    { 0x1p-44, "5.684341886080802e-14" },
    { 5e-324, "5e-324" },
    { 2.225073858507201e-308, "2.225073858507201e-308" },
    { 2.2250738585072014e-308, "2.2250738585072014e-308" },
    { 1.7976931348623157e308, "1.7976931348623157e+308" },
    { 123456.789, "123456.789" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (GString) text = g_string_new (NULL);
      peft_json_append_double (text, rows[i].value);
      g_assert_cmpstr (text->str, ==, rows[i].text);
    }
}

static void
test_doubles_round_trip (void)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < 100000; i++)
    {
      guint64 bits = (guint64) g_test_rand_int () << 32 | (guint32) g_test_rand_int ();
      double value, back;

      memcpy (&value, &bits, sizeof value);
      if (!isfinite (value))
        continue;
      g_string_truncate (text, 0);
      peft_json_append_double (text, value);
      back = g_ascii_strtod (text->str, NULL);
      g_assert_cmpmem (&back, sizeof back, &value, sizeof value);
    }
}

static void
test_locale (void)
{
  static const char *const locales[] = { "de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR" };
  const char *found = NULL;
  g_autoptr (PeftJson) json = NULL;
  g_autofree char *text = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (locales) && found == NULL; i++)
    found = setlocale (LC_NUMERIC, locales[i]);
  if (found == NULL)
    {
      g_test_skip ("no locale with a decimal comma is installed");
      return;
    }
  json = parse ("[1.5,-2.5e-7]");
  text = peft_json_to_string (json, PEFT_JSON_WRITE_COMPACT);
  setlocale (LC_NUMERIC, "C");
  g_assert_cmpstr (text, ==, "[1.5,-2.5e-07]");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Json/table", test_table);
  g_test_add_func ("/Peft/Json/prefixes", test_prefixes);
  g_test_add_func ("/Peft/Json/depth", test_depth);
  g_test_add_func ("/Peft/Json/size-limit", test_size_limit);
  g_test_add_func ("/Peft/Json/numbers", test_numbers);
  g_test_add_func ("/Peft/Json/huge-integer", test_huge_integer);
  g_test_add_func ("/Peft/Json/nan", test_nan);
  g_test_add_func ("/Peft/Json/duplicate-keys", test_duplicate_keys);
  g_test_add_func ("/Peft/Json/long-key-message", test_long_key_message);
  g_test_add_func ("/Peft/Json/large-object", test_large_object);
  g_test_add_func ("/Peft/Json/nul", test_nul);
  g_test_add_func ("/Peft/Json/read", test_read);
  g_test_add_func ("/Peft/Json/load", test_load);
  g_test_add_func ("/Peft/Json/equal", test_equal);
  g_test_add_func ("/Peft/Json/write", test_write);
  g_test_add_func ("/Peft/Json/build", test_build);
  g_test_add_func ("/Peft/Json/doubles", test_doubles);
  g_test_add_func ("/Peft/Json/doubles-round-trip", test_doubles_round_trip);
  g_test_add_func ("/Peft/Json/locale", test_locale);
  return g_test_run ();
}
