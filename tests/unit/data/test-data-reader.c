/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib/gstdio.h>
#include <string.h>

#include "base/peft-error.h"
#include "data/peft-data-ids.h"
#include "data/peft-data-messages.h"
#include "data/peft-data-reader.h"

typedef struct
{
  const char *name; /* of the test and, behind the dash, of the file */
  const char *text;
  const char *form; /* NULL: refused */
  const char *rows; /* the rows as JSON, one a line; or what the message holds */
  int code;         /* PeftError */
} Case;

static const Case good[] = {
  { "lines-a.jsonl", "{\"text\":\"a\"}\n\n{\"text\":\"b\"}", "text",
    "{\"text\":\"a\"}\n{\"text\":\"b\"}" },
  { "lines-crlf-bom-a.jsonl", "\xef\xbb\xbf{\"text\":\"a\"}\r\n{\"text\":\"b\"}\r\n", "text",
    "{\"text\":\"a\"}\n{\"text\":\"b\"}" },
  { "lines-one-a.jsonl", "{\"text\":\"a\"}", "text", "{\"text\":\"a\"}" },
  { "lines-named-json-a.json", "{\"text\":\"a\"}\n{\"text\":\"b\"}\n", "text",
    "{\"text\":\"a\"}\n{\"text\":\"b\"}" },
  { "lines-no-ending-data", "{\"text\":\"a\"}\n{\"text\":\"b\"}\n", "text",
    "{\"text\":\"a\"}\n{\"text\":\"b\"}" },
  { "lines-of-strings-a.jsonl", "\"a\"\n\"b {\\\"\"\n", "text",
    "{\"text\":\"a\"}\n{\"text\":\"b {\\\"\"}" },
  { "document-named-jsonl-a.jsonl", "[\n {\"text\":\"a\"},\n {\"text\":\"b\"}\n]", "text",
    "{\"text\":\"a\"}\n{\"text\":\"b\"}" },
  { "document-one-line-a.json", "[{\"text\":\"]\\\\\"},{\"text\":\"b\"}]", "text",
    "{\"text\":\"]\\\\\"}\n{\"text\":\"b\"}" },
  { "document-one-line-a.jsonl", "[{\"text\":\"a\"},{\"text\":\"b\"}]", "text",
    "{\"text\":\"a\"}\n{\"text\":\"b\"}" },
  { "document-object-a.json", "{\n\"text\": \"a\"\n}", "text", "{\"text\":\"a\"}" },
  { "document-wrapped-a.json",
    "{\"version\": [1, 2], \"data\":\n[{\"text\":\"a\"},\n{\"text\":\"b\"}], \"x\": null}", "text",
    "{\"text\":\"a\"}\n{\"text\":\"b\"}" },
  { "document-conversation-a.json", "[{\"role\":\"user\",\"content\":\"q\"}]", "messages",
    "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]}" },
  { "csv-quotes-a.csv",
    "instruction,output\r\n\"a \"\"b\"\", c\",\"two\nlines\"\r\n\r\nplain \"x\",\r\n",
    "instruction",
    "{\"instruction\":\"a \\\"b\\\", c\",\"output\":\"two\\nlines\"}\n"
    "{\"instruction\":\"plain \\\"x\\\"\",\"output\":\"\"}" },
  { "csv-semicolon-a.csv", "\xef\xbb\xbf prompt ;completion\na,b;c", "prompt-completion",
    "{\"prompt\":\"a,b\",\"completion\":\"c\"}" },
  { "csv-tab-a.csv", "prompt\tcompletion\na;b,,\tc\n", "prompt-completion",
    "{\"prompt\":\"a;b,,\",\"completion\":\"c\"}" },
  { "csv-pandas-index-a.csv", ",text\n0,a\n1,b\n", "text", "{\"text\":\"a\"}\n{\"text\":\"b\"}" },
  { "csv-json-cell-a.csv",
    "messages\n\"[{\"\"role\"\":\"\"user\"\",\"\"content\"\":\"\"q\"\"}]\"\n", "messages",
    "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]}" },
  { "text-a.txt", "one\ntwo\r\n\n \t\r\n\n  three \nfour", "text",
    "{\"text\":\"one\\ntwo\"}\n{\"text\":\"  three \\nfour\"}" },
  { "text-a.md", "\n\n# a\n", "text", "{\"text\":\"# a\"}" },
  { "pair-a.jsonl", "{\"prompt\":\"a\",\"completion\":\"b\",\"id\":1}", "prompt-completion",
    "{\"prompt\":\"a\",\"completion\":\"b\"}" },
  { "pair-lists-a.jsonl",
    "{\"prompt\":[{\"role\":\"user\",\"content\":\"q\"}],"
    "\"completion\":[{\"role\":\"assistant\",\"content\":\"a\"}]}",
    "prompt-completion",
    "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":"
    "\"a\"}]}" },
  { "instruction-a.jsonl",
    "{\"instruction\":\"i\",\"input\":\"x\",\"output\":\"o\"}\n"
    "{\"instruction\":\"i\",\"input\":null,\"output\":\"\",\"response\":\"r\",\"text\":\"all\"}\n"
    "{\"instruction\":\"i\",\"context\":\"c\",\"response\":\"\"}\n"
    "{\"question\":\"i\",\"answer\":\"r\",\"input\":NaN}",
    "instruction",
    "{\"instruction\":\"i\\nx\",\"output\":\"o\"}\n{\"instruction\":\"i\",\"output\":\"r\"}\n"
    "{\"instruction\":\"i\\nc\",\"output\":\"\"}\n{\"instruction\":\"i\",\"output\":\"r\"}" },
  { "instruction-history-a.jsonl",
    "{\"instruction\":\"i\",\"output\":\"o\",\"system\":\"s\",\"history\":[[\"q\",\"a\"]]}",
    "instruction",
    "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"q\"},"
    "{\"role\":\"assistant\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"i\"},"
    "{\"role\":\"assistant\",\"content\":\"o\"}]}" },
  { "messages-kept-keys-a.jsonl",
    "{\"messages\":[{\"role\":\"user\",\"content\":\"q\",\"name\":\"n\",\"weight\":0},"
    "{\"content\":null,\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"1\"}]},"
    "{\"role\":\"assistant\",\"content\":\"a\",\"weight\":0},"
    "{\"role\":\"assistant\",\"content\":\"b\",\"weight\":1,\"audio\":null}],\"tools\":\"\"}",
    "messages",
    "{\"messages\":[{\"role\":\"user\",\"content\":\"q\",\"name\":\"n\"},"
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"1\"}]},"
    "{\"role\":\"assistant\",\"content\":\"a\",\"weight\":0},"
    "{\"role\":\"assistant\",\"content\":\"b\"}]}" },
  { "messages-parts-a.jsonl",
    "{\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"reasoning\",\"value\":\"r\"},"
    "{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"tool_call\",\"value\":"
    "\"{\\\"name\\\":\\\"f\\\",\\\"arguments\\\":{\\\"x\\\":1}}\"}]}],\"tools\":[{\"name\":\"f\"}]"
    "}",
    "messages",
    "{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\",\"reasoning_content\":\"r\","
    "\"tool_calls\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":{\"x\":1}}}]"
    "}],"
    "\"tools\":[{\"name\":\"f\"}]}" },
  { "sharegpt-a.json",
    "[{\"conversations\":[{\"from\":\"human\",\"value\":\"q\"},"
    "{\"from\":\"function_call\",\"value\":\"[{\\\"name\\\":\\\"f\\\",\\\"arguments\\\":\\\"\\\"}]"
    "\"},"
    "{\"from\":\"observation\",\"value\":\"o\"},{\"from\":\"gpt\",\"value\":\"a\"}],"
    "\"system\":\"s\"}]",
    "conversations",
    "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"q\"},"
    "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"type\":\"function\",\"function\":"
    "{\"name\":\"f\",\"arguments\":\"\"}}]},{\"role\":\"tool\",\"content\":\"o\"},"
    "{\"role\":\"assistant\",\"content\":\"a\"}]}" },
  { "ids-a.jsonl",
    "{\"input_ids\":[1,2,3]}\n{\"input_ids\":[1,2,3],\"labels\":[-100,2,7],"
    "\"attention_mask\":[1,1,0]}",
    "input_ids",
    "{\"input_ids\":[1,2,3],\"labels\":[1,2,3]}\n{\"input_ids\":[1,2,3],\"labels\":[-100,2,-100]"
    "}" },
};

static const Case bad[] = {
  { "empty-a.jsonl", "", NULL, "a.jsonl: expected at least one row", PEFT_ERROR_INVALID_DATA },
  { "empty-a.json", "[]", NULL, "at least one row", PEFT_ERROR_INVALID_DATA },
  { "empty-a.csv", "a,b\n", NULL, "at least one row", PEFT_ERROR_INVALID_DATA },
  { "empty-a.txt", "\n \n", NULL, "at least one row", PEFT_ERROR_INVALID_DATA },
  { "syntax-line-a.jsonl", "{\"text\":\"a\"}\n\n  {\"text\" 1}\n", NULL,
    "a.jsonl: line 3, column 11: expected", PEFT_ERROR_INVALID_FILE },
  { "syntax-first-line-a.jsonl", "{\"text\":\"a\n{\"text\":\"b\"}\n", NULL, "line 1, column",
    PEFT_ERROR_INVALID_FILE },
  { "syntax-two-a-line-a.jsonl", "{\"text\":\"a\"} {\"text\":\"b\"}\n", NULL, "line 1, column 14",
    PEFT_ERROR_INVALID_FILE },
  { "syntax-document-a.json", "[{\"text\":\"a\"},\n  {\"text\":tru}]", NULL, "line 2, column",
    PEFT_ERROR_INVALID_FILE },
  { "syntax-comma-a.json", "[{\"text\":\"a\"}\n{\"text\":\"b\"}]", NULL,
    "line 2: expected “,” or “]” after a row, found “{”", PEFT_ERROR_INVALID_FILE },
  { "syntax-last-comma-a.json", "[{\"text\":\"a\"},\n]", NULL, "line 2: expected a row, found “]”",
    PEFT_ERROR_INVALID_FILE },
  { "syntax-no-end-a.json", "[{\"text\":\"a\"},\n{\"text\":\"b\"", NULL,
    "line 2: the row that starts here has no end", PEFT_ERROR_INVALID_FILE },
  { "syntax-no-end-of-list-a.json", "[{\"text\":\"a\"},\n{\"text\":\"b\"}\n", NULL,
    "line 3: expected “,” or “]” after a row, found the end of the file", PEFT_ERROR_INVALID_FILE },
  { "syntax-rest-a.json", "[{\"text\":\"a\"}]\n x", NULL,
    "line 2: expected the end of the file, found “x”", PEFT_ERROR_INVALID_FILE },
  { "syntax-wrapper-a.json", "{\"data\":[{\"text\":\"a\"},\n{\"text\":\"b\"}],\n oops }", NULL,
    "line 3, column 2", PEFT_ERROR_INVALID_FILE },
  { "syntax-scalar-a.json", "3", NULL, "line 1: expected “[” or “{”, found “3”",
    PEFT_ERROR_INVALID_FILE },
  { "csv-quote-a.csv", "a,text\n1,\"x\n\ny", NULL, "line 2: the quoted cell",
    PEFT_ERROR_INVALID_FILE },
  { "csv-after-quote-a.csv", "a,text\n1,\"x\"y\n", NULL, "line 2: expected a delimiter",
    PEFT_ERROR_INVALID_FILE },
  { "csv-cells-a.csv", "a,text\n1,\"2\n\"\n3\n", NULL,
    "line 4: expected 2 cells as in the header, found 1", PEFT_ERROR_INVALID_FILE },
  { "csv-many-cells-a.csv", "a,text\n1,2,3\n", NULL, "found 3", PEFT_ERROR_INVALID_FILE },
  { "csv-twice-a.csv", "text,text\n1,2\n", NULL, "“text” is there twice", PEFT_ERROR_INVALID_FILE },
  { "csv-columns-a.csv", "a,b\n1,2\n", NULL, "a.csv: row 1 (line 2): expected messages, prompt and",
    PEFT_ERROR_INVALID_DATA },
  { "csv-tsv-a.tsv", "a,b,prompt\tcompletion\n1\t2\n", NULL, "found: a,b,prompt, completion",
    PEFT_ERROR_INVALID_DATA },
  { "utf8-a.jsonl", "{\"text\":\"a\"}\n{\"text\":\"\xff\"}", NULL,
    "line 2: expected UTF-8 text, found byte 0xff", PEFT_ERROR_INVALID_FILE },
  { "parquet-a.json", "PAR1xxxx", NULL, "a Parquet file", PEFT_ERROR_UNSUPPORTED },
  { "gzip-a.jsonl", "\x1f\x8b\x08", NULL, "a gzip file", PEFT_ERROR_UNSUPPORTED },
  { "utf16-a.txt",
    "\xff\xfe"
    "a",
    NULL, "a UTF-16 text", PEFT_ERROR_UNSUPPORTED },
  { "ending-a.doc", "hello", NULL, "expected a name that ends in .jsonl", PEFT_ERROR_UNSUPPORTED },
  { "form-changes-a.jsonl", "{\"text\":\"a\"}\n{\"prompt\":\"a\",\"completion\":\"b\"}", NULL,
    "row 2 (line 2): expected the form of the file's first row, text, found: prompt-completion",
    PEFT_ERROR_INVALID_DATA },
  { "form-changes-ids-a.jsonl", "{\"text\":\"a\"}\n{\"input_ids\":[1]}", NULL, "found: input_ids",
    PEFT_ERROR_INVALID_DATA },
  { "row-a.jsonl", "3", NULL,
    "row 1 (line 1): expected an object or a list of messages, found: integer",
    PEFT_ERROR_INVALID_DATA },
  { "kind-a.jsonl", "{\"prompt\":\"a\",\"completion\":\"b\"}\n{\"prompt\":1,\"completion\":\"b\"}",
    NULL, "row 2 (line 2): prompt: expected a string, found: integer", PEFT_ERROR_INVALID_DATA },
  { "null-a.jsonl", "{\"instruction\":\"a\",\"output\":null}", NULL,
    "output: expected a string, found: nothing", PEFT_ERROR_INVALID_DATA },
  { "nul-a.jsonl", "{\"text\":\"a\\u0000b\"}", NULL, "text: the text holds a NUL",
    PEFT_ERROR_INVALID_DATA },
  { "message-nul-a.jsonl", "[{\"role\":\"user\",\"content\":\"\\u0000\"}]", NULL,
    "[0].content: the text", PEFT_ERROR_INVALID_DATA },
  { "no-answer-a.jsonl", "{\"question\":\"a\"}", NULL,
    "the answer to question (one of answer, response, output), found: question",
    PEFT_ERROR_INVALID_DATA },
  { "messages-kind-a.jsonl", "{\"messages\":{}}", NULL,
    "messages: expected a list of messages, found: object", PEFT_ERROR_INVALID_DATA },
  { "messages-empty-a.jsonl", "{\"messages\":[]}", NULL, "found an empty one",
    PEFT_ERROR_INVALID_DATA },
  { "messages-role-a.jsonl", "{\"messages\":[{\"role\":\"usr\",\"content\":\"a\"}]}", NULL,
    "messages[0].role: expected one of system", PEFT_ERROR_INVALID_DATA },
  { "messages-content-a.jsonl", "{\"messages\":[{\"role\":\"user\"}]}", NULL,
    "messages[0].content: expected a string, found: nothing", PEFT_ERROR_INVALID_DATA },
  { "messages-text-a.csv", "messages\nhello\n", NULL, "messages: expected JSON: line 1",
    PEFT_ERROR_INVALID_FILE },
  { "messages-image-a.jsonl",
    "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{}}]}]}",
    NULL, "a part of type image_url", PEFT_ERROR_UNSUPPORTED },
  { "messages-part-a.jsonl",
    "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"x\",\"text\":\"a\"}]}]}", NULL,
    "found: x", PEFT_ERROR_INVALID_DATA },
  { "messages-weight-a.jsonl",
    "{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\",\"weight\":0.5}]}", NULL,
    "[0].weight: expected 0 or 1", PEFT_ERROR_UNSUPPORTED },
  { "messages-user-weight-a.jsonl",
    "{\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"loss_weight\":1.0}]}", NULL,
    "[0].weight: expected 0 for the role user", PEFT_ERROR_UNSUPPORTED },
  { "messages-call-a.json",
    "[{\"conversations\":[{\"from\":\"function_call\",\"value\":\"f(x)\"}]}]", NULL,
    "conversations[0]: expected a call as JSON", PEFT_ERROR_INVALID_DATA },
  { "tools-a.jsonl", "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"tools\":{}}", NULL,
    "tools: expected a list, found: object", PEFT_ERROR_INVALID_DATA },
  { "history-a.jsonl", "{\"instruction\":\"a\",\"output\":\"b\",\"history\":[[\"x\"]]}", NULL,
    "history[0]: expected a list of two strings, found: array", PEFT_ERROR_INVALID_DATA },
  { "lists-a.jsonl", "{\"input\":[\"a\"],\"output\":[\"b\",\"c\"]}", NULL,
    "input, output: expected two strings or two lists", PEFT_ERROR_INVALID_DATA },
  { "preference-a.jsonl", "{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"c\"}", NULL,
    "rejected: preference data", PEFT_ERROR_UNSUPPORTED },
  { "kto-a.jsonl", "{\"prompt\":\"a\",\"completion\":\"b\",\"label\":true}", NULL,
    "label: preference data", PEFT_ERROR_UNSUPPORTED },
  { "images-a.jsonl", "{\"text\":\"a\",\"images\":[\"x.png\"]}", NULL, "images: rows with images",
    PEFT_ERROR_UNSUPPORTED },
  { "ids-empty-a.jsonl", "{\"input_ids\":[]}", NULL, "input_ids: expected a list of token ids",
    PEFT_ERROR_INVALID_DATA },
  { "ids-negative-a.jsonl", "{\"input_ids\":[1,-1]}", NULL,
    "input_ids[1]: expected an integer from 0", PEFT_ERROR_INVALID_DATA },
  { "ids-large-a.jsonl", "{\"input_ids\":[1,2147483648]}", NULL, "found: 2147483648",
    PEFT_ERROR_INVALID_DATA },
  { "ids-fraction-a.jsonl", "{\"input_ids\":[1.5]}", NULL, "found: 1.5", PEFT_ERROR_INVALID_DATA },
  { "labels-count-a.jsonl", "{\"input_ids\":[1,2],\"labels\":[1]}", NULL,
    "labels: expected a list of 2 integers as input_ids has, found: array of 1",
    PEFT_ERROR_INVALID_DATA },
  { "labels-value-a.jsonl", "{\"input_ids\":[1,2],\"labels\":[1,-99]}", NULL,
    "labels[1]: expected a token id or -100, found: -99", PEFT_ERROR_INVALID_DATA },
  { "mask-a.jsonl", "{\"input_ids\":[1,2],\"attention_mask\":[1,2]}", NULL,
    "attention_mask[1]: expected an integer from 0 to 1, found: 2", PEFT_ERROR_INVALID_DATA },
};

static const char *
file_name (const Case *c)
{
  return strrchr (c->name, '-') + 1;
}

static char *
print_rows (PeftDataSet *set)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < peft_data_set_get_n_rows (set); i++)
    {
      g_autoptr (PeftJson) row = peft_data_set_row_to_json (set, i);
      g_autofree char *line = peft_json_to_string (row, PEFT_JSON_WRITE_COMPACT);

      g_string_append_printf (text, "%s%s", i > 0 ? "\n" : "", line);
    }
  return g_string_free (text, FALSE);
}

