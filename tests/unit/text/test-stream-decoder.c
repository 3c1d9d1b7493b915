/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Expected values were made with Hugging Face's tokenizers 0.23. */
#include "text-testing.h"

#include "base/peft-random.h"
#include "text/peft-stream-decoder.h"
#include "text/peft-text-util.h"
#include "text/peft-token-decoder.h"

typedef struct
{
  const char *json;
  const char *tokens[12];
  const char *expected;
} Case;

static const Case cases[] = {
  { "{'type':'ByteLevel','add_prefix_space':false,'trim_offsets':false}",
    { "Hello", "Ġw", "â", "Ĥ", "¬", "x中", "é", "ð", "Ł" }, "Hello w€x中��" },
  { "{'type':'ByteLevel','add_prefix_space':false,'trim_offsets':false}",
    { "ð", "Ł", "a", "Â", "Â" }, "�a��" },
  { "{'type':'ByteFallback'}",
    { "a", "<0xE4>", "<0xB8>", "<0xAD>", "b", "<0xE4>", "<0xB8>", "<0x41>" }, "a中b���" },
  { "{'type':'ByteFallback'}", { "<0xZZ>", "<0x41", "<0x41>" }, "<0xZZ><0x41A" },
  { "{'type':'Fuse'}", { "a", "b" }, "ab" },
  { "{'type':'Strip','content':' ','start':1,'stop':0}", { "  a", " b", "c " }, " abc " },
  { "{'type':'Strip','content':'x','start':1,'stop':2}", { "xxaxxx", "yx" }, "xaxy" },
  { "{'type':'Metaspace','replacement':'▁','prepend_scheme':'always','split':true}",
    { "▁a▁b", "▁c" }, "ab c" },
  { "{'type':'Metaspace','replacement':'▁','prepend_scheme':'never','split':true}", { "▁a", "▁c" },
    " a c" },
  { "{'type':'Replace','pattern':{'String':'▁'},'content':' '}", { "▁a", "▂▁" }, " a▂ " },
  { "{'type':'Replace','pattern':{'String':'aab'},'content':'X'}", { "aaab", "aa", "b" }, "aXaab" },
  { "{'type':'Replace','pattern':{'Regex':'a+'},'content':'X'}", { "aaab", "aa", "b" }, "XbXb" },
  { "{'type':'BPEDecoder','suffix':'</w>'}", { "he", "llo</w>", "you</w>" }, "hello you" },
  { "{'type':'Sequence','decoders':[{'type':'Fuse'},{'type':'Replace',"
    "'pattern':{'String':'aab'},'content':'X'}]}", { "aaab", "aa", "b", "a" }, "aXXa" },
  { "{'type':'Sequence','decoders':[{'type':'Replace','pattern':{'String':'▁'},"
    "'content':' '},{'type':'ByteFallback'},{'type':'Fuse'},{'type':'Strip','content':' ',"
    "'start':1,'stop':0}]}", { "▁Hi", "▁", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "!", "<0xF0>" },
    "Hi 😀!�" },
  { "{'type':'Sequence','decoders':[{'type':'Fuse'},{'type':'Strip','content':' ','start':0,"
    "'stop':1}]}", { "a ", " ", "b", " ", " " }, "a  b " },
  { NULL, { "a", "b", "", "c" }, "a b  c" },
};

static PeftTokenDecoder *
decoder_new (const char *quoted)
{
  g_autoptr (PeftJson) json = quoted != NULL ? json_tree (quoted) : NULL;
  g_autoptr (GError) error = NULL;
  PeftTokenDecoder *decoder = peft_token_decoder_new_from_json (json, &error);

  g_assert_no_error (error);
  return decoder;
}

/* What has come out before the finish is whole characters. */
static char *
decode_tokens (const PeftTokenDecoder *decoder, const char *const *tokens, gsize n)
{
  g_autoptr (PeftDecoding) decoding = peft_decoding_new (decoder);
  g_autoptr (GString) out = g_string_new (NULL);
  g_autoptr (GError) error = NULL;

  for (gsize i = 0; i < n; i++)
    {
      peft_decoding_push (decoding, tokens[i], strlen (tokens[i]), out, &error);
      g_assert_no_error (error);
      g_assert_true (g_utf8_validate (out->str, (gssize) out->len, NULL));
    }
  peft_decoding_finish (decoding, out, &error);
  g_assert_no_error (error);
  return g_string_free (g_steal_pointer (&out), FALSE);
}

static void
test_kinds (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const Case *c = &cases[i];
      g_autoptr (PeftTokenDecoder) decoder = decoder_new (c->json);
      g_autofree char *found = NULL;
      gsize n = 0;

      while (n < G_N_ELEMENTS (c->tokens) && c->tokens[n] != NULL)
        n++;
      found = decode_tokens (decoder, c->tokens, n);
      g_test_message ("%s", c->json != NULL ? c->json : "none");
      g_assert_cmpstr (found, ==, c->expected);
    }
}

