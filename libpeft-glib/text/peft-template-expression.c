/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-template-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* Expressions, weakest first: if-else, or, and, not, comparisons, + -, ~, * / // %, **, signs, postfix,
 * filters and tests. */

static PeftTplNode *parse_or (PeftTplParser *p);
static PeftTplNode *parse_unary (PeftTplParser *p, gboolean with_filters);

static int
line_of (PeftTplParser *p)
{
  return peft_tpl_parser_token (p)->line;
}

static PeftTplNode *
binary (PeftTplParser *p, PeftTplNodeKind kind, int line, char op, PeftTplNode *a, PeftTplNode *b)
{
  PeftTplNode *node = peft_tpl_parser_node (p, kind, line);

  node->op = op;
  node->a = a;
  node->b = b;
  return node;
}

static PeftTplNode *
constant (PeftTplParser *p, int line, PeftTplKind kind)
{
  PeftTplNode *node = peft_tpl_parser_node (p, PEFT_TPL_NODE_CONST, line);

  node->value = peft_tpl_arena_alloc (p->template->arena, sizeof (PeftTplValue));
  node->value->kind = kind;
  return node;
}

static PeftTplNode *
string_constant (PeftTplParser *p, int line, const char *text, gsize length)
{
  PeftTplNode *node = constant (p, line, PEFT_TPL_STRING);

  node->value->string.text = text;
  node->value->string.length = length;
  return node;
}

PeftTplNode *
peft_tpl_parse_expression (PeftTplParser *p, gboolean with_condition)
{
  PeftTplNode *node;
  int line = line_of (p);

  if (!peft_tpl_parser_enter (p))
    return NULL;
  if ((node = parse_or (p)) == NULL)
    return NULL;
  while (with_condition && peft_tpl_parser_skip_name (p, "if"))
    {
      PeftTplNode *whole = peft_tpl_parser_node (p, PEFT_TPL_NODE_CONDITION, line);

      whole->b = node;
      if ((whole->a = parse_or (p)) == NULL)
        return NULL;
      if (peft_tpl_parser_skip_name (p, "else")
          && (whole->d = peft_tpl_parse_expression (p, TRUE)) == NULL)
        return NULL;
      node = whole;
    }
  p->depth--;
  return node;
}

static PeftTplNode *
parse_not (PeftTplParser *p);

static PeftTplNode *
parse_and (PeftTplParser *p)
{
  PeftTplNode *left = parse_not (p);
  int line = line_of (p);

  while (left != NULL && peft_tpl_parser_skip_name (p, "and"))
    {
      PeftTplNode *right = parse_not (p);
      if (right == NULL)
        return NULL;
      left = binary (p, PEFT_TPL_NODE_AND, line, 0, left, right);
    }
  return left;
}

static PeftTplNode *
parse_or (PeftTplParser *p)
{
  PeftTplNode *left = parse_and (p);
  int line = line_of (p);

  while (left != NULL && peft_tpl_parser_skip_name (p, "or"))
    {
      PeftTplNode *right = parse_and (p);
      if (right == NULL)
        return NULL;
      left = binary (p, PEFT_TPL_NODE_OR, line, 0, left, right);
    }
  return left;
}

static gboolean
at_operator_of (PeftTplParser *p, const char *const *texts, const char *codes, char *op)
{
  for (guint i = 0; texts[i] != NULL; i++)
    if (peft_tpl_parser_at_operator (p, texts[i]))
      {
        *op = codes[i];
        return TRUE;
      }
  return FALSE;
}

/* A level of left-associative operators. */
static PeftTplNode *
parse_level (PeftTplParser *p, PeftTplNode *(*parse) (PeftTplParser *), const char *const *texts,
             const char *codes)
{
  int line = line_of (p);
  PeftTplNode *left = parse (p);
  char op;

  while (left != NULL && at_operator_of (p, texts, codes, &op))
    {
      PeftTplNode *right;
      p->position++;
      if ((right = parse (p)) == NULL)
        return NULL;
      left = binary (p, PEFT_TPL_NODE_BINARY, line, op, left, right);
      line = line_of (p);
    }
  return left;
}

static PeftTplNode *
parse_operand (PeftTplParser *p)
{
  return parse_unary (p, TRUE);
}

static PeftTplNode *
parse_power (PeftTplParser *p)
{
  static const char *const texts[] = { "**", NULL };
  return parse_level (p, parse_operand, texts, "^");
}

