/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-template-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

PeftTemplate *
peft_template_parse (const char *source, const char *name, GError **error)
{
  g_autoptr (PeftTemplate) self = NULL;
  g_autoptr (GArray) tokens = NULL;
  gsize length = strlen (source);

  if (length > PEFT_TEMPLATE_MAX_SOURCE_BYTES)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                   _ ("%s: the template has %zu bytes, more than %u"), name, length,
                   PEFT_TEMPLATE_MAX_SOURCE_BYTES);
      return NULL;
    }
  if (!g_utf8_validate (source, length, NULL))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE, _ ("%s: the template is not UTF-8"), name);
      return NULL;
    }
  self = g_new0 (PeftTemplate, 1);
  g_atomic_ref_count_init (&self->ref_count);
  self->name = g_strdup (name);
  self->arena = peft_tpl_arena_new ();
  self->names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  peft_tpl_intern (self, "loop"); /* in the order of PEFT_TPL_ID_… */
  peft_tpl_intern (self, "caller");
  peft_tpl_intern (self, "varargs");
  peft_tpl_intern (self, "kwargs");
  tokens = peft_tpl_tokenize (self, source, error);
  if (tokens == NULL || !peft_tpl_parse (self, (const PeftTplToken *) tokens->data, error))
    return NULL;
  return g_steal_pointer (&self);
}

