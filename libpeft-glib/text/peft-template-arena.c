/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-template-value.h"

#define CHUNK_BYTES 16384u
#define ALIGNMENT 16u

typedef struct Chunk
{
  struct Chunk *next;
  gsize used;
  gsize size;
  guint8 data[] __attribute__ ((aligned (ALIGNMENT)));
} Chunk;

struct _PeftTplArena
{
  Chunk *chunks;
  gsize total;
};

PeftTplArena *
peft_tpl_arena_new (void)
{
  return g_new0 (PeftTplArena, 1);
}

void
peft_tpl_arena_free (PeftTplArena *self)
{
  while (self->chunks != NULL)
    {
      Chunk *next = self->chunks->next;
      g_free (self->chunks);
      self->chunks = next;
    }
  g_free (self);
}

gpointer
peft_tpl_arena_alloc (PeftTplArena *self, gsize size)
{
  Chunk *chunk = self->chunks;
  gpointer at;

  size = (size + ALIGNMENT - 1) & ~(gsize) (ALIGNMENT - 1);
  if (chunk == NULL || chunk->size - chunk->used < size)
    {
      gsize bytes = MAX (size, CHUNK_BYTES);
      Chunk *fresh = g_malloc0 (sizeof (Chunk) + bytes);

      fresh->size = bytes;
      self->total += bytes;
      /* A large block must not hide the room left in the current chunk. */
      if (chunk != NULL && size > CHUNK_BYTES / 4)
        {
          fresh->next = chunk->next;
          chunk->next = fresh;
        }
      else
        {
          fresh->next = chunk;
          self->chunks = fresh;
        }
      chunk = fresh;
    }
  at = chunk->data + chunk->used;
  chunk->used += size;
  return at;
}

gsize
peft_tpl_arena_get_size (const PeftTplArena *self)
{
  return self->total;
}
