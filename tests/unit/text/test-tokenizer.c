/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Expected values were made with Hugging Face's tokenizers 0.23. */
#include "text-testing.h"

#include "text/peft-added-tokens.h"

#define VOCAB "'vocab':{'a':0,'b':1,'c':2,'ab':3,'bc':4,'abc':5,' ':6}"
#define MERGES "'merges':['b c','a b',['a','bc']]"
#define ADDED(id, content, flags) "{'id':" #id ",'content':'" content "','normalized':false" flags "}"
#define WITH_ADDED(tokens) "{'added_tokens':[" tokens "],'model':{'type':'BPE'," VOCAB ",'merges':[]}}"

static void
test_merges (void)
{
  g_autoptr (PeftTokenizerCore) tokenizer =
      tokenizer_new ("{'model':{'type':'BPE'," VOCAB "," MERGES "}}");
  g_autoptr (PeftTokenizerCore) old = tokenizer_new ("{'model':{" VOCAB "," MERGES "}}");

  /* b c goes first, and then makes a bc one token. */
  assert_encodes (tokenizer, "abc", "5");
  assert_encodes (tokenizer, "ab", "3");
  assert_encodes (tokenizer, "aabcb", "0 5 1");
  assert_encodes (tokenizer, "", "");
  /* No unk_token: what is unknown is left out. */
  assert_encodes (tokenizer, "axb", "3");
  assert_encodes (old, "abc", "5");
}

/* The heap for long words and the scan for short ones join the same pairs. */
static void
test_long_words (void)
{
  g_autoptr (PeftTokenizerCore) tokenizer =
      tokenizer_new ("{'model':{'type':'BPE','vocab':{'a':0,'aa':1,'aaa':2,'aaaa':3},"
                     "'merges':['aa aa','a a','aa a']}}");

  for (gsize n = 1; n < 70; n++)
    {
      g_autofree char *text = g_strnfill (n, 'a');
      g_autofree char *found = encode_text (tokenizer, text, -1, FALSE);
      g_autoptr (GString) expected = g_string_new (NULL);
      gsize left = n;

      /* Pairs from the left, joined to fours at once; what remains is 1, 2 or 3. */
      for (; left >= 4; left -= 4)
        g_string_append (expected, expected->len > 0 ? " 3" : "3");
      if (left > 0)
        g_string_append_printf (expected, expected->len > 0 ? " %d" : "%d", (int) left - 1);
      g_assert_cmpstr (found, ==, expected->str);
    }
}

