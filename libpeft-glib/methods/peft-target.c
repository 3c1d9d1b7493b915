/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "methods/peft-target.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "methods/peft-closest-name.h"
#include "methods/peft-config-private.h"
#include "methods/peft-method.h"
#include "methods/peft-pattern.h"

#define ALL_LINEAR "all-linear"
#define N_SUGGESTIONS 5

/* Names, or one regular expression. */
typedef struct
{
  GPtrArray *names;
  GHashTable *exact;
  PeftPattern *pattern; /* NULL: names */
} NameRule;

struct _PeftTargets
{
  NameRule targets, excluded;
  gboolean all_linear;
  GPtrArray *saved_names;    /* modules_to_save */
  GPtrArray *saved_patterns; /* PeftPattern: what modules_to_save keeps adapters away from */
  gboolean by_layer;
  GArray *layers; /* gint64 */
  GPtrArray *layer_patterns;
  PeftJson *resolved;
  GPtrArray *unmatched;
};

/* Null where the class has no such field. */
static const PeftJson *
get_optional (PeftConfig *config, const char *field)
{
  static PeftJson *null;

  if (g_once_init_enter (&null))
    g_once_init_leave (&null, peft_json_new_null ());
  return peft_config_class_find_field (PEFT_CONFIG_GET_CLASS (config), field) != NULL
             ? peft_config_get_json (config, field)
             : null;
}

static GPtrArray *
dup_names (const PeftJson *value)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);

  if (peft_json_get_kind (value) == PEFT_JSON_STRING)
    g_ptr_array_add (names, g_strdup (peft_json_get_string (value)));
  else if (peft_json_get_kind (value) == PEFT_JSON_ARRAY)
    for (gsize i = 0; i < peft_json_get_length (value); i++)
      g_ptr_array_add (names, g_strdup (peft_json_get_string (peft_json_get_element (value, i))));
  return names;
}

static gboolean
name_rule_init (NameRule *rule, const char *field, const PeftJson *value, GError **error)
{
  rule->names = dup_names (value);
  rule->exact = g_hash_table_new (g_str_hash, g_str_equal);
  if (peft_json_get_kind (value) == PEFT_JSON_STRING)
    {
      rule->pattern = peft_pattern_new (peft_json_get_string (value), PEFT_PATTERN_FULL, error);
      if (rule->pattern == NULL)
        g_prefix_error (error, "%s: ", field);
      return rule->pattern != NULL;
    }
  for (guint i = 0; i < rule->names->len; i++)
    g_hash_table_add (rule->exact, rule->names->pdata[i]);
  return TRUE;
}

static void
name_rule_clear (NameRule *rule)
{
  g_clear_pointer (&rule->exact, g_hash_table_unref);
  g_clear_pointer (&rule->names, g_ptr_array_unref);
  g_clear_pointer (&rule->pattern, peft_pattern_free);
}

/* path ends with "." and name */
static gboolean
has_suffix (const char *path, const char *name)
{
  gsize n_path = strlen (path), n_name = strlen (name);

  return n_path > n_name && path[n_path - n_name - 1] == '.'
         && strcmp (path + n_path - n_name, name) == 0;
}

static const char *
find_suffix (NameRule *rule, const char *path)
{
  for (guint i = 0; i < rule->names->len; i++)
    if (has_suffix (path, rule->names->pdata[i]))
      return rule->names->pdata[i];
  return NULL;
}

static gboolean
name_rule_match (NameRule *rule, const char *path, gboolean *matched, GError **error)
{
  if (rule->pattern != NULL)
    return peft_pattern_test (rule->pattern, path, matched, error);
  *matched = g_hash_table_contains (rule->exact, path) || find_suffix (rule, path) != NULL;
  return TRUE;
}

static GPtrArray *
new_patterns (const char *field, const char *format, GPtrArray *texts, GError **error)
{
  g_autoptr (GPtrArray) patterns
      = g_ptr_array_new_with_free_func ((GDestroyNotify) peft_pattern_free);

  for (guint i = 0; i < texts->len; i++)
    {
      PeftPattern *pattern = peft_pattern_new_around (format, texts->pdata[i], error);

      if (pattern == NULL)
        {
          g_prefix_error (error, "%s: ", field);
          return NULL;
        }
      g_ptr_array_add (patterns, pattern);
    }
  return g_steal_pointer (&patterns);
}

