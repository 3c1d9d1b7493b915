/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-template-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* Expressions of the tree to values. */

static PeftTplValue *
evaluate_name (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope)
{
  PeftTplValue *value = peft_tpl_scope_get (scope, node->id);
  const PeftTplBuiltin *row;

  if (value != NULL)
    return value;
  if ((row = peft_tpl_find_global (node->name)) != NULL)
    {
      value = peft_tpl_dict (c, PEFT_TPL_BUILTIN);
      value->method.row = row;
      return value;
    }
  return peft_tpl_undefined (c, NULL, peft_tpl_string_static (c, node->name));
}

static PeftTplValue *
evaluate_items (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope, PeftTplKind kind)
{
  PeftTplValue **items = peft_tpl_new (c, PeftTplValue *, node->n_items);

  for (guint i = 0; i < node->n_items; i++)
    if ((items[i] = peft_tpl_evaluate (c, node->items[i], scope)) == NULL)
      return NULL;
  return peft_tpl_list (c, kind, items, node->n_items);
}

static PeftTplValue *
evaluate_dict (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope)
{
  PeftTplValue *dict = peft_tpl_dict (c, PEFT_TPL_DICT);

  for (guint i = 0; i < node->n_items; i++)
    {
      PeftTplValue *key = peft_tpl_evaluate (c, node->items[i], scope);
      PeftTplValue *value = key != NULL ? peft_tpl_evaluate (c, node->defaults[i], scope) : NULL;
      if (value == NULL || !peft_tpl_dict_set (c, dict, key, value))
        return NULL;
    }
  return dict;
}

static PeftTplValue *
evaluate_slice (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope)
{
  PeftTplValue *slice = peft_tpl_dict (c, PEFT_TPL_SLICE);

  if ((node->a != NULL && (slice->slice.start = peft_tpl_evaluate (c, node->a, scope)) == NULL)
      || (node->b != NULL && (slice->slice.stop = peft_tpl_evaluate (c, node->b, scope)) == NULL)
      || (node->d != NULL && (slice->slice.step = peft_tpl_evaluate (c, node->d, scope)) == NULL))
    return NULL;
  return slice;
}

static PeftTplValue *
evaluate_concat (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope)
{
  g_autoptr (GString) out = g_string_new (NULL);

  for (guint i = 0; i < node->n_items; i++)
    {
      const PeftTplValue *value = peft_tpl_evaluate (c, node->items[i], scope);
      if (value == NULL || !peft_tpl_append_text (c, out, value))
        return NULL;
    }
  return peft_tpl_take (c, out);
}

static gboolean
holds (PeftTplContext *c, char op, PeftTplValue *a, PeftTplValue *b, gboolean *out)
{
  static const char *const shown[] = { ['<'] = "<", ['>'] = ">", ['l'] = "<=", ['g'] = ">=" };
  int order = 0;

  switch (op)
    {
    case '=':
    case '!':
      *out = peft_tpl_equal (c, a, b) == (op == '=');
      return !peft_tpl_failed (c);
    case 'i':
    case 'n':
      if (!peft_tpl_contains (c, a, b, out))
        return FALSE;
      *out = *out == (op == 'i');
      return TRUE;
    default:
      if (!peft_tpl_compare (c, a, b, shown[(guchar) op], &order))
        return FALSE;
      *out = op == '<'   ? order == -1
             : op == '>' ? order == 1
             : op == 'l' ? order == -1 || order == 0
                         : order == 1 || order == 0;
      return TRUE;
    }
}

/* a < b < c: every part once, and none after the first that fails. */
static PeftTplValue *
evaluate_comparison (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope)
{
  PeftTplValue *left = peft_tpl_evaluate (c, node->a, scope);
  gboolean result = TRUE;

  for (guint i = 0; left != NULL && result && i < node->n_items; i++)
    {
      PeftTplValue *right = peft_tpl_evaluate (c, node->items[i], scope);
      if (right == NULL || !holds (c, node->ops[i], left, right, &result))
        return NULL;
      left = right;
    }
  return left != NULL ? peft_tpl_boolean (result) : NULL;
}

