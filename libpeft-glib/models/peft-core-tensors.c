/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "models/peft-core.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "formats/peft-gguf-permute.h"

/* From the tensors of a file to the slots of a model. */

/* Vectors of the widest instruction set start anywhere, but a value must not be split. */
static gboolean
is_aligned (const PeftTensorEntry *entry)
{
  const PeftDTypeInfo *info = peft_dtype_get_info (entry->dtype);
  gsize alignment = info->block_size == 1 ? info->block_bytes : 2;
  return (guintptr) entry->data % alignment == 0;
}

/* Takes the entry's memory in place where the backend can, else a copy. */
static PeftTensor *
tensor_from_entry (PeftCore *self, const PeftTensorEntry *entry, guint unpermute_heads,
                   GError **error)
{
  gint64 shape[PEFT_MAX_DIMS];
  g_autoptr (PeftBuffer) buffer = NULL;
  PeftView view;

  for (guint i = 0; i < entry->n_dims; i++)
    shape[i] = entry->shape[i];
  if (unpermute_heads > 0 || !is_aligned (entry))
    {
      guint8 *copy = g_try_malloc (MAX (entry->n_bytes, 1));

      if (copy == NULL)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY,
                       _ ("%s: tensor %s: no memory for %" PRIu64 " bytes"), entry->file,
                       entry->name, entry->n_bytes);
          return NULL;
        }
      if (unpermute_heads == 0)
        {
          memcpy (copy, entry->data, entry->n_bytes);
        }
      else if (!peft_gguf_unpermute_rows (entry->data, copy, entry->shape[0],
                                          entry->n_bytes / entry->shape[0], unpermute_heads))
        {
          g_free (copy);
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_SHAPE_MISMATCH,
                       _ ("%s: tensor %s: %" PRIu64 " rows cannot be divided among %u heads"),
                       entry->file, entry->name, entry->shape[0], unpermute_heads);
          return NULL;
        }
      buffer = peft_buffer_new_from_host (self->backend, copy, entry->n_bytes, g_free, copy, error);
    }
  else
    {
      buffer = peft_buffer_new_from_host (
          self->backend, entry->data, entry->n_bytes,
          (GDestroyNotify) peft_tensor_source_unref, peft_tensor_source_ref (self->source), error);
    }
  if (buffer == NULL)
    {
      g_prefix_error (error, "%s: %s: ", entry->file, entry->name);
      return NULL;
    }
  peft_view_init (&view, buffer, 0, entry->dtype, entry->n_dims, shape);
  return peft_tensor_new_view (buffer, &view);
}

/* The name in the file: GGUF's, or Hugging Face's. Models of one family are written with and without a head, and the
 * transformer's own modules are then called differently. */
static const PeftTensorEntry *
find_entry (PeftCore *self, const char *path, const char *gguf_name, const char *suffix,
            char **asked)
{
  static const char *const bodies[] = { "model.", "", "transformer." };
  const PeftTensorEntry *entry;

  *asked = g_strconcat (self->gguf != NULL ? gguf_name : path, suffix, NULL);
  entry = peft_tensor_source_lookup (self->source, *asked);
  if (self->gguf != NULL || !g_str_has_prefix (path, self->body))
    return entry;
  for (guint i = 0; entry == NULL && i < G_N_ELEMENTS (bodies); i++)
    {
      g_autofree char *other
          = g_strconcat (bodies[i], path + strlen (self->body), suffix, NULL);

      entry = peft_tensor_source_lookup (self->source, other);
    }
  return entry;
}

static PeftTensor *
load_tensor (PeftCore *self, const char *path, const char *gguf_name, const char *suffix,
             guint n_dims, const guint64 *shape, guint unpermute_heads, GError **error)
{
  g_autofree char *name = NULL;
  const PeftTensorEntry *entry = find_entry (self, path, gguf_name, suffix, &name);
  const PeftDTypeInfo *info;
  gboolean same;

  if (entry == NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_NOT_FOUND, _ ("%s: tensor %s is missing"),
                   peft_tensor_source_get_name (self->source), name);
      return NULL;
    }
  if (peft_tensor_source_require (self->source, entry->name, error) == NULL)
    return NULL;
  same = entry->n_dims == n_dims;
  for (guint i = 0; same && i < n_dims; i++)
    same = entry->shape[i] == shape[i];
  if (!same)
    {
      g_autofree char *expected = peft_tensor_shape_to_string (shape, n_dims);
      g_autofree char *found = peft_tensor_shape_to_string (entry->shape, entry->n_dims);

      g_set_error (error, PEFT_ERROR, PEFT_ERROR_SHAPE_MISMATCH,
                   _ ("%s: tensor %s: expected shape %s, found %s"), entry->file, entry->name,
                   expected, found);
      return NULL;
    }
  info = peft_dtype_get_info (entry->dtype);
  if (info->to_f32 == NULL || (n_dims == 1 && info->block_size > 1))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("%s: tensor %s: expected a floating-point type, found %s"), entry->file,
                   entry->name, info->name);
      return NULL;
    }
  return tensor_from_entry (self, entry, unpermute_heads, error);
}