static gboolean
init_layers (PeftTargets *self, PeftConfig *config, GError **error)
{
  const PeftJson *layers = get_optional (config, "layers_to_transform");
  const PeftJson *pattern = get_optional (config, "layers_pattern");
  g_autoptr (GPtrArray) names = dup_names (pattern);
  gint64 layer;

  self->layers = g_array_new (FALSE, FALSE, sizeof (gint64));
  if (peft_json_get_int (layers, &layer))
    g_array_append_val (self->layers, layer);
  else if (peft_json_get_kind (layers) == PEFT_JSON_ARRAY)
    for (gsize i = 0; i < peft_json_get_length (layers); i++)
      if (peft_json_get_int (peft_json_get_element (layers, i), &layer))
        g_array_append_val (self->layers, layer);
  self->by_layer = self->layers->len > 0;
  /* Without a pattern the index is the first number between dots, below two more modules. */
  self->layer_patterns
      = names->len > 0 && ((char *) names->pdata[0])[0] != '\0'
            ? new_patterns ("layers_pattern", "(?:^|.*?\\.)%s\\.(?P<idx>\\d+)\\.", names, error)
            : g_ptr_array_new_with_free_func ((GDestroyNotify) peft_pattern_free);
  if (self->layer_patterns == NULL)
    return FALSE;
  if (self->layer_patterns->len == 0)
    g_ptr_array_add (self->layer_patterns,
                     peft_pattern_new (".*?\\.[^.]*\\.(?P<idx>\\d+)\\.", PEFT_PATTERN_MATCH, NULL));
  return TRUE;
}

static PeftJson *
resolve_targets (PeftConfig *config, const char *model_type, GError **error)
{
  const PeftJson *value = get_optional (config, "target_modules");
  const PeftMethod *method;
  PeftJson *targets;

  if (peft_json_get_kind (value) != PEFT_JSON_NULL
      || peft_config_class_find_field (PEFT_CONFIG_GET_CLASS (config), "target_modules") == NULL)
    return peft_json_ref ((PeftJson *) value);
  method = peft_method_find (peft_config_get_peft_type (config));
  targets = peft_target_defaults (method != NULL ? method->target_defaults : NULL, model_type);
  if (targets == NULL)
    g_set_error (
        error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
        _ ("target_modules: there is no default for models of type '%s', so it must be set"),
        model_type);
  return targets;
}

static gboolean
has_empty_name (const PeftJson *names)
{
  if (peft_json_get_kind (names) != PEFT_JSON_ARRAY)
    return FALSE;
  for (gsize i = 0; i < peft_json_get_length (names); i++)
    if (peft_json_get_string_length (peft_json_get_element (names, i)) == 0)
      return TRUE;
  return FALSE;
}

static gboolean
is_empty_pattern (const PeftJson *pattern)
{
  switch (peft_json_get_kind (pattern))
    {
    case PEFT_JSON_STRING:
      return peft_json_get_string_length (pattern) == 0;
    case PEFT_JSON_ARRAY:
      return peft_json_get_length (pattern) == 0;
    default:
      return TRUE;
    }
}

gboolean
peft_targets_validate (PeftConfig *config, GError **error)
{
  const PeftJson *targets = get_optional (config, "target_modules");
  const PeftJson *layers = get_optional (config, "layers_to_transform");
  const PeftJson *pattern = get_optional (config, "layers_pattern");
  const PeftJson *saved = get_optional (config, "modules_to_save");
  gboolean has_layers = peft_json_get_kind (layers) != PEFT_JSON_NULL;
  const char *message = NULL;

  if (has_empty_name (saved))
    message = _ ("modules_to_save: an empty name would match every module");
  else if (peft_json_get_kind (targets) == PEFT_JSON_STRING
           && (has_layers || peft_json_get_kind (pattern) != PEFT_JSON_NULL))
    message
        = _ ("layers_to_transform and layers_pattern go with a list of target_modules, not with a "
             "string");
  else if (!has_layers && !is_empty_pattern (pattern))
    message = _ ("layers_pattern needs layers_to_transform");
  if (message != NULL)
    g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT, message);
  return message == NULL;
}