static PeftTplNode *
parse_product (PeftTplParser *p)
{
  static const char *const texts[] = { "*", "/", "//", "%", NULL };
  return parse_level (p, parse_power, texts, "*/q%");
}

static PeftTplNode *
parse_concat (PeftTplParser *p)
{
  g_autoptr (GPtrArray) parts = g_ptr_array_new ();
  int line = line_of (p);
  PeftTplNode *node;

  do
    {
      if ((node = parse_product (p)) == NULL)
        return NULL;
      g_ptr_array_add (parts, node);
    }
  while (peft_tpl_parser_skip_operator (p, "~"));
  if (parts->len == 1)
    return node;
  node = peft_tpl_parser_node (p, PEFT_TPL_NODE_CONCAT, line);
  node->n_items = parts->len;
  node->items = peft_tpl_parser_take (p, parts);
  return node;
}

static PeftTplNode *
parse_sum (PeftTplParser *p)
{
  static const char *const texts[] = { "+", "-", NULL };
  return parse_level (p, parse_concat, texts, "+-");
}

static gboolean
skip_comparison (PeftTplParser *p, char *op)
{
  static const char *const texts[] = { "==", "!=", "<", ">", "<=", ">=", NULL };

  if (at_operator_of (p, texts, "=!<>lg", op))
    p->position++;
  else if (peft_tpl_parser_skip_name (p, "in"))
    *op = 'i';
  else if (peft_tpl_parser_at_name (p, "not") && p->tokens[p->position + 1].type == PEFT_TPL_TOKEN_NAME
           && strcmp (p->tokens[p->position + 1].text, "in") == 0)
    {
      p->position += 2;
      *op = 'n';
    }
  else
    return FALSE;
  return TRUE;
}

static PeftTplNode *
parse_comparison (PeftTplParser *p)
{
  g_autoptr (GPtrArray) operands = g_ptr_array_new ();
  g_autoptr (GString) ops = g_string_new (NULL);
  int line = line_of (p);
  PeftTplNode *first = parse_sum (p), *node;
  char op;

  while (first != NULL && skip_comparison (p, &op))
    {
      PeftTplNode *operand = parse_sum (p);
      if (operand == NULL)
        return NULL;
      g_ptr_array_add (operands, operand);
      g_string_append_c (ops, op);
    }
  if (first == NULL || operands->len == 0)
    return first;
  node = peft_tpl_parser_node (p, PEFT_TPL_NODE_COMPARE, line);
  node->a = first;
  node->n_items = operands->len;
  node->items = peft_tpl_parser_take (p, operands);
  node->ops = peft_tpl_arena_alloc (p->template->arena, ops->len + 1);
  memcpy (node->ops, ops->str, ops->len);
  return node;
}

static PeftTplNode *
parse_not (PeftTplParser *p)
{
  int line = line_of (p);
  PeftTplNode *node;

  if (!peft_tpl_parser_skip_name (p, "not"))
    return parse_comparison (p);
  if (!peft_tpl_parser_enter (p) || (node = parse_not (p)) == NULL)
    return NULL;
  p->depth--;
  return binary (p, PEFT_TPL_NODE_NOT, line, 0, node, NULL);
}

static PeftTplNode *
new_name (PeftTplParser *p, const PeftTplToken *token)
{
  PeftTplNode *node = peft_tpl_parser_node (p, PEFT_TPL_NODE_NAME, token->line);

  node->name = token->text;
  node->id = peft_tpl_intern (p->template, token->text);
  if (node->id == PEFT_TPL_ID_VARARGS)
    p->uses |= PEFT_TPL_USES_VARARGS;
  else if (node->id == PEFT_TPL_ID_KWARGS)
    p->uses |= PEFT_TPL_USES_KWARGS;
  else if (node->id == PEFT_TPL_ID_CALLER)
    p->uses |= PEFT_TPL_USES_CALLER;
  return node;
}

static PeftTplNode *
parse_name (PeftTplParser *p, gboolean with_namespace)
{
  const PeftTplToken *token = peft_tpl_parser_token (p);
  PeftTplNode *node;

  p->position++;
  if (strcmp (token->text, "none") == 0 || strcmp (token->text, "None") == 0)
    return constant (p, token->line, PEFT_TPL_NONE);
  for (guint i = 0; i < 4; i++)
    if (strcmp (token->text, ((const char *const[]) { "false", "False", "true", "True" })[i]) == 0)
      {
        node = constant (p, token->line, PEFT_TPL_BOOLEAN);
        node->value->boolean = i >= 2;
        return node;
      }
  node = new_name (p, token);
  if (with_namespace && peft_tpl_parser_skip_operator (p, "."))
    {
      const char *attribute = peft_tpl_parser_expect_name (p);
      if (attribute == NULL)
        return NULL;
      node->kind = PEFT_TPL_NODE_NAMESPACE;
      node->value = string_constant (p, token->line, attribute, strlen (attribute))->value;
    }
  return node;
}