static void
test_no_quadratic (void)
{
  g_autoptr (PeftTokenizerCore) tokenizer = tokenizer_new (
      "{'model':{'type':'BPE','vocab':{'a':0,'aa':1,'aaaa':2},'merges':['a a','aa aa']}}");
  g_autofree char *text = g_strnfill (1 << 20, 'a');
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  g_autoptr (GError) error = NULL;
  gint64 start = g_get_monotonic_time ();

  peft_tokenizer_core_encode (tokenizer, text, 1 << 20, FALSE, ids, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (ids->len, ==, 1 << 18);
  /* It takes below a second; a quadratic way would take hours. */
  g_assert_cmpint (g_get_monotonic_time () - start, <, 60 * G_USEC_PER_SEC);
}

static void
test_unknown (void)
{
  g_autoptr (PeftTokenizerCore) fused = tokenizer_new (
      "{'model':{'type':'BPE','unk_token':'?','fuse_unk':true,'vocab':{'?':0,'a':1},'merges':[]}}");
  g_autoptr (PeftTokenizerCore) single = tokenizer_new (
      "{'model':{'type':'BPE','unk_token':'?','vocab':{'?':0,'a':1},'merges':[]}}");

  assert_encodes (fused, "xyaz", "0 1 0");
  assert_encodes (single, "xyaz", "0 0 1 0");
}

static void
test_byte_fallback (void)
{
  g_autoptr (PeftTokenizerCore) tokenizer = tokenizer_new (
      "{'model':{'type':'BPE','unk_token':'?','byte_fallback':true,'vocab':{'?':0,'a':1,"
      "'<0xC3>':2,'<0xA9>':3},'merges':[]}}");

  assert_encodes (tokenizer, "aé", "1 2 3");
  /* Only when all bytes are there. */
  assert_encodes (tokenizer, "aè", "1 0");
}

static void
test_ignore_merges (void)
{
  g_autoptr (PeftTokenizerCore) with = tokenizer_new (
      "{'model':{'type':'BPE','ignore_merges':true,'vocab':{'a':0,'b':1,'ab':2},'merges':[]}}");
  g_autoptr (PeftTokenizerCore) without =
      tokenizer_new ("{'model':{'type':'BPE','vocab':{'a':0,'b':1,'ab':2},'merges':[]}}");

  assert_encodes (with, "ab", "2");
  assert_encodes (with, "aba", "0 1 0");
  assert_encodes (without, "ab", "0 1");
}

static void
test_affixes (void)
{
  g_autoptr (PeftTokenizerCore) tokenizer = tokenizer_new (
      "{'pre_tokenizer':{'type':'WhitespaceSplit'},'model':{'type':'BPE',"
      "'continuing_subword_prefix':'##','end_of_word_suffix':'</w>','vocab':{'a':0,'##b':1,"
      "'##b</w>':2,'a</w>':3,'ab</w>':4},'merges':['a ##b</w>']}}");

  assert_encodes (tokenizer, "a ab abb", "3 4 0 1 2");
}

static void
test_added_tokens (void)
{
  g_autoptr (PeftTokenizerCore) longest =
      tokenizer_new (WITH_ADDED (ADDED (7, "<x>", "") "," ADDED (8, "<x><y", "") "," ADDED (
          9, "x><", "") "," ADDED (10, "<s>", ",'special':true")));
  g_autoptr (PeftTokenizerCore) strip = tokenizer_new (
      WITH_ADDED (ADDED (7, "<x>", ",'lstrip':true,'rstrip':true") "," ADDED (8, "  ", "")));
  g_autoptr (PeftTokenizerCore) word =
      tokenizer_new (WITH_ADDED (ADDED (7, "xy", ",'single_word':true") "," ADDED (8, "y", "")));

  assert_encodes (longest, "a<x>b", "0 7 1");
  assert_encodes (longest, "a<x><yb", "0 8 1");
  assert_encodes (longest, "a<x><zb", "0 7 1");
  assert_encodes (longest, "<s><x", "10");
  g_assert_true (peft_tokenizer_core_is_special (longest, 10));
  g_assert_false (peft_tokenizer_core_is_special (longest, 7));
  g_assert_false (peft_tokenizer_core_is_special (longest, 0));
  /* Two spaces begin before the token does; a token with rstrip overlaps the next match. */
  assert_encodes (strip, "a  <x>  <x> b", "0 8 7 8 7 1");
  assert_encodes (strip, "a <x>b", "0 7 1");
  /* A match within a word is passed over, not searched for others. */
  assert_encodes (word, "cxy xy y", "2 6 7 6 8");
  assert_encodes (word, "xy\xcc\x81 xy", "6 7");
}

static void
test_normalized_added_tokens (void)
{
  g_autoptr (PeftTokenizerCore) tokenizer =
      tokenizer_new ("{'normalizer':{'type':'Lowercase'},'added_tokens':["
                     "{'id':7,'content':'AB','normalized':true},"
                     "{'id':8,'content':'AC','normalized':false}],"
                     "'model':{'type':'BPE'," VOCAB ",'merges':[]}}");
  g_autofree char *token = peft_tokenizer_core_id_to_token (tokenizer, 7);

  assert_encodes (tokenizer, "aBac", "7 0 2");
  assert_encodes (tokenizer, "AC", "8");
  g_assert_cmpstr (token, ==, "ab");
  g_assert_cmpint (peft_tokenizer_core_token_to_id (tokenizer, "AB", -1), ==, 7);
}

static void
test_post_processor (void)
{
  static const char *const sources[] = {
    "{'type':'TemplateProcessing','single':[{'SpecialToken':{'id':'x','type_id':0}},"
    "{'Sequence':{'id':'A','type_id':0}},{'SpecialToken':{'id':'y','type_id':0}}],'pair':[],"
    "'special_tokens':{'x':{'id':'x','ids':[3,4],'tokens':['x','y']},"
    "'y':{'id':'y','ids':[5],'tokens':['y']}}}",
    "{'type':'Sequence','processors':[{'type':'ByteLevel'},{'type':'TemplateProcessing',"
    "'single':[{'SpecialToken':{'id':'x','type_id':0}},{'Sequence':{'id':'A','type_id':0}}],"
    "'special_tokens':{'x':{'id':'x','ids':[3],'tokens':['x']}}}]}",
    "{'type':'RobertaProcessing','sep':['</s>',5],'cls':['<s>',3]}",
  };
  static const char *const expected[] = { "3 4 0 5", "3 0", "3 0 5" };

  for (gsize i = 0; i < G_N_ELEMENTS (sources); i++)
    {
      g_autofree char *text = g_strdup_printf (
          "{'post_processor':%s,'model':{'type':'BPE'," VOCAB ",'merges':[]}}", sources[i]);
      g_autoptr (PeftTokenizerCore) tokenizer = tokenizer_new (text);
      g_autofree char *with = encode_text (tokenizer, "a", -1, TRUE);

      g_assert_cmpstr (with, ==, expected[i]);
      assert_encodes (tokenizer, "a", "0");
    }
}

/* Where ids came from, through a normalizer that makes text longer and a byte-level alphabet. */
static void
test_spans (void)
{
  g_autoptr (PeftTokenizerCore) tokenizer = tokenizer_new (
      "{'normalizer':{'type':'NFC'},'pre_tokenizer':{'type':'ByteLevel','add_prefix_space':true},"
      "'added_tokens':[{'id':6,'content':'<x>','normalized':false}],"
      "'post_processor':{'type':'TemplateProcessing','single':[{'SpecialToken':{'id':'s'}},"
      "{'Sequence':{'id':'A'}}],'special_tokens':{'s':{'ids':[4]}}},"
      "'model':{'type':'BPE','vocab':{'Ġ':0,'a':1,'Ã':2,'©':3,'s':4,'Ġa':5},'merges':['Ġ a']}}");
  const char *text = "ae\xcc\x81<x>a a";
  static const gint32 ids_expected[] = { 4, 5, 2, 3, 6, 5, 5 };
  static const PeftSpan expected[] = { { 0, 0 }, { 0, 1 }, { 1, 4 }, { 1, 4 },
                                       { 4, 7 }, { 7, 8 }, { 8, 10 } };
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  g_autoptr (GArray) spans = g_array_new (FALSE, FALSE, sizeof (PeftSpan));
  g_autoptr (GError) error = NULL;

  peft_tokenizer_core_encode (tokenizer, text, -1, TRUE, ids, spans, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (ids->data, ids->len * sizeof (gint32), ids_expected, sizeof ids_expected);
  g_assert_cmpmem (spans->data, spans->len * sizeof (PeftSpan), expected, sizeof expected);
}

static void
test_lookups (void)
{
  g_autoptr (PeftTokenizerCore) tokenizer = tokenizer_new (WITH_ADDED (
      ADDED (6, " ", "") "," ADDED (7, "<x>", "") "," ADDED (8, "<y>", ",'special':true")));
  g_autofree char *ab = peft_tokenizer_core_id_to_token (tokenizer, 3);

  g_assert_cmpstr (ab, ==, "ab");
  g_assert_null (peft_tokenizer_core_id_to_token (tokenizer, 9));
  g_assert_null (peft_tokenizer_core_id_to_token (tokenizer, -1));
  g_assert_cmpint (peft_tokenizer_core_token_to_id (tokenizer, "<y>", -1), ==, 8);
  g_assert_cmpint (peft_tokenizer_core_token_to_id (tokenizer, "abc", 2), ==, 3);
  g_assert_cmpint (peft_tokenizer_core_token_to_id (tokenizer, "zz", -1), ==, -1);
  g_assert_cmpuint (peft_tokenizer_core_get_vocab_size (tokenizer), ==, 9);
  g_assert_cmpint (peft_tokenizer_core_get_max_id (tokenizer), ==, 8);
}

static void
test_nul_and_invalid_text (void)
{
  g_autoptr (PeftTokenizerCore) tokenizer = tokenizer_new (
      "{'pre_tokenizer':{'type':'ByteLevel','add_prefix_space':false},'decoder':"
      "{'type':'ByteLevel'},'model':{'type':'BPE','vocab':{'a':0,'Ā':1},'merges':[]}}");
  g_autofree char *found = encode_text (tokenizer, "a\0a", 3, FALSE);
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  g_autoptr (GError) error = NULL;
  static const gint32 back[] = { 0, 1, 0 };
  gsize length;
  g_autofree char *decoded =
      peft_tokenizer_core_decode (tokenizer, back, 3, FALSE, &length, NULL);

  g_assert_cmpstr (found, ==, "0 1 0");
  g_assert_cmpmem (decoded, length, "a\0a", 3);
  g_assert_false (peft_tokenizer_core_encode (tokenizer, "a\xed\xa0\x80", 4, FALSE, ids, NULL,
                                              &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA);
  g_assert_cmpuint (ids->len, ==, 0);
}

typedef struct
{
  const char *json;
  const char *words;
} Refused;

static void
test_refused (void)
{
  static const Refused cases[] = {
    { "[]", "tokenizer.json: model: expected an object, found nothing" },
    { "{", "tokenizer.json: line 1" },
    { "{}", "model: expected an object, found nothing" },
    { "{'model':{'type':'Unigram'}}", "model: the model “Unigram” is not supported" },
    { "{'model':{'type':'WordPiece'}}", "“WordPiece” is not supported" },
    { "{'model':{'type':'BPE'}}", "model: merges: expected an array, found nothing" },
    { "{'model':{'type':'BPE','merges':[]}}", "model: vocab: expected an object" },
    { "{'model':{'type':'BPE','vocab':[],'merges':[]}}", "vocab: expected an object, found array" },
    { "{'model':{'type':'BPE','vocab':{'a':'b'},'merges':[]}}",
      "vocab: expected an integer for “a”, found string" },
    { "{'model':{'type':'BPE','vocab':{'a':-1},'merges':[]}}", "id -1, expected 0 to" },
    { "{'model':{'type':'BPE','vocab':{'a':4194304},'merges':[]}}", "id 4194304, expected 0 to" },
    { "{'model':{'type':'BPE'," VOCAB ",'merges':['a x']}}",
      "model: merges[0]: “x” is not in the vocabulary" },
    { "{'model':{'type':'BPE'," VOCAB ",'merges':['a b','a c']}}",
      "merges[1]: “ac” is not in the vocabulary" },
    { "{'model':{'type':'BPE'," VOCAB ",'merges':['ab']}}", "merges[0]: expected two tokens" },
    { "{'model':{'type':'BPE'," VOCAB ",'merges':['a b c']}}", "merges[0]: expected two tokens" },
    { "{'model':{'type':'BPE'," VOCAB ",'merges':[['a']]}}",
      "merges[0]: expected a string or two strings" },
    { "{'model':{'type':'BPE'," VOCAB ",'merges':[],'unk_token':'zz'}}", "unk_token: “zz”" },
    { "{'model':{'type':'BPE'," VOCAB ",'merges':[],'dropout':0.5}}", "dropout" },
    { "{'model':{'type':'BPE'," VOCAB ",'merges':[],'fuse_unk':1}}", "fuse_unk" },
    { "{'model':{'type':'BPE'," VOCAB
      ",'merges':[],'byte_fallback':true,'end_of_word_suffix':'</w>'}}",
      "byte_fallback together with" },
    { WITH_ADDED (ADDED (12, "<x>", "")), "added_tokens[0]: id: “<x>” has 12, but" },
    { WITH_ADDED ("{'id':7}"), "added_tokens[0]: content: expected a string" },
    { WITH_ADDED ("7"), "added_tokens[0]: expected an object" },
    { "{'added_tokens':{},'model':{'type':'BPE'," VOCAB ",'merges':[]}}",
      "added_tokens: expected an array" },
    { "{'normalizer':{'type':'Precompiled'},'model':{'type':'BPE'," VOCAB ",'merges':[]}}",
      "normalizer: the normalizer “Precompiled” is not supported" },
    { "{'pre_tokenizer':{'type':'Split','pattern':{'Regex':'*'},'behavior':'Isolated'},"
      "'model':{'type':'BPE'," VOCAB ",'merges':[]}}",
      "tokenizer.json: pre_tokenizer: the regular expression “*” is invalid" },
    { "{'decoder':{'type':'CTC'},'model':{'type':'BPE'," VOCAB ",'merges':[]}}",
      "decoder: the decoder “CTC” is not supported" },
    { "{'post_processor':{'type':'X'},'model':{'type':'BPE'," VOCAB ",'merges':[]}}",
      "post_processor: the post-processor “X” is not supported" },
    { "{'post_processor':{'type':'TemplateProcessing','single':[{'Sequence':{'id':'B'}}]},"
      "'model':{'type':'BPE'," VOCAB ",'merges':[]}}",
      "post_processor: single: expected the sequence A once" },
    { "{'post_processor':{'type':'TemplateProcessing','single':[{'SpecialToken':{'id':'z'}},"
      "{'Sequence':{'id':'A'}}]},'model':{'type':'BPE'," VOCAB ",'merges':[]}}",
      "special_tokens: expected ids for “z”" },
    { "{'post_processor':{'type':'RobertaProcessing','cls':['a',0],'sep':['b',99]},"
      "'model':{'type':'BPE'," VOCAB ",'merges':[]}}",
      "sep: the id 99 is not in the vocabulary" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *text = json_text (cases[i].json);
      g_autoptr (GError) error = NULL;

      g_assert_null (
          peft_tokenizer_core_new_from_text (text, -1, "tokenizer.json", &error));
      g_assert_nonnull (error);
      g_test_message ("%s", error->message);
      g_assert_true (g_str_has_prefix (error->message, "tokenizer.json: "));
      g_assert_nonnull (strstr (error->message, cases[i].words));
    }
}

static void
assert_limit (const char *quoted)
{
  g_autofree char *text = json_text (quoted);
  g_autoptr (GError) error = NULL;

  g_assert_null (peft_tokenizer_core_new_from_text (text, -1, "tokenizer.json", &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT);
}

static void
test_limits (void)
{
  g_autofree char *token = g_strnfill (PEFT_VOCAB_MAX_TOKEN_BYTES + 1, 'a');
  g_autofree char *affix = g_strnfill (65, 'a');
  g_autofree char *added = g_strnfill (PEFT_ADDED_TOKENS_MAX_BYTES + 1, 'a');
  g_autofree char *long_token =
      g_strdup_printf ("{'model':{'type':'BPE','vocab':{'%s':0},'merges':[]}}", token);
  g_autofree char *long_affix = g_strdup_printf (
      "{'model':{'type':'BPE'," VOCAB ",'merges':[],'end_of_word_suffix':'%s'}}", affix);
  g_autofree char *long_added = g_strdup_printf (
      "{'added_tokens':[{'id':7,'content':'%s'}],'model':{'type':'BPE'," VOCAB ",'merges':[]}}",
      added);
  g_autoptr (GString) template = g_string_new (
      "{'post_processor':{'type':'TemplateProcessing','single':[{'Sequence':{'id':'A'}},"
      "{'SpecialToken':{'id':'x'}}],'special_tokens':{'x':{'ids':[0");

  assert_limit (long_token);
  assert_limit (long_affix);
  assert_limit (long_added);
  for (guint i = 0; i < PEFT_TOKENIZER_MAX_TEMPLATE_TOKENS; i++)
    g_string_append (template, ",0");
  g_string_append (template, "]}}},'model':{'type':'BPE'," VOCAB ",'merges':[]}}");
  assert_limit (template->str);
}

/* Crossed with a length alone: the text is not looked at. */
static void
test_text_limit (void)
{
  g_autoptr (PeftTokenizerCore) tokenizer =
      tokenizer_new ("{'model':{'type':'BPE'," VOCAB "," MERGES "}}");
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  g_autoptr (GError) error = NULL;

  g_assert_false (peft_tokenizer_core_encode (
      tokenizer, "a", (gssize) PEFT_TOKENIZER_MAX_TEXT_BYTES + 1, FALSE, ids, NULL, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT);
}

static gpointer
encode_thread (gpointer data)
{
  PeftTokenizerCore *tokenizer = data;

  for (int i = 0; i < 2000; i++)
    {
      assert_encodes (tokenizer, "abcab", "5 3");
      assert_encodes (tokenizer, "cba", "2 1 0");
    }
  return NULL;
}

static void
test_threads (void)
{
  g_autoptr (PeftTokenizerCore) tokenizer =
      tokenizer_new ("{'model':{'type':'BPE'," VOCAB "," MERGES "}}");
  GThread *threads[4];

  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("encode", encode_thread, tokenizer);
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
}

static char *
find_shared (const char *path)
{
  const char *shared = g_getenv ("PEFT_SHARED");
  const char *root = g_getenv ("PEFT_TEST_ROOT");

  return shared != NULL ? g_build_filename (shared, path, NULL)
                        : g_build_filename (root != NULL ? root : ".", "..", "shared", path, NULL);
}

static void
test_stories (void)
{
  g_autofree char *folder = find_shared ("models/stories260k");
  g_autofree char *path = g_build_filename (folder, "tokenizer_cases.jsonl", NULL);
  g_autoptr (PeftTokenizerCore) tokenizer = NULL;
  g_autofree char *contents = NULL;
  g_auto (GStrv) lines = NULL;
  g_autoptr (GError) error = NULL;
  guint n = 0;

  if (!g_file_get_contents (path, &contents, NULL, NULL))
    {
      g_test_skip ("stories260k is not there: set PEFT_SHARED");
      return;
    }
  tokenizer = peft_tokenizer_core_load (folder, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (peft_tokenizer_core_get_vocab_size (tokenizer), ==, 512);
  g_assert_cmpint (peft_tokenizer_core_get_special_id (tokenizer, PEFT_SPECIAL_BOS), ==, 1);
  g_assert_cmpint (peft_tokenizer_core_get_special_id (tokenizer, PEFT_SPECIAL_EOS), ==, 2);
  g_assert_cmpint (peft_tokenizer_core_get_special_id (tokenizer, PEFT_SPECIAL_PAD), ==, -1);
  g_assert_cmpint (peft_tokenizer_core_get_special_id (tokenizer, PEFT_SPECIAL_UNK), ==, 0);
  g_assert_cmpuint (peft_tokenizer_core_get_model_max_length (tokenizer), ==, 512);
  g_assert_true (peft_tokenizer_core_adds_bos (tokenizer));
  g_assert_false (peft_tokenizer_core_adds_eos (tokenizer));
  lines = g_strsplit (contents, "\n", -1);
  for (guint i = 0; lines[i] != NULL && *lines[i] != 0; i++, n++)
    {
      g_autoptr (PeftJson) json =
          peft_json_parse (lines[i], -1, PEFT_JSON_PARSE_DEFAULT, &error);
      const PeftJson *text = peft_json_get_member (json, "text");
      const PeftJson *expected = peft_json_get_member (json, "ids");
      g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));
      g_autofree char *back = NULL;
      gsize length;

      g_assert_no_error (error);
      peft_tokenizer_core_encode (tokenizer, peft_json_get_string (text),
                                  (gssize) peft_json_get_string_length (text), TRUE, ids, NULL,
                                  &error);
      g_assert_no_error (error);
      g_test_message ("%s", lines[i]);
      g_assert_cmpuint (ids->len, ==, peft_json_get_length (expected));
      for (guint k = 0; k < ids->len; k++)
        {
          gint64 id;

          g_assert_true (peft_json_get_int (peft_json_get_element (expected, k), &id));
          g_assert_cmpint (g_array_index (ids, gint32, k), ==, id);
        }
      /* Spaces, tabs and bytes all come back. */
      back = peft_tokenizer_core_decode (tokenizer, (const gint32 *) ids->data, ids->len, TRUE,
                                         &length, &error);
      g_assert_no_error (error);
      if (strstr (peft_json_get_string (text), "▁") == NULL &&
          strchr (peft_json_get_string (text), '<') == NULL)
        g_assert_cmpmem (back, length, peft_json_get_string (text),
                         peft_json_get_string_length (text));
    }
  g_assert_cmpuint (n, >, 50);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Tokenizer/merges", test_merges);
  g_test_add_func ("/Peft/Tokenizer/long-words", test_long_words);
  g_test_add_func ("/Peft/Tokenizer/no-quadratic", test_no_quadratic);
  g_test_add_func ("/Peft/Tokenizer/unknown", test_unknown);
  g_test_add_func ("/Peft/Tokenizer/byte-fallback", test_byte_fallback);
  g_test_add_func ("/Peft/Tokenizer/ignore-merges", test_ignore_merges);
  g_test_add_func ("/Peft/Tokenizer/affixes", test_affixes);
  g_test_add_func ("/Peft/Tokenizer/added-tokens", test_added_tokens);
  g_test_add_func ("/Peft/Tokenizer/normalized-added-tokens", test_normalized_added_tokens);
  g_test_add_func ("/Peft/Tokenizer/post-processor", test_post_processor);
  g_test_add_func ("/Peft/Tokenizer/spans", test_spans);
  g_test_add_func ("/Peft/Tokenizer/lookups", test_lookups);
  g_test_add_func ("/Peft/Tokenizer/nul-and-invalid-text", test_nul_and_invalid_text);
  g_test_add_func ("/Peft/Tokenizer/refused", test_refused);
  g_test_add_func ("/Peft/Tokenizer/limits", test_limits);
  g_test_add_func ("/Peft/Tokenizer/text-limit", test_text_limit);
  g_test_add_func ("/Peft/Tokenizer/threads", test_threads);
  g_test_add_func ("/Peft/Tokenizer/stories260k", test_stories);
  return g_test_run ();
}
