/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Text that changes on its way through a tokenizer, with the source bytes that each of its bytes
 * came from. */

typedef struct
{
  guint32 start;
  guint32 end;
} PeftSpan;

typedef struct
{
  GString *text;
  /* A span for each byte of text. NULL: nothing changed yet, byte i is byte base + i of the source,
   * or nobody asked (tracked is FALSE). */
  GArray *spans;
  gsize base;
  gboolean tracked;
} PeftAlignedText;

PeftAlignedText *peft_aligned_text_new (const char *text, gsize length, gsize base,
                                        gboolean tracked);
/* Empty, with spans when the source is tracked: what is made from it is appended. */
PeftAlignedText *peft_aligned_text_new_from (const PeftAlignedText *source);
void peft_aligned_text_free (PeftAlignedText *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftAlignedText, peft_aligned_text_free)

/* Bytes [start, start + length) of source, unchanged. */
void peft_aligned_text_append (PeftAlignedText *self, const PeftAlignedText *source, gsize start,
                               gsize length);
/* New bytes that came from all of span. */
void peft_aligned_text_append_new (PeftAlignedText *self, const char *text, gsize length,
                                   PeftSpan span);
/* Source bytes of bytes [start, end); of an empty range the place in front of byte start. */
PeftSpan peft_aligned_text_get_span (const PeftAlignedText *self, gsize start, gsize end);
