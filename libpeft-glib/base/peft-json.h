/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Strict JSON (RFC 8259) for files: UTF-8 checked, nesting and size limited, integers kept exact,
 * trailing garbage refused. Nodes are reference counted; a parsed tree is not changed any more. */

typedef struct _PeftJson PeftJson;

typedef enum
{
  PEFT_JSON_NULL,
  PEFT_JSON_BOOLEAN,
  PEFT_JSON_INT,    /* fits gint64 */
  PEFT_JSON_UINT,   /* above G_MAXINT64, fits guint64 */
  PEFT_JSON_DOUBLE, /* has a fraction or exponent */
  PEFT_JSON_BIG,    /* an integer beyond guint64; its text is kept */
  PEFT_JSON_STRING,
  PEFT_JSON_ARRAY,
  PEFT_JSON_OBJECT
} PeftJsonKind;

typedef enum
{
  PEFT_JSON_PARSE_DEFAULT = 0,
  PEFT_JSON_PARSE_UNIQUE_KEYS = 1 << 0, /* a repeated key is an error; otherwise the last one wins */
  PEFT_JSON_PARSE_NAN = 1 << 1          /* NaN, Infinity, -Infinity as Python's json writes them */
} PeftJsonParseFlags;

typedef enum
{
  PEFT_JSON_WRITE_COMPACT = 0,         /* {"a":1,"b":[1,2]} */
  PEFT_JSON_WRITE_INDENT = 1 << 0,     /* indent 2, as Python's json.dumps (indent=2) */
  PEFT_JSON_WRITE_SORT_KEYS = 1 << 1,
  PEFT_JSON_WRITE_ASCII = 1 << 2,      /* \uXXXX for everything beyond ASCII, as Python's default */
  PEFT_JSON_WRITE_SPACED = 1 << 3      /* ", " and ": " on one line, as Python's json.dumps () */
} PeftJsonWriteFlags;

#define PEFT_JSON_MAX_DEPTH 512
#define PEFT_JSON_MAX_FILE_BYTES (1024u * 1024u * 1024u)

/* Errors: PEFT_ERROR_INVALID_FILE with "line L, column C: what", PEFT_ERROR_LIMIT for the limits
 * above. length -1: NUL-terminated. A UTF-8 byte order mark at the start is skipped. A fraction or
 * exponent that no finite double is near is refused. */
PeftJson *peft_json_parse (const char *text, gssize length, PeftJsonParseFlags flags,
                           GError **error);
/* The same from a file; messages start with the path. PEFT_ERROR_NOT_FOUND, PEFT_ERROR_IO. */
PeftJson *peft_json_load (const char *path, PeftJsonParseFlags flags, GError **error);

PeftJson *peft_json_ref (PeftJson *self);
void peft_json_unref (PeftJson *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftJson, peft_json_unref)

PeftJsonKind peft_json_get_kind (const PeftJson *self);
/* "null", "boolean", "integer", "number", "string", "array", "object": for messages. */
const char *peft_json_get_kind_name (const PeftJson *self);

/* Values. Asking a node of another kind is a programmer error, but for these: get_int takes INT and
 * whole DOUBLEs in range (FALSE otherwise), get_double takes any number. */
gboolean peft_json_get_boolean (const PeftJson *self);
gboolean peft_json_get_int (const PeftJson *self, gint64 *out);
gboolean peft_json_get_double (const PeftJson *self, double *out);
gboolean peft_json_is_number (const PeftJson *self);
const char *peft_json_get_string (const PeftJson *self); /* may hold no NUL: \u0000 keeps its length */
gsize peft_json_get_string_length (const PeftJson *self);

gsize peft_json_get_length (const PeftJson *self); /* members of an array or object */
PeftJson *peft_json_get_element (const PeftJson *self, gsize index);   /* (transfer none) */
const char *peft_json_get_name (const PeftJson *self, gsize index);    /* of an object's member */
gsize peft_json_get_name_length (const PeftJson *self, gsize index);   /* names may hold NUL too */
PeftJson *peft_json_get_value (const PeftJson *self, gsize index);     /* (transfer none) */
/* Member by name, NULL when absent or self is no object; hashed for large objects. */
PeftJson *peft_json_get_member (const PeftJson *self, const char *name);

/* Typed look-up in an object. Absent or null: *out keeps its value and TRUE is returned. Another
 * kind: PEFT_ERROR_INVALID_FILE "NAME: expected an integer, found a string". */
gboolean peft_json_read_int (const PeftJson *self, const char *name, gint64 *out, GError **error);
gboolean peft_json_read_double (const PeftJson *self, const char *name, double *out,
                                GError **error);
gboolean peft_json_read_boolean (const PeftJson *self, const char *name, gboolean *out,
                                 GError **error);
/* *out is (transfer none), owned by the tree. */
gboolean peft_json_read_string (const PeftJson *self, const char *name, const char **out,
                                GError **error);

/* Building. set/append take ownership of value. */
PeftJson *peft_json_new_null (void);
PeftJson *peft_json_new_boolean (gboolean value);
PeftJson *peft_json_new_int (gint64 value);
PeftJson *peft_json_new_uint (guint64 value);
PeftJson *peft_json_new_double (double value);
PeftJson *peft_json_new_string (const char *value);
PeftJson *peft_json_new_string_len (const char *value, gsize length);
PeftJson *peft_json_new_array (void);
PeftJson *peft_json_new_object (void);
void peft_json_append (PeftJson *self, PeftJson *value);
void peft_json_set (PeftJson *self, const char *name, PeftJson *value); /* replaces a member */

gboolean peft_json_equal (const PeftJson *a, const PeftJson *b);
/* Doubles are written shortest so that they read back exactly, in Python's repr form (1e-05, 0.0001,
 * 1.0). Never depends on the locale. */
char *peft_json_to_string (const PeftJson *self, PeftJsonWriteFlags flags);
void peft_json_append_double (GString *out, double value);
