/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "formats/peft-tensor-source.h"

/* Reader of GGUF files, versions 2 and 3, little-endian. Opening maps the file and reads the
 * metadata and the table of tensors, not their data. Tensors of types that this version cannot read
 * are listed with dtype PEFT_N_DTYPES. */

#define PEFT_GGUF_MAX_COUNT (1u << 20) /* keys, and tensors */
#define PEFT_GGUF_MAX_DEPTH 8u         /* arrays within arrays */
#define PEFT_GGUF_MAX_KEY_BYTES 65535u /* the specification's */
/* The specification has 64, but files in use have more. */
#define PEFT_GGUF_MAX_NAME_BYTES 127u
#define PEFT_GGUF_MAX_STRING_BYTES (64u << 20)
#define PEFT_GGUF_MAX_DIMS 4u
#define PEFT_GGUF_MAX_ALIGNMENT (1u << 20)

/* The numbers are the file's. */
typedef enum
{
  PEFT_GGUF_UINT8,
  PEFT_GGUF_INT8,
  PEFT_GGUF_UINT16,
  PEFT_GGUF_INT16,
  PEFT_GGUF_UINT32,
  PEFT_GGUF_INT32,
  PEFT_GGUF_FLOAT32,
  PEFT_GGUF_BOOL,
  PEFT_GGUF_STRING,
  PEFT_GGUF_ARRAY,
  PEFT_GGUF_UINT64,
  PEFT_GGUF_INT64,
  PEFT_GGUF_FLOAT64,
  PEFT_GGUF_N_TYPES
} PeftGgufType;

/* Points into the mapping: no NUL at the end, and nobody has checked that it is UTF-8. */
typedef struct
{
  const char *data;
  gsize length;
} PeftGgufString;

typedef struct _PeftGgufValue PeftGgufValue;

struct _PeftGgufValue
{
  PeftGgufType type;
  union
  {
    guint64 u64; /* unsigned types and BOOL */
    gint64 i64;  /* signed types */
    double f64;  /* FLOAT32, FLOAT64 */
    PeftGgufString string;
    struct
    {
      PeftGgufType item_type;
      gsize n;
      const guint8 *data;      /* packed little-endian numbers, unaligned; else NULL */
      PeftGgufString *strings; /* of an array of strings */
      PeftGgufValue *items;    /* of an array of arrays */
    } array;
  };
};

typedef struct _PeftGguf PeftGguf;

PeftGguf *peft_gguf_open (const char *path, GError **error);
/* The name stands for the path in messages. */
PeftGguf *peft_gguf_open_bytes (GBytes *bytes, const char *name, GError **error);

PeftGguf *peft_gguf_ref (PeftGguf *self);
void peft_gguf_unref (PeftGguf *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftGguf, peft_gguf_unref)

guint peft_gguf_get_version (const PeftGguf *self);
const char *peft_gguf_get_name (const PeftGguf *self);
/* (transfer none). Its names and shapes are the file's; rows of llama-type q and k weights are in
 * the file's order, see peft-gguf-permute.h. */
PeftTensorSource *peft_gguf_get_source (const PeftGguf *self);

/* The metadata, in the order of the file. */
gsize peft_gguf_get_n_keys (const PeftGguf *self);
const char *peft_gguf_get_key (const PeftGguf *self, gsize index);
const PeftGgufValue *peft_gguf_get_value (const PeftGguf *self, gsize index);
/* NULL when absent. */
const PeftGgufValue *peft_gguf_lookup (const PeftGguf *self, const char *key);
gboolean peft_gguf_has (const PeftGguf *self, const char *key);
const char *peft_gguf_type_name (PeftGgufType type);

/* Values by key. Absent: PEFT_ERROR_NOT_FOUND; another type, or out of the result's range:
 * PEFT_ERROR_INVALID_FILE. Integers of any width and sign are taken where they fit, and
 * get_double takes any number. */
gboolean peft_gguf_get_uint (const PeftGguf *self, const char *key, guint64 *out, GError **error);
gboolean peft_gguf_get_int (const PeftGguf *self, const char *key, gint64 *out, GError **error);
gboolean peft_gguf_get_double (const PeftGguf *self, const char *key, double *out, GError **error);
gboolean peft_gguf_get_boolean (const PeftGguf *self, const char *key, gboolean *out,
                                GError **error);
/* Also fails where the string is not UTF-8 or holds a NUL. */
char *peft_gguf_dup_string (const PeftGguf *self, const char *key, GError **error);

/* Arrays by key, with the same errors. The strings belong to the file (transfer none), never NULL
 * but on error. */
const PeftGgufString *peft_gguf_get_string_array (const PeftGguf *self, const char *key, gsize *n,
                                                  GError **error);
gint64 *peft_gguf_dup_int_array (const PeftGguf *self, const char *key, gsize *n, GError **error);
float *peft_gguf_dup_float_array (const PeftGguf *self, const char *key, gsize *n, GError **error);
/* Item of an array of any type; the result is valid as long as the file. */
void peft_gguf_value_get_item (const PeftGgufValue *array, gsize index, PeftGgufValue *out);