static void
test_clean_up (void)
{
  static const char *const tokens[] = { "it",  " 's", " a",  " '", " b", " ",  ".",
                                        " do", " n",  "'t",  " ,", " x", " '", "v", "e" };
  g_autoptr (PeftTokenDecoder) decoder = decoder_new ("{'type':'Fuse'}");
  g_autofree char *found = NULL;

  peft_token_decoder_add_clean_up (decoder);
  found = decode_tokens (decoder, tokens, G_N_ELEMENTS (tokens));
  g_assert_cmpstr (found, ==, "it's a'b. don't, x've");
}

#define BYTE_LEVEL_TOKENIZER                                                                     \
  "{'added_tokens':[{'id':9,'content':'<|end|>','special':true}],'decoder':{'type':'ByteLevel'},"  \
  "'model':{'type':'BPE','vocab':{'H':0,'i':1,'ð':2,'Ł':3,'ĺ':4,'Ģ':5,'Ġ':6,'â':7,'Ĥ':8,"    \
  "'<|end|>':9,'!':10},'merges':[]}}"

#define FALLBACK_TOKENIZER                                                                       \
  "{'added_tokens':[{'id':9,'content':'</s>','special':true}],'decoder':{'type':'Sequence',"       \
  "'decoders':[{'type':'Replace','pattern':{'String':'▁'},'content':' '},{'type':'ByteFallback'}," \
  "{'type':'Fuse'},{'type':'Strip','content':' ','start':1,'stop':0}]},"                         \
  "'model':{'type':'BPE','vocab':{'▁H':0,'i':1,'<0xF0>':2,'<0x9F>':3,'<0x98>':4,'<0x80>':5,"     \
  "'▁':6,'<0xE2>':7,'<0x82>':8,'</s>':9,'é':10},'merges':[]}}"

/* Nothing of an emoji comes out before its last byte. */
static void
test_no_half_characters (void)
{
  static const gint32 ids[] = { 0, 1, 2, 3, 4, 5, 10 };
  static const char *const expected[] = { "H", "i", "", "", "", "\xf0\x9f\x98\x80", "!" };
  g_autoptr (PeftTokenizerCore) tokenizer = tokenizer_new (BYTE_LEVEL_TOKENIZER);
  g_autoptr (PeftStreamDecoder) stream = peft_stream_decoder_new (tokenizer, FALSE);
  g_autoptr (GError) error = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (ids); i++)
    {
      g_autoptr (GString) out = g_string_new (NULL);

      peft_stream_decoder_push (stream, ids[i], out, &error);
      g_assert_no_error (error);
      g_assert_cmpstr (out->str, ==, expected[i]);
    }
}

/* An unfinished character becomes U+FFFD at the end, not before. */
static void
test_unfinished (void)
{
  g_autoptr (PeftTokenizerCore) tokenizer = tokenizer_new (BYTE_LEVEL_TOKENIZER);
  g_autoptr (PeftStreamDecoder) stream = peft_stream_decoder_new (tokenizer, FALSE);
  g_autoptr (GString) out = g_string_new (NULL);
  g_autoptr (GError) error = NULL;

  for (gint32 id = 2; id < 5; id++)
    peft_stream_decoder_push (stream, id, out, &error);
  g_assert_cmpstr (out->str, ==, "");
  peft_stream_decoder_finish (stream, out, &error);
  g_assert_cmpstr (out->str, ==, "\xef\xbf\xbd");
  g_assert_no_error (error);
}

static void
test_skip_special (void)
{
  static const gint32 ids[] = { 0, 1, 9, 77, -3 };
  g_autoptr (PeftTokenizerCore) tokenizer = tokenizer_new (BYTE_LEVEL_TOKENIZER);
  g_autofree char *with =
      peft_tokenizer_core_decode (tokenizer, ids, G_N_ELEMENTS (ids), FALSE, NULL, NULL);
  g_autofree char *without =
      peft_tokenizer_core_decode (tokenizer, ids, G_N_ELEMENTS (ids), TRUE, NULL, NULL);

  g_assert_cmpstr (with, ==, "Hi<|end|>");
  g_assert_cmpstr (without, ==, "Hi");
}

/* One U+FFFD for each maximal part of a character, as the Unicode standard recommends (section 3.9) and
 * Rust and Python do. */
