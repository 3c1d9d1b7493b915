/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-error.h"
#include "text/peft-template.h"

/* Values of the template interpreter. All memory of one rendering comes from one arena and goes
 * with it; values never change, but for namespaces, iterators and the state of loops. */

typedef struct _PeftTplArena PeftTplArena;
typedef struct _PeftTplContext PeftTplContext;
typedef struct _PeftTplValue PeftTplValue;
typedef struct _PeftTplScope PeftTplScope;
typedef struct _PeftTplNode PeftTplNode;
typedef struct _PeftTplLoop PeftTplLoop;
typedef struct _PeftTplBuiltin PeftTplBuiltin;

typedef enum
{
  PEFT_TPL_UNDEFINED,
  PEFT_TPL_NONE,
  PEFT_TPL_BOOLEAN,
  PEFT_TPL_INTEGER,
  PEFT_TPL_BIG, /* an integer beyond gint64, from data: printed and compared only */
  PEFT_TPL_FLOAT,
  PEFT_TPL_STRING,
  PEFT_TPL_LIST,
  PEFT_TPL_TUPLE,
  PEFT_TPL_KEYS, /* views of a dict, held as their items */
  PEFT_TPL_VALUES,
  PEFT_TPL_ITEMS,
  PEFT_TPL_ITERATOR, /* gives its items once */
  PEFT_TPL_RANGE,
  PEFT_TPL_DICT,
  PEFT_TPL_NAMESPACE,
  PEFT_TPL_MACRO,
  PEFT_TPL_BUILTIN,
  PEFT_TPL_METHOD,
  PEFT_TPL_LOOP,
  PEFT_TPL_CYCLER,
  PEFT_TPL_JOINER,
  PEFT_TPL_SLICE /* only as a subscript */
} PeftTplKind;

typedef struct
{
  PeftTplValue *key;
  PeftTplValue *value;
} PeftTplEntry;

struct _PeftTplValue
{
  PeftTplKind kind;
  gboolean markup; /* a string marked safe: adding to it escapes the other side */
  union
  {
    gboolean boolean;
    gint64 integer;
    double number;
    struct
    {
      const char *text; /* UTF-8, not NUL-terminated */
      gsize length;     /* bytes */
    } string;           /* also BIG, in decimal */
    struct
    {
      PeftTplValue **items;
      gsize n;
      gsize used; /* items that an iterator has given; the current one of a cycler */
    } list;       /* LIST to ITERATOR, CYCLER */
    struct
    {
      PeftTplEntry *entries;
      gsize n;
      gsize allocated;
    } dict; /* DICT, NAMESPACE */
    struct
    {
      gint64 start;
      gint64 step;
      gsize n;
    } range;
    struct
    {
      const PeftTplValue *owner; /* what lacks the name, or NULL */
      const PeftTplValue *name;  /* the missing name or key, or NULL */
      const char *hint;          /* a whole message, or NULL */
    } undefined;
    struct
    {
      const PeftTplNode *node; /* the macro, call or generation block */
      PeftTplScope *scope;     /* where it was defined */
    } macro;
    struct
    {
      PeftTplValue *self;
      const PeftTplBuiltin *row;
    } method; /* also BUILTIN, without self */
    struct
    {
      PeftTplValue *start, *stop, *step; /* NULL where left out */
    } slice;
    struct
    {
      PeftTplValue *separator;
      gboolean used;
    } joiner;
    PeftTplLoop *loop;
  };
};

typedef struct
{
  PeftTplValue **positional;
  guint n_positional;
  const char **names;
  PeftTplValue **named;
  guint n_named;
} PeftTplArgs;

/* self: the piped value of a filter, the tested value, the object of a method, NULL for a global.
 * slots: the arguments by parameter, NULL where not given; args: as they were written. NULL is
 * returned after an error. */
typedef PeftTplValue *(*PeftTplFunc) (PeftTplContext *c, PeftTplValue *self, PeftTplValue **slots,
                                      const PeftTplArgs *args);

#define PEFT_TPL_MAX_PARAMETERS 8

/* A row of the tables of filters, tests, methods and globals. */
struct _PeftTplBuiltin
{
  const char *name;
  PeftTplFunc call;       /* NULL: a method that would change its object, which nothing may */
  const char *parameters; /* "width first blank"; NULL: takes anything */
  guint required;
};

/* --- memory and errors --- */

PeftTplArena *peft_tpl_arena_new (void);
void peft_tpl_arena_free (PeftTplArena *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftTplArena, peft_tpl_arena_free)
gpointer peft_tpl_arena_alloc (PeftTplArena *self, gsize size); /* zeroed */
gsize peft_tpl_arena_get_size (const PeftTplArena *self);

#define peft_tpl_new(c, type, n) ((type *) peft_tpl_arena_alloc (peft_tpl_get_arena (c), sizeof (type) * (n)))
PeftTplArena *peft_tpl_get_arena (PeftTplContext *c);