static void
check_error (const char *name, const GError *error, int code, const char *words)
{
  g_assert_nonnull (error);
  g_assert_cmpint (error->domain, ==, PEFT_ERROR);
  if (code != error->code || strstr (error->message, words) == NULL)
    g_error ("%s: expected code %d and “%s”, found %d and “%s”", name, code, words, error->code,
             error->message);
}

static void
test_good (gconstpointer data)
{
  const Case *c = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftDataSet) set
      = peft_data_read_text (file_name (c), c->text, strlen (c->text), NULL, &error);
  g_autofree char *rows = NULL;

  g_assert_no_error (error);
  rows = print_rows (set);
  g_assert_cmpstr (rows, ==, c->rows);
  g_assert_cmpstr (peft_data_form_get_name (peft_data_set_get_form (set, 0)), ==, c->form);
}

static void
test_bad (gconstpointer data)
{
  const Case *c = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftDataSet) set
      = peft_data_read_text (file_name (c), c->text, strlen (c->text), NULL, &error);

  g_assert_null (set);
  check_error (c->name, error, c->code, c->rows);
  g_assert_true (g_str_has_prefix (error->message, file_name (c)));
}

static PeftDataSet *
read_with (const char *name, const char *text, const PeftDataReadOptions *options, GError **error)
{
  return peft_data_read_text (name, text, strlen (text), options, error);
}

