/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "text/peft-template.h"

#include <string.h>

#include "base/peft-error.h"
#include "template-cases.h"

static char *
render_source (const char *source, const char *variables, GArray **spans, GError **error)
{
  g_autoptr (PeftJson) json = peft_json_parse (variables, -1, PEFT_JSON_PARSE_DEFAULT, NULL);
  g_autoptr (PeftTemplate) template = peft_template_parse (source, "t", error);

  g_assert_nonnull (json);
  return template != NULL ? peft_template_render (template, json, spans, error) : NULL;
}

/* Everything jinja2 was asked, and what it answered. */
static void
test_cases (void)
{
  g_autoptr (PeftJson) variables = peft_json_parse (cases_variables, -1, PEFT_JSON_PARSE_DEFAULT, NULL);
  g_autofree char *with_now = NULL;

  g_assert_nonnull (variables);
  peft_json_set (variables, PEFT_TEMPLATE_NOW_VARIABLE, peft_json_new_int (CASES_NOW));
  with_now = peft_json_to_string (variables, PEFT_JSON_WRITE_COMPACT);
  g_assert_cmpuint (G_N_ELEMENTS (cases), >, 250);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *text = render_source (cases[i].source, with_now, NULL, &error);

      if (g_strcmp0 (text, cases[i].expected) != 0)
        g_test_message ("template: %s (%s)", cases[i].source, error != NULL ? error->message : "rendered");
      g_assert_cmpstr (text, ==, cases[i].expected);
      if (text == NULL)
        g_assert_true (error->domain == PEFT_ERROR && g_str_has_prefix (error->message, "t: line 1"));
    }
}

static void
assert_fails (const char *source, PeftError code, const char *expected)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = render_source (source, "{\"n\": 7, \"nul\": \"a\\u0000b\"}", NULL, &error);

  g_assert_null (text);
  g_assert_error (error, PEFT_ERROR, (int) code);
  if (strstr (error->message, expected) == NULL)
    g_test_message ("found: %s", error->message);
  g_assert_nonnull (strstr (error->message, expected));
}

static void
test_errors (void)
{
  static const struct
  {
    const char *source;
    PeftError code;
    const char *message;
  } errors[] = {
    { "a\nb {{ x.y }}", PEFT_ERROR_INVALID_FILE, "t: line 2: “x” is undefined" },
    { "{# a\n\n #}{{\n1 +\n}}", PEFT_ERROR_INVALID_FILE, "t: line 5: expected an expression" },
    { "{% raw %}\n\n{% endraw %}{{ 'a\nb' + 1 }}", PEFT_ERROR_INVALID_FILE, "t: line 3: " },
    { "a\n{%- if 1 %}\n{{ n.x.y }}{% endif %}", PEFT_ERROR_INVALID_FILE,
      "t: line 3: a value of type “int” has no item 'x'" },
    { "\n{% if 1 %}\n", PEFT_ERROR_INVALID_FILE, "t: line 2: the block that starts here has no “endif”" },
    { "\n{{ raise_exception('my reason') }}", PEFT_ERROR_INVALID_DATA, "t: line 2: my reason" },
    { "{% include 'x' %}", PEFT_ERROR_UNSUPPORTED, "“include”" },
    { "{% extends 'x' %}", PEFT_ERROR_UNSUPPORTED, "“extends”" },
    { "{{ n|pprint }}", PEFT_ERROR_UNSUPPORTED, "there is no filter “pprint”" },
    { "{{ n is nothing }}", PEFT_ERROR_UNSUPPORTED, "there is no test “nothing”" },
    { "{{ 'a'.encode() }}", PEFT_ERROR_UNSUPPORTED, "“str.encode” is not supported" },
    { "{{ '{:>5}'.format(1) }}", PEFT_ERROR_UNSUPPORTED, "only {}, {0} and {name}" },
    { "{{ [].append(1) }}", PEFT_ERROR_INVALID_FILE, "would change its object" },
    { "{{ lipsum() }}", PEFT_ERROR_UNSUPPORTED, "lipsum" },
    { "{{ range }}", PEFT_ERROR_INVALID_FILE, "cannot be printed" },
    { "{{ nul }}", PEFT_ERROR_INVALID_FILE, "NUL" },
    { "{{ 9223372036854775808 }}", PEFT_ERROR_INVALID_FILE, "too large" },
    { "{{ \"\\ud800\" }}", PEFT_ERROR_INVALID_FILE, "no character" },
    { "\xff", PEFT_ERROR_INVALID_FILE, "not UTF-8" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (errors); i++)
    assert_fails (errors[i].source, errors[i].code, errors[i].message);
}

/* --- limits --- */

static char *
repeat (const char *text, guint n)
{
  GString *out = g_string_new (NULL);

  for (guint i = 0; i < n; i++)
    g_string_append (out, text);
  return g_string_free (out, FALSE);
}

static void
assert_limit (const char *source, const char *message)
{
  assert_fails (source, PEFT_ERROR_LIMIT, message);
}

/* open and close, n times around "1". */
static void
assert_nesting (const char *open, const char *close, guint n, gboolean fails)
{
  g_autofree char *before = repeat (open, n);
  g_autofree char *after = repeat (close, n);
  g_autofree char *source = g_str_has_prefix (open, "{%") ? g_strdup_printf ("%s1%s", before, after)
                                         : g_strdup_printf ("{{ %s1%s }}", before, after);
  g_autoptr (GError) error = NULL;
  g_autofree char *text = render_source (source, "{}", NULL, &error);

  if (fails)
    g_assert_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT);
  else
    g_assert_no_error (error);
}