static PeftTplNode *
parse_string (PeftTplParser *p)
{
  g_autoptr (GString) whole = g_string_new (NULL);
  int line = line_of (p);
  char *text;

  for (; peft_tpl_parser_token (p)->type == PEFT_TPL_TOKEN_STRING; p->position++)
    g_string_append_len (whole, peft_tpl_parser_token (p)->text, peft_tpl_parser_token (p)->length);
  text = peft_tpl_arena_alloc (p->template->arena, whole->len + 1);
  memcpy (text, whole->str, whole->len);
  return string_constant (p, line, text, whole->len);
}

/* "[a, b]" or "{a: b}", from after the bracket. */
static PeftTplNode *
parse_display (PeftTplParser *p, PeftTplNodeKind kind, const char *end)
{
  g_autoptr (GPtrArray) items = g_ptr_array_new ();
  g_autoptr (GPtrArray) values = g_ptr_array_new ();
  PeftTplNode *node = peft_tpl_parser_node (p, kind, line_of (p));

  while (!peft_tpl_parser_skip_operator (p, end))
    {
      PeftTplNode *item;

      if (items->len > 0)
        {
          if (!peft_tpl_parser_expect_operator (p, ","))
            return NULL;
          if (peft_tpl_parser_skip_operator (p, end))
            break;
        }
      if ((item = peft_tpl_parse_expression (p, TRUE)) == NULL)
        return NULL;
      g_ptr_array_add (items, item);
      if (kind != PEFT_TPL_NODE_DICT)
        continue;
      if (!peft_tpl_parser_expect_operator (p, ":")
          || (item = peft_tpl_parse_expression (p, TRUE)) == NULL)
        return NULL;
      g_ptr_array_add (values, item);
    }
  node->n_items = items->len;
  node->items = peft_tpl_parser_take (p, items);
  node->defaults = peft_tpl_parser_take (p, values);
  return node;
}

static PeftTplNode *
parse_primary (PeftTplParser *p, gboolean with_namespace)
{
  const PeftTplToken *token = peft_tpl_parser_token (p);
  PeftTplNode *node;

  switch (token->type)
    {
    case PEFT_TPL_TOKEN_NAME:
      return parse_name (p, with_namespace);
    case PEFT_TPL_TOKEN_STRING:
      return parse_string (p);
    case PEFT_TPL_TOKEN_INTEGER:
      p->position++;
      node = constant (p, token->line, PEFT_TPL_INTEGER);
      node->value->integer = token->integer;
      return node;
    case PEFT_TPL_TOKEN_FLOAT:
      p->position++;
      node = constant (p, token->line, PEFT_TPL_FLOAT);
      node->value->number = token->number;
      return node;
    default:
      break;
    }
  if (peft_tpl_parser_skip_operator (p, "("))
    {
      node = peft_tpl_parse_tuple (p, TRUE, NULL, TRUE);
      return node != NULL && peft_tpl_parser_expect_operator (p, ")") ? node : NULL;
    }
  if (peft_tpl_parser_skip_operator (p, "["))
    return parse_display (p, PEFT_TPL_NODE_LIST, "]");
  if (peft_tpl_parser_skip_operator (p, "{"))
    return parse_display (p, PEFT_TPL_NODE_DICT, "}");
  return peft_tpl_parser_unexpected (p, _ ("an expression"));
}

static gboolean
at_tuple_end (PeftTplParser *p, const char *end_name)
{
  PeftTplTokenType type = peft_tpl_parser_token (p)->type;

  return type == PEFT_TPL_TOKEN_VARIABLE_END || type == PEFT_TPL_TOKEN_BLOCK_END
         || peft_tpl_parser_at_operator (p, ")")
         || (end_name != NULL && peft_tpl_parser_at_name (p, end_name));
}

typedef enum
{
  ITEM_TARGET,
  ITEM_NAMESPACE_TARGET,
  ITEM_PLAIN,
  ITEM_CONDITION
} ItemKind;

