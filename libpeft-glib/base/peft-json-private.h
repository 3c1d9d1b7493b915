/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-json.h"

/* Member of an object. Names keep their length, since they may hold NUL. */
typedef struct
{
  char *name;
  PeftJson *value;
  guint32 length;
  guint32 hash;
} PeftJsonMember;

struct _PeftJson
{
  gatomicrefcount ref_count;
  PeftJsonKind kind;
  union
  {
    gboolean boolean;
    gint64 integer;
    guint64 uinteger;
    double number;
    /* STRING and BIG: the bytes follow the node in the same allocation, NUL-terminated. */
    struct
    {
      const char *bytes;
      gsize length;
    } text;
    struct
    {
      PeftJson **items;
      guint n;
      guint capacity;
    } array;
    struct
    {
      PeftJsonMember *items;
      guint32 *slots; /* open addressing: member number + 1, 0: free; NULL for small objects */
      guint n;
      guint capacity; /* a power of two; there are 2 · capacity slots */
    } object;
  } u;
};

PeftJson *peft_json_new_big (const char *text, gsize length);
/* Takes ownership of value. TRUE when a member of that name was there and has been replaced. */
gboolean peft_json_put (PeftJson *self, const char *name, gsize length, PeftJson *value);
