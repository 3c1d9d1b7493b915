/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "text/peft-template-value.h"

/* --- tokens --- */

typedef enum
{
  PEFT_TPL_TOKEN_DATA,
  PEFT_TPL_TOKEN_VARIABLE_BEGIN,
  PEFT_TPL_TOKEN_VARIABLE_END,
  PEFT_TPL_TOKEN_BLOCK_BEGIN,
  PEFT_TPL_TOKEN_BLOCK_END,
  PEFT_TPL_TOKEN_NAME,
  PEFT_TPL_TOKEN_STRING,
  PEFT_TPL_TOKEN_INTEGER,
  PEFT_TPL_TOKEN_FLOAT,
  PEFT_TPL_TOKEN_OPERATOR,
  PEFT_TPL_TOKEN_END
} PeftTplTokenType;

typedef struct
{
  PeftTplTokenType type;
  int line;
  const char *text; /* NUL-terminated, in the template's arena */
  gsize length;
  gint64 integer;
  double number;
} PeftTplToken;

/* --- the tree --- */

typedef enum
{
  /* statements */
  PEFT_TPL_NODE_DATA,       /* value */
  PEFT_TPL_NODE_OUTPUT,     /* a */
  PEFT_TPL_NODE_IF,         /* items: conditions (NULL for else); bodies */
  PEFT_TPL_NODE_FOR,        /* a: target, b: iterable, d: filter; bodies: loop, else; flag: recursive;
                               uses: number of closures in the loop */
  PEFT_TPL_NODE_SET,        /* a: target, b: value */
  PEFT_TPL_NODE_SET_BLOCK,  /* a: target, b: filter chain or NULL; bodies: 1 */
  PEFT_TPL_NODE_MACRO,      /* name; items: parameters, defaults; bodies: 1; uses */
  PEFT_TPL_NODE_CALL_BLOCK, /* as macro; a: the call */
  PEFT_TPL_NODE_FILTER_BLOCK, /* b: filter chain; bodies: 1 */
  PEFT_TPL_NODE_GENERATION, /* bodies: 1 */
  PEFT_TPL_NODE_WITH,       /* items: targets, defaults: values; bodies: 1 */
  PEFT_TPL_NODE_BREAK,
  PEFT_TPL_NODE_CONTINUE,
  /* expressions */
  PEFT_TPL_NODE_CONST,      /* value */
  PEFT_TPL_NODE_NAME,       /* name, id */
  PEFT_TPL_NODE_NAMESPACE,  /* name, id, value: the attribute; only as a target */
  PEFT_TPL_NODE_TUPLE,      /* items */
  PEFT_TPL_NODE_LIST,       /* items */
  PEFT_TPL_NODE_DICT,       /* items: keys, defaults: values */
  PEFT_TPL_NODE_ATTRIBUTE,  /* a, value: the name */
  PEFT_TPL_NODE_ITEM,       /* a, b */
  PEFT_TPL_NODE_SLICE,      /* a, b, d, each may be NULL */
  PEFT_TPL_NODE_CALL,       /* a; call */
  PEFT_TPL_NODE_FILTER,     /* a (NULL at the head of a filter chain), name, row; call */
  PEFT_TPL_NODE_TEST,       /* a, name, row; call */
  PEFT_TPL_NODE_CONDITION,  /* a: test, b: value, d: else or NULL */
  PEFT_TPL_NODE_OR,         /* a, b */
  PEFT_TPL_NODE_AND,        /* a, b */
  PEFT_TPL_NODE_NOT,        /* a */
  PEFT_TPL_NODE_COMPARE,    /* a; items, with ops */
  PEFT_TPL_NODE_CONCAT,     /* items */
  PEFT_TPL_NODE_BINARY,     /* a, b, op */
  PEFT_TPL_NODE_SIGN        /* a, op: + or - */
} PeftTplNodeKind;

/* Binary operators are their character, with '^' for ** and 'q' for //; comparisons are '=', '!',
 * '<', '>', 'l' (<=), 'g' (>=), 'i' (in), 'n' (not in). */

typedef struct
{
  PeftTplNode **nodes;
  guint n;
} PeftTplBody;

/* Arguments of calls, filters and tests. */
typedef struct
{
  PeftTplNode **positional;
  guint n_positional;
  const char **names;
  PeftTplNode **named;
  guint n_named;
  PeftTplNode *rest;       /* *args */
  PeftTplNode *named_rest; /* **kwargs */
} PeftTplCall;

enum
{
  PEFT_TPL_USES_VARARGS = 1 << 0,
  PEFT_TPL_USES_KWARGS = 1 << 1,
  PEFT_TPL_USES_CALLER = 1 << 2
};

struct _PeftTplNode
{
  PeftTplNodeKind kind;
  int line;
  char op;
  gboolean flag;
  guint uses;
  guint id;
  const char *name;
  const PeftTplBuiltin *row;
  PeftTplValue *value;
  PeftTplNode *a, *b, *d;
  PeftTplNode **items;
  PeftTplNode **defaults;
  guint n_items;
  char *ops;
  PeftTplBody *bodies;
  guint n_bodies;
  PeftTplCall *call;
};

struct _PeftTemplate
{
  gatomicrefcount ref_count;
  char *name;
  PeftTplArena *arena;
  GHashTable *names; /* variable name → id, from 1 */
  PeftTplBody body;
  gboolean has_generation;
};