static PeftTplNode *
parse_items (PeftTplParser *p, ItemKind kind, const char *end_name, gboolean in_parentheses)
{
  g_autoptr (GPtrArray) items = g_ptr_array_new ();
  gboolean is_tuple = FALSE;
  int line = line_of (p);
  PeftTplNode *node;

  while (!at_tuple_end (p, end_name))
    {
      node = kind <= ITEM_NAMESPACE_TARGET ? parse_primary (p, kind == ITEM_NAMESPACE_TARGET)
                                           : peft_tpl_parse_expression (p, kind == ITEM_CONDITION);
      if (node == NULL)
        return NULL;
      g_ptr_array_add (items, node);
      if (!peft_tpl_parser_skip_operator (p, ","))
        break;
      is_tuple = TRUE;
    }
  if (!is_tuple && items->len > 0)
    return g_ptr_array_index (items, 0);
  if (!is_tuple && !in_parentheses)
    return peft_tpl_parser_unexpected (p, _ ("an expression"));
  node = peft_tpl_parser_node (p, PEFT_TPL_NODE_TUPLE, line);
  node->n_items = items->len;
  node->items = peft_tpl_parser_take (p, items);
  return node;
}

PeftTplNode *
peft_tpl_parse_tuple (PeftTplParser *p, gboolean with_condition, const char *end_name,
                      gboolean in_parentheses)
{
  return parse_items (p, with_condition ? ITEM_CONDITION : ITEM_PLAIN, end_name, in_parentheses);
}

static gboolean
is_target (const PeftTplNode *node)
{
  if (node->kind == PEFT_TPL_NODE_NAME || node->kind == PEFT_TPL_NODE_NAMESPACE)
    return TRUE;
  if (node->kind != PEFT_TPL_NODE_TUPLE)
    return FALSE;
  for (guint i = 0; i < node->n_items; i++)
    if (!is_target (node->items[i]))
      return FALSE;
  return TRUE;
}

PeftTplNode *
peft_tpl_parse_target (PeftTplParser *p, gboolean with_namespace, const char *end_name)
{
  int line = line_of (p);
  guint uses = p->uses;
  PeftTplNode *node
      = parse_items (p, with_namespace ? ITEM_NAMESPACE_TARGET : ITEM_TARGET, end_name, FALSE);

  p->uses = uses; /* setting such a name is no use of it */
  if (node != NULL && !is_target (node))
    return peft_tpl_parser_fail (p, PEFT_ERROR_INVALID_FILE, line,
                                 _ ("this expression cannot be assigned to"));
  return node;
}

PeftTplNode *
peft_tpl_parse_name_target (PeftTplParser *p)
{
  const PeftTplToken *token = peft_tpl_parser_token (p);
  guint uses = p->uses;
  PeftTplNode *node;

  if (peft_tpl_parser_expect_name (p) == NULL)
    return NULL;
  node = new_name (p, token);
  p->uses = uses;
  return node;
}

static PeftTplNode *
parse_subscript_part (PeftTplParser *p)
{
  PeftTplNode *parts[3] = { NULL };
  guint i = 0;
  PeftTplNode *node;
  int line = line_of (p);

  for (; i < 3; i++)
    {
      if (!peft_tpl_parser_at_operator (p, ":") && !peft_tpl_parser_at_operator (p, "]")
          && !peft_tpl_parser_at_operator (p, ",")
          && (parts[i] = peft_tpl_parse_expression (p, TRUE)) == NULL)
        return NULL;
      if (i == 2 || !peft_tpl_parser_skip_operator (p, ":"))
        break;
    }
  if (i == 0)
    return parts[0] != NULL ? parts[0] : peft_tpl_parser_unexpected (p, _ ("an expression"));
  node = peft_tpl_parser_node (p, PEFT_TPL_NODE_SLICE, line);
  node->a = parts[0];
  node->b = parts[1];
  node->d = parts[2];
  return node;
}

/* From after the bracket. */
static PeftTplNode *
parse_subscript (PeftTplParser *p)
{
  g_autoptr (GPtrArray) parts = g_ptr_array_new ();
  PeftTplNode *node = NULL;
  int line = line_of (p);

  while (!peft_tpl_parser_at_operator (p, "]"))
    {
      if (parts->len > 0 && !peft_tpl_parser_expect_operator (p, ","))
        return NULL;
      if ((node = parse_subscript_part (p)) == NULL)
        return NULL;
      g_ptr_array_add (parts, node);
    }
  p->position++;
  if (parts->len == 1)
    return node;
  node = peft_tpl_parser_node (p, PEFT_TPL_NODE_TUPLE, line);
  node->n_items = parts->len;
  node->items = peft_tpl_parser_take (p, parts);
  return node;
}