static void
test_limit_nesting (void)
{
  static const struct
  {
    const char *open;
    const char *close;
  } brackets[] = {
    { "(", ")" }, { "[", "]" }, { "{1:", "}" }, { "not ", "" }, { "-", "" },
    { "n.x(", ")" }, { "1 if 1 else ", "" }, { "{% if 1 %}", "{% endif %}" },
    { "{% for i in [1] %}", "{% endfor %}" }, { "{% set x %}", "{% endset %}" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (brackets); i++)
    {
      assert_nesting (brackets[i].open, brackets[i].close, PEFT_TEMPLATE_MAX_NESTING + 10, TRUE);
      if (strcmp (brackets[i].open, "n.x(") != 0)
        assert_nesting (brackets[i].open, brackets[i].close, PEFT_TEMPLATE_MAX_NESTING - 10, FALSE);
    }
  g_autofree char *many = repeat ("(", 5000);
  g_autofree char *source = g_strdup_printf ("{{ %s", many);
  assert_limit (source, "open brackets");
}

static void
test_limit_source (void)
{
  g_autofree char *source = g_strnfill (PEFT_TEMPLATE_MAX_SOURCE_BYTES + 1, 'x');
  assert_limit (source, "bytes, more than 4194304");
}

static void
test_limit_steps (void)
{
  assert_limit ("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
                "more than 10000000 steps");
  assert_limit ("{% set l = range(100000)|list %}{% for i in range(100000) %}{{ i in l }}{% endfor %}",
                "more than 10000000 steps");
  assert_limit ("{% set s = 'a' * 10000000 %}{% for i in range(100000) %}{{ 'b' in s }}{% endfor %}",
                "more than 10000000 steps");
  assert_limit ("{% set s = 'a' * 1000000 %}{% for i in range(10000) %}{{ s.rfind('b' + s[1:500000]) }}"
                "{% endfor %}",
                "more than 10000000 steps");
}

static void
test_limit_depth (void)
{
  g_autofree char *sum = repeat ("1+", 3000);
  g_autofree char *source = g_strdup_printf ("{{ %s1 }}", sum);
  g_autofree char *filters = repeat ("|upper", 3000);
  g_autofree char *block = g_strdup_printf ("{%% filter upper%s %%}{%% endfilter %%}", filters);

  assert_limit ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "deeper than 2000 levels");
  assert_limit ("{% for x in [[1]] recursive %}{{ loop([x]) }}{% endfor %}", "deeper than 2000 levels");
  assert_limit (source, "deeper than 2000 levels");
  assert_limit (block, "deeper than 2000 levels");
}

