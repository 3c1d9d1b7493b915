/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-template-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* Statements of the tree: output, scopes, loops and macros. */

PeftTplScope *
peft_tpl_scope_new (PeftTplContext *c, PeftTplScope *parent)
{
  PeftTplScope *self = peft_tpl_new (c, PeftTplScope, 1);
  self->parent = parent;
  return self;
}

void
peft_tpl_scope_set (PeftTplContext *c, PeftTplScope *scope, guint id, PeftTplValue *value)
{
  for (guint i = 0; i < scope->n; i++)
    if (scope->slots[i].id == id)
      {
        scope->slots[i].value = value;
        return;
      }
  if (scope->n == scope->allocated)
    {
      guint allocated = MAX (4, scope->allocated * 2);
      struct PeftTplSlot *slots = peft_tpl_new (c, struct PeftTplSlot, allocated);

      if (scope->n > 0)
        memcpy (slots, scope->slots, sizeof *slots * scope->n);
      scope->slots = slots;
      scope->allocated = allocated;
    }
  scope->slots[scope->n].id = id;
  scope->slots[scope->n++].value = value;
}

PeftTplValue *
peft_tpl_scope_get (const PeftTplScope *scope, guint id)
{
  for (; scope != NULL; scope = scope->parent)
    for (guint i = 0; i < scope->n; i++)
      if (scope->slots[i].id == id)
        return scope->slots[i].value;
  return NULL;
}

static gboolean
write_out (PeftTplContext *c, const PeftTplValue *value)
{
  if (c->captures > 0)
    return peft_tpl_append_text (c, c->out, value);
  /* The whole text may be longer than one string. */
  if (value->kind != PEFT_TPL_STRING && (value = peft_tpl_to_text (c, (PeftTplValue *) value)) == NULL)
    return FALSE;
  if (c->out->len + value->string.length > PEFT_TEMPLATE_MAX_OUTPUT_BYTES)
    {
      peft_tpl_fail_code (c, PEFT_ERROR_LIMIT, _ ("the text is longer than %u bytes"),
                          PEFT_TEMPLATE_MAX_OUTPUT_BYTES);
      return FALSE;
    }
  if (value->string.length > 0)
    g_string_append_len (c->out, value->string.text, value->string.length);
  return peft_tpl_charge (c, value->string.length / 64);
}

/* What body writes, as a string. */
static PeftTplStatus
capture (PeftTplContext *c, const PeftTplBody *body, PeftTplScope *scope, PeftTplValue **text)
{
  g_autoptr (GString) buffer = g_string_new (NULL);
  GString *outer = c->out;
  PeftTplStatus status;

  c->out = buffer;
  c->captures++;
  status = peft_tpl_execute (c, body, scope);
  c->captures--;
  c->out = outer;
  if (status != PEFT_TPL_DONE)
    return status;
  *text = peft_tpl_take (c, buffer);
  return *text != NULL ? PEFT_TPL_DONE : PEFT_TPL_FAILED;
}

static gboolean
assign_namespace (PeftTplContext *c, const PeftTplNode *target, PeftTplScope *scope, PeftTplValue *value)
{
  PeftTplValue *object = peft_tpl_scope_get (scope, target->id);

  if (object == NULL || object->kind != PEFT_TPL_NAMESPACE)
    {
      peft_tpl_fail (c, _ ("“%s” is no namespace, its attributes cannot be set"), target->name);
      return FALSE;
    }
  if (target->value->string.length > 0 && target->value->string.text[0] == '_')
    {
      peft_tpl_fail (c, _ ("a namespace cannot hold “%.*s”: the name starts with an underscore"),
                     (int) target->value->string.length, target->value->string.text);
      return FALSE;
    }
  return peft_tpl_dict_set (c, object, target->value, value);
}

