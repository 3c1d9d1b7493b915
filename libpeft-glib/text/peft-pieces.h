/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "text/peft-aligned-text.h"
#include "text/peft-regex.h"

/* Text cut into the pieces that the model then splits into tokens. Pieces are not empty, lie in
 * order and do not overlap; what lies between two of them was removed. */

typedef struct
{
  gsize start;
  gsize end;
} PeftPiece;

typedef struct
{
  PeftAlignedText *text;
  GArray *pieces; /* PeftPiece */
} PeftPieces;

/* One piece: all of text, which it takes. */
void peft_pieces_init (PeftPieces *self, PeftAlignedText *text);
void peft_pieces_clear (PeftPieces *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PeftPieces, peft_pieces_clear)

/* What becomes of the parts that a pattern matches, as in Hugging Face's tokenizers. */
typedef enum
{
  PEFT_SPLIT_REMOVED,
  PEFT_SPLIT_ISOLATED,
  PEFT_SPLIT_MERGED_WITH_PREVIOUS,
  PEFT_SPLIT_MERGED_WITH_NEXT,
  PEFT_SPLIT_CONTIGUOUS
} PeftSplitBehavior;

/* By the name in the file: "Removed", "MergedWithNext" … */
gboolean peft_split_behavior_from_name (const char *name, PeftSplitBehavior *out);

/* Cuts every piece where the pattern matches; invert: where it does not. */
gboolean peft_pieces_split_regex (PeftPieces *self, const PeftRegex *regex,
                                  PeftRegexScratch *scratch, PeftSplitBehavior behavior,
                                  gboolean invert, GError **error);
/* Cuts every piece at characters of a class, each a match of its own. */
typedef gboolean (*PeftCharFunc) (gunichar c, gpointer data);
void peft_pieces_split_chars (PeftPieces *self, PeftCharFunc func, gpointer data,
                              PeftSplitBehavior behavior);
/* Cuts every piece into runs of characters of one class; class 0 is removed. */
typedef int (*PeftCharClassFunc) (gunichar c);
void peft_pieces_split_classes (PeftPieces *self, PeftCharClassFunc func);

/* Makes a new text out of the pieces: func appends what a piece becomes, which may be nothing. */
typedef void (*PeftPieceFunc) (const PeftAlignedText *in, PeftPiece piece, PeftAlignedText *out,
                               gpointer data);
void peft_pieces_rewrite (PeftPieces *self, PeftPieceFunc func, gpointer data);