PeftTemplate *
peft_template_ref (PeftTemplate *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
peft_template_unref (PeftTemplate *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_free (self->name);
  peft_tpl_arena_free (self->arena);
  g_hash_table_unref (self->names);
  g_free (self);
}

const char *
peft_template_get_name (const PeftTemplate *self)
{
  return self->name;
}

gboolean
peft_template_has_generation (const PeftTemplate *self)
{
  return self->has_generation;
}

guint
peft_tpl_intern (PeftTemplate *self, const char *name)
{
  guint id = GPOINTER_TO_UINT (g_hash_table_lookup (self->names, name));

  if (id == 0)
    {
      id = g_hash_table_size (self->names) + 1;
      g_hash_table_insert (self->names, g_strdup (name), GUINT_TO_POINTER (id));
    }
  return id;
}

/* --- what a rendering offers to the rest of the interpreter --- */

PeftTplArena *
peft_tpl_get_arena (PeftTplContext *c)
{
  return c->arena;
}

gint64
peft_tpl_get_now (PeftTplContext *c)
{
  return c->now;
}

gboolean
peft_tpl_failed (const PeftTplContext *c)
{
  return c->error != NULL;
}

static gpointer fail_valist (PeftTplContext *c, PeftError code, const char *format, va_list args)
    G_GNUC_PRINTF (3, 0);

static gpointer
fail_valist (PeftTplContext *c, PeftError code, const char *format, va_list args)
{
  if (c->error == NULL)
    {
      g_autofree char *message = g_strdup_vprintf (format, args);
      g_set_error (&c->error, PEFT_ERROR, code, _ ("%s: line %d: %s"), c->template->name, c->line, message);
    }
  return NULL;
}

gpointer
peft_tpl_fail (PeftTplContext *c, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  fail_valist (c, PEFT_ERROR_INVALID_FILE, format, args);
  va_end (args);
  return NULL;
}

gpointer
peft_tpl_fail_code (PeftTplContext *c, PeftError code, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  fail_valist (c, code, format, args);
  va_end (args);
  return NULL;
}

gpointer
peft_tpl_fail_undefined (PeftTplContext *c, const PeftTplValue *value)
{
  g_autoptr (GString) name = g_string_new (NULL);
  g_autofree char *shown = NULL;
  const PeftTplValue *owner = value->undefined.owner;

  if (value->undefined.hint != NULL)
    return peft_tpl_fail (c, "%s", value->undefined.hint);
  if (value->undefined.name == NULL)
    return peft_tpl_fail (c, _ ("a value is undefined"));
  if (owner == NULL)
    return peft_tpl_fail (c, _ ("“%.*s” is undefined"), (int) value->undefined.name->string.length,
                          value->undefined.name->string.text);
  if (!peft_tpl_append_repr (c, name, value->undefined.name, 0))
    return NULL;
  shown = g_utf8_make_valid (name->str, MIN (name->len, 200));
  return peft_tpl_fail (c, _ ("a value of type “%s” has no item %s"), peft_tpl_type_name (owner), shown);
}

gpointer
peft_tpl_fail_kind (PeftTplContext *c, const PeftTplValue *value, const char *expected)
{
  if (value->kind == PEFT_TPL_UNDEFINED)
    return peft_tpl_fail_undefined (c, value);
  return peft_tpl_fail (c, _ ("expected %s, found a value of type “%s”"), expected,
                        peft_tpl_type_name (value));
}

gboolean
peft_tpl_charge (PeftTplContext *c, gsize n)
{
  c->steps += n;
  if (c->steps > PEFT_TEMPLATE_MAX_STEPS)
    peft_tpl_fail_code (c, PEFT_ERROR_LIMIT, _ ("rendering takes more than %u steps"),
                        PEFT_TEMPLATE_MAX_STEPS);
  else if (peft_tpl_arena_get_size (c->arena) > PEFT_TEMPLATE_MAX_MEMORY_BYTES)
    peft_tpl_fail_code (c, PEFT_ERROR_LIMIT, _ ("rendering takes more than %u bytes of memory"),
                        PEFT_TEMPLATE_MAX_MEMORY_BYTES);
  return c->error == NULL;
}

gboolean
peft_tpl_check_string (PeftTplContext *c, gsize bytes)
{
  if (bytes > PEFT_TEMPLATE_MAX_STRING_BYTES)
    peft_tpl_fail_code (c, PEFT_ERROR_LIMIT, _ ("a string is longer than %u bytes"),
                        PEFT_TEMPLATE_MAX_STRING_BYTES);
  return c->error == NULL;
}

gboolean
peft_tpl_check_items (PeftTplContext *c, gsize n)
{
  if (n > PEFT_TEMPLATE_MAX_ITEMS)
    peft_tpl_fail_code (c, PEFT_ERROR_LIMIT, _ ("a list has more than %u items"),
                        PEFT_TEMPLATE_MAX_ITEMS);
  return c->error == NULL;
}

/* Only variables that the template names are looked at. */
static gboolean
set_variables (PeftTplContext *c, const PeftJson *variables, PeftTplScope *scope)
{
  gsize n = variables != NULL ? peft_json_get_length (variables) : 0;

  for (gsize i = 0; i < n; i++)
    {
      const char *name = peft_json_get_name (variables, i);
      guint id = GPOINTER_TO_UINT (g_hash_table_lookup (c->template->names, name));
      PeftTplValue *value;

      if (strcmp (name, PEFT_TEMPLATE_NOW_VARIABLE) == 0)
        peft_json_get_int (peft_json_get_value (variables, i), &c->now);
      if (id == 0)
        continue;
      if ((value = peft_tpl_from_json (c, peft_json_get_value (variables, i))) == NULL)
        return FALSE;
      peft_tpl_scope_set (c, scope, id, value);
    }
  return TRUE;
}

char *
peft_template_render (PeftTemplate *self, const PeftJson *variables, GArray **generation_spans,
                      GError **error)
{
  g_autoptr (PeftTplArena) arena = peft_tpl_arena_new ();
  g_autoptr (GString) out = g_string_new (NULL);
  g_autoptr (GArray) spans = NULL;
  PeftTplContext c = { .template = self, .arena = arena, .out = out, .line = 1 };
  PeftTplScope *scope;

  g_return_val_if_fail (variables == NULL || peft_json_get_kind (variables) == PEFT_JSON_OBJECT, NULL);

  if (generation_spans != NULL)
    c.spans = spans = g_array_new (FALSE, FALSE, sizeof (PeftTextSpan));
  c.now = g_get_real_time () / G_USEC_PER_SEC;
  scope = peft_tpl_scope_new (&c, NULL);
  if (set_variables (&c, variables, scope))
    peft_tpl_execute (&c, &self->body, scope);
  if (memchr (out->str, '\0', out->len) != NULL)
    peft_tpl_fail (&c, _ ("the text holds a NUL character"));
  if (c.error != NULL)
    {
      g_propagate_error (error, c.error);
      return NULL;
    }
  if (generation_spans != NULL)
    *generation_spans = g_steal_pointer (&spans);
  return g_string_free (g_steal_pointer (&out), FALSE);
}
