/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-template-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* Statements; expressions are in peft-template-expression.c. */

gpointer
peft_tpl_parser_fail (PeftTplParser *p, PeftError code, int line, const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  if (p->error == NULL || *p->error == NULL)
    g_set_error (p->error, PEFT_ERROR, code, _ ("%s: line %d: %s"), p->template->name, line, message);
  return NULL;
}

gpointer
peft_tpl_parser_unexpected (PeftTplParser *p, const char *expected)
{
  const PeftTplToken *token = peft_tpl_parser_token (p);

  if (token->type == PEFT_TPL_TOKEN_END)
    return peft_tpl_parser_fail (p, PEFT_ERROR_INVALID_FILE, token->line,
                                 _ ("expected %s, found the end of the template"), expected);
  return peft_tpl_parser_fail (p, PEFT_ERROR_INVALID_FILE, token->line, _ ("expected %s, found “%.*s”"),
                               expected, (int) MIN (token->length, 40), token->text);
}

PeftTplNode *
peft_tpl_parser_node (PeftTplParser *p, PeftTplNodeKind kind, int line)
{
  PeftTplNode *node = peft_tpl_arena_alloc (p->template->arena, sizeof *node);

  node->kind = kind;
  node->line = line;
  return node;
}

gboolean
peft_tpl_parser_enter (PeftTplParser *p)
{
  if (p->depth >= PEFT_TEMPLATE_MAX_NESTING)
    {
      peft_tpl_parser_fail (p, PEFT_ERROR_LIMIT, peft_tpl_parser_token (p)->line,
                            _ ("nested deeper than %u levels"), PEFT_TEMPLATE_MAX_NESTING);
      return FALSE;
    }
  p->depth++;
  return TRUE;
}

static gboolean
at (PeftTplParser *p, PeftTplTokenType type, const char *text)
{
  const PeftTplToken *token = peft_tpl_parser_token (p);
  return token->type == type && strcmp (token->text, text) == 0;
}

gboolean
peft_tpl_parser_at_name (PeftTplParser *p, const char *name)
{
  return at (p, PEFT_TPL_TOKEN_NAME, name);
}

gboolean
peft_tpl_parser_at_operator (PeftTplParser *p, const char *op)
{
  return at (p, PEFT_TPL_TOKEN_OPERATOR, op);
}

static gboolean
skip (PeftTplParser *p, gboolean found)
{
  p->position += found;
  return found;
}

gboolean
peft_tpl_parser_skip_name (PeftTplParser *p, const char *name)
{
  return skip (p, peft_tpl_parser_at_name (p, name));
}

gboolean
peft_tpl_parser_skip_operator (PeftTplParser *p, const char *op)
{
  return skip (p, peft_tpl_parser_at_operator (p, op));
}

gboolean
peft_tpl_parser_expect_operator (PeftTplParser *p, const char *op)
{
  g_autofree char *quoted = NULL;

  if (peft_tpl_parser_skip_operator (p, op))
    return TRUE;
  quoted = g_strdup_printf ("“%s”", op);
  peft_tpl_parser_unexpected (p, quoted);
  return FALSE;
}

const char *
peft_tpl_parser_expect_name (PeftTplParser *p)
{
  const PeftTplToken *token = peft_tpl_parser_token (p);

  if (token->type != PEFT_TPL_TOKEN_NAME)
    return peft_tpl_parser_unexpected (p, _ ("a name"));
  p->position++;
  return token->text;
}

static gboolean
expect_block_end (PeftTplParser *p)
{
  if (peft_tpl_parser_token (p)->type != PEFT_TPL_TOKEN_BLOCK_END)
    {
      peft_tpl_parser_unexpected (p, _ ("the end of the tag"));
      return FALSE;
    }
  p->position++;
  return TRUE;
}

PeftTplNode **
peft_tpl_parser_take (PeftTplParser *p, GPtrArray *nodes)
{
  PeftTplNode **copy
      = peft_tpl_arena_alloc (p->template->arena, sizeof (PeftTplNode *) * MAX (nodes->len, 1));

  if (nodes->len > 0)
    memcpy (copy, nodes->pdata, sizeof (PeftTplNode *) * nodes->len);
  return copy;
}

static gboolean parse_statement (PeftTplParser *p, GPtrArray *out);

static gboolean
at_any (PeftTplParser *p, const char *const *names)
{
  for (guint i = 0; names != NULL && names[i] != NULL; i++)
    if (peft_tpl_parser_at_name (p, names[i]))
      return TRUE;
  return FALSE;
}