/* Both set the rendering's error, prefixed with name and line, where there is none yet; they return
 * NULL. */
gpointer peft_tpl_fail (PeftTplContext *c, const char *format, ...) G_GNUC_PRINTF (2, 3);
gpointer peft_tpl_fail_code (PeftTplContext *c, PeftError code, const char *format, ...)
    G_GNUC_PRINTF (3, 4);
gpointer peft_tpl_fail_undefined (PeftTplContext *c, const PeftTplValue *value);
/* An operand or argument of a kind that the operation cannot take; undefined gives its own reason. */
gpointer peft_tpl_fail_kind (PeftTplContext *c, const PeftTplValue *value, const char *expected);
gboolean peft_tpl_failed (const PeftTplContext *c);
/* Counts n steps; FALSE when a limit was crossed or an error is pending. */
gboolean peft_tpl_charge (PeftTplContext *c, gsize n);
/* May a string, a list of this size be made? */
gboolean peft_tpl_check_string (PeftTplContext *c, gsize bytes);
gboolean peft_tpl_check_items (PeftTplContext *c, gsize n);
/* Seconds since 1970 for strftime_now (). */
gint64 peft_tpl_get_now (PeftTplContext *c);

/* --- making values --- */

PeftTplValue *peft_tpl_none (void);
PeftTplValue *peft_tpl_boolean (gboolean value);
PeftTplValue *peft_tpl_integer (PeftTplContext *c, gint64 value);
PeftTplValue *peft_tpl_float (PeftTplContext *c, double value);
PeftTplValue *peft_tpl_string (PeftTplContext *c, const char *text, gsize length); /* not copied */
PeftTplValue *peft_tpl_string_copy (PeftTplContext *c, const char *text, gsize length);
PeftTplValue *peft_tpl_string_static (PeftTplContext *c, const char *text);
PeftTplValue *peft_tpl_string_like (PeftTplContext *c, const PeftTplValue *model, PeftTplValue *string);
PeftTplValue *peft_tpl_list (PeftTplContext *c, PeftTplKind kind, PeftTplValue **items, gsize n);
PeftTplValue *peft_tpl_list_copy (PeftTplContext *c, PeftTplKind kind, GPtrArray *items);
PeftTplValue *peft_tpl_pair (PeftTplContext *c, PeftTplValue *a, PeftTplValue *b);
PeftTplValue *peft_tpl_dict (PeftTplContext *c, PeftTplKind kind);
/* Replaces or appends; FALSE when the key cannot be one. */
gboolean peft_tpl_dict_set (PeftTplContext *c, PeftTplValue *dict, PeftTplValue *key,
                            PeftTplValue *value);
PeftTplValue *peft_tpl_dict_get (PeftTplContext *c, const PeftTplValue *dict, const PeftTplValue *key);
PeftTplValue *peft_tpl_dict_get_text (PeftTplContext *c, const PeftTplValue *dict, const char *key);
/* Can it be a key? */
gboolean peft_tpl_is_hashable (const PeftTplValue *key);
PeftTplValue *peft_tpl_undefined (PeftTplContext *c, const PeftTplValue *owner, const PeftTplValue *name);
PeftTplValue *peft_tpl_undefined_hint (PeftTplContext *c, const char *hint);
PeftTplValue *peft_tpl_from_json (PeftTplContext *c, const PeftJson *json);

/* --- asking values --- */

const char *peft_tpl_type_name (const PeftTplValue *value); /* as Python calls it */
gboolean peft_tpl_is_text (const PeftTplValue *value, const char *text);
gboolean peft_tpl_truth (const PeftTplValue *value);
gboolean peft_tpl_equal (PeftTplContext *c, const PeftTplValue *a, const PeftTplValue *b);
/* -1, 0, 1 in *out; FALSE for kinds without an order. operation is for the message. */
gboolean peft_tpl_compare (PeftTplContext *c, const PeftTplValue *a, const PeftTplValue *b,
                           const char *operation, int *out);
gboolean peft_tpl_contains (PeftTplContext *c, const PeftTplValue *item, PeftTplValue *container,
                            gboolean *out);
gboolean peft_tpl_is_number (const PeftTplValue *value); /* booleans too, as in Python */
gboolean peft_tpl_get_integer (PeftTplContext *c, const PeftTplValue *value, gint64 *out);
double peft_tpl_get_number (const PeftTplValue *value); /* of one that is_number */
gboolean peft_tpl_get_string (PeftTplContext *c, const PeftTplValue *value);
/* Number of items; FALSE (with an error) for kinds without a length. */
gboolean peft_tpl_length (PeftTplContext *c, const PeftTplValue *value, gsize *out);
gboolean peft_tpl_is_iterable (const PeftTplValue *value);
/* The items to loop over, used up when value is an iterator; FALSE (with an error) when there are
 * none to be had. */
