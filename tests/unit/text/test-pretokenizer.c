/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Expected values were made with Hugging Face's tokenizers 0.23 (Oniguruma). */
#include "text-testing.h"

#include "text/peft-normalizer.h"
#include "text/peft-pretokenizer.h"

typedef struct
{
  const char *json;
  const char *text;
  const char *expected;
} Case;

/* Pieces are joined with |. */
static const Case pretokenizers[] = {
  { "{'type':'ByteLevel','add_prefix_space':false,'trim_offsets':true,'use_regex':true}",
    "it's 12 3½ x\012\012 y  ", "it|'s|Ġ12|Ġ3Â½|Ġx|ĊĊ|Ġy|ĠĠ" },
  { "{'type':'ByteLevel','add_prefix_space':true,'trim_offsets':true,'use_regex':true}", "x é",
    "Ġx|ĠÃ©" },
  { "{'type':'ByteLevel','add_prefix_space':true,'trim_offsets':true,'use_regex':true}", " x",
    "Ġx" },
  { "{'type':'Split','pattern':{'Regex':'-'},'behavior':'Removed','invert':false}", "-a--b-c--",
    "a|b|c" },
  { "{'type':'Split','pattern':{'Regex':'-'},'behavior':'Removed','invert':true}", "-a--b-c--",
    "-|-|-|-|-|-" },
  { "{'type':'Split','pattern':{'Regex':'-'},'behavior':'Isolated','invert':false}", "-a--b-c--",
    "-|a|-|-|b|-|c|-|-" },
  { "{'type':'Split','pattern':{'Regex':'-'},'behavior':'Isolated','invert':true}", "-a--b-c--",
    "-|a|-|-|b|-|c|-|-" },
  { "{'type':'Split','pattern':{'Regex':'-'},'behavior':'MergedWithPrevious','invert':false}",
    "-a--b-c--", "-|a-|-|b-|c-|-" },
  { "{'type':'Split','pattern':{'Regex':'-'},'behavior':'MergedWithPrevious','invert':true}",
    "-a--b-c--", "-a|-|-b|-c|-|-" },
  { "{'type':'Split','pattern':{'Regex':'-'},'behavior':'MergedWithNext','invert':false}",
    "-a--b-c--", "-a|-|-b|-c|-|-" },
  { "{'type':'Split','pattern':{'Regex':'-'},'behavior':'MergedWithNext','invert':true}",
    "-a--b-c--", "-|a-|-|b-|c-|-" },
  { "{'type':'Split','pattern':{'Regex':'-'},'behavior':'Contiguous','invert':false}", "-a--b-c--",
    "-|a|--|b|-|c|--" },
  { "{'type':'Split','pattern':{'Regex':'-'},'behavior':'Contiguous','invert':true}", "-a--b-c--",
    "-|a|--|b|-|c|--" },
  { "{'type':'Split','pattern':{'String':'.'},'behavior':'Isolated','invert':false}", "a.b..c",
    "a|.|b|.|.|c" },
  { "{'type':'Split','pattern':{'String':' -\\n'},'behavior':'Removed','invert':false}", "a -\012b",
    "a|b" },
  { "{'type':'Digits','individual_digits':true}", "a12½三x", "a|1|2|½|三x" },
  { "{'type':'Digits','individual_digits':false}", "a12½三x٣", "a|12½|三x|٣" },
  { "{'type':'Whitespace'}", "Hi, a_b\314\201! \342\200\215\302\240x",
    "Hi|,|a_b\314\201|!|\342\200\215|x" },
  { "{'type':'WhitespaceSplit'}", " a\343\200\200b\302\205c\342\200\213d\011",
    "a|b|c\342\200\213d" },
  { "{'type':'Punctuation','behavior':'Isolated'}", "a,b$—c", "a|,|b|$|—|c" },
  { "{'type':'Punctuation','behavior':'MergedWithPrevious'}", "a,b..c", "a,|b.|.|c" },
  { "{'type':'CharDelimiterSplit','delimiter':'|'}", "a||b|c", "a|b|c" },
  { "{'type':'Metaspace','replacement':'▁','prepend_scheme':'always','split':true}", "a  b▁c",
    "▁a|▁|▁b|▁c" },
  { "{'type':'Metaspace','replacement':'▁','prepend_scheme':'always','split':false}", "a  b▁c",
    "▁a▁▁b▁c" },
  { "{'type':'Metaspace','replacement':'▁','prepend_scheme':'first','split':true}", "a  b▁c",
    "▁a|▁|▁b|▁c" },
  { "{'type':'Metaspace','replacement':'▁','prepend_scheme':'first','split':false}", "a  b▁c",
    "▁a▁▁b▁c" },
  { "{'type':'Metaspace','replacement':'▁','prepend_scheme':'never','split':true}", "a  b▁c",
    "a|▁|▁b|▁c" },
  { "{'type':'Metaspace','replacement':'▁','prepend_scheme':'never','split':false}", "a  b▁c",
    "a▁▁b▁c" },
  { "{'type':'Metaspace','replacement':'▁','prepend_scheme':'always','split':true}", " a", "▁a" },
  { "{'type':'Sequence','pretokenizers':[{'type':'WhitespaceSplit'},{'type':'Metaspace',"
    "'replacement':'▁','prepend_scheme':'first','split':true}]}", "a b", "▁a|b" },
  { "{'type':'Sequence','pretokenizers':[{'type':'Digits','individual_digits':true},"
    "{'type':'ByteLevel','add_prefix_space':false,'trim_offsets':true,'use_regex':true}]}", "x 12",
    "x|Ġ|1|2" },
  { "{'type':'Split','pattern':{'Regex':'\\\\s+'},'behavior':'Isolated','invert':false}",
    "a\341\240\216b\302\205c", "a\341\240\216b|\302\205|c" },
  { "{'type':'Split','pattern':{'Regex':'\\\\w+'},'behavior':'Isolated','invert':false}",
    "!\340\244\203Ⓐ‿²!", "!|\340\244\203Ⓐ‿²|!" },
  { "{'type':'Split','pattern':{'Regex':'^a'},'behavior':'Isolated','invert':false}", "b\012a\012a",
    "b\012|a|\012|a" },
  { "{'type':'Split','pattern':{'Regex':'b$'},'behavior':'Isolated','invert':false}", "b\012ab",
    "b|\012a|b" },
  { "{'type':'Split','pattern':{'Regex':'\\\\h+'},'behavior':'Isolated','invert':false}", "xyzabc",
    "xyz|abc" },
  { "{'type':'Split','pattern':{'Regex':'(?m)a.b'},'behavior':'Isolated','invert':false}",
    "a\012ba.b", "a\012b|a.b" },
  { "{'type':'Split','pattern':{'Regex':'\\\\p{N}{1,3}+'},'behavior':'Isolated','invert':false}",
    "a1234567", "a|1234567" },
  { "{'type':'Split','pattern':{'Regex':'\\\\p{Han}+'},'behavior':'Isolated','invert':false}",
    "a漢字ー、b", "a|漢字|ー、b" },
  { "{'type':'Split','pattern':{'Regex':'[a[bc]]+'},'behavior':'Isolated','invert':false}",
    "xxabcx", "xx|abc|x" },
  { "{'type':'Split','pattern':{'Regex':'[a-z&&[^b]]+'},'behavior':'Isolated','invert':false}",
    "xabcx", "xa|b|cx" },
  { "{'type':'Split','pattern':{'Regex':'\\\\p{Letter}+'},'behavior':'Isolated','invert':false}",
    "abc1", "abc|1" },
  { "{'type':'Split','pattern':{'Regex':'\\\\p{^L}+'},'behavior':'Isolated','invert':false}",
    "ab12", "ab|12" },
  { "{'type':'Split','pattern':{'Regex':'a{,2}'},'behavior':'Isolated','invert':false}", "aaa",
    "aa|a" },
  { "{'type':'Split','pattern':{'Regex':'[[:punct:]]+'},'behavior':'Isolated','invert':false}",
    "a$+!b", "a|$+!|b" },
  { "{'type':'Split','pattern':{'Regex':'\\\\x{1F600}'},'behavior':'Isolated','invert':false}", "a😀",
    "a|😀" },
  { "{'type':'Split','pattern':{'Regex':'\\\\bfoo'},'behavior':'Isolated','invert':false}",
    "é foo xfoo", "é |foo| xfoo" },
  { "{'type':'Split','pattern':{'Regex':'\\\\u0041'},'behavior':'Isolated','invert':false}", "xA",
    "x|A" },
  { "{'type':'Split','pattern':{'Regex':'x*'},'behavior':'Isolated','invert':false}", "axxb",
    "a|xx|b" },
  { "{'type':'Split','pattern':{'Regex':'a{2}?'},'behavior':'Isolated','invert':false}", "aaa",
    "aa|a" },
  { "{'type':'Split','pattern':{'Regex':'\\\\QE'},'behavior':'Isolated','invert':false}", "aQE",
    "a|QE" },
  { "{'type':'Split','pattern':{'Regex':'a{b}'},'behavior':'Isolated','invert':false}", "xa{b}",
    "x|a{b}" },
  { "{'type':'Split','pattern':{'Regex':'(?<=a|bb)c'},'behavior':'Isolated','invert':false}",
    "bbcac", "bb|c|a|c" },
  { "{'type':'Split','pattern':{'Regex':'[\\\\S]+'},'behavior':'Isolated','invert':false}",
    "a \341\240\216", "a| |\341\240\216" },
  { "{'type':'Split','pattern':{'Regex':'(?i:\\u0027s|\\u0027ll)'},'behavior':'Isolated',"
    "'invert':false}", "x'ſ'LL", "x|'ſ|'LL" },
  { "{'type':'Split','pattern':{'Regex':'a(?#comment)b'},'behavior':'Isolated','invert':false}",
    "xab", "x|ab" },
  { "{'type':'Split','pattern':{'Regex':'(?:ab){1,2}+c'},'behavior':'Isolated','invert':false}",
    "xababababc", "x|ababababc" },
  { "{'type':'Split','pattern':{'Regex':'\\\\v'},'behavior':'Isolated','invert':false}",
    "a\013b\014", "a|\013|b\014" },
  { "{'type':'Split','pattern':{'Regex':'a++b|a?+c'},'behavior':'Isolated','invert':false}",
    "aabac", "aab|ac" },
  { "{'type':'Split','pattern':{'Regex':'\\\\P{Alpha}+'},'behavior':'Isolated','invert':false}",
    "ab1!", "ab|1!" },
  { "{'type':'Split','pattern':{'Regex':'[^\\\\s\\\\p{L}\\\\p{N}]+'},'behavior':'Isolated',"
    "'invert':false}", "a!?\314\201 b", "a|!?\314\201| b" },
};