static gboolean
assign (PeftTplContext *c, const PeftTplNode *target, PeftTplScope *scope, PeftTplValue *value)
{
  PeftTplValue **items;
  gsize n;

  if (target->kind == PEFT_TPL_NODE_NAME)
    {
      peft_tpl_scope_set (c, scope, target->id, value);
      return TRUE;
    }
  if (target->kind == PEFT_TPL_NODE_NAMESPACE)
    return assign_namespace (c, target, scope, value);
  if (value->kind == PEFT_TPL_UNDEFINED && target->n_items > 0)
    {
      peft_tpl_fail_undefined (c, value);
      return FALSE;
    }
  if (!peft_tpl_iterate (c, value, &items, &n))
    return FALSE;
  if (n != target->n_items)
    {
      peft_tpl_fail (c, _ ("expected %u values to unpack, found %zu"), target->n_items, n);
      return FALSE;
    }
  for (gsize i = 0; i < n; i++)
    if (!assign (c, target->items[i], scope, items[i]))
      return FALSE;
  return TRUE;
}

/* --- loops --- */

PeftTplValue *
peft_tpl_loop_attribute (PeftTplContext *c, PeftTplValue *value, const char *name)
{
  const PeftTplLoop *loop = value->loop;
  const struct
  {
    const char *name;
    gint64 value;
  } numbers[] = {
    { "index", loop->index + 1 },
    { "index0", loop->index },
    { "revindex", loop->n - loop->index },
    { "revindex0", loop->n - loop->index - 1 },
    { "length", loop->n },
    { "depth", loop->depth + 1 },
    { "depth0", loop->depth },
  };

  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    if (strcmp (name, numbers[i].name) == 0)
      return peft_tpl_integer (c, numbers[i].value);
  if (strcmp (name, "first") == 0)
    return peft_tpl_boolean (loop->index == 0);
  if (strcmp (name, "last") == 0)
    return peft_tpl_boolean (loop->index + 1 == loop->n);
  if (strcmp (name, "previtem") == 0)
    return loop->index > 0 ? loop->items[loop->index - 1]
                           : peft_tpl_undefined_hint (c, _ ("there is no previous item"));
  if (strcmp (name, "nextitem") == 0)
    return loop->index + 1 < loop->n ? loop->items[loop->index + 1]
                                     : peft_tpl_undefined_hint (c, _ ("there is no next item"));
  return NULL;
}

/* Those of items for which the loop's "if" holds. */
static gboolean
filter_items (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope, PeftTplValue ***items,
              gsize *n)
{
  PeftTplValue **kept = peft_tpl_new (c, PeftTplValue *, *n);
  PeftTplScope *inner = peft_tpl_scope_new (c, scope);
  gsize n_kept = 0;

  for (gsize i = 0; i < *n; i++)
    {
      const PeftTplValue *test;

      inner->n = 0;
      if (!assign (c, node->a, inner, (*items)[i]) || (test = peft_tpl_evaluate (c, node->d, inner)) == NULL)
        return FALSE;
      if (peft_tpl_truth (test))
        kept[n_kept++] = (*items)[i];
    }
  *items = kept;
  *n = n_kept;
  return TRUE;
}

static PeftTplStatus
run_loop (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope, PeftTplValue *iterable,
          guint depth)
{
  PeftTplValue *self = peft_tpl_dict (c, PEFT_TPL_LOOP);
  PeftTplLoop *loop = peft_tpl_new (c, PeftTplLoop, 1);
  PeftTplScope *inner = NULL;

  self->loop = loop;
  loop->depth = depth;
  loop->node = node->flag ? node : NULL;
  loop->scope = scope;
  if (!peft_tpl_iterate (c, iterable, &loop->items, &loop->n)
      || (node->d != NULL && !filter_items (c, node, scope, &loop->items, &loop->n)))
    return PEFT_TPL_FAILED;
  if (loop->n == 0)
    return peft_tpl_execute (c, &node->bodies[1], peft_tpl_scope_new (c, scope));
  for (; loop->index < loop->n; loop->index++)
    {
      PeftTplStatus status;

      /* Each round has its own variables; their memory is used again unless a macro may hold on to it. */
      if (inner == NULL || node->uses > 0)
        inner = peft_tpl_scope_new (c, scope);
      inner->n = 0;
      peft_tpl_scope_set (c, inner, PEFT_TPL_ID_LOOP, self);
      if (!peft_tpl_charge (c, 1) || !assign (c, node->a, inner, loop->items[loop->index]))
        return PEFT_TPL_FAILED;
      status = peft_tpl_execute (c, &node->bodies[0], inner);
      if (status == PEFT_TPL_FAILED)
        return status;
      if (status == PEFT_TPL_BREAK_LOOP)
        break;
    }
  return PEFT_TPL_DONE;
}

