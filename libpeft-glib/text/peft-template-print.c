/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-template-private.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

/* Values as text: Python's str (), repr () and json.dumps (). */

static gboolean
append (PeftTplContext *c, GString *out, const char *text, gsize length)
{
  if (!peft_tpl_check_string (c, out->len + length) || !peft_tpl_charge (c, length / 64))
    return FALSE;
  g_string_append_len (out, text, length);
  return TRUE;
}

static gboolean
enter (PeftTplContext *c, guint depth)
{
  if (depth > PEFT_TEMPLATE_MAX_VALUE_DEPTH)
    {
      peft_tpl_fail_code (c, PEFT_ERROR_LIMIT, _ ("values nested deeper than %u levels"),
                          PEFT_TEMPLATE_MAX_VALUE_DEPTH);
      return FALSE;
    }
  return peft_tpl_charge (c, 1);
}

static void
append_float (GString *out, double value, const char *nan, const char *infinity)
{
  if (isnan (value))
    g_string_append (out, nan);
  else if (isinf (value))
    g_string_append_printf (out, "%s%s", value < 0 ? "-" : "", infinity);
  else
    peft_json_append_double (out, value);
}

/* str.isprintable () of one character. */
static gboolean
is_printable (gunichar ch)
{
  switch (g_unichar_type (ch))
    {
    case G_UNICODE_CONTROL:
    case G_UNICODE_FORMAT:
    case G_UNICODE_SURROGATE:
    case G_UNICODE_PRIVATE_USE:
    case G_UNICODE_UNASSIGNED:
    case G_UNICODE_LINE_SEPARATOR:
    case G_UNICODE_PARAGRAPH_SEPARATOR:
      return FALSE;
    case G_UNICODE_SPACE_SEPARATOR:
      return ch == ' ';
    default:
      return TRUE;
    }
}

static gboolean
append_string_repr (PeftTplContext *c, GString *out, const PeftTplValue *value)
{
  const char *text = value->string.text, *end = text + value->string.length;
  gboolean has_single = text < end && memchr (text, '\'', end - text) != NULL;
  gboolean has_double = text < end && memchr (text, '"', end - text) != NULL;
  char quote = has_single && !has_double ? '"' : '\'';

  /* At worst a byte becomes four. */
  if (!peft_tpl_check_string (c, out->len + 4 * value->string.length + 10)
      || !peft_tpl_charge (c, value->string.length / 16))
    return FALSE;
  if (value->markup)
    g_string_append (out, "Markup(");
  g_string_append_c (out, quote);
  for (const char *at = text; at < end; at = g_utf8_next_char (at))
    {
      gunichar ch = g_utf8_get_char (at);
      if (ch == (gunichar) quote || ch == '\\')
        g_string_append_printf (out, "\\%c", (char) ch);
      else if (ch == '\n' || ch == '\r' || ch == '\t')
        g_string_append (out, ch == '\n' ? "\\n" : ch == '\r' ? "\\r" : "\\t");
      else if (is_printable (ch))
        g_string_append_unichar (out, ch);
      else
        g_string_append_printf (out, ch < 0x100 ? "\\x%02x" : ch < 0x10000 ? "\\u%04x" : "\\U%08x", ch);
    }
  g_string_append_c (out, quote);
  if (value->markup)
    g_string_append_c (out, ')');
  return TRUE;
}

static gboolean
append_items (PeftTplContext *c, GString *out, PeftTplValue **items, gsize n, guint depth)
{
  for (gsize i = 0; i < n; i++)
    if ((i > 0 && !append (c, out, ", ", 2)) || !peft_tpl_append_repr (c, out, items[i], depth))
      return FALSE;
  return TRUE;
}

static gboolean
append_entries (PeftTplContext *c, GString *out, const PeftTplValue *value, guint depth)
{
  g_string_append_c (out, '{');
  for (gsize i = 0; i < value->dict.n; i++)
    if ((i > 0 && !append (c, out, ", ", 2))
        || !peft_tpl_append_repr (c, out, value->dict.entries[i].key, depth)
        || !append (c, out, ": ", 2)
        || !peft_tpl_append_repr (c, out, value->dict.entries[i].value, depth))
      return FALSE;
  g_string_append_c (out, '}');
  return TRUE;
}

