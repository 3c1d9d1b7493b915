/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "text/peft-normalizer.h"
#include "text/peft-token-model.h"

/* Tokens that are found in text before anything else cuts it: special ones such as <|im_end|>, and
 * others that a tokenizer was extended with. */

#define PEFT_ADDED_TOKENS_MAX (1u << 20)
#define PEFT_ADDED_TOKENS_MAX_BYTES 1024u /* of one token */

typedef struct
{
  char *content;
  gsize length;
  /* What it is in the text that is searched, and decodes to: the content, normalized where
   * `normalized` says so. Filled in by prepare. */
  char *spelled;
  gsize spelled_length;
  gint32 id;
  gboolean special;
  gboolean single_word; /* not within a word */
  gboolean lstrip;      /* takes the white space before it */
  gboolean rstrip;      /* and behind it */
  gboolean normalized;  /* looked for in the normalized text */
} PeftAddedToken;

typedef struct _PeftAddedTokens PeftAddedTokens;

PeftAddedTokens *peft_added_tokens_new (void);
void peft_added_tokens_free (PeftAddedTokens *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftAddedTokens, peft_added_tokens_free)

/* Copies the token's content and flags. Its id becomes the one that the model or an earlier token of the same content
 * has, else the next free one. */
gboolean peft_added_tokens_add (PeftAddedTokens *self, const PeftTokenModel *model,
                                const PeftAddedToken *token, GError **error);
/* Has to be called after the last add and before any split. */
gboolean peft_added_tokens_prepare (PeftAddedTokens *self, const PeftNormalizer *normalizer,
                                    PeftRegexScratch *scratch, GError **error);

guint peft_added_tokens_get_count (const PeftAddedTokens *self);
/* In the order they were added; the first of a content stays. */
const PeftAddedToken *peft_added_tokens_get (const PeftAddedTokens *self, guint index);
const PeftAddedToken *peft_added_tokens_by_id (const PeftAddedTokens *self, gint32 id);
const PeftAddedToken *peft_added_tokens_by_content (const PeftAddedTokens *self,
                                                    const char *content, gsize length);

/* A part of a text: a token, or text between tokens (id -1). A token with rstrip may overlap the
 * next one. */
typedef struct
{
  gint32 id;
  gsize start;
  gsize end;
} PeftAddedPart;

/* Is there anything to look for among the tokens with this value of `normalized`? */
gboolean peft_added_tokens_has (const PeftAddedTokens *self, gboolean normalized);
/* Appends PeftAddedPart. The leftmost match counts, the longest of those. */
void peft_added_tokens_split (const PeftAddedTokens *self, gboolean normalized, const char *text,
                              gsize length, GArray *parts);