PeftTplValue *
peft_tpl_call_loop (PeftTplContext *c, PeftTplValue *value, const PeftTplArgs *args)
{
  const PeftTplLoop *loop = value->loop;
  g_autoptr (GString) buffer = NULL;
  GString *outer = c->out;
  PeftTplStatus status;

  if (loop->node == NULL)
    return peft_tpl_fail (c, _ ("the loop is not marked “recursive”"));
  if (args->n_positional != 1 || args->n_named != 0)
    return peft_tpl_fail (c, _ ("a recursive loop takes one argument"));
  buffer = g_string_new (NULL);
  c->out = buffer;
  c->captures++;
  status = run_loop (c, loop->node, loop->scope, args->positional[0], loop->depth + 1);
  c->captures--;
  c->out = outer;
  return status == PEFT_TPL_DONE ? peft_tpl_take (c, buffer) : NULL;
}

/* --- macros --- */

static PeftTplValue *
make_macro (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope)
{
  PeftTplValue *macro = peft_tpl_dict (c, PEFT_TPL_MACRO);

  macro->macro.node = node;
  macro->macro.scope = scope;
  return macro;
}

/* The index of a named argument, or -1. */
static int
find_named (const PeftTplArgs *args, const char *name)
{
  for (guint i = 0; i < args->n_named; i++)
    if (strcmp (args->names[i], name) == 0)
      return (int) i;
  return -1;
}

static PeftTplValue *
not_given (PeftTplContext *c, const PeftTplNode *macro, const PeftTplNode *parameter)
{
  g_autofree char *hint
      = g_strdup_printf (_ ("parameter “%s” of macro “%s” was not given"), parameter->name, macro->name);
  const PeftTplValue *text = peft_tpl_string_copy (c, hint, strlen (hint));

  return text != NULL ? peft_tpl_undefined_hint (c, text->string.text) : NULL;
}

static gboolean
bind_parameters (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope, const PeftTplArgs *args,
                 gboolean *used)
{
  for (guint i = 0; i < node->n_items; i++)
    {
      const PeftTplNode *parameter = node->items[i];
      PeftTplValue *value = NULL;
      int named;

      if (i < args->n_positional)
        value = args->positional[i];
      else if ((named = find_named (args, parameter->name)) >= 0)
        {
          value = args->named[named];
          used[named] = TRUE;
        }
      else if (node->defaults[i] != NULL)
        value = peft_tpl_evaluate (c, node->defaults[i], scope);
      else
        value = not_given (c, node, parameter);
      if (value == NULL)
        return FALSE;
      peft_tpl_scope_set (c, scope, parameter->id, value);
    }
  return TRUE;
}

static gboolean
has_parameter (const PeftTplNode *node, guint id)
{
  for (guint i = 0; i < node->n_items; i++)
    if (node->items[i]->id == id)
      return TRUE;
  return FALSE;
}