static const Case normalizers[] = {
  { "{'type':'NFC'}", "e\314\201 a\314\212\314\201 각 ﬁ", "é ǻ 각 ﬁ" },
  { "{'type':'NFD'}", "éǻ각", "e\314\201a\314\212\314\201각" },
  { "{'type':'NFKC'}", "ﬁ½㍿ｶﾞÅ", "fi1⁄2株式会社ガÅ" },
  { "{'type':'NFKD'}", "ﬁ½é", "fi1⁄2e\314\201" },
  { "{'type':'Lowercase'}", "ÀÉİΣ\341\272\236", "àéi\314\207σß" },
  { "{'type':'Strip','strip_left':true,'strip_right':true}", "\343\200\200 a b\302\205\012",
    "a b" },
  { "{'type':'Strip','strip_left':false,'strip_right':true}", " a ", " a" },
  { "{'type':'Prepend','prepend':'▁'}", "a", "▁a" },
  { "{'type':'Prepend','prepend':'▁'}", "", "" },
  { "{'type':'Replace','pattern':{'String':' '},'content':'▁'}", " a  b", "▁a▁▁b" },
  { "{'type':'Replace','pattern':{'Regex':' {2,}'},'content':' '}", "a   b c", "a b c" },
  { "{'type':'Replace','pattern':{'String':'a.'},'content':''}", "xa.ab", "xab" },
  { "{'type':'Sequence','normalizers':[{'type':'Prepend','prepend':'_'},{'type':'Lowercase'}]}",
    "AB", "_ab" },
};