/* Room for the arguments of *rest and **rest, which must be of the right kind. */
static gboolean
evaluate_rest (PeftTplContext *c, const PeftTplCall *call, PeftTplScope *scope, PeftTplValue ***items,
               gsize *n, const PeftTplValue **dict)
{
  *items = NULL;
  *n = 0;
  *dict = NULL;
  if (call->rest != NULL)
    {
      PeftTplValue *rest = peft_tpl_evaluate (c, call->rest, scope);
      if (rest == NULL || !peft_tpl_iterate (c, rest, items, n))
        return FALSE;
    }
  if (call->named_rest == NULL)
    return TRUE;
  *dict = peft_tpl_evaluate (c, call->named_rest, scope);
  if (*dict == NULL)
    return FALSE;
  if ((*dict)->kind != PEFT_TPL_DICT)
    return peft_tpl_fail_kind (c, *dict, _ ("a mapping of arguments")) != NULL;
  for (gsize i = 0; i < (*dict)->dict.n; i++)
    if (!peft_tpl_get_string (c, (*dict)->dict.entries[i].key))
      return FALSE;
  return TRUE;
}

gboolean
peft_tpl_evaluate_call (PeftTplContext *c, const PeftTplCall *call, PeftTplScope *scope, PeftTplArgs *args)
{
  PeftTplValue **rest;
  const PeftTplValue *dict;
  gsize n_rest, n_dict;

  memset (args, 0, sizeof *args);
  if (call->n_positional > 0)
    args->positional = peft_tpl_new (c, PeftTplValue *, call->n_positional);
  for (guint i = 0; i < call->n_positional; i++, args->n_positional++)
    if ((args->positional[i] = peft_tpl_evaluate (c, call->positional[i], scope)) == NULL)
      return FALSE;
  args->names = call->names;
  if (call->n_named > 0)
    args->named = peft_tpl_new (c, PeftTplValue *, call->n_named);
  for (guint i = 0; i < call->n_named; i++, args->n_named++)
    if ((args->named[i] = peft_tpl_evaluate (c, call->named[i], scope)) == NULL)
      return FALSE;
  if (call->rest == NULL && call->named_rest == NULL)
    return TRUE;

  if (!evaluate_rest (c, call, scope, &rest, &n_rest, &dict))
    return FALSE;
  n_dict = dict != NULL ? dict->dict.n : 0;
  PeftTplValue **positional = peft_tpl_new (c, PeftTplValue *, args->n_positional + n_rest);
  PeftTplValue **named = peft_tpl_new (c, PeftTplValue *, args->n_named + n_dict);
  const char **names = peft_tpl_new (c, const char *, args->n_named + n_dict);
  for (guint i = 0; i < args->n_positional; i++)
    positional[i] = args->positional[i];
  for (gsize i = 0; i < n_rest; i++)
    positional[args->n_positional++] = rest[i];
  for (guint i = 0; i < args->n_named; i++)
    {
      names[i] = args->names[i];
      named[i] = args->named[i];
    }
  for (gsize i = 0; i < n_dict; i++)
    {
      const PeftTplValue *key = dict->dict.entries[i].key;
      char *name = peft_tpl_new (c, char, key->string.length + 1);

      memcpy (name, key->string.text, key->string.length);
      for (guint k = 0; k < args->n_named; k++)
        if (strcmp (names[k], name) == 0)
          return peft_tpl_fail (c, _ ("argument “%s” is given twice"), name) != NULL;
      names[args->n_named] = name;
      named[args->n_named++] = dict->dict.entries[i].value;
    }
  args->positional = positional;
  args->names = names;
  args->named = named;
  return TRUE;
}

static int
find_parameter (const char *parameters, const char *name)
{
  g_auto (GStrv) words = g_strsplit (parameters, " ", -1);

  for (int i = 0; words[i] != NULL; i++)
    if (strcmp (words[i], name) == 0)
      return i;
  return -1;
}

static guint
count_words (const char *text)
{
  guint n = *text != '\0';

  for (; *text != '\0'; text++)
    n += *text == ' ';
  return n;
}