static void
test_mapping (void)
{
  g_autoptr (PeftDataMapping) mapping = NULL;
  g_autoptr (PeftDataSet) set = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *rows = NULL;
  PeftDataReadOptions options = { 0 };

  mapping = peft_data_mapping_parse ("{\"prompt\":\"q\",\"completion\":\"a b\"}", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (peft_data_mapping_get_column (mapping, "prompt"), ==, "q");
  g_assert_null (peft_data_mapping_get_column (mapping, "text"));
  options.mapping = mapping;
  set = read_with ("a.csv", "q,a b,text\n1,2,3\n", &options, &error);
  g_assert_no_error (error);
  rows = print_rows (set);
  g_assert_cmpstr (rows, ==, "{\"prompt\":\"1\",\"completion\":\"2\"}");

  g_assert_null (read_with ("a.csv", "q,text\n1,3\n", &options, &error));
  check_error ("missing column", error, PEFT_ERROR_INVALID_DATA,
               "a.csv: row 1 (line 2): expected the column “a b”, which is mapped to completion; "
               "found: q, text");
  g_clear_error (&error);
  g_assert_null (read_with ("a.jsonl", "[1]\n[2]", &options, &error));
  check_error ("no object", error, PEFT_ERROR_INVALID_DATA, "since a column mapping is given");
}

static void
test_mapping_optional (void)
{
  g_autoptr (PeftDataMapping) mapping = NULL;
  g_autoptr (PeftDataSet) set = NULL;
  g_autoptr (GError) error = NULL;
  PeftDataReadOptions options = { 0 };

  mapping = peft_data_mapping_parse ("{\"instruction\":\"q\",\"output\":\"a\",\"input\":\"more\"}",
                                     &error);
  g_assert_no_error (error);
  options.mapping = mapping;
  set = read_with ("a.jsonl", "{\"q\":\"1\",\"a\":\"2\"}\n{\"q\":\"1\",\"a\":\"2\",\"more\":\"x\"}",
                   &options, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (peft_data_set_get_row (set, 1)->text[0], ==, "1\nx");
  /* A name that no row has is a mistake. */
  g_assert_null (read_with ("a.jsonl", "{\"q\":\"1\",\"a\":\"2\"}", &options, &error));
  check_error ("never there", error, PEFT_ERROR_INVALID_DATA,
               "no row has the column “more”, which is mapped to input");
}

static void
test_mapping_bad (void)
{
  static const char *const texts[][2] = {
    { "{", "column mapping: line 1" },
    { "[]", "expected an object of roles and columns, found: array" },
    { "{}", "expected an object of roles" },
    { "{\"promt\":\"a\"}", "found: promt" },
    { "{\"prompt\":1}", "prompt: expected a column name, found: integer" },
    { "{\"prompt\":\"a\",\"prompt\":\"b\"}", "column mapping: line 1" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (peft_data_mapping_parse (texts[i][0], &error));
      check_error (texts[i][0], error, PEFT_ERROR_INVALID_ARGUMENT, texts[i][1]);
    }
}

static void
test_unused_columns (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftDataSet) set = read_with (
      "a.jsonl",
      "{\"id\":1,\"instruction\":\"a\",\"output\":\"b\"}\n"
      "{\"instruction\":\"a\",\"input\":\"c\",\"output\":\"b\",\"zeta\":0,\"alpha\":null}",
      NULL, &error);
  const char *const *unused;

  g_assert_no_error (error);
  unused = peft_data_set_get_unused_columns (set, 0);
  g_assert_cmpstr (unused[0], ==, "alpha");
  g_assert_cmpstr (unused[1], ==, "id");
  g_assert_cmpstr (unused[2], ==, "zeta");
  g_assert_null (unused[3]);
  g_assert_cmpstr (peft_data_set_get_format (set, 0), ==, "jsonl");
}

static void
test_limits (void)
{
  static const struct
  {
    const char *name;
    const char *text;
    PeftDataReadOptions options;
    const char *words;
  } cases[] = {
    { "a.txt", "12345", { .max_file_bytes = 4 }, "a.txt: expected a file of at most 4 bytes" },
    { "a.txt", "1\n\n2\n\n3", { .max_rows = 2 }, "row 3: expected at most 2 rows" },
    { "a.txt",
      "1\n\n12345",
      { .max_record_bytes = 4 },
      "line 3: expected a paragraph of at most 4" },
    { "a.jsonl",
      "\"12345\"",
      { .max_record_bytes = 6 },
      "line 1: expected a row of at most 6 bytes, found 7" },
    { "a.json",
      "[\n\"12345\"]",
      { .max_record_bytes = 6 },
      "line 2: expected a row of at most 6 bytes" },
    { "a.json",
      "{\"data\":[{\"text\":\"a\"}],\"more\":\"12345678\"}",
      { .max_record_bytes = 20 },
      "expected at most 20 bytes beside the list" },
    { "a.csv",
      "text\n1234\n12345\n",
      { .max_record_bytes = 4 },
      "line 3: expected a cell of at most 4" },
    { "a.csv",
      "text\n\"\n1234\"\n",
      { .max_record_bytes = 4 },
      "line 2: expected a cell of at most 4" },
    { "a.csv", "text,b,c\n1,2,3\n", { .max_columns = 2 }, "line 1: expected at most 2 columns" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (read_with (cases[i].name, cases[i].text, &cases[i].options, &error));
      check_error (cases[i].text, error, PEFT_ERROR_LIMIT, cases[i].words);
    }
}

static void
test_fixed_limits (void)
{
  g_autoptr (GString) text = g_string_new ("[");
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i <= PEFT_DATA_MAX_MESSAGES; i++)
    g_string_append_printf (text, "%s{\"role\":\"user\",\"content\":\"\"}", i > 0 ? "," : "");
  g_string_append (text, "]");
  g_assert_null (read_with ("a.json", text->str, NULL, &error));
  check_error ("messages", error, PEFT_ERROR_LIMIT,
               "messages: expected at most 8192 messages, found 8193");
  g_clear_error (&error);

  g_string_assign (text, "{\"input_ids\":[0");
  for (guint i = 0; i < PEFT_DATA_MAX_ROW_IDS; i++)
    g_string_append (text, ",1");
  g_string_append (text, "]}");
  g_assert_null (read_with ("a.jsonl", text->str, NULL, &error));
  check_error ("ids", error, PEFT_ERROR_LIMIT, "input_ids: expected at most 1048576 ids");
  g_clear_error (&error);

  /* A deep row is the parser's limit, found by way of its line. */
  g_string_assign (text, "{\"text\":\"a\"}\n");
  for (guint i = 0; i <= PEFT_JSON_MAX_DEPTH; i++)
    g_string_append_c (text, '[');
  for (guint i = 0; i <= PEFT_JSON_MAX_DEPTH; i++)
    g_string_append_c (text, ']');
  g_assert_null (read_with ("a.jsonl", text->str, NULL, &error));
  check_error ("depth", error, PEFT_ERROR_LIMIT, "a.jsonl: line 2, column");
  g_clear_error (&error);

  /* JSON inside a string is within the parser's limit, but not where it is put. */
  g_string_assign (
      text, "{\"text\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"}],\"tools\":\"");
  for (guint i = 0; i < PEFT_JSON_MAX_DEPTH; i++)
    g_string_append_c (text, '[');
  for (guint i = 0; i < PEFT_JSON_MAX_DEPTH; i++)
    g_string_append_c (text, ']');
  g_string_append (text, "\"}");
  g_assert_null (read_with ("a.jsonl", text->str, NULL, &error));
  check_error ("depth of tools", error, PEFT_ERROR_LIMIT, "nested at most 512 deep");
}