/* Up to one of the end tags, whose name is then the current token; all of the template for NULL. */
static gboolean
parse_until (PeftTplParser *p, const char *const *ends, PeftTplBody *body)
{
  g_autoptr (GPtrArray) nodes = g_ptr_array_new ();
  int line = peft_tpl_parser_token (p)->line;

  if (!peft_tpl_parser_enter (p))
    return FALSE;
  while (TRUE)
    {
      const PeftTplToken *token = peft_tpl_parser_token (p);
      PeftTplNode *node;

      if (token->type == PEFT_TPL_TOKEN_END)
        {
          if (ends == NULL)
            break;
          peft_tpl_parser_fail (p, PEFT_ERROR_INVALID_FILE, line,
                                _ ("the block that starts here has no “%s”"), ends[0]);
          return FALSE;
        }
      p->position++;
      if (token->type == PEFT_TPL_TOKEN_DATA)
        {
          node = peft_tpl_parser_node (p, PEFT_TPL_NODE_DATA, token->line);
          node->value = peft_tpl_arena_alloc (p->template->arena, sizeof (PeftTplValue));
          node->value->kind = PEFT_TPL_STRING;
          node->value->string.text = token->text;
          node->value->string.length = token->length;
          g_ptr_array_add (nodes, node);
        }
      else if (token->type == PEFT_TPL_TOKEN_VARIABLE_BEGIN)
        {
          node = peft_tpl_parser_node (p, PEFT_TPL_NODE_OUTPUT, token->line);
          node->a = peft_tpl_parse_tuple (p, TRUE, NULL, FALSE);
          if (node->a == NULL)
            return FALSE;
          if (peft_tpl_parser_token (p)->type != PEFT_TPL_TOKEN_VARIABLE_END)
            {
              peft_tpl_parser_unexpected (p, "“}}”");
              return FALSE;
            }
          p->position++;
          g_ptr_array_add (nodes, node);
        }
      else
        {
          if (at_any (p, ends))
            break;
          if (!parse_statement (p, nodes) || !expect_block_end (p))
            return FALSE;
        }
    }
  p->depth--;
  body->n = nodes->len;
  body->nodes = peft_tpl_parser_take (p, nodes);
  return TRUE;
}

/* The body of a statement, from the end of its tag on. */
static gboolean
parse_body (PeftTplParser *p, const char *const *ends, PeftTplBody *body)
{
  peft_tpl_parser_skip_operator (p, ":");
  return expect_block_end (p) && parse_until (p, ends, body);
}

static PeftTplBody *
new_bodies (PeftTplParser *p, PeftTplNode *node, guint n)
{
  node->bodies = peft_tpl_arena_alloc (p->template->arena, sizeof (PeftTplBody) * n);
  node->n_bodies = n;
  return node->bodies;
}

/* One body up to an end tag that has one name; that name is eaten. */
static gboolean
parse_single_body (PeftTplParser *p, PeftTplNode *node, const char *end)
{
  const char *const ends[] = { end, NULL };

  if (!parse_body (p, ends, new_bodies (p, node, 1)))
    return FALSE;
  p->position++;
  return TRUE;
}

static gboolean
parse_if (PeftTplParser *p, PeftTplNode *node)
{
  static const char *const ends[] = { "endif", "elif", "else", NULL };
  static const char *const last[] = { "endif", NULL };
  g_autoptr (GPtrArray) conditions = g_ptr_array_new ();
  g_autoptr (GArray) bodies = g_array_new (FALSE, TRUE, sizeof (PeftTplBody));
  gboolean more = TRUE;

  while (more)
    {
      PeftTplBody body = { 0 };
      PeftTplNode *condition = peft_tpl_parse_tuple (p, FALSE, NULL, FALSE);

      if (condition == NULL || !parse_body (p, ends, &body))
        return FALSE;
      g_ptr_array_add (conditions, condition);
      g_array_append_val (bodies, body);
      more = FALSE;
      if (peft_tpl_parser_skip_name (p, "elif"))
        more = TRUE;
      else if (peft_tpl_parser_skip_name (p, "else"))
        {
          PeftTplBody otherwise = { 0 };
          if (!parse_body (p, last, &otherwise))
            return FALSE;
          p->position++;
          g_ptr_array_add (conditions, NULL);
          g_array_append_val (bodies, otherwise);
        }
      else
        p->position++;
    }
  node->n_items = conditions->len;
  node->items = peft_tpl_parser_take (p, conditions);
  memcpy (new_bodies (p, node, bodies->len), bodies->data, sizeof (PeftTplBody) * bodies->len);
  return TRUE;
}