/* From the opening parenthesis on. */
static PeftTplCall *
parse_arguments (PeftTplParser *p)
{
  g_autoptr (GPtrArray) positional = g_ptr_array_new ();
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autoptr (GPtrArray) named = g_ptr_array_new ();
  PeftTplCall *call = peft_tpl_arena_alloc (p->template->arena, sizeof *call);
  gboolean valid = TRUE;
  int line = line_of (p);

  if (!peft_tpl_parser_expect_operator (p, "("))
    return NULL;
  for (gboolean first = TRUE; !peft_tpl_parser_at_operator (p, ")"); first = FALSE)
    {
      const PeftTplToken *token;
      PeftTplNode **rest = NULL, *value;

      if (!first)
        {
          if (!peft_tpl_parser_expect_operator (p, ","))
            return NULL;
          if (peft_tpl_parser_at_operator (p, ")"))
            break;
        }
      token = peft_tpl_parser_token (p);
      if (peft_tpl_parser_skip_operator (p, "*"))
        {
          valid = call->rest == NULL && call->named_rest == NULL;
          rest = &call->rest;
        }
      else if (peft_tpl_parser_skip_operator (p, "**"))
        {
          valid = call->named_rest == NULL;
          rest = &call->named_rest;
        }
      else if (token->type == PEFT_TPL_TOKEN_NAME && token[1].type == PEFT_TPL_TOKEN_OPERATOR
               && strcmp (token[1].text, "=") == 0)
        {
          valid = call->named_rest == NULL;
          g_ptr_array_add (names, (gpointer) token->text);
          p->position += 2;
        }
      else
        valid = call->rest == NULL && call->named_rest == NULL && names->len == 0;
      if (!valid)
        return peft_tpl_parser_fail (p, PEFT_ERROR_INVALID_FILE, line,
                                     _ ("the arguments of a call are in the wrong order"));
      if ((value = peft_tpl_parse_expression (p, TRUE)) == NULL)
        return NULL;
      if (rest != NULL)
        *rest = value;
      else
        g_ptr_array_add (named->len < names->len ? named : positional, value);
    }
  p->position++;
  call->n_positional = positional->len;
  call->positional = peft_tpl_parser_take (p, positional);
  call->n_named = named->len;
  call->named = peft_tpl_parser_take (p, named);
  call->names = (const char **) peft_tpl_parser_take (p, names);
  return call;
}

static PeftTplNode *
parse_call (PeftTplParser *p, PeftTplNode *callee)
{
  PeftTplNode *node = peft_tpl_parser_node (p, PEFT_TPL_NODE_CALL, line_of (p));

  node->a = callee;
  node->call = parse_arguments (p);
  return node->call != NULL ? node : NULL;
}

static PeftTplNode *
parse_postfix (PeftTplParser *p, PeftTplNode *node)
{
  while (node != NULL)
    {
      int line = line_of (p);

      if (peft_tpl_parser_skip_operator (p, "."))
        {
          const PeftTplToken *token = peft_tpl_parser_token (p);
          PeftTplNode *key;

          p->position++;
          if (token->type == PEFT_TPL_TOKEN_NAME)
            {
              node = binary (p, PEFT_TPL_NODE_ATTRIBUTE, line, 0, node, NULL);
              node->value = string_constant (p, line, token->text, token->length)->value;
            }
          else if (token->type == PEFT_TPL_TOKEN_INTEGER)
            {
              key = constant (p, line, PEFT_TPL_INTEGER);
              key->value->integer = token->integer;
              node = binary (p, PEFT_TPL_NODE_ITEM, line, 0, node, key);
            }
          else
            {
              p->position--;
              return peft_tpl_parser_unexpected (p, _ ("a name or a number"));
            }
        }
      else if (peft_tpl_parser_skip_operator (p, "["))
        {
          PeftTplNode *key = parse_subscript (p);
          node = key != NULL ? binary (p, PEFT_TPL_NODE_ITEM, line, 0, node, key) : NULL;
        }
      else if (peft_tpl_parser_at_operator (p, "("))
        node = parse_call (p, node);
      else
        break;
    }
  return node;
}

