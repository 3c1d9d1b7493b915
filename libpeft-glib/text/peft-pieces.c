/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "text/peft-pieces.h"

#include "text/peft-text-util.h"

void
peft_pieces_init (PeftPieces *self, PeftAlignedText *text)
{
  PeftPiece all = { 0, text->text->len };

  self->text = text;
  self->pieces = g_array_new (FALSE, FALSE, sizeof (PeftPiece));
  if (all.end > 0)
    g_array_append_val (self->pieces, all);
}

void
peft_pieces_clear (PeftPieces *self)
{
  g_clear_pointer (&self->text, peft_aligned_text_free);
  g_clear_pointer (&self->pieces, g_array_unref);
}

gboolean
peft_split_behavior_from_name (const char *name, PeftSplitBehavior *out)
{
  static const char *const names[] = { "Removed", "Isolated", "MergedWithPrevious",
                                       "MergedWithNext", "Contiguous" };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (strcmp (name, names[i]) == 0)
      {
        *out = (PeftSplitBehavior) i;
        return TRUE;
      }
  return FALSE;
}

/* Takes the parts of one piece, matching or not, in order, and appends the pieces they make. */
typedef struct
{
  GArray *out;
  gsize first; /* length of out before this piece */
  PeftSplitBehavior behavior;
  gboolean before;  /* was the part before a match? */
  PeftPiece waiting; /* MERGED_WITH_NEXT: a match that waits for the next part */
  gboolean has_waiting;
} Cutter;

static void
cutter_append (Cutter *cutter, PeftPiece part)
{
  if (part.end > part.start)
    g_array_append_val (cutter->out, part);
}

static void
cutter_begin (Cutter *cutter)
{
  cutter->first = cutter->out->len;
  cutter->before = FALSE;
  cutter->has_waiting = FALSE;
}

static void
cutter_end (Cutter *cutter)
{
  if (cutter->has_waiting)
    cutter_append (cutter, cutter->waiting);
}

static void
cutter_add (Cutter *cutter, gsize start, gsize end, gboolean match)
{
  PeftPiece part = { start, end };
  PeftPiece *last = cutter->out->len > cutter->first
                        ? &g_array_index (cutter->out, PeftPiece, cutter->out->len - 1)
                        : NULL;

  switch (cutter->behavior)
    {
    case PEFT_SPLIT_REMOVED:
      if (!match)
        cutter_append (cutter, part);
      break;
    case PEFT_SPLIT_ISOLATED:
      cutter_append (cutter, part);
      break;
    case PEFT_SPLIT_CONTIGUOUS:
      if (match == cutter->before && last != NULL)
        last->end = end;
      else
        cutter_append (cutter, part);
      break;
    case PEFT_SPLIT_MERGED_WITH_PREVIOUS:
      if (match && !cutter->before && last != NULL)
        last->end = end;
      else
        cutter_append (cutter, part);
      break;
    case PEFT_SPLIT_MERGED_WITH_NEXT:
      /* The last of several matches joins what follows. */
      if (cutter->has_waiting && match)
        cutter_append (cutter, cutter->waiting);
      else if (cutter->has_waiting)
        part.start = cutter->waiting.start;
      cutter->has_waiting = match;
      cutter->waiting = part;
      if (!match)
        cutter_append (cutter, part);
      break;
    }
  cutter->before = match;
}

static void
cutter_init (Cutter *cutter, const PeftPieces *pieces, PeftSplitBehavior behavior)
{
  cutter->out = g_array_sized_new (FALSE, FALSE, sizeof (PeftPiece),
                                   pieces->pieces->len + pieces->text->text->len / 4);
  cutter->behavior = behavior;
}

static void
take_pieces (PeftPieces *self, GArray *pieces)
{
  g_array_unref (self->pieces);
  self->pieces = pieces;
}

gboolean
peft_pieces_split_regex (PeftPieces *self, const PeftRegex *regex, PeftRegexScratch *scratch,
                         PeftSplitBehavior behavior, gboolean invert, GError **error)
{
  Cutter cutter;

  cutter_init (&cutter, self, behavior);
  for (guint i = 0; i < self->pieces->len; i++)
    {
      PeftPiece piece = g_array_index (self->pieces, PeftPiece, i);
      const char *text = self->text->text->str + piece.start;
      gsize length = piece.end - piece.start;
      PeftRegexCursor cursor = { 0, -1 };
      gsize start, end, done = 0;
      int found;

      cutter_begin (&cutter);
      while ((found = peft_regex_next (regex, scratch, text, length, &cursor, &start, &end,
                                       error)) > 0)
        {
          if (done != start)
            cutter_add (&cutter, piece.start + done, piece.start + start, invert);
          cutter_add (&cutter, piece.start + start, piece.start + end, !invert);
          done = end;
        }
      if (found < 0)
        {
          g_array_unref (cutter.out);
          return FALSE;
        }
      if (done != length)
        cutter_add (&cutter, piece.start + done, piece.end, invert);
      cutter_end (&cutter);
    }
  take_pieces (self, cutter.out);
  return TRUE;
}

void
peft_pieces_split_chars (PeftPieces *self, PeftCharFunc func, gpointer data,
                         PeftSplitBehavior behavior)
{
  const char *text = self->text->text->str;
  Cutter cutter;

  cutter_init (&cutter, self, behavior);
  for (guint i = 0; i < self->pieces->len; i++)
    {
      PeftPiece piece = g_array_index (self->pieces, PeftPiece, i);
      gsize done = piece.start;

      cutter_begin (&cutter);
      for (gsize p = piece.start; p < piece.end;)
        {
          gsize n = peft_text_char_length (text + p);

          if (func (g_utf8_get_char (text + p), data))
            {
              if (done < p)
                cutter_add (&cutter, done, p, FALSE);
              cutter_add (&cutter, p, p + n, TRUE);
              done = p + n;
            }
          p += n;
        }
      if (done < piece.end)
        cutter_add (&cutter, done, piece.end, FALSE);
      cutter_end (&cutter);
    }
  take_pieces (self, cutter.out);
}

void
peft_pieces_split_classes (PeftPieces *self, PeftCharClassFunc func)
{
  const char *text = self->text->text->str;
  GArray *out = g_array_new (FALSE, FALSE, sizeof (PeftPiece));

  for (guint i = 0; i < self->pieces->len; i++)
    {
      PeftPiece piece = g_array_index (self->pieces, PeftPiece, i);
      PeftPiece run = { piece.start, piece.start };
      int current = 0;

      for (gsize p = piece.start; p <= piece.end;)
        {
          int next = p < piece.end ? func (g_utf8_get_char (text + p)) : -1;

          if (next != current)
            {
              run.end = p;
              if (current > 0 && run.end > run.start)
                g_array_append_val (out, run);
              run.start = p;
              current = next;
            }
          p += p < piece.end ? peft_text_char_length (text + p) : 1;
        }
    }
  take_pieces (self, out);
}

void
peft_pieces_rewrite (PeftPieces *self, PeftPieceFunc func, gpointer data)
{
  PeftAlignedText *out = peft_aligned_text_new_from (self->text);
  guint kept = 0;

  for (guint i = 0; i < self->pieces->len; i++)
    {
      PeftPiece *piece = &g_array_index (self->pieces, PeftPiece, i);
      PeftPiece made = { out->text->len, 0 };

      func (self->text, *piece, out, data);
      made.end = out->text->len;
      if (made.end > made.start)
        g_array_index (self->pieces, PeftPiece, kept++) = made;
    }
  g_array_set_size (self->pieces, kept);
  peft_aligned_text_free (self->text);
  self->text = out;
}