static void
test_files (void)
{
  g_autofree char *folder = g_dir_make_tmp ("peft-data-XXXXXX", NULL);
  g_autofree char *a = g_build_filename (folder, "a.txt", NULL);
  g_autofree char *b = g_build_filename (folder, "b.jsonl", NULL);
  g_autofree char *c = g_build_filename (folder, "c.jsonl", NULL);
  const char *paths[] = { a, b, c };
  const char *just_folder[] = { folder };
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (PeftDataSet) set = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *described = NULL;
  g_autofree char *expected = NULL;

  g_assert_true (g_file_set_contents (a, "one\n\ntwo\n", -1, NULL));
  g_assert_true (g_file_set_contents (b, "{\"prompt\":\"p\",\"completion\":\"c\"}\n", -1, NULL));
  set = peft_data_read (paths, 2, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (peft_data_set_get_n_rows (set), ==, 3);
  g_assert_cmpuint (peft_data_set_get_n_files (set), ==, 2);
  g_assert_cmpuint (peft_data_set_get_form (set, 1), ==, PEFT_DATA_FORM_PROMPT_COMPLETION);
  g_assert_cmpuint (peft_data_set_get_row (set, 2)->file, ==, 1);
  described = peft_data_set_describe_row (set, 1);
  expected = g_strdup_printf ("%s: row 2 (line 3)", a);
  g_assert_cmpstr (described, ==, expected);

  g_assert_null (peft_data_read (paths, 3, NULL, NULL, &error));
  check_error ("absent", error, PEFT_ERROR_NOT_FOUND, "c.jsonl: ");
  g_clear_error (&error);
  g_assert_null (peft_data_read (just_folder, 1, NULL, NULL, &error));
  check_error ("folder", error, PEFT_ERROR_IO, folder);
  g_clear_error (&error);
  g_assert_null (peft_data_read (paths, 0, NULL, NULL, &error));
  check_error ("none", error, PEFT_ERROR_INVALID_ARGUMENT, "found 0");
  g_clear_error (&error);
  g_cancellable_cancel (cancellable);
  g_assert_null (peft_data_read (paths, 2, NULL, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);

  g_remove (a);
  g_remove (b);
  g_rmdir (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_autofree char *path = g_strdup_printf ("/Peft/Data/Reader/good/%s", good[i].name);

      g_test_add_data_func (path, &good[i], test_good);
    }
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autofree char *path = g_strdup_printf ("/Peft/Data/Reader/bad/%s", bad[i].name);

      g_test_add_data_func (path, &bad[i], test_bad);
    }
  g_test_add_func ("/Peft/Data/Mapping/renames", test_mapping);
  g_test_add_func ("/Peft/Data/Mapping/optional", test_mapping_optional);
  g_test_add_func ("/Peft/Data/Mapping/bad", test_mapping_bad);
  g_test_add_func ("/Peft/Data/Reader/unused-columns", test_unused_columns);
  g_test_add_func ("/Peft/Data/Reader/limits", test_limits);
  g_test_add_func ("/Peft/Data/Reader/fixed-limits", test_fixed_limits);
  g_test_add_func ("/Peft/Data/Reader/files", test_files);
  return g_test_run ();
}