PeftTargets *
peft_targets_new (PeftConfig *config, const char *model_type, GError **error)
{
  g_autoptr (PeftTargets) self = g_new0 (PeftTargets, 1);
  const PeftJson *excluded = get_optional (config, "exclude_modules");

  self->saved_names = dup_names (get_optional (config, "modules_to_save"));
  self->unmatched = g_ptr_array_new ();
  self->resolved = resolve_targets (config, model_type, error);
  if (self->resolved == NULL)
    return NULL;
  self->all_linear = peft_json_get_kind (self->resolved) == PEFT_JSON_STRING
                     && g_ascii_strcasecmp (peft_json_get_string (self->resolved), ALL_LINEAR) == 0;
  if (!name_rule_init (&self->targets, "target_modules", self->resolved, error)
      || !name_rule_init (&self->excluded, "exclude_modules", excluded, error)
      || !init_layers (self, config, error))
    return NULL;
  self->saved_patterns
      = new_patterns ("modules_to_save", "(^|.*\\.)%s($|\\..*)", self->saved_names, error);
  return self->saved_patterns != NULL ? g_steal_pointer (&self) : NULL;
}

void
peft_targets_free (PeftTargets *self)
{
  if (self == NULL)
    return;
  name_rule_clear (&self->targets);
  name_rule_clear (&self->excluded);
  g_clear_pointer (&self->saved_names, g_ptr_array_unref);
  g_clear_pointer (&self->saved_patterns, g_ptr_array_unref);
  g_clear_pointer (&self->layers, g_array_unref);
  g_clear_pointer (&self->layer_patterns, g_ptr_array_unref);
  g_clear_pointer (&self->resolved, peft_json_unref);
  g_clear_pointer (&self->unmatched, g_ptr_array_unref);
  g_free (self);
}

static gboolean
is_excluded (PeftTargets *self, const char *path, gboolean *excluded, GError **error)
{
  /* An empty expression excludes nothing, as in peft. */
  gboolean has_rule
      = self->excluded.names->len > 0 && ((const char *) self->excluded.names->pdata[0])[0] != '\0';

  *excluded = FALSE;
  if (has_rule && !name_rule_match (&self->excluded, path, excluded, error))
    return FALSE;
  for (guint i = 0; !*excluded && i < self->saved_patterns->len; i++)
    if (!peft_pattern_test (self->saved_patterns->pdata[i], path, excluded, error))
      return FALSE;
  return TRUE;
}

static gboolean
is_in_layers (PeftTargets *self, const char *path, gboolean *result, GError **error)
{
  g_autofree char *text = NULL;
  gint64 layer;

  for (guint i = 0; text == NULL && i < self->layer_patterns->len; i++)
    if (!peft_pattern_capture (self->layer_patterns->pdata[i], path, "idx", &text, error))
      return FALSE;
  *result = FALSE;
  if (text == NULL || !g_ascii_string_to_signed (text, 10, 0, G_MAXINT64, &layer, NULL))
    return TRUE;
  for (guint i = 0; i < self->layers->len; i++)
    *result = *result || g_array_index (self->layers, gint64, i) == layer;
  return TRUE;
}

static gboolean
match_targets (PeftTargets *self, const char *path, gboolean *matched, GError **error)
{
  if (self->targets.pattern != NULL)
    return peft_pattern_test (self->targets.pattern, path, matched, error);
  *matched = g_hash_table_contains (self->targets.exact, path);
  if (*matched)
    return TRUE;
  *matched = find_suffix (&self->targets, path) != NULL;
  return !*matched || !self->by_layer || is_in_layers (self, path, matched, error);
}

gboolean
peft_targets_match (PeftTargets *self, const char *path, PeftTargetMatch *out, GError **error)
{
  gboolean excluded, matched;

  if (!is_excluded (self, path, &excluded, error))
    return FALSE;
  if (!match_targets (self, path, &matched, error))
    return FALSE;
  *out = excluded ? PEFT_TARGET_EXCLUDED : matched ? PEFT_TARGET_YES : PEFT_TARGET_NO;
  return TRUE;
}

