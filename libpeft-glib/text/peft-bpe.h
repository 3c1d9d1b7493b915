/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "text/peft-token-model.h"

/* Byte-pair encoding: starts from characters and joins the pair of neighbours with the lowest rank
 * until no pair is in the table (Sennrich et al., arXiv:1508.07909). */

#define PEFT_BPE_MAX_MERGES (1u << 22)
#define PEFT_BPE_MAX_AFFIX_BYTES 64u

typedef struct _PeftBpe PeftBpe;

/* Everything but vocabulary and merges. */
typedef struct
{
  const char *unk_token; /* NULL: what is unknown is dropped */
  const char *prefix;    /* continuing_subword_prefix, NULL or empty: none */
  const char *suffix;    /* end_of_word_suffix, NULL or empty: none */
  gboolean fuse_unk;
  gboolean byte_fallback;
  gboolean ignore_merges;
} PeftBpeOptions;

extern const PeftTokenModelClass peft_bpe_class;

/* Takes vocab. Merges are then added in the order of their ranks. */
PeftBpe *peft_bpe_new (PeftVocab *vocab, const PeftBpeOptions *options, GError **error);
/* Both parts and what they make have to be in the vocabulary. */
gboolean peft_bpe_add_merge (PeftBpe *self, const char *left, gsize left_length,
                             const char *right, gsize right_length, GError **error);
/* "left right", as in merges.txt. */
gboolean peft_bpe_add_merge_line (PeftBpe *self, const char *line, gsize length, GError **error);
/* The table of a SentencePiece model, which has scores in its place: every way to cut a token into
 * two tokens, best score first, then longer left, then longer right part. Ids are 0 … n-1. */
gboolean peft_bpe_add_merges_from_scores (PeftBpe *self, const float *scores, gsize n,
                                          GError **error);
