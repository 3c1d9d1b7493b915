/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files beside tokenizer.json. */
#include "text-testing.h"

#include <gio/gio.h>

#define TOKENIZER                                                                                \
  "{'added_tokens':[{'id':2,'content':'<s>','special':true}],'decoder':{'type':'Fuse'},"           \
  "'model':{'type':'BPE','vocab':{'a':0,' ':1,'<s>':2,'.':3},'merges':[]}}"

typedef struct
{
  char *path;
} Folder;

static void
put_file (Folder *folder, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (folder->path, name, NULL);
  g_autofree char *parent = g_path_get_dirname (path);
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (g_mkdir_with_parents (parent, 0700), ==, 0);
  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
}

static void
put_json (Folder *folder, const char *name, const char *quoted)
{
  g_autofree char *text = json_text (quoted);

  put_file (folder, name, text);
}

static void
folder_set_up (Folder *folder, gconstpointer data)
{
  folder->path = g_dir_make_tmp ("peft-tokenizer-XXXXXX", NULL);
  g_assert_nonnull (folder->path);
  put_json (folder, "tokenizer.json", TOKENIZER);
}

static void
remove_tree (GFile *file)
{
  g_autoptr (GFileEnumerator) children = g_file_enumerate_children (
      file, G_FILE_ATTRIBUTE_STANDARD_NAME, G_FILE_QUERY_INFO_NOFOLLOW_SYMLINKS, NULL, NULL);
  GFileInfo *info;

  while (children != NULL && (info = g_file_enumerator_next_file (children, NULL, NULL)) != NULL)
    {
      g_autoptr (GFile) child = g_file_get_child (file, g_file_info_get_name (info));

      g_object_unref (info);
      remove_tree (child);
    }
  g_file_delete (file, NULL, NULL);
}

static void
folder_tear_down (Folder *folder, gconstpointer data)
{
  g_autoptr (GFile) file = g_file_new_for_path (folder->path);

  remove_tree (file);
  g_free (folder->path);
}

static PeftTokenizerCore *
load (Folder *folder)
{
  g_autoptr (GError) error = NULL;
  PeftTokenizerCore *tokenizer = peft_tokenizer_core_load (folder->path, &error);

  g_assert_no_error (error);
  return tokenizer;
}

static void
test_alone (Folder *folder, gconstpointer data)
{
  g_autoptr (PeftTokenizerCore) tokenizer = load (folder);
  g_autofree const char **names = peft_tokenizer_core_list_chat_templates (tokenizer);

  for (int i = 0; i < PEFT_N_SPECIALS; i++)
    g_assert_cmpint (peft_tokenizer_core_get_special_id (tokenizer, (PeftSpecialToken) i), ==, -1);
  g_assert_cmpuint (peft_tokenizer_core_get_model_max_length (tokenizer), ==, 0);
  g_assert_null (names[0]);
  g_assert_null (peft_tokenizer_core_get_chat_template (tokenizer, NULL));
}

static void
test_special_tokens (Folder *folder, gconstpointer data)
{
  g_autoptr (PeftTokenizerCore) tokenizer = NULL;

  put_json (folder, "tokenizer_config.json",
            "{'bos_token':'<s>','eos_token':{'__type':'AddedToken','content':'</s>',"
            "'lstrip':true,'normalized':false,'special':false},'pad_token':'a','unk_token':null,"
            "'additional_special_tokens':['<extra>'],'mask_token':'<mask>',"
            "'model_max_length':1000000000000000019884624838656,'add_bos_token':true}");
  tokenizer = load (folder);
  g_assert_cmpint (peft_tokenizer_core_get_special_id (tokenizer, PEFT_SPECIAL_BOS), ==, 2);
  /* Tokens that tokenizer.json lacks go behind the vocabulary, named ones first. */
  g_assert_cmpint (peft_tokenizer_core_get_special_id (tokenizer, PEFT_SPECIAL_EOS), ==, 4);
  g_assert_cmpint (peft_tokenizer_core_token_to_id (tokenizer, "<mask>", -1), ==, 5);
  g_assert_cmpint (peft_tokenizer_core_token_to_id (tokenizer, "<extra>", -1), ==, 6);
  g_assert_cmpint (peft_tokenizer_core_get_special_id (tokenizer, PEFT_SPECIAL_PAD), ==, 0);
  g_assert_cmpint (peft_tokenizer_core_get_special_id (tokenizer, PEFT_SPECIAL_UNK), ==, -1);
  g_assert_cmpstr (peft_tokenizer_core_get_special_token (tokenizer, PEFT_SPECIAL_EOS), ==,
                   "</s>");
  g_assert_true (peft_tokenizer_core_is_special (tokenizer, 4));
  g_assert_true (peft_tokenizer_core_is_special (tokenizer, 0));
  g_assert_cmpuint (peft_tokenizer_core_get_vocab_size (tokenizer), ==, 7);
  g_assert_cmpuint (peft_tokenizer_core_get_model_max_length (tokenizer), ==, 0);
  assert_encodes (tokenizer, "<s>. </s>", "2 3 4");
  /* The post-processor of tokenizer.json counts, not add_bos_token. */
  g_assert_false (peft_tokenizer_core_adds_bos (tokenizer));
}

