/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "text/peft-added-tokens.h"
#include "text/peft-pretokenizer.h"
#include "text/peft-token-decoder.h"
#include "text/peft-tokenizer-core.h"

typedef struct _PeftTokenizerScratch PeftTokenizerScratch;

typedef struct
{
  char *name;
  char *source;
} PeftChatTemplate;

struct _PeftTokenizerCore
{
  gatomicrefcount ref_count;
  PeftTokenModel *model;
  PeftAddedTokens *added;
  PeftNormalizer *normalizer;     /* NULL: none */
  PeftPretokenizer *pretokenizer; /* NULL: none */
  PeftTokenDecoder *decoder;
  GArray *prefix; /* gint32: what the template puts before a text */
  GArray *suffix; /* and behind it */
  char *specials[PEFT_N_SPECIALS];
  guint64 model_max_length;
  GPtrArray *templates; /* PeftChatTemplate */
  /* What one encoding at a time can reuse; taken and put back atomically, NULL while in use. */
  PeftTokenizerScratch *scratch;
};

/* With no part but empty arrays; the loaders fill it. */
PeftTokenizerCore *peft_tokenizer_core_new (void);
/* To be called last: fills in the decoder where there is none and makes added tokens findable. */
gboolean peft_tokenizer_core_prepare (PeftTokenizerCore *self, GError **error);
/* Replaces a template of the same name. */
void peft_tokenizer_core_add_template (PeftTokenizerCore *self, const char *name,
                                       const char *source);

/* peft-tokenizer-json.c: everything but prepare. */
gboolean peft_tokenizer_core_read_json (PeftTokenizerCore *self, const PeftJson *json,
                                        GError **error);
/* peft-tokenizer-config.c: the files beside tokenizer.json. */
gboolean peft_tokenizer_core_read_config (PeftTokenizerCore *self, const char *folder,
                                          GError **error);
/* peft-post-processor.c: "post_processor". */
gboolean peft_tokenizer_core_read_post_processor (PeftTokenizerCore *self, const PeftJson *json,
                                                  GError **error);
/* A whole file of at most `limit` bytes; error messages start with the path. */
char *peft_tokenizer_read_file (const char *path, guint64 limit, gsize *length, GError **error);