static void
test_pretokenizers (void)
{
  g_autoptr (PeftRegexScratch) scratch = peft_regex_scratch_new ();

  for (gsize i = 0; i < G_N_ELEMENTS (pretokenizers); i++)
    {
      const Case *c = &pretokenizers[i];
      g_autoptr (PeftJson) json = json_tree (c->json);
      g_autoptr (GError) error = NULL;
      g_autoptr (PeftPretokenizer) pretokenizer = peft_pretokenizer_new_from_json (json, &error);
      g_auto (PeftPieces) pieces = { NULL, NULL };
      g_autoptr (GString) found = g_string_new (NULL);

      g_assert_no_error (error);
      peft_pieces_init (&pieces, peft_aligned_text_new (c->text, strlen (c->text), 0, TRUE));
      peft_pretokenizer_apply (pretokenizer, scratch, &pieces, &error);
      g_assert_no_error (error);
      for (guint k = 0; k < pieces.pieces->len; k++)
        {
          const PeftPiece *piece = &g_array_index (pieces.pieces, PeftPiece, k);
          PeftSpan span = peft_aligned_text_get_span (pieces.text, piece->start, piece->end);

          g_assert_cmpuint (span.start, <=, span.end);
          g_assert_cmpuint (span.end, <=, strlen (c->text));
          if (k > 0)
            g_string_append_c (found, '|');
          g_string_append_len (found, pieces.text->text->str + piece->start,
                               piece->end - piece->start);
        }
      g_test_message ("%s", c->json);
      g_assert_cmpstr (found->str, ==, c->expected);
    }
}