#define DEEP_LIST                                                                                         \
  "{% set ns = namespace(x=[]) %}{% for i in range(1000) %}{% set ns.x = [ns.x] %}{% endfor %}"

static void
test_limit_values (void)
{
  assert_limit (DEEP_LIST "{{ ns.x }}", "nested deeper than 600 levels");
  assert_limit (DEEP_LIST "{{ ns.x|tojson }}", "nested deeper than 600 levels");
  assert_limit (DEEP_LIST "{% set y = ns.x %}" DEEP_LIST "{{ ns.x == y }}",
                "nested deeper than 600 levels");
  assert_limit ("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}", "nested deeper than 600 levels");
  assert_limit ("{{ range(100001) }}", "more than 100000 numbers");
  assert_limit ("{{ range(-9223372036854775807, 9223372036854775807) }}", "more than 100000 numbers");
  assert_limit ("{{ [0] * 1000001 }}", "more than 1000000 items");
  assert_limit ("{{ [0] * 9223372036854775807 }}", "more than 1000000 items");
  assert_limit ("{{ ('x' * 3000000)|list }}", "more than 1000000 items");
  assert_limit ("{{ ('x ' * 3000000).split() }}", "more than 1000000 items");
  assert_limit ("{{ 1000000007 * 10000000070 }}", "beyond 64 bits");
  assert_limit ("{{ 10 ** 19 }}", "beyond 64 bits");
  assert_limit ("{{ '99999999999999999999'|int }}", "beyond 64 bits");
  assert_limit ("{{ -9223372036854775807 - 2 }}", "beyond 64 bits");
}

