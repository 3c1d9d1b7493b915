/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "models/peft-kv-cache.h"

struct _PeftKvCache
{
  gint64 batch, capacity, length;
  GPtrArray *keys, *values; /* PeftTensor a layer */
};

PeftKvCache *
peft_kv_cache_new (PeftCore *core, gint64 batch, gint64 capacity, GError **error)
{
  g_autoptr (PeftKvCache) self = g_new0 (PeftKvCache, 1);
  const gint64 shape[4] = { batch, capacity, core->dims.n_kv_heads, core->dims.head_dim };

  self->batch = batch;
  self->capacity = capacity;
  self->keys = g_ptr_array_new_with_free_func ((GDestroyNotify) peft_tensor_unref);
  self->values = g_ptr_array_new_with_free_func ((GDestroyNotify) peft_tensor_unref);
  for (gint64 i = 0; i < core->dims.n_layers; i++)
    for (guint j = 0; j < 2; j++)
      {
        PeftTensor *tensor
            = peft_tensor_new_on (core->backend, core->backend->real, 4, shape, error);

        if (tensor == NULL)
          return NULL;
        g_ptr_array_add (j == 0 ? self->keys : self->values, tensor);
      }
  return g_steal_pointer (&self);
}

void
peft_kv_cache_free (PeftKvCache *self)
{
  g_ptr_array_unref (self->keys);
  g_ptr_array_unref (self->values);
  g_free (self);
}

gint64
peft_kv_cache_get_length (PeftKvCache *self)
{
  return self->length;
}

void
peft_kv_cache_set_length (PeftKvCache *self, gint64 length)
{
  g_assert (length >= 0 && length <= self->capacity);
  self->length = length;
}

static PeftVar *
extend_one (PeftKvCache *self, PeftTape *tape, PeftTensor *stored, PeftVar *fresh)
{
  gint64 length = peft_var_shape (fresh)[1];
  PeftView all = peft_view_slice (&stored->view, 1, 0, self->length + length);
  PeftCopyParams copy = {
    .x = fresh->value->view,
    .y = peft_view_slice (&stored->view, 1, self->length, length),
    .alpha = 1,
  };
  g_autoptr (PeftTensor) tensor = peft_tensor_derive (stored, &all);

  peft_tape_run (tape, PEFT_KERNEL_COPY, &copy);
  return peft_tape_constant (tape, tensor);
}

void
peft_kv_cache_extend (PeftKvCache *self, PeftTape *tape, int layer, PeftVar **k, PeftVar **v)
{
  PeftVar *keys, *values;

  g_assert (!tape->options.recording);
  keys = extend_one (self, tape, g_ptr_array_index (self->keys, layer), *k);
  values = extend_one (self, tape, g_ptr_array_index (self->values, layer), *v);
  peft_var_unref (*k);
  peft_var_unref (*v);
  *k = keys;
  *v = values;
}

static void
read_one (PeftTensor *stored, gint64 n, float *out)
{
  PeftView line = peft_view_slice (&stored->view, 0, 0, 1);
  PeftView first = peft_view_slice (&line, 1, 0, n);
  g_autoptr (PeftTensor) tensor = peft_tensor_derive (stored, &first);

  peft_tensor_download_f32 (tensor, out);
}

void
peft_kv_cache_read (PeftKvCache *self, int layer, gint64 n, float *keys, float *values)
{
  g_assert (n <= self->length);
  read_one (g_ptr_array_index (self->keys, layer), n, keys);
  read_one (g_ptr_array_index (self->values, layer), n, values);
}