static void
test_normalizers (void)
{
  g_autoptr (PeftRegexScratch) scratch = peft_regex_scratch_new ();

  for (gsize i = 0; i < G_N_ELEMENTS (normalizers); i++)
    for (int tracked = 0; tracked < 2; tracked++)
      {
        const Case *c = &normalizers[i];
        g_autoptr (PeftJson) json = json_tree (c->json);
        g_autoptr (GError) error = NULL;
        g_autoptr (PeftNormalizer) normalizer = peft_normalizer_new_from_json (json, &error);
        g_autoptr (PeftAlignedText) text =
            peft_aligned_text_new (c->text, strlen (c->text), 0, tracked);

        g_assert_no_error (error);
        peft_normalizer_apply (normalizer, scratch, &text, &error);
        g_assert_no_error (error);
        g_test_message ("%s", c->json);
        g_assert_cmpstr (text->text->str, ==, c->expected);
        if (text->spans != NULL)
          g_assert_cmpuint (text->spans->len, ==, text->text->len);
      }
}

/* What a character was made of stays known. */
static void
test_spans (void)
{
  const char *source = "ae\xcc\x81\xef\xac\x81z"; /* a, e with an accent of its own, the ligature fi, z */
  static const PeftSpan expected[] = { { 0, 1 }, { 1, 4 }, { 1, 4 }, { 4, 7 }, { 4, 7 }, { 7, 8 } };
  g_autoptr (PeftAlignedText) text = peft_aligned_text_new (source, strlen (source), 0, TRUE);

  peft_normalize_unicode (G_NORMALIZE_NFKC, &text);
  g_assert_cmpstr (text->text->str, ==, "a\xc3\xa9" "fiz");
  for (gsize i = 0; i < G_N_ELEMENTS (expected); i++)
    {
      PeftSpan span = peft_aligned_text_get_span (text, i, i + 1);
      g_assert_cmpuint (span.start, ==, expected[i].start);
      g_assert_cmpuint (span.end, ==, expected[i].end);
    }
}