static void
test_limit_strings (void)
{
  static const char *const sources[] = {
    "{{ 'x' * 16777217 }}",
    "{{ 'x' * 9223372036854775807 }}",
    "{% set ns = namespace(s='x') %}{% for i in range(30) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "{% set ns = namespace(s='x') %}{% for i in range(30) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "{{ 'x'.center(99999999) }}",
    "{{ 'x'.ljust(9223372036854775807) }}",
    "{{ '%99999999d' % 1 }}",
    "{{ '%99999999999999999999s' % 1 }}",
    "{{ '%*d' % (-9223372036854775807, 1) }}",
    "{{ 'a\nb'|indent(99999999) }}",
    "{{ [1]|tojson(indent=99999999) }}",
    "{{ ('x' * 100000).replace('', 'y' * 1000) }}",
    "{{ (['x' * 100000] * 1000)|join }}",
    "{{ ['x' * 1000000] * 100 }}",
    "{% set x %}{% for i in range(100) %}{{ 'x' * 1000000 }}{% endfor %}{% endset %}",
  };

  for (guint i = 0; i < G_N_ELEMENTS (sources); i++)
    assert_limit (sources[i], "a string is longer than 16777216 bytes");
  assert_limit ("{{ '%.101f' % 1 }}", "more than 100 digits");
}

static void
test_limit_output (void)
{
  assert_limit ("{% set s = 'x' * 1000000 %}{% for i in range(100) %}{{ s }}{% endfor %}",
                "the text is longer than 67108864 bytes");
  assert_limit ("{% set s = 'x' * 1000000 %}{% for i in range(300) %}{% set t = s + 'y' %}{% endfor %}",
                "more than 268435456 bytes of memory");
}

/* --- generation blocks --- */

static void
test_spans (void)
{
  static const char source[]
      = "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' %}{% generation %}"
        "{{ m.content }}<e>{% endgeneration %}{% else %}{{ m.content }}{% endif %}{{ '\\n' }}{% endfor %}";
  static const char variables[]
      = "{\"messages\": [{\"role\": \"user\", \"content\": \"ü\"}, {\"role\": \"assistant\", "
        "\"content\": \"né\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}";
  g_autoptr (GError) error = NULL;
  g_autoptr (GArray) spans = NULL;
  g_autofree char *text = render_source (source, variables, &spans, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (text, ==, "[user]ü\n[assistant]né<e>\n[assistant]b<e>\n");
  g_assert_cmpuint (spans->len, ==, 2);
  for (guint i = 0; i < 2; i++)
    {
      PeftTextSpan span = g_array_index (spans, PeftTextSpan, i);
      g_autofree char *piece = g_strndup (text + span.start, span.end - span.start);
      g_assert_cmpstr (piece, ==, i == 0 ? "né<e>" : "b<e>");
    }
}

static void
test_spans_nested (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GArray) spans = NULL;
  g_autofree char *text = render_source (
      "a{% generation %}b{% generation %}c{% endgeneration %}{% endgeneration %}", "{}", &spans, &error);

  g_assert_cmpstr (text, ==, "abc");
  g_assert_cmpuint (spans->len, ==, 1);
  g_assert_cmpuint (g_array_index (spans, PeftTextSpan, 0).start, ==, 1);
  g_assert_cmpuint (g_array_index (spans, PeftTextSpan, 0).end, ==, 3);
}

static void
test_spans_captured (void)
{
  static const char source[]
      = "{% macro m() %}{% generation %}x{% endgeneration %}{% endmacro %}\n{{ m() }}";
  g_autoptr (GError) error = NULL;
  g_autoptr (GArray) spans = NULL;
  g_autofree char *text = render_source (source, "{}", NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (text, ==, "x");
  g_assert_null (render_source (source, "{}", &spans, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED);
  g_assert_null (spans);
}

/* --- threads and time --- */

static gpointer
render_thread (gpointer data)
{
  PeftTemplate *template = data;

  for (guint i = 0; i < 200; i++)
    {
      g_autoptr (PeftJson) variables = peft_json_new_object ();
      g_autofree char *text = NULL;
      g_autofree char *expected = g_strdup_printf ("%u%uABC\n", i, i + 1);

      peft_json_set (variables, "i", peft_json_new_int (i));
      text = peft_template_render (template, variables, NULL, NULL);
      g_assert_cmpstr (text, ==, expected);
    }
  return NULL;
}

static void
test_threads (void)
{
  g_autoptr (PeftTemplate) template
      = peft_template_parse ("{% macro m(x) %}{{ x|upper }}{% endmacro %}{{ i }}{{ i + 1 }}"
                             "{% for c in 'abc' %}{{ m(c) }}{% endfor %}{{ '\\n' }}",
                             "t", NULL);
  GThread *threads[4];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("render", render_thread, template);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
}

static void
test_now (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDateTime) now = g_date_time_new_now_local ();
  g_autofree char *text = render_source ("{{ strftime_now('%Y') }}", "{}", NULL, &error);
  g_autofree char *fixed = render_source ("{{ strftime_now('%d %B %Y %H') }}",
                                          "{\"" PEFT_TEMPLATE_NOW_VARIABLE "\": 86400}", NULL, &error);

  g_assert_cmpint (ABS (g_ascii_strtoll (text, NULL, 10) - g_date_time_get_year (now)), <=, 1);
  g_assert_cmpstr (fixed, ==, "02 January 1970 00");
}

int
main (int argc, char **argv)
{
  g_setenv ("TZ", "UTC", TRUE);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Template/cases", test_cases);
  g_test_add_func ("/Peft/Template/errors", test_errors);
  g_test_add_func ("/Peft/Template/limit/nesting", test_limit_nesting);
  g_test_add_func ("/Peft/Template/limit/source", test_limit_source);
  g_test_add_func ("/Peft/Template/limit/steps", test_limit_steps);
  g_test_add_func ("/Peft/Template/limit/depth", test_limit_depth);
  g_test_add_func ("/Peft/Template/limit/values", test_limit_values);
  g_test_add_func ("/Peft/Template/limit/strings", test_limit_strings);
  g_test_add_func ("/Peft/Template/limit/output", test_limit_output);
  g_test_add_func ("/Peft/Template/spans", test_spans);
  g_test_add_func ("/Peft/Template/spans/nested", test_spans_nested);
  g_test_add_func ("/Peft/Template/spans/captured", test_spans_captured);
  g_test_add_func ("/Peft/Template/threads", test_threads);
  g_test_add_func ("/Peft/Template/now", test_now);
  return g_test_run ();
}