gboolean
peft_tpl_append_repr (PeftTplContext *c, GString *out, const PeftTplValue *value, guint depth)
{
  if (!enter (c, depth))
    return FALSE;
  switch (value->kind)
    {
    case PEFT_TPL_UNDEFINED:
      return append (c, out, "Undefined", 9);
    case PEFT_TPL_NONE:
      return append (c, out, "None", 4);
    case PEFT_TPL_BOOLEAN:
      g_string_append (out, value->boolean ? "True" : "False");
      return TRUE;
    case PEFT_TPL_INTEGER:
      g_string_append_printf (out, "%" PRIi64, value->integer);
      return TRUE;
    case PEFT_TPL_BIG:
      return append (c, out, value->string.text, value->string.length);
    case PEFT_TPL_FLOAT:
      append_float (out, value->number, "nan", "inf");
      return TRUE;
    case PEFT_TPL_STRING:
      return append_string_repr (c, out, value);
    case PEFT_TPL_LIST:
    case PEFT_TPL_TUPLE:
    case PEFT_TPL_KEYS:
    case PEFT_TPL_VALUES:
    case PEFT_TPL_ITEMS:
      {
        gboolean is_view = value->kind >= PEFT_TPL_KEYS;
        if (is_view)
          g_string_append_printf (out, "%s(", peft_tpl_type_name (value));
        g_string_append_c (out, value->kind == PEFT_TPL_TUPLE ? '(' : '[');
        if (!append_items (c, out, value->list.items, value->list.n, depth + 1))
          return FALSE;
        if (value->kind == PEFT_TPL_TUPLE)
          g_string_append (out, value->list.n == 1 ? ",)" : ")");
        else
          g_string_append (out, is_view ? "])" : "]");
        return TRUE;
      }
    case PEFT_TPL_DICT:
      return append_entries (c, out, value, depth + 1);
    case PEFT_TPL_NAMESPACE:
      g_string_append (out, "<Namespace ");
      if (!append_entries (c, out, value, depth + 1))
        return FALSE;
      g_string_append_c (out, '>');
      return TRUE;
    case PEFT_TPL_RANGE:
      g_string_append_printf (out, "range(%" PRIi64 ", %" PRIi64, value->range.start,
                              value->range.start + (gint64) value->range.n * value->range.step);
      if (value->range.step != 1)
        g_string_append_printf (out, ", %" PRIi64, value->range.step);
      g_string_append_c (out, ')');
      return TRUE;
    case PEFT_TPL_LOOP:
      g_string_append_printf (out, "<LoopContext %zu/%zu>",
                              value->loop->index + 1, value->loop->n);
      return TRUE;
    case PEFT_TPL_MACRO:
      g_string_append_printf (out, "<Macro '%s'>", value->macro.node->name);
      return TRUE;
    default:
      /* Python would print an address here. */
      peft_tpl_fail (c, _ ("a value of type “%s” cannot be printed"), peft_tpl_type_name (value));
      return FALSE;
    }
}

gboolean
peft_tpl_append_text (PeftTplContext *c, GString *out, const PeftTplValue *value)
{
  if (value->kind == PEFT_TPL_STRING)
    return append (c, out, value->string.text, value->string.length);
  return value->kind == PEFT_TPL_UNDEFINED || peft_tpl_append_repr (c, out, value, 0);
}

PeftTplValue *
peft_tpl_to_text (PeftTplContext *c, PeftTplValue *value)
{
  g_autoptr (GString) out = NULL;

  if (value->kind == PEFT_TPL_STRING)
    return value;
  out = g_string_new (NULL);
  return peft_tpl_append_text (c, out, value) ? peft_tpl_take (c, out) : NULL;
}