PeftTplValue *
peft_tpl_invoke (PeftTplContext *c, const PeftTplBuiltin *row, const char *what, PeftTplValue *self,
                 const PeftTplArgs *args)
{
  PeftTplValue *slots[PEFT_TPL_MAX_PARAMETERS] = { NULL };
  guint n;

  if (row->parameters == NULL)
    return row->call (c, self, slots, args);
  n = count_words (row->parameters);
  if (args->n_positional > n)
    return peft_tpl_fail (c, _ ("%s “%s” takes at most %u arguments, found %u"), what, row->name, n,
                          args->n_positional);
  for (guint i = 0; i < args->n_positional; i++)
    slots[i] = args->positional[i];
  for (guint i = 0; i < args->n_named; i++)
    {
      int slot = find_parameter (row->parameters, args->names[i]);
      if (slot < 0)
        return peft_tpl_fail (c, _ ("%s “%s” has no argument “%s”"), what, row->name, args->names[i]);
      if (slots[slot] != NULL)
        return peft_tpl_fail (c, _ ("argument “%s” is given twice"), args->names[i]);
      slots[slot] = args->named[i];
    }
  for (guint i = 0; i < row->required; i++)
    if (slots[i] == NULL)
      return peft_tpl_fail (c, _ ("%s “%s” needs at least %u arguments"), what, row->name, row->required);
  return row->call (c, self, slots, args);
}

PeftTplValue *
peft_tpl_call (PeftTplContext *c, PeftTplValue *callee, const PeftTplArgs *args)
{
  switch (callee->kind)
    {
    case PEFT_TPL_MACRO:
      return peft_tpl_call_macro (c, callee, args);
    case PEFT_TPL_BUILTIN:
      return peft_tpl_invoke (c, callee->method.row, _ ("function"), NULL, args);
    case PEFT_TPL_METHOD:
      return peft_tpl_invoke (c, callee->method.row, _ ("method"), callee->method.self, args);
    case PEFT_TPL_LOOP:
      return peft_tpl_call_loop (c, callee, args);
    case PEFT_TPL_JOINER:
      if (callee->joiner.used)
        return callee->joiner.separator;
      callee->joiner.used = TRUE;
      return peft_tpl_string_static (c, "");
    case PEFT_TPL_UNDEFINED:
      return peft_tpl_fail_undefined (c, callee);
    default:
      return peft_tpl_fail (c, _ ("a value of type “%s” cannot be called"), peft_tpl_type_name (callee));
    }
}

static PeftTplValue *
evaluate_call (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope)
{
  PeftTplValue *callee = peft_tpl_evaluate (c, node->a, scope);
  PeftTplArgs args;

  if (callee == NULL || !peft_tpl_evaluate_call (c, node->call, scope, &args))
    return NULL;
  c->line = node->line;
  return peft_tpl_call (c, callee, &args);
}

static PeftTplValue *
apply_filter (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope, PeftTplValue *value)
{
  PeftTplArgs args;

  if (value == NULL)
    return NULL;
  if (node->row == NULL)
    return peft_tpl_fail_code (c, PEFT_ERROR_UNSUPPORTED, _ ("there is no filter “%s”"), node->name);
  if (!peft_tpl_evaluate_call (c, node->call, scope, &args))
    return NULL;
  c->line = node->line;
  return peft_tpl_invoke (c, node->row, _ ("filter"), value, &args);
}

static PeftTplValue *
evaluate_test (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope)
{
  PeftTplValue *value = peft_tpl_evaluate (c, node->a, scope);
  PeftTplArgs args;

  if (value == NULL)
    return NULL;
  if (node->row == NULL)
    return peft_tpl_fail_code (c, PEFT_ERROR_UNSUPPORTED, _ ("there is no test “%s”"), node->name);
  if (!peft_tpl_evaluate_call (c, node->call, scope, &args))
    return NULL;
  c->line = node->line;
  return peft_tpl_invoke (c, node->row, _ ("test"), value, &args);
}

