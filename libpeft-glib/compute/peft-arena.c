/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/peft-arena.h"

#define ALIGNMENT 64
/* A growing arena only measures; its buffer stands for as much as anybody could ask for. */
#define UNLIMITED (G_MAXSIZE / 4)

typedef struct
{
  gsize offset, size;
} Region;

struct _PeftArena
{
  gint ref_count;
  PeftBuffer *buffer;
  gsize capacity;
  /* Everything from `top` on is free. It is used only when no hole fits, so that an arena of a measured
   * peak places every region where the measuring one did. */
  gsize top, peak, in_use;
  GArray *holes; /* of Region, by offset; none touches another or top */
  GHashTable *sizes; /* offset → size of what is handed out */
};

PeftArena *
peft_arena_new (PeftBackend *backend, gsize capacity, GError **error)
{
  g_autoptr (PeftBuffer) buffer = NULL;
  PeftArena *self;

  if (capacity == 0)
    {
      g_assert (peft_backend_is_plan (backend));
      capacity = UNLIMITED;
    }
  buffer = peft_buffer_new (backend, capacity, error);
  if (buffer == NULL)
    return NULL;

  self = g_new0 (PeftArena, 1);
  self->ref_count = 1;
  self->buffer = g_steal_pointer (&buffer);
  self->capacity = capacity;
  self->holes = g_array_new (FALSE, FALSE, sizeof (Region));
  self->sizes = g_hash_table_new (NULL, NULL);
  return self;
}

PeftArena *
peft_arena_ref (PeftArena *self)
{
  g_atomic_int_inc (&self->ref_count);
  return self;
}

void
peft_arena_unref (PeftArena *self)
{
  if (!g_atomic_int_dec_and_test (&self->ref_count))
    return;
  peft_buffer_unref (self->buffer);
  g_array_unref (self->holes);
  g_hash_table_unref (self->sizes);
  g_free (self);
}

PeftBackend *
peft_arena_get_backend (PeftArena *self)
{
  return self->buffer->backend;
}

gboolean
peft_arena_alloc (PeftArena *self, gsize size, PeftBuffer **buffer, gsize *offset)
{
  guint best = G_MAXUINT;
  gsize best_size = G_MAXSIZE, start;

  if (size > self->capacity)
    return FALSE;
  /* Offsets name regions, so that an empty one takes room, too. */
  size = MAX ((size + ALIGNMENT - 1) / ALIGNMENT, 1) * ALIGNMENT;

  for (guint i = 0; i < self->holes->len; i++)
    {
      const Region *hole = &g_array_index (self->holes, Region, i);
      if (hole->size >= size && hole->size < best_size)
        {
          best = i;
          best_size = hole->size;
        }
    }
  if (best != G_MAXUINT)
    {
      Region *hole = &g_array_index (self->holes, Region, best);
      start = hole->offset;
      hole->offset += size;
      hole->size -= size;
      if (hole->size == 0)
        g_array_remove_index (self->holes, best);
    }
  else
    {
      if (size > self->capacity - self->top)
        return FALSE;
      start = self->top;
      self->top += size;
      self->peak = MAX (self->peak, self->top);
    }
  self->in_use += size;
  g_hash_table_insert (self->sizes, GSIZE_TO_POINTER (start), GSIZE_TO_POINTER (size));
  *buffer = self->buffer;
  *offset = start;
  return TRUE;
}

void
peft_arena_release (PeftArena *self, gsize offset)
{
  gsize size = GPOINTER_TO_SIZE (g_hash_table_lookup (self->sizes, GSIZE_TO_POINTER (offset)));
  guint at = 0, high = self->holes->len;
  Region region = { offset, size };

  g_assert (size > 0);
  g_hash_table_remove (self->sizes, GSIZE_TO_POINTER (offset));
  self->in_use -= size;

  while (at < high)
    {
      guint middle = at + (high - at) / 2;
      if (g_array_index (self->holes, Region, middle).offset < offset)
        at = middle + 1;
      else
        high = middle;
    }
  if (at < self->holes->len)
    {
      const Region *after = &g_array_index (self->holes, Region, at);
      if (after->offset == region.offset + region.size)
        {
          region.size += after->size;
          g_array_remove_index (self->holes, at);
        }
    }
  if (at > 0)
    {
      const Region *before = &g_array_index (self->holes, Region, at - 1);
      if (before->offset + before->size == region.offset)
        {
          region = (Region){ before->offset, before->size + region.size };
          g_array_remove_index (self->holes, --at);
        }
    }
  if (region.offset + region.size == self->top)
    self->top = region.offset;
  else
    g_array_insert_val (self->holes, at, region);
}

gsize
peft_arena_get_peak (PeftArena *self)
{
  return self->peak;
}

gsize
peft_arena_get_in_use (PeftArena *self)
{
  return self->in_use;
}