PeftTplValue *
peft_tpl_escape (PeftTplContext *c, PeftTplValue *value)
{
  g_autoptr (GString) out = g_string_new (NULL);
  PeftTplValue *text = peft_tpl_to_text (c, value);

  if (text == NULL || text->markup)
    return text;
  if (!peft_tpl_check_string (c, text->string.length * 5))
    return NULL;
  for (gsize i = 0; i < text->string.length; i++)
    {
      char ch = text->string.text[i];
      switch (ch)
        {
        case '&':
          g_string_append (out, "&amp;");
          break;
        case '<':
          g_string_append (out, "&lt;");
          break;
        case '>':
          g_string_append (out, "&gt;");
          break;
        case '\'':
          g_string_append (out, "&#39;");
          break;
        case '"':
          g_string_append (out, "&#34;");
          break;
        default:
          g_string_append_c (out, ch);
        }
    }
  text = peft_tpl_take (c, out);
  if (text != NULL)
    text->markup = TRUE;
  return text;
}

/* --- JSON --- */

typedef struct
{
  gboolean ascii;
  gboolean sort_keys;
  const PeftTplValue *indent; /* a string, or NULL for one line */
  const PeftTplValue *item_separator;
  const PeftTplValue *key_separator;
} JsonStyle;

static gboolean
append_json_string (PeftTplContext *c, GString *out, const PeftTplValue *value, const JsonStyle *style)
{
  const char *end = value->string.text + value->string.length;

  /* At worst a byte becomes six. */
  if (!peft_tpl_check_string (c, out->len + value->string.length + 2)
      || !peft_tpl_charge (c, value->string.length / 16))
    return FALSE;
  g_string_append_c (out, '"');
  for (const char *at = value->string.text; at < end; at = g_utf8_next_char (at))
    {
      static const char letters[] = "\"\\\n\r\t\f\b", escapes[] = "\"\\nrtfb";
      gunichar ch = g_utf8_get_char (at);
      const char *letter = ch != 0 && ch < 0x80 ? strchr (letters, (int) ch) : NULL;

      if (letter != NULL)
        {
          g_string_append_c (out, '\\');
          g_string_append_c (out, escapes[letter - letters]);
        }
      else if (ch < 0x20 || (style->ascii && ch > 0x7e && ch < 0x10000))
        g_string_append_printf (out, "\\u%04x", ch);
      else if (style->ascii && ch >= 0x10000)
        g_string_append_printf (out, "\\u%04x\\u%04x", 0xd800 + ((ch - 0x10000) >> 10),
                                0xdc00 + ((ch - 0x10000) & 0x3ff));
      else
        g_string_append_unichar (out, ch);
    }
  g_string_append_c (out, '"');
  return peft_tpl_check_string (c, out->len);
}

static gboolean
append_indent (PeftTplContext *c, GString *out, const JsonStyle *style, guint depth)
{
  if (style->indent == NULL)
    return TRUE;
  if (!append (c, out, "\n", 1))
    return FALSE;
  for (guint i = 0; i < depth; i++)
    if (!append (c, out, style->indent->string.text, style->indent->string.length))
      return FALSE;
  return TRUE;
}

static gboolean
append_json_scalar (PeftTplContext *c, GString *out, const PeftTplValue *value)
{
  switch (value->kind)
    {
    case PEFT_TPL_NONE:
      g_string_append (out, "null");
      return TRUE;
    case PEFT_TPL_BOOLEAN:
      g_string_append (out, value->boolean ? "true" : "false");
      return TRUE;
    case PEFT_TPL_FLOAT:
      append_float (out, value->number, "NaN", "Infinity");
      return TRUE;
    case PEFT_TPL_INTEGER:
    case PEFT_TPL_BIG:
      return peft_tpl_append_repr (c, out, value, 0);
    default:
      peft_tpl_fail (c, _ ("tojson: a value of type “%s” cannot be written as JSON"),
                     peft_tpl_type_name (value));
      return FALSE;
    }
}

static gboolean
append_json_key (PeftTplContext *c, GString *out, const PeftTplValue *key, const JsonStyle *style)
{
  if (key->kind == PEFT_TPL_STRING)
    return append_json_string (c, out, key, style);
  g_string_append_c (out, '"');
  if (!append_json_scalar (c, out, key))
    return FALSE;
  g_string_append_c (out, '"');
  return TRUE;
}

typedef struct
{
  PeftTplContext *c;
  const PeftTplEntry *entry;
} KeyOrder;

static int
compare_keys_cb (gconstpointer a, gconstpointer b)
{
  const KeyOrder *x = a, *y = b;
  int order = 0;

  peft_tpl_compare (x->c, x->entry->key, y->entry->key, "<", &order);
  return order;
}

