/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-template-value.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* What may stand after "is". */

#define TEST(name)                                                                                        \
  static PeftTplValue *name (PeftTplContext *c, PeftTplValue *self, PeftTplValue **slots,                  \
                             const PeftTplArgs *args)

#define KIND_TEST(name, condition)                                                                        \
  TEST (name)                                                                                             \
  {                                                                                                       \
    return peft_tpl_boolean (condition);                                                                  \
  }

KIND_TEST (is_defined, self->kind != PEFT_TPL_UNDEFINED)
KIND_TEST (is_undefined, self->kind == PEFT_TPL_UNDEFINED)
KIND_TEST (is_none, self->kind == PEFT_TPL_NONE)
KIND_TEST (is_string, self->kind == PEFT_TPL_STRING)
KIND_TEST (is_number, peft_tpl_is_number (self) || self->kind == PEFT_TPL_BIG)
KIND_TEST (is_integer, self->kind == PEFT_TPL_INTEGER || self->kind == PEFT_TPL_BIG)
KIND_TEST (is_float, self->kind == PEFT_TPL_FLOAT)
KIND_TEST (is_boolean, self->kind == PEFT_TPL_BOOLEAN)
KIND_TEST (is_true, self->kind == PEFT_TPL_BOOLEAN && self->boolean)
KIND_TEST (is_false, self->kind == PEFT_TPL_BOOLEAN && !self->boolean)
KIND_TEST (is_mapping, self->kind == PEFT_TPL_DICT)
KIND_TEST (is_iterable, peft_tpl_is_iterable (self))
KIND_TEST (is_escaped, self->kind == PEFT_TPL_STRING && self->markup)
KIND_TEST (is_sequence, self->kind == PEFT_TPL_STRING || self->kind == PEFT_TPL_LIST
                            || self->kind == PEFT_TPL_TUPLE || self->kind == PEFT_TPL_DICT
                            || self->kind == PEFT_TPL_RANGE || self->kind == PEFT_TPL_UNDEFINED)
/* Python's undefined value has a method that is called, if only to fail. */
KIND_TEST (is_callable, self->kind == PEFT_TPL_UNDEFINED || self->kind == PEFT_TPL_MACRO
                            || self->kind == PEFT_TPL_BUILTIN || self->kind == PEFT_TPL_METHOD
                            || self->kind == PEFT_TPL_JOINER || self->kind == PEFT_TPL_LOOP)

static PeftTplValue *
remainder_is (PeftTplContext *c, PeftTplValue *self, PeftTplValue *divisor, gint64 wanted)
{
  PeftTplValue *rest = peft_tpl_binary (c, '%', self, divisor);
  return rest != NULL ? peft_tpl_boolean (peft_tpl_equal (c, rest, peft_tpl_integer (c, wanted))) : NULL;
}

TEST (is_odd)
{
  return remainder_is (c, self, peft_tpl_integer (c, 2), 1);
}

TEST (is_even)
{
  return remainder_is (c, self, peft_tpl_integer (c, 2), 0);
}

TEST (is_divisible)
{
  return remainder_is (c, self, slots[0], 0);
}

TEST (is_equal)
{
  gboolean result = peft_tpl_equal (c, self, slots[0]);
  return peft_tpl_failed (c) ? NULL : peft_tpl_boolean (result);
}

TEST (is_unequal)
{
  gboolean result = !peft_tpl_equal (c, self, slots[0]);
  return peft_tpl_failed (c) ? NULL : peft_tpl_boolean (result);
}

TEST (is_less)
{
  int order;
  return peft_tpl_compare (c, self, slots[0], "<", &order) ? peft_tpl_boolean (order == -1) : NULL;
}

TEST (is_greater)
{
  int order;
  return peft_tpl_compare (c, self, slots[0], ">", &order) ? peft_tpl_boolean (order == 1) : NULL;
}

TEST (is_at_most)
{
  int order;
  return peft_tpl_compare (c, self, slots[0], "<=", &order) ? peft_tpl_boolean (order == -1 || order == 0)
                                                            : NULL;
}