static PeftSlot *
add_slot (PeftCore *self, PeftSlotKind kind, const char *path, int layer)
{
  PeftSlot *slot = g_new0 (PeftSlot, 1);

  slot->kind = kind;
  slot->path = g_strdup (path);
  slot->layer = layer;
  slot->hooks = g_ptr_array_new ();
  g_ptr_array_add (self->slots, slot);
  g_hash_table_insert (self->by_path, slot->path, slot);
  return slot;
}

PeftSlot *
peft_core_load_linear (PeftCore *self, const char *path, const char *gguf_name, int layer,
                       gint64 out_features, gint64 in_features, gboolean bias,
                       guint unpermute_heads, GError **error)
{
  guint64 shape[2] = { out_features, in_features };
  PeftSlot *slot = add_slot (self, PEFT_SLOT_LINEAR, path, layer);

  slot->in_features = in_features;
  slot->out_features = out_features;
  slot->conv1d = self->dims.conv1d;
  if (slot->conv1d)
    {
      shape[0] = in_features;
      shape[1] = out_features;
    }
  slot->weight = load_tensor (self, path, gguf_name, ".weight", 2, shape, unpermute_heads, error);
  if (slot->weight == NULL)
    return NULL;
  if (bias)
    {
      const guint64 length = out_features;

      slot->bias = load_tensor (self, path, gguf_name, ".bias", 1, &length, unpermute_heads, error);
      if (slot->bias == NULL)
        return NULL;
    }
  return slot;
}

const PeftTensorEntry *
peft_core_find_weight (PeftCore *self, const char *path)
{
  g_autofree char *name = g_strconcat (path, ".weight", NULL);

  return self->gguf == NULL ? peft_tensor_source_lookup (self->source, name) : NULL;
}

static PeftTensor *
make_zeros (PeftCore *self, guint n_dims, const gint64 *shape, GError **error)
{
  PeftTensor *tensor = peft_tensor_new_on (self->backend, PEFT_DTYPE_F32, n_dims, shape, error);
  g_autofree float *zeros = NULL;

  if (tensor == NULL)
    return NULL;
  zeros = g_new0 (float, peft_view_n_values (&tensor->view));
  peft_tensor_upload_f32 (tensor, zeros);
  return tensor;
}

PeftSlot *
peft_core_make_linear (PeftCore *self, const char *path, gint64 out_features, gint64 in_features,
                       gboolean bias, GError **error)
{
  const gint64 shape[2] = { out_features, in_features };
  PeftSlot *slot = add_slot (self, PEFT_SLOT_LINEAR, path, -1);

  slot->in_features = in_features;
  slot->out_features = out_features;
  slot->fresh = TRUE;
  slot->weight = make_zeros (self, 2, shape, error);
  if (slot->weight == NULL || (bias && (slot->bias = make_zeros (self, 1, shape, error)) == NULL))
    return NULL;
  return slot;
}

PeftSlot *
peft_core_load_embedding (PeftCore *self, const char *path, const char *gguf_name, gint64 rows,
                          gint64 width, GError **error)
{
  const guint64 shape[2] = { rows, width };
  PeftSlot *slot = add_slot (self, PEFT_SLOT_EMBEDDING, path, -1);

  slot->in_features = rows;
  slot->out_features = width;
  slot->weight = load_tensor (self, path, gguf_name, ".weight", 2, shape, 0, error);
  return slot->weight != NULL ? slot : NULL;
}

PeftSlot *
peft_core_load_norm (PeftCore *self, const char *path, const char *gguf_name, int layer,
                     gint64 width, GError **error)
{
  const guint64 shape = width;
  PeftSlot *slot = add_slot (self, PEFT_SLOT_NORM, path, layer);

  slot->in_features = slot->out_features = width;
  slot->weight = load_tensor (self, path, gguf_name, ".weight", 1, &shape, 0, error);
  return slot->weight != NULL ? slot : NULL;
}

PeftSlot *
peft_core_tie_head (PeftCore *self, const char *path)
{
  PeftSlot *slot = add_slot (self, PEFT_SLOT_LINEAR, path, -1);

  slot->in_features = self->embedding->out_features;
  slot->out_features = self->embedding->in_features;
  slot->weight = peft_tensor_ref (self->embedding->weight);
  slot->tied = TRUE;
  return slot;
}

PeftSlot *
peft_core_add_attention (PeftCore *self, const char *path, int layer)
{
  return add_slot (self, PEFT_SLOT_ATTENTION, path, layer);
}
