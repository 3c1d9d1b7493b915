/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "text/peft-aligned-text.h"

PeftAlignedText *
peft_aligned_text_new (const char *text, gsize length, gsize base, gboolean tracked)
{
  PeftAlignedText *self = g_new0 (PeftAlignedText, 1);

  self->text = g_string_new_len (text, length);
  self->base = base;
  self->tracked = tracked;
  return self;
}

PeftAlignedText *
peft_aligned_text_new_from (const PeftAlignedText *source)
{
  PeftAlignedText *self = g_new0 (PeftAlignedText, 1);

  self->text = g_string_sized_new (source->text->len + source->text->len / 4 + 16);
  self->base = source->base;
  self->tracked = source->tracked;
  if (self->tracked)
    self->spans = g_array_sized_new (FALSE, FALSE, sizeof (PeftSpan),
                                     source->text->len + source->text->len / 4 + 16);
  return self;
}

void
peft_aligned_text_free (PeftAlignedText *self)
{
  if (self == NULL)
    return;
  g_string_free (self->text, TRUE);
  g_clear_pointer (&self->spans, g_array_unref);
  g_free (self);
}

void
peft_aligned_text_append (PeftAlignedText *self, const PeftAlignedText *source, gsize start,
                          gsize length)
{
  g_string_append_len (self->text, source->text->str + start, length);
  if (self->spans == NULL)
    return;
  if (source->spans != NULL)
    g_array_append_vals (self->spans, &g_array_index (source->spans, PeftSpan, start), length);
  else
    for (gsize i = start; i < start + length; i++)
      {
        PeftSpan span = { source->base + i, source->base + i + 1 };
        g_array_append_val (self->spans, span);
      }
}

void
peft_aligned_text_append_new (PeftAlignedText *self, const char *text, gsize length,
                              PeftSpan span)
{
  g_string_append_len (self->text, text, length);
  if (self->spans != NULL)
    for (gsize i = 0; i < length; i++)
      g_array_append_val (self->spans, span);
}

PeftSpan
peft_aligned_text_get_span (const PeftAlignedText *self, gsize start, gsize end)
{
  PeftSpan span = { 0, 0 };

  if (self->spans == NULL)
    {
      span.start = self->base + start;
      span.end = self->base + MAX (start, end);
      return span;
    }
  if (start >= end)
    {
      if (start < self->spans->len)
        span.start = g_array_index (self->spans, PeftSpan, start).start;
      else if (self->spans->len > 0)
        span.start = g_array_index (self->spans, PeftSpan, self->spans->len - 1).end;
      span.end = span.start;
      return span;
    }
  span = g_array_index (self->spans, PeftSpan, start);
  for (gsize i = start + 1; i < end; i++)
    {
      const PeftSpan *other = &g_array_index (self->spans, PeftSpan, i);
      span.start = MIN (span.start, other->start);
      span.end = MAX (span.end, other->end);
    }
  return span;
}
