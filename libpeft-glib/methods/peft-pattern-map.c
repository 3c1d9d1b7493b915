/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "methods/peft-pattern-map.h"

#include "methods/peft-config-private.h"
#include "methods/peft-pattern.h"

struct _PeftPatternMap
{
  GPtrArray *patterns;
  GArray *values; /* double */
};

PeftPatternMap *
peft_pattern_map_new (PeftConfig *config, const char *field, GError **error)
{
  const PeftJson *map = peft_config_get_json (config, field);
  g_autoptr (PeftPatternMap) self = g_new0 (PeftPatternMap, 1);

  self->patterns = g_ptr_array_new_with_free_func ((GDestroyNotify) peft_pattern_free);
  self->values = g_array_new (FALSE, FALSE, sizeof (double));
  if (peft_json_get_kind (map) != PEFT_JSON_OBJECT)
    return g_steal_pointer (&self);
  for (gsize i = 0; i < peft_json_get_length (map); i++)
    {
      PeftPattern *pattern
          = peft_pattern_new_around ("(.*\\.)?(%s)$", peft_json_get_name (map, i), error);
      double value = 0.0;

      if (pattern == NULL)
        {
          g_prefix_error (error, "%s: ", field);
          return NULL;
        }
      peft_json_get_double (peft_json_get_value (map, i), &value);
      g_ptr_array_add (self->patterns, pattern);
      g_array_append_val (self->values, value);
    }
  return g_steal_pointer (&self);
}

void
peft_pattern_map_free (PeftPatternMap *self)
{
  if (self == NULL)
    return;
  g_ptr_array_unref (self->patterns);
  g_array_unref (self->values);
  g_free (self);
}

gboolean
peft_pattern_map_lookup (PeftPatternMap *self, const char *path, double *value, GError **error)
{
  for (guint i = 0; i < self->patterns->len; i++)
    {
      gboolean matched;

      if (!peft_pattern_test (self->patterns->pdata[i], path, &matched, error))
        return FALSE;
      if (matched)
        {
          *value = g_array_index (self->values, double, i);
          return TRUE;
        }
    }
  return TRUE;
}