static void
test_added_tokens_decoder (Folder *folder, gconstpointer data)
{
  g_autoptr (PeftTokenizerCore) tokenizer = NULL;

  put_json (folder, "tokenizer_config.json",
            "{'eos_token':'<b>','model_max_length':2048,'added_tokens_decoder':{"
            "'10':{'content':'<b>','special':true},'4':{'content':'<a>','special':false}}}");
  /* It makes special_tokens_map.json count for nothing. */
  put_json (folder, "special_tokens_map.json", "{'eos_token':'<s>'}");
  tokenizer = load (folder);
  g_assert_cmpint (peft_tokenizer_core_token_to_id (tokenizer, "<a>", -1), ==, 4);
  g_assert_cmpint (peft_tokenizer_core_get_special_id (tokenizer, PEFT_SPECIAL_EOS), ==, 5);
  g_assert_false (peft_tokenizer_core_is_special (tokenizer, 4));
  g_assert_cmpuint (peft_tokenizer_core_get_model_max_length (tokenizer), ==, 2048);
}

static void
test_special_tokens_map (Folder *folder, gconstpointer data)
{
  g_autoptr (PeftTokenizerCore) tokenizer = NULL;

  put_json (folder, "tokenizer_config.json", "{'eos_token':'a','pad_token':'.'}");
  put_json (folder, "special_tokens_map.json",
            "{'eos_token':{'content':'<s>','lstrip':false,'normalized':false,'rstrip':false,"
            "'single_word':false}}");
  tokenizer = load (folder);
  g_assert_cmpstr (peft_tokenizer_core_get_special_token (tokenizer, PEFT_SPECIAL_EOS), ==,
                   "<s>");
  g_assert_cmpint (peft_tokenizer_core_get_special_id (tokenizer, PEFT_SPECIAL_PAD), ==, 3);
  /* What the map has replaced is no special token. */
  g_assert_false (peft_tokenizer_core_is_special (tokenizer, 0));
}

static void
test_order (Folder *folder, gconstpointer data)
{
  static const char *const expected[] = { "<e>", "<u>", "<sep>", "<p>", "<c>", "<m>", "<i>", "<x>" };
  g_autoptr (PeftTokenizerCore) tokenizer = NULL;

  put_json (folder, "tokenizer_config.json",
            "{'image_token':'<i>','extra_special_tokens':{'boi_token':'<x>'},'mask_token':'<m>',"
            "'cls_token':'<c>','pad_token':'<p>','sep_token':'<sep>','unk_token':'<u>',"
            "'eos_token':'<e>','bos_token':'<s>'}");
  tokenizer = load (folder);
  for (gsize i = 0; i < G_N_ELEMENTS (expected); i++)
    g_assert_cmpint (peft_tokenizer_core_token_to_id (tokenizer, expected[i], -1), ==, 4 + i);
}

static void
test_clean_up (Folder *folder, gconstpointer data)
{
  static const gint32 ids[] = { 0, 1, 3 };
  static const char *const configs[] = {
    "{'clean_up_tokenization_spaces':true}",
    "{'clean_up_tokenization_spaces':true,"
    "'clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output':true}",
  };
  static const char *const expected[] = { "a .", "a." };

  for (int i = 0; i < 2; i++)
    {
      g_autoptr (PeftTokenizerCore) tokenizer = NULL;
      g_autofree char *text = NULL;

      put_json (folder, "tokenizer_config.json", configs[i]);
      tokenizer = load (folder);
      text = peft_tokenizer_core_decode (tokenizer, ids, 3, FALSE, NULL, NULL);
      g_assert_cmpstr (text, ==, expected[i]);
    }
}