gboolean
peft_targets_match_slot (PeftTargets *self, PeftSlot *slot, PeftTargetMatch *out, GError **error)
{
  gboolean excluded;

  if (!self->all_linear)
    return peft_targets_match (self, slot->path, out, error);
  if (!is_excluded (self, slot->path, &excluded, error))
    return FALSE;
  *out = excluded                                           ? PEFT_TARGET_EXCLUDED
         : slot->kind == PEFT_SLOT_LINEAR && !slot->is_head ? PEFT_TARGET_YES
                                                            : PEFT_TARGET_NO;
  return TRUE;
}

static const char *
last_part (const char *path)
{
  const char *dot = strrchr (path, '.');

  return dot != NULL ? dot + 1 : path;
}

/* Modules that hold slots ("model", "model.layers", "model.layers.0" and so on) have no weight to
 * adapt. */
static gboolean
refuse_containers (PeftTargets *self, PeftCore *core, GError **error)
{
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  for (guint i = 0; i < core->slots->len; i++)
    {
      PeftSlot *slot = core->slots->pdata[i];

      for (const char *dot = strchr (slot->path, '.'); dot != NULL; dot = strchr (dot + 1, '.'))
        {
          char *path = g_strndup (slot->path, dot - slot->path);
          PeftTargetMatch match = PEFT_TARGET_NO;

          if (!g_hash_table_add (seen, path) || peft_core_find_slot (core, path) != NULL)
            continue;
          if (!peft_targets_match (self, path, &match, error))
            return FALSE;
          if (match == PEFT_TARGET_YES)
            {
              g_set_error (
                  error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                  _ ("target_modules: '%s' is a module made of others, not a layer with a weight"),
                  path);
              return FALSE;
            }
        }
    }
  return TRUE;
}

typedef struct
{
  const char *name;
  gsize distance;
} Suggestion;

static int
compare_suggestions (gconstpointer a, gconstpointer b)
{
  const Suggestion *x = a, *y = b;

  return x->distance != y->distance ? (x->distance < y->distance ? -1 : 1)
                                    : strcmp (x->name, y->name);
}

static gboolean
refuse_no_match (
    PeftTargets *self, PeftCore *core, guint slot_kinds, guint n_excluded, GError **error)
{
  g_autofree char *wanted = peft_json_to_string (self->resolved, PEFT_JSON_WRITE_SPACED);
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GArray) found = g_array_new (FALSE, FALSE, sizeof (Suggestion));
  g_autoptr (GString) list = g_string_new (NULL);

  for (guint i = 0; i < core->slots->len; i++)
    {
      PeftSlot *slot = core->slots->pdata[i];
      Suggestion suggestion = { last_part (slot->path), G_MAXSIZE };

      if ((slot_kinds & (1u << slot->kind)) == 0
          || !g_hash_table_add (seen, (gpointer) suggestion.name))
        continue;
      for (guint j = 0; j < self->targets.names->len; j++)
        suggestion.distance
            = MIN (suggestion.distance,
                   peft_edit_distance (last_part (self->targets.names->pdata[j]), suggestion.name));
      g_array_append_val (found, suggestion);
    }
  g_array_sort (found, compare_suggestions);
  for (guint i = 0; i < MIN (found->len, N_SUGGESTIONS); i++)
    g_string_append_printf (list, "%s%s", i > 0 ? ", " : "",
                            g_array_index (found, Suggestion, i).name);
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND,
               n_excluded > 0
                   ? _ ("target_modules: %s leaves no module of the model to train after "
                        "exclude_modules and modules_to_save; closest names: %s")
               : self->by_layer
                   ? _ ("target_modules: %s matches no module of the model in layers_to_transform; "
                        "closest names: %s")
                   : _ ("target_modules: %s matches no module of the model; closest names: %s"),
               wanted, list->str);
  return FALSE;
}

