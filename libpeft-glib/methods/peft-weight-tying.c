/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "methods/peft-weight-tying.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "methods/peft-adapter-private.h"
#include "methods/peft-config-private.h"
#include "methods/peft-pattern.h"

#define FIELD "ensure_weight_tying"

static gboolean
is_asked_for (PeftConfig *config)
{
  return peft_config_class_find_field (PEFT_CONFIG_GET_CLASS (config), FIELD) != NULL
         && peft_config_get_boolean (config, FIELD);
}

static gboolean
is_table_name (const char *name)
{
  const char *dot = strrchr (name, '.');
  const char *last = dot != NULL ? dot + 1 : name;

  return g_str_equal (last, "embed_tokens") || g_str_equal (last, "lm_head");
}

/* Does a list name the embedding or the head? */
static gboolean
names_table (const PeftJson *list)
{
  for (gsize i = 0; peft_json_get_kind (list) == PEFT_JSON_ARRAY && i < peft_json_get_length (list);
       i++)
    if (is_table_name (peft_json_get_string (peft_json_get_element (list, i))))
      return TRUE;
  return FALSE;
}

/* The list with the embedding's path in it, without the first entry that means the head. */
static gboolean
replace_head (const PeftJson *list, PeftCore *core, PeftJson **out, GError **error)
{
  g_autoptr (PeftJson) changed = peft_json_new_array ();
  gboolean found = FALSE, removed = FALSE;

  for (gsize i = 0; i < peft_json_get_length (list); i++)
    {
      const char *name = peft_json_get_string (peft_json_get_element (list, i));
      gboolean matched = FALSE;

      if (!removed)
        {
          g_autoptr (PeftPattern) pattern
              = peft_pattern_new_around ("(^|.*\\.)%s($|\\..*)", name, error);

          if (pattern == NULL || !peft_pattern_test (pattern, core->head->path, &matched, error))
            return FALSE;
        }
      removed = removed || matched;
      found = found || g_str_equal (name, core->embedding->path);
      if (!matched)
        peft_json_append (changed, peft_json_new_string (name));
    }
  if (!found)
    peft_json_append (changed, peft_json_new_string (core->embedding->path));
  *out = g_steal_pointer (&changed);
  return TRUE;
}

/* Does an expression for target_modules mean the embedding or the head, by their last names? */
static gboolean
expression_names_table (const char *text, gboolean *out, GError **error)
{
  g_autoptr (PeftPattern) pattern = peft_pattern_new (text, PEFT_PATTERN_FULL, error);
  gboolean head = FALSE;

  *out = FALSE;
  if (pattern == NULL || !peft_pattern_test (pattern, "embed_tokens", out, error)
      || !peft_pattern_test (pattern, "lm_head", &head, error))
    return FALSE;
  *out = *out || head;
  return TRUE;
}

static gboolean
resolve_expression (const char *text, PeftCore *core, PeftJson **out, GError **error)
{
  g_autofree char *escaped = g_regex_escape_string (core->embedding->path, -1);
  g_autofree char *ending = g_strdup_printf ("|^%s$)", escaped);
  g_autofree char *whole = NULL;
  gboolean asked;

  if (!expression_names_table (text, &asked, error))
    return FALSE;
  /* What was once resolved stays as it is. */
  if (!asked || g_str_has_suffix (text, ending))
    return TRUE;
  whole = g_strconcat ("(?:", text, ending, NULL);
  *out = peft_json_new_string (whole);
  return TRUE;
}

PeftConfig *
peft_weight_tying_resolve (PeftConfig *config, PeftCore *core, GError **error)
{
  const PeftJson *saved, *targets;
  const char *field = "target_modules";
  g_autoptr (PeftConfig) changed = NULL;
  PeftJson *value = NULL;

  if (!is_asked_for (config) || core->head == NULL || !core->head->tied)
    return peft_config_dup (config);
  saved = peft_config_get_json (config, "modules_to_save");
  targets = peft_config_get_json (config, "target_modules");
  if (names_table (saved))
    {
      field = "modules_to_save";
      if (!replace_head (saved, core, &value, error))
        return NULL;
    }
  else if (names_table (targets))
    {
      if (!replace_head (targets, core, &value, error))
        return NULL;
    }
  else if (peft_json_get_kind (targets) == PEFT_JSON_STRING
           && !g_str_equal (peft_json_get_string (targets), "all-linear")
           && !resolve_expression (peft_json_get_string (targets), core, &value, error))
    return NULL;
  if (value == NULL)
    return peft_config_dup (config);
  changed = peft_config_dup (config);
  if (!peft_config_set_json (changed, field, value, PEFT_ERROR_INVALID_ARGUMENT, error))
    return NULL;
  return g_steal_pointer (&changed);
}

static PeftAdapterOverride *
find_shared (PeftAdapter *adapter)
{
  PeftCore *core = adapter->core;
  PeftAdapterOverride *embedding;

  if (adapter->config == NULL || !is_asked_for (adapter->config) || core->head == NULL
      || !core->head->tied)
    return NULL;
  embedding = peft_adapter_find_override (adapter, core->embedding);
  return embedding != NULL && embedding->weight != NULL && embedding->weight->trainable ? embedding
                                                                                        : NULL;
}

void
peft_weight_tying_share (PeftAdapter *adapter)
{
  PeftCore *core = adapter->core;
  PeftAdapterOverride *embedding = find_shared (adapter);

  if (embedding != NULL)
    peft_adapter_get_override (adapter, core->head)->weight = embedding->weight;
  else if (!is_asked_for (adapter->config))
    return;
  else if (core->head == NULL || !core->head->tied)
    peft_adapter_note (adapter, g_strdup (_ ("ensure_weight_tying has no effect: the model's head has its own weights")));
  else if (!peft_adapter_has_hook (adapter, core->embedding))
    peft_adapter_note (adapter, g_strdup (_ ("ensure_weight_tying has no effect: neither the embedding nor the head is "
                                             "trained")));
}

void
peft_weight_tying_export (PeftAdapter *adapter, GPtrArray *out)
{
  PeftAdapterOverride *embedding = find_shared (adapter);
  PeftAdapterTensor *tensor;

  if (embedding == NULL)
    return;
  tensor = g_new0 (PeftAdapterTensor, 1);
  tensor->key = g_strconcat (PEFT_ADAPTER_PREFIX, adapter->core->head->path, ".weight", NULL);
  tensor->n_dims = embedding->weight->n_dims;
  for (guint i = 0; i < tensor->n_dims; i++)
    tensor->shape[i] = embedding->weight->shape[i];
  tensor->values = peft_param_dup_values (embedding->weight);
  g_ptr_array_add (out, tensor);
}