PeftTplValue *
peft_tpl_evaluate_filters (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope,
                           PeftTplValue *text)
{
  PeftTplValue *value;

  if (node == NULL)
    return text;
  if (++c->depth > PEFT_TEMPLATE_MAX_DEPTH)
    return peft_tpl_fail_code (c, PEFT_ERROR_LIMIT, _ ("evaluation deeper than %u levels"),
                               PEFT_TEMPLATE_MAX_DEPTH);
  value = apply_filter (c, node, scope, peft_tpl_evaluate_filters (c, node->a, scope, text));
  c->depth--;
  return value;
}

static PeftTplValue *
evaluate_condition (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope)
{
  const PeftTplValue *test = peft_tpl_evaluate (c, node->a, scope);

  if (test == NULL)
    return NULL;
  if (peft_tpl_truth (test))
    return peft_tpl_evaluate (c, node->b, scope);
  if (node->d != NULL)
    return peft_tpl_evaluate (c, node->d, scope);
  return peft_tpl_undefined_hint (c, _ ("the condition is false and there is no “else”"));
}

static PeftTplValue *
evaluate (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope)
{
  PeftTplValue *a, *b;

  switch (node->kind)
    {
    case PEFT_TPL_NODE_CONST:
      return node->value;
    case PEFT_TPL_NODE_NAME:
      return evaluate_name (c, node, scope);
    case PEFT_TPL_NODE_TUPLE:
      return evaluate_items (c, node, scope, PEFT_TPL_TUPLE);
    case PEFT_TPL_NODE_LIST:
      return evaluate_items (c, node, scope, PEFT_TPL_LIST);
    case PEFT_TPL_NODE_DICT:
      return evaluate_dict (c, node, scope);
    case PEFT_TPL_NODE_SLICE:
      return evaluate_slice (c, node, scope);
    case PEFT_TPL_NODE_CALL:
      return evaluate_call (c, node, scope);
    case PEFT_TPL_NODE_FILTER:
      return apply_filter (c, node, scope, peft_tpl_evaluate (c, node->a, scope));
    case PEFT_TPL_NODE_TEST:
      return evaluate_test (c, node, scope);
    case PEFT_TPL_NODE_CONDITION:
      return evaluate_condition (c, node, scope);
    case PEFT_TPL_NODE_COMPARE:
      return evaluate_comparison (c, node, scope);
    case PEFT_TPL_NODE_CONCAT:
      return evaluate_concat (c, node, scope);
    default:
      break;
    }
  if ((a = peft_tpl_evaluate (c, node->a, scope)) == NULL)
    return NULL;
  c->line = node->line;
  switch (node->kind)
    {
    case PEFT_TPL_NODE_ATTRIBUTE:
      return peft_tpl_get_attribute (c, a, node->value);
    case PEFT_TPL_NODE_NOT:
      return peft_tpl_boolean (!peft_tpl_truth (a));
    case PEFT_TPL_NODE_SIGN:
      return peft_tpl_negate (c, a, node->op == '-');
    case PEFT_TPL_NODE_OR:
      return peft_tpl_truth (a) ? a : peft_tpl_evaluate (c, node->b, scope);
    case PEFT_TPL_NODE_AND:
      return peft_tpl_truth (a) ? peft_tpl_evaluate (c, node->b, scope) : a;
    default:
      break;
    }
  if ((b = peft_tpl_evaluate (c, node->b, scope)) == NULL)
    return NULL;
  c->line = node->line;
  if (node->kind == PEFT_TPL_NODE_ITEM)
    return peft_tpl_get_item (c, a, b);
  g_assert (node->kind == PEFT_TPL_NODE_BINARY);
  return node->op == '+' ? peft_tpl_add (c, a, b) : peft_tpl_binary (c, node->op, a, b);
}

PeftTplValue *
peft_tpl_evaluate (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope)
{
  PeftTplValue *value;

  c->line = node->line;
  if (!peft_tpl_charge (c, 1))
    return NULL;
  if (c->depth >= PEFT_TEMPLATE_MAX_DEPTH)
    return peft_tpl_fail_code (c, PEFT_ERROR_LIMIT, _ ("evaluation deeper than %u levels"),
                               PEFT_TEMPLATE_MAX_DEPTH);
  c->depth++;
  value = evaluate (c, node, scope);
  c->depth--;
  g_assert (value != NULL || c->error != NULL);
  return value;
}