/* NUL is a character of the text. */
static void
test_nul (void)
{
  g_autoptr (PeftAlignedText) text =
      peft_aligned_text_new ("\0e\xcc\x81\0\xcc\x81\0", 8, 0, TRUE);

  peft_normalize_unicode (G_NORMALIZE_NFC, &text);
  g_assert_cmpmem (text->text->str, text->text->len, "\0\xc3\xa9\0\xcc\x81\0", 7);
}

typedef struct
{
  const char *json;
  PeftError code;
  const char *words;
} Refused;

static void
test_refused (void)
{
  static const Refused cases[] = {
    { "{'type':'BertPreTokenizer'}", PEFT_ERROR_UNSUPPORTED, "BertPreTokenizer" },
    { "{'type':7}", PEFT_ERROR_INVALID_FILE, "type: expected a string, found integer" },
    { "[]", PEFT_ERROR_INVALID_FILE, "expected an object, found array" },
    { "{'type':'Split','behavior':'Isolated'}", PEFT_ERROR_INVALID_FILE, "pattern" },
    { "{'type':'Split','pattern':{'Regex':'('},'behavior':'Isolated'}", PEFT_ERROR_INVALID_FILE,
      "the regular expression “(” is invalid" },
    { "{'type':'Split','pattern':{'Regex':'a'},'behavior':'Sideways'}", PEFT_ERROR_INVALID_FILE,
      "behavior: “Sideways”" },
    { "{'type':'Split','pattern':{'Regex':'[a'},'behavior':'Isolated'}", PEFT_ERROR_INVALID_FILE,
      "ends too early" },
    { "{'type':'Split','pattern':{'Regex':'(*LIMIT_MATCH=1)a'},'behavior':'Isolated'}",
      PEFT_ERROR_UNSUPPORTED, "(*" },
    { "{'type':'Split','pattern':{'Regex':'[[:nosuch:]]'},'behavior':'Isolated'}",
      PEFT_ERROR_UNSUPPORTED, "nosuch" },
    { "{'type':'Split','pattern':{'Regex':'[a[^b]]'},'behavior':'Isolated'}",
      PEFT_ERROR_UNSUPPORTED, "negated brackets within brackets" },
    { "{'type':'Split','pattern':{'Regex':'\\\\C'},'behavior':'Isolated'}", PEFT_ERROR_INVALID_FILE,
      "invalid" },
    { "{'type':'Metaspace','replacement':'ab'}", PEFT_ERROR_INVALID_FILE,
      "replacement: expected one character" },
    { "{'type':'Metaspace','replacement':'_','prepend_scheme':'last'}", PEFT_ERROR_INVALID_FILE,
      "prepend_scheme: “last”" },
    { "{'type':'Sequence'}", PEFT_ERROR_INVALID_FILE, "pretokenizers: expected an array" },
    { "{'type':'Sequence','pretokenizers':[{'type':'Digits'},{'type':'X'}]}",
      PEFT_ERROR_UNSUPPORTED, "pretokenizers[1]: the pre-tokenizer “X” is not supported" },
    { "{'type':'Digits','individual_digits':'yes'}", PEFT_ERROR_INVALID_FILE,
      "individual_digits" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (PeftJson) json = json_tree (cases[i].json);
      g_autoptr (GError) error = NULL;

      g_assert_null (peft_pretokenizer_new_from_json (json, &error));
      g_assert_error (error, PEFT_ERROR, (int) cases[i].code);
      g_test_message ("%s", error->message);
      g_assert_nonnull (strstr (error->message, cases[i].words));
    }
}

/* A Sequence nested once more than allowed. */
static void
test_depth_limit (void)
{
  for (guint extra = 0; extra < 2; extra++)
    {
      g_autoptr (GString) text = g_string_new (NULL);
      g_autoptr (PeftJson) json = NULL;
      g_autoptr (PeftNormalizer) normalizer = NULL;
      g_autoptr (GError) error = NULL;

      for (guint i = 0; i < 16 + extra; i++)
        g_string_append (text, "{'type':'Sequence','normalizers':[");
      for (guint i = 0; i < 16 + extra; i++)
        g_string_append (text, "]}");
      json = json_tree (text->str);
      normalizer = peft_normalizer_new_from_json (json, &error);
      if (extra == 0)
        g_assert_no_error (error);
      else
        g_assert_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT);
    }
}