/* Ids that every template has. */
enum
{
  PEFT_TPL_ID_LOOP = 1,
  PEFT_TPL_ID_CALLER,
  PEFT_TPL_ID_VARARGS,
  PEFT_TPL_ID_KWARGS
};

guint peft_tpl_intern (PeftTemplate *self, const char *name);

/* Tokens with an END at the end. */
GArray *peft_tpl_tokenize (PeftTemplate *self, const char *source, GError **error);
gboolean peft_tpl_parse (PeftTemplate *self, const PeftTplToken *tokens, GError **error);

/* --- the parser's two halves --- */

typedef struct
{
  PeftTemplate *template;
  const PeftTplToken *tokens;
  gsize position;
  guint depth;
  guint loops; /* around the current statement, within the current macro */
  guint uses;  /* special names seen in the current macro */
  guint closures; /* macros and call blocks seen: they keep the scope they are defined in */
  GError **error;
} PeftTplParser;

#define peft_tpl_parser_token(p) (&(p)->tokens[(p)->position])

/* NULL, with the error set. */
gpointer peft_tpl_parser_fail (PeftTplParser *p, PeftError code, int line, const char *format, ...)
    G_GNUC_PRINTF (4, 5);
gpointer peft_tpl_parser_unexpected (PeftTplParser *p, const char *expected);
PeftTplNode *peft_tpl_parser_node (PeftTplParser *p, PeftTplNodeKind kind, int line);
gboolean peft_tpl_parser_enter (PeftTplParser *p); /* FALSE: nested too deep; else leave with depth-- */
gboolean peft_tpl_parser_at_name (PeftTplParser *p, const char *name);
gboolean peft_tpl_parser_at_operator (PeftTplParser *p, const char *op);
gboolean peft_tpl_parser_skip_name (PeftTplParser *p, const char *name);
gboolean peft_tpl_parser_skip_operator (PeftTplParser *p, const char *op);
gboolean peft_tpl_parser_expect_operator (PeftTplParser *p, const char *op);
const char *peft_tpl_parser_expect_name (PeftTplParser *p); /* any name */
PeftTplNode *peft_tpl_parse_expression (PeftTplParser *p, gboolean with_condition);
/* end_name: a word that also ends the list of items, or NULL */
PeftTplNode *peft_tpl_parse_tuple (PeftTplParser *p, gboolean with_condition, const char *end_name,
                                   gboolean in_parentheses);
PeftTplNode *peft_tpl_parse_target (PeftTplParser *p, gboolean with_namespace, const char *end_name);
PeftTplNode *peft_tpl_parse_name_target (PeftTplParser *p);
/* "|a|b(…)" on top of node; at the first name when start_inline. node comes back when there is none. */
gboolean peft_tpl_parse_filters (PeftTplParser *p, PeftTplNode **node, gboolean start_inline);
PeftTplNode **peft_tpl_parser_take (PeftTplParser *p, GPtrArray *nodes);

/* --- rendering --- */

struct _PeftTplScope
{
  PeftTplScope *parent;
  guint n;
  guint allocated;
  struct PeftTplSlot
  {
    guint id;
    PeftTplValue *value;
  } *slots;
};

struct _PeftTplLoop
{
  PeftTplValue **items;
  gsize n;
  gsize index;
  guint depth;
  const PeftTplNode *node; /* of a recursive loop, else NULL */
  PeftTplScope *scope;     /* around it */
  PeftTplValue *changed;   /* arguments of the last loop.changed () */
};

struct _PeftTplContext
{
  const PeftTemplate *template;
  PeftTplArena *arena;
  GString *out;
  GArray *spans;       /* NULL: not asked for */
  guint captures;      /* outputs around the current one */
  guint generations;   /* {% generation %} blocks around */
  guint64 steps;
  guint depth;
  int line;
  gint64 now;
  GError *error;
};

typedef enum
{
  PEFT_TPL_DONE,
  PEFT_TPL_BREAK_LOOP,
  PEFT_TPL_CONTINUE_LOOP,
  PEFT_TPL_FAILED
} PeftTplStatus;

PeftTplStatus peft_tpl_execute (PeftTplContext *c, const PeftTplBody *body, PeftTplScope *scope);
PeftTplValue *peft_tpl_evaluate (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope);
/* A filter chain of a block, over the block's text. */
PeftTplValue *peft_tpl_evaluate_filters (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope,
                                         PeftTplValue *text);
gboolean peft_tpl_evaluate_call (PeftTplContext *c, const PeftTplCall *call, PeftTplScope *scope,
                                 PeftTplArgs *args);
PeftTplValue *peft_tpl_call_macro (PeftTplContext *c, PeftTplValue *macro, const PeftTplArgs *args);
PeftTplValue *peft_tpl_call_loop (PeftTplContext *c, PeftTplValue *loop, const PeftTplArgs *args);
PeftTplScope *peft_tpl_scope_new (PeftTplContext *c, PeftTplScope *parent);
void peft_tpl_scope_set (PeftTplContext *c, PeftTplScope *scope, guint id, PeftTplValue *value);
PeftTplValue *peft_tpl_scope_get (const PeftTplScope *scope, guint id);
