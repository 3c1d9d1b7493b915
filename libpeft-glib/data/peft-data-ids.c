/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "data/peft-data-ids.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/peft-error.h"
#include "data/peft-data-encoded.h"

static gboolean
read_int_list (const char *name,
               const PeftJson *list,
               gint64 low,
               gint64 high,
               gint32 *out,
               guint32 n,
               GError **error)
{
  gboolean is_list = peft_json_get_kind (list) == PEFT_JSON_ARRAY;

  if (!is_list || peft_json_get_length (list) != n)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   _ ("%s: expected a list of %u integers as input_ids has, found: %s of "
                      "%zu"),
                   name, n, peft_json_get_kind_name (list),
                   is_list ? peft_json_get_length (list) : 0);
      return FALSE;
    }
  for (guint32 i = 0; i < n; i++)
    {
      PeftJson *element = peft_json_get_element (list, i);
      gint64 value = 0;
      gboolean is_int = peft_json_is_number (element) && peft_json_get_int (element, &value);

      if (!is_int || value < low || value > high)
        {
          g_autofree char *found = peft_json_to_string (element, PEFT_JSON_WRITE_COMPACT);

          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                       _ ("%s[%u]: expected an integer from %" PRIi64
                          " to %" PRIi64 ", found: %.40s"),
                       name, i, low, high, found);
          return FALSE;
        }
      out[i] = (gint32)value;
    }
  return TRUE;
}

static gboolean
apply_mask (PeftDataIds *ids, const PeftJson *mask, GError **error)
{
  g_autofree gint32 *values = g_new (gint32, ids->length);

  if (!read_int_list ("attention_mask", mask, 0, 1, values, ids->length, error))
    return FALSE;
  for (guint32 i = 0; i < ids->length; i++)
    {
      ids->mask[i] = (guint8)values[i];
      if (values[i] == 0)
        ids->labels[i] = PEFT_DATA_IGNORED;
    }
  return TRUE;
}

static gboolean
read_labels (PeftDataIds *ids, const PeftJson *labels, GError **error)
{
  if (labels == NULL)
    {
      memcpy (ids->labels, ids->ids, ids->length * sizeof (gint32));
      return TRUE;
    }
  if (!read_int_list ("labels", labels, PEFT_DATA_IGNORED, G_MAXINT32, ids->labels, ids->length,
                      error))
    return FALSE;
  for (guint32 i = 0; i < ids->length; i++)
    if (ids->labels[i] < 0 && ids->labels[i] != PEFT_DATA_IGNORED)
      {
        g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                     _ ("labels[%u]: expected a token id or -100, found: %d"), i, ids->labels[i]);
        return FALSE;
      }
  return TRUE;
}

PeftDataIds *
peft_data_ids_read (const PeftJson *list,
                    const PeftJson *labels,
                    const PeftJson *mask,
                    GError **error)
{
  gsize n = peft_json_get_length (list);
  g_autofree PeftDataIds *ids = NULL;

  if (n == 0)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_DATA,
                   _ ("input_ids: expected a list of token ids, found an empty one"));
      return NULL;
    }
  if (n > PEFT_DATA_MAX_ROW_IDS)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT,
                   _ ("input_ids: expected at most %u ids, found %zu"),
                   PEFT_DATA_MAX_ROW_IDS, n);
      return NULL;
    }
  ids = peft_data_ids_new ((guint32)n, mask != NULL);
  if (!read_int_list ("input_ids", list, 0, G_MAXINT32, ids->ids, ids->length, error)
      || !read_labels (ids, labels, error) || (mask != NULL && !apply_mask (ids, mask, error)))
    return NULL;
  return g_steal_pointer (&ids);
}