static void
test_chat_templates (Folder *folder, gconstpointer data)
{
  PeftTokenizerCore *tokenizer;

  put_json (folder, "tokenizer_config.json", "{'chat_template':'one'}");
  tokenizer = load (folder);
  g_assert_cmpstr (peft_tokenizer_core_get_chat_template (tokenizer, NULL), ==, "one");
  peft_tokenizer_core_unref (tokenizer);

  put_json (folder, "tokenizer_config.json",
            "{'chat_template':[{'name':'default','template':'d'},{'name':'tool_use',"
            "'template':'t'}]}");
  tokenizer = load (folder);
  g_assert_cmpstr (peft_tokenizer_core_get_chat_template (tokenizer, NULL), ==, "d");
  g_assert_cmpstr (peft_tokenizer_core_get_chat_template (tokenizer, "tool_use"), ==, "t");
  g_assert_null (peft_tokenizer_core_get_chat_template (tokenizer, "rag"));
  peft_tokenizer_core_unref (tokenizer);

  put_file (folder, "chat_template.jinja", "file");
  put_file (folder, "additional_chat_templates/rag.jinja", "r");
  tokenizer = load (folder);
  g_assert_cmpstr (peft_tokenizer_core_get_chat_template (tokenizer, NULL), ==, "file");
  g_assert_cmpstr (peft_tokenizer_core_get_chat_template (tokenizer, "rag"), ==, "r");
  g_assert_null (peft_tokenizer_core_get_chat_template (tokenizer, "tool_use"));
  peft_tokenizer_core_unref (tokenizer);
}

typedef struct
{
  const char *config;
  const char *words;
} Refused;

static void
test_refused (Folder *folder, gconstpointer data)
{
  static const Refused cases[] = {
    { "[]", "tokenizer_config.json: expected an object, found array" },
    { "{", "tokenizer_config.json: line 1" },
    { "{'eos_token':7}", "tokenizer_config.json: eos_token: expected a string or an object" },
    { "{'eos_token':{}}", "eos_token: content: expected a string, found nothing" },
    { "{'additional_special_tokens':'x'}", "additional_special_tokens: expected an array or an object" },
    { "{'additional_special_tokens':['x',1]}", "additional_special_tokens[1]: " },
    { "{'added_tokens_decoder':[]}", "added_tokens_decoder: expected an object" },
    { "{'added_tokens_decoder':{'4':{'content':3}}}", "added_tokens_decoder.4: content" },
    { "{'chat_template':7}", "chat_template: expected a string or an array" },
    { "{'chat_template':[{'name':'a'}]}", "chat_template[0]: template: expected a string" },
    { "{'model_max_length':'x'}", "model_max_length: expected an integer" },
    { "{'clean_up_tokenization_spaces':1}", "clean_up_tokenization_spaces" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;

      put_json (folder, "tokenizer_config.json", cases[i].config);
      g_assert_null (peft_tokenizer_core_load (folder->path, &error));
      g_assert_nonnull (error);
      g_test_message ("%s", error->message);
      g_assert_true (g_str_has_prefix (error->message, folder->path));
      g_assert_nonnull (strstr (error->message, cases[i].words));
    }
}

static void
test_missing (Folder *folder, gconstpointer data)
{
  g_autofree char *path = g_build_filename (folder->path, "tokenizer.json", NULL);
  g_autoptr (GError) error = NULL;

  g_unlink (path);
  g_assert_null (peft_tokenizer_core_load (folder->path, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, "tokenizer.json"));
}

/* Sparse files: their size alone is too much. */
static void
test_size_limits (Folder *folder, gconstpointer data)
{
  static const char *const names[] = { "tokenizer_config.json", "tokenizer.json" };
  static const goffset sizes[] = { (goffset) PEFT_TOKENIZER_MAX_CONFIG_BYTES + 1,
                                   (goffset) PEFT_TOKENIZER_MAX_FILE_BYTES + 1 };

  for (int i = 0; i < 2; i++)
    {
      g_autofree char *path = g_build_filename (folder->path, names[i], NULL);
      g_autoptr (GFile) file = g_file_new_for_path (path);
      g_autoptr (GFileIOStream) stream = NULL;
      g_autoptr (GError) error = NULL;

      put_file (folder, names[i], "{}");
      stream = g_file_open_readwrite (file, NULL, &error);
      g_assert_no_error (error);
      g_seekable_truncate (G_SEEKABLE (stream), sizes[i], NULL, &error);
      g_assert_no_error (error);
      if (i == 0)
        put_json (folder, "tokenizer.json", TOKENIZER);
      g_assert_null (peft_tokenizer_core_load (folder->path, &error));
      g_assert_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT);
      g_assert_nonnull (strstr (error->message, names[i]));
    }
}

#define ADD(name, func)                                                                          \
  g_test_add ("/Peft/TokenizerConfig/" name, Folder, NULL, folder_set_up, func, folder_tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("alone", test_alone);
  ADD ("special-tokens", test_special_tokens);
  ADD ("added-tokens-decoder", test_added_tokens_decoder);
  ADD ("special-tokens-map", test_special_tokens_map);
  ADD ("order", test_order);
  ADD ("clean-up", test_clean_up);
  ADD ("chat-templates", test_chat_templates);
  ADD ("refused", test_refused);
  ADD ("missing", test_missing);
  ADD ("size-limits", test_size_limits);
  return g_test_run ();
}