/* caller, kwargs and varargs, which a macro has when its body uses them. */
static gboolean
bind_special (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope, const PeftTplArgs *args,
              gboolean *used)
{
  int caller = find_named (args, "caller");

  if ((node->uses & PEFT_TPL_USES_CALLER) && !has_parameter (node, PEFT_TPL_ID_CALLER))
    {
      peft_tpl_scope_set (c, scope, PEFT_TPL_ID_CALLER,
                          caller >= 0 ? args->named[caller]
                                      : peft_tpl_undefined_hint (c, _ ("there is no caller")));
      if (caller >= 0)
        used[caller] = TRUE;
    }
  if (node->uses & PEFT_TPL_USES_KWARGS)
    {
      PeftTplValue *dict = peft_tpl_dict (c, PEFT_TPL_DICT);
      for (guint i = 0; i < args->n_named; i++)
        if (!used[i])
          {
            used[i] = TRUE;
            if (!peft_tpl_dict_set (c, dict, peft_tpl_string_static (c, args->names[i]), args->named[i]))
              return FALSE;
          }
      peft_tpl_scope_set (c, scope, PEFT_TPL_ID_KWARGS, dict);
    }
  for (guint i = 0; i < args->n_named; i++)
    if (!used[i])
      {
        peft_tpl_fail (c, _ ("macro “%s” has no parameter “%s”"), node->name, args->names[i]);
        return FALSE;
      }
  if (node->uses & PEFT_TPL_USES_VARARGS)
    {
      guint taken = MIN (args->n_positional, node->n_items);
      peft_tpl_scope_set (c, scope, PEFT_TPL_ID_VARARGS,
                          peft_tpl_list (c, PEFT_TPL_TUPLE, args->positional + taken,
                                         args->n_positional - taken));
    }
  else if (args->n_positional > node->n_items)
    {
      peft_tpl_fail (c, _ ("macro “%s” takes %u arguments, found %u"), node->name, node->n_items,
                     args->n_positional);
      return FALSE;
    }
  return TRUE;
}

PeftTplValue *
peft_tpl_call_macro (PeftTplContext *c, PeftTplValue *macro, const PeftTplArgs *args)
{
  const PeftTplNode *node = macro->macro.node;
  PeftTplScope *scope = peft_tpl_scope_new (c, macro->macro.scope);
  gboolean *used = peft_tpl_new (c, gboolean, args->n_named + 1);
  PeftTplValue *text = NULL;

  if (!bind_parameters (c, node, scope, args, used) || !bind_special (c, node, scope, args, used))
    return NULL;
  capture (c, &node->bodies[0], scope, &text);
  return text;
}

static PeftTplStatus
run_call_block (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope)
{
  PeftTplValue *callee = peft_tpl_evaluate (c, node->a->a, scope);
  PeftTplArgs args;
  const PeftTplValue *result;

  if (callee == NULL || !peft_tpl_evaluate_call (c, node->a->call, scope, &args))
    return PEFT_TPL_FAILED;
  PeftTplValue **named = peft_tpl_new (c, PeftTplValue *, args.n_named + 1);
  const char **names = peft_tpl_new (c, const char *, args.n_named + 1);
  for (guint i = 0; i < args.n_named; i++)
    {
      names[i] = args.names[i];
      named[i] = args.named[i];
    }
  names[args.n_named] = "caller";
  named[args.n_named++] = make_macro (c, node, scope);
  args.names = names;
  args.named = named;
  result = peft_tpl_call (c, callee, &args);
  return result != NULL && write_out (c, result) ? PEFT_TPL_DONE : PEFT_TPL_FAILED;
}

static PeftTplStatus
run_generation (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope)
{
  PeftTextSpan span = { .start = c->out->len };
  PeftTplStatus status;

  if (c->spans != NULL && c->captures > 0)
    {
      peft_tpl_fail_code (c, PEFT_ERROR_UNSUPPORTED,
                          _ ("a generation block inside a macro or a captured block cannot be located"));
      return PEFT_TPL_FAILED;
    }
  c->generations++;
  status = peft_tpl_execute (c, &node->bodies[0], peft_tpl_scope_new (c, scope));
  c->generations--;
  span.end = c->out->len;
  if (status == PEFT_TPL_DONE && c->spans != NULL && c->generations == 0)
    g_array_append_val (c->spans, span);
  return status;
}

static PeftTplStatus
run_with (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope)
{
  PeftTplScope *inner = peft_tpl_scope_new (c, scope);

  for (guint i = 0; i < node->n_items; i++)
    {
      PeftTplValue *value = peft_tpl_evaluate (c, node->defaults[i], scope);
      if (value == NULL || !assign (c, node->items[i], inner, value))
        return PEFT_TPL_FAILED;
    }
  return peft_tpl_execute (c, &node->bodies[0], inner);
}

