/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "formats/peft-tensor-source.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

#include "base/peft-error.h"

struct _PeftTensorSource
{
  gatomicrefcount ref_count;
  char *name;
  GStringChunk *strings;
  GPtrArray *mappings; /* of GBytes */
  GArray *entries;     /* of PeftTensorEntry */
  /* Indices into entries. Sorted: a hash table can be made slow by the file. */
  gsize *by_name;
  gboolean sealed;
};

PeftTensorSource *
peft_tensor_source_new (const char *name)
{
  PeftTensorSource *self = g_new0 (PeftTensorSource, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->name = g_strdup (name);
  self->strings = g_string_chunk_new (4096);
  self->mappings = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  self->entries = g_array_new (FALSE, FALSE, sizeof (PeftTensorEntry));
  return self;
}

PeftTensorSource *
peft_tensor_source_ref (PeftTensorSource *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
peft_tensor_source_unref (PeftTensorSource *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_free (self->name);
  g_string_chunk_free (self->strings);
  g_ptr_array_unref (self->mappings);
  g_array_unref (self->entries);
  g_free (self->by_name);
  g_free (self);
}

void
peft_tensor_source_hold (PeftTensorSource *self, GBytes *bytes)
{
  g_ptr_array_add (self->mappings, g_bytes_ref (bytes));
}

const char *
peft_tensor_source_intern (PeftTensorSource *self, const char *string, gssize length)
{
  return g_string_chunk_insert_len (self->strings, string, length);
}

void
peft_tensor_source_add (PeftTensorSource *self, const PeftTensorEntry *entry)
{
  g_return_if_fail (!self->sealed);
  g_return_if_fail (entry->n_dims <= PEFT_TENSOR_MAX_DIMS);

  g_array_append_vals (self->entries, entry, 1);
}

static int
compare_names (gconstpointer a, gconstpointer b, gpointer data)
{
  const PeftTensorEntry *entries = data;

  return strcmp (entries[*(const gsize *) a].name, entries[*(const gsize *) b].name);
}

gboolean
peft_tensor_source_seal (PeftTensorSource *self, GError **error)
{
  PeftTensorEntry *entries = (PeftTensorEntry *) (gpointer) self->entries->data;
  gsize n = self->entries->len;

  g_return_val_if_fail (!self->sealed, FALSE);

  self->by_name = g_new (gsize, n);
  for (gsize i = 0; i < n; i++)
    self->by_name[i] = i;
  if (n > 0)
    g_qsort_with_data (self->by_name, (gint) n, sizeof (gsize), compare_names, entries);
  for (gsize i = 1; i < n; i++)
    {
      const PeftTensorEntry *a = &entries[self->by_name[i - 1]];
      const PeftTensorEntry *b = &entries[self->by_name[i]];

      if (strcmp (a->name, b->name) != 0)
        continue;
      if (strcmp (a->file, b->file) == 0)
        g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                     _ ("%s: tensor '%s' occurs twice"), a->file, a->name);
      else
        g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                     _ ("%s: tensor '%s' occurs twice, also in %s"), a->file, a->name, b->file);
      return FALSE;
    }
  self->sealed = TRUE;
  return TRUE;
}

const char *
peft_tensor_source_get_name (const PeftTensorSource *self)
{
  return self->name;
}

gsize
peft_tensor_source_get_n (const PeftTensorSource *self)
{
  return self->entries->len;
}

const PeftTensorEntry *
peft_tensor_source_get (const PeftTensorSource *self, gsize index)
{
  g_return_val_if_fail (index < self->entries->len, NULL);

  return &g_array_index (self->entries, PeftTensorEntry, index);
}

const PeftTensorEntry *
peft_tensor_source_lookup (const PeftTensorSource *self, const char *name)
{
  const PeftTensorEntry *entries = (const PeftTensorEntry *) (gpointer) self->entries->data;
  gsize low = 0, high = self->entries->len;

  g_return_val_if_fail (self->sealed, NULL);

  while (low < high)
    {
      gsize middle = low + (high - low) / 2;
      const PeftTensorEntry *entry = &entries[self->by_name[middle]];
      int order = strcmp (name, entry->name);

      if (order == 0)
        return entry;
      if (order < 0)
        high = middle;
      else
        low = middle + 1;
    }
  return NULL;
}

const PeftTensorEntry *
peft_tensor_source_require (const PeftTensorSource *self, const char *name, GError **error)
{
  const PeftTensorEntry *entry = peft_tensor_source_lookup (self, name);

  if (entry == NULL)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND, _ ("%s: there is no tensor '%s'"),
                 self->name, name);
  else if (entry->dtype == PEFT_N_DTYPES)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("%s: tensor '%s' has the type %s, which this version cannot read"),
                   entry->file, name, entry->type_name);
      return NULL;
    }
  return entry;
}

guint64
peft_tensor_entry_get_n_values (const PeftTensorEntry *entry)
{
  guint64 n = 1;

  for (guint i = 0; i < entry->n_dims; i++)
    n *= entry->shape[i];
  return n;
}

char *
peft_tensor_shape_to_string (const guint64 *shape, guint n_dims)
{
  GString *out = g_string_new ("[");

  for (guint i = 0; i < n_dims; i++)
    g_string_append_printf (out, "%s%" PRIu64, i > 0 ? ", " : "", shape[i]);
  g_string_append_c (out, ']');
  return g_string_free (out, FALSE);
}