static gboolean
append_json (PeftTplContext *c, GString *out, const PeftTplValue *value, const JsonStyle *style,
             guint depth)
{
  gboolean is_dict = value->kind == PEFT_TPL_DICT;
  gsize n = is_dict ? value->dict.n : value->list.n;
  g_autofree KeyOrder *order = NULL;

  if (!enter (c, depth))
    return FALSE;
  if (value->kind == PEFT_TPL_STRING)
    return append_json_string (c, out, value, style);
  if (!is_dict && value->kind != PEFT_TPL_LIST && value->kind != PEFT_TPL_TUPLE)
    return append_json_scalar (c, out, value);
  if (n == 0)
    return append (c, out, is_dict ? "{}" : "[]", 2);
  if (is_dict)
    {
      order = g_new (KeyOrder, n);
      for (gsize i = 0; i < n; i++)
        order[i] = (KeyOrder){ c, &value->dict.entries[i] };
      if (style->sort_keys)
        {
          if (!peft_tpl_charge (c, n * 16))
            return FALSE;
          qsort (order, n, sizeof *order, compare_keys_cb);
        }
      if (peft_tpl_failed (c))
        return FALSE;
    }
  g_string_append_c (out, is_dict ? '{' : '[');
  for (gsize i = 0; i < n; i++)
    {
      if (i > 0
          && !append (c, out, style->item_separator->string.text, style->item_separator->string.length))
        return FALSE;
      if (!append_indent (c, out, style, depth + 1))
        return FALSE;
      if (is_dict
          && (!append_json_key (c, out, order[i].entry->key, style)
              || !append (c, out, style->key_separator->string.text, style->key_separator->string.length)))
        return FALSE;
      if (!append_json (c, out, is_dict ? order[i].entry->value : value->list.items[i], style, depth + 1))
        return FALSE;
    }
  if (!append_indent (c, out, style, depth))
    return FALSE;
  g_string_append_c (out, is_dict ? '}' : ']');
  return TRUE;
}

static const PeftTplValue *
indent_text (PeftTplContext *c, const PeftTplValue *indent)
{
  g_autofree char *blanks = NULL;
  gint64 width;

  if (indent->kind == PEFT_TPL_STRING)
    return indent;
  if (!peft_tpl_get_integer (c, indent, &width) || !peft_tpl_check_string (c, MAX (width, 0)))
    return NULL;
  blanks = g_strnfill (MAX (width, 0), ' ');
  return peft_tpl_string_copy (c, blanks, strlen (blanks));
}

/* tojson (ensure_ascii=false, indent=none, separators=none, sort_keys=false) */
PeftTplValue *
peft_tpl_tojson (PeftTplContext *c, PeftTplValue *self, PeftTplValue **slots, const PeftTplArgs *args)
{
  g_autoptr (GString) out = g_string_new (NULL);
  JsonStyle style = { 0 };

  style.ascii = slots[0] != NULL && peft_tpl_truth (slots[0]);
  style.sort_keys = slots[3] != NULL && peft_tpl_truth (slots[3]);
  if (slots[1] != NULL && slots[1]->kind != PEFT_TPL_NONE
      && (style.indent = indent_text (c, slots[1])) == NULL)
    return NULL;
  style.item_separator = peft_tpl_string_static (c, style.indent != NULL ? "," : ", ");
  style.key_separator = peft_tpl_string_static (c, ": ");
  if (slots[2] != NULL && slots[2]->kind != PEFT_TPL_NONE)
    {
      const PeftTplValue *pair = slots[2];
      if ((pair->kind != PEFT_TPL_TUPLE && pair->kind != PEFT_TPL_LIST) || pair->list.n != 2)
        return peft_tpl_fail_kind (c, pair, _ ("a pair of separators"));
      style.item_separator = pair->list.items[0];
      style.key_separator = pair->list.items[1];
      if (!peft_tpl_get_string (c, style.item_separator) || !peft_tpl_get_string (c, style.key_separator))
        return NULL;
    }
  if (!append_json (c, out, self, &style, 0))
    return NULL;
  return peft_tpl_take (c, out);
}
