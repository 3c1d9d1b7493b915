/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "text/peft-bpe.h"

/* Characters below this find their token in an array. */
#define PEFT_BPE_N_DIRECT 0x250u

typedef struct
{
  guint64 pair; /* left id << 32 | right id; all ones: empty */
  guint32 rank;
  gint32 id;
} PeftBpeMerge;

struct _PeftBpe
{
  PeftTokenModel parent;
  char *prefix;
  char *suffix;
  gsize prefix_length;
  gboolean fuse_unk;
  gboolean byte_fallback;
  gboolean ignore_merges;
  gint32 byte_ids[256]; /* -1: no such token */
  gint32 char_ids[PEFT_BPE_N_DIRECT];
  PeftBpeMerge *merges; /* open addressing, at most half full */
  gsize n_slots;        /* a power of two */
  gsize n_merges;
  guint32 next_rank;
};

/* NULL when the pair does not join. */
static inline const PeftBpeMerge *
peft_bpe_find_merge (const PeftBpe *self, gint32 left, gint32 right)
{
  guint64 pair = (guint64) (guint32) left << 32 | (guint32) right;
  gsize mask = self->n_slots - 1;
  gsize i = (gsize) ((pair * 0x9e3779b97f4a7c15u) >> 32) & mask;

  for (;; i = (i + 1) & mask)
    {
      const PeftBpeMerge *merge = &self->merges[i];

      if (merge->pair == pair)
        return merge;
      if (merge->pair == G_MAXUINT64)
        return NULL;
    }
}

void peft_bpe_free (PeftTokenModel *model);
gpointer peft_bpe_scratch_new (const PeftTokenModel *model);
void peft_bpe_scratch_free (gpointer scratch);
void peft_bpe_split (const PeftTokenModel *model, gpointer scratch, const char *text,
                     gsize length, GArray *tokens);