static gboolean
parse_for (PeftTplParser *p, PeftTplNode *node)
{
  static const char *const ends[] = { "endfor", "else", NULL };
  static const char *const last[] = { "endfor", NULL };
  PeftTplBody *bodies = new_bodies (p, node, 2);
  guint closures = p->closures;

  node->a = peft_tpl_parse_target (p, FALSE, "in");
  if (node->a == NULL)
    return FALSE;
  if (!peft_tpl_parser_skip_name (p, "in"))
    {
      peft_tpl_parser_unexpected (p, "“in”");
      return FALSE;
    }
  node->b = peft_tpl_parse_tuple (p, FALSE, "recursive", FALSE);
  if (node->b == NULL)
    return FALSE;
  if (peft_tpl_parser_skip_name (p, "if"))
    {
      node->d = peft_tpl_parse_expression (p, TRUE);
      if (node->d == NULL)
        return FALSE;
    }
  node->flag = peft_tpl_parser_skip_name (p, "recursive");
  p->loops++;
  if (!parse_body (p, ends, &bodies[0]))
    return FALSE;
  p->loops--;
  node->uses = p->closures - closures;
  if (peft_tpl_parser_skip_name (p, "else"))
    {
      if (!parse_body (p, last, &bodies[1]))
        return FALSE;
    }
  p->position++;
  return TRUE;
}

static gboolean
parse_set (PeftTplParser *p, PeftTplNode *node)
{
  node->a = peft_tpl_parse_target (p, TRUE, NULL);
  if (node->a == NULL)
    return FALSE;
  if (peft_tpl_parser_skip_operator (p, "="))
    {
      node->b = peft_tpl_parse_tuple (p, TRUE, NULL, FALSE);
      return node->b != NULL;
    }
  node->kind = PEFT_TPL_NODE_SET_BLOCK;
  return peft_tpl_parse_filters (p, &node->b, FALSE) && parse_single_body (p, node, "endset");
}

static gboolean
parse_parameters (PeftTplParser *p, PeftTplNode *node)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autoptr (GPtrArray) defaults = g_ptr_array_new ();
  gboolean has_default = FALSE;

  if (!peft_tpl_parser_expect_operator (p, "("))
    return FALSE;
  while (!peft_tpl_parser_at_operator (p, ")"))
    {
      PeftTplNode *name, *value = NULL;

      if (names->len > 0 && !peft_tpl_parser_expect_operator (p, ","))
        return FALSE;
      if ((name = peft_tpl_parse_name_target (p)) == NULL)
        return FALSE;
      if (peft_tpl_parser_skip_operator (p, "="))
        {
          has_default = TRUE;
          if ((value = peft_tpl_parse_expression (p, TRUE)) == NULL)
            return FALSE;
        }
      else if (has_default)
        {
          peft_tpl_parser_fail (p, PEFT_ERROR_INVALID_FILE, name->line,
                                _ ("parameter “%s” without a default follows one with a default"),
                                name->name);
          return FALSE;
        }
      g_ptr_array_add (names, name);
      g_ptr_array_add (defaults, value);
    }
  p->position++;
  node->n_items = names->len;
  node->items = peft_tpl_parser_take (p, names);
  node->defaults = peft_tpl_parser_take (p, defaults);
  return TRUE;
}

/* A body that is called: loops around it are out of reach, and the special names it uses are noted. */
static gboolean
parse_macro_body (PeftTplParser *p, PeftTplNode *node, const char *end)
{
  guint loops = p->loops, uses = p->uses;

  p->closures++;
  p->loops = 0;
  p->uses = 0;
  if (!parse_single_body (p, node, end))
    return FALSE;
  node->uses = p->uses;
  p->loops = loops;
  p->uses |= uses;
  return TRUE;
}

static gboolean
parse_macro (PeftTplParser *p, PeftTplNode *node)
{
  PeftTplNode *name = peft_tpl_parse_name_target (p);

  if (name == NULL)
    return FALSE;
  node->name = name->name;
  node->id = name->id;
  return parse_parameters (p, node) && parse_macro_body (p, node, "endmacro");
}

static gboolean
parse_call_block (PeftTplParser *p, PeftTplNode *node)
{
  node->name = "caller";
  if (peft_tpl_parser_at_operator (p, "(") && !parse_parameters (p, node))
    return FALSE;
  node->a = peft_tpl_parse_expression (p, TRUE);
  if (node->a == NULL)
    return FALSE;
  if (node->a->kind != PEFT_TPL_NODE_CALL)
    {
      peft_tpl_parser_fail (p, PEFT_ERROR_INVALID_FILE, node->line, _ ("a call block needs a call"));
      return FALSE;
    }
  return parse_macro_body (p, node, "endcall");
}