static void
test_lossy (void)
{
  static const struct
  {
    const char *bytes;
    guint n_replaced;
  } lossy[] = {
    { "\360\237\230", 1 },
    { "\360\237\230a", 1 },
    { "\342\202\342\202", 2 },
    { "\360\200\200\200", 4 },
    { "\340\237\277", 3 },
    { "\355\240\200", 3 },
    { "\364\220\200\200", 4 },
    { "\300\257", 2 },
    { "\303\303\251", 1 },
    { "\377\376a", 2 },
    { "\200\200", 2 },
    { "a\361\200\200\341\200\302b\200", 4 },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (lossy); i++)
    {
      const guint8 *bytes = (const guint8 *) lossy[i].bytes;
      gsize n = strlen (lossy[i].bytes), done = 0;
      g_autoptr (GString) whole = g_string_new (NULL);
      g_autoptr (GString) stepwise = g_string_new (NULL);
      guint found = 0;

      g_assert_cmpuint (peft_text_append_lossy (whole, bytes, n, TRUE), ==, n);
      g_assert_true (g_utf8_validate (whole->str, (gssize) whole->len, NULL));
      for (const char *p = whole->str; (p = strstr (p, "\357\277\275")) != NULL; p += 3)
        found++;
      g_assert_cmpuint (found, ==, lossy[i].n_replaced);
      for (gsize end = 1; end <= n; end++)
        done += peft_text_append_lossy (stepwise, bytes + done, end - done, end == n);
      g_assert_cmpstr (stepwise->str, ==, whole->str);
    }
}

/* Streams of random ids, broken characters and all. */
static void
test_random (void)
{
  static const char *const sources[] = { BYTE_LEVEL_TOKENIZER, FALLBACK_TOKENIZER };

  for (guint k = 0; k < 4000; k++)
    {
      guint t = k % 2;
      g_autoptr (PeftTokenizerCore) tokenizer = tokenizer_new (sources[t]);
      g_autoptr (PeftStreamDecoder) stream = peft_stream_decoder_new (tokenizer, FALSE);
      g_autoptr (GString) out = g_string_new (NULL);
      g_autoptr (GError) error = NULL;
      g_autofree char *whole = NULL;
      gint32 ids[24];
      gsize n = peft_random_u32 (7, t, k * 32) % G_N_ELEMENTS (ids);

      for (gsize i = 0; i < n; i++)
        {
          ids[i] = (gint32) (peft_random_u32 (7, t, k * 32 + 1 + i) % 11);
          peft_stream_decoder_push (stream, ids[i], out, &error);
          g_assert_no_error (error);
          g_assert_true (g_utf8_validate (out->str, (gssize) out->len, NULL));
        }
      peft_stream_decoder_finish (stream, out, &error);
      g_assert_no_error (error);
      whole = peft_tokenizer_core_decode (tokenizer, ids, n, FALSE, NULL, &error);
      g_assert_cmpstr (out->str, ==, whole);
    }
}

typedef struct
{
  const char *json;
  const char *words;
} Refused;

static void
test_refused (void)
{
  static const Refused refused[] = {
    { "{'type':'WordPiece','prefix':'##'}", "the decoder “WordPiece” is not supported" },
    { "{'type':'Strip','content':' ','start':-1,'stop':0}", "start: expected 0 to" },
    { "{'type':'Strip','content':' ','start':1048577,'stop':0}", "start: expected 0 to" },
    { "{'type':'Strip','content':'','start':0,'stop':0}", "content: expected one character" },
    { "{'type':'Replace','pattern':{'Regex':'('},'content':''}", "regular expression" },
    { "{'type':'Replace','pattern':{'String':'a'}}", "content" },
    { "{'type':'Sequence','decoders':[{'type':'Fuse'},{'type':'CTC'}]}", "decoders[1]: " },
    { "{'type':'BPEDecoder'}", "suffix" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (refused); i++)
    {
      g_autoptr (PeftJson) json = json_tree (refused[i].json);
      g_autoptr (GError) error = NULL;

      g_assert_null (peft_token_decoder_new_from_json (json, &error));
      g_assert_nonnull (error);
      g_test_message ("%s", error->message);
      g_assert_nonnull (strstr (error->message, refused[i].words));
    }
}

static void
test_parts_limit (void)
{
  for (guint n = 256; n <= 257; n++)
    {
      g_autoptr (GString) text = g_string_new ("{'type':'Sequence','decoders':[{'type':'Fuse'}");
      g_autoptr (PeftTokenDecoder) decoder = NULL;
      g_autoptr (PeftJson) json = NULL;
      g_autoptr (GError) error = NULL;

      for (guint i = 1; i < n; i++)
        g_string_append (text, ",{'type':'Fuse'}");
      g_string_append (text, "]}");
      json = json_tree (text->str);
      decoder = peft_token_decoder_new_from_json (json, &error);
      if (n == 256)
        g_assert_no_error (error);
      else
        g_assert_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/TokenDecoder/kinds", test_kinds);
  g_test_add_func ("/Peft/TokenDecoder/lossy", test_lossy);
  g_test_add_func ("/Peft/TokenDecoder/clean-up", test_clean_up);
  g_test_add_func ("/Peft/TokenDecoder/refused", test_refused);
  g_test_add_func ("/Peft/TokenDecoder/parts-limit", test_parts_limit);
  g_test_add_func ("/Peft/StreamDecoder/no-half-characters", test_no_half_characters);
  g_test_add_func ("/Peft/StreamDecoder/unfinished", test_unfinished);
  g_test_add_func ("/Peft/StreamDecoder/skip-special", test_skip_special);
  g_test_add_func ("/Peft/StreamDecoder/random", test_random);
  return g_test_run ();
}
