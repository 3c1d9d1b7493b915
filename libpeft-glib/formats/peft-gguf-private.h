/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "formats/peft-gguf.h"

typedef struct
{
  char *key;
  PeftGgufValue value;
} PeftGgufPair;

struct _PeftGguf
{
  gatomicrefcount ref_count;
  PeftTensorSource *source;
  guint version;
  GArray *pairs; /* of PeftGgufPair */
  gsize *by_key; /* indices into pairs, sorted by key */
};

/* Reads a mapped file front to back. */
typedef struct
{
  const guint8 *data;
  gsize size;
  gsize at;
  const char *file;
  char *where; /* "key 'general.name'": what is being read, for messages */
} PeftGgufReader;

static inline gsize
peft_gguf_reader_left (const PeftGgufReader *self)
{
  return self->size - self->at;
}

void peft_gguf_reader_set_where (PeftGgufReader *self, char *where);
gboolean peft_gguf_reader_error (const PeftGgufReader *self, gint code, GError **error,
                                 const char *format, ...) G_GNUC_PRINTF (4, 5);
/* Steps over n bytes; NULL and an error when the file ends before. */
const guint8 *peft_gguf_reader_take (PeftGgufReader *self, guint64 n, GError **error);
gboolean peft_gguf_reader_u32 (PeftGgufReader *self, guint32 *out, GError **error);
gboolean peft_gguf_reader_u64 (PeftGgufReader *self, guint64 *out, GError **error);
gboolean peft_gguf_reader_string (PeftGgufReader *self, guint64 limit, PeftGgufString *out,
                                  GError **error);
/* A key or tensor name: UTF-8 without NUL, at least one byte. */
gboolean peft_gguf_reader_name (PeftGgufReader *self, guint64 limit, PeftGgufString *out,
                                GError **error);

/* Reads n_keys pairs into self->pairs and sorts their index. */
gboolean peft_gguf_read_metadata (PeftGguf *self, PeftGgufReader *reader, guint64 n_keys,
                                  GError **error);
void peft_gguf_value_clear (PeftGgufValue *value);
