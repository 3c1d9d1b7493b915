/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "data/peft-data-mapping.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"

/* Bytes of column names that a message shows. */
#define MAX_LISTED_BYTES 200u

struct _PeftDataMapping
{
  gatomicrefcount ref_count;
  PeftJson *columns; /* role → column */
};

/* At most 32: apply () has one bit for each. */
static const struct
{
  const char *name;
  gboolean optional;
} roles[] = {
  { "messages", FALSE },   { "conversations", FALSE }, { "prompt", FALSE },
  { "completion", FALSE }, { "instruction", FALSE },   { "input", TRUE },
  { "output", FALSE },     { "system", TRUE },         { "history", TRUE },
  { "tools", TRUE },       { "documents", TRUE },      { "text", FALSE },
  { "input_ids", FALSE },  { "labels", TRUE },         { "attention_mask", TRUE },
};

static int
find_role (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (roles); i++)
    if (g_str_equal (roles[i].name, name))
      return (int)i;
  return -1;
}

static char *
list_roles (void)
{
  GString *names = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (roles); i++)
    g_string_append_printf (names, "%s%s", i > 0 ? ", " : "", roles[i].name);
  return g_string_free (names, FALSE);
}

PeftDataMapping *
peft_data_mapping_new (const PeftJson *json, GError **error)
{
  g_autoptr (PeftDataMapping) self = NULL;

  if (peft_json_get_kind (json) != PEFT_JSON_OBJECT || peft_json_get_length (json) == 0)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("column mapping: expected an object of roles and columns, found: %s"),
                   peft_json_get_kind_name (json));
      return NULL;
    }
  self = g_new0 (PeftDataMapping, 1);
  g_atomic_ref_count_init (&self->ref_count);
  self->columns = peft_json_new_object ();
  for (gsize i = 0; i < peft_json_get_length (json); i++)
    {
      const char *role = peft_json_get_name (json, i);
      PeftJson *column = peft_json_get_value (json, i);

      if (find_role (role) < 0)
        {
          g_autofree char *known = list_roles ();

          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                       _ ("column mapping: expected one of the roles %s, found: %s"), known, role);
          return NULL;
        }
      if (peft_json_get_kind (column) != PEFT_JSON_STRING)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                       _ ("column mapping: %s: expected a column name, found: %s"), role,
                       peft_json_get_kind_name (column));
          return NULL;
        }
      peft_json_set (self->columns, role, peft_json_ref (column));
    }
  return g_steal_pointer (&self);
}

PeftDataMapping *
peft_data_mapping_parse (const char *text, GError **error)
{
  g_autoptr (PeftJson) json = NULL;
  g_autoptr (GError) local = NULL;

  json = peft_json_parse (text, -1, PEFT_JSON_PARSE_UNIQUE_KEYS, &local);
  if (json == NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT, _ ("column mapping: %s"),
                   local->message);
      return NULL;
    }
  return peft_data_mapping_new (json, error);
}

PeftDataMapping *
peft_data_mapping_ref (PeftDataMapping *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
peft_data_mapping_unref (PeftDataMapping *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  peft_json_unref (self->columns);
  g_free (self);
}

const char *
peft_data_mapping_get_column (const PeftDataMapping *self, const char *role)
{
  PeftJson *column = peft_json_get_member (self->columns, role);

  return column != NULL ? peft_json_get_string (column) : NULL;
}

PeftJson *
peft_data_mapping_apply (const PeftDataMapping *self,
                         const PeftJson *row,
                         guint32 *seen,
                         GError **error)
{
  g_autoptr (PeftJson) mapped = NULL;

  if (peft_json_get_kind (row) != PEFT_JSON_OBJECT)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   _ ("expected an object, since a column mapping is given; found: %s"),
                   peft_json_get_kind_name (row));
      return NULL;
    }
  mapped = peft_json_new_object ();
  for (gsize i = 0; i < peft_json_get_length (self->columns); i++)
    {
      const char *role = peft_json_get_name (self->columns, i);
      const char *column = peft_json_get_string (peft_json_get_value (self->columns, i));
      PeftJson *value = peft_json_get_member (row, column);

      if (value == NULL && roles[find_role (role)].optional)
        continue;
      if (value == NULL)
        {
          g_autofree char *found = peft_data_list_columns (row);

          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                       _ ("expected the column “%s”, which is mapped to %s; found: %s"), column,
                       role, found);
          return NULL;
        }
      *seen |= 1u << i;
      peft_json_set (mapped, role, peft_json_ref (value));
    }
  return g_steal_pointer (&mapped);
}

gboolean
peft_data_mapping_check_seen (const PeftDataMapping *self, guint32 seen, GError **error)
{
  for (gsize i = 0; i < peft_json_get_length (self->columns); i++)
    if ((seen & (1u << i)) == 0)
      {
        g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                     _ ("no row has the column “%s”, which is mapped to %s"),
                     peft_json_get_string (peft_json_get_value (self->columns, i)),
                     peft_json_get_name (self->columns, i));
        return FALSE;
      }
  return TRUE;
}

char *
peft_data_list_columns (const PeftJson *row)
{
  GString *names = g_string_new (NULL);
  gsize n = peft_json_get_length (row);

  for (gsize i = 0; i < n; i++)
    {
      const char *name = peft_json_get_name (row, i);

      if (names->len + strlen (name) > MAX_LISTED_BYTES)
        {
          g_string_append (names, i > 0 ? ", …" : "…");
          break;
        }
      g_string_append_printf (names, "%s%s", i > 0 ? ", " : "", name);
    }
  return g_string_free (names, FALSE);
}