/* A pattern that backtracks without end is given up, not waited for. */
static void
test_match_limit (void)
{
  g_autoptr (PeftRegexScratch) scratch = peft_regex_scratch_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftRegex) regex = peft_regex_new ("(?:x+x+)+[yz]", 13, &error);
  g_autofree char *text = g_strnfill (40, 'x');
  PeftRegexCursor cursor = { 0, -1 };
  gsize start, end;

  g_assert_no_error (error);
  g_assert_cmpint (peft_regex_next (regex, scratch, text, 40, &cursor, &start, &end, &error), ==,
                   -1);
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT);
}

static void
test_pattern_limits (void)
{
  g_autofree char *longest = g_strnfill (PEFT_REGEX_MAX_PATTERN_BYTES + 1, 'a');
  g_autofree char *nested = g_strnfill (2 * PEFT_REGEX_MAX_DEPTH + 2, '[');
  g_autoptr (GError) error = NULL;

  g_assert_null (peft_regex_new (longest, PEFT_REGEX_MAX_PATTERN_BYTES + 1, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT);
  g_clear_error (&error);
  g_assert_null (peft_regex_new (nested, strlen (nested), &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED);
  g_assert_nonnull (strstr (error->message, "nested too deeply"));
  g_clear_error (&error);
  g_assert_null (peft_regex_new ("a\xff", 2, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE);
}

/* Replace may not make a text of any size. */
static void
test_growth_limit (void)
{
  g_autoptr (PeftRegexScratch) scratch = peft_regex_scratch_new ();
  g_autofree char *content = g_strnfill (1 << 20, 'b');
  g_autofree char *json_source = g_strdup_printf (
      "{'type':'Replace','pattern':{'String':'a'},'content':'%s'}", content);
  g_autoptr (PeftJson) json = json_tree (json_source);
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftNormalizer) normalizer = peft_normalizer_new_from_json (json, &error);
  g_autofree char *source = g_strnfill (1024, 'a');
  g_autoptr (PeftAlignedText) text = peft_aligned_text_new (source, 1024, 0, FALSE);

  g_assert_no_error (error);
  g_assert_false (peft_normalizer_apply (normalizer, scratch, &text, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Pretokenizer/kinds", test_pretokenizers);
  g_test_add_func ("/Peft/Pretokenizer/refused", test_refused);
  g_test_add_func ("/Peft/Normalizer/kinds", test_normalizers);
  g_test_add_func ("/Peft/Normalizer/spans", test_spans);
  g_test_add_func ("/Peft/Normalizer/nul", test_nul);
  g_test_add_func ("/Peft/Normalizer/depth-limit", test_depth_limit);
  g_test_add_func ("/Peft/Normalizer/growth-limit", test_growth_limit);
  g_test_add_func ("/Peft/Regex/match-limit", test_match_limit);
  g_test_add_func ("/Peft/Regex/pattern-limits", test_pattern_limits);
  return g_test_run ();
}