static PeftTplStatus
run_if (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope)
{
  for (guint i = 0; i < node->n_items; i++)
    {
      const PeftTplValue *test = NULL;
      if (node->items[i] != NULL && (test = peft_tpl_evaluate (c, node->items[i], scope)) == NULL)
        return PEFT_TPL_FAILED;
      if (test == NULL || peft_tpl_truth (test))
        return peft_tpl_execute (c, &node->bodies[i], scope);
    }
  return PEFT_TPL_DONE;
}

/* The text of a block through its filters; written, or set to the block's target. */
static PeftTplStatus
run_captured (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope)
{
  PeftTplScope *inner = peft_tpl_scope_new (c, scope);
  PeftTplValue *text = NULL;
  PeftTplStatus status = capture (c, &node->bodies[0], inner, &text);

  if (status != PEFT_TPL_DONE)
    return status;
  text = peft_tpl_evaluate_filters (c, node->b, inner, text);
  if (text == NULL)
    return PEFT_TPL_FAILED;
  if (node->kind == PEFT_TPL_NODE_FILTER_BLOCK)
    return write_out (c, text) ? PEFT_TPL_DONE : PEFT_TPL_FAILED;
  return assign (c, node->a, scope, text) ? PEFT_TPL_DONE : PEFT_TPL_FAILED;
}

static PeftTplStatus
run_statement (PeftTplContext *c, const PeftTplNode *node, PeftTplScope *scope)
{
  PeftTplValue *value;

  switch (node->kind)
    {
    case PEFT_TPL_NODE_DATA:
      return write_out (c, node->value) ? PEFT_TPL_DONE : PEFT_TPL_FAILED;
    case PEFT_TPL_NODE_OUTPUT:
      value = peft_tpl_evaluate (c, node->a, scope);
      return value != NULL && write_out (c, value) ? PEFT_TPL_DONE : PEFT_TPL_FAILED;
    case PEFT_TPL_NODE_SET:
      value = peft_tpl_evaluate (c, node->b, scope);
      return value != NULL && assign (c, node->a, scope, value) ? PEFT_TPL_DONE : PEFT_TPL_FAILED;
    case PEFT_TPL_NODE_SET_BLOCK:
    case PEFT_TPL_NODE_FILTER_BLOCK:
      return run_captured (c, node, scope);
    case PEFT_TPL_NODE_IF:
      return run_if (c, node, scope);
    case PEFT_TPL_NODE_FOR:
      value = peft_tpl_evaluate (c, node->b, scope);
      return value != NULL ? run_loop (c, node, scope, value, 0) : PEFT_TPL_FAILED;
    case PEFT_TPL_NODE_MACRO:
      peft_tpl_scope_set (c, scope, node->id, make_macro (c, node, scope));
      return PEFT_TPL_DONE;
    case PEFT_TPL_NODE_CALL_BLOCK:
      return run_call_block (c, node, scope);
    case PEFT_TPL_NODE_GENERATION:
      return run_generation (c, node, scope);
    case PEFT_TPL_NODE_WITH:
      return run_with (c, node, scope);
    case PEFT_TPL_NODE_BREAK:
      return PEFT_TPL_BREAK_LOOP;
    case PEFT_TPL_NODE_CONTINUE:
      return PEFT_TPL_CONTINUE_LOOP;
    default:
      g_assert_not_reached ();
    }
}

PeftTplStatus
peft_tpl_execute (PeftTplContext *c, const PeftTplBody *body, PeftTplScope *scope)
{
  PeftTplStatus status = PEFT_TPL_DONE;

  if (c->depth >= PEFT_TEMPLATE_MAX_DEPTH)
    {
      peft_tpl_fail_code (c, PEFT_ERROR_LIMIT, _ ("evaluation deeper than %u levels"),
                          PEFT_TEMPLATE_MAX_DEPTH);
      return PEFT_TPL_FAILED;
    }
  c->depth++;
  for (guint i = 0; i < body->n && status == PEFT_TPL_DONE; i++)
    {
      c->line = body->nodes[i]->line;
      status = peft_tpl_charge (c, 1) ? run_statement (c, body->nodes[i], scope) : PEFT_TPL_FAILED;
    }
  c->depth--;
  return status;
}