static gboolean
parse_with (PeftTplParser *p, PeftTplNode *node)
{
  g_autoptr (GPtrArray) targets = g_ptr_array_new ();
  g_autoptr (GPtrArray) values = g_ptr_array_new ();

  while (peft_tpl_parser_token (p)->type != PEFT_TPL_TOKEN_BLOCK_END)
    {
      PeftTplNode *target, *value;

      if (targets->len > 0 && !peft_tpl_parser_expect_operator (p, ","))
        return FALSE;
      if ((target = peft_tpl_parse_target (p, FALSE, NULL)) == NULL
          || !peft_tpl_parser_expect_operator (p, "=")
          || (value = peft_tpl_parse_expression (p, TRUE)) == NULL)
        return FALSE;
      g_ptr_array_add (targets, target);
      g_ptr_array_add (values, value);
    }
  node->n_items = targets->len;
  node->items = peft_tpl_parser_take (p, targets);
  node->defaults = peft_tpl_parser_take (p, values);
  return parse_single_body (p, node, "endwith");
}

static gboolean
parse_filter_block (PeftTplParser *p, PeftTplNode *node)
{
  return peft_tpl_parse_filters (p, &node->b, TRUE) && parse_single_body (p, node, "endfilter");
}

static gboolean
parse_generation (PeftTplParser *p, PeftTplNode *node)
{
  p->template->has_generation = TRUE;
  return parse_macro_body (p, node, "endgeneration");
}

static gboolean
parse_loop_control (PeftTplParser *p, PeftTplNode *node)
{
  if (p->loops > 0)
    return TRUE;
  peft_tpl_parser_fail (p, PEFT_ERROR_INVALID_FILE, node->line, _ ("“%s” outside of a loop"),
                        node->kind == PEFT_TPL_NODE_BREAK ? "break" : "continue");
  return FALSE;
}

static gboolean
parse_print (PeftTplParser *p, GPtrArray *out)
{
  for (gboolean first = TRUE; peft_tpl_parser_token (p)->type != PEFT_TPL_TOKEN_BLOCK_END; first = FALSE)
    {
      PeftTplNode *node;

      if (!first && !peft_tpl_parser_expect_operator (p, ","))
        return FALSE;
      node = peft_tpl_parser_node (p, PEFT_TPL_NODE_OUTPUT, peft_tpl_parser_token (p)->line);
      if ((node->a = peft_tpl_parse_expression (p, TRUE)) == NULL)
        return FALSE;
      g_ptr_array_add (out, node);
    }
  return TRUE;
}

static const struct
{
  const char *tag;
  PeftTplNodeKind kind;
  gboolean (*parse) (PeftTplParser *p, PeftTplNode *node);
} statements[] = {
  { "if", PEFT_TPL_NODE_IF, parse_if },
  { "for", PEFT_TPL_NODE_FOR, parse_for },
  { "set", PEFT_TPL_NODE_SET, parse_set },
  { "macro", PEFT_TPL_NODE_MACRO, parse_macro },
  { "call", PEFT_TPL_NODE_CALL_BLOCK, parse_call_block },
  { "filter", PEFT_TPL_NODE_FILTER_BLOCK, parse_filter_block },
  { "generation", PEFT_TPL_NODE_GENERATION, parse_generation },
  { "with", PEFT_TPL_NODE_WITH, parse_with },
  { "break", PEFT_TPL_NODE_BREAK, parse_loop_control },
  { "continue", PEFT_TPL_NODE_CONTINUE, parse_loop_control },
};

/* Tags of Jinja2 that need other templates or an escaping environment. */
static const char *const refused_tags[]
    = { "extends", "block", "include", "import", "from", "autoescape", NULL };

static gboolean
parse_statement (PeftTplParser *p, GPtrArray *out)
{
  const PeftTplToken *token = peft_tpl_parser_token (p);

  if (peft_tpl_parser_expect_name (p) == NULL)
    return FALSE;
  if (strcmp (token->text, "print") == 0)
    return parse_print (p, out);
  for (guint i = 0; i < G_N_ELEMENTS (statements); i++)
    if (strcmp (token->text, statements[i].tag) == 0)
      {
        PeftTplNode *node = peft_tpl_parser_node (p, statements[i].kind, token->line);
        g_ptr_array_add (out, node);
        return statements[i].parse (p, node);
      }
  if (g_strv_contains (refused_tags, token->text))
    peft_tpl_parser_fail (p, PEFT_ERROR_UNSUPPORTED, token->line,
                          _ ("the tag “%s” is not supported in chat templates"), token->text);
  else
    peft_tpl_parser_fail (p, PEFT_ERROR_INVALID_FILE, token->line, _ ("unknown tag “%.40s”"),
                          token->text);
  return FALSE;
}

gboolean
peft_tpl_parse (PeftTemplate *self, const PeftTplToken *tokens, GError **error)
{
  PeftTplParser p = { .template = self, .tokens = tokens, .error = error };
  return parse_until (&p, NULL, &self->body);
}