TEST (is_at_least)
{
  int order;
  return peft_tpl_compare (c, self, slots[0], ">=", &order) ? peft_tpl_boolean (order == 1 || order == 0)
                                                            : NULL;
}

TEST (is_in)
{
  gboolean result;
  return peft_tpl_contains (c, self, slots[0], &result) ? peft_tpl_boolean (result) : NULL;
}

/* Python's "is": none, true and false are one object each, and so are small integers. */
TEST (is_same)
{
  const PeftTplValue *other = slots[0];

  if (self->kind == other->kind && self->kind == PEFT_TPL_INTEGER)
    return peft_tpl_boolean (self == other
                             || (self->integer == other->integer && self->integer >= -5
                                 && self->integer <= 256));
  if (self->kind == other->kind && (self->kind == PEFT_TPL_NONE || self->kind == PEFT_TPL_BOOLEAN))
    return peft_tpl_boolean (peft_tpl_equal (c, self, other));
  return peft_tpl_boolean (self == other);
}

static PeftTplValue *
test_case (PeftTplContext *c, PeftTplValue *self, const char *method)
{
  static const PeftTplArgs none = { 0 };
  PeftTplValue *text = peft_tpl_to_text (c, self), *bound;

  if (text == NULL)
    return NULL;
  bound = peft_tpl_get_attribute (c, text, peft_tpl_string_static (c, method));
  return bound != NULL ? peft_tpl_call (c, bound, &none) : NULL;
}

TEST (is_lower)
{
  return test_case (c, self, "islower");
}

TEST (is_upper)
{
  return test_case (c, self, "isupper");
}

static PeftTplValue *
is_row (PeftTplContext *c, const PeftTplValue *name, const PeftTplBuiltin *(*find) (const char *))
{
  g_autofree char *text = NULL;

  if (name->kind != PEFT_TPL_STRING)
    return peft_tpl_boolean (FALSE);
  text = g_strndup (name->string.text, name->string.length);
  return peft_tpl_boolean (find (text) != NULL);
}

TEST (is_filter)
{
  return is_row (c, self, peft_tpl_find_filter);
}

TEST (is_test)
{
  return is_row (c, self, peft_tpl_find_test);
}

const PeftTplBuiltin peft_tpl_tests[] = {
  { "!=", is_unequal, "other", 1 },
  { "<", is_less, "other", 1 },
  { "<=", is_at_most, "other", 1 },
  { "==", is_equal, "other", 1 },
  { ">", is_greater, "other", 1 },
  { ">=", is_at_least, "other", 1 },
  { "boolean", is_boolean, "", 0 },
  { "callable", is_callable, "", 0 },
  { "defined", is_defined, "", 0 },
  { "divisibleby", is_divisible, "num", 1 },
  { "eq", is_equal, "other", 1 },
  { "equalto", is_equal, "other", 1 },
  { "escaped", is_escaped, "", 0 },
  { "even", is_even, "", 0 },
  { "false", is_false, "", 0 },
  { "filter", is_filter, "", 0 },
  { "float", is_float, "", 0 },
  { "ge", is_at_least, "other", 1 },
  { "greaterthan", is_greater, "other", 1 },
  { "gt", is_greater, "other", 1 },
  { "in", is_in, "seq", 1 },
  { "integer", is_integer, "", 0 },
  { "iterable", is_iterable, "", 0 },
  { "le", is_at_most, "other", 1 },
  { "lessthan", is_less, "other", 1 },
  { "lower", is_lower, "", 0 },
  { "lt", is_less, "other", 1 },
  { "mapping", is_mapping, "", 0 },
  { "ne", is_unequal, "other", 1 },
  { "none", is_none, "", 0 },
  { "number", is_number, "", 0 },
  { "odd", is_odd, "", 0 },
  { "sameas", is_same, "other", 1 },
  { "sequence", is_sequence, "", 0 },
  { "string", is_string, "", 0 },
  { "test", is_test, "", 0 },
  { "true", is_true, "", 0 },
  { "undefined", is_undefined, "", 0 },
  { "upper", is_upper, "", 0 },
  { NULL },
};