gboolean peft_tpl_iterate (PeftTplContext *c, PeftTplValue *value, PeftTplValue ***items, gsize *n);

/* --- operations --- */

PeftTplValue *peft_tpl_add (PeftTplContext *c, PeftTplValue *a, PeftTplValue *b);
PeftTplValue *peft_tpl_binary (PeftTplContext *c, char op, PeftTplValue *a, PeftTplValue *b);
PeftTplValue *peft_tpl_negate (PeftTplContext *c, PeftTplValue *a, gboolean negative);
PeftTplValue *peft_tpl_get_attribute (PeftTplContext *c, PeftTplValue *object, PeftTplValue *name);
PeftTplValue *peft_tpl_get_item (PeftTplContext *c, PeftTplValue *object, PeftTplValue *key);
PeftTplValue *peft_tpl_call (PeftTplContext *c, PeftTplValue *callee, const PeftTplArgs *args);
PeftTplValue *peft_tpl_invoke (PeftTplContext *c, const PeftTplBuiltin *row, const char *what,
                               PeftTplValue *self, const PeftTplArgs *args);
PeftTplValue *peft_tpl_loop_attribute (PeftTplContext *c, PeftTplValue *loop, const char *name);

/* --- text --- */

/* str (value), repr (value) and json.dumps (value); FALSE after an error. */
gboolean peft_tpl_append_text (PeftTplContext *c, GString *out, const PeftTplValue *value);
gboolean peft_tpl_append_repr (PeftTplContext *c, GString *out, const PeftTplValue *value, guint depth);
PeftTplValue *peft_tpl_to_text (PeftTplContext *c, PeftTplValue *value); /* a string as it is */
PeftTplValue *peft_tpl_escape (PeftTplContext *c, PeftTplValue *value);  /* for HTML, as markup */
PeftTplValue *peft_tpl_tojson (PeftTplContext *c, PeftTplValue *self, PeftTplValue **slots,
                               const PeftTplArgs *args);
PeftTplValue *peft_tpl_take (PeftTplContext *c, GString *text); /* copies; text stays the caller's */

gboolean peft_tpl_is_space (gunichar ch); /* str.isspace () of one character */
gsize peft_tpl_count_chars (const char *text, gsize length);
PeftTplValue *peft_tpl_strip (PeftTplContext *c, PeftTplValue *text, PeftTplValue *chars, gboolean left,
                              gboolean right);
PeftTplValue *peft_tpl_replace (PeftTplContext *c, PeftTplValue *text, PeftTplValue *old,
                                PeftTplValue *new_text, gint64 count);
PeftTplValue *peft_tpl_change_case (PeftTplContext *c, PeftTplValue *text, char mode);
PeftTplValue *peft_tpl_join (PeftTplContext *c, PeftTplValue *separator, PeftTplValue **items, gsize n);
PeftTplValue *peft_tpl_pad (PeftTplContext *c, PeftTplValue *text, gint64 width, PeftTplValue *fill,
                            char where);
GPtrArray *peft_tpl_split_lines (PeftTplContext *c, PeftTplValue *text, gboolean keep_ends);
PeftTplValue *peft_tpl_format_percent (PeftTplContext *c, PeftTplValue *format, PeftTplValue *values);
PeftTplValue *peft_tpl_format_braces (PeftTplContext *c, PeftTplValue *format, const PeftTplArgs *args);
PeftTplValue *peft_tpl_parse_float (PeftTplContext *c, const PeftTplValue *text); /* NULL: it is none */

/* --- tables --- */

const PeftTplBuiltin *peft_tpl_find_filter (const char *name);
const PeftTplBuiltin *peft_tpl_find_test (const char *name);
const PeftTplBuiltin *peft_tpl_find_global (const char *name);
/* *refused: the method exists in Python and is not here. */
const PeftTplBuiltin *peft_tpl_find_method (PeftTplKind kind, const char *name, gsize length,
                                            gboolean *refused);
/* Parts of the tables; each ends with a row without name. */
extern const PeftTplBuiltin peft_tpl_text_filters[];
extern const PeftTplBuiltin peft_tpl_sequence_filters[];
extern const PeftTplBuiltin peft_tpl_number_filters[];
extern const PeftTplBuiltin peft_tpl_tests[];
extern const PeftTplBuiltin peft_tpl_globals[];
extern const PeftTplBuiltin peft_tpl_string_methods[];
extern const PeftTplBuiltin peft_tpl_dict_methods[];
extern const PeftTplBuiltin peft_tpl_list_methods[];
extern const PeftTplBuiltin peft_tpl_tuple_methods[];
extern const PeftTplBuiltin peft_tpl_loop_methods[];
extern const PeftTplBuiltin peft_tpl_cycler_methods[];