static int
compare_strings (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* The shortest list that means the selected slots: their last names, where these select the same.
 */
static void
resolve_all_linear (PeftTargets *self, PeftCore *core, GPtrArray *selected)
{
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GHashTable) chosen = g_hash_table_new (NULL, NULL);
  g_autoptr (GPtrArray) sorted = g_ptr_array_new ();
  gboolean short_names = TRUE;

  for (guint i = 0; i < selected->len; i++)
    {
      PeftSlot *slot = selected->pdata[i];

      g_hash_table_add (names, (gpointer) last_part (slot->path));
      g_hash_table_add (chosen, slot);
    }
  for (guint i = 0; i < core->slots->len; i++)
    {
      PeftSlot *slot = core->slots->pdata[i];

      if (!g_hash_table_contains (chosen, slot)
          && g_hash_table_contains (names, last_part (slot->path)))
        short_names = FALSE;
    }
  if (short_names)
    {
      GHashTableIter iter;
      gpointer name;

      g_hash_table_iter_init (&iter, names);
      while (g_hash_table_iter_next (&iter, &name, NULL))
        g_ptr_array_add (sorted, name);
    }
  else
    for (guint i = 0; i < selected->len; i++)
      g_ptr_array_add (sorted, ((PeftSlot *) selected->pdata[i])->path);
  g_ptr_array_sort (sorted, compare_strings);
  g_clear_pointer (&self->resolved, peft_json_unref);
  self->resolved = peft_json_new_array ();
  for (guint i = 0; i < sorted->len; i++)
    peft_json_append (self->resolved, peft_json_new_string (sorted->pdata[i]));
}

static void
note_unmatched (PeftTargets *self, GPtrArray *selected)
{
  if (self->targets.pattern != NULL)
    return;
  for (guint i = 0; i < self->targets.names->len; i++)
    {
      const char *name = self->targets.names->pdata[i];
      gboolean used = FALSE;

      for (guint j = 0; !used && j < selected->len; j++)
        {
          const char *path = ((PeftSlot *) selected->pdata[j])->path;
          used = g_str_equal (path, name) || has_suffix (path, name);
        }
      if (!used)
        g_ptr_array_add (self->unmatched, (gpointer) name);
    }
}

GPtrArray *
peft_targets_select (PeftTargets *self, PeftCore *core, guint slot_kinds, GError **error)
{
  g_autoptr (GPtrArray) selected = g_ptr_array_new ();
  guint n_excluded = 0;

  for (guint i = 0; i < core->slots->len; i++)
    {
      PeftSlot *slot = core->slots->pdata[i];
      PeftTargetMatch match;

      if (!peft_targets_match_slot (self, slot, &match, error))
        return NULL;
      n_excluded += match == PEFT_TARGET_EXCLUDED;
      if (match != PEFT_TARGET_YES)
        continue;
      if ((slot_kinds & (1u << slot->kind)) == 0)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                       _ ("target_modules: '%s' is a kind of module that the method cannot adapt"),
                       slot->path);
          return NULL;
        }
      g_ptr_array_add (selected, slot);
    }
  if (!self->all_linear && !refuse_containers (self, core, error))
    return NULL;
  if (selected->len == 0)
    {
      refuse_no_match (self, core, slot_kinds, n_excluded, error);
      return NULL;
    }
  note_unmatched (self, selected);
  if (self->all_linear)
    resolve_all_linear (self, core, selected);
  return g_steal_pointer (&selected);
}

PeftJson *
peft_targets_get_resolved (PeftTargets *self)
{
  return self->resolved;
}

GPtrArray *
peft_targets_get_unmatched (PeftTargets *self)
{
  return g_ptr_array_ref (self->unmatched);
}

/* peft compares ends of names without a dot, and copies all that a matching module contains. */
gboolean
peft_targets_is_saved (PeftTargets *self, const char *path)
{
  g_autofree char *prefix = g_strdup (path);

  for (;;)
    {
      char *dot;

      for (guint i = 0; i < self->saved_names->len; i++)
        if (g_str_has_suffix (prefix, self->saved_names->pdata[i]))
          return TRUE;
      dot = strrchr (prefix, '.');
      if (dot == NULL)
        return FALSE;
      *dot = '\0';
    }
}