/* "a.b.c": filters and tests may have dots in their names. */
static const char *
parse_dotted_name (PeftTplParser *p)
{
  const char *name = peft_tpl_parser_expect_name (p);
  g_autoptr (GString) whole = NULL;
  char *copy;

  while (name != NULL && peft_tpl_parser_skip_operator (p, "."))
    {
      const char *part = peft_tpl_parser_expect_name (p);
      if (part == NULL)
        return NULL;
      if (whole == NULL)
        whole = g_string_new (name);
      g_string_append_printf (whole, ".%s", part);
    }
  if (whole == NULL)
    return name;
  copy = peft_tpl_arena_alloc (p->template->arena, whole->len + 1);
  return memcpy (copy, whole->str, whole->len);
}

gboolean
peft_tpl_parse_filters (PeftTplParser *p, PeftTplNode **node, gboolean start_inline)
{
  while (start_inline || peft_tpl_parser_skip_operator (p, "|"))
    {
      PeftTplNode *filter = peft_tpl_parser_node (p, PEFT_TPL_NODE_FILTER, line_of (p));

      start_inline = FALSE;
      if ((filter->name = parse_dotted_name (p)) == NULL)
        return FALSE;
      filter->row = peft_tpl_find_filter (filter->name);
      filter->a = *node;
      if (peft_tpl_parser_at_operator (p, "("))
        {
          if ((filter->call = parse_arguments (p)) == NULL)
            return FALSE;
        }
      else
        filter->call = peft_tpl_arena_alloc (p->template->arena, sizeof (PeftTplCall));
      *node = filter;
    }
  return TRUE;
}

static gboolean
at_test_argument (PeftTplParser *p)
{
  const PeftTplToken *token = peft_tpl_parser_token (p);

  if (token->type == PEFT_TPL_TOKEN_NAME)
    return strcmp (token->text, "else") != 0 && strcmp (token->text, "or") != 0
           && strcmp (token->text, "and") != 0;
  return token->type == PEFT_TPL_TOKEN_STRING || token->type == PEFT_TPL_TOKEN_INTEGER
         || token->type == PEFT_TPL_TOKEN_FLOAT || peft_tpl_parser_at_operator (p, "[")
         || peft_tpl_parser_at_operator (p, "{");
}

/* From after "is". */
static PeftTplNode *
parse_test (PeftTplParser *p, PeftTplNode *tested)
{
  PeftTplNode *node = peft_tpl_parser_node (p, PEFT_TPL_NODE_TEST, line_of (p));
  gboolean negated = peft_tpl_parser_skip_name (p, "not");

  node->a = tested;
  if ((node->name = parse_dotted_name (p)) == NULL)
    return NULL;
  node->row = peft_tpl_find_test (node->name);
  if (peft_tpl_parser_at_operator (p, "("))
    {
      if ((node->call = parse_arguments (p)) == NULL)
        return NULL;
    }
  else
    {
      node->call = peft_tpl_arena_alloc (p->template->arena, sizeof (PeftTplCall));
      if (at_test_argument (p))
        {
          PeftTplNode *argument;
          if (peft_tpl_parser_at_name (p, "is"))
            return peft_tpl_parser_fail (p, PEFT_ERROR_INVALID_FILE, line_of (p),
                                         _ ("tests cannot be chained with “is”"));
          if ((argument = parse_postfix (p, parse_primary (p, FALSE))) == NULL)
            return NULL;
          node->call->n_positional = 1;
          node->call->positional = peft_tpl_arena_alloc (p->template->arena, sizeof (PeftTplNode *));
          node->call->positional[0] = argument;
        }
    }
  return negated ? binary (p, PEFT_TPL_NODE_NOT, node->line, 0, node, NULL) : node;
}

static PeftTplNode *
parse_unary (PeftTplParser *p, gboolean with_filters)
{
  int line = line_of (p);
  PeftTplNode *node;
  char op;

  if (at_operator_of (p, (const char *const[]) { "-", "+", NULL }, "-+", &op))
    {
      p->position++;
      if (!peft_tpl_parser_enter (p) || (node = parse_unary (p, FALSE)) == NULL)
        return NULL;
      p->depth--;
      node = binary (p, PEFT_TPL_NODE_SIGN, line, op, node, NULL);
    }
  else
    node = parse_primary (p, FALSE);
  node = parse_postfix (p, node);
  while (node != NULL && with_filters)
    if (peft_tpl_parser_at_operator (p, "|"))
      {
        if (!peft_tpl_parse_filters (p, &node, FALSE))
          return NULL;
      }
    else if (peft_tpl_parser_skip_name (p, "is"))
      node = parse_test (p, node);
    else if (peft_tpl_parser_at_operator (p, "("))
      node = parse_call (p, node);
    else
      break;
  return node;
}
